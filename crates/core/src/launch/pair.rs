//! Both roles in one zone: `PAIR=same-az`.
//!
//! No id is recorded before both machines are up: a machine in the record may be in use, so it is not ended for the
//! other role's sake. If the zone refuses one role, the other role's machine is ended like every machine that no record
//! names. Then one write puts both next attempts into the next zone. So both attempts of a pair in a record are always
//! in one zone, and the delivery that finds them goes on from there.
//!
//! Two cases are not handled here. If one role's machine is already recorded, the other role stays beside it
//! (`ZoneConstraint::Within`). Attempts that were in two zones before PAIR was set are replayed as they are.

use tracing::{info, warn};

use super::role::{Acquired, InFlight, InRecord, NotRecorded, Up, Way, failed};
use super::{Held, LaunchDelivery, LaunchPorts, Work};
use crate::error::Error;
use crate::machine::{Attempt, Token};
use crate::meeting::Role;
use crate::plan::{self, ConflictMeaning, Refusals, ZoneConstraint};
use crate::ports::Updated;
use crate::record::{self, Record};

type Ends = [(Role, Result<InRecord, NotRecorded>); 2];

/// What the pair does after a zone refused one of the roles.
#[expect(clippy::large_enum_variant, reason = "one at a time, and a box would only hide it")]
enum Moved {
    /// Both roles go on with these attempts.
    To([InFlight; 2]),
    /// The pair cannot move: a machine that is up is kept, and the other role has failed for this reason.
    Stays(Error),
    /// The move failed half-way. Neither role has a machine that the next delivery would not find.
    Broken([NotRecorded; 2]),
}

impl Acquired {
    fn attempt(&self) -> &Attempt {
        match self {
            Acquired::Up(up) => &up.attempt,
            Acquired::Nowhere(attempt) => attempt,
        }
    }
}

impl<P: LaunchPorts> LaunchDelivery<'_, P> {
    pub(super) async fn launch_pair(&self, record: &Record, work: [Work; 2], held: &Held) -> Ends {
        let roles = [work[0].role, work[1].role];
        let mut ways = roles.map(|role| Way {
            role: self.role(&record.overrides, role),
            held,
            bound: &ZoneConstraint::Together,
            refusals: Refusals::default(),
        });
        let [of_one, of_other] = [ways[0].role, ways[1].role];
        let status = || record.status.clone();
        let mut flights = work.map(InFlight::of);
        loop {
            let ([one, other], [way_of_one, way_of_other]) = (flights, &mut ways);
            let (one, other) = tokio::join!(way_of_one.acquire(one), way_of_other.acquire(other));
            way_of_one.refusals = way_of_one.refusals.clone().and(way_of_other.refusals.clone());
            way_of_other.refusals = way_of_one.refusals.clone();
            let pair = match (one, other) {
                (Ok(Acquired::Up(one)), Ok(Acquired::Up(other))) => {
                    warn_of_two_zones(&one, &other);
                    let (one, other) =
                        tokio::join!(of_one.record(&one, status()), of_other.record(&other, status()));
                    return [(roles[0], one), (roles[1], other)];
                }
                (Ok(one), Ok(other)) => [one, other],
                // It is not known whether the failed role has a machine, or the record has changed: no role leaves the
                // zone.
                (Err(unfilled), Ok(other)) => {
                    let refused = |token| unfilled.of_the_other(Some(token));
                    let other = of_other.close(other, status(), refused).await;
                    return [(roles[0], Err(unfilled)), (roles[1], other)];
                }
                (Ok(one), Err(unfilled)) => {
                    let refused = |token| unfilled.of_the_other(Some(token));
                    let one = of_one.close(one, status(), refused).await;
                    return [(roles[0], one), (roles[1], Err(unfilled))];
                }
                (Err(one), Err(other)) => return [(roles[0], Err(one)), (roles[1], Err(other))],
            };
            match self.move_both(&ways, &pair).await {
                Moved::To(next) => flights = next,
                Moved::Stays(error) => {
                    let [one, other] = pair;
                    let refused = |token| failed(error.clone(), Some(token));
                    let ends = tokio::join!(
                        of_one.close(one, status(), refused),
                        of_other.close(other, status(), refused),
                    );
                    return [(roles[0], ends.0), (roles[1], ends.1)];
                }
                Moved::Broken([one, other]) => return [(roles[0], Err(one)), (roles[1], Err(other))],
            }
        }
    }

    /// End the machine that is up in the zone that refused the other role, and write both next attempts.
    async fn move_both(&self, ways: &[Way<'_, P>; 2], pair: &[Acquired; 2]) -> Moved {
        let of = [ways[0].role, ways[1].role];
        let refused =
            pair.iter().position(|acquired| matches!(acquired, Acquired::Nowhere(_))).unwrap_or_default();
        let from = &pair[refused].attempt().parameters;
        let found = match self.look_up(&of).await {
            Ok(found) => found,
            Err(error) => return Moved::Stays(self.lookup_failed(&error)),
        };
        let places = match (of[0].places(&found), of[1].places(&found)) {
            (Ok(one), Ok(other)) => [one, other],
            (Err(error), _) | (_, Err(error)) => return Moved::Stays(error),
        };
        let [of_it, of_other] = [&places[refused], &places[1 - refused]].map(|places| &places.candidates);
        let standing = [from, &pair[1 - refused].attempt().parameters];
        let Some([it, other]) = ways[refused].refusals.next_pair(of_it, of_other, standing) else {
            return Moved::Stays(ways[refused].exhausted());
        };
        let candidates = if refused == 0 { [it, other] } else { [other, it] };
        let next = |index: usize| {
            let number = pair[index].attempt().next_number();
            of[index].attempt(number, &places[index], candidates[index])
        };
        let (one, other) = match (next(0), next(1)) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(error), _) | (_, Err(error)) => return Moved::Stays(error),
        };
        for (index, acquired) in pair.iter().enumerate() {
            let Acquired::Up(Up { attempt, machine, .. }) = acquired else { continue };
            let role = of[index].role;
            info!(%role, instance_id = %machine.instance_id, zone = from.availability_zone, "ended to move with the other role");
            if let Err(unfilled) = of[index].terminate_unrecorded(machine, &attempt.token).await {
                let other = unfilled.of_the_other(Some(pair[1 - index].attempt().token.clone()));
                return Moved::Broken(if index == 0 { [unfilled, other] } else { [other, unfilled] });
            }
        }
        let last = [&pair[0].attempt().token, &pair[1].attempt().token];
        match self.write_both(of.map(|of| of.role), last, [&one, &other]).await {
            Ok(()) => {
                let p = &one.parameters;
                info!(zone = p.availability_zone, instance_type = p.instance_type, "the pair moves");
                Moved::To([InFlight::new(one), InFlight::new(other)])
            }
            Err(unfilled) => {
                let other = unfilled.of_the_other(None);
                Moved::Broken([unfilled, other])
            }
        }
    }

    async fn write_both(
        &self,
        roles: [Role; 2],
        last: [&Token; 2],
        next: [&Attempt; 2],
    ) -> Result<(), NotRecorded> {
        let both = [(roles[0], last[0], next[0].clone()), (roles[1], last[1], next[1].clone())];
        let update = record::next_attempts(self.meeting, &self.owner, &both);
        let found = match self.update(&update).await {
            Ok(Updated::Done) => return Ok(()),
            Ok(Updated::Refused(found)) => found,
            Err(error) => return Err(failed(self.table_failed(error), None)),
        };
        // One write makes both attempts: if the first is in the record, so is the other.
        match plan::after_refused_next_attempt(found.as_deref(), &self.owner, roles[0], &next[0].token) {
            ConflictMeaning::Written => Ok(()),
            ConflictMeaning::Gone => Err(NotRecorded::Gone),
            ConflictMeaning::Over => Err(NotRecorded::over(found.as_deref())),
            ConflictMeaning::TakenOver => Err(NotRecorded::TakenOver),
        }
    }
}

impl NotRecorded {
    /// What this means for the other role, whose attempt with this token was refused.
    fn of_the_other(&self, refused: Option<Token>) -> NotRecorded {
        match self {
            NotRecorded::Gone => NotRecorded::Gone,
            NotRecorded::Over(status, reason) => NotRecorded::Over(status.clone(), reason.clone()),
            NotRecorded::TakenOver => NotRecorded::TakenOver,
            NotRecorded::Failed(other) => failed(other.error.clone(), refused),
        }
    }
}

fn warn_of_two_zones(one: &Up, other: &Up) {
    let (one, other) =
        (&one.attempt.parameters.availability_zone, &other.attempt.parameters.availability_zone);
    if one != other {
        warn!(one, other, "PAIR is same-az, and the attempts that stood were in two zones: both stay");
    }
}

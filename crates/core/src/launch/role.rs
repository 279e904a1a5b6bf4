//! One role's way: from its attempt in the record to its machine's id in the record.
//!
//! Handles every class of answer to RunInstances. Not handled here: what the two roles have in common (the claim, the
//! write that gives up), which is the delivery's.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::answer::{MachineAnswer, Outcome};
use super::{Delivery, Held, LaunchPorts, Places, Work};
use crate::deadline::Backoff;
use crate::ending::Ended;
use crate::error::{AwsError, Class, Error, Kind};
use crate::machine::{self, Attempt, Machine, Token};
use crate::meeting::{Role, Status};
use crate::plan::{self, Candidate, ConflictMeaning, Reason, Refusal, Refusals, Sending, ZoneConstraint};
use crate::ports::{Clock, FindByToken, Machines, Tokens, Updated};
use crate::record::{self, Record, Recorded, StatusMove};
use crate::timing::after;

/// How often a request is repeated that names something which may not be visible everywhere yet.
const PROPAGATION_TRIES: u32 = 5;

/// The id stands in the record, which has this status.
pub(super) struct InRecord {
    pub machine: MachineAnswer,
    pub status: Option<Status>,
}

/// Why a role's id does not stand in the record.
pub(super) enum NotRecorded {
    /// The record is gone, and so is what of ours ran for it; what was never answered is the sweep's.
    Gone,
    /// The meeting is over, with this status and for this reason; nothing of ours runs for this role that the record does not
    /// name.
    Over(Option<Status>, Reason),
    /// Another delivery has taken over.
    TakenOver,
    Failed(Box<Failed>),
}

impl NotRecorded {
    /// The meeting is over, as this record says that met a write.
    pub(super) fn over(found: Option<&Record>) -> Self {
        let status = found.and_then(|record| record.status.clone());
        let reason = found.and_then(plan::why_over).unwrap_or_else(|| Reason::Over(status.clone()));
        NotRecorded::Over(status, reason)
    }
}

pub(super) struct Failed {
    pub error: Error,
    /// The attempt's token, if EC2's refusal of it is the last word: then no machine can come of it any more.
    pub refused: Option<Token>,
}

/// What came of a role's way to EC2.
pub(super) enum Acquired {
    /// A machine, which no record names yet.
    Up(Up),
    /// EC2 refused this attempt for good, and within its bound there is no other place.
    Nowhere(Attempt),
}

pub(super) struct Up {
    pub attempt: Attempt,
    pub machine: Machine,
    pub outcome: Outcome,
}

/// An attempt on its way to EC2.
pub(super) struct InFlight {
    attempt: Attempt,
    /// When an earlier sending of it, if any went unanswered, was on the wire at the latest.
    unanswered: Option<Timestamp>,
    outcome: Outcome,
    tries: u32,
    /// How many of these named something that was not visible yet.
    invisible: u32,
}

impl InFlight {
    pub(super) fn of(work: Work) -> Self {
        let outcome = if work.unanswered.is_some() { Outcome::Adopted } else { Outcome::Launched };
        InFlight { unanswered: work.unanswered, outcome, ..InFlight::new(work.attempt) }
    }

    pub(super) fn new(attempt: Attempt) -> Self {
        InFlight { attempt, unanswered: None, outcome: Outcome::Launched, tries: 0, invisible: 0 }
    }
}

/// What an answer to RunInstances means for the next step.
enum Verdict {
    /// This is the attempt's machine.
    Machine(Machine, Outcome),
    /// Send the same attempt again, for this reason.
    Again(AwsError),
    /// This attempt stands in its place now.
    Next(Box<Attempt>),
    /// It is at its end, and there is no other place.
    Nowhere,
}

impl Verdict {
    fn of(next: Option<Box<Attempt>>) -> Self {
        next.map_or(Verdict::Nowhere, Verdict::Next)
    }
}

impl<P: LaunchPorts> Delivery<'_, P> {
    pub(super) async fn launch_role(
        &self,
        work: Work,
        held: &Held,
        status: Option<Status>,
        bound: &ZoneConstraint,
    ) -> Result<InRecord, NotRecorded> {
        let role = work.role;
        let mut refusals = Refusals::default();
        let acquired = self.acquire(role, InFlight::of(work), &mut refusals, held, bound).await?;
        let nowhere = |token| failed(self.exhausted(role, &refusals, bound), Some(token));
        self.close(role, acquired, status, nowhere).await
    }

    /// A machine is recorded; an attempt that was refused everywhere ends the way, for this reason.
    pub(super) async fn close(
        &self,
        role: Role,
        acquired: Acquired,
        status: Option<Status>,
        nowhere: impl FnOnce(Token) -> NotRecorded,
    ) -> Result<InRecord, NotRecorded> {
        match acquired {
            Acquired::Up(up) => self.record(role, &up, status).await,
            Acquired::Nowhere(attempt) => Err(nowhere(attempt.token)),
        }
    }

    /// Until there is a machine, or no place is left.
    pub(super) async fn acquire(
        &self,
        role: Role,
        mut sending: InFlight,
        refusals: &mut Refusals,
        held: &Held,
        bound: &ZoneConstraint,
    ) -> Result<Acquired, NotRecorded> {
        if sending.attempt.ending {
            match self.finish_ending(role, &sending, bound).await? {
                Some(next) => sending = InFlight::new(*next),
                None => return Ok(Acquired::Nowhere(sending.attempt)),
            }
        }
        let mut last = None;
        loop {
            self.ready_to_send(role, held, last.take()).await?;
            let sent = self.now();
            let answer = self.launcher.ec2.run(&sending.attempt).await;
            match self.judge(role, &mut sending, refusals, sent, answer, bound).await? {
                Verdict::Machine(machine, outcome) => {
                    return Ok(Acquired::Up(Up { attempt: sending.attempt, machine, outcome }));
                }
                Verdict::Again(error) => last = Some(error),
                Verdict::Next(attempt) => sending = InFlight::new(*attempt),
                Verdict::Nowhere => return Ok(Acquired::Nowhere(sending.attempt)),
            }
        }
    }

    /// The attempt's machine was being ended when the meeting came back to life: end it, and go on with a new attempt.
    async fn finish_ending(
        &self,
        role: Role,
        sending: &InFlight,
        bound: &ZoneConstraint,
    ) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let attempt = &sending.attempt;
        let since = sending.unanswered.unwrap_or_else(|| self.now());
        let ending = AwsError {
            action: "RunInstances",
            class: Class::InstanceTerminated,
            code: None,
            message: "the machine of the last attempt was being ended".to_owned(),
            request_id: None,
            advice: String::new(),
        };
        if let Some(machine) = self.find(role, attempt, since, &ending).await?
            && machine.state.is_live()
        {
            self.terminate_unrecorded(role, &machine, &attempt.token).await?;
        }
        self.same_again(role, attempt, bound).await
    }

    async fn judge(
        &self,
        role: Role,
        sending: &mut InFlight,
        refusals: &mut Refusals,
        sent: Timestamp,
        answer: Result<Machine, AwsError>,
        bound: &ZoneConstraint,
    ) -> Result<Verdict, NotRecorded> {
        let error = match answer {
            Ok(machine) => {
                return self.follow(role, sending, refusals, machine, sending.outcome, bound).await;
            }
            Err(error) => error,
        };
        info!(%role, attempt = sending.attempt.number, %error, class = ?error.class, "RunInstances gave no machine");
        sending.tries += 1;
        match error.class {
            Class::Throttled => {
                self.pause(Backoff::LAUNCH, sending.tries, role, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::Ambiguous => {
                // It was on the wire until now at the latest.
                sending.unanswered = Some(self.now());
                self.pause(Backoff::EC2, sending.tries, role, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::Propagating if sending.invisible < PROPAGATION_TRIES => {
                sending.invisible += 1;
                self.pause(Backoff::EC2, sending.tries, role, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::InstanceTerminated => {
                self.after_death(role, &sending.attempt, refusals, error, bound).await
            }
            Class::ParameterMismatch => {
                // A new attempt's token was ours alone until now, so nothing older than this can be coming.
                let since = *sending.unanswered.get_or_insert(self.now());
                match self.find(role, &sending.attempt, since, &error).await? {
                    Some(machine) => {
                        self.follow(role, sending, refusals, machine, Outcome::Adopted, bound).await
                    }
                    None => Ok(Verdict::of(self.same_again(role, &sending.attempt, bound).await?)),
                }
            }
            Class::Capacity
            | Class::ZoneUnfit
            | Class::SubnetUnfit
            | Class::TypeUnfit
            | Class::Quota
            | Class::Misconfigured
            | Class::Unauthorized
            | Class::Propagating
            | Class::Unreadable
            | Class::NotSent => self.refused(role, sending, refusals, sent, error, bound).await,
        }
    }

    /// A refusal is the last word on an attempt only if no earlier sending of it can take effect any more, nor has.
    ///
    /// EC2 may judge a request before it looks at its token: a permission that was taken away, an image that was
    /// deregistered since the attempt was first sent refuse its replay, although a machine of it may be up. So where
    /// an earlier sending was never answered, the token must also have no machine.
    async fn refused(
        &self,
        role: Role,
        sending: &mut InFlight,
        refusals: &mut Refusals,
        sent: Timestamp,
        error: AwsError,
        bound: &ZoneConstraint,
    ) -> Result<Verdict, NotRecorded> {
        if let Err(settled) = plan::refusal_counts(sending.unanswered, sent, &self.launcher.timing) {
            self.wait_until(settled, role, &error).await?;
            return Ok(Verdict::Again(error));
        }
        if let Some(since) = sending.unanswered
            && let Some(machine) = self.find(role, &sending.attempt, since, &error).await?
        {
            return self.follow(role, sending, refusals, machine, Outcome::Adopted, bound).await;
        }
        match Refusal::of(error.class) {
            Some(refusal) => {
                if refusal == Refusal::Subnet {
                    self.launcher.lookups.forget();
                }
                refusals.add(refusal, error, &sending.attempt.parameters);
                Ok(Verdict::of(self.next_place(role, &sending.attempt, refusals, bound).await?))
            }
            None => {
                // An image may have been deregistered since it was looked up by its name.
                self.launcher.lookups.forget();
                let Attempt { token, parameters, .. } = &sending.attempt;
                let error = self.of_the_record(role, parameters, self.refused_for_good(role, error));
                Err(failed(error, Some(token.clone())))
            }
        }
    }

    /// The attempt has a machine: take it, or go on from what became of it.
    async fn follow(
        &self,
        role: Role,
        sending: &InFlight,
        refusals: &mut Refusals,
        machine: Machine,
        outcome: Outcome,
        bound: &ZoneConstraint,
    ) -> Result<Verdict, NotRecorded> {
        let attempt = &sending.attempt;
        if machine.state.is_live() {
            if !machine.is_half_ended() {
                return Ok(Verdict::Machine(machine, outcome));
            }
            // A delivery died while it ended this one, and the watchdog ignores it already.
            self.terminate_unrecorded(role, &machine, &attempt.token).await?;
            return Ok(Verdict::of(self.same_again(role, attempt, bound).await?));
        }
        let reason = machine.state_reason.as_deref().unwrap_or("no reason given");
        info!(%role, attempt = attempt.number, instance_id = %machine.instance_id, reason, "the attempt's machine is dead");
        let dead = |class, message| AwsError {
            action: "RunInstances",
            class,
            code: machine.state_reason.clone(),
            message,
            request_id: None,
            advice: String::new(),
        };
        let id = &machine.instance_id;
        if plan::died_of_capacity(&machine) {
            let error = dead(Class::Capacity, format!("{id} was started and died for want of capacity"));
            refusals.add(Refusal::Capacity, error, &attempt.parameters);
            return Ok(Verdict::of(self.next_place(role, attempt, refusals, bound).await?));
        }
        let error = dead(Class::InstanceTerminated, format!("{id} was started, and is dead already"));
        self.after_death(role, attempt, refusals, error, bound).await
    }

    /// The attempt's machine is dead. Its place was not at fault, so the next one is tried there, after a pause; but what
    /// killed a few kills the next one, too.
    async fn after_death(
        &self,
        role: Role,
        attempt: &Attempt,
        refusals: &mut Refusals,
        error: AwsError,
        bound: &ZoneConstraint,
    ) -> Result<Verdict, NotRecorded> {
        let deaths = refusals.add_death();
        if deaths >= plan::DEATHS {
            let error = self.died_again(role, deaths, error);
            return Err(failed(error, Some(attempt.token.clone())));
        }
        self.pause(Backoff::LAUNCH, deaths, role, &error).await?;
        Ok(Verdict::of(self.same_again(role, attempt, bound).await?))
    }

    /// No launch is begun that could still be unanswered when the lease ends, or whose answer could not be written
    /// before the deadline.
    async fn ready_to_send(
        &self,
        role: Role,
        held: &Held,
        last: Option<AwsError>,
    ) -> Result<(), NotRecorded> {
        loop {
            let now = self.now();
            let lease_end = held.0.borrow().until;
            match plan::may_send(now, lease_end, self.deadline, &self.launcher.timing) {
                Sending::Now => return Ok(()),
                Sending::TooLate => {
                    let error = match last {
                        Some(error) => self.out_of_time(role, error),
                        None => self.deadline_too_close(),
                    };
                    return Err(failed(error, None));
                }
                Sending::RenewFirst => self.renew(held, now).await?,
            }
        }
    }

    async fn renew(&self, held: &Held, now: Timestamp) -> Result<(), NotRecorded> {
        let current = held.0.borrow().clone();
        let until = plan::lease_end(now, self.deadline, &self.launcher.timing);
        match self.update(&record::renew(self.meeting, current, until)).await {
            Ok(Updated::Done) => {
                held.0.borrow_mut().until = until;
                info!(lease_until = %until, "lease renewed");
                Ok(())
            }
            Ok(Updated::Refused(None)) => Err(NotRecorded::Gone),
            Ok(Updated::Refused(Some(found))) => match found.lease {
                // The other role was faster, or an answer was lost.
                Some(lease) if lease.owner == self.owner => {
                    *held.0.borrow_mut() = lease;
                    Ok(())
                }
                _ => Err(NotRecorded::TakenOver),
            },
            Err(error) => Err(failed(self.table_failed(error), None)),
        }
    }

    /// EC2 refused the attempt for good: the next candidate, if there is one.
    async fn next_place(
        &self,
        role: Role,
        refused: &Attempt,
        refusals: &Refusals,
        bound: &ZoneConstraint,
    ) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let token = || Some(refused.token.clone());
        let places = self.places_of(role).await.map_err(|error| failed(error, token()))?;
        match refusals.next(&places.candidates, &refused.parameters, bound) {
            Some(candidate) => self.write_next(role, refused, &places, candidate).await.map(Some),
            None => Ok(None),
        }
    }

    /// A new attempt in the same place: the last one's token is used up, its place was not at fault.
    async fn same_again(
        &self,
        role: Role,
        last: &Attempt,
        bound: &ZoneConstraint,
    ) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let places = self.places_of(role).await.map_err(|error| failed(error, None))?;
        match plan::same_again(&places.candidates, &last.parameters, bound) {
            Some(candidate) => self.write_next(role, last, &places, candidate).await.map(Some),
            None => Ok(None),
        }
    }

    async fn write_next(
        &self,
        role: Role,
        last: &Attempt,
        places: &Places,
        candidate: &Candidate,
    ) -> Result<Box<Attempt>, NotRecorded> {
        let next = self
            .attempt(role, last.next_number(), places, candidate)
            .map_err(|error| failed(error, Some(last.token.clone())))?;
        let update = record::next_attempt(self.meeting, &self.owner, role, &last.token, next.clone());
        let (standing, found) = match self.update(&update).await {
            Ok(Updated::Done) => (ConflictMeaning::Written, None),
            Ok(Updated::Refused(found)) => {
                (plan::after_refused_next_attempt(found.as_deref(), &self.owner, role, &next.token), found)
            }
            Err(error) => return Err(failed(self.table_failed(error), None)),
        };
        match standing {
            ConflictMeaning::Written => {
                let p = &next.parameters;
                info!(%role, attempt = next.number, zone = p.availability_zone, instance_type = p.instance_type, "next attempt");
                Ok(Box::new(next))
            }
            ConflictMeaning::Gone => Err(NotRecorded::Gone),
            ConflictMeaning::Over => Err(NotRecorded::over(found.as_deref())),
            ConflictMeaning::TakenOver => Err(NotRecorded::TakenOver),
        }
    }

    /// Find the machine of an attempt by its token, a live one if there is one. Patiently: DescribeInstances lags, so
    /// its silence counts only once the effect delay has passed since the token was last used.
    async fn find(
        &self,
        role: Role,
        attempt: &Attempt,
        since: Timestamp,
        refusal: &AwsError,
    ) -> Result<Option<Machine>, NotRecorded> {
        let settled = after(since, self.launcher.timing.max_effect_delay);
        let ec2 = &self.launcher.ec2;
        let mut tries = 0;
        loop {
            let asked = self.now();
            let mut found = self
                .retry(self.launcher.timing.ec2, Backoff::EC2, || true, || ec2.find(&attempt.token))
                .await
                .map_err(|error| failed(self.out_of_time(role, error), None))?;
            if refusal.class == Class::ParameterMismatch {
                // Somebody else may have used the token; only what carries our tags is ours.
                found.retain(|machine| machine.is_of(attempt));
            }
            found.sort_by_key(|machine| !machine.state.is_live());
            if !found.is_empty() || asked >= settled {
                return Ok(found.into_iter().next());
            }
            tries += 1;
            self.pause(Backoff::EC2, tries, role, refusal).await?;
        }
    }

    /// Write the id, at once and until it stands. Where it may not stand, end the machine.
    pub(super) async fn record(
        &self,
        role: Role,
        Up { attempt, machine, outcome }: &Up,
        mut status: Option<Status>,
    ) -> Result<InRecord, NotRecorded> {
        let outcome = *outcome;
        let p = &attempt.parameters;
        let (id, zone, instance_type) = (&machine.instance_id, &p.availability_zone, &p.instance_type);
        match outcome {
            Outcome::Launched => {
                info!(%role, instance_id = %id, attempt = attempt.number, zone, instance_type, "machine launched");
            }
            Outcome::Adopted | Outcome::AlreadyRecorded => {
                info!(%role, instance_id = %id, attempt = attempt.number, zone, instance_type, "machine adopted");
            }
        }
        let recorded = Recorded {
            instance_id: id.clone(),
            availability_zone: zone.clone(),
            instance_type: instance_type.clone(),
            launched_at: self.now(),
        };
        let (standing, found) = loop {
            let to = StatusMove::from_status(&status);
            let update = record::instance(self.meeting, role, &attempt.token, recorded.clone(), to);
            let found = match self.update(&update).await {
                Ok(Updated::Done) => {
                    if to == StatusMove::ToLaunched {
                        status = Some(Status::Launched);
                    }
                    break (ConflictMeaning::Written, None);
                }
                Ok(Updated::Refused(found)) => found,
                Err(error) => {
                    warn!(%role, instance_id = %id, "machine not recorded; the next delivery adopts it");
                    return Err(failed(self.table_failed(error), None));
                }
            };
            let standing = plan::after_refused_instance(found.as_deref(), role, &attempt.token, machine);
            status = found.as_ref().and_then(|record| record.status.clone());
            match standing {
                Some(standing) => break (standing, found),
                None if self.fits(self.launcher.timing.table) => {}
                None => return Err(failed(self.deadline_too_close(), None)),
            }
        };
        if standing == ConflictMeaning::Written {
            info!(%role, instance_id = %id, "machine recorded");
            return Ok(InRecord { machine: MachineAnswer::of(id, p, outcome), status });
        }
        self.terminate_unrecorded(role, machine, &attempt.token).await?;
        Err(match standing {
            ConflictMeaning::Gone => NotRecorded::Gone,
            ConflictMeaning::Over => NotRecorded::over(found.as_deref()),
            ConflictMeaning::TakenOver | ConflictMeaning::Written => NotRecorded::TakenOver,
        })
    }

    /// End a machine that may not be recorded; one that is recorded all the same is left to the next delivery.
    pub(super) async fn terminate_unrecorded(
        &self,
        role: Role,
        machine: &Machine,
        token: &Token,
    ) -> Result<(), NotRecorded> {
        let id = &machine.instance_id;
        match self.end(role, id, token).await {
            Ok(Ended::Ended) => Ok(()),
            Ok(Ended::Kept) => Err(NotRecorded::TakenOver),
            Err(error) => Err(failed(self.left_running(role, Some(id), error), None)),
        }
    }

    /// Wait before the same attempt is sent again; leave at once if that could not be recorded any more.
    async fn pause(
        &self,
        backoff: Backoff,
        tries: u32,
        role: Role,
        error: &AwsError,
    ) -> Result<(), NotRecorded> {
        let pause = backoff.pause(tries, self.launcher.tokens.jitter());
        self.wait_until(after(self.now(), pause), role, error).await
    }

    async fn wait_until(&self, time: Timestamp, role: Role, error: &AwsError) -> Result<(), NotRecorded> {
        let timing = &self.launcher.timing;
        let pause: Duration = time.duration_since(self.now()).try_into().unwrap_or_default();
        if !self.fits(pause + timing.run_instances + timing.reserve()) {
            return Err(failed(self.out_of_time(role, error.clone()), None));
        }
        self.launcher.clock.sleep(pause).await;
        Ok(())
    }

    pub(super) fn exhausted(&self, role: Role, refusals: &Refusals, bound: &ZoneConstraint) -> Error {
        let quota = refusals.last(Refusal::Quota);
        let capacity = refusals.last(Refusal::Capacity);
        let unfit = refusals.last(Refusal::Subnet).or_else(|| refusals.last(Refusal::Zone));
        let unfit_type = refusals.last(Refusal::Type);
        let (kind, advice) = if let Some(quota) = quota {
            let ask = match quota.advice.as_str() {
                "" => "ask for a higher quota in Service Quotas",
                named => named,
            };
            (Kind::QuotaExceeded, &*format!("{ask}, or add a type of another family to INSTANCE_TYPE"))
        } else if capacity.is_some() {
            (
                Kind::CapacityExhausted,
                "the repeat starts again with the first zone; add zones to SUPPORTED_AZS or types to INSTANCE_TYPE",
            )
        } else {
            (
                Kind::NoUsableSubnet,
                "add zones to SUPPORTED_AZS, subnets to SUBNET_IDS or types to INSTANCE_TYPE",
            )
        };
        let (left, advice) = match bound {
            ZoneConstraint::Anywhere | ZoneConstraint::Together => {
                ("every place that was left".to_owned(), advice.to_owned())
            }
            ZoneConstraint::Within(zone) => (
                format!("every place of {zone}, where the {}'s machine is (PAIR is same-az)", role.other()),
                "the repeat tries that zone again; add types to INSTANCE_TYPE, or set PAIR to any".to_owned(),
            ),
        };
        let tried = refusals.tried();
        let problem = format!("meeting {}, {role}: refused in {left} ({tried})", self.meeting);
        let error = match (quota.or(capacity).or(unfit), unfit_type) {
            (Some(cause), _) => Error::new(kind, problem, advice).caused_by(cause.clone()),
            // Nothing else was in the way: no zone and no repeat can help.
            (None, Some(cause)) => {
                Error::new(Kind::InvalidConfiguration, problem, cause.advice.clone()).caused_by(cause.clone())
            }
            (None, None) => Error::new(kind, problem, advice),
        };
        match refusals.last_refused() {
            Some(refused) => self.of_the_record(role, refused, error),
            None => error,
        }
    }

    /// Where the record asked for what a refused request had, the record is at fault and no setting.
    pub(super) fn of_the_record(&self, role: Role, refused: &machine::Parameters, error: Error) -> Error {
        let Ok(mut own) = self.overrides_of(role) else { return error };
        // A replay may ask for what the record said before.
        own.image_id = own.image_id.filter(|image| *image == refused.image_id);
        own.instance_types.retain(|kind| *kind == refused.instance_type);
        match own.in_place_of_settings(role, &error.advice) {
            Some(advice) if error.kind == Kind::InvalidConfiguration => {
                Error { kind: Kind::InvalidRecord, advice, ..error }
            }
            Some(advice) => Error { advice, ..error },
            None => error,
        }
    }
}

pub(super) fn failed(error: Error, refused: Option<Token>) -> NotRecorded {
    NotRecorded::Failed(Box::new(Failed { error, refused }))
}

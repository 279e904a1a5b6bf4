//! One role's launch: from its attempt in the record to its machine's id in the record.
//!
//! This file handles every class of answer to RunInstances. What the two roles share (the claim, and the write that
//! gives up) is in `launch.rs`.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::answer::{MachineAnswer, Outcome};
use super::{Held, LaunchDelivery, LaunchPorts, Launcher, OneRole, Places, Work};
use crate::deadline::Backoff;
use crate::ending::Ended;
use crate::error::{AwsError, Class, Error, Kind, Service};
use crate::machine::{self, Attempt, Machine, Token};
use crate::meeting::Status;
use crate::plan::{self, Candidate, ConflictMeaning, Reason, Refusal, Refusals, Sending, ZoneConstraint};
use crate::ports::{Clock, FindByToken, Machines, Tokens, Updated};
use crate::record::{self, Record, Recorded, StatusMove};
use crate::timing::after;

/// How often a request is repeated if it names something that may not be visible everywhere yet.
const PROPAGATION_TRIES: u32 = 5;

/// The id is in the record, and the record has this status.
pub(super) struct InRecord {
    pub machine: MachineAnswer,
    pub status: Option<Status>,
}

/// Why a role's id is not in the record.
pub(super) enum NotRecorded {
    /// The record is gone, and our machines for it are ended. The sweep ends what a launch that was never answered has
    /// made.
    Gone,
    /// The meeting is over, with this status and for this reason. No machine of ours runs for this role that the record
    /// does not name.
    Over(Option<Status>, Reason),
    /// Another delivery has taken over.
    TakenOver,
    Failed(Box<Failed>),
}

impl NotRecorded {
    /// The meeting is over, as the record that refused a write says.
    pub(super) fn over(found: Option<&Record>) -> Self {
        let status = found.and_then(|record| record.status.clone());
        let reason = found.and_then(plan::why_over).unwrap_or_else(|| Reason::Over(status.clone()));
        NotRecorded::Over(status, reason)
    }
}

pub(super) struct Failed {
    pub error: Error,
    /// The attempt's token, if EC2's refusal is final: then the attempt can make no machine any more.
    pub refused: Option<Token>,
}

/// The result of a role's requests to EC2.
pub(super) enum Acquired {
    /// A machine, which no record names yet.
    Up(Up),
    /// EC2 refused this attempt for good, and the zone constraint leaves no other place.
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
    /// If an earlier sending of it was never answered: the latest time at which that sending was on its way.
    unanswered: Option<Timestamp>,
    outcome: Outcome,
    tries: u32,
    /// How many of these tries named something that was not visible yet.
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
    Machine(Machine),
    /// Send the same attempt again, for this reason.
    Again(AwsError),
    /// The record has this attempt in its place now.
    Next(Box<Attempt>),
    /// The attempt is over, and there is no other place.
    Nowhere,
}

impl Verdict {
    fn of(next: Option<Box<Attempt>>) -> Self {
        next.map_or(Verdict::Nowhere, Verdict::Next)
    }
}

/// One role's way to EC2, under the lease that is held, and within a zone constraint.
pub(super) struct Way<'d, P: LaunchPorts> {
    pub role: OneRole<'d, P>,
    pub held: &'d Held,
    pub bound: &'d ZoneConstraint,
    pub refusals: Refusals,
}

impl<P: LaunchPorts> Way<'_, P> {
    pub(super) async fn launch(
        mut self,
        work: Work,
        status: Option<Status>,
    ) -> Result<InRecord, NotRecorded> {
        let acquired = self.acquire(InFlight::of(work)).await?;
        let nowhere = |token| failed(self.exhausted(), Some(token));
        self.role.close(acquired, status, nowhere).await
    }

    /// Send until there is a machine, or no place is left.
    pub(super) async fn acquire(&mut self, mut sending: InFlight) -> Result<Acquired, NotRecorded> {
        if sending.attempt.ending {
            match self.finish_ending(&sending).await? {
                Some(next) => sending = InFlight::new(*next),
                None => return Ok(Acquired::Nowhere(sending.attempt)),
            }
        }
        let mut last = None;
        loop {
            self.ready_to_send(last.take()).await?;
            let sent = self.role.delivery.now();
            let answer = self.role.delivery.launcher.ec2.run(&sending.attempt).await;
            match self.judge(&mut sending, sent, answer).await? {
                Verdict::Machine(machine) => {
                    return Ok(Acquired::Up(Up {
                        attempt: sending.attempt,
                        machine,
                        outcome: sending.outcome,
                    }));
                }
                Verdict::Again(error) => last = Some(error),
                Verdict::Next(attempt) => sending = InFlight::new(*attempt),
                Verdict::Nowhere => return Ok(Acquired::Nowhere(sending.attempt)),
            }
        }
    }

    /// The attempt's machine was being ended, and the meeting is on again: end the machine, and go on with a new
    /// attempt.
    async fn finish_ending(&self, sending: &InFlight) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let attempt = &sending.attempt;
        let since = sending.unanswered.unwrap_or_else(|| self.role.delivery.now());
        let ending = AwsError {
            action: "RunInstances",
            class: Class::InstanceTerminated,
            code: None,
            message: "the machine of the last attempt was being ended".to_owned(),
            request_id: None,
            advice: String::new(),
        };
        if let Some(machine) = self.role.find(attempt, since, &ending).await?
            && machine.state.is_live()
        {
            self.role.terminate_unrecorded(&machine, &attempt.token).await?;
        }
        self.same_again(attempt).await
    }

    async fn judge(
        &mut self,
        sending: &mut InFlight,
        sent: Timestamp,
        answer: Result<Machine, AwsError>,
    ) -> Result<Verdict, NotRecorded> {
        let error = match answer {
            Ok(machine) => return self.follow(sending, machine).await,
            Err(error) => error,
        };
        info!(role = %self.role.role, attempt = sending.attempt.number, %error, class = ?error.class, "RunInstances gave no machine");
        sending.tries += 1;
        match error.class {
            Class::Throttled => {
                self.role.pause(Backoff::LAUNCH, sending.tries, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::Ambiguous => {
                // The request was on its way until now at the latest.
                sending.unanswered = Some(self.role.delivery.now());
                self.role.pause(Backoff::EC2, sending.tries, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::Propagating if sending.invisible < PROPAGATION_TRIES => {
                sending.invisible += 1;
                self.role.pause(Backoff::EC2, sending.tries, &error).await?;
                Ok(Verdict::Again(error))
            }
            Class::InstanceTerminated => self.after_death(&sending.attempt, error).await,
            Class::ParameterMismatch => {
                // Nobody else knew the token of a new attempt until now, so no older request can still take effect.
                let since = *sending.unanswered.get_or_insert(self.role.delivery.now());
                match self.role.find(&sending.attempt, since, &error).await? {
                    Some(machine) => {
                        sending.outcome = Outcome::Adopted;
                        self.follow(sending, machine).await
                    }
                    None => Ok(Verdict::of(self.same_again(&sending.attempt).await?)),
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
            | Class::NotSent => self.refused(sending, sent, error).await,
        }
    }

    /// A refusal is final for an attempt only if no earlier sending of it has taken effect, or still can.
    ///
    /// EC2 may judge a request before it looks at its token. If a permission was taken away, or the image was
    /// deregistered, since the attempt was first sent, EC2 refuses the replay although the attempt may have a machine.
    /// So if an earlier sending was never answered, the token must also have no machine.
    async fn refused(
        &mut self,
        sending: &mut InFlight,
        sent: Timestamp,
        error: AwsError,
    ) -> Result<Verdict, NotRecorded> {
        if let Err(settled) =
            plan::refusal_counts(sending.unanswered, sent, &self.role.delivery.launcher.timing)
        {
            self.role.wait_until(settled, &error).await?;
            return Ok(Verdict::Again(error));
        }
        if let Some(since) = sending.unanswered
            && let Some(machine) = self.role.find(&sending.attempt, since, &error).await?
        {
            sending.outcome = Outcome::Adopted;
            return self.follow(sending, machine).await;
        }
        match Refusal::of(error.class) {
            Some(refusal) => {
                if refusal == Refusal::Subnet {
                    self.role.delivery.launcher.lookups.forget();
                }
                self.refusals.add(refusal, error, &sending.attempt.parameters);
                Ok(Verdict::of(self.next_place(&sending.attempt).await?))
            }
            None => {
                // An image may have been deregistered since it was looked up by its name.
                self.role.delivery.launcher.lookups.forget();
                let Attempt { token, parameters, .. } = &sending.attempt;
                let error = self.role.of_the_record(parameters, self.role.refused_for_good(error));
                Err(failed(error, Some(token.clone())))
            }
        }
    }

    /// The attempt has a machine: take it if it is live, or go on if it is dead or was being ended.
    async fn follow(&mut self, sending: &InFlight, machine: Machine) -> Result<Verdict, NotRecorded> {
        let attempt = &sending.attempt;
        if machine.state.is_live() {
            if !machine.is_half_ended() {
                return Ok(Verdict::Machine(machine));
            }
            // A delivery died while it ended this machine, and the watchdog already ignores the machine.
            self.role.terminate_unrecorded(&machine, &attempt.token).await?;
            return Ok(Verdict::of(self.same_again(attempt).await?));
        }
        let reason = machine.state_reason.as_deref().unwrap_or("no reason given");
        info!(role = %self.role.role, attempt = attempt.number, instance_id = %machine.instance_id, reason, "the attempt's machine is dead");
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
            self.refusals.add(Refusal::Capacity, error, &attempt.parameters);
            return Ok(Verdict::of(self.next_place(attempt).await?));
        }
        let error = dead(Class::InstanceTerminated, format!("{id} was started, and is dead already"));
        self.after_death(attempt, error).await
    }

    /// The attempt's machine is dead. Its place was not at fault, so the next attempt goes there, too, after a pause.
    /// But what killed a few machines will kill the next one.
    async fn after_death(&mut self, attempt: &Attempt, error: AwsError) -> Result<Verdict, NotRecorded> {
        let deaths = self.refusals.add_death();
        if deaths >= plan::DEATHS {
            let error = self.role.died_again(deaths, error);
            return Err(failed(error, Some(attempt.token.clone())));
        }
        self.role.pause(Backoff::LAUNCH, deaths, &error).await?;
        Ok(Verdict::of(self.same_again(attempt).await?))
    }

    /// No launch is begun that could still be unanswered when the lease ends, or whose answer could not be written
    /// before the deadline.
    async fn ready_to_send(&self, last: Option<AwsError>) -> Result<(), NotRecorded> {
        let delivery = self.role.delivery;
        loop {
            let now = delivery.now();
            let lease_end = self.held.0.borrow().until;
            match plan::may_send(now, lease_end, delivery.deadline.at, &delivery.launcher.timing) {
                Sending::Now => return Ok(()),
                Sending::TooLate => {
                    let error = match last {
                        Some(error) => self.role.out_of_time(error),
                        None => delivery.deadline_too_close(),
                    };
                    return Err(failed(error, None));
                }
                Sending::RenewFirst => self.renew(now).await?,
            }
        }
    }

    async fn renew(&self, now: Timestamp) -> Result<(), NotRecorded> {
        let delivery = self.role.delivery;
        let current = self.held.0.borrow().clone();
        let until = plan::lease_end(now, delivery.deadline.at, &delivery.launcher.timing);
        match delivery.update(&record::renew(delivery.meeting, current, until)).await {
            Ok(Updated::Done) => {
                self.held.0.borrow_mut().until = until;
                info!(lease_until = %until, "lease renewed");
                Ok(())
            }
            Ok(Updated::Refused(None)) => Err(NotRecorded::Gone),
            Ok(Updated::Refused(Some(found))) => match found.lease {
                // The other role renewed the lease first, or an answer was lost.
                Some(lease) if lease.owner == delivery.owner => {
                    *self.held.0.borrow_mut() = lease;
                    Ok(())
                }
                _ => Err(NotRecorded::TakenOver),
            },
            Err(error) => Err(failed(delivery.table_failed(error), None)),
        }
    }

    /// EC2 refused the attempt for good: go on with the next candidate, if there is one.
    async fn next_place(&self, refused: &Attempt) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let token = || Some(refused.token.clone());
        let places = self.role.places_now().await.map_err(|error| failed(error, token()))?;
        match self.refusals.next(&places.candidates, &refused.parameters, self.bound) {
            Some(candidate) => self.role.write_next(refused, &places, candidate).await.map(Some),
            None => Ok(None),
        }
    }

    /// Make a new attempt in the same place: the last one's token is used up, but its place was not at fault.
    async fn same_again(&self, last: &Attempt) -> Result<Option<Box<Attempt>>, NotRecorded> {
        let places = self.role.places_now().await.map_err(|error| failed(error, None))?;
        match plan::same_again(&places.candidates, &last.parameters, self.bound) {
            Some(candidate) => self.role.write_next(last, &places, candidate).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn exhausted(&self) -> Error {
        let quota = self.refusals.last(Refusal::Quota);
        let capacity = self.refusals.last(Refusal::Capacity);
        let unfit = self.refusals.last(Refusal::Subnet).or_else(|| self.refusals.last(Refusal::Zone));
        let unfit_type = self.refusals.last(Refusal::Type);
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
        let (left, advice) = match self.bound {
            ZoneConstraint::Anywhere | ZoneConstraint::Together => {
                ("every place that was left".to_owned(), advice.to_owned())
            }
            ZoneConstraint::Within(zone) => (
                format!(
                    "every place of {zone}, where the {}'s machine is (PAIR is same-az)",
                    self.role.role.other()
                ),
                "the repeat tries that zone again; add types to INSTANCE_TYPE, or set PAIR to any".to_owned(),
            ),
        };
        let tried = self.refusals.tried();
        let problem = format!("{}: refused in {left} ({tried})", self.role);
        let error = match (quota.or(capacity).or(unfit), unfit_type) {
            (Some(cause), _) => Error::new(kind, problem, advice).caused_by(cause.clone()),
            // Only the type was at fault: no zone and no repeat can help.
            (None, Some(cause)) => {
                Error::new(Kind::InvalidConfiguration, problem, cause.advice.clone()).caused_by(cause.clone())
            }
            (None, None) => Error::new(kind, problem, advice),
        };
        match self.refusals.last_refused() {
            Some(refused) => self.role.of_the_record(refused, error),
            None => error,
        }
    }
}

impl<P: LaunchPorts> OneRole<'_, P> {
    async fn places_now(&self) -> Result<Places, Error> {
        let found = self.delivery.look_up(&[*self]).await;
        self.places(&found.map_err(|error| self.delivery.lookup_failed(&error))?)
    }

    /// Record the machine. If the attempt was refused everywhere, the role ends for the reason that `nowhere` gives.
    pub(super) async fn close(
        &self,
        acquired: Acquired,
        status: Option<Status>,
        nowhere: impl FnOnce(Token) -> NotRecorded,
    ) -> Result<InRecord, NotRecorded> {
        match acquired {
            Acquired::Up(up) => self.record(&up, status).await,
            Acquired::Nowhere(attempt) => Err(nowhere(attempt.token)),
        }
    }

    async fn write_next(
        &self,
        last: &Attempt,
        places: &Places,
        candidate: &Candidate,
    ) -> Result<Box<Attempt>, NotRecorded> {
        let LaunchDelivery { meeting, owner, .. } = self.delivery;
        let next = self
            .attempt(last.next_number(), places, candidate)
            .map_err(|error| failed(error, Some(last.token.clone())))?;
        let update = record::next_attempt(meeting, owner, self.role, &last.token, next.clone());
        let (standing, found) = match self.delivery.update(&update).await {
            Ok(Updated::Done) => (ConflictMeaning::Written, None),
            Ok(Updated::Refused(found)) => {
                (plan::after_refused_next_attempt(found.as_deref(), owner, self.role, &next.token), found)
            }
            Err(error) => return Err(failed(self.delivery.table_failed(error), None)),
        };
        match standing {
            ConflictMeaning::Written => {
                let p = &next.parameters;
                info!(role = %self.role, attempt = next.number, zone = p.availability_zone, instance_type = p.instance_type, "next attempt");
                Ok(Box::new(next))
            }
            ConflictMeaning::Gone => Err(NotRecorded::Gone),
            ConflictMeaning::Over => Err(NotRecorded::over(found.as_deref())),
            ConflictMeaning::TakenOver => Err(NotRecorded::TakenOver),
        }
    }

    /// Find the machine of an attempt by its token; a live one comes first. DescribeInstances lags, so an empty answer
    /// counts only once the effect delay has passed since the token was last used.
    async fn find(
        &self,
        attempt: &Attempt,
        since: Timestamp,
        refusal: &AwsError,
    ) -> Result<Option<Machine>, NotRecorded> {
        let Launcher { ec2, timing, .. } = self.delivery.launcher;
        let settled = after(since, timing.max_effect_delay);
        let mut tries = 0;
        loop {
            let asked = self.delivery.now();
            let found = self.delivery.deadline.ask(Service::Ec2, timing, || ec2.find(&attempt.token)).await;
            let mut found = found.map_err(|error| failed(self.out_of_time(error), None))?;
            if refusal.class == Class::ParameterMismatch {
                // Somebody else may have used the token; only a machine with our tags is ours.
                found.retain(|machine| machine.is_of(attempt));
            }
            found.sort_by_key(|machine| !machine.state.is_live());
            if !found.is_empty() || asked >= settled {
                return Ok(found.into_iter().next());
            }
            tries += 1;
            self.pause(Backoff::EC2, tries, refusal).await?;
        }
    }

    /// Write the id at once, and again until it is in the record. If the record may not have it, end the machine.
    pub(super) async fn record(
        &self,
        &Up { ref attempt, ref machine, outcome }: &Up,
        mut status: Option<Status>,
    ) -> Result<InRecord, NotRecorded> {
        let p = &attempt.parameters;
        let (id, zone, instance_type) = (&machine.instance_id, &p.availability_zone, &p.instance_type);
        match outcome {
            Outcome::Launched => {
                info!(role = %self.role, instance_id = %id, attempt = attempt.number, zone, instance_type, "machine launched");
            }
            Outcome::Adopted | Outcome::AlreadyRecorded => {
                info!(role = %self.role, instance_id = %id, attempt = attempt.number, zone, instance_type, "machine adopted");
            }
        }
        let recorded = Recorded {
            instance_id: id.clone(),
            availability_zone: zone.clone(),
            instance_type: instance_type.clone(),
            launched_at: self.delivery.now(),
        };
        let (standing, found) = loop {
            let to = StatusMove::from_status(&status);
            let update =
                record::instance(self.delivery.meeting, self.role, &attempt.token, recorded.clone(), to);
            let found = match self.delivery.update(&update).await {
                Ok(Updated::Done) => {
                    if to == StatusMove::ToLaunched {
                        status = Some(Status::Launched);
                    }
                    break (ConflictMeaning::Written, None);
                }
                Ok(Updated::Refused(found)) => found,
                Err(error) => {
                    warn!(role = %self.role, instance_id = %id, "machine not recorded; the next delivery adopts it");
                    return Err(failed(self.delivery.table_failed(error), None));
                }
            };
            let standing = plan::after_refused_instance(found.as_deref(), self.role, &attempt.token, machine);
            status = found.as_ref().and_then(|record| record.status.clone());
            match standing {
                Some(standing) => break (standing, found),
                None if self.delivery.deadline.fits(self.delivery.launcher.timing.table) => {}
                None => return Err(failed(self.delivery.deadline_too_close(), None)),
            }
        };
        if standing == ConflictMeaning::Written {
            info!(role = %self.role, instance_id = %id, "machine recorded");
            return Ok(InRecord { machine: MachineAnswer::of(id, p, outcome), status });
        }
        self.terminate_unrecorded(machine, &attempt.token).await?;
        Err(match standing {
            ConflictMeaning::Gone => NotRecorded::Gone,
            ConflictMeaning::Over => NotRecorded::over(found.as_deref()),
            ConflictMeaning::TakenOver | ConflictMeaning::Written => NotRecorded::TakenOver,
        })
    }

    /// End a machine that may not be recorded. If it was recorded all the same, it is left to the next delivery.
    pub(super) async fn terminate_unrecorded(
        &self,
        machine: &Machine,
        token: &Token,
    ) -> Result<(), NotRecorded> {
        let id = &machine.instance_id;
        match self.end(id, token).await {
            Ok(Ended::Ended) => Ok(()),
            Ok(Ended::Kept) => Err(NotRecorded::TakenOver),
            Err(error) => Err(failed(self.left_running(Some(id), error), None)),
        }
    }

    /// Wait before the same attempt is sent again; fail at once if its result could not be recorded in time any more.
    async fn pause(&self, backoff: Backoff, tries: u32, error: &AwsError) -> Result<(), NotRecorded> {
        let pause = backoff.pause(tries, self.delivery.launcher.tokens.jitter());
        self.wait_until(after(self.delivery.now(), pause), error).await
    }

    async fn wait_until(&self, time: Timestamp, error: &AwsError) -> Result<(), NotRecorded> {
        let timing = &self.delivery.launcher.timing;
        let pause: Duration = time.duration_since(self.delivery.now()).try_into().unwrap_or_default();
        if !self.delivery.deadline.fits(pause + timing.run_instances + timing.reserve()) {
            return Err(failed(self.out_of_time(error.clone()), None));
        }
        self.delivery.launcher.clock.sleep(pause).await;
        Ok(())
    }

    /// If the refused request had a value that the record set, the record is at fault and not a setting.
    pub(super) fn of_the_record(&self, refused: &machine::Parameters, error: Error) -> Error {
        let Ok(mut own) = self.overrides.clone() else { return error };
        // A replay may have values that the record set earlier.
        own.image_id = own.image_id.filter(|image| *image == refused.image_id);
        own.instance_types.retain(|kind| *kind == refused.instance_type);
        match own.in_place_of_settings(self.role, &error.advice) {
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

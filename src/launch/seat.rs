//! One role's way: from its attempt in the record to its machine's id in the record.
//!
//! Handles every class of answer to RunInstances. Not handled here: what the two roles have in common (the claim, the
//! write that gives up), which is the delivery's.

use jiff::Timestamp;
use tracing::{info, warn};

use super::answer::{MachineAnswer, Outcome, failed_lookup};
use super::{Delivery, EC2_BACKOFF, Work};
use crate::error::{AwsError, Class, Error, Kind};
use crate::machine::{Attempt, Machine, Token};
use crate::meeting::{Role, Status};
use crate::needs::{Clock, Machines, Meetings, Networks, Tokens, Updated};
use crate::plan::{self, Refusals, Sending, Standing, after};
use crate::record::{self, Lease, Recorded, StatusMove};

/// How often a request is repeated that names something which may not be visible everywhere yet.
const PROPAGATION_TRIES: u32 = 5;

/// How one role's way ended.
pub(super) enum End {
    /// The id stands in the record, which has this status.
    Recorded(MachineAnswer, Option<Status>),
    /// The record is gone; nothing of ours runs for it.
    Gone,
    /// The meeting is over, with this status; nothing of ours runs for this role that the record does not name.
    Over(Option<Status>),
    /// Another delivery has taken over.
    TakenOver,
    Failed(Box<Failed>),
}

pub(super) struct Failed {
    pub error: Error,
    /// The attempt's token, if EC2's refusal of it is the last word: then no machine can come of it any more.
    pub refused: Option<Token>,
}

impl End {
    pub(super) fn failure(&self) -> Option<&Failed> {
        match self {
            End::Failed(failed) => Some(failed),
            End::Recorded(..) | End::Gone | End::Over(_) | End::TakenOver => None,
        }
    }
}

/// An attempt on its way to EC2.
struct InFlight {
    attempt: Attempt,
    /// When an earlier sending of it, if any went unanswered, was on the wire at the latest.
    unanswered: Option<Timestamp>,
    outcome: Outcome,
    tries: u32,
}

impl InFlight {
    fn of(work: Work) -> Self {
        let outcome = if work.unanswered.is_some() { Outcome::Adopted } else { Outcome::Launched };
        InFlight { attempt: work.attempt, unanswered: work.unanswered, outcome, tries: 0 }
    }

    fn new(attempt: Attempt) -> Self {
        InFlight { attempt, unanswered: None, outcome: Outcome::Launched, tries: 0 }
    }
}

/// What a look-up by client token found.
enum Found {
    Live(Machine),
    Dead(Machine),
    Nothing,
}

impl<M: Meetings, E: Machines + Networks, C: Clock, T: Tokens> Delivery<'_, M, E, C, T> {
    pub(super) async fn fill_seat(&self, work: Work, status: StatusMove) -> End {
        self.launch_and_record(work, status).await.unwrap_or_else(|end| end)
    }

    async fn launch_and_record(&self, work: Work, status: StatusMove) -> Result<End, End> {
        let role = work.role;
        let mut sending = InFlight::of(work);
        let mut refusals = Refusals::default();
        let mut last = None;
        loop {
            self.ready_to_send(role, last.take()).await?;
            let attempt = &sending.attempt;
            let sent = self.launcher.clock.now();
            let error = match self.launcher.ec2.run(attempt).await {
                Ok(machine) if machine.state.is_live() => {
                    return self.record(role, attempt, &machine, sending.outcome, status).await;
                }
                Ok(dead) => {
                    sending = InFlight::new(self.after_death(role, attempt, &dead, &mut refusals).await?);
                    continue;
                }
                Err(error) => error,
            };
            info!(%role, attempt = attempt.number, %error, class = ?error.class, "RunInstances gave no machine");
            sending.tries += 1;
            match error.class {
                Class::Capacity | Class::ZoneUnfit | Class::SubnetUnfit | Class::Quota => {
                    if let Err(settled) =
                        plan::refusal_counts(sending.unanswered, sent, &self.launcher.timing)
                    {
                        self.wait_until(settled, role, &error).await?;
                        last = Some(error);
                        continue;
                    }
                    sending = match self.made_by_an_earlier_sending(role, &sending, &error).await? {
                        Found::Live(machine) => {
                            return self
                                .record(role, &sending.attempt, &machine, Outcome::Adopted, status)
                                .await;
                        }
                        Found::Dead(machine) => InFlight::new(
                            self.after_death(role, &sending.attempt, &machine, &mut refusals).await?,
                        ),
                        Found::Nothing => {
                            refusals.add(error.class, &sending.attempt.parameters);
                            InFlight::new(self.after_refusal(role, &sending.attempt, &refusals, error).await?)
                        }
                    };
                }
                Class::Throttled | Class::Ambiguous => {
                    if error.class == Class::Ambiguous {
                        // It was on the wire until now at the latest.
                        sending.unanswered = Some(self.launcher.clock.now());
                    }
                    self.pause(sending.tries, role, &error).await?;
                    last = Some(error);
                }
                Class::Propagating if sending.tries < PROPAGATION_TRIES => {
                    self.pause(sending.tries, role, &error).await?;
                    last = Some(error);
                }
                Class::ParameterMismatch => {
                    // A new attempt's token was ours alone until now, so nothing older than this can be coming.
                    let since = *sending.unanswered.get_or_insert_with(|| self.launcher.clock.now());
                    sending = match self.find(role, &sending.attempt, since, &error).await? {
                        Found::Live(machine) => {
                            return self
                                .record(role, &sending.attempt, &machine, Outcome::Adopted, status)
                                .await;
                        }
                        Found::Dead(machine) => InFlight::new(
                            self.after_death(role, &sending.attempt, &machine, &mut refusals).await?,
                        ),
                        Found::Nothing => InFlight::new(self.same_again(role, &sending.attempt).await?),
                    };
                }
                Class::InstanceTerminated => {
                    sending = InFlight::new(self.same_again(role, &sending.attempt).await?);
                }
                Class::Misconfigured
                | Class::Unauthorized
                | Class::Propagating
                | Class::Unreadable
                | Class::NotSent => {
                    let refused = match plan::refusal_counts(sending.unanswered, sent, &self.launcher.timing)
                    {
                        Err(_) => None,
                        Ok(()) => match self.made_by_an_earlier_sending(role, &sending, &error).await? {
                            Found::Live(machine) => {
                                return self
                                    .record(role, &sending.attempt, &machine, Outcome::Adopted, status)
                                    .await;
                            }
                            Found::Dead(_) | Found::Nothing => Some(sending.attempt.token.clone()),
                        },
                    };
                    return Err(self.failed(self.refused_for_good(role, error), refused));
                }
            }
        }
    }

    /// EC2 may judge a request before it looks at its token: a permission that was taken away, an image that was
    /// deregistered since the attempt was first sent refuse its replay, although a machine of it may be up. So where an
    /// earlier sending was never answered, a refusal is the last word only if the token has no machine.
    async fn made_by_an_earlier_sending(
        &self,
        role: Role,
        sending: &InFlight,
        refusal: &AwsError,
    ) -> Result<Found, End> {
        match sending.unanswered {
            Some(since) => self.find(role, &sending.attempt, since, refusal).await,
            None => Ok(Found::Nothing),
        }
    }

    /// No EC2 request is begun that could still be unanswered when the lease ends, or whose answer could not be
    /// written before the deadline.
    async fn ready_to_send(&self, role: Role, last: Option<AwsError>) -> Result<(), End> {
        loop {
            let now = self.launcher.clock.now();
            match plan::may_send(now, self.lease_end.get(), self.deadline, &self.launcher.timing) {
                Sending::Now => return Ok(()),
                Sending::TooLate => {
                    let error = match last {
                        Some(error) => self.out_of_time(role, error),
                        None => self.deadline_too_close(),
                    };
                    return Err(self.failed(error, None));
                }
                Sending::RenewFirst => self.renew(now).await?,
            }
        }
    }

    async fn renew(&self, now: Timestamp) -> Result<(), End> {
        let until = plan::lease_end(now, self.deadline, &self.launcher.timing);
        let lease = Lease { owner: self.owner.clone(), until };
        match self.update(&record::renew(self.meeting, lease)).await {
            Ok(Updated::Done) => {
                self.lease_end.set(until);
                info!(lease_until = %until, "lease renewed");
                Ok(())
            }
            Ok(Updated::Refused(None)) => Err(End::Gone),
            Ok(Updated::Refused(Some(_))) => Err(End::TakenOver),
            Err(error) => Err(self.failed(self.table_failed(error), None)),
        }
    }

    /// EC2 refused the attempt for good: the next candidate, or the end of the search.
    async fn after_refusal(
        &self,
        role: Role,
        refused: &Attempt,
        refusals: &Refusals,
        error: AwsError,
    ) -> Result<Attempt, End> {
        if error.class == Class::SubnetUnfit {
            self.launcher.lookups.forget();
        }
        let token = Some(refused.token.clone());
        let (candidates, root_device) =
            self.candidates().await.map_err(|e| self.failed(failed_lookup(&e), token.clone()))?;
        match refusals.next(&candidates, &refused.parameters) {
            Some(candidate) => {
                let next = self.attempt(role, refused.number + 1, &root_device, candidate);
                self.write_next(role, refused, next).await
            }
            None => Err(self.failed(self.exhausted(role, refusals, error), token)),
        }
    }

    /// The attempt's machine is dead already, and no other can come of its token.
    async fn after_death(
        &self,
        role: Role,
        attempt: &Attempt,
        dead: &Machine,
        refusals: &mut Refusals,
    ) -> Result<Attempt, End> {
        let reason = dead.state_reason.as_deref().unwrap_or("no reason given");
        info!(%role, attempt = attempt.number, instance_id = %dead.instance_id, reason, "the attempt's machine is dead");
        if !plan::died_of_capacity(dead) {
            return self.same_again(role, attempt).await;
        }
        refusals.add(Class::Capacity, &attempt.parameters);
        let error = AwsError {
            action: "RunInstances",
            class: Class::Capacity,
            code: dead.state_reason.clone(),
            message: format!("{} was started and died for want of capacity", dead.instance_id),
            request_id: None,
            advice: String::new(),
        };
        self.after_refusal(role, attempt, refusals, error).await
    }

    /// A new attempt in the same place: the last one's token is used up, its place was not at fault.
    async fn same_again(&self, role: Role, last: &Attempt) -> Result<Attempt, End> {
        let (candidates, root_device) =
            self.candidates().await.map_err(|e| self.failed(failed_lookup(&e), None))?;
        let candidate = plan::same_again(&candidates, &last.parameters).unwrap_or(&candidates[0]);
        let next = self.attempt(role, last.number + 1, &root_device, candidate);
        self.write_next(role, last, next).await
    }

    async fn write_next(&self, role: Role, last: &Attempt, next: Attempt) -> Result<Attempt, End> {
        let update = record::next_attempt(self.meeting, &self.owner, role, &last.token, next.clone());
        let (standing, status) = match self.update(&update).await {
            Ok(Updated::Done) => (Standing::Written, None),
            Ok(Updated::Refused(found)) => (
                plan::after_refused_next_attempt(found.as_deref(), &self.owner, role, &next.token),
                found.and_then(|record| record.status),
            ),
            Err(error) => return Err(self.failed(self.table_failed(error), None)),
        };
        match standing {
            Standing::Written => {
                let p = &next.parameters;
                info!(%role, attempt = next.number, zone = p.availability_zone, instance_type = p.instance_type, "next attempt");
                Ok(next)
            }
            Standing::Gone => Err(End::Gone),
            Standing::Over => Err(End::Over(status)),
            Standing::TakenOver | Standing::StatusMoved => Err(End::TakenOver),
        }
    }

    /// Find the machine of an attempt by its token. Patiently: DescribeInstances lags, so its silence counts only once
    /// the margin has passed since the token was last used.
    async fn find(
        &self,
        role: Role,
        attempt: &Attempt,
        since: Timestamp,
        refusal: &AwsError,
    ) -> Result<Found, End> {
        let settled = after(since, self.launcher.timing.margin);
        let mut tries = 0;
        loop {
            let asked = self.launcher.clock.now();
            let found = self
                .persist(self.launcher.timing.ec2, EC2_BACKOFF, || self.launcher.ec2.find(&attempt.token))
                .await
                .map_err(|error| self.failed(self.out_of_time(role, error), None))?;
            let mut ours: Vec<Machine> = found.into_iter().filter(|machine| machine.is_of(attempt)).collect();
            ours.sort_by_key(|machine| !machine.state.is_live());
            match ours.into_iter().next() {
                Some(machine) if machine.state.is_live() => return Ok(Found::Live(machine)),
                Some(machine) => return Ok(Found::Dead(machine)),
                None if asked >= settled => return Ok(Found::Nothing),
                None => {
                    tries += 1;
                    self.pause(tries, role, refusal).await?;
                }
            }
        }
    }

    /// Write the id, at once and until it stands. Where it may not stand, end the machine.
    async fn record(
        &self,
        role: Role,
        attempt: &Attempt,
        machine: &Machine,
        outcome: Outcome,
        mut status: StatusMove,
    ) -> Result<End, End> {
        let p = &attempt.parameters;
        info!(
            %role, instance_id = %machine.instance_id, attempt = attempt.number, zone = p.availability_zone,
            instance_type = p.instance_type, ?outcome, "machine launched"
        );
        let recorded = Recorded {
            instance_id: machine.instance_id.clone(),
            availability_zone: p.availability_zone.clone(),
            instance_type: p.instance_type.clone(),
            launched_at: self.launcher.clock.now(),
        };
        let answer = MachineAnswer::of(&machine.instance_id, p, outcome);
        let mut moved = None;
        loop {
            let update = record::record(self.meeting, role, &attempt.token, recorded.clone(), status);
            let found = match self.update(&update).await {
                Ok(Updated::Done) => {
                    info!(%role, instance_id = %machine.instance_id, "machine recorded");
                    let status = match status {
                        StatusMove::ToLaunched => Some(Status::Launched),
                        StatusMove::Keep => moved,
                    };
                    return Ok(End::Recorded(answer, status));
                }
                Ok(Updated::Refused(found)) => found,
                Err(error) => {
                    warn!(%role, instance_id = %machine.instance_id, "machine not recorded; the next delivery adopts it");
                    return Err(self.failed(self.table_failed(error), None));
                }
            };
            let end = match plan::after_refused_record(found.as_deref(), role, &attempt.token, machine) {
                Standing::Written => {
                    return Ok(End::Recorded(answer, found.and_then(|record| record.status)));
                }
                Standing::StatusMoved if self.fits(self.launcher.timing.table) => {
                    moved = found.and_then(|record| record.status);
                    status = StatusMove::from_status(&moved);
                    continue;
                }
                Standing::StatusMoved => return Err(self.failed(self.deadline_too_close(), None)),
                Standing::Gone => End::Gone,
                Standing::Over => End::Over(found.and_then(|record| record.status)),
                Standing::TakenOver => End::TakenOver,
            };
            self.end(role, &machine.instance_id).await.map_err(|error| {
                self.failed(self.left_running(role, Some(&machine.instance_id), error), None)
            })?;
            return Err(end);
        }
    }

    /// Wait before the same attempt is sent again; leave at once if that could not be recorded any more.
    async fn pause(&self, tries: u32, role: Role, error: &AwsError) -> Result<(), End> {
        let (first, ceiling) = EC2_BACKOFF;
        let pause = plan::backoff(tries, self.launcher.tokens.jitter(), first, ceiling);
        self.wait_until(after(self.launcher.clock.now(), pause), role, error).await
    }

    async fn wait_until(&self, time: Timestamp, role: Role, error: &AwsError) -> Result<(), End> {
        let timing = &self.launcher.timing;
        let now = self.launcher.clock.now();
        let pause = time.duration_since(now).try_into().unwrap_or_default();
        if !self.fits(pause + timing.run_instances + timing.reserve()) {
            return Err(self.failed(self.out_of_time(role, error.clone()), None));
        }
        self.launcher.clock.sleep(pause).await;
        Ok(())
    }

    pub(super) fn failed(&self, error: Error, refused: Option<Token>) -> End {
        End::Failed(Box::new(Failed { error, refused }))
    }

    fn exhausted(&self, role: Role, refusals: &Refusals, last: AwsError) -> Error {
        let (kind, advice) = if refusals.has(Class::Quota) {
            (
                Kind::QuotaExceeded,
                "ask for a higher quota in Service Quotas, or add a type of another family to INSTANCE_TYPE",
            )
        } else if refusals.has(Class::Capacity) {
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
        let problem = format!("meeting {}, {role}: refused everywhere ({})", self.meeting, refusals.tried());
        Error::new(kind, problem, advice).caused_by(last)
    }
}

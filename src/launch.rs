//! The story of one delivery: read → plan → claim → launch → record → answer.
//!
//! This file orders the effects; every choice is made in `plan.rs`, every condition of a write stands in `record.rs`.
//! `launch/seat.rs` is one role's way from its attempt to an id in the record, `launch/answer.rs` what is said at the
//! end. The promise is in `lib.rs`.

mod answer;
mod seat;

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

pub use answer::{Answer, MachineAnswer, Outcome};

use crate::config::Config;
use crate::error::{AwsError, Class, Error};
use crate::lookups::{LookupError, Lookups, Surroundings};
use crate::machine::{Attempt, InstanceId, Token};
use crate::meeting::{MeetingId, Role, Status};
use crate::needs::{Clock, Machines, Meetings, Networks, Tokens, Updated};
use crate::network::{Wanted, in_order};
use crate::plan;
use crate::plan::{Candidate, Plan, Reason, Sending, Standing, Step, after};
use crate::record::{self, Failure, Lease, MeetTime, Owner, Record, Update};
use crate::timing::Timing;
use answer::failed_lookup;
use seat::End;

/// The verb `launch` with everything that it needs; lives as long as the function's environment.
pub struct Launcher<M, E, C, T> {
    pub meetings: M,
    pub ec2: E,
    pub clock: C,
    pub tokens: T,
    pub config: Config,
    /// The configuration's choice of subnets, in this Region.
    pub wanted: Wanted,
    pub timing: Timing,
    pub lookups: Lookups,
}

/// Back-off between two tries of the same request to DynamoDB, which refills its buckets quickly.
const TABLE_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Back-off for EC2, whose bucket for RunInstances refills twice a second.
const EC2_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

impl<M: Meetings, E: Machines + Networks, C: Clock, T: Tokens> Launcher<M, E, C, T> {
    /// Look up what does not depend on a meeting, before the first delivery comes. A failure is not the end: the
    /// first delivery looks again, and reports.
    pub async fn warm_up(&self) {
        if let Err(error) = self.surroundings().await {
            warn!(error = %failed_lookup(&error).chain(), "looking up subnets and image failed; the first delivery tries again");
        }
    }

    /// One delivery, answered before `deadline`.
    pub async fn launch(&self, meeting: &MeetingId, deadline: Timestamp) -> Result<Answer, Error> {
        // A delivery that lives longer than the timings assume could write after others have settled its affairs.
        let deadline = deadline.min(after(self.clock.now(), self.timing.delivery));
        let delivery = Delivery {
            launcher: self,
            meeting,
            owner: self.tokens.owner(),
            deadline,
            lease_end: Cell::new(deadline),
        };
        delivery.run().await
    }

    async fn surroundings(&self) -> Result<std::rc::Rc<Surroundings>, LookupError> {
        self.lookups.get(&self.ec2, &self.clock, &self.config, &self.wanted, &self.timing).await
    }
}

/// One invocation of the function for one meeting.
struct Delivery<'l, M, E, C, T> {
    launcher: &'l Launcher<M, E, C, T>,
    meeting: &'l MeetingId,
    owner: Owner,
    deadline: Timestamp,
    lease_end: Cell<Timestamp>,
}

impl<M: Meetings, E: Machines + Networks, C: Clock, T: Tokens> Delivery<'_, M, E, C, T> {
    async fn run(&self) -> Result<Answer, Error> {
        let mut read = self.read().await?;
        let mut claims = 0;
        loop {
            let Some(record) = read else { return Err(self.no_such_meeting()) };
            if let MeetTime::Unreadable(text) = &record.meet_time {
                warn!(
                    meet_time = text,
                    "meet_time is no ISO 8601 time with an offset: this meeting has no launch window"
                );
            }
            let now = self.launcher.clock.now();
            let status = record.status.as_ref();
            let steps =
                match plan::plan(&record, now, self.launcher.config.launch_window, &self.launcher.timing) {
                    Plan::Skip(reason) => return Ok(self.skipped(status, &reason)),
                    Plan::AlreadyRecorded => return Ok(self.already_recorded(&record)),
                    Plan::Leased(until) => return Err(self.busy(until)),
                    Plan::Unsettled(reason, until) => return Err(self.unsettled(&reason, until)),
                    Plan::Settle(reason, open) => return self.settle(status, &reason, open).await,
                    Plan::Launch(steps) => steps,
                };
            let work = self.work(steps).await?;
            match self.claim(&record, &work).await? {
                Claimed::Ours => return self.launch(&record, work).await,
                Claimed::Changed(found) => read = found.map(|record| *record),
            }
            // A record that changes under each claim is left in peace for a moment.
            claims += 1;
            let (first, ceiling) = TABLE_BACKOFF;
            let pause = plan::backoff(claims, self.launcher.tokens.jitter(), first, ceiling);
            if self.fits(pause) {
                self.launcher.clock.sleep(pause).await;
            }
        }
    }

    async fn read(&self) -> Result<Option<Record>, Error> {
        let launcher = self.launcher;
        self.persist(launcher.timing.table, TABLE_BACKOFF, || launcher.meetings.read(self.meeting))
            .await
            .map_err(|error| self.table_failed(error))
    }

    /// The attempts to send: those that stand, and new ones made from what was looked up.
    async fn work(&self, steps: Vec<(Role, Step)>) -> Result<Vec<Work>, Error> {
        let mut work = Vec::new();
        for (role, step) in steps {
            work.push(match step {
                Step::Replay { attempt, unanswered } => Work { role, attempt, unanswered: Some(unanswered) },
                Step::New { number } => {
                    let (candidates, root_device) = self.candidates().await.map_err(|e| failed_lookup(&e))?;
                    let attempt = self.attempt(role, number, &root_device, &candidates[0]);
                    Work { role, attempt, unanswered: None }
                }
            });
        }
        Ok(work)
    }

    async fn candidates(&self) -> Result<(Vec<Candidate>, String), LookupError> {
        if !self.fits(self.launcher.timing.ec2) {
            return Err(LookupError::Aws(not_sent()));
        }
        let surroundings = self.launcher.surroundings().await?;
        let subnets = in_order(self.meeting, surroundings.subnets.clone());
        Ok((
            plan::candidates(&self.launcher.config.instance_types, &subnets),
            surroundings.root_device.clone(),
        ))
    }

    fn attempt(&self, role: Role, number: u32, root_device: &str, candidate: &Candidate) -> Attempt {
        let token = self.launcher.tokens.token();
        plan::attempt(&self.launcher.config, root_device, self.meeting, role, number, token, candidate)
    }

    async fn claim(&self, read: &Record, work: &[Work]) -> Result<Claimed, Error> {
        let now = self.launcher.clock.now();
        let until = plan::lease_end(now, self.deadline, &self.launcher.timing);
        // The claim itself may take a while; without time to send afterwards it would only keep others waiting.
        let claimed = after(now, self.launcher.timing.table);
        if plan::may_send(claimed, until, self.deadline, &self.launcher.timing) == Sending::TooLate {
            return Err(self.deadline_too_close());
        }
        let lease = Lease { owner: self.owner.clone(), until };
        let fresh: Vec<(Role, Attempt)> =
            work.iter().filter(|w| w.unanswered.is_none()).map(|w| (w.role, w.attempt.clone())).collect();
        let planned: Vec<(Role, Attempt)> = work.iter().map(|w| (w.role, w.attempt.clone())).collect();
        let claimed = match self.update(&record::claim(read, lease, &fresh)).await {
            Ok(Updated::Done) => Claimed::Ours,
            Ok(Updated::Refused(found)) => match found {
                Some(found)
                    if plan::after_refused_claim(&found, &self.owner, &planned)
                        == Some(Standing::Written) =>
                {
                    Claimed::Ours
                }
                found => Claimed::Changed(found),
            },
            Err(error) => return Err(self.table_failed(error)),
        };
        if matches!(claimed, Claimed::Ours) {
            self.lease_end.set(until);
            info!(lease_until = %until, "lease taken");
        }
        Ok(claimed)
    }

    /// Both roles at once; then, if one failed, one write that says why.
    async fn launch(&self, record: &Record, work: Vec<Work>) -> Result<Answer, Error> {
        let seat = |role: Role| {
            let work = work.iter().find(|w| w.role == role).cloned();
            async move {
                match work {
                    Some(work) => self.fill_seat(work, record::StatusMove::from_status(&record.status)).await,
                    None => End::Recorded(answer::recorded(record.seat(role)), record.status.clone()),
                }
            }
        };
        let (teacher, student) = tokio::join!(seat(Role::Teacher), seat(Role::Student));
        let ends = [(Role::Teacher, teacher), (Role::Student, student)];
        self.give_up(&ends).await;
        self.answer(record, ends)
    }

    /// Write down why, mark what EC2 refused, and let go of the lease if nothing of ours is open. The error itself
    /// reaches the caller whether or not this can be written.
    async fn give_up(&self, ends: &[(Role, End)]) {
        let failed = || ends.iter().filter_map(|(role, end)| Some((*role, end.failure()?)));
        let Some((_, first)) = failed().next() else { return };
        if ends.iter().any(|(_, end)| matches!(end, End::Gone | End::Over(_) | End::TakenOver)) {
            return;
        }
        let refused: Vec<(Role, Token)> =
            failed().filter_map(|(role, failure)| Some((role, failure.refused.clone()?))).collect();
        let closed = |end: &End| match end {
            End::Recorded(..) => true,
            End::Failed(failure) => failure.refused.is_some(),
            End::Gone | End::Over(_) | End::TakenOver => false,
        };
        let failure = Failure {
            reason: failed().map(|(_, failure)| failure.error.chain()).collect::<Vec<_>>().join(" | "),
            code: first.error.cause.as_deref().map_or(first.error.kind.as_str(), AwsError::code).to_owned(),
            at: self.launcher.clock.now(),
        };
        let nothing_open = ends.iter().all(|(_, end)| closed(end));
        let update = record::give_up(self.meeting, &self.owner, failure, &refused, nothing_open);
        match self.update(&update).await {
            Ok(Updated::Done) => {
                info!(refused = refused.len(), lease_dropped = nothing_open, "failure recorded")
            }
            Ok(Updated::Refused(_)) => info!("failure not recorded: the record has moved on"),
            Err(error) => warn!(%error, "failure not recorded"),
        }
    }

    /// The meeting is over, or its window is: end what its open attempts made and the record does not name.
    async fn settle(
        &self,
        status: Option<&Status>,
        reason: &Reason,
        open: Vec<(Role, Token)>,
    ) -> Result<Answer, Error> {
        for (role, token) in open {
            let ec2 = &self.launcher.ec2;
            let found = self
                .persist(self.launcher.timing.ec2, EC2_BACKOFF, || ec2.find(&token))
                .await
                .map_err(|error| self.left_running(role, None, error))?;
            for machine in found.into_iter().filter(|machine| machine.state.is_live()) {
                self.end(role, &machine.instance_id)
                    .await
                    .map_err(|error| self.left_running(role, Some(&machine.instance_id), error))?;
            }
        }
        Ok(self.skipped(status, reason))
    }

    /// End a machine of ours that no record names. Its `Role` tag goes first: the watchdog would otherwise write
    /// TERMINATED over the meeting, which may be going on with another machine.
    async fn end(&self, role: Role, instance: &InstanceId) -> Result<(), AwsError> {
        let ec2 = &self.launcher.ec2;
        let limit = self.launcher.timing.ec2;
        self.persist(limit, EC2_BACKOFF, || ec2.remove_role_tag(instance)).await?;
        self.persist(limit, EC2_BACKOFF, || ec2.terminate(instance)).await?;
        info!(%role, instance_id = %instance, "machine ended: no record names it");
        Ok(())
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        let launcher = self.launcher;
        self.persist(launcher.timing.table, TABLE_BACKOFF, || launcher.meetings.update(update)).await
    }

    /// Repeat a request that may be repeated (it was refused for its rate, its answer was lost, or it came too early)
    /// as long as it can be answered, within its limit, before the deadline.
    async fn persist<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        limit: Duration,
        (first, ceiling): (Duration, Duration),
        request: impl Fn() -> F,
    ) -> Result<R, AwsError> {
        let mut tries = 0;
        if !self.fits(limit) {
            return Err(not_sent());
        }
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            let pause = plan::backoff(tries, self.launcher.tokens.jitter(), first, ceiling);
            let again = matches!(error.class, Class::Throttled | Class::Ambiguous | Class::Propagating);
            if !again || !self.fits(pause + limit) {
                return Err(error);
            }
            info!(%error, tries, "the same request is sent again");
            self.launcher.clock.sleep(pause).await;
        }
    }

    /// Whether something that takes this long ends before the deadline.
    fn fits(&self, duration: Duration) -> bool {
        after(self.launcher.clock.now(), duration) <= self.deadline
    }
}

/// One role's attempt to send.
#[derive(Clone, Debug)]
struct Work {
    role: Role,
    attempt: Attempt,
    /// The attempt was found in the record, and counts as sent and unanswered until then; `None`: it is new.
    unanswered: Option<Timestamp>,
}

enum Claimed {
    Ours,
    /// The record is not what was read any more: plan anew with this one.
    Changed(Option<Box<Record>>),
}

fn not_sent() -> AwsError {
    AwsError {
        action: "the next request",
        class: Class::NotSent,
        code: None,
        message: "not sent, because its answer could come after the deadline".to_owned(),
        request_id: None,
        advice: String::new(),
    }
}

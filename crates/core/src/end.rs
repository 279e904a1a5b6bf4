//! The verb `end`: a meeting is over, so its machines are ended, also those that no record names yet.
//!
//! First the record says that the meeting is over. Then every machine that the record names is ended, and every machine
//! that an attempt of it made. Last, the schedule that would have launched the meeting is deleted. In any other order,
//! a launch in between would leave a machine behind. If a delivery comes twice or dies half-way, the next delivery goes
//! on. A `launch` that is under way finds the meeting over and ends what it started. The decisions are in
//! `plan/end.rs`.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::answer;
use crate::companion::Pattern;
use crate::companions::{Companions, Fates};
use crate::deadline::{Backoff, Deadline};
use crate::ending::{Acted, Ended, Ending, OnMachine, PATIENTLY};
use crate::error::{AwsError, Error, Kind, Service};
use crate::event;
use crate::launch_schedule::ScheduleName;
use crate::machine::{InstanceId, State, Token};
use crate::meeting::{Role, Status};
use crate::plan::end::{Done, Next, OWNER, next, sent};
use crate::plan::quiescent_at;
use crate::ports::{
    Clock, CompanionSchedules, Deletes, DescribeById, FindByToken, Meetings, Terminate, Tokens, Updated,
};
use crate::record::{self, Owner, Record};
use crate::timing::{Timing, after};

/// What the verb asks of the world.
pub trait EndPorts {
    type Meetings: Meetings;
    type Ec2: FindByToken + DescribeById + Terminate;
    type Schedules: Deletes + CompanionSchedules;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Ender<P: EndPorts> {
    pub meetings: P::Meetings,
    pub ec2: P::Ec2,
    pub schedules: P::Schedules,
    /// Other programs' schedules for a meeting, which are deleted with it.
    pub companions: Vec<Pattern>,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    pub timing: Timing,
}

/// The record says that the meeting is over, and none of its machines serves any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndAnswer {
    pub meeting_id: String,
    pub outcome: Outcome,
    /// Every machine that EC2 was asked to end, by its id: its role, and its state if that was waited for.
    pub machines: BTreeMap<String, MachineAnswer>,
    /// Whether there was a schedule that would have launched the meeting.
    pub schedule_deleted: bool,
    /// What became of other programs' schedules that belong to the meeting (COMPANION_SCHEDULES).
    #[serde(skip_serializing_if = "Fates::is_empty")]
    pub companions: Fates,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineAnswer {
    pub role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// This delivery ended it.
    Ended,
    /// It was over already, for a reason that stays.
    AlreadyOver,
}

impl answer::Outcome for EndAnswer {
    fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Ended => "ended",
            Outcome::AlreadyOver => "already_over",
        }
    }
}

impl<P: EndPorts> Ender<P> {
    /// One delivery, answered before `deadline`.
    pub async fn end(&self, request: &event::End, deadline: Timestamp) -> Result<EndAnswer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        EndDelivery { ender: self, request, deadline }.run().await
    }
}

/// A meeting whose machines are ended.
struct Over {
    /// The record as it was read last.
    last: Record,
    outcome: Outcome,
    machines: BTreeMap<InstanceId, Role>,
    /// The failures for single machines. None of them keeps another machine running, nor the schedule.
    failures: Vec<Error>,
}

struct EndDelivery<'e, P: EndPorts> {
    ender: &'e Ender<P>,
    request: &'e event::End,
    deadline: Deadline<'e, P::Clock, P::Tokens>,
}

impl<P: EndPorts> EndDelivery<'_, P> {
    async fn run(&self) -> Result<EndAnswer, Error> {
        let Over { last, outcome, machines, failures } = self.end_machines().await?;
        let schedule_deleted = self.delete_schedule().await?;
        let companions = self.delete_companions().await?;
        if let Some(first) = failures.into_iter().next() {
            return Err(first);
        }
        self.prune(&last).await?;
        let state = match self.request.wait {
            true => {
                self.wait_for(&machines).await?;
                Some("terminated")
            }
            false => None,
        };
        let machine =
            |(id, role): (&InstanceId, &Role)| (id.to_string(), MachineAnswer { role: role.as_str(), state });
        Ok(EndAnswer {
            meeting_id: self.request.meeting_id.to_string(),
            outcome,
            machines: machines.iter().map(machine).collect(),
            schedule_deleted,
            companions,
        })
    }

    /// Go on until the record says that the meeting is over, and it is known what its attempts made.
    async fn end_machines(&self) -> Result<Over, Error> {
        let mut done = Done::default();
        let mut machines = BTreeMap::new();
        let mut outcome = Outcome::AlreadyOver;
        let mut failures = Vec::new();
        let mut rounds = 0;
        loop {
            let Some(record) = self.read().await? else { return Err(self.no_such_meeting()) };
            match next(&record, &done, self.now(), &self.ender.timing) {
                step @ (Next::Close | Next::TakeLease) => {
                    // Another program may write its status over ours again and again.
                    rounds += 1;
                    self.leave_in_peace(rounds).await?;
                    if step == Next::TakeLease {
                        self.take_lease(&record).await?;
                    } else if self.close(&record, &mut done).await? {
                        outcome = Outcome::Ended;
                    }
                }
                Next::Terminate(named) => {
                    machines.extend(named.iter().map(|(role, id)| (id.clone(), *role)));
                    failures.extend(self.terminate(&record, &named, &mut done).await);
                }
                Next::Settle(open) => {
                    for (role, token) in open {
                        let sent = sent(&record, &token);
                        match self.clean_up(&record, role, token, &mut done).await {
                            Ok(found) => machines.extend(found.map(|id| (id, role))),
                            Err(error) => {
                                done.failed.insert(sent);
                                failures.push(error);
                            }
                        }
                    }
                }
                Next::Wait(until) => self.wait_until(until).await?,
                Next::Done => return Ok(Over { last: record, outcome, machines, failures }),
            }
        }
    }

    /// Whether it was this write that ended the meeting.
    async fn close(&self, read: &Record, done: &mut Done) -> Result<bool, Error> {
        let update = record::terminate(read, &self.request.reason);
        let meetings = &self.ender.meetings;
        if self.ask(Service::DynamoDb, || meetings.update(&update)).await? != Updated::Done {
            return Ok(false);
        }
        info!(reason = self.request.reason, "meeting ended");
        done.closed = true;
        Ok(read.termination_reason.is_none() && read.status != Some(Status::Terminated))
    }

    /// Everything of the meeting is ended, so its attempts are not needed any more. If one may still be on its way to
    /// EC2, or the record has changed, they stay, and the sweep removes them.
    async fn prune(&self, read: &Record) -> Result<(), Error> {
        let attempted = Role::BOTH.iter().any(|role| read.role(*role).attempt.is_some());
        if !attempted || self.now() < quiescent_at(read, &self.ender.timing) {
            return Ok(());
        }
        let (meetings, update) = (&self.ender.meetings, record::prune(read));
        self.ask(Service::DynamoDb, || meetings.update(&update)).await.map(|_| ())
    }

    /// If the record has changed, it is read again.
    async fn take_lease(&self, read: &Record) -> Result<(), Error> {
        let Some(update) = record::take_lease(read, Owner::from(OWNER)) else { return Ok(()) };
        let meetings = &self.ender.meetings;
        if self.ask(Service::DynamoDb, || meetings.update(&update)).await? == Updated::Done {
            info!("lease taken from the launch that was under way");
        }
        Ok(())
    }

    /// End machines. They keep their `Role` tag: the meeting is over, and the watchdog, which may say so once more,
    /// removes the DNS entry of a machine that has one.
    async fn terminate(&self, record: &Record, named: &[(Role, InstanceId)], done: &mut Done) -> Vec<Error> {
        let Ender { ec2, timing, .. } = self.ender;
        let on = OnMachine { ec2, deadline: &self.deadline, timing: *timing, tries: PATIENTLY };
        let mut failures = Vec::new();
        for (role, id) in named {
            done.terminated.insert(id.clone());
            // A machine whose id a person entered may have come up a moment ago.
            let launched_at = record.role(*role).launched_at.unwrap_or_else(|| self.now());
            let known_by = after(launched_at, timing.max_effect_delay + timing.skew);
            match on.act(id, known_by, || ec2.terminate(id)).await {
                Ok(Acted::Done) => info!(%role, instance_id = %id, "machine ended"),
                Ok(Acted::Gone) => info!(%role, instance_id = %id, "machine gone already"),
                Err(error) => {
                    warn!(%role, instance_id = %id, %error, "a machine could not be ended; the others go on");
                    failures.push(self.failed(Service::Ec2, error));
                }
            }
        }
        failures
    }

    /// End what the attempt made, if that is known already.
    async fn clean_up(
        &self,
        record: &Record,
        role: Role,
        token: Token,
        done: &mut Done,
    ) -> Result<Option<InstanceId>, Error> {
        let Ender { meetings, ec2, timing, .. } = self.ender;
        let asked = self.now();
        let found = self.ask(Service::Ec2, || ec2.find(&token)).await?;
        let live = found.iter().find(|machine| machine.state.is_live());
        if let Some(machine) = live {
            // The machine may have come up a moment ago.
            let known_by = after(asked, timing.max_effect_delay);
            let ending = Ending { meetings, ec2, deadline: &self.deadline, timing: *timing, known_by };
            let standing = (self.request.meeting_id.clone(), role, token.clone());
            let ended = ending.terminate_unrecorded(&machine.instance_id, Some(&standing)).await;
            match ended.map_err(|(service, error)| self.failed(service, error))? {
                Ended::Ended => {}
                // Somebody has the meeting go on: begin again.
                Ended::Kept => return Ok(None),
            }
        }
        // A token makes one machine, and no other after that one is dead.
        if !found.is_empty() || asked >= quiescent_at(record, timing) {
            done.settled.insert(sent(record, &token));
        } else {
            done.looked_at.insert(sent(record, &token));
        }
        Ok(live.map(|machine| machine.instance_id.clone()))
    }

    async fn wait_until(&self, until: Timestamp) -> Result<(), Error> {
        let Ender { clock, timing, .. } = self.ender;
        let pause: Duration = until.duration_since(self.now()).try_into().unwrap_or_default();
        // A machine that is found after the pause has to be ended, too.
        if !self.deadline.fits(pause + 2 * timing.table + 3 * timing.ec2) {
            return Err(self.not_quiescent(until));
        }
        info!(%until, "a machine may still come of a launch that was under way");
        clock.sleep(pause).await;
        Ok(())
    }

    async fn delete_schedule(&self) -> Result<bool, Error> {
        let schedules = &self.ender.schedules;
        let name = ScheduleName::of(&self.request.meeting_id);
        let deleted = self.ask(Service::Scheduler, || schedules.delete(&name)).await?;
        if deleted {
            info!(schedule = %name, "schedule deleted");
        }
        Ok(deleted)
    }

    async fn delete_companions(&self) -> Result<Fates, Error> {
        let Ender { companions: patterns, schedules, timing, .. } = self.ender;
        let (meeting, deadline) = (&self.request.meeting_id, &self.deadline);
        let deleted = Companions { patterns, schedules, meeting, deadline, timing: *timing }.delete().await;
        deleted.map_err(|(service, error)| self.failed(service, error))
    }

    /// Wait until EC2 says that each is terminated, or does not show it any more.
    async fn wait_for(&self, machines: &BTreeMap<InstanceId, Role>) -> Result<(), Error> {
        let Ender { ec2, timing, .. } = self.ender;
        let ids: Vec<InstanceId> = machines.keys().cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let gone = self.deadline.until(timing.ec2, async || {
            let looked = self.ask(Service::Ec2, || ec2.look(&ids)).await?;
            let how = |id: &InstanceId| match looked.seen.iter().find(|s| s.instance_id() == id) {
                Some(observed) if observed.machine.state == State::Terminated => None,
                Some(observed) => Some(format!("{id} is {}", observed.machine.state.as_str())),
                None if looked.missing.contains(id) => None,
                None => Some(format!("{id} cannot be seen")),
            };
            let left: Vec<String> = ids.iter().filter_map(how).collect();
            Ok(if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(left) })
        });
        match gone.await? {
            ControlFlow::Break(()) => Ok(()),
            ControlFlow::Continue(left) => Err(self.still_there(&left)),
        }
    }

    /// Wait before the fourth round and each later one: closing, saying why and taking the lease take three rounds.
    async fn leave_in_peace(&self, rounds: u32) -> Result<(), Error> {
        if rounds > 3 {
            let pause = Backoff::TABLE.pause(rounds, self.ender.tokens.jitter());
            if !self.deadline.fits(pause + 2 * self.ender.timing.table) {
                return Err(self.written_over());
            }
            self.ender.clock.sleep(pause).await;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Option<Record>, Error> {
        let meetings = &self.ender.meetings;
        self.ask(Service::DynamoDb, || meetings.read(&self.request.meeting_id)).await
    }

    /// A request, which may be repeated.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.ender.timing, request).await;
        answer.map_err(|error| self.failed(service, error))
    }

    fn now(&self) -> Timestamp {
        self.ender.clock.now()
    }

    fn failed(&self, service: Service, error: AwsError) -> Error {
        Error::of_request(&self.of(), service, error, AGAIN)
    }

    fn of(&self) -> String {
        format!("meeting {}", self.request.meeting_id)
    }

    fn no_such_meeting(&self) -> Error {
        let advice = "check the id and TABLE_NAME; if the meeting was deleted, reconcile ends its machines";
        Error { advice: advice.to_owned(), ..Error::no_such_meeting(&self.request.meeting_id) }
    }

    fn not_quiescent(&self, until: Timestamp) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!(
                "{}: it is over, and a machine that was asked for may still come until {until}",
                self.of()
            ),
            "deliver the same event again after that, or leave what comes to launch and reconcile, which end it",
        )
    }

    fn written_over(&self) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!("{}: another program writes its status again and again", self.of()),
            AGAIN,
        )
    }

    fn still_there(&self, left: &[String]) -> Error {
        Error::new(
            Kind::DeadlineTooClose,
            format!("{}: it is over and its machines end, but {} still", self.of(), left.join(", ")),
            "deliver the same event again to wait on, or raise the function's time-out",
        )
    }
}

const AGAIN: &str = "deliver the same event again: it goes on where this delivery stopped";

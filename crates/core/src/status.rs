//! The verb `status`: what a person wants to know about a meeting, from its record and from EC2, now. It changes
//! nothing.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::Serialize;

use crate::answer;
use crate::deadline::Deadline;
use crate::ending::{Acted, OnMachine, PATIENTLY};
use crate::error::{AwsError, Error, Kind, Service};
use crate::event::{self, Asked};
use crate::fleet::{Looked, MeetingSnapshot, ObservedMachine, Report};
use crate::machine::{Attempt, InstanceId};
use crate::meeting::{MeetingId, Role};
use crate::plan::quiescent_at;
use crate::plan::status::{Running, running};
use crate::ports::{Clock, Consoles, DescribeById, FindByToken, Reports, Tokens};
use crate::record::{Failure, Lost, MeetTime, Record};
use crate::timing::Timing;

/// What the verb asks of the world.
pub trait StatusPorts {
    type Meetings: Reports;
    type Ec2: DescribeById + FindByToken + Consoles;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Observer<P: StatusPorts> {
    pub meetings: P::Meetings,
    pub ec2: P::Ec2,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    /// For the links into the console.
    pub region: Option<String>,
    pub timing: Timing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StatusAnswer {
    Meeting(Box<Meeting>),
    Console(Console),
}

/// A meeting, as its record and EC2 show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Meeting {
    pub meeting_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meet_time: Option<String>,
    /// Until when a delivery of `launch` has, or had, the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_lease_until: Option<String>,
    /// How many machines died and were launched again.
    pub replaced: u32,
    pub machines: BTreeMap<&'static str, MachineAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureAnswer>,
    /// What in the record cannot be understood; then nothing else about the meeting is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Why EC2 could not be asked about everything, as in a zone's disruption. The rest is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_seen: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MachineAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Whether the record names it; if not, it was found by its attempt's token.
    pub recorded: bool,
    /// EC2's state, or `unknown` if EC2 does not show the machine: it was ended more than an hour ago, or launched a
    /// moment ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launched_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptAnswer>,
    /// The last machine of the role that died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostAnswer>,
}

/// The last attempt of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptAnswer {
    pub number: u32,
    pub image_id: String,
    pub instance_type: String,
    pub market: String,
    pub availability_zone: String,
    pub subnet_id: String,
    /// EC2 refused the attempt for good, or its machine died.
    pub refused: bool,
    /// The attempt's machine is being ended.
    pub ending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostAnswer {
    pub instance_id: String,
    pub reason: String,
    pub at: String,
}

/// Why the last delivery of `launch` failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureAnswer {
    pub reason: String,
    pub code: String,
    pub at: String,
}

/// What a machine wrote to its console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Console {
    pub meeting_id: String,
    pub role: &'static str,
    pub instance_id: String,
    /// `null`: there is no output yet. EC2 has it a few minutes after the start.
    pub console: Option<String>,
}

impl answer::Outcome for StatusAnswer {
    fn outcome(&self) -> &'static str {
        match self {
            StatusAnswer::Meeting(_) => "shown",
            StatusAnswer::Console(_) => "console",
        }
    }
}

impl<P: StatusPorts> Observer<P> {
    /// One delivery, answered before `deadline`.
    pub async fn status(&self, request: &event::Status, deadline: Timestamp) -> Result<StatusAnswer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        StatusDelivery { observer: self, meeting: &request.meeting_id, deadline }.run(request.asked).await
    }
}

struct StatusDelivery<'o, P: StatusPorts> {
    observer: &'o Observer<P>,
    meeting: &'o MeetingId,
    deadline: Deadline<'o, P::Clock, P::Tokens>,
}

impl<P: StatusPorts> StatusDelivery<'_, P> {
    async fn run(&self, asked: Asked) -> Result<StatusAnswer, Error> {
        match asked {
            Asked::Now => Ok(StatusAnswer::Meeting(Box::new(self.look().await?.0))),
            Asked::WaitUntilRunning => self.wait_until_running().await,
            Asked::Console(role) => self.console(role).await,
        }
    }

    async fn wait_until_running(&self) -> Result<StatusAnswer, Error> {
        let timing = &self.observer.timing;
        // A look is one request to the table and one to EC2, or three to EC2 if a machine is not recorded yet.
        let limit = timing.table + 3 * timing.ec2;
        let seen = self.deadline.until(limit, async || {
            let (meeting, record, seen) = self.look().await?;
            match running(record.as_ref(), &seen) {
                Running::Both => Ok(ControlFlow::Break(meeting)),
                Running::Never(why) => Err(self.never(&why)),
                Running::NotYet(why) => Ok(ControlFlow::Continue(why)),
            }
        });
        match seen.await? {
            ControlFlow::Break(meeting) => Ok(StatusAnswer::Meeting(Box::new(meeting))),
            ControlFlow::Continue(why) => Err(self.not_yet(&why)),
        }
    }

    async fn console(&self, role: Role) -> Result<StatusAnswer, Error> {
        let report = self.report().await?;
        let record = match report.watched {
            MeetingSnapshot::Stands { record, .. } => record,
            MeetingSnapshot::Unreadable(what) => return Err(self.unreadable(&what)),
            MeetingSnapshot::Missing => return Err(self.no_such_meeting()),
        };
        let found = self.of_the_attempt(&record, role).await?;
        let Some(instance) = record.role(role).instance_id.clone().or(found) else {
            return Err(self.no_machine(role));
        };
        let Some(console) = self.read_console(&record, &instance).await? else {
            return Err(self.gone(role, &instance));
        };
        Ok(StatusAnswer::Console(Console {
            meeting_id: self.meeting.to_string(),
            role: role.as_str(),
            instance_id: instance.to_string(),
            console,
        }))
    }

    /// `None`: the machine is gone.
    async fn read_console(
        &self,
        record: &Record,
        instance: &InstanceId,
    ) -> Result<Option<Option<String>>, Error> {
        let Observer { ec2, timing, .. } = self.observer;
        let read = Cell::new(None);
        let on = OnMachine { ec2, deadline: &self.deadline, timing: *timing, tries: PATIENTLY };
        let reading = || async {
            read.set(ec2.read_console(instance).await?);
            Ok(())
        };
        let acted = on.act(instance, quiescent_at(record, timing), reading).await;
        match acted.map_err(|error| self.failed(Service::Ec2, error))? {
            Acted::Done => Ok(Some(read.take())),
            Acted::Gone => Ok(None),
        }
    }

    /// The record is read first, so that what EC2 shows is as young as can be.
    async fn look(&self) -> Result<(Meeting, Option<Record>, Vec<ObservedMachine>), Error> {
        let report = self.report().await?;
        let meeting_id = self.meeting.to_string();
        let (record, replaced) = match report.watched {
            MeetingSnapshot::Missing => return Err(self.no_such_meeting()),
            MeetingSnapshot::Unreadable(what) => {
                let meeting = Meeting { meeting_id, unreadable: Some(what), ..Meeting::default() };
                return Ok((meeting, None, Vec::new()));
            }
            MeetingSnapshot::Stands { record, replaced, .. } => (record, replaced),
        };
        let mut not_seen = None;
        let ids = self.find_machines(&record, &mut not_seen).await?;
        let seen = self.see(ids.values().cloned().collect(), &mut not_seen).await?;
        let mut machines = BTreeMap::new();
        for (role, lost) in Role::BOTH.into_iter().zip(report.lost) {
            let machine = MachineAnswer {
                recorded: record.role(role).instance_id.is_some(),
                attempt: record.role(role).attempt.as_ref().map(to_attempt),
                lost: lost.map(to_lost),
                ..self.to_machine(ids.get(&role), &seen)
            };
            if machine != MachineAnswer::default() {
                machines.insert(role.as_str(), machine);
            }
        }
        let last_failure = report.failure.map(to_failure);
        let meeting =
            Meeting { replaced, machines, last_failure, not_seen, ..to_meeting(meeting_id, &record) };
        Ok((meeting, Some(record), seen))
    }

    /// The machines that the record names; for a role without one, the machine of its attempt.
    async fn find_machines(
        &self,
        record: &Record,
        not_seen: &mut Option<String>,
    ) -> Result<BTreeMap<Role, InstanceId>, Error> {
        let mut ids = BTreeMap::new();
        for role in Role::BOTH {
            let id = match record.role(role).instance_id.clone() {
                Some(id) => Some(id),
                None => seen_or(self.of_the_attempt(record, role).await, not_seen)?,
            };
            ids.extend(id.map(|id| (role, id)));
        }
        Ok(ids)
    }

    async fn see(
        &self,
        all: Vec<InstanceId>,
        not_seen: &mut Option<String>,
    ) -> Result<Vec<ObservedMachine>, Error> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let Observer { ec2, timing, .. } = self.observer;
        let looked = self.deadline.ask_times(LOOKS, Service::Ec2, timing, || ec2.look(&all)).await;
        let looked: Looked = seen_or(looked.map_err(|error| self.failed(Service::Ec2, error)), not_seen)?;
        Ok(looked.seen)
    }

    /// A machine that a delivery launched and has not recorded yet.
    async fn of_the_attempt(&self, record: &Record, role: Role) -> Result<Option<InstanceId>, Error> {
        let Some(attempt) = record.role(role).open_attempt() else { return Ok(None) };
        let ec2 = &self.observer.ec2;
        let find = || ec2.find(&attempt.token);
        let found = self.deadline.ask_times(LOOKS, Service::Ec2, &self.observer.timing, find).await;
        let mut found = found.map_err(|error| self.failed(Service::Ec2, error))?;
        found.sort_by_key(|machine| !machine.state.is_live());
        Ok(found.into_iter().next().map(|machine| machine.instance_id))
    }

    fn to_machine(&self, id: Option<&InstanceId>, seen: &[ObservedMachine]) -> MachineAnswer {
        let Some(id) = id else { return MachineAnswer::default() };
        let observed = seen.iter().find(|observed| observed.instance_id() == id);
        let addresses = observed.map(|observed| observed.addresses.clone()).unwrap_or_default();
        MachineAnswer {
            instance_id: Some(id.to_string()),
            state: Some(observed.map_or("unknown", |observed| observed.machine.state.as_str())),
            state_reason: observed.and_then(|observed| observed.machine.state_reason.clone()),
            private_ip: addresses.private_ip,
            public_ip: addresses.public_ip,
            dns_name: addresses.dns_name,
            launched_at: observed.map(|observed| observed.launched_at.to_string()),
            console_url: self.observer.region.as_deref().map(|region| console_url(region, id)),
            ..MachineAnswer::default()
        }
    }

    async fn report(&self) -> Result<Report, Error> {
        let meetings = &self.observer.meetings;
        self.ask(Service::DynamoDb, || meetings.report(self.meeting)).await
    }

    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.observer.timing, request).await;
        answer.map_err(|error| self.failed(service, error))
    }

    fn failed(&self, service: Service, error: AwsError) -> Error {
        Error::of_request(&self.of(), service, error, "ask again")
    }

    fn of(&self) -> String {
        format!("meeting {}", self.meeting)
    }

    fn no_such_meeting(&self) -> Error {
        Error::no_such_meeting(self.meeting)
    }

    fn unreadable(&self, what: &str) -> Error {
        Error::new(
            Kind::InvalidRecord,
            format!("{}: {what}", self.of()),
            "correct the attribute in the record and ask again",
        )
    }

    fn no_machine(&self, role: Role) -> Error {
        Error::new(
            Kind::MachineNotFound,
            format!("{}: the {role} has no machine", self.of()),
            "ask without `console` for what became of it",
        )
    }

    fn gone(&self, role: Role, instance: &InstanceId) -> Error {
        Error::new(
            Kind::MachineNotFound,
            format!(
                "{}: the {role}'s machine {instance} is dead, and EC2 has no console of it any more",
                self.of()
            ),
            "ask without `console` for what became of it",
        )
    }

    fn never(&self, why: &str) -> Error {
        Error::new(
            Kind::MeetingOver,
            format!("{}: {why}, so its machines will not run", self.of()),
            "ask without `wait` for what became of them",
        )
    }

    fn not_yet(&self, why: &str) -> Error {
        Error::new(
            Kind::DeadlineTooClose,
            format!("{}: {why}, and the time was up", self.of()),
            "ask again to wait on, or raise the function's time-out",
        )
    }
}

/// How often a look at EC2 is tried. The record is worth showing without it.
const LOOKS: u32 = 3;

/// What EC2 showed. If EC2 gave no answer: nothing, and the reason. What somebody has to mend is an error.
fn seen_or<S: Default>(looked: Result<S, Error>, not_seen: &mut Option<String>) -> Result<S, Error> {
    match looked {
        Err(error) if error.kind.is_retryable() => {
            not_seen.get_or_insert(error.chain());
            Ok(S::default())
        }
        looked => looked,
    }
}

/// What the record alone says.
fn to_meeting(meeting_id: String, record: &Record) -> Meeting {
    Meeting {
        meeting_id,
        status: record.status.as_ref().map(|status| status.as_str().to_owned()),
        termination_reason: record.termination_reason.clone(),
        meet_time: match &record.meet_time {
            MeetTime::Missing => None,
            MeetTime::At(time) => Some(time.to_string()),
            MeetTime::Unreadable(text) => Some(text.clone()),
        },
        launch_lease_until: record.lease.as_ref().map(|lease| lease.until.to_string()),
        ..Meeting::default()
    }
}

fn to_lost(lost: Lost) -> LostAnswer {
    LostAnswer { instance_id: lost.instance_id.to_string(), reason: lost.reason, at: lost.at.to_string() }
}

fn to_failure(failure: Failure) -> FailureAnswer {
    FailureAnswer { reason: failure.reason, code: failure.code, at: failure.at.to_string() }
}

fn to_attempt(attempt: &Attempt) -> AttemptAnswer {
    let p = &attempt.parameters;
    AttemptAnswer {
        number: attempt.number,
        image_id: p.image_id.clone(),
        instance_type: p.instance_type.clone(),
        market: p.market.to_string(),
        availability_zone: p.availability_zone.clone(),
        subnet_id: p.subnet_id.clone(),
        refused: attempt.refused,
        ending: attempt.ending,
    }
}

/// The machine's page in the AWS console of its partition.
fn console_url(region: &str, id: &InstanceId) -> String {
    let domain = match region {
        region if region.starts_with("cn-") => "amazonaws.cn",
        region if region.starts_with("us-gov-") => "amazonaws-us-gov.com",
        _ => "aws.amazon.com",
    };
    format!("https://{region}.console.{domain}/ec2/home?region={region}#InstanceDetails:instanceId={id}")
}

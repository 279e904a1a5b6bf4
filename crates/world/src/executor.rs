//! Runs deliveries of the real engine against the world in memory: every request of a delivery waits here until the test
//! says what happens to it, and only the test moves the clock.
//!
//! [`Executor::run`] answers every request as AWS would, except for the faults that were planned; the explorer takes
//! every course. `promise.rs` checks the promise after every step; [`State::breaches`] has what it finds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_core::companion::{Companion, CompanionName};
use elephant_core::config::{Config, ReconcileConfig};
use elephant_core::end::{self, EndPorts, Ender};
use elephant_core::error::{AwsError, Class, Error};
use elephant_core::event;
use elephant_core::fleet::{Counted, Leftover, Looked, MeetingSnapshot, ORPHAN_TAG, ObservedMachine, Report};
use elephant_core::image::{Architecture, Image};
use elephant_core::key_pair::KeyType;
use elephant_core::launch::{LaunchAnswer, LaunchPorts, Launcher};
use elephant_core::launch_schedule::ScheduleName;
use elephant_core::launch_template::{LaunchTemplate, Template};
use elephant_core::lookups::Lookups;
use elephant_core::machine::{Attempt, InstanceId, Machine, State as MachineState, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::network::{Found, Network, Offerings, Pair, SubnetSelection};
use elephant_core::ports::{
    Clock, CompanionSchedules, Consoles, Counts, Deletes, DescribeById, FindByToken, Fleet, Images,
    InstanceTypes, KeyPairs, LaunchTemplates, Leftovers, Machines, Meetings, Networks, ParameterStore,
    Reports, Starts, StatusChecks, Terminate, Tokens, Updated, Watch,
};
use elephant_core::reconcile::{self, ReconcilePorts, Reconciler};
use elephant_core::record::{Change, Owner, Record, Update};
use elephant_core::status::StatusPorts;
use elephant_core::timing::{Timing, Window};
use jiff::{SignedDuration, Timestamp};

use super::cloud::{self, Cloud};
use super::sabotage::{Guard, is_claim};
use super::table::Table;
use super::{aws_error, config, start};

/// One request of a delivery, or its sleep.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful live at once")]
pub enum Call {
    GetItem(MeetingId),
    UpdateItem(Update),
    RunInstances(Attempt),
    DescribeInstances(Token),
    DeleteTags(InstanceId),
    TerminateInstances(InstanceId),
    DescribeSubnets,
    DescribeImages,
    DeleteSchedule(ScheduleName),
    /// What a sweep lists and reads; each happens at one moment.
    List(String),
    Look(Vec<InstanceId>),
    ReadAll(BTreeSet<MeetingId>),
    FindDue(Timestamp, Timestamp),
    Mark(InstanceId, Timestamp),
    Unmark(InstanceId),
    StartInstances(InstanceId),
    Sleep(Timestamp),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Call::GetItem(_) => "GetItem",
            Call::UpdateItem(_) => "UpdateItem",
            Call::RunInstances(_) => "RunInstances",
            Call::DescribeInstances(_) => "DescribeInstances",
            Call::DeleteTags(_) => "DeleteTags",
            Call::TerminateInstances(_) => "TerminateInstances",
            Call::DescribeSubnets => "DescribeSubnets",
            Call::DescribeImages => "DescribeImages",
            Call::DeleteSchedule(_) => "DeleteSchedule",
            Call::List(_) | Call::Look(_) => "DescribeInstances",
            Call::ReadAll(_) => "BatchGetItem",
            Call::FindDue(..) => "Query",
            Call::Mark(..) => "CreateTags",
            Call::Unmark(_) => "DeleteTags",
            Call::StartInstances(_) => "StartInstances",
            Call::Sleep(_) => "Sleep",
        }
    }

    /// The role that the request is about, if any.
    pub fn role(&self) -> Option<&str> {
        match self {
            Call::RunInstances(attempt) => attempt.parameters.tags.get("Role").map(String::as_str),
            Call::UpdateItem(update) => update.changes.iter().find_map(|change| match change {
                Change::Instance(role, _) => Some(role.as_str()),
                _ => None,
            }),
            _ => None,
        }
    }

    /// The request in plain words, for a story.
    pub fn in_words(&self) -> String {
        match self {
            Call::GetItem(_) => "reads the record".into(),
            Call::UpdateItem(update) => {
                let each: Vec<String> = update.changes.iter().filter_map(change_in_words).collect();
                format!("writes {}", each.join(", "))
            }
            Call::RunInstances(attempt) => {
                let p = &attempt.parameters;
                let role = self.role().unwrap_or("?");
                format!(
                    "launches the {role} by {} ({} in {})",
                    attempt.token, p.instance_type, p.availability_zone
                )
            }
            Call::DescribeInstances(token) => format!("looks for the machine of {token}"),
            Call::DeleteTags(id) => format!("removes the Role tag of {id}"),
            Call::TerminateInstances(id) => format!("ends {id}"),
            Call::DescribeSubnets => "looks up the subnets".into(),
            Call::DescribeImages => "looks up the image".into(),
            Call::DeleteSchedule(name) => format!("deletes the schedule {name}"),
            Call::List(_) => "lists the machines".into(),
            Call::Look(ids) => format!("looks at {} machines by id", ids.len()),
            Call::ReadAll(_) => "reads the records".into(),
            Call::FindDue(..) => "asks for the meetings that are due".into(),
            Call::Mark(id, _) => format!("marks {id} as an orphan"),
            Call::Unmark(id) => format!("takes the mark from {id}"),
            Call::StartInstances(id) => format!("starts {id}"),
            Call::Sleep(_) => "waits".into(),
        }
    }

    pub fn writes_an_id(&self) -> bool {
        matches!(self, Call::UpdateItem(update) if update.changes.iter().any(|c| matches!(c, Change::Instance(..))))
    }

    /// After this time the caller gives the request up as unanswered.
    pub fn limit(&self, timing: &Timing) -> Duration {
        match self {
            Call::GetItem(_) | Call::UpdateItem(_) | Call::ReadAll(_) | Call::FindDue(..) => timing.table,
            Call::DeleteSchedule(_) => timing.scheduler,
            Call::RunInstances(_) => timing.run_instances,
            _ => timing.ec2,
        }
    }

    /// Whether the request changes anything when it takes effect.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Call::UpdateItem(_)
                | Call::RunInstances(_)
                | Call::DeleteTags(_)
                | Call::TerminateInstances(_)
                | Call::Mark(..)
                | Call::Unmark(_)
                | Call::StartInstances(_)
        )
    }

    pub fn is_sleep(&self) -> bool {
        matches!(self, Call::Sleep(_))
    }
}

fn change_in_words(change: &Change) -> Option<String> {
    Some(match change {
        Change::Lease(lease) => format!("the lease until {}", clock(lease.until)),
        Change::DropLease => "no lease".into(),
        Change::Attempt(role, attempt) => {
            format!("attempt {} of the {role} ({})", attempt.number, attempt.token)
        }
        Change::Refused(role) => format!("the {role}'s attempt as refused"),
        Change::Ending(role) => format!("that the {role}'s machine is going to be ended"),
        Change::Instance(role, machine) => format!("{} as the {role}'s machine", machine.instance_id),
        Change::Launched => "LAUNCHED".into(),
        Change::Failure(failure) => format!("the failure {}", failure.code),
        Change::ForgetFailure => return None,
        Change::MeetTime(text) => format!("the time {text}"),
        Change::Terminated(reason) => format!("TERMINATED, {reason}"),
        Change::Noted(role, note) => format!("that the {role}'s machine is {}", note.state.as_str()),
        Change::Ready(_) => "that both machines run".into(),
        Change::Pruned => "that nothing of a launch is left".into(),
        Change::Lost(role, lost) => format!("that the {role}'s machine {} is lost", lost.instance_id),
    })
}

/// Seconds since the story began.
pub fn clock(time: Timestamp) -> String {
    format!("{:.1} s", time.duration_since(start()).as_secs_f64())
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is answered as AWS would.
    Answered,
    /// There is no answer and no effect.
    LostBefore,
    /// There is no answer, but an effect. A server error with an effect is the same.
    LostAfter,
    /// There is no answer; the effect comes this much later, whatever happens to the caller.
    LateBy(Duration),
    /// There is no answer; the effect comes later or never, as the explorer decides. Only for requests that change
    /// something.
    Late,
    /// This error is the answer, before EC2 looks at the client token; there is no effect.
    Fails(Class, &'static str),
    /// EC2 refuses after it looked at the client token, which is then bound to the request.
    Refuses(Class, &'static str),
    /// The answer is a 200, and the machine dies at once for lack of capacity.
    Stillborn,
    /// DescribeInstances does not yet show the machine.
    Lags,
    /// The delivery dies before the request takes effect, or after.
    DiesBefore,
    DiesAfter,
}

#[allow(clippy::large_enum_variant, reason = "a handful live at once")]
pub enum Reply {
    Record(Result<Option<Record>, AwsError>),
    Updated(Result<Updated, AwsError>),
    Machine(Result<Machine, AwsError>),
    Machines(Result<Vec<Machine>, AwsError>),
    Done(Result<(), AwsError>),
    Subnets(Result<Found, AwsError>),
    Image(Result<Image, AwsError>),
    Deleted(Result<bool, AwsError>),
    Sightings(Result<Vec<ObservedMachine>, AwsError>),
    Looked(Result<Looked, AwsError>),
    Records(Result<BTreeMap<MeetingId, MeetingSnapshot>, AwsError>),
    Due(Result<BTreeSet<MeetingId>, AwsError>),
    Woken,
}

impl Reply {
    fn error(&self) -> Option<&AwsError> {
        match self {
            Reply::Record(answer) => answer.as_ref().err(),
            Reply::Updated(answer) => answer.as_ref().err(),
            Reply::Machine(answer) => answer.as_ref().err(),
            Reply::Machines(answer) => answer.as_ref().err(),
            Reply::Done(answer) => answer.as_ref().err(),
            Reply::Subnets(answer) => answer.as_ref().err(),
            Reply::Image(answer) => answer.as_ref().err(),
            Reply::Deleted(answer) => answer.as_ref().err(),
            Reply::Sightings(answer) => answer.as_ref().err(),
            Reply::Looked(answer) => answer.as_ref().err(),
            Reply::Records(answer) => answer.as_ref().err(),
            Reply::Due(answer) => answer.as_ref().err(),
            Reply::Woken => None,
        }
    }
}

pub struct Pending {
    pub number: u64,
    pub delivery: usize,
    /// The number of the request in its delivery.
    ordinal: u32,
    pub call: Call,
    pub sent: Timestamp,
    reply: Option<Reply>,
}

/// What a delivery is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Launch,
    End,
    Reconcile,
    Status,
}

/// What the world knows about a delivery.
pub struct Known {
    pub verb: Verb,
    pub meeting: MeetingId,
    pub deadline: Timestamp,
    /// How far the delivery's clock is ahead of the world's.
    pub skew: SignedDuration,
    pub config: Config,
    tokens: u32,
    calls: u32,
    /// A hash of all answers that the delivery got, with their times. The engine is deterministic, so this is its state.
    history: u64,
    /// The owner that it writes into a lease.
    pub owner: Option<Owner>,
    /// The life of the record in which it took the lease. A record that is deleted and made again has another life.
    pub claimed: Option<u32>,
    pub ended: bool,
    /// The life of the record that it read first: its answer is about that one.
    pub read: Option<u32>,
    /// How many steps other programs had made when it last read the record.
    pub acts_before: usize,
}

/// A request for which nobody waits any more, and which may still take effect.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub call: Call,
    delivery: usize,
    pub sent: Timestamp,
    due: Option<Timestamp>,
}

impl InFlight {
    /// The attempt, if it is a launch.
    pub fn launch(&self) -> Option<&Attempt> {
        match &self.call {
            Call::RunInstances(attempt) => Some(attempt),
            _ => None,
        }
    }
}

pub struct State {
    /// The true timings; the engine may be given others.
    pub truth: Timing,
    pub now: Timestamp,
    pub table: Table,
    pub cloud: Cloud,
    pub pending: Vec<Pending>,
    pub known: Vec<Known>,
    calls: u64,
    /// The names of all requests that were answered.
    pub requests: Vec<&'static str>,
    /// Every attempt that was ever in a record, with the life of that record.
    pub written: Vec<(Attempt, u32)>,
    pub in_flight: Vec<InFlight>,
    /// The machines that a delivery has ended.
    pub ended: BTreeSet<InstanceId>,
    /// The life of each meeting's record: it changes when the record is deleted.
    pub lives: BTreeMap<MeetingId, u32>,
    /// How many steps other programs have made for a meeting.
    pub acts: BTreeMap<MeetingId, usize>,
    /// The roles whose recorded machine a sweep found dead.
    pub forgotten: BTreeSet<(MeetingId, Role)>,
    /// Recorded machines that a sweep has announced to end and replace.
    pub replacing: BTreeSet<InstanceId>,
    /// Meetings whose machines somebody ended without giving a reason.
    pub ended_unsaid: BTreeSet<MeetingId>,
    /// The roles for which a person entered an id by hand: that person is responsible for earlier machines of the role.
    pub by_hand: BTreeSet<(MeetingId, Role)>,
    /// The guard of the protocol that is switched off.
    pub off: Option<Guard>,
    /// The check also requires that each launch is sent under a lease that excludes every other launch.
    pub strict: bool,
    /// Verbs that only read find a record that cannot be understood.
    pub unreadable: bool,
    /// What sweeps have counted.
    pub counted: Vec<Counted>,
    /// The one-time schedules that exist.
    pub schedules: BTreeSet<ScheduleName>,
    /// Look-ups are answered at once: they are cached, and the explorer does not cover them.
    pub lookups_are_cached: bool,
    /// An earlier course reached this state in the same way, and the promise was checked then.
    pub is_known: bool,
    /// `None`: nobody reads it.
    pub story: Option<Vec<String>>,
    pub breaches: Vec<String>,
    /// The classes of all errors that a delivery met.
    pub classes: HashSet<Class>,
}

/// A handle on the world; clones are the same world.
#[derive(Clone)]
pub struct World(pub Rc<RefCell<State>>);

impl World {
    pub fn new(records: impl IntoIterator<Item = Record>) -> World {
        let mut table = Table::default();
        table.records.extend(records.into_iter().map(|record| (record.meeting_id.clone(), record)));
        World(Rc::new(RefCell::new(State {
            // The time-out of the template: what does not fit is left to the next delivery, which a course
            // has to come to. How a delivery outlives its lease is the explorer's brief scenarios' part.
            truth: Timing { delivery: Duration::from_secs(300), ..Timing::DEFAULT },
            now: start(),
            table,
            cloud: Cloud::default(),
            pending: Vec::new(),
            known: Vec::new(),
            calls: 0,
            requests: Vec::new(),
            written: Vec::new(),
            in_flight: Vec::new(),
            ended: BTreeSet::new(),
            lives: BTreeMap::new(),
            acts: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            replacing: BTreeSet::new(),
            ended_unsaid: BTreeSet::new(),
            off: None,
            strict: true,
            unreadable: false,
            counted: Vec::new(),
            schedules: BTreeSet::new(),
            lookups_are_cached: false,
            is_known: false,
            story: Some(Vec::new()),
            breaches: Vec::new(),
            classes: HashSet::new(),
        })))
    }

    pub fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    /// Lets time pass while no delivery is under way.
    pub fn pass(&self, duration: Duration) {
        let until = self.now() + duration;
        self.0.borrow_mut().move_clock(until);
    }

    pub fn record(&self, id: &str) -> Record {
        self.0.borrow().table.records[&super::meeting(id)].clone()
    }

    /// The ids of the live machines of a role.
    pub fn live(&self, id: &str, role: Role) -> Vec<String> {
        let state = self.0.borrow();
        let of = |l: &&super::cloud::Launched| l.meeting() == id && l.role() == role.as_str();
        state.cloud.live().filter(of).map(|l| l.machine.instance_id.to_string()).collect()
    }

    /// The ports of a delivery that begins now.
    pub fn port(
        &self,
        verb: Verb,
        id: &str,
        config: Config,
        time_left: Duration,
        skew: SignedDuration,
    ) -> Port {
        let mut state = self.0.borrow_mut();
        let deadline = state.now + time_left;
        let delivery = state.known.len();
        state.known.push(Known {
            verb,
            meeting: super::meeting(id),
            deadline,
            skew,
            config,
            tokens: 0,
            calls: 0,
            history: 0,
            owner: None,
            claimed: None,
            ended: false,
            read: None,
            acts_before: 0,
        });
        state.tell(|| match verb {
            Verb::Launch => format!("delivery {delivery} begins"),
            Verb::End => format!("delivery {delivery} begins to end the meeting"),
            Verb::Reconcile => format!("delivery {delivery} begins to sweep"),
            Verb::Status => format!("delivery {delivery} asks how it is"),
        });
        Port { world: self.clone(), delivery }
    }

    /// The story so far, for a failure.
    pub fn story(&self) -> String {
        self.0.borrow().story.iter().flatten().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Another program of the system writes, without conditions, as it does in reality.
    pub fn set_status(&self, id: &str, status: Option<Status>) {
        let mut state = self.0.borrow_mut();
        state.tell(|| format!("another program writes the status {status:?}"));
        state.acted(&super::meeting(id));
        state.table.records.get_mut(&super::meeting(id)).expect("the record").status = status;
    }

    pub fn delete(&self, id: &str) {
        self.0.borrow_mut().delete(&super::meeting(id));
    }
}

impl State {
    /// The sender is dead: its request may still take effect, or not.
    pub fn leave_on_the_wire(&mut self, number: u64) {
        let pending = self.pending.iter().find(|p| p.number == number).expect("it is pending");
        let (call, delivery, sent) = (pending.call.clone(), pending.delivery, pending.sent);
        let fate = if call.changes() { Fate::Late } else { Fate::LostBefore };
        let _: Option<Reply> = self.meet(&call, delivery, sent, &fate);
        self.tell(|| format!("delivery {delivery} had sent a request: {}", call.in_words()));
        self.check();
    }
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>7}  {}", clock(now), line()));
        }
    }

    pub fn delete(&mut self, id: &MeetingId) {
        self.tell(|| "another program deletes the record".into());
        self.table.delete(id);
        self.acted(id);
        self.by_hand.retain(|(meeting, _)| meeting != id);
        self.ended_unsaid.remove(id);
        *self.lives.entry(id.clone()).or_default() += 1;
    }

    /// Another program has changed something in the meeting.
    pub fn acted(&mut self, id: &MeetingId) {
        *self.acts.entry(id.clone()).or_default() += 1;
    }

    pub fn life(&self, id: &MeetingId) -> u32 {
        self.lives.get(id).copied().unwrap_or_default()
    }

    /// Late requests take effect on the way, each at its time.
    pub fn move_clock(&mut self, until: Timestamp) {
        let due = |state: &State| {
            let due = |i: &usize| state.in_flight[*i].due.filter(|due| *due <= until);
            (0..state.in_flight.len()).filter_map(|i| Some((due(&i)?, i))).min()
        };
        while let Some((at, index)) = due(self) {
            self.now = at;
            self.take_effect(index);
        }
        self.now = self.now.max(until);
        let delay = self.truth.max_effect_delay;
        self.in_flight.retain(|request| request.sent + delay > until);
        self.check();
    }

    /// Whether anything would change if this request took effect now.
    pub fn would_change(&self, index: usize) -> bool {
        let machine = |id: &InstanceId| self.cloud.machines.iter().find(|l| l.machine.instance_id == *id);
        match &self.in_flight[index].call {
            Call::UpdateItem(update) => {
                let mut table = self.table.clone();
                table.update(&self.sabotaged(update)) == Updated::Done
                    && table.records.get(&update.meeting_id) != self.table.records.get(&update.meeting_id)
            }
            Call::RunInstances(attempt) => !self.cloud.has_seen(attempt),
            Call::DeleteTags(id) => machine(id).is_some_and(|l| l.machine.tags.contains_key("Role")),
            Call::TerminateInstances(id) => machine(id).is_some_and(|l| l.machine.state.is_live()),
            Call::Mark(id, _) => machine(id).is_some_and(|l| !l.machine.tags.contains_key(ORPHAN_TAG)),
            Call::Unmark(id) => machine(id).is_some_and(|l| l.machine.tags.contains_key(ORPHAN_TAG)),
            Call::StartInstances(id) => machine(id).is_some_and(|l| l.machine.state == MachineState::Stopped),
            _ => false,
        }
    }

    /// A request for which nobody waits takes effect.
    pub fn take_effect(&mut self, index: usize) {
        let InFlight { call, delivery, .. } = self.in_flight.remove(index);
        let reply = self.apply(&call, delivery);
        self.tell(|| {
            let outcome = outcome(&Fate::Answered, Some(&reply));
            format!(
                "an unanswered request of delivery {delivery} takes effect: it {}: {outcome}",
                call.in_words()
            )
        });
        self.check();
    }

    fn apply(&mut self, call: &Call, delivery: usize) -> Reply {
        match call {
            Call::GetItem(id) => {
                let life = self.life(id);
                self.known[delivery].read.get_or_insert(life);
                self.known[delivery].acts_before = self.acts.get(id).copied().unwrap_or_default();
                let record = self.as_read(self.table.records.get(id).cloned(), self.known[delivery].verb);
                Reply::Record(Ok(record))
            }
            Call::UpdateItem(update) => Reply::Updated(Ok(self.write(update, delivery))),
            Call::RunInstances(attempt) => Reply::Machine(self.cloud.run(attempt, self.now)),
            Call::DescribeInstances(token) => Reply::Machines(self.as_found(token)),
            Call::DeleteTags(id) => Reply::Done(match self.off {
                Some(Guard::TheRoleTagGoesFirst) => Ok(()),
                _ => self.cloud.remove_role_tag(id),
            }),
            Call::TerminateInstances(id) => {
                // With its Role tag it is ended because its meeting is over, as another program does.
                let as_another = self.has_role_tag(id) || self.cloud.machine(id).is_none();
                if self.known[delivery].verb == Verb::Launch || !as_another {
                    self.check_end(id);
                    self.ended.insert(id.clone());
                }
                Reply::Done(match self.off {
                    Some(Guard::WhatMovesIsEndedFirst) => Ok(()),
                    _ => self.cloud.terminate(id),
                })
            }
            Call::DescribeSubnets => Reply::Subnets(Ok(self.cloud.found())),
            Call::DescribeImages => Reply::Image(Ok(cloud::image("ami-1"))),
            Call::DeleteSchedule(name) => Reply::Deleted(Ok(self.schedules.remove(name))),
            Call::List(project) => Reply::Sightings(self.as_listed(project)),
            Call::Look(ids) => Reply::Looked(Ok(self.as_looked(ids))),
            Call::ReadAll(meetings) => Reply::Records(Ok(self.as_read_all(meetings))),
            Call::FindDue(from, until) => Reply::Due(Ok(self.table.find_by_time(*from, *until))),
            Call::Mark(id, since) => Reply::Done(self.cloud.mark(id, *since)),
            Call::Unmark(id) => Reply::Done(self.cloud.unmark(id)),
            Call::StartInstances(id) => Reply::Done(self.cloud.start(id)),
            Call::Sleep(_) => Reply::Woken,
        }
    }

    fn write(&mut self, update: &Update, delivery: usize) -> Updated {
        let claims = is_claim(update);
        let update = self.sabotaged(update);
        let before = self.table.records.get(&update.meeting_id).cloned();
        let answer = self.table.update(&update);
        match answer {
            Updated::Done => {
                self.check_write(before.as_ref(), &update, delivery, claims);
                Updated::Done
            }
            refused => refused,
        }
    }

    /// An answer that does not yet show machines younger than the effect delay.
    fn lagging(&mut self, call: &Call, delivery: usize) -> Reply {
        let (now, delay) = (self.now, self.truth.max_effect_delay);
        let old = |observed: &ObservedMachine| now >= observed.launched_at + delay;
        match (call, self.apply(call, delivery)) {
            (Call::DescribeInstances(_), _) => Reply::Machines(Ok(Vec::new())),
            (_, Reply::Sightings(Ok(seen))) => Reply::Sightings(Ok(seen.into_iter().filter(old).collect())),
            (_, Reply::Looked(Ok(mut looked))) => {
                let (seen, young): (Vec<_>, Vec<_>) = looked.seen.into_iter().partition(old);
                looked.missing.extend(young.iter().map(|observed| observed.instance_id().clone()));
                Reply::Looked(Ok(Looked { seen, ..looked }))
            }
            (_, reply) => reply,
        }
    }

    /// Carries out the request's fate; `None` if its delivery dies.
    pub fn meet(&mut self, call: &Call, delivery: usize, sent: Timestamp, fate: &Fate) -> Option<Reply> {
        let lost = || failing(call, Class::Ambiguous, "");
        let reply = match fate {
            Fate::Answered => self.apply(call, delivery),
            Fate::LostBefore => lost(),
            Fate::LostAfter => {
                self.apply(call, delivery);
                lost()
            }
            Fate::LateBy(_) | Fate::Late => {
                let due = match fate {
                    Fate::LateBy(delay) => Some(self.now + *delay),
                    _ => None,
                };
                self.in_flight.push(InFlight { call: call.clone(), delivery, sent, due });
                lost()
            }
            Fate::Fails(class, code) => failing(call, *class, code),
            Fate::Refuses(class, code) => match call {
                Call::RunInstances(attempt) => {
                    let p = &attempt.parameters;
                    let place = (p.instance_type.clone(), p.availability_zone.clone());
                    let before = self.cloud.refusing.insert(place.clone(), (*class, code));
                    let reply = Reply::Machine(self.cloud.run(attempt, self.now));
                    match before {
                        Some(before) => self.cloud.refusing.insert(place, before),
                        None => self.cloud.refusing.remove(&place),
                    };
                    reply
                }
                other => failing(other, *class, code),
            },
            Fate::Stillborn => {
                let reply = self.apply(call, delivery);
                if let Reply::Machine(Ok(machine)) = &reply {
                    self.cloud.die_of_capacity(&machine.instance_id);
                }
                reply
            }
            Fate::Lags => self.lagging(call, delivery),
            Fate::DiesBefore => return None,
            Fate::DiesAfter => {
                self.apply(call, delivery);
                return None;
            }
        };
        Some(reply)
    }
}

/// The answer to RunInstances, for a story.
fn said(answer: &Result<Machine, AwsError>) -> String {
    match answer {
        Ok(machine) => format!("{} is {:?}", machine.instance_id, machine.state),
        Err(error) => error.code().to_owned(),
    }
}

/// The ports of one delivery.
#[derive(Clone)]
pub struct Port {
    world: World,
    delivery: usize,
}

impl Port {
    /// Lambda gives the deadline by the clock of the host that the function runs on.
    fn bounds(&self) -> (Timestamp, Timing) {
        let state = self.world.0.borrow();
        let known = &state.known[self.delivery];
        (known.deadline + known.skew, state.timing())
    }

    fn launcher(&self, config: Config, timing: Timing) -> Launcher<Port> {
        let config = match self.world.0.borrow().off {
            Some(Guard::APairMovesTogether) => Config { pair: Pair::Any, ..config },
            Some(Guard::AWindowHasTwoEnds) => {
                let earliest = Duration::from_secs(30 * 24 * 3600);
                Config { window: Window { earliest, ..config.window }, ..config }
            }
            _ => config,
        };
        Launcher {
            meetings: self.clone(),
            ec2: self.clone(),
            parameters: self.clone(),
            clock: self.clone(),
            tokens: self.clone(),
            wanted: SubnetSelection { network: config.network.clone(), zones: config.zones(None) },
            config,
            timing,
            lookups: Lookups::default(),
        }
    }

    async fn call(&self, call: Call) -> Reply {
        let number = {
            let mut state = self.world.0.borrow_mut();
            if let Call::RunInstances(attempt) = &call {
                state.check_launch(attempt, self.delivery);
            }
            state.calls += 1;
            let number = state.calls;
            let known = &mut state.known[self.delivery];
            known.calls += 1;
            let ordinal = known.calls;
            let sent = state.now;
            state.pending.push(Pending { number, delivery: self.delivery, ordinal, call, sent, reply: None });
            number
        };
        Answering { world: self.world.clone(), number }.await
    }
}

struct Answering {
    world: World,
    number: u64,
}

impl Future for Answering {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Reply> {
        let mut state = self.world.0.borrow_mut();
        let Some(index) = state.pending.iter().position(|p| p.number == self.number && p.reply.is_some())
        else {
            return Poll::Pending;
        };
        Poll::Ready(state.pending.remove(index).reply.expect("it was just seen"))
    }
}

macro_rules! answered {
    ($port:expr, $call:expr, $reply:ident) => {
        match $port.call($call).await {
            Reply::$reply(answer) => answer,
            _ => unreachable!("the reply fits the call"),
        }
    };
}

impl LaunchPorts for Port {
    type Meetings = Port;
    type Ec2 = Port;
    type Parameters = Port;
    type Clock = Port;
    type Tokens = Port;
}

impl EndPorts for Port {
    type Meetings = Port;
    type Ec2 = Port;
    type Schedules = Port;
    type Clock = Port;
    type Tokens = Port;
}

impl StatusPorts for Port {
    type Meetings = Port;
    type Ec2 = Port;
    type Clock = Port;
    type Tokens = Port;
}

impl ReconcilePorts for Port {
    type Meetings = Port;
    type Ec2 = Port;
    type Launches = Launcher<Port>;
    type Counts = Port;
    type Clock = Port;
    type Tokens = Port;
}

impl Meetings for Port {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        answered!(self, Call::GetItem(meeting.clone()), Record)
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        let update = self.world.0.borrow().as_decided(update);
        answered!(self, Call::UpdateItem(update), Updated)
    }
}

impl Machines for Port {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        let (off, attempt) = {
            let state = self.world.0.borrow();
            (state.off, state.as_sent(attempt, self.delivery))
        };
        let answer = answered!(self, Call::RunInstances(attempt.clone()), Machine);
        match (off, answer) {
            (Some(Guard::TheSdkRepeatsNoLaunch), Err(error)) if error.class == Class::Ambiguous => {
                answered!(self, Call::RunInstances(attempt), Machine)
            }
            (Some(Guard::ALostAnswerIsReplayed), Err(error)) if error.class == Class::Ambiguous => {
                Err(AwsError { class: Class::Capacity, ..error })
            }
            (_, answer) => answer,
        }
    }
}

impl FindByToken for Port {
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        answered!(self, Call::DescribeInstances(token.clone()), Machines)
    }
}

impl Terminate for Port {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::DeleteTags(instance.clone()), Done)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::TerminateInstances(instance.clone()), Done)
    }
}

impl DescribeById for Port {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        answered!(self, Call::Look(instances.to_vec()), Looked)
    }
}

impl Starts for Port {
    async fn start(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::StartInstances(instance.clone()), Done)
    }
}

impl Fleet for Port {
    async fn list(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError> {
        answered!(self, Call::List(project.to_owned()), Sightings)
    }

    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        answered!(self, Call::Mark(instance.clone(), since), Done)
    }

    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::Unmark(instance.clone()), Done)
    }
}

/// The calls of a sweep that do not concern a launch are answered at once.
impl StatusChecks for Port {
    async fn list_impaired(&self) -> Result<BTreeSet<InstanceId>, AwsError> {
        Ok(BTreeSet::new())
    }
}

impl Consoles for Port {
    async fn read_console(&self, _: &InstanceId) -> Result<Option<String>, AwsError> {
        Ok(self.world.0.borrow().cloud.console.clone())
    }
}

impl Leftovers for Port {
    async fn list_leftovers(&self, _: &str, _: bool) -> Result<Vec<Leftover>, AwsError> {
        Ok(Vec::new())
    }

    async fn mark_leftover(&self, _: &Leftover, _: Timestamp) -> Result<(), AwsError> {
        unreachable!("nothing is left over")
    }

    async fn unmark_leftover(&self, _: &Leftover) -> Result<(), AwsError> {
        unreachable!("nothing is left over")
    }

    async fn remove(&self, _: &Leftover) -> Result<bool, AwsError> {
        unreachable!("nothing is left over")
    }
}

impl Counts for Port {
    fn count(&self, what: Counted) {
        self.world.0.borrow_mut().counted.push(what);
    }
}

impl Watch for Port {
    async fn read_all(
        &self,
        meetings: &BTreeSet<MeetingId>,
    ) -> Result<BTreeMap<MeetingId, MeetingSnapshot>, AwsError> {
        answered!(self, Call::ReadAll(meetings.clone()), Records)
    }

    async fn find_by_time(&self, from: Timestamp, until: Timestamp) -> Result<BTreeSet<MeetingId>, AwsError> {
        answered!(self, Call::FindDue(from, until), Due)
    }
}

impl Reports for Port {
    async fn report(&self, meeting: &MeetingId) -> Result<Report, AwsError> {
        let state = self.world.0.borrow();
        let watched = state.table.read_all(&BTreeSet::from([meeting.clone()])).remove(meeting);
        let watched = match state.unreadable {
            true => MeetingSnapshot::Unreadable("the attribute teacher_attempt is no attempt of ours".into()),
            false => watched.expect("it was asked for"),
        };
        let lost = Role::BOTH.map(|role| state.table.lost.get(&(meeting.clone(), role)).cloned());
        Ok(Report { watched, failure: state.table.failures.get(meeting).cloned(), lost })
    }
}

impl Deletes for Port {
    async fn delete(&self, name: &ScheduleName) -> Result<bool, AwsError> {
        answered!(self, Call::DeleteSchedule(name.clone()), Deleted)
    }
}

/// The world has none: `course.rs` of core's tests does.
impl CompanionSchedules for Port {
    async fn find_companion(&self, _: &CompanionName) -> Result<Companion, AwsError> {
        Ok(Companion::Absent)
    }

    async fn delete_companion(&self, _: &CompanionName) -> Result<bool, AwsError> {
        Ok(false)
    }
}

impl Networks for Port {
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError> {
        let cached = self.world.0.borrow().lookups_are_cached;
        let found = match cached {
            true => Ok(self.world.0.borrow().cloud.found()),
            false => answered!(self, Call::DescribeSubnets, Subnets),
        };
        match network {
            Network::Subnets(ids) => found.and_then(|found| cloud::named(found, ids)),
            _ => found,
        }
    }
}

impl InstanceTypes for Port {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        Ok(self.world.0.borrow().cloud.offerings(instance_types))
    }
}

impl Images for Port {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        if self.world.0.borrow().lookups_are_cached {
            return Ok(cloud::image(image_id));
        }
        answered!(self, Call::DescribeImages, Image)
    }

    async fn find_images(&self, _: &str, _: &str, _: Option<Architecture>) -> Result<Vec<Image>, AwsError> {
        Ok(vec![self.find_image("ami-1").await?])
    }
}

impl KeyPairs for Port {
    async fn find_key_pair(&self, _: &str) -> Result<Option<KeyType>, AwsError> {
        Ok(None)
    }
}

impl LaunchTemplates for Port {
    async fn find_launch_template(&self, _: &LaunchTemplate) -> Result<Template, AwsError> {
        unreachable!("no story has one")
    }
}

impl ParameterStore for Port {
    async fn parameter(&self, _: &str) -> Result<String, AwsError> {
        Ok("ami-1".to_owned())
    }
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        let state = self.world.0.borrow();
        state.now + state.known[self.delivery].skew
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.world.now() + duration;
        let _ = self.call(Call::Sleep(until)).await;
    }

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

impl Tokens for Port {
    /// The number comes from the delivery, so that the order in which deliveries draw numbers makes no other world.
    fn token(&self) -> Token {
        let mut state = self.world.0.borrow_mut();
        let off = state.off;
        let known = &mut state.known[self.delivery];
        known.tokens += 1;
        match off {
            Some(Guard::ARandomToken) => Token::from(format!("token-of-{}-{}", known.meeting, known.tokens)),
            Some(Guard::ANewTokenForANewAttempt) => Token::from(format!("token-{}", self.delivery)),
            _ => Token::from(format!("token-{}-{}", self.delivery, known.tokens)),
        }
    }

    fn owner(&self) -> Owner {
        let mut state = self.world.0.borrow_mut();
        let owner = match state.off {
            Some(Guard::AnOwnerForEachDelivery) => Owner::from("request"),
            _ => Owner::from(format!("delivery-{}", self.delivery)),
        };
        state.known[self.delivery].owner = Some(owner.clone());
        owner
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

/// How a delivery ended.
enum Finished {
    Launch(Result<LaunchAnswer, Error>),
    End(Result<end::EndAnswer, Error>),
    Reconcile(Result<reconcile::ReconcileAnswer, Error>),
}

type Delivering = Pin<Box<dyn Future<Output = Finished>>>;

/// The deliveries under way, and the faults planned for their requests.
pub struct Executor {
    pub world: World,
    /// The number by which the world knows each delivery, and its future while it lives.
    deliveries: Vec<(usize, Option<Delivering>)>,
    /// Of each that launches.
    pub results: Vec<Option<Result<LaunchAnswer, Error>>>,
    /// Of each that ends a meeting, as they came.
    pub endings: Vec<Result<end::EndAnswer, Error>>,
    pub sweeps: Vec<Result<reconcile::ReconcileAnswer, Error>>,
    plots: Vec<Plot>,
}

/// The next `times` requests that match, after the first `skip`, have this fate.
pub struct Plot {
    matches: Box<dyn Fn(&Call) -> bool>,
    skip: usize,
    times: usize,
    fate: Fate,
}

impl Executor {
    pub fn new(world: &World) -> Self {
        Executor {
            world: world.clone(),
            deliveries: Vec::new(),
            results: Vec::new(),
            endings: Vec::new(),
            sweeps: Vec::new(),
            plots: Vec::new(),
        }
    }

    pub fn plot(mut self, matches: impl Fn(&Call) -> bool + 'static, fate: Fate) -> Self {
        self.plots.push(Plot { matches: Box::new(matches), skip: 0, times: 1, fate });
        self
    }

    /// How often the last plot applies, and how many requests pass before it.
    pub fn times(mut self, skip: usize, times: usize) -> Self {
        let plot = self.plots.last_mut().expect("a plot");
        (plot.skip, plot.times) = (skip, times);
        self
    }

    pub fn deliver(&mut self, id: &str) {
        let time_left = self.world.0.borrow().truth.delivery;
        self.deliver_with(id, config(), time_left, SignedDuration::ZERO);
    }

    /// Begins a delivery with this configuration, this much time, and a clock that is this far ahead.
    pub fn deliver_with(&mut self, id: &str, config: Config, time_left: Duration, skew: SignedDuration) {
        let meeting = super::meeting(id);
        let port = self.world.port(Verb::Launch, id, config.clone(), time_left, skew);
        let (deadline, timing) = port.bounds();
        let launcher = port.launcher(config, timing);
        let future = async move { Finished::Launch(launcher.launch(&meeting, deadline).await) };
        self.begin(port.delivery, Box::pin(future));
    }

    /// Begins to end a meeting.
    pub fn end(&mut self, id: &str) {
        let time_left = self.world.0.borrow().truth.delivery;
        self.end_with(id, "ended", false, time_left);
    }

    pub fn end_with(&mut self, id: &str, reason: &str, wait: bool, time_left: Duration) {
        let request = event::End { meeting_id: super::meeting(id), reason: reason.to_owned(), wait };
        let port = self.world.port(Verb::End, id, config(), time_left, SignedDuration::ZERO);
        let (deadline, timing) = port.bounds();
        let delivery = port.delivery;
        let ender = Ender::<Port> {
            meetings: port.clone(),
            ec2: port.clone(),
            schedules: port.clone(),
            companions: Vec::new(),
            clock: port.clone(),
            tokens: port,
            timing,
        };
        let future = async move { Finished::End(ender.end(&request, deadline).await) };
        self.begin(delivery, Box::pin(future));
    }

    /// Begins a sweep. It launches as a delivery for this meeting does.
    pub fn sweep(&mut self, id: &str, config: ReconcileConfig, launch: Config) {
        let time_left = self.world.0.borrow().truth.delivery;
        let port = self.world.port(Verb::Reconcile, id, launch.clone(), time_left, SignedDuration::ZERO);
        let (deadline, timing) = port.bounds();
        let delivery = port.delivery;
        let reconciler = Reconciler::<Port> {
            meetings: port.clone(),
            ec2: port.clone(),
            launches: port.launcher(launch, timing),
            counts: port.clone(),
            clock: port.clone(),
            tokens: port,
            config,
            timing,
            failed_endings: RefCell::default(),
        };
        let future = async move {
            Finished::Reconcile(reconciler.reconcile(&event::Reconcile::Sweep, deadline).await)
        };
        self.begin(delivery, Box::pin(future));
    }

    fn begin(&mut self, delivery: usize, future: Delivering) {
        self.deliveries.push((delivery, Some(future)));
        self.results.push(None);
        self.poll_all();
    }

    /// Runs until every delivery has ended or died.
    pub fn run(&mut self) {
        while self.run_one() {}
    }

    /// Runs until such a request is the next one to be answered.
    pub fn run_until(&mut self, matches: impl Fn(&Call) -> bool) {
        while !self.next().is_some_and(|(_, call)| matches(&call)) {
            assert!(self.run_one(), "no such request comes");
        }
    }

    fn run_one(&mut self) -> bool {
        let Some((number, call)) = self.next() else {
            return match self.first_sleeper() {
                Some((until, _)) => {
                    self.world.0.borrow_mut().move_clock(until);
                    self.wake();
                    true
                }
                None => false,
            };
        };
        let fate = self.fate(&call);
        self.answer(number, &fate);
        true
    }

    fn fate(&mut self, call: &Call) -> Fate {
        for plot in self.plots.iter_mut().filter(|plot| (plot.matches)(call)) {
            if plot.skip > 0 {
                plot.skip -= 1;
            } else if plot.times > 0 {
                plot.times -= 1;
                return plot.fate.clone();
            }
        }
        Fate::Answered
    }

    /// The request that has waited longest.
    fn next(&self) -> Option<(u64, Call)> {
        let state = self.world.0.borrow();
        let request = |p: &&Pending| !p.call.is_sleep();
        state.pending.iter().find(request).map(|p| (p.number, p.call.clone()))
    }

    /// The delivery that wakes first, and when.
    pub fn first_sleeper(&self) -> Option<(Timestamp, u64)> {
        let state = self.world.0.borrow();
        let sleeper = |p: &Pending| match p.call {
            Call::Sleep(until) if p.reply.is_none() => Some((until, p.number)),
            _ => None,
        };
        state.pending.iter().filter_map(sleeper).min()
    }

    /// Wakes every delivery whose time has come.
    pub fn wake(&mut self) {
        while let Some((until, number)) = self.first_sleeper() {
            if until > self.world.now() {
                return;
            }
            self.give(number, Reply::Woken);
        }
    }

    /// Carries out a request's fate.
    pub fn answer(&mut self, number: u64, fate: &Fate) {
        let reply = {
            let mut state = self.world.0.borrow_mut();
            let pending = state.pending.iter().find(|p| p.number == number).expect("it is pending");
            let (call, delivery, sent) = (pending.call.clone(), pending.delivery, pending.sent);
            state.requests.push(call.name());
            let reply = state.meet(&call, delivery, sent, fate);
            state.tell(|| {
                format!("delivery {delivery} {}: {}", call.in_words(), outcome(fate, reply.as_ref()))
            });
            state.check();
            reply.ok_or(delivery)
        };
        match reply {
            Ok(reply) => self.give(number, reply),
            Err(dead) => self.kill(dead),
        }
    }

    fn give(&mut self, number: u64, reply: Reply) {
        {
            let mut state = self.world.0.borrow_mut();
            let now = state.now;
            let index = state.pending.iter().position(|p| p.number == number).expect("it is pending");
            let (delivery, ordinal) = (state.pending[index].delivery, state.pending[index].ordinal);
            let known = &mut state.known[delivery];
            let mut hasher = DefaultHasher::new();
            (known.history, ordinal, now).hash(&mut hasher);
            digest(&reply, &mut hasher);
            known.history = hasher.finish();
            state.classes.extend(reply.error().map(|error| error.class));
            state.pending[index].reply = Some(reply);
        }
        self.poll_all();
    }

    /// A delivery dies: nobody waits any more for the requests that it has sent.
    pub fn kill(&mut self, delivery: usize) {
        let mut state = self.world.0.borrow_mut();
        state.pending.retain(|p| p.delivery != delivery);
        state.known[delivery].ended = true;
        state.tell(|| format!("delivery {delivery} dies"));
        drop(state);
        if let Some(dead) = self.deliveries.iter_mut().find(|(number, _)| *number == delivery) {
            dead.1 = None;
        }
    }

    fn poll_all(&mut self) {
        for (index, (delivery, future)) in self.deliveries.iter_mut().enumerate() {
            let Some(running) = future else { continue };
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(finished) = running.as_mut().poll(&mut context) else { continue };
            *future = None;
            let mut state = self.world.0.borrow_mut();
            match finished {
                Finished::Launch(result) => {
                    state.check_result(*delivery, &result);
                    self.results[index] = Some(result);
                }
                Finished::End(result) => {
                    state.check_ending(*delivery, &result);
                    self.endings.push(result);
                }
                Finished::Reconcile(result) => {
                    state.check_sweep(*delivery, &result);
                    self.sweeps.push(result);
                }
            }
        }
    }
}

fn outcome(fate: &Fate, reply: Option<&Reply>) -> String {
    match (fate, reply) {
        (Fate::LostBefore, _) => "no answer, and it was not done".into(),
        (Fate::LostAfter, _) => "no answer, but it was done".into(),
        (Fate::Late | Fate::LateBy(_), _) => "no answer, and it may still be done".into(),
        (Fate::DiesBefore, _) => "and dies before it is done".into(),
        (Fate::DiesAfter, _) => "and dies after it is done".into(),
        (_, Some(Reply::Machine(answer))) => said(answer),
        (_, Some(Reply::Updated(Ok(Updated::Refused(_))))) => "refused by its condition".into(),
        (_, Some(Reply::Machines(Ok(machines)))) if machines.is_empty() => "none".into(),
        (Fate::Fails(_, code) | Fate::Refuses(_, code), _) => (*code).to_owned(),
        _ => "done".into(),
    }
}

/// The part of a reply that the engine can act on.
fn digest(reply: &Reply, hasher: &mut DefaultHasher) {
    let machine = |machine: &Machine, hasher: &mut DefaultHasher| {
        (&machine.instance_id, machine.state, &machine.state_reason, machine.tags.len()).hash(hasher);
    };
    std::mem::discriminant(reply).hash(hasher);
    reply.error().map(|error| error.class).hash(hasher);
    match reply {
        Reply::Record(Ok(record)) => record_digest(record.as_ref(), hasher),
        Reply::Updated(Ok(Updated::Done)) => 1.hash(hasher),
        Reply::Updated(Ok(Updated::Refused(record))) => record_digest(record.as_deref(), hasher),
        Reply::Machine(Ok(found)) => machine(found, hasher),
        Reply::Machines(Ok(found)) => found.iter().for_each(|found| machine(found, hasher)),
        Reply::Sightings(Ok(seen)) => seen.iter().for_each(|observed| {
            machine(&observed.machine, hasher);
            observed.orphan_since().hash(hasher);
        }),
        Reply::Looked(Ok(looked)) => {
            looked.missing.hash(hasher);
            looked.seen.iter().for_each(|observed| machine(&observed.machine, hasher));
        }
        Reply::Records(Ok(records)) => records.values().for_each(|watched| match watched {
            MeetingSnapshot::Stands { record, replaced, .. } => {
                record_digest(Some(record), hasher);
                replaced.hash(hasher);
            }
            _ => 2.hash(hasher),
        }),
        Reply::Due(Ok(due)) => due.hash(hasher),
        Reply::Deleted(Ok(deleted)) => deleted.hash(hasher),
        _ => {}
    }
}

fn record_digest(record: Option<&Record>, hasher: &mut DefaultHasher) {
    let Some(record) = record else { return 0.hash(hasher) };
    (&record.status, &record.termination_reason).hash(hasher);
    record.lease.as_ref().map(|lease| (&lease.owner, lease.until)).hash(hasher);
    for role in Role::BOTH {
        let of_role = record.role(role);
        of_role.instance_id.hash(hasher);
        // A token stands for its attempt: none is ever used for two.
        of_role
            .attempt
            .as_ref()
            .map(|attempt| (&attempt.token, attempt.refused, attempt.ending))
            .hash(hasher);
    }
}

impl State {
    /// The state of the world and of every delivery in it.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.now.hash(&mut hasher);
        for (id, record) in &self.table.records {
            id.hash(&mut hasher);
            record_digest(Some(record), &mut hasher);
        }
        (&self.lives, &self.by_hand, &self.ended_unsaid, &self.table.replaced).hash(&mut hasher);
        for launched in &self.cloud.machines {
            let m = &launched.machine;
            (&m.instance_id, m.state, m.tags.len(), &launched.token, launched.is_forgotten).hash(&mut hasher);
            m.tags.get(ORPHAN_TAG).hash(&mut hasher);
        }
        for ((token, zone), bound) in &self.cloud.tokens {
            (token, zone, &bound.image_id).hash(&mut hasher);
        }
        for request in &self.in_flight {
            (request.call.name(), request.sent, request.due).hash(&mut hasher);
            match &request.call {
                Call::RunInstances(attempt) => {
                    (&attempt.token, &attempt.parameters.image_id).hash(&mut hasher);
                }
                other => format!("{other:?}").hash(&mut hasher),
            }
        }
        for known in &self.known {
            (known.history, known.ended, known.claimed, known.skew, known.deadline).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn failing(call: &Call, class: Class, code: &str) -> Reply {
    let error = aws_error(call.name(), class, code);
    match call {
        Call::GetItem(_) => Reply::Record(Err(error)),
        Call::UpdateItem(_) => Reply::Updated(Err(error)),
        Call::RunInstances(_) => Reply::Machine(Err(error)),
        Call::DescribeInstances(_) => Reply::Machines(Err(error)),
        Call::DeleteTags(_)
        | Call::TerminateInstances(_)
        | Call::StartInstances(_)
        | Call::Mark(..)
        | Call::Unmark(_) => Reply::Done(Err(error)),
        Call::DeleteSchedule(_) => Reply::Deleted(Err(error)),
        Call::List(_) => Reply::Sightings(Err(error)),
        Call::Look(_) => Reply::Looked(Err(error)),
        Call::ReadAll(_) => Reply::Records(Err(error)),
        Call::FindDue(..) => Reply::Due(Err(error)),
        Call::DescribeSubnets => Reply::Subnets(Err(error)),
        Call::DescribeImages => Reply::Image(Err(error)),
        Call::Sleep(_) => Reply::Woken,
    }
}

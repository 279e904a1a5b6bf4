//! One course of events: every point at which anything could go one way or another is a choice, and somebody makes it.
//!
//! A choice is a number: 0 is the ordinary course. So a course is a list of numbers, and the same list is the same
//! course again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use elephant_launch::config::Config;
use elephant_launch::error::{Class, Kind};
use elephant_launch::machine::{Attempt, InstanceId, Token};
use elephant_launch::meeting::{MeetingId, Role, Status};
use elephant_launch::network::in_order;
use elephant_launch::plan::{attempt, candidates};
use elephant_launch::record::{Lease, MeetTime, Owner, Record, Seat};
use jiff::{SignedDuration, Timestamp};

use crate::world::cloud::Cloud;
use crate::world::executor::{Call, Executor, Fate, Reply, State, TRUTH, World};
use crate::world::sabotage::Guard;
use crate::world::{config, meeting, scheduled, start};

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub meetings: usize,
    /// The teacher's machine stands in the record already: one role, and so fewer interleavings.
    pub student_only: bool,
    /// A delivery long before these wrote its attempts and died: nobody knows whether it sent them.
    pub standing: bool,
    pub deliveries: usize,
    /// Answers lost, late, refused or slow.
    pub faults: usize,
    /// Deliveries that die between two steps.
    pub deaths: usize,
    /// Steps of the other programs.
    pub acts: usize,
    /// A record that is deleted may be made again.
    pub lives: bool,
    /// Clocks differ, and the configuration changes between deliveries.
    pub variety: bool,
    pub off: Option<Guard>,
}

/// Who makes the choices.
pub trait Chooser {
    /// One of so many; `None` ends the course here, because it was followed from this state before.
    fn choose(&mut self, options: usize, state: &mut dyn FnMut() -> u64) -> Option<usize>;
}

/// What came of a course.
pub struct Played {
    pub choices: Vec<usize>,
    /// Empty: the promise held. Each begins with the number of the promise that it breaks.
    pub breaches: Vec<String>,
    pub story: Vec<String>,
}

/// One way on.
#[derive(Clone, Debug)]
enum Step {
    Answer(u64),
    Meet(u64, Fate),
    /// Its answer takes all the time of its limit.
    Slow(u64),
    Wake,
    Start {
        after: Duration,
        meeting: usize,
        variant: usize,
    },
    Kill(usize, Wire),
    TakeEffect(usize),
    Act(Act, MeetingId),
    End,
}

/// What becomes of the requests that a delivery had on the wire when it died.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Lost,
    Done,
    Late,
}

/// What the other programs of the system do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The terminator: ends the machines that the record names, and writes TERMINATED.
    Terminate,
    /// The safety net: TERMINATED, and no more.
    SafetyNet,
    /// The watchdog, on `running`: DNS_WRITTEN over anything.
    Running,
    /// The watchdog, on `shutting-down` of a machine with a Role tag: TERMINATED over anything.
    ShuttingDown,
    /// The machine itself.
    Healthy,
    /// The record is deleted for good, or made again at once: another life of the same meeting.
    Delete,
    Recreate,
}

/// How the second and later deliveries may differ from the first: their clock, and the configuration they run with.
const VARIANTS: usize = 5;

struct Course<'c> {
    scenario: &'c Scenario,
    executor: Executor,
    world: World,
    faults: usize,
    deaths: usize,
    acts: usize,
    started: usize,
}

pub fn play(scenario: &Scenario, chooser: &mut dyn Chooser, tell: bool) -> Played {
    let records = (0..scenario.meetings).map(|index| first_record(scenario, index));
    let world = World::new(records);
    {
        let mut state = world.0.borrow_mut();
        let standing: Vec<Attempt> = state
            .table
            .records
            .values()
            .flat_map(|record| Role::BOTH.map(|role| record.seat(role).attempt.clone()))
            .flatten()
            .collect();
        state.written.extend(standing.into_iter().map(|attempt| (attempt, 0)));
        state.off = scenario.off;
        state.lookups_are_cached = true;
        state.story = tell.then(Vec::new);
    }
    let mut course = Course {
        scenario,
        executor: Executor::new(&world),
        world,
        faults: scenario.faults,
        deaths: scenario.deaths,
        acts: scenario.acts,
        started: 0,
    };
    let mut choices = Vec::new();
    let mut whole = true;
    let mut steps = 0;
    while course.world.0.borrow().breaches.is_empty() {
        steps += 1;
        if steps > MOST_STEPS {
            course.world.0.borrow_mut().breach("time: the deliveries never end".into());
            break;
        }
        let mut options = course.options();
        if options.is_empty() {
            break;
        }
        let chosen = if options.len() == 1 {
            0
        } else {
            match chooser.choose(options.len(), &mut || course.fingerprint()) {
                Some(chosen) => {
                    choices.push(chosen);
                    chosen
                }
                None => {
                    whole = false;
                    break;
                }
            }
        };
        let step = options.swap_remove(chosen);
        if matches!(step, Step::End) {
            break;
        }
        course.take(step);
    }
    if whole && course.world.0.borrow().breaches.is_empty() {
        course.one_clean_delivery_suffices();
    }
    let mut state = course.world.0.borrow_mut();
    let story = state.story.take().unwrap_or_default();
    Played { choices, breaches: std::mem::take(&mut state.breaches), story }
}

fn first_record(scenario: &Scenario, index: usize) -> Record {
    let mut record = scheduled(NAMES[index]);
    if scenario.student_only {
        record.teacher = Seat { instance_id: Some(InstanceId("i-teacher".into())), attempt: None };
    }
    if scenario.standing {
        let long_ago = start() - Duration::from_secs(100);
        record.lease = Some(Lease { owner: Owner("long-ago".into()), until: long_ago });
        for role in Role::BOTH {
            if record.seat(role).instance_id.is_none() {
                let token = Token(format!("token-long-ago-{}-{role}", record.meeting_id));
                record.seat_mut(role).attempt = Some(first_attempt(&record.meeting_id, role, token));
            }
        }
    }
    record
}

/// As the engine would write it.
fn first_attempt(meeting: &MeetingId, role: Role, token: Token) -> Attempt {
    let subnets = in_order(meeting, Cloud::default().subnets);
    let candidates = candidates(&config().instance_types, &subnets);
    attempt(&config(), "/dev/xvda", meeting, role, 1, token, &candidates[0])
}

/// No course is this long unless something goes round in circles.
const MOST_STEPS: usize = 5000;

const NAMES: [&str; 4] = ["m", "n", "o", "p"];

impl Course<'_> {
    /// Every way on from here, the ordinary one first.
    fn options(&self) -> Vec<Step> {
        let state = self.world.0.borrow();
        let mut options = Vec::new();
        let requests: Vec<(u64, &Call, Timestamp)> = state
            .pending
            .iter()
            .filter(|p| !p.call.is_sleep())
            .map(|p| (p.number, &p.call, p.sent))
            .collect();
        options.extend(requests.iter().map(|(number, ..)| Step::Answer(*number)));

        let alive = state.known.iter().any(|known| !known.ended);
        let left = self.started < self.scenario.deliveries;
        let nothing_under_way = requests.is_empty();
        if let Some((until, _)) = self.executor.first_sleeper()
            && requests.iter().all(|(_, call, sent)| until <= *sent + call.limit())
        {
            options.push(Step::Wake);
        }
        if left {
            self.starts(&state, alive, &mut options);
        }
        if nothing_under_way && !alive {
            options.push(Step::End);
        }

        for index in 0..state.in_flight.len() {
            options.push(Step::TakeEffect(index));
        }
        if self.faults > 0 {
            for (number, call, sent) in &requests {
                options.extend(fates(call, &state).into_iter().map(|fate| Step::Meet(*number, fate)));
                let late = state.now.max(*sent + call.limit());
                let others = requests.iter().filter(|(other, ..)| other != number);
                let others_can_wait = others.clone().all(|(_, call, sent)| late <= *sent + call.limit());
                let before_any_wakes = self.executor.first_sleeper().is_none_or(|(until, _)| late <= until);
                if others_can_wait && before_any_wakes && late > state.now {
                    options.push(Step::Slow(*number));
                }
            }
        }
        if self.deaths > 0 {
            for (delivery, _) in state.known.iter().enumerate().filter(|(_, known)| !known.ended) {
                let calls = state.pending.iter().filter(|p| p.delivery == delivery);
                let on_the_wire: Vec<&Call> =
                    calls.map(|p| &p.call).filter(|call| !call.is_sleep()).collect();
                options.push(Step::Kill(delivery, Wire::Lost));
                if on_the_wire
                    .iter()
                    .any(|call| !matches!(call, Call::GetItem(_) | Call::DescribeInstances(_)))
                {
                    options.push(Step::Kill(delivery, Wire::Done));
                }
                if on_the_wire.iter().any(|call| matches!(call, Call::RunInstances(_))) {
                    options.push(Step::Kill(delivery, Wire::Late));
                }
            }
        }
        if self.acts > 0 && (alive || left) {
            for name in NAMES.iter().take(self.scenario.meetings) {
                let id = meeting(name);
                let mut acts = acts(&state, &id);
                acts.retain(|act| self.scenario.lives || *act != Act::Recreate);
                options.extend(acts.into_iter().map(|act| Step::Act(act, id.clone())));
            }
        }
        options
    }

    /// A delivery may come at any time: a duplicate at once, Lambda's repeat a minute after the end of the one before,
    /// and what else lies at the edges of lease and margin.
    fn starts(&self, state: &State, alive: bool, options: &mut Vec<Step>) {
        let mut times = Vec::new();
        if self.started > 0 && !alive {
            times.push(Duration::from_secs(60));
            for record in state.table.records.values() {
                let Some(lease) = &record.lease else { continue };
                for edge in [lease.until, lease.until + TRUTH.margin + TRUTH.skew] {
                    if edge > state.now {
                        times.push(edge.duration_since(state.now).try_into().expect("it lies ahead"));
                    }
                }
            }
        }
        times.push(Duration::ZERO);
        let variants = if self.scenario.variety && self.started > 0 { VARIANTS } else { 1 };
        for meeting in 0..self.scenario.meetings {
            for after in &times {
                for variant in 0..variants {
                    options.push(Step::Start { after: *after, meeting, variant });
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Answer(number) => self.executor.answer(number, &Fate::Answered),
            Step::Meet(number, fate) => {
                self.faults -= 1;
                self.executor.answer(number, &fate);
            }
            Step::Slow(number) => {
                self.faults -= 1;
                let late = {
                    let state = self.world.0.borrow();
                    let pending = state.pending.iter().find(|p| p.number == number).expect("it is pending");
                    pending.sent + pending.call.limit()
                };
                self.world.0.borrow_mut().move_clock(late);
            }
            Step::Wake => {
                let (until, _) = self.executor.first_sleeper().expect("somebody sleeps");
                self.world.0.borrow_mut().move_clock(until);
                self.executor.wake();
            }
            Step::Start { after, meeting, variant } => {
                self.started += 1;
                let until = self.world.now() + after;
                self.world.0.borrow_mut().move_clock(until);
                let (config, skew, time_left) = variant_of(variant);
                self.executor.deliver_with(NAMES[meeting], config, time_left, skew);
            }
            Step::Kill(delivery, wire) => {
                self.deaths -= 1;
                let on_the_wire: Vec<u64> = {
                    let state = self.world.0.borrow();
                    state
                        .pending
                        .iter()
                        .filter(|p| p.delivery == delivery && !p.call.is_sleep())
                        .map(|p| p.number)
                        .collect()
                };
                for number in on_the_wire {
                    self.world.0.borrow_mut().leave_on_the_wire(
                        number,
                        matches!(wire, Wire::Done),
                        matches!(wire, Wire::Late),
                    );
                }
                self.executor.kill(delivery);
            }
            Step::TakeEffect(index) => self.world.0.borrow_mut().take_effect(index),
            Step::Act(act, id) => {
                self.acts -= 1;
                act_on(&mut self.world.0.borrow_mut(), act, &id);
            }
            Step::End => {}
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world.0.borrow().fingerprint().hash(&mut hasher);
        (self.faults, self.deaths, self.acts, self.started).hash(&mut hasher);
        hasher.finish()
    }

    /// Once faults stop, and lease, skew and margin have passed, one clean delivery does all that is left to do.
    fn one_clean_delivery_suffices(&mut self) {
        self.world.0.borrow_mut().in_flight.clear();
        // The last lease may have been taken by a clock that was ahead.
        self.world.pass(TRUTH.lease + TRUTH.skew + TRUTH.margin + TRUTH.skew);
        for name in NAMES.iter().take(self.scenario.meetings) {
            let mut last = Executor::new(&self.world);
            last.deliver(name);
            last.run();
            let result = last.results.remove(0).expect("nobody kills it");
            let mut state = self.world.0.borrow_mut();
            let record = state.table.records.get(&meeting(name)).cloned();
            let missing = match (&record, &result) {
                (None, Err(error)) if error.kind == Kind::MeetingNotFound => None,
                (None, _) => Some("a meeting without a record was not refused".to_owned()),
                (Some(record), Ok(_)) if record.is_over() => None,
                (Some(record), Ok(_)) => {
                    let missing =
                        Role::BOTH.into_iter().find(|role| record.seat(*role).instance_id.is_none());
                    missing.map(|role| format!("the {role} has no machine in the record"))
                }
                (Some(_), Err(error)) => Some(format!("it failed: {error:?}")),
            };
            if let Some(missing) = missing {
                state.breach(format!("4, one clean delivery suffices: {missing}"));
            }
        }
    }
}

/// What else than an answer may become of a request. One representative for each way in which the engine goes on.
fn fates(call: &Call, state: &State) -> Vec<Fate> {
    match call {
        Call::GetItem(_) => vec![Fate::LostBefore],
        Call::UpdateItem(_) => vec![Fate::LostAfter, Fate::LostBefore],
        Call::RunInstances(_) => vec![
            Fate::LostAfter,
            Fate::LostBefore,
            Fate::Late,
            Fate::Refuses(Class::Capacity, "InsufficientInstanceCapacity"),
            Fate::Refuses(Class::Quota, "VcpuLimitExceeded"),
            Fate::Fails(Class::SubnetUnfit, "InvalidSubnetID.NotFound"),
            Fate::Fails(Class::Throttled, "RequestLimitExceeded"),
            Fate::Fails(Class::Propagating, "InvalidParameterValue"),
            Fate::Fails(Class::Unauthorized, "UnauthorizedOperation"),
            Fate::Fails(Class::ParameterMismatch, "IdempotentParameterMismatch"),
            Fate::Stillborn,
        ],
        Call::DescribeInstances(token) => {
            // It lags behind by less than the margin.
            let young =
                |l: &&crate::world::cloud::Launched| l.token == *token && state.now < l.since + TRUTH.margin;
            match state.cloud.machines.iter().any(|l| young(&l)) {
                true => vec![Fate::Lags, Fate::LostBefore],
                false => vec![Fate::LostBefore],
            }
        }
        Call::DeleteTags(_) | Call::TerminateInstances(_) => vec![Fate::LostAfter, Fate::LostBefore],
        Call::DescribeSubnets | Call::DescribeImages | Call::Sleep(_) => Vec::new(),
    }
}

fn variant_of(variant: usize) -> (Config, SignedDuration, Duration) {
    let skew = SignedDuration::try_from(TRUTH.skew).expect("a few seconds");
    // Another image; and only the zone that was last before.
    let changed =
        Config { image_id: "ami-2".into(), supported_azs: Some(vec!["us-west-2c".into()]), ..config() };
    match variant {
        0 => (config(), SignedDuration::ZERO, TRUTH.delivery),
        1 => (changed, SignedDuration::ZERO, TRUTH.delivery),
        2 => (config(), skew, TRUTH.delivery),
        3 => (config(), -skew, TRUTH.delivery),
        // A time-out that leaves no room to launch and record.
        _ => (
            config(),
            SignedDuration::ZERO,
            TRUTH.run_instances + TRUTH.reserve() - Duration::from_millis(500),
        ),
    }
}

/// What the other programs may do now.
fn acts(state: &State, id: &MeetingId) -> Vec<Act> {
    let tagged = |live: bool| {
        let of = |l: &&crate::world::cloud::Launched| {
            l.meeting() == id.as_str()
                && l.machine.state.is_live() == live
                && l.machine.tags.contains_key("Role")
        };
        state.cloud.machines.iter().any(|l| of(&l))
    };
    let mut acts = Vec::new();
    match state.table.records.get(id) {
        Some(record) => {
            if record.status != Some(Status::Terminated) {
                acts.push(Act::Terminate);
                acts.push(Act::SafetyNet);
            }
            acts.push(Act::Delete);
            acts.push(Act::Recreate);
            if record.status == Some(Status::DnsWritten) {
                acts.push(Act::Healthy);
            }
        }
        None => acts.push(Act::Recreate),
    }
    if tagged(true) {
        acts.push(Act::Running);
    }
    if tagged(false) {
        acts.push(Act::ShuttingDown);
    }
    acts
}

fn act_on(state: &mut State, act: Act, id: &MeetingId) {
    let status = match act {
        Act::Delete => return state.delete(id),
        Act::Recreate => {
            state.delete(id);
            state.tell(|| "another program makes the record again".into());
            state.table.records.insert(id.clone(), scheduled(id.as_str()));
            return;
        }
        Act::Terminate => {
            let record = state.table.records.get(id).cloned();
            let ids = Role::BOTH.iter().filter_map(|role| record.as_ref()?.seat(*role).instance_id.clone());
            ids.for_each(|id| state.cloud.terminate(&id));
            Status::Terminated
        }
        Act::ShuttingDown | Act::SafetyNet => Status::Terminated,
        Act::Running => Status::DnsWritten,
        Act::Healthy => Status::Healthy,
    };
    state.tell(|| format!("another program ({act:?}) writes {}", status.as_str()));
    // It makes the record if there is none.
    let record = state
        .table
        .records
        .entry(id.clone())
        .or_insert_with(|| Record { meet_time: MeetTime::Missing, ..scheduled(id.as_str()) });
    record.status = Some(status);
}

impl State {
    /// The sender is gone: the request is lost, or was done all the same, or may still be done.
    fn leave_on_the_wire(&mut self, number: u64, done: bool, late: bool) {
        let pending = self.pending.iter().find(|p| p.number == number).expect("it is pending");
        let (call, delivery, sent) = (pending.call.clone(), pending.delivery, pending.sent);
        let launches = matches!(call, Call::RunInstances(_));
        let fate = match (done, late && launches) {
            (true, _) => Fate::LostAfter,
            (_, true) => Fate::Late,
            _ => Fate::LostBefore,
        };
        let _: Option<Reply> = self.meet(&call, delivery, sent, &fate);
        self.tell(|| format!("delivery {delivery} had sent a request: {} ({fate:?})", call.in_words()));
        self.check();
    }
}

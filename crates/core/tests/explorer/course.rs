//! One course of events: every point at which anything could go one way or another is a choice, and somebody makes it.
//!
//! A choice is a number: 0 is the ordinary course. So a course is a list of numbers, and the same list is the same
//! course again.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use elephant_core::config::Config;
use elephant_core::error::{Class, Kind};
use elephant_core::image::Source;
use elephant_core::machine::{Attempt, InstanceId, Machine, Market, State as Condition, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::network::{Pair, in_order};
use elephant_core::overrides::Overrides;
use elephant_core::plan::{attempt, candidates};
use elephant_core::record::{Lease, MeetTime, Owner, Record};
use elephant_core::timing::Timing;
use jiff::{SignedDuration, Timestamp};

use elephant_world::cloud::{Cloud, Launched, TerminatedToken, image};
use elephant_world::executor::{Call, Executor, Fate, State, World};
use elephant_world::sabotage::Guard;
use elephant_world::sweep::{LIMITS, config as reconcile_config, sweep};
use elephant_world::{config, meet_time, meeting, scheduled, start};

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub meetings: usize,
    /// The teacher's machine stands in the record already: one role, and so fewer interleavings.
    pub student_only: bool,
    /// A delivery before these wrote its attempts and died, and its lease ended this many seconds ago: nobody knows
    /// whether it sent them. 0: there was none.
    pub standing: u32,
    pub deliveries: usize,
    /// Answers lost, late, refused or slow.
    pub faults: usize,
    /// Deliveries that die between two steps.
    pub deaths: usize,
    /// Steps of the other programs.
    pub acts: usize,
    /// A record that is deleted may be made again.
    pub lives: bool,
    /// Clocks differ, the configuration changes between deliveries, time-outs are short, and EC2 answers the token of a
    /// machine that is gone with that machine instead of an error.
    pub variety: bool,
    /// Timings so short that a delivery outlives its lease after few faults. What the protocol rests on holds in them.
    pub brief: bool,
    /// A function of one minute, in which a launch fits and the effect delay does not: what a wait would settle is left to the
    /// next delivery.
    pub minute: bool,
    /// Every delivery is told to keep both machines in one zone.
    pub same_az: bool,
    /// The record asks for another type for each machine, and neither is the configuration's.
    pub own_types: bool,
    /// Deliveries of `end`, at any time.
    pub ends: usize,
    /// Sweeps, at any time, each step of which stands between others.
    pub reconciles: usize,
    /// What is left at the end is put in order by two sweeps in place of a clean delivery, whatever guard was off.
    pub sweeps: bool,
    /// Of all faults only these; empty: any.
    pub only: &'static [Trouble],
    /// The same of what other programs do.
    pub others: &'static [Act],
    pub off: Option<Guard>,
    /// Whether a lease that does not exclude others is a breach of its own, whatever comes of it.
    pub strict: bool,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Slow,
    Lost,
    Late,
    Refused,
    Unauthorized,
    Mismatch,
    Other,
}

impl Trouble {
    pub const ALL: [Trouble; 7] = [
        Trouble::Slow,
        Trouble::Lost,
        Trouble::Late,
        Trouble::Refused,
        Trouble::Unauthorized,
        Trouble::Mismatch,
        Trouble::Other,
    ];

    fn of(fate: &Fate) -> Trouble {
        match fate {
            Fate::LostBefore | Fate::LostAfter => Trouble::Lost,
            Fate::Late | Fate::LateBy(_) => Trouble::Late,
            Fate::Refuses(..) => Trouble::Refused,
            Fate::Fails(Class::Unauthorized, _) => Trouble::Unauthorized,
            Fate::Fails(Class::ParameterMismatch, _) => Trouble::Mismatch,
            _ => Trouble::Other,
        }
    }
}

/// Who makes the choices.
pub trait Chooser {
    /// One of these, where there are several; `None` ends the course here, because it was followed from this state before.
    fn choose(&mut self, options: &[Step], state: &mut dyn FnMut() -> u64) -> Option<usize>;

    /// The next step where an earlier course took it from this very state, and which of how many that was. What there was
    /// to choose, and the promise in every state on the way, were looked at then.
    fn again(&mut self) -> Option<(Step, usize, usize)> {
        None
    }
}

/// What came of a course.
pub struct Played {
    pub choices: Vec<usize>,
    /// Empty: the promise held. Each begins with the number of the promise that it breaks.
    pub breaches: Vec<String>,
    pub story: Vec<String>,
    /// Of the errors that its deliveries met.
    pub classes: HashSet<Class>,
}

/// One way on.
#[derive(Clone, Debug)]
pub enum Step {
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
    /// A delivery dies; what it had sent may take effect at any time, at once included, or never.
    Kill(usize),
    TakeEffect(usize),
    /// Somebody ends the meeting, or a sweep begins, after a while.
    EndMeeting(Duration, usize),
    Sweep(Duration),
    Act(Act, MeetingId),
    End,
}

/// What the other programs of the system do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The terminator: ends the machines that the record names, and writes TERMINATED.
    Terminate,
    /// The safety net: TERMINATED, and no more.
    SafetyNet,
    /// The terminator where the watchdog was faster: the machines are ended, and TERMINATED stands without a reason.
    TerminateUnsaid,
    /// The watchdog, on `running`: DNS_WRITTEN over anything, however late.
    Running,
    /// The watchdog, on `shutting-down` of a machine with a Role tag: TERMINATED over anything.
    ShuttingDown,
    /// The machine itself, or the join page: over anything, however late.
    Healthy,
    /// The meeting is moved, by days, and the schedule that fires is the old one.
    Postpone,
    /// The student's recorded machine dies by itself.
    Die,
    /// Somebody's schedule stops it.
    Stop,
    /// EC2 takes the tags from what is dead, and forgets it.
    ForgetTags,
    ForgetTheDead,
    /// A person starts a machine of their own and enters its id.
    Enter(Role),
    /// The record is deleted for good, or made again at once: another life of the same meeting.
    Delete,
    Recreate,
}

impl Act {
    /// Those that a scenario names.
    pub const NAMED: [Act; 6] =
        [Act::TerminateUnsaid, Act::Running, Act::Healthy, Act::Die, Act::Stop, Act::ForgetTheDead];
}

/// How a delivery may differ: its clock, the configuration it runs with, its time-out.
const VARIANTS: usize = 6;

/// A lease that has to be renewed as soon as an answer is late, and is over before a second one is.
const BRIEF: Timing = Timing {
    lease: Duration::from_secs(7),
    max_effect_delay: Duration::from_secs(12),
    skew: Duration::from_secs(2),
    delivery: Duration::from_secs(40),
    run_instances: Duration::from_secs(4),
    ec2: Duration::from_secs(3),
    table: Duration::from_secs(3),
    scheduler: Duration::from_secs(3),
    lookups: Duration::from_secs(60),
};

struct Course<'c> {
    scenario: &'c Scenario,
    executor: Executor,
    world: World,
    faults: usize,
    deaths: usize,
    acts: usize,
    started: usize,
    ends: usize,
    reconciles: usize,
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
            .flat_map(|record| Role::BOTH.map(|role| record.role(role).attempt.clone()))
            .flatten()
            .collect();
        state.written.extend(standing.into_iter().map(|attempt| (attempt, 0)));
        if scenario.student_only {
            launch_the_teachers(&mut state);
        }
        state.off = scenario.off;
        state.strict = scenario.strict;
        if scenario.brief {
            state.truth = BRIEF;
        } else if scenario.minute {
            state.truth.delivery = Duration::from_secs(60);
        }
        if scenario.variety {
            state.cloud.terminated_token = TerminatedToken::Instance;
        }
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
        ends: scenario.ends,
        reconciles: scenario.reconciles,
    };
    let mut choices = Vec::new();
    let mut whole = true;
    let mut steps = 0;
    // With a guard off the promise may break on the way; what counts then is what two sweeps make of it.
    while scenario.sweeps || course.world.0.borrow().breaches.is_empty() {
        steps += 1;
        if steps > MOST_STEPS {
            course.world.0.borrow_mut().breach("time: the deliveries never end".into());
            break;
        }
        let again = chooser.again();
        course.world.0.borrow_mut().is_known = again.is_some();
        let (step, chosen, of) = match again {
            Some(step) => step,
            None => {
                let mut options = course.options();
                if options.is_empty() {
                    break;
                }
                let Some(chosen) = chooser.choose(&options, &mut || course.fingerprint()) else {
                    whole = false;
                    break;
                };
                let of = options.len();
                (options.swap_remove(chosen), chosen, of)
            }
        };
        if of > 1 {
            choices.push(chosen);
        }
        if matches!(step, Step::End) {
            break;
        }
        course.take(step);
    }
    if whole && scenario.sweeps {
        course.two_sweeps_suffice();
    } else if whole && course.world.0.borrow().breaches.is_empty() {
        course.one_clean_delivery_suffices();
    }
    let mut state = course.world.0.borrow_mut();
    let story = state.story.take().unwrap_or_default();
    let (breaches, classes) = (std::mem::take(&mut state.breaches), std::mem::take(&mut state.classes));
    Played { choices, breaches, story, classes }
}

fn first_record(scenario: &Scenario, index: usize) -> Record {
    let mut record = scheduled(NAMES[index]);
    if scenario.own_types {
        record.overrides = ["c5.large,c6i.large", "r5.large,r6i.large"].map(|types| {
            let instance_types = types.split(',').map(str::to_owned).collect();
            Ok(Overrides { instance_types, ..Overrides::default() })
        });
    }
    if scenario.student_only {
        let token = Token::from(format!("token-of-the-teacher-{}", record.meeting_id));
        record.teacher.attempt = Some(first_attempt(&record.meeting_id, Role::Teacher, token));
    }
    if scenario.standing > 0 {
        let ended = start() - Duration::from_secs(scenario.standing.into());
        record.lease = Some(Lease { owner: Owner::from("before"), until: ended });
        for role in Role::BOTH {
            if record.role(role).attempt.is_none() {
                let token = Token::from(format!("token-before-{}-{role}", record.meeting_id));
                record.role_mut(role).attempt = Some(first_attempt(&record.meeting_id, role, token));
            }
        }
    }
    record
}

/// Whether it may be launched now, as its time has it.
fn is_in_its_window(record: &Record, state: &State) -> Option<bool> {
    match record.meet_time {
        MeetTime::At(time) => Some(LIMITS.window.contains(time, state.now)),
        MeetTime::Missing | MeetTime::Unreadable(_) => None,
    }
}

/// A minute before the story begins.
fn launch_the_teachers(state: &mut State) {
    let then = start() - Duration::from_secs(60);
    for record in state.table.records.values_mut() {
        let attempt = record.teacher.attempt.clone().expect("it has one");
        let machine = state.cloud.run(&attempt, then).expect("there is room");
        record.teacher.instance_id = Some(machine.instance_id);
        record.teacher.launched_at = Some(then);
    }
}

/// As the engine would write it.
fn first_attempt(meeting: &MeetingId, role: Role, token: Token) -> Attempt {
    let subnets = in_order(meeting, Cloud::default().subnets);
    let config = config();
    let offerings = Cloud::default().offerings(&config.instance_types);
    let candidates = candidates(&config.markets, &config.instance_types, &subnets, Some(&offerings));
    attempt(&config, &image("ami-1").into(), meeting, role, 1, token, &candidates[0])
        .expect("it has no user data")
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
            && requests.iter().all(|(_, call, sent)| until <= *sent + call.limit(&state.truth))
        {
            options.push(Step::Wake);
        }
        if left {
            self.starts(&state, alive, &requests, &mut options);
        }
        self.others(&state, alive, left, &requests, &mut options);
        if nothing_under_way && !alive {
            options.push(Step::End);
        }

        // An effect that changes nothing now is like one that never comes.
        let would_change = (0..state.in_flight.len()).filter(|index| state.would_change(*index));
        options.extend(would_change.map(Step::TakeEffect));
        if self.faults > 0 {
            for (number, call, sent) in &requests {
                let mut fates = fates(call, &state);
                fates.retain(|fate| self.may_meet(Trouble::of(fate)));
                options.extend(fates.into_iter().map(|fate| Step::Meet(*number, fate)));
                let late = state.now.max(*sent + call.limit(&state.truth));
                let others = requests.iter().filter(|(other, ..)| other != number);
                let others_can_wait =
                    others.clone().all(|(_, call, sent)| late <= *sent + call.limit(&state.truth));
                let before_any_wakes = self.executor.first_sleeper().is_none_or(|(until, _)| late <= until);
                let may = self.may_meet(Trouble::Slow);
                if may && others_can_wait && before_any_wakes && late > state.now {
                    options.push(Step::Slow(*number));
                }
            }
        }
        if self.deaths > 0 {
            let alive = (0..state.known.len()).filter(|delivery| !state.known[*delivery].ended);
            options.extend(alive.map(Step::Kill));
        }
        if self.acts > 0 && (alive || left || self.started > 0) {
            for name in NAMES.iter().take(self.scenario.meetings) {
                let id = meeting(name);
                let mut acts = acts(&state, &id);
                acts.retain(|act| self.scenario.lives || *act != Act::Recreate);
                // What befalls a recorded machine is nothing to a launch.
                let swept = self.scenario.sweeps || self.scenario.reconciles > 0;
                acts.retain(|act| swept || !matches!(act, Act::Die | Act::Stop));
                let others = self.scenario.others;
                acts.retain(|act| others.is_empty() || others.contains(act));
                options.extend(acts.into_iter().map(|act| Step::Act(act, id.clone())));
            }
        }
        options
    }

    /// Whoever ends the meeting may come at any moment. So may a sweep, and one after the grace, by when an orphan is one.
    fn others(
        &self,
        state: &State,
        alive: bool,
        left: bool,
        requests: &[(u64, &Call, Timestamp)],
        options: &mut Vec<Step>,
    ) {
        let answers = requests.iter().map(|(_, call, sent)| *sent + call.limit(&state.truth));
        let at_the_latest = answers.chain(self.executor.first_sleeper().map(|(until, _)| until)).min();
        let fits = |after: &Duration| at_the_latest.is_none_or(|latest| state.now + *after <= latest);
        if self.ends > 0 && (alive || left || self.started > 0) {
            let after = [Duration::ZERO, Duration::from_secs(60)];
            for meeting in 0..self.scenario.meetings {
                let times = after.into_iter().filter(fits);
                options.extend(times.map(|after| Step::EndMeeting(after, meeting)));
            }
        }
        if self.reconciles > 0 && self.started > 0 {
            let after = [Duration::ZERO, LIMITS.grace];
            options.extend(after.into_iter().filter(fits).map(Step::Sweep));
        }
    }

    fn may_meet(&self, trouble: Trouble) -> bool {
        self.scenario.only.is_empty() || self.scenario.only.contains(&trouble)
    }

    /// A delivery may come at any time: a duplicate at once, Lambda's repeat a minute after the end of the one before,
    /// and what else lies at the edges of lease and effect delay, by the clock of the one that comes.
    fn starts(
        &self,
        state: &State,
        alive: bool,
        requests: &[(u64, &Call, Timestamp)],
        options: &mut Vec<Step>,
    ) {
        let truth = &state.truth;
        let answers = requests.iter().map(|(_, call, sent)| *sent + call.limit(truth));
        let sleepers = self.executor.first_sleeper().map(|(until, _)| until);
        let at_the_latest = answers.chain(sleepers).min();
        let variants = if self.scenario.variety { VARIANTS } else { 1 };
        for (index, name) in NAMES.iter().enumerate().take(self.scenario.meetings) {
            let lease = state.table.records.get(&meeting(name)).and_then(|record| record.lease.as_ref());
            for variant in 0..variants {
                let skew = skew_of(variant, truth);
                let mut times = vec![state.now];
                if self.started > 0 {
                    let edges =
                        lease.map(|lease| [lease.until, lease.until + truth.max_effect_delay + truth.skew]);
                    times.extend(edges.into_iter().flatten().map(|edge| edge - skew));
                    if !alive {
                        times.push(state.now + Duration::from_secs(60));
                    }
                }
                times.retain(|time| *time >= state.now && at_the_latest.is_none_or(|latest| *time <= latest));
                // Without anybody under way it is the ordinary course that the next one comes a minute later.
                times.sort_by_key(|time| (alive && *time > state.now, std::cmp::Reverse(*time)));
                times.dedup();
                let start = |time: Timestamp| Step::Start {
                    after: time.duration_since(state.now).try_into().expect("it lies ahead"),
                    meeting: index,
                    variant,
                };
                options.extend(times.into_iter().map(start));
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
                    pending.sent + pending.call.limit(&state.truth)
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
                let (config, skew, time_left) = variant_of(variant, &self.world.0.borrow().truth);
                let config = Config { pair: self.pair(), ..config };
                self.executor.deliver_with(NAMES[meeting], config, time_left, skew);
            }
            Step::Kill(delivery) => {
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
                    self.world.0.borrow_mut().leave_on_the_wire(number);
                }
                self.executor.kill(delivery);
            }
            Step::EndMeeting(after, meeting) => {
                self.ends -= 1;
                self.pass(after);
                self.executor.end(NAMES[meeting]);
            }
            Step::Sweep(after) => {
                self.reconciles -= 1;
                self.pass(after);
                let launch = Config { pair: self.pair(), ..config() };
                self.executor.sweep(NAMES[0], reconcile_config(LIMITS, false), launch);
            }
            Step::TakeEffect(index) => self.world.0.borrow_mut().take_effect(index),
            Step::Act(act, id) => {
                self.acts -= 1;
                act_on(&mut self.world.0.borrow_mut(), act, &id);
            }
            Step::End => {}
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.world.now() + duration;
        self.world.0.borrow_mut().move_clock(until);
    }

    fn pair(&self) -> Pair {
        if self.scenario.same_az { Pair::SameAz } else { Pair::Any }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world.0.borrow().fingerprint().hash(&mut hasher);
        (self.faults, self.deaths, self.acts, self.started, self.ends, self.reconciles).hash(&mut hasher);
        hasher.finish()
    }

    /// Once faults stop, and what is on the wire has come or never will, two sweeps after the grace leave exactly the
    /// machines that the records of meetings that are on name.
    fn two_sweeps_suffice(&mut self) {
        {
            let mut state = self.world.0.borrow_mut();
            state.in_flight.clear();
            state.breaches.clear();
            // What a launch is left in without one of its guards, the sweeps with all of theirs put in order.
            state.off = state.off.filter(|guard| guard.is_of_the_sweep());
            state.strict = false;
        }
        let truth = self.world.0.borrow().truth;
        self.world.pass(truth.lease + truth.skew + truth.max_effect_delay + truth.skew);
        for pause in [LIMITS.grace, Duration::from_secs(300)] {
            self.world.pass(pause);
            let swept = sweep(&self.world);
            let mut state = self.world.0.borrow_mut();
            state.tell(|| format!("a sweep: {swept:?}"));
            if let Err(error) = swept {
                state.breach(format!("sweep: it failed: {error:?}"));
            }
        }
        // What the launches of a sweep are judged by is the other scenarios' part.
        let mut state = self.world.0.borrow_mut();
        state.breaches.retain(|breach| breach.starts_with("sweep"));
        let names = |record: &Record, id: &InstanceId| {
            Role::BOTH.iter().any(|role| record.role(*role).instance_id.as_ref() == Some(id))
        };
        let on: Vec<&Record> = state.table.records.values().filter(|record| !record.is_over()).collect();
        let now: Vec<&Record> =
            on.iter().copied().filter(|record| is_in_its_window(record, &state) == Some(true)).collect();
        let id = |l: &Launched| l.machine.instance_id.clone();
        let orphan = state.cloud.live().map(id).find(|id| !on.iter().any(|record| names(record, id)));
        let named = |l: &&Launched| now.iter().any(|record| names(record, &l.machine.instance_id));
        let of_those = |wanted: fn(Condition) -> bool| {
            let machines = state.cloud.machines.iter().filter(|l| wanted(l.machine.state));
            machines.filter(named).map(id).next()
        };
        let dead = of_those(|state| !state.is_live());
        let stopped = of_those(|state| state == Condition::Stopped);
        let missing = now
            .iter()
            .find(|record| Role::BOTH.iter().any(|role| record.role(*role).instance_id.is_none()))
            .map(|record| record.meeting_id.clone());
        if let Some(id) = orphan {
            state.breach(format!("sweep: {id} is up and no record of a meeting that is on names it"));
        }
        if let Some(id) = dead {
            state.breach(format!("sweep: {id} is dead and the record of a meeting that is on names it"));
        }
        if let Some(id) = stopped {
            state.breach(format!("sweep: {id} is stopped and the record of a meeting that is on names it"));
        }
        if let Some(meeting) = missing {
            state.breach(format!("sweep: {meeting} is on and has not got both machines"));
        }
    }

    /// Once faults stop, and lease, skew and effect delay have passed, one clean delivery does all that is left to do.
    fn one_clean_delivery_suffices(&mut self) {
        self.world.0.borrow_mut().in_flight.clear();
        // The last lease may have been taken by a clock that was ahead.
        let truth = self.world.0.borrow().truth;
        self.world.pass(truth.lease + truth.skew + truth.max_effect_delay + truth.skew);
        for name in NAMES.iter().take(self.scenario.meetings) {
            let mut last = Executor::new(&self.world);
            let time_left = self.world.0.borrow().truth.delivery;
            let config = Config { pair: self.pair(), ..config() };
            last.deliver_with(name, config, time_left, SignedDuration::ZERO);
            last.run();
            let result = last.results.remove(0).expect("nobody kills it");
            let mut state = self.world.0.borrow_mut();
            let record = state.table.records.get(&meeting(name)).cloned();
            let missing = match (&record, &result) {
                (None, Err(error)) if error.kind == Kind::MeetingNotFound => None,
                (None, _) => Some("a meeting without a record was not refused".to_owned()),
                (Some(record), Ok(_))
                    if record.is_over() || is_in_its_window(record, &state) == Some(false) =>
                {
                    None
                }
                (Some(record), Ok(_)) => {
                    let missing =
                        Role::BOTH.into_iter().find(|role| record.role(*role).instance_id.is_none());
                    missing.map(|role| format!("the {role} has no machine in the record"))
                }
                (Some(_), Err(error)) => Some(format!("it failed: {error:?}")),
            };
            if let Some(missing) = missing {
                state.breach(format!("4, one clean delivery suffices: {missing}"));
            }
        }
        if self.scenario.ends > 0 {
            self.one_clean_end_suffices();
        }
    }

    /// And once somebody ends it, nothing of a meeting is left.
    fn one_clean_end_suffices(&mut self) {
        for name in NAMES.iter().take(self.scenario.meetings) {
            let mut last = Executor::new(&self.world);
            last.end(name);
            last.run();
            let result = last.endings.remove(0);
            let mut state = self.world.0.borrow_mut();
            match (result, state.table.records.contains_key(&meeting(name))) {
                (Ok(_), true) => state.check_over(&meeting(name)),
                (Err(error), false) if error.kind == Kind::MeetingNotFound => {}
                (result, stands) => {
                    state.breach(format!("end: the record stands: {stands}, and the answer is {result:?}"));
                }
            }
        }
    }
}

/// What else than an answer may become of a request. One representative for each way in which the engine goes on; a
/// request without an answer may take effect at any later time (at once: an answer lost), or never (a request lost, or
/// throttled: the engine makes no difference).
fn fates(call: &Call, state: &State) -> Vec<Fate> {
    match call {
        Call::GetItem(_) => vec![
            Fate::LostBefore,
            Fate::Fails(Class::Unauthorized, "AccessDeniedException"),
            Fate::Fails(Class::Unreadable, ""),
        ],
        Call::UpdateItem(_) => {
            vec![Fate::Late, Fate::Fails(Class::Unauthorized, "AccessDeniedException")]
        }
        Call::RunInstances(_) => vec![
            Fate::Late,
            Fate::Refuses(Class::Capacity, "InsufficientInstanceCapacity"),
            Fate::Refuses(Class::Quota, "VcpuLimitExceeded"),
            Fate::Fails(Class::ZoneUnfit, "Unsupported"),
            Fate::Fails(Class::SubnetUnfit, "InvalidSubnetID.NotFound"),
            Fate::Fails(Class::TypeUnfit, "InvalidInstanceType"),
            Fate::Fails(Class::Throttled, "RequestLimitExceeded"),
            Fate::Fails(Class::Propagating, "InvalidParameterValue"),
            Fate::Fails(Class::Misconfigured, "InvalidKeyPair.NotFound"),
            Fate::Fails(Class::Unauthorized, "UnauthorizedOperation"),
            Fate::Fails(Class::ParameterMismatch, "IdempotentParameterMismatch"),
            Fate::Stillborn,
        ],
        Call::DescribeInstances(token) => {
            // It lags behind by less than the effect delay.
            let young =
                |l: &&Launched| l.token == *token && state.now < l.since + state.truth.max_effect_delay;
            let mut fates = vec![Fate::LostBefore, Fate::Fails(Class::Unauthorized, "UnauthorizedOperation")];
            if state.cloud.machines.iter().any(|l| young(&l)) {
                fates.insert(0, Fate::Lags);
            }
            fates
        }
        Call::DeleteTags(_) | Call::TerminateInstances(_) => {
            vec![Fate::Late, Fate::Fails(Class::Unauthorized, "UnauthorizedOperation")]
        }
        Call::List(_) | Call::Look(_) => vec![Fate::LostBefore, Fate::Lags],
        Call::ReadAll(_) | Call::FindDue(..) => vec![Fate::LostBefore],
        Call::StartInstances(_) => {
            vec![Fate::Late, Fate::Fails(Class::Capacity, "InsufficientInstanceCapacity")]
        }
        Call::Mark(..) | Call::Unmark(_) => vec![Fate::Late],
        Call::DescribeSubnets | Call::DescribeImages | Call::DeleteSchedule(_) | Call::Sleep(_) => Vec::new(),
    }
}

/// No two clocks differ by more than the skew: some are right, others ahead by that much.
fn skew_of(variant: usize, truth: &Timing) -> SignedDuration {
    match variant {
        1 => SignedDuration::try_from(truth.skew).expect("a few seconds"),
        _ => SignedDuration::ZERO,
    }
}

fn variant_of(variant: usize, truth: &Timing) -> (Config, SignedDuration, Duration) {
    let shortest = truth.run_instances + truth.reserve();
    let config = match variant {
        // Another image; only the zone that was last before; and one type, as spot first: a refusal is followed by the
        // same on demand.
        2 => Config {
            instance_types: vec!["t3.large".into()],
            markets: vec![Market::Spot, Market::OnDemand],
            image: Source::Id("ami-2".into()),
            supported_azs: Some(vec!["us-west-2c".into()]),
            ..config()
        },
        _ => config(),
    };
    let time_left = match variant {
        0..=2 => truth.delivery,
        // A time-out that leaves no room to launch and record, and one that leaves room for one try.
        3 => shortest - Duration::from_millis(500),
        // One in which a launch fits, and the effect delay does not.
        4 => Duration::from_secs(60),
        _ => shortest + truth.table + Duration::from_millis(100),
    };
    (config, skew_of(variant, truth), time_left)
}

/// What the other programs may do now.
fn acts(state: &State, id: &MeetingId) -> Vec<Act> {
    let of = |l: &&Launched| l.meeting() == id.as_str() && !l.is_forgotten;
    let any = |wanted: &dyn Fn(&Machine) -> bool| {
        state.cloud.machines.iter().filter(of).any(|l| wanted(&l.machine))
    };
    let tagged = |machine: &Machine| machine.tags.contains_key("Role");
    let dead = |machine: &Machine| machine.state == Condition::Terminated;
    let mut acts = Vec::new();
    match state.table.records.get(id) {
        Some(record) => {
            if record.status != Some(Status::Terminated) {
                acts.push(Act::Terminate);
                acts.push(Act::SafetyNet);
            }
            acts.push(Act::Delete);
            acts.push(Act::Recreate);
            // The other role would be the same story.
            if record.role(Role::Student).instance_id.is_none() {
                acts.push(Act::Enter(Role::Student));
            }
            let recorded = recorded_machine(state, record, Role::Student);
            if recorded.is_some() && record.status != Some(Status::Healthy) {
                acts.push(Act::Healthy);
            }
            if recorded.is_some_and(|l| l.machine.state.is_live()) {
                acts.extend([Act::Die, Act::Stop]);
            }
            let live = |role: &Role| {
                recorded_machine(state, record, *role).is_some_and(|l| l.machine.state.is_live())
            };
            if record.status != Some(Status::Terminated) && Role::BOTH.iter().any(live) {
                acts.push(Act::TerminateUnsaid);
            }
            if record.meet_time == MeetTime::At(meet_time()) {
                acts.push(Act::Postpone);
            }
        }
        None => acts.push(Act::Recreate),
    }
    if any(&tagged) {
        acts.push(Act::Running);
    }
    if any(&|machine| tagged(machine) && !machine.state.is_live()) {
        acts.push(Act::ShuttingDown);
    }
    if any(&|machine| dead(machine) && !machine.tags.is_empty()) {
        acts.push(Act::ForgetTags);
    }
    if any(&dead) {
        acts.push(Act::ForgetTheDead);
    }
    acts
}

fn recorded_machine<'s>(state: &'s State, record: &Record, role: Role) -> Option<&'s Launched> {
    let id = record.role(role).instance_id.as_ref()?;
    state.cloud.machines.iter().find(|l| l.machine.instance_id == *id)
}

fn act_on(state: &mut State, act: Act, id: &MeetingId) {
    let record = state.table.records.get(id).cloned();
    let recorded: Vec<InstanceId> =
        Role::BOTH.iter().filter_map(|role| record.as_ref()?.role(*role).instance_id.clone()).collect();
    let of_the_student = record.as_ref().and_then(|record| record.role(Role::Student).instance_id.clone());
    let status = match act {
        Act::Delete => return state.delete(id),
        Act::Recreate => {
            state.delete(id);
            state.tell(|| "another program makes the record again".into());
            state.table.records.insert(id.clone(), scheduled(id.as_str()));
            return;
        }
        Act::Enter(role) => {
            state.tell(|| format!("a person enters the id of another machine for the {role}"));
            state.by_hand.insert((id.clone(), role));
            // Whoever does that has the meeting go on.
            state.ended_unsaid.remove(id);
            let record = state.table.records.get_mut(id).expect("it stands");
            record.role_mut(role).instance_id = Some(InstanceId::from(format!("i-by-hand-{role}")));
            return;
        }
        Act::Postpone => {
            state.tell(|| "another program moves the meeting by five days".into());
            let record = state.table.records.get_mut(id).expect("it stands");
            let later = meet_time() + Duration::from_secs(5 * 24 * 3600);
            (record.meet_time, record.meet_time_text) = (MeetTime::At(later), Some(later.to_string()));
            return state.acted(id);
        }
        Act::Die | Act::Stop => {
            let machine = of_the_student.expect("it is recorded");
            state.tell(|| format!("{machine} ({act:?})"));
            match act {
                Act::Die => state.cloud.die(&machine, "Server.InternalError"),
                _ => state.cloud.stop(&machine),
            }
            return;
        }
        Act::ForgetTags => {
            state.tell(|| "EC2 takes the tags from the dead".into());
            return state.cloud.forget_tags();
        }
        Act::ForgetTheDead => {
            state.tell(|| "EC2 forgets the dead".into());
            // Nobody can know any more who ended them.
            state.ended_unsaid.remove(id);
            return state.cloud.forget_the_dead();
        }
        Act::Terminate => {
            recorded.iter().for_each(|id| state.cloud.end(id));
            say(state, id, "ended");
            Status::Terminated
        }
        Act::TerminateUnsaid => {
            let live = |id: &InstanceId| state.cloud.live().any(|l| l.machine.instance_id == *id);
            if recorded.iter().all(live) {
                state.ended_unsaid.insert(id.clone());
            }
            recorded.iter().for_each(|id| state.cloud.end(id));
            Status::Terminated
        }
        Act::SafetyNet => {
            say(state, id, "safety net");
            Status::Terminated
        }
        Act::ShuttingDown => Status::Terminated,
        Act::Running => Status::DnsWritten,
        Act::Healthy => Status::Healthy,
    };
    state.tell(|| format!("another program ({act:?}) writes {}", status.as_str()));
    state.acted(id);
    if status != Status::Terminated {
        state.ended_unsaid.remove(id);
    }
    // It makes the record if there is none.
    let record = state.table.records.entry(id.clone()).or_insert_with(|| Record {
        meet_time: MeetTime::Missing,
        meet_time_text: None,
        ..scheduled(id.as_str())
    });
    record.status = Some(status);
}

fn say(state: &mut State, id: &MeetingId, reason: &str) {
    if let Some(record) = state.table.records.get_mut(id) {
        record.termination_reason = Some(reason.into());
    }
}

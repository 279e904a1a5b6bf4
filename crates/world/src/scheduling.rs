//! Deliveries of the verb `schedule` over a table and a scheduler in memory, one request at a time. The chooser decides
//! which delivery moves next; whether its request is answered, or lost before or after it took effect, or never sent
//! because the delivery dies; and when another program acts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_core::companion::{Companion, CompanionName, Offsets, Pattern};
use elephant_core::config::ScheduleConfig;
use elephant_core::error::{AwsError, Class, Error};
use elephant_core::event;
use elephant_core::launch_schedule::{ExistingSchedule, OneTimeSchedule, ScheduleName, Target};
use elephant_core::machine::{InstanceId, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::ports::{
    Clock, CompanionNotes, CompanionSchedules, Created, Deletes, Meetings, MovingCompanions, NewMeetings,
    Schedules, Tokens, Updated,
};
use elephant_core::record::{Change, Lease, MeetTime, NewRecord, Owner, Record, Requires, Update};
use elephant_core::schedule::{ScheduleAnswer, SchedulePorts, Scheduler};
use elephant_core::timing::Timing;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::table::Table;
use crate::{aws_error, config as launch_config, meeting, start};

/// One meeting, and what can go wrong with it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A record and a schedule of an earlier delivery exist already.
    pub stands: bool,
    /// The safety net's schedule exists, too, a quarter of an hour after that meeting, and moves and goes with it.
    pub companion: bool,
    /// The requests of the deliveries, in the order in which they come; they may overtake each other.
    pub events: Vec<Value>,
    pub faults: usize,
    pub deaths: usize,
    pub acts: usize,
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// No record, no requests, and nothing goes wrong.
    pub fn quiet() -> Self {
        Scenario {
            stands: false,
            companion: false,
            events: Vec::new(),
            faults: 0,
            deaths: 0,
            acts: 0,
            sabotage: None,
        }
    }
}

/// A safeguard of the verb that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A new record is written over an existing one.
    CreateOverwrites,
    /// A cancellation does not ask whether the record is still as it was read.
    CancelAsksNothing,
    /// A move does not ask whether the meeting is over.
    MoveAsksNothing,
    /// After the schedule was written the record is not looked at again.
    NoSecondLook,
    /// The offset of a companion from its meeting is noted again by each delivery that moves it.
    NotesAnew,
    /// The offset is not noted before the meeting is moved.
    NotesNothing,
}

pub struct World {
    pub table: Table,
    pub schedules: BTreeMap<ScheduleName, OneTimeSchedule>,
    /// When the safety net fires, if its schedule exists.
    pub safety: Option<Timestamp>,
    /// The record's note of the safety net's offset.
    noted: Option<Offsets>,
    /// The record was deleted and made again since the safety net's schedule was made.
    made_again: bool,
    now: Timestamp,
    sabotage: Option<Sabotage>,
    /// One line for each step, in our own words.
    pub told: Vec<String>,
    pub breach: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    LostBefore,
    LostAfter,
}

type Shared = Rc<RefCell<World>>;

/// The ports of one delivery.
#[derive(Clone)]
struct Ports {
    world: Shared,
    delivery: usize,
    granted: Rc<RefCell<Option<Fate>>>,
    /// A hash of all answers that the delivery got. Its next steps depend only on them and the clock.
    history: Rc<Cell<u64>>,
    /// The record as this delivery last knew it. The sabotaged second look sees it.
    known: Rc<RefCell<Option<Record>>>,
}

impl Ports {
    async fn pass(&self) -> Fate {
        std::future::poll_fn(|_| match self.granted.borrow_mut().take() {
            Some(fate) => Poll::Ready(fate),
            None => Poll::Pending,
        })
        .await
    }

    async fn call<R: fmt::Debug>(
        &self,
        action: &'static str,
        effect: impl FnOnce(&mut World) -> R,
    ) -> Result<R, AwsError> {
        let fate = self.pass().await;
        let mut world = self.world.borrow_mut();
        let delivery = self.delivery;
        let answer = match fate {
            Fate::Answered => {
                world.told.push(format!("delivery {delivery}: {action}"));
                Ok(effect(&mut world))
            }
            Fate::LostBefore => {
                world.told.push(format!("delivery {delivery}: {action} is lost"));
                Err(aws_error(action, Class::Ambiguous, ""))
            }
            Fate::LostAfter => {
                world.told.push(format!("delivery {delivery}: {action} takes effect, its answer is lost"));
                effect(&mut world);
                Err(aws_error(action, Class::Ambiguous, ""))
            }
        };
        self.history.set(hash_of(&answer, self.history.get()));
        answer
    }
}

impl SchedulePorts for Ports {
    type Meetings = Ports;
    type Schedules = Ports;
    type Clock = Ports;
    type Tokens = Ports;
}

impl Meetings for Ports {
    async fn read(&self, id: &MeetingId) -> Result<Option<Record>, AwsError> {
        let looks_away = self.world.borrow().sabotage == Some(Sabotage::NoSecondLook);
        if looks_away && let Some(known) = self.known.borrow().clone() {
            return Ok(Some(known));
        }
        self.call("GetItem", |world| world.table.records.get(id).cloned()).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        let answer = self.call("UpdateItem", |world| world.update(update)).await?;
        if let Updated::Done = answer {
            *self.known.borrow_mut() = self.world.borrow().table.records.get(&update.meeting_id).cloned();
        }
        Ok(answer)
    }
}

impl NewMeetings for Ports {
    async fn create(&self, new: &NewRecord) -> Result<Created, AwsError> {
        let created = self.call("PutItem", |world| world.create(new)).await?;
        *self.known.borrow_mut() = match &created {
            Created::Done => self.world.borrow().table.records.get(&new.meeting_id).cloned(),
            Created::Exists(found) => Some((**found).clone()),
        };
        Ok(created)
    }
}

impl Schedules for Ports {
    async fn create(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError> {
        self.call("CreateSchedule", |world| {
            let free = !world.schedules.contains_key(&schedule.name);
            if free {
                world.schedules.insert(schedule.name.clone(), schedule.clone());
            }
            free
        })
        .await
    }

    async fn find(&self, name: &ScheduleName) -> Result<ExistingSchedule, AwsError> {
        self.call("GetSchedule", |world| {
            world.schedules.get(name).cloned().map_or(ExistingSchedule::Absent, ExistingSchedule::OneTime)
        })
        .await
    }

    async fn replace(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError> {
        self.call("UpdateSchedule", |world| match world.schedules.get_mut(&schedule.name) {
            Some(standing) => {
                *standing = schedule.clone();
                true
            }
            None => false,
        })
        .await
    }
}

impl Deletes for Ports {
    async fn delete(&self, name: &ScheduleName) -> Result<bool, AwsError> {
        self.call("DeleteSchedule", |world| world.schedules.remove(name).is_some()).await
    }
}

impl CompanionSchedules for Ports {
    async fn find_companion(&self, name: &CompanionName) -> Result<Companion, AwsError> {
        assert_eq!(name.to_string(), "default/safety-m");
        self.call("GetSchedule of the safety net", |world| {
            world.safety.map_or(Companion::Absent, Companion::At)
        })
        .await
    }

    async fn delete_companion(&self, _: &CompanionName) -> Result<bool, AwsError> {
        self.call("DeleteSchedule of the safety net", |world| world.safety.take().is_some()).await
    }
}

impl MovingCompanions for Ports {
    async fn move_companion(&self, _: &CompanionName, at: Timestamp) -> Result<bool, AwsError> {
        self.call("UpdateSchedule of the safety net", |world| match &mut world.safety {
            Some(standing) => {
                *standing = at;
                true
            }
            None => false,
        })
        .await
    }
}

impl CompanionNotes for Ports {
    async fn read_offsets(&self, _: &MeetingId) -> Result<Option<Offsets>, AwsError> {
        self.call("GetItem of what is noted", |world| world.noted.clone()).await
    }

    async fn note_offsets(&self, id: &MeetingId, offsets: &Offsets) -> Result<bool, AwsError> {
        self.call("UpdateItem of what is noted", |world| {
            let free = world.noted.is_none() || world.sabotage == Some(Sabotage::NotesAnew);
            let writes = free
                && world.table.records.contains_key(id)
                && world.sabotage != Some(Sabotage::NotesNothing);
            if writes {
                world.noted = Some(offsets.clone());
            }
            writes
        })
        .await
    }
}

/// Time moves only in the pauses that the verb makes.
impl Clock for Ports {
    fn now(&self) -> Timestamp {
        self.world.borrow().now
    }

    async fn sleep(&self, duration: Duration) {
        self.world.borrow_mut().now += duration;
    }

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

impl Tokens for Ports {
    fn token(&self) -> Token {
        unreachable!("scheduling launches nothing")
    }

    fn owner(&self) -> Owner {
        unreachable!("scheduling takes no lease")
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

impl World {
    fn breach(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    fn update(&mut self, update: &Update) -> Updated {
        let mut update = update.clone();
        let cancels = update.changes.iter().any(|change| matches!(change, Change::Terminated(_)));
        let off = match self.sabotage {
            Some(Sabotage::CancelAsksNothing) => cancels,
            Some(Sabotage::MoveAsksNothing) => !cancels,
            _ => false,
        };
        if off {
            update.requires.retain(|requirement| *requirement == Requires::Exists);
        }
        let before = self.table.records.get(&update.meeting_id).cloned();
        let answer = self.table.update(&update);
        if answer != Updated::Done {
            return answer;
        }
        let Some(before) = before else {
            self.breach("a write made a record".into());
            return answer;
        };
        if cancels {
            let busy = before.lease.as_ref().is_some_and(|lease| lease.until > self.now);
            let machines = Role::BOTH.iter().any(|role| {
                before.role(*role).instance_id.is_some() || before.role(*role).open_attempt().is_some()
            });
            if busy || machines {
                self.breach("a meeting was cancelled that has machines, an attempt or a live lease".into());
            }
        } else if before.is_over() {
            self.breach("a meeting that is over was moved".into());
        }
        answer
    }

    fn create(&mut self, new: &NewRecord) -> Created {
        if self.sabotage == Some(Sabotage::CreateOverwrites)
            && let Some(standing) = self.table.records.remove(&new.meeting_id)
            && (standing.is_over() || standing.lease.is_some())
        {
            self.breach("a new record was written over one that stands".into());
        }
        self.table.create(new)
    }

    /// Let another program act; `None`: it has nothing to do.
    fn act(&mut self, act: usize) -> Option<&'static str> {
        let now = self.now;
        let record = self.table.records.get_mut(&meeting("m"));
        let said = match (act, record) {
            (0, Some(record)) if !record.is_over() && record.lease.is_none() => {
                // The function `launch` claims the meeting.
                record.lease =
                    Some(Lease { owner: Owner::from("launch"), until: now + Duration::from_secs(30) });
                let candidate = elephant_core::plan::Candidate {
                    instance_type: "t3.large".into(),
                    subnet: elephant_core::network::Subnet {
                        subnet_id: "subnet-1".into(),
                        vpc_id: "vpc-1".into(),
                        availability_zone: "us-west-2a".into(),
                        available_ip_addresses: 1,
                    },
                    market: Default::default(),
                };
                let m = meeting("m");
                let attempt = elephant_core::plan::attempt(
                    &launch_config(),
                    &crate::cloud::image("ami-1").into(),
                    &m,
                    Role::Teacher,
                    1,
                    Token::from("t"),
                    &candidate,
                );
                record.teacher.attempt = Some(attempt.expect("it has no user data"));
                "launch takes the lease and writes an attempt"
            }
            (1, Some(record)) if record.teacher.attempt.is_some() && !record.is_over() => {
                record.teacher.instance_id = Some(InstanceId::from("i-1"));
                record.student.instance_id = Some(InstanceId::from("i-2"));
                record.status = Some(Status::Launched);
                "launch records both machines"
            }
            (2, Some(record)) if !record.is_over() => {
                record.status = Some(Status::Terminated);
                "another program ends the meeting"
            }
            (3, Some(_)) => {
                self.table.delete(&meeting("m"));
                (self.noted, self.made_again) = (None, true);
                "the record is deleted"
            }
            _ => return None,
        };
        Some(said)
    }

    /// Whether the record and the schedule disagree, and how.
    pub fn disagreement(&self) -> Option<String> {
        let schedule = self.schedules.get(&ScheduleName::of(&meeting("m")));
        if self.schedules.len() > 1 {
            return Some("there is more than one schedule".into());
        }
        if let Some(what) = self.table.records.get(&meeting("m")).and_then(|record| self.astray(record)) {
            return Some(what);
        }
        match self.table.records.get(&meeting("m")) {
            // The schedule fires in vain. No delivery may take it for a leftover: its record may be written again.
            None => None,
            Some(record) if record.is_over() => {
                schedule.map(|_| "a schedule stands for a meeting that is over".into())
            }
            Some(record) => {
                let MeetTime::At(meet_time) = record.meet_time else { return Some("no time".into()) };
                let launched = Role::BOTH.iter().all(|role| record.role(*role).instance_id.is_some());
                match schedule {
                    None if launched => None,
                    None => Some("no schedule stands for a meeting that is on".into()),
                    Some(_) if launched => None,
                    Some(schedule) => {
                        let due = meet_time - config().lead;
                        (schedule.at != due)
                            .then(|| format!("the schedule fires at {}, wanted {due}", schedule.at))
                    }
                }
            }
        }
    }
}

impl World {
    /// Whether the safety net does not fire a quarter of an hour after the meeting of this record, or its schedule
    /// still exists after the meeting's end.
    fn astray(&self, record: &Record) -> Option<String> {
        let MeetTime::At(meet_time) = record.meet_time else { return None };
        let due = meet_time + Duration::from_secs(15 * 60);
        match self.safety.filter(|_| !self.made_again)? {
            _ if record.is_over() => {
                Some("the safety net's schedule stands for a meeting that is over".into())
            }
            at if at != due => Some(format!("the safety net fires at {at}, wanted {due}")),
            _ => None,
        }
    }
}

pub fn config() -> ScheduleConfig {
    let arn = |what: &str| format!("arn:aws:{what}");
    ScheduleConfig {
        table_name: "elephant-meetings".into(),
        group: "elephant".into(),
        target: Target {
            function: arn("lambda:us-west-2:123456789012:function:launch"),
            role: arn("iam::123456789012:role/scheduler"),
            dead_letters: arn("sqs:us-west-2:123456789012:dead"),
        },
        lead: Duration::from_secs(15 * 60),
        flexible_window: Duration::from_secs(5 * 60),
        launch_window: Duration::from_secs(120 * 60),
        companions: Vec::new(),
    }
}

pub fn at(minutes: u64) -> Timestamp {
    start() + Duration::from_secs(60 * minutes)
}

pub fn schedule(minutes: u64) -> Value {
    json!({"meeting_id": "m", "meet_time": at(minutes).to_string(), "teacher_name": "Tina"})
}

pub fn cancel() -> Value {
    json!({"meeting_id": "m", "cancel": true})
}

/// Chooses one of several ways to go.
pub trait Chooser {
    /// `None` ends the course here, because another course went on from this state before.
    fn choose(&mut self, options: usize, state: &dyn Fn() -> u64) -> Option<usize>;
}

/// A hash of the value's debug text.
fn hash_of(what: &impl fmt::Debug, on: u64) -> u64 {
    struct Into(DefaultHasher);
    impl fmt::Write for Into {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut into = Into(DefaultHasher::new());
    into.0.write_u64(on);
    fmt::Write::write_fmt(&mut into, format_args!("{what:?}")).expect("hashing does not fail");
    into.0.finish()
}

type Running = Pin<Box<dyn Future<Output = Result<ScheduleAnswer, Error>>>>;

struct Delivery {
    running: Option<Running>,
    ports: Ports,
    ended: Option<Result<ScheduleAnswer, Error>>,
}

pub struct Played {
    pub told: Vec<String>,
    pub breach: Option<String>,
    /// How each delivery ended; `None`: it died.
    pub ended: Vec<Option<Result<ScheduleAnswer, Error>>>,
    pub table: Table,
    pub schedules: BTreeMap<ScheduleName, OneTimeSchedule>,
    pub safety: Option<Timestamp>,
}

fn begin(world: &Shared, scenario: &Scenario, delivery: usize, event: &Value) -> Delivery {
    let ports = Ports {
        world: world.clone(),
        delivery,
        granted: Rc::default(),
        history: Rc::default(),
        known: Rc::default(),
    };
    let safety = Pattern::parse("default/safety-{meeting_id}").expect("a pattern");
    let companions = scenario.companion.then_some(safety).into_iter().collect();
    let scheduler = Scheduler::<Ports> {
        meetings: ports.clone(),
        schedules: ports.clone(),
        clock: ports.clone(),
        tokens: ports.clone(),
        config: ScheduleConfig { companions, ..config() },
        timing: Timing::DEFAULT,
    };
    let request = event::Schedule::from_json(event).expect("a good event");
    let deadline = ports.now() + Duration::from_secs(60);
    let running = Box::pin(async move { scheduler.schedule(&request, deadline).await });
    let mut delivery = Delivery { running: Some(running), ports, ended: None };
    delivery.poll();
    delivery
}

impl Delivery {
    fn poll(&mut self) {
        let Some(running) = &mut self.running else { return };
        if let Poll::Ready(end) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.running = None;
            let mut world = self.ports.world.borrow_mut();
            let said = match &end {
                Ok(answer) => format!("is done: {:?}", answer.outcome),
                Err(error) => format!("fails: {}", error.kind),
            };
            world.told.push(format!("delivery {} {said}", self.ports.delivery));
            drop(world);
            self.ended = Some(end);
        }
    }

    fn grant(&mut self, fate: Fate) {
        *self.ports.granted.borrow_mut() = Some(fate);
        self.poll();
    }
}

/// The number of different actions of other programs.
const ACTS: usize = 4;

/// Follow one course to its end, then deliver the last request once more, with nothing going wrong.
pub fn play(scenario: &Scenario, chooser: &mut dyn Chooser) -> Played {
    let world: Shared = Rc::new(RefCell::new(World {
        table: Table::default(),
        schedules: BTreeMap::new(),
        safety: scenario.companion.then(|| at(75)),
        noted: None,
        made_again: false,
        now: start(),
        sabotage: None,
        told: Vec::new(),
        breach: None,
    }));
    if scenario.stands {
        undisturbed(&world, scenario, 0, &schedule(60));
        world.borrow_mut().told.clear();
    }
    world.borrow_mut().sabotage = scenario.sabotage;
    let (mut faults, mut deaths, mut acts) = (scenario.faults, scenario.deaths, scenario.acts);
    let events = scenario.events.iter().enumerate();
    let mut deliveries: Vec<Delivery> =
        events.map(|(i, event)| begin(&world, scenario, i + 1, event)).collect();
    loop {
        // Each option is a delivery with the fate of its request, or an action of another program.
        let mut options: Vec<(usize, Option<Fate>)> = Vec::new();
        for (index, _) in deliveries.iter().enumerate().filter(|(_, d)| d.running.is_some()) {
            options.push((index, Some(Fate::Answered)));
            if faults > 0 {
                options.extend([(index, Some(Fate::LostBefore)), (index, Some(Fate::LostAfter))]);
            }
            if deaths > 0 {
                options.push((index, None));
            }
        }
        if options.is_empty() || world.borrow().breach.is_some() {
            break;
        }
        let first_act = options.len();
        let all = first_act + if acts > 0 { ACTS } else { 0 };
        let state = || {
            let world = world.borrow();
            let each =
                deliveries.iter().map(|d| (d.ports.history.get(), d.running.is_some(), d.ended.is_some()));
            let each: Vec<_> = each.collect();
            let known: Vec<_> = deliveries.iter().map(|d| d.ports.known.borrow().is_some()).collect();
            let companion = (&world.safety, &world.noted, world.made_again);
            hash_of(
                &(each, known, &world.table, &world.schedules, companion, world.now, faults, deaths, acts),
                0,
            )
        };
        let Some(chosen) = chooser.choose(all, &state) else {
            let cut = world.borrow().told.clone();
            return Played {
                told: cut,
                breach: None,
                ended: Vec::new(),
                table: Table::default(),
                schedules: BTreeMap::new(),
                safety: None,
            };
        };
        if chosen >= first_act {
            acts -= 1;
            let said = world.borrow_mut().act(chosen - first_act);
            if let Some(said) = said {
                world.borrow_mut().told.push(said.to_owned());
            }
            continue;
        }
        match options[chosen] {
            (index, Some(fate)) => {
                faults -= usize::from(fate != Fate::Answered);
                deliveries[index].grant(fate);
            }
            (index, None) => {
                deaths -= 1;
                deliveries[index].running = None;
                world.borrow_mut().told.push(format!("delivery {} dies", index + 1));
            }
        }
        let alone = deliveries.iter().all(|delivery| delivery.running.is_none());
        let all_well = deliveries.iter().all(|delivery| matches!(delivery.ended, Some(Ok(_))));
        if alone && all_well && scenario.acts == 0 {
            let disagreement = world.borrow().disagreement();
            if let Some(what) = disagreement {
                world.borrow_mut().breach(format!("all deliveries ended well, and {what}"));
            }
        }
    }
    if world.borrow().breach.is_none()
        && let Some(last) = scenario.events.last()
    {
        world.borrow_mut().told.push("the last request comes once more, undisturbed".into());
        undisturbed(&world, scenario, scenario.events.len() + 1, last);
        let disagreement = world.borrow().disagreement();
        if let Some(what) = disagreement {
            world.borrow_mut().breach(format!("after a clean delivery {what}"));
        }
    }
    let ended = deliveries.into_iter().map(|delivery| delivery.ended).collect();
    let world = world.borrow();
    Played {
        told: world.told.clone(),
        breach: world.breach.clone(),
        ended,
        table: world.table.clone(),
        schedules: world.schedules.clone(),
        safety: world.safety,
    }
}

fn undisturbed(world: &Shared, scenario: &Scenario, number: usize, event: &Value) {
    let mut delivery = begin(world, scenario, number, event);
    for _ in 0..100 {
        if delivery.running.is_none() {
            return;
        }
        delivery.grant(Fate::Answered);
    }
    world.borrow_mut().breach("a clean delivery does not end".into());
}

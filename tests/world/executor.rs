//! Runs deliveries of the real engine against the world: every request of a delivery waits here until somebody says what
//! becomes of it, and the clock moves only when nothing else is left to do.
//!
//! After every step the promise is checked. What a check finds is kept in [`World::breaches`], with the story so far.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_launch::config::Config;
use elephant_launch::error::{AwsError, Class, Error};
use elephant_launch::launch::{Answer, Launcher};
use elephant_launch::lookups::Lookups;
use elephant_launch::machine::{Attempt, InstanceId, Machine, Token};
use elephant_launch::meeting::{MeetingId, Role, Status, allows_launch};
use elephant_launch::needs::{Clock, Machines, Meetings, Networks, Tokens, Updated};
use elephant_launch::network::{Found, Wanted};
use elephant_launch::record::{Change, MeetTime, Owner, Record, Update};
use elephant_launch::timing::Timing;
use jiff::Timestamp;

use super::cloud::Cloud;
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
            Call::Sleep(_) => "Sleep",
        }
    }

    /// The role that it is about, where it is about one.
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

    pub fn writes_an_id(&self) -> bool {
        matches!(self, Call::UpdateItem(update) if update.changes.iter().any(|c| matches!(c, Change::Instance(..))))
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is answered as AWS would.
    Answered,
    /// No answer, and no effect.
    LostBefore,
    /// No answer, but the effect.
    LostAfter,
    /// No answer now; the effect comes this much later, whatever has become of the caller.
    Late(Duration),
    /// This answer, and no effect.
    Fails(Class, &'static str),
    /// The delivery dies before it takes effect, or after.
    DiesBefore,
    DiesAfter,
}

#[allow(clippy::large_enum_variant, reason = "a handful live at once")]
enum Reply {
    Record(Result<Option<Record>, AwsError>),
    Updated(Result<Updated, AwsError>),
    Machine(Result<Machine, AwsError>),
    Machines(Result<Vec<Machine>, AwsError>),
    Done(Result<(), AwsError>),
    Subnets(Result<Found, AwsError>),
    Device(Result<String, AwsError>),
    Woken,
}

struct Pending {
    number: u64,
    delivery: usize,
    call: Call,
    reply: Option<Reply>,
}

pub struct State {
    pub now: Timestamp,
    pub table: Table,
    pub cloud: Cloud,
    pending: Vec<Pending>,
    calls: u64,
    tokens: u64,
    /// Numbers the deliveries of every executor, so that owners differ.
    deliveries: usize,
    /// Every attempt that ever stood in a record.
    written: Vec<Attempt>,
    /// Requests that will take effect although nobody waits for them.
    late: Vec<(Timestamp, Attempt)>,
    pub story: Vec<String>,
    pub breaches: Vec<String>,
}

/// A handle on the world; clones are the same world.
#[derive(Clone)]
pub struct World(pub Rc<RefCell<State>>);

impl World {
    pub fn new(records: impl IntoIterator<Item = Record>) -> World {
        let mut table = Table::default();
        table.records.extend(records.into_iter().map(|record| (record.meeting_id.clone(), record)));
        World(Rc::new(RefCell::new(State {
            now: start(),
            table,
            cloud: Cloud::default(),
            pending: Vec::new(),
            calls: 0,
            tokens: 0,
            deliveries: 0,
            written: Vec::new(),
            late: Vec::new(),
            story: Vec::new(),
            breaches: Vec::new(),
        })))
    }

    pub fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    /// Time passes while no delivery is under way.
    pub fn pass(&self, duration: Duration) {
        let until = self.now() + duration;
        self.move_clock(until);
    }

    pub fn record(&self, id: &str) -> Record {
        self.0.borrow().table.records[&super::meeting(id)].clone()
    }

    /// The ids of the live machines of a role.
    pub fn live(&self, id: &str, role: Role) -> Vec<String> {
        let state = self.0.borrow();
        let of = |l: &&super::cloud::Launched| l.meeting() == id && l.role() == role.as_str();
        state.cloud.live().filter(of).map(|l| l.machine.instance_id.0.clone()).collect()
    }

    /// Another program of the system writes, as it does: unconditionally.
    pub fn set_status(&self, id: &str, status: Option<Status>) {
        let mut state = self.0.borrow_mut();
        state.story.push(format!("another program writes status {status:?}"));
        let record = state.table.records.get_mut(&super::meeting(id)).expect("the record");
        record.status = status;
    }

    pub fn delete(&self, id: &str) {
        let mut state = self.0.borrow_mut();
        state.story.push("another program deletes the record".into());
        state.table.records.remove(&super::meeting(id));
    }

    fn move_clock(&self, until: Timestamp) {
        let mut state = self.0.borrow_mut();
        while let Some(index) =
            (0..state.late.len()).filter(|i| state.late[*i].0 <= until).min_by_key(|i| state.late[*i].0)
        {
            let (at, attempt) = state.late.remove(index);
            state.now = at;
            let answer = state.cloud.run(&attempt);
            state.story.push(format!("late RunInstances of {} takes effect: {answer:?}", attempt.token));
            state.check();
        }
        state.now = until;
    }
}

impl State {
    /// Promise 1 in every state; promises 3 and 5 are checked where a write or a request takes effect.
    fn check(&mut self) {
        let mut live: Vec<(String, String)> =
            self.cloud.live().map(|l| (l.meeting().to_owned(), l.role().to_owned())).collect();
        live.sort();
        if let Some(pair) = live.windows(2).find(|pair| pair[0] == pair[1]) {
            let (meeting, role) = pair[0].clone();
            self.breach(format!("promise 1, never two: two live machines for the {role} of {meeting}"));
        }
    }

    fn breach(&mut self, what: String) {
        let story = self.story.join("\n  ");
        self.breaches.push(format!("{what}\n  {story}"));
    }

    fn apply(&mut self, call: &Call) -> Reply {
        match call {
            Call::GetItem(id) => Reply::Record(Ok(self.table.records.get(id).cloned())),
            Call::UpdateItem(update) => {
                let before = self.table.records.get(&update.meeting_id).cloned();
                let answer = self.table.update(update);
                if answer == Updated::Done {
                    self.check_write(before.as_ref(), update);
                }
                Reply::Updated(Ok(answer))
            }
            Call::RunInstances(attempt) => {
                self.check_launch(attempt);
                Reply::Machine(self.cloud.run(attempt))
            }
            Call::DescribeInstances(token) => Reply::Machines(Ok(self.cloud.find(token))),
            Call::DeleteTags(id) => {
                self.cloud.remove_role_tag(id);
                Reply::Done(Ok(()))
            }
            Call::TerminateInstances(id) => {
                if self.cloud.machine(id).is_some_and(|machine| machine.tags.contains_key("Role")) {
                    self.breach(format!("{id} is ended with its Role tag: the watchdog ends the meeting"));
                }
                self.cloud.terminate(id);
                Reply::Done(Ok(()))
            }
            Call::DescribeSubnets => Reply::Subnets(Ok(self.cloud.found())),
            Call::DescribeImages => Reply::Device(Ok("/dev/xvda".into())),
            Call::Sleep(_) => Reply::Woken,
        }
    }

    fn check_write(&mut self, before: Option<&Record>, update: &Update) {
        let Some(before) = before else {
            return self.breach("promise 3, never blind: a write made a record".into());
        };
        let moves = update.changes.contains(&Change::Launched);
        if moves && !Status::BEFORE_LAUNCHED.contains(&before.status) {
            self.breach(format!("promise 5, nothing trampled: LAUNCHED is written over {:?}", before.status));
        }
        self.written.extend(update.changes.iter().filter_map(|change| match change {
            Change::Attempt(_, attempt) => Some(attempt.clone()),
            _ => None,
        }));
        let claims = update.changes.iter().any(|change| matches!(change, Change::Attempt(..)));
        let late = matches!(before.meet_time, MeetTime::At(time) if self.now > time + config().launch_window);
        if claims && (!allows_launch(&before.status) || late) {
            self.breach("promise 3, never blind: an attempt is written for a meeting that is over".into());
        }
    }

    /// The attempt must have been written to the record, to the letter, before it is sent.
    fn check_launch(&mut self, attempt: &Attempt) {
        if !self.written.iter().any(|written| written == attempt) {
            self.breach(format!("promise 3, never blind: {} is sent before it was written", attempt.token));
        }
    }
}

/// The ports of one delivery.
#[derive(Clone)]
pub struct Port {
    world: World,
    delivery: usize,
}

impl Port {
    async fn call(&self, call: Call) -> Reply {
        let number = {
            let mut state = self.world.0.borrow_mut();
            state.calls += 1;
            let number = state.calls;
            state.pending.push(Pending { number, delivery: self.delivery, call, reply: None });
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

impl Meetings for Port {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        answered!(self, Call::GetItem(meeting.clone()), Record)
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        answered!(self, Call::UpdateItem(update.clone()), Updated)
    }
}

impl Machines for Port {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        answered!(self, Call::RunInstances(attempt.clone()), Machine)
    }

    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        answered!(self, Call::DescribeInstances(token.clone()), Machines)
    }

    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::DeleteTags(instance.clone()), Done)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        answered!(self, Call::TerminateInstances(instance.clone()), Done)
    }
}

impl Networks for Port {
    async fn find_subnets(&self, _: Option<&[String]>) -> Result<Found, AwsError> {
        answered!(self, Call::DescribeSubnets, Subnets)
    }

    async fn find_root_device(&self, _: &str) -> Result<String, AwsError> {
        answered!(self, Call::DescribeImages, Device)
    }
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now() + duration;
        let _ = self.call(Call::Sleep(until)).await;
    }
}

impl Tokens for Port {
    fn token(&self) -> Token {
        let mut state = self.world.0.borrow_mut();
        state.tokens += 1;
        Token(format!("token-{}", state.tokens))
    }

    fn owner(&self) -> Owner {
        Owner(format!("delivery-{}", self.delivery))
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

type Delivering = Pin<Box<dyn Future<Output = Result<Answer, Error>>>>;

/// Deliveries under way, and what is to become of their requests.
pub struct Executor {
    pub world: World,
    deliveries: Vec<Option<Delivering>>,
    /// The number under which the world knows each.
    numbers: Vec<usize>,
    pub results: Vec<Option<Result<Answer, Error>>>,
    plots: Vec<Plot>,
    deadlines: Vec<Timestamp>,
}

/// The next `times` requests that match, after the first `skip`, meet this fate.
pub struct Plot {
    pub matches: Box<dyn Fn(&Call) -> bool>,
    pub skip: usize,
    pub times: usize,
    pub fate: Fate,
}

impl Executor {
    pub fn new(world: &World) -> Self {
        Executor {
            world: world.clone(),
            deliveries: Vec::new(),
            numbers: Vec::new(),
            results: Vec::new(),
            plots: Vec::new(),
            deadlines: Vec::new(),
        }
    }

    pub fn plot(mut self, matches: impl Fn(&Call) -> bool + 'static, fate: Fate) -> Self {
        self.plots.push(Plot { matches: Box::new(matches), skip: 0, times: 1, fate });
        self
    }

    /// How often the last plot strikes, and how many requests pass before it.
    pub fn times(mut self, skip: usize, times: usize) -> Self {
        let plot = self.plots.last_mut().expect("a plot");
        (plot.skip, plot.times) = (skip, times);
        self
    }

    /// Begin a delivery with this configuration.
    pub fn deliver_with(&mut self, id: &str, config: Config, time_left: Duration) {
        let delivery = {
            let mut state = self.world.0.borrow_mut();
            state.deliveries += 1;
            state.deliveries
        };
        self.numbers.push(delivery);
        let port = Port { world: self.world.clone(), delivery };
        let deadline = self.world.now() + time_left;
        let launcher = Launcher {
            meetings: port.clone(),
            ec2: port.clone(),
            clock: port.clone(),
            tokens: port,
            wanted: Wanted { subnet_ids: config.subnet_ids.clone(), zones: config.zones(None) },
            config,
            timing: Timing::DEFAULT,
            lookups: Lookups::default(),
        };
        let meeting = super::meeting(id);
        self.deliveries.push(Some(Box::pin(async move { launcher.launch(&meeting, deadline).await })));
        self.results.push(None);
        self.deadlines.push(deadline);
    }

    pub fn deliver(&mut self, id: &str) {
        self.deliver_with(id, config(), Timing::DEFAULT.delivery);
    }

    /// Run until every delivery has ended or died.
    pub fn run(&mut self) {
        while self.run_one() {}
    }

    /// Run until such a request is the next one to be answered.
    pub fn run_until(&mut self, matches: impl Fn(&Call) -> bool) {
        loop {
            self.poll_all();
            if self.next().is_some_and(|(_, call)| matches(&call)) {
                return;
            }
            assert!(self.run_one(), "no such request comes");
        }
    }

    fn run_one(&mut self) -> bool {
        self.poll_all();
        match self.next() {
            Some((number, _)) => {
                self.step(number);
                true
            }
            None => self.wake_the_next(),
        }
    }

    /// The request that has waited longest.
    fn next(&self) -> Option<(u64, Call)> {
        let state = self.world.0.borrow();
        let mut requests =
            state.pending.iter().filter(|p| p.reply.is_none() && !matches!(p.call, Call::Sleep(_)));
        requests.next().map(|p| (p.number, p.call.clone()))
    }

    fn poll_all(&mut self) {
        for delivery in 0..self.deliveries.len() {
            self.poll(delivery);
        }
    }

    fn poll(&mut self, delivery: usize) {
        let Some(future) = &mut self.deliveries[delivery] else { return };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            self.deliveries[delivery] = None;
            let mut state = self.world.0.borrow_mut();
            if state.now > self.deadlines[delivery] {
                state.breach("a delivery ended after its deadline".into());
            }
            state.story.push(format!("delivery {delivery} ends: {result:?}"));
            self.results[delivery] = Some(result);
        }
    }

    fn step(&mut self, number: u64) {
        let (call, port) = {
            let state = self.world.0.borrow();
            let pending = state.pending.iter().find(|p| p.number == number).expect("it is pending");
            (pending.call.clone(), pending.delivery)
        };
        let fate = self.fate(&call);
        let mut state = self.world.0.borrow_mut();
        state.story.push(format!("{} {}: {fate:?}", call.name(), call.role().unwrap_or_default()));
        let reply = match fate {
            Fate::Answered => Some(state.apply(&call)),
            Fate::LostBefore => Some(failing(&call, Class::Ambiguous, "")),
            Fate::LostAfter => {
                state.apply(&call);
                Some(failing(&call, Class::Ambiguous, ""))
            }
            Fate::Late(delay) => {
                if let Call::RunInstances(attempt) = &call {
                    let at = state.now + delay;
                    state.late.push((at, attempt.clone()));
                }
                Some(failing(&call, Class::Ambiguous, ""))
            }
            Fate::Fails(class, code) => Some(failing(&call, class, code)),
            Fate::DiesBefore => None,
            Fate::DiesAfter => {
                state.apply(&call);
                None
            }
        };
        state.check();
        match reply {
            Some(reply) => {
                let pending = state.pending.iter_mut().find(|p| p.number == number).expect("it is pending");
                pending.reply = Some(reply);
            }
            None => {
                state.pending.retain(|p| p.delivery != port);
                drop(state);
                let dead = self.numbers.iter().position(|number| *number == port);
                if let Some(dead) = dead {
                    self.deliveries[dead] = None;
                }
            }
        }
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

    /// Move the clock to the first sleeper's time; `false` if nobody sleeps.
    fn wake_the_next(&mut self) -> bool {
        let first = {
            let state = self.world.0.borrow();
            let times = state.pending.iter().filter_map(|p| match p.call {
                Call::Sleep(until) => Some((until, p.number)),
                _ => None,
            });
            times.min()
        };
        let Some((until, number)) = first else { return false };
        self.world.move_clock(until);
        let mut state = self.world.0.borrow_mut();
        if let Some(pending) = state.pending.iter_mut().find(|p| p.number == number) {
            pending.reply = Some(Reply::Woken);
        }
        true
    }
}

fn failing(call: &Call, class: Class, code: &str) -> Reply {
    let error = aws_error(call.name(), class, code);
    match call {
        Call::GetItem(_) => Reply::Record(Err(error)),
        Call::UpdateItem(_) => Reply::Updated(Err(error)),
        Call::RunInstances(_) => Reply::Machine(Err(error)),
        Call::DescribeInstances(_) => Reply::Machines(Err(error)),
        Call::DeleteTags(_) | Call::TerminateInstances(_) => Reply::Done(Err(error)),
        Call::DescribeSubnets => Reply::Subnets(Err(error)),
        Call::DescribeImages => Reply::Device(Err(error)),
        Call::Sleep(_) => Reply::Woken,
    }
}

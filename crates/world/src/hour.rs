//! Meetings on the hour, in virtual time: the real engine for many meetings that are due at once.
//!
//! Around it are EC2's token buckets as documented, and Lambda: events wait in its queue, each environment takes one at
//! a time, a failed delivery is repeated twice, a delivery that does not finish in time is ended. Table and cloud are
//! those of this crate. Everything that takes time is an entry of the agenda, and the clock jumps from one entry to the
//! next. One seed gives one course.
//!
//! AWS documents nothing, or only limits, for the following, so it is assumed: a refused request takes no token; if
//! Lambda has no room for an event, the event comes again after a second, then after twice as long each time, up to five
//! minutes (give or take a quarter).

#![allow(dead_code, reason = "the test and the bench each use a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_core::deadline;
use elephant_core::error::{AwsError, Class, Error};
use elephant_core::fleet::Looked;
use elephant_core::image::{Architecture, Image};
use elephant_core::key_pair::KeyType;
use elephant_core::launch::{LaunchAnswer, LaunchPorts, Launcher};
use elephant_core::launch_template::{LaunchTemplate, Template};
use elephant_core::lookups::Lookups;
use elephant_core::machine::{Attempt, InstanceId, Machine, Token};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::network::{Found, Network, Offerings, SubnetSelection};
use elephant_core::ports::{
    Clock, DescribeById, FindByToken, Images, InstanceTypes, KeyPairs, LaunchTemplates, Machines, Meetings,
    Networks, ParameterStore, Terminate, Tokens, Updated,
};
use elephant_core::record::{Change, MeetTime, Owner, Record, Update};
use elephant_core::timing::Timing;
use jiff::Timestamp;

use crate::cloud::{self, Cloud, named};
use crate::table::Table;
use crate::{aws_error, config, meeting, scheduled, start};

/// How long an answer takes.
const READ: Duration = Duration::from_millis(5);
const WRITE: Duration = Duration::from_millis(6);
const RUN_INSTANCES: Duration = Duration::from_millis(1300);
const DESCRIBE: Duration = Duration::from_millis(90);
const MUTATE: Duration = Duration::from_millis(300);
const REFUSED: Duration = Duration::from_millis(50);
/// The time from an event to a process that can look something up, if no environment is idle.
const COLD_START: Duration = Duration::from_millis(100);

/// The times after a failure at which Lambda repeats a delivery.
const REPEATS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// How often the SDK sends a look-up.
const SDK_TRIES: u32 = 3;

/// The meetings that are due, and the settings of Lambda.
#[derive(Clone, Copy, Debug)]
pub struct Hour {
    pub meetings: usize,
    /// The schedules fire at once, this long before the meetings, and Scheduler spreads the deliveries evenly over the
    /// flexible window that follows.
    pub lead: Duration,
    pub window: Duration,
    /// How many deliveries run at once.
    pub concurrency: usize,
    pub timeout: Duration,
    /// How long Lambda keeps an event.
    pub event_age: Duration,
    /// Every delivery with a number divisible by this comes twice; 0: none.
    pub twice: usize,
    /// Subnets and root device are configured, so no VPC is looked up.
    pub configured: bool,
    pub seed: u64,
}

/// The result. Times count from the moment at which the schedules fire.
#[derive(Clone, Debug)]
pub struct Report {
    pub hour: Hour,
    /// When each id was recorded, in order.
    pub recorded: Vec<Duration>,
    /// When the last id could have been recorded: each request as early as the buckets have a token for it.
    pub allowed: Duration,
    /// RunInstances requests that EC2 throttled.
    pub refused: usize,
    /// Look-ups that EC2 throttled.
    pub refused_lookups: usize,
    pub writes: usize,
    /// Repeats of failed deliveries, by the error's type; `time-out` if Lambda ended the delivery.
    pub came_again: BTreeMap<&'static str, usize>,
    /// Events that Lambda gave up.
    pub given_up: usize,
    /// How often Lambda had no room for an event.
    pub waited: usize,
    /// Meetings whose record lacks an id at the end.
    pub lost: usize,
    /// Roles with more than one live machine, or with one that the record does not name.
    pub twice: usize,
}

impl Report {
    /// When the last machine was in the record.
    pub fn took(&self) -> Duration {
        self.recorded.last().copied().unwrap_or_default()
    }

    pub fn against_allowed(&self) -> f64 {
        self.took().as_secs_f64() / self.allowed.as_secs_f64()
    }

    pub fn refused_per_machine(&self) -> f64 {
        self.refused as f64 / (2 * self.hour.meetings) as f64
    }

    pub fn repeats(&self) -> usize {
        self.came_again.values().sum()
    }

    /// How long before their meeting the last machines were in the record; negative: after its start.
    pub fn lead_left(&self) -> f64 {
        self.hour.lead.as_secs_f64() - self.took().as_secs_f64()
    }
}

/// A token bucket of EC2.
#[derive(Clone, Debug)]
struct Bucket {
    size: f64,
    refill: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn new(size: f64, refill: f64) -> Self {
        Bucket { size, refill, tokens: size, at: Duration::ZERO }
    }

    fn fill(&mut self, now: Duration) {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * self.refill).min(self.size);
        self.at = self.at.max(now);
    }

    fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        // A token that is due now is there, whatever the sum of the parts says.
        let there = self.tokens > 1.0 - 1e-6;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// When a request that comes at `now` would get a token, if it could wait for it.
    fn wait_for(&mut self, now: Duration) -> Duration {
        let now = now.max(self.at);
        self.fill(now);
        let short = (1.0 - self.tokens).max(0.0) / self.refill;
        let then = now + Duration::from_secs_f64(short);
        self.fill(then);
        self.tokens -= 1.0;
        then
    }
}

/// EC2's buckets, of an account in a Region (EC2 developer guide, "Request throttling").
struct Buckets {
    run_instances: Bucket,
    instances: Bucket,
    describe: Bucket,
    terminate: Bucket,
    other: Bucket,
}

impl Buckets {
    fn full() -> Self {
        Buckets {
            run_instances: Bucket::new(5.0, 2.0),
            instances: Bucket::new(1000.0, 2.0),
            describe: Bucket::new(100.0, 20.0),
            terminate: Bucket::new(100.0, 5.0),
            other: Bucket::new(50.0, 5.0),
        }
    }
}

/// An event in Lambda's queue.
#[derive(Clone, Debug)]
struct Event {
    meeting: MeetingId,
    since: Duration,
    failures: usize,
    waited: u32,
}

enum Entry {
    Arrives(Event),
    Wakes(usize),
    /// The time-out of the delivery with this number in its environment.
    TimesOut(usize, usize),
}

struct State {
    now: Duration,
    agenda: BTreeMap<(Duration, u64), Entry>,
    entries: u64,
    table: Table,
    cloud: Cloud,
    buckets: Buckets,
    rng: fastrand::Rng,
    names: u64,
    recorded: Vec<Duration>,
    refused: usize,
    refused_lookups: usize,
    writes: usize,
}

impl State {
    fn enter(&mut self, at: Duration, entry: Entry) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), entry);
    }
}

/// The ports of one environment of the function.
#[derive(Clone)]
struct Port {
    state: Rc<RefCell<State>>,
    environment: usize,
}

impl Port {
    async fn pass(&self, duration: Duration) {
        let due = {
            let mut state = self.state.borrow_mut();
            let due = state.now + duration;
            state.enter(due, Entry::Wakes(self.environment));
            due
        };
        poll_fn(|_| if self.state.borrow().now >= due { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sends one request to EC2 if its bucket has a token.
    async fn ask(
        &self,
        action: &'static str,
        bucket: fn(&mut Buckets) -> &mut Bucket,
    ) -> Result<(), AwsError> {
        let there = {
            let mut state = self.state.borrow_mut();
            let now = state.now;
            bucket(&mut state.buckets).take(now)
        };
        if there {
            return Ok(());
        }
        self.pass(REFUSED).await;
        Err(aws_error(action, Class::Throttled, "RequestLimitExceeded"))
    }

    /// Sends a look-up, with the SDK's own repeats: after up to one second and up to two more.
    async fn look_up(&self, action: &'static str) -> Result<(), AwsError> {
        let limit = self.now_in_state() + Timing::DEFAULT.ec2;
        for tries in 1.. {
            let refused = match self.ask(action, |buckets| &mut buckets.describe).await {
                Ok(()) => {
                    self.pass(DESCRIBE).await;
                    return Ok(());
                }
                Err(refused) => refused,
            };
            self.state.borrow_mut().refused_lookups += 1;
            if tries == SDK_TRIES {
                return Err(refused);
            }
            let pause = Duration::from_secs(1 << (tries - 1)).mul_f64(self.jitter());
            if self.now_in_state() + pause >= limit {
                break;
            }
            self.pass(pause).await;
        }
        let left = limit.saturating_sub(self.now_in_state());
        self.pass(left).await;
        Err(aws_error(action, Class::Ambiguous, ""))
    }

    fn now_in_state(&self) -> Duration {
        self.state.borrow().now
    }
}

impl LaunchPorts for Port {
    type Meetings = Port;
    type Ec2 = Port;
    type Parameters = Port;
    type Clock = Port;
    type Tokens = Port;
}

impl Meetings for Port {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        self.pass(READ).await;
        Ok(self.state.borrow().table.records.get(meeting).cloned())
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        self.pass(WRITE).await;
        let mut state = self.state.borrow_mut();
        state.writes += 1;
        let answer = state.table.update(update);
        if answer == Updated::Done && update.changes.iter().any(|c| matches!(c, Change::Instance(..))) {
            let now = state.now;
            state.recorded.push(now);
        }
        Ok(answer)
    }
}

impl DescribeById for Port {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        Ok(self.state.borrow().cloud.look(instances))
    }
}

impl Machines for Port {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        let asked = match self.ask("RunInstances", |buckets| &mut buckets.run_instances).await {
            Ok(()) => self.ask("RunInstances", |buckets| &mut buckets.instances).await,
            refused => refused,
        };
        if let Err(refused) = asked {
            self.state.borrow_mut().refused += 1;
            return Err(refused);
        }
        // On the wire it takes effect, whatever becomes of who waits for its answer.
        let answer = {
            let mut state = self.state.borrow_mut();
            let now = start() + state.now;
            state.cloud.run(attempt, now)
        };
        self.pass(RUN_INSTANCES).await;
        answer
    }
}

impl FindByToken for Port {
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        self.look_up("DescribeInstances").await?;
        self.state.borrow().cloud.find(token)
    }
}

impl Terminate for Port {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.ask("DeleteTags", |buckets| &mut buckets.other).await?;
        self.pass(MUTATE).await;
        self.state.borrow_mut().cloud.remove_role_tag(instance)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.ask("TerminateInstances", |buckets| &mut buckets.terminate).await?;
        self.pass(MUTATE).await;
        self.state.borrow_mut().cloud.terminate(instance)
    }
}

impl Networks for Port {
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError> {
        let found = || self.state.borrow().cloud.found();
        if let Network::Subnets(subnet_ids) = network {
            self.look_up("DescribeSubnets").await?;
            return named(found(), subnet_ids);
        }
        let (subnets, vpcs) = tokio::join!(self.look_up("DescribeSubnets"), self.look_up("DescribeVpcs"));
        subnets.and(vpcs)?;
        Ok(found())
    }
}

impl InstanceTypes for Port {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        let answer = self.ask("DescribeInstanceTypeOfferings", |buckets| &mut buckets.describe).await;
        if answer.is_err() {
            self.state.borrow_mut().refused_lookups += 1;
        }
        answer?;
        self.pass(DESCRIBE).await;
        Ok(self.state.borrow().cloud.offerings(instance_types))
    }
}

impl Images for Port {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        self.look_up("DescribeImages").await?;
        Ok(cloud::image(image_id))
    }

    async fn find_images(&self, _: &str, _: &str, _: Option<Architecture>) -> Result<Vec<Image>, AwsError> {
        Ok(vec![cloud::image("ami-1")])
    }
}

impl LaunchTemplates for Port {
    async fn find_launch_template(&self, _: &LaunchTemplate) -> Result<Template, AwsError> {
        unreachable!("no meeting of it has one")
    }
}

impl KeyPairs for Port {
    async fn find_key_pair(&self, _: &str) -> Result<Option<KeyType>, AwsError> {
        Ok(None)
    }
}

impl ParameterStore for Port {
    async fn parameter(&self, _: &str) -> Result<String, AwsError> {
        Ok("ami-1".to_owned())
    }
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        start() + self.now_in_state()
    }

    async fn sleep(&self, duration: Duration) {
        self.pass(duration).await;
    }

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

impl Tokens for Port {
    fn token(&self) -> Token {
        let mut state = self.state.borrow_mut();
        state.names += 1;
        Token::from(format!("token-{}", state.names))
    }

    fn owner(&self) -> Owner {
        let mut state = self.state.borrow_mut();
        state.names += 1;
        Owner::from(format!("owner-{}", state.names))
    }

    fn jitter(&self) -> f64 {
        self.state.borrow_mut().rng.f64()
    }
}

type Delivering = Pin<Box<dyn Future<Output = Result<LaunchAnswer, Error>>>>;

/// An environment of the function: its process, and the delivery that it works on.
struct Environment {
    engine: Rc<Launcher<Port>>,
    running: Option<(Event, Delivering)>,
    deliveries: usize,
}

struct Function {
    hour: Hour,
    state: Rc<RefCell<State>>,
    environments: Vec<Environment>,
    idle: Vec<usize>,
    came_again: BTreeMap<&'static str, usize>,
    given_up: usize,
    waited: usize,
}

/// Runs everything until nothing happens any more.
pub fn run(hour: Hour) -> Report {
    let mut rng = fastrand::Rng::with_seed(hour.seed);
    let spread = |rng: &mut fastrand::Rng| hour.window.mul_f64(rng.f64());
    let arrivals: Vec<Duration> = (0..hour.meetings).map(|_| spread(&mut rng)).collect();
    let record = |index: usize| Record {
        meet_time: MeetTime::At(start() + hour.lead),
        ..scheduled(&format!("m{index}"))
    };
    let mut table = Table::default();
    table.records.extend((0..hour.meetings).map(record).map(|record| (record.meeting_id.clone(), record)));
    let state = Rc::new(RefCell::new(State {
        now: Duration::ZERO,
        agenda: BTreeMap::new(),
        entries: 0,
        table,
        cloud: Cloud::default(),
        buckets: Buckets::full(),
        rng,
        names: 0,
        recorded: Vec::new(),
        refused: 0,
        refused_lookups: 0,
        writes: 0,
    }));
    for (index, since) in arrivals.iter().enumerate() {
        let event = Event { meeting: meeting(&format!("m{index}")), since: *since, failures: 0, waited: 0 };
        let copies = if hour.twice > 0 && index % hour.twice == 0 { 2 } else { 1 };
        for _ in 0..copies {
            state.borrow_mut().enter(*since, Entry::Arrives(event.clone()));
        }
    }
    let mut function = Function {
        hour,
        state: state.clone(),
        environments: Vec::new(),
        idle: Vec::new(),
        came_again: BTreeMap::new(),
        given_up: 0,
        waited: 0,
    };
    loop {
        let next = state.borrow_mut().agenda.pop_first();
        let Some(((at, _), entry)) = next else { break };
        state.borrow_mut().now = at;
        match entry {
            Entry::Arrives(event) => function.arrives(event),
            Entry::Wakes(environment) => function.goes_on(environment),
            Entry::TimesOut(environment, delivery) => function.times_out(environment, delivery),
        }
    }
    report(function, &arrivals)
}

impl Function {
    fn arrives(&mut self, mut event: Event) {
        let now = self.state.borrow().now;
        if now > event.since + self.hour.event_age {
            self.given_up += 1;
            return;
        }
        if self.environments.len() - self.idle.len() >= self.hour.concurrency {
            self.waited += 1;
            let pause = Duration::from_secs(1 << event.waited.min(9)).min(Duration::from_secs(300));
            event.waited += 1;
            let mut state = self.state.borrow_mut();
            let pause = pause.mul_f64(0.75 + state.rng.f64() / 2.0);
            state.enter(now + pause, Entry::Arrives(event));
            return;
        }
        let (environment, cold) = match self.idle.pop() {
            Some(environment) => (environment, false),
            None => (self.start(), true),
        };
        let engine = self.environments[environment].engine.clone();
        let (meeting, timeout) = (event.meeting.clone(), self.hour.timeout);
        let delivery = self.environments[environment].deliveries;
        let delivering = async move {
            let port = &engine.meetings;
            if cold {
                port.pass(COLD_START).await;
                engine.warm_up().await;
            }
            // The time-out counts from here: what a process does before its first event has a limit of its own.
            let ends = port.now_in_state() + timeout;
            port.state.borrow_mut().enter(ends, Entry::TimesOut(environment, delivery));
            let header = u64::try_from((start() + ends).as_millisecond()).expect("a time of today");
            let deadline = deadline::from_header(header, port.now(), &engine.timing);
            engine.launch(&meeting, deadline).await
        };
        self.environments[environment].running = Some((event, Box::pin(delivering)));
        self.goes_on(environment);
    }

    fn start(&mut self) -> usize {
        let environment = self.environments.len();
        let port = Port { state: self.state.clone(), environment };
        let mut config = config();
        if self.hour.configured {
            config.volume.device = Some("/dev/xvda".to_owned());
            let subnets = port.state.borrow().cloud.subnets.iter().map(|s| s.subnet_id.clone()).collect();
            config.network = Network::Subnets(subnets);
        }
        let engine = Launcher {
            meetings: port.clone(),
            ec2: port.clone(),
            parameters: port.clone(),
            clock: port.clone(),
            tokens: port,
            wanted: SubnetSelection { network: config.network.clone(), zones: None },
            config,
            timing: Timing::DEFAULT,
            lookups: Lookups::default(),
        };
        self.environments.push(Environment { engine: Rc::new(engine), running: None, deliveries: 0 });
        environment
    }

    fn goes_on(&mut self, environment: usize) {
        let Some((_, delivering)) = &mut self.environments[environment].running else { return };
        if let Poll::Ready(result) = delivering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let failed = result.err().map(|error| error.kind.as_str());
            self.ends(environment, failed);
        }
    }

    fn times_out(&mut self, environment: usize, delivery: usize) {
        let it = &self.environments[environment];
        if it.running.is_some() && it.deliveries == delivery {
            self.ends(environment, Some("time-out"));
        }
    }

    /// If Lambda ended an environment's process, a new one is started; that takes no time here.
    fn ends(&mut self, environment: usize, failed: Option<&'static str>) {
        let it = &mut self.environments[environment];
        it.deliveries += 1;
        let (mut event, _) = it.running.take().expect("it was running");
        self.idle.push(environment);
        let Some(error) = failed else { return };
        match REPEATS.get(event.failures) {
            Some(pause) => {
                *self.came_again.entry(error).or_default() += 1;
                event.failures += 1;
                event.waited = 0;
                let mut state = self.state.borrow_mut();
                let at = state.now + *pause;
                state.enter(at, Entry::Arrives(event));
            }
            None => self.given_up += 1,
        }
    }
}

fn report(function: Function, arrivals: &[Duration]) -> Report {
    let state = function.state.borrow();
    let mut lost = 0;
    let mut twice = 0;
    let mut live: BTreeMap<(&str, &str), Vec<&InstanceId>> = BTreeMap::new();
    for launched in state.cloud.live() {
        live.entry((launched.meeting(), launched.role())).or_default().push(&launched.machine.instance_id);
    }
    for record in state.table.records.values() {
        lost += usize::from(Role::BOTH.iter().any(|role| record.role(*role).instance_id.is_none()));
        for role in Role::BOTH {
            let live = live.remove(&(record.meeting_id.as_str(), role.as_str())).unwrap_or_default();
            let named = record.role(role).instance_id.as_ref();
            twice += usize::from(live.len() > 1 || live.iter().any(|id| Some(*id) != named));
        }
    }
    Report {
        hour: function.hour,
        recorded: state.recorded.clone(),
        allowed: allowed(arrivals),
        refused: state.refused,
        refused_lookups: state.refused_lookups,
        writes: state.writes,
        came_again: function.came_again,
        given_up: function.given_up,
        waited: function.waited,
        lost,
        twice,
    }
}

/// An imaginary engine that serves events in order and knows when its token is available.
fn allowed(arrivals: &[Duration]) -> Duration {
    let mut arrivals = arrivals.to_vec();
    arrivals.sort();
    let mut buckets = Buckets::full();
    let mut last = Duration::ZERO;
    for arrival in arrivals {
        for _ in Role::BOTH {
            let sent = buckets.run_instances.wait_for(arrival + READ + WRITE);
            last = last.max(buckets.instances.wait_for(sent));
        }
    }
    last + RUN_INSTANCES + WRITE
}

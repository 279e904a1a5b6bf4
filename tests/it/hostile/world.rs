//! One delivery as `bin/launch.rs` makes it, whatever comes in: the real engine and the real adapter over [`DynamoDb`],
//! and an EC2 that grants everything and counts. [`Told::keeps_the_promise`] is what has to hold of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use elephant_aws::dynamodb::Table;
use elephant_core::config::Config;
use elephant_core::error::{AwsError, Class, Error, Kind};
use elephant_core::event;
use elephant_core::fleet::Looked;
use elephant_core::image::{Architecture, Image};
use elephant_core::key_pair::KeyType;
use elephant_core::launch::{LaunchAnswer, LaunchPorts, Launcher};
use elephant_core::launch_template::{LaunchTemplate, Template};
use elephant_core::lookups::Lookups;
use elephant_core::machine::{Attempt, InstanceId, MEETING_TAG, Machine, ROLE_TAG, State, Token};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::network::{Found, Network, Offerings, Subnet, SubnetSelection};
use elephant_core::ports::{
    Clock, DescribeById, FindByToken, Images, InstanceTypes, KeyPairs, LaunchTemplates, Machines, Networks,
    ParameterStore, Terminate, Tokens,
};
use elephant_core::record::Owner;
use elephant_core::timing::{Timing, after};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::model::{self, Item, Wrong};
use super::table::DynamoDb;

/// What comes in.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    pub variables: BTreeMap<&'static str, String>,
    pub event: Value,
    /// The record of the meeting that the event names; its `id` is put in.
    pub item: Option<Item>,
    /// Whether the attempts that stand open in it have made their machines.
    pub machines_came: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Told {
    pub result: Result<LaunchAnswer, Error>,
    pub config: Option<Config>,
    pub meeting: Option<MeetingId>,
    pub before: Option<Item>,
    pub after: Option<Item>,
    pub table: Vec<String>,
    pub cloud: Cloud,
}

pub fn start() -> Timestamp {
    "2026-11-22T09:55:00Z".parse().expect("a time")
}

pub fn deliver(story: &Story) -> Told {
    let config = Config::from_variables(|name| story.variables.get(name).cloned());
    let request = event::Launch::from_json(&story.event);
    let meeting = request.as_ref().ok().map(|request| request.meeting_id.clone());
    let mut before = story.item.clone();
    if let Some(item) = &mut before {
        item.insert("id".into(), json!({"S": meeting.as_ref().map_or("m", MeetingId::as_str)}));
    }
    let table = DynamoDb::of(before.clone());
    let ec2 =
        Ec2 { table: table.clone(), cloud: RefCell::new(Cloud::new(&before, &meeting, story.machines_came)) };
    let (result, cloud) = match config.clone() {
        Err(problems) => (Err(problems.into()), ec2.cloud),
        Ok(config) => launched(config, request, &table, ec2),
    };
    let (after, requests) = (table.item(), table.requests());
    let cloud = cloud.into_inner();
    Told { result, config: config.ok(), meeting, before, after, table: requests, cloud }
}

struct Hostile;

impl LaunchPorts for Hostile {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Parameters = Store;
    type Clock = Hand;
    type Tokens = Counted;
}

fn launched(
    config: Config,
    request: Result<event::Launch, Error>,
    table: &DynamoDb,
    ec2: Ec2,
) -> (Result<LaunchAnswer, Error>, RefCell<Cloud>) {
    let request = match request {
        Ok(request) => request,
        Err(error) => return (Err(error), ec2.cloud),
    };
    let timing = Timing::DEFAULT;
    let launcher = Launcher::<Hostile> {
        meetings: Table::new(&table.sdk(), &config.table_name, timing.table),
        ec2,
        parameters: Store,
        clock: Hand(Rc::new(Cell::new(start()))),
        tokens: Counted(Cell::default()),
        wanted: SubnetSelection { network: config.network.clone(), zones: config.zones(Some("us-west-2")) },
        config,
        timing,
        lookups: Lookups::default(),
    };
    let deadline = after(start(), timing.delivery);
    let result = block_on(launcher.launch(&request.meeting_id, deadline));
    (result, launcher.ec2.cloud)
}

/// The SDK's time-outs need a runtime; nobody waits for them.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime").block_on(future)
}

impl Told {
    /// A named error in sane words or an answer that is true, and on the way there nothing that was not allowed.
    pub fn keeps_the_promise(&self) {
        if let Err(error) = &self.result {
            self.is_said_well(error);
            self.is_named_rightly(error);
        }
        let (Some(meeting), Some(_)) = (&self.meeting, &self.config) else {
            return self.nothing_was_asked_of_anybody();
        };
        assert!(self.table.iter().all(|action| ["GetItem", "UpdateItem"].contains(&action.as_str())));
        let Some(before) = &self.before else { return self.nothing_was_done() };
        let after = self.after.as_ref().expect("nobody deletes it");
        self.nothing_was_trampled(before, after);
        self.machines_were_allowed(before);
        let kind = self.result.as_ref().err().map(|error| error.kind);
        assert!(!model::has_wrong_texts(before) || kind == Some(Kind::InvalidRecord), "{:?}", self.result);
        match &self.result {
            Ok(answer) if answer.skipped.is_some() => {
                self.nothing_was_launched(before);
                self.nothing_was_to_be_launched(before);
            }
            Ok(answer) => {
                assert_eq!((answer.meeting_id.as_str(), answer.machines.len()), (meeting.as_str(), 2));
                for role in Role::BOTH {
                    assert!(
                        matches!(model::text(after, model::id_of(role)), Ok(Some(_))),
                        "no {role}: {after:#?}"
                    );
                }
            }
            Err(error) if error.kind == Kind::InvalidRecord => self.nothing_was_done(),
            Err(_) => {}
        }
    }

    fn is_said_well(&self, error: &Error) {
        let said = error.chain();
        assert!(Kind::ALL.contains(&error.kind) && !error.problem.is_empty() && !error.advice.is_empty());
        // Variables are shown in full: Lambda allows 4 KB of them.
        let limit = if error.kind == Kind::InvalidConfiguration { usize::MAX } else { 6_000 };
        assert!(said.len() <= limit, "{} bytes are said: {said:.300}", said.len());
        let id = self.meeting.as_ref().map_or("", MeetingId::as_str);
        let broken = said.contains(['\n', '\r']) && !id.contains(['\n', '\r']);
        assert!(!broken, "more than one line: {said:?}");
    }

    /// Nothing fails here but what came in, so each error has a reason in it.
    fn is_named_rightly(&self, error: &Error) {
        let item = self.before.as_ref();
        let leased = item.is_some_and(|item| match model::lease(item) {
            Ok(Some((_, until))) => after(until, Duration::from_secs(50)) > start(),
            _ => false,
        });
        let reason = match error.kind {
            Kind::InvalidConfiguration => self.config.is_none(),
            Kind::InvalidEvent => self.meeting.is_none(),
            Kind::MeetingNotFound => item.is_none(),
            Kind::InvalidRecord => item.is_some_and(|item| self.is_unreadable(item)),
            Kind::MeetingBusy => leased,
            Kind::NoUsableSubnet => self.config.as_ref().is_some_and(|config| config.supported_azs.is_some()),
            // Two attempts under one token: EC2 makes one machine of it. An end without a lease: its machine may be so
            // young that a look-up misses it, and is waited for into the repeat.
            Kind::Ec2Unavailable => {
                item.is_some_and(|item| self.has_one_token_for_both(item) || has_an_ending_attempt(item))
            }
            _ => false,
        };
        assert!(reason, "no reason for {error:?}");
    }

    fn is_unreadable(&self, item: &Item) -> bool {
        let meeting = self.meeting.as_ref().expect("the record was read");
        model::has_wrong_texts(item)
            || Role::BOTH.iter().any(|role| model::attempt(item, meeting, *role) == Err(Wrong))
    }

    fn has_one_token_for_both(&self, item: &Item) -> bool {
        let token = |role| item.get(model::attempt_of(role)).map(|value| &value["M"]["token"]);
        token(Role::Teacher).is_some() && token(Role::Teacher) == token(Role::Student)
    }

    fn nothing_was_asked_of_anybody(&self) {
        assert!(self.table.is_empty() && self.cloud.requests.is_empty(), "{self:#?}");
        self.nothing_was_done();
    }

    fn nothing_was_done(&self) {
        assert!(self.result.is_err(), "{:?}", self.result);
        assert_eq!(self.before, self.after);
        assert!(self.cloud.requests.is_empty(), "EC2 was asked: {:?}", self.cloud.requests);
    }

    fn nothing_was_launched(&self, before: &Item) {
        assert!(self.cloud.started.is_empty(), "{:#?}", self.cloud.started);
        assert_eq!(Some(&unmarked(before)), self.after.as_ref().map(unmarked).as_ref());
    }

    /// The meeting is over or outside its window, and what was asked for can come no more.
    fn nothing_was_to_be_launched(&self, before: &Item) {
        let window = self.config.as_ref().expect("the record was read").window;
        assert!(!model::allows_launch(before, start(), window), "skipped: {before:#?}");
        let open = Role::BOTH.into_iter().any(|role| self.has_open_attempt(before, role));
        let settled = ends_before(before, start() - LATEST);
        assert!(!open || settled, "a machine may still come: {before:#?}");
    }

    fn has_open_attempt(&self, item: &Item, role: Role) -> bool {
        let meeting = self.meeting.as_ref().expect("the record was read");
        let attempt = model::attempt(item, meeting, role);
        model::text(item, model::id_of(role)) == Ok(None)
            && attempt.is_ok_and(|attempt| attempt.is_some_and(|attempt| !attempt.refused))
    }

    fn nothing_was_trampled(&self, before: &Item, after: &Item) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
            let may = match name.as_str() {
                "status" => {
                    after["status"] == json!({"S": "LAUNCHED"})
                        && matches!(model::text(before, name), Ok(None | Some("SCHEDULED")))
                }
                "meet_time" => false,
                "teacher_ec2_id" | "student_ec2_id" => model::text(before, name) == Ok(None),
                name => model::READ.contains(&name) || model::WRITTEN.contains(&name),
            };
            assert!(may, "{name} was {:?} and is {:?}", before.get(name), after.get(name));
        }
    }

    /// That each was claimed first is looked at when it is asked for: see [`Ec2::run`].
    fn machines_were_allowed(&self, before: &Item) {
        let Some(config) = &self.config else { return };
        let cloud = &self.cloud;
        let allowed = model::allows_launch(before, start(), config.window);
        assert!(allowed || cloud.started.is_empty(), "{:#?} for {before:#?}", cloud.started);
        for role in Role::BOTH {
            let recorded = matches!(model::text(before, model::id_of(role)), Ok(Some(_)));
            let of_role = |attempt: &&Attempt| {
                attempt.parameters.tags.get(ROLE_TAG).map(String::as_str) == Some(role.as_str())
            };
            let started = cloud.started.iter().filter(of_role).count();
            assert!(started <= usize::from(!recorded), "{started} machines for the {role}");
            let meeting = self.meeting.as_ref().expect("the record was read");
            let up = cloud.machines.iter().filter(|(_, machine)| {
                let tag = |key: &str| machine.tags.get(key).map(String::as_str);
                machine.state.is_live()
                    && tag(MEETING_TAG) == Some(meeting.as_str())
                    && tag(ROLE_TAG) == Some(role.as_str())
            });
            assert!(up.count() <= 1, "two machines for the {role}: {:#?}", cloud.machines);
        }
        let leased = !ends_before(before, after(start(), Duration::from_secs(1)));
        assert!(!leased || !cloud.requests.contains(&"RunInstances"), "another delivery has the lease");
        let foreign: Vec<_> = cloud.ended.iter().filter(|id| cloud.foreign.contains(id)).collect();
        assert!(foreign.is_empty(), "machines that are none of ours were ended: {foreign:?}");
    }
}

/// How long after its lease a delivery's last launch may take effect: effect delay and skew, less a second for the clock.
const LATEST: Duration = Duration::from_secs(49);

/// Whether no lease stands in the item that ends later than this.
fn ends_before(item: &Item, time: Timestamp) -> bool {
    model::lease(item).is_ok_and(|lease| lease.is_none_or(|(_, until)| until < time))
}

/// What EC2 has, and what was asked of it.
#[derive(Debug, Default)]
pub struct Cloud {
    machines: Vec<(Token, Machine)>,
    foreign: Vec<InstanceId>,
    pub requests: Vec<&'static str>,
    /// The attempts that made a machine.
    pub started: Vec<Attempt>,
    pub ended: Vec<InstanceId>,
}

impl Cloud {
    /// Two machines that have nothing to do with the meeting, and those that its open attempts made.
    fn new(item: &Option<Item>, meeting: &Option<MeetingId>, machines_came: bool) -> Cloud {
        let mut cloud = Cloud::default();
        let others =
            [("MeetingID".to_owned(), "another".to_owned()), (ROLE_TAG.to_owned(), "teacher".to_owned())];
        for token in ["", "5d1c9c1e-8f3e-4f0b-9a6b-3d2f1c0e7a55"] {
            let id = cloud.add(Token::from(token), others.clone().into());
            cloud.foreign.push(id);
        }
        if let (Some(item), Some(meeting), true) = (item, meeting, machines_came) {
            let attempts = Role::BOTH.iter().filter_map(|role| model::attempt(item, meeting, *role).ok()?);
            for attempt in attempts.filter(|attempt| !attempt.refused) {
                cloud.add(attempt.token, attempt.parameters.tags);
            }
        }
        cloud
    }

    fn add(&mut self, token: Token, tags: BTreeMap<String, String>) -> InstanceId {
        let instance_id = InstanceId::from(format!("i-{}", self.machines.len()));
        let machine =
            Machine { instance_id: instance_id.clone(), state: State::Running, state_reason: None, tags };
        self.machines.push((token, machine));
        instance_id
    }

    fn machine(&mut self, id: &InstanceId) -> &mut Machine {
        let mut machines = self.machines.iter_mut().map(|(_, machine)| machine);
        machines.find(|machine| machine.instance_id == *id).expect("it was launched")
    }
}

pub struct Ec2 {
    table: DynamoDb,
    cloud: RefCell<Cloud>,
}

impl Ec2 {
    fn asked(&self, action: &'static str) -> std::cell::RefMut<'_, Cloud> {
        let mut cloud = self.cloud.borrow_mut();
        cloud.requests.push(action);
        cloud
    }

    fn is_ours(&self, attempt: &Attempt) -> bool {
        let item = self.table.item().unwrap_or_default();
        let id = model::text(&item, "id").ok().flatten().and_then(|id| MeetingId::new(id).ok());
        id.is_some_and(|id| Role::BOTH.into_iter().any(|role| model::is_ours(attempt, &id, role)))
    }

    /// Whether a role's attempt stands in the record as it is sent, under a lease of this delivery.
    fn is_claimed(&self, attempt: &Attempt) -> bool {
        let item = self.table.item().unwrap_or_default();
        let claimed = |role: Role| {
            item.get(model::attempt_of(role))
                .is_some_and(|value| value["M"]["token"]["S"] == attempt.token.as_str())
                && model::text(&item, model::id_of(role)) == Ok(None)
        };
        model::text(&item, "launch_owner") == Ok(Some("this delivery")) && Role::BOTH.into_iter().any(claimed)
    }
}

impl DescribeById for Ec2 {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        self.asked("DescribeInstances");
        Ok(Looked { missing: instances.iter().cloned().collect(), ..Looked::default() })
    }
}

impl Machines for Ec2 {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        let mut cloud = self.asked("RunInstances");
        assert!(!attempt.refused && !attempt.ending, "its time is over: {attempt:#?}");
        assert!(self.is_ours(attempt), "we cannot have written it: {attempt:#?}");
        assert!(
            self.is_claimed(attempt),
            "{attempt:#?} is sent, and the record says {:#?}",
            self.table.item()
        );
        let tags = &attempt.parameters.tags;
        match cloud.machines.iter().find(|(token, _)| *token == attempt.token) {
            Some((_, machine)) if !machine.state.is_live() => Err(refusal(Class::InstanceTerminated)),
            Some((_, machine)) if machine.tags != *tags => Err(refusal(Class::ParameterMismatch)),
            Some((_, machine)) => Ok(machine.clone()),
            None => {
                let id = cloud.add(attempt.token.clone(), tags.clone());
                cloud.started.push(attempt.clone());
                Ok(cloud.machine(&id).clone())
            }
        }
    }
}

impl FindByToken for Ec2 {
    /// In a filter of EC2 `*` and `?` are wildcards.
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        let cloud = self.asked("DescribeInstances");
        let found = cloud
            .machines
            .iter()
            .filter(|(known, _)| matches(token.as_str().as_bytes(), known.as_str().as_bytes()));
        Ok(found.map(|(_, machine)| machine.clone()).collect())
    }
}

impl Terminate for Ec2 {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.asked("DeleteTags").machine(instance).tags.remove(ROLE_TAG);
        Ok(())
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let mut cloud = self.asked("TerminateInstances");
        cloud.machine(instance).state = State::Terminated;
        cloud.ended.push(instance.clone());
        Ok(())
    }
}

impl InstanceTypes for Ec2 {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        self.asked("DescribeInstanceTypeOfferings");
        Ok(instance_types.iter().map(|kind| (kind.clone(), "us-west-2a".to_owned())).collect())
    }
}

impl Networks for Ec2 {
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError> {
        let subnet = |id: &String| Subnet {
            subnet_id: id.clone(),
            vpc_id: match network {
                Network::Vpc(vpc) => vpc.clone(),
                _ => "vpc-1".into(),
            },
            availability_zone: "us-west-2a".into(),
            available_ip_addresses: 100,
        };
        self.asked("DescribeSubnets");
        Ok(match network {
            Network::Subnets(ids) => Found { vpcs: Vec::new(), subnets: ids.iter().map(subnet).collect() },
            _ => Found { vpcs: vec!["vpc-1".into()], subnets: vec![subnet(&"subnet-1".to_owned())] },
        })
    }
}

impl Images for Ec2 {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        self.asked("DescribeImages");
        Ok(Image {
            image_id: image_id.to_owned(),
            root_device: "/dev/xvda".into(),
            snapshot_gb: None,
            architecture: "x86_64".into(),
            is_windows: false,
            created: None,
        })
    }

    async fn find_images(&self, _: &str, _: &str, _: Option<Architecture>) -> Result<Vec<Image>, AwsError> {
        Ok(vec![self.find_image("ami-1").await?])
    }
}

impl LaunchTemplates for Ec2 {
    async fn find_launch_template(&self, _: &LaunchTemplate) -> Result<Template, AwsError> {
        unreachable!("no story has one")
    }
}

impl KeyPairs for Ec2 {
    async fn find_key_pair(&self, _: &str) -> Result<Option<KeyType>, AwsError> {
        self.asked("DescribeKeyPairs");
        Ok(None)
    }
}

/// Parameters of SSM, each of which holds an image's id.
struct Store;

impl ParameterStore for Store {
    async fn parameter(&self, _: &str) -> Result<String, AwsError> {
        Ok("ami-1".to_owned())
    }
}

fn refusal(class: Class) -> AwsError {
    let (code, message) = (Some("Idempotent".into()), "as the story goes".into());
    AwsError { action: "RunInstances", class, code, message, request_id: None, advice: String::new() }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => matches(rest, text) || (!text.is_empty() && matches(pattern, &text[1..])),
        ([b'?', rest @ ..], [_, after @ ..]) => matches(rest, after),
        ([a, rest @ ..], [b, after @ ..]) => a == b && matches(rest, after),
        _ => false,
    }
}

/// A clock that goes on whenever somebody looks, and at once when somebody sleeps.
struct Hand(Rc<Cell<Timestamp>>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        self.0.set(after(self.0.get(), Duration::from_millis(1)));
        self.0.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.set(after(self.0.get(), duration));
    }

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

struct Counted(Cell<u32>);

impl Tokens for Counted {
    fn token(&self) -> Token {
        self.0.set(self.0.get() + 1);
        Token::from(format!("fresh-{}", self.0.get()))
    }

    fn owner(&self) -> Owner {
        Owner::from("this delivery")
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

/// But for the marks of attempts whose machines are being ended, which is all that is written for a meeting that is over.
fn unmarked(item: &Item) -> Item {
    let mut item = item.clone();
    for role in Role::BOTH {
        let attempt = item.get_mut(model::attempt_of(role)).and_then(|attempt| attempt.get_mut("M"));
        if let Some(map) = attempt.and_then(|map| map.as_object_mut()) {
            map.remove("ending");
        }
    }
    item
}

fn has_an_ending_attempt(item: &Item) -> bool {
    let ending =
        |role: Role| item.get(model::attempt_of(role)).map(|attempt| &attempt["M"]["ending"]["BOOL"]);
    Role::BOTH.into_iter().any(|role| ending(role) == Some(&serde_json::Value::Bool(true)))
}

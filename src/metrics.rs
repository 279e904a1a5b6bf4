//! The last line that a delivery logs: what it did, in JSON, for the people who ask later. What an alarm or a graph needs is
//! a metric too, by CloudWatch's embedded metric format.
//!
//! The line goes to standard output with the log, and CloudWatch makes metrics of it: no request, no waiting. CloudWatch
//! charges for each metric in each hour in which it is written, so a count is written only if it is not zero, and what
//! Lambda's own metrics say is not said again. [`Metered`], between a verb and its adapters, counts at the ports, and
//! [`Calls`] counts the requests of the SDK, so no verb knows about it. [`FIELDS`] explains each field;
//! `infra/template.yaml` has the alarms, the graphs and the saved queries.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use elephant_aws::sdk::Calls;
use elephant_core::answer::Outcome;
use elephant_core::error::{AwsError, Error, Kind};
use elephant_core::fleet::{self, Looked};
use elephant_core::image::{Architecture, Image};
use elephant_core::key_pair::KeyType;
use elephant_core::launch_template::{LaunchTemplate, Template};
use elephant_core::machine::{Attempt, InstanceId, Machine, Parameters, Token};
use elephant_core::meeting::MeetingId;
use elephant_core::network::{Found, Network, Offerings};
use elephant_core::plan::Refusal;
use elephant_core::ports::{
    Counts, Created, DescribeById, DryRuns, FindByToken, Images, InstanceTypes, KeyPairs, LaunchTemplates,
    Machines, Meetings, Networks, NewMeetings, Terminate, Updated,
};
use elephant_core::record::{MeetTime, NewRecord, Record, Update};
use elephant_core::settings::Function;

/// The namespace of every metric.
pub const NAMESPACE: &str = "ElephantLaunch";

/// The dimension of every metric, and the field by which the lines are known among those of the log.
const FUNCTION_NAME: &str = "FunctionName";

/// A field of the line.
pub struct Field {
    pub name: &'static str,
    /// CloudWatch's word for the unit, if CloudWatch makes a metric of the field. It keeps the metric by `FunctionName`.
    pub metric: Option<&'static str>,
    pub written_by: &'static [Function],
    pub means: &'static str,
}

macro_rules! fields {
    ($($row:ident = $name:literal, $metric:expr, $by:ident, $means:literal;)*) => {
        $(const $row: Field = Field { name: $name, metric: $metric, written_by: $by, means: $means };)*

        /// Every field, in two parts: what is a metric, and what only stands in the line. The tables of `docs/watch.md`
        /// are written from it (`UPDATE=1 cargo test generated`), and the tests compare alarms, dashboard and saved
        /// queries with those tables.
        pub const FIELDS: &[Field] = &[$($row),*];
    };
}

const EVERY: &[Function] = &Function::ALL;
const LAUNCH: &[Function] = &[Function::Launch];
const SWEEP: &[Function] = &[Function::Reconcile];
/// A sweep launches what no delivery launched.
const LAUNCHES: &[Function] = &[Function::Launch, Function::Reconcile];

fields! {
    LEAD_TIME = "LeadTime", Some("Seconds"), LAUNCH,
        "Of a delivery that launched or adopted: the time that was left until `meet_time`. It is negative where the launch was \
         late.";
    CAPACITY_REFUSALS = "CapacityRefusals", Some("Count"), LAUNCHES,
        "RunInstances requests that EC2 refused for want of capacity.";
    THROTTLES = "Throttles", Some("Count"), EVERY,
        "Requests that AWS refused for their rate, repeats included.";
    FINDINGS = "Findings", Some("Count"), SWEEP,
        "What a sweep found that a person should know: the sum of the next five.";
    ORPHANS_ENDED = "OrphansEnded", Some("Count"), SWEEP,
        "Machines that no record named, and that the sweep ended.";
    MACHINES_LOST = "MachinesLost", Some("Count"), SWEEP,
        "Machines that died, and were launched again.";
    MEETINGS_LAUNCHED = "MeetingsLaunched", Some("Count"), SWEEP,
        "Meetings that no delivery had launched, and that the sweep launched.";
    ENDINGS_HELD_BACK = "EndingsHeldBack", Some("Count"), SWEEP,
        "Endings that `MAX_ENDINGS` left for the next sweep.";
    MACHINES_UNREADY = "MachinesUnready", Some("Count"), SWEEP,
        "Machines that are up and do not serve.";
    TIME_TO_READY = "TimeToReady", Some("Seconds"), SWEEP,
        "The time from the launch of the later machine until both were seen running.";
    OUTCOME = "Outcome", None, EVERY,
        "How the delivery ended. `launch`: `launched`, `adopted`, `already_recorded`, `skipped`, `preflight`; `schedule`: \
         `scheduled`, `moved`, `unchanged`, `superseded`, `cancelled`; `end`: `ended`, `already_over`; `reconcile`: \
         `in_order`, `repaired`, `dry_run`; `status`: `shown`, `console`; `operate`: `done`, `unchanged`; each: `failed`.";
    ERROR_TYPE = "ErrorType", None, EVERY,
        "The `errorType` of a delivery that failed.";
    AWS_CALLS = "AwsCalls", None, EVERY,
        "Requests to AWS, the SDK's own repeats included.";
    LAUNCH_DURATION = "LaunchDuration", None, LAUNCH,
        "Of a delivery that launched or adopted: the milliseconds from its start until both ids stood in the record.";
    ATTEMPTS = "Attempts", None, LAUNCHES,
        "RunInstances requests.";
    REFUSALS = "Refusals", None, LAUNCHES,
        "Definite refusals: for capacity, an unfit zone or subnet, a quota. In a line of its own for each zone and type.";
    AVAILABILITY_ZONE = "AvailabilityZone", None, LAUNCHES,
        "The zone of `Refusals`.";
    INSTANCE_TYPE = "InstanceType", None, LAUNCHES,
        "The type of `Refusals`.";
    SWEEPS = "Sweeps", None, SWEEP,
        "1 if this was a sweep, and it did all that it found.";
}

/// The counts of one delivery. The first delivery also has the counts from before it, when the function initialised.
#[derive(Debug, Default)]
pub struct Tally {
    pub calls: Arc<Calls>,
    attempts: Cell<u64>,
    refusals: RefCell<Vec<(Refusal, Place)>>,
    meet_time: Cell<Option<Timestamp>>,
    sweep: Cell<Sweep>,
}

/// The counts of a delivery of `reconcile`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sweep {
    sweeps: u64,
    orphans_ended: u64,
    machines_lost: u64,
    meetings_launched: u64,
    endings_held_back: u64,
    machines_unready: u64,
    /// The longest time until a meeting was ready.
    ready: Option<Duration>,
}

impl Counts for Tally {
    fn count(&self, what: fleet::Counted) {
        let mut sweep = self.sweep.get();
        match what {
            fleet::Counted::Sweep => sweep.sweeps += 1,
            fleet::Counted::OrphanEnded => sweep.orphans_ended += 1,
            fleet::Counted::MachineLost => sweep.machines_lost += 1,
            fleet::Counted::MeetingLaunched => sweep.meetings_launched += 1,
            fleet::Counted::EndingHeldBack => sweep.endings_held_back += 1,
            fleet::Counted::MachineUnready => sweep.machines_unready += 1,
            fleet::Counted::Ready(after) => sweep.ready = sweep.ready.max(Some(after)),
        }
        self.sweep.set(sweep);
    }
}

impl Sweep {
    fn findings(&self) -> u64 {
        self.orphans_ended
            + self.machines_lost
            + self.meetings_launched
            + self.endings_held_back
            + self.machines_unready
    }
}

/// The place where a launch was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    availability_zone: String,
    instance_type: String,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub outcome: &'static str,
    pub failed: Option<Kind>,
    pub launched: bool,
}

impl Ending {
    pub fn of<A: Outcome>(answer: &Result<A, Error>) -> Self {
        match answer {
            Ok(answer) => Ending { outcome: answer.outcome(), failed: None, launched: answer.launched() },
            Err(error) => Ending { outcome: "failed", failed: Some(error.kind), launched: false },
        }
    }
}

/// The counts, and the function that they belong to.
#[derive(Debug)]
pub struct Meter {
    pub tally: Rc<Tally>,
    function: String,
}

impl Meter {
    pub fn new(function: String) -> Self {
        Meter { tally: Rc::default(), function }
    }

    /// The last lines of a delivery: one of its own, and one for each zone and type that refused. The counts begin anew.
    pub fn report(&self, ending: Ending, started: Timestamp, now: Timestamp) -> String {
        let tally = &self.tally;
        let refusals = tally.refusals.take();
        let meet_time = tally.meet_time.take();
        let (calls, throttles) = tally.calls.take();
        let sweep = tally.sweep.take();
        let mut line = Line::of(&self.function);
        line.property(&OUTCOME, ending.outcome);
        if let Some(kind) = ending.failed {
            line.property(&ERROR_TYPE, kind.as_str());
        }
        if ending.launched {
            line.property(&LAUNCH_DURATION, milliseconds(started, now));
            if let Some(time) = meet_time {
                line.metric(&LEAD_TIME, time.duration_since(now).as_secs_f64());
            }
        }
        line.count(&ATTEMPTS, tally.attempts.take());
        let of_capacity = refusals.iter().filter(|(refusal, _)| *refusal == Refusal::Capacity);
        line.count(&CAPACITY_REFUSALS, u64::try_from(of_capacity.count()).unwrap_or(u64::MAX));
        line.count(&AWS_CALLS, calls);
        line.count(&THROTTLES, throttles);
        line.count(&SWEEPS, sweep.sweeps);
        line.count(&FINDINGS, sweep.findings());
        line.count(&ORPHANS_ENDED, sweep.orphans_ended);
        line.count(&MACHINES_LOST, sweep.machines_lost);
        line.count(&MEETINGS_LAUNCHED, sweep.meetings_launched);
        line.count(&ENDINGS_HELD_BACK, sweep.endings_held_back);
        line.count(&MACHINES_UNREADY, sweep.machines_unready);
        if let Some(after) = sweep.ready {
            line.metric(&TIME_TO_READY, after.as_secs_f64());
        }
        let mut places: BTreeMap<Place, u64> = BTreeMap::new();
        for (_, place) in refusals {
            *places.entry(place).or_default() += 1;
        }
        let of_places = places.into_iter().map(|(place, refusals)| {
            let mut line = Line::of(&self.function);
            line.property(&AVAILABILITY_ZONE, place.availability_zone);
            line.property(&INSTANCE_TYPE, place.instance_type);
            line.count(&REFUSALS, refusals);
            line.ended_at(now)
        });
        std::iter::once(line.ended_at(now)).chain(of_places).collect()
    }
}

fn milliseconds(from: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(from).as_secs_f64().max(0.0) * 1000.0
}

/// A line of the log that is being put together.
struct Line {
    fields: Map<String, Value>,
    /// The definitions of the fields that CloudWatch makes metrics of.
    metrics: Vec<Value>,
}

impl Line {
    fn of(function: &str) -> Self {
        Line { fields: Map::from_iter([(FUNCTION_NAME.to_owned(), json!(function))]), metrics: Vec::new() }
    }

    fn property(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name.to_owned(), value.into());
    }

    /// As a metric, if the table of fields says so.
    fn metric(&mut self, field: &Field, value: impl Into<Value>) {
        self.property(field, value);
        self.metrics.extend(field.metric.map(|unit| json!({"Name": field.name, "Unit": unit})));
    }

    /// Nothing for a count of zero, which would cost as much as any other.
    fn count(&mut self, field: &Field, count: u64) {
        if count > 0 {
            self.metric(field, count);
        }
    }

    /// The line with its line end. Without a metric it is plain JSON.
    fn ended_at(mut self, now: Timestamp) -> String {
        if !self.metrics.is_empty() {
            let directive =
                json!({"Namespace": NAMESPACE, "Dimensions": [[FUNCTION_NAME]], "Metrics": self.metrics});
            let aws = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]});
            self.fields.insert("_aws".to_owned(), aws);
        }
        format!("{}\n", Value::Object(self.fields))
    }
}

/// A port whose requests are counted.
pub struct Metered<P> {
    pub port: P,
    pub tally: Rc<Tally>,
}

impl<P: Meetings> Meetings for Metered<P> {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        let answer = self.port.read(meeting).await;
        if let Ok(Some(Record { meet_time: MeetTime::At(time), .. })) = &answer {
            self.tally.meet_time.set(Some(*time));
        }
        answer
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        self.port.update(update).await
    }
}

impl<P: NewMeetings> NewMeetings for Metered<P> {
    async fn create(&self, record: &NewRecord) -> Result<Created, AwsError> {
        self.port.create(record).await
    }
}

impl<P: DescribeById> DescribeById for Metered<P> {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        self.port.look(instances).await
    }
}

impl<P: Machines> Machines for Metered<P> {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        self.tally.attempts.set(self.tally.attempts.get() + 1);
        let answer = self.port.run(attempt).await;
        if let Err(error) = &answer
            && let Some(refusal) = Refusal::of(error.class)
        {
            let p = &attempt.parameters;
            let place = Place {
                availability_zone: p.availability_zone.clone(),
                instance_type: p.instance_type.clone(),
            };
            self.tally.refusals.borrow_mut().push((refusal, place));
        }
        answer
    }
}

impl<P: FindByToken> FindByToken for Metered<P> {
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        self.port.find(token).await
    }
}

impl<P: Terminate> Terminate for Metered<P> {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.port.remove_role_tag(instance).await
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.port.terminate(instance).await
    }
}

impl<P: DryRuns> DryRuns for Metered<P> {
    async fn dry_run(&self, parameters: &Parameters) -> Result<(), AwsError> {
        self.port.dry_run(parameters).await
    }
}

impl<P: Networks> Networks for Metered<P> {
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError> {
        self.port.find_subnets(network).await
    }
}

impl<P: InstanceTypes> InstanceTypes for Metered<P> {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        self.port.find_offerings(instance_types).await
    }
}

impl<P: Images> Images for Metered<P> {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        self.port.find_image(image_id).await
    }

    async fn find_images(
        &self,
        pattern: &str,
        owner: &str,
        architecture: Option<Architecture>,
    ) -> Result<Vec<Image>, AwsError> {
        self.port.find_images(pattern, owner, architecture).await
    }
}

impl<P: LaunchTemplates> LaunchTemplates for Metered<P> {
    async fn find_launch_template(&self, wanted: &LaunchTemplate) -> Result<Template, AwsError> {
        self.port.find_launch_template(wanted).await
    }
}

impl<P: KeyPairs> KeyPairs for Metered<P> {
    async fn find_key_pair(&self, name: &str) -> Result<Option<KeyType>, AwsError> {
        self.port.find_key_pair(name).await
    }
}

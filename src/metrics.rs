//! The metrics of a delivery: one line in CloudWatch's embedded metric format, and one for each zone and type that
//! refused.
//!
//! The lines go to standard output with the log, and CloudWatch makes metrics of them: no request, no waiting.
//! [`Metered`], between a verb and its adapters, counts at the ports, and [`Calls`] counts the requests of the SDK, so
//! no verb knows about it. There are few dimensions: the function, and one of outcome, error type, or zone and type.
//! [`METRICS`] explains each metric; `infra/template.yaml` has the alarms.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use metrique_writer_core::format::Format;
use metrique_writer_core::unit::{Count, Second, Unit, WithUnit};
use metrique_writer_core::{Entry, EntryWriter};
use metrique_writer_format_emf::{Emf, MetricDefinition, MetricDirective};

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

/// A metric. CloudWatch keeps it by `FunctionName` and, for each of its sets, the dimensions of the set.
pub struct Metric {
    pub name: &'static str,
    /// CloudWatch's word for the unit.
    pub unit: &'static str,
    pub written_by: &'static [Function],
    /// An empty set: by `FunctionName` alone.
    pub sets: &'static [&'static [&'static str]],
    pub means: &'static str,
}

macro_rules! metrics {
    ($($row:ident = $name:literal, $unit:literal, $by:ident, $sets:expr, $means:literal;)*) => {
        $(const $row: Metric =
            Metric { name: $name, unit: $unit, written_by: $by, sets: $sets, means: $means };)*

        /// Every metric. The table of `docs/watch.md` is written from it (`UPDATE=1 cargo test generated`), and the
        /// tests compare alarms and dashboard with that table.
        pub const METRICS: &[Metric] = &[$($row),*];
    };
}

const EVERY: &[Function] = &Function::ALL;
const LAUNCH: &[Function] = &[Function::Launch];
const SWEEP: &[Function] = &[Function::Reconcile];
const ALONE: &[&[&str]] = &[&[]];

metrics! {
    DELIVERIES = "Deliveries", "Count", EVERY, &[&[], &["Outcome"]],
        "Deliveries. The outcomes of `launch`: `launched`, `adopted`, `already_recorded`, `skipped`, `preflight`; of `schedule`: \
         `scheduled`, `moved`, `unchanged`, `superseded`, `cancelled`; of `end`: `ended`, `already_over`; of `reconcile`: \
         `in_order`, `repaired`, `dry_run`; of `status`: `shown`, `console`; of `operate`: `done`, `unchanged`; of each: `failed`.";
    FAILURES = "Failures", "Count", EVERY, &[&[], &["ErrorType"]],
        "Deliveries that ended with an error.";
    LAUNCH_DURATION = "LaunchDuration", "Milliseconds", LAUNCH, ALONE,
        "Of a delivery that launched or adopted: the time from its start until both ids stood in the record.";
    LEAD_TIME = "LeadTime", "Seconds", LAUNCH, ALONE,
        "Of the same: the time that was left until `meet_time`. It is negative where the launch was late.";
    ATTEMPTS = "Attempts", "Count", LAUNCH, ALONE,
        "RunInstances requests.";
    CAPACITY_REFUSALS = "CapacityRefusals", "Count", LAUNCH, ALONE,
        "RunInstances requests that EC2 refused for want of capacity.";
    REFUSALS = "Refusals", "Count", LAUNCH, &[&["AvailabilityZone", "InstanceType"]],
        "Definite refusals: for capacity, an unfit zone or subnet, a quota.";
    AWS_CALLS = "AwsCalls", "Count", EVERY, ALONE,
        "Requests to AWS, the SDK's own repeats included.";
    THROTTLES = "Throttles", "Count", EVERY, ALONE,
        "Requests that AWS refused for their rate, repeats included.";
    SWEEPS = "Sweeps", "Count", SWEEP, ALONE,
        "Sweeps that did all that they found. The alarm is for their absence.";
    ORPHANS_ENDED = "OrphansEnded", "Count", SWEEP, ALONE,
        "Machines that no record named, and that the sweep ended.";
    MACHINES_LOST = "MachinesLost", "Count", SWEEP, ALONE,
        "Machines that died, and were launched again.";
    MEETINGS_LAUNCHED = "MeetingsLaunched", "Count", SWEEP, ALONE,
        "Meetings that no delivery had launched, and that the sweep launched.";
    ENDINGS_HELD_BACK = "EndingsHeldBack", "Count", SWEEP, ALONE,
        "Endings that `MaxEndings` left for the next sweep.";
    MACHINES_UNREADY = "MachinesUnready", "Count", SWEEP, ALONE,
        "Machines that are up and do not serve.";
    TIME_TO_READY = "TimeToReady", "Seconds", SWEEP, ALONE,
        "The time from the launch of the later machine until both were seen running.";
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
    launches: bool,
    sweeps: bool,
}

impl Meter {
    pub fn new(function: String) -> Self {
        Meter { tally: Rc::default(), function, launches: false, sweeps: false }
    }

    /// For a function that launches machines: each delivery also reports its attempts and their refusals.
    pub fn of_launches(function: String) -> Self {
        Meter { launches: true, ..Meter::new(function) }
    }

    /// For the function that sweeps: each delivery also reports what it found.
    pub fn of_sweeps(function: String) -> Self {
        Meter { sweeps: true, ..Meter::new(function) }
    }

    /// The last lines of a delivery; the counts begin anew.
    pub fn report(&self, ending: Ending, started: Timestamp, now: Timestamp) -> String {
        let function = self.function.as_str();
        let tally = &self.tally;
        let refusals = tally.refusals.take();
        let took: Duration = now.duration_since(started).try_into().unwrap_or_default();
        let meet_time = tally.meet_time.take();
        let (calls, throttles) = tally.calls.take();
        let of_capacity = refusals.iter().filter(|(refusal, _)| *refusal == Refusal::Capacity);
        let delivery = Delivery {
            at: now.into(),
            function,
            ending,
            duration: ending.launched.then_some(took),
            lead: meet_time.filter(|_| ending.launched).map(|time| time.duration_since(now).as_secs_f64()),
            attempts: self.launches.then_some(tally.attempts.take()),
            capacity_refusals: self.launches.then_some(count(of_capacity)),
            calls,
            throttles,
            sweep: Some(tally.sweep.take()).filter(|_| self.sweeps),
        };
        let mut places: BTreeMap<&Place, u64> = BTreeMap::new();
        for (_, place) in &refusals {
            *places.entry(place).or_default() += 1;
        }
        let mut lines = line(delivery.format(), &delivery);
        for (place, refusals) in places {
            let dimensions = ["FunctionName", "AvailabilityZone", "InstanceType"].map(str::to_owned);
            let emf = Emf::builder(NAMESPACE.to_owned(), vec![dimensions.to_vec()]).build();
            lines += &line(emf, &Refused { at: now.into(), function, place, refusals });
        }
        lines
    }
}

fn count<T>(of: impl Iterator<Item = T>) -> u64 {
    u64::try_from(of.count()).unwrap_or(u64::MAX)
}

/// One line with its line end. If a line cannot be made, it is left out and the log says so; the delivery goes on.
fn line(mut emf: Emf, entry: &impl Entry) -> String {
    let mut line = Vec::new();
    if let Err(error) = emf.format(entry, &mut line) {
        tracing::warn!(error = %error, "a metric could not be written");
        return String::new();
    }
    String::from_utf8_lossy(&line).into_owned()
}

type Counted = WithUnit<u64, Count>;

struct Delivery<'d> {
    at: SystemTime,
    function: &'d str,
    ending: Ending,
    duration: Option<Duration>,
    lead: Option<f64>,
    attempts: Option<u64>,
    capacity_refusals: Option<u64>,
    calls: u64,
    throttles: u64,
    sweep: Option<Sweep>,
}

impl Delivery<'_> {
    /// Every metric by function; deliveries also by outcome, failures also by error type.
    fn format(&self) -> Emf {
        let by = |dimension: &'static str, name: &'static str| MetricDirective {
            dimensions: vec![vec!["FunctionName", dimension]],
            metrics: vec![MetricDefinition { name, unit: Unit::Count, storage_resolution: None }],
            namespace: NAMESPACE,
        };
        let emf = Emf::builder(NAMESPACE.to_owned(), vec![vec!["FunctionName".to_owned()]])
            .directive(by("Outcome", DELIVERIES.name));
        match self.ending.failed {
            Some(_) => emf.directive(by("ErrorType", FAILURES.name)).build(),
            None => emf.build(),
        }
    }
}

impl Entry for Delivery<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(self.at);
        writer.value("FunctionName", self.function);
        writer.value("Outcome", self.ending.outcome);
        writer.value(DELIVERIES.name, &Counted::from(1));
        if let Some(kind) = self.ending.failed {
            writer.value("ErrorType", kind.as_str());
            writer.value(FAILURES.name, &Counted::from(1));
        }
        // `Duration` is written in milliseconds.
        writer.value(LAUNCH_DURATION.name, &self.duration);
        writer.value(LEAD_TIME.name, &self.lead.map(WithUnit::<f64, Second>::from));
        writer.value(ATTEMPTS.name, &self.attempts.map(Counted::from));
        writer.value(CAPACITY_REFUSALS.name, &self.capacity_refusals.map(Counted::from));
        writer.value(AWS_CALLS.name, &Counted::from(self.calls));
        writer.value(THROTTLES.name, &Counted::from(self.throttles));
        let swept = |of: fn(&Sweep) -> u64| self.sweep.as_ref().map(|sweep| Counted::from(of(sweep)));
        writer.value(SWEEPS.name, &swept(|sweep| sweep.sweeps));
        writer.value(ORPHANS_ENDED.name, &swept(|sweep| sweep.orphans_ended));
        writer.value(MACHINES_LOST.name, &swept(|sweep| sweep.machines_lost));
        writer.value(MEETINGS_LAUNCHED.name, &swept(|sweep| sweep.meetings_launched));
        writer.value(ENDINGS_HELD_BACK.name, &swept(|sweep| sweep.endings_held_back));
        writer.value(MACHINES_UNREADY.name, &swept(|sweep| sweep.machines_unready));
        let ready = self.sweep.and_then(|sweep| sweep.ready);
        writer.value(
            TIME_TO_READY.name,
            &ready.map(|after| WithUnit::<f64, Second>::from(after.as_secs_f64())),
        );
    }
}

struct Refused<'r> {
    at: SystemTime,
    function: &'r str,
    place: &'r Place,
    refusals: u64,
}

impl Entry for Refused<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(self.at);
        writer.value("FunctionName", self.function);
        writer.value("AvailabilityZone", self.place.availability_zone.as_str());
        writer.value("InstanceType", self.place.instance_type.as_str());
        writer.value(REFUSALS.name, &Counted::from(self.refusals));
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

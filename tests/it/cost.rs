//! What a stack costs in a month, by counting: the resources that the template makes, what the deliveries of a month write,
//! hour by hour, and AWS's list prices. `docs/cost.md` and the README are written from it: `UPDATE=1 cargo test generated`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use elephant_core::error::AwsError;
use elephant_core::fleet::{Counted, Looked};
use elephant_core::machine::{Attempt, InstanceId, Machine, Token};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::ports::{Counts, DescribeById, FindByToken, Machines, Meetings, Terminate, Updated};
use elephant_core::record::{MeetTime, Record, Update};
use elephant_launch::metrics::{Ending, Meter, Metered};
use elephant_world::attempt::plain_attempt;
use elephant_world::cloud::Cloud;
use elephant_world::{meeting, scheduled, timed};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::metrics::file;
use crate::{infra, local};

/// A stack with the parameters' defaults and somebody for the alarms to tell costs no more than this in a month, in dollars:
/// without a meeting, and with so many meetings a day.
const IDLE: f64 = 1.0;
const BUSY: f64 = 2.5;
const MEETINGS_A_DAY: i64 = 20;

const DAYS: i64 = 30;
const HOURS: i64 = DAYS * 24;
const SWEEPS_AN_HOUR: i64 = 12;

/// What AWS charges for, once.
struct Price {
    what: &'static str,
    /// In dollars, for so many units.
    dollars: f64,
    per: f64,
    unit: &'static str,
}

/// Where the prices are from.
const SOURCE: &str = "\
List prices of us-west-2 in November 2026, of the first tier and without free tiers, from `https://aws.amazon.com/<service>/pricing/`:
";

#[rustfmt::skip]
mod price {
    use super::Price;

    const MILLION: f64 = 1e6;

    pub const REQUEST: Price = Price { what: "AWS Lambda: requests", dollars: 0.20, per: MILLION, unit: "million" };
    pub const GB_SECOND: Price = Price { what: "AWS Lambda: duration on arm64", dollars: 13.3334, per: MILLION, unit: "million GB-seconds" };
    pub const GB_SECOND_X86: Price = Price { what: "AWS Lambda: duration on x86_64", dollars: 16.6667, per: MILLION, unit: "million GB-seconds" };
    pub const METRIC: Price = Price { what: "CloudWatch: metrics of one's own", dollars: 0.30, per: 1.0, unit: "metric and month, by the hours in which it is written" };
    pub const ALARM: Price = Price { what: "CloudWatch: alarms", dollars: 0.10, per: 1.0, unit: "metric that an alarm looks at" };
    pub const DASHBOARD: Price = Price { what: "CloudWatch: dashboards", dollars: 3.00, per: 1.0, unit: "dashboard" };
    pub const LOG: Price = Price { what: "CloudWatch Logs: written", dollars: 0.50, per: 1e9, unit: "GB" };
    pub const LOG_KEPT: Price = Price { what: "CloudWatch Logs: kept", dollars: 0.03, per: 1e9, unit: "GB and month" };
    pub const LOG_READ: Price = Price { what: "CloudWatch Logs: read by queries", dollars: 0.005, per: 1e9, unit: "GB" };
    pub const TRACE: Price = Price { what: "AWS X-Ray: traces", dollars: 5.00, per: MILLION, unit: "million" };
    pub const READ: Price = Price { what: "DynamoDB: reads on demand", dollars: 0.125, per: MILLION, unit: "million" };
    pub const WRITE: Price = Price { what: "DynamoDB: writes on demand", dollars: 0.625, per: MILLION, unit: "million" };
    pub const STORED: Price = Price { what: "DynamoDB: storage with point-in-time recovery", dollars: 0.45, per: 1e9, unit: "GB and month" };
    pub const KEY: Price = Price { what: "KMS: requests", dollars: 0.03, per: 10_000.0, unit: "10,000" };
    pub const MESSAGE: Price = Price { what: "SQS: requests", dollars: 0.40, per: MILLION, unit: "million" };
    pub const SCHEDULE: Price = Price { what: "EventBridge Scheduler: invocations", dollars: 1.00, per: MILLION, unit: "million" };

    pub const ALL: [&Price; 16] = [
        &REQUEST, &GB_SECOND, &GB_SECOND_X86, &METRIC, &ALARM, &DASHBOARD, &LOG, &LOG_KEPT, &LOG_READ, &TRACE, &READ, &WRITE,
        &STORED, &KEY, &MESSAGE, &SCHEDULE,
    ];
}

/// Kinds of resources that cost nothing by themselves: what goes through them is counted with the deliveries.
const FREE: [&str; 15] = [
    "AWS::EC2::SecurityGroup",
    "AWS::Events::Rule",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::ScheduleGroup",
];

/// A delivery, and what it takes besides the line that it ends with. Figures are rounded up from the logs of the deployed
/// tests and from benches/README.md; for what EC2 does in its own time they are guesses, on the high side.
#[derive(Clone, Copy)]
struct Kind {
    verb: &'static str,
    outcome: &'static str,
    seconds: f64,
    /// Of Lambda's own lines about a delivery (start, end, report), and of ours but the last.
    log: usize,
    /// DynamoDB's units: of 4 KB read consistently, and of 1 KB written, with the index.
    reads: f64,
    writes: f64,
}

#[rustfmt::skip]
mod kind {
    use super::Kind;

    pub const SWEEP: Kind = Kind { verb: "reconcile", outcome: "in_order", seconds: 1.0, log: 1_500, reads: 5.0, writes: 0.0 };
    pub const REPAIR: Kind = Kind { verb: "reconcile", outcome: "repaired", seconds: 10.0, log: 8_000, reads: 5.0, writes: 30.0 };
    pub const NOTICE: Kind = Kind { verb: "reconcile", outcome: "repaired", seconds: 2.0, log: 3_000, reads: 2.0, writes: 4.0 };
    pub const PLAN: Kind = Kind { verb: "schedule", outcome: "scheduled", seconds: 1.0, log: 2_000, reads: 1.0, writes: 4.0 };
    pub const LAUNCH: Kind = Kind { verb: "launch", outcome: "launched", seconds: 15.0, log: 8_000, reads: 3.0, writes: 30.0 };
    pub const END: Kind = Kind { verb: "end", outcome: "ended", seconds: 5.0, log: 3_000, reads: 3.0, writes: 12.0 };
}

/// The bytes of a record, and for how many months they are kept.
const RECORD: f64 = 4_000.0;
const MONTHS_KEPT: f64 = 12.0;

/// What a month of deliveries used: quantities by price.
#[derive(Default)]
struct Month {
    deliveries: BTreeMap<&'static str, (u64, f64)>,
    log: f64,
    reads: f64,
    writes: f64,
    meetings: f64,
    /// Each metric in each hour in which it was written, by the name of the function.
    series: BTreeSet<(i64, String, String)>,
}

/// The record of a meeting and EC2, as a delivery of `launch` meets them.
struct Known {
    record: Record,
    cloud: RefCell<Cloud>,
}

impl Meetings for Known {
    async fn read(&self, _: &MeetingId) -> Result<Option<Record>, AwsError> {
        Ok(Some(self.record.clone()))
    }

    async fn update(&self, _: &Update) -> Result<Updated, AwsError> {
        Ok(Updated::Done)
    }
}

impl FindByToken for Known {
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        self.cloud.borrow().find(token)
    }
}

impl DescribeById for Known {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        Ok(self.cloud.borrow().look(instances))
    }
}

impl Terminate for Known {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.cloud.borrow_mut().remove_role_tag(instance)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.cloud.borrow_mut().terminate(instance)
    }
}

impl Machines for Known {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        self.cloud.borrow_mut().run(attempt, Timestamp::UNIX_EPOCH)
    }
}

struct Simulation {
    month: Month,
    meters: BTreeMap<&'static str, Meter>,
}

impl Simulation {
    fn run(meetings_a_day: i64) -> Month {
        let mut simulation = Simulation { month: Month::default(), meters: BTreeMap::new() };
        for hour in 0..HOURS {
            let quarter =
                |quarter: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(hour * 60 + quarter * 15);
            for _ in 0..SWEEPS_AN_HOUR {
                simulation.deliver(kind::SWEEP, quarter(0), &[Counted::Sweep]);
            }
            // Each in an hour of its own: no month of so many meetings writes a metric in more hours.
            let hour_of_the_day = hour % 24;
            if hour_of_the_day < meetings_a_day {
                simulation.meeting(&quarter, hour_of_the_day == 0);
            }
        }
        simulation.month
    }

    /// One meeting; every day one of them is refused in one zone, and loses a machine.
    fn meeting(&mut self, quarter: &impl Fn(i64) -> Timestamp, is_unlucky: bool) {
        self.month.meetings += 1.0;
        self.deliver(kind::PLAN, quarter(0), &[]);
        self.launch(quarter(0), quarter(1), is_unlucky);
        // EC2 says of each machine that it runs, and that it is terminated.
        self.deliver(kind::NOTICE, quarter(0), &[]);
        self.deliver(kind::NOTICE, quarter(0), &[Counted::Ready(std::time::Duration::from_secs(40))]);
        if is_unlucky {
            self.deliver(kind::REPAIR, quarter(2), &[Counted::MachineLost]);
            self.deliver(kind::NOTICE, quarter(2), &[Counted::Ready(std::time::Duration::from_secs(40))]);
        }
        self.deliver(kind::END, quarter(3), &[]);
        self.deliver(kind::NOTICE, quarter(3), &[]);
        self.deliver(kind::NOTICE, quarter(3), &[]);
    }

    fn launch(&mut self, now: Timestamp, meet_time: Timestamp, is_refused: bool) {
        let tally = Rc::clone(&self.meter("launch").tally);
        let mut cloud = Cloud::default();
        let attempts = Role::BOTH.map(|role| plain_attempt(&meeting("m"), role, role.as_str()));
        if is_refused {
            cloud.exhaust(&attempts[0].parameters.instance_type);
        }
        let record = timed(scheduled("m"), MeetTime::At(meet_time));
        let port = Metered { port: Known { record, cloud: RefCell::new(cloud) }, tally };
        let requests = async {
            port.read(&meeting("m")).await.expect("it is there");
            for attempt in &attempts {
                assert_eq!(port.run(attempt).await.is_err(), is_refused);
            }
        };
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(requests);
        self.deliver(kind::LAUNCH, now, &[]);
    }

    fn meter(&mut self, verb: &'static str) -> &Meter {
        self.meters.entry(verb).or_insert_with(|| Meter::new(format!("elephant-launch-{verb}")))
    }

    fn deliver(&mut self, kind: Kind, now: Timestamp, counted: &[Counted]) {
        let meter = self.meter(kind.verb);
        counted.iter().for_each(|what| meter.tally.count(*what));
        let ending = Ending { outcome: kind.outcome, failed: None, launched: kind.outcome == "launched" };
        let lines = meter.report(ending, now, now);
        let hour = now.as_second() / 3600;
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
                // Another set of dimensions would be another metric.
                assert_eq!(directive["Dimensions"].to_string(), r#"[["FunctionName"]]"#);
                for metric in directive["Metrics"].as_array().expect("metrics") {
                    let name = metric["Name"].as_str().expect("a name").to_owned();
                    self.month.series.insert((hour, line["FunctionName"].to_string(), name));
                }
            }
        }
        let month = &mut self.month;
        let (deliveries, seconds) = month.deliveries.entry(kind.verb).or_default();
        *deliveries += 1;
        *seconds += kind.seconds;
        month.log += (kind.log + lines.len()) as f64;
        month.reads += kind.reads;
        month.writes += kind.writes;
    }
}

/// What a stack has, of which it pays each month whatever happens, and what its functions are like.
struct Stack {
    alarm_metrics: f64,
    dashboards: f64,
    /// Memory in GB, price of the duration, whether it is traced: by verb.
    functions: BTreeMap<String, (f64, &'static Price, bool)>,
    polls: f64,
}

/// Lambda asks an SQS queue for messages by five requests of twenty seconds at a time, for ever.
const POLLS: f64 = 5.0 * (HOURS * 3600 / 20) as f64;

impl Stack {
    fn with(alarms: &str) -> Stack {
        let topic = "AlarmTopicArn=arn:aws:sns:us-west-2:123456789012:operators".to_owned();
        let template = local::top().join("infra/template.yaml").display().to_string();
        let (code, text) = infra::check("resources.py", &[template, topic, format!("Alarms={alarms}")]);
        assert_eq!(code, Some(0), "{text}");
        let resources: BTreeMap<String, Value> = serde_json::from_str(&text).expect("JSON");
        let mut stack = Stack { alarm_metrics: 0.0, dashboards: 0.0, functions: BTreeMap::new(), polls: 0.0 };
        for (name, resource) in &resources {
            let properties = &resource["Properties"];
            match resource["Type"].as_str().expect("a type") {
                "AWS::CloudWatch::Alarm" => {
                    let queries = properties["Metrics"].as_array();
                    let looks_at = queries.map_or(1, |queries| {
                        queries.iter().filter(|query| query.get("MetricStat").is_some()).count()
                    });
                    stack.alarm_metrics += looks_at as f64;
                }
                "AWS::CloudWatch::Dashboard" => stack.dashboards += 1.0,
                "AWS::Lambda::Function" => {
                    let verb = name.trim_end_matches("Function").to_lowercase();
                    let memory = properties["MemorySize"].as_f64().expect("a number") / 1024.0;
                    let second = match properties["Architectures"][0].as_str() {
                        Some("arm64") => &price::GB_SECOND,
                        _ => &price::GB_SECOND_X86,
                    };
                    let traced = properties["TracingConfig"]["Mode"] == "Active";
                    stack.functions.insert(verb, (memory, second, traced));
                }
                "AWS::Lambda::EventSourceMapping" => stack.polls += POLLS,
                // By reads, writes and what is kept.
                "AWS::DynamoDB::Table" => assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST"),
                kind => assert!(FREE.contains(&kind), "{name}: what does a {kind} cost?"),
            }
        }
        stack
    }

    /// In dollars, in the order of the table.
    fn bill(&self, month: &Month) -> Vec<(&'static str, f64)> {
        let cost = |of: f64, price: &Price| of / price.per * price.dollars;
        let (mut lambda, mut traces) = (0.0, 0.0);
        for (verb, (deliveries, seconds)) in &month.deliveries {
            let (memory, second, traced) = self.functions[*verb];
            lambda += cost(*deliveries as f64, &price::REQUEST) + cost(seconds * memory, second);
            // X-Ray takes one request of each second, and of the rest one in twenty: all, of so few.
            traces += if traced { cost(*deliveries as f64, &price::TRACE) } else { 0.0 };
        }
        let sweeps = (HOURS * SWEEPS_AN_HOUR) as f64;
        vec![
            ("alarms", cost(self.alarm_metrics, &price::ALARM)),
            ("the dashboard", cost(self.dashboards, &price::DASHBOARD)),
            ("metrics", cost(month.series.len() as f64 / HOURS as f64, &price::METRIC)),
            ("the functions", lambda),
            ("traces", traces),
            ("logs", cost(month.log, &price::LOG) + cost(month.log, &price::LOG_KEPT)),
            (
                "the table",
                cost(month.reads, &price::READ)
                    + cost(month.writes, &price::WRITE)
                    + cost(month.meetings * MONTHS_KEPT * RECORD, &price::STORED)
                    // DynamoDB asks for the key of the table anew after five minutes.
                    + cost(sweeps, &price::KEY),
            ),
            (
                "schedules and queues",
                cost(month.meetings, &price::SCHEDULE) + cost(self.polls, &price::MESSAGE),
            ),
        ]
    }
}

fn sum(bill: &[(&str, f64)]) -> f64 {
    bill.iter().map(|(_, dollars)| dollars).sum()
}

/// To the cent, rounded up: nothing that costs anything is shown as nothing.
fn dollars(amount: f64) -> String {
    format!("${:.2}", (amount * 100.0 - 1e-6).ceil().max(0.0) / 100.0)
}

#[test]
fn the_generated_bill_is_below_its_bars() {
    let (idle, busy) = (Simulation::run(0), Simulation::run(MEETINGS_A_DAY));
    assert_eq!(idle.deliveries["reconcile"].0, 8640, "a sweep every five minutes");
    assert!(idle.series.is_empty(), "a stack without meetings writes no metric: {:?}", idle.series);
    assert!(busy.series.iter().any(|(_, _, name)| name == "LeadTime"), "{:?}", busy.series);
    let (essential, all) = (Stack::with("essential"), Stack::with("all"));
    let bills = [essential.bill(&idle), essential.bill(&busy), all.bill(&busy)];
    let [of_idle, of_busy, of_all] = bills.each_ref().map(|bill| sum(bill));
    assert!(of_idle <= IDLE, "without a meeting {of_idle}: {:?}", bills[0]);
    assert!(of_busy <= BUSY, "with meetings {of_busy}: {:?}", bills[1]);
    assert!(of_all > of_busy + 3.0, "more alarms, and the dashboard: {of_all}");

    let mut rows = String::new();
    for (index, (what, _)) in bills[0].iter().enumerate() {
        let amounts = bills.each_ref().map(|bill| dollars(bill[index].1));
        rows += &format!("| {what} | {} |\n", amounts.join(" | "));
    }
    let totals = [of_idle, of_busy, of_all].map(|total| format!("**{}**", dollars(total)));
    rows += &format!("| **in a month** | {} |\n", totals.join(" | "));
    rows += &format!("| at most | {} | {} | |\n", dollars(IDLE), dollars(BUSY));
    let head = format!(
        "| | no meeting | {MEETINGS_A_DAY} meetings a day | the same, with `Alarms` `all` |\n|---|---|---|---|\n"
    );
    let prices: String = price::ALL
        .iter()
        .map(|price| {
            // As AWS writes them: two digits, or as many as there are.
            let plain = format!("{}", price.dollars);
            let digits = plain.split_once('.').map_or(0, |(_, digits)| digits.len()).max(2);
            format!("| {} | ${:.digits$} for each {} |\n", price.what, price.dollars, price.unit)
        })
        .collect();
    file::holds(&local::top().join("docs/cost.md"), "tests/it/cost.rs", |page| {
        let page = file::between(
            &page,
            "<!-- generated: the bill -->\n",
            "<!-- end -->",
            &format!("\n{head}{rows}"),
        );
        let head = "| what | price |\n|---|---|\n";
        let new = format!("\n{SOURCE}\n{head}{prices}");
        file::between(&page, "<!-- generated: prices -->\n", "<!-- end -->", &new)
    });
    file::holds(&local::top().join("README.md"), "tests/it/cost.rs", |page| {
        let new = format!(
            "A stack without meetings costs {} a month, and one with {MEETINGS_A_DAY} meetings a day {}: at list prices, without free\n\
             tiers and without the machines ([`docs/cost.md`](docs/cost.md)).\n",
            dollars(of_idle),
            dollars(of_busy)
        );
        file::between(&page, "<!-- generated: cost -->\n", "<!-- end -->", &new)
    });
}

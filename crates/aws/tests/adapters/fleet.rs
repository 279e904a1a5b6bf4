//! Meetings by the thousand as the wire says them: two machines each, on EC2's pages, and a record each, in batches; and
//! the sweep over them by the real adapters.

use std::cell::RefCell;
use std::time::Duration;

use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_core::config::ReconcileConfig;
use elephant_core::error::Error;
use elephant_core::event;
use elephant_core::fleet::{Counted, Limits};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::ports::{Counts, Launches};
use elephant_core::reconcile::{ReconcileAnswer, ReconcilePorts, Reconciler};
use elephant_core::timing::{Timing, Window};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::server::{self, REQUEST_ID, Wire};
use elephant_world::attempt::plain_attempt;

const TABLE: &str = "elephant-meetings";

/// What EC2 puts on a page of DescribeInstances at most, and DynamoDB into a batch.
const PAGE: usize = 1000;
const BATCH: usize = 100;

/// An account with so many meetings under way and nothing wrong with them. `noted`: an earlier sweep has written down that
/// their machines run.
pub async fn account(meetings: usize, noted: bool) -> Wire {
    let wire = Wire::start().await;
    let launched_at = Timestamp::now() - SignedDuration::from_mins(20);
    let names: Vec<String> = (0..meetings).map(|n| format!("m-{n:04}")).collect();
    let both: Vec<(&String, Role)> =
        names.iter().flat_map(|name| Role::BOTH.map(|role| (name, role))).collect();
    let pages: Vec<&[(&String, Role)]> = both.chunks(PAGE).collect();
    let page = |(n, page): (usize, &&[(&String, Role)])| {
        let machines: String =
            page.iter().map(|(name, role)| reservation(name, *role, launched_at)).collect();
        // Another on each page: the SDK takes one that comes again for the end.
        let next = match n + 1 < pages.len() {
            true => format!("<nextToken>page-{n}</nextToken>"),
            false => String::new(),
        };
        xml("DescribeInstances", &format!("<reservationSet>{machines}</reservationSet>{next}"))
    };
    wire.script("DescribeInstances", pages.iter().enumerate().map(page));
    wire.script("DescribeInstanceStatus", [xml("DescribeInstanceStatus", "<instanceStatusSet/>")]);
    wire.script("DescribeVolumes", [xml("DescribeVolumes", "<volumeSet/>")]);
    wire.script("DescribeNetworkInterfaces", [xml("DescribeNetworkInterfaces", "<networkInterfaceSet/>")]);
    let open: Vec<Value> = names.iter().map(|name| json!({"id": {"S": name}})).collect();
    let found = |items: &[Value]| answer(&json!({"Items": items, "Count": items.len()}));
    // HEALTHY comes fourth of the statuses that may have a meeting launched.
    wire.script("Query", [found(&[]), found(&[]), found(&[]), found(&open), found(&[]), found(&[])]);
    let batch = |names: &[String]| {
        let items: Vec<Value> = names.iter().map(|name| record(name, launched_at, noted)).collect();
        answer(&json!({"Responses": {TABLE: items}, "UnprocessedKeys": {}}))
    };
    wire.script("BatchGetItem", names.chunks(BATCH).map(batch));
    wire.script("UpdateItem", [answer(&json!({}))]);
    wire
}

struct OneSweep;

impl ReconcilePorts for OneSweep {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Launches = Nobody;
    type Counts = Nobody;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

/// One sweep as the function makes it.
pub async fn sweep(wire: &Wire) -> Result<ReconcileAnswer, Error> {
    let timing = Timing::DEFAULT;
    let reconciler = Reconciler::<OneSweep> {
        meetings: Table::new(&wire.sdk(), TABLE, timing.table),
        ec2: Ec2::new(&wire.sdk(), &timing),
        launches: Nobody,
        counts: Nobody,
        clock: WallClock,
        tokens: RandomTokens,
        config: ReconcileConfig {
            table_name: TABLE.into(),
            project_tag: "Elephant".into(),
            limits: LIMITS,
            dry_run: false,
        },
        timing,
        failed_endings: RefCell::default(),
    };
    let deadline = Timestamp::now() + SignedDuration::from_mins(5);
    reconciler.reconcile(&event::Reconcile::Sweep, deadline).await
}

/// The function's defaults.
const LIMITS: Limits = Limits {
    grace: Duration::from_secs(600),
    longest_meeting: Duration::from_secs(8 * 3600),
    window: Window { earliest: Duration::from_secs(24 * 3600), latest: Duration::from_secs(120 * 60) },
    due: Duration::from_secs(300),
    replacements: 2,
    endings: 10,
    ready: Duration::from_secs(600),
    relaunch_unready: false,
    clean_up: false,
};

struct Nobody;

impl Launches for Nobody {
    async fn launch(&self, meeting: &MeetingId, _: Timestamp) -> Result<(), Error> {
        panic!("{meeting} has both its machines");
    }
}

impl Counts for Nobody {
    fn count(&self, _: Counted) {}
}

fn reservation(name: &str, role: Role, launched_at: Timestamp) -> String {
    let attempt = plain_attempt(&meeting(name), role, &token(name, role));
    let tags: String = attempt
        .parameters
        .tags
        .iter()
        .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"))
        .collect();
    let id = instance_id(name, role);
    format!(
        "<item><reservationId>r-{id}</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item>
            <instanceId>{id}</instanceId><imageId>ami-1</imageId>
            <instanceState><code>16</code><name>running</name></instanceState>
            <privateDnsName>ip-10-0-0-12.us-west-2.compute.internal</privateDnsName><dnsName/><reason/>
            <keyName>elephant</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>
            <instanceType>t3.large</instanceType><launchTime>{launched_at:.3}</launchTime>
            <placement><availabilityZone>us-west-2a</availabilityZone><groupName/><tenancy>default</tenancy></placement>
            <monitoring><state>disabled</state></monitoring>
            <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><privateIpAddress>10.0.0.12</privateIpAddress>
            <sourceDestCheck>true</sourceDestCheck>
            <groupSet><item><groupId>sg-1</groupId><groupName>elephant</groupName></item></groupSet>
            <architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>
            <rootDeviceName>/dev/xvda</rootDeviceName>
            <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{id}</volumeId>
                <status>attached</status><attachTime>{launched_at:.3}</attachTime>
                <deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>
            <virtualizationType>hvm</virtualizationType><clientToken>{token}</clientToken><tagSet>{tags}</tagSet>
            <hypervisor>xen</hypervisor>
            <networkInterfaceSet><item><networkInterfaceId>eni-{id}</networkInterfaceId><subnetId>subnet-1</subnetId>
                <vpcId>vpc-1</vpcId><status>in-use</status><privateIpAddress>10.0.0.12</privateIpAddress>
                <attachment><attachmentId>eni-attach-{id}</attachmentId><deviceIndex>0</deviceIndex>
                    <status>attached</status><deleteOnTermination>true</deleteOnTermination></attachment>
            </item></networkInterfaceSet>
            <ebsOptimized>false</ebsOptimized>
        </item></instancesSet></item>",
        token = token(name, role),
    )
}

fn record(name: &str, launched_at: Timestamp, noted: bool) -> Value {
    let mut item = json!({
        "id": {"S": name},
        "status": {"S": "HEALTHY"},
        "meet_time": {"S": (launched_at + SignedDuration::from_mins(15)).to_string()},
        "title": {"S": "a title of another program's, with some words in it"},
    });
    for role in Role::BOTH {
        let attempt = plain_attempt(&meeting(name), role, &token(name, role));
        let attempt: Value = serde_json::to_value(&attempt).expect("JSON");
        item[format!("{role}_attempt")] = typed(&attempt);
        item[format!("{role}_ec2_id")] = json!({"S": instance_id(name, role)});
        if noted {
            item[format!("{role}_state")] = json!({"S": "running"});
            item[format!("{role}_private_ip")] = json!({"S": "10.0.0.12"});
            item[format!("{role}_dns_name")] = json!({"S": "ip-10-0-0-12.us-west-2.compute.internal"});
        }
    }
    if noted {
        item["launch_ready_at"] = json!({"S": launched_at.to_string()});
    }
    item
}

/// JSON as DynamoDB writes it.
fn typed(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(yes) => json!({"BOOL": yes}),
        Value::Number(number) => json!({"N": number.to_string()}),
        Value::String(text) => json!({"S": text}),
        Value::Array(pieces) => json!({"L": pieces.iter().map(typed).collect::<Vec<_>>()}),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), typed(value)));
            json!({"M": fields.collect::<serde_json::Map<_, _>>()})
        }
    }
}

fn meeting(name: &str) -> MeetingId {
    MeetingId::new(name).expect("an id")
}

fn instance_id(name: &str, role: Role) -> String {
    format!("i-{name}-{role}")
}

fn token(name: &str, role: Role) -> String {
    format!("token-{name}-{role}")
}

fn answer(body: &Value) -> server::Answer {
    server::Answer::Reply(200, body.to_string())
}

fn xml(action: &str, content: &str) -> server::Answer {
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{REQUEST_ID}</requestId>{content}</{action}Response>"#
    );
    server::Answer::Reply(200, body)
}

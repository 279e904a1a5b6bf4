//! The stage on the wire: the real adapters, and one local AWS for all promises, which have it to themselves one after
//! another.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_ec2::types::{Filter, Instance};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_core::error::Class;
use elephant_core::machine::{ImdsTokens, InstanceId, Market, Parameters, RootVolume};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::network::{Network, Subnet};
use elephant_core::ports::{Clock, Images, Machines, Meetings, Networks, NewMeetings, Tokens};
use elephant_core::record::{Failure, Record};
use elephant_core::timing::Timing;
use serde_json::json;

use super::{Blank, Stage};
use crate::local::aws::{self, IMAGE, LocalAws, TABLE};
use elephant_world::cloud::TerminatedToken;
use elephant_world::executor::Fate;

type Item = HashMap<String, AttributeValue>;

/// How long anything may take that has to happen.
const LIMIT: Duration = Duration::from_secs(20);

struct Shared {
    aws: LocalAws,
    table: Table,
    ec2: Ec2,
    security_group: String,
    subnets: Vec<Subnet>,
    promises: AtomicU32,
    /// Faults and settings are the whole AWS's.
    turn: Mutex<()>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let aws = LocalAws::start(&mut io::stderr()).expect("the local AWS starts");
    create_table(&aws);
    let sdk = aws::sdk(&aws.endpoint);
    let ec2 = Ec2::new(&sdk, &Timing::DEFAULT);
    let found = aws.wait(ec2.find_subnets(&Network::Default)).expect("the subnets are listed");
    Shared {
        table: Table::new(&sdk, TABLE, Timing::DEFAULT.table),
        ec2,
        subnets: found.subnets,
        security_group: aws.security_group(),
        promises: AtomicU32::new(0),
        turn: Mutex::new(()),
        aws,
    }
});

/// Without an index, as a table may be that was there before us: of what an index has for a key DynamoDB takes no empty value.
fn create_table(aws: &LocalAws) {
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let table = aws.dynamodb.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let table = table.attribute_definitions(id.build().expect("complete"));
    aws.wait(table.key_schema(key.build().expect("complete")).send()).expect("the table is created");
}

pub struct Wire {
    shared: &'static Shared,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Wire {
    pub fn new() -> Wire {
        let shared = &*SHARED;
        let turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let number = shared.promises.fetch_add(1, Relaxed);
        let wire = Wire { shared, name: format!("promise-{number}"), _turn: turn };
        // One that was broken cleans up nothing.
        wire.relent();
        wire.answer_for_the_dead(TerminatedToken::Error);
        shared.aws.clear_calls();
        wire
    }

    pub fn run<T>(&self, promise: impl Future<Output = T>) -> T {
        self.shared.aws.wait(promise)
    }

    async fn item(&self, meeting: &MeetingId) -> Item {
        let get = self.shared.aws.dynamodb.get_item().table_name(TABLE).key("id", text(meeting.as_str()));
        let answer = get.consistent_read(true).send().await.expect("the record is read");
        answer.item.unwrap_or_default()
    }

    async fn instance(&self, id: &InstanceId) -> Instance {
        let describe = self.shared.aws.ec2.describe_instances().instance_ids(id.as_str());
        let answer = describe.send().await.expect("the instance is described");
        answer.reservations()[0].instances()[0].clone()
    }

    /// How many of the calls so far are held.
    fn held(&self) -> usize {
        let calls = self.shared.aws.calls();
        calls.iter().filter(|call| call["status"] == "held before").count()
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.aws.assert_schema();
    }
}

impl Stage for Wire {
    fn meetings(&self) -> &impl Meetings {
        &self.shared.table
    }

    fn new_meetings(&self) -> &impl NewMeetings {
        &self.shared.table
    }

    fn machines(&self) -> &impl Machines {
        &self.shared.ec2
    }

    fn networks(&self) -> &(impl Networks + Images) {
        &self.shared.ec2
    }

    fn delivery(&self) -> (impl Clock, impl Tokens) {
        (WallClock, RandomTokens)
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn put(&self, record: &Record) {
        let item = ours(record).into_iter().chain(strangers()).collect();
        let put = self.shared.aws.dynamodb.put_item().table_name(TABLE).set_item(Some(item));
        put.send().await.expect("the record is written");
    }

    async fn delete(&self, meeting: &MeetingId) {
        let delete = self.shared.aws.dynamodb.delete_item().table_name(TABLE);
        delete.key("id", text(meeting.as_str())).send().await.expect("the record is deleted");
    }

    async fn blank(&self, meeting: &MeetingId, attribute: &str, blank: Blank) {
        let value = match blank {
            Blank::Empty => text(""),
            Blank::Null => AttributeValue::Null(true),
        };
        let update = self.shared.aws.dynamodb.update_item().table_name(TABLE);
        update
            .key("id", text(meeting.as_str()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", attribute)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .expect("the record is changed");
    }

    async fn strangers_stand(&self, meeting: &MeetingId) -> bool {
        let item = self.item(meeting).await;
        strangers().iter().all(|(name, value)| item.get(name) == Some(value))
    }

    async fn failure(&self, meeting: &MeetingId) -> Option<Failure> {
        let item = self.item(meeting).await;
        let said = |name: &str| item.get(name).map(|value| value.as_s().expect("a string").clone());
        let said = [said("launch_error"), said("launch_error_code"), said("launch_error_at")];
        match said {
            [Some(reason), Some(code), Some(at)] => {
                Some(Failure { reason, code, at: at.parse().expect("a time") })
            }
            [None, None, None] => None,
            half => panic!("half a failure: {half:?}"),
        }
    }

    fn image(&self) -> &str {
        IMAGE
    }

    fn subnets(&self) -> Vec<Subnet> {
        self.shared.subnets.clone()
    }

    fn security_group(&self) -> &str {
        &self.shared.security_group
    }

    async fn made_from(&self, machine: &InstanceId) -> Parameters {
        let instance = self.instance(machine).await;
        let attached = Filter::builder().name("attachment.instance-id").values(machine.as_str()).build();
        let volumes = self.shared.aws.ec2.describe_volumes().filters(attached).send().await;
        let volume = volumes.expect("the volumes are listed").volumes()[0].clone();
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let tags = instance.tags().iter();
        Parameters {
            launch_template: None,
            image_id: text(instance.image_id()),
            instance_type: text(instance.instance_type().map(|kind| kind.as_str())),
            subnet_id: text(instance.subnet_id()),
            availability_zone: text(instance.placement().and_then(|place| place.availability_zone())),
            security_group_ids: instance
                .security_groups()
                .iter()
                .map(|group| text(group.group_id()))
                .collect(),
            key_name: instance.key_name().map(str::to_owned),
            iam_profile: None,
            root_volume: Some(RootVolume {
                device_name: text(instance.root_device_name()),
                size_gb: volume.size().unwrap_or_default(),
                volume_type: text(volume.volume_type().map(|kind| kind.as_str())),
                encrypted: volume.encrypted().unwrap_or_default(),
                iops: None,
                throughput: None,
                kms_key_id: None,
            }),
            imds_tokens: instance.metadata_options().and_then(|options| options.http_tokens()).map(
                |tokens| {
                    if tokens.as_str() == "required" { ImdsTokens::Required } else { ImdsTokens::Optional }
                },
            ),
            public_ip: None,
            market: Market::OnDemand,
            user_data: None,
            tags: tags.map(|tag| (text(tag.key()), text(tag.value()))).collect(),
        }
    }

    async fn another_subnet(&self, beside: &Subnet) -> Subnet {
        let create = self.shared.aws.ec2.create_subnet().vpc_id(&beside.vpc_id).cidr_block("172.31.128.0/20");
        let answer = create.availability_zone(&beside.availability_zone).send().await;
        let made = answer.expect("the subnet is made");
        let id = made.subnet().and_then(|subnet| subnet.subnet_id()).expect("an id");
        Subnet { subnet_id: id.to_owned(), ..beside.clone() }
    }

    fn refuse(&self, instance_type: &str, zone: &str, _: Class, code: &'static str) {
        let refusal = json!({"action": "RunInstances", "type": instance_type, "zone": zone, "code": code});
        self.shared.aws.add_faults(json!([refusal]));
    }

    fn relent(&self) {
        self.shared.aws.clear_faults();
    }

    fn answer_for_the_dead(&self, answer: TerminatedToken) {
        let word = match answer {
            TerminatedToken::Error => "error",
            TerminatedToken::Instance => "instance",
        };
        self.shared.aws.set(json!({"terminated_token": word}));
    }

    fn next(&self, action: &'static str, fate: Fate) {
        let mut fault = match &fate {
            Fate::Fails(_, code) | Fate::Refuses(_, code) => json!({"code": code}),
            Fate::LostBefore => json!({"drop": "before"}),
            Fate::LostAfter => json!({"drop": "after"}),
            other => unreachable!("{other:?} is asked for by no promise"),
        };
        if let Fate::Fails(Class::Propagating, "InvalidParameterValue") = fate {
            fault["message"] = json!("Value (new) for parameter iamInstanceProfile.name is invalid.");
        }
        (fault["action"], fault["times"]) = (json!(action), json!(1));
        self.shared.aws.add_faults(json!([fault]));
    }

    async fn abandon<T>(&self, action: &'static str, request: impl Future<Output = T>) {
        self.shared.aws.add_faults(json!([{"action": action, "times": 1, "hold": "before"}]));
        let mut request = pin!(request);
        let held = self.until("the request arrives", || self.held() > 0);
        tokio::select! {
            _ = &mut request => panic!("{action} was to be held, and was answered"),
            () = held => {}
        }
    }

    async fn late_effect(&self) {
        self.shared.aws.release(json!({}));
        self.until("what was held is done", || self.held() == 0).await;
    }
}

/// A record of ours as it stands in the table.
fn ours(record: &Record) -> Item {
    let mut item = Item::from([("id".to_owned(), text(record.meeting_id.as_str()))]);
    let mut set = |name: String, value: Option<AttributeValue>| {
        if let Some(value) = value {
            item.insert(name, value);
        }
    };
    set("status".into(), record.status.as_ref().map(|status| text(status.as_str())));
    set("termination_reason".into(), record.termination_reason.as_deref().map(text));
    set("meet_time".into(), record.meet_time_text.as_deref().map(text));
    set("launch_owner".into(), record.lease.as_ref().map(|lease| text(lease.owner.as_str())));
    set("launch_lease_until".into(), record.lease.as_ref().map(|lease| text(&format!("{:.3}", lease.until))));
    for role in Role::BOTH {
        let of_role = record.role(role);
        set(format!("{role}_launched_at"), of_role.launched_at.map(|at| text(&format!("{at:.3}"))));
        set(format!("{role}_ec2_id"), of_role.instance_id.as_ref().map(|id| text(id.as_str())));
        let attempt = of_role.attempt.as_ref().map(serde_dynamo::to_attribute_value);
        set(format!("{role}_attempt"), attempt.map(|attempt| attempt.expect("an attempt is plain data")));
    }
    item
}

/// What other programs keep in the record.
fn strangers() -> Item {
    Item::from([
        ("teacher_name".to_owned(), text("Ada")),
        ("jitsi_url".to_owned(), AttributeValue::Null(true)),
        ("created_at".to_owned(), AttributeValue::N("1763805600".into())),
        ("instance_id".to_owned(), text("i-9")),
        ("launch".to_owned(), text("not one of ours")),
        ("teacher_ec2_link".to_owned(), text("https://x")),
        ("student_session_data".to_owned(), AttributeValue::M(Item::from([("token".to_owned(), text("t"))]))),
        ("seen_by".to_owned(), AttributeValue::Ss(vec!["a".into(), "b".into()])),
    ])
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

//! The local AWS: EC2 and DynamoDB by moto with an extension of ours (`tests/aws/`), and a control endpoint that scripts
//! faults and lists the calls that arrived.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use aws_sdk_ec2::types::{Filter, Instance};
use serde_json::{Value, json};

use super::process::Process;
use super::python;

pub const REGION: &str = "us-west-2";
pub const TABLE: &str = "elephant-meetings";
/// The image in `tests/aws/amis.json` whose root device is `/dev/xvda`.
pub const IMAGE: &str = "ami-0a1b2c3d4e5f60001";

pub type Item = HashMap<String, AttributeValue>;

pub struct LocalAws {
    /// Where EC2 is, and the control endpoint.
    pub endpoint: String,
    /// Where everything else is.
    pub aws: String,
    control: ureq::Agent,
    runtime: tokio::runtime::Runtime,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ec2: aws_sdk_ec2::Client,
    process: Process,
    /// It ends when this closes, however we end.
    _stdin: Option<ChildStdin>,
}

impl LocalAws {
    /// Start one on a free port; the first use on a machine makes its virtual environment.
    pub fn start(progress: &mut dyn Write) -> Result<LocalAws, String> {
        LocalAws::run("local_aws.py", progress).map(|(aws, _)| aws)
    }

    /// Run one of the programs of `tests/aws/`. Comes with the line that it printed when it was ready.
    pub fn run(program: &str, progress: &mut dyn Write) -> Result<(LocalAws, Value), String> {
        let folder = super::top().join("tests").join("aws");
        let python = python::environment("local-aws", &folder.join("requirements.txt"), progress)?;
        let log = super::target().join("python").join(program).with_extension("log");
        let stderr =
            File::create(&log).map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let mut command = Command::new(python);
        command.arg(folder.join(program)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        // What a person has set for the real AWS must not reach the local one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        let process = Process::start(&mut command)
            .map_err(|error| format!("the local AWS cannot be started: {error}"))?;
        let stdin = process.take_stdin();
        let stdout = process.take_stdout().ok_or("the local AWS has no standard output")?;
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line);
        let ready: Value = serde_json::from_str(&line).map_err(|_| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            format!("the local AWS did not start:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
        })?;
        let endpoint = ready["endpoint"].as_str().ok_or("the local AWS named no endpoint")?.to_owned();
        let aws = ready["aws"].as_str().unwrap_or(&endpoint).to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        let local = LocalAws {
            runtime,
            dynamodb: aws_sdk_dynamodb::Client::new(&sdk(&aws)),
            ec2: aws_sdk_ec2::Client::new(&sdk(&endpoint)),
            endpoint,
            aws,
            control: ureq::Agent::new_with_defaults(),
            process,
            _stdin: stdin,
        };
        Ok((local, ready))
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// What the function needs to be told to use this AWS instead of the real one.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.aws.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        if self.aws != self.endpoint {
            variables.insert(1, ("AWS_ENDPOINT_URL_EC2", &self.endpoint));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn create_table(&self) {
        let attribute =
            AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let text = |name: &str| {
            let text = AttributeDefinition::builder().attribute_name(name);
            text.attribute_type(ScalarAttributeType::S).build().expect("complete")
        };
        let part = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("complete")
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name("open-meetings")
            .key_schema(part("status", KeyType::Hash))
            .key_schema(part("meet_time", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        let table = self
            .dynamodb
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute.build().expect("complete"))
            .attribute_definitions(text("status"))
            .attribute_definitions(text("meet_time"))
            .global_secondary_indexes(index.build().expect("complete"))
            .key_schema(key.build().expect("complete"));
        self.wait(table.send()).expect("the table is created");
    }

    /// A security group of the default VPC, for the function's configuration.
    pub fn security_group(&self) -> String {
        let groups =
            self.wait(self.ec2.describe_security_groups().send()).expect("the security groups are listed");
        groups.security_groups().iter().find_map(|group| group.group_id()).expect("there is one").to_owned()
    }

    pub fn put_meeting(&self, attributes: &[(&str, &str)]) {
        let item = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), AttributeValue::S((*value).to_owned())));
        let put = self.dynamodb.put_item().table_name(TABLE).set_item(Some(item.collect()));
        self.wait(put.send()).expect("the record is written");
    }

    pub fn record(&self, meeting: &str) -> Option<Item> {
        let get = self.dynamodb.get_item().table_name(TABLE).key("id", AttributeValue::S(meeting.to_owned()));
        self.wait(get.consistent_read(true).send()).expect("the record is read").item
    }

    /// A string attribute of the record.
    pub fn attribute(&self, meeting: &str, name: &str) -> Option<String> {
        self.record(meeting)?.get(name)?.as_s().ok().cloned()
    }

    pub fn set_attribute(&self, meeting: &str, name: &str, value: &str) {
        let update = self
            .dynamodb
            .update_item()
            .table_name(TABLE)
            .key("id", AttributeValue::S(meeting.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", AttributeValue::S(value.to_owned()));
        self.wait(update.send()).expect("the record is changed");
    }

    /// Date the lease of the meeting's record, if there is one.
    pub fn date_lease(&self, meeting: &str, time: &str) {
        let update = self.dynamodb.update_item().table_name(TABLE);
        let update = update
            .key("id", AttributeValue::S(meeting.to_owned()))
            .condition_expression("attribute_exists(launch_lease_until)")
            .update_expression("SET launch_lease_until = :time")
            .expression_attribute_values(":time", AttributeValue::S(time.to_owned()));
        let updated = self.wait(update.send()).map_err(|error| error.into_service_error());
        let none = |error: &UpdateItemError| error.is_conditional_check_failed_exception();
        assert!(updated.as_ref().is_ok() || updated.as_ref().is_err_and(none), "{updated:?}");
    }

    /// Every instance with the meeting's tag, ended ones included.
    pub fn instances(&self, meeting: &str) -> Vec<Instance> {
        self.list(&[Filter::builder().name("tag:MeetingID").values(meeting).build()])
    }

    /// Every instance of the account, whatever its tags.
    pub fn machines(&self) -> Vec<Instance> {
        self.list(&[])
    }

    fn list(&self, filters: &[Filter]) -> Vec<Instance> {
        let list = self.ec2.describe_instances().set_filters(Some(filters.to_vec()));
        let list = list.into_paginator().items().send();
        let reservations = self.wait(list.collect::<Result<Vec<_>, _>>()).expect("the instances are listed");
        reservations.iter().flat_map(|reservation| reservation.instances().to_vec()).collect()
    }

    /// Script faults; `tests/aws/faults.py` says what one can be.
    pub fn add_faults(&self, faults: Value) {
        self.control("POST", "faults", Some(&faults));
    }

    pub fn clear_faults(&self) {
        self.control("DELETE", "faults", None);
    }

    /// The calls that arrived since the last [`LocalAws::clear_calls`], in order.
    pub fn calls(&self) -> Vec<Value> {
        self.control("GET", "calls", None).as_array().cloned().unwrap_or_default()
    }

    /// How often each action was called.
    pub fn count_calls(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry(call["action"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        counts
    }

    pub fn clear_calls(&self) {
        self.control("DELETE", "calls", None);
    }

    /// Let go of every call that is held.
    pub fn release(&self, body: Value) {
        self.control("POST", "release", Some(&body));
    }

    /// Every machine that is there becomes that much older, and the marks of orphans with them.
    pub fn age(&self, by: Duration) {
        self.control("POST", "age", Some(&json!({"seconds": by.as_secs()})));
    }

    /// A machine comes into this state by itself, for this StateReason of EC2.
    pub fn put_into_state(&self, instance: &str, state: &str, reason: &str) {
        self.control("POST", "state", Some(&json!({"instance": instance, "state": state, "reason": reason})));
    }

    /// EC2 forgets the `tags` of a terminated machine, or its whole `entry`.
    pub fn forget(&self, instance: &str, what: &str) {
        self.control("POST", "forget", Some(&json!({"instance": instance, "what": what})));
    }

    /// Everything as after the start.
    pub fn reset(&self) {
        self.control("POST", "reset", None);
    }

    pub fn set(&self, settings: Value) {
        self.control("POST", "settings", Some(&settings));
    }

    /// Fails where Amazon's schema has something against a request so far, or against an answer of ours: see
    /// `tests/aws/schema.py`. One that is dropped looks by itself; whoever shares one has to ask.
    pub fn assert_schema(&self) {
        // It may have been ended before us; and a test that fails has its reason.
        let answer = self.control.get(format!("{}/_local/violations", self.endpoint)).call();
        let (Ok(mut answer), false) = (answer, std::thread::panicking()) else { return };
        let found: Vec<Value> = answer.body_mut().read_json().expect("a list of violations");
        let found: Vec<&str> = found.iter().filter_map(|one| one["text"].as_str()).collect();
        assert!(found.is_empty(), "what AWS would not take, or not answer:\n{}", found.join("\n"));
    }

    /// One request to the control endpoint; `tests/aws/` says which there are.
    pub fn control(&self, method: &str, what: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/_local/{what}", self.endpoint);
        let answer = match (method, body) {
            ("GET", _) => self.control.get(&url).call(),
            ("DELETE", _) => self.control.delete(&url).call(),
            (_, body) => self.control.post(&url).send_json(body.unwrap_or(&json!({}))),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {url} with {body:?}: {error}"));
        answer.body_mut().read_json().unwrap_or(Value::Null)
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        self.assert_schema();
    }
}

/// Wait until `condition` gives something, looking again and again, or fail with what was waited for.
pub fn eventually<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn sdk(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "local",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

//! One meeting, the real binary behind a Runtime API, and a local AWS: what is left in the record and running.
//!
//! Time cannot be moved here. Where a story needs a lease to be over, [`Stack::time_passes`] dates it back in the record.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::Instance;
use elephant_core::settings;
use serde_json::{Value, json};

use crate::local::aws::{IMAGE, Item, LocalAws, eventually};
use crate::local::lambda::{Function, Lambda, Outcome};
use crate::local::top;

/// The meeting, where a test has only one.
pub const M: &str = "m";
/// For what is waited for. Much longer than it takes, because a busy machine may take long.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The function's own limit, the least that the template allows.
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub const ROLES: [&str; 2] = ["teacher", "student"];

pub struct Stack {
    pub aws: Arc<LocalAws>,
    pub lambda: Lambda,
    pub meeting: String,
    /// How much had been logged when this meeting's story began.
    logged: usize,
}

impl Stack {
    pub fn up() -> Stack {
        Stack::with(&[])
    }

    /// With these variables besides, or instead of, those that the function needs.
    pub fn with(variables: &[(&str, &str)]) -> Stack {
        let aws = LocalAws::start(&mut io::stderr()).expect("the local AWS starts");
        aws.create_table();
        let lambda = function(&aws, variables, TIMEOUT);
        let stack = Stack { aws: Arc::new(aws), lambda, meeting: M.to_owned(), logged: 0 };
        stack.schedule();
        stack
    }

    /// Another environment of the function, for the same meeting.
    pub fn beside(&self) -> Stack {
        let lambda = function(&self.aws, &[], TIMEOUT);
        Stack { aws: self.aws.clone(), lambda, meeting: self.meeting.clone(), logged: 0 }
    }

    /// From here on this is about another meeting.
    pub fn turn_to(&mut self, meeting: &str) {
        self.meeting = meeting.to_owned();
        self.logged = self.lambda.log().len();
    }

    /// Everything as after the start, but for the meeting. The function is another one, for the network is.
    pub fn reset(&mut self) {
        self.aws.reset();
        self.aws.create_table();
        self.lambda.kill();
        self.lambda = function(&self.aws, &[], TIMEOUT);
    }

    /// The record as schedule-meeting writes it.
    pub fn schedule(&self) {
        self.aws.put_meeting(&[
            ("id", &self.meeting),
            ("status", "SCHEDULED"),
            ("teacher_name", "Ada"),
            ("jitsi_url", "https://x"),
        ]);
    }

    pub fn deliver(&self) -> Outcome {
        self.lambda.invoke(&json!({"meeting_id": self.meeting}))
    }

    /// The lease of a delivery that died is long over, and so is the time in which a request of its may take effect.
    pub fn time_passes(&self) {
        self.lease_ends("2020-01-01T00:00:00.000Z");
    }

    /// The same where one stands.
    pub fn time_passes_if_leased(&self) {
        if self.aws.record(&self.meeting).is_some_and(|record| record.contains_key("launch_lease_until")) {
            self.time_passes();
        }
    }

    /// Nobody is at work on the meeting, and what was launched so far was launched that much earlier, by record and by EC2.
    pub fn grow_older(&self, by: Duration) {
        self.time_passes_if_leased();
        self.aws.age(by);
        for role in ROLES {
            let name = format!("{role}_launched_at");
            if let Some(at) = self.attribute(&name) {
                let at: jiff::Timestamp = at.parse().expect("a time");
                self.set(&name, &format!("{:.3}", at - by));
            }
        }
    }

    pub fn lease_ends(&self, time: &str) {
        self.aws.date_lease(&self.meeting, time);
    }

    pub fn record(&self) -> Item {
        self.aws.record(&self.meeting).expect("there is a record")
    }

    pub fn attribute(&self, name: &str) -> Option<String> {
        text(&self.record(), name)
    }

    pub fn set(&self, name: &str, value: &str) {
        self.aws.set_attribute(&self.meeting, name, value);
    }

    /// Every machine of the meeting, ended ones included.
    pub fn instances(&self) -> Vec<Instance> {
        self.aws.instances(&self.meeting)
    }

    /// Both roles have one live machine, and the record names it.
    #[track_caller]
    pub fn both_recorded(&self) {
        let (machines, recorded) = (live(&self.instances()), recorded(&self.record()));
        assert_eq!(machines, recorded, "live machines and the record\n{}", self.story());
        assert_eq!(machines.len(), 2, "{machines:?}\n{}", self.story());
    }

    /// Every request has been answered, or its connection cut, and what comes late has come.
    pub fn all_is_quiet(&self) {
        let under_way = |call: &Value| match &call["status"] {
            Value::Number(_) => false,
            status => !matches!(status.as_str(), Some("done late" | "dropped before" | "dropped after")),
        };
        eventually("every request is done", LIMIT, || {
            (!self.aws.calls().iter().any(under_way)).then_some(())
        });
    }

    /// What a failure prints. It ends the process, for the last line of its log.
    pub fn story(&self) -> String {
        let calls: Vec<String> = self.aws.calls().iter().map(ToString::to_string).collect();
        let log = &self.lambda.whole_log()[self.logged..];
        format!("calls:\n{}\nlog:\n{}", calls.join("\n"), log.join("\n"))
    }
}

/// Its process would otherwise live as long as the test's.
impl Drop for Stack {
    fn drop(&mut self) {
        self.lambda.kill();
    }
}

pub fn function(aws: &LocalAws, variables: &[(&str, &str)], timeout: Duration) -> Lambda {
    started("launch", aws, variables, timeout)
}

/// The function `reconcile`, which is told all that `launch` is.
pub fn reconciler(aws: &LocalAws, variables: &[(&str, &str)]) -> Lambda {
    started("reconcile", aws, variables, TIMEOUT)
}

/// One whose time-out is the template's.
pub fn patient_reconciler(aws: &LocalAws, variables: &[(&str, &str)]) -> Lambda {
    started("reconcile", aws, variables, Duration::from_secs(300))
}

pub fn observer(aws: &LocalAws) -> Lambda {
    started("status", aws, &[], TIMEOUT)
}

/// What the function `schedule` is told, and `end` of it.
const SCHEDULES: [(&str, &str); 4] = [
    ("LAUNCH_FUNCTION_ARN", "arn:aws:lambda:us-west-2:123456789012:function:launch"),
    ("SCHEDULER_ROLE_ARN", "arn:aws:iam::123456789012:role/scheduler"),
    ("SCHEDULE_DEAD_LETTERS_ARN", "arn:aws:sqs:us-west-2:123456789012:dead"),
    ("SCHEDULE_GROUP", "default"),
];

/// The function `schedule`, whose schedules invoke nothing here.
pub fn scheduler(aws: &LocalAws) -> Lambda {
    scheduler_with(aws, &[])
}

pub fn scheduler_with(aws: &LocalAws, variables: &[(&str, &str)]) -> Lambda {
    let variables = [&SCHEDULES, variables].concat();
    started("schedule", aws, &variables, TIMEOUT)
}

/// Each of the six, with what it needs and these variables besides.
pub fn every_function(aws: &LocalAws, variables: &[(&str, &str)], timeout: Duration) -> Vec<Lambda> {
    let variables = [SCHEDULES.as_slice(), variables].concat();
    settings::Function::ALL.map(|function| started(function.name(), aws, &variables, timeout)).into()
}

pub fn operator(aws: &LocalAws) -> Lambda {
    operator_with(aws, &[])
}

pub fn operator_with(aws: &LocalAws, variables: &[(&str, &str)]) -> Lambda {
    started("operate", aws, variables, TIMEOUT)
}

/// One that has so long for each request.
pub fn operator_within(aws: &LocalAws, timeout: Duration) -> Lambda {
    started("operate", aws, &[], timeout)
}

pub fn ender(aws: &LocalAws, variables: &[(&str, &str)]) -> Lambda {
    started("end", aws, variables, TIMEOUT)
}

fn started(name: &str, aws: &LocalAws, variables: &[(&str, &str)], timeout: Duration) -> Lambda {
    let mut environment: BTreeMap<String, String> = aws.environment().into_iter().collect();
    let security_group = aws.security_group();
    let roots = top().join("tests").join("local").join("root.pem");
    let needed = [
        ("AMI_ID", IMAGE),
        ("INSTANCE_TYPE", "t3.large,m5.large"),
        ("SECURITY_GROUP_IDS", &security_group),
        ("SSL_CERT_FILE", &roots.to_string_lossy()),
    ];
    for (name, value) in needed.iter().chain(variables) {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    let function = Function {
        name: name.into(),
        binary: env!("CARGO_BIN_EXE_launch").into(),
        environment: environment.into_iter().collect(),
        timeout,
        echo: None,
    };
    Lambda::start(function, 0).expect("the Runtime API listens")
}

/// The live ones of these machines, by role.
pub fn live(instances: &[Instance]) -> BTreeMap<String, Vec<String>> {
    let mut machines = BTreeMap::<String, Vec<String>>::new();
    for instance in instances.iter().filter(|instance| is_live(instance)) {
        machines.entry(tag(instance, "Role")).or_default().push(id(instance));
    }
    machines
}

/// The machines that this record names, by role.
pub fn recorded(record: &Item) -> BTreeMap<String, Vec<String>> {
    let recorded = |role: &str| Some((role.to_owned(), vec![text(record, &format!("{role}_ec2_id"))?]));
    ROLES.into_iter().filter_map(recorded).collect()
}

pub fn is_live(instance: &Instance) -> bool {
    let state = instance.state().and_then(|state| state.name()).map(|name| name.as_str().to_owned());
    !matches!(state.as_deref(), Some("terminated" | "shutting-down"))
}

pub fn id(instance: &Instance) -> String {
    instance.instance_id().expect("an id").to_owned()
}

pub fn tag(instance: &Instance, key: &str) -> String {
    let tag = instance.tags().iter().find(|tag| tag.key() == Some(key));
    tag.and_then(|tag| tag.value()).unwrap_or_default().to_owned()
}

/// A string attribute.
pub fn text(record: &Item, name: &str) -> Option<String> {
    record.get(name)?.as_s().ok().cloned()
}

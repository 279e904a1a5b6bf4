//! The template deployed to an AWS on this machine, with the real binaries: a schedule fires, and the function launches
//! with its own role and configuration; what fails is seen; what a role may not do is refused; and nothing is left.

use crate::local;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::local::aws::{IMAGE, eventually};
use crate::local::deployed::{Deployed, NAMESPACE, STACK};
use crate::meeting::{LIMIT, ROLES, id, live, recorded, tag};
use aws_sdk_ec2::types::{Instance, Volume};
use elephant_core::settings::{Function, given_to};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One for all tests but the last; each has its own meetings, and one at a time has it. It ends with this process.
fn stack() -> Turn {
    static STACK: LazyLock<Mutex<Deployed>> = LazyLock::new(|| Mutex::new(deploy()));
    Turn(STACK.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The stack for one test, all of whose requests Amazon's schema takes.
struct Turn(MutexGuard<'static, Deployed>);

impl Deref for Turn {
    type Target = Deployed;

    fn deref(&self) -> &Deployed {
        &self.0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.aws.assert_schema();
    }
}

fn deploy() -> Deployed {
    deploy_with(&[
        ("InstanceType", TYPES),
        ("Settings", SETTINGS),
        ("AlarmTopicArn", "arn:aws:sns:us-west-2:123456789012:operators"),
        ("Alarms", "all"),
    ])
}

const TYPES: &str = "t3.large,m5.large";
const SETTINGS: &str = "VOLUME_SIZE_GB=61";

fn deploy_with(parameters: &[(&str, &str)]) -> Deployed {
    let binary = Path::new(env!("CARGO_BIN_EXE_launch"));
    Deployed::start(binary, parameters, &mut io::stderr()).expect("the template is deployed")
}

/// When the meetings of these tests begin, and a moment at which their schedules are due, both from now on.
const BEGINS: Duration = Duration::from_secs(60 * 60);
const DUE: Duration = Duration::from_secs(46 * 60);

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn in_words(time: Timestamp) -> String {
    format!("{time:.0}")
}

impl Deployed {
    /// The record and the schedule, by the deployed function; the schedule's name.
    fn schedule_meeting(&self, meeting: &str) -> String {
        let begins = in_words(Timestamp::now() + BEGINS);
        let asked = json!({"meeting_id": meeting, "meet_time": begins, "teacher_name": "Ada"});
        let answer = self.invoke("schedule", &asked).answer();
        assert_eq!(answer["outcome"], "scheduled", "{answer}");
        answer["schedule"]["name"].as_str().expect("a name").to_owned()
    }

    /// Do this while the schedules are due that stand; no other is made meanwhile.
    fn when_due<T>(&self, work: impl FnOnce() -> T) -> T {
        self.put_scheduler_ahead(DUE);
        let done = work();
        self.put_scheduler_ahead(Duration::ZERO);
        done
    }

    /// Both machines, once the record names both.
    fn machines(&self, meeting: &str) -> Vec<Instance> {
        eventually(&format!("both machines of {meeting} are recorded"), LIMIT, || {
            (recorded(&self.aws.record(meeting)?).len() == 2).then_some(())
        });
        self.aws.instances(meeting)
    }

    /// The lines of a delivery of this meeting, in JSON.
    fn log_of(&self, meeting: &str) -> Vec<Value> {
        let lines = self.log("launch");
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["span"]["meeting_id"] == meeting).collect()
    }
}

#[test]
fn the_stack_has_exactly_what_the_template_says() {
    let stack = stack();
    let listed = stack.ask("cloudformation", "list_stack_resources", json!({"StackName": STACK}));
    let listed = listed["StackResourceSummaries"].as_array().cloned().unwrap_or_default();
    let made: BTreeMap<String, String> = listed
        .iter()
        .map(|resource| {
            (text(resource, "LogicalResourceId").to_owned(), text(resource, "ResourceType").to_owned())
        })
        .collect();
    assert_eq!(made, stack.resources);
    for resource in &listed {
        assert_eq!(resource["ResourceStatus"], "CREATE_COMPLETE", "{resource}");
    }

    for reader in Function::ALL {
        let output = |what: &str| stack.output(&format!("{reader:?}{what}"));
        let verb = format!("{reader:?}").to_lowercase();
        let name = stack.function(&verb);
        assert_eq!(output("FunctionName"), name);
        let function = stack.ask("lambda", "get_function_configuration", json!({"FunctionName": name}));
        let variables = function["Environment"]["Variables"].as_object().expect("variables");
        let told: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
        assert_eq!(told, given_to(reader).into_iter().collect());
        for (name, value) in expected_variables(&stack) {
            assert!(
                variables.get(name).is_none_or(|found| found == value),
                "{name} of {verb}: {variables:?}"
            );
        }
        assert_eq!(function["Role"], output("RoleArn"));
        assert_eq!(function["LoggingConfig"]["LogGroup"], stack.log_group(&verb));
        // The qualifier that SAM names for a function without versions.
        let asked = json!({"FunctionName": name, "Qualifier": "$LATEST"});
        let invocations = stack.ask("lambda", "get_function_event_invoke_config", asked);
        let on_failure = &invocations["DestinationConfig"]["OnFailure"]["Destination"];
        // The next sweep does what a failed one left, and whoever asks of a meeting or of a machine waits for the answer.
        if !["reconcile", "status", "operate"].contains(&verb.as_str()) {
            assert_eq!(on_failure, output("FailuresArn"));
        }
        let asked = json!({"logGroupNamePrefix": stack.log_group(&verb)});
        assert_eq!(stack.ask("logs", "describe_log_groups", asked)["logGroups"][0]["retentionInDays"], 30);
    }
}

/// What the functions must be told, each the part that it reads.
fn expected_variables(stack: &Deployed) -> [(&str, &str); 9] {
    [
        ("SETTINGS", SETTINGS),
        ("AMI_ID", "al2023"),
        ("INSTANCE_TYPE", TYPES),
        ("PROJECT_TAG", "Elephant"),
        ("TABLE_NAME", stack.output("MeetingsTableName")),
        ("LAUNCH_FUNCTION_ARN", stack.output("LaunchFunctionArn")),
        ("SCHEDULER_ROLE_ARN", stack.output("SchedulerRoleArn")),
        ("SCHEDULE_GROUP", stack.output("ScheduleGroupName")),
        ("SCHEDULE_DEAD_LETTERS_ARN", stack.output("ScheduleDeadLettersArn")),
    ]
}

#[test]
fn a_schedule_fires_the_function_which_launches_and_its_repeat_changes_nothing() {
    let (stack, meeting) = (stack(), "m-fires");
    let schedule = stack.schedule_meeting(meeting);
    let machines = stack.when_due(|| stack.machines(meeting));
    eventually("a schedule that has fired is gone", LIMIT, || {
        stack.schedule(&schedule).is_none().then_some(())
    });

    let record = stack.aws.record(meeting).expect("a record");
    assert_eq!(live(&machines), recorded(&record), "one live machine for each role, and the record names it");
    assert_eq!(stack.aws.attribute(meeting, "status").as_deref(), Some("LAUNCHED"));
    for (machine, role) in machines.iter().map(|machine| (machine, tag(machine, "Role"))) {
        assert!(ROLES.contains(&role.as_str()), "{machine:?}");
        assert_eq!(tag(machine, "MeetingID"), meeting);
        assert_eq!(tag(machine, "Name"), format!("{meeting}_{role}"));
        assert_eq!(tag(machine, "Project"), "Elephant");
        assert_eq!(machine.image_id(), Some(IMAGE));
        let volumes = stack.aws.wait(stack.aws.ec2.describe_volumes().send()).expect("the volumes");
        let is_its = |volume: &&Volume| {
            volume.attachments().iter().any(|to| to.instance_id() == machine.instance_id())
        };
        let disk = volumes.volumes().iter().find(is_its).expect("a disk");
        assert_eq!(disk.size(), Some(61), "as Settings say");
    }

    let log = eventually("the delivery is logged", LIMIT, || {
        let log = stack.log_of(meeting);
        (!log.is_empty()).then_some(log)
    });
    let delivery = log.iter().find(|line| line["fields"]["message"] == "delivery").expect("its first line");
    // InRecord in by Scheduler, from the placeholders in the schedule's input.
    let arn = delivery["fields"]["schedule_arn"].as_str().unwrap_or_default();
    assert!(arn.ends_with(&format!("schedule/{STACK}/{schedule}")), "{delivery}");
    let launched = log.iter().filter(|line| line["fields"]["message"] == "machine launched").count();
    assert_eq!(launched, 2, "{log:#?}");

    let of_launch = json!([{"Name": "FunctionName", "Value": stack.function("launch")}]);
    assert!(!stack.metric("LeadTime", "Sum", &of_launch).is_empty(), "CloudWatch made a metric of the line");
    let listed = stack.ask("cloudwatch", "list_metrics", json!({"Namespace": NAMESPACE}));
    let named =
        |name: &str| listed["Metrics"].as_array().expect("metrics").iter().any(|it| it["MetricName"] == name);
    assert!(named("LeadTime") && !named("LaunchDuration"), "what nobody watches is no metric: {listed}");

    let again = stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    for role in ROLES {
        assert_eq!(again["machines"][role]["outcome"], "already_recorded", "{again}");
    }
    assert_eq!(stack.aws.record(meeting), Some(record));
    assert_eq!(
        stack.aws.instances(meeting).iter().map(id).collect::<Vec<_>>(),
        machines.iter().map(id).collect::<Vec<_>>()
    );
}

#[test]
fn a_meeting_is_moved_and_cancelled_and_its_schedule_with_it() {
    let (stack, meeting) = (stack(), "m-moves");
    let name = stack.schedule_meeting(meeting);
    let schedule = stack.schedule(&name).expect("a schedule");
    let target = &schedule["Target"];
    assert_eq!(target["Arn"], stack.output("LaunchFunctionArn"));
    assert_eq!(target["RoleArn"], stack.output("SchedulerRoleArn"));
    assert_eq!(target["DeadLetterConfig"]["Arn"], stack.output("ScheduleDeadLettersArn"));
    assert_eq!(schedule["ActionAfterCompletion"], "DELETE");

    let begins = Timestamp::now() + 2 * BEGINS;
    let lead = Duration::from_secs(15 * 60);
    let later = json!({"meeting_id": meeting, "meet_time": in_words(begins)});
    assert_eq!(stack.invoke("schedule", &later).answer()["outcome"], "moved");
    let moved = stack.schedule(&name).expect("a schedule");
    let due = (begins - lead).strftime("at(%Y-%m-%dT%H:%M:%S)").to_string();
    assert_eq!(moved["ScheduleExpression"], due);
    assert_eq!(moved["Target"], schedule["Target"]);
    assert_eq!(stack.aws.attribute(meeting, "meet_time"), Some(in_words(begins)));
    assert_eq!(stack.invoke("schedule", &later).answer()["outcome"], "unchanged");

    let cancel = json!({"meeting_id": meeting, "cancel": true});
    assert_eq!(stack.invoke("schedule", &cancel).answer()["outcome"], "cancelled");
    assert_eq!(stack.schedule(&name), None);
    assert_eq!(stack.aws.attribute(meeting, "status").as_deref(), Some("TERMINATED"));
    let skipped = stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    assert!(skipped["skipped"].is_string(), "{skipped}");
}

/// Once a meeting was refused for want of capacity in one zone, launched in another, and lost a machine, the alarms on
/// that go off, each under its own dimensions; what did not happen costs nothing, for no function writes a zero.
#[test]
fn the_alarms_watch_what_the_functions_write() {
    let (stack, meeting) = (stack(), "m-alarms");
    stack.schedule_meeting(meeting);
    let refusal = json!({"action": "RunInstances", "role": "teacher", "code": "InsufficientInstanceCapacity", "times": 1});
    stack.aws.add_faults(json!([refusal]));
    stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    let teacher = stack.aws.attribute(meeting, "teacher_ec2_id").expect("an id");
    let killed = stack.aws.ec2.terminate_instances().instance_ids(&teacher).send();
    stack.aws.wait(killed).expect("it is killed");
    stack.aws.date_lease(meeting, "2020-01-01T00:00:00.000Z");
    stack.invoke("reconcile", &json!({"sweep": true})).answer();
    stack.invoke("end", &json!({"meeting_id": meeting})).answer();
    let described = stack.ask("cloudwatch", "describe_alarms", json!({}));
    let alarms = described["MetricAlarms"].as_array().expect("alarms");
    let ours: Vec<&Value> = alarms.iter().filter(|alarm| alarm["Namespace"] == NAMESPACE).collect();
    assert!(ours.len() >= 4, "{ours:#?}");
    let mut on = BTreeSet::new();
    for alarm in ours {
        let (metric, statistic) = (text(alarm, "MetricName"), text(alarm, "Statistic"));
        let found = stack.metric(metric, statistic, &alarm["Dimensions"]);
        let threshold = alarm["Threshold"].as_f64().expect("a number");
        let goes_off = |point: &Value| point[statistic].as_f64().is_some_and(|value| value >= threshold);
        if metric == "LeadTime" {
            assert!(!found.is_empty(), "nothing under {}", alarm["Dimensions"]);
        } else if found.iter().any(goes_off) {
            on.insert(metric);
        }
    }
    assert!(on.is_superset(&BTreeSet::from(["CapacityRefusals", "Findings", "MachinesLost"])), "{on:?}");
    assert!(!on.contains("EndingsHeldBack") && !on.contains("Throttles"), "{on:?}");
}

#[test]
fn a_delivery_that_fails_to_the_last_ends_in_the_on_failure_queue() {
    let stack = stack();
    stack.send("launch", &json!({"meeting_id": "m-nobody"}));
    let event = json!({"meeting_id": "m-nobody"});
    let message = eventually("the queue has the failed delivery", LIMIT, || {
        let messages = stack.take_messages("LaunchFailuresUrl");
        messages.into_iter().find(|message| message["requestPayload"] == event)
    });
    assert_eq!(message["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(message["responsePayload"]["errorType"], "MeetingNotFound");
    let log = stack.log("launch");
    let told = log.iter().filter(|line| line.contains("m-nobody") && line.contains("MeetingNotFound"));
    assert_eq!(told.count(), 3, "one delivery and two repeats");
    // What the saved query of errors asks for.
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed = lines.filter(|line| line["ErrorType"] == "MeetingNotFound" && line["Outcome"] == "failed");
    assert!(failed.count() >= 3, "{log:#?}");
}

#[test]
fn what_the_schedules_role_may_not_do_ends_in_the_dead_letter_queue() {
    let (stack, meeting) = (stack(), "m-dead-letter");
    let role = Role::of(&stack, "SchedulerRoleArn");
    let schedule = stack.schedule_meeting(meeting);
    let message = role.without("lambda:InvokeFunction", &stack, || {
        stack.when_due(|| {
            eventually("the queue has the delivery", LIMIT, || {
                // Schedules of other tests are due as well.
                let messages = stack.take_messages("ScheduleDeadLettersUrl");
                messages.into_iter().find(|message| message["meeting_id"] == meeting)
            })
        })
    });
    let arn = text(&message, "schedule_arn");
    assert!(arn.ends_with(&schedule), "{message}");
    assert!(stack.schedule(&schedule).is_none());
    assert!(stack.aws.instances(meeting).is_empty());
}

#[test]
fn without_one_permission_of_its_role_the_delivery_is_refused() {
    let (stack, meeting) = (stack(), "m-refused");
    stack.aws.put_meeting(&[("id", meeting), ("status", "SCHEDULED")]);
    let role = Role::of(&stack, "LaunchRoleArn");
    role.without("dynamodb:UpdateItem", &stack, || {
        let (error_type, message) = stack.invoke("launch", &json!({"meeting_id": meeting})).error();
        assert_eq!(error_type, "Unauthorized", "{message}");
        assert!(message.contains("dynamodb:UpdateItem"), "{message}");
    });
    assert!(stack.aws.instances(meeting).is_empty(), "without a claim nothing is launched");
    stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    assert_eq!(stack.machines(meeting).len(), 2, "with the permission back the same delivery launches");
}

/// The machines of a meeting are kept, shown and ended by the deployed functions, each with its own role.
#[test]
fn a_machine_that_dies_is_replaced_and_the_meeting_is_shown_and_ended() {
    let (stack, meeting) = (stack(), "m-kept");
    let schedule = stack.schedule_meeting(meeting);
    stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    assert_eq!(stack.machines(meeting).len(), 2);
    let teacher = stack.aws.attribute(meeting, "teacher_ec2_id").expect("an id");
    let killed = stack.aws.ec2.terminate_instances().instance_ids(&teacher).send();
    stack.aws.wait(killed).expect("it is killed");
    let told = json!({
        "detail-type": "EC2 Instance State-change Notification",
        "detail": {"instance-id": teacher, "state": "terminated"},
    });
    stack.aws.date_lease(meeting, "2020-01-01T00:00:00.000Z");
    let answer = stack.invoke("reconcile", &told).answer();
    let words: Vec<&str> = answer["repairs"]
        .as_array()
        .expect("repairs")
        .iter()
        .filter_map(|done| done["repair"].as_str())
        .collect();
    assert_eq!(words, ["machine_lost", "launched", "machine_noted"], "{answer}");
    let shown = stack.invoke("status", &json!({"meeting_id": meeting, "wait": "running"})).answer();
    assert_eq!(shown["machines"]["teacher"]["lost"]["instance_id"], teacher, "{shown:#}");
    assert_ne!(shown["machines"]["teacher"]["instance_id"], teacher);
    stack.invoke("status", &json!({"meeting_id": meeting, "role": "student", "console": true})).answer();

    let ended = stack.invoke("end", &json!({"meeting_id": meeting, "wait": true})).answer();
    assert_eq!((&ended["outcome"], &ended["schedule_deleted"]), (&json!("ended"), &json!(true)), "{ended}");
    assert!(live(&stack.aws.instances(meeting)).is_empty());
    assert!(stack.schedule(&schedule).is_none());
}

/// One rule invokes the sweep; the other fills the queue whose messages go to it.
#[test]
fn the_rules_have_the_sweep_and_its_queue_for_their_targets() {
    let stack = stack();
    let rules = stack.ask("events", "list_rules", json!({}));
    let mut found = BTreeMap::new();
    for rule in rules["Rules"].as_array().expect("rules") {
        let targets = stack.ask("events", "list_targets_by_rule", json!({"Rule": text(rule, "Name")}));
        assert_eq!(rule["State"], "ENABLED");
        let on = match rule["ScheduleExpression"].as_str() {
            Some(expression) => expression.to_owned(),
            None => serde_json::from_str::<Value>(text(rule, "EventPattern")).expect("JSON")["source"][0]
                .to_string(),
        };
        found.insert(on, targets["Targets"][0]["Arn"].clone());
    }
    let source = source(&stack);
    assert_eq!(source["FunctionArn"], stack.output("ReconcileFunctionArn"), "{source}");
    let expected = [
        ("\"aws.ec2\"".to_owned(), source["EventSourceArn"].clone()),
        ("rate(5 minutes)".to_owned(), json!(stack.output("ReconcileFunctionArn"))),
    ];
    assert_eq!(found, BTreeMap::from(expected));
}

/// What hands the messages of a queue to a function.
fn source(stack: &Deployed) -> Value {
    let listed = stack.ask("lambda", "list_event_source_mappings", json!({}));
    let [source] = &listed["EventSourceMappings"].as_array().expect("mappings")[..] else {
        panic!("expected one: {listed}")
    };
    source.clone()
}

/// Machines of other people change their state by the hundred at once, in an account with the least concurrency that there
/// is, ten. The sweep takes two of them, and a launch in the middle is not throttled and waits for none of the others.
#[test]
fn state_changes_of_other_peoples_machines_do_not_hold_up_a_launch() {
    const MACHINES: usize = 500;
    let (stack, meeting) = (stack(), "m-burst");
    stack.schedule_meeting(meeting);
    let source = source(&stack);
    let queue_name = text(&source, "EventSourceArn").rsplit(':').next().expect("a name").to_owned();
    let queue = stack.ask("sqs", "get_queue_url", json!({"QueueName": queue_name}))["QueueUrl"].clone();
    let waiting = || {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({"QueueUrl": queue, "AttributeNames": names});
        let attributes = stack.ask("sqs", "get_queue_attributes", asked)["Attributes"].clone();
        let number = |name: &str| text(&attributes, name).parse::<usize>().expect("a number");
        names.map(number).iter().sum::<usize>()
    };
    let take_messages = |enabled: bool| {
        let asked = json!({"UUID": source["UUID"], "Enabled": enabled});
        stack.ask("lambda", "update_event_source_mapping", asked);
    };
    take_messages(false);
    let told = |number: usize| {
        let detail = json!({"instance-id": format!("i-{number:017x}"), "state": "running"}).to_string();
        json!({"Source": "aws.ec2", "DetailType": "EC2 Instance State-change Notification", "Detail": detail})
    };
    let all: Vec<Value> = (0..MACHINES).map(told).collect();
    stack.aws.control("POST", "tell", Some(&json!({"events": all})));
    assert_eq!(waiting(), MACHINES, "all are in the queue");

    // The sweep of every five minutes is an environment more.
    let rules = stack.ask("events", "list_rules", json!({}));
    let sweep =
        rules["Rules"].as_array().expect("rules").iter().find(|rule| rule["ScheduleExpression"].is_string());
    let sweep = json!({"Name": sweep.expect("the rule of the sweep")["Name"]});
    stack.ask("events", "disable_rule", sweep.clone());
    take_messages(true);
    eventually("the first are taken", LIMIT, || (waiting() < MACHINES).then_some(()));
    let answer = stack.invoke("launch", &json!({"meeting_id": meeting})).answer();
    assert_eq!(answer["status"], "LAUNCHED", "{answer}");
    let left = waiting();
    assert!(left > 0, "the launch waited until all were taken");
    eventually("all are taken", 4 * LIMIT, || (waiting() == 0).then_some(()));
    stack.ask("events", "enable_rule", sweep);
    let at_once = stack.lambda_metric("reconcile", "ConcurrentExecutions", "Maximum");
    assert!((1.0..=2.0).contains(&at_once), "{at_once} environments of reconcile worked at once");
    assert!(stack.lambda_metric("reconcile", "Throttles", "Sum") < 1.0);
    assert_eq!(stack.machines(meeting).len(), 2);
    eprintln!(
        "{left} of {MACHINES} notifications were left when the launch had ended, and at most {at_once} at once"
    );
}

/// A role of the stack, and those of its policies that allow an action.
struct Role {
    name: String,
    policies: Vec<(String, Value)>,
}

impl Role {
    fn of(stack: &Deployed, output: &str) -> Role {
        let name = stack.output(output).rsplit('/').next().expect("a name").to_owned();
        let listed = stack.ask("iam", "list_role_policies", json!({"RoleName": name}));
        let names = listed["PolicyNames"].as_array().expect("policies");
        let document = |policy: &Value| {
            let asked = json!({"RoleName": name, "PolicyName": policy});
            let found = stack.ask("iam", "get_role_policy", asked)["PolicyDocument"].clone();
            (policy.as_str().expect("a name").to_owned(), found)
        };
        let policies = names.iter().map(document).collect();
        Role { name, policies }
    }

    fn put(&self, policy: &str, document: &Value, stack: &Deployed) {
        let document = document.to_string();
        let asked = json!({"RoleName": self.name, "PolicyName": policy, "PolicyDocument": document});
        stack.ask("iam", "put_role_policy", asked);
    }

    /// Do this while the role lacks that action.
    fn without<T>(&self, action: &str, stack: &Deployed, work: impl FnOnce() -> T) -> T {
        let quoted = format!("{action:?}");
        let has = |(_, document): &&(String, Value)| document.to_string().contains(&quoted);
        let allowing: Vec<&(String, Value)> = self.policies.iter().filter(has).collect();
        assert!(!allowing.is_empty(), "{action} is in {:?}", self.policies);
        for (policy, document) in &allowing {
            let less = document.to_string().replace(&quoted, "\"none:None\"");
            self.put(policy, &serde_json::from_str(&less).expect("JSON"), stack);
        }
        let done = work();
        for (policy, document) in allowing {
            self.put(policy, document, stack);
        }
        done
    }
}

/// One command and no answer: a meeting is scheduled, launched, reached and ended; and the stack is removed.
#[test]
fn without_an_answer_a_meeting_is_held_and_its_machines_can_be_reached() {
    let (stack, meeting) = (deploy_with(&[]), "m-defaults");
    let preflight = stack.invoke("launch", &json!({"preflight": true})).answer();
    assert_eq!((&preflight["ready"], &preflight["findings"]), (&json!(true), &json!([])), "{preflight:#}");
    let asked = stack.output("Preflight");
    assert!(asked.contains("--region us-west-2 --function-name elephant-launch "), "{asked}");

    stack.schedule_meeting(meeting);
    let machines = stack.when_due(|| stack.machines(meeting));
    let groups: Vec<_> = machines[0].security_groups().iter().filter_map(|group| group.group_id()).collect();
    for machine in &machines {
        assert_eq!(
            (machine.image_id(), machine.instance_type().map(|it| it.as_str())),
            (Some(IMAGE), Some("t3.small"))
        );
        assert!(machine.iam_instance_profile().is_some(), "{machine:?}");
    }
    let groups = stack
        .aws
        .ec2
        .describe_security_groups()
        .set_group_ids(Some(groups.iter().map(ToString::to_string).collect()));
    let groups = stack.aws.wait(groups.send()).expect("the group");
    let [group] = groups.security_groups() else { panic!("{groups:?}") };
    assert_eq!(group.description(), Some("Machines of meetings. Nothing in, everything out."));
    assert!(group.ip_permissions().is_empty(), "{group:?}");

    stack.invoke("status", &json!({"meeting_id": meeting, "wait": "running"})).answer();
    let run =
        json!({"do": "run", "meeting_id": meeting, "role": "teacher", "name": "load", "command": "uptime"});
    let ran = stack.invoke("operate", &run).answer();
    assert!(ran.to_string().contains("ran: uptime"), "{ran:#}");

    // The stack's security group stays while a machine uses it.
    stack.invoke("end", &json!({"meeting_id": meeting, "wait": true})).answer();
    stack.ask("cloudformation", "delete_stack", json!({"StackName": STACK}));
    eventually("the stack is gone", LIMIT, || {
        let found = stack.call("cloudformation", "describe_stacks", json!({"StackName": STACK}));
        found.is_err().then_some(())
    });
    let tables = stack.ask("dynamodb", "list_tables", json!({}));
    assert_eq!(tables["TableNames"], json!(["elephant-meetings"]), "the data stays");
}

#[test]
fn nothing_is_left_of_a_stack_when_it_ends() {
    let stack = deploy();
    // So that the function has a process.
    stack.invoke("launch", &json!({"meeting_id": "m-nobody"})).error();
    let remains = stack.remains.clone();
    let running = remains.processes();
    assert!(running.iter().any(|process| process.contains("bootstrap")), "{running:#?}");
    let found = remains.found();
    let [ec2, aws] = remains.addresses.clone();
    assert!(found.ends_with(&[remains.folder.display().to_string(), ec2, aws]), "{found:#?}");
    drop(stack);
    eventually("nothing is left", LIMIT, || remains.found().is_empty().then_some(()));
}

/// It does what AWS does where MiniStack does not, and EC2 knows its callers: checked by its own program.
#[test]
fn the_aws_for_stacks_is_faithful_where_it_has_to_be() {
    let folder = local::top().join("tests").join("aws");
    let python = local::python::environment("local-aws", &folder.join("requirements.txt"), &mut io::stderr());
    let mut check = std::process::Command::new(python.expect("the virtual environment"));
    let output = check.arg(folder.join("check_deployed_aws.py")).output().expect("Python runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

//! What CloudWatch is told: the real binary, behind a Runtime API, against a local AWS that does what each alarm watches
//! for; and every line held against the table that alarms and dashboard are held against (`tests/infra/metrics.py`).

#[path = "../../crates/core/tests/engine/generated/file.rs"]
mod file;

use crate::local;
use crate::meeting;
use std::collections::BTreeSet;
use std::process::Command;

use crate::local::python::find_python;
use crate::meeting::Stack;
use elephant_core::settings::Function;
use elephant_launch::metrics::{METRICS, Metric};
use serde_json::{Value, json};

const FUNCTION: &str = "elephant-launch";

/// Each delivery of a story, then the metric lines that it left.
fn lines(log: &[String]) -> Vec<Value> {
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("_aws").is_some()).collect()
}

/// The table of docs/watch.md is written from [`METRICS`] and from the alarms of the template.
#[test]
fn the_generated_table_of_metrics() {
    let template = std::fs::read_to_string(local::top().join("infra/template.yaml")).expect("the template");
    let alarms: Vec<(&str, &str)> = template
        .split("\n\n")
        .filter(|resource| resource.contains("Namespace: ElephantLaunch\n"))
        .filter_map(|alarm| {
            let of = |key| alarm.split_once(key)?.1.lines().next();
            Some((of("AlarmName: !Sub ${AWS::StackName}-")?, of("MetricName: ")?))
        })
        .collect();
    assert!(alarms.len() > 10, "{alarms:?}");
    let row = |metric: &Metric| {
        let functions = metric.written_by.iter().map(|function| function.name().to_owned());
        let functions = if metric.written_by.len() == Function::ALL.len() {
            "all".to_owned()
        } else {
            functions.collect::<Vec<_>>().join(", ")
        };
        let set = |set: &&[&str]| match set {
            [] => "alone".to_owned(),
            set => set.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and "),
        };
        let sets = metric.sets.iter().map(set).collect::<Vec<_>>().join(" / ");
        let of_it = alarms.iter().filter(|(_, watched)| *watched == metric.name);
        let of_it: Vec<String> = of_it.map(|(alarm, _)| format!("`{alarm}`")).collect();
        let Metric { name, unit, means, .. } = metric;
        format!("| `{name}` | {unit} | {functions} | {sets} | {means} | {} |\n", of_it.join(", "))
    };
    let rows: String = METRICS.iter().map(row).collect();
    let head = "| metric | unit | of | by | what it is | alarms |\n|---|---|---|---|---|---|";
    file::holds(&local::top().join("docs/watch.md"), "src/metrics.rs", |page| {
        file::between(&page, "<!-- generated -->\n", "<!-- end -->", &format!("\n{head}\n{rows}"))
    });
}

/// The metrics that alarms and dashboard may rest on.
fn table() -> Value {
    let python = find_python(std::env::var_os("PATH")).expect("a Python");
    let script = local::top().join("tests/infra/metrics.py");
    let output = Command::new(python).arg(&script).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a line says: (metric, dimensions) with the unit, as CloudWatch will keep it.
fn kept(line: &Value) -> Vec<(String, Vec<String>, String)> {
    let mut kept = Vec::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().expect("directives") {
        assert_eq!(directive["Namespace"], "ElephantLaunch");
        for metric in directive["Metrics"].as_array().expect("metrics") {
            let name = metric["Name"].as_str().expect("a name").to_owned();
            assert!(line[&name].is_number(), "{name} has a value: {line}");
            for set in directive["Dimensions"].as_array().expect("sets") {
                let set: Vec<String> = set
                    .as_array()
                    .expect("a set")
                    .iter()
                    .filter_map(|d| d.as_str().map(str::to_owned))
                    .collect();
                for dimension in &set {
                    assert!(line[dimension].is_string(), "{dimension} has a value: {line}");
                }
                kept.push((name.clone(), set, metric["Unit"].as_str().unwrap_or("None").to_owned()));
            }
        }
    }
    kept
}

/// One delivery; its own line, and those of the places that refused.
struct Told {
    delivery: Value,
    refusals: Vec<Value>,
}

fn tell(stack: &Stack, event: &Value) -> Told {
    let before = stack.lambda.log().len();
    let _ = stack.lambda.invoke(event);
    // The metrics are written before the answer is posted, but read by a thread of their own.
    let found = local::aws::eventually("the line of the metrics", meeting::LIMIT, || {
        let found = lines(&stack.lambda.log()[before..]);
        found.iter().any(|line| line.get("Deliveries").is_some()).then_some(found)
    });
    let (deliveries, _): (Vec<Value>, Vec<Value>) =
        found.into_iter().partition(|line| line.get("Deliveries").is_some());
    let [delivery] = <[Value; 1]>::try_from(deliveries).expect("one line a delivery");
    let wanted = delivery["CapacityRefusals"].as_u64().unwrap_or(0);
    let refusals = local::aws::eventually("the lines of the refusals", meeting::LIMIT, || {
        let all = lines(&stack.lambda.log()[before..]);
        let refusals: Vec<Value> = all.into_iter().filter(|line| line.get("Refusals").is_some()).collect();
        let sum: u64 = refusals.iter().filter_map(|line| line["Refusals"].as_u64()).sum();
        (sum >= wanted).then_some(refusals)
    });
    Told { delivery, refusals }
}

fn number(line: &Value, name: &str) -> f64 {
    line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// Every metric that an alarm watches, under the condition that it watches for.
#[test]
fn each_alarm_sees_what_it_watches_for() {
    let mut stack = Stack::with(&[("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)]);
    let mut all = Vec::new();
    let in_minutes =
        |minutes: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)).to_string();
    let mut story = |meeting: &str, meet_time: &str, faults: Value, stack: &mut Stack| -> Told {
        stack.aws.clear_faults();
        stack.aws.add_faults(faults);
        stack.turn_to(meeting);
        stack.aws.put_meeting(&[("id", meeting), ("status", "SCHEDULED"), ("meet_time", meet_time)]);
        let told = tell(stack, &json!({"meeting_id": meeting}));
        all.push(told.delivery.clone());
        all.extend(told.refusals.clone());
        told
    };

    let plain = story("plain", &in_minutes(10), json!([]), &mut stack).delivery;
    assert_eq!((&plain["FunctionName"], &plain["Outcome"]), (&json!(FUNCTION), &json!("launched")));
    assert_eq!((number(&plain, "Attempts"), number(&plain, "CapacityRefusals")), (2.0, 0.0));
    let lead = number(&plain, "LeadTime");
    assert!((500.0..=600.0).contains(&lead), "ten minutes ahead, less what it took: {lead}");
    // The first delivery counts what was asked before it: VPCs, subnets, types, the image, and a record that nobody has;
    // then six requests of its own.
    assert_eq!((number(&plain, "AwsCalls"), number(&plain, "Throttles")), (11.0, 0.0));

    // The alarm on slow launches: EC2 takes two seconds.
    let slow = json!([{"action": "RunInstances", "delay": 2}]);
    let slow = story("slow", &in_minutes(10), slow, &mut stack).delivery;
    let took = number(&slow, "LaunchDuration");
    assert!(took >= 2000.0, "in milliseconds: {took}");
    assert!(number(&plain, "LaunchDuration") < took);

    // The alarm on short leads: the meeting has begun.
    let late = story("late", &in_minutes(-3), json!([]), &mut stack).delivery;
    let lead = number(&late, "LeadTime");
    assert!((-300.0..=-180.0).contains(&lead), "{lead}");

    // The alarm on capacity: every zone refuses the first type.
    let refusal =
        json!([{"action": "RunInstances", "type": "t3.large", "code": "InsufficientInstanceCapacity"}]);
    let Told { delivery, refusals } = story("refused", &in_minutes(10), refusal, &mut stack);
    assert_eq!(delivery["Outcome"], "launched");
    assert_eq!(number(&delivery, "CapacityRefusals"), 6.0, "three zones, two roles");
    let zones: BTreeSet<&str> =
        refusals.iter().filter_map(|line| line["AvailabilityZone"].as_str()).collect();
    assert_eq!(zones, BTreeSet::from(["us-west-2a", "us-west-2b", "us-west-2c"]));
    assert!(
        refusals.iter().all(|line| line["InstanceType"] == "t3.large" && line["Refusals"] == 2),
        "{refusals:?}"
    );

    // The alarm on throttles.
    let throttled = json!([{"action": "RunInstances", "times": 2, "code": "RequestLimitExceeded"}]);
    let throttled = story("throttled", &in_minutes(10), throttled, &mut stack).delivery;
    assert_eq!((number(&throttled, "Throttles"), number(&throttled, "Attempts")), (2.0, 4.0));

    // Errors by type.
    let wrong = json!([{"action": "RunInstances", "code": "InvalidKeyPair.NotFound"}]);
    let failed = story("failed", &in_minutes(10), wrong, &mut stack).delivery;
    assert_eq!(
        (&failed["Outcome"], &failed["ErrorType"]),
        (&json!("failed"), &json!("InvalidConfiguration"))
    );
    assert_eq!(failed["Failures"], 1);
    assert!(failed.get("LaunchDuration").is_none() && failed.get("LeadTime").is_none(), "{failed}");

    // Deliveries that launch nothing.
    stack.aws.clear_faults();
    for (event, outcome) in [
        (json!({"meeting_id": "plain"}), "already_recorded"),
        (json!({"meeting_id": "nobody"}), "failed"),
        (json!([]), "failed"),
    ] {
        let told = tell(&stack, &event).delivery;
        assert_eq!(told["Outcome"], outcome, "{event}");
        assert!(told.get("LaunchDuration").is_none(), "{told}");
        all.push(told);
    }
    stack.aws.put_meeting(&[("id", "over"), ("status", "TERMINATED")]);
    let skipped = tell(&stack, &json!({"meeting_id": "over"})).delivery;
    assert_eq!(skipped["Outcome"], "skipped");
    all.push(skipped);

    // What the alarms on sweeps watch: a machine of a meeting that is on has died, another meeting's runs.
    let sweeper = meeting::reconciler(&stack.aws, &[("AWS_LAMBDA_FUNCTION_NAME", "elephant-reconcile")]);
    stack.turn_to("slow");
    stack.time_passes();
    let dead = stack.attribute("teacher_ec2_id").expect("an id");
    let end = stack.aws.ec2.terminate_instances().instance_ids(&dead).send();
    stack.aws.wait(end).expect("it is killed");
    let _ = sweeper.invoke(&json!({"sweep": true}));
    let swept = lines(&sweeper.whole_log());
    let sweep = swept.iter().find(|line| line.get("Deliveries").is_some()).expect("its line");
    assert_eq!((number(sweep, "MachinesLost"), number(sweep, "OrphansEnded")), (1.0, 0.0), "{sweep}");
    assert!(number(sweep, "TimeToReady") >= 0.0 && sweep.get("LaunchDuration").is_none(), "{sweep}");

    // No line but what the table allows; and everything in the table is written.
    let table = table();
    let mut written = BTreeSet::new();
    for (name, set, unit) in all.iter().chain(&swept).flat_map(kept) {
        let known = &table["metrics"][&name];
        assert_eq!(known["unit"], unit.as_str(), "{name}");
        let known_sets = known["dimensions"].as_array().expect("sets");
        assert!(known_sets.contains(&json!(set)), "{name} by {set:?}, known are {known_sets:?}");
        written.insert((name, set));
    }
    for (name, known) in table["metrics"].as_object().expect("metrics") {
        for set in known["dimensions"].as_array().expect("sets") {
            let set: Vec<String> = serde_json::from_value(set.clone()).expect("names");
            assert!(written.contains(&(name.clone(), set.clone())), "{name} by {set:?} is never written");
        }
    }
    for line in &all {
        let outcome = line.get("Outcome").and_then(Value::as_str);
        let known = table["outcomes"]["launch"].as_array().expect("outcomes");
        assert!(outcome.is_none_or(|outcome| known.contains(&json!(outcome))), "{outcome:?}");
    }
}

/// A function whose configuration is wrong is seen in the metrics too.
#[test]
fn a_wrong_configuration_is_a_failure_of_each_delivery() {
    let stack = Stack::with(&[("AMI_ID", "none"), ("AWS_LAMBDA_FUNCTION_NAME", "")]);
    let told = tell(&stack, &json!({"meeting_id": "m"})).delivery;
    assert_eq!(
        (&told["ErrorType"], &told["FunctionName"]),
        (&json!("InvalidConfiguration"), &json!("local"))
    );
    assert_eq!(told["AwsCalls"], 0);
}

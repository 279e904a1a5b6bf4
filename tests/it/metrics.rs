//! What CloudWatch is told: the real binary, behind a Runtime API, against a local AWS that does what each alarm watches
//! for; and every line held against the tables that alarms, dashboard and saved queries are held against
//! (`tests/infra/metrics.py`).

#[path = "../../crates/core/tests/engine/generated/file.rs"]
pub mod file;

use crate::local;
use crate::meeting;
use std::collections::BTreeSet;
use std::process::Command;

use crate::local::python::find_python;
use crate::meeting::Stack;
use elephant_core::fleet::Counted;
use elephant_core::ports::Counts;
use elephant_core::settings::Function;
use elephant_launch::metrics::{Ending, FIELDS, Field, Meter};
use serde_json::{Value, json};

const FUNCTION: &str = "elephant-launch";

/// The last lines of deliveries, among all that was logged.
fn lines(log: &[String]) -> Vec<Value> {
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("FunctionName").is_some()).collect()
}

/// The tables of docs/watch.md are written from [`FIELDS`], from the alarms and from the saved queries of the template.
#[test]
fn the_generated_tables_of_metrics_and_properties() {
    let template = std::fs::read_to_string(local::top().join("infra/template.yaml")).expect("the template");
    let of = |text: &str, key: &str| Some(text.split_once(key)?.1.lines().next()?.to_owned());
    let alarms: Vec<(String, String)> = template
        .split("\n\n")
        .filter(|resource| resource.contains("Namespace: ElephantLaunch\n"))
        .filter_map(|it| Some((of(it, "AlarmName: !Sub ${AWS::StackName}-")?, of(it, "MetricName: ")?)))
        .collect();
    let queries: Vec<(String, &str)> = template
        .split("\n\n")
        .filter(|resource| resource.contains("Type: AWS::Logs::QueryDefinition\n"))
        .filter_map(|it| Some((of(it, "Name: !Sub ${AWS::StackName}/")?, it.split_once("QueryString: ")?.1)))
        .collect();
    assert!(alarms.len() > 10 && queries.len() > 3, "{alarms:?} {queries:?}");
    let quoted = |names: Vec<&String>| -> String {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let row = |field: &Field| {
        let Field { name, means, .. } = field;
        let functions = field.written_by.iter().map(|function| function.name().to_owned());
        let functions = match field.written_by.len() == Function::ALL.len() {
            true => "all".to_owned(),
            false => functions.collect::<Vec<_>>().join(", "),
        };
        if let Some(unit) = field.metric {
            let alarms = quoted(alarms.iter().filter(|(_, it)| it == name).map(|(alarm, _)| alarm).collect());
            return format!("| `{name}` | {unit} | {functions} | {means} | {alarms} |\n");
        }
        let asks = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == *name);
        let queries = quoted(queries.iter().filter(|(_, text)| asks(text)).map(|(query, _)| query).collect());
        format!("| `{name}` | {functions} | {means} | {queries} |\n")
    };
    let rows = |metrics: bool| -> String {
        FIELDS.iter().filter(|field| field.metric.is_some() == metrics).map(row).collect()
    };
    file::holds(&local::top().join("docs/watch.md"), "src/metrics.rs", |page| {
        let head = "| metric | unit | of | what it is | alarms |\n|---|---|---|---|---|";
        let new = format!("\n{head}\n{}", rows(true));
        let page = file::between(&page, "<!-- generated -->\n", "<!-- end -->", &new);
        let head = "| property | of | what it is | saved query |\n|---|---|---|---|";
        let new = format!("\n{head}\n{}", rows(false));
        file::between(&page, "<!-- generated: properties -->\n", "<!-- end -->", &new)
    });
}

/// The metrics that alarms and dashboard may rest on, and the properties that saved queries may ask for.
fn table() -> Value {
    let python = find_python(std::env::var_os("PATH")).expect("a Python");
    let script = local::top().join("tests/infra/metrics.py");
    let output = Command::new(python).arg(&script).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a line says: each metric with its unit, as CloudWatch will keep it by the name of the function; each property
/// without one.
fn kept(line: &Value) -> Vec<(String, Option<String>)> {
    let mut kept = Vec::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        assert_eq!(directive["Namespace"], "ElephantLaunch");
        assert_eq!(directive["Dimensions"], json!([["FunctionName"]]), "one metric a name: {line}");
        for metric in directive["Metrics"].as_array().expect("metrics") {
            let name = metric["Name"].as_str().expect("a name").to_owned();
            assert!(
                line[&name].is_number() && line["FunctionName"].is_string(),
                "{name} has a value: {line}"
            );
            assert!(
                metric["Unit"] != "Count" || line[&name] != 0,
                "a count of zero costs, and says nothing: {line}"
            );
            kept.push((name, metric["Unit"].as_str().map(str::to_owned)));
        }
    }
    let metrics: BTreeSet<String> = kept.iter().map(|(name, _)| name.clone()).collect();
    let names = line.as_object().expect("fields").keys();
    let properties =
        names.filter(|name| !metrics.contains(*name) && !["_aws", "FunctionName"].contains(&name.as_str()));
    kept.extend(properties.map(|name| (name.clone(), None)));
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
        found.iter().any(|line| line.get("Outcome").is_some()).then_some(found)
    });
    let (deliveries, _): (Vec<Value>, Vec<Value>) =
        found.into_iter().partition(|line| line.get("Outcome").is_some());
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
    assert_eq!((number(&plain, "Attempts"), plain.get("CapacityRefusals")), (2.0, None));
    let lead = number(&plain, "LeadTime");
    assert!((500.0..=600.0).contains(&lead), "ten minutes ahead, less what it took: {lead}");
    // The first delivery counts what was asked before it: VPCs, subnets, types, the image, and a record that nobody has;
    // then six requests of its own.
    assert_eq!((number(&plain, "AwsCalls"), plain.get("Throttles")), (11.0, None));

    // The saved query of slow launches: EC2 takes two seconds.
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
    let sweep = swept.iter().find(|line| line.get("Outcome").is_some()).expect("its line");
    assert_eq!((number(sweep, "MachinesLost"), number(sweep, "Findings")), (1.0, 1.0), "{sweep}");
    assert_eq!((number(sweep, "Sweeps"), sweep.get("OrphansEnded")), (1.0, None), "{sweep}");
    assert!(number(sweep, "TimeToReady") >= 0.0 && sweep.get("LaunchDuration").is_none(), "{sweep}");

    // No field but what the tables allow; and everything in them is written.
    let table = table();
    let mut written: BTreeSet<String> = BTreeSet::new();
    let every_count = counted_by_a_sweep();
    let everything = [&all[..], &swept[..], &every_count[..]].concat();
    for (name, unit) in everything.iter().flat_map(kept) {
        match &unit {
            Some(unit) => assert_eq!(table["metrics"][&name]["unit"], unit.as_str(), "{name}"),
            None => assert!(table["properties"].get(&name).is_some(), "{name} is in no table"),
        }
        written.insert(name);
    }
    for part in ["metrics", "properties"] {
        for name in table[part].as_object().expect("fields").keys() {
            assert!(written.contains(name), "{name} is never written");
        }
    }
    let outcomes = FIELDS.iter().find(|field| field.name == "Outcome").expect("it is a field").means;
    for line in everything.iter().filter(|line| line.get("Outcome").is_some()) {
        let outcome = line["Outcome"].as_str().expect("a word");
        assert!(outcomes.contains(&format!("`{outcome}`")), "{outcome:?} is not explained");
    }
}

/// The line of a sweep that found something of each kind, and what is left of that in the next.
fn counted_by_a_sweep() -> Vec<Value> {
    let meter = Meter::new("elephant-reconcile".to_owned());
    let now = jiff::Timestamp::now();
    let report =
        || lines(&[meter.report(Ending { outcome: "repaired", failed: None, launched: false }, now, now)]);
    let kinds = [
        (Counted::OrphanEnded, "OrphansEnded"),
        (Counted::MachineLost, "MachinesLost"),
        (Counted::MeetingLaunched, "MeetingsLaunched"),
        (Counted::EndingHeldBack, "EndingsHeldBack"),
        (Counted::MachineUnready, "MachinesUnready"),
    ];
    for (kind, _) in kinds {
        meter.tally.count(kind);
    }
    meter.tally.count(kinds[0].0);
    let found = report();
    assert_eq!(found[0]["Findings"], 6, "the sum: {found:?}");
    for (_, name) in kinds {
        assert_eq!(found[0][name], if name == "OrphansEnded" { 2 } else { 1 }, "{found:?}");
    }
    assert_eq!(
        report(),
        [json!({"FunctionName": "elephant-reconcile", "Outcome": "repaired"})],
        "no metric at all"
    );
    found
}

/// A function whose configuration is wrong is seen in the log's last line too.
#[test]
fn a_wrong_configuration_is_a_failure_of_each_delivery() {
    let stack = Stack::with(&[("AMI_ID", "none"), ("AWS_LAMBDA_FUNCTION_NAME", "")]);
    let told = tell(&stack, &json!({"meeting_id": "m"})).delivery;
    assert_eq!(
        (&told["ErrorType"], &told["FunctionName"]),
        (&json!("InvalidConfiguration"), &json!("local"))
    );
    assert_eq!(told.get("AwsCalls"), None);
}

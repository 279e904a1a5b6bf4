//! The whole story on a laptop: `cargo demo`.
//!
//! Deploys the template to an AWS on 127.0.0.1, asks the function `schedule` for a meeting that is due in a moment, waits
//! until EventBridge Scheduler fires the function `launch`, shows what is there then, and delivers the same event again. Then a
//! machine is killed, and `reconcile` brings another; an orphan comes and goes; `status` shows the meeting, and `end` ends it.
//! `cargo demo -- --serve` leaves everything up for `cargo lambda invoke` and the `aws` CLI. Whatever way it ends, it ends
//! everything that it started.

#![allow(clippy::print_stdout, reason = "this program talks to a person")]

#[path = "../tests/local/stack.rs"]
mod local;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use jiff::Timestamp;
use local::aws::{IMAGE, REGION};
use local::deployed::{Deployed, NAMESPACE};
use local::lambda::Outcome;
use local::process::Process;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "usage: cargo demo [-- --serve]

  cargo demo              deploy the template to an AWS on this machine; a meeting is scheduled, launched, kept and ended
  cargo demo -- --serve   leave the deployed stack up, and print the lines to try it by hand";

/// For a function of one's own, beside the deployed one.
const WATCH_PORT: u16 = 9001;
const ROLES: [&str; 2] = ["teacher", "student"];

/// Scheduler is precise to a minute on AWS, and to a second here.
const LAUNCH_LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines about the wait, where no line can be written over.
const REMINDER: u64 = 15;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let serve = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--serve"] => true,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = end_everything_on_a_signal() {
        eprintln!("demo: signals cannot be caught: {error}");
        return ExitCode::FAILURE;
    }
    match demo(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            local::process::stop_here_if_stopping();
            eprintln!("demo: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn demo(serve: bool) -> Result<(), String> {
    let event_file = local::top().join("events").join("launch.json");
    let event = std::fs::read_to_string(&event_file).map_err(|e| format!("{}: {e}", event_file.display()))?;
    let event: Value = serde_json::from_str(&event).map_err(|e| format!("{}: {e}", event_file.display()))?;
    let meeting = event["meeting_id"].as_str().ok_or("events/launch.json names no meeting_id")?;

    let stack = deploy()?;
    if serve {
        return leave_it_up(&stack, meeting);
    }

    // Its launch should have been some minutes ago, so it is due a minute from now.
    heading("A meeting in ten minutes is scheduled");
    let appointment = json!({"meeting_id": meeting, "meet_time": in_minutes(10),
                             "teacher_name": "Ada", "student_name": "Charles"});
    let answer = invoke(&stack, "schedule", &appointment)?;
    let schedule = answer["schedule"]["name"].as_str().ok_or("the answer names no schedule")?;
    let due: Timestamp = answer["schedule"]["fires_at"]
        .as_str()
        .and_then(|time| time.parse().ok())
        .ok_or("the answer does not say when the schedule fires")?;

    heading("Its schedule");
    show_schedule(&stack, schedule)?;

    heading("The wait for EventBridge Scheduler");
    let took = wait_for_launch(&stack, meeting, schedule, due)?;
    println!("it fired, and both machines stood in the record {:.1} s after it was due", took.as_secs_f32());

    heading("The record");
    show_record(&stack, meeting);
    heading("The machines");
    let machines = show_instances(&stack, meeting);
    heading("The log of the function launch");
    show_log(&stack)?;
    heading("Its metrics");
    show_metrics(&stack);

    heading("The same event again");
    stack.aws.clear_calls();
    let second = invoke(&stack, "launch", &event)?;
    let requests = stack.aws.calls().len();
    println!("to EC2    {requests} requests");

    let after: Vec<String> = stack.aws.instances(meeting).iter().map(id).collect();
    check(&stack, meeting, &machines, &second)?;
    if requests > 0 || after.len() != 2 || !machines.values().all(|machine| after.contains(machine)) {
        return Err(format!("expected the same two machines as before, {machines:?}, and got {after:?}"));
    }
    println!("Both ids stand in the record, and the second delivery launched nothing.");
    keep_and_end(&stack, meeting, &machines)?;
    heading("One meeting, launched once, kept and ended; nothing of it is left.");
    println!("Next: cargo demo -- --serve, to try it by hand; docs/install.md, to deploy it.");
    Ok(())
}

/// A machine is killed and another comes; an orphan appears and goes; the meeting is shown, and ended.
fn keep_and_end(stack: &Deployed, meeting: &str, machines: &BTreeMap<String, String>) -> Result<(), String> {
    let aws = &stack.aws;
    let repairs = |answer: &Value| -> Vec<String> {
        let all = answer["repairs"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|done| done["repair"].as_str().map(str::to_owned)).collect()
    };
    let expect = |answer: &Value, wanted: &str| match repairs(answer).iter().any(|done| done == wanted) {
        true => Ok(()),
        false => Err(format!("expected the repair {wanted}, and got {answer}")),
    };
    heading("The teacher's machine is killed, and EC2 says so");
    let teacher = machines.get("teacher").ok_or("the teacher has no machine")?;
    let killed = aws.wait(aws.ec2.terminate_instances().instance_ids(teacher).send());
    killed.map_err(|error| format!("{teacher} cannot be ended: {error}"))?;
    // Half a minute passes until nobody can be at work on the launch any more.
    aws.date_lease(meeting, "2020-01-01T00:00:00.000Z");
    let told = json!({"detail-type": "EC2 Instance State-change Notification",
                      "detail": {"instance-id": teacher, "state": "terminated"}});
    let answer = invoke(stack, "reconcile", &told)?;
    expect(&answer, "machine_lost")?;
    show_instances(stack, meeting);

    heading("A machine that no record names: one sweep marks it, the next one ends it");
    let tags = [("Project", "Elephant"), ("MeetingID", meeting), ("Role", "teacher")];
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).to_vec();
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags)).build();
    let run = aws.ec2.run_instances().image_id(IMAGE).min_count(1).max_count(1).tag_specifications(tags);
    aws.wait(run.send()).map_err(|error| format!("no orphan can be made: {error}"))?;
    for (minutes, wanted) in [(11, "orphan_marked"), (5, "orphan_ended")] {
        println!("{minutes} minutes pass");
        aws.age(Duration::from_secs(60 * minutes));
        expect(&invoke(stack, "reconcile", &json!({"sweep": true}))?, wanted)?;
    }

    heading("How the meeting is");
    invoke(stack, "status", &json!({"meeting_id": meeting, "wait": "running"}))?;
    heading("It is ended");
    invoke(stack, "end", &json!({"meeting_id": meeting, "reason": "the teacher left", "wait": true}))?;
    show_instances(stack, meeting);
    let lives = |instance: &&aws_sdk_ec2::types::Instance| {
        let state = instance.state().and_then(|state| state.name()).map_or("?", |name| name.as_str());
        !matches!(state, "terminated" | "shutting-down")
    };
    match aws.instances(meeting).iter().find(lives) {
        None => Ok(()),
        Some(alive) => Err(format!("the meeting is over, and {} is up", id(alive))),
    }
}

/// The machines are those of the record and of the second delivery's answer.
fn check(
    stack: &Deployed,
    meeting: &str,
    machines: &BTreeMap<String, String>,
    second: &Value,
) -> Result<(), String> {
    for role in ROLES {
        let launched = machines.get(role).map(String::as_str);
        let recorded = stack.aws.attribute(meeting, &format!("{role}_ec2_id"));
        if launched.is_none() || recorded.as_deref() != launched {
            return Err(format!(
                "the {role}'s machine is {launched:?} in EC2 and {recorded:?} in the record"
            ));
        }
        if second["machines"][role]["instance_id"].as_str() != launched {
            return Err(format!("the second delivery answered another machine for the {role}"));
        }
    }
    Ok(())
}

fn deploy() -> Result<Deployed, String> {
    let binary = build_functions()?;
    let started = Instant::now();
    let stack = Deployed::start(&binary, &[], &mut io::stderr())?;
    heading(&format!(
        "infra/template.yaml, deployed on this machine ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    println!("A local AWS at {} and, for EC2, {}", stack.aws.aws, stack.aws.endpoint);
    let mut by_type = BTreeMap::<&str, Vec<&str>>::new();
    for (name, kind) in &stack.resources {
        by_type.entry(kind.trim_start_matches("AWS::")).or_default().push(name);
    }
    table(by_type.into_iter().map(|(kind, names)| (kind.to_owned(), names.join(", "))));
    Ok(stack)
}

/// The real binary, which is all functions. It is built together with this example, because then Cargo builds both with
/// the same features of the same dependencies: on its own, the SDK would be compiled a second time.
fn build_functions() -> Result<PathBuf, String> {
    let mut build = Command::new(env!("CARGO"));
    build
        .args([
            "build",
            "--bin",
            "launch",
            "--example",
            "demo",
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(local::top())
        .stdout(Stdio::piped());
    // `cargo run` describes this package to us in variables that build scripts look at: with them in place some
    // dependencies would seem changed, and be compiled again.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_this_package(&name.to_string_lossy())) {
        build.env_remove(name);
    }
    let failed = |error: io::Error| format!("cargo build cannot be run: {error}");
    let build = Process::start_group(&mut build).map_err(failed)?;
    let output = build.take_stdout().ok_or("cargo build has no output")?;
    // Read to the end: the build could not write on otherwise.
    let executables: Vec<PathBuf> = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(|message| message["target"]["kind"][0] == "bin")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    match (build.wait().map_err(failed)?.success(), &executables[..]) {
        (true, [executable]) => Ok(executable.clone()),
        _ => Err("the functions could not be built; see above".to_owned()),
    }
}

fn is_about_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

fn in_minutes(minutes: u64) -> String {
    format!("{:.3}", Timestamp::now() + Duration::from_secs(60 * minutes))
}

/// Invoke a deployed function, and show event and answer.
fn invoke(stack: &Deployed, verb: &str, event: &Value) -> Result<Value, String> {
    println!("function  {}", stack.function(verb));
    println!("event     {event}");
    let start = Instant::now();
    let outcome = stack.invoke(verb, event);
    let took = start.elapsed();
    match outcome {
        Outcome::Answer(answer) => {
            let pretty = serde_json::to_string_pretty(&answer).unwrap_or_default();
            println!("answer    {}", pretty.replace('\n', "\n          "));
            println!("took      {:.0} ms", took.as_secs_f64() * 1000.0);
            Ok(answer)
        }
        other => Err(format!("the delivery failed: {other:?}\nits log:\n{}", stack.log(verb).join("\n"))),
    }
}

fn show_schedule(stack: &Deployed, name: &str) -> Result<(), String> {
    let schedule = stack.schedule(name).ok_or_else(|| format!("there is no schedule {name}"))?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let target = &schedule["Target"];
    let last = |arn: &Value| text(arn).rsplit([':', '/']).next().unwrap_or("?").to_owned();
    let window = match schedule["FlexibleTimeWindow"]["MaximumWindowInMinutes"].as_u64() {
        Some(minutes) => format!(", on AWS at a moment of its choice in the {minutes} minutes from then on"),
        None => String::new(),
    };
    let fires = format!(
        "{} {}{window}",
        text(&schedule["ScheduleExpression"]),
        text(&schedule["ScheduleExpressionTimezone"])
    );
    let then = match schedule["ActionAfterCompletion"].as_str() {
        Some("DELETE") => "it is deleted",
        _ => "it stays",
    };
    table([
        ("name".to_owned(), format!("{name}, in the group {}", text(&schedule["GroupName"]))),
        ("fires".to_owned(), fires),
        ("then".to_owned(), then.to_owned()),
        ("target".to_owned(), format!("the function {}", last(&target["Arn"]))),
        ("role".to_owned(), last(&target["RoleArn"])),
        (
            "lost".to_owned(),
            format!("deliveries go to the queue {}", last(&target["DeadLetterConfig"]["Arn"])),
        ),
        ("input".to_owned(), text(&target["Input"])),
    ]);
    Ok(())
}

/// Wait until the schedule has fired and both machines are recorded; how long that was after it was due.
fn wait_for_launch(
    stack: &Deployed,
    meeting: &str,
    schedule: &str,
    due: Timestamp,
) -> Result<Duration, String> {
    let mut said = u64::MAX;
    loop {
        let now = Timestamp::now();
        let left = u64::try_from(due.duration_since(now).as_secs()).unwrap_or(0);
        if left < said {
            say_what_is_left(left, &mut said);
        }
        let both = ROLES.iter().all(|role| stack.aws.attribute(meeting, &format!("{role}_ec2_id")).is_some());
        if both && stack.schedule(schedule).is_none() {
            if io::stdout().is_terminal() {
                print!("\r\x1b[K");
            }
            return Ok(Duration::try_from(Timestamp::now().duration_since(due)).unwrap_or_default());
        }
        if now > due + LAUNCH_LIMIT {
            let log = stack.log("launch").join("\n");
            return Err(format!(
                "the schedule was due at {due}, and there are no two machines yet; its log:\n{log}"
            ));
        }
        thread::sleep(LOOK);
    }
}

/// On a terminal one line that counts down, elsewhere a line now and then.
fn say_what_is_left(left: u64, said: &mut u64) {
    if io::stdout().is_terminal() {
        print!("\rit fires in {left} s \x1b[K");
        let _ = io::stdout().flush();
        *said = left;
    } else if said.saturating_sub(left) >= REMINDER {
        println!("it fires in {left} s");
        *said = left;
    }
}

fn show_record(stack: &Deployed, meeting: &str) {
    let record: BTreeMap<_, _> = stack.aws.record(meeting).unwrap_or_default().into_iter().collect();
    table(record.into_iter().map(|(name, value)| (name, in_words(&value))));
}

/// An attribute's value as a person writes it; of what is inside a map, only that it is there.
fn in_words(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Bool(yes) => yes.to_string(),
        AttributeValue::Null(_) => "-".to_owned(),
        AttributeValue::L(list) => list.iter().map(in_words).collect::<Vec<_>>().join(", "),
        AttributeValue::M(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let pairs = sorted.iter().map(|(name, value)| match value {
                AttributeValue::M(_) => format!("{name}={{…}}"),
                value => format!("{name}={}", in_words(value)),
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn id(instance: &aws_sdk_ec2::types::Instance) -> String {
    instance.instance_id().unwrap_or("?").to_owned()
}

/// Prints the meeting's machines, and returns their ids by role.
fn show_instances(stack: &Deployed, meeting: &str) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for instance in stack.aws.instances(meeting) {
        let state = instance.state().and_then(|state| state.name()).map_or("?", |name| name.as_str());
        let zone = instance.placement().and_then(|placement| placement.availability_zone()).unwrap_or("?");
        let kind = instance.instance_type().map_or("?", |kind| kind.as_str());
        println!("{}  {state}  {kind}  {zone}", id(&instance));
        let tags: BTreeMap<_, _> =
            instance.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!("    {}", pairs.join("  "));
        ids.insert(tags.get("Role").copied().unwrap_or("?").to_owned(), id(&instance));
    }
    ids
}

/// What the function said of its deliveries, a line each: message, then fields.
fn show_log(stack: &Deployed) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let lines: Vec<String> = stack.log("launch").iter().filter_map(|line| log_line(line)).collect();
        if !lines.is_empty() {
            lines.iter().for_each(|line| println!("{line}"));
            return Ok(());
        }
        if start.elapsed() > LAUNCH_LIMIT {
            return Err(format!("nothing in the log group {}", stack.log_group("launch")));
        }
        thread::sleep(LOOK);
    }
}

/// A line of the log in short; none for what Lambda says itself, and for metrics.
fn log_line(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line["fields"].as_object()?;
    let message = fields.get("message").and_then(Value::as_str).unwrap_or_default();
    let rest = fields.iter().filter(|(name, value)| *name != "message" && !value.is_null());
    let rest: Vec<String> = rest
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        })
        .collect();
    let line = format!("{:5} {message}  {}", line["level"].as_str().unwrap_or("?"), rest.join(" "));
    Some(line.trim_end().to_owned())
}

/// Each metric of the functions' namespace that has a value, by name, unit and dimensions.
fn show_metrics(stack: &Deployed) {
    let listed = stack.ask("cloudwatch", "list_metrics", json!({"Namespace": NAMESPACE}));
    let metrics = listed["Metrics"].as_array().cloned().unwrap_or_default();
    let launch = stack.function("launch");
    let mut rows = BTreeMap::new();
    for metric in &metrics {
        let name = metric["MetricName"].as_str().unwrap_or("?");
        let dimensions = metric["Dimensions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let pairs: Vec<_> =
            dimensions.iter().map(|pair| (text(&pair["Name"]), text(&pair["Value"]))).collect();
        if !pairs.iter().any(|(name, value)| name == "FunctionName" && *value == launch) {
            continue;
        }
        let further = pairs.iter().filter(|(name, _)| name != "FunctionName");
        let further: Vec<String> = further.map(|(name, value)| format!("{name}={value}")).collect();
        for point in stack.metric(name, "Sum", &metric["Dimensions"]) {
            let unit = match point["Unit"].as_str() {
                Some("Milliseconds") => " ms",
                Some("Seconds") => " s",
                _ => "",
            };
            let sum = point["Sum"].as_f64().unwrap_or_default();
            rows.insert(format!("{name} {}", further.join(" ")), format!("{sum:.0}{unit}"));
        }
    }
    table(rows);
}

fn leave_it_up(stack: &Deployed, meeting: &str) -> Result<(), String> {
    let path = cargo_lambda()?;
    let event = json!({"meeting_id": meeting, "meet_time": in_minutes(180)});
    stack.invoke("schedule", &event).answer();
    let (schedule, launch) = (stack.function("schedule"), stack.function("launch"));
    heading("Up until Ctrl-C. In another terminal, in this folder:");
    if let Some(path) = path {
        println!("export PATH=\"{}:$PATH\"", path.display());
    }
    // The older AWS CLI looks for the Region under this name only.
    let region = ("AWS_DEFAULT_REGION".to_owned(), REGION.to_owned());
    println!("{}", export([stack.aws.environment(), vec![region]].concat()));
    println!();
    println!("# {meeting} is scheduled, in three hours; launch it now, as often as you like");
    println!("cargo lambda invoke --remote {launch} --data-file events/launch.json");
    println!();
    println!("# schedule another one: less than fifteen minutes ahead it is launched a minute from now");
    let soon = json!({"meeting_id": "soon", "meet_time": in_minutes(10)});
    println!("cargo lambda invoke --remote {schedule} --data-ascii '{soon}'");
    println!();
    println!("# look");
    println!(
        "aws dynamodb get-item --table-name {} --key '{{\"id\": {{\"S\": \"{meeting}\"}}}}'",
        stack.output("MeetingsTableName")
    );
    println!("aws ec2 describe-instances --filters Name=tag:MeetingID,Values={meeting}");
    println!("aws scheduler list-schedules --group-name {}", stack.output("ScheduleGroupName"));
    println!("aws logs filter-log-events --log-group-name {}", stack.log_group("launch"));
    println!("aws cloudwatch list-metrics --namespace {NAMESPACE}");
    println!();
    println!("# a function of your own, built anew after each change: with the variables above, and");
    println!("{}", export(configuration(stack)));
    println!("cargo lambda watch --invoke-address 127.0.0.1 --invoke-port {WATCH_PORT}");
    println!(
        "cargo lambda invoke launch --data-file events/launch.json --invoke-address 127.0.0.1 --invoke-port {WATCH_PORT}"
    );
    println!();
    let mut printed = BTreeMap::<&str, usize>::new();
    loop {
        for verb in ["schedule", "launch"] {
            let lines = stack.log(verb);
            let seen = printed.entry(verb).or_default();
            for line in lines.iter().skip(*seen).filter_map(|line| log_line(line)) {
                eprintln!("{verb:8} | {line}");
            }
            *seen = lines.len();
        }
        thread::sleep(5 * LOOK);
    }
}

/// The deployed function's own variables, those that are set.
fn configuration(stack: &Deployed) -> Vec<(String, String)> {
    let function =
        stack.ask("lambda", "get_function_configuration", json!({"FunctionName": stack.function("launch")}));
    let variables = function["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// A line for the shell. No value here needs quotes.
fn export(variables: Vec<(String, String)>) -> String {
    let pairs: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("export {}", pairs.join(" "))
}

/// The folder of cargo-lambda, if it is not on the search path already.
fn cargo_lambda() -> Result<Option<PathBuf>, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("cargo-lambda").is_file()) {
        return Ok(None);
    }
    let requirements = local::top().join("tests").join("local").join("cargo-lambda.txt");
    let python = local::python::environment("cargo-lambda", &requirements, &mut io::stderr())?;
    Ok(python.parent().map(PathBuf::from))
}

fn heading(text: &str) {
    println!("\n── {text}");
}

fn table(rows: impl IntoIterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        println!("{name:width$}  {value}");
    }
}

fn end_everything_on_a_signal() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            local::process::end_all();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

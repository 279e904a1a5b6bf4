//! The main job on a laptop: `cargo demo`.
//!
//! Starts a local AWS on 127.0.0.1, makes the table and one meeting, runs the real function behind a Runtime API,
//! delivers `events/launch.json` twice, and shows what happened. `cargo demo -- --serve` leaves everything up for
//! `cargo lambda invoke` and the `aws` CLI. Whatever way it ends, it ends everything that it started.

#![allow(clippy::print_stdout, reason = "this program talks to a person")]

#[path = "../tests/local/stack.rs"]
mod local;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use local::aws::{IMAGE, Item, LocalAws, TABLE};
use local::lambda::{Function, Lambda, Outcome};
use local::process::Process;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "usage: cargo demo [-- --serve]

  cargo demo              deliver events/launch.json twice to the function on a local AWS, and show what happened
  cargo demo -- --serve   leave the local AWS and the function up, and print the lines to try it by hand";

/// The port that `cargo lambda invoke` asks unless it is told another, and one for a function beside the one there.
const INVOKE_PORT: u16 = 9000;
const WATCH_PORT: u16 = 9001;

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
    let binary = build_function()?;
    let event_file = local::top().join("events").join("launch.json");
    let event = std::fs::read_to_string(&event_file).map_err(|e| format!("{}: {e}", event_file.display()))?;
    let event: Value = serde_json::from_str(&event).map_err(|e| format!("{}: {e}", event_file.display()))?;
    let meeting = event["meeting_id"].as_str().ok_or("events/launch.json names no meeting_id")?;

    let started = Instant::now();
    let aws = LocalAws::start(&mut io::stderr())?;
    heading(&format!("A local AWS at {} ({:.1} s)", aws.endpoint, started.elapsed().as_secs_f32()));
    aws.create_table();
    let meet_time = Timestamp::now() + Duration::from_secs(10 * 60);
    aws.put_meeting(&[
        ("id", meeting),
        ("teacher_name", "Ada"),
        ("student_name", "Charles"),
        ("meet_time", &format!("{meet_time:.3}")),
        ("status", "SCHEDULED"),
    ]);
    println!("the table {TABLE} with one meeting, due in ten minutes");

    let security_group = aws.security_group();
    let configuration =
        [("AMI_ID", IMAGE), ("INSTANCE_TYPE", "t3.large"), ("SECURITY_GROUP_IDS", security_group.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let function = Function {
        name: "launch".to_owned(),
        binary,
        environment: [aws.environment(), configuration.to_vec()].concat(),
        timeout: Duration::from_secs(60),
        echo: serve.then_some("launch | "),
    };
    if serve {
        return leave_it_up(&aws, function, &configuration, meeting);
    }
    let lambda = Lambda::start(function, 0).map_err(|e| format!("the Runtime API cannot listen: {e}"))?;

    heading("The record before");
    show_record(&aws, meeting);

    heading("First delivery of events/launch.json");
    let first = deliver(&aws, &lambda, &event)?;

    heading("The record after");
    show_record(&aws, meeting);

    heading("The machines");
    let machines = show_instances(&aws, meeting);

    heading("Second delivery of the same event");
    let second = deliver(&aws, &lambda, &event)?;
    let after = show_instances(&aws, meeting);

    for role in ["teacher", "student"] {
        let launched = first["machines"][role]["instance_id"].as_str();
        let recorded = aws.attribute(meeting, &format!("{role}_ec2_id"));
        if launched.is_none() || recorded.as_deref() != launched {
            return Err(format!(
                "the {role}'s machine is {launched:?} in the answer and {recorded:?} in the record"
            ));
        }
        if second["machines"][role]["instance_id"].as_str() != launched {
            return Err(format!("the second delivery answered another machine for the {role}"));
        }
    }
    if machines != after || machines.len() != 2 {
        return Err(format!(
            "expected the same two machines after both deliveries, got {machines:?} and {after:?}"
        ));
    }
    heading("Both ids stand in the record, and the second delivery launched nothing.");
    println!("Next: cargo demo -- --serve, to try it by hand; infra/README.md, to deploy it.");
    Ok(())
}

/// The real binary. It is built together with this example, because then Cargo builds both with the same features of
/// the same dependencies: on its own, the SDK would be compiled a second time.
fn build_function() -> Result<PathBuf, String> {
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
    let executable = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(|message| message["target"]["name"] == "launch")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .last();
    match (build.wait().map_err(failed)?.success(), executable) {
        (true, Some(executable)) => Ok(executable),
        _ => Err("the function could not be built; see above".to_owned()),
    }
}

fn is_about_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

fn deliver(aws: &LocalAws, lambda: &Lambda, event: &Value) -> Result<Value, String> {
    println!("event    {event}");
    aws.clear_calls();
    let start = Instant::now();
    let outcome = lambda.invoke(event);
    let took = start.elapsed();
    let calls: Vec<String> =
        aws.calls().iter().filter_map(|call| call["action"].as_str().map(str::to_owned)).collect();
    match outcome {
        Outcome::Answer(answer) => {
            println!(
                "answer   {}",
                serde_json::to_string_pretty(&answer).unwrap_or_default().replace('\n', "\n         ")
            );
            println!("requests {} in {:.0} ms", calls.join(", "), took.as_secs_f64() * 1000.0);
            Ok(answer)
        }
        other => Err(format!("the delivery failed: {other:?}\nits log:\n{}", lambda.log().join("\n"))),
    }
}

fn show_record(aws: &LocalAws, meeting: &str) {
    let record: BTreeMap<_, _> = aws.record(meeting).unwrap_or_default().into_iter().collect();
    let width = record.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in record {
        println!("{name:width$}  {}", in_words(&value));
    }
}

/// An attribute's value as a person writes it.
fn in_words(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Bool(yes) => yes.to_string(),
        AttributeValue::Null(_) => "-".to_owned(),
        AttributeValue::L(list) => list.iter().map(in_words).collect::<Vec<_>>().join(", "),
        AttributeValue::M(map) => map_in_words(map),
        other => format!("{other:?}"),
    }
}

fn map_in_words(map: &Item) -> String {
    let sorted: BTreeMap<_, _> = map.iter().collect();
    let pairs: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{name}={}", in_words(value))).collect();
    format!("{{{}}}", pairs.join(" "))
}

/// Prints the meeting's machines, and returns their ids.
fn show_instances(aws: &LocalAws, meeting: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for instance in aws.instances(meeting) {
        let id = instance.instance_id().unwrap_or("?").to_owned();
        let state = instance.state().and_then(|state| state.name()).map_or("?", |name| name.as_str());
        let zone = instance.placement().and_then(|placement| placement.availability_zone()).unwrap_or("?");
        let kind = instance.instance_type().map_or("?", |kind| kind.as_str());
        println!("{id}  {state}  {kind}  {zone}  token {}", instance.client_token().unwrap_or("?"));
        let tags: BTreeMap<_, _> =
            instance.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!("    {}", tags.join("  "));
        ids.push(id);
    }
    ids.sort();
    ids
}

fn leave_it_up(
    aws: &LocalAws,
    function: Function,
    configuration: &[(String, String)],
    meeting: &str,
) -> Result<(), String> {
    let path = cargo_lambda()?;
    // Another program may have the usual port.
    let lambda = Lambda::start(function.clone(), INVOKE_PORT).or_else(|_| Lambda::start(function, 0));
    let lambda = lambda.map_err(|e| format!("the Runtime API cannot listen: {e}"))?;
    let port = match lambda.address().port() {
        INVOKE_PORT => String::new(),
        other => format!(" --invoke-port {other}"),
    };
    let invoke = "cargo lambda invoke launch --data-file events/launch.json --invoke-address 127.0.0.1";
    heading("Up until Ctrl-C. In another terminal, in this folder:");
    if let Some(path) = path {
        println!("export PATH=\"{}:$PATH\"", path.display());
    }
    println!("{invoke}{port}");
    println!();
    println!("{}", export(&aws.environment()));
    println!("aws dynamodb get-item --table-name {TABLE} --key '{{\"id\": {{\"S\": \"{meeting}\"}}}}'");
    println!("aws ec2 describe-instances --filters Name=tag:MeetingID,Values={meeting}");
    println!();
    println!("# a function of your own, built anew after each change: with the variables above, and");
    println!("{}", export(configuration));
    println!("cargo lambda watch --invoke-address 127.0.0.1 --invoke-port {WATCH_PORT}");
    println!("{invoke} --invoke-port {WATCH_PORT}");
    println!();
    loop {
        thread::park();
    }
}

/// A line for the shell. No value here needs quotes.
fn export(variables: &[(String, String)]) -> String {
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

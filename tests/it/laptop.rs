//! What a person meets on a laptop: the demo, the probe, and a clear sentence for what is missing.

use crate::local;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::local::aws::{IMAGE, LocalAws, REGION, eventually};
use crate::local::deployed::Deployed;
use crate::local::process::Process;
use crate::local::python;
use aws_sdk_ec2::types::{Instance, InstanceStateName};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
/// The demo's promise, once everything is built.
const STORY: Duration = Duration::from_secs(120);
/// For what may have to be built or installed first.
const FIRST_USE: Duration = Duration::from_secs(600);

fn demo() -> Command {
    example("demo")
}

/// One that Cargo built with the tests, beside their folder.
fn example(name: &str) -> Command {
    let here = std::env::current_exe().expect("a path");
    let target = here.parent().and_then(Path::parent).expect("target/debug");
    let mut example = Command::new(target.join("examples").join(name));
    example.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    example
}

/// From a launch to the end of the meeting, by a program of one's own.
#[test]
fn the_library_does_without_lambda_what_the_functions_do() {
    let output = example("library").output().expect("it runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    let mut rest = &text[..];
    for expected in [
        "launched, and once more: [\"Launched\", \"Launched\"], [\"AlreadyRecorded\", \"AlreadyRecorded\"]",
        "the student's machine Some(\"i-",
        "its disk vol-",
        "is at Some(\"/dev/sdf\")",
        "an image of it: ami-",
        "is available",
        "deleted with its snapshots: Some([\"snap-",
        "'s machine i-",
        "is Some(\"terminated\")",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("{expected:?} is missing:\n{text}\n{errors}"));
        rest = &rest[at + expected.len()..];
    }
}

#[test]
fn the_demo_deploys_schedules_waits_and_delivers_twice() {
    let start = Instant::now();
    let output = demo().output().expect("the demo runs");
    let took = start.elapsed();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    // In this order.
    let mut rest = &text[..];
    for expected in [
        "infra/template.yaml, deployed",
        "Lambda::Function",
        "\"outcome\": \"scheduled\"",
        "launch-demo-meeting, in the group elephant",
        "at(",
        "it fires in ",
        "it fired",
        "LAUNCHED",
        "Role=student",
        "machine launched",
        "LeadTime",
        "\"outcome\": \"already_recorded\"",
        "to EC2    0 requests",
        "the second delivery launched nothing",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("{expected:?} is missing:\n{text}\n{errors}"));
        rest = &rest[at + expected.len()..];
    }
    // The recording in the docs is of this demo: its parts, and in README's extract no line that it has not.
    let parts = |text: &str| {
        let parts = text.lines().filter(|line| line.starts_with("── "));
        parts.map(|line| line.split(" (").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let page = |name: &str| std::fs::read_to_string(local::top().join(name)).expect("a page");
    let recorded = page("docs/demo.txt");
    assert_eq!(parts(&recorded), parts(&text), "cargo demo > docs/demo.txt");
    let readme = page("README.md");
    let shown =
        readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the extract");
    assert!(shown.lines().all(|line| recorded.lines().any(|whole| whole == line)), "README.md: {shown}");
    // Whatever had to be built or installed first, it tells.
    assert!(took < STORY || !errors.is_empty(), "it took {took:?}:\n{text}");
}

#[test]
fn the_demo_ends_what_it_started_when_it_is_told_to_stop_and_when_it_is_killed() {
    for (signal, status) in [("-INT", Some(130)), ("-TERM", Some(143)), ("-KILL", None)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut demo = demo().env("TMPDIR", folder.path()).spawn().expect("the demo runs");
        let endpoint = endpoint(&mut demo);
        self::signal(signal, demo.id());
        let ended = demo.wait().expect("it ends");
        // It may have been done before the signal came.
        assert!(ended.success() || ended.code() == status, "{signal}: {ended}");
        eventually(&format!("after {signal} the local AWS is gone"), LIMIT, || {
            TcpStream::connect(&endpoint).is_err().then_some(())
        });
        eventually(&format!("after {signal} its temporary files are gone"), LIMIT, || {
            folder.path().read_dir().expect("the folder").next().is_none().then_some(())
        });
    }
}

#[test]
fn what_the_demo_prints_works_and_everything_is_gone_after_ctrl_c() {
    let demo = Process::start(demo().arg("--serve")).expect("the demo runs");
    let (printed, errors) = (said(demo.take_stdout()), said(demo.take_stderr()));
    // The last line of all; the ones before it are complete then.
    let printed = eventually("the lines to paste", FIRST_USE, || {
        assert_eq!(demo.ended(), None, "{printed:#?}\n{errors:#?}");
        let lines = printed.lock().expect("no panic").clone();
        lines.iter().any(|line| is_invoke(line) && line.ends_with("--invoke-port 9001")).then_some(lines)
    });
    let [aws, ec2, ami, instance_type, groups] =
        ["AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_EC2=", "AMI_ID=", "INSTANCE_TYPE=", "SECURITY_GROUP_IDS="]
            .map(|name| exported(&printed, name).unwrap_or_else(|| panic!("no {name} in {printed:#?}")));
    assert!(ami == "al2023" && !instance_type.is_empty() && groups.starts_with("sg-"), "{printed:#?}");

    let to = |function: &str| {
        let line = printed.iter().find(|line| is_invoke(line) && line.contains(function));
        let line = line.unwrap_or_else(|| panic!("no line for {function} in {printed:#?}"));
        let exports: Vec<&str> =
            printed.iter().filter(|line| line.starts_with("export ")).map(String::as_str).collect();
        shell(&format!("{}\n{line}", exports.join("\n")))
    };
    let machines = |outcome: &str| {
        let answer = to("elephant-launch");
        ["teacher", "student"].map(|role| {
            let machine = &answer["machines"][role];
            assert_eq!(machine["outcome"], outcome, "{role}: {answer:#}\n{errors:#?}");
            let id =
                machine["instance_id"].as_str().unwrap_or_else(|| panic!("{role} has no id: {answer:#}"));
            assert!(id.starts_with("i-"), "{answer:#}");
            id.to_owned()
        })
    };
    let launched = machines("launched");
    assert_ne!(launched[0], launched[1], "two machines");
    assert_eq!(machines("already_recorded"), launched);
    assert_eq!(to("elephant-schedule")["outcome"], "scheduled");

    let addresses = [aws, ec2]
        .map(|endpoint| endpoint.trim_start_matches("http://").parse::<SocketAddr>().expect("an address"));
    for address in addresses {
        assert!(TcpStream::connect(address).is_ok(), "nobody listens at {address}");
    }
    signal("-INT", demo.id());
    let status = eventually("the demo ends", LIMIT, || demo.ended());
    assert_eq!(status.code(), Some(130), "{errors:#?}");
    for address in addresses {
        eventually(&format!("nobody listens at {address} any more"), LIMIT, || {
            TcpStream::connect(address).is_err().then_some(())
        });
    }
}

/// Asks this AWS, in the words of a person who has a role at hand.
fn probe(aws: &LocalAws, more: &[&str]) -> Command {
    let mut probe = example("probe");
    probe.envs(aws.environment()).args(["--region", REGION, "--image", IMAGE]).args(more);
    probe
}

/// What of a probe's can cost something or be in the way.
fn left_by_the_probe(aws: &LocalAws) -> Vec<String> {
    let live = |machine: &Instance| {
        machine.state().and_then(|state| state.name()).map(InstanceStateName::as_str) != Some("terminated")
    };
    let mut left: Vec<String> = aws
        .machines()
        .iter()
        .filter(|one| live(one))
        .filter_map(|one| one.instance_id().map(str::to_owned))
        .collect();
    let templates = aws.wait(aws.ec2.describe_launch_templates().send()).expect("the templates");
    left.extend(
        templates.launch_templates().iter().filter_map(|one| one.launch_template_name().map(str::to_owned)),
    );
    let tables = aws.wait(aws.dynamodb.list_tables().send()).expect("the tables");
    left.extend(tables.table_names().iter().cloned());
    let volumes = aws.wait(aws.ec2.describe_volumes().send()).expect("the volumes");
    left.extend(volumes.volumes().iter().filter_map(|one| one.volume_id().map(str::to_owned)));
    left
}

const PROBE_ROLE: [&str; 2] = ["--role", "arn:aws:iam::123456789012:role/launch"];

#[test]
fn the_probe_has_its_questions_answered_and_leaves_nothing() {
    let aws = LocalAws::start(&mut std::io::stderr()).expect("the local AWS starts");
    aws.set(json!({"forgets_tags_after": 1, "forgets_entry_after": 2}));
    let output = probe(&aws, &[&PROBE_ROLE[..], &["--long"]].concat()).output().expect("it runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    let asked = example("probe").arg("--list").output().expect("it runs").stdout;
    let asked = String::from_utf8_lossy(&asked).matches("asked by the probe").count();
    // EventBridge Scheduler fires nothing here.
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), asked - 1, "{text}");
    assert!(
        text.contains(&format!("{} as assumed, 0 differ, 0 could not be asked, 1 not asked", asked - 1)),
        "{text}"
    );
    assert!(text.contains("not asked: schedule-moved (needs --scheduler-role)"), "{text}");
    assert_eq!(left_by_the_probe(&aws), [""; 0]);
}

#[test]
fn the_probe_says_what_differs_and_what_would_have_to_change() {
    let aws = LocalAws::start(&mut std::io::stderr()).expect("the local AWS starts");
    // The third launch is the one with other parameters; the actions by tag are never allowed.
    aws.add_faults(json!([
        {"action": "RunInstances", "skip": 2, "times": 1, "code": "InvalidParameterCombination", "status": 400},
        {"action": "DeleteTags", "times": 1, "code": "UnauthorizedOperation", "status": 403},
        {"action": "TerminateInstances", "times": 1, "code": "InvalidInstanceID.Malformed", "status": 400,
         "skip": 1},
    ]));
    let output = probe(&aws, &PROBE_ROLE).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let after = |start: &str| {
        let found = text.split(start).nth(1).unwrap_or_else(|| panic!("no {start:?} in {text}"));
        found.lines().take(4).collect::<Vec<_>>().join("\n")
    };
    let refused = after("DIFFERS token-other-parameters");
    assert!(refused.contains("answer:  InvalidParameterCombination"), "{refused}");
    assert!(refused.contains("change:  the row of that code in `ec2/meaning.rs`"), "{refused}");
    assert!(after("FAILED  role-tag-removed").contains("UnauthorizedOperation"), "{text}");
    assert!(after("DIFFERS tag-allowed-absent").contains("InvalidInstanceID.Malformed"), "{text}");
    assert!(text.contains("2 differ, 1 could not be asked"), "{text}");
    assert_eq!(left_by_the_probe(&aws), [""; 0]);
}

/// Killed after so many answers, or while a launch is on its way.
#[test]
fn what_a_killed_probe_leaves_its_clean_up_removes() {
    let aws = LocalAws::start(&mut std::io::stderr()).expect("the local AWS starts");
    let clean = |after: &str| {
        let output = probe(&aws, &["--clean-up"]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("clean-up: "), "{text}");
        assert_eq!(left_by_the_probe(&aws), [""; 0], "{after}");
    };
    for answers in [1, 4, 9, 14, 16] {
        let mut running = probe(&aws, &PROBE_ROLE).spawn().expect("it runs");
        let lines = BufReader::new(running.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let answered = lines.filter(|line| line.starts_with("ok ")).take(answers).count();
        signal("-KILL", running.id());
        running.wait().expect("it ends");
        assert_eq!(answered, answers);
        clean(&format!("killed after {answers} answers"));
    }
    aws.add_faults(json!([{"action": "RunInstances", "late": 2.0, "times": 1}]));
    let mut running = probe(&aws, &[]).spawn().expect("it runs");
    eventually("a launch is on its way", LIMIT, || {
        aws.calls().iter().any(|call| call["status"] == "late").then_some(())
    });
    signal("-KILL", running.id());
    running.wait().expect("it ends");
    clean("killed while a launch was on its way");

    let mut running = probe(&aws, &PROBE_ROLE).spawn().expect("it runs");
    let mut lines = BufReader::new(running.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ok ")), "the probe came to no answer");
    signal("-INT", running.id());
    let rest: Vec<String> = lines.collect();
    assert_eq!(running.wait().expect("it ends").code(), Some(130), "{rest:#?}");
    assert!(rest.iter().any(|line| line.starts_with("clean-up: removed i-")), "{rest:#?}");
    assert_eq!(left_by_the_probe(&aws), [""; 0], "after Ctrl-C");
}

#[test]
fn the_probe_explains_itself_and_the_docs_show_its_table() {
    let said = |arguments: &[&str]| {
        let output = example("probe").args(arguments).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (status, list) = said(&["--list"]);
    assert_eq!(status, Some(0));
    let docs = std::fs::read_to_string(local::top().join("tests").join("README.md")).expect("the page");
    assert!(docs.contains(list.trim()), "tests/README.md has another table of assumptions than:\n{list}");
    let (status, help) = said(&["--help"]);
    assert_eq!(status, Some(0));
    assert!(help.contains("--clean-up") && help.contains("--scheduler-role"), "{help}");
    for (wrong, sentence) in [
        (&[][..], "--region is missing"),
        (&["--region"], "--region needs a value"),
        (&["--region", "--long"], "--region needs a value"),
        (&["--region", "us-west-2", "--lnog"], "--lnog is no option"),
    ] {
        let (status, text) = said(wrong);
        assert_eq!(status, Some(2), "{wrong:?}: {text}");
        assert!(text.contains(sentence) && text.contains("usage: cargo run --example probe"), "{text}");
    }
}

fn is_invoke(line: &str) -> bool {
    line.starts_with("cargo lambda invoke ")
}

/// The value that a printed line exports for a variable (`name` ends with `=`).
fn exported(printed: &[String], name: &str) -> Option<String> {
    let exports = printed.iter().filter_map(|line| line.strip_prefix("export "));
    exports.flat_map(str::split_whitespace).find_map(|pair| pair.strip_prefix(name)).map(str::to_owned)
}

/// What a person would paste, at the top of the checkout, and the JSON that comes out.
fn shell(script: &str) -> Value {
    let output = Process::output(Command::new("sh").args(["-c", script]).current_dir(local::top()));
    let output = output.expect("sh runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{text}\n{errors}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{script}\n{error}: {text}\n{errors}"))
}

/// The lines so far, read by another thread, so that no pipe is ever full.
fn said(output: Option<impl Read + Send + 'static>) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let kept = lines.clone();
    let output = output.expect("it is piped");
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            kept.lock().expect("no panic").push(line);
        }
    });
    lines
}

fn signal(signal: &str, process: u32) {
    let kill = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs");
    assert!(kill.success(), "{signal} to {process}");
}

/// In a target directory of its own it has everything to build.
#[test]
fn a_demo_that_is_told_to_stop_while_it_builds_ends_its_build() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Process::start(demo().env("CARGO_TARGET_DIR", folder.path())).expect("the demo runs");
    let mut errors = BufReader::new(demo.take_stderr().expect("it is piped")).lines().map_while(Result::ok);
    assert!(errors.any(|line| line.contains("Compiling")), "nothing is built");
    signal("-INT", demo.id());
    let status = eventually("the demo ends", LIMIT, || demo.ended());
    assert_eq!(status.code(), Some(130));
    // It is the build's as well, so it ends when both are gone.
    let rest: Vec<String> = errors.collect();
    assert!(!rest.iter().any(|line| line.contains("demo: ")), "it was no failure: {rest:#?}");
}

#[test]
fn what_a_process_has_started_ends_with_it() {
    // Who has the other end of the pipe is alive.
    let mut group = Command::new("sh");
    group.args(["-c", "sleep 600 & sleep 600 & echo started; wait"]).stdout(Stdio::piped());
    let group = Process::start_group(&mut group).expect("sh runs");
    let mut stdout = BufReader::new(group.take_stdout().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "started\n");
    let pipe = thread::spawn(move || stdout.read_to_end(&mut Vec::new()).map(|_| ()));
    drop(group);
    eventually("all of the group is gone", LIMIT, || pipe.is_finished().then_some(()));
}

/// Where the local AWS of a demo listens.
fn endpoint(demo: &mut Child) -> String {
    let lines = BufReader::new(demo.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let line = lines.take(10).find(|line| line.contains("A local AWS at http://"));
    let line = line.unwrap_or_else(|| {
        let mut errors = String::new();
        let _ = demo.stderr.take().expect("it is piped").read_to_string(&mut errors);
        panic!("no local AWS: {errors}")
    });
    line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address").to_owned()
}

#[test]
fn the_demo_explains_itself_and_refuses_what_it_does_not_know() {
    let help = demo().arg("--help").output().expect("the demo runs");
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--serve"));
    let wrong = demo().arg("--srve").output().expect("the demo runs");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("usage"));
}

/// A program that does this. Another process writes it: one that this process had open for writing could be inherited
/// by a child of another test at that moment, and could then not be run ("text file busy").
fn a_program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let file = folder.join(name);
    let text = format!("#!/bin/sh\n{script}\n");
    let mut write = Command::new("sh");
    write.args(["-c", r#"printf %s "$1" > "$2" && chmod 755 "$2""#, "sh", &text]).arg(&file);
    assert!(write.status().expect("sh runs").success());
    file
}

#[test]
fn a_missing_python_and_an_old_one_get_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Some(folder.path().as_os_str().to_owned());
    let missing = python::find_python(path.clone()).expect_err("there is none");
    assert!(missing.contains("3.10 or newer") && missing.contains("apt install python3"), "{missing}");
    a_program(folder.path(), "python3", "echo 3 9");
    let old = python::find_python(path.clone()).expect_err("it is too old");
    assert!(old.contains("python3 is 3.9"), "{old}");
    let new = a_program(folder.path(), "python3.12", "echo 3 12");
    assert_eq!(python::find_python(path), Ok(new));
}

#[test]
fn a_python_without_venv_gets_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let python = a_program(folder.path(), "python3", "echo 'ensurepip is not available' >&2; exit 1");
    let sentence = python::make_venv(&python, &folder.path().join("venv")).expect_err("it cannot");
    assert!(sentence.contains("apt install python3-venv") && sentence.contains("ensurepip"), "{sentence}");
}

#[test]
fn a_template_that_cannot_be_deployed_gets_a_sentence() {
    let binary = Path::new(env!("CARGO_BIN_EXE_launch"));
    for (binary, parameters, sentence) in [
        (Path::new("no/such/launch"), vec![], "there is no binary no/such/launch"),
        (binary, vec![("AmiId", "the newest")], "AmiId may not be 'the newest'"),
    ] {
        let problem = Deployed::start(binary, &parameters, &mut std::io::stderr()).err();
        let problem = problem.expect("it cannot be deployed");
        assert!(problem.contains(sentence), "{problem}");
    }
}

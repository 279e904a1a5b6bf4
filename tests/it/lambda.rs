//! The door: errors as Lambda records them, and a verb that panics.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::local::lambda::{Function, Lambda, Outcome};
use elephant_core::answer;
use elephant_core::error::{AwsError, Class, Error, Kind};
use elephant_core::timing::Timing;
use elephant_launch::lambda;
use elephant_launch::metrics::Meter;
use jiff::Timestamp;
use serde_json::{Value, json};

#[test]
fn an_error_is_recorded_under_its_type_with_the_whole_story() {
    let cause = AwsError {
        action: "RunInstances",
        class: Class::Misconfigured,
        code: Some("InvalidKeyPair.NotFound".into()),
        message: "The key pair 'k' does not exist.".into(),
        request_id: Some("r-1".into()),
        advice: String::new(),
    };
    let error = Error::new(
        Kind::InvalidConfiguration,
        "meeting m, teacher: the launch was refused",
        "change KEY_NAME",
    )
    .caused_by(cause);
    let log = format!("{error:?}");
    let diagnostic = lambda::diagnostic(error);
    assert_eq!(diagnostic.error_type, "InvalidConfiguration");
    assert_eq!(
        diagnostic.error_message,
        "meeting m, teacher: the launch was refused: RunInstances answered InvalidKeyPair.NotFound: The key pair 'k' \
         does not exist (AWS request id r-1); change KEY_NAME"
    );
    assert!(log.starts_with("InvalidConfiguration (a repeat cannot help): meeting m"), "{log}");
}

/// A verb that panics where it is told to, with words that were put together or not.
async fn panics(event: Value, _: Timestamp) -> Result<Answered, Error> {
    match event["panic"].as_str() {
        Some("plain") => panic!("these words stand in the program"),
        Some(secret) => panic!("the value {secret} cannot be"),
        None => Ok(Answered {}),
    }
}

#[derive(serde::Serialize)]
struct Answered {}

impl answer::Outcome for Answered {
    fn outcome(&self) -> &'static str {
        "answered"
    }
}

/// With this in its environment this program is that function.
const SERVES: &str = "SERVES_A_VERB_THAT_PANICS";

#[tokio::test(flavor = "current_thread")]
async fn a_panic_ends_its_delivery_and_shows_only_what_stands_in_the_program() {
    if std::env::var_os(SERVES).is_some() {
        lambda::start_logging();
        let end = lambda::serve("panics", &Timing::DEFAULT, &Meter::new("panics".into()), panics).await;
        panic!("it serves until it is killed: {end:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let binary = folder.path().join("function");
    let test = "lambda::a_panic_ends_its_delivery_and_shows_only_what_stands_in_the_program";
    let program = std::env::current_exe().expect("this program");
    let script = format!("#!/bin/sh\nexec '{}' --exact {test} --nocapture\n", program.display());
    let mut file = std::fs::File::create(&binary).expect("the folder can be written");
    file.write_all(script.as_bytes()).expect("it is written");
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    drop(file);
    let function = Function {
        name: "panics".into(),
        binary,
        environment: vec![(SERVES.into(), "1".into())],
        timeout: Duration::from_secs(30),
        echo: None,
    };
    let lambda = Lambda::start(function, 0).expect("the Runtime API listens");
    let plain = lambda.invoke(&json!({"panic": "plain"}));
    let process = lambda.process_id();
    let told = lambda.invoke(&json!({"panic": "swordfish"}));
    assert_eq!(lambda.invoke(&json!({})), Outcome::Answer(json!({})));
    assert_eq!(lambda.process_id(), process, "it is the same process");
    let log = lambda.whole_log().join("\n");
    let (kind, message) = plain.error();
    assert!(kind == "Panic" && message.starts_with("these words stand in the program"), "{kind}: {message}");
    let (kind, message) = told.error();
    assert!(kind == "Panic" && message.contains("its words are not shown"), "{kind}: {message}");
    assert!(!log.contains("swordfish") && !message.contains("swordfish"), "{log}");
    assert_eq!(log.matches("tests/it/lambda.rs:").count(), 2, "each has its place: {log}");
}

/// Which function a process is, Lambda says in `_HANDLER`.
#[test]
fn a_handler_that_is_no_verb_is_refused_by_every_delivery_and_none_is_launch() {
    let serving = |handler: &str| {
        let function = Function {
            name: "some".into(),
            binary: env!("CARGO_BIN_EXE_launch").into(),
            environment: vec![("_HANDLER".into(), handler.into()), ("AWS_REGION".into(), "us-west-2".into())],
            timeout: Duration::from_secs(30),
            echo: None,
        };
        let lambda = Lambda::start(function, 0).expect("the Runtime API listens");
        let first = lambda.invoke(&json!({}));
        assert_eq!(lambda.invoke(&json!({})), first);
        first.error()
    };
    let (kind, message) = serving("index.handler");
    assert_eq!(kind, "InvalidConfiguration", "{message}");
    assert!(
        message.contains("\"index.handler\", expected one of launch, schedule, end, reconcile"),
        "{message}"
    );
    // Each function names the variables that it lacks.
    for handler in ["", "bootstrap", "launch"] {
        let (kind, message) = serving(handler);
        assert!(kind == "InvalidConfiguration" && message.contains("AMI_ID"), "{handler}: {kind}: {message}");
    }
    let (_, message) = serving("schedule");
    assert!(message.contains("SCHEDULE_GROUP") && !message.contains("AMI_ID"), "{message}");
}

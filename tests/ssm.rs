//! Parameters over SSM: what is asked, and what its answers mean.

#[path = "wire/server.rs"]
mod wire;

use std::sync::Arc;
use std::time::Duration;

use elephant_launch::error::{AwsError, Class};
use elephant_launch::metrics::Calls;
use elephant_launch::needs::Parameters;
use elephant_launch::ssm::ParameterStore;
use serde_json::json;
use wire::{Answer, Wire};

async fn parameter(wire: &Wire, name: &str) -> Result<String, AwsError> {
    let calls = Arc::new(Calls::default());
    ParameterStore::counted(&wire.sdk(), Duration::from_secs(2), &calls).parameter(name).await
}

#[tokio::test]
async fn a_parameters_value_is_asked_for_by_its_name_and_version() {
    let found = json!({"Parameter": {"Name": "/our/image", "Value": "ami-1", "Version": 7}});
    let wire = Wire::answering("GetParameter", [Answer::Reply(200, found.to_string())]).await;
    assert_eq!(parameter(&wire, "/our/image:7").await, Ok("ami-1".to_owned()));
    let asked: serde_json::Value = serde_json::from_str(&wire.only_request().body).expect("JSON");
    assert_eq!(asked, json!({"Name": "/our/image:7"}));
}

#[tokio::test]
async fn what_is_refused_is_told_by_what_to_do_next() {
    for (status, code, class, advice) in [
        (400, "ParameterNotFound", Class::Misconfigured, "it names /our/image"),
        (400, "ParameterVersionNotFound", Class::Misconfigured, "set AMI_ID"),
        (
            400,
            "AccessDeniedException",
            Class::Unauthorized,
            "allow ssm:GetParameter on the parameter /our/image",
        ),
        (400, "SomethingNew", Class::Misconfigured, "set AMI_ID"),
    ] {
        let refusal = json!({"__type": code, "message": "No."}).to_string();
        let wire = Wire::answering("GetParameter", [Answer::Reply(status, refusal)]).await;
        let error = parameter(&wire, "/our/image").await.expect_err("it is refused");
        assert_eq!((error.action, error.class, error.code()), ("GetParameter", class, code));
        assert!(error.advice.contains(advice), "{code}: {}", error.advice);
    }
}

#[tokio::test]
async fn what_may_pass_is_repeated_by_the_sdk() {
    let found = json!({"Parameter": {"Value": "ami-1"}}).to_string();
    let refused = json!({"__type": "ThrottlingException", "message": "Slow down."}).to_string();
    let answers = [Answer::Reply(400, refused), Answer::Cut, Answer::Reply(200, found)];
    let wire = Wire::answering("GetParameter", answers).await;
    assert_eq!(parameter(&wire, "/our/image").await, Ok("ami-1".to_owned()));
    assert_eq!(wire.requests("GetParameter").len(), 3);
}

#[tokio::test]
async fn an_answer_without_a_value_is_none() {
    let wire = Wire::answering("GetParameter", [Answer::Reply(200, "{}".to_owned())]).await;
    let error = parameter(&wire, "/our/image").await.expect_err("it has no value");
    assert_eq!(
        (error.class, error.message.as_str()),
        (Class::Ambiguous, "answered 200 without the value of /our/image")
    );
}

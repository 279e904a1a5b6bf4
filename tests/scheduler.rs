//! The adapter of EventBridge Scheduler against the real wire: exact requests, what stands read back, answers by class.

#[path = "wire/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use elephant_launch::error::{AwsError, Class};
use elephant_launch::meeting::MeetingId;
use elephant_launch::metrics::Calls;
use elephant_launch::needs::{Deletes, Schedules};
use elephant_launch::one_time::{OneTimeSchedule, Retry, ScheduleName, Standing, Target, input};
use elephant_launch::scheduler::Group;
use serde_json::{Value, json};
use server::{Answer, Wire};

const LIMIT: Duration = Duration::from_secs(3);

fn group(wire: &Wire) -> Group {
    Group::new(&wire.sdk(), "elephant", LIMIT)
}

fn schedule() -> OneTimeSchedule {
    let meeting = MeetingId::new("m").expect("an id");
    OneTimeSchedule {
        name: ScheduleName::of(&meeting),
        at: "2026-01-05T09:45:00Z".parse().expect("a time"),
        flexible_window_minutes: 5,
        target: Target {
            function: "arn:aws:lambda:us-west-2:123456789012:function:launch".into(),
            role: "arn:aws:iam::123456789012:role/scheduler".into(),
            dead_letters: "arn:aws:sqs:us-west-2:123456789012:dead".into(),
        },
        input: input(&meeting),
        retry: Retry { maximum_event_age: Duration::from_secs(8100), maximum_attempts: 30 },
    }
}

/// The schedule above, as Scheduler shows and takes it.
fn as_json() -> Value {
    json!({
        "ActionAfterCompletion": "DELETE",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
        "GroupName": "elephant",
        "ScheduleExpression": "at(2026-01-05T09:45:00)",
        "ScheduleExpressionTimezone": "UTC",
        "Target": {
            "Arn": "arn:aws:lambda:us-west-2:123456789012:function:launch",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-west-2:123456789012:dead"},
            "RetryPolicy": {"MaximumEventAgeInSeconds": 8100, "MaximumRetryAttempts": 30},
            "Input": input(&MeetingId::new("m").expect("an id")),
        },
    })
}

const ARN: &str = r#"{"ScheduleArn": "arn:aws:scheduler:us-west-2:123456789012:schedule/elephant/launch-m"}"#;

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    Answer::Reply(status, json!({"__type": code, "Message": message}).to_string())
}

/// The body of a request, whose client token is random.
fn body(text: &str) -> Value {
    let mut body: Value = serde_json::from_str(text).expect("JSON");
    assert!(body["ClientToken"].as_str().is_some_and(|token| token.len() >= 32), "{body}");
    body.as_object_mut().expect("an object").remove("ClientToken");
    body
}

#[tokio::test]
async fn a_schedule_is_created_whole() {
    let wire = Wire::answering("CreateSchedule", [Answer::Reply(200, ARN.into())]).await;
    assert_eq!(group(&wire).create(&schedule()).await, Ok(true));
    let request = wire.only_request();
    assert_eq!(request.target.split('?').next(), Some("/schedules/launch-m"));
    assert_eq!(body(&request.body), as_json());
}

#[tokio::test]
async fn a_schedule_without_a_window_fires_at_its_time() {
    let wire = Wire::answering("CreateSchedule", [Answer::Reply(200, ARN.into())]).await;
    let exact = OneTimeSchedule { flexible_window_minutes: 0, ..schedule() };
    assert_eq!(group(&wire).create(&exact).await, Ok(true));
    assert_eq!(body(&wire.only_request().body)["FlexibleTimeWindow"], json!({"Mode": "OFF"}));
}

#[tokio::test]
async fn a_name_that_is_taken_is_no_error() {
    let taken = refusal(409, "ConflictException", "Schedule launch-m already exists.");
    let wire = Wire::answering("CreateSchedule", [taken]).await;
    assert_eq!(group(&wire).create(&schedule()).await, Ok(false));
}

#[tokio::test]
async fn what_stands_is_read_back_as_it_was_written() {
    let mut found = as_json();
    found["State"] = json!("ENABLED");
    let wire = Wire::answering("GetSchedule", [Answer::Reply(200, found.to_string())]).await;
    assert_eq!(group(&wire).find(&schedule().name).await, Ok(Standing::OneTime(schedule())));
    assert_eq!(wire.only_request().target.split(['?', '&']).nth(1), Some("groupName=elephant"));
}

#[tokio::test]
async fn what_we_cannot_have_written_is_something_else() {
    for (pointer, value) in [
        ("/ScheduleExpression", json!("rate(1 day)")),
        ("/ScheduleExpression", json!("at(2026-01-05)x")),
        ("/ScheduleExpressionTimezone", json!("Europe/Paris")),
        ("/State", json!("DISABLED")),
        ("/ActionAfterCompletion", json!("NONE")),
        ("/Target/DeadLetterConfig", Value::Null),
        ("/Target/Input", Value::Null),
        ("/Target/RetryPolicy", Value::Null),
    ] {
        let mut found = as_json();
        found["State"] = json!("ENABLED");
        *found.pointer_mut(pointer).expect("it is there") = value.clone();
        let wire = Wire::answering("GetSchedule", [Answer::Reply(200, found.to_string())]).await;
        assert_eq!(group(&wire).find(&schedule().name).await, Ok(Standing::Other), "{pointer}: {value}");
    }
}

#[tokio::test]
async fn an_absent_schedule_is_no_error() {
    let gone = || [refusal(404, "ResourceNotFoundException", "Schedule launch-m does not exist.")];
    let wire = Wire::answering("GetSchedule", gone()).await;
    wire.script("UpdateSchedule", gone());
    wire.script("DeleteSchedule", gone());
    let group = group(&wire);
    assert_eq!(group.find(&schedule().name).await, Ok(Standing::Absent));
    assert_eq!(group.replace(&schedule()).await, Ok(false));
    assert_eq!(group.delete(&schedule().name).await, Ok(false));
}

#[tokio::test]
async fn a_schedule_is_replaced_whole_and_deleted_by_its_name() {
    let wire = Wire::answering("UpdateSchedule", [Answer::Reply(200, ARN.into())]).await;
    wire.script("DeleteSchedule", [Answer::Reply(200, "{}".into())]);
    assert_eq!(group(&wire).replace(&schedule()).await, Ok(true));
    assert_eq!(body(&wire.requests("UpdateSchedule")[0].body), as_json());
    assert_eq!(group(&wire).delete(&schedule().name).await, Ok(true));
    assert!(wire.requests("DeleteSchedule")[0].target.contains("groupName=elephant"));
}

async fn failed(answer: Answer) -> AwsError {
    let wire = Wire::answering("CreateSchedule", [answer]).await;
    let error = group(&wire).create(&schedule()).await.expect_err("it is refused");
    assert_eq!(wire.requests("CreateSchedule").len(), 1, "the verb repeats, not the SDK");
    error
}

#[tokio::test]
async fn each_refusal_has_a_class_and_says_what_to_change() {
    for (status, code, message, class, advice) in [
        (429, "ThrottlingException", "Rate exceeded", Class::Throttled, ""),
        (500, "InternalServerException", "try again", Class::Ambiguous, ""),
        (503, "", "", Class::Ambiguous, ""),
        (402, "ServiceQuotaExceededException", "too many", Class::Quota, "Service Quotas"),
        (
            404,
            "ResourceNotFoundException",
            "Schedule group elephant does not exist.",
            Class::Misconfigured,
            "SCHEDULE_GROUP",
        ),
        (
            400,
            "ValidationException",
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
            Class::Propagating,
            "",
        ),
        (400, "ValidationException", "Invalid RoleArn", Class::Misconfigured, "SCHEDULER_ROLE_ARN"),
        (403, "AccessDeniedException", "not authorized", Class::Unauthorized, "iam:PassRole"),
    ] {
        let error = failed(refusal(status, code, message)).await;
        assert_eq!(error.class, class, "{code} {message}: {error:?}");
        assert!(error.advice.contains(advice), "{code}: {:?} should say {advice:?}", error.advice);
        assert_eq!(error.action, "CreateSchedule");
    }
}

#[tokio::test]
async fn requests_and_throttles_are_counted_on_the_wire() {
    let throttled = refusal(429, "ThrottlingException", "Rate exceeded");
    let wire = Wire::answering("CreateSchedule", [throttled, Answer::Reply(200, ARN.into())]).await;
    let calls = Arc::<Calls>::default();
    let group = Group::counted(&wire.sdk(), "elephant", LIMIT, &calls);
    let _ = group.create(&schedule()).await;
    assert_eq!(group.create(&schedule()).await, Ok(true));
    assert_eq!(calls.take(), (2, 1));
    assert_eq!(calls.take(), (0, 0), "a delivery's counts are its own");
}

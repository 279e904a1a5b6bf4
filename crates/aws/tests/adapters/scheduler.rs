//! The adapter of EventBridge Scheduler against the real wire: exact requests, what stands read back, answers by class.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::server::{Answer, Wire};
use elephant_aws::dynamodb::Table;
use elephant_aws::scheduler::Group;
use elephant_aws::sdk::Calls;
use elephant_core::config::ScheduleConfig;
use elephant_core::error::{AwsError, Class, Error, Kind};
use elephant_core::event;
use elephant_core::launch_schedule::{ExistingSchedule, OneTimeSchedule, Retry, ScheduleName, Target, input};
use elephant_core::machine::Token;
use elephant_core::meeting::MeetingId;
use elephant_core::ports::{Clock, Deletes, Schedules, Tokens};
use elephant_core::record::Owner;
use elephant_core::schedule::{Outcome, SchedulePorts, Scheduler};
use elephant_core::timing::Timing;
use jiff::Timestamp;
use serde_json::{Value, json};

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
    assert_eq!(group(&wire).find(&schedule().name).await, Ok(ExistingSchedule::OneTime(schedule())));
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
        assert_eq!(
            group(&wire).find(&schedule().name).await,
            Ok(ExistingSchedule::Other),
            "{pointer}: {value}"
        );
    }
}

#[tokio::test]
async fn an_absent_schedule_is_no_error() {
    let gone = || [refusal(404, "ResourceNotFoundException", "Schedule launch-m does not exist.")];
    let wire = Wire::answering("GetSchedule", gone()).await;
    wire.script("UpdateSchedule", gone());
    wire.script("DeleteSchedule", gone());
    let group = group(&wire);
    assert_eq!(group.find(&schedule().name).await, Ok(ExistingSchedule::Absent));
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

const ROLE: &str = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.";

#[tokio::test]
async fn each_refusal_has_a_class_and_says_what_to_change() {
    let denied = "User: arn:aws:sts::1:assumed-role/schedule/schedule is not authorized to perform:";
    for (status, code, message, class, advice) in [
        (429, "ThrottlingException", "Rate exceeded", Class::Throttled, ""),
        (500, "InternalServerException", "try again", Class::Ambiguous, ""),
        (503, "", "", Class::Ambiguous, ""),
        (503, "ServiceUnavailable", "", Class::Ambiguous, ""),
        (402, "ServiceQuotaExceededException", "too many", Class::Quota, "Service Quotas"),
        (
            404,
            "ResourceNotFoundException",
            "Schedule group elephant does not exist.",
            Class::Misconfigured,
            "SCHEDULE_GROUP",
        ),
        (400, "ValidationException", ROLE, Class::Propagating, "trust policy of SCHEDULER_ROLE_ARN"),
        (400, "ValidationException", ROLE, Class::Propagating, "schedule group elephant"),
        (400, "ValidationException", "Invalid RoleArn", Class::Misconfigured, "SCHEDULER_ROLE_ARN"),
        (
            400,
            "ValidationException",
            "Provided Arn is not in correct format.",
            Class::Misconfigured,
            "LAUNCH_FUNCTION_ARN",
        ),
        (
            400,
            "ValidationException",
            "Invalid Schedule Expression at(2020-01-01T00:00:00).",
            Class::Misconfigured,
            "another meet_time",
        ),
        (400, "ValidationException", "The SQS queue is a FIFO queue", Class::Misconfigured, "DEAD_LETTERS"),
        (403, "AccessDeniedException", "not authorized", Class::Unauthorized, "iam:PassRole"),
        (
            403,
            "AccessDeniedException",
            &format!(
                "{denied} iam:PassRole on resource: arn:aws:iam::1:role/s because no identity-based policy allows"
            ),
            Class::Unauthorized,
            "allow iam:PassRole on SCHEDULER_ROLE_ARN to scheduler.amazonaws.com in",
        ),
        (
            403,
            "AccessDeniedException",
            &format!(
                "{denied} scheduler:CreateSchedule on resource: x with an explicit deny in a service control policy"
            ),
            Class::Unauthorized,
            "a service control policy of the organisation has to allow it",
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token is invalid.",
            Class::Unauthorized,
            "credentials",
        ),
        (403, "ExpiredTokenException", "The security token expired.", Class::Unauthorized, "credentials"),
        (400, "NeverHeardOfIt", "no", Class::Misconfigured, "LAUNCH_FUNCTION_ARN"),
        (403, "NeverHeardOfIt", "no", Class::Unauthorized, "scheduler:CreateSchedule"),
        (408, "RequestTimeoutException", "slow", Class::Ambiguous, ""),
    ] {
        let error = failed(refusal(status, code, message)).await;
        assert_eq!(error.class, class, "{code} {message}: {error:?}");
        assert!(error.advice.contains(advice), "{code}: {:?} should say {advice:?}", error.advice);
        assert_eq!(error.action, "CreateSchedule");
    }
}

/// A schedule that is not there is done with; a group that is not there holds none of ours.
#[tokio::test]
async fn a_group_that_does_not_exist_is_no_absent_schedule() {
    let gone = || [refusal(404, "ResourceNotFoundException", "Schedule group elephant does not exist.")];
    let wire = Wire::answering("GetSchedule", gone()).await;
    wire.script("UpdateSchedule", gone());
    wire.script("DeleteSchedule", gone());
    let (group, name) = (group(&wire), schedule().name);
    let errors = [
        group.find(&name).await.err(),
        group.replace(&schedule()).await.err(),
        group.delete(&name).await.err(),
    ];
    for error in errors {
        let error = error.expect("it is none of ours");
        assert_eq!(error.class, Class::Misconfigured);
        assert!(error.advice.contains("SCHEDULE_GROUP is elephant"), "{error:?}");
    }
    // The name of a schedule has its meeting's id in it.
    let named = MeetingId::new("Schedule group x").map(|meeting| ScheduleName::of(&meeting)).expect("an id");
    let absent = refusal(404, "ResourceNotFoundException", &format!("Schedule {named} does not exist."));
    let wire = Wire::answering("DeleteSchedule", [absent]).await;
    assert_eq!(Group::new(&wire.sdk(), "elephant", LIMIT).delete(&named).await, Ok(false));
}

#[tokio::test]
async fn what_is_being_changed_by_another_is_asked_for_again() {
    let busy = || [refusal(409, "ConflictException", "The schedule is being updated.")];
    let wire = Wire::answering("UpdateSchedule", busy()).await;
    wire.script("DeleteSchedule", busy());
    let group = group(&wire);
    let errors = [group.replace(&schedule()).await.err(), group.delete(&schedule().name).await.err()];
    assert_eq!(errors.map(|error| error.map(|error| error.class)), [Some(Class::Throttled); 2]);
}

/// A clock on which pauses pass at once.
struct Virtual(Cell<Timestamp>);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        self.0.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

struct Longest;

impl Tokens for Longest {
    fn token(&self) -> Token {
        Token::from("t")
    }

    fn owner(&self) -> Owner {
        Owner::from("o")
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}

struct Scheduling;

impl SchedulePorts for Scheduling {
    type Meetings = Table;
    type Schedules = Group;
    type Clock = Virtual;
    type Tokens = Longest;
}

/// How a request to schedule ends where CreateSchedule answers so, how often it was asked, and how long that took.
async fn scheduled(answers: Vec<Answer>) -> (Result<Outcome, Error>, usize, Duration) {
    let wire = Wire::answering("CreateSchedule", answers).await;
    let start: Timestamp = "2026-01-05T09:00:00Z".parse().expect("a time");
    wire.script("PutItem", [Answer::Reply(200, "{}".into())]);
    let item = json!({"Item": {"id": {"S": "m"}, "meet_time": {"S": "2026-01-05T10:00:00Z"}, "status": {"S": "SCHEDULED"}}});
    wire.script("GetItem", [Answer::Reply(200, item.to_string())]);
    let schedule = schedule();
    let scheduler = Scheduler::<Scheduling> {
        meetings: Table::new(&wire.sdk(), "elephant-meetings", LIMIT),
        schedules: group(&wire),
        clock: Virtual(Cell::new(start)),
        tokens: Longest,
        config: ScheduleConfig {
            table_name: "elephant-meetings".into(),
            group: "elephant".into(),
            target: schedule.target,
            lead: Duration::from_secs(15 * 60),
            flexible_window: Duration::from_secs(5 * 60),
            launch_window: Duration::from_secs(120 * 60),
            companions: Vec::new(),
        },
        timing: Timing::DEFAULT,
    };
    let event = json!({"meeting_id": "m", "meet_time": "2026-01-05T10:00:00Z"});
    let request = event::Schedule::from_json(&event).expect("a request");
    let answer = scheduler.schedule(&request, start + Duration::from_secs(300)).await;
    let took = scheduler.clock.now().duration_since(start).unsigned_abs();
    (answer.map(|answer| answer.outcome), wire.requests("CreateSchedule").len(), took)
}

/// A new role is known everywhere within seconds; one that may not be assumed never is.
#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_waited_for_a_little_and_then_named() {
    let early = || refusal(400, "ValidationException", ROLE);
    let (outcome, requests, _) = scheduled(vec![early(), early(), Answer::Reply(200, ARN.into())]).await;
    assert_eq!((outcome, requests), (Ok(Outcome::Scheduled), 3));
    let (outcome, requests, took) = scheduled(vec![early()]).await;
    let error = outcome.expect_err("it never can be");
    assert_eq!((error.kind, requests), (Kind::InvalidConfiguration, 8), "{}", error.chain());
    assert!((5..=20).contains(&took.as_secs()), "{took:?}");
    assert!(error.chain().contains("let the trust policy of SCHEDULER_ROLE_ARN allow"), "{}", error.chain());
    assert!(!error.chain().contains("did not answer in time"), "{}", error.chain());
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

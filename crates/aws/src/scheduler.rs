//! One-time schedules over EventBridge Scheduler: [`OneTimeSchedule`] ⇄ its requests and answers.
//!
//! Some things are the same in all of our schedules: the time is UTC, the schedule is deleted once it has fired, and it
//! is enabled. A schedule of our name and group that differs in one of these is not ours: [`ExistingSchedule::Other`].

mod companions;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::config::retry::RetryConfig;
use aws_sdk_scheduler::config::timeout::TimeoutConfig;
use aws_sdk_scheduler::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_scheduler::operation::RequestId;
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy,
    ScheduleState, Target,
};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::sdk::Calls;
use crate::sdk::{self, CallCounter};
use elephant_core::error::{AwsError, Class};
use elephant_core::launch_schedule::{self, ExistingSchedule, OneTimeSchedule, Retry, ScheduleName};
use elephant_core::ports::{Deletes, Schedules};

pub struct Group {
    client: Client,
    name: String,
}

impl Group {
    /// The SDK does not repeat requests, because the verb does so itself, within its deadline.
    pub fn new(sdk: &aws_config::SdkConfig, name: &str, limit: Duration) -> Self {
        Group { client: Client::from_conf(config(sdk, limit).build()), name: name.to_owned() }
    }

    /// A group whose requests are counted.
    pub fn counted(sdk: &aws_config::SdkConfig, name: &str, limit: Duration, calls: &Arc<Calls>) -> Self {
        let config = config(sdk, limit).interceptor(CallCounter(calls.clone())).build();
        Group { client: Client::from_conf(config), name: name.to_owned() }
    }

    fn failed<E>(&self, action: &'static str, error: &SdkError<E>) -> AwsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E>: RequestId,
    {
        let answer = sdk::Answer { action, request_id: error.request_id().map(str::to_owned) };
        sdk::failed(answer, error, class_of, |failed| self.advice(failed))
    }

    fn advice(&self, failed: &AwsError) -> String {
        let about = |words: &[&str]| {
            let message = failed.message.to_lowercase();
            words.iter().any(|word| message.contains(word))
        };
        match failed.class {
            Class::Unauthorized => sdk::not_the_role(failed).unwrap_or_else(|| {
                let action = failed.action;
                match about(&["iam:passrole"]) {
                    true => "allow iam:PassRole on SCHEDULER_ROLE_ARN to scheduler.amazonaws.com in the function's role"
                        .to_owned(),
                    false if matches!(action, "CreateSchedule" | "UpdateSchedule") => format!(
                        "allow scheduler:{action} on the schedules of the group {}, and iam:PassRole on SCHEDULER_ROLE_ARN \
                         to scheduler.amazonaws.com, in the function's role",
                        self.name
                    ),
                    false => format!(
                        "allow scheduler:{action} on the schedules of the group {} in the function's role",
                        self.name
                    ),
                }
            }),
            Class::Misconfigured if failed.code.as_deref() == Some("ResourceNotFoundException") => {
                format!(
                    "SCHEDULE_GROUP is {}: set it to a schedule group of this account and Region",
                    self.name
                )
            }
            // Scheduler answers the same if the role's trust policy has a condition that Scheduler does not fulfil: it
            // assumes the role for the group.
            Class::Propagating => format!(
                "let the trust policy of SCHEDULER_ROLE_ARN allow sts:AssumeRole to scheduler.amazonaws.com; a condition on \
                 aws:SourceArn there has to name the schedule group {}. If the role is new, ask again in a minute",
                self.name
            ),
            Class::Misconfigured if about(&["role"]) => {
                "set SCHEDULER_ROLE_ARN to a role that scheduler.amazonaws.com may assume".to_owned()
            }
            Class::Misconfigured if about(&["queue", "dead", "dlq", "sqs"]) => {
                "set SCHEDULE_DEAD_LETTERS_ARN to a standard queue of this account and Region".to_owned()
            }
            Class::Misconfigured if about(&["window", "expression"]) => {
                "check LEAD_MINUTES and FLEXIBLE_WINDOW_MINUTES, and send another meet_time".to_owned()
            }
            Class::Misconfigured => {
                "check LAUNCH_FUNCTION_ARN, SCHEDULER_ROLE_ARN and SCHEDULE_DEAD_LETTERS_ARN".to_owned()
            }
            Class::Quota => "ask for more schedules in Service Quotas, or delete those that nobody needs".to_owned(),
            _ => String::new(),
        }
    }
}

fn config(sdk: &aws_config::SdkConfig, limit: Duration) -> aws_sdk_scheduler::config::Builder {
    aws_sdk_scheduler::config::Builder::from(sdk)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(limit).build())
}

/// What to do next after Scheduler's answer. Its codes are in the API reference of CreateSchedule, and among the errors
/// common to all actions (<https://docs.aws.amazon.com/scheduler/latest/APIReference/CommonErrors.html>). Of the
/// answers that we do not know, only a client's error is a refusal; the rest is ambiguous: a repeat is safe.
fn class_of(code: Option<&str>, message: &str, status: u16) -> Class {
    match code.unwrap_or_default() {
        code if sdk::is_throttle(code) => Class::Throttled,
        "ServiceQuotaExceededException" => Class::Quota,
        // "The execution role you provide must allow AWS EventBridge Scheduler to assume the role": the role was made a
        // moment ago and is not known everywhere yet, or it will never allow this (aws-sdk-js-v3#6494; Terraform's
        // provider repeats the request).
        "ValidationException" if message.contains("assume the role") => Class::Propagating,
        // Another request about this schedule or its group is in progress: nothing was done.
        "ConflictException" => Class::Throttled,
        "ResourceNotFoundException" | "ValidationException" => Class::Misconfigured,
        "AccessDeniedException" | "NotAuthorized" | "OptInRequired" => Class::Unauthorized,
        code if sdk::is_about_credentials(code) => Class::Unauthorized,
        "InternalServerException" | "InternalFailure" | "ServiceUnavailable" | "RequestTimeoutException" => {
            Class::Ambiguous
        }
        _ => match status {
            403 => Class::Unauthorized,
            408 => Class::Ambiguous,
            409 | 429 => Class::Throttled,
            400..=499 => Class::Misconfigured,
            _ => Class::Ambiguous,
        },
    }
}

/// Whether there is no such schedule. A missing group, in which no schedule of ours can be, is another error.
fn is_absent<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.code() == Some("ResourceNotFoundException")
        && !error.message().is_some_and(|message| message.starts_with("Schedule group"))
}

/// All that a schedule consists of. CreateSchedule and UpdateSchedule share only the names of these setters.
macro_rules! saying {
    ($request:expr, $group:expr, $schedule:expr) => {
        $request
            .name($schedule.name.as_str())
            .group_name($group)
            .schedule_expression(at($schedule.at))
            .schedule_expression_timezone(UTC)
            .flexible_time_window(to_window($schedule.flexible_window_minutes))
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(to_target($schedule))
    };
}

impl Schedules for Group {
    async fn create(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError> {
        let answer = saying!(self.client.create_schedule(), &self.name, schedule).send().await;
        let stands = CreateScheduleError::is_conflict_exception;
        Ok(sdk::unless(answer, stands, |error| self.failed("CreateSchedule", error))?.is_some())
    }

    async fn find(&self, name: &ScheduleName) -> Result<ExistingSchedule, AwsError> {
        let answer = self.client.get_schedule().name(name.as_str()).group_name(&self.name).send().await;
        let found = sdk::unless(answer, is_absent, |error| self.failed("GetSchedule", error))?;
        Ok(found.map_or(ExistingSchedule::Absent, |found| {
            to_one_time(name, &found).map_or(ExistingSchedule::Other, ExistingSchedule::OneTime)
        }))
    }

    async fn replace(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError> {
        let answer = saying!(self.client.update_schedule(), &self.name, schedule).send().await;
        Ok(sdk::unless(answer, is_absent, |error| self.failed("UpdateSchedule", error))?.is_some())
    }
}

impl Deletes for Group {
    async fn delete(&self, name: &ScheduleName) -> Result<bool, AwsError> {
        let answer = self.client.delete_schedule().name(name.as_str()).group_name(&self.name).send().await;
        Ok(sdk::unless(answer, is_absent, |error| self.failed("DeleteSchedule", error))?.is_some())
    }
}

const UTC: &str = "UTC";

/// `at(2026-01-05T09:45:00)`: a time without a zone. The zone is a field of its own.
fn at(time: Timestamp) -> String {
    format!("at({})", time.strftime("%Y-%m-%dT%H:%M:%S"))
}

fn to_time(expression: &str) -> Option<Timestamp> {
    let time: DateTime = expression.strip_prefix("at(")?.strip_suffix(')')?.parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn to_window(minutes: u32) -> FlexibleTimeWindow {
    let window = match minutes {
        0 => FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off),
        _ => FlexibleTimeWindow::builder()
            .mode(FlexibleTimeWindowMode::Flexible)
            .maximum_window_in_minutes(i32::try_from(minutes).unwrap_or(i32::MAX)),
    };
    window.build().expect("it has a mode")
}

fn to_target(schedule: &OneTimeSchedule) -> Target {
    let retry = RetryPolicy::builder()
        .maximum_event_age_in_seconds(seconds(schedule.retry.maximum_event_age))
        .maximum_retry_attempts(i32::try_from(schedule.retry.maximum_attempts).unwrap_or(i32::MAX))
        .build();
    Target::builder()
        .arn(&schedule.target.function)
        .role_arn(&schedule.target.role)
        .dead_letter_config(DeadLetterConfig::builder().arn(&schedule.target.dead_letters).build())
        .retry_policy(retry)
        .input(&schedule.input)
        .build()
        .expect("it has an ARN and a role")
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// The schedule that was found, if it is one of ours.
fn to_one_time(name: &ScheduleName, found: &GetScheduleOutput) -> Option<OneTimeSchedule> {
    let ours = found.action_after_completion() == Some(&ActionAfterCompletion::Delete)
        && found.schedule_expression_timezone().is_none_or(|zone| zone == UTC)
        && found.state().is_none_or(|state| *state == ScheduleState::Enabled);
    let target = found.target().filter(|_| ours)?;
    let window = found.flexible_time_window()?;
    let retry = target.retry_policy()?;
    Some(OneTimeSchedule {
        name: name.clone(),
        at: to_time(found.schedule_expression()?)?,
        flexible_window_minutes: match window.mode() {
            FlexibleTimeWindowMode::Off => 0,
            _ => window.maximum_window_in_minutes()?.try_into().ok()?,
        },
        target: launch_schedule::Target {
            function: target.arn().to_owned(),
            role: target.role_arn().to_owned(),
            dead_letters: target.dead_letter_config()?.arn()?.to_owned(),
        },
        input: target.input()?.to_owned(),
        retry: Retry {
            maximum_event_age: Duration::from_secs(retry.maximum_event_age_in_seconds()?.try_into().ok()?),
            maximum_attempts: retry.maximum_retry_attempts()?.try_into().ok()?,
        },
    })
}

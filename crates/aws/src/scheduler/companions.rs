//! Companion schedules over EventBridge Scheduler. They belong to other programs, and UpdateSchedule replaces the whole
//! schedule. So when one is moved, everything but its time is sent back as it was read.

use aws_sdk_scheduler::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_scheduler::operation::RequestId;
use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
use aws_sdk_scheduler::operation::get_schedule::{GetScheduleError, GetScheduleOutput};
use aws_sdk_scheduler::operation::update_schedule::UpdateScheduleError;
use jiff::Timestamp;

use super::{Group, UTC, at, class_of, to_time};
use crate::sdk;
use elephant_core::companion::{Companion, CompanionName};
use elephant_core::error::{AwsError, Class};
use elephant_core::ports::{CompanionSchedules, MovingCompanions};

impl CompanionSchedules for Group {
    async fn find_companion(&self, name: &CompanionName) -> Result<Companion, AwsError> {
        Ok(self.get(name).await?.map_or(Companion::Absent, |found| to_companion(&found)))
    }

    async fn delete_companion(&self, name: &CompanionName) -> Result<bool, AwsError> {
        let delete = self.client.delete_schedule().name(&name.name).group_name(&name.group);
        let answer = delete.send().await;
        let absent = DeleteScheduleError::is_resource_not_found_exception;
        Ok(sdk::unless(answer, absent, |error| failed("DeleteSchedule", name, error))?.is_some())
    }
}

impl MovingCompanions for Group {
    async fn move_companion(&self, name: &CompanionName, time: Timestamp) -> Result<bool, AwsError> {
        let Some(found) = self.get(name).await? else { return Ok(false) };
        let Companion::At(_) = to_companion(&found) else { return Ok(false) };
        let answer = self
            .client
            .update_schedule()
            .name(&name.name)
            .group_name(&name.group)
            .schedule_expression(at(time))
            .set_schedule_expression_timezone(found.schedule_expression_timezone)
            .set_description(found.description)
            .set_start_date(found.start_date)
            .set_end_date(found.end_date)
            .set_flexible_time_window(found.flexible_time_window)
            .set_kms_key_arn(found.kms_key_arn)
            .set_target(found.target)
            .set_state(found.state)
            .set_action_after_completion(found.action_after_completion)
            .send()
            .await;
        let absent = UpdateScheduleError::is_resource_not_found_exception;
        Ok(sdk::unless(answer, absent, |error| failed("UpdateSchedule", name, error))?.is_some())
    }
}

impl Group {
    async fn get(&self, name: &CompanionName) -> Result<Option<GetScheduleOutput>, AwsError> {
        let get = self.client.get_schedule().name(&name.name).group_name(&name.group);
        let absent = GetScheduleError::is_resource_not_found_exception;
        sdk::unless(get.send().await, absent, |error| failed("GetSchedule", name, error))
    }
}

fn to_companion(found: &GetScheduleOutput) -> Companion {
    let expression = found.schedule_expression().unwrap_or_default();
    let zone = found.schedule_expression_timezone().unwrap_or(UTC);
    match to_time(expression) {
        Some(time) if zone == UTC => Companion::At(time),
        Some(_) => Companion::Otherwise(format!("its time is one of {zone}, and only UTC is reckoned with")),
        None => Companion::Otherwise(format!("it fires by {expression}, and not once")),
    }
}

fn failed<E>(action: &'static str, name: &CompanionName, error: &SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    let answer = sdk::Answer { action, request_id: error.request_id().map(str::to_owned) };
    sdk::failed(answer, error, class_of, |failed| advice(failed, name))
}

fn advice(failed: &AwsError, name: &CompanionName) -> String {
    let also = match failed.action {
        "UpdateSchedule" => ", and iam:PassRole on the role that it runs with to scheduler.amazonaws.com",
        _ => "",
    };
    match failed.class {
        Class::Unauthorized => format!(
            "allow scheduler:{} on the schedule {name}{also}, in the function's role; or take it out of COMPANION_SCHEDULES",
            failed.action
        ),
        Class::Misconfigured => {
            format!(
                "COMPANION_SCHEDULES names {name}: see whether Scheduler takes it as it stands, or take it out"
            )
        }
        _ => String::new(),
    }
}

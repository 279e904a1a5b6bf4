//! Commands over SSM's Run Command.

use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::error::ProvideErrorMetadata;

use super::{Ssm, failed};
use elephant_core::command::{Invocation, NewCommand};
use elephant_core::error::{AwsError, Class};
use elephant_core::machine::InstanceId;
use elephant_core::ports::Commands;

impl Commands for Ssm {
    async fn send_command(&self, command: &NewCommand) -> Result<String, AwsError> {
        let timeout = command.timeout_seconds.to_string();
        // The time in which SSM tries to reach the machine. SSM allows no less than half a minute.
        let delivery = i32::try_from(command.timeout_seconds).unwrap_or(i32::MAX).clamp(30, 2_592_000);
        let answer = self
            .client()
            .send_command()
            .instance_ids(command.instance_id.as_str())
            .document_name(command.shell.document())
            .comment(&command.name)
            .parameters("commands", vec![command.text.clone()])
            .parameters("executionTimeout", vec![timeout])
            .timeout_seconds(delivery)
            .customize()
            // If the SDK repeated this after a lost answer, the command would run twice.
            .config_override(aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(|error| failed("SendCommand", &error))?;
        let id = answer.command().and_then(|command| command.command_id());
        id.map(str::to_owned).ok_or_else(|| AwsError {
            action: "SendCommand",
            class: Class::Ambiguous,
            code: None,
            message: "answered 200 without a command".to_owned(),
            request_id: None,
            advice: String::new(),
        })
    }

    async fn find_command(&self, instance: &InstanceId, name: &str) -> Result<Option<String>, AwsError> {
        let pages =
            self.client().list_commands().instance_id(instance.as_str()).into_paginator().items().send();
        let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(|e| failed("ListCommands", &e))?;
        let named = found.iter().filter(|command| command.comment() == Some(name));
        let last = named.max_by_key(|command| command.requested_date_time().map(|time| time.as_nanos()));
        Ok(last.and_then(|command| command.command_id()).map(str::to_owned))
    }

    async fn read_command(
        &self,
        command_id: &str,
        instance: &InstanceId,
    ) -> Result<Option<Invocation>, AwsError> {
        let request =
            self.client().get_command_invocation().command_id(command_id).instance_id(instance.as_str());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("InvocationDoesNotExist") => return Ok(None),
            Err(error) => return Err(failed("GetCommandInvocation", &error)),
        };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Some(Invocation {
            status: answer.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            details: text(answer.status_details()),
            // SSM says -1 until there is an exit status.
            exit_status: Some(answer.response_code()).filter(|code| *code != -1),
            output: text(answer.standard_output_content()),
            error_output: text(answer.standard_error_content()),
        }))
    }
}

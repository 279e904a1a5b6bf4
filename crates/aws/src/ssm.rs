//! Systems Manager: parameters of its Parameter Store here, Run Command and private keys in their own files; requests,
//! and error codes → meaning.
//!
//! Images are published as parameters. The client is made at its first use, because most functions are configured with
//! an image's id.

mod commands;
mod kept;
mod private_keys;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::RequestId;

use crate::sdk::Calls;
use crate::sdk::{self, CallCounter};
use elephant_core::error::{AwsError, Class};
use elephant_core::ports::ParameterStore;

pub struct Ssm {
    sdk: aws_config::SdkConfig,
    limit: Duration,
    calls: Arc<Calls>,
    client: OnceCell<Client>,
}

impl Ssm {
    /// An `Ssm` whose requests are counted. The SDK repeats every request that may be repeated, within the limit.
    pub fn counted(sdk: &aws_config::SdkConfig, limit: Duration, calls: &Arc<Calls>) -> Self {
        Ssm { sdk: sdk.clone(), limit, calls: calls.clone(), client: OnceCell::new() }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = aws_sdk_ssm::config::Builder::from(&self.sdk)
                .timeout_config(TimeoutConfig::builder().operation_timeout(self.limit).build())
                .interceptor(CallCounter(self.calls.clone()));
            Client::from_conf(config.build())
        })
    }
}

impl ParameterStore for Ssm {
    async fn parameter(&self, name: &str) -> Result<String, AwsError> {
        let answer = self.client().get_parameter().name(name).send().await.map_err(|error| {
            let answer =
                sdk::Answer { action: "GetParameter", request_id: error.request_id().map(str::to_owned) };
            sdk::failed(
                answer,
                &error,
                |code, _, status| class_of(code, status),
                |failed| advice(failed, name),
            )
        })?;
        let value = answer.parameter().and_then(|parameter| parameter.value());
        value.map(str::to_owned).ok_or_else(|| AwsError {
            action: "GetParameter",
            class: Class::Ambiguous,
            code: None,
            message: format!("answered 200 without the value of {name}"),
            request_id: answer.request_id().map(str::to_owned),
            advice: String::new(),
        })
    }
}

/// The error of a request that is not about an image's parameter.
fn failed<E>(action: &'static str, error: &SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    let answer = sdk::Answer { action, request_id: error.request_id().map(str::to_owned) };
    let advice = |failed: &AwsError| match (failed.class, failed.code.as_deref()) {
        (Class::Unauthorized, Some("AccessDeniedException")) => {
            format!("allow ssm:{action} in the function's role")
        }
        (Class::Unauthorized, _) => "check the credentials that the function runs with".to_owned(),
        (Class::Quota, Some(code)) => {
            format!("{code} is a quota of the account in Systems Manager: ask for more in Service Quotas")
        }
        _ => String::new(),
    };
    sdk::failed(answer, error, |code, _, status| class_of(code, status), advice)
}

fn class_of(code: Option<&str>, status: u16) -> Class {
    match code.unwrap_or_default() {
        code if sdk::is_throttle(code) => Class::Throttled,
        // Two requests wrote one parameter at the same moment.
        "TooManyUpdates" => Class::Throttled,
        // The machine's agent has not reported yet, or never will (aws-cli #4006). The caller knows the machine's age.
        "InvalidInstanceId" => Class::Propagating,
        // For example `ParameterLimitExceeded`.
        code if code.ends_with("LimitExceeded") => Class::Quota,
        "ParameterNotFound" | "ParameterVersionNotFound" | "ValidationException" | "InvalidKeyId" => {
            Class::Misconfigured
        }
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "InvalidClientTokenId" => Class::Unauthorized,
        _ => match status {
            429 => Class::Throttled,
            400..=499 => Class::Misconfigured,
            _ => Class::Ambiguous,
        },
    }
}

fn advice(failed: &AwsError, name: &str) -> String {
    match failed.class {
        Class::Unauthorized if failed.code.as_deref() != Some("AccessDeniedException") => {
            "check the credentials that the function runs with".to_owned()
        }
        Class::Unauthorized => {
            format!("allow ssm:GetParameter on the parameter {name} in the function's role")
        }
        Class::Misconfigured => {
            format!("set AMI_ID to a parameter of this Region that holds an image's id; it names {name}")
        }
        _ => String::new(),
    }
}

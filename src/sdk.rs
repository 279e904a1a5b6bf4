//! What the adapters need of the SDK: its configuration, its errors in our words, its requests counted.
//!
//! The SDK's own rendering of an error is a dump of its structs with the whole body of the answer, a record with
//! people's names for one. Here only what the parts say of themselves is kept, cut to a sane length.

use std::error::Error;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::error::{AwsError, Class};
use crate::metrics::Calls;

/// Region, credentials and endpoints from where every AWS SDK looks, and one HTTP client for all services.
pub async fn load() -> SdkConfig {
    // ring instead of the default aws-lc, whose first use costs 50 ms of CPU, on a cold start's critical path.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
}

/// How much is kept of what AWS, or the way to it, says.
const LENGTH: usize = 500;

/// Which request it was, and what AWS calls it.
pub(crate) struct Answer {
    pub action: &'static str,
    pub request_id: Option<String>,
}

/// Classify an error: `class_of` gets code, message and HTTP status of what AWS answered; what was not answered is
/// ambiguous, whatever the SDK's flags say of it.
pub(crate) fn failed<E: ProvideErrorMetadata + Error + 'static>(
    Answer { action, request_id }: Answer,
    error: &SdkError<E, HttpResponse>,
    class_of: impl Fn(Option<&str>, &str, u16) -> Class,
    advice: impl Fn(&AwsError) -> String,
) -> AwsError {
    let code = error.code().map(str::to_owned);
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let message = match (error.message(), status) {
        (Some(message), _) => message.to_owned(),
        (None, Some(status)) if code.is_none() => format!("HTTP {status} without a readable answer"),
        (None, Some(_)) => "no message".to_owned(),
        (None, None) => chain(error),
    };
    let class = match error {
        SdkError::ServiceError(_) => class_of(code.as_deref(), &message, status.unwrap_or_default()),
        SdkError::ConstructionFailure(_) => Class::Misconfigured,
        _ if only_reads(action) && nothing_was_sent(error) => Class::Misconfigured,
        _ => Class::Ambiguous,
    };
    let message = shortened(message);
    let mut failed = AwsError { action, class, code, message, request_id, advice: String::new() };
    failed.advice = match error {
        SdkError::DispatchFailure(_) if class == Class::Misconfigured => {
            "give the function credentials (its role, or a profile) and a Region (AWS_REGION)".to_owned()
        }
        _ => advice(&failed),
    };
    failed
}

/// Counts what goes over the wire: each sending, the SDK's own repeats too, and each answer that refuses one for its rate.
#[derive(Debug)]
pub(crate) struct CallCounter(pub Arc<Calls>);

impl Intercept for CallCounter {
    fn name(&self) -> &'static str {
        "CallCounter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.sent();
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let body = answer.body().bytes().unwrap_or_default();
        if !answer.status().is_success() && names_a_throttle(answer.headers().get(ERROR_TYPE), body) {
            self.0.throttled();
        }
        Ok(())
    }
}

/// Where services that answer in JSON over REST name their error, if not in the body.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Whether an answer that is no success names one of the codes, as a word of its own: in XML, in JSON, or in a header.
fn names_a_throttle(header: Option<&str>, body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    let word = |c: char| !c.is_ascii_alphanumeric();
    header.into_iter().chain([&*body]).flat_map(|text| text.split(word)).any(is_throttle)
}

/// The codes with which AWS refuses a request for its rate, of every service that we ask.
const THROTTLES: [&str; 13] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
];

pub(crate) fn is_throttle(code: &str) -> bool {
    THROTTLES.contains(&code)
}

/// Of these a wrong guess costs an error message, no machine.
fn only_reads(action: &str) -> bool {
    action.starts_with("Get") || action.starts_with("Describe")
}

/// Without credentials or a Region the SDK fails before it connects, and says so in words only.
fn nothing_was_sent<E, R>(error: &SdkError<E, R>) -> bool
where
    E: Error + 'static,
    R: std::fmt::Debug,
{
    let SdkError::DispatchFailure(failure) = error else { return false };
    let said = chain(error).to_lowercase();
    failure.is_other()
        && failure.as_other().is_none()
        && (said.contains("credential") || said.contains("region"))
}

/// What each link of the chain says of itself, each once.
fn chain(error: &dyn Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut link = Some(error);
    while let Some(current) = link {
        let text = current.to_string();
        if !text.is_empty() && !said.contains(&text) {
            said.push(text);
        }
        link = current.source();
    }
    said.join(": ")
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

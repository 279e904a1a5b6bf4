//! What the adapters need of the SDK: its configuration, its errors in our words, its requests counted.
//!
//! The SDK shows an error as a dump of its structs with the whole body of the answer, for example a record with
//! people's names. We keep only the parts' own messages, cut to a limited length.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::access::{Access, Trust};
use elephant_core::config::shown;
use elephant_core::error::{AwsError, Class, Error, Kind};

/// Region, credentials and endpoints from where every AWS SDK looks, and one connector for all clients.
pub async fn load(access: &Access) -> Result<SdkConfig, Error> {
    let tls = tls_context(&access.trust)?;
    let shared = connector(&tls, CONNECT);
    // The SDK's own client would build a connector for each service client, parse every root certificate for it, and
    // throw away the first of each. Only the places where credentials are looked for ask for another limit.
    let http = http_client_fn(move |settings, _| match settings.connect_timeout() {
        Some(limit) if limit != CONNECT => connector(&tls, limit),
        _ => shared.clone(),
    });
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        // This protection would look at every open body ten times a second, and each of our requests has its own limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if access.credentials_in_environment {
        loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
    }
    Ok(loader.load().await)
}

/// The time to wait for a connection, the same as in the SDK's own clients.
const CONNECT: Duration = Duration::from_millis(3100);

/// The certificates of the authorities that vouch for AWS's own endpoints.
const AMAZON: &[u8] = include_bytes!("sdk/amazon.pem");

fn tls_context(trust: &Trust) -> Result<TlsContext, Error> {
    let store = match trust {
        Trust::System => TrustStore::default(),
        Trust::Amazon => TrustStore::empty().with_pem_certificate(AMAZON),
        Trust::Bundle(file) => TrustStore::empty().with_pem_certificate(bundle(file)?),
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| {
        Error::new(
            Kind::InvalidConfiguration,
            format!("no TLS: {error}"),
            "report this; it is a fault of ours",
        )
    })
}

fn connector(tls: &TlsContext, connect: Duration) -> SharedHttpConnector {
    let connector = Connector::builder()
        // ring replaces the default aws-lc, whose first use costs 50 ms of CPU on a cold start's critical path.
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.clone())
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(connect).build())
        .proxy_config(ProxyConfig::from_env())
        .build();
    SharedHttpConnector::new(connector)
}

/// The certificates in the file. They are checked first, because the connector would panic at an unusable file.
fn bundle(file: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |what: String| {
        Error::new(
            Kind::InvalidConfiguration,
            format!("AWS_CA_BUNDLE {}: {what}", shown("AWS_CA_BUNDLE", &file.to_string_lossy())),
            "set AWS_CA_BUNDLE to a file of certificates in PEM, or unset it",
        )
    };
    let text = std::fs::read(file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| {
            wrong(format!("certificate {} in it cannot be used: {error}", roots.len() + 1))
        })?;
    }
    match roots.is_empty() {
        true => Err(wrong("no certificate is in it".to_owned())),
        false => Ok(text),
    }
}

/// The longest message of AWS, or of the network, that is kept. An encoded authorisation message has some thousand
/// characters, and only the whole of it can be decoded (aws-parallelcluster#372).
const LENGTH: usize = 8000;

/// The action that was asked for, and AWS's id of the request.
pub(crate) struct Answer {
    pub action: &'static str,
    pub request_id: Option<String>,
}

/// Classify an error. `class_of` gets the code, message and HTTP status of AWS's answer. A request without an answer is
/// ambiguous, whatever the SDK's flags say.
pub(crate) fn failed<E: ProvideErrorMetadata + std::error::Error + 'static>(
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
    // All errors of AWS have a code. A page without one is a proxy's, which may have passed the request on or not.
    let of_aws = code.is_some() || status.is_some_and(|status| status == 429 || status >= 500);
    let class = match error {
        SdkError::ServiceError(_) if !of_aws => Class::Ambiguous,
        SdkError::ServiceError(_) => class_of(code.as_deref(), &message, status.unwrap_or_default()),
        SdkError::ConstructionFailure(_) => Class::Misconfigured,
        _ if only_reads(action) && nothing_was_sent(error) => Class::Misconfigured,
        // This fails before the request is sent, every time.
        SdkError::DispatchFailure(_) if message.contains(UNUSABLE_ENDPOINT) => Class::Misconfigured,
        _ => Class::Ambiguous,
    };
    let message = shortened(message);
    let mut failed = AwsError { action, class, code, message, request_id, advice: String::new() };
    failed.advice = match error {
        SdkError::DispatchFailure(_) if failed.message.contains(UNUSABLE_ENDPOINT) => {
            "set the endpoint (AWS_ENDPOINT_URL…, or endpoint_url in the profile) to http:// or https:// and a host".to_owned()
        }
        SdkError::DispatchFailure(_) if class == Class::Misconfigured => {
            "give the function credentials (its role, or a profile) and a Region (AWS_REGION)".to_owned()
        }
        _ => advice(&failed),
    };
    let unreachable = match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => true,
        SdkError::ServiceError(_) => !of_aws,
        _ => false,
    };
    if unreachable && failed.advice.is_empty() {
        failed.advice = UNREACHABLE.to_owned();
    }
    failed
}

/// The answer; `None`: an error that is as good as an answer.
pub(crate) fn unless<R, E>(
    answer: Result<R, SdkError<E, HttpResponse>>,
    is_as_good: impl Fn(&E) -> bool,
    failed: impl FnOnce(&SdkError<E, HttpResponse>) -> AwsError,
) -> Result<Option<R>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.as_service_error().is_some_and(is_as_good) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// The advice if no answer came, which may be a short disturbance.
pub(crate) const UNREACHABLE: &str = "a repeat may be answered; if none is, nothing can be reached from here: a function in a \
     VPC needs a NAT gateway or a VPC endpoint for this service, and HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL have to lead \
     to it";

/// Requests on the wire, the SDK's own repeats included.
#[derive(Debug, Default)]
pub struct Calls {
    sent: AtomicU64,
    throttled: AtomicU64,
}

impl Calls {
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of requests sent, and of requests that AWS throttled, since the last call.
    pub fn take(&self) -> (u64, u64) {
        (self.sent.swap(0, Ordering::Relaxed), self.throttled.swap(0, Ordering::Relaxed))
    }
}

/// Counts every request that is sent, the SDK's own repeats too, and every answer that throttles one.
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

/// The header in which services with JSON over REST name their error, if it is not in the body.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Whether a failed answer names one of the codes as a whole word, in XML, in JSON or in a header.
fn names_a_throttle(header: Option<&str>, body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    let word = |c: char| !c.is_ascii_alphanumeric();
    header.into_iter().chain([&*body]).flat_map(|text| text.split(word)).any(is_throttle)
}

/// The throttling codes of all services that we use.
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

/// The codes that say that the credentials are not valid, as opposed to what they allow. EC2 has some of its own.
pub(crate) fn is_about_credentials(code: &str) -> bool {
    [
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
    ]
    .contains(&code)
}

/// What to do about a refusal that is not the fault of the function's role. AWS names the policy that denies, or that
/// does not allow: <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
pub(crate) fn not_the_role(failed: &AwsError) -> Option<String> {
    if failed.code.as_deref().is_some_and(is_about_credentials) {
        return Some("check the credentials that the function runs with, and its clock".to_owned());
    }
    let policies = [
        ("service control policy", "a service control policy of the organisation"),
        ("resource control policy", "a resource control policy of the organisation"),
        ("permissions boundary", "the permissions boundary of the function's role"),
        ("VPC endpoint policy", "the policy of the VPC endpoint"),
        ("session policy", "the session policy"),
    ];
    let (_, policy) = policies.into_iter().find(|(words, _)| failed.message.contains(words))?;
    Some(format!("{policy} has to allow it: the policies of the function's role are not at fault"))
}

/// Whether the action only reads. Then a wrong guess costs an error message, and no machine.
fn only_reads(action: &str) -> bool {
    action.starts_with("Get") || action.starts_with("Describe")
}

/// Whether the SDK failed before it connected. Without credentials or a Region it does, and says so in words only.
fn nothing_was_sent<E, R>(error: &SdkError<E, R>) -> bool
where
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let SdkError::DispatchFailure(failure) = error else { return false };
    let said = chain(error).to_lowercase();
    failure.is_other()
        && failure.as_other().is_none()
        && (said.contains("credential") || said.contains("region"))
}

/// The SDK's words for an endpoint without a scheme, for example from a profile. After these words it shows the
/// endpoint, which may hold a password, and the whole request with its body (smithy-rs#1496).
const UNUSABLE_ENDPOINT: &str = "failed to apply endpoint";

/// The longest message of one link that is kept.
const LINK: usize = 200;

/// The message of each link of the chain, each once, and nothing of the request.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut link = Some(error);
    while let Some(current) = link {
        let text = current.to_string();
        let whole = ["Request {", "Response {", "SdkBody"].iter().filter_map(|dump| text.find(dump)).min();
        let end = text.find(UNUSABLE_ENDPOINT).map(|at| at + UNUSABLE_ENDPOINT.len()).or(whole);
        let text: String = text[..end.unwrap_or(text.len())].chars().take(LINK).collect();
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

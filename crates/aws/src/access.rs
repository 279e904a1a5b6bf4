//! How AWS is reached: what the environment says about Region, credentials and trust.
//!
//! In Lambda the environment has all of it, so a function builds neither the SDK's chain of places to look nor the
//! system's trust store. Whatever the environment does not have is looked for where every AWS SDK looks.

use std::path::PathBuf;

/// The services that have an endpoint variable of their own.
const SERVICES: [&str; 4] = ["EC2", "DYNAMODB", "SCHEDULER", "SSM"];

/// Each of these variables says that requests do not simply go to AWS's own endpoints, or that somebody has set other
/// rules of trust.
const DETOURS: [&str; 9] = [
    "AWS_ENDPOINT_URL",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
];

/// Prefixes of Regions whose endpoints have certificates of other authorities than Amazon: China, the isolated ones.
const OTHER_AUTHORITIES: [&str; 3] = ["cn-", "us-iso", "eu-iso"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `None`: the SDK looks for it.
    pub region: Option<String>,
    /// Whether the credentials are in the environment, the first place where the SDK would look.
    pub credentials_in_environment: bool,
    pub trust: Trust,
}

/// The authorities that may vouch for AWS's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All authorities that the system trusts.
    System,
    /// Only Amazon Trust Services' five. In Lambda nothing stands between the function and AWS's endpoints.
    Amazon,
    /// The authorities in the file that `AWS_CA_BUNDLE` names.
    Bundle(PathBuf),
}

/// A variable of this process's environment. Only this function reads the environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

impl Access {
    pub fn from_env() -> Self {
        Access::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let region = value("AWS_REGION").or_else(|| value("AWS_DEFAULT_REGION"));
        let endpoints = SERVICES.iter().map(|service| format!("AWS_ENDPOINT_URL_{service}"));
        let detour = DETOURS.iter().any(|name| value(name).is_some())
            || endpoints.into_iter().any(|name| value(&name).is_some());
        // Only Lambda itself sets this. A laptop may be behind a proxy that it does not know of.
        let in_lambda = value("AWS_LAMBDA_INITIALIZATION_TYPE").is_some();
        let amazon = region
            .as_ref()
            .is_some_and(|region| !OTHER_AUTHORITIES.iter().any(|partition| region.starts_with(partition)));
        let trust = match value("AWS_CA_BUNDLE") {
            Some(file) => Trust::Bundle(PathBuf::from(file)),
            None if in_lambda && amazon && !detour => Trust::Amazon,
            None => Trust::System,
        };
        Access {
            credentials_in_environment: value("AWS_ACCESS_KEY_ID").is_some()
                && value("AWS_SECRET_ACCESS_KEY").is_some(),
            region,
            trust,
        }
    }
}

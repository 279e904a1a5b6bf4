//! Parameters that are made only once: the first request decides.

use aws_sdk_ssm::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::ParameterType;
use jiff::Timestamp;

use super::{Ssm, failed};
use crate::sdk;
use elephant_core::error::AwsError;
use elephant_core::ports::KeptNames;

impl KeptNames for Ssm {
    async fn keep_first(&self, name: &str, value: &str) -> Result<bool, AwsError> {
        let request = self.client().put_parameter().name(name).value(value).r#type(ParameterType::String);
        match request.overwrite(false).send().await {
            Ok(_) => Ok(true),
            // The parameter may be from an earlier sending of this same request.
            Err(error) if error.code() == Some("ParameterAlreadyExists") => {
                Ok(self.read_kept(name).await?.is_some_and(|(kept, _)| kept == value))
            }
            Err(error) => Err(failed("PutParameter", &error)),
        }
    }

    async fn read_kept(&self, name: &str) -> Result<Option<(String, Option<Timestamp>)>, AwsError> {
        let answer = self.client().get_parameter().name(name).send().await;
        let answer = sdk::unless(answer, is_absent, |error| failed("GetParameter", error))?;
        Ok(answer.as_ref().and_then(|answer| answer.parameter()).and_then(|parameter| {
            let since = parameter.last_modified_date();
            let since = since.and_then(|time| Timestamp::from_second(time.secs()).ok());
            Some((parameter.value()?.to_owned(), since))
        }))
    }

    async fn forget_kept(&self, name: &str) -> Result<bool, AwsError> {
        let answer = self.client().delete_parameter().name(name).send().await;
        Ok(sdk::unless(answer, is_absent, |error| failed("DeleteParameter", error))?.is_some())
    }
}

fn is_absent<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.code() == Some("ParameterNotFound")
}

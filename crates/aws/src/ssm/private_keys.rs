//! Private keys in SSM's Parameter Store. This code never reads a stored key.

use aws_sdk_ssm::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterType};

use super::{Ssm, failed};
use elephant_core::error::AwsError;
use elephant_core::key_pair::{PrivateKey, parameter};
use elephant_core::ports::PrivateKeys;

impl PrivateKeys for Ssm {
    async fn keep(&self, key_pair_id: &str, private_key: &PrivateKey) -> Result<(), AwsError> {
        let request = self
            .client()
            .put_parameter()
            .name(parameter(key_pair_id))
            .value(&private_key.0)
            .r#type(ParameterType::SecureString)
            .overwrite(false);
        match request.send().await {
            Ok(_) => Ok(()),
            // An earlier sending of this request stored it: nobody else has this key.
            Err(error) if error.code() == Some("ParameterAlreadyExists") => Ok(()),
            Err(error) => Err(failed("PutParameter", &error)),
        }
    }

    async fn is_kept(&self, key_pair_id: &str) -> Result<bool, AwsError> {
        let name = parameter(key_pair_id);
        let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(&name).build();
        let filter = filter.expect("it has a key");
        let pages = self.client().describe_parameters().parameter_filters(filter).into_paginator().send();
        let pages = pages.collect::<Result<Vec<_>, _>>().await;
        let pages = pages.map_err(|error| failed("DescribeParameters", &error))?;
        let mut found = pages.iter().flat_map(|page| page.parameters());
        Ok(found.any(|parameter| parameter.name() == Some(&name)))
    }
}

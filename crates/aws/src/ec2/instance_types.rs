//! Instance types over EC2: which zone offers which.

use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::LocationType;

use super::{Ec2, filter_of};
use elephant_core::error::AwsError;
use elephant_core::network::Offerings;
use elephant_core::ports::InstanceTypes;

impl InstanceTypes for Ec2 {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        let pages = async {
            let mut found = Vec::new();
            let mut next = None;
            loop {
                // The SDK's own paginator cannot be told not to repeat requests.
                let page = self
                    .client
                    .describe_instance_type_offerings()
                    .location_type(LocationType::AvailabilityZone)
                    .filters(filter_of("instance-type", instance_types))
                    .set_next_token(next)
                    .customize()
                    .config_override(Builder::new().retry_config(RetryConfig::disabled()))
                    .send()
                    .await?;
                found.extend_from_slice(page.instance_type_offerings());
                next = page.next_token;
                if next.as_ref().is_none_or(String::is_empty) {
                    return Ok(found);
                }
            }
        };
        let found = self.all("DescribeInstanceTypeOfferings", pages).await?;
        let pair = |offering: &aws_sdk_ec2::types::InstanceTypeOffering| {
            Some((offering.instance_type()?.as_str().to_owned(), offering.location()?.to_owned()))
        };
        Ok(found.iter().filter_map(pair).collect())
    }
}

//! Instance types over EC2: which zone offers which.

use aws_sdk_ec2::types::LocationType;

use super::{Ec2, filter_of};
use crate::error::AwsError;
use crate::needs::InstanceTypes;
use crate::network::Offerings;

impl InstanceTypes for Ec2 {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        let offerings = self
            .client
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(filter_of("instance-type", instance_types))
            .into_paginator()
            .items()
            .send();
        let found =
            self.all("DescribeInstanceTypeOfferings", offerings.collect::<Result<Vec<_>, _>>()).await?;
        let pair = |offering: &aws_sdk_ec2::types::InstanceTypeOffering| {
            Some((offering.instance_type()?.as_str().to_owned(), offering.location()?.to_owned()))
        };
        Ok(found.iter().filter_map(pair).collect())
    }
}

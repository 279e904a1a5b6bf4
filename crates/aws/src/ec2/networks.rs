//! Networks over EC2: VPCs and their subnets.

use aws_sdk_ec2::types::Filter;

use super::{Ec2, filter};
use elephant_core::error::{AwsError, Class};
use elephant_core::network::{Found, Network, Subnet};
use elephant_core::ports::Networks;

impl Networks for Ec2 {
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError> {
        let subnets = self.client.describe_subnets();
        let subnets = match network {
            Network::Subnets(ids) => subnets.set_subnet_ids(Some(ids.clone())),
            Network::Vpc(vpc) => subnets.filters(filter("vpc-id", vpc)),
            // The VPC is asked for at the same time; `network.rs` joins the two answers.
            Network::Default | Network::VpcNamed(_) => subnets,
        };
        let subnets = subnets.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let vpcs = async {
            match network {
                Network::Subnets(_) | Network::Vpc(_) => Ok(Vec::new()),
                Network::Default => self.find_vpcs(filter("is-default", "true")).await,
                Network::VpcNamed(name) => self.find_vpcs(filter("tag:Name", name)).await,
            }
        };
        let (subnets, vpcs) = tokio::join!(self.all("DescribeSubnets", subnets), vpcs);
        let (subnets, vpcs) = (subnets.map_err(named)?, vpcs?);
        // In the default VPC, each zone has one default subnet, which has a route to the internet. Subnets that people
        // added may be private, and nobody could reach machines in them.
        let added = |subnet: &aws_sdk_ec2::types::Subnet| {
            let of_default = subnet.vpc_id().is_some_and(|vpc| vpcs.iter().any(|default| default == vpc));
            *network == Network::Default && of_default && subnet.default_for_az() != Some(true)
        };
        let subnets = subnets.iter().filter(|subnet| !added(subnet)).filter_map(to_subnet).collect();
        Ok(Found { subnets, vpcs })
    }
}

impl Ec2 {
    async fn find_vpcs(&self, which: Filter) -> Result<Vec<String>, AwsError> {
        let pages = self.client.describe_vpcs().filters(which).into_paginator().items().send();
        let vpcs = self.all("DescribeVpcs", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(vpcs.iter().filter_map(|vpc| vpc.vpc_id()).map(str::to_owned).collect())
    }
}

/// The configuration names these subnets: a missing one is its error, and not only a subnet to leave out.
fn named(error: AwsError) -> AwsError {
    match error.class {
        Class::SubnetUnfit => AwsError { class: Class::Misconfigured, ..error },
        _ => error,
    }
}

fn to_subnet(subnet: &aws_sdk_ec2::types::Subnet) -> Option<Subnet> {
    Some(Subnet {
        subnet_id: subnet.subnet_id()?.to_owned(),
        vpc_id: subnet.vpc_id()?.to_owned(),
        availability_zone: subnet.availability_zone()?.to_owned(),
        available_ip_addresses: subnet.available_ip_address_count().unwrap_or(0),
    })
}

//! Our VPCs over EC2, and the things in them.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, NetworkInterface, ResourceType, RouteState, Tag};

use super::hardware::{PAGE, done_or, is_code, made, says};
use super::{Ec2, failed, filter, filter_of, tagged, to_tags};
use elephant_core::error::AwsError;
use elephant_core::machine::InstanceId;
use elephant_core::ports::OwnVpcs;
use elephant_core::vpc::{
    AssociationId, Contents, InternetGateway, InternetGatewayId, RouteTable, RouteTableId, SecurityGroup,
    SecurityGroupId, Subnet, SubnetId, Vpc, VpcId,
};

const EVERYWHERE: &str = "0.0.0.0/0";

impl OwnVpcs for Ec2 {
    async fn find_vpcs(&self, name: &str, project: &str) -> Result<Vec<Vpc>, AwsError> {
        let pages = self.client.describe_vpcs().set_filters(Some(ours(name, project))).into_paginator();
        let pages = pages.page_size(PAGE).items();
        let found = self.all("DescribeVpcs", pages.send().collect::<Result<Vec<_>, _>>()).await?;
        let vpc = |vpc: &aws_sdk_ec2::types::Vpc| {
            Some(Vpc { vpc_id: vpc.vpc_id()?.into(), cidr: vpc.cidr_block().unwrap_or_default().to_owned() })
        };
        Ok(found.iter().filter_map(vpc).collect())
    }

    async fn create_vpc(&self, cidr: &str, tags: &BTreeMap<String, String>) -> Result<VpcId, AwsError> {
        let request = self.client.create_vpc().cidr_block(cidr);
        let answer = request.tag_specifications(tagged(ResourceType::Vpc, tags)).send().await;
        let answer = answer.map_err(|error| failed("CreateVpc", &error))?;
        made("CreateVpc", answer.vpc().and_then(|vpc| vpc.vpc_id())).map(VpcId::from)
    }

    async fn name_hosts(&self, vpc_id: &VpcId) -> Result<(), AwsError> {
        let yes = AttributeBooleanValue::builder().value(true).build();
        let request = self.client.modify_vpc_attribute().vpc_id(vpc_id.as_str()).enable_dns_hostnames(yes);
        request.send().await.map(|_| ()).map_err(|error| failed("ModifyVpcAttribute", &error))
    }

    async fn delete_vpc(&self, vpc_id: &VpcId) -> Result<(), AwsError> {
        let answer = self.client.delete_vpc().vpc_id(vpc_id.as_str()).send().await;
        done_or("DeleteVpc", answer, &["InvalidVpcID.NotFound"])
    }

    async fn list_zones(&self) -> Result<Vec<String>, AwsError> {
        let request = self.client.describe_availability_zones();
        let request =
            request.filters(filter("state", "available")).filters(filter("zone-type", "availability-zone"));
        let answer = request.send().await.map_err(|error| failed("DescribeAvailabilityZones", &error))?;
        let names = answer.availability_zones().iter().filter_map(|zone| zone.zone_name());
        Ok(names.map(str::to_owned).collect())
    }

    async fn look_into_vpc(&self, vpc_id: &VpcId, name: &str, project: &str) -> Result<Contents, AwsError> {
        let within = || {
            let mut filters = ours(name, project);
            filters.push(filter("vpc-id", vpc_id.as_str()));
            filters
        };
        let gateways = self.gateways(ours(name, project)).await?;
        let (subnets, tables) = (self.subnets(within()).await?, self.route_tables(within()).await?);
        let groups = self.security_groups(within()).await?;
        Ok(Contents {
            subnets: subnets.iter().filter_map(to_subnet).collect(),
            internet_gateways: gateways.iter().filter_map(to_gateway).collect(),
            route_tables: tables.iter().filter_map(to_route_table).collect(),
            security_groups: groups.iter().filter_map(to_group).collect(),
        })
    }

    async fn create_subnet(
        &self,
        vpc_id: &VpcId,
        cidr: &str,
        zone: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let request =
            self.client.create_subnet().vpc_id(vpc_id.as_str()).cidr_block(cidr).availability_zone(zone);
        let answer = request.tag_specifications(tagged(ResourceType::Subnet, tags)).send().await;
        done_or("CreateSubnet", answer, &["InvalidSubnet.Conflict"])
    }

    async fn make_subnet_public(&self, subnet_id: &SubnetId) -> Result<(), AwsError> {
        let yes = AttributeBooleanValue::builder().value(true).build();
        let request =
            self.client.modify_subnet_attribute().subnet_id(subnet_id.as_str()).map_public_ip_on_launch(yes);
        request.send().await.map(|_| ()).map_err(|error| failed("ModifySubnetAttribute", &error))
    }

    async fn create_internet_gateway(
        &self,
        tags: &BTreeMap<String, String>,
    ) -> Result<InternetGatewayId, AwsError> {
        let request = self.client.create_internet_gateway();
        let answer = request.tag_specifications(tagged(ResourceType::InternetGateway, tags)).send().await;
        let answer = answer.map_err(|error| failed("CreateInternetGateway", &error))?;
        let id = answer.internet_gateway().and_then(|gateway| gateway.internet_gateway_id());
        made("CreateInternetGateway", id).map(InternetGatewayId::from)
    }

    async fn attach_internet_gateway(&self, id: &InternetGatewayId, vpc_id: &VpcId) -> Result<(), AwsError> {
        match self
            .client
            .attach_internet_gateway()
            .internet_gateway_id(id.as_str())
            .vpc_id(vpc_id.as_str())
            .send()
            .await
        {
            // "Network vpc-… already has an internet gateway attached"
            Err(error)
                if is_code(&error, &["InvalidParameterValue"]) && says(&error, "already has an internet") =>
            {
                Ok(())
            }
            // Another request has attached its own gateway, and deleted this one as a spare.
            answer => done_or(
                "AttachInternetGateway",
                answer,
                &["Resource.AlreadyAssociated", "InvalidInternetGatewayID.NotFound"],
            ),
        }
    }

    async fn create_route_table(
        &self,
        vpc_id: &VpcId,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let request = self.client.create_route_table().vpc_id(vpc_id.as_str());
        let answer = request.tag_specifications(tagged(ResourceType::RouteTable, tags)).send().await;
        answer.map(|_| ()).map_err(|error| failed("CreateRouteTable", &error))
    }

    async fn add_default_route(
        &self,
        route_table_id: &RouteTableId,
        gateway_id: &InternetGatewayId,
    ) -> Result<(), AwsError> {
        let request = self
            .client
            .create_route()
            .route_table_id(route_table_id.as_str())
            .gateway_id(gateway_id.as_str());
        let answer = request.destination_cidr_block(EVERYWHERE).send().await;
        done_or("CreateRoute", answer, &["RouteAlreadyExists"])
    }

    async fn associate_route_table(
        &self,
        route_table_id: &RouteTableId,
        subnet_id: &SubnetId,
    ) -> Result<(), AwsError> {
        let request = self.client.associate_route_table().route_table_id(route_table_id.as_str());
        let answer = request.subnet_id(subnet_id.as_str()).send().await;
        // A route table that is gone was a spare: the subnet has another one, or gets one from the next request.
        let codes = ["Resource.AlreadyAssociated", "InvalidRouteTableID.NotFound"];
        done_or("AssociateRouteTable", answer, &codes)
    }

    async fn create_security_group(
        &self,
        vpc_id: &VpcId,
        name: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let request = self.client.create_security_group().vpc_id(vpc_id.as_str()).group_name(name);
        let request = request.description("Machines of meetings: everything out, nothing in");
        let answer = request.tag_specifications(tagged(ResourceType::SecurityGroup, tags)).send().await;
        done_or("CreateSecurityGroup", answer, &["InvalidGroup.Duplicate"])
    }

    async fn list_machines_in_vpc(&self, vpc_id: &VpcId) -> Result<Vec<InstanceId>, AwsError> {
        let live = ["pending", "running", "stopping", "stopped", "shutting-down"].map(str::to_owned);
        let request = self.client.describe_instances().filters(filter("vpc-id", vpc_id.as_str()));
        let request = request.filters(filter_of("instance-state-name", &live));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let found = self.all("DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        let machines = found.iter().flat_map(|reservation| reservation.instances());
        Ok(machines.filter_map(|machine| Some(InstanceId::from(machine.instance_id()?))).collect())
    }

    async fn list_foreign(&self, vpc_id: &VpcId, name: &str, project: &str) -> Result<Vec<String>, AwsError> {
        let within = || vec![filter("vpc-id", vpc_id.as_str())];
        let is_ours = |tags: &[Tag]| {
            let tags = to_tags(tags);
            let tag = |key: &str| tags.get(key).map(String::as_str);
            (tag("Name"), tag("Project")) == (Some(name), Some(project))
        };
        let interfaces = self.client.describe_network_interfaces().set_filters(Some(within()));
        let interfaces = interfaces.into_paginator().page_size(PAGE).items().send();
        let interfaces = interfaces.collect::<Result<Vec<_>, _>>();
        let mut foreign: Vec<String> = self
            .all("DescribeNetworkInterfaces", interfaces)
            .await?
            .iter()
            .filter_map(of_nobodys_machine)
            .collect();
        let mut found =
            |kind: &str, id: Option<&str>| foreign.extend(id.map(|id| format!("the {kind} {id}")));
        for subnet in self.subnets(within()).await?.iter().filter(|subnet| !is_ours(subnet.tags())) {
            found("subnet", subnet.subnet_id());
        }
        for table in self.route_tables(within()).await? {
            if !is_ours(table.tags()) && !table.associations().iter().any(|of| of.main() == Some(true)) {
                found("route table", table.route_table_id());
            }
            table.routes().iter().for_each(|route| found("way to", foreign_target(route)));
        }
        let groups = self.security_groups(within()).await?;
        // Every VPC has this group, which is deleted with the VPC.
        let by_itself = |group: &aws_sdk_ec2::types::SecurityGroup| group.group_name() == Some("default");
        for group in groups.iter().filter(|group| !is_ours(group.tags()) && !by_itself(group)) {
            found("security group", group.group_id());
        }
        let gateways = self.gateways(vec![filter("attachment.vpc-id", vpc_id.as_str())]).await?;
        for gateway in gateways.iter().filter(|gateway| !is_ours(gateway.tags())) {
            found("internet gateway", gateway.internet_gateway_id());
        }
        Ok(foreign)
    }

    async fn delete_security_group(&self, id: &SecurityGroupId) -> Result<(), AwsError> {
        let answer = self.client.delete_security_group().group_id(id.as_str()).send().await;
        done_or("DeleteSecurityGroup", answer, &["InvalidGroup.NotFound"])
    }

    async fn delete_subnet(&self, id: &SubnetId) -> Result<(), AwsError> {
        let answer = self.client.delete_subnet().subnet_id(id.as_str()).send().await;
        done_or("DeleteSubnet", answer, &["InvalidSubnetID.NotFound"])
    }

    async fn disassociate_route_table(&self, association_id: &AssociationId) -> Result<(), AwsError> {
        let answer =
            self.client.disassociate_route_table().association_id(association_id.as_str()).send().await;
        done_or("DisassociateRouteTable", answer, &["InvalidAssociationID.NotFound"])
    }

    async fn delete_route_table(&self, id: &RouteTableId) -> Result<(), AwsError> {
        let answer = self.client.delete_route_table().route_table_id(id.as_str()).send().await;
        done_or("DeleteRouteTable", answer, &["InvalidRouteTableID.NotFound"])
    }

    async fn detach_internet_gateway(&self, id: &InternetGatewayId, vpc_id: &VpcId) -> Result<(), AwsError> {
        let answer = self
            .client
            .detach_internet_gateway()
            .internet_gateway_id(id.as_str())
            .vpc_id(vpc_id.as_str())
            .send()
            .await;
        done_or(
            "DetachInternetGateway",
            answer,
            &["Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"],
        )
    }

    async fn delete_internet_gateway(&self, id: &InternetGatewayId) -> Result<(), AwsError> {
        let answer = self.client.delete_internet_gateway().internet_gateway_id(id.as_str()).send().await;
        done_or("DeleteInternetGateway", answer, &["InvalidInternetGatewayID.NotFound"])
    }
}

impl Ec2 {
    async fn subnets(&self, filters: Vec<Filter>) -> Result<Vec<aws_sdk_ec2::types::Subnet>, AwsError> {
        let request = self.client.describe_subnets().set_filters(Some(filters));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        self.all("DescribeSubnets", pages.collect::<Result<Vec<_>, _>>()).await
    }

    async fn gateways(
        &self,
        filters: Vec<Filter>,
    ) -> Result<Vec<aws_sdk_ec2::types::InternetGateway>, AwsError> {
        let request = self.client.describe_internet_gateways().set_filters(Some(filters));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        self.all("DescribeInternetGateways", pages.collect::<Result<Vec<_>, _>>()).await
    }

    async fn route_tables(
        &self,
        filters: Vec<Filter>,
    ) -> Result<Vec<aws_sdk_ec2::types::RouteTable>, AwsError> {
        let request = self.client.describe_route_tables().set_filters(Some(filters));
        // Only this list of EC2 has shorter pages.
        let pages = request.into_paginator().page_size(100).items().send();
        self.all("DescribeRouteTables", pages.collect::<Result<Vec<_>, _>>()).await
    }

    async fn security_groups(
        &self,
        filters: Vec<Filter>,
    ) -> Result<Vec<aws_sdk_ec2::types::SecurityGroup>, AwsError> {
        let request = self.client.describe_security_groups().set_filters(Some(filters));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        self.all("DescribeSecurityGroups", pages.collect::<Result<Vec<_>, _>>()).await
    }
}

/// A network interface of a load balancer, a NAT gateway, a function, an endpoint, or of nothing. A machine's
/// interfaces are deleted with the machine.
fn of_nobodys_machine(interface: &NetworkInterface) -> Option<String> {
    if interface.attachment().is_some_and(|attachment| attachment.instance_id().is_some()) {
        return None;
    }
    let (id, subnet) = (interface.network_interface_id()?, interface.subnet_id().unwrap_or("no subnet"));
    let kind = interface.interface_type().map(|kind| kind.as_str()).unwrap_or_default();
    let what = interface.description().filter(|text| !text.is_empty()).unwrap_or(kind);
    Some(format!("the network interface {id} in {subnet} ({what})"))
}

/// An endpoint, a VPN or another network as a route's target: each of them keeps the VPC in use.
fn foreign_target(route: &aws_sdk_ec2::types::Route) -> Option<&str> {
    let gateway = route.gateway_id().filter(|id| !id.starts_with("igw-") && *id != "local");
    let others = [
        route.vpc_peering_connection_id(),
        route.transit_gateway_id(),
        route.egress_only_internet_gateway_id(),
    ];
    gateway.into_iter().chain(others.into_iter().flatten()).find(|id| !id.is_empty())
}

fn ours(name: &str, project: &str) -> Vec<Filter> {
    vec![filter("tag:Name", name), filter("tag:Project", project)]
}

fn to_subnet(subnet: &aws_sdk_ec2::types::Subnet) -> Option<Subnet> {
    Some(Subnet {
        subnet_id: subnet.subnet_id()?.into(),
        availability_zone: subnet.availability_zone()?.to_owned(),
        cidr: subnet.cidr_block()?.to_owned(),
        is_public: subnet.map_public_ip_on_launch() == Some(true),
    })
}

fn to_gateway(gateway: &aws_sdk_ec2::types::InternetGateway) -> Option<InternetGateway> {
    Some(InternetGateway {
        internet_gateway_id: gateway.internet_gateway_id()?.into(),
        attached_to: gateway.attachments().iter().find_map(|a| a.vpc_id()).map(VpcId::from),
    })
}

fn to_route_table(table: &aws_sdk_ec2::types::RouteTable) -> Option<RouteTable> {
    let associations = table.associations().iter().filter_map(|association| {
        Some((association.route_table_association_id()?.into(), association.subnet_id()?.into()))
    });
    let default = |route: &aws_sdk_ec2::types::Route| {
        route.destination_cidr_block() == Some(EVERYWHERE) && route.state() != Some(&RouteState::Blackhole)
    };
    Some(RouteTable {
        route_table_id: table.route_table_id()?.into(),
        associations: associations.collect(),
        has_default_route: table.routes().iter().any(default),
    })
}

fn to_group(group: &aws_sdk_ec2::types::SecurityGroup) -> Option<SecurityGroup> {
    Some(SecurityGroup { security_group_id: group.group_id()?.into(), name: group.group_name()?.to_owned() })
}

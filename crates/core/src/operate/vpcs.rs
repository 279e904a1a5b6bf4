//! A VPC for the machines: `ensure_vpc`, `delete_vpc`.
//!
//! Every step looks first and makes what is missing, so the next request finishes one that died half-way. Of two
//! parallel requests, EC2 lets only one have a block of addresses or a name. A parameter that can be made only once
//! decides which VPC has the name; the request that comes second deletes the empty VPC that it made.

use std::collections::BTreeMap;
use std::future::Future;

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use super::{Found, GENERATIONS, OperateAnswer, OperateDelivery, OperatePorts, Outcome, Sight};
use crate::error::{AwsError, Error, Kind, Service};
use crate::ports::{KeptNames, OwnVpcs};
use crate::vpc::{
    Cidr, Contents, InternetGatewayId, RouteTable, RouteTableId, SecurityGroupId, SubnetId, Vpc, VpcId,
    block_for, parameter,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VpcAnswer {
    pub name: String,
    pub vpc_id: VpcId,
    pub cidr: String,
    /// The subnets by zone.
    pub subnet_ids: BTreeMap<String, SubnetId>,
    pub internet_gateway_id: InternetGatewayId,
    pub route_table_id: RouteTableId,
    /// The id to use in `SECURITY_GROUP_IDS`. The group lets everything out and nothing in.
    pub security_group_id: SecurityGroupId,
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    pub(super) async fn ensure_vpc(&self, name: &str, cidr: Cidr) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let mut made = 0;
        let vpc = self.the_vpc(name, cidr, &mut made).await?;
        if vpc.cidr != cidr.to_string() {
            let (id, has) = (&vpc.vpc_id, &vpc.cidr);
            return Err(self.refused(format!(
                "the VPC {name:?} is there, {id}, and has {has}: ask for that, or for another name"
            )));
        }
        let id = &vpc.vpc_id;
        self.build(|| ec2.name_hosts(id)).await?;
        let zones = self.zones().await?;
        let gateway = self.internet_gateway(name, id, &mut made).await?;
        self.ensure_route_table(name, id, &mut made).await?;
        let mut subnet_ids = BTreeMap::new();
        for zone in &zones {
            let subnet = self.subnet(name, id, cidr, zone, &mut made).await?;
            subnet_ids.insert(zone.clone(), subnet);
        }
        let group = self.security_group(name, id, &mut made).await?;
        let route_table_id = self.route(name, id, &gateway, &mut made).await?;
        let told = VpcAnswer {
            name: name.to_owned(),
            vpc_id: vpc.vpc_id.clone(),
            cidr: vpc.cidr.clone(),
            subnet_ids,
            internet_gateway_id: gateway,
            route_table_id,
            security_group_id: group,
        };
        let outcome = if made == 0 { Outcome::Unchanged } else { Outcome::Done };
        Ok(OperateAnswer { verb: self.verb, outcome, vpc: Some(told), ..OperateAnswer::default() })
    }

    /// The VPC of this name, made if there is none.
    async fn the_vpc(&self, name: &str, cidr: Cidr, made: &mut u32) -> Result<Vpc, Error> {
        let (ec2, ssm) = (&self.operator.ec2, &self.operator.ssm);
        for generation in 1..=GENERATIONS {
            let standing = self.vpcs(name).await?;
            let place = parameter(name, generation);
            let kept = self.ask(Service::Ssm, || ssm.read_kept(&place)).await?;
            let elected = match kept {
                // EC2 may not show a VPC that was just made for a moment. It never shows a deleted VPC.
                Some((id, since)) => match self.seen(name, &id.into(), since).await? {
                    Some(vpc) => vpc,
                    None => continue,
                },
                None => {
                    let candidate = match standing.first() {
                        Some(vpc) => vpc.clone(),
                        None => {
                            let tags = self.vpc_tags(name);
                            let range = cidr.to_string();
                            let vpc_id = self.ask(Service::Ec2, || ec2.create_vpc(&range, &tags)).await?;
                            *made += 1;
                            Vpc { vpc_id, cidr: range }
                        }
                    };
                    let id = &candidate.vpc_id;
                    match self.ask(Service::Ssm, || ssm.keep_first(&place, id.as_str())).await? {
                        true => candidate,
                        false => {
                            let other = self.ask(Service::Ssm, || ssm.read_kept(&place)).await?;
                            let (other, since) = other.unwrap_or_default();
                            match self.seen(name, &other.into(), since).await? {
                                Some(vpc) => vpc,
                                None => continue,
                            }
                        }
                    }
                }
            };
            // A parallel request made these VPCs. Nobody uses them, so they are empty.
            for other in self.vpcs(name).await?.iter().filter(|vpc| vpc.vpc_id != elected.vpc_id) {
                let id = &other.vpc_id;
                info!(vpc_id = id.as_str(), "another VPC of this name, made at the same moment, is deleted");
                self.delete_empty(name, id).await?;
            }
            return Ok(elected);
        }
        Err(self.refused(format!("{GENERATIONS} VPCs of this name have been deleted: choose another")))
    }

    async fn vpcs(&self, name: &str) -> Result<Vec<Vpc>, Error> {
        let ec2 = &self.operator.ec2;
        let project = &self.operator.config.project_tag;
        let mut found = self.ask(Service::Ec2, || ec2.find_vpcs(name, project)).await?;
        found.sort_by(|one, other| one.vpc_id.cmp(&other.vpc_id));
        Ok(found)
    }

    /// Wait until EC2 shows the VPC. `since`: when it was elected, right after it was made.
    async fn seen(&self, name: &str, id: &VpcId, since: Option<Timestamp>) -> Result<Option<Vpc>, Error> {
        self.until_seen(&format!("the VPC {id} is not to be seen yet"), since, async || {
            let found = self.vpcs(name).await?.into_iter().find(|vpc| vpc.vpc_id == *id);
            Ok(found.map_or(Sight::Unseen, Sight::There))
        })
        .await
    }

    async fn delete_empty(&self, name: &str, id: &VpcId) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        self.remove_from(name, id, id.as_str(), || ec2.delete_vpc(id)).await
    }

    /// Send a request about a VPC that was made or found a moment ago, or about something in it.
    async fn build<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        // EC2 does not tell when any of these things was made.
        let made = self.settle(Service::Ec2, request, async |_| Ok(Found::Stands(None))).await?;
        made.ok_or_else(|| self.refused("another request deletes the VPC".to_owned()))
    }

    /// Send a request that removes `id` from a VPC, or the VPC itself. If EC2 says that `id` is in use, it is in use by
    /// something of somebody else, or EC2 has not seen an earlier step everywhere.
    async fn remove_from<F: Future<Output = Result<(), AwsError>>>(
        &self,
        name: &str,
        vpc_id: &VpcId,
        id: &str,
        request: impl Fn() -> F,
    ) -> Result<(), Error> {
        let look = async |_: &AwsError| {
            self.holds_nothing_foreign(name, vpc_id).await?;
            let stands = match id == vpc_id.as_str() {
                true => self.vpcs(name).await?.iter().any(|vpc| vpc.vpc_id == *vpc_id),
                false => self.contents(name, vpc_id).await?.holds(id),
            };
            Ok(if stands { Found::Stands(None) } else { Found::Gone })
        };
        self.settle(Service::Ec2, request, look).await.map(|_| ())
    }

    async fn holds_nothing_foreign(&self, name: &str, vpc_id: &VpcId) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let project = &self.operator.config.project_tag;
        let foreign = self.ask(Service::Ec2, || ec2.list_foreign(vpc_id, name, project)).await?;
        if foreign.is_empty() {
            return Ok(());
        }
        let more = if foreign.len() > 5 { ", …" } else { "" };
        let which = foreign.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        Err(self.refused(format!("in the VPC {name:?} ({vpc_id}) is what is not ours: {which}{more}")))
    }

    /// The supported zones that the Region has.
    async fn zones(&self) -> Result<Vec<String>, Error> {
        let ec2 = &self.operator.ec2;
        let mut zones = self.ask(Service::Ec2, || ec2.list_zones()).await?;
        zones.sort();
        if let Some(supported) = &self.operator.zones {
            zones.retain(|zone| supported.contains(zone));
        }
        match zones.is_empty() {
            false => Ok(zones),
            true => Err(Error::new(
                Kind::InvalidConfiguration,
                format!("{}: this Region has none of the supported zones", self.verb),
                "set SUPPORTED_AZS to zones of this Region",
            )),
        }
    }

    async fn contents(&self, name: &str, vpc_id: &VpcId) -> Result<Contents, Error> {
        let ec2 = &self.operator.ec2;
        let project = &self.operator.config.project_tag;
        self.ask(Service::Ec2, || ec2.look_into_vpc(vpc_id, name, project)).await
    }

    async fn internet_gateway(
        &self,
        name: &str,
        vpc_id: &VpcId,
        made: &mut u32,
    ) -> Result<InternetGatewayId, Error> {
        let ec2 = &self.operator.ec2;
        let tags = self.vpc_tags(name);
        let attached = |contents: &Contents| {
            let of_it = contents.internet_gateways.iter().find(|g| g.attached_to.as_ref() == Some(vpc_id));
            of_it.map(|gateway| gateway.internet_gateway_id.clone())
        };
        let contents = self.contents(name, vpc_id).await?;
        let found = match attached(&contents) {
            Some(gateway) => gateway,
            None => {
                let spare = contents.internet_gateways.iter().find(|gateway| gateway.attached_to.is_none());
                let spare = match spare {
                    Some(gateway) => gateway.internet_gateway_id.clone(),
                    None => self.ask(Service::Ec2, || ec2.create_internet_gateway(&tags)).await?,
                };
                *made += 1;
                self.build(|| ec2.attach_internet_gateway(&spare, vpc_id)).await?;
                // Another request may have attached its gateway first.
                let not_yet = "the internet gateway is not attached yet";
                self.until(not_yet, async || Ok(attached(&self.contents(name, vpc_id).await?))).await?
            }
        };
        Ok(found)
    }

    /// Make a route table if there is none.
    async fn ensure_route_table(&self, name: &str, vpc_id: &VpcId, made: &mut u32) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let tags = self.vpc_tags(name);
        if chosen(&self.contents(name, vpc_id).await?).is_some() {
            return Ok(());
        }
        *made += 1;
        self.build(|| ec2.create_route_table(vpc_id, &tags)).await?;
        let not_yet = "the route table is not to be seen yet";
        self.until(not_yet, async || Ok(chosen(&self.contents(name, vpc_id).await?))).await.map(|_| ())
    }

    /// Let all subnets use one route table, with a route to the internet. Route tables that parallel requests made in
    /// vain are deleted; those that cannot be deleted now are deleted with the VPC.
    async fn route(
        &self,
        name: &str,
        vpc_id: &VpcId,
        gateway: &InternetGatewayId,
        made: &mut u32,
    ) -> Result<RouteTableId, Error> {
        let ec2 = &self.operator.ec2;
        let contents = self.contents(name, vpc_id).await?;
        for spare in contents.internet_gateways.iter().filter(|gateway| gateway.attached_to.is_none()) {
            let id = &spare.internet_gateway_id;
            self.try_to("delete a spare internet gateway", || ec2.delete_internet_gateway(id)).await;
        }
        let Some(chosen) = chosen(&contents) else {
            return Err(
                self.refused("its route table is gone, and another request deletes the VPC".to_owned())
            );
        };
        let id = &chosen.route_table_id;
        if !chosen.has_default_route {
            *made += 1;
            self.build(|| ec2.add_default_route(id, gateway)).await?;
        }
        let others = || contents.route_tables.iter().filter(|table| table.route_table_id != *id);
        for (association, _) in others().flat_map(|table| &table.associations) {
            self.remove_from(name, vpc_id, association.as_str(), || {
                ec2.disassociate_route_table(association)
            })
            .await?;
        }
        for subnet in contents.subnets.iter().map(|subnet| &subnet.subnet_id) {
            if !chosen.associations.iter().any(|(_, of)| of == subnet) {
                *made += 1;
                self.build(|| ec2.associate_route_table(id, subnet)).await?;
            }
        }
        for spare in others().map(|table| &table.route_table_id) {
            self.try_to("delete a spare route table", || ec2.delete_route_table(spare)).await;
        }
        Ok(chosen.route_table_id)
    }

    async fn subnet(
        &self,
        name: &str,
        vpc_id: &VpcId,
        cidr: Cidr,
        zone: &str,
        made: &mut u32,
    ) -> Result<SubnetId, Error> {
        let ec2 = &self.operator.ec2;
        let tags = self.vpc_tags(name);
        let tried = std::cell::Cell::new(false);
        let subnet = self
            .until(&format!("the subnet in {zone} is not to be seen yet"), async || {
                let contents = self.contents(name, vpc_id).await?;
                if let Some(subnet) = contents.subnets.iter().find(|subnet| subnet.availability_zone == zone)
                {
                    return Ok(Some(subnet.clone()));
                }
                let taken: Vec<Cidr> =
                    contents.subnets.iter().filter_map(|subnet| Cidr::parse(&subnet.cidr)).collect();
                let block = block_for(cidr, &taken).ok_or_else(|| {
                    self.refused(format!("{cidr} has no block left for a subnet in {zone}"))
                })?;
                // Another request may have used this block or this zone by now: the next look shows that.
                tried.set(true);
                let range = block.to_string();
                self.build(|| ec2.create_subnet(vpc_id, &range, zone, &tags)).await?;
                Ok(None)
            })
            .await?;
        *made += u32::from(tried.get());
        if !subnet.is_public {
            self.build(|| ec2.make_subnet_public(&subnet.subnet_id)).await?;
        }
        Ok(subnet.subnet_id)
    }

    async fn security_group(
        &self,
        name: &str,
        vpc_id: &VpcId,
        made: &mut u32,
    ) -> Result<SecurityGroupId, Error> {
        let ec2 = &self.operator.ec2;
        let tags = self.vpc_tags(name);
        let named = |contents: &Contents| {
            let group = contents.security_groups.iter().find(|group| group.name == name);
            group.map(|group| group.security_group_id.clone())
        };
        if let Some(group) = named(&self.contents(name, vpc_id).await?) {
            return Ok(group);
        }
        *made += 1;
        self.build(|| ec2.create_security_group(vpc_id, name, &tags)).await?;
        self.until("the security group is not to be seen yet", async || {
            Ok(named(&self.contents(name, vpc_id).await?))
        })
        .await
    }

    /// Delete the VPCs of this name. While a VPC holds anything that this verb did not make, this refuses before it
    /// removes anything. It deletes the contents first, then the VPC, and the parameter last, so the next request
    /// finishes one that died in between.
    pub(super) async fn delete_vpc(&self, name: &str) -> Result<OperateAnswer, Error> {
        let found = self.all_vpcs(name).await?;
        for vpc in &found {
            self.holds_no_machine(name, &vpc.vpc_id).await?;
        }
        for vpc in &found {
            self.holds_nothing_foreign(name, &vpc.vpc_id).await?;
        }
        for vpc in &found {
            self.empty(name, &vpc.vpc_id).await?;
            self.delete_empty(name, &vpc.vpc_id).await?;
        }
        self.forget(name).await?;
        Ok(OperateAnswer {
            verb: self.verb,
            outcome: if found.is_empty() { Outcome::Unchanged } else { Outcome::Done },
            deleted_vpc_id: found.into_iter().next().map(|vpc| vpc.vpc_id),
            ..OperateAnswer::default()
        })
    }

    /// All VPCs of this name, also those that were elected a moment ago and that EC2 may not show yet.
    async fn all_vpcs(&self, name: &str) -> Result<Vec<Vpc>, Error> {
        let ssm = &self.operator.ssm;
        let mut found = self.vpcs(name).await?;
        for generation in 1..=GENERATIONS {
            let place = parameter(name, generation);
            let kept = self.ask(Service::Ssm, || ssm.read_kept(&place)).await?;
            let Some((id, since)) = kept else { break };
            let id = VpcId::from(id);
            if !found.iter().any(|vpc| vpc.vpc_id == id) {
                found.extend(self.seen(name, &id, since).await?);
            }
        }
        Ok(found)
    }

    async fn holds_no_machine(&self, name: &str, vpc_id: &VpcId) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let machines = self.ask(Service::Ec2, || ec2.list_machines_in_vpc(vpc_id)).await?;
        if machines.is_empty() {
            return Ok(());
        }
        let which = machines.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(self.refused(format!("{} machines are in the VPC {name:?} ({vpc_id}): {which}", machines.len())))
    }

    /// Delete everything of ours in the VPC, in the order that EC2 requires.
    async fn empty(&self, name: &str, vpc_id: &VpcId) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let contents = self.contents(name, vpc_id).await?;
        for group in contents.security_groups.iter().filter(|group| group.name == name) {
            let id = &group.security_group_id;
            self.remove_from(name, vpc_id, id.as_str(), || ec2.delete_security_group(id)).await?;
        }
        for id in contents.subnets.iter().map(|subnet| &subnet.subnet_id) {
            self.remove_from(name, vpc_id, id.as_str(), || ec2.delete_subnet(id)).await?;
        }
        for table in &contents.route_tables {
            for (id, _) in &table.associations {
                self.remove_from(name, vpc_id, id.as_str(), || ec2.disassociate_route_table(id)).await?;
            }
            let id = &table.route_table_id;
            self.remove_from(name, vpc_id, id.as_str(), || ec2.delete_route_table(id)).await?;
        }
        for gateway in &contents.internet_gateways {
            let id = &gateway.internet_gateway_id;
            if gateway.attached_to.is_some() {
                self.remove_from(name, vpc_id, id.as_str(), || ec2.detach_internet_gateway(id, vpc_id))
                    .await?;
            }
            self.remove_from(name, vpc_id, id.as_str(), || ec2.delete_internet_gateway(id)).await?;
        }
        Ok(())
    }

    /// Forget which VPCs were elected under this name.
    async fn forget(&self, name: &str) -> Result<(), Error> {
        let ssm = &self.operator.ssm;
        for generation in 1..=GENERATIONS {
            let place = parameter(name, generation);
            if !self.ask(Service::Ssm, || ssm.forget_kept(&place)).await? {
                break;
            }
        }
        Ok(())
    }

    fn vpc_tags(&self, name: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("Name".to_owned(), name.to_owned()),
            ("Project".to_owned(), self.operator.config.project_tag.clone()),
        ])
    }
}

/// The first route table that has subnets, else the first of ours. Every request chooses the same one.
fn chosen(contents: &Contents) -> Option<RouteTable> {
    let mut all = contents.route_tables.clone();
    all.sort_by_key(|table| (table.associations.is_empty(), table.route_table_id.clone()));
    all.into_iter().next()
}

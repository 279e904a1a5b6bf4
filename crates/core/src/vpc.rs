//! A VPC of ours with everything that machines need in it: a subnet in each zone, the way to the internet, a security
//! group.
//!
//! It is recognised by the tags `Name` and `Project`. EC2 has no client token for any of it. A block of addresses, or a
//! name within the VPC, cannot be taken twice, so EC2 decides between two requests at once. For the VPC itself a
//! parameter that can be made only once decides.

use std::net::Ipv4Addr;

use crate::id::id;

/// IPv4 addresses, such as `10.20.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: u32,
    prefix: u8,
}

/// The sizes that EC2 accepts for a VPC, and for a subnet.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Each subnet has a sixteenth of the VPC, which leaves room for more zones.
const SUBNET_BITS: u8 = 4;

impl Cidr {
    /// A block that a VPC can have: its address is the first of the block.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = text.split_once('/')?;
        let base = u32::from(address.parse::<Ipv4Addr>().ok()?);
        let prefix: u8 = prefix.parse().ok().filter(|prefix| PREFIXES.contains(prefix))?;
        let cidr = Cidr { base, prefix };
        (base & (cidr.size() - 1) == 0).then_some(cidr)
    }

    fn size(self) -> u32 {
        1 << (32 - self.prefix)
    }

    /// The blocks into which the VPC is divided for subnets. They are a pure function of the VPC's block, so every
    /// request divides it alike.
    pub fn subnets(self) -> Vec<Cidr> {
        let bits = SUBNET_BITS.min(PREFIXES.end() - self.prefix);
        let prefix = self.prefix + bits;
        (0..1_u32 << bits).map(|n| Cidr { base: self.base + (n << (32 - prefix)), prefix }).collect()
    }

    pub fn overlaps(self, other: Cidr) -> bool {
        let (first, last) = (self.base, self.base + (self.size() - 1));
        let (other_first, other_last) = (other.base, other.base + (other.size() - 1));
        first <= other_last && other_first <= last
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// The block of a new subnet in this zone: the first one, in the zones' order, that no other subnet has.
pub fn block_for(vpc: Cidr, taken: &[Cidr]) -> Option<Cidr> {
    vpc.subnets().into_iter().find(|block| !taken.iter().any(|other| block.overlaps(*other)))
}

/// The parameter that says which VPC has a name; the generation grows with each VPC of this name that was deleted.
pub fn parameter(name: &str, generation: u32) -> String {
    format!("/elephant/vpc/{name}/{generation}")
}

id! { VpcId }
id! { SubnetId }
id! { InternetGatewayId }
id! { RouteTableId }
id! {
    /// Of a route table to a subnet.
    AssociationId
}
id! { SecurityGroupId }

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub vpc_id: VpcId,
    pub cidr: String,
}

/// What exists in a VPC, or was made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub subnets: Vec<Subnet>,
    pub internet_gateways: Vec<InternetGateway>,
    pub route_tables: Vec<RouteTable>,
    pub security_groups: Vec<SecurityGroup>,
}

impl Contents {
    /// Whether one of these has this id.
    pub fn holds(&self, id: &str) -> bool {
        let tables = || self.route_tables.iter();
        self.subnets.iter().any(|subnet| subnet.subnet_id.as_str() == id)
            || self.internet_gateways.iter().any(|gateway| gateway.internet_gateway_id.as_str() == id)
            || self.security_groups.iter().any(|group| group.security_group_id.as_str() == id)
            || tables().any(|table| table.route_table_id.as_str() == id)
            || tables()
                .flat_map(|table| &table.associations)
                .any(|(association, _)| association.as_str() == id)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub subnet_id: SubnetId,
    pub availability_zone: String,
    pub cidr: String,
    /// Machines in it get a public address.
    pub is_public: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    pub internet_gateway_id: InternetGatewayId,
    pub attached_to: Option<VpcId>,
}

/// A route table of ours; the VPC's main one is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    pub route_table_id: RouteTableId,
    pub associations: Vec<(AssociationId, SubnetId)>,
    pub has_default_route: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    pub security_group_id: SecurityGroupId,
    pub name: String,
}

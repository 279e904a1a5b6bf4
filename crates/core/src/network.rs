//! Subnets and zones for machines: which of them can host a meeting, and in which order they are tried.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::meeting::MeetingId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub subnet_id: String,
    pub vpc_id: String,
    /// The zone's name in this account, `us-west-2a`.
    pub availability_zone: String,
    pub available_ip_addresses: i32,
}

/// Which network's subnets are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The Region's default VPC. Only the default subnets of its zones are used.
    #[default]
    Default,
    Vpc(String),
    /// The VPC with this tag `Name`.
    VpcNamed(String),
    /// These and no others.
    Subnets(Vec<String>),
}

/// Whether the two machines of a meeting are in one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pair {
    #[default]
    Any,
    SameAz,
}

/// What the look-up found, before any subnet is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The default VPCs, or those with that name; they are not looked up if the VPC's id or the subnets are configured.
    pub vpcs: Vec<String>,
    pub subnets: Vec<Subnet>,
}

/// Which types are offered in which zones, as pairs of type and zone.
pub type Offerings = BTreeSet<(String, String)>;

/// Which subnets may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetSelection {
    pub network: Network,
    /// Only subnets in these zones; `None`: every zone.
    pub zones: Option<Vec<String>>,
}

/// The subnets that can host a machine. If there is none, the error lists what was found, and which variable to change.
pub fn usable(found: &Found, wanted: &SubnetSelection) -> Result<Vec<Subnet>, String> {
    let of = |vpc: &String| found.subnets.iter().filter(|s| s.vpc_id == *vpc).collect::<Vec<&Subnet>>();
    let candidates = match (&wanted.network, &found.vpcs[..]) {
        (Network::Subnets(ids), _) => found.subnets.iter().filter(|s| ids.contains(&s.subnet_id)).collect(),
        (Network::Vpc(vpc), _) | (Network::Default | Network::VpcNamed(_), [vpc]) => of(vpc),
        (Network::Default, _) => {
            return Err(format!(
                "this Region has no default VPC; {}",
                listed("subnets of other VPCs found", found.subnets.iter().map(describe))
            ));
        }
        (Network::VpcNamed(name), []) => {
            return Err(format!(
                "no VPC of this Region has the name {name:?} that VPC_NAME asks for; {}",
                listed("subnets found", found.subnets.iter().map(describe))
            ));
        }
        (Network::VpcNamed(name), vpcs) => {
            return Err(format!(
                "VPC_NAME is {name:?}, and that is the name of {} VPCs: {}; set VPC_ID to one of them",
                vpcs.len(),
                vpcs.join(", ")
            ));
        }
    };
    match (&wanted.network, &found.vpcs[..]) {
        (Network::Vpc(vpc), _) if candidates.is_empty() => {
            return Err(format!("VPC_ID is {vpc}, and this Region has no such VPC, or no subnet in it"));
        }
        (Network::Default, [vpc]) if candidates.is_empty() => {
            return Err(format!(
                "the default VPC {vpc} has no default subnet in any zone (`aws ec2 create-default-subnet` makes one), and \
                 others are used only where SUBNET_IDS or VPC_ID names them"
            ));
        }
        _ => {}
    }
    let usable: Vec<Subnet> = candidates
        .iter()
        .filter(|s| wanted.zones.as_ref().is_none_or(|zones| zones.contains(&s.availability_zone)))
        .filter(|s| s.available_ip_addresses > 0)
        .map(|s| (*s).clone())
        .collect();
    if usable.is_empty() {
        let zones = match &wanted.zones {
            Some(zones) => format!("in the zones {}", zones.join(", ")),
            None => "in any zone".to_owned(),
        };
        return Err(format!(
            "no subnet {zones} has a free address; {}",
            listed("subnets found", candidates.into_iter().map(describe))
        ));
    }
    Ok(usable)
}

/// The order in which a meeting tries its subnets. It is a pure function of meeting and subnets, in whatever order AWS
/// listed them: meetings spread over the zones, and a repeat has the same order.
///
/// Each zone, and within a zone each subnet, is ranked by a hash of meeting and name (rendezvous hashing): a zone that
/// is added or removed does not move the others.
pub fn in_order(meeting: &MeetingId, mut subnets: Vec<Subnet>) -> Vec<Subnet> {
    let rank = |name: &str| Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{meeting}\n{name}").as_bytes());
    subnets.sort_by_cached_key(|s| {
        (rank(&s.availability_zone), s.availability_zone.clone(), rank(&s.subnet_id))
    });
    subnets
}

fn describe(subnet: &Subnet) -> String {
    format!(
        "{} in {} of {} with {} free addresses",
        subnet.subnet_id, subnet.availability_zone, subnet.vpc_id, subnet.available_ip_addresses
    )
}

fn listed(what: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: BTreeSet<String> = lines.collect();
    if lines.is_empty() {
        return format!("{what}: none");
    }
    format!("{what}: {}", lines.into_iter().collect::<Vec<_>>().join(", "))
}

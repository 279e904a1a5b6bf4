//! Where a machine can stand: subnets and zones, which of them can host a meeting, and in which order they are tried.

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

/// What the look-up found, before anybody chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The Region's default VPC; `None` if there is none, or if nobody asked because the subnets are configured.
    pub default_vpc: Option<String>,
    pub subnets: Vec<Subnet>,
}

/// Which subnets may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// These subnets and no others; `None`: those of the default VPC.
    pub subnet_ids: Option<Vec<String>>,
    /// Only subnets in these zones; `None`: every zone.
    pub zones: Option<Vec<String>>,
}

/// The subnets that can host a machine. If there is none, the error lists what was found instead.
pub fn usable(found: &Found, wanted: &Wanted) -> Result<Vec<Subnet>, String> {
    if wanted.subnet_ids.is_none() && found.default_vpc.is_none() {
        return Err(format!(
            "this Region has no default VPC; {}",
            listed("subnets of other VPCs found", found.subnets.iter().map(describe))
        ));
    }
    let candidates: Vec<&Subnet> = match &wanted.subnet_ids {
        Some(ids) => found.subnets.iter().filter(|s| ids.contains(&s.subnet_id)).collect(),
        None => found.subnets.iter().filter(|s| Some(&s.vpc_id) == found.default_vpc.as_ref()).collect(),
    };
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

/// The order in which a meeting tries its subnets: a pure function of meeting and subnets, whatever order AWS listed
/// them in, so that meetings spread over the zones and a repeat meets the same order.
///
/// Each zone, and within a zone each subnet, is ranked by a hash of meeting and name (rendezvous hashing): a zone that
/// comes or goes moves no other.
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

//! Which subnets can host a meeting, and in which order a meeting tries them.

use elephant_core::meeting::MeetingId;
use elephant_core::network::{Found, Network, Subnet, SubnetSelection, in_order, usable};

const ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];
const ANY: SubnetSelection = SubnetSelection { network: Network::Default, zones: None };

#[test]
fn only_the_default_vpc_counts() {
    let found = found(Some("vpc-1"), &[("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-2", 'b', 9)]);
    assert_eq!(ids(usable(&found, &ANY)), ["subnet-1"]);
}

#[test]
fn only_supported_zones_count() {
    let found = found(Some("vpc-1"), &[("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-1", 'd', 9)]);
    let wanted = SubnetSelection { zones: Some(strings(&["us-west-2d", "us-west-2e"])), ..ANY };
    assert_eq!(ids(usable(&found, &wanted)), ["subnet-2"]);
}

#[test]
fn a_subnet_without_a_free_address_does_not_count() {
    let found = found(
        Some("vpc-1"),
        &[("subnet-0", "vpc-1", 'a', 0), ("subnet-1", "vpc-1", 'a', 1), ("subnet-2", "vpc-1", 'b', -1)],
    );
    assert_eq!(ids(usable(&found, &ANY)), ["subnet-1"]);
}

#[test]
fn named_subnets_count_whatever_their_vpc_and_no_others_do() {
    let found = found(None, &[("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-2", 'b', 9)]);
    let wanted = SubnetSelection { network: Network::Subnets(strings(&["subnet-2", "subnet-3"])), ..ANY };
    assert_eq!(ids(usable(&found, &wanted)), ["subnet-2"]);
}

#[test]
fn named_subnets_still_have_to_lie_in_the_supported_zones() {
    let found = found(None, &[("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-1", 'b', 9)]);
    let wanted = SubnetSelection {
        network: Network::Subnets(strings(&["subnet-1", "subnet-2"])),
        zones: Some(strings(&["us-west-2b"])),
    };
    assert_eq!(ids(usable(&found, &wanted)), ["subnet-2"]);
}

#[test]
fn without_a_default_vpc_the_error_lists_the_other_subnets() {
    let found = found(None, &[("subnet-1", "vpc-2", 'a', 9)]);
    let said = usable(&found, &ANY).expect_err("there is no default VPC");
    assert_eq!(
        said,
        "this Region has no default VPC; subnets of other VPCs found: \
         subnet-1 in us-west-2a of vpc-2 with 9 free addresses"
    );
}

#[test]
fn a_default_vpc_without_a_default_subnet_is_said_to_have_none() {
    let said =
        usable(&found(Some("vpc-1"), &[("subnet-9", "vpc-2", 'a', 9)]), &ANY).expect_err("none is found");
    assert!(said.starts_with("the default VPC vpc-1 has no default subnet in any zone"), "{said}");
    assert!(said.contains("create-default-subnet") && said.contains("SUBNET_IDS"), "{said}");
}

#[test]
fn where_nothing_is_usable_the_error_lists_what_was_found() {
    let found = found(
        Some("vpc-1"),
        &[("subnet-2", "vpc-1", 'd', 9), ("subnet-1", "vpc-1", 'a', 0), ("subnet-3", "vpc-3", 'a', 9)],
    );
    let wanted = SubnetSelection { zones: Some(strings(&["us-west-2a", "us-west-2b"])), ..ANY };
    assert_eq!(
        usable(&found, &wanted).expect_err("one is full, one is elsewhere, one is of another VPC"),
        "no subnet in the zones us-west-2a, us-west-2b has a free address; subnets found: \
         subnet-1 in us-west-2a of vpc-1 with 0 free addresses, \
         subnet-2 in us-west-2d of vpc-1 with 9 free addresses"
    );
}

#[test]
fn where_nothing_was_found_the_error_says_so() {
    let (empty, named) = (found(Some("vpc-1"), &[]), Network::VpcNamed("meetings".into()));
    let said =
        usable(&empty, &SubnetSelection { network: named, ..ANY }).expect_err("there is no subnet at all");
    assert_eq!(said, "no subnet in any zone has a free address; subnets found: none");
}

#[test]
fn the_order_does_not_depend_on_the_order_of_the_listing() {
    for meeting in meetings(50) {
        let expected = in_order(&meeting, six());
        for turned in 1..6 {
            let mut listed = six();
            listed.rotate_left(turned);
            assert_eq!(in_order(&meeting, listed.clone()), expected, "{meeting}, turned by {turned}");
            listed.reverse();
            assert_eq!(in_order(&meeting, listed), expected, "{meeting}, turned by {turned} and reversed");
        }
    }
}

#[test]
fn the_order_does_not_depend_on_free_addresses() {
    let meeting = meeting("demo-meeting");
    let emptier: Vec<Subnet> =
        six().into_iter().map(|subnet| Subnet { available_ip_addresses: 1, ..subnet }).collect();
    assert_eq!(ids(Ok(in_order(&meeting, emptier))), ids(Ok(in_order(&meeting, six()))));
}

/// A retry by the next version of this function has to meet the order of the last one: if these lines fail, a
/// deployment in the middle of a launch changes which zone comes next.
#[test]
fn the_order_is_the_one_that_it_always_was() {
    let order = |id: &str| ids(Ok(in_order(&meeting(id), six())));
    assert_eq!(
        order("demo-meeting"),
        ["subnet-4", "subnet-1", "subnet-5", "subnet-2", "subnet-3", "subnet-6"]
    );
    assert_eq!(
        order("class 4/b 🐘"),
        ["subnet-5", "subnet-2", "subnet-6", "subnet-3", "subnet-4", "subnet-1"]
    );
}

#[test]
fn the_subnets_of_one_zone_are_tried_one_after_the_other() {
    for meeting in meetings(50) {
        let mut zones: Vec<String> =
            in_order(&meeting, six()).into_iter().map(|subnet| subnet.availability_zone).collect();
        zones.dedup();
        assert_eq!(zones.len(), 3, "{meeting} leaves a zone and comes back to it: {zones:?}");
    }
}

#[test]
fn meetings_spread_over_the_zones() {
    for place in 0..3 {
        let zones: Vec<String> = meetings(300)
            .map(|meeting| in_order(&meeting, three())[place].availability_zone.clone())
            .collect();
        for zone in ZONES {
            let times = zones.iter().filter(|chosen| *chosen == zone).count();
            assert!(times >= 60, "of 300 meetings {times} have {zone} in place {place}");
        }
    }
}

#[test]
fn meetings_spread_over_the_subnets_of_a_zone() {
    let firsts = meetings(300).map(|meeting| in_order(&meeting, six())[0].subnet_id.clone());
    let firsts: Vec<String> = firsts.collect();
    for subnet in six() {
        let times = firsts.iter().filter(|first| **first == subnet.subnet_id).count();
        assert!(times >= 25, "of 300 meetings {times} try {} first", subnet.subnet_id);
    }
}

#[test]
fn a_zone_that_goes_moves_no_other() {
    for meeting in meetings(50) {
        let all = in_order(&meeting, six());
        for gone in ZONES {
            let stays = |subnet: &Subnet| subnet.availability_zone != gone;
            let left = in_order(&meeting, six().into_iter().filter(stays).collect());
            let expected: Vec<Subnet> = all.iter().filter(|subnet| stays(subnet)).cloned().collect();
            assert_eq!(left, expected, "{meeting} without {gone}");
        }
    }
}

fn meeting(id: &str) -> MeetingId {
    MeetingId::new(id).expect("a short text is an id")
}

fn meetings(count: usize) -> impl Iterator<Item = MeetingId> {
    (0..count).map(|number| meeting(&format!("meeting-{number}")))
}

/// One subnet in each zone.
fn three() -> Vec<Subnet> {
    found(
        None,
        &[("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-1", 'b', 9), ("subnet-3", "vpc-1", 'c', 9)],
    )
    .subnets
}

#[test]
fn a_vpc_that_is_named_must_be_one() {
    let two = [("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-2", 'b', 9)];
    let named = SubnetSelection { network: Network::VpcNamed("meetings".into()), ..ANY };
    let of = |vpcs: &[&str]| Found { vpcs: strings(vpcs), ..found(None, &two) };
    assert_eq!(ids(usable(&of(&["vpc-2"]), &named)), ["subnet-2"]);
    let none = usable(&of(&[]), &named).expect_err("there is none");
    assert!(none.contains("\"meetings\" that VPC_NAME asks for") && none.contains("subnet-1"), "{none}");
    let both = usable(&of(&["vpc-1", "vpc-2"]), &named).expect_err("there are two");
    assert!(both.contains("2 VPCs: vpc-1, vpc-2; set VPC_ID"), "{both}");
}

#[test]
fn a_vpc_by_its_id_needs_no_look_up_of_vpcs() {
    let two = [("subnet-1", "vpc-1", 'a', 9), ("subnet-2", "vpc-2", 'b', 9)];
    let wanted = SubnetSelection { network: Network::Vpc("vpc-1".into()), ..ANY };
    assert_eq!(ids(usable(&found(None, &two), &wanted)), ["subnet-1"]);
    let nowhere = SubnetSelection { network: Network::Vpc("vpc-9".into()), ..ANY };
    let none = usable(&found(None, &two), &nowhere).expect_err("there is none");
    assert_eq!(none, "VPC_ID is vpc-9, and this Region has no such VPC, or no subnet in it");
}

/// Two subnets in each zone.
fn six() -> Vec<Subnet> {
    let more = [("subnet-4", "vpc-1", 'a', 9), ("subnet-5", "vpc-1", 'b', 9), ("subnet-6", "vpc-1", 'c', 9)];
    [three(), found(None, &more).subnets].concat()
}

fn found(default_vpc: Option<&str>, subnets: &[(&str, &str, char, i32)]) -> Found {
    let subnet = |(id, vpc, zone, free): &(&str, &str, char, i32)| Subnet {
        subnet_id: (*id).to_owned(),
        vpc_id: (*vpc).to_owned(),
        availability_zone: format!("us-west-2{zone}"),
        available_ip_addresses: *free,
    };
    Found {
        vpcs: default_vpc.map(str::to_owned).into_iter().collect(),
        subnets: subnets.iter().map(subnet).collect(),
    }
}

fn ids(subnets: Result<Vec<Subnet>, String>) -> Vec<String> {
    let subnets = subnets.unwrap_or_else(|error| panic!("no subnet is usable: {error}"));
    subnets.into_iter().map(|subnet| subnet.subnet_id).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

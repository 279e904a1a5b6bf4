//! What the look-ups promise.

use std::collections::BTreeSet;

use elephant_core::error::Class;
use elephant_core::network::Network;
use elephant_core::ports::{Images, Networks};

use super::Stage;
use elephant_world::executor::Fate;

pub async fn the_default_network_has_subnets_in_several_zones(stage: &impl Stage) {
    let found = stage.networks().find_subnets(&Network::Default).await.expect("they are listed");
    let [default] = &found.vpcs[..] else { panic!("there is one default VPC: {:?}", found.vpcs) };
    assert!(found.subnets.iter().any(|subnet| subnet.vpc_id == *default), "none is in {default}");
    let ids: BTreeSet<&str> = found.subnets.iter().map(|subnet| subnet.subnet_id.as_str()).collect();
    assert_eq!(ids.len(), found.subnets.len(), "each is listed once");
    for subnet in &found.subnets {
        assert!(subnet.available_ip_addresses > 0, "{subnet:?}");
    }
    for subnet in stage.subnets() {
        assert!(found.subnets.iter().any(|found| found.subnet_id == subnet.subnet_id), "{subnet:?}");
    }
    let zones: BTreeSet<&str> = found.subnets.iter().map(|s| s.availability_zone.as_str()).collect();
    assert!(zones.len() >= 3, "{zones:?}");
}

pub async fn subnets_are_found_by_name_and_no_default_is_looked_up(stage: &impl Stage) {
    let [one, _, two, ..] = &stage.subnets()[..] else { panic!("there are three") };
    let ids = [one, two].map(|subnet| subnet.subnet_id.clone());
    let found = stage.networks().find_subnets(&Network::Subnets(ids.to_vec())).await.expect("they are there");
    assert_eq!(found.vpcs, [""; 0]);
    let found: BTreeSet<String> = found.subnets.into_iter().map(|subnet| subnet.subnet_id).collect();
    assert_eq!(found, BTreeSet::from(ids));
}

pub async fn a_subnet_that_is_named_and_not_there_is_a_wrong_setting(stage: &impl Stage) {
    let ids = vec![stage.subnets()[0].subnet_id.clone(), "subnet-0fffffffffffffff0".to_owned()];
    let error = stage.networks().find_subnets(&Network::Subnets(ids)).await.expect_err("one is not there");
    assert_eq!((error.action, error.class), ("DescribeSubnets", Class::Misconfigured));
    assert_eq!(error.code(), "InvalidSubnetID.NotFound");
}

pub async fn the_root_device_of_the_image_is_known(stage: &impl Stage) {
    let image = stage.networks().find_image(stage.image()).await.expect("it is there");
    assert_eq!((image.image_id.as_str(), image.root_device.as_str()), (stage.image(), "/dev/xvda"));
    assert_eq!(image.architecture, "x86_64");
    assert!(image.snapshot_gb.is_some_and(|size| size > 0), "{image:?}");
}

pub async fn a_permission_that_is_missing_has_its_class(stage: &impl Stage) {
    let fate = Fate::Fails(Class::Unauthorized, "UnauthorizedOperation");
    stage.next("DescribeSubnets", fate.clone());
    let error = stage.networks().find_subnets(&Network::Default).await.expect_err("it is not allowed");
    assert_eq!((error.action, error.class), ("DescribeSubnets", Class::Unauthorized));
    stage.next("DescribeImages", fate);
    let error = stage.networks().find_image(stage.image()).await.expect_err("it is not allowed");
    assert_eq!((error.action, error.class), ("DescribeImages", Class::Unauthorized));
}

//! The machines of ours over EC2, and the mark of an orphan.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Instance, Tag};
use jiff::Timestamp;

use super::{Ec2, failed, filter, filter_of, to_machine};
use crate::error::AwsError;
use crate::fleet::{ORPHAN_TAG, Sighting};
use crate::machine::{Addresses, InstanceId, Token};
use crate::needs::{Fleet, StatusChecks, Views};

/// The most that a page may hold: a sweep over thousands of machines is few requests.
const PAGE: i32 = 1000;

impl Views for Ec2 {
    async fn look(&self, instances: &[InstanceId]) -> Result<Vec<Sighting>, AwsError> {
        // By a filter: an id that EC2 does not know is left out then, and no error.
        let ids: Vec<String> = instances.iter().map(|id| id.0.clone()).collect();
        self.sightings(filter_of("instance-id", &ids)).await
    }
}

impl Fleet for Ec2 {
    async fn list(&self, project: &str) -> Result<Vec<Sighting>, AwsError> {
        self.sightings(filter("tag:Project", project)).await
    }

    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        self.mark_as_orphan(&instance.0, since).await
    }

    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let tag = Tag::builder().key(ORPHAN_TAG).build();
        let answer = self.client.delete_tags().resources(&instance.0).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("DeleteTags", &error))
    }
}

impl Ec2 {
    /// Of a machine, or of what one has left behind.
    pub(super) async fn mark_as_orphan(&self, id: &str, since: Timestamp) -> Result<(), AwsError> {
        self.set_tag(id, ORPHAN_TAG, &format!("{since:.0}")).await
    }

    pub(super) async fn set_tag(&self, id: &str, key: &str, value: &str) -> Result<(), AwsError> {
        let tag = Tag::builder().key(key).value(value).build();
        let answer = self.client.create_tags().resources(id).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("CreateTags", &error))
    }

    async fn sightings(&self, filter: Filter) -> Result<Vec<Sighting>, AwsError> {
        let request = self.client.describe_instances().filters(filter);
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let reservations = self.all("DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(reservations.iter().flat_map(|r| r.instances()).filter_map(to_sighting).collect())
    }
}

fn to_sighting(instance: &Instance) -> Option<Sighting> {
    let launched_at = instance.launch_time()?;
    Some(Sighting {
        machine: to_machine(instance)?,
        token: instance.client_token().filter(|token| !token.is_empty()).map(|token| Token(token.to_owned())),
        launched_at: Timestamp::from_second(launched_at.secs()).ok()?,
        addresses: to_addresses(instance),
    })
}

/// An empty text is none.
pub(super) fn to_addresses(instance: &Instance) -> Addresses {
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let public = some(instance.public_dns_name());
    Addresses {
        private_ip: some(instance.private_ip_address()),
        public_ip: some(instance.public_ip_address()),
        dns_name: public.or_else(|| some(instance.private_dns_name())),
    }
}

impl StatusChecks for Ec2 {
    async fn list_impaired(&self) -> Result<BTreeSet<InstanceId>, AwsError> {
        let mut impaired = BTreeSet::new();
        for check in ["system-status.status", "instance-status.status"] {
            let request = self.client.describe_instance_status().filters(filter(check, "impaired"));
            let pages = request.into_paginator().items().send();
            let found = self.all("DescribeInstanceStatus", pages.collect::<Result<Vec<_>, _>>()).await?;
            impaired.extend(
                found.iter().filter_map(|status| status.instance_id()).map(|id| InstanceId(id.to_owned())),
            );
        }
        Ok(impaired)
    }
}

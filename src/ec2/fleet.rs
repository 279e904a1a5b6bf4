//! The machines of ours over EC2, and the mark of an orphan.

use aws_sdk_ec2::types::{Filter, Instance, Tag};
use jiff::Timestamp;

use super::{Ec2, failed, filter, to_machine};
use crate::error::AwsError;
use crate::fleet::{ORPHAN_TAG, Sighting};
use crate::machine::{InstanceId, Token};
use crate::needs::Fleet;

/// The most that a page may hold: a sweep over thousands of machines is few requests.
const PAGE: i32 = 1000;

impl Fleet for Ec2 {
    async fn list(&self, project: &str) -> Result<Vec<Sighting>, AwsError> {
        self.sightings(filter("tag:Project", project)).await
    }

    async fn look(&self, instance: &InstanceId) -> Result<Option<Sighting>, AwsError> {
        // By a filter: an id that EC2 does not know is an empty list then, and no error.
        Ok(self.sightings(filter("instance-id", &instance.0)).await?.into_iter().next())
    }

    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        let tag = Tag::builder().key(ORPHAN_TAG).value(format!("{since:.0}")).build();
        let answer = self.client.create_tags().resources(&instance.0).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("CreateTags", &error))
    }

    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let tag = Tag::builder().key(ORPHAN_TAG).build();
        let answer = self.client.delete_tags().resources(&instance.0).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("DeleteTags", &error))
    }
}

impl Ec2 {
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
    })
}

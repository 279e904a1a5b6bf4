//! Our machines over EC2, and the tag of an orphan.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Instance, Tag};
use jiff::Timestamp;

use super::{Ec2, failed, filter, to_machine};
use elephant_core::error::{AwsError, Class};
use elephant_core::fleet::{Looked, ORPHAN_TAG, ObservedMachine};
use elephant_core::machine::{Addresses, InstanceId, Token};
use elephant_core::ports::{DescribeById, Fleet, Starts, StatusChecks};

/// The largest page that EC2 allows, so that a sweep over thousands of machines makes few requests.
const PAGE: i32 = 1000;

/// How many ids one request has. EC2 allows a thousand ids, and no page limit beside them.
const IDS: usize = 100;

impl DescribeById for Ec2 {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        // `InstanceIds` and not a filter: while a zone is disrupted, a request without ids fails altogether.
        let mut looked = Looked::default();
        let mut failure = None;
        let mut left: Vec<Vec<&InstanceId>> =
            instances.chunks(IDS).map(|chunk| chunk.iter().collect()).collect();
        while let Some(mut ids) = left.pop() {
            let named = ids.iter().map(|id| id.to_string()).collect();
            let answer = self.client.describe_instances().set_instance_ids(Some(named)).send().await;
            let error = match answer {
                Ok(answer) => {
                    let shown = answer.reservations().iter().flat_map(|r| r.instances());
                    let shown: Vec<ObservedMachine> = shown.filter_map(to_sighting).collect();
                    // A machine that the answer leaves out silently does not exist.
                    let is_shown = |id: &InstanceId| shown.iter().any(|s| s.instance_id() == id);
                    looked.missing.extend(ids.iter().filter(|id| !is_shown(id)).map(|id| (*id).clone()));
                    looked.seen.extend(shown);
                    continue;
                }
                Err(error) => failed("DescribeInstances", &error),
            };
            let unknown = |id: &InstanceId| {
                error.code().starts_with("InvalidInstanceID") && names(&error.message, id.as_str())
            };
            let (gone, others): (Vec<_>, Vec<_>) = ids.iter().partition(|id| unknown(id));
            match (gone.is_empty(), error.class) {
                (false, _) => {
                    looked.missing.extend(gone.into_iter().cloned());
                    left.extend(Some(others).filter(|others| !others.is_empty()));
                }
                // The refusal is about none of these machines.
                (true, Class::Throttled | Class::Unauthorized) => return Err(error),
                (true, _) if ids.len() == 1 => failure = Some(error),
                // EC2 cannot show some of these machines: halves are asked for until the others are seen.
                (true, _) => {
                    left.push(ids.split_off(ids.len() / 2));
                    left.push(ids);
                }
            }
        }
        match failure {
            Some(error) if looked == Looked::default() => Err(error),
            _ => Ok(looked),
        }
    }
}

/// Whether a message names this id, and not only a longer one. EC2 quotes a text that can be no id.
fn names(message: &str, id: &str) -> bool {
    message.contains(&format!("\"{id}\""))
        || message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == id)
}

impl Starts for Ec2 {
    async fn start(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let answer = self.client.start_instances().instance_ids(instance.as_str()).send().await;
        answer.map(|_| ()).map_err(|error| failed("StartInstances", &error))
    }
}

impl Fleet for Ec2 {
    async fn list(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError> {
        self.observed_machines(filter("tag:Project", project)).await
    }

    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        self.mark_as_orphan(instance.as_str(), since).await
    }

    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.remove_orphan_mark(instance.as_str()).await
    }
}

impl Ec2 {
    /// Mark a machine, or something that a machine left behind.
    pub(super) async fn mark_as_orphan(&self, id: &str, since: Timestamp) -> Result<(), AwsError> {
        self.set_tag(id, ORPHAN_TAG, &format!("{since:.0}")).await
    }

    pub(super) async fn remove_orphan_mark(&self, id: &str) -> Result<(), AwsError> {
        let tag = Tag::builder().key(ORPHAN_TAG).build();
        let answer = self.client.delete_tags().resources(id).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("DeleteTags", &error))
    }

    pub(super) async fn set_tag(&self, id: &str, key: &str, value: &str) -> Result<(), AwsError> {
        let tag = Tag::builder().key(key).value(value).build();
        let answer = self.client.create_tags().resources(id).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("CreateTags", &error))
    }

    async fn observed_machines(&self, filter: Filter) -> Result<Vec<ObservedMachine>, AwsError> {
        let request = self.client.describe_instances().filters(filter);
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let reservations = self.all("DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(reservations.iter().flat_map(|r| r.instances()).filter_map(to_sighting).collect())
    }
}

fn to_sighting(instance: &Instance) -> Option<ObservedMachine> {
    let launched_at = instance.launch_time()?;
    Some(ObservedMachine {
        machine: to_machine(instance)?,
        token: instance.client_token().filter(|token| !token.is_empty()).map(Token::from),
        launched_at: Timestamp::from_second(launched_at.secs()).ok()?,
        addresses: to_addresses(instance),
    })
}

/// The machine's addresses. An empty text counts as missing.
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
            let pages = request.into_paginator().page_size(PAGE).items().send();
            let found = self.all("DescribeInstanceStatus", pages.collect::<Result<Vec<_>, _>>()).await?;
            impaired.extend(found.iter().filter_map(|status| status.instance_id()).map(InstanceId::from));
        }
        Ok(impaired)
    }
}

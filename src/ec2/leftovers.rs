//! Volumes and network interfaces of ours that are attached to nothing.

use aws_sdk_ec2::types::Tag;
use jiff::Timestamp;

use super::{Ec2, failed, filter, to_tags};
use crate::error::AwsError;
use crate::fleet::{Leftover, LeftoverKind};
use crate::machine::MEETING_TAG;
use crate::needs::Leftovers;

/// EC2's word for attached to nothing, of either.
const AVAILABLE: &str = "available";

impl Leftovers for Ec2 {
    async fn list_leftovers(&self, project: &str) -> Result<Vec<Leftover>, AwsError> {
        let ours =
            [filter("tag:Project", project), filter("status", AVAILABLE), filter("tag-key", MEETING_TAG)];
        let volumes = self.client.describe_volumes().set_filters(Some(ours.to_vec()));
        let volumes = volumes.into_paginator().items().send();
        let volumes = self.all("DescribeVolumes", volumes.collect::<Result<Vec<_>, _>>()).await?;
        let interfaces = self.client.describe_network_interfaces().set_filters(Some(ours.to_vec()));
        let interfaces = interfaces.into_paginator().items().send();
        let interfaces =
            self.all("DescribeNetworkInterfaces", interfaces.collect::<Result<Vec<_>, _>>()).await?;
        let volumes = volumes
            .iter()
            .filter_map(|volume| to_leftover(LeftoverKind::Volume, volume.volume_id(), volume.tags()));
        let interfaces = interfaces.iter().filter_map(|interface| {
            to_leftover(LeftoverKind::NetworkInterface, interface.network_interface_id(), interface.tag_set())
        });
        Ok(volumes.chain(interfaces).collect())
    }

    async fn mark_leftover(&self, leftover: &Leftover, since: Timestamp) -> Result<(), AwsError> {
        self.mark_as_orphan(&leftover.id, since).await
    }

    async fn remove(&self, leftover: &Leftover) -> Result<(), AwsError> {
        match leftover.kind {
            LeftoverKind::Volume => {
                let answer = self.client.delete_volume().volume_id(&leftover.id).send().await;
                answer.map(|_| ()).map_err(|error| failed("DeleteVolume", &error))
            }
            LeftoverKind::NetworkInterface => {
                let request = self.client.delete_network_interface().network_interface_id(&leftover.id);
                request.send().await.map(|_| ()).map_err(|error| failed("DeleteNetworkInterface", &error))
            }
        }
    }
}

fn to_leftover(kind: LeftoverKind, id: Option<&str>, tags: &[Tag]) -> Option<Leftover> {
    Some(Leftover { kind, id: id?.to_owned(), tags: to_tags(tags) })
}

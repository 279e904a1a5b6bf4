//! Our volumes and network interfaces that are attached to nothing, and those that are marked as leftovers.

use aws_sdk_ec2::types::{Filter, Tag};
use jiff::Timestamp;

use super::{Ec2, failed, filter, to_tags};
use elephant_core::error::AwsError;
use elephant_core::fleet::{Leftover, LeftoverKind, ORPHAN_TAG};
use elephant_core::machine::MEETING_TAG;
use elephant_core::ports::Leftovers;

/// EC2's state of a volume or network interface that is attached to nothing.
const AVAILABLE: &str = "available";

/// The largest page that both actions allow; the least is 5.
const PAGE: i32 = 500;

impl Leftovers for Ec2 {
    async fn list_leftovers(&self, project: &str, marked: bool) -> Result<Vec<Leftover>, AwsError> {
        let mut found = self.leftovers(project, filter("status", AVAILABLE), false).await?;
        if marked {
            let again = self.leftovers(project, filter("tag-key", ORPHAN_TAG), true).await?;
            found.extend(again.into_iter().filter(|leftover| leftover.in_use));
        }
        Ok(found)
    }

    async fn mark_leftover(&self, leftover: &Leftover, since: Timestamp) -> Result<(), AwsError> {
        self.mark_as_orphan(&leftover.id, since).await
    }

    async fn unmark_leftover(&self, leftover: &Leftover) -> Result<(), AwsError> {
        self.remove_orphan_mark(&leftover.id).await
    }

    async fn remove(&self, leftover: &Leftover) -> Result<bool, AwsError> {
        let answer = match leftover.kind {
            LeftoverKind::Volume => {
                let answer = self.client.delete_volume().volume_id(&leftover.id).send().await;
                answer.map(|_| ()).map_err(|error| failed("DeleteVolume", &error))
            }
            LeftoverKind::NetworkInterface => {
                let request = self.client.delete_network_interface().network_interface_id(&leftover.id);
                request.send().await.map(|_| ()).map_err(|error| failed("DeleteNetworkInterface", &error))
            }
        };
        match answer {
            Ok(()) => Ok(true),
            Err(error) if is_no_leftover(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Ec2 {
    /// The leftovers that match the filter. `look`: check of each whether it is in use, because the filter does not.
    async fn leftovers(&self, project: &str, which: Filter, look: bool) -> Result<Vec<Leftover>, AwsError> {
        let ours = Some(vec![filter("tag:Project", project), which, filter("tag-key", MEETING_TAG)]);
        let volumes = self.client.describe_volumes().set_filters(ours.clone());
        let volumes = volumes.into_paginator().page_size(PAGE).items().send();
        let volumes = self.all("DescribeVolumes", volumes.collect::<Result<Vec<_>, _>>()).await?;
        let interfaces = self.client.describe_network_interfaces().set_filters(ours);
        let interfaces = interfaces.into_paginator().page_size(PAGE).items().send();
        let interfaces =
            self.all("DescribeNetworkInterfaces", interfaces.collect::<Result<Vec<_>, _>>()).await?;
        let volumes = volumes.iter().filter_map(|volume| {
            let in_use = look && volume.state().is_none_or(|state| state.as_str() != AVAILABLE);
            to_leftover(LeftoverKind::Volume, volume.volume_id(), in_use, volume.tags())
        });
        let interfaces = interfaces.iter().filter_map(|interface| {
            let in_use = look && interface.status().is_none_or(|status| status.as_str() != AVAILABLE);
            let id = interface.network_interface_id();
            to_leftover(LeftoverKind::NetworkInterface, id, in_use, interface.tag_set())
        });
        Ok(volumes.chain(interfaces).collect())
    }
}

/// Whether the thing is gone, or in use again. A network interface in use is told by the words only.
fn is_no_leftover(error: &AwsError) -> bool {
    matches!(
        error.code(),
        "InvalidVolume.NotFound"
            | "VolumeInUse"
            | "InvalidNetworkInterfaceID.NotFound"
            | "InvalidNetworkInterface.InUse"
    ) || error.code() == "InvalidParameterValue" && error.message.contains("currently in use")
}

fn to_leftover(kind: LeftoverKind, id: Option<&str>, in_use: bool, tags: &[Tag]) -> Option<Leftover> {
    Some(Leftover { kind, id: id?.to_owned(), in_use, tags: to_tags(tags) })
}

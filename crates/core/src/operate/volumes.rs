//! Disks besides the root: `add_volume`, `remove_volume`.
//!
//! A disk is made in the machine's zone, attached at the first free device name, and from then on deleted with the
//! machine. If a delivery dies in between and nobody asks again, `reconcile` lists the disk among the leftovers.

use serde::Serialize;

use super::parts::Kind;
use super::{GENERATIONS, OperateAnswer, OperateDelivery, OperatePorts, Outcome};
use crate::error::{AwsError, Error, Service};
use crate::event::{Named, WantedVolume};
use crate::hardware::{Hardware, NAME_TAG, NewVolume, Volume, VolumeId};
use crate::plan::operate as plan;
use crate::ports::Parts;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeAnswer {
    pub volume_id: VolumeId,
    pub name: String,
    pub size_gb: i32,
    pub availability_zone: String,
    /// EC2's name of the device. A machine on Nitro, as nearly all are, has its own names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The path at which a machine on Nitro with Linux finds the disk, whatever other name the disk has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_on_nitro: Option<String>,
}

impl Kind for Volume {
    const CALLED: &str = "the volume ";
    const REMOVE: &str = "remove_volume";
    const FIRST: &str = "; unmount it";

    fn is_detached(&self) -> bool {
        self.state != "in-use"
    }

    fn taken(of: &Hardware) -> Vec<String> {
        of.volumes.iter().map(|(device, _)| device.clone()).collect()
    }

    fn free_place(taken: &[String]) -> Result<String, &'static str> {
        plan::free_device(taken).ok_or("free device name from /dev/sdf to /dev/sdp")
    }
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    pub(super) async fn add_volume(
        &self,
        of: &Hardware,
        wanted: &WantedVolume,
    ) -> Result<OperateAnswer, Error> {
        let of = &self.at_rest(of).await?;
        let (instance, parts) = (of.instance_id(), self.parts::<Volume>(of));
        let volume = match parts.standing(&wanted.name).await? {
            Some(volume) => volume,
            None => self.create_volume(of, wanted).await?,
        };
        // An earlier request, or one at the same moment, asked for another size.
        if volume.size_gb != wanted.size_gb {
            let (name, id, has) = (&wanted.name, &volume.volume_id, volume.size_gb);
            let why =
                format!("{instance} has a volume {name:?} already, {id} of {has} GiB: choose another name");
            return Err(self.refused(why));
        }
        let (volume, outcome) = parts.attach(volume).await?;
        if let Some(attachment) = &volume.attachment {
            let (ec2, id) = (&self.operator.ec2, &volume.volume_id);
            let alive = async |_: &AwsError| self.alive(instance).await;
            let request = || Parts::<Volume>::delete_with_machine(ec2, id, attachment);
            self.settle(Service::Ec2, request, alive).await?;
        }
        let device = volume.attachment.as_ref().map(|attachment| attachment.device.clone());
        Ok(OperateAnswer { volume: Some(describe(of, &volume, device)), ..self.answer(of, outcome) })
    }

    async fn create_volume(&self, of: &Hardware, wanted: &WantedVolume) -> Result<Volume, Error> {
        let new = |token| NewVolume {
            token,
            availability_zone: of.availability_zone.clone(),
            size_gb: wanted.size_gb,
            volume_type: wanted.volume_type.clone(),
            iops: wanted.iops,
            throughput: wanted.throughput,
            encrypted: wanted.encrypted,
            tags: self.tags(of, &wanted.name),
        };
        self.parts(of).make(&wanted.name, new).await?.ok_or_else(|| {
            self.refused(format!("{GENERATIONS} volumes of this name have been removed: choose another"))
        })
    }

    pub(super) async fn remove_volume(
        &self,
        of: &Hardware,
        named: &Named<VolumeId>,
    ) -> Result<OperateAnswer, Error> {
        let parts = self.parts::<Volume>(of);
        let Some(volume) = parts.named(named).await? else {
            return Ok(self.answer(of, Outcome::Unchanged));
        };
        parts.is_ours(&volume)?;
        parts.is_of_this_machine(&volume)?;
        if volume.attachment.as_ref().is_some_and(|a| Some(&a.device) == of.root_device.as_ref()) {
            let (id, instance) = (&volume.volume_id, of.instance_id());
            return Err(self.refused(format!("the volume {id} is the root of {instance}")));
        }
        parts.remove(&volume).await?;
        Ok(OperateAnswer { volume: Some(describe(of, &volume, None)), ..self.answer(of, Outcome::Done) })
    }
}

fn describe(of: &Hardware, volume: &Volume, device: Option<String>) -> VolumeAnswer {
    let inside = |_: &String| {
        let id = volume.volume_id.as_str().replace('-', "");
        format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{id}")
    };
    VolumeAnswer {
        volume_id: volume.volume_id.clone(),
        name: volume.tags.get(NAME_TAG).cloned().unwrap_or_default(),
        size_gb: volume.size_gb,
        availability_zone: of.availability_zone.clone(),
        device_on_nitro: device.as_ref().map(inside),
        device,
    }
}

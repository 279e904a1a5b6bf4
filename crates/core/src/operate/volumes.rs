//! Disks besides the root: `add_volume`, `remove_volume`.
//!
//! A disk is made in the machine's zone, attached at the first free device name, and deleted with the machine from then on.
//! One that cannot be attached is deleted at once. A delivery that dies in between leaves a disk that its repeat finds, by
//! its tags or its client token; where nobody asks again, `reconcile` lists it among what is left over.

use serde::Serialize;

use super::{Answer, Delivery, Found, GENERATIONS, Outcome, Part, Sight};
use crate::error::{AwsError, Error, Service};
use crate::event::{Named, WantedVolume};
use crate::hardware::{Attached, Hardware, INSTANCE_TAG, Made, NAME_TAG, NewVolume, Volume};
use crate::machine::InstanceId;
use crate::plan::operate as plan;
use crate::ports::{Clock, Machinery, Meetings, Ssm, Tokens};

/// In client tokens.
const KIND: &str = "volume";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VolumeAnswer {
    pub volume_id: String,
    pub name: String,
    pub size_gb: i32,
    pub availability_zone: String,
    /// What EC2 calls its place; a machine on Nitro, as nearly all are, has names of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Where a machine on Nitro with Linux finds it, whatever else its name is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_on_nitro: Option<String>,
}

impl<M: Meetings, E: Machinery, S: Ssm, C: Clock, T: Tokens> Delivery<'_, M, E, S, C, T> {
    pub(super) async fn add_volume(&self, of: &Hardware, wanted: &WantedVolume) -> Result<Answer, Error> {
        let of = &self.at_rest(of).await?;
        let instance = of.instance_id();
        let volume = match self.standing_volume(of, &wanted.name).await? {
            Some(volume) => volume,
            None => self.create(of, wanted).await?,
        };
        // Of an earlier request, or of one at the same moment that asked for something else.
        if volume.size_gb != wanted.size_gb {
            let (name, id, has) = (&wanted.name, &volume.volume_id, volume.size_gb);
            let why =
                format!("{instance} has a volume {name:?} already, {id} of {has} GiB: choose another name");
            return Err(self.refused(why));
        }
        let (device, outcome) = match self.attach(of, volume.clone()).await {
            Ok(attached) => attached,
            Err(error) => return Err(self.roll_back_volume(&volume, error).await),
        };
        let ec2 = &self.operator.ec2;
        let alive = async |_: &AwsError| self.alive(instance).await;
        self.settle(Service::Ec2, || ec2.delete_volume_with_machine(instance, &device), alive).await?;
        Ok(Answer { volume: Some(describe(of, &volume, Some(device))), ..self.answer(of, outcome) })
    }

    /// The one that was made for this machine under this name, if it is not being deleted.
    async fn standing_volume(&self, of: &Hardware, name: &str) -> Result<Option<Volume>, Error> {
        let ec2 = &self.operator.ec2;
        let found = self.ask(Service::Ec2, || ec2.find_volumes(of.instance_id(), name)).await?;
        Ok(found.into_iter().find(|volume| self.is_ours(&volume.tags) && stands(volume)))
    }

    async fn create(&self, of: &Hardware, wanted: &WantedVolume) -> Result<Volume, Error> {
        let ec2 = &self.operator.ec2;
        let name = &wanted.name;
        for generation in self.generations(KIND, of, name) {
            let volume = NewVolume {
                token: plan::token(KIND, of.instance_id(), name, generation),
                availability_zone: of.availability_zone.clone(),
                size_gb: wanted.size_gb,
                volume_type: wanted.volume_type.clone(),
                iops: wanted.iops,
                throughput: wanted.throughput,
                encrypted: wanted.encrypted,
                tags: self.tags(of, name),
            };
            let made = match self.ask(Service::Ec2, || ec2.create_volume(&volume)).await? {
                Made::This(made) if !stands(&made) => continue,
                Made::This(made) => Some(made),
                // Another request with this name is under way, or the one that used this token is history.
                Made::Mismatch => None,
            };
            if let Some(made) = self.until_made(of, name, made.as_ref()).await? {
                self.stands_under(KIND, of, name, generation);
                return Ok(made);
            }
        }
        Err(self.refused(format!("{GENERATIONS} volumes of this name have been removed: choose another")))
    }

    /// `None`: the token's volume has been removed since. What is new may not be visible for a while, neither by its id nor
    /// by its tags; a second one beside it would be worse than that while.
    async fn until_made(
        &self,
        of: &Hardware,
        name: &str,
        made: Option<&Volume>,
    ) -> Result<Option<Volume>, Error> {
        let ec2 = &self.operator.ec2;
        let not_yet = format!("the volume {name:?} is not available yet");
        let since = made.and_then(|made| made.created_at);
        self.until_seen(&not_yet, since, async || {
            let by_id = match made {
                Some(made) => self.ask(Service::Ec2, || ec2.find_volume(&made.volume_id)).await?,
                None => None,
            };
            let found = match by_id {
                Some(found) if !stands(&found) => return Ok(Sight::Gone),
                Some(found) => Some(found),
                None => self.standing_volume(of, name).await?,
            };
            let Some(volume) = found else { return Ok(Sight::Unseen) };
            match volume.state.as_str() {
                "creating" => Ok(Sight::NotYet),
                "error" => {
                    let id = &volume.volume_id;
                    Err(self.refused(format!("EC2 could not make the volume {id}: its state is error")))
                }
                _ => Ok(Sight::There(volume)),
            }
        })
        .await
    }

    /// At the first device name that is free; another request may be faster with it.
    async fn attach(&self, of: &Hardware, mut volume: Volume) -> Result<(String, Outcome), Error> {
        let ec2 = &self.operator.ec2;
        let (instance, id) = (of.instance_id(), volume.volume_id.clone());
        let mut taken: Vec<String> = of.volumes.iter().map(|(device, _)| device.clone()).collect();
        let mut outcome = Outcome::Unchanged;
        loop {
            match &volume.attachment {
                Some(attachment) if attachment.instance_id != *instance => {
                    let other = &attachment.instance_id;
                    return Err(self.refused(format!("the volume {id} is attached to {other}")));
                }
                Some(attachment) if attachment.state == "attached" || attachment.state == "busy" => {
                    return Ok((attachment.device.clone(), outcome));
                }
                Some(_) => {}
                None => {
                    let device = plan::free_device(&taken).ok_or_else(|| {
                        self.refused(format!("{instance} has no free device name from /dev/sdf to /dev/sdp"))
                    })?;
                    let attach = || ec2.attach_volume(&id, instance, &device);
                    let look = async |_: &AwsError| {
                        self.alive(instance).await?;
                        match self.look_at_volume(&id, instance, Part::Whole).await? {
                            Found::Gone => Err(self.refused(format!("the volume {id} is gone"))),
                            stands => Ok(stands),
                        }
                    };
                    let answer = self.settle(Service::Ec2, attach, look).await?;
                    if answer == Some(Attached::PlaceTaken) {
                        taken.push(device);
                        continue;
                    }
                    outcome = Outcome::Done;
                }
            }
            volume = self
                .until(&format!("the volume {id} is not attached yet"), async || {
                    let found = self.ask(Service::Ec2, || ec2.find_volume(&id)).await?;
                    let there = |volume: &Volume| {
                        volume
                            .attachment
                            .as_ref()
                            .is_some_and(|a| a.state != "attaching" && a.state != "detaching")
                    };
                    Ok(found.filter(there))
                })
                .await?;
        }
    }

    /// A look at a volume of this machine, or of none, that EC2 would not touch.
    async fn look_at_volume(&self, id: &str, instance: &InstanceId, of: Part) -> Result<Found, Error> {
        let ec2 = &self.operator.ec2;
        let found = self.ask(Service::Ec2, || ec2.find_volume(id)).await?.filter(stands);
        let Some(volume) = found else { return Ok(Found::Gone) };
        match volume.attachment {
            Some(attachment) if attachment.instance_id != *instance => {
                let other = &attachment.instance_id;
                Err(self.refused(format!("the volume {id} is attached to {other}")))
            }
            None if of == Part::Attachment => Ok(Found::Gone),
            _ if !self.is_ours(&volume.tags) => {
                Err(self.refused(format!("the volume {id} has not the tag Project of ours")))
            }
            _ => Ok(Found::Stands(volume.created_at)),
        }
    }

    async fn roll_back_volume(&self, volume: &Volume, error: Error) -> Error {
        let ec2 = &self.operator.ec2;
        let id = &volume.volume_id;
        let found = self.ask(Service::Ec2, || ec2.find_volume(id)).await;
        let attached = found.map(|found| found.is_some_and(|volume| volume.attachment.is_some()));
        let delete = || ec2.delete_volume(id);
        self.roll_back(&format!("the volume {id}"), attached, delete, "remove_volume", error).await
    }

    pub(super) async fn remove_volume(&self, of: &Hardware, named: &Named) -> Result<Answer, Error> {
        let ec2 = &self.operator.ec2;
        let instance = of.instance_id();
        let found = match named {
            Named::Id(id) => self.ask(Service::Ec2, || ec2.find_volume(id)).await?.filter(stands),
            Named::Name(name) => self.standing_volume(of, name).await?,
        };
        let Some(volume) = found else { return Ok(self.answer(of, Outcome::Unchanged)) };
        let id = &volume.volume_id;
        if !self.is_ours(&volume.tags) {
            return Err(self.refused(format!("the volume {id} has not the tag Project of ours")));
        }
        let made_for = volume.tags.get(INSTANCE_TAG);
        let attached_to = volume.attachment.as_ref().map(|attachment| &attachment.instance_id);
        if attached_to.is_some_and(|other| other != instance)
            || (attached_to.is_none() && made_for.is_some_and(|other| *other != instance.0))
        {
            return Err(self.refused(format!("the volume {id} is not one of {instance}")));
        }
        if volume.attachment.as_ref().is_some_and(|a| Some(&a.device) == of.root_device.as_ref()) {
            return Err(self.refused(format!("the volume {id} is the root of {instance}")));
        }
        let look = async |_: &AwsError| self.look_at_volume(id, instance, Part::Whole).await;
        if volume.attachment.is_some() {
            let attached = async |_: &AwsError| self.look_at_volume(id, instance, Part::Attachment).await;
            self.settle(Service::Ec2, || ec2.detach_volume(id, instance), attached).await?;
            self.until(&format!("the volume {id} is not detached yet; unmount it"), async || {
                match self.ask(Service::Ec2, || ec2.find_volume(id)).await? {
                    Some(volume) if volume.state == "in-use" => Ok(None),
                    _ => Ok(Some(())),
                }
            })
            .await?;
        }
        self.settle(Service::Ec2, || ec2.delete_volume(id), look).await?;
        if let Some(name) = volume.tags.get(NAME_TAG) {
            self.is_history(KIND, of, name);
        }
        Ok(Answer { volume: Some(describe(of, &volume, None)), ..self.answer(of, Outcome::Done) })
    }
}

fn stands(volume: &Volume) -> bool {
    !matches!(volume.state.as_str(), "deleting" | "deleted")
}

fn describe(of: &Hardware, volume: &Volume, device: Option<String>) -> VolumeAnswer {
    let inside = |_: &String| {
        let id = volume.volume_id.replace('-', "");
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

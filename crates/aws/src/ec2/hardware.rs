//! The requests that `operate` needs: a machine's parts, images, disks and network interfaces over EC2.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types::{
    DeviceType, EbsInstanceBlockDeviceSpecification, Filter, Image, Instance,
    InstanceBlockDeviceMappingSpecification, InstanceLifecycleType, InstanceType, NetworkInterface,
    NetworkInterfaceAttachmentChanges, ResourceType, VolumeType,
};
use aws_sdk_ec2::types::{Snapshot, Volume as EbsVolume};

use aws_sdk_ec2::primitives::DateTime;
use jiff::Timestamp;

use super::fleet::to_addresses;
use super::{Ec2, failed, filter, pattern, tagged, to_machine, to_tags};
use crate::sdk;
use elephant_core::error::{AwsError, Class};
use elephant_core::fleet::STOPPED_TAG;
use elephant_core::hardware::{
    Attached, Hardware, INSTANCE_TAG, Interface, InterfaceAttachment, InterfaceId, Made, NAME_TAG, NewImage,
    NewInterface, NewVolume, OwnImage, OwnSnapshot, REBOOT_TAG, Volume, VolumeAttachment, VolumeId,
};
use elephant_core::machine::InstanceId;
use elephant_core::ports::{Inspects, InterfacePlaces, OwnImages, Parts, PowerControl};

impl Inspects for Ec2 {
    async fn inspect(&self, instance: &InstanceId) -> Result<Option<Hardware>, AwsError> {
        let answer = self.client.describe_instances().instance_ids(instance.as_str()).send().await;
        let found = unless("DescribeInstances", answer, &["InvalidInstanceID.NotFound"])?;
        let machines = found.iter().flat_map(|found| found.reservations()).flat_map(|of| of.instances());
        Ok(machines.into_iter().find_map(to_hardware))
    }
}

fn to_hardware(instance: &Instance) -> Option<Hardware> {
    let texts = |ids: Vec<Option<&str>>| ids.into_iter().flatten().map(str::to_owned).collect::<Vec<_>>();
    let volumes = instance
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| Some((mapping.device_name()?.to_owned(), mapping.ebs()?.volume_id()?.into())));
    let interfaces = instance.network_interfaces().iter().filter_map(|interface| {
        let index = interface.attachment().and_then(|attachment| attachment.device_index());
        Some((index.unwrap_or_default(), interface.network_interface_id()?.into()))
    });
    Some(Hardware {
        machine: to_machine(instance)?,
        addresses: to_addresses(instance),
        launched_at: instance.launch_time().and_then(to_timestamp),
        instance_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        availability_zone: instance.placement()?.availability_zone()?.to_owned(),
        subnet_id: instance.subnet_id().filter(|id| !id.is_empty()).map(str::to_owned),
        security_group_ids: texts(instance.security_groups().iter().map(|group| group.group_id()).collect()),
        root_device: instance.root_device_name().map(str::to_owned),
        has_instance_store_root: instance.root_device_type() == Some(&DeviceType::InstanceStore),
        is_spot: instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
        volumes: volumes.collect(),
        interfaces: interfaces.collect(),
    })
}

impl PowerControl for Ec2 {
    async fn stop(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let answer = self.client.stop_instances().instance_ids(instance.as_str()).send().await;
        answer.map(|_| ()).map_err(|error| failed("StopInstances", &error))
    }

    async fn reboot(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let answer = self.client.reboot_instances().instance_ids(instance.as_str()).send().await;
        answer.map(|_| ()).map_err(|error| failed("RebootInstances", &error))
    }

    async fn tag_reboot(&self, instance: &InstanceId, name: &str) -> Result<(), AwsError> {
        self.set_tag(instance.as_str(), REBOOT_TAG, name).await
    }

    async fn tag_stopped(&self, instance: &InstanceId, stopped: bool) -> Result<(), AwsError> {
        self.set_tag(instance.as_str(), STOPPED_TAG, if stopped { "by operate" } else { "" }).await
    }
}

impl OwnImages for Ec2 {
    async fn create_image(&self, image: &NewImage) -> Result<Option<String>, AwsError> {
        let request = self
            .client
            .create_image()
            .instance_id(image.instance_id.as_str())
            .name(&image.name)
            .no_reboot(!image.reboot)
            .tag_specifications(tagged(ResourceType::Image, &image.tags))
            .tag_specifications(tagged(ResourceType::Snapshot, &image.tags));
        let answer = unless("CreateImage", request.send().await, &["InvalidAMIName.Duplicate"])?;
        Ok(answer.map(|answer| answer.image_id().unwrap_or_default().to_owned()))
    }

    async fn find_named(&self, name: &str) -> Result<Option<OwnImage>, AwsError> {
        Ok(self.own_images(filter("name", name)).await?.into_iter().find(|image| image.name == name))
    }

    async fn find_by_id(&self, image_id: &str) -> Result<Option<OwnImage>, AwsError> {
        // The image of any owner, so that the error can say that it is not ours.
        let request = self.client.describe_images().image_ids(image_id).include_disabled(true);
        let unknown = ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"];
        let found = unless("DescribeImages", request.send().await, &unknown)?;
        Ok(found.iter().flat_map(|found| found.images()).find_map(to_image))
    }

    async fn list_own(&self, project: &str) -> Result<Vec<OwnImage>, AwsError> {
        self.own_images(filter("tag:Project", project)).await
    }

    async fn deregister(&self, image_id: &str) -> Result<(), AwsError> {
        let answer = self.client.deregister_image().image_id(image_id).send().await;
        done_or("DeregisterImage", answer, &["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"])
    }

    async fn find_snapshots(&self, image_id: &str, project: &str) -> Result<Vec<String>, AwsError> {
        let request = self.client.describe_snapshots().owner_ids("self");
        let request = request.filters(filter("tag:Project", project));
        let request =
            request.filters(pattern("description", &format!("Created by CreateImage(*) for {image_id}*")));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let found = self.all("DescribeSnapshots", pages.collect::<Result<Vec<Snapshot>, _>>()).await?;
        Ok(found.iter().filter_map(|snapshot| snapshot.snapshot_id()).map(str::to_owned).collect())
    }

    async fn find_snapshot(&self, snapshot_id: &str) -> Result<Option<OwnSnapshot>, AwsError> {
        let answer = self.client.describe_snapshots().snapshot_ids(snapshot_id).send().await;
        let found = unless("DescribeSnapshots", answer, &["InvalidSnapshot.NotFound"])?;
        let snapshot = |snapshot: &Snapshot| {
            Some(OwnSnapshot {
                snapshot_id: snapshot.snapshot_id()?.to_owned(),
                started_at: snapshot.start_time().and_then(to_timestamp),
                tags: to_tags(snapshot.tags()),
            })
        };
        Ok(found.iter().flat_map(|found| found.snapshots()).find_map(snapshot))
    }

    async fn delete_snapshot(&self, snapshot_id: &str) -> Result<(), AwsError> {
        let answer = self.client.delete_snapshot().snapshot_id(snapshot_id).send().await;
        done_or("DeleteSnapshot", answer, &["InvalidSnapshot.NotFound"])
    }
}

impl Parts<Volume> for Ec2 {
    async fn create_part(&self, volume: &NewVolume) -> Result<Made<Volume>, AwsError> {
        let request = self
            .client
            .create_volume()
            .client_token(volume.token.as_str())
            .availability_zone(&volume.availability_zone)
            .size(volume.size_gb)
            .volume_type(VolumeType::from(volume.volume_type.as_str()))
            .set_iops(volume.iops)
            .set_throughput(volume.throughput)
            // `false` sends nothing, because the account may encrypt all volumes.
            .set_encrypted(volume.encrypted.then_some(true))
            .tag_specifications(tagged(ResourceType::Volume, &volume.tags));
        match request.send().await {
            Ok(answer) => Ok(Made::This(Volume {
                volume_id: made("CreateVolume", answer.volume_id())?.into(),
                state: answer.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
                size_gb: answer.size().unwrap_or_default(),
                created_at: answer.create_time().and_then(to_timestamp),
                attachment: None,
                tags: to_tags(answer.tags()),
            })),
            Err(error) if is_code(&error, &["IdempotentParameterMismatch"]) => Ok(Made::Mismatch),
            Err(error) => Err(failed("CreateVolume", &error)),
        }
    }

    async fn find_part(&self, id: &VolumeId) -> Result<Option<Volume>, AwsError> {
        let answer = self.client.describe_volumes().volume_ids(id.as_str()).send().await;
        let found = unless("DescribeVolumes", answer, &["InvalidVolume.NotFound"])?;
        Ok(found.iter().flat_map(|found| found.volumes()).find_map(to_volume))
    }

    async fn find_parts(&self, instance: &InstanceId, name: &str) -> Result<Vec<Volume>, AwsError> {
        let request = self.client.describe_volumes().set_filters(Some(made_for(instance, name)));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let found = self.all("DescribeVolumes", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(found.iter().filter_map(to_volume).collect())
    }

    async fn attach_part(
        &self,
        id: &VolumeId,
        instance: &InstanceId,
        device: &String,
    ) -> Result<Attached, AwsError> {
        let request = self.client.attach_volume().volume_id(id.as_str());
        let request = request.instance_id(instance.as_str()).device(device);
        match request.send().await {
            Ok(_) => Ok(Attached::Done),
            Err(error) if is_code(&error, &["VolumeInUse"]) => Ok(Attached::InUse),
            // "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use"
            Err(error) if is_code(&error, &["InvalidParameterValue"]) && says(&error, "already in use") => {
                Ok(Attached::PlaceTaken)
            }
            Err(error) => Err(failed("AttachVolume", &error)),
        }
    }

    async fn delete_with_machine(&self, _: &VolumeId, of: &VolumeAttachment) -> Result<(), AwsError> {
        let ebs = EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(true).build();
        let mapping = InstanceBlockDeviceMappingSpecification::builder().device_name(&of.device).ebs(ebs);
        let request = self.client.modify_instance_attribute().instance_id(of.instance_id.as_str());
        let answer = request.block_device_mappings(mapping.build()).send().await;
        answer.map(|_| ()).map_err(|error| failed("ModifyInstanceAttribute", &error))
    }

    async fn detach_part(&self, id: &VolumeId, of: &VolumeAttachment) -> Result<(), AwsError> {
        let request = self.client.detach_volume().volume_id(id.as_str()).instance_id(of.instance_id.as_str());
        // `IncorrectState`: the volume is available.
        let codes = ["IncorrectState", "InvalidAttachment.NotFound"];
        done_or("DetachVolume", request.send().await, &codes)
    }

    async fn delete_part(&self, id: &VolumeId) -> Result<(), AwsError> {
        let answer = self.client.delete_volume().volume_id(id.as_str()).send().await;
        done_or("DeleteVolume", answer, &["InvalidVolume.NotFound"])
    }
}

impl Parts<Interface> for Ec2 {
    async fn create_part(&self, interface: &NewInterface) -> Result<Made<Interface>, AwsError> {
        let groups = Some(interface.security_group_ids.clone()).filter(|groups| !groups.is_empty());
        let request = self
            .client
            .create_network_interface()
            .client_token(interface.token.as_str())
            .subnet_id(&interface.subnet_id)
            .set_groups(groups)
            .tag_specifications(tagged(ResourceType::NetworkInterface, &interface.tags));
        match request.send().await {
            Ok(answer) => {
                let made = answer.network_interface().and_then(to_interface);
                // If the answer has no interface, the interface is found by its tags.
                Ok(made.map_or(Made::Mismatch, Made::This))
            }
            Err(error) if is_code(&error, &["IdempotentParameterMismatch"]) => Ok(Made::Mismatch),
            Err(error) => Err(failed("CreateNetworkInterface", &error)),
        }
    }

    async fn find_part(&self, id: &InterfaceId) -> Result<Option<Interface>, AwsError> {
        let answer =
            self.client.describe_network_interfaces().network_interface_ids(id.as_str()).send().await;
        let found = unless("DescribeNetworkInterfaces", answer, &["InvalidNetworkInterfaceID.NotFound"])?;
        Ok(found.iter().flat_map(|found| found.network_interfaces()).find_map(to_interface))
    }

    async fn find_parts(&self, instance: &InstanceId, name: &str) -> Result<Vec<Interface>, AwsError> {
        let request = self.client.describe_network_interfaces().set_filters(Some(made_for(instance, name)));
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let found = self.all("DescribeNetworkInterfaces", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(found.iter().filter_map(to_interface).collect())
    }

    async fn attach_part(
        &self,
        id: &InterfaceId,
        instance: &InstanceId,
        device_index: &i32,
    ) -> Result<Attached, AwsError> {
        let request = self.client.attach_network_interface().network_interface_id(id.as_str());
        let request = request.instance_id(instance.as_str()).device_index(*device_index);
        match request.send().await {
            Ok(_) => Ok(Attached::Done),
            Err(error) if is_code(&error, &["InvalidNetworkInterface.InUse"]) => Ok(Attached::InUse),
            // "Instance 'i-…' already has an interface attached at device index '1'."
            Err(error)
                if is_code(&error, &["InvalidParameterValue"])
                    && says(&error, "already has an interface") =>
            {
                Ok(Attached::PlaceTaken)
            }
            Err(error) => Err(failed("AttachNetworkInterface", &error)),
        }
    }

    async fn delete_with_machine(&self, id: &InterfaceId, of: &InterfaceAttachment) -> Result<(), AwsError> {
        let attachment = NetworkInterfaceAttachmentChanges::builder()
            .attachment_id(of.attachment_id.as_str())
            .delete_on_termination(true)
            .build();
        let request = self.client.modify_network_interface_attribute().network_interface_id(id.as_str());
        let answer = request.attachment(attachment).send().await;
        answer.map(|_| ()).map_err(|error| failed("ModifyNetworkInterfaceAttribute", &error))
    }

    async fn detach_part(&self, _: &InterfaceId, of: &InterfaceAttachment) -> Result<(), AwsError> {
        let request = self.client.detach_network_interface().attachment_id(of.attachment_id.as_str());
        let answer = request.send().await;
        done_or("DetachNetworkInterface", answer, &["InvalidAttachmentID.NotFound"])
    }

    async fn delete_part(&self, id: &InterfaceId) -> Result<(), AwsError> {
        let answer = self.client.delete_network_interface().network_interface_id(id.as_str()).send().await;
        done_or("DeleteNetworkInterface", answer, &["InvalidNetworkInterfaceID.NotFound"])
    }
}

impl InterfacePlaces for Ec2 {
    async fn count_interfaces(&self, instance_type: &str) -> Result<Option<usize>, AwsError> {
        let answer = self.client.describe_instance_types().instance_types(InstanceType::from(instance_type));
        let answer = answer.send().await.map_err(|error| failed("DescribeInstanceTypes", &error))?;
        let network = answer.instance_types().first().and_then(|kind| kind.network_info());
        Ok(network
            .and_then(|network| network.maximum_network_interfaces())
            .and_then(|n| usize::try_from(n).ok()))
    }

    async fn find_zone(&self, subnet_id: &str) -> Result<Option<String>, AwsError> {
        let answer = self.client.describe_subnets().subnet_ids(subnet_id).send().await;
        let found = unless("DescribeSubnets", answer, &["InvalidSubnetID.NotFound"])?;
        let subnet = found.iter().flat_map(|found| found.subnets()).next();
        Ok(subnet.and_then(|subnet| subnet.availability_zone()).map(str::to_owned))
    }
}

impl Ec2 {
    async fn own_images(&self, filter: Filter) -> Result<Vec<OwnImage>, AwsError> {
        let request = self.client.describe_images().owners("self").filters(filter).include_disabled(true);
        let pages = request.into_paginator().page_size(PAGE).items().send();
        let found = self.all("DescribeImages", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(found.iter().filter_map(to_image).collect())
    }
}

/// The largest page of a list.
pub(super) const PAGE: i32 = 1000;

fn made_for(instance: &InstanceId, name: &str) -> Vec<Filter> {
    vec![filter(&format!("tag:{INSTANCE_TAG}"), instance.as_str()), filter(&format!("tag:{NAME_TAG}"), name)]
}

fn to_image(image: &Image) -> Option<OwnImage> {
    let snapshots = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()?.snapshot_id());
    Some(OwnImage {
        image_id: image.image_id()?.to_owned(),
        name: image.name().unwrap_or_default().to_owned(),
        state: image.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        state_reason: image.state_reason().and_then(|reason| reason.message()).map(str::to_owned),
        created_at: image.creation_date().map(str::to_owned),
        is_protected: image.deregistration_protection().is_some_and(|word| word.starts_with("enabled")),
        snapshot_ids: snapshots.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        tags: to_tags(image.tags()),
    })
}

fn to_volume(volume: &EbsVolume) -> Option<Volume> {
    let attachment = volume.attachments().iter().find_map(|attachment| {
        let state = attachment.state().map(|state| state.as_str()).unwrap_or_default();
        (state != "detached").then_some(())?;
        Some(VolumeAttachment {
            instance_id: InstanceId::from(attachment.instance_id()?),
            device: attachment.device()?.to_owned(),
            state: state.to_owned(),
        })
    });
    Some(Volume {
        volume_id: volume.volume_id()?.into(),
        state: volume.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        size_gb: volume.size().unwrap_or_default(),
        created_at: volume.create_time().and_then(to_timestamp),
        attachment,
        tags: to_tags(volume.tags()),
    })
}

fn to_interface(interface: &NetworkInterface) -> Option<Interface> {
    let attachment = interface.attachment().and_then(|attachment| {
        let state = attachment.status().map(|status| status.as_str()).unwrap_or("attached");
        (state != "detached").then_some(())?;
        Some(InterfaceAttachment {
            attachment_id: attachment.attachment_id()?.into(),
            instance_id: InstanceId::from(attachment.instance_id()?),
            device_index: attachment.device_index().unwrap_or_default(),
            state: state.to_owned(),
        })
    });
    Some(Interface {
        network_interface_id: interface.network_interface_id()?.into(),
        state: interface.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        subnet_id: interface.subnet_id().unwrap_or_default().to_owned(),
        private_ip: interface.private_ip_address().filter(|ip| !ip.is_empty()).map(str::to_owned),
        attachment,
        tags: to_tags(interface.tag_set()),
    })
}

/// The id of something that was just made. An answer without an id tells nothing, so the request is repeated.
pub(super) fn made(action: &'static str, id: Option<&str>) -> Result<String, AwsError> {
    id.filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(|| AwsError {
        action,
        class: Class::Ambiguous,
        code: None,
        message: "answered 200 without an id".to_owned(),
        request_id: None,
        advice: String::new(),
    })
}

pub(super) fn is_code<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

pub(super) fn says<E: ProvideErrorMetadata>(error: &SdkError<E>, part: &str) -> bool {
    error.message().is_some_and(|message| message.contains(part))
}

fn to_timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

/// EC2's answer; `None`: EC2 refused with one of these codes.
pub(super) fn unless<R, E>(
    action: &'static str,
    answer: Result<R, SdkError<E>>,
    codes: &[&str],
) -> Result<Option<R>, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    let is_one = |error: &E| error.code().is_some_and(|code| codes.contains(&code));
    sdk::unless(answer, is_one, |error| failed(action, error))
}

/// Success; or a refusal with one of these codes, which say that it is so already, such as that the thing is gone.
pub(super) fn done_or<R, E>(
    action: &'static str,
    answer: Result<R, SdkError<E>>,
    codes: &[&str],
) -> Result<(), AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    unless(action, answer, codes).map(|_| ())
}

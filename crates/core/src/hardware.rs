//! Disks, network interfaces and images of a machine.
//!
//! Each of them is *ours* if it has our tag `Project`. What `operate` makes has the caller's name in the tag
//! [`NAME_TAG`], and the machine for which it was made in [`INSTANCE_TAG`]. So a request that comes twice finds what the
//! first one made.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::id::id;
use crate::machine::{Addresses, InstanceId, Machine, Token};

/// The caller's name for a disk or a network interface; a name is unique on one machine.
pub const NAME_TAG: &str = "elephant:name";

/// The machine from which an image was made, or for which a disk or network interface was made.
pub const INSTANCE_TAG: &str = "elephant:instance-id";

/// The caller's name for the last reboot; empty while the first reboot is under way.
pub const REBOOT_TAG: &str = "elephant:reboot";

/// A machine with everything that is attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    pub machine: Machine,
    pub addresses: Addresses,
    /// Its last start.
    pub launched_at: Option<Timestamp>,
    pub instance_type: String,
    pub availability_zone: String,
    pub subnet_id: Option<String>,
    pub security_group_ids: Vec<String>,
    pub root_device: Option<String>,
    /// Its root is a disk of its host, and is lost with every stop.
    pub has_instance_store_root: bool,
    /// Our Spot machines are one-time requests, and end when they are stopped.
    pub is_spot: bool,
    /// Device name and volume.
    pub volumes: Vec<(String, VolumeId)>,
    /// Device index and network interface.
    pub interfaces: Vec<(i32, InterfaceId)>,
}

impl Hardware {
    pub fn instance_id(&self) -> &InstanceId {
        &self.machine.instance_id
    }
}

/// An image of this account, in EC2's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnImage {
    pub image_id: String,
    pub name: String,
    /// `pending`, `available`, `failed`, `disabled`, …
    pub state: String,
    pub state_reason: Option<String>,
    pub created_at: Option<String>,
    /// EC2 deregisters it only after somebody has removed its protection.
    pub is_protected: bool,
    pub snapshot_ids: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

/// A snapshot of this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSnapshot {
    pub snapshot_id: String,
    pub started_at: Option<Timestamp>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    pub instance_id: InstanceId,
    /// A name is unique in an account and Region.
    pub name: String,
    /// Whether the machine is stopped for the image, so that its disks are consistent with each other.
    pub reboot: bool,
    /// The tags of the image and of its snapshots.
    pub tags: BTreeMap<String, String>,
}

/// What is made for a machine, attached to it and taken away: a volume, or a network interface besides the first.
pub trait Part: Clone {
    /// In client tokens and messages.
    const KIND: &str;
    type Id: Clone + Display;
    /// A request to make one.
    type New;
    /// Where one is attached: a device name, or index.
    type Place;
    type Attachment;

    fn id(&self) -> &Self::Id;
    /// In EC2's words.
    fn state(&self) -> &str;
    /// If EC2 says so.
    fn created_at(&self) -> Option<Timestamp>;
    fn tags(&self) -> &BTreeMap<String, String>;
    fn attachment(&self) -> Option<&Self::Attachment>;
    /// Whose attachment it is, and its state.
    fn of(attachment: &Self::Attachment) -> (&InstanceId, &str);

    fn stands(&self) -> bool {
        !matches!(self.state(), "deleting" | "deleted")
    }

    fn attached_to(&self) -> Option<&InstanceId> {
        self.attachment().map(|attachment| Self::of(attachment).0)
    }

    /// And can be used.
    fn is_attached(&self) -> bool {
        self.attachment().is_some_and(|attachment| matches!(Self::of(attachment).1, "attached" | "busy"))
    }
}

id! { VolumeId }

/// What EC2 says of one stands in fields of the same names but for its id.
macro_rules! part {
    ($part:ident, $kind:literal, $id:ident: $id_type:ty, $new:ty, $place:ty, $attachment:ty, $created_at:expr) => {
        impl Part for $part {
            const KIND: &str = $kind;
            type Id = $id_type;
            type New = $new;
            type Place = $place;
            type Attachment = $attachment;

            fn id(&self) -> &$id_type {
                &self.$id
            }

            fn state(&self) -> &str {
                &self.state
            }

            fn created_at(&self) -> Option<Timestamp> {
                $created_at(self)
            }

            fn tags(&self) -> &BTreeMap<String, String> {
                &self.tags
            }

            fn attachment(&self) -> Option<&$attachment> {
                self.attachment.as_ref()
            }

            fn of(attachment: &$attachment) -> (&InstanceId, &str) {
                (&attachment.instance_id, &attachment.state)
            }
        }
    };
}

part!(Volume, "volume", volume_id: VolumeId, NewVolume, String, VolumeAttachment, |volume: &Volume| volume.created_at);
part!(Interface, "network interface", network_interface_id: InterfaceId, NewInterface, i32, InterfaceAttachment, |_| None);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub volume_id: VolumeId,
    /// `creating`, `available`, `in-use`, `deleting`, `deleted`, `error`.
    pub state: String,
    pub size_gb: i32,
    pub created_at: Option<Timestamp>,
    pub attachment: Option<VolumeAttachment>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeAttachment {
    pub instance_id: InstanceId,
    pub device: String,
    /// `attaching`, `attached`, `detaching`, `busy`.
    pub state: String,
}

/// The limits that [EBS has][types] for a volume of one type.
///
/// [types]: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
#[derive(Debug)]
pub struct VolumeType {
    pub name: &'static str,
    /// GiB.
    pub sizes: RangeInclusive<i32>,
    /// `None`: they cannot be chosen.
    iops: Option<Iops>,
    /// MiB/s; `None`: it cannot be chosen.
    throughput: Option<RangeInclusive<i32>>,
}

#[derive(Debug)]
struct Iops {
    range: RangeInclusive<i32>,
    /// At most this many for each GiB; the least of the range is always allowed.
    per_gb: i32,
    /// The value if none is chosen; `None`: a value is required.
    otherwise: Option<i32>,
}

/// GiB of a volume, of any type.
pub const VOLUME_SIZES: RangeInclusive<i32> = 1..=65_536;

const GP3_IOPS: Iops = Iops { range: 3000..=80_000, per_gb: 500, otherwise: Some(3000) };

pub const VOLUME_TYPES: [VolumeType; 7] = [
    VolumeType { name: "gp3", sizes: VOLUME_SIZES, iops: Some(GP3_IOPS), throughput: Some(125..=2000) },
    VolumeType { name: "gp2", sizes: 1..=16_384, iops: None, throughput: None },
    VolumeType {
        name: "io2",
        sizes: 4..=65_536,
        iops: Some(Iops { range: 100..=256_000, per_gb: 1000, otherwise: None }),
        throughput: None,
    },
    VolumeType {
        name: "io1",
        sizes: 4..=16_384,
        iops: Some(Iops { range: 100..=64_000, per_gb: 50, otherwise: None }),
        throughput: None,
    },
    VolumeType { name: "st1", sizes: 125..=16_384, iops: None, throughput: None },
    VolumeType { name: "sc1", sizes: 125..=16_384, iops: None, throughput: None },
    VolumeType { name: "standard", sizes: 1..=1024, iops: None, throughput: None },
];

impl VolumeType {
    /// Why there is no such volume: the values of the request, and the limits of the type.
    pub fn misfit(&self, size_gb: i32, iops: Option<i32>, throughput: Option<i32>) -> Option<String> {
        let of = self.name;
        if !self.sizes.contains(&size_gb) {
            let (least, most) = (self.sizes.start(), self.sizes.end());
            return Some(format!(
                "has a size_gb of {size_gb}, and a volume of the type {of} has {least} to {most}"
            ));
        }
        match (iops, &self.iops) {
            (Some(_), None) => return Some(format!("has iops, which a volume of the type {of} has not got")),
            (None, Some(Iops { otherwise: None, .. })) => {
                return Some(format!("has no iops, which a volume of the type {of} needs"));
            }
            (Some(iops), Some(allowed)) => {
                let (least, most) = (*allowed.range.start(), *allowed.range.end());
                let most = size_gb.saturating_mul(allowed.per_gb).clamp(least, most);
                if !(least..=most).contains(&iops) {
                    return Some(format!(
                        "has iops of {iops}, and a volume of the type {of} with {size_gb} GiB has {least} to {most}"
                    ));
                }
            }
            (None, _) => {}
        }
        let throughput = throughput?;
        let Some(allowed) = &self.throughput else {
            return Some(format!("has a throughput, which a volume of the type {of} has not got"));
        };
        // A quarter of a MiB/s for each.
        let iops = iops.or(self.iops.as_ref()?.otherwise)?;
        let (least, most) = (*allowed.start(), *allowed.end().min(&(iops / 4)));
        let fits = (least..=most).contains(&throughput);
        (!fits).then(|| {
            format!(
                "has a throughput of {throughput}, and a volume of the type {of} with {iops} iops has {least} to {most}"
            )
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    pub token: Token,
    pub availability_zone: String,
    pub size_gb: i32,
    pub volume_type: String,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub encrypted: bool,
    pub tags: BTreeMap<String, String>,
}

id! { InterfaceId }

id! {
    /// Of a network interface to a machine.
    AttachmentId
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub network_interface_id: InterfaceId,
    /// `pending`, `available`, `attaching`, `in-use`, `detaching`.
    pub state: String,
    pub subnet_id: String,
    pub private_ip: Option<String>,
    pub attachment: Option<InterfaceAttachment>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAttachment {
    pub attachment_id: AttachmentId,
    pub instance_id: InstanceId,
    pub device_index: i32,
    /// `attaching`, `attached`, `detaching`, `detached`.
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInterface {
    pub token: Token,
    pub subnet_id: String,
    pub security_group_ids: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

/// How EC2 answers a request to make something under a client token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made<T> {
    /// It was made now, or by an earlier request with this token; it may have been deleted since.
    This(T),
    /// The token was used for something else.
    Mismatch,
}

/// How EC2 answers a request to attach something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    Done,
    /// Something else has the device name, or index.
    PlaceTaken,
    /// It is already attached, to this machine or another.
    InUse,
}

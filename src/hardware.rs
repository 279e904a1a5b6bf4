//! What a machine has, and what is made of it: disks, network interfaces, images.
//!
//! Each of them is *ours* if it carries our tag `Project`. What `operate` makes is found again by a name that its caller gave,
//! in the tag [`NAME_TAG`], and by the machine that it was made for, in [`INSTANCE_TAG`]: so a request that comes twice
//! finds what the first one made.

use std::collections::BTreeMap;

use crate::machine::{Addresses, InstanceId, Machine, Token};

/// The caller's name for a disk or a network interface; one machine has each name once.
pub const NAME_TAG: &str = "elephant:name";

/// The machine that an image was made of, or a disk or network interface for.
pub const INSTANCE_TAG: &str = "elephant:instance-id";

/// The caller's word for the last reboot.
pub const REBOOT_TAG: &str = "elephant:reboot";

/// A machine with what is attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    pub machine: Machine,
    pub addresses: Addresses,
    pub instance_type: String,
    pub availability_zone: String,
    pub subnet_id: Option<String>,
    pub security_group_ids: Vec<String>,
    pub root_device: Option<String>,
    /// Its root is a disk of its host, gone with every stop.
    pub has_instance_store_root: bool,
    /// Ours are bought for one time, and end when they are stopped.
    pub is_spot: bool,
    /// Device name and volume.
    pub volumes: Vec<(String, String)>,
    /// Device index and network interface.
    pub interfaces: Vec<(i32, String)>,
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
    /// `pending`, `available`, `failed`, …
    pub state: String,
    pub state_reason: Option<String>,
    pub created_at: Option<String>,
    pub snapshot_ids: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    pub instance_id: InstanceId,
    /// EC2 allows each name once an account and Region.
    pub name: String,
    /// Whether the machine is stopped for it, so that its disks agree with each other.
    pub reboot: bool,
    /// Of the image and of its snapshots.
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub volume_id: String,
    /// `creating`, `available`, `in-use`, `deleting`, `deleted`, `error`.
    pub state: String,
    pub size_gb: i32,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub network_interface_id: String,
    /// `pending`, `available`, `attaching`, `in-use`, `detaching`.
    pub state: String,
    pub subnet_id: String,
    pub private_ip: Option<String>,
    pub attachment: Option<InterfaceAttachment>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAttachment {
    pub attachment_id: String,
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
    /// Made now, or by an earlier request with this token; it may have been deleted since.
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
    /// It is attached already, to this machine or another.
    InUse,
}

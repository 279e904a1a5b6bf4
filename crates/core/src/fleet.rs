//! What a sweep sees: our machines that EC2 shows, and their records.
//!
//! A machine is *ours* if it has the tags `MeetingID` and `Project`, with the configured value. It is an *orphan* if it
//! is live, the record of its meeting does not name it, and no delivery can write its id any more. `plan/reconcile.rs`
//! decides what is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::machine::{Addresses, InstanceId, MEETING_TAG, Machine, Note, Token};
use crate::meeting::MeetingId;
use crate::record::{Failure, Lost, Record};
use crate::timing::Window;

/// A sweep never ends a machine with this tag, whatever the tag's value is.
pub const KEEP_TAG: &str = "elephant:keep";

/// `operate` stopped a machine with this tag, and a sweep does not start it. The value is empty after somebody asked to
/// start it.
pub const STOPPED_TAG: &str = "elephant:stopped";

/// When a sweep first took the machine for an orphan. The next sweep ends it.
pub const ORPHAN_TAG: &str = "elephant:orphan-since";

/// What a sweep may do, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No orphan younger than this is marked.
    pub grace: Duration,
    /// A meeting is over this long after its time, whatever its status is.
    pub longest_meeting: Duration,
    /// When a meeting may be launched, as for `launch`.
    pub window: Window,
    /// A meeting that begins this soon and has no machines is launched.
    pub due: Duration,
    /// How many machines of one meeting are replaced.
    pub replacements: u32,
    /// How many machines one sweep ends. The rest waits for the next sweep; an ending that failed does not count.
    pub endings: usize,
    /// A machine that does not serve this long after its launch is unready.
    pub ready: Duration,
    /// Whether an unready machine is ended, and so replaced.
    pub relaunch_unready: bool,
    /// Whether volumes and network interfaces that are left over are removed.
    pub clean_up: bool,
}

/// A volume or a network interface of ours that is attached to nothing, or is marked as if it were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub kind: LeftoverKind,
    pub id: String,
    /// Whether it is attached to a machine.
    pub in_use: bool,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftoverKind {
    Volume,
    NetworkInterface,
}

impl Leftover {
    pub fn is_kept(&self) -> bool {
        self.tags.contains_key(KEEP_TAG)
    }

    pub fn orphan_since(&self) -> Option<Timestamp> {
        orphan_since(&self.tags)
    }
}

/// Whether `operate` was asked to stop the machine with these tags, and has not been asked to start it since.
pub fn is_stopped_on_purpose(tags: &BTreeMap<String, String>) -> bool {
    tags.get(STOPPED_TAG).is_some_and(|value| !value.is_empty())
}

fn orphan_since(tags: &BTreeMap<String, String>) -> Option<Timestamp> {
    tags.get(ORPHAN_TAG)?.parse().ok()
}

/// What a sweep counts, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Counted {
    /// A sweep that did all that it found, or logged all of it in a dry run.
    Sweep,
    OrphanEnded,
    /// A recorded machine that died and was removed from the record, to be launched again.
    MachineLost,
    /// A meeting that was due or half launched, and that no delivery worked on.
    MeetingLaunched,
    /// An ending that was left for the next sweep because of the limit.
    EndingHeldBack,
    MachineUnready,
    /// Both machines of a meeting run, this long after the later one was launched.
    Ready(Duration),
}

/// A machine of ours as the list showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMachine {
    pub machine: Machine,
    /// Of the request that made the machine.
    pub token: Option<Token>,
    pub launched_at: Timestamp,
    pub addresses: Addresses,
}

/// What a look by ids showed. A machine in neither set could not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub seen: Vec<ObservedMachine>,
    /// EC2 says that these do not exist: they died more than an hour ago, or started a moment ago.
    pub missing: BTreeSet<InstanceId>,
}

impl ObservedMachine {
    pub fn instance_id(&self) -> &InstanceId {
        &self.machine.instance_id
    }

    /// `None` for a machine that cannot be ours.
    pub fn meeting(&self) -> Option<MeetingId> {
        MeetingId::new(self.machine.tags.get(MEETING_TAG)?).ok()
    }

    pub fn is_kept(&self) -> bool {
        self.machine.tags.contains_key(KEEP_TAG)
    }

    /// When it was marked as an orphan; an unreadable mark counts as none.
    pub fn orphan_since(&self) -> Option<Timestamp> {
        orphan_since(&self.machine.tags)
    }

    /// Whether it is stopped on request, or must be left alone.
    pub fn is_left_stopped(&self) -> bool {
        self.is_kept() || is_stopped_on_purpose(&self.machine.tags)
    }

    pub fn is_marked(&self) -> bool {
        self.machine.tags.contains_key(ORPHAN_TAG)
    }
}

/// The record of a meeting that a sweep looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them stand")]
pub enum MeetingSnapshot {
    Missing,
    /// The attribute that cannot be understood.
    Unreadable(String),
    Stands {
        record: Record,
        /// How many machines of the meeting were replaced so far.
        replaced: u32,
        /// The notes about its machines, in the order of [`crate::meeting::Role::BOTH`].
        notes: [Option<Note>; 2],
        /// Whether both were seen running.
        was_ready: bool,
    },
}

/// The same, with the attributes for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub watched: MeetingSnapshot,
    /// Why the last delivery of `launch` failed.
    pub failure: Option<Failure>,
    /// The last machine of each role that died, in the order of [`crate::meeting::Role::BOTH`].
    pub lost: [Option<Lost>; 2],
}

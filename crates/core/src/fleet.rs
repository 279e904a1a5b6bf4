//! What a sweep sees: the machines of ours that EC2 shows, and the records that they belong to.
//!
//! A machine is *ours* if it carries the tags `Project`, as configured, and `MeetingID`. It is an *orphan* if it is live and
//! the record of its meeting does not name it, and no delivery can write its id any more. Not judged here: what is done
//! about it, which is `plan/reconcile.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::machine::{Addresses, InstanceId, MEETING_TAG, Machine, Note, Token};
use crate::meeting::MeetingId;
use crate::record::{Failure, Lost, Record};
use crate::timing::Window;

/// A machine with this tag, whatever its value, is never ended by a sweep.
pub const KEEP_TAG: &str = "elephant:keep";

/// A machine with this tag was stopped by `operate`, and is not started before somebody asks for it: then its value is empty.
pub const STOPPED_TAG: &str = "elephant:stopped";

/// When a sweep first took the machine for an orphan: the next one ends it.
pub const ORPHAN_TAG: &str = "elephant:orphan-since";

/// What a sweep may do, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No orphan younger than this is marked.
    pub grace: Duration,
    /// A meeting this long after its time is over, whatever its status says.
    pub longest_meeting: Duration,
    /// As for `launch`: when a meeting may be launched.
    pub window: Window,
    /// A meeting that begins this soon and has no machines is launched.
    pub due: Duration,
    /// How many machines of one meeting are replaced.
    pub replacements: u32,
    /// How many machines one sweep ends. What is left waits for the next one; an ending that failed does not count.
    pub endings: usize,
    /// A machine that does not serve this long after its launch is unready.
    pub ready: Duration,
    /// Whether one that is unready is ended, and so launched again.
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

/// Whether `operate` was asked to stop the machine with these tags, and not since to start it.
pub fn is_stopped_on_purpose(tags: &BTreeMap<String, String>) -> bool {
    tags.get(STOPPED_TAG).is_some_and(|value| !value.is_empty())
}

fn orphan_since(tags: &BTreeMap<String, String>) -> Option<Timestamp> {
    tags.get(ORPHAN_TAG)?.parse().ok()
}

/// What a sweep counts, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Counted {
    /// A sweep that did all that it found, or in a dry run said all of it.
    Sweep,
    OrphanEnded,
    /// A recorded machine that died, and was forgotten to be launched again.
    MachineLost,
    /// A meeting that was due, or half launched, and of which no delivery was at work.
    MeetingLaunched,
    /// An ending that the limit of one sweep left for the next.
    EndingHeldBack,
    MachineUnready,
    /// Both machines of a meeting run, this long after the later one was launched.
    Ready(Duration),
}

/// A machine of ours as one list showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMachine {
    pub machine: Machine,
    /// Of the request that made it.
    pub token: Option<Token>,
    pub launched_at: Timestamp,
    pub addresses: Addresses,
}

/// What a look by ids showed. What is in neither could not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub seen: Vec<ObservedMachine>,
    /// EC2 says that these do not exist: they died more than an hour ago, or came up a moment ago.
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

    /// When it was marked as an orphan; a mark that cannot be read is none.
    pub fn orphan_since(&self) -> Option<Timestamp> {
        orphan_since(&self.machine.tags)
    }

    /// Whether it is stopped because somebody asked for it, or is to be left alone.
    pub fn is_left_stopped(&self) -> bool {
        self.is_kept() || is_stopped_on_purpose(&self.machine.tags)
    }

    pub fn is_marked(&self) -> bool {
        self.machine.tags.contains_key(ORPHAN_TAG)
    }
}

/// What stands in the table for a meeting that a sweep looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them stand")]
pub enum MeetingSnapshot {
    Missing,
    /// Which attribute cannot be understood.
    Unreadable(String),
    Stands {
        record: Record,
        /// How many machines of the meeting were replaced so far.
        replaced: u32,
        /// What was noted of its machines, in the order of [`crate::meeting::Role::BOTH`].
        notes: [Option<Note>; 2],
        /// Whether both were seen running.
        was_ready: bool,
    },
}

/// The same with what is there for the operator alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub watched: MeetingSnapshot,
    /// Why the last delivery of `launch` failed.
    pub failure: Option<Failure>,
    /// The last machine of each role that died, in the order of [`crate::meeting::Role::BOTH`].
    pub lost: [Option<Lost>; 2],
}

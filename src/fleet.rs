//! What a sweep sees: the machines of ours that EC2 shows, and the records that they belong to.
//!
//! A machine is *ours* if it carries the tags `Project`, as configured, and `MeetingID`. It is an *orphan* if it is live and
//! the record of its meeting does not name it, and no delivery can write its id any more. Not judged here: what is done
//! about it, which is `plan/reconcile.rs`.

use std::time::Duration;

use jiff::Timestamp;

use crate::machine::{InstanceId, MEETING_TAG, Machine, ROLE_TAG, Token};
use crate::meeting::{MeetingId, Role};
use crate::record::Record;

/// A machine with this tag, whatever its value, is never ended by a sweep.
pub const KEEP_TAG: &str = "elephant:keep";

/// When a sweep first took the machine for an orphan: the next one ends it.
pub const ORPHAN_TAG: &str = "elephant:orphan-since";

/// What a sweep may do, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No orphan younger than this is marked.
    pub grace: Duration,
    /// A meeting this long after its time is over, whatever its status says.
    pub longest_meeting: Duration,
    /// As for `launch`: nothing is launched this long after the meeting's time.
    pub launch_window: Duration,
    /// A meeting that begins this soon and has no machines is launched.
    pub due: Duration,
    /// How many machines of one meeting are replaced.
    pub replacements: u32,
    /// How many machines one sweep ends. What is left waits for the next one.
    pub endings: usize,
}

/// A machine of ours as one list showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub machine: Machine,
    /// Of the request that made it.
    pub token: Option<Token>,
    pub launched_at: Timestamp,
}

impl Sighting {
    pub fn instance_id(&self) -> &InstanceId {
        &self.machine.instance_id
    }

    /// `None` for a machine that cannot be ours.
    pub fn meeting(&self) -> Option<MeetingId> {
        MeetingId::new(self.machine.tags.get(MEETING_TAG)?).ok()
    }

    /// `None` once we have begun to end it, or if somebody took the tag away.
    pub fn role(&self) -> Option<Role> {
        let tag = self.machine.tags.get(ROLE_TAG)?;
        Role::BOTH.into_iter().find(|role| role.as_str() == tag)
    }

    pub fn is_kept(&self) -> bool {
        self.machine.tags.contains_key(KEEP_TAG)
    }

    /// When it was marked as an orphan; a mark that cannot be read is none.
    pub fn orphan_since(&self) -> Option<Timestamp> {
        self.machine.tags.get(ORPHAN_TAG)?.parse().ok()
    }

    pub fn is_marked(&self) -> bool {
        self.machine.tags.contains_key(ORPHAN_TAG)
    }
}

/// What stands in the table for a meeting that a sweep looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them stand")]
pub enum Watched {
    Missing,
    /// Which attribute cannot be understood.
    Unreadable(String),
    Stands {
        record: Record,
        /// Who ends a meeting on purpose writes one; the watchdog does not.
        termination_reason: Option<String>,
        /// How many machines of the meeting were replaced so far.
        replaced: u32,
    },
}

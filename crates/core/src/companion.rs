//! A schedule of another program that belongs to a meeting, as the system's safety net does (`safety-{id}`): it moves with its
//! meeting, and goes with it, if a setting names it.
//!
//! How far one stands from its meeting's time is noted in the record before the meeting is first moved. From then on its
//! time is a pure function of the record, as that of our own schedule is: whatever is delivered twice, at once or half,
//! shifts nothing twice. Not handled here: what else such a schedule says, which stays as its owner wrote it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp, Unit};

use crate::meeting::MeetingId;

/// What stands for the meeting's id in a pattern.
const MEETING: &str = "{meeting_id}";

/// What EventBridge Scheduler allows in the name of a schedule and of a group.
const NAME_LIMIT: usize = 64;

/// `group/name`, with `{meeting_id}` in the name, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub group: String,
    before: String,
    after: String,
}

impl Pattern {
    pub fn parse(text: &str) -> Option<Self> {
        let (group, name) = text.split_once('/')?;
        let (before, after) = name.split_once(MEETING)?;
        let whole = !group.is_empty()
            && group.len() <= NAME_LIMIT
            && [group, before, after].into_iter().all(is_plain);
        whole.then(|| Pattern { group: group.to_owned(), before: before.to_owned(), after: after.to_owned() })
    }

    /// The schedule of this meeting; `None`: Scheduler allows no such name, so there is none.
    pub fn of(&self, meeting: &MeetingId) -> Option<CompanionName> {
        let name = format!("{}{meeting}{}", self.before, self.after);
        let allowed = name.len() <= NAME_LIMIT && is_plain(&name);
        allowed.then(|| CompanionName { group: self.group.clone(), name })
    }

    /// Whether some meeting's schedule of this pattern may be one of ours.
    pub fn may_be(&self, group: &str, prefix: &str) -> bool {
        self.group == group && (self.before.starts_with(prefix) || prefix.starts_with(&self.before))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{MEETING}{}", self.group, self.before, self.after)
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CompanionName {
    pub group: String,
    pub name: String,
}

impl fmt::Display for CompanionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// What stands under the name of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Companion {
    Absent,
    /// It fires once, at this time.
    At(Timestamp),
    /// It fires otherwise: more than once, or at a time of a zone other than UTC.
    Otherwise(String),
}

/// How far each stood from its meeting's time before that was first moved: to the millisecond, by its `group/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets(pub BTreeMap<String, i64>);

impl Offsets {
    pub fn note(&mut self, companion: &CompanionName, at: Timestamp, meet_time: Timestamp) {
        let milliseconds = at.as_millisecond().saturating_sub(meet_time.as_millisecond());
        self.0.insert(companion.to_string(), milliseconds);
    }

    /// When it is to fire for a meeting of this time, in whole seconds; `None`: it did not stand when this was noted.
    pub fn time_of(&self, companion: &CompanionName, meet_time: Timestamp) -> Option<Timestamp> {
        let offset = SignedDuration::from_millis(*self.0.get(&companion.to_string())?);
        meet_time.checked_add(offset).ok()?.round(Unit::Second).ok()
    }
}

//! A schedule of another program that belongs to a meeting, such as the safety net of an existing system
//! (`safety-{id}`). If a setting names it, it is moved and deleted with its meeting.
//!
//! Before a meeting is first moved, the record notes how far each of its companions is from the meeting's time. After
//! that a companion's time is a pure function of the record, like the time of our own schedule: a delivery that comes
//! twice, at once or half shifts nothing twice. The rest of such a schedule stays as its owner wrote it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp, Unit};

use crate::meeting::MeetingId;

/// The placeholder for the meeting's id in a pattern.
const MEETING: &str = "{meeting_id}";

/// The characters that EventBridge Scheduler allows in the name of a schedule and of a group.
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

    /// The schedule of this meeting; `None` if Scheduler does not allow the name, so that no such schedule exists.
    pub fn of(&self, meeting: &MeetingId) -> Option<CompanionName> {
        let name = format!("{}{meeting}{}", self.before, self.after);
        let allowed = name.len() <= NAME_LIMIT && is_plain(&name);
        allowed.then(|| CompanionName { group: self.group.clone(), name })
    }

    /// Whether the schedule of some meeting by this pattern may be one of ours.
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

/// The schedule that exists under a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Companion {
    Absent,
    /// It fires once, at this time.
    At(Timestamp),
    /// It fires more than once, or at a time of a zone other than UTC.
    Otherwise(String),
}

/// How far each was from its meeting's time before the meeting was first moved: to the millisecond, by its `group/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets(pub BTreeMap<String, i64>);

impl Offsets {
    pub fn note(&mut self, companion: &CompanionName, at: Timestamp, meet_time: Timestamp) {
        let milliseconds = at.as_millisecond().saturating_sub(meet_time.as_millisecond());
        self.0.insert(companion.to_string(), milliseconds);
    }

    /// When it must fire for a meeting of this time, in whole seconds; `None` if it did not exist when this was noted.
    pub fn time_of(&self, companion: &CompanionName, meet_time: Timestamp) -> Option<Timestamp> {
        let offset = SignedDuration::from_millis(*self.0.get(&companion.to_string())?);
        meet_time.checked_add(offset).ok()?.round(Unit::Second).ok()
    }
}

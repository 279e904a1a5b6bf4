//! A one-time schedule of EventBridge Scheduler: it fires once, invokes the function `launch` with its input, and is
//! deleted.
//!
//! Each meeting has one, and its name is a pure function of the meeting's id: a second delivery, a move and a cancel all
//! mean the same schedule. `plan/schedule.rs` decides when it fires; `companion.rs` has the schedules of other programs
//! (`safety-{id}`).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::meeting::MeetingId;

/// What EventBridge Scheduler allows in a schedule's name: 64 letters, digits, hyphens, underscores and dots.
const NAME_LIMIT: usize = 64;

/// The beginning of the name of every schedule of ours.
pub const PREFIX: &str = "launch-";

/// `launch-{meeting_id}` if Scheduler allows that, otherwise cut, plus a hash of the whole id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScheduleName(String);

impl ScheduleName {
    pub fn of(meeting: &MeetingId) -> Self {
        let id = meeting.as_str();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if PREFIX.len() + id.len() <= NAME_LIMIT && id.chars().all(allowed) {
            return ScheduleName(format!("{PREFIX}{id}"));
        }
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple().to_string();
        let room = NAME_LIMIT - PREFIX.len() - 1 - hash.len();
        let start: String = id.chars().map(|c| if allowed(c) { c } else { '-' }).take(room).collect();
        ScheduleName(format!("{PREFIX}{start}-{hash}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything in a schedule that we choose. Constants (UTC, deleted after completion, enabled) are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeSchedule {
    pub name: ScheduleName,
    /// Whole seconds. Scheduler invokes within the minute that begins then.
    pub at: Timestamp,
    /// Scheduler fires at a moment within this many minutes after `at`; 0: none.
    pub flexible_window_minutes: u32,
    pub target: Target,
    /// The JSON that the function `launch` is invoked with.
    pub input: String,
    pub retry: Retry,
}

/// Who is invoked, with which role, and where undelivered events go. All are ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub function: String,
    pub role: String,
    pub dead_letters: String,
}

/// How long and how often Scheduler repeats an invocation that Lambda does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// From 60 seconds to a day.
    pub maximum_event_age: Duration,
    pub maximum_attempts: u32,
}

/// The schedule that exists under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExistingSchedule {
    Absent,
    OneTime(OneTimeSchedule),
    /// A schedule that we cannot have written, for example a recurring one.
    Other,
}

/// The event that a schedule delivers: the meeting, and Scheduler's context attributes for the log.
pub fn input(meeting: &MeetingId) -> String {
    // Scheduler replaces its keywords wherever they stand, in a meeting's id too, unless their `<` is written otherwise.
    let id = json!(meeting.as_str()).to_string().replace('<', "\\u003c");
    let context = [
        ("schedule_arn", "schedule-arn"),
        ("scheduled_time", "scheduled-time"),
        ("execution_id", "execution-id"),
        ("attempt_number", "attempt-number"),
    ];
    let context = context.map(|(field, keyword)| format!(r#","{field}":"<aws.scheduler.{keyword}>""#));
    format!(r#"{{"meeting_id":{id}{}}}"#, context.concat())
}

//! Decisions of the verb `schedule`: when a meeting is launched, and what a request means for the existing record.

use std::time::Duration;

use jiff::{Timestamp, Unit};

use crate::config::ScheduleConfig;
use crate::event::Appointment;
use crate::launch_schedule::{ExistingSchedule, OneTimeSchedule, Retry, ScheduleName, input};
use crate::meeting::{MeetingId, Role, Status};
use crate::record::{MeetTime, Record};
use crate::timing::{after, before};

/// Scheduler invokes within the minute that begins at a schedule's time, so a schedule that is due now fires within it.
const PRECISION: Duration = Duration::from_secs(60);

/// What Scheduler accepts as the maximum age of an event.
const EVENT_AGE: (Duration, Duration) = (PRECISION, Duration::from_secs(24 * 60 * 60));

/// Enough for any age that we ask for: Scheduler's pauses grow, so the age ends the repeats, not their number.
const RETRIES: u32 = 30;

/// How long ago a schedule's time may be if the schedule is still to count as firing.
const FIRING: Duration = Duration::from_secs(5 * 60);

/// The schedule that launches a meeting of this time, as it should be from now on.
///
/// It fires `LEAD_MINUTES` ahead of the meeting, or within the flexible window after that. If the lead has already
/// begun, it fires a minute from now, and keeps what is left of the window.
pub fn one_time(
    config: &ScheduleConfig,
    meeting: &MeetingId,
    meet_time: Timestamp,
    now: Timestamp,
) -> OneTimeSchedule {
    let due = before(meet_time, config.lead);
    let soonest = after(now, PRECISION);
    let at = due.max(soonest).round(Unit::Second).unwrap_or(due);
    let latest = after(due, config.flexible_window);
    let window: Duration = latest.duration_since(at).try_into().unwrap_or_default();
    let window = u32::try_from(window.as_secs() / 60).unwrap_or(u32::MAX);
    // An event that is older than the launch window launches nothing.
    let worth = after(meet_time, config.launch_window).duration_since(at);
    let worth: Duration = worth.try_into().unwrap_or_default();
    OneTimeSchedule {
        name: ScheduleName::of(meeting),
        at,
        flexible_window_minutes: window,
        target: config.target.clone(),
        input: input(meeting),
        retry: Retry {
            maximum_event_age: Duration::from_secs(worth.clamp(EVENT_AGE.0, EVENT_AGE.1).as_secs()),
            maximum_attempts: RETRIES,
        },
    }
}

/// Whether a delivery for a meeting of this time would still launch it.
pub fn can_be_launched(meet_time: Timestamp, now: Timestamp, launch_window: Duration) -> bool {
    now <= after(meet_time, launch_window)
}

/// What has to be done about the existing schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    Create,
    Replace,
    Keep,
}

/// Once the lead has begun, the wanted time is always a minute from now. So a schedule that fires sooner, or is firing,
/// is kept: a request that comes again and again must not put the launch off.
pub fn adjustment(standing: &ExistingSchedule, wanted: &OneTimeSchedule, now: Timestamp) -> Adjustment {
    let found = match standing {
        ExistingSchedule::Absent => return Adjustment::Create,
        ExistingSchedule::Other => return Adjustment::Replace,
        ExistingSchedule::OneTime(found) => found,
    };
    if found == wanted {
        return Adjustment::Keep;
    }
    let lead_has_begun = wanted.at <= after(now, PRECISION + Duration::from_secs(1));
    let fires = after(found.at, FIRING) >= now && found.at <= wanted.at;
    let otherwise_equal = OneTimeSchedule {
        at: wanted.at,
        flexible_window_minutes: wanted.flexible_window_minutes,
        retry: wanted.retry,
        ..found.clone()
    } == *wanted;
    // A flexible window could let it fire later than it is wanted.
    let by_then = after(found.at, Duration::from_secs(60 * u64::from(found.flexible_window_minutes)));
    let in_time =
        by_then <= after(wanted.at, Duration::from_secs(60 * u64::from(wanted.flexible_window_minutes)));
    if lead_has_begun && fires && in_time && otherwise_equal { Adjustment::Keep } else { Adjustment::Replace }
}

/// What a request for a meeting at a time means for the existing record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// The meeting is over; nothing is scheduled.
    Over,
    /// The record has another time: write this one.
    Move,
    /// The record is as asked.
    Asked,
}

pub fn arrangement(record: &Record, wanted: &Appointment) -> Arrangement {
    if record.is_over() {
        Arrangement::Over
    } else if record.meet_time == MeetTime::At(wanted.meet_time) {
        Arrangement::Asked
    } else {
        Arrangement::Move
    }
}

/// The schedule that a record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DesiredSchedule {
    /// One that launches a meeting of this time.
    For(Timestamp),
    /// None: the meeting is over.
    None,
    /// The schedule stays as it is, or absent: the record is gone, has its machines, or names no time.
    AsItIs,
}

pub fn wanted(record: Option<&Record>) -> DesiredSchedule {
    let Some(record) = record else { return DesiredSchedule::AsItIs };
    if record.is_over() {
        return DesiredSchedule::None;
    }
    let launched = Role::BOTH.iter().all(|role| record.role(*role).instance_id.is_some());
    match record.meet_time {
        MeetTime::At(time) if !launched => DesiredSchedule::For(time),
        _ => DesiredSchedule::AsItIs,
    }
}

/// What a request to cancel means for the existing record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// The meeting was over already; only its schedule may be left.
    AlreadyOver,
    /// The meeting has a status that we do not know.
    Unknown(Status),
    /// A delivery is launching the meeting, until this time at the latest.
    Leased(Timestamp),
    /// These roles have machines, or may have them.
    Launched(Vec<Role>),
    /// Write it into the record, then delete the schedule.
    Cancel,
}

pub fn cancellation(record: &Record, now: Timestamp, skew: Duration) -> Cancellation {
    match &record.status {
        Some(Status::Terminated) => return Cancellation::AlreadyOver,
        Some(status @ Status::Unknown(_)) => return Cancellation::Unknown(status.clone()),
        _ => {}
    }
    // An attempt that EC2 refused for good has no machine, and can have none.
    let has_machine = |role: &Role| {
        let of_role = record.role(*role);
        of_role.instance_id.is_some() || of_role.open_attempt().is_some()
    };
    let launched: Vec<Role> = Role::BOTH.into_iter().filter(has_machine).collect();
    let lease_end = record.lease.as_ref().map(|lease| after(lease.until, skew));
    match lease_end.filter(|end| now < *end) {
        _ if Role::BOTH.iter().any(|role| record.role(*role).instance_id.is_some()) => {
            Cancellation::Launched(launched)
        }
        Some(end) => Cancellation::Leased(end),
        None if !launched.is_empty() => Cancellation::Launched(launched),
        None => Cancellation::Cancel,
    }
}

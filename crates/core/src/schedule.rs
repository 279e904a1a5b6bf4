//! The verb `schedule`: a meeting gets its record and the one-time schedule that launches it, is moved to another time,
//! or is cancelled.
//!
//! The record comes first and is the truth; the schedule follows it. A delivery that changed the schedule reads the
//! record once more, and goes on if the record has changed meanwhile. So even if requests come twice, come at once or
//! die half-way, record and schedule agree once a delivery has ended well, and a cancelled meeting has no schedule. The
//! decisions are in `plan/schedule.rs`.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use crate::answer;
use crate::companions::{Companions, Fates};
use crate::config::ScheduleConfig;
use crate::deadline::Deadline;
use crate::error::{AwsError, Class, Error, Kind, Service};
use crate::event::{self, Appointment};
use crate::launch_schedule::{ExistingSchedule, OneTimeSchedule, ScheduleName};
use crate::meeting::{MeetingId, Role, Status};
use crate::plan::schedule::{self as plan, Adjustment, Arrangement, Cancellation, DesiredSchedule};
use crate::ports::{
    Clock, CompanionNotes, Created, Deletes, Meetings, MovingCompanions, NewMeetings, Schedules, Tokens,
    Updated,
};
use crate::record::{self, MeetTime, NewRecord, Record, Update};
use crate::timing::Timing;

/// How often a request that came too early is repeated. With the pauses of [`crate::deadline::Backoff::SCHEDULER`] that
/// takes some ten seconds; IAM hardly ever needs so long.
const EARLY: u32 = 7;

/// What the verb asks of the world.
pub trait SchedulePorts {
    type Meetings: Meetings + NewMeetings + CompanionNotes;
    type Schedules: Schedules + MovingCompanions;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Scheduler<P: SchedulePorts> {
    pub meetings: P::Meetings,
    pub schedules: P::Schedules,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    pub config: ScheduleConfig,
    pub timing: Timing,
}

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleAnswer {
    pub meeting_id: String,
    pub outcome: Outcome,
    /// The time as the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meet_time: Option<String>,
    /// The schedule of the meeting; absent if none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Planned>,
    /// What became of other programs' schedules that belong to the meeting (COMPANION_SCHEDULES).
    #[serde(skip_serializing_if = "Fates::is_empty")]
    pub companions: Fates,
}

/// When the launch is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub name: String,
    pub fires_at: String,
    pub flexible_window_minutes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Record and schedule are new, or the schedule was missing.
    Scheduled,
    /// The meeting was moved to another time.
    Moved,
    /// Everything was already as the request asks.
    Unchanged,
    /// Another request has moved the meeting meanwhile; its time stands.
    Superseded,
    Cancelled,
}

impl answer::Outcome for ScheduleAnswer {
    fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Scheduled => "scheduled",
            Outcome::Moved => "moved",
            Outcome::Unchanged => "unchanged",
            Outcome::Superseded => "superseded",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl<P: SchedulePorts> Scheduler<P> {
    /// One delivery, answered before `deadline`.
    pub async fn schedule(
        &self,
        request: &event::Schedule,
        deadline: Timestamp,
    ) -> Result<ScheduleAnswer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        match request {
            event::Schedule::Meeting(wanted) => {
                ScheduleDelivery { scheduler: self, meeting: &wanted.meeting_id, deadline }
                    .arrange(wanted)
                    .await
            }
            event::Schedule::Cancel { meeting_id, reason } => {
                ScheduleDelivery { scheduler: self, meeting: meeting_id, deadline }.cancel(reason).await
            }
        }
    }
}

/// Record and schedule after the last look.
struct Agreed {
    record: Option<Record>,
    /// Absent if none is needed.
    schedule: Option<OneTimeSchedule>,
    /// Whether the schedule had to be changed.
    changed: bool,
    companions: Fates,
}

/// One invocation of the function for one meeting.
struct ScheduleDelivery<'s, P: SchedulePorts> {
    scheduler: &'s Scheduler<P>,
    meeting: &'s MeetingId,
    deadline: Deadline<'s, P::Clock, P::Tokens>,
}

impl<P: SchedulePorts> ScheduleDelivery<'_, P> {
    async fn arrange(&self, wanted: &Appointment) -> Result<ScheduleAnswer, Error> {
        let launch_window = self.scheduler.config.launch_window;
        if !plan::can_be_launched(wanted.meet_time, self.now(), launch_window) {
            return Err(self.long_past(wanted, launch_window));
        }
        let mut outcome = Outcome::Unchanged;
        let mut standing = self.create(wanted).await?;
        if standing.is_none() {
            info!(meet_time = wanted.meet_time_text, "record written");
            outcome = Outcome::Scheduled;
        }
        while let Some(record) = &standing {
            match plan::arrangement(record, wanted) {
                Arrangement::Over | Arrangement::Asked => break,
                Arrangement::Move => {}
            }
            let noted = self.companions().note(&self.scheduler.meetings, record).await;
            noted.map_err(|(service, error)| self.failed(service, error))?;
            match self.update(&record::move_to(self.meeting, &wanted.meet_time_text)).await? {
                // Move only once: two requests that want different times would take turns for ever.
                Updated::Done => {
                    info!(meet_time = wanted.meet_time_text, "meeting moved");
                    outcome = Outcome::Moved;
                    break;
                }
                Updated::Refused(Some(found)) => standing = Some(*found),
                Updated::Refused(None) => return Err(self.no_such_meeting()),
            }
        }
        let agreed = self.agree_with_companions().await?;
        if agreed.changed && outcome == Outcome::Unchanged {
            outcome = Outcome::Scheduled;
        }
        let Some(record) = agreed.record else { return Err(self.no_such_meeting()) };
        if record.is_over() {
            return Err(self.over(record.status.as_ref()));
        }
        let meet_time = match record.meet_time {
            MeetTime::At(time) if time != wanted.meet_time => {
                outcome = Outcome::Superseded;
                time.to_string()
            }
            _ => wanted.meet_time_text.clone(),
        };
        let schedule = agreed.schedule.map(|schedule| Planned {
            name: schedule.name.to_string(),
            fires_at: schedule.at.to_string(),
            flexible_window_minutes: schedule.flexible_window_minutes,
        });
        let (meeting_id, companions) = (self.meeting.to_string(), agreed.companions);
        Ok(ScheduleAnswer { meeting_id, outcome, meet_time: Some(meet_time), schedule, companions })
    }

    /// Make the schedule and the companions agree with the record, until a look after the last change finds that they
    /// do.
    async fn agree_with_companions(&self) -> Result<Agreed, Error> {
        let mut agreed = self.agree().await?;
        while !self.scheduler.config.companions.is_empty() {
            let followed = self.companions().follow(&self.scheduler.meetings, agreed.record.as_ref()).await;
            let fates = followed.map_err(|(service, error)| self.failed(service, error))?;
            agreed.companions.extend(fates);
            let seen = self.read().await?;
            let rests_on = |record: &Record| (record.is_over(), record.meet_time.clone());
            if seen.as_ref().map(rests_on) == agreed.record.as_ref().map(rests_on) {
                break;
            }
            let again = self.agree().await?;
            let changed = agreed.changed || again.changed;
            agreed = Agreed { changed, companions: agreed.companions, ..again };
        }
        Ok(agreed)
    }

    fn companions(&self) -> Companions<'_, P::Schedules, P::Clock, P::Tokens> {
        let Scheduler { schedules, config, timing, .. } = self.scheduler;
        let (patterns, deadline) = (&config.companions, &self.deadline);
        Companions { patterns, schedules, meeting: self.meeting, deadline, timing: *timing }
    }

    /// Make the schedule agree with the record, until a look at the record after the last change finds that it does.
    ///
    /// A schedule is left alone if its meeting's record is gone: between our look and our deletion the record may come
    /// back, and its schedule with it. The schedule fires in vain.
    async fn agree(&self) -> Result<Agreed, Error> {
        let mut agreed = Agreed { record: None, schedule: None, changed: false, companions: Fates::new() };
        let mut done = None;
        loop {
            agreed.record = self.read().await?;
            let wanted = plan::wanted(agreed.record.as_ref());
            if done == Some(wanted) {
                return Ok(agreed);
            }
            let changed;
            (agreed.schedule, changed) = match wanted {
                DesiredSchedule::AsItIs => (None, false),
                DesiredSchedule::None => (None, self.delete_schedule().await?),
                DesiredSchedule::For(meet_time) => {
                    let (schedule, changed) = self.ensure(meet_time).await?;
                    (Some(schedule), changed)
                }
            };
            agreed.changed |= changed;
            if wanted == DesiredSchedule::AsItIs {
                return Ok(agreed);
            }
            done = Some(wanted);
        }
    }

    /// Make sure that a meeting of this time has its schedule. The second value says whether something had to be done
    /// for it.
    async fn ensure(&self, meet_time: Timestamp) -> Result<(OneTimeSchedule, bool), Error> {
        let scheduler = self.scheduler;
        loop {
            let wanted = plan::one_time(&scheduler.config, self.meeting, meet_time, self.now());
            let name = &wanted.name;
            if self.ask(Service::Scheduler, || scheduler.schedules.create(&wanted)).await? {
                info!(schedule = %name, at = %wanted.at, "schedule created");
                return Ok((wanted, true));
            }
            let standing = self.ask(Service::Scheduler, || scheduler.schedules.find(name)).await?;
            match plan::adjustment(&standing, &wanted, self.now()) {
                Adjustment::Keep => {
                    let standing = match standing {
                        ExistingSchedule::OneTime(found) => found,
                        _ => wanted,
                    };
                    return Ok((standing, false));
                }
                Adjustment::Replace => {
                    if self.ask(Service::Scheduler, || scheduler.schedules.replace(&wanted)).await? {
                        info!(schedule = %name, at = %wanted.at, "schedule replaced");
                        return Ok((wanted, true));
                    }
                }
                // The schedule fired and was deleted between the two requests.
                Adjustment::Create => {}
            }
        }
    }

    async fn cancel(&self, reason: &str) -> Result<ScheduleAnswer, Error> {
        let timing = &self.scheduler.timing;
        let mut read = self.read().await?;
        let outcome = loop {
            let Some(record) = read else { return Err(self.no_such_meeting()) };
            match plan::cancellation(&record, self.now(), timing.skew) {
                Cancellation::AlreadyOver => break Outcome::Unchanged,
                Cancellation::Unknown(status) => return Err(self.unknown(&status)),
                Cancellation::Leased(until) => return Err(self.busy(until)),
                Cancellation::Launched(roles) => return Err(self.launched(&record, &roles)),
                Cancellation::Cancel => match self.update(&record::cancel(&record, reason)).await? {
                    Updated::Done => {
                        info!(reason, "meeting cancelled");
                        break Outcome::Cancelled;
                    }
                    Updated::Refused(found) => read = found.map(|found| *found),
                },
            }
        };
        let agreed = self.agree_with_companions().await?;
        let meeting_id = self.meeting.to_string();
        // A record that is on again belongs to another meeting with the same id.
        let outcome = match agreed.record {
            Some(record) if !record.is_over() => Outcome::Superseded,
            _ => outcome,
        };
        Ok(ScheduleAnswer {
            meeting_id,
            outcome,
            meet_time: None,
            schedule: None,
            companions: agreed.companions,
        })
    }

    async fn delete_schedule(&self) -> Result<bool, Error> {
        let name = ScheduleName::of(self.meeting);
        let schedules = &self.scheduler.schedules;
        let deleted = self.ask(Service::Scheduler, || schedules.delete(&name)).await?;
        if deleted {
            info!(schedule = %name, "schedule deleted");
        }
        Ok(deleted)
    }

    /// The record that is there already. `None`: there was none, and ours is written.
    async fn create(&self, wanted: &Appointment) -> Result<Option<Record>, Error> {
        let record = NewRecord {
            meeting_id: self.meeting.clone(),
            meet_time: wanted.meet_time_text.clone(),
            created_at: self.now(),
            attributes: wanted.attributes.clone(),
        };
        let meetings = &self.scheduler.meetings;
        match self.ask(Service::DynamoDb, || meetings.create(&record)).await? {
            Created::Done => Ok(None),
            Created::Exists(found) => Ok(Some(*found)),
        }
    }

    async fn read(&self) -> Result<Option<Record>, Error> {
        let meetings = &self.scheduler.meetings;
        self.ask(Service::DynamoDb, || meetings.read(self.meeting)).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, Error> {
        let meetings = &self.scheduler.meetings;
        self.ask(Service::DynamoDb, || meetings.update(update)).await
    }

    /// A request, which may be repeated. A new IAM role is known everywhere within seconds. If Scheduler still may not
    /// assume it, the role is wrong, and no repeat helps.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let early = Cell::new(0);
        let few = || {
            let answer = request();
            let early = &early;
            async move {
                answer.await.map_err(|error| match error.class {
                    Class::Propagating if early.replace(early.get() + 1) == EARLY => {
                        AwsError { class: Class::Misconfigured, ..error }
                    }
                    _ => error,
                })
            }
        };
        let answer = self.deadline.ask(service, &self.scheduler.timing, few).await;
        answer.map_err(|error| self.failed(service, error))
    }

    fn now(&self) -> Timestamp {
        self.scheduler.clock.now()
    }

    fn failed(&self, service: Service, error: AwsError) -> Error {
        let otherwise = "deliver the same event again: it goes on where this delivery stopped";
        Error::of_request(&format!("meeting {}", self.meeting), service, error, otherwise)
    }

    fn long_past(&self, wanted: &Appointment, launch_window: Duration) -> Error {
        Error::new(
            Kind::InvalidEvent,
            format!(
                "meeting {}: its meet_time {} is more than {} minutes ago (LAUNCH_WINDOW_MINUTES), so nothing would be \
                 launched",
                self.meeting,
                wanted.meet_time_text,
                launch_window.as_secs() / 60
            ),
            "send a meet_time to come",
        )
    }

    fn no_such_meeting(&self) -> Error {
        Error::no_such_meeting(self.meeting)
    }

    fn over(&self, status: Option<&Status>) -> Error {
        let status = status.map_or("none", Status::as_str);
        Error::new(
            Kind::MeetingOver,
            format!("meeting {}: its status is {status}, for which nothing is launched", self.meeting),
            "schedule another meeting, with an id of its own",
        )
    }

    fn busy(&self, until: Timestamp) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!("meeting {}: a delivery is launching it, until {until} at the latest", self.meeting),
            "ask again after that: it has its machines then, which must be ended first",
        )
    }

    fn launched(&self, record: &Record, roles: &[Role]) -> Error {
        let machine = |role: &Role| match &record.role(*role).instance_id {
            Some(id) => format!("{role}: {id}"),
            None => format!("{role}: a launch that is not settled"),
        };
        let machines = roles.iter().map(machine).collect::<Vec<_>>().join(", ");
        Error::new(
            Kind::MeetingLaunched,
            format!("meeting {}: it has machines ({machines}) and cannot be cancelled", self.meeting),
            "invoke the function end in place of it: it ends the meeting with its machines",
        )
    }

    fn unknown(&self, status: &Status) -> Error {
        Error::new(
            Kind::MeetingOver,
            format!(
                "meeting {}: its status is {:?}, which this version does not know",
                self.meeting,
                status.as_str()
            ),
            "leave it as it is, or correct the record: nothing is launched for it",
        )
    }
}

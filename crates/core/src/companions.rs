//! What every verb does with a meeting's companion schedules when the meeting is moved, cancelled or ended.
//!
//! The companions follow the record, as our own schedule does. Before a meeting is first moved, the record notes how far
//! each companion is from the meeting's time, unless this is noted already; every later delivery uses the note. So if a
//! delivery dies between the move and a shift, the next one goes on, and a delivery that comes twice shifts nothing
//! twice.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::companion::{Companion, CompanionName, Offsets, Pattern};
use crate::deadline::Deadline;
use crate::error::{AwsError, Service};
use crate::meeting::MeetingId;
use crate::ports::{Clock, CompanionNotes, CompanionSchedules, MovingCompanions, Tokens};
use crate::record::{MeetTime, Record};
use crate::timing::{Timing, after};

/// Scheduler invokes within the minute that begins at the time of a schedule.
const PRECISION: Duration = Duration::from_secs(60);

/// What happened to one companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It fires at the same distance from the meeting as before.
    Moved,
    Unchanged,
    Deleted,
    /// The log has the reason.
    LeftAlone,
}

/// By `group/name`; a companion that does not exist is not listed.
pub type Fates = BTreeMap<String, Fate>;

/// Moves and deletes the companions of a meeting, for one delivery.
pub struct Companions<'d, S, C, T> {
    pub patterns: &'d [Pattern],
    pub schedules: &'d S,
    pub meeting: &'d MeetingId,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
}

impl<S: CompanionSchedules, C: Clock, T: Tokens> Companions<'_, S, C, T> {
    /// Called before the meeting of this record is moved.
    pub async fn note<M: CompanionNotes>(
        &self,
        meetings: &M,
        read: &Record,
    ) -> Result<(), (Service, AwsError)> {
        let MeetTime::At(meet_time) = read.meet_time else { return Ok(()) };
        if self.patterns.is_empty() || self.noted(meetings).await?.is_some() {
            return Ok(());
        }
        let mut offsets = Offsets::default();
        for name in self.names() {
            if let Companion::At(at) = self.find(&name).await? {
                offsets.note(&name, at, meet_time);
            }
        }
        if !offsets.0.is_empty() {
            // Where one stands by now, another delivery has written it, and may have moved the companions since.
            self.ask(Service::DynamoDb, || meetings.note_offsets(self.meeting, &offsets)).await?;
        }
        Ok(())
    }

    pub async fn delete(&self) -> Result<Fates, (Service, AwsError)> {
        let mut fates = Fates::new();
        for name in self.names() {
            let fate = match self.find(&name).await? {
                Companion::Absent => continue,
                Companion::Otherwise(how) => left_alone(&name, &how),
                Companion::At(_) => {
                    // Fired and gone meanwhile is as good.
                    self.ask(Service::Scheduler, || self.schedules.delete_companion(&name)).await?;
                    info!(schedule = %name, "companion schedule deleted");
                    Fate::Deleted
                }
            };
            fates.insert(name.to_string(), fate);
        }
        Ok(fates)
    }

    fn names(&self) -> impl Iterator<Item = CompanionName> {
        self.patterns.iter().filter_map(|pattern| pattern.of(self.meeting))
    }

    async fn find(&self, name: &CompanionName) -> Result<Companion, (Service, AwsError)> {
        self.ask(Service::Scheduler, || self.schedules.find_companion(name)).await
    }

    async fn noted<M: CompanionNotes>(&self, meetings: &M) -> Result<Option<Offsets>, (Service, AwsError)> {
        self.ask(Service::DynamoDb, || meetings.read_offsets(self.meeting)).await
    }

    /// One request; every request may be repeated.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, (Service, AwsError)> {
        let answer = self.deadline.ask(service, &self.timing, request).await;
        answer.map_err(|error| (service, error))
    }
}

impl<S: MovingCompanions, C: Clock, T: Tokens> Companions<'_, S, C, T> {
    /// Companions of a meeting that is on are moved to their place, those of a meeting that is over are deleted. If the
    /// record is gone they are left alone, because it may come back.
    pub async fn follow<M: CompanionNotes>(
        &self,
        meetings: &M,
        read: Option<&Record>,
    ) -> Result<Fates, (Service, AwsError)> {
        match read {
            _ if self.patterns.is_empty() => Ok(Fates::new()),
            None => Ok(Fates::new()),
            Some(record) if record.is_over() => self.delete().await,
            Some(Record { meet_time: MeetTime::At(meet_time), .. }) => match self.noted(meetings).await? {
                // It was not moved.
                None => Ok(Fates::new()),
                Some(offsets) => self.shift(&offsets, *meet_time).await,
            },
            Some(_) => Ok(Fates::new()),
        }
    }

    async fn shift(&self, offsets: &Offsets, meet_time: Timestamp) -> Result<Fates, (Service, AwsError)> {
        let mut fates = Fates::new();
        for name in self.names() {
            let fate = match (self.find(&name).await?, offsets.time_of(&name, meet_time)) {
                (Companion::Absent, _) => continue,
                (Companion::Otherwise(how), _) => left_alone(&name, &how),
                (Companion::At(_), None) => left_alone(
                    &name,
                    "it did not stand, or fired otherwise, when its meeting was first moved",
                ),
                (Companion::At(at), Some(wanted)) if at == wanted => Fate::Unchanged,
                // Sooner than that Scheduler cannot be told.
                (Companion::At(_), Some(wanted)) if wanted < after(self.deadline.clock.now(), PRECISION) => {
                    left_alone(&name, &format!("with its meeting it would fire at {wanted}, which is past"))
                }
                (Companion::At(_), Some(wanted)) => {
                    let moved =
                        self.ask(Service::Scheduler, || self.schedules.move_companion(&name, wanted)).await?;
                    if !moved {
                        continue;
                    }
                    info!(schedule = %name, at = %wanted, "companion schedule moved");
                    Fate::Moved
                }
            };
            fates.insert(name.to_string(), fate);
        }
        Ok(fates)
    }
}

fn left_alone(name: &CompanionName, why: &str) -> Fate {
    warn!(schedule = %name, why, "companion schedule left alone");
    Fate::LeftAlone
}

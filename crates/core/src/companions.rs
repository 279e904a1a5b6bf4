//! What becomes of a meeting's companion schedules when it is moved, cancelled or ended: the same way for every verb.
//!
//! The record is the truth and they follow it, as our own schedule does. Before a meeting is first moved, how far each stands
//! from its time is noted in the record, where none is noted yet; whoever finds a note uses it. So a delivery that died
//! between the move and a shift is gone on with by the next, and one that comes twice shifts nothing twice.

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

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It fires at the same distance from the meeting as before.
    Moved,
    Unchanged,
    Deleted,
    /// For the reason in the log.
    LeftAlone,
}

/// By `group/name`; one that does not stand is not told of.
pub type Fates = BTreeMap<String, Fate>;

/// Who looks after the companions of a meeting, for one delivery.
pub struct Companions<'d, S, C, T> {
    pub patterns: &'d [Pattern],
    pub schedules: &'d S,
    pub meeting: &'d MeetingId,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
}

impl<S: CompanionSchedules, C: Clock, T: Tokens> Companions<'_, S, C, T> {
    /// Before the meeting of this record is moved.
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

    /// A request; every one may be repeated.
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
    /// Of a meeting that is on they are moved to where they belong; of one that is over they are deleted. Of one whose record
    /// is gone they are left alone, for it may come back.
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

//! The verb `reconcile`: what runs is made to agree with what the records say.
//!
//! A launch is right only at the moment it is made: machines die, records are deleted, deliveries never come. A sweep lists
//! the machines of ours, then reads their records and those of meetings that are due, decides (`plan/reconcile.rs`), and
//! carries it out; a notification of EC2 does the same for one machine and its meeting. Nothing of an event is believed
//! but "look at this instance".
//!
//! Every write names the state that it rests on, so sweeps that overlap, come twice or die half-way repeat or leave out a
//! step, and undo none. What fails is reported after everything else was tried.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::config::ReconcileConfig;
use crate::deadline::Deadline;
use crate::ending::{Ended, Ending};
use crate::error::{AwsError, Error, Service};
use crate::event;
use crate::fleet::{Counted, Leftover, Sighting, Watched};
use crate::machine::{InstanceId, State, Token};
use crate::meeting::{MeetingId, Role};
use crate::metrics;
use crate::needs::{
    Clock, Consoles, Counts, Ends, Fleet, Launches, Leftovers, Meetings, StatusChecks, Tokens, Updated, Watch,
};
use crate::plan::reconcile::{Repair, Seen, reconcile};
use crate::record::{self, Lost, Update};
use crate::timing::{Timing, after, before};

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Reconciler<M, E, L, N, C, T> {
    pub meetings: M,
    pub ec2: E,
    pub launches: L,
    pub counts: N,
    pub clock: C,
    pub tokens: T,
    pub config: ReconcileConfig,
    pub timing: Timing,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Machines of ours that EC2 showed, the dead of the last hour included.
    pub machines: usize,
    /// Meetings whose records were read.
    pub meetings: usize,
    /// In the order in which they were made, or, in a dry run, would be.
    pub repairs: Vec<Repaired>,
    /// Endings that the limit of one sweep left for the next (MAX_ENDINGS).
    pub held_back: usize,
    /// Volumes and network interfaces of ours that are attached to nothing, and stay so (CLEAN_UP).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    pub repair: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Of a volume or a network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines of a machine that does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

impl metrics::Outcome for Answer {
    fn outcome(&self) -> &'static str {
        match (self.repairs.is_empty(), self.dry_run) {
            (true, _) => "in_order",
            (false, true) => "dry_run",
            (false, false) => "repaired",
        }
    }
}

impl<M, E, L, N, C, T> Reconciler<M, E, L, N, C, T>
where
    M: Meetings + Watch,
    E: Fleet + Ends + StatusChecks + Consoles + Leftovers,
    L: Launches,
    N: Counts,
    C: Clock,
    T: Tokens,
{
    /// One delivery, answered before `deadline`.
    pub async fn reconcile(&self, request: &event::Reconcile, deadline: Timestamp) -> Result<Answer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        Delivery { reconciler: self, deadline }.run(request).await
    }
}

struct Delivery<'r, M, E, L, N, C, T> {
    reconciler: &'r Reconciler<M, E, L, N, C, T>,
    deadline: Deadline<'r, C, T>,
}

impl<M, E, L, N, C, T> Delivery<'_, M, E, L, N, C, T>
where
    M: Meetings + Watch,
    E: Fleet + Ends + StatusChecks + Consoles + Leftovers,
    L: Launches,
    N: Counts,
    C: Clock,
    T: Tokens,
{
    async fn run(&self, request: &event::Reconcile) -> Result<Answer, Error> {
        let Reconciler { meetings, ec2, config, timing, .. } = self.reconciler;
        // Machines first: the records that are read afterwards are younger than the list.
        let mut impaired = BTreeSet::new();
        let mut leftovers = Vec::new();
        let (mut seen, mut wanted) = match request {
            event::Reconcile::Sweep => {
                let seen = self.ask(Service::Ec2, || ec2.list(&config.project_tag)).await?;
                impaired = self.ask(Service::Ec2, || ec2.list_impaired()).await?;
                leftovers = self.ask(Service::Ec2, || ec2.list_leftovers(&config.project_tag)).await?;
                let now = self.deadline.clock.now();
                let from = before(now, config.limits.launch_window);
                let until = after(now, config.limits.due);
                (seen, self.ask(Service::DynamoDb, || meetings.find_due(from, until)).await?)
            }
            event::Reconcile::Instance(instance) => {
                let seen = self
                    .ask(Service::Ec2, || ec2.look(std::slice::from_ref(instance)))
                    .await?
                    .into_iter()
                    .next();
                let ours = |s: &Sighting| {
                    s.machine.tags.get("Project") == Some(&config.project_tag) && s.meeting().is_some()
                };
                let Some(seen) = seen.filter(ours) else {
                    info!(instance_id = %instance, "no machine of ours");
                    return Ok(Answer::default());
                };
                (vec![seen], BTreeSet::new())
            }
        };
        wanted.extend(seen.iter().filter_map(Sighting::meeting));
        let records = self.ask(Service::DynamoDb, || meetings.read_all(&wanted)).await?;
        if let event::Reconcile::Instance(_) = request {
            seen.extend(self.the_others(&seen, &records).await?);
        }
        for (meeting, watched) in &records {
            if let Watched::Unreadable(what) = watched {
                warn!(meeting_id = %meeting, what, "the record cannot be understood: its machines are left alone");
            }
        }
        let showed = Seen { machines: &seen, impaired: &impaired, leftovers: &leftovers };
        let found = reconcile(self.deadline.clock.now(), showed, &records, &config.limits, timing);
        if found.held_back > 0 {
            warn!(
                held_back = found.held_back,
                "more machines are to be ended than one sweep may (MAX_ENDINGS)"
            );
        }
        let mut answer = Answer {
            machines: seen.len(),
            meetings: records.len(),
            repairs: Vec::new(),
            held_back: found.held_back,
            leftovers: found.leftovers.iter().map(|leftover| leftover.id.clone()).collect(),
            dry_run: config.dry_run,
        };
        if !answer.leftovers.is_empty() {
            info!(leftovers = answer.leftovers.join(", "), "attached to nothing, and left alone (CLEAN_UP)");
        }
        for _ in 0..found.held_back {
            self.count(Counted::EndingHeldBack);
        }
        let mut lost: BTreeSet<&MeetingId> = BTreeSet::new();
        let mut consoles = 0;
        let mut failures: Vec<Error> = Vec::new();
        for repair in &found.repairs {
            let done = match config.dry_run {
                true => Ok(true),
                false => self.apply(repair, &records).await,
            };
            match done {
                Ok(true) => {
                    let mut told = told(repair);
                    if let Repair::Unready { instance, .. } = repair
                        && consoles < CONSOLES
                    {
                        consoles += 1;
                        told.console = self.last_lines(instance).await;
                    }
                    self.counted(repair, &mut lost);
                    tell(&told, config.dry_run);
                    answer.repairs.push(told);
                }
                Ok(false) => info!(?repair, "left out: the record has moved on"),
                Err(error) => {
                    warn!(?repair, %error, "a repair failed; the others go on");
                    failures.push(error);
                }
            }
        }
        match failures.into_iter().next() {
            Some(first) => Err(first),
            None => {
                if *request == event::Reconcile::Sweep {
                    self.reconciler.counts.count(Counted::Sweep);
                }
                Ok(answer)
            }
        }
    }

    /// Of the meeting of a machine that runs, the other machine, if both were not seen running yet: a notification is of one
    /// alone. It is younger than the record, which matters for orphans only, and this is none.
    async fn the_others(
        &self,
        seen: &[Sighting],
        records: &BTreeMap<MeetingId, Watched>,
    ) -> Result<Vec<Sighting>, Error> {
        let ec2 = &self.reconciler.ec2;
        let mut others = Vec::new();
        let runs = seen.iter().any(|sighting| sighting.machine.state == State::Running);
        for watched in records.values().filter(|_| runs) {
            let Watched::Stands { record, was_ready: false, .. } = watched else { continue };
            let named = Role::BOTH.iter().filter_map(|role| record.seat(*role).instance_id.clone());
            others.extend(named.filter(|id| seen.iter().all(|sighting| sighting.instance_id() != id)));
        }
        match others.is_empty() {
            true => Ok(Vec::new()),
            false => self.ask(Service::Ec2, || ec2.look(&others)).await,
        }
    }

    fn counted<'a>(&self, repair: &'a Repair, lost: &mut BTreeSet<&'a MeetingId>) {
        match repair {
            Repair::EndOrphan { .. } => self.count(Counted::OrphanEnded),
            Repair::Forget { meeting, .. } => {
                lost.insert(meeting);
                self.count(Counted::MachineLost);
            }
            // The launch after a loss is part of it.
            Repair::Launch { meeting } if !lost.contains(meeting) => self.count(Counted::MeetingLaunched),
            Repair::Unready { .. } => self.count(Counted::MachineUnready),
            Repair::Ready { after, .. } => self.count(Counted::Ready(*after)),
            _ => {}
        }
    }

    fn count(&self, what: Counted) {
        if !self.reconciler.config.dry_run {
            self.reconciler.counts.count(what);
        }
    }

    /// What it wrote last, for the person who has to find out. That it cannot be read is no failure of the sweep.
    async fn last_lines(&self, instance: &InstanceId) -> Option<String> {
        let ec2 = &self.reconciler.ec2;
        match self.ask(Service::Ec2, || ec2.read_console(instance)).await {
            Ok(text) => text.map(|text| tail(&text, CONSOLE_LINES)),
            Err(error) => {
                warn!(instance_id = %instance, error = %error.chain(), "its console could not be read");
                None
            }
        }
    }

    /// `false`: what it rests on does not hold any more.
    async fn apply(&self, repair: &Repair, records: &BTreeMap<MeetingId, Watched>) -> Result<bool, Error> {
        let ec2 = &self.reconciler.ec2;
        match repair {
            Repair::Close { meeting, reason } => self.write(&record::close(meeting, reason)).await,
            // Its meeting is over, so it keeps its Role tag: the watchdog may say so once more.
            Repair::End { instance, .. } => {
                self.ask(Service::Ec2, || ec2.terminate(instance)).await?;
                Ok(true)
            }
            Repair::EndOrphan { instance, standing } => self.end_orphan(instance, standing.as_ref()).await,
            Repair::Mark { instance } => {
                let now = self.deadline.clock.now();
                self.ask(Service::Ec2, || ec2.mark(instance, now)).await?;
                Ok(true)
            }
            Repair::Unmark { instance } => {
                self.ask(Service::Ec2, || ec2.unmark(instance)).await?;
                Ok(true)
            }
            Repair::Revive { meeting } => self.write(&record::revive(meeting)).await,
            Repair::Forget { meeting, role, instance, reason } => {
                let Some(Watched::Stands { record, .. }) = records.get(meeting) else { return Ok(false) };
                let at = self.deadline.clock.now();
                let lost = Lost { instance_id: instance.clone(), reason: reason.clone(), at };
                self.write(&record::forget(record, *role, lost)).await
            }
            Repair::Launch { meeting } => {
                let launches = &self.reconciler.launches;
                launches.launch(meeting, self.deadline.at).await.map(|()| true)
            }
            Repair::Note { meeting, role, instance, note } => {
                self.write(&record::note(meeting, *role, instance, note.clone())).await
            }
            Repair::Ready { meeting, machines, .. } => {
                self.write(&record::ready(meeting, machines, self.deadline.clock.now())).await
            }
            Repair::Unready { ends: false, .. } => Ok(true),
            // It stays in the record until it is dead, so that no other is launched beside it; without its Role tag, for
            // its meeting is on.
            Repair::Unready { instance, .. } => {
                self.ask(Service::Ec2, || ec2.remove_role_tag(instance)).await?;
                self.ask(Service::Ec2, || ec2.terminate(instance)).await?;
                Ok(true)
            }
            Repair::MarkLeftover(leftover) => {
                let now = self.deadline.clock.now();
                self.ask(Service::Ec2, || ec2.mark_leftover(leftover, now)).await?;
                Ok(true)
            }
            Repair::RemoveLeftover(leftover) => {
                self.ask(Service::Ec2, || ec2.remove(leftover)).await?;
                Ok(true)
            }
        }
    }

    async fn end_orphan(
        &self,
        instance: &InstanceId,
        standing: Option<&(MeetingId, Role, Token)>,
    ) -> Result<bool, Error> {
        let Reconciler { meetings, ec2, timing, .. } = self.reconciler;
        let ending = Ending { meetings, ec2, deadline: &self.deadline, timing: *timing };
        let ended = ending.end_unnamed(instance, standing).await;
        Ok(ended.map_err(|(service, error)| failed(service, error))? == Ended::Ended)
    }

    async fn write(&self, update: &Update) -> Result<bool, Error> {
        Ok(self.update(update).await? == Updated::Done)
    }

    async fn update(&self, update: &Update) -> Result<Updated, Error> {
        let meetings = &self.reconciler.meetings;
        self.ask(Service::DynamoDb, || meetings.update(update)).await
    }

    /// A request; every one may be repeated.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.reconciler.timing, request).await;
        answer.map_err(|error| failed(service, error))
    }
}

/// How much of a console is told, and of how many machines in one sweep.
const CONSOLE_LINES: usize = 20;
const CONSOLES: usize = 5;

/// The last lines of a text that say anything.
fn tail(text: &str, lines: usize) -> String {
    let said: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

fn told(repair: &Repair) -> Repaired {
    let of = |repair, meeting: Option<&MeetingId>, instance: Option<&InstanceId>| Repaired {
        repair,
        meeting_id: meeting.map(ToString::to_string),
        role: None,
        instance_id: instance.map(ToString::to_string),
        resource_id: None,
        reason: None,
        console: None,
    };
    let in_role = |role: Role, told: Repaired| Repaired { role: Some(role.as_str()), ..told };
    let because = |reason: &str, told: Repaired| Repaired { reason: Some(reason.to_owned()), ..told };
    let left = |leftover: &Leftover, repair| Repaired {
        resource_id: Some(leftover.id.clone()),
        ..of(repair, None, None)
    };
    match repair {
        Repair::Close { meeting, reason } => because(reason, of("meeting_closed", Some(meeting), None)),
        Repair::End { meeting, role, instance } => {
            in_role(*role, of("machine_ended", Some(meeting), Some(instance)))
        }
        Repair::EndOrphan { instance, standing } => {
            of("orphan_ended", standing.as_ref().map(|(meeting, ..)| meeting), Some(instance))
        }
        Repair::Mark { instance } => of("orphan_marked", None, Some(instance)),
        Repair::Unmark { instance } => of("mark_removed", None, Some(instance)),
        Repair::Revive { meeting } => of("meeting_revived", Some(meeting), None),
        Repair::Forget { meeting, role, instance, reason } => {
            because(reason, in_role(*role, of("machine_lost", Some(meeting), Some(instance))))
        }
        Repair::Launch { meeting } => of("launched", Some(meeting), None),
        Repair::Note { meeting, role, instance, note } => {
            because(note.state.as_str(), in_role(*role, of("machine_noted", Some(meeting), Some(instance))))
        }
        Repair::Ready { meeting, .. } => of("meeting_ready", Some(meeting), None),
        Repair::Unready { meeting, role, instance, reason, ends } => {
            let word = if *ends { "unready_ended" } else { "unready" };
            because(reason, in_role(*role, of(word, Some(meeting), Some(instance))))
        }
        Repair::MarkLeftover(leftover) => left(leftover, "leftover_marked"),
        Repair::RemoveLeftover(leftover) => left(leftover, "leftover_removed"),
    }
}

fn tell(told: &Repaired, dry_run: bool) {
    info!(
        repair = told.repair,
        meeting_id = told.meeting_id,
        role = told.role,
        instance_id = told.instance_id,
        resource_id = told.resource_id,
        reason = told.reason,
        console = told.console,
        dry_run,
        "repair"
    );
}

fn failed(service: Service, error: AwsError) -> Error {
    Error::of_request("reconcile", service, error, "nothing is to be done: the next sweep goes on")
}

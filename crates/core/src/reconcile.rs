//! The verb `reconcile`: it makes the machines that run agree with what the records say.
//!
//! A launch is right only at the moment it is made: machines die, records are deleted, deliveries never come. A sweep
//! lists our machines, then reads their records and the records of meetings that are due, decides what to do
//! (`plan/reconcile.rs`), and does it. Notifications of EC2 do the same for their machines and the meetings of these. The sweep
//! believes nothing of an event except that it should look at this instance.
//!
//! Every write names the state that it relies on. So sweeps that overlap, come twice or die half-way repeat or leave
//! out a step, but undo none. A failure is reported after everything else was tried.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::answer;
use crate::config::ReconcileConfig;
use crate::deadline::Deadline;
use crate::ending::{Acted, Ended, Ending, OnMachine};
use crate::error::{AwsError, Error, Service};
use crate::event;
use crate::fleet::{Counted, Leftover, MeetingSnapshot, ObservedMachine};
use crate::machine::{InstanceId, PROJECT_TAG, Token};
use crate::meeting::{MeetingId, Role};
use crate::plan::reconcile::{Repair, Seen, reconcile, to_look_at};
use crate::ports::{
    Clock, Consoles, Counts, DescribeById, Fleet, Launches, Leftovers, Meetings, Starts, StatusChecks,
    Terminate, Tokens, Updated, Watch,
};
use crate::record::{self, Lost, Record, Update};
use crate::timing::{Timing, after, before};

/// What the verb asks of the world.
pub trait ReconcilePorts {
    type Meetings: Meetings + Watch;
    type Ec2: Fleet + Terminate + Starts + StatusChecks + Consoles + Leftovers;
    type Launches: Launches;
    type Counts: Counts;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Reconciler<P: ReconcilePorts> {
    pub meetings: P::Meetings,
    pub ec2: P::Ec2,
    pub launches: P::Launches,
    pub counts: P::Counts,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    pub config: ReconcileConfig,
    pub timing: Timing,
    /// What the last sweep could not end: the next sweep tries it last.
    pub failed_endings: RefCell<BTreeSet<String>>,
}

/// What a delivery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReconcileAnswer {
    /// Machines of ours that EC2 showed, with those that died within the last hour.
    pub machines: usize,
    /// Meetings whose records were read.
    pub meetings: usize,
    /// In the order in which they were made or, in a dry run, would be made.
    pub repairs: Vec<Repaired>,
    /// Endings that one sweep left for the next one, because of its limit (MAX_ENDINGS).
    pub held_back: usize,
    /// Volumes and network interfaces of ours that are attached to nothing, and are left alone (CLEAN_UP).
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
    /// The id of a volume or a network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines on the console of a machine that does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

impl answer::Outcome for ReconcileAnswer {
    fn outcome(&self) -> &'static str {
        match (self.repairs.is_empty(), self.dry_run) {
            (true, _) => "in_order",
            (false, true) => "dry_run",
            (false, false) => "repaired",
        }
    }
}

impl<P: ReconcilePorts> Reconciler<P> {
    /// One delivery, answered before `deadline`.
    pub async fn reconcile(
        &self,
        request: &event::Reconcile,
        deadline: Timestamp,
    ) -> Result<ReconcileAnswer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        ReconcileDelivery { reconciler: self, deadline }.run(request).await
    }
}

struct ReconcileDelivery<'r, P: ReconcilePorts> {
    reconciler: &'r Reconciler<P>,
    deadline: Deadline<'r, P::Clock, P::Tokens>,
}

impl<P: ReconcilePorts> ReconcileDelivery<'_, P> {
    async fn run(&self, request: &event::Reconcile) -> Result<ReconcileAnswer, Error> {
        let Reconciler { meetings, config, timing, .. } = self.reconciler;
        // Machines first: the records that are read afterwards are younger than the list.
        let Some(mut found) = (match request {
            event::Reconcile::Sweep => Some(self.list().await),
            event::Reconcile::Instances(instances) => self.those(instances).await?,
        }) else {
            return Ok(ReconcileAnswer::default());
        };
        let mut wanted: BTreeSet<MeetingId> =
            found.machines.iter().filter_map(ObservedMachine::meeting).collect();
        if *request == event::Reconcile::Sweep {
            let now = self.deadline.clock.now();
            let from = before(now, config.limits.window.latest);
            // Without a list, the meetings that are launched already are found only by their time.
            let ahead = if found.is_whole { config.limits.due } else { config.limits.window.earliest };
            let until = after(now, ahead);
            wanted.extend(self.ask(Service::DynamoDb, || meetings.find_by_time(from, until)).await?);
        }
        let records = self.ask(Service::DynamoDb, || meetings.read_all(&wanted)).await?;
        self.look_at_what_is_recorded(&mut found, &records).await;
        for (meeting, watched) in &records {
            if let MeetingSnapshot::Unreadable(what) = watched {
                warn!(meeting_id = %meeting, what, "the record cannot be understood: its machines are left alone");
            }
        }
        let seen = Seen {
            machines: &found.machines,
            missing: &found.missing,
            is_whole: found.is_whole,
            impaired: &found.impaired,
            leftovers: &found.leftovers,
        };
        let repairs = reconcile(self.deadline.clock.now(), seen, &records, &config.limits, timing);
        let mut answer = ReconcileAnswer {
            machines: found.machines.len(),
            meetings: records.len(),
            repairs: Vec::new(),
            held_back: 0,
            leftovers: repairs.leftovers.iter().map(|leftover| leftover.id.clone()).collect(),
            dry_run: config.dry_run,
        };
        if !answer.leftovers.is_empty() {
            info!(leftovers = answer.leftovers.join(", "), "attached to nothing, and left alone (CLEAN_UP)");
        }
        self.repair(repairs.repairs, &records, &mut answer, &mut found.failures).await;
        match found.failures.into_iter().next() {
            Some(first) => Err(first),
            None => {
                if *request == event::Reconcile::Sweep {
                    self.reconciler.counts.count(Counted::Sweep);
                }
                Ok(answer)
            }
        }
    }

    /// List everything of ours. If a list fails, the sweep fails, but it still makes the repairs of what can be seen:
    /// in a zone's disruption EC2 lists nothing, but shows a machine that is asked for by its id.
    async fn list(&self) -> Found {
        let Reconciler { ec2, config, .. } = self.reconciler;
        let project = &config.project_tag;
        let mut found = Found::default();
        match self.ask_briefly(|| ec2.list(project)).await {
            Ok(machines) => (found.machines, found.is_whole) = (machines, true),
            Err(error) => found.failures.push(error),
        }
        match self.ask_briefly(|| ec2.list_impaired()).await {
            Ok(impaired) => found.impaired = impaired,
            Err(error) => found.failures.push(error),
        }
        match self.ask_briefly(|| ec2.list_leftovers(project, config.limits.clean_up)).await {
            Ok(leftovers) => found.leftovers = leftovers,
            Err(error) => found.failures.push(error),
        }
        for error in &found.failures {
            warn!(error = %error.chain(), "the sweep goes on with what can be seen");
        }
        found
    }

    /// The machines of notifications, if any of them is ours.
    async fn those(&self, instances: &[InstanceId]) -> Result<Option<Found>, Error> {
        let Reconciler { ec2, config, .. } = self.reconciler;
        let looked = self.ask(Service::Ec2, || ec2.look(instances)).await?;
        let ours = |s: &ObservedMachine| {
            s.machine.tags.get(PROJECT_TAG) == Some(&config.project_tag) && s.meeting().is_some()
        };
        let machines: Vec<ObservedMachine> = looked.seen.into_iter().filter(ours).collect();
        if machines.is_empty() {
            let instances: Vec<&str> = instances.iter().map(InstanceId::as_str).collect();
            info!(instances = instances.join(", "), "no machine of ours");
            return Ok(None);
        }
        Ok(Some(Found { machines, ..Found::default() }))
    }

    /// EC2 takes the tags from a machine that has died, and forgets the machine within the hour; then no list shows it.
    /// What is looked at here is younger than the records, which matters for orphans only.
    async fn look_at_what_is_recorded(
        &self,
        found: &mut Found,
        records: &BTreeMap<MeetingId, MeetingSnapshot>,
    ) {
        let Reconciler { ec2, config, timing, .. } = self.reconciler;
        let now = self.deadline.clock.now();
        let stand = records.values().filter_map(|watched| match watched {
            MeetingSnapshot::Stands { record, .. } => Some(record),
            MeetingSnapshot::Missing | MeetingSnapshot::Unreadable(_) => None,
        });
        let listed = found.machines.iter().map(ObservedMachine::instance_id).collect();
        let ids: BTreeSet<InstanceId> =
            stand.flat_map(|record| to_look_at(now, record, &listed, &config.limits)).collect();
        if ids.is_empty() {
            return;
        }
        let asked: Vec<InstanceId> = ids.iter().cloned().collect();
        found.machines.retain(|observed| !ids.contains(observed.instance_id()));
        match self.deadline.ask_times(BRIEFLY, Service::Ec2, timing, || ec2.look(&asked)).await {
            Ok(looked) => {
                let known = looked.seen.len() + looked.missing.len();
                if known < ids.len() {
                    warn!(asked = ids.len(), known, "some recorded machines cannot be seen now");
                }
                found.machines.extend(looked.seen);
                found.missing = looked.missing;
            }
            Err(error) => found.failures.push(failed(Service::Ec2, error)),
        }
    }

    /// Make all the repairs, but only a limited number of endings. What failed before comes last, so that nothing else
    /// waits for it.
    async fn repair(
        &self,
        mut repairs: Vec<Repair>,
        records: &BTreeMap<MeetingId, MeetingSnapshot>,
        answer: &mut ReconcileAnswer,
        failures: &mut Vec<Error>,
    ) {
        let Reconciler { config, failed_endings, .. } = self.reconciler;
        let failed_before = std::mem::take(&mut *failed_endings.borrow_mut());
        let failed_last_time =
            |repair: &Repair| repair.ends().is_some_and(|ended| failed_before.contains(ended));
        repairs.sort_by_key(failed_last_time);
        let (mut endings, mut consoles) = (0, 0);
        let mut lost: BTreeSet<&MeetingId> = BTreeSet::new();
        for repair in &repairs {
            if let Some(ended) = repair.ends().filter(|_| endings >= config.limits.endings) {
                answer.held_back += 1;
                self.count(Counted::EndingHeldBack);
                failed_endings.borrow_mut().extend(failed_before.get(ended).cloned());
                continue;
            }
            let done = match config.dry_run {
                true => Ok(true),
                false => self.apply(repair, records).await,
            };
            match done {
                Ok(true) => {
                    endings += usize::from(repair.ends().is_some());
                    let mut told = describe(repair);
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
                Ok(false) => info!(?repair, "left out: what it rests on has changed"),
                Err(error) => {
                    warn!(?repair, %error, "a repair failed; the others go on");
                    failed_endings.borrow_mut().extend(repair.ends().map(str::to_owned));
                    failures.push(error);
                }
            }
        }
        if answer.held_back > 0 {
            warn!(
                held_back = answer.held_back,
                "more machines are to be ended than one sweep may (MAX_ENDINGS)"
            );
        }
    }

    fn counted<'a>(&self, repair: &'a Repair, lost: &mut BTreeSet<&'a MeetingId>) {
        match repair {
            Repair::EndOrphan { .. } => self.count(Counted::OrphanEnded),
            Repair::Forget { meeting, .. } => {
                lost.insert(meeting);
                self.count(Counted::MachineLost);
            }
            // The launch after a loss is counted with the loss.
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

    /// The last lines on the machine's console, for the person who has to find out. If they cannot be read, the sweep
    /// does not fail.
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

    /// `false`: what the repair relies on does not hold any more.
    async fn apply(
        &self,
        repair: &Repair,
        records: &BTreeMap<MeetingId, MeetingSnapshot>,
    ) -> Result<bool, Error> {
        let ec2 = &self.reconciler.ec2;
        let now = self.deadline.clock.now();
        match repair {
            Repair::Close { meeting, reason } => {
                self.write_on(records.get(meeting), |record| record::terminate(record, reason)).await
            }
            // The meeting is over, so the machine keeps its Role tag: the watchdog may say so once more, and remove the
            // machine's DNS entry.
            Repair::End { instance, .. } => {
                self.act(instance, || ec2.terminate(instance)).await.map(|_| true)
            }
            Repair::EndOrphan { instance, standing } => {
                let ended = self.ending().terminate_unrecorded(instance, standing.as_ref()).await;
                Ok(ended.map_err(|(service, error)| failed(service, error))? == Ended::Ended)
            }
            Repair::Mark { instance } => self.act(instance, || ec2.mark(instance, now)).await,
            Repair::Unmark { instance } => self.act(instance, || ec2.unmark(instance)).await,
            Repair::Revive { meeting } => self.write(&record::revive(meeting)).await,
            Repair::Forget { meeting, role, instance, reason } => {
                let lost = Lost { instance_id: instance.clone(), reason: reason.clone(), at: now };
                self.write_on(records.get(meeting), |record| record::forget(record, *role, lost)).await
            }
            Repair::Start { meeting, role, instance, otherwise_replace } => {
                self.start(meeting, *role, instance, otherwise_replace.as_ref()).await
            }
            Repair::Launch { meeting } => {
                let launches = &self.reconciler.launches;
                launches.launch(meeting, self.deadline.at).await.map(|()| true)
            }
            Repair::Note { meeting, role, instance, note } => {
                self.write(&record::note(meeting, *role, instance, note.clone())).await
            }
            Repair::Ready { meeting, machines, .. } => {
                self.write(&record::ready(meeting, machines, now)).await
            }
            Repair::Unready { replace: None, .. } => Ok(true),
            Repair::Unready { meeting, role, instance, replace: Some(token), .. } => {
                self.replace(meeting, *role, instance, token).await
            }
            Repair::Prune { meeting } => self.write_on(records.get(meeting), record::prune).await,
            Repair::MarkLeftover(leftover) => {
                self.on_leftover(self.ask_briefly(|| ec2.mark_leftover(leftover, now)).await)
            }
            Repair::UnmarkLeftover(leftover) => {
                self.on_leftover(self.ask_briefly(|| ec2.unmark_leftover(leftover)).await)
            }
            Repair::RemoveLeftover(leftover) => self.ask_briefly(|| ec2.remove(leftover)).await,
        }
    }

    /// Replace a machine. It stays in the record until it is dead, so that no other machine is launched beside it. It
    /// loses its Role tag, because its meeting is on. First the record says that the machine is to be replaced;
    /// otherwise its end could be taken for the meeting's.
    async fn replace(
        &self,
        meeting: &MeetingId,
        role: Role,
        instance: &InstanceId,
        token: &Token,
    ) -> Result<bool, Error> {
        if !self.write(&record::replace(meeting, role, token, instance)).await? {
            return Ok(false);
        }
        let ended = self.ending().end_without_role(instance).await;
        ended.map(|()| true).map_err(|error| failed(Service::Ec2, error))
    }

    /// Start a machine that somebody stopped; one that EC2 refuses to start for good is replaced.
    async fn start(
        &self,
        meeting: &MeetingId,
        role: Role,
        instance: &InstanceId,
        otherwise: Option<&Token>,
    ) -> Result<bool, Error> {
        let ec2 = &self.reconciler.ec2;
        match (self.try_to_act(instance, || ec2.start(instance)).await, otherwise) {
            (Err(error), Some(token)) if error.class.is_refusal() => {
                warn!(instance_id = %instance, %error, "it cannot be started: it is replaced");
                self.replace(meeting, role, instance, token).await
            }
            (answer, _) => answer.map_err(|error| failed(Service::Ec2, error)),
        }
    }

    /// `false`: there is nothing left to act on.
    async fn act<F: Future<Output = Result<(), AwsError>>>(
        &self,
        instance: &InstanceId,
        action: impl Fn() -> F,
    ) -> Result<bool, Error> {
        self.try_to_act(instance, action).await.map_err(|error| failed(Service::Ec2, error))
    }

    async fn try_to_act<F: Future<Output = Result<(), AwsError>>>(
        &self,
        instance: &InstanceId,
        action: impl Fn() -> F,
    ) -> Result<bool, AwsError> {
        let Reconciler { ec2, timing, .. } = self.reconciler;
        let on = OnMachine { ec2, deadline: &self.deadline, timing: *timing, tries: BRIEFLY };
        // The machine was seen a moment ago: if EC2 does not find it now, it is gone.
        Ok(on.act(instance, self.deadline.clock.now(), action).await? == Acted::Done)
    }

    fn ending(&self) -> Ending<'_, P::Meetings, P::Ec2, P::Clock, P::Tokens> {
        let Reconciler { meetings, ec2, timing, .. } = self.reconciler;
        let known_by = self.deadline.clock.now();
        Ending { meetings, ec2, deadline: &self.deadline, timing: *timing, known_by }
    }

    /// `false`: somebody else has removed it.
    fn on_leftover(&self, answer: Result<(), Error>) -> Result<bool, Error> {
        match answer {
            Ok(()) => Ok(true),
            Err(Error { cause: Some(cause), .. }) if cause.code().ends_with(".NotFound") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A write that relies on the record as it was read. Nothing is written if there was no record, or it could not be
    /// understood.
    async fn write_on(
        &self,
        read: Option<&MeetingSnapshot>,
        update: impl FnOnce(&Record) -> Update,
    ) -> Result<bool, Error> {
        let Some(MeetingSnapshot::Stands { record, .. }) = read else { return Ok(false) };
        self.write(&update(record)).await
    }

    async fn write(&self, update: &Update) -> Result<bool, Error> {
        let meetings = &self.reconciler.meetings;
        Ok(self.ask(Service::DynamoDb, || meetings.update(update)).await? == Updated::Done)
    }

    /// A request to EC2 with few tries, so that no other repair waits long for it.
    async fn ask_briefly<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask_times(BRIEFLY, Service::Ec2, &self.reconciler.timing, request).await;
        answer.map_err(|error| failed(Service::Ec2, error))
    }

    /// A request, which may be repeated.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.reconciler.timing, request).await;
        answer.map_err(|error| failed(service, error))
    }
}

/// How often at most a request is sent while other repairs wait.
const BRIEFLY: u32 = 3;

/// What EC2 has shown a delivery.
#[derive(Default)]
struct Found {
    machines: Vec<ObservedMachine>,
    missing: BTreeSet<InstanceId>,
    /// Whether every machine of ours was listed.
    is_whole: bool,
    impaired: BTreeSet<InstanceId>,
    leftovers: Vec<Leftover>,
    failures: Vec<Error>,
}

/// How many lines of a console are told, and of how many machines in one sweep.
const CONSOLE_LINES: usize = 20;
const CONSOLES: usize = 5;

/// The last lines of a text that are not empty.
fn tail(text: &str, lines: usize) -> String {
    let said: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

fn describe(repair: &Repair) -> Repaired {
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
        Repair::Start { meeting, role, instance, .. } => {
            in_role(*role, of("started", Some(meeting), Some(instance)))
        }
        Repair::Launch { meeting } => of("launched", Some(meeting), None),
        Repair::Note { meeting, role, instance, note } => {
            because(note.state.as_str(), in_role(*role, of("machine_noted", Some(meeting), Some(instance))))
        }
        Repair::Ready { meeting, .. } => of("meeting_ready", Some(meeting), None),
        Repair::Unready { meeting, role, instance, reason, replace } => {
            let word = if replace.is_some() { "unready_ended" } else { "unready" };
            because(reason, in_role(*role, of(word, Some(meeting), Some(instance))))
        }
        Repair::Prune { meeting } => of("record_pruned", Some(meeting), None),
        Repair::MarkLeftover(leftover) => left(leftover, "leftover_marked"),
        Repair::UnmarkLeftover(leftover) => left(leftover, "leftover_mark_removed"),
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

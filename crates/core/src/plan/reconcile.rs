//! Decisions of a sweep: from the machines that EC2 showed, the records that were read *after* that, and the time.
//!
//! The records are younger than the list. So if a record does not name a machine of the list, the machine existed and
//! was not recorded when the record was read. A client token is random, so once the machine's attempt is no longer in
//! the record, no write can name the machine any more. So an orphan stays one, unless a person enters its id by hand:
//! hence the mark, the wait and the second look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::fleet::{Leftover, Limits, MeetingSnapshot, ObservedMachine};
use crate::machine::{Attempt, InstanceId, Note, State, Token};
use crate::meeting::{MeetingId, Role, Status};
use crate::plan::quiescent_at;
use crate::record::{MeetTime, Record, RoleRecord};
use crate::timing::{Timing, after};

/// One thing to do. A sweep does them in about this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A meeting is over, by the clock or because somebody ended its machines: write TERMINATED and why.
    Close { meeting: MeetingId, reason: String },
    /// A recorded machine is live, and its meeting is over.
    End { meeting: MeetingId, role: Role, instance: InstanceId },
    /// The orphan was marked on an earlier sweep, and still is one. If its attempt is still in a record, the attempt is
    /// marked first.
    EndOrphan { instance: InstanceId, standing: Option<(MeetingId, Role, Token)> },
    /// An orphan is seen for the first time.
    Mark { instance: InstanceId },
    /// The machine was marked, but is no orphan.
    Unmark { instance: InstanceId },
    /// The watchdog took the death of a machine for the end of the meeting: its TERMINATED is taken back.
    Revive { meeting: MeetingId },
    /// A recorded machine is dead and its meeting is on: the record forgets it, and says why.
    Forget { meeting: MeetingId, role: Role, instance: InstanceId, reason: String },
    /// A recorded machine is stopped and its meeting is on. If EC2 refuses to start it, the machine of this attempt is
    /// replaced.
    Start { meeting: MeetingId, role: Role, instance: InstanceId, otherwise_replace: Option<Token> },
    /// A role has no machine: `launch` the meeting.
    Launch { meeting: MeetingId },
    /// A recorded machine has another state, or other addresses, than its record says.
    Note { meeting: MeetingId, role: Role, instance: InstanceId, note: Note },
    /// Both machines run, for the first time, this long after the later one was launched.
    Ready { meeting: MeetingId, machines: Vec<(Role, InstanceId)>, after: Duration },
    /// A machine is up and does not serve. If it is to be replaced, this names the attempt that made it: the machine is
    /// ended, and the next sweep makes the record forget it.
    Unready { meeting: MeetingId, role: Role, instance: InstanceId, reason: String, replace: Option<Token> },
    /// A meeting is over for a reason, and its machines are dead: its record is made small.
    Prune { meeting: MeetingId },
    /// A volume or network interface is attached to nothing, seen for the first time.
    MarkLeftover(Leftover),
    /// The leftover is in use again.
    UnmarkLeftover(Leftover),
    /// The leftover was marked on an earlier sweep.
    RemoveLeftover(Leftover),
}

impl Repair {
    /// The id of what the repair ends for good, if it does. One sweep makes only so many of these repairs.
    pub fn ends(&self) -> Option<&str> {
        match self {
            Repair::End { instance, .. } | Repair::EndOrphan { instance, .. } => Some(instance.as_str()),
            Repair::Unready { instance, replace: Some(_), .. } => Some(instance.as_str()),
            Repair::RemoveLeftover(leftover) => Some(&leftover.id),
            _ => None,
        }
    }
}

/// What EC2 showed before the records were read; only what was looked at by its id is younger.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    pub machines: &'s [ObservedMachine],
    /// Recorded machines of which EC2 says that they do not exist.
    pub missing: &'s BTreeSet<InstanceId>,
    /// Whether every machine of ours is among them: in a zone's disruption EC2 lists none.
    pub is_whole: bool,
    /// The machines that run and fail EC2's own checks.
    pub impaired: &'s BTreeSet<InstanceId>,
    pub leftovers: &'s [Leftover],
}

/// Everything that a sweep finds to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    pub repairs: Vec<Repair>,
    /// Volumes and network interfaces that are attached to nothing, and are left alone.
    pub leftovers: Vec<Leftover>,
}

/// The recorded machines that have to be looked at by their ids, besides those that a list showed before the record was
/// read. They are the machines that the list did not show, if their meeting is on, or may be, or if attempts are left.
/// If a meeting is TERMINATED without a reason, they are all its machines: only a look after that was written shows
/// whether somebody ended them.
pub fn to_look_at(
    now: Timestamp,
    record: &Record,
    listed: &BTreeSet<&InstanceId>,
    limits: &Limits,
) -> Vec<InstanceId> {
    let unexplained = is_unexplained(record);
    let past = matches!(record.meet_time, MeetTime::At(time) if now > after(time, limits.longest_meeting));
    let is_to_be_pruned = record.termination_reason.is_some() && has_attempts(record);
    if !((unexplained || !record.is_over()) && !past || is_to_be_pruned) {
        return Vec::new();
    }
    let named = Role::BOTH.iter().filter_map(|role| record.role(*role).instance_id.clone());
    named.filter(|id| unexplained || !listed.contains(id)).collect()
}

pub fn reconcile(
    now: Timestamp,
    seen: Seen<'_>,
    records: &BTreeMap<MeetingId, MeetingSnapshot>,
    limits: &Limits,
    timing: &Timing,
) -> Repairs {
    let by_id = seen.machines.iter().map(|observed| (observed.instance_id(), observed)).collect();
    let sweep = Sweep { now, seen, by_id, limits, timing };
    let mut meetings: Vec<Meeting> = records
        .iter()
        .filter_map(|(id, watched)| match watched {
            MeetingSnapshot::Stands { record, replaced, notes, was_ready } => {
                let budget = limits.replacements.saturating_sub(*replaced);
                let mut meeting =
                    Meeting { id, record, notes, was_ready: *was_ready, budget, verdict: Verdict::On };
                meeting.verdict = sweep.judge(&meeting);
                Some(meeting)
            }
            MeetingSnapshot::Missing | MeetingSnapshot::Unreadable(_) => None,
        })
        .collect();
    let mut repairs = Vec::new();
    for meeting in &meetings {
        repairs.extend(sweep.close(meeting));
    }
    repairs.extend(sweep.orphans(records));
    for meeting in &mut meetings {
        repairs.extend(sweep.replace_the_dead(meeting));
    }
    for meeting in &mut meetings {
        repairs.extend(sweep.look_after_the_living(meeting));
    }
    let (of_leftovers, leftovers) = sweep.leftovers();
    repairs.extend(of_leftovers);
    Repairs { repairs, leftovers }
}

struct Sweep<'s> {
    now: Timestamp,
    seen: Seen<'s>,
    by_id: BTreeMap<&'s InstanceId, &'s ObservedMachine>,
    limits: &'s Limits,
    timing: &'s Timing,
}

struct Meeting<'m> {
    id: &'m MeetingId,
    record: &'m Record,
    notes: &'m [Option<Note>; 2],
    was_ready: bool,
    /// How many machines of the meeting may still be replaced, for any reason.
    budget: u32,
    verdict: Verdict,
}

/// How the sweep judges a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    On,
    /// The watchdog ended it by mistake.
    Revived,
    /// It is over. If somebody has to write the reason, this is it.
    Over(Option<String>),
    /// It has a status that we do not know: nothing is launched for it, and none of its machines is ended.
    Unknown,
}

struct Dead {
    role: Role,
    instance: InstanceId,
    reason: String,
}

impl Sweep<'_> {
    fn judge(&self, meeting: &Meeting) -> Verdict {
        let record = meeting.record;
        let hours = self.limits.longest_meeting.as_secs() / 3600;
        match (&record.termination_reason, &record.status) {
            (Some(_), _) => Verdict::Over(None),
            (None, Some(Status::Terminated)) if self.was_ended_by_somebody(record) => {
                Verdict::Over(Some("its machines were ended, says EC2, and nobody said why".to_owned()))
            }
            (None, Some(Status::Terminated)) if self.is_to_be_revived(meeting) => Verdict::Revived,
            (None, Some(Status::Terminated)) => Verdict::Over(None),
            (None, _) if self.is_over_by_the_clock(record) => {
                Verdict::Over(Some(format!("still on {hours} hours after its time (MAX_MEETING_HOURS)")))
            }
            (None, Some(Status::Unknown(_))) => Verdict::Unknown,
            (None, _) => Verdict::On,
        }
    }

    /// Close a meeting that is over: say why, end the live machines, and make the record small.
    fn close(&self, meeting: &Meeting) -> Vec<Repair> {
        let Verdict::Over(to_say) = &meeting.verdict else { return Vec::new() };
        let (id, record) = (meeting.id.clone(), meeting.record);
        let live: Vec<(Role, &ObservedMachine)> = self
            .recorded(record)
            .filter(|(_, observed)| observed.machine.state.is_live() && !observed.is_kept())
            .collect();
        let mut repairs = Vec::new();
        // The clock closes a meeting only if somebody pays for a machine, and never one with a status that we do not
        // know.
        let is_said = record.status == Some(Status::Terminated) || (!live.is_empty() && !record.is_over());
        if let Some(reason) = to_say
            && is_said
        {
            repairs.push(Repair::Close { meeting: id.clone(), reason: reason.clone() });
        }
        for (role, observed) in live {
            let instance = observed.instance_id().clone();
            repairs.push(Repair::End { meeting: id.clone(), role, instance });
        }
        if repairs.is_empty() && self.can_be_pruned(record) {
            repairs.push(Repair::Prune { meeting: id });
        }
        repairs
    }

    /// Whether the meeting's machines are dead, and no machine of its attempts lives or can still come.
    fn can_be_pruned(&self, record: &Record) -> bool {
        let is_dead = |id: &InstanceId| {
            let seen = self.by_id.get(id);
            self.seen.missing.contains(id) || seen.is_some_and(|s| s.machine.state == State::Terminated)
        };
        let mut named = Role::BOTH.iter().filter_map(|role| record.role(*role).instance_id.as_ref());
        let open = Role::BOTH.iter().any(|role| record.role(*role).open_attempt().is_some());
        let lives =
            |s: &ObservedMachine| s.machine.state.is_live() && standing(record, s.token.as_ref()).is_some();
        record.termination_reason.is_some()
            && has_attempts(record)
            && self.now >= quiescent_at(record, self.timing)
            && named.all(is_dead)
            && (!open || self.seen.is_whole)
            && !self.seen.machines.iter().any(lives)
    }

    fn orphans(&self, records: &BTreeMap<MeetingId, MeetingSnapshot>) -> Vec<Repair> {
        let mut repairs = Vec::new();
        for observed in self.seen.machines.iter().filter(|observed| observed.machine.state.is_live()) {
            let Some(meeting) = observed.meeting() else { continue };
            let Some(watched) = records.get(&meeting) else { continue };
            let instance = observed.instance_id().clone();
            match self.is_orphan(observed, watched) {
                Some(_) if observed.is_kept() => {}
                Some(standing) => match observed.orphan_since() {
                    // A sweep that is delivered twice must not take both steps.
                    Some(since) if self.now >= after(since, self.timing.max_effect_delay) => {
                        let standing = standing.map(|(role, token)| (meeting.clone(), role, token));
                        repairs.push(Repair::EndOrphan { instance, standing });
                    }
                    Some(_) => {}
                    None => repairs.push(Repair::Mark { instance }),
                },
                None if observed.is_marked() => repairs.push(Repair::Unmark { instance }),
                None => {}
            }
        }
        repairs
    }

    /// Forget the dead machines, and launch the missing ones, of a meeting that is on and may be launched.
    fn replace_the_dead(&self, meeting: &mut Meeting) -> Vec<Repair> {
        let (id, record) = (meeting.id.clone(), meeting.record);
        if !matches!(meeting.verdict, Verdict::On | Verdict::Revived) || !self.is_in_its_window(record) {
            return Vec::new();
        }
        let mut repairs = Vec::new();
        if meeting.verdict == Verdict::Revived {
            repairs.push(Repair::Revive { meeting: id.clone() });
        }
        let mut lost = false;
        for Dead { role, instance, reason } in self.dead(record) {
            if meeting.take_from_budget() {
                lost = true;
                repairs.push(Repair::Forget { meeting: id.clone(), role, instance, reason });
            }
        }
        let missing = lost || Role::BOTH.iter().any(|role| record.role(*role).instance_id.is_none());
        // The delivery that launched the lost machine may still hold the lease; then the launch is refused, and comes
        // again. Without a loss, a lease means that somebody is at work.
        let leased = record.lease.as_ref().is_some_and(|lease| self.now < lease.until) && !lost;
        let begun = Role::BOTH.iter().any(|role| record.role(*role).attempt.is_some());
        if missing && !leased && (begun || self.is_due(record)) {
            repairs.push(Repair::Launch { meeting: id });
        }
        repairs
    }

    /// Note how the recorded machines are, start those that are stopped, and tell which do not serve.
    fn look_after_the_living(&self, meeting: &mut Meeting) -> Vec<Repair> {
        let (id, record) = (meeting.id.clone(), meeting.record);
        // If a TERMINATED is being taken back, the next sweep looks after the meeting's machines.
        if meeting.verdict != Verdict::On {
            return Vec::new();
        }
        let mut repairs = Vec::new();
        for (role, observed) in self.recorded(record) {
            let instance = observed.instance_id().clone();
            if let Some(note) = to_note(observed, &meeting.notes[index(role)]) {
                repairs.push(Repair::Note { meeting: id.clone(), role, instance: instance.clone(), note });
            }
            let replaced =
                being_replaced(record, role, observed).filter(|_| observed.machine.state.is_live());
            if let Some(token) = replaced {
                // A delivery wrote that this machine is to be replaced, and died before the machine was ended.
                let (reason, replace) = ("it is being replaced".to_owned(), Some(token.clone()));
                repairs.push(Repair::Unready { meeting: id.clone(), role, instance, reason, replace });
            } else if self.is_to_be_started(record, observed) {
                let otherwise_replace = self.replaceable(meeting, role, observed);
                repairs.push(Repair::Start { meeting: id.clone(), role, instance, otherwise_replace });
            } else if let Some(reason) = self.unready(record, observed) {
                let wanted = self.limits.relaunch_unready || !observed.machine.state.is_up();
                let replace = wanted.then(|| self.replaceable(meeting, role, observed)).flatten();
                repairs.push(Repair::Unready { meeting: id.clone(), role, instance, reason, replace });
            }
        }
        let running: Vec<(Role, &ObservedMachine)> =
            self.recorded(record).filter(|(_, observed)| observed.machine.state == State::Running).collect();
        if let ([(_, one), (_, other)], false) = (&running[..], meeting.was_ready) {
            let since = one.launched_at.max(other.launched_at);
            let after = self.now.duration_since(since).try_into().unwrap_or_default();
            let machines = running.iter().map(|(role, s)| (*role, s.instance_id().clone())).collect();
            repairs.push(Repair::Ready { meeting: id, machines, after });
        }
        repairs
    }

    /// The attempt that made a machine which is to be replaced, if it may be. A machine that a person made, or that is
    /// kept, may not.
    fn replaceable(&self, meeting: &mut Meeting, role: Role, observed: &ObservedMachine) -> Option<Token> {
        let attempt = meeting.record.role(role).attempt.as_ref()?;
        let ours = observed.token.as_ref() == Some(&attempt.token) && !observed.is_kept();
        let may = ours && self.is_in_its_window(meeting.record) && meeting.take_from_budget();
        may.then(|| attempt.token.clone())
    }

    /// Whether somebody stopped the machine. If a start failed, EC2 gives another reason.
    fn is_to_be_started(&self, record: &Record, observed: &ObservedMachine) -> bool {
        let by_somebody = |reason: &String| reason.ends_with("InitiatedShutdown");
        observed.machine.state == State::Stopped
            && !observed.is_left_stopped()
            && !self.is_too_early(record)
            && observed.machine.state_reason.as_ref().is_none_or(by_somebody)
    }

    /// Why a machine does not serve while its meeting can be launched: it could not be started, or it is up and does
    /// not serve long after it was launched.
    fn unready(&self, record: &Record, observed: &ObservedMachine) -> Option<String> {
        if !self.is_in_its_window(record) {
            return None;
        }
        let state = observed.machine.state;
        if state == State::Stopped && !observed.is_left_stopped() {
            let reason = observed.machine.state_reason.as_deref().unwrap_or("no reason given");
            return Some(format!("it was stopped and could not be started: {reason}"));
        }
        let patient = self.now < after(observed.launched_at, self.limits.ready);
        if !state.is_up() || patient {
            return None;
        }
        let minutes = self.limits.ready.as_secs() / 60;
        if self.seen.impaired.contains(observed.instance_id()) {
            return Some("EC2's status checks of it fail".to_owned());
        }
        match &record.status {
            Some(Status::Healthy | Status::InProgress) => None,
            status => {
                let status = status.as_ref().map_or("none", Status::as_str);
                Some(format!("the status is {status} {minutes} minutes after its launch (READY_MINUTES)"))
            }
        }
    }

    fn leftovers(&self) -> (Vec<Repair>, Vec<Leftover>) {
        let (mut repairs, mut left) = (Vec::new(), Vec::new());
        for leftover in self.seen.leftovers.iter().filter(|leftover| !leftover.is_kept()) {
            let marked = leftover.orphan_since();
            match (self.limits.clean_up, marked) {
                _ if leftover.in_use => {
                    repairs.extend(marked.map(|_| Repair::UnmarkLeftover(leftover.clone())))
                }
                // Leftovers have the same grace as machines: a disk is made before it is attached, and a person may
                // have detached it.
                (true, Some(since)) if self.now >= after(since, self.limits.grace) => {
                    repairs.push(Repair::RemoveLeftover(leftover.clone()));
                }
                (true, None) => repairs.push(Repair::MarkLeftover(leftover.clone())),
                (true, Some(_)) => {}
                (false, _) => left.push(leftover.clone()),
            }
        }
        (repairs, left)
    }

    /// The machines that the record names, as they were seen.
    fn recorded<'r>(&'r self, record: &'r Record) -> impl Iterator<Item = (Role, &'r ObservedMachine)> {
        Role::BOTH.into_iter().filter_map(move |role| {
            let id = record.role(role).instance_id.as_ref()?;
            Some((role, *self.by_id.get(id)?))
        })
    }

    /// The dead among the machines that the record names: terminated, or unknown to EC2 long after their launch. A
    /// machine that is only shutting down is not among them: whoever ends a meeting on purpose may not have written so
    /// yet.
    fn dead(&self, record: &Record) -> Vec<Dead> {
        let of = |role: Role| {
            let of_role = record.role(role);
            let instance = of_role.instance_id.clone()?;
            if self.seen.missing.contains(&instance) {
                let old = of_role.launched_at.is_some_and(|at| self.now >= after(at, self.limits.grace));
                let reason = "EC2 does not know it any more".to_owned();
                return old.then_some(Dead { role, instance, reason });
            }
            let (_, observed) = self.recorded(record).find(|(of, _)| *of == role)?;
            let reason =
                observed.machine.state_reason.clone().unwrap_or_else(|| "no reason given".to_owned());
            (observed.machine.state == State::Terminated).then_some(Dead { role, instance, reason })
        };
        Role::BOTH.into_iter().filter_map(of).collect()
    }

    /// Whether EC2 says that somebody ended every machine that the record names, and we ended none of them to replace
    /// it.
    fn was_ended_by_somebody(&self, record: &Record) -> bool {
        let named = Role::BOTH.iter().filter(|role| record.role(**role).instance_id.is_some()).count();
        let ended = self.recorded(record).filter(|(role, observed)| {
            let machine = &observed.machine;
            let by_us = being_replaced(record, *role, observed).is_some();
            !machine.state.is_live() && machine.was_ended_by_somebody() && !by_us
        });
        named > 0 && ended.count() == named
    }

    /// Whether a TERMINATED is the watchdog's mistake: nobody gave a reason, a launch had begun, and the meeting can go on
    /// with the machines that it has or may still get.
    fn is_to_be_revived(&self, meeting: &Meeting) -> bool {
        let record = meeting.record;
        let left = usize::try_from(meeting.budget).unwrap_or(usize::MAX);
        let known = |id: &InstanceId| self.by_id.contains_key(id) || self.seen.missing.contains(id);
        is_unexplained(record)
            && Role::BOTH.iter().any(|role| record.role(*role) != &RoleRecord::default())
            && Role::BOTH.iter().filter_map(|role| record.role(*role).instance_id.as_ref()).all(known)
            && self.is_in_its_window(record)
            && self.dead(record).len() <= left
    }

    /// Whether a live machine is an orphan, and if so, which attempt in its record made it, if one did. A machine that
    /// a delivery may still write into the record is no orphan.
    #[expect(clippy::option_option, reason = "an orphan, and then perhaps its attempt")]
    fn is_orphan(
        &self,
        observed: &ObservedMachine,
        watched: &MeetingSnapshot,
    ) -> Option<Option<(Role, Token)>> {
        if self.now < after(observed.launched_at, self.limits.grace) {
            return None;
        }
        let record = match watched {
            MeetingSnapshot::Missing => return Some(None),
            // The record may name the machine.
            MeetingSnapshot::Unreadable(_) => return None,
            MeetingSnapshot::Stands { record, .. } => record,
        };
        let id = observed.instance_id();
        if Role::BOTH.iter().any(|role| record.role(*role).instance_id.as_ref() == Some(id)) {
            return None;
        }
        let Some((role, attempt)) = standing(record, observed.token.as_ref()) else { return Some(None) };
        let over = record.is_over() || !self.is_in_its_window(record);
        let taken = record.role(role).instance_id.is_some();
        let settled = self.now >= quiescent_at(record, self.timing);
        ((over || taken || attempt.refused) && settled).then(|| Some((role, attempt.token.clone())))
    }

    /// A record without a time is judged by its youngest machine, because somebody pays for that.
    fn is_over_by_the_clock(&self, record: &Record) -> bool {
        let since = match record.meet_time {
            MeetTime::At(time) => Some(time),
            MeetTime::Missing | MeetTime::Unreadable(_) => {
                self.recorded(record).map(|(_, observed)| observed.launched_at).max()
            }
        };
        since.is_some_and(|since| self.now > after(since, self.limits.longest_meeting))
    }

    fn is_in_its_window(&self, record: &Record) -> bool {
        match record.meet_time {
            MeetTime::At(time) => self.limits.window.contains(time, self.now),
            MeetTime::Missing | MeetTime::Unreadable(_) => false,
        }
    }

    fn is_too_early(&self, record: &Record) -> bool {
        matches!(record.meet_time, MeetTime::At(time) if self.limits.window.is_before(time, self.now))
    }

    fn is_due(&self, record: &Record) -> bool {
        match record.meet_time {
            MeetTime::At(time) => time <= after(self.now, self.limits.due),
            MeetTime::Missing | MeetTime::Unreadable(_) => false,
        }
    }
}

impl Meeting<'_> {
    /// Take one replacement from the budget; `false`: none is left.
    fn take_from_budget(&mut self) -> bool {
        let may = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        may
    }
}

fn has_attempts(record: &Record) -> bool {
    Role::BOTH.iter().any(|role| record.role(*role).attempt.is_some())
}

/// Whether the meeting is TERMINATED and nobody has said why.
fn is_unexplained(record: &Record) -> bool {
    record.termination_reason.is_none() && record.status == Some(Status::Terminated)
}

/// The attempt that made this recorded machine, if the record says that we end the machine to replace it.
fn being_replaced<'r>(record: &'r Record, role: Role, observed: &ObservedMachine) -> Option<&'r Token> {
    let attempt = record.role(role).attempt.as_ref()?;
    (attempt.ending && observed.token.as_ref() == Some(&attempt.token)).then_some(&attempt.token)
}

fn index(role: Role) -> usize {
    Role::BOTH.iter().position(|other| *other == role).unwrap_or_default()
}

/// What has to be noted about a live machine, if it is not noted already. EC2 does not know all addresses of a machine
/// that is only starting.
fn to_note(observed: &ObservedMachine, noted: &Option<Note>) -> Option<Note> {
    let state = observed.machine.state;
    let settled = matches!(state, State::Running | State::Stopping | State::Stopped);
    let note = Note { state, addresses: observed.addresses.clone() };
    (settled && noted.as_ref() != Some(&note)).then_some(note)
}

fn standing<'r>(record: &'r Record, token: Option<&Token>) -> Option<(Role, &'r Attempt)> {
    let attempts =
        Role::BOTH.into_iter().filter_map(|role| Some((role, record.role(role).attempt.as_ref()?)));
    attempts.into_iter().find(|(_, attempt)| Some(&attempt.token) == token)
}

//! What a sweep does: from the machines that EC2 showed, the records read *after* that, and the time.
//!
//! Because the records are younger than the list, a machine of the list that its record does not name was not named when
//! it was read; and a client token is random, so once its attempt no longer stands no write can name its machine any
//! more. That is what makes an orphan final, but for a person who enters its id by hand: hence the mark, the wait and the
//! second look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::fleet::{Leftover, Limits, Sighting, Watched};
use crate::machine::{Attempt, InstanceId, Note, State, Token};
use crate::meeting::{MeetingId, Role, Status, allows_launch};
use crate::plan::settled;
use crate::record::{MeetTime, Record, Seat};
use crate::timing::{Timing, after};

/// One thing to do, in the order in which they are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A meeting is over by the clock: write TERMINATED and why.
    Close { meeting: MeetingId, reason: String },
    /// Live, recorded, and its meeting is over.
    End { meeting: MeetingId, role: Role, instance: InstanceId },
    /// Marked on an earlier sweep, and still an orphan. Where its attempt stands, that is told first.
    EndOrphan { instance: InstanceId, standing: Option<(MeetingId, Role, Token)> },
    /// An orphan, seen for the first time.
    Mark { instance: InstanceId },
    /// It was marked, and is none.
    Unmark { instance: InstanceId },
    /// The watchdog took the death of a machine for the end of the meeting: its TERMINATED is taken back.
    Revive { meeting: MeetingId },
    /// A recorded machine is dead and its meeting is on: the record forgets it, and says why.
    Forget { meeting: MeetingId, role: Role, instance: InstanceId, reason: String },
    /// A role has no machine: a delivery of `launch`.
    Launch { meeting: MeetingId },
    /// A recorded machine is otherwise, or elsewhere, than its record says.
    Note { meeting: MeetingId, role: Role, instance: InstanceId, note: Note },
    /// Both machines run, for the first time, this long after the later one was launched.
    Ready { meeting: MeetingId, machines: Vec<(Role, InstanceId)>, after: Duration },
    /// It is up and does not serve. If it is to be replaced it is ended, and what is dead is forgotten by the next sweep.
    Unready { meeting: MeetingId, role: Role, instance: InstanceId, reason: String, ends: bool },
    /// A volume or network interface is attached to nothing, seen for the first time.
    MarkLeftover(Leftover),
    /// It was marked on an earlier sweep.
    RemoveLeftover(Leftover),
}

/// What EC2 showed, all of it before the records were read.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    pub machines: &'s [Sighting],
    /// Those that run and fail EC2's own checks.
    pub impaired: &'s BTreeSet<InstanceId>,
    pub leftovers: &'s [Leftover],
}

/// Everything that a sweep finds to do, and how many endings had to wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    pub repairs: Vec<Repair>,
    pub held_back: usize,
    /// Attached to nothing, and left alone.
    pub leftovers: Vec<Leftover>,
}

pub fn reconcile(
    now: Timestamp,
    Seen { machines: seen, impaired, leftovers }: Seen<'_>,
    records: &BTreeMap<MeetingId, Watched>,
    limits: &Limits,
    timing: &Timing,
) -> Repairs {
    let mut found = Repairs::default();
    let mut endings = 0;
    let mut end = |found: &mut Repairs, repair: Repair| {
        endings += 1;
        if endings > limits.endings {
            found.held_back += 1;
        } else {
            found.repairs.push(repair);
        }
    };
    for (meeting, watched) in records {
        let Watched::Stands { record, termination_reason, replaced, .. } = watched else { continue };
        let live = recorded(record, seen).filter(|(_, sighting)| sighting.machine.state.is_live());
        let live: Vec<(Role, &Sighting)> = live.filter(|(_, sighting)| !sighting.is_kept()).collect();
        let by_the_clock = is_over_by_the_clock(now, record, seen, limits);
        if by_the_clock && allows_launch(&record.status) && !live.is_empty() {
            let hours = limits.longest_meeting.as_secs() / 3600;
            let reason = format!("still on {hours} hours after its time (MAX_MEETING_HOURS)");
            found.repairs.push(Repair::Close { meeting: meeting.clone(), reason });
        }
        let over = record.status == Some(Status::Terminated)
            && !is_to_be_revived(now, record, termination_reason.as_deref(), *replaced, seen, limits);
        if over || by_the_clock {
            for (role, sighting) in live {
                let instance = sighting.instance_id().clone();
                end(&mut found, Repair::End { meeting: meeting.clone(), role, instance });
            }
        }
    }
    for sighting in seen.iter().filter(|sighting| sighting.machine.state.is_live()) {
        let Some(meeting) = sighting.meeting() else { continue };
        let Some(watched) = records.get(&meeting) else { continue };
        let instance = sighting.instance_id().clone();
        match is_orphan(now, sighting, watched, limits, timing) {
            Some(_) if sighting.is_kept() => {}
            Some(standing) => match sighting.orphan_since() {
                // One sweep that is delivered twice does not do both steps.
                Some(since) if now >= after(since, timing.margin) => {
                    let standing = standing.map(|(role, token)| (meeting.clone(), role, token));
                    end(&mut found, Repair::EndOrphan { instance, standing });
                }
                Some(_) => {}
                None => found.repairs.push(Repair::Mark { instance }),
            },
            None if sighting.is_marked() => found.repairs.push(Repair::Unmark { instance }),
            None => {}
        }
    }
    for (meeting, watched) in records {
        let Watched::Stands { record, termination_reason, replaced, .. } = watched else { continue };
        let revived = is_to_be_revived(now, record, termination_reason.as_deref(), *replaced, seen, limits);
        if !(revived || allows_launch(&record.status)) || !is_in_its_window(now, record, limits) {
            continue;
        }
        if revived {
            found.repairs.push(Repair::Revive { meeting: meeting.clone() });
        }
        let left = limits.replacements.saturating_sub(*replaced);
        let lost: Vec<(Role, &Sighting)> =
            dead(record, seen).take(usize::try_from(left).unwrap_or(usize::MAX)).collect();
        for (role, sighting) in &lost {
            let reason =
                sighting.machine.state_reason.clone().unwrap_or_else(|| "no reason given".to_owned());
            let instance = sighting.instance_id().clone();
            found.repairs.push(Repair::Forget { meeting: meeting.clone(), role: *role, instance, reason });
        }
        let lost = !lost.is_empty();
        let missing = lost || Role::BOTH.iter().any(|role| record.seat(*role).instance_id.is_none());
        // Whoever has launched the one that is lost may hold the lease still; the delivery is refused then, and comes
        // again. Otherwise a lease is somebody at work.
        let leased = record.lease.as_ref().is_some_and(|lease| now < lease.until) && !lost;
        let begun = Role::BOTH.iter().any(|role| record.seat(*role).attempt.is_some());
        if missing && !leased && (begun || is_due(now, record, limits)) {
            found.repairs.push(Repair::Launch { meeting: meeting.clone() });
        }
    }
    for (meeting, watched) in records {
        let Watched::Stands { record, replaced, notes, was_ready, .. } = watched else { continue };
        if !allows_launch(&record.status) {
            continue;
        }
        let mut left = limits.replacements.saturating_sub(*replaced);
        for (role, sighting) in recorded(record, seen) {
            let instance = sighting.instance_id().clone();
            if let Some(note) = to_note(sighting, &notes[index(role)]) {
                found.repairs.push(Repair::Note {
                    meeting: meeting.clone(),
                    role,
                    instance: instance.clone(),
                    note,
                });
            }
            let Some(reason) = unready(now, record, sighting, impaired, limits) else { continue };
            let ends = limits.relaunch_unready && left > 0 && !sighting.is_kept();
            left = left.saturating_sub(u32::from(ends));
            let repair = Repair::Unready { meeting: meeting.clone(), role, instance, reason, ends };
            if ends { end(&mut found, repair) } else { found.repairs.push(repair) }
        }
        let running = recorded(record, seen).filter(|(_, sighting)| sighting.machine.state == State::Running);
        let running: Vec<(Role, &Sighting)> = running.collect();
        if let ([(_, one), (_, other)], false) = (&running[..], was_ready) {
            let since = one.launched_at.max(other.launched_at);
            let after = now.duration_since(since).try_into().unwrap_or_default();
            let machines = running.iter().map(|(role, s)| (*role, s.instance_id().clone())).collect();
            found.repairs.push(Repair::Ready { meeting: meeting.clone(), machines, after });
        }
    }
    for leftover in leftovers.iter().filter(|leftover| !leftover.is_kept()) {
        let marked = leftover.orphan_since();
        match (limits.clean_up, marked) {
            (true, Some(since)) if now >= after(since, timing.margin) => {
                end(&mut found, Repair::RemoveLeftover(leftover.clone()));
            }
            (true, None) => found.repairs.push(Repair::MarkLeftover(leftover.clone())),
            (true, Some(_)) => {}
            (false, _) => found.leftovers.push(leftover.clone()),
        }
    }
    found
}

fn index(role: Role) -> usize {
    Role::BOTH.iter().position(|other| *other == role).unwrap_or_default()
}

/// What has to be noted of a machine that lives, if that is not noted already. Of one that is only starting EC2 does not
/// know all addresses yet.
fn to_note(sighting: &Sighting, noted: &Option<Note>) -> Option<Note> {
    let state = sighting.machine.state;
    let settled = matches!(state, State::Running | State::Stopping | State::Stopped);
    let note = Note { state, addresses: sighting.addresses.clone() };
    (settled && noted.as_ref() != Some(&note)).then_some(note)
}

/// Why a machine that is up does not serve, long after it was launched, while its meeting can be launched.
fn unready(
    now: Timestamp,
    record: &Record,
    sighting: &Sighting,
    impaired: &BTreeSet<InstanceId>,
    limits: &Limits,
) -> Option<String> {
    let up = matches!(sighting.machine.state, State::Pending | State::Running);
    let patient = now < after(sighting.launched_at, limits.ready);
    if !up || patient || !is_in_its_window(now, record, limits) {
        return None;
    }
    let minutes = limits.ready.as_secs() / 60;
    if impaired.contains(sighting.instance_id()) {
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

/// The machines that the record names, as they were seen.
fn recorded<'s>(record: &Record, seen: &'s [Sighting]) -> impl Iterator<Item = (Role, &'s Sighting)> {
    Role::BOTH.into_iter().filter_map(move |role| {
        let id = record.seat(role).instance_id.as_ref()?;
        Some((role, seen.iter().find(|sighting| sighting.instance_id() == id)?))
    })
}

/// Of these the dead. Not those that are only shutting down: whoever ends a meeting on purpose may not have written so
/// yet.
fn dead<'s>(record: &Record, seen: &'s [Sighting]) -> impl Iterator<Item = (Role, &'s Sighting)> {
    recorded(record, seen).filter(|(_, sighting)| sighting.machine.state == State::Terminated)
}

/// Whether a TERMINATED is the watchdog's mistake: nobody gave a reason, a launch had begun, and the meeting can go on with
/// the machines that it has or may still get.
fn is_to_be_revived(
    now: Timestamp,
    record: &Record,
    termination_reason: Option<&str>,
    replaced: u32,
    seen: &[Sighting],
    limits: &Limits,
) -> bool {
    let left = usize::try_from(limits.replacements.saturating_sub(replaced)).unwrap_or(usize::MAX);
    record.status == Some(Status::Terminated)
        && termination_reason.is_none()
        && Role::BOTH.iter().any(|role| record.seat(*role) != &Seat::default())
        && is_in_its_window(now, record, limits)
        && dead(record, seen).count() <= left
}

/// Whether a live machine is an orphan, and if so which attempt that still stands made it. One that a delivery may still
/// write into the record is none.
#[expect(clippy::option_option, reason = "an orphan, and then perhaps its attempt")]
fn is_orphan(
    now: Timestamp,
    sighting: &Sighting,
    watched: &Watched,
    limits: &Limits,
    timing: &Timing,
) -> Option<Option<(Role, Token)>> {
    if now < after(sighting.launched_at, limits.grace) {
        return None;
    }
    let record = match watched {
        Watched::Missing => return Some(None),
        // It may name it.
        Watched::Unreadable(_) => return None,
        Watched::Stands { record, .. } => record,
    };
    let id = sighting.instance_id();
    if Role::BOTH.iter().any(|role| record.seat(*role).instance_id.as_ref() == Some(id)) {
        return None;
    }
    let Some((role, attempt)) = standing(record, sighting.token.as_ref()) else { return Some(None) };
    let over = !allows_launch(&record.status) || !is_in_its_window(now, record, limits);
    let taken = record.seat(role).instance_id.is_some();
    let settled = now >= settled(record, timing);
    ((over || taken || attempt.refused) && settled).then(|| Some((role, attempt.token.clone())))
}

fn standing<'r>(record: &'r Record, token: Option<&Token>) -> Option<(Role, &'r Attempt)> {
    let attempts =
        Role::BOTH.into_iter().filter_map(|role| Some((role, record.seat(role).attempt.as_ref()?)));
    attempts.into_iter().find(|(_, attempt)| Some(&attempt.token) == token)
}

/// A record without a time is judged by its youngest machine: somebody pays for it.
fn is_over_by_the_clock(now: Timestamp, record: &Record, seen: &[Sighting], limits: &Limits) -> bool {
    let since = match record.meet_time {
        MeetTime::At(time) => Some(time),
        MeetTime::Missing | MeetTime::Unreadable(_) => {
            recorded(record, seen).map(|(_, sighting)| sighting.launched_at).max()
        }
    };
    since.is_some_and(|since| now > after(since, limits.longest_meeting))
}

fn is_in_its_window(now: Timestamp, record: &Record, limits: &Limits) -> bool {
    match record.meet_time {
        MeetTime::At(time) => now <= after(time, limits.launch_window),
        MeetTime::Missing | MeetTime::Unreadable(_) => false,
    }
}

fn is_due(now: Timestamp, record: &Record, limits: &Limits) -> bool {
    match record.meet_time {
        MeetTime::At(time) => time <= after(now, limits.due),
        MeetTime::Missing | MeetTime::Unreadable(_) => false,
    }
}

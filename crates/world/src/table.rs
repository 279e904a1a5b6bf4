//! DynamoDB in memory: records, and conditional writes that are atomic.

use std::collections::{BTreeMap, BTreeSet};

use elephant_core::fleet::MeetingSnapshot;
use elephant_core::machine::{Attempt, Note};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::ports::{Created, Updated};
use elephant_core::record::{Change, Failure, Lease, Lost, MeetTime, NewRecord, Record, Requires, Update};
use jiff::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub records: BTreeMap<MeetingId, Record>,
    pub failures: BTreeMap<MeetingId, Failure>,
    /// How many machines of a meeting died and were removed from the record.
    pub replaced: BTreeMap<MeetingId, u32>,
    /// The last machine of a role that died.
    pub lost: BTreeMap<(MeetingId, Role), Lost>,
    /// The notes about a role's machine.
    pub notes: BTreeMap<(MeetingId, Role), Note>,
    /// When both machines were seen running.
    pub ready: BTreeMap<MeetingId, Timestamp>,
}

impl Table {
    /// The record with all its attributes.
    pub fn delete(&mut self, id: &MeetingId) {
        self.records.remove(id);
        self.failures.remove(id);
        self.replaced.remove(id);
        self.lost.retain(|(meeting, _), _| meeting != id);
        self.notes.retain(|(meeting, _), _| meeting != id);
        self.ready.remove(id);
    }

    pub fn read_all(&self, meetings: &BTreeSet<MeetingId>) -> BTreeMap<MeetingId, MeetingSnapshot> {
        let watched = |meeting: &MeetingId| match self.records.get(meeting) {
            None => MeetingSnapshot::Missing,
            Some(record) => MeetingSnapshot::Stands {
                record: record.clone(),
                replaced: self.replaced.get(meeting).copied().unwrap_or_default(),
                notes: Role::BOTH.map(|role| self.notes.get(&(meeting.clone(), role)).cloned()),
                was_ready: self.ready.contains_key(meeting),
            },
        };
        meetings.iter().map(|meeting| (meeting.clone(), watched(meeting))).collect()
    }

    pub fn find_by_time(&self, from: Timestamp, until: Timestamp) -> BTreeSet<MeetingId> {
        let found = |record: &&Record| match (&record.status, &record.meet_time) {
            (None | Some(Status::Unknown(_)), _) => false,
            (_, MeetTime::At(time)) => from <= *time && *time <= until,
            (_, MeetTime::Missing | MeetTime::Unreadable(_)) => false,
        };
        self.records.values().filter(found).map(|record| record.meeting_id.clone()).collect()
    }

    /// Writes a new record.
    pub fn create(&mut self, new: &NewRecord) -> Created {
        if let Some(standing) = self.records.get(&new.meeting_id) {
            return Created::Exists(Box::new(standing.clone()));
        }
        let meet_time = MeetTime::At(new.meet_time.parse().expect("the event was read"));
        let meet_time_text = Some(new.meet_time.clone());
        let record = Record { meet_time, meet_time_text, ..super::scheduled(new.meeting_id.as_str()) };
        self.records.insert(new.meeting_id.clone(), record);
        Created::Done
    }

    pub fn update(&mut self, update: &Update) -> Updated {
        let found = self.records.get(&update.meeting_id);
        let ready = self.ready.contains_key(&update.meeting_id);
        if !update.requires.iter().all(|requirement| holds(requirement, found, ready)) {
            return Updated::Refused(found.cloned().map(Box::new));
        }
        // Without `Requires::Exists` an update creates what it does not find.
        let record = self.records.entry(update.meeting_id.clone()).or_insert_with(|| Record {
            status: None,
            meet_time: MeetTime::Missing,
            meet_time_text: None,
            ..super::scheduled(update.meeting_id.as_str())
        });
        for change in &update.changes {
            match change {
                Change::Lease(lease) => record.lease = Some(as_kept(lease)),
                Change::DropLease => record.lease = None,
                Change::Attempt(role, attempt) => record.role_mut(*role).attempt = Some(attempt.clone()),
                Change::Refused(role) => standing(record, *role).refused = true,
                Change::Ending(role) => standing(record, *role).ending = true,
                Change::Instance(role, machine) => {
                    let of_role = record.role_mut(*role);
                    of_role.instance_id = Some(machine.instance_id.clone());
                    of_role.launched_at = Some(to_the_millisecond(machine.launched_at));
                }
                Change::Launched => record.status = Some(Status::Launched),
                Change::Failure(failure) => {
                    self.failures.insert(update.meeting_id.clone(), failure.clone());
                }
                Change::ForgetFailure => {
                    self.failures.remove(&update.meeting_id);
                }
                Change::MeetTime(text) => {
                    record.meet_time = MeetTime::At(text.parse().expect("the event was read"));
                    record.meet_time_text = Some(text.clone());
                }
                Change::Terminated(reason) => {
                    record.status = Some(Status::Terminated);
                    record.termination_reason = Some(reason.clone());
                }
                Change::Lost(role, lost) => {
                    self.lost.insert((update.meeting_id.clone(), *role), lost.clone());
                    record.role_mut(*role).instance_id = None;
                    self.notes.remove(&(update.meeting_id.clone(), *role));
                    self.ready.remove(&update.meeting_id);
                    *self.replaced.entry(update.meeting_id.clone()).or_default() += 1;
                }
                Change::Noted(role, note) => {
                    self.notes.insert((update.meeting_id.clone(), *role), note.clone());
                }
                Change::Ready(at) => {
                    self.ready.insert(update.meeting_id.clone(), *at);
                }
                Change::Pruned => {
                    record.lease = None;
                    for role in Role::BOTH {
                        record.role_mut(role).attempt = None;
                        self.notes.remove(&(update.meeting_id.clone(), role));
                        self.lost.remove(&(update.meeting_id.clone(), role));
                    }
                    self.failures.remove(&update.meeting_id);
                    self.replaced.remove(&update.meeting_id);
                    self.ready.remove(&update.meeting_id);
                }
            }
        }
        Updated::Done
    }
}

/// The attempt that a mark is set on.
fn standing(record: &mut Record, role: Role) -> &mut Attempt {
    record.role_mut(role).attempt.as_mut().expect("UpdateItem cannot set a path inside a missing map")
}

/// The record has times to the millisecond.
fn as_kept(lease: &Lease) -> Lease {
    Lease { owner: lease.owner.clone(), until: to_the_millisecond(lease.until) }
}

fn to_the_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).expect("a time")
}

fn holds(requirement: &Requires, found: Option<&Record>, ready: bool) -> bool {
    let token = |role: Role| {
        found.and_then(|record| record.role(role).attempt.as_ref()).map(|attempt| &attempt.token)
    };
    let instance = |role: Role| found.and_then(|record| record.role(role).instance_id.as_ref());
    match requirement {
        Requires::Exists => found.is_some(),
        Requires::Lease(lease) => {
            found.and_then(|record| record.lease.as_ref().map(as_kept)) == lease.as_ref().map(as_kept)
        }
        Requires::Owner(owner) => found.is_some_and(|record| record.is_owned_by(owner)),
        Requires::Status(statuses) => statuses.contains(&found.and_then(|record| record.status.clone())),
        Requires::Instance(role, id) => instance(*role) == id.as_ref(),
        Requires::NoOtherInstance(role, id) => instance(*role).is_none_or(|standing| standing == id),
        Requires::Attempt(role, expected) => {
            let standing = found.and_then(|record| record.role(*role).attempt.as_ref());
            standing.map(|attempt| (&attempt.token, attempt.refused))
                == expected.as_ref().map(|(token, refused)| (token, *refused))
        }
        Requires::Token(role, expected) => token(*role) == Some(expected),
        Requires::NotEnding(role) => !found
            .and_then(|record| record.role(*role).attempt.as_ref())
            .is_some_and(|attempt| attempt.ending),
        Requires::MeetTime(expected) => {
            found.and_then(|record| record.meet_time_text.as_ref()) == expected.as_ref()
        }
        Requires::TerminationReason(expected) => {
            found.and_then(|record| record.termination_reason.as_ref()) == expected.as_ref()
        }
        Requires::NotReady => !ready,
    }
}

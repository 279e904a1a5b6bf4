//! The meeting's record: the attributes that we understand, and the conditional writes that change them.
//!
//! A [`Record`] is one item of the table as we read it. It has no attributes of other programs, and we never touch
//! those. An [`Update`] is one conditional write in our own words: every [`Requires`] must hold, at the moment of the
//! write, for any [`Change`] to be made. The functions below build every write, so all conditions of the launch protocol
//! are in this file; the adapter only translates them.

use jiff::Timestamp;

use crate::id::id;
use crate::machine::{Attempt, InstanceId, Note, Token};
use crate::meeting::{MeetingId, Role, Status, allows_launch};
use crate::overrides::Overrides;

/// The bytes that attributes of other programs may have if the meeting is to be launched. DynamoDB allows an item 400
/// KB; our own attributes need the rest: two attempts with user data of 16 KiB, ids, notes, and what is written when a
/// machine dies.
pub const OTHERS_LIMIT: usize = 320 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub meeting_id: MeetingId,
    pub status: Option<Status>,
    /// The reason that somebody gave for ending the meeting on purpose. Another program may write its own status over
    /// TERMINATED at any moment; the reason stays.
    pub termination_reason: Option<String>,
    pub meet_time: MeetTime,
    /// The time as it was written, if it is a text.
    pub meet_time_text: Option<String>,
    pub lease: Option<Lease>,
    pub teacher: RoleRecord,
    pub student: RoleRecord,
    /// The values that this record sets for its machines in place of the configuration, in the order of [`Role::BOTH`];
    /// or the attribute that cannot be understood, in which case nothing new is launched.
    pub overrides: [Result<Overrides, String>; 2],
}

impl Record {
    pub fn role(&self, role: Role) -> &RoleRecord {
        match role {
            Role::Teacher => &self.teacher,
            Role::Student => &self.student,
        }
    }

    pub fn role_mut(&mut self, role: Role) -> &mut RoleRecord {
        match role {
            Role::Teacher => &mut self.teacher,
            Role::Student => &mut self.student,
        }
    }

    /// Whether the meeting is over: it has a reason why it ended, or its status is TERMINATED or one that we do not
    /// know.
    pub fn is_over(&self) -> bool {
        self.termination_reason.is_some() || !allows_launch(&self.status)
    }

    pub fn is_owned_by(&self, owner: &Owner) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owner == *owner)
    }
}

/// The time of the meeting. Other programs write it, so it may be missing or unreadable; then there is no launch window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeetTime {
    Missing,
    At(Timestamp),
    /// The text that is there instead of an ISO 8601 time.
    Unreadable(String),
}

/// One role's part of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRecord {
    /// The machine's id. An empty or NULL attribute counts as missing.
    pub instance_id: Option<InstanceId>,
    /// The last attempt to launch the machine. It stays when the id is written, until the meeting is over.
    pub attempt: Option<Attempt>,
    /// When EC2 answered the machine's launch; `None` if the id was entered by hand.
    pub launched_at: Option<Timestamp>,
}

impl RoleRecord {
    /// The attempt that may have made a machine which the record does not name.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        match self.instance_id {
            Some(_) => None,
            None => self.attempt.as_ref().filter(|attempt| !attempt.refused),
        }
    }
}

id! {
    /// The owner of a lease. It is random for each delivery, because Lambda may run one event twice at once under one
    /// request id.
    Owner
}

/// The exclusive right to send RunInstances for a meeting, until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: Owner,
    pub until: Timestamp,
}

/// The reason why the last delivery failed, for the operator who reads the record. A success removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    pub code: String,
    pub at: Timestamp,
}

/// The machine of a role as the record keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub instance_id: InstanceId,
    pub availability_zone: String,
    pub instance_type: String,
    pub launched_at: Timestamp,
}

/// A machine that died while its meeting went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub instance_id: InstanceId,
    /// EC2's StateReason.
    pub reason: String,
    pub at: Timestamp,
}

/// One conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub meeting_id: MeetingId,
    pub requires: Vec<Requires>,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requires {
    /// The record exists: an update would otherwise create one for a meeting that was deleted.
    Exists,
    /// The lease is the one that was read, or there is still none.
    Lease(Option<Lease>),
    /// The lease is this delivery's, whatever its end is.
    Owner(Owner),
    /// The status is one of these; `None` means that there is none.
    Status(Vec<Option<Status>>),
    /// The role's machine is the one that was read, or there is still none.
    Instance(Role, Option<InstanceId>),
    /// The role has no machine yet, or this one.
    NoOtherInstance(Role, InstanceId),
    /// The role's attempt is the one that was read, by its token and by whether it was refused, or there is still none.
    Attempt(Role, Option<(Token, bool)>),
    /// The role's attempt has this token.
    Token(Role, Token),
    /// The machine of the role's attempt is not being ended.
    NotEnding(Role),
    /// The meeting's time is the one that was read, as the same text, or there is still none.
    MeetTime(Option<String>),
    /// The reason why the meeting ended is the one that was read, or there is still none.
    TerminationReason(Option<String>),
    /// No delivery has written that both machines run.
    NotReady,
}

impl Requires {
    /// The meeting is not over: its status is one that [`allows_launch`], and there is no reason why it ended.
    fn meeting_is_on() -> [Self; 2] {
        let statuses = [Status::BEFORE_LAUNCHED, Status::BEYOND_LAUNCHED].concat();
        [Requires::Status(statuses), Requires::TerminationReason(None)]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are five in a write, and a box would only hide the attempt"
)]
pub enum Change {
    Lease(Lease),
    DropLease,
    Attempt(Role, Attempt),
    /// The role's attempt is marked as refused.
    Refused(Role),
    /// The machine of the role's attempt is marked as being ended.
    Ending(Role),
    Instance(Role, Recorded),
    Launched,
    Failure(Failure),
    ForgetFailure,
    /// The meeting is at another time, as the text of the request has it.
    MeetTime(String),
    /// The meeting is over, and why.
    Terminated(String),
    /// The role's machine and its notes are removed, and the mark that the meeting is ready. What happened to the
    /// machine is written and counted.
    Lost(Role, Lost),
    /// The state and the addresses of the role's machine.
    Noted(Role, Note),
    /// Both machines were seen running at this time.
    Ready(Timestamp),
    /// Attempts, lease, last failure, notes and losses are removed.
    Pruned,
}

/// A new record: `SCHEDULED`, with the attributes that the other programs need.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    pub meeting_id: MeetingId,
    pub meet_time: String,
    pub created_at: Timestamp,
    /// None of them has one of our names.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// Take the lease and write the attempts, provided that nothing which the plan relies on has changed since it was read.
pub fn claim(read: &Record, lease: Lease, attempts: &[(Role, Attempt)]) -> Update {
    let mut requires = unchanged(read);
    // One that was moved away meanwhile is not launched: whoever finds that out says that nothing of it can come.
    if read.meet_time_text.is_some() || read.meet_time == MeetTime::Missing {
        requires.push(Requires::MeetTime(read.meet_time_text.clone()));
    }
    let mut changes = vec![Change::Lease(lease)];
    changes.extend(attempts.iter().map(|(role, attempt)| Change::Attempt(*role, attempt.clone())));
    Update { meeting_id: read.meeting_id.clone(), requires, changes }
}

/// Lease, status, reason, ids and attempts are as they were read.
fn unchanged(read: &Record) -> Vec<Requires> {
    let mut requires = vec![
        Requires::Exists,
        Requires::Lease(read.lease.clone()),
        Requires::Status(vec![read.status.clone()]),
        Requires::TerminationReason(read.termination_reason.clone()),
    ];
    for role in Role::BOTH {
        let of_role = read.role(role);
        requires.push(Requires::Instance(role, of_role.instance_id.clone()));
        // An attempt may change, or be marked as refused, under one and the same lease: an old one would be written
        // over a new one, or one be sent again that the next delivery takes for dead.
        let attempt = of_role.attempt.as_ref().map(|attempt| (attempt.token.clone(), attempt.refused));
        requires.push(Requires::Attempt(role, attempt));
    }
    requires
}

/// Move the end of our own lease, on condition that the lease is the one that we know. Otherwise the earlier of two
/// renewals could arrive last and set the end back without the sender's knowledge.
pub fn renew(meeting_id: &MeetingId, current: Lease, until: Timestamp) -> Update {
    let lease = Lease { owner: current.owner.clone(), until };
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![Requires::Exists, Requires::Lease(Some(current))],
        changes: vec![Change::Lease(lease)],
    }
}

/// Take the lease that was read from its owner. The owner can then neither renew it nor write another attempt. The
/// lease's end stays: what was sent under it is settled after that end, as before.
pub fn take_lease(read: &Record, owner: Owner) -> Option<Update> {
    let lease = read.lease.clone()?;
    let until = lease.until;
    Some(Update {
        meeting_id: read.meeting_id.clone(),
        requires: vec![Requires::Exists, Requires::Lease(Some(lease))],
        changes: vec![Change::Lease(Lease { owner, until })],
    })
}

/// Replace an attempt that can have no machine any more by the next attempt.
pub fn next_attempt(
    meeting_id: &MeetingId,
    owner: &Owner,
    role: Role,
    last: &Token,
    next: Attempt,
) -> Update {
    next_attempts(meeting_id, owner, &[(role, last, next)])
}

/// Do the same for both roles at once, or for neither, so that a pair never moves to another zone with one machine only.
pub fn next_attempts(meeting_id: &MeetingId, owner: &Owner, next: &[(Role, &Token, Attempt)]) -> Update {
    let mut requires = vec![Requires::Exists, Requires::Owner(owner.clone())];
    for (role, last, _) in next {
        requires.push(Requires::Token(*role, (*last).clone()));
        requires.push(Requires::Instance(*role, None));
    }
    requires.extend(Requires::meeting_is_on());
    let changes = next.iter().map(|(role, _, next)| Change::Attempt(*role, next.clone())).collect();
    Update { meeting_id: meeting_id.clone(), requires, changes }
}

/// Whether the write of an id also moves the status to LAUNCHED, or leaves a later status as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusMove {
    ToLaunched,
    Keep,
}

impl StatusMove {
    /// The choice that fits the status that was read last.
    pub fn from_status(status: &Option<Status>) -> Self {
        if Status::BEYOND_LAUNCHED.contains(status) { StatusMove::Keep } else { StatusMove::ToLaunched }
    }
}

/// Write the id of the machine that the role's attempt made. There is no condition that the lease is ours: a late answer
/// to the right attempt is still right.
pub fn instance(
    meeting_id: &MeetingId,
    role: Role,
    token: &Token,
    machine: Recorded,
    status: StatusMove,
) -> Update {
    let mut changes = vec![Change::ForgetFailure];
    let statuses = match status {
        StatusMove::ToLaunched => {
            changes.push(Change::Launched);
            Status::BEFORE_LAUNCHED
        }
        StatusMove::Keep => Status::BEYOND_LAUNCHED,
    };
    let requires = vec![
        Requires::Exists,
        Requires::Token(role, token.clone()),
        Requires::NotEnding(role),
        Requires::NoOtherInstance(role, machine.instance_id.clone()),
        Requires::Status(statuses.to_vec()),
        Requires::TerminationReason(None),
    ];
    changes.push(Change::Instance(role, machine));
    Update { meeting_id: meeting_id.clone(), requires, changes }
}

/// Write that the machine of the role's attempt is going to be ended, before the machine is touched. After that no late
/// answer can write its id, and a delivery that takes the lease ends the machine first. So a meeting whose status
/// another program changes during the clean-up is not left with a dead machine.
pub fn end(meeting_id: &MeetingId, role: Role, token: &Token) -> Update {
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![
            Requires::Exists,
            Requires::Token(role, token.clone()),
            Requires::Instance(role, None),
        ],
        changes: vec![Change::Ending(role)],
    }
}

/// Write why nothing more is tried, mark the attempts that EC2 refused, and release the lease if none of our attempts is
/// open. If an attempt is open the lease stays: a later delivery treats the attempt as unanswered until the lease ends.
pub fn give_up(
    meeting_id: &MeetingId,
    owner: &Owner,
    failure: Failure,
    refused: &[(Role, Token)],
    nothing_open: bool,
) -> Update {
    let mut requires = vec![Requires::Exists, Requires::Owner(owner.clone())];
    let mut changes = vec![Change::Failure(failure)];
    for (role, token) in refused {
        requires.push(Requires::Token(*role, token.clone()));
        changes.push(Change::Refused(*role));
    }
    if nothing_open {
        changes.push(Change::DropLease);
    }
    Update { meeting_id: meeting_id.clone(), requires, changes }
}

/// Write why a delivery failed before it claimed anything.
pub fn report(read: &Record, failure: Failure) -> Update {
    Update {
        meeting_id: read.meeting_id.clone(),
        requires: vec![Requires::Exists, Requires::Lease(read.lease.clone())],
        changes: vec![Change::Failure(failure)],
    }
}

/// Move a meeting to another time, unless it is over. Of two moves at once, the one that is written last counts.
pub fn move_to(meeting_id: &MeetingId, meet_time: &str) -> Update {
    let [status, reason] = Requires::meeting_is_on();
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![Requires::Exists, status, reason],
        changes: vec![Change::MeetTime(meet_time.to_owned())],
    }
}

/// End a meeting that has no machine, none that may still appear, and no delivery at work, provided that this is still
/// so.
pub fn cancel(read: &Record, reason: &str) -> Update {
    Update {
        meeting_id: read.meeting_id.clone(),
        requires: unchanged(read),
        changes: vec![Change::Terminated(reason.to_owned())],
    }
}

/// End a meeting, provided that status and reason are still those that were read. An existing reason is kept. A meeting
/// that is over without a reason gets one too; otherwise `reconcile` could take its status for the watchdog's mistake.
pub fn terminate(read: &Record, reason: &str) -> Update {
    let reason = read.termination_reason.clone().unwrap_or_else(|| reason.to_owned());
    Update {
        meeting_id: read.meeting_id.clone(),
        requires: vec![
            Requires::Exists,
            Requires::Status(vec![read.status.clone()]),
            Requires::TerminationReason(read.termination_reason.clone()),
        ],
        changes: vec![Change::Terminated(reason)],
    }
}

/// Write that the role's machine, which the record names, is going to be ended and replaced, before it is touched. So
/// nobody takes its end for the end of the meeting. Its id is removed when it is dead.
pub fn replace(meeting_id: &MeetingId, role: Role, token: &Token, instance: &InstanceId) -> Update {
    let [status, reason] = Requires::meeting_is_on();
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![
            Requires::Exists,
            Requires::Token(role, token.clone()),
            Requires::Instance(role, Some(instance.clone())),
            status,
            reason,
        ],
        changes: vec![Change::Ending(role)],
    }
}

/// Remove what only a launch needs from the record of a meeting that is over for a reason, whose machines are dead and
/// whose attempts can have no effect any more. Ids, zones, types and times of launch stay for the operator.
pub fn prune(read: &Record) -> Update {
    let mut requires = unchanged(read);
    requires.retain(|requirement| !matches!(requirement, Requires::Status(_)));
    Update { meeting_id: read.meeting_id.clone(), requires, changes: vec![Change::Pruned] }
}

/// Remove a dead machine from the record, so that the next delivery launches another. The attempt that made it is marked
/// as refused: its token is used up, and it can make no machine any more.
pub fn forget(read: &Record, role: Role, lost: Lost) -> Update {
    let mut requires = vec![Requires::Exists, Requires::Instance(role, Some(lost.instance_id.clone()))];
    requires.extend(Requires::meeting_is_on());
    let mut changes = vec![Change::Lost(role, lost)];
    if let Some(attempt) = &read.role(role).attempt {
        requires.push(Requires::Token(role, attempt.token.clone()));
        changes.push(Change::Refused(role));
    }
    Update { meeting_id: read.meeting_id.clone(), requires, changes }
}

/// Write the state of the role's machine, provided that it still is the role's machine.
pub fn note(meeting_id: &MeetingId, role: Role, instance: &InstanceId, note: Note) -> Update {
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![Requires::Exists, Requires::Instance(role, Some(instance.clone()))],
        changes: vec![Change::Noted(role, note)],
    }
}

/// Write, once, that both machines run, provided that they are still the meeting's machines.
pub fn ready(meeting_id: &MeetingId, machines: &[(Role, InstanceId)], at: Timestamp) -> Update {
    let mut requires = vec![Requires::Exists, Requires::NotReady];
    requires.extend(machines.iter().map(|(role, id)| Requires::Instance(*role, Some(id.clone()))));
    Update { meeting_id: meeting_id.clone(), requires, changes: vec![Change::Ready(at)] }
}

/// Undo a TERMINATED without a reason: the watchdog took the death of a machine for the end of the meeting. This is the
/// only write that moves a status back.
pub fn revive(meeting_id: &MeetingId) -> Update {
    Update {
        meeting_id: meeting_id.clone(),
        requires: vec![
            Requires::Exists,
            Requires::Status(vec![Some(Status::Terminated)]),
            Requires::TerminationReason(None),
        ],
        changes: vec![Change::Launched],
    }
}

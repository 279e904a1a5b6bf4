//! What ending a meeting takes next: from its record as it was read last, and what this delivery has done already.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::machine::{InstanceId, Token};
use crate::meeting::{Role, Status};
use crate::plan::quiescent_at;
use crate::record::Record;
use crate::timing::Timing;

/// The next step; after each the record is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Write that the meeting is over, and why.
    Close,
    /// Take the lease from whoever launches the meeting.
    TakeLease,
    /// End the machines that the record names.
    Terminate(Vec<(Role, InstanceId)>),
    /// End what these attempts made, which the record does not name.
    Settle(Vec<(Role, Token)>),
    /// A machine may still come of an attempt until then.
    Wait(Timestamp),
    Done,
}

/// What a delivery has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// We have written that the meeting is over.
    pub closed: bool,
    /// It was asked of EC2 that these end.
    pub terminated: BTreeSet<InstanceId>,
    /// What these attempts made could not be looked for, or not be ended.
    pub failed: BTreeSet<Sent>,
    /// Of these attempts, under a lease with this end, every machine that could come has come, and was ended.
    pub settled: BTreeSet<Sent>,
    /// These were looked at while one could still come.
    pub looked_at: BTreeSet<Sent>,
}

/// An attempt, and until when it could be sent.
pub type Sent = (Token, Option<Timestamp>);

pub fn sent(record: &Record, token: &Token) -> Sent {
    (token.clone(), record.lease.as_ref().map(|lease| lease.until))
}

/// Every delivery of `end` takes the lease in this name: none of them sends a launch, so they need not be told apart.
pub const OWNER: &str = "end";

/// Status and reason come first: from then on no delivery of `launch` claims the meeting, nor records a machine for it. Then,
/// where an attempt is open, the lease: from then on none can be renewed, so none is sent once it is over, and a look
/// after that is the last word on the attempt.
pub fn next(record: &Record, done: &Done, now: Timestamp, timing: &Timing) -> Next {
    // The reason is what stays: another program may write its status over ours again and again.
    if record.termination_reason.is_none() || (!done.closed && record.status != Some(Status::Terminated)) {
        return Next::Close;
    }
    let named = |role: Role| Some((role, record.role(role).instance_id.clone()?));
    let mut live: Vec<(Role, InstanceId)> = Role::BOTH.into_iter().filter_map(named).collect();
    live.retain(|(_, id)| !done.terminated.contains(id));
    if !live.is_empty() {
        return Next::Terminate(live);
    }
    let open = |role: Role| Some((role, record.role(role).open_attempt()?.token.clone()));
    let mut open: Vec<(Role, Token)> = Role::BOTH.into_iter().filter_map(open).collect();
    open.retain(|(_, token)| {
        let sent = sent(record, token);
        !done.settled.contains(&sent) && !done.failed.contains(&sent)
    });
    if open.is_empty() {
        return Next::Done;
    }
    if record.lease.as_ref().is_some_and(|lease| lease.owner.as_str() != OWNER) {
        return Next::TakeLease;
    }
    let until = quiescent_at(record, timing);
    if now < until && open.iter().all(|(_, token)| done.looked_at.contains(&sent(record, token))) {
        return Next::Wait(until);
    }
    Next::Settle(open)
}

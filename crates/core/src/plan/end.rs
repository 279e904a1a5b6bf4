//! What `end` does next, from the meeting's record as it was read last, and from what this delivery has done already.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::machine::{InstanceId, Token};
use crate::meeting::{Role, Status};
use crate::plan::quiescent_at;
use crate::record::Record;
use crate::timing::Timing;

/// The next step. After each step the record is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Write that the meeting is over, and why.
    Close,
    /// Take the lease from whoever launches the meeting.
    TakeLease,
    /// End the machines that the record names.
    Terminate(Vec<(Role, InstanceId)>),
    /// End the machines that these attempts made and the record does not name.
    Settle(Vec<(Role, Token)>),
    /// An attempt may still make a machine until this time.
    Wait(Timestamp),
    Done,
}

/// What a delivery has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// We have written that the meeting is over.
    pub closed: bool,
    /// EC2 was asked to end these.
    pub terminated: BTreeSet<InstanceId>,
    /// The machines of these attempts could not be looked for, or not be ended.
    pub failed: BTreeSet<Sent>,
    /// Every machine that could come of these attempts, under a lease with this end, has come and was ended.
    pub settled: BTreeSet<Sent>,
    /// These attempts were looked at while a machine could still come.
    pub looked_at: BTreeSet<Sent>,
}

/// The token of an attempt, and until when it could be sent.
pub type Sent = (Token, Option<Timestamp>);

pub fn sent(record: &Record, token: &Token) -> Sent {
    (token.clone(), record.lease.as_ref().map(|lease| lease.until))
}

/// Every delivery of `end` takes the lease in this name: none of them sends a launch, so nobody has to tell them apart.
pub const OWNER: &str = "end";

/// Status and reason come first: from then on no delivery of `launch` claims the meeting, or records a machine for it.
/// Then, if an attempt is open, the lease is taken: from then on no launch can renew it, so none is sent once the lease
/// is over, and a look after that is final for the attempt.
pub fn next(record: &Record, done: &Done, now: Timestamp, timing: &Timing) -> Next {
    // Only the reason stays: another program may write its status over ours again and again.
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

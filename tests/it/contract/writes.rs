//! Every conditional write of `record.rs`, each with a record that it fits, what it makes of that, and records that it does
//! not fit.

use elephant_core::meeting::{Role, Status};
use elephant_core::record::{self, MeetTime, Owner, Record, RoleRecord, StatusMove, Update};

use Role::{Student, Teacher};

use super::Stage;
use super::samples::*;

pub struct Write {
    pub name: &'static str,
    pub fits: Record,
    pub update: Update,
    pub after: Other,
    pub unfit: Vec<(&'static str, Other)>,
}

/// How a record came to be another.
type Other = fn(&mut Record);

const OWNER_CHANGED: Other = |r| r.lease = Some(lease("you", 30));
const LEASE_GONE: Other = |r| r.lease = None;
const OVER: Other = |r| r.status = Some(Status::Terminated);
const ENDED: Other = |r| r.termination_reason = Some("ended".into());
const UNKNOWN: Other = |r| r.status = Some(Status::Unknown("Cancelled".into()));
const NO_ATTEMPT: Other = |r| r.student.attempt = None;
const OTHER_ATTEMPT: Other = |r| r.student.attempt = Some(full_attempt(&r.meeting_id, Student, "token-9"));
const OTHER_MACHINE: Other = |r| r.student.instance_id = Some(id("i-9"));
const FOLLOWED: Other = |r| r.student.attempt = Some(plain_attempt(&r.meeting_id, Student, "token-3"));
const ENDING: Other = |r| r.student.attempt.as_mut().expect("an attempt").ending = true;
const A_MACHINE: Other = |r| r.teacher.instance_id = Some(id("i-1"));
const AN_ATTEMPT: Other = |r| r.student.attempt = Some(plain_attempt(&r.meeting_id, Student, "token-9"));
const NO_MACHINE_OF_THE_TEACHER: Other = |r| r.teacher.instance_id = None;
const ANOTHER_MACHINE_OF_THE_TEACHER: Other = |r| r.teacher.instance_id = Some(id("i-9"));
const ANOTHER_ATTEMPT_OF_THE_TEACHER: Other =
    |r| r.teacher.attempt = Some(plain_attempt(&r.meeting_id, Teacher, "token-9"));
pub const MOVED: Other =
    |r| (r.meet_time, r.meet_time_text) = (MeetTime::At(at(900)), Some(at(900).to_string()));
pub const CANCELLED: Other =
    |r| (r.status, r.termination_reason) = (Some(Status::Terminated), Some("ill".into()));
pub const PRUNED: Other = |r| (r.lease, r.teacher.attempt, r.student.attempt) = (None, None, None);

pub fn every_write(stage: &impl Stage) -> Vec<Write> {
    [
        of_schedule(stage),
        of_claims(stage),
        of_attempts(stage),
        of_ids(stage),
        of_sweeps(stage),
        of_ends(stage),
        of_failures(stage),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn next_attempt(stage: &impl Stage) -> Update {
    let m = &meeting(stage);
    let next = plain_attempt(m, Student, "token-3");
    record::next_attempt(m, &Owner::from("me"), Student, &token("token-2"), next)
}

/// What `schedule` writes.
fn of_schedule(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let new = scheduled(stage);
    let old = half_done(stage);
    vec![
        Write {
            name: "the move",
            fits: old.clone(),
            update: record::move_to(m, &at(900).to_string()),
            after: MOVED,
            unfit: vec![("a meeting that is over", OVER), ("an unknown status", UNKNOWN)],
        },
        Write {
            name: "the cancellation",
            fits: new.clone(),
            update: record::cancel(&new, "ill"),
            after: CANCELLED,
            unfit: vec![
                ("a lease", OWNER_CHANGED),
                ("a machine", A_MACHINE),
                ("an attempt", AN_ATTEMPT),
                ("a meeting that is over", OVER),
                ("an unknown status", UNKNOWN),
            ],
        },
    ]
}

/// Who holds the lease.
fn of_claims(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let new = scheduled(stage);
    let old = half_done(stage);
    let fresh =
        [(Teacher, plain_attempt(m, Teacher, "token-3")), (Student, full_attempt(m, Student, "token-4"))];
    vec![
        Write {
            name: "the claim of a new meeting",
            fits: new.clone(),
            update: record::claim(&new, lease("me", 30), &fresh),
            after: |r| {
                r.lease = Some(lease("me", 30));
                r.teacher.attempt = Some(plain_attempt(&r.meeting_id, Teacher, "token-3"));
                r.student.attempt = Some(full_attempt(&r.meeting_id, Student, "token-4"));
            },
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("over", OVER),
                ("ended", ENDED),
                ("at another time", MOVED),
                ("moved on", |r| r.status = Some(Status::Launched)),
                ("no status", |r| r.status = None),
                ("another's attempt", OTHER_ATTEMPT),
                ("another's machine", OTHER_MACHINE),
            ],
        },
        Write {
            name: "the claim of a meeting that others have worked on",
            fits: old.clone(),
            update: record::claim(&old, lease("you", 60), &[]),
            after: |r| r.lease = Some(lease("you", 60)),
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("renewed", |r| r.lease = Some(lease("me", 31))),
                ("no lease", LEASE_GONE),
                ("over", OVER),
                ("another attempt", OTHER_ATTEMPT),
                ("no attempt", NO_ATTEMPT),
                ("the attempt is refused", |r| r.student.attempt.as_mut().expect("one").refused = true),
                ("another's machine", OTHER_MACHINE),
                ("no machine", NO_MACHINE_OF_THE_TEACHER),
                ("another machine", ANOTHER_MACHINE_OF_THE_TEACHER),
            ],
        },
        Write {
            name: "the renewal",
            fits: old.clone(),
            update: record::renew(m, lease("me", 30), at(60)),
            after: |r| r.lease = Some(lease("me", 60)),
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("renewed before", |r| r.lease = Some(lease("me", 45))),
                ("no lease", LEASE_GONE),
            ],
        },
        Write {
            name: "the lease that whoever ends the meeting takes",
            fits: old.clone(),
            update: record::take_lease(&old, Owner::from("end")).expect("there is one"),
            after: |r| r.lease.as_mut().expect("one").owner = Owner::from("end"),
            unfit: vec![("another's lease", OWNER_CHANGED), ("no lease", LEASE_GONE)],
        },
    ]
}

/// What is written before an attempt is sent, and before its machine is ended.
fn of_attempts(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let me = &Owner::from("me");
    let old = half_done(stage);
    let healthy = Record { status: Some(Status::Healthy), ..old.clone() };
    let pair = Record { teacher: RoleRecord { instance_id: None, ..old.teacher.clone() }, ..old.clone() };
    vec![
        Write {
            name: "the next attempt",
            fits: old.clone(),
            update: next_attempt(stage),
            after: FOLLOWED,
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("no lease", LEASE_GONE),
                ("over", OVER),
                ("ended", ENDED),
                ("an unknown status", UNKNOWN),
                ("another attempt", OTHER_ATTEMPT),
                ("no attempt", NO_ATTEMPT),
                ("a machine", OTHER_MACHINE),
            ],
        },
        Write {
            name: "the next attempts of a pair",
            fits: pair.clone(),
            update: record::next_attempts(
                m,
                me,
                &[
                    (Teacher, &token("token-1"), plain_attempt(m, Teacher, "token-3")),
                    (Student, &token("token-2"), full_attempt(m, Student, "token-4")),
                ],
            ),
            after: |r| {
                r.teacher.attempt = Some(plain_attempt(&r.meeting_id, Teacher, "token-3"));
                r.student.attempt = Some(full_attempt(&r.meeting_id, Student, "token-4"));
            },
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("no lease", LEASE_GONE),
                ("over", OVER),
                ("another attempt of one role", OTHER_ATTEMPT),
                ("no attempt of one role", NO_ATTEMPT),
                ("a machine of one role", OTHER_MACHINE),
                ("a machine of the other", A_MACHINE),
            ],
        },
        Write {
            name: "the next attempt after the status moved on",
            fits: healthy.clone(),
            update: next_attempt(stage),
            after: FOLLOWED,
            unfit: vec![("over", OVER)],
        },
        Write {
            name: "the end",
            fits: old.clone(),
            update: record::end(m, Student, &token("token-2")),
            after: ENDING,
            unfit: vec![
                ("another attempt", OTHER_ATTEMPT),
                ("no attempt", NO_ATTEMPT),
                ("a machine", OTHER_MACHINE),
            ],
        },
    ]
}

/// What is written of a machine that was launched.
fn of_ids(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let old = half_done(stage);
    let healthy = Record { status: Some(Status::Healthy), ..old.clone() };
    vec![
        Write {
            name: "the id",
            fits: Record { status: Some(Status::Scheduled), ..old.clone() },
            update: record::instance(
                m,
                Student,
                &token("token-2"),
                recorded("i-3"),
                StatusMove::from_status(&None),
            ),
            after: |r| {
                r.status = Some(Status::Launched);
                r.student.instance_id = Some(id("i-3"));
                r.student.launched_at = Some(at(5));
            },
            unfit: vec![
                ("the status moved on", |r| r.status = Some(Status::DnsWritten)),
                ("over", OVER),
                ("ended", ENDED),
                ("an unknown status", UNKNOWN),
                ("another attempt", OTHER_ATTEMPT),
                ("no attempt", NO_ATTEMPT),
                ("its end is written", ENDING),
                ("another machine", OTHER_MACHINE),
            ],
        },
        Write {
            name: "the id, again and under another's lease",
            fits: {
                let mut record = Record { status: None, lease: Some(lease("you", 30)), ..old.clone() };
                record.student.instance_id = Some(id("i-3"));
                record
            },
            update: record::instance(m, Student, &token("token-2"), recorded("i-3"), StatusMove::ToLaunched),
            after: |r| {
                r.status = Some(Status::Launched);
                r.student.launched_at = Some(at(5));
            },
            unfit: vec![],
        },
        Write {
            name: "the id beyond LAUNCHED",
            fits: healthy.clone(),
            update: record::instance(m, Student, &token("token-2"), recorded("i-3"), StatusMove::Keep),
            after: |r| {
                r.student.instance_id = Some(id("i-3"));
                r.student.launched_at = Some(at(5));
            },
            unfit: vec![
                ("no status", |r| r.status = None),
                ("not beyond", |r| r.status = Some(Status::Launched)),
                ("over", OVER),
                ("ended", ENDED),
                ("an unknown status", UNKNOWN),
            ],
        },
        Write {
            name: "a note",
            fits: old.clone(),
            update: record::note(m, Teacher, &id("i-1"), noted()),
            after: |_| {},
            unfit: vec![
                ("no machine", NO_MACHINE_OF_THE_TEACHER),
                ("another machine", ANOTHER_MACHINE_OF_THE_TEACHER),
            ],
        },
        Write {
            name: "both machines run",
            fits: old.clone(),
            update: record::ready(m, &[(Teacher, id("i-1"))], at(60)),
            after: |_| {},
            unfit: vec![("another machine", ANOTHER_MACHINE_OF_THE_TEACHER)],
        },
    ]
}

/// What `reconcile` writes.
fn of_sweeps(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let old = half_done(stage);
    let by_hand = Record { teacher: RoleRecord { attempt: None, ..old.teacher.clone() }, ..old.clone() };
    vec![
        Write {
            name: "that a machine is to be replaced",
            fits: old.clone(),
            update: record::replace(m, Teacher, &token("token-1"), &id("i-1")),
            after: |r| r.teacher.attempt.as_mut().expect("one").ending = true,
            unfit: vec![
                ("over", OVER),
                ("ended", ENDED),
                ("no machine", NO_MACHINE_OF_THE_TEACHER),
                ("another machine", ANOTHER_MACHINE_OF_THE_TEACHER),
                ("another attempt", ANOTHER_ATTEMPT_OF_THE_TEACHER),
            ],
        },
        Write {
            name: "a machine that is lost",
            fits: old.clone(),
            update: record::forget(&old, Teacher, lost("i-1")),
            after: |r| {
                r.teacher.instance_id = None;
                r.teacher.attempt.as_mut().expect("one").refused = true;
            },
            unfit: vec![
                ("no machine", NO_MACHINE_OF_THE_TEACHER),
                ("another machine", ANOTHER_MACHINE_OF_THE_TEACHER),
                ("another attempt", ANOTHER_ATTEMPT_OF_THE_TEACHER),
                ("over", OVER),
                ("ended", ENDED),
                ("an unknown status", UNKNOWN),
            ],
        },
        Write {
            name: "a machine of somebody's own that is lost",
            fits: by_hand.clone(),
            update: record::forget(&by_hand, Teacher, lost("i-1")),
            after: |r| r.teacher.instance_id = None,
            unfit: vec![("another machine", ANOTHER_MACHINE_OF_THE_TEACHER)],
        },
        Write {
            name: "the revival",
            fits: Record { status: Some(Status::Terminated), ..old.clone() },
            update: record::revive(m),
            after: |r| r.status = Some(Status::Launched),
            unfit: vec![
                ("a meeting that is on", |r| r.status = Some(Status::Healthy)),
                ("ended", ENDED),
                ("an unknown status", UNKNOWN),
            ],
        },
    ]
}

/// What `end` writes, and what is taken away after it.
fn of_ends(stage: &impl Stage) -> Vec<Write> {
    let old = half_done(stage);
    let gone = Record { termination_reason: Some("over".into()), ..old.clone() };
    vec![
        Write {
            name: "the end on purpose",
            fits: old.clone(),
            update: record::terminate(&old, "the teacher left"),
            after: |r| {
                r.status = Some(Status::Terminated);
                r.termination_reason = Some("the teacher left".into());
            },
            unfit: vec![("over", OVER), ("an unknown status", UNKNOWN), ("ended", ENDED)],
        },
        Write {
            name: "that nothing of a launch is left",
            fits: gone.clone(),
            update: record::prune(&gone),
            after: PRUNED,
            unfit: vec![
                ("no reason", |r| r.termination_reason = None),
                ("another lease", OWNER_CHANGED),
                ("another attempt", OTHER_ATTEMPT),
                ("a machine", OTHER_MACHINE),
            ],
        },
    ]
}

/// What is written of a launch that failed.
fn of_failures(stage: &impl Stage) -> Vec<Write> {
    let m = &meeting(stage);
    let me = &Owner::from("me");
    let new = scheduled(stage);
    let old = half_done(stage);
    let both_refused = [(Teacher, token("token-1")), (Student, token("token-2"))];
    vec![
        Write {
            name: "giving up with an attempt open",
            fits: old.clone(),
            update: record::give_up(m, me, failure("why"), &[(Student, token("token-2"))], false),
            after: |r| r.student.attempt.as_mut().expect("one").refused = true,
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("no lease", LEASE_GONE),
                ("another attempt", OTHER_ATTEMPT),
                ("no attempt", NO_ATTEMPT),
            ],
        },
        Write {
            name: "giving up with nothing open",
            fits: old.clone(),
            update: record::give_up(m, me, failure("why"), &both_refused, true),
            after: |r| {
                r.lease = None;
                r.teacher.attempt.as_mut().expect("one").refused = true;
                r.student.attempt.as_mut().expect("one").refused = true;
            },
            unfit: vec![
                ("another's lease", OWNER_CHANGED),
                ("another attempt", OTHER_ATTEMPT),
                ("another attempt of the other's", ANOTHER_ATTEMPT_OF_THE_TEACHER),
            ],
        },
        Write {
            name: "giving up with nothing refused",
            fits: Record { status: Some(Status::Terminated), ..old.clone() },
            update: record::give_up(m, me, failure("why"), &[], true),
            after: |r| r.lease = None,
            unfit: vec![("another's lease", OWNER_CHANGED)],
        },
        Write {
            name: "the report",
            fits: old.clone(),
            update: record::report(&old, failure("why")),
            after: |_| {},
            unfit: vec![("another's lease", OWNER_CHANGED), ("no lease", LEASE_GONE)],
        },
        Write {
            name: "the report about a meeting without a lease",
            fits: new.clone(),
            update: record::report(&new, failure("why")),
            after: |_| {},
            unfit: vec![("a lease", OWNER_CHANGED)],
        },
    ]
}

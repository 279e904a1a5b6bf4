//! What a sweep does: as a table, from machines, records and the time to repairs; and as stories, against the world in
//! memory, with the real engine's launches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elephant_core::fleet::{
    Counted, KEEP_TAG, Leftover, LeftoverKind, Limits, MeetingSnapshot, ORPHAN_TAG, ObservedMachine,
    STOPPED_TAG,
};
use elephant_core::machine::{Addresses, Attempt, InstanceId, Machine, Note, ROLE_TAG, State, Token, tags};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::overrides::Overrides;
use elephant_core::plan::reconcile::{Repair, Repairs, Seen, reconcile, to_look_at};
use elephant_core::record::{Lease, MeetTime, Owner, Record, RoleRecord};
use elephant_core::timing::Timing;
use jiff::Timestamp;

use Role::{Student, Teacher};
use elephant_world::attempt::plain_attempt;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const LIMITS: Limits = Limits { endings: 3, ..elephant_world::sweep::LIMITS };

fn meet_time() -> Timestamp {
    "2026-01-05T10:00:00Z".parse().expect("a time")
}

fn meeting() -> MeetingId {
    MeetingId::new("m").expect("an id")
}

fn id(of: &str) -> InstanceId {
    InstanceId::from(format!("i-{of}"))
}

/// A live machine of the meeting, launched a quarter of an hour before it by the token of the same name.
fn machine(of: &str, role: Role) -> ObservedMachine {
    ObservedMachine {
        machine: Machine {
            instance_id: id(of),
            state: State::Running,
            state_reason: None,
            tags: tags(&meeting(), role, "Elephant"),
        },
        token: Some(Token::from(format!("token-{of}"))),
        launched_at: meet_time() - 15 * MINUTE,
        addresses: Addresses::default(),
    }
}

fn dead(of: &str, role: Role) -> ObservedMachine {
    let mut dead = machine(of, role);
    dead.machine.state = State::Terminated;
    dead.machine.state_reason = Some("Server.SpotInstanceTermination".into());
    dead
}

fn tagged(mut observed: ObservedMachine, key: &str, value: &str) -> ObservedMachine {
    observed.machine.tags.insert(key.into(), value.into());
    observed
}

fn marked(observed: ObservedMachine, at: Timestamp) -> ObservedMachine {
    tagged(observed, ORPHAN_TAG, &at.to_string())
}

fn attempt(of: &str, role: Role) -> Attempt {
    plain_attempt(&meeting(), role, &format!("token-{of}"))
}

fn of_role(of: &str, role: Role) -> RoleRecord {
    let launched_at = Some(meet_time() - 15 * MINUTE);
    RoleRecord { instance_id: Some(id(of)), attempt: Some(attempt(of, role)), launched_at }
}

/// Both machines stand in it.
fn record() -> Record {
    Record {
        meeting_id: meeting(),
        status: Some(Status::Launched),
        termination_reason: None,
        meet_time: MeetTime::At(meet_time()),
        meet_time_text: Some(meet_time().to_string()),
        lease: None,
        teacher: of_role("teacher", Teacher),
        student: of_role("student", Student),
        overrides: Overrides::none(),
    }
}

fn both() -> [ObservedMachine; 2] {
    [machine("teacher", Teacher), machine("student", Student)]
}

fn stands(record: Record) -> MeetingSnapshot {
    watched(record, None, 0)
}

/// With everything noted that there is to note.
fn watched(record: Record, termination_reason: Option<&str>, replaced: u32) -> MeetingSnapshot {
    let record = Record { termination_reason: termination_reason.map(Into::into), ..record };
    let note = Note { state: State::Running, addresses: Addresses::default() };
    MeetingSnapshot::Stands { record, replaced, notes: [Some(note.clone()), Some(note)], was_ready: true }
}

fn ended(reason: Option<&str>) -> MeetingSnapshot {
    let record = Record { status: Some(Status::Terminated), ..record() };
    watched(record, reason, 0)
}

fn sweep(now: Timestamp, seen: &[ObservedMachine], watched: MeetingSnapshot) -> Vec<Repair> {
    sweep_without(now, seen, &[], watched)
}

/// Where EC2 says of these that they do not exist.
fn sweep_without(
    now: Timestamp,
    seen: &[ObservedMachine],
    missing: &[&str],
    watched: MeetingSnapshot,
) -> Vec<Repair> {
    let records = BTreeMap::from([(meeting(), watched)]);
    let missing = missing.iter().map(|of| id(of)).collect();
    let seen = Seen { missing: &missing, ..all(seen, &NONE) };
    reconcile(now, seen, &records, &LIMITS, &Timing::DEFAULT).repairs
}

static NONE: BTreeSet<InstanceId> = BTreeSet::new();

/// A whole list, of these machines and nothing else.
fn all<'s>(machines: &'s [ObservedMachine], impaired: &'s BTreeSet<InstanceId>) -> Seen<'s> {
    Seen { machines, missing: &NONE, is_whole: true, impaired, leftovers: &[] }
}

fn end(of: &str, role: Role) -> Repair {
    Repair::End { meeting: meeting(), role, instance: id(of) }
}

fn mark(of: &str) -> Repair {
    Repair::Mark { instance: id(of) }
}

fn forget(of: &str, role: Role) -> Repair {
    let reason = "Server.SpotInstanceTermination".into();
    Repair::Forget { meeting: meeting(), role, instance: id(of), reason }
}

fn revive() -> Repair {
    Repair::Revive { meeting: meeting() }
}

fn prune() -> Repair {
    Repair::Prune { meeting: meeting() }
}

fn launch() -> Repair {
    Repair::Launch { meeting: meeting() }
}

mod orphans {
    use super::*;

    #[test]
    fn what_the_record_names_is_left_alone() {
        assert_eq!(sweep(meet_time(), &both(), stands(record())), []);
    }

    #[test]
    fn what_it_does_not_name_is_marked_and_on_the_next_sweep_ended() {
        let [teacher, student] = both();
        let other = machine("other", Teacher);
        let now = meet_time();
        assert_eq!(
            sweep(now, &[teacher.clone(), student.clone(), other.clone()], stands(record())),
            [mark("other")]
        );
        let again = [teacher.clone(), student.clone(), marked(other.clone(), now)];
        let next = now + 5 * MINUTE;
        let gone = Repair::EndOrphan { instance: id("other"), standing: None };
        assert_eq!(sweep(next, &again, stands(record())), [gone]);
        assert_eq!(
            sweep(now + Duration::from_secs(1), &again, stands(record())),
            [],
            "the same sweep, delivered twice"
        );
        let unreadable = tagged(other, ORPHAN_TAG, "yesterday");
        assert_eq!(sweep(next, &[unreadable], stands(record())), [mark("other")], "marked anew");
    }

    #[test]
    fn a_machine_whose_record_was_deleted_is_one() {
        assert_eq!(sweep(meet_time(), &both(), MeetingSnapshot::Missing), [mark("teacher"), mark("student")]);
    }

    #[test]
    fn a_young_one_is_left_for_its_grace() {
        let mut young = machine("other", Teacher);
        young.launched_at = meet_time() - 9 * MINUTE;
        assert_eq!(sweep(meet_time(), std::slice::from_ref(&young), MeetingSnapshot::Missing), []);
        assert_eq!(sweep(meet_time() + MINUTE, &[young], MeetingSnapshot::Missing), [mark("other")]);
    }

    #[test]
    fn one_that_is_to_be_kept_is_kept_even_when_it_is_marked() {
        let kept = tagged(machine("other", Teacher), KEEP_TAG, "");
        assert_eq!(sweep(meet_time(), std::slice::from_ref(&kept), MeetingSnapshot::Missing), []);
        let marked = marked(kept, meet_time() - HOUR);
        assert_eq!(sweep(meet_time(), &[marked], MeetingSnapshot::Missing), []);
    }

    #[test]
    fn one_that_is_none_any_more_loses_its_mark() {
        let [teacher, _] = both();
        let seen = [marked(teacher, meet_time() - HOUR)];
        assert_eq!(sweep(meet_time(), &seen, stands(record())), [Repair::Unmark { instance: id("teacher") }]);
    }

    #[test]
    fn one_that_somebody_has_begun_to_end_is_ended() {
        let mut half_ended = machine("other", Teacher);
        half_ended.machine.tags.remove(ROLE_TAG);
        assert_eq!(sweep(meet_time(), &[half_ended], stands(record())), [mark("other")]);
    }

    #[test]
    fn what_is_dead_or_of_another_tag_is_not_touched() {
        let mut foreign = machine("other", Teacher);
        foreign.machine.tags.remove("MeetingID");
        assert_eq!(sweep(meet_time(), &[foreign, dead("gone", Teacher)], MeetingSnapshot::Missing), []);
    }

    #[test]
    fn a_record_that_cannot_be_read_may_name_it() {
        assert_eq!(sweep(meet_time(), &both(), MeetingSnapshot::Unreadable("teacher_attempt".into())), []);
    }

    /// The student's attempt has a machine, and the record does not name it.
    fn unrecorded(change: impl Fn(&mut Record)) -> MeetingSnapshot {
        let mut record = record();
        record.student.instance_id = None;
        change(&mut record);
        stands(record)
    }

    #[test]
    fn a_machine_that_a_delivery_may_still_record_is_none_and_the_meeting_is_launched() {
        let [_, student] = both();
        let seen = [student];
        assert_eq!(sweep(meet_time(), &seen, unrecorded(|_| ())), [launch()]);
    }

    #[test]
    fn after_the_window_or_the_end_of_the_meeting_it_is_one_and_its_attempt_is_told() {
        let [_, student] = both();
        let over = |record: &mut Record| record.status = Some(Status::Terminated);
        let seen = [student.clone()];
        let MeetingSnapshot::Stands { record, .. } = unrecorded(over) else { unreachable!() };
        let ended = watched(record, Some("the teacher left"), 0);
        assert_eq!(sweep(meet_time(), &seen, ended), [mark("student")]);
        let late = meet_time() + 3 * HOUR;
        assert_eq!(sweep(late, &seen, unrecorded(|_| ())), [mark("student")]);
        let marked = [marked(student, late - 5 * MINUTE)];
        let standing = Some((meeting(), Student, Token::from("token-student")));
        assert_eq!(
            sweep(late, &marked, unrecorded(|_| ())),
            [Repair::EndOrphan { instance: id("student"), standing }]
        );
    }

    #[test]
    fn while_a_delivery_may_be_at_work_on_it_nobody_ends_it() {
        let [_, student] = both();
        let late = meet_time() + 3 * HOUR;
        let seen = [marked(student, late - HOUR)];
        let leased = |until: Timestamp| {
            move |record: &mut Record| record.lease = Some(Lease { owner: Owner::from("me"), until })
        };
        let settled = Timing::DEFAULT.skew + Timing::DEFAULT.max_effect_delay;
        let before = leased(late - settled + Duration::from_millis(1));
        assert_eq!(sweep(late, &seen, unrecorded(before)), [Repair::Unmark { instance: id("student") }]);
        assert!(matches!(
            sweep(late, &seen, unrecorded(leased(late - settled)))[..],
            [Repair::EndOrphan { .. }]
        ));
    }

    #[test]
    fn a_second_machine_of_a_role_is_one_though_its_attempt_stands() {
        let mut record = record();
        record.teacher.instance_id = Some(id("by-hand"));
        let standing = Some((meeting(), Teacher, Token::from("token-teacher")));
        let seen = [marked(machine("teacher", Teacher), meet_time() - HOUR)];
        assert_eq!(
            sweep(meet_time(), &seen, stands(record)),
            [Repair::EndOrphan { instance: id("teacher"), standing }]
        );
    }
}

mod meetings_that_are_over {
    use super::*;

    #[test]
    fn the_machines_of_one_that_was_ended_on_purpose_are_ended() {
        let expected = [end("teacher", Teacher), end("student", Student)];
        assert_eq!(sweep(meet_time(), &both(), ended(Some("the teacher left"))), expected);
    }

    #[test]
    fn one_that_the_watchdog_took_for_over_is_revived_while_its_machines_live() {
        assert_eq!(sweep(meet_time(), &both(), ended(None)), [revive()]);
        let late = meet_time() + 2 * HOUR + MINUTE;
        let expected = [end("teacher", Teacher), end("student", Student)];
        assert_eq!(sweep(late, &both(), ended(None)), expected, "but not after the window");
    }

    #[test]
    fn one_that_has_lost_more_machines_than_may_be_replaced_is_over_for_the_other_too() {
        let [_, student] = both();
        let seen = [dead("teacher", Teacher), student];
        let record = Record { status: Some(Status::Terminated), ..record() };
        let after = |replaced| watched(record.clone(), None, replaced);
        assert_eq!(sweep(meet_time(), &seen, after(2)), [end("student", Student)]);
        assert_eq!(sweep(meet_time(), &both(), after(2)), [revive()], "the last replacement lives");
        assert_eq!(sweep(meet_time(), &seen, after(1)), [revive(), forget("teacher", Teacher), launch()]);
    }

    #[test]
    fn one_that_lasts_too_long_is_closed_and_its_machines_end() {
        let now = meet_time() + 8 * HOUR + Duration::from_secs(1);
        let reason = "still on 8 hours after its time (MAX_MEETING_HOURS)".to_owned();
        let close = Repair::Close { meeting: meeting(), reason };
        let expected = [close, end("teacher", Teacher), end("student", Student)];
        assert_eq!(sweep(now, &both(), stands(record())), expected);
        assert_eq!(sweep(meet_time() + 8 * HOUR, &both(), stands(record())), []);
        assert_eq!(sweep(now, &both(), ended(None)), expected[1..]);
        assert_eq!(sweep(now, &[dead("teacher", Teacher)], stands(record())), [], "nobody pays for it");
    }

    #[test]
    fn one_without_a_time_is_judged_by_its_youngest_machine() {
        let timeless = Record { meet_time: MeetTime::Missing, ..record() };
        let [teacher, mut student] = both();
        student.launched_at = meet_time();
        let seen = [teacher, student];
        assert_eq!(sweep(meet_time() + 8 * HOUR, &seen, stands(timeless.clone())), []);
        assert_eq!(sweep(meet_time() + 9 * HOUR, &seen, stands(timeless)).len(), 3);
    }

    #[test]
    fn what_is_to_be_kept_is_kept() {
        let [teacher, student] = both();
        let seen = [tagged(teacher, KEEP_TAG, "for the exam"), student];
        assert_eq!(sweep(meet_time(), &seen, ended(Some("over"))), [end("student", Student)]);
    }

    #[test]
    fn a_status_that_we_do_not_know_ends_nothing_before_its_time() {
        let odd = Record { status: Some(Status::Unknown("PAUSED".into())), ..record() };
        assert_eq!(sweep(meet_time(), &both(), stands(odd)), []);
    }

    #[test]
    fn a_reason_is_the_end_whatever_status_another_program_writes_over_it() {
        for status in [Status::Launched, Status::DnsWritten, Status::Healthy, Status::InProgress] {
            let over = watched(Record { status: Some(status), ..record() }, Some("the teacher left"), 0);
            let expected = [end("teacher", Teacher), end("student", Student)];
            assert_eq!(sweep(meet_time(), &both(), over.clone()), expected);
            let seen = [dead("teacher", Teacher), dead("student", Student)];
            assert_eq!(sweep(meet_time(), &seen, over), [prune()], "and no other is launched");
        }
    }

    /// Both dead, and for this reason.
    fn ended_by(reason: &str) -> [ObservedMachine; 2] {
        let mut dead = [dead("teacher", Teacher), dead("student", Student)];
        dead.iter_mut().for_each(|s| s.machine.state_reason = Some(reason.into()));
        dead
    }

    #[test]
    fn one_whose_machines_somebody_ended_without_a_word_is_over_and_says_why() {
        let somebody = "Client.UserInitiatedShutdown";
        let reason = "its machines were ended, says EC2, and nobody said why".to_owned();
        let close = Repair::Close { meeting: meeting(), reason };
        let said = sweep(meet_time(), &ended_by(somebody), ended(None));
        assert_eq!(said, std::slice::from_ref(&close));
        let mut going = ended_by(somebody);
        going[1].machine.state = State::ShuttingDown;
        assert_eq!(sweep(meet_time(), &going, ended(None)), [close], "on their way");
        let [teacher, _] = ended_by(somebody);
        let expected = [
            revive(),
            Repair::Forget {
                meeting: meeting(),
                role: Teacher,
                instance: id("teacher"),
                reason: somebody.into(),
            },
            launch(),
        ];
        assert_eq!(
            sweep(meet_time(), &[teacher, machine("student", Student)], ended(None)),
            expected,
            "one alone"
        );
        let [teacher, _] = ended_by(somebody);
        assert_eq!(sweep(meet_time(), &[teacher], ended(None)), [], "the other cannot be seen");
        let mut ours = record();
        ours.teacher.attempt.as_mut().expect("one").ending = true;
        ours.status = Some(Status::Terminated);
        let repairs = sweep(meet_time(), &ended_by(somebody), stands(ours));
        assert_eq!(repairs.first(), Some(&revive()), "one was ended by us, to replace it");
    }

    #[test]
    fn the_record_of_one_is_made_small_once_nothing_of_it_can_come() {
        let over = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            watched(record, Some("over"), 0)
        };
        let gone = [dead("teacher", Teacher), dead("student", Student)];
        assert_eq!(sweep(meet_time(), &gone, over(|_| ())), [prune()]);
        assert_eq!(sweep_without(meet_time(), &[], &["teacher", "student"], over(|_| ())), [prune()]);
        assert_eq!(sweep(meet_time(), &gone[..1], over(|_| ())), [], "of one nothing is known");
        let leased = |r: &mut Record| r.lease = Some(Lease { owner: Owner::from("me"), until: meet_time() });
        assert_eq!(sweep(meet_time(), &gone, over(leased)), [], "a launch may be on the wire");
        let bare = |r: &mut Record| (r.teacher.attempt, r.student.attempt) = (None, None);
        assert_eq!(sweep(meet_time(), &gone, over(bare)), [], "there is nothing to remove");
        assert_eq!(sweep(meet_time(), &gone, ended(None)).first(), Some(&revive()), "nobody said why");
    }
}

mod machines_that_died {
    use super::*;

    #[test]
    fn one_is_forgotten_with_its_reason_and_launched_again() {
        let [_, student] = both();
        let seen = [dead("teacher", Teacher), student];
        assert_eq!(sweep(meet_time(), &seen, stands(record())), [forget("teacher", Teacher), launch()]);
    }

    #[test]
    fn both_are_launched_by_one_delivery() {
        let seen = [dead("teacher", Teacher), dead("student", Student)];
        let expected = [forget("teacher", Teacher), forget("student", Student), launch()];
        assert_eq!(sweep(meet_time(), &seen, stands(record())), expected);
    }

    #[test]
    fn the_lease_of_the_delivery_that_launched_it_keeps_nobody_waiting() {
        let [_, student] = both();
        let lease = Lease { owner: Owner::from("me"), until: meet_time() + MINUTE };
        let leased = Record { lease: Some(lease), ..record() };
        let seen = [dead("teacher", Teacher), student];
        assert_eq!(sweep(meet_time(), &seen, stands(leased)), [forget("teacher", Teacher), launch()]);
    }

    #[test]
    fn one_is_launched_again_long_before_the_meeting_is_due() {
        let seen = [dead("teacher", Teacher), machine("student", Student)];
        let expected = [forget("teacher", Teacher), launch()];
        assert_eq!(sweep(meet_time() - 10 * MINUTE, &seen, stands(record())), expected);
    }

    #[test]
    fn one_that_the_watchdog_took_for_the_end_is_launched_again_too() {
        let [_, student] = both();
        let seen = [dead("teacher", Teacher), student];
        assert_eq!(sweep(meet_time(), &seen, ended(None)), [revive(), forget("teacher", Teacher), launch()]);
    }

    #[test]
    fn of_a_meeting_that_was_ended_on_purpose_none_is() {
        let seen = [dead("teacher", Teacher), dead("student", Student)];
        assert_eq!(sweep(meet_time(), &seen, ended(Some("over"))), [prune()]);
    }

    #[test]
    fn one_that_is_only_shutting_down_may_be_ended_by_somebody_who_has_not_said_so_yet() {
        let [_, student] = both();
        let mut going = dead("teacher", Teacher);
        going.machine.state = State::ShuttingDown;
        assert_eq!(sweep(meet_time(), &[going, student], stands(record())), []);
    }

    #[test]
    fn none_outside_the_window_and_no_more_than_were_allowed() {
        let seen = [dead("teacher", Teacher), dead("student", Student)];
        let late = meet_time() + 2 * HOUR + Duration::from_secs(1);
        assert_eq!(sweep(late, &seen, stands(record())), []);
        let replaced = |replaced| watched(record(), None, replaced);
        assert_eq!(sweep(meet_time(), &seen, replaced(2)), []);
        let one = [forget("teacher", Teacher), launch()];
        assert_eq!(sweep(meet_time(), &seen, replaced(1)), one);
    }

    #[test]
    fn what_ec2_does_not_show_is_not_taken_for_dead() {
        assert_eq!(sweep(meet_time(), &[], stands(record())), []);
    }

    #[test]
    fn what_ec2_does_not_know_any_more_is_dead_long_after_its_launch() {
        let [_, student] = both();
        let gone = Repair::Forget {
            meeting: meeting(),
            role: Teacher,
            instance: id("teacher"),
            reason: "EC2 does not know it any more".into(),
        };
        let seen = std::slice::from_ref(&student);
        let missing = |now, watched| sweep_without(now, seen, &["teacher"], watched);
        assert_eq!(missing(meet_time(), stands(record())), [gone.clone(), launch()]);
        assert_eq!(missing(meet_time(), ended(None)), [revive(), gone, launch()]);
        let young = meet_time() - 15 * MINUTE + LIMITS.grace - Duration::from_secs(1);
        assert_eq!(missing(young, stands(record())), [], "it may have come up a moment ago");
        let mut by_hand = record();
        by_hand.teacher.launched_at = None;
        assert_eq!(missing(meet_time(), stands(by_hand)), [], "somebody entered its id");
        assert_eq!(missing(meet_time(), ended(Some("over"))), [end("student", Student)]);
    }

    #[test]
    fn what_is_looked_at_by_its_id_is_what_may_have_to_be_replaced_or_pruned() {
        let asked = |record: &Record, listed: &[&str]| {
            let listed: Vec<InstanceId> = listed.iter().map(|of| id(of)).collect();
            to_look_at(meet_time(), record, &listed.iter().collect(), &LIMITS)
        };
        let terminated = |reason: Option<&str>| Record {
            status: Some(Status::Terminated),
            termination_reason: reason.map(Into::into),
            ..record()
        };
        let both = ["teacher", "student"].map(id);
        assert_eq!(asked(&record(), &["teacher"]), [id("student")]);
        assert_eq!(asked(&record(), &["teacher", "student"]), []);
        assert_eq!(asked(&terminated(None), &["teacher", "student"]), both, "younger than what was written");
        assert_eq!(asked(&terminated(Some("over")), &[]), both, "attempts are left");
        let pruned = |of: &str| RoleRecord { attempt: None, ..of_role(of, Teacher) };
        let pruned =
            Record { teacher: pruned("teacher"), student: pruned("student"), ..terminated(Some("over")) };
        assert_eq!(asked(&pruned, &[]), []);
        let long_ago = MeetTime::At(meet_time() - LIMITS.longest_meeting - Duration::from_secs(1));
        assert_eq!(asked(&Record { meet_time: long_ago, ..record() }, &[]), []);
    }
}

mod machines_that_are_stopped {
    use super::*;

    fn stopped(reason: Option<&str>) -> ObservedMachine {
        let mut stopped = machine("student", Student);
        stopped.machine.state = State::Stopped;
        stopped.machine.state_reason = reason.map(Into::into);
        stopped
    }

    fn judged(now: Timestamp, stopped: ObservedMachine, watched: MeetingSnapshot) -> Vec<Repair> {
        let mut repairs = sweep(now, &[machine("teacher", Teacher), stopped], watched);
        repairs.retain(|repair| !matches!(repair, Repair::Note { .. }));
        repairs
    }

    fn start(replace: bool) -> Repair {
        let otherwise_replace = replace.then(|| Token::from("token-student"));
        Repair::Start { meeting: meeting(), role: Student, instance: id("student"), otherwise_replace }
    }

    const SOMEBODY: Option<&str> = Some("Client.UserInitiatedShutdown");

    #[test]
    fn are_started_while_their_meeting_is_on() {
        for reason in [SOMEBODY, Some("Client.InstanceInitiatedShutdown"), None] {
            assert_eq!(judged(meet_time(), stopped(reason), stands(record())), [start(true)]);
        }
        let late = meet_time() + 3 * HOUR;
        assert_eq!(
            judged(late, stopped(SOMEBODY), stands(record())),
            [start(false)],
            "nothing can be launched"
        );
        assert_eq!(judged(meet_time(), stopped(SOMEBODY), watched(record(), None, 2)), [start(false)]);
        let early = meet_time() - 25 * HOUR;
        assert_eq!(judged(early, stopped(SOMEBODY), stands(record())), []);
        let mut stopping = stopped(SOMEBODY);
        stopping.machine.state = State::Stopping;
        assert_eq!(judged(meet_time(), stopping, stands(record())), [], "not yet");
    }

    #[test]
    fn are_left_alone_where_somebody_wants_that() {
        for tag in [STOPPED_TAG, KEEP_TAG] {
            let left = tagged(stopped(SOMEBODY), tag, "by operate");
            assert_eq!(judged(meet_time(), left, stands(record())), [], "{tag}");
        }
        let started = tagged(stopped(SOMEBODY), STOPPED_TAG, "");
        assert_eq!(judged(meet_time(), started, stands(record())), [start(true)]);
    }

    #[test]
    fn are_replaced_where_a_start_has_failed() {
        let unready = |replace: bool| Repair::Unready {
            meeting: meeting(),
            role: Student,
            instance: id("student"),
            reason: "it was stopped and could not be started: Client.InternalError".into(),
            replace: replace.then(|| Token::from("token-student")),
        };
        let failed = || stopped(Some("Client.InternalError"));
        assert_eq!(judged(meet_time(), failed(), stands(record())), [unready(true)]);
        assert_eq!(judged(meet_time(), failed(), watched(record(), None, 2)), [unready(false)]);
        let mut by_hand = record();
        by_hand.student.attempt = None;
        assert_eq!(judged(meet_time(), failed(), stands(by_hand)), [unready(false)], "it is a person's own");
    }

    #[test]
    fn are_ended_where_that_was_said_and_not_done() {
        let mut replaced = record();
        replaced.student.attempt.as_mut().expect("one").ending = true;
        let repairs = judged(meet_time(), stopped(SOMEBODY), stands(replaced));
        assert!(matches!(&repairs[..], [Repair::Unready { replace: Some(_), .. }]), "{repairs:?}");
    }
}

mod meetings_without_machines {
    use super::*;

    fn bare() -> Record {
        Record {
            status: Some(Status::Scheduled),
            teacher: RoleRecord::default(),
            student: RoleRecord::default(),
            ..record()
        }
    }

    #[test]
    fn one_that_is_due_is_launched() {
        for now in [meet_time() - 5 * MINUTE, meet_time() + 2 * HOUR] {
            assert_eq!(sweep(now, &[], stands(bare())), [launch()]);
        }
    }

    #[test]
    fn one_that_is_not_due_yet_or_not_any_more_is_not() {
        for now in [meet_time() - 6 * MINUTE, meet_time() + 2 * HOUR + MINUTE] {
            assert_eq!(sweep(now, &[], stands(bare())), []);
        }
    }

    #[test]
    fn one_that_a_delivery_is_at_work_on_is_left_to_it() {
        let lease = Lease { owner: Owner::from("me"), until: meet_time() + MINUTE };
        let leased = Record { lease: Some(lease), ..bare() };
        assert_eq!(sweep(meet_time(), &[], stands(leased.clone())), []);
        assert_eq!(sweep(meet_time() + MINUTE, &[], stands(leased)), [launch()]);
    }

    #[test]
    fn one_that_is_over_or_has_no_time_is_not() {
        let over = Record { status: Some(Status::Terminated), ..bare() };
        assert_eq!(sweep(meet_time(), &[], stands(over)), []);
        let timeless = Record { meet_time: MeetTime::Unreadable("soon".into()), ..bare() };
        assert_eq!(sweep(meet_time(), &[], stands(timeless)), []);
    }
}

mod machines_that_run {
    use super::*;

    fn unnoted(change: impl Fn(&mut MeetingSnapshot)) -> MeetingSnapshot {
        let mut unnoted = stands(record());
        if let MeetingSnapshot::Stands { notes, was_ready, .. } = &mut unnoted {
            (*notes, *was_ready) = ([None, None], false);
        }
        change(&mut unnoted);
        unnoted
    }

    fn note(of: &str, role: Role, state: State) -> Repair {
        let note = Note { state, addresses: Addresses::default() };
        Repair::Note { meeting: meeting(), role, instance: id(of), note }
    }

    fn ready(after: Duration) -> Repair {
        let machines = vec![(Teacher, id("teacher")), (Student, id("student"))];
        Repair::Ready { meeting: meeting(), machines, after }
    }

    #[test]
    fn are_noted_and_once_both_run_the_meeting_is_ready() {
        let now = meet_time() - 14 * MINUTE;
        let expected = [
            note("teacher", Teacher, State::Running),
            note("student", Student, State::Running),
            ready(MINUTE),
        ];
        assert_eq!(sweep(now, &both(), unnoted(|_| ())), expected);
        let [teacher, mut student] = both();
        student.machine.state = State::Pending;
        let expected = [note("teacher", Teacher, State::Running)];
        assert_eq!(sweep(now, &[teacher, student], unnoted(|_| ())), expected, "it has no address yet");
        assert_eq!(sweep(now, &both(), stands(record())), [], "all of it is said");
    }

    #[test]
    fn are_noted_anew_where_they_are_otherwise() {
        let [teacher, mut student] = both();
        student.addresses.public_ip = Some("203.0.113.7".into());
        let seen = [teacher, student.clone()];
        let Repair::Note { note, .. } = sweep(meet_time(), &seen, stands(record())).remove(0) else {
            panic!("it is noted")
        };
        assert_eq!(note.addresses, student.addresses);
        student.machine.state = State::Stopped;
        student.addresses = Addresses::default();
        assert_eq!(
            sweep(meet_time(), &[student.clone()], stands(record())).first(),
            Some(&self::note("student", Student, State::Stopped))
        );
        assert_eq!(sweep(meet_time(), &[dead("student", Student)], ended(Some("over"))), [], "it is over");
    }
}

mod machines_that_do_not_serve {
    use super::*;

    const PATIENT: Limits = Limits { ready: Duration::from_secs(900), ..LIMITS };
    const RELAUNCHING: Limits = Limits { relaunch_unready: true, ..PATIENT };

    fn judged(now: Timestamp, watched: MeetingSnapshot, impaired: &[&str], limits: &Limits) -> Vec<Repair> {
        let records = BTreeMap::from([(meeting(), watched)]);
        let impaired = impaired.iter().map(|of| id(of)).collect();
        reconcile(now, all(&both(), &impaired), &records, limits, &Timing::DEFAULT).repairs
    }

    fn unready(of: &str, role: Role, reason: &str, ends: bool) -> Repair {
        let replace = ends.then(|| Token::from(format!("token-{of}")));
        Repair::Unready { meeting: meeting(), role, instance: id(of), reason: reason.into(), replace }
    }

    const STILL: &str = "the status is LAUNCHED 15 minutes after its launch (READY_MINUTES)";
    const IMPAIRED: &str = "EC2's status checks of it fail";

    fn healthy() -> MeetingSnapshot {
        stands(Record { status: Some(Status::Healthy), ..record() })
    }

    #[test]
    fn are_told_once_their_time_is_over() {
        let before = meet_time() - Duration::from_secs(1);
        assert_eq!(judged(before, stands(record()), &["teacher"], &PATIENT), []);
        let both = [unready("teacher", Teacher, STILL, false), unready("student", Student, STILL, false)];
        assert_eq!(judged(meet_time(), stands(record()), &[], &PATIENT), both);
        assert_eq!(judged(meet_time(), healthy(), &[], &PATIENT), []);
        let impaired = [unready("student", Student, IMPAIRED, false)];
        assert_eq!(judged(meet_time(), healthy(), &["student"], &PATIENT), impaired);
        let late = meet_time() + 3 * HOUR;
        assert_eq!(judged(late, healthy(), &["student"], &PATIENT), [], "nothing can be launched any more");
    }

    #[test]
    fn are_replaced_if_that_is_wanted_and_no_more_than_may_be() {
        let ended = [unready("teacher", Teacher, STILL, true), unready("student", Student, STILL, true)];
        assert_eq!(judged(meet_time(), stands(record()), &[], &RELAUNCHING), ended);
        let one = [unready("teacher", Teacher, STILL, true), unready("student", Student, STILL, false)];
        assert_eq!(judged(meet_time(), watched(record(), None, 1), &[], &RELAUNCHING), one);
        // One budget for the dead and for those that do not serve.
        let seen = [dead("teacher", Teacher), machine("student", Student)];
        let records = BTreeMap::from([(meeting(), watched(record(), None, 1))]);
        let seen = all(&seen, &NONE);
        let repairs = reconcile(meet_time(), seen, &records, &RELAUNCHING, &Timing::DEFAULT).repairs;
        let expected = [forget("teacher", Teacher), launch(), unready("student", Student, STILL, false)];
        assert_eq!(repairs, expected);
    }
}

mod what_is_left_over {
    use super::*;

    fn swept(now: Timestamp, leftover: &Leftover, clean_up: bool) -> Repairs {
        let limits = Limits { clean_up, ..LIMITS };
        let leftovers = [leftover.clone()];
        let seen = Seen { leftovers: &leftovers, ..all(&[], &NONE) };
        reconcile(now, seen, &BTreeMap::new(), &limits, &Timing::DEFAULT)
    }

    fn volume(tags: &[(&str, &str)]) -> Leftover {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Leftover { kind: LeftoverKind::Volume, id: "vol-1".into(), in_use: false, tags }
    }

    #[test]
    fn is_listed_and_with_clean_up_marked_and_then_removed() {
        let bare = volume(&[]);
        let told = swept(meet_time(), &bare, false);
        assert_eq!((told.repairs, told.leftovers), (vec![], vec![bare.clone()]));
        assert_eq!(swept(meet_time(), &bare, true).repairs, [Repair::MarkLeftover(bare)]);
        let marked = volume(&[(ORPHAN_TAG, &meet_time().to_string())]);
        assert_eq!(swept(meet_time() + Duration::from_secs(1), &marked, true).repairs, []);
        assert_eq!(swept(meet_time() + 5 * MINUTE, &marked, true).repairs, [], "it has its grace, too");
        let removed = [Repair::RemoveLeftover(marked.clone())];
        assert_eq!(swept(meet_time() + 10 * MINUTE, &marked, true).repairs, removed);
        let in_use = Leftover { in_use: true, ..marked };
        let unmarked = [Repair::UnmarkLeftover(in_use.clone())];
        assert_eq!(swept(meet_time() + 10 * MINUTE, &in_use, true).repairs, unmarked);
        let kept = volume(&[(ORPHAN_TAG, &meet_time().to_string()), (KEEP_TAG, "")]);
        assert_eq!(swept(meet_time() + 10 * MINUTE, &kept, true), Repairs::default());
    }
}

mod stories {
    use elephant_core::error::{Class, Kind};
    use elephant_core::event::Reconcile;
    use elephant_core::reconcile::ReconcileAnswer;
    use elephant_world::executor::{Call, Executor, Fate, World};
    use elephant_world::sweep::{self, sweep};
    use elephant_world::{meeting as called, scheduled, start};

    use super::*;

    const M: &str = "m";

    /// A meeting that was launched a minute ago.
    fn launched() -> World {
        let world = World::new([scheduled(M)]);
        let mut story = Executor::new(&world);
        story.deliver(M);
        story.run();
        assert!(story.results[0].as_ref().expect("it ends").is_ok());
        world.pass(MINUTE);
        world
    }

    fn words(answer: &ReconcileAnswer) -> Vec<&'static str> {
        answer.repairs.iter().map(|repaired| repaired.repair).collect()
    }

    fn swept(world: &World) -> Vec<&'static str> {
        words(&sweep(world).expect("it is swept"))
    }

    fn kill(world: &World, role: Role) -> InstanceId {
        let id = world.record(M).role(role).instance_id.clone().expect("a machine");
        world.0.borrow_mut().cloud.die_of_capacity(&id);
        id
    }

    /// Every live machine is one that the record of a meeting which is on names, and each of those is live; and there is
    /// nothing more to do.
    #[track_caller]
    fn all_is_well(world: &World) {
        {
            let state = world.0.borrow();
            for launched in state.cloud.live() {
                let record = state.table.records.get(&called(launched.meeting()));
                let named = record.is_some_and(|record| {
                    let ids = Role::BOTH.map(|role| record.role(role).instance_id.clone());
                    !record.is_over() && ids.contains(&Some(launched.machine.instance_id.clone()))
                });
                assert!(named, "{} is up and not named", launched.machine.instance_id);
            }
            for record in state.table.records.values().filter(|record| !record.is_over()) {
                for id in Role::BOTH.iter().filter_map(|role| record.role(*role).instance_id.as_ref()) {
                    let machine = state.cloud.machines.iter().find(|l| l.machine.instance_id == *id);
                    assert!(machine.is_none_or(|l| l.machine.state.is_live()), "{id} is named and dead");
                }
            }
        }
        assert_eq!(swept(world), Vec::<&str>::new(), "one more sweep finds nothing to do");
    }

    #[test]
    fn a_machine_that_died_is_launched_again_and_the_meeting_goes_on() {
        let world = launched();
        let dead = kill(&world, Teacher);
        assert_eq!(swept(&world), ["machine_lost", "launched"]);
        let record = world.record(M);
        assert_ne!(record.teacher.instance_id, Some(dead));
        assert_eq!(world.live(M, Teacher).len(), 1);
        all_is_well(&world);
    }

    /// But for the sweeps themselves.
    fn counted(world: &World) -> Vec<Counted> {
        let counted = std::mem::take(&mut world.0.borrow_mut().counted);
        counted.into_iter().filter(|what| *what != Counted::Sweep).collect()
    }

    fn sweeps(world: &World) -> usize {
        world.0.borrow().counted.iter().filter(|what| **what == Counted::Sweep).count()
    }

    #[test]
    fn a_sweep_that_came_to_its_end_is_counted_and_no_look_at_one_machine() {
        let world = launched();
        let teacher = world.record(M).teacher.instance_id.clone().expect("one");
        let look = Reconcile::Instances(vec![teacher]);
        sweep::reconcile(&world, &look, sweep::LIMITS, false).expect("it is looked at");
        assert_eq!(sweeps(&world), 0);
        sweep(&world).expect("it is swept");
        sweep::reconcile(&world, &Reconcile::Sweep, sweep::LIMITS, true).expect("it is told");
        assert_eq!(sweeps(&world), 2, "one that only tells goes on by itself as well");
        kill(&world, Teacher);
        world.0.borrow_mut().cloud.exhaust("t3.large");
        world.0.borrow_mut().cloud.exhaust("m5.large");
        sweep(&world).expect_err("there is no room");
        assert_eq!(sweeps(&world), 2, "one that failed is none");
    }

    #[test]
    fn what_runs_is_noted_and_the_time_until_both_did_is_counted_once_and_again_after_a_loss() {
        let world = launched();
        world.0.borrow_mut().cloud.boot();
        assert_eq!(swept(&world), ["machine_noted", "machine_noted", "meeting_ready"]);
        assert_eq!(counted(&world), [Counted::Ready(MINUTE)]);
        assert_eq!(world.0.borrow().table.notes.len(), 2);
        all_is_well(&world);
        kill(&world, Teacher);
        assert_eq!(swept(&world), ["machine_lost", "launched"]);
        assert_eq!(counted(&world), [Counted::MachineLost], "the launch after it is part of the loss");
        world.0.borrow_mut().cloud.boot();
        world.pass(MINUTE);
        let teacher = world.record(M).teacher.instance_id.clone().expect("the new one");
        let told = sweep::reconcile(&world, &Reconcile::Instances(vec![teacher]), sweep::LIMITS, false)
            .expect("it is done");
        assert_eq!(words(&told), ["machine_noted", "meeting_ready"], "the other is looked at too");
        assert_eq!(counted(&world), [Counted::Ready(MINUTE)]);
        all_is_well(&world);
    }

    #[test]
    fn what_does_not_serve_is_told_with_its_console_and_replaced_without_ever_being_two() {
        let world = launched();
        world.pass(14 * MINUTE);
        let limits = Limits { ready: 10 * MINUTE, ..sweep::LIMITS };
        let told = sweep::reconcile(&world, &Reconcile::Sweep, limits, false).expect("it is swept");
        assert_eq!(words(&told), ["unready", "unready"]);
        let console = told.repairs[0].console.as_deref().expect("its console");
        assert_eq!(
            (console.lines().count(), console.lines().last().map(|l| l.ends_with("line 29"))),
            (20, Some(true))
        );
        assert_eq!(counted(&world), [Counted::MachineUnready; 2]);
        let limits = Limits { relaunch_unready: true, ..limits };
        let sweep =
            || words(&sweep::reconcile(&world, &Reconcile::Sweep, limits, false).expect("it is swept"));
        assert_eq!(sweep(), ["unready_ended", "unready_ended"]);
        assert_eq!(world.0.borrow().cloud.live().count(), 0);
        assert_eq!(sweep(), ["machine_lost", "machine_lost", "launched"]);
        all_is_well(&world);
        assert_eq!(world.0.borrow().cloud.live().count(), 2);
    }

    #[test]
    fn what_is_left_over_goes_on_the_second_sweep() {
        let world = World::new([]);
        let leftover = Leftover {
            kind: LeftoverKind::NetworkInterface,
            id: "eni-1".into(),
            in_use: false,
            tags: BTreeMap::from([("MeetingID".into(), M.into())]),
        };
        world.0.borrow_mut().cloud.leftovers.push(leftover);
        let told = sweep(&world).expect("it is swept");
        assert_eq!((words(&told), told.leftovers), (vec![], vec!["eni-1".to_owned()]));
        let limits = Limits { clean_up: true, ..sweep::LIMITS };
        let sweep = |word: &str| {
            let told = sweep::reconcile(&world, &Reconcile::Sweep, limits, false).expect("it is swept");
            assert_eq!(words(&told), [word]);
            assert_eq!(told.repairs[0].resource_id.as_deref(), Some("eni-1"));
            world.pass(10 * MINUTE);
        };
        sweep("leftover_marked");
        world.0.borrow_mut().cloud.leftovers[0].in_use = true;
        sweep("leftover_mark_removed");
        world.0.borrow_mut().cloud.leftovers[0].in_use = false;
        sweep("leftover_marked");
        sweep("leftover_removed");
        all_is_well(&world);
    }

    #[test]
    fn the_watchdogs_word_that_a_meeting_is_over_is_taken_back() {
        let world = launched();
        kill(&world, Student);
        world.set_status(M, Some(Status::Terminated));
        assert_eq!(swept(&world), ["meeting_revived", "machine_lost", "launched"]);
        assert_eq!(world.record(M).status, Some(Status::Launched));
        all_is_well(&world);
    }

    #[test]
    fn a_notification_says_nothing_but_which_machine_to_look_at() {
        let world = launched();
        let dead = kill(&world, Teacher);
        let told_of = |ids: &[&InstanceId]| {
            let look = Reconcile::Instances(ids.iter().map(|&id| id.clone()).collect());
            sweep::reconcile(&world, &look, sweep::LIMITS, false).expect("it is done")
        };
        let told = |id: &InstanceId| told_of(&[id]);
        let foreign = InstanceId::from("i-of-somebody-else");
        assert_eq!(told(&foreign), ReconcileAnswer::default());
        let student = world.record(M).student.instance_id.clone().expect("a machine");
        let words_of_both = words(&told_of(&[&foreign, &student]));
        assert_eq!(words_of_both, ["machine_lost", "launched"], "the other is looked at, too");
        assert_eq!(words(&told(&dead)), Vec::<&str>::new(), "nobody names it any more");
        all_is_well(&world);
    }

    #[test]
    fn no_more_machines_of_a_meeting_are_replaced_than_may_be() {
        let world = launched();
        for _ in 0..2 {
            kill(&world, Teacher);
            assert_eq!(swept(&world), ["machine_lost", "launched"]);
            world.pass(MINUTE);
        }
        kill(&world, Teacher);
        assert_eq!(swept(&world), Vec::<&str>::new());
    }

    #[test]
    fn a_meeting_whose_deliveries_all_failed_is_launched_when_it_is_due() {
        let world = World::new([scheduled(M)]);
        assert_eq!(swept(&world), Vec::<&str>::new(), "ten minutes ahead its own schedule is on its way");
        world.pass(5 * MINUTE);
        assert_eq!(swept(&world), ["launched"]);
        all_is_well(&world);
    }

    #[test]
    fn an_answer_that_was_lost_with_its_delivery_is_adopted() {
        let world = World::new([scheduled(M)]);
        let mut story =
            Executor::new(&world).plot(|call| matches!(call, Call::RunInstances(_)), Fate::DiesAfter);
        story.deliver(M);
        story.run();
        world.pass(5 * MINUTE);
        assert_eq!(swept(&world), ["launched"]);
        assert_eq!((world.live(M, Teacher).len(), world.live(M, Student).len()), (1, 1));
        all_is_well(&world);
    }

    #[test]
    fn the_machines_of_a_deleted_record_are_marked_and_then_ended() {
        let world = launched();
        world.delete(M);
        assert_eq!(swept(&world), Vec::<&str>::new(), "they are young");
        world.pass(9 * MINUTE);
        assert_eq!(swept(&world), ["orphan_marked", "orphan_marked"]);
        world.pass(5 * MINUTE);
        assert_eq!(swept(&world), ["orphan_ended", "orphan_ended"]);
        all_is_well(&world);
    }

    #[test]
    fn a_meeting_that_nobody_ended_is_closed_and_a_dry_run_only_says_so() {
        let world = launched();
        world.pass(9 * HOUR);
        let words = ["meeting_closed", "machine_ended", "machine_ended"];
        let dry = sweep::reconcile(&world, &Reconcile::Sweep, sweep::LIMITS, true).expect("it is told");
        assert_eq!((super::stories::words(&dry), dry.dry_run), (words.to_vec(), true));
        assert_eq!(world.live(M, Teacher).len(), 1, "nothing is done");
        assert_eq!(swept(&world), words);
        assert_eq!(world.record(M).status, Some(Status::Terminated));
        assert_eq!(swept(&world), ["record_pruned"]);
        all_is_well(&world);
    }

    #[test]
    fn what_a_sweep_may_not_end_waits_for_the_next() {
        let world = launched();
        world.pass(9 * HOUR);
        let one = Limits { endings: 1, ..sweep::LIMITS };
        for left in [1, 0] {
            let answer = sweep::reconcile(&world, &Reconcile::Sweep, one, false).expect("it is swept");
            assert_eq!(answer.held_back, left);
        }
        assert_eq!(swept(&world), ["record_pruned"]);
        all_is_well(&world);
    }

    /// EC2 takes the tags from what is dead, and then forgets it, whatever the watchdog says meanwhile.
    #[test]
    fn a_machine_that_ec2_has_forgotten_is_launched_again() {
        for (forgets_all, watchdog) in [(false, false), (false, true), (true, false), (true, true)] {
            let world = launched();
            world.pass(10 * MINUTE);
            kill(&world, Teacher);
            kill(&world, Student);
            match forgets_all {
                true => world.0.borrow_mut().cloud.forget_the_dead(),
                false => world.0.borrow_mut().cloud.forget_tags(),
            }
            let mut expected = vec!["machine_lost", "machine_lost", "launched"];
            if watchdog {
                world.set_status(M, Some(Status::Terminated));
                expected.insert(0, "meeting_revived");
            }
            assert_eq!(swept(&world), expected);
            all_is_well(&world);
            assert_eq!(world.0.borrow().cloud.live().count(), 2);
        }
    }

    #[test]
    fn a_meeting_that_was_ended_stays_so_whatever_others_write_over_it() {
        for status in [Status::Launched, Status::DnsWritten, Status::Healthy, Status::InProgress] {
            let world = launched();
            let mut story = Executor::new(&world);
            story.end(M);
            story.run();
            assert!(story.endings[0].is_ok(), "{:?}", story.endings);
            world.set_status(M, Some(status));
            for _ in 0..3 {
                swept(&world);
                let mut late = Executor::new(&world);
                late.deliver(M);
                late.run();
                world.pass(5 * MINUTE);
            }
            assert_eq!(world.0.borrow().cloud.live().count(), 0);
            let record = world.record(M);
            assert_eq!((record.teacher.attempt, record.student.attempt, record.lease), (None, None, None));
        }
    }

    #[test]
    fn a_machine_that_is_stopped_is_started_and_one_that_cannot_be_is_replaced() {
        let world = launched();
        let student = world.record(M).student.instance_id.clone().expect("one");
        let stop = || world.0.borrow_mut().cloud.stop(&student);
        stop();
        assert_eq!(swept(&world), ["machine_noted", "started"]);
        assert_eq!(world.live(M, Student), [student.as_str()]);
        stop();
        world.0.borrow_mut().cloud.start_refused = Some((Class::Capacity, "InsufficientInstanceCapacity"));
        assert_eq!(swept(&world), ["started"], "it is replaced");
        assert_eq!(world.live(M, Student), Vec::<String>::new());
        assert_eq!(swept(&world), ["machine_lost", "launched"]);
        all_is_well(&world);
        assert_eq!(world.live(M, Student).len(), 1);
    }

    #[test]
    fn in_a_zones_disruption_a_sweep_goes_on_by_ids() {
        let world = launched();
        world.pass(10 * MINUTE);
        kill(&world, Teacher);
        let zone = "us-west-2c".to_owned();
        world.0.borrow_mut().cloud.disrupted = Some(zone);
        let error = sweep(&world).expect_err("it could not list");
        assert_eq!(error.kind, Kind::Ec2Unavailable);
        assert_eq!(world.live(M, Teacher).len(), 1, "and all the same it is launched again");
        world.0.borrow_mut().cloud.disrupted = None;
        all_is_well(&world);
    }

    #[test]
    fn what_cannot_be_ended_uses_up_no_limit_and_comes_last_the_next_time() {
        let names = ["a", "b", "c"];
        let world = World::new(names.map(scheduled));
        for name in names {
            let mut story = Executor::new(&world);
            story.deliver(name);
            story.run();
        }
        world.pass(9 * HOUR);
        let protected = world.record("a").teacher.instance_id.clone().expect("one");
        world.0.borrow_mut().cloud.protected.insert(protected.clone());
        let limits = Limits { endings: 2, ..sweep::LIMITS };
        let sweeper = sweep::Sweeper::new(&world, limits);
        let error = sweeper.sweep().expect_err("one is protected");
        assert!(error.chain().contains("OperationNotPermitted"), "{}", error.chain());
        assert_eq!(world.0.borrow().cloud.live().count(), 4, "two of the others are ended all the same");
        let answer = sweeper.sweep().expect("the protected one is the last in the row");
        assert_eq!((world.0.borrow().cloud.live().count(), answer.held_back), (2, 2));
        sweeper.sweep().expect_err("its turn comes");
        assert_eq!(world.0.borrow().cloud.live().count(), 1);
        assert_eq!(world.live("a", Teacher), [protected.as_str()]);
    }

    /// Two hundred meetings, and everything that a bad day does to them.
    #[test]
    fn two_sweeps_after_the_grace_bring_two_hundred_meetings_into_order() {
        let names: Vec<String> = (0..200).map(|n| format!("m-{n}")).collect();
        let world = World::new(names.iter().map(|name| scheduled(name)));
        let deliver = |name: &str| {
            let mut story = Executor::new(&world);
            story.deliver(name);
            story.run();
        };
        names.iter().skip(5).for_each(|name| deliver(name));
        let recorded =
            |name: &str, role: Role| world.record(name).role(role).instance_id.clone().expect("one");
        // Thirty machines die, the watchdog takes ten of them for the end; twenty orphans; ten records go.
        for name in &names[10..40] {
            let id = recorded(name, Teacher);
            world.0.borrow_mut().cloud.die_of_capacity(&id);
        }
        names[10..20].iter().for_each(|name| world.set_status(name, Some(Status::Terminated)));
        let mut kept = Vec::new();
        for (n, name) in names[40..60].iter().enumerate() {
            let mut state = world.0.borrow_mut();
            let record = state.table.records[&called(name)].clone();
            let mut orphan = record.student.attempt.expect("one");
            orphan.token = Token::from(format!("token-of-nobody-{n}"));
            let machine = state.cloud.run(&orphan, start()).expect("it is launched");
            if n < 3 {
                let tags = &mut state.cloud.machine(&machine.instance_id).expect("it is there").tags;
                tags.insert(KEEP_TAG.into(), "for the exam".into());
                kept.push(machine.instance_id);
            }
        }
        names[60..70].iter().for_each(|name| world.delete(name));
        world.pass(10 * MINUTE);
        sweep(&world).expect("it is swept");
        world.pass(5 * MINUTE);
        sweep(&world).expect("it is swept again");
        for id in &kept {
            assert!(
                world.0.borrow_mut().cloud.machine(id).expect("it is there").state.is_live(),
                "{id} is kept"
            );
            world.0.borrow_mut().cloud.end(id);
        }
        all_is_well(&world);
        let full = |name: &String| Role::BOTH.iter().all(|role| world.live(name, *role).len() == 1);
        assert!(
            names[..60].iter().chain(&names[70..]).all(full),
            "every meeting that stands has both machines"
        );
        assert_eq!(world.0.borrow().cloud.live().count(), 380);
    }

    #[test]
    fn what_the_table_refuses_is_reported_after_the_rest_was_done() {
        let world = launched();
        let record = world.record(M);
        let gone = record.teacher.instance_id.clone().expect("one");
        world.0.borrow_mut().cloud.die_of_capacity(&gone);
        world.0.borrow_mut().cloud.exhaust("t3.large");
        world.0.borrow_mut().cloud.exhaust("m5.large");
        let error = sweep(&world).expect_err("there is no room");
        assert_eq!(error.kind, Kind::CapacityExhausted);
        assert_eq!(world.record(M).teacher.instance_id, None, "the dead one is forgotten all the same");
        assert!(world.record(M).student.instance_id.is_some());
        world.0.borrow_mut().cloud.refusing.clear();
        world.pass(MINUTE);
        assert_eq!(swept(&world), ["launched"]);
        all_is_well(&world);
    }
}

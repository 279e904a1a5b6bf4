//! What a sweep does, as a table: from machines, records and the time to repairs.

use std::collections::BTreeMap;
use std::time::Duration;

use elephant_launch::fleet::{KEEP_TAG, ORPHAN_TAG, Sighting, Watched};
use elephant_launch::machine::{
    Attempt, InstanceId, Machine, Parameters, ROLE_TAG, RootVolume, State, Token, tags,
};
use elephant_launch::meeting::{MeetingId, Role, Status};
use elephant_launch::plan::reconcile::{Limits, Repair, Repairs, reconcile};
use elephant_launch::record::{Lease, MeetTime, Owner, Record, Seat};
use elephant_launch::timing::Timing;
use jiff::Timestamp;

use Role::{Student, Teacher};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const LIMITS: Limits = Limits {
    grace: Duration::from_secs(600),
    longest_meeting: Duration::from_secs(8 * 3600),
    launch_window: Duration::from_secs(2 * 3600),
    due: Duration::from_secs(300),
    replacements: 2,
    endings: 3,
};

fn meet_time() -> Timestamp {
    "2026-01-05T10:00:00Z".parse().expect("a time")
}

fn meeting() -> MeetingId {
    MeetingId::new("m").expect("an id")
}

fn id(of: &str) -> InstanceId {
    InstanceId(format!("i-{of}"))
}

/// A live machine of the meeting, launched a quarter of an hour before it by the token of the same name.
fn machine(of: &str, role: Role) -> Sighting {
    Sighting {
        machine: Machine {
            instance_id: id(of),
            state: State::Running,
            state_reason: None,
            tags: tags(&meeting(), role, "Elephant"),
        },
        token: Some(Token(format!("token-{of}"))),
        launched_at: meet_time() - 15 * MINUTE,
    }
}

fn dead(of: &str, role: Role) -> Sighting {
    let mut dead = machine(of, role);
    dead.machine.state = State::Terminated;
    dead.machine.state_reason = Some("Server.SpotInstanceTermination".into());
    dead
}

fn tagged(mut sighting: Sighting, key: &str, value: &str) -> Sighting {
    sighting.machine.tags.insert(key.into(), value.into());
    sighting
}

fn marked(sighting: Sighting, at: Timestamp) -> Sighting {
    tagged(sighting, ORPHAN_TAG, &at.to_string())
}

fn attempt(of: &str, role: Role) -> Attempt {
    let parameters = Parameters {
        image_id: "ami-1".into(),
        instance_type: "t3.large".into(),
        subnet_id: "subnet-a".into(),
        availability_zone: "us-west-2a".into(),
        security_group_ids: vec!["sg-1".into()],
        key_name: None,
        iam_profile: None,
        root_volume: RootVolume {
            device_name: "/dev/xvda".into(),
            size_gb: 60,
            volume_type: "gp3".into(),
            encrypted: true,
            iops: None,
            throughput: None,
            kms_key_id: None,
        },
        imds_tokens: None,
        public_ip: None,
        market: Default::default(),
        user_data: None,
        tags: tags(&meeting(), role, "Elephant"),
    };
    Attempt { number: 1, token: Token(format!("token-{of}")), refused: false, ending: false, parameters }
}

fn seat(of: &str, role: Role) -> Seat {
    Seat { instance_id: Some(id(of)), attempt: Some(attempt(of, role)) }
}

/// Both machines stand in it.
fn record() -> Record {
    Record {
        meeting_id: meeting(),
        status: Some(Status::Launched),
        meet_time: MeetTime::At(meet_time()),
        lease: None,
        teacher: seat("teacher", Teacher),
        student: seat("student", Student),
    }
}

fn both() -> [Sighting; 2] {
    [machine("teacher", Teacher), machine("student", Student)]
}

fn stands(record: Record) -> Watched {
    Watched::Stands { record, termination_reason: None, replaced: 0 }
}

fn ended(reason: Option<&str>) -> Watched {
    let record = Record { status: Some(Status::Terminated), ..record() };
    Watched::Stands { record, termination_reason: reason.map(Into::into), replaced: 0 }
}

fn sweep(now: Timestamp, seen: &[Sighting], watched: Watched) -> Vec<Repair> {
    let Repairs { repairs, held_back } = whole_sweep(now, seen, watched);
    assert_eq!(held_back, 0);
    repairs
}

fn whole_sweep(now: Timestamp, seen: &[Sighting], watched: Watched) -> Repairs {
    reconcile(now, seen, &BTreeMap::from([(meeting(), watched)]), &LIMITS, &Timing::DEFAULT)
}

fn end(of: &str, role: Role) -> Repair {
    Repair::End { meeting: meeting(), role, instance: id(of) }
}

fn mark(of: &str) -> Repair {
    Repair::Mark { instance: id(of) }
}

fn forget(of: &str, role: Role, revive: bool) -> Repair {
    let reason = "Server.SpotInstanceTermination".into();
    Repair::Forget { meeting: meeting(), role, instance: id(of), reason, revive }
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
        assert_eq!(sweep(meet_time(), &both(), Watched::Missing), [mark("teacher"), mark("student")]);
    }

    #[test]
    fn a_young_one_is_left_for_its_grace() {
        let mut young = machine("other", Teacher);
        young.launched_at = meet_time() - 9 * MINUTE;
        assert_eq!(sweep(meet_time(), std::slice::from_ref(&young), Watched::Missing), []);
        assert_eq!(sweep(meet_time() + MINUTE, &[young], Watched::Missing), [mark("other")]);
    }

    #[test]
    fn one_that_is_to_be_kept_is_kept_even_when_it_is_marked() {
        let kept = tagged(machine("other", Teacher), KEEP_TAG, "");
        assert_eq!(sweep(meet_time(), std::slice::from_ref(&kept), Watched::Missing), []);
        let marked = marked(kept, meet_time() - HOUR);
        assert_eq!(sweep(meet_time(), &[marked], Watched::Missing), []);
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
        assert_eq!(sweep(meet_time(), &[foreign, dead("gone", Teacher)], Watched::Missing), []);
    }

    #[test]
    fn a_record_that_cannot_be_read_may_name_it() {
        assert_eq!(sweep(meet_time(), &both(), Watched::Unreadable("teacher_attempt".into())), []);
    }

    /// The student's attempt has a machine, and the record does not name it.
    fn unrecorded(change: impl Fn(&mut Record)) -> Watched {
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
        assert_eq!(sweep(meet_time(), &seen, unrecorded(over)), [mark("student")]);
        let late = meet_time() + 3 * HOUR;
        assert_eq!(sweep(late, &seen, unrecorded(|_| ())), [mark("student")]);
        let marked = [marked(student, late - 5 * MINUTE)];
        let standing = Some((meeting(), Student, Token("token-student".into())));
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
            move |record: &mut Record| record.lease = Some(Lease { owner: Owner("me".into()), until })
        };
        let settled = Timing::DEFAULT.skew + Timing::DEFAULT.margin;
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
        let standing = Some((meeting(), Teacher, Token("token-teacher".into())));
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
    fn one_that_the_watchdog_took_for_over_goes_on_while_its_machines_live() {
        assert_eq!(sweep(meet_time(), &both(), ended(None)), []);
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
    fn one_sweep_ends_so_many_and_no_more() {
        let orphan = |n: u32| marked(machine(&format!("orphan-{n}"), Teacher), meet_time() - HOUR);
        let seen: Vec<Sighting> = both().into_iter().chain((0..4).map(orphan)).collect();
        let Repairs { repairs, held_back } = whole_sweep(meet_time(), &seen, ended(Some("over")));
        assert_eq!((repairs.len(), held_back), (3, 3));
    }
}

mod machines_that_died {
    use super::*;

    #[test]
    fn one_is_forgotten_with_its_reason_and_launched_again() {
        let [_, student] = both();
        let seen = [dead("teacher", Teacher), student];
        assert_eq!(
            sweep(meet_time(), &seen, stands(record())),
            [forget("teacher", Teacher, false), launch()]
        );
    }

    #[test]
    fn both_are_launched_by_one_delivery() {
        let seen = [dead("teacher", Teacher), dead("student", Student)];
        let expected = [forget("teacher", Teacher, false), forget("student", Student, false), launch()];
        assert_eq!(sweep(meet_time(), &seen, stands(record())), expected);
    }

    #[test]
    fn one_that_the_watchdog_took_for_the_end_is_launched_again_too() {
        let [_, student] = both();
        let seen = [dead("teacher", Teacher), student];
        assert_eq!(sweep(meet_time(), &seen, ended(None)), [forget("teacher", Teacher, true), launch()]);
    }

    #[test]
    fn of_a_meeting_that_was_ended_on_purpose_none_is() {
        let seen = [dead("teacher", Teacher), dead("student", Student)];
        assert_eq!(sweep(meet_time(), &seen, ended(Some("over"))), []);
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
        let replaced = |replaced| Watched::Stands { record: record(), termination_reason: None, replaced };
        assert_eq!(sweep(meet_time(), &seen, replaced(2)), []);
        let one = [forget("teacher", Teacher, false), launch()];
        assert_eq!(sweep(meet_time(), &seen, replaced(1)), one);
    }

    #[test]
    fn what_ec2_does_not_show_is_not_taken_for_dead() {
        assert_eq!(sweep(meet_time(), &[], stands(record())), []);
    }
}

mod meetings_without_machines {
    use super::*;

    fn bare() -> Record {
        Record {
            status: Some(Status::Scheduled),
            teacher: Seat::default(),
            student: Seat::default(),
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
        let lease = Lease { owner: Owner("me".into()), until: meet_time() + MINUTE };
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

//! The writes: what each requires of the record that it meets, and what it changes.

use elephant_core::machine::{Attempt, InstanceId, Token};
use elephant_core::meeting::{MeetingId, Role, Status, allows_launch};
use elephant_core::overrides::Overrides;
use elephant_core::record::{
    self, Change, Failure, Lease, MeetTime, Owner, Record, Recorded, Requires, RoleRecord, StatusMove, Update,
};
use elephant_world::attempt::plain_attempt;
use jiff::{SignedDuration, Timestamp};

use Role::{Student, Teacher};

#[test]
fn a_claim_requires_a_new_meeting_to_be_as_new_as_it_was_read() {
    let attempts = [(Teacher, attempt(Teacher, "token-1")), (Student, attempt(Student, "token-2"))];
    let update = record::claim(&read(), lease(), &attempts);
    let requires = vec![
        Requires::Exists,
        Requires::Lease(None),
        Requires::Status(vec![Some(Status::Scheduled)]),
        Requires::TerminationReason(None),
        Requires::Instance(Teacher, None),
        Requires::Attempt(Teacher, None),
        Requires::Instance(Student, None),
        Requires::Attempt(Student, None),
        Requires::MeetTime(Some("2026-11-22T12:00:00Z".into())),
    ];
    let changes = vec![
        Change::Lease(lease()),
        Change::Attempt(Teacher, attempt(Teacher, "token-1")),
        Change::Attempt(Student, attempt(Student, "token-2")),
    ];
    assert_eq!(update, Update { meeting_id: meeting(), requires, changes });
}

#[test]
fn a_claim_requires_whatever_was_read() {
    let old = Lease { owner: Owner::from("another"), until: time() };
    let read = Record {
        status: None,
        lease: Some(old.clone()),
        teacher: RoleRecord {
            instance_id: Some(InstanceId::from("i-1")),
            attempt: Some(attempt(Teacher, "token-1")),
            launched_at: None,
        },
        student: RoleRecord {
            instance_id: None,
            attempt: Some(Attempt { refused: true, ..attempt(Student, "token-2") }),
            launched_at: None,
        },
        ..read()
    };
    let requires = vec![
        Requires::Exists,
        Requires::Lease(Some(old)),
        Requires::Status(vec![None]),
        Requires::TerminationReason(None),
        Requires::Instance(Teacher, Some(InstanceId::from("i-1"))),
        Requires::Attempt(Teacher, Some((Token::from("token-1"), false))),
        Requires::Instance(Student, None),
        Requires::Attempt(Student, Some((Token::from("token-2"), true))),
        Requires::MeetTime(Some("2026-11-22T12:00:00Z".into())),
    ];
    assert_eq!(record::claim(&read, lease(), &[]).requires, requires);
    // What stands there is compared where it is a text, or is missing; another type has no words to compare.
    let timeless = |meet_time| Record { meet_time, meet_time_text: None, ..read.clone() };
    let last = |read: Record| record::claim(&read, lease(), &[]).requires.pop();
    assert_eq!(last(timeless(MeetTime::Missing)), Some(Requires::MeetTime(None)));
    let of_another_type = last(timeless(MeetTime::Unreadable("7".into())));
    assert!(matches!(of_another_type, Some(Requires::Attempt(..))), "{of_another_type:?}");
}

#[test]
fn a_claim_for_a_replay_changes_the_lease_alone() {
    let read = Record {
        teacher: RoleRecord {
            instance_id: None,
            attempt: Some(attempt(Teacher, "token-1")),
            launched_at: None,
        },
        ..read()
    };
    assert_eq!(record::claim(&read, lease(), &[]).changes, [Change::Lease(lease())]);
}

/// Its owner alone would not do: of two renewals the earlier one could come last, and set the end back.
#[test]
fn a_renewal_requires_our_lease_with_the_end_that_we_know_and_moves_it() {
    let later = time() + SignedDuration::from_secs(30);
    let expected = Update {
        meeting_id: meeting(),
        requires: vec![Requires::Exists, Requires::Lease(Some(lease()))],
        changes: vec![Change::Lease(Lease { owner: me(), until: later })],
    };
    assert_eq!(record::renew(&meeting(), lease(), later), expected);
}

#[test]
fn the_next_attempt_takes_the_place_of_the_refused_one_and_of_no_other() {
    let next = Attempt { number: 2, ..attempt(Student, "token-2") };
    let expected = Update {
        meeting_id: meeting(),
        requires: vec![
            Requires::Exists,
            Requires::Owner(me()),
            Requires::Token(Student, Token::from("token-1")),
            Requires::Instance(Student, None),
            Requires::Status(words(&["", "SCHEDULED", "LAUNCHED", "DNS_WRITTEN", "HEALTHY", "IN_PROGRESS"])),
            Requires::TerminationReason(None),
        ],
        changes: vec![Change::Attempt(Student, next.clone())],
    };
    assert_eq!(record::next_attempt(&meeting(), &me(), Student, &Token::from("token-1"), next), expected);
}

#[test]
fn the_id_is_written_with_the_status_launched() {
    let (requires, changes) = recorded(StatusMove::ToLaunched);
    assert_eq!(
        requires,
        [
            Requires::Exists,
            Requires::Token(Teacher, Token::from("token-1")),
            Requires::NotEnding(Teacher),
            Requires::NoOtherInstance(Teacher, InstanceId::from("i-1")),
            Requires::Status(words(&["", "SCHEDULED", "LAUNCHED"])),
            Requires::TerminationReason(None),
        ]
    );
    assert_eq!(changes, [Change::ForgetFailure, Change::Launched, Change::Instance(Teacher, machine())]);
}

#[test]
fn the_id_is_written_without_a_status_that_has_moved_on() {
    let (requires, changes) = recorded(StatusMove::Keep);
    let statuses = words(&["DNS_WRITTEN", "HEALTHY", "IN_PROGRESS"]);
    assert_eq!(requires[4..], [Requires::Status(statuses), Requires::TerminationReason(None)]);
    assert_eq!(changes, [Change::ForgetFailure, Change::Instance(Teacher, machine())]);
}

/// A late answer of the right attempt is still right.
#[test]
fn the_id_is_written_whoever_holds_the_lease() {
    for status in [StatusMove::ToLaunched, StatusMove::Keep] {
        let (requires, _) = recorded(status);
        let leased = |requirement: &Requires| matches!(requirement, Requires::Owner(_) | Requires::Lease(_));
        assert!(!requires.iter().any(leased), "{status:?}: {requires:?}");
    }
}

#[test]
fn the_status_moves_forward_only() {
    for word in ["", "SCHEDULED", "LAUNCHED"] {
        let status = words(&[word]).remove(0);
        assert_eq!(StatusMove::from_status(&status), StatusMove::ToLaunched, "{word:?}");
    }
    for word in ["DNS_WRITTEN", "HEALTHY", "IN_PROGRESS"] {
        let status = words(&[word]).remove(0);
        assert_eq!(StatusMove::from_status(&status), StatusMove::Keep, "{word:?}");
    }
}

/// Then the write is refused, and the refusal shows that the meeting is over.
#[test]
fn no_id_is_written_to_a_meeting_that_is_over() {
    for word in ["TERMINATED", "CANCELLED", "scheduled"] {
        let status = words(&[word]).remove(0);
        assert!(!allows_launch(&status), "{word}");
        let (requires, _) = recorded(StatusMove::from_status(&status));
        let allowed = |r: &Requires| matches!(r, Requires::Status(any) if any.contains(&status));
        assert!(!requires.iter().any(allowed), "{word}: {requires:?}");
    }
}

/// Whoever has recorded it keeps it.
#[test]
fn the_end_of_a_machine_is_written_where_its_attempt_stands_without_an_id() {
    let expected = Update {
        meeting_id: meeting(),
        requires: vec![
            Requires::Exists,
            Requires::Token(Student, Token::from("token-1")),
            Requires::Instance(Student, None),
        ],
        changes: vec![Change::Ending(Student)],
    };
    assert_eq!(record::end(&meeting(), Student, &Token::from("token-1")), expected);
}

#[test]
fn giving_up_says_why_and_marks_the_refused_and_drops_the_lease() {
    let refused = [(Teacher, Token::from("token-1")), (Student, Token::from("token-2"))];
    let expected = Update {
        meeting_id: meeting(),
        requires: vec![
            Requires::Exists,
            Requires::Owner(me()),
            Requires::Token(Teacher, Token::from("token-1")),
            Requires::Token(Student, Token::from("token-2")),
        ],
        changes: vec![
            Change::Failure(failure()),
            Change::Refused(Teacher),
            Change::Refused(Student),
            Change::DropLease,
        ],
    };
    assert_eq!(record::give_up(&meeting(), &me(), failure(), &refused, true), expected);
}

/// A later delivery counts an open attempt as unanswered up to the end of the lease.
#[test]
fn giving_up_keeps_the_lease_of_an_open_attempt() {
    let update = record::give_up(&meeting(), &me(), failure(), &[], false);
    assert_eq!(update.requires, [Requires::Exists, Requires::Owner(me())]);
    assert_eq!(update.changes, [Change::Failure(failure())]);
}

/// A delivery that got no further than its plan holds no lease: it speaks only while nobody has taken one since.
#[test]
fn a_report_says_why_and_requires_the_lease_that_was_read() {
    let another = Lease { owner: Owner::from("another"), until: time() };
    for lease in [None, Some(another)] {
        let read = Record { lease: lease.clone(), ..read() };
        let expected = Update {
            meeting_id: meeting(),
            requires: vec![Requires::Exists, Requires::Lease(lease)],
            changes: vec![Change::Failure(failure())],
        };
        assert_eq!(record::report(&read, failure()), expected);
    }
}

#[test]
fn an_attempt_is_open_until_it_is_refused_or_has_its_machine() {
    let open =
        RoleRecord { instance_id: None, attempt: Some(attempt(Teacher, "token-1")), launched_at: None };
    assert_eq!(open.open_attempt(), Some(&attempt(Teacher, "token-1")));
    let refused = RoleRecord {
        instance_id: None,
        attempt: Some(Attempt { refused: true, ..attempt(Teacher, "token-1") }),
        launched_at: None,
    };
    assert_eq!(refused.open_attempt(), None);
    let recorded = RoleRecord { instance_id: Some(InstanceId::from("i-1")), ..open };
    assert_eq!(recorded.open_attempt(), None);
    assert_eq!(RoleRecord::default().open_attempt(), None);
}

fn recorded(status: StatusMove) -> (Vec<Requires>, Vec<Change>) {
    let update = record::instance(&meeting(), Teacher, &Token::from("token-1"), machine(), status);
    assert_eq!(update.meeting_id, meeting());
    (update.requires, update.changes)
}

fn read() -> Record {
    Record {
        meeting_id: meeting(),
        status: Some(Status::Scheduled),
        termination_reason: None,
        meet_time: MeetTime::At(time()),
        meet_time_text: Some("2026-11-22T12:00:00Z".into()),
        lease: None,
        teacher: RoleRecord::default(),
        student: RoleRecord::default(),
        overrides: Overrides::none(),
    }
}

fn meeting() -> MeetingId {
    MeetingId::new("m").expect("it is an id")
}

fn me() -> Owner {
    Owner::from("me")
}

fn lease() -> Lease {
    Lease { owner: me(), until: time() }
}

fn time() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("it is a time")
}

fn failure() -> Failure {
    Failure { reason: "no capacity".into(), code: "InsufficientInstanceCapacity".into(), at: time() }
}

fn machine() -> Recorded {
    Recorded {
        instance_id: InstanceId::from("i-1"),
        availability_zone: "us-west-2a".into(),
        instance_type: "t3.large".into(),
        launched_at: time(),
    }
}

fn attempt(role: Role, token: &str) -> Attempt {
    plain_attempt(&meeting(), role, token)
}

/// Statuses as the record has them; the empty word is a missing one.
fn words(words: &[&str]) -> Vec<Option<Status>> {
    words.iter().map(|word| (!word.is_empty()).then(|| Status::from_word(word))).collect()
}

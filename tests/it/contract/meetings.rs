//! What the table of meetings promises: reads to the letter, and conditional writes that are atomic.

use std::time::Duration;

use elephant_core::error::Class;
use elephant_core::meeting::{Role, Status};
use elephant_core::ports::{Created, Meetings, NewMeetings, Updated};
use elephant_core::record::{
    self, Change, Lease, MeetTime, NewRecord, Owner, Record, Requires, RoleRecord, Update,
};

use Role::{Student, Teacher};

use super::samples::*;
use super::writes::{CANCELLED, MOVED, PRUNED, Write, every_write};
use super::{Blank, Stage};
use elephant_world::executor::Fate;

pub async fn a_missing_record_is_none(stage: &impl Stage) {
    assert_eq!(stage.meetings().read(&meeting(stage)).await, Ok(None));
    stage.put(&scheduled(stage)).await;
    stage.delete(&meeting(stage)).await;
    assert_eq!(stage.meetings().read(&meeting(stage)).await, Ok(None), "after its deletion");
}

pub async fn a_record_reads_back_to_the_letter(stage: &impl Stage) {
    let statuses = every_status().map(|status| Record { status, ..half_done(stage) });
    let times = every_meet_time().map(|meet_time| elephant_world::timed(scheduled(stage), meet_time));
    for record in statuses.into_iter().chain(times) {
        stage.put(&record).await;
        stands(stage, Some(&record), "as it was put").await;
    }
}

pub async fn what_a_claim_writes_reads_back_to_the_letter(stage: &impl Stage) {
    let read = Record { status: None, ..scheduled(stage) };
    stage.put(&read).await;
    let m = &read.meeting_id;
    let attempts =
        [(Teacher, plain_attempt(m, Teacher, "token-1")), (Student, full_attempt(m, Student, "token-2"))];
    done(stage, &record::claim(&read, lease("me", 30), &attempts), "the claim").await;
    let claimed = Record {
        lease: Some(lease("me", 30)),
        teacher: RoleRecord { instance_id: None, attempt: Some(attempts[0].1.clone()), launched_at: None },
        student: RoleRecord { instance_id: None, attempt: Some(attempts[1].1.clone()), launched_at: None },
        ..read
    };
    stands(stage, Some(&claimed), "after the claim").await;
}

/// A delivery's clock is finer than the record: what it wrote must be found equal to what it remembers, and to what it
/// reads.
pub async fn a_lease_is_kept_to_the_millisecond(stage: &impl Stage) {
    let exact = Lease { until: at(30) + Duration::from_nanos(1_999_999), ..lease("me", 30) };
    let kept = Lease { until: at(30) + Duration::from_millis(1), ..exact.clone() };
    stage.put(&scheduled(stage)).await;
    done(stage, &record::claim(&scheduled(stage), exact.clone(), &[]), "the claim").await;
    let record = Record { lease: Some(kept.clone()), ..scheduled(stage) };
    stands(stage, Some(&record), "after the claim").await;
    for lease in [exact, kept.clone()] {
        let update = record::renew(&meeting(stage), lease, kept.until);
        done(stage, &update, "the renewal of the lease as it was written, and as it was read").await;
    }
}

/// To a read and to a condition.
pub async fn an_empty_or_null_attribute_is_a_missing_one(stage: &impl Stage) {
    let cases = [
        ("status", Requires::Status(vec![None])),
        ("teacher_ec2_id", Requires::Instance(Teacher, None)),
        ("teacher_ec2_id", Requires::NoOtherInstance(Teacher, id("i-2"))),
        ("launch_owner", Requires::Lease(None)),
        ("student_attempt", Requires::Attempt(Student, None)),
    ];
    for (attribute, requirement) in cases {
        for blank in [Blank::Null, Blank::Empty] {
            if attribute == "student_attempt" && matches!(blank, Blank::Empty) {
                continue; // an attempt is a map, and no map is empty by a slip
            }
            let mut record = half_done(stage);
            stage.put(&record).await;
            stage.blank(&meeting(stage), attribute, blank).await;
            match attribute {
                "status" => record.status = None,
                "teacher_ec2_id" => record.teacher.instance_id = None,
                "student_attempt" => record.student.attempt = None,
                _ => {
                    stage.blank(&meeting(stage), "launch_lease_until", blank).await;
                    record.lease = None;
                }
            }
            let what = format!("{attribute} is {blank:?}");
            stands(stage, Some(&record), &what).await;
            done(stage, &only(stage, requirement.clone()), &what).await;
        }
    }
}

pub async fn each_requirement_holds_of_what_it_says_and_of_nothing_else(stage: &impl Stage) {
    let new = Record { status: None, ..scheduled(stage) };
    let old = half_done(stage);
    let scheduled = scheduled(stage);
    let over = Record { status: Some(Status::Terminated), ..old.clone() };
    let ended = Record { termination_reason: Some("ended".into()), ..old.clone() };
    let timeless = elephant_world::timed(new.clone(), MeetTime::Missing);
    let ending = {
        let mut record = old.clone();
        record.student.attempt.as_mut().expect("an attempt").ending = true;
        record
    };
    let marked = {
        let mut record = old.clone();
        record.student.attempt.as_mut().expect("an attempt").refused = true;
        record
    };
    let two = || (token("token-2"), false);
    let cases: Vec<(&str, &Record, Requires, bool)> = vec![
        ("a record exists", &new, Requires::Exists, true),
        ("no lease", &new, Requires::Lease(None), true),
        ("no lease where one is", &old, Requires::Lease(None), false),
        ("the lease", &old, Requires::Lease(old.lease.clone()), true),
        ("a lease where none is", &new, Requires::Lease(old.lease.clone()), false),
        ("another owner's lease", &old, Requires::Lease(Some(lease("you", 30))), false),
        ("a lease until another time", &old, Requires::Lease(Some(lease("me", 31))), false),
        ("the owner", &old, Requires::Owner(Owner::from("me")), true),
        ("another owner", &old, Requires::Owner(Owner::from("you")), false),
        ("an owner where no lease is", &new, Requires::Owner(Owner::from("me")), false),
        ("no status", &new, Requires::Status(vec![None]), true),
        ("no status where one is", &scheduled, Requires::Status(vec![None]), false),
        ("a status where none is", &new, Requires::Status(vec![Some(Status::Scheduled)]), false),
        ("the status", &scheduled, Requires::Status(vec![Some(Status::Scheduled)]), true),
        ("one status of several", &old, Requires::Status(Status::BEFORE_LAUNCHED.to_vec()), true),
        ("none of several", &old, Requires::Status(Status::BEYOND_LAUNCHED.to_vec()), false),
        ("none or one of several", &new, Requires::Status(Status::BEFORE_LAUNCHED.to_vec()), true),
        ("over, of several", &over, Requires::Status(Status::BEFORE_LAUNCHED.to_vec()), false),
        ("no machine", &old, Requires::Instance(Student, None), true),
        ("no machine where one is", &old, Requires::Instance(Teacher, None), false),
        ("the machine", &old, Requires::Instance(Teacher, Some(id("i-1"))), true),
        ("another machine", &old, Requires::Instance(Teacher, Some(id("i-2"))), false),
        ("a machine where none is", &old, Requires::Instance(Student, Some(id("i-1"))), false),
        ("no other machine, for none is", &old, Requires::NoOtherInstance(Student, id("i-1")), true),
        ("no other machine, for it is this one", &old, Requires::NoOtherInstance(Teacher, id("i-1")), true),
        ("no other machine where one is", &old, Requires::NoOtherInstance(Teacher, id("i-2")), false),
        ("no attempt", &new, Requires::Attempt(Student, None), true),
        ("no attempt where one is", &old, Requires::Attempt(Student, None), false),
        ("no attempt where a refused one is", &marked, Requires::Attempt(Student, None), false),
        ("the attempt", &old, Requires::Attempt(Student, Some(two())), true),
        ("the attempt, not refused yet", &marked, Requires::Attempt(Student, Some(two())), false),
        ("the attempt, refused", &marked, Requires::Attempt(Student, Some((two().0, true))), true),
        ("the attempt, refused too early", &old, Requires::Attempt(Student, Some((two().0, true))), false),
        ("another attempt", &old, Requires::Attempt(Student, Some((token("token-1"), false))), false),
        ("the other role's attempt", &old, Requires::Attempt(Teacher, Some(two())), false),
        ("an attempt where none is", &new, Requires::Attempt(Student, Some(two())), false),
        ("the token", &old, Requires::Token(Student, token("token-2")), true),
        ("the token of a refused attempt", &marked, Requires::Token(Student, token("token-2")), true),
        ("another token", &old, Requires::Token(Student, token("token-1")), false),
        ("a token where no attempt is", &new, Requires::Token(Student, token("token-2")), false),
        ("no end", &old, Requires::NotEnding(Student), true),
        ("no end where no attempt is", &new, Requires::NotEnding(Student), true),
        ("no end where one is written", &ending, Requires::NotEnding(Student), false),
        ("no reason of an end that nobody gave one for", &over, Requires::TerminationReason(None), true),
        ("a reason that nobody gave", &over, Requires::TerminationReason(Some("ended".into())), false),
        ("no reason where one is given", &ended, Requires::TerminationReason(None), false),
        ("the reason", &ended, Requires::TerminationReason(Some("ended".into())), true),
        ("another reason", &ended, Requires::TerminationReason(Some("x".into())), false),
        ("the time", &old, Requires::MeetTime(old.meet_time_text.clone()), true),
        ("another time", &old, Requires::MeetTime(Some("2026-01-05".into())), false),
        ("no time where one is", &old, Requires::MeetTime(None), false),
        ("no time", &timeless, Requires::MeetTime(None), true),
    ];
    for (name, record, requirement, holds) in cases {
        stage.put(record).await;
        let update = only(stage, requirement);
        match holds {
            true => done(stage, &update, name).await,
            false => told(stage, &update, Some(record), name).await,
        }
    }
}

/// Which is why every write of `record.rs` asks for the record first: what is missing from it does not stand against the
/// others.
pub async fn nothing_but_existence_is_asked_of_a_missing_record(stage: &impl Stage) {
    for requirement in [
        Requires::Lease(None),
        Requires::Status(vec![None]),
        Requires::Instance(Teacher, None),
        Requires::NoOtherInstance(Teacher, id("i-1")),
        Requires::Attempt(Teacher, None),
    ] {
        let what = format!("{requirement:?}");
        let both = Update {
            requires: vec![Requires::Exists, requirement.clone()],
            ..only(stage, requirement.clone())
        };
        refused(stage, &both, None, &what).await;
        done(stage, &only(stage, requirement), &what).await;
        stage.delete(&meeting(stage)).await;
    }
    for requirement in [
        Requires::Exists,
        Requires::Lease(Some(lease("me", 30))),
        Requires::Owner(Owner::from("me")),
        Requires::Status(vec![Some(Status::Scheduled)]),
        Requires::Instance(Teacher, Some(id("i-1"))),
        Requires::Attempt(Teacher, Some((token("token-1"), false))),
        Requires::Token(Teacher, token("token-1")),
    ] {
        let what = format!("{requirement:?}");
        refused(stage, &only(stage, requirement), None, &what).await;
    }
}

pub async fn each_change_has_its_effect_and_no_other(stage: &impl Stage) {
    let before = half_done(stage);
    let m = &before.meeting_id;
    let changed = |change: fn(&mut Record)| {
        let mut record = before.clone();
        change(&mut record);
        record
    };
    let cases = [
        (Change::Lease(lease("you", 60)), changed(|r| r.lease = Some(lease("you", 60)))),
        (Change::DropLease, changed(|r| r.lease = None)),
        (
            Change::Attempt(Teacher, full_attempt(m, Teacher, "token-3")),
            changed(|r| r.teacher.attempt = Some(full_attempt(&r.meeting_id, Teacher, "token-3"))),
        ),
        (
            Change::Attempt(Student, plain_attempt(m, Student, "token-3")),
            changed(|r| r.student.attempt = Some(plain_attempt(&r.meeting_id, Student, "token-3"))),
        ),
        (
            Change::Refused(Student),
            changed(|r| r.student.attempt.as_mut().expect("an attempt").refused = true),
        ),
        (Change::Ending(Student), changed(|r| r.student.attempt.as_mut().expect("an attempt").ending = true)),
        (Change::Instance(Teacher, recorded("i-3")), changed(|r| filled(&mut r.teacher))),
        (Change::Instance(Student, recorded("i-3")), changed(|r| filled(&mut r.student))),
        (Change::Launched, changed(|r| r.status = Some(Status::Launched))),
        (Change::MeetTime(at(900).to_string()), changed(MOVED)),
        (Change::Terminated("ill".into()), changed(CANCELLED)),
        (Change::Lost(Teacher, lost("i-1")), changed(|r| r.teacher.instance_id = None)),
        (Change::Noted(Teacher, noted()), changed(|_| {})),
        (Change::Ready(at(60)), changed(|_| {})),
        (Change::Pruned, changed(PRUNED)),
        (Change::Failure(failure("why")), changed(|_| {})),
        (Change::ForgetFailure, changed(|_| {})),
    ];
    for (change, after) in cases {
        let what = format!("{change:?}");
        stage.put(&before).await;
        let earlier = Change::Failure(failure("an earlier one"));
        done(stage, &Update { changes: vec![earlier], ..only(stage, Requires::Exists) }, &what).await;
        let said = match &change {
            Change::Failure(failure) => Some(failure.clone()),
            Change::ForgetFailure | Change::Pruned => None,
            _ => Some(failure("an earlier one")),
        };
        done(stage, &Update { changes: vec![change], ..only(stage, Requires::Exists) }, &what).await;
        stands(stage, Some(&after), &what).await;
        assert_eq!(stage.failure(&meeting(stage)).await, said, "what the operator is told after {what}");
        assert!(
            stage.strangers_stand(&meeting(stage)).await,
            "an attribute of another program is gone after {what}"
        );
    }
}

/// The watchdog gives no reason, and whoever ends a meeting on purpose does: nobody brings that one back.
pub async fn a_meeting_that_was_ended_on_purpose_is_not_revived(stage: &impl Stage) {
    let record = half_done(stage);
    let m = &record.meeting_id;
    let revival = record::revive(m);
    let over = Record { status: Some(Status::Terminated), ..record.clone() };
    stage.put(&record).await;
    done(stage, &record::terminate(&record, "the teacher left"), "the end").await;
    let ended = Record { termination_reason: Some("the teacher left".into()), ..over.clone() };
    refused(stage, &revival, Some(&ended), "a revival against the reason").await;
    stage.put(&over).await;
    done(stage, &revival, "a revival where nobody gave a reason").await;
}

/// Said once, until one of the two is lost.
pub async fn a_meeting_is_ready_once_and_again_after_a_loss(stage: &impl Stage) {
    let before = half_done(stage);
    let m = &before.meeting_id;
    let both = [(Teacher, id("i-1"))];
    let ready = record::ready(m, &both, at(60));
    stage.put(&before).await;
    done(stage, &ready, "the first time").await;
    refused(stage, &ready, Some(&before), "the second").await;
    done(stage, &record::note(m, Teacher, &id("i-1"), noted()), "the note").await;
    done(stage, &record::forget(&before, Teacher, lost("i-1")), "the loss").await;
    let without = record::ready(m, &[], at(90));
    done(stage, &without, "again").await;
}

/// End a meeting that is over already: its reason is written once.
pub async fn the_end_of_a_meeting_says_why_once(stage: &impl Stage) {
    let record = half_done(stage);
    let over = Record { status: Some(Status::Terminated), ..record.clone() };
    stage.put(&over).await;
    done(stage, &record::terminate(&over, "the teacher left"), "where nobody gave a reason").await;
    let ended = Record { termination_reason: Some("the teacher left".into()), ..over.clone() };
    refused(stage, &record::terminate(&over, "the student left"), Some(&ended), "a second reason").await;
    // Another program writes its status over it: the reason is the word that stays.
    let overwritten = Record { status: Some(Status::Healthy), ..ended.clone() };
    stage.put(&overwritten).await;
    done(stage, &record::terminate(&overwritten, "the student left"), "over for its reason").await;
    stands(stage, Some(&ended), "with the first reason").await;
}

pub async fn one_requirement_that_does_not_hold_refuses_every_change(stage: &impl Stage) {
    let record = half_done(stage);
    stage.put(&record).await;
    let holding = [
        Requires::Exists,
        Requires::Lease(record.lease.clone()),
        Requires::Instance(Teacher, Some(id("i-1"))),
        Requires::Token(Student, token("token-2")),
    ];
    let changes = vec![
        Change::Lease(lease("you", 60)),
        Change::Refused(Student),
        Change::Instance(Student, recorded("i-3")),
        Change::Failure(failure("why")),
    ];
    let mut update = Update { changes, ..only(stage, Requires::Exists) };
    for place in 0..=holding.len() {
        update.requires = holding.to_vec();
        update.requires.insert(place, Requires::Status(vec![Some(Status::Scheduled)]));
        refused(stage, &update, Some(&record), &format!("the {place}th does not hold")).await;
        assert_eq!(stage.failure(&meeting(stage)).await, None);
    }
    update.requires = holding.to_vec();
    done(stage, &update, "all of them hold").await;
    let mut after = Record { lease: Some(lease("you", 60)), ..record };
    after.student.instance_id = Some(id("i-3"));
    after.student.launched_at = Some(at(5));
    after.student.attempt.as_mut().expect("an attempt").refused = true;
    stands(stage, Some(&after), "every change was made").await;
}

fn filled(of_role: &mut RoleRecord) {
    (of_role.instance_id, of_role.launched_at) = (Some(id("i-3")), Some(at(5)));
}

pub async fn each_write_is_done_where_it_fits_and_refused_where_it_does_not(stage: &impl Stage) {
    for Write { name, fits, update, after, unfit } in every_write(stage) {
        for (why, change) in unfit {
            let mut record = fits.clone();
            change(&mut record);
            stage.put(&record).await;
            told(stage, &update, Some(&record), &format!("{name} ({why})")).await;
        }
        stage.put(&fits).await;
        done(stage, &update, name).await;
        let mut record = fits;
        after(&mut record);
        stands(stage, Some(&record), name).await;
    }
}

pub async fn a_new_record_is_scheduled_and_has_its_time(stage: &impl Stage) {
    assert_eq!(stage.new_meetings().create(&new_record(stage)).await, Ok(Created::Done));
    let expected = elephant_world::timed(scheduled(stage), MeetTime::At(at(900)));
    stands(stage, Some(&expected), "after its creation").await;
}

pub async fn a_record_that_stands_is_never_written_over(stage: &impl Stage) {
    for standing in [half_done(stage), Record { status: Some(Status::Terminated), ..scheduled(stage) }] {
        stage.put(&standing).await;
        let exists = Ok(Created::Exists(Box::new(standing.clone())));
        assert_eq!(stage.new_meetings().create(&new_record(stage)).await, exists);
        stands(stage, Some(&standing), "after another was to be created").await;
        assert!(stage.strangers_stand(&meeting(stage)).await, "an attribute of another program is gone");
    }
}

pub async fn of_creations_at_once_one_is_done(stage: &impl Stage) {
    let new = new_record(stage);
    let answers = all((0..4).map(|_| stage.new_meetings().create(&new))).await;
    let done = answers.iter().filter(|answer| **answer == Ok(Created::Done)).count();
    let others = answers.iter().filter(|answer| matches!(answer, Ok(Created::Exists(_)))).count();
    assert_eq!((done, others), (1, 3), "{answers:?}");
}

/// Of a meeting at another time than [`scheduled`].
fn new_record(stage: &impl Stage) -> NewRecord {
    let attributes = serde_json::json!({"teacher_name": "Ada"});
    NewRecord {
        meeting_id: meeting(stage),
        meet_time: at(900).to_string(),
        created_at: at(0),
        attributes: attributes.as_object().expect("an object").clone(),
    }
}

pub async fn no_write_makes_a_record(stage: &impl Stage) {
    for Write { name, update, .. } in every_write(stage) {
        refused(stage, &update, None, name).await;
    }
}

pub async fn of_claims_at_once_one_is_done(stage: &impl Stage) {
    let m = &meeting(stage);
    for n in 0..3 {
        let read = scheduled(stage);
        stage.put(&read).await;
        let claims: Vec<Update> = (0..12)
            .map(|owner| {
                let owner = format!("delivery-{n}-{owner}");
                let attempts = [(Teacher, plain_attempt(m, Teacher, &format!("token-of-{owner}")))];
                record::claim(&read, lease(&owner, 30), &attempts)
            })
            .collect();
        let answers = all(claims.iter().map(|claim| stage.meetings().update(claim))).await;
        let done: Vec<usize> = (0..claims.len()).filter(|i| answers[*i] == Ok(Updated::Done)).collect();
        let [winner] = done[..] else { panic!("of {} claims these are done: {done:?}", claims.len()) };
        let mut claimed = Record { lease: Some(lease(&format!("delivery-{n}-{winner}"), 30)), ..read };
        claimed.teacher.attempt = Some(plain_attempt(m, Teacher, &format!("token-of-delivery-{n}-{winner}")));
        stands(stage, Some(&claimed), "after the claims").await;
        for (i, answer) in answers.into_iter().enumerate().filter(|(i, _)| *i != winner) {
            let found = Updated::Refused(Some(Box::new(claimed.clone())));
            assert_eq!(answer, Ok(found), "claim {i} is told of claim {winner}");
        }
    }
}

/// The other must not come last, and set the end of the lease back.
pub async fn of_two_renewals_the_first_is_done(stage: &impl Stage) {
    let record = half_done(stage);
    stage.put(&record).await;
    let renew = |until| record::renew(&meeting(stage), lease("me", 30), at(until));
    done(stage, &renew(61), "the first").await;
    let renewed = Record { lease: Some(lease("me", 61)), ..record };
    refused(stage, &renew(60), Some(&renewed), "the second").await;
}

pub async fn a_lost_answer_is_ambiguous_and_the_write_is_not_repeated(stage: &impl Stage) {
    let record = half_done(stage);
    let update = record::renew(&meeting(stage), lease("me", 30), at(60));
    let renewed = Record { lease: Some(lease("me", 60)), ..record.clone() };
    for (fate, after) in [(Fate::LostBefore, &record), (Fate::LostAfter, &renewed)] {
        stage.put(&record).await;
        stage.next("UpdateItem", fate.clone());
        let error = stage.meetings().update(&update).await.expect_err("no answer comes");
        assert_eq!(
            (error.action, error.class, error.code),
            ("UpdateItem", Class::Ambiguous, None),
            "{fate:?}"
        );
        stands(stage, Some(after), &format!("{fate:?}")).await;
    }
    refused(stage, &update, Some(&renewed), "whoever repeats it is told what stands").await;
}

/// Which is what makes a lease a fence: whoever took over has changed what the write rests on.
pub async fn a_late_write_is_judged_when_it_is_made(stage: &impl Stage) {
    let read = half_done(stage);
    let renewal = record::renew(&meeting(stage), lease("me", 30), at(60));
    let renewed = Record { lease: Some(lease("me", 60)), ..read.clone() };
    let taken = Record { lease: Some(lease("you", 90)), ..read.clone() };
    for (other, after) in [(None, renewed), (Some(record::claim(&read, lease("you", 90), &[])), taken)] {
        stage.put(&read).await;
        stage.abandon("UpdateItem", stage.meetings().update(&renewal)).await;
        stands(stage, Some(&read), "it is not made yet").await;
        if let Some(claim) = other {
            done(stage, &claim, "the claim of another").await;
        }
        stage.late_effect().await;
        stands(stage, Some(&after), "the late renewal was judged").await;
    }
}

pub async fn a_failure_of_the_table_changes_nothing_and_has_its_class(stage: &impl Stage) {
    let record = half_done(stage);
    stage.put(&record).await;
    let update = record::renew(&meeting(stage), lease("me", 30), at(60));
    for (class, code) in [
        (Class::Throttled, "ProvisionedThroughputExceededException"),
        (Class::Throttled, "ThrottlingException"),
        (Class::Throttled, "RequestLimitExceeded"),
        (Class::Ambiguous, "InternalServerError"),
        (Class::Misconfigured, "ResourceNotFoundException"),
        (Class::Misconfigured, "ValidationException"),
        (Class::Unauthorized, "AccessDeniedException"),
    ] {
        stage.next("UpdateItem", Fate::Fails(class, code));
        let error = stage.meetings().update(&update).await.expect_err(code);
        assert_eq!((error.action, error.class, error.code()), ("UpdateItem", class, code));
        stage.next("GetItem", Fate::Fails(class, code));
        let error = stage.meetings().read(&meeting(stage)).await.expect_err(code);
        assert_eq!((error.action, error.class, error.code()), ("GetItem", class, code));
        stands(stage, Some(&record), code).await;
    }
}

/// On this condition alone, a change that shows.
fn only(stage: &impl Stage, requirement: Requires) -> Update {
    Update {
        meeting_id: meeting(stage),
        requires: vec![requirement],
        changes: vec![Change::Lease(lease("somebody", 90))],
    }
}

async fn done(stage: &impl Stage, update: &Update, what: &str) {
    assert_eq!(stage.meetings().update(update).await, Ok(Updated::Done), "{what}: {update:#?}");
}

/// The write is refused, and told what stands.
async fn told(stage: &impl Stage, update: &Update, standing: Option<&Record>, what: &str) {
    let told = Updated::Refused(standing.cloned().map(Box::new));
    assert_eq!(stage.meetings().update(update).await, Ok(told), "{what}: {update:#?}");
}

/// And it has changed nothing.
async fn refused(stage: &impl Stage, update: &Update, standing: Option<&Record>, what: &str) {
    told(stage, update, standing, what).await;
    stands(stage, standing, what).await;
}

async fn stands(stage: &impl Stage, record: Option<&Record>, what: &str) {
    assert_eq!(
        stage.meetings().read(&meeting(stage)).await.as_ref().map(Option::as_ref),
        Ok(record),
        "{what}"
    );
}

//! What scheduling promises: one record and one schedule a meeting, which agree; nothing scheduled for a meeting that is
//! over; no meeting cancelled that has machines. Stories, and tables of the decisions. The explorer follows every
//! interleaving of two deliveries.

use std::time::Duration;

use elephant_core::companions::Fate;
use elephant_core::error::Kind;
use elephant_core::launch_schedule::{ExistingSchedule, OneTimeSchedule, ScheduleName, input};
use elephant_core::machine::InstanceId;
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::plan::schedule::{
    Adjustment, Cancellation, adjustment, can_be_launched, cancellation, one_time,
};
use elephant_core::record::{Lease, MeetTime, Owner, Record};
use elephant_core::schedule::{Outcome, ScheduleAnswer};
use elephant_world::scheduling::{Chooser, Played, Scenario, at, cancel, config, play, schedule};
use elephant_world::{meeting, scheduled, start};
use jiff::Timestamp;
use serde_json::{Value, json};

// Stories.

/// Always the first delivery that is not done.
struct First;

impl Chooser for First {
    fn choose(&mut self, _: usize, _: &dyn Fn() -> u64) -> Option<usize> {
        Some(0)
    }
}

/// Each request in its turn, undisturbed.
fn one_after_the_other(events: &[Value]) -> Played {
    let scenario = Scenario { events: events.to_vec(), ..Scenario::quiet() };
    let played = play(&scenario, &mut First);
    assert_eq!(played.breach, None, "{:#?}", played.told);
    played
}

fn outcomes(played: &Played) -> Vec<Result<Outcome, Kind>> {
    let ended = played.ended.iter().map(|end| end.clone().expect("it did not die"));
    ended.map(|end| end.map(|answer| answer.outcome).map_err(|error| error.kind)).collect()
}

#[test]
fn a_new_meeting_gets_a_record_and_a_schedule() {
    let played = one_after_the_other(&[schedule(60)]);
    let Some(Ok(ScheduleAnswer { outcome, meet_time, schedule: Some(planned), .. })) =
        played.ended[0].clone()
    else {
        panic!("{:?}", played.ended)
    };
    assert_eq!(outcome, Outcome::Scheduled);
    assert_eq!(meet_time, Some(at(60).to_string()));
    assert_eq!((planned.name.as_str(), planned.fires_at), ("launch-m", at(45).to_string()));
    assert_eq!(planned.flexible_window_minutes, 5);
    let record = &played.table.records[&meeting("m")];
    assert_eq!(
        (record.status.clone(), record.meet_time.clone()),
        (Some(Status::Scheduled), MeetTime::At(at(60)))
    );
    assert_eq!(played.schedules.len(), 1);
}

#[test]
fn a_second_delivery_changes_nothing() {
    let played = one_after_the_other(&[schedule(60), schedule(60)]);
    assert_eq!(outcomes(&played), [Ok(Outcome::Scheduled), Ok(Outcome::Unchanged)]);
    assert_eq!(played.schedules.len(), 1);
}

#[test]
fn another_time_moves_record_and_schedule() {
    let played = one_after_the_other(&[schedule(60), schedule(90)]);
    assert_eq!(outcomes(&played), [Ok(Outcome::Scheduled), Ok(Outcome::Moved)]);
    assert_eq!(played.table.records[&meeting("m")].meet_time, MeetTime::At(at(90)));
    assert_eq!(played.schedules[&ScheduleName::of(&meeting("m"))].at, at(75));
}

#[test]
fn a_cancelled_meeting_is_over_has_no_schedule_and_stays_so() {
    let played = one_after_the_other(&[schedule(60), cancel(), cancel(), schedule(60)]);
    let expected =
        [Ok(Outcome::Scheduled), Ok(Outcome::Cancelled), Ok(Outcome::Unchanged), Err(Kind::MeetingOver)];
    assert_eq!(outcomes(&played), expected);
    assert_eq!(played.table.records[&meeting("m")].status, Some(Status::Terminated));
    assert!(played.schedules.is_empty());
}

/// The safety net's schedule stands a quarter of an hour after the meeting that another program has planned.
fn beside_a_safety_net(events: &[Value]) -> Played {
    let played = play(
        &Scenario { stands: true, companion: true, events: events.to_vec(), ..Scenario::quiet() },
        &mut First,
    );
    assert_eq!(played.breach, None, "{:#?}", played.told);
    played
}

fn fates(played: &Played) -> Vec<Option<Fate>> {
    let answers = played.ended.iter().map(|end| end.clone().expect("it did not die").expect("an answer"));
    answers.map(|answer| answer.companions.get("default/safety-m").copied()).collect()
}

#[test]
fn a_companion_moves_and_goes_with_its_meeting() {
    let played = beside_a_safety_net(&[schedule(60)]);
    assert_eq!((played.safety, fates(&played)), (Some(at(75)), vec![None]), "nobody has moved it");
    let played = beside_a_safety_net(&[schedule(90), schedule(90), schedule(30)]);
    let expected = [Some(Fate::Moved), Some(Fate::Unchanged), Some(Fate::Moved)];
    assert_eq!((played.safety, fates(&played)), (Some(at(45)), expected.to_vec()));
    let played = beside_a_safety_net(&[schedule(90), cancel(), cancel()]);
    let expected = [Some(Fate::Moved), Some(Fate::Deleted), None];
    assert_eq!((played.safety, fates(&played)), (None, expected.to_vec()));
}

#[test]
fn a_meeting_that_does_not_exist_cannot_be_cancelled() {
    assert_eq!(outcomes(&one_after_the_other(&[cancel()])), [Err(Kind::MeetingNotFound)]);
}

#[test]
fn a_meeting_long_past_is_not_scheduled() {
    let past = (start() - Duration::from_secs(121 * 60)).to_string();
    let played = one_after_the_other(&[json!({"meeting_id": "m", "meet_time": past}), schedule(60)]);
    let Some(Err(error)) = &played.ended[0] else { panic!("{:?}", played.ended) };
    assert_eq!(error.kind, Kind::InvalidEvent);
    assert!(error.chain().contains("LAUNCH_WINDOW_MINUTES"), "{}", error.chain());
}

// When a meeting is launched.

fn due(minutes_to_meeting: i64, now: Timestamp) -> OneTimeSchedule {
    one_time(&config(), &meeting("m"), now + jiff::SignedDuration::from_mins(minutes_to_meeting), now)
}

#[test]
fn the_schedule_fires_ahead_and_where_the_lead_has_begun_a_minute_from_now() {
    let now = start();
    // Minutes to the meeting → seconds until the schedule fires, and its window in minutes.
    for (to_meeting, fires_in, window) in [
        (1440, (1440 - 15) * 60, 5),
        (17, 120, 5),
        (16, 60, 5),
        (15, 60, 4),
        (14, 60, 3),
        (12, 60, 1),
        (11, 60, 0),
        (1, 60, 0),
        (0, 60, 0),
        (-119, 60, 0),
    ] {
        let schedule = due(to_meeting, now);
        let found = (schedule.at.duration_since(now).as_secs(), schedule.flexible_window_minutes);
        assert_eq!(found, (fires_in, window), "{to_meeting} minutes to the meeting");
    }
}

#[test]
fn a_schedule_has_whole_seconds_so_that_it_is_found_as_it_was_written() {
    let now: Timestamp = "2026-01-05T09:50:00.999999Z".parse().expect("a time");
    for to_meeting in [0, 60] {
        assert_eq!(due(to_meeting, now).at.subsec_nanosecond(), 0);
    }
}

#[test]
fn scheduler_repeats_as_long_as_a_launch_is_worth_it() {
    let age = |minutes| due(minutes, start()).retry.maximum_event_age.as_secs();
    assert_eq!(age(60), (15 + 120) * 60, "lead and launch window");
    assert_eq!(age(0), 119 * 60, "what is left of the launch window");
    assert_eq!(age(-120), 60, "Scheduler's least");
    let mut week = config();
    week.launch_window = Duration::from_secs(7 * 24 * 3600);
    let schedule = one_time(&week, &meeting("m"), at(60), start());
    assert_eq!(schedule.retry.maximum_event_age.as_secs(), 86_400, "Scheduler's most");
    assert_eq!(schedule.retry.maximum_attempts, 30);
}

#[test]
fn the_launch_window_decides_whether_a_meeting_can_still_be_launched() {
    let window = Duration::from_secs(7200);
    assert!(can_be_launched(at(0), at(120), window));
    assert!(!can_be_launched(at(0), at(120) + Duration::from_nanos(1), window));
}

#[test]
fn a_schedule_that_stands_is_kept_where_it_will_do() {
    let now = start();
    let wanted = due(60, now);
    let late = due(5, now);
    let standing = |schedule: &OneTimeSchedule, seconds: i64| {
        ExistingSchedule::OneTime(OneTimeSchedule {
            at: schedule.at + jiff::SignedDuration::from_secs(seconds),
            ..schedule.clone()
        })
    };
    let another_target = {
        let mut schedule = late.clone();
        schedule.target.role.push('x');
        ExistingSchedule::OneTime(schedule)
    };
    let wide = ExistingSchedule::OneTime(OneTimeSchedule { flexible_window_minutes: 10, ..late.clone() });
    for (what, found, wanted, expected) in [
        ("none", ExistingSchedule::Absent, &wanted, Adjustment::Create),
        ("the same", standing(&wanted, 0), &wanted, Adjustment::Keep),
        ("another time", standing(&wanted, -60), &wanted, Adjustment::Replace),
        ("something recurring", ExistingSchedule::Other, &wanted, Adjustment::Replace),
        ("due sooner, the lead has begun", standing(&late, -30), &late, Adjustment::Keep),
        ("firing now", standing(&late, -60), &late, Adjustment::Keep),
        ("due later", standing(&late, 30), &late, Adjustment::Replace),
        ("left behind long ago", standing(&late, -361), &late, Adjustment::Replace),
        ("of another target", another_target, &late, Adjustment::Replace),
        ("with a window that ends too late", wide, &late, Adjustment::Replace),
    ] {
        assert_eq!(adjustment(&found, wanted, now), expected, "{what}");
    }
}

/// A caller that asks again every twenty seconds must not put the launch off for ever.
#[test]
fn a_request_that_comes_again_and_again_does_not_put_the_launch_off() {
    let first = due(3, start());
    for again in 1..10_u64 {
        let now = start() + Duration::from_secs(20 * again);
        let wanted = one_time(&config(), &meeting("m"), at(3), now);
        let kept = adjustment(&ExistingSchedule::OneTime(first.clone()), &wanted, now);
        assert_eq!(kept, Adjustment::Keep, "after {} s", 20 * again);
    }
}

// Names and input.

#[test]
fn a_name_is_the_meetings_where_scheduler_allows_it() {
    let name = |id: &str| ScheduleName::of(&MeetingId::new(id).expect("an id")).as_str().to_owned();
    assert_eq!(name("7b0c.x_Y-1"), "launch-7b0c.x_Y-1");
    let longest = "a".repeat(57);
    assert_eq!(name(&longest), format!("launch-{longest}"));
    let ids =
        ["a b", "a-b ", "a/b", "ä", "🐘", &"a".repeat(58), &"a".repeat(59), &"é".repeat(256), "a\u{7}b"];
    let mut names: Vec<String> = ids.iter().map(|id| name(id)).collect();
    for name in &names {
        assert!(name.len() <= 64 && name.starts_with("launch-"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ids.len(), "no two meetings share a schedule: {names:?}");
}

#[test]
fn the_input_is_an_event_of_launch_whatever_the_id() {
    for id in ["m", r#"a "b" \ c"#, "<aws.scheduler.attempt-number>", "🐘\nx"] {
        let id = MeetingId::new(id).expect("an id");
        let text = input(&id);
        let event: Value = serde_json::from_str(&text).expect("JSON");
        let launch = elephant_core::event::Launch::from_json(&event).expect("an event of launch");
        assert_eq!(launch.meeting_id, id);
        assert_eq!(text.matches("<aws.scheduler.").count(), 4, "Scheduler replaces its own four: {text}");
        assert_eq!(launch.context.scheduled_time.as_deref(), Some("<aws.scheduler.scheduled-time>"));
    }
}

// Cancelling.

#[test]
fn only_a_meeting_without_machines_and_without_a_delivery_at_work_is_cancelled() {
    let skew = Duration::from_secs(5);
    let now = at(1);
    let leased = |seconds: i64| Record {
        lease: Some(Lease { owner: Owner::from("o"), until: now + jiff::SignedDuration::from_secs(seconds) }),
        ..scheduled("m")
    };
    let with_machine = |role: Role| {
        let mut record = scheduled("m");
        record.role_mut(role).instance_id = Some(InstanceId::from("i-1"));
        record
    };
    let status = |status| Record { status, ..scheduled("m") };
    for (what, record, expected) in [
        ("scheduled", scheduled("m"), Cancellation::Cancel),
        ("without a status", status(None), Cancellation::Cancel),
        ("over", status(Some(Status::Terminated)), Cancellation::AlreadyOver),
        (
            "of a status to come",
            status(Some(Status::Unknown("PAUSED".into()))),
            Cancellation::Unknown(Status::Unknown("PAUSED".into())),
        ),
        ("leased", leased(1), Cancellation::Leased(now + Duration::from_secs(6))),
        ("leased by a clock that is behind", leased(-4), Cancellation::Leased(now + Duration::from_secs(1))),
        ("leased once", leased(-5), Cancellation::Cancel),
        ("half launched", with_machine(Role::Student), Cancellation::Launched(vec![Role::Student])),
    ] {
        assert_eq!(cancellation(&record, now, skew), expected, "{what}");
    }
}

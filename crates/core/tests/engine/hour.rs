//! Meetings on the hour: what the launcher promises where many are due at once, in virtual time. `benches/hour.rs` runs
//! more of the same and prints the figures.

use std::time::Duration;

use elephant_core::timing::Timing;
use elephant_world::hour::{Hour, run};

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Hour = Hour {
    meetings: 100,
    lead: Duration::from_secs(15 * 60),
    window: Duration::ZERO,
    concurrency: 1000,
    timeout: Timing::DEFAULT.delivery,
    event_age: Duration::from_secs(8100),
    twice: 0,
    configured: false,
    seed: 1,
};

#[test]
fn one_meeting_takes_its_round_trips_and_no_more() {
    let report = run(Hour { meetings: 1, ..HOUR });
    assert_eq!((report.recorded.len(), report.refused, report.repeats()), (2, 0, 0), "{report:?}");
    // Beside what EC2 and the table take, the start of a process and one look-up.
    assert!(report.took() - report.allowed < Duration::from_millis(200), "{report:?}");
}

#[test]
fn a_hundred_at_once_are_launched_once_each_in_their_first_delivery() {
    let report = run(HOUR);
    assert_eq!((report.recorded.len(), report.lost, report.twice), (200, 0, 0), "{report:?}");
    assert_eq!((report.repeats(), report.given_up), (0, 0), "{report:?}");
    assert!(report.refused_per_machine() <= 10.0, "{report:?}");
}

#[test]
fn five_hundred_at_once_take_little_more_than_the_buckets_allow() {
    for seed in 1..=5 {
        let report = run(Hour { meetings: 500, seed, ..HOUR });
        assert_eq!((report.lost, report.twice, report.repeats()), (0, 0, 0), "{report:?}");
        assert!(report.against_allowed() <= 1.10, "{} {report:?}", report.against_allowed());
        assert!(report.refused_per_machine() <= 20.0, "{} {report:?}", report.refused_per_machine());
    }
}

#[test]
fn over_ten_minutes_all_five_hundred_are_ready_before_the_meeting_starts() {
    let report = run(Hour { meetings: 500, window: 10 * MINUTE, ..HOUR });
    assert_eq!((report.lost, report.twice), (0, 0), "{report:?}");
    assert!(report.lead_left() > 0.0, "{report:?}");
}

#[test]
fn deliveries_that_come_twice_make_no_second_machine() {
    let report = run(Hour { twice: 2, ..HOUR });
    assert_eq!((report.recorded.len(), report.lost, report.twice), (200, 0, 0), "{report:?}");
    assert!(report.repeats() > 0, "the copies met a lease: {report:?}");
}

/// The simulation has teeth: what Lambda repeats only twice is lost where a delivery may not wait.
#[test]
fn a_minute_is_too_short_for_five_hundred() {
    let report = run(Hour { meetings: 500, timeout: MINUTE, ..HOUR });
    assert!(report.lost > 0 && report.repeats() > 0, "{report:?}");
    assert_eq!(report.twice, 0, "{report:?}");
    assert!(report.came_again.contains_key("Throttled"), "they left early and said so: {report:?}");
    assert!(!report.came_again.contains_key("time-out"), "none was ended by Lambda: {report:?}");
}

#[test]
fn a_seed_is_a_course() {
    let [one, same, other] = [1, 1, 2].map(|seed| run(Hour { seed, ..HOUR }).recorded);
    assert_eq!(one, same);
    assert_ne!(one, other);
}

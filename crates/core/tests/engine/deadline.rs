//! Deadlines as Lambda and its stand-ins send them.

use std::time::Duration;

use elephant_core::deadline;
use elephant_core::timing::Timing;
use jiff::Timestamp;

fn now() -> Timestamp {
    "2026-01-05T09:50:00Z".parse().expect("a time")
}

/// How long a delivery has that arrives with this header.
fn allowance(header_ms: u64) -> Duration {
    deadline::from_header(header_ms, now(), &Timing::DEFAULT)
        .duration_since(now())
        .try_into()
        .unwrap_or_default()
}

#[test]
fn a_deadline_of_lambda_leaves_half_a_second_to_answer() {
    let epoch = u64::try_from(now().as_millisecond()).expect("after 1970");
    assert_eq!(allowance(epoch + 60_000), Duration::from_millis(59_500));
    assert_eq!(allowance(epoch + 3_000), Duration::from_millis(2_500));
}

#[test]
fn a_deadline_far_in_the_past_is_unknown_and_gets_the_default_allowance() {
    for header in [0, 600_000, 1_000_000_000] {
        assert_eq!(allowance(header), Timing::DEFAULT.delivery, "{header}");
    }
    assert_eq!(allowance(u64::MAX), Timing::DEFAULT.delivery);
}

#[test]
fn a_deadline_that_has_just_passed_is_no_allowance() {
    let epoch = u64::try_from(now().as_millisecond()).expect("after 1970");
    assert_eq!(allowance(epoch - 1_000), Duration::ZERO);
}

//! The door: deadlines as Lambda and its stand-ins send them, and errors as Lambda records them.

use std::time::Duration;

use elephant_launch::error::{AwsError, Class, Error, Kind};
use elephant_launch::lambda::deadline;
use elephant_launch::timing::Timing;
use jiff::Timestamp;
use lambda_runtime::Diagnostic;

fn now() -> Timestamp {
    "2026-01-05T09:50:00Z".parse().expect("a time")
}

/// How long a delivery has that arrives with this header.
fn allowance(header_ms: u64) -> Duration {
    deadline(header_ms, now(), &Timing::DEFAULT).duration_since(now()).try_into().unwrap_or_default()
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

#[test]
fn an_error_is_recorded_under_its_type_with_the_whole_story() {
    let cause = AwsError {
        action: "RunInstances",
        class: Class::Misconfigured,
        code: Some("InvalidKeyPair.NotFound".into()),
        message: "The key pair 'k' does not exist.".into(),
        request_id: Some("r-1".into()),
        advice: String::new(),
    };
    let error = Error::new(
        Kind::InvalidConfiguration,
        "meeting m, teacher: the launch was refused",
        "change KEY_NAME",
    )
    .caused_by(cause);
    let log = format!("{error:?}");
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "InvalidConfiguration");
    assert_eq!(
        diagnostic.error_message,
        "meeting m, teacher: the launch was refused: RunInstances answered InvalidKeyPair.NotFound: The key pair 'k' \
         does not exist (AWS request id r-1); change KEY_NAME"
    );
    assert!(log.starts_with("InvalidConfiguration (a repeat cannot help): meeting m"), "{log}");
}

#[test]
fn error_types_are_stable_words_of_their_own() {
    let mut words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Kind::ALL.len());
    assert!(Kind::MeetingBusy.a_repeat_can_help() && !Kind::InvalidEvent.a_repeat_can_help());
}

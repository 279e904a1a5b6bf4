//! What errors are called.

use elephant_core::error::Kind;

#[test]
fn error_types_are_stable_words_of_their_own() {
    let mut words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Kind::ALL.len());
    assert!(Kind::MeetingBusy.is_retryable() && !Kind::InvalidEvent.is_retryable());
}

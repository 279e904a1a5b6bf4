//! Bytes as the event: it names the meeting that it says, or is refused as `InvalidEvent`.
#![no_main]

#[allow(dead_code, reason = "the record's part of it")]
#[path = "../../tests/hostile/model.rs"]
mod model;

use elephant_launch::error::Kind;
use elephant_launch::event::Launch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Lambda's runtime refuses what is no JSON before we are asked.
    let Ok(event) = serde_json::from_slice(data) else { return };
    match (Launch::from_json(&event), model::named(&event)) {
        (Ok(launch), Some(id)) => assert_eq!(launch.meeting_id.as_str(), id),
        (Err(error), None) => {
            assert_eq!(error.kind, Kind::InvalidEvent);
            assert!(error.chain().chars().count() < 500, "{error:?}");
        }
        (found, said) => panic!("{found:?}, and the event names {said:?}"),
    }
});

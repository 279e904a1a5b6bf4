//! Bytes as the event: it names the meeting that it says, or is refused as `InvalidEvent`,
//! as what is no JSON is.
#![no_main]

#[allow(dead_code, reason = "the record's part of it")]
#[path = "../../tests/it/hostile/model.rs"]
mod model;

use elephant_core::error::Kind;
use elephant_core::event::{self, Launch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let event = match event::parse(data) {
        Ok(event) => event,
        Err(error) => {
            assert_eq!(error.kind, Kind::InvalidEvent);
            return assert!(error.chain().len() < 300, "{error:?}");
        }
    };
    match (Launch::from_json(&event), model::named(&event)) {
        (Ok(launch), Some(id)) => assert_eq!(launch.meeting_id.as_str(), id),
        (Err(error), None) => {
            assert_eq!(error.kind, Kind::InvalidEvent);
            assert!(error.chain().chars().count() < 500, "{error:?}");
        }
        (found, said) => panic!("{found:?}, and the event names {said:?}"),
    }
});

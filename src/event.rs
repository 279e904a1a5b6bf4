//! The JSON that arrives, and the request that it means.
//!
//! A schedule of ours sends `{"meeting_id": …}`; older ones of the system send `{"meetingId": …}`; a rule of an event
//! bus wraps either in `detail`. Further fields are welcome and, but for the context attributes of EventBridge
//! Scheduler, ignored.

use serde_json::{Map, Value};

use crate::error::{Error, Kind};
use crate::meeting::MeetingId;

/// How much of a refused event is shown.
const SHOWN: usize = 200;

const SPELLINGS: [&str; 2] = ["meeting_id", "meetingId"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub meeting_id: MeetingId,
    pub schedule: Schedule,
}

/// What EventBridge Scheduler says of a delivery, where the schedule's Input carries its context attributes
/// (`"scheduled_time": "<aws.scheduler.scheduled-time>"` and so on; each arrives as a string). For the log only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub schedule_arn: Option<String>,
    pub scheduled_time: Option<String>,
    pub execution_id: Option<String>,
    pub attempt_number: Option<String>,
}

impl Launch {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let refused = |problem: String| {
            Error::new(
                Kind::InvalidEvent,
                format!("the event {problem}, got {}", shown(event)),
                r#"send {"meeting_id": "<the id of a record in the table>"}"#,
            )
        };
        let Value::Object(outer) = event else {
            return Err(refused(format!("is {}, not an object", kind_of(event))));
        };
        // An envelope of EventBridge: the request is its detail.
        let fields = match outer.get("detail") {
            Some(Value::Object(detail)) if !names_a_meeting(outer) => detail,
            Some(other) if !names_a_meeting(outer) => {
                return Err(refused(format!("has a detail that is {}, not an object", kind_of(other))));
            }
            _ => outer,
        };
        let mut ids = Vec::new();
        for spelling in SPELLINGS {
            match fields.get(spelling) {
                None => {}
                Some(Value::String(text)) => {
                    let id = MeetingId::new(text)
                        .map_err(|what| refused(format!("has a {spelling} that {what}")))?;
                    ids.push(id);
                }
                Some(other) => {
                    return Err(refused(format!(
                        "has a {spelling} that is {}, not a string",
                        kind_of(other)
                    )));
                }
            }
        }
        ids.dedup();
        match <[MeetingId; 1]>::try_from(ids) {
            Ok([meeting_id]) => Ok(Launch { meeting_id, schedule: Schedule::from_fields(fields) }),
            Err(ids) if ids.is_empty() => Err(refused("has no meeting_id".into())),
            Err(_) => Err(refused("has a meeting_id and a meetingId that differ".into())),
        }
    }
}

impl Schedule {
    fn from_fields(fields: &Map<String, Value>) -> Self {
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Schedule {
            schedule_arn: text("schedule_arn"),
            scheduled_time: text("scheduled_time"),
            execution_id: text("execution_id"),
            attempt_number: text("attempt_number"),
        }
    }
}

fn names_a_meeting(fields: &Map<String, Value>) -> bool {
    SPELLINGS.iter().any(|spelling| fields.contains_key(*spelling))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shown(event: &Value) -> String {
    let text = event.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

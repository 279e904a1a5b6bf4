//! The JSON that arrives, and the request that it means.
//!
//! Our own schedules send `{"meeting_id": …}`; older schedules of the system send `{"meetingId": …}`; a rule of an
//! event bus wraps either in `detail`. `launch` accepts further fields and ignores them, except the context attributes
//! of EventBridge Scheduler; `schedule` writes them to the record. The error about a refused event shows only the
//! event's shape, because its values hold names, commands and reasons of people.

mod operate;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use operate::{
    About, KeyOrigin, Named, Operate, Target, Verb, WantedCommand, WantedInterface, WantedVolume,
};

use crate::error::{Error, Kind};
use crate::machine::InstanceId;
use crate::meeting::{MeetingId, Role};
use crate::overrides::Overrides;
use crate::record::OTHERS_LIMIT;

/// The longest shape of a refused event that is shown.
const SHOWN: usize = 200;
/// The longest name of a refused field that is shown.
const NAME_SHOWN: usize = 40;

/// The numbers that DynamoDB keeps exactly: at most so many digits, and the first digit in this range of powers of ten.
/// DynamoDB refuses all others.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-data-types-number>
const DIGITS: usize = 38;
const POWERS: RangeInclusive<i64> = -130..=125;

/// A record holds 400 KB at most, and people read the reason.
const REASON_LIMIT: usize = 1000;

const MEETING_ID: [&str; 2] = ["meeting_id", "meetingId"];
const MEET_TIME: [&str; 2] = ["meet_time", "meetTime"];

/// The bytes that a request may add to a record: the limit of others, less a new record's id, status and times.
const ATTRIBUTES_LIMIT: usize = OTHERS_LIMIT - 2 * 1024;
/// DynamoDB allows 32 levels of nesting.
const DEPTH_LIMIT: usize = 30;

/// The JSON of an event. Callers may send anything, so it may not be JSON at all.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    // The parser's error names a place in the text, and shows nothing of the text.
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            Kind::InvalidEvent,
            format!("the event is no JSON that can be read: {error}; it has {} bytes", bytes.len()),
            "send a JSON object in UTF-8, without a byte order mark, of at most 128 levels",
        )
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub meeting_id: MeetingId,
    pub context: ScheduleContext,
}

/// What EventBridge Scheduler tells about a delivery, if the schedule's Input has its context attributes
/// (`"scheduled_time": "<aws.scheduler.scheduled-time>"` and so on; each arrives as a string). It is only logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleContext {
    pub schedule_arn: Option<String>,
    pub scheduled_time: Option<String>,
    pub execution_id: Option<String>,
    pub attempt_number: Option<String>,
}

/// A request to have a meeting launched in time, or to cancel it.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// A new meeting, or a new time for a meeting that has a record.
    Meeting(Appointment),
    Cancel {
        meeting_id: MeetingId,
        reason: String,
    },
}

/// A meeting as the caller who arranges it describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Appointment {
    pub meeting_id: MeetingId,
    pub meet_time: Timestamp,
    /// The time in the only form that a record has: UTC with a `Z`, to the second, with the fraction as it was sent.
    pub meet_time_text: String,
    /// Further attributes of a new record, such as names or the room's address: whatever other programs need.
    pub attributes: Map<String, Value>,
}

/// A request to end a meeting with its machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub meeting_id: MeetingId,
    pub reason: String,
    /// Whether to wait until EC2 says that the machines are terminated.
    pub wait: bool,
}

/// A question about a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub meeting_id: MeetingId,
    pub asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The meeting's state now.
    Now,
    /// The meeting's state once both machines run.
    WaitUntilRunning,
    /// The text that this role's machine wrote to its console.
    Console(Role),
}

/// A request to make the running machines agree with the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconcile {
    /// Look at all machines and records.
    Sweep,
    /// Look at these machines and their meetings. Nothing else in a notification is believed, because it may be old.
    Instances(Vec<InstanceId>),
}

/// A check of everything that a launch needs, without a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// A meeting to check, too: whether it could be launched now.
    pub meeting_id: Option<MeetingId>,
}

impl Preflight {
    /// `None`: the event asks for a launch.
    pub fn from_json(event: &Value) -> Result<Option<Self>, Error> {
        let refused = |problem| {
            refused(event, problem, r#"{"preflight": true} or {"preflight": true, "meeting_id": "…"}"#)
        };
        // `preflight` counts on both levels of an envelope: a caller who asks for a check must never get a launch.
        let levels = [event.get("preflight"), event.get("detail").and_then(|detail| detail.get("preflight"))];
        let mut asked = false;
        for level in levels.into_iter().flatten() {
            match level {
                Value::Null | Value::Bool(false) => {}
                Value::Bool(true) => asked = true,
                other => {
                    return Err(refused(format!(
                        "has a preflight that is {}, not a boolean",
                        kind_of(other)
                    )));
                }
            }
        }
        if !asked {
            return Ok(None);
        }
        let fields = fields(event).map_err(refused)?;
        let named = MEETING_ID.iter().any(|name| fields.contains_key(*name));
        let meeting_id = named.then(|| meeting_id(fields)).transpose().map_err(refused)?;
        Ok(Some(Preflight { meeting_id }))
    }
}

impl Launch {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let refused =
            |problem| refused(event, problem, r#"{"meeting_id": "<the id of a record in the table>"}"#);
        let fields = fields(event).map_err(refused)?;
        let meeting_id = meeting_id(fields).map_err(refused)?;
        Ok(Launch { meeting_id, context: ScheduleContext::from_fields(fields) })
    }
}

impl End {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let refused = |problem| {
            refused(
                event,
                problem,
                r#"{"meeting_id": "…", "reason": "…", "wait": true}, the last two if wanted"#,
            )
        };
        let fields = fields(event).map_err(refused)?;
        let meeting_id = meeting_id(fields).map_err(refused)?;
        let reason = reason(fields, "ended").map_err(refused)?;
        let wait = match fields.get("wait") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(Value::String(text)) if text == "terminated" => true,
            Some(_) => {
                return Err(refused("has a wait that is neither a boolean nor \"terminated\"".to_owned()));
            }
        };
        Ok(End { meeting_id, reason, wait })
    }
}

impl Status {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let expected = r#"{"meeting_id": "…"}, if wanted with "wait": "running", or with "role": "teacher" and "console": true"#;
        let refused = |problem: String| refused(event, problem, expected);
        let fields = fields(event).map_err(refused)?;
        let meeting_id = meeting_id(fields).map_err(refused)?;
        let role = match fields.get("role") {
            None | Some(Value::Null) => None,
            Some(value) => match Role::BOTH.into_iter().find(|role| value == role.as_str()) {
                Some(role) => Some(role),
                None => return Err(refused("has a role that is neither teacher nor student".to_owned())),
            },
        };
        let waits = match fields.get("wait") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) if text == "running" => true,
            Some(_) => return Err(refused("has a wait that is not \"running\"".to_owned())),
        };
        let console = match fields.get("console") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(other) => {
                return Err(refused(format!("has a console that is {}, not a boolean", kind_of(other))));
            }
        };
        let asked = match (console, role, waits) {
            (false, None, false) => Asked::Now,
            (false, None, true) => Asked::WaitUntilRunning,
            (true, Some(role), false) => Asked::Console(role),
            (true, None, _) => return Err(refused("has a console and no role".to_owned())),
            (true, Some(_), true) => return Err(refused("has a console and a wait".to_owned())),
            (false, Some(_), _) => return Err(refused("has a role and no console".to_owned())),
        };
        Ok(Status { meeting_id, asked })
    }
}

/// Why a meeting is over, in the words of the caller who ends it.
fn reason(fields: &Map<String, Value>, otherwise: &str) -> Result<String, String> {
    match fields.get("reason") {
        None | Some(Value::Null) => Ok(otherwise.to_owned()),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(cut(text.trim(), REASON_LIMIT)),
        Some(_) => Err("has a reason that is no text".to_owned()),
    }
}

impl Reconcile {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let expected = r#"{"sweep": true}, {"instance_id": "i-…"} or a notification of EC2, as it is or in Records of SQS"#;
        let refused = |problem: String| refused(event, problem, expected);
        let Value::Object(fields) = event else {
            return Err(refused(format!("is {}, not an object", kind_of(event))));
        };
        if let Some(records) = fields.get("Records") {
            return in_records(records).map(Reconcile::Instances).map_err(refused);
        }
        let instance = match fields.get("detail-type").and_then(Value::as_str) {
            Some("Scheduled Event") => return Ok(Reconcile::Sweep),
            Some("EC2 Instance State-change Notification") => {
                fields.get("detail").and_then(|detail| detail.get("instance-id"))
            }
            Some(other) => {
                return Err(refused(format!(
                    "has the detail-type {:?}, which is none of ours",
                    cut(other, NAME_SHOWN)
                )));
            }
            None => fields.get("instance_id"),
        };
        match (fields.get("sweep"), instance) {
            (Some(Value::Bool(true)), None) => Ok(Reconcile::Sweep),
            (Some(Value::Bool(true)), Some(_)) => Err(refused("has a sweep and an instance".to_owned())),
            (None | Some(Value::Null | Value::Bool(false)), Some(Value::String(id))) => {
                let known = |id: &str| {
                    id.len() > 2
                        && id.len() <= 32
                        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                };
                match id.strip_prefix("i-") {
                    Some(_) if known(id) => Ok(Reconcile::Instances(vec![InstanceId::from(id.clone())])),
                    _ => Err(refused(format!("has the instance {:?}, which is no id", cut(id, NAME_SHOWN)))),
                }
            }
            (None | Some(Value::Null | Value::Bool(false)), None | Some(Value::Null)) => {
                Err(refused("has neither sweep nor instance_id".to_owned()))
            }
            (None | Some(Value::Null | Value::Bool(false)), Some(other)) => {
                Err(refused(format!("has an instance that is {}, not a string", kind_of(other))))
            }
            (Some(other), _) => {
                Err(refused(format!("has a sweep that is {}, not a boolean", kind_of(other))))
            }
        }
    }
}

/// The machines that a batch of messages of SQS names, each once: each message is a notification.
fn in_records(records: &Value) -> Result<Vec<InstanceId>, String> {
    let Some(records) = records.as_array().filter(|records| !records.is_empty()) else {
        return Err("has Records that are no list of messages".to_owned());
    };
    let mut named = BTreeSet::new();
    for record in records {
        let body = record.get("body").and_then(Value::as_str).ok_or("has a record without a body")?;
        let notification = parse(body.as_bytes()).map_err(|_| "has a record whose body is no JSON")?;
        match Reconcile::from_json(&notification) {
            Ok(Reconcile::Instances(instances)) if notification.get("Records").is_none() => {
                named.extend(instances);
            }
            _ => return Err("has a record whose body names no machine".to_owned()),
        }
    }
    Ok(named.into_iter().collect())
}

impl Schedule {
    pub fn meeting_id(&self) -> &MeetingId {
        match self {
            Schedule::Meeting(appointment) => &appointment.meeting_id,
            Schedule::Cancel { meeting_id, .. } => meeting_id,
        }
    }

    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let expected = r#"{"meeting_id": "…", "meet_time": "2026-01-05T10:00:00Z", …} or {"meeting_id": "…", "cancel": true}"#;
        let refused = |problem| refused(event, problem, expected);
        let fields = fields(event).map_err(refused)?;
        let meeting_id = meeting_id(fields).map_err(refused)?;
        match fields.get("cancel") {
            Some(Value::Bool(true)) => {
                let reason = reason(fields, "cancelled").map_err(refused)?;
                Ok(Schedule::Cancel { meeting_id, reason })
            }
            None | Some(Value::Bool(false)) => {
                Ok(Schedule::Meeting(Appointment::from_fields(meeting_id, fields).map_err(refused)?))
            }
            Some(other) => Err(refused(format!("has a cancel that is {}, not a boolean", kind_of(other)))),
        }
    }
}

impl Appointment {
    fn from_fields(meeting_id: MeetingId, fields: &Map<String, Value>) -> Result<Self, String> {
        let texts = spelled(fields, MEET_TIME)?;
        let (spelling, text) = match texts[..] {
            [] => return Err("has no meet_time".to_owned()),
            [(spelling, text)] => (spelling, text.trim()),
            _ => return Err("has a meet_time and a meetTime".to_owned()),
        };
        let (meet_time, meet_time_text) = time(text).ok_or_else(|| {
            format!("has a {spelling} that is no ISO 8601 time with an offset such as 2026-01-05T10:00:00Z")
        })?;
        let ours = |name: &str| MEETING_ID.contains(&name) || MEET_TIME.contains(&name) || name == "cancel";
        let mut attributes = Map::new();
        for (name, value) in fields.iter().filter(|(name, _)| !ours(name)) {
            let shown = || cut(name, NAME_SHOWN);
            if let Some(writer) = writer_of(name) {
                return Err(format!(
                    "has the field {:?}, an attribute of the record that {writer} writes",
                    shown()
                ));
            }
            if name.is_empty() || depth(value) > DEPTH_LIMIT {
                return Err(format!("has the field {:?}, which no attribute of a record can hold", shown()));
            }
            if !numbers_are_kept(value) {
                return Err(format!(
                    "has the field {:?} with a number that no record can hold (at most {DIGITS} digits, 1E-130 to 9.9E+125)",
                    shown()
                ));
            }
            attributes.insert(name.clone(), value.clone());
        }
        for role in Role::BOTH {
            Overrides::of(role, |name| said(&attributes, name))
                .map_err(|what| format!("would make a record that cannot be launched, for {what}"))?;
        }
        let length: usize = attributes.iter().map(|(name, value)| name.len() + size(value)).sum();
        if length > ATTRIBUTES_LIMIT {
            return Err(format!(
                "has further fields of {length} bytes, and a record has room for {ATTRIBUTES_LIMIT}"
            ));
        }
        Ok(Appointment { meeting_id, meet_time, meet_time_text, attributes })
    }
}

/// The attribute as it will be read from the record later.
fn said(attributes: &Map<String, Value>, name: &str) -> Result<Option<String>, &'static str> {
    match attributes.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(kind_of(other)),
    }
}

/// The program that writes this attribute into the record later. A new record must not bring such an attribute along.
fn writer_of(attribute: &str) -> Option<&'static str> {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| attribute.ends_with(suffix));
    match attribute {
        "id" | "status" => Some("this function"),
        "termination_reason" => Some("whoever ends the meeting"),
        "instance_id" => Some("the machine"),
        _ if attribute.starts_with("launch_") => Some("the function launch"),
        _ if ends(&[
            "_ec2_id",
            "_attempt",
            "_availability_zone",
            "_launched_instance_type",
            "_launched_at",
        ]) =>
        {
            Some("the function launch")
        }
        _ if ends(&["_lost_ec2_id", "_lost_reason", "_lost_at"])
            || ["teacher_", "student_"].iter().any(|role| {
                let part = attribute.strip_prefix(role);
                part.is_some_and(|part| ["state", "private_ip", "public_ip", "dns_name"].contains(&part))
            }) =>
        {
            Some("the function reconcile")
        }
        _ if ends(&["_ec2_link"]) => Some("the DNS watchdog"),
        _ if ends(&["_session_data"]) => Some("the machine"),
        _ => None,
    }
}

/// A time with an offset, and its form in a record. The index of open meetings compares these texts, so it finds no
/// time of another form. A time with a zone in brackets is refused, because only a table of zones could tell whether
/// the zone agrees with the offset.
fn time(text: &str) -> Option<(Timestamp, String)> {
    let time: Timestamp = text.parse().ok().filter(|_| !text.contains('['))?;
    let fraction = text.split_once(['.', ',']).map_or("", |(_, fraction)| fraction);
    let digits = fraction.chars().take_while(char::is_ascii_digit).count();
    Some((time, format!("{time:.digits$}")))
}

fn numbers_are_kept(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_kept(&number.to_string()),
        Value::Array(values) => values.iter().all(numbers_are_kept),
        Value::Object(fields) => fields.values().all(numbers_are_kept),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Whether DynamoDB keeps this number of JSON as it is.
fn is_kept(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let first = digits.find(|digit| digit != '0');
    let (Some(first), Ok(exponent)) = (first, exponent.parse::<i64>()) else {
        return first.is_none(); // zero, to whichever power
    };
    let lengths = [whole.len(), first].map(|length| i64::try_from(length).unwrap_or(i64::MAX));
    let power = exponent.checked_add(lengths[0] - lengths[1] - 1);
    let digits = digits.trim_matches('0').len();
    digits <= DIGITS && power.is_some_and(|power| POWERS.contains(&power))
}

/// Bytes of a value in a record, as DynamoDB counts them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len().div_ceil(2) + 1,
        Value::String(text) => text.len(),
        Value::Array(values) => 3 + values.iter().map(|value| 1 + size(value)).sum::<usize>(),
        Value::Object(fields) => {
            3 + fields.iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>()
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The event's fields. For an envelope of EventBridge, the fields of its detail, because the request is there.
fn fields(event: &Value) -> Result<&Map<String, Value>, String> {
    let Value::Object(outer) = event else {
        return Err(format!("is {}, not an object", kind_of(event)));
    };
    let names_a_meeting = MEETING_ID.iter().any(|spelling| outer.contains_key(*spelling));
    match outer.get("detail") {
        Some(Value::Object(detail)) if !names_a_meeting => Ok(detail),
        Some(other) if !names_a_meeting => {
            Err(format!("has a detail that is {}, not an object", kind_of(other)))
        }
        _ => Ok(outer),
    }
}

fn meeting_id(fields: &Map<String, Value>) -> Result<MeetingId, String> {
    let mut ids = Vec::new();
    for (spelling, text) in spelled(fields, MEETING_ID)? {
        ids.push(MeetingId::new(text).map_err(|what| format!("has a {spelling} that {what}"))?);
    }
    ids.dedup();
    match <[MeetingId; 1]>::try_from(ids) {
        Ok([meeting_id]) => Ok(meeting_id),
        Err(ids) if ids.is_empty() => Err("has no meeting_id".into()),
        Err(_) => Err("has a meeting_id and a meetingId that differ".into()),
    }
}

/// The text under each spelling of a field. Each text must be a string.
fn spelled<'f>(
    fields: &'f Map<String, Value>,
    spellings: [&'static str; 2],
) -> Result<Vec<(&'static str, &'f str)>, String> {
    let mut texts = Vec::new();
    for spelling in spellings {
        match fields.get(spelling) {
            None => {}
            Some(Value::String(text)) => texts.push((spelling, text.as_str())),
            Some(other) => return Err(format!("has a {spelling} that is {}, not a string", kind_of(other))),
        }
    }
    Ok(texts)
}

fn refused(event: &Value, problem: String, expected: &str) -> Error {
    Error::new(
        Kind::InvalidEvent,
        format!("the event {problem}, got {}", shown(event)),
        format!("send {expected}"),
    )
}

impl ScheduleContext {
    fn from_fields(fields: &Map<String, Value>) -> Self {
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        ScheduleContext {
            schedule_arn: text("schedule_arn"),
            scheduled_time: text("scheduled_time"),
            execution_id: text("execution_id"),
            attempt_number: text("attempt_number"),
        }
    }
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

/// The shape of an event: the names of its fields and each one's kind. For an envelope, also the fields of its detail.
fn shown(event: &Value) -> String {
    cut(&shape(event, 2), SHOWN)
}

fn shape(value: &Value, levels: usize) -> String {
    match value {
        Value::Object(fields) if levels > 0 => {
            let field = |(name, value): (&String, &Value)| {
                let deeper = if name == "detail" { levels - 1 } else { 0 };
                format!("{:?}: {}", cut(name, NAME_SHOWN), shape(value, deeper))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => kind_of(other).to_owned(),
    }
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

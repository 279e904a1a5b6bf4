//! What an event and an item say, read a second time and in another way.

use std::collections::{BTreeMap, BTreeSet};

use elephant_core::launch_template::Pinned;
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceProfile, Market, Parameters, ROLE_TAG, RootVolume, Token,
};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::record::MeetTime;
use elephant_core::timing::Window;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Attributes in DynamoDB's own form: `{"status": {"S": "SCHEDULED"}}`.
pub type Item = Map<String, Value>;

/// Every attribute that is read or written here; all others are other programs'.
pub const READ: [&str; 9] = [
    "status",
    "meet_time",
    "termination_reason",
    "launch_owner",
    "launch_lease_until",
    "teacher_ec2_id",
    "student_ec2_id",
    "teacher_attempt",
    "student_attempt",
];
pub const WRITTEN: [&str; 9] = [
    "launch_error",
    "launch_error_code",
    "launch_error_at",
    "teacher_availability_zone",
    "teacher_launched_instance_type",
    "teacher_launched_at",
    "student_availability_zone",
    "student_launched_instance_type",
    "student_launched_at",
];

/// What `reconcile` and `status` read beside it, some of each role's.
pub const NOTED: [&str; 8] = [
    "launch_replaced",
    "launch_ready_at",
    "launch_error",
    "launch_error_at",
    "teacher_state",
    "teacher_private_ip",
    "student_lost_reason",
    "student_lost_at",
];

/// The statuses for which machines are launched; none at all is another.
pub const LAUNCHABLE: [&str; 5] = ["SCHEDULED", "LAUNCHED", "DNS_WRITTEN", "HEALTHY", "IN_PROGRESS"];

/// An attribute is of another type than we wrote, or can be none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

/// Where an event says what it says: what stands outside goes before the detail.
pub fn fields(event: &Value) -> Option<&Map<String, Value>> {
    let inside = |fields: &Value| fields.get("meeting_id").or(fields.get("meetingId")).is_some();
    if inside(event) { event.as_object() } else { event.get("detail")?.as_object() }
}

/// The one meeting that an event names.
pub fn named(event: &Value) -> Option<&str> {
    let fields = fields(event)?;
    let ids: BTreeSet<Option<&str>> = ["meeting_id", "meetingId"]
        .iter()
        .filter_map(|spelling| fields.get(*spelling))
        .map(|id| id.as_str().map(str::trim).filter(|id| (1..=256).contains(&id.chars().count())))
        .collect();
    if ids.len() == 1 { ids.into_iter().next()? } else { None }
}

pub fn id_of(role: Role) -> &'static str {
    if role == Role::Teacher { "teacher_ec2_id" } else { "student_ec2_id" }
}

pub fn attempt_of(role: Role) -> &'static str {
    if role == Role::Teacher { "teacher_attempt" } else { "student_attempt" }
}

/// A text; none if the attribute is missing, empty or NULL.
pub fn text<'i>(item: &'i Item, name: &str) -> Result<Option<&'i str>, Wrong> {
    match item.get(name).map(|value| (value.get("S"), value.get("NULL"))) {
        None | Some((None, Some(Value::Bool(_)))) => Ok(None),
        Some((Some(Value::String(text)), None)) => Ok((!text.is_empty()).then_some(text)),
        Some(_) => Err(Wrong),
    }
}

/// Whether an attribute of another type stands where we rely on a text.
pub fn has_wrong_texts(item: &Item) -> bool {
    let texts = ["status", "termination_reason", "teacher_ec2_id", "student_ec2_id"];
    texts.iter().any(|name| text(item, name) == Err(Wrong)) || lease(item) == Err(Wrong)
}

pub fn lease(item: &Item) -> Result<Option<(&str, Timestamp)>, Wrong> {
    match (text(item, "launch_owner")?, text(item, "launch_lease_until")?) {
        (None, None) => Ok(None),
        (Some(owner), Some(until)) => {
            let time: Timestamp = until.parse().map_err(|_| Wrong)?;
            if format!("{time:.3}") == until { Ok(Some((owner, time))) } else { Err(Wrong) }
        }
        _ => Err(Wrong),
    }
}

/// `Unreadable` stands for every text and every type that is no time.
pub fn meet_time(item: &Item) -> MeetTime {
    match text(item, "meet_time").map(|text| text.map(str::trim)) {
        Ok(None | Some("")) => MeetTime::Missing,
        // Without an offset it is UTC; a date alone is no time.
        Ok(Some(text)) => {
            let in_utc = if text.contains(':') { format!("{text}Z").parse() } else { text.parse() };
            text.parse().or(in_utc).map_or(MeetTime::Unreadable(String::new()), MeetTime::At)
        }
        Err(Wrong) => MeetTime::Unreadable(String::new()),
    }
}

/// Whether machines may be launched for the item at this time.
pub fn allows_launch(item: &Item, now: Timestamp, window: Window) -> bool {
    let status = text(item, "status").is_ok_and(|word| word.is_none_or(|word| LAUNCHABLE.contains(&word)));
    let ended = text(item, "termination_reason") != Ok(None);
    let outside = match meet_time(item) {
        MeetTime::At(time) => {
            let after = now.duration_since(time).as_secs_f64();
            after > window.latest.as_secs_f64() || -after > window.earliest.as_secs_f64()
        }
        MeetTime::Missing | MeetTime::Unreadable(_) => false,
    };
    status && !ended && !outside
}

/// The attempt that stands for a role; `Wrong` if it is one that we cannot have written.
pub fn attempt(item: &Item, meeting: &MeetingId, role: Role) -> Result<Option<Attempt>, Wrong> {
    match item.get(attempt_of(role)) {
        None => Ok(None),
        Some(value) if value.get("NULL").is_some() => Ok(None),
        Some(value) => {
            let attempt = read_attempt(value).ok_or(Wrong)?;
            if is_ours(&attempt, meeting, role) { Ok(Some(attempt)) } else { Err(Wrong) }
        }
    }
}

/// Beyond its types: a token that names one attempt, and nobody else's machine.
pub fn is_ours(attempt: &Attempt, meeting: &MeetingId, role: Role) -> bool {
    let token = attempt.token.as_str();
    let tag = |key: &str, value: &str| attempt.parameters.tags.get(key).is_some_and(|tag| tag == value);
    (1..=64).contains(&token.len())
        && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && tag("MeetingID", meeting.as_str())
        && tag(ROLE_TAG, role.as_str())
}

/// Types as we write them, and nothing that a lenient reader would also take.
fn read_attempt(value: &Value) -> Option<Attempt> {
    if !is_of_known_types(value) {
        return None;
    }
    let parameters = map(value, "parameters")?;
    let root_volume = optional(parameters, "root_volume", volume)?;
    let launch_template = optional(parameters, "launch_template", pinned)?;
    // Only a launch template can say it instead.
    if root_volume.is_none() && launch_template.is_none() {
        return None;
    }
    let groups = part(parameters, "security_group_ids")?.get("L")?.as_array()?;
    let tags = map(parameters, "tags")?["M"].as_object()?;
    Some(Attempt {
        number: number(value, "number")?,
        token: Token::from(string(value, "token")?),
        refused: part(value, "refused")?.get("BOOL")?.as_bool()?,
        ending: match part(value, "ending") {
            Some(mark) => mark.get("BOOL")?.as_bool()?,
            None => false,
        },
        parameters: Parameters {
            launch_template,
            image_id: string(parameters, "image_id")?,
            instance_type: string(parameters, "instance_type")?,
            subnet_id: string(parameters, "subnet_id")?,
            availability_zone: string(parameters, "availability_zone")?,
            security_group_ids: groups.iter().map(plain).collect::<Option<_>>()?,
            key_name: optional(parameters, "key_name", plain)?,
            iam_profile: optional(parameters, "iam_profile", profile)?,
            root_volume,
            imds_tokens: optional(parameters, "imds_tokens", imds_tokens)?,
            public_ip: optional(parameters, "public_ip", truth)?,
            market: optional(parameters, "market", market)?.unwrap_or_default(),
            user_data: optional(parameters, "user_data", plain)?,
            tags: tags.iter().map(|(key, tag)| Some((key.clone(), plain(tag)?))).collect::<Option<_>>()?,
        },
    })
}

/// Whether DynamoDB could hold it, today or with a type of tomorrow, and so answer with it.
pub fn is_stored(value: &Value, depth: u32) -> bool {
    let texts = |of: &Value, is: fn(&str) -> bool| {
        of.as_array().is_some_and(|set| set.iter().all(|text| text.as_str().is_some_and(is)))
    };
    let blob = |text: &str| aws_smithy_types::base64::decode(text).is_ok();
    let number = |text: &str| text.parse::<f64>().is_ok();
    match value.as_object().map(|of| of.iter().collect::<Vec<_>>()).as_deref() {
        Some([(kind, of)]) => match kind.as_str() {
            "S" => of.is_string(),
            "N" => of.as_str().is_some_and(number),
            "B" => of.as_str().is_some_and(blob),
            "SS" => texts(of, |_| true),
            "NS" => texts(of, number),
            "BS" => texts(of, blob),
            "M" => {
                depth > 0 && of.as_object().is_some_and(|map| map.values().all(|v| is_stored(v, depth - 1)))
            }
            "L" => {
                depth > 0 && of.as_array().is_some_and(|list| list.iter().all(|v| is_stored(v, depth - 1)))
            }
            "NULL" => **of == true,
            "BOOL" => of.is_boolean(),
            new => new != "__type" && !of.is_null(),
        },
        _ => false,
    }
}

/// Whether every value within is of a type that DynamoDB has today.
fn is_of_known_types(value: &Value) -> bool {
    let known = ["S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"];
    value.as_object().is_some_and(|of| of.keys().all(|kind| known.contains(&kind.as_str())))
        && value["M"].as_object().into_iter().flat_map(Map::values).all(is_of_known_types)
        && value["L"].as_array().into_iter().flatten().all(is_of_known_types)
}

fn part<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    map.get("M")?.get(name)
}

fn map<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    part(value, name).filter(|part| part.get("M").is_some_and(Value::is_object))
}

fn plain(value: &Value) -> Option<String> {
    value.get("S")?.as_str().map(str::to_owned)
}

fn string(map: &Value, name: &str) -> Option<String> {
    plain(part(map, name)?)
}

fn number<N: std::str::FromStr>(map: &Value, name: &str) -> Option<N> {
    part(map, name)?.get("N")?.as_str()?.parse().ok()
}

/// `Some(None)`: it is missing, as it may be.
fn optional<T>(map: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match part(map, name) {
        None => Some(None),
        Some(value) => Some(Some(read(value)?)),
    }
}

fn volume(value: &Value) -> Option<RootVolume> {
    Some(RootVolume {
        device_name: string(value, "device_name")?,
        size_gb: number(value, "size_gb")?,
        volume_type: string(value, "volume_type")?,
        encrypted: part(value, "encrypted")?.get("BOOL")?.as_bool()?,
        iops: optional(value, "iops", whole)?,
        throughput: optional(value, "throughput", whole)?,
        kms_key_id: optional(value, "kms_key_id", plain)?,
    })
}

fn pinned(value: &Value) -> Option<Pinned> {
    Some(Pinned {
        launch_template_id: string(value, "launch_template_id")?,
        version: string(value, "version")?,
    })
}

fn profile(value: &Value) -> Option<InstanceProfile> {
    match value.get("M")?.as_object()?.iter().collect::<Vec<_>>()[..] {
        [(kind, name)] if kind == "name" => plain(name).map(InstanceProfile::Name),
        [(kind, arn)] if kind == "arn" => plain(arn).map(InstanceProfile::Arn),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i32> {
    value.get("N")?.as_str()?.parse().ok()
}

fn truth(value: &Value) -> Option<bool> {
    value.get("BOOL")?.as_bool()
}

fn market(value: &Value) -> Option<Market> {
    match plain(value)?.as_str() {
        "on-demand" => Some(Market::OnDemand),
        "spot" => Some(Market::Spot),
        _ => None,
    }
}

fn imds_tokens(value: &Value) -> Option<ImdsTokens> {
    match plain(value)?.as_str() {
        "required" => Some(ImdsTokens::Required),
        "optional" => Some(ImdsTokens::Optional),
        _ => None,
    }
}

/// An attempt in DynamoDB's form, as the adapter writes it.
pub fn written(attempt: &Attempt) -> Value {
    let p = &attempt.parameters;
    let s = |text: &str| json!({"S": text});
    let mut parameters = json!({
        "image_id": s(&p.image_id),
        "instance_type": s(&p.instance_type),
        "subnet_id": s(&p.subnet_id),
        "availability_zone": s(&p.availability_zone),
        "security_group_ids": {"L": p.security_group_ids.iter().map(|id| s(id)).collect::<Vec<_>>()},
        "tags": {"M": p.tags.iter().map(|(key, tag)| (key, s(tag))).collect::<BTreeMap<_, _>>()},
    });
    if let Some(Pinned { launch_template_id, version }) = &p.launch_template {
        let pinned = json!({"launch_template_id": s(launch_template_id), "version": s(version)});
        parameters["launch_template"] = json!({"M": pinned});
    }
    if let Some(volume) = &p.root_volume {
        parameters["root_volume"] = json!({"M": {
            "device_name": s(&volume.device_name),
            "size_gb": {"N": volume.size_gb.to_string()},
            "volume_type": s(&volume.volume_type),
            "encrypted": {"BOOL": volume.encrypted},
        }});
        for (name, number) in [("iops", volume.iops), ("throughput", volume.throughput)] {
            if let Some(number) = number {
                parameters["root_volume"]["M"][name] = json!({"N": number.to_string()});
            }
        }
        if let Some(key) = &volume.kms_key_id {
            parameters["root_volume"]["M"]["kms_key_id"] = s(key);
        }
    }
    if let Some(name) = &p.key_name {
        parameters["key_name"] = s(name);
    }
    match &p.iam_profile {
        Some(InstanceProfile::Name(name)) => parameters["iam_profile"] = json!({"M": {"name": s(name)}}),
        Some(InstanceProfile::Arn(arn)) => parameters["iam_profile"] = json!({"M": {"arn": s(arn)}}),
        None => {}
    }
    match p.imds_tokens {
        Some(ImdsTokens::Required) => parameters["imds_tokens"] = json!({"S": "required"}),
        Some(ImdsTokens::Optional) => parameters["imds_tokens"] = json!({"S": "optional"}),
        None => {}
    }
    if let Some(public) = p.public_ip {
        parameters["public_ip"] = json!({"BOOL": public});
    }
    if p.market == Market::Spot {
        parameters["market"] = json!({"S": "spot"});
    }
    if let Some(data) = &p.user_data {
        parameters["user_data"] = s(data);
    }
    let mut map = json!({
        "number": {"N": attempt.number.to_string()},
        "token": s(attempt.token.as_str()),
        "refused": {"BOOL": attempt.refused},
        "parameters": {"M": parameters},
    });
    if attempt.ending {
        map["ending"] = json!({"BOOL": true});
    }
    json!({"M": map})
}

//! What nobody would send and what somebody might, side by side: most breaks are one step away from what is right.

use std::collections::BTreeMap;

use elephant_core::launch_template::Pinned;
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceProfile, Market, Parameters, ROLE_TAG, RootVolume, Token, tags,
};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::settings::{Function, names};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use super::model::{self, Item};
use super::world::Story;

/// Boxed: a strategy of strategies by value takes more stack than a test has.
type Any<T> = BoxedStrategy<T>;

const WORDS: &str = "| |m|meeting_id|null|true|{}|<aws.scheduler.scheduled-time>|SCHEDULED|TERMINATED|0|-1|4294967295|\
                     1e999|NaN|2026-11-22T10:00:00Z|i-1|ami-1|arn:aws:iam::1:role/x";
const AWKWARD: &str = "\0\n\r\t \"\\'{},:-./*?%$\u{7f}\u{85}\u{a0}\u{200b}\u{202e}\u{2028}\u{feff}\u{fffd}\u{10ffff}\
                       ßİ🐘👩\u{200d}\u{301}";

/// Any text: words that mean something here, any characters, awkward ones, and one character many times.
pub fn text() -> Any<String> {
    let awkward = select(AWKWARD.chars().collect::<Vec<_>>());
    let one = prop_oneof![Just('x'), Just('🐘'), awkward.clone(), any::<char>()];
    let length = prop_oneof![8 => 0..20_usize, 2 => 250..260_usize, 1 => 600..5_000_usize];
    prop_oneof![
        3 => word(WORDS),
        2 => vec(any::<char>(), 0..12).prop_map(String::from_iter),
        2 => vec(prop_oneof![awkward, any::<char>()], 0..12).prop_map(String::from_iter),
        2 => (one, length).prop_map(|(c, length)| String::from_iter(std::iter::repeat_n(c, length))),
    ]
    .boxed()
}

/// One of these, which stand between bars.
pub fn word(words: &'static str) -> Any<String> {
    select(words.split('|').collect::<Vec<_>>()).prop_map(str::to_owned).boxed()
}

// Events.

const FIELDS: &str = "meeting_id|meetingId|detail|schedule_arn|scheduled_time|execution_id|attempt_number|Meeting_ID|\
                      detail-type|id|";

/// A field's name, mostly one that means something, here or elsewhere.
pub fn field() -> Any<String> {
    prop_oneof![5 => word(FIELDS), 1 => text()].boxed()
}

pub fn json() -> Any<Value> {
    let nested = (1..110_usize, any::<bool>()).prop_map(|(depth, objects)| {
        let around = |inner| match objects {
            true => Value::Object([("detail".to_owned(), inner)].into_iter().collect()),
            false => Value::Array(vec![inner]),
        };
        (0..depth).fold(Value::Null, |inner, _| around(inner))
    });
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => nested,
    ];
    let field = field();
    let node = move |inner: Any<Value>| {
        let object = btree_map(field.clone(), inner.clone(), 0..5);
        prop_oneof![
            1 => vec(inner, 0..4).prop_map(Value::from),
            3 => object.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    };
    leaf.prop_recursive(4, 48, 5, node).boxed()
}

/// Any JSON, mostly one step away from an event.
pub fn event() -> Any<Value> {
    let both = (fields(), fields()).prop_map(|(mut outer, detail)| {
        outer.insert("detail".into(), detail.into());
        Value::from(outer)
    });
    prop_oneof![
        2 => json(),
        3 => fields().prop_map(Value::from),
        2 => fields().prop_map(|detail| json!({"version": "0", "detail": detail})),
        2 => both,
    ]
    .boxed()
}

/// Any JSON, mostly one step away from an event of `schedule`.
pub fn schedule_event() -> Any<Value> {
    let time = prop_oneof![
        4 => word("2027-01-05T10:00:00Z|2027-01-05T11:30:00.5+01:00| 2027-01-05 10:00Z |-009999-01-01T00:00:00Z|9999-12-30T00:00:00Z")
            .prop_map(Value::from),
        2 => text().prop_map(Value::from),
        1 => json(),
    ];
    let cancel = prop_oneof![3 => any::<bool>().prop_map(Value::from), 1 => json()];
    let reserved = word(
        "id|status|teacher_ec2_id|launch_owner|x_attempt|\n_session_data|instance_id|termination_reason|created_at",
    );
    let asked = (
        option::weighted(0.8, time.clone()),
        option::weighted(0.1, time),
        option::weighted(0.3, cancel),
        option::weighted(0.2, json()),
        option::weighted(0.2, (reserved, json())),
    );
    let fields = (fields(), asked).prop_map(|(mut fields, (snake, camel, cancel, reason, reserved))| {
        fields.extend(snake.map(|time| ("meet_time".to_owned(), time)));
        fields.extend(camel.map(|time| ("meetTime".to_owned(), time)));
        fields.extend(cancel.map(|cancel| ("cancel".to_owned(), cancel)));
        fields.extend(reason.map(|reason| ("reason".to_owned(), reason)));
        fields.extend(reserved);
        fields
    });
    prop_oneof![
        1 => json(),
        3 => fields.clone().prop_map(Value::from),
        1 => fields.prop_map(|detail| json!({"version": "0", "detail": detail})),
    ]
    .boxed()
}

/// Any JSON, mostly one step away from an event of `end`, `status` or `reconcile`.
pub fn life_event() -> Any<Value> {
    let or_json =
        |words: &'static str| prop_oneof![4 => word(words).prop_map(Value::from), 1 => json()].boxed();
    let or_bool = || prop_oneof![4 => any::<bool>().prop_map(Value::from), 1 => json()].boxed();
    let wait = prop_oneof![1 => or_json("running|terminated|ended|"), 1 => or_bool()];
    let long = (text(), 900..1100_usize).prop_map(|(text, chars)| text.chars().cycle().take(chars).collect());
    let long = long.prop_map(|text: String| Value::from(text));
    let reason = prop_oneof![2 => text().prop_map(Value::from), 1 => long, 1 => json()];
    let asked = (
        option::weighted(0.4, wait),
        option::weighted(0.3, reason),
        option::weighted(0.4, or_json("teacher|student|Teacher||observer")),
        option::weighted(0.4, or_bool()),
        option::weighted(0.2, or_bool()),
        option::weighted(0.3, or_json("i-0a1b2c3d4e5f60001|i-|i|i-0a1b 2c|vol-0a1b2c3d4e5f60001|I-0A1B2C3D")),
        option::weighted(
            0.2,
            or_json("Scheduled Event|EC2 Instance State-change Notification|Scheduled event"),
        ),
    );
    let names = ["wait", "reason", "role", "console", "sweep", "instance_id", "detail-type"];
    let fields = (fields(), asked).prop_map(move |(mut fields, asked)| {
        let (wait, reason, role, console, sweep, instance, kind) = asked;
        let values = [wait, reason, role, console, sweep, instance, kind];
        fields
            .extend(names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?))));
        fields
    });
    let noticed = or_json("i-0a1b2c3d4e5f60001|i-0a1b 2c").prop_map(
        |id| json!({"detail-type": "EC2 Instance State-change Notification", "detail": {"instance-id": id}}),
    );
    prop_oneof![
        1 => json(),
        4 => fields.clone().prop_map(Value::from),
        1 => fields.prop_map(|detail| json!({"version": "0", "detail": detail})),
        1 => noticed,
    ]
    .boxed()
}

/// Any JSON, mostly one step away from a request to `operate`.
pub fn operate_event() -> Any<Value> {
    let or_json =
        |words: &'static str| prop_oneof![5 => word(words).prop_map(Value::from), 1 => json()].boxed();
    let number = prop_oneof![3 => (-1..70_000_i64).prop_map(Value::from), 1 => json()].boxed();
    let verbs = "snapshot|images|delete_image|add_volume|remove_volume|add_network_interface|stop|start|reboot|run|\
                 ensure_key|latest_image|ensure_vpc|delete_vpc|terminate|Stop|";
    let all = [
        ("do", or_json(verbs), 0.95),
        ("role", or_json("teacher|student|observer"), 0.6),
        ("instance_id", or_json("i-0a1b2c3d|i-|vol-1|i-1 OR 1=1"), 0.3),
        ("name", or_json("notes|a|classroom 2027-01|*|äpfel|x/../y"), 0.7),
        ("image_id", or_json("ami-0a1b|ami-|snap-1"), 0.2),
        ("volume_id", or_json("vol-0a1b|vol-|i-1"), 0.1),
        ("size_gb", number.clone(), 0.4),
        ("iops", number.clone(), 0.1),
        ("volume_type", or_json("gp3|io2|st1|floppy"), 0.2),
        ("cidr", or_json("10.0.0.0/16|10.0.0.1/16|10.0.0.0/8|0.0.0.0/0|x"), 0.3),
        ("command", or_json("df -h|; rm -rf /|\n"), 0.3),
        ("timeout_seconds", number, 0.2),
        ("public_key", or_json("ssh-ed25519 AAAA|-----BEGIN PRIVATE KEY-----|ssh-rsa"), 0.1),
        ("wait", prop_oneof![4 => any::<bool>().prop_map(Value::from), 1 => json()].boxed(), 0.2),
        ("force", or_json("true"), 0.05),
    ];
    let asked: Vec<_> = all
        .into_iter()
        .map(|(name, value, weight)| {
            option::weighted(weight, value).prop_map(move |value| Some((name, value?)))
        })
        .collect();
    let fields = (fields(), asked).prop_map(|(mut fields, asked)| {
        fields.extend(asked.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
        fields
    });
    // Or one that will do, with one field in place of another, or besides.
    let machine = json!({"meeting_id": "m", "role": "teacher"});
    let right = [
        (machine.clone(), json!({"do": "snapshot", "name": "classroom 2027-01"})),
        (json!({}), json!({"do": "images"})),
        (json!({}), json!({"do": "delete_image", "image_id": "ami-0a1b"})),
        (machine.clone(), json!({"do": "add_volume", "name": "notes", "size_gb": 8})),
        (machine.clone(), json!({"do": "remove_volume", "name": "notes"})),
        (json!({"instance_id": "i-0a1b2c3d"}), json!({"do": "add_network_interface", "name": "camera"})),
        (json!({"meetingId": " m ", "role": "student"}), json!({"do": "stop", "wait": true})),
        (machine, json!({"do": "run", "name": "disk space", "command": "df -h"})),
        (json!({}), json!({"do": "ensure_key", "name": "classroom"})),
        (json!({}), json!({"do": "ensure_vpc", "name": "classroom", "cidr": "10.0.0.0/16"})),
    ];
    let right = right.map(|(target, asked)| {
        let mut event = target.as_object().expect("fields").clone();
        event.extend(asked.as_object().expect("fields").clone());
        event
    });
    let near = (select(right.to_vec()), option::weighted(0.6, fields.clone()), any::<usize>()).prop_map(
        |(mut event, others, which)| {
            if let Some((name, value)) = others.and_then(|others| {
                let count = others.len().max(1);
                others.into_iter().nth(which % count)
            }) {
                event.insert(name, value);
            }
            Value::from(event)
        },
    );
    prop_oneof![1 => json(), 2 => fields.prop_map(Value::from), 4 => near].boxed()
}

/// The fields of an event, with one id, two, or something in the place of one.
fn fields() -> Any<Map<String, Value>> {
    let id = prop_oneof![
        4 => word("m| m |class 4/b 🐘").prop_map(Value::from),
        3 => text().prop_map(Value::from),
        1 => json(),
    ];
    let named = (option::weighted(0.7, id.clone()), option::weighted(0.3, id));
    let fields = (named, btree_map(field(), json(), 0..3)).prop_map(|((snake, camel), more)| {
        let mut fields: Map<String, Value> = more.into_iter().collect();
        fields.extend(snake.map(|id| ("meeting_id".to_owned(), id)));
        fields.extend(camel.map(|id| ("meetingId".to_owned(), id)));
        fields
    });
    fields.boxed()
}

// The environment.

/// For each variable some values that are right.
pub const RIGHT: [(&str, &str); 15] = [
    ("AMI_ID", "ami-1|ami-0abc12| ami-1\n"),
    ("INSTANCE_TYPE", "t3.large|u-6tb1.metal|t3.large, m7i-flex.large,,t3.large"),
    ("SECURITY_GROUP_IDS", "sg-1|sg-2,sg-1|,sg-1 ,"),
    ("KEY_NAME", "our key (2026)|🐘"),
    ("IAM_PROFILE", "meeting.machine@eu|arn:aws:iam::123456789012:instance-profile/a/b"),
    ("TABLE_NAME", "elephant-meetings|a.b|---"),
    ("SUPPORTED_AZS", "us-west-2a|us-west-2a,us-west-2b|nowhere"),
    ("SUBNET_IDS", "subnet-1|subnet-1,,subnet-2"),
    ("VOLUME_DEVICE", "/dev/xvda|xvda|/dev/"),
    ("VOLUME_SIZE_GB", "1|60| 16384 "),
    ("VOLUME_TYPE", "gp3|gp2|standard"),
    ("VOLUME_ENCRYPTED", "true|false"),
    ("IMDS_TOKENS", "image|required|optional"),
    ("PROJECT_TAG", "Elephant|Elephant (staging) 🐘"),
    ("LAUNCH_WINDOW_MINUTES", "0|120|10080"),
];
pub const REQUIRED: [&str; 3] = ["AMI_ID", "INSTANCE_TYPE", "SECURITY_GROUP_IDS"];
pub const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SSM"];

/// A variable's value: right for it, right for another, one step from right, or anything.
fn value(right: &'static str) -> Any<String> {
    let others = RIGHT.iter().flat_map(|(_, right)| right.split('|')).map(str::to_owned);
    let others = select(others.collect::<Vec<_>>()).boxed();
    let piece = prop_oneof![4 => others.clone(), 1 => text()];
    let number = prop_oneof![
        (-2..20_000_i64).prop_map(|n| n.to_string()),
        any::<i128>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        (0..99_999_u32).prop_map(|n| format!("{n:012}")),
    ];
    prop_oneof![
        4 => word(right),
        1 => others,
        2 => (word(right), text()).prop_map(|(right, more)| right + &more),
        2 => vec(piece, 0..5).prop_map(|pieces| pieces.join(",")),
        1 => number,
        2 => text(),
    ]
    .boxed()
}

/// Every variable, set to anything or not at all.
pub fn environment() -> Any<BTreeMap<&'static str, String>> {
    let endpoints = ENDPOINTS.map(|name| (name, "http://127.0.0.1:4566"));
    let one = |(name, right)| option::weighted(0.7, value(right)).prop_map(move |value| Some((name, value?)));
    let each: Vec<_> = RIGHT.into_iter().chain(endpoints).map(one).collect();
    each.prop_map(|each| each.into_iter().flatten().collect()).boxed()
}

/// An environment in which nothing is wrong.
fn right_environment() -> Any<BTreeMap<&'static str, String>> {
    let one = |(name, right)| {
        let chance = if REQUIRED.contains(&name) { 0.999 } else { 0.2 };
        option::weighted(chance, word(right)).prop_map(move |value| Some((name, value?)))
    };
    RIGHT.map(one).prop_map(|each| each.into_iter().flatten().collect()).boxed()
}

// Records.

/// A value of DynamoDB, of every type that it has, and of one that it does not have yet.
pub fn attribute() -> Any<Value> {
    let number = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<u128>().prop_map(|n| n.to_string()),
        word("0|1|1.5|1E+120|4294967295|4294967296|-1"),
    ];
    let blob = word("|AA==|AAEC");
    let leaf = prop_oneof![
        6 => text().prop_map(|text| json!({"S": text})),
        3 => number.clone().prop_map(|number| json!({"N": number})),
        2 => any::<bool>().prop_map(|yes| json!({"BOOL": yes})),
        2 => Just(json!({"NULL": true})),
        1 => blob.clone().prop_map(|blob| json!({"B": blob})),
        1 => vec(text(), 0..3).prop_map(|set| json!({"SS": set})),
        1 => vec(number, 0..3).prop_map(|set| json!({"NS": set})),
        1 => vec(blob, 0..3).prop_map(|set| json!({"BS": set})),
        1 => text().prop_map(|new| json!({"X": new})),
    ];
    let part = part();
    let node = move |inner: Any<Value>| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|list| json!({"L": list})),
            btree_map(part.clone(), inner, 0..4).prop_map(|map| json!({"M": map})),
        ]
    };
    leaf.prop_recursive(4, 24, 4, node).boxed()
}

/// The name of a part of an attempt, mostly.
fn part() -> Any<String> {
    let parts = "number|token|refused|parameters|tags|root_volume|launch_template|security_group_ids|iam_profile|name|imds_tokens|\
                 size_gb|MeetingID|Role";
    prop_oneof![4 => word(parts), 1 => text()].boxed()
}

/// Whose record it is.
pub fn meeting() -> MeetingId {
    MeetingId::new("m").expect("an id")
}

fn attempt(token: Any<String>, tags: Any<BTreeMap<String, String>>) -> Any<Attempt> {
    let number = prop_oneof![4 => 1..5_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let place = (text(), word("t3.large|m5.large|"), text(), text(), vec(text(), 0..3));
    let of_gp3 = (option::of(any::<i32>()), option::of(any::<i32>()), option::of(text()));
    let volume = (text(), any::<i32>(), text(), any::<bool>(), of_gp3);
    let pinned = |(launch_template_id, version)| Pinned { launch_template_id, version };
    // One of the two says how large the root volume is.
    let made = (option::of((text(), text()).prop_map(pinned)), any::<bool>());
    let profile = prop_oneof![text().prop_map(InstanceProfile::Name), text().prop_map(InstanceProfile::Arn)];
    let imds_tokens = select(vec![None, Some(ImdsTokens::Required), Some(ImdsTokens::Optional)]);
    let market = select(vec![Market::OnDemand, Market::Spot]);
    let start = (option::of(any::<bool>()), market, option::of(text()));
    let optional = (option::of(text()), option::of(profile), imds_tokens, start, made);
    let marks = (any::<bool>(), any::<bool>());
    let all = (number, token, marks, place, volume, optional, tags);
    let attempt = all.prop_map(|(number, token, (refused, ending), place, volume, optional, tags)| {
        let (image_id, instance_type, subnet_id, availability_zone, security_group_ids) = place;
        let (device_name, size_gb, volume_type, encrypted, (iops, throughput, kms_key_id)) = volume;
        let (key_name, iam_profile, imds_tokens, (public_ip, market, user_data), (template, keeps)) =
            optional;
        let ours = template.is_none() || !keeps;
        let parameters = Parameters {
            launch_template: template,
            image_id,
            instance_type,
            subnet_id,
            availability_zone,
            security_group_ids,
            key_name,
            iam_profile,
            root_volume: ours.then_some(RootVolume {
                device_name,
                size_gb,
                volume_type,
                encrypted,
                iops,
                throughput,
                kms_key_id,
            }),
            imds_tokens,
            public_ip,
            market,
            user_data,
            tags,
        };
        Attempt { number, token: Token::from(token), refused, ending, parameters }
    });
    attempt.boxed()
}

/// Every attempt that we could have written for this role.
pub fn our_attempt(role: Role) -> Any<Attempt> {
    attempt(our_token(), our_tags(role))
}

fn our_token() -> Any<String> {
    let digit = select("0123456789abcdef-ABC".chars().collect::<Vec<_>>());
    vec(digit, 1..=64).prop_map(String::from_iter).boxed()
}

fn our_tags(role: Role) -> Any<BTreeMap<String, String>> {
    text().prop_map(move |project| tags(&meeting(), role, &project)).boxed()
}

/// An attempt of ours, one that is ours but for one thing, one that is broken, or something in the place of one.
fn an_attempt(role: Role) -> Any<Value> {
    let token = prop_oneof![
        2 => word("5d1c9c1e-8f3e-4f0b-9a6b-3d2f1c0e7a5*|*||?*|token-1"),
        2 => (60..70_usize).prop_map(|length| "0".repeat(length)),
        1 => text(),
    ];
    let key = prop_oneof![2 => select(vec!["MeetingID", ROLE_TAG]).prop_map(str::to_owned), 1 => text()];
    let tag = prop_oneof![2 => word("m|another|teacher|student"), 1 => text()];
    let tags = (our_tags(role), btree_map(key, tag, 1..3)).prop_map(|(mut tags, others)| {
        tags.extend(others);
        tags
    });
    let strange = prop_oneof![attempt(token.boxed(), our_tags(role)), attempt(our_token(), tags.boxed()),];
    let broken = (our_attempt(role), any::<Index>(), option::of(attribute()), part());
    let new_word = (our_attempt(role), text()).prop_map(|(attempt, word)| {
        let mut attempt = model::written(&attempt);
        attempt["M"]["parameters"]["M"]["imds_tokens"] = json!({"S": word});
        attempt
    });
    prop_oneof![
        4 => our_attempt(role).prop_map(|attempt| model::written(&attempt)),
        4 => strange.prop_map(|attempt| model::written(&attempt)),
        3 => broken.prop_map(|(attempt, at, value, more)| broke(model::written(&attempt), at, value, &more)),
        1 => our_attempt(role).prop_map(|attempt| as_list(model::written(&attempt))),
        1 => new_word,
        1 => attribute(),
    ]
    .boxed()
}

/// Its parts in their order: serde takes that for the same.
fn as_list(attempt: Value) -> Value {
    let parts = ["number", "token", "refused", "parameters"].map(|part| attempt["M"][part].clone());
    json!({"L": parts})
}

const PLACES: &str = "number|token|refused|parameters|parameters.tags|parameters.root_volume|parameters.imds_tokens|\
                      parameters.root_volume.size_gb|parameters.iam_profile|parameters.security_group_ids|\
                      parameters.tags.MeetingID|parameters.tags.Role";

/// One part of it is gone, is something else, or is one too many.
fn broke(mut attempt: Value, at: Index, value: Option<Value>, more: &str) -> Value {
    let mut places: Vec<Vec<&str>> = PLACES.split('|').map(|place| place.split('.').collect()).collect();
    // Not every attempt has a root volume of its own.
    let has = |way: &[&str]| way.iter().fold(&attempt, |value, name| &value["M"][*name])["M"].is_object();
    places.retain(|place| has(&place[..place.len() - 1]));
    places.push(vec![more]);
    let place = at.get(&places);
    let (name, way) = place.split_last().expect("a place has a name");
    let map = way.iter().fold(&mut attempt, |value, name| &mut value["M"][*name]);
    let map = map["M"].as_object_mut().expect("an attempt of ours");
    match value {
        Some(value) => map.insert((*name).to_owned(), value),
        None => map.remove(*name),
    };
    attempt
}

const STATUSES: &str = "SCHEDULED|LAUNCHED|DNS_WRITTEN|HEALTHY|IN_PROGRESS|TERMINATED|Cancelled|scheduled";
const TIMES: &str = "2026-11-22T10:00:00Z|2026-11-22T02:00:00.123-08:00|2026-11-21T10:00:00Z|9999-12-30T21:59:59Z|\
                     -009999-01-02T01:59:59Z|2026-11-22T10:00:00|tomorrow";
const LEASE_ENDS: &str = "2026-11-22T09:00:00.000Z|2026-11-22T09:54:30.000Z|2026-11-22T09:55:30.000Z|\
                          2026-11-22T09:55:30Z|9999-12-30T21:59:59.999Z|-009999-01-02T01:59:59.000Z|soon";
const OTHERS: &str =
    "teacher_name|created_at|instance_id|teacher_ec2_link|student_session_data|Status|a.b|#a";

/// A meeting's record: each attribute as it should be, missing, or anything; and those of others.
pub fn item() -> Any<Item> {
    let s = |words| word(words).prop_map(|text| json!({"S": text})).boxed();
    let one = |name: &'static str, chance, right: Any<Value>| {
        option::weighted(chance, right).prop_map(move |value| Some((name.to_owned(), value?))).boxed()
    };
    let any_text = text().prop_map(|text| json!({"S": text}));
    let time = prop_oneof![6 => s(TIMES), 1 => any_text.clone()].boxed();
    let mut right = vec![one("status", 0.9, s(STATUSES)), one("meet_time", 0.8, time)];
    for role in Role::BOTH {
        right.push(one(model::id_of(role), 0.2, s("i-1|i-0abc|i-0")));
        right.push(one(model::attempt_of(role), 0.5, an_attempt(role)));
    }
    let until = prop_oneof![6 => s(LEASE_ENDS), 1 => any_text];
    let lease = option::weighted(0.4, (s("me|this delivery"), until));
    let ours = |names: &'static [&'static str]| select(names).prop_map(str::to_owned);
    let name =
        prop_oneof![4 => ours(&model::READ), 1 => ours(&model::WRITTEN), 2 => word(OTHERS), 1 => text()];
    let count = prop_oneof![4 => Just(0..=0), 2 => Just(1..=1), 1 => Just(1..=4)];
    let hostile = count.prop_flat_map(move |count| vec((name.clone(), attribute()), count));
    let item = (right, lease, hostile).prop_map(|(right, lease, hostile)| {
        let mut item: Item = right.into_iter().flatten().collect();
        if let Some((owner, until)) = lease {
            item.extend([("launch_owner".to_owned(), owner), ("launch_lease_until".to_owned(), until)]);
        }
        item.extend(hostile);
        item.remove("id");
        item
    });
    item.boxed()
}

/// What comes in of a delivery, all of it somewhat hostile.
pub fn story() -> Any<Story> {
    let variables = prop_oneof![9 => right_environment(), 1 => environment()];
    let event = prop_oneof![5 => Just(json!({"meeting_id": "m"})), 1 => event()];
    (variables, event, option::weighted(0.95, item()), any::<bool>())
        .prop_map(|(variables, event, item, machines_came)| Story { variables, event, item, machines_came })
        .boxed()
}

/// What may stand in the variables of `schedule`, right or not.
pub fn schedule_environment() -> Any<BTreeMap<&'static str, String>> {
    let right = |name: &'static str| match name {
        "LAUNCH_FUNCTION_ARN" => "arn:aws:lambda:us-west-2:123456789012:function:launch",
        "SCHEDULER_ROLE_ARN" => "arn:aws:iam::123456789012:role/scheduler",
        "SCHEDULE_DEAD_LETTERS_ARN" => "arn:aws:sqs:us-west-2:123456789012:dead",
        "LEAD_MINUTES" => "15|7|1440| 20",
        "FLEXIBLE_WINDOW_MINUTES" => "0|5|1438",
        "LAUNCH_WINDOW_MINUTES" => "0|10080",
        _ => "elephant",
    };
    let value = move |name: &'static str| {
        let value = prop_oneof![6 => word(right(name)), 1 => text()];
        option::weighted(0.9, value).prop_map(move |value| value.map(|value| (name, value)))
    };
    let each: Vec<_> = names(Function::Schedule).into_iter().map(value).collect();
    each.prop_map(|each| each.into_iter().flatten().collect()).boxed()
}

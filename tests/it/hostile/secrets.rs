//! A secret, planted in each place that can hold one, and looked for in everything that is shown: answers, both outputs of
//! the real binaries at their most talkative, and what they write to records.
//!
//! The places: each variable, each part of an event, each attribute of a record that others or we keep something in, what AWS
//! answers in place of an answer, the credentials. In each it stands where all is right, and where something is wrong with
//! it. It is looked for as it is and in base64.

use std::io;
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elephant_core::settings;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::local::aws::{Item, LocalAws, TABLE};
use crate::local::lambda::{Lambda, Outcome};
use crate::meeting::every_function;

const SECRET: &str = "swordfish-4711";
/// Long enough for a start and some repeats. A function that reaches nothing takes all of it.
const BRIEF: Duration = Duration::from_secs(6);
const LONG: Duration = Duration::from_secs(60);
const TALKATIVE: [(&str, &str); 2] = [("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace")];

/// Whether a text has the secret in it, in plain words or in base64, wherever its first byte fell there.
fn shows(text: &str) -> bool {
    let in_base64 = (0..3).map(|offset| {
        let encoded = STANDARD.encode([&b"\0\0\0"[..offset], SECRET.as_bytes()].concat());
        // The first and the last digits have bits of their neighbours.
        encoded[if offset == 0 { 0 } else { 4 }..encoded.len() - 4].to_owned()
    });
    in_base64.chain([SECRET.to_owned()]).any(|form| text.contains(&form))
}

#[test]
fn the_secret_is_found_wherever_it_stands() {
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{SECRET}!");
        assert!(shows(&text) && shows(&STANDARD.encode(&text)), "{text}");
    }
    assert!(!shows("nothing"));
}

/// What this function has said, or says of these deliveries, that shows the secret.
fn shown(place: &str, lambda: &Lambda, outcomes: &[Outcome]) -> Vec<String> {
    let name = lambda.name();
    let answers = outcomes.iter().map(|outcome| format!("{outcome:?}"));
    let said = answers.chain(lambda.whole_log()).filter(|said| shows(said));
    let ended = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Exited(_)));
    let ended = ended.map(|outcome| format!("{outcome:?}: {:#?}", lambda.log()));
    said.chain(ended)
        .map(|said| format!("{place}: {name}: {}", said.chars().take(2000).collect::<String>()))
        .collect()
}

/// An event that each of them takes.
fn right_event(name: &str, meeting: &str) -> Value {
    match name {
        "end" | "launch" | "status" => json!({"meeting_id": meeting}),
        "operate" => json!({"do": "images"}),
        "reconcile" => json!({"sweep": true}),
        _ => json!({"meeting_id": format!("{meeting}-new"), "meet_time": "2030-01-05T10:00:00Z"}),
    }
}

/// The six with these variables, one delivery each, for a meeting of their own; what shows the secret.
fn each_with(aws: &LocalAws, place: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let meeting = uuid::Uuid::new_v4().to_string();
    aws.put_meeting(&[("id", &meeting), ("status", "SCHEDULED")]);
    let functions = every_function(aws, &[&TALKATIVE, variables].concat(), BRIEF);
    let deliver = &|lambda: &Lambda| {
        let outcome = lambda.invoke(&right_event(lambda.name(), &meeting));
        shown(place, lambda, &[outcome])
    };
    thread::scope(|scope| {
        let deliveries: Vec<_> =
            functions.iter().map(|lambda| scope.spawn(move || deliver(lambda))).collect();
        deliveries.into_iter().flat_map(|delivery| delivery.join().expect("it does not panic")).collect()
    })
}

/// The same for each of these places.
fn at_each(
    places: &[(String, Vec<(&str, &str)>)],
    each: impl Fn(&str, &[(&str, &str)]) -> Vec<String> + Sync,
) {
    let mut breaches = Vec::new();
    for some in places.chunks(4) {
        thread::scope(|scope| {
            let each = &each;
            let all: Vec<_> =
                some.iter().map(|(place, variables)| scope.spawn(move || each(place, variables))).collect();
            breaches.extend(all.into_iter().flat_map(|one| one.join().expect("it does not panic")));
        });
    }
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

fn local_aws() -> LocalAws {
    let aws = LocalAws::start(&mut io::stderr()).expect("the local AWS starts");
    aws.create_table();
    aws
}

#[test]
fn no_variable_is_shown_whatever_is_wrong_with_it() {
    let aws = local_aws();
    let in_address = format!("http://user:{SECRET}@127.0.0.1:1");
    let without_scheme = format!("{SECRET}:8000");
    let in_query = format!("http://127.0.0.1:1/?key={SECRET}");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n").repeat(8);
    let script = format!("#!/bin/sh\necho {SECRET}\n");
    let too_long = format!("#!/bin/sh\n{}", SECRET.repeat(2000));
    let mut places: Vec<(String, Vec<(&str, &str)>)> = Vec::new();
    let names = settings::ALL.iter().map(|setting| setting.name);
    places.push(("a key in every variable".to_owned(), names.map(|name| (name, key.as_str())).collect()));
    places.push(("a key in AWS_CA_BUNDLE".to_owned(), vec![("AWS_CA_BUNDLE", &key)]));
    let (packed, half_packed) = (STANDARD.encode(&script), format!("{SECRET}===="));
    for data in [SECRET, &script, &too_long, &key, &packed, &half_packed] {
        places.push((format!("USER_DATA of {} bytes", data.len()), vec![("USER_DATA", data)]));
    }
    let places_of_addresses = [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_EC2",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_SCHEDULER",
        "AWS_ENDPOINT_URL_SSM",
        "HTTP_PROXY",
        "ALL_PROXY",
    ];
    for name in places_of_addresses {
        for address in [&in_address, &without_scheme, &in_query] {
            places.push((format!("{name}={address}"), vec![(name, address)]));
        }
    }
    for name in
        ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    {
        places.push((name.to_owned(), vec![(name, SECRET)]));
        // Not even credentials that cannot be sent.
        places.push((format!("{name} with a line break"), vec![(name, &key)]));
    }
    // Credentials in a file, which is read where the environment has none: right, and not as such a file is written.
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<String> = [
        format!("[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n"),
        format!("[default]\naws_access_key_id = AKIA\naws_secret_access_key {SECRET}\n"),
        format!("aws_secret_access_key = {SECRET}\n"),
        format!("[default\naws_secret_access_key = {SECRET}\n"),
        format!("[default]\nrole_arn = {SECRET}\nsource_profile = {SECRET}\n"),
    ]
    .iter()
    .enumerate()
    .map(|(n, text)| {
        let file = folder.path().join(n.to_string());
        std::fs::write(&file, text).expect("the folder can be written");
        file.to_string_lossy().into_owned()
    })
    .collect();
    for (_, variables) in &places {
        assert!(variables.iter().all(|(_, value)| shows(value)), "the secret is planted: {variables:?}");
    }
    for file in &files {
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
        ];
        places.push((format!("the credentials in {file}"), variables));
    }
    at_each(&places, |place, variables| each_with(&aws, place, variables));
}

/// Events with the secret wherever an event may say what it likes: such as are taken, such as are refused, and such as are
/// no events at all.
fn events(name: &str, meeting: &str) -> Vec<String> {
    let mut events: Vec<Value> = vec![
        json!(SECRET),
        json!([SECRET]),
        json!({"teacher_name": SECRET}),
        json!({"meeting_id": 7, "teacher_name": SECRET, "names": {"student": SECRET}}),
        json!({"detail": SECRET}),
        json!({"detail": {"teacher_name": SECRET}, "detail-type": "lesson"}),
        json!({"meeting_id": meeting, "meetingId": "another", "note": [SECRET]}),
    ];
    let about = |fields: Value| {
        let mut event = right_event(name, meeting);
        event.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        event
    };
    let names = json!({"teacher_name": SECRET, "jitsi_url": format!("https://x/{SECRET}"), "more": [{"token": SECRET}]});
    events.push(about(names.clone()));
    match name {
        "schedule" => {
            let mut time = names.clone();
            time["meet_time"] = json!(format!("Monday, with {SECRET}"));
            events.push(about(time));
            let mut foreign = names.clone();
            foreign["teacher_session_data"] = json!({"password": SECRET});
            events.push(about(foreign));
            let mut number = names;
            number["room"] = serde_json::from_str("1e400").expect("a number");
            events.push(about(number));
        }
        "operate" => {
            let run = json!({"do": "run", "meeting_id": meeting, "role": "teacher", "name": "n", "command": format!("echo {SECRET}")});
            let mut misspelt = run.clone();
            misspelt["timeout"] = json!(SECRET);
            events.extend([run, misspelt, json!({"do": "ensure_key", "name": "k", "public_key": SECRET})]);
        }
        "reconcile" => events.push(json!({"sweep": SECRET})),
        _ => events.extend([
            about(json!({"wait": SECRET})),
            about(json!({"role": SECRET})),
            about(json!({"preflight": SECRET})),
        ]),
    }
    let mut texts: Vec<String> = events.iter().map(ToString::to_string).collect();
    texts.extend([
        SECRET.to_owned(),
        format!("{{\"meeting_id\": \"{SECRET}\\ud800\"}}"),
        format!("{{}}{SECRET}"),
    ]);
    texts.push(format!("{{\"teacher_name\": \"{SECRET}"));
    texts
}

#[test]
fn nothing_that_an_event_says_is_shown() {
    let aws = local_aws();
    aws.put_meeting(&[("id", "m"), ("status", "SCHEDULED")]);
    let functions = every_function(&aws, &TALKATIVE, LONG);
    let deliver = &|lambda: &Lambda| {
        let client = format!(r#"{{"custom": {{"token": "{SECRET}"}}}}"#);
        let deliver = |event: String| {
            lambda.invoke_with(event.as_bytes(), &[("lambda-runtime-client-context", client.as_str())])
        };
        let outcomes: Vec<Outcome> = events(lambda.name(), "m").into_iter().map(deliver).collect();
        shown("an event", lambda, &outcomes)
    };
    let breaches: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = functions.iter().map(|lambda| scope.spawn(move || deliver(lambda))).collect();
        all.into_iter().flat_map(|one| one.join().expect("it does not panic")).collect()
    });
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

/// What a record has beside what is in every one.
fn records() -> Vec<(&'static str, AttributeValue)> {
    let secret = || AttributeValue::S(SECRET.to_owned());
    let map = |parts: Vec<(&str, AttributeValue)>| {
        AttributeValue::M(parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect())
    };
    let number = |text: &str| AttributeValue::N(text.to_owned());
    let attempt = |parameters: AttributeValue| {
        map(vec![
            ("number", number("1")),
            ("token", AttributeValue::S("t-1".into())),
            ("refused", AttributeValue::Bool(false)),
            ("parameters", parameters),
        ])
    };
    let user_data = || ("user_data", AttributeValue::S(STANDARD.encode(format!("#!/bin/sh\n{SECRET}"))));
    vec![
        ("teacher_name", secret()),
        ("jitsi_url", secret()),
        ("teacher_session_data", map(vec![("password", secret())])),
        ("notes", AttributeValue::L(vec![secret()])),
        // Half a lease.
        ("launch_owner", secret()),
        ("teacher_attempt", secret()),
        ("teacher_attempt", AttributeValue::L(vec![secret()])),
        ("teacher_attempt", attempt(secret())),
        ("teacher_attempt", attempt(map(vec![user_data()]))),
        (
            "teacher_attempt",
            attempt(map(vec![("user_data", AttributeValue::L(vec![secret()])), ("market", secret())])),
        ),
        ("student_attempt", map(vec![("number", secret()), ("parameters", map(vec![user_data()]))])),
        ("status", map(vec![("teacher_name", secret())])),
        ("meet_time", map(vec![("teacher_name", secret())])),
        ("teacher_ec2_id", AttributeValue::L(vec![secret()])),
        ("image_id", map(vec![("x", secret())])),
        ("termination_reason", AttributeValue::L(vec![secret()])),
        ("launch_error", map(vec![("x", secret())])),
        ("launch_replaced", secret()),
        ("teacher_state", secret()),
    ]
}

#[test]
fn nothing_is_shown_of_a_record_that_its_people_would_not_want_to_be() {
    let aws = local_aws();
    let functions = every_function(&aws, &TALKATIVE, LONG);
    let mut meetings = Vec::new();
    for (n, (name, value)) in records().into_iter().enumerate() {
        let meeting = format!("m{n}");
        let mut item = Item::from([("id".to_owned(), AttributeValue::S(meeting.clone()))]);
        item.insert("status".to_owned(), AttributeValue::S("SCHEDULED".into()));
        item.insert("meet_time".to_owned(), AttributeValue::S(Timestamp::now().to_string()));
        item.insert(name.to_owned(), value);
        // An index refuses what is no string under its names; so does DynamoDB, in a table that has one.
        if aws.wait(aws.dynamodb.put_item().table_name(TABLE).set_item(Some(item)).send()).is_ok() {
            meetings.push((meeting, name));
        }
    }
    assert!(meetings.len() > 10, "{meetings:?}");
    let mut breaches = Vec::new();
    for lambda in &functions {
        let outcomes: Vec<Outcome> = meetings
            .iter()
            .map(|(meeting, _)| match lambda.name() {
                "operate" => lambda.invoke(&json!({"do": "stop", "meeting_id": meeting, "role": "teacher"})),
                "schedule" => {
                    lambda.invoke(&json!({"meeting_id": meeting, "meet_time": "2030-01-05T10:00:00Z"}))
                }
                name => lambda.invoke(&right_event(name, meeting)),
            })
            .collect();
        breaches.extend(shown("a record", lambda, &outcomes));
    }
    for (meeting, name) in &meetings {
        let record = aws.record(meeting).expect("it stands");
        let others = record.iter().filter(|(attribute, _)| attribute != name);
        let told = others.filter(|(_, value)| shows(&format!("{value:?}")));
        breaches.extend(told.map(|(attribute, value)| format!("{name}: written to {attribute}: {value:?}")));
    }
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

/// What AWS, or something on the way to it, answers in place of an answer, each with the secret in it: half a record, a page
/// that repeats the request, an error of a shape that nobody knows.
#[test]
fn nothing_of_an_answer_that_cannot_be_understood_is_shown() {
    let aws = local_aws();
    let torn =
        format!(r#"{{"Item": {{"id": {{"S": "m"}}, "teacher_name": {{"S": "{SECRET}"}}, "status": {{"S""#);
    let wrong_types = format!(r#"{{"Item": "{SECRET}", "Responses": "{SECRET}", "Items": "{SECRET}"}}"#);
    let strange = format!(
        r#"{{"Item": {{"id": {{"S": "m"}}, "teacher_name": {{"X": "{SECRET}"}}, "status": {{"{SECRET}": 1}}}}}}"#
    );
    let page = format!("<html><body>You asked: UserData={SECRET}</body></html>");
    let error = format!(r#"{{"__type": "com.amazonaws#", "Item": "{SECRET}", "body": "{SECRET}"}}"#);
    let xml = format!(
        "<RunInstancesResponse><requestId>{SECRET}</requestId><instancesSet><item><userData>{SECRET}"
    );
    let xml_error =
        format!("<Response><Errors><Error><Code></Code><UserData>{SECRET}</UserData></Error></Errors>");
    let actions = [
        "GetItem",
        "UpdateItem",
        "PutItem",
        "BatchGetItem",
        "Query",
        "RunInstances",
        "DescribeInstances",
        "DescribeSubnets",
    ];
    aws.put_meeting(&[("id", "m"), ("status", "SCHEDULED")]);
    // Each is met some times, by whoever comes to it.
    let bodies = [torn, wrong_types, strange, page, error, xml, xml_error, SECRET.to_owned()];
    let each = |body: &String| [200, 400, 403, 500].map(|status| (body.clone(), status));
    let faults = bodies.iter().flat_map(each).flat_map(|(body, status)| {
        actions.map(|action| json!({"action": action, "body": body, "status": status, "times": 2}))
    });
    let faults: Vec<Value> = faults.collect();
    let functions = every_function(&aws, &TALKATIVE, 2 * BRIEF);
    let deliver = &|lambda: &Lambda| {
        let outcomes: Vec<Outcome> =
            (0..4).map(|_| lambda.invoke(&right_event(lambda.name(), "m"))).collect();
        shown("an answer", lambda, &outcomes)
    };
    aws.add_faults(json!(faults));
    let breaches: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = functions.iter().map(|lambda| scope.spawn(move || deliver(lambda))).collect();
        all.into_iter().flat_map(|one| one.join().expect("it does not panic")).collect()
    });
    let met =
        aws.calls().iter().filter(|call| call["status"].as_u64().is_some_and(|status| status != 200)).count();
    assert!(met > 50, "hardly any answer was one of these: {met}");
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

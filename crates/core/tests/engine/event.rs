//! What arrives: every shape that is understood, and every one that is refused, with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use elephant_core::error::Kind;
use elephant_core::event::{
    self, Asked, End, Launch, Preflight, Reconcile, Schedule, ScheduleContext, Status,
};
use elephant_core::machine::InstanceId;
use elephant_core::meeting::{MeetingId, Role};
use serde_json::{Value, json};

#[test]
fn every_accepted_shape_names_its_meeting() {
    let shapes = [
        json!({"meeting_id": "m"}),
        json!({"meetingId": "m"}),
        json!({"meeting_id": "m", "meetingId": "m"}),
        json!({"meeting_id": " m ", "meetingId": "m"}),
        json!({"meeting_id": "m", "room": {"meeting_id": 7}, "detail-type": "x"}),
        json!({"version": "0", "detail-type": "x", "detail": {"meeting_id": "m"}}),
        json!({"version": "0", "detail": {"meetingId": "m", "more": [1, 2]}}),
    ];
    for event in shapes {
        assert_eq!(id(&event), Ok("m".to_owned()), "{event}");
    }
}

#[test]
fn a_meeting_named_outside_needs_no_detail() {
    for detail in [json!(null), json!("text"), json!({"meeting_id": "other"})] {
        let event = json!({"meeting_id": "m", "detail": detail});
        assert_eq!(id(&event), Ok("m".to_owned()), "{event}");
    }
}

#[test]
fn the_id_is_trimmed_and_otherwise_taken_as_it_is() {
    let longest = "🐘".repeat(256);
    for expected in ["a/b/c", "two words", "it's \"quoted\"", "🐘 ünïcode", "{}", "null", &longest] {
        let event = json!({"meeting_id": format!(" \t{expected}\n ")});
        assert_eq!(id(&event).as_deref(), Ok(expected), "{event}");
    }
}

#[test]
fn every_refusal_says_what_was_wrong_and_what_to_send() {
    for (event, problem) in refusals() {
        let error = Launch::from_json(&event).expect_err(&format!("accepted {event}"));
        assert_eq!(error.kind, Kind::InvalidEvent, "{event}");
        let said = format!("the event {problem}");
        assert!(error.problem.starts_with(&said), "{event}: expected {said:?}, got {:?}", error.problem);
        assert!(error.advice.contains(r#"{"meeting_id": "#), "no shape to send in {:?}", error.advice);
    }
}

#[test]
fn every_refusal_shows_the_shape_of_what_came_and_nothing_that_it_says() {
    let event = json!({"room": "swordfish", "minutes": 12345, "who": ["swordfish"], "detail": {"names": {"a": "swordfish"}, "n": null}});
    let error = Launch::from_json(&event).expect_err("no id");
    let shape = r#", got {"detail": {"n": null, "names": an object}, "minutes": a number, "room": a string, "who": an array}"#;
    assert!(error.problem.ends_with(shape), "{:?}", error.problem);
    for (event, _) in refusals() {
        let error = Launch::from_json(&event).expect_err(&format!("accepted {event}"));
        assert!(error.problem.contains(", got "), "{event}: {:?}", error.problem);
    }
}

/// What cannot be a launch, and what is said of it.
fn refusals() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), "has no meeting_id"),
        (json!({"room": "4b"}), "has no meeting_id"),
        (json!({"Meeting_ID": "m"}), "has no meeting_id"),
        (json!({"detail": {}}), "has no meeting_id"),
        (json!({"detail": {"detail": {"meeting_id": "m"}}}), "has no meeting_id"),
        (json!({"meeting_id": ""}), "has a meeting_id that is empty"),
        (json!({"meetingId": " \n"}), "has a meetingId that is empty"),
        (json!({"meeting_id": "m", "meetingId": ""}), "has a meetingId that is empty"),
        (json!({"meeting_id": null}), "has a meeting_id that is null, not a string"),
        (json!({"meeting_id": 7}), "has a meeting_id that is a number, not a string"),
        (json!({"meeting_id": true}), "has a meeting_id that is a boolean, not a string"),
        (json!({"meetingId": ["m"]}), "has a meetingId that is an array, not a string"),
        (json!({"meetingId": {"S": "m"}}), "has a meetingId that is an object, not a string"),
        (json!({"detail": {"meeting_id": 7}}), "has a meeting_id that is a number, not a string"),
        (json!({"meeting_id": "a", "meetingId": "b"}), "has a meeting_id and a meetingId that differ"),
        (json!({"meeting_id": "x".repeat(257)}), "has a meeting_id that has 257 characters"),
        (json!({"meeting_id": "🐘".repeat(257)}), "has a meeting_id that has 257 characters"),
        (json!("m"), "is a string, not an object"),
        (json!(["m"]), "is an array, not an object"),
        (json!(7), "is a number, not an object"),
        (json!(null), "is null, not an object"),
        (json!({"detail": "m"}), "has a detail that is a string, not an object"),
        (json!({"detail": null}), "has a detail that is null, not an object"),
    ]
}

#[test]
fn the_shape_of_a_large_event_is_cut() {
    let fields = (0..1000).map(|n| (format!("🐘{n:>0100}"), json!(n)));
    let error = Launch::from_json(&Value::Object(fields.collect())).expect_err("no id");
    assert!(error.problem.chars().count() < 300, "{} characters are shown", error.problem.chars().count());
    assert!(error.problem.contains("🐘0000") && error.problem.ends_with(" bytes)"), "{:?}", error.problem);
}

/// Whatever comes that is no JSON for us: the same errorType as for every other event, and nothing of what it says.
#[test]
fn what_is_no_json_is_an_event_that_is_refused() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let meeting = r#"{"meeting_id": "swordfish"}"#;
    let texts: [&[u8]; 12] = [
        b"",
        b" \n",
        b"swordfish",
        br#"{"meeting_id": "swordfish""#,
        br#"{"meeting_id": "swordfish\ud800"}"#,
        br#"{"meeting_id": "swordfish\udc00\ud800"}"#,
        b"{\"meeting_id\": \"swordfish\xff\"}",
        b"\xff\xfe{\x00}\x00",
        b"{\"meeting_id\": \"sword\nfish\"}",
        b"{'meeting_id': 'swordfish'}",
        br#"{"meeting_id": NaN}"#,
        deep.as_bytes(),
    ];
    let with_mark = format!("\u{feff}{meeting}");
    let trailing = format!("{meeting}swordfish");
    for text in texts.into_iter().chain([with_mark.as_bytes(), trailing.as_bytes()]) {
        let shown = String::from_utf8_lossy(text);
        let error = event::parse(text).expect_err(&shown);
        assert_eq!(error.kind, Kind::InvalidEvent, "{shown}");
        assert!(error.problem.starts_with("the event is no JSON"), "{shown}: {}", error.problem);
        assert!(!error.chain().contains("swordfish") && error.chain().len() < 300, "{}", error.chain());
    }
    assert_eq!(event::parse(meeting.as_bytes()), Ok(json!({"meeting_id": "swordfish"})));
}

#[test]
fn the_context_attributes_of_the_scheduler_are_read() {
    let attributes = json!({
        "meeting_id": "m", "schedule_arn": "arn:aws:scheduler:…", "scheduled_time": "2026-11-22T09:55:00Z",
        "execution_id": "d32c5ca9", "attempt_number": "2"
    });
    let expected = ScheduleContext {
        schedule_arn: Some("arn:aws:scheduler:…".into()),
        scheduled_time: Some("2026-11-22T09:55:00Z".into()),
        execution_id: Some("d32c5ca9".into()),
        attempt_number: Some("2".into()),
    };
    for event in [attributes.clone(), json!({"detail": attributes})] {
        assert_eq!(Launch::from_json(&event).map(|launch| launch.context), Ok(expected.clone()), "{event}");
    }
}

#[test]
fn context_attributes_of_any_kind_refuse_nothing() {
    let event = json!({"meeting_id": "m", "attempt_number": 2, "scheduled_time": null, "execution_id": {}});
    let launch = Launch::from_json(&event).expect("they are for the log only");
    assert_eq!(
        launch.context,
        ScheduleContext { attempt_number: Some("2".into()), ..ScheduleContext::default() }
    );
}

#[test]
fn the_samples_are_what_their_names_say() {
    for (name, event) in samples() {
        match Launch::from_json(&event) {
            Ok(launch) => assert!(!name.starts_with("launch-refused-"), "{name} was accepted as {launch:?}"),
            Err(error) => assert!(
                name.starts_with("launch-refused-") && error.kind == Kind::InvalidEvent,
                "{name} was refused: {error:?}"
            ),
        }
    }
}

#[test]
fn only_true_asks_for_a_preflight() {
    for (name, event) in samples_of("launch-preflight") {
        let asked = Preflight::from_json(&event).unwrap_or_else(|error| panic!("{name}: {error}"));
        let meeting = asked.unwrap_or_else(|| panic!("{name} asks for none")).meeting_id;
        assert_eq!(meeting.is_some(), name.contains("of-a-meeting"), "{name}");
    }
    for (name, event) in samples() {
        assert_eq!(Preflight::from_json(&event).map_err(|error| error.chain()), Ok(None), "{name}");
    }
    for launch in
        [json!({"preflight": false, "meeting_id": "m"}), json!({"preflight": null}), json!([]), json!("x")]
    {
        assert_eq!(Preflight::from_json(&launch).map_err(|error| error.chain()), Ok(None), "{launch}");
    }
    for either in [
        json!({"preflight": true, "detail": {"meeting_id": "m"}}),
        json!({"meeting_id": "m", "detail": {"preflight": true}}),
    ] {
        let asked = Preflight::from_json(&either).expect("an event").expect("a preflight, never a launch");
        assert_eq!(asked.meeting_id, MeetingId::new("m").ok(), "{either}");
    }
    let wrapped = json!({"detail": {"preflight": true, "meetingId": "m"}});
    let asked = Preflight::from_json(&wrapped).expect("an event").expect("a preflight");
    assert_eq!(asked.meeting_id, MeetingId::new("m").ok());
    for (wrong, said) in [
        (json!({"preflight": "true"}), "has a preflight that is a string, not a boolean"),
        (json!({"preflight": 1}), "has a preflight that is a number, not a boolean"),
        (json!({"preflight": true, "meeting_id": ""}), "has a meeting_id that is empty"),
    ] {
        let error = Preflight::from_json(&wrong).expect_err("it is refused");
        assert!(error.kind == Kind::InvalidEvent && error.chain().contains(said), "{}", error.chain());
    }
}

#[test]
fn there_is_a_sample_of_every_refusal_and_of_every_shape() {
    let reasons = |events: Vec<Value>| -> BTreeSet<String> { events.iter().filter_map(reason).collect() };
    let sampled = reasons(samples().into_iter().map(|(_, event)| event).collect());
    let expected = [
        "has a detail that is a string, not an object",
        "has a meeting_id and a meetingId that differ",
        "has a meeting_id that has 257 characters",
        "has a meeting_id that is a number, not a string",
        "has a meeting_id that is empty",
        "has no meeting_id",
        "is an array, not an object",
    ];
    assert_eq!(sampled, expected.map(str::to_owned).into());
    for shape in
        ["launch.json", "launch-camel-case.json", "launch-envelope.json", "launch-from-scheduler.json"]
    {
        assert!(samples().iter().any(|(name, _)| name == shape), "events/{shape} is missing");
    }
}

fn id(event: &Value) -> Result<String, String> {
    match Launch::from_json(event) {
        Ok(launch) => Ok(launch.meeting_id.to_string()),
        Err(error) => Err(error.chain()),
    }
}

/// What a refusal says of the event, up to the first thing that depends on it.
fn reason(event: &Value) -> Option<String> {
    let problem = Launch::from_json(event).err()?.problem;
    let (reason, _) = problem.split_once(", and a tag").or(problem.split_once(", got"))?;
    reason.strip_prefix("the event ").map(str::to_owned)
}

// The verb `schedule`.

#[test]
fn a_request_to_schedule_is_understood_in_both_spellings_and_in_an_envelope() {
    let plain = json!({"meeting_id": " m ", "meet_time": "2027-01-05T11:00:00+01:00", "room": {"n": [1, null, true]}});
    let camel =
        json!({"meetingId": "m", "meetTime": "2027-01-05T11:00:00+01:00", "room": {"n": [1, null, true]}});
    for event in [plain.clone(), camel, json!({"detail": plain, "source": "us"})] {
        let Ok(Schedule::Meeting(appointment)) = Schedule::from_json(&event) else { panic!("{event}") };
        assert_eq!(appointment.meeting_id.as_str(), "m");
        assert_eq!(appointment.meet_time, "2027-01-05T10:00:00Z".parse().expect("a time"));
        assert_eq!(appointment.meet_time_text, "2027-01-05T10:00:00Z", "one form for the index");
        let attributes: Vec<&String> = appointment.attributes.keys().collect();
        assert_eq!(attributes, ["room"], "nothing that is ours: {event}");
    }
}

/// The index of open meetings compares these texts.
#[test]
fn a_time_has_one_form_in_the_record_whatever_form_it_came_in() {
    for (sent, kept) in [
        ("2026-11-25T22:47:40Z", "2026-11-25T22:47:40Z"),
        ("20261125T224740Z", "2026-11-25T22:47:40Z"),
        ("+002026-11-25T22:47:40Z", "2026-11-25T22:47:40Z"),
        ("2026-11-25T22Z", "2026-11-25T22:00:00Z"),
        ("2026-11-25T22:47Z", "2026-11-25T22:47:00Z"),
        ("2026-11-25t22:47:40z", "2026-11-25T22:47:40Z"),
        ("2026-11-25 22:47:40Z", "2026-11-25T22:47:40Z"),
        ("2026-11-25T22:47:40+00:00", "2026-11-25T22:47:40Z"),
        ("2026-11-26T04:17:40+05:30", "2026-11-25T22:47:40Z"),
        ("2026-11-25T17:47:40-05", "2026-11-25T22:47:40Z"),
        ("2026-11-25T17:47:40-0500", "2026-11-25T22:47:40Z"),
        ("2027-01-01T00:30:00+01:00", "2026-12-31T23:30:00Z"),
        ("2026-11-25T22:47:40.5Z", "2026-11-25T22:47:40.5Z"),
        ("2026-11-25T23:47:40.250+01:00", "2026-11-25T22:47:40.250Z"),
        ("2026-11-25T22:47:40,125Z", "2026-11-25T22:47:40.125Z"),
        ("2026-11-25T22:47:40.000Z", "2026-11-25T22:47:40.000Z"),
        ("2026-11-25T22:47:40.123456789Z", "2026-11-25T22:47:40.123456789Z"),
    ] {
        let event = json!({"meeting_id": "m", "meet_time": sent});
        let Ok(Schedule::Meeting(appointment)) = Schedule::from_json(&event) else { panic!("{sent}") };
        assert_eq!(appointment.meet_time_text, kept, "{sent}");
        assert_eq!(kept.parse().ok(), Some(appointment.meet_time), "{sent}");
    }
    for sent in [
        "2026-11-25T22:47:40",
        "2026-11-25",
        "2026-W48-3T22:47:40Z",
        "2026-330T22:47:40Z",
        "22:47:40Z",
        "1795646860",
        "2026-11-25T24:00:00Z",
        "2026-02-29T10:00:00Z",
        "2026-11-25T22:47:40.1234567890Z",
        "2026-11-25T22:47:40 UTC",
        "Wed, 25 Nov 2026 22:47:40 GMT",
        // An offset that no part of New York has, and one that it has: only a table of zones could tell.
        "2026-11-25T22:47:40+01:00[America/New_York]",
        "2026-11-25T17:47:40-05:00[America/New_York]",
        "2026-11-25T22:47:40Z[u-ca=hebrew]",
    ] {
        let error = Schedule::from_json(&json!({"meeting_id": "m", "meet_time": sent})).expect_err(sent);
        assert!(error.problem.contains("no ISO 8601 time with an offset"), "{sent}: {}", error.problem);
    }
}

/// DynamoDB's limits: 38 digits, and the first of them at 10^-130 to 10^125.
#[test]
fn numbers_are_kept_by_their_digits_or_refused() {
    let zeros = "0".repeat(120);
    for number in [
        "12345678901234567890123",
        "-12345678901234567890123456789012345678",
        "0.12345678901234567890123456789012345678",
        "123456789012345678901234567890123456780000",
        "0.00001",
        "1.10",
        "0",
        "-0",
        "0e9999999999999999999999",
        "9.9e125",
        "1e-130",
        "9007199254740993",
        &format!("1{zeros}"),
    ] {
        let event =
            format!(r#"{{"meeting_id":"m","meet_time":"2027-01-05T10:00:00Z","a":{{"b":[{number}]}}}}"#);
        let event = event::parse(event.as_bytes()).expect("JSON");
        let Ok(Schedule::Meeting(appointment)) = Schedule::from_json(&event) else { panic!("{number}") };
        let kept = appointment.attributes["a"]["b"][0].to_string();
        assert_eq!(kept.replace("e+", "e"), *number);
    }
    for number in [
        "123456789012345678901234567890123456789",
        "0.100000000000000000000000000000000000001",
        "1e126",
        "1e-131",
        "0.1e-130",
        "10e125",
        "1e9999999999999999999999",
        "-1e400",
    ] {
        for field in [format!(r#""room":{number}"#), format!(r#""room":[{{"a":{number}}}]"#)] {
            let event = format!(r#"{{"meeting_id":"m","meet_time":"2027-01-05T10:00:00Z",{field}}}"#);
            let event = event::parse(event.as_bytes()).expect("JSON");
            let error = Schedule::from_json(&event).expect_err(number);
            assert_eq!(error.kind, Kind::InvalidEvent);
            assert!(
                error.problem.starts_with("the event has the field \"room\" with a number"),
                "{}",
                error.problem
            );
        }
    }
}

#[test]
fn a_request_to_cancel_is_understood() {
    for (event, said) in [
        (json!({"meeting_id": "m", "cancel": true}), "cancelled"),
        (json!({"meetingId": "m", "cancel": true, "reason": " ill "}), "ill"),
        (json!({"meeting_id": "m", "cancel": true, "reason": null, "meet_time": "whenever"}), "cancelled"),
    ] {
        let expected =
            Schedule::Cancel { meeting_id: MeetingId::new("m").expect("an id"), reason: said.to_owned() };
        assert_eq!(Schedule::from_json(&event), Ok(expected), "{event}");
    }
}

#[test]
fn a_request_that_cannot_be_meant_is_refused_and_says_why() {
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let long = "x".repeat(360 * 1024);
    for (fields, said) in [
        (json!({}), "has no meet_time"),
        (json!({"meet_time": null}), "has a meet_time that is null, not a string"),
        (
            json!({"meet_time": "2027-01-05T10:00:00"}),
            "has a meet_time that is no ISO 8601 time with an offset",
        ),
        (
            json!({"meet_time": "2027-01-05T10:00:00Z", "meetTime": "2027-01-05T10:00:00Z"}),
            "has a meet_time and a meetTime",
        ),
        (json!({"cancel": "yes"}), "has a cancel that is a string, not a boolean"),
        (json!({"cancel": true, "reason": 7}), "has a reason that is no text"),
        (json!({"deep": deep}), "has the field \"deep\", which no attribute"),
        (json!({"long": long}), "has further fields of"),
        (json!({"": 1}), "has the field \"\", which no attribute"),
        (json!({"id": "m"}), "has the field \"id\","),
        (json!({"status": "LAUNCHED"}), "has the field \"status\","),
        (
            json!({"teacher_ec2_id": "i-1"}),
            "has the field \"teacher_ec2_id\", an attribute of the record that the function launch writes",
        ),
        (json!({"student_attempt": {}}), "has the field \"student_attempt\","),
        (json!({"launch_owner": "me"}), "has the field \"launch_owner\","),
        (
            json!({"teacher_ec2_link": "x"}),
            "has the field \"teacher_ec2_link\", an attribute of the record that the DNS watchdog",
        ),
        (json!({"student_session_data": {}}), "has the field \"student_session_data\","),
        (
            json!({"instance_id": "i-1"}),
            "has the field \"instance_id\", an attribute of the record that the machine",
        ),
        (json!({"termination_reason": "x"}), "has the field \"termination_reason\","),
        (
            json!({"student_dns_name": "x"}),
            "has the field \"student_dns_name\", an attribute of the record that the function reconcile",
        ),
        (
            json!({"image_id": "al2023"}),
            "would make a record that cannot be launched, for the attribute image_id is",
        ),
        (
            json!({"teacher_volume_size_gb": 6.5}),
            "would make a record that cannot be launched, for the attribute teacher_v",
        ),
        (
            json!({"student_instance_type": true}),
            "would make a record that cannot be launched, for the attribute student_instance_type is a boolean",
        ),
        (
            json!({"student_launched_instance_type": "t3.large"}),
            "has the field \"student_launched_instance_type\",",
        ),
        (
            json!({"teacher_lost_reason": "x"}),
            "has the field \"teacher_lost_reason\", an attribute of the record that the function reconcile",
        ),
    ] {
        let mut event = fields.clone();
        event["meeting_id"] = json!("m");
        let has_time = ["meet_time", "meetTime", "cancel"].iter().any(|name| fields.get(name).is_some());
        if !has_time && fields != json!({}) {
            event["meet_time"] = json!("2027-01-05T10:00:00Z");
        }
        let error = Schedule::from_json(&event).expect_err(said);
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with(&format!("the event {said}")), "{said}: {}", error.problem);
        assert!(error.chain().len() < 1_500, "{}", error.chain().len());
    }
}

#[test]
fn the_samples_of_schedule_are_what_their_names_say() {
    let samples = samples_of("schedule");
    assert!(samples.len() >= 5, "{samples:?}");
    for (name, event) in samples {
        match (Schedule::from_json(&event), name.as_str()) {
            (Ok(Schedule::Cancel { .. }), "schedule-cancel.json") => {}
            (
                Ok(Schedule::Meeting(_)),
                "schedule.json" | "schedule-move.json" | "schedule-own-machines.json",
            ) => {}
            (Err(error), _) if name.starts_with("schedule-refused-") => {
                assert_eq!(error.kind, Kind::InvalidEvent)
            }
            (request, _) => panic!("{name}: {request:?}"),
        }
    }
}

// The verb `end`.

#[test]
fn the_samples_of_end_are_what_their_names_say() {
    let samples = samples_of("end");
    assert!(samples.len() >= 5, "{samples:?}");
    for (name, event) in samples {
        match (End::from_json(&event), name.as_str()) {
            (Ok(End { wait, .. }), "end-wait.json") => assert!(wait),
            (Ok(End { reason, wait, .. }), "end.json") => {
                assert_eq!((reason.as_str(), wait), ("the teacher left", false));
            }
            (Ok(End { reason, .. }), "end-camel-case.json") => assert_eq!(reason, "ended"),
            (Err(error), _) if name.starts_with("end-refused-") => assert_eq!(error.kind, Kind::InvalidEvent),
            (request, _) => panic!("{name}: {request:?}"),
        }
    }
}

#[test]
fn nothing_is_ended_that_nobody_asked_for() {
    for (event, said) in [
        (json!("m"), "is a string, not an object"),
        (json!({}), "has no meeting_id"),
        (json!({"meeting_id": 7}), "has a meeting_id that is a number, not a string"),
        (json!({"meeting_id": "m", "meetingId": "n"}), "has a meeting_id and a meetingId that differ"),
        (json!({"meeting_id": "m", "reason": ["x"]}), "has a reason that is no text"),
        (json!({"meeting_id": "m", "reason": " "}), "has a reason that is no text"),
        (json!({"meeting_id": "m", "wait": 60}), "has a wait that is neither a boolean nor \"terminated\""),
    ] {
        let error = End::from_json(&event).expect_err(said);
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with(&format!("the event {said}")), "{said}: {}", error.problem);
    }
    let long = json!({"meeting_id": "m", "reason": "x".repeat(5_000), "wait": "terminated"});
    let request = End::from_json(&long).expect("it will do");
    assert!(request.wait && request.reason.len() < 1_100, "{}", request.reason.len());
}

// The verb `status`.

#[test]
fn the_samples_of_status_are_what_their_names_say() {
    let samples = samples_of("status");
    assert!(samples.len() >= 5, "{samples:?}");
    for (name, event) in samples {
        match (Status::from_json(&event).map(|request| request.asked), name.as_str()) {
            (Ok(Asked::Now), "status.json")
            | (Ok(Asked::WaitUntilRunning), "status-wait.json")
            | (Ok(Asked::Console(Role::Teacher)), "status-console.json") => {}
            (Err(error), _) if name.starts_with("status-refused-") => {
                assert_eq!(error.kind, Kind::InvalidEvent)
            }
            (asked, _) => panic!("{name}: {asked:?}"),
        }
    }
}

#[test]
fn a_question_that_nobody_could_mean_is_refused() {
    for (event, said) in [
        (json!({}), "has no meeting_id"),
        (json!({"meeting_id": "m", "role": "pupil", "console": true}), "has a role that is neither"),
        (json!({"meeting_id": "m", "role": "teacher"}), "has a role and no console"),
        (json!({"meeting_id": "m", "console": true}), "has a console and no role"),
        (json!({"meeting_id": "m", "role": "teacher", "console": "yes"}), "has a console that is a string"),
        (json!({"meeting_id": "m", "wait": true}), "has a wait that is not \"running\""),
        (
            json!({"meeting_id": "m", "role": "teacher", "console": true, "wait": "running"}),
            "has a console and a wait",
        ),
    ] {
        let error = Status::from_json(&event).expect_err(said);
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with(&format!("the event {said}")), "{said}: {}", error.problem);
    }
}

// The verb `reconcile`.

#[test]
fn the_samples_of_reconcile_are_what_their_names_say() {
    let instances =
        |ids: &[&str]| Reconcile::Instances(ids.iter().map(|&id| InstanceId::from(id.to_owned())).collect());
    let samples = samples_of("reconcile");
    assert!(samples.len() >= 5, "{samples:?}");
    for (name, event) in samples {
        match (Reconcile::from_json(&event), name.as_str()) {
            (Ok(request), "reconcile.json" | "reconcile-rule.json") => assert_eq!(request, Reconcile::Sweep),
            (Ok(request), "reconcile-instance.json" | "reconcile-state-change.json") => {
                assert_eq!(request, instances(&["i-0123456789abcdef0"]));
            }
            (Ok(request), "reconcile-queue.json") => {
                assert_eq!(request, instances(&["i-0123456789abcdef0", "i-0fedcba9876543210"]));
            }
            (Err(error), _) if name.starts_with("reconcile-refused-") => {
                assert_eq!(error.kind, Kind::InvalidEvent);
            }
            (request, _) => panic!("{name}: {request:?}"),
        }
    }
}

#[test]
fn nothing_is_swept_that_nobody_asked_for() {
    for (event, said) in [
        (json!([]), "is an array, not an object"),
        (json!({}), "has neither sweep nor instance_id"),
        (json!({"sweep": false}), "has neither sweep nor instance_id"),
        (json!({"sweep": "yes"}), "has a sweep that is a string, not a boolean"),
        (json!({"sweep": true, "instance_id": "i-1"}), "has a sweep and an instance"),
        (json!({"instance_id": 7}), "has an instance that is a number, not a string"),
        (json!({"instance_id": "i-"}), "has the instance \"i-\", which is no id"),
        (json!({"instance_id": "i-*"}), "has the instance \"i-*\", which is no id"),
        (json!({"detail-type": "EC2 Spot Instance Interruption Warning"}), "has the detail-type"),
        (json!({"Records": []}), "has Records that are no list of messages"),
        (json!({"Records": {"body": "{}"}}), "has Records that are no list of messages"),
        (json!({"Records": [{"messageId": "1"}]}), "has a record without a body"),
        (json!({"Records": [{"body": "{"}]}), "has a record whose body is no JSON"),
        (json!({"Records": [{"body": r#"{"sweep": true}"#}]}), "has a record whose body names no machine"),
        (
            json!({"Records": [{"body": r#"{"Records": [{"body": "{\"instance_id\": \"i-1\"}"}]}"#}]}),
            "has a record whose body names no machine",
        ),
        (
            json!({"detail-type": "EC2 Instance State-change Notification"}),
            "has neither sweep nor instance_id",
        ),
    ] {
        let error = Reconcile::from_json(&event).expect_err(said);
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with(&format!("the event {said}")), "{said}: {}", error.problem);
    }
}

/// Every sample in `events/` that asks for a launch.
fn samples() -> Vec<(String, Value)> {
    let looks = |(name, _): &(String, Value)| name.starts_with("launch-preflight");
    samples_of("launch").into_iter().filter(|sample| !looks(sample)).collect()
}

fn samples_of(verb: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let files = fs::read_dir(&folder).expect("events/ is a folder of the project");
    files
        .map(|file| file.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(verb) && name.ends_with(".json"))
        .map(|name| {
            let path = folder.join(&name);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("events/{name}: {error}"));
            let event = serde_json::from_str(&text).unwrap_or_else(|error| panic!("events/{name}: {error}"));
            (name, event)
        })
        .collect()
}

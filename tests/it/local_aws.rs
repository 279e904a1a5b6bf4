//! The real binary, behind a Runtime API, against a local AWS at its best: what only processes and a wire can show.

use crate::local;
use crate::meeting;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::local::aws::TABLE;
use crate::local::lambda::{Lambda, Outcome};
use crate::meeting::{
    M, Stack, TIMEOUT, ender, every_function, function, observer, reconciler, scheduler, tag,
};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use serde_json::{Value, json};

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn a_warm_delivery_makes_six_requests_and_its_repeat_one() {
    let stack = Stack::up();
    stack.lambda.warm_up();
    stack.aws.clear_calls();
    let answer = stack.deliver().answer();
    assert_eq!(stack.aws.count_calls(), counts(&[("GetItem", 1), ("RunInstances", 2), ("UpdateItem", 3)]));
    assert_eq!(answer["status"], "LAUNCHED");
    assert_eq!(answer["machines"]["teacher"]["outcome"], "launched");
    stack.both_recorded();

    stack.aws.clear_calls();
    let again = stack.deliver().answer();
    assert_eq!(stack.aws.count_calls(), counts(&[("GetItem", 1)]));
    assert_eq!(again["machines"]["teacher"]["outcome"], "already_recorded");
    assert_eq!(again["machines"]["student"]["instance_id"], answer["machines"]["student"]["instance_id"]);
    stack.both_recorded();
}

#[test]
fn machine_volume_and_interface_carry_the_tags_and_the_record_keeps_what_others_wrote() {
    let stack = Stack::with(&[("PROJECT_TAG", "Whale"), ("VOLUME_SIZE_GB", "61")]);
    stack.deliver().answer();
    for instance in stack.aws.instances(M) {
        let role = tag(&instance, "Role");
        let expected =
            [("MeetingID", M), ("Name", &format!("{M}_{role}")), ("Project", "Whale"), ("Role", &role)];
        let id = instance.instance_id().expect("an id");
        let tags: BTreeMap<_, _> =
            instance.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        assert_eq!(tags, BTreeMap::from(expected.map(|(key, value)| (key, value))));
        assert_eq!(instance.root_device_name(), Some("/dev/xvda"));

        let attached = Filter::builder().name("attachment.instance-id").values(id).build();
        let volumes =
            stack.aws.wait(stack.aws.ec2.describe_volumes().filters(attached).send()).expect("volumes");
        let [volume] = volumes.volumes() else { panic!("one volume, got {:?}", volumes.volumes()) };
        assert_eq!((volume.size(), volume.encrypted()), (Some(61), Some(true)));
        let tags: BTreeMap<_, _> =
            volume.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        assert_eq!(tags, BTreeMap::from(expected.map(|(key, value)| (key, value))));
    }
    assert_eq!(stack.aws.attribute(M, "teacher_name").as_deref(), Some("Ada"));
    assert_eq!(stack.aws.attribute(M, "jitsi_url").as_deref(), Some("https://x"));
    assert_eq!(stack.aws.attribute(M, "status").as_deref(), Some("LAUNCHED"));
    assert_eq!(stack.aws.attribute(M, "student_launched_instance_type").as_deref(), Some("t3.large"));
}

#[test]
fn every_sample_event_is_launched_or_refused_as_its_name_says() {
    let stack = Stack::up();
    let folder = local::top().join("events");
    let files = std::fs::read_dir(&folder).expect("events/").flatten().map(|entry| entry.path());
    let of_launch = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("launch"))
            && path.extension().is_some_and(|kind| kind == "json")
    };
    let mut samples: Vec<_> = files.filter(of_launch).collect();
    samples.sort();
    assert!(samples.len() > 10, "{samples:?}");
    for sample in samples {
        let name = sample.file_name().expect("a name").to_string_lossy().into_owned();
        let event: Value =
            serde_json::from_str(&std::fs::read_to_string(&sample).expect("text")).expect("JSON");
        if name.starts_with("launch-refused-") {
            let (error_type, message) = stack.lambda.invoke(&event).error();
            assert_eq!(error_type, "InvalidEvent", "{name}: {message}");
            continue;
        }
        let schedule = |id: &str| {
            if stack.aws.record(id).is_none() {
                stack.aws.put_meeting(&[("id", id), ("status", "SCHEDULED")]);
            }
        };
        if let Some(look) = elephant_core::event::Preflight::from_json(&event).expect("an event") {
            look.meeting_id.iter().for_each(|id| schedule(id.as_str()));
            assert_eq!(stack.lambda.invoke(&event).answer()["ready"], true, "{name}");
            continue;
        }
        let id = elephant_core::event::Launch::from_json(&event).expect("an id").meeting_id.to_string();
        // Several samples name the same meeting: those after the first find it launched.
        schedule(&id);
        let answer = stack.lambda.invoke(&event).answer();
        assert_eq!(answer["meeting_id"], id.as_str(), "{name}");
        assert_eq!(stack.aws.instances(&id).len(), 2, "{name}");
        assert!(stack.aws.attribute(&id, "teacher_ec2_id").is_some(), "{name}");
    }
}

#[test]
fn of_sixteen_deliveries_at_once_by_sixteen_processes_one_launches() {
    let stack = Stack::up();
    let lambdas: Vec<Lambda> = (0..16).map(|_| function(&stack.aws, &[], TIMEOUT)).collect();
    lambdas.iter().for_each(Lambda::warm_up);
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let deliveries: Vec<_> =
            lambdas.iter().map(|lambda| scope.spawn(|| lambda.invoke(&json!({"meeting_id": M})))).collect();
        deliveries.into_iter().map(|delivery| delivery.join().expect("it ends")).collect()
    });
    let busy = |o: &&Outcome| matches!(o, Outcome::Error { error_type, .. } if error_type == "MeetingBusy");
    let answered = outcomes.iter().filter(|o| matches!(o, Outcome::Answer(_))).count();
    assert_eq!(answered + outcomes.iter().filter(busy).count(), 16, "{outcomes:?}");
    assert!(answered >= 1, "{outcomes:?}");
    assert_eq!(stack.aws.instances(M).len(), 2);
    stack.both_recorded();
}

mod configuration {
    use super::*;

    #[test]
    fn every_wrong_variable_is_named_to_every_delivery() {
        let stack = Stack::with(&[("AMI_ID", "image"), ("VOLUME_TYPE", "gp9"), ("INSTANCE_TYPE", "")]);
        for _ in 0..2 {
            let (error_type, message) = stack.deliver().error();
            assert_eq!(error_type, "InvalidConfiguration");
            for variable in ["AMI_ID", "VOLUME_TYPE", "INSTANCE_TYPE"] {
                assert!(message.contains(variable), "{message}");
            }
        }
        assert_eq!(stack.aws.instances(M).len(), 0);
    }

    #[test]
    fn the_setting_at_fault_is_named() {
        let wrong = [
            ("AMI_ID", "ami-0000000000000dead"),
            ("KEY_NAME", "no-such-key"),
            ("SECURITY_GROUP_IDS", "sg-0000000000000dead"),
            ("IAM_PROFILE", "no-such-profile"),
            ("SUBNET_IDS", "subnet-0000000000000dead"),
            ("TABLE_NAME", "no-such-table"),
        ];
        for (variable, value) in wrong {
            let stack = Stack::with(&[(variable, value)]);
            let (error_type, message) = stack.deliver().error();
            assert_eq!(error_type, "InvalidConfiguration", "{variable}: {message}");
            assert!(message.contains(variable), "{variable}: {message}");
            assert_eq!(stack.aws.instances(M).len(), 0);
        }
    }

    #[test]
    fn zones_that_have_no_subnet_are_reported_with_what_there_is() {
        let stack = Stack::with(&[("SUPPORTED_AZS", "us-west-2z")]);
        let (error_type, message) = stack.deliver().error();
        assert_eq!(error_type, "NoUsableSubnet");
        assert!(message.contains("us-west-2z") && message.contains("us-west-2a"), "{message}");
    }

    #[test]
    fn too_little_time_is_said_at_once() {
        let stack = Stack::up();
        let hasty = function(&stack.aws, &[], Duration::from_secs(12));
        assert_eq!(hasty.invoke(&json!({"meeting_id": M})).error().0, "DeadlineTooClose");
        assert_eq!(stack.aws.attribute(M, "launch_owner"), None, "nothing was claimed");
    }
}

mod the_log {
    use super::*;

    #[test]
    fn every_line_of_a_delivery_names_meeting_and_request_and_none_shows_the_event() {
        let stack = Stack::up();
        stack.lambda.warm_up();
        let start = stack.lambda.whole_log().len();
        stack.lambda.invoke(&json!({
            "meeting_id": M, "scheduled_time": "2026-01-05T09:50:00Z", "attempt_number": "1", "secret": "swordfish"
        }));
        let lines = stack.lambda.whole_log();
        let delivery = &lines[2 * start..];
        assert!(delivery.len() > 4, "{lines:#?}");
        for line in delivery {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            // The metrics are for CloudWatch; what stands in them is the matter of metrics.rs.
            if line.get("FunctionName").is_some() {
                continue;
            }
            assert_eq!(
                line["span"]["meeting_id"].as_str().or(line["spans"][0]["meeting_id"].as_str()),
                Some(M),
                "{line}"
            );
            assert!(line["spans"][0]["request_id"].as_str().is_some_and(|id| id.len() == 36), "{line}");
            assert!(!line.to_string().contains("swordfish"), "{line}");
        }
        let text = lines.join("\n");
        assert!(text.contains(r#""scheduled_time":"2026-01-05T09:50:00Z""#), "{text}");
        assert!(text.contains("machine launched") && text.contains("machine recorded"), "{text}");
    }

    /// What a log group shows of a line is what was written, an escape sequence for a colour, too.
    #[test]
    fn a_log_in_text_has_no_escape_sequence_and_the_most_talkative_shows_no_event() {
        for level in ["INFO", "TRACE"] {
            let stack = Stack::with(&[
                ("AWS_LAMBDA_LOG_FORMAT", "Text"),
                ("AWS_LAMBDA_LOG_LEVEL", level),
                ("RUST_LOG", "trace"),
            ]);
            stack.lambda.invoke(&json!({"meeting_id": M, "teacher_name": "swordfish"})).answer();
            stack.lambda.invoke(&json!({"meeting_id": "nobody\u{1b}[31m"})).error();
            let log = stack.lambda.whole_log();
            assert!(log.iter().any(|line| line.contains("machine launched")), "{log:#?}");
            for line in log {
                assert!(!line.contains('\u{1b}') && !line.contains("swordfish"), "{level}: {line:?}");
            }
        }
    }

    /// It may be a script's own, so it is no error.
    #[test]
    fn a_marker_of_old_in_the_user_data_is_pointed_out_and_the_script_is_not_shown() {
        let stack = Stack::with(&[("USER_DATA", "#!/bin/sh\nswordfish | awk '{role}'\n")]);
        stack.deliver().answer();
        let log = stack.lambda.whole_log().join("\n");
        assert!(
            log.contains("USER_DATA has {role}, which stays as it is") && log.contains("@elephant:role@"),
            "{log}"
        );
        assert!(!log.contains("swordfish"), "{log}");
        stack.both_recorded();
    }

    #[test]
    fn a_level_of_lambda_leaves_out_what_is_below_it() {
        let stack = Stack::with(&[("AWS_LAMBDA_LOG_LEVEL", "ERROR")]);
        stack.deliver().answer();
        stack.lambda.invoke(&json!({"meeting_id": "nobody"})).error();
        let log = stack.lambda.whole_log();
        let lines: Vec<&String> = log.iter().filter(|line| !line.contains("FunctionName")).collect();
        assert_eq!(lines.len(), 1, "{log:#?}");
    }

    #[test]
    fn a_failed_delivery_is_logged_once_with_meeting_and_error_type() {
        let stack = Stack::up();
        let (_, message) = stack.lambda.invoke(&json!({"meeting_id": "nobody"})).error();
        let about = |line: &String| line.contains("MeetingNotFound") && !line.contains("FunctionName");
        let lines: Vec<String> = stack.lambda.whole_log().into_iter().filter(about).collect();
        let [line] = &lines[..] else { panic!("one line, got {lines:#?}") };
        assert!(line.contains("nobody") && line.contains(&message[..40]), "{line}");
    }
}

/// Whoever invokes decides what comes in.
mod the_door {
    use super::*;

    #[test]
    fn what_is_no_json_is_answered_by_all_six_and_ends_none() {
        let stack = Stack::up();
        let deep = "[".repeat(200) + &"]".repeat(200);
        let events: [&[u8]; 8] = [
            b"",
            b"swordfish",
            br#"{"meeting_id": "swordfish\ud800"}"#,
            b"{\"meeting_id\": \"swordfish\xff\"}",
            b"\xef\xbb\xbf{\"meeting_id\": \"m\"}",
            br#"{"meeting_id": "m"} swordfish"#,
            br#"{"meeting_id": 1e}"#,
            deep.as_bytes(),
        ];
        for lambda in every_function(&stack.aws, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")], TIMEOUT) {
            lambda.warm_up();
            let process = lambda.process_id();
            for event in events {
                let (kind, message) = lambda.invoke_with(event, &[]).error();
                let shown = String::from_utf8_lossy(event);
                assert_eq!(kind, "InvalidEvent", "{}: {shown}: {message}", lambda.name());
                assert!(message.starts_with("the event is no JSON"), "{}: {shown}: {message}", lambda.name());
            }
            let (kind, _) = lambda.invoke(&json!({})).error();
            assert_eq!(kind, "InvalidEvent", "{}", lambda.name());
            assert_eq!(lambda.process_id(), process, "{} is the same process", lambda.name());
            let log = lambda.whole_log();
            assert!(!log.iter().any(|line| line.contains("swordfish")), "{log:#?}");
            let failed =
                log.iter().filter(|line| line.contains("FunctionName") && line.contains("InvalidEvent"));
            assert_eq!(failed.count(), events.len() + 1, "each of them is counted: {log:#?}");
        }
        assert_eq!(stack.aws.record(M), Some(stack.record()));
        assert!(stack.instances().is_empty());
    }

    /// Lambda hands a client context on as whoever invokes has sent it; the runtime's own loop ends at each of these
    /// (aws-lambda-rust-runtime#382).
    #[test]
    fn no_header_of_an_invocation_ends_the_process() {
        let stack = Stack::up();
        stack.lambda.warm_up();
        let process = stack.lambda.process_id();
        let event = json!({"meeting_id": M}).to_string();
        for (name, value) in [
            ("lambda-runtime-client-context", r#"{"custom":{"a":{}}}"#),
            ("lambda-runtime-client-context", r#"{"client":{}}"#),
            ("lambda-runtime-client-context", r#"{"custom":null,"environment":7}"#),
            ("lambda-runtime-client-context", "[]"),
            ("lambda-runtime-client-context", "no JSON"),
            ("lambda-runtime-client-context", "é"),
            ("lambda-runtime-cognito-identity", "{}"),
            ("lambda-runtime-cognito-identity", "swordfish"),
            ("lambda-runtime-trace-id", "é"),
            ("lambda-runtime-aws-tenant-id", "é"),
            ("lambda-runtime-invocation-id", "a-1"),
        ] {
            let outcome = stack.lambda.invoke_with(event.as_bytes(), &[(name, value)]);
            assert!(matches!(outcome, Outcome::Answer(_)), "{name}: {value}: {outcome:?}");
        }
        assert_eq!(stack.lambda.process_id(), process);
        stack.both_recorded();
    }

    #[test]
    fn a_meeting_is_found_by_the_index_whatever_form_its_time_came_in_and_its_numbers_are_kept() {
        let stack = Stack::up();
        let schedule = scheduler(&stack.aws);
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(1);
        let forms =
            ["%Y%m%dT%H%M%SZ", "+00%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00", "%Y-%m-%dT%H:%M:%S.500Z"];
        for (n, form) in forms.into_iter().enumerate() {
            let meet_time = time.strftime(form).to_string();
            let event = format!(
                r#"{{"meeting_id": "m{n}", "meet_time": "{meet_time}", "room": 12345678901234567890123, "more": [{{"n": -1.10}}]}}"#
            );
            let answer = schedule.invoke_with(event.as_bytes(), &[]).answer();
            assert_eq!(answer["outcome"], "scheduled", "{answer}");
            let record = stack.aws.record(&format!("m{n}")).expect("a record");
            let kept = meeting::text(&record, "meet_time").expect("a time");
            assert_eq!(
                kept,
                time.strftime("%Y-%m-%dT%H:%M:%S").to_string() + if n == 3 { ".500Z" } else { "Z" }
            );
            assert_eq!(answer["meet_time"], json!(kept));
            assert_eq!(record["room"], AttributeValue::N("12345678901234567890123".into()));
            let again = schedule.invoke_with(event.as_bytes(), &[]).answer();
            assert_eq!(again["outcome"], "unchanged", "{again}");
        }
        let moved =
            schedule.invoke(&json!({"meeting_id": "m0", "meet_time": in_minutes(2).replace(['-', ':'], "")}));
        assert_eq!(moved.answer()["outcome"], "moved");
        let sweep = reconciler(&stack.aws, &[]).invoke(&json!({"sweep": true})).answer();
        assert_eq!(repairs(&sweep), ["launched"; 4]);
    }

    /// An item of DynamoDB holds 400 KB. What cannot be written down later is not launched.
    #[test]
    fn a_record_without_room_for_its_machines_launches_none_and_says_its_size() {
        let stack = Stack::up();
        stack.set("notes", &"x".repeat(330_000));
        let (kind, message) = stack.deliver().error();
        assert_eq!(kind, "InvalidRecord");
        assert!(message.contains("the record has 330") && message.contains("room for 327680"), "{message}");
        assert!(message.contains("take attributes out of the record"), "{message}");
        assert!(stack.instances().is_empty() && !stack.aws.count_calls().contains_key("RunInstances"));
        let script = format!("#!/bin/sh\n# {}\n", "y".repeat(16_000));
        let mut large = stack.beside();
        large.lambda = function(&stack.aws, &[("USER_DATA", &script)], TIMEOUT);
        // moto counts the value that is replaced, too.
        large.set("notes", "x");
        large.set("notes", &"x".repeat(327_000));
        large.deliver().answer();
        large.both_recorded();
        large.set("more", &"x".repeat(3_000));
        assert_eq!(large.deliver().answer()["machines"]["teacher"]["outcome"], "already_recorded");
        ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]).invoke(&json!({"meeting_id": M})).answer();
    }

    #[test]
    fn the_whole_of_an_encoded_message_is_logged_and_its_beginning_recorded() {
        let stack = Stack::up();
        let encoded = "Ab9_".repeat(400);
        let message = format!(
            "You are not authorized to perform this operation. Encoded authorization failure message: {encoded}"
        );
        stack.aws.add_faults(
            json!([{"action": "RunInstances", "code": "UnauthorizedOperation", "message": message}]),
        );
        let (kind, said) = stack.deliver().error();
        assert_eq!(kind, "Unauthorized");
        assert!(said.contains(&encoded) && said.contains("decode"), "{said}");
        let recorded = stack.attribute("launch_error").expect("it is recorded");
        assert!(recorded.contains("RunInstances answered UnauthorizedOperation"), "{recorded}");
        assert!(recorded.len() < 2_000 && recorded.contains("the log has all of it"), "{recorded}");
        assert!(recorded.contains("allow ec2:RunInstances"), "what to do is said to the end: {recorded}");
        let log = stack.lambda.whole_log();
        assert!(log.iter().any(|line| line.contains(&encoded)), "{log:#?}");
    }
}

/// The local AWS does what AWS does where moto does not: checked by its own program.
#[test]
fn the_local_aws_is_faithful_where_it_has_to_be() {
    let folder = local::top().join("tests").join("aws");
    let python = local::python::environment("local-aws", &folder.join("requirements.txt"), &mut io::stderr());
    run(&python.expect("the virtual environment"), &folder.join("check_local_aws.py"), &[]);
}

#[track_caller]
fn run(python: &Path, script: &Path, arguments: &[&str]) {
    let start = Instant::now();
    let output =
        std::process::Command::new(python).arg(script).args(arguments).output().expect("Python runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{} after {:?}:\n{text}", script.display(), start.elapsed());
}

// The function `end`.

#[test]
fn a_meeting_is_ended_with_its_machines_its_schedule_and_what_a_dead_delivery_left() {
    let stack = Stack::up();
    stack.deliver().answer();
    let end = ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]);
    end.warm_up();
    stack.aws.clear_calls();
    let answer = end.invoke(&json!({"meetingId": M, "reason": "the teacher left", "wait": true})).answer();
    let mut calls = stack.aws.count_calls();
    assert!(calls.remove("DescribeInstances").is_some(), "it waits");
    calls.remove("?").expect("Scheduler is asked, and the proxy does not know its requests by name");
    assert_eq!(calls, counts(&[("GetItem", 3), ("TerminateInstances", 2), ("UpdateItem", 1)]));
    assert_eq!((&answer["outcome"], &answer["schedule_deleted"]), (&json!("ended"), &json!(false)));
    let states: Vec<&Value> =
        answer["machines"].as_object().expect("machines").values().map(|machine| &machine["state"]).collect();
    assert_eq!(states, [&json!("terminated"); 2], "{answer:#}");
    assert!(meeting::live(&stack.instances()).is_empty(), "{}", stack.story());
    assert_eq!(stack.attribute("status"), Some("TERMINATED".into()));
    assert_eq!(stack.attribute("termination_reason"), Some("the teacher left".into()));
    let again = end.invoke(&json!({"meeting_id": M})).answer();
    assert_eq!(again["outcome"], json!("already_over"));
    assert_eq!(stack.attribute("termination_reason"), Some("the teacher left".into()));
}

#[test]
fn ending_finds_a_machine_that_no_record_names() {
    let stack = Stack::up();
    stack.deliver().answer();
    // As if the delivery had died before it wrote the id, long ago.
    let update = stack.aws.dynamodb.update_item().table_name(TABLE);
    let update = update.key("id", AttributeValue::S(M.into())).update_expression("REMOVE teacher_ec2_id");
    stack.aws.wait(update.send()).expect("it is removed");
    stack.time_passes();
    let end = ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]);
    let answer = end.invoke(&json!({"meeting_id": M})).answer();
    assert_eq!(answer["machines"].as_object().map(|machines| machines.len()), Some(2), "{answer:#}");
    assert!(meeting::live(&stack.instances()).is_empty(), "{}", stack.story());
    let (kind, message) = end.invoke(&json!({"meeting_id": "nobody"})).error();
    assert_eq!(kind, "MeetingNotFound");
    assert!(message.contains("reconcile ends its machines"), "{message}");
}

// The function `status`.

#[test]
fn a_meeting_is_shown_as_record_and_ec2_have_it_and_a_machine_with_its_console() {
    let stack = Stack::up();
    stack.deliver().answer();
    let status = observer(&stack.aws);
    status.warm_up();
    stack.aws.clear_calls();
    let shown = status.invoke(&json!({"meeting_id": M, "wait": "running"})).answer();
    let looks = stack.aws.count_calls();
    assert!(looks.keys().all(|call| ["GetItem", "DescribeInstances"].contains(&call.as_str())), "{looks:?}");
    assert_eq!((&shown["status"], shown.get("unreadable")), (&json!("LAUNCHED"), None), "{shown:#}");
    for role in meeting::ROLES {
        let machine = &shown["machines"][role];
        assert_eq!((&machine["state"], &machine["recorded"]), (&json!("running"), &json!(true)), "{shown:#}");
        assert_eq!(machine["instance_id"], json!(stack.attribute(&format!("{role}_ec2_id"))));
        let url = machine["console_url"].as_str().expect("a link");
        assert!(
            url.starts_with("https://us-west-2.console.aws.amazon.com/ec2/home?region=us-west-2#Inst"),
            "{url}"
        );
    }
    let console = status.invoke(&json!({"meeting_id": M, "role": "teacher", "console": true})).answer();
    assert_eq!(console["instance_id"], json!(stack.attribute("teacher_ec2_id")));
    assert!(console["console"].is_string(), "{console:#}");
    let (kind, _) = status.invoke(&json!({"meeting_id": "nobody"})).error();
    assert_eq!(kind, "MeetingNotFound");
}

// The function `reconcile`.

/// The words of the repairs that a sweep answers.
fn repairs(answer: &Value) -> Vec<String> {
    let repairs = answer["repairs"].as_array().expect("repairs");
    repairs.iter().map(|repair| repair["repair"].as_str().expect("a word").to_owned()).collect()
}

fn in_minutes(minutes: i64) -> String {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    format!("{time:.0}")
}

#[test]
fn a_machine_that_was_killed_is_launched_again_and_a_meeting_that_was_ended_leaves_none() {
    let stack = Stack::up();
    stack.set("meet_time", &in_minutes(10));
    stack.deliver().answer();
    stack.time_passes();
    let sweeper = reconciler(&stack.aws, &[]);
    sweeper.warm_up();
    let sweep = || sweeper.invoke(&json!({"sweep": true})).answer();
    assert_eq!(repairs(&sweep()), ["machine_noted", "machine_noted", "meeting_ready"]);
    assert_eq!(stack.attribute("teacher_state"), Some("running".into()));
    assert!(stack.attribute("student_dns_name").is_some_and(|name| name.ends_with(".compute.amazonaws.com")));
    assert!(stack.attribute("launch_ready_at").is_some());
    stack.aws.clear_calls();
    assert_eq!(repairs(&sweep()), Vec::<String>::new(), "all is well");
    let quiet = [
        ("BatchGetItem", 1),
        ("DescribeInstances", 1),
        ("DescribeInstanceStatus", 2),
        ("DescribeNetworkInterfaces", 1),
        ("DescribeVolumes", 1),
        ("Query", 6),
    ];
    assert_eq!(stack.aws.count_calls(), counts(&quiet));

    let teacher = stack.attribute("teacher_ec2_id").expect("an id");
    let end = stack.aws.ec2.terminate_instances().instance_ids(&teacher).send();
    stack.aws.wait(end).expect("it is killed");
    let told = json!({
        "detail-type": "EC2 Instance State-change Notification",
        "detail": {"instance-id": teacher, "state": "terminated"},
    });
    assert_eq!(repairs(&sweeper.invoke(&told).answer()), ["machine_lost", "launched"]);
    stack.both_recorded();
    assert_eq!(stack.attribute("teacher_lost_ec2_id"), Some(teacher));

    stack.set("status", "TERMINATED");
    stack.set("termination_reason", "the teacher left");
    let dry = reconciler(&stack.aws, &[("DRY_RUN", "true")]);
    let would = dry.invoke(&json!({"sweep": true})).answer();
    assert_eq!((repairs(&would).len(), &would["dry_run"]), (2, &json!(true)), "{would:#}");
    stack.both_recorded();
    assert_eq!(repairs(&sweep()), ["machine_ended", "machine_ended"]);
    assert!(meeting::live(&stack.instances()).is_empty(), "{}", stack.story());
    assert_eq!(repairs(&sweep()), Vec::<String>::new());
}

#[test]
fn a_meeting_that_nobody_launched_is_launched_when_it_is_due_and_strangers_are_left_alone() {
    let stack = Stack::up();
    let group = stack.aws.security_group();
    let sweeper = reconciler(&stack.aws, &[("SECURITY_GROUP_IDS", &group)]);
    stack.set("meet_time", &in_minutes(30));
    assert_eq!(repairs(&sweeper.invoke(&json!({"sweep": true})).answer()), Vec::<String>::new());
    stack.set("meet_time", &in_minutes(2));
    assert_eq!(repairs(&sweeper.invoke(&json!({"sweep": true})).answer()), ["launched"]);
    stack.both_recorded();
    stack.aws.clear_calls();
    let stranger = json!({"instance_id": "i-0123456789abcdef0"});
    assert_eq!(repairs(&sweeper.invoke(&stranger).answer()), Vec::<String>::new());
    assert_eq!(stack.aws.count_calls(), counts(&[("DescribeInstances", 1)]), "at the cost of one call");
}

/// Two hundred meetings and a bad day: thirty machines are killed, twenty orphans planted, three of them to be kept, ten
/// records deleted, and `end` races with `launch`. Two sweeps after the grace, and all is well.
#[test]
fn two_sweeps_bring_two_hundred_meetings_into_order() {
    let mut stack = Stack::up();
    let names: Vec<String> = (0..200).map(|n| format!("m-{n:03}")).collect();
    let begins = in_minutes(5);
    for name in &names {
        stack.turn_to(name);
        stack.aws.put_meeting(&[("id", name), ("status", "SCHEDULED"), ("meet_time", &begins)]);
    }
    let end = ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]);
    end.warm_up();
    let launch = |name: &str| stack.lambda.invoke(&json!({"meeting_id": name}));
    // The last ten are ended while they are launched, each at another moment.
    for name in &names[..190] {
        launch(name).answer();
    }
    for (n, name) in names[190..].iter().enumerate() {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(15 * u64::try_from(n).expect("few")));
                end.invoke(&json!({"meeting_id": name})).answer();
            });
            // It launches, or finds the meeting over, or has its lease taken: then its repeat does what is left.
            launch(name);
        });
    }
    let ids = |meeting: &str| -> Vec<String> {
        let record = stack.aws.record(meeting).expect("a record");
        meeting::recorded(&record).into_values().flatten().collect()
    };
    let killed: Vec<String> = names[..30].iter().map(|name| ids(name).remove(0)).collect();
    let kill = stack.aws.ec2.terminate_instances().set_instance_ids(Some(killed)).send();
    stack.aws.wait(kill).expect("they are killed");
    // As after an answer that was lost, and a record that was made anew since.
    let orphan = |n: usize| {
        let tags = [("Project", "Elephant"), ("MeetingID", names[40 + n].as_str()), ("Role", "teacher")];
        let keep = (n < 3).then_some(("elephant:keep", "for the exam"));
        let tags = tags.into_iter().chain(keep);
        let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags));
        let run = stack.aws.ec2.run_instances().image_id(local::aws::IMAGE).min_count(1).max_count(1);
        let run = run.client_token(format!("orphan-{n}")).tag_specifications(tags.build()).send();
        let answer = stack.aws.wait(run).expect("it is planted");
        answer.instances()[0].instance_id().expect("an id").to_owned()
    };
    let orphans: Vec<String> = (0..20).map(orphan).collect();
    for name in &names[70..80] {
        let delete = stack.aws.dynamodb.delete_item().table_name(TABLE);
        let delete = delete.key("id", AttributeValue::S(name.clone())).send();
        stack.aws.wait(delete).expect("it is deleted");
    }

    let group = stack.aws.security_group();
    let limits = [("SECURITY_GROUP_IDS", group.as_str()), ("MAX_ENDINGS", "100"), ("READY_MINUTES", "1440")];
    let sweeper = meeting::patient_reconciler(&stack.aws, &limits);
    let sweep = || sweeper.invoke(&json!({"sweep": true})).answer();
    for name in &names {
        if stack.aws.record(name).is_some() {
            stack.aws.date_lease(name, "2020-01-01T00:00:00.000Z");
        }
    }
    stack.aws.age(Duration::from_secs(15 * 60));
    let first = sweep();
    let count = |answer: &Value, word: &str| repairs(answer).iter().filter(|repair| *repair == word).count();
    assert_eq!((count(&first, "machine_lost"), count(&first, "orphan_marked")), (30, 17 + 20), "{first:#}");
    stack.aws.age(Duration::from_secs(5 * 60));
    let second = sweep();
    assert_eq!((count(&second, "orphan_ended"), &second["held_back"]), (17 + 20, &json!(0)), "{second:#}");

    let mut named = BTreeSet::new();
    for (n, name) in names.iter().enumerate() {
        let Some(record) = stack.aws.record(name) else { continue };
        let over = meeting::text(&record, "status").as_deref() == Some("TERMINATED");
        assert_eq!(over, n >= 190, "{name}");
        if !over {
            let both = ids(name);
            assert_eq!(both.len(), 2, "{name}");
            named.extend(both);
        }
    }
    let all = stack.aws.instances("m-*");
    let live: BTreeSet<String> = all.iter().filter(|i| meeting::is_live(i)).map(meeting::id).collect();
    let kept: BTreeSet<String> = orphans[..3].iter().cloned().collect();
    assert_eq!(live, named.union(&kept).cloned().collect(), "what lives is recorded, or to be kept");
    let third = sweep();
    let notes = ["machine_noted", "meeting_ready"];
    let done: Vec<String> =
        repairs(&third).into_iter().filter(|repair| !notes.contains(&repair.as_str())).collect();
    assert_eq!(done, Vec::<String>::new(), "a third sweep does nothing");
    assert_eq!(
        repairs(&sweep()),
        Vec::<String>::new(),
        "and has noted the machines that were launched again"
    );
}

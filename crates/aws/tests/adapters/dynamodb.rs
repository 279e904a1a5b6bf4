//! The adapter of the table against the real wire: items as other programs leave them, and the exact conditional writes.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use elephant_aws::access::{Access, Trust};
use elephant_aws::dynamodb::Table;
use elephant_aws::sdk;
use elephant_core::error::{AwsError, Class};
use elephant_core::fleet::MeetingSnapshot;
use elephant_core::machine::{Addresses, Attempt, InstanceId, Note, State, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::overrides::Overrides;
use elephant_core::ports::{Created, Meetings, NewMeetings, Updated, Watch};
use elephant_core::record::{
    self, Failure, Lease, MeetTime, NewRecord, Owner, Record, Recorded, RoleRecord, StatusMove, Update,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{Answer, REQUEST_ID, Wire};
use Role::{Student, Teacher};

const TABLE: &str = "elephant-meetings";
const LIMIT: Duration = Duration::from_secs(3);

// Reading.

#[tokio::test]
async fn a_record_is_read_consistently_by_its_id() {
    let wire = Wire::answering("GetItem", [Answer::Reply(200, "{}".into())]).await;
    assert_eq!(table(&wire).read(&meeting()).await, Ok(None), "there is no such record");
    let request: Value = serde_json::from_str(&wire.only_request().body).expect("JSON");
    let expected = json!({"TableName": TABLE, "Key": {"id": {"S": "class 4/b 🐘"}}, "ConsistentRead": true});
    assert_eq!(request, expected);
}

#[tokio::test]
async fn an_id_alone_is_a_record() {
    assert_eq!(read(json!({})).await, Ok(record()));
}

#[tokio::test]
async fn a_full_record_is_understood() {
    let item = json!({
        "status": {"S": "HEALTHY"},
        "meet_time": {"S": "2026-11-22T10:00:00Z"},
        "launch_owner": {"S": "me"},
        "launch_lease_until": {"S": "2026-11-22T09:55:30.250Z"},
        "teacher_ec2_id": {"S": "i-1"},
        "student_ec2_id": {"S": "i-2"},
        "teacher_attempt": item_of_the_plain_attempt(Teacher),
    });
    let expected = Record {
        status: Some(Status::Healthy),
        meet_time: MeetTime::At(time("2026-11-22T10:00:00Z")),
        meet_time_text: Some("2026-11-22T10:00:00Z".into()),
        lease: Some(Lease { owner: Owner::from("me"), until: time("2026-11-22T09:55:30.250Z") }),
        teacher: RoleRecord {
            instance_id: Some(InstanceId::from("i-1")),
            attempt: Some(plain_attempt(Teacher)),
            launched_at: None,
        },
        student: RoleRecord { instance_id: Some(InstanceId::from("i-2")), attempt: None, launched_at: None },
        ..record()
    };
    assert_eq!(read(item).await, Ok(expected));
}

#[tokio::test]
async fn attributes_of_other_programs_are_none_of_our_business() {
    let item = json!({
        "teacher_name": {"S": "Ada"}, "jitsi_url": {"NULL": true}, "created_at": {"N": "1763805600"},
        "teacher_session_data": {"M": {"status": {"S": "TERMINATED"}}}, "instance_id": {"S": "i-9"},
        "tags": {"SS": ["a", "b"]}, "blob": {"B": "AAEC"}, "teacher_ec2_link": {"L": []}, "ready": {"BOOL": true},
        "launch_error": {"N": "7"}, "teacher_availability_zone": {"NULL": true},
    });
    assert_eq!(read(item).await, Ok(record()));
}

#[tokio::test]
async fn an_empty_or_null_attribute_counts_as_missing() {
    let ours = ["status", "launch_owner", "launch_lease_until", "teacher_ec2_id", "student_ec2_id"];
    for empty in [json!({"S": ""}), json!({"NULL": true})] {
        let item: Value = ours.map(|name| (name.to_owned(), empty.clone())).into_iter().collect();
        assert_eq!(read(item).await, Ok(record()), "{empty}");
    }
    let null_attempts = json!({"teacher_attempt": {"NULL": true}, "student_attempt": {"NULL": true}});
    assert_eq!(read(null_attempts).await, Ok(record()));
}

#[tokio::test]
async fn every_status_is_understood_and_an_unknown_one_is_kept() {
    for word in ["SCHEDULED", "LAUNCHED", "DNS_WRITTEN", "HEALTHY", "IN_PROGRESS", "TERMINATED", "Cancelled"]
    {
        let found = read(json!({"status": {"S": word}})).await.expect("a record");
        assert_eq!(found.status, Some(Status::from_word(word)));
        assert_eq!(matches!(found.status, Some(Status::Unknown(_))), word == "Cancelled", "{word}");
    }
}

#[tokio::test]
async fn a_meeting_time_may_be_spelled_in_many_ways() {
    let ten = time("2026-11-22T10:00:00Z");
    for spelling in [
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00.000Z",
        "2026-11-22T10:00:00.000000+00:00",
        "2026-11-22T10:00Z",
        "2026-11-22T02:00:00-08:00",
        "2026-11-22T15:30:00.0+05:30",
        "2026-11-22 10:00:00Z",
        " 2026-11-22T10:00:00z ",
    ] {
        let found = read(json!({"meet_time": {"S": spelling}})).await.expect("a record");
        assert_eq!(found.meet_time, MeetTime::At(ten), "{spelling:?}");
    }
    let found = read(json!({"meet_time": {"S": "2026-11-22T10:00:00.123456Z"}})).await.expect("a record");
    assert_eq!(found.meet_time, MeetTime::At(time("2026-11-22T10:00:00.123456Z")));
}

#[tokio::test]
async fn what_a_record_says_of_its_own_machines_is_for_both_or_for_one() {
    let found = read(json!({
        "image_id": {"S": " ami-0a1b "}, "student_image_id": {"S": "ami-0c2d"},
        "instance_type": {"S": "t3.large, m5.large"}, "teacher_instance_type": {"S": "c5.xlarge"},
        "volume_size_gb": {"N": "100"}, "teacher_volume_size_gb": {"S": "200"},
        "student_instance_type": {"NULL": true}, "student_volume_size_gb": {"S": ""},
    }));
    let found = found.await.expect("a record").overrides;
    let types = |of: &[&str]| of.iter().map(|of| (*of).to_owned()).collect::<Vec<_>>();
    let teacher = Overrides {
        image_id: Some("ami-0a1b".into()),
        instance_types: types(&["c5.xlarge"]),
        volume_size_gb: Some(200),
    };
    let student = Overrides {
        image_id: Some("ami-0c2d".into()),
        instance_types: types(&["t3.large", "m5.large"]),
        volume_size_gb: Some(100),
    };
    assert_eq!(found, [Ok(teacher), Ok(student)]);
}

/// The rest of the record is understood all the same: a meeting with a wrong word in it can still be ended.
#[tokio::test]
async fn an_override_that_cannot_be_understood_is_named_for_the_roles_that_it_is_for() {
    let cases = [
        (
            json!({"image_id": {"S": "al2023"}}),
            "image_id is \"al2023\", expected an image id, ami-…",
            [true, true],
        ),
        (json!({"teacher_image_id": {"S": "ami-"}}), "teacher_image_id is \"ami-\"", [true, false]),
        (
            json!({"student_instance_type": {"S": "t3large"}}),
            "student_instance_type is \"t3large\", expected one or",
            [false, true],
        ),
        (json!({"instance_type": {"L": []}}), "instance_type is neither a string nor a number", [true, true]),
        (
            json!({"volume_size_gb": {"N": "0"}}),
            "volume_size_gb is \"0\", expected a whole number of GiB",
            [true, true],
        ),
        (json!({"volume_size_gb": {"N": "60.5"}}), "volume_size_gb is \"60.5\"", [true, true]),
        (
            json!({"volume_size_gb": {"N": "0"}, "teacher_volume_size_gb": {"N": "80"}}),
            "volume_size_gb is \"0\"",
            [false, true],
        ),
        (
            json!({"student_image_id": {"S": "x".repeat(500)}}),
            &format!("is \"{}…\"", "x".repeat(100)),
            [false, true],
        ),
    ];
    for (item, expected, wrong) in cases {
        let found = read(item.clone()).await.expect("a record");
        for (of_role, wrong) in found.overrides.iter().zip(wrong) {
            match of_role {
                Err(what) => assert!(wrong && what.contains(expected), "{what}"),
                Ok(_) => assert!(!wrong, "{item}"),
            }
        }
        assert_eq!(Record { overrides: Overrides::none(), ..found }, record());
    }
}

#[tokio::test]
async fn a_meeting_time_that_nobody_can_read_refuses_nothing() {
    for text in ["tomorrow at ten", "2026-11-22", "22.11.2026 10:00", "1763805600"] {
        let found = read(json!({"meet_time": {"S": text}})).await.expect("a record");
        assert_eq!(found.meet_time, MeetTime::Unreadable(text.into()));
    }
    // As the other programs of the system read it.
    for (text, utc) in [
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00Z"),
        (" 2026-11-22 10:00:00.25 ", "2026-11-22T10:00:00.25Z"),
        ("2026-11-22T10:00", "2026-11-22T10:00:00Z"),
    ] {
        let found = read(json!({"meet_time": {"S": text}})).await.expect("a record");
        assert_eq!(found.meet_time, MeetTime::At(time(utc)), "{text}");
        assert_eq!(found.meet_time_text.as_deref(), Some(text));
    }
    let number = read(json!({"meet_time": {"N": "1763805600"}})).await.expect("a record");
    assert!(
        matches!(&number.meet_time, MeetTime::Unreadable(text) if text.contains("1763805600")),
        "{number:?}"
    );
    for missing in [json!({"meet_time": {"NULL": true}}), json!({"meet_time": {"S": " "}})] {
        assert_eq!(
            read(missing.clone()).await.map(|found| found.meet_time),
            Ok(MeetTime::Missing),
            "{missing}"
        );
    }
}

#[tokio::test]
async fn an_attribute_of_ours_that_cannot_be_understood_is_named() {
    let cases = [
        ("status", json!({"status": {"N": "7"}})),
        ("teacher_ec2_id", json!({"teacher_ec2_id": {"BOOL": false}})),
        ("student_ec2_id", json!({"student_ec2_id": {"L": [{"S": "i-1"}]}})),
        ("launch_owner", json!({"launch_owner": {"N": "7"}})),
        ("launch_owner", json!({"launch_lease_until": {"S": "2026-11-22T09:55:30Z"}})),
        ("launch_lease_until", json!({"launch_owner": {"S": "me"}})),
        ("launch_lease_until", json!({"launch_owner": {"S": "me"}, "launch_lease_until": {"S": "soon"}})),
        (
            "launch_lease_until",
            json!({"launch_owner": {"S": "me"}, "launch_lease_until": {"N": "1763805600"}}),
        ),
        ("teacher_attempt", json!({"teacher_attempt": {"S": "token-1"}})),
        ("student_attempt", json!({"student_attempt": {"M": {"token": {"S": "token-1"}}}})),
        ("student_attempt", json!({"student_attempt": {"M": {}}})),
    ];
    for (name, item) in cases {
        let error = read(item.clone()).await.expect_err(&format!("{item} was understood"));
        assert_eq!((error.action, error.class), ("GetItem", Class::Unreadable), "{item}");
        assert!(error.message.contains(name), "{item}: {:?} does not name {name}", error.message);
        assert!(error.advice.contains("correct the attribute"), "{item}: {:?}", error.advice);
    }
}

/// It would be sent to the letter, and what is found by its token may be ended.
#[tokio::test]
async fn an_attempt_that_we_cannot_have_written_is_no_attempt() {
    let tags = "/M/parameters/M/tags/M";
    let cases = [
        ("/M", "token", json!({"S": "token-*"}), "its token is \"token-*\", expected 1 to 64 letters"),
        ("/M", "token", json!({"S": ""}), "its token is \"\", expected 1 to 64 letters"),
        ("/M", "token", json!({"S": "t".repeat(65)}), "expected 1 to 64 letters, digits and hyphens"),
        (tags, "MeetingID", json!({"S": "m"}), "its tag MeetingID is \"m\", expected \"class 4/b 🐘\""),
        (tags, "MeetingID", Value::Null, "its tag MeetingID is missing, expected \"class 4/b 🐘\""),
        (tags, "Role", json!({"S": "teacher"}), "its tag Role is \"teacher\", expected \"student\""),
        (tags, "Role", Value::Null, "its tag Role is missing, expected \"student\""),
    ];
    for (place, part, value, said) in cases {
        let mut attempt = item_of_the_plain_attempt(Student);
        let parts = attempt.pointer_mut(place).and_then(Value::as_object_mut).expect("a part of it");
        match value {
            Value::Null => drop(parts.remove(part)),
            value => drop(parts.insert(part.to_owned(), value)),
        }
        let error = read(json!({"student_attempt": attempt})).await.expect_err(said);
        assert_eq!((error.action, error.class), ("GetItem", Class::Unreadable), "{said}");
        let ours = "the attribute student_attempt is no attempt of ours: ";
        let what = error.message.strip_prefix(ours).unwrap_or_else(|| panic!("{error:?}"));
        assert!(what.contains(said), "{what:?} does not say {said:?}");
    }
}

// Writing: each write of record.rs as DynamoDB gets it.

#[tokio::test]
async fn an_update_names_its_record_and_asks_what_stood_there() {
    let request = sent(renewal()).await;
    assert_eq!(request["TableName"], json!(TABLE));
    assert_eq!(request["Key"], json!({"id": {"S": "class 4/b 🐘"}}));
    assert_eq!(request["ReturnValuesOnConditionCheckFailure"], json!("ALL_OLD"));
    let known = [
        "ConditionExpression",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "Key",
        "ReturnValuesOnConditionCheckFailure",
        "TableName",
        "UpdateExpression",
    ];
    let fields: Vec<&String> = request.as_object().expect("an object").keys().collect();
    assert_eq!(fields, known);
}

#[tokio::test]
async fn the_claim_of_a_new_meeting() {
    let attempts = [(Teacher, plain_attempt(Teacher)), (Student, full_attempt(Student))];
    let written = written(record::claim(&record(), lease(), &attempts)).await;
    let condition = "
        attribute_exists(id)
        (attribute_not_exists(launch_owner) OR launch_owner = '' OR attribute_type(launch_owner, 'NULL'))
        (attribute_not_exists(status) OR status = '' OR attribute_type(status, 'NULL'))
        (attribute_not_exists(termination_reason) OR termination_reason = '' OR attribute_type(termination_reason, 'NULL'))
        (attribute_not_exists(teacher_ec2_id) OR teacher_ec2_id = '' OR attribute_type(teacher_ec2_id, 'NULL'))
        attribute_not_exists(teacher_attempt.token)
        (attribute_not_exists(student_ec2_id) OR student_ec2_id = '' OR attribute_type(student_ec2_id, 'NULL'))
        attribute_not_exists(student_attempt.token)
        (attribute_not_exists(meet_time) OR meet_time = '' OR attribute_type(meet_time, 'NULL'))";
    let update = "
        SET launch_owner = 'me'
        launch_lease_until = '2026-11-22T10:00:30.000Z'
        teacher_attempt = {attempt 1}
        student_attempt = {attempt 2}";
    assert_eq!(written, expressions(condition, update));
}

#[tokio::test]
async fn the_claim_of_a_meeting_that_others_have_worked_on() {
    let read = Record {
        status: Some(Status::Launched),
        lease: Some(Lease { owner: Owner::from("another"), until: time("2026-11-22T09:55:30.250Z") }),
        teacher: RoleRecord {
            instance_id: Some(InstanceId::from("i-1")),
            attempt: Some(plain_attempt(Teacher)),
            launched_at: None,
        },
        student: RoleRecord { instance_id: None, attempt: Some(full_attempt(Student)), launched_at: None },
        ..record()
    };
    let written = written(record::claim(&read, lease(), &[])).await;
    let condition = "
        attribute_exists(id)
        launch_owner = 'another'
        launch_lease_until = '2026-11-22T09:55:30.250Z'
        status = 'LAUNCHED'
        (attribute_not_exists(termination_reason) OR termination_reason = '' OR attribute_type(termination_reason, 'NULL'))
        teacher_ec2_id = 'i-1'
        teacher_attempt.token = 'token-1'
        teacher_attempt.refused = false
        (attribute_not_exists(student_ec2_id) OR student_ec2_id = '' OR attribute_type(student_ec2_id, 'NULL'))
        student_attempt.token = 'token-2'
        student_attempt.refused = true
        (attribute_not_exists(meet_time) OR meet_time = '' OR attribute_type(meet_time, 'NULL'))";
    let update = "SET launch_owner = 'me'\nlaunch_lease_until = '2026-11-22T10:00:30.000Z'";
    assert_eq!(written, expressions(condition, update));
}

/// Another delivery may give up on an attempt under one and the same lease: a claim that replays it must then fail, for
/// the next one would take it for dead while it is sent again.
#[tokio::test]
async fn a_claim_names_whether_the_attempt_was_refused() {
    for refused in [false, true] {
        let (conditions, _) = written(record::claim(&attempted(refused), lease(), &[])).await;
        let last: Vec<&str> = conditions.iter().rev().skip(1).take(2).map(String::as_str).collect();
        let flag = format!("student_attempt.refused = {refused}");
        assert_eq!(last, [flag.as_str(), "student_attempt.token = 'token-1'"]);
    }
}

/// Whoever wrote the lease, and however: a claim whose condition can never hold would be tried until the deadline.
#[tokio::test]
async fn a_lease_in_other_words_than_ours_is_required_in_those_words_or_is_no_lease() {
    for spelling in
        ["2026-11-22T09:55:30Z", "2026-11-22T09:55:30.123456789Z", "2026-11-22T09:55:30.000+00:00"]
    {
        match read(json!({"launch_owner": {"S": "another"}, "launch_lease_until": {"S": spelling}})).await {
            Ok(read) => {
                let (conditions, _) = written(record::claim(&read, lease(), &[])).await;
                let expected = format!("launch_lease_until = '{spelling}'");
                assert!(conditions.contains(&expected), "{expected:?} is not required in {conditions:#?}");
            }
            Err(error) => assert!(error.message.contains("launch_lease_until"), "{error}"),
        }
    }
}

#[tokio::test]
async fn the_renewal_of_a_lease() {
    let written = written(renewal()).await;
    let condition = "
        attribute_exists(id)
        launch_owner = 'me'
        launch_lease_until = '2026-11-22T10:00:30.000Z'";
    let update = "SET launch_owner = 'me'\nlaunch_lease_until = '2026-11-22T10:00:50.500Z'";
    assert_eq!(written, expressions(condition, update));
}

#[tokio::test]
async fn the_next_attempt() {
    let refused = Token::from("token-1");
    let update = record::next_attempt(&meeting(), &me(), Student, &refused, full_attempt(Student));
    let condition = "
        attribute_exists(id)
        launch_owner = 'me'
        student_attempt.token = 'token-1'
        (attribute_not_exists(student_ec2_id) OR student_ec2_id = '' OR attribute_type(student_ec2_id, 'NULL'))
        ((attribute_not_exists(status) OR status = '' OR attribute_type(status, 'NULL')) OR \
         status = 'SCHEDULED' OR status = 'LAUNCHED' OR status = 'DNS_WRITTEN' OR status = 'HEALTHY' OR \
         status = 'IN_PROGRESS')
        (attribute_not_exists(termination_reason) OR termination_reason = '' OR attribute_type(termination_reason, 'NULL'))";
    assert_eq!(written(update).await, expressions(condition, "SET student_attempt = {attempt 2}"));
}

#[tokio::test]
async fn the_record_of_a_machine_with_its_status() {
    let token = Token::from("token-1");
    let update = record::instance(&meeting(), Teacher, &token, machine(), StatusMove::ToLaunched);
    let condition = "
        attribute_exists(id)
        teacher_attempt.token = 'token-1'
        attribute_not_exists(teacher_attempt.ending)
        ((attribute_not_exists(teacher_ec2_id) OR teacher_ec2_id = '' OR attribute_type(teacher_ec2_id, 'NULL')) OR \
         teacher_ec2_id = 'i-1')
        ((attribute_not_exists(status) OR status = '' OR attribute_type(status, 'NULL')) OR \
         status = 'SCHEDULED' OR status = 'LAUNCHED')
        (attribute_not_exists(termination_reason) OR termination_reason = '' OR attribute_type(termination_reason, 'NULL'))";
    let changes = "
        SET status = 'LAUNCHED'
        teacher_ec2_id = 'i-1'
        teacher_availability_zone = 'us-west-2a'
        teacher_launched_instance_type = 't3.large'
        teacher_launched_at = '2026-11-22T09:55:02.125Z'
        REMOVE launch_error
        launch_error_code
        launch_error_at";
    assert_eq!(written(update).await, expressions(condition, changes));
}

#[tokio::test]
async fn the_record_of_a_machine_without_its_status() {
    let token = Token::from("token-2");
    let update = record::instance(&meeting(), Student, &token, machine(), StatusMove::Keep);
    let (conditions, changes) = written(update).await;
    let statuses = "(status = 'DNS_WRITTEN' OR status = 'HEALTHY' OR status = 'IN_PROGRESS')";
    assert_eq!(conditions.iter().rev().nth(1).map(String::as_str), Some(statuses));
    assert!(!changes.iter().any(|change| change.contains("status")), "the status is moved: {changes:#?}");
}

#[tokio::test]
async fn giving_up_with_nothing_left_open() {
    let refused = [(Teacher, Token::from("token-1")), (Student, Token::from("token-2"))];
    let written = written(record::give_up(&meeting(), &me(), failure(), &refused, true)).await;
    let condition = "
        attribute_exists(id)
        launch_owner = 'me'
        teacher_attempt.token = 'token-1'
        student_attempt.token = 'token-2'";
    let changes = "
        SET launch_error = 'no room anywhere'
        launch_error_code = 'InsufficientInstanceCapacity'
        launch_error_at = '2026-11-22T09:55:02.125Z'
        teacher_attempt.refused = true
        student_attempt.refused = true
        REMOVE launch_owner
        launch_lease_until";
    assert_eq!(written, expressions(condition, changes));
}

#[tokio::test]
async fn giving_up_with_something_open_keeps_the_lease() {
    let written = written(record::give_up(&meeting(), &me(), failure(), &[], false)).await;
    let changes = "
        SET launch_error = 'no room anywhere'
        launch_error_code = 'InsufficientInstanceCapacity'
        launch_error_at = '2026-11-22T09:55:02.125Z'";
    assert_eq!(written, expressions("attribute_exists(id)\nlaunch_owner = 'me'", changes));
}

#[tokio::test]
async fn the_report_of_a_delivery_that_claimed_nothing() {
    let changes = "
        SET launch_error = 'no room anywhere'
        launch_error_code = 'InsufficientInstanceCapacity'
        launch_error_at = '2026-11-22T09:55:02.125Z'";
    let condition = "
        attribute_exists(id)
        (attribute_not_exists(launch_owner) OR launch_owner = '' OR attribute_type(launch_owner, 'NULL'))";
    assert_eq!(written(record::report(&record(), failure())).await, expressions(condition, changes));
    let condition = "
        attribute_exists(id)
        launch_owner = 'me'
        launch_lease_until = '2026-11-22T10:00:30.000Z'";
    let leased = Record { lease: Some(lease()), ..record() };
    assert_eq!(written(record::report(&leased, failure())).await, expressions(condition, changes));
}

/// DynamoDB refuses an update that defines a placeholder and does not use it.
#[tokio::test]
async fn every_placeholder_is_used_and_defined() {
    for update in every_write() {
        let request = sent(update.clone()).await;
        let text = [text(&request, "ConditionExpression"), text(&request, "UpdateExpression")].join(" ");
        let used: Vec<String> = words(&text).filter(|word| word.starts_with(['#', ':'])).collect();
        for defined in ["ExpressionAttributeNames", "ExpressionAttributeValues"].map(|field| &request[field])
        {
            for placeholder in defined.as_object().into_iter().flat_map(|fields| fields.keys()) {
                assert!(used.contains(placeholder), "{placeholder} is not used in {text}");
            }
        }
        for placeholder in used {
            let fields = ["ExpressionAttributeNames", "ExpressionAttributeValues"];
            assert!(
                fields.iter().any(|f| request[f].get(&placeholder).is_some()),
                "{placeholder} is not defined"
            );
        }
    }
}

/// `status`, `token` and many more are reserved words: no attribute is spelled out in an expression.
#[tokio::test]
async fn no_attribute_is_spelled_out() {
    let words_of_dynamodb = "AND OR SET REMOVE attribute_exists attribute_not_exists attribute_type";
    for update in every_write() {
        let request = sent(update).await;
        let text = [text(&request, "ConditionExpression"), text(&request, "UpdateExpression")].join(" ");
        let spelled = words(&text).filter(|word| word.starts_with(|c: char| c.is_alphabetic()));
        let spelled: Vec<String> =
            spelled.filter(|word| !words_of_dynamodb.split(' ').any(|w| w == word)).collect();
        assert!(spelled.is_empty(), "{spelled:?} in {text}");
    }
}

#[tokio::test]
async fn an_attempt_survives_the_round_trip() {
    for attempt in [plain_attempt(Student), full_attempt(Student)] {
        let request = sent(record::claim(&record(), lease(), &[(Student, attempt.clone())])).await;
        let values = request["ExpressionAttributeValues"].as_object().expect("an object");
        let map = values.values().find(|value| value.get("M").is_some()).expect("the attempt's map");
        let found = read(json!({"student_attempt": map})).await.expect("a record");
        assert_eq!(found.student.attempt, Some(attempt), "{map:#}");
    }
}

/// What a running version has written, every later one has to read.
#[tokio::test]
async fn an_attempt_is_written_in_the_form_that_it_always_had() {
    let request = sent(record::claim(&record(), lease(), &[(Student, plain_attempt(Student))])).await;
    let values = request["ExpressionAttributeValues"].as_object().expect("an object");
    let map = values.values().find(|value| value.get("M").is_some());
    assert_eq!(map, Some(&item_of_the_plain_attempt(Student)));
}

// Answers to an update.

#[tokio::test]
async fn an_update_that_was_made_is_done() {
    let wire = Wire::answering("UpdateItem", [Answer::Reply(200, "{}".into())]).await;
    assert_eq!(table(&wire).update(&renewal()).await, Ok(Updated::Done));
}

#[tokio::test]
async fn a_refused_condition_shows_the_record_that_stood_there() {
    let item =
        json!({"id": {"S": "class 4/b 🐘"}, "status": {"S": "TERMINATED"}, "teacher_ec2_id": {"S": "i-1"}});
    let expected = Record {
        status: Some(Status::Terminated),
        teacher: RoleRecord { instance_id: Some(InstanceId::from("i-1")), attempt: None, launched_at: None },
        ..record()
    };
    assert_eq!(refused(json!({"Item": item})).await, Ok(Updated::Refused(Some(Box::new(expected)))));
}

#[tokio::test]
async fn a_refused_condition_without_a_record_says_that_it_is_gone() {
    assert_eq!(refused(json!({})).await, Ok(Updated::Refused(None)));
    assert_eq!(refused(json!({"Item": {}})).await, Ok(Updated::Refused(None)));
    assert_eq!(refused(json!({"Item": null})).await, Ok(Updated::Refused(None)));
}

#[tokio::test]
async fn a_refused_condition_with_an_unreadable_record_names_the_attribute() {
    let item = json!({"id": {"S": "class 4/b 🐘"}, "status": {"N": "7"}});
    let error = refused(json!({"Item": item})).await.expect_err("its status is a number");
    assert_eq!((error.action, error.class), ("UpdateItem", Class::Unreadable));
    assert!(error.message.contains("status"), "{:?}", error.message);
}

#[tokio::test]
async fn every_error_is_classified_and_nothing_is_sent_again() {
    for (class, status, name) in ERRORS {
        let wire = failing(*status, name).await;
        let update = table(&wire).update(&renewal()).await.expect_err(name);
        let read = table(&wire).read(&meeting()).await.expect_err(name);
        let code = name.rsplit('#').next();
        assert_eq!(
            (update.class, update.code.as_deref()),
            (*class, code),
            "UpdateItem, HTTP {status} {name}"
        );
        assert_eq!((read.class, read.code.as_deref()), (*class, code), "GetItem, HTTP {status} {name}");
        for action in ["UpdateItem", "GetItem"] {
            assert_eq!(wire.requests(action).len(), 1, "{action} was sent again after {name}");
        }
    }
}

const ERRORS: &[(Class, u16, &str)] = &[
    (Class::Throttled, 400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
    (Class::Throttled, 400, "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded"),
    (Class::Throttled, 400, "com.amazonaws.dynamodb.v20120810#ThrottlingException"),
    (Class::Throttled, 400, "com.amazon.coral.availability#ThrottlingException"),
    (Class::Ambiguous, 500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
    (Class::Ambiguous, 503, "com.amazonaws.dynamodb.v20120810#ServiceUnavailable"),
    (Class::Ambiguous, 500, "com.amazon.coral.service#InternalFailure"),
    (Class::Misconfigured, 400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"),
    (Class::Misconfigured, 400, "com.amazon.coral.validate#ValidationException"),
    (Class::Misconfigured, 400, "com.amazon.coral.service#SerializationException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#AccessDeniedException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#UnrecognizedClientException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#InvalidSignatureException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#ExpiredTokenException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#MissingAuthenticationTokenException"),
    (Class::Unauthorized, 400, "com.amazon.coral.service#IncompleteSignatureException"),
    (Class::Throttled, 400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException"),
    (Class::Throttled, 400, "com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException"),
    (Class::Misconfigured, 400, "com.amazonaws.dynamodb.v20120810#ItemCollectionSizeLimitExceededException"),
    (Class::Misconfigured, 400, "com.amazonaws.dynamodb.v20120810#IndexNotFoundException"),
    (Class::Misconfigured, 400, "com.amazonaws.kms#KMSDisabledException"),
    (Class::Misconfigured, 400, "com.amazonaws.kms#KMSInvalidStateException"),
    (Class::Misconfigured, 400, "com.amazonaws.kms#KMSNotFoundException"),
    (Class::Unauthorized, 400, "com.amazonaws.kms#KMSAccessDeniedException"),
    (Class::Throttled, 400, "com.amazonaws.kms#KMSThrottlingException"),
    (Class::Ambiguous, 500, "com.amazonaws.kms#KMSInternalException"),
    (Class::Ambiguous, 500, "com.amazonaws.dynamodb.v20120810#NeverHeardOfIt"),
];

/// One code, and what its words mean; asked for a record, or for the index.
#[tokio::test]
async fn an_answer_is_told_by_its_words_where_the_code_is_a_general_one() {
    let denied = "User: arn:aws:sts::1:assumed-role/launch/launch is not authorized to perform: dynamodb:Query on resource:";
    let access_denied = "com.amazon.coral.service#AccessDeniedException";
    let validation = "com.amazon.coral.validate#ValidationException";
    for (code, message, class, advice) in [
        (
            access_denied,
            format!("{denied} arn:aws:dynamodb:us-west-2:1:table/elephant-meetings/index/open-meetings"),
            Class::Unauthorized,
            "on the table elephant-meetings and its index open-meetings in the function's role",
        ),
        (
            access_denied,
            format!("{denied} table/elephant-meetings with an explicit deny in a service control policy"),
            Class::Unauthorized,
            "a service control policy of the organisation has to allow it",
        ),
        (
            access_denied,
            format!("{denied} table/elephant-meetings because no permissions boundary allows the action"),
            Class::Unauthorized,
            "the permissions boundary of the function's role has to allow it",
        ),
        (
            access_denied,
            format!("{denied} table/elephant-meetings because no VPC endpoint policy allows the action"),
            Class::Unauthorized,
            "the policy of the VPC endpoint has to allow it",
        ),
        (
            access_denied,
            "KMS key access denied error: User: x is not authorized to perform: kms:Decrypt".to_owned(),
            Class::Unauthorized,
            "let its policy and the function's role allow kms:Decrypt",
        ),
        (
            validation,
            "KMS validation error: arn:aws:kms:us-west-2:1:key/k is pending deletion".to_owned(),
            Class::Misconfigured,
            "a KMS key that cannot be used: enable the key",
        ),
        (
            "com.amazon.coral.service#UnrecognizedClientException",
            "The security token included in the request is invalid.".to_owned(),
            Class::Unauthorized,
            "check the credentials",
        ),
        (
            "com.amazon.coral.service#InvalidSignatureException",
            "Signature expired: 20260105T100000Z is now earlier than 20260105T101000Z".to_owned(),
            Class::Unauthorized,
            "and its clock",
        ),
        (
            validation,
            "The table does not have the specified index: open-meetings".to_owned(),
            Class::Misconfigured,
            "give the table elephant-meetings the index open-meetings",
        ),
    ] {
        let body = json!({"__type": code, "message": message}).to_string();
        let wire = Wire::answering("Query", [Answer::Reply(400, body)]).await;
        let error =
            table(&wire).find_by_time(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).await.expect_err(code);
        assert_eq!(error.class, class, "{message}");
        assert!(error.advice.contains(advice), "{message}: {:?} does not say {advice:?}", error.advice);
    }
}

#[tokio::test]
async fn an_item_that_is_too_large_is_the_records_fault() {
    for message in [
        "Item size to update has exceeded the maximum allowed size",
        "Item size has exceeded the maximum allowed size",
    ] {
        let body = json!({"__type": "com.amazon.coral.validate#ValidationException", "message": message});
        let wire = Wire::answering("UpdateItem", [Answer::Reply(400, body.to_string())]).await;
        let error = table(&wire).update(&renewal()).await.expect_err(message);
        assert_eq!(error.class, Class::Unreadable);
        assert!(error.advice.contains("take attributes out of the record"), "{}", error.advice);
    }
}

/// Without what a launch writes itself, as DynamoDB counts it. What is there already is replayed, recorded and ended.
#[tokio::test]
async fn a_record_without_room_for_a_launch_launches_nothing_new() {
    let limit = 320 * 1024;
    // The id is an attribute, too.
    let rest = limit - "id".len() - meeting().as_str().len();
    let text = |length: usize| json!({"S": "x".repeat(length)});
    // Two lists, each of what is left beside a text: ten of three bytes, and ten of seven by name.
    let ones = json!({"L": vec![json!({"N": "1"}); 10]});
    let flags: serde_json::Map<_, _> = (0..10).map(|n| (format!("{n:05}"), json!({"BOOL": true}))).collect();
    let beside = |length: usize, value: Value| json!({"L": [text(length), value]});
    for (value, size) in [
        (text(rest - 1), limit),
        (text(rest), limit + 1),
        (beside(rest - 1 - 5 - 33, ones.clone()), limit),
        (beside(rest - 1 - 5 - 32, ones), limit + 1),
        (beside(rest - 1 - 5 - 73, json!({"M": flags.clone()})), limit),
        (beside(rest - 1 - 5 - 72, json!({"M": flags})), limit + 1),
        (json!({"NULL": true}), limit - rest + 2),
    ] {
        let found = read(json!({"x": value})).await.expect("it is understood");
        for of_role in &found.overrides {
            match of_role {
                Ok(_) => assert!(size <= limit, "{size}"),
                Err(what) => {
                    let said = format!(
                        "the record has {size} bytes without what a launch writes to it, and has room for {limit}"
                    );
                    assert!(size > limit && what.starts_with(&said), "{size}: {what}");
                }
            }
        }
    }
    let attempt = item_of_the_plain_attempt(Teacher);
    let full = json!({"x": text(rest - 1), "teacher_attempt": attempt, "student_attempt": item_of_the_plain_attempt(Student)});
    let found = read(full).await.expect("it is understood");
    assert_eq!(found.overrides, Overrides::none(), "ours do not count");
    let over = json!({"x": text(rest), "teacher_attempt": attempt, "teacher_ec2_id": {"S": "i-1"}});
    let found = read(over).await.expect("it is understood");
    assert!(found.teacher.attempt.is_some() && found.teacher.instance_id.is_some(), "{found:?}");
}

/// What stands in it may be user data, or a name.
#[tokio::test]
async fn an_attempt_that_cannot_be_understood_is_not_shown() {
    let secret = json!({"S": "swordfish"});
    let mut places = vec![secret.clone(), json!({"M": {"parameters": secret}}), json!({"SS": ["swordfish"]})];
    for pointer in [
        "/M/parameters",
        "/M/parameters/M/security_group_ids",
        "/M/number",
        "/M/refused",
        "/M/parameters/M/tags",
    ] {
        let mut attempt = item_of_the_plain_attempt(Teacher);
        *attempt.pointer_mut(pointer).expect(pointer) = secret.clone();
        places.push(attempt);
    }
    for (part, value) in [
        ("market", secret.clone()),
        ("imds_tokens", secret),
        ("user_data", json!({"L": [{"S": "swordfish"}]})),
    ] {
        let mut attempt = item_of_the_plain_attempt(Teacher);
        attempt["M"]["parameters"]["M"][part] = value;
        places.push(attempt);
    }
    for attempt in places {
        let error = read(json!({"teacher_attempt": attempt})).await.expect_err("it is none of ours");
        assert_eq!(error.class, Class::Unreadable, "{error}");
        assert!(
            error.message.contains("teacher_attempt") && !error.to_string().contains("swordfish"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn no_answer_is_ambiguous_and_nothing_is_sent_again() {
    let answers = [
        Answer::Cut,
        Answer::Torn(200, r#"{"Item": {"id""#.into()),
        Answer::Reply(500, "<html>Internal Server Error</html>".into()),
        Answer::Reply(200, "<html>Welcome</html>".into()),
    ];
    for answer in answers {
        let wire = Wire::start().await;
        wire.script("UpdateItem", [answer.clone()]);
        wire.script("GetItem", [answer.clone()]);
        let update = table(&wire).update(&renewal()).await;
        let read = table(&wire).read(&meeting()).await;
        assert_eq!(update.err().map(|error| error.class), Some(Class::Ambiguous), "UpdateItem: {answer:?}");
        assert_eq!(read.err().map(|error| error.class), Some(Class::Ambiguous), "GetItem: {answer:?}");
        assert_eq!([wire.requests("UpdateItem").len(), wire.requests("GetItem").len()], [1, 1], "{answer:?}");
    }
}

/// It may have been written: the HTTP client's own word for such an answer is the one for a request never sent.
#[tokio::test]
async fn an_answer_that_is_no_http_leaves_a_write_ambiguous() {
    for said in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/9.9 ??? nonsense\r\n\r\n", "\0\u{1}\u{2}"] {
        let wire = Wire::answering("UpdateItem", [Answer::Raw(said)]).await;
        let error = table(&wire).update(&renewal()).await.expect_err(said);
        assert_eq!((error.class, error.code()), (Class::Ambiguous, "NoAnswer"), "{said:?}: {error}");
        assert_eq!(wire.requests("UpdateItem").len(), 1, "{said:?}: it was sent again");
    }
}

#[tokio::test]
async fn missing_credentials_are_named_by_the_first_read() {
    let wire = Wire::answering("GetItem", [Answer::Reply(200, "{}".into())]).await;
    let http = aws_smithy_http_client::Builder::new().build_http();
    let failing = ProfileFileCredentialsProvider::builder()
        .configure(&ProviderConfig::empty().with_http_client(http))
        .profile_name("no profile has this name")
        .build();
    let failing = Some(SharedCredentialsProvider::new(failing));
    for (story, provider) in [("no provider", None), ("a provider that has none", failing)] {
        let mut sdk = wire.sdk().into_builder();
        sdk.set_credentials_provider(provider);
        let table = Table::new(&sdk.build(), TABLE, LIMIT);
        let error = table.read(&meeting()).await.expect_err(story);
        assert_eq!((error.action, error.class), ("GetItem", Class::Misconfigured), "{story}: {error}");
        assert!(error.advice.contains("credentials"), "{story}: {:?}", error.advice);
    }
    assert!(wire.requests("GetItem").is_empty(), "nothing can be sent without credentials");
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous() {
    let wire = Wire::answering("UpdateItem", [Answer::Silence]).await;
    let impatient = Table::new(&wire.sdk(), TABLE, Duration::from_millis(500));
    let error = impatient.update(&renewal()).await.expect_err("no answer comes");
    assert_eq!((error.class, error.code()), (Class::Ambiguous, "NoAnswer"), "{error}");
    assert_eq!(wire.requests("UpdateItem").len(), 1);
}

/// A record names people, and an error ends in the log.
#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_shown() {
    let item = r#"{"Item": {"id": {"S": "m"}, "teacher_name": {"S": "Ada"}, "status": {"S""#;
    for answer in [Answer::Reply(200, item.into()), Answer::Torn(200, item.into())] {
        let wire = Wire::answering("GetItem", [answer.clone()]).await;
        let said = table(&wire).read(&meeting()).await.expect_err("it is no JSON").to_string();
        assert!(!said.contains("Ada"), "{answer:?}: {said}");
    }
}

/// A profile may name an endpoint, too, which is not seen at the start. What could not be sent names people as well.
#[tokio::test]
async fn a_request_that_cannot_be_sent_is_not_shown() {
    let access =
        Access { region: Some("us-west-2".into()), credentials_in_environment: false, trust: Trust::Amazon };
    let shipped = sdk::load(&access).await.expect("our own client");
    let credentials = SharedCredentialsProvider::new(Credentials::new("id", "secret", None, None, "tests"));
    let attributes = json!({"teacher_name": "swordfish"}).as_object().expect("an object").clone();
    let created_at = Timestamp::UNIX_EPOCH;
    let record =
        NewRecord { meeting_id: meeting(), meet_time: "2026-11-22T10:00:00Z".into(), created_at, attributes };
    for endpoint in [
        "127.0.0.1:8000",
        "localhost",
        "swordfish:8000",
        "/swordfish",
        "ftp://swordfish",
        "http://user:swordfish@127.0.0.1:1",
        "http://127.0.0.1:1/?key=swordfish",
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
        "http://swordfish.invalid",
    ] {
        let sdk = shipped.clone().into_builder().credentials_provider(credentials.clone());
        let sdk = sdk.endpoint_url(endpoint).build();
        let table = Table::new(&sdk, TABLE, LIMIT);
        let errors = [
            table.create(&record).await.expect_err(endpoint),
            table.read(&meeting()).await.expect_err(endpoint),
        ];
        for error in errors {
            assert!(
                !format!("{error:?}").contains("swordfish") && error.message.len() < 300,
                "{endpoint}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_carries_message_and_request_id() {
    let wire = failing(400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException").await;
    let error = table(&wire).read(&meeting()).await.expect_err("there is no such table");
    assert_eq!(
        error.to_string(),
        format!(
            "GetItem answered ResourceNotFoundException: DynamoDB's own words (AWS request id {REQUEST_ID})"
        )
    );
}

#[tokio::test]
async fn the_advice_names_the_setting_at_fault() {
    for (name, expected) in [
        ("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "TABLE_NAME is elephant-meetings"),
        ("com.amazon.coral.validate#ValidationException", "elephant-meetings has the partition key id"),
        (
            "com.amazon.coral.service#AccessDeniedException",
            "allow dynamodb:GetItem on the table elephant-meetings",
        ),
    ] {
        let wire = failing(400, name).await;
        let error = table(&wire).read(&meeting()).await.expect_err(name);
        assert!(error.advice.contains(expected), "{name}: {:?} does not say {expected:?}", error.advice);
    }
}

// Plumbing.

fn table(wire: &Wire) -> Table {
    Table::new(&wire.sdk(), TABLE, LIMIT)
}

/// The record that an item of these attributes, and the id, is read as.
async fn read(attributes: Value) -> Result<Record, AwsError> {
    let mut item = attributes;
    item["id"] = json!({"S": meeting().as_str()});
    let wire = Wire::answering("GetItem", [Answer::Reply(200, json!({"Item": item}).to_string())]).await;
    table(&wire).read(&meeting()).await.map(|found| found.expect("the item is there"))
}

/// The UpdateItem that this write becomes.
async fn sent(update: Update) -> Value {
    let wire = Wire::answering("UpdateItem", [Answer::Reply(200, "{}".into())]).await;
    assert_eq!(table(&wire).update(&update).await, Ok(Updated::Done));
    serde_json::from_str(&wire.only_request().body).expect("JSON")
}

/// The answer to an update whose condition did not hold.
async fn refused(more: Value) -> Result<Updated, AwsError> {
    let mut body = more;
    body["__type"] = json!("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException");
    body["message"] = json!("The conditional request failed");
    let wire = Wire::answering("UpdateItem", [Answer::Reply(400, body.to_string())]).await;
    table(&wire).update(&renewal()).await
}

/// A DynamoDB that answers everything with this error.
async fn failing(status: u16, name: &str) -> Wire {
    let answer =
        Answer::Reply(status, json!({"__type": name, "message": "DynamoDB's own words"}).to_string());
    let wire = Wire::start().await;
    wire.script("GetItem", [answer.clone()]);
    wire.script("UpdateItem", [answer]);
    wire
}

/// What a write requires and what it changes, one line each, with names and values in the place of placeholders.
async fn written(update: Update) -> (Vec<String>, Vec<String>) {
    let request = sent(update).await;
    let condition = substituted(&request, "ConditionExpression");
    let update = substituted(&request, "UpdateExpression").replace(" REMOVE ", ", REMOVE ");
    let lines = |text: &str, between: &str| text.split(between).map(str::to_owned).collect();
    (lines(&condition, " AND "), lines(&update, ", "))
}

/// The same as a test writes it.
fn expressions(condition: &str, update: &str) -> (Vec<String>, Vec<String>) {
    let lines =
        |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    (lines(condition), lines(update))
}

fn substituted(request: &Value, expression: &str) -> String {
    let mut result = String::new();
    for word in words(text(request, expression)) {
        let name = request["ExpressionAttributeNames"].get(&word).and_then(Value::as_str);
        let value = request["ExpressionAttributeValues"].get(&word).map(shown);
        result.push_str(&name.map(str::to_owned).or(value).unwrap_or(word));
    }
    result
}

fn shown(value: &Value) -> String {
    match (&value["S"], &value["BOOL"], &value["M"]["number"]["N"]) {
        (Value::String(text), ..) => format!("'{text}'"),
        (_, Value::Bool(yes), _) => yes.to_string(),
        (.., Value::String(number)) => format!("{{attempt {number}}}"),
        _ => value.to_string(),
    }
}

fn text<'r>(request: &'r Value, field: &str) -> &'r str {
    request[field].as_str().unwrap_or_else(|| panic!("no {field} in {request:#}"))
}

/// Words and placeholders, and everything between them, in order.
fn words(text: &str) -> impl Iterator<Item = String> {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '#' || c == ':';
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.chars() {
        match words.last_mut() {
            Some(word) if last == Some(inside(c)) => word.push(c),
            _ => words.push(c.to_string()),
        }
        last = Some(inside(c));
    }
    words.into_iter()
}

fn every_write() -> Vec<Update> {
    let token = Token::from("token-1");
    vec![
        record::claim(
            &record(),
            lease(),
            &[(Teacher, plain_attempt(Teacher)), (Student, full_attempt(Student))],
        ),
        record::claim(&Record { lease: Some(lease()), ..record() }, lease(), &[]),
        record::claim(&attempted(false), lease(), &[]),
        record::claim(&attempted(true), lease(), &[(Student, plain_attempt(Student))]),
        renewal(),
        record::next_attempt(&meeting(), &me(), Teacher, &token, full_attempt(Teacher)),
        record::instance(&meeting(), Teacher, &token, machine(), StatusMove::ToLaunched),
        record::instance(&meeting(), Student, &token, machine(), StatusMove::Keep),
        record::give_up(&meeting(), &me(), failure(), &[(Teacher, token)], true),
        record::give_up(&meeting(), &me(), failure(), &[], false),
        record::report(&record(), failure()),
        record::report(&Record { lease: Some(lease()), ..record() }, failure()),
    ]
}

fn meeting() -> MeetingId {
    MeetingId::new("class 4/b 🐘").expect("it is an id")
}

/// A record of nothing but its id.
fn record() -> Record {
    Record {
        meeting_id: meeting(),
        status: None,
        termination_reason: None,
        meet_time: MeetTime::Missing,
        meet_time_text: None,
        lease: None,
        teacher: RoleRecord::default(),
        student: RoleRecord::default(),
        overrides: Overrides::none(),
    }
}

fn me() -> Owner {
    Owner::from("me")
}

fn lease() -> Lease {
    Lease { owner: me(), until: time("2026-11-22T10:00:30Z") }
}

/// A record with an attempt of the student.
fn attempted(refused: bool) -> Record {
    let attempt = Attempt { refused, ..plain_attempt(Student) };
    Record {
        student: RoleRecord { instance_id: None, attempt: Some(attempt), launched_at: None },
        ..record()
    }
}

/// Of the lease, to twenty seconds and a half later.
fn renewal() -> Update {
    record::renew(&meeting(), lease(), time("2026-11-22T10:00:50.500Z"))
}

fn machine() -> Recorded {
    Recorded {
        instance_id: InstanceId::from("i-1"),
        availability_zone: "us-west-2a".into(),
        instance_type: "t3.large".into(),
        launched_at: time("2026-11-22T09:55:02.125Z"),
    }
}

fn failure() -> Failure {
    Failure {
        reason: "no room anywhere".into(),
        code: "InsufficientInstanceCapacity".into(),
        at: time("2026-11-22T09:55:02.125Z"),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("it is a time")
}

/// Of the meeting that all this is about.
fn plain_attempt(role: Role) -> Attempt {
    elephant_world::attempt::plain_attempt(&meeting(), role, "token-1")
}

fn full_attempt(role: Role) -> Attempt {
    Attempt { number: 2, refused: true, ..elephant_world::attempt::full_attempt(&meeting(), role, "token-2") }
}

fn item_of_the_plain_attempt(role: Role) -> Value {
    json!({"M": {
        "number": {"N": "1"},
        "token": {"S": "token-1"},
        "refused": {"BOOL": false},
        "parameters": {"M": {
            "image_id": {"S": "ami-1"},
            "instance_type": {"S": "t3.large"},
            "subnet_id": {"S": "subnet-1"},
            "availability_zone": {"S": "us-west-2a"},
            "security_group_ids": {"L": [{"S": "sg-1"}, {"S": "sg-2"}]},
            "root_volume": {"M": {
                "device_name": {"S": "/dev/xvda"},
                "size_gb": {"N": "60"},
                "volume_type": {"S": "gp3"},
                "encrypted": {"BOOL": true},
            }},
            "tags": {"M": {
                "Name": {"S": format!("class 4/b 🐘_{role}")},
                "MeetingID": {"S": "class 4/b 🐘"},
                "Role": {"S": role.as_str()},
                "Project": {"S": "Elephant"},
            }},
        }},
    }})
}

// Many records at once.

#[tokio::test]
async fn many_records_are_read_by_the_hundred_and_each_that_was_asked_for_is_answered() {
    let meetings: BTreeSet<MeetingId> =
        (0..101).map(|n| MeetingId::new(&format!("m-{n:03}")).expect("an id")).collect();
    let found = |items: Value, left: Value| {
        Answer::Reply(200, json!({"Responses": {TABLE: items}, "UnprocessedKeys": left}).to_string())
    };
    let over = json!({
        "id": {"S": "m-000"},
        "status": {"S": "TERMINATED"},
        "termination_reason": {"S": "the teacher left"},
        "launch_replaced": {"N": "2"},
        "launch_ready_at": {"S": "2026-01-05T09:58:00.000Z"},
        "teacher_state": {"S": "running"},
        "teacher_private_ip": {"S": "10.0.0.7"},
        "student_state": {"S": "asleep"},
    });
    let left = json!({TABLE: {"Keys": [{"id": {"S": "m-002"}}], "ConsistentRead": true}});
    let answers = [
        found(json!([over, {"id": {"S": "m-001"}, "status": {"N": "1"}}]), left),
        found(json!([{"id": {"S": "m-002"}}]), json!({})),
        found(json!([{"id": {"S": "m-100"}, "launch_replaced": {"S": "many"}}]), json!({})),
    ];
    let wire = Wire::answering("BatchGetItem", answers).await;
    let all = table(&wire).read_all(&meetings).await.expect("they are read");
    assert_eq!(all.len(), 101);
    let of = |id: &str| &all[&MeetingId::new(id).expect("an id")];
    let MeetingSnapshot::Stands { record, replaced, notes, was_ready } = of("m-000") else {
        panic!("{:?}", of("m-000"))
    };
    assert_eq!(
        (record.status.clone(), record.termination_reason.as_deref(), *replaced),
        (Some(Status::Terminated), Some("the teacher left"), 2)
    );
    let addresses = Addresses { private_ip: Some("10.0.0.7".into()), ..Addresses::default() };
    let noted = [Some(Note { state: State::Running, addresses }), None];
    assert_eq!((notes, *was_ready), (&noted, true), "a state that EC2 has not got is written anew");
    assert!(
        matches!(of("m-001"), MeetingSnapshot::Unreadable(what) if what.contains("status")),
        "{:?}",
        of("m-001")
    );
    assert!(
        matches!(of("m-002"), MeetingSnapshot::Stands { replaced: 0, .. }),
        "it was left out of the first answer"
    );
    assert_eq!(of("m-003"), &MeetingSnapshot::Missing);
    assert!(
        matches!(of("m-100"), MeetingSnapshot::Stands { replaced: u32::MAX, .. }),
        "nothing more is replaced"
    );
    let asked: Vec<Value> =
        wire.requests("BatchGetItem").iter().map(|r| serde_json::from_str(&r.body).expect("JSON")).collect();
    let keys = |n: usize| asked[n]["RequestItems"][TABLE]["Keys"].as_array().expect("keys").len();
    assert_eq!((asked.len(), keys(0), keys(1), keys(2)), (3, 100, 1, 1));
    assert!(asked.iter().all(|request| request["RequestItems"][TABLE]["ConsistentRead"] == true));
}

#[tokio::test]
async fn records_that_are_left_out_again_and_again_are_refused_for_their_rate() {
    let left = json!({"UnprocessedKeys": {TABLE: {"Keys": [{"id": {"S": "m"}}]}}}).to_string();
    let wire = Wire::answering("BatchGetItem", (0..9).map(|_| Answer::Reply(200, left.clone()))).await;
    let meetings = BTreeSet::from([MeetingId::new("m").expect("an id")]);
    let error = table(&wire).read_all(&meetings).await.expect_err("it never comes");
    assert_eq!((error.action, error.class), ("BatchGetItem", Class::Throttled));
    assert_eq!(wire.requests("BatchGetItem").len(), 4);
}

#[tokio::test]
async fn meetings_are_found_by_status_and_time() {
    let page = |items: &[(&str, &str)]| {
        let item = |(id, time): &(&str, &str)| json!({"id": {"S": id}, "meet_time": {"S": time}});
        let items: Vec<Value> = items.iter().map(item).collect();
        Answer::Reply(200, json!({"Items": items, "Count": items.len()}).to_string())
    };
    let at = "2026-11-22T09:00:00Z";
    let pages = [
        page(&[("a", at), ("b", "2026-11-22T10:05:00"), ("too late", "2026-11-22T10:05:01Z")]),
        page(&[("b", at), ("too early", "2026-11-22T08:59:59+01:00")]),
        page(&[]),
        page(&[("c", "tomorrow")]),
        page(&[]),
        page(&[("d", at)]),
    ];
    let wire = Wire::answering("Query", pages).await;
    let (from, until) = (time("2026-11-22T08:00:00Z"), time("2026-11-22T10:05:00Z"));
    let found = table(&wire).find_by_time(from, until).await.expect("four");
    let told: Vec<&str> = found.iter().map(MeetingId::as_str).collect();
    assert_eq!(told, ["a", "b", "c", "d"]);
    let asked: Vec<Value> =
        wire.requests("Query").iter().map(|r| serde_json::from_str(&r.body).expect("JSON")).collect();
    let statuses: Vec<&str> =
        asked.iter().filter_map(|r| r["ExpressionAttributeValues"][":status"]["S"].as_str()).collect();
    assert_eq!(statuses, ["SCHEDULED", "LAUNCHED", "DNS_WRITTEN", "HEALTHY", "IN_PROGRESS", "TERMINATED"]);
    for request in &asked {
        assert_eq!(request["IndexName"], "open-meetings");
        let values = &request["ExpressionAttributeValues"];
        // Whatever offset a time is written with.
        assert_eq!(
            (&values[":from"]["S"], &values[":until"]["S"]),
            (&json!("2026-11-21"), &json!("2026-11-24"))
        );
    }
    let refused = Answer::Reply(
        400,
        json!({"__type": "com.amazon.coral.validate#ValidationException", "message": "no such index"})
            .to_string(),
    );
    let wire = Wire::answering("Query", [refused]).await;
    let error = table(&wire).find_by_time(from, until).await.expect_err("there is no index");
    assert!(error.advice.contains("the index open-meetings"), "{}", error.advice);
}

// A record that does not stand yet.

fn new_record(attributes: Value) -> NewRecord {
    let Value::Object(attributes) = attributes else { panic!("no object") };
    NewRecord {
        meeting_id: meeting(),
        meet_time: "2026-11-22T11:00:00+01:00".into(),
        created_at: time("2026-11-20T08:00:00.123456Z"),
        attributes,
    }
}

#[tokio::test]
async fn a_new_record_is_written_only_where_none_stands() {
    let wire = Wire::answering("PutItem", [Answer::Reply(200, "{}".into())]).await;
    let record =
        new_record(json!({"teacher_name": "Ada", "of_roles": [1, 2.5, true, null], "room": {"floor": ""}}));
    assert_eq!(table(&wire).create(&record).await, Ok(Created::Done));
    let request: Value = serde_json::from_str(&wire.only_request().body).expect("JSON");
    let expected = json!({
        "TableName": TABLE,
        "Item": {
            "id": {"S": "class 4/b 🐘"},
            "status": {"S": "SCHEDULED"},
            "meet_time": {"S": "2026-11-22T11:00:00+01:00"},
            "created_at": {"S": "2026-11-20T08:00:00.123Z"},
            "teacher_name": {"S": "Ada"},
            "of_roles": {"L": [{"N": "1"}, {"N": "2.5"}, {"BOOL": true}, {"NULL": true}]},
            "room": {"M": {"floor": {"S": ""}}},
        },
        "ConditionExpression": "attribute_not_exists(#id)",
        "ExpressionAttributeNames": {"#id": "id"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    assert_eq!(request, expected);
}

#[tokio::test]
async fn a_field_that_cannot_be_stored_is_thought_of() {
    let refused = json!({
        "__type": "com.amazon.coral.validate#ValidationException",
        "message": "One or more parameter values were invalid: Number overflow",
    });
    let wire = Wire::answering("PutItem", [Answer::Reply(400, refused.to_string())]).await;
    let error =
        table(&wire).create(&new_record(json!({"of_roles": 1e300}))).await.expect_err("it is refused");
    assert_eq!(error.class, Class::Misconfigured);
    assert!(error.advice.contains("each further field") && error.advice.contains(TABLE), "{}", error.advice);
}

#[tokio::test]
async fn the_time_of_creation_may_be_brought_along() {
    let wire = Wire::answering("PutItem", [Answer::Reply(200, "{}".into())]).await;
    let record = new_record(json!({"created_at": "yesterday"}));
    assert_eq!(table(&wire).create(&record).await, Ok(Created::Done));
    let request: Value = serde_json::from_str(&wire.only_request().body).expect("JSON");
    assert_eq!(request["Item"]["created_at"], json!({"S": "yesterday"}));
}

#[tokio::test]
async fn a_record_that_stands_is_shown_as_it_is() {
    let refused = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"id": {"S": "class 4/b 🐘"}, "status": {"S": "TERMINATED"}},
    });
    let wire = Wire::answering("PutItem", [Answer::Reply(400, refused.to_string())]).await;
    let standing = Record { status: Some(Status::Terminated), ..record() };
    let created = table(&wire).create(&new_record(json!({}))).await;
    assert_eq!(created, Ok(Created::Exists(Box::new(standing))));
}

#[tokio::test]
async fn a_meeting_is_moved_or_cancelled_by_one_conditional_write_each() {
    let wire = Wire::answering("UpdateItem", [Answer::Reply(200, "{}".into())]).await;
    let table = table(&wire);
    for (update, sets) in [
        (record::move_to(&meeting(), "2026-11-22T12:00:00Z"), "SET #meet_time = "),
        (record::cancel(&record(), "the teacher is ill"), "SET #status = "),
    ] {
        assert_eq!(table.update(&update).await, Ok(Updated::Done));
        let requests = wire.requests("UpdateItem");
        let request: Value = serde_json::from_str(&requests.last().expect("one").body).expect("JSON");
        assert!(request["UpdateExpression"].as_str().is_some_and(|e| e.starts_with(sets)), "{request}");
        assert!(
            request["ConditionExpression"].as_str().is_some_and(|c| c.starts_with("attribute_exists(#id)"))
        );
    }
    let cancel: Value = serde_json::from_str(&wire.requests("UpdateItem")[1].body).expect("JSON");
    for attribute in
        ["launch_owner", "teacher_ec2_id", "student_ec2_id", "teacher_attempt", "student_attempt", "status"]
    {
        let asked =
            cancel["ConditionExpression"].as_str().is_some_and(|c| c.contains(&format!("#{attribute}")));
        assert!(asked, "a cancellation asks whether {attribute} is as it was read: {cancel}");
    }
    let values: Vec<&Value> =
        cancel["ExpressionAttributeValues"].as_object().expect("values").values().collect();
    for value in ["TERMINATED", "the teacher is ill"] {
        assert!(values.contains(&&json!({"S": value})), "{value}: {cancel}");
    }
}

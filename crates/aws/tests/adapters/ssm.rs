//! Parameters over SSM: what is asked, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use crate::server::{Answer, Wire};
use elephant_aws::sdk::Calls;
use elephant_aws::ssm::Ssm;
use elephant_core::command::{NewCommand, Shell};
use elephant_core::error::{AwsError, Class};
use elephant_core::key_pair::PrivateKey;
use elephant_core::machine::InstanceId;
use elephant_core::ports::{Commands, KeptNames, ParameterStore, PrivateKeys};
use serde_json::json;

async fn parameter(wire: &Wire, name: &str) -> Result<String, AwsError> {
    let calls = Arc::new(Calls::default());
    Ssm::counted(&wire.sdk(), Duration::from_secs(2), &calls).parameter(name).await
}

#[tokio::test]
async fn a_parameters_value_is_asked_for_by_its_name_and_version() {
    let found = json!({"Parameter": {"Name": "/our/image", "Value": "ami-1", "Version": 7}});
    let wire = Wire::answering("GetParameter", [Answer::Reply(200, found.to_string())]).await;
    assert_eq!(parameter(&wire, "/our/image:7").await, Ok("ami-1".to_owned()));
    let asked: serde_json::Value = serde_json::from_str(&wire.only_request().body).expect("JSON");
    assert_eq!(asked, json!({"Name": "/our/image:7"}));
}

#[tokio::test]
async fn what_is_refused_is_told_by_what_to_do_next() {
    for (status, code, class, advice) in [
        (400, "ParameterNotFound", Class::Misconfigured, "it names /our/image"),
        (400, "ParameterVersionNotFound", Class::Misconfigured, "set AMI_ID"),
        (
            400,
            "AccessDeniedException",
            Class::Unauthorized,
            "allow ssm:GetParameter on the parameter /our/image",
        ),
        (400, "SomethingNew", Class::Misconfigured, "set AMI_ID"),
    ] {
        let refusal = json!({"__type": code, "message": "No."}).to_string();
        let wire = Wire::answering("GetParameter", [Answer::Reply(status, refusal)]).await;
        let error = parameter(&wire, "/our/image").await.expect_err("it is refused");
        assert_eq!((error.action, error.class, error.code()), ("GetParameter", class, code));
        assert!(error.advice.contains(advice), "{code}: {}", error.advice);
    }
}

#[tokio::test]
async fn what_may_pass_is_repeated_by_the_sdk() {
    let found = json!({"Parameter": {"Value": "ami-1"}}).to_string();
    let refused = json!({"__type": "ThrottlingException", "message": "Slow down."}).to_string();
    let answers = [Answer::Reply(400, refused), Answer::Cut, Answer::Reply(200, found)];
    let wire = Wire::answering("GetParameter", answers).await;
    assert_eq!(parameter(&wire, "/our/image").await, Ok("ami-1".to_owned()));
    assert_eq!(wire.requests("GetParameter").len(), 3);
}

#[tokio::test]
async fn an_answer_without_a_value_is_none() {
    let wire = Wire::answering("GetParameter", [Answer::Reply(200, "{}".to_owned())]).await;
    let error = parameter(&wire, "/our/image").await.expect_err("it has no value");
    assert_eq!(
        (error.class, error.message.as_str()),
        (Class::Ambiguous, "answered 200 without the value of /our/image")
    );
}

// Commands, private keys, and names that are decided once.

fn store(wire: &Wire) -> Ssm {
    Ssm::counted(&wire.sdk(), Duration::from_secs(2), &Arc::default())
}

fn asked(wire: &Wire, action: &str, n: usize) -> serde_json::Value {
    serde_json::from_str(&wire.requests(action)[n].body).expect("JSON")
}

fn refused(code: &str) -> Answer {
    Answer::Reply(400, json!({"__type": code, "message": "as the story goes"}).to_string())
}

#[tokio::test]
async fn a_command_is_sent_once_and_found_by_its_name() {
    let machine = InstanceId::from("i-1");
    let command = NewCommand {
        instance_id: machine.clone(),
        name: "disk space".into(),
        shell: Shell::PowerShell,
        text: "Get-Volume".into(),
        timeout_seconds: 7,
    };
    let made = json!({"Command": {"CommandId": "c-1"}});
    let wire = Wire::answering("SendCommand", [Answer::Reply(200, made.to_string())]).await;
    assert_eq!(store(&wire).send_command(&command).await, Ok("c-1".into()));
    let expected = json!({
        "InstanceIds": ["i-1"],
        "DocumentName": "AWS-RunPowerShellScript",
        "Comment": "disk space",
        "Parameters": {"commands": ["Get-Volume"], "executionTimeout": ["7"]},
        "TimeoutSeconds": 30,
    });
    assert_eq!(asked(&wire, "SendCommand", 0), expected);
    for (code, class) in [
        ("InvalidInstanceId", Class::Propagating),
        ("UnsupportedPlatformType", Class::Misconfigured),
        ("ThrottlingException", Class::Throttled),
        ("AccessDeniedException", Class::Unauthorized),
    ] {
        let wire = Wire::answering("SendCommand", [refused(code)]).await;
        let error = store(&wire).send_command(&command).await.expect_err(code);
        assert_eq!((error.class, wire.requests("SendCommand").len()), (class, 1), "{code}: it is sent once");
    }
    let wire = Wire::answering("SendCommand", [Answer::Reply(500, "{}".into())]).await;
    let error = store(&wire).send_command(&command).await.expect_err("nobody knows");
    assert_eq!((error.class, wire.requests("SendCommand").len()), (Class::Ambiguous, 1));

    let list = |id: &str, name: &str, time: f64| json!({"CommandId": id, "Comment": name, "RequestedDateTime": time});
    let first =
        json!({"Commands": [list("c-2", "other", 9.0), list("c-3", "disk space", 5.0)], "NextToken": "more"});
    let second = json!({"Commands": [list("c-4", "disk space", 7.0), list("c-5", "disk space", 6.0)]});
    let pages = [first, second].map(|page| Answer::Reply(200, page.to_string()));
    let wire = Wire::answering("ListCommands", pages).await;
    assert_eq!(
        store(&wire).find_command(&machine, "disk space").await,
        Ok(Some("c-4".into())),
        "the last one"
    );
    assert_eq!(asked(&wire, "ListCommands", 0)["InstanceId"], "i-1");
}

#[tokio::test]
async fn what_came_of_a_command_is_understood() {
    let told = |code: i32, status: &str| {
        let told = json!({"Status": status, "StatusDetails": "so", "ResponseCode": code,
                          "StandardOutputContent": "out", "StandardErrorContent": "err"});
        Answer::Reply(200, told.to_string())
    };
    let answers = [
        told(-1, "InProgress"),
        told(3, "Failed"),
        refused("InvocationDoesNotExist"),
        refused("InvalidCommandId"),
    ];
    let wire = Wire::answering("GetCommandInvocation", answers).await;
    let (ssm, machine) = (store(&wire), InstanceId::from("i-1"));
    let running = ssm.read_command("c-1", &machine).await.expect("seen").expect("one");
    assert_eq!((running.exit_status, running.is_over()), (None, false));
    let over = ssm.read_command("c-1", &machine).await.expect("seen").expect("one");
    assert_eq!(
        (over.exit_status, over.is_over(), over.output.as_str(), over.error_output.as_str()),
        (Some(3), true, "out", "err")
    );
    assert_eq!(ssm.read_command("c-1", &machine).await, Ok(None), "not to be seen yet");
    let error = ssm.read_command("c-1", &machine).await.expect_err("it is wrong");
    assert_eq!((error.action, error.class), ("GetCommandInvocation", Class::Misconfigured));
}

#[tokio::test]
async fn a_private_key_is_stored_encrypted_where_cloudformation_does_and_never_read() {
    let stands = refused("ParameterAlreadyExists");
    let forbidden = refused("AccessDeniedException");
    let wire = Wire::answering("PutParameter", [Answer::Reply(200, "{}".into()), stands, forbidden]).await;
    let found = json!({"Parameters": [{"Name": "/ec2/keypair/key-1"}]});
    let none = json!({"Parameters": []});
    wire.script("DescribeParameters", [found, none].map(|found| Answer::Reply(200, found.to_string())));
    let (ssm, key) = (store(&wire), PrivateKey("SECRET".into()));
    assert_eq!(ssm.keep("key-1", &key).await, Ok(()));
    let expected =
        json!({"Name": "/ec2/keypair/key-1", "Value": "SECRET", "Type": "SecureString", "Overwrite": false});
    assert_eq!(asked(&wire, "PutParameter", 0), expected);
    assert_eq!(ssm.keep("key-1", &key).await, Ok(()), "by this request, sent before");
    let error = ssm.keep("key-1", &key).await.expect_err("it is not allowed");
    assert!(
        error.advice.contains("allow ssm:PutParameter") && !format!("{error:?}").contains("SECRET"),
        "{error:?}"
    );
    assert_eq!(ssm.is_kept("key-1").await, Ok(true));
    assert_eq!(ssm.is_kept("key-1").await, Ok(false));
    assert!(wire.requests("GetParameter").is_empty());
}

#[tokio::test]
async fn of_two_who_keep_a_name_the_first_decides() {
    let first = json!({"Parameter": {"Name": "/elephant/vpc/classroom/1", "Value": "vpc-1", "LastModifiedDate": 1795341600.5}});
    let first = first.to_string();
    let wire =
        Wire::answering("PutParameter", [Answer::Reply(200, "{}".into()), refused("ParameterAlreadyExists")])
            .await;
    wire.script(
        "GetParameter",
        [
            Answer::Reply(200, first.clone()),
            Answer::Reply(200, first.clone()),
            Answer::Reply(200, first),
            refused("ParameterNotFound"),
        ],
    );
    wire.script("DeleteParameter", [Answer::Reply(200, "{}".into()), refused("ParameterNotFound")]);
    let (ssm, name) = (store(&wire), "/elephant/vpc/classroom/1");
    assert_eq!(ssm.keep_first(name, "vpc-1").await, Ok(true));
    assert_eq!(asked(&wire, "PutParameter", 0)["Overwrite"], false);
    assert_eq!(ssm.keep_first(name, "vpc-1").await, Ok(true), "by this request, sent before");
    assert_eq!(ssm.keep_first(name, "vpc-2").await, Ok(false));
    let since = "2026-11-22T10:00:00Z".parse().expect("a time");
    assert_eq!(ssm.read_kept(name).await, Ok(Some(("vpc-1".to_owned(), Some(since)))));
    assert_eq!(ssm.read_kept(name).await, Ok(None));
    assert_eq!((ssm.forget_kept(name).await, ssm.forget_kept(name).await), (Ok(true), Ok(false)));
}

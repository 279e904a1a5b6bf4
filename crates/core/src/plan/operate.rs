//! Decisions about an operated machine: which place is free, what its state allows, which client token a request has.

use uuid::Uuid;

use crate::error::{AwsError, Class, Kind};
use crate::hardware::{Hardware, OwnImage};
use crate::machine::{InstanceId, State, Token};

/// The namespace of our client tokens.
const TOKENS: Uuid = Uuid::from_u128(0x6f1d_2a94_3c1e_4b0a_9d57_2f6c_0f1b_9a10);

/// The client token of the n-th thing of this kind and name that is made for a machine. A request that comes twice has
/// the same token, whoever sends it. If a thing was made under one token and deleted since, the next token is used.
pub fn token(kind: &str, instance: &InstanceId, name: &str, generation: u32) -> Token {
    let text = format!("{kind}\n{instance}\n{generation}\n{name}");
    Token::from(Uuid::new_v5(&TOKENS, text.as_bytes()).to_string())
}

/// The first device name at which nothing is attached, as [EC2 recommends them][names]. A disk at `/dev/xvdf` takes
/// `/dev/sdf`.
///
/// [names]: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
pub fn free_device(taken: &[String]) -> Option<String> {
    let letter = |device: &String| {
        let name = device.trim_start_matches("/dev/");
        name.strip_prefix("sd").or(name.strip_prefix("xvd")).and_then(|rest| rest.chars().next())
    };
    let taken: Vec<char> = taken.iter().filter_map(letter).collect();
    ('f'..='p').find(|letter| !taken.contains(letter)).map(|letter| format!("/dev/sd{letter}"))
}

/// The first device index that no network interface has; `None`: as many are attached as the type may have.
pub fn free_index(taken: &[i32], limit: usize) -> Option<i32> {
    if taken.len() >= limit {
        return None;
    }
    (1..=i32::MAX).find(|index| !taken.contains(index))
}

/// EC2's times sort as their texts do. Two images of one moment have the same order each time.
pub fn newest_first(images: &mut [OwnImage]) {
    images.sort_by(|a, b| (&b.created_at, &b.image_id).cmp(&(&a.created_at, &a.image_id)));
}

/// What becomes of a request to stop, start or reboot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    Send,
    /// The machine is in that state already, or on its way to it.
    Already,
    /// The machine is on its way to the opposite state: the request can be sent once it is there.
    Later,
    Refused(String),
}

pub fn stop(of: &Hardware) -> Power {
    let reason = if of.has_instance_store_root {
        "its root is on a disk of its host, which is gone with a stop"
    } else if of.is_spot {
        "it is a spot machine for one time, which EC2 does not stop but end"
    } else {
        return match of.machine.state {
            State::Running => Power::Send,
            State::Pending => Power::Later,
            State::Stopping | State::Stopped => Power::Already,
            State::ShuttingDown | State::Terminated => gone(of),
        };
    };
    Power::Refused(format!("{} cannot be stopped: {reason}", of.instance_id()))
}

pub fn start(of: &Hardware) -> Power {
    match of.machine.state {
        State::Stopped => Power::Send,
        State::Stopping => Power::Later,
        State::Pending | State::Running => Power::Already,
        State::ShuttingDown | State::Terminated => gone(of),
    }
}

pub fn reboot(of: &Hardware) -> Power {
    match of.machine.state {
        State::Running => Power::Send,
        State::Pending => Power::Later,
        State::Stopping | State::Stopped => {
            let state = of.machine.state.as_str();
            Power::Refused(format!(
                "{} is {state}, and only a machine that runs can be rebooted",
                of.instance_id()
            ))
        }
        State::ShuttingDown | State::Terminated => gone(of),
    }
}

fn gone(of: &Hardware) -> Power {
    Power::Refused(format!("{} is {}, for good", of.instance_id(), of.machine.state.as_str()))
}

// --- Refusals of EC2 and Systems Manager ---

/// Whether a refusal may be one for the moment, or may mean that its subject is gone. EC2 judges by tags whether a
/// request is allowed before it looks whether its subject exists; it may not know the tags yet, or not any more
/// (karpenter-provider-aws #2100). EC2 may also lag behind the step before.
pub fn is_settled_by_a_look(error: &AwsError) -> bool {
    let code = error.code();
    match error.class {
        Class::Propagating => true,
        Class::Unauthorized => {
            matches!(code, "UnauthorizedOperation" | "AccessDeniedException")
                && !error.message.contains("explicit deny")
        }
        _ => code.ends_with(".NotFound"),
    }
}

/// Why something that exists does not allow what was asked for, and what to do about it.
pub fn obstacle(error: &AwsError) -> Option<(&'static str, &'static str)> {
    let says = |part: &str| error.message.to_ascii_lowercase().contains(part);
    let told = match error.code() {
        // cloud-custodian #8007.
        "OperationNotPermitted" if says("disableapistop") => (
            "it is protected against being stopped, by its attribute disableApiStop",
            "take that attribute away from it (`aws ec2 modify-instance-attribute --no-disable-api-stop`), then ask again",
        ),
        // aws-nuke #279.
        "OperationNotPermitted" if says("disableapitermination") => (
            "it is protected against being ended, by its attribute disableApiTermination",
            "take that attribute away from it (`aws ec2 modify-instance-attribute --no-disable-api-termination`), then ask \
             again",
        ),
        // "You are not allowed to manage 'ela-attach' attachments" (boto3 #2218), "at device index 0 … cannot be detached".
        "OperationNotPermitted" if error.action == "DeregisterImage" => ("it is protected", UNPROTECT_IMAGE),
        "OperationNotPermitted" => {
            ("EC2 does not permit it for what it is about", "do what EC2 says, then ask again")
        }
        // The machine's type limits volumes and network interfaces; this is no quota (aws-ebs-csi-driver #2500).
        "AttachmentLimitExceeded" => (
            "as many are attached as the machine's type takes",
            "remove a volume or network interface of it, or choose a larger type",
        ),
        // kubermatic #5921.
        "TagLimitExceeded" => (
            "it has as many tags as EC2 allows, and none is free for the mark of a request",
            "take a tag away from it; EXTRA_TAGS gave it some",
        ),
        // terratest #978.
        "UnsupportedPlatformType" => (
            "its system does not know that shell",
            r#"send "shell": "powershell" for a machine with Windows, and "shell": "sh" for any other"#,
        ),
        _ => return None,
    };
    Some(told)
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html>
pub const UNPROTECT_IMAGE: &str = "take its deregistration protection away (`aws ec2 disable-image-deregistration-protection`; \
                                   with a cooldown that takes a day), then ask again";

/// The field of the event that a refusal is about, if it came before anything was made.
pub fn field_at_fault(error: &AwsError) -> Option<&'static str> {
    let said = error.message.to_ascii_lowercase();
    let says = |part: &str| said.contains(part);
    let vague = error.code().starts_with("InvalidParameter");
    let code = |begin: &str| error.code().starts_with(begin);
    match error.action {
        "CreateVolume" if says("kms") => None,
        "CreateVolume" if code("UnknownVolumeType") => Some("volume_type"),
        // "Iops to volume size ratio of 750.000000 is too high; maximum is 500" (rocicorp/mono #4410).
        "CreateVolume" if vague && says("throughput") => Some("throughput"),
        "CreateVolume" if vague && says("iops") => Some("iops"),
        "CreateVolume" if vague && says("size") => Some("size_gb"),
        "CreateVolume" if vague => Some("size_gb, volume_type, iops or throughput"),
        "CreateNetworkInterface" if code("InvalidSubnet") => Some("subnet_id"),
        "CreateNetworkInterface"
            if code("InvalidGroup") || code("InvalidSecurityGroup") || code("SecurityGroupsPer") =>
        {
            Some("security_group_ids")
        }
        // "Security group sg-… and subnet subnet-… belong to different networks."
        "CreateNetworkInterface" if vague => Some("subnet_id or security_group_ids"),
        // grycap/im #1011.
        "CreateVpc" if vague || code("InvalidVpc") => Some("cidr"),
        "ImportKeyPair" if vague || code("InvalidKey") => Some("public_key"),
        "CreateImage" if code("InvalidAMIName") => Some("name"),
        "CreateKeyPair" | "CreateSecurityGroup" if vague => Some("name"),
        "SendCommand" if code("MaxDocumentSizeExceeded") || code("InvalidParameters") => Some("command"),
        _ => None,
    }
}

/// EC2 began to start a machine, and the machine is stopped again: what its StateReason points to.
pub fn not_started(reason: Option<&str>) -> (Kind, &'static str) {
    let reason = reason.unwrap_or_default();
    if reason.contains("Capacity") {
        (Kind::CapacityExhausted, "ask again later: its zone has no room for its type now")
    } else if reason.ends_with("LimitExceeded") {
        (Kind::QuotaExceeded, "ask for more of that quota in Service Quotas")
    } else {
        // instance-scheduler-on-aws #9, #139; modernisation-platform #2542 got Server.InternalError for this cause.
        (
            Kind::OperationRefused,
            "most often that is a disk's KMS key: see that it is enabled, and allow kms:CreateGrant on it in the function's \
             role (VolumeKmsKeyArn of the template)",
        )
    }
}

/// The first word in EC2's message that is an id of this kind, but not `known`.
pub fn another<'m>(message: &'m str, prefix: &str, known: &str) -> Option<&'m str> {
    let ids = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    ids.into_iter().find(|word| word.starts_with(prefix) && word.len() > prefix.len() && *word != known)
}

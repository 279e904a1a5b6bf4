//! The meaning of EC2's answers: from code, words and action to what to do next, and to what a person has to change.
//!
//! The SDK has no types for EC2's errors, so they are distinguished by their code and, if one code has several
//! meanings, by EC2's words. The codes are those of EC2's [error page] and of well-kept launchers (karpenter,
//! aws-parallelcluster-node, terraform-aws-github-runner, gardener, juju, skypilot, ubicloud). Each row with words
//! names where the words were seen. An error without a row is fatal if it is a client's error, else ambiguous.
//!
//! This file does not know which part of a request came from a meeting's record. The verb that read the record names
//! the attribute in place of the setting.
//!
//! [error page]: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html

use crate::sdk;
use elephant_core::error::{AwsError, Class};

/// A row of the table. The first row that matches counts.
struct Row {
    /// `X*`: every code that begins with X; `*X`: every code that ends with X.
    codes: &'static [&'static str],
    /// The message, in lower case, has one of these; empty: any message.
    says: &'static [&'static str],
    class: Class,
    /// What to do about the error; empty if nobody has to do anything.
    mend: Mend,
}

enum Mend {
    /// This text, which may be empty.
    Say(&'static str),
    /// Allow an action in the function's role.
    Allow,
    /// Ask for more of a quota, by its name in Service Quotas; empty: the code names it.
    Quota(&'static str),
}

use Mend::{Allow, Quota, Say};

const fn row(codes: &'static [&'static str], says: &'static [&'static str], class: Class, mend: Mend) -> Row {
    Row { codes, says, class, mend }
}

/// Codes whose subject only the words tell.
const VAGUE: &[&str] = &["InvalidParameter*", "Unsupported", "UnsupportedOperation", "OperationNotPermitted"];
const DENIED: &[&str] = &["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"];
const ORGANISATION: Mend = Say(
    "a policy of the organisation denies it, and the function's role is not at fault: ask whoever keeps the \
     organisation's policies what they want of a launch (IMDS_TOKENS=required, VOLUME_ENCRYPTED, tags by EXTRA_TAGS, \
     another INSTANCE_TYPE or Region), or to leave this role out",
);
const VOLUME: Mend = Say(
    "change VOLUME_DEVICE, VOLUME_SIZE_GB, VOLUME_TYPE, VOLUME_IOPS, VOLUME_THROUGHPUT or VOLUME_ENCRYPTED",
);
const KEY_OF_VOLUMES: Mend = Say(
    "change VOLUME_KMS_KEY_ID, the KMS key that encrypts volumes by default in this account, or VOLUME_ENCRYPTED: the \
     key has to be enabled, in this Region, and the function's role has to be let use it through EC2",
);
const GROUPS: Mend = Say("change SECURITY_GROUP_IDS (groups of the VPC that the subnets are in)");
const IMAGE: Mend = Say(
    "change AMI_ID or AMI_NAME to an image of this Region that is shared with this account (where its setting Allowed \
     AMIs is on: that it allows; of AWS Marketplace: that it is subscribed to)",
);
const TYPE: Mend = Say(
    "change INSTANCE_TYPE to a type that fits the image's architecture and boot mode and that the account may launch, or \
     AMI_ID or AMI_NAME",
);
const SUBSCRIBE: Mend =
    Say("subscribe to the image at the address in the message, or change AMI_ID or AMI_NAME");
const ACCOUNT: Mend =
    Say("the account itself may not do this yet: see its health dashboard, or ask AWS Support");
const CREDENTIALS: Mend = Say("check the credentials that the function runs with");

const TABLE: &[Row] = &[
    // Rates. For snapshots, images and similar things EC2 limits how many are made at a time (aws-sdk-go #1284).
    row(&["*RateExceeded"], &[], Class::Throttled, Say("")),
    row(&["Concurrent*LimitExceeded", "PendingSnapshotLimitExceeded"], &[], Class::Throttled, Say("")),
    // Idempotency: EC2 developer guide, "Ensuring idempotency".
    row(&["IdempotentParameterMismatch"], &[], Class::ParameterMismatch, Say("")),
    row(&["IdempotentInstanceTerminated"], &[], Class::InstanceTerminated, Say("")),
    row(
        &[
            "InternalError",
            "InternalFailure",
            "ServerInternal",
            "ServiceUnavailable",
            "Unavailable",
            "RequestTimeout",
            "RequestTimeoutException",
        ],
        &[],
        Class::Ambiguous,
        Say(""),
    ),
    row(
        &[
            "InsufficientInstanceCapacity",
            "InsufficientCapacity",
            "InsufficientHostCapacity",
            "InsufficientReservedInstanceCapacity",
            "InsufficientCapacityOnHost",
            "InsufficientCapacityOnOutpost",
            "InsufficientVolumeCapacity",
            "InsufficientAddressCapacity",
            "UnfulfillableCapacity",
            "ReservationCapacityExceeded",
            "SpotMaxPriceTooLow",
        ],
        &[],
        Class::Capacity,
        Say(""),
    ),
    row(&["ConcurrentTagAccess", "InvalidInstanceID.NotFound"], &[], Class::Propagating, Say("")),
    // EC2 has not seen the step before, or something stands in the way, and EC2 does not say which: the caller looks.
    // Seen after a deregistration (boto #3019), after a detachment (aws-sdk-java #1623, amazon-vpc-cni-k8s #1399),
    // while a machine starts (cloud-custodian #6014, dstack #3603), for parts of a VPC (terraform #497, alchemy #1125).
    row(
        &["InvalidSnapshot.InUse", "VolumeInUse", "InvalidNetworkInterface.InUse", "InvalidGroup.InUse"],
        &[],
        Class::Propagating,
        Say(""),
    ),
    row(&["InvalidParameterValue"], &["currently in use"], Class::Propagating, Say("")),
    row(
        &["DependencyViolation", "IncorrectState", "IncorrectInstanceState", "InvalidState"],
        &[],
        Class::Propagating,
        Say(""),
    ),
    // A device that was attached a moment ago.
    row(&["InvalidInstanceAttributeValue"], &["no device is currently mapped"], Class::Propagating, Say("")),
    // EC2 does not know a new profile everywhere at once.
    row(
        &["InvalidParameterValue"],
        &["iaminstanceprofile", "iam instance profile"],
        Class::Propagating,
        Say("set IAM_PROFILE to an instance profile that exists, by name or by ARN"),
    ),
    // The policy that denied the request, in IAM's words ("Troubleshoot access denied error messages", IAM user guide):
    // "with an explicit deny in a service control policy" (runs-on #22, karpenter-provider-aws #8190), "because no
    // permissions boundary allows".
    row(DENIED, &["service control policy", "resource control policy"], Class::Unauthorized, ORGANISATION),
    row(
        DENIED,
        &["permissions boundary"],
        Class::Unauthorized,
        Say(
            "the permissions boundary of the function's role denies it, and not the role's own policies: allow it there",
        ),
    ),
    row(
        DENIED,
        &["vpc endpoint policy"],
        Class::Unauthorized,
        Say(
            "the policy of the VPC endpoint by which the function reaches EC2 denies it, and not the role: allow it there",
        ),
    ),
    row(
        DENIED,
        &["session policy"],
        Class::Unauthorized,
        Say("the session policy with which the role was assumed denies it, and not the role's own policies"),
    ),
    row(
        DENIED,
        &["explicit deny in an identity-based policy"],
        Class::Unauthorized,
        Say("a statement of the function's role denies it: take it out, for no other can allow it"),
    ),
    // An ARN of an image has no account.
    row(
        DENIED,
        &["::image/ami-"],
        Class::Unauthorized,
        Say(
            "allow ec2:RunInstances with this image in the function's role (by the templates it may use the one that is \
             set, and those with our tag Project), or change AMI_ID or AMI_NAME",
        ),
    ),
    row(DENIED, &[], Class::Unauthorized, Allow),
    // EC2's declarative policies refuse outside IAM, with the organisation's words at the end (Organizations guide).
    row(&["*"], &["declarative policy"], Class::Unauthorized, ORGANISATION),
    row(
        &["AuthFailure.ServiceLinkedRoleCreationNotPermitted"],
        &[],
        Class::Unauthorized,
        Say(
            "MARKET asks for spot, and this account has never used it: run `aws iam create-service-linked-role \
             --aws-service-name spot.amazonaws.com` once",
        ),
    ),
    // "Not authorized for images: [ami-0abc]" (surfkit #88) is not about credentials. The image of Marketplace has no
    // subscription, or the account's Allowed AMIs leave it out (EnableAllowedImagesSettings).
    row(&["AuthFailure"], &["authorized for image"], Class::Misconfigured, IMAGE),
    // Seen in StreisandEffect/streisand #86.
    row(&["OptInRequired"], &["marketplace"], Class::Unauthorized, SUBSCRIBE),
    row(&["OptInRequired", "PendingVerification", "Blocked"], &[], Class::Unauthorized, ACCOUNT),
    row(
        &["AuthFailure", "SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken", "RequestExpired"],
        &[],
        Class::Unauthorized,
        CREDENTIALS,
    ),
    // Zones. For a type that a zone does not have, the message names type and zone: "Your requested instance type
    // (i4i.large) is not supported in your requested Availability Zone (us-east-1a)" (fedora-copr #2840).
    row(&["Unsupported"], &["availability zone"], Class::ZoneUnfit, Say("")),
    row(&["VolumeTypeNotAvailableInZone", "InvalidAvailabilityZone"], &[], Class::ZoneUnfit, Say("")),
    row(&["InsufficientFreeAddressesInSubnet"], &[], Class::SubnetUnfit, Say("")),
    row(&["InvalidSubnetID.NotFound"], &[], Class::SubnetUnfit, Say("change SUBNET_IDS")),
    // Keys. "ED25519 key pairs are not supported with Windows AMIs" (attack_range #901, oven-sh/bun #20021).
    row(
        VAGUE,
        &["ed25519"],
        Class::Misconfigured,
        Say("set KEY_NAME to an RSA key pair, or unset it: Windows takes no other"),
    ),
    row(&["InvalidKeyPair*"], &[], Class::Misconfigured, Say("change KEY_NAME")),
    row(VAGUE, &["key pair", "keyname"], Class::Misconfigured, Say("change KEY_NAME")),
    // "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account" (easy-db-lab #772).
    row(
        VAGUE,
        &["httptokens", "imdsv1", "imdsv2"],
        Class::Misconfigured,
        Say("set IMDS_TOKENS to required: this account launches no machine that would answer IMDSv1"),
    ),
    // Images that are gone, or that this account cannot see.
    row(&["InvalidAMI*"], &[], Class::Misconfigured, IMAGE),
    row(
        &["InvalidSnapshot*"],
        &["does not exist"],
        Class::Misconfigured,
        Say("the image's own snapshot is gone: change AMI_ID or AMI_NAME"),
    ),
    row(VAGUE, &["subscribe"], Class::Unauthorized, SUBSCRIBE),
    // Seen in bitnami/vms #1838.
    row(VAGUE, &["image is not eligible"], Class::Misconfigured, Say("change AMI_ID or AMI_NAME")),
    // Tags of a Spot request in a launch on demand (terraform-aws-github-runner #4561, karpenter-provider-aws #5850).
    row(
        VAGUE,
        &["spot instances requests"],
        Class::Misconfigured,
        Say("take the tags of Spot requests out of the launch template, for MARKET buys on demand too"),
    ),
    // "The parameter groupName cannot be used with the parameter subnet": a launch template has names of groups.
    row(
        VAGUE,
        &["groupname"],
        Class::Misconfigured,
        Say("give the launch template its security groups by their ids"),
    ),
    row(VAGUE, &["publicip"], Class::Misconfigured, Say("change PUBLIC_IP")),
    row(
        VAGUE,
        &["different networks"],
        Class::Misconfigured,
        Say("change SECURITY_GROUP_IDS or SUBNET_IDS (groups and subnets of one VPC)"),
    ),
    // The type does not fit, whichever zone it is asked for in. Free Tier (karpenter-provider-aws #9004), "does not
    // support an AMI with a boot mode of UEFI" (cloudgoat #247), "Enhanced networking with the Elastic Network Adapter
    // (ENA) is required" (terraform #19763), "Virtualization type 'hvm' is required for instances of type" (cgcloud
    // #10), "does not match the architecture" (Auto Scaling's troubleshooting of images), "does not support specifying
    // CpuOptions" (aws-eda-slurm-cluster #122); a Marketplace product tells for which types it is.
    row(
        VAGUE,
        &[
            "instance type",
            "instancetype",
            "instances of type",
            "free tier",
            "marketplace product is not supported",
        ],
        Class::TypeUnfit,
        TYPE,
    ),
    row(
        &["InvalidInstanceType*", "UnsupportedHibernationConfiguration", "UnsupportedTenancy"],
        &[],
        Class::TypeUnfit,
        TYPE,
    ),
    row(VAGUE, &["architecture"], Class::TypeUnfit, TYPE),
    // "The requested configuration is currently not supported" does not say which part is not supported. It may be
    // about this zone only, and only for now (karpenter-provider-aws #2147).
    row(&["Unsupported"], &[], Class::ZoneUnfit, Say("")),
    row(
        &["InvalidLaunchTemplate*"],
        &[],
        Class::Misconfigured,
        Say("change LAUNCH_TEMPLATE (an id or a name of this Region, and a version that it has)"),
    ),
    row(&["InvalidGroup*", "InvalidSecurityGroup*", "SecurityGroupsPer*"], &[], Class::Misconfigured, GROUPS),
    row(&["InvalidSubnet*"], &[], Class::Misconfigured, Say("change SUBNET_IDS")),
    row(&["InvalidParameter*"], &["security group", "groupid"], Class::Misconfigured, GROUPS),
    row(
        &["CustomerKey*", "KMS*", "InvalidKMSKey*", "InvalidKmsKey*", "KmsKey*"],
        &[],
        Class::Misconfigured,
        KEY_OF_VOLUMES,
    ),
    row(&["*"], &["kms key", "kmskey"], Class::Misconfigured, KEY_OF_VOLUMES),
    row(
        &["InvalidParameter*"],
        &["volume", "snapshot", "device", "iops", "throughput"],
        Class::Misconfigured,
        VOLUME,
    ),
    row(&["InvalidBlockDeviceMapping*", "UnknownVolumeType"], &[], Class::Misconfigured, VOLUME),
    row(
        &["TagPolicy*", "TagLimit*", "InvalidTag*"],
        &[],
        Class::Misconfigured,
        Say("change PROJECT_TAG, EXTRA_TAGS, or the organisation's tag policy"),
    ),
    row(
        &["InvalidParameter*"],
        &["tag key", "tag value", "tagspecification"],
        Class::Misconfigured,
        Say("change PROJECT_TAG or EXTRA_TAGS"),
    ),
    row(&["InvalidUserData*"], &[], Class::Misconfigured, Say("change USER_DATA")),
    row(&["InvalidParameter*"], &["user data", "userdata"], Class::Misconfigured, Say("change USER_DATA")),
    row(
        &["VPCIdNotSpecified", "VPCResourceNotSpecified", "DefaultVpc*"],
        &[],
        Class::Misconfigured,
        Say("change SUBNET_IDS, VPC_ID or VPC_NAME (this account has no default VPC here)"),
    ),
    // A person or a launch template protected the machine: "Modify its 'disableApiTermination' instance attribute".
    row(
        &["OperationNotPermitted", "UnsupportedOperation"],
        &["disableapitermination", "disableapistop"],
        Class::Misconfigured,
        Say("the machine is protected: take the attribute that the message names away from it (`aws ec2 \
             modify-instance-attribute`)"),
    ),
    // The number that a type may have. This is not a quota.
    row(&["AttachmentLimitExceeded", "FilterLimitExceeded"], &[], Class::Misconfigured, Say("")),
    // Quotas, by their names in Service Quotas. Every other limit is a quota, too.
    row(
        &["VcpuLimitExceeded"],
        &[],
        Class::Quota,
        Quota("Running On-Demand … instances (vCPUs of the type's family)"),
    ),
    row(
        &["MaxSpotInstanceCountExceeded"],
        &[],
        Class::Quota,
        Quota("All … Spot Instance Requests (vCPUs of the type's family)"),
    ),
    row(&["VolumeLimitExceeded"], &[], Class::Quota, Quota("Storage for … volumes, in TiB (of VOLUME_TYPE)")),
    row(&["MaxIOPSLimitExceeded"], &[], Class::Quota, Quota("IOPS for … volumes (of VOLUME_TYPE)")),
    row(&["NetworkInterfaceLimitExceeded"], &[], Class::Quota, Quota("Network interfaces per Region")),
    row(&["AddressLimitExceeded"], &[], Class::Quota, Quota("EC2-VPC Elastic IPs")),
    row(&["SnapshotLimitExceeded"], &[], Class::Quota, Quota("Snapshots per Region")),
    row(&["VpcLimitExceeded"], &[], Class::Quota, Quota("VPCs per Region")),
    row(&["InternetGatewayLimitExceeded"], &[], Class::Quota, Quota("Internet gateways per Region")),
    row(&["SubnetLimitExceeded"], &[], Class::Quota, Quota("Subnets per VPC")),
    row(&["RouteTableLimitExceeded"], &[], Class::Quota, Quota("Route tables per VPC")),
    row(&["SecurityGroupLimitExceeded"], &[], Class::Quota, Quota("VPC security groups per Region")),
    row(&["*LimitExceeded", "*QuotaExceeded", "*CountExceeded"], &[], Class::Quota, Quota("")),
];

/// What to do next after EC2's answer to this action.
pub(super) fn class_of(action: &str, code: Option<&str>, message: &str, status: u16) -> Class {
    let code = code.unwrap_or_default();
    // Every adapter knows these codes. They are checked first, because some of them end like the code of a quota.
    if sdk::is_throttle(code) {
        return Class::Throttled;
    }
    match found(code, message).map(|row| row.class) {
        // Only a launch has other types to try.
        Some(Class::TypeUnfit) if action != "RunInstances" => Class::Misconfigured,
        Some(class) => class,
        // A request with an unreadable 200 may have launched. Of the answers that we do not know, only a client's error
        // is a refusal.
        None => match status {
            408 => Class::Ambiguous,
            429 => Class::Throttled,
            400..=499 => Class::Misconfigured,
            _ => Class::Ambiguous,
        },
    }
}

/// The setting, permission or quota to change; empty if nobody has to change anything of ours.
pub(super) fn advice(failed: &AwsError) -> String {
    let code = failed.code.as_deref().unwrap_or_default();
    match found(code, &failed.message).map(|row| &row.mend) {
        _ if failed.class == Class::Throttled => String::new(),
        None | Some(Say("")) => String::new(),
        Some(Say(what)) => (*what).to_owned(),
        Some(Quota("")) => format!("{code} is a quota of the account: ask for more in Service Quotas"),
        Some(Quota(name)) => {
            format!("{code} is a quota of the account: ask for more of \"{name}\" in Service Quotas")
        }
        Some(Allow) => allow(failed),
    }
}

/// The advice to allow an action. IAM names the denied action if it may: a launch also tags what it makes, and gives a
/// machine its role.
fn allow(failed: &AwsError) -> String {
    let named = failed.message.split("is not authorized to perform: ").nth(1);
    let named = named.and_then(|rest| rest.split_whitespace().next());
    let what = match (named, failed.action) {
        (Some(action), _) => action.to_owned(),
        (None, "RunInstances") => {
            "ec2:RunInstances (with ec2:CreateTags on what it makes and, for an instance profile, \
                                   iam:PassRole on its role)"
                .to_owned()
        }
        (None, action) => format!("ec2:{action}"),
    };
    format!(
        "allow {what} in the function's role; `aws sts decode-authorization-message` explains an encoded message"
    )
}

fn found(code: &str, message: &str) -> Option<&'static Row> {
    let message = message.to_ascii_lowercase();
    let is = |known: &&str| match known.split_once('*') {
        Some((begin, end)) => {
            code.len() >= begin.len() + end.len() && code.starts_with(begin) && code.ends_with(end)
        }
        None => code == *known,
    };
    TABLE.iter().find(|row| {
        row.codes.iter().any(is)
            && (row.says.is_empty() || row.says.iter().any(|words| message.contains(words)))
    })
}

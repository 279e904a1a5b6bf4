//! The adapter of EC2 against the real wire: the exact requests, and what each answer is taken for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::ec2::Ec2;
use elephant_core::deadline::Deadline;
use elephant_core::error::{AwsError, Class, Service};
use elephant_core::fleet::{LeftoverKind, ORPHAN_TAG};
use elephant_core::hardware::{
    Attached, Interface, InterfaceAttachment, Made, NewImage, NewInterface, NewVolume, Volume,
    VolumeAttachment,
};
use elephant_core::image::{Architecture, Image};
use elephant_core::key_pair::KeyType;
use elephant_core::launch_template::{LaunchTemplate, Pinned, Template};
use elephant_core::machine::{
    Addresses, Attempt, ImdsTokens, InstanceId, InstanceProfile, Machine, Market, Parameters, State, Token,
    tags,
};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::network::{Found, Network, Subnet};
use elephant_core::ports::{
    Consoles, DescribeById, FindByToken, Fleet, Images, Inspects, InstanceTypes, InterfacePlaces, KeyPairs,
    LaunchTemplates, Leftovers, Machines, Networks, OwnImages, OwnKeyPairs, OwnVpcs, Parts, PowerControl,
    StatusChecks, Terminate,
};
use elephant_core::timing::Timing;

use crate::server::{Answer, REQUEST_ID, Request, Wire};
use elephant_world::attempt::plain_attempt;

// The request that launches a machine.

#[tokio::test]
async fn run_instances_says_all_that_the_attempt_says() {
    let wire = Wire::answering("RunInstances", [pending()]).await;
    ec2(&wire).run(&attempt()).await.expect("a machine");
    assert_eq!(form(&wire.only_request()), fields(PLAIN_REQUEST));
}

const PLAIN_REQUEST: &str = "
    Action=RunInstances
    Version=2016-11-15
    MinCount=1
    MaxCount=1
    ClientToken=5c8b2a52-0c6e-4a53-9b0e-7e3a1c0f4d11
    ImageId=ami-1
    InstanceType=t3.large
    SubnetId=subnet-1
    SecurityGroupId.1=sg-1
    SecurityGroupId.2=sg-2
    InstanceInitiatedShutdownBehavior=terminate
    BlockDeviceMapping.1.DeviceName=/dev/xvda
    BlockDeviceMapping.1.Ebs.VolumeSize=60
    BlockDeviceMapping.1.Ebs.VolumeType=gp3
    BlockDeviceMapping.1.Ebs.DeleteOnTermination=true
    BlockDeviceMapping.1.Ebs.Encrypted=true
    TagSpecification.1.ResourceType=instance
    TagSpecification.1.Tag.1.Key=MeetingID
    TagSpecification.1.Tag.1.Value=class 4/b
    TagSpecification.1.Tag.2.Key=Name
    TagSpecification.1.Tag.2.Value=class 4/b_teacher
    TagSpecification.1.Tag.3.Key=Project
    TagSpecification.1.Tag.3.Value=Elephant
    TagSpecification.1.Tag.4.Key=Role
    TagSpecification.1.Tag.4.Value=teacher
    TagSpecification.2.ResourceType=volume
    TagSpecification.2.Tag.1.Key=MeetingID
    TagSpecification.2.Tag.1.Value=class 4/b
    TagSpecification.2.Tag.2.Key=Name
    TagSpecification.2.Tag.2.Value=class 4/b_teacher
    TagSpecification.2.Tag.3.Key=Project
    TagSpecification.2.Tag.3.Value=Elephant
    TagSpecification.2.Tag.4.Key=Role
    TagSpecification.2.Tag.4.Value=teacher
    TagSpecification.3.ResourceType=network-interface
    TagSpecification.3.Tag.1.Key=MeetingID
    TagSpecification.3.Tag.1.Value=class 4/b
    TagSpecification.3.Tag.2.Key=Name
    TagSpecification.3.Tag.2.Value=class 4/b_teacher
    TagSpecification.3.Tag.3.Key=Project
    TagSpecification.3.Tag.3.Value=Elephant
    TagSpecification.3.Tag.4.Key=Role
    TagSpecification.3.Tag.4.Value=teacher";

#[tokio::test]
async fn what_is_optional_is_sent_only_where_it_is_configured() {
    for (story, change, more, less) in OPTIONS {
        let mut attempt = attempt();
        change(&mut attempt.parameters);
        let wire = Wire::answering("RunInstances", [pending()]).await;
        ec2(&wire).run(&attempt).await.expect("a machine");
        let mut expected = fields(PLAIN_REQUEST);
        expected.extend(fields(more));
        expected.retain(|name, _| !fields(less).contains_key(name));
        assert_eq!(form(&wire.only_request()), expected, "{story}");
    }
}

/// What is configured, and the fields that it adds to and takes from the plain request.
type Options = (&'static str, fn(&mut Parameters), &'static str, &'static str);

const OPTIONS: [Options; 12] = [
    (
        "a launch template that says the rest",
        |p| {
            p.launch_template = Some(Pinned { launch_template_id: "lt-1".into(), version: "3".into() });
            p.root_volume = None;
            p.security_group_ids.clear();
        },
        "LaunchTemplate.LaunchTemplateId=lt-1\nLaunchTemplate.Version=3",
        "BlockDeviceMapping.1.DeviceName=/dev/xvda
         BlockDeviceMapping.1.Ebs.DeleteOnTermination=true
         BlockDeviceMapping.1.Ebs.VolumeSize=60
         BlockDeviceMapping.1.Ebs.VolumeType=gp3
         BlockDeviceMapping.1.Ebs.Encrypted=true
         SecurityGroupId.1=sg-1
         SecurityGroupId.2=sg-2",
    ),
    ("a key", |p| p.key_name = Some("our key".into()), "KeyName=our key", ""),
    (
        "a profile by name",
        |p| p.iam_profile = Some(InstanceProfile::Name("n".into())),
        "IamInstanceProfile.Name=n",
        "",
    ),
    (
        "a profile by ARN",
        |p| p.iam_profile = Some(InstanceProfile::Arn("arn:x".into())),
        "IamInstanceProfile.Arn=arn:x",
        "",
    ),
    ("IMDSv2", |p| p.imds_tokens = Some(ImdsTokens::Required), "MetadataOptions.HttpTokens=required", ""),
    ("IMDSv1 too", |p| p.imds_tokens = Some(ImdsTokens::Optional), "MetadataOptions.HttpTokens=optional", ""),
    ("no encryption", |p| volume(p).encrypted = false, "", "BlockDeviceMapping.1.Ebs.Encrypted=true"),
    (
        "a fast volume",
        |p| (volume(p).iops, volume(p).throughput) = (Some(4000), Some(500)),
        "BlockDeviceMapping.1.Ebs.Iops=4000\nBlockDeviceMapping.1.Ebs.Throughput=500",
        "",
    ),
    (
        "a key of one's own",
        |p| volume(p).kms_key_id = Some("alias/meetings".into()),
        "BlockDeviceMapping.1.Ebs.KmsKeyId=alias/meetings",
        "",
    ),
    (
        "spot",
        |p| p.market = Market::Spot,
        "InstanceMarketOptions.MarketType=spot
         InstanceMarketOptions.SpotOptions.SpotInstanceType=one-time
         InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior=terminate
         TagSpecification.4.ResourceType=spot-instances-request
         TagSpecification.4.Tag.1.Key=MeetingID
         TagSpecification.4.Tag.1.Value=class 4/b
         TagSpecification.4.Tag.2.Key=Name
         TagSpecification.4.Tag.2.Value=class 4/b_teacher
         TagSpecification.4.Tag.3.Key=Project
         TagSpecification.4.Tag.3.Value=Elephant
         TagSpecification.4.Tag.4.Key=Role
         TagSpecification.4.Tag.4.Value=teacher",
        "",
    ),
    ("user data", |p| p.user_data = Some("IyE=".into()), "UserData=IyE=", ""),
    (
        "no public address",
        |p| p.public_ip = Some(false),
        "NetworkInterface.1.DeviceIndex=0
         NetworkInterface.1.SubnetId=subnet-1
         NetworkInterface.1.SecurityGroupId.1=sg-1
         NetworkInterface.1.SecurityGroupId.2=sg-2
         NetworkInterface.1.AssociatePublicIpAddress=false
         NetworkInterface.1.DeleteOnTermination=true",
        "SubnetId=subnet-1\nSecurityGroupId.1=sg-1\nSecurityGroupId.2=sg-2",
    ),
];

#[tokio::test]
async fn a_meeting_of_any_spelling_reaches_its_tags() {
    let id = "class 4/b & \"c\" = 50% + 🐘";
    let mut attempt = attempt();
    attempt.parameters.tags = tags(&meeting(id), Role::Student, "Elephant");
    let wire = Wire::answering("RunInstances", [pending()]).await;
    ec2(&wire).run(&attempt).await.expect("a machine");
    let form = form(&wire.only_request());
    assert_eq!(form["TagSpecification.1.Tag.1.Value"], id);
    assert_eq!(form["TagSpecification.3.Tag.2.Value"], format!("{id}_student"));
}

// What comes back.

#[tokio::test]
async fn a_new_machine_is_understood() {
    let wire = Wire::answering("RunInstances", [pending()]).await;
    let expected = Machine {
        instance_id: InstanceId::from("i-1"),
        state: State::Pending,
        state_reason: Some("pending".into()),
        tags: attempt().parameters.tags,
    };
    let machine = ec2(&wire).run(&attempt()).await;
    assert_eq!(machine, Ok(expected));
    assert!(machine.is_ok_and(|machine| machine.is_of(&attempt())), "it carries the attempt's tags");
}

#[tokio::test]
async fn a_200_may_carry_a_dead_machine() {
    for (word, state) in [("terminated", State::Terminated), ("shutting-down", State::ShuttingDown)] {
        let dead = launched(&instance("i-1", word, "Server.InsufficientInstanceCapacity"));
        let wire = Wire::answering("RunInstances", [dead]).await;
        let machine = ec2(&wire).run(&attempt()).await.expect("a 200 with an instance");
        assert_eq!(machine.state, state);
        assert!(!machine.state.is_live() && elephant_core::plan::died_of_capacity(&machine), "{machine:?}");
    }
}

/// A live machine is never launched a second time: whatever cannot be told dead is alive.
#[tokio::test]
async fn every_other_state_is_live() {
    let states = [
        ("pending", State::Pending),
        ("running", State::Running),
        ("stopping", State::Stopping),
        ("stopped", State::Stopped),
        ("hibernating", State::Running),
    ];
    for (word, expected) in states {
        let wire = Wire::answering("RunInstances", [launched(&instance("i-1", word, ""))]).await;
        let machine = ec2(&wire).run(&attempt()).await.expect("a machine");
        assert_eq!((machine.state, machine.state.is_live()), (expected, true), "{word}");
    }
}

#[tokio::test]
async fn an_error_carries_code_message_and_request_id() {
    let wire = Wire::answering(
        "RunInstances",
        [refused(400, "InvalidKeyPair.NotFound", "The key pair 'k' does not exist")],
    )
    .await;
    let error = ec2(&wire).run(&attempt()).await.expect_err("there is no such key");
    assert_eq!(
        error.to_string(),
        format!(
            "RunInstances answered InvalidKeyPair.NotFound: The key pair 'k' does not exist \
             (AWS request id {REQUEST_ID})"
        )
    );
}

#[tokio::test]
async fn every_code_is_classified_as_the_next_step_that_it_calls_for() {
    for (class, status, codes) in CODES {
        for code in codes.split_whitespace() {
            let wire = Wire::answering("RunInstances", [refused(*status, code, "EC2's own words.")]).await;
            let error = ec2(&wire).run(&attempt()).await.expect_err(code);
            assert_eq!((error.class, error.code.as_deref()), (*class, Some(code)), "HTTP {status}");
            assert_eq!(wire.requests("RunInstances").len(), 1, "{code} was sent again");
        }
    }
}

/// By what to do next, with the HTTP status that EC2 gives each; the last lines are of codes that nobody knows.
const CODES: &[(Class, u16, &str)] = &[
    (
        Class::Capacity,
        500,
        "InsufficientInstanceCapacity InsufficientCapacity InsufficientHostCapacity
         InsufficientReservedInstanceCapacity InsufficientVolumeCapacity",
    ),
    (
        Class::Capacity,
        400,
        "InsufficientCapacityOnHost InsufficientCapacityOnOutpost InsufficientAddressCapacity UnfulfillableCapacity
         ReservationCapacityExceeded SpotMaxPriceTooLow",
    ),
    (Class::ZoneUnfit, 400, "Unsupported VolumeTypeNotAvailableInZone InvalidAvailabilityZone"),
    (Class::SubnetUnfit, 400, "InsufficientFreeAddressesInSubnet InvalidSubnetID.NotFound"),
    (
        Class::Quota,
        400,
        "VcpuLimitExceeded InstanceLimitExceeded VolumeLimitExceeded MaxIOPSLimitExceeded
         MaxSpotInstanceCountExceeded NetworkInterfaceLimitExceeded AddressLimitExceeded ResourceLimitExceeded
         VpcLimitExceeded InternetGatewayLimitExceeded SubnetLimitExceeded SecurityGroupLimitExceeded
         SnapshotLimitExceeded AnyOtherLimitExceeded ResourceCountExceeded SomeQuotaExceeded",
    ),
    (
        Class::Throttled,
        400,
        "SnapshotCreationPerVolumeRateExceeded ConcurrentSnapshotLimitExceeded PendingSnapshotLimitExceeded",
    ),
    (Class::TypeUnfit, 400, "InvalidInstanceType UnsupportedHibernationConfiguration UnsupportedTenancy"),
    (Class::Throttled, 503, "RequestLimitExceeded Throttling SlowDown EC2ThrottledException BandwidthLimitExceeded"),
    (
        Class::Throttled,
        400,
        "ThrottlingException ThrottledException RequestThrottled RequestThrottledException TooManyRequestsException
         PriorRequestNotComplete LimitExceededException",
    ),
    (Class::Ambiguous, 500, "InternalError InternalFailure ServerInternal"),
    (Class::Ambiguous, 503, "ServiceUnavailable Unavailable"),
    (Class::Ambiguous, 408, "RequestTimeout"),
    (Class::Ambiguous, 400, "RequestTimeoutException"),
    (Class::Propagating, 400, "ConcurrentTagAccess InvalidInstanceID.NotFound"),
    (Class::ParameterMismatch, 400, "IdempotentParameterMismatch"),
    (Class::InstanceTerminated, 400, "IdempotentInstanceTerminated"),
    (
        Class::Misconfigured,
        400,
        "InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable InvalidAMIName.NotFound
         InvalidKeyPair.NotFound InvalidGroup.NotFound InvalidGroupId.Malformed InvalidSecurityGroupID.NotFound
         InvalidParameter InvalidParameterValue InvalidParameterCombination MissingParameter UnknownParameter
         InvalidBlockDeviceMapping InvalidUserData.Malformed UnknownVolumeType CustomerKeyHasBeenRevoked
         VPCIdNotSpecified DefaultVpcDoesNotExist ValidationError UnsupportedOperation OperationNotPermitted
         TagPolicyViolation TagLimitExceeded SecurityGroupsPerInstanceLimitExceeded AttachmentLimitExceeded",
    ),
    (Class::Unauthorized, 403, "UnauthorizedOperation AccessDenied SignatureDoesNotMatch InvalidClientTokenId ExpiredToken"),
    (Class::Unauthorized, 401, "AuthFailure OptInRequired"),
    (Class::Unauthorized, 400, "AccessDeniedException PendingVerification Blocked RequestExpired"),
    (Class::Misconfigured, 400, "NeverHeardOfIt"),
    (Class::Misconfigured, 403, "NeverHeardOfIt"),
    (Class::Misconfigured, 404, "NeverHeardOfIt"),
    (Class::Ambiguous, 500, "NeverHeardOfIt"),
    (Class::Ambiguous, 502, "NeverHeardOfIt"),
    (Class::Ambiguous, 599, "NeverHeardOfIt"),
];

/// A profile made a moment ago is not known everywhere yet.
#[tokio::test]
async fn an_unknown_instance_profile_may_be_a_new_one() {
    for message in [
        "Value (machine) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        "Value (arn:x) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN",
    ] {
        let wire = Wire::answering("RunInstances", [refused(400, "InvalidParameterValue", message)]).await;
        let error = ec2(&wire).run(&attempt()).await.expect_err("no such profile yet");
        assert_eq!(error.class, Class::Propagating, "{message}");
        assert!(error.advice.contains("IAM_PROFILE"), "{:?}", error.advice);
    }
}

#[tokio::test]
async fn the_advice_names_the_setting_at_fault() {
    for (setting, code) in [
        ("AMI_ID", "InvalidAMIID.NotFound"),
        ("AMI_ID", "InvalidAMIID.Unavailable"),
        ("KEY_NAME", "InvalidKeyPair.NotFound"),
        ("LAUNCH_TEMPLATE", "InvalidLaunchTemplateId.NotFound"),
        ("LAUNCH_TEMPLATE", "InvalidLaunchTemplateName.NotFoundException"),
        ("LAUNCH_TEMPLATE", "InvalidLaunchTemplateId.VersionNotFound"),
        ("SECURITY_GROUP_IDS", "InvalidGroup.NotFound"),
        ("SECURITY_GROUP_IDS", "InvalidSecurityGroupID.NotFound"),
        ("SECURITY_GROUP_IDS", "SecurityGroupsPerInstanceLimitExceeded"),
        ("SUBNET_IDS", "InvalidSubnetID.NotFound"),
        ("SUBNET_IDS", "VPCIdNotSpecified"),
        ("INSTANCE_TYPE", "InvalidInstanceType"),
        ("VOLUME_SIZE_GB", "InvalidBlockDeviceMapping"),
        ("VOLUME_TYPE", "UnknownVolumeType"),
        ("VOLUME_ENCRYPTED", "CustomerKeyHasBeenRevoked"),
        ("PROJECT_TAG", "TagPolicyViolation"),
        ("Service Quotas", "VcpuLimitExceeded"),
        ("ec2:RunInstances", "UnauthorizedOperation"),
        ("iam:PassRole", "UnauthorizedOperation"),
        ("credentials", "AuthFailure"),
        ("AWS Support", "PendingVerification"),
    ] {
        let wire = Wire::answering("RunInstances", [refused(400, code, "EC2's own words")]).await;
        let error = ec2(&wire).run(&attempt()).await.expect_err(code);
        assert!(error.advice.contains(setting), "{code}: {:?} does not name {setting}", error.advice);
    }
}

/// What EC2 said to others who launch, word by word, with what is to be done next and what the advice names.
#[tokio::test]
async fn one_code_has_several_meanings_by_what_ec2_says() {
    for (code, said, class, named) in SAID {
        let wire = Wire::answering("RunInstances", [refused(400, code, said)]).await;
        let error = ec2(&wire).run(&attempt()).await.expect_err(code);
        assert_eq!(error.class, *class, "{code}: {said}");
        for word in named.split(" & ") {
            assert!(error.advice.contains(word), "{said}: {:?} does not name {word}", error.advice);
        }
        assert_eq!(error.advice.is_empty(), named.is_empty(), "{said}: {:?}", error.advice);
    }
}

const SAID: &[(&str, &str, Class, &str)] = &[
    // Keys.
    (
        "Unsupported",
        "ED25519 key pairs are not supported with Windows AMIs. Choose a different key pair type and try again.",
        Class::Misconfigured,
        "KEY_NAME & RSA",
    ),
    ("InvalidParameterValue", "Invalid value for key pair name", Class::Misconfigured, "KEY_NAME"),
    // Images.
    (
        "OptInRequired",
        "In order to use this AWS Marketplace product you need to accept terms and subscribe. To do so please visit x",
        Class::Unauthorized,
        "subscribe & AMI_ID",
    ),
    (
        "Unsupported",
        "You are not subscribed to this AWS Marketplace product.",
        Class::Unauthorized,
        "subscribe & AMI_ID",
    ),
    (
        "Unsupported",
        "The instance configuration for this AWS Marketplace product is not supported. Please see the AWS Marketplace site \
         for more details about supported instance types, regions, and operating systems.",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    (
        "AuthFailure",
        "Not authorized for images: [ami-0abc]",
        Class::Misconfigured,
        "AMI_ID or AMI_NAME & shared",
    ),
    (
        "InvalidAMIID.NotFound",
        "The image id '[ami-0abc]' does not exist",
        Class::Misconfigured,
        "AMI_ID & Allowed AMIs",
    ),
    ("InvalidAMIID.Malformed", "Invalid id: \"ami-x\"", Class::Misconfigured, "AMI_ID"),
    (
        "InvalidAMIID.Unavailable",
        "The image ID 'ami-0abc' is no longer available",
        Class::Misconfigured,
        "AMI_ID",
    ),
    (
        "InvalidSnapshot.NotFound",
        "The snapshot 'snap-1' does not exist.",
        Class::Misconfigured,
        "snapshot & AMI_ID",
    ),
    (
        "InvalidParameterCombination",
        "The specified image is not eligible for Free Tier. For a list of Free Tier images, run 'describe-images'",
        Class::Misconfigured,
        "AMI_ID",
    ),
    // Types.
    (
        "InvalidParameterCombination",
        "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, run \
         'describe-instance-types' with the filter 'free-tier-eligible=true'.",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    (
        "InvalidParameterValue",
        "The t2.micro instance type does not support an AMI with a boot mode of UEFI. Only instance types built on the \
         Nitro System support UEFI. Specify an instance type that supports UEFI, and try again.",
        Class::TypeUnfit,
        "INSTANCE_TYPE & boot mode",
    ),
    (
        "InvalidParameterCombination",
        "Enhanced networking with the Elastic Network Adapter (ENA) is required for the 't3.large' instance type. Ensure \
         that you are using an AMI that is enabled for ENA.",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    (
        "InvalidParameterCombination",
        "Virtualization type 'hvm' is required for instances of type 't2.micro'.",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    (
        "Unsupported",
        "The requested instance type's architecture (i386) does not match the architecture in the manifest for ami-1 \
         (x86_64).",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    (
        "InvalidParameterValue",
        "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the AMI.",
        Class::TypeUnfit,
        "INSTANCE_TYPE & AMI_ID",
    ),
    (
        "UnsupportedOperation",
        "The hpc6a.48xlarge instance type does not support specifying CpuOptions.",
        Class::TypeUnfit,
        "INSTANCE_TYPE",
    ),
    ("InvalidParameterValue", "Invalid value 't9.huge' for InstanceType.", Class::TypeUnfit, "INSTANCE_TYPE"),
    // Zones.
    (
        "Unsupported",
        "Your requested instance type (i4i.large) is not supported in your requested Availability Zone (us-east-1a). \
         Please retry your request by not specifying an Availability Zone or choosing us-east-1b.",
        Class::ZoneUnfit,
        "",
    ),
    (
        "Unsupported",
        "The requested configuration is currently not supported. Please check the documentation for supported \
         configurations.",
        Class::ZoneUnfit,
        "",
    ),
    // Accounts and organisations.
    (
        "UnsupportedOperation",
        "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account.",
        Class::Misconfigured,
        "IMDS_TOKENS to required",
    ),
    (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/r/s is not authorized to \
         perform: ec2:RunInstances on resource: arn:aws:ec2:us-east-2:1:instance/* with an explicit deny in a service \
         control policy. Encoded authorization failure message: g4oZPBqZ4Bni8dE5dGjxYTnOZ",
        Class::Unauthorized,
        "organisation & role is not at fault",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances with an explicit deny in a resource control policy",
        Class::Unauthorized,
        "organisation",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances because no permissions boundary allows the \
         ec2:RunInstances action",
        Class::Unauthorized,
        "permissions boundary",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances because no VPC endpoint policy allows it",
        Class::Unauthorized,
        "VPC endpoint",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances because no session policy allows it",
        Class::Unauthorized,
        "session policy",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances with an explicit deny in an identity-based policy",
        Class::Unauthorized,
        "take it out",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/m because no identity-based \
         policy allows the iam:PassRole action.",
        Class::Unauthorized,
        "allow iam:PassRole in",
    ),
    (
        "UnauthorizedOperation",
        "User: r is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:us-west-2::image/ami-0abc because \
         no identity-based policy allows the ec2:RunInstances action",
        Class::Unauthorized,
        "with this image & AMI_ID",
    ),
    (
        "UnsupportedOperation",
        "This functionality is not available, by a declarative policy: ask the platform team.",
        Class::Unauthorized,
        "organisation",
    ),
    (
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        Class::Unauthorized,
        "credentials",
    ),
    (
        "TagPolicyViolation",
        "The tag policy does not allow the specified value for the following tag key: 'Project'.",
        Class::Misconfigured,
        "PROJECT_TAG & EXTRA_TAGS",
    ),
    // Networks, disks, tags, templates.
    (
        "InvalidParameter",
        "Security group sg-1 and subnet subnet-1 belong to different networks.",
        Class::Misconfigured,
        "SECURITY_GROUP_IDS or SUBNET_IDS",
    ),
    (
        "InvalidParameterCombination",
        "The parameter groupName cannot be used with the parameter subnet",
        Class::Misconfigured,
        "launch template & ids",
    ),
    (
        "InvalidParameterValue",
        "You cannot specify tags for Spot instances requests if there are no Spot instances requests being created by the \
         request.",
        Class::Misconfigured,
        "launch template & MARKET",
    ),
    (
        "InvalidParameterValue",
        "The KMS key provided is in an incorrect state",
        Class::Misconfigured,
        "VOLUME_KMS_KEY_ID",
    ),
    ("KMSKeyDisabledException", "It is disabled", Class::Misconfigured, "VOLUME_KMS_KEY_ID"),
    (
        "InvalidParameterCombination",
        "The parameter iops is not supported for gp2 volumes.",
        Class::Misconfigured,
        "VOLUME_IOPS",
    ),
    ("InvalidParameterValue", "User data is limited to 16384 bytes", Class::Misconfigured, "USER_DATA"),
    (
        "InvalidTagKey.Malformed",
        "Tag keys starting with 'aws:' are reserved",
        Class::Misconfigured,
        "EXTRA_TAGS",
    ),
    // Quotas, by their names.
    (
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the \
         specified instance type belongs to.",
        Class::Quota,
        "Running On-Demand & Service Quotas",
    ),
    (
        "MaxSpotInstanceCountExceeded",
        "Max spot instance count exceeded",
        Class::Quota,
        "Spot Instance Requests",
    ),
];

/// What only a launch has other types for is wrong for good elsewhere; and every limit is a quota, by its name.
#[tokio::test]
async fn other_actions_have_the_same_table() {
    let wire = Wire::start().await;
    let said = "The t2.micro instance type does not support it";
    wire.script(
        "CreateSubnet",
        [
            refused(400, "InvalidParameterValue", said),
            refused(400, "SubnetLimitExceeded", "The maximum number of subnets has been reached."),
            refused(400, "SomeLimitExceeded", "Too many."),
            refused(403, "UnauthorizedOperation", "You are not authorized."),
        ],
    );
    let (ec2, tags) = (ec2(&wire), some_tags());
    for (class, named) in [
        (Class::Misconfigured, "INSTANCE_TYPE"),
        (Class::Quota, "\"Subnets per VPC\" in Service Quotas"),
        (Class::Quota, "SomeLimitExceeded is a quota"),
        (Class::Unauthorized, "allow ec2:CreateSubnet in"),
    ] {
        let error =
            ec2.create_subnet(&"vpc-1".into(), "10.0.0.0/20", "us-west-2a", &tags).await.expect_err(named);
        assert_eq!(error.class, class, "{named}");
        assert!(error.advice.contains(named), "{:?} does not name {named}", error.advice);
    }
}

#[tokio::test]
async fn where_nothing_is_to_be_changed_there_is_no_advice() {
    for (status, code) in
        [(500, "InsufficientInstanceCapacity"), (503, "RequestLimitExceeded"), (500, "InternalError")]
    {
        let wire = Wire::answering("RunInstances", [refused(status, code, "EC2's own words")]).await;
        let error = ec2(&wire).run(&attempt()).await.expect_err(code);
        assert_eq!(error.advice, "", "{code}");
    }
}

// What nobody knows the outcome of: never a refusal, and never sent again by the SDK.

#[tokio::test]
async fn an_answer_that_says_nothing_is_ambiguous_and_nothing_is_sent_again() {
    let cut_off: String = run_instances(&instance("i-1", "pending", "pending")).chars().take(200).collect();
    let empty =
        r#"<RunInstancesResponse><reservationId>r-1</reservationId><instancesSet/></RunInstancesResponse>"#;
    let cases = [
        ("a cut connection", Answer::Cut),
        ("an answer that is no HTTP", Answer::Raw("SSH-2.0-OpenSSH_9.6\r\n")),
        ("a body cut short", Answer::Torn(200, cut_off.clone())),
        ("an error cut short", Answer::Torn(400, "<Response><Errors><Error><Code>Inval".into())),
        (
            "a page of a load balancer",
            Answer::Reply(500, "<html><body>Internal Server Error<br></body></html>".into()),
        ),
        ("a 502 without a body", Answer::Reply(502, String::new())),
        ("a 200 without an instance", Answer::Reply(200, empty.into())),
        ("a 200 that ends early", Answer::Reply(200, cut_off)),
        ("a 200 without a body", Answer::Reply(200, String::new())),
        ("a 200 of something else", Answer::Reply(200, "<html><body>Welcome</body></html>".into())),
    ];
    for (story, answer) in cases {
        let wire = Wire::answering("RunInstances", [answer]).await;
        let error = ec2(&wire).run(&attempt()).await.expect_err(story);
        assert_eq!((error.class, error.code()), (Class::Ambiguous, "NoAnswer"), "{story}: {error}");
        assert_eq!(wire.requests("RunInstances").len(), 1, "{story}: it was sent again");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous_and_nothing_is_sent_again() {
    let wire = Wire::answering("RunInstances", [Answer::Silence]).await;
    let error = impatient(&wire).run(&attempt()).await.expect_err("no answer comes");
    assert_eq!((error.class, error.code()), (Class::Ambiguous, "NoAnswer"), "{error}");
    assert_eq!(wire.requests("RunInstances").len(), 1);
}

/// A kept connection that is cut looks to an HTTP client like one that was closed before it could send.
#[tokio::test]
async fn a_cut_of_a_kept_connection_is_ambiguous_too() {
    for cut in [Answer::Cut, Answer::Torn(500, "<Response>".into())] {
        let wire = Wire::answering("RunInstances", [pending(), cut]).await;
        let ec2 = ec2(&wire);
        ec2.run(&attempt()).await.expect("the first is answered");
        let error = ec2.run(&attempt()).await.expect_err("the second is not");
        assert_eq!(error.class, Class::Ambiguous, "{error}");
        assert_eq!(wire.requests("RunInstances").len(), 2, "the second was sent again");
    }
}

/// It ends in the log, in the record and in the error that a person reads.
#[tokio::test]
async fn what_is_said_of_a_missing_answer_is_short_and_shows_no_body() {
    let page = "<html><body>Please come back later</body></html>";
    let answers = [Answer::Cut, Answer::Torn(200, page.into()), Answer::Reply(500, page.into())];
    for answer in answers {
        let wire = Wire::answering("RunInstances", [answer.clone()]).await;
        let said = ec2(&wire).run(&attempt()).await.expect_err("no answer").message;
        let for_people = said.len() < 200 && !said.contains("come back") && !said.contains(" {");
        assert!(for_people && !said.is_empty(), "{answer:?}: {} bytes: {said}", said.len());
    }
}

#[tokio::test]
async fn an_unreachable_ec2_is_ambiguous() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = nobody.local_addr().expect("the port is bound");
    drop(nobody);
    let sdk = Wire::start().await.sdk().into_builder().endpoint_url(format!("http://{address}")).build();
    let error = Ec2::new(&sdk, &Timing::DEFAULT).run(&attempt()).await.expect_err("nobody listens");
    assert_eq!(error.class, Class::Ambiguous, "{error}");
    assert!(error.advice.contains("NAT gateway"), "{:?}", error.advice);
}

/// A function in a VPC without a way out (gitlab-runner #1284), and a proxy that answers itself (megfile #643): neither says
/// that anything is wrong with the request.
#[tokio::test]
async fn where_nothing_can_be_reached_the_way_there_is_named() {
    let page = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>";
    for (story, answer) in [
        ("a page of a proxy", Answer::Reply(404, page.into())),
        ("one that forbids", Answer::Reply(403, "Blocked by the firewall".into())),
        ("one that wants a name", Answer::Reply(407, String::new())),
        ("silence", Answer::Silence),
    ] {
        let wire = Wire::answering("DescribeImages", [answer.clone()]).await;
        wire.script("RunInstances", [answer]);
        let ec2 = impatient(&wire);
        let errors =
            [ec2.find_image("ami-1").await.expect_err(story), ec2.run(&attempt()).await.expect_err(story)];
        for error in errors {
            assert_eq!((error.class, error.code()), (Class::Ambiguous, "NoAnswer"), "{story}: {error}");
            for way in ["NAT gateway", "VPC endpoint", "HTTPS_PROXY"] {
                assert!(error.advice.contains(way), "{story}: {:?} does not name {way}", error.advice);
            }
            assert!(!error.message.contains("html"), "{story}: {error}");
        }
    }
}

// Finding and ending a machine.

#[tokio::test]
async fn machines_are_found_by_token_on_every_page() {
    let page =
        |id: &str, next: &str| Answer::Reply(200, describe_instances(&instance(id, "running", ""), next));
    let wire = Wire::answering("DescribeInstances", [page("i-1", "page-2"), page("i-2", "")]).await;
    let found = ec2(&wire).find(&Token::from("token-1")).await.expect("two machines");
    let ids: Vec<&str> = found.iter().map(|machine| machine.instance_id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-2"]);
    let requests = wire.requests("DescribeInstances");
    let filter = "Action=DescribeInstances
        Version=2016-11-15
        Filter.1.Name=client-token
        Filter.1.Value.1=token-1";
    assert_eq!(form(&requests[0]), fields(filter));
    assert_eq!(form(&requests[1]), fields(&format!("{filter}\nNextToken=page-2")));
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn a_token_without_a_machine_finds_nothing() {
    let wire = Wire::answering("DescribeInstances", [Answer::Reply(200, describe_instances("", ""))]).await;
    assert_eq!(ec2(&wire).find(&Token::from("token-1")).await, Ok(vec![]));
}

#[tokio::test]
async fn only_the_tag_role_is_removed_whatever_its_value() {
    let wire = Wire::answering("DeleteTags", [done("DeleteTags")]).await;
    ec2(&wire).remove_role_tag(&InstanceId::from("i-1")).await.expect("it is removed");
    let expected = "Action=DeleteTags\nVersion=2016-11-15\nResourceId.1=i-1\nTag.1.Key=Role";
    assert_eq!(form(&wire.only_request()), fields(expected));
}

#[tokio::test]
async fn one_machine_is_terminated() {
    let wire = Wire::answering("TerminateInstances", [done("TerminateInstances")]).await;
    ec2(&wire).terminate(&InstanceId::from("i-1")).await.expect("it is terminated");
    let expected = "Action=TerminateInstances\nVersion=2016-11-15\nInstanceId.1=i-1";
    assert_eq!(form(&wire.only_request()), fields(expected));
}

#[tokio::test]
async fn a_machine_that_is_not_visible_yet_is_propagating() {
    let wire = Wire::start().await;
    let unknown = refused(400, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist");
    wire.script("DeleteTags", [unknown.clone()]);
    wire.script("TerminateInstances", [unknown]);
    let instance = InstanceId::from("i-1");
    assert_eq!(class(ec2(&wire).remove_role_tag(&instance).await), Some(Class::Propagating));
    assert_eq!(class(ec2(&wire).terminate(&instance).await), Some(Class::Propagating));
}

// Look-ups.

#[tokio::test]
async fn subnets_are_those_of_every_page_beside_the_default_vpc() {
    let wire = Wire::start().await;
    let first = describe_subnets(&[("subnet-1", "us-west-2a", 4091)], "page-2");
    let second = describe_subnets(&[("subnet-2", "us-west-2b", 0)], "");
    wire.script("DescribeSubnets", [Answer::Reply(200, first), Answer::Reply(200, second)]);
    wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs("vpc-1", ""))]);
    let expected = Found {
        vpcs: vec!["vpc-1".into()],
        subnets: vec![subnet("subnet-1", "us-west-2a", 4091), subnet("subnet-2", "us-west-2b", 0)],
    };
    assert_eq!(ec2(&wire).find_subnets(&Network::Default).await, Ok(expected));
    assert_eq!(
        form(&wire.requests("DescribeSubnets")[0]),
        fields("Action=DescribeSubnets\nVersion=2016-11-15")
    );
    assert_eq!(form(&wire.requests("DescribeSubnets")[1])["NextToken"], "page-2");
}

/// A subnet that somebody added may be private (packer-plugin-amazon #368). Those of other VPCs are told as they are.
#[tokio::test]
async fn of_the_default_vpc_only_the_default_subnets_of_its_zones_are_found() {
    let all = describe_subnets(&[("subnet-1", "us-west-2a", 9), ("subnet-2", "us-west-2b", 9)], "");
    let (first, rest) = all.split_once("</item>").expect("two");
    let added = format!("{first}</item>{}", rest.replace("<defaultForAz>true", "<defaultForAz>false"));
    for (network, default, expected) in [
        (Network::Default, "vpc-1", vec!["subnet-1"]),
        (Network::Default, "vpc-2", vec!["subnet-1", "subnet-2"]),
        (Network::VpcNamed("ours".into()), "vpc-1", vec!["subnet-1", "subnet-2"]),
        (Network::Vpc("vpc-1".into()), "vpc-1", vec!["subnet-1", "subnet-2"]),
    ] {
        let wire = Wire::answering("DescribeSubnets", [Answer::Reply(200, added.clone())]).await;
        wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs(default, ""))]);
        let found = ec2(&wire).find_subnets(&network).await.expect("an answer").subnets;
        let ids: Vec<&str> = found.iter().map(|subnet| subnet.subnet_id.as_str()).collect();
        assert_eq!(ids, expected, "{network:?}, the default VPC is {default}");
    }
}

/// `*` and `?` stand for others in a filter, and another team's machines are nobody's of ours.
#[tokio::test]
async fn what_is_looked_for_is_taken_to_the_letter() {
    let wire = Wire::answering("DescribeInstances", [Answer::Reply(200, describe_instances("", ""))]).await;
    wire.script("DescribeVolumes", [Answer::Reply(200, answer("DescribeVolumes", ""))]);
    wire.script("DescribeNetworkInterfaces", [Answer::Reply(200, answer("DescribeNetworkInterfaces", ""))]);
    wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs("", ""))]);
    wire.script("DescribeSubnets", [Answer::Reply(200, describe_subnets(&[], ""))]);
    let ec2 = ec2(&wire);
    ec2.list(r"Te*m?\").await.expect("an answer");
    ec2.find(&Token::from("a*")).await.expect("an answer");
    ec2.list_leftovers("Team*", false).await.expect("an answer");
    ec2.find_subnets(&Network::VpcNamed("ours?".into())).await.expect("an answer");
    let asked =
        |action: &str, number: usize| form(&wire.requests(action)[number])["Filter.1.Value.1"].clone();
    assert_eq!(asked("DescribeInstances", 0), r"Te\*m\?\\");
    assert_eq!(asked("DescribeInstances", 1), r"a\*");
    assert_eq!(asked("DescribeVolumes", 0), r"Team\*");
    assert_eq!(asked("DescribeNetworkInterfaces", 0), r"Team\*");
    assert_eq!(asked("DescribeVpcs", 0), r"ours\?");
}

/// EC2 may filter after it cut the list into pages, so the one that is wanted can be on any.
#[tokio::test]
async fn the_default_vpc_may_be_on_the_second_page() {
    let wire = Wire::start().await;
    wire.script("DescribeSubnets", [Answer::Reply(200, describe_subnets(&[], ""))]);
    let pages = [describe_vpcs("", "page-2"), describe_vpcs("vpc-1", "")];
    wire.script("DescribeVpcs", pages.map(|page| Answer::Reply(200, page)));
    let expected = Found { vpcs: vec!["vpc-1".into()], subnets: vec![] };
    assert_eq!(ec2(&wire).find_subnets(&Network::Default).await, Ok(expected));
    assert_eq!(form(&wire.requests("DescribeVpcs")[1])["NextToken"], "page-2");
}

#[tokio::test]
async fn the_default_vpc_is_asked_for_by_a_filter() {
    let wire = Wire::start().await;
    wire.script("DescribeSubnets", [Answer::Reply(200, describe_subnets(&[], ""))]);
    wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs("vpc-1", ""))]);
    ec2(&wire).find_subnets(&Network::Default).await.expect("an answer");
    let filter = "Action=DescribeVpcs\nVersion=2016-11-15\nFilter.1.Name=is-default\nFilter.1.Value.1=true";
    assert_eq!(form(&wire.requests("DescribeVpcs")[0]), fields(filter));
}

#[tokio::test]
async fn a_region_may_have_no_default_vpc() {
    let wire = Wire::start().await;
    wire.script(
        "DescribeSubnets",
        [Answer::Reply(200, describe_subnets(&[("subnet-1", "us-west-2a", 9)], ""))],
    );
    wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs("", ""))]);
    let expected = Found { vpcs: vec![], subnets: vec![subnet("subnet-1", "us-west-2a", 9)] };
    assert_eq!(ec2(&wire).find_subnets(&Network::Default).await, Ok(expected));
}

#[tokio::test]
async fn named_subnets_are_asked_for_by_name_and_no_vpc_is() {
    let found = Answer::Reply(200, describe_subnets(&[("subnet-7", "us-west-2a", 9)], ""));
    let wire = Wire::answering("DescribeSubnets", [found]).await;
    let ids = ["subnet-7".to_owned(), "subnet-8".to_owned()];
    let expected = Found { vpcs: vec![], subnets: vec![subnet("subnet-7", "us-west-2a", 9)] };
    assert_eq!(ec2(&wire).find_subnets(&Network::Subnets(ids.to_vec())).await, Ok(expected));
    let names = "Action=DescribeSubnets\nVersion=2016-11-15\nSubnetId.1=subnet-7\nSubnetId.2=subnet-8";
    assert_eq!(form(&wire.only_request()), fields(names));
}

#[tokio::test]
async fn the_subnets_of_one_vpc_are_asked_for_by_its_id() {
    let found = Answer::Reply(200, describe_subnets(&[("subnet-7", "us-west-2a", 9)], ""));
    let wire = Wire::answering("DescribeSubnets", [found]).await;
    let expected = Found { vpcs: vec![], subnets: vec![subnet("subnet-7", "us-west-2a", 9)] };
    assert_eq!(ec2(&wire).find_subnets(&Network::Vpc("vpc-1".into())).await, Ok(expected));
    let filter = "Action=DescribeSubnets\nVersion=2016-11-15\nFilter.1.Name=vpc-id\nFilter.1.Value.1=vpc-1";
    assert_eq!(form(&wire.only_request()), fields(filter));
}

#[tokio::test]
async fn a_vpc_is_found_by_its_name() {
    let wire = Wire::start().await;
    wire.script("DescribeSubnets", [Answer::Reply(200, describe_subnets(&[], ""))]);
    wire.script("DescribeVpcs", [Answer::Reply(200, describe_vpcs("vpc-1", ""))]);
    let found = ec2(&wire).find_subnets(&Network::VpcNamed("meetings".into())).await.expect("an answer");
    assert_eq!(found.vpcs, ["vpc-1"]);
    let filter = "Action=DescribeVpcs\nVersion=2016-11-15\nFilter.1.Name=tag:Name\nFilter.1.Value.1=meetings";
    assert_eq!(form(&wire.requests("DescribeVpcs")[0]), fields(filter));
}

#[tokio::test]
async fn each_type_is_told_with_the_zones_that_offer_it() {
    let wire = Wire::start().await;
    let page = |pairs: &[(&str, &str)], next: &str| {
        let items = pairs.iter().map(|(kind, zone)| {
            format!("<item><instanceType>{kind}</instanceType><location>{zone}</location></item>")
        });
        let items: String = items.collect();
        let next = if next.is_empty() { String::new() } else { format!("<nextToken>{next}</nextToken>") };
        format!(
            "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>{next}</DescribeInstanceTypeOfferingsResponse>"
        )
    };
    let first = page(&[("t3.large", "us-west-2a"), ("t3.large", "us-west-2b")], "page-2");
    let second = page(&[("m5.large", "us-west-2a")], "");
    wire.script("DescribeInstanceTypeOfferings", [Answer::Reply(200, first), Answer::Reply(200, second)]);
    let kinds = ["t3.large".to_owned(), "m5.large".to_owned()];
    let expected = [("m5.large", "us-west-2a"), ("t3.large", "us-west-2a"), ("t3.large", "us-west-2b")];
    let expected = expected.map(|(kind, zone)| (kind.to_owned(), zone.to_owned())).into();
    assert_eq!(ec2(&wire).find_offerings(&kinds).await, Ok(expected));
    let asked = "Action=DescribeInstanceTypeOfferings
        Version=2016-11-15
        LocationType=availability-zone
        Filter.1.Name=instance-type
        Filter.1.Value.1=t3.large
        Filter.1.Value.2=m5.large";
    assert_eq!(form(&wire.requests("DescribeInstanceTypeOfferings")[0]), fields(asked));
}

#[tokio::test]
async fn a_named_subnet_that_is_not_there_is_a_wrong_setting() {
    let unknown = refused(400, "InvalidSubnetID.NotFound", "The subnet ID 'subnet-7' does not exist");
    let wire = Wire::answering("DescribeSubnets", [unknown]).await;
    let error = ec2(&wire)
        .find_subnets(&Network::Subnets(vec!["subnet-7".to_owned()]))
        .await
        .expect_err("it does not exist");
    assert_eq!(error.class, Class::Misconfigured);
    assert!(error.advice.contains("SUBNET_IDS"), "{:?}", error.advice);
}

#[tokio::test]
async fn the_root_device_is_the_images() {
    let wire =
        Wire::answering("DescribeImages", [Answer::Reply(200, describe_images("ami-1", "/dev/sda1", ""))])
            .await;
    assert_eq!(root_device(ec2(&wire).find_image("ami-1").await), "/dev/sda1");
    let expected = "Action=DescribeImages\nVersion=2016-11-15\nImageId.1=ami-1";
    assert_eq!(form(&wire.only_request()), fields(expected));
}

#[tokio::test]
async fn the_image_may_be_on_the_second_page() {
    let pages = [describe_images("", "", "page-2"), describe_images("ami-1", "/dev/sda1", "")];
    let wire = Wire::answering("DescribeImages", pages.map(|page| Answer::Reply(200, page))).await;
    assert_eq!(root_device(ec2(&wire).find_image("ami-1").await), "/dev/sda1");
    assert_eq!(form(&wire.requests("DescribeImages")[1])["NextToken"], "page-2");
}

/// What the description of an image says, in EC2's words.
const IMAGE: &str = "<DescribeImagesResponse><imagesSet>
    <item>
        <imageId>ami-1</imageId>
        <imageState>available</imageState>
        <architecture>arm64</architecture>
        <creationDate>2026-03-01T10:00:00.000Z</creationDate>
        <rootDeviceName>/dev/sda1</rootDeviceName>
        <blockDeviceMapping>
            <item><deviceName>/dev/sdb</deviceName><ebs><volumeSize>500</volumeSize></ebs></item>
            <item><deviceName>/dev/sda1</deviceName><ebs><volumeSize>30</volumeSize></ebs></item>
        </blockDeviceMapping>
    </item>
</imagesSet></DescribeImagesResponse>";

fn image() -> Image {
    Image {
        image_id: "ami-1".into(),
        root_device: "/dev/sda1".into(),
        snapshot_gb: Some(30),
        architecture: "arm64".into(),
        is_windows: false,
        created: Some("2026-03-01T10:00:00Z".parse().expect("a time")),
    }
}

#[tokio::test]
async fn an_image_is_known_with_its_architecture_and_the_size_of_its_root() {
    let wire = Wire::answering("DescribeImages", [Answer::Reply(200, IMAGE.into())]).await;
    assert_eq!(ec2(&wire).find_image("ami-1").await, Ok(image()));
    let windows = IMAGE.replace("<architecture>", "<platform>windows</platform><architecture>");
    let wire = Wire::answering("DescribeImages", [Answer::Reply(200, windows)]).await;
    assert_eq!(ec2(&wire).find_image("ami-1").await, Ok(Image { is_windows: true, ..image() }));
}

#[tokio::test]
async fn an_image_that_is_not_available_is_a_wrong_setting() {
    let pending = IMAGE.replace("available", "pending");
    let wire = Wire::answering("DescribeImages", [Answer::Reply(200, pending)]).await;
    let error = ec2(&wire).find_image("ami-1").await.expect_err("it cannot be started from");
    assert_eq!((error.class, error.message.as_str()), (Class::Misconfigured, "the image ami-1 is pending"));
}

#[tokio::test]
async fn images_of_a_name_are_those_of_its_owner_that_can_be_used() {
    let wire = Wire::answering("DescribeImages", [Answer::Reply(200, IMAGE.into())]).await;
    let found = ec2(&wire).find_images("our-*", "self", Some(Architecture::Arm64)).await;
    assert_eq!(found, Ok(vec![image()]));
    let asked = "Action=DescribeImages
        Version=2016-11-15
        Owner.1=self
        IncludeDeprecated=false
        Filter.1.Name=name
        Filter.1.Value.1=our-*
        Filter.2.Name=state
        Filter.2.Value.1=available
        Filter.3.Name=architecture
        Filter.3.Value.1=arm64";
    assert_eq!(form(&wire.only_request()), fields(asked));
}

#[tokio::test]
async fn a_deprecated_image_of_ones_own_does_not_count() {
    for (deprecated, found) in [("2026-01-01T00:00:00.000Z", 0), ("2999-01-01T00:00:00.000Z", 1)] {
        let since = format!("<deprecationTime>{deprecated}</deprecationTime><creationDate>");
        let answer = IMAGE.replace("<creationDate>", &since);
        let wire = Wire::answering("DescribeImages", [Answer::Reply(200, answer)]).await;
        let images = ec2(&wire).find_images("our-*", "self", None).await.expect("an answer");
        assert_eq!(images.len(), found, "{deprecated}");
    }
}

#[tokio::test]
async fn a_key_pair_is_there_or_is_a_wrong_setting() {
    let found = "<DescribeKeyPairsResponse><keySet><item><keyName>k</keyName></item></keySet></DescribeKeyPairsResponse>";
    let wire = Wire::answering("DescribeKeyPairs", [Answer::Reply(200, found.into())]).await;
    assert_eq!(ec2(&wire).find_key_pair("k").await, Ok(None), "EC2 need not say its type");
    assert_eq!(
        form(&wire.only_request()),
        fields("Action=DescribeKeyPairs\nVersion=2016-11-15\nKeyName.1=k")
    );
    for (word, expected) in
        [("rsa", Some(KeyType::Rsa)), ("ed25519", Some(KeyType::Ed25519)), ("other", None)]
    {
        let with_type = found.replace("</item>", &format!("<keyType>{word}</keyType></item>"));
        let wire = Wire::answering("DescribeKeyPairs", [Answer::Reply(200, with_type)]).await;
        assert_eq!(ec2(&wire).find_key_pair("k").await, Ok(expected), "{word}");
    }
    let unknown = refused(400, "InvalidKeyPair.NotFound", "The key pair 'k' does not exist");
    let wire = Wire::answering("DescribeKeyPairs", [unknown]).await;
    let error = ec2(&wire).find_key_pair("k").await.expect_err("there is none");
    assert_eq!((error.class, error.advice.as_str()), (Class::Misconfigured, "change KEY_NAME"));
}

#[tokio::test]
async fn an_account_that_never_used_spot_is_told_how_to() {
    let code = "AuthFailure.ServiceLinkedRoleCreationNotPermitted";
    let wire = Wire::answering("RunInstances", [refused(403, code, "You may not.")]).await;
    let error = ec2(&wire).run(&attempt()).await.expect_err("there is no role for it");
    assert_eq!(error.class, Class::Unauthorized);
    assert!(error.advice.contains("create-service-linked-role"), "{error:?}");
}

#[tokio::test]
async fn an_image_that_cannot_be_seen_is_a_wrong_setting() {
    let answers = [
        Answer::Reply(200, describe_images("", "", "")),
        Answer::Reply(200, describe_images("ami-1", "", "")),
        refused(400, "InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist"),
    ];
    for answer in answers {
        let wire = Wire::answering("DescribeImages", [answer.clone()]).await;
        let error = ec2(&wire).find_image("ami-1").await.expect_err("no root device");
        assert_eq!(error.class, Class::Misconfigured, "{answer:?}");
        assert!(error.message.contains("ami-1") && error.advice.contains("AMI_ID"), "{error:?}");
    }
}

#[tokio::test]
async fn a_look_up_is_repeated_by_the_sdk() {
    for refusal in [
        refused(503, "RequestLimitExceeded", "Slow down."),
        refused(500, "InternalError", "Oh."),
        Answer::Cut,
    ] {
        let found = Answer::Reply(200, describe_images("ami-1", "/dev/sda1", ""));
        let wire = Wire::answering("DescribeImages", [refusal.clone(), refusal.clone(), found]).await;
        assert_eq!(root_device(ec2(&wire).find_image("ami-1").await), "/dev/sda1", "{refusal:?}");
        assert_eq!(wire.requests("DescribeImages").len(), 3, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_look_up_ends_at_its_limit() {
    let wire = Wire::answering("DescribeInstances", [Answer::Silence]).await;
    let error = impatient(&wire).find(&Token::from("token-1")).await.expect_err("no answer comes");
    assert_eq!((error.action, error.class, error.code), ("DescribeInstances", Class::Ambiguous, None));
}

/// The limit is a page's; the whole list has until the deadline of whoever waits for it.
#[tokio::test]
async fn pages_that_are_each_in_time_are_read_until_the_deadline() {
    let (limit, pause) = (Duration::from_secs(2), Duration::from_millis(300));
    let page =
        |next: &str| Answer::Late(pause, 200, describe_instances(&instance("i-1", "running", ""), next));
    let timing = Timing { ec2: limit, ..Timing::DEFAULT };
    let wire =
        Wire::answering("DescribeInstances", (0..8).map(|n| page(&format!("page-{n}"))).chain([page("")]))
            .await;
    let ec2 = Ec2::new(&wire.sdk(), &timing);
    let found = ec2.find(&Token::from("token-1")).await.expect("each page is in time");
    assert_eq!(found.len(), 9);
    let wire = Wire::answering("DescribeInstances", (0..99).map(|n| page(&format!("page-{n}")))).await;
    let ec2 = Ec2::new(&wire.sdk(), &timing);
    let start = Instant::now();
    let at = jiff::Timestamp::now() + Duration::from_millis(2500);
    let deadline = Deadline { clock: &WallClock, tokens: &RandomTokens, at };
    let error =
        deadline.ask(Service::Ec2, &timing, || ec2.list("Elephant")).await.expect_err("it never ends");
    assert_eq!((error.class, error.code), (Class::Ambiguous, None));
    assert!(error.message.contains("before the deadline"), "{}", error.message);
    assert!(start.elapsed() < 2 * limit, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_look_up_that_is_not_allowed_names_its_permission() {
    let wire =
        Wire::answering("DescribeImages", [refused(403, "UnauthorizedOperation", "You may not.")]).await;
    let error = ec2(&wire).find_image("ami-1").await.expect_err("it is not allowed");
    assert!(error.advice.contains("ec2:DescribeImages"), "{:?}", error.advice);
    assert!(!error.advice.contains("PassRole"), "{:?}", error.advice);
}

// Plumbing.

fn root_device(found: Result<Image, AwsError>) -> String {
    found.expect("it is there").root_device
}

fn ec2(wire: &Wire) -> Ec2 {
    Ec2::new(&wire.sdk(), &Timing::DEFAULT)
}

/// An EC2 of whom no answer is expected.
fn impatient(wire: &Wire) -> Ec2 {
    let limit = Duration::from_millis(500);
    Ec2::new(&wire.sdk(), &Timing { run_instances: limit, ec2: limit, ..Timing::DEFAULT })
}

fn meeting(id: &str) -> MeetingId {
    MeetingId::new(id).expect("it is an id")
}

fn attempt() -> Attempt {
    plain_attempt(&meeting("class 4/b"), Role::Teacher, "5c8b2a52-0c6e-4a53-9b0e-7e3a1c0f4d11")
}

fn class<T>(answer: Result<T, AwsError>) -> Option<Class> {
    answer.err().map(|error| error.class)
}

fn subnet(id: &str, zone: &str, free: i32) -> Subnet {
    Subnet {
        subnet_id: id.to_owned(),
        vpc_id: "vpc-1".to_owned(),
        availability_zone: zone.to_owned(),
        available_ip_addresses: free,
    }
}

/// The fields of a form, decoded.
fn form(request: &Request) -> BTreeMap<String, String> {
    let pairs = request.body.split('&').filter_map(|field| field.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'?')));
                u8::from_str_radix(&String::from_iter(digits), 16).expect("two digits after %")
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// The fields of a form, as this file writes them: a line each.
fn fields(lines: &str) -> BTreeMap<String, String> {
    let pairs = lines.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

// EC2's own bodies.

fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::Reply(
        status,
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"#
        ),
    )
}

fn pending() -> Answer {
    launched(&instance("i-1", "pending", "pending"))
}

fn launched(instance: &str) -> Answer {
    Answer::Reply(200, run_instances(instance))
}

fn run_instances(instance: &str) -> String {
    answer("RunInstances", &reservation(instance))
}

fn describe_instances(instance: &str, next_token: &str) -> String {
    let reservation = match instance {
        "" => String::new(),
        instance => format!("<item>{}</item>", reservation(instance)),
    };
    answer(
        "DescribeInstances",
        &format!("<reservationSet>{reservation}</reservationSet>{}", next(next_token)),
    )
}

fn reservation(instance: &str) -> String {
    format!(
        "<reservationId>r-0598c7d356eba48d7</reservationId><ownerId>123456789012</ownerId><groupSet/>
         <instancesSet>{instance}</instancesSet>"
    )
}

/// An instance with the tags of [`attempt`].
fn instance(id: &str, state: &str, reason: &str) -> String {
    let reason = match reason {
        "" => String::new(),
        code => format!("<stateReason><code>{code}</code><message>{code}: why</message></stateReason>"),
    };
    let tags: String = attempt()
        .parameters
        .tags
        .iter()
        .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"))
        .collect();
    format!(
        "<item>
            <instanceId>{id}</instanceId><imageId>ami-1</imageId>
            <instanceState><code>0</code><name>{state}</name></instanceState>
            <privateDnsName>ip-10-0-0-12.us-west-2.compute.internal</privateDnsName><dnsName/><reason/>
            <amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>t3.large</instanceType>
            <launchTime>2026-11-22T09:55:01.000Z</launchTime>
            <placement><availabilityZone>us-west-2a</availabilityZone><groupName/><tenancy>default</tenancy></placement>
            <monitoring><state>disabled</state></monitoring>
            <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><privateIpAddress>10.0.0.12</privateIpAddress>
            {reason}
            <architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><blockDeviceMapping/>
            <clientToken>5c8b2a52-0c6e-4a53-9b0e-7e3a1c0f4d11</clientToken>
            <tagSet>{tags}</tagSet>
        </item>"
    )
}

fn describe_subnets(subnets: &[(&str, &str, i32)], next_token: &str) -> String {
    let item = |(id, zone, free): &(&str, &str, i32)| {
        format!(
            "<item><subnetId>{id}</subnetId><state>available</state><vpcId>vpc-1</vpcId>
             <cidrBlock>172.31.0.0/20</cidrBlock><availableIpAddressCount>{free}</availableIpAddressCount>
             <availabilityZone>{zone}</availabilityZone><availabilityZoneId>usw2-az1</availabilityZoneId>
             <defaultForAz>true</defaultForAz><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch><tagSet/></item>"
        )
    };
    let items: String = subnets.iter().map(item).collect();
    answer("DescribeSubnets", &format!("<subnetSet>{items}</subnetSet>{}", next(next_token)))
}

fn describe_vpcs(vpc: &str, next_token: &str) -> String {
    let item = match vpc {
        "" => String::new(),
        id => format!(
            "<item><vpcId>{id}</vpcId><state>available</state><cidrBlock>172.31.0.0/16</cidrBlock>
             <isDefault>true</isDefault></item>"
        ),
    };
    answer("DescribeVpcs", &format!("<vpcSet>{item}</vpcSet>{}", next(next_token)))
}

fn describe_images(image: &str, root_device: &str, next_token: &str) -> String {
    let device = match root_device {
        "" => String::new(),
        name => format!("<rootDeviceName>{name}</rootDeviceName>"),
    };
    let item = match image {
        "" => String::new(),
        id => format!("<item><imageId>{id}</imageId><imageState>available</imageState>{device}</item>"),
    };
    answer("DescribeImages", &format!("<imagesSet>{item}</imagesSet>{}", next(next_token)))
}

fn next(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("<nextToken>{token}</nextToken>") }
}

fn done(action: &str) -> Answer {
    Answer::Reply(200, answer(action, "<return>true</return>"))
}

fn answer(action: &str, content: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{REQUEST_ID}</requestId>{content}</{action}Response>"#
    )
}

// The machines of ours, and the mark of an orphan.

#[tokio::test]
async fn the_machines_of_ours_are_listed_by_their_tag_a_thousand_a_page() {
    let page = |id: &str, next: &str| {
        Answer::Reply(
            200,
            describe_instances(&instance(id, "terminated", "Server.SpotInstanceTermination"), next),
        )
    };
    let wire = Wire::answering("DescribeInstances", [page("i-1", "page-2"), page("i-2", "")]).await;
    let seen = ec2(&wire).list("Elephant").await.expect("two machines");
    let told: Vec<(&str, State, Option<&str>, Option<MeetingId>)> = seen
        .iter()
        .map(|s| (s.instance_id().as_str(), s.machine.state, s.machine.state_reason.as_deref(), s.meeting()))
        .collect();
    let reason = Some("Server.SpotInstanceTermination");
    let m = Some(meeting("class 4/b"));
    assert_eq!(told, [("i-1", State::Terminated, reason, m.clone()), ("i-2", State::Terminated, reason, m)]);
    let addresses = Addresses {
        private_ip: Some("10.0.0.12".into()),
        public_ip: None,
        dns_name: Some("ip-10-0-0-12.us-west-2.compute.internal".into()),
    };
    assert_eq!(seen[0].addresses, addresses, "without a public name the private one");
    assert_eq!(seen[0].launched_at.to_string(), "2026-11-22T09:55:01Z");
    assert_eq!(seen[0].token, Some(Token::from("5c8b2a52-0c6e-4a53-9b0e-7e3a1c0f4d11")));
    let requests = wire.requests("DescribeInstances");
    let filter = "Action=DescribeInstances
        Version=2016-11-15
        Filter.1.Name=tag:Project
        Filter.1.Value.1=Elephant
        MaxResults=1000";
    assert_eq!(form(&requests[0]), fields(filter));
    assert_eq!(form(&requests[1]), fields(&format!("{filter}\nNextToken=page-2")));
}

#[tokio::test]
async fn machines_are_looked_at_by_their_ids_and_may_not_be_there() {
    let id = |id: &str| InstanceId::from(id);
    let unknown = |names: &str| {
        refused(400, "InvalidInstanceID.NotFound", &format!("The instance IDs '{names}' do not exist"))
    };
    let shown = |of: &str| Answer::Reply(200, describe_instances(of, ""));
    // EC2 refuses the whole request for the ids that it does not know, and names them.
    let wire =
        Wire::answering("DescribeInstances", [unknown("i-2, i-30"), shown(&instance("i-3", "running", ""))])
            .await;
    let looked = ec2(&wire).look(&[id("i-2"), id("i-3"), id("i-30")]).await.expect("an answer");
    assert_eq!(
        looked.seen.iter().map(|s| (s.instance_id().clone(), s.machine.state)).collect::<Vec<_>>(),
        [(id("i-3"), State::Running)]
    );
    assert_eq!(looked.missing, BTreeSet::from([id("i-2"), id("i-30")]));
    let asked: Vec<BTreeMap<String, String>> = wire.requests("DescribeInstances").iter().map(form).collect();
    assert!(
        asked.iter().all(|form| !form.keys().any(|key| key.starts_with("Filter") || key == "MaxResults")),
        "{asked:#?}"
    );
    assert_eq!((asked[0]["InstanceId.3"].as_str(), asked[1]["InstanceId.1"].as_str()), ("i-30", "i-3"));
    // What an answer leaves out without a word is not there either; nor is what can be no id.
    let wire = Wire::answering("DescribeInstances", [shown("")]).await;
    assert_eq!(
        ec2(&wire).look(&[id("i-1")]).await.map(|looked| looked.missing),
        Ok(BTreeSet::from([id("i-1")]))
    );
    let malformed = refused(400, "InvalidInstanceID.Malformed", r#"Invalid id: "by hand""#);
    let wire = Wire::answering("DescribeInstances", [malformed]).await;
    assert_eq!(ec2(&wire).look(&[id("by hand")]).await.map(|looked| looked.missing.len()), Ok(1));
}

#[tokio::test]
async fn in_a_zones_disruption_the_machines_of_the_others_are_seen() {
    let id = |id: &str| InstanceId::from(id);
    // The SDK repeats what the service could not do: three tries each.
    let fails = || (0..3).map(|_| refused(503, "Unavailable", "The service is unavailable."));
    let shown = |of: &str| Answer::Reply(200, describe_instances(of, ""));
    let wire = Wire::start().await;
    let one = [shown(&instance("i-1", "running", ""))];
    wire.script("DescribeInstances", fails().chain(one).chain(fails()));
    let looked = ec2(&wire).look(&[id("i-1"), id("i-2")]).await.expect("one of them");
    assert_eq!(looked.seen.iter().map(|s| s.instance_id().clone()).collect::<Vec<_>>(), [id("i-1")]);
    assert_eq!(looked.missing, BTreeSet::new(), "what cannot be seen is not missing");
    let wire = Wire::answering("DescribeInstances", fails()).await;
    let error = ec2(&wire).look(&[id("i-2")]).await.expect_err("nothing of it");
    assert_eq!(error.class, Class::Ambiguous);
}

#[tokio::test]
async fn an_orphan_is_marked_by_one_tag_which_is_taken_off_again() {
    let wire = Wire::answering("CreateTags", [done("CreateTags")]).await;
    let since = "2026-11-22T10:00:00.789Z".parse().expect("a time");
    ec2(&wire).mark(&InstanceId::from("i-1"), since).await.expect("it is marked");
    let expected = "Action=CreateTags\nVersion=2016-11-15\nResourceId.1=i-1\nTag.1.Key=elephant:orphan-since
        Tag.1.Value=2026-11-22T10:00:00Z";
    assert_eq!(form(&wire.only_request()), fields(expected));
    let wire = Wire::answering("DeleteTags", [done("DeleteTags")]).await;
    ec2(&wire).unmark(&InstanceId::from("i-1")).await.expect("it is taken off");
    let expected = "Action=DeleteTags\nVersion=2016-11-15\nResourceId.1=i-1\nTag.1.Key=elephant:orphan-since";
    assert_eq!(form(&wire.only_request()), fields(expected));
}

#[tokio::test]
async fn machines_that_fail_either_check_are_listed() {
    let status = |id: &str| {
        let set = match id {
            "" => String::new(),
            id => format!("<item><instanceId>{id}</instanceId></item>"),
        };
        Answer::Reply(
            200,
            answer("DescribeInstanceStatus", &format!("<instanceStatusSet>{set}</instanceStatusSet>")),
        )
    };
    let wire = Wire::answering("DescribeInstanceStatus", [status("i-1"), status("i-2")]).await;
    let impaired = ec2(&wire).list_impaired().await.expect("two");
    assert_eq!(impaired, BTreeSet::from(["i-1", "i-2"].map(InstanceId::from)));
    let checks: Vec<(String, String)> = wire
        .requests("DescribeInstanceStatus")
        .iter()
        .map(form)
        .map(|asked| (asked["Filter.1.Name"].clone(), asked["Filter.1.Value.1"].clone()))
        .collect();
    let impaired = |check: &str| (check.to_owned(), "impaired".to_owned());
    assert_eq!(checks, [impaired("system-status.status"), impaired("instance-status.status")]);
}

#[tokio::test]
async fn the_latest_console_is_read_where_there_is_one_and_else_what_was_kept() {
    let output = |text: &str| {
        let output = BASE64_STANDARD.encode(text);
        let body = format!("<instanceId>i-1</instanceId><output>{output}</output>");
        Answer::Reply(200, answer("GetConsoleOutput", &body))
    };
    let id = InstanceId::from("i-1");
    let wire = Wire::answering("GetConsoleOutput", [output("login:")]).await;
    assert_eq!(ec2(&wire).read_console(&id).await, Ok(Some("login:".into())));
    assert_eq!(form(&wire.only_request())["Latest"], "true");
    let xen = refused(
        400,
        "UnsupportedOperation",
        "This instance type does not support retrieving the latest console logs.",
    );
    let wire = Wire::answering("GetConsoleOutput", [xen, output("kernel")]).await;
    assert_eq!(ec2(&wire).read_console(&id).await, Ok(Some("kernel".into())));
    assert_eq!(form(&wire.requests("GetConsoleOutput")[1])["Latest"], "false");
    let nothing = Answer::Reply(200, answer("GetConsoleOutput", "<instanceId>i-1</instanceId>"));
    let wire = Wire::answering("GetConsoleOutput", [nothing]).await;
    assert_eq!(ec2(&wire).read_console(&id).await, Ok(None));
    let forbidden = refused(403, "UnauthorizedOperation", "You are not authorized.");
    let wire = Wire::answering("GetConsoleOutput", [forbidden]).await;
    let error = ec2(&wire).read_console(&id).await.expect_err("it is not allowed");
    assert_eq!((error.class, error.action), (Class::Unauthorized, "GetConsoleOutput"));
}

#[tokio::test]
async fn what_is_attached_to_nothing_is_listed_marked_and_removed() {
    let tags = |kind: &str| format!("<{kind}><item><key>MeetingID</key><value>m</value></item></{kind}>");
    let volumes = format!("<volumeSet><item><volumeId>vol-1</volumeId>{}</item></volumeSet>", tags("tagSet"));
    let interfaces = format!(
        "<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>{}</item></networkInterfaceSet>",
        tags("tagSet")
    );
    let wire = Wire::start().await;
    wire.script("DescribeVolumes", [Answer::Reply(200, answer("DescribeVolumes", &volumes))]);
    let interfaces = answer("DescribeNetworkInterfaces", &interfaces);
    wire.script("DescribeNetworkInterfaces", [Answer::Reply(200, interfaces)]);
    for action in ["CreateTags", "DeleteVolume", "DeleteNetworkInterface"] {
        wire.script(action, [done(action)]);
    }
    let ec2 = ec2(&wire);
    let found = ec2.list_leftovers("Elephant", false).await.expect("two");
    let told: Vec<(LeftoverKind, &str)> = found.iter().map(|left| (left.kind, left.id.as_str())).collect();
    assert_eq!(told, [(LeftoverKind::Volume, "vol-1"), (LeftoverKind::NetworkInterface, "eni-1")]);
    assert_eq!(found[0].tags["MeetingID"], "m");
    let asked = form(&wire.requests("DescribeVolumes")[0]);
    let filters: Vec<&str> = (1..=3).map(|n| asked[&format!("Filter.{n}.Name")].as_str()).collect();
    assert_eq!(filters, ["tag:Project", "status", "tag-key"]);
    ec2.mark_leftover(&found[0], "2026-11-22T10:00:00Z".parse().expect("a time"))
        .await
        .expect("it is marked");
    let marked = form(&wire.requests("CreateTags")[0]);
    assert_eq!((marked["ResourceId.1"].as_str(), marked["Tag.1.Key"].as_str()), ("vol-1", ORPHAN_TAG));
    for leftover in &found {
        assert_eq!(ec2.remove(leftover).await, Ok(true));
    }
    assert_eq!(form(&wire.requests("DeleteVolume")[0])["VolumeId"], "vol-1");
    // Gone, or in use again, is no error.
    let late = [
        ("DeleteVolume", "InvalidVolume.NotFound", "The volume 'vol-1' does not exist."),
        ("DeleteVolume", "VolumeInUse", "Volume vol-1 is currently attached to i-1"),
        (
            "DeleteNetworkInterface",
            "InvalidNetworkInterfaceID.NotFound",
            "The networkInterface ID 'eni-1' does not exist",
        ),
        ("DeleteNetworkInterface", "InvalidParameterValue", "Network interface 'eni-1' is currently in use."),
    ];
    for (action, code, message) in late {
        let wire = Wire::answering(action, [refused(400, code, message)]).await;
        let leftover =
            found.iter().find(|left| (left.kind == LeftoverKind::Volume) == (action == "DeleteVolume"));
        assert_eq!(self::ec2(&wire).remove(leftover.expect("one of each")).await, Ok(false), "{code}");
    }
    assert_eq!(form(&wire.requests("DeleteNetworkInterface")[0])["NetworkInterfaceId"], "eni-1");
}

#[tokio::test]
async fn a_launch_template_is_pinned_to_the_number_of_its_version() {
    let versions = |inner: &str| {
        let body = format!(
            "<DescribeLaunchTemplateVersionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <launchTemplateVersionSet>{inner}</launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>"
        );
        Answer::Reply(200, body)
    };
    let full = "<item><launchTemplateId>lt-1</launchTemplateId><versionNumber>7</versionNumber><launchTemplateData>\
                <imageId>ami-1</imageId><instanceType>t3.large</instanceType>\
                <securityGroupIdSet><item>sg-1</item></securityGroupIdSet>\
                </launchTemplateData></item>";
    let protected = full.replace(
        "<securityGroupIdSet><item>sg-1</item></securityGroupIdSet>",
        "<disableApiStop>true</disableApiStop><securityGroupSet><item>web</item></securityGroupSet>\
         <metadataOptions><httpEndpoint>disabled</httpEndpoint></metadataOptions>\
         <tagSpecificationSet><item><resourceType>instance</resourceType><tagSet><item><key>Team</key><value>A</value></item>\
         </tagSet></item></tagSpecificationSet>\
         <blockDeviceMappingSet><item><deviceName>/dev/xvda</deviceName></item></blockDeviceMappingSet>",
    );
    let answers = [versions(full), versions(""), versions(&protected)];
    let wire = Wire::answering("DescribeLaunchTemplateVersions", answers).await;
    let wanted = LaunchTemplate::parse("rooms:$Latest").expect("a template");
    let expected = Template {
        pinned: Pinned { launch_template_id: "lt-1".into(), version: "7".into() },
        image: Some("ami-1".into()),
        instance_type: Some("t3.large".into()),
        has_security_groups: true,
        has_network_interfaces: false,
        has_market_options: false,
        has_instance_requirements: false,
        availability_zone: None,
        is_protected: false,
        has_groups_by_name: false,
        has_no_metadata: false,
        tags: vec![],
        devices: vec![],
    };
    assert_eq!(ec2(&wire).find_launch_template(&wanted).await, Ok(expected.clone()));
    let asked = form(&wire.only_request());
    assert_eq!(
        (asked["LaunchTemplateName"].as_str(), asked["LaunchTemplateVersion.1"].as_str()),
        ("rooms", "$Latest")
    );
    let by_id = LaunchTemplate::parse("lt-0abc:9").expect("a template");
    let error = ec2(&wire).find_launch_template(&by_id).await.expect_err("there is no such version");
    assert!(error.message.contains("version 9") && error.advice.contains("LAUNCH_TEMPLATE"), "{error}");
    let protected = Template {
        is_protected: true,
        has_groups_by_name: true,
        has_no_metadata: true,
        tags: vec![("instance".into(), "Team".into())],
        devices: vec!["/dev/xvda".into()],
        ..expected
    };
    assert_eq!(ec2(&wire).find_launch_template(&wanted).await, Ok(protected));
}

fn volume(parameters: &mut Parameters) -> &mut elephant_core::machine::RootVolume {
    parameters.root_volume.as_mut().expect("it has one")
}

// Operating a machine.

fn volumes(ec2: &Ec2) -> &impl Parts<Volume> {
    ec2
}

fn interfaces(ec2: &Ec2) -> &impl Parts<Interface> {
    ec2
}

fn on_volume() -> VolumeAttachment {
    let instance_id = InstanceId::from("i-1");
    VolumeAttachment { instance_id, device: "/dev/sdf".into(), state: "attached".into() }
}

fn on_interface() -> InterfaceAttachment {
    let instance_id = InstanceId::from("i-1");
    let attachment_id = "eni-attach-1".into();
    InterfaceAttachment { attachment_id, instance_id, device_index: 1, state: "attached".into() }
}

fn some_tags() -> BTreeMap<String, String> {
    BTreeMap::from([("Name".to_owned(), "notes".to_owned()), ("Project".to_owned(), "Elephant".to_owned())])
}

#[tokio::test]
async fn an_image_is_asked_for_without_a_reboot_and_with_tags_for_its_snapshots_too() {
    let made = answer("CreateImage", "<imageId>ami-9</imageId>");
    let taken = refused(400, "InvalidAMIName.Duplicate", "AMI name classroom is already in use by AMI ami-8");
    let wire = Wire::answering("CreateImage", [Answer::Reply(200, made), taken]).await;
    let mut image = NewImage {
        instance_id: InstanceId::from("i-1"),
        name: "classroom".into(),
        reboot: false,
        tags: some_tags(),
    };
    assert_eq!(ec2(&wire).create_image(&image).await, Ok(Some("ami-9".into())));
    let asked = form(&wire.requests("CreateImage")[0]);
    assert_eq!(
        (asked["InstanceId"].as_str(), asked["Name"].as_str(), asked["NoReboot"].as_str()),
        ("i-1", "classroom", "true")
    );
    let kinds = [1, 2].map(|n| asked[&format!("TagSpecification.{n}.ResourceType")].as_str());
    assert_eq!(kinds, ["image", "snapshot"]);
    assert_eq!([1, 2].map(|n| asked[&format!("TagSpecification.{n}.Tag.2.Value")].as_str()), ["Elephant"; 2]);
    image.reboot = true;
    assert_eq!(ec2(&wire).create_image(&image).await, Ok(None), "somebody was faster");
    assert_eq!(form(&wire.requests("CreateImage")[1])["NoReboot"], "false");
}

#[tokio::test]
async fn what_is_made_goes_by_its_client_token() {
    let volume = answer("CreateVolume", "<volumeId>vol-1</volumeId><status>creating</status><size>8</size>");
    let interface = "<networkInterface><networkInterfaceId>eni-1</networkInterfaceId><status>pending</status>\
                     <subnetId>subnet-1</subnetId></networkInterface>";
    let interface = answer("CreateNetworkInterface", interface);
    let other = || refused(400, "IdempotentParameterMismatch", "other parameters");
    let wire = Wire::answering("CreateVolume", [Answer::Reply(200, volume), other()]).await;
    wire.script("CreateNetworkInterface", [Answer::Reply(200, interface), other()]);
    let wanted = NewVolume {
        token: Token::from("token-1"),
        availability_zone: "us-west-2a".into(),
        size_gb: 8,
        volume_type: "gp3".into(),
        iops: Some(4000),
        throughput: None,
        encrypted: true,
        tags: some_tags(),
    };
    let Ok(Made::This(made)) = volumes(&ec2(&wire)).create_part(&wanted).await else { panic!("it is made") };
    assert_eq!((made.volume_id.as_str(), made.state.as_str(), made.size_gb), ("vol-1", "creating", 8));
    let asked = form(&wire.requests("CreateVolume")[0]);
    for (field, value) in [
        ("ClientToken", "token-1"),
        ("AvailabilityZone", "us-west-2a"),
        ("Size", "8"),
        ("VolumeType", "gp3"),
        ("Iops", "4000"),
        ("Encrypted", "true"),
        ("TagSpecification.1.ResourceType", "volume"),
    ] {
        assert_eq!(asked[field], value, "{field}");
    }
    assert!(!asked.contains_key("Throughput"), "{asked:?}");
    let empty = Wire::answering("CreateVolume", [Answer::Reply(200, answer("CreateVolume", ""))]).await;
    let error = volumes(&ec2(&empty)).create_part(&wanted).await.expect_err("it says nothing");
    assert_eq!(error.class, Class::Ambiguous, "and is asked for again, by the same token");
    let plain = NewVolume { encrypted: false, ..wanted };
    assert_eq!(volumes(&ec2(&wire)).create_part(&plain).await, Ok(Made::Mismatch));
    assert!(!form(&wire.requests("CreateVolume")[1]).contains_key("Encrypted"), "the account decides");
    let wanted = NewInterface {
        token: Token::from("token-2"),
        subnet_id: "subnet-1".into(),
        security_group_ids: vec!["sg-1".into()],
        tags: some_tags(),
    };
    let made = interfaces(&ec2(&wire)).create_part(&wanted).await;
    assert!(matches!(made, Ok(Made::This(Interface { ref state, .. })) if state == "pending"), "{made:?}");
    let asked = form(&wire.requests("CreateNetworkInterface")[0]);
    assert_eq!((asked["ClientToken"].as_str(), asked["SecurityGroupId.1"].as_str()), ("token-2", "sg-1"));
    assert_eq!(interfaces(&ec2(&wire)).create_part(&wanted).await, Ok(Made::Mismatch));
}

#[tokio::test]
async fn a_place_that_is_taken_is_told_from_something_that_is_attached() {
    let machine = InstanceId::from("i-1");
    let cases = [
        ("VolumeInUse", "vol-1 is already attached to an instance", Some(Attached::InUse)),
        (
            "InvalidParameterValue",
            "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use",
            Some(Attached::PlaceTaken),
        ),
        ("InvalidParameterValue", "Value (x) for parameter device is invalid.", None),
    ];
    for (code, message, expected) in cases {
        let wire = Wire::answering("AttachVolume", [refused(400, code, message)]).await;
        let told = volumes(&ec2(&wire)).attach_part(&"vol-1".into(), &machine, &"/dev/sdf".into()).await;
        match expected {
            Some(expected) => assert_eq!(told, Ok(expected), "{code}"),
            None => assert_eq!(told.expect_err(code).class, Class::Misconfigured),
        }
    }
    for (code, message, expected) in [
        ("InvalidNetworkInterface.InUse", "eni-1 is currently in use.", Some(Attached::InUse)),
        (
            "InvalidParameterValue",
            "Instance 'i-1' already has an interface attached at device index '1'.",
            Some(Attached::PlaceTaken),
        ),
        ("AttachmentLimitExceeded", "Interface count 4 exceeds the limit for t3.large", None),
    ] {
        let wire = Wire::answering("AttachNetworkInterface", [refused(400, code, message)]).await;
        let told = interfaces(&ec2(&wire)).attach_part(&"eni-1".into(), &machine, &1).await;
        match expected {
            Some(expected) => assert_eq!(told, Ok(expected), "{code}"),
            None => assert_eq!(told.expect_err(code).class, Class::Misconfigured),
        }
    }
}

/// What EC2 says where it lags behind the step before, or something may stand in the way: who asks looks, and asks again.
#[tokio::test]
async fn what_ec2_may_be_behind_with_is_told_from_what_is_wrong() {
    let machine = InstanceId::from("i-1");
    macro_rules! behind {
        ($action:literal, $code:literal, $said:literal, |$ec2:ident| $ask:expr) => {{
            let wrong = refused(400, "MissingParameter", "The request must contain the parameter.");
            let wire = Wire::answering($action, [refused(400, $code, $said), wrong]).await;
            let $ec2 = ec2(&wire);
            assert_eq!($ask.await.expect_err($code).class, Class::Propagating, "{}: {}", $action, $code);
            assert_eq!($ask.await.expect_err($code).class, Class::Misconfigured);
        }};
    }
    behind!(
        "DeleteSnapshot",
        "InvalidSnapshot.InUse",
        "The snapshot snap-1 is currently in use by ami-1",
        |ec2| ec2.delete_snapshot("snap-1")
    );
    behind!("DeleteVolume", "VolumeInUse", "Volume vol-1 is currently attached to i-1", |ec2| volumes(&ec2)
        .delete_part(&"vol-1".into()));
    behind!(
        "DeleteNetworkInterface",
        "InvalidParameterValue",
        "Network interface 'eni-1' is currently in use.",
        |ec2| interfaces(&ec2).delete_part(&"eni-1".into())
    );
    behind!("AttachVolume", "IncorrectState", "Instance 'i-1' is not 'running'.", |ec2| volumes(&ec2)
        .attach_part(&"vol-1".into(), &machine, &"/dev/sdf".into()));
    behind!(
        "AttachNetworkInterface",
        "IncorrectState",
        "Instance 'i-1' is not 'running' or 'stopped'.",
        |ec2| interfaces(&ec2).attach_part(&"eni-1".into(), &machine, &1)
    );
    behind!("StopInstances", "IncorrectInstanceState", "it has never reached the 'running' state.", |ec2| {
        ec2.stop(&machine)
    });
    behind!(
        "ModifyInstanceAttribute",
        "InvalidInstanceAttributeValue",
        "No device is currently mapped at /dev/sdf",
        |ec2| volumes(&ec2).delete_with_machine(&"vol-1".into(), &on_volume())
    );
    behind!("DeleteSecurityGroup", "DependencyViolation", "resource sg-1 has a dependent object", |ec2| ec2
        .delete_security_group(&"sg-1".into()));
    behind!(
        "DeleteSubnet",
        "DependencyViolation",
        "The subnet has dependencies and cannot be deleted.",
        |ec2| ec2.delete_subnet(&"subnet-1".into())
    );
    behind!(
        "DetachInternetGateway",
        "DependencyViolation",
        "Network vpc-1 has some mapped public address(es).",
        |ec2| ec2.detach_internet_gateway(&"igw-1".into(), &"vpc-1".into())
    );
}

/// By their ids and not by a filter: in a zone's disruption a list fails. What EC2 does not know is none, and no error.
#[tokio::test]
async fn one_thing_is_asked_for_by_its_id() {
    macro_rules! none {
        ($action:literal, $code:literal, $id:literal, |$ec2:ident| $ask:expr) => {{
            let wire = Wire::answering($action, [refused(400, $code, "it does not exist")]).await;
            let $ec2 = ec2(&wire);
            assert_eq!($ask.await, Ok(None), "{}", $action);
            let asked = form(&wire.only_request());
            assert!(
                asked.values().any(|value| value == $id) && !asked.contains_key("Filter.1.Name"),
                "{asked:?}"
            );
            asked
        }};
    }
    none!("DescribeInstances", "InvalidInstanceID.NotFound", "i-1", |ec2| ec2
        .inspect(&InstanceId::from("i-1")));
    none!("DescribeVolumes", "InvalidVolume.NotFound", "vol-1", |ec2| volumes(&ec2)
        .find_part(&"vol-1".into()));
    none!("DescribeNetworkInterfaces", "InvalidNetworkInterfaceID.NotFound", "eni-1", |ec2| interfaces(&ec2)
        .find_part(&"eni-1".into()));
    none!("DescribeSnapshots", "InvalidSnapshot.NotFound", "snap-1", |ec2| ec2.find_snapshot("snap-1"));
    none!("DescribeSubnets", "InvalidSubnetID.NotFound", "subnet-1", |ec2| ec2.find_zone("subnet-1"));
    let asked = none!("DescribeImages", "InvalidAMIID.NotFound", "ami-1", |ec2| ec2.find_by_id("ami-1"));
    assert_eq!(asked["IncludeDisabled"], "true");
}

#[tokio::test]
async fn an_image_is_seen_with_what_protects_it() {
    let image = |more: &str| {
        let item = format!("<item><imageId>ami-1</imageId><name>n</name>{more}</item>");
        Answer::Reply(200, answer("DescribeImages", &format!("<imagesSet>{item}</imagesSet>")))
    };
    let protection = |word: &str| format!("<deregistrationProtection>{word}</deregistrationProtection>");
    let words = ["enabled-with-cooldown", "enabled-without-cooldown", "disabled"];
    let answers = [&words.map(protection)[..], &[String::new()]].concat();
    let wire = Wire::answering("DescribeImages", answers.iter().map(|more| image(more))).await;
    for expected in [true, true, false, false] {
        let found = ec2(&wire).find_named("n").await.expect("an answer").expect("it is there");
        assert_eq!(found.is_protected, expected);
    }
    let asked = form(&wire.requests("DescribeImages")[0]);
    assert_eq!((asked["IncludeDisabled"].as_str(), asked["MaxResults"].as_str()), ("true", "1000"));
}

/// What is neither ours nor a machine's, whatever kind it is.
#[tokio::test]
async fn what_stands_in_a_vpc_and_is_not_ours_is_named() {
    let ours = "<tagSet><item><key>Name</key><value>classroom</value></item>\
                <item><key>Project</key><value>Elephant</value></item></tagSet>";
    let set = |action: &str, set: &str, items: &str| {
        (action.to_owned(), Answer::Reply(200, answer(action, &format!("<{set}>{items}</{set}>"))))
    };
    let machine =
        "<attachment><attachmentId>eni-attach-1</attachmentId><instanceId>i-1</instanceId></attachment>";
    let interfaces = format!(
        "<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-1</subnetId>{machine}</item>\
         <item><networkInterfaceId>eni-2</networkInterfaceId><subnetId>subnet-1</subnetId><description>ELB a</description></item>\
         <item><networkInterfaceId>eni-3</networkInterfaceId><subnetId>subnet-1</subnetId><interfaceType>lambda</interfaceType></item>"
    );
    let subnet = |id: &str, tags: &str| format!("<item><subnetId>{id}</subnetId>{tags}</item>");
    let main = "<associationSet><item><routeTableAssociationId>rtbassoc-1</routeTableAssociationId><main>true</main></item></associationSet>";
    let routes = "<routeSet><item><gatewayId>local</gatewayId></item><item><gatewayId>igw-1</gatewayId></item>\
                  <item><gatewayId>vpce-1</gatewayId></item>\
                  <item><vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId></item></routeSet>";
    let tables = format!(
        "<item><routeTableId>rtb-1</routeTableId>{main}</item><item><routeTableId>rtb-2</routeTableId>{ours}{routes}</item>\
         <item><routeTableId>rtb-3</routeTableId></item>"
    );
    let group = |id: &str, name: &str, tags: &str| {
        format!("<item><groupId>{id}</groupId><groupName>{name}</groupName>{tags}</item>")
    };
    let groups =
        [group("sg-1", "default", ""), group("sg-2", "classroom", ours), group("sg-3", "theirs", "")]
            .concat();
    let gateway =
        |id: &str, tags: &str| format!("<item><internetGatewayId>{id}</internetGatewayId>{tags}</item>");
    let wire = Wire::start().await;
    for (action, answer) in [
        set("DescribeNetworkInterfaces", "networkInterfaceSet", &interfaces),
        set("DescribeSubnets", "subnetSet", &[subnet("subnet-1", ours), subnet("subnet-2", "")].concat()),
        set("DescribeRouteTables", "routeTableSet", &tables),
        set("DescribeSecurityGroups", "securityGroupInfo", &groups),
        set(
            "DescribeInternetGateways",
            "internetGatewaySet",
            &[gateway("igw-1", ours), gateway("igw-2", "")].concat(),
        ),
    ] {
        wire.script(&action, [answer]);
    }
    let found = ec2(&wire).list_foreign(&"vpc-1".into(), "classroom", "Elephant").await.expect("an answer");
    let expected = [
        "the network interface eni-2 in subnet-1 (ELB a)",
        "the network interface eni-3 in subnet-1 (lambda)",
        "the subnet subnet-2",
        "the way to vpce-1",
        "the way to pcx-1",
        "the route table rtb-3",
        "the security group sg-3",
        "the internet gateway igw-2",
    ];
    assert_eq!(found, expected);
    for (action, filter) in [("DescribeSubnets", "vpc-id"), ("DescribeInternetGateways", "attachment.vpc-id")]
    {
        let asked = form(&wire.requests(action)[0]);
        assert_eq!((asked["Filter.1.Name"].as_str(), asked["MaxResults"].as_str()), (filter, "1000"));
    }
}

/// Each removal: what EC2 says of something that is gone, which is as good, and what it says of everything else, which is not.
#[tokio::test]
async fn what_is_gone_is_as_good_as_removed() {
    macro_rules! removal {
        ($action:literal, $gone:literal, |$ec2:ident| $ask:expr) => {{
            let gone = refused(400, $gone, "it does not exist");
            let forbidden = refused(403, "UnauthorizedOperation", "You are not authorized.");
            let wire = Wire::answering($action, [done($action), gone, forbidden]).await;
            let $ec2 = ec2(&wire);
            assert!($ask.await.is_ok(), "{}", $action);
            assert!($ask.await.is_ok(), "{}: {}", $action, $gone);
            assert_eq!($ask.await.expect_err($action).class, Class::Unauthorized);
        }};
    }
    removal!("DeregisterImage", "InvalidAMIID.Unavailable", |ec2| ec2.deregister("ami-1"));
    removal!("DeleteSnapshot", "InvalidSnapshot.NotFound", |ec2| ec2.delete_snapshot("snap-1"));
    removal!("DetachVolume", "IncorrectState", |ec2| volumes(&ec2)
        .detach_part(&"vol-1".into(), &on_volume()));
    removal!("DeleteVolume", "InvalidVolume.NotFound", |ec2| volumes(&ec2).delete_part(&"vol-1".into()));
    removal!("DetachNetworkInterface", "InvalidAttachmentID.NotFound", |ec2| interfaces(&ec2)
        .detach_part(&"eni-1".into(), &on_interface()));
    removal!("DeleteNetworkInterface", "InvalidNetworkInterfaceID.NotFound", |ec2| interfaces(&ec2)
        .delete_part(&"eni-1".into()));
    removal!("DeleteKeyPair", "InvalidKeyPair.NotFound", |ec2| ec2.delete_key_pair("key-1"));
    removal!("DeleteSubnet", "InvalidSubnetID.NotFound", |ec2| ec2.delete_subnet(&"subnet-1".into()));
    removal!("DeleteSecurityGroup", "InvalidGroup.NotFound", |ec2| ec2.delete_security_group(&"sg-1".into()));
    removal!("DisassociateRouteTable", "InvalidAssociationID.NotFound", |ec2| ec2
        .disassociate_route_table(&"rtbassoc-1".into()));
    removal!("DeleteRouteTable", "InvalidRouteTableID.NotFound", |ec2| ec2
        .delete_route_table(&"rtb-1".into()));
    removal!("DetachInternetGateway", "Gateway.NotAttached", |ec2| ec2
        .detach_internet_gateway(&"igw-1".into(), &"vpc-1".into()));
    removal!("DeleteInternetGateway", "InvalidInternetGatewayID.NotFound", |ec2| ec2
        .delete_internet_gateway(&"igw-1".into()));
    // And what is there already is as good as made.
    removal!("AttachInternetGateway", "Resource.AlreadyAssociated", |ec2| ec2
        .attach_internet_gateway(&"igw-1".into(), &"vpc-1".into()));
    removal!("CreateRoute", "RouteAlreadyExists", |ec2| ec2
        .add_default_route(&"rtb-1".into(), &"igw-1".into()));
    removal!("AssociateRouteTable", "Resource.AlreadyAssociated", |ec2| ec2
        .associate_route_table(&"rtb-1".into(), &"subnet-1".into()));
    let tags = some_tags();
    removal!("CreateSubnet", "InvalidSubnet.Conflict", |ec2| ec2.create_subnet(
        &"vpc-1".into(),
        "10.0.0.0/20",
        "us-west-2a",
        &tags
    ));
    removal!("CreateSecurityGroup", "InvalidGroup.Duplicate", |ec2| ec2.create_security_group(
        &"vpc-1".into(),
        "classroom",
        &tags
    ));
    let in_use =
        refused(400, "DependencyViolation", "The vpc 'vpc-1' has dependencies and cannot be deleted.");
    let gone = refused(400, "InvalidVpcID.NotFound", "it does not exist");
    let wire = Wire::answering("DeleteVpc", [in_use, gone]).await;
    let error =
        ec2(&wire).delete_vpc(&"vpc-1".into()).await.expect_err("something is in it, or was a moment ago");
    assert_eq!(error.class, Class::Propagating);
    assert_eq!(ec2(&wire).delete_vpc(&"vpc-1".into()).await, Ok(()));
}

#[tokio::test]
async fn what_was_made_under_a_name_is_asked_for_by_that_name_to_the_letter() {
    let attached = "<attachmentSet><item><volumeId>vol-1</volumeId><instanceId>i-1</instanceId><device>/dev/sdf</device>\
                    <status>attached</status></item></attachmentSet>";
    let item =
        format!("<item><volumeId>vol-1</volumeId><size>8</size><status>in-use</status>{attached}</item>");
    let listed = answer("DescribeVolumes", &format!("<volumeSet>{item}</volumeSet>"));
    let wire = Wire::answering("DescribeVolumes", [Answer::Reply(200, listed)]).await;
    let found = volumes(&ec2(&wire)).find_parts(&InstanceId::from("i-1"), r"a*b?c\d").await.expect("one");
    assert_eq!(
        found[0].attachment.as_ref().map(|a| (a.device.as_str(), a.state.as_str())),
        Some(("/dev/sdf", "attached"))
    );
    let asked = form(&wire.only_request());
    assert_eq!(
        (asked["Filter.1.Name"].as_str(), asked["Filter.1.Value.1"].as_str()),
        ("tag:elephant:instance-id", "i-1")
    );
    assert_eq!(
        (asked["Filter.2.Name"].as_str(), asked["Filter.2.Value.1"].as_str()),
        ("tag:elephant:name", r"a\*b\?c\\d")
    );
}

#[tokio::test]
async fn a_machine_is_seen_with_all_that_it_has() {
    let more = "<rootDeviceType>instance-store</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>\
                <instanceLifecycle>spot</instanceLifecycle>\
                <groupSet><item><groupId>sg-1</groupId><groupName>x</groupName></item></groupSet>\
                <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item></blockDeviceMapping>\
                <networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
                <attachment><attachmentId>eni-attach-1</attachmentId><deviceIndex>0</deviceIndex></attachment></item></networkInterfaceSet>";
    let machine = instance("i-1", "running", "")
        .replace("<rootDeviceType>ebs</rootDeviceType><blockDeviceMapping/>", more);
    let wire =
        Wire::answering("DescribeInstances", [Answer::Reply(200, describe_instances(&machine, ""))]).await;
    let found = ec2(&wire).inspect(&InstanceId::from("i-1")).await.expect("it is shown").expect("one");
    assert!(found.has_instance_store_root && found.is_spot, "{found:?}");
    assert_eq!(found.root_device.as_deref(), Some("/dev/xvda"));
    assert_eq!(found.volumes, [("/dev/xvda".to_owned(), "vol-1".into())]);
    assert_eq!(found.interfaces, [(0, "eni-1".into())]);
    assert_eq!(
        (found.security_group_ids, found.availability_zone.as_str()),
        (vec!["sg-1".to_owned()], "us-west-2a")
    );
    let none = Wire::answering("DescribeInstances", [Answer::Reply(200, describe_instances("", ""))]).await;
    assert_eq!(ec2(&none).inspect(&InstanceId::from("i-2")).await, Ok(None));
}

#[tokio::test]
async fn a_new_key_pair_comes_with_its_private_key_which_no_debug_output_shows() {
    let made = answer(
        "CreateKeyPair",
        "<keyName>k</keyName><keyPairId>key-1</keyPairId><keyFingerprint>f</keyFingerprint><keyMaterial>SECRET</keyMaterial>",
    );
    let taken = refused(400, "InvalidKeyPair.Duplicate", "The keypair already exists");
    let wire = Wire::answering("CreateKeyPair", [Answer::Reply(200, made), taken]).await;
    let (pair, private) =
        ec2(&wire).create_key_pair("k", KeyType::Rsa, &some_tags()).await.expect("made").expect("new");
    assert_eq!((pair.key_pair_id.as_str(), private.0.as_str()), ("key-1", "SECRET"));
    assert!(!format!("{pair:?} {private:?}").contains("SECRET"));
    assert_eq!(form(&wire.requests("CreateKeyPair")[0])["KeyType"], "rsa");
    assert!(matches!(ec2(&wire).create_key_pair("k", KeyType::Rsa, &some_tags()).await, Ok(None)));
}

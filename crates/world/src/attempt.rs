//! Sample attempts, for every test that reads, writes or sends one.

use elephant_core::launch_template::Pinned;
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceProfile, Market, Parameters, RootVolume, Token, tags,
};
use elephant_core::meeting::{MeetingId, Role};

/// An attempt without optional parameters.
pub fn plain_attempt(meeting: &MeetingId, role: Role, token: &str) -> Attempt {
    Attempt {
        number: 1,
        token: Token::from(token),
        refused: false,
        ending: false,
        parameters: Parameters {
            launch_template: None,
            image_id: "ami-1".into(),
            instance_type: "t3.large".into(),
            subnet_id: "subnet-1".into(),
            availability_zone: "us-west-2a".into(),
            security_group_ids: vec!["sg-1".into(), "sg-2".into()],
            key_name: None,
            iam_profile: None,
            root_volume: Some(RootVolume {
                device_name: "/dev/xvda".into(),
                size_gb: 60,
                volume_type: "gp3".into(),
                encrypted: true,
                iops: None,
                throughput: None,
                kms_key_id: None,
            }),
            imds_tokens: None,
            public_ip: None,
            market: Market::OnDemand,
            user_data: None,
            tags: tags(meeting, role, "Elephant"),
        },
    }
}

/// An attempt with every parameter, values that are hard to write, and a number of more than one digit.
pub fn full_attempt(meeting: &MeetingId, role: Role, token: &str) -> Attempt {
    let plain = plain_attempt(meeting, role, token);
    Attempt {
        number: 12,
        parameters: Parameters {
            launch_template: Some(Pinned { launch_template_id: "lt-0abc".into(), version: "7".into() }),
            security_group_ids: vec!["sg-2".into(), "sg-1".into()],
            key_name: Some("our key (2026)".into()),
            iam_profile: Some(InstanceProfile::Arn("arn:aws:iam::123456789012:instance-profile/a".into())),
            root_volume: Some(RootVolume {
                encrypted: false,
                iops: Some(4000),
                throughput: Some(250),
                kms_key_id: Some("alias/meetings".into()),
                ..plain.parameters.root_volume.expect("it has one")
            }),
            imds_tokens: Some(ImdsTokens::Required),
            public_ip: Some(false),
            market: Market::Spot,
            user_data: Some("I2Nsb3VkLWNvbmZpZwo=".into()),
            tags: tags(meeting, role, ""),
            ..plain.parameters
        },
        ..plain
    }
}

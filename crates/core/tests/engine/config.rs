//! The environment: what each variable means, what is forgiven, and how every problem is named at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elephant_core::companion::Pattern;
use elephant_core::config::{
    Config, EndConfig, OperateConfig, Problems, ReconcileConfig, ScheduleConfig, StatusConfig, Volume,
};
use elephant_core::error::{Error, Kind};
use elephant_core::fleet::{self, Limits};
use elephant_core::hardware;
use elephant_core::image::{Architecture, Source};
use elephant_core::launch_schedule::Target;
use elephant_core::launch_template::{LaunchTemplate, Named};
use elephant_core::machine::{IDENTITY_TAGS, ImdsTokens, InstanceProfile, Market};
use elephant_core::network::{Network, Pair};
use elephant_core::settings::{self, Function, names};
use elephant_core::timing::Window;
use elephant_core::user_data::UserData;

const REQUIRED: [(&str, &str); 3] =
    [("AMI_ID", "ami-1"), ("INSTANCE_TYPE", "t3.large"), ("SECURITY_GROUP_IDS", "sg-1")];
const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SSM"];

#[test]
fn the_three_required_variables_are_enough() {
    assert_eq!(with(&[]), Ok(defaults()));
}

#[test]
fn each_variable_changes_what_it_names_and_nothing_else() {
    for (name, value, change) in MEANINGS {
        let mut expected = defaults();
        change(&mut expected);
        assert_eq!(with(&[(name, value)]), Ok(expected), "{name}={value:?}");
    }
}

type Meaning = (&'static str, &'static str, fn(&mut Config));

const MEANINGS: &[Meaning] = &[
    ("SETTINGS", "PAIR=same-az;PUBLIC_IP=true", |c| (c.pair, c.public_ip) = (Pair::SameAz, Some(true))),
    ("AMI_ID", "ami-0abc12", |c| c.image = Source::Id("ami-0abc12".into())),
    ("AMI_ID", "resolve:ssm:/our/image", |c| c.image = Source::Parameter("/our/image".into())),
    ("AMI_ID", "resolve:ssm:/our/image:7", |c| c.image = Source::Parameter("/our/image:7".into())),
    ("AMI_ID", "al2023", |c| {
        let name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";
        c.image = Source::Parameter(name.into());
    }),
    ("INSTANCE_TYPE", "u-6tb1.metal", |c| c.instance_types = strings(&["u-6tb1.metal"])),
    ("INSTANCE_TYPE", "m7i-flex.large,t3.large", |c| {
        c.instance_types = strings(&["m7i-flex.large", "t3.large"]);
    }),
    ("SECURITY_GROUP_IDS", "sg-2,sg-1", |c| c.security_group_ids = strings(&["sg-2", "sg-1"])),
    ("KEY_NAME", "our key (2026)", |c| c.key_name = Some("our key (2026)".into())),
    ("IAM_PROFILE", "meeting.machine@eu", |c| {
        c.iam_profile = Some(InstanceProfile::Name("meeting.machine@eu".into()));
    }),
    ("IAM_PROFILE", "arn:aws:iam::123456789012:instance-profile/a/b", |c| {
        c.iam_profile = Some(InstanceProfile::Arn("arn:aws:iam::123456789012:instance-profile/a/b".into()));
    }),
    ("TABLE_NAME", "Meetings_2.test-1", |c| c.table_name = "Meetings_2.test-1".into()),
    ("SUPPORTED_AZS", "us-west-2-lax-1a,us-west-2d", |c| {
        c.supported_azs = Some(strings(&["us-west-2-lax-1a", "us-west-2d"]));
    }),
    ("SUBNET_IDS", "subnet-b,subnet-a", |c| c.network = Network::Subnets(strings(&["subnet-b", "subnet-a"]))),
    ("VPC_ID", "vpc-0abc", |c| c.network = Network::Vpc("vpc-0abc".into())),
    ("VPC_NAME", "meetings (eu)", |c| c.network = Network::VpcNamed("meetings (eu)".into())),
    ("PUBLIC_IP", "subnet", |_| ()),
    ("PUBLIC_IP", "true", |c| c.public_ip = Some(true)),
    ("PUBLIC_IP", "false", |c| c.public_ip = Some(false)),
    ("MARKET", "on-demand", |_| ()),
    ("MARKET", "spot", |c| c.markets = vec![Market::Spot]),
    ("MARKET", "spot-then-on-demand", |c| c.markets = vec![Market::Spot, Market::OnDemand]),
    ("LAUNCH_TEMPLATE", "lt-0abc12", |c| {
        c.launch_template = template(Named::Id("lt-0abc12".into()), "$Default")
    }),
    ("LAUNCH_TEMPLATE", "lt-web", |c| c.launch_template = template(Named::Name("lt-web".into()), "$Default")),
    ("LAUNCH_TEMPLATE", "rooms/2026:7", |c| {
        c.launch_template = template(Named::Name("rooms/2026".into()), "7")
    }),
    ("LAUNCH_TEMPLATE", "rooms:$Latest", |c| {
        c.launch_template = template(Named::Name("rooms".into()), "$Latest")
    }),
    ("PAIR", "any", |_| ()),
    ("PAIR", "same-az", |c| c.pair = Pair::SameAz),
    ("VOLUME_DEVICE", "/dev/sda1", |c| c.volume.device = Some("/dev/sda1".into())),
    ("VOLUME_DEVICE", "xvda", |c| c.volume.device = Some("xvda".into())),
    ("VOLUME_SIZE_GB", "1", |c| c.volume.size_gb = 1),
    ("VOLUME_SIZE_GB", "65536", |c| c.volume.size_gb = 65_536),
    ("VOLUME_TYPE", "gp2", |c| c.volume.volume_type = "gp2".into()),
    ("VOLUME_IOPS", "3000", |c| c.volume.iops = Some(3000)),
    ("VOLUME_IOPS", "30000", |c| c.volume.iops = Some(30_000)),
    ("VOLUME_THROUGHPUT", "125", |c| c.volume.throughput = Some(125)),
    ("VOLUME_THROUGHPUT", "750", |c| c.volume.throughput = Some(750)),
    ("VOLUME_KMS_KEY_ID", "alias/meetings", |c| c.volume.kms_key_id = Some("alias/meetings".into())),
    ("VOLUME_KMS_KEY_ID", "1234abcd-12ab-34cd-56ef-1234567890ab", |c| {
        c.volume.kms_key_id = Some("1234abcd-12ab-34cd-56ef-1234567890ab".into());
    }),
    ("VOLUME_KMS_KEY_ID", "arn:aws:kms:us-west-2:123456789012:key/1234abcd", |c| {
        c.volume.kms_key_id = Some("arn:aws:kms:us-west-2:123456789012:key/1234abcd".into());
    }),
    ("VOLUME_ENCRYPTED", "true", |_| ()),
    ("VOLUME_ENCRYPTED", "false", |c| c.volume.encrypted = false),
    ("IMDS_TOKENS", "image", |_| ()),
    ("IMDS_TOKENS", "required", |c| c.imds_tokens = Some(ImdsTokens::Required)),
    ("IMDS_TOKENS", "optional", |c| c.imds_tokens = Some(ImdsTokens::Optional)),
    ("USER_DATA", "#!/bin/sh\necho @elephant:role@", |c| {
        c.user_data = Some(UserData::Text("#!/bin/sh\necho @elephant:role@".into()));
    }),
    ("USER_DATA", "I2Nsb3VkLWNvbmZpZwo=", |c| c.user_data = Some(UserData::Text("#cloud-config\n".into()))),
    ("USER_DATA", "H4sIAAAA\n/w==", |c| {
        c.user_data = Some(UserData::Binary(vec![0x1f, 0x8b, 8, 0, 0, 0, 0xff]));
    }),
    ("EXTRA_TAGS", "Team=A team, CostCentre=4711,Empty=,Sum=1+1=2", |c| {
        let tags = [("Team", "A team"), ("CostCentre", "4711"), ("Empty", ""), ("Sum", "1+1=2")];
        c.extra_tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    }),
    ("PROJECT_TAG", "Elephant (staging) 🐘", |c| c.project_tag = "Elephant (staging) 🐘".into()),
    ("LAUNCH_WINDOW_MINUTES", "0", |c| c.window.latest = Duration::ZERO),
    ("EARLIEST_MINUTES", "1", |c| c.window.earliest = Duration::from_secs(60)),
    ("EARLIEST_MINUTES", "10080", |c| c.window.earliest = Duration::from_secs(7 * 24 * 3600)),
    ("LAUNCH_WINDOW_MINUTES", "10080", |c| c.window.latest = Duration::from_secs(7 * 24 * 3600)),
];

/// What names the image, and which it is.
fn images() -> [(&'static [(&'static str, &'static str)], Source); 11] {
    let parameter = |name: &str| Source::Parameter(name.to_owned());
    let named = |pattern: &str, owner: &str, architecture| Source::Named {
        pattern: pattern.to_owned(),
        owner: owner.to_owned(),
        architecture,
    };
    let (x86, arm) = (Some(Architecture::X86_64), Some(Architecture::Arm64));
    [
        (&[("AMI_NAME", "our-*"), ("AMI_OWNER", "self")], named("our-*", "self", None)),
        (
            &[("AMI_NAME", "our-?"), ("AMI_OWNER", "123456789012"), ("AMI_ARCH", "arm64")],
            named("our-?", "123456789012", arm),
        ),
        (
            &[("AMI_ID", "al2023"), ("AMI_ARCH", "arm64")],
            parameter("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"),
        ),
        (
            &[("AMI_ID", "ubuntu:24.04")],
            parameter("/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"),
        ),
        (
            &[("AMI_ID", "ubuntu:22.04"), ("AMI_ARCH", "arm64")],
            parameter("/aws/service/canonical/ubuntu/server/22.04/stable/current/arm64/hvm/ebs-gp2/ami-id"),
        ),
        (
            &[("AMI_ID", "ubuntu:daily:24.04")],
            named("ubuntu/images-testing/hvm-ssd-gp3/ubuntu-noble-daily-amd64-server-*", "099720109477", x86),
        ),
        (
            &[("AMI_ID", "ubuntu:daily:22.04"), ("AMI_ARCH", "arm64")],
            named("ubuntu/images-testing/hvm-ssd/ubuntu-jammy-daily-arm64-server-*", "099720109477", arm),
        ),
        (&[("AMI_ID", "debian:12")], parameter("/aws/service/debian/release/12/latest/amd64")),
        (
            &[("AMI_ID", "debian:13"), ("AMI_ARCH", "arm64")],
            parameter("/aws/service/debian/release/13/latest/arm64"),
        ),
        (
            &[("AMI_ID", "windows:2022")],
            parameter("/aws/service/ami-windows-latest/Windows_Server-2022-English-Full-Base"),
        ),
        (&[("AMI_ID", "resolve:ssm:/our/image:golden")], parameter("/our/image:golden")),
    ]
}

fn without_image_but(variables: &[(&str, &str)]) -> Result<Config, Problems> {
    read(&[variables, &REQUIRED[1..]].concat())
}

#[test]
fn an_image_is_an_id_a_parameter_a_short_name_or_the_newest_of_a_name() {
    for (variables, expected) in images() {
        assert_eq!(
            without_image_but(variables),
            Ok(Config { image: expected, ..defaults() }),
            "{variables:?}"
        );
    }
}

/// What names no image, or two, and the one problem that is said.
const NO_IMAGE: &[(&[(&str, &str)], &str)] = &[
    (&[], "AMI_ID is not set, expected an image id, ami-…, or AMI_NAME and AMI_OWNER"),
    (
        &[("AMI_ID", "ami-1"), ("AMI_NAME", "our-*"), ("AMI_OWNER", "self")],
        "AMI_ID and AMI_NAME are set, and each names the image: unset one",
    ),
    (&[("AMI_ID", "ami-1"), ("AMI_OWNER", "self")], "AMI_OWNER is set without AMI_NAME: unset AMI_OWNER"),
    (&[("AMI_OWNER", "self")], "AMI_OWNER is set without AMI_NAME: set AMI_NAME, or AMI_ID alone"),
    (
        &[("AMI_NAME", "our-*")],
        "AMI_NAME is set without AMI_OWNER, and anybody may call an image so: set AMI_OWNER to whose it is",
    ),
    (
        &[("AMI_ID", "ami-1"), ("AMI_ARCH", "arm64")],
        "AMI_ARCH is set, and AMI_ID names one image: unset AMI_ARCH",
    ),
    (
        &[("AMI_ID", "windows:2022"), ("AMI_ARCH", "arm64")],
        "AMI_ID is \"windows:2022\", expected an image id, ami-…, resolve:ssm:/path, or a name such as al2023, \
         ubuntu:24.04 (or ubuntu:daily:24.04), debian:12, windows:2022",
    ),
    (
        &[("AMI_NAME", "x"), ("AMI_OWNER", "self")],
        "AMI_NAME is \"x\", expected an image's name, with * and ? for what may vary",
    ),
    (
        &[("AMI_NAME", "our-*"), ("AMI_OWNER", "canonical")],
        "AMI_OWNER is \"canonical\", expected an account's id, amazon, aws-marketplace or self",
    ),
    (&[("AMI_ID", "al2023"), ("AMI_ARCH", "amd64")], "AMI_ARCH is \"amd64\", expected x86_64 or arm64"),
];

#[test]
fn an_image_that_is_not_one_is_one_problem() {
    for (variables, expected) in NO_IMAGE {
        assert_eq!(
            without_image_but(variables),
            Err(Problems(vec![(*expected).to_owned()])),
            "{variables:?}"
        );
    }
}

/// Settings that are each well-formed and cannot be meant together: the one problem that is said.
const TOGETHER: &[(&[(&str, &str)], &str)] = &[
    (
        &[("SUBNET_IDS", "subnet-1"), ("VPC_NAME", "meetings")],
        "SUBNET_IDS and VPC_NAME are set, and each names the network: keep one",
    ),
    (
        &[("VPC_ID", "vpc-1"), ("VPC_NAME", "meetings")],
        "VPC_ID and VPC_NAME are set, and each names the network: keep one",
    ),
    (
        &[("VOLUME_TYPE", "gp2"), ("VOLUME_SIZE_GB", "16385")],
        "VOLUME_SIZE_GB is 16385, expected at most 16384, the largest of VOLUME_TYPE gp2: lower it, or set that to gp3",
    ),
    (
        &[("VOLUME_TYPE", "standard"), ("VOLUME_SIZE_GB", "1025")],
        "VOLUME_SIZE_GB is 1025, expected at most 1024, the largest of VOLUME_TYPE standard: lower it, or set that to gp3",
    ),
    (
        &[("VOLUME_SIZE_GB", "100"), ("VOLUME_IOPS", "50001")],
        "VOLUME_IOPS is 50001, and 100 GiB allow at most 50000: raise VOLUME_SIZE_GB to 101 or lower it",
    ),
    (
        &[("LAUNCH_TEMPLATE", "rooms"), ("AMI_ID", ""), ("AMI_ARCH", "arm64")],
        "AMI_ARCH is set, and the launch template names one image: unset AMI_ARCH",
    ),
    (
        &[("VOLUME_TYPE", "gp2"), ("VOLUME_IOPS", "4000")],
        "VOLUME_IOPS is set, and only VOLUME_TYPE gp3 has it; it is gp2: unset one",
    ),
    (
        &[("VOLUME_TYPE", "standard"), ("VOLUME_THROUGHPUT", "200")],
        "VOLUME_THROUGHPUT is set, and only VOLUME_TYPE gp3 has it; it is standard: unset one",
    ),
    (
        &[("VOLUME_THROUGHPUT", "1000")],
        "VOLUME_THROUGHPUT is 1000, and 3000 IOPS allow at most 750: raise VOLUME_IOPS to 4000 or lower it",
    ),
    (
        &[("VOLUME_ENCRYPTED", "false"), ("VOLUME_KMS_KEY_ID", "alias/meetings")],
        "VOLUME_KMS_KEY_ID is set, and VOLUME_ENCRYPTED is false: unset one of the two",
    ),
];

#[test]
fn settings_that_cannot_be_meant_together_are_one_problem() {
    for (variables, expected) in TOGETHER {
        assert_eq!(with(variables), Err(Problems(vec![(*expected).to_owned()])), "{variables:?}");
    }
    let fast =
        with(&[("VOLUME_IOPS", "4000"), ("VOLUME_THROUGHPUT", "1000")]).expect("it is what gp3 allows");
    assert_eq!((fast.volume.iops, fast.volume.throughput), (Some(4000), Some(1000)));
}

/// Variables and their values.
type Block = Vec<(String, String)>;

/// `events/launch.env`: what is needed, and then each block that is commented out.
fn sample() -> (Block, Vec<Block>) {
    let text = include_str!("../../../../events/launch.env");
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_name.then(|| (name.to_owned(), value.to_owned()))
    };
    let needed = text.lines().filter_map(pair).collect();
    let block = |block: &str| block.lines().filter_map(|line| pair(line.strip_prefix("# ")?)).collect();
    let blocks: Vec<Block> = text.split("\n\n").map(block).collect();
    (needed, blocks.into_iter().filter(|block| !block.is_empty()).collect())
}

#[test]
fn the_sample_of_an_environment_shows_every_variable_and_every_block_of_it_will_do() {
    let (needed, blocks) = sample();
    let config = |block: &[(String, String)]| {
        let named = block.iter().any(|(name, _)| name == "AMI_NAME");
        Config::from_variables(|name| {
            let known = block.iter().chain(&needed).find(|(known, _)| known == name);
            known.filter(|(name, _)| !(named && name == "AMI_ID")).map(|(_, value)| value.clone())
        })
    };
    config(&[]).expect("what is needed");
    for block in &blocks {
        config(block).unwrap_or_else(|problems| panic!("{block:?}: {problems}"));
    }
    let shown: BTreeSet<&str> =
        needed.iter().chain(blocks.iter().flatten()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(shown, names(Function::Launch).into_iter().collect());
}

#[test]
fn tags_of_ones_own_leave_room_for_ours() {
    let tags = |count: usize| (0..count).map(|n| format!("t{n}=v")).collect::<Vec<_>>().join(",");
    assert_eq!(with(&[("EXTRA_TAGS", &tags(40))]).expect("there is room").extra_tags.len(), 40);
    assert!(with(&[("EXTRA_TAGS", &tags(41))]).is_err());
    // What the verbs write on a machine later has room beside them, and is told by its beginning.
    let marks = [fleet::KEEP_TAG, fleet::ORPHAN_TAG, hardware::REBOOT_TAG];
    assert!(40 + IDENTITY_TAGS.len() + marks.len() <= 50);
    for mark in marks {
        assert!(with(&[("EXTRA_TAGS", &format!("{mark}=x"))]).is_err(), "{mark}");
    }
    let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
    assert!(with(&[("EXTRA_TAGS", &long(128, 256))]).is_ok());
    assert!(with(&[("EXTRA_TAGS", &long(129, 1))]).is_err());
    assert!(with(&[("EXTRA_TAGS", &long(1, 257))]).is_err());
}

/// EC2 takes a key of another Region, and the machine dies while pending.
#[test]
fn a_key_for_volumes_is_of_the_region_where_the_function_is() {
    let key = ("VOLUME_KMS_KEY_ID", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd");
    for region in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let Err(Problems(problems)) = with(&[key, (region, "us-west-2")]) else {
            panic!("{region}: it is of another Region")
        };
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("VOLUME_KMS_KEY_ID is a key of eu-central-1"), "{problems:?}");
        assert!(problems[0].contains("us-west-2"), "{problems:?}");
        with(&[key, (region, "eu-central-1")]).expect("it is of this Region");
        with(&[("VOLUME_KMS_KEY_ID", "alias/meetings"), (region, "us-west-2")]).expect("it names no Region");
    }
    with(&[key]).expect("no Region is said here");
    with(&[key, ("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "us-west-2")])
        .expect("Lambda's counts");
}

#[test]
fn every_variable_has_a_meaning_in_the_table_above() {
    let images = images();
    let of_images = images.iter().flat_map(|(variables, _)| variables.iter().map(|(name, _)| *name));
    let told: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).chain(of_images).collect();
    let launch = names(Function::Launch);
    let untold: Vec<&&str> = launch.iter().filter(|name| !told.contains(name)).collect();
    assert!(untold.is_empty(), "no test says what {untold:?} mean");
}

#[test]
fn a_value_that_cannot_be_meant_is_named_and_shown() {
    for (name, value) in NONSENSE {
        let Err(Problems(problems)) = with(&[(name, value)]) else { panic!("{name}={value:?} was accepted") };
        let said = format!("{name} is {value:?}, expected ");
        assert!(
            problems.len() == 1 && problems[0].starts_with(&said) && problems[0].len() > said.len(),
            "{name}={value:?} should be one problem that starts with {said:?}, got {problems:#?}"
        );
    }
}

const NONSENSE: &[(&str, &str)] = &[
    ("AMI_ID", "ami"),
    ("AMI_ID", "ami-"),
    ("AMI_ID", "ami-1,ami-2"),
    ("AMI_ID", "AMI-1"),
    ("AMI_ID", "ubuntu"),
    ("AMI_ID", "ubuntu:23.10"),
    ("AMI_ID", "ubuntu:nightly:24.04"),
    ("AMI_ID", "fedora:40"),
    ("AMI_ID", "resolve:ssm:"),
    ("AMI_ID", "resolve:ssm:/our image"),
    ("AMI_ID", "resolve:ssm:/our/image:"),
    ("AMI_ID", "ami-ABC"),
    ("INSTANCE_TYPE", "t3"),
    ("INSTANCE_TYPE", "t3."),
    ("INSTANCE_TYPE", ".large"),
    ("INSTANCE_TYPE", "t3.large m5.large"),
    ("INSTANCE_TYPE", ","),
    ("SECURITY_GROUP_IDS", "default"),
    ("SECURITY_GROUP_IDS", "sg-1,default"),
    ("SECURITY_GROUP_IDS", ", ,"),
    ("IAM_PROFILE", "a/path"),
    ("IAM_PROFILE", "arn:aws:iam::123456789012:role/machine"),
    ("TABLE_NAME", "ab"),
    ("TABLE_NAME", "our meetings"),
    ("SUPPORTED_AZS", "US-WEST-2A"),
    ("SUPPORTED_AZS", "us-west-2a us-west-2b"),
    ("SUBNET_IDS", "subnet-1,vpc-1"),
    ("VPC_NAME", "team?"),
    ("VPC_NAME", "*"),
    ("VPC_ID", "my-vpc"),
    ("VPC_ID", "vpc-1,vpc-2"),
    ("PUBLIC_IP", "yes"),
    ("MARKET", "ondemand"),
    ("MARKET", "on-demand-then-spot"),
    ("LAUNCH_TEMPLATE", "lt"),
    ("LAUNCH_TEMPLATE", "a room"),
    ("LAUNCH_TEMPLATE", "rooms:"),
    ("LAUNCH_TEMPLATE", "rooms:0"),
    ("LAUNCH_TEMPLATE", "rooms:latest"),
    ("PAIR", "same_az"),
    ("PAIR", "us-west-2a"),
    ("VOLUME_IOPS", "2999"),
    ("VOLUME_IOPS", "80001"),
    ("VOLUME_THROUGHPUT", "124"),
    ("VOLUME_THROUGHPUT", "2001"),
    ("VOLUME_KMS_KEY_ID", "a key"),
    ("VOLUME_KMS_KEY_ID", "arn:aws:iam::123456789012:role/key"),
    ("PROJECT_TAG", "Team*"),
    ("PROJECT_TAG", "Team?"),
    ("PROJECT_TAG", "Te\\am"),
    ("EXTRA_TAGS", "Elephant:keep=x"),
    ("EXTRA_TAGS", "Team"),
    ("EXTRA_TAGS", "=A"),
    ("EXTRA_TAGS", "MeetingID=m"),
    ("EXTRA_TAGS", "Team=A,Name=x"),
    ("EXTRA_TAGS", "aws:team=A"),
    ("EXTRA_TAGS", "Team=A,Team=B"),
    ("VOLUME_DEVICE", "C:"),
    ("VOLUME_SIZE_GB", "0"),
    ("VOLUME_SIZE_GB", "65537"),
    ("VOLUME_SIZE_GB", "-60"),
    ("VOLUME_SIZE_GB", "60 GB"),
    ("VOLUME_SIZE_GB", "99999999999999999999"),
    ("VOLUME_TYPE", "io2"),
    ("VOLUME_ENCRYPTED", "yes"),
    ("IMDS_TOKENS", "v2"),
    ("EARLIEST_MINUTES", "0"),
    ("EARLIEST_MINUTES", "10081"),
    ("LAUNCH_WINDOW_MINUTES", "-1"),
    ("LAUNCH_WINDOW_MINUTES", "10081"),
    ("LAUNCH_WINDOW_MINUTES", "2h"),
];

#[test]
fn texts_end_where_aws_ends_them() {
    for (name, longest) in
        [("KEY_NAME", 255), ("IAM_PROFILE", 128), ("TABLE_NAME", 255), ("PROJECT_TAG", 256)]
    {
        assert!(with(&[(name, &"x".repeat(longest))]).is_ok(), "{name} of {longest} characters");
        assert!(with(&[(name, &"x".repeat(longest + 1))]).is_err(), "{name} of {longest} + 1 characters");
    }
}

#[test]
fn an_empty_environment_names_what_is_required() {
    let Err(Problems(problems)) = read(&[]) else { panic!("nothing was required") };
    let expected: Vec<String> = REQUIRED.iter().map(|(name, _)| format!("{name} is not set")).collect();
    let said: Vec<&str> = problems.iter().filter_map(|line| Some(line.split_once(',')?.0)).collect();
    assert_eq!(said, expected);
}

#[test]
fn every_problem_is_reported_at_once_and_in_the_order_of_the_readme() {
    let wrong = [
        ("INSTANCE_TYPE", "large"),
        ("SECURITY_GROUP_IDS", "default"),
        ("VOLUME_SIZE_GB", "huge"),
        ("LAUNCH_WINDOW_MINUTES", "soon"),
        ("AWS_ENDPOINT_URL", ""),
    ];
    let Err(Problems(problems)) = read(&wrong) else { panic!("{wrong:?} was accepted") };
    let named: Vec<&str> = problems.iter().filter_map(|line| line.split(' ').next()).collect();
    let expected = ["AMI_ID"].into_iter().chain(wrong.iter().map(|(name, _)| *name)).collect::<Vec<_>>();
    assert_eq!(named, expected, "{problems:#?}");
}

#[test]
fn the_problems_become_one_error_that_shows_them_all() {
    let problems = read(&[("AMI_ID", "x"), ("INSTANCE_TYPE", "y")]).expect_err("nothing is right in it");
    let error = Error::from(problems.clone());
    assert_eq!(error.kind, Kind::InvalidConfiguration);
    for problem in &problems.0 {
        assert!(error.chain().contains(problem), "{problem:?} is missing in {:?}", error.chain());
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    for name in names(Function::Launch) {
        for empty in ["", " ", "\t\n"] {
            let (with_empty, without) = (with(&[(name, empty)]), without(name));
            assert_eq!(with_empty, without, "{name}={empty:?} is not the same as {name} unset");
        }
    }
}

#[test]
fn spaces_and_empty_pieces_and_doubles_are_forgiven() {
    let config = with(&[
        ("AMI_ID", " ami-1\n"),
        ("INSTANCE_TYPE", " t3.large ,, t3.xlarge,t3.large,"),
        ("SECURITY_GROUP_IDS", ",sg-1 , sg-2 ,"),
        ("SUPPORTED_AZS", " us-west-2a , us-west-2b "),
        ("SUBNET_IDS", "subnet-1,,subnet-1"),
        ("VOLUME_SIZE_GB", " 80 "),
    ])
    .expect("only spaces, empty pieces and doubles");
    assert_eq!(config.image, Source::Id("ami-1".into()));
    assert_eq!(config.instance_types, ["t3.large", "t3.xlarge"]);
    assert_eq!(config.security_group_ids, ["sg-1", "sg-2"]);
    assert_eq!(config.supported_azs, Some(strings(&["us-west-2a", "us-west-2b"])));
    assert_eq!(config.network, Network::Subnets(strings(&["subnet-1"])));
    assert_eq!(config.volume.size_gb, 80);
}

#[test]
fn the_home_region_has_three_zones_and_others_have_all() {
    let home = Some(strings(&["us-west-2a", "us-west-2b", "us-west-2c"]));
    assert_eq!(defaults().zones(Some("us-west-2")), home);
    assert_eq!(defaults().zones(Some("eu-central-1")), None);
    assert_eq!(defaults().zones(None), None);
}

#[test]
fn configured_zones_hold_in_every_region() {
    let config = with(&[("SUPPORTED_AZS", "us-west-2d"), ("SUBNET_IDS", "subnet-1")]).expect("both are fine");
    for region in [Some("us-west-2"), Some("eu-central-1"), None] {
        assert_eq!(config.zones(region), Some(strings(&["us-west-2d"])), "in {region:?}");
    }
}

#[test]
fn subnets_named_one_by_one_may_lie_in_any_zone() {
    let config = with(&[("SUBNET_IDS", "subnet-1")]).expect("it is a subnet id");
    assert_eq!(config.zones(Some("us-west-2")), None);
}

/// The SDK panics on an empty endpoint, and it would do so where nobody sees why.
#[test]
fn an_endpoint_is_a_url_or_is_not_set() {
    for name in ENDPOINTS {
        assert_eq!(with(&[(name, "http://127.0.0.1:4566")]), Ok(defaults()), "{name} set");
        for empty in ["", "  "] {
            let problem = with(&[(name, empty)]).expect_err("an empty endpoint").to_string();
            assert!(problem.starts_with(&format!("{name} is set and empty")), "{problem}");
        }
    }
}

#[test]
fn the_list_of_variables_is_what_is_read() {
    let asked = RefCell::new(Vec::new());
    let _ = Config::from_variables(|name| {
        let mut asked = asked.borrow_mut();
        if !asked.iter().any(|known| known == name) {
            asked.push(name.to_owned());
        }
        None
    });
    let expected: Vec<&str> = names(Function::Launch).into_iter().chain(ENDPOINTS).collect();
    assert_eq!(asked.into_inner(), expected);
}

// The variable `SETTINGS`.

#[test]
fn a_pair_of_settings_means_what_its_variable_means() {
    let in_settings = |name: &&str| settings::ALL.iter().any(|row| row.name == *name && row.is_in_settings());
    let pairs: Vec<_> = MEANINGS.iter().filter(|(name, ..)| in_settings(name)).collect();
    assert!(pairs.len() > 20, "the pairs are found");
    for (name, value, _) in pairs {
        let pair = format!(" {name} = {value} ;");
        assert_eq!(with(&[("SETTINGS", &pair)]), with(&[(name, value)]), "{pair}");
    }
    let several =
        " MARKET=spot;; SUPPORTED_AZS = us-west-2a, us-west-2b;\nAMI_NAME=our = [a] *;AMI_OWNER=self;";
    let config = with(&[("SETTINGS", several), ("AMI_ID", "")]).expect("blanks are forgiven");
    assert_eq!(config.markets, vec![Market::Spot]);
    assert_eq!(config.supported_azs, Some(strings(&["us-west-2a", "us-west-2b"])));
    let image = Source::Named { pattern: "our = [a] *".into(), owner: "self".into(), architecture: None };
    assert_eq!(config.image, image);
}

/// What `SETTINGS` says, and the problems that are told.
const NO_SETTINGS: &[(&str, &[&str])] = &[
    ("spot", &["SETTINGS has a part that is \"spot\", expected NAME=value"]),
    ("MARKTE=spot", &["SETTINGS has a name that is \"MARKTE\", expected one such as MARKET"]),
    ("market=spot", &["SETTINGS has a name that is \"market\", expected one such as MARKET"]),
    ("AMI_ID=al2023", &["SETTINGS names AMI_ID, which has a parameter of its own: set AmiId"]),
    ("SCHEDULE_GROUP=mine", &["SETTINGS names SCHEDULE_GROUP, which the stack itself sets: take it out"]),
    ("PAIR=any;PAIR=same-az", &["SETTINGS names PAIR twice: keep one"]),
    ("MARKET=", &["MARKET is \"\", expected on-demand, spot or spot-then-on-demand"]),
    ("KEY_NAME=", &["KEY_NAME is \"\", expected the name of a key pair, at most 255 characters"]),
    ("VOLUME_DEVICE=sda", &["VOLUME_DEVICE is \"sda\", expected a device name such as /dev/xvda"]),
    // Of settings that `launch` does not read.
    ("MAX_ENDINGS=many", &["MAX_ENDINGS is \"many\", expected a whole number from 0 to 10000"]),
    ("DRY_RUN=yes", &["DRY_RUN is \"yes\", expected true or false"]),
    (
        "LEAD_MINUTES=1441;nothing;PAIR=some;VOLUME_SIZE=1",
        &[
            "LEAD_MINUTES is \"1441\", expected a whole number of minutes from 2 to 1440",
            "SETTINGS has a part that is \"nothing\", expected NAME=value",
            "PAIR is \"some\", expected any or same-az",
            "SETTINGS has a name that is \"VOLUME_SIZE\", expected one such as VOLUME_SIZE_GB",
        ],
    ),
];

#[test]
fn every_problem_of_settings_is_told_at_once_with_the_name_and_by_every_function() {
    for (text, expected) in NO_SETTINGS {
        let expected = Problems(strings(expected));
        assert_eq!(with(&[("SETTINGS", text)]), Err(expected.clone()), "{text}");
        // A text is judged by the function that reads it.
        if *text == "VOLUME_DEVICE=sda" {
            continue;
        }
        let only = |name: &str| (name == "SETTINGS").then(|| (*text).to_owned());
        assert_eq!(StatusConfig::from_variables(only), Err(expected.clone()), "{text}");
        assert_eq!(OperateConfig::from_variables(only), Err(expected.clone()), "{text}");
        assert_eq!(ReconcileConfig::from_variables(only), Err(expected), "{text}");
    }
}

#[test]
fn a_setting_is_a_pair_or_a_variable_and_not_both() {
    let both = with(&[("SETTINGS", "PAIR=any;MAX_ENDINGS=1"), ("PAIR", "any"), ("MAX_ENDINGS", "1")]);
    let problem = |name: &str| format!("{name} is set in SETTINGS and as a variable: keep one");
    assert_eq!(both, Err(Problems(vec![problem("PAIR"), problem("MAX_ENDINGS")])));
    // A template sends an empty variable for a blank parameter.
    assert_eq!(with(&[("SETTINGS", "PAIR=same-az"), ("PAIR", "")]), with(&[("PAIR", "same-az")]));
}

#[test]
fn what_settings_has_of_a_volume_is_said_of_the_volume() {
    let template = ("LAUNCH_TEMPLATE", "rooms");
    assert!(with(&[template]).expect("it is one").keeps_volume());
    assert!(!with(&[template, ("SETTINGS", "VOLUME_SIZE_GB=100")]).expect("it is one").keeps_volume());
}

fn read(variables: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::from_variables(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

/// The required variables and these; one that is given again replaces the required one.
fn with<'v>(more: &[(&'v str, &'v str)]) -> Result<Config, Problems> {
    read(&[more, &REQUIRED].concat())
}

fn without(name: &str) -> Result<Config, Problems> {
    let kept: Vec<(&str, &str)> = REQUIRED.into_iter().filter(|(known, _)| *known != name).collect();
    read(&kept)
}

fn defaults() -> Config {
    Config {
        launch_template: None,
        image: Source::Id("ami-1".into()),
        instance_types: strings(&["t3.large"]),
        security_group_ids: strings(&["sg-1"]),
        key_name: None,
        iam_profile: None,
        table_name: "elephant-meetings".into(),
        supported_azs: None,
        network: Network::Default,
        public_ip: None,
        markets: vec![Market::OnDemand],
        pair: Pair::Any,
        volume: Volume {
            device: None,
            size_gb: 60,
            volume_type: "gp3".into(),
            encrypted: true,
            iops: None,
            throughput: None,
            kms_key_id: None,
        },
        imds_tokens: None,
        user_data: None,
        project_tag: "Elephant".into(),
        extra_tags: BTreeMap::new(),
        window: Window { earliest: Duration::from_secs(24 * 3600), latest: Duration::from_secs(120 * 60) },
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

// The function `schedule`.

const ARNS: [(&str, &str); 4] = [
    ("LAUNCH_FUNCTION_ARN", "arn:aws:lambda:us-west-2:123456789012:function:elephant-launch"),
    ("SCHEDULER_ROLE_ARN", "arn:aws:iam::123456789012:role/path/scheduler"),
    ("SCHEDULE_GROUP", "elephant"),
    ("SCHEDULE_DEAD_LETTERS_ARN", "arn:aws:sqs:us-west-2:123456789012:dead"),
];

fn schedule_with(changes: &[(&str, &str)]) -> Result<ScheduleConfig, Problems> {
    ScheduleConfig::from_variables(|name| {
        let changed = changes.iter().chain(&ARNS).find(|(changed, _)| *changed == name);
        changed.map(|(_, value)| (*value).to_owned())
    })
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap_or_else(|| panic!("{text} is a pattern"))).collect()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn schedule_needs_its_target_and_knows_the_rest() {
    let target =
        Target { function: ARNS[0].1.into(), role: ARNS[1].1.into(), dead_letters: ARNS[3].1.into() };
    let expected = ScheduleConfig {
        table_name: "elephant-meetings".into(),
        group: "elephant".into(),
        target,
        lead: minutes(15),
        flexible_window: minutes(5),
        launch_window: minutes(120),
        companions: Vec::new(),
    };
    assert_eq!(schedule_with(&[]), Ok(expected.clone()));
    let changes = [
        ("TABLE_NAME", "other"),
        ("LEAD_MINUTES", "2"),
        ("FLEXIBLE_WINDOW_MINUTES", "0"),
        ("LAUNCH_WINDOW_MINUTES", "7"),
        (
            "COMPANION_SCHEDULES",
            "default/safety-{meeting_id}, other.group/{meeting_id}_end,default/safety-{meeting_id}",
        ),
    ];
    let changed = ScheduleConfig {
        table_name: "other".into(),
        lead: minutes(2),
        flexible_window: minutes(0),
        launch_window: minutes(7),
        companions: patterns(&["default/safety-{meeting_id}", "other.group/{meeting_id}_end"]),
        ..expected
    };
    assert_eq!(schedule_with(&changes), Ok(changed));
}

#[test]
fn every_variable_of_schedule_is_told_by_name_when_it_is_wrong() {
    let mut told = BTreeSet::new();
    for (name, value) in [
        ("SETTINGS", "MARKET"),
        ("TABLE_NAME", "x"),
        ("LAUNCH_FUNCTION_ARN", ""),
        ("LAUNCH_FUNCTION_ARN", "elephant-launch"),
        ("LAUNCH_FUNCTION_ARN", "arn:aws:lambda:us-west-2:12:function:launch"),
        ("LAUNCH_FUNCTION_ARN", ARNS[1].1),
        ("SCHEDULER_ROLE_ARN", ""),
        ("SCHEDULER_ROLE_ARN", "arn:aws:iam::123456789012:user/me"),
        ("SCHEDULE_GROUP", ""),
        ("SCHEDULE_GROUP", "a/b"),
        ("SCHEDULE_DEAD_LETTERS_ARN", ""),
        ("SCHEDULE_DEAD_LETTERS_ARN", "https://sqs.us-west-2.amazonaws.com/123456789012/dead"),
        ("LEAD_MINUTES", "0"),
        ("LEAD_MINUTES", "1441"),
        ("LEAD_MINUTES", "6"),
        ("COMPANION_SCHEDULES", "safety-{meeting_id}"),
        // One schedule for all meetings, which the end of one would delete.
        ("COMPANION_SCHEDULES", "default/safety"),
        ("COMPANION_SCHEDULES", "default/{meeting_id}-{meeting_id}"),
        ("COMPANION_SCHEDULES", "{meeting_id}/safety"),
        ("COMPANION_SCHEDULES", "default/safety-{meeting_id},default/*{meeting_id}"),
        ("COMPANION_SCHEDULES", "default/a/{meeting_id}"),
        // Our own.
        ("COMPANION_SCHEDULES", "elephant/launch-{meeting_id}"),
        ("COMPANION_SCHEDULES", "default/safety-{meeting_id},elephant/{meeting_id}"),
        ("FLEXIBLE_WINDOW_MINUTES", "-1"),
        ("FLEXIBLE_WINDOW_MINUTES", "14"),
        ("LAUNCH_WINDOW_MINUTES", "soon"),
        ("EARLIEST_MINUTES", "0"),
        ("EARLIEST_MINUTES", "14"),
    ] {
        let Err(Problems(problems)) = schedule_with(&[(name, value)]) else {
            panic!("{name}={value:?} was accepted")
        };
        assert!(problems.len() == 1 && problems[0].contains(name), "{name}={value:?}: {problems:?}");
        told.insert(name);
    }
    assert_eq!(told, names(Function::Schedule).into_iter().collect());
}

#[test]
fn a_meeting_must_not_begin_before_its_window_is_over() {
    let Err(Problems(problems)) = schedule_with(&[("LEAD_MINUTES", "6")]) else { panic!("it was accepted") };
    assert!(
        problems[0].starts_with("LEAD_MINUTES is 6, expected at least 7: with FLEXIBLE_WINDOW_MINUTES 5"),
        "{problems:?}"
    );
    assert!(schedule_with(&[("LEAD_MINUTES", "7")]).is_ok());
}

#[test]
fn schedule_names_all_its_problems_at_once() {
    let Err(Problems(problems)) = ScheduleConfig::from_variables(|name| match name {
        "AWS_ENDPOINT_URL_SCHEDULER" => Some(String::new()),
        _ => None,
    }) else {
        panic!("it was accepted")
    };
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

/// Where requests are sent is a scheme, a host, a port and a path; nothing else of it is shown, for it may hold a password.
#[test]
fn an_endpoint_has_a_scheme_and_a_host_and_what_it_is_otherwise_is_not_shown() {
    for right in [
        "http://127.0.0.1:4566",
        "https://dynamodb.us-west-2.amazonaws.com",
        "https://vpce-0a1b.ec2.us-west-2.vpce.amazonaws.com/",
        "http://local_aws:8000/base/path",
        "http://[::1]:4566",
        "http://localhost",
    ] {
        for name in ENDPOINTS {
            assert_eq!(with(&[(name, right)]), Ok(defaults()), "{name}={right}");
        }
    }
    for wrong in [
        "swordfish",
        "swordfish:8000",
        "127.0.0.1:8000",
        "//swordfish",
        "http:/swordfish",
        "http://",
        "https://:443",
        "ftp://swordfish",
        "HTTP//swordfish",
        "http://user:swordfish@localhost:8000",
        "https://swordfish@localhost",
        "http://localhost:swordfish",
        "http://localhost:0",
        "http://localhost:65536",
        "http://localhost:+80",
        "http://localhost:",
        "http://localhost?key=swordfish",
        "http://localhost/#swordfish",
        "http://sword fish",
        " http://localhost",
        "http://localhost\n",
        "http://[swordfish]:80",
        "http://schwertfisch.ä",
    ] {
        for name in ENDPOINTS {
            let Err(Problems(problems)) = with(&[(name, wrong)]) else {
                panic!("{name}={wrong:?} was accepted")
            };
            let [problem] = &problems[..] else { panic!("{problems:#?}") };
            assert!(problem.starts_with(&format!("{name} is no such address, expected http")), "{problem}");
            assert!(!problem.contains("swordfish"), "{problem}");
        }
    }
}

/// A key that was put into the wrong variable, and user data of any kind.
#[test]
fn a_value_that_may_be_a_secret_is_not_shown() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "swordfish".repeat(40));
    for name in names(Function::Launch).into_iter().chain(ENDPOINTS) {
        if let Err(error) = with(&[(name, &key)]).map_err(Error::from) {
            assert!(
                !error.chain().contains("swordfish") && error.chain().contains(name),
                "{}",
                error.chain()
            );
        }
    }
    for data in ["swordfish", "password: swordfish", &format!("#!{}", "swordfish".repeat(4000))] {
        let Err(Problems(problems)) = with(&[("USER_DATA", data)]) else { panic!("it was accepted") };
        let said =
            format!("USER_DATA has {} characters, which are not shown, expected ", data.chars().count());
        assert!(problems.len() == 1 && problems[0].starts_with(&said), "{problems:#?}");
        assert!(!problems[0].contains("swordfish"), "{problems:#?}");
    }
}

fn template(named: Named, version: &str) -> Option<LaunchTemplate> {
    Some(LaunchTemplate { named, version: version.to_owned(), keeps_volume: true })
}

#[test]
fn with_a_launch_template_nothing_else_has_to_be_said() {
    let read = |variables: &[(&str, &str)]| {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_variables(move |name| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
        .expect("it will do")
    };
    let bare = read(&[("LAUNCH_TEMPLATE", "rooms")]);
    assert_eq!(
        (bare.image, bare.instance_types, bare.security_group_ids),
        (Source::Template, vec![], vec![])
    );
    assert!(bare.launch_template.expect("it is set").keeps_volume);
    let larger = read(&[("LAUNCH_TEMPLATE", "rooms"), ("VOLUME_SIZE_GB", "200")]);
    assert!(
        !larger.launch_template.expect("it is set").keeps_volume,
        "ours takes the place of the template's"
    );
    let image = read(&[("LAUNCH_TEMPLATE", "rooms"), ("AMI_ID", "ami-1"), ("INSTANCE_TYPE", "t3.large")]);
    assert_eq!((image.image, image.instance_types), (Source::Id("ami-1".into()), strings(&["t3.large"])));
}

// The function `end`.

#[test]
fn end_needs_the_group_of_the_schedules_and_says_what_is_wrong() {
    let with = |changes: &[(&str, &str)]| {
        EndConfig::from_variables(|name| {
            changes.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    let expected = EndConfig {
        table_name: "elephant-meetings".into(),
        group: "meetings".into(),
        companions: Vec::new(),
    };
    assert_eq!(with(&[("SCHEDULE_GROUP", "meetings")]), Ok(expected.clone()));
    let companions = [("SCHEDULE_GROUP", "meetings"), ("COMPANION_SCHEDULES", "default/launch-{meeting_id}")];
    let expected = EndConfig { companions: patterns(&["default/launch-{meeting_id}"]), ..expected };
    assert_eq!(with(&companions), Ok(expected));
    let mut told = BTreeSet::new();
    for (name, changes) in [
        ("SETTINGS", vec![("SCHEDULE_GROUP", "meetings"), ("SETTINGS", "MARKET")]),
        ("SCHEDULE_GROUP", vec![]),
        ("SCHEDULE_GROUP", vec![("SCHEDULE_GROUP", "a/b")]),
        ("TABLE_NAME", vec![("SCHEDULE_GROUP", "meetings"), ("TABLE_NAME", "x")]),
        ("COMPANION_SCHEDULES", vec![("SCHEDULE_GROUP", "meetings"), ("COMPANION_SCHEDULES", "safety")]),
    ] {
        let Err(Problems(problems)) = with(&changes) else { panic!("{changes:?} was accepted") };
        assert!(problems.len() == 1 && problems[0].starts_with(name), "{changes:?}: {problems:?}");
        told.insert(name);
    }
    assert_eq!(told, names(Function::End).into_iter().collect());
}

// The function `status`.

#[test]
fn status_needs_nothing_but_the_table() {
    assert_eq!(
        StatusConfig::from_variables(|_| None),
        Ok(StatusConfig { table_name: "elephant-meetings".into() })
    );
    for name in names(Function::Status) {
        let wrong = StatusConfig::from_variables(|asked| (asked == name).then(|| "x".to_owned()));
        assert!(wrong.is_err_and(|Problems(problems)| problems.len() == 1 && problems[0].starts_with(name)));
    }
}

// The function `operate`.

#[test]
fn operate_needs_nothing_but_its_defaults_and_is_told_of_the_image_what_launch_is() {
    let with = |changes: &[(&str, &str)]| {
        OperateConfig::from_variables(|name| {
            changes.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    let defaults = OperateConfig {
        table_name: "elephant-meetings".into(),
        project_tag: "Elephant".into(),
        launch_template: None,
        image: Source::Template,
        instance_types: Vec::new(),
        supported_azs: None,
    };
    let home = ["us-west-2a", "us-west-2b", "us-west-2c"].map(str::to_owned).to_vec();
    assert_eq!((defaults.zones(Some("us-west-2")), defaults.zones(Some("eu-west-1"))), (Some(home), None));
    assert_eq!(with(&[]), Ok(defaults.clone()));
    let image = Source::Id("ami-1".into());
    let told = with(&[("AMI_ID", "ami-1"), ("INSTANCE_TYPE", "t3.large,m5.large")]);
    let instance_types = vec!["t3.large".to_owned(), "m5.large".to_owned()];
    assert_eq!(told, Ok(OperateConfig { image, instance_types, ..defaults }));
    let long = "x".repeat(257);
    let mut named = BTreeSet::new();
    for (name, changes) in [
        ("SETTINGS", vec![("SETTINGS", "MARKET")]),
        ("TABLE_NAME", vec![("TABLE_NAME", "x")]),
        ("PROJECT_TAG", vec![("PROJECT_TAG", long.as_str())]),
        ("LAUNCH_TEMPLATE", vec![("LAUNCH_TEMPLATE", "a b:?")]),
        ("AMI_ID", vec![("AMI_ID", "x")]),
        ("AMI_NAME", vec![("AMI_NAME", "x"), ("AMI_OWNER", "self")]),
        ("AMI_OWNER", vec![("AMI_NAME", "our-*"), ("AMI_OWNER", "x")]),
        ("AMI_ARCH", vec![("AMI_NAME", "our-*"), ("AMI_OWNER", "self"), ("AMI_ARCH", "x")]),
        ("INSTANCE_TYPE", vec![("INSTANCE_TYPE", "x")]),
        ("SUPPORTED_AZS", vec![("SUPPORTED_AZS", "A B")]),
    ] {
        let Err(Problems(problems)) = with(&changes) else { panic!("{changes:?} was accepted") };
        assert!(problems.len() == 1 && problems[0].starts_with(name), "{changes:?}: {problems:?}");
        named.insert(name);
    }
    assert_eq!(named, names(Function::Operate).into_iter().collect());
}

// The function `reconcile`.

fn reconcile_with(changes: &[(&str, &str)]) -> Result<ReconcileConfig, Problems> {
    ReconcileConfig::from_variables(|name| {
        changes.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn reconcile_needs_nothing_but_its_defaults() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let expected = ReconcileConfig {
        table_name: "elephant-meetings".into(),
        project_tag: "Elephant".into(),
        limits: Limits {
            grace: minutes(10),
            longest_meeting: minutes(8 * 60),
            window: Window {
                earliest: Duration::from_secs(24 * 3600),
                latest: Duration::from_secs(120 * 60),
            },
            due: minutes(3),
            replacements: 2,
            endings: 20,
            ready: minutes(15),
            relaunch_unready: false,
            clean_up: false,
        },
        dry_run: false,
    };
    assert_eq!(reconcile_with(&[]), Ok(expected));
    let changed = reconcile_with(&[
        ("GRACE_MINUTES", "30"),
        ("MAX_MEETING_HOURS", "3"),
        ("DUE_MINUTES", "0"),
        ("MAX_REPLACEMENTS", "0"),
        ("MAX_ENDINGS", "500"),
        ("DRY_RUN", "true"),
    ])
    .expect("it will do");
    let limits = changed.limits;
    assert_eq!((limits.grace, limits.longest_meeting, limits.due), (minutes(30), minutes(180), minutes(0)));
    assert_eq!((limits.replacements, limits.endings, changed.dry_run), (0, 500, true));
}

#[test]
fn each_variable_of_reconcile_that_is_wrong_is_one_problem() {
    let mut told = BTreeSet::new();
    for (name, value) in [
        ("TABLE_NAME", "x"),
        ("GRACE_MINUTES", "1"),
        ("MAX_MEETING_HOURS", "0"),
        ("MAX_MEETING_HOURS", "1"),
        ("DUE_MINUTES", "-1"),
        ("MAX_REPLACEMENTS", "101"),
        ("MAX_ENDINGS", "many"),
        ("READY_MINUTES", "0"),
        ("RELAUNCH_UNREADY", "1"),
        ("CLEAN_UP", "maybe"),
        ("EARLIEST_MINUTES", "0"),
        ("LAUNCH_WINDOW_MINUTES", "soon"),
        ("DRY_RUN", "yes"),
    ] {
        let Err(Problems(problems)) = reconcile_with(&[(name, value)]) else {
            panic!("{name}={value:?} was accepted")
        };
        assert!(problems.len() == 1 && problems[0].starts_with(name), "{name}={value:?}: {problems:?}");
        told.insert(name);
    }
    let long = "e".repeat(257);
    let Err(Problems(problems)) = reconcile_with(&[("PROJECT_TAG", &long)]) else {
        panic!("it was accepted")
    };
    assert!(problems[0].starts_with("PROJECT_TAG"), "{problems:?}");
    told.insert("PROJECT_TAG");
    // The rest is what `launch` reads, and `Config` reads it.
    let shared = ["TABLE_NAME", "PROJECT_TAG", "EARLIEST_MINUTES", "LAUNCH_WINDOW_MINUTES"];
    let launch = names(Function::Launch);
    let all = names(Function::Reconcile).into_iter();
    assert_eq!(told, all.filter(|name| shared.contains(name) || !launch.contains(name)).collect());
}

/// `Environment::or_default` rests on it.
/// Other programs' schedules fire five minutes before a meeting. Scheduler is precise to one of them, and a launch takes another.
#[test]
fn by_default_the_sweep_waits_for_the_shortest_lead() {
    let config = reconcile_with(&[]).expect("the defaults");
    assert!(config.limits.due + minutes(2) <= minutes(5), "{:?}", config.limits.due);
}

#[test]
fn every_default_is_a_value_of_its_setting() {
    for setting in settings::ALL {
        let settings::Default::Value(default) = setting.default else { continue };
        let fits = match setting.value {
            settings::Value::Text(_) => !default.is_empty(),
            settings::Value::OneOf(_) => setting.has_word(default),
            settings::Value::Truth => ["true", "false"].contains(&default),
            settings::Value::Whole { .. } => setting.whole_number(default).is_some(),
        };
        assert!(fits, "{} is by default {default:?}", setting.name);
    }
}

#[test]
fn reconcile_names_all_its_problems_at_once_in_the_order_in_which_it_reads() {
    let order = [
        "GRACE_MINUTES",
        "MAX_MEETING_HOURS",
        "DUE_MINUTES",
        "MAX_REPLACEMENTS",
        "MAX_ENDINGS",
        "READY_MINUTES",
        "RELAUNCH_UNREADY",
        "CLEAN_UP",
        "EARLIEST_MINUTES",
        "LAUNCH_WINDOW_MINUTES",
        "DRY_RUN",
    ];
    let Err(Problems(problems)) = reconcile_with(&order.map(|name| (name, "-1"))) else {
        panic!("it was accepted")
    };
    let told: Vec<&str> = problems.iter().filter_map(|problem| problem.split(' ').next()).collect();
    assert_eq!(told, order);
}

//! Choosing the machine, on the local AWS: each setting, from the function's environment to the machine that stands there.

use crate::meeting;
use std::collections::{BTreeMap, BTreeSet};

use crate::local::aws::{IMAGE, sdk};
use crate::meeting::{M, Stack, function, tag};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{
    Instance, InstanceAttributeName, InstanceLifecycleType, InstanceType,
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, RequestLaunchTemplateData,
    ResourceType, Tag, TagSpecification,
};
use aws_sdk_ssm::types::ParameterType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Ubuntu's, in `tests/aws/amis.json`.
const UBUNTU: &str = "ami-0a1b2c3d4e5f60002";

/// Both machines of a meeting that is launched with these variables.
fn launched(variables: &[(&str, &str)]) -> (Stack, Vec<Instance>) {
    let stack = Stack::with(variables);
    stack.deliver().answer();
    stack.both_recorded();
    let machines = stack.instances();
    (stack, machines)
}

/// The error of a meeting that is not launched with these variables, and nothing was asked of EC2 that changes anything.
fn refused(variables: &[(&str, &str)]) -> String {
    let stack = Stack::with(variables);
    let (kind, message) = stack.deliver().error();
    assert_eq!(kind, "InvalidConfiguration", "{message}");
    assert!(!stack.aws.count_calls().contains_key("RunInstances"), "{}", stack.story());
    assert!(stack.instances().is_empty());
    message
}

/// What a setting makes of the requests of a warm delivery: nothing.
fn six_requests(stack: &mut Stack) {
    stack.turn_to("another");
    stack.schedule();
    stack.aws.clear_calls();
    stack.deliver().answer();
    let expected = [("GetItem", 1), ("RunInstances", 2), ("UpdateItem", 3)];
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(stack.aws.count_calls(), expected);
}

#[test]
fn an_image_is_taken_from_a_parameter_and_stays_what_it_was_for_a_repeat() {
    let mut stack = Stack::up();
    let ssm = aws_sdk_ssm::Client::new(&sdk(&stack.aws.endpoint));
    let put = |id: &str| {
        let put = ssm.put_parameter().name("/our/image").value(id).r#type(ParameterType::String);
        stack.aws.wait(put.overwrite(true).send()).expect("the parameter is put");
    };
    put(UBUNTU);
    stack.lambda.kill();
    stack.lambda = function(&stack.aws, &[("AMI_ID", "resolve:ssm:/our/image")], meeting::TIMEOUT);
    stack.lambda.warm_up();
    // What is published from now on is for later.
    put(IMAGE);
    stack.deliver().answer();
    stack.both_recorded();
    let machines = stack.instances();
    assert!(machines.iter().all(|machine| machine.image_id() == Some(UBUNTU)), "{machines:?}");
    assert!(machines.iter().all(|machine| machine.root_device_name() == Some("/dev/sda1")), "{machines:?}");
    six_requests(&mut stack);
}

#[test]
fn what_a_record_says_of_its_own_machines_goes_before_the_settings_and_its_image_is_looked_up_once() {
    let mut stack = Stack::up();
    let set = |stack: &Stack| {
        stack.set("instance_type", "m5.large");
        stack.set("teacher_instance_type", "c5.large");
        stack.set("teacher_image_id", UBUNTU);
        stack.set("student_volume_size_gb", "90");
    };
    set(&stack);
    stack.lambda.warm_up();
    stack.aws.clear_calls();
    stack.deliver().answer();
    let expected = [("DescribeImages", 1), ("GetItem", 1), ("RunInstances", 2), ("UpdateItem", 3)];
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(stack.aws.count_calls(), expected);
    stack.both_recorded();
    let root = |role: &str| {
        let parameters =
            stack.record()[&format!("{role}_attempt")].as_m().expect("a map")["parameters"].clone();
        let volume = parameters.as_m().expect("a map")["root_volume"].clone();
        volume.as_m().expect("a map")["device_name"].as_s().expect("a text").clone()
    };
    // Ubuntu's root is another than the configured image's: under that one the machine would have two disks.
    assert_eq!((root("teacher"), root("student")), ("/dev/sda1".into(), "/dev/xvda".into()));
    let machines = stack.instances();
    let of = |role: &str| machines.iter().find(|machine| tag(machine, "Role") == role).expect("one");
    let (teacher, student) = (of("teacher"), of("student"));
    assert_eq!((teacher.image_id(), teacher.instance_type()), (Some(UBUNTU), Some(&InstanceType::C5Large)));
    assert_eq!((student.image_id(), student.instance_type()), (Some(IMAGE), Some(&InstanceType::M5Large)));
    assert_eq!(stack.attribute("teacher_launched_instance_type").as_deref(), Some("c5.large"));
    assert_eq!(stack.attribute("teacher_instance_type").as_deref(), Some("c5.large"), "as it was");
    assert_eq!(stack.record()["student_attempt"].as_m().expect("a map")["parameters"].as_m().expect("a map")
        ["root_volume"].as_m().expect("a map")["size_gb"], AttributeValue::N("90".into()));
    // The next one with this image takes no further request.
    stack.turn_to("alike");
    stack.schedule();
    set(&stack);
    stack.aws.clear_calls();
    stack.deliver().answer();
    assert_eq!(stack.aws.count_calls().get("DescribeImages"), None, "{}", stack.story());
    // Another meeting is launched as configured.
    stack.turn_to("another");
    stack.schedule();
    stack.deliver().answer();
    assert!(stack.instances().iter().all(|machine| machine.image_id() == Some(IMAGE)));
    // And one with a word that means nothing, not at all; the preflight of it says so.
    stack.turn_to("wrong");
    stack.schedule();
    stack.set("student_instance_type", "large");
    let (kind, message) = stack.deliver().error();
    assert_eq!(kind, "InvalidRecord");
    assert!(message.contains("student_instance_type is \"large\", expected one or more"), "{message}");
    assert!(stack.instances().is_empty());
    let preflight = serde_json::json!({"preflight": true, "meeting_id": "wrong"});
    let looked = stack.lambda.invoke(&preflight).answer();
    assert_eq!(looked["findings"][0]["error_type"], "InvalidRecord", "{looked:#}");
}

/// The attribute is named, and nobody's settings: before anything is launched, and where EC2 says it only then.
#[test]
fn an_image_that_a_record_names_and_nobody_can_use_is_the_record_s_fault() {
    let mut stack = Stack::up();
    stack.set("teacher_image_id", "ami-0123456789abcdef0");
    let preflight = serde_json::json!({"preflight": true, "meeting_id": M});
    let looked = stack.lambda.invoke(&preflight).answer();
    let [finding] = &looked["findings"].as_array().expect("a list")[..] else { panic!("{looked:#}") };
    assert_eq!(finding["error_type"], "InvalidRecord", "{looked:#}");
    assert!(finding["remedy"].as_str().is_some_and(|r| r.contains("teacher_image_id")), "{looked:#}");
    stack.aws.clear_calls();
    let (kind, message) = stack.deliver().error();
    assert_eq!(kind, "InvalidRecord", "{message}");
    assert!(message.contains("teacher_image_id") && !message.contains("AMI_ID"), "{message}");
    assert!(!stack.aws.count_calls().contains_key("RunInstances"), "{}", stack.story());
    // One that is not shared is seen by nobody but EC2 itself.
    for (meeting, code, said) in [
        ("not-shared", "AuthFailure", format!("Not authorized for images: [{UBUNTU}]")),
        ("gone", "InvalidAMIID.NotFound", format!("The image id '[{UBUNTU}]' does not exist")),
    ] {
        stack.turn_to(meeting);
        stack.schedule();
        stack.set("teacher_image_id", UBUNTU);
        stack.aws.clear_faults();
        let fault =
            serde_json::json!({"action": "RunInstances", "role": "teacher", "code": code, "message": said});
        stack.aws.add_faults(serde_json::json!([fault]));
        let (kind, message) = stack.deliver().error();
        assert_eq!(kind, "InvalidRecord", "{message}");
        assert!(message.contains("change teacher_image_id (or image_id) of the record"), "{message}");
        assert!(!message.contains("credentials") && !message.contains("AMI_ID"), "{message}");
    }
}

#[test]
fn an_image_that_no_type_can_run_is_said_before_anything_is_launched() {
    // It is for x86_64.
    let stack = Stack::up();
    stack.set("teacher_image_id", UBUNTU);
    stack.set("teacher_instance_type", "t4g.large");
    let (kind, message) = stack.deliver().error();
    assert_eq!(kind, "InvalidRecord", "{message}");
    assert!(message.contains("is for x86_64, which t4g.large by its name does not run"), "{message}");
    assert!(message.contains("teacher_instance_type (or instance_type)"), "{message}");
    assert!(!stack.aws.count_calls().contains_key("RunInstances"), "{}", stack.story());
}

/// What others who launch were told, word by word: who is at fault, at once, in a preflight and in a delivery.
#[test]
fn what_ec2_says_names_who_is_at_fault_at_once() {
    let denied = "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/r/s is not authorized \
                  to perform: ec2:RunInstances on resource: arn:aws:ec2:us-west-2:1:instance/* with an explicit deny in a \
                  service control policy. Encoded authorization failure message: g4oZPBqZ4Bni8d";
    let cases = [
        (
            "Unsupported",
            "ED25519 key pairs are not supported with Windows AMIs.",
            "InvalidConfiguration",
            "KEY_NAME",
        ),
        (
            "OptInRequired",
            "In order to use this AWS Marketplace product you need to accept terms and subscribe.",
            "Unauthorized",
            "subscribe",
        ),
        (
            "UnsupportedOperation",
            "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this \
         account.",
            "InvalidConfiguration",
            "IMDS_TOKENS to required",
        ),
        ("UnauthorizedOperation", denied, "Unauthorized", "the function's role is not at fault"),
        (
            "InvalidParameterCombination",
            "The specified instance type is not eligible for Free Tier.",
            "InvalidConfiguration",
            "INSTANCE_TYPE",
        ),
    ];
    let mut stack = Stack::with(&[("INSTANCE_TYPE", "t3.large")]);
    for (number, (code, said, kind, named)) in cases.into_iter().enumerate() {
        stack.turn_to(&format!("meeting-{number}"));
        stack.schedule();
        stack.aws.clear_faults();
        stack.aws.add_faults(serde_json::json!([{"action": "RunInstances", "code": code, "message": said}]));
        let looked = stack.lambda.invoke(&serde_json::json!({"preflight": true})).answer();
        let [finding] = &looked["findings"].as_array().expect("a list")[..] else { panic!("{looked:#}") };
        assert!(finding["remedy"].as_str().is_some_and(|r| r.contains(named)), "{looked:#}");
        stack.aws.clear_calls();
        let (found, message) = stack.deliver().error();
        assert_eq!(found, kind, "{message}");
        assert!(message.contains(named), "{message}");
        assert_eq!(stack.aws.count_calls()["RunInstances"], 2, "once for each machine: {}", stack.story());
    }
}

#[test]
fn a_type_that_cannot_be_launched_as_asked_gives_way_to_the_next_at_once() {
    let stack = Stack::with(&[("INSTANCE_TYPE", "t2.micro,t3.large")]);
    let said = "The t2.micro instance type does not support an AMI with a boot mode of UEFI.";
    let unfit = serde_json::json!({
        "action": "RunInstances", "type": "t2.micro", "code": "InvalidParameterValue", "message": said,
    });
    stack.aws.add_faults(serde_json::json!([unfit]));
    let looked = stack.lambda.invoke(&serde_json::json!({"preflight": true})).answer();
    assert_eq!(looked["ready"], true, "{looked:#}");
    stack.aws.clear_calls();
    stack.deliver().answer();
    stack.both_recorded();
    assert!(stack.instances().iter().all(|machine| machine.instance_type() == Some(&InstanceType::T3Large)));
    assert_eq!(stack.aws.count_calls()["RunInstances"], 4, "no other zone is tried: {}", stack.story());
}

#[test]
fn of_the_default_vpc_a_subnet_that_was_added_is_not_used() {
    let stack = Stack::up();
    let ec2 = &stack.aws.ec2;
    let subnets = stack.aws.wait(ec2.describe_subnets().send()).expect("subnets").subnets().to_vec();
    let vpc = subnets[0].vpc_id().expect("an id").to_owned();
    let made = ec2.create_subnet().vpc_id(vpc).cidr_block("172.31.240.0/24").availability_zone("us-west-2a");
    let added = stack.aws.wait(made.send()).expect("a subnet").subnet.and_then(|subnet| subnet.subnet_id);
    let looked = stack.lambda.invoke(&serde_json::json!({"preflight": true})).answer();
    let attempts = looked["attempts"].as_array().expect("a list");
    assert!(attempts.len() >= 3, "{looked:#}");
    assert!(attempts.iter().all(|place| place["subnet_id"].as_str() != added.as_deref()), "{looked:#}");
    stack.deliver().answer();
    assert!(stack.instances().iter().all(|machine| machine.subnet_id() != added.as_deref()));
}

#[test]
fn the_newest_image_of_a_name_is_taken() {
    let name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*";
    let by_name = [("AMI_ID", ""), ("AMI_NAME", name), ("AMI_OWNER", "099720109477"), ("AMI_ARCH", "x86_64")];
    let (mut stack, machines) = launched(&by_name);
    assert!(machines.iter().all(|machine| machine.image_id() == Some(UBUNTU)), "{machines:?}");
    six_requests(&mut stack);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_launched() {
    let none = refused(&[("AMI_ID", ""), ("AMI_NAME", "nobody's-*"), ("AMI_OWNER", "self")]);
    assert!(none.contains("self has no available image that is called nobody's-*"), "{none}");
    let arm = [("AMI_ID", ""), ("AMI_NAME", "ubuntu*"), ("AMI_OWNER", "099720109477"), ("AMI_ARCH", "arm64")];
    assert!(refused(&arm).contains("no available image for arm64"));
    let parameter = refused(&[("AMI_ID", "resolve:ssm:/not/there")]);
    assert!(parameter.contains("ParameterNotFound") && parameter.contains("AMI_ID"), "{parameter}");
    let image = refused(&[("AMI_ID", "ami-0123456789abcdef0")]);
    assert!(image.contains("AMI_ID"), "{image}");
    let key = refused(&[("KEY_NAME", "theirs")]);
    assert!(key.contains("InvalidKeyPair.NotFound") && key.contains("change KEY_NAME"), "{key}");
    let volumes = refused(&[("VOLUME_KMS_KEY_ID", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd")]);
    assert!(volumes.contains("VOLUME_KMS_KEY_ID is a key of eu-central-1"), "{volumes}");
    let project = refused(&[("PROJECT_TAG", "Team*")]);
    assert!(project.contains("PROJECT_TAG is \"Team*\""), "{project}");
    let kind = refused(&[("INSTANCE_TYPE", "t9.huge")]);
    assert!(kind.contains("INSTANCE_TYPE is t9.huge") && kind.contains("no zone of this Region"), "{kind}");
    let vpc = Stack::with(&[("VPC_NAME", "nowhere")]).deliver().error();
    assert_eq!(vpc.0, "NoUsableSubnet");
    assert!(vpc.1.contains("\"nowhere\" that VPC_NAME asks for"), "{}", vpc.1);
}

#[test]
fn a_zone_that_does_not_offer_a_type_is_never_tried_for_it() {
    // us-west-2d has no t2.
    let zone = [("SUPPORTED_AZS", "us-west-2d"), ("INSTANCE_TYPE", "t2.large,t3.large")];
    let (stack, machines) = launched(&zone);
    let kinds: BTreeSet<&str> =
        machines.iter().filter_map(|machine| Some(machine.instance_type()?.as_str())).collect();
    assert_eq!(kinds, BTreeSet::from(["t3.large"]));
    assert_eq!(stack.aws.count_calls()["RunInstances"], 2, "{}", stack.story());
}

#[test]
fn a_machine_knows_its_meeting_and_carries_the_tags_of_its_owner() {
    let script = "#!/bin/sh\necho @elephant:role@ of @elephant:meeting_id@\n";
    let (mut stack, machines) = launched(&[("USER_DATA", script), ("EXTRA_TAGS", "Team=A,CostCentre=4711")]);
    for machine in &machines {
        let id = machine.instance_id().expect("an id");
        let told = stack.aws.ec2.describe_instance_attribute().instance_id(id);
        let told = stack.aws.wait(told.attribute(InstanceAttributeName::UserData).send()).expect("user data");
        let told = told.user_data().and_then(|data| data.value()).expect("it has some");
        // Blanks around a variable fall away.
        let expected = format!("#!/bin/sh\necho {} of {M}", tag(machine, "Role"));
        assert_eq!(STANDARD.decode(told).as_deref(), Ok(expected.as_bytes()));
        assert_eq!((tag(machine, "Team"), tag(machine, "CostCentre")), ("A".into(), "4711".into()));
        assert_eq!(tag(machine, "MeetingID"), M);
    }
    six_requests(&mut stack);
}

#[test]
fn spot_is_asked_for_once_and_ends_with_the_machine() {
    let (mut stack, machines) = launched(&[("MARKET", "spot-then-on-demand")]);
    for machine in &machines {
        assert_eq!(machine.instance_lifecycle(), Some(&InstanceLifecycleType::Spot), "{machine:?}");
        assert_eq!(tag(machine, "MeetingID"), M);
    }
    six_requests(&mut stack);
}

#[test]
fn where_spot_has_no_room_machines_on_demand_are_launched() {
    let stack = Stack::with(&[("MARKET", "spot-then-on-demand"), ("INSTANCE_TYPE", "t3.large")]);
    stack.lambda.warm_up();
    let no_spot = serde_json::json!([{
        "action": "RunInstances",
        "market": "spot",
        "code": "InsufficientInstanceCapacity",
    }]);
    stack.aws.add_faults(no_spot);
    stack.deliver().answer();
    stack.both_recorded();
    for machine in stack.instances() {
        assert_eq!(machine.instance_lifecycle(), None, "{machine:?}");
    }
    let tried: Vec<Value> =
        stack.aws.calls().into_iter().filter(|call| call["action"] == "RunInstances").collect();
    assert_eq!(tried.len(), 8, "three zones for spot, then one on demand, twice: {tried:#?}");
}

#[test]
fn a_pair_leaves_a_zone_that_refuses_one_of_them() {
    let stack = Stack::with(&[("PAIR", "same-az"), ("INSTANCE_TYPE", "t3.large")]);
    stack.lambda.warm_up();
    let no_room = serde_json::json!([{
        "action": "RunInstances",
        "role": "student",
        "code": "InsufficientInstanceCapacity",
        "times": 1,
    }]);
    stack.aws.add_faults(no_room);
    let answer = stack.deliver().answer();
    stack.both_recorded();
    let zone = |role: &str| answer["machines"][role]["availability_zone"].as_str().map(str::to_owned);
    assert_eq!(zone("teacher"), zone("student"), "{answer:#}");
    let tried: Vec<Value> =
        stack.aws.calls().into_iter().filter(|call| call["action"] == "RunInstances").collect();
    assert_eq!(tried.len(), 4, "two in the first zone, two in the next: {tried:#?}");
    assert_ne!(tried[0]["zone"].as_str(), zone("teacher").as_deref(), "{tried:#?}");
    assert_eq!(stack.aws.count_calls()["TerminateInstances"], 1, "the teacher's first machine");
    stack.deliver().answer();
    assert_eq!(stack.aws.count_calls()["RunInstances"], 4, "nothing more is launched");
}

#[test]
fn a_launch_template_says_what_no_variable_does_and_a_repeat_keeps_its_version() {
    let mut stack = Stack::up();
    let group = stack.aws.security_group();
    let protected =
        RequestLaunchTemplateData::builder().image_id(IMAGE).disable_api_termination(true).build();
    let made = stack.aws.ec2.create_launch_template().launch_template_name("protected");
    stack.aws.wait(made.launch_template_data(protected).send()).expect("the template is made");
    let version = |size: i32| {
        let ebs = LaunchTemplateEbsBlockDeviceRequest::builder().volume_size(size).build();
        let device =
            LaunchTemplateBlockDeviceMappingRequest::builder().device_name("/dev/xvda").ebs(ebs).build();
        RequestLaunchTemplateData::builder()
            .image_id(IMAGE)
            .instance_type(InstanceType::M5Large)
            .security_group_ids(&group)
            .block_device_mappings(device)
            .build()
    };
    let ec2 = &stack.aws.ec2;
    let made = ec2.create_launch_template().launch_template_name("rooms").launch_template_data(version(33));
    stack.aws.wait(made.send()).expect("the template is made");
    let alone = [
        ("LAUNCH_TEMPLATE", "rooms:$Latest"),
        ("AMI_ID", ""),
        ("INSTANCE_TYPE", ""),
        ("SECURITY_GROUP_IDS", ""),
    ];
    stack.lambda.kill();
    stack.lambda = function(&stack.aws, &alone, meeting::TIMEOUT);
    stack.lambda.warm_up();
    let lambda = function(&stack.aws, &[("LAUNCH_TEMPLATE", "protected")], meeting::TIMEOUT);
    let preflight = lambda.invoke(&serde_json::json!({"preflight": true})).answer();
    assert!(
        preflight["findings"][0]["problem"]
            .as_str()
            .is_some_and(|p| p.contains("termination or stop protection"))
    );
    let (kind, message) = lambda.invoke(&serde_json::json!({"meeting_id": M})).error();
    assert!(kind == "InvalidConfiguration" && message.contains("DisableApiTermination"), "{kind}: {message}");
    drop(lambda);
    // What is published from now on is for later.
    let next =
        ec2.create_launch_template_version().launch_template_name("rooms").launch_template_data(version(44));
    stack.aws.wait(next.send()).expect("its second version");
    stack.deliver().answer();
    stack.both_recorded();
    for machine in stack.instances() {
        assert_eq!(machine.instance_type(), Some(&InstanceType::M5Large), "{machine:?}");
        assert_eq!(machine.image_id(), Some(IMAGE));
        assert_eq!(tag(&machine, "MeetingID"), M);
        assert_eq!(machine.security_groups()[0].group_id(), Some(group.as_str()));
    }
    let record = stack.record();
    let part = |name: &str, of: &AttributeValue| of.as_m().expect("a map")[name].clone();
    let parameters = part("parameters", &record["teacher_attempt"]);
    let pinned = part("version", &part("launch_template", &parameters));
    assert_eq!(pinned, AttributeValue::S("1".into()), "{parameters:?}");
    six_requests(&mut stack);
}

#[test]
fn a_volume_has_what_gp3_can_have() {
    let (stack, machines) = launched(&[("VOLUME_IOPS", "4000"), ("VOLUME_THROUGHPUT", "500")]);
    let volumes =
        stack.aws.wait(stack.aws.ec2.describe_volumes().send()).expect("volumes").volumes().to_vec();
    assert_eq!(volumes.len(), machines.len());
    for volume in volumes {
        assert_eq!((volume.iops(), volume.throughput()), (Some(4000), Some(500)), "{volume:?}");
    }
}

#[test]
fn another_vpc_is_used_by_its_id_and_by_its_name() {
    let stack = Stack::up();
    let name = Tag::builder().key("Name").value("meetings").build();
    let named = TagSpecification::builder().resource_type(ResourceType::Vpc).tags(name).build();
    let made = stack.aws.ec2.create_vpc().cidr_block("10.7.0.0/16").tag_specifications(named).send();
    let vpc = stack.aws.wait(made).expect("a VPC").vpc.and_then(|vpc| vpc.vpc_id).expect("an id");
    let made =
        stack.aws.ec2.create_subnet().vpc_id(&vpc).cidr_block("10.7.1.0/24").availability_zone("us-west-2b");
    let subnet = stack.aws.wait(made.send()).expect("a subnet").subnet.and_then(|subnet| subnet.subnet_id);
    let made = stack.aws.ec2.create_security_group().vpc_id(&vpc).group_name("g").description("g").send();
    let group = stack.aws.wait(made).expect("a group").group_id.expect("an id");
    for (meeting, setting) in [("by-id", ("VPC_ID", vpc.as_str())), ("by-name", ("VPC_NAME", "meetings"))] {
        let lambda = function(&stack.aws, &[setting, ("SECURITY_GROUP_IDS", &group)], meeting::TIMEOUT);
        let mut story = stack.beside();
        story.lambda.kill();
        story.lambda = lambda;
        story.turn_to(meeting);
        story.schedule();
        story.deliver().answer();
        story.both_recorded();
        for machine in story.instances() {
            assert_eq!((machine.vpc_id(), machine.subnet_id()), (Some(vpc.as_str()), subnet.as_deref()));
        }
    }
}

#[test]
fn a_public_address_is_given_or_not_as_it_is_set() {
    for (setting, expected) in [("true", true), ("false", false)] {
        let (_, machines) = launched(&[("PUBLIC_IP", setting)]);
        for machine in &machines {
            assert_eq!(machine.public_ip_address().is_some(), expected, "{setting}: {machine:?}");
            let [interface] = machine.network_interfaces() else { panic!("one interface: {machine:?}") };
            assert_eq!(interface.groups().len(), 1, "{interface:?}");
        }
    }
}

mod preflight {
    use super::*;
    use serde_json::json;

    fn looked(stack: &Stack, event: Value) -> Value {
        stack.aws.clear_calls();
        let answer = stack.lambda.invoke(&event).answer();
        let calls = stack.aws.count_calls();
        assert!(!calls.contains_key("UpdateItem"), "nothing is written: {calls:?}");
        assert!(stack.aws.instances(M).is_empty(), "nothing is launched");
        assert!(stack.aws.instances("preflight").is_empty(), "nothing is launched");
        answer
    }

    #[test]
    fn what_a_dry_run_cannot_tell_is_said_and_stands_against_nothing() {
        let by_hand = |variables: &[(&str, &str)]| -> Vec<String> {
            let stack = Stack::with(variables);
            let answer = looked(&stack, json!({"preflight": true}));
            assert_eq!(answer["ready"], true, "{answer:#}");
            serde_json::from_value(answer["by_hand"].clone()).expect("lines")
        };
        let plain = by_hand(&[]);
        assert!(plain.len() == 1 && plain[0].starts_with("IAM_PROFILE is not set"), "{plain:#?}");
        let all = by_hand(&[("VOLUME_KMS_KEY_ID", "alias/aws/ebs"), ("MARKET", "spot-then-on-demand")]);
        assert_eq!(all.len(), 3, "{all:#?}");
        for grant in
            ["kms:CreateGrant", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey", "kms:ReEncrypt*"]
        {
            assert!(all[1].contains(grant), "{all:#?}");
        }
        assert!(all[2].contains("AWSServiceRoleForEC2Spot"), "{all:#?}");
    }

    #[test]
    fn what_is_ready_says_what_would_be_tried_and_changes_nothing() {
        let stack = Stack::with(&[("MARKET", "spot-then-on-demand"), ("INSTANCE_TYPE", "t3.large,m5.large")]);
        let answer = looked(&stack, json!({"preflight": true, "meeting_id": M}));
        assert_eq!((&answer["ready"], &answer["findings"]), (&json!(true), &json!([])), "{answer:#}");
        assert_eq!(answer["image_id"], IMAGE);
        let attempts = answer["attempts"].as_array().expect("a list");
        assert_eq!(attempts.len(), 12, "two markets, two types, three zones: {answer:#}");
        assert_eq!(
            (&attempts[0]["market"], &attempts[0]["instance_type"]),
            (&json!("spot"), &json!("t3.large"))
        );
        assert_eq!(stack.aws.count_calls()["RunInstances"], 12, "each type in each subnet and market, dry");
        let without = looked(&stack, json!({"preflight": true}));
        assert_eq!(without["ready"], json!(true), "{without:#}");
        stack.deliver().answer();
        stack.both_recorded();
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once_and_in_order() {
        let wrong = [
            ("AMI_ID", "resolve:ssm:/not/there"),
            ("KEY_NAME", "theirs"),
            ("VPC_NAME", "nowhere"),
            ("TABLE_NAME", "another-table"),
        ];
        let stack = Stack::with(&wrong);
        let answer = looked(&stack, json!({"preflight": true}));
        assert_eq!(answer["ready"], json!(false));
        let findings = answer["findings"].as_array().expect("a list");
        let remedies: Vec<&str> = findings.iter().filter_map(|finding| finding["remedy"].as_str()).collect();
        let expected = ["TABLE_NAME", "AMI_ID", "KEY_NAME", "VPC_NAME"];
        assert_eq!(remedies.len(), expected.len(), "{answer:#}");
        for (remedy, variable) in remedies.iter().zip(expected) {
            assert!(remedy.contains(variable), "{variable}: {answer:#}");
        }
    }

    #[test]
    fn what_ec2_would_refuse_is_told_once_with_every_place() {
        let stack = Stack::with(&[("SECURITY_GROUP_IDS", "sg-0123456789abcdef0")]);
        let answer = looked(&stack, json!({"preflight": true}));
        let [finding] = &answer["findings"].as_array().expect("a list")[..] else { panic!("{answer:#}") };
        let problem = finding["problem"].as_str().unwrap_or_default();
        for part in ["EC2 would not launch", "us-west-2a", "us-west-2b", "us-west-2c", "InvalidGroup"] {
            assert!(problem.contains(part), "{part}: {answer:#}");
        }
        assert!(finding["remedy"].as_str().is_some_and(|remedy| remedy.contains("SECURITY_GROUP_IDS")));
    }

    #[test]
    fn a_profile_that_does_not_exist_is_a_finding_at_once() {
        let stack = Stack::with(&[("IAM_PROFILE", "typo")]);
        let answer = looked(&stack, json!({"preflight": true}));
        let [finding] = &answer["findings"].as_array().expect("a list")[..] else { panic!("{answer:#}") };
        assert!(finding["remedy"].as_str().is_some_and(|r| r.contains("IAM_PROFILE")), "{answer:#}");
    }

    #[test]
    fn a_place_that_falls_away_is_no_finding_while_another_is_left() {
        let stack = Stack::up();
        let refuse = |zone: &str| json!({"action": "RunInstances", "zone": zone, "code": "Unsupported"});
        stack.aws.add_faults(json!([refuse("us-west-2a"), refuse("us-west-2b")]));
        assert_eq!(looked(&stack, json!({"preflight": true}))["ready"], json!(true));
        stack.aws.add_faults(json!([refuse("us-west-2c")]));
        let none = looked(&stack, json!({"preflight": true}));
        assert_eq!(none["findings"][0]["error_type"], "InvalidConfiguration", "{none:#}");
    }

    #[test]
    fn a_meeting_that_would_not_be_launched_is_a_finding() {
        let stack = Stack::up();
        let none = looked(&stack, json!({"preflight": true, "meeting_id": "nobody's"}));
        assert_eq!(none["findings"][0]["error_type"], "MeetingNotFound", "{none:#}");
        stack.set("status", "TERMINATED");
        let over = looked(&stack, json!({"preflight": true, "meeting_id": M}));
        assert_eq!(over["findings"][0]["error_type"], "MeetingOver", "{over:#}");
    }

    #[test]
    fn only_true_is_a_preflight() {
        let stack = Stack::up();
        let (kind, message) = stack.lambda.invoke(&json!({"preflight": "yes", "meeting_id": M})).error();
        assert_eq!(kind, "InvalidEvent");
        assert!(message.contains("a preflight that is a string, not a boolean"), "{message}");
        let (kind, _) = stack.lambda.invoke(&json!({"preflight": true, "meeting_id": 7})).error();
        assert_eq!(kind, "InvalidEvent");
        stack.lambda.invoke(&json!({"preflight": false, "meeting_id": M})).answer();
        stack.both_recorded();
    }
}

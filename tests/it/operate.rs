//! The verb `operate`: what an event may say, as a table; its decisions, as tables; and each thing that it does, twice, by the
//! real binary on the local AWS.

use crate::local;
use crate::meeting;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::local::lambda::{Lambda, Outcome};
use crate::meeting::{M, Stack, id, operator, tag};
use aws_sdk_ec2::types::{Filter, InstanceStateName, Tag};
use elephant_core::error::Kind;
use elephant_core::event::{Operate, Verb};
use elephant_core::hardware::{Hardware, OwnImage};
use elephant_core::machine::{Addresses, InstanceId, Machine, State};
use elephant_core::plan::operate::{
    Power, free_device, free_index, newest_first, reboot, start, stop, token,
};
use elephant_core::vpc::{Cidr, block_for};
use serde_json::{Value, json};

// What an event may say.

/// And a part of what is said about each.
#[rustfmt::skip]
fn bad_requests() -> Vec<(Value, &'static str)> {
    let machine = |more: Value| {
        let mut event = json!({"meeting_id": "m", "role": "teacher"});
        event.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        event
    };
    let volume = |more: Value| {
        let mut event = machine(json!({"do": "add_volume", "name": "v", "size_gb": 8}));
        event.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        event
    };
    vec![
        (json!("stop"), "is a string, not an object"),
        (json!({}), "has no do, and what is to be done is one of latest_image, ensure_key, ensure_vpc"),
        (json!({"do": 7}), "has a do that is a number, not a string"),
        (json!({"do": " "}), "has an empty do"),
        (machine(json!({"do": "terminate"})), "has the do \"terminate\", which is none of latest_image, ensure_key"),
        (json!({"do": "stop"}), "has neither a meeting_id with a role nor an instance_id to stop"),
        (json!({"do": "stop", "meeting_id": "m"}), "has a meeting_id and no role"),
        (json!({"do": "stop", "role": "teacher"}), "has a role and no meeting_id"),
        (
            json!({"do": "stop", "meeting_id": "m", "role": "Teacher"}),
            "has a role that is neither teacher nor student",
        ),
        (
            json!({"do": "stop", "meeting_id": "m", "meetingId": "n", "role": "teacher"}),
            "has a meeting_id and a meetingId that differ",
        ),
        (
            machine(json!({"do": "stop", "instance_id": "i-1"})),
            "has an instance_id and a meeting_id or role, and one is enough",
        ),
        (
            json!({"do": "stop", "instance_id": "vol-1"}),
            "has the instance_id \"vol-1\", not an id such as i-0a1b2c3d",
        ),
        (json!({"do": "stop", "instance_id": "i-1; rm"}), "has the instance_id \"i-1; rm\", not an id"),
        (machine(json!({"do": "stop", "wait": "yes"})), "has a wait that is a string, not a boolean"),
        (machine(json!({"do": "stop", "force": true})), "has the field \"force\", which stop has not got"),
        (machine(json!({"do": "reboot"})), "has no name, by which a repeat of it would be known"),
        (machine(json!({"do": "reboot", "name": "x".repeat(257)})), "has a name of more than 256 characters"),
        (
            machine(json!({"do": "snapshot", "name": "äpfel"})),
            "has the name \"äpfel\", and EC2 takes 3 to 128 letters",
        ),
        (machine(json!({"do": "snapshot", "name": "ab"})), "has the name \"ab\", and EC2 takes 3 to 128"),
        (
            machine(json!({"do": "delete_image", "image_id": "ami-1"})),
            "names a machine, and delete_image is about none",
        ),
        (json!({"do": "delete_image"}), "has no image_id"),
        (
            json!({"do": "delete_image", "image_id": "snap-1"}),
            "has the image_id \"snap-1\", not an id such as ami-",
        ),
        (json!({"do": "images", "newest": true}), "has the field \"newest\", which images has not got"),
        (machine(json!({"do": "add_volume", "name": "v"})), "has no size_gb"),
        (volume(json!({"size_gb": 0})), "has a size_gb that is 0, not a whole number from 1 to 65536"),
        (volume(json!({"size_gb": "8"})), "has a size_gb that is \"8\", not a whole number"),
        (volume(json!({"volume_type": "ssd"})), "has the volume_type \"ssd\", which is none of gp3, gp2"),
        (
            volume(json!({"volume_type": "gp2", "iops": 4000})),
            "has iops, which a volume of the type gp2 has not got",
        ),
        (volume(json!({"volume_type": "io2"})), "has no iops, which a volume of the type io2 needs"),
        (
            volume(json!({"volume_type": "st1", "size_gb": 125, "throughput": 500})),
            "has a throughput, which a volume of the type st1 has not got",
        ),
        (
            volume(json!({"size_gb": 1, "iops": 16_000})),
            "has iops of 16000, and a volume of the type gp3 with 1 GiB has 3000 to 3000",
        ),
        (volume(json!({"iops": 100})), "has iops of 100, and a volume of the type gp3 with 8 GiB has 3000 to 4000"),
        (
            volume(json!({"throughput": 1000})),
            "has a throughput of 1000, and a volume of the type gp3 with 3000 iops has 125 to 750",
        ),
        (
            volume(json!({"volume_type": "io1", "iops": 401})),
            "has iops of 401, and a volume of the type io1 with 8 GiB has 100 to 400",
        ),
        (
            volume(json!({"volume_type": "io2", "iops": 8001})),
            "has iops of 8001, and a volume of the type io2 with 8 GiB has 100 to 8000",
        ),
        (
            volume(json!({"volume_type": "io2", "size_gb": 3, "iops": 100})),
            "has a size_gb of 3, and a volume of the type io2 has 4 to 65536",
        ),
        (volume(json!({"volume_type": "st1"})), "has a size_gb of 8, and a volume of the type st1 has 125 to 16384"),
        (
            volume(json!({"volume_type": "gp2", "size_gb": 16_385})),
            "has a size_gb of 16385, and a volume of the type gp2 has 1 to 16384",
        ),
        (volume(json!({"encrypted": "no"})), "has an encrypted that is a string, not a boolean"),
        (
            machine(json!({"do": "run", "command": "ls"})),
            "has no name, by which a repeat of it would be known",
        ),
        (
            machine(json!({"do": "run", "name": "x".repeat(101), "command": "ls"})),
            "has a name of more than 100 characters",
        ),
        (machine(json!({"do": "run", "name": "r"})), "has no command"),
        (
            machine(json!({"do": "run", "name": "r", "command": ["ls"]})),
            "has a command that is an array, not a string",
        ),
        (
            machine(json!({"do": "run", "name": "r", "command": "ls", "shell": "zsh"})),
            "has the shell \"zsh\", which is neither",
        ),
        (
            machine(json!({"do": "run", "name": "r", "command": "ls", "timeout_seconds": 4})),
            "has a timeout_seconds that is 4, not a",
        ),
        (machine(json!({"do": "ensure_key", "name": "k"})), "names a machine, and ensure_key is about none"),
        (json!({"do": "ensure_key"}), "has no name"),
        (json!({"do": "ensure_key", "name": "schlüssel"}), "has a name that is no key pair's"),
        (
            json!({"do": "ensure_key", "name": "k", "public_key": "-----BEGIN PRIVATE KEY-----"}),
            "has a public_key that is not one line",
        ),
        (json!({"do": "ensure_key", "name": "k", "key_type": "dsa"}), "has the key_type \"dsa\", which is neither"),
        (
            json!({"do": "ensure_key", "name": "k", "key_type": "rsa", "public_key": "ssh-rsa AAAA"}),
            "has a key_type and a public_key, which has a type of its own",
        ),
        (
            json!({"do": "ensure_vpc", "name": "class room", "cidr": "10.20.0.0/16"}),
            "has the name \"class room\", not at most 64",
        ),
        (json!({"do": "ensure_vpc", "name": "v"}), "has no cidr"),
        (
            json!({"do": "ensure_vpc", "name": "v", "cidr": "10.20.0.0/8"}),
            "has the cidr \"10.20.0.0/8\", not a block such as",
        ),
        (
            json!({"do": "ensure_vpc", "name": "v", "cidr": "10.20.1.0/16"}),
            "has the cidr \"10.20.1.0/16\", not a block",
        ),
        (machine(json!({"do": "delete_vpc", "name": "v"})), "names a machine, and delete_vpc is about none"),
        (machine(json!({"do": "latest_image"})), "names a machine, and latest_image is about none"),
        (machine(json!({"do": "remove_volume"})), "has neither a volume_id nor a name"),
        (
            machine(json!({"do": "remove_volume", "name": "v", "volume_id": "vol-1"})),
            "has a volume_id and a name, and one is enough",
        ),
        (
            machine(json!({"do": "add_network_interface", "name": "n", "security_group_ids": "sg-1"})),
            "has security_group_ids that are no list of ids",
        ),
        (
            machine(json!({"do": "add_network_interface", "name": "n", "security_group_ids": ["sg-1", 7]})),
            "has security_group_ids that are not all ids",
        ),
        (
            machine(json!({"do": "add_network_interface", "name": "n", "subnet_id": "vpc-1"})),
            "has the subnet_id \"vpc-1\", not an id such as subnet-",
        ),
    ]
}

/// Each is refused in one sentence, and before anything is asked of AWS.
#[test]
fn requests_that_nobody_could_mean_are_refused_by_name() {
    let bench = Bench::up();
    let cases = bad_requests();
    assert!(cases.len() >= 30);
    for (event, said) in cases {
        let error = Operate::from_json(&event).expect_err(said);
        let (kind, message) = bench.operate.invoke(&event).error();
        assert_eq!((kind, message), ("InvalidEvent".to_owned(), error.chain()));
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with(&format!("the event {said}")), "{said}: {}", error.problem);
        assert!(
            !error.chain().contains('\n') && error.advice.starts_with("send {\"do\""),
            "{}",
            error.chain()
        );
    }
    assert_eq!(bench.stack.aws.calls(), Vec::<Value>::new());
}

#[test]
fn the_samples_are_what_their_names_say_and_there_is_one_for_each_verb() {
    let mut verbs = BTreeSet::new();
    for (name, event) in samples() {
        match Operate::from_json(&event) {
            Ok(request) => {
                let verb = request.verb.as_str();
                assert_eq!(name, format!("operate-{}.json", verb.replace('_', "-")));
                verbs.insert(verb);
            }
            Err(error) => {
                assert!(name.starts_with("operate-refused-"), "{name}: {}", error.chain());
                assert_eq!(error.kind, Kind::InvalidEvent);
            }
        }
    }
    assert_eq!(verbs, Verb::ALL.iter().copied().collect());
    let of_operate: BTreeSet<String> = features()
        .into_iter()
        .filter_map(|(verb, _)| verb.strip_prefix("operate ").map(str::to_owned))
        .collect();
    assert_eq!(
        of_operate,
        Verb::ALL.iter().map(|verb| (*verb).to_owned()).collect(),
        "the table of docs/functions.md"
    );
}

/// The table of docs/functions.md: the verb, `operate stop` for one of `operate`, and its sample.
fn features() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(local::top().join("docs/functions.md")).expect("docs/functions.md");
    let table =
        page.split("\n## What there is\n").nth(1).expect("the table").split("\n## ").next().expect("its end");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let verb = cells.next()?.replace(['`', ':'], "");
        let sample = cells.last()?.split("`").nth(1)?.to_owned();
        Some((verb, sample))
    };
    let rows: Vec<(String, String)> = table.lines().filter_map(row).collect();
    assert!(rows.len() >= 20, "{rows:?}");
    rows
}

fn samples() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(local::top().join("events")).expect("events/").flatten();
    let mut samples: Vec<(String, Value)> = files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()))
        .filter(|(name, _)| name.starts_with("operate-"))
        .map(|(name, path)| {
            let text = std::fs::read_to_string(path).expect("text");
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    samples.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(samples.len() >= 12, "{samples:?}");
    samples
}

// What is decided.

#[test]
fn the_first_device_name_is_one_that_nothing_is_at_by_either_of_its_names() {
    let free = |taken: &[&str]| free_device(&taken.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(free(&["/dev/xvda"]).as_deref(), Some("/dev/sdf"));
    assert_eq!(free(&["/dev/sda1", "/dev/sdf", "/dev/xvdg", "xvdh"]).as_deref(), Some("/dev/sdi"));
    assert_eq!(free(&["/dev/sdg"]).as_deref(), Some("/dev/sdf"));
    let all: Vec<String> = ('f'..='p').map(|letter| format!("/dev/sd{letter}")).collect();
    assert_eq!((free_device(&all), free_device(&all[..10]).as_deref()), (None, Some("/dev/sdp")));
}

#[test]
fn the_first_device_index_is_one_that_nothing_has_within_what_the_type_allows() {
    let cases = [(&[0][..], 3, Some(1)), (&[0, 1], 3, Some(2)), (&[0, 2], 3, Some(1)), (&[0, 1, 2], 3, None)];
    for (taken, limit, expected) in cases {
        assert_eq!(free_index(taken, limit), expected, "{taken:?} of {limit}");
    }
}

#[test]
fn a_client_token_is_the_same_for_the_same_thing_and_another_for_every_other() {
    let machine = InstanceId::from("i-1");
    let all = [
        token("volume", &machine, "a", 1),
        token("volume", &machine, "a", 2),
        token("volume", &machine, "b", 1),
        token("volume", &InstanceId::from("i-2"), "a", 1),
        token("network interface", &machine, "a", 1),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(all[0], token("volume", &machine, "a", 1));
    assert!(all.iter().all(|token| token.as_str().len() == 36 && token.as_str().is_ascii()));
}

#[test]
fn of_images_the_newest_comes_first() {
    let image = |id: &str, created: Option<&str>| OwnImage {
        image_id: id.into(),
        name: id.into(),
        state: "available".into(),
        state_reason: None,
        created_at: created.map(str::to_owned),
        is_protected: false,
        snapshot_ids: Vec::new(),
        tags: BTreeMap::new(),
    };
    let mut images = [
        image("ami-1", Some("2026-12-31T23:59:59.000Z")),
        image("ami-2", None),
        image("ami-3", Some("2027-01-05T10:00:00.000Z")),
        image("ami-4", Some("2026-12-31T23:59:59.000Z")),
    ];
    newest_first(&mut images);
    assert_eq!(images.map(|image| image.image_id), ["ami-3", "ami-4", "ami-1", "ami-2"]);
}

#[test]
fn what_is_asked_of_a_machine_depends_on_its_state() {
    use Power::{Already, Later, Send};
    let of = |state: State| Hardware {
        machine: Machine {
            instance_id: InstanceId::from("i-1"),
            state,
            state_reason: None,
            tags: BTreeMap::new(),
        },
        addresses: Addresses::default(),
        launched_at: None,
        instance_type: "t3.large".into(),
        availability_zone: "us-west-2a".into(),
        subnet_id: None,
        security_group_ids: Vec::new(),
        root_device: None,
        has_instance_store_root: false,
        is_spot: false,
        volumes: Vec::new(),
        interfaces: Vec::new(),
    };
    let refused = |power: Power| matches!(power, Power::Refused(_));
    for (state, stopped, started) in [
        (State::Pending, Later, Already),
        (State::Running, Send, Already),
        (State::Stopping, Already, Later),
        (State::Stopped, Already, Send),
    ] {
        assert_eq!((stop(&of(state)), start(&of(state))), (stopped, started), "{state:?}");
    }
    assert_eq!((reboot(&of(State::Pending)), reboot(&of(State::Running))), (Later, Send));
    for state in [State::Stopping, State::Stopped, State::ShuttingDown, State::Terminated] {
        assert!(refused(reboot(&of(state))), "{state:?}");
    }
    for state in [State::ShuttingDown, State::Terminated] {
        assert!(refused(stop(&of(state))) && refused(start(&of(state))), "{state:?}");
    }
    let spot = Hardware { is_spot: true, ..of(State::Running) };
    let Power::Refused(why) = stop(&spot) else { panic!("it is refused") };
    assert_eq!(
        why,
        "i-1 cannot be stopped: it is a spot machine for one time, which EC2 does not stop but end"
    );
    let stored = Hardware { has_instance_store_root: true, ..of(State::Running) };
    let Power::Refused(why) = stop(&stored) else { panic!("it is refused") };
    assert!(why.contains("its root is on a disk of its host"), "{why}");
    assert_eq!((reboot(&spot), reboot(&stored)), (Send, Send));
}

// What is done, on the local AWS.

/// A meeting with both its machines, and the function.
struct Bench {
    stack: Stack,
    operate: Lambda,
}

impl Bench {
    fn up() -> Bench {
        let stack = Stack::up();
        stack.deliver().answer();
        let operate = operator(&stack.aws);
        operate.warm_up();
        stack.aws.clear_calls();
        Bench { stack, operate }
    }

    /// To the teacher's machine.
    fn ask(&self, verb: &str, more: Value) -> Value {
        self.operate.invoke(&request(verb, more)).answer()
    }

    fn refused(&self, verb: &str, more: Value) -> (String, String) {
        self.stack.aws.clear_calls();
        let error = self.operate.invoke(&request(verb, more)).error();
        assert_eq!(self.changing(), Vec::<String>::new(), "{error:?}");
        error
    }

    /// What was asked of AWS since that changes anything.
    fn changing(&self) -> Vec<String> {
        let calls = self.stack.aws.calls();
        // What had nothing to change changed nothing.
        let vain = ["ConditionalCheckFailedException", "ParameterNotFound"];
        let done = calls.iter().filter(|call| !vain.iter().any(|code| call["code"] == *code));
        let actions = done.filter_map(|call| call["action"].as_str().map(str::to_owned));
        let looks = ["Describe", "Get", "List"];
        actions.filter(|action| !looks.iter().any(|look| action.starts_with(look))).collect()
    }

    /// The function dies at this call, `before` it takes effect or `after`.
    fn kill_at(&self, event: &Value, action: &str, moment: &str) {
        let aws = &self.stack.aws;
        aws.clear_calls();
        aws.add_faults(json!([{"action": action, "hold": moment, "times": 1}]));
        std::thread::scope(|scope| {
            let dead = scope.spawn(|| self.operate.invoke(event));
            local::aws::eventually(&format!("{action} is held"), meeting::LIMIT, || {
                let held = |call: &Value| call["status"].as_str().is_some_and(|s| s.starts_with("held"));
                aws.calls().iter().any(held).then_some(())
            });
            self.operate.kill();
            let outcome = dead.join().expect("it ends");
            assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
        });
        aws.release(json!({"discard": true}));
        self.stack.all_is_quiet();
        aws.clear_faults();
    }

    /// The same request again changes nothing, and answers the same but for its outcome.
    fn again(&self, verb: &str, more: Value, first: &Value) {
        self.stack.aws.clear_calls();
        let again = self.ask(verb, more);
        assert_eq!(
            (&first["outcome"], &again["outcome"]),
            (&json!("done"), &json!("unchanged")),
            "{again:#}"
        );
        let mut same = first.clone();
        same["outcome"] = again["outcome"].clone();
        assert_eq!(same, again);
        let noted = ["UpdateItem", "ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute"];
        let changing: Vec<String> =
            self.changing().into_iter().filter(|action| !noted.contains(&action.as_str())).collect();
        assert_eq!(changing, Vec::<String>::new());
    }

    fn machine(&self, role: &str) -> aws_sdk_ec2::types::Instance {
        let all = self.stack.instances();
        all.into_iter().find(|machine| tag(machine, "Role") == role).expect("one")
    }

    fn volumes(&self) -> Vec<aws_sdk_ec2::types::Volume> {
        let project = Filter::builder().name("tag:Project").values("Elephant").build();
        let all = self.stack.aws.ec2.describe_volumes().filters(project);
        self.stack.aws.wait(all.send()).expect("volumes").volumes.unwrap_or_default()
    }

    fn interfaces(&self) -> Vec<aws_sdk_ec2::types::NetworkInterface> {
        let all = self.stack.aws.ec2.describe_network_interfaces();
        self.stack.aws.wait(all.send()).expect("interfaces").network_interfaces.unwrap_or_default()
    }

    fn snapshots(&self) -> Vec<String> {
        let project = Filter::builder().name("tag:Project").values("Elephant").build();
        let all = self.stack.aws.ec2.describe_snapshots().filters(project);
        let all = self.stack.aws.wait(all.send()).expect("snapshots").snapshots.unwrap_or_default();
        all.iter().filter_map(|snapshot| snapshot.snapshot_id().map(str::to_owned)).collect()
    }

    fn images(&self) -> usize {
        let all = self.stack.aws.ec2.describe_images().owners("self");
        let project = Filter::builder().name("tag:Project").values("Elephant").build();
        self.stack.aws.wait(all.filters(project).send()).expect("images").images().len()
    }
}

fn request(verb: &str, more: Value) -> Value {
    let alone = ["images", "ensure_key", "latest_image", "ensure_vpc", "delete_vpc"].contains(&verb);
    let mut event = match more.get("instance_id").or(more.get("image_id")).is_some() || alone {
        true => json!({"do": verb}),
        false => json!({"do": verb, "meeting_id": M, "role": "teacher"}),
    };
    event.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    event
}

#[test]
fn a_machine_is_stopped_started_and_rebooted_and_its_record_stays_true() {
    let bench = Bench::up();
    let state = || bench.machine("teacher").state().and_then(|state| state.name()).cloned();
    let stopped = bench.ask("stop", json!({"wait": true}));
    assert_eq!((&stopped["outcome"], &stopped["state"]), (&json!("done"), &json!("stopped")), "{stopped:#}");
    assert_eq!(state(), Some(InstanceStateName::Stopped));
    assert_eq!(bench.stack.attribute("teacher_state").as_deref(), Some("stopped"));
    bench.again("stop", json!({"wait": true}), &stopped);
    let (kind, message) = bench.refused("reboot", json!({"name": "x"}));
    assert_eq!(kind, "OperationRefused");
    assert!(message.contains("is stopped, and only a machine that runs can be rebooted"), "{message}");

    let started = bench.ask("start", json!({"wait": true}));
    assert_eq!((&started["outcome"], &started["state"]), (&json!("done"), &json!("running")), "{started:#}");
    assert_eq!(bench.stack.attribute("teacher_state").as_deref(), Some("running"));
    assert_eq!(bench.stack.attribute("teacher_private_ip").as_deref(), started["private_ip"].as_str());
    assert_eq!(bench.stack.attribute("teacher_dns_name").as_deref(), started["dns_name"].as_str());
    bench.again("start", json!({"wait": true}), &started);

    let rebooted = bench.ask("reboot", json!({"name": "after the update"}));
    bench.again("reboot", json!({"name": "after the update"}), &rebooted);
    bench.stack.aws.clear_calls();
    assert_eq!(bench.ask("reboot", json!({"name": "once more"}))["outcome"], "done");
    assert_eq!(bench.changing(), ["RebootInstances", "CreateTags"]);
    bench.stack.both_recorded();
}

#[test]
fn a_spot_machine_is_not_stopped_and_the_reason_is_said() {
    let stack = Stack::with(&[("MARKET", "spot")]);
    stack.deliver().answer();
    let operate = operator(&stack.aws);
    let (kind, message) = operate.invoke(&request("stop", json!({}))).error();
    assert!(
        kind == "OperationRefused" && message.contains("a spot machine for one time"),
        "{kind}: {message}"
    );
    assert!(!stack.aws.count_calls().contains_key("StopInstances"));
    assert_eq!(operate.invoke(&request("reboot", json!({"name": "once"}))).answer()["outcome"], "done");
    operate.kill();
}

#[test]
fn an_image_is_made_of_a_machine_launched_from_and_deleted_with_its_snapshots() {
    let mut bench = Bench::up();
    let named = json!({"name": "classroom 2027-01", "wait": true});
    let made = bench.ask("snapshot", named.clone());
    let image = made["image"]["image_id"].as_str().expect("an id").to_owned();
    assert_eq!(made["image"]["state"], "available", "{made:#}");
    assert_eq!((&made["image"]["meeting_id"], &made["image"]["role"]), (&json!(M), &json!("teacher")));
    assert_eq!(bench.snapshots().len(), 1);
    bench.again("snapshot", named.clone(), &made);
    assert_eq!(bench.images(), 1);

    // The name is the student's from now on no more than the teacher's.
    let student = json!({"name": "classroom 2027-01", "instance_id": id(&bench.machine("student"))});
    let (kind, message) = bench.refused("snapshot", student);
    assert_eq!(kind, "OperationRefused");
    assert!(message.contains(&format!("is taken by the image {image}, which was made of i-")), "{message}");

    let second = bench.ask("snapshot", json!({"name": "classroom 2027-02"}));
    let listed = bench.ask("images", json!({}));
    let ids: Vec<&Value> =
        listed["images"].as_array().expect("a list").iter().map(|i| &i["image_id"]).collect();
    let both = [&second, &made].map(|answer| answer["image"]["image_id"].to_string());
    assert_eq!(ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), BTreeSet::from(both));
    let of_the_student = json!({"instance_id": id(&bench.machine("student"))});
    assert_eq!(bench.ask("images", of_the_student)["images"], json!([]));

    // Next week's teacher starts from it.
    bench.stack.turn_to("next week");
    bench.stack.schedule();
    bench.stack.set("teacher_image_id", &image);
    bench.stack.deliver().answer();
    bench.stack.both_recorded();
    assert_eq!(bench.machine("teacher").image_id(), Some(image.as_str()));

    for image in ids.iter().filter_map(|image| image.as_str()) {
        let gone = bench.ask("delete_image", json!({"image_id": image}));
        assert_eq!(
            (&gone["outcome"], gone["deleted_snapshot_ids"].as_array().map(Vec::len)),
            (&json!("done"), Some(1))
        );
        let again = bench.ask("delete_image", json!({"image_id": image}));
        assert_eq!((&again["outcome"], &again["deleted_snapshot_ids"]), (&json!("unchanged"), &json!([])));
    }
    assert_eq!((bench.images(), bench.snapshots()), (0, Vec::new()));
    let (kind, message) = bench.refused("delete_image", json!({"image_id": local::aws::IMAGE}));
    assert!(kind == "OperationRefused" && message.contains("has not the tag Project of ours"), "{message}");
}

/// A death between image and snapshots: the repeat finds what is left by what CreateImage wrote on it.
#[test]
fn the_snapshots_of_an_image_that_is_gone_are_deleted_by_the_repeat() {
    let bench = Bench::up();
    let made = bench.ask("snapshot", json!({"name": "half deleted"}));
    let image = made["image"]["image_id"].as_str().expect("an id").to_owned();
    bench.stack.aws.age(Duration::from_secs(60));
    let hold = json!({"action": "DeleteSnapshot", "code": "UnauthorizedOperation"});
    bench.stack.aws.add_faults(json!([hold]));
    let (kind, _) = bench.operate.invoke(&request("delete_image", json!({"image_id": image}))).error();
    assert_eq!((kind.as_str(), bench.images(), bench.snapshots().len()), ("Unauthorized", 0, 1));
    bench.stack.aws.clear_faults();
    let gone = bench.ask("delete_image", json!({"image_id": image}));
    assert_eq!((&gone["outcome"], bench.snapshots()), (&json!("done"), Vec::new()), "{gone:#}");
}

#[test]
fn a_volume_is_added_once_by_its_name_and_removed_and_added_again() {
    let bench = Bench::up();
    let before = bench.volumes().len();
    let wanted = json!({"name": "recordings", "size_gb": 100, "iops": 4000});
    let added = bench.ask("add_volume", wanted.clone());
    let volume = &added["volume"];
    assert_eq!((&volume["device"], &volume["size_gb"]), (&json!("/dev/sdf"), &json!(100)), "{added:#}");
    let nitro = volume["device_on_nitro"].as_str().expect("a path");
    assert!(nitro.ends_with(&volume["volume_id"].as_str().expect("an id").replace('-', "")), "{nitro}");
    bench.again("add_volume", wanted, &added);
    let machine = bench.machine("teacher");
    let mapping = machine.block_device_mappings().iter().find(|m| m.device_name() == Some("/dev/sdf"));
    let ebs = mapping.and_then(|mapping| mapping.ebs()).expect("it is attached");
    assert_eq!(ebs.delete_on_termination(), Some(true), "deleted with the machine");
    assert_eq!(bench.volumes().len(), before + 1);

    let (kind, message) = bench.refused("add_volume", json!({"name": "recordings", "size_gb": 50}));
    assert_eq!(kind, "OperationRefused");
    assert!(message.contains("has a volume \"recordings\" already, vol-"), "{message}");
    let second = bench.ask("add_volume", json!({"name": "notes", "size_gb": 1}));
    assert_eq!(second["volume"]["device"], "/dev/sdg");

    let removed = bench.ask("remove_volume", json!({"name": "recordings"}));
    assert_eq!((&removed["outcome"], bench.volumes().len()), (&json!("done"), before + 1), "{removed:#}");
    assert_eq!(bench.ask("remove_volume", json!({"name": "recordings"}))["outcome"], "unchanged");
    let anew = bench.ask("add_volume", json!({"name": "recordings", "size_gb": 100, "iops": 4000}));
    assert_eq!((&anew["outcome"], &anew["volume"]["device"]), (&json!("done"), &json!("/dev/sdf")));
    assert_ne!(anew["volume"]["volume_id"], added["volume"]["volume_id"], "it is another one");
    for named in [json!({"name": "notes"}), json!({"volume_id": anew["volume"]["volume_id"]})] {
        assert_eq!(bench.ask("remove_volume", named)["outcome"], "done");
    }
    assert_eq!(bench.volumes().len(), before);

    let root = machine.block_device_mappings()[0].ebs().and_then(|ebs| ebs.volume_id()).expect("its root");
    let (kind, message) = bench.refused("remove_volume", json!({"volume_id": root}));
    assert!(kind == "OperationRefused" && message.contains("is the root of i-"), "{message}");
    let other = bench.machine("student");
    let other = other.block_device_mappings()[0].ebs().and_then(|ebs| ebs.volume_id()).expect("its root");
    let (kind, message) = bench.refused("remove_volume", json!({"volume_id": other}));
    assert!(kind == "OperationRefused" && message.contains("is not one of i-"), "{message}");
}

#[test]
fn a_volume_that_cannot_be_attached_is_not_left_behind_and_one_of_a_dead_delivery_is_found() {
    let bench = Bench::up();
    let before = bench.volumes().len();
    bench.stack.aws.add_faults(json!([{"action": "AttachVolume", "code": "UnauthorizedOperation"}]));
    let wanted = request("add_volume", json!({"name": "notes", "size_gb": 1}));
    let (kind, message) = bench.operate.invoke(&wanted).error();
    assert_eq!((kind.as_str(), bench.volumes().len()), ("Unauthorized", before), "{message}");
    bench.stack.aws.clear_faults();
    // Whatever is lost, before its effect or after it, the repeat has one volume.
    for (n, action) in ["CreateVolume", "AttachVolume", "ModifyInstanceAttribute"].iter().enumerate() {
        for lost in ["before", "after"] {
            let wanted = request("add_volume", json!({"name": format!("{n} {lost}"), "size_gb": 1}));
            bench.kill_at(&wanted, action, lost);
            let added = bench.operate.invoke(&wanted).answer();
            assert!(added["volume"]["device"].is_string(), "{action} {lost}: {added:#}");
        }
    }
    assert_eq!(bench.volumes().len(), before + 6);
}

#[test]
fn a_network_interface_is_added_once_by_its_name_within_the_types_limit_and_removed() {
    let bench = Bench::up();
    let before = bench.interfaces().len();
    let added = bench.ask("add_network_interface", json!({"name": "camera"}));
    let interface = &added["network_interface"];
    assert_eq!(interface["device_index"], 1, "{added:#}");
    assert_eq!(interface["subnet_id"].as_str(), bench.machine("teacher").subnet_id(), "the machine's");
    bench.again("add_network_interface", json!({"name": "camera"}), &added);
    let found = bench.interfaces();
    let found = found.iter().find(|i| i.network_interface_id() == interface["network_interface_id"].as_str());
    let attachment = found.and_then(|found| found.attachment()).expect("it is attached");
    assert_eq!(attachment.delete_on_termination(), Some(true), "deleted with the machine");
    let groups = found.map(|found| found.groups().len());
    assert_eq!(groups, Some(1), "the machine's");

    // A t3.large may have three.
    assert_eq!(
        bench.ask("add_network_interface", json!({"name": "second"}))["network_interface"]["device_index"],
        2
    );
    let (kind, message) = bench.refused("add_network_interface", json!({"name": "third"}));
    assert_eq!(kind, "OperationRefused");
    assert!(message.contains("has 3 network interfaces, and a t3.large may have 3"), "{message}");

    for named in [json!({"name": "camera"}), json!({"name": "second"})] {
        assert_eq!(bench.ask("remove_network_interface", named.clone())["outcome"], "done");
        assert_eq!(bench.ask("remove_network_interface", named)["outcome"], "unchanged");
    }
    assert_eq!(bench.interfaces().len(), before);
    let machine = bench.machine("teacher");
    let first = machine.network_interfaces()[0].network_interface_id().expect("an id");
    let (kind, message) = bench.refused("remove_network_interface", json!({"network_interface_id": first}));
    assert!(kind == "OperationRefused" && message.contains("is the first network interface"), "{message}");
}

#[test]
fn a_command_is_run_once_by_its_name_and_answered_with_output_and_exit_status() {
    let bench = Bench::up();
    let wanted = json!({"name": "hello", "command": "echo hello"});
    let ran = bench.ask("run", wanted.clone());
    let command = &ran["command"];
    assert_eq!((&command["status"], &command["exit_status"]), (&json!("Success"), &json!(0)), "{ran:#}");
    assert_eq!(command["output"], "ran with AWS-RunShellScript: echo hello\n");
    bench.again("run", wanted, &ran);
    let failed = bench.ask("run", json!({"name": "fails", "command": "exit 3", "shell": "powershell"}));
    let command = &failed["command"];
    assert_eq!(
        (&command["status"], &command["exit_status"]),
        (&json!("Failed"), &json!(3)),
        "an answer: {failed:#}"
    );
    assert!(command["output"].as_str().is_some_and(|text| text.contains("AWS-RunPowerShellScript")));
    // An answer that was lost: it is found, and not sent again.
    for lost in ["before", "after"] {
        bench.stack.aws.clear_calls();
        bench.stack.aws.add_faults(json!([{"action": "SendCommand", "drop": lost, "times": 1}]));
        let told =
            bench.operate.invoke(&request("run", json!({"name": format!("lost {lost}"), "command": "ls"})));
        bench.stack.aws.clear_faults();
        let sent = || bench.changing().iter().filter(|action| *action == "SendCommand").count();
        assert_eq!(sent(), 1, "{told:?}");
        match lost {
            "after" => assert_eq!(told.answer()["command"]["status"], "Success"),
            _ => {
                assert_eq!(told.error().0, "SsmUnavailable");
                let again = bench.ask("run", json!({"name": "lost before", "command": "ls"}));
                assert_eq!((&again["outcome"], sent()), (&json!("done"), 2));
            }
        }
    }
    bench.ask("stop", json!({"wait": true}));
    let (kind, message) = bench.refused("run", json!({"name": "late", "command": "ls"}));
    assert!(kind == "OperationRefused" && message.contains("is stopped, and runs no command"), "{message}");
    bench
        .stack
        .aws
        .add_faults(json!([{"action": "SendCommand", "code": "InvalidInstanceId", "status": 400}]));
    bench.stack.aws.age(Duration::from_secs(601));
    let student =
        json!({"do": "run", "name": "x", "command": "ls", "instance_id": id(&bench.machine("student"))});
    let (kind, message) = bench.operate.invoke(&student).error();
    assert!(
        kind == "OperationRefused" && message.contains("AmazonSSMManagedInstanceCore"),
        "{kind}: {message}"
    );
}

fn parameters(bench: &Bench) -> Vec<(String, String)> {
    let ssm = aws_sdk_ssm::Client::new(&local::aws::sdk(&bench.stack.aws.endpoint));
    let all = ssm.get_parameters_by_path().path("/ec2/keypair").with_decryption(true);
    let all = bench.stack.aws.wait(all.send()).expect("parameters").parameters.unwrap_or_default();
    let pair = |p: aws_sdk_ssm::types::Parameter| Some((p.name?, p.value?));
    all.into_iter().filter_map(pair).collect()
}

#[test]
fn a_key_pair_is_made_once_and_its_private_key_is_nowhere_but_in_parameter_store() {
    let bench = Bench::up();
    let wanted = json!({"name": "classroom"});
    let made = bench.ask("ensure_key", wanted.clone());
    let kept = parameters(&bench);
    let [(name, private)] = &kept[..] else { panic!("{kept:?}") };
    let key = &made["key_pair"];
    assert_eq!(key["private_key_parameter"].as_str(), Some(name.as_str()));
    assert_eq!(*name, format!("/ec2/keypair/{}", key["key_pair_id"].as_str().expect("an id")));
    assert!(private.contains("PRIVATE KEY"), "{private}");
    let again = bench.ask("ensure_key", wanted);
    assert_eq!(
        (&again["outcome"], &again["key_pair"]["key_pair_id"]),
        (&json!("unchanged"), &key["key_pair_id"])
    );
    // Its inner lines, one by one: none is in an answer or the log.
    let log = bench.operate.whole_log().join("\n");
    for line in private.lines().filter(|line| line.len() > 20 && !line.contains("PRIVATE KEY")) {
        assert!(!log.contains(line) && !made.to_string().contains(line) && !again.to_string().contains(line));
    }
    let public = again["key_pair"]["public_key"].as_str().expect("EC2 has it");
    assert!(public.starts_with("ssh-ed25519 "), "{public}");

    let imported = json!({"name": "mine", "public_key": format!("{} somebody@laptop", public.trim())});
    let first = bench.ask("ensure_key", imported.clone());
    assert_eq!(
        (&first["outcome"], &first["key_pair"]["private_key_parameter"]),
        (&json!("done"), &Value::Null)
    );
    assert_eq!(bench.ask("ensure_key", imported)["outcome"], "unchanged");
    assert_eq!(
        bench.ask("ensure_key", json!({"name": "mine"}))["outcome"],
        "unchanged",
        "it has no private key here"
    );
    let other =
        json!({"name": "mine", "public_key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDwWWWWWWWWWWWWWWWWW"});
    let (kind, message) = bench.refused("ensure_key", other);
    assert!(kind == "OperationRefused" && message.contains("has another public key"), "{message}");
    let foreign = bench.stack.aws.ec2.create_key_pair().key_name("foreign").send();
    bench.stack.aws.wait(foreign).expect("it is somebody else's");
    let (kind, message) = bench.refused("ensure_key", json!({"name": "foreign"}));
    assert!(kind == "OperationRefused" && message.contains("has not the tag Project of ours"), "{message}");
}

#[test]
fn a_key_pair_whose_private_key_was_not_stored_is_replaced_by_whoever_asks_next() {
    let bench = Bench::up();
    // Its maker may not store it: the pair goes at once.
    bench
        .stack
        .aws
        .add_faults(json!([{"action": "PutParameter", "code": "AccessDeniedException", "status": 400}]));
    let wanted = request("ensure_key", json!({"name": "classroom"}));
    let (kind, message) = bench.operate.invoke(&wanted).error();
    assert!(kind == "Unauthorized" && message.contains("allow ssm:PutParameter"), "{kind}: {message}");
    let pairs = || {
        let all = bench.stack.aws.ec2.describe_key_pairs().send();
        bench.stack.aws.wait(all).expect("key pairs").key_pairs.unwrap_or_default()
    };
    assert_eq!(pairs().len(), 0);
    bench.stack.aws.clear_faults();
    // Its maker dies before it is stored: a minute later somebody makes another.
    bench.kill_at(&wanted, "PutParameter", "before");
    let half = pairs()[0].key_pair_id().expect("an id").to_owned();
    bench.stack.aws.age(Duration::from_secs(61));
    let made = bench.operate.invoke(&wanted).answer();
    assert_eq!(made["outcome"], "done");
    assert_ne!(made["key_pair"]["key_pair_id"].as_str(), Some(half.as_str()));
    assert_eq!((pairs().len(), parameters(&bench).len()), (1, 1));
}

/// One makes it, and the others wait for it.
#[test]
fn of_eight_who_ask_for_a_key_pair_at_once_one_makes_it() {
    let bench = Bench::up();
    let functions: Vec<Lambda> = (0..8).map(|_| operator(&bench.stack.aws)).collect();
    functions.iter().for_each(|function| function.warm_up());
    let wanted = request("ensure_key", json!({"name": "classroom"}));
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> =
            functions.iter().map(|function| scope.spawn(|| function.invoke(&wanted).answer())).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    let done = answers.iter().filter(|answer| answer["outcome"] == "done").count();
    let ids: BTreeSet<String> =
        answers.iter().map(|answer| answer["key_pair"]["key_pair_id"].to_string()).collect();
    assert_eq!((done, ids.len(), parameters(&bench).len()), (1, 1, 1), "{answers:#?}");
    functions.iter().for_each(Lambda::kill);
}

#[test]
fn a_block_of_addresses_is_divided_in_the_same_way_whoever_divides_it() {
    let cidr = |text: &str| Cidr::parse(text).unwrap_or_else(|| panic!("{text}"));
    for wrong in
        ["10.0.0.0", "10.0.0.0/15", "10.0.0.0/29", "10.0.1.0/16", "10.0.0/16", "x/16", "10.0.0.0/16/1"]
    {
        assert_eq!(Cidr::parse(wrong), None, "{wrong}");
    }
    let blocks = |text: &str| cidr(text).subnets().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(blocks("10.20.0.0/16").len(), 16);
    assert_eq!(blocks("10.20.0.0/16")[..2], ["10.20.0.0/20", "10.20.16.0/20"]);
    assert_eq!(blocks("10.0.0.192/26"), ["10.0.0.192/28", "10.0.0.208/28", "10.0.0.224/28", "10.0.0.240/28"]);
    assert_eq!(blocks("10.0.0.0/28"), ["10.0.0.0/28"]);
    assert!(
        cidr("10.0.0.0/16").overlaps(cidr("10.0.255.240/28"))
            && !cidr("10.0.0.0/16").overlaps(cidr("10.1.0.0/16"))
    );
    assert!(cidr("255.255.0.0/16").overlaps(cidr("255.255.255.240/28")));
    let vpc = cidr("10.0.0.0/26");
    let first = block_for(vpc, &[]).expect("all are free");
    let second = block_for(vpc, &[first]).expect("three are free");
    assert_eq!((first.to_string().as_str(), second.to_string().as_str()), ("10.0.0.0/28", "10.0.0.16/28"));
    assert_eq!(block_for(vpc, &vpc.subnets()), None);
}

impl Bench {
    /// Everything of VPCs that is ours, by kind; and the parameters that say which VPC has a name.
    fn of_vpcs(&self) -> [usize; 6] {
        let ec2 = &self.stack.aws.ec2;
        let ours = || Filter::builder().name("tag:Project").values("Elephant").build();
        let wait = &self.stack.aws;
        let ssm = aws_sdk_ssm::Client::new(&local::aws::sdk(&wait.endpoint));
        let names = ssm.get_parameters_by_path().path("/elephant/vpc").recursive(true);
        [
            wait.wait(ec2.describe_vpcs().filters(ours()).send()).expect("VPCs").vpcs().len(),
            wait.wait(ec2.describe_subnets().filters(ours()).send()).expect("subnets").subnets().len(),
            wait.wait(ec2.describe_internet_gateways().filters(ours()).send())
                .expect("gateways")
                .internet_gateways()
                .len(),
            wait.wait(ec2.describe_route_tables().filters(ours()).send())
                .expect("tables")
                .route_tables()
                .len(),
            wait.wait(ec2.describe_security_groups().filters(ours()).send())
                .expect("groups")
                .security_groups()
                .len(),
            wait.wait(names.send()).expect("parameters").parameters().len(),
        ]
    }
}

#[test]
fn a_vpc_is_made_whole_and_once_found_by_its_name_and_deleted_whole() {
    let mut bench = Bench::up();
    let before = bench.of_vpcs();
    assert_eq!(before, [0; 6]);
    let wanted = json!({"name": "classroom", "cidr": "10.20.0.0/16"});
    let made = bench.ask("ensure_vpc", wanted.clone());
    assert_eq!(made["outcome"], "done", "{made:#}");
    let zones: Vec<&String> = made["vpc"]["subnet_ids"].as_object().expect("by zone").keys().collect();
    assert_eq!(zones, ["us-west-2a", "us-west-2b", "us-west-2c"]);
    assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1]);
    let again = bench.ask("ensure_vpc", wanted);
    assert_eq!((&again["outcome"], &again["vpc"]), (&json!("unchanged"), &made["vpc"]));
    assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1]);
    let (kind, message) = bench
        .operate
        .invoke(&request("ensure_vpc", json!({"name": "classroom", "cidr": "10.30.0.0/16"})))
        .error();
    assert!(kind == "OperationRefused" && message.contains("and has 10.20.0.0/16"), "{message}");

    // A meeting is launched into it by its name.
    let group = made["vpc"]["security_group_id"].as_str().expect("an id");
    bench.stack.lambda.kill();
    let variables = [("VPC_NAME", "classroom"), ("SECURITY_GROUP_IDS", group)];
    bench.stack.lambda = meeting::function(&bench.stack.aws, &variables, meeting::TIMEOUT);
    bench.stack.turn_to("next");
    bench.stack.schedule();
    bench.stack.deliver().answer();
    let machine = bench.machine("teacher");
    assert_eq!(machine.vpc_id(), made["vpc"]["vpc_id"].as_str());
    assert!(machine.public_ip_address().is_some(), "its subnet is public");
    let (kind, message) = bench.refused("delete_vpc", json!({"name": "classroom"}));
    assert!(
        kind == "OperationRefused" && message.contains("2 machines are in the VPC \"classroom\""),
        "{message}"
    );
    let ids = bench.stack.instances().iter().map(id).collect();
    let ended = bench.stack.aws.ec2.terminate_instances().set_instance_ids(Some(ids));
    bench.stack.aws.wait(ended.send()).expect("they are ended");
    let gone = bench.ask("delete_vpc", json!({"name": "classroom"}));
    assert_eq!((&gone["outcome"], &gone["deleted_vpc_id"]), (&json!("done"), &made["vpc"]["vpc_id"]));
    assert_eq!(bench.of_vpcs(), [0; 6]);
    assert_eq!(bench.ask("delete_vpc", json!({"name": "classroom"}))["outcome"], "unchanged");
}

#[test]
fn of_six_who_ask_for_a_vpc_at_once_all_get_the_same() {
    let bench = Bench::up();
    let functions: Vec<Lambda> = (0..6).map(|_| operator(&bench.stack.aws)).collect();
    functions.iter().for_each(|function| function.warm_up());
    let wanted = request("ensure_vpc", json!({"name": "classroom", "cidr": "10.20.0.0/16"}));
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> =
            functions.iter().map(|function| scope.spawn(|| function.invoke(&wanted).answer())).collect();
        all.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    let told: BTreeSet<String> = answers
        .iter()
        .map(|answer| {
            format!(
                "{} {} {}",
                answer["vpc"]["vpc_id"], answer["vpc"]["subnet_ids"], answer["vpc"]["security_group_id"]
            )
        })
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    // What one of them made in vain is gone by the next request at the latest.
    bench.ask("ensure_vpc", json!({"name": "classroom", "cidr": "10.20.0.0/16"}));
    assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1]);
    bench.ask("delete_vpc", json!({"name": "classroom"}));
    assert_eq!(bench.of_vpcs(), [0; 6]);
    functions.iter().for_each(Lambda::kill);
}

/// Killed before and after each of its calls that change something, the next request finishes it; and the same of the end.
#[test]
fn a_vpc_that_was_made_or_deleted_half_is_finished_by_the_next_request() {
    let bench = Bench::up();
    let ensure = request("ensure_vpc", json!({"name": "classroom", "cidr": "10.20.0.0/16"}));
    let delete = request("delete_vpc", json!({"name": "classroom"}));
    let made = [
        "CreateVpc",
        "PutParameter",
        "ModifyVpcAttribute",
        "CreateInternetGateway",
        "AttachInternetGateway",
        "CreateRouteTable",
        "CreateRoute",
        "CreateSubnet",
        "ModifySubnetAttribute",
        "AssociateRouteTable",
        "CreateSecurityGroup",
    ];
    let deleted = [
        "DeleteSecurityGroup",
        "DeleteSubnet",
        "DisassociateRouteTable",
        "DeleteRouteTable",
        "DetachInternetGateway",
        "DeleteInternetGateway",
        "DeleteVpc",
        "DeleteParameter",
    ];
    let all =
        made.iter().map(|action| (&ensure, *action)).chain(deleted.iter().map(|action| (&delete, *action)));
    for (event, action) in all {
        for moment in ["before", "after"] {
            if event["do"] == "delete_vpc" {
                bench.operate.invoke(&ensure).answer();
            }
            bench.kill_at(event, action, moment);
            bench.operate.invoke(event).answer();
            if event["do"] == "ensure_vpc" {
                assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1], "{action} {moment}");
                bench.operate.invoke(&delete).answer();
            }
            assert_eq!(bench.of_vpcs(), [0; 6], "{action} {moment}");
        }
    }
}

#[test]
fn the_latest_image_is_the_one_that_a_launch_would_take() {
    let bench = Bench::up();
    let latest = bench.ask("latest_image", json!({}));
    assert_eq!(
        (&latest["outcome"], &latest["latest_image"]["image_id"]),
        (&json!("unchanged"), &json!(local::aws::IMAGE))
    );
    assert_eq!(bench.machine("teacher").image_id(), latest["latest_image"]["image_id"].as_str());
    let named = meeting::operator_with(
        &bench.stack.aws,
        &[("AMI_ID", ""), ("AMI_NAME", "no such*"), ("AMI_OWNER", "self")],
    );
    let (kind, message) = named.invoke(&request("latest_image", json!({}))).error();
    assert_eq!(kind, "InvalidConfiguration");
    assert!(message.contains("has no available image that is called no such*"), "{message}");
    let none = meeting::operator_with(&bench.stack.aws, &[("AMI_ID", "")]);
    let (kind, message) = none.invoke(&request("latest_image", json!({}))).error();
    assert!(kind == "InvalidConfiguration" && message.contains("set AMI_ID"), "{kind}: {message}");
}

#[test]
fn what_is_none_of_ours_is_left_alone() {
    let mut bench = Bench::up();
    let (kind, message) = bench.refused("stop", json!({"instance_id": "i-0123456789abcdef0"}));
    assert_eq!(kind, "MachineNotFound", "{message}");
    let student = id(&bench.machine("student"));
    let foreign = Tag::builder().key("Project").value("Other").build();
    let tagged = bench.stack.aws.ec2.create_tags().resources(&student).tags(foreign);
    bench.stack.aws.wait(tagged.send()).expect("it is somebody else's now");
    for (verb, more) in [
        ("stop", json!({})),
        ("snapshot", json!({"name": "theirs"})),
        ("add_volume", json!({"name": "v", "size_gb": 1})),
        ("remove_network_interface", json!({"name": "n"})),
    ] {
        let mut more = more;
        more["instance_id"] = json!(student);
        let (kind, message) = bench.refused(verb, more);
        assert_eq!(kind, "MachineNotFound", "{verb}");
        assert!(message.contains("has not the tag Project of ours"), "{message}");
    }
    let nobody =
        bench.operate.invoke(&json!({"do": "stop", "meeting_id": "nobody", "role": "teacher"})).error();
    assert_eq!(nobody.0, "MeetingNotFound");
    bench.stack.turn_to("unlaunched");
    bench.stack.schedule();
    let none =
        bench.operate.invoke(&json!({"do": "stop", "meeting_id": "unlaunched", "role": "student"})).error();
    assert_eq!(none.0, "MachineNotFound");
    assert!(none.1.contains("meeting unlaunched: the student has no machine"), "{}", none.1);
}

/// The table of docs/functions.md, row by row, from the schedule to the end: each sample twice, the second time without any effect; and nothing
/// is left over.
#[test]
fn every_sample_of_the_readmes_table_is_done_twice_and_leaves_nothing() {
    let mut bench = Bench::up();
    let meeting_id = "demo-1";
    let ids = bench.stack.instances().iter().map(id).collect();
    let ended = bench.stack.aws.ec2.terminate_instances().set_instance_ids(Some(ids));
    bench.stack.aws.wait(ended.send()).expect("nothing is there at the beginning");
    bench.stack.set("status", "TERMINATED");
    bench.stack.set("termination_reason", "another story");
    let before = bench.volumes().len();
    bench.stack.turn_to(meeting_id);
    let aws = &bench.stack.aws;
    let functions: BTreeMap<&str, Lambda> = BTreeMap::from([
        ("schedule", meeting::scheduler(aws)),
        ("launch", meeting::function(aws, &[], meeting::TIMEOUT)),
        ("reconcile", meeting::reconciler(aws, &[])),
        ("status", meeting::observer(aws)),
        ("operate", operator(aws)),
        ("end", meeting::ender(aws, &[("SCHEDULE_GROUP", "default")])),
    ]);
    let now = |minutes: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)).to_string();
    let mut image = Value::Null;
    for (verb, sample) in features() {
        let text = std::fs::read_to_string(local::top().join(&sample)).expect("a sample");
        let mut event: Value = serde_json::from_str(&text).expect("JSON");
        // One meeting, that begins soon, and the image that was made here.
        for (field, value) in
            [("meeting_id", json!(meeting_id)), ("meet_time", json!(now(10))), ("image_id", image.clone())]
        {
            if event.get(field).is_some() {
                event[field] = value;
            }
        }
        let function = &functions[verb.split(' ').next().expect("a verb")];
        let first = function.invoke(&event).answer();
        bench.stack.time_passes_if_leased();
        if verb == "reconcile" {
            // What it notes of the machines that were launched a moment ago.
            function.invoke(&event).answer();
        }
        bench.stack.aws.clear_calls();
        let second = function.invoke(&event).answer();
        let again = ["UpdateItem", "TerminateInstances", "BatchGetItem", "Query"];
        let attributes = |action: &str| action.starts_with("Modify") && action.ends_with("Attribute");
        let mut changing = bench.changing();
        changing.retain(|action| !again.contains(&action.as_str()) && !attributes(action));
        assert_eq!(changing, Vec::<String>::new(), "{verb}: {first:#}\n{second:#}");
        match verb.as_str() {
            "schedule" => assert_eq!(
                (&first["outcome"], &second["outcome"]),
                (&json!("scheduled"), &json!("unchanged"))
            ),
            "launch" => {
                assert_eq!(second["machines"]["teacher"]["outcome"], "already_recorded", "{second:#}")
            }
            "reconcile" => assert_eq!(second["repairs"], json!([])),
            "status" => assert_eq!(second["machines"]["student"]["state"], "running"),
            "end" => {
                assert_eq!((&first["outcome"], &second["outcome"]), (&json!("ended"), &json!("already_over")))
            }
            "operate latest_image" | "operate images" => assert_eq!(first, second),
            _ => assert_eq!(
                (&first["outcome"], &second["outcome"]),
                (&json!("done"), &json!("unchanged")),
                "{verb}"
            ),
        }
        if verb == "operate snapshot" {
            image = first["image"]["image_id"].clone();
        }
    }
    functions.values().for_each(Lambda::kill);
    assert!(meeting::live(&bench.stack.instances()).is_empty(), "{}", bench.stack.story());
    // The first interface of a machine that has ended stays in moto, and in EC2 it does not.
    let added = |tags: &[Tag]| tags.iter().any(|tag| tag.key() == Some("elephant:name"));
    let interfaces = bench.interfaces().iter().filter(|interface| added(interface.tag_set())).count();
    assert_eq!((bench.volumes().len(), interfaces), (before, 0));
    assert_eq!((bench.images(), bench.snapshots(), bench.of_vpcs()), (0, Vec::new(), [0; 6]));
    // The key pair is there to stay.
    assert_eq!(parameters(&bench).len(), 1);
    for (name, event) in samples().into_iter().filter(|(name, _)| name.starts_with("operate-refused-")) {
        assert_eq!(bench.operate.invoke(&event).error().0, "InvalidEvent", "{name}");
    }
}

// EC2 knows more than one "no", and catches up late: `aws/operate_habits.py`.

impl Bench {
    fn habits(&self, habits: Value) {
        self.stack.aws.control("POST", "habits", Some(&habits));
    }

    fn count(&self, action: &str) -> usize {
        self.stack.aws.count_calls().get(action).copied().unwrap_or_default()
    }
}

/// Everything at once: what is made is unknown at first, what is undone stands in the way a while, and the policy goes by tags
/// that EC2 learns of late. Each thing comes about once all the same, and goes whole.
#[test]
fn what_ec2_sees_late_is_waited_for_and_nothing_is_made_twice() {
    let bench = Bench::up();
    let before = (bench.volumes().len(), bench.interfaces().len());
    bench.habits(json!({"behind": 2, "unseen": 3, "by_tag": true, "untagged": 2}));
    for (add, remove, wanted) in [
        ("add_volume", "remove_volume", json!({"name": "notes", "size_gb": 1})),
        ("add_network_interface", "remove_network_interface", json!({"name": "camera"})),
    ] {
        for _ in 0..2 {
            assert_eq!(bench.ask(add, wanted.clone())["outcome"], "done");
            assert_eq!(bench.ask(add, wanted.clone())["outcome"], "unchanged");
            assert_eq!(bench.ask(remove, json!({"name": wanted["name"]}))["outcome"], "done");
        }
    }
    bench.habits(json!({"behind": 2, "by_tag": true, "untagged": 2}));
    assert_eq!((bench.volumes().len(), bench.interfaces().len()), before);
    for verb in ["stop", "start"] {
        assert_eq!(bench.ask(verb, json!({"wait": true}))["outcome"], "done", "{verb}");
    }
    assert_eq!(bench.ask("reboot", json!({"name": "once"}))["outcome"], "done");
    let made = bench.ask("snapshot", json!({"name": "late"}));
    let gone = bench.ask("delete_image", json!({"image_id": made["image"]["image_id"]}));
    assert_eq!(
        (&gone["outcome"], bench.images(), bench.snapshots().len()),
        (&json!("done"), 0, 0),
        "{gone:#}"
    );
}

#[test]
fn a_vpc_of_which_ec2_learns_late_is_made_once_and_deleted_whole() {
    let bench = Bench::up();
    bench.habits(json!({"behind": 1, "unseen": 2, "by_tag": true, "untagged": 1}));
    let wanted = json!({"name": "classroom", "cidr": "10.20.0.0/16"});
    assert_eq!(bench.ask("ensure_vpc", wanted.clone())["outcome"], "done");
    bench.habits(json!({"behind": 1, "by_tag": true, "untagged": 1}));
    assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1]);
    assert_eq!(bench.ask("ensure_vpc", wanted)["outcome"], "unchanged");
    assert_eq!(bench.ask("delete_vpc", json!({"name": "classroom"}))["outcome"], "done");
    assert_eq!(bench.of_vpcs(), [0; 6]);
}

/// DescribeVolumes and DescribeNetworkInterfaces show nothing, however often; and the next request finds the first one's.
#[test]
fn what_is_not_to_be_seen_is_not_taken_for_removed() {
    let bench = Bench::up();
    for (verb, made, wanted) in [
        ("add_volume", "CreateVolume", json!({"name": "notes", "size_gb": 1})),
        ("add_network_interface", "CreateNetworkInterface", json!({"name": "camera"})),
    ] {
        bench.habits(json!({"unseen": 9}));
        bench.stack.aws.clear_calls();
        assert_eq!(bench.ask(verb, wanted.clone())["outcome"], "done");
        assert_eq!(bench.count(made), 1, "{verb}");
        bench.habits(json!({}));
        assert_eq!(bench.ask(verb, wanted)["outcome"], "unchanged");
    }
}

/// EC2 judges permission before existence: a removal whose answer was lost is not allowed the second time, for what it was
/// about has no tags any more.
#[test]
fn a_removal_whose_answer_was_lost_is_settled_by_a_look() {
    let bench = Bench::up();
    bench.habits(json!({"by_tag": true}));
    let lost = |actions: &[&str]| {
        let faults: Vec<Value> =
            actions.iter().map(|action| json!({"action": action, "drop": "after", "times": 1})).collect();
        bench.stack.aws.add_faults(json!(faults));
    };
    lost(&["DeregisterImage", "DeleteSnapshot", "DetachVolume", "DeleteVolume", "DetachNetworkInterface"]);
    lost(&["DeleteNetworkInterface", "DeleteSecurityGroup", "DeleteSubnet", "DisassociateRouteTable"]);
    lost(&["DeleteRouteTable", "DetachInternetGateway", "DeleteInternetGateway", "DeleteVpc"]);
    let made = bench.ask("snapshot", json!({"name": "lost"}));
    assert_eq!(bench.ask("delete_image", json!({"image_id": made["image"]["image_id"]}))["outcome"], "done");
    bench.ask("add_volume", json!({"name": "notes", "size_gb": 1}));
    assert_eq!(bench.ask("remove_volume", json!({"name": "notes"}))["outcome"], "done");
    bench.ask("add_network_interface", json!({"name": "camera"}));
    assert_eq!(bench.ask("remove_network_interface", json!({"name": "camera"}))["outcome"], "done");
    bench.ask("ensure_vpc", json!({"name": "classroom", "cidr": "10.20.0.0/16"}));
    assert_eq!(bench.ask("delete_vpc", json!({"name": "classroom"}))["outcome"], "done");
    assert_eq!((bench.images(), bench.snapshots().len(), bench.of_vpcs()), (0, 0, [0; 6]));
}

/// A permission that is missing is told from one that EC2 does not see yet: by the age of what it is about.
#[test]
fn a_permission_that_is_missing_is_named_once_what_it_is_about_is_not_young() {
    let bench = Bench::up();
    let volume =
        bench.ask("add_volume", json!({"name": "notes", "size_gb": 1}))["volume"]["volume_id"].clone();
    bench.stack.aws.age(Duration::from_secs(46));
    for (action, verb, more) in [
        ("StopInstances", "stop", json!({})),
        ("DetachVolume", "remove_volume", json!({"volume_id": volume})),
        ("CreateImage", "snapshot", json!({"name": "denied"})),
        ("CreateTags", "reboot", json!({"name": "denied"})),
    ] {
        bench.stack.aws.clear_calls();
        bench.stack.aws.add_faults(json!([{"action": action, "code": "UnauthorizedOperation"}]));
        let (kind, message) = bench.operate.invoke(&request(verb, more)).error();
        assert_eq!((kind.as_str(), bench.count(action)), ("Unauthorized", 1), "{message}");
        assert!(message.contains("though it stands there with our tag"), "{message}");
        assert!(message.contains(&format!("ec2:{action}")), "{message}");
        assert_eq!(bench.count("RebootInstances"), 0);
        bench.stack.aws.clear_faults();
    }
    // Young, but denied by the organisation: no look can settle that.
    bench.stack.aws.add_faults(json!([{"action": "StopInstances", "code": "UnauthorizedOperation",
        "message": "You are not authorized, with an explicit deny in a service control policy."}]));
    bench.stack.aws.clear_calls();
    let (kind, _) = bench.operate.invoke(&request("stop", json!({}))).error();
    assert_eq!((kind.as_str(), bench.count("StopInstances")), ("Unauthorized", 1));
}

#[test]
fn a_machine_on_its_way_up_is_waited_for_before_anything_is_made_for_it() {
    let bench = Bench::up();
    for (verb, more) in [
        ("add_volume", json!({"name": "notes", "size_gb": 1})),
        ("add_network_interface", json!({"name": "camera"})),
        ("stop", json!({})),
    ] {
        bench.ask("stop", json!({"wait": true}));
        bench.habits(json!({"pending": 3}));
        assert_eq!(bench.ask("start", json!({}))["state"], "pending");
        assert_eq!(bench.ask(verb, more)["outcome"], "done", "{verb}");
        bench.habits(json!({}));
        bench.ask("start", json!({"wait": true}));
    }
}

/// Whether it waits or not, and a second time.
#[test]
fn a_machine_that_ec2_cannot_start_is_no_success_and_its_reason_is_said_at_once() {
    let bench = Bench::up();
    bench.ask("stop", json!({"wait": true}));
    bench.habits(json!({"unstartable": true}));
    for wait in [false, true, false] {
        let (kind, message) = bench.operate.invoke(&request("start", json!({"wait": wait}))).error();
        assert_eq!(kind, "OperationRefused", "{message}");
        assert!(message.contains("is stopped again: Client.InternalError"), "{message}");
        assert!(message.contains("kms:CreateGrant"), "{message}");
    }
    bench.habits(json!({}));
    assert_eq!(bench.ask("start", json!({"wait": true}))["state"], "running");
}

#[test]
fn a_rate_of_snapshots_is_waited_for_and_in_the_end_called_one() {
    let bench = Bench::up();
    let refused = |code: &str, times: u32| {
        bench.stack.aws.clear_calls();
        bench.stack.aws.add_faults(json!([{"action": "CreateImage", "code": code, "times": times}]));
    };
    refused("SnapshotCreationPerVolumeRateExceeded", 1);
    let began = std::time::Instant::now();
    assert_eq!(bench.ask("snapshot", json!({"name": "slow"}))["outcome"], "done");
    assert!(began.elapsed() >= Duration::from_secs(15), "EC2 asks for as many");
    refused("ConcurrentSnapshotLimitExceeded", 100);
    let brief = meeting::operator_within(&bench.stack.aws, Duration::from_secs(25));
    let (kind, message) = brief.invoke(&request("snapshot", json!({"name": "never"}))).error();
    assert_eq!(kind, "Throttled", "{message}");
    assert!(bench.count("CreateImage") <= 2, "no more than the pauses allow");
    brief.kill();
}

#[test]
fn a_quota_is_called_one_and_named() {
    let bench = Bench::up();
    let vpc = json!({"name": "classroom", "cidr": "10.20.0.0/16"});
    for (action, code, verb, more) in [
        ("CreateVpc", "VpcLimitExceeded", "ensure_vpc", vpc.clone()),
        ("CreateInternetGateway", "InternetGatewayLimitExceeded", "ensure_vpc", vpc.clone()),
        ("CreateSubnet", "SubnetLimitExceeded", "ensure_vpc", vpc.clone()),
        ("CreateVolume", "VolumeLimitExceeded", "add_volume", json!({"name": "v", "size_gb": 1})),
        ("CreateImage", "SnapshotLimitExceeded", "snapshot", json!({"name": "one too many"})),
        ("CreateKeyPair", "KeyPairLimitExceeded", "ensure_key", json!({"name": "k"})),
    ] {
        bench.stack.aws.add_faults(json!([{"action": action, "code": code}]));
        let (kind, message) = bench.operate.invoke(&request(verb, more)).error();
        assert_eq!(kind, "QuotaExceeded", "{message}");
        assert!(message.contains(&format!("{code} is a quota of the account")), "{message}");
        bench.stack.aws.clear_faults();
    }
}

/// By hand, each by its own attribute; nothing is done to what is protected, or to what belongs to it.
#[test]
fn what_somebody_protected_is_left_alone_and_the_attribute_is_named() {
    let bench = Bench::up();
    let ec2 = &bench.stack.aws.ec2;
    let machine = id(&bench.machine("teacher"));
    let protect = |on: bool| {
        let on = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(on).build();
        let change = ec2.modify_instance_attribute().instance_id(&machine).disable_api_stop(on);
        bench.stack.aws.wait(change.send()).expect("it is protected, or not");
    };
    protect(true);
    let (kind, message) = bench.operate.invoke(&request("stop", json!({}))).error();
    assert_eq!(kind, "OperationRefused", "{message}");
    assert!(message.contains("protected") && message.contains("attribute disableApiStop"), "{message}");
    protect(false);
    assert_eq!(bench.ask("stop", json!({"wait": true}))["outcome"], "done");

    let made = bench.ask("snapshot", json!({"name": "kept"}));
    let image = made["image"]["image_id"].as_str().expect("an id").to_owned();
    let disabled = ec2.disable_image().image_id(&image).send();
    bench.stack.aws.wait(disabled).expect("it is disabled");
    let (kind, message) = bench.refused("snapshot", json!({"name": "kept"}));
    assert!(kind == "OperationRefused" && message.contains("and disabled: enable it"), "{kind}: {message}");
    let protected = ec2.enable_image_deregistration_protection().image_id(&image).send();
    bench.stack.aws.wait(protected).expect("it is protected");
    let (kind, message) = bench.refused("delete_image", json!({"image_id": image}));
    assert!(kind == "OperationRefused" && message.contains("deregistration protection"), "{kind}: {message}");
    assert_eq!(bench.snapshots().len(), 1, "nothing of it is gone");
}

#[test]
fn an_image_that_was_disabled_is_deleted_with_its_snapshots() {
    let bench = Bench::up();
    let made = bench.ask("snapshot", json!({"name": "old"}));
    let image = made["image"]["image_id"].as_str().expect("an id").to_owned();
    bench
        .stack
        .aws
        .wait(bench.stack.aws.ec2.disable_image().image_id(&image).send())
        .expect("it is disabled");
    assert_eq!(bench.ask("images", json!({}))["images"][0]["state"], "disabled");
    assert_eq!(bench.ask("delete_image", json!({"image_id": image}))["outcome"], "done");
    assert_eq!(bench.snapshots().len(), 0);
}

/// A snapshot on which somebody registered another image, too.
#[test]
fn a_snapshot_of_another_image_is_not_waited_for() {
    let bench = Bench::up();
    let made = bench.ask("snapshot", json!({"name": "shared"}));
    let said = "The snapshot snap-1 is currently in use by ami-0fedcba9876543210";
    bench
        .stack
        .aws
        .add_faults(json!([{"action": "DeleteSnapshot", "code": "InvalidSnapshot.InUse", "message": said}]));
    let event = request("delete_image", json!({"image_id": made["image"]["image_id"]}));
    let (kind, message) = bench.operate.invoke(&event).error();
    assert_eq!(kind, "OperationRefused", "{message}");
    assert!(message.contains("the image ami-0fedcba9876543210 stands on the snapshot"), "{message}");
}

#[test]
fn a_vpc_with_anything_of_somebody_elses_in_it_is_not_touched() {
    let bench = Bench::up();
    let ec2 = &bench.stack.aws.ec2;
    let wait = &bench.stack.aws;
    let made = bench.ask("ensure_vpc", json!({"name": "classroom", "cidr": "10.20.0.0/16"}));
    let (vpc, last) = (made["vpc"]["vpc_id"].as_str(), made["vpc"]["subnet_ids"]["us-west-2c"].as_str());
    let (vpc, last) = (vpc.expect("an id"), last.expect("an id"));
    let refused = |what: &str| {
        let (kind, message) = bench.refused("delete_vpc", json!({"name": "classroom"}));
        assert_eq!(kind, "OperationRefused");
        assert!(message.contains("is what is not ours") && message.contains(what), "{message}");
        assert_eq!(bench.of_vpcs(), [1, 3, 1, 1, 1, 1]);
    };
    let balancer = ec2.create_network_interface().subnet_id(last).description("ELB app/rooms/1");
    let balancer = wait.wait(balancer.send()).expect("it is made").network_interface;
    let balancer = balancer.and_then(|made| made.network_interface_id).expect("an id");
    refused(&format!("the network interface {balancer} in {last} (ELB app/rooms/1)"));
    wait.wait(ec2.delete_network_interface().network_interface_id(balancer).send()).expect("it is gone");

    let subnet = ec2.create_subnet().vpc_id(vpc).cidr_block("10.20.240.0/20").send();
    let subnet =
        wait.wait(subnet).expect("it is made").subnet.and_then(|made| made.subnet_id).expect("an id");
    refused(&format!("the subnet {subnet}"));
    wait.wait(ec2.delete_subnet().subnet_id(subnet).send()).expect("it is gone");

    let group = ec2.create_security_group().vpc_id(vpc).group_name("theirs").description("theirs").send();
    let group = wait.wait(group).expect("it is made").group_id.expect("an id");
    refused(&format!("the security group {group}"));
    wait.wait(ec2.delete_security_group().group_id(group).send()).expect("it is gone");
    assert_eq!(bench.ask("delete_vpc", json!({"name": "classroom"}))["outcome"], "done");
}

/// Its agent reports a while after its start; one that has run for long has no agent, or may not report.
#[test]
fn a_young_machine_that_systems_manager_does_not_know_is_waited_for() {
    let bench = Bench::up();
    bench.habits(json!({"unmanaged": 3}));
    assert_eq!(bench.ask("run", json!({"name": "early", "command": "ls"}))["command"]["status"], "Success");
    assert_eq!(bench.count("SendCommand"), 4);
    bench.habits(json!({"unmanaged": 100}));
    let brief = meeting::operator_within(&bench.stack.aws, Duration::from_secs(8));
    let (kind, message) =
        brief.invoke(&request("run", json!({"name": "too early", "command": "ls"}))).error();
    assert_eq!(kind, "DeadlineTooClose", "a repeat can help: {message}");
    assert!(message.contains("AmazonSSMManagedInstanceCore"), "{message}");
    brief.kill();
    bench.stack.aws.age(Duration::from_secs(601));
    let (kind, message) =
        bench.operate.invoke(&request("run", json!({"name": "late", "command": "ls"}))).error();
    assert!(
        kind == "OperationRefused" && message.contains("AmazonSSMManagedInstanceCore"),
        "{kind}: {message}"
    );

    bench
        .stack
        .aws
        .add_faults(json!([{"action": "SendCommand", "code": "UnsupportedPlatformType", "status": 400}]));
    let (kind, message) =
        bench.operate.invoke(&request("run", json!({"name": "sh", "command": "ls"}))).error();
    assert!(
        kind == "OperationRefused" && message.contains(r#"send "shell": "powershell""#),
        "{kind}: {message}"
    );
}

/// What the event asks for and cannot be had is the event's, by the name of its field, and nothing is made for it.
#[test]
fn a_field_of_the_event_that_ec2_would_not_take_is_named() {
    let bench = Bench::up();
    let own =
        bench.machine("teacher").placement().and_then(|at| at.availability_zone()).expect("one").to_owned();
    let subnets = bench.stack.aws.wait(bench.stack.aws.ec2.describe_subnets().send()).expect("subnets");
    let other =
        subnets.subnets().iter().find(|subnet| subnet.availability_zone() != Some(&own)).expect("one");
    let (id, zone) = (other.subnet_id().expect("an id"), other.availability_zone().expect("a zone"));
    for (subnet, said) in [
        (id, format!("the event's subnet_id {id} is in {zone}, and i-")),
        (
            "subnet-0123456789abcdef0",
            "the event's subnet_id subnet-0123456789abcdef0 is no subnet".to_owned(),
        ),
    ] {
        let wanted = json!({"name": "camera", "subnet_id": subnet});
        let (kind, message) = bench.refused("add_network_interface", wanted);
        assert!(kind == "InvalidEvent" && message.contains(&said), "{kind}: {message}");
    }
    let volume = json!({"name": "v", "size_gb": 1});
    let vpc = json!({"name": "classroom", "cidr": "198.19.0.0/16"});
    for (action, code, said, verb, more, field) in [
        (
            "CreateVolume",
            "InvalidParameterValue",
            "Iops to volume size ratio is too high",
            "add_volume",
            volume.clone(),
            "iops",
        ),
        (
            "CreateVolume",
            "InvalidParameterValue",
            "Throughput (MiBps) is too high",
            "add_volume",
            volume,
            "throughput",
        ),
        ("CreateVpc", "InvalidVpc.Range", "The CIDR is invalid", "ensure_vpc", vpc, "cidr"),
        (
            "CreateNetworkInterface",
            "InvalidGroup.NotFound",
            "The security group 'sg-1' does not exist",
            "add_network_interface",
            json!({"name": "n", "security_group_ids": ["sg-1"]}),
            "security_group_ids",
        ),
    ] {
        bench.stack.aws.add_faults(json!([{"action": action, "code": code, "message": said}]));
        let (kind, message) = bench.operate.invoke(&request(verb, more)).error();
        assert_eq!(kind, "InvalidEvent", "{message}");
        assert!(message.contains(&format!("the event's {field} ")) && message.contains(said), "{message}");
        assert!(message.contains(&format!("change {field} in the event")), "{message}");
        bench.stack.aws.clear_faults();
    }
}

/// Fifty is what EC2 allows: the mark of a reboot finds no room, so there is no reboot, however often it is asked for.
#[test]
fn a_machine_without_room_for_the_mark_of_a_reboot_is_not_rebooted() {
    let bench = Bench::up();
    let machine = bench.machine("teacher");
    let free = 50 - machine.tags().len();
    let tags = (0..free).map(|n| Tag::builder().key(format!("extra-{n}")).value("x").build()).collect();
    let tagged = bench.stack.aws.ec2.create_tags().resources(id(&machine)).set_tags(Some(tags));
    bench.stack.aws.wait(tagged.send()).expect("they are fifty");
    bench.stack.aws.clear_calls();
    for _ in 0..2 {
        let (kind, message) = bench.operate.invoke(&request("reboot", json!({"name": "once"}))).error();
        assert_eq!(kind, "OperationRefused", "{message}");
        assert!(
            message.contains("as many tags as EC2 allows") && message.contains("TagLimitExceeded"),
            "{message}"
        );
    }
    assert_eq!(bench.count("RebootInstances"), 0);
}

/// Windows opens its password for an RSA key alone.
#[test]
fn a_key_pair_is_of_the_type_that_was_asked_for_or_that_the_image_needs() {
    let bench = Bench::up();
    let made = |name: &str, more: Value| {
        let mut wanted = json!({"name": name});
        wanted.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        bench.ask("ensure_key", wanted)["key_pair"]["key_type"].clone()
    };
    assert_eq!(made("plain", json!({})), "ed25519");
    assert_eq!(made("windows", json!({"key_type": "rsa"})), "rsa");
    assert_eq!(made("windows", json!({})), "rsa", "the one that is there");
    let (kind, message) = bench.refused("ensure_key", json!({"name": "plain", "key_type": "rsa"}));
    assert!(kind == "OperationRefused" && message.contains("is of type ed25519"), "{kind}: {message}");
}

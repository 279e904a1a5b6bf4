//! Hostile input: whatever the event, the environment and the record say, there is an answer or one of the named errors,
//! never a panic, and never a launch that the record does not allow.
//!
//! `hostile/input.rs` is what comes in, `hostile/model.rs` reads it a second time, `hostile/world.rs` says what has to
//! hold of a delivery, `hostile/secrets.rs` plants a secret in each place that can hold one and looks for it in all that is
//! shown. `fuzz/` holds the same against bytes.

mod cases;
mod input;
mod model;
mod secrets;
mod table;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cases::holds;
use elephant_aws::dynamodb::Table;
use elephant_core::config::{Config, Problems, ScheduleConfig};
use elephant_core::error::{AwsError, Class, Error, Kind};
use elephant_core::event::{About, End, Launch, Schedule};
use elephant_core::fleet::MeetingSnapshot;
use elephant_core::image::Source;
use elephant_core::machine::InstanceProfile;
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::network::Network;
use elephant_core::plan::schedule::one_time;
use elephant_core::ports::{Created, Meetings, NewMeetings, Reports, Updated, Watch};
use elephant_core::record::{self, Lease, MeetTime, NewRecord, Owner, Record, RoleRecord};
use elephant_core::settings::{self, Function};
use elephant_core::timing::{Timing, after};
use input::{ENDPOINTS, REQUIRED, RIGHT, meeting};
use model::{Item, Wrong};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use table::DynamoDb;
use world::{Story, block_on, deliver, start};

mod events {
    use super::*;

    #[test]
    fn an_event_names_the_meeting_that_it_says_or_is_refused() {
        holds(2_000, input::event(), |event| match (Launch::from_json(&event), model::named(&event)) {
            (Ok(launch), Some(id)) => {
                assert_eq!(launch.meeting_id.as_str(), id);
                assert!(!id.is_empty() && id == id.trim() && id.chars().count() <= 256, "{id:?}");
            }
            (Err(error), None) => is_a_sane_refusal(&error),
            (found, said) => panic!("{found:?}, and the event names {said:?}"),
        });
    }

    #[test]
    fn an_id_is_the_same_in_either_spelling_and_in_an_envelope_or_not() {
        holds(500, input::text(), |id| {
            let bare = of(&json!({"meeting_id": id}));
            for fields in
                [json!({"meetingId": id}), json!({"meeting_id": id, "meetingId": format!(" {id}\n")})]
            {
                assert_eq!(of(&fields), bare);
                assert_eq!(of(&json!({"detail": fields})), bare);
            }
        });
    }

    #[test]
    fn further_fields_change_nothing() {
        let further = btree_map(input::field(), input::json(), 0..6);
        holds(500, (input::text(), further), |(id, further)| {
            let mut fields: Map<String, Value> = further.into_iter().collect();
            fields.remove("meetingId");
            fields.insert("meeting_id".into(), id.clone().into());
            assert_eq!(of(&fields.into()), of(&json!({"meeting_id": id})));
        });
    }

    #[test]
    fn of_a_field_that_comes_twice_the_last_one_counts() {
        let name = select(vec!["meeting_id", "meetingId", "detail", "room"]);
        holds(500, vec((name, input::json()), 0..6), |fields| {
            let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
            let text = format!("{{{}}}", pairs.join(","));
            // What is no JSON, or nested without end, is refused before a verb is asked.
            let Ok(event) = elephant_core::event::parse(text.as_bytes()) else { return };
            let last: Map<String, Value> = fields.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
            assert_eq!(of(&event), of(&last.into()));
        });
    }

    #[test]
    fn a_request_to_schedule_is_one_that_can_be_written_or_is_refused() {
        holds(2_000, input::schedule_event(), |event| {
            let request = match Schedule::from_json(&event) {
                Ok(request) => request,
                Err(error) => return is_a_sane_refusal(&error),
            };
            assert_eq!(Some(request.meeting_id().as_str()), model::named(&event));
            let appointment = match request {
                Schedule::Meeting(appointment) => appointment,
                Schedule::Cancel { reason, .. } => return assert!(!reason.trim().is_empty()),
            };
            assert_eq!(appointment.meet_time_text.parse().ok(), Some(appointment.meet_time));
            let dynamodb = DynamoDb::of(None);
            let table = Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table);
            let record = NewRecord {
                meeting_id: appointment.meeting_id.clone(),
                meet_time: appointment.meet_time_text,
                created_at: start(),
                attributes: appointment.attributes,
            };
            assert_eq!(block_on(table.create(&record)), Ok(Created::Done));
            let written =
                block_on(table.read(&record.meeting_id)).expect("it is understood").expect("it stands");
            assert_eq!(written.status, Some(Status::Scheduled));
            assert_eq!(written.meet_time, MeetTime::At(appointment.meet_time));
            assert_eq!(
                (written.lease, written.teacher, written.student),
                (None, RoleRecord::default(), RoleRecord::default())
            );
            let ours = [
                "teacher_ec2_id",
                "launch_owner",
                "x_attempt",
                "\n_session_data",
                "instance_id",
                "id",
                "status",
            ];
            assert!(!record.attributes.keys().any(|name| ours.contains(&name.as_str())), "{record:?}");
        });
    }

    #[test]
    fn a_schedule_can_be_made_for_any_time() {
        let config = ScheduleConfig::from_variables(|name| {
            Some(
                match name {
                    "LAUNCH_FUNCTION_ARN" => "arn:aws:lambda:us-west-2:123456789012:function:launch",
                    "SCHEDULER_ROLE_ARN" => "arn:aws:iam::123456789012:role/scheduler",
                    "SCHEDULE_DEAD_LETTERS_ARN" => "arn:aws:sqs:us-west-2:123456789012:dead",
                    "SCHEDULE_GROUP" => "elephant",
                    _ => return None,
                }
                .to_owned(),
            )
        });
        let config = config.expect("a configuration");
        let (least, most) = (jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
        holds(2_000, (input::text(), least..=most, least..=most), |(id, meet_time, now)| {
            let Ok(meeting) = MeetingId::new(&id) else { return };
            let [meet_time, now] =
                [meet_time, now].map(|second| jiff::Timestamp::from_second(second).expect("a time"));
            let schedule = one_time(&config, &meeting, meet_time, now);
            assert!((1..=64).contains(&schedule.name.as_str().len()), "{}", schedule.name);
            assert!(schedule.flexible_window_minutes <= 1440);
            let age = schedule.retry.maximum_event_age.as_secs();
            assert!((60..=86_400).contains(&age), "{age}");
            let launch = serde_json::from_str(&schedule.input).map(|event| Launch::from_json(&event));
            assert_eq!(launch.expect("JSON").map(|launch| launch.meeting_id), Ok(meeting));
        });
    }

    #[test]
    fn a_request_to_end_says_which_meeting_and_why_and_whether_to_wait_or_is_refused() {
        holds(2_000, input::life_event(), |event| {
            let fields = model::fields(&event);
            let said =
                |name: &str| fields.and_then(|fields| fields.get(name)).filter(|value| !value.is_null());
            let wait = match said("wait") {
                None | Some(Value::Bool(false)) => Some(false),
                Some(value) if value == true || value == "terminated" => Some(true),
                Some(_) => None,
            };
            let reason = said("reason").map_or(Some("ended"), Value::as_str).map(str::trim);
            let reason = reason.filter(|reason| !reason.is_empty());
            match (End::from_json(&event), model::named(&event), wait, reason) {
                (Ok(end), Some(id), Some(wait), Some(reason)) => {
                    assert_eq!((end.meeting_id.as_str(), end.wait), (id, wait));
                    match reason.chars().count() {
                        0..=1000 => assert_eq!(end.reason, reason),
                        _ => {
                            let (kept, said) = end.reason.rsplit_once('…').expect("it is cut");
                            assert!(reason.starts_with(kept) && kept.chars().count() == 1000, "{kept:?}");
                            assert_eq!(said, format!(" ({} bytes)", reason.len()));
                        }
                    }
                }
                (Ok(end), ..) => panic!("{end:?}, of {event}"),
                (Err(_), Some(_), Some(_), Some(_)) => panic!("it is refused: {event}"),
                (Err(error), ..) => is_a_sane_refusal(&error),
            }
        });
    }

    #[test]
    fn a_question_is_understood_as_one_thing_or_refused() {
        use elephant_core::event::{Asked, Status};
        holds(2_000, input::life_event(), |event| {
            let none = Map::new();
            let fields = model::fields(&event).unwrap_or(&none);
            let said = |name: &str| fields.get(name).filter(|value| !value.is_null() && **value != false);
            let role = fields.get("role").filter(|value| !value.is_null());
            let asked = match (said("console"), role, said("wait")) {
                (None, None, None) => Some(Asked::Now),
                (None, None, Some(wait)) if wait == "running" => Some(Asked::WaitUntilRunning),
                (Some(Value::Bool(true)), Some(role), None) if role == "teacher" => {
                    Some(Asked::Console(Role::Teacher))
                }
                (Some(Value::Bool(true)), Some(role), None) if role == "student" => {
                    Some(Asked::Console(Role::Student))
                }
                _ => None,
            };
            match (Status::from_json(&event), model::named(&event), asked) {
                (Ok(found), Some(id), Some(asked)) => {
                    assert_eq!((found.meeting_id.as_str(), found.asked), (id, asked));
                }
                (Err(error), None, _) | (Err(error), _, None) => is_a_sane_refusal(&error),
                (found, named, asked) => panic!("{found:?}, not {asked:?} of {named:?}: {event}"),
            }
        });
    }

    #[test]
    fn a_sweep_is_asked_for_by_name_and_a_machine_by_a_sane_id() {
        use elephant_core::event::Reconcile;
        holds(2_000, input::life_event(), |event| match Reconcile::from_json(&event) {
            Ok(Reconcile::Sweep) => {
                assert!(event["detail-type"] == "Scheduled Event" || event["sweep"] == true, "{event}");
            }
            Ok(Reconcile::Instances(ids)) => {
                let [id] = &ids[..] else { panic!("{ids:?} of {event}") };
                let said = [&event["instance_id"], &event["detail"]["instance-id"]];
                assert!(said.iter().any(|value| **value == id.as_str()), "{event}");
                let rest = id.as_str().strip_prefix("i-").expect("it begins like one");
                assert!(
                    !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                    "{id}"
                );
            }
            Err(error) => is_a_sane_refusal(&error),
        });
    }

    #[test]
    fn a_request_to_operate_is_about_one_thing_that_is_named_well_or_is_refused() {
        use elephant_core::event::{Operate, Target, Verb};
        let done = std::cell::Cell::new(0);
        holds(4_000, input::operate_event(), |event| {
            let request = match Operate::from_json(&event) {
                Ok(request) => request,
                // Every verb is named.
                Err(error) => return is_sane_within(700, &error),
            };
            done.set(done.get() + 1);
            let fields = event.as_object().filter(|fields| fields.contains_key("do"));
            let fields = fields.or_else(|| model::fields(&event)).expect("it has fields");
            assert_eq!(fields["do"].as_str().map(str::trim), Some(request.verb.as_str()));
            match (&request.target, request.verb.about()) {
                (Some(Target::RoleRecord(meeting, role)), About::Machine | About::MachineOrAll) => {
                    assert_eq!(model::named(&event), Some(meeting.as_str()));
                    assert_eq!(fields["role"].as_str().map(str::trim), Some(role.as_str()));
                    assert!(fields.get("instance_id").is_none_or(Value::is_null), "{event}");
                }
                (Some(Target::Instance(id)), About::Machine | About::MachineOrAll) => {
                    assert_eq!(fields["instance_id"].as_str().map(str::trim), Some(id.as_str()));
                    let rest = id.as_str().strip_prefix("i-").expect("it begins like one");
                    assert!(!rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
                }
                (None, About::NoMachine | About::MachineOrAll) => {}
                (target, about) => panic!("{target:?}, {about:?}: {event}"),
            }
            if let Verb::EnsureVpc { cidr, .. } = &request.verb {
                assert_eq!(fields["cidr"].as_str().map(str::trim), Some(cidr.to_string().as_str()));
            }
            if let Verb::AddVolume(wanted) = &request.verb {
                assert!((1..=65_536).contains(&wanted.size_gb) && !wanted.name.is_empty());
            }
        });
        assert!(done.get() > 100, "hardly anything was understood: {}", done.get());
    }

    #[test]
    fn a_variable_of_schedule_that_is_wrong_is_named() {
        holds(1_000, input::schedule_environment(), |variables| {
            let read = ScheduleConfig::from_variables(|name| variables.get(name).cloned());
            match read {
                Ok(config) => assert!(config.lead >= config.flexible_window + Duration::from_secs(120)),
                Err(Problems(problems)) => {
                    assert!(!problems.is_empty());
                    for problem in &problems {
                        let name = problem.split(' ').next().unwrap_or_default();
                        assert!(settings::names(Function::Schedule).contains(&name), "{problem}");
                        assert!(problem.contains(", expected ") && !problem.contains('\n'), "{problem:?}");
                    }
                }
            }
        });
    }

    fn of(event: &Value) -> Option<MeetingId> {
        Launch::from_json(event)
            .map_err(|error| is_a_sane_refusal(&error))
            .ok()
            .map(|launch| launch.meeting_id)
    }

    fn is_a_sane_refusal(error: &Error) {
        is_sane_within(500, error);
    }

    fn is_sane_within(limit: usize, error: &Error) {
        assert_eq!(error.kind, Kind::InvalidEvent);
        assert!(error.problem.starts_with("the event ") && !error.advice.is_empty(), "{error:?}");
        assert!(error.chain().chars().count() < limit, "{} bytes are said", error.chain().len());
        assert!(!error.chain().contains(['\n', '\r']), "{:?}", error.chain());
    }
}

mod the_environment {
    use super::*;

    #[test]
    fn each_variable_that_is_wrong_is_named_at_once_and_no_other() {
        holds(1_000, input::environment(), |variables| {
            let mut wrong: Vec<&str> = names().filter(|name| !is_right(name, variables.get(name))).collect();
            if wrong.is_empty() && is_too_large(&variables) {
                wrong = vec!["VOLUME_SIZE_GB"];
            }
            match read(&variables) {
                Ok(config) => {
                    assert!(wrong.is_empty(), "{wrong:?} were accepted");
                    is_what_was_said(&config, &variables);
                }
                Err(Problems(problems)) => {
                    let said: Vec<&str> = problems.iter().filter_map(|line| line.split(' ').next()).collect();
                    assert_eq!(said, wrong, "{problems:#?}");
                    is_said_well(problems);
                }
            }
        });
    }

    #[test]
    fn what_is_wrong_with_a_variable_depends_on_no_other() {
        holds(1_000, input::environment(), |variables| {
            if is_too_large(&variables) {
                return; // it is wrong for another's sake
            }
            let alone = names().flat_map(|name| {
                let mut environment = BTreeMap::from(REQUIRED.map(|name| (name, right(name))));
                environment.remove(name);
                environment.extend(variables.get(name).map(|value| (name, value.clone())));
                read(&environment).err().map_or_else(Vec::new, |Problems(problems)| problems)
            });
            let alone: Vec<String> = alone.collect();
            let together = read(&variables).err().map_or_else(Vec::new, |Problems(problems)| problems);
            assert_eq!(together, alone);
        });
    }

    fn names() -> impl Iterator<Item = &'static str> {
        settings::names(Function::Launch).into_iter().chain(ENDPOINTS)
    }

    fn read(variables: &BTreeMap<&str, String>) -> Result<Config, Problems> {
        Config::from_variables(|name| variables.get(name).cloned())
    }

    fn right(name: &str) -> String {
        let (_, values) = RIGHT.iter().find(|(known, _)| *known == name).expect("a variable");
        values.split('|').next().expect("a value").to_owned()
    }

    fn is_said_well(problems: Vec<String>) {
        assert!(problems.iter().all(|line| line.contains(", expected ")), "{problems:#?}");
        let error = Error::from(Problems(problems));
        assert_eq!(error.kind, Kind::InvalidConfiguration);
        assert!(!error.chain().contains(['\n', '\r']), "{:?}", error.chain());
    }

    fn is_right(name: &str, value: Option<&String>) -> bool {
        let text = value.map_or("", |value| value.trim());
        if name.starts_with("AWS_ENDPOINT_URL") {
            return value.is_none_or(|value| is_an_address(value));
        }
        if text.is_empty() {
            return !REQUIRED.contains(&name);
        }
        let id = |prefix: &str, text: &str| text.strip_prefix(prefix).is_some_and(|rest| is_of(rest, "az09"));
        match name {
            "AMI_ID" => id("ami-", text),
            "INSTANCE_TYPE" => is_list(text, |piece| match piece.split('.').collect::<Vec<_>>()[..] {
                [family, size] => is_of(family, "az09-") && is_of(size, "az09-"),
                _ => false,
            }),
            "SECURITY_GROUP_IDS" => is_list(text, |piece| id("sg-", piece)),
            "SUBNET_IDS" => is_list(text, |piece| id("subnet-", piece)),
            "SUPPORTED_AZS" => is_list(text, |piece| is_of(piece, "az09-")),
            "KEY_NAME" => text.chars().count() <= 255,
            "PROJECT_TAG" => text.chars().count() <= 256 && !text.contains(['*', '?', '\\']),
            "IAM_PROFILE" if text.starts_with("arn:") => text.contains(":instance-profile/"),
            "IAM_PROFILE" => is_of(text, "azAZ09+=,.@_-") && text.len() <= 128,
            "TABLE_NAME" => is_of(text, "azAZ09_-.") && (3..=255).contains(&text.len()),
            "VOLUME_DEVICE" => text.starts_with("/dev/") || text.starts_with("xvd"),
            "VOLUME_SIZE_GB" => text.parse::<i64>().is_ok_and(|size| (1..=65_536).contains(&size)),
            "VOLUME_TYPE" => ["gp3", "gp2", "standard"].contains(&text),
            "VOLUME_ENCRYPTED" => ["true", "false"].contains(&text),
            "IMDS_TOKENS" => ["image", "required", "optional"].contains(&text),
            "EARLIEST_MINUTES" => is_minutes(text) && text.parse::<i64>().is_ok_and(|minutes| minutes > 0),
            "LAUNCH_WINDOW_MINUTES" => is_minutes(text),
            other => panic!("{other} is read, and nobody says here what is right in it"),
        }
    }

    /// `http://host`, with a port and a path if need be.
    fn is_an_address(text: &str) -> bool {
        let Some(rest) = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme)) else {
            return false;
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.contains(['[', ']']) {
            return host.starts_with("[::1]") && host.len() < 12;
        }
        let pieces: Vec<&str> = host.split(':').collect();
        let port = match pieces[1..] {
            [] => true,
            [port] => is_of(port, "09") && port.parse::<u32>().is_ok_and(|port| (1..65_536).contains(&port)),
            _ => false,
        };
        is_of(pieces[0], "azAZ09-._") && port && is_of(&format!("/{path}"), "azAZ09-._~/%")
    }

    /// A volume of this size is right, and not of this type.
    fn is_too_large(variables: &BTreeMap<&str, String>) -> bool {
        let largest = match variables.get("VOLUME_TYPE").map(|text| text.trim()) {
            Some("gp2") => 16_384,
            Some("standard") => 1024,
            _ => i64::MAX,
        };
        let size = variables.get("VOLUME_SIZE_GB").and_then(|text| text.trim().parse::<i64>().ok());
        size.is_some_and(|size| size > largest)
    }

    fn is_minutes(text: &str) -> bool {
        !text.starts_with('-') && text.parse::<i64>().is_ok_and(|minutes| minutes <= 10_080)
    }

    fn pieces(text: &str) -> Vec<&str> {
        text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect()
    }

    fn is_list(text: &str, is_right: impl Fn(&str) -> bool) -> bool {
        !pieces(text).is_empty() && pieces(text).into_iter().all(is_right)
    }

    /// Not empty, and of these characters: a-z, A-Z and 0-9 where the ends of a row are named, and single ones.
    fn is_of(text: &str, allowed: &str) -> bool {
        let row = |ends: &str, row: std::ops::RangeInclusive<char>, c: char| {
            allowed.contains(ends) && row.contains(&c)
        };
        let allowed = |c: char| {
            row("az", 'a'..='z', c)
                || row("AZ", 'A'..='Z', c)
                || row("09", '0'..='9', c)
                || (!c.is_ascii_alphanumeric() && allowed.contains(c))
        };
        !text.is_empty() && text.chars().all(allowed)
    }

    fn is_what_was_said(config: &Config, variables: &BTreeMap<&str, String>) {
        let text =
            |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let list =
            |name: &str| text(name).map(pieces).map(|pieces| pieces.into_iter().collect::<BTreeSet<_>>());
        let kept = |list: &[String]| {
            let set: BTreeSet<String> = list.iter().cloned().collect();
            assert_eq!(set.len(), list.len(), "something comes twice in {list:?}");
            Some(set)
        };
        let owned = |set: Option<BTreeSet<&str>>| set.map(|set| set.into_iter().map(str::to_owned).collect());
        if let Source::Id(id) = &config.image {
            assert_eq!(Some(id.as_str()), text("AMI_ID"));
        }
        assert_eq!(kept(&config.instance_types), owned(list("INSTANCE_TYPE")));
        assert_eq!(kept(&config.security_group_ids), owned(list("SECURITY_GROUP_IDS")));
        assert_eq!(config.supported_azs.as_deref().and_then(kept), owned(list("SUPPORTED_AZS")));
        let subnet_ids = match &config.network {
            Network::Subnets(ids) => Some(ids.as_slice()),
            _ => None,
        };
        assert_eq!(subnet_ids.and_then(kept), owned(list("SUBNET_IDS")));
        assert_eq!(config.key_name.as_deref(), text("KEY_NAME"));
        assert_eq!(Some(config.table_name.as_str()), text("TABLE_NAME").or(Some("elephant-meetings")));
        assert_eq!(Some(config.project_tag.as_str()), text("PROJECT_TAG").or(Some("Elephant")));
        assert_eq!(config.volume.device.as_deref(), text("VOLUME_DEVICE"));
        assert_eq!(Some(config.volume.volume_type.as_str()), text("VOLUME_TYPE").or(Some("gp3")));
        assert_eq!(config.volume.encrypted, text("VOLUME_ENCRYPTED") != Some("false"));
        assert_eq!(
            config.volume.size_gb,
            text("VOLUME_SIZE_GB").map_or(60, |size| size.parse().expect("a size"))
        );
        let minutes = text("LAUNCH_WINDOW_MINUTES").map_or(120_u64, |text| text.parse().expect("minutes"));
        assert_eq!(config.window.latest.as_secs(), 60 * minutes);
        let minutes = text("EARLIEST_MINUTES").map_or(1440_u64, |text| text.parse().expect("minutes"));
        assert_eq!(config.window.earliest.as_secs(), 60 * minutes);
        assert_eq!(config.imds_tokens.is_none(), matches!(text("IMDS_TOKENS"), None | Some("image")));
        let profile = config.iam_profile.as_ref().map(|profile| match profile {
            InstanceProfile::Name(name) => name.as_str(),
            InstanceProfile::Arn(arn) => arn.as_str(),
        });
        assert_eq!(profile, text("IAM_PROFILE"));
    }
}

mod records {
    use super::*;

    #[test]
    fn a_record_is_understood_as_it_stands_or_the_attribute_at_fault_is_named() {
        holds(600, input::item(), |item| {
            assert!(item.values().all(|value| model::is_stored(value, 32)), "no table holds this");
            match read(&item) {
                Ok(record) => is_what_it_says(&record, &item),
                Err(error) => is_a_sane_refusal(&error, &item),
            }
        });
    }

    #[test]
    fn an_attribute_that_is_refused_is_refused_by_itself() {
        holds(400, input::item(), |item| {
            let Some(at_fault) = read(&item).err().map(named) else { return };
            // Of a lease both parts are one.
            let kept = |name: &str| {
                name == at_fault || (name.starts_with("launch_") && at_fault.starts_with("launch_"))
            };
            let (alone, rest): (Item, Item) = item.into_iter().partition(|(name, _)| kept(name));
            assert_eq!(read(&alone).map_err(named), Err(at_fault), "alone");
            assert_ne!(read(&rest).map_err(named), Err(at_fault), "it is named where it is not");
        });
    }

    #[test]
    fn attributes_of_others_are_none_of_our_business() {
        let name = prop_oneof![Just("jitsi_url".to_owned()), input::text()];
        let others = btree_map(name, input::attribute(), 0..5);
        holds(250, (input::item(), others), |(item, others)| {
            let mut more = item.clone();
            more.extend(others.into_iter().filter(|(name, _)| !model::READ.contains(&name.as_str())));
            assert_eq!(outcome(&more), outcome(&item));
        });
    }

    /// What a sweep and a question read beside it changes nothing of that.
    #[test]
    fn a_sweep_and_a_question_understand_of_a_record_what_a_delivery_does() {
        let more = btree_map(select(model::NOTED.to_vec()).prop_map(str::to_owned), input::attribute(), 0..6);
        holds(400, (input::item(), more), |(mut item, more)| {
            item.extend(more);
            let delivered = outcome(&item);
            item.insert("id".into(), json!({"S": "m"}));
            let table = |item: &Item| {
                let dynamodb = DynamoDb::of(Some(item.clone()));
                Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table)
            };
            let report = block_on(table(&item).report(&meeting())).expect("it is answered");
            let all = block_on(table(&item).read_all(&BTreeSet::from([meeting()]))).expect("it is answered");
            for watched in [report.watched, all[&meeting()].clone()] {
                match (watched, delivered.clone()) {
                    (MeetingSnapshot::Stands { mut record, .. }, Ok(delivered)) => {
                        if let MeetTime::Unreadable(shown) = &mut record.meet_time {
                            shown.clear();
                        }
                        assert_eq!(record, delivered);
                    }
                    (MeetingSnapshot::Unreadable(what), Err(named)) => {
                        is_shown_well(&what);
                        assert!(what.contains(named), "{what:?} does not name {named}");
                    }
                    (watched, _) => panic!("{watched:?}, and a delivery reads {delivered:?}"),
                }
            }
        });
    }

    #[test]
    fn an_answer_that_is_no_record_is_a_named_error() {
        let wrapped = |value: Value| json!({"Item": value}).to_string();
        let body = prop_oneof![
            1 => input::text(),
            1 => input::json().prop_map(|value| value.to_string()),
            3 => input::json().prop_map(wrapped),
            2 => (input::item(), input::json()).prop_map(move |(mut item, value)| {
                item.insert("status".into(), value);
                wrapped(item.into())
            }),
        ];
        holds(500, body, |body| {
            let dynamodb = DynamoDb::saying(body.as_bytes());
            let table = Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table);
            if let Err(error) = block_on(table.read(&meeting())) {
                assert!([Class::Unreadable, Class::Ambiguous].contains(&error.class), "{error:?}");
                assert!(!error.message.is_empty() && error.to_string().len() < 3_000, "{error:?}");
            }
        });
    }

    #[test]
    fn every_attempt_of_ours_is_written_and_read_as_it_is() {
        let attempts = (input::our_attempt(Role::Teacher), input::our_attempt(Role::Student));
        holds(150, attempts, |(teacher, student)| {
            let item = Item::from_iter([("id".to_owned(), json!({"S": "m"}))]);
            let dynamodb = DynamoDb::of(Some(item));
            let table = Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table);
            let lease = Lease { owner: Owner::from("me"), until: after(start(), Timing::DEFAULT.lease) };
            let attempts = [(Role::Teacher, teacher.clone()), (Role::Student, student.clone())];
            let read = block_on(table.read(&meeting())).expect("readable").expect("a record");
            let claim = record::claim(&read, lease.clone(), &attempts);
            assert_eq!(block_on(table.update(&claim)), Ok(Updated::Done));
            let of_role =
                |attempt| RoleRecord { instance_id: None, attempt: Some(attempt), launched_at: None };
            let expected =
                Record { lease: Some(lease), teacher: of_role(teacher), student: of_role(student), ..read };
            assert_eq!(block_on(table.read(&meeting())), Ok(Some(expected)));
            for (role, attempt) in attempts {
                let item = dynamodb.item().expect("it is there");
                assert_eq!(item[model::attempt_of(role)], model::written(&attempt));
            }
        });
    }

    fn read(item: &Item) -> Result<Record, AwsError> {
        let mut item = item.clone();
        item.insert("id".into(), json!({"S": "m"}));
        let dynamodb = DynamoDb::of(Some(item));
        let table = Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table);
        block_on(table.read(&meeting())).map(|found| found.expect("there is a record"))
    }

    /// What is read, but for words whose order is that of a map.
    fn outcome(item: &Item) -> Result<Record, &'static str> {
        let mut record = read(item).map_err(named)?;
        if let MeetTime::Unreadable(shown) = &mut record.meet_time {
            shown.clear();
        }
        Ok(record)
    }

    /// The attribute that an error names.
    fn named(error: AwsError) -> &'static str {
        let words: Vec<&str> = error.message.split(' ').collect();
        let named = model::READ.into_iter().find(|name| words.contains(name));
        named.unwrap_or_else(|| panic!("{error:?} names none"))
    }

    fn is_what_it_says(record: &Record, item: &Item) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let text = |name: &str| model::text(item, name).map(owned);
        assert_eq!(Ok(record.status.as_ref().map(|status| status.as_str().to_owned())), text("status"));
        assert_eq!(Ok(record.termination_reason.clone()), text("termination_reason"));
        let lease = record.lease.as_ref().map(|lease| (lease.owner.as_str(), lease.until));
        assert_eq!(Ok(lease), model::lease(item));
        match (&record.meet_time, model::meet_time(item)) {
            (MeetTime::Unreadable(shown), MeetTime::Unreadable(_)) => is_shown_well(shown),
            (found, said) => assert_eq!(*found, said),
        }
        for role in Role::BOTH {
            let of_role = record.role(role);
            assert_eq!(Ok(of_role.instance_id.as_ref().map(|id| id.to_string())), text(model::id_of(role)));
            match model::attempt(item, &meeting(), role) {
                Ok(attempt) => assert_eq!(of_role.attempt, attempt),
                // Other types may mean the same, but not in what a write is conditional on.
                Err(Wrong) => {
                    let attempt = of_role.attempt.as_ref().expect("something stands there");
                    assert!(model::is_ours(attempt, &meeting(), role), "{attempt:#?}");
                    let map = &item[model::attempt_of(role)]["M"];
                    assert_eq!(map["token"], json!({"S": attempt.token.as_str()}));
                    assert_eq!(map["refused"], json!({"BOOL": attempt.refused}));
                }
            }
        }
    }

    /// On one line that ends, whatever somebody wrote.
    fn is_shown_well(shown: &str) {
        assert!(shown.chars().count() <= 501, "{} characters are shown", shown.chars().count());
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }

    fn is_a_sane_refusal(error: &AwsError, item: &Item) {
        assert_eq!((error.action, error.class), ("GetItem", Class::Unreadable), "{error:?}");
        assert!(
            error.message.starts_with("of the attributes ") || error.message.starts_with("the attribute "),
            "{error:?}"
        );
        is_shown_well(&error.message);
        let broken = |role| model::attempt(item, &meeting(), role) == Err(Wrong);
        assert!(
            model::has_wrong_texts(item) || Role::BOTH.into_iter().any(broken),
            "nothing is wrong: {error:?}"
        );
    }
}

mod deliveries {
    use super::*;

    #[test]
    fn whatever_comes_in_the_promise_is_kept() {
        holds(1_000, input::story(), |story| deliver(&story).keeps_the_promise());
    }
}

/// What `fuzz/` starts from, here for every `cargo test`.
mod seeds {
    use super::*;

    #[test]
    fn every_event_in_the_corpus_is_understood_or_refused() {
        for (name, text) in corpus("event") {
            let event = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let launch = Launch::from_json(&event).ok();
            assert_eq!(
                launch.as_ref().map(|launch| launch.meeting_id.as_str()),
                model::named(&event),
                "{name}"
            );
        }
    }

    #[test]
    fn every_record_in_the_corpus_keeps_the_promise() {
        for (name, text) in corpus("record") {
            let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let item = answer.get("Item").and_then(Value::as_object).cloned();
            let variables: BTreeMap<_, _> = RIGHT
                .into_iter()
                .filter(|(name, _)| REQUIRED.contains(name))
                .map(|(name, right)| (name, right.split('|').next().unwrap_or_default().to_owned()))
                .collect();
            for machines_came in [false, true] {
                let (variables, item) = (variables.clone(), item.clone());
                let event = json!({"meeting_id": "m"});
                deliver(&Story { variables, event, item, machines_came }).keeps_the_promise();
            }
        }
    }

    fn corpus(target: &str) -> Vec<(String, String)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let files =
            std::fs::read_dir(&folder).expect("a folder of the project").flatten().map(|file| file.path());
        let seeds = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read = |path: std::path::PathBuf| {
            (path.display().to_string(), std::fs::read_to_string(&path).expect("text"))
        };
        let seeds: Vec<_> = seeds.map(read).collect();
        assert!(seeds.len() > 10, "{} seeds of {target}", seeds.len());
        seeds
    }
}

//! The other programs of the system, as they really are: each does to the table, to EC2 and to Scheduler what its original
//! does, in the same order and on the same conditions (shaundano/project-elephant, `lambdas/` and `vm-scripts/`).
//!
//! Not played: what they do elsewhere, but for the watchdog's DNS entries, which are kept here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::AttributeValue::S;
use aws_sdk_ec2::types::Instance;
use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::local::aws::{Item, LocalAws, TABLE, sdk};
use crate::meeting::{id, is_live, tag, text};

/// Whom the system's schedules invoke.
pub const LAUNCHER: &str = "arn:aws:lambda:us-west-2:123456789012:function:launch";
pub const SAFETY_NET: &str = "arn:aws:lambda:us-west-2:123456789012:function:meeting-safety-net";
/// The role that they run with.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/elephant-scheduler";

pub struct Neighbours<'a> {
    pub aws: &'a LocalAws,
    pub scheduler: aws_sdk_scheduler::Client,
    /// The watchdog's entries: a name for each machine, and the address that it points to.
    pub dns: RefCell<BTreeMap<String, String>>,
    /// What the watchdog was told of each machine.
    told: RefCell<BTreeMap<String, bool>>,
}

impl<'a> Neighbours<'a> {
    pub fn beside(aws: &'a LocalAws) -> Self {
        let scheduler = aws_sdk_scheduler::Client::new(&sdk(&aws.aws));
        Neighbours { aws, scheduler, dns: RefCell::default(), told: RefCell::default() }
    }

    /// `schedule-meeting`: both schedules, then the record. The time is taken for UTC without its fraction and `Z`, and
    /// stored as it came, be it missing: a NULL then.
    pub fn schedule_meeting(&self, meeting: &str, meet_time: Option<&str>) {
        if let Some(text) = meet_time {
            let base = text.split('.').next().unwrap_or(text).replace('Z', "");
            let at: Timestamp = format!("{base}Z").parse().expect("a time");
            self.create_schedule(
                &format!("launch-{meeting}"),
                at - SignedDuration::from_mins(5),
                LAUNCHER,
                &json!({"meeting_id": meeting}),
            );
            self.create_schedule(
                &format!("safety-{meeting}"),
                at + SignedDuration::from_mins(15),
                SAFETY_NET,
                &json!({"meetingId": meeting}),
            );
        }
        let text = |text: &str| S(text.to_owned());
        let item = Item::from([
            ("id".to_owned(), text(meeting)),
            ("teacher_name".to_owned(), text("Ada Lovelace")),
            ("student_name".to_owned(), text("Charles Babbage")),
            ("meet_time".to_owned(), meet_time.map_or(AttributeValue::Null(true), text)),
            ("jitsi_url".to_owned(), text(&format!("https://meet.example.com/{meeting}"))),
            ("status".to_owned(), text("SCHEDULED")),
            ("created_at".to_owned(), text("2026-01-05T09:12:13.123456+00:00")),
        ]);
        let put = self.aws.dynamodb.put_item().table_name(TABLE).set_item(Some(item));
        self.aws.wait(put.send()).expect("the record is written");
    }

    pub fn create_schedule(&self, name: &str, at: Timestamp, target: &str, input: &Value) {
        let off = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().expect("complete");
        let target = Target::builder().arn(target).role_arn(ROLE).input(input.to_string()).build();
        let create = self
            .scheduler
            .create_schedule()
            .name(name)
            .schedule_expression(format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S")))
            .target(target.expect("complete"))
            .flexible_time_window(off)
            .action_after_completion(ActionAfterCompletion::Delete);
        self.aws.wait(create.send()).expect("the schedule is created");
    }

    /// When a schedule of the default group fires, whom it invokes, and with what; `None`: there is none of this name.
    pub fn schedule(&self, name: &str) -> Option<(Timestamp, String, Value)> {
        let get = self.scheduler.get_schedule().name(name).group_name("default").send();
        let found = self.aws.wait(get).ok()?;
        let expression = found.schedule_expression().expect("an expression");
        let at = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')')).expect("one time");
        let target = found.target().expect("a target");
        let input = serde_json::from_str(target.input().expect("an input")).expect("JSON");
        Some((format!("{at}Z").parse().expect("a time"), target.arn().to_owned(), input))
    }

    /// Scheduler fires it, and deletes it: whom it invokes, and with what.
    pub fn fire(&self, name: &str) -> (String, Value) {
        let (_, target, input) = self.schedule(name).unwrap_or_else(|| panic!("{name} stands"));
        let delete = self.scheduler.delete_schedule().name(name).group_name("default").send();
        self.aws.wait(delete).expect("it is deleted");
        (target, input)
    }

    /// Each machine that has come up or gone down since the last time is one notification to the watchdog, in this order.
    pub fn notify(&self, machines: &[Instance]) {
        for machine in machines {
            let up = is_live(machine);
            let before = self.told.borrow_mut().insert(id(machine), up);
            match (before, up) {
                (None | Some(false), true) => self.watchdog(&id(machine), "running"),
                (Some(true), false) => self.watchdog(&id(machine), "shutting-down"),
                _ => {}
            }
        }
    }

    /// The watchdog: looks the machine up, and ignores one without its three tags. DNS_WRITTEN and TERMINATED go over
    /// anything, and make a record where none stands.
    pub fn watchdog(&self, instance: &str, state: &str) {
        let look = self.aws.ec2.describe_instances().instance_ids(instance).send();
        let Ok(found) = self.aws.wait(look) else { return };
        let Some(machine) = found.reservations().iter().flat_map(|r| r.instances()).next() else { return };
        let (project, meeting, role) =
            (tag(machine, "Project"), tag(machine, "MeetingID"), tag(machine, "Role"));
        if project != "Elephant" || meeting.is_empty() || role.is_empty() {
            return;
        }
        let name = format!("{instance}.example.com");
        match state {
            "running" => {
                let Some(address) = machine.public_ip_address() else { return };
                self.dns.borrow_mut().insert(name.clone(), address.to_owned());
                let link = format!("https://{name}:8443");
                self.write(&meeting, &[("status", "DNS_WRITTEN"), (&format!("{role}_ec2_link"), &link)]);
            }
            "shutting-down" => {
                self.dns.borrow_mut().remove(&name);
                self.write(&meeting, &[("status", "TERMINATED")]);
            }
            other => panic!("it does not listen to {other}"),
        }
    }

    /// The machine, when somebody logs on: one page of a scan for its own id, then HEALTHY over anything. The meeting that
    /// it has found, and its role there.
    pub fn log_on(&self, instance: &str) -> Option<(String, &'static str)> {
        let scan = self
            .aws
            .dynamodb
            .scan()
            .table_name(TABLE)
            .filter_expression("teacher_ec2_id = :id OR student_ec2_id = :id")
            .expression_attribute_values(":id", S(instance.to_owned()));
        let page = self.aws.wait(scan.send()).expect("a page");
        let record = page.items().first()?;
        let is = |role: &str| text(record, &format!("{role}_ec2_id")).as_deref() == Some(instance);
        let role = ["teacher", "student"].into_iter().find(|role| is(role))?;
        let meeting = text(record, "id").expect("an id");
        self.write(&meeting, &[("status", "HEALTHY"), ("instance_id", instance)]);
        Some((meeting, role))
    }

    /// The join page: reads the record, and writes IN_PROGRESS.
    pub fn join(&self, meeting: &str) {
        if self.aws.record(meeting).is_some() {
            self.write(meeting, &[("status", "IN_PROGRESS")]);
        }
    }

    /// `get-dcv-url`: where a person is sent.
    pub fn link(&self, meeting: &str, role: &str) -> Option<String> {
        text(&self.aws.record(meeting)?, &format!("{role}_ec2_link")).filter(|link| !link.is_empty())
    }

    /// The machine, when its recording is kept.
    pub fn upload(&self, meeting: &str, role: &str) {
        self.write(meeting, &[(&format!("{role}_session_data"), "s3://sessions/1")]);
    }

    /// The safety net: its reason, if it ended the meeting.
    pub fn safety_net(&self, event: &Value) -> Option<&'static str> {
        let meeting = event["meeting_id"].as_str().or(event["meetingId"].as_str()).expect("a meeting");
        let record = self.aws.record(meeting)?;
        let status = text(&record, "status");
        if status.as_deref() == Some("TERMINATED") {
            return None;
        }
        let has = |role: &str| record.contains_key(&format!("{role}_session_data"));
        let reason = match (has("teacher"), has("student")) {
            (false, false) if status.as_deref() == Some("IN_PROGRESS") => return None,
            (false, false) => "NO_SHOW_TIMEOUT",
            (true, true) => "15_MIN_SUCCESS",
            _ => "PARTIAL_NO_SHOW_TIMEOUT",
        };
        self.terminate(&record);
        self.write(meeting, &[("status", "TERMINATED"), ("termination_reason", reason)]);
        Some(reason)
    }

    /// The terminator, told by the table's stream of a change that left this record: both machines, then the reason, unless
    /// somebody was faster. Whether it acted.
    pub fn terminator(&self, record: &Item, now: Timestamp, meanwhile: impl FnOnce()) -> bool {
        let both =
            ["teacher", "student"].iter().all(|role| record.contains_key(&format!("{role}_session_data")));
        let begins = text(record, "meet_time").or_else(|| text(record, "created_at"));
        let begins = begins.and_then(|time| time.replace("+00:00", "Z").parse::<Timestamp>().ok());
        let long = begins.is_some_and(|time| now.duration_since(time) >= SignedDuration::from_mins(15));
        if !both || !long {
            return false;
        }
        self.terminate(record);
        meanwhile();
        let update = self.aws.dynamodb.update_item().table_name(TABLE).key("id", record["id"].clone());
        let update = update
            .update_expression("SET #s = :stat, termination_reason = :reason")
            .condition_expression("#s <> :stat")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":stat", S("TERMINATED".into()))
            .expression_attribute_values(":reason", S("SUCCESS".into()));
        // Refused where the watchdog was faster.
        let _ = self.aws.wait(update.send());
        true
    }

    fn terminate(&self, record: &Item) {
        let ids: Vec<String> = ["teacher", "student"]
            .iter()
            .filter_map(|role| text(record, &format!("{role}_ec2_id")))
            .collect();
        if !ids.is_empty() {
            // That it fails is only logged.
            let _ = self.aws.wait(self.aws.ec2.terminate_instances().set_instance_ids(Some(ids)).send());
        }
    }

    /// UpdateItem without a condition.
    fn write(&self, meeting: &str, attributes: &[(&str, &str)]) {
        let mut update = self.aws.dynamodb.update_item().table_name(TABLE).key("id", S(meeting.to_owned()));
        let mut sets = Vec::new();
        for (n, (name, value)) in attributes.iter().enumerate() {
            sets.push(format!("#{n} = :{n}"));
            update = update
                .expression_attribute_names(format!("#{n}"), *name)
                .expression_attribute_values(format!(":{n}"), S((*value).to_owned()));
        }
        self.aws
            .wait(update.update_expression(format!("SET {}", sets.join(", "))).send())
            .expect("it is written");
    }
}

/// The attributes that the system has without us, our two ids and the status among them.
pub const THEIRS: [&str; 17] = [
    "id",
    "teacher_name",
    "student_name",
    "teacher_email",
    "meet_time",
    "jitsi_url",
    "created_at",
    "status",
    "teacher_ec2_id",
    "student_ec2_id",
    "teacher_ec2_link",
    "student_ec2_link",
    "instance_id",
    "teacher_session_data",
    "student_session_data",
    "termination_reason",
    "summary",
];

/// What is noted of machines that run, for whoever wants to reach them: a role before each but the last.
const NOTES: [&str; 5] = ["_state", "_private_ip", "_public_ip", "_dns_name", "launch_ready_at"];

/// The bytes of a record that are there for us alone, but for its notes, as DynamoDB counts them: names and values, three for
/// a map or a list and one for each thing in it.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub fn ours_in_bytes(record: &Item) -> usize {
    sum(record, |name| !is_note(name))
}

pub fn notes_in_bytes(record: &Item) -> usize {
    sum(record, is_note)
}

fn is_note(name: &str) -> bool {
    NOTES.iter().any(|note| name.ends_with(note))
}

fn sum(record: &Item, counts: impl Fn(&str) -> bool) -> usize {
    let ours = record.iter().filter(|(name, _)| !THEIRS.contains(&name.as_str()) && counts(name));
    ours.map(|(name, value)| name.len() + bytes(value)).sum()
}

fn bytes(value: &AttributeValue) -> usize {
    match value {
        S(text) => text.len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::M(map) => {
            3 + map.iter().map(|(name, value)| 1 + name.len() + bytes(value)).sum::<usize>()
        }
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + bytes(value)).sum::<usize>(),
        _ => 1,
    }
}

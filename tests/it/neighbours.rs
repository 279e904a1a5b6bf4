//! Beside the real neighbours, and with an EC2 as its user guide describes it: the real binaries among the other programs of
//! the system, which are played as they are (`neighbours/system.rs`), on the local AWS with EC2's habits
//! (`aws/habits.py`), under roles that allow by tag.

mod system;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::local::aws::Item;
use crate::local::lambda::Lambda;
use crate::meeting::{
    ROLES, Stack, ender, id, is_live, live, observer, operator, reconciler, scheduler_with, text,
};
use aws_sdk_ec2::types::{AttributeBooleanValue, Instance};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use system::{LAUNCHER, Neighbours, SAFETY_NET, notes_in_bytes, ours_in_bytes};

/// A record may be so many bytes longer for us while its meeting is on: for the launch, and for what is noted of machines that
/// run; and once the meeting is over and all is settled.
const WHILE_ON: usize = 1200;
const NOTES: usize = 350;
const AFTERWARDS: usize = 350;

const MINUTE: Duration = Duration::from_secs(60);

fn in_minutes(minutes: i64) -> String {
    format!("{:.3}", Timestamp::now() + SignedDuration::from_mins(minutes))
}

/// A local AWS that judges by tag, the functions, and one meeting after another.
struct Trial {
    stack: Stack,
    sweeper: Lambda,
    end: Lambda,
}

impl Trial {
    fn begin() -> Trial {
        let stack = Stack::up();
        stack.aws.set(json!({"judged_by_project": "Elephant"}));
        let sweeper = reconciler(&stack.aws, &[]);
        let end = ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]);
        Trial { stack, sweeper, end }
    }

    fn neighbours(&self) -> Neighbours<'_> {
        Neighbours::beside(&self.stack.aws)
    }

    /// A meeting that schedule-meeting has planned, and that begins in four minutes. It has its machines, which run, since
    /// half an hour ago. Its schedule has not fired, as if somebody had launched it by hand.
    fn launched(&mut self, meeting: &str) {
        self.stack.turn_to(meeting);
        self.neighbours().schedule_meeting(meeting, Some(&in_minutes(4)));
        self.stack.deliver().answer();
        self.stack.grow_older(30 * MINUTE);
        self.stack.both_recorded();
    }

    fn sweep(&self) -> Value {
        self.sweeper.invoke(&json!({"sweep": true})).answer()
    }

    /// Three sweeps, six minutes apart, some time after what happened.
    fn sweeps(&self) -> Vec<Value> {
        let each = |_| {
            self.stack.grow_older(6 * MINUTE);
            self.sweep()
        };
        (0..3).map(each).collect()
    }

    fn ended_for(&self, reason: &str) -> Value {
        self.end.invoke(&json!({"meeting_id": self.stack.meeting, "reason": reason})).answer()
    }

    fn id_of(&self, role: &str) -> String {
        self.stack.attribute(&format!("{role}_ec2_id")).unwrap_or_else(|| panic!("{role} has a machine"))
    }

    fn machine(&self, id: &str) -> Option<Instance> {
        self.stack.aws.machines().into_iter().find(|machine| machine.instance_id() == Some(id))
    }

    fn state_of(&self, id: &str) -> Option<String> {
        let state = self.machine(id)?.state()?.name()?.as_str().to_owned();
        Some(state)
    }

    /// Of the whole account, whatever tags they have: the meetings of a test are few.
    fn live_ids(&self) -> BTreeSet<String> {
        self.stack.aws.machines().iter().filter(|machine| is_live(machine)).map(id).collect()
    }

    fn launches(&self) -> usize {
        let calls = self.stack.aws.calls();
        calls.iter().filter(|call| call["action"] == "RunInstances" && call["status"] == 200).count()
    }
}

fn story(trial: &Trial, sweeps: &[Value]) -> String {
    format!("{sweeps:#?}\n{:#?}\n{}", trial.stack.aws.record(&trial.stack.meeting), trial.stack.story())
}

mod ended_stays_ended {
    use super::*;

    /// `end` writes why, and whoever of the others is late writes over the status: a heartbeat, the watchdog's second
    /// machine, the join page, a launch of another program.
    #[test]
    fn whatever_is_written_over_its_status() {
        let mut trial = Trial::begin();
        for status in ["HEALTHY", "DNS_WRITTEN", "IN_PROGRESS", "LAUNCHED", "SCHEDULED"] {
            trial.launched(&format!("over-{status}"));
            trial.ended_for("the teacher left");
            trial.stack.set("status", status);
            let launches = trial.launches();
            let sweeps = trial.sweeps();
            trial.stack.deliver().answer();
            assert_eq!(trial.live_ids(), BTreeSet::new(), "{}", story(&trial, &sweeps));
            assert_eq!(trial.launches(), launches, "{}", story(&trial, &sweeps));
            assert_eq!(trial.stack.attribute("termination_reason"), Some("the teacher left".into()));
        }
    }

    /// The same by the programs themselves, each at its own moment.
    #[test]
    fn by_every_one_of_the_neighbours() {
        let mut trial = Trial::begin();
        trial.launched("heartbeat");
        let teacher = trial.id_of("teacher");
        trial.ended_for("over");
        assert_eq!(trial.neighbours().log_on(&teacher), Some(("heartbeat".into(), "teacher")));
        nothing_more(&trial);

        trial.launched("join");
        trial.ended_for("over");
        trial.neighbours().join("join");
        nothing_more(&trial);

        trial.launched("watchdog");
        let neighbours = trial.neighbours();
        neighbours.notify(&trial.stack.instances());
        trial.ended_for("over");
        neighbours.notify(&trial.stack.instances());
        assert!(neighbours.dns.borrow().is_empty(), "{:?}", neighbours.dns);
        assert_eq!(trial.stack.attribute("status"), Some("TERMINATED".into()));
        nothing_more(&trial);
    }

    fn nothing_more(trial: &Trial) {
        let sweeps = trial.sweeps();
        assert_eq!(trial.live_ids(), BTreeSet::new(), "{}", story(trial, &sweeps));
        assert_eq!(trial.stack.attribute("termination_reason"), Some("over".into()));
    }

    /// A reason is a reason, whoever gave it.
    #[test]
    fn by_the_safety_net_and_the_terminator_too() {
        let mut trial = Trial::begin();
        trial.launched("no-show");
        let neighbours = trial.neighbours();
        neighbours.notify(&trial.stack.instances());
        let (target, input) = neighbours.fire("safety-no-show");
        assert_eq!(target, SAFETY_NET);
        assert_eq!(neighbours.safety_net(&input), Some("NO_SHOW_TIMEOUT"));
        neighbours.notify(&trial.stack.instances());
        neighbours.join("no-show");
        let sweeps = trial.sweeps();
        assert_eq!(trial.live_ids(), BTreeSet::new(), "{}", story(&trial, &sweeps));
        assert_eq!(trial.stack.attribute("termination_reason"), Some("NO_SHOW_TIMEOUT".into()));

        // The watchdog is faster than the terminator, so no reason stands: but somebody ended both machines.
        trial.launched("success");
        let neighbours = trial.neighbours();
        neighbours.notify(&trial.stack.instances());
        for role in ROLES {
            neighbours.upload("success", role);
        }
        let later = Timestamp::now() + SignedDuration::from_mins(60);
        let ended = neighbours.terminator(&trial.stack.record(), later, || {
            neighbours.notify(&trial.stack.instances());
        });
        assert!(ended);
        assert_eq!(trial.stack.attribute("termination_reason"), None);
        let launches = trial.launches();
        let sweeps = trial.sweeps();
        assert_eq!(trial.live_ids(), BTreeSet::new(), "{}", story(&trial, &sweeps));
        assert_eq!(trial.launches(), launches, "{}", story(&trial, &sweeps));
        let reason = trial.stack.attribute("termination_reason");
        assert!(reason.is_some_and(|reason| !reason.is_empty()), "{}", story(&trial, &sweeps));
    }
}

mod the_dead_are_forgotten {
    use super::*;

    /// Both machines are dead, and EC2 has forgotten the tags of one or both, or everything.
    #[test]
    fn and_their_meeting_is_ended_well() {
        let mut trial = Trial::begin();
        let cases = [["tags", "tags"], ["entry", "entry"], ["tags", "entry"], ["", "tags"], ["", "entry"]];
        for (n, forgotten) in cases.into_iter().enumerate() {
            trial.launched(&format!("end-{n}"));
            for (role, what) in ROLES.into_iter().zip(forgotten) {
                let machine = trial.id_of(role);
                trial.stack.aws.put_into_state(&machine, "terminated", "Server.InternalError");
                if !what.is_empty() {
                    trial.stack.aws.forget(&machine, what);
                }
            }
            let answer = trial.ended_for("over");
            assert_eq!(
                (&answer["outcome"], &answer["schedule_deleted"]),
                (&json!("ended"), &json!(true)),
                "{answer:#}"
            );
            assert_eq!(trial.stack.attribute("termination_reason"), Some("over".into()));
            let again = trial.end.invoke(&json!({"meeting_id": trial.stack.meeting, "wait": true})).answer();
            assert_eq!(again["outcome"], "already_over", "{again:#}");
        }
    }

    /// A person has protected one against being ended: the other is ended all the same, and the answer says what to mend.
    #[test]
    fn but_not_one_that_is_protected() {
        let mut trial = Trial::begin();
        trial.launched("protected");
        let machine = trial.id_of("teacher");
        let protect = |on: bool| {
            let attribute = AttributeBooleanValue::builder().value(on).build();
            let change = trial.stack.aws.ec2.modify_instance_attribute().instance_id(&machine);
            let changed = trial.stack.aws.wait(change.disable_api_termination(attribute).send());
            changed.expect("its protection is changed");
        };
        protect(true);
        let over = json!({"meeting_id": trial.stack.meeting, "reason": "over"});
        for _ in 0..2 {
            let (kind, said) = trial.end.invoke(&over).error();
            assert_eq!(kind, "InvalidConfiguration", "{said}");
            for word in [machine.as_str(), "disableApiTermination", "modify-instance-attribute"] {
                assert!(said.contains(word), "{word}: {said}");
            }
            assert_eq!(trial.live_ids(), BTreeSet::from([machine.clone()]));
            assert_eq!(trial.stack.attribute("termination_reason"), Some("over".into()));
        }
        protect(false);
        trial.end.invoke(&over).answer();
        assert_eq!(trial.live_ids(), BTreeSet::new());
    }

    /// A machine that is shutting down has lost its tags already.
    #[test]
    fn or_dying() {
        let mut trial = Trial::begin();
        trial.launched("dying");
        let machine = trial.id_of("teacher");
        trial.stack.aws.put_into_state(&machine, "terminated", "Server.InternalError");
        trial.stack.aws.forget(&machine, "tags");
        trial.stack.aws.put_into_state(&machine, "shutting-down", "Server.InternalError");
        let answer = trial.ended_for("over");
        assert_eq!(answer["outcome"], "ended", "{answer:#}");
        assert_eq!(trial.live_ids(), BTreeSet::new());
    }

    /// One machine dies by itself, with and without the watchdog's TERMINATED, and EC2 forgets.
    #[test]
    fn and_replaced_once() {
        let mut trial = Trial::begin();
        for what in ["tags", "entry"] {
            for watchdog in [false, true] {
                trial.launched(&format!("{what}-{watchdog}"));
                let neighbours = trial.neighbours();
                neighbours.notify(&trial.stack.instances());
                trial.sweep();
                let dead = trial.id_of("teacher");
                trial.stack.aws.put_into_state(&dead, "terminated", "Server.InternalError");
                if watchdog {
                    neighbours.notify(&trial.stack.instances());
                    assert_eq!(trial.stack.attribute("status"), Some("TERMINATED".into()));
                }
                trial.stack.aws.forget(&dead, what);
                let launches = trial.launches();
                let sweeps = trial.sweeps();
                assert_eq!(trial.launches(), launches + 1, "{}", story(&trial, &sweeps));
                trial.stack.both_recorded();
                assert_ne!(trial.id_of("teacher"), dead);
                assert_ne!(trial.stack.attribute("status"), Some("TERMINATED".into()));
                neighbours.notify(&trial.stack.instances());
                let teacher = trial.id_of("teacher");
                assert_eq!(
                    neighbours.link(&trial.stack.meeting, "teacher"),
                    Some(format!("https://{teacher}.example.com:8443"))
                );
            }
        }
    }

    /// What EC2 does not show yet is not dead: a machine that was launched a moment ago, its list still behind.
    #[test]
    fn but_the_young_are_not_dead() {
        let mut trial = Trial::begin();
        trial.stack.turn_to("young");
        trial.neighbours().schedule_meeting("young", Some(&in_minutes(4)));
        trial.stack.deliver().answer();
        let machine = trial.id_of("student");
        trial.stack.aws.put_into_state(&machine, "terminated", "Server.InternalError");
        trial.stack.aws.forget(&machine, "entry");
        let launches = trial.launches();
        let sweep = trial.sweep();
        assert_eq!(trial.launches(), launches, "{}", story(&trial, &[sweep]));
        assert_eq!(trial.id_of("student"), machine);
    }
}

mod a_machine_that_is_stopped {
    use super::*;

    fn stop(trial: &Trial, machine: &str) {
        let stop = trial.stack.aws.ec2.stop_instances().instance_ids(machine).send();
        trial.stack.aws.wait(stop).expect("it is stopped");
    }

    /// By somebody's schedule for the nights, in mid-meeting.
    #[test]
    fn is_started_again() {
        let mut trial = Trial::begin();
        trial.launched("stopped");
        let machine = trial.id_of("teacher");
        stop(&trial, &machine);
        let launches = trial.launches();
        let sweeps = trial.sweeps();
        assert_eq!(trial.state_of(&machine).as_deref(), Some("running"), "{}", story(&trial, &sweeps));
        assert_eq!(trial.launches(), launches, "{}", story(&trial, &sweeps));
        trial.stack.both_recorded();
    }

    #[test]
    fn is_replaced_where_it_cannot_be_started() {
        let mut trial = Trial::begin();
        trial.launched("lost");
        let machine = trial.id_of("teacher");
        stop(&trial, &machine);
        let refused = json!([{"action": "StartInstances", "code": "InsufficientInstanceCapacity"}]);
        trial.stack.aws.add_faults(refused);
        let sweeps = trial.sweeps();
        trial.stack.both_recorded();
        let teacher = trial.id_of("teacher");
        assert_ne!(teacher, machine, "{}", story(&trial, &sweeps));
        assert_eq!(trial.state_of(&machine).as_deref(), Some("terminated"), "{}", story(&trial, &sweeps));
        assert_ne!(trial.stack.attribute("status"), Some("TERMINATED".into()));
    }

    /// By `operate`, on purpose, until it starts it; and one that is to be kept as it is.
    #[test]
    fn is_left_alone_where_somebody_wants_it_so() {
        let mut trial = Trial::begin();
        trial.launched("operated");
        let operate = operator(&trial.stack.aws);
        let machine = trial.id_of("teacher");
        let ask = |what: &str| {
            operate
                .invoke(&json!({"do": what, "meeting_id": trial.stack.meeting, "role": "teacher"}))
                .answer()
        };
        ask("stop");
        let sweeps = trial.sweeps();
        assert_eq!(trial.state_of(&machine).as_deref(), Some("stopped"), "{}", story(&trial, &sweeps));
        ask("start");
        stop(&trial, &machine);
        let sweeps = trial.sweeps();
        assert_eq!(trial.state_of(&machine).as_deref(), Some("running"), "{}", story(&trial, &sweeps));

        trial.launched("kept");
        let machine = trial.id_of("student");
        let keep = aws_sdk_ec2::types::Tag::builder().key("elephant:keep").value("for the exam").build();
        let tagged = trial.stack.aws.ec2.create_tags().resources(&machine).tags(keep).send();
        trial.stack.aws.wait(tagged).expect("it is tagged");
        stop(&trial, &machine);
        let sweeps = trial.sweeps();
        assert_eq!(trial.state_of(&machine).as_deref(), Some("stopped"), "{}", story(&trial, &sweeps));
        trial.stack.both_recorded();
    }

    /// Its meeting is over: it is ended like any other.
    #[test]
    fn is_ended_with_its_meeting() {
        let mut trial = Trial::begin();
        trial.launched("over");
        stop(&trial, &trial.id_of("teacher"));
        trial.ended_for("over");
        assert_eq!(trial.live_ids(), BTreeSet::new());
    }
}

mod in_a_zones_disruption {
    use super::*;

    fn zone_of(trial: &Trial, role: &str) -> String {
        trial.stack.attribute(&format!("{role}_availability_zone")).expect("a zone")
    }

    /// A zone in which neither of the meeting's machines stands.
    fn another_zone(trial: &Trial) -> String {
        let taken = ROLES.map(|role| zone_of(trial, role));
        let zones = ["us-west-2a", "us-west-2b", "us-west-2c"];
        (*zones.iter().find(|zone| !taken.contains(&(**zone).to_owned())).expect("a third zone")).to_owned()
    }

    fn disrupt(trial: &Trial, zone: &str, code: &str) {
        trial.stack.aws.set(json!({"disrupted_zone": zone, "outage_code": code}));
    }

    #[test]
    fn a_meeting_is_shown_as_far_as_it_is_seen() {
        let mut trial = Trial::begin();
        trial.launched("shown");
        let status = observer(&trial.stack.aws);
        for code in ["InternalError", "Unavailable"] {
            disrupt(&trial, &another_zone(&trial), code);
            let shown = status.invoke(&json!({"meeting_id": "shown"})).answer();
            for role in ROLES {
                assert_eq!(shown["machines"][role]["state"], "running", "{shown:#}");
            }
        }
        disrupt(&trial, &zone_of(&trial, "teacher"), "InternalError");
        let shown = status.invoke(&json!({"meeting_id": "shown"})).answer();
        assert_eq!(shown["machines"]["teacher"]["instance_id"], json!(trial.id_of("teacher")), "{shown:#}");
        if zone_of(&trial, "student") != zone_of(&trial, "teacher") {
            assert_eq!(shown["machines"]["student"]["state"], "running", "{shown:#}");
        }
    }

    #[test]
    fn a_sweep_goes_on_by_ids() {
        let mut trial = Trial::begin();
        trial.launched("swept");
        trial.sweep();
        disrupt(&trial, &another_zone(&trial), "Unavailable");
        let dead = trial.id_of("teacher");
        trial.stack.aws.put_into_state(&dead, "terminated", "Server.InternalError");
        trial.stack.grow_older(6 * MINUTE);
        // It may say that it has not seen all.
        let outcome = trial.sweeper.invoke(&json!({"sweep": true}));
        disrupt(&trial, "", "Unavailable");
        trial.stack.both_recorded();
        assert_ne!(trial.id_of("teacher"), dead, "{outcome:?}");
    }

    #[test]
    fn a_meeting_is_ended() {
        let mut trial = Trial::begin();
        trial.launched("ended");
        disrupt(&trial, &another_zone(&trial), "InternalError");
        let answer = trial.ended_for("over");
        assert_eq!(answer["outcome"], "ended", "{answer:#}");
        disrupt(&trial, "", "InternalError");
        assert_eq!(trial.live_ids(), BTreeSet::new());
    }
}

mod not_too_early {
    use super::*;

    /// The schedule of a meeting that was moved by five days fires at its first time.
    #[test]
    fn a_stale_schedule_launches_nothing() {
        let mut trial = Trial::begin();
        trial.stack.turn_to("moved");
        let neighbours = trial.neighbours();
        neighbours.schedule_meeting("moved", Some(&in_minutes(4)));
        trial.stack.set("meet_time", &in_minutes(5 * 24 * 60));
        let (target, input) = neighbours.fire("launch-moved");
        assert_eq!(target, LAUNCHER);
        let outcome = trial.stack.lambda.invoke(&input);
        assert_eq!(trial.live_ids(), BTreeSet::new(), "{}", trial.stack.story());
        let log = trial.stack.lambda.whole_log().join("\n");
        assert!(log.contains("EARLIEST_MINUTES"), "{outcome:?}\n{log}");
        assert_eq!(trial.stack.attribute("status"), Some("SCHEDULED".into()));
    }
}

mod machines_that_die_at_once {
    use super::*;

    /// What EC2 gives as its reason, and what it points to.
    const REASONS: [(&str, &str); 3] = [
        ("Client.InternalError", "VOLUME_KMS_KEY_ID"),
        ("Client.VolumeLimitExceeded", "quota"),
        ("Server.InternalError", "Server.InternalError"),
    ];

    /// The answer of RunInstances shows it already.
    #[test]
    fn are_launched_a_few_times_and_said_why() {
        let mut trial = Trial::begin();
        for (reason, pointed_to) in REASONS {
            about_to_begin(&mut trial, reason);
            dies(&trial, reason, true);
            let (kind, message) = trial.stack.deliver().error();
            assert!(trial.launches() <= 12, "{} RunInstances, {kind}: {message}", trial.launches());
            assert!(message.contains(reason) && message.contains(pointed_to), "{kind}: {message}");
            mended(&trial);
        }
    }

    /// They die while nobody looks, and a sweep finds them.
    #[test]
    fn are_replaced_a_few_times_and_said_why() {
        let mut trial = Trial::begin();
        for (reason, _) in REASONS {
            about_to_begin(&mut trial, reason);
            dies(&trial, reason, false);
            trial.stack.deliver().answer();
            let sweeps = [trial.sweeps(), trial.sweeps()].concat();
            assert!(trial.launches() <= 6, "{} RunInstances: {sweeps:#?}", trial.launches());
            assert!(json!(sweeps).to_string().contains(reason), "{sweeps:#?}");
            trial.stack.aws.clear_faults();
            trial.ended_for("over");
        }
    }

    fn about_to_begin(trial: &mut Trial, reason: &str) {
        let meeting = reason.replace('.', "-");
        trial.stack.turn_to(&meeting);
        trial.neighbours().schedule_meeting(&meeting, Some(&in_minutes(4)));
        trial.stack.aws.clear_calls();
    }

    fn dies(trial: &Trial, reason: &str, after: bool) {
        let fault = json!({"action": "RunInstances", "dies": reason, "message": "on launch", "after": after});
        trial.stack.aws.add_faults(json!([fault]));
    }

    /// Whoever comes once that is mended launches both.
    fn mended(trial: &Trial) {
        trial.stack.aws.clear_faults();
        trial.stack.time_passes_if_leased();
        trial.stack.deliver().answer();
        trial.stack.both_recorded();
    }
}

mod a_meetings_life {
    use super::*;

    /// What holds at every point of a meeting's life.
    struct Life<'t> {
        trial: &'t Trial,
        neighbours: Neighbours<'t>,
    }

    impl Life<'_> {
        fn record(&self) -> Item {
            self.trial.stack.record()
        }

        /// At most one live machine a role, each named by the record, and each finds its meeting there by its own id. A sweep
        /// finds nothing to launch, nor to end. Records stay small.
        fn check(&mut self, when: &str) {
            let trial = self.trial;
            let launches = trial.launches();
            let before = trial.live_ids();
            let answer = trial.sweep();
            assert_eq!((trial.launches(), trial.live_ids()), (launches, before), "{when}: {answer:#}");
            let record = self.record();
            let machines = live(&trial.stack.instances());
            for (role, ids) in &machines {
                assert_eq!(ids.len(), 1, "{when}: {role} has {ids:?}");
                assert_eq!(text(&record, &format!("{role}_ec2_id")).as_ref(), ids.first(), "{when}");
            }
            let (launch, notes) = (ours_in_bytes(&record), notes_in_bytes(&record));
            assert!(
                launch <= WHILE_ON,
                "{when}: {launch} bytes of the record are for the launch: {record:#?}"
            );
            assert!(notes <= NOTES, "{when}: {notes} bytes of the record are notes: {record:#?}");
            self.neighbours.notify(&trial.stack.instances());
        }

        fn serves(&mut self, when: &str) {
            for role in ROLES {
                let machine = self.trial.id_of(role);
                let found = self.neighbours.log_on(&machine);
                assert_eq!(found, Some((self.trial.stack.meeting.clone(), role)), "{when}");
                let link = self.neighbours.link(&self.trial.stack.meeting, role);
                assert_eq!(link, Some(format!("https://{machine}.example.com:8443")), "{when}");
                self.check(when);
            }
        }

        /// Over, and once all is settled next to nothing of it is left.
        fn is_over(&mut self, reason: &str) {
            self.neighbours.notify(&self.trial.stack.instances());
            assert_eq!(self.trial.live_ids(), BTreeSet::new(), "{}", self.trial.stack.story());
            assert!(self.neighbours.dns.borrow().is_empty(), "{:?}", self.neighbours.dns);
            for _ in 0..2 {
                self.trial.stack.grow_older(10 * MINUTE);
                self.trial.sweep();
            }
            let record = self.record();
            assert_eq!(text(&record, "termination_reason").as_deref(), Some(reason));
            assert_eq!(text(&record, "status").as_deref(), Some("TERMINATED"));
            assert_eq!(self.trial.live_ids(), BTreeSet::new());
            let ours = ours_in_bytes(&record) + notes_in_bytes(&record);
            assert!(ours <= AFTERWARDS, "{ours} bytes of the record are ours: {record:#?}");
        }
    }

    fn planned<'t>(trial: &'t Trial, meet_time: &str) -> Life<'t> {
        let neighbours = trial.neighbours();
        neighbours.schedule_meeting(&trial.stack.meeting, Some(meet_time));
        Life { trial, neighbours }
    }

    fn meeting_named(meeting: &str) -> Trial {
        let mut trial = Trial::begin();
        trial.stack.turn_to(meeting);
        trial
    }

    /// schedule → launch → watchdog → heartbeat → join → safety net → terminator.
    #[test]
    fn from_its_planning_to_its_success() {
        let trial = meeting_named("success");
        let mut life = planned(&trial, &in_minutes(4));
        life.check("planned");
        let (target, input) = life.neighbours.fire("launch-success");
        assert_eq!(target, LAUNCHER);
        trial.stack.lambda.invoke(&input).answer();
        life.check("launched");
        trial.stack.grow_older(2 * MINUTE);
        life.check("its machines run");
        life.serves("somebody logs on");
        life.neighbours.join("success");
        life.check("joined");
        let (target, input) = life.neighbours.fire("safety-success");
        assert_eq!(target, SAFETY_NET);
        assert_eq!(life.neighbours.safety_net(&input), None, "they talk");
        life.check("the safety net has let it be");
        for role in ROLES {
            life.neighbours.upload("success", role);
            life.check("a recording is kept");
        }
        let later = Timestamp::now() + SignedDuration::from_mins(60);
        assert!(life.neighbours.terminator(&life.record(), later, || {}));
        life.is_over("SUCCESS");
    }

    /// Somebody ends it by hand, in the middle, and at every point before.
    #[test]
    fn to_its_end_by_hand() {
        for point in 0..4 {
            let trial = meeting_named("ended");
            let mut life = planned(&trial, &in_minutes(4));
            if point > 0 {
                let (_, input) = life.neighbours.fire("launch-ended");
                trial.stack.lambda.invoke(&input).answer();
                life.check("launched");
            }
            if point > 1 {
                life.serves("somebody logs on");
            }
            if point > 2 {
                life.neighbours.join("ended");
                life.check("joined");
            }
            let answer = trial.ended_for("the teacher left");
            assert_eq!(
                (&answer["outcome"], &answer["schedule_deleted"]),
                (&json!("ended"), &json!(point == 0))
            );
            life.is_over("the teacher left");
            // The safety net comes in the end, and finds it over.
            let (_, input) = life.neighbours.fire("safety-ended");
            assert_eq!(life.neighbours.safety_net(&input), None);
            life.is_over("the teacher left");
        }
    }

    /// Nobody comes.
    #[test]
    fn to_the_safety_net() {
        let trial = meeting_named("nobody");
        let mut life = planned(&trial, &in_minutes(4));
        let (_, input) = life.neighbours.fire("launch-nobody");
        trial.stack.lambda.invoke(&input).answer();
        life.check("launched");
        let (_, input) = life.neighbours.fire("safety-nobody");
        assert_eq!(life.neighbours.safety_net(&input), Some("NO_SHOW_TIMEOUT"));
        life.is_over("NO_SHOW_TIMEOUT");
    }

    /// Planned by the system, moved by us, twice and back, with the schedules of others that belong to it.
    #[test]
    fn with_a_move_and_its_companions() {
        let trial = meeting_named("moved");
        let mut life = planned(&trial, &in_minutes(60));
        let begins = |minutes: i64| format!("{:.0}", Timestamp::now() + SignedDuration::from_mins(minutes));
        let group = life.neighbours.scheduler.create_schedule_group().name("elephant").send();
        trial.stack.aws.wait(group).expect("the group is made");
        let ours = [("SCHEDULE_GROUP", "elephant"), ("COMPANION_SCHEDULES", COMPANIONS)];
        let schedule = scheduler_with(&trial.stack.aws, &ours);
        let ask = |meet_time: &str| {
            schedule.invoke(&json!({"meeting_id": "moved", "meet_time": meet_time})).answer()
        };
        let before =
            trial.stack.attribute("meet_time").expect("a time").parse::<Timestamp>().expect("a time");
        let stands = |name: &str| life_schedule(&trial, name);

        let later = begins(90);
        for outcome in ["moved", "unchanged"] {
            let answer = ask(&later);
            assert_eq!(
                (&answer["outcome"], &answer["meet_time"]),
                (&json!(outcome), &json!(later)),
                "{answer:#}"
            );
            let fate = json!({"default/launch-moved": outcome, "default/safety-moved": outcome});
            assert_eq!(answer["companions"], fate, "{answer:#}");
            let at: Timestamp = later.parse().expect("a time");
            let by = at.duration_since(before.round(jiff::Unit::Second).expect("a time"));
            for (name, ahead) in [("launch-moved", -5), ("safety-moved", 15)] {
                let first = before + SignedDuration::from_mins(ahead);
                let expected = first.round(jiff::Unit::Second).expect("a time") + by;
                let off = stands(name).expect("it stands").duration_since(expected).as_secs().abs();
                assert!(off <= 1, "{name} is {off} s off");
            }
            life.check("moved");
        }
        // It is about to begin now: what would have to fire in the past stays, and so ends with the meeting.
        let answer = ask(&begins(4));
        assert_eq!(answer["companions"]["default/launch-moved"], "left_alone", "{answer:#}");
        assert_eq!(answer["companions"]["default/safety-moved"], "moved", "{answer:#}");
        trial.stack.deliver().answer();
        life.check("launched");
        // They go on longer than they meant to: the machines stay, the safety net waits.
        let answer = ask(&begins(30));
        assert_eq!(answer["companions"]["default/safety-moved"], "moved", "{answer:#}");
        life.check("moved while it is on");
        life.serves("somebody logs on");

        let end = ender(&trial.stack.aws, &ours);
        let answer = end.invoke(&json!({"meeting_id": "moved", "reason": "over"})).answer();
        let fate = json!({"default/launch-moved": "deleted", "default/safety-moved": "deleted"});
        assert_eq!(answer["companions"], fate, "{answer:#}");
        assert_eq!((stands("launch-moved"), stands("safety-moved")), (None, None));
        life.is_over("over");
        let again = end.invoke(&json!({"meeting_id": "moved"})).answer();
        assert_eq!(again.get("companions"), None, "{again:#}");
    }

    const COMPANIONS: &str = "default/safety-{meeting_id},default/launch-{meeting_id}";

    fn life_schedule(trial: &Trial, name: &str) -> Option<Timestamp> {
        trial.neighbours().schedule(name).map(|(at, ..)| at)
    }

    /// Whatever its owner has written but for its time stays; what fires more than once is left alone.
    #[test]
    fn with_companions_that_are_otherwise() {
        let trial = meeting_named("odd");
        let neighbours = trial.neighbours();
        neighbours.schedule_meeting("odd", Some(&in_minutes(60)));
        let get = || {
            let get = neighbours.scheduler.get_schedule().name("safety-odd").group_name("default").send();
            trial.stack.aws.wait(get).expect("it stands")
        };
        let found = get();
        let retry = aws_sdk_scheduler::types::RetryPolicy::builder().maximum_retry_attempts(7).build();
        let target = found.target().expect("a target");
        let target = aws_sdk_scheduler::types::Target::builder()
            .arn(target.arn())
            .role_arn(target.role_arn())
            .set_input(target.input().map(str::to_owned))
            .retry_policy(retry);
        let rewrite = neighbours
            .scheduler
            .update_schedule()
            .name("safety-odd")
            .group_name("default")
            .description("whoever does not come")
            .set_schedule_expression(found.schedule_expression().map(str::to_owned))
            .set_flexible_time_window(found.flexible_time_window().cloned())
            .set_action_after_completion(found.action_after_completion().cloned())
            .target(target.build().expect("complete"));
        trial.stack.aws.wait(rewrite.send()).expect("it is rewritten");
        let before = get();
        let daily = neighbours
            .scheduler
            .create_schedule()
            .name("daily-odd")
            .schedule_expression("rate(1 days)")
            .set_flexible_time_window(before.flexible_time_window().cloned())
            .set_target(before.target().cloned());
        trial.stack.aws.wait(daily.send()).expect("it is made");

        let companions = ("COMPANION_SCHEDULES", "default/safety-{meeting_id},default/daily-{meeting_id}");
        let schedule = scheduler_with(&trial.stack.aws, &[companions]);
        let event =
            json!({"meeting_id": "odd", "meet_time": format!("{:.0}", Timestamp::now() + 120 * MINUTE)});
        let answer = schedule.invoke(&event).answer();
        let fates = json!({"default/daily-odd": "left_alone", "default/safety-odd": "moved"});
        assert_eq!(answer["companions"], fates, "{answer:#}");
        let after = get();
        assert_ne!(after.schedule_expression(), before.schedule_expression());
        assert_eq!(after.description(), before.description());
        assert_eq!(after.target(), before.target());
        assert_eq!(after.action_after_completion(), before.action_after_completion());
        assert_eq!(after.flexible_time_window(), before.flexible_time_window());

        let cancelled = schedule.invoke(&json!({"meeting_id": "odd", "cancel": true})).answer();
        let fates = json!({"default/daily-odd": "left_alone", "default/safety-odd": "deleted"});
        assert_eq!(cancelled["companions"], fates, "{cancelled:#}");
        let log = schedule.whole_log().join("\n");
        assert!(log.contains("daily-odd") && log.contains("rate(1 days)"), "{log}");
    }
}

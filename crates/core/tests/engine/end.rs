//! What ending a meeting takes: as a table, from the record to the next step; and as stories against the world in memory.
//! Every interleaving with launches is the explorer's part.

use std::time::Duration;

use elephant_core::end::{EndAnswer, Outcome};
use elephant_core::error::{Class, Error, Kind};
use elephant_core::launch_schedule::ScheduleName;
use elephant_core::machine::{InstanceId, State, Token};
use elephant_core::meeting::{Role, Status};
use elephant_core::plan::end::{Done, Next, OWNER, next};
use elephant_core::record::{Lease, Owner, Record, RoleRecord};
use elephant_core::timing::Timing;
use jiff::Timestamp;

use elephant_world::attempt::plain_attempt;
use elephant_world::executor::{Call, Executor, Fate, World};
use elephant_world::{meeting, scheduled, start};

const M: &str = "m";

mod the_next_step {
    use super::*;

    const TIMING: Timing = Timing::DEFAULT;

    fn over() -> Record {
        let termination_reason = Some("ended".to_owned());
        Record { status: Some(Status::Terminated), termination_reason, ..scheduled(M) }
    }

    fn closed() -> Done {
        Done { closed: true, ..Done::default() }
    }

    fn lease(owner: &str) -> Lease {
        Lease { owner: Owner::from(owner), until: start() }
    }

    fn unrecorded(owner: &str) -> Record {
        let attempt = plain_attempt(&meeting(M), Role::Teacher, "token-t");
        let teacher = RoleRecord { instance_id: None, attempt: Some(attempt), launched_at: None };
        Record { teacher, lease: Some(lease(owner)), ..over() }
    }

    fn settled() -> Timestamp {
        start() + TIMING.skew + TIMING.max_effect_delay
    }

    fn token() -> Token {
        Token::from("token-t")
    }

    #[test]
    fn the_record_says_so_first_whatever_its_status() {
        let statuses =
            [None, Some(Status::Scheduled), Some(Status::Healthy), Some(Status::Unknown("X".into()))];
        for status in statuses {
            let record = Record { status, ..scheduled(M) };
            assert_eq!(next(&record, &Done::default(), start(), &TIMING), Next::Close);
            assert_eq!(next(&record, &closed(), start(), &TIMING), Next::Close, "the reason is missing");
            let reason = Some("ended".to_owned());
            let overwritten = Record { termination_reason: reason, ..record };
            assert_eq!(next(&overwritten, &Done::default(), start(), &TIMING), Next::Close);
            assert_eq!(next(&overwritten, &closed(), start(), &TIMING), Next::Done, "once is enough");
        }
        let unsaid = Record { termination_reason: None, ..over() };
        assert_eq!(next(&unsaid, &Done::default(), start(), &TIMING), Next::Close);
        assert_eq!(next(&over(), &Done::default(), start(), &TIMING), Next::Done);
    }

    #[test]
    fn then_what_the_record_names_is_ended_once() {
        let mut record = over();
        for role in Role::BOTH {
            record.role_mut(role).instance_id = Some(InstanceId::from(format!("i-{role}")));
        }
        let named = |role: Role| (role, InstanceId::from(format!("i-{role}")));
        let both = Role::BOTH.map(named).to_vec();
        assert_eq!(next(&record, &closed(), start(), &TIMING), Next::Terminate(both));
        let mut done = closed();
        done.terminated.insert(InstanceId::from("i-teacher"));
        assert_eq!(next(&record, &done, start(), &TIMING), Next::Terminate(vec![named(Role::Student)]));
        done.terminated.insert(InstanceId::from("i-student"));
        assert_eq!(next(&record, &done, start(), &TIMING), Next::Done);
    }

    #[test]
    fn what_an_attempt_made_is_looked_for_at_once_and_once_more_when_nothing_can_come() {
        let mut done = closed();
        assert_eq!(next(&unrecorded("launch"), &done, start(), &TIMING), Next::TakeLease);
        let open = Next::Settle(vec![(Role::Teacher, token())]);
        assert_eq!(next(&unrecorded(OWNER), &done, start(), &TIMING), open);
        done.looked_at.insert((token(), Some(start())));
        assert_eq!(next(&unrecorded(OWNER), &done, start(), &TIMING), Next::Wait(settled()));
        assert_eq!(next(&unrecorded(OWNER), &done, settled(), &TIMING), open);
        done.settled.insert((token(), Some(start())));
        assert_eq!(next(&unrecorded(OWNER), &done, settled(), &TIMING), Next::Done);
    }

    #[test]
    fn a_lease_that_was_taken_since_makes_the_attempt_open_again() {
        let mut done = closed();
        done.settled.insert((token(), Some(start() - Duration::from_secs(30))));
        assert_eq!(next(&unrecorded("launch"), &done, settled(), &TIMING), Next::TakeLease);
        assert!(matches!(next(&unrecorded(OWNER), &done, settled(), &TIMING), Next::Settle(_)));
    }

    #[test]
    fn what_ec2_refused_or_nobody_can_send_is_not_waited_for() {
        let mut refused = unrecorded("launch");
        refused.teacher.attempt.as_mut().expect("it stands").refused = true;
        assert_eq!(next(&refused, &closed(), start(), &TIMING), Next::Done);
        let without_a_lease = Record { lease: None, ..unrecorded("launch") };
        let open = Next::Settle(vec![(Role::Teacher, token())]);
        assert_eq!(next(&without_a_lease, &closed(), start(), &TIMING), open, "mended by hand, long ago");
    }
}

fn a_meeting() -> World {
    World::new([scheduled(M)])
}

/// Launched a minute ago, and its schedule has not gone for some reason.
fn launched() -> World {
    let world = a_meeting();
    let mut story = Executor::new(&world);
    story.deliver(M);
    story.run();
    assert!(story.results[0].as_ref().expect("it ends").is_ok());
    world.pass(Duration::from_secs(60));
    world.0.borrow_mut().schedules.insert(ScheduleName::of(&meeting(M)));
    world
}

fn told(mut story: Executor) -> Result<EndAnswer, Error> {
    story.end(M);
    story.run();
    unbroken(&story.world);
    story.endings.remove(0)
}

fn ended(world: &World) -> Result<EndAnswer, Error> {
    told(Executor::new(world))
}

#[track_caller]
fn unbroken(world: &World) {
    assert!(world.0.borrow().breaches.is_empty(), "{:#?}\n{}", world.0.borrow().breaches, world.story());
}

fn reason(world: &World) -> Option<String> {
    world.record(M).termination_reason
}

fn live(world: &World) -> usize {
    world.0.borrow().cloud.live().count()
}

#[test]
fn a_meeting_is_over_with_its_machines_and_its_schedule() {
    let world = launched();
    let ids: Vec<String> = Role::BOTH
        .map(|role| world.record(M).role(role).instance_id.clone().expect("an id").to_string())
        .into();
    world.0.borrow_mut().requests.clear();
    let answer = ended(&world).expect("it is ended");
    assert_eq!((answer.outcome, answer.schedule_deleted), (Outcome::Ended, true));
    let mut named: Vec<String> = answer.machines.keys().cloned().collect();
    named.sort_by_key(|id| ids.iter().position(|other| other == id));
    assert_eq!(named, ids);
    assert_eq!((live(&world), reason(&world)), (0, Some("ended".into())));
    let expected = [
        "GetItem",
        "UpdateItem",
        "GetItem",
        "TerminateInstances",
        "TerminateInstances",
        "GetItem",
        "DeleteSchedule",
    ];
    assert_eq!(world.0.borrow().requests, expected);
    let again = ended(&world).expect("it is over");
    assert_eq!((again.outcome, again.schedule_deleted), (Outcome::AlreadyOver, false));
    assert_eq!(again.machines, answer.machines, "a second delivery ends what it finds");
}

#[test]
fn the_first_reason_stays_and_the_watchdogs_silence_gets_one() {
    let world = launched();
    let mut story = Executor::new(&world);
    let long = Duration::from_secs(300);
    story.end_with(M, "the teacher left", false, long);
    story.run();
    story.end_with(M, "the student left", false, long);
    story.run();
    assert_eq!(reason(&world), Some("the teacher left".into()));

    let world = launched();
    world.set_status(M, Some(Status::Terminated));
    let answer = ended(&world).expect("it is over");
    assert_eq!(answer.outcome, Outcome::AlreadyOver);
    assert_eq!(reason(&world), Some("ended".into()), "reconcile would take it back otherwise");
}

#[test]
fn a_meeting_that_was_never_launched_is_over_as_well() {
    let world = a_meeting();
    assert_eq!(ended(&world).expect("it is over").machines.len(), 0);
    assert_eq!(world.record(M).status, Some(Status::Terminated));
}

#[test]
fn without_a_record_nothing_is_touched() {
    let world = World::new([]);
    world.0.borrow_mut().schedules.insert(ScheduleName::of(&meeting(M)));
    assert_eq!(ended(&world).map_err(|error| error.kind), Err(Kind::MeetingNotFound));
    assert_eq!(world.0.borrow().schedules.len(), 1, "a meeting of this id may be on its way");
}

/// A delivery has launched the teacher's machine and died before it could record it.
fn half_launched() -> World {
    let world = a_meeting();
    let recorded = |call: &Call| call.writes_an_id() && call.role() == Some("teacher");
    let mut story = Executor::new(&world).plot(recorded, Fate::DiesBefore);
    story.deliver(M);
    story.run();
    world
}

#[test]
fn a_machine_that_no_record_names_is_found_by_its_token_and_ended_at_once() {
    let world = half_launched();
    assert_eq!(live(&world), 2);
    let before = world.now();
    ended(&world).expect("it is ended");
    assert_eq!(live(&world), 0);
    assert!(world.now() < before + Duration::from_secs(1), "a token makes one machine, and it is found");
    let attempt = world.record(M).teacher.attempt.expect("it stands");
    assert!(attempt.ending, "whoever comes next goes on with its end");
}

#[test]
fn an_attempt_of_which_a_machine_may_come_is_waited_for() {
    let world = a_meeting();
    let launches = |call: &Call| matches!(call, Call::RunInstances(_));
    let late = Fate::LateBy(Duration::from_secs(40));
    let mut story = Executor::new(&world).plot(launches, late).times(0, 2);
    story.deliver(M);
    story.run_until(|call| matches!(call, Call::RunInstances(_)));
    for _ in 0..2 {
        let number = world.0.borrow().pending.iter().find(|p| launches(&p.call)).expect("it waits").number;
        story.answer(number, &Fate::LateBy(Duration::from_secs(40)));
    }
    story.kill(0);
    ended(&world).expect("it is ended");
    assert_eq!(live(&world), 0, "both came while it waited");
    let until = start() + Duration::from_secs(30) + Timing::DEFAULT.skew + Timing::DEFAULT.max_effect_delay;
    assert!(world.now() >= until, "until nothing could come");
}

#[test]
fn what_does_not_fit_into_its_time_is_left_to_the_next_delivery_and_says_until_when() {
    let world = a_meeting();
    let mut story = Executor::new(&world);
    story.deliver(M);
    story.run_until(|call| matches!(call, Call::RunInstances(_)));
    story.kill(0);
    let mut story = Executor::new(&world);
    story.end_with(M, "ended", false, Duration::from_secs(60));
    story.run();
    let error = story.endings.remove(0).expect_err("80 seconds do not fit");
    assert_eq!(error.kind, Kind::MeetingBusy);
    assert!(error.problem.contains("may still come until 2026-01-05T09:51:20Z"), "{error:?}");
    assert_eq!(world.record(M).status, Some(Status::Terminated), "it is over all the same");
    ended(&world).expect("the next one ends well");
}

#[test]
fn one_machine_that_cannot_be_ended_keeps_no_other_alive_and_the_next_delivery_goes_on() {
    let world = launched();
    let ends = |call: &Call| matches!(call, Call::TerminateInstances(_));
    let forbidden = Fate::Fails(Class::Unauthorized, "UnauthorizedOperation");
    let error = told(Executor::new(&world).plot(ends, forbidden)).expect_err("it is not allowed");
    assert_eq!((error.kind, live(&world)), (Kind::Unauthorized, 1));
    ended(&world).expect("now it is");
    assert_eq!(live(&world), 0);
}

#[test]
fn an_id_that_ec2_does_not_know_any_more_is_gone() {
    let world = launched();
    let ends = |call: &Call| matches!(call, Call::TerminateInstances(_));
    let unknown = Fate::Fails(Class::Propagating, "InvalidInstanceID.NotFound");
    world.pass(Duration::from_secs(3600));
    ended(&world).expect("it is ended");
    told(Executor::new(&world).plot(ends, unknown).times(0, 2)).expect("and was forgotten by EC2");
}

#[test]
fn a_launch_that_is_under_way_finds_the_meeting_over_and_ends_what_it_started() {
    let world = a_meeting();
    let mut story = Executor::new(&world);
    story.deliver(M);
    story.run_until(|call| matches!(call, Call::RunInstances(_)));
    story.end(M);
    story.run();
    unbroken(&world);
    assert!(story.endings[0].is_ok(), "{}", world.story());
    assert_eq!(live(&world), 0);
}

mod waiting {
    use super::*;

    fn waited(world: &World, time_left: Duration) -> Result<EndAnswer, Error> {
        let mut story = Executor::new(world);
        story.end_with(M, "ended", true, time_left);
        story.run();
        story.endings.remove(0)
    }

    #[test]
    fn is_over_when_ec2_says_terminated() {
        let world = launched();
        let answer = waited(&world, Duration::from_secs(60)).expect("they are");
        let states: Vec<_> = answer.machines.values().map(|machine| machine.state).collect();
        assert_eq!(states, [Some("terminated"); 2]);
    }

    #[test]
    fn ends_with_the_time_and_says_what_is_left() {
        let world = launched();
        world.0.borrow_mut().cloud.slow_to_end = true;
        let error = waited(&world, Duration::from_secs(60)).expect_err("they take longer");
        assert_eq!(error.kind, Kind::DeadlineTooClose);
        assert!(error.problem.contains("-a is shutting-down"), "{error:?}");
        let ids = Role::BOTH.map(|role| world.record(M).role(role).instance_id.clone().expect("an id"));
        for id in ids {
            world.0.borrow_mut().cloud.machine(&id).expect("it is there").state = State::Terminated;
        }
        waited(&world, Duration::from_secs(60)).expect("now they are");
    }
}

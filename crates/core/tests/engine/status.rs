//! What a person is told of a meeting: against the world in memory, with the real engine's launches.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_core::error::{Error, Kind};
use elephant_core::event::{Asked, Status as Request};
use elephant_core::meeting::{Role, Status};
use elephant_core::status::{Console, Meeting, Observer, StatusAnswer};
use jiff::SignedDuration;

use elephant_world::executor::{Call, Executor, Fate, Port, Verb, World};
use elephant_world::sweep::sweep;
use elephant_world::{config, meeting, scheduled};

const M: &str = "m";

fn launched() -> World {
    let world = World::new([scheduled(M)]);
    deliver(&world);
    world
}

fn deliver(world: &World) {
    let mut story = Executor::new(world);
    story.deliver(M);
    story.run();
}

/// The answer, with nothing in the way; while it waits, time passes, and `happens` after each pause.
fn asked(world: &World, id: &str, asked: Asked, happens: impl Fn(&World)) -> Result<StatusAnswer, Error> {
    let port: Port = world.port(Verb::Status, id, config(), Duration::from_secs(60), SignedDuration::ZERO);
    let observer = Observer::<Port> {
        meetings: port.clone(),
        ec2: port.clone(),
        clock: port.clone(),
        tokens: port,
        region: Some("us-west-2".into()),
        timing: world.0.borrow().truth,
    };
    let deadline = world.now() + Duration::from_secs(60);
    let request = Request { meeting_id: meeting(id), asked };
    let mut whole = pin!(observer.status(&request, deadline));
    loop {
        if let Poll::Ready(answer) = whole.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer;
        }
        let mut others = Executor::new(world);
        let Some((until, _)) = others.first_sleeper() else {
            let next = world.0.borrow().pending.iter().map(|p| p.number).next().expect("it asks something");
            others.answer(next, &Fate::Answered);
            continue;
        };
        world.0.borrow_mut().move_clock(until);
        happens(world);
        others.wake();
    }
}

fn shown(world: &World) -> Meeting {
    match asked(world, M, Asked::Now, |_| ()).expect("it is shown") {
        StatusAnswer::Meeting(meeting) => *meeting,
        StatusAnswer::Console(console) => panic!("{console:?}"),
    }
}

#[test]
fn a_meeting_is_shown_with_its_machines_as_ec2_has_them() {
    let world = launched();
    world.0.borrow_mut().cloud.boot();
    let meeting = shown(&world);
    assert_eq!((meeting.status.as_deref(), meeting.replaced), (Some("LAUNCHED"), 0));
    let teacher = &meeting.machines["teacher"];
    let id = world.record(M).teacher.instance_id.expect("an id").to_string();
    assert_eq!(
        (teacher.instance_id.as_deref(), teacher.recorded, teacher.state),
        (Some(&*id), true, Some("running"))
    );
    assert_eq!(teacher.public_ip.as_deref(), Some("203.0.113.7"));
    let url = format!(
        "https://us-west-2.console.aws.amazon.com/ec2/home?region=us-west-2#InstanceDetails:instanceId={id}"
    );
    assert_eq!(teacher.console_url.as_deref(), Some(&*url));
    let attempt = teacher.attempt.as_ref().expect("one");
    assert_eq!(
        (attempt.number, attempt.instance_type.as_str(), attempt.market.as_str()),
        (1, "t3.large", "on demand")
    );
    assert!(meeting.last_failure.is_none() && meeting.machines.len() == 2);
}

#[test]
fn a_meeting_that_nobody_launched_has_no_machines_and_one_that_is_not_there_is_not_found() {
    let world = World::new([scheduled(M)]);
    assert!(shown(&world).machines.is_empty());
    let error = asked(&world, "nobody", Asked::Now, |_| ()).expect_err("there is none");
    assert_eq!(error.kind, Kind::MeetingNotFound);
}

#[test]
fn a_machine_that_no_record_names_yet_is_found_by_its_attempt() {
    let world = World::new([scheduled(M)]);
    let recorded = |call: &Call| call.writes_an_id() && call.role() == Some("teacher");
    let mut story = Executor::new(&world).plot(recorded, Fate::DiesBefore);
    story.deliver(M);
    story.run();
    let teacher = &shown(&world).machines["teacher"];
    assert!(!teacher.recorded && teacher.instance_id.is_some(), "{teacher:?}");
    assert_eq!(teacher.state, Some("pending"));
}

#[test]
fn the_last_failure_and_what_was_lost_are_told() {
    let world = World::new([scheduled(M)]);
    world.0.borrow_mut().cloud.exhaust("t3.large");
    world.0.borrow_mut().cloud.exhaust("m5.large");
    deliver(&world);
    let failure = shown(&world).last_failure.expect("there was no room");
    assert!(failure.reason.contains("refused in every place"), "{failure:?}");
    world.0.borrow_mut().cloud.refusing.clear();
    deliver(&world);
    let id = world.record(M).teacher.instance_id.expect("an id");
    world.0.borrow_mut().cloud.die_of_capacity(&id);
    world.pass(Duration::from_secs(60));
    sweep(&world).expect("it is replaced");
    let meeting = shown(&world);
    assert_eq!((meeting.replaced, meeting.last_failure), (1, None));
    let lost = meeting.machines["teacher"].lost.as_ref().expect("one was");
    assert_eq!(
        (lost.instance_id.as_str(), lost.reason.as_str()),
        (id.as_str(), "Server.InsufficientInstanceCapacity")
    );
}

#[test]
fn what_ec2_does_not_show_is_unknown() {
    let world = launched();
    world.0.borrow_mut().cloud.machines.clear();
    assert_eq!(shown(&world).machines["student"].state, Some("unknown"));
}

mod waiting {
    use super::*;

    fn waited(world: &World, happens: impl Fn(&World)) -> Result<StatusAnswer, Error> {
        asked(world, M, Asked::WaitUntilRunning, happens)
    }

    #[test]
    fn is_over_when_both_machines_run() {
        let world = launched();
        let start = world.now();
        let Ok(StatusAnswer::Meeting(meeting)) = waited(&world, |world| {
            if world.now() > start + Duration::from_secs(5) {
                world.0.borrow_mut().cloud.boot();
            }
        }) else {
            panic!("they run")
        };
        assert!(meeting.machines.values().all(|machine| machine.state == Some("running")));
        assert!(world.now() > start + Duration::from_secs(5));
    }

    #[test]
    fn ends_with_the_time_and_says_what_is_missing() {
        let world = launched();
        let error = waited(&world, |_| ()).expect_err("they never start");
        assert_eq!(error.kind, Kind::DeadlineTooClose);
        assert!(
            error.problem.contains("the teacher's machine i-token-0-1-")
                && error.problem.contains("is pending"),
            "{error:?}"
        );
        let world = World::new([scheduled(M)]);
        let error = waited(&world, |_| ()).expect_err("nobody launches it");
        assert!(error.problem.contains("the student has no machine yet"), "{error:?}");
    }

    #[test]
    fn is_not_done_for_a_meeting_that_is_over() {
        let world = launched();
        world.set_status(M, Some(Status::Terminated));
        let error = waited(&world, |_| ()).expect_err("it is over");
        assert_eq!(error.kind, Kind::MeetingOver);
        assert!(error.problem.contains("its status is TERMINATED"), "{error:?}");
    }
}

mod the_console {
    use super::*;

    #[test]
    fn is_that_of_the_roles_machine() {
        let world = launched();
        let id = world.record(M).student.instance_id.expect("an id");
        world.0.borrow_mut().cloud.console = Some("login:".into());
        let answer = asked(&world, M, Asked::Console(Role::Student), |_| ()).expect("its text");
        let expected = Console {
            meeting_id: M.into(),
            role: "student",
            instance_id: id.to_string(),
            console: Some("login:".into()),
        };
        assert_eq!(answer, StatusAnswer::Console(expected));
    }

    #[test]
    fn of_a_role_without_a_machine_is_none() {
        let world = World::new([scheduled(M)]);
        let error = asked(&world, M, Asked::Console(Role::Student), |_| ()).expect_err("there is none");
        assert_eq!((error.kind, error.cause), (Kind::MachineNotFound, None));
        assert_eq!(error.problem, "meeting m: the student has no machine");
    }
}

#[test]
fn a_record_that_cannot_be_understood_is_shown_as_that() {
    let world = launched();
    world.0.borrow_mut().unreadable = true;
    let meeting = shown(&world);
    assert_eq!(meeting.unreadable.as_deref(), Some("the attribute teacher_attempt is no attempt of ours"));
    for asked_for in [Asked::WaitUntilRunning, Asked::Console(Role::Teacher)] {
        let error = asked(&world, M, asked_for, |_| ()).expect_err("nothing is known");
        assert!(matches!(error.kind, Kind::MeetingOver | Kind::InvalidRecord), "{error:?}");
    }
}

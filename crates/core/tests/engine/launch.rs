//! What a launch promises, told against the world in memory.
//!
//! Every story ends with [`Executor::run`] or [`told`], which fail on a breach of the promise at any step.

use std::time::Duration;

use elephant_core::config::Config;
use elephant_core::error::{Class, Error, Kind};
use elephant_core::image::Source;
use elephant_core::launch::{LaunchAnswer, Outcome};
use elephant_core::machine::{Market, State};
use elephant_core::meeting::{Role, Status};
use elephant_core::record::MeetTime;
use elephant_core::timing::Timing;
use elephant_world::cloud::TerminatedToken;
use elephant_world::executor::{Call, Executor, Fate, World};
use elephant_world::{config, meet_time, meeting, scheduled};
use jiff::SignedDuration;

const M: &str = "m";

/// A world with one meeting that is due.
fn a_meeting() -> World {
    World::new([scheduled(M)])
}

/// The same for a function of one minute, in which the effect delay does not fit.
fn a_meeting_and_a_short_timeout() -> World {
    let world = a_meeting();
    world.0.borrow_mut().truth.delivery = Duration::from_secs(60);
    world
}

/// Run one delivery of the meeting to its end.
fn deliver(world: &World) -> Result<LaunchAnswer, Error> {
    told(Executor::new(world))
}

/// Run one delivery under the plots of this executor, and check that the promise held at every step.
fn told(mut story: Executor) -> Result<LaunchAnswer, Error> {
    story.deliver(M);
    story.run();
    unbroken(&story.world);
    story.results.remove(0).expect("the delivery ends")
}

/// The same for a delivery that dies.
fn told_to_its_death(mut story: Executor) {
    story.deliver(M);
    story.run();
    unbroken(&story.world);
    assert!(story.results[0].is_none(), "the delivery dies");
}

fn unbroken(world: &World) {
    let state = world.0.borrow();
    let story = state.story.iter().flatten().cloned().collect::<Vec<_>>().join("\n");
    assert!(state.breaches.is_empty(), "{:#?}\n{story}", state.breaches);
}

/// Both roles have one live machine, and the record names it.
#[track_caller]
fn both_recorded(world: &World) {
    unbroken(world);
    for role in Role::BOTH {
        let live = world.live(M, role);
        assert_eq!(live.len(), 1, "live machines of the {role}:\n{}", world.story());
        let recorded = world.record(M).role(role).instance_id.clone();
        assert_eq!(
            recorded.map(|id| id.to_string()),
            Some(live[0].clone()),
            "the {role}'s machine in the record"
        );
    }
}

#[track_caller]
fn nothing_lives(world: &World) {
    unbroken(world);
    for role in Role::BOTH {
        assert_eq!(world.live(M, role), Vec::<String>::new(), "{}", world.story());
    }
}

#[track_caller]
fn kind(result: Result<LaunchAnswer, Error>) -> Kind {
    match result {
        Ok(answer) => panic!("expected an error, got {answer:?}"),
        Err(error) => error.kind,
    }
}

fn run_instances(call: &Call) -> bool {
    matches!(call, Call::RunInstances(_))
}

fn run_of(role: Role) -> impl Fn(&Call) -> bool {
    move |call| run_instances(call) && call.role() == Some(role.as_str())
}

fn id_of(role: Role) -> impl Fn(&Call) -> bool {
    move |call| call.writes_an_id() && call.role() == Some(role.as_str())
}

fn claim(call: &Call) -> bool {
    use elephant_core::record::Change;
    matches!(call, Call::UpdateItem(update) if matches!(update.changes[..], [Change::Lease(_), ..]))
}

/// Every request that was made, look-ups aside.
fn requests(world: &World) -> Vec<&'static str> {
    world.0.borrow().requests.iter().copied().filter(|name| !name.starts_with("Describe")).collect()
}

/// Lambda's first repeat, a minute after the end of a failed delivery.
fn after_a_minute(world: &World) {
    world.pass(Duration::from_secs(60));
}

mod the_main_job {
    use super::*;

    #[test]
    fn both_machines_are_launched_and_recorded() {
        let world = a_meeting();
        let answer = deliver(&world).expect("it is launched");
        assert_eq!(answer.status.as_deref(), Some("LAUNCHED"));
        assert_eq!(answer.machines["teacher"].outcome, Outcome::Launched);
        assert_eq!(answer.machines["student"].outcome, Outcome::Launched);
        assert_eq!(world.record(M).status, Some(Status::Launched));
        both_recorded(&world);
    }

    #[test]
    fn it_takes_a_read_a_claim_two_launches_and_two_records() {
        let world = a_meeting();
        deliver(&world).expect("it is launched");
        assert_eq!(
            requests(&world),
            ["GetItem", "UpdateItem", "RunInstances", "RunInstances", "UpdateItem", "UpdateItem"]
        );
    }

    #[test]
    fn a_second_delivery_reads_once_and_launches_nothing() {
        let world = a_meeting();
        deliver(&world).expect("it is launched");
        let before = requests(&world).len();
        let answer = deliver(&world).expect("it is launched already");
        assert_eq!(requests(&world).len(), before + 1);
        assert_eq!(answer.machines["teacher"].outcome, Outcome::AlreadyRecorded);
        assert_eq!(
            answer.machines["teacher"].availability_zone.as_deref().map(|zone| &zone[..9]),
            Some("us-west-2")
        );
        both_recorded(&world);
    }

    #[test]
    fn of_sixteen_deliveries_at_once_one_launches() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        (0..16).for_each(|_| story.deliver(M));
        story.run();
        let launched = story.results.iter().flatten().filter(|result| result.is_ok()).count();
        let busy = story
            .results
            .iter()
            .flatten()
            .filter(|r| matches!(r, Err(e) if e.kind == Kind::MeetingBusy))
            .count();
        assert_eq!((launched, busy), (1, 15));
        both_recorded(&world);
    }

    #[test]
    fn half_a_pair_is_recorded_and_the_next_delivery_launches_only_the_other() {
        let world = a_meeting();
        let story = Executor::new(&world)
            .plot(run_of(Role::Student), Fate::Fails(Class::Misconfigured, "InvalidKeyPair.NotFound"));
        let error = told(story).expect_err("the student's launch is refused");
        assert_eq!(error.kind, Kind::InvalidConfiguration);
        assert!(error.chain().contains("student"), "{}", error.chain());
        assert!(error.chain().contains("teacher: i-"), "{}", error.chain());
        assert_eq!(world.live(M, Role::Teacher).len(), 1);
        assert!(world.record(M).teacher.instance_id.is_some());

        let answer = deliver(&world).expect("the lease was dropped, so the repeat need not wait");
        assert_eq!(answer.machines["teacher"].outcome, Outcome::AlreadyRecorded);
        assert_eq!(answer.machines["student"].outcome, Outcome::Launched);
        both_recorded(&world);
    }
}

mod answers_that_are_lost {
    use super::*;

    #[test]
    fn a_lost_launch_is_replayed_and_gives_the_same_machine() {
        for fate in [Fate::LostBefore, Fate::LostAfter] {
            let world = a_meeting();
            told(Executor::new(&world).plot(run_instances, fate).times(0, 2))
                .expect("the replay is answered");
            both_recorded(&world);
            assert_eq!(world.record(M).teacher.attempt.expect("an attempt").number, 1);
        }
    }

    #[test]
    fn a_lost_claim_or_record_is_written_again() {
        for call in [claim as fn(&Call) -> bool, Call::writes_an_id] {
            for fate in [Fate::LostBefore, Fate::LostAfter] {
                let world = a_meeting();
                let result = told(Executor::new(&world).plot(call, fate.clone()).times(0, 2));
                assert!(result.is_ok(), "{fate:?}: {result:?}\n{}", world.story());
                both_recorded(&world);
            }
        }
    }

    #[test]
    fn a_launch_that_takes_effect_long_after_its_caller_died_is_adopted() {
        let world = a_meeting();
        let late = Fate::LateBy(Duration::from_secs(40));
        let story =
            Executor::new(&world).plot(run_instances, late).times(0, 2).plot(run_instances, Fate::DiesBefore);
        told_to_its_death(story);
        after_a_minute(&world);
        let answer = deliver(&world).expect("the repeat adopts it");
        assert_eq!(answer.machines["teacher"].outcome, Outcome::Adopted);
        both_recorded(&world);
    }

    #[test]
    fn a_refusal_after_an_unanswered_sending_is_waited_for_and_judged_again() {
        // The first sending will still launch, 40 s later; the replay meets a zone without room.
        let late_and_refused = |world| {
            Executor::new(world)
                .plot(run_of(Role::Teacher), Fate::LateBy(Duration::from_secs(40)))
                .plot(run_of(Role::Teacher), Fate::Fails(Class::Capacity, "InsufficientInstanceCapacity"))
        };
        let world = a_meeting();
        told(late_and_refused(&world)).expect("the late machine is adopted by the same delivery");
        both_recorded(&world);

        let world = a_meeting_and_a_short_timeout();
        let result = told(late_and_refused(&world));
        assert_eq!(kind(result), Kind::Ec2Unavailable, "the wait does not fit before the deadline");
        after_a_minute(&world);
        deliver(&world).expect("the repeat adopts the late machine");
        both_recorded(&world);
    }

    #[test]
    fn a_replay_that_a_changed_permission_refuses_does_not_hide_the_machine_of_the_first_sending() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Student), Fate::DiesAfter));
        world.pass(Duration::from_secs(120));
        let story = Executor::new(&world)
            .plot(run_of(Role::Student), Fate::Fails(Class::Unauthorized, "UnauthorizedOperation"));
        let answer = told(story).expect("the machine is found by its token");
        assert_eq!(answer.machines["student"].outcome, Outcome::Adopted);
        both_recorded(&world);
    }
}

mod deaths {
    use super::*;

    /// Wherever a delivery dies, the repeat finishes its work.
    #[test]
    fn the_repeat_finishes_whatever_request_the_first_delivery_died_at() {
        for request in 0..8 {
            for fate in [Fate::DiesBefore, Fate::DiesAfter] {
                let world = a_meeting();
                let mut story = Executor::new(&world).plot(|_| true, fate.clone()).times(request, 1);
                story.deliver(M);
                story.run();
                unbroken(&world);
                after_a_minute(&world);
                let result = deliver(&world);
                assert!(result.is_ok(), "died {fate:?} at request {request}: {result:?}");
                both_recorded(&world);
            }
        }
    }

    #[test]
    fn a_repeat_that_comes_before_the_lease_ends_is_busy() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_instances, Fate::DiesBefore));
        world.pass(Duration::from_secs(10));
        assert_eq!(kind(deliver(&world)), Kind::MeetingBusy);
        nothing_lives(&world);
    }

    /// The other role's attempt was refused for good, and what it needs cannot be looked up: its own affair.
    #[test]
    fn a_standing_attempt_is_replayed_whatever_ails_the_other_role() {
        for (class, code, expected) in [
            (Class::Unauthorized, "UnauthorizedOperation", Kind::Unauthorized),
            // However long it lasts: the replay is not kept waiting.
            (Class::Throttled, "RequestLimitExceeded", Kind::Throttled),
        ] {
            the_other_role_is_launched_when_it_can_be(class, code, expected);
        }
    }

    fn the_other_role_is_launched_when_it_can_be(class: Class, code: &'static str, expected: Kind) {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Teacher), Fate::DiesAfter));
        after_a_minute(&world);
        {
            let mut state = world.0.borrow_mut();
            let record = state.table.records.get_mut(&meeting(M)).expect("the record");
            record.student.attempt.as_mut().expect("an attempt").refused = true;
        }
        let looks_up = |call: &Call| matches!(call, Call::DescribeImages);
        let story = Executor::new(&world).plot(looks_up, Fate::Fails(class, code)).times(0, 1000);
        let result = told(story);
        assert_eq!(kind(result), expected, "the student's look-up");
        let teacher = world.record(M).teacher.instance_id.expect("the teacher's machine is recorded");
        assert_eq!(world.live(M, Role::Teacher), [teacher.as_str()]);
        assert_eq!(world.live(M, Role::Student), [""; 0]);
        after_a_minute(&world);
        deliver(&world).expect("it can be looked up again");
        both_recorded(&world);
    }

    #[test]
    fn a_standing_attempt_is_replayed_to_the_letter_under_another_configuration() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_instances, Fate::DiesAfter).times(1, 1));
        after_a_minute(&world);
        let mut story = Executor::new(&world);
        let changed = Config { image: Source::Id("ami-2".into()), ..config() };
        story.deliver_with(M, changed, Timing::DEFAULT.delivery, SignedDuration::ZERO);
        story.run();
        both_recorded(&world);
        assert_eq!(world.record(M).teacher.attempt.expect("an attempt").parameters.image_id, "ami-1");
    }
}

mod a_record_of_its_own_mind {
    use elephant_core::overrides::Overrides;

    use super::*;

    fn with(teacher: Result<Overrides, String>, student: Result<Overrides, String>) -> World {
        let mut record = scheduled(M);
        record.overrides = [teacher, student];
        World::new([record])
    }

    fn types(of: &[&str]) -> Overrides {
        let instance_types = of.iter().map(|of| (*of).to_owned()).collect();
        Overrides { instance_types, ..Overrides::default() }
    }

    fn parameters(world: &World, role: Role) -> elephant_core::machine::Parameters {
        world.record(M).role(role).attempt.clone().expect("an attempt").parameters
    }

    #[test]
    fn its_machines_are_what_it_says_each_and_no_further_request_is_made() {
        let teacher = Overrides {
            image_id: Some("ami-0aaa".into()),
            volume_size_gb: Some(500),
            ..types(&["c5.large", "t3.large"])
        };
        let world = with(Ok(teacher), Ok(Overrides::default()));
        deliver(&world).expect("it is launched");
        both_recorded(&world);
        let (teacher, student) = (parameters(&world, Role::Teacher), parameters(&world, Role::Student));
        assert_eq!((teacher.image_id.as_str(), teacher.instance_type.as_str()), ("ami-0aaa", "c5.large"));
        assert_eq!((student.image_id.as_str(), student.instance_type.as_str()), ("ami-1", "t3.large"));
        let size = |of: &elephant_core::machine::Parameters| {
            let root = of.root_volume.clone().expect("a volume");
            (root.size_gb, root.device_name)
        };
        assert_eq!((size(&teacher).0, size(&student).0), (500, 60));
        assert_eq!(size(&teacher).1, size(&student).1, "the configured image's root device");
        assert_eq!(
            requests(&world),
            ["GetItem", "UpdateItem", "RunInstances", "RunInstances", "UpdateItem", "UpdateItem"]
        );
    }

    #[test]
    fn after_every_zone_refused_its_first_type_its_second_is_tried_and_none_of_the_configuration() {
        let world = with(Ok(types(&["c5.large", "c6i.large"])), Ok(Overrides::default()));
        world.0.borrow_mut().cloud.exhaust("c5.large");
        deliver(&world).expect("the second type has room");
        both_recorded(&world);
        assert_eq!(parameters(&world, Role::Teacher).instance_type, "c6i.large");
        let world = with(Ok(types(&["c5.large"])), Ok(Overrides::default()));
        world.0.borrow_mut().cloud.exhaust("c5.large");
        let error = deliver(&world).expect_err("there is no room");
        assert_eq!(error.kind, Kind::CapacityExhausted);
        assert!(!error.chain().contains("m5.large"), "{}", error.chain());
    }

    #[test]
    fn a_word_that_means_nothing_launches_neither_and_names_the_attribute() {
        let wrong = "the attribute student_image_id is \"x\", expected an image id, ami-…";
        let world = with(Ok(Overrides::default()), Err(wrong.into()));
        let error = deliver(&world).expect_err("it is refused");
        assert_eq!(error.kind, Kind::InvalidRecord);
        assert_eq!(error.problem, format!("meeting m, student: {wrong}"));
        assert!(error.advice.contains("correct the attribute"), "{}", error.advice);
        nothing_lives(&world);
        assert!(!requests(&world).contains(&"RunInstances"), "{}", world.story());
        assert_eq!(world.record(M).teacher.attempt, None, "nothing is claimed");
    }

    /// What stands is replayed as it is, and what is new is made from what the record says then.
    #[test]
    fn a_standing_attempt_is_replayed_to_the_letter_under_another_mind() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_instances, Fate::DiesAfter).times(1, 1));
        after_a_minute(&world);
        let other = [Ok(types(&["c5.large"])), Err("the attribute student_image_id is wrong".into())];
        world.0.borrow_mut().table.records.get_mut(&meeting(M)).expect("it stands").overrides = other;
        deliver(&world).expect("both attempts stood");
        both_recorded(&world);
        assert_eq!(parameters(&world, Role::Teacher).instance_type, "t3.large");
    }
}

mod refusals {
    use super::*;

    #[test]
    fn a_zone_without_capacity_is_left_for_the_next() {
        let world = a_meeting();
        let story = Executor::new(&world)
            .plot(run_of(Role::Teacher), Fate::Fails(Class::Capacity, "InsufficientInstanceCapacity"));
        told(story).expect("another zone has room");
        both_recorded(&world);
        let record = world.record(M);
        let zone =
            |role: Role| record.role(role).attempt.clone().expect("an attempt").parameters.availability_zone;
        assert_ne!(zone(Role::Teacher), zone(Role::Student));
        assert_eq!(record.teacher.attempt.expect("an attempt").number, 2);
    }

    #[test]
    fn where_no_zone_has_spot_machines_the_role_gets_one_on_demand() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        for _ in 0..3 {
            let no_spot = Fate::Fails(Class::Capacity, "InsufficientInstanceCapacity");
            story = story.plot(run_of(Role::Teacher), no_spot);
        }
        let markets = vec![Market::Spot, Market::OnDemand];
        let spot = Config { markets, instance_types: vec!["t3.large".into()], ..config() };
        story.deliver_with(M, spot, Timing::DEFAULT.delivery, SignedDuration::ZERO);
        story.run();
        both_recorded(&world);
        let record = world.record(M);
        let attempt = |role: Role| record.role(role).attempt.clone().expect("an attempt");
        assert_eq!(
            (attempt(Role::Teacher).number, attempt(Role::Teacher).parameters.market),
            (4, Market::OnDemand)
        );
        assert_eq!(
            (attempt(Role::Student).number, attempt(Role::Student).parameters.market),
            (1, Market::Spot)
        );
    }

    #[test]
    fn after_every_zone_refused_a_type_the_next_type_is_tried() {
        let world = a_meeting();
        world.0.borrow_mut().cloud.exhaust("t3.large");
        let answer = deliver(&world).expect("the second type has room");
        assert_eq!(answer.machines["teacher"].instance_type.as_deref(), Some("m5.large"));
        both_recorded(&world);
    }

    #[test]
    fn no_capacity_anywhere_fails_with_every_refusal_named_and_the_next_delivery_starts_afresh() {
        let world = a_meeting();
        ["t3.large", "m5.large"].iter().for_each(|t| world.0.borrow_mut().cloud.exhaust(t));
        let error = deliver(&world).expect_err("there is no room");
        assert_eq!(error.kind, Kind::CapacityExhausted);
        assert!(error.chain().contains("m5.large in us-west-2"), "{}", error.chain());
        nothing_lives(&world);
        assert_eq!(world.record(M).lease, None, "nothing is open, so the lease is dropped");
        assert_eq!(world.0.borrow().table.failures[&meeting(M)].code, "InsufficientInstanceCapacity");

        world.0.borrow_mut().cloud.refusing.clear();
        let answer = deliver(&world).expect("there is room again");
        assert_eq!(answer.machines["teacher"].instance_type.as_deref(), Some("t3.large"));
        assert!(world.0.borrow().table.failures.is_empty(), "a success removes the reason");
        both_recorded(&world);
    }

    #[test]
    fn a_quota_of_one_family_is_answered_with_another_family() {
        let world = a_meeting();
        let quota = Fate::Fails(Class::Quota, "VcpuLimitExceeded");
        let answer =
            told(Executor::new(&world).plot(run_of(Role::Teacher), quota)).expect("m5 has its own quota");
        assert_eq!(answer.machines["teacher"].instance_type.as_deref(), Some("m5.large"));
        let quota = Fate::Fails(Class::Quota, "VcpuLimitExceeded");
        let world = a_meeting();
        let result = told(Executor::new(&world).plot(run_instances, quota).times(0, 9));
        assert_eq!(kind(result), Kind::QuotaExceeded);
    }

    #[test]
    fn a_throttled_launch_is_sent_again_with_the_same_token() {
        let world = a_meeting();
        let throttled = Fate::Fails(Class::Throttled, "RequestLimitExceeded");
        told(Executor::new(&world).plot(run_instances, throttled).times(0, 6))
            .expect("the bucket fills again");
        both_recorded(&world);
        assert_eq!(world.record(M).teacher.attempt.expect("an attempt").number, 1);
    }

    #[test]
    fn throttling_to_the_end_fails_before_the_deadline_and_the_repeat_goes_on() {
        let world = a_meeting();
        let throttled = Fate::Fails(Class::Throttled, "RequestLimitExceeded");
        let result = told(Executor::new(&world).plot(run_instances, throttled).times(0, 1000));
        assert_eq!(kind(result), Kind::Throttled);
        after_a_minute(&world);
        deliver(&world).expect("the repeat goes on");
        both_recorded(&world);
    }

    #[test]
    fn a_profile_that_is_not_visible_yet_is_waited_for_and_one_that_never_comes_is_named() {
        let not_yet = Fate::Fails(Class::Propagating, "InvalidParameterValue");
        let world = a_meeting();
        told(Executor::new(&world).plot(run_instances, not_yet.clone()).times(0, 4))
            .expect("it becomes visible");
        both_recorded(&world);
        let world = a_meeting();
        let result = told(Executor::new(&world).plot(run_instances, not_yet).times(0, 100));
        assert_eq!(kind(result), Kind::InvalidConfiguration);
    }

    #[test]
    fn what_is_not_allowed_fails_at_once_and_leaves_nothing_open() {
        let world = a_meeting();
        let denied = Fate::Fails(Class::Unauthorized, "UnauthorizedOperation");
        let error = told(Executor::new(&world).plot(run_instances, denied).times(0, 2)).expect_err("denied");
        assert_eq!(error.kind, Kind::Unauthorized);
        let record = world.record(M);
        assert!(record.teacher.attempt.expect("an attempt").refused);
        assert_eq!(record.lease, None);
        deliver(&world).expect("once it is allowed, the next delivery need not wait");
        both_recorded(&world);
    }
}

mod a_pair_in_one_zone {
    use elephant_core::network::Pair;

    use super::*;

    fn same_az() -> Config {
        Config { pair: Pair::SameAz, ..config() }
    }

    fn deliver(mut story: Executor) -> Option<Result<LaunchAnswer, Error>> {
        story.deliver_with(M, same_az(), Timing::DEFAULT.delivery, SignedDuration::ZERO);
        story.run();
        unbroken(&story.world);
        story.results.remove(0)
    }

    fn no_room() -> Fate {
        Fate::Fails(Class::Capacity, "InsufficientInstanceCapacity")
    }

    fn zone(world: &World, role: Role) -> String {
        let record = world.record(M);
        record.role(role).attempt.clone().expect("an attempt").parameters.availability_zone
    }

    #[track_caller]
    fn together(world: &World) {
        both_recorded(world);
        assert_eq!(zone(world, Role::Teacher), zone(world, Role::Student), "{}", world.story());
    }

    #[test]
    fn nothing_is_asked_for_besides_what_two_machines_take() {
        let world = a_meeting();
        deliver(Executor::new(&world)).expect("it ends").expect("it is launched");
        together(&world);
        assert_eq!(
            requests(&world),
            ["GetItem", "UpdateItem", "RunInstances", "RunInstances", "UpdateItem", "UpdateItem"]
        );
    }

    #[test]
    fn a_zone_that_refuses_one_is_left_by_both() {
        for role in Role::BOTH {
            let world = a_meeting();
            let story = Executor::new(&world).plot(run_of(role), no_room());
            deliver(story).expect("it ends").expect("the next zone has room");
            together(&world);
            assert_eq!(world.0.borrow().ended.len(), 1, "the other's first machine:\n{}", world.story());
            assert_eq!(world.record(M).role(role).attempt.clone().map(|a| a.number), Some(2));
        }
    }

    /// Each of its own type, of which not every zone has room.
    #[test]
    fn machines_of_two_types_find_a_zone_that_takes_both() {
        use elephant_core::overrides::Overrides;
        let of_type = |of: &str| Ok(Overrides { instance_types: vec![of.into()], ..Overrides::default() });
        for refusals in 0..5 {
            for role in Role::BOTH {
                let mut record = scheduled(M);
                record.overrides = [of_type("c5.large"), of_type("r5.large")];
                let world = World::new([record]);
                let story = Executor::new(&world).plot(run_of(role), no_room()).times(0, refusals);
                let zones = world.0.borrow().cloud.subnets.len();
                match deliver(story).expect("it ends") {
                    Ok(_) => together(&world),
                    Err(error) => {
                        assert_eq!(error.kind, Kind::CapacityExhausted);
                        assert!(refusals >= zones, "{refusals} of {zones}");
                    }
                }
                let types: Vec<String> = Role::BOTH
                    .map(|role| {
                        world.record(M).role(role).attempt.clone().expect("one").parameters.instance_type
                    })
                    .into();
                assert_eq!(types, ["c5.large", "r5.large"]);
            }
        }
    }

    #[test]
    fn a_zone_that_refuses_both_is_left_without_an_end() {
        let world = a_meeting();
        let story = Executor::new(&world).plot(run_instances, no_room()).times(0, 2);
        deliver(story).expect("it ends").expect("the next zone has room");
        together(&world);
        assert!(world.0.borrow().ended.is_empty(), "{}", world.story());
    }

    #[test]
    fn a_delivery_that_dies_while_the_pair_moves_is_followed_by_one_that_brings_both_together() {
        // Role tag, end, the write of both attempts, and the launches that follow it.
        let at: [fn(&Call) -> bool; 4] = [
            |call| matches!(call, Call::DeleteTags(_)),
            |call| matches!(call, Call::TerminateInstances(_)),
            |call| {
                matches!(call, Call::UpdateItem(update) if update.changes.len() == 2
                && matches!(update.changes[0], elephant_core::record::Change::Attempt(..)))
            },
            |call| matches!(call, Call::RunInstances(attempt) if attempt.number == 2),
        ];
        for point in at {
            for fate in [Fate::DiesBefore, Fate::DiesAfter] {
                let world = a_meeting();
                let story =
                    Executor::new(&world).plot(run_of(Role::Student), no_room()).plot(point, fate.clone());
                assert!(deliver(story).is_none(), "it dies");
                after_a_minute(&world);
                deliver(Executor::new(&world)).expect("it ends").expect("it goes on");
                together(&world);
            }
        }
    }

    #[test]
    fn where_no_zone_takes_both_the_last_one_keeps_the_one_that_it_took() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        for _ in 0..6 {
            story = story.plot(run_of(Role::Student), no_room());
        }
        let error = deliver(story).expect("it ends").expect_err("the student has none");
        assert_eq!(error.kind, Kind::CapacityExhausted);
        assert!(world.record(M).teacher.instance_id.is_some(), "{}", world.story());
        after_a_minute(&world);
        deliver(Executor::new(&world)).expect("it ends").expect("the zone has room again");
        together(&world);
    }

    #[test]
    fn beside_a_recorded_machine_the_zone_is_not_left_and_the_error_says_so() {
        let world = a_meeting();
        let story = Executor::new(&world)
            .plot(run_of(Role::Student), Fate::Fails(Class::Misconfigured, "InvalidKeyPair.NotFound"));
        deliver(story).expect("it ends").expect_err("the student has none");
        let teachers = zone(&world, Role::Teacher);
        let story = Executor::new(&world).plot(run_of(Role::Student), no_room()).times(0, 9);
        let error = deliver(story).expect("it ends").expect_err("the zone has no room");
        assert_eq!(error.kind, Kind::CapacityExhausted);
        let said = error.chain();
        assert!(
            said.contains(&format!("every place of {teachers}, where the teacher's machine is")),
            "{said}"
        );
        assert!(said.contains("set PAIR to any"), "{said}");
        let tried = world.0.borrow().requests.iter().filter(|name| **name == "RunInstances").count();
        assert_eq!(tried, 4, "both, then each of two types in the teacher's zone:\n{}", world.story());
        deliver(Executor::new(&world)).expect("it ends").expect("it has room again");
        together(&world);
    }

    #[test]
    fn a_zone_that_is_not_configured_any_more_is_named() {
        let world = a_meeting();
        let story = Executor::new(&world)
            .plot(run_of(Role::Student), Fate::Fails(Class::Misconfigured, "InvalidKeyPair.NotFound"));
        deliver(story).expect("it ends").expect_err("the student has none");
        let teachers = zone(&world, Role::Teacher);
        let others = ["us-west-2a", "us-west-2b", "us-west-2c"].into_iter().filter(|zone| *zone != teachers);
        let changed = Config { supported_azs: Some(others.map(str::to_owned).collect()), ..same_az() };
        let mut story = Executor::new(&world);
        story.deliver_with(M, changed, Timing::DEFAULT.delivery, SignedDuration::ZERO);
        story.run();
        unbroken(&world);
        let error = story.results.remove(0).expect("it ends").expect_err("there is no place");
        assert_eq!(error.kind, Kind::NoUsableSubnet);
        assert!(error.chain().contains(&teachers), "{}", error.chain());
    }
}

mod tokens {
    use super::*;

    #[test]
    fn a_machine_that_was_ended_before_its_id_was_written_is_launched_anew() {
        for answer in [TerminatedToken::Error, TerminatedToken::Instance] {
            let world = a_meeting();
            world.0.borrow_mut().cloud.terminated_token = answer;
            told_to_its_death(Executor::new(&world).plot(run_instances, Fate::DiesAfter));
            let id = world.0.borrow().cloud.machines[0].machine.instance_id.clone();
            world.0.borrow_mut().cloud.machine(&id).expect("it is there").state = State::Terminated;
            after_a_minute(&world);
            deliver(&world).expect("a new attempt");
            both_recorded(&world);
        }
    }

    #[test]
    fn a_machine_that_died_of_capacity_after_its_200_is_launched_in_another_zone() {
        let world = a_meeting();
        world.0.borrow_mut().cloud.terminated_token = TerminatedToken::Instance;
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Teacher), Fate::DiesAfter));
        let (id, zone) = {
            let mut state = world.0.borrow_mut();
            let launched = &mut state.cloud.machines[0];
            launched.machine.state = State::Terminated;
            launched.machine.state_reason = Some("Server.InsufficientInstanceCapacity".into());
            (launched.machine.instance_id.clone(), launched.parameters.availability_zone.clone())
        };
        after_a_minute(&world);
        let answer = deliver(&world).expect("another zone");
        assert_ne!(answer.machines["teacher"].instance_id, id.as_str());
        assert_ne!(answer.machines["teacher"].availability_zone, Some(zone));
        both_recorded(&world);
    }

    #[test]
    fn a_mismatch_finds_the_machine_of_its_token() {
        let world = a_meeting();
        let mismatch = Fate::Fails(Class::ParameterMismatch, "IdempotentParameterMismatch");
        let story = Executor::new(&world)
            .plot(run_of(Role::Teacher), Fate::LostAfter)
            .plot(run_of(Role::Teacher), mismatch);
        let answer = told(story).expect("it is adopted");
        assert_eq!(answer.machines["teacher"].outcome, Outcome::Adopted);
        both_recorded(&world);
    }

    #[test]
    fn a_mismatch_without_a_machine_is_left_for_a_new_attempt_once_the_margin_has_passed() {
        let mismatch = Fate::Fails(Class::ParameterMismatch, "IdempotentParameterMismatch");
        let world = a_meeting();
        told(Executor::new(&world).plot(run_of(Role::Teacher), mismatch.clone())).expect("it waits");
        assert_eq!(world.record(M).teacher.attempt.expect("an attempt").number, 2);
        both_recorded(&world);

        let world = a_meeting_and_a_short_timeout();
        let result = told(Executor::new(&world).plot(run_of(Role::Teacher), mismatch.clone()));
        assert_eq!(kind(result), Kind::Ec2Unavailable, "the effect delay does not fit before the deadline");
        after_a_minute(&world);
        told(Executor::new(&world).plot(run_of(Role::Teacher), mismatch)).expect("a new attempt");
        assert_eq!(world.record(M).teacher.attempt.expect("an attempt").number, 2);
        both_recorded(&world);
    }
}

mod meetings_that_are_over {
    use super::*;

    #[test]
    fn nothing_is_launched_or_written_for_a_meeting_that_is_over_or_of_an_unknown_status() {
        for status in ["TERMINATED", "CANCELLED", "scheduled"] {
            let world = a_meeting();
            world.set_status(M, Some(Status::from_word(status)));
            let before = world.record(M);
            let answer = deliver(&world).expect("there is nothing to do");
            assert!(answer.skipped.is_some());
            assert_eq!(answer.status.as_deref(), Some(status));
            assert_eq!(world.record(M), before);
            nothing_lives(&world);
        }
    }

    #[test]
    fn a_meeting_without_a_record_is_not_found() {
        let world = World::new([]);
        assert_eq!(kind(deliver(&world)), Kind::MeetingNotFound);
        assert!(world.0.borrow().table.records.is_empty());
    }

    #[test]
    fn a_delivery_after_the_window_launches_nothing_and_one_at_its_end_still_does() {
        for (late, launches) in [(0, true), (1, false)] {
            let world = a_meeting();
            let end_of_window = meet_time() + Duration::from_secs(120 * 60 + late);
            world.pass(end_of_window.duration_since(world.now()).try_into().expect("it lies ahead"));
            let answer = deliver(&world).expect("either way");
            assert_eq!(answer.skipped.is_none(), launches, "{late} s after the window: {answer:?}");
        }
    }

    #[test]
    fn a_meeting_without_a_readable_time_has_no_window() {
        for time in [MeetTime::Missing, MeetTime::Unreadable("tomorrow at ten".into())] {
            let mut record = scheduled(M);
            record.meet_time = time;
            let world = World::new([record]);
            world.pass(Duration::from_secs(48 * 3600));
            deliver(&world).expect("it is launched");
            both_recorded(&world);
        }
    }

    #[test]
    fn a_meeting_that_ends_while_it_is_launched_keeps_no_machine() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        story.deliver(M);
        story.run_until(run_instances);
        world.set_status(M, Some(Status::Terminated));
        story.run();
        let answer = story.results.remove(0).expect("it ends").expect("nothing of ours is left");
        assert_eq!((answer.status.as_deref(), answer.skipped.is_some()), (Some("TERMINATED"), true));
        nothing_lives(&world);
        assert!(world.0.borrow().cloud.machines.iter().all(|l| !l.machine.tags.contains_key("Role")));
    }

    #[test]
    fn a_record_that_is_deleted_while_it_is_launched_keeps_no_machine() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        story.deliver(M);
        story.run_until(run_instances);
        world.delete(M);
        story.run();
        assert_eq!(kind(story.results.remove(0).expect("it ends")), Kind::MeetingNotFound);
        nothing_lives(&world);
        assert!(world.0.borrow().table.records.is_empty(), "and no record is made");
    }

    #[test]
    fn what_a_dead_delivery_left_open_is_ended_after_the_wait() {
        let world = a_meeting();
        let late = Fate::LateBy(Duration::from_secs(44));
        let story =
            Executor::new(&world).plot(run_instances, late).times(0, 2).plot(run_instances, Fate::DiesBefore);
        told_to_its_death(story);
        world.set_status(M, Some(Status::Terminated));
        world.pass(Duration::from_secs(20));
        assert_eq!(kind(deliver(&world)), Kind::MeetingBusy, "a machine may still come");
        world.pass(Duration::from_secs(61));
        let answer = deliver(&world).expect("what came is ended");
        assert!(answer.skipped.is_some());
        assert!(
            world.record(M).teacher.attempt.expect("it stays").ending,
            "the end is written before it is done"
        );
        nothing_lives(&world);
    }

    #[test]
    fn a_meeting_that_comes_back_to_life_gets_another_machine_than_the_one_that_is_being_ended() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Student), Fate::DiesAfter));
        world.set_status(M, Some(Status::Terminated));
        world.pass(Duration::from_secs(120));
        let mut story = Executor::new(&world);
        story.deliver(M);
        story.run_until(|call| matches!(call, Call::DescribeInstances(_)));
        // The watchdog writes it over anything, on `running` of a tagged machine.
        world.set_status(M, Some(Status::DnsWritten));
        story.run();
        let answer = story.results.remove(0).expect("it ends").expect("it was over when this one looked");
        assert!(answer.skipped.is_some());
        deliver(&world).expect("the repeat launches another");
        both_recorded(&world);
    }

    /// A delivery died when it had written that the machine is going to be ended.
    #[test]
    fn a_machine_that_was_to_be_ended_is_ended_before_another_is_launched() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Student), Fate::DiesAfter));
        world.set_status(M, Some(Status::Terminated));
        world.pass(Duration::from_secs(120));
        let ends = |call: &Call| matches!(call, Call::DeleteTags(_));
        told_to_its_death(Executor::new(&world).plot(ends, Fate::DiesBefore));
        world.set_status(M, Some(Status::DnsWritten));
        after_a_minute(&world);
        deliver(&world).expect("another is launched");
        both_recorded(&world);
    }

    #[test]
    fn a_status_beyond_launched_is_answered_as_it_stands() {
        let world = a_meeting();
        let denied = Fate::Fails(Class::Unauthorized, "UnauthorizedOperation");
        told(Executor::new(&world).plot(run_of(Role::Student), denied)).expect_err("half a pair");
        world.set_status(M, Some(Status::DnsWritten));
        let answer = deliver(&world).expect("the other half");
        assert_eq!(answer.status.as_deref(), Some("DNS_WRITTEN"));
    }

    #[test]
    fn a_machine_that_a_dead_delivery_had_begun_to_end_is_ended_and_launched_anew() {
        let world = a_meeting();
        told_to_its_death(Executor::new(&world).plot(run_of(Role::Teacher), Fate::DiesAfter));
        let half_ended = world.0.borrow().cloud.machines[0].machine.instance_id.clone();
        world.0.borrow_mut().cloud.remove_role_tag(&half_ended).expect("it is there");
        after_a_minute(&world);
        let answer = deliver(&world).expect("a machine that the watchdog sees");
        assert_ne!(answer.machines["teacher"].instance_id, half_ended.as_str());
        both_recorded(&world);
    }

    #[test]
    fn a_status_that_moves_on_while_we_launch_is_not_moved_back() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        story.deliver(M);
        story.run_until(id_of(Role::Student));
        world.set_status(M, Some(Status::DnsWritten));
        story.run();
        let answer = story.results.remove(0).expect("it ends").expect("it is launched");
        assert_eq!(answer.status.as_deref(), Some("DNS_WRITTEN"));
        assert_eq!(world.record(M).status, Some(Status::DnsWritten));
        both_recorded(&world);
    }
}

mod time {
    use super::*;

    #[test]
    fn too_little_time_to_launch_and_record_is_said_before_anything_is_claimed() {
        let world = a_meeting();
        let mut story = Executor::new(&world);
        story.deliver_with(M, config(), Duration::from_secs(15), SignedDuration::ZERO);
        story.run();
        assert_eq!(kind(story.results.remove(0).expect("it ends")), Kind::DeadlineTooClose);
        assert_eq!(world.record(M), scheduled(M));
    }

    #[test]
    fn a_table_that_does_not_answer_is_reported_before_the_deadline() {
        let world = a_meeting();
        let result = told(Executor::new(&world).plot(claim, Fate::LostBefore).times(0, 1000));
        assert_eq!(kind(result), Kind::RecordUnavailable);
        nothing_lives(&world);
    }

    #[test]
    fn a_record_that_cannot_be_read_launches_nothing() {
        for (class, expected) in [
            (Class::Unreadable, Kind::InvalidRecord),
            (Class::Unauthorized, Kind::Unauthorized),
            (Class::Misconfigured, Kind::InvalidConfiguration),
        ] {
            let world = a_meeting();
            let story =
                Executor::new(&world).plot(|call| matches!(call, Call::GetItem(_)), Fate::Fails(class, "X"));
            assert_eq!(kind(told(story)), expected);
            nothing_lives(&world);
        }
    }

    #[test]
    fn subnets_that_cannot_be_looked_up_fail_before_the_claim() {
        let world = a_meeting();
        let denied = Fate::Fails(Class::Unauthorized, "UnauthorizedOperation");
        let story = Executor::new(&world).plot(|call| *call == Call::DescribeSubnets, denied);
        assert_eq!(kind(told(story)), Kind::Unauthorized);
        assert_eq!(world.record(M), scheduled(M));
        assert_eq!(world.0.borrow().table.failures[&meeting(M)].code, "UnauthorizedOperation");

        world.0.borrow_mut().cloud.subnets.clear();
        let error = deliver(&world).expect_err("there is no subnet");
        assert_eq!(error.kind, Kind::NoUsableSubnet);
        assert!(error.chain().starts_with("meeting m: "), "{}", error.chain());
    }
}

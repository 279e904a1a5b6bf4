//! Every interleaving, every fault: the launch protocol explored around the real engine, and a check with teeth.
//!
//! `explorer/course.rs` says what may happen at each point, `explorer/search.rs` who chooses; `world/promise.rs` is what
//! must hold. A breach prints its course, shrunk, and the line that replays it. `tests/README.md` has the counts.
//!
//! Written out instead of with a crate: shuttle and loom take over threads and their primitives, stateright explores a
//! model; here the thing explored is the shipped future itself, whose only suspension points are our own ports, so an
//! executor of a hundred lines owns every choice. proptest shrinks values well and schedules badly.
#![allow(clippy::print_stdout, reason = "counts and courses are for a person who asked to see them")]

#[path = "explorer/course.rs"]
mod course;
#[path = "explorer/search.rs"]
mod search;
#[path = "world/world.rs"]
mod world;

use std::time::Instant;

use course::{Played, Scenario, play};
use search::{Random, Replay, exhaust, shrunk};
use world::sabotage::Guard;

const NO_LIMIT: u64 = u64::MAX;

/// Two deliveries of one meeting, and nothing that goes wrong.
const TWO: Scenario = Scenario {
    meetings: 1,
    student_only: false,
    standing: false,
    deliveries: 2,
    faults: 0,
    deaths: 0,
    acts: 0,
    lives: false,
    variety: false,
    off: None,
};

/// The same with one role to launch: fewer interleavings, so more may go wrong.
const ONE_ROLE: Scenario = Scenario { student_only: true, ..TWO };

/// A breach as a person needs it: which promise, the shortest course found, and how to see it again.
fn report(scenario: &Scenario, played: &Played) -> String {
    let choices = shrunk(scenario, played);
    let told = play(scenario, &mut Replay::of(&choices), true);
    format!(
        "{}\n{}\nreplay: EXPLORE_REPLAY='{}' cargo test --test explorer replay -- --nocapture",
        told.breaches.join("\n"),
        told.story.join("\n"),
        written(scenario, &choices)
    )
}

/// A scenario and a course in it, on one line.
fn written(scenario: &Scenario, choices: &[usize]) -> String {
    let Scenario { meetings, student_only, standing, deliveries, faults, deaths, acts, lives, variety, off } =
        scenario;
    let off = off.map(|guard| format!(" off={guard:?}")).unwrap_or_default();
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    format!(
        "meetings={meetings} student_only={student_only} standing={standing} deliveries={deliveries} faults={faults} \
         deaths={deaths} acts={acts} lives={lives} variety={variety}{off} course={}",
        choices.join(".")
    )
}

fn read(line: &str) -> (Scenario, Vec<usize>) {
    let mut scenario = TWO;
    let mut choices = Vec::new();
    for word in line.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word:?} is not name=value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{word:?} has no number"));
        match name {
            "meetings" => scenario.meetings = number(),
            "student_only" => scenario.student_only = value == "true",
            "standing" => scenario.standing = value == "true",
            "deliveries" => scenario.deliveries = number(),
            "faults" => scenario.faults = number(),
            "deaths" => scenario.deaths = number(),
            "acts" => scenario.acts = number(),
            "lives" => scenario.lives = value == "true",
            "variety" => scenario.variety = value == "true",
            "off" => {
                let named = |(guard, _): &&Tooth| format!("{guard:?}") == value;
                scenario.off = Some(TEETH.iter().find(named).unwrap_or_else(|| panic!("no guard {value}")).0);
            }
            "course" if value.is_empty() => {}
            "course" => choices = value.split('.').map(|n| n.parse().expect("numbers and dots")).collect(),
            _ => panic!("{name} is unknown"),
        }
    }
    (scenario, choices)
}

/// Every course of the scenario keeps the promise.
#[track_caller]
fn keeps_the_promise(scenario: &Scenario) {
    let start = Instant::now();
    let (covered, breach) = exhaust(scenario, NO_LIMIT);
    println!("{}: {covered:?} in {:.1?}", written(scenario, &[]), start.elapsed());
    if let Some(played) = breach {
        panic!("{}", report(scenario, &played));
    }
    assert!(covered.whole, "every course was followed");
}

mod exhaustive {
    use super::*;

    #[test]
    fn both_roles_with_a_fault() {
        keeps_the_promise(&Scenario { faults: 1, ..TWO });
    }

    #[test]
    fn both_roles_with_a_death() {
        keeps_the_promise(&Scenario { deaths: 1, ..TWO });
    }

    #[test]
    fn both_roles_with_another_program() {
        keeps_the_promise(&Scenario { acts: 1, ..TWO });
    }

    #[test]
    fn one_role_with_a_fault_and_a_death_and_another_program() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, acts: 1, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_a_death_and_a_record_that_is_made_again() {
        keeps_the_promise(&Scenario { deaths: 1, acts: 1, lives: true, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_two_faults() {
        keeps_the_promise(&Scenario { faults: 2, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_a_fault_and_a_death_under_other_clocks_and_another_configuration() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, variety: true, ..ONE_ROLE });
    }

    /// What takes longer than a test may: `EXPLORE=full cargo test --release --test explorer the_rest -- --nocapture`.
    #[test]
    fn the_rest() {
        if std::env::var("EXPLORE").as_deref() != Ok("full") {
            return;
        }
        keeps_the_promise(&Scenario { faults: 2, deaths: 1, ..ONE_ROLE });
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, ..TWO });
        keeps_the_promise(&Scenario { deaths: 1, acts: 1, ..TWO });
        keeps_the_promise(&Scenario { faults: 2, deaths: 1, variety: true, ..ONE_ROLE });
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, acts: 2, ..ONE_ROLE });
        keeps_the_promise(&Scenario { faults: 2, deaths: 1, acts: 1, ..ONE_ROLE });
        keeps_the_promise(&Scenario { deliveries: 3, faults: 1, deaths: 1, ..ONE_ROLE });
    }
}

/// Up to eight deliveries over several meetings with up to six faults. `EXPLORE_WALKS` and `EXPLORE_SEED` say how many
/// and which.
#[test]
fn random_walks_keep_the_promise() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a number")),
        Err(_) => default,
    };
    let (walks, seed): (u64, u64) = (number("EXPLORE_WALKS", 10_000), number("EXPLORE_SEED", 1));
    for walk in 0..walks {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(walk));
        let scenario = Scenario {
            meetings: rng.usize(1..=3),
            student_only: rng.bool(),
            standing: rng.bool(),
            deliveries: rng.usize(2..=8),
            faults: rng.usize(..=6),
            deaths: rng.usize(..=3),
            acts: rng.usize(..=2),
            lives: rng.bool(),
            variety: rng.bool(),
            off: None,
        };
        let played = play(&scenario, &mut Random(rng), false);
        assert!(played.breaches.is_empty(), "walk {walk} of seed {seed}\n{}", report(&scenario, &played));
    }
}

/// Prints the course that EXPLORE_REPLAY names.
#[test]
fn replay() {
    let Ok(line) = std::env::var("EXPLORE_REPLAY") else { return };
    let (scenario, choices) = read(&line);
    let played = play(&scenario, &mut Replay::of(&choices), true);
    println!("{}\nbreaches: {:#?}", played.story.join("\n"), played.breaches);
}

#[test]
fn a_course_survives_being_written_down() {
    let scenario = Scenario { faults: 2, acts: 1, variety: true, off: Some(TEETH[0].0), ..ONE_ROLE };
    let line = written(&scenario, &[0, 3, 12]);
    let (read, choices) = read(&line);
    assert_eq!((written(&read, &choices), choices), (line, vec![0, 3, 12]));
}

/// A guard, and the promise that breaks without it.
type Tooth = (Guard, &'static str);

const TEETH: [Tooth; 24] = [
    (Guard::TheClaimComparesTheLease, "4, Ok means done"),
    (Guard::TheClaimComparesTheStatus, "3, never blind"),
    (Guard::TheAttemptIsWrittenFirst, "3, never blind"),
    (Guard::TheLease, "4, Ok means done"),
    (Guard::TheLeaseExpires, "4, one clean delivery suffices"),
    (Guard::AnOwnerForEachDelivery, "3, never blind"),
    (Guard::ParametersComeFromTheRecord, "3, never blind"),
    (Guard::ARandomToken, "1, never two"),
    (Guard::ANewTokenForANewAttempt, "1, never two"),
    (Guard::TheSdkRepeatsNoLaunch, "1, never two"),
    (Guard::ALostAnswerIsReplayed, "1, never two"),
    (Guard::ARefusalAfterAnUnansweredSendingWaits, "1, never two"),
    (Guard::ARefusedReplayIsLookedUp, "4, Ok means done"),
    (Guard::TheNextAttemptNeedsTheMeetingOn, "3, never blind"),
    (Guard::AnUpdateMakesNoRecord, "3, never blind"),
    (Guard::TheRecordComparesTheToken, "2, never lost"),
    (Guard::TheStatusOnlyMovesForward, "5, nothing trampled"),
    (Guard::AnOpenAttemptIsNotMarkedRefused, "2, never lost"),
    (Guard::TheCleanUpWaits, "4, Ok means done"),
    (Guard::TheRoleTagGoesFirst, "5, nothing trampled"),
    (Guard::TheRecordNeedsTheMeetingOn, "4, Ok means done"),
    (Guard::EachRoleMovesTheStatus, "4, Ok means done"),
    (Guard::ARecordedMachineIsKept, "2, never lost"),
    (Guard::TheReserveBeforeTheDeadline, "time"),
];

/// The protocol without one guard: walks until the promise breaks, then every course of a narrow scenario.
fn bite(guard: Guard) -> Option<(Scenario, Played)> {
    let walk = |walk| {
        let mut rng = fastrand::Rng::with_seed(walk);
        let scenario = Scenario {
            meetings: 1,
            student_only: rng.f32() < 0.7,
            standing: rng.bool(),
            deliveries: rng.usize(2..=3),
            faults: rng.usize(..=4),
            deaths: rng.usize(..=1),
            acts: rng.usize(..=2),
            lives: rng.bool(),
            variety: rng.bool(),
            off: Some(guard),
        };
        let played = play(&scenario, &mut Random(rng), false);
        (!played.breaches.is_empty()).then_some((scenario, played))
    };
    (0..50_000).find_map(walk).or_else(|| {
        let scenario = Scenario { deaths: 1, acts: 1, lives: true, off: Some(guard), ..ONE_ROLE };
        exhaust(&scenario, NO_LIMIT).1.map(|played| (scenario, played))
    })
}

#[test]
fn without_any_one_guard_the_promise_breaks() {
    let mut blunt = Vec::new();
    for (guard, promise) in TEETH {
        let start = Instant::now();
        match bite(guard) {
            None => blunt.push(format!("{guard:?}: no breach")),
            Some((_, played)) => {
                let breach = &played.breaches[0];
                println!("{guard:?}: {breach} ({:.1?})", start.elapsed());
                if !breach.starts_with(promise) {
                    blunt.push(format!("{guard:?}: expected promise {promise}, got {breach}"));
                }
            }
        }
    }
    assert!(blunt.is_empty(), "{blunt:#?}");
}

//! Every interleaving, every fault: the launch protocol explored around the real engine, and a check with teeth.
//!
//! `course.rs` says what may happen at each point, `search.rs` who chooses; `promise.rs` of the world is what
//! must hold. A breach prints its course, shrunk, and the line that replays it. `tests/README.md` has the counts.
//!
//! Written out instead of with a crate: shuttle and loom take over threads and their primitives, stateright explores a
//! model; here the thing explored is the shipped future itself, whose only suspension points are our own ports, so an
//! executor of a hundred lines owns every choice. proptest shrinks values well and schedules badly.
#![allow(clippy::print_stdout, reason = "counts and courses are for a person who asked to see them")]

mod course;
mod schedule;
mod search;

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use elephant_core::error::Class;

use course::{Act, Played, Scenario, Trouble, play};
use elephant_world::sabotage::Guard;
use search::{Covered, Random, Replay, exhaust, exhaust_until, shrunk};

/// Two deliveries of one meeting, and nothing that goes wrong.
const TWO: Scenario = Scenario {
    meetings: 1,
    student_only: false,
    standing: 0,
    deliveries: 2,
    faults: 0,
    deaths: 0,
    acts: 0,
    lives: false,
    variety: false,
    brief: false,
    minute: false,
    same_az: false,
    own_types: false,
    ends: 0,
    reconciles: 0,
    sweeps: false,
    only: &[],
    others: &[],
    off: None,
    strict: true,
};

/// The same with one role to launch: fewer interleavings, so more may go wrong.
const ONE_ROLE: Scenario = Scenario { student_only: true, ..TWO };

/// The same where both machines stay in one zone.
const SAME_AZ: Scenario = Scenario { same_az: true, ..TWO };

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
    let s = scenario;
    let only: Vec<String> = s.only.iter().map(|trouble| format!("{trouble:?}")).collect();
    let only = if only.is_empty() { String::new() } else { format!(" only={}", only.join("+")) };
    let others: Vec<String> = s.others.iter().map(|act| format!("{act:?}")).collect();
    let others = if others.is_empty() { String::new() } else { format!(" others={}", others.join("+")) };
    let off = s.off.map(|guard| format!(" off={guard:?}")).unwrap_or_default();
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    format!(
        "meetings={} student_only={} standing={} deliveries={} faults={} deaths={} acts={} lives={} variety={} \
         brief={} minute={} same_az={} own_types={} ends={} reconciles={} sweeps={} strict={}{only}{others}{off} course={}",
        s.meetings,
        s.student_only,
        s.standing,
        s.deliveries,
        s.faults,
        s.deaths,
        s.acts,
        s.lives,
        s.variety,
        s.brief,
        s.minute,
        s.same_az,
        s.own_types,
        s.ends,
        s.reconciles,
        s.sweeps,
        s.strict,
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
            "standing" => scenario.standing = number() as u32,
            "deliveries" => scenario.deliveries = number(),
            "faults" => scenario.faults = number(),
            "deaths" => scenario.deaths = number(),
            "acts" => scenario.acts = number(),
            "lives" => scenario.lives = value == "true",
            "variety" => scenario.variety = value == "true",
            "strict" => scenario.strict = value == "true",
            "minute" => scenario.minute = value == "true",
            "same_az" => scenario.same_az = value == "true",
            "own_types" => scenario.own_types = value == "true",
            "ends" => scenario.ends = number(),
            "reconciles" => scenario.reconciles = number(),
            "sweeps" => scenario.sweeps = value == "true",
            "brief" => scenario.brief = value == "true",
            "only" => {
                let named =
                    |name: &str| Trouble::ALL.into_iter().find(|trouble| format!("{trouble:?}") == name);
                let only =
                    value.split('+').map(|name| named(name).unwrap_or_else(|| panic!("no trouble {name}")));
                scenario.only = Vec::leak(only.collect());
            }
            "others" => {
                let named = |name: &str| Act::NAMED.into_iter().find(|act| format!("{act:?}") == name);
                let others =
                    value.split('+').map(|name| named(name).unwrap_or_else(|| panic!("no act {name}")));
                scenario.others = Vec::leak(others.collect());
            }
            "off" => {
                let named = |guard: &Guard| format!("{guard:?}") == value;
                scenario.off =
                    Some(*Guard::ALL.iter().find(|g| named(g)).unwrap_or_else(|| panic!("no guard {value}")));
            }
            "course" if value.is_empty() => {}
            "course" => choices = value.split('.').map(|n| n.parse().expect("numbers and dots")).collect(),
            _ => panic!("{name} is unknown"),
        }
    }
    (scenario, choices)
}

/// Every course of the scenario keeps the promise; prints how many there were. With EXPLORE_MINUTES the search ends after
/// so many, and says how far it came.
#[track_caller]
fn keeps_the_promise(scenario: &Scenario) {
    let start = Instant::now();
    let end = number("EXPLORE_MINUTES").map(|minutes| start + Duration::from_secs(60 * minutes));
    let (covered, breach) = exhaust(scenario, end);
    let Covered { courses, states, unfinished } = covered;
    let far = match (&breach, unfinished) {
        (None, Some(progress)) => format!(", not whole: of the first choices {progress} are done"),
        _ => String::new(),
    };
    println!("{}: {courses} courses, {states} states, {:.1?}{far}", written(scenario, &[]), start.elapsed());
    if let Some(played) = breach {
        panic!("{}", report(scenario, &played));
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, expected a number")))
}

mod exhaustive {
    use super::*;

    /// By far the longest, and the first in the order of names, in which they begin: all others fit in beside it.
    #[test]
    fn one_role_with_two_faults_and_a_death_in_a_function_of_one_minute() {
        keeps_the_promise(&Scenario { faults: 2, deaths: 1, minute: true, ..ONE_ROLE });
    }

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
    fn one_role_with_a_fault_and_a_death_under_other_clocks_and_another_configuration() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, variety: true, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_a_fault_and_a_death_where_a_delivery_outlives_its_lease() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, standing: 5, brief: true, ..ONE_ROLE });
    }
}

/// Both machines in one zone: whatever refuses one of them moves both.
mod in_one_zone {
    use super::*;

    #[test]
    fn both_roles_with_a_fault() {
        keeps_the_promise(&Scenario { faults: 1, ..SAME_AZ });
    }

    #[test]
    fn both_roles_with_a_refusal_and_a_death() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, only: &[Trouble::Refused], ..SAME_AZ });
    }

    /// Each machine of a type of its own, so that what one is refused says nothing of the other.
    #[test]
    fn two_types_with_two_refusals() {
        let only = &[Trouble::Refused];
        keeps_the_promise(&Scenario { faults: 2, own_types: true, only, ..SAME_AZ });
    }

    #[test]
    fn two_types_with_a_refusal_and_a_death() {
        let only = &[Trouble::Refused];
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, own_types: true, only, ..SAME_AZ });
    }

    #[test]
    fn both_roles_with_a_refusal_and_another_program() {
        keeps_the_promise(&Scenario {
            faults: 1,
            acts: 1,
            deliveries: 1,
            only: &[Trouble::Refused],
            ..SAME_AZ
        });
    }

    #[test]
    fn both_roles_with_a_late_end_and_a_refusal() {
        let only = &[Trouble::Refused, Trouble::Late];
        keeps_the_promise(&Scenario { faults: 2, deliveries: 1, only, ..SAME_AZ });
    }
}

/// What takes longer than a test may: `EXPLORE=full cargo test --test explorer the_rest -- --nocapture`, or one of them by
/// its name.
mod the_rest {
    use super::*;

    #[test]
    fn both_roles_with_a_death_and_another_program() {
        keeps_the_promise_too(&Scenario { deaths: 1, acts: 1, ..TWO });
    }

    #[test]
    fn both_roles_with_a_fault_and_a_death() {
        keeps_the_promise_too(&Scenario { faults: 1, deaths: 1, ..TWO });
    }

    #[test]
    fn both_roles_with_two_faults() {
        keeps_the_promise_too(&Scenario { faults: 2, ..TWO });
    }

    #[test]
    fn one_role_with_two_faults_and_a_death() {
        keeps_the_promise_too(&Scenario { faults: 2, deaths: 1, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_two_faults_where_a_delivery_outlives_its_lease() {
        keeps_the_promise_too(&Scenario { faults: 2, brief: true, standing: 5, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_a_death_and_a_record_that_is_made_again_twice() {
        keeps_the_promise_too(&Scenario { deaths: 1, acts: 2, lives: true, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_three_deliveries_and_a_fault_and_a_death() {
        keeps_the_promise_too(&Scenario { deliveries: 3, faults: 1, deaths: 1, ..ONE_ROLE });
    }

    #[test]
    fn one_role_with_two_faults_and_a_death_and_another_program() {
        keeps_the_promise_too(&Scenario { faults: 2, deaths: 1, acts: 1, ..ONE_ROLE });
    }

    #[track_caller]
    fn keeps_the_promise_too(scenario: &Scenario) {
        if std::env::var("EXPLORE").as_deref() == Ok("full") {
            keeps_the_promise(scenario);
        }
    }
}

/// Up to eight deliveries over several meetings with up to six faults. `EXPLORE_WALKS` and `EXPLORE_SEED` say how many
/// and which.
#[test]
fn random_walks_keep_the_promise() {
    let walks = number("EXPLORE_WALKS").unwrap_or(10_000);
    let seed = number("EXPLORE_SEED").unwrap_or(1);
    for walk in 0..walks {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(walk));
        let most = Scenario {
            meetings: 3,
            deliveries: 8,
            faults: 6,
            deaths: 3,
            acts: 2,
            same_az: true,
            own_types: true,
            ..TWO
        };
        let scenario = up_to(&most, &mut rng);
        let played = play(&scenario, &mut Random(rng), false);
        assert!(played.breaches.is_empty(), "walk {walk} of seed {seed}\n{}", report(&scenario, &played));
    }
}

/// A class that no course met would be one whose handling nobody has looked at.
#[test]
fn every_error_class_has_its_representative() {
    let mut missing = HashSet::from(Class::ALL);
    for walk in 0..10_000 {
        let mut rng = fastrand::Rng::with_seed(walk);
        let scenario = up_to(&Scenario { faults: 6, deaths: 1, acts: 2, ..TWO }, &mut rng);
        let played = play(&scenario, &mut Random(rng), false);
        missing.retain(|class| !played.classes.contains(class));
        if missing.is_empty() {
            break;
        }
    }
    assert!(missing.is_empty(), "no walk meets {missing:?}");
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/README.md");
    let readme = std::fs::read_to_string(readme).expect("tests/README.md");
    for class in Class::ALL {
        assert!(
            readme.contains(&format!("`{class:?}`")),
            "tests/README.md does not say where {class:?} comes from"
        );
    }
}

/// A meeting that is ended while it is launched: whoever comes first, nothing of it is left.
mod while_somebody_ends_the_meeting {
    use super::*;

    /// Every interleaving with one launch of one role.
    const ENDED: Scenario = Scenario { ends: 1, deliveries: 1, ..ONE_ROLE };

    #[test]
    fn one_role() {
        keeps_the_promise(&ENDED);
    }

    #[test]
    fn one_role_with_a_death() {
        keeps_the_promise(&Scenario { deaths: 1, ..ENDED });
    }

    #[test]
    fn one_role_with_an_answer_that_comes_late_or_never() {
        keeps_the_promise(&Scenario { faults: 1, only: &[Trouble::Late, Trouble::Lost], ..ENDED });
    }

    #[test]
    fn one_role_with_another_program() {
        keeps_the_promise(&Scenario { acts: 1, ..ENDED });
    }

    #[test]
    fn one_role_after_a_delivery_that_died() {
        keeps_the_promise(&Scenario { standing: 5, deaths: 1, ..ENDED });
    }
}

/// A sweep whose steps stand between those of deliveries.
mod while_a_sweep_is_at_work {
    use super::*;

    const SWEPT: Scenario = Scenario { reconciles: 1, deliveries: 1, ..ONE_ROLE };

    #[test]
    fn one_role_with_a_fault() {
        keeps_the_promise(&Scenario { faults: 1, ..SWEPT });
    }

    #[test]
    fn one_role_with_a_death_and_two_sweeps() {
        keeps_the_promise(&Scenario { reconciles: 2, deaths: 1, ..SWEPT });
    }

    #[test]
    fn one_role_with_another_program() {
        keeps_the_promise(&Scenario { acts: 1, lives: true, ..SWEPT });
    }

    #[test]
    fn one_role_with_somebody_who_ends_it() {
        keeps_the_promise(&Scenario { ends: 1, ..SWEPT });
    }
}

/// Deliveries, sweeps and whoever ends the meeting, all at once, with faults, deaths and other programs.
#[test]
fn random_walks_with_sweeps_and_ends_keep_the_promise() {
    let walks = number("EXPLORE_WALKS").unwrap_or(5_000);
    let seed = number("EXPLORE_SEED").unwrap_or(1);
    for walk in 0..walks {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(walk));
        let scenario = up_to(&EVERYBODY, &mut rng);
        let played = play(&scenario, &mut Random(rng), false);
        assert!(played.breaches.is_empty(), "walk {walk} of seed {seed}\n{}", report(&scenario, &played));
    }
}

const EVERYBODY: Scenario =
    Scenario { deliveries: 4, faults: 4, deaths: 2, acts: 2, ends: 2, reconciles: 2, ..TWO };

/// The sweep is the second line of defence: whatever state a launch is left in, with all its guards or without any one
/// of them, two sweeps put it in order.
mod two_sweeps_put_in_order {
    use super::*;

    #[test]
    fn what_every_course_of_one_role_leaves() {
        keeps_the_promise(&Scenario { faults: 1, deaths: 1, sweeps: true, ..ONE_ROLE });
    }

    #[test]
    fn what_every_course_with_another_program_leaves() {
        keeps_the_promise(&Scenario { deaths: 1, acts: 1, lives: true, sweeps: true, ..ONE_ROLE });
    }

    #[test]
    fn what_random_walks_leave() {
        leave_order(None, 5_000);
    }

    #[test]
    fn what_random_walks_without_any_one_guard_leave() {
        for guard in Guard::ALL.iter().filter(|guard| !guard.is_of_the_sweep()) {
            leave_order(Some(*guard), 300);
        }
    }

    #[track_caller]
    fn leave_order(off: Option<Guard>, walks: u64) {
        for walk in 0..walks {
            let mut rng = fastrand::Rng::with_seed(7_000_000 + walk);
            let most = Scenario {
                deliveries: 4,
                faults: 5,
                deaths: 3,
                acts: 2,
                ends: 1,
                reconciles: 1,
                sweeps: true,
                strict: false,
                ..TWO
            };
            let scenario = Scenario { off, ..up_to(&most, &mut rng) };
            let played = play(&scenario, &mut Random(rng), false);
            assert!(played.breaches.is_empty(), "walk {walk}\n{}", report(&scenario, &played));
        }
    }
}

/// A scenario in which at most this much happens.
fn up_to(most: &Scenario, rng: &mut fastrand::Rng) -> Scenario {
    Scenario {
        meetings: rng.usize(1..=most.meetings),
        student_only: rng.bool(),
        standing: [0, 5, 20, 100][rng.usize(..4)],
        deliveries: rng.usize(2..=most.deliveries),
        faults: rng.usize(..=most.faults),
        deaths: rng.usize(..=most.deaths),
        acts: rng.usize(..=most.acts),
        lives: rng.bool(),
        variety: rng.bool(),
        brief: rng.bool(),
        minute: rng.bool(),
        same_az: most.same_az && rng.bool(),
        own_types: most.own_types && rng.bool(),
        ends: rng.usize(..=most.ends),
        reconciles: rng.usize(..=most.reconciles),
        sweeps: most.sweeps,
        only: most.only,
        others: most.others,
        off: most.off,
        strict: most.strict,
    }
}

/// Follows every course of the scenario that EXPLORE_SCENARIO names.
#[test]
fn every_course() {
    let Ok(line) = std::env::var("EXPLORE_SCENARIO") else { return };
    keeps_the_promise(&read(&line).0);
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
    let scenario = Scenario { faults: 2, acts: 1, variety: true, off: Some(Guard::TheLease), ..ONE_ROLE };
    let line = written(&scenario, &[0, 3, 12]);
    let (read, choices) = read(&line);
    assert_eq!((written(&read, &choices), choices), (line, vec![0, 3, 12]));
}

/// A course as long as a walk makes it, told again from its last line alone.
#[test]
fn a_breach_is_told_briefly_and_its_last_line_replays_it() {
    let tooth = TEETH.iter().find(|(guard, ..)| *guard == Guard::ARandomToken).expect("a tooth");
    let (scenario, played) = bite(tooth).expect("it bites");
    let told = report(&scenario, &played);
    let (told, line) = told.rsplit_once("\nreplay: EXPLORE_REPLAY='").expect("the line that replays it");
    let (line, _) = line.split_once("' cargo test").expect("a command");
    let (scenario, choices) = read(line);
    let again = play(&scenario, &mut Replay::of(&choices), true);
    assert_eq!(format!("{}\n{}", again.breaches.join("\n"), again.story.join("\n")), told);
    assert_eq!(again.breaches.first(), played.breaches.first());
    assert!(choices.len() < played.choices.len(), "nothing was taken out of {choices:?}");
}

/// A guard, the promise that breaks without it, and where that shows.
type Tooth = (Guard, &'static str, Search);

#[derive(Clone, Copy)]
enum Search {
    /// Random walks, judged by what comes of the launches alone.
    Walks,
    /// The same, while somebody ends the meeting.
    WalksWithEnds,
    /// Every course of this.
    Every(Scenario),
}

use Search::{Every, Walks, WalksWithEnds};

/// One role, and timings so short that a delivery outlives its lease.
const BRIEF: Scenario = Scenario { brief: true, ..ONE_ROLE };
/// The same, where nobody cares about the lease as long as the machines are right.
const BRIEF_BY_OUTCOME: Scenario = Scenario { strict: false, ..BRIEF };
const LIVES: Scenario = Scenario { deaths: 1, acts: 1, lives: true, strict: false, ..ONE_ROLE };

/// A delivery has to wait until its lease is over; the one that takes over dies.
const TAKEN_OVER: Scenario =
    Scenario { faults: 2, deaths: 1, only: &[Trouble::Slow, Trouble::Refused], ..BRIEF_BY_OUTCOME };

/// The meeting ends while it is launched, and the watchdog brings it back to life.
const REVIVED: Scenario = Scenario {
    faults: 1,
    acts: 2,
    only: &[Trouble::Slow],
    others: &[Act::TerminateUnsaid, Act::Running],
    ..BRIEF_BY_OUTCOME
};

/// The zone refuses one of a pair.
const LEFT: Scenario = Scenario { deliveries: 1, faults: 1, only: &[Trouble::Refused], ..SAME_AZ };

/// The token was another's, the look-up takes longer than the lease, and meanwhile somebody ends the meeting.
const ENDED: Scenario = Scenario {
    ends: 1,
    deliveries: 1,
    faults: 2,
    only: &[Trouble::Slow, Trouble::Mismatch],
    ..BRIEF_BY_OUTCOME
};

const TEETH: [Tooth; 49] = [
    (
        Guard::TheClaimComparesTheLease,
        "3, never blind: the lease is taken",
        Every(Scenario { standing: 5, ..ONE_ROLE }),
    ),
    (Guard::TheClaimComparesTheAttempts, "2, never lost", Every(TAKEN_OVER)),
    (
        Guard::TheClaimComparesWhatWasRefused,
        "3, never blind: token-0-2 is sent although it was marked as refused",
        Every(Scenario {
            student_only: false,
            faults: 3,
            only: &[Trouble::Slow, Trouble::Unauthorized],
            ..BRIEF
        }),
    ),
    (Guard::TheClaimComparesTheIds, "3, never blind: an attempt is written for", Walks),
    (Guard::TheClaimComparesTheStatus, "3, never blind: a claim for a meeting that is", Walks),
    (Guard::TheClaimComparesTheTime, "3, never blind: a claim outside the meeting's window", Walks),
    (Guard::TheAttemptIsWrittenFirst, "3, never blind", Walks),
    (Guard::TheLease, "4, Ok means done", Walks),
    (Guard::TheLeaseExpires, "4, one clean delivery suffices", Walks),
    (
        Guard::TheLeaseIsRenewed,
        "3, never blind: a launch that may be unanswered",
        Every(Scenario { faults: 1, standing: 5, ..BRIEF }),
    ),
    (
        Guard::TheRenewalComparesTheLease,
        "3, never blind: a launch that may be unanswered",
        Every(Scenario {
            deliveries: 1,
            standing: 5,
            faults: 4,
            only: &[Trouble::Slow, Trouble::Late, Trouble::Refused],
            ..BRIEF
        }),
    ),
    (
        Guard::SkewIsAllowedFor,
        "3, never blind: the lease is taken",
        Every(Scenario { faults: 1, variety: true, only: &[Trouble::Slow], ..BRIEF }),
    ),
    (Guard::AnOwnerForEachDelivery, "3, never blind: a launch without a claim", Walks),
    (Guard::ParametersComeFromTheRecord, "3, never blind", Walks),
    (Guard::ARandomToken, "1, never two", Walks),
    (Guard::ANewTokenForANewAttempt, "1, never two", Walks),
    (Guard::TheSdkRepeatsNoLaunch, "1, never two", Walks),
    (Guard::ALostAnswerIsReplayed, "1, never two", Walks),
    (Guard::ARefusalAfterAnUnansweredSendingWaits, "1, never two", Walks),
    (Guard::ARefusedReplayIsLookedUp, "1, never two", Walks),
    (Guard::TheNextAttemptIsOurs, "2, never lost", Every(TAKEN_OVER)),
    (
        Guard::TheNextAttemptComparesTheToken,
        "2, never lost",
        Every(Scenario {
            deliveries: 1,
            faults: 3,
            deaths: 1,
            only: &[Trouble::Late, Trouble::Refused],
            ..BRIEF_BY_OUTCOME
        }),
    ),
    (Guard::TheNextAttemptNeedsNoId, "3, never blind: an attempt is written for", Walks),
    (Guard::TheNextAttemptNeedsTheMeetingOn, "3, never blind: a claim for a meeting that is", Walks),
    (Guard::AnUpdateMakesNoRecord, "3, never blind: a write made a record", Walks),
    (Guard::TheRecordComparesTheToken, "2, never lost", Every(LIVES)),
    (Guard::TheRecordNeedsNoOtherId, "5, nothing trampled", Walks),
    (Guard::TheRecordNeedsTheMeetingOn, "4, Ok means done: an id is written", Walks),
    (Guard::EachRoleMovesTheStatus, "4, Ok means done: the status", Walks),
    (Guard::TheStatusOnlyMovesForward, "5, nothing trampled", Walks),
    (
        Guard::AnOpenAttemptKeepsItsLease,
        "4, Ok means done",
        Every(Scenario { faults: 2, acts: 1, only: &[Trouble::Unauthorized, Trouble::Other], ..ONE_ROLE }),
    ),
    (Guard::AnOpenAttemptIsNotMarkedRefused, "1, never two", Walks),
    (Guard::TheCleanUpWaits, "4, Ok means done", Walks),
    (Guard::TheEndIsWrittenFirst, "2, never lost", Every(REVIVED)),
    (Guard::WhatIsEndedIsNotRecorded, "2, never lost", Every(REVIVED)),
    (Guard::TheRoleTagGoesFirst, "5, nothing trampled", Walks),
    (Guard::ARecordedMachineIsKept, "2, never lost", Every(REVIVED)),
    (Guard::TheReserveBeforeTheDeadline, "time: a launch is begun", Walks),
    (Guard::APairMovesTogether, "together", Every(LEFT)),
    (Guard::WhatMovesIsEndedFirst, "1, never two", Every(LEFT)),
    (Guard::BothMoveInOneWrite, "3, never blind", Every(LEFT)),
    (Guard::TheEndTakesTheLease, "end", Every(ENDED)),
    (Guard::TheEndWaits, "end", WalksWithEnds),
    (Guard::AReasonIsTheEnd, "3, never blind: a claim for a meeting that was ended", Every(OVERWRITTEN)),
    (
        Guard::WhatSomebodyEndedStaysEnded,
        "3, never blind: a meeting is revived",
        Every(Scenario {
            reconciles: 1,
            deliveries: 1,
            acts: 1,
            others: &[Act::TerminateUnsaid],
            ..ONE_ROLE
        }),
    ),
    (
        Guard::WhatIsNotListedIsLookedAt,
        "sweep: ",
        Every(Scenario { acts: 2, others: &[Act::Die, Act::ForgetTheDead], ..SWEPT }),
    ),
    (
        Guard::AYoungMachineIsNotMissing,
        "2, never lost",
        Every(Scenario {
            reconciles: 1,
            faults: 2,
            deliveries: 1,
            only: &[Trouble::Other],
            strict: false,
            ..ONE_ROLE
        }),
    ),
    (Guard::WhatIsStoppedIsStarted, "sweep: ", Every(Scenario { acts: 1, others: &[Act::Stop], ..SWEPT })),
    (Guard::AWindowHasTwoEnds, "3, never blind: a claim outside the meeting's window", Walks),
];

/// Two sweeps at the end, which run without the guard.
const SWEPT: Scenario = Scenario { deliveries: 1, sweeps: true, strict: false, ..ONE_ROLE };

/// Somebody ends the meeting, and another program writes its own status over that.
const OVERWRITTEN: Scenario =
    Scenario { ends: 1, deliveries: 1, acts: 1, others: &[Act::Running], strict: false, ..ONE_ROLE };

/// A breach of this promise by the protocol without this guard.
fn bite((guard, promise, search): &Tooth) -> Option<(Scenario, Played)> {
    let breaks = |played: &Played| played.breaches.first().is_some_and(|breach| breach.starts_with(promise));
    match search {
        Walks | WalksWithEnds => (0..30_000).find_map(|walk| {
            let mut rng = fastrand::Rng::with_seed(walk);
            let ends = if matches!(search, WalksWithEnds) { 2 } else { 0 };
            let most = Scenario { deliveries: 3, faults: 4, deaths: 1, acts: 2, ends, strict: false, ..TWO };
            let scenario = Scenario { off: Some(*guard), ..up_to(&most, &mut rng) };
            let played = play(&scenario, &mut Random(rng), false);
            breaks(&played).then_some((scenario, played))
        }),
        Every(scenario) => {
            let scenario = Scenario { off: Some(*guard), ..*scenario };
            exhaust_until(&scenario, breaks).map(|played| (scenario, played))
        }
    }
}

#[test]
fn without_any_one_guard_the_promise_breaks() {
    let mut blunt = Vec::new();
    for tooth in &TEETH {
        let (guard, promise, _) = tooth;
        let start = Instant::now();
        match bite(tooth) {
            None => blunt.push(format!("without {guard:?} no course breaks promise {promise}")),
            Some((_, played)) => println!("{guard:?}: {} ({:.1?})", played.breaches[0], start.elapsed()),
        }
    }
    assert!(blunt.is_empty(), "{blunt:#?}");
}

#[test]
fn every_guard_has_its_tooth() {
    let bitten: BTreeSet<Guard> = TEETH.iter().map(|(guard, ..)| *guard).collect();
    let missing: Vec<&Guard> = Guard::ALL.iter().filter(|guard| !bitten.contains(guard)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

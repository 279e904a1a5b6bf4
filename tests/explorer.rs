//! Every interleaving, every fault: the launch protocol explored around the real engine, and a check with teeth.
//!
//! `explorer/course.rs` says what may happen at each point, `explorer/search.rs` who chooses; `world/promise.rs` is what
//! must hold. A breach prints its course, shrunk, and the line that replays it.

#[path = "explorer/course.rs"]
mod course;
#[path = "explorer/search.rs"]
mod search;
#[path = "world/world.rs"]
mod world;

use std::time::Instant;

use course::{Played, Scenario, play};
use search::{Random, Replay, exhaust, shrunk};

const NO_LIMIT: u64 = u64::MAX;

fn two_deliveries() -> Scenario {
    Scenario {
        name: "two-deliveries",
        meetings: 1,
        student_only: false,
        deliveries: 2,
        faults: 0,
        deaths: 0,
        acts: 0,
        variety: false,
        off: None,
    }
}

/// Print a breach as a person needs it, and fail.
fn report(scenario: &Scenario, played: &Played) -> String {
    let choices = shrunk(scenario, played);
    let told = play(scenario, &mut Replay::of(&choices), true);
    let numbers: Vec<String> = choices.iter().map(ToString::to_string).collect();
    format!(
        "{}\n{}\nreplay: EXPLORE_REPLAY='{}:{}' cargo test --test explorer replay -- --nocapture",
        told.breaches.join("\n"),
        told.story.join("\n"),
        scenario.name,
        numbers.join(".")
    )
}

#[test]
fn measure() {
    for (student_only, faults, deaths, acts, variety) in [
        (true, 0, 0, 0, false),
        (true, 1, 0, 0, false),
        (true, 1, 1, 0, false),
        (true, 1, 1, 1, false),
        (true, 2, 1, 0, false),
        (false, 0, 0, 0, false),
        (false, 0, 1, 0, false),
        (false, 1, 0, 0, false),
        (false, 1, 1, 0, false),
        (true, 2, 1, 1, false),
        (true, 1, 1, 0, true),
    ] {
        let scenario = Scenario { student_only, faults, deaths, acts, variety, ..two_deliveries() };
        let start = Instant::now();
        let (covered, breach) = exhaust(&scenario, 3_000_000);
        println!("{student_only} {faults} {deaths} {acts} {variety}: {covered:?} in {:?}", start.elapsed());
        if let Some(played) = breach {
            println!("{}", report(&scenario, &played));
        }
    }
}

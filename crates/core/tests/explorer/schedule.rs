//! Every interleaving of two requests to schedule one meeting, with faults, deaths and other programs: record and schedule
//! agree in the end, whatever happens on the way.

use std::collections::HashSet;

use elephant_world::scheduling::{Chooser, Played, Sabotage, Scenario, cancel, play, schedule};
use serde_json::Value;

/// Depth first, every choice in turn, states that were seen before cut off: a delivery is a deterministic program of
/// the answers that it got and of the clock, so what can still happen is decided by these, by the table, by the
/// schedules, and by the disturbances that are left.
#[derive(Default)]
struct EveryCourse {
    path: Vec<(usize, usize)>,
    depth: usize,
    seen: HashSet<u64>,
}

impl Chooser for EveryCourse {
    fn choose(&mut self, options: usize, state: &dyn Fn() -> u64) -> Option<usize> {
        if self.depth == self.path.len() {
            if !self.seen.insert(state()) {
                return None;
            }
            self.path.push((0, options));
        }
        let (chosen, known) = self.path[self.depth];
        assert_eq!(known, options, "the same choices lead to the same state");
        self.depth += 1;
        Some(chosen)
    }
}

/// Follow every course; how many there were, and the first that breaks a promise.
fn exhaust(scenario: &Scenario) -> (u64, Option<Played>) {
    let mut every = EveryCourse::default();
    let mut courses = 0;
    loop {
        let played = play(scenario, &mut every);
        courses += 1;
        if played.breach.is_some() {
            return (courses, Some(played));
        }
        every.depth = 0;
        loop {
            match every.path.pop() {
                None => return (courses, None),
                Some((chosen, options)) if chosen + 1 < options => {
                    every.path.push((chosen + 1, options));
                    break;
                }
                Some(_) => {}
            }
        }
    }
}

/// Pairs of requests that can meet.
fn pairs() -> [[Value; 2]; 4] {
    [
        [schedule(60), schedule(60)],
        [schedule(60), schedule(90)],
        [schedule(60), cancel()],
        [schedule(90), cancel()],
    ]
}

fn scenarios() -> Vec<(&'static str, Scenario)> {
    let mut all = Vec::new();
    for events in pairs() {
        for stands in [false, true] {
            let scenario = Scenario { stands, events: events.to_vec(), ..Scenario::quiet() };
            all.push(("one fault, one death", Scenario { faults: 1, deaths: 1, ..scenario.clone() }));
            all.push(("one step of another program", Scenario { acts: 1, ..scenario }));
        }
    }
    for event in [schedule(60), schedule(90), cancel()] {
        let alone = Scenario { stands: true, events: vec![event], ..Scenario::quiet() };
        all.push((
            "alone, one fault, one death, two steps",
            Scenario { faults: 1, deaths: 1, acts: 2, ..alone },
        ));
    }
    // With a safety net beside, which moves and goes with the meeting.
    for events in [[schedule(90), schedule(90)], [schedule(90), schedule(120)], [schedule(90), cancel()]] {
        let beside = Scenario { stands: true, companion: true, events: events.to_vec(), ..Scenario::quiet() };
        all.push(("a companion, one death", Scenario { deaths: 1, ..beside }));
    }
    for event in [schedule(90), cancel()] {
        let alone = Scenario { stands: true, companion: true, events: vec![event], ..Scenario::quiet() };
        all.push((
            "a companion, alone, one fault, one death, one step",
            Scenario { faults: 1, deaths: 1, acts: 1, ..alone },
        ));
    }
    all
}

#[test]
fn record_and_schedule_agree_on_every_course() {
    let mut total = 0;
    for (name, scenario) in scenarios() {
        let (courses, broken) = exhaust(&scenario);
        total += courses;
        if let Some(Played { breach: Some(what), told, .. }) = broken {
            panic!(
                "{name}, {:?} (stands: {}): {what}\n{}",
                scenario.events,
                scenario.stands,
                told.join("\n")
            );
        }
    }
    println!("{total} courses");
    assert!(total > 10_000, "only {total} courses");
}

/// Each guard that is switched off lets some course break the promise.
#[test]
fn without_any_one_guard_a_promise_breaks() {
    for (sabotage, said) in [
        (Sabotage::CreateOverwrites, "written over one that stands"),
        (Sabotage::CancelAsksNothing, "was cancelled that has machines"),
        (Sabotage::MoveAsksNothing, "over was moved"),
        (Sabotage::NoSecondLook, "all deliveries ended well, and"),
        (Sabotage::NotesAnew, "the safety net fires at"),
        (Sabotage::NotesNothing, "the safety net fires at"),
    ] {
        let broken = scenarios().into_iter().find_map(|(_, scenario)| {
            let (_, broken) = exhaust(&Scenario { sabotage: Some(sabotage), ..scenario });
            broken.filter(|played| played.breach.as_deref().is_some_and(|what| what.contains(said)))
        });
        assert!(broken.is_some(), "no course breaks anything without {sabotage:?}");
    }
}

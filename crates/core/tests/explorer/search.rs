//! Who chooses: every course in turn, a random one, or one that is known by its numbers; and what makes a long breach
//! short.

use std::collections::HashSet;
use std::time::Instant;

use super::course::{Chooser, Played, Scenario, Step, play};

/// Depth first, every choice in turn, states that were seen before cut off.
///
/// The cut is sound: a delivery is a deterministic program whose only inputs are the replies to its requests and the
/// clock at the moment of each, so the fingerprint (a hash of these histories, of the table, the cloud, the requests in
/// flight, the clock and the faults that are left) stands for everything that can still happen. Two states that differ
/// could be taken for one only if two 64-bit hashes were equal.
#[derive(Default)]
pub struct DepthFirst {
    /// Each point of the current course, those with a single way on too.
    path: Vec<Point>,
    depth: usize,
    seen: HashSet<u64>,
}

struct Point {
    options: Vec<Step>,
    chosen: usize,
}

impl Chooser for DepthFirst {
    fn choose(&mut self, options: &[Step], state: &mut dyn FnMut() -> u64) -> Option<usize> {
        match self.path.get(self.depth) {
            Some(known) => {
                assert_eq!(known.options.len(), options.len(), "the same choices lead to the same state")
            }
            None if options.len() > 1 && !self.seen.insert(state()) => return None,
            None => self.path.push(Point { options: options.to_vec(), chosen: 0 }),
        }
        self.depth += 1;
        Some(self.path[self.depth - 1].chosen)
    }

    fn again(&mut self) -> Option<(Step, usize, usize)> {
        // Where this course leaves the one before, what there is to choose is looked at again.
        if self.depth + 1 >= self.path.len() {
            return None;
        }
        let Point { options, chosen } = &self.path[self.depth];
        self.depth += 1;
        Some((options[*chosen].clone(), *chosen, options.len()))
    }
}

impl DepthFirst {
    /// The next course; `false` when there is none.
    fn advance(&mut self) -> bool {
        self.depth = 0;
        while let Some(Point { options, chosen }) = self.path.pop() {
            if chosen + 1 < options.len() {
                self.path.push(Point { options, chosen: chosen + 1 });
                return true;
            }
        }
        false
    }

    /// Of the first choices, which options are done with: `5 of 9` means that the sixth is being followed.
    fn progress(&self) -> String {
        let choices = self.path.iter().filter(|point| point.options.len() > 1).take(4);
        let each = choices.map(|point| format!("{} of {}", point.chosen, point.options.len()));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// What a search has covered.
#[derive(Clone, Debug)]
pub struct Covered {
    pub courses: u64,
    pub states: usize,
    /// Where it was when its time was up; `None`: every course was followed.
    pub unfinished: Option<String>,
}

/// Follow every course, as long as there is time; the first breach ends the search.
pub fn exhaust(scenario: &Scenario, end: Option<Instant>) -> (Covered, Option<Played>) {
    let mut chooser = DepthFirst::default();
    let mut courses = 0;
    loop {
        let played = play(scenario, &mut chooser, false);
        courses += 1;
        let breach = (!played.breaches.is_empty()).then_some(played);
        let more = breach.is_none() && chooser.advance();
        let time_is_up = end.is_some_and(|end| Instant::now() >= end);
        if !more || time_is_up {
            let unfinished = (more || breach.is_some()).then(|| chooser.progress());
            return (Covered { courses, states: chooser.seen.len(), unfinished }, breach);
        }
    }
}

/// The first course, of all of them, that this is true of.
pub fn exhaust_until(scenario: &Scenario, wanted: impl Fn(&Played) -> bool) -> Option<Played> {
    let mut chooser = DepthFirst::default();
    loop {
        let played = play(scenario, &mut chooser, false);
        if wanted(&played) {
            return Some(played);
        }
        if !chooser.advance() {
            return None;
        }
    }
}

/// A random walk: mostly the ordinary course, or else anything.
pub struct Random(pub fastrand::Rng);

impl Chooser for Random {
    fn choose(&mut self, options: &[Step], _: &mut dyn FnMut() -> u64) -> Option<usize> {
        Some(match options.len() {
            1 => 0,
            _ if self.0.f32() < 0.6 => 0,
            several => self.0.usize(..several),
        })
    }
}

/// A known course; beyond its end the ordinary one.
pub struct Replay<'c> {
    choices: &'c [usize],
    depth: usize,
}

impl<'c> Replay<'c> {
    pub fn of(choices: &'c [usize]) -> Self {
        Replay { choices, depth: 0 }
    }
}

impl Chooser for Replay<'_> {
    fn choose(&mut self, options: &[Step], _: &mut dyn FnMut() -> u64) -> Option<usize> {
        if options.len() == 1 {
            return Some(0);
        }
        let chosen = self.choices.get(self.depth).copied().unwrap_or(0);
        self.depth += 1;
        // A shortened course may meet fewer options than the one that it was.
        Some(chosen.min(options.len() - 1))
    }
}

/// The shortest course found that breaks the same promise: choices are taken out or made ordinary as long as it does.
pub fn shrunk(scenario: &Scenario, played: &Played) -> Vec<usize> {
    let promise =
        |played: &Played| played.breaches.first().map(|breach| breach.split(':').next().map(str::to_owned));
    let wanted = promise(played);
    let breaks = |choices: &[usize]| promise(&play(scenario, &mut Replay::of(choices), false)) == wanted;
    let mut best = without_ordinary_end(played.choices.clone());
    let mut tries = 0;
    'again: while tries < 3000 {
        for index in (0..best.len()).rev() {
            let mut shorter = best.clone();
            shorter.remove(index);
            let mut plainer = best.clone();
            plainer[index] = 0;
            for candidate in [without_ordinary_end(shorter), without_ordinary_end(plainer)] {
                tries += 1;
                if weight(&candidate) < weight(&best) && breaks(&candidate) {
                    best = candidate;
                    continue 'again;
                }
            }
        }
        break;
    }
    best
}

/// Fewer things out of the ordinary first, then fewer choices.
fn weight(choices: &[usize]) -> (usize, usize) {
    (choices.iter().filter(|choice| **choice > 0).count(), choices.len())
}

fn without_ordinary_end(mut choices: Vec<usize>) -> Vec<usize> {
    while choices.last() == Some(&0) {
        choices.pop();
    }
    choices
}

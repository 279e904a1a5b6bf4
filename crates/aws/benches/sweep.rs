//! What a sweep takes inside the process, with the SDK: requests, answers of real size over HTTP on this machine, which
//! come at once. What AWS needs for its answers comes on top, one request after the other.
//!
//! `cargo bench --bench sweep`, or without a release build `cargo test --bench sweep`. Prints the table of `README.md`.

#![allow(clippy::print_stdout, reason = "it is what a bench is for")]

#[path = "../tests/adapters/fleet.rs"]
mod fleet;
#[path = "../tests/adapters/server.rs"]
mod server;

use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// One thread, as in the function; the other end of the wire is on it, too.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| meetings | machines | | requests | ms | ms a machine |");
    println!("|--:|--:|---|--:|--:|--:|");
    for (meetings, noted) in [(100, true), (1000, true), (2000, true), (1000, false)] {
        let mut runs = Vec::new();
        let mut requests = 0;
        for _ in 0..RUNS {
            let wire = fleet::account(meetings, noted).await;
            let began = Instant::now();
            let answer = fleet::sweep(&wire).await.expect("it is swept");
            runs.push(began.elapsed());
            assert_eq!((answer.machines, answer.repairs.is_empty()), (2 * meetings, noted));
            requests = wire.counts().values().sum();
        }
        runs.sort();
        row(meetings, noted, requests, runs[RUNS / 2]);
    }
}

fn row(meetings: usize, noted: bool, requests: usize, took: Duration) {
    let machines = 2 * meetings;
    let ms = took.as_secs_f64() * 1000.0;
    let what = if noted { "in order" } else { "seen running for the first time" };
    println!("| {meetings} | {machines} | {what} | {requests} | {ms:.0} | {:.2} |", ms / machines as f64);
}

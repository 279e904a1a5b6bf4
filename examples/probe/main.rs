//! Asks a real account what AWS does not document: `cargo run --example probe -- --region us-west-2`.
//!
//! For whoever has deployed the stack, once: each line says what the project assumes, what AWS answered, and, where the two
//! differ, what would have to change (`assumptions.rs`, the table of `tests/README.md`). What it makes carries the tag
//! `elephant:probe`, or a name that begins with `elephant-probe-`; it is removed at the end, on Ctrl-C, and by `--clean-up`.

#![allow(clippy::print_stdout, reason = "this program talks to a person")]

mod account;
mod assumptions;
mod options;
mod questions;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use account::{Account, Refusal};
use options::{Options, Told, USAGE};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::Notify;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(Told::Help) => println!("{USAGE}"),
        Ok(Told::List) => println!("{}", assumptions::table()),
        Ok(Told::CleanUp(options)) => return run(&options, true),
        Ok(Told::Ask(options)) => return run(&options, false),
        Err(problem) => {
            eprintln!("probe: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

#[tokio::main(flavor = "current_thread")]
async fn run(options: &Options, only_clean_up: bool) -> ExitCode {
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("probe: signals cannot be caught: {error}");
            return ExitCode::FAILURE;
        }
    };
    let account = match Account::open(options).await {
        Ok(account) => account,
        Err(problem) => return failed(&problem),
    };
    if only_clean_up {
        return match clean_up(&account, true).await {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    println!("run {} in {}; what it makes has the tag {}\n", account.run, options.region, account::TAG);
    let asked = tokio::select! {
        asked = questions::ask_all(&account, options) => Some(asked),
        () = stop.told.notified() => None,
    };
    println!();
    let clean = clean_up(&account, false).await;
    let signal = stop.signal.load(SeqCst);
    match asked {
        None => ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Some(Err(problem)) => failed(&problem),
        Some(Ok(summary)) => {
            println!("{summary}");
            if summary.is_good() && clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn failed(problem: &Refusal) -> ExitCode {
    eprintln!("probe: {problem}");
    ExitCode::FAILURE
}

/// Whether everything is gone.
async fn clean_up(account: &Account, every_run: bool) -> bool {
    match account.clean_up(every_run).await {
        Ok(removed) if removed.is_empty() => println!("clean-up: nothing was left"),
        Ok(removed) => println!("clean-up: removed {}", removed.join(", ")),
        Err(problem) => {
            eprintln!(
                "probe: not everything could be removed: {problem}\n\
                 Run it again with --clean-up: what costs money are the machines with the tag {}.",
                account::TAG
            );
            return false;
        }
    }
    true
}

/// The first signal asks for an orderly end; the second one ends at once.
struct Stop {
    told: Arc<Notify>,
    signal: Arc<AtomicI32>,
}

impl Stop {
    fn on_signals() -> std::io::Result<Stop> {
        let stop = Stop { told: Arc::default(), signal: Arc::default() };
        let (told, number) = (stop.told.clone(), stop.signal.clone());
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if number.swap(signal, SeqCst) != 0 {
                    eprintln!("probe: stopped; --clean-up removes what is left");
                    std::process::exit(128 + signal);
                }
                eprintln!("probe: removing what was made; once more to stop at once");
                told.notify_one();
            }
        });
        Ok(stop)
    }
}

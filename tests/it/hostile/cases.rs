//! Many cases of one property, and the smallest one that breaks it.
//!
//! proptest is here without its `std` (see Cargo.toml), so catching panics, seeds and the number of cases are ours.
//! `HOSTILE_CASES=100000 HOSTILE_SEED=7 cargo test --test it hostile::` looks further, and elsewhere.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde::Serialize;

/// Hold `property` against this many values. Whatever panics in it, an assertion or the code under test, is a breach.
#[track_caller]
pub fn holds<S: Strategy>(cases: u32, values: S, property: impl Fn(S::Value))
where
    S::Value: Debug + Serialize,
{
    let cases = number("HOSTILE_CASES").map_or(cases, |cases| cases.try_into().expect("a u32"));
    let config = Config { cases, max_shrink_iters: 20_000, ..Config::default() };
    let seed = number("HOSTILE_SEED").unwrap_or_default();
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &[SALT.to_le_bytes(), seed.to_le_bytes()].concat());
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&values, |value| quietly(|| property(value)).map_err(TestCaseError::fail));
    let replay = format!("HOSTILE_SEED={seed} HOSTILE_CASES={cases}");
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => {
            let value = serde_json::to_string_pretty(&value).expect("plain data");
            panic!("{why}\nthe smallest input found, as JSON ({replay}):\n{value}");
        }
        Err(aborted) => panic!("{aborted} ({replay})"),
    }
}

/// No seed may be all zeros.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, expected a number")))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a panic said, and where, instead of a line on standard error for each step of the shrinking.
fn quietly(run: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| match QUIET.get() {
            true => LAST.set(said(info)),
            false => loud(info),
        }));
    });
    QUIET.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    outcome.map_err(|_| LAST.take())
}

fn said(info: &PanicHookInfo) -> String {
    let payload: &dyn Any = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    match info.location() {
        Some(place) => format!("{}:{}: {text}", place.file(), place.line()),
        None => text.to_owned(),
    }
}

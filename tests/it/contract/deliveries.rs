//! What a delivery is given of time and chance.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use elephant_core::ports::{Clock, Tokens};
use jiff::SignedDuration;

use super::Stage;
use super::samples::all;

pub async fn the_clock_never_goes_back(stage: &impl Stage) {
    let (clock, _) = stage.delivery();
    let mut before = clock.now();
    for _ in 0..3 {
        let now = clock.now();
        assert!(now >= before, "{before} and then {now}");
        before = now;
        clock.sleep(Duration::from_millis(2)).await;
    }
}

pub async fn a_sleep_is_as_long_as_was_asked_for(stage: &impl Stage) {
    let (clock, _) = stage.delivery();
    let before = clock.now();
    clock.sleep(Duration::from_millis(20)).await;
    let slept = clock.now().duration_since(before);
    // The wall clock may be set a little while a timer runs.
    assert!(slept >= SignedDuration::from_millis(19), "it slept for {slept}");
}

pub async fn sleepers_wake_in_their_order(stage: &impl Stage) {
    let (clock, _) = stage.delivery();
    let woken = RefCell::new(Vec::new());
    let sleep = |ms| {
        let (clock, woken) = (&clock, &woken);
        async move {
            clock.sleep(Duration::from_millis(ms)).await;
            woken.borrow_mut().push(ms);
        }
    };
    all([60, 5, 30].map(sleep)).await;
    assert_eq!(*woken.borrow(), [5, 30, 60]);
}

/// As EC2 wants them, and as the record keeps them.
pub async fn no_token_comes_twice(stage: &impl Stage) {
    let mut seen = BTreeSet::new();
    for (_, tokens) in [stage.delivery(), stage.delivery(), stage.delivery()] {
        for _ in 0..50 {
            let token = tokens.token().to_string();
            assert!((1..=64).contains(&token.len()), "{token:?}");
            assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{token:?}");
            assert!(seen.insert(token.clone()), "{token} comes twice");
        }
    }
}

pub async fn no_two_deliveries_have_one_owner(stage: &impl Stage) {
    let owners = (0..20).map(|_| stage.delivery().1.owner().to_string());
    let owners: BTreeSet<String> = owners.collect();
    assert_eq!(owners.len(), 20, "{owners:?}");
    assert!(!owners.contains(""));
}

pub async fn a_back_off_is_waited_in_part_or_in_full(stage: &impl Stage) {
    let (_, tokens) = stage.delivery();
    for _ in 0..100 {
        let jitter = tokens.jitter();
        assert!((0.0..=1.0).contains(&jitter), "{jitter}");
    }
}

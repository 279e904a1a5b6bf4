//! What a verb needs from its process: the time, and random values.

use std::future::Future;
use std::time::Duration;

use elephant_core::machine::Token;
use elephant_core::ports::{Clock, Tokens};
use elephant_core::record::Owner;
use jiff::Timestamp;
use uuid::Uuid;

/// The system's clock.
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn within<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(duration, future).await.ok()
    }
}

/// Random tokens, and random jitter.
pub struct RandomTokens;

impl Tokens for RandomTokens {
    fn token(&self) -> Token {
        Token::from(Uuid::new_v4().to_string())
    }

    fn owner(&self) -> Owner {
        Owner::from(Uuid::new_v4().to_string())
    }

    fn jitter(&self) -> f64 {
        fastrand::f64()
    }
}

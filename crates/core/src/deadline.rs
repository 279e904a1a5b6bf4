//! A deadline, and the requests that may still begin before it.
//!
//! All verbs use it. A request that may be repeated (AWS throttled it, its answer was lost, or it came too early) is
//! repeated after a random pause, as long as its answer can still come in time. So is a look at something that a verb waits
//! for. RunInstances is not handled here: the launch protocol repeats it.

use std::cell::Cell;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::info;

use crate::error::{AwsError, Class, Error, Service};
use crate::plan;
use crate::ports::{Clock, Tokens};
use crate::timing::{Timing, after};

/// The first pause between two tries of the same request, and the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub ceiling: Duration,
}

impl Backoff {
    /// DynamoDB refills its buckets quickly.
    pub const TABLE: Backoff = Backoff { first: Duration::from_millis(100), ceiling: Duration::from_secs(2) };
    /// EC2 did not answer, or does not show something yet.
    pub const EC2: Backoff = Backoff { first: Duration::from_millis(500), ceiling: Duration::from_secs(8) };
    /// EC2 throttled RunInstances. The account's bucket refills twice a second, and on the hour every delivery waits for
    /// it. With longer pauses EC2 refuses fewer requests, but leaves more tokens unused at the end, when few deliveries
    /// are left. This maximum is good for some five hundred meetings (`benches/hour.rs`).
    pub const LAUNCH: Backoff =
        Backoff { first: Duration::from_millis(500), ceiling: Duration::from_secs(45) };
    /// The look-ups of a new function have a separate bucket, ten times as fast, for three requests that the SDK
    /// repeats.
    pub const LOOK_UP: Backoff = Backoff { first: Duration::from_secs(2), ceiling: Duration::from_secs(60) };
    /// EventBridge Scheduler answers a burst of writes with 429, and recovers within seconds.
    pub const SCHEDULER: Backoff =
        Backoff { first: Duration::from_millis(200), ceiling: Duration::from_secs(4) };

    /// The pause after this many tries; `fraction` is the random part of it, from 0 to 1.
    pub fn pause(self, tries: u32, fraction: f64) -> Duration {
        plan::backoff(tries, fraction, self.first, self.ceiling)
    }
}

/// The time by which a delivery must answer, and the clock for its pauses.
pub struct Deadline<'d, C, T> {
    pub clock: &'d C,
    pub tokens: &'d T,
    pub at: Timestamp,
}

impl<C: Clock, T: Tokens> Deadline<'_, C, T> {
    /// Whether something that takes this long ends in time.
    pub fn fits(&self, duration: Duration) -> bool {
        after(self.clock.now(), duration) <= self.at
    }

    /// Send a request that may be repeated, with its service's pauses, as long as there is time.
    pub async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        timing: &Timing,
        request: impl Fn() -> F,
    ) -> Result<R, AwsError> {
        let (limit, backoff) = manner(service, timing);
        self.retry(limit, backoff, || true, request).await
    }

    /// The same, but with `times` tries at most.
    pub async fn ask_times<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        times: u32,
        service: Service,
        timing: &Timing,
        request: impl Fn() -> F,
    ) -> Result<R, AwsError> {
        let (limit, backoff) = manner(service, timing);
        let left = Cell::new(times);
        let wanted = || {
            left.set(left.get().saturating_sub(1));
            left.get() > 0
        };
        self.retry(limit, backoff, wanted, request).await
    }

    /// Send a request and repeat it while it is `wanted`. It takes at least `limit` if its answer has pages.
    pub async fn retry<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        limit: Duration,
        backoff: Backoff,
        wanted: impl Fn() -> bool,
        request: impl Fn() -> F,
    ) -> Result<R, AwsError> {
        if !self.fits(limit) {
            return Err(not_sent());
        }
        let mut tries = 0;
        loop {
            let left = self.at.duration_since(self.clock.now()).try_into().unwrap_or_default();
            let answer = self.clock.within(left, request()).await;
            let error = match answer.unwrap_or_else(|| Err(not_answered())) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            let pause = least_pause(&error) + backoff.pause(tries, self.tokens.jitter());
            let again = matches!(error.class, Class::Throttled | Class::Ambiguous | Class::Propagating);
            if !again || !self.fits(pause + limit) {
                return Err(error);
            }
            info!(%error, tries, "the same request is sent again");
            self.clock.sleep(pause).await;
            if !wanted() {
                return Err(error);
            }
        }
    }

    /// Look again and again, with the pauses of [`Backoff::EC2`], until a look breaks or there is no time for another
    /// one. The result is that of the last look. `limit` is how long one look may take.
    pub async fn until<R, W>(
        &self,
        limit: Duration,
        look: impl AsyncFn() -> Result<ControlFlow<R, W>, Error>,
    ) -> Result<ControlFlow<R, W>, Error> {
        self.until_by(limit, &Cell::new(Timestamp::MIN), look).await
    }

    /// The same, but one of the looks is taken right after `moment`, if that is still to come.
    pub async fn until_by<R, W>(
        &self,
        limit: Duration,
        moment: &Cell<Timestamp>,
        look: impl AsyncFn() -> Result<ControlFlow<R, W>, Error>,
    ) -> Result<ControlFlow<R, W>, Error> {
        let mut tries = 0;
        loop {
            let seen = look().await?;
            if seen.is_break() {
                return Ok(seen);
            }
            tries += 1;
            let mut pause = Backoff::EC2.pause(tries, self.tokens.jitter());
            if let Ok(left) = Duration::try_from(moment.get().duration_since(self.clock.now())) {
                pause = pause.min(left + Duration::from_millis(100));
            }
            if !self.fits(pause + limit) {
                return Ok(seen);
            }
            self.clock.sleep(pause).await;
        }
    }
}

/// How long an answer, or one page of it, may take, and the pauses between the tries.
fn manner(service: Service, timing: &Timing) -> (Duration, Backoff) {
    match service {
        Service::DynamoDb => (timing.table, Backoff::TABLE),
        Service::Ec2 | Service::Ssm => (timing.ec2, Backoff::EC2),
        Service::Scheduler => (timing.scheduler, Backoff::SCHEDULER),
    }
}

fn not_answered() -> AwsError {
    AwsError {
        action: "the last request",
        class: Class::Ambiguous,
        code: None,
        message: "no complete answer before the deadline".to_owned(),
        request_id: None,
        advice: String::new(),
    }
}

/// EC2 says how long to wait between two snapshots of a volume, [at least][codes]. The same wait is right when too many
/// are being made.
///
/// [codes]: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
fn least_pause(error: &AwsError) -> Duration {
    match error.code() {
        "SnapshotCreationPerVolumeRateExceeded"
        | "ConcurrentSnapshotLimitExceeded"
        | "PendingSnapshotLimitExceeded" => Duration::from_secs(15),
        _ => Duration::ZERO,
    }
}

/// The error of a request that is not sent, because its answer could come too late.
pub fn not_sent() -> AwsError {
    AwsError {
        action: "the next request",
        class: Class::NotSent,
        code: None,
        message: "not sent, because its answer could come after the deadline".to_owned(),
        request_id: None,
        advice: String::new(),
    }
}

/// The time to post the answer at the end of a delivery.
const ANSWER: Duration = Duration::from_millis(500);

/// A deadline this long ago counts as none: `cargo lambda watch` sends a duration in place of Lambda's epoch time.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(1);

/// When the delivery must be done, from Lambda's header in milliseconds since the epoch.
pub fn from_header(header_ms: u64, now: Timestamp, timing: &Timing) -> Timestamp {
    let stated = i64::try_from(header_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match stated {
        Some(deadline) if now.duration_since(deadline) < LONG_AGO => {
            deadline.checked_sub(SignedDuration::try_from(ANSWER).unwrap_or_default()).unwrap_or(deadline)
        }
        _ => after(now, timing.delivery),
    }
}

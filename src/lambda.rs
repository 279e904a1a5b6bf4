//! The door: what Lambda brings in becomes a request with a deadline, and an [`Error`] becomes what Lambda records.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, Service, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Span, error, field, info_span};
use uuid::Uuid;

use crate::error::Error;
use crate::machine::Token;
use crate::metrics::{Ending, Meter, Outcome};
use crate::needs::{Clock, Tokens};
use crate::record::Owner;
use crate::timing::{Timing, after};

/// What posting the answer may take, at the end of a delivery.
const ANSWER: Duration = Duration::from_millis(500);

/// A deadline this long ago is none: `cargo lambda watch` sends a duration where Lambda sends an epoch time.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(1);

/// JSON or text, and how much of it, as Lambda's logging settings say.
pub fn start_logging() {
    lambda_runtime::tracing::init_default_subscriber();
}

/// Answer every event that comes with `verb`, which gets the event and the time by which it has to be answered. Every
/// line of the log carries the request id and, once the verb has said [`meeting`], the meeting's; at the end of each
/// delivery stand its metrics.
pub async fn serve<R: Serialize + Outcome, F: Future<Output = Result<R, Error>>>(
    name: &'static str,
    timing: &Timing,
    meter: &Meter,
    verb: impl Fn(Value, Timestamp) -> F,
) -> Result<(), lambda_runtime::Error> {
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let started = Timestamp::now();
        // Boxed, for the compiler gives up on the layout of a verb inside all of the runtime's layers.
        let answer = Box::pin(verb(event.payload, deadline(event.context.deadline, started, timing))).await;
        emit(&meter.report(Ending::of(&answer), started, Timestamp::now()));
        answer
    });
    // A returned error is logged by the runtime, outside the handler: the span has to be around both.
    Runtime::new(handler).layer(layer_fn(|inner| InSpan { inner, name })).run().await
}

/// Answer every event with what is wrong with the configuration. A function that ends at the start would be reported as
/// "Runtime exited" and nothing else; one that answers puts the problems where the operator looks.
pub async fn refuse<R: Serialize + Outcome>(
    name: &'static str,
    timing: &Timing,
    meter: &Meter,
    problem: Error,
) -> Result<(), lambda_runtime::Error> {
    error!(error = %problem.chain(), "the function cannot work");
    serve(name, timing, meter, |_, _| async { Err::<R, _>(problem.clone()) }).await
}

/// Gives every delivery a span of its own, in which the verb and the runtime's handling of its result log.
struct InSpan<S> {
    inner: S,
    name: &'static str,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for InSpan<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let request_id = &invocation.context.request_id;
        let span = info_span!("delivery", verb = self.name, request_id, meeting_id = field::Empty);
        let future = span.in_scope(|| self.inner.call(invocation));
        future.instrument(span)
    }
}

/// Write a delivery's metrics, whole lines of the log, which CloudWatch reads there.
fn emit(lines: &str) {
    // Standard output is a pipe of Lambda's; where it is closed, nobody is left to be told.
    let _ = std::io::stdout().lock().write_all(lines.as_bytes());
}

/// From here on this delivery's log lines name its meeting.
pub fn meeting(id: &crate::meeting::MeetingId) {
    Span::current().record("meeting_id", id.as_str());
}

/// When the delivery has to be done, from Lambda's header in milliseconds of the epoch.
pub fn deadline(header_ms: u64, now: Timestamp, timing: &Timing) -> Timestamp {
    let stated = i64::try_from(header_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match stated {
        Some(deadline) if now.duration_since(deadline) < LONG_AGO => {
            deadline.checked_sub(SignedDuration::try_from(ANSWER).unwrap_or_default()).unwrap_or(deadline)
        }
        _ => after(now, timing.delivery),
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Diagnostic { error_type: error.kind.as_str().to_owned(), error_message: error.chain() }
    }
}

/// The clock on the wall.
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
        Token(Uuid::new_v4().to_string())
    }

    fn owner(&self) -> Owner {
        Owner(Uuid::new_v4().to_string())
    }

    fn jitter(&self) -> f64 {
        fastrand::f64()
    }
}

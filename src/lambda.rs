//! The door to Lambda: an invocation becomes a request with a deadline, and an [`Error`] what Lambda records.
//!
//! We have our own loop over the Runtime API. The loop of `lambda_runtime` 1.5 ends the process at a client context of
//! a shape that it does not know, which any caller may send (aws-lambda-rust-runtime#382), answers an event that is no
//! JSON before a handler sees it, and logs whole events at TRACE. We use its types, its subscriber and its client.

mod runtime_api;

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use lambda_runtime::tracing::subscriber;
use serde::Serialize;
use serde_json::Value;
use tracing::instrument::Instrument;
use tracing::level_filters::LevelFilter;
use tracing::{Span, error, field, info_span};

use crate::metrics::{Ending, Meter};
use elephant_aws::access::variable;
use elephant_core::answer::Outcome;
use elephant_core::config::{self, LogFormat};
use elephant_core::deadline;
use elephant_core::error::Error;
use elephant_core::event;
use elephant_core::timing::Timing;
use runtime_api::RuntimeApi;

/// Start the log as JSON or text, with the level of Lambda's logging settings. Text has no colours, because a log group
/// shows them as escape sequences. No line below INFO is logged: none of them is ours, and the libraries show
/// whole events and requests there.
pub fn start_logging() {
    let logging = config::logging(variable);
    let level = logging.level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let lines = subscriber::fmt()
        .with_target(false)
        .without_time()
        .with_max_level(level.min(LevelFilter::INFO))
        .with_ansi(false);
    match logging.format {
        LogFormat::Json => lines.json().init(),
        LogFormat::Text => lines.init(),
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        error!(place, "a panic: {}", words(panic.payload()));
    }));
}

/// The message of a panic, if it is a literal of the program. A message that was put together may hold any values.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&'static str>().unwrap_or(&"its words are not shown, for they may hold values")
}

/// Answer every event with `verb`, which gets the event and its deadline. Every line of the log carries the request id
/// and, once the verb has called [`meeting`], the meeting's id; each delivery ends with its metrics. Returns only if
/// Lambda's own API fails.
pub async fn serve<R: Serialize + Outcome, F: Future<Output = Result<R, Error>>>(
    name: &'static str,
    timing: &Timing,
    meter: &Meter,
    verb: impl Fn(Value, Timestamp) -> F,
) -> Result<(), lambda_runtime::Error> {
    let address = config::runtime_api(variable)
        .ok_or("AWS_LAMBDA_RUNTIME_API is not set: this program runs in AWS Lambda")?;
    let api = RuntimeApi::at(&address)?;
    loop {
        let invocation = api.next().await?;
        let request_id = &invocation.request_id;
        let span = info_span!("delivery", verb = name, request_id, meeting_id = field::Empty);
        let delivery = async {
            let started = Timestamp::now();
            let answer = match event::parse(&invocation.event) {
                Ok(event) => {
                    Box::pin(verb(event, deadline::from_header(invocation.deadline_ms, started, timing)))
                        .await
                }
                Err(error) => Err(error),
            };
            emit(&meter.report(Ending::of(&answer), started, Timestamp::now()));
            // The only line about the error that a person reads.
            answer.inspect_err(|error| error!("{error:?}")).map_err(diagnostic)
        };
        let posted = async {
            match caught(delivery).await {
                Ok(answer) => api.succeeded(&invocation, &answer).await,
                Err(diagnostic) => api.failed(&invocation, &diagnostic).await,
            }
        };
        posted.instrument(span).await?;
    }
}

/// A panic in our code ends its delivery, and not the process.
async fn caught<R>(delivery: impl Future<Output = Result<R, Diagnostic>>) -> Result<R, Diagnostic> {
    let mut delivery = pin!(delivery);
    let polled = poll_fn(|context| {
        let poll = catch_unwind(AssertUnwindSafe(|| delivery.as_mut().poll(context)));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    });
    polled.await.unwrap_or_else(|panic| {
        Err(Diagnostic {
            error_type: "Panic".to_owned(),
            error_message: format!(
                "{}: report this; it is a fault of ours, and the log has its place",
                words(&*panic)
            ),
        })
    })
}

/// Answer every event with what is wrong with the configuration. If the function ended at its start, Lambda would
/// report only "Runtime exited"; with these answers the operator sees the problems.
pub async fn refuse<R: Serialize + Outcome>(
    name: &'static str,
    timing: &Timing,
    meter: &Meter,
    problem: Error,
) -> Result<(), lambda_runtime::Error> {
    error!(error = %problem.chain(), "the function cannot work");
    serve(name, timing, meter, |_, _| async { Err::<R, _>(problem.clone()) }).await
}

/// Write a delivery's metrics as whole lines of the log, where CloudWatch reads them.
fn emit(lines: &str) {
    // Standard output is a pipe of Lambda's. If it is closed, there is nobody to tell.
    let _ = std::io::stdout().lock().write_all(lines.as_bytes());
}

/// From here on this delivery's log lines name its meeting.
pub fn meeting(id: &elephant_core::meeting::MeetingId) {
    Span::current().record("meeting_id", id.as_str());
}

/// What Lambda records of the error.
pub fn diagnostic(error: Error) -> Diagnostic {
    Diagnostic { error_type: error.kind.as_str().to_owned(), error_message: error.chain() }
}

//! The other end of the wire: a small HTTP server that stands where AWS stands, for the tests of the adapters.
//!
//! It plays the answers that a test has scripted, action by action, and keeps what it was asked. An action whose script
//! has run out gets its last answer again; one without a script is told so.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Response, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The request id that every answer carries.
pub const REQUEST_ID: &str = "8a2f1c7e-4b1d-4f0a-9d57-2f6c0f1b9a10";

#[derive(Clone, Debug)]
pub enum Answer {
    /// A status and a body.
    Reply(u16, String),
    /// None, for as long as the client waits.
    Silence,
    /// The connection is closed before an answer.
    Cut,
    /// The connection is closed within the body.
    Torn(u16, String),
    /// A status and a body, after this long.
    Late(Duration, u16, String),
    /// These bytes, whether or not they are HTTP; then the connection is closed.
    Raw(&'static str),
}

#[derive(Clone, Debug)]
pub struct Request {
    /// As AWS names it: `RunInstances`, `GetItem`.
    pub action: String,
    /// Path and query.
    pub target: String,
    pub body: String,
}

pub struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: BTreeMap<String, VecDeque<Answer>>,
    requests: Vec<Request>,
}

impl Wire {
    /// Listens until the test's runtime ends.
    pub async fn start() -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the port is bound");
        let state = Arc::<Mutex<State>>::default();
        let wire = Wire { address, state: state.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, state.clone()));
            }
        });
        wire
    }

    /// A wire on which this action is answered in this way.
    pub async fn answering(action: &str, answers: impl IntoIterator<Item = Answer>) -> Wire {
        let wire = Wire::start().await;
        wire.script(action, answers);
        wire
    }

    pub fn script(&self, action: &str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).scripts.insert(action.to_owned(), answers.into_iter().collect());
    }

    /// What was asked of this action, in order.
    pub fn requests(&self, action: &str) -> Vec<Request> {
        lock(&self.state).requests.iter().filter(|request| request.action == action).cloned().collect()
    }

    /// How often each action was asked for.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &lock(&self.state).requests {
            *counts.entry(request.action.clone()).or_default() += 1;
        }
        counts
    }

    /// The one request that there was, of any action.
    pub fn only_request(&self) -> Request {
        let requests = lock(&self.state).requests.clone();
        <[Request; 1]>::try_from(requests)
            .map(|[only]| only)
            .unwrap_or_else(|all| panic!("not one request: {all:#?}"))
    }

    /// An SDK whose AWS is this wire. Its retries are the usual ones, but nobody waits for them.
    pub fn sdk(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-west-2"))
            .endpoint_url(format!("http://{}", self.address))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "id", "secret", None, None, "tests",
            )))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .build()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection, up to its end.
async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (raw, mut asked_for) = mpsc::unbounded_channel();
    let service = service_fn(move |request| serve(state.clone(), raw.clone(), request));
    let mut connection = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let said: &str = tokio::select! {
        _ = &mut connection => return,
        Some(said) = asked_for.recv() => said,
    };
    let stream = connection.into_parts().io.into_inner();
    if stream.writable().await.is_ok() {
        let _ = stream.try_write(said.as_bytes());
    }
}

async fn serve(
    state: Arc<Mutex<State>>,
    raw: mpsc::UnboundedSender<&'static str>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Played>, io::Error> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| target.rsplit('.').next()).map(str::to_owned);
    let of_path = rest_action(&request);
    let path = request.uri().to_string();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let action = target.or(of_path).or_else(|| form_action(&body)).unwrap_or_default();
    let answer = {
        let mut state = lock(&state);
        state.requests.push(Request { action: action.clone(), target: path, body });
        let script = state.scripts.get_mut(&action);
        script.and_then(|script| if script.len() > 1 { script.pop_front() } else { script.front().cloned() })
    };
    match answer.unwrap_or_else(|| Answer::Reply(400, format!("no answer is scripted for {action:?}"))) {
        Answer::Reply(status, body) => play(status, vec![Moment::Data(body)]),
        Answer::Torn(status, body) => play(status, vec![Moment::Data(body), Moment::Flush, Moment::Cut]),
        Answer::Cut => Err(io::Error::other("cut")),
        Answer::Late(pause, status, body) => {
            tokio::time::sleep(pause).await;
            play(status, vec![Moment::Data(body)])
        }
        Answer::Raw(said) => {
            let _ = raw.send(said);
            std::future::pending().await
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// The action of EventBridge Scheduler that stands in method and path.
fn rest_action(request: &hyper::Request<Incoming>) -> Option<String> {
    request.uri().path().strip_prefix("/schedules/")?;
    let verb = match request.method().as_str() {
        "POST" => "Create",
        "GET" => "Get",
        "PUT" => "Update",
        _ => "Delete",
    };
    Some(format!("{verb}Schedule"))
}

/// The action of a form: `Action=RunInstances&…`.
fn form_action(body: &str) -> Option<String> {
    body.split('&').find_map(|field| field.strip_prefix("Action=")).map(str::to_owned)
}

fn play(status: u16, moments: Vec<Moment>) -> Result<Response<Played>, io::Error> {
    Response::builder()
        .status(status)
        .header("x-amzn-RequestId", REQUEST_ID)
        .body(Played(moments.into()))
        .map_err(io::Error::other)
}

/// A body, moment by moment.
struct Played(VecDeque<Moment>);

enum Moment {
    Data(String),
    /// What there is so far goes out.
    Flush,
    Cut,
}

impl Body for Played {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Moment::Data(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Moment::Cut) => Poll::Ready(Some(Err(io::Error::other("cut")))),
            Some(Moment::Flush) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

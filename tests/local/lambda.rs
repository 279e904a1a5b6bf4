//! Lambda for one function, on a laptop: the Runtime API that the real binary talks to, with true deadlines, and the
//! Invoke API in front of it, which `cargo lambda invoke` and `aws lambda invoke` speak.
//!
//! One [`Lambda`] is one execution environment: it hands its process one event at a time, kills it at the deadline as
//! Lambda does, and starts another for the next event if it is gone. Not handled here: retries, concurrency (start
//! several) and asynchronous invocation.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

use super::process::Process;

/// How long a process may take from its start to its first request for an event. Lambda gives it 10 s, and a cloud's
/// machine; a laptop may be busy.
const INIT: Duration = Duration::from_secs(30);
/// How often an invocation looks whether its process still lives.
const LOOK: Duration = Duration::from_millis(10);

/// What runs, and how.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub binary: PathBuf,
    pub environment: Vec<(String, String)>,
    pub timeout: Duration,
    /// The log is printed as it comes, each line after this.
    pub echo: Option<&'static str>,
}

/// How an invocation ended, as Lambda would report it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Answer(Value),
    Error {
        error_type: String,
        error_message: String,
    },
    TimedOut,
    /// The process ended before it answered.
    Exited(String),
}

impl Outcome {
    /// The answer of a delivery that must succeed.
    pub fn answer(self) -> Value {
        match self {
            Outcome::Answer(answer) => answer,
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    /// The error of a delivery that must fail: its `errorType` and message.
    pub fn error(self) -> (String, String) {
        match self {
            Outcome::Error { error_type, error_message } => (error_type, error_message),
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// When what happened, for who measures. Each is the last of its kind, but for the first request for an event.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub started: Instant,
    pub first_asked: Option<Instant>,
    pub asked: Option<Instant>,
    pub handed_out: Option<Instant>,
    pub answered: Option<Instant>,
}

impl Moments {
    fn starting_now() -> Moments {
        Moments { started: Instant::now(), first_asked: None, asked: None, handed_out: None, answered: None }
    }
}

#[derive(Clone)]
pub struct Lambda {
    environment: Arc<Environment>,
}

struct Environment {
    function: Function,
    address: SocketAddr,
    /// Held for the whole of an invocation: one event at a time.
    turn: Mutex<()>,
    process: Mutex<Option<Arc<Process>>>,
    /// The process has asked for an event.
    ready: AtomicBool,
    moments: Mutex<Moments>,
    events: Mutex<VecDeque<Event>>,
    event_came: Notify,
    pending: Mutex<HashMap<String, mpsc::Sender<Progress>>>,
    log: Mutex<Vec<String>>,
    /// The threads that read what the processes write.
    readers: Mutex<Vec<thread::JoinHandle<()>>>,
}

struct Event {
    request_id: String,
    payload: Bytes,
    /// Beside those of every event.
    headers: Vec<(&'static str, String)>,
}

/// What the Runtime API sees of an invocation.
enum Progress {
    HandedOut(Instant),
    Done(Outcome),
}

impl Lambda {
    /// Listen on 127.0.0.1, on this port or (0) a free one. The process starts with the first event.
    pub fn start(function: Function, port: u16) -> std::io::Result<Lambda> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let environment = Arc::new(Environment {
            function,
            address: listener.local_addr()?,
            turn: Mutex::default(),
            process: Mutex::default(),
            ready: AtomicBool::new(false),
            moments: Mutex::new(Moments::starting_now()),
            events: Mutex::default(),
            event_came: Notify::new(),
            pending: Mutex::default(),
            log: Mutex::default(),
            readers: Mutex::default(),
        });
        let served = environment.clone();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, &served))
        });
        Ok(Lambda { environment })
    }

    pub fn address(&self) -> SocketAddr {
        self.environment.address
    }

    pub fn name(&self) -> &str {
        &self.environment.function.name
    }

    /// Deliver one event and wait for its end.
    pub fn invoke(&self, payload: &Value) -> Outcome {
        self.invoke_with(payload.to_string().as_bytes(), &[])
    }

    /// The same with any bytes, and with headers that whoever invokes has a say in.
    pub fn invoke_with(&self, payload: &[u8], headers: &[(&'static str, &str)]) -> Outcome {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        self.environment.invoke(Bytes::copy_from_slice(payload), headers.collect())
    }

    /// Every line that has come so far. What a function logs before its answer may come after it.
    pub fn log(&self) -> Vec<String> {
        locked(&self.environment.log).clone()
    }

    /// Every line, to the last: the process is ended, and its log read to the end.
    pub fn whole_log(&self) -> Vec<String> {
        self.kill();
        for reader in locked(&self.environment.readers).drain(..) {
            reader.join().expect("the log is read");
        }
        self.log()
    }

    /// Start the process, so that the next delivery is a warm one.
    pub fn warm_up(&self) {
        let process = self.environment.ensure_process();
        let start = Instant::now();
        while !self.environment.ready.load(SeqCst) {
            let waits = start.elapsed() < INIT && process.ended().is_none();
            assert!(waits, "the function asks for no event: {:#?}", self.whole_log());
            thread::sleep(LOOK);
        }
    }

    /// The number of the process, if one was started.
    pub fn process_id(&self) -> Option<u32> {
        locked(&self.environment.process).as_ref().map(|process| process.id())
    }

    pub fn moments(&self) -> Moments {
        *locked(&self.environment.moments)
    }

    /// SIGKILL, whatever it is doing; an invocation under way ends as [`Outcome::Exited`].
    pub fn kill(&self) {
        let process = locked(&self.environment.process).clone();
        if let Some(process) = process {
            process.kill();
        }
    }
}

impl Environment {
    fn invoke(self: &Arc<Self>, payload: Bytes, headers: Vec<(&'static str, String)>) -> Outcome {
        let _turn = locked(&self.turn);
        let process = self.ensure_process();
        let request_id = Uuid::new_v4().to_string();
        let (sender, progress) = mpsc::channel();
        locked(&self.pending).insert(request_id.clone(), sender);
        locked(&self.events).push_back(Event { request_id: request_id.clone(), payload, headers });
        self.event_came.notify_one();
        let outcome = self.wait(&process, &progress);
        locked(&self.pending).remove(&request_id);
        locked(&self.events).clear();
        if matches!(outcome, Outcome::TimedOut | Outcome::Exited(_)) {
            // Lambda ends the environment too; the next event gets a new one.
            process.kill();
            *locked(&self.process) = None;
        }
        outcome
    }

    fn wait(&self, process: &Process, progress: &mpsc::Receiver<Progress>) -> Outcome {
        let mut deadline = Instant::now() + INIT;
        loop {
            match progress.recv_timeout(LOOK) {
                Ok(Progress::HandedOut(at)) => deadline = at + self.function.timeout,
                Ok(Progress::Done(outcome)) => return outcome,
                Err(_) if Instant::now() > deadline => return Outcome::TimedOut,
                Err(_) => {
                    if let Some(status) = process.ended() {
                        return Outcome::Exited(status.to_string());
                    }
                }
            }
        }
    }

    fn ensure_process(self: &Arc<Self>) -> Arc<Process> {
        let mut current = locked(&self.process);
        if let Some(process) = current.as_ref().filter(|process| process.ended().is_none()) {
            return process.clone();
        }
        self.ready.store(false, SeqCst);
        let process = Arc::new(self.start_process());
        *current = Some(process.clone());
        process
    }

    fn start_process(self: &Arc<Self>) -> Process {
        let function = &self.function;
        let mut command = Command::new(&function.binary);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", self.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
            .env("_HANDLER", &function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .envs(function.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        *locked(&self.moments) = Moments::starting_now();
        let process = Process::start(&mut command)
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", function.binary.display()));
        let keep = |output: Option<Box<dyn Read + Send>>| {
            let (environment, output) = (Arc::downgrade(self), output.expect("it is piped"));
            let reader = thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let Some(environment) = environment.upgrade() else { return };
                    if let Some(prefix) = environment.function.echo {
                        eprintln!("{prefix}{line}");
                    }
                    locked(&environment.log).push(line);
                }
            });
            locked(&self.readers).push(reader);
        };
        keep(process.take_stdout().map(|output| Box::new(output) as _));
        keep(process.take_stderr().map(|output| Box::new(output) as _));
        process
    }

    /// The Runtime API's `next`: waits as long as it takes.
    async fn next(&self) -> Response<Full<Bytes>> {
        let now = Instant::now();
        self.moment(|moments| {
            moments.first_asked.get_or_insert(now);
            moments.asked = Some(now);
        });
        self.ready.store(true, SeqCst);
        let event = loop {
            // The guard must not live across the wait.
            let event = locked(&self.events).pop_front();
            match event {
                Some(event) => break event,
                None => self.event_came.notified().await,
            }
        };
        let now = Instant::now();
        self.moment(|moments| moments.handed_out = Some(now));
        self.progress(&event.request_id, Progress::HandedOut(now));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let response = event
            .headers
            .iter()
            .fold(Response::builder(), |response, (name, value)| response.header(*name, value.as_bytes()));
        response
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &event.request_id)
            .header("lambda-runtime-deadline-ms", (now + self.function.timeout).as_millis().to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:us-west-2:123456789012:function:{}", self.function.name),
            )
            .body(Full::from(event.payload))
            .expect("the headers can be sent")
    }

    fn moment(&self, set: impl FnOnce(&mut Moments)) {
        set(&mut locked(&self.moments));
    }

    fn progress(&self, request_id: &str, progress: Progress) {
        if let Some(sender) = locked(&self.pending).get(request_id) {
            let _ = sender.send(progress);
        }
    }
}

async fn serve(listener: std::net::TcpListener, environment: &Arc<Environment>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let environment = environment.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let environment = environment.clone();
                async move { Ok::<_, Infallible>(route(&environment, request).await) }
            });
            // An error here is a process that went away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn route(environment: &Arc<Environment>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = request.method().clone();
    match (method, &path[..]) {
        (Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => environment.next().await,
        (Method::POST, ["2018-06-01", "runtime", "invocation", id, "response"]) => {
            environment.moment(|moments| moments.answered = Some(Instant::now()));
            environment.progress(id, Progress::Done(Outcome::Answer(body(request).await)));
            reply(StatusCode::ACCEPTED, &Value::Null)
        }
        (Method::POST, ["2018-06-01", "runtime", "invocation", id, "error"]) => {
            let error = body(request).await;
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            let outcome =
                Outcome::Error { error_type: text("errorType"), error_message: text("errorMessage") };
            environment.progress(id, Progress::Done(outcome));
            reply(StatusCode::ACCEPTED, &Value::Null)
        }
        (Method::POST, ["2015-03-31", "functions", _, "invocations"]) => {
            let (event, environment) = (bytes(request).await, environment.clone());
            let outcome = tokio::task::spawn_blocking(move || environment.invoke(event, Vec::new())).await;
            invoked(outcome.unwrap_or_else(|panic| Outcome::Exited(panic.to_string())))
        }
        _ => reply(StatusCode::NOT_FOUND, &json!({"message": "this is neither the Runtime API nor Invoke"})),
    }
}

/// Invoke answers 200 even for a function that failed, and says so in a header.
fn invoked(outcome: Outcome) -> Response<Full<Bytes>> {
    let (error_type, error_message) = match outcome {
        Outcome::Answer(answer) => return reply(StatusCode::OK, &answer),
        Outcome::Error { error_type, error_message } => (error_type, error_message),
        Outcome::TimedOut => {
            ("Sandbox.Timedout".to_owned(), "the function was ended at its deadline".to_owned())
        }
        Outcome::Exited(status) => {
            ("Runtime.ExitError".to_owned(), format!("the process ended with {status}"))
        }
    };
    let mut response =
        reply(StatusCode::OK, &json!({"errorType": error_type, "errorMessage": error_message}));
    response
        .headers_mut()
        .insert("x-amz-function-error", hyper::header::HeaderValue::from_static("Unhandled"));
    response
}

async fn body(request: Request<Incoming>) -> Value {
    serde_json::from_slice(&bytes(request).await).unwrap_or(Value::Null)
}

async fn bytes(request: Request<Incoming>) -> Bytes {
    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! An AWS that answers as late as the real one, over TLS: two addresses, one for DynamoDB and one for EC2, with canned
//! answers and a list of what was asked when. The meeting is new at each reading, so that each delivery launches.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What each answer takes.
pub const READ: Duration = Duration::from_millis(5);
pub const WRITE: Duration = Duration::from_millis(6);
pub const RUN_INSTANCES: Duration = Duration::from_millis(1300);
pub const DESCRIBE: Duration = Duration::from_millis(90);

/// A request, from its arrival until it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    action: String,
    known: bool,
    pub from: Instant,
    pub until: Instant,
}

pub struct Aws {
    pub dynamodb: String,
    pub ec2: String,
    calls: Arc<Calls>,
}

/// From the arrival of something that wants an answer, a step of the handshake too, until there was one.
pub type Wait = (Instant, Instant);

#[derive(Default)]
struct Calls {
    made: Mutex<Vec<Call>>,
    waits: Mutex<Vec<Wait>>,
    machines: AtomicU32,
}

impl Aws {
    /// `chain` and `key` are PEM files of a certificate for `localhost`.
    pub fn start(chain: &Path, key: &Path) -> Aws {
        let chain: Vec<_> = CertificateDer::pem_file_iter(chain)
            .expect("the chain is read")
            .collect::<Result<_, _>>()
            .expect("the chain is PEM");
        let key = PrivateKeyDer::from_pem_file(key).expect("the key is read");
        let tls = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("key and certificate belong together");
        let tls = TlsAcceptor::from(Arc::new(tls));
        let calls = Arc::new(Calls::default());
        let address = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.set_nonblocking(true).expect("a listener");
            let port = listener.local_addr().expect("an address").port();
            let (tls, calls) = (tls.clone(), calls.clone());
            thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(serve(listener, &tls, &calls));
            });
            format!("https://localhost:{port}")
        };
        Aws { dynamodb: address(), ec2: address(), calls: calls.clone() }
    }

    /// What was asked since the last time, in the order of the answers.
    pub fn take_calls(&self) -> Vec<Call> {
        let calls = std::mem::take(&mut *self.calls.made.lock().unwrap_or_else(PoisonError::into_inner));
        let unknown: Vec<&str> =
            calls.iter().filter(|call| !call.known).map(|call| call.action.as_str()).collect();
        assert!(unknown.is_empty(), "there is no answer here to {unknown:?}");
        calls
    }
}

impl Aws {
    /// When it had something to answer since the last time, on any connection.
    pub fn take_waits(&self) -> Vec<Wait> {
        std::mem::take(&mut *self.calls.waits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that notes how long the other side waits for an answer.
struct Noted {
    stream: TcpStream,
    /// The last arrival. What is written after it, tickets of the session and then the answer, answers it.
    since: Option<Instant>,
    calls: Arc<Calls>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.since = (buffer.filled().len() > before).then(Instant::now);
        }
        read
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready()
            && let Some(since) = self.since
        {
            let mut waits = self.calls.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.push((since, Instant::now()));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn serve(listener: std::net::TcpListener, tls: &TlsAcceptor, calls: &Arc<Calls>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, calls) = (tls.clone(), calls.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let stream = Noted { stream, since: None, calls: calls.clone() };
            // A handshake that fails is told by the function that made it fail.
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| {
                let calls = calls.clone();
                async move { Ok::<_, Infallible>(answer(&calls, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(calls: &Calls, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let from = Instant::now();
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| target.rsplit('.').next()).map(str::to_owned);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let action = match target {
        Some(action) => action,
        None => body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or("?").to_owned(),
    };
    let (delay, text) = match action.as_str() {
        "GetItem" if body.contains(r#""warm-up""#) => (READ, "{}".to_owned()),
        "GetItem" => (READ, r#"{"Item":{"id":{"S":"m"},"status":{"S":"SCHEDULED"}}}"#.to_owned()),
        "UpdateItem" => (WRITE, "{}".to_owned()),
        "DescribeVpcs" => (
            DESCRIBE,
            xml(&action, "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>"),
        ),
        "DescribeSubnets" => (DESCRIBE, xml(&action, &subnets())),
        "DescribeInstanceTypeOfferings" => (DESCRIBE, xml(&action, &offerings())),
        "DescribeImages" => (
            DESCRIBE,
            xml(
                &action,
                "<imagesSet><item><imageId>ami-1</imageId><rootDeviceName>/dev/sda1</rootDeviceName></item></imagesSet>",
            ),
        ),
        "RunInstances" => (RUN_INSTANCES, xml(&action, &instance(calls.machines.fetch_add(1, SeqCst)))),
        _ => (Duration::ZERO, String::new()),
    };
    tokio::time::sleep(delay.saturating_sub(from.elapsed())).await;
    let known = !text.is_empty();
    let mut response = Response::new(Full::from(text));
    if !known {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    let call = Call { action, known, from, until: Instant::now() };
    calls.made.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    response
}

fn xml(action: &str, inside: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>{inside}</{action}Response>"#
    )
}

fn subnets() -> String {
    let subnet = |zone: char| {
        format!(
            "<item><subnetId>subnet-{zone}</subnetId><state>available</state><vpcId>vpc-1</vpcId>\
             <availableIpAddressCount>4000</availableIpAddressCount>\
             <availabilityZone>us-west-2{zone}</availabilityZone></item>"
        )
    };
    let items: String = ['a', 'b', 'c'].map(subnet).concat();
    format!("<subnetSet>{items}</subnetSet>")
}

fn offerings() -> String {
    let offering = |zone: char| {
        format!("<item><instanceType>t3.large</instanceType><location>us-west-2{zone}</location></item>")
    };
    let items: String = ['a', 'b', 'c'].map(offering).concat();
    format!("<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>")
}

fn instance(number: u32) -> String {
    format!(
        "<reservationId>r-1</reservationId><instancesSet><item><instanceId>i-{number:017x}</instanceId>\
         <instanceState><code>0</code><name>pending</name></instanceState></item></instancesSet>"
    )
}

//! Lambda's Runtime API: the next event, and the delivery's result.
//!
//! Only the headers that a delivery needs are read: its request id, its deadline, and the id that the answer has to
//! return. Whatever else a caller can send, such as a client context, is not read, so it can break nothing.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use lambda_runtime::Error;
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};
use serde::Serialize;
use tracing::error;

const INVOCATION: &str = "/2018-06-01/runtime/invocation";
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const DEADLINE_MS: &str = "lambda-runtime-deadline-ms";
/// This header is newer than the others. Lambda uses it to recognise an answer that comes after the time-out.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

pub(super) struct RuntimeApi {
    client: PooledClient,
}

pub(super) struct Invocation {
    pub request_id: String,
    /// In milliseconds since the epoch; 0 if there is none.
    pub deadline_ms: u64,
    /// The bytes of the event as it came.
    pub event: Bytes,
    invocation_id: Option<HeaderValue>,
}

impl RuntimeApi {
    /// `address` as Lambda gives it: `127.0.0.1:9001`.
    pub fn at(address: &str) -> Result<Self, Error> {
        Ok(RuntimeApi { client: PooledClient::builder().with_endpoint(address.parse::<Uri>()?).build() })
    }

    /// Wait for the next event, however long it takes. An error here is the API's own, and final.
    pub async fn next(&self) -> Result<Invocation, Error> {
        loop {
            let request = build_request().uri(format!("{INVOCATION}/next")).body(Body::empty())?;
            let (head, body) = self.client.call(request).await?.into_parts();
            match head.status {
                // Imitations of Lambda say with this status that there is no event yet.
                StatusCode::NO_CONTENT => continue,
                status if !status.is_success() => {
                    return Err(format!("Lambda's Runtime API has no event: it answered {status}").into());
                }
                _ => {}
            }
            let event = Body::new(body).collect().await?.to_bytes();
            let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            let Some(request_id) = text(REQUEST_ID) else {
                return Err(format!("Lambda's Runtime API sent an event without {REQUEST_ID}").into());
            };
            return Ok(Invocation {
                request_id: request_id.to_owned(),
                deadline_ms: text(DEADLINE_MS).and_then(|text| text.parse().ok()).unwrap_or_default(),
                event,
                invocation_id: head.headers.get(INVOCATION_ID).cloned(),
            });
        }
    }

    pub async fn succeeded(&self, invocation: &Invocation, answer: &impl Serialize) -> Result<(), Error> {
        self.post(invocation, "response", answer, HeaderMap::new()).await
    }

    pub async fn failed(&self, invocation: &Invocation, error: &impl Serialize) -> Result<(), Error> {
        let headers = HeaderMap::from_iter([(
            hyper::header::HeaderName::from_static(ERROR_TYPE),
            HeaderValue::from_static("unhandled"),
        )]);
        self.post(invocation, "error", error, headers).await
    }

    async fn post(
        &self,
        invocation: &Invocation,
        what: &str,
        body: &impl Serialize,
        mut headers: HeaderMap,
    ) -> Result<(), Error> {
        if let Some(id) = &invocation.invocation_id {
            headers.insert(INVOCATION_ID, id.clone());
        }
        let uri = format!("{INVOCATION}/{}/{what}", invocation.request_id);
        let mut request =
            build_request().method(Method::POST).uri(uri).body(Body::from(serde_json::to_vec(body)?))?;
        request.headers_mut().extend(headers);
        let status = self.client.call(request).await?.status();
        if !status.is_success() {
            // The answer came too late or is too large. That does not affect the next event.
            error!(%status, "Lambda's Runtime API did not take the {what}");
        }
        Ok(())
    }
}

//! A DynamoDB of one item, behind the SDK's own HTTP client: what the adapter reads and writes is its real JSON.
//!
//! A condition is judged and an update made as DynamoDB does it, as far as the adapter's expressions go. Nothing else
//! stands between an item that nobody would write and the code that has to read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::model::Item;

#[derive(Clone, Debug, Default)]
pub struct DynamoDb(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    item: Option<Item>,
    /// What GetItem answers instead of the item.
    body: Option<Vec<u8>>,
    requests: Vec<String>,
}

impl DynamoDb {
    pub fn of(item: Option<Item>) -> DynamoDb {
        DynamoDb(Arc::new(Mutex::new(State { item, ..State::default() })))
    }

    /// A DynamoDB that answers GetItem with these bytes.
    pub fn saying(body: &[u8]) -> DynamoDb {
        DynamoDb(Arc::new(Mutex::new(State { body: Some(body.to_vec()), ..State::default() })))
    }

    pub fn item(&self) -> Option<Item> {
        self.state().item.clone()
    }

    /// The names of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// An SDK whose DynamoDB is this one.
    pub fn sdk(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-west-2"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "id", "secret", None, None, "tests",
            )))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No delivery asks this much.
const MOST_REQUESTS: usize = 100;

impl HttpConnector for DynamoDb {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default())
            .expect("the adapter sends JSON");
        let mut state = self.state();
        assert!(state.requests.len() < MOST_REQUESTS, "the delivery goes round in circles: {asked}");
        let (status, body) = match action.as_str() {
            "GetItem" => (200, state.body.clone().unwrap_or_else(|| state.get(&asked).to_string().into())),
            "BatchGetItem" => {
                let [(name, wanted)] =
                    asked["RequestItems"].as_object().expect("tables").iter().collect::<Vec<_>>()[..]
                else {
                    panic!("one table is asked for: {asked}")
                };
                let keys = wanted["Keys"].as_array().expect("keys");
                let found = keys.iter().filter_map(|key| state.under(&json!({"Key": key})));
                (200, json!({"Responses": {name: found.collect::<Vec<_>>()}}).to_string().into())
            }
            "UpdateItem" => match state.update(&asked) {
                Ok(()) => (200, b"{}".to_vec()),
                Err(error) => (400, error.to_string().into()),
            },
            "PutItem" => {
                assert!(state.item.is_none(), "a record that stands is not written over: {asked}");
                state.item = asked["Item"].as_object().cloned().map(|item| item.into_iter().collect());
                (200, b"{}".to_vec())
            }
            other => panic!("{other:?} is not asked of a table"),
        };
        state.requests.push(action);
        let status = status.try_into().expect("an HTTP status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl State {
    fn get(&self, asked: &Value) -> Value {
        self.under(asked).map_or(json!({}), |item| json!({"Item": item}))
    }

    /// The item, if it is the one that is asked for.
    fn under(&self, asked: &Value) -> Option<&Item> {
        self.item.as_ref().filter(|item| item.get("id") == Some(&asked["Key"]["id"]))
    }

    fn update(&mut self, asked: &Value) -> Result<(), Value> {
        let found = self.under(asked).cloned();
        let empty = Item::new();
        let mut condition = Expression::new(asked, "ConditionExpression", found.as_ref().unwrap_or(&empty));
        if !condition.any() {
            let code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            return Err(json!({"__type": code, "message": "The conditional request failed", "Item": found}));
        }
        assert!(condition.next().is_none(), "a condition goes on after its end: {asked:#}");
        let before = found.expect("every write asks for a record that exists");
        let mut item = before.clone();
        let mut changes = Expression::new(asked, "UpdateExpression", &before);
        while let Some(word) = changes.next() {
            match word.as_str() {
                "REMOVE" | "SET" | "," => changes.clause(&word),
                path if changes.removing => drop(item.remove(changes.one_name(path))),
                path => {
                    assert_eq!(changes.next().as_deref(), Some("="), "SET {path}");
                    let value = changes.next().map(|word| changes.value(&word)).expect("a value");
                    set(&mut item, &changes.names(path), value).ok_or_else(|| {
                        json!({"__type": "com.amazon.coral.validate#ValidationException",
                            "message": "The document path provided in the update expression is invalid for update"})
                    })?;
                }
            }
        }
        self.item = Some(item);
        Ok(())
    }
}

/// UpdateItem cannot set a path inside a map that is missing.
fn set(item: &mut Item, path: &[String], value: Value) -> Option<()> {
    match path {
        [name] => drop(item.insert(name.clone(), value)),
        [name, rest @ ..] => set(item.get_mut(name)?.get_mut("M")?.as_object_mut()?, rest, value)?,
        [] => return None,
    }
    Some(())
}

/// An expression of DynamoDB, read from left to right.
struct Expression<'a> {
    asked: &'a Value,
    item: &'a Item,
    words: std::vec::IntoIter<String>,
    removing: bool,
}

impl<'a> Expression<'a> {
    fn new(asked: &'a Value, field: &str, item: &'a Item) -> Self {
        let mut text = asked[field].as_str().expect("an expression").to_owned();
        for mark in ["(", ")", ",", "="] {
            text = text.replace(mark, &format!(" {mark} "));
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Expression { asked, item, words: words.into_iter(), removing: false }
    }

    fn next(&mut self) -> Option<String> {
        self.words.next()
    }

    fn follows(&mut self, word: &str) -> bool {
        let follows = self.words.as_slice().first().is_some_and(|next| next == word);
        if follows {
            self.next();
        }
        follows
    }

    fn any(&mut self) -> bool {
        let mut holds = self.all();
        while self.follows("OR") {
            holds |= self.all();
        }
        holds
    }

    fn all(&mut self) -> bool {
        let mut holds = self.one();
        while self.follows("AND") {
            holds &= self.one();
        }
        holds
    }

    fn one(&mut self) -> bool {
        let word = self.next().expect("a condition");
        if word == "(" {
            let holds = self.any();
            assert!(self.follows(")"), "an open bracket");
            return holds;
        }
        if self.follows("=") {
            let value = self.next().map(|word| self.value(&word));
            return self.at(&word) == value.as_ref();
        }
        assert!(self.follows("("), "{word} is neither compared nor called");
        let path = self.next().expect("a path");
        let found = self.at(&path);
        let holds = match word.as_str() {
            "attribute_exists" => found.is_some(),
            "attribute_not_exists" => found.is_none(),
            "attribute_type" => {
                assert!(self.follows(","), "a type");
                let wanted = self.next().map(|word| self.value(&word)).expect("a type");
                found.and_then(|value| value.get(wanted["S"].as_str()?)).is_some()
            }
            other => panic!("{other} is no function that the adapter uses"),
        };
        assert!(self.follows(")"), "an open call");
        holds
    }

    fn clause(&mut self, word: &str) {
        self.removing = match word {
            "REMOVE" => true,
            "SET" => false,
            _ => self.removing,
        };
    }

    fn names(&self, path: &str) -> Vec<String> {
        let names = &self.asked["ExpressionAttributeNames"];
        path.split('.').map(|part| names[part].as_str().expect("a defined name").to_owned()).collect()
    }

    fn one_name(&self, path: &str) -> &str {
        self.asked["ExpressionAttributeNames"][path].as_str().expect("a defined name")
    }

    fn value(&self, word: &str) -> Value {
        self.asked["ExpressionAttributeValues"].get(word).expect("a defined value").clone()
    }

    fn at(&self, path: &str) -> Option<&'a Value> {
        let names = self.names(path);
        let first = self.item.get(&names[0])?;
        names[1..].iter().try_fold(first, |value, name| value.get("M")?.get(name))
    }
}

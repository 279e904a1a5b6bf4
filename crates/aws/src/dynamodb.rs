//! Meetings over a DynamoDB table: item ⇄ [`Record`], and [`Update`] → UpdateItem.
//!
//! The attributes of the contract (`id`, `status`, `meet_time`, `teacher_ec2_id`, `student_ec2_id`) are shared with
//! every other program of the system. The others here are our own. The protocol needs `launch_owner` and
//! `launch_lease_until` (the lease), and `teacher_attempt` and `student_attempt` (one map each). The operator reads
//! `launch_error`, `launch_error_code` and `launch_error_at`; for each role `…_availability_zone`,
//! `…_launched_instance_type` and `…_launched_at`; and for a role's machine that died `…_lost_ec2_id`, `…_lost_reason`
//! and `…_lost_at`, which `launch_replaced` counts. A running machine has `…_state`, `…_private_ip`, `…_public_ip` and
//! `…_dns_name`; both together have `launch_ready_at`.
//!
//! Once the meeting is over and nothing of it lives, all of these but `…_availability_zone`,
//! `…_launched_instance_type` and `…_launched_at` are removed. All are top-level, because UpdateItem cannot set a path
//! inside a map that is missing.

mod companions;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::sdk::Calls;
use crate::sdk::{self, CallCounter};
use elephant_core::error::{AwsError, Class};
use elephant_core::machine::{Addresses, Attempt, InstanceId, MEETING_TAG, Note, ROLE_TAG, Token, tags};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::overrides::Overrides;
use elephant_core::ports::{Created, Meetings, NewMeetings, Updated};
use elephant_core::record::{
    Change, Lease, Lost, MeetTime, NewRecord, OTHERS_LIMIT, Owner, Record, Recorded, Requires, RoleRecord,
    Update,
};

type Item = HashMap<String, AttributeValue>;

const ID: &str = "id";
const STATUS: &str = "status";
const MEET_TIME: &str = "meet_time";
const CREATED_AT: &str = "created_at";
const TERMINATION_REASON: &str = "termination_reason";
/// The number of the meeting's machines that died and were launched again.
const REPLACED: &str = "launch_replaced";
/// The time when both machines were first seen running.
const READY_AT: &str = "launch_ready_at";
/// The time when a role's machine was launched, after its `teacher_` or `student_`.
const LAUNCHED_AT: &str = "launched_at";
/// The notes of a role's machine, after its `teacher_` or `student_`.
const NOTES: [&str; 4] = ["state", "private_ip", "public_ip", "dns_name"];
/// The notes of the role's last machine that died.
const LOST: [&str; 3] = ["lost_ec2_id", "lost_reason", "lost_at"];
const LEASE_OWNER: &str = "launch_owner";
const LEASE_UNTIL: &str = "launch_lease_until";
const FAILURE: [&str; 3] = ["launch_error", "launch_error_code", "launch_error_at"];

/// The longest text that is shown of an attribute that cannot be understood.
const SHOWN: usize = 500;

/// The index of open meetings, in the template's table and in an existing table that got it.
const INDEX: &str = "open-meetings";

pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The SDK does not repeat requests, because the verbs do so themselves, within lease and deadline.
    pub fn new(sdk: &aws_config::SdkConfig, name: &str, limit: Duration) -> Self {
        Table::of(config(sdk, limit), name)
    }

    /// A table whose requests are counted.
    pub fn counted(sdk: &aws_config::SdkConfig, name: &str, limit: Duration, calls: &Arc<Calls>) -> Self {
        Table::of(config(sdk, limit).interceptor(CallCounter(calls.clone())), name)
    }

    fn of(config: aws_sdk_dynamodb::config::Builder, name: &str) -> Self {
        let client = Client::from_conf(config.build());
        Table { client, name: name.to_owned() }
    }

    fn failed<E>(&self, action: &'static str, error: SdkError<E>) -> AwsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E>: RequestId,
    {
        let answer = sdk::Answer { action, request_id: error.request_id().map(str::to_owned) };
        sdk::failed(answer, &error, |code, message, _| class_of(code, message), |failed| self.advice(failed))
    }

    fn advice(&self, failed: &AwsError) -> String {
        let name = &self.name;
        match (failed.class, failed.code.as_deref()) {
            (Class::Unauthorized | Class::Misconfigured, Some(code))
                if is_about_its_key(code, &failed.message) =>
            {
                format!(
                    "the table {name} is encrypted with a KMS key that cannot be used: enable the key, and let its policy and \
                     the function's role allow kms:Decrypt with it to the function"
                )
            }
            (Class::Unauthorized, _) => sdk::not_the_role(failed).unwrap_or_else(|| {
                let index =
                    if failed.action == "Query" { format!(" and its index {INDEX}") } else { String::new() };
                format!("allow dynamodb:{} on the table {name}{index} in the function's role", failed.action)
            }),
            (Class::Unreadable, _) => TOO_LARGE.to_owned(),
            (_, Some("ItemCollectionSizeLimitExceededException")) => {
                format!(
                    "the table {name} has a local secondary index, and 10 GB under this id: make one without"
                )
            }
            (_, Some("ResourceNotFoundException")) => {
                format!("TABLE_NAME is {}: set it to a table of this account and Region", self.name)
            }
            (_, Some("ValidationException")) if failed.action == "Query" => format!(
                "give the table {} the index {INDEX}, with the partition key status and the sort key meet_time, both strings",
                self.name
            ),
            (_, Some("ValidationException")) => {
                let fields = match failed.action {
                    "PutItem" => "that DynamoDB can hold each further field of the event, and ",
                    _ => "",
                };
                format!(
                    "check {fields}that the table {} has the partition key id, a string, and no sort key",
                    self.name
                )
            }
            _ => String::new(),
        }
    }
}

fn config(sdk: &aws_config::SdkConfig, limit: Duration) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::from(sdk)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(limit).build())
}

/// What to do next after DynamoDB's answer. Each code is from DynamoDB's list of errors unless a comment says otherwise
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>). A code that we do not
/// know is ambiguous: repeating a conditional write is safe.
fn class_of(code: Option<&str>, message: &str) -> Class {
    match code.unwrap_or_default() {
        code if sdk::is_throttle(code) => Class::Throttled,
        // A transaction, or a write in another Region, is under way: nothing was done.
        "TransactionConflictException" | "ReplicatedWriteConflictException" => Class::Throttled,
        // "Item size to update has exceeded the maximum allowed size"; for a new item, "Item size has exceeded …".
        "ValidationException" if message.contains("has exceeded the maximum allowed size") => {
            Class::Unreadable
        }
        "ResourceNotFoundException"
        | "ValidationException"
        | "SerializationException"
        | "IndexNotFoundException"
        | "ItemCollectionSizeLimitExceededException" => Class::Misconfigured,
        // DynamoDB tells errors of KMS in words; other services tell them by these codes (KMS API reference, Encrypt).
        "KMSThrottlingException" => Class::Throttled,
        "KMSInternalException" | "KMSDependencyTimeoutException" => Class::Ambiguous,
        "KMSAccessDeniedException" => Class::Unauthorized,
        code if code.starts_with("KMS") || code == "InaccessibleEncryptionCredentialsException" => {
            Class::Misconfigured
        }
        "AccessDeniedException" => Class::Unauthorized,
        code if sdk::is_about_credentials(code) => Class::Unauthorized,
        _ => Class::Ambiguous,
    }
}

/// Whether the error is about the table's key. "KMS key access denied error: …" and the like have general codes.
fn is_about_its_key(code: &str, message: &str) -> bool {
    code.starts_with("KMS") || code.starts_with("InaccessibleEncryption") || message.contains("KMS ")
}

impl Meetings for Table {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        let item = self.item(meeting).await?;
        item.map(|item| to_record(meeting, &item).map_err(|what| unreadable("GetItem", what))).transpose()
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        let expression = Expression::of(update);
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(ID, AttributeValue::S(update.meeting_id.to_string()))
            .condition_expression(expression.condition())
            .update_expression(expression.update())
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values((!expression.values.is_empty()).then_some(expression.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Updated::Done),
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                let UpdateItemError::ConditionalCheckFailedException(refused) = service.err() else {
                    unreachable!("checked in the guard")
                };
                let found = refused.item.as_ref().filter(|item| !item.is_empty());
                let found = found
                    .map(|item| {
                        to_record(&update.meeting_id, item).map_err(|what| unreadable("UpdateItem", what))
                    })
                    .transpose()?;
                Ok(Updated::Refused(found.map(Box::new)))
            }
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}

impl NewMeetings for Table {
    async fn create(&self, record: &NewRecord) -> Result<Created, AwsError> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(to_item(record)))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", ID)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Created::Done),
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(refused) = service.err() else {
                    unreachable!("checked in the guard")
                };
                let item = refused.item.clone().unwrap_or_default();
                let found =
                    to_record(&record.meeting_id, &item).map_err(|what| unreadable("PutItem", what))?;
                Ok(Created::Exists(Box::new(found)))
            }
            Err(error) => Err(self.failed("PutItem", error)),
        }
    }
}

impl Table {
    async fn item(&self, meeting: &MeetingId) -> Result<Option<Item>, AwsError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(ID, AttributeValue::S(meeting.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failed("GetItem", error))?;
        Ok(answer.item)
    }
}

fn to_item(record: &NewRecord) -> Item {
    let mut item: Item =
        record.attributes.iter().map(|(name, value)| (name.clone(), to_attribute(value))).collect();
    let ours = [
        (ID, record.meeting_id.to_string()),
        (STATUS, Status::Scheduled.as_str().to_owned()),
        (MEET_TIME, record.meet_time.clone()),
    ];
    item.extend(ours.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))));
    item.entry(CREATED_AT.to_owned()).or_insert_with(|| AttributeValue::S(time(record.created_at)));
    item
}

/// JSON as DynamoDB holds it. Numbers keep their digits.
fn to_attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(values) => AttributeValue::L(values.iter().map(to_attribute).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), to_attribute(value)));
            AttributeValue::M(fields.collect())
        }
    }
}

fn unreadable(action: &'static str, what: String) -> AwsError {
    AwsError {
        action,
        class: Class::Unreadable,
        code: None,
        message: shown(&what),
        request_id: None,
        advice: "correct the attribute in the record and deliver again".to_owned(),
    }
}

/// One line of limited length, whatever the attribute holds.
fn shown(what: &str) -> String {
    let line = what.chars().map(|c| if c.is_control() { ' ' } else { c });
    let end = what.chars().nth(SHOWN).map(|_| '…');
    line.take(SHOWN).chain(end).collect()
}

/// An item as we understand it, or the attribute that cannot be understood.
fn to_record(meeting: &MeetingId, item: &Item) -> Result<Record, String> {
    Ok(Record {
        meeting_id: meeting.clone(),
        status: text(item, STATUS)?.map(|word| Status::from_word(&word)),
        termination_reason: text(item, TERMINATION_REASON)?,
        meet_time: to_meet_time(item),
        meet_time_text: text(item, MEET_TIME).ok().flatten(),
        lease: to_lease(item)?,
        teacher: to_role_record(meeting, item, Role::Teacher)?,
        student: to_role_record(meeting, item, Role::Student)?,
        overrides: Role::BOTH.map(|role| match size_of_others(item) {
            size if size > OTHERS_LIMIT => Err(format!(
                "the record has {size} bytes without what a launch writes to it, and has room for {OTHERS_LIMIT}: {TOO_LARGE}"
            )),
            _ => Overrides::of(role, |name| said(item, name)),
        }),
    })
}

const TOO_LARGE: &str =
    "take attributes out of the record that its meeting does not need (DynamoDB holds 400 KB an item)";

/// The bytes of an item, as DynamoDB counts them, without our attempts, which are most of what we write.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn size_of_others(item: &Item) -> usize {
    let ours = Role::BOTH.map(attempt_attribute);
    item.iter().filter(|(name, _)| !ours.contains(name)).map(|(name, value)| name.len() + size(value)).sum()
}

fn size(value: &AttributeValue) -> usize {
    // A byte for two digits, and one for the whole number.
    let number = |text: &String| text.len().div_ceil(2) + 1;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(text) => number(text),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(texts) => texts.iter().map(number).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        // Three bytes for the whole, and one for each value in it.
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + size(value)).sum::<usize>(),
        AttributeValue::M(map) => {
            3 + map.iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// An attribute that people and other programs write as a text or as a number.
fn said(item: &Item, name: &str) -> Result<Option<String>, &'static str> {
    match item.get(name) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::S(text)) if text.trim().is_empty() => Ok(None),
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => Ok(Some(text.clone())),
        Some(_) => Err("neither a string nor a number"),
    }
}

/// The time of the meeting. Other programs write it, and a launch does not depend on it: with an unreadable time there
/// is no launch window.
fn to_meet_time(item: &Item) -> MeetTime {
    match item.get(MEET_TIME) {
        None | Some(AttributeValue::Null(_)) => MeetTime::Missing,
        Some(AttributeValue::S(text)) if text.trim().is_empty() => MeetTime::Missing,
        Some(AttributeValue::S(text)) => {
            to_time(text.trim()).map_or_else(|| MeetTime::Unreadable(shown(text)), MeetTime::At)
        }
        Some(AttributeValue::N(number)) => MeetTime::Unreadable(shown(number)),
        Some(_) => MeetTime::Unreadable("neither a string nor a number".to_owned()),
    }
}

/// A time without an offset is UTC, as the other programs read it. A date alone is not a time.
fn to_time(text: &str) -> Option<Timestamp> {
    let in_utc = || {
        let time: DateTime = text.contains(':').then(|| text.parse().ok()).flatten()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse().ok().or_else(in_utc)
}

fn to_lease(item: &Item) -> Result<Option<Lease>, String> {
    let (owner, until) = (text(item, LEASE_OWNER)?, text(item, LEASE_UNTIL)?);
    match (owner, until) {
        (None, None) => Ok(None),
        // A condition compares texts: it would never find the same time in another form equal.
        (Some(owner), Some(until)) => match until.parse::<Timestamp>() {
            Ok(parsed) if time(parsed) == until => {
                Ok(Some(Lease { owner: Owner::from(owner), until: parsed }))
            }
            _ => Err(format!(
                "the attribute {LEASE_UNTIL} is {until:?}, expected a time such as 2026-01-05T09:50:00.000Z"
            )),
        },
        _ => Err(format!(
            "of the attributes {LEASE_OWNER} and {LEASE_UNTIL} one is missing, expected both or none"
        )),
    }
}

fn to_role_record(meeting: &MeetingId, item: &Item, role: Role) -> Result<RoleRecord, String> {
    let name = attempt_attribute(role);
    let attempt = match item.get(&name) {
        None | Some(AttributeValue::Null(_)) => None,
        Some(value) => {
            let attempt = to_attempt(meeting, role, value);
            Some(attempt.map_err(|what| format!("the attribute {name} is no attempt of ours: {what}"))?)
        }
    };
    // For people, and for the age of a machine that EC2 does not show. An unreadable time counts as missing.
    let launched_at = text(item, &format!("{role}_{LAUNCHED_AT}")).ok().flatten();
    Ok(RoleRecord {
        instance_id: text(item, &id_attribute(role))?.map(InstanceId::from),
        attempt,
        launched_at: launched_at.and_then(|text| text.parse().ok()),
    })
}

/// An attempt, if it is one that we can have written. The check is strict, because the attempt will be sent unchanged,
/// its machine is looked for by its token, and the machine that is found may be ended.
fn to_attempt(meeting: &MeetingId, role: Role, value: &AttributeValue) -> Result<Attempt, String> {
    // serde_dynamo accepts a list for a struct, too, but no condition could find the token in a list.
    if !value.is_m() || !is_known(value) {
        return Err("expected a map of values of known types".to_owned());
    }
    // The error's text may quote a value from the attribute, such as user data.
    let attempt: Attempt = serde_dynamo::from_attribute_value(value.clone())
        .map_err(|_| "expected what an attempt consists of, each part of its type".to_owned())?;
    let p = &attempt.parameters;
    if p.root_volume.is_none() && p.launch_template.is_none() {
        return Err("it has no root volume, and no launch template that could have one".to_owned());
    }
    let token = attempt.token.as_str();
    // A `*` or `?` in a filter would find the machines of others, too.
    if !(1..=64).contains(&token.len()) || !token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(format!("its token is {token:?}, expected 1 to 64 letters, digits and hyphens"));
    }
    // We write both tags. An attempt copied from another meeting's record would launch a second machine for that
    // meeting, and without a tag nobody could tell whose machine it is.
    let tags = tags(meeting, role, "");
    for (key, ours) in [MEETING_TAG, ROLE_TAG].map(|key| (key, &tags[key])) {
        match attempt.parameters.tags.get(key) {
            Some(tag) if tag == ours => {}
            Some(tag) => return Err(format!("its tag {key} is {tag:?}, expected {ours:?}")),
            None => return Err(format!("its tag {key} is missing, expected {ours:?}")),
        }
    }
    Ok(attempt)
}

/// Whether the SDK knows all types in the value. serde_dynamo panics at a type that the SDK does not know yet.
fn is_known(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::M(map) => map.values().all(is_known),
        AttributeValue::L(list) => list.iter().all(is_known),
        other => !other.is_unknown(),
    }
}

/// A string attribute; an empty or NULL one counts as missing.
fn text(item: &Item, name: &str) -> Result<Option<String>, String> {
    match item.get(name) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::S(text)) if text.is_empty() => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("the attribute {name} is no string")),
    }
}

/// A time as people read it, to the millisecond. A condition compares the lease's end as this text.
fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn id_attribute(role: Role) -> String {
    format!("{role}_ec2_id")
}

fn attempt_attribute(role: Role) -> String {
    format!("{role}_attempt")
}

/// The two expressions of an UpdateItem with their placeholders (names such as `status` are reserved words).
#[derive(Default)]
struct Expression {
    conditions: Vec<String>,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    fn of(update: &Update) -> Self {
        let mut expression = Expression::default();
        for requirement in &update.requires {
            let condition = expression.requirement(requirement);
            expression.conditions.push(condition);
        }
        for change in &update.changes {
            expression.change(change);
        }
        expression
    }

    fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }

    fn update(&self) -> String {
        let mut clauses = Vec::new();
        if !self.sets.is_empty() {
            clauses.push(format!("SET {}", self.sets.join(", ")));
        }
        if !self.removes.is_empty() {
            clauses.push(format!("REMOVE {}", self.removes.join(", ")));
        }
        if !self.adds.is_empty() {
            clauses.push(format!("ADD {}", self.adds.join(", ")));
        }
        clauses.join(" ")
    }

    fn requirement(&mut self, requirement: &Requires) -> String {
        match requirement {
            Requires::Exists => format!("attribute_exists({})", self.name(ID)),
            Requires::Lease(None) => self.missing(LEASE_OWNER),
            Requires::Lease(Some(lease)) => {
                let owner = self.equals(LEASE_OWNER, lease.owner.as_str());
                let until = self.equals(LEASE_UNTIL, &time(lease.until));
                format!("{owner} AND {until}")
            }
            Requires::Owner(owner) => self.equals(LEASE_OWNER, owner.as_str()),
            Requires::Status(statuses) => {
                let each: Vec<String> = statuses
                    .iter()
                    .map(|status| match status {
                        None => self.missing(STATUS),
                        Some(status) => self.equals(STATUS, status.as_str()),
                    })
                    .collect();
                match &each[..] {
                    // DynamoDB refuses redundant parentheses.
                    [only] => only.clone(),
                    each => format!("({})", each.join(" OR ")),
                }
            }
            Requires::Instance(role, None) => self.missing(&id_attribute(*role)),
            Requires::Instance(role, Some(id)) => self.equals(&id_attribute(*role), id.as_str()),
            Requires::NoOtherInstance(role, id) => {
                let missing = self.missing(&id_attribute(*role));
                let ours = self.equals(&id_attribute(*role), id.as_str());
                format!("({missing} OR {ours})")
            }
            Requires::Attempt(role, None) => {
                format!("attribute_not_exists({})", self.attempt(*role, "token"))
            }
            Requires::Attempt(role, Some((token, refused))) => {
                let token = self.token(*role, token);
                let path = self.attempt(*role, "refused");
                format!("{token} AND {path} = {}", self.value(AttributeValue::Bool(*refused)))
            }
            Requires::Token(role, token) => self.token(*role, token),
            Requires::NotEnding(role) => {
                format!("attribute_not_exists({})", self.attempt(*role, "ending"))
            }
            Requires::MeetTime(None) => self.missing(MEET_TIME),
            Requires::MeetTime(Some(text)) => self.equals(MEET_TIME, text),
            Requires::TerminationReason(None) => self.missing(TERMINATION_REASON),
            Requires::TerminationReason(Some(reason)) => self.equals(TERMINATION_REASON, reason),
            Requires::NotReady => self.missing(READY_AT),
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Lease(lease) => {
                self.set(LEASE_OWNER, AttributeValue::S(lease.owner.to_string()));
                self.set(LEASE_UNTIL, AttributeValue::S(time(lease.until)));
            }
            Change::DropLease => {
                self.remove(LEASE_OWNER);
                self.remove(LEASE_UNTIL);
            }
            Change::Attempt(role, attempt) => {
                let map = serde_dynamo::to_attribute_value(attempt).expect("an attempt is plain data");
                self.set(&attempt_attribute(*role), map);
            }
            Change::Refused(role) => self.mark(*role, "refused"),
            Change::Ending(role) => self.mark(*role, "ending"),
            Change::Instance(role, machine) => self.instance(*role, machine),
            Change::Launched => self.set(STATUS, AttributeValue::S(Status::Launched.as_str().to_owned())),
            Change::Failure(failure) => {
                let values = [failure.reason.clone(), failure.code.clone(), time(failure.at)];
                for (name, value) in FAILURE.into_iter().zip(values) {
                    self.set(name, AttributeValue::S(value));
                }
            }
            Change::ForgetFailure => FAILURE.into_iter().for_each(|name| self.remove(name)),
            Change::MeetTime(text) => self.set(MEET_TIME, AttributeValue::S(text.clone())),
            Change::Terminated(reason) => {
                self.set(STATUS, AttributeValue::S(Status::Terminated.as_str().to_owned()));
                self.set(TERMINATION_REASON, AttributeValue::S(reason.clone()));
            }
            Change::Lost(role, lost) => self.lost(*role, lost),
            Change::Noted(role, note) => self.note(*role, note),
            Change::Ready(at) => self.set(READY_AT, AttributeValue::S(time(*at))),
            Change::Pruned => self.prune(),
        }
    }

    fn instance(&mut self, role: Role, machine: &Recorded) {
        self.set(&id_attribute(role), AttributeValue::S(machine.instance_id.to_string()));
        let more = [
            ("availability_zone", machine.availability_zone.clone()),
            ("launched_instance_type", machine.instance_type.clone()),
            (LAUNCHED_AT, time(machine.launched_at)),
        ];
        for (name, value) in more {
            self.set(&format!("{role}_{name}"), AttributeValue::S(value));
        }
    }

    fn lost(&mut self, role: Role, lost: &Lost) {
        self.remove(&id_attribute(role));
        let values = [lost.instance_id.to_string(), lost.reason.clone(), time(lost.at)];
        for (part, value) in LOST.into_iter().zip(values) {
            self.set(&format!("{role}_{part}"), AttributeValue::S(value));
        }
        for part in NOTES {
            self.remove(&format!("{role}_{part}"));
        }
        self.remove(READY_AT);
        let one = self.value(AttributeValue::N("1".to_owned()));
        let count = format!("{} {one}", self.name(REPLACED));
        self.adds.push(count);
    }

    fn note(&mut self, role: Role, note: &Note) {
        let Addresses { private_ip, public_ip, dns_name } = &note.addresses;
        let state = Some(note.state.as_str().to_owned());
        let values = [&state, private_ip, public_ip, dns_name];
        for (part, value) in NOTES.into_iter().zip(values) {
            let attribute = format!("{role}_{part}");
            match value {
                Some(value) => self.set(&attribute, AttributeValue::S(value.clone())),
                None => self.remove(&attribute),
            }
        }
    }

    fn prune(&mut self) {
        let ours = [LEASE_OWNER, LEASE_UNTIL, READY_AT, REPLACED].into_iter().chain(FAILURE);
        ours.for_each(|name| self.remove(name));
        for role in Role::BOTH {
            self.remove(&attempt_attribute(role));
            let parts = NOTES.into_iter().chain(LOST);
            parts.for_each(|part| self.remove(&format!("{role}_{part}")));
        }
    }

    /// Set a flag of the role's attempt to true.
    fn mark(&mut self, role: Role, part: &str) {
        let path = self.attempt(role, part);
        let value = self.value(AttributeValue::Bool(true));
        self.sets.push(format!("{path} = {value}"));
    }

    /// The path of one part of a role's attempt.
    fn attempt(&mut self, role: Role, part: &str) -> String {
        format!("{}.{}", self.name(&attempt_attribute(role)), self.name(part))
    }

    fn token(&mut self, role: Role, token: &Token) -> String {
        let path = self.attempt(role, "token");
        format!("{path} = {}", self.value(AttributeValue::S(token.to_string())))
    }

    fn set(&mut self, attribute: &str, value: AttributeValue) {
        let set = format!("{} = {}", self.name(attribute), self.value(value));
        self.sets.push(set);
    }

    fn remove(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.removes.push(name);
    }

    fn equals(&mut self, attribute: &str, text: &str) -> String {
        format!("{} = {}", self.name(attribute), self.value(AttributeValue::S(text.to_owned())))
    }

    /// The condition that [`text`] finds nothing: absent, empty or NULL.
    fn missing(&mut self, attribute: &str) -> String {
        let name = self.name(attribute);
        let empty = self.value(AttributeValue::S(String::new()));
        let null = self.value(AttributeValue::S("NULL".to_owned()));
        format!("(attribute_not_exists({name}) OR {name} = {empty} OR attribute_type({name}, {null}))")
    }

    fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#{attribute}");
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        if let Some((placeholder, _)) = self.values.iter().find(|(_, known)| **known == value) {
            return placeholder.clone();
        }
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}

//! Many records at once: in batches by their ids, and by the index of open meetings.
//!
//! The index has `status` as its partition key and `meet_time` as its sort key. Every record of the system has them
//! anyway, so no program has to write anything for the index. It also holds the meetings that are over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{
    FAILURE, ID, INDEX, Item, LOST, MEET_TIME, NOTES, READY_AT, REPLACED, STATUS, Table, shown, text,
    to_meet_time, to_record,
};
use elephant_core::error::{AwsError, Class};
use elephant_core::fleet::{MeetingSnapshot, Report};
use elephant_core::machine::{Addresses, InstanceId, Note, State};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::ports::{Reports, Watch};
use elephant_core::record::{Failure, Lost, MeetTime};

/// The largest number of records in one BatchGetItem.
const BATCH: usize = 100;

/// How often the rest of an incomplete answer is asked for again, before the request counts as throttled.
const ROUNDS: usize = 4;

/// Every status that we know. The index does not hold records without a status. TERMINATED is one of them, because the
/// watchdog writes it when any machine dies, and because the sweep cleans up after meetings that are over.
const STATUSES: [Status; 6] = [
    Status::Scheduled,
    Status::Launched,
    Status::DnsWritten,
    Status::Healthy,
    Status::InProgress,
    Status::Terminated,
];

impl Watch for Table {
    async fn read_all(
        &self,
        meetings: &BTreeSet<MeetingId>,
    ) -> Result<BTreeMap<MeetingId, MeetingSnapshot>, AwsError> {
        let mut all: BTreeMap<MeetingId, MeetingSnapshot> =
            meetings.iter().map(|meeting| (meeting.clone(), MeetingSnapshot::Missing)).collect();
        let ids: Vec<&MeetingId> = meetings.iter().collect();
        for batch in ids.chunks(BATCH) {
            for item in self.read_batch(batch).await? {
                let Some(meeting) = text(&item, ID).ok().flatten().and_then(|id| MeetingId::new(&id).ok())
                else {
                    continue;
                };
                let watched = to_watched(&meeting, &item);
                all.insert(meeting, watched);
            }
        }
        Ok(all)
    }

    async fn find_by_time(&self, from: Timestamp, until: Timestamp) -> Result<BTreeSet<MeetingId>, AwsError> {
        let mut found = BTreeSet::new();
        // The sort key is a text, with the offset that its writer chose: a day more on either side finds all of them.
        let between = [day(from, -1), day(until, 2)];
        for status in &STATUSES {
            let pages = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(INDEX)
                .key_condition_expression("#status = :status AND #time BETWEEN :from AND :until")
                .projection_expression("#id, #time")
                .expression_attribute_names("#status", STATUS)
                .expression_attribute_names("#time", MEET_TIME)
                .expression_attribute_names("#id", ID)
                .expression_attribute_values(":status", AttributeValue::S(status.as_str().to_owned()))
                .expression_attribute_values(":from", AttributeValue::S(between[0].clone()))
                .expression_attribute_values(":until", AttributeValue::S(between[1].clone()))
                .into_paginator()
                .items()
                .send();
            let items = pages.collect::<Result<Vec<_>, _>>().await.map_err(|e| self.failed("Query", e))?;
            let begins = |item: &&Item| match to_meet_time(item) {
                MeetTime::At(time) => from <= time && time <= until,
                MeetTime::Missing | MeetTime::Unreadable(_) => true,
            };
            let ids = items.iter().filter(begins).filter_map(|item| text(item, ID).ok().flatten());
            found.extend(ids.filter_map(|id| MeetingId::new(&id).ok()));
        }
        Ok(found)
    }
}

impl Reports for Table {
    async fn report(&self, meeting: &MeetingId) -> Result<Report, AwsError> {
        let item = self.item(meeting).await?;
        Ok(match &item {
            None => Report { watched: MeetingSnapshot::Missing, failure: None, lost: [None, None] },
            Some(item) => Report {
                watched: to_watched(meeting, item),
                failure: to_failure(item),
                lost: Role::BOTH.map(|role| to_lost(item, role)),
            },
        })
    }
}

impl Table {
    async fn read_batch(&self, meetings: &[&MeetingId]) -> Result<Vec<Item>, AwsError> {
        let key =
            |meeting: &&MeetingId| HashMap::from([(ID.to_owned(), AttributeValue::S(meeting.to_string()))]);
        let mut keys: Vec<_> = meetings.iter().map(key).collect();
        let mut items = Vec::new();
        for _ in 0..ROUNDS {
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.expect("it has keys");
            let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await;
            let answer = answer.map_err(|error| self.failed("BatchGetItem", error))?;
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|left| left.keys)
                .collect();
            if keys.is_empty() {
                return Ok(items);
            }
        }
        Err(AwsError {
            action: "BatchGetItem",
            class: Class::Throttled,
            code: None,
            message: format!("{} records were left out of {ROUNDS} answers", keys.len()),
            request_id: None,
            advice: String::new(),
        })
    }
}

fn to_watched(meeting: &MeetingId, item: &Item) -> MeetingSnapshot {
    match to_record(meeting, item) {
        Ok(record) => MeetingSnapshot::Stands {
            record,
            replaced: replaced(item),
            notes: Role::BOTH.map(|role| to_note(item, role)),
            was_ready: !matches!(text(item, READY_AT), Ok(None)),
        },
        Err(what) => MeetingSnapshot::Unreadable(shown(&what)),
    }
}

/// The failure is for people: an unreadable one counts as missing.
fn to_failure(item: &Item) -> Option<Failure> {
    let [reason, code, at] = FAILURE.map(|name| text(item, name).ok().flatten());
    Some(Failure { reason: reason?, code: code?, at: at?.parse().ok()? })
}

fn to_lost(item: &Item, role: Role) -> Option<Lost> {
    let [id, reason, at] = LOST.map(|part| text(item, &format!("{role}_{part}")).ok().flatten());
    Some(Lost { instance_id: InstanceId::from(id?), reason: reason?, at: at?.parse().ok()? })
}

/// An unreadable note counts as missing, and is written again.
fn to_note(item: &Item, role: Role) -> Option<Note> {
    let part = |name: &str| text(item, &format!("{role}_{name}")).ok().flatten();
    let [state, private_ip, public_ip, dns_name] = NOTES.map(part);
    let state = State::from_word(&state?)?;
    Some(Note { state, addresses: Addresses { private_ip, public_ip, dns_name } })
}

/// An unreadable count allows no further replacement.
fn replaced(item: &Item) -> u32 {
    match item.get(REPLACED) {
        None => 0,
        Some(AttributeValue::N(number)) => number.parse().unwrap_or(u32::MAX),
        Some(_) => u32::MAX,
    }
}

/// The date so many days later, as the first part of an ISO 8601 time.
fn day(time: Timestamp, days: i64) -> String {
    let moved = time.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(time);
    moved.to_zoned(TimeZone::UTC).date().to_string()
}

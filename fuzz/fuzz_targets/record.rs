//! Bytes as the table's answer to GetItem: a record or a named error, and a delivery over it that keeps the promise.
#![no_main]

#[allow(dead_code, reason = "the event's part of it")]
#[path = "../../tests/it/hostile/model.rs"]
mod model;
#[path = "../../tests/it/hostile/table.rs"]
mod table;
#[allow(dead_code, reason = "a part of it is enough")]
#[path = "../../tests/it/hostile/world.rs"]
mod world;

use elephant_aws::dynamodb::Table;
use elephant_core::error::Class;
use elephant_core::meeting::MeetingId;
use elephant_core::ports::Meetings;
use elephant_core::timing::Timing;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use table::DynamoDb;
use world::{Story, block_on, deliver};

fuzz_target!(|data: &[u8]| {
    let dynamodb = DynamoDb::saying(data);
    let table = Table::new(&dynamodb.sdk(), "elephant-meetings", Timing::DEFAULT.table);
    let meeting = MeetingId::new("m").expect("an id");
    if let Err(error) = block_on(table.read(&meeting)) {
        assert!([Class::Unreadable, Class::Ambiguous].contains(&error.class), "{error:?}");
        assert!(!error.message.is_empty() && error.to_string().len() < 3_000, "{error:?}");
    }

    let Ok(mut answer) = serde_json::from_slice::<Value>(data) else { return };
    let item = match answer.get_mut("Item").map(Value::take) {
        Some(Value::Object(item)) if item.values().all(|value| model::is_stored(value, 32)) => item,
        _ => return,
    };
    let variables = [("AMI_ID", "ami-1"), ("INSTANCE_TYPE", "t3.large"), ("SECURITY_GROUP_IDS", "sg-1")];
    let story = Story {
        variables: variables.map(|(name, value)| (name, value.to_owned())).into(),
        event: json!({"meeting_id": "m"}),
        item: Some(item),
        machines_came: data.len() % 2 == 0,
    };
    deliver(&story).keeps_the_promise();
});

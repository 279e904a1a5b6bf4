//! The notes of companion schedules: `launch_companions`, a map from `group/name` to milliseconds, written once.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;

use super::{ID, Item, Table, unreadable};
use elephant_core::companion::Offsets;
use elephant_core::error::AwsError;
use elephant_core::meeting::MeetingId;
use elephant_core::ports::CompanionNotes;

const COMPANIONS: &str = "launch_companions";

impl CompanionNotes for Table {
    async fn read_offsets(&self, meeting: &MeetingId) -> Result<Option<Offsets>, AwsError> {
        let item = self.item(meeting).await?;
        item.as_ref().map_or(Ok(None), to_offsets).map_err(|what| unreadable("GetItem", what))
    }

    async fn note_offsets(&self, meeting: &MeetingId, offsets: &Offsets) -> Result<bool, AwsError> {
        let number = |(name, offset): (&String, &i64)| (name.clone(), AttributeValue::N(offset.to_string()));
        let map = AttributeValue::M(offsets.0.iter().map(number).collect());
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(ID, AttributeValue::S(meeting.to_string()))
            .condition_expression("attribute_exists(#id) AND attribute_not_exists(#companions)")
            .update_expression("SET #companions = :offsets")
            .expression_attribute_names("#id", ID)
            .expression_attribute_names("#companions", COMPANIONS)
            .expression_attribute_values(":offsets", map)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                Ok(false)
            }
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}

fn to_offsets(item: &Item) -> Result<Option<Offsets>, String> {
    let wrong = || format!("the attribute {COMPANIONS} is no map of milliseconds");
    let Some(value) = item.get(COMPANIONS) else { return Ok(None) };
    let map = value.as_m().map_err(|_| wrong())?;
    let number = |value: &AttributeValue| value.as_n().ok().and_then(|number| number.parse().ok());
    let offsets = map.iter().map(|(name, value)| Some((name.clone(), number(value)?))).collect::<Option<_>>();
    offsets.map(|offsets| Some(Offsets(offsets))).ok_or_else(wrong)
}

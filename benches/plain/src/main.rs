//! The plain recipe: clients built in `main` from every default, each lookup, launch and write one after the other.
//! It makes as many machines as it is told to, and so the requests that it is measured by; nothing here keeps a promise.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, InstanceType, ResourceType, Tag, TagSpecification,
};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let ec2 = aws_sdk_ec2::Client::new(&config);
    run(service_fn(|event: LambdaEvent<Value>| launch(&dynamodb, &ec2, event.payload))).await
}

async fn launch(
    dynamodb: &aws_sdk_dynamodb::Client,
    ec2: &aws_sdk_ec2::Client,
    event: Value,
) -> Result<Value, Error> {
    let meeting_id = event["meeting_id"].as_str().ok_or("no meeting_id")?;
    let key = AttributeValue::S(meeting_id.to_owned());
    let read =
        dynamodb.get_item().table_name(TABLE).key("id", key.clone()).consistent_read(true).send().await?;
    read.item().ok_or("no such meeting")?;

    let default = Filter::builder().name("is-default").values("true").build();
    let vpcs = ec2.describe_vpcs().filters(default).send().await?;
    let vpc_id = vpcs.vpcs().first().and_then(|vpc| vpc.vpc_id()).ok_or("no default VPC")?;
    let of_it = Filter::builder().name("vpc-id").values(vpc_id).build();
    let subnets = ec2.describe_subnets().filters(of_it).send().await?;
    let subnet_id = subnets.subnets().first().and_then(|subnet| subnet.subnet_id()).ok_or("no subnet")?;
    let image_id = std::env::var("AMI_ID")?;
    let images = ec2.describe_images().image_ids(&image_id).send().await?;
    let device = images.images().first().and_then(|image| image.root_device_name()).ok_or("no image")?;

    let claim = dynamodb.update_item().table_name(TABLE).key("id", key.clone());
    let claim =
        claim.update_expression("SET launch_owner = :owner").condition_expression("attribute_exists(id)");
    claim.expression_attribute_values(":owner", AttributeValue::S(Uuid::new_v4().to_string())).send().await?;

    let mut ids = Vec::new();
    for role in ["teacher", "student"] {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("MeetingID", meeting_id))
            .tags(tag("Role", role))
            .build();
        let volume = EbsBlockDevice::builder().volume_size(60).delete_on_termination(true).build();
        let launched = ec2
            .run_instances()
            .min_count(1)
            .max_count(1)
            .client_token(format!("{meeting_id}-{role}"))
            .image_id(&image_id)
            .instance_type(InstanceType::from(std::env::var("INSTANCE_TYPE")?.as_str()))
            .subnet_id(subnet_id)
            .security_group_ids(std::env::var("SECURITY_GROUP_IDS")?)
            .block_device_mappings(BlockDeviceMapping::builder().device_name(device).ebs(volume).build())
            .tag_specifications(tags)
            .send()
            .await?;
        let id =
            launched.instances().first().and_then(|machine| machine.instance_id()).ok_or("no machine")?;
        let record = dynamodb.update_item().table_name(TABLE).key("id", key.clone());
        let record = record
            .update_expression("SET #id = :id")
            .expression_attribute_names("#id", format!("{role}_ec2_id"));
        record.expression_attribute_values(":id", AttributeValue::S(id.to_owned())).send().await?;
        ids.push(id.to_owned());
    }
    Ok(json!({"launched": ids}))
}

const TABLE: &str = "elephant-meetings";

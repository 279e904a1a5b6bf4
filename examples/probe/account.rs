//! The account that is asked: its clients, what the probe makes in it, and how all of that goes again.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, ResourceType, Tag, TagSpecification};
use elephant_aws::access::Access;
use elephant_aws::sdk;

use crate::options::Options;

/// On everything that the probe makes and that takes a tag, with the run's name as value.
pub const TAG: &str = "elephant:probe";
/// How everything begins that has a name.
pub const PREFIX: &str = "elephant-probe-";

/// A request of a run that was killed may still arrive for so long.
const LATE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);

/// What AWS says no with.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Refusal { code: code.to_owned(), message: message.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

pub fn refusal<E: ProvideErrorMetadata + std::error::Error + 'static>(error: SdkError<E>) -> Refusal {
    let message = match error.message() {
        Some(message) => message.to_owned(),
        None => {
            let parts = std::iter::successors(Some(&error as &dyn std::error::Error), |part| part.source());
            parts.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
    };
    Refusal::new(error.code().unwrap_or("no answer"), message)
}

pub struct Account {
    /// The name of this run.
    pub run: String,
    pub sdk: SdkConfig,
    pub ec2: aws_sdk_ec2::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub scheduler: aws_sdk_scheduler::Client,
    pub image: String,
    pub instance_type: String,
}

impl Account {
    pub async fn open(options: &Options) -> Result<Account, Refusal> {
        let access = Access { region: Some(options.region.clone()), ..Access::from_env() };
        let loaded = sdk::load(&access).await.map_err(|error| Refusal::new("no AWS", error.chain()))?;
        let sdk = loaded.to_builder().region(Region::new(options.region.clone())).build();
        Ok(Account {
            run: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
            ec2: ec2(&sdk),
            dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            scheduler: aws_sdk_scheduler::Client::new(&sdk),
            sdk,
            image: options.image.clone(),
            instance_type: options.instance_type.clone(),
        })
    }

    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.run)
    }

    /// The run's tag and these, on what a request makes.
    pub fn tags(&self, kind: ResourceType, more: &[(&str, &str)]) -> TagSpecification {
        let all = [(TAG, self.run.as_str())].into_iter().chain(more.iter().copied());
        let tags = all.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
    }

    /// A launch by this client that is complete.
    pub fn launch(
        &self,
        client: &aws_sdk_ec2::Client,
        subnet: &str,
        token: &str,
        tags: &[(&str, &str)],
    ) -> RunInstancesFluentBuilder {
        client
            .run_instances()
            .min_count(1)
            .max_count(1)
            .image_id(&self.image)
            .instance_type(self.instance_type.as_str().into())
            .subnet_id(subnet)
            .client_token(token)
            .tag_specifications(self.tags(ResourceType::Instance, tags))
            .tag_specifications(self.tags(ResourceType::Volume, tags))
    }

    /// The subnets of the default VPC, by zone.
    pub async fn subnets(&self) -> Result<Vec<(String, String)>, Refusal> {
        let default = Filter::builder().name("default-for-az").values("true").build();
        let listed = self.ec2.describe_subnets().filters(default).send().await.map_err(refusal)?;
        let pair = |subnet: &aws_sdk_ec2::types::Subnet| {
            Some((subnet.availability_zone()?.to_owned(), subnet.subnet_id()?.to_owned()))
        };
        let mut subnets: Vec<_> = listed.subnets().iter().filter_map(pair).collect();
        subnets.sort();
        match subnets.is_empty() {
            true => Err(Refusal::new("DefaultVpcDoesNotExist", "the Region has no default subnet; make one")),
            false => Ok(subnets),
        }
    }

    pub async fn list(&self, name: &str, value: &str) -> Result<Vec<Instance>, Refusal> {
        let filter = Filter::builder().name(name).values(value).build();
        let pages = self.ec2.describe_instances().filters(filter).into_paginator().items().send();
        let reservations = pages.collect::<Result<Vec<_>, _>>().await.map_err(refusal)?;
        Ok(reservations.iter().flat_map(|one| one.instances().to_vec()).collect())
    }

    /// The machine, unless EC2 has no entry of it.
    pub async fn look(&self, id: &str) -> Result<Option<Instance>, Refusal> {
        let listed = self.ec2.describe_instances().instance_ids(id).send().await.map_err(refusal);
        match listed {
            Ok(listed) => Ok(listed.reservations().iter().flat_map(|one| one.instances()).next().cloned()),
            Err(no) if no.code == "InvalidInstanceID.NotFound" => Ok(None),
            Err(no) => Err(no),
        }
    }

    pub async fn terminate(&self, ids: &[String]) -> Result<(), Refusal> {
        let sent = self.ec2.terminate_instances().set_instance_ids(Some(ids.to_vec())).send().await;
        sent.map(|_| ()).map_err(refusal)
    }

    /// End and remove what this run made, or what every run did; how much of what.
    pub async fn clean_up(&self, every_run: bool) -> Result<Vec<String>, Refusal> {
        let mut removed = self.remove(every_run).await?;
        tokio::time::sleep(LATE).await;
        removed.extend(self.remove(every_run).await?);
        Ok(removed)
    }

    async fn remove(&self, every_run: bool) -> Result<Vec<String>, Refusal> {
        let (name, value) = match every_run {
            true => ("tag-key".to_owned(), TAG),
            false => (format!("tag:{TAG}"), self.run.as_str()),
        };
        let prefix = if every_run { PREFIX.to_owned() } else { self.name() };
        let mut removed = Vec::new();

        let machines = self.list(&name, value).await?;
        let live: Vec<String> = machines.iter().filter(|one| is_live(one)).map(id).collect();
        if !live.is_empty() {
            self.terminate(&live).await?;
            removed.extend(live);
        }
        let tagged = || Filter::builder().name(&name).values(value).build();
        let templates =
            self.ec2.describe_launch_templates().filters(tagged()).into_paginator().items().send();
        for template in templates.collect::<Result<Vec<_>, _>>().await.map_err(refusal)? {
            let id = template.launch_template_id().unwrap_or_default().to_owned();
            let deleted = self.ec2.delete_launch_template().launch_template_id(&id).send().await;
            deleted.map_err(refusal)?;
            removed.push(id);
        }
        let tables = self.dynamodb.list_tables().into_paginator().items().send();
        let tables = tables.collect::<Result<Vec<_>, _>>().await.map_err(refusal)?;
        for table in tables.into_iter().filter(|table| table.starts_with(&prefix)) {
            match self.dynamodb.delete_table().table_name(&table).send().await.map_err(refusal) {
                Ok(_) => removed.push(format!("table {table}")),
                // It is going already.
                Err(no) if no.code == "ResourceNotFoundException" => {}
                // It is being made, or deleted: whoever is told to clean up tries again.
                Err(no) if no.code == "ResourceInUseException" && self.is_going(&table).await => {}
                Err(no) => return Err(no),
            }
        }
        let schedules = self.scheduler.list_schedules().name_prefix(&prefix).into_paginator().items().send();
        for schedule in schedules.collect::<Result<Vec<_>, _>>().await.map_err(refusal)? {
            let name = schedule.name().unwrap_or_default().to_owned();
            match self.scheduler.delete_schedule().name(&name).send().await.map_err(refusal) {
                Ok(_) => removed.push(format!("schedule {name}")),
                // It fired, and deleted itself.
                Err(no) if no.code == "ResourceNotFoundException" => {}
                Err(no) => return Err(no),
            }
        }
        Ok(removed)
    }

    /// Whether the table is being deleted. One that is being made is waited for, and deleted.
    async fn is_going(&self, table: &str) -> bool {
        for _ in 0..120 {
            let described = self.dynamodb.describe_table().table_name(table).send().await;
            match described.ok().and_then(|answer| answer.table?.table_status).as_ref().map(|s| s.as_str()) {
                Some("ACTIVE") => return self.dynamodb.delete_table().table_name(table).send().await.is_ok(),
                Some("CREATING" | "UPDATING") => tokio::time::sleep(LOOK).await,
                _ => return true,
            }
        }
        false
    }
}

/// A client with connections of its own.
pub fn ec2(sdk: &SdkConfig) -> aws_sdk_ec2::Client {
    aws_sdk_ec2::Client::new(sdk)
}

pub fn id(instance: &Instance) -> String {
    instance.instance_id().unwrap_or_default().to_owned()
}

pub fn is_live(instance: &Instance) -> bool {
    let state = instance.state().and_then(|state| state.name());
    !matches!(state, Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated))
}

pub fn is_terminated(instance: &Instance) -> bool {
    instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated)
}

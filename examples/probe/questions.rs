//! The questions, in the order in which they need one another's machines.

use std::fmt;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableStatus,
};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    EbsBlockDevice, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateSpecification, LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData,
    ResourceType, ShutdownBehavior, Tag,
};
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use elephant_core::timing::Timing;
use serde_json::json;

use crate::account::{self, Account, Refusal, TAG, id, is_live, is_terminated, refusal};
use crate::assumptions::{ALL, Evidence, named};
use crate::options::Options;

const MARGIN: Duration = Timing::DEFAULT.max_effect_delay;
const LOOK: Duration = Duration::from_millis(200);
/// Until a machine is terminated, or a table is made.
const PATIENCE: Duration = Duration::from_secs(300);
/// EC2 speaks of "about an hour".
const FORGETS: Duration = Duration::from_secs(100 * 60);
/// What a policy allows by tag in these questions.
const ALLOWED: &str = "elephant:probe-allowed";
/// An id of EC2's form that it never gave.
const NOBODY: &str = "i-0123456789abcdef0";

const DRY_RUN: &str = "DryRunOperation";

enum Verdict {
    AsAssumed(String),
    Differs(String),
}
use Verdict::{AsAssumed, Differs};

fn judged(holds: bool, answer: String) -> Verdict {
    if holds { AsAssumed(answer) } else { Differs(answer) }
}

#[derive(Default)]
pub struct Summary {
    held: Vec<&'static str>,
    differ: Vec<&'static str>,
    failed: Vec<&'static str>,
    skipped: Vec<(&'static str, &'static str)>,
}

impl Summary {
    pub fn is_good(&self) -> bool {
        self.differ.is_empty() && self.failed.is_empty()
    }

    fn note(&mut self, name: &'static str, verdict: Result<Verdict, Refusal>) {
        let assumption = named(name);
        let (word, answer) = match verdict {
            Ok(AsAssumed(answer)) => {
                self.held.push(name);
                ("ok", answer)
            }
            Ok(Differs(answer)) => {
                self.differ.push(name);
                ("DIFFERS", answer)
            }
            Err(problem) => {
                self.failed.push(name);
                ("FAILED", problem.to_string())
            }
        };
        println!("{word:<8}{name}\n        assumed: {}\n        answer:  {answer}", assumption.text);
        if word == "DIFFERS" {
            println!("        change:  {}", assumption.otherwise);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} as assumed, {} differ, {} could not be asked, {} not asked",
            self.held.len(),
            self.differ.len(),
            self.failed.len(),
            self.skipped.len()
        )?;
        for (what, names) in [("differs", &self.differ), ("could not be asked", &self.failed)] {
            if !names.is_empty() {
                write!(f, "\n{what}: {}", names.join(", "))?;
            }
        }
        for (name, options) in &self.skipped {
            write!(f, "\nnot asked: {name} (needs {options})")?;
        }
        Ok(())
    }
}

pub async fn ask_all(account: &Account, options: &Options) -> Result<Summary, Refusal> {
    let subnets = account.subnets().await?;
    let (_, subnet) = subnets.first().ok_or_else(|| Refusal::new("no subnet", "there is none"))?;
    let other = subnets.iter().find(|(zone, _)| *zone != subnets[0].0).map(|(_, subnet)| subnet.as_str());
    let mut asking = Asking { account, options, subnet, other, summary: Summary::default() };
    asking.ask().await?;
    let mut summary = asking.summary;
    for one in &ALL {
        let Evidence::Asked(options) = one.evidence else { continue };
        let asked =
            [&summary.held, &summary.differ, &summary.failed].iter().any(|names| names.contains(&one.name));
        if !asked {
            let options = if options.is_empty() { "a second zone with a default subnet" } else { options };
            summary.skipped.push((one.name, options));
        }
    }
    Ok(summary)
}

struct Asking<'a> {
    account: &'a Account,
    options: &'a Options,
    subnet: &'a str,
    /// One in another zone.
    other: Option<&'a str>,
    summary: Summary,
}

impl Asking<'_> {
    async fn ask(&mut self) -> Result<(), Refusal> {
        // Everything rests on a machine: without one nothing can be asked.
        let token = self.token("first");
        let first = sent(self.launch(&token)).await?;
        let seen = self.list_lag(&token).await;
        self.summary.note("list-lag", seen);
        let repeated = self.token_repeated(&token, &first).await;
        self.summary.note("token-repeated", repeated);
        let refused = self.token_other_parameters(&token).await;
        self.summary.note("token-other-parameters", refused);
        if let Some(other) = self.other {
            let launched = self.token_other_zone(&token, other, &first).await;
            self.summary.note("token-other-zone", launched);
        }
        let in_flight = self.token_in_flight().await;
        self.summary.note("token-in-flight", in_flight);
        let dry = self.dry_run_binds_nothing().await;
        self.summary.note("dry-run-binds-nothing", dry);
        let removed = self.role_tag_removed(&first).await;
        self.summary.note("role-tag-removed", removed);
        self.template().await?;
        if let Some(role) = &self.options.role {
            self.ask_as(role, &token, &first).await;
        }
        self.table().await?;
        self.summary.note("token-terminated", self.token_terminated(&token, &first).await);
        if let Some(role) = &self.options.scheduler_role {
            self.summary.note("schedule-moved", self.schedule_moved(role).await);
        }
        if self.options.long {
            self.ask_for_long(&token, &first).await;
        }
        Ok(())
    }

    fn token(&self, name: &str) -> String {
        format!("probe-{}-{name}", self.account.run)
    }

    fn launch(&self, token: &str) -> RunInstancesFluentBuilder {
        self.account.launch(&self.account.ec2, self.subnet, token, &[("Role", "probe")])
    }

    async fn list_lag(&self, token: &str) -> Result<Verdict, Refusal> {
        let took =
            until(MARGIN * 2, async || Ok(!self.account.list("client-token", token).await?.is_empty()));
        Ok(match took.await? {
            Some(took) => judged(took <= MARGIN, format!("shown after {} ms", took.as_millis())),
            None => Differs(format!("not shown after {} s", (MARGIN * 2).as_secs())),
        })
    }

    async fn token_repeated(&self, token: &str, first: &str) -> Result<Verdict, Refusal> {
        let again = sent(self.launch(token)).await?;
        Ok(judged(again == first, format!("{first}, then {again}")))
    }

    async fn token_other_parameters(&self, token: &str) -> Result<Verdict, Refusal> {
        let other = self.launch(token).instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate);
        Ok(match sent(other).await {
            Ok(id) => Differs(format!("no refusal: {id}")),
            Err(no) => judged(no.code == "IdempotentParameterMismatch", no.to_string()),
        })
    }

    async fn token_other_zone(&self, token: &str, other: &str, first: &str) -> Result<Verdict, Refusal> {
        let launch = self.account.launch(&self.account.ec2, other, token, &[("Role", "probe")]);
        Ok(match sent(launch).await {
            Ok(id) => judged(id != first, format!("{first}, in the other zone {id}")),
            Err(no) => Differs(no.to_string()),
        })
    }

    async fn token_in_flight(&self) -> Result<Verdict, Refusal> {
        let token = self.token("at-once");
        let (one, two) = tokio::join!(sent(self.launch(&token)), sent(self.launch(&token)));
        let told = |answer: &Result<String, Refusal>| match answer {
            Ok(id) => id.clone(),
            Err(no) => no.to_string(),
        };
        let answer = format!("{} and {}", told(&one), told(&two));
        if one.is_err() && two.is_err() {
            return Err(Refusal::new("no machine", answer));
        }
        // Both may be there before either is listed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let machines = self.account.list("client-token", &token).await?.iter().filter(|m| is_live(m)).count();
        let alike = one.is_err() || two.is_err() || one.ok() == two.ok();
        Ok(judged(alike && machines <= 1, format!("{answer}; {machines} listed")))
    }

    async fn dry_run_binds_nothing(&self) -> Result<Verdict, Refusal> {
        let token = self.token("dry");
        let other = self.launch(&token).instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate);
        match sent(other.dry_run(true)).await {
            Err(no) if no.code == DRY_RUN => {}
            Err(no) => return Err(no),
            Ok(id) => return Ok(Differs(format!("the dry run launched {id}"))),
        }
        Ok(match sent(self.launch(&token)).await {
            Ok(id) => AsAssumed(format!("{DRY_RUN}, then with other parameters {id}")),
            Err(no) => Differs(no.to_string()),
        })
    }

    async fn role_tag_removed(&self, first: &str) -> Result<Verdict, Refusal> {
        let role = Tag::builder().key("Role").build();
        let removed = self.account.ec2.delete_tags().resources(first).tags(role).send().await;
        removed.map_err(refusal)?;
        let another = account::ec2(&self.account.sdk);
        let took = until(Duration::from_secs(60), async || {
            let listed = another.describe_instances().instance_ids(first).send().await.map_err(refusal)?;
            let tags = listed.reservations().iter().flat_map(|one| one.instances()).flat_map(|m| m.tags());
            Ok(!tags.into_iter().any(|tag| tag.key() == Some("Role")))
        });
        Ok(match took.await? {
            Some(took) => {
                judged(took <= Duration::from_secs(5), format!("gone after {} ms", took.as_millis()))
            }
            None => Differs("still there after 60 s".to_owned()),
        })
    }

    /// Two questions about one machine, which is launched from a template of the run's.
    async fn template(&mut self) -> Result<(), Refusal> {
        let merged = match self.make_template().await {
            Ok(template) => self.merged(&template).await,
            Err(no) => Err(no),
        };
        let (tags, disks) = match merged {
            Ok((tags, disks)) => (Ok(tags), Ok(disks)),
            Err(no) => (Err(no.clone()), Err(no)),
        };
        self.summary.note("template-tags", tags);
        self.summary.note("template-disks", disks);
        Ok(())
    }

    async fn make_template(&self) -> Result<LaunchTemplateSpecification, Refusal> {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = LaunchTemplateTagSpecificationRequest::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("of-both", "template"))
            .tags(tag("of-the-template", "template"))
            .build();
        let disk = LaunchTemplateBlockDeviceMappingRequest::builder()
            .device_name("/dev/sdf")
            .ebs(
                LaunchTemplateEbsBlockDeviceRequest::builder()
                    .volume_size(1)
                    .delete_on_termination(true)
                    .build(),
            )
            .build();
        let data =
            RequestLaunchTemplateData::builder().tag_specifications(tags).block_device_mappings(disk).build();
        let make = self.account.ec2.create_launch_template().launch_template_name(self.account.name());
        let tags = self.account.tags(ResourceType::LaunchTemplate, &[]);
        let made = make.launch_template_data(data).tag_specifications(tags).send().await.map_err(refusal)?;
        let id = made.launch_template().and_then(|made| made.launch_template_id()).unwrap_or_default();
        Ok(LaunchTemplateSpecification::builder().launch_template_id(id).version("1").build())
    }

    async fn merged(&self, template: &LaunchTemplateSpecification) -> Result<(Verdict, Verdict), Refusal> {
        let disk = aws_sdk_ec2::types::BlockDeviceMapping::builder()
            .device_name("/dev/sdg")
            .ebs(EbsBlockDevice::builder().volume_size(1).delete_on_termination(true).build())
            .build();
        let token = self.token("template");
        let tags = [("of-both", "request"), ("of-the-request", "request")];
        let launch = self.account.launch(&self.account.ec2, self.subnet, &token, &tags);
        let id = sent(launch.launch_template(template.clone()).block_device_mappings(disk)).await?;
        let mut machine = None;
        // Disks are attached while the machine starts.
        until(Duration::from_secs(60), async || {
            machine = self.account.look(&id).await?;
            let disks = machine.iter().flat_map(|machine| machine.block_device_mappings());
            Ok(disks.filter(|disk| matches!(disk.device_name(), Some("/dev/sdf" | "/dev/sdg"))).count() == 2)
        })
        .await?;
        let machine = machine.ok_or_else(|| Refusal::new("not listed", id.clone()))?;
        let value = |key: &str| {
            let tag = machine.tags().iter().find(|tag| tag.key() == Some(key));
            tag.and_then(|tag| tag.value()).unwrap_or("nothing").to_owned()
        };
        let tags = ["of-both", "of-the-template", "of-the-request"].map(value);
        let disks: Vec<&str> =
            machine.block_device_mappings().iter().filter_map(|one| one.device_name()).collect();
        self.account.terminate(&[id]).await?;
        Ok((
            judged(
                tags == ["request", "template", "request"].map(str::to_owned),
                format!("of both {}, of the template {}, of the request {}", tags[0], tags[1], tags[2]),
            ),
            judged(["/dev/sdf", "/dev/sdg"].iter().all(|device| disks.contains(device)), disks.join(", ")),
        ))
    }

    async fn token_terminated(&self, token: &str, first: &str) -> Result<Verdict, Refusal> {
        self.account.terminate(&[first.to_owned()]).await?;
        let dead =
            until(PATIENCE, async || Ok(self.account.look(first).await?.as_ref().is_none_or(is_terminated)));
        dead.await?.ok_or_else(|| Refusal::new("not terminated", format!("{first} lives on")))?;
        Ok(match sent(self.launch(token)).await {
            Ok(id) => judged(id == first, format!("{id}, after {first}")),
            Err(no) => judged(no.code == "IdempotentInstanceTerminated", no.to_string()),
        })
    }
}

/// What two identities share, and what a policy that goes by a tag allows.
impl Asking<'_> {
    async fn ask_as(&mut self, role: &str, token: &str, first: &str) {
        let one = self.session(role, "one", None).await;
        let two = self.session(role, "two", None).await;
        let sessions = self.token_two_sessions(&one, &two).await;
        self.summary.note("token-two-sessions", sessions);
        let launch = self.account.launch(&one, self.subnet, token, &[("Role", "probe")]);
        let roles = match sent(launch).await {
            Ok(id) => Ok(judged(id == first, format!("{first}, under the role {id}"))),
            Err(no) => Err(no),
        };
        self.summary.note("token-two-roles", roles);
        let narrow = self.session(role, "by-tag", Some(by_tag())).await;
        let absent = self.by_tag(&narrow, NOBODY).await;
        self.summary.note("tag-allowed-absent", absent);
        let tagged = self.just_tagged(&narrow).await;
        self.summary.note("tag-allowed-just-tagged", tagged);
    }

    /// EC2 as one who has assumed the role.
    async fn session(&self, role: &str, name: &str, policy: Option<String>) -> Client {
        let sdk = &self.account.sdk;
        let mut builder =
            AssumeRoleProvider::builder(role).session_name(format!("probe-{name}")).configure(sdk);
        if let Some(policy) = policy {
            builder = builder.policy(policy);
        }
        let provider = match sdk.credentials_provider() {
            Some(own) => builder.build_from_provider(own).await,
            None => builder.build().await,
        };
        let sdk: SdkConfig =
            sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
        account::ec2(&sdk)
    }

    async fn token_two_sessions(&self, one: &Client, two: &Client) -> Result<Verdict, Refusal> {
        let token = self.token("sessions");
        let launch = |client| self.account.launch(client, self.subnet, &token, &[("Role", "probe")]);
        let (first, again) = (sent(launch(one)).await?, sent(launch(two)).await?);
        Ok(judged(first == again, format!("{first}, then {again}")))
    }

    /// What a client that may end by tag alone is told of this machine.
    async fn by_tag(&self, narrow: &Client, id: &str) -> Result<Verdict, Refusal> {
        Ok(match narrow.terminate_instances().instance_ids(id).send().await.map_err(refusal) {
            Ok(_) => Differs("it was done".to_owned()),
            Err(no) => judged(
                matches!(no.code.as_str(), "UnauthorizedOperation" | "InvalidInstanceID.NotFound"),
                no.to_string(),
            ),
        })
    }

    async fn just_tagged(&self, narrow: &Client) -> Result<Verdict, Refusal> {
        let id = sent(self.launch(&self.token("tagged"))).await?;
        let tag = Tag::builder().key(ALLOWED).value(&self.account.run).build();
        self.account.ec2.create_tags().resources(&id).tags(tag).send().await.map_err(refusal)?;
        let mut refusals = 0;
        let took = until(MARGIN * 2, async || {
            let sent = narrow.terminate_instances().instance_ids(&id).dry_run(true).send().await;
            match sent.map_err(refusal) {
                Ok(_) => Ok(true),
                Err(no) if no.code == DRY_RUN => Ok(true),
                Err(no) if no.code == "UnauthorizedOperation" => {
                    refusals += 1;
                    Ok(false)
                }
                Err(no) => Err(no),
            }
        });
        let took = took.await?;
        Ok(match took {
            Some(took) => judged(
                took <= MARGIN,
                format!("allowed after {} ms, refused {refusals} times before", took.as_millis()),
            ),
            None => Differs(format!("refused {refusals} times in {} s", (MARGIN * 2).as_secs())),
        })
    }
}

/// A table of the run's, and a schedule of its.
impl Asking<'_> {
    async fn table(&mut self) -> Result<(), Refusal> {
        let (condition, empty) = match self.make_table().await {
            Ok(()) => (self.index_key_condition().await, self.index_key_empty().await),
            Err(no) => (Err(no.clone()), Err(no)),
        };
        self.summary.note("index-key-condition", condition);
        self.summary.note("index-key-empty", empty);
        Ok(())
    }

    /// As the product's own, with an index by `status`.
    async fn make_table(&self) -> Result<(), Refusal> {
        let text = |name: &str| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
        };
        let hash =
            |name: &str| KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build();
        let incomplete = |error: aws_smithy_types::error::operation::BuildError| {
            Refusal::new("incomplete", error.to_string())
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name("by-status")
            .key_schema(hash("status").map_err(incomplete)?)
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        let name = self.account.name();
        let make = self
            .account
            .dynamodb
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(text("id").map_err(incomplete)?)
            .attribute_definitions(text("status").map_err(incomplete)?)
            .key_schema(hash("id").map_err(incomplete)?)
            .global_secondary_indexes(index.build().map_err(incomplete)?);
        make.send().await.map_err(refusal)?;
        let made = until(PATIENCE, async || {
            let described = self.account.dynamodb.describe_table().table_name(&name).send().await;
            let table = described.map_err(refusal)?.table;
            Ok(table.and_then(|table| table.table_status) == Some(TableStatus::Active))
        });
        made.await?.ok_or_else(|| Refusal::new("not made", format!("the table {name}")))?;
        let put = self.account.dynamodb.put_item().table_name(&name).item("id", text_value("m"));
        put.item("status", text_value("SCHEDULED")).send().await.map_err(refusal)?;
        Ok(())
    }

    async fn update(&self, value: AttributeValue, condition: Option<&str>) -> Result<(), Refusal> {
        let update = self
            .account
            .dynamodb
            .update_item()
            .table_name(self.account.name())
            .key("id", text_value("m"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":value", value);
        let update = match condition {
            Some(condition) => update.condition_expression(condition).update_expression("REMOVE nothing"),
            None => update.update_expression("SET #status = :value"),
        };
        update.send().await.map(|_| ()).map_err(refusal)
    }

    async fn index_key_condition(&self) -> Result<Verdict, Refusal> {
        let holds = self.update(text_value(""), Some("#status <> :value")).await;
        let fails = self.update(text_value(""), Some("#status = :value")).await;
        Ok(match (holds, fails) {
            (Ok(()), Err(no)) => judged(
                no.code == "ConditionalCheckFailedException",
                format!("compared; the one that is not true: {}", no.code),
            ),
            (Ok(()), Ok(())) => Differs("a value is taken for empty".to_owned()),
            (Err(no), _) => Differs(no.to_string()),
        })
    }

    async fn index_key_empty(&self) -> Result<Verdict, Refusal> {
        Ok(match self.update(text_value(""), None).await {
            Ok(()) => Differs("it was written".to_owned()),
            Err(no) => judged(no.code == "ValidationException", no.to_string()),
        })
    }

    /// The schedule tags a machine, once for each time that it fires.
    async fn schedule_moved(&self, role: &str) -> Result<Verdict, Refusal> {
        let machine = sent(self.launch(&self.token("schedule"))).await?;
        let tag =
            json!({"Key": "fired:<aws.scheduler.execution-id>", "Value": "<aws.scheduler.scheduled-time>"});
        let target = Target::builder()
            .arn("arn:aws:scheduler:::aws-sdk:ec2:createTags")
            .role_arn(role)
            .input(json!({"Resources": [machine], "Tags": [tag]}).to_string())
            .retry_policy(RetryPolicy::builder().maximum_retry_attempts(0).build())
            .build()
            .map_err(|error| Refusal::new("incomplete", error.to_string()))?;
        let exactly = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let exactly = exactly.map_err(|error| Refusal::new("incomplete", error.to_string()))?;
        let start = jiff::Timestamp::now();
        let due = start + Duration::from_secs(60);
        let at = |time: jiff::Timestamp| format!("at({})", time.strftime("%Y-%m-%dT%H:%M:%S"));
        let name = self.account.name();
        let make = self.account.scheduler.create_schedule().name(&name).schedule_expression(at(due));
        let make = make.flexible_time_window(exactly.clone()).target(target.clone());
        make.action_after_completion(ActionAfterCompletion::Delete).send().await.map_err(refusal)?;
        tokio::time::sleep(
            Duration::try_from(due.duration_since(jiff::Timestamp::now())).unwrap_or_default(),
        )
        .await;
        let move_it = self.account.scheduler.update_schedule().name(&name);
        let move_it = move_it.schedule_expression(at(due + Duration::from_secs(60)));
        let move_it = move_it.flexible_time_window(exactly).target(target);
        let moved = move_it.action_after_completion(ActionAfterCompletion::Delete).send().await;
        let moved = moved.map(|_| ()).map_err(refusal);
        // Scheduler is precise to a minute.
        tokio::time::sleep(Duration::from_secs(150)).await;
        let tags =
            self.account.look(&machine).await?.map(|machine| machine.tags().to_vec()).unwrap_or_default();
        let fired: Vec<&str> = tags
            .iter()
            .filter(|tag| tag.key().is_some_and(|key| key.starts_with("fired:")))
            .filter_map(|tag| tag.value())
            .collect();
        self.account.terminate(&[machine]).await?;
        let moved_well = match &moved {
            Ok(()) => true,
            Err(no) => matches!(no.code.as_str(), "ResourceNotFoundException" | "ConflictException"),
        };
        let told = moved.map_or_else(|no| format!("refused with {no}"), |()| "done".to_owned());
        Ok(judged(
            moved_well && matches!(fired.len(), 1 | 2),
            format!("the move was {told}; it fired {} times ({})", fired.len(), fired.join(", ")),
        ))
    }
}

/// An hour after a termination.
impl Asking<'_> {
    async fn ask_for_long(&mut self, token: &str, first: &str) {
        println!("\nwaiting until EC2 forgets {first}, about an hour\n");
        let watched = self.watch_the_dead(first).await;
        let (tags, entry) = match watched {
            Ok((tags, entry)) => {
                let told = |what: Option<Duration>| match what {
                    Some(after) => format!("gone after {:.1} min", after.as_secs_f32() / 60.0),
                    None => format!("there after {} min", FORGETS.as_secs() / 60),
                };
                let earlier = entry.is_none_or(|entry| tags.is_some_and(|tags| tags <= entry));
                (Ok(judged(earlier, told(tags))), Ok(judged(entry.is_some(), told(entry))))
            }
            Err(no) => (Err(no.clone()), Err(no)),
        };
        self.summary.note("tags-of-the-dead", tags);
        self.summary.note("entry-of-the-dead", entry);
        let again = match sent(self.launch(token)).await {
            Ok(id) => AsAssumed(format!("{id}, after {first}")),
            Err(no) => judged(no.code == "IdempotentInstanceTerminated", no.to_string()),
        };
        self.summary.note("token-long-dead", Ok(again));
        if let Some(role) = &self.options.role {
            let narrow = self.session(role, "forgotten", Some(by_tag())).await;
            let forgotten = self.by_tag(&narrow, first).await;
            self.summary.note("tag-allowed-forgotten", forgotten);
        }
    }

    /// How long after its termination it has no tags, and no entry.
    async fn watch_the_dead(&mut self, first: &str) -> Result<(Option<Duration>, Option<Duration>), Refusal> {
        // One connection that is used now, and then not before EC2 has forgotten.
        let idle = account::ec2(&self.account.sdk);
        idle.describe_instances().max_results(5).send().await.map_err(refusal)?;
        let start = Instant::now();
        let (mut tags, mut entry) = (None, None);
        while entry.is_none() && start.elapsed() < FORGETS {
            match self.account.look(first).await? {
                None => entry = Some(start.elapsed()),
                Some(machine) if machine.tags().iter().all(|tag| tag.key() != Some(TAG)) => {
                    tags.get_or_insert_with(|| start.elapsed());
                }
                Some(_) => {}
            }
            let pause = if start.elapsed() < Duration::from_secs(60) { 1 } else { 15 };
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        let minutes = start.elapsed().as_secs_f32() / 60.0;
        let first_request = match idle.describe_instances().max_results(5).send().await.map_err(refusal) {
            Ok(_) => AsAssumed(format!("answered after {minutes:.1} min")),
            Err(no) => Differs(no.to_string()),
        };
        self.summary.note("frozen-connection", Ok(first_request));
        // A machine without an entry has no tags either.
        Ok((tags.or(entry), entry))
    }
}

/// All that a session of the role may do, at most: to end what has the tag.
fn by_tag() -> String {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*",
        "Condition": {"Null": {format!("aws:ResourceTag/{ALLOWED}"): "false"}},
    }]})
    .to_string()
}

fn text_value(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The machine that the request answers.
async fn sent(request: RunInstancesFluentBuilder) -> Result<String, Refusal> {
    let answer = request.send().await.map_err(refusal)?;
    let first = answer.instances().first().map(id);
    first.ok_or_else(|| Refusal::new("no machine", "RunInstances answered none"))
}

/// How long it took until it was so; nothing if it was not within the limit.
async fn until(
    limit: Duration,
    mut is_so: impl AsyncFnMut() -> Result<bool, Refusal>,
) -> Result<Option<Duration>, Refusal> {
    let start = Instant::now();
    loop {
        if is_so().await? {
            return Ok(Some(start.elapsed()));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

//! Machines and look-ups over EC2, one file for each kind: requests, and the meaning of the answers (`ec2/meaning.rs`).

mod consoles;
mod fleet;
mod hardware;
mod images;
mod instance_types;
mod key_pairs;
mod launch_templates;
mod leftovers;
mod meaning;
mod networks;
mod vpcs;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState, IamInstanceProfileSpecification, Instance,
    InstanceInterruptionBehavior, InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceStateName, InstanceType, LaunchTemplateSpecification,
    MarketType, ResourceType, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag, TagSpecification,
    VolumeType,
};

use crate::sdk::Calls;
use crate::sdk::{self, CallCounter};
use elephant_core::error::{AwsError, Class};
use elephant_core::launch_template::Pinned;
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceId, InstanceProfile, Machine, Market, Parameters, ROLE_TAG, RootVolume,
    State, Token,
};
use elephant_core::ports::{DryRuns, FindByToken, Machines, Terminate};
use elephant_core::timing::Timing;

pub struct Ec2 {
    client: Client,
    run_instances: Duration,
}

impl Ec2 {
    /// The SDK repeats every request that may be repeated (all but RunInstances), within one limit for all tries.
    pub fn new(sdk: &aws_config::SdkConfig, timing: &Timing) -> Self {
        Ec2::of(config(sdk, timing), timing)
    }

    /// An `Ec2` whose requests are counted.
    pub fn counted(sdk: &aws_config::SdkConfig, timing: &Timing, calls: &Arc<Calls>) -> Self {
        Ec2::of(config(sdk, timing).interceptor(CallCounter(calls.clone())), timing)
    }

    fn of(config: aws_sdk_ec2::config::Builder, timing: &Timing) -> Self {
        let client = Client::from_conf(config.build());
        Ec2 { client, run_instances: timing.run_instances }
    }
}

fn config(sdk: &aws_config::SdkConfig, timing: &Timing) -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::from(sdk)
        .timeout_config(TimeoutConfig::builder().operation_timeout(timing.ec2).build())
}

impl Machines for Ec2 {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        let answer = self
            .request(&attempt.parameters)
            .client_token(attempt.token.as_str())
            .customize()
            .config_override(self.once())
            .send()
            .await
            .map_err(|error| failed("RunInstances", &error))?;
        answer.instances().iter().find_map(to_machine).ok_or_else(|| AwsError {
            action: "RunInstances",
            class: Class::Ambiguous,
            code: None,
            message: "answered 200 without an instance".to_owned(),
            request_id: answer.request_id().map(str::to_owned),
            advice: String::new(),
        })
    }
}

impl FindByToken for Ec2 {
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        let ours = filter("client-token", token.as_str());
        let pages = self.client.describe_instances().filters(ours).into_paginator().items().send();
        let reservations = self.all("DescribeInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(reservations
            .iter()
            .flat_map(|reservation| reservation.instances())
            .filter_map(to_machine)
            .collect())
    }
}

impl Terminate for Ec2 {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let tag = Tag::builder().key(ROLE_TAG).build();
        let answer = self.client.delete_tags().resources(instance.as_str()).tags(tag).send().await;
        answer.map(|_| ()).map_err(|error| failed("DeleteTags", &error))
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let answer = self.client.terminate_instances().instance_ids(instance.as_str()).send().await;
        answer.map(|_| ()).map_err(|error| failed("TerminateInstances", &error))
    }
}

impl DryRuns for Ec2 {
    async fn dry_run(&self, parameters: &Parameters) -> Result<(), AwsError> {
        let request = self.request(parameters).dry_run(true).customize().config_override(self.once());
        match request.send().await {
            // EC2 answers a dry run only with errors.
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("DryRunOperation") => Ok(()),
            Err(error) => Err(failed("RunInstances", &error)),
        }
    }
}

impl Ec2 {
    /// Everything in a request that would launch a machine, except the token.
    fn request(&self, p: &Parameters) -> RunInstancesFluentBuilder {
        // A public address belongs to a network interface, and then subnet and security groups must be there, too.
        let interface = p.public_ip.map(|public| {
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .subnet_id(&p.subnet_id)
                .set_groups(Some(p.security_group_ids.clone()).filter(|groups| !groups.is_empty()))
                .associate_public_ip_address(public)
                .delete_on_termination(true)
                .build()
        });
        let alone = interface.is_none();
        self.client
            .run_instances()
            .min_count(1)
            .max_count(1)
            .set_launch_template(p.launch_template.as_ref().map(to_launch_template))
            .image_id(&p.image_id)
            .instance_type(InstanceType::from(p.instance_type.as_str()))
            .set_subnet_id(alone.then(|| p.subnet_id.clone()))
            .set_security_group_ids(
                Some(p.security_group_ids.clone()).filter(|groups| alone && !groups.is_empty()),
            )
            .set_network_interfaces(interface.map(|interface| vec![interface]))
            .set_key_name(p.key_name.clone())
            .set_iam_instance_profile(p.iam_profile.as_ref().map(to_iam_instance_profile))
            .set_block_device_mappings(p.root_volume.as_ref().map(|volume| vec![to_root_volume(volume)]))
            .set_instance_market_options((p.market == Market::Spot).then(to_spot))
            .set_user_data(p.user_data.clone())
            .set_metadata_options(p.imds_tokens.map(to_metadata_options))
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .set_tag_specifications(Some(to_tag_specifications(&p.tags, p.market)))
    }

    fn once(&self) -> aws_sdk_ec2::config::Builder {
        aws_sdk_ec2::config::Builder::new()
            // The SDK must not repeat this: the second answer would hide a time-out of the first request. The SDK would
            // also repeat a refusal for capacity, an HTTP 500, in the same zone.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(self.run_instances).build())
    }

    /// All pages of a list. The SDK's limit is for each page; the caller limits the whole.
    async fn all<T, E>(
        &self,
        action: &'static str,
        pages: impl Future<Output = Result<Vec<T>, SdkError<E>>>,
    ) -> Result<Vec<T>, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E>: RequestId,
    {
        pages.await.map_err(|error| failed(action, &error))
    }
}

fn to_iam_instance_profile(profile: &InstanceProfile) -> IamInstanceProfileSpecification {
    let builder = IamInstanceProfileSpecification::builder();
    match profile {
        InstanceProfile::Name(name) => builder.name(name).build(),
        InstanceProfile::Arn(arn) => builder.arn(arn).build(),
    }
}

fn to_launch_template(template: &Pinned) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification::builder()
        .launch_template_id(&template.launch_template_id)
        .version(&template.version)
        .build()
}

fn to_root_volume(volume: &RootVolume) -> BlockDeviceMapping {
    let ebs = EbsBlockDevice::builder()
        .volume_size(volume.size_gb)
        .volume_type(VolumeType::from(volume.volume_type.as_str()))
        .delete_on_termination(true)
        .set_encrypted(volume.encrypted.then_some(true))
        .set_iops(volume.iops)
        .set_throughput(volume.throughput)
        .set_kms_key_id(volume.kms_key_id.clone())
        .build();
    BlockDeviceMapping::builder().device_name(&volume.device_name).ebs(ebs).build()
}

/// A one-time request: a persistent one would start further machines by itself, and nobody would end them.
fn to_spot() -> InstanceMarketOptionsRequest {
    let once = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(once).build()
}

fn to_metadata_options(tokens: ImdsTokens) -> InstanceMetadataOptionsRequest {
    let tokens = match tokens {
        ImdsTokens::Required => HttpTokensState::Required,
        ImdsTokens::Optional => HttpTokensState::Optional,
    };
    InstanceMetadataOptionsRequest::builder().http_tokens(tokens).build()
}

/// A filter for exactly this value. EC2 takes a filter's value as a pattern, so the special characters are escaped.
fn filter(name: &str, value: &str) -> Filter {
    filter_of(name, &[value.to_owned()])
}

/// A filter for any of these values.
fn filter_of(name: &str, values: &[String]) -> Filter {
    let literal = |text: &String| text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?");
    Filter::builder().name(name).set_values(Some(values.iter().map(literal).collect())).build()
}

/// A filter for a pattern, in which `*` and `?` stand for other characters.
fn pattern(name: &str, pattern: &str) -> Filter {
    Filter::builder().name(name).values(pattern).build()
}

/// The same tags for everything that the request makes, so that a leftover volume is found as well. EC2 refuses tags of
/// a Spot request in a launch on demand (terraform-aws-github-runner #4561).
fn to_tag_specifications(tags: &BTreeMap<String, String>, market: Market) -> Vec<TagSpecification> {
    let mut kinds = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    kinds.extend((market == Market::Spot).then_some(ResourceType::SpotInstancesRequest));
    kinds.into_iter().map(|kind| tagged(kind, tags)).collect()
}

fn tagged(kind: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

fn to_machine(instance: &Instance) -> Option<Machine> {
    let state = match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) | None => State::Pending,
        Some(InstanceStateName::Running) => State::Running,
        Some(InstanceStateName::Stopping) => State::Stopping,
        Some(InstanceStateName::Stopped) => State::Stopped,
        Some(InstanceStateName::ShuttingDown) => State::ShuttingDown,
        Some(InstanceStateName::Terminated) => State::Terminated,
        // A state that EC2 may add later counts as live, because no second machine is launched beside a live one.
        Some(_) => State::Running,
    };
    Some(Machine {
        instance_id: InstanceId::from(instance.instance_id()?),
        state,
        state_reason: instance
            .state_reason()
            .and_then(|reason| reason.code())
            .filter(|code| !code.is_empty())
            .map(str::to_owned),
        tags: to_tags(instance.tags()),
    })
}

fn to_tags(tags: &[Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

fn failed<E>(action: &'static str, error: &SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    let answer = sdk::Answer { action, request_id: error.request_id().map(str::to_owned) };
    let class_of =
        |code: Option<&str>, message: &str, status| meaning::class_of(action, code, message, status);
    sdk::failed(answer, error, class_of, meaning::advice)
}

//! Launch templates over EC2.

use aws_sdk_ec2::types::{LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateTagSpecification};

use elephant_core::error::{AwsError, Class};
use elephant_core::launch_template::{LaunchTemplate, Named, Pinned, Template};
use elephant_core::ports::LaunchTemplates;

use super::{Ec2, failed};

impl LaunchTemplates for Ec2 {
    async fn find_launch_template(&self, wanted: &LaunchTemplate) -> Result<Template, AwsError> {
        let request = self.client.describe_launch_template_versions().versions(&wanted.version);
        let request = match &wanted.named {
            Named::Id(id) => request.launch_template_id(id),
            Named::Name(name) => request.launch_template_name(name),
        };
        let answer =
            request.send().await.map_err(|error| failed("DescribeLaunchTemplateVersions", &error))?;
        let found = answer.launch_template_versions().first();
        let template = found.and_then(|found| {
            let data = found.launch_template_data()?;
            let groups = data.security_group_ids().len() + data.security_groups().len();
            Some(Template {
                pinned: Pinned {
                    launch_template_id: found.launch_template_id()?.to_owned(),
                    version: found.version_number()?.to_string(),
                },
                image: data.image_id().map(str::to_owned),
                instance_type: data.instance_type().map(|kind| kind.as_str().to_owned()),
                has_security_groups: groups > 0,
                has_network_interfaces: !data.network_interfaces().is_empty(),
                has_market_options: data.instance_market_options().is_some(),
                has_instance_requirements: data.instance_requirements().is_some(),
                availability_zone: data
                    .placement()
                    .and_then(|placement| placement.availability_zone())
                    .map(str::to_owned),
                is_protected: data.disable_api_termination() == Some(true)
                    || data.disable_api_stop() == Some(true),
                has_groups_by_name: !data.security_groups().is_empty(),
                has_no_metadata: data.metadata_options().and_then(|options| options.http_endpoint())
                    == Some(&LaunchTemplateInstanceMetadataEndpointState::Disabled),
                tags: data.tag_specifications().iter().flat_map(to_keys).collect(),
                devices: data
                    .block_device_mappings()
                    .iter()
                    .filter_map(|device| device.device_name())
                    .map(str::to_owned)
                    .collect(),
            })
        });
        template.ok_or_else(|| AwsError {
            action: "DescribeLaunchTemplateVersions",
            class: Class::Misconfigured,
            code: None,
            message: format!("there is no version {} of it", wanted.version),
            request_id: None,
            advice: "change LAUNCH_TEMPLATE".to_owned(),
        })
    }
}

/// The kind of thing that is tagged, with each tag's key.
fn to_keys(tags: &LaunchTemplateTagSpecification) -> Vec<(String, String)> {
    let kind = tags.resource_type().map(|kind| kind.as_str()).unwrap_or_default();
    tags.tags().iter().filter_map(|tag| Some((kind.to_owned(), tag.key()?.to_owned()))).collect()
}

//! Launch templates over EC2.

use crate::error::{AwsError, Class};
use crate::launch_template::{LaunchTemplate, Named, Pinned, Template};
use crate::needs::LaunchTemplates;

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

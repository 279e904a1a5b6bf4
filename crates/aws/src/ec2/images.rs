//! Images over EC2: one by its id, or all of a name.

use aws_sdk_ec2::types::ImageState;
use jiff::Timestamp;

use super::{Ec2, filter, pattern};
use elephant_core::error::{AwsError, Class};
use elephant_core::image::{Architecture, Image};
use elephant_core::ports::Images;

impl Images for Ec2 {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        let pages = self.client.describe_images().image_ids(image_id).into_paginator().items().send();
        let images = self.all("DescribeImages", pages.collect::<Result<Vec<_>, _>>()).await?;
        let found = images.first().ok_or_else(|| {
            unusable(format!("no image {image_id} is visible to this account in this Region"))
        })?;
        if let Some(state) = found.state().filter(|state| **state != ImageState::Available) {
            return Err(unusable(format!("the image {image_id} is {state}")));
        }
        to_image(found).ok_or_else(|| unusable(format!("the image {image_id} has no root device")))
    }

    async fn find_images(
        &self,
        name: &str,
        owner: &str,
        architecture: Option<Architecture>,
    ) -> Result<Vec<Image>, AwsError> {
        let mut filters = vec![pattern("name", name), filter("state", "available")];
        filters.extend(architecture.map(|architecture| filter("architecture", architecture.as_str())));
        let images = self.client.describe_images().owners(owner).set_filters(Some(filters));
        let pages = images.include_deprecated(false).into_paginator().items().send();
        let images = self.all("DescribeImages", pages.collect::<Result<Vec<_>, _>>()).await?;
        // EC2 shows owners their own deprecated images, whatever the request says.
        let now = Timestamp::now();
        let deprecated = |image: &&aws_sdk_ec2::types::Image| {
            let since = image.deprecation_time().and_then(|date| date.parse::<Timestamp>().ok());
            since.is_some_and(|since| since <= now)
        };
        Ok(images.iter().filter(|image| !deprecated(image)).filter_map(to_image).collect())
    }
}

fn unusable(message: String) -> AwsError {
    AwsError {
        action: "DescribeImages",
        class: Class::Misconfigured,
        code: None,
        message,
        request_id: None,
        advice: "change AMI_ID or AMI_NAME to an image of this Region that is shared with this account"
            .to_owned(),
    }
}

fn to_image(image: &aws_sdk_ec2::types::Image) -> Option<Image> {
    let root_device = image.root_device_name()?;
    let root = image.block_device_mappings().iter().find(|device| device.device_name() == Some(root_device));
    Some(Image {
        image_id: image.image_id()?.to_owned(),
        root_device: root_device.to_owned(),
        snapshot_gb: root.and_then(|root| root.ebs()).and_then(|ebs| ebs.volume_size()),
        architecture: image.architecture().map(|known| known.as_str()).unwrap_or_default().to_owned(),
        // EC2 sends the word in lower case, and the SDK's own word has capital letters.
        is_windows: image.platform().is_some_and(|word| word.as_str().eq_ignore_ascii_case("windows")),
        created: image.creation_date().and_then(|date| date.parse().ok()),
    })
}

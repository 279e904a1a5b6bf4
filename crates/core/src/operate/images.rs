//! Images made of a machine: `snapshot`, `images`, `delete_image`; the image that launches start from: `latest_image`.
//!
//! EC2 allows each name once for an account and Region, so the name tells whether this request has come before. An
//! image consists of snapshots. They outlive the image unless they are deleted after it.

use std::cell::RefCell;

use serde::Serialize;

use super::{Found, OperateAnswer, OperateDelivery, OperatePorts, Operator, Outcome};
use crate::config::OperateConfig;
use crate::deadline::Backoff;
use crate::error::{AwsError, Error, Kind, Service};
use crate::hardware::{Hardware, INSTANCE_TAG, NewImage, OwnImage};
use crate::lookups::{self, LookupError};
use crate::machine::{InstanceId, MEETING_TAG, ROLE_TAG};
use crate::plan::operate as plan;
use crate::ports::OwnImages;

/// The image from which `launch` would start machines now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LatestImage {
    pub image_id: String,
    pub architecture: String,
    pub root_device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The configuration's words for it.
    pub source: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageAnswer {
    /// The id to use as `AMI_ID` or as a meeting's `image_id`.
    pub image_id: String,
    pub name: String,
    /// `pending` for some minutes, then `available`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The machine that the image was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    pub snapshot_ids: Vec<String>,
}

impl From<OwnImage> for ImageAnswer {
    fn from(image: OwnImage) -> Self {
        let tag = |key: &str| image.tags.get(key).cloned();
        ImageAnswer {
            meeting_id: tag(MEETING_TAG),
            role: tag(ROLE_TAG),
            instance_id: tag(INSTANCE_TAG),
            image_id: image.image_id,
            name: image.name,
            state: image.state,
            created_at: image.created_at,
            snapshot_ids: image.snapshot_ids,
        }
    }
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    pub(super) async fn snapshot(
        &self,
        of: &Hardware,
        name: &str,
        reboot: bool,
        wait: bool,
    ) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let mut outcome = Outcome::Unchanged;
        let image = match self.ask(Service::Ec2, || ec2.find_named(name)).await? {
            Some(image) => image,
            None => {
                if of.has_instance_store_root {
                    let why = "its root is on a disk of its host, of which EC2 makes no image";
                    return Err(self.refused(format!("{}: {why}", of.instance_id())));
                }
                self.at_rest(of).await?;
                let image = NewImage {
                    instance_id: of.instance_id().clone(),
                    name: name.to_owned(),
                    reboot,
                    tags: self.tags(of, name),
                };
                let (create, alive) =
                    (|| ec2.create_image(&image), async |_: &AwsError| self.alive(of.instance_id()).await);
                if self.settle(Service::Ec2, create, alive).await?.flatten().is_some() {
                    outcome = Outcome::Done;
                }
                // This request or a parallel one has just made it. EC2 shows it after a moment.
                let not_yet = format!("the image {name:?} is not to be seen yet");
                self.until(&not_yet, async || self.ask(Service::Ec2, || ec2.find_named(name)).await).await?
            }
        };
        self.is_of(&image, of)?;
        let image = if wait { self.until_available(image).await? } else { image };
        match image.state.as_str() {
            "disabled" => {
                let (name, id) = (&image.name, &image.image_id);
                Err(self.refused(format!(
                    "the image {name:?} is there, {id}, and disabled: enable it, or choose another name"
                )))
            }
            "pending" | "available" => {
                Ok(OperateAnswer { image: Some(image.into()), ..self.answer(of, outcome) })
            }
            state => {
                let why = image.state_reason.as_deref().unwrap_or("no reason given");
                let (name, id) = (&image.name, &image.image_id);
                Err(self.refused(format!(
                    "the image {name:?} ({id}) is {state}: {why}; delete it, then ask again"
                )))
            }
        }
    }

    /// Whether the image of this name was made of this machine; somebody else may have used the name.
    fn is_of(&self, image: &OwnImage, of: &Hardware) -> Result<(), Error> {
        let made_of = image.tags.get(INSTANCE_TAG).map(String::as_str);
        if self.is_ours(&image.tags) && made_of == Some(of.instance_id().as_str()) {
            return Ok(());
        }
        let whose = match made_of.filter(|_| self.is_ours(&image.tags)) {
            Some(other) => format!("was made of {other}"),
            None => "is none of ours".to_owned(),
        };
        let (name, id) = (&image.name, &image.image_id);
        Err(self
            .refused(format!("the name {name:?} is taken by the image {id}, which {whose}: choose another")))
    }

    async fn until_available(&self, image: OwnImage) -> Result<OwnImage, Error> {
        let ec2 = &self.operator.ec2;
        let id = image.image_id.clone();
        self.until(&format!("the image {id} is not available yet"), async || {
            match self.ask(Service::Ec2, || ec2.find_by_id(&id)).await? {
                Some(image) if image.state != "pending" => Ok(Some(image)),
                _ => Ok(None),
            }
        })
        .await
    }

    /// The images of one machine, or all of ours; the newest first.
    pub(super) async fn images(&self, of: Option<&InstanceId>) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let project = &self.operator.config.project_tag;
        let mut images = self.ask(Service::Ec2, || ec2.list_own(project)).await?;
        images.retain(|image| {
            of.is_none_or(|of| image.tags.get(INSTANCE_TAG).map(String::as_str) == Some(of.as_str()))
        });
        plan::newest_first(&mut images);
        Ok(OperateAnswer {
            verb: self.verb,
            outcome: Outcome::Unchanged,
            instance_id: of.map(ToString::to_string),
            images: Some(images.into_iter().map(ImageAnswer::from).collect()),
            ..OperateAnswer::default()
        })
    }

    /// Delete the image before its snapshots: EC2 does not delete a snapshot that an image uses. If a request dies in
    /// between, its repeat finds the snapshots of the deleted image by the text that CreateImage wrote on them.
    pub(super) async fn delete_image(&self, image_id: &str) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let project = &self.operator.config.project_tag;
        let image = self.ask(Service::Ec2, || ec2.find_by_id(image_id)).await?;
        if let Some(image) = &image
            && !self.is_ours(&image.tags)
        {
            return Err(self.refused(format!("the image {image_id} has not the tag Project of ours")));
        }
        if image.as_ref().is_some_and(|image| image.is_protected) {
            let problem =
                format!("{}: the image {image_id} is protected against being deregistered", self.verb);
            return Err(Error::new(Kind::OperationRefused, problem, plan::UNPROTECT_IMAGE));
        }
        let mut snapshots = self.ask(Service::Ec2, || ec2.find_snapshots(image_id, project)).await?;
        if let Some(image) = &image {
            snapshots.extend(
                image.snapshot_ids.iter().filter(|id| !snapshots.contains(id)).cloned().collect::<Vec<_>>(),
            );
            let look = async |_: &AwsError| self.look_at_image(image_id).await;
            self.settle(Service::Ec2, || ec2.deregister(image_id), look).await?;
        }
        for snapshot in &snapshots {
            let look = async |error: &AwsError| self.look_at_snapshot(snapshot, image_id, error).await;
            self.settle(Service::Ec2, || ec2.delete_snapshot(snapshot), look).await?;
        }
        let nothing = image.is_none() && snapshots.is_empty();
        Ok(OperateAnswer {
            verb: self.verb,
            outcome: if nothing { Outcome::Unchanged } else { Outcome::Done },
            image: image.map(ImageAnswer::from),
            deleted_snapshot_ids: Some(snapshots),
            ..OperateAnswer::default()
        })
    }

    /// A look at an image that EC2 refused to touch.
    async fn look_at_image(&self, image_id: &str) -> Result<Found, Error> {
        let ec2 = &self.operator.ec2;
        match self.ask(Service::Ec2, || ec2.find_by_id(image_id)).await? {
            None => Ok(Found::Gone),
            Some(image) if !self.is_ours(&image.tags) => {
                Err(self.refused(format!("the image {image_id} has not the tag Project of ours")))
            }
            Some(image) => Ok(Found::Stands(image.created_at.and_then(|time| time.parse().ok()))),
        }
    }

    /// A look at a snapshot that EC2 refused to touch. EC2 keeps a snapshot in use for a while after its image is gone
    /// (boto #3019), and as long as another image uses it.
    async fn look_at_snapshot(&self, id: &str, image_id: &str, error: &AwsError) -> Result<Found, Error> {
        let ec2 = &self.operator.ec2;
        if let Some(other) = plan::another(&error.message, "ami-", image_id) {
            return Err(self.refused(format!("the image {other} stands on the snapshot {id}, too")));
        }
        match self.ask(Service::Ec2, || ec2.find_snapshot(id)).await? {
            None => Ok(Found::Gone),
            Some(snapshot) if !self.is_ours(&snapshot.tags) => {
                Err(self.refused(format!("the snapshot {id} has not the tag Project of ours")))
            }
            Some(snapshot) => Ok(Found::Stands(snapshot.started_at)),
        }
    }

    /// Find the image in the same way as a launch, which looks once and reuses the answer for a while.
    pub(super) async fn latest_image(&self) -> Result<OperateAnswer, Error> {
        let Operator { ec2, ssm, config, timing, .. } = self.operator;
        let OperateConfig { image, instance_types, launch_template, .. } = config;
        let misfit = RefCell::new(None);
        let look = || async {
            match lookups::latest_image(ec2, ssm, image, instance_types, launch_template.as_ref()).await {
                Ok(found) => Ok(Some(found)),
                Err(LookupError::Aws(error)) => Err(error),
                Err(LookupError::OwnImage(error)) => Err(*error),
                Err(LookupError::Misfit(problem, advice)) => {
                    misfit.replace(Some((problem, advice)));
                    Ok(None)
                }
                // This look-up does not ask for subnets.
                Err(LookupError::NoUsableSubnet(problem)) => {
                    misfit.replace(Some((problem, "set AMI_ID")));
                    Ok(None)
                }
            }
        };
        let found = self.deadline.retry(3 * timing.ec2, Backoff::EC2, || true, look).await;
        let found = found.map_err(|error| {
            Error::of_request(self.verb, Service::Ec2, error, "change the setting that names the image")
        })?;
        let Some(found) = found else {
            let (problem, advice) = misfit.take().unwrap_or_default();
            return Err(Error::new(Kind::InvalidConfiguration, format!("{}: {problem}", self.verb), advice));
        };
        let latest = LatestImage {
            image_id: found.image_id,
            architecture: found.architecture,
            root_device: found.root_device,
            created_at: found.created.map(|time| time.to_string()),
            source: image.to_string(),
        };
        Ok(OperateAnswer {
            verb: self.verb,
            outcome: Outcome::Unchanged,
            latest_image: Some(latest),
            ..OperateAnswer::default()
        })
    }
}

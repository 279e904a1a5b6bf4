//! A key pair to launch with: `ensure_key`.
//!
//! EC2 tells the private key once, in its answer to the request that makes the pair. This function stores the key only
//! in a SecureString of Parameter Store, under the name that CloudFormation uses too. If the request dies before the
//! key is stored, nobody can use the pair. A request has half a minute to store the key of the pair that it made; a
//! request that finds a pair older than a minute without a stored key replaces the pair.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tracing::{info, warn};

use super::{Found, OperateAnswer, OperateDelivery, OperatePorts, Outcome};
use crate::config::OperateConfig;
use crate::deadline::Deadline;
use crate::error::{AwsError, Error, Service};
use crate::event::KeyOrigin;
use crate::key_pair::{CREATED, IMPORTED, KeyType, ORIGIN_TAG, OwnKeyPair, parameter, without_comment};
use crate::lookups;
use crate::ports::{Clock, OwnKeyPairs, PrivateKeys};
use crate::timing::after;

/// How long the request that made a pair tries to store its private key.
const TO_STORE: Duration = Duration::from_secs(30);
/// The age from which a pair without a stored key is abandoned. The difference of the two times is more than clocks can
/// differ and requests can take.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyAnswer {
    /// The name to use as `KEY_NAME`.
    pub key_name: String,
    pub key_pair_id: String,
    pub fingerprint: String,
    /// `ed25519` or `rsa`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The parameter that has the private key, if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key_parameter: Option<String>,
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    pub(super) async fn ensure_key(&self, name: &str, origin: &KeyOrigin) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let not_yet = format!("the key pair {name:?} is being made by another request");
        self.until(&not_yet, async || {
            if let Some(found) = self.ask(Service::Ec2, || ec2.find_own_key_pair(name)).await? {
                return self.judge(found, origin).await;
            }
            match origin {
                KeyOrigin::Imported(public_key) => self.import(name, public_key).await,
                KeyOrigin::Created(Some(key_type)) => self.create_pair(name, *key_type).await,
                KeyOrigin::Created(None) => self.create_pair(name, self.fitting_type().await).await,
            }
        })
        .await
    }

    /// Answer with the pair that was found, or refuse it. `None`: look again in a moment.
    async fn judge(&self, found: OwnKeyPair, origin: &KeyOrigin) -> Result<Option<OperateAnswer>, Error> {
        let Self { operator, .. } = self;
        let (ec2, ssm) = (&operator.ec2, &operator.ssm);
        let (name, id) = (&found.name, &found.key_pair_id);
        if !self.is_ours(&found.tags) {
            return Err(self.refused(format!("the key pair {name:?} ({id}) has not the tag Project of ours")));
        }
        match origin {
            KeyOrigin::Imported(public_key) => {
                let has = found.public_key.as_deref().and_then(without_comment);
                return match has == without_comment(public_key) {
                    true => Ok(Some(self.describe_key(found, false, Outcome::Unchanged))),
                    false => Err(self.refused(format!(
                        "the key pair {name:?} ({id}) has another public key: choose another name"
                    ))),
                };
            }
            KeyOrigin::Created(Some(wanted)) => {
                if let Some(has) = found.key_type.as_deref().filter(|has| *has != wanted.as_str()) {
                    let why = format!("the key pair {name:?} ({id}) is of type {has}: choose another name");
                    return Err(self.refused(why));
                }
            }
            KeyOrigin::Created(None) => {}
        }
        if found.tags.get(ORIGIN_TAG).map(String::as_str) == Some(IMPORTED) {
            return Ok(Some(self.describe_key(found, false, Outcome::Unchanged)));
        }
        if self.ask(Service::Ssm, || ssm.is_kept(id)).await? {
            return Ok(Some(self.describe_key(found, true, Outcome::Unchanged)));
        }
        // A pair of unknown age may have been made a moment ago.
        let half =
            found.created_at.is_some_and(|created| operator.clock.now() > after(created, ABANDONED_AFTER));
        if half {
            warn!(key_name = name, key_pair_id = id, "nobody stored its private key: it is replaced");
            let look = async |_: &AwsError| {
                let found = self.ask(Service::Ec2, || ec2.find_own_key_pair(name)).await?;
                let found = found.filter(|found| found.key_pair_id == *id);
                Ok(found.map_or(Found::Gone, |found| Found::Stands(found.created_at)))
            };
            self.settle(Service::Ec2, || ec2.delete_key_pair(id), look).await?;
        }
        Ok(None)
    }

    /// The type that fits the image from which launches start, or the default type if that image cannot be found.
    async fn fitting_type(&self) -> KeyType {
        let OperateConfig { image, instance_types, launch_template, .. } = &self.operator.config;
        let (ec2, ssm) = (&self.operator.ec2, &self.operator.ssm);
        match lookups::latest_image(ec2, ssm, image, instance_types, launch_template.as_ref()).await {
            Ok(image) if image.is_windows => KeyType::Rsa,
            Ok(_) => KeyType::default(),
            Err(error) => {
                info!(?error, "it is not known from which image launches start");
                KeyType::default()
            }
        }
    }

    async fn import(&self, name: &str, public_key: &str) -> Result<Option<OperateAnswer>, Error> {
        let ec2 = &self.operator.ec2;
        let tags = self.key_tags(IMPORTED);
        if !self.ask(Service::Ec2, || ec2.import_key_pair(name, public_key, &tags)).await? {
            return Ok(None);
        }
        let not_yet = format!("the key pair {name:?} is not to be seen yet");
        let found = self
            .until(&not_yet, async || self.ask(Service::Ec2, || ec2.find_own_key_pair(name)).await)
            .await?;
        Ok(Some(self.describe_key(found, false, Outcome::Done)))
    }

    async fn create_pair(&self, name: &str, key_type: KeyType) -> Result<Option<OperateAnswer>, Error> {
        let Self { operator, .. } = self;
        let (ec2, ssm, clock) = (&operator.ec2, &operator.ssm, &operator.clock);
        let tags = self.key_tags(CREATED);
        let began = clock.now();
        let create = || ec2.create_key_pair(name, key_type, &tags);
        let Some((pair, private_key)) = self.ask(Service::Ec2, create).await? else { return Ok(None) };
        let id = &pair.key_pair_id;
        let at = after(began, TO_STORE).min(self.deadline.at);
        let deadline = Deadline { clock, tokens: &operator.tokens, at };
        let kept = deadline.ask(Service::Ssm, &operator.timing, || ssm.keep(id, &private_key)).await;
        if let Err(error) = kept {
            self.try_to("delete a key pair whose private key was not stored", || ec2.delete_key_pair(id))
                .await;
            return Err(Error::of_request(
                self.verb,
                Service::Ssm,
                error,
                "ask again: the key pair is made anew",
            ));
        }
        Ok(Some(self.describe_key(pair, true, Outcome::Done)))
    }

    fn key_tags(&self, origin: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("Project".to_owned(), self.operator.config.project_tag.clone()),
            (ORIGIN_TAG.to_owned(), origin.to_owned()),
        ])
    }

    fn describe_key(&self, pair: OwnKeyPair, kept: bool, outcome: Outcome) -> OperateAnswer {
        let key_pair = KeyAnswer {
            private_key_parameter: kept.then(|| parameter(&pair.key_pair_id)),
            key_name: pair.name,
            key_pair_id: pair.key_pair_id,
            fingerprint: pair.fingerprint,
            key_type: pair.key_type,
            public_key: pair.public_key,
        };
        OperateAnswer { verb: self.verb, outcome, key_pair: Some(key_pair), ..OperateAnswer::default() }
    }
}

//! Key pairs over EC2: whether there is one, and new ones.

use std::collections::BTreeMap;

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::ResourceType;
use jiff::Timestamp;

use super::hardware::{done_or, unless};
use super::{Ec2, failed, tagged, to_tags};
use elephant_core::error::{AwsError, Class};
use elephant_core::key_pair::{KeyType, OwnKeyPair, PrivateKey};
use elephant_core::ports::{KeyPairs, OwnKeyPairs};

impl KeyPairs for Ec2 {
    async fn find_key_pair(&self, name: &str) -> Result<Option<KeyType>, AwsError> {
        let answer = self.client.describe_key_pairs().key_names(name).send().await;
        let answer = answer.map_err(|error| failed("DescribeKeyPairs", &error))?;
        let word = answer.key_pairs().iter().find_map(|pair| pair.key_type());
        let is = |known: &KeyType| word.is_some_and(|word| word.as_str() == known.as_str());
        Ok(KeyType::BOTH.into_iter().find(is))
    }
}

const TAKEN: [&str; 1] = ["InvalidKeyPair.Duplicate"];
const UNKNOWN: [&str; 1] = ["InvalidKeyPair.NotFound"];

impl OwnKeyPairs for Ec2 {
    async fn create_key_pair(
        &self,
        name: &str,
        key_type: KeyType,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<(OwnKeyPair, PrivateKey)>, AwsError> {
        let request = self
            .client
            .create_key_pair()
            .key_name(name)
            .key_type(key_type.as_str().into())
            .tag_specifications(tagged(ResourceType::KeyPair, tags));
        let Some(answer) = unless("CreateKeyPair", request.send().await, &TAKEN)? else { return Ok(None) };
        let (Some(id), Some(material)) = (answer.key_pair_id(), answer.key_material()) else {
            return Err(AwsError {
                action: "CreateKeyPair",
                class: Class::Ambiguous,
                code: None,
                message: "answered 200 without a key".to_owned(),
                request_id: None,
                advice: String::new(),
            });
        };
        let pair = OwnKeyPair {
            key_pair_id: id.to_owned(),
            name: name.to_owned(),
            fingerprint: answer.key_fingerprint().unwrap_or_default().to_owned(),
            key_type: Some(key_type.as_str().to_owned()),
            public_key: None,
            created_at: None,
            tags: to_tags(answer.tags()),
        };
        Ok(Some((pair, PrivateKey(material.to_owned()))))
    }

    async fn import_key_pair(
        &self,
        name: &str,
        public_key: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, AwsError> {
        let request = self
            .client
            .import_key_pair()
            .key_name(name)
            .public_key_material(Blob::new(public_key))
            .tag_specifications(tagged(ResourceType::KeyPair, tags));
        Ok(unless("ImportKeyPair", request.send().await, &TAKEN)?.is_some())
    }

    async fn find_own_key_pair(&self, name: &str) -> Result<Option<OwnKeyPair>, AwsError> {
        let request = self.client.describe_key_pairs().key_names(name).include_public_key(true);
        let answer = unless("DescribeKeyPairs", request.send().await, &UNKNOWN)?;
        let mut pairs = answer.iter().flat_map(|answer| answer.key_pairs());
        let found = pairs.find(|pair| pair.key_name() == Some(name));
        Ok(found.and_then(|pair| {
            let text =
                |text: Option<&str>| text.filter(|text| !text.is_empty()).map(|text| text.trim().to_owned());
            Some(OwnKeyPair {
                key_pair_id: pair.key_pair_id()?.to_owned(),
                name: name.to_owned(),
                fingerprint: pair.key_fingerprint().unwrap_or_default().to_owned(),
                key_type: pair.key_type().map(|word| word.as_str().to_owned()),
                public_key: text(pair.public_key()),
                created_at: pair.create_time().and_then(|time| Timestamp::from_second(time.secs()).ok()),
                tags: to_tags(pair.tags()),
            })
        }))
    }

    async fn delete_key_pair(&self, key_pair_id: &str) -> Result<(), AwsError> {
        let answer = self.client.delete_key_pair().key_pair_id(key_pair_id).send().await;
        done_or("DeleteKeyPair", answer, &UNKNOWN)
    }
}

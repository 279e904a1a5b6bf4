//! Key pairs over EC2: whether there is one.

use super::{Ec2, failed};
use crate::error::AwsError;
use crate::needs::KeyPairs;

impl KeyPairs for Ec2 {
    async fn find_key_pair(&self, name: &str) -> Result<(), AwsError> {
        let answer = self.client.describe_key_pairs().key_names(name).send().await;
        answer.map(|_| ()).map_err(|error| failed("DescribeKeyPairs", &error))
    }
}

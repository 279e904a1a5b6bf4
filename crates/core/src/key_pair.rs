//! A key pair of this account, and the private key of a new one.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// Whether EC2 made the pair, or it was imported.
pub const ORIGIN_TAG: &str = "elephant:key-pair";
pub const CREATED: &str = "created";
pub const IMPORTED: &str = "imported";

/// [Windows decrypts its password][windows] only with an RSA key.
///
/// [windows]: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    #[default]
    Ed25519,
    Rsa,
}

impl KeyType {
    pub const BOTH: [KeyType; 2] = [KeyType::Ed25519, KeyType::Rsa];

    /// EC2's word.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Ed25519 => "ed25519",
            KeyType::Rsa => "rsa",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKeyPair {
    pub key_pair_id: String,
    pub name: String,
    pub fingerprint: String,
    /// EC2's word; it knows more types than we make.
    pub key_type: Option<String>,
    /// In OpenSSH's form.
    pub public_key: Option<String>,
    pub created_at: Option<Timestamp>,
    pub tags: BTreeMap<String, String>,
}

/// The parameter of a private key, named as CloudFormation names those that it makes.
pub fn parameter(key_pair_id: &str) -> String {
    format!("/ec2/keypair/{key_pair_id}")
}

/// Algorithm and key of a public key in OpenSSH's form; the rest of the line is its owner's comment.
pub fn without_comment(public_key: &str) -> Option<(&str, &str)> {
    let mut words = public_key.split_whitespace();
    Some((words.next()?, words.next()?))
}

/// It goes from EC2 to Parameter Store, and nowhere else.
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

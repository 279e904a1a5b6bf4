//! A launch template: which one a setting names, and what must be known about it before a machine is launched from it.
//!
//! EC2 adds the template's values for everything that a request leaves out. The version is looked up and pinned: an
//! attempt names a number, because `$Latest` may be another version when the attempt is repeated.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The template that a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTemplate {
    pub named: Named,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
    /// No variable sets anything of the root volume, so the template's root volume is used.
    pub keeps_volume: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Id(String),
    Name(String),
}

impl fmt::Display for LaunchTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Named::Id(named) | Named::Name(named)) = &self.named;
        write!(f, "{named}:{}", self.version)
    }
}

/// A template and its version, as an attempt names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub launch_template_id: String,
    pub version: String,
}

/// What a version of the template sets, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub pinned: Pinned,
    /// An id, or `resolve:ssm:` and a parameter's name.
    pub image: Option<String>,
    pub instance_type: Option<String>,
    pub has_security_groups: bool,
    pub has_network_interfaces: bool,
    pub has_market_options: bool,
    /// Requirements in place of a type: memory, processors.
    pub has_instance_requirements: bool,
    /// The zone that it sets.
    pub availability_zone: Option<String>,
    /// Protection against termination or against a stop; EC2 treats the second as both.
    pub is_protected: bool,
    pub has_groups_by_name: bool,
    /// Its machines have no instance metadata service.
    pub has_no_metadata: bool,
    /// The kinds of resources that it tags, in EC2's words, with the keys.
    pub tags: Vec<(String, String)>,
    /// Of its disks.
    pub devices: Vec<String>,
}

impl LaunchTemplate {
    /// `lt-…` or a name, and perhaps `:version`.
    pub fn parse(text: &str) -> Option<Self> {
        let (named, version) = text.split_once(':').unwrap_or((text, "$Default"));
        let number = version.parse::<u64>().is_ok_and(|number| number > 0);
        if !number && !["$Latest", "$Default"].contains(&version) {
            return None;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "()./_-".contains(c);
        let named = match named.strip_prefix("lt-") {
            Some(id) if !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit()) => {
                Named::Id(named.to_owned())
            }
            // A name may begin so, too.
            _ if (3..=128).contains(&named.len()) && named.chars().all(plain) => {
                Named::Name(named.to_owned())
            }
            _ => return None,
        };
        Some(LaunchTemplate { named, version: version.to_owned(), keeps_volume: false })
    }
}

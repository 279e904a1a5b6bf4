//! An image: where its id comes from, and what must be known about it before a machine is launched from it.
//!
//! An id is used as it is. A parameter of SSM's Parameter Store holds an id, as AWS, Canonical and Debian publish
//! theirs. A name is a pattern with an owner, and means the newest such image. A short name (`ubuntu:24.04`) stands for
//! one of these.

use std::fmt;

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Id(String),
    /// The parameter's name, with `:version` or `:label` if one is asked for.
    Parameter(String),
    Named {
        /// As DescribeImages takes it: `*` and `?` stand for any characters, and for one.
        pattern: String,
        /// An account's id, `amazon`, `aws-marketplace` or `self`.
        owner: String,
        architecture: Option<Architecture>,
    },
    /// The launch template sets it.
    Template,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Id(id) => f.write_str(id),
            Source::Parameter(name) => write!(f, "the parameter {name}"),
            Source::Named { pattern, owner, .. } => write!(f, "{pattern} of {owner}"),
            Source::Template => f.write_str("the launch template's"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    #[default]
    X86_64,
    Arm64,
}

impl Architecture {
    /// EC2's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "arm64",
        }
    }

    /// The spelling of Debian and its descendants.
    fn as_debian(self) -> &'static str {
        match self {
            Architecture::X86_64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

/// What is known about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub image_id: String,
    pub root_device: String,
    /// A root volume cannot be smaller. `None`: EC2 does not say.
    pub snapshot_gb: Option<i32>,
    /// EC2's word; EC2 has more of them than we do.
    pub architecture: String,
    /// Windows accepts only RSA keys.
    pub is_windows: bool,
    pub created: Option<Timestamp>,
}

/// The newest of several images; of two equally old ones the one with the greater id, so that every look-up finds the
/// same.
pub fn newest(images: Vec<Image>) -> Option<Image> {
    images.into_iter().max_by(|a, b| (a.created, &a.image_id).cmp(&(b.created, &b.image_id)))
}

/// Whether a type can run an image, judged by its name. A `g` after the generation means Graviton (`c7gn`, `g5g`); the
/// first Graviton type, `a1`, is older than [that convention][naming]. An image that is neither for x86_64 nor for arm64
/// may run on any type.
///
/// [naming]: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
pub fn may_run_on(image: &Image, instance_type: &str) -> bool {
    let family = instance_type.split('.').next().unwrap_or_default();
    let options = family.trim_start_matches(|c: char| !c.is_ascii_digit());
    let options = options.trim_start_matches(|c: char| c.is_ascii_digit());
    let graviton = options.contains('g') || family == "a1";
    match image.architecture.as_str() {
        "x86_64" => !graviton,
        "arm64" => graviton,
        _ => true,
    }
}

/// The short names that are understood, in the order in which an error lists them.
pub const SHORT_NAMES: [&str; 4] =
    ["al2023", "ubuntu:24.04 (or ubuntu:daily:24.04)", "debian:12", "windows:2022"];

/// Canonical's account.
const CANONICAL: &str = "099720109477";

/// Ubuntu's long-term releases with their code names, and the kind of volume that their images are published for.
const UBUNTU: [(&str, &str, &str, &str); 3] = [
    ("22.04", "jammy", "ebs-gp2", "hvm-ssd"),
    ("24.04", "noble", "ebs-gp3", "hvm-ssd-gp3"),
    ("26.04", "resolute", "ebs-gp3", "hvm-ssd-gp3"),
];

/// What a short name stands for, by the route that the publisher documents: [Amazon Linux and Windows][aws],
/// [Ubuntu](https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/),
/// [Debian](https://wiki.debian.org/Cloud/AmazonEC2Image/).
///
/// [aws]: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html
pub fn short_name(text: &str, architecture: Architecture) -> Option<Source> {
    let debian = architecture.as_debian();
    let parameter = match text.split(':').collect::<Vec<_>>()[..] {
        ["al2023"] => {
            let architecture = architecture.as_str();
            format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}")
        }
        ["ubuntu", version] => {
            let (_, _, volume, _) = ubuntu(version)?;
            format!(
                "/aws/service/canonical/ubuntu/server/{version}/stable/current/{debian}/hvm/{volume}/ami-id"
            )
        }
        ["ubuntu", "daily", version] => {
            let (_, name, _, folder) = ubuntu(version)?;
            return Some(Source::Named {
                pattern: format!("ubuntu/images-testing/{folder}/ubuntu-{name}-daily-{debian}-server-*"),
                owner: CANONICAL.to_owned(),
                architecture: Some(architecture),
            });
        }
        ["debian", version @ ("11" | "12" | "13")] => {
            format!("/aws/service/debian/release/{version}/latest/{debian}")
        }
        // There is no Windows for arm64 on EC2.
        ["windows", version @ ("2019" | "2022" | "2025")] if architecture == Architecture::X86_64 => {
            format!("/aws/service/ami-windows-latest/Windows_Server-{version}-English-Full-Base")
        }
        _ => return None,
    };
    Some(Source::Parameter(parameter))
}

fn ubuntu(version: &str) -> Option<(&'static str, &'static str, &'static str, &'static str)> {
    UBUNTU.into_iter().find(|(known, ..)| *known == version)
}

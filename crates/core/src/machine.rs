//! A machine: the exact request that makes it, and what EC2 says about it.
//!
//! An [`Attempt`] is one exact RunInstances request for one role. It is written to the record before it is sent, and a
//! retry repeats it unchanged: same client token, same parameters, even if the configuration has changed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::id;
use crate::launch_template::Pinned;
use crate::meeting::{MeetingId, Role, TAG_VALUE_LIMIT};

/// The tag by which a machine finds its meeting.
pub const MEETING_TAG: &str = "MeetingID";

/// The tag whose removal makes the system's watchdog ignore a machine: see `ending.rs`.
pub const ROLE_TAG: &str = "Role";

id! { InstanceId }

id! {
    /// A client token: random for each attempt, so that it finds no machine of an earlier record with the same id.
    Token
}

/// One exact RunInstances request for one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The number of the role's attempt, from 1, for people who read records and logs.
    pub number: u32,
    pub token: Token,
    /// EC2 refused it definitely. No machine can come of it, so the next delivery makes a new attempt.
    pub refused: bool,
    /// Its machine is being ended, so it is neither recorded nor repeated any more. This is written before the machine
    /// is touched, so that the next delivery goes on with the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
    pub parameters: Parameters,
}

impl Attempt {
    /// The number of the attempt that follows. The largest number, which only a person can have written, stays as it is.
    pub fn next_number(&self) -> u32 {
        self.number.saturating_add(1)
    }
}

/// Every parameter of RunInstances that we choose. Constants (one machine, terminate on shutdown) are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// This template sets every parameter that is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<Pinned>,
    pub image_id: String,
    pub instance_type: String,
    pub subnet_id: String,
    /// The subnet's zone. EC2 is sent the subnet; the zone is kept for people and for the order of attempts.
    pub availability_zone: String,
    /// None: the launch template's security groups.
    pub security_group_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_profile: Option<InstanceProfile>,
    /// Absent: the launch template's root volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<RootVolume>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imds_tokens: Option<ImdsTokens>,
    /// Whether the machine gets a public address; absent: the subnet decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<bool>,
    #[serde(default, skip_serializing_if = "Market::is_on_demand")]
    pub market: Market,
    /// In base64, as EC2 receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceProfile {
    Name(String),
    Arn(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootVolume {
    pub device_name: String,
    pub size_gb: i32,
    pub volume_type: String,
    /// `false` sends nothing: EC2 refuses `Encrypted=false` for an encrypted snapshot.
    pub encrypted: bool,
    /// Only for gp3; absent: EC2's 3000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// Only for gp3, in MiB/s; absent: EC2's 125.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    /// Id, alias or ARN; absent: the account's key for EBS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// How a machine is bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    #[default]
    OnDemand,
    /// A one-time request: EC2 may take the machine back, and does not start it again.
    Spot,
}

impl Market {
    pub fn is_on_demand(&self) -> bool {
        *self == Market::OnDemand
    }
}

/// A suffix for the type's name in texts where the market matters.
impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Market::OnDemand => "on demand",
            Market::Spot => "spot",
        })
    }
}

/// Whether the instance metadata service asks for a session token; absent: image and account decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImdsTokens {
    Required,
    Optional,
}

/// The tag by which the functions' roles know the machines of this system.
pub const PROJECT_TAG: &str = "Project";

/// The keys of the tags below, which no other tag may replace.
pub const IDENTITY_TAGS: [&str; 4] = ["Name", MEETING_TAG, ROLE_TAG, PROJECT_TAG];

/// The tags that say which meeting and role a machine belongs to. The watchdog and the machine itself find their meeting
/// by them.
pub fn tags(meeting: &MeetingId, role: Role, project: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("Name".to_owned(), name(meeting, role)),
        (MEETING_TAG.to_owned(), meeting.to_string()),
        (ROLE_TAG.to_owned(), role.to_string()),
        (PROJECT_TAG.to_owned(), project.to_owned()),
    ])
}

/// `{meeting_id}_{role}`. If that is longer than EC2's 256 characters, the meeting's part is cut between two characters,
/// so that the names of the two machines still differ.
fn name(meeting: &MeetingId, role: Role) -> String {
    let suffix = format!("_{role}");
    let room = TAG_VALUE_LIMIT - suffix.len();
    meeting.as_str().chars().take(room).chain(suffix.chars()).collect()
}

/// What EC2 says about a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub instance_id: InstanceId,
    pub state: State,
    /// EC2's StateReason code, such as `Server.InsufficientInstanceCapacity` for a machine that died while pending.
    pub state_reason: Option<String>,
    pub tags: BTreeMap<String, String>,
}

impl Machine {
    /// Whether the machine has this attempt's identity tags (its `Role` may be removed, see below). If so, the attempt
    /// made it. People may change its other tags.
    pub fn is_of(&self, attempt: &Attempt) -> bool {
        IDENTITY_TAGS.iter().all(|key| match (attempt.parameters.tags.get(*key), self.tags.get(*key)) {
            (Some(ours), Some(tag)) => tag == ours,
            (Some(_), None) => *key == ROLE_TAG,
            (None, _) => true,
        })
    }

    /// Whether somebody ended it with EC2's own call, so that it did not die by itself.
    pub fn was_ended_by_somebody(&self) -> bool {
        self.state_reason.as_deref() == Some("Client.UserInitiatedShutdown")
    }

    /// Whether we have begun to end it: its `Role` tag is removed first. An answer without any tags proves nothing.
    pub fn is_half_ended(&self) -> bool {
        !self.tags.is_empty() && !self.tags.contains_key(ROLE_TAG)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Pending,
        State::Running,
        State::Stopping,
        State::Stopped,
        State::ShuttingDown,
        State::Terminated,
    ];

    pub fn from_word(word: &str) -> Option<Self> {
        State::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// EC2's name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::ShuttingDown => "shutting-down",
            State::Terminated => "terminated",
        }
    }

    /// It serves, or is about to.
    pub fn is_up(self) -> bool {
        matches!(self, State::Pending | State::Running)
    }

    /// A live machine costs money and can serve, or could again.
    pub fn is_live(self) -> bool {
        match self {
            State::Pending | State::Running | State::Stopping | State::Stopped => true,
            State::ShuttingDown | State::Terminated => false,
        }
    }
}

/// What a record says about a running machine, for programs that connect to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    pub state: State,
    pub addresses: Addresses,
}

/// The addresses of a machine. EC2 gives it a new public address at each start, and takes that away at each stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    pub private_ip: Option<String>,
    pub public_ip: Option<String>,
    /// The public name, or the private name if there is no public address.
    pub dns_name: Option<String>,
}

//! A meeting: its id, its roles, its status.
//!
//! A meeting has one record in the table and two machines, one for each [`Role`]. All programs of the system share its
//! [`Status`]; `launch` only moves it to LAUNCHED, and only forward.

use std::fmt;

/// EC2 allows 256 characters in a tag's value, and the id is the value of the tag `MeetingID`.
pub const TAG_VALUE_LIMIT: usize = 256;

/// The id of a meeting: the table's partition key and the tag `MeetingID`. Trimmed, not empty, at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeetingId(String);

impl MeetingId {
    /// The error continues a sentence that begins with "the meeting id".
    pub fn new(text: &str) -> Result<Self, String> {
        let id = text.trim();
        let length = id.chars().count();
        if id.is_empty() {
            Err("is empty".into())
        } else if length > TAG_VALUE_LIMIT {
            Err(format!("has {length} characters, and a tag value of EC2 holds at most {TAG_VALUE_LIMIT}"))
        } else {
            Ok(MeetingId(id.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The person whose machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Teacher,
    Student,
}

impl Role {
    pub const BOTH: [Role; 2] = [Role::Teacher, Role::Student];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Teacher => "teacher",
            Role::Student => "student",
        }
    }

    pub fn other(self) -> Role {
        match self {
            Role::Teacher => Role::Student,
            Role::Student => Role::Teacher,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a meeting has come, in the words of the record: SCHEDULED → LAUNCHED → DNS_WRITTEN → HEALTHY → IN_PROGRESS →
/// TERMINATED. If a record has no status, nobody has moved it yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Scheduled,
    Launched,
    DnsWritten,
    Healthy,
    InProgress,
    Terminated,
    /// A word that we do not know. It may mean that the meeting is over, so nothing is launched for it.
    Unknown(String),
}

impl Status {
    pub fn from_word(word: &str) -> Self {
        match word {
            "SCHEDULED" => Status::Scheduled,
            "LAUNCHED" => Status::Launched,
            "DNS_WRITTEN" => Status::DnsWritten,
            "HEALTHY" => Status::Healthy,
            "IN_PROGRESS" => Status::InProgress,
            "TERMINATED" => Status::Terminated,
            other => Status::Unknown(other.to_owned()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Status::Scheduled => "SCHEDULED",
            Status::Launched => "LAUNCHED",
            Status::DnsWritten => "DNS_WRITTEN",
            Status::Healthy => "HEALTHY",
            Status::InProgress => "IN_PROGRESS",
            Status::Terminated => "TERMINATED",
            Status::Unknown(word) => word,
        }
    }

    /// The statuses that allow a launch and that the launch changes to LAUNCHED.
    pub const BEFORE_LAUNCHED: [Option<Status>; 3] = [None, Some(Status::Scheduled), Some(Status::Launched)];

    /// The statuses that allow a launch and come after LAUNCHED: the launch leaves them as they are.
    pub const BEYOND_LAUNCHED: [Option<Status>; 3] =
        [Some(Status::DnsWritten), Some(Status::Healthy), Some(Status::InProgress)];
}

/// Whether a launch is allowed for a meeting of this status. It is not for TERMINATED and for every unknown word.
pub fn allows_launch(status: &Option<Status>) -> bool {
    Status::BEFORE_LAUNCHED.contains(status) || Status::BEYOND_LAUNCHED.contains(status)
}

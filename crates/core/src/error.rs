//! Errors, written for the person who has to correct the cause.
//!
//! An [`AwsError`] is an answer of AWS (or a missing answer) that a port could not turn into a result, classified by
//! what to do next. An [`Error`] is how a failed delivery ends: its [`Kind`] is the stable `errorType` that alarms and
//! runbooks name. This module knows no SDK and no Lambda.

use std::fmt;

/// What an error of AWS means for the next step. The adapters classify; the verbs decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// No capacity for this instance type in this zone: a definite refusal.
    Capacity,
    /// This zone cannot host this request at all: a definite refusal.
    ZoneUnfit,
    /// This subnet is gone or full: a definite refusal.
    SubnetUnfit,
    /// This instance type cannot be launched with these parameters in any zone: a definite refusal.
    TypeUnfit,
    /// A quota of the account: a definite refusal, which every other zone would repeat.
    Quota,
    /// AWS throttled the request: nothing was done, the same request may be sent again later.
    Throttled,
    /// Nobody knows whether it took effect, or whether it still will.
    Ambiguous,
    /// Something made a moment ago is not visible everywhere yet: nothing was done.
    Propagating,
    /// The client token is bound to other parameters.
    ParameterMismatch,
    /// The machine that this client token made has been terminated since.
    InstanceTerminated,
    /// The request is wrong and stays wrong until somebody changes a setting.
    Misconfigured,
    /// The request is not allowed until somebody changes a permission.
    Unauthorized,
    /// The request was not sent: its answer could not have come before the deadline.
    NotSent,
    /// The record is wrong: an attribute of ours cannot be understood, or the record is too large.
    Unreadable,
}

impl Class {
    pub const ALL: [Class; 14] = [
        Class::Capacity,
        Class::ZoneUnfit,
        Class::SubnetUnfit,
        Class::TypeUnfit,
        Class::Quota,
        Class::Throttled,
        Class::Ambiguous,
        Class::Propagating,
        Class::ParameterMismatch,
        Class::InstanceTerminated,
        Class::Misconfigured,
        Class::Unauthorized,
        Class::NotSent,
        Class::Unreadable,
    ];

    /// Whether AWS refused the request itself, so that a repeat would be refused too. Throttling, a lost answer and a
    /// missing permission do not count.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Class::Capacity
                | Class::ZoneUnfit
                | Class::SubnetUnfit
                | Class::TypeUnfit
                | Class::Quota
                | Class::Misconfigured
        )
    }
}

/// An answer of AWS that is not a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// The action as AWS and IAM name it: `RunInstances`, `UpdateItem`.
    pub action: &'static str,
    pub class: Class,
    /// AWS's error code; `None` if there was no answer, or none that could be read.
    pub code: Option<String>,
    /// AWS's own message, or what is known about the missing answer.
    pub message: String,
    pub request_id: Option<String>,
    /// Which setting or permission to change; empty if no change of ours would help.
    pub advice: String,
}

impl AwsError {
    /// The code, or a word if there is none: for records, logs and metrics.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or("NoAnswer")
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => {
                write!(f, "{} answered {code}: {}", self.action, self.message.trim_end_matches('.'))?
            }
            None => write!(f, "{}: {}", self.action, self.message.trim_end_matches('.'))?,
        }
        match &self.request_id {
            Some(id) => write!(f, " (AWS request id {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AwsError {}

/// The service that a verb sent a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    DynamoDb,
    Ec2,
    Scheduler,
    Ssm,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::DynamoDb => "the table",
            Service::Ec2 => "EC2",
            Service::Scheduler => "EventBridge Scheduler",
            Service::Ssm => "Systems Manager",
        }
    }

    fn unavailable(self) -> Kind {
        match self {
            Service::DynamoDb => Kind::RecordUnavailable,
            Service::Ec2 => Kind::Ec2Unavailable,
            Service::Scheduler => Kind::SchedulerUnavailable,
            Service::Ssm => Kind::SsmUnavailable,
        }
    }
}

/// The stable `errorType` of a delivery that failed. `docs/errors.md` says for each what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    InvalidEvent,
    MeetingNotFound,
    MeetingBusy,
    InvalidRecord,
    NoUsableSubnet,
    CapacityExhausted,
    QuotaExceeded,
    Throttled,
    InvalidConfiguration,
    Unauthorized,
    DeadlineTooClose,
    RecordUnavailable,
    Ec2Unavailable,
    /// `schedule` and `status` only: the meeting was ended or cancelled, and its id is used up.
    MeetingOver,
    /// `schedule` only: a meeting with machines cannot be cancelled.
    MeetingLaunched,
    /// `schedule` and `end` only: EventBridge Scheduler did not do what was asked.
    SchedulerUnavailable,
    /// `status` and `operate`: there is no such machine, or it is not ours.
    MachineNotFound,
    /// `operate` only: Systems Manager did not do what was asked.
    SsmUnavailable,
    /// `operate` only: the machine or resource does not allow the request.
    OperationRefused,
}

impl Kind {
    pub const ALL: [Kind; 19] = [
        Kind::InvalidEvent,
        Kind::MeetingNotFound,
        Kind::MeetingBusy,
        Kind::InvalidRecord,
        Kind::NoUsableSubnet,
        Kind::CapacityExhausted,
        Kind::QuotaExceeded,
        Kind::Throttled,
        Kind::InvalidConfiguration,
        Kind::Unauthorized,
        Kind::DeadlineTooClose,
        Kind::RecordUnavailable,
        Kind::Ec2Unavailable,
        Kind::MeetingOver,
        Kind::MeetingLaunched,
        Kind::SchedulerUnavailable,
        Kind::MachineNotFound,
        Kind::OperationRefused,
        Kind::SsmUnavailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::InvalidEvent => "InvalidEvent",
            Kind::MeetingNotFound => "MeetingNotFound",
            Kind::MeetingBusy => "MeetingBusy",
            Kind::InvalidRecord => "InvalidRecord",
            Kind::NoUsableSubnet => "NoUsableSubnet",
            Kind::CapacityExhausted => "CapacityExhausted",
            Kind::QuotaExceeded => "QuotaExceeded",
            Kind::Throttled => "Throttled",
            Kind::InvalidConfiguration => "InvalidConfiguration",
            Kind::Unauthorized => "Unauthorized",
            Kind::DeadlineTooClose => "DeadlineTooClose",
            Kind::RecordUnavailable => "RecordUnavailable",
            Kind::Ec2Unavailable => "Ec2Unavailable",
            Kind::MeetingOver => "MeetingOver",
            Kind::MeetingLaunched => "MeetingLaunched",
            Kind::SchedulerUnavailable => "SchedulerUnavailable",
            Kind::MachineNotFound => "MachineNotFound",
            Kind::OperationRefused => "OperationRefused",
            Kind::SsmUnavailable => "SsmUnavailable",
        }
    }

    /// Whether the same event, delivered again, may succeed without a change by a person.
    pub fn is_retryable(self) -> bool {
        match self {
            Kind::MeetingBusy
            | Kind::CapacityExhausted
            | Kind::Throttled
            | Kind::DeadlineTooClose
            | Kind::RecordUnavailable
            | Kind::Ec2Unavailable
            | Kind::SchedulerUnavailable
            | Kind::SsmUnavailable => true,
            Kind::InvalidEvent
            | Kind::MeetingNotFound
            | Kind::InvalidRecord
            | Kind::NoUsableSubnet
            | Kind::QuotaExceeded
            | Kind::InvalidConfiguration
            | Kind::Unauthorized
            | Kind::MeetingOver
            | Kind::MeetingLaunched
            | Kind::MachineNotFound
            | Kind::OperationRefused => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much of AWS's own message is written to a record.
const BRIEF: usize = 300;

/// How a delivery failed. `Display` shows its own part; [`Error::chain`] adds AWS's message once.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    /// What was wrong, with meeting and role.
    pub problem: String,
    /// What to do: which setting, which permission, or to repeat the event.
    pub advice: String,
    /// AWS's answer, if AWS is the reason.
    pub cause: Option<Box<AwsError>>,
}

impl Error {
    pub fn new(kind: Kind, problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Error { kind, problem: problem.into(), advice: advice.into(), cause: None }
    }

    /// There is no record under this meeting's id.
    pub fn no_such_meeting(meeting: impl fmt::Display) -> Self {
        Error::new(
            Kind::MeetingNotFound,
            format!("meeting {meeting}: no such record in the table"),
            "check the id and TABLE_NAME, or whether the meeting was deleted",
        )
    }

    /// A request failed although it was repeated as long as that made sense. `of` says what it was for, `otherwise` what
    /// to do if AWS's answer names nothing.
    pub fn of_request(of: &str, service: Service, error: AwsError, otherwise: &str) -> Self {
        let (kind, problem) = match (error.class, service) {
            (Class::NotSent, _) => (Kind::DeadlineTooClose, "was not asked, for the time was up"),
            (Class::Unreadable, _) => (Kind::InvalidRecord, "holds a record that cannot be used"),
            (Class::Unauthorized, _) => (Kind::Unauthorized, "may not be used"),
            (Class::Misconfigured | Class::ZoneUnfit | Class::SubnetUnfit | Class::TypeUnfit, _) => {
                (Kind::InvalidConfiguration, "cannot do what was asked")
            }
            (Class::Capacity, _) => (Kind::CapacityExhausted, "has no room for it now"),
            (Class::Quota, _) => (Kind::QuotaExceeded, "has reached a quota of the account"),
            (Class::Throttled, Service::Ec2) => {
                (Kind::Throttled, "refused the requests for their rate until the time was up")
            }
            _ => (service.unavailable(), "did not answer in time"),
        };
        let advice = match error.advice.as_str() {
            "" => otherwise,
            advice => advice,
        };
        Error::new(kind, format!("{of}: {} {problem}", service.name()), advice).caused_by(error)
    }

    pub fn caused_by(mut self, cause: AwsError) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// AWS's error code, or our own word if AWS is not the reason.
    pub fn code(&self) -> &str {
        self.cause.as_deref().map_or(self.kind.as_str(), AwsError::code)
    }

    /// The same for a record, which holds 400 KB with the attributes of all programs: only the beginning of AWS's
    /// message.
    pub fn brief(&self) -> String {
        let mut error = self.clone();
        if let Some(cause) = &mut error.cause
            && let Some((end, _)) = cause.message.char_indices().nth(BRIEF)
        {
            cause.message.truncate(end);
            cause.message.push_str("… (the log has all of it)");
        }
        error.chain()
    }

    /// The whole error on one line: problem, AWS's answer, what to do.
    pub fn chain(&self) -> String {
        let mut line = self.problem.clone();
        if let Some(cause) = &self.cause {
            line.push_str(": ");
            line.push_str(&cause.to_string());
        }
        if !self.advice.is_empty() {
            line.push_str("; ");
            line.push_str(&self.advice);
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// The runtime logs a returned error once, in this form, so people read this line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeat = if self.kind.is_retryable() { "a repeat can help" } else { "a repeat cannot help" };
        write!(f, "{} ({repeat}): {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

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

macro_rules! kinds {
    ($($kind:ident of $of:literal, $repeat:literal, $happened:literal, $advice:literal;)*) => {
        /// The stable `errorType` of a delivery that failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $happened] $kind,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)*
                }
            }

            /// Whether the same event, delivered again, may succeed without anybody changing anything.
            pub fn is_retryable(self) -> bool {
                match self {
                    $(Kind::$kind => $repeat,)*
                }
            }

            /// For the documentation: of which functions it is, what happened, and what to do.
            pub fn explained(self) -> [&'static str; 3] {
                match self {
                    $(Kind::$kind => [$of, $happened, $advice],)*
                }
            }
        }
    };
}

// The name; the functions; whether a repeat helps; what happened; what to do. `docs/errors.md` is written from these rows.
kinds! {
    InvalidEvent of "any", false,
        "The event is no JSON, or it names no usable meeting. The message shows its shape, not its content.",
        "Correct the event where it was sent from: it needs a `meeting_id`, and for `schedule` a `meet_time` that is not long past.";

    MeetingNotFound of "any", false,
        "The table has no such record, or the record was deleted meanwhile.",
        "Check the id. If it is right, schedule the meeting, then send the event again.";

    MeetingBusy of "any", true,
        "Another delivery is launching the meeting, or a machine that was asked for may still come.",
        "Send the event again after a minute.";

    InvalidRecord of "any", false,
        "An attribute that we rely on cannot be understood, holds an attempt that is not ours, or asks for a machine that \
         cannot exist; the message names it. Or the record has no room for a launch; the message has its size.",
        "Correct the attribute that the message names, or remove attributes that the meeting does not need. Then send the \
         event again.";

    NoUsableSubnet of "launch", false,
        "No subnet in a supported zone has free addresses. The message lists what was found.",
        "Correct `SubnetIds` or `SUPPORTED_AZS`, or free addresses in the subnets of the list. Deploy, then send the event again.";

    CapacityExhausted of "launch", true,
        "EC2 has no machine of any of the types in any of the zones now.",
        "Add an instance type or a zone, or send the event again later.";

    QuotaExceeded of "launch", false,
        "A quota of the account is used up. The message names it.",
        "Ask Service Quotas for more, or end machines that are no longer needed. Then send the event again.";

    Throttled of "launch", true,
        "EC2 refused the requests for their rate until the time was up.",
        "Send the event again. If this happens often, raise `FLEXIBLE_WINDOW_MINUTES`.";

    InvalidConfiguration of "any", false,
        "A variable is wrong, or it names something that does not exist. The message names it.",
        "Correct the parameter that the message names and deploy. Then send the event again.";

    Unauthorized of "any", false,
        "A permission is missing, or a policy of the organisation denies it. The message names it.",
        "Grant what the message names: usually a customer managed key, a service control policy, or a role that changed. \
         Then send the event again.";

    DeadlineTooClose of "any", true,
        "Too little time was left to launch and to record the launch.",
        "Send the event again. The delivery goes on from the record.";

    RecordUnavailable of "any", true,
        "DynamoDB did not answer in time.",
        "Send the event again. If this lasts, look at the AWS Health Dashboard.";

    Ec2Unavailable of "launch", true,
        "EC2 gave no answer in time that settles the attempt.",
        "Send the event again.";

    MeetingOver of "schedule, status", false,
        "The meeting was ended or cancelled: it can be neither planned nor moved again. Of a preflight: a launch would \
         launch nothing now.",
        "Schedule another meeting, with an id of its own.";

    MeetingLaunched of "schedule", false,
        "The meeting has machines, or a launch that is not settled, and so it cannot be cancelled.",
        "Invoke `end`, which ends the machines too.";

    SchedulerUnavailable of "schedule, end", true,
        "EventBridge Scheduler did not answer in time.",
        "Send the event again. It makes the record and the schedule agree.";

    MachineNotFound of "status, operate", false,
        "The role has no machine, or the machine that was named is none of ours.",
        "Ask `status` without `console` what became of the machine, or correct the id.";

    SsmUnavailable of "operate", true,
        "Systems Manager did not answer in time.",
        "Send the event again.";

    OperationRefused of "operate", false,
        "The state of things does not allow it: a Spot machine cannot be stopped, a name is taken, or the type has no room for \
         another network interface.",
        "The message says why. Choose another name, a larger type or another machine.";
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

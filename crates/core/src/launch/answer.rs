//! What a delivery says at its end: the answer, or an error that says what to mend.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use super::role::{Failed, InRecord, NotRecorded};
use super::{LaunchDelivery, LaunchPorts, OneRole};
use crate::answer;
use crate::error::{AwsError, Class, Error, Kind};
use crate::lookups::LookupError;
use crate::machine::{InstanceId, Parameters};
use crate::meeting::{Role, Status};
use crate::plan::{Reason, reason_to_skip};
use crate::ports::Clock;
use crate::record::{Record, RoleRecord};

/// A delivery that ended well: both ids are in the record, or nothing was to be launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaunchAnswer {
    pub meeting_id: String,
    /// The record's status; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<&'static str, MachineAnswer>,
    /// Why nothing was launched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineAnswer {
    pub instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    pub outcome: Outcome,
}

/// How this delivery came by a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An attempt of this delivery launched it.
    Launched,
    /// An attempt of an earlier delivery launched it, and that delivery had not written the id.
    Adopted,
    /// The id was already in the record.
    AlreadyRecorded,
}

impl answer::Outcome for LaunchAnswer {
    /// One word for both roles: the word of the role for which most was done.
    fn outcome(&self) -> &'static str {
        let some = |outcome: Outcome| self.machines.values().any(|machine| machine.outcome == outcome);
        match () {
            () if some(Outcome::Launched) => "launched",
            () if some(Outcome::Adopted) => "adopted",
            () if some(Outcome::AlreadyRecorded) => "already_recorded",
            () => "skipped",
        }
    }

    fn launched(&self) -> bool {
        self.machines.values().any(|machine| machine.outcome != Outcome::AlreadyRecorded)
    }
}

impl MachineAnswer {
    pub(super) fn of(instance: &InstanceId, parameters: &Parameters, outcome: Outcome) -> Self {
        MachineAnswer {
            instance_id: instance.to_string(),
            subnet_id: Some(parameters.subnet_id.clone()),
            availability_zone: Some(parameters.availability_zone.clone()),
            instance_type: Some(parameters.instance_type.clone()),
            outcome,
        }
    }
}

/// The machine that is in the record. If we launched it, its place and type are known from its attempt.
pub(super) fn recorded(of_role: &RoleRecord) -> MachineAnswer {
    let parameters = of_role.attempt.as_ref().map(|attempt| &attempt.parameters);
    MachineAnswer {
        instance_id: of_role.instance_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        subnet_id: parameters.map(|p| p.subnet_id.clone()),
        availability_zone: parameters.map(|p| p.availability_zone.clone()),
        instance_type: parameters.map(|p| p.instance_type.clone()),
        outcome: Outcome::AlreadyRecorded,
    }
}

impl<P: LaunchPorts> LaunchDelivery<'_, P> {
    /// The answer, or the error, for both roles together.
    pub(super) fn answer(
        &self,
        ends: [(Role, Result<InRecord, NotRecorded>); 2],
    ) -> Result<LaunchAnswer, Error> {
        let mut machines = BTreeMap::new();
        let mut status = Some(Status::Launched);
        let mut over = None;
        let mut failures = Vec::new();
        let mut taken_over = false;
        for (role, end) in ends {
            match end {
                Ok(filled) => {
                    machines.insert(role.as_str(), filled.machine);
                    // Another program may have changed the status while we launched.
                    if !Status::BEFORE_LAUNCHED.contains(&filled.status) {
                        status = filled.status;
                    }
                }
                Err(NotRecorded::Gone) => return Err(self.no_such_meeting()),
                Err(NotRecorded::Over(status, reason)) => over = Some((status, reason)),
                Err(NotRecorded::TakenOver) => taken_over = true,
                Err(NotRecorded::Failed(failed)) => failures.push((role, failed)),
            }
        }
        // If the meeting is over, an attempt that EC2 refused has left no machine; any other attempt may still make
        // one.
        failures.retain(|(_, failed)| over.is_none() || failed.refused.is_none());
        if !failures.is_empty() {
            return Err(half_a_pair(&failures, &machines));
        }
        if taken_over {
            return Err(self.taken_over());
        }
        if let Some((status, reason)) = over {
            return Ok(self.skipped(status.as_ref(), &reason));
        }
        Ok(LaunchAnswer {
            meeting_id: self.meeting.to_string(),
            status: status.map(|status| status.as_str().to_owned()),
            machines,
            skipped: None,
        })
    }

    pub(super) fn already_recorded(&self, read: &Record) -> LaunchAnswer {
        info!("both machines stand in the record");
        LaunchAnswer {
            meeting_id: self.meeting.to_string(),
            status: read.status.as_ref().map(|status| status.as_str().to_owned()),
            machines: Role::BOTH.into_iter().map(|role| (role.as_str(), recorded(read.role(role)))).collect(),
            skipped: None,
        }
    }

    pub(super) fn skipped(&self, status: Option<&Status>, reason: &Reason) -> LaunchAnswer {
        let why = in_words(reason);
        info!(reason = why, "nothing launched");
        LaunchAnswer {
            meeting_id: self.meeting.to_string(),
            status: status.map(|status| status.as_str().to_owned()),
            machines: BTreeMap::new(),
            skipped: Some(why),
        }
    }

    pub(super) fn no_such_meeting(&self) -> Error {
        Error::no_such_meeting(self.meeting)
    }

    /// Why a launch now would launch nothing, if that is so.
    pub(super) fn not_now(&self, record: &Record) -> Option<Error> {
        let now = self.launcher.clock.now();
        // A person may ask days ahead, so it is never too early.
        let reason = reason_to_skip(record, now, self.launcher.config.window)
            .filter(|reason| !matches!(reason, Reason::TooEarly { .. }))?;
        Some(Error::new(
            Kind::MeetingOver,
            format!("meeting {}: a launch now would launch nothing, for {}", self.meeting, in_words(&reason)),
            "plan it anew if it is to take place",
        ))
    }

    pub(super) fn busy(&self, until: Timestamp) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!(
                "meeting {}: another delivery is launching it, until {until} at the latest",
                self.meeting
            ),
            "nothing is to be done: the repeat of this delivery finds it launched, or goes on",
        )
    }

    pub(super) fn taken_over(&self) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!("meeting {}: another delivery has taken over", self.meeting),
            "nothing is to be done: the repeat of this delivery finds it launched, or goes on",
        )
    }

    pub(super) fn not_quiescent(&self, reason: &Reason, until: Timestamp) -> Error {
        Error::new(
            Kind::MeetingBusy,
            format!(
                "meeting {}: {}, and a machine that was asked for may still come until {until}",
                self.meeting,
                in_words(reason)
            ),
            "nothing is to be done: the repeat of this delivery ends what came",
        )
    }

    pub(super) fn deadline_too_close(&self) -> Error {
        Error::new(
            Kind::DeadlineTooClose,
            format!(
                "meeting {}: no machine could be launched and recorded before the deadline {}",
                self.meeting, self.deadline.at
            ),
            "the repeat goes on where this delivery stopped; if it comes again, raise the function's time-out (LaunchTimeoutSeconds)",
        )
    }

    /// DynamoDB did not do what was asked.
    pub(super) fn table_failed(&self, error: AwsError) -> Error {
        let (kind, problem) = match error.class {
            Class::Unreadable => (Kind::InvalidRecord, "the record cannot be used"),
            Class::Unauthorized => (Kind::Unauthorized, "the table may not be used"),
            Class::Misconfigured => (Kind::InvalidConfiguration, "the table cannot be used"),
            Class::NotSent => return self.deadline_too_close(),
            Class::Throttled
            | Class::Ambiguous
            | Class::Capacity
            | Class::ZoneUnfit
            | Class::SubnetUnfit
            | Class::TypeUnfit
            | Class::Quota
            | Class::Propagating
            | Class::ParameterMismatch
            | Class::InstanceTerminated => (Kind::RecordUnavailable, "the table did not answer in time"),
        };
        let advice = advice(&error, "the repeat of this delivery goes on where this one stopped");
        Error::new(kind, format!("meeting {}: {problem}", self.meeting), advice).caused_by(error)
    }

    /// Subnets or image are not known, so nothing new can be launched.
    pub(super) fn lookup_failed(&self, error: &LookupError) -> Error {
        let Error { kind, problem, advice, cause } = failed_lookup(error);
        Error { kind, problem: format!("meeting {}: {problem}", self.meeting), advice, cause }
    }
}

/// Whose machine an error is about.
impl<P: LaunchPorts> fmt::Display for OneRole<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "meeting {}, {}", self.delivery.meeting, self.role)
    }
}

impl<P: LaunchPorts> OneRole<'_, P> {
    /// The configuration has no place for the machine, or none in the zone where the other role's machine is.
    pub(super) fn no_place(&self, zone: Option<&str>) -> Error {
        let beside = zone.map(|zone| format!(" in {zone}, where the {}'s machine is", self.role.other()));
        Error::new(
            Kind::NoUsableSubnet,
            format!("{self}: no type and subnet is left{}", beside.unwrap_or_default()),
            "set SUPPORTED_AZS and INSTANCE_TYPE so that this zone is among them again, or PAIR to any",
        )
    }

    /// The record sets a value for its machine that cannot be understood.
    pub(super) fn wrong_override(&self, what: &str) -> Error {
        Error::new(
            Kind::InvalidRecord,
            format!("{self}: {what}"),
            "correct the attribute in the record, or remove it for the machine that is configured",
        )
    }

    /// The user data needs a value that this meeting does not have.
    pub(super) fn no_user_data(&self, reason: &str) -> Error {
        Error::new(
            Kind::InvalidConfiguration,
            format!("{self}: {reason}"),
            "change USER_DATA, or give the meeting another id",
        )
    }

    /// EC2 refused RunInstances for a reason that no repeat and no other zone can change.
    pub(super) fn refused_for_good(&self, error: AwsError) -> Error {
        let kind = match error.class {
            Class::Unauthorized => Kind::Unauthorized,
            _ => Kind::InvalidConfiguration,
        };
        let advice = advice(&error, "change the setting that it names");
        Error::new(kind, format!("{self}: the launch was refused"), advice).caused_by(error)
    }

    /// Several machines of the role died, each as soon as it was launched.
    pub(super) fn died_again(&self, deaths: u32, error: AwsError) -> Error {
        let (kind, what_to_do) = match error.code.as_deref() {
            Some("Client.InternalError") => (
                Kind::InvalidConfiguration,
                "EC2 could not use the volume's KMS key, most often: let the function's role use the key that \
                 VOLUME_KMS_KEY_ID, the image or the account's default for EBS names (kms:CreateGrant, kms:Decrypt)",
            ),
            Some("Client.InvalidSnapshot.NotFound") => {
                (Kind::InvalidConfiguration, "the image's snapshot is gone: change AMI_ID or AMI_NAME")
            }
            Some("Client.VolumeLimitExceeded") => (
                Kind::QuotaExceeded,
                "ask for a higher quota of storage of this volume type in Service Quotas",
            ),
            Some("Client.InstanceInitiatedShutdown") => {
                (Kind::InvalidConfiguration, "it shuts itself down: see USER_DATA, the image and its console")
            }
            Some("Client.UserInitiatedShutdown") | None => (
                Kind::MeetingBusy,
                "somebody ends each of them: CloudTrail says who calls TerminateInstances",
            ),
            Some(_) => (Kind::Ec2Unavailable, "the repeat tries again"),
        };
        Error::new(kind, format!("{self}: {deaths} machines died as they were launched"), what_to_do)
            .caused_by(error)
    }

    /// The same attempt would have to be sent again, and there is no time left to record it.
    pub(super) fn out_of_time(&self, error: AwsError) -> Error {
        let (kind, problem) = match error.class {
            Class::NotSent => (Kind::DeadlineTooClose, "no time was left for a request to EC2"),
            Class::Throttled => {
                (Kind::Throttled, "EC2 refused the requests for their rate until the time was up")
            }
            Class::Unauthorized => (Kind::Unauthorized, "EC2 did not allow a request"),
            Class::Misconfigured => (Kind::InvalidConfiguration, "EC2 refused a request"),
            _ => (Kind::Ec2Unavailable, "EC2 gave no answer that settles the attempt before the time was up"),
        };
        let advice = advice(&error, "the repeat of this delivery goes on with the same attempt");
        Error::new(kind, format!("{self}: {problem}"), advice).caused_by(error)
    }

    /// The search for a machine that no record names failed, or the machine could not be ended.
    pub(super) fn left_running(&self, instance: Option<&InstanceId>, error: AwsError) -> Error {
        let what = match instance {
            Some(id) => format!("{id} is named by no record and could not be ended"),
            None => "a machine that no record names could not be looked for".to_owned(),
        };
        let Error { kind, advice, .. } = self.out_of_time(error.clone());
        Error::new(kind, format!("{self}: {what}"), advice).caused_by(error)
    }
}

/// The first failure, and what became of the other role.
fn half_a_pair(failures: &[(Role, Box<Failed>)], machines: &BTreeMap<&str, MachineAnswer>) -> Error {
    let mut error = failures[0].1.error.clone();
    for (role, machine) in machines {
        error.problem.push_str(&format!(" ({role}: {} is recorded)", machine.instance_id));
    }
    for (role, other) in &failures[1..] {
        error.problem.push_str(&format!(" ({role}: {})", other.error.kind));
    }
    error
}

pub(super) fn failed_lookup(error: &LookupError) -> Error {
    match error {
        LookupError::NoUsableSubnet(found) => Error::new(
            Kind::NoUsableSubnet,
            found.clone(),
            "set SUPPORTED_AZS to zones that have a subnet, or SUBNET_IDS, VPC_ID or VPC_NAME to what has free addresses",
        ),
        LookupError::Misfit(problem, advice) => {
            Error::new(Kind::InvalidConfiguration, problem.clone(), *advice)
        }
        LookupError::OwnImage(error) => Error::new(
            Kind::InvalidRecord,
            "the image that its record names cannot be used",
            error.advice.clone(),
        )
        .caused_by((**error).clone()),
        LookupError::Aws(error) => {
            let kind = match error.class {
                Class::NotSent => Kind::DeadlineTooClose,
                Class::Throttled => Kind::Throttled,
                Class::Unauthorized => Kind::Unauthorized,
                Class::Misconfigured => Kind::InvalidConfiguration,
                _ => Kind::Ec2Unavailable,
            };
            let advice = advice(error, "the repeat of this delivery looks again");
            Error::new(kind, "network, types, image or key could not be looked up", advice)
                .caused_by(error.clone())
        }
    }
}

fn advice(error: &AwsError, otherwise: &str) -> String {
    if error.advice.is_empty() { otherwise.to_owned() } else { error.advice.clone() }
}

fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::Over(Some(Status::Terminated) | None) => "the meeting is over".to_owned(),
        Reason::Over(Some(status)) => {
            format!("the meeting has the status {:?}, for which nothing is launched", status.as_str())
        }
        Reason::Ended(why) => format!("the meeting was ended: {why}"),
        Reason::TooLate { meet_time, window } => format!(
            "the delivery came more than {} minutes after the meeting's time {meet_time} (LAUNCH_WINDOW_MINUTES)",
            window.latest.as_secs() / 60
        ),
        Reason::TooEarly { meet_time, window } => format!(
            "the delivery came more than {} minutes before the meeting's time {meet_time} (EARLIEST_MINUTES)",
            window.earliest.as_secs() / 60
        ),
    }
}

//! How a machine is ended that no record names. Every verb does it in the same way, because other deliveries may be at
//! work on the meeting. Also what it means if EC2 refuses an action on a machine of ours.

use std::future::Future;

use jiff::Timestamp;
use tracing::info;

use crate::deadline::Deadline;
use crate::error::{AwsError, Class, Service};
use crate::fleet::ObservedMachine;
use crate::machine::{InstanceId, PROJECT_TAG, Token};
use crate::meeting::{MeetingId, Role};
use crate::plan;
use crate::ports::{Clock, DescribeById, Meetings, Terminate, Tokens, Updated};
use crate::record;
use crate::timing::{Timing, after};

/// What happened to a machine that was to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Ended,
    /// It has been recorded meanwhile: it stays.
    Kept,
}

/// Ends machines for one delivery.
pub struct Ending<'d, M, E, C, T> {
    pub meetings: &'d M,
    pub ec2: &'d E,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
    /// After this time EC2 shows the machine, if it exists.
    pub known_by: Timestamp,
}

impl<M: Meetings, E: Terminate + DescribeById, C: Clock, T: Tokens> Ending<'_, M, E, C, T> {
    /// `standing` is the attempt that made the machine, if it is still in the record of its meeting.
    ///
    /// The end is written to the record first, so that no delivery records the machine meanwhile: the watchdog may write
    /// a status that allows a launch over TERMINATED. Then the machine's `Role` tag is removed: otherwise the watchdog
    /// would write TERMINATED over the meeting, which may go on with another machine.
    pub async fn terminate_unrecorded(
        &self,
        instance: &InstanceId,
        standing: Option<&(MeetingId, Role, Token)>,
    ) -> Result<Ended, (Service, AwsError)> {
        if let Some((meeting, role, token)) = standing {
            let update = record::end(meeting, *role, token);
            let write = || self.meetings.update(&update);
            let told = self.deadline.ask(Service::DynamoDb, &self.timing, write).await;
            if let Updated::Refused(found) = told.map_err(|error| (Service::DynamoDb, error))?
                && plan::is_kept(found.as_deref(), *role, instance)
            {
                return Ok(Ended::Kept);
            }
        }
        self.end_without_role(instance).await.map_err(|error| (Service::Ec2, error))?;
        info!(instance_id = %instance, "machine ended: no record names it");
        Ok(Ended::Ended)
    }

    /// A machine whose meeting may go on without it.
    pub async fn end_without_role(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let (ec2, known_by) = (self.ec2, self.known_by);
        let on = OnMachine { ec2, deadline: self.deadline, timing: self.timing, tries: PATIENTLY };
        if on.act(instance, known_by, || ec2.remove_role_tag(instance)).await? == Acted::Done {
            on.act(instance, known_by, || ec2.terminate(instance)).await?;
        }
        Ok(())
    }
}

/// As often as there is time: what is repeated is settled within the effect delay, or the deadline ends it.
pub const PATIENTLY: u32 = u32::MAX;

/// What happened to an action on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    Done,
    /// The machine is gone or about to be, so nothing is left to act on.
    Gone,
}

/// An action that the role may take only on machines with our tags.
///
/// EC2 checks the permission before it looks for the machine. So it answers `UnauthorizedOperation` for a machine that
/// is gone, for one that died and lost its tags, and, for some seconds, for one that was only just tagged
/// (karpenter-provider-aws #2100, #1796). A look-up by id tells these apart.
pub struct OnMachine<'d, E, C, T> {
    pub ec2: &'d E,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
    pub tries: u32,
}

impl<E: DescribeById, C: Clock, T: Tokens> OnMachine<'_, E, C, T> {
    /// After `known_by` EC2 shows the machine, if it exists.
    pub async fn act<F: Future<Output = Result<(), AwsError>>>(
        &self,
        instance: &InstanceId,
        known_by: Timestamp,
        action: impl Fn() -> F,
    ) -> Result<Acted, AwsError> {
        let tried = || async {
            match action().await {
                Ok(()) => Ok(Acted::Done),
                Err(error) if is_about_its_being(&error) => self.settle(instance, known_by, error).await,
                Err(error) => Err(error),
            }
        };
        self.deadline.ask_times(self.tries, Service::Ec2, &self.timing, tried).await
    }

    async fn settle(
        &self,
        instance: &InstanceId,
        known_by: Timestamp,
        error: AwsError,
    ) -> Result<Acted, AwsError> {
        let Ok(looked) = self.ec2.look(std::slice::from_ref(instance)).await else { return Err(error) };
        let now = self.deadline.clock.now();
        let again = |error: AwsError| Err(AwsError { class: Class::Propagating, ..error });
        let Some(observed) = looked.seen.first() else {
            return match looked.missing.contains(instance) {
                true if now >= known_by => Ok(Acted::Gone),
                true => again(error),
                false => Err(error),
            };
        };
        let ObservedMachine { machine, launched_at, .. } = observed;
        if !machine.state.is_live() {
            return Ok(Acted::Gone);
        }
        if error.class == Class::Propagating || now < after(*launched_at, self.timing.max_effect_delay) {
            return again(error);
        }
        let advice = match machine.tags.get(PROJECT_TAG) {
            Some(project) => format!(
                "{instance} runs and carries the tag {PROJECT_TAG}={project}: allow ec2:{} on what carries it in the \
                 function's role (PROJECT_TAG), or see which other policy denies it",
                error.action
            ),
            None => format!(
                "{instance} runs and has no tag {PROJECT_TAG}, by which the function's role knows its machines: tag it \
                 again, or end it by hand"
            ),
        };
        Err(AwsError { advice, ..error })
    }
}

/// Whether an answer may only mean that the machine does not exist, or not yet. An explicit denial always means a
/// missing permission.
fn is_about_its_being(error: &AwsError) -> bool {
    let denied = error.code() == "UnauthorizedOperation" && !error.message.contains("explicit deny");
    denied || error.class == Class::Propagating
}

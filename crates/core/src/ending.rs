//! How a machine is ended that no record names, the same way for every verb, for others may be at work on its meeting; and
//! what it means where EC2 refuses an action on a machine of ours.

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

/// What became of a machine that was to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Ended,
    /// It has been recorded meanwhile: it stays.
    Kept,
}

/// Who ends machines, for one delivery.
pub struct Ending<'d, M, E, C, T> {
    pub meetings: &'d M,
    pub ec2: &'d E,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
    /// From then on EC2 shows the machine, if it exists.
    pub known_by: Timestamp,
}

impl<M: Meetings, E: Terminate + DescribeById, C: Clock, T: Tokens> Ending<'_, M, E, C, T> {
    /// `standing` is the attempt that made it, if that stands in the record of its meeting still.
    ///
    /// First the record is told, so that nobody takes the machine over meanwhile: the
    /// watchdog may write a status that allows a launch over TERMINATED. Then its `Role` tag goes: the watchdog would
    /// otherwise write TERMINATED over the meeting, which may be going on with another machine.
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

    /// One whose meeting may go on without it.
    pub async fn end_without_role(&self, instance: &InstanceId) -> Result<(), AwsError> {
        let (ec2, known_by) = (self.ec2, self.known_by);
        let on = OnMachine { ec2, deadline: self.deadline, timing: self.timing, tries: PATIENTLY };
        if on.act(instance, known_by, || ec2.remove_role_tag(instance)).await? == Acted::Done {
            on.act(instance, known_by, || ec2.terminate(instance)).await?;
        }
        Ok(())
    }
}

/// As often as there is time: what is repeated settles within the effect delay, or the deadline ends it.
pub const PATIENTLY: u32 = u32::MAX;

/// What became of an action on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    Done,
    /// The machine is gone, or about to be: there is nothing left to act on.
    Gone,
}

/// An action that the role may take on machines of ours, which are known by their tags.
///
/// EC2 asks whether it is allowed before it looks for the machine, so it answers `UnauthorizedOperation` for one that is gone,
/// that has died and lost its tags, and, for some seconds, for one that was only just tagged
/// (karpenter-provider-aws #2100, #1796). A look by its id tells these apart.
pub struct OnMachine<'d, E, C, T> {
    pub ec2: &'d E,
    pub deadline: &'d Deadline<'d, C, T>,
    pub timing: Timing,
    pub tries: u32,
}

impl<E: DescribeById, C: Clock, T: Tokens> OnMachine<'_, E, C, T> {
    /// From `known_by` on EC2 shows the machine, if it exists.
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

/// Whether an answer may only mean that the machine is not there, or not there yet. An explicit denial means what it says.
fn is_about_its_being(error: &AwsError) -> bool {
    let denied = error.code() == "UnauthorizedOperation" && !error.message.contains("explicit deny");
    denied || error.class == Class::Propagating
}

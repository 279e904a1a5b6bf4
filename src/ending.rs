//! How a machine is ended that no record names: the same way for every verb, for others may be at work on its meeting.

use std::future::Future;

use tracing::info;

use crate::deadline::Deadline;
use crate::error::{AwsError, Service};
use crate::machine::{InstanceId, Token};
use crate::meeting::{MeetingId, Role};
use crate::needs::{Clock, Ends, Meetings, Tokens, Updated};
use crate::plan;
use crate::record;
use crate::timing::Timing;

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
}

impl<M: Meetings, E: Ends, C: Clock, T: Tokens> Ending<'_, M, E, C, T> {
    /// `standing` is the attempt that made it, if that stands in the record of its meeting still.
    ///
    /// First the record is told, so that nobody takes the machine over meanwhile: the
    /// watchdog may write a status that allows a launch over TERMINATED. Then its `Role` tag goes: the watchdog would
    /// otherwise write TERMINATED over the meeting, which may be going on with another machine.
    pub async fn end_unnamed(
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
        self.ec2(|| self.ec2.remove_role_tag(instance)).await?;
        self.ec2(|| self.ec2.terminate(instance)).await?;
        info!(instance_id = %instance, "machine ended: no record names it");
        Ok(Ended::Ended)
    }

    async fn ec2<F: Future<Output = Result<(), AwsError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<(), (Service, AwsError)> {
        let answer = self.deadline.ask(Service::Ec2, &self.timing, request).await;
        answer.map_err(|error| (Service::Ec2, error))
    }
}

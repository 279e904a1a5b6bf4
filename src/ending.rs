//! How a machine is ended that no record names: the same way for every verb, for others may be at work on its meeting.

use tracing::info;

use crate::deadline::{Backoff, Deadline};
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
            let told = self.deadline.persist(self.timing.table, Backoff::TABLE, || true, write).await;
            if let Updated::Refused(found) = told.map_err(|error| (Service::DynamoDb, error))?
                && plan::is_kept(found.as_deref(), *role, instance)
            {
                return Ok(Ended::Kept);
            }
        }
        let limit = self.timing.ec2;
        let untag = || self.ec2.remove_role_tag(instance);
        let untagged = self.deadline.persist(limit, Backoff::EC2, || true, untag).await;
        untagged.map_err(|error| (Service::Ec2, error))?;
        let end = || self.ec2.terminate(instance);
        let ended = self.deadline.persist(limit, Backoff::EC2, || true, end).await;
        ended.map_err(|error| (Service::Ec2, error))?;
        info!(instance_id = %instance, "machine ended: no record names it");
        Ok(Ended::Ended)
    }
}

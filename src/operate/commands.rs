//! A command on a machine: `run`, through SSM's Run Command.
//!
//! SSM knows no client token. The caller's name goes into the command's comment, and a repeat finds the command by it, waits on
//! and answers what came of it. Two requests at the very same moment can both be the first, and then it runs twice: a command
//! that must not has to see to that itself.

use std::cell::Cell;

use serde::Serialize;
use tracing::info;

use super::{Answer, Delivery, Outcome, Sight};
use crate::command::NewCommand;
use crate::deadline::Backoff;
use crate::error::{Class, Error, Kind, Service};
use crate::event::WantedCommand;
use crate::hardware::Hardware;
use crate::machine::State;
use crate::needs::{Clock, Machinery, Meetings, Ssm, Tokens};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandAnswer {
    pub command_id: String,
    pub name: String,
    /// SSM's word: `Success`, `Failed`, `TimedOut`, `Cancelled`.
    pub status: String,
    /// The same in more detail, such as `Undeliverable`.
    pub status_details: String,
    /// `null`: it did not run to its end.
    pub exit_status: Option<i32>,
    /// The first 24,000 characters.
    pub output: String,
    /// The first 8,000.
    pub error_output: String,
}

impl<M, E, S, C, T> Delivery<'_, M, E, S, C, T>
where
    M: Meetings,
    E: Machinery,
    S: Ssm,
    C: Clock,
    T: Tokens,
{
    /// Answers when it is over, whatever its exit status.
    pub(super) async fn run_command(&self, of: &Hardware, wanted: &WantedCommand) -> Result<Answer, Error> {
        let ssm = &self.operator.ssm;
        let instance = of.instance_id();
        let name = &wanted.name;
        let (id, outcome) = match self.ask(Service::Ssm, || ssm.find_command(instance, name)).await? {
            Some(id) => (id, Outcome::Unchanged),
            None if of.machine.state != State::Running => {
                let state = of.machine.state.as_str();
                return Err(self.refused(format!("{instance} is {state}, and runs no command")));
            }
            None => (self.send(of, wanted).await?, Outcome::Done),
        };
        let invocation = self
            .until(&format!("the command {id} is not over yet"), async || {
                let found = self.ask(Service::Ssm, || ssm.read_command(&id, instance)).await?;
                Ok(found.filter(|invocation| invocation.is_over()))
            })
            .await?;
        let command = CommandAnswer {
            command_id: id,
            name: name.clone(),
            status: invocation.status,
            status_details: invocation.details,
            exit_status: invocation.exit_status,
            output: invocation.output,
            error_output: invocation.error_output,
        };
        Ok(Answer { command: Some(command), ..self.answer(of, outcome) })
    }

    /// Once, unless SSM says that it did nothing; after an answer that was lost it is looked for.
    async fn send(&self, of: &Hardware, wanted: &WantedCommand) -> Result<String, Error> {
        let ssm = &self.operator.ssm;
        let timing = &self.operator.timing;
        let command = NewCommand {
            instance_id: of.instance_id().clone(),
            name: wanted.name.clone(),
            shell: wanted.shell,
            text: wanted.command.clone(),
            timeout_seconds: wanted.timeout_seconds,
        };
        let lost = Cell::new(false);
        let send = || async {
            match ssm.send_command(&command).await {
                Err(error) if error.class == Class::Ambiguous => {
                    info!(%error, "whether the command was taken is not known; it is looked for");
                    lost.set(true);
                    Ok(None)
                }
                other => other.map(Some),
            }
        };
        let sent = self.deadline.persist(timing.ec2, Backoff::EC2, || true, send).await;
        match sent {
            Ok(Some(id)) => return Ok(id),
            Ok(None) => {}
            Err(error) if error.code() == "InvalidInstanceId" => {
                return Err(Error::new(
                    Kind::OperationRefused,
                    format!("{}: Systems Manager does not know {}", self.verb, of.instance_id()),
                    "give the machine an instance profile with AmazonSSMManagedInstanceCore (IAM_PROFILE), see that its \
                     agent runs and reaches Systems Manager, and ask again",
                )
                .caused_by(error));
            }
            Err(error) => {
                return Err(Error::of_request(self.verb, Service::Ssm, error, "ask again: it was not sent"));
            }
        }
        let found = self.until_seen("the command is not to be seen yet", async || {
            let found = self.ask(Service::Ssm, || ssm.find_command(of.instance_id(), &wanted.name)).await?;
            Ok(found.map_or(Sight::Unseen, Sight::There))
        });
        found.await?.ok_or_else(|| {
            Error::new(
                Kind::SsmUnavailable,
                format!("{}: Systems Manager did not say whether it took the command", self.verb),
                "ask again: if it did, the repeat finds it",
            )
        })
    }
}

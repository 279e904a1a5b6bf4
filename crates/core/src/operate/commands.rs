//! A command on a machine: `run`, through SSM's Run Command.
//!
//! SSM has no client tokens. The caller's name goes into the command's comment. A repeat finds the command by this
//! comment, waits for it and answers with its result. Two requests at the very same moment can both be the first, and
//! then the command runs twice: a command that must not run twice has to take care of that itself.

use std::time::Duration;

use serde::Serialize;
use tracing::info;

use super::{Found, OperateAnswer, OperateDelivery, OperatePorts, Outcome, Sight};
use crate::command::NewCommand;
use crate::error::{AwsError, Class, Error, Kind, Service};
use crate::event::WantedCommand;
use crate::hardware::Hardware;
use crate::machine::{InstanceId, State};
use crate::ports::{Clock, Commands};
use crate::timing::after;

/// SSM's code for a machine whose agent has not reported: it has not reported yet, or it cannot.
const UNKNOWN: &str = "InvalidInstanceId";

/// The time after a machine's start in which its agent may still be about to report. Windows takes longest.
const YOUNG: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandAnswer {
    pub command_id: String,
    pub name: String,
    /// SSM's word for the state: `Success`, `Failed`, `TimedOut`, `Cancelled`.
    pub status: String,
    /// The same in more detail, such as `Undeliverable`.
    pub status_details: String,
    /// `null`: the command did not run to its end.
    pub exit_status: Option<i32>,
    /// The first 24,000 characters.
    pub output: String,
    /// The first 8,000.
    pub error_output: String,
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    /// Run a command, and answer when it is over, whatever its exit status is.
    pub(super) async fn run_command(
        &self,
        of: &Hardware,
        wanted: &WantedCommand,
    ) -> Result<OperateAnswer, Error> {
        let ssm = &self.operator.ssm;
        let instance = of.instance_id();
        let name = &wanted.name;
        let (id, outcome) = match self.ask(Service::Ssm, || ssm.find_command(instance, name)).await? {
            Some(id) => (id, Outcome::Unchanged),
            None if of.machine.state != State::Running => {
                return Err(self.runs_no_command(of));
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
        Ok(OperateAnswer { command: Some(command), ..self.answer(of, outcome) })
    }

    /// Send the command once, and again only if SSM says that it did nothing. After a lost answer, look for it.
    async fn send(&self, of: &Hardware, wanted: &WantedCommand) -> Result<String, Error> {
        let ssm = &self.operator.ssm;
        let clock = &self.operator.clock;
        let command = NewCommand {
            instance_id: of.instance_id().clone(),
            name: wanted.name.clone(),
            shell: wanted.shell,
            text: wanted.command.clone(),
            timeout_seconds: wanted.timeout_seconds,
        };
        // This is not repeated: after a lost answer we look for the command.
        let send = || async {
            match ssm.send_command(&command).await {
                Err(error) if error.class == Class::Ambiguous => {
                    info!(%error, "whether the command was taken is not known; it is looked for");
                    Ok(None)
                }
                other => other.map(Some),
            }
        };
        let instance = of.instance_id();
        let look = async |error: &AwsError| {
            let of = self.ours(instance).await?;
            if of.machine.state != State::Running {
                return Err(self.runs_no_command(&of));
            }
            let since = of.launched_at;
            if error.code() == UNKNOWN && since.is_some_and(|since| clock.now() > after(since, YOUNG)) {
                return Err(self.unknown(instance, Kind::OperationRefused).caused_by(error.clone()));
            }
            Ok(Found::Stands(since))
        };
        let sent = self.settle(Service::Ssm, send, look).await.map_err(|error| match error.code() {
            // The machine was young until the time was up.
            UNKNOWN if error.kind == Kind::DeadlineTooClose => {
                let told = self.unknown(instance, error.kind);
                Error { cause: error.cause, ..told }
            }
            _ => error,
        })?;
        if let Some(Some(id)) = sent {
            return Ok(id);
        }
        let found = self.until_seen("the command is not to be seen yet", None, async || {
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

    fn runs_no_command(&self, of: &Hardware) -> Error {
        self.refused(format!("{} is {}, and runs no command", of.instance_id(), of.machine.state.as_str()))
    }

    fn unknown(&self, instance: &InstanceId, kind: Kind) -> Error {
        Error::new(
            kind,
            format!("{}: Systems Manager does not know {instance}", self.verb),
            "a machine is known some minutes after its start: ask again then; and give it an instance profile with \
             AmazonSSMManagedInstanceCore (IAM_PROFILE), and see that its agent runs and reaches Systems Manager",
        )
    }
}

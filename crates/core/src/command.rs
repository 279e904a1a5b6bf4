//! A command on a machine, by SSM's Run Command, and its result.

use crate::machine::InstanceId;

/// Which of SSM's own documents runs the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    #[default]
    Shell,
    PowerShell,
}

impl Shell {
    pub fn document(self) -> &'static str {
        match self {
            Shell::Shell => "AWS-RunShellScript",
            Shell::PowerShell => "AWS-RunPowerShellScript",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    pub instance_id: InstanceId,
    /// The caller's name for the command; it is written in the command's comment.
    pub name: String,
    pub shell: Shell,
    pub text: String,
    /// SSM ends the command after this many seconds.
    pub timeout_seconds: u32,
}

/// The state of a command on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// SSM's word: `Pending`, `InProgress`, `Delayed`, `Success`, `Failed`, `TimedOut`, `Cancelled`, …
    pub status: String,
    /// SSM's detailed word, such as `Undeliverable`.
    pub details: String,
    /// `None`: the command did not complete.
    pub exit_status: Option<i32>,
    /// At most 24,000 characters.
    pub output: String,
    /// At most 8,000.
    pub error_output: String,
}

impl Invocation {
    pub fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "Pending" | "InProgress" | "Delayed" | "Cancelling")
    }
}

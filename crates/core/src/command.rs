//! A command on a machine, by SSM's Run Command, and what came of it.

use crate::machine::InstanceId;

/// Which of SSM's own documents runs it.
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
    /// The caller's; it goes into the command's comment.
    pub name: String,
    pub shell: Shell,
    pub text: String,
    /// It is ended after so many seconds.
    pub timeout_seconds: u32,
}

/// How it is with a command on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// SSM's word: `Pending`, `InProgress`, `Delayed`, `Success`, `Failed`, `TimedOut`, `Cancelled`, …
    pub status: String,
    /// SSM's in more detail, such as `Undeliverable`.
    pub details: String,
    /// `None`: it did not run to its end.
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

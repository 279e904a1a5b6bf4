//! Whether both machines of a meeting run, and if not, whether it is worth waiting.

use crate::fleet::ObservedMachine;
use crate::machine::State;
use crate::meeting::Role;
use crate::record::Record;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    Both,
    /// Not yet, in words that follow "the meeting:".
    NotYet(String),
    Never(String),
}

/// `None` is a record that cannot be understood. A machine that died may be replaced, and a machine that EC2 does not
/// show may have been launched a moment ago. A meeting that is over gets no machine.
pub fn running(record: Option<&Record>, seen: &[ObservedMachine]) -> Running {
    let Some(record) = record else { return Running::Never("its record cannot be understood".to_owned()) };
    if let Some(reason) = &record.termination_reason {
        return Running::Never(format!("it was ended ({reason})"));
    }
    if record.is_over() {
        let status = record.status.as_ref().map_or("none", |status| status.as_str());
        return Running::Never(format!("its status is {status}"));
    }
    let mut missing = Vec::new();
    for role in Role::BOTH {
        let Some(id) = &record.role(role).instance_id else {
            missing.push(format!("the {role} has no machine yet"));
            continue;
        };
        let state = seen.iter().find(|observed| observed.instance_id() == id).map(|s| s.machine.state);
        match state {
            Some(State::Running) => {}
            Some(state) => missing.push(format!("the {role}'s machine {id} is {}", state.as_str())),
            None => missing.push(format!("EC2 does not show the {role}'s machine {id}")),
        }
    }
    if missing.is_empty() { Running::Both } else { Running::NotYet(missing.join(", ")) }
}

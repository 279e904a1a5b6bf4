//! What is done to a machine that is operated: which place is free, what its state allows, under which client token.

use uuid::Uuid;

use crate::hardware::{Hardware, OwnImage};
use crate::machine::{InstanceId, State, Token};

/// What names our client tokens among all others.
const TOKENS: Uuid = Uuid::from_u128(0x6f1d_2a94_3c1e_4b0a_9d57_2f6c_0f1b_9a10);

/// The client token of the n-th thing of this kind and name that is made for a machine. It is the same for a request that
/// comes twice, whoever sends it; what was made under one and deleted since is followed by the next.
pub fn token(kind: &str, instance: &InstanceId, name: &str, generation: u32) -> Token {
    let text = format!("{kind}\n{instance}\n{generation}\n{name}");
    Token(Uuid::new_v5(&TOKENS, text.as_bytes()).to_string())
}

/// The first device name that nothing is attached at, as [EC2 recommends them][names]. What is at `/dev/xvdf` has `/dev/sdf`.
///
/// [names]: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
pub fn free_device(taken: &[String]) -> Option<String> {
    let letter = |device: &String| {
        let name = device.trim_start_matches("/dev/");
        name.strip_prefix("sd").or(name.strip_prefix("xvd")).and_then(|rest| rest.chars().next())
    };
    let taken: Vec<char> = taken.iter().filter_map(letter).collect();
    ('f'..='p').find(|letter| !taken.contains(letter)).map(|letter| format!("/dev/sd{letter}"))
}

/// The first device index that no network interface has; `None`: as many as the type may have are attached.
pub fn free_index(taken: &[i32], limit: usize) -> Option<i32> {
    if taken.len() >= limit {
        return None;
    }
    (1..=i32::MAX).find(|index| !taken.contains(index))
}

/// EC2's times sort as their texts do; of two of one moment the order is at least the same each time.
pub fn newest_first(images: &mut [OwnImage]) {
    images.sort_by(|a, b| (&b.created_at, &b.image_id).cmp(&(&a.created_at, &a.image_id)));
}

/// What a request to stop, start or reboot meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    Send,
    /// It is so already, or on its way.
    Already,
    /// On its way to the opposite: what is asked for can be sent once it is there.
    Later,
    Refused(String),
}

pub fn stop(of: &Hardware) -> Power {
    let reason = if of.has_instance_store_root {
        "its root is on a disk of its host, which is gone with a stop"
    } else if of.is_spot {
        "it is a spot machine for one time, which EC2 does not stop but end"
    } else {
        return match of.machine.state {
            State::Running => Power::Send,
            State::Pending => Power::Later,
            State::Stopping | State::Stopped => Power::Already,
            State::ShuttingDown | State::Terminated => gone(of),
        };
    };
    Power::Refused(format!("{} cannot be stopped: {reason}", of.instance_id()))
}

pub fn start(of: &Hardware) -> Power {
    match of.machine.state {
        State::Stopped => Power::Send,
        State::Stopping => Power::Later,
        State::Pending | State::Running => Power::Already,
        State::ShuttingDown | State::Terminated => gone(of),
    }
}

pub fn reboot(of: &Hardware) -> Power {
    match of.machine.state {
        State::Running => Power::Send,
        State::Pending => Power::Later,
        State::Stopping | State::Stopped => {
            let state = of.machine.state.as_str();
            Power::Refused(format!(
                "{} is {state}, and only a machine that runs can be rebooted",
                of.instance_id()
            ))
        }
        State::ShuttingDown | State::Terminated => gone(of),
    }
}

fn gone(of: &Hardware) -> Power {
    Power::Refused(format!("{} is {}, for good", of.instance_id(), of.machine.state.as_str()))
}

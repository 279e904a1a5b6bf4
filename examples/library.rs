//! The library on a laptop: `cargo run --example library`.
//!
//! Starts an AWS on 127.0.0.1 with a table and a meeting in it, and runs itself once more with that AWS in its environment: the
//! second is what a program of one's own would be, from `Client::from_env` to the end of the meeting. On the real AWS, with the
//! variables of docs/settings.md set, `LIBRARY_MEETING=<id>` makes it work on a meeting of yours; it makes and deletes an image, adds a
//! disk, and ends the meeting.

#![allow(clippy::print_stdout, reason = "this program talks to a person")]

#[path = "../tests/local/stack.rs"]
mod local;

use std::io;
use std::process::{Command, ExitCode};

use elephant_core::error::Error;
use elephant_core::event::{Operate, Target, Verb, WantedVolume};
use elephant_core::meeting::{MeetingId, Role};
use elephant_launch::client::Client;
use local::aws::{IMAGE, LocalAws};

const MEETING: &str = "LIBRARY_MEETING";

fn main() -> ExitCode {
    let told = match std::env::var(MEETING) {
        Ok(meeting) => run(&meeting).map_err(|error| error.chain()),
        Err(_) => on_a_local_aws(),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("library: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// A client's futures stay on one thread.
#[tokio::main(flavor = "current_thread")]
async fn run(meeting: &str) -> Result<(), Error> {
    let meeting = MeetingId::new(meeting).map_err(|what| {
        Error::new(elephant_core::error::Kind::InvalidEvent, format!("the id {what}"), "set another")
    })?;
    let client = Client::from_env().await?;

    let launched = client.launch(&meeting).await?;
    let again = client.launch(&meeting).await?;
    println!("launched, and once more: {:?}, {:?}", outcomes(&launched), outcomes(&again));

    let running = client.wait(&meeting).await?;
    for (role, machine) in &running.machines {
        println!("the {role}'s machine {:?} is at {:?}", machine.instance_id, machine.dns_name);
    }

    let teacher = Target::RoleRecord(meeting.clone(), Role::Teacher);
    let volume = client.add_volume(&teacher, WantedVolume::new("recordings", 100)).await?;
    println!("its disk {} is at {:?}", volume.volume_id, volume.device);

    let image = client.snapshot(&teacher, "made by the example library").await?;
    println!("an image of it: {} is {}", image.image_id, image.state);
    let delete = Verb::DeleteImage { image_id: image.image_id };
    let deleted = client.operate(&Operate { target: None, verb: delete }).await?;
    println!("deleted with its snapshots: {:?}", deleted.deleted_snapshot_ids);

    let ended = client.end(&meeting, "the example is over").await?;
    for (instance, machine) in &ended.machines {
        println!("the {}'s machine {instance} is {:?}", machine.role, machine.state);
    }
    Ok(())
}

fn outcomes(answer: &elephant_core::launch::LaunchAnswer) -> Vec<String> {
    let of = |machine: &elephant_core::launch::MachineAnswer| format!("{:?}", machine.outcome);
    answer.machines.values().map(of).collect()
}

/// This program again, with that AWS in its environment.
fn on_a_local_aws() -> Result<(), String> {
    let aws = LocalAws::start(&mut io::stderr())?;
    aws.create_table();
    aws.put_meeting(&[("id", "m"), ("status", "SCHEDULED")]);
    let group = aws.security_group();
    let own = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut again = Command::new(own);
    // What a person has set for the real AWS must not reach the local one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        again.env_remove(name);
    }
    let settings = [
        (MEETING, "m"),
        ("AMI_ID", IMAGE),
        ("INSTANCE_TYPE", "t3.large,m5.large"),
        ("SECURITY_GROUP_IDS", &group),
        ("SCHEDULE_GROUP", "default"),
    ];
    let status = again.envs(aws.environment()).envs(settings).status();
    let status = status.map_err(|error| format!("it does not start: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("it ended with {status}")),
    }
}

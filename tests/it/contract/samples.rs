//! What the promises are tried on.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use elephant_core::machine::{Addresses, Attempt, InstanceId, Note, Parameters, State, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::network::Subnet;
use elephant_core::record::{Failure, Lease, Lost, MeetTime, Owner, Record, Recorded, RoleRecord};
use jiff::Timestamp;

use Role::{Student, Teacher};

pub use elephant_world::attempt::{full_attempt, plain_attempt};

use super::Stage;
use elephant_world::start;

pub fn meeting(stage: &impl Stage) -> MeetingId {
    MeetingId::new(&format!("class {} 🐘", stage.name())).expect("an id")
}

/// This many seconds into the story.
pub fn at(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

/// A record as the scheduling program leaves it.
pub fn scheduled(stage: &impl Stage) -> Record {
    elephant_world::scheduled(meeting(stage).as_str())
}

/// One in which everything stands: a lease, the teacher's machine, an attempt of the student's.
pub fn half_done(stage: &impl Stage) -> Record {
    let m = &meeting(stage);
    Record {
        status: Some(Status::Launched),
        lease: Some(lease("me", 30)),
        teacher: RoleRecord {
            instance_id: Some(id("i-1")),
            attempt: Some(plain_attempt(m, Teacher, "token-1")),
            launched_at: None,
        },
        student: RoleRecord {
            instance_id: None,
            attempt: Some(full_attempt(m, Student, "token-2")),
            launched_at: None,
        },
        ..scheduled(stage)
    }
}

pub fn lease(owner: &str, seconds: u64) -> Lease {
    Lease { owner: Owner::from(owner), until: at(seconds) }
}

pub fn id(id: &str) -> InstanceId {
    InstanceId::from(id)
}

pub fn token(text: &str) -> Token {
    Token::from(text)
}

pub fn recorded(instance_id: &str) -> Recorded {
    Recorded {
        instance_id: id(instance_id),
        availability_zone: "us-west-2a".into(),
        instance_type: "t3.large".into(),
        launched_at: at(5),
    }
}

pub fn lost(instance_id: &str) -> Lost {
    Lost { instance_id: id(instance_id), reason: "Server.InternalError".into(), at: at(6) }
}

pub fn failure(reason: &str) -> Failure {
    Failure { reason: reason.into(), code: "CapacityExhausted".into(), at: at(7) }
}

/// One that this stage's EC2 can launch, in one of its zones, under a token of this promise's own.
pub fn an_attempt(stage: &impl Stage, zone: usize, token: &str) -> Attempt {
    an_attempt_in(stage, &stage.subnets()[zone], token)
}

pub fn an_attempt_in(stage: &impl Stage, subnet: &Subnet, token: &str) -> Attempt {
    let plain = plain_attempt(&meeting(stage), Teacher, &format!("{}-{token}", stage.name()));
    Attempt {
        parameters: Parameters {
            image_id: stage.image().into(),
            subnet_id: subnet.subnet_id.clone(),
            availability_zone: subnet.availability_zone.clone(),
            security_group_ids: vec![stage.security_group().into()],
            ..plain.parameters
        },
        ..plain
    }
}

pub fn every_status() -> [Option<Status>; 8] {
    [
        None,
        Some(Status::Scheduled),
        Some(Status::Launched),
        Some(Status::DnsWritten),
        Some(Status::Healthy),
        Some(Status::InProgress),
        Some(Status::Terminated),
        Some(Status::Unknown("Cancelled".into())),
    ]
}

pub fn every_meet_time() -> [MeetTime; 3] {
    [MeetTime::Missing, MeetTime::At(at(600)), MeetTime::Unreadable("tomorrow at ten".into())]
}

/// Wait for all of them at once.
pub async fn all<T>(futures: impl IntoIterator<Item: Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    let all = std::future::poll_fn(move |context| {
        for (future, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(answer) = future.as_mut().poll(context) {
                *done = Some(answer);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => Poll::Ready(running.drain(..).filter_map(|(_, done)| done).collect()),
            false => Poll::Pending,
        }
    });
    pin!(all).await
}

pub fn noted() -> Note {
    let addresses = Addresses { private_ip: Some("10.0.0.7".into()), ..Addresses::default() };
    Note { state: State::Running, addresses }
}

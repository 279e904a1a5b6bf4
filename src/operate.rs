//! The verb `operate`: what is done by hand, or by another program, to a machine that is up, and to what was made of it.
//!
//! A request may come twice. What it makes is known by its caller's name for it, in a tag or as EC2's own unique name, and
//! made under a client token that depends on nothing else; so a repeat finds what the first one made, and goes on where
//! that one stopped. Only machines, images, disks and network interfaces that carry our tag `Project` are touched: looked at
//! here, and enforced by the function's policy.
//!
//! `operate/images.rs`, `volumes.rs`, `interfaces.rs`, `keys.rs` and `vpcs.rs` are what is made, `commands.rs` is what a
//! machine is told to do; stopping, starting and rebooting stand here. Not handled here: ending a machine, which is `end`'s.

mod commands;
mod images;
mod interfaces;
mod keys;
mod volumes;
mod vpcs;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::config::OperateConfig;
use crate::deadline::{Backoff, Deadline};
use crate::error::{AwsError, Error, Kind, Service};
use crate::event::{self, Target, Verb};
use crate::hardware::{Hardware, INSTANCE_TAG, NAME_TAG, REBOOT_TAG};
use crate::machine::{InstanceId, MEETING_TAG, Note, ROLE_TAG, State};
use crate::meeting::{MeetingId, Role};
use crate::metrics;
use crate::needs::{Clock, Machinery, Meetings, Ssm, Tokens};
use crate::plan::operate::{self as plan, Power};
use crate::record;
use crate::timing::Timing;

pub use commands::CommandAnswer;
pub use images::{ImageAnswer, LatestImage};
pub use interfaces::InterfaceAnswer;
pub use keys::KeyAnswer;
pub use volumes::VolumeAnswer;
pub use vpcs::VpcAnswer;

/// How often something that was just made may not be to be seen, before it counts as removed.
const UNSEEN: u32 = 5;

/// How often what has one name may have been made and removed, at most.
const GENERATIONS: u32 = 100;

/// What a look at something that was just made found.
enum Sight<R> {
    /// Nothing, which it may be for a moment.
    Unseen,
    NotYet,
    There(R),
    Gone,
}

/// The verb with everything that it needs; lives as long as the function's environment.
pub struct Operator<M, E, S, C, T> {
    pub meetings: M,
    pub ec2: E,
    pub ssm: S,
    pub clock: C,
    pub tokens: T,
    pub config: OperateConfig,
    /// Where a VPC gets subnets; `None`: in every zone of the Region.
    pub zones: Option<Vec<String>>,
    pub timing: Timing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Done,
    /// It was so already: nothing was changed, or all of it by an earlier request.
    Unchanged,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(rename = "do")]
    pub verb: &'static str,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// EC2's word, as it was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<ImageAnswer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_snapshot_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<InterfaceAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair: Option<KeyAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_image: Option<LatestImage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_vpc_id: Option<String>,
}

impl metrics::Outcome for Answer {
    fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Done => "done",
            Outcome::Unchanged => "unchanged",
        }
    }
}

impl<M, E, S, C, T> Operator<M, E, S, C, T>
where
    M: Meetings,
    E: Machinery,
    S: Ssm,
    C: Clock,
    T: Tokens,
{
    /// One delivery, answered before `deadline`.
    pub async fn operate(&self, request: &event::Operate, deadline: Timestamp) -> Result<Answer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        let delivery = Delivery { operator: self, deadline, verb: request.verb.as_str() };
        let answer = delivery.run(request).await?;
        info!(verb = answer.verb, outcome = ?answer.outcome, instance_id = answer.instance_id, "operated");
        Ok(answer)
    }
}

struct Delivery<'o, M, E, S, C, T> {
    operator: &'o Operator<M, E, S, C, T>,
    deadline: Deadline<'o, C, T>,
    verb: &'static str,
}

impl<M, E, S, C, T> Delivery<'_, M, E, S, C, T>
where
    M: Meetings,
    E: Machinery,
    S: Ssm,
    C: Clock,
    T: Tokens,
{
    async fn run(&self, request: &event::Operate) -> Result<Answer, Error> {
        let machine = match &request.target {
            None => None,
            Some(Target::Instance(instance)) => Some(instance.clone()),
            Some(Target::Seat(meeting, role)) => Some(self.machine_of(meeting, *role).await?),
        };
        match (&request.verb, machine) {
            (Verb::Images, None) => self.images(None).await,
            (Verb::DeleteImage { image_id }, _) => self.delete_image(image_id).await,
            (Verb::EnsureKey { name, public_key }, _) => self.ensure_key(name, public_key.as_deref()).await,
            (Verb::LatestImage, _) => self.latest_image().await,
            (Verb::EnsureVpc { name, cidr }, _) => self.ensure_vpc(name, *cidr).await,
            (Verb::DeleteVpc { name }, _) => self.delete_vpc(name).await,
            (_, None) => Err(self.refused("no machine is named".to_owned())),
            (verb, Some(instance)) => {
                let of = self.ours(&instance).await?;
                match verb {
                    Verb::Stop { wait } => self.stop(of, *wait).await,
                    Verb::Start { wait } => self.start(of, *wait).await,
                    Verb::Reboot { name } => self.reboot(of, name).await,
                    Verb::Snapshot { name, reboot, wait } => self.snapshot(&of, name, *reboot, *wait).await,
                    Verb::AddVolume(wanted) => self.add_volume(&of, wanted).await,
                    Verb::RemoveVolume(named) => self.remove_volume(&of, named).await,
                    Verb::AddNetworkInterface(wanted) => self.add_interface(&of, wanted).await,
                    Verb::RemoveNetworkInterface(named) => self.remove_interface(&of, named).await,
                    Verb::Run(wanted) => self.run_command(&of, wanted).await,
                    Verb::Images => self.images(Some(&instance)).await,
                    Verb::DeleteImage { .. }
                    | Verb::EnsureKey { .. }
                    | Verb::LatestImage
                    | Verb::EnsureVpc { .. }
                    | Verb::DeleteVpc { .. } => Err(self.refused("it is not about a machine".to_owned())),
                }
            }
        }
    }

    /// The machine that the record names.
    async fn machine_of(&self, meeting: &MeetingId, role: Role) -> Result<InstanceId, Error> {
        let meetings = &self.operator.meetings;
        let record = self.ask(Service::DynamoDb, || meetings.read(meeting)).await?;
        let record = record.ok_or_else(|| Error::no_such_meeting(meeting))?;
        record.seat(role).instance_id.clone().ok_or_else(|| {
            Error::new(
                Kind::MachineNotFound,
                format!("meeting {meeting}: the {role} has no machine"),
                "ask `status` for what became of it, or name the machine by `instance_id`",
            )
        })
    }

    /// The machine with all that it has, if it is one of ours.
    async fn ours(&self, instance: &InstanceId) -> Result<Hardware, Error> {
        let ec2 = &self.operator.ec2;
        let found = self.ask(Service::Ec2, || ec2.inspect(instance)).await?;
        let found = found.ok_or_else(|| self.no_machine(format!("EC2 does not show {instance}")))?;
        match self.is_ours(&found.machine.tags) && found.machine.tags.contains_key(MEETING_TAG) {
            true => Ok(found),
            false => Err(self.no_machine(format!("{instance} has not the tag Project of ours"))),
        }
    }

    fn is_ours(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get("Project") == Some(&self.operator.config.project_tag)
    }

    /// What is made of a machine, or for it, carries the tags that say whose it is, and which request made it.
    fn tags(&self, of: &Hardware, name: &str) -> BTreeMap<String, String> {
        let mut tags: BTreeMap<String, String> = [MEETING_TAG, ROLE_TAG]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), of.machine.tags.get(*key)?.clone())))
            .collect();
        tags.insert("Project".to_owned(), self.operator.config.project_tag.clone());
        tags.insert("Name".to_owned(), name.to_owned());
        tags.insert(NAME_TAG.to_owned(), name.to_owned());
        tags.insert(INSTANCE_TAG.to_owned(), of.instance_id().to_string());
        tags
    }

    // --- Power ---

    async fn stop(&self, of: Hardware, wait: bool) -> Result<Answer, Error> {
        let (ec2, instance) = (&self.operator.ec2, of.instance_id().clone());
        let stop = async || self.ask(Service::Ec2, || ec2.stop(&instance)).await;
        self.turn(of, [State::Running, State::Stopped], plan::stop, stop, wait).await
    }

    async fn start(&self, of: Hardware, wait: bool) -> Result<Answer, Error> {
        let (ec2, instance) = (&self.operator.ec2, of.instance_id().clone());
        let start = async || self.ask(Service::Ec2, || ec2.start(&instance)).await;
        self.turn(of, [State::Stopped, State::Running], plan::start, start, wait).await
    }

    /// From one state to another, and the record knows.
    async fn turn(
        &self,
        of: Hardware,
        [from, to]: [State; 2],
        judge: fn(&Hardware) -> Power,
        send: impl AsyncFn() -> Result<(), Error>,
        wait: bool,
    ) -> Result<Answer, Error> {
        let (of, outcome) = match self.once_it_may(of, from, judge).await? {
            (of, Power::Already) => (of, Outcome::Unchanged),
            (of, _) => {
                send().await?;
                (self.ours(of.instance_id()).await?, Outcome::Done)
            }
        };
        let of = if wait { self.until_it_is(of, to).await? } else { of };
        self.note(&of).await?;
        Ok(self.answer(&of, outcome))
    }

    /// EC2 keeps nothing of a reboot, so the tag does: a repeat that finds it reboots nothing. It is written afterwards; a
    /// delivery that dies in between leaves a machine that the repeat reboots once more, and none that nobody did.
    async fn reboot(&self, of: Hardware, name: &str) -> Result<Answer, Error> {
        let ec2 = &self.operator.ec2;
        if of.machine.tags.get(REBOOT_TAG).is_some_and(|done| done == name) {
            return Ok(self.answer(&of, Outcome::Unchanged));
        }
        let (of, _) = self.once_it_may(of, State::Running, plan::reboot).await?;
        let instance = of.instance_id();
        self.ask(Service::Ec2, || ec2.reboot(instance)).await?;
        self.ask(Service::Ec2, || ec2.tag_reboot(instance, name)).await?;
        Ok(self.answer(&of, Outcome::Done))
    }

    /// A machine on its way to the opposite is waited for until it is there.
    async fn once_it_may(
        &self,
        of: Hardware,
        there: State,
        judge: fn(&Hardware) -> Power,
    ) -> Result<(Hardware, Power), Error> {
        let of = match judge(&of) {
            Power::Later => self.until_it_is(of, there).await?,
            _ => of,
        };
        match judge(&of) {
            Power::Refused(why) => Err(self.refused(why)),
            power => Ok((of, power)),
        }
    }

    async fn until_it_is(&self, of: Hardware, wanted: State) -> Result<Hardware, Error> {
        let instance = of.instance_id().clone();
        self.until(&format!("{instance} is not {} yet", wanted.as_str()), async || {
            let of = self.ours(&instance).await?;
            match of.machine.state {
                state if state == wanted => Ok(Some(of)),
                state if !state.is_live() => Err(self.refused(format!("{instance} is {}", state.as_str()))),
                _ => Ok(None),
            }
        })
        .await
    }

    /// The record's note of the machine stays true; one that the record does not name has none.
    async fn note(&self, of: &Hardware) -> Result<(), Error> {
        let meeting = of.machine.tags.get(MEETING_TAG).and_then(|id| MeetingId::new(id).ok());
        let role = of.machine.tags.get(ROLE_TAG);
        let role = Role::BOTH.into_iter().find(|known| role.is_some_and(|role| role == known.as_str()));
        let (Some(meeting), Some(role)) = (meeting, role) else { return Ok(()) };
        let note = Note { state: of.machine.state, addresses: of.addresses.clone() };
        let update = record::note(&meeting, role, of.instance_id(), note);
        let meetings = &self.operator.meetings;
        self.ask(Service::DynamoDb, || meetings.update(&update)).await.map(|_| ())
    }

    fn answer(&self, of: &Hardware, outcome: Outcome) -> Answer {
        Answer {
            verb: self.verb,
            outcome,
            instance_id: Some(of.instance_id().to_string()),
            state: Some(of.machine.state.as_str()),
            private_ip: of.addresses.private_ip.clone(),
            public_ip: of.addresses.public_ip.clone(),
            dns_name: of.addresses.dns_name.clone(),
            ..Answer::default()
        }
    }

    // --- Asking and waiting ---

    /// Look again and again, with pauses, until there is something.
    async fn until<R>(
        &self,
        not_yet: &str,
        look: impl AsyncFn() -> Result<Option<R>, Error>,
    ) -> Result<R, Error> {
        let Operator { clock, tokens, timing, .. } = self.operator;
        let mut tries = 0;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tries += 1;
            let pause = Backoff::EC2.pause(tries, tokens.jitter());
            if !self.deadline.fits(pause + timing.ec2) {
                return Err(Error::new(
                    Kind::DeadlineTooClose,
                    format!("{}: {not_yet}, and the time was up", self.verb),
                    "ask again: what was begun is found again by its name",
                ));
            }
            clock.sleep(pause).await;
        }
    }

    /// Look until it is there; `None`: it is gone, or was not to be seen too often.
    async fn until_seen<R>(
        &self,
        not_yet: &str,
        look: impl AsyncFn() -> Result<Sight<R>, Error>,
    ) -> Result<Option<R>, Error> {
        let unseen = Cell::new(0);
        self.until(not_yet, async || match look().await? {
            Sight::Unseen if unseen.get() < UNSEEN => {
                unseen.set(unseen.get() + 1);
                Ok(None)
            }
            Sight::NotYet => Ok(None),
            Sight::There(found) => Ok(Some(Some(found))),
            Sight::Unseen | Sight::Gone => Ok(Some(None)),
        })
        .await
    }

    /// A request; every one may be repeated.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.operator.timing, request).await;
        answer.map_err(|error| {
            Error::of_request(
                self.verb,
                service,
                error,
                "ask again: what was begun is found again by its name",
            )
        })
    }

    /// What could not be attached, `made`, is not left behind; where a repeat can help, it stays for that.
    async fn without<F: Future<Output = Result<(), AwsError>>>(
        &self,
        made: &str,
        attached: Result<bool, Error>,
        delete: impl Fn() -> F,
        remove: &str,
        mut error: Error,
    ) -> Error {
        if attached.unwrap_or(true) || error.kind.a_repeat_can_help() {
            error.advice = format!("{}; {made} stands, and a repeat goes on with it", error.advice);
        } else if !self.try_to(&format!("delete {made}, which could not be attached"), delete).await {
            error.advice = format!("{}; {made} is left: {remove} it", error.advice);
        }
        error
    }

    /// One whose failure is told after another's.
    async fn try_to<F: Future<Output = Result<(), AwsError>>>(
        &self,
        what: &str,
        request: impl Fn() -> F,
    ) -> bool {
        match self.deadline.ask(Service::Ec2, &self.operator.timing, request).await {
            Ok(()) => true,
            Err(error) => {
                warn!(what, %error, "it stays for now");
                false
            }
        }
    }

    fn refused(&self, why: String) -> Error {
        Error::new(
            Kind::OperationRefused,
            format!("{}: {why}", self.verb),
            "ask for something else, or change what it says",
        )
    }

    fn no_machine(&self, why: String) -> Error {
        Error::new(
            Kind::MachineNotFound,
            format!("{}: {why}", self.verb),
            "name a machine of a meeting: its id, or meeting_id and role",
        )
    }
}

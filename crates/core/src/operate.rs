//! The verb `operate`: what people or other programs do to a machine that is up, and to things made for it.
//!
//! A request may come twice. Everything that it makes has the caller's name, in a tag or as EC2's own unique name, and
//! is made under a client token that depends on nothing else. So a repeat finds what the first request made, and
//! continues where that request stopped. Only machines, images, disks and network interfaces with our tag `Project` are
//! touched: this code checks the tag, and the function's policy enforces it.
//!
//! EC2 refuses a request for more than one reason: it checks permission by tags before it checks whether the thing
//! exists, it does not see the step before at once, and it does not show new things for a while. So after a refusal
//! that may be temporary, the code looks at the thing by its id (`settle`); and a thing that EC2 does not show counts
//! as removed only after the time by which EC2 would show it (`until_seen`).
//!
//! This file stops, starts and reboots machines. `operate/images.rs`, `volumes.rs`, `interfaces.rs`, `keys.rs` and
//! `vpcs.rs` make and remove things (`parts.rs` is what volumes and interfaces share), and `commands.rs` runs commands
//! on a machine. The verb `end` ends machines.

mod commands;
mod images;
mod interfaces;
mod keys;
mod parts;
mod volumes;
mod vpcs;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::answer;
use crate::config::OperateConfig;
use crate::deadline::Deadline;
use crate::error::{AwsError, Class, Error, Kind, Service};
use crate::event::{self, Target, Verb};
use crate::fleet::is_stopped_on_purpose;
use crate::hardware::{Hardware, INSTANCE_TAG, NAME_TAG, REBOOT_TAG};
use crate::machine::{InstanceId, MEETING_TAG, Note, ROLE_TAG, State, Token};
use crate::meeting::{MeetingId, Role};
use crate::plan::operate::{self as plan, Power};
use crate::ports::{Clock, Inspects, Machinery, Meetings, PowerControl, Ssm, Starts, Tokens};
use crate::record;
use crate::timing::{Timing, after};
use crate::vpc::VpcId;

pub use commands::CommandAnswer;
pub use images::{ImageAnswer, LatestImage};
pub use interfaces::InterfaceAnswer;
pub use keys::KeyAnswer;
pub use volumes::VolumeAnswer;
pub use vpcs::VpcAnswer;

/// How often something of one name may be made and removed, at most.
const GENERATIONS: u32 = 100;

/// How long a machine may still look stopped after EC2 has taken a request to start it.
const START: Duration = Duration::from_secs(10);

/// The states of a machine that is neither starting nor going down.
const AT_REST: [State; 2] = [State::Running, State::Stopped];

/// What to do after most failures.
const AGAIN: &str = "ask again: what was begun is found again by its name";

/// The result of a look at something that was just made.
enum Sight<R> {
    /// EC2 does not show it, which may be so for a moment only.
    Unseen,
    NotYet,
    There(R),
    Gone,
}

/// The result of a look at something that EC2 refused to touch.
enum Found {
    Gone,
    /// It is as it should be, since this time if EC2 tells the time.
    Stands(Option<Timestamp>),
}

/// The ports of the verb.
pub trait OperatePorts {
    type Meetings: Meetings;
    type Ec2: Machinery;
    type Ssm: Ssm;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb with everything that it needs. It lives as long as the function's environment.
pub struct Operator<P: OperatePorts> {
    pub meetings: P::Meetings,
    pub ec2: P::Ec2,
    pub ssm: P::Ssm,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    pub config: OperateConfig,
    /// The zones in which a VPC gets subnets; `None`: every zone of the Region.
    pub zones: Option<Vec<String>>,
    pub timing: Timing,
    pub spent: Spent,
}

/// For each name, the first client token that may still be in use. To find that out takes a while, each time.
#[derive(Debug, Default)]
pub struct Spent(RefCell<BTreeMap<Token, u32>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Done,
    /// It was so already: nothing was changed, or an earlier request changed all of it.
    Unchanged,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperateAnswer {
    #[serde(rename = "do")]
    pub verb: &'static str,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// EC2's word for the state, as seen last.
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
    pub deleted_vpc_id: Option<VpcId>,
}

impl answer::Outcome for OperateAnswer {
    fn outcome(&self) -> &'static str {
        match self.outcome {
            Outcome::Done => "done",
            Outcome::Unchanged => "unchanged",
        }
    }
}

impl<P: OperatePorts> Operator<P> {
    /// One delivery, answered before `deadline`.
    pub async fn operate(
        &self,
        request: &event::Operate,
        deadline: Timestamp,
    ) -> Result<OperateAnswer, Error> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        let delivery = OperateDelivery { operator: self, deadline, verb: request.verb.as_str() };
        let answer = delivery.run(request).await?;
        info!(verb = answer.verb, outcome = ?answer.outcome, instance_id = answer.instance_id, "operated");
        Ok(answer)
    }
}

struct OperateDelivery<'o, P: OperatePorts> {
    operator: &'o Operator<P>,
    deadline: Deadline<'o, P::Clock, P::Tokens>,
    verb: &'static str,
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    async fn run(&self, request: &event::Operate) -> Result<OperateAnswer, Error> {
        let machine = match &request.target {
            None => None,
            Some(Target::Instance(instance)) => Some(instance.clone()),
            Some(Target::RoleRecord(meeting, role)) => Some(self.machine_of(meeting, *role).await?),
        };
        match (&request.verb, machine) {
            (Verb::Images, None) => self.images(None).await,
            (Verb::DeleteImage { image_id }, _) => self.delete_image(image_id).await,
            (Verb::EnsureKey { name, origin }, _) => self.ensure_key(name, origin).await,
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
        record.role(role).instance_id.clone().ok_or_else(|| {
            Error::new(
                Kind::MachineNotFound,
                format!("meeting {meeting}: the {role} has no machine"),
                "ask `status` for what became of it, or name the machine by `instance_id`",
            )
        })
    }

    /// The machine with its parts, if it is ours.
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

    /// The tags on everything that is made of a machine or for it. They say whose it is, and which request made it.
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

    async fn stop(&self, of: Hardware, wait: bool) -> Result<OperateAnswer, Error> {
        let (ec2, instance) = (&self.operator.ec2, of.instance_id().clone());
        // The mark comes first: without it a sweep could start the machine again.
        self.mark_stopped(&of, true).await?;
        let (of, outcome) = match self.once_it_may(of, plan::stop).await? {
            (of, Power::Already) => (of, Outcome::Unchanged),
            _ => {
                self.settle(Service::Ec2, || ec2.stop(&instance), async |_| self.alive(&instance).await)
                    .await?;
                (self.ours(&instance).await?, Outcome::Done)
            }
        };
        let of = if wait { self.until_it_is(of, &[State::Stopped]).await? } else { of };
        self.note(&of).await?;
        Ok(self.answer(&of, outcome))
    }

    async fn start(&self, of: Hardware, wait: bool) -> Result<OperateAnswer, Error> {
        let (ec2, instance) = (&self.operator.ec2, of.instance_id().clone());
        self.mark_stopped(&of, false).await?;
        let (of, outcome) = match self.once_it_may(of, plan::start).await? {
            (of, Power::Already) => (of, Outcome::Unchanged),
            (of, _) => {
                self.settle(Service::Ec2, || ec2.start(&instance), async |_| self.alive(&instance).await)
                    .await?;
                (self.until_it_starts(of, false).await?, Outcome::Done)
            }
        };
        let of = if wait { self.until_it_starts(of, true).await? } else { of };
        self.note(&of).await?;
        Ok(self.answer(&of, outcome))
    }

    async fn mark_stopped(&self, of: &Hardware, stopped: bool) -> Result<(), Error> {
        if is_stopped_on_purpose(&of.machine.tags) == stopped {
            return Ok(());
        }
        let (ec2, instance) = (&self.operator.ec2, of.instance_id());
        self.settle(
            Service::Ec2,
            || ec2.tag_stopped(instance, stopped),
            async |_| self.alive(instance).await,
        )
        .await?;
        Ok(())
    }

    /// Wait until the machine is starting or, with `up`, until it runs. EC2 may accept the request for a machine that
    /// it then cannot start: a moment later the machine is stopped again, with a reason.
    async fn until_it_starts(&self, before: Hardware, up: bool) -> Result<Hardware, Error> {
        let instance = before.instance_id().clone();
        let began = self.operator.clock.now();
        let on_its_way = Cell::new(before.machine.state == State::Pending);
        self.until(&format!("{instance} does not run yet"), async || {
            let of = self.ours(&instance).await?;
            let reason = of.machine.state_reason.as_deref();
            match of.machine.state {
                State::Running => Ok(Some(of)),
                State::Pending if !up => Ok(Some(of)),
                State::Stopped => {
                    let late = self.operator.clock.now() > after(began, START);
                    if on_its_way.get() || late || reason != before.machine.state_reason.as_deref() {
                        return Err(self.not_started(&of));
                    }
                    Ok(None)
                }
                state if !state.is_live() => Err(self.is_gone(&of)),
                state => {
                    on_its_way.set(state == State::Pending);
                    Ok(None)
                }
            }
        })
        .await
    }

    fn not_started(&self, of: &Hardware) -> Error {
        let reason = of.machine.state_reason.as_deref();
        let (kind, advice) = plan::not_started(reason);
        let why = reason.unwrap_or("EC2 gives no reason");
        let problem =
            format!("{}: {} was told to start, and is stopped again: {why}", self.verb, of.instance_id());
        Error::new(kind, problem, advice)
    }

    /// EC2 does not remember a reboot, so a tag does: a repeat that finds the tag reboots nothing. The tag is written
    /// after the reboot: if a delivery dies in between, the repeat reboots the machine once more, but no reboot is
    /// skipped. An empty tag is written before the first reboot: a machine that can take no further tag would be
    /// rebooted by each repeat.
    async fn reboot(&self, of: Hardware, name: &str) -> Result<OperateAnswer, Error> {
        let ec2 = &self.operator.ec2;
        let mark = of.machine.tags.get(REBOOT_TAG).cloned();
        if mark.as_ref().is_some_and(|done| done == name) {
            return Ok(self.answer(&of, Outcome::Unchanged));
        }
        let (of, _) = self.once_it_may(of, plan::reboot).await?;
        let instance = of.instance_id();
        let alive = async |_: &AwsError| self.alive(instance).await;
        if mark.is_none() {
            self.settle(Service::Ec2, || ec2.tag_reboot(instance, ""), alive).await?;
        }
        self.settle(Service::Ec2, || ec2.reboot(instance), alive).await?;
        self.settle(Service::Ec2, || ec2.tag_reboot(instance, name), alive).await?;
        Ok(self.answer(&of, Outcome::Done))
    }

    /// Wait for a machine that is changing its state, then judge it.
    async fn once_it_may(
        &self,
        of: Hardware,
        judge: fn(&Hardware) -> Power,
    ) -> Result<(Hardware, Power), Error> {
        let of = match judge(&of) {
            Power::Later => self.until_it_is(of, &AT_REST).await?,
            _ => of,
        };
        match judge(&of) {
            Power::Refused(why) => Err(self.refused(why)),
            power => Ok((of, power)),
        }
    }

    /// The machine, once it runs or is stopped: only then can parts be attached or detached.
    async fn at_rest(&self, of: &Hardware) -> Result<Hardware, Error> {
        match of.machine.state {
            state if AT_REST.contains(&state) => Ok(of.clone()),
            state if !state.is_live() => Err(self.is_gone(of)),
            _ => self.until_it_is(of.clone(), &AT_REST).await,
        }
    }

    async fn until_it_is(&self, of: Hardware, wanted: &[State]) -> Result<Hardware, Error> {
        if wanted.contains(&of.machine.state) {
            return Ok(of);
        }
        let instance = of.instance_id().clone();
        let words = wanted.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" or ");
        self.until(&format!("{instance} is not {words} yet"), async || {
            let of = self.ours(&instance).await?;
            match of.machine.state {
                state if wanted.contains(&state) => Ok(Some(of)),
                state if !state.is_live() => Err(self.is_gone(&of)),
                _ => Ok(None),
            }
        })
        .await
    }

    fn is_gone(&self, of: &Hardware) -> Error {
        let why = of.machine.state_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.refused(format!("{} is {}{why}", of.instance_id(), of.machine.state.as_str()))
    }

    /// A look at a machine that EC2 refused to touch.
    async fn alive(&self, instance: &InstanceId) -> Result<Found, Error> {
        let of = self.ours(instance).await?;
        match of.machine.state.is_live() {
            true => Ok(Found::Stands(of.launched_at)),
            false => Err(self.is_gone(&of)),
        }
    }

    /// Update the record's note of the machine. A machine that the record does not name has no note.
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

    fn answer(&self, of: &Hardware, outcome: Outcome) -> OperateAnswer {
        OperateAnswer {
            verb: self.verb,
            outcome,
            instance_id: Some(of.instance_id().to_string()),
            state: Some(of.machine.state.as_str()),
            private_ip: of.addresses.private_ip.clone(),
            public_ip: of.addresses.public_ip.clone(),
            dns_name: of.addresses.dns_name.clone(),
            ..OperateAnswer::default()
        }
    }

    // --- Asking and waiting ---

    /// Look again and again, with pauses, until there is something.
    async fn until<R>(
        &self,
        not_yet: &str,
        look: impl AsyncFn() -> Result<Option<R>, Error>,
    ) -> Result<R, Error> {
        self.until_by(not_yet, &Cell::new(Timestamp::MIN), look).await
    }

    /// As `until`, with one look right after `moment`, if that is still to come.
    async fn until_by<R>(
        &self,
        not_yet: &str,
        moment: &Cell<Timestamp>,
        look: impl AsyncFn() -> Result<Option<R>, Error>,
    ) -> Result<R, Error> {
        let look =
            async || look().await.map(|found| found.map_or(ControlFlow::Continue(()), ControlFlow::Break));
        match self.deadline.until_by(self.operator.timing.ec2, moment, look).await? {
            ControlFlow::Break(found) => Ok(found),
            ControlFlow::Continue(()) => Err(Error::new(
                Kind::DeadlineTooClose,
                format!("{}: {not_yet}, and the time was up", self.verb),
                AGAIN,
            )),
        }
    }

    /// Look until the thing is there. `None`: it is gone, or EC2 still does not show it when it would have to. `made`:
    /// when it was made, if that is known.
    async fn until_seen<R>(
        &self,
        not_yet: &str,
        made: Option<Timestamp>,
        look: impl AsyncFn() -> Result<Sight<R>, Error>,
    ) -> Result<Option<R>, Error> {
        let Operator { clock, timing, .. } = self.operator;
        let seen_by = Cell::new(after(made.unwrap_or_else(|| clock.now()), timing.max_effect_delay));
        self.until_by(not_yet, &seen_by, async || match look().await? {
            Sight::Unseen if clock.now() <= seen_by.get() => Ok(None),
            Sight::NotYet => Ok(None),
            Sight::There(found) => Ok(Some(Some(found))),
            Sight::Unseen | Sight::Gone => Ok(Some(None)),
        })
        .await
    }

    /// Send a request that may be repeated, as all of them may.
    async fn ask<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
    ) -> Result<R, Error> {
        let answer = self.deadline.ask(service, &self.operator.timing, request).await;
        answer.map_err(|error| self.describe(service, error))
    }

    fn describe(&self, service: Service, error: AwsError) -> Error {
        if let Some((problem, advice)) = plan::obstacle(&error) {
            return Error::new(Kind::OperationRefused, format!("{}: {problem}", self.verb), advice)
                .caused_by(error);
        }
        if let Some(field) = plan::field_at_fault(&error) {
            return self.misfit(field, "is not taken").caused_by(error);
        }
        Error::of_request(self.verb, service, error, AGAIN)
    }

    /// The error for a value of the event that cannot be fulfilled. Nothing was made.
    fn misfit(&self, field: &str, why: &str) -> Error {
        Error::new(
            Kind::InvalidEvent,
            format!("{}: the event's {field} {why}", self.verb),
            format!("change {field} in the event"),
        )
    }

    /// Send a request that EC2 may refuse because the thing is gone, because EC2 does not know its tags yet, or because
    /// a step before still stands in the way. After such a refusal a look at the thing decides. `None`: the thing is
    /// gone, and nothing was done.
    async fn settle<R, F: Future<Output = Result<R, AwsError>>>(
        &self,
        service: Service,
        request: impl Fn() -> F,
        look: impl AsyncFn(&AwsError) -> Result<Found, Error>,
    ) -> Result<Option<R>, Error> {
        let Operator { clock, timing, .. } = self.operator;
        let (first, last) = (Cell::new(None), RefCell::new(None));
        let seen_by = Cell::new(Timestamp::MIN);
        let settled = self.until_by("EC2 has not caught up with the step before", &seen_by, async || {
            // The look comes before any repeat.
            let request = || async {
                match request().await {
                    Err(error) if plan::is_settled_by_a_look(&error) => Ok(Err(error)),
                    answer => answer.map(Ok),
                }
            };
            let error = match self.ask(service, request).await? {
                Ok(done) => return Ok(Some(Some(done))),
                Err(error) => error,
            };
            let now = clock.now();
            let known = first.get().unwrap_or(now);
            first.set(Some(known));
            let since = match look(&error).await? {
                Found::Gone => return Ok(Some(None)),
                Found::Stands(since) => since.unwrap_or(known),
            };
            seen_by.set(after(since, timing.max_effect_delay));
            if error.class != Class::Propagating && now > seen_by.get() {
                let mut told = self.describe(service, error);
                told.problem = format!("{}, though it stands there with our tag", told.problem);
                return Err(told);
            }
            info!(%error, "what it is about stands there, so it is asked for again");
            last.replace(Some(error));
            Ok(None)
        });
        settled.await.map_err(|error| match last.take() {
            Some(cause) if error.cause.is_none() && error.kind == Kind::DeadlineTooClose => {
                error.caused_by(cause)
            }
            _ => error,
        })
    }

    /// Send a request whose failure is only logged, because another error is the answer.
    async fn try_to<F: Future<Output = Result<(), AwsError>>>(
        &self,
        what: &str,
        request: impl Fn() -> F,
    ) -> bool {
        // This does not wait until an obstacle is gone.
        let request = || async {
            match request().await {
                Err(error) if plan::is_settled_by_a_look(&error) => Ok(Err(error)),
                answer => answer.map(Ok),
            }
        };
        match self.deadline.ask(Service::Ec2, &self.operator.timing, request).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) | Err(error) => {
                warn!(what, %error, "it stays for now");
                false
            }
        }
    }

    // --- Client tokens ---

    /// The numbers of the name's client tokens, from the first that may still be in use.
    fn generations(&self, kind: &str, of: &Hardware, name: &str) -> impl Iterator<Item = u32> + use<P> {
        let key = plan::token(kind, of.instance_id(), name, 1);
        self.operator.spent.0.borrow().get(&key).copied().unwrap_or(1)..=GENERATIONS
    }

    /// Note that the thing made under this token exists.
    fn stands_under(&self, kind: &str, of: &Hardware, name: &str, generation: u32) {
        let key = plan::token(kind, of.instance_id(), name, 1);
        self.operator.spent.0.borrow_mut().insert(key, generation);
    }

    /// Note that the thing made under the last token is gone.
    fn is_history(&self, kind: &str, of: &Hardware, name: &str) {
        let key = plan::token(kind, of.instance_id(), name, 1);
        if let Some(generation) = self.operator.spent.0.borrow_mut().get_mut(&key) {
            *generation += 1;
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

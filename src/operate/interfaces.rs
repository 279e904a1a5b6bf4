//! Network interfaces besides the first: `add_network_interface`, `remove_network_interface`.
//!
//! As with disks: one that cannot be attached is deleted at once, one that a dead delivery left is found by its repeat.

use serde::Serialize;

use super::{Answer, Delivery, GENERATIONS, Outcome, Sight};
use crate::error::{Error, Service};
use crate::event::{Named, WantedInterface};
use crate::hardware::{Attached, Hardware, INSTANCE_TAG, Interface, Made, NAME_TAG, NewInterface};
use crate::machine::State;
use crate::needs::{Clock, Machinery, Meetings, Ssm, Tokens};
use crate::plan::operate as plan;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceAnswer {
    pub network_interface_id: String,
    pub name: String,
    pub subnet_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
}

impl<M, E, S, C, T> Delivery<'_, M, E, S, C, T>
where
    M: Meetings,
    E: Machinery,
    S: Ssm,
    C: Clock,
    T: Tokens,
{
    pub(super) async fn add_interface(
        &self,
        of: &Hardware,
        wanted: &WantedInterface,
    ) -> Result<Answer, Error> {
        let ec2 = &self.operator.ec2;
        let instance = of.instance_id();
        if !matches!(of.machine.state, State::Running | State::Stopped) {
            let state = of.machine.state.as_str();
            return Err(
                self.refused(format!("{instance} is {state}, and has to be running or stopped for it"))
            );
        }
        let interface = match self.standing_interface(of, &wanted.name).await? {
            Some(interface) => {
                if let Some(subnet) =
                    wanted.subnet_id.as_ref().filter(|subnet| **subnet != interface.subnet_id)
                {
                    let (name, id, has) =
                        (&wanted.name, &interface.network_interface_id, &interface.subnet_id);
                    let why = format!(
                        "{instance} has {name:?} already, {id} in {has}, not {subnet}: choose another name"
                    );
                    return Err(self.refused(why));
                }
                interface
            }
            None => {
                self.has_room(of).await?;
                self.create_interface(of, wanted).await?
            }
        };
        let (interface, outcome) = match self.attach_interface(of, interface.clone()).await {
            Ok(attached) => attached,
            Err(error) => return Err(self.without_interface(&interface, error).await),
        };
        if let Some(attachment) = &interface.attachment {
            let (id, attachment) = (&interface.network_interface_id, &attachment.attachment_id);
            self.ask(Service::Ec2, || ec2.delete_interface_with_machine(id, attachment)).await?;
        }
        Ok(Answer { network_interface: Some(told(&interface)), ..self.answer(of, outcome) })
    }

    /// Said before EC2 does, and before anything is made.
    async fn has_room(&self, of: &Hardware) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let kind = &of.instance_type;
        let limit = self.ask(Service::Ec2, || ec2.count_interfaces(kind)).await?;
        match limit.filter(|limit| of.interfaces.len() >= *limit) {
            Some(limit) => Err(self.refused(format!(
                "{} has {} network interfaces, and a {kind} may have {limit}: remove one, or choose a larger type",
                of.instance_id(),
                of.interfaces.len()
            ))),
            None => Ok(()),
        }
    }

    async fn standing_interface(&self, of: &Hardware, name: &str) -> Result<Option<Interface>, Error> {
        let ec2 = &self.operator.ec2;
        let found = self.ask(Service::Ec2, || ec2.find_interfaces(of.instance_id(), name)).await?;
        Ok(found.into_iter().find(|interface| self.is_ours(&interface.tags)))
    }

    async fn create_interface(&self, of: &Hardware, wanted: &WantedInterface) -> Result<Interface, Error> {
        let ec2 = &self.operator.ec2;
        let subnet = wanted
            .subnet_id
            .clone()
            .or(of.subnet_id.clone())
            .ok_or_else(|| self.refused(format!("{} is in no subnet of a VPC", of.instance_id())))?;
        let groups = match wanted.security_group_ids.is_empty() {
            true => of.security_group_ids.clone(),
            false => wanted.security_group_ids.clone(),
        };
        for generation in 1..=GENERATIONS {
            let interface = NewInterface {
                token: plan::token("network interface", of.instance_id(), &wanted.name, generation),
                subnet_id: subnet.clone(),
                security_group_ids: groups.clone(),
                tags: self.tags(of, &wanted.name),
            };
            let made = match self.ask(Service::Ec2, || ec2.create_interface(&interface)).await? {
                Made::This(made) => made,
                Made::Mismatch => match self.standing_interface(of, &wanted.name).await? {
                    Some(other) => return Ok(other),
                    None => continue,
                },
            };
            let id = &made.network_interface_id;
            let not_yet = format!("{id} is not available yet");
            let made = self.until_seen(&not_yet, async || {
                Ok(match self.ask(Service::Ec2, || ec2.find_interface(id)).await? {
                    None => Sight::Unseen,
                    Some(found) if found.state == "pending" => Sight::NotYet,
                    Some(found) => Sight::There(found),
                })
            });
            if let Some(made) = made.await? {
                return Ok(made);
            }
        }
        Err(self.refused(format!("{GENERATIONS} of this name have been removed: choose another")))
    }

    async fn attach_interface(
        &self,
        of: &Hardware,
        mut interface: Interface,
    ) -> Result<(Interface, Outcome), Error> {
        let ec2 = &self.operator.ec2;
        let (instance, id) = (of.instance_id(), interface.network_interface_id.clone());
        let mut taken: Vec<i32> = of.interfaces.iter().map(|(index, _)| *index).collect();
        let mut outcome = Outcome::Unchanged;
        loop {
            match &interface.attachment {
                Some(attachment) if attachment.instance_id != *instance => {
                    let other = &attachment.instance_id;
                    return Err(self.refused(format!("{id} is attached to {other}")));
                }
                Some(attachment) if attachment.state == "attached" => return Ok((interface, outcome)),
                Some(_) => {}
                None => {
                    // How many there may be was looked at before it was made.
                    let index = plan::free_index(&taken, usize::MAX).unwrap_or(1);
                    let answer =
                        self.ask(Service::Ec2, || ec2.attach_interface(&id, instance, index)).await?;
                    if answer == Attached::PlaceTaken {
                        taken.push(index);
                        continue;
                    }
                    outcome = Outcome::Done;
                }
            }
            interface = self
                .until(&format!("{id} is not attached yet"), async || {
                    let found = self.ask(Service::Ec2, || ec2.find_interface(&id)).await?;
                    let there = |interface: &Interface| {
                        interface.attachment.as_ref().is_some_and(|attachment| attachment.state == "attached")
                    };
                    Ok(found.filter(there))
                })
                .await?;
        }
    }

    async fn without_interface(&self, interface: &Interface, error: Error) -> Error {
        let ec2 = &self.operator.ec2;
        let id = &interface.network_interface_id;
        let found = self.ask(Service::Ec2, || ec2.find_interface(id)).await;
        let attached = found.map(|found| found.is_some_and(|interface| interface.attachment.is_some()));
        let delete = || ec2.delete_interface(id);
        self.without(id, attached, delete, "remove_network_interface", error).await
    }

    pub(super) async fn remove_interface(&self, of: &Hardware, named: &Named) -> Result<Answer, Error> {
        let ec2 = &self.operator.ec2;
        let instance = of.instance_id();
        let found = match named {
            Named::Id(id) => self.ask(Service::Ec2, || ec2.find_interface(id)).await?,
            Named::Name(name) => self.standing_interface(of, name).await?,
        };
        let Some(interface) = found else { return Ok(self.answer(of, Outcome::Unchanged)) };
        let id = &interface.network_interface_id;
        let made_for = interface.tags.get(INSTANCE_TAG);
        let attachment = interface.attachment.as_ref();
        let attached_to = attachment.map(|attachment| &attachment.instance_id);
        if attached_to.is_some_and(|other| other != instance)
            || (attached_to.is_none() && made_for.is_some_and(|other| *other != instance.0))
        {
            return Err(self.refused(format!("{id} is not one of {instance}")));
        }
        if attachment.is_some_and(|attachment| attachment.device_index == 0) {
            return Err(
                self.refused(format!("{id} is the first network interface of {instance}, which stays"))
            );
        }
        if !self.is_ours(&interface.tags) {
            return Err(self.refused(format!("{id} has not the tag Project of ours")));
        }
        if let Some(attachment) = attachment {
            self.ask(Service::Ec2, || ec2.detach_interface(&attachment.attachment_id)).await?;
            self.until(&format!("{id} is not detached yet"), async || {
                match self.ask(Service::Ec2, || ec2.find_interface(id)).await? {
                    Some(interface) if interface.state != "available" => Ok(None),
                    _ => Ok(Some(())),
                }
            })
            .await?;
        }
        self.ask(Service::Ec2, || ec2.delete_interface(id)).await?;
        Ok(Answer { network_interface: Some(told(&interface)), ..self.answer(of, Outcome::Done) })
    }
}

fn told(interface: &Interface) -> InterfaceAnswer {
    InterfaceAnswer {
        network_interface_id: interface.network_interface_id.clone(),
        name: interface.tags.get(NAME_TAG).cloned().unwrap_or_default(),
        subnet_id: interface.subnet_id.clone(),
        private_ip: interface.private_ip.clone(),
        device_index: interface.attachment.as_ref().map(|attachment| attachment.device_index),
    }
}

//! Network interfaces besides the first: `add_network_interface`, `remove_network_interface`.
//!
//! As with disks: one that cannot be attached is deleted at once, one that a dead delivery left is found by its repeat.

use serde::Serialize;

use super::{Answer, Delivery, Found, GENERATIONS, Outcome, Part, Sight};
use crate::error::{AwsError, Error, Service};
use crate::event::{Named, WantedInterface};
use crate::hardware::{Attached, Hardware, INSTANCE_TAG, Interface, Made, NAME_TAG, NewInterface};
use crate::machine::InstanceId;
use crate::plan::operate as plan;
use crate::ports::{Clock, Machinery, Meetings, Ssm, Tokens};

/// In client tokens.
const KIND: &str = "network interface";

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

impl<M: Meetings, E: Machinery, S: Ssm, C: Clock, T: Tokens> Delivery<'_, M, E, S, C, T> {
    pub(super) async fn add_interface(
        &self,
        of: &Hardware,
        wanted: &WantedInterface,
    ) -> Result<Answer, Error> {
        let ec2 = &self.operator.ec2;
        let of = &self.at_rest(of).await?;
        let instance = of.instance_id();
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
                self.is_in_its_zone(of, wanted).await?;
                self.create_interface(of, wanted).await?
            }
        };
        let (interface, outcome) = match self.attach_interface(of, interface.clone()).await {
            Ok(attached) => attached,
            Err(error) => return Err(self.roll_back_interface(&interface, error).await),
        };
        if let Some(attachment) = &interface.attachment {
            let (id, attachment) = (&interface.network_interface_id, &attachment.attachment_id);
            let look = async |_: &AwsError| self.look_at_interface(id, instance, Part::Attachment).await;
            self.settle(Service::Ec2, || ec2.delete_interface_with_machine(id, attachment), look).await?;
        }
        Ok(Answer { network_interface: Some(describe(&interface)), ..self.answer(of, outcome) })
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

    /// As well.
    async fn is_in_its_zone(&self, of: &Hardware, wanted: &WantedInterface) -> Result<(), Error> {
        let ec2 = &self.operator.ec2;
        let Some(subnet) = &wanted.subnet_id else { return Ok(()) };
        let zone = self.ask(Service::Ec2, || ec2.find_zone(subnet)).await?;
        let (instance, its) = (of.instance_id(), &of.availability_zone);
        match zone {
            Some(zone) if zone == *its => Ok(()),
            Some(zone) => {
                let why = format!("{subnet} is in {zone}, and {instance} is in {its}");
                Err(self.misfit("subnet_id", &why))
            }
            None => Err(self.misfit("subnet_id", &format!("{subnet} is no subnet of this account here"))),
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
        let name = &wanted.name;
        for generation in self.generations(KIND, of, name) {
            let interface = NewInterface {
                token: plan::token(KIND, of.instance_id(), name, generation),
                subnet_id: subnet.clone(),
                security_group_ids: groups.clone(),
                tags: self.tags(of, name),
            };
            let made = match self.ask(Service::Ec2, || ec2.create_interface(&interface)).await? {
                Made::This(made) => Some(made.network_interface_id),
                Made::Mismatch => None,
            };
            let not_yet = format!("the network interface {name:?} is not available yet");
            // EC2 does not say when one was made.
            let found = self.until_seen(&not_yet, None, async || {
                let by_id = match &made {
                    Some(id) => self.ask(Service::Ec2, || ec2.find_interface(id)).await?,
                    None => None,
                };
                let found = match by_id {
                    Some(found) => Some(found),
                    None => self.standing_interface(of, name).await?,
                };
                Ok(match found {
                    None => Sight::Unseen,
                    Some(found) if found.state == "pending" => Sight::NotYet,
                    Some(found) => Sight::There(found),
                })
            });
            if let Some(found) = found.await? {
                self.stands_under(KIND, of, name, generation);
                return Ok(found);
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
                    let attach = || ec2.attach_interface(&id, instance, index);
                    let look = async |_: &AwsError| {
                        self.alive(instance).await?;
                        match self.look_at_interface(&id, instance, Part::Whole).await? {
                            Found::Gone => Err(self.refused(format!("{id} is gone"))),
                            stands => Ok(stands),
                        }
                    };
                    let answer = self.settle(Service::Ec2, attach, look).await?;
                    if answer == Some(Attached::PlaceTaken) {
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

    /// A look at a network interface of this machine, or of none, that EC2 would not touch.
    async fn look_at_interface(&self, id: &str, instance: &InstanceId, of: Part) -> Result<Found, Error> {
        let ec2 = &self.operator.ec2;
        let found = self.ask(Service::Ec2, || ec2.find_interface(id)).await?;
        let Some(interface) = found else { return Ok(Found::Gone) };
        match interface.attachment {
            Some(attachment) if attachment.instance_id != *instance => {
                let other = &attachment.instance_id;
                Err(self.refused(format!("{id} is attached to {other}")))
            }
            None if of == Part::Attachment => Ok(Found::Gone),
            _ if !self.is_ours(&interface.tags) => {
                Err(self.refused(format!("{id} has not the tag Project of ours")))
            }
            _ => Ok(Found::Stands(None)),
        }
    }

    async fn roll_back_interface(&self, interface: &Interface, error: Error) -> Error {
        let ec2 = &self.operator.ec2;
        let id = &interface.network_interface_id;
        let found = self.ask(Service::Ec2, || ec2.find_interface(id)).await;
        let attached = found.map(|found| found.is_some_and(|interface| interface.attachment.is_some()));
        let delete = || ec2.delete_interface(id);
        self.roll_back(id, attached, delete, "remove_network_interface", error).await
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
        let look = async |_: &AwsError| self.look_at_interface(id, instance, Part::Whole).await;
        if let Some(attachment) = attachment {
            let detach = || ec2.detach_interface(&attachment.attachment_id);
            let attached = async |_: &AwsError| self.look_at_interface(id, instance, Part::Attachment).await;
            self.settle(Service::Ec2, detach, attached).await?;
            self.until(&format!("{id} is not detached yet"), async || {
                match self.ask(Service::Ec2, || ec2.find_interface(id)).await? {
                    Some(interface) if interface.state != "available" => Ok(None),
                    _ => Ok(Some(())),
                }
            })
            .await?;
        }
        self.settle(Service::Ec2, || ec2.delete_interface(id), look).await?;
        if let Some(name) = interface.tags.get(NAME_TAG) {
            self.is_history(KIND, of, name);
        }
        Ok(Answer { network_interface: Some(describe(&interface)), ..self.answer(of, Outcome::Done) })
    }
}

fn describe(interface: &Interface) -> InterfaceAnswer {
    InterfaceAnswer {
        network_interface_id: interface.network_interface_id.clone(),
        name: interface.tags.get(NAME_TAG).cloned().unwrap_or_default(),
        subnet_id: interface.subnet_id.clone(),
        private_ip: interface.private_ip.clone(),
        device_index: interface.attachment.as_ref().map(|attachment| attachment.device_index),
    }
}

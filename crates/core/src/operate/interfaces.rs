//! Network interfaces besides the first: `add_network_interface`, `remove_network_interface`.

use serde::Serialize;

use super::parts::{Kind, LookAt};
use super::{GENERATIONS, OperateAnswer, OperateDelivery, OperatePorts, Outcome};
use crate::error::{AwsError, Error, Service};
use crate::event::{Named, WantedInterface};
use crate::hardware::{Hardware, Interface, InterfaceId, NAME_TAG, NewInterface};
use crate::plan::operate as plan;
use crate::ports::{InterfacePlaces, Parts};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceAnswer {
    pub network_interface_id: InterfaceId,
    pub name: String,
    pub subnet_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
}

impl Kind for Interface {
    const CALLED: &str = "";
    const REMOVE: &str = "remove_network_interface";
    const FIRST: &str = "";

    fn is_detached(&self) -> bool {
        self.state == "available"
    }

    fn taken(of: &Hardware) -> Vec<i32> {
        of.interfaces.iter().map(|(index, _)| *index).collect()
    }

    /// `has_room` has checked the number of interfaces before this one was made.
    fn free_place(taken: &[i32]) -> Result<i32, &'static str> {
        Ok(plan::free_index(taken, usize::MAX).unwrap_or(1))
    }
}

impl<P: OperatePorts> OperateDelivery<'_, P> {
    pub(super) async fn add_interface(
        &self,
        of: &Hardware,
        wanted: &WantedInterface,
    ) -> Result<OperateAnswer, Error> {
        let of = &self.at_rest(of).await?;
        let parts = self.parts::<Interface>(of);
        let interface = match parts.standing(&wanted.name).await? {
            Some(interface) => {
                if let Some(subnet) =
                    wanted.subnet_id.as_ref().filter(|subnet| **subnet != interface.subnet_id)
                {
                    let (instance, name) = (of.instance_id(), &wanted.name);
                    let (id, has) = (&interface.network_interface_id, &interface.subnet_id);
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
        let (interface, outcome) = parts.attach(interface).await?;
        if let Some(attachment) = &interface.attachment {
            let (ec2, id) = (&self.operator.ec2, &interface.network_interface_id);
            let look = async |_: &AwsError| parts.look(LookAt::Attachment, id).await;
            let request = || Parts::<Interface>::delete_with_machine(ec2, id, attachment);
            self.settle(Service::Ec2, request, look).await?;
        }
        Ok(OperateAnswer { network_interface: Some(describe(&interface)), ..self.answer(of, outcome) })
    }

    /// Check the machine's limit before EC2 does, and before anything is made.
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

    /// Check the subnet's zone before anything is made, too.
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

    async fn create_interface(&self, of: &Hardware, wanted: &WantedInterface) -> Result<Interface, Error> {
        let subnet = wanted
            .subnet_id
            .clone()
            .or(of.subnet_id.clone())
            .ok_or_else(|| self.refused(format!("{} is in no subnet of a VPC", of.instance_id())))?;
        let groups = match wanted.security_group_ids.is_empty() {
            true => of.security_group_ids.clone(),
            false => wanted.security_group_ids.clone(),
        };
        let new = |token| NewInterface {
            token,
            subnet_id: subnet.clone(),
            security_group_ids: groups.clone(),
            tags: self.tags(of, &wanted.name),
        };
        self.parts(of).make(&wanted.name, new).await?.ok_or_else(|| {
            self.refused(format!("{GENERATIONS} of this name have been removed: choose another"))
        })
    }

    pub(super) async fn remove_interface(
        &self,
        of: &Hardware,
        named: &Named<InterfaceId>,
    ) -> Result<OperateAnswer, Error> {
        let parts = self.parts::<Interface>(of);
        let Some(interface) = parts.named(named).await? else {
            return Ok(self.answer(of, Outcome::Unchanged));
        };
        parts.is_of_this_machine(&interface)?;
        if interface.attachment.as_ref().is_some_and(|attachment| attachment.device_index == 0) {
            let (id, instance) = (&interface.network_interface_id, of.instance_id());
            return Err(
                self.refused(format!("{id} is the first network interface of {instance}, which stays"))
            );
        }
        parts.is_ours(&interface)?;
        parts.remove(&interface).await?;
        Ok(OperateAnswer { network_interface: Some(describe(&interface)), ..self.answer(of, Outcome::Done) })
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

//! EC2 in memory: zonal client tokens, capacity, and machines that live and die.

use std::collections::{BTreeMap, BTreeSet};

use elephant_launch::error::{AwsError, Class};
use elephant_launch::fleet::{Leftover, ORPHAN_TAG, Sighting};
use elephant_launch::image::Image;
use elephant_launch::machine::{Addresses, Attempt, InstanceId, Machine, Parameters, ROLE_TAG, State, Token};
use elephant_launch::network::{Found, Offerings, Subnet};

use jiff::Timestamp;

use super::aws_error;

#[derive(Clone, Debug)]
pub struct Cloud {
    pub machines: Vec<Launched>,
    /// A token is bound to its parameters once a zone, whether or not a machine came of it.
    pub tokens: BTreeMap<(Token, String), Parameters>,
    /// What EC2 has no room for, or will not do: by type and zone.
    pub refusing: BTreeMap<(String, String), (Class, &'static str)>,
    pub terminated_token: TerminatedToken,
    /// What is ended stays `shutting-down`.
    pub slow_to_end: bool,
    /// Machines that fail EC2's own checks.
    pub impaired: BTreeSet<InstanceId>,
    /// What is attached to nothing.
    pub leftovers: Vec<Leftover>,
    /// What every machine wrote.
    pub console: Option<String>,
    pub subnets: Vec<Subnet>,
}

#[derive(Clone, Debug)]
pub struct Launched {
    pub machine: Machine,
    pub token: Token,
    pub parameters: Parameters,
    pub since: Timestamp,
}

impl Launched {
    pub fn meeting(&self) -> &str {
        &self.parameters.tags["MeetingID"]
    }

    pub fn role(&self) -> &str {
        &self.parameters.tags[ROLE_TAG]
    }
}

/// What EC2 answers for the token of a machine that is gone: both have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminatedToken {
    Error,
    Instance,
}

impl Default for Cloud {
    fn default() -> Self {
        let subnet = |zone: &str| Subnet {
            subnet_id: format!("subnet-{zone}"),
            vpc_id: "vpc-default".into(),
            availability_zone: format!("us-west-2{zone}"),
            available_ip_addresses: 100,
        };
        Cloud {
            machines: Vec::new(),
            tokens: BTreeMap::new(),
            refusing: BTreeMap::new(),
            terminated_token: TerminatedToken::Error,
            slow_to_end: false,
            impaired: BTreeSet::new(),
            leftovers: Vec::new(),
            console: None,
            subnets: ["a", "b", "c"].map(subnet).to_vec(),
        }
    }
}

impl Cloud {
    pub fn run(&mut self, attempt: &Attempt, now: Timestamp) -> Result<Machine, AwsError> {
        let p = &attempt.parameters;
        let key = (attempt.token.clone(), p.availability_zone.clone());
        if self.tokens.get(&key).is_some_and(|bound| bound != p) {
            let code = "IdempotentParameterMismatch";
            return Err(aws_error("RunInstances", Class::ParameterMismatch, code));
        }
        let same =
            |l: &&Launched| l.token == attempt.token && l.parameters.availability_zone == p.availability_zone;
        if let Some(launched) = self.machines.iter().find(same) {
            let dead = !launched.machine.state.is_live();
            if dead && self.terminated_token == TerminatedToken::Error {
                let code = "IdempotentInstanceTerminated";
                return Err(aws_error("RunInstances", Class::InstanceTerminated, code));
            }
            return Ok(launched.machine.clone());
        }
        self.tokens.insert(key, p.clone());
        let place = (p.instance_type.clone(), p.availability_zone.clone());
        if let Some((class, code)) = self.refusing.get(&place) {
            return Err(aws_error("RunInstances", *class, code));
        }
        let machine = Machine {
            // Named after what made it, so that the order of two launches makes no other world.
            instance_id: InstanceId(format!("i-{}-{}", attempt.token, &p.availability_zone[9..])),
            state: State::Pending,
            state_reason: None,
            tags: p.tags.clone(),
        };
        self.machines.push(Launched {
            machine: machine.clone(),
            token: attempt.token.clone(),
            parameters: p.clone(),
            since: now,
        });
        Ok(machine)
    }

    /// Whether this attempt has made its machine already, so that sending it again changes nothing.
    pub fn has_seen(&self, attempt: &Attempt) -> bool {
        let zone = &attempt.parameters.availability_zone;
        self.machines.iter().any(|l| l.token == attempt.token && l.parameters.availability_zone == *zone)
    }

    pub fn find(&self, token: &Token) -> Vec<Machine> {
        self.machines.iter().filter(|l| l.token == *token).map(|l| l.machine.clone()).collect()
    }

    pub fn list(&self, project: &str) -> Vec<Sighting> {
        let ours = |l: &&Launched| l.machine.tags.get("Project").is_some_and(|tag| tag == project);
        self.machines.iter().filter(ours).map(sighting).collect()
    }

    pub fn look(&self, instances: &[InstanceId]) -> Vec<Sighting> {
        let wanted = |l: &&Launched| instances.contains(&l.machine.instance_id);
        self.machines.iter().filter(wanted).map(sighting).collect()
    }

    pub fn mark(&mut self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        let machine = self.machine(instance).ok_or_else(|| unknown("CreateTags"))?;
        machine.tags.insert(ORPHAN_TAG.into(), since.to_string());
        Ok(())
    }

    pub fn unmark(&mut self, instance: &InstanceId) -> Result<(), AwsError> {
        self.machine(instance).ok_or_else(|| unknown("DeleteTags"))?.tags.remove(ORPHAN_TAG);
        Ok(())
    }

    pub fn remove_role_tag(&mut self, instance: &InstanceId) {
        if let Some(machine) = self.machine(instance) {
            machine.tags.remove(ROLE_TAG);
        }
    }

    /// At once, and for good: what died before keeps its reason.
    pub fn terminate(&mut self, instance: &InstanceId) {
        let slow = self.slow_to_end;
        if let Some(machine) = self.machine(instance).filter(|machine| machine.state.is_live()) {
            machine.state = if slow { State::ShuttingDown } else { State::Terminated };
            machine.state_reason = Some("Client.UserInitiatedShutdown".into());
        }
    }

    /// Every machine that was starting runs.
    pub fn boot(&mut self) {
        let starting = self.machines.iter_mut().filter(|l| l.machine.state == State::Pending);
        starting.for_each(|l| l.machine.state = State::Running);
    }

    /// What EC2 may find out after its 200.
    pub fn die_of_capacity(&mut self, instance: &InstanceId) {
        if let Some(machine) = self.machine(instance) {
            machine.state = State::Terminated;
            machine.state_reason = Some("Server.InsufficientInstanceCapacity".into());
        }
    }

    pub fn machine(&mut self, instance: &InstanceId) -> Option<&mut Machine> {
        self.machines.iter_mut().map(|l| &mut l.machine).find(|machine| machine.instance_id == *instance)
    }

    pub fn live(&self) -> impl Iterator<Item = &Launched> {
        self.machines.iter().filter(|l| l.machine.state.is_live())
    }

    pub fn found(&self) -> Found {
        Found { vpcs: vec!["vpc-default".into()], subnets: self.subnets.clone() }
    }

    /// Every zone offers every type.
    pub fn offerings(&self, instance_types: &[String]) -> Offerings {
        let zones = |kind: &String| {
            let kind = kind.clone();
            self.subnets.iter().map(move |subnet| (kind.clone(), subnet.availability_zone.clone()))
        };
        instance_types.iter().flat_map(zones).collect()
    }

    /// No zone has room for this type any more.
    pub fn exhaust(&mut self, instance_type: &str) {
        let zones: Vec<String> = self.subnets.iter().map(|subnet| subnet.availability_zone.clone()).collect();
        for zone in zones {
            self.refuse(instance_type, &zone, Class::Capacity, "InsufficientInstanceCapacity");
        }
    }

    pub fn refuse(&mut self, instance_type: &str, zone: &str, class: Class, code: &'static str) {
        self.refusing.insert((instance_type.into(), zone.into()), (class, code));
    }
}

fn sighting(launched: &Launched) -> Sighting {
    Sighting {
        machine: launched.machine.clone(),
        token: Some(launched.token.clone()),
        launched_at: launched.since,
        addresses: match launched.machine.state {
            State::Running => Addresses {
                private_ip: Some("10.0.0.7".into()),
                public_ip: Some("203.0.113.7".into()),
                dns_name: Some(format!("{}.compute.amazonaws.com", launched.machine.instance_id)),
            },
            _ => Addresses { private_ip: Some("10.0.0.7".into()), ..Addresses::default() },
        },
    }
}

fn unknown(action: &'static str) -> AwsError {
    aws_error(action, Class::Propagating, "InvalidInstanceID.NotFound")
}

/// Any image, which every type can run.
pub fn image(image_id: &str) -> Image {
    Image {
        image_id: image_id.to_owned(),
        root_device: "/dev/xvda".to_owned(),
        snapshot_gb: Some(8),
        architecture: "x86_64".to_owned(),
        is_windows: false,
        created: None,
    }
}

/// Of all subnets those with these ids, as EC2 answers who asks for them by name. No default VPC is looked up then.
pub fn named(all: Found, subnet_ids: &[String]) -> Result<Found, AwsError> {
    let of = |id: &String| all.subnets.iter().find(|subnet| subnet.subnet_id == *id).cloned();
    let subnets: Option<Vec<Subnet>> = subnet_ids.iter().map(of).collect();
    match subnets {
        Some(subnets) => Ok(Found { vpcs: Vec::new(), subnets }),
        None => Err(aws_error("DescribeSubnets", Class::Misconfigured, "InvalidSubnetID.NotFound")),
    }
}

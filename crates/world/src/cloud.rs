//! EC2 in memory: zonal client tokens, capacity, and machines that start and die.

use std::collections::{BTreeMap, BTreeSet};

use elephant_core::error::{AwsError, Class};
use elephant_core::fleet::{Leftover, Looked, ORPHAN_TAG, ObservedMachine};
use elephant_core::image::Image;
use elephant_core::machine::{Addresses, Attempt, InstanceId, Machine, Parameters, ROLE_TAG, State, Token};
use elephant_core::network::{Found, Offerings, Subnet};

use jiff::Timestamp;

use super::aws_error;

#[derive(Clone, Debug)]
pub struct Cloud {
    pub machines: Vec<Launched>,
    /// A token is bound to its parameters in each zone, whether or not it made a machine.
    pub tokens: BTreeMap<(Token, String), Parameters>,
    /// The types that EC2 refuses to launch, by type and zone.
    pub refusing: BTreeMap<(String, String), (Class, &'static str)>,
    pub terminated_token: TerminatedToken,
    /// During a zone's disruption EC2 lists nothing. By id it shows every machine except those in this zone.
    pub disrupted: Option<String>,
    /// These may not be ended.
    pub protected: BTreeSet<InstanceId>,
    /// EC2 refuses to start stopped machines with this class and code.
    pub start_refused: Option<(Class, &'static str)>,
    /// A machine that is ended stays `shutting-down`.
    pub slow_to_end: bool,
    /// Machines that fail EC2's own checks.
    pub impaired: BTreeSet<InstanceId>,
    /// The volumes and network interfaces that are attached to nothing.
    pub leftovers: Vec<Leftover>,
    /// The console output of every machine.
    pub console: Option<String>,
    pub subnets: Vec<Subnet>,
}

#[derive(Clone, Debug)]
pub struct Launched {
    pub machine: Machine,
    pub token: Token,
    pub parameters: Parameters,
    pub since: Timestamp,
    /// It has been dead for so long that EC2 does not show it any more.
    pub is_forgotten: bool,
}

impl Launched {
    pub fn meeting(&self) -> &str {
        &self.parameters.tags["MeetingID"]
    }

    pub fn role(&self) -> &str {
        &self.parameters.tags[ROLE_TAG]
    }
}

/// EC2's answer to the token of a terminated machine: both answers have been seen.
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
            disrupted: None,
            protected: BTreeSet::new(),
            start_refused: None,
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
            if launched.is_forgotten || dead && self.terminated_token == TerminatedToken::Error {
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
            instance_id: InstanceId::from(format!("i-{}-{}", attempt.token, &p.availability_zone[9..])),
            state: State::Pending,
            state_reason: None,
            tags: p.tags.clone(),
        };
        self.machines.push(Launched {
            machine: machine.clone(),
            token: attempt.token.clone(),
            parameters: p.clone(),
            since: now,
            is_forgotten: false,
        });
        Ok(machine)
    }

    /// Whether this attempt has already made its machine, so that sending it again changes nothing.
    pub fn has_seen(&self, attempt: &Attempt) -> bool {
        let zone = &attempt.parameters.availability_zone;
        self.machines.iter().any(|l| l.token == attempt.token && l.parameters.availability_zone == *zone)
    }

    fn shown(&self) -> impl Iterator<Item = &Launched> {
        self.machines.iter().filter(|l| !l.is_forgotten)
    }

    /// The answer to a request without ids.
    fn if_whole<T>(&self, answer: T) -> Result<T, AwsError> {
        match &self.disrupted {
            Some(_) => Err(aws_error("DescribeInstances", Class::Ambiguous, "InternalError")),
            None => Ok(answer),
        }
    }

    pub fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        self.if_whole(self.shown().filter(|l| l.token == *token).map(|l| l.machine.clone()).collect())
    }

    pub fn list(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError> {
        let ours = |l: &&Launched| l.machine.tags.get("Project").is_some_and(|tag| tag == project);
        self.if_whole(self.shown().filter(ours).map(observed).collect())
    }

    pub fn list_impaired(&self) -> Result<BTreeSet<InstanceId>, AwsError> {
        self.if_whole(self.impaired.clone())
    }

    pub fn look(&self, instances: &[InstanceId]) -> Looked {
        let of = |id: &InstanceId| self.shown().find(|l| l.machine.instance_id == *id);
        let dark = |l: &Launched| self.disrupted.as_ref() == Some(&l.parameters.availability_zone);
        Looked {
            seen: instances.iter().filter_map(of).filter(|l| !dark(l)).map(observed).collect(),
            missing: instances.iter().filter(|id| of(id).is_none()).cloned().collect(),
        }
    }

    /// A machine on which the policy allows an action, by the machine's tag. EC2 checks that before it looks for the
    /// machine.
    fn allowed(&mut self, action: &'static str, instance: &InstanceId) -> Result<&mut Machine, AwsError> {
        if !self.machines.iter().any(|l| l.machine.instance_id == *instance) {
            return Err(aws_error(action, Class::Propagating, "InvalidInstanceID.NotFound"));
        }
        let shown = self.machines.iter_mut().filter(|l| !l.is_forgotten).map(|l| &mut l.machine);
        shown
            .filter(|machine| machine.tags.contains_key("Project"))
            .find(|machine| machine.instance_id == *instance)
            .ok_or_else(|| aws_error(action, Class::Unauthorized, "UnauthorizedOperation"))
    }

    pub fn mark(&mut self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        self.allowed("CreateTags", instance)?.tags.insert(ORPHAN_TAG.into(), since.to_string());
        Ok(())
    }

    pub fn unmark(&mut self, instance: &InstanceId) -> Result<(), AwsError> {
        self.allowed("DeleteTags", instance)?.tags.remove(ORPHAN_TAG);
        Ok(())
    }

    pub fn remove_role_tag(&mut self, instance: &InstanceId) -> Result<(), AwsError> {
        self.allowed("DeleteTags", instance)?.tags.remove(ROLE_TAG);
        Ok(())
    }

    pub fn terminate(&mut self, instance: &InstanceId) -> Result<(), AwsError> {
        self.allowed("TerminateInstances", instance)?;
        if self.protected.contains(instance) {
            return Err(aws_error("TerminateInstances", Class::Misconfigured, "OperationNotPermitted"));
        }
        self.end(instance);
        Ok(())
    }

    /// Ends it at once and finally; a machine that died before keeps its reason.
    pub fn end(&mut self, instance: &InstanceId) {
        let slow = self.slow_to_end;
        if let Some(machine) = self.machine(instance).filter(|machine| machine.state.is_live()) {
            machine.state = if slow { State::ShuttingDown } else { State::Terminated };
            machine.state_reason = Some("Client.UserInitiatedShutdown".into());
        }
    }

    /// Somebody's schedule stops it.
    pub fn stop(&mut self, instance: &InstanceId) {
        if let Some(machine) = self.machine(instance).filter(|machine| machine.state.is_live()) {
            machine.state = State::Stopped;
            machine.state_reason = Some("Client.UserInitiatedShutdown".into());
        }
    }

    pub fn start(&mut self, instance: &InstanceId) -> Result<(), AwsError> {
        let refused = self.start_refused;
        let machine = self.allowed("StartInstances", instance)?;
        match (refused, machine.state) {
            (Some((class, code)), State::Stopped) => return Err(aws_error("StartInstances", class, code)),
            (None, State::Stopped) => (machine.state, machine.state_reason) = (State::Pending, None),
            _ => {}
        }
        Ok(())
    }

    /// Dead machines lose their tags after a while.
    pub fn forget_tags(&mut self) {
        let dead = self.machines.iter_mut().filter(|l| l.machine.state == State::Terminated);
        dead.for_each(|l| l.machine.tags.clear());
    }

    /// EC2 forgets a machine an hour after its death.
    pub fn forget_the_dead(&mut self) {
        let dead = self.machines.iter_mut().filter(|l| l.machine.state == State::Terminated);
        dead.for_each(|l| l.is_forgotten = true);
    }

    /// Every machine that was starting runs now.
    pub fn boot(&mut self) {
        let starting = self.machines.iter_mut().filter(|l| l.machine.state == State::Pending);
        starting.for_each(|l| l.machine.state = State::Running);
    }

    /// It dies by itself, for this reason.
    pub fn die(&mut self, instance: &InstanceId, reason: &str) {
        if let Some(machine) = self.machine(instance) {
            machine.state = State::Terminated;
            machine.state_reason = Some(reason.into());
        }
    }

    /// What EC2 may find out after its 200.
    pub fn die_of_capacity(&mut self, instance: &InstanceId) {
        self.die(instance, "Server.InsufficientInstanceCapacity");
    }

    pub fn machine(&mut self, instance: &InstanceId) -> Option<&mut Machine> {
        self.machines.iter_mut().map(|l| &mut l.machine).find(|machine| machine.instance_id == *instance)
    }

    pub fn leftover(&mut self, action: &'static str, of: &Leftover) -> Result<&mut Leftover, AwsError> {
        let found = self.leftovers.iter_mut().find(|other| other.id == of.id);
        found.ok_or_else(|| aws_error(action, Class::Misconfigured, "InvalidVolume.NotFound"))
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

    /// No zone has capacity for this type any more.
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

fn observed(launched: &Launched) -> ObservedMachine {
    ObservedMachine {
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

/// An image that every type can run.
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

/// The subnets with these ids, as EC2 answers a request by id. No default VPC is looked up then.
pub fn named(all: Found, subnet_ids: &[String]) -> Result<Found, AwsError> {
    let of = |id: &String| all.subnets.iter().find(|subnet| subnet.subnet_id == *id).cloned();
    let subnets: Option<Vec<Subnet>> = subnet_ids.iter().map(of).collect();
    match subnets {
        Some(subnets) => Ok(Found { vpcs: Vec::new(), subnets }),
        None => Err(aws_error("DescribeSubnets", Class::Misconfigured, "InvalidSubnetID.NotFound")),
    }
}

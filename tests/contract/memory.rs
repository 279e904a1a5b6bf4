//! The stage in memory: the world's table and cloud, every request answered at once by `executor.rs`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use elephant_launch::error::{AwsError, Class};
use elephant_launch::machine::{Attempt, InstanceId, Machine, Parameters, Token};
use elephant_launch::meeting::{MeetingId, Role};
use elephant_launch::needs::{Machines, Meetings, Networks, Updated};
use elephant_launch::network::{Found, Subnet};
use elephant_launch::record::{Failure, Record, Update};

use crate::world::cloud::TerminatedToken;
use crate::world::executor::{Call, Executor, Fate, Reply, World};
use crate::{Blank, Stage};

/// The delivery in whose name everything is asked.
const DELIVERY: usize = 0;

pub struct Memory {
    world: World,
    name: String,
    next: RefCell<Option<(&'static str, Fate)>>,
}

impl Memory {
    /// A world of its own, in which any name will do.
    pub fn new() -> Memory {
        Memory::named("m")
    }

    pub fn named(name: &str) -> Memory {
        let world = World::new([]);
        // The world answers deliveries alone: this one is known to it, and does nothing more.
        let mut executor = Executor::new(&world);
        executor.deliver("nobody");
        executor.kill(DELIVERY);
        Memory { world, name: name.to_owned(), next: RefCell::new(None) }
    }

    pub fn run<T>(&self, promise: impl Future<Output = T>) -> T {
        match pin!(promise).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("every request is answered at once"),
        }
    }

    fn ask(&self, call: Call) -> Reply {
        let fate = self.next.borrow_mut().take_if(|(action, _)| *action == call.name());
        let fate = fate.map_or(Fate::Answered, |(_, fate)| fate);
        let now = self.world.now();
        self.world.0.borrow_mut().meet(&call, DELIVERY, now, &fate).expect("the delivery lives")
    }
}

macro_rules! asked {
    ($stage:expr, $call:expr, $reply:ident) => {
        match $stage.ask($call) {
            Reply::$reply(answer) => answer,
            _ => unreachable!("the reply fits the call"),
        }
    };
}

impl Meetings for Memory {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        asked!(self, Call::GetItem(meeting.clone()), Record)
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        asked!(self, Call::UpdateItem(update.clone()), Updated)
    }
}

impl Machines for Memory {
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError> {
        asked!(self, Call::RunInstances(attempt.clone()), Machine)
    }

    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        asked!(self, Call::DescribeInstances(token.clone()), Machines)
    }

    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        asked!(self, Call::DeleteTags(instance.clone()), Done)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        asked!(self, Call::TerminateInstances(instance.clone()), Done)
    }
}

impl Networks for Memory {
    async fn find_subnets(&self, _: Option<&[String]>) -> Result<Found, AwsError> {
        asked!(self, Call::DescribeSubnets, Subnets)
    }

    async fn find_root_device(&self, _: &str) -> Result<String, AwsError> {
        asked!(self, Call::DescribeImages, Device)
    }
}

impl Stage for Memory {
    fn meetings(&self) -> &impl Meetings {
        self
    }

    fn machines(&self) -> &impl Machines {
        self
    }

    fn networks(&self) -> &impl Networks {
        self
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn put(&self, record: &Record) {
        let mut state = self.world.0.borrow_mut();
        state.table.failures.remove(&record.meeting_id);
        state.table.records.insert(record.meeting_id.clone(), record.clone());
    }

    async fn delete(&self, meeting: &MeetingId) {
        self.world.0.borrow_mut().table.delete(meeting);
    }

    /// The world's record is one that was understood: it knows no values but those.
    async fn blank(&self, meeting: &MeetingId, attribute: &str, _: Blank) {
        let mut state = self.world.0.borrow_mut();
        let record = state.table.records.get_mut(meeting).expect("the record");
        match attribute {
            "status" => record.status = None,
            "launch_owner" | "launch_lease_until" => record.lease = None,
            "teacher_ec2_id" => record.teacher.instance_id = None,
            "student_attempt" => record.seat_mut(Role::Student).attempt = None,
            other => unreachable!("{other} is blanked by no promise"),
        }
    }

    /// The world's record has none.
    async fn strangers_stand(&self, _: &MeetingId) -> bool {
        true
    }

    async fn failure(&self, meeting: &MeetingId) -> Option<Failure> {
        self.world.0.borrow().table.failures.get(meeting).cloned()
    }

    fn image(&self) -> &str {
        "ami-1"
    }

    fn subnets(&self) -> Vec<Subnet> {
        self.world.0.borrow().cloud.subnets.clone()
    }

    fn security_group(&self) -> &str {
        "sg-1"
    }

    async fn made_from(&self, machine: &InstanceId) -> Parameters {
        let state = self.world.0.borrow();
        let launched = state.cloud.machines.iter().find(|l| l.machine.instance_id == *machine);
        launched.expect("the machine").parameters.clone()
    }

    async fn another_subnet(&self, beside: &Subnet) -> Subnet {
        let subnet = Subnet { subnet_id: format!("{}-2", beside.subnet_id), ..beside.clone() };
        self.world.0.borrow_mut().cloud.subnets.push(subnet.clone());
        subnet
    }

    fn refuse(&self, instance_type: &str, zone: &str, class: Class, code: &'static str) {
        self.world.0.borrow_mut().cloud.refuse(instance_type, zone, class, code);
    }

    fn relent(&self) {
        self.world.0.borrow_mut().cloud.refusing.clear();
    }

    fn answer_for_the_dead(&self, answer: TerminatedToken) {
        self.world.0.borrow_mut().cloud.terminated_token = answer;
    }

    fn next(&self, action: &'static str, fate: Fate) {
        *self.next.borrow_mut() = Some((action, fate));
    }

    async fn abandon<T>(&self, action: &'static str, request: impl Future<Output = T>) {
        self.next(action, Fate::Late);
        request.await;
    }

    async fn late_effect(&self) {
        self.world.0.borrow_mut().take_effect(0);
    }
}

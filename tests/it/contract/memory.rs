//! The stage in memory: a port of the world's, and its executor, which answers one request at a time.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use elephant_core::error::{AwsError, Class};
use elephant_core::machine::{InstanceId, Parameters};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::network::Subnet;
use elephant_core::ports::{Clock, Created, Images, Machines, Meetings, Networks, NewMeetings, Tokens};
use elephant_core::record::{Failure, NewRecord, Record};
use elephant_core::timing::Timing;
use jiff::SignedDuration;

use super::{Blank, Stage};
use elephant_world::cloud::TerminatedToken;
use elephant_world::config;
use elephant_world::executor::{Executor, Fate, Port, Verb, World};

pub struct Memory {
    world: World,
    port: Port,
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
        Memory { port: port(&world), world, name: name.to_owned(), next: RefCell::new(None) }
    }

    /// One request is answered whenever the promise can go no further; when there is none, time passes.
    pub fn run<T>(&self, promise: impl Future<Output = T>) -> T {
        let mut executor = Executor::new(&self.world);
        let mut promise = pin!(promise);
        loop {
            if let Poll::Ready(kept) = promise.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return kept;
            }
            let request = {
                let state = self.world.0.borrow();
                let request = state.pending.iter().find(|p| !p.call.is_sleep());
                request.map(|p| (p.number, p.call.name()))
            };
            match request {
                Some((number, action)) => {
                    let fate = self.next.borrow_mut().take_if(|(next, _)| *next == action);
                    executor.answer(number, &fate.map_or(Fate::Answered, |(_, fate)| fate));
                }
                None => {
                    let (until, _) = executor.first_sleeper().expect("it waits for something");
                    self.world.0.borrow_mut().move_clock(until);
                    executor.wake();
                }
            }
        }
    }
}

fn port(world: &World) -> Port {
    world.port(Verb::Launch, "nobody", config(), Timing::DEFAULT.delivery, SignedDuration::ZERO)
}

/// The table that the courses of the verb `schedule` are told against, too.
impl NewMeetings for Memory {
    async fn create(&self, record: &NewRecord) -> Result<Created, AwsError> {
        Ok(self.world.0.borrow_mut().table.create(record))
    }
}

impl Stage for Memory {
    fn meetings(&self) -> &impl Meetings {
        &self.port
    }

    fn new_meetings(&self) -> &impl NewMeetings {
        self
    }

    fn machines(&self) -> &impl Machines {
        &self.port
    }

    fn networks(&self) -> &(impl Networks + Images) {
        &self.port
    }

    fn delivery(&self) -> (impl Clock, impl Tokens) {
        let port = port(&self.world);
        (port.clone(), port)
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn put(&self, record: &Record) {
        let mut state = self.world.0.borrow_mut();
        state.table.delete(&record.meeting_id);
        state.table.records.insert(record.meeting_id.clone(), record.clone());
    }

    async fn delete(&self, meeting: &MeetingId) {
        self.world.delete(meeting.as_str());
    }

    /// The world's record is one that was understood: it knows no values but those.
    async fn blank(&self, meeting: &MeetingId, attribute: &str, _: Blank) {
        let mut state = self.world.0.borrow_mut();
        let record = state.table.records.get_mut(meeting).expect("the record");
        match attribute {
            "status" => record.status = None,
            "launch_owner" | "launch_lease_until" => record.lease = None,
            "teacher_ec2_id" => record.teacher.instance_id = None,
            "student_attempt" => record.role_mut(Role::Student).attempt = None,
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

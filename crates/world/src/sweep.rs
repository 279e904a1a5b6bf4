//! The verb `reconcile` against the world in memory: each sweep runs without interruption at one moment, and launches
//! with the real engine. The explorer covers what other deliveries do between the steps of such a launch. The sweep's
//! own writes are conditional and its endings final.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use elephant_core::config::ReconcileConfig;
use elephant_core::error::{AwsError, Error};
use elephant_core::event::Reconcile;
use elephant_core::fleet::{Counted, Leftover, Limits, Looked, MeetingSnapshot, ORPHAN_TAG, ObservedMachine};
use elephant_core::machine::{InstanceId, Token};
use elephant_core::meeting::MeetingId;
use elephant_core::ports::{
    Clock, Consoles, Counts, DescribeById, Fleet, Launches, Leftovers, Meetings, Starts, StatusChecks,
    Terminate, Tokens, Updated, Watch,
};
use elephant_core::reconcile::{ReconcileAnswer, ReconcilePorts, Reconciler};
use elephant_core::record::{Owner, Record, Update};
use jiff::Timestamp;

use super::executor::{Executor, World};

/// The function's defaults, except for the endings.
pub const LIMITS: Limits = Limits {
    grace: Duration::from_secs(600),
    longest_meeting: Duration::from_secs(8 * 3600),
    window: super::WINDOW,
    due: Duration::from_secs(300),
    replacements: 2,
    endings: 1000,
    // Nobody writes HEALTHY here.
    ready: Duration::from_secs(30 * 24 * 3600),
    relaunch_unready: false,
    clean_up: false,
};

pub fn config(limits: Limits, dry_run: bool) -> ReconcileConfig {
    ReconcileConfig {
        table_name: "elephant-meetings".into(),
        project_tag: "Elephant".into(),
        limits,
        dry_run,
    }
}

/// Runs one sweep of everything, now.
pub fn sweep(world: &World) -> Result<ReconcileAnswer, Error> {
    reconcile(world, &Reconcile::Sweep, LIMITS, false)
}

pub fn reconcile(
    world: &World,
    event: &Reconcile,
    limits: Limits,
    dry_run: bool,
) -> Result<ReconcileAnswer, Error> {
    Sweeper::with(world, limits, dry_run).reconcile(event)
}

/// A function that lives as long as its environment.
pub struct Sweeper(Reconciler<Sweep>);

impl Sweeper {
    pub fn new(world: &World, limits: Limits) -> Self {
        Sweeper::with(world, limits, false)
    }

    fn with(world: &World, limits: Limits, dry_run: bool) -> Self {
        let port = Sweep { world: world.clone() };
        Sweeper(Reconciler {
            meetings: port.clone(),
            ec2: port.clone(),
            launches: port.clone(),
            counts: port.clone(),
            clock: port.clone(),
            tokens: port,
            config: config(limits, dry_run),
            timing: world.0.borrow().truth,
            failed_endings: RefCell::default(),
        })
    }

    pub fn sweep(&self) -> Result<ReconcileAnswer, Error> {
        self.reconcile(&Reconcile::Sweep)
    }

    fn reconcile(&self, event: &Reconcile) -> Result<ReconcileAnswer, Error> {
        let deadline = self.0.clock.now() + Duration::from_secs(300);
        // No port of it ever waits.
        let mut whole = pin!(self.0.reconcile(event, deadline));
        match whole.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a sweep waits for nothing here"),
        }
    }
}

#[derive(Clone)]
struct Sweep {
    world: World,
}

impl ReconcilePorts for Sweep {
    type Meetings = Sweep;
    type Ec2 = Sweep;
    type Launches = Sweep;
    type Counts = Sweep;
    type Clock = Sweep;
    type Tokens = Sweep;
}

impl Meetings for Sweep {
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError> {
        Ok(self.world.0.borrow().table.records.get(meeting).cloned())
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        Ok(self.world.0.borrow_mut().table.update(update))
    }
}

impl Watch for Sweep {
    async fn read_all(
        &self,
        meetings: &BTreeSet<MeetingId>,
    ) -> Result<BTreeMap<MeetingId, MeetingSnapshot>, AwsError> {
        Ok(self.world.0.borrow().as_read_all(meetings))
    }

    async fn find_by_time(&self, from: Timestamp, until: Timestamp) -> Result<BTreeSet<MeetingId>, AwsError> {
        Ok(self.world.0.borrow().table.find_by_time(from, until))
    }
}

impl DescribeById for Sweep {
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError> {
        Ok(self.world.0.borrow().as_looked(instances))
    }
}

impl Fleet for Sweep {
    async fn list(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError> {
        self.world.0.borrow().as_listed(project)
    }

    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.mark(instance, since)
    }

    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.unmark(instance)
    }
}

impl Terminate for Sweep {
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.remove_role_tag(instance)
    }

    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.terminate(instance)
    }
}

impl Starts for Sweep {
    async fn start(&self, instance: &InstanceId) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.start(instance)
    }
}

impl StatusChecks for Sweep {
    async fn list_impaired(&self) -> Result<BTreeSet<InstanceId>, AwsError> {
        self.world.0.borrow().cloud.list_impaired()
    }
}

impl Consoles for Sweep {
    async fn read_console(&self, instance: &InstanceId) -> Result<Option<String>, AwsError> {
        let lines = (0..30).map(|n| format!("{instance}: line {n}\r\n\r\n"));
        Ok(Some(lines.collect()))
    }
}

impl Leftovers for Sweep {
    async fn list_leftovers(&self, _: &str, _: bool) -> Result<Vec<Leftover>, AwsError> {
        Ok(self.world.0.borrow().cloud.leftovers.clone())
    }

    async fn mark_leftover(&self, leftover: &Leftover, since: Timestamp) -> Result<(), AwsError> {
        self.world
            .0
            .borrow_mut()
            .cloud
            .leftover("CreateTags", leftover)?
            .tags
            .insert(ORPHAN_TAG.into(), since.to_string());
        Ok(())
    }

    async fn unmark_leftover(&self, leftover: &Leftover) -> Result<(), AwsError> {
        self.world.0.borrow_mut().cloud.leftover("DeleteTags", leftover)?.tags.remove(ORPHAN_TAG);
        Ok(())
    }

    async fn remove(&self, leftover: &Leftover) -> Result<bool, AwsError> {
        let cloud = &mut self.world.0.borrow_mut().cloud;
        let removable = cloud.leftover("DeleteVolume", leftover).is_ok_and(|leftover| !leftover.in_use);
        cloud.leftovers.retain(|other| !removable || other.id != leftover.id);
        Ok(removable)
    }
}

impl Counts for Sweep {
    fn count(&self, what: Counted) {
        self.world.0.borrow_mut().counted.push(what);
    }
}

impl Launches for Sweep {
    async fn launch(&self, meeting: &MeetingId, _: Timestamp) -> Result<(), Error> {
        let mut story = Executor::new(&self.world);
        story.deliver(meeting.as_str());
        story.run();
        story.results.remove(0).expect("it ends").map(|_| ())
    }
}

impl Clock for Sweep {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep(&self, _: Duration) {}

    async fn within<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

impl Tokens for Sweep {
    fn token(&self) -> Token {
        unreachable!("the launches have their own")
    }

    fn owner(&self) -> Owner {
        unreachable!("the launches have their own")
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}

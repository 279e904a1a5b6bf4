//! The only place where the verbs meet AWS: it puts the adapters behind the ports of each verb, for the functions and
//! for the library, and does what every function does at its start, in the same order. Nothing is decided here.

use std::cell::RefCell;
use std::rc::Rc;

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_aws::scheduler::Group;
use elephant_aws::sdk::{self, SdkConfig};
use elephant_aws::ssm::Ssm;
use elephant_core::answer::Outcome;
use elephant_core::config::{
    self, Config, EndConfig, OperateConfig, Problems, ReconcileConfig, ScheduleConfig,
};
use elephant_core::end::{EndPorts, Ender};
use elephant_core::error::Error;
use elephant_core::launch::{Answered, LaunchPorts, Launcher};
use elephant_core::lookups::Lookups;
use elephant_core::network::SubnetSelection;
use elephant_core::operate::{OperatePorts, Operator, Spent};
use elephant_core::reconcile::{ReconcilePorts, Reconciler};
use elephant_core::schedule::{SchedulePorts, Scheduler};
use elephant_core::settings::Function;
use elephant_core::status::{Observer, StatusPorts};
use elephant_core::timing::Timing;
use elephant_core::user_data::UserData;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use crate::lambda;
use crate::metrics::{Meter, Metered, Tally};

/// Run a function, from its start to the end of its environment: read its configuration, reach AWS, make its verb
/// ready, and answer every event with the verb. If one of these steps fails, answer every event with what is wrong.
pub async fn serve<C, V, A: Serialize + Outcome>(
    function: Function,
    configure: impl FnOnce(fn(&str) -> Option<String>) -> Result<C, Problems>,
    wire: impl AsyncFnOnce(&Aws, C) -> V,
    answer: impl AsyncFn(&V, Value, Timestamp) -> Result<A, Error>,
) -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let name = function.name();
    let meter = Meter::new(config::function_name(variable));
    let timing = Timing::DEFAULT;
    let config = match configure(variable) {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<A>(name, &timing, &meter, problems.into()).await,
    };
    let aws = match Aws::load(meter.tally.clone()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<A>(name, &timing, &meter, error).await,
    };
    let verb = wire(&aws, config).await;
    lambda::serve(name, &timing, &meter, |event, deadline| answer(&verb, event, deadline)).await
}

/// Answer every event with what is wrong with the handler.
pub async fn refuse(problems: Problems) -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let meter = Meter::new(config::function_name(variable));
    lambda::refuse::<Answered>("none", &Timing::DEFAULT, &meter, problems.into()).await
}

/// The configuration of a function that launches. If it uses an old form of a setting, the log says so.
pub fn noted(config: Config) -> Config {
    if let Some(note) = config.user_data.as_ref().and_then(UserData::former_marker) {
        warn!("{note}");
    }
    config
}

/// AWS as the environment describes it: the adapters, and each verb over them.
pub struct Aws {
    sdk: SdkConfig,
    timing: Timing,
    tally: Rc<Tally>,
}

impl Aws {
    /// Every request is counted in `tally`.
    pub async fn load(tally: Rc<Tally>) -> Result<Self, Error> {
        Ok(Aws { sdk: sdk::load(&Access::from_env()).await?, timing: Timing::DEFAULT, tally })
    }

    pub fn launcher(&self, config: Config) -> Launcher<Aws> {
        let (meetings, ec2) = (self.table(&config.table_name), self.ec2());
        self.launcher_over(meetings, ec2, config)
    }

    /// A launcher whose attempts and refusals are counted.
    pub fn metered_launcher(&self, config: Config) -> Launcher<Metered<Aws>> {
        let (meetings, ec2) = (self.metered(self.table(&config.table_name)), self.metered(self.ec2()));
        self.launcher_over(meetings, ec2, config)
    }

    fn launcher_over<P>(&self, meetings: P::Meetings, ec2: P::Ec2, config: Config) -> Launcher<P>
    where
        P: LaunchPorts<Parameters = Ssm, Clock = WallClock, Tokens = RandomTokens>,
    {
        let wanted = SubnetSelection { network: config.network.clone(), zones: config.zones(self.region()) };
        Launcher {
            meetings,
            ec2,
            parameters: self.ssm(),
            clock: WallClock,
            tokens: RandomTokens,
            wanted,
            config,
            timing: self.timing,
            lookups: Lookups::default(),
        }
    }

    pub fn ender(&self, config: EndConfig) -> Ender<Aws> {
        Ender {
            meetings: self.table(&config.table_name),
            ec2: self.ec2(),
            schedules: self.group(&config.group),
            companions: config.companions,
            clock: WallClock,
            tokens: RandomTokens,
            timing: self.timing,
        }
    }

    pub fn observer(&self, table_name: &str) -> Observer<Aws> {
        Observer {
            meetings: self.table(table_name),
            ec2: self.ec2(),
            clock: WallClock,
            tokens: RandomTokens,
            region: self.region().map(str::to_owned),
            timing: self.timing,
        }
    }

    pub fn operator(&self, config: OperateConfig) -> Operator<Aws> {
        Operator {
            meetings: self.table(&config.table_name),
            ec2: self.ec2(),
            ssm: self.ssm(),
            clock: WallClock,
            tokens: RandomTokens,
            zones: config.zones(self.region()),
            config,
            timing: self.timing,
            spent: Spent::default(),
        }
    }

    pub fn scheduler(&self, config: ScheduleConfig) -> Scheduler<Aws> {
        Scheduler {
            meetings: self.table(&config.table_name),
            schedules: self.group(&config.group),
            clock: WallClock,
            tokens: RandomTokens,
            config,
            timing: self.timing,
        }
    }

    /// The reconciler. It launches by the verb `launch` itself.
    pub fn reconciler(&self, config: ReconcileConfig, launch: Config) -> Reconciler<Aws> {
        Reconciler {
            meetings: self.table(&config.table_name),
            ec2: self.ec2(),
            launches: self.metered_launcher(launch),
            counts: self.tally.clone(),
            clock: WallClock,
            tokens: RandomTokens,
            config,
            timing: self.timing,
            failed_endings: RefCell::default(),
        }
    }

    fn table(&self, name: &str) -> Table {
        Table::counted(&self.sdk, name, self.timing.table, &self.tally.calls)
    }

    fn ec2(&self) -> Ec2 {
        Ec2::counted(&self.sdk, &self.timing, &self.tally.calls)
    }

    fn group(&self, name: &str) -> Group {
        Group::counted(&self.sdk, name, self.timing.scheduler, &self.tally.calls)
    }

    fn ssm(&self) -> Ssm {
        Ssm::counted(&self.sdk, self.timing.ec2, &self.tally.calls)
    }

    fn metered<P>(&self, port: P) -> Metered<P> {
        Metered { port, tally: self.tally.clone() }
    }

    fn region(&self) -> Option<&str> {
        self.sdk.region().map(AsRef::as_ref)
    }
}

impl LaunchPorts for Aws {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Parameters = Ssm;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl LaunchPorts for Metered<Aws> {
    type Meetings = Metered<Table>;
    type Ec2 = Metered<Ec2>;
    type Parameters = Ssm;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl EndPorts for Aws {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Schedules = Group;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl StatusPorts for Aws {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl OperatePorts for Aws {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Ssm = Ssm;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl SchedulePorts for Aws {
    type Meetings = Table;
    type Schedules = Group;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

impl ReconcilePorts for Aws {
    type Meetings = Table;
    type Ec2 = Ec2;
    type Launches = Launcher<Metered<Aws>>;
    type Counts = Rc<Tally>;
    type Clock = WallClock;
    type Tokens = RandomTokens;
}

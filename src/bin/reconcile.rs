//! The function `reconcile`: configuration, clients, serve. It launches by the verb `launch` itself, so it is told all that
//! the function `launch` is.

use std::cell::RefCell;

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_aws::sdk;
use elephant_aws::ssm::Ssm;
use elephant_core::config::{self, Config, Problems, ReconcileConfig};
use elephant_core::event;
use elephant_core::launch::Launcher;
use elephant_core::lookups::Lookups;
use elephant_core::network::SubnetSelection;
use elephant_core::reconcile::{Answer, Reconciler};
use elephant_core::timing::Timing;
use elephant_core::user_data::UserData;
use elephant_launch::lambda;
use elephant_launch::metrics::{Meter, Metered};
use tracing::warn;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::of_sweeps(config::function_name(variable));
    let (config, launch) = match (ReconcileConfig::from_variables(variable), Config::from_variables(variable))
    {
        (Ok(config), Ok(launch)) => (config, launch),
        (config, launch) => {
            let problems = Problems::of(config.err(), launch.err());
            return lambda::refuse::<Answer>("reconcile", &timing, &meter, problems.into()).await;
        }
    };
    if let Some(note) = launch.user_data.as_ref().and_then(UserData::former_marker) {
        warn!("{note}");
    }
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answer>("reconcile", &timing, &meter, error).await,
    };
    let calls = &meter.tally.calls;
    let table = || Table::counted(&aws, &config.table_name, timing.table, calls);
    let launcher = Launcher {
        meetings: Metered { port: table(), tally: meter.tally.clone() },
        ec2: Metered { port: Ec2::counted(&aws, &timing, calls), tally: meter.tally.clone() },
        parameters: Ssm::counted(&aws, timing.ec2, calls),
        clock: WallClock,
        tokens: RandomTokens,
        wanted: SubnetSelection {
            network: launch.network.clone(),
            zones: launch.zones(aws.region().map(AsRef::as_ref)),
        },
        config: launch,
        timing,
        lookups: Lookups::default(),
    };
    let reconciler = Reconciler {
        meetings: table(),
        ec2: Ec2::counted(&aws, &timing, calls),
        launches: launcher,
        counts: meter.tally.clone(),
        clock: WallClock,
        tokens: RandomTokens,
        config,
        timing,
        failed_endings: RefCell::default(),
    };
    lambda::serve("reconcile", &timing, &meter, async |event, deadline| {
        reconciler.reconcile(&event::Reconcile::from_json(&event)?, deadline).await
    })
    .await
}

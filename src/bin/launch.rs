//! The function `launch`: configuration, clients, serve.

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_aws::sdk;
use elephant_aws::ssm::Ssm;
use elephant_core::config::{self, Config};
use elephant_core::event;
use elephant_core::launch::{Answered, Launcher};
use elephant_core::lookups::Lookups;
use elephant_core::network::SubnetSelection;
use elephant_core::timing::Timing;
use elephant_core::user_data::UserData;
use elephant_launch::lambda;
use elephant_launch::metrics::{Meter, Metered};
use tracing::{info, warn};

/// One thread: Lambda hands an environment one event at a time, and a small function has a fraction of a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::of_launches(config::function_name(variable));
    let config = match Config::from_variables(variable) {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<Answered>("launch", &timing, &meter, problems.into()).await,
    };
    if let Some(note) = config.user_data.as_ref().and_then(UserData::former_marker) {
        warn!("{note}");
    }
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answered>("launch", &timing, &meter, error).await,
    };
    let launcher = Launcher {
        meetings: Metered {
            port: Table::counted(&aws, &config.table_name, timing.table, &meter.tally.calls),
            tally: meter.tally.clone(),
        },
        ec2: Metered { port: Ec2::counted(&aws, &timing, &meter.tally.calls), tally: meter.tally.clone() },
        parameters: Ssm::counted(&aws, timing.ec2, &meter.tally.calls),
        clock: WallClock,
        tokens: RandomTokens,
        wanted: SubnetSelection {
            network: config.network.clone(),
            zones: config.zones(aws.region().map(AsRef::as_ref)),
        },
        config,
        timing,
        lookups: Lookups::default(),
    };
    launcher.warm_up().await;
    lambda::serve("launch", &timing, &meter, async |event, deadline| {
        if let Some(request) = event::Preflight::from_json(&event)? {
            return launcher.preflight(&request, deadline).await.map(Answered::Preflight);
        }
        let request = event::Launch::from_json(&event)?;
        lambda::meeting(&request.meeting_id);
        let context = &request.context;
        info!(
            schedule_arn = context.schedule_arn,
            scheduled_time = context.scheduled_time,
            execution_id = context.execution_id,
            attempt_number = context.attempt_number,
            "delivery"
        );
        launcher.launch(&request.meeting_id, deadline).await.map(Answered::Launch)
    })
    .await
}

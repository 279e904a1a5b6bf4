//! The function `schedule`: configuration, clients, serve.

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::scheduler::Group;
use elephant_aws::sdk;
use elephant_core::config::{self, ScheduleConfig};
use elephant_core::event;
use elephant_core::schedule::{Answer, Scheduler};
use elephant_core::timing::Timing;
use elephant_launch::lambda;
use elephant_launch::metrics::Meter;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name(variable));
    let config = match ScheduleConfig::from_variables(variable) {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<Answer>("schedule", &timing, &meter, problems.into()).await,
    };
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answer>("schedule", &timing, &meter, error).await,
    };
    let calls = &meter.tally.calls;
    let scheduler = Scheduler {
        meetings: Table::counted(&aws, &config.table_name, timing.table, calls),
        schedules: Group::counted(&aws, &config.group, timing.scheduler, calls),
        clock: WallClock,
        tokens: RandomTokens,
        config,
        timing,
    };
    lambda::serve("schedule", &timing, &meter, async |event, deadline| {
        let request = event::Schedule::from_json(&event)?;
        lambda::meeting(request.meeting_id());
        scheduler.schedule(&request, deadline).await
    })
    .await
}

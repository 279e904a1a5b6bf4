//! The function `schedule`: configuration, clients, serve.

use elephant_launch::config::{self, Access, ScheduleConfig};
use elephant_launch::dynamodb::Table;
use elephant_launch::event;
use elephant_launch::lambda::{self, RandomTokens, WallClock};
use elephant_launch::metrics::Meter;
use elephant_launch::schedule::{Answer, Scheduler};
use elephant_launch::scheduler::Group;
use elephant_launch::sdk;
use elephant_launch::timing::Timing;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name());
    let config = match ScheduleConfig::from_env() {
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

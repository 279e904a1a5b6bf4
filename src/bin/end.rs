//! The function `end`: configuration, clients, serve.

use elephant_launch::config::{self, Access, EndConfig};
use elephant_launch::dynamodb::Table;
use elephant_launch::ec2::Ec2;
use elephant_launch::end::{Answer, Ender};
use elephant_launch::event;
use elephant_launch::lambda::{self, RandomTokens, WallClock};
use elephant_launch::metrics::Meter;
use elephant_launch::scheduler::Group;
use elephant_launch::sdk;
use elephant_launch::timing::Timing;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name());
    let config = match EndConfig::from_env() {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<Answer>("end", &timing, &meter, problems.into()).await,
    };
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answer>("end", &timing, &meter, error).await,
    };
    let calls = &meter.tally.calls;
    let ender = Ender {
        meetings: Table::counted(&aws, &config.table_name, timing.table, calls),
        ec2: Ec2::counted(&aws, &timing, calls),
        schedules: Group::counted(&aws, &config.group, timing.scheduler, calls),
        companions: config.companions,
        clock: WallClock,
        tokens: RandomTokens,
        timing,
    };
    lambda::serve("end", &timing, &meter, async |event, deadline| {
        let request = event::End::from_json(&event)?;
        lambda::meeting(&request.meeting_id);
        ender.end(&request, deadline).await
    })
    .await
}

//! The function `end`: configuration, clients, serve.

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_aws::scheduler::Group;
use elephant_aws::sdk;
use elephant_core::config::{self, EndConfig};
use elephant_core::end::{Answer, Ender};
use elephant_core::event;
use elephant_core::timing::Timing;
use elephant_launch::lambda;
use elephant_launch::metrics::Meter;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name(variable));
    let config = match EndConfig::from_variables(variable) {
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

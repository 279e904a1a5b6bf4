//! The function `status`: configuration, clients, serve.

use elephant_launch::config::{self, Access, StatusConfig};
use elephant_launch::dynamodb::Table;
use elephant_launch::ec2::Ec2;
use elephant_launch::event;
use elephant_launch::lambda::{self, RandomTokens, WallClock};
use elephant_launch::metrics::Meter;
use elephant_launch::sdk;
use elephant_launch::status::{Answer, Observer};
use elephant_launch::timing::Timing;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name());
    let config = match StatusConfig::from_env() {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<Answer>("status", &timing, &meter, problems.into()).await,
    };
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answer>("status", &timing, &meter, error).await,
    };
    let calls = &meter.tally.calls;
    let observer = Observer {
        meetings: Table::counted(&aws, &config.table_name, timing.table, calls),
        ec2: Ec2::counted(&aws, &timing, calls),
        clock: WallClock,
        tokens: RandomTokens,
        region: aws.region().map(ToString::to_string),
        timing,
    };
    lambda::serve("status", &timing, &meter, async |event, deadline| {
        let request = event::Status::from_json(&event)?;
        lambda::meeting(&request.meeting_id);
        observer.status(&request, deadline).await
    })
    .await
}

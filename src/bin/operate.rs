//! The function `operate`: configuration, clients, serve.

use elephant_aws::access::{Access, variable};
use elephant_aws::clock::{RandomTokens, WallClock};
use elephant_aws::dynamodb::Table;
use elephant_aws::ec2::Ec2;
use elephant_aws::sdk;
use elephant_aws::ssm::Ssm;
use elephant_core::config::{self, OperateConfig};
use elephant_core::event;
use elephant_core::operate::{Answer, Operator, Spent};
use elephant_core::timing::Timing;
use elephant_launch::lambda;
use elephant_launch::metrics::Meter;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let meter = Meter::new(config::function_name(variable));
    let config = match OperateConfig::from_variables(variable) {
        Ok(config) => config,
        Err(problems) => return lambda::refuse::<Answer>("operate", &timing, &meter, problems.into()).await,
    };
    let aws = match sdk::load(&Access::from_env()).await {
        Ok(aws) => aws,
        Err(error) => return lambda::refuse::<Answer>("operate", &timing, &meter, error).await,
    };
    let calls = &meter.tally.calls;
    let operator = Operator {
        meetings: Table::counted(&aws, &config.table_name, timing.table, calls),
        ec2: Ec2::counted(&aws, &timing, calls),
        ssm: Ssm::counted(&aws, timing.ec2, calls),
        clock: WallClock,
        tokens: RandomTokens,
        zones: config.zones(aws.region().map(AsRef::as_ref)),
        config,
        timing,
        spent: Spent::default(),
    };
    lambda::serve("operate", &timing, &meter, async |event, deadline| {
        let request = event::Operate::from_json(&event)?;
        if let Some(event::Target::RoleRecord(meeting, _)) = &request.target {
            lambda::meeting(meeting);
        }
        operator.operate(&request, deadline).await
    })
    .await
}

//! The function `launch`: configuration, clients, serve.

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use elephant_launch::config::Config;
use elephant_launch::dynamodb::Table;
use elephant_launch::ec2::Ec2;
use elephant_launch::error::Error;
use elephant_launch::event;
use elephant_launch::lambda::{self, RandomTokens, WallClock};
use elephant_launch::launch::{Answer, Launcher};
use elephant_launch::lookups::Lookups;
use elephant_launch::network::Wanted;
use elephant_launch::timing::Timing;
use tracing::{error, info};

/// One thread: Lambda hands an environment one event at a time, and a small function has a fraction of a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::start_logging();
    let timing = Timing::DEFAULT;
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(problems) => {
            // A function that ends here would be reported as "Runtime exited" and nothing else; one that answers
            // every delivery with the problems puts them where the operator looks.
            let error = Error::from(problems);
            error!(error = %error.chain(), "the function cannot work");
            return lambda::serve("launch", &timing, |_, _| async { Err::<Answer, _>(error.clone()) }).await;
        }
    };
    // ring instead of the default aws-lc, whose first use costs 50 ms of CPU, on a cold start's critical path.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let region = sdk.region().map(AsRef::as_ref);
    let launcher = Launcher {
        meetings: Table::new(&sdk, &config.table_name, timing.table),
        ec2: Ec2::new(&sdk, &timing),
        clock: WallClock,
        tokens: RandomTokens,
        wanted: Wanted { subnet_ids: config.subnet_ids.clone(), zones: config.zones(region) },
        config,
        timing,
        lookups: Lookups::default(),
    };
    launcher.warm_up().await;
    lambda::serve("launch", &timing, async |event, deadline| {
        let request = event::Launch::from_json(&event)?;
        lambda::meeting(&request.meeting_id);
        let schedule = &request.schedule;
        info!(
            schedule_arn = schedule.schedule_arn,
            scheduled_time = schedule.scheduled_time,
            execution_id = schedule.execution_id,
            attempt_number = schedule.attempt_number,
            "delivery"
        );
        launcher.launch(&request.meeting_id, deadline).await
    })
    .await
}

//! The function `launch`.

use elephant_core::config::Config;
use elephant_core::event;
use elephant_core::launch::Answered;
use elephant_launch::metrics::Meter;
use elephant_launch::{lambda, wiring};
use tracing::info;

/// One thread: Lambda hands an environment one event at a time, and a small function has a fraction of a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "launch",
        Meter::of_launches,
        |variable| Config::from_variables(variable).map(wiring::noted),
        async |aws, config| {
            let launcher = aws.metered_launcher(config);
            launcher.warm_up().await;
            launcher
        },
        async |launcher, event, deadline| {
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
        },
    )
    .await
}

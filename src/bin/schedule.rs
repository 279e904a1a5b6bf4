//! The function `schedule`.

use elephant_core::config::ScheduleConfig;
use elephant_core::event;
use elephant_launch::metrics::Meter;
use elephant_launch::{lambda, wiring};

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "schedule",
        Meter::new,
        ScheduleConfig::from_variables,
        async |aws, config| aws.scheduler(config),
        async |scheduler, event, deadline| {
            let request = event::Schedule::from_json(&event)?;
            lambda::meeting(request.meeting_id());
            scheduler.schedule(&request, deadline).await
        },
    )
    .await
}

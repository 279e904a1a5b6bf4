//! The function `status`.

use elephant_core::config::StatusConfig;
use elephant_core::event;
use elephant_launch::metrics::Meter;
use elephant_launch::{lambda, wiring};

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "status",
        Meter::new,
        StatusConfig::from_variables,
        async |aws, config| aws.observer(&config.table_name),
        async |observer, event, deadline| {
            let request = event::Status::from_json(&event)?;
            lambda::meeting(&request.meeting_id);
            observer.status(&request, deadline).await
        },
    )
    .await
}

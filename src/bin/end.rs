//! The function `end`.

use elephant_core::config::EndConfig;
use elephant_core::event;
use elephant_launch::metrics::Meter;
use elephant_launch::{lambda, wiring};

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "end",
        Meter::new,
        EndConfig::from_variables,
        async |aws, config| aws.ender(config),
        async |ender, event, deadline| {
            let request = event::End::from_json(&event)?;
            lambda::meeting(&request.meeting_id);
            ender.end(&request, deadline).await
        },
    )
    .await
}

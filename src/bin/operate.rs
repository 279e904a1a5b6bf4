//! The function `operate`.

use elephant_core::config::OperateConfig;
use elephant_core::event;
use elephant_launch::metrics::Meter;
use elephant_launch::{lambda, wiring};

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "operate",
        Meter::new,
        OperateConfig::from_variables,
        async |aws, config| aws.operator(config),
        async |operator, event, deadline| {
            let request = event::Operate::from_json(&event)?;
            if let Some(event::Target::RoleRecord(meeting, _)) = &request.target {
                lambda::meeting(meeting);
            }
            operator.operate(&request, deadline).await
        },
    )
    .await
}

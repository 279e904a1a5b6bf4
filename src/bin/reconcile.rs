//! The function `reconcile`. It launches by the verb `launch` itself, so it has all of the configuration of `launch`.

use elephant_core::config::{Config, Problems, ReconcileConfig};
use elephant_core::event;
use elephant_launch::metrics::Meter;
use elephant_launch::wiring;

/// One thread, as for `launch`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    wiring::serve(
        "reconcile",
        Meter::of_sweeps,
        |variable| match (ReconcileConfig::from_variables(variable), Config::from_variables(variable)) {
            (Ok(config), Ok(launch)) => Ok((config, wiring::noted(launch))),
            (config, launch) => Err(Problems::of(config.err(), launch.err())),
        },
        async |aws, (config, launch)| aws.reconciler(config, launch),
        async |reconciler, event, deadline| {
            reconciler.reconcile(&event::Reconcile::from_json(&event)?, deadline).await
        },
    )
    .await
}

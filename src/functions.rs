//! The six functions in one binary. Lambda tells a process its handler, and the handler is the name of a verb: one build,
//! one upload, and one file to look at serve all of them.

use std::pin::Pin;

use elephant_aws::access::variable;
use elephant_core::config::{
    self, Config, EndConfig, OperateConfig, Problems, ReconcileConfig, ScheduleConfig, StatusConfig,
};
use elephant_core::event;
use elephant_core::launch::Answered;
use elephant_core::settings::Function;
use lambda_runtime::Error;
use tracing::info;

use crate::lambda;
use crate::wiring::{noted, refuse, serve};

/// Run the function that the handler names, until Lambda's own API fails.
pub async fn run() -> Result<(), Error> {
    let function = match config::function(variable) {
        Ok(function) => function,
        Err(problems) => return refuse(problems).await,
    };
    // Each in a box of its own: together they would be as large as the largest, and a type too deep for the compiler.
    let serving: Pin<Box<dyn Future<Output = Result<(), Error>>>> = match function {
        Function::Launch => Box::pin(launch()),
        Function::Schedule => Box::pin(schedule()),
        Function::End => Box::pin(end()),
        Function::Reconcile => Box::pin(reconcile()),
        Function::Status => Box::pin(status()),
        Function::Operate => Box::pin(operate()),
    };
    serving.await
}

async fn launch() -> Result<(), Error> {
    serve(
        Function::Launch,
        |variable| Config::from_variables(variable).map(noted),
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

async fn schedule() -> Result<(), Error> {
    serve(
        Function::Schedule,
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

async fn end() -> Result<(), Error> {
    serve(
        Function::End,
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

/// It launches by the verb `launch` itself, so it has all of the configuration of `launch`.
async fn reconcile() -> Result<(), Error> {
    serve(
        Function::Reconcile,
        |variable| match (ReconcileConfig::from_variables(variable), Config::from_variables(variable)) {
            (Ok(config), Ok(launch)) => Ok((config, noted(launch))),
            (config, launch) => Err(Problems::of(config.err(), launch.err())),
        },
        async |aws, (config, launch)| aws.reconciler(config, launch),
        async |reconciler, event, deadline| {
            reconciler.reconcile(&event::Reconcile::from_json(&event)?, deadline).await
        },
    )
    .await
}

async fn status() -> Result<(), Error> {
    serve(
        Function::Status,
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

async fn operate() -> Result<(), Error> {
    serve(
        Function::Operate,
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

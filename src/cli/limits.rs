//! `agentdeck limits`: shows what a box may use, and changes it.

use super::arguments::SetLimits;
use super::context::{Context, unexpected};
use crate::model::environment::Environment;
use crate::model::failure::Failure;
use crate::model::policy::{Limits, show_bytes};
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &SetLimits) -> Result<(), Failure> {
    let client = context.client().await?;
    let limits = Limits {
        cpu_millis: options.cpus,
        memory: options.memory,
        processes: options.pids,
        files: None,
    };
    let environment = if limits == Limits::default() {
        context.environment(&client, &options.name).await?
    } else {
        let request = |target| Request::SetLimits { target, limits: limits.clone() };
        match context.ask(&client, &options.name, request).await? {
            Reply::Environment(environment) => *environment,
            other => return Err(unexpected(&other)),
        }
    };
    if context.output.json {
        return context.output.value(&environment.limits);
    }
    context.output.bytes(describe(&environment).as_bytes())
}

fn describe(environment: &Environment) -> String {
    let Limits { cpu_millis, memory, processes, files } = &environment.limits;
    let rows = [
        ("cpus", cpu_millis.map(|cpu| f64::from(cpu) / 1000.0).map(|cpus| cpus.to_string())),
        ("memory", memory.map(show_bytes)),
        ("pids", processes.map(|count| count.to_string())),
        ("files", files.map(|count| count.to_string())),
    ];
    let row = |(name, value): (&str, Option<String>)| {
        format!("{name:<12}{}\n", value.unwrap_or_else(|| "the engine's own".to_owned()))
    };
    rows.map(row).concat()
}

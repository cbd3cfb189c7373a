//! `agentdeck denied` and `allow`: what the gateway refused an environment, and opening it.

use super::arguments::{Allow, Named};
use super::context::{Context, unexpected};
use super::output::{age, table};
use crate::model::destination::Denial;
use crate::model::failure::Failure;
use crate::model::path::printable;
use crate::proto::{Reply, Request};

const TITLES: [&str; 5] = ["ASKED FOR", "TIMES", "LAST", "OPENED BY", "WHY"];

pub(super) async fn denied(context: &Context, options: &Named) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let environment = context.environment(&client, &options.name).await?;
    if output.json {
        return output.value(&environment.denied);
    }
    if environment.denied.is_empty() {
        output.say("nothing was refused since the server started");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = environment.denied.iter().map(row).collect();
    output.bytes(table(&TITLES, &rows).as_bytes())?;
    if let Some(entry) = environment.denied.iter().find_map(|denial| denial.opens.as_ref()) {
        output.next(&format!("agentdeck allow {} {entry}", environment.name));
    }
    Ok(())
}

fn row(denial: &Denial) -> Vec<String> {
    let opens = denial.opens.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    vec![
        printable(denial.place.as_bytes()),
        denial.count.to_string(),
        age(denial.last),
        opens,
        printable(denial.reason.as_bytes()),
    ]
}

pub(super) async fn allow(context: &Context, options: &Allow) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let entry = &options.entry;
    let request = |target| {
        let entry = entry.clone();
        if options.remove {
            Request::DisallowDestination { target, entry }
        } else {
            Request::AllowDestination { target, entry }
        }
    };
    let environment = match context.ask(&client, &options.name, request).await? {
        Reply::Environment(environment) => *environment,
        other => return Err(unexpected(&other)),
    };
    if output.json {
        return output.value(&environment);
    }
    let name = &environment.name;
    let mode = environment.network.mode;
    output.say(&if options.remove {
        format!("{entry} is no entry of {name} any more; its network is {mode}")
    } else {
        format!("{name} reaches {entry} from now on; its network is {mode}")
    });
    Ok(())
}

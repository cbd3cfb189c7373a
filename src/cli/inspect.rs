//! `agentdeck inspect`: everything known of one environment.

use super::arguments::Named;
use super::context::{Context, unexpected};
use super::ls;
use super::output::{age, lines};
use super::ports;
use crate::model::environment::EnvironmentState;
use crate::model::failure::Failure;
use crate::model::path::printable;
use crate::model::policy::{Aspect, Isolation, show_bytes};
use crate::proto::{Inspection, Reply, Request};

pub(super) async fn run(context: &Context, options: &Named) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = |target| Request::InspectEnvironment { target };
    let inspection = match context.ask(&client, &options.name, request).await? {
        Reply::Inspection(inspection) => inspection,
        other => return Err(unexpected(&other)),
    };
    if context.output.json {
        return context.output.value(&inspection);
    }
    context.output.bytes(describe(&inspection).as_bytes())
}

fn describe(inspection: &Inspection) -> String {
    let environment = &inspection.environment;
    let shown = |path: &std::path::Path| printable(path.as_os_str().as_encoded_bytes());
    let number = |value: Option<u32>| value.map_or("–".to_owned(), |value| value.to_string());
    let command: Vec<String> =
        environment.command.iter().map(|word| printable(word.as_bytes())).collect();
    let branch = environment.base_branch.as_deref().unwrap_or("detached HEAD");
    let allow: Vec<String> = environment.network.allow.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        text.push_str(format!("{name:<12}{}", lines(value)).trim_end());
        text.push('\n');
    };
    row("name", environment.name.as_str());
    row("id", environment.id.as_str());
    row("state", &format!("{} for {}", ls::state(environment), age(environment.state_since)));
    if let Some(why) = why(&environment.state) {
        row("because", &why);
    }
    if let Some(status) = environment.agent_status() {
        let says = status.says.as_ref().map(|says| format!(": {}", printable(says.as_bytes())));
        let (state, age, source) = (status.state, age(status.since), status.source);
        row("agent", &format!("{state} for {age}, by {source}{}", says.unwrap_or_default()));
    }
    row("command", &command.join(" "));
    if environment.resumed {
        row("resumed", "its agent went on with its conversation when it was started last");
    }
    if let Some(task) = &environment.task {
        row("task", &printable(task.as_bytes()));
    }
    row("repository", &shown(&environment.repository));
    let since = environment.onto.as_ref();
    let since = since.map_or_else(String::new, |it| format!(", {} merged since", it.short()));
    row("base", &format!("{} on {branch}{since}", environment.base.short()));
    row("engine", &environment.engine.to_string());
    if let Some(image) = &environment.image {
        row("image", &image.to_string());
    }
    row("limits", &environment.limits.to_string());
    if let Some(usage) = &inspection.usage {
        let (memory, count) = (show_bytes(usage.memory), usage.processes);
        let seconds = usage.cpu.as_secs();
        row("uses", &format!("{memory} in {count} processes, {seconds} s of cpu so far"));
    }
    row("network", &format!("{} {}", environment.network.mode, allow.join(" ")));
    if !inspection.listeners.is_empty() {
        let listeners = inspection.listeners.iter();
        let ports: Vec<String> =
            listeners.map(|it| format!("{} ({})", it.port, ports::program(it))).collect();
        row("ports", &ports.join(", "));
    }
    row("snapshots", &environment.snapshots.to_string());
    row("workspace", &shown(&inspection.workspace));
    row("state in", &shown(&inspection.state_directory));
    row("init pid", &number(inspection.init_pid));
    row("shim", &number(inspection.shim_version));
    row("changes", &inspection.watch);
    if let Some(trouble) = environment.trouble_and_remedy() {
        row("trouble", &trouble);
    }
    for note in &environment.notes {
        row("note", note);
    }
    if let Some(isolation) = &environment.isolation {
        row("isolation", &ls::level(isolation));
        text.push_str(&facts(isolation));
    }
    text
}

/// What brought an environment into its state, where that is known.
fn why(state: &EnvironmentState) -> Option<String> {
    match state {
        EnvironmentState::Paused { reason } => reason.clone(),
        EnvironmentState::Failed { message, hint: None }
        | EnvironmentState::EngineUnreachable { message, .. } => Some(message.clone()),
        EnvironmentState::Failed { message, hint: Some(hint) } => {
            Some(format!("{message}; {hint}"))
        }
        _ => None,
    }
}

/// Every fact by its part of isolation; names in brackets decide nothing.
fn facts(isolation: &Isolation) -> String {
    let mut text = String::new();
    for aspect in Aspect::ALL {
        text.push_str(&format!("  {aspect}\n"));
        for fact in isolation.facts.iter().filter(|fact| fact.aspect == aspect) {
            let name = if fact.counts { fact.name.clone() } else { format!("({})", fact.name) };
            let (state, evidence) = (fact.enforcement.to_string(), lines(&fact.evidence));
            text.push_str(&format!("    {state:<10}{name:<28}{evidence}\n"));
            if let Some(remedy) = fact.remedy.as_ref().filter(|_| !fact.holds()) {
                text.push_str(&format!("{:14}→ {}\n", "", lines(remedy)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::{Enforcement, IsolationFact};

    #[test]
    fn what_stands_still_or_failed_says_why() {
        let full = || Some("the disk is nearly full: /state has room for 3 MiB".to_owned());
        assert_eq!(why(&EnvironmentState::Paused { reason: full() }), full());
        let (message, hint) = ("its record cannot be read".to_owned(), Some("undo".to_owned()));
        let failed = why(&EnvironmentState::Failed { message, hint });
        assert_eq!(failed.as_deref(), Some("its record cannot be read; undo"));
        assert_eq!(why(&EnvironmentState::Paused { reason: None }), None);
        assert_eq!(why(&EnvironmentState::Stopped), None);
    }

    #[test]
    fn every_fact_is_told_with_its_state_and_what_to_do() {
        let fact = IsolationFact::new;
        let isolation = Isolation::of(vec![
            fact(Aspect::Files, "own root", Enforcement::Enforced, "/ is tmpfs"),
            fact(Aspect::Network, "no way past the gateway", Enforcement::Off, "a bridge")
                .remedy("--network open"),
            fact(Aspect::Limits, "memory", Enforcement::Off, "none asked for").aside(),
        ]);
        assert_eq!(ls::level(&isolation), "partial: network");
        let expected = "  files\n    \
                        enforced  own root                    / is tmpfs\n  \
                        processes\n  privileges\n  network\n    \
                        off       no way past the gateway     a bridge\n              \
                        → --network open\n  limits\n    \
                        off       (memory)                    none asked for\n";
        assert_eq!(facts(&isolation), expected);
    }
}

//! What is said to agents, and what came of it.

use clap::{Args, Subcommand};

use crate::model::prompt::PromptId;

#[derive(Debug, Args)]
pub(in crate::cli) struct Send {
    /// Names or ids of the environments, and the text last; - reads it from standard input
    #[arg(required = true, value_name = "NAME… TEXT")]
    pub words: Vec<String>,
    /// To every environment of this repository whose box runs
    #[arg(long)]
    pub all: bool,
    /// How long to wait for a program that cannot take it yet; it stays queued after that
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=600))]
    pub wait: u64,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Prompts {
    /// Only of these, by name or id
    pub names: Vec<String>,
    /// Of every repository
    #[arg(long)]
    pub all: bool,
    #[command(subcommand)]
    pub verb: Option<PromptsVerb>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PromptsVerb {
    /// Take back what waits for an agent, all of it when no number is given
    Cancel(Cancel),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Cancel {
    /// The environment's name, or its id
    pub name: String,
    /// The prompt's number
    #[arg(value_parser = parse_number)]
    pub number: Option<PromptId>,
}

fn parse_number(text: &str) -> Result<PromptId, String> {
    let number = text.trim_start_matches('#').parse();
    number.map(PromptId).map_err(|_| format!("{text:?} is not the number of a prompt"))
}

//! What apply and merge are told.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    /// The environment's name, or its id
    pub name: String,
    /// Only these files, and all beneath these directories
    pub paths: Vec<PathBuf>,
    /// Only this hunk of the one file, by what its @@ line has behind the plus, or by a line
    #[arg(
        long,
        value_name = "LINE[,LINES]",
        value_parser = parse_hunk,
        requires = "paths",
        requires = "snapshot"
    )]
    pub hunk: Option<(u32, Option<u32>)>,
    /// From this snapshot, as diff names it, instead of the workspace as it is now
    #[arg(long, value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
}

/// The first line of a hunk and how many it has, or one of its lines alone.
fn parse_hunk(text: &str) -> Result<(u32, Option<u32>), String> {
    let text = text.trim_start_matches('+');
    let parsed = match text.split_once(',') {
        Some((start, lines)) => start.parse().ok().zip(lines.parse().ok().map(Some)),
        None => text.parse().ok().map(|line| (line, None)),
    };
    parsed.ok_or_else(|| "as in @@ -10,5 +10,7 @@: 10,7".to_owned())
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    /// The environment's name, or its id
    pub name: String,
    /// One commit instead of a merge commit
    #[arg(long, conflicts_with = "rebase")]
    pub squash: bool,
    /// The agent's own commits on top of your branch, and one of what it did not commit
    #[arg(long)]
    pub rebase: bool,
    /// The commit's message, of --rebase for what was not committed; when left out, made from the
    /// agent's own commits, or from what changed
    #[arg(short, long)]
    pub message: Option<String>,
    /// Edit the message first, with the editor that git would open; an empty one cancels
    #[arg(short, long)]
    pub edit: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PullRequest {
    /// The environment's name, or its id
    pub name: String,
    /// Where to push; your branch's own remote when left out
    #[arg(long)]
    pub remote: Option<String>,
    /// The branch's name there; agentdeck/NAME when left out
    #[arg(long)]
    pub branch: Option<String>,
    /// One commit, without the agent's own ones
    #[arg(long)]
    pub squash: bool,
    /// Replace what the branch has
    #[arg(long)]
    pub force: bool,
    /// What it is about; when left out, made from the agent's own commits, or from what changed
    #[arg(short, long)]
    pub message: Option<String>,
    /// Edit that first; an empty one cancels
    #[arg(short, long)]
    pub edit: bool,
    /// Push only
    #[arg(long)]
    pub push_only: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Resolve {
    /// The environment's name, or its id
    pub name: String,
    /// Open no shell
    #[arg(long)]
    pub no_shell: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Undo {
    /// The name or id of what was discarded: it comes back, whatever was decided since
    pub name: Option<String>,
    /// The repository, where it is not the one of this directory; a discard is taken back also
    /// while nothing is there
    #[arg(long, value_name = "DIRECTORY")]
    pub repository: Option<PathBuf>,
}

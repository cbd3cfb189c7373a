//! What apply and merge are told.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    /// The environment's name, or its id
    pub name: String,
    /// Only these files, and all beneath these directories
    pub paths: Vec<PathBuf>,
    /// Only this hunk of the one file, by what its @@ line has behind the plus
    #[arg(long, value_name = "LINE[,LINES]", value_parser = parse_hunk, requires = "paths")]
    pub hunk: Option<(u32, u32)>,
}

/// The first line of a hunk and how many it has.
fn parse_hunk(text: &str) -> Result<(u32, u32), String> {
    let (start, lines) = text.trim_start_matches('+').split_once(',').unwrap_or((text, "1"));
    match (start.parse(), lines.parse()) {
        (Ok(start), Ok(lines)) => Ok((start, lines)),
        _ => Err("as in @@ -10,5 +10,7 @@: 10,7".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    /// The environment's name, or its id
    pub name: String,
    /// The commit's message; made from the agent's own commits when left out
    #[arg(short, long)]
    pub message: Option<String>,
}

//! What comments on lines are told.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct Comments {
    /// The environment's name, or its id
    pub name: String,
    /// Enter those that its agent was not told of into its session, as one message
    #[arg(long)]
    pub send: bool,
    /// Remove the one with this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "send")]
    pub remove: Option<u32>,
}

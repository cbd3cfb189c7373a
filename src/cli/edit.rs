//! A message in the user's own editor, as git asks for one.

use std::io::Write as _;
use std::path::Path;

use tokio::process::Command;

use crate::model::decision::MergeStyle;
use crate::model::failure::{Failure, FailureKind};

/// Where git looks, in its order; then `vi`.
const EDITORS: [&str; 3] = ["GIT_EDITOR", "VISUAL", "EDITOR"];
/// Lines that begin with it are not part of the message.
const COMMENT: char = '#';

/// Has the user edit a draft. Fails when nothing is left of it.
pub(super) async fn message(name: &str, style: MergeStyle, draft: &str) -> Result<String, Failure> {
    let what = match style {
        MergeStyle::Commit => "the merge commit",
        MergeStyle::Squash => "the commit",
        MergeStyle::Rebase => "the commit of what the agent did not commit",
    };
    text(&format!("The message of {what} of {name}"), draft).await
}

/// Has the user edit any text; `title` says what it is.
pub(super) async fn text(title: &str, draft: &str) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(FailureKind::Unavailable, format!("cannot edit the message: {error}"))
    };
    let mut file = tempfile::Builder::new()
        .prefix("agentdeck-merge-")
        .suffix(".txt")
        .tempfile()
        .map_err(cannot)?;
    let text = format!(
        "{}\n\n# {title}. Lines that begin with '#' are left out,\n\
         # and an empty message cancels.\n",
        draft.trim_end()
    );
    file.write_all(text.as_bytes()).map_err(cannot)?;
    edit(file.path()).await?;
    // The editor may have put another file in its place.
    let edited = std::fs::read(file.path()).map_err(cannot)?;
    let message = without_comments(&String::from_utf8_lossy(&edited));
    if message.is_empty() {
        let failure = Failure::new(FailureKind::Invalid, "the message is empty; nothing was done");
        return Err(failure);
    }
    Ok(message)
}

async fn edit(path: &Path) -> Result<(), Failure> {
    let named = |name: &&str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = EDITORS.iter().find_map(named).unwrap_or_else(|| "vi".to_owned());
    // As git has it, the variable is a piece of shell.
    let script = format!("{editor} \"$@\"");
    let status = Command::new("sh").args(["-c", &script, &editor]).arg(path).status().await;
    let failed = |why: String| {
        let message = format!("the editor {editor:?} {why}; nothing was done");
        Failure::new(FailureKind::Unavailable, message).hint("give the message with -m")
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("ended with {status}"))),
        Err(error) => Err(failed(format!("cannot be started: {error}"))),
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with(COMMENT)).map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_around_are_no_message() {
        assert_eq!(without_comments("\nsubject  \n\nbody\n# a comment\n"), "subject\n\nbody");
        assert_eq!(without_comments("# only\n\n  \n"), "");
    }
}

//! Hooks of the user's repository that a merge did not run, run where they can do no harm: in the box,
//! in a shell that a person sees and that stays when they have ended.

use std::sync::Arc;
use std::time::Duration;

use super::deciding::repository_of;
use super::exec;
use super::shared::{Shared, blocking};
use super::shells;
use super::state::Record;
use crate::model::decision::{Hook, MergeStyle};
use crate::model::environment::Variable;
use crate::model::failure::{Failure, FailureKind};
use crate::model::screen::Size;
use crate::proto::{Reply, Target};
use crate::repo::taking::hooks;

/// Putting a script into the box takes a moment; more is stuck.
const DEADLINE: Duration = Duration::from_secs(30);
/// Writes standard input to a file that may be run, and prints its path. Not every image has a /tmp
/// that everybody may write in.
const PUT: &str = r#"
for directory in /tmp "$HOME"; do [ -w "$directory" ] && break; done
file=$directory/agentdeck-hooks/$1
mkdir -p "${file%/*}" && cat >"$file" && chmod 700 "$file" && printf %s "$file"
"#;

/// Runs each hook with what git would give it, says how it ended, and becomes a shell.
const RUN: &str = r#"
message=$1; shift
for hook do
  name=${hook##*/}
  printf '\n\033[1m$ %s\033[0m\n' "$name"
  case $name in
    commit-msg) "$hook" "$message" ;;
    prepare-commit-msg) "$hook" "$message" message ;;
    pre-rebase) "$hook" HEAD ;;
    post-merge) "$hook" 0 ;;
    post-rewrite) "$hook" rebase </dev/null ;;
    *) "$hook" ;;
  esac
  printf '\033[1m%s ended with %s\033[0m\n' "$name" $?
done
case $0 in */busybox) exec "$0" sh ;; esac
exec "$0"
"#;

/// The hooks of each style, for a draft.
pub(super) async fn skipped(record: &Record) -> Vec<(MergeStyle, Vec<Hook>)> {
    let record = record.clone();
    let found = blocking(move || {
        let user = repository_of(&record)?;
        let of = |style| (style, hooks::skipped(&user, style));
        Ok(MergeStyle::ALL.map(of).to_vec())
    });
    // A draft that says less is better than none.
    found.await.unwrap_or_default()
}

/// Opens a shell in the box that runs what a merge of this style does not.
pub(super) async fn run(
    shared: &Arc<Shared>,
    target: Target,
    (style, message): (MergeStyle, &str),
    size: Size,
    variables: Vec<Variable>,
) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    shared.wait_for_link(&record.environment).await?;
    let task = record.clone();
    let found = blocking(move || {
        let user = repository_of(&task)?;
        let of = |hook: Hook| {
            let content = if hook.is_in_box() { None } else { hooks::content(&user, &hook) };
            (hook, content)
        };
        Ok(hooks::skipped(&user, style).into_iter().map(of).collect::<Vec<_>>())
    });
    let found = found.await?;
    if found.is_empty() {
        let message = format!("your repository has no hook that a {} skips", style.word());
        return Err(Failure::new(FailureKind::NotFound, message));
    }
    let mut arguments = vec![put(shared, &record, "COMMIT_EDITMSG", message.as_bytes()).await?];
    for (hook, content) in found {
        arguments.push(match content {
            Some(content) => put(shared, &record, &hook.name, &content).await?,
            None => format!("./{}", hook.path.display()),
        });
    }
    shells::run(shared, &record, size, variables, Some((RUN, &arguments))).await
}

/// Puts a file into the box; answers where it is there.
async fn put(
    shared: &Arc<Shared>,
    record: &Record,
    name: &str,
    content: &[u8],
) -> Result<String, Failure> {
    let command = ["sh", "-c", PUT, "sh", name].map(str::to_owned).to_vec();
    let place = exec::give(shared, record, command, content, DEADLINE).await?;
    Ok(String::from_utf8_lossy(&place).into_owned())
}

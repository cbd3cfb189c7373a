//! The hooks that git would have run and we do not: named, so that nobody believes they passed.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::user::UserRepository;
use crate::model::decision::{Hook, MergeStyle};

/// A hook is a script, or a program of a few megabytes.
const LARGEST: u64 = 16 << 20;

/// What git runs on the way of each style, in its order.
const COMMIT: [&str; 4] = ["pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-merge"];
const SQUASH: [&str; 4] = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"];
const REBASE: [&str; 5] =
    ["pre-rebase", "pre-commit", "prepare-commit-msg", "commit-msg", "post-rewrite"];

/// The hooks of the user's repository that a merge of this style skips, in git's order.
pub fn skipped(user: &UserRepository, style: MergeStyle) -> Vec<Hook> {
    let repository = user.reader();
    let configured = repository.config_snapshot().trusted_path("core.hooksPath");
    let directory = match configured.ok().flatten() {
        Some(path) => user.root().join(path),
        None => repository.common_dir().join("hooks"),
    };
    let names: &[&str] = match style {
        MergeStyle::Commit => &COMMIT,
        MergeStyle::Squash => &SQUASH,
        MergeStyle::Rebase => &REBASE,
    };
    let found = names.iter().map(|name| (name, directory.join(name)));
    let found = found.filter(|(_, path)| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    });
    let beneath = |path: PathBuf| {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        canonical.strip_prefix(user.root()).map_or(path, Path::to_owned)
    };
    found.map(|(name, path)| Hook { name: (*name).to_owned(), path: beneath(path) }).collect()
}

/// What a hook holds; `None` for one that is no file of a hook's size.
pub fn content(user: &UserRepository, hook: &Hook) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let file = std::fs::File::open(user.root().join(&hook.path)).ok()?;
    file.take(LARGEST + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= LARGEST).then_some(content)
}

//! What git itself has under way in a working tree, which its owner ends first: what is there is half
//! of something, and an abort would take back with it what was taken meanwhile.

use gix::state::InProgress;

use super::perform::Site;
use crate::model::failure::{Failure, FailureKind};

pub(super) fn refuse_in_progress(site: &Site<'_>) -> Result<(), Failure> {
    let (what, hint) = match site.repository.state() {
        None => return Ok(()),
        Some(InProgress::Merge) => ("a merge", ends("merge")),
        Some(InProgress::Rebase | InProgress::RebaseInteractive) => ("a rebase", ends("rebase")),
        Some(InProgress::CherryPick | InProgress::CherryPickSequence) => {
            ("a cherry-pick", ends("cherry-pick"))
        }
        Some(InProgress::Revert | InProgress::RevertSequence) => ("a revert", ends("revert")),
        Some(InProgress::ApplyMailbox | InProgress::ApplyMailboxRebase) => {
            ("a series of patches", ends("am"))
        }
        Some(InProgress::Bisect) => ("a bisect", "end it first: git bisect reset".to_owned()),
    };
    let message = format!("{what} is in progress in {}", site.user.root().display());
    Err(Failure::new(FailureKind::Refused, message).hint(hint))
}

fn ends(command: &str) -> String {
    format!("finish or abort it first: git {command} --continue, or git {command} --abort")
}

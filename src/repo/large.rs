//! Which files git-lfs keeps, asked of the place that an environment's work goes to.
//!
//! The commit that the work is a change of and the branch that takes it may say different things of
//! a path. What stands there afterwards decides: the attributes of the branch with what the work
//! changes in them, so that git finds nothing to do where it stores or checks out what was taken.
//! Where git-lfs is not installed, git would make no pointer: then only files that the base calls
//! large are, which no agent wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::convert::Rules;
use super::merge::text::{self, Manner};
use super::rules::UserRules;
use super::stored::Attributes;

/// What is known of large files in one tree.
pub(super) struct LargeFiles {
    /// By the attributes of the tree.
    there: Rules,
    /// By those of the base, where git-lfs is not installed.
    base: Option<Rules>,
}

impl LargeFiles {
    pub(super) fn new(user: &UserRules, there: &[Attributes], base: &[Attributes]) -> Self {
        let base = (!user.keeps_large).then(|| Rules::of_files(user, base));
        Self { there: Rules::of_files(user, there), base }
    }

    /// Whether a pointer stands at a path in git's terms.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.there.is_large(path) && self.base.as_ref().is_none_or(|base| base.is_large(path))
    }
}

/// The attribute files of `onto` with what leads from `base` to `own`, all as git stores them. Where
/// both changed one in ways that do not fit, so that nothing is taken, it is as `own` has it.
pub(super) fn brought(
    base: &[Attributes],
    onto: &[Attributes],
    own: &[Attributes],
) -> Vec<Attributes> {
    let [base, onto, own] = [base, onto, own].map(by_directory);
    let directories: BTreeSet<&[u8]> = onto.keys().chain(own.keys()).copied().collect();
    let mut files = Vec::with_capacity(directories.len());
    for directory in directories {
        let [base, onto, own] = [&base, &onto, &own].map(|files| files.get(directory).copied());
        let content = match (base, onto, own) {
            _ if own == base => onto.map(<[u8]>::to_vec),
            (Some(base), Some(onto), Some(own)) if onto != base => {
                let contents = [base.to_vec(), onto.to_vec(), own.to_vec()];
                Some(text::merge(Manner::Lines, &contents).unwrap_or_else(|| own.to_vec()))
            }
            _ => own.map(<[u8]>::to_vec),
        };
        files.extend(content.map(|content| (directory.to_vec(), content)));
    }
    // A parent's path is shorter than its children's.
    files.sort_by_key(|(directory, _)| directory.len());
    files
}

fn by_directory(files: &[Attributes]) -> BTreeMap<&[u8], &[u8]> {
    files.iter().map(|(directory, content)| (directory.as_slice(), content.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branchs_attributes_get_what_the_work_changed_in_them() {
        let file = |text: &str| vec![(b"d".to_vec(), text.as_bytes().to_vec())];
        let (base, ours) = (file("1\n2\n3\n4\n5\n"), file("one\n2\n3\n4\n5\n"));
        for (onto, own, expected) in [
            (&base, file("1\n2\n3\n4\nfive\n"), file("1\n2\n3\n4\nfive\n")),
            (&ours, base.clone(), ours.clone()),
            (&ours, file("1\n2\n3\n4\nfive\n"), file("one\n2\n3\n4\nfive\n")),
            (&ours, file("uno\n2\n3\n4\n5\n"), file("uno\n2\n3\n4\n5\n")),
            (&base, Vec::new(), Vec::new()),
            (&Vec::new(), base.clone(), Vec::new()),
        ] {
            assert_eq!(brought(&base, onto, &own), expected, "{own:?} onto {onto:?}");
        }
    }
}

//! Any file operations: the snapshot's tree is the directory byte for byte, whether it was taken by
//! paths or by a walk, and a second one finds nothing; what would be taken is what git makes of it.

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

/// Few names, so that operations meet: files become directories, directories links.
const NAMES: [&str; 6] = ["a", "b", "c.log", "d.txt", "ü", "e f"];

/// What the base says of its files.
const ATTRIBUTES: [&str; 4] = [
    "*.txt text eol=lf\n",
    "* text=auto eol=crlf\n",
    "*.txt text eol=crlf ident\n",
    "* text\nb/** -text\n",
];

#[derive(Clone, Debug)]
enum Operation {
    Write { path: Vec<usize>, content: u8, crlf: bool },
    Link { path: Vec<usize>, target: usize },
    Remove { path: Vec<usize> },
    Rename { from: Vec<usize>, to: Vec<usize> },
    Executable { path: Vec<usize>, on: bool },
    Rules { directory: Vec<usize>, rules: usize },
}

/// What an agent says of files.
const RULES: [&str; 7] = ["*\n", "a\n!b\n", "c.log/\n", "/d.txt\n", "!*.log\n", "*.txt\n", ""];

fn path() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..NAMES.len(), 1..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (path(), any::<u8>(), any::<bool>())
            .prop_map(|(path, content, crlf)| Operation::Write { path, content, crlf }),
        1 => (path(), 0..NAMES.len()).prop_map(|(path, target)| Operation::Link { path, target }),
        2 => path().prop_map(|path| Operation::Remove { path }),
        2 => (path(), path()).prop_map(|(from, to)| Operation::Rename { from, to }),
        1 => (path(), any::<bool>()).prop_map(|(path, on)| Operation::Executable { path, on }),
        1 => (prop::collection::vec(0..NAMES.len(), 0..3), 0..RULES.len())
            .prop_map(|(directory, rules)| Operation::Rules { directory, rules }),
    ]
}

fn text(path: &[usize]) -> String {
    path.iter().map(|index| NAMES[*index]).collect::<Vec<_>>().join("/")
}

/// Whether a path leads through a link: the notice of a change there would name another path.
fn leads_through_link(root: &Path, path: &[usize]) -> bool {
    (1..=path.len()).any(|length| {
        let part = root.join(text(&path[..length]));
        part.symlink_metadata().is_ok_and(|found| found.is_symlink())
    })
}

/// Does what can be done of an operation; gives back the paths a watcher would name.
fn perform(root: &Path, operation: &Operation) -> Vec<String> {
    let through = match operation {
        Operation::Write { path, .. } | Operation::Executable { path, .. } => {
            leads_through_link(root, path)
        }
        Operation::Link { path, .. } | Operation::Remove { path } => {
            leads_through_link(root, &path[..path.len() - 1])
        }
        Operation::Rules { directory, .. } => leads_through_link(root, directory),
        Operation::Rename { from, to } => {
            leads_through_link(root, &from[..from.len() - 1])
                || leads_through_link(root, &to[..to.len() - 1])
        }
    };
    if through {
        return Vec::new();
    }
    let parent = |path: &Path| std::fs::create_dir_all(path.parent().expect("a parent"));
    match operation {
        Operation::Write { path, content, crlf } => {
            let (name, end) = (text(path), if *crlf { "\r\n" } else { "\n" });
            if parent(&root.join(&name)).is_ok() {
                let _ = std::fs::write(root.join(&name), format!("{content}{end}x{end}"));
            }
            vec![name]
        }
        Operation::Link { path, target } => {
            let name = text(path);
            if parent(&root.join(&name)).is_ok() {
                let _ = symlink(NAMES[*target], root.join(&name));
            }
            vec![name]
        }
        Operation::Remove { path } => {
            let name = text(path);
            if std::fs::remove_file(root.join(&name)).is_err() {
                let _ = std::fs::remove_dir_all(root.join(&name));
            }
            vec![name]
        }
        Operation::Rename { from, to } => {
            let (from, to) = (text(from), text(to));
            let _ = std::fs::rename(root.join(&from), root.join(&to));
            vec![from, to]
        }
        Operation::Rules { directory, rules } => {
            let name = [text(directory).as_str(), ".gitignore"].join("/");
            let name = name.trim_start_matches('/').to_owned();
            if parent(&root.join(&name)).is_ok() {
                let _ = std::fs::write(root.join(&name), RULES[*rules]);
            }
            vec![name]
        }
        Operation::Executable { path, on } => {
            let name = text(path);
            // Links are written through by chmod; what they lead to would have no notice.
            if root.join(&name).symlink_metadata().is_ok_and(|found| found.is_file()) {
                let mode = std::fs::Permissions::from_mode(if *on { 0o755 } else { 0o644 });
                let _ = std::fs::set_permissions(root.join(&name), mode);
            }
            vec![name]
        }
    }
}

/// A notice names every directory on the way that was made.
fn with_parents(paths: Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    for path in paths {
        let first = path.split('/').next().expect("a first part").to_owned();
        all.push(first);
        all.push(path);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each makes a repository, so it is a tenth of what is asked for.
        cases: ProptestConfig::default().cases.div_ceil(10),
        max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_snapshot_is_the_directory_and_what_is_taken_is_what_git_makes_of_it(
        rounds in prop::collection::vec(prop::collection::vec(operation(), 1..8), 1..4),
        walk in any::<bool>(),
        attributes in prop::sample::select(ATTRIBUTES.to_vec()),
    ) {
        let fixture = Fixture::new(|root| {
            write(root, ".gitattributes", attributes.as_bytes());
            write(root, ".gitignore", b"*.log\n/b/a\n");
            write(root, "a/a", b"1\n");
            write(root, "a/d.txt", b"2\n");
            write(root, "b/d.txt", b"3\n");
        });
        let mut last = fixture.first.tree.clone();
        let mut head = fixture.first.id.clone();
        for round in rounds {
            let root = fixture.workspace();
            let paths: Vec<String> =
                round.iter().flat_map(|operation| perform(&root, operation)).collect();
            let paths = with_parents(paths);
            let touched = if walk {
                Touched::Everything
            } else {
                touched(&paths.iter().map(String::as_str).collect::<Vec<_>>())
            };
            if let Some(taken) = fixture.take(&touched) {
                last = taken.tree;
                head = taken.id;
            }
            prop_assert_eq!(last.as_str(), fixture.exact_tree_by_git());
            prop_assert_eq!(fixture.stored(&head), fixture.tree_by_git());
            prop_assert_eq!(fixture.take(&touched), None);
            prop_assert_eq!(fixture.take(&Touched::Everything), None);
        }
    }
}

//! Trees as two sides may change them: few names and few lines, so that changes meet.

use std::fmt::Write as _;

use gix::objs::tree::EntryKind;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::repo::oracle::Files;

/// Two sides that changed one base.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub base: Files,
    pub ours: Files,
    pub theirs: Files,
    changes: (Vec<Change>, Vec<Change>),
}

/// Names that are files, and directories of others.
const NAMES: [&str; 9] = ["a", "b", "c", "d/e", "d/f", "d/g/h", "s/t", "s/u", "x"];
const DIRECTORIES: [&str; 4] = ["d", "s", "n", "d/g"];

#[derive(Clone, Debug)]
enum Change {
    Replace { file: Index, line: Index, with: String },
    Insert { file: Index, line: Index, with: String },
    Cut { file: Index, line: Index, count: usize },
    Append { file: Index, with: String },
    Rename { file: Index, to: &'static str },
    RenameDirectory { file: Index, to: &'static str },
    Delete { file: Index },
    Add { name: &'static str, content: Vec<u8> },
    Executable { file: Index },
    Link { file: Index, target: &'static str },
    Binary { file: Index, byte: u8 },
    IntoDirectory { file: Index },
    IntoFile { file: Index, content: Vec<u8> },
    Copy { file: Index, to: &'static str },
}

impl Change {
    fn kind(&self) -> &'static str {
        match self {
            Self::Replace { .. } | Self::Insert { .. } | Self::Cut { .. } | Self::Append { .. } => {
                "edit"
            }
            Self::Rename { .. } => "rename",
            Self::RenameDirectory { .. } => "rename directory",
            Self::Delete { .. } => "delete",
            Self::Add { .. } => "add",
            Self::Executable { .. } => "mode",
            Self::Link { .. } => "link",
            Self::Binary { .. } => "binary",
            Self::IntoDirectory { .. } => "into directory",
            Self::IntoFile { .. } => "into file",
            Self::Copy { .. } => "copy",
        }
    }

    fn apply(&self, files: &mut Files) {
        match self {
            Self::Replace { file, line, with } => edit(files, *file, |lines| {
                if !lines.is_empty() {
                    let at = line.index(lines.len());
                    lines[at].clone_from(with);
                }
            }),
            Self::Insert { file, line, with } => edit(files, *file, |lines| {
                lines.insert(line.index(lines.len() + 1), with.clone());
            }),
            Self::Cut { file, line, count } => edit(files, *file, |lines| {
                let from = line.index(lines.len() + 1);
                let to = (from + count).min(lines.len());
                lines.drain(from..to);
            }),
            Self::Append { file, with } => edit(files, *file, |lines| lines.push(with.clone())),
            Self::Rename { file, to } => {
                if let Some(path) = pick(files, *file) {
                    let entry = files.remove(&path).expect("picked");
                    put(files, to.as_bytes(), entry);
                }
            }
            Self::RenameDirectory { file, to } => {
                let Some(path) = pick(files, *file) else { return };
                let Some(slash) = path.iter().position(|byte| *byte == b'/') else { return };
                let prefix = path[..=slash].to_vec();
                let inside: Vec<Vec<u8>> =
                    files.keys().filter(|path| path.starts_with(&prefix)).cloned().collect();
                let moved: Vec<_> = inside
                    .into_iter()
                    .map(|path| (path.clone(), files.remove(&path).expect("listed")))
                    .collect();
                for (path, entry) in moved {
                    let name = [to.as_bytes(), &path[slash..]].concat();
                    put(files, &name, entry);
                }
            }
            Self::Delete { file } => {
                if let Some(path) = pick(files, *file) {
                    files.remove(&path);
                }
            }
            Self::Add { name, content } => {
                put(files, name.as_bytes(), (EntryKind::Blob, content.clone()));
            }
            Self::Executable { file } => {
                if let Some(entry) = pick(files, *file).and_then(|path| files.get_mut(&path)) {
                    entry.0 = match entry.0 {
                        EntryKind::Blob => EntryKind::BlobExecutable,
                        EntryKind::BlobExecutable => EntryKind::Blob,
                        other => other,
                    };
                }
            }
            Self::Link { file, target } => {
                if let Some(entry) = pick(files, *file).and_then(|path| files.get_mut(&path)) {
                    *entry = (EntryKind::Link, target.as_bytes().to_vec());
                }
            }
            Self::Binary { file, byte } => {
                if let Some(entry) = pick(files, *file).and_then(|path| files.get_mut(&path))
                    && entry.0 != EntryKind::Link
                {
                    entry.1.extend([0, *byte]);
                }
            }
            Self::IntoDirectory { file } => {
                if let Some(path) = pick(files, *file) {
                    let entry = files.remove(&path).expect("picked");
                    put(files, &[&path, b"/inner".as_slice()].concat(), entry);
                }
            }
            Self::IntoFile { file, content } => {
                let Some(path) = pick(files, *file) else { return };
                let Some(slash) = path.iter().position(|byte| *byte == b'/') else { return };
                put(files, &path[..slash], (EntryKind::Blob, content.clone()));
            }
            Self::Copy { file, to } => {
                if let Some(entry) = pick(files, *file).and_then(|path| files.get(&path)).cloned() {
                    put(files, to.as_bytes(), entry);
                }
            }
        }
    }
}

fn pick(files: &Files, index: Index) -> Option<Vec<u8>> {
    (!files.is_empty()).then(|| files.keys().nth(index.index(files.len())).expect("there").clone())
}

/// Puts a file where it may replace a file, a directory, or a parent that is a file.
fn put(files: &mut Files, path: &[u8], entry: (EntryKind, Vec<u8>)) {
    let below = [path, b"/"].concat();
    files.retain(|other, _| {
        !other.starts_with(&below) && !path.starts_with(&[other.as_slice(), b"/"].concat())
    });
    files.insert(path.to_vec(), entry);
}

/// Changes the lines of a text.
fn edit(files: &mut Files, file: Index, change: impl FnOnce(&mut Vec<String>)) {
    let Some(entry) = pick(files, file).and_then(|path| files.get_mut(&path)) else { return };
    if entry.0 == EntryKind::Link || entry.1.contains(&0) {
        return;
    }
    let text = String::from_utf8(entry.1.clone()).expect("text");
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    entry.1 = lines.concat().into_bytes();
}

/// A line that occurs often.
fn common() -> impl Strategy<Value = String> {
    select(vec!["1\n", "2\n", "3\n", "}\n", "\n", "  x\n"]).prop_map(str::to_owned)
}

/// A line that hardly occurs twice.
fn rare() -> impl Strategy<Value = String> {
    (0..400_u32).prop_map(|number| format!("line {number}\n"))
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![2 => common(), 2 => rare(), 1 => Just("end".to_owned()), 1 => Just("cr\r\n".to_owned())]
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let text = |lines: Vec<String>| lines.concat().into_bytes();
    let numbered = |(which, count): (u32, usize)| {
        let lines = (0..count).map(|number| format!("{which} has line {number}\n"));
        lines.collect::<String>().into_bytes()
    };
    let blocks = |count: usize| {
        let block = |number| format!("fn f{number}() {{\n    call();\n}}\n\n");
        (0..count).map(block).collect::<String>().into_bytes()
    };
    prop_oneof![
        4 => prop::collection::vec(common(), 0..12).prop_map(text),
        3 => (0..4_u32, 1..30_usize).prop_map(numbered),
        2 => prop::collection::vec(line(), 1..20).prop_map(text),
        2 => (1..6_usize).prop_map(blocks),
        1 => prop::collection::vec(0..4_u8, 0..40),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let file = any::<Index>;
    let name = || select(NAMES.to_vec());
    prop_oneof![
        4 => (file(), any::<Index>(), line())
            .prop_map(|(file, line, with)| Change::Replace { file, line, with }),
        4 => (file(), any::<Index>(), line())
            .prop_map(|(file, line, with)| Change::Insert { file, line, with }),
        3 => (file(), any::<Index>(), 1..4_usize)
            .prop_map(|(file, line, count)| Change::Cut { file, line, count }),
        2 => (file(), line()).prop_map(|(file, with)| Change::Append { file, with }),
        3 => (file(), name()).prop_map(|(file, to)| Change::Rename { file, to }),
        1 => (file(), select(DIRECTORIES.to_vec()))
            .prop_map(|(file, to)| Change::RenameDirectory { file, to }),
        2 => file().prop_map(|file| Change::Delete { file }),
        3 => (name(), content()).prop_map(|(name, content)| Change::Add { name, content }),
        1 => file().prop_map(|file| Change::Executable { file }),
        1 => (file(), name()).prop_map(|(file, target)| Change::Link { file, target }),
        1 => (file(), any::<u8>()).prop_map(|(file, byte)| Change::Binary { file, byte }),
        1 => file().prop_map(|file| Change::IntoDirectory { file }),
        1 => (file(), content()).prop_map(|(file, content)| Change::IntoFile { file, content }),
        1 => (file(), name()).prop_map(|(file, to)| Change::Copy { file, to }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let files = prop::collection::vec((select(NAMES.to_vec()), content()), 1..6);
    let side = || prop::collection::vec(change(), 1..4);
    (files, side(), side()).prop_map(|(list, one, other)| {
        let mut base = Files::new();
        for (name, content) in list {
            put(&mut base, name.as_bytes(), (EntryKind::Blob, content));
        }
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        for change in &one {
            change.apply(&mut ours);
        }
        for change in &other {
            change.apply(&mut theirs);
        }
        Case { base, ours, theirs, changes: (one, other) }
    })
}

/// As many cases, the same ones for a seed that is named.
pub(super) fn cases(count: usize) -> Vec<Case> {
    let seed: u64 =
        std::env::var("AGENTDECK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = case();
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a case").current()).collect()
}

impl Case {
    pub fn kinds(&self) -> String {
        let side = |changes: &[Change]| {
            let mut kinds: Vec<&str> = changes.iter().map(Change::kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds.join("+")
        };
        let mut sides = [side(&self.changes.0), side(&self.changes.1)];
        sides.sort();
        sides.join(" | ")
    }

    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (title, files) in [("base", &self.base), ("ours", &self.ours), ("theirs", &self.theirs)]
        {
            let _ = writeln!(text, "{title}:");
            for (path, (kind, content)) in files {
                let path = String::from_utf8_lossy(path);
                let content = String::from_utf8_lossy(content);
                let _ = writeln!(text, "  {path} {kind:?} {content:?}");
            }
        }
        text
    }
}

use std::collections::BTreeMap;

use gix::objs::tree::EntryKind;
use proptest::prelude::*;

use super::*;
use crate::repo::oracle::{Files, Oracle};

const NAMES: [&[u8]; 10] = [
    b"a",
    b"b c",
    b"d/e",
    b"d/f g.txt",
    b"q\"uote",
    b"tab\there",
    b"caf\xc3\xa9",
    b"bad\xff",
    b"back\\slash",
    b"deep/er/file",
];

fn content() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec!["one", "two", "three", "", "four four", "\tfive"]);
    prop_oneof![
        8 => (prop::collection::vec(line, 0..14), any::<bool>()).prop_map(|(lines, newline)| {
            let mut text = lines.join("\n").into_bytes();
            if newline && !text.is_empty() {
                text.push(b'\n');
            }
            text
        }),
        1 => prop::collection::vec(any::<u8>(), 1..40),
    ]
}

fn entry() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let kinds = vec![EntryKind::Blob, EntryKind::Blob, EntryKind::BlobExecutable];
    prop_oneof![
        6 => (prop::sample::select(kinds), content()),
        1 => Just((EntryKind::Link, b"some/target".to_vec())),
        1 => Just((EntryKind::Link, b"a".to_vec())),
    ]
}

fn files() -> impl Strategy<Value = Files> {
    prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), entry(), 0..8)
        .prop_map(|files| files.into_iter().map(|(path, entry)| (path.to_vec(), entry)).collect())
}

/// A second tree near the first: some entries kept, some renamed, some replaced.
fn pair() -> impl Strategy<Value = (Files, Files)> {
    let moves = prop::collection::vec((any::<prop::sample::Index>(), 0..NAMES.len()), 0..3);
    (files(), files(), moves, any::<bool>()).prop_map(|(old, other, moves, keep)| {
        let mut new = if keep { old.clone() } else { BTreeMap::new() };
        new.extend(other);
        for (from, to) in moves {
            if let Some(key) = (!new.is_empty())
                .then(|| new.keys().nth(from.index(new.len())).expect("a key").clone())
            {
                let entry = new.remove(&key).expect("a key of the map");
                new.insert(NAMES[to].to_vec(), entry);
            }
        }
        (old, new)
    })
}

fn patch(
    oracle: &Oracle,
    (old, new): (&Files, &Files),
    detail: Detail,
) -> (CommitId, CommitId, Vec<u8>) {
    let (from, to) = (oracle.tree(old), oracle.tree(new));
    let diff = commits(&oracle.open(), &from, &to, detail).expect("a diff");
    let mut patch = Vec::new();
    diff.write_unified(&mut patch);
    (from, to, patch)
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each makes a repository and runs git in it, so it is a tenth of what is asked for.
        cases: ProptestConfig::default().cases.div_ceil(10).max(64), ..ProptestConfig::default()
    })]

    #[test]
    fn git_apply_takes_our_patch_from_one_tree_to_the_other((old, new) in pair()) {
        let oracle = Oracle::new();
        let (from, to, patch) = patch(&oracle, (&old, &new), Detail::Patch);
        // Nothing is there but the older side.
        let other = Oracle::new();
        prop_assert_eq!(&other.tree(&old), &from);
        other.git(["read-tree", from.as_str()]);
        if !patch.is_empty() {
            let output = other.feed(["apply", "--cached", "-"], &patch);
            prop_assert!(output.status.success(), "{}\n{}",
                String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&patch));
        }
        prop_assert_eq!(other.git(["write-tree"]), to.as_str());
    }
}

#[test]
fn the_patch_equals_git_diff_but_for_the_headings_of_hunks() {
    let text = |lines: &[&str]| (EntryKind::Blob, lines.join("\n").into_bytes());
    let twenty: Vec<String> = (0..20).map(|line| format!("line {line}")).collect();
    let mut changed = twenty.clone();
    changed[4] = "changed".into();
    changed.insert(17, "inserted".into());
    let old: Files = BTreeMap::from([
        (b"gone".to_vec(), text(&["a", "b", ""])),
        (b"kept".to_vec(), (EntryKind::Blob, twenty.join("\n").into_bytes())),
        (b"old name".to_vec(), text(&["moved", "as", "it", "is", ""])),
        (b"script".to_vec(), text(&["#!/bin/sh", ""])),
        (b"binary".to_vec(), (EntryKind::Blob, b"\0one".to_vec())),
    ]);
    let new: Files = BTreeMap::from([
        (b"kept".to_vec(), (EntryKind::Blob, changed.join("\n").into_bytes())),
        (b"new name".to_vec(), text(&["moved", "as", "it", "is", ""])),
        (b"script".to_vec(), (EntryKind::BlobExecutable, b"#!/bin/sh\n".to_vec())),
        (b"binary".to_vec(), (EntryKind::Blob, b"\0two".to_vec())),
        (b"em\"pty".to_vec(), text(&[""])),
        (b"link".to_vec(), (EntryKind::Link, b"kept".to_vec())),
    ]);
    let oracle = Oracle::new();
    let (from, to, patch) = patch(&oracle, (&old, &new), Detail::Lines);
    let theirs =
        oracle.git(["diff", "--full-index", "--histogram", "-M", from.as_str(), to.as_str()]);
    let bare = |text: &str| -> Vec<String> {
        let strip = |line: &str| match line.rfind(" @@ ") {
            Some(at) if line.starts_with("@@ ") => line[..at + 3].to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(strip).collect()
    };
    assert_eq!(bare(&String::from_utf8_lossy(&patch)), bare(&theirs));
}

#[test]
fn binary_and_very_large_files_are_named_with_their_sizes() {
    let one = |content: Vec<u8>| Files::from([(b"x".to_vec(), (EntryKind::Blob, content))]);
    let oracle = Oracle::new();
    let large = vec![b'x'; MAX_TEXT as usize + 1];
    let (from, to) = (oracle.tree(&one(b"a\0b".to_vec())), oracle.tree(&one(large.clone())));
    let binary = oracle.tree(&one(b"text".to_vec()));
    let content = |from, to| {
        let diff = commits(&oracle.open(), from, to, Detail::Lines);
        diff.expect("a diff").files.remove(0).content
    };
    assert_eq!(content(&from, &binary), DiffContent::Binary { old: 3, new: 4 });
    assert_eq!(content(&from, &to), DiffContent::TooLarge { old: 3, new: large.len() as u64 });
    // One that is counted has no lines, and says so in the same way.
    let counted = |to| commits(&oracle.open(), &from, to, Detail::Counted).expect("a diff");
    assert_eq!(counted(&binary).files[0].content, DiffContent::Binary { old: 3, new: 4 });
    let too_large = DiffContent::TooLarge { old: 3, new: large.len() as u64 };
    assert_eq!(counted(&to).files[0].content, too_large);
}

#[test]
fn texts_of_utf_16_have_lines_and_are_binary_in_a_patch() {
    let one = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_be_bytes);
        Files::from([(b"x".to_vec(), (EntryKind::Blob, units.collect()))])
    };
    let oracle = Oracle::new();
    let (from, to) = (oracle.tree(&one("one\ntwo\n")), oracle.tree(&one("one\n\u{fc}\u{200b}\n")));
    let read = |detail| commits(&oracle.open(), &from, &to, detail).expect("a diff");
    let diff = read(Detail::Lines);
    let file = &diff.files[0];
    assert_eq!(file.encoding, Some(TextEncoding::Utf16Be));
    assert_eq!((file.added, file.removed), (1, 1));
    assert_eq!(file.cautions, [Caution::Invisible { line: 2 }]);
    let counted = read(Detail::Counted).files.remove(0);
    assert_eq!((counted.added, counted.content), (1, DiffContent::Unread));
    let (mut patch, mut lines) = (Vec::new(), Vec::new());
    diff.write_unified(&mut patch);
    diff.write_lines(&mut lines);
    let (patch, lines) = (String::from_utf8(patch), String::from_utf8(lines));
    let (patch, lines) = (patch.expect("text"), lines.expect("text"));
    let theirs = oracle.git(["diff", "--full-index", from.as_str(), to.as_str()]);
    assert_eq!(patch.trim_end(), theirs);
    assert!(lines.contains("\n one\n-two\n+\u{fc}\u{200b}\n"), "{lines}");
}

#[test]
fn a_large_file_that_is_asked_for_by_itself_is_compared() {
    let oracle = Oracle::new();
    let one = |content: Vec<u8>| Files::from([(b"x".to_vec(), (EntryKind::Blob, content))]);
    let old = b"a line of text\n".repeat(MAX_TEXT as usize / 15 + 1);
    let new = [&old[..], b"one more\n"].concat();
    let (from, to) = (oracle.tree(&one(old)), oracle.tree(&one(new)));
    let repository = oracle.open();
    let change = || {
        let trees = (object::tree_of(&repository, &from), object::tree_of(&repository, &to));
        let (from, to) = (trees.0.expect("a tree"), trees.1.expect("a tree"));
        changes(&repository, from, to, Renames::Find).expect("a change").remove(0)
    };
    let read = |largest| {
        let whitespace = Whitespace::Exact;
        let (left, lines) = (LARGEST, MOST_LINES);
        let mut reader = Reader { repository: &repository, largest, left, lines, whitespace };
        reader.file(change()).expect("a diff")
    };
    assert!(matches!(read(MAX_TEXT).content, DiffContent::TooLarge { .. }));
    assert_eq!((read(LARGEST).added, read(LARGEST).removed), (1, 0));
}

#[test]
fn files_whose_lines_would_be_too_many_together_are_named_with_their_sizes() {
    let oracle = Oracle::new();
    let tree = |text: &str| {
        let file = || (EntryKind::Blob, text.as_bytes().to_vec());
        oracle.tree(&Files::from([(b"x".to_vec(), file()), (b"y".to_vec(), file())]))
    };
    let (from, to) = (tree("0\n"), tree("1\n2\n3\n"));
    let repository = oracle.open();
    let trees = (object::tree_of(&repository, &from), object::tree_of(&repository, &to));
    let (from, to) = (trees.0.expect("a tree"), trees.1.expect("a tree"));
    let read = |lines| {
        let (largest, left, whitespace) = (MAX_TEXT, LARGEST, Whitespace::Exact);
        let mut reader = Reader { repository: &repository, largest, left, lines, whitespace };
        let found = changes(&repository, from, to, Renames::Ignore).expect("changes");
        let files = found.into_iter().map(|change| reader.file(change).expect("a diff"));
        files.map(|file| matches!(file.content, DiffContent::Text(_))).collect::<Vec<_>>()
    };
    // Each has four lines that differ, with room for six beside them.
    assert_eq!(read(20), [true, true]);
    assert_eq!(read(19), [true, false], "the second is too much");
    assert_eq!(read(9), [false, false]);
}

#[test]
fn a_file_of_more_lines_than_are_worth_comparing_is_named_with_its_sizes() {
    let oracle = Oracle::new();
    let one = |content: Vec<u8>| Files::from([(b"x".to_vec(), (EntryKind::Blob, content))]);
    let old = vec![b'\n'; MOST_COMPARED as usize];
    let new = [&old[..], b"\n"].concat();
    let (from, to) = (oracle.tree(&one(old)), oracle.tree(&one(new)));
    let repository = oracle.open();
    let trees = (object::tree_of(&repository, &from), object::tree_of(&repository, &to));
    let (from, to) = (trees.0.expect("a tree"), trees.1.expect("a tree"));
    let change = changes(&repository, from, to, Renames::Find).expect("a change").remove(0);
    let (left, lines, whitespace) = (LARGEST, MOST_LINES, Whitespace::Exact);
    let mut reader = Reader { repository: &repository, largest: LARGEST, left, lines, whitespace };
    assert!(matches!(reader.file(change).expect("a diff").content, DiffContent::TooLarge { .. }));
}

#[test]
fn a_pair_that_was_counted_is_not_read_again() {
    let oracle = Oracle::new();
    let one = |content: &str| {
        Files::from([(b"x".to_vec(), (EntryKind::Blob, content.as_bytes().to_vec()))])
    };
    let (from, to) = (oracle.tree(&one("a\n")), oracle.tree(&one("a\nb\u{200b}\n")));
    let counts = Counts::default();
    let count = || {
        let diff = with_counts(&oracle.open(), (&from, &to), Detail::Counted, &counts);
        let file = diff.expect("a diff").files.remove(0);
        (file.added, file.removed, file.cautions)
    };
    let hides = vec![Caution::Invisible { line: 2 }];
    assert_eq!(count(), (1, 0, hides.clone()));
    // What is known is believed: a wrong number shows that it was not counted again.
    for known in counts.lock().values_mut() {
        known.added = 40;
    }
    assert_eq!(count(), (40, 0, hides));
}

/// A file before and after.
type Sides = (Vec<u8>, Vec<u8>);

/// A text of lines that occur once, and what edits make of it: every algorithm counts them alike.
fn edited() -> impl Strategy<Value = Sides> {
    (prop::collection::vec(0_u8..8, 0..30), any::<bool>()).prop_map(|(edits, newline)| {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (line, edit) in edits.into_iter().enumerate() {
            let kept = format!("line {line}\n");
            match edit {
                0 => old.extend_from_slice(kept.as_bytes()),
                1 => new.extend_from_slice(kept.as_bytes()),
                2 => {
                    old.extend_from_slice(kept.as_bytes());
                    new.extend_from_slice(format!("changed {line}\n").as_bytes());
                }
                _ => {
                    old.extend_from_slice(kept.as_bytes());
                    new.extend_from_slice(kept.as_bytes());
                }
            }
        }
        if !newline {
            new.pop();
        }
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_counted_as_git_counts_them(texts in prop::collection::vec(edited(), 1..5)) {
        let oracle = Oracle::new();
        let side = |pick: fn(&Sides) -> &Vec<u8>| -> Files {
            let entry = |(number, text): (usize, &Sides)| {
                (NAMES[number].to_vec(), (EntryKind::Blob, pick(text).clone()))
            };
            texts.iter().enumerate().map(entry).collect()
        };
        let (from, to) = (oracle.tree(&side(|text| &text.0)), oracle.tree(&side(|text| &text.1)));
        let diff = commits(&oracle.open(), &from, &to, Detail::Counted).expect("a diff");
        let mut ours: Vec<String> =
            diff.files.iter().map(|file| format!("{}\t{}", file.added, file.removed)).collect();
        let arguments = ["diff", "--numstat", "-z", from.as_str(), to.as_str()];
        let listed = oracle.git(arguments);
        let count = |line: &str| line.rsplit_once('\t').map(|(counts, _)| counts.to_owned());
        let mut theirs: Vec<String> = listed.split('\0').filter_map(count).collect();
        ours.sort();
        theirs.sort();
        prop_assert_eq!(ours, theirs);
    }
}

#[test]
fn what_has_no_lines_is_whole_in_a_patch_for_git() {
    let noise: Vec<u8> =
        (0..70_000_u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let large = |end: &str| [&b"a line\n".repeat(1 << 20)[..], end.as_bytes()].concat();
    let blob = |content: Vec<u8>| (EntryKind::Blob, content);
    let old = Files::from([
        (b"changed".to_vec(), blob(noise.clone())),
        (b"gone".to_vec(), blob(b"\0gone".to_vec())),
        (b"large".to_vec(), blob(large("old\n"))),
        (b"moved".to_vec(), blob(noise[7..].to_vec())),
        (b"text16".to_vec(), blob(utf16("one\ntwo\n"))),
    ]);
    let new = Files::from([
        (b"changed".to_vec(), blob([&noise[1..], b"\0"].concat())),
        (b"come".to_vec(), blob(noise[..53].to_vec())),
        (b"empty".to_vec(), blob(Vec::new())),
        (b"large".to_vec(), blob(large("new\n"))),
        (b"new name".to_vec(), blob(noise[8..].to_vec())),
        (b"text16".to_vec(), blob(utf16("one\nthree\n"))),
    ]);
    let oracle = Oracle::new();
    let (from, to, patch) = patch(&oracle, (&old, &new), Detail::Patch);
    let other = Oracle::new();
    other.tree(&old);
    other.git(["read-tree", from.as_str()]);
    let control = commits(&oracle.open(), &from, &to, Detail::Lines).expect("a diff");
    let mut lines = Vec::new();
    control.write_unified(&mut lines);
    assert!(!other.feed(["apply", "--cached", "-"], &lines).status.success(), "the control");
    let output = other.feed(["apply", "--cached", "-"], &patch);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(other.git(["write-tree"]), to.as_str());
    let output = other.feed(["apply", "--cached", "-R", "-"], &patch);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(other.git(["write-tree"]), from.as_str());
}

#[test]
fn a_binary_file_that_became_a_link_is_taken_from_a_patch() {
    let old = Files::from([(b"x".to_vec(), (EntryKind::Blob, b"\0binary".to_vec()))]);
    let new = Files::from([(b"x".to_vec(), (EntryKind::Link, b"to".to_vec()))]);
    let oracle = Oracle::new();
    let (from, to, patch) = patch(&oracle, (&old, &new), Detail::Patch);
    let other = Oracle::new();
    other.tree(&old);
    other.git(["read-tree", from.as_str()]);
    let output = other.feed(["apply", "--cached", "-"], &patch);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(other.git(["write-tree"]), to.as_str());
}

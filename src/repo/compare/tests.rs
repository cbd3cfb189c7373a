use gix::objs::tree::EntryKind;

use super::*;
use crate::model::diff::FileChange::{Added, Deleted, Modified};
use crate::model::id::{EnvironmentId, EnvironmentName};
use crate::repo::UserRepository;
use crate::repo::oracle::{Files, Oracle, files};

fn case(base: &Files, heads: &[Files]) -> (Oracle, Store, CommitId, Vec<Attempt>) {
    let oracle = Oracle::new();
    let base = oracle.commit(base, &[]);
    oracle.git(["reset", "-q", "--hard", base.as_str()]);
    let user = UserRepository::discover(&oracle.root()).expect("a repository");
    let store = Store::open(&oracle.outside().join("state"), &user).expect("a store");
    let attempt = |(number, head): (usize, &Files)| Attempt {
        environment: EnvironmentId::from_random([number as u8; 8]),
        name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
        head: oracle.commit(head, &[&base]),
    };
    let attempts = heads.iter().enumerate().map(attempt).collect();
    (oracle, store, base, attempts)
}

#[test]
fn identical_content_shares_a_group_and_an_untouched_file_has_no_cell() {
    let base = files(&[("a", "1\n"), ("b", "1\n"), ("same", "s\n")]);
    let heads = [
        files(&[("a", "2\n"), ("b", "1\n"), ("new", "n\n"), ("same", "s\n")]),
        files(&[("a", "2\n"), ("same", "s\n")]),
        files(&[("a", "3\n3\n"), ("same", "s\n")]),
    ];
    let (_oracle, store, base, list) = case(&base, &heads);
    let comparison =
        attempts(&store, &base, list.clone(), Some(&Counts::default())).expect("a comparison");
    let outline = attempts(&store, &base, list, None).expect("a comparison");
    assert!(comparison.counted && !outline.counted);
    let groups =
        |made: &Comparison| made.rows.iter().map(ComparisonRow::groups).collect::<Vec<_>>();
    assert_eq!(groups(&comparison), groups(&outline));
    let cell = |change, added, removed, group| {
        let old_mode = (change != Added).then_some(0o100_644);
        let new_mode = (change != Deleted).then_some(0o100_644);
        let (moved, cautions) = (None, Vec::new());
        let cell =
            ComparisonCell { change, added, removed, group, old_mode, new_mode, moved, cautions };
        Some(cell)
    };
    let row = |path: &str, cells| ComparisonRow { path: RepoPath::new(path), cells };
    assert_eq!(
        comparison.rows,
        [
            row(
                "a",
                vec![cell(Modified, 1, 1, 0), cell(Modified, 1, 1, 0), cell(Modified, 2, 1, 1)]
            ),
            row("b", vec![None, cell(Deleted, 0, 1, 0), cell(Deleted, 0, 1, 0)]),
            row("new", vec![cell(Added, 1, 0, 0), None, None]),
        ]
    );
}

#[test]
fn versions_in_utf_16_are_aligned_where_all_are_written_alike() {
    let one = |text: &str, order: fn(u16) -> [u8; 2]| {
        let units = text.encode_utf16().flat_map(order);
        Files::from([(b"x".to_vec(), (EntryKind::Blob, units.collect()))])
    };
    let little = u16::to_le_bytes;
    let heads = [one("\u{feff}one\n2\n", little), Files::new()];
    let (_oracle, store, base, list) = case(&one("\u{feff}1\n2\n", little), &heads);
    let path = RepoPath::new("x");
    let aligned = file(&store, &base, &list, &path).expect("lines");
    assert_eq!((aligned.note, aligned.missing), (None, vec![false, false, true]));
    let texts: Vec<Vec<u8>> = ["1\n2\n", "one\n2\n", ""].map(|it| it.as_bytes().to_vec()).into();
    assert_eq!(aligned.stretches, align::stretches(&texts));

    let heads = [one("\u{feff}one\n2\n", u16::to_be_bytes)];
    let (_oracle, store, base, list) = case(&one("\u{feff}1\n2\n", little), &heads);
    let note = file(&store, &base, &list, &path).expect("a note").note;
    assert_eq!(note, Some("the file is binary in base".to_owned()));
}

#[test]
fn a_binary_version_is_said_and_a_missing_file_is_not_found() {
    let mut head = files(&[("a", "1\n")]);
    head.insert(b"d/x".to_vec(), (EntryKind::Blob, b"\0".to_vec()));
    let (_oracle, store, base, list) = case(&files(&[("a", "1\n")]), &[head]);
    let read = |path: &str| file(&store, &base, &list, &RepoPath::new(path));
    assert_eq!(
        read("d/x").expect("a note").note,
        Some("the file is binary in attempt0".to_owned())
    );
    assert_eq!(read("d").expect_err("a directory").kind, FailureKind::NotFound);
    let same = read("a").expect("lines");
    assert_eq!((same.stretches.len(), same.missing), (1, vec![false, false]));
    assert_eq!(read("d/x").expect("a note").missing, [true, false]);
}

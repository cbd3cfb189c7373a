use gix::objs::tree::EntryKind;
use proptest::prelude::*;

use super::*;
use crate::model::diff::FileChange::{Added, Deleted, Modified};
use crate::model::id::{EnvironmentId, EnvironmentName};
use crate::repo::UserRepository;
use crate::repo::oracle::{Files, Oracle, files};

/// Rows as text: cells apart by `|`, changed ones marked, missing ones as a dash.
fn drawn(rows: &[AlignedRow]) -> Vec<String> {
    let cell = |cell: &Option<AlignedCell>| match cell {
        None => "-".to_owned(),
        Some(cell) => {
            let mark = if cell.changed { "*" } else { "" };
            format!("{}{}{mark}", cell.number, String::from_utf8_lossy(&cell.text))
        }
    };
    rows.iter().map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn attempts_line_up_on_the_lines_of_the_base() {
    let texts = [b"a\nb\nc\n".to_vec(), b"a\nB\nc\n".to_vec(), b"a\nx\ny\nb\n".to_vec()];
    assert_eq!(drawn(&align(&texts)), ["1a|1a|1a", "-|-|2x*", "-|-|3y*", "2b*|2B*|4b", "3c*|3c|-"]);
    let texts = [b"a\n".to_vec(), b"a\none\ntwo\n".to_vec(), b"a\nuno".to_vec()];
    assert_eq!(drawn(&align(&texts)), ["1a|1a|1a", "-|2one*|2uno*", "-|3two*|-"]);
    let texts = [Vec::new(), b"new\n".to_vec(), Vec::new()];
    assert_eq!(drawn(&align(&texts)), ["-|1new*|-"]);
}

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
    let comparison = attempts(&store, &base, list).expect("a comparison");
    let cell =
        |change, added, removed, group| Some(ComparisonCell { change, added, removed, group });
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
    assert_eq!(drawn(&read("a").expect("rows").rows), ["1a|1a".replace('a', "1")]);
}

proptest! {
    #[test]
    fn every_column_reads_as_its_own_text(
        texts in prop::collection::vec(prop::collection::vec(0_u8..4, 0..12), 1..4)
    ) {
        let texts: Vec<Vec<u8>> = texts
            .iter()
            .map(|lines| lines.iter().flat_map(|line| [b'a' + line, b'\n']).collect())
            .collect();
        let rows = align(&texts);
        for (column, text) in texts.iter().enumerate() {
            let cells = rows.iter().filter_map(|row| row.cells[column].as_ref());
            let read: Vec<u8> = cells.flat_map(|cell| [&cell.text[..], b"\n"].concat()).collect();
            prop_assert_eq!(&read, text);
        }
        for row in &rows {
            if let Some(base) = &row.cells[0] {
                let differs = row.cells[1..].iter().any(|cell| {
                    cell.as_ref().is_none_or(|cell| cell.text != base.text)
                });
                prop_assert!(!differs || base.changed);
            }
        }
    }
}

//! What is to be known of compared files besides their lines, and taking from one of the attempts.

use super::super::app::{App, View};
use super::sample;
use super::{
    KeyCode, LARGE, MIDDLE, Request, SMALL, Size, answer, key, picture, requests, type_keys,
};
use crate::model::caution::Caution;
use crate::model::comparison::{Comparison, Moved};
use crate::model::decision::Portion;
use crate::model::diff::FileChange;
use crate::model::path::RepoPath;
use crate::proto::{Reply, Target};

/// The sample, in which the second attempt moved a file that make obeys, and made one executable.
fn remarkable() -> Comparison {
    let mut comparison = sample::comparison();
    let path = |row: usize| comparison.rows[row].path.clone();
    let limit = path(2);
    let mut moved = sample::compared(FileChange::Added, (80, 0), 0);
    moved.moved = Some(Moved::From(RepoPath::new("src/limit.rs")));
    moved.cautions = vec![Caution::Runs { by: "make runs it".to_owned() }];
    (moved.new_mode, moved.old_mode) = (Some(0o100_644), None);
    comparison.rows[2].cells = vec![None, Some(moved)];
    for cell in comparison.rows[0].cells.iter_mut().flatten() {
        (cell.old_mode, cell.new_mode) = (Some(0o100_644), Some(0o100_755));
    }
    assert_eq!(limit, RepoPath::new("src/api/limit.rs"));
    comparison
}

fn matrix(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, " ");
    type_keys(&mut app, "2");
    type_keys(&mut app, " c");
    answer(&mut app, Reply::Comparison(remarkable()));
    app
}

fn file(size: Size) -> App {
    let mut app = matrix(size);
    app.happen(key(KeyCode::Enter), app.now);
    answer(&mut app, Reply::AlignedFile(sample::aligned()));
    app
}

/// What is asked to be taken: from whom, as of when, how much.
fn taken(asked: &[Request]) -> Option<(u8, u8, Portion)> {
    let [Request::Apply { target, portion, snapshot, known: Some(_) }] = asked else { return None };
    let number = (1..9).find(|number| *target == Target::Id(sample::id(*number)));
    let head = (1..9).find(|number| *snapshot == Some(sample::commit(*number)));
    Some((number?, head?, portion.clone()))
}

#[test]
fn modes_moves_and_cautions_are_in_the_matrix_and_in_words_for_the_chosen_file() {
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = matrix(size);
        let shown = picture(&app);
        let row = |path: &str| {
            let found = shown.lines().find(|line| line.contains(path));
            found.unwrap_or_else(|| panic!("{shown}")).to_owned()
        };
        assert!(row("src/api/limit.rs").contains("│ !src/api/limit.rs"), "{shown}");
        assert!(row("src/api/limit.rs").contains("moved !") || size == SMALL, "{shown}");
        assert!(row("Cargo.toml").contains("+x"), "{shown}");
        assert!(!shown.contains("make runs it"), "{shown}");
        type_keys(&mut app, "j");
        let shown = picture(&app);
        assert!(shown.contains("B: ! make runs it · B: moved from src/limit.rs"), "{shown}");
        type_keys(&mut app, "j");
        let shown = picture(&app);
        assert!(shown.contains("A and B: mode 100644 → 100755"), "{shown}");
    }
}

#[test]
fn a_file_is_taken_from_the_chosen_attempt_as_the_matrix_shows_it() {
    let mut app = matrix(MIDDLE);
    let asked = requests(type_keys(&mut app, "A"));
    let portion = Portion::Paths(vec![RepoPath::new("src/api/checkout.rs")]);
    assert_eq!(taken(&asked), Some((1, 1, portion.clone())), "{asked:?}");
    let asked = requests(type_keys(&mut app, "lA"));
    assert_eq!(taken(&asked), Some((2, 2, portion)), "{asked:?}");
    // There is nothing to take where an attempt did nothing.
    assert_eq!(requests(type_keys(&mut app, "jhA")), []);
    assert!(picture(&app).contains("left the file as it was"), "{}", picture(&app));
    assert!(matches!(requests(type_keys(&mut app, "u"))[..], [Request::Undo { .. }]));
}

#[test]
fn a_hunk_is_taken_by_the_lines_it_has_in_the_attempt_that_is_shown() {
    let mut app = file(MIDDLE);
    let path = RepoPath::new("src/api/checkout.rs");
    let hunk = |start, lines| Portion::Hunk { path: path.clone(), start, lines };
    let asked = requests(type_keys(&mut app, "a"));
    assert_eq!(taken(&asked), Some((1, 1, hunk(2, 2))), "{asked:?}");
    let asked = requests(type_keys(&mut app, "la"));
    assert_eq!(taken(&asked), Some((2, 2, hunk(2, 1))), "{asked:?}");
    // Where lines are the same for all nothing is taken, nor where the attempt did nothing.
    assert_eq!(requests(type_keys(&mut app, "ga")), []);
    assert!(picture(&app).contains("n goes to one"), "{}", picture(&app));
    assert_eq!(requests(type_keys(&mut app, "Gha")), []);
    assert!(picture(&app).contains("this attempt left it as it was"), "{}", picture(&app));
    let asked = requests(type_keys(&mut app, "A"));
    assert!(matches!(taken(&asked), Some((1, 1, Portion::Paths(_)))), "{asked:?}");
}

#[test]
fn lines_that_an_attempt_took_out_are_named_by_the_line_before_them() {
    let mut app = file(MIDDLE);
    let mut aligned = sample::aligned();
    let crate::model::comparison::Stretch::Changed { rows, .. } = &mut aligned.stretches[1] else {
        panic!("it differs")
    };
    for row in rows.iter_mut() {
        row.cells[1] = None;
    }
    let ticket = app.views.last().map(View::ticket).expect("a view");
    let tag = super::Tag::Refresh(ticket);
    app.happen(super::Happening::Reply(tag, Ok(Reply::AlignedFile(aligned))), app.now);
    let asked = requests(type_keys(&mut app, "a"));
    let path = RepoPath::new("src/api/checkout.rs");
    let hunk = Portion::Hunk { path, start: 1, lines: 0 };
    assert_eq!(taken(&asked), Some((1, 1, hunk)), "{asked:?}");
}

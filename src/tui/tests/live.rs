//! A diff that goes on with the agent, and what a reader does in a large one.

use super::super::app::{App, DiffView, Happening, Tag, View};
use super::sample;
use super::{KeyCode, LARGE, MIDDLE, NOW, Request, SMALL, Size, key, picture, requests, type_keys};
use crate::model::diff::{
    Detail, Diff, DiffContent, DiffLine, FileChange, FileDiff, Hunk, LARGEST, LineKind, Reach,
};
use crate::model::path::RepoPath;
use crate::proto::{DiffSide, Event, Reply};

/// A file of which lines were changed, each in a hunk of its own.
fn file(content: u8, changed: &[u32]) -> FileDiff {
    let line = |kind, text: String| DiffLine { kind, text: text.into_bytes(), no_newline: false };
    let hunk = |(index, number): (usize, &u32)| Hunk {
        old_start: *number,
        old_lines: 1,
        new_start: *number + index as u32,
        new_lines: 2,
        lines: vec![
            line(LineKind::Context, format!("line {number}")),
            line(LineKind::Added, format!("after {number}")),
        ],
        ..sample_hunk()
    };
    let mut file = sample::diff().files.remove(0);
    file.new_blob = Some(sample::commit(content));
    file.content = DiffContent::Text(changed.iter().enumerate().map(hunk).collect());
    file
}

fn sample_hunk() -> Hunk {
    let DiffContent::Text(mut hunks) = sample::diff().files.remove(0).content else {
        panic!("the sample has lines")
    };
    hunks.remove(0)
}

fn outline(content: u8) -> Diff {
    let mut file = file(content, &[]);
    file.content = DiffContent::Unread;
    Diff { from: sample::commit(1), to: sample::commit(content), files: vec![file] }
}

fn view(app: &App) -> &DiffView {
    match app.views.last() {
        Some(View::Diff(view)) => view,
        other => panic!("the diff is open, not {other:?}"),
    }
}

fn tell(app: &mut App, tag: fn(u64) -> Tag, diff: Diff) -> Vec<Request> {
    let tag = tag(view(app).ticket);
    requests(app.happen(Happening::Reply(tag, Ok(Reply::Diff(diff))), NOW))
}

fn give(app: &mut App, reading: u64, file: FileDiff) {
    let tag = Tag::FileDiff { ticket: view(app).ticket, reading };
    app.happen(Happening::Reply(tag, Ok(Reply::FileDiff(Box::new(file)))), NOW);
}

fn snapshot(app: &mut App) -> Vec<Request> {
    let snapshot = Box::new(sample::history().remove(1));
    let event = Event::SnapshotTaken { environment: sample::id(1), snapshot };
    requests(app.happen(Happening::Event(event), NOW))
}

fn reads(request: &Request) -> Option<(&DiffSide, Detail)> {
    match request {
        Request::ReadDiff { to, detail, .. } => Some((to, *detail)),
        _ => None,
    }
}

fn opened(size: Size, first: FileDiff) -> App {
    let mut app = sample::deck(size);
    let asked = requests(type_keys(&mut app, "d"));
    let kept = asked.iter().find_map(reads);
    assert_eq!(kept, Some((&DiffSide::Newest, Detail::Outline)), "what is kept is shown at once");
    let asked = tell(&mut app, Tag::View, outline(9));
    let now = asked.iter().find_map(reads);
    assert_eq!(now, Some((&DiffSide::Head, Detail::Counted)), "and then what is there now");
    give(&mut app, 1, first);
    app
}

#[test]
fn a_diff_follows_the_agent_without_moving_the_reader() {
    let mut app = opened(Size { columns: 120, rows: 12 }, file(9, &[10, 20, 30]));
    type_keys(&mut app, "n");
    app.happen(key(KeyCode::Enter), NOW);
    type_keys(&mut app, "nj");
    let chosen = |app: &App| {
        let view = view(app);
        (view.rows[view.place.row].clone(), view.place.row - view.place.top)
    };
    let (line, below) = chosen(&app);
    assert_eq!(snapshot(&mut app), [], "one question at a time");
    let asked = tell(&mut app, Tag::Refresh, outline(9));
    assert_eq!(asked.iter().find_map(reads), Some((&DiffSide::Newest, Detail::Counted)));
    let asked = tell(&mut app, Tag::Refresh, outline(8));
    assert!(asked.iter().any(|request| matches!(request, Request::ReadFileDiff { .. })));
    assert_eq!(chosen(&app).0, line, "what was read stays until the new lines are there");
    give(&mut app, 2, file(8, &[2, 4, 10, 20, 30]));
    let (now, under) = chosen(&app);
    let text = |row| format!("{row:?}").contains("line 30");
    assert!(text(&line) && text(&now), "{now:?}");
    assert_eq!(below, under);
    assert_eq!(picture(&app).matches("folded").count(), 1, "the same hunk is folded");
    assert!(snapshot(&mut app).iter().any(|request| reads(request).is_some()));
}

#[test]
fn an_agent_that_did_nothing_yet_is_told_of() {
    let mut app = opened(SMALL, file(9, &[10]));
    let empty = Diff { files: Vec::new(), ..outline(9) };
    tell(&mut app, Tag::Refresh, empty);
    assert!(picture(&app).contains("nothing changed yet"), "{}", picture(&app));
}

#[test]
fn a_large_file_is_read_when_it_is_asked_for() {
    let mut large = file(9, &[]);
    large.content = DiffContent::TooLarge { old: 10, new: LARGEST - 10 };
    let mut app = opened(SMALL, large.clone());
    assert!(picture(&app).contains("Enter reads it"), "{}", picture(&app));
    let asked = requests(app.happen(key(KeyCode::Enter), NOW));
    let whole =
        |request: &Request| matches!(request, Request::ReadFileDiff { reach: Reach::Whole, .. });
    assert!(asked.iter().any(whole), "{asked:?}");
    assert!(picture(&app).contains("reading …"), "{}", picture(&app));
    give(&mut app, 2, file(9, &[100_000]));
    assert!(picture(&app).contains("100000 100000  line 100000"), "{}", picture(&app));
    large.content = DiffContent::TooLarge { old: 10, new: LARGEST };
    let mut app = opened(SMALL, large);
    assert!(picture(&app).contains("too large to compare"), "{}", picture(&app));
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
}

#[test]
fn long_lines_are_moved_as_far_as_there_is_more_of_them() {
    let mut long = file(9, &[10]);
    let DiffContent::Text(hunks) = &mut long.content else { panic!("it has lines") };
    hunks[0].lines[1].text = format!("{}the end", "0123456789".repeat(9)).into_bytes();
    let mut app = opened(SMALL, long);
    assert!(!picture(&app).contains("the end"));
    type_keys(&mut app, "LL");
    assert!(picture(&app).contains("the end"), "{}", picture(&app));
    type_keys(&mut app, "LLLLLLLL");
    assert_eq!(view(&app).left, 96);
    type_keys(&mut app, "HHHHHH");
    assert_eq!(view(&app).left, 0);
}

#[test]
fn characters_that_hide_are_marked_where_they_are() {
    let mut sly = file(9, &[10]);
    let DiffContent::Text(hunks) = &mut sly.content else { panic!("it has lines") };
    hunks[0].lines[1].text = "if admin\u{202e} {".as_bytes().to_vec();
    let app = opened(SMALL, sly);
    let buffer = super::buffer(&app);
    let marked: String = buffer
        .content()
        .iter()
        .filter(|cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED))
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    assert_eq!(marked, "\\u{202e}");
}

#[test]
fn the_files_are_a_list_of_their_own_in_a_narrow_terminal() {
    let mut app = opened(SMALL, file(9, &[10]));
    let mut diff = sample::diff();
    let numbers = 0..40;
    diff.files = numbers
        .map(|number| FileDiff {
            path: RepoPath::new(format!("src/part{number:02}.rs")),
            change: FileChange::Added,
            added: number * 7,
            ..diff.files[0].clone()
        })
        .collect();
    tell(&mut app, Tag::Refresh, diff);
    app.happen(key(KeyCode::Tab), NOW);
    type_keys(&mut app, "G");
    assert!(picture(&app).contains("▌ A src/part39.rs"), "{}", picture(&app));
    assert!(!picture(&app).contains("src/part05.rs"));
    type_keys(&mut app, "g");
    app.happen(super::control('d'), NOW);
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter since its base · +5460 −40 ─────────────────────── file 11 of 40 ┐
    │  A src/part00.rs                                                          −1 │
    │  A src/part01.rs                                                       +7 −1 │
    │  A src/part02.rs                                                      +14 −1 │
    │  A src/part03.rs                                                      +21 −1 │
    │  A src/part04.rs                                                      +28 −1 │
    │  A src/part05.rs                                                      +35 −1 │
    │  A src/part06.rs                                                      +42 −1 │
    │  A src/part07.rs                                                      +49 −1 │
    │  A src/part08.rs                                                      +56 −1 │
    │  A src/part09.rs                                                      +63 −1 │
    │▌ A src/part10.rs                                                      +70 −1 │
    │  A src/part11.rs                                                      +77 −1 │
    │  A src/part12.rs                                                      +84 −1 │
    │  A src/part13.rs                                                      +91 −1 │
    │  A src/part14.rs                                                      +98 −1 │
    │  A src/part15.rs                                                     +105 −1 │
    │  A src/part16.rs                                                     +112 −1 │
    │  A src/part17.rs                                                     +119 −1 │
    │  A src/part18.rs                                                     +126 −1 │
    │  A src/part19.rs                                                     +133 −1 │
    └──────────────────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  Tab files  r reviewed  c comment  ? help  q close
    ");
    app.happen(key(KeyCode::Enter), NOW);
    assert!(!view(&app).listing && picture(&app).contains("part10.rs"), "{}", picture(&app));
    app.happen(key(KeyCode::Tab), NOW);
    app.happen(key(KeyCode::Escape), NOW);
    assert!(!view(&app).listing && app.views.len() == 1);
}

#[test]
fn a_search_says_how_many_lines_hold_it() {
    let mut app = opened(SMALL, file(9, &[10, 20, 30]));
    type_keys(&mut app, "/after");
    app.happen(key(KeyCode::Enter), NOW);
    assert!(picture(&app).contains(" /after · 3 lines here · Esc ends "), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    type_keys(&mut app, "/before");
    app.happen(key(KeyCode::Enter), NOW);
    assert!(picture(&app).contains(" /before · not in this file · "), "{}", picture(&app));
}

#[test]
fn a_key_that_needs_more_room_says_so_and_is_not_hinted_at() {
    let mut app = opened(SMALL, file(9, &[10]));
    assert!(!picture(&app).contains("side by side"));
    type_keys(&mut app, "s");
    assert!(picture(&app).contains("side by side takes 100 columns"), "{}", picture(&app));
}

#[test]
fn the_map_lists_those_that_do_not_fit_where_there_is_no_room_for_a_table() {
    let mut app = sample::deck(SMALL);
    sample::predict(&mut app);
    for number in 7..30 {
        let name = format!("attempt-{number}");
        let mut more = sample::environment(number, &name, "claude");
        more.prediction.clone_from(&app.environments[0].prediction);
        more.divergence.change.files = 1;
        app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(more))), NOW);
    }
    type_keys(&mut app, "M");
    let shown = picture(&app);
    assert!(shown.contains("not with"), "{shown}");
    let row = shown.lines().find(|line| line.contains("1 brave-otter")).expect("it is there");
    assert!(row.trim_end_matches('│').trim_end().ends_with("clean   3"), "{row}");
}

#[test]
fn lines_that_differ_in_blanks_alone_show_them() {
    let mut file = sample::diff().files.remove(0);
    let DiffContent::Text(hunks) = &mut file.content else { panic!("it has lines") };
    hunks[0].lines[1].text = b"    let cart = 1;".to_vec();
    hunks[0].lines[2].text = b"\tlet cart = 1; ".to_vec();
    let app = opened(SMALL, file);
    let shown = picture(&app);
    assert!(
        shown.contains("−    let cart = 1;") && shown.contains("+→   let cart = 1;·"),
        "{shown}"
    );
}

#[test]
fn a_pair_that_is_not_judged_is_not_said_to_have_nothing_in_common() {
    let mut app = sample::deck(Size { columns: 120, rows: 40 });
    sample::predict(&mut app);
    app.environments[1].prediction = None;
    type_keys(&mut app, "M");
    let shown = picture(&app);
    let row = shown.lines().find(|line| line.contains("2 calm-heron")).expect("it is there");
    assert!(row.contains("…       ?     ?  ·  ·  ·"), "{row}");
}

#[test]
fn one_pair_that_cannot_be_judged_is_shown_as_such_and_no_other() {
    for size in [MIDDLE, LARGE] {
        let mut app = sample::deck(size);
        sample::predict(&mut app);
        let prediction = app.environments[0].prediction.as_mut().expect("the sample has one");
        prediction.siblings[0].fit = None;
        app.environments[1].prediction.as_mut().expect("another").branch = None;
        type_keys(&mut app, "M");
        let shown = picture(&app);
        let row = |name: &str| {
            shown.lines().find(|line| line.contains(name)).expect("it is there").to_owned()
        };
        assert!(row("1 brave-otter").contains("clean      ?  ≠  "), "{shown}");
        assert!(row("2 calm-heron").contains("  ?  "), "{shown}");
        assert!(shown.contains("? whether both fit cannot be found out"), "{shown}");
    }
}

#[test]
fn an_answer_that_does_not_know_of_a_review_is_asked_for_again() {
    let mut app = opened(SMALL, file(9, &[10]));
    type_keys(&mut app, "r");
    let asked = tell(&mut app, Tag::Refresh, outline(9));
    assert_eq!(asked.iter().find_map(reads), Some((&DiffSide::Newest, Detail::Counted)));
}

//! Looking for things in a diff: a text in all files, files by their paths, and what stays where it
//! is meanwhile.

use super::super::app::{App, DiffView, Happening, Tag, View};
use super::sample;
use super::{KeyCode, MIDDLE, NOW, Request, SMALL, answer, key, picture, requests, type_keys};
use crate::model::diff::{FileDiff, FileMatches, Whitespace};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::Timestamp;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::model::snapshot::Skipped;
use crate::proto::{Reply, Target};

const FIRST: &str = "src/api/checkout.rs";
const SECOND: &str = "src/api/a-rather-long-directory-name/limit.rs";

/// A diff of three files, the first of which was read.
fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "d");
    answer(&mut app, Reply::Diff(sample::outline()));
    give_file(&mut app, 1, FIRST);
    app
}

fn view(app: &App) -> &DiffView {
    match app.views.last() {
        Some(View::Diff(view)) => view,
        other => panic!("the diff is open, not {other:?}"),
    }
}

/// The lines of the sample's first file, as those of any.
fn give_file(app: &mut App, reading: u64, path: &str) {
    let mut file: FileDiff = sample::diff().files.remove(0);
    file.path = RepoPath::new(path);
    let tag = Tag::FileDiff { ticket: view(app).ticket, reading };
    app.happen(Happening::Reply(tag, Ok(Reply::FileDiff(Box::new(file)))), NOW);
}

/// Searches and answers which files hold it.
fn search(app: &mut App, text: &str, found: &[(&str, u32)]) {
    type_keys(app, "/");
    type_keys(app, text);
    let asked = requests(app.happen(key(KeyCode::Enter), NOW));
    let is_search = |request: &&Request| {
        matches!(request, Request::SearchDiff { target, text: asked, .. }
            if asked == text && *target == Target::Id(sample::id(1)))
    };
    assert_eq!(asked.iter().filter(is_search).count(), 1, "{asked:?}");
    let mut found: Vec<FileMatches> = found
        .iter()
        .map(|(path, lines)| FileMatches { path: RepoPath::new(*path), lines: *lines })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let tag = Tag::Matches { ticket: view(app).ticket, text: text.to_owned() };
    app.happen(Happening::Reply(tag, Ok(Reply::Matches(found))), NOW);
}

fn chosen(app: &App) -> String {
    view(app).chosen().map(|file| file.path.to_string()).unwrap_or_default()
}

fn line(app: &App) -> String {
    format!("{:?}", view(app).rows.get(view(app).place.row))
}

#[test]
fn a_search_goes_on_in_the_next_file_that_has_a_match_and_around() {
    let mut app = opened(SMALL);
    search(&mut app, "cart", &[(FIRST, 2), (SECOND, 2)]);
    assert!(line(&app).contains("Cart::of"), "{}", line(&app));
    let shown = picture(&app);
    assert!(shown.contains("/cart · 2 lines here · 4 lines in 2 files"), "{shown}");
    type_keys(&mut app, "n");
    assert!(line(&app).contains("cart.total"), "{}", line(&app));
    type_keys(&mut app, "n");
    assert_eq!(chosen(&app), SECOND);
    give_file(&mut app, 2, SECOND);
    assert!(line(&app).contains("Cart::of"), "{}", line(&app));
    // Backwards, the last match of the file before.
    type_keys(&mut app, "N");
    assert_eq!(chosen(&app), FIRST);
    give_file(&mut app, 3, FIRST);
    assert!(line(&app).contains("cart.total"), "{}", line(&app));
    type_keys(&mut app, "N");
    assert!(line(&app).contains("Cart::of"), "{}", line(&app));
    type_keys(&mut app, "N");
    assert_eq!(chosen(&app), SECOND, "around the beginning");
}

#[test]
fn a_search_says_where_nothing_is_and_goes_to_where_something_is() {
    let mut app = opened(SMALL);
    search(&mut app, "zebra", &[]);
    assert!(picture(&app).contains("/zebra · nowhere in this diff"), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    search(&mut app, "limiter", &[(SECOND, 3)]);
    let shown = picture(&app);
    assert!(shown.contains("not in this file · 3 lines in 1 other file"), "{shown}");
    type_keys(&mut app, "n");
    assert_eq!(chosen(&app), SECOND);
    app.happen(key(KeyCode::Escape), NOW);
    assert!(!picture(&app).contains("/limiter"), "{}", picture(&app));
    assert!(app.views.last().is_some(), "the diff stays");
}

#[test]
fn the_list_of_files_is_filtered_by_words_of_their_paths() {
    let mut app = opened(MIDDLE);
    type_keys(&mut app, "flimit src");
    assert_eq!(chosen(&app), SECOND);
    let shown = picture(&app);
    assert!(shown.contains("1 of 3 with limit src") && shown.contains("file 1 of 1"), "{shown}");
    app.happen(key(KeyCode::Enter), NOW);
    type_keys(&mut app, "fzzz");
    assert!(picture(&app).contains("no file is called that"), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    assert!(picture(&app).contains("of 3"), "{}", picture(&app));
    // In the list `/` looks for files.
    app.happen(key(KeyCode::Tab), NOW);
    type_keys(&mut app, "/checkout");
    app.happen(key(KeyCode::Enter), NOW);
    assert_eq!(chosen(&app), FIRST);
    assert!(picture(&app).contains("1 of 3 with checkout"), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    assert!(!picture(&app).contains("with checkout"), "{}", picture(&app));
}

#[test]
fn ignoring_blanks_and_going_side_by_side_keep_the_place() {
    let mut app = opened(MIDDLE);
    type_keys(&mut app, "jjjjjj");
    let before = line(&app);
    assert!(before.contains("Cart::of"), "{before}");
    let asked = requests(type_keys(&mut app, "w"));
    let ignores = |request: &Request| {
        matches!(request, Request::ReadFileDiff { whitespace: Whitespace::Ignored, .. })
    };
    assert!(asked.iter().any(ignores), "{asked:?}");
    assert_eq!(line(&app), before, "while it is read");
    give_file(&mut app, 2, FIRST);
    assert_eq!(line(&app), before);
    type_keys(&mut app, "s");
    assert!(line(&app).contains("Cart::of"), "{}", line(&app));
    type_keys(&mut app, "s");
    assert_eq!(line(&app), before);
}

#[test]
fn how_much_is_left_out_stays_on_the_screen_while_the_agent_goes_on() {
    let mut app = opened(SMALL);
    let ticket = view(&app).ticket;
    let skipped =
        |path: &str| Skipped { path: RepoPath::new(path), reason: "larger than 10 MB".to_owned() };
    let reply = Reply::LeftOut(vec![skipped("dump"), skipped("pipe")]);
    app.happen(Happening::Reply(Tag::LeftOut(ticket), Ok(reply)), NOW);
    assert!(picture(&app).contains("not in this diff: dump"), "{}", picture(&app));
    let asked = app.happen(
        Happening::Reply(Tag::Refresh(ticket), Ok(Reply::Diff(sample::outline()))),
        Timestamp(NOW.0 + 60_000),
    );
    let again = |request: &Request| matches!(request, Request::ReadLeftOut { .. });
    assert!(requests(asked).iter().any(again), "what is left out may be other files now");
    app.happen(Happening::Tick, Timestamp(NOW.0 + 60_000));
    let shown = picture(&app);
    assert!(shown.contains("· 2 left out") && !shown.contains("dump"), "{shown}");
    let none = Reply::LeftOut(Vec::new());
    app.happen(Happening::Reply(Tag::LeftOut(ticket), Ok(none)), NOW);
    assert!(!picture(&app).contains("left out"), "{}", picture(&app));
}

#[test]
fn escape_takes_a_message_away_and_nothing_below_it() {
    let mut app = opened(SMALL);
    let at = |seconds: u64| Timestamp(NOW.0 + seconds * 1_000);
    let escape = |app: &mut App, seconds| {
        app.happen(key(KeyCode::Escape), at(seconds));
        app.views.len()
    };
    let said = Tag::Say("done".to_owned());
    app.happen(Happening::Reply(said, Ok(Reply::Done)), at(0));
    assert_eq!(escape(&mut app, 1), 1);
    assert!(app.message.is_none());
    // A failure that nobody can have read yet stays, and so does what is below it.
    let failure = Failure::new(FailureKind::Unavailable, "the disk is full");
    app.happen(Happening::Reply(Tag::Quiet, Err(failure)), at(2));
    assert_eq!((escape(&mut app, 2), app.message.is_some()), (1, true));
    assert_eq!((escape(&mut app, 9), app.message.is_some()), (1, false));
    assert_eq!(escape(&mut app, 10), 0);
}

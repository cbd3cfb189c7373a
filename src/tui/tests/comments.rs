//! Comments on lines of a diff: written, marked, listed, sent; what is kept is the server's.

use super::super::app::{App, DiffView, Happening, Overlay, Tag, View};
use super::sample;
use super::{
    KeyCode, LARGE, MIDDLE, NOW, Request, SMALL, answer, key, picture, requests, type_keys,
};
use crate::model::comment::{Comment, CommentId, LinePlace, LineSide};
use crate::model::comparison::LineText;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::Timestamp;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{CommentChange, DiffSide, Event, Reply, Target};

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "d");
    answer(&mut app, Reply::Diff(sample::diff()));
    app
}

fn view(app: &App) -> &DiffView {
    match app.views.last() {
        Some(View::Diff(view)) => view,
        other => panic!("the diff is open, not {other:?}"),
    }
}

fn comment(id: u32, side: LineSide, line: u32, text: &str) -> Comment {
    let path = RepoPath::new("src/api/checkout.rs");
    Comment {
        id: CommentId(id),
        at: NOW,
        place: LinePlace { path, side, line },
        quote: LineText(b"    let user = request.user();".to_vec()),
        before: None,
        after: None,
        text: text.to_owned(),
        sent: None,
        line: Some(line),
    }
}

fn give(app: &mut App, comments: Vec<Comment>) {
    let tag = Tag::Comments(view(app).ticket);
    app.happen(Happening::Reply(tag, Ok(Reply::Comments(comments))), NOW);
}

fn three() -> Vec<Comment> {
    let mut sent = comment(2, LineSide::New, 12, "which status?");
    sent.sent = Some(NOW);
    let mut gone = comment(3, LineSide::New, 40, "too slow");
    gone.line = None;
    vec![comment(1, LineSide::Old, 11, "keep this line"), sent, gone]
}

/// What is asked about comments.
fn changes(asked: Vec<Request>) -> Vec<CommentChange> {
    let change = |request| match request {
        Request::ChangeComments { target, change } => {
            assert_eq!(target, Target::Id(sample::id(1)));
            Some(change)
        }
        _ => None,
    };
    asked.into_iter().filter_map(change).collect()
}

#[test]
fn a_comment_is_of_the_line_as_it_was_seen_and_is_kept_by_the_server() {
    let mut app = opened(MIDDLE);
    // Of a hunk its first change is meant; a file without lines takes no comment.
    type_keys(&mut app, "c");
    assert!(picture(&app).contains("Comment on src/api/checkout.rs:11 "), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    type_keys(&mut app, "]]c");
    assert!(app.overlay.is_none());
    type_keys(&mut app, "[[jjjcsay why");
    let asked = changes(requests(app.happen(key(KeyCode::Enter), NOW)));
    let place =
        LinePlace { path: RepoPath::new("src/api/checkout.rs"), side: LineSide::New, line: 11 };
    let (seen, text) = (sample::commit(9), "say why".to_owned());
    assert_eq!(asked, [CommentChange::Add { seen, place, text }]);
    // What the server could not keep is still there to be kept.
    let failure = Failure::new(FailureKind::Unavailable, "the disk is full");
    app.happen(Happening::Reply(Tag::Commented, Err(failure)), NOW);
    assert!(picture(&app).contains("say why"), "{}", picture(&app));
    assert_eq!(changes(requests(app.happen(key(KeyCode::Enter), NOW))).len(), 1);
    app.happen(Happening::Reply(Tag::Commented, Ok(Reply::Done)), NOW);
    assert!(app.overlay.is_none());
    // A line that is gone is of the base.
    type_keys(&mut app, "kcwhy not?");
    let asked = changes(requests(app.happen(key(KeyCode::Enter), NOW)));
    let of_base = |change: &CommentChange| {
        matches!(change, CommentChange::Add { seen, place, .. }
            if *seen == sample::commit(1) && place.side == LineSide::Old && place.line == 11)
    };
    assert!(matches!(&asked[..], [change] if of_base(change)), "{asked:?}");
}

#[test]
fn comments_stand_below_their_lines_with_what_became_of_them() {
    for (size, side_by_side) in [(SMALL, false), (MIDDLE, true), (LARGE, true)] {
        let mut app = opened(size);
        if side_by_side {
            type_keys(&mut app, "s");
        }
        give(&mut app, three());
        let shown = picture(&app);
        assert!(shown.contains("1 comment outdated") || size == SMALL, "{shown}");
        assert!(shown.contains("◆ 2 comments not sent"), "{shown}");
        let row = |words: &str| shown.lines().position(|line| line.contains(words));
        assert_eq!(row("keep this line"), row("let user = request").map(|row| row + 1), "{shown}");
        assert_eq!(row("which status?"), row("return Response").map(|row| row + 1), "{shown}");
        assert!(!shown.contains("too slow"), "{shown}");
    }
    let mut app = opened(SMALL);
    give(&mut app, three());
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter since its base · ◆ 2 comments not sent ───────────── file 1 of 3 ┐
    │ M src/api/checkout.rs · 1 comment outdated                                   │
    │▌@@ -10,5 +10,7 @@                                                            │
    │  10  10  pub fn checkout(request: Request) -> Response {                     │
    │  11    ◆−    let user = request.user();                                      │
    │        ◆ keep this line                                                      │
    │      11 +    let Some(user) = request.user() else {                          │
    │      12◇+        return Response::unauthorized();                            │
    │        ◇ which status?                                                       │
    │      13 +    };                                                              │
    │  12  14      let cart = Cart::of(user);                                      │
    │  13  15      cart.total()                                                    │
    │  14  16  }                                                                   │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    └──────────────────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  Tab files  r reviewed  c comment  ? help  q close
    ");
}

#[test]
fn a_long_comment_is_whole_in_as_many_rows_as_it_takes() {
    let words = (0..40).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ");
    let text = format!("{words}\n\n{}\nend", "x".repeat(150));
    for (size, side_by_side) in [(SMALL, false), (MIDDLE, true), (LARGE, false)] {
        let mut app = opened(size);
        if side_by_side {
            type_keys(&mut app, "s");
        }
        give(&mut app, vec![comment(1, LineSide::New, 12, &text)]);
        let shown = picture(&app);
        assert!((0..40).all(|number| shown.contains(&format!("word{number} "))), "{shown}");
        assert!(shown.matches('x').count() >= 150, "{shown}");
        assert!(shown.contains("end  "), "{shown}");
        let rows = shown.lines().filter(|line| line.contains('◆')).count();
        assert_eq!(rows, 3, "the title, the line and where it begins: {shown}");
        // From any of its rows it is the one that is changed.
        type_keys(&mut app, "jjjjjc");
        assert!(picture(&app).contains("Comment on src/api/checkout.rs:12 "), "{}", picture(&app));
        app.happen(key(KeyCode::Escape), NOW);
        type_keys(&mut app, "jjc");
        assert!(picture(&app).contains("Comment on src/api/checkout.rs:12 "), "{}", picture(&app));
    }
}

#[test]
fn the_reader_stays_at_the_line_when_comments_come_and_go() {
    let mut app = opened(MIDDLE);
    type_keys(&mut app, "jjjjj");
    let line = |app: &App| view(app).rows[view(app).place.row].clone();
    let before = line(&app);
    give(&mut app, three());
    assert_eq!(line(&app), before);
    give(&mut app, Vec::new());
    assert_eq!(line(&app), before);
}

#[test]
fn who_changes_comments_elsewhere_is_heard() {
    let mut app = opened(MIDDLE);
    let event = Event::CommentsChanged { environment: sample::id(1) };
    let asked = requests(app.happen(Happening::Event(event), NOW));
    let (from, to) = (sample::commit(1), sample::commit(9));
    let (from, to) = (DiffSide::Snapshot(from), DiffSide::Snapshot(to));
    assert_eq!(asked, [Request::ReadComments { target: Target::Id(sample::id(1)), from, to }]);
    let event = Event::CommentsChanged { environment: sample::id(2) };
    assert_eq!(requests(app.happen(Happening::Event(event), NOW)), []);
}

#[test]
fn the_list_goes_to_a_comment_changes_it_and_removes_it() {
    let mut app = opened(SMALL);
    type_keys(&mut app, "C");
    assert!(picture(&app).contains("there is no comment yet"), "{}", picture(&app));
    give(&mut app, three());
    type_keys(&mut app, "C");
    insta::assert_snapshot!(picture(&app), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ brave-otter since its base · ◆ 2 comments not sent ───────────── file 1 of 3 ┐
    │ M src/api/checkout.rs · 1 comment outdated                                   │
    │▌@@ -10,5 +10,7 @@                                                            │
    │  10  10  pub fn checkout(request: Request) -> Response {                     │
    │  11    ◆−    let user = request.user();                                      │
    │        ◆ keep this line                                                      │
    ┌ Comments on brave-otter ──────────────────────────────────── 2 of 3 not sent ┐
    │▌◆ src/api/checkout.rs:11                                            not sent │
    │▌  keep this line                                                             │
    │ ◇ src/api/checkout.rs:12                                                sent │
    │   which status?                                                              │
    │ ◆ src/api/checkout.rs:40                                 outdated · not sent │
    │   too slow                                                                   │
    │                                                                              │
    │  Enter goes there  e changes  x removes  s sends                             │
    └──────────────────────────────────────────────────────────────────────────────┘
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    │                                                                              │
    └──────────────────────────────────────────────────────────────────────────────┘
     a take hunk  A take file  Tab files  r reviewed  c comment  ? help  q close
    ");
    type_keys(&mut app, "j");
    app.happen(key(KeyCode::Enter), NOW);
    let at = &view(&app).rows[view(&app).place.row];
    assert!(format!("{at:?}").contains("which status?"), "{at:?}");
    // What was sent is not written anew, and its line may be spoken of again.
    type_keys(&mut app, "c");
    assert!(picture(&app).contains("Comment on src/api/checkout.rs:12 "), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    type_keys(&mut app, "Ce");
    assert!(picture(&app).contains("keep this line"), "{}", picture(&app));
    type_keys(&mut app, "!");
    let asked = changes(requests(app.happen(key(KeyCode::Enter), NOW)));
    let text = "keep this line!".to_owned();
    assert_eq!(asked, [CommentChange::Edit { comment: CommentId(1), text }]);
    type_keys(&mut app, "C");
    let asked = changes(requests(type_keys(&mut app, "jx")));
    assert_eq!(asked, [CommentChange::Remove { comment: CommentId(2) }]);
    assert!(matches!(app.overlay, Some(Overlay::Comments(_))), "there are others");
}

#[test]
fn what_was_not_sent_is_one_message_that_is_seen_before_the_agent_has_it() {
    let mut app = opened(MIDDLE);
    give(&mut app, three());
    type_keys(&mut app, "Cs");
    let shown = picture(&app);
    assert!(shown.contains("To brave-otter's agent"), "{shown}");
    assert!(shown.contains("> let user"), "{shown}");
    let sent = changes(requests(app.happen(key(KeyCode::Enter), NOW)));
    let [CommentChange::Send { comments, message }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(comments[..], [CommentId(1), CommentId(3)]);
    assert!(!message.contains("which status?"), "{message}");
    assert!(message.contains("src/api/checkout.rs:11 before your change\n> let user"), "{message}");
    // One that is left out is not told of, and stays.
    type_keys(&mut app, "Cs");
    let control = super::control('x');
    app.happen(control, Timestamp(NOW.0 + 1));
    let sent = changes(requests(app.happen(key(KeyCode::Enter), NOW)));
    let [CommentChange::Send { comments, message }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(comments[..], [CommentId(1)]);
    assert!(!message.contains("too slow"), "{message}");
}

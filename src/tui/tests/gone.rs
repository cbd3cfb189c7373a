//! What the app does while there is no server, and when one is back.

use super::super::app::{App, Effect, Happening, Tag};
use super::super::panes::PaneKey;
use super::sample;
use super::{KeyCode, MIDDLE, NOW, Timestamp, control, key, picture, requests, type_keys};
use crate::client::Client;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::proto::{Event, Reply, Request};

fn first() -> PaneKey {
    PaneKey { environment: sample::id(1), session: SessionId::AGENT }
}

fn later(milliseconds: u64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn text(app: &App) -> String {
    app.message.as_ref().map(|message| message.text.clone()).unwrap_or_default()
}

fn header(app: &App) -> String {
    picture(app).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn keys_for_a_session_are_refused_in_the_open_while_there_is_no_server() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    let before = picture(&app);
    assert!(app.happen(Happening::ServerLost, NOW).is_empty());
    assert_eq!(type_keys(&mut app, "Dx!"), []);
    let shown = picture(&app);
    assert!(shown.contains("server gone, reconnecting (0 s)"), "{shown}");
    assert!(shown.contains("3 keys not sent"), "{shown}");
    assert!(app.overlay.is_none() && app.views.is_empty(), "none of them was the deck's");
    let body = |frame: &str| {
        let rows: Vec<_> = frame.lines().skip(2).take(10).collect();
        rows.join("\n").replace('┃', "│")
    };
    assert_eq!(body(&shown), body(&before), "the screens stay");
    app.happen(Happening::Tick, later(4_200));
    assert!(header(&app).contains("(4 s)"), "{}", header(&app));
}

#[test]
fn the_keyboard_is_nobodys_after_the_server_is_back_until_it_is_taken_again() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    app.happen(Happening::ServerLost, NOW);
    type_keys(&mut app, "ab");
    let asked = requests(app.happen(Happening::ServerBack, later(1_000)));
    assert!(asked.iter().any(|request| matches!(request, Request::FollowDeck { .. })), "{asked:?}");
    let watched = |request: &Request| {
        *request == {
            let PaneKey { environment, session } = first();
            Request::WatchScreen { environment, session }
        }
    };
    assert!(asked.iter().any(watched), "the screens are watched anew: {asked:?}");
    assert_eq!(app.keyboard, None);
    assert_eq!(text(&app), "the server is back; 2 keys typed meanwhile went nowhere");
    // The rest of the word is no command of the deck.
    assert_eq!(app.happen(key(KeyCode::Char('D')), later(1_200)), []);
    assert_eq!(app.happen(key(KeyCode::Char('x')), later(1_500)), []);
    assert!(text(&app).contains("4 keys"), "{}", text(&app));
    assert!(app.overlay.is_none());
    let taken = requests(app.happen(key(KeyCode::Enter), later(2_500)));
    let PaneKey { environment, session } = first();
    assert!(taken.contains(&Request::TakeKeyboard { environment, session }), "{taken:?}");
}

#[test]
fn a_keyboard_can_be_given_back_without_a_server() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    app.happen(Happening::ServerLost, NOW);
    assert_eq!(app.happen(control('q'), NOW), []);
    type_keys(&mut app, "l");
    assert_eq!(app.selected, Some(sample::id(2)), "the deck's own keys work");
    assert!(!picture(&app).contains("not sent"));
}

#[test]
fn a_request_without_a_server_is_refused_and_its_view_closed() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::ServerLost, NOW);
    assert_eq!(type_keys(&mut app, "d"), []);
    assert!(app.views.is_empty());
    assert_eq!(text(&app), "not done: the server is gone");
}

/// The failure of a request whose server went before it answered.
async fn loss() -> Failure {
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    Client::from_stream(near).await.expect_err("nobody is there")
}

#[tokio::test]
async fn keys_on_their_way_when_the_server_went_are_counted_as_doubtful() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    let sent = type_keys(&mut app, "ls");
    let tags = sent.into_iter().filter_map(|effect| match effect {
        Effect::Send(_, tag) => Some(tag),
        _ => None,
    });
    let tags: Vec<Tag> = tags.collect();
    assert_eq!(tags, [Tag::Typed, Tag::Typed]);
    app.happen(Happening::ServerLost, NOW);
    for tag in tags {
        app.happen(Happening::Reply(tag, Err(loss().await)), NOW);
    }
    assert_eq!(text(&app), "");
    app.happen(Happening::ServerBack, NOW);
    assert_eq!(text(&app), "the server is back; 2 keys before that may not have arrived");
    let later = Timestamp(NOW.0 + 60_000);
    app.happen(Happening::Reply(Tag::Typed, Err(loss().await)), later);
    app.happen(Happening::ServerLost, later);
    app.happen(Happening::ServerBack, later);
    assert_eq!(text(&app), "the server is back; 1 key before that may not have arrived");
}

#[tokio::test]
async fn a_decision_whose_answer_was_lost_is_to_be_looked_at() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::ServerLost, NOW);
    app.happen(Happening::Reply(Tag::Decide, Err(loss().await)), NOW);
    assert_eq!(text(&app), "the server went before it answered");
}

#[test]
fn what_a_new_server_does_not_list_is_gone() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::ServerLost, NOW);
    app.happen(Happening::ServerBack, NOW);
    let left = app.environments[..2].to_vec();
    app.happen(Happening::Reply(Tag::Listed, Ok(Reply::Environments(left))), NOW);
    let ids: Vec<_> = app.environments.iter().map(|environment| environment.id.clone()).collect();
    assert_eq!(ids, [sample::id(1), sample::id(2)]);
}

#[test]
fn a_server_that_was_stopped_is_started_by_a_key_and_not_by_itself() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::Event(Event::ServerStopping), NOW);
    assert!(app.server_is_stopping());
    app.happen(Happening::ServerLost, NOW);
    assert!(header(&app).contains("server stopped · R starts it"), "{}", header(&app));
    assert_eq!(type_keys(&mut app, "R"), [Effect::RestartServer]);
}

#[test]
fn an_older_server_is_named_once_and_replaced_by_a_key() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::ServerLost, NOW);
    let failure = Failure::new(FailureKind::OlderServer, "older than this program");
    app.happen(Happening::ServerTrouble(failure.clone()), NOW);
    assert_eq!(text(&app), "older than this program");
    assert!(header(&app).contains("an older server runs · R restarts it"), "{}", header(&app));
    app.message = None;
    app.happen(Happening::ServerTrouble(failure), NOW);
    assert!(app.message.is_none(), "it is said once");
    assert_eq!(type_keys(&mut app, "R"), [Effect::RestartServer]);
}

#[test]
fn an_attached_session_is_taken_again_once_nobody_types() {
    let mut app = sample::deck(MIDDLE).attached_to(first());
    app.happen(Happening::Tick, NOW);
    assert_eq!(app.keyboard, Some(first()));
    let effects = app.happen(Happening::ServerLost, NOW);
    assert_eq!(effects, [], "it does not leave");
    type_keys(&mut app, "abc");
    app.happen(Happening::ServerBack, later(500));
    assert_eq!(app.keyboard, None);
    app.happen(key(KeyCode::Char('d')), later(600));
    assert_eq!(app.keyboard, None, "half a word would arrive");
    app.happen(Happening::Tick, later(1_100));
    assert_eq!(app.keyboard, Some(first()));
    assert!(text(&app).contains("4 keys typed meanwhile"), "{}", text(&app));
}

#[test]
fn a_clock_that_is_set_back_keeps_no_key_and_no_size_waiting() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    app.happen(Happening::ServerLost, NOW);
    app.happen(Happening::ServerBack, NOW);
    let yesterday = Timestamp(NOW.0 - 24 * 60 * 60 * 1000);
    app.clock_jumped(yesterday);
    app.happen(key(KeyCode::Char('l')), yesterday);
    assert_eq!(app.selected, Some(sample::id(2)));
    assert!(app.deadline().is_none_or(|at| at.0 < yesterday.0 + 60_000), "{:?}", app.deadline());
    assert!(
        picture(&app).contains("claude 1/2 · now"),
        "an age is not negative:\n{}",
        picture(&app)
    );
}

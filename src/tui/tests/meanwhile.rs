//! What comes of its own accord while keys are on their way: none of them acts on what they were
//! not meant for.

use super::super::app::{App, Effect, Happening, Overlay, Tag};
use super::super::panes::PaneKey;
use super::sample;
use super::{KeyCode, LATER, MIDDLE, NOW, Request, Timestamp, key, picture, requests, type_keys};
use crate::model::decision::MergeDraft;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::proto::{Event, Reply, Target};

fn agent(number: u8) -> PaneKey {
    PaneKey { environment: sample::id(number), session: SessionId::AGENT }
}

/// The reply that opens the form, after these keys.
fn drafted_after(keys: &[KeyCode]) -> App {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "m");
    for code in keys {
        app.happen(key(*code), NOW);
    }
    let draft = MergeDraft { message: "limit checkout".to_owned(), ..MergeDraft::default() };
    let reply = Ok(Reply::MergeDraft(Box::new(draft)));
    app.happen(Happening::Reply(Tag::MergeDraft(sample::id(1)), reply), NOW);
    app
}

#[test]
fn a_merge_is_not_made_by_keys_that_were_on_their_way_when_its_form_opened() {
    let mut app = drafted_after(&[]);
    assert_eq!(requests(type_keys(&mut app, "yes")), []);
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
    app.happen(Happening::Tick, LATER);
    let asked = requests(app.happen(key(KeyCode::Enter), app.now));
    assert!(
        matches!(asked.as_slice(), [Request::Merge { message: Some(message), .. }] if message == "limit checkout"),
        "{asked:?}"
    );
}

#[test]
fn a_merge_form_opens_over_nothing_that_was_begun_meanwhile() {
    let elsewhere: [&[KeyCode]; 4] = [
        &[KeyCode::Char('j')],
        &[KeyCode::Enter],
        &[KeyCode::Char('d')],
        &[KeyCode::Char('n'), KeyCode::Char('x')],
    ];
    for keys in elsewhere {
        let mut app = drafted_after(keys);
        assert!(!matches!(app.overlay, Some(Overlay::Merge(_))), "after {keys:?}");
        let said = app.message.clone().map(|message| (message.text, message.hint));
        let words = "the merge of brave-otter is drafted, and not made".to_owned();
        assert_eq!(said, Some((words, Some("m on brave-otter shows it".to_owned()))));
        let asked = requests(app.happen(key(KeyCode::Enter), NOW));
        assert!(!asked.iter().any(|request| matches!(request, Request::Merge { .. })), "{asked:?}");
    }
    let app = drafted_after(&[KeyCode::Char('n'), KeyCode::Char('x')]);
    assert!(matches!(app.overlay, Some(Overlay::New(_))), "what was typed is still there");
}

fn remove(app: &mut App, number: u8) {
    let removed = Event::EnvironmentRemoved { environment: sample::id(number) };
    app.happen(Happening::Event(removed), app.now);
}

#[test]
fn keys_meant_for_an_environment_that_went_do_nothing_to_its_neighbour() {
    let mut app = sample::deck(MIDDLE);
    remove(&mut app, 1);
    assert_eq!(app.selected_pane(), Some(agent(2)));
    assert_eq!(requests(type_keys(&mut app, "axpB")), []);
    app.happen(Happening::Tick, LATER);
    let target = Target::Id(sample::id(2));
    assert_eq!(requests(type_keys(&mut app, "x")), [Request::StopEnvironment { target }]);
    // Another one that goes is no reason to drop a key.
    remove(&mut app, 4);
    let target = Target::Id(sample::id(2));
    assert_eq!(requests(type_keys(&mut app, "x")), [Request::StopEnvironment { target }]);
}

#[test]
fn what_was_typed_into_a_form_is_kept_when_the_chosen_environment_goes() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "n");
    remove(&mut app, 1);
    type_keys(&mut app, "newt");
    assert!(picture(&app).contains("newt"), "{}", picture(&app));
}

#[test]
fn on_the_map_the_chosen_one_stays_chosen_while_others_come_and_go() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "Mjj");
    remove(&mut app, 1);
    app.happen(key(KeyCode::Enter), NOW);
    assert!(app.views.is_empty(), "another one that goes is no reason to drop a key");
    assert_eq!(app.selected, Some(sample::id(3)));
    type_keys(&mut app, "M");
    remove(&mut app, 3);
    app.happen(Happening::Tick, Timestamp(NOW.0 + 100));
    type_keys(&mut app, " ");
    assert_eq!(app.marked, [], "it was not meant for what came in its place");
    app.happen(Happening::Tick, LATER);
    type_keys(&mut app, " ");
    assert_eq!(app.marked, [sample::id(4)]);
}

#[test]
fn a_new_environment_is_chosen_unless_something_was_pressed_since() {
    for (keys, chosen) in [("", 9), ("l", 2)] {
        let mut app = sample::deck(MIDDLE);
        let effects = type_keys(&mut app, "f");
        let [Effect::Send(Request::ForkEnvironment { .. }, tag)] = &effects[..] else {
            panic!("{effects:?}")
        };
        type_keys(&mut app, keys);
        let made = sample::environment(9, "new-newt", "shell");
        let reply = Reply::Environment(Box::new(made));
        app.happen(Happening::Reply(tag.clone(), Ok(reply)), NOW);
        assert_eq!(app.selected, Some(sample::id(chosen)), "after {keys:?}");
    }
}

#[test]
fn a_shell_does_not_come_between_a_held_keyboard_and_its_screen() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "s");
    app.happen(key(KeyCode::Enter), NOW);
    let session = SessionId(1);
    let started = Reply::SessionStarted { environment: sample::id(1), session };
    app.happen(Happening::Reply(Tag::Shell(sample::id(1)), Ok(started)), NOW);
    assert_eq!((app.keyboard.clone(), app.selected_pane()), (Some(agent(1)), Some(agent(1))));
    assert!(picture(&app).contains("the shell is open"), "{}", picture(&app));
}

#[test]
fn keys_meant_for_a_view_that_could_not_be_read_do_nothing_to_what_lies_below() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "d");
    let ticket = app.views.last().expect("a view is open").ticket();
    let failure = Failure::new(FailureKind::NotFound, "it is gone");
    app.happen(Happening::Reply(Tag::View(ticket), Err(failure)), NOW);
    assert!(app.views.is_empty());
    assert_eq!(requests(type_keys(&mut app, "a")), []);
}

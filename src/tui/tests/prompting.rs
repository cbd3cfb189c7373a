//! Texts for agents: to whom, and what is said of what came of them.

use super::*;
use crate::model::environment::Environment;
use crate::model::id::EnvironmentId;
use crate::model::prompt::{Delivery, Prompt, PromptId, Sign};
use crate::proto::{Event, Target};

/// Where a prompt stands, of an environment by its number.
fn deliver(app: &mut App, number: u8, name: &str, delivery: Delivery) {
    let environment = sample::environment(number, name, "codex");
    let prompt = Prompt { delivery, ..Prompt::new(PromptId(7), "add a test", NOW) };
    let changed = Environment { prompts: vec![prompt], ..environment };
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(changed))), NOW);
}

/// The server has the prompt.
fn keep(app: &mut App, number: u8) {
    let tag = Tag::Prompted { environment: sample::id(number) };
    let prompt = Prompt::new(PromptId(7), "add a test", NOW);
    app.happen(Happening::Reply(tag, Ok(Reply::Receipt(Box::new(prompt)))), NOW);
}

/// Whom a text goes to, and the text.
fn sent(effects: Vec<Effect>) -> Vec<(EnvironmentId, String)> {
    let prompt = |request| match request {
        Request::SendPrompt { target: Target::Id(id), text, patience: None } => Some((id, text)),
        _ => None,
    };
    requests(effects).into_iter().filter_map(prompt).collect()
}

fn waits(why: &str) -> Delivery {
    Delivery::Queued { why: why.to_owned() }
}

#[test]
fn a_text_goes_to_the_chosen_one_to_the_marked_or_to_all_that_run() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "b");
    assert!(picture(&app).contains("to brave-otter"), "{}", picture(&app));
    type_keys(&mut app, "add");
    app.happen(control('j'), NOW);
    type_keys(&mut app, "tests");
    let text = "add\ntests".to_owned();
    assert_eq!(sent(app.happen(key(KeyCode::Enter), NOW)), [(sample::id(1), text)]);

    type_keys(&mut app, " l bgo");
    let shown = picture(&app);
    assert!(shown.contains("Send to 2") && shown.contains("marked: "), "{shown}");
    app.happen(key(KeyCode::BackTab), NOW);
    let shown = picture(&app);
    // A stopped environment is not among them.
    assert!(shown.contains("all that run: brave-otter, calm-heron, dry-fox"), "{shown}");
    assert_eq!(sent(app.happen(key(KeyCode::Enter), NOW)).len(), 5);
    assert!(matches!(app.views.last(), Some(super::super::app::View::Prompts(_))));
}

#[test]
fn nothing_is_sent_without_a_text() {
    let mut app = sample::deck(SMALL);
    type_keys(&mut app, "b  ");
    assert_eq!(sent(app.happen(key(KeyCode::Enter), NOW)), []);
    assert!(app.overlay.is_none());
}

#[test]
fn what_comes_of_a_prompt_is_said_once_and_of_ours_alone() {
    let mut app = sample::deck(MIDDLE);
    deliver(&mut app, 2, "calm-heron", waits("it works"));
    assert!(!picture(&app).contains("waits for calm-heron"), "another client's");
    keep(&mut app, 2);
    assert!(picture(&app).contains("waits for calm-heron: it works"), "{}", picture(&app));
    app.happen(key(KeyCode::Escape), NOW);
    deliver(&mut app, 2, "calm-heron", waits("it works"));
    assert!(!picture(&app).contains("waits for calm-heron"), "said already");
    deliver(&mut app, 2, "calm-heron", Delivery::Typing);
    deliver(&mut app, 2, "calm-heron", Delivery::Taken { sign: Sign::Status });
    assert!(picture(&app).contains("calm-heron took it: its agent began to work"));
    app.happen(key(KeyCode::Escape), NOW);
    deliver(&mut app, 2, "calm-heron", Delivery::Unsure { why: "x".to_owned() });
    assert!(!picture(&app).contains("nobody knows"), "it was settled");

    keep(&mut app, 3);
    let failed = Delivery::Failed { why: "its program has ended".to_owned(), hint: None };
    deliver(&mut app, 3, "dry-fox", failed);
    let shown = picture(&app);
    assert!(shown.contains("dry-fox did not take it: its program has ended"), "{shown}");
}

#[test]
fn receipts_are_listed_and_what_waits_is_taken_back() {
    for size in [TINY, SMALL, MIDDLE] {
        let mut app = sample::deck(size);
        deliver(&mut app, 2, "calm-heron", Delivery::Taken { sign: Sign::Screen });
        deliver(&mut app, 3, "dry-fox", waits("somebody holds its keyboard"));
        type_keys(&mut app, "P");
        let shown = picture(&app);
        let has = |words: &str| size == TINY || shown.contains(words);
        assert!(has("▌ dry-fox"), "what waits comes first: {shown}");
        for words in ["queued", "taken", "add a test", "  somebody holds its keyboard"] {
            assert!(has(words), "{words}: {shown}");
        }
        let only = Some(PromptId(7));
        let cancel = Request::CancelPrompts { target: Target::Id(sample::id(3)), only };
        assert_eq!(requests(type_keys(&mut app, "x")), [cancel]);
        assert_eq!(requests(type_keys(&mut app, "jx")), [], "it is settled");
    }
}

#[test]
fn what_a_prompt_says_cannot_steer_the_terminal() {
    let mut app = sample::deck(MIDDLE);
    let environment = sample::environment(2, "calm-heron", "codex");
    let delivery = waits("\x1b]0;x\x07");
    let prompt = Prompt { delivery, ..Prompt::new(PromptId(1), "a\u{202e}\x1b[2J", NOW) };
    let changed = Environment { prompts: vec![prompt], ..environment };
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(changed))), NOW);
    type_keys(&mut app, "P");
    let shown = picture(&app);
    assert!(shown.contains("\\u{202e}") && !shown.contains(['\x1b', '\u{202e}']), "{shown}");
}

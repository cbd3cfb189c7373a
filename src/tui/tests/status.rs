//! What agents are doing, as the deck shows it, and who needs the user first.

use super::sample;
use super::*;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::status::{Doing, Need, Source, Status};
use crate::proto::Event;

/// Its agent is in a state since so many seconds.
fn told(environment: &Environment, state: Doing, seconds: u64) -> Environment {
    let since = Timestamp(NOW.0 - seconds * 1000);
    let says = matches!(state, Doing::Waiting { .. }).then(|| "approve Write: a.txt".to_owned());
    let mut environment = environment.clone();
    environment.sessions[0].status = Some(Status { state, source: Source::Report, since, says });
    environment
}

fn show(app: &mut App, environment: &Environment) {
    let changed = Event::EnvironmentChanged(Box::new(environment.clone()));
    app.happen(Happening::Event(changed), NOW);
}

const ASKS: Doing = Doing::Waiting { need: Need::Permission };

#[test]
fn each_state_has_a_shape_a_word_and_an_age_of_its_own() {
    for (state, shape, word) in [
        (Doing::Working, '●', "working · 20 s"),
        (ASKS, '▲', "waiting: permission · 20 s"),
        (Doing::Waiting { need: Need::Answer }, '▲', "waiting: answer · 20 s"),
        (Doing::Waiting { need: Need::Login }, '▲', "waiting: login · 20 s"),
        (Doing::Done, '✓', "done · 20 s"),
        (Doing::Failed, '✗', "failed · 20 s"),
        (Doing::Idle, '○', "idle · 20 s"),
        (Doing::Unknown, '?', "running, status unknown · 20 s"),
    ] {
        let mut app = sample::deck(LARGE);
        let heron = sample::environment(2, "calm-heron", "codex");
        show(&mut app, &told(&heron, state, 20));
        let shown = picture(&app);
        assert!(shown.contains(&format!("{shape} calm-heron")), "{state}: {shown}");
        assert!(shown.contains(word), "{state}: {shown}");
        // A box that stands still has its agent stand still.
        let paused = EnvironmentState::Paused { reason: None };
        show(&mut app, &Environment { state: paused, ..told(&heron, state, 20) });
        assert!(!picture(&app).contains(word), "{state}");
    }
}

#[test]
fn who_has_waited_longest_comes_first_and_stays_until_it_is_answered() {
    let mut app = sample::deck(LARGE);
    app.attention.clear();
    let heron = sample::environment(2, "calm-heron", "codex");
    let mole = sample::environment(5, "fast-mole", "claude");
    let otter = sample::environment(1, "brave-otter", "claude");
    show(&mut app, &told(&heron, ASKS, 30));
    show(&mut app, &told(&mole, ASKS, 300));
    show(&mut app, &told(&otter, Doing::Working, 900));
    assert!(picture(&app).contains("▲ 2 need you"));
    let mut visited = Vec::new();
    for _ in 0..3 {
        type_keys(&mut app, "!");
        visited.push(app.selected.clone().expect("one is chosen"));
    }
    assert_eq!(visited, [mole.id.clone(), heron.id.clone(), mole.id.clone()]);
    show(&mut app, &told(&mole, Doing::Working, 0));
    show(&mut app, &told(&heron, Doing::Working, 0));
    type_keys(&mut app, "!");
    assert!(picture(&app).contains("no environment needs you"));
}

#[test]
fn a_finished_turn_calls_for_attention_until_it_is_looked_at_or_goes_on() {
    let mut app = sample::deck(LARGE);
    app.attention.clear();
    let heron = sample::environment(2, "calm-heron", "codex");
    for goes_on in [Doing::Working, Doing::Idle] {
        show(&mut app, &told(&heron, Doing::Working, 60));
        assert!(!app.attention.contains(&heron.id));
        show(&mut app, &told(&heron, Doing::Done, 0));
        assert!(app.attention.contains(&heron.id));
        show(&mut app, &told(&heron, goes_on, 0));
        assert!(!app.attention.contains(&heron.id), "{goes_on}");
    }
    show(&mut app, &told(&heron, Doing::Done, 0));
    type_keys(&mut app, "!");
    assert!(!app.attention.contains(&heron.id));
    show(&mut app, &told(&heron, Doing::Done, 5));
    assert!(!app.attention.contains(&heron.id), "nothing new");
}

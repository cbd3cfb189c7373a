//! Environments of which a server that just began knows only how they stood before it.

use super::sample;
use super::*;
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::proto::Event;

fn seen(app: &mut App, environment: &Environment) {
    let changed = Event::EnvironmentChanged(Box::new(environment.clone()));
    app.happen(Happening::Event(changed), NOW);
}

/// The same environment, of which nobody knows since twenty seconds.
fn unheard(environment: &Environment) -> Environment {
    let (since, message) = (Timestamp(NOW.0 - 20_000), "not asked".to_owned());
    Environment {
        last_known: Some(Box::new(environment.state.clone())),
        state: EnvironmentState::EngineUnreachable { since, message },
        state_since: since,
        ..environment.clone()
    }
}

#[test]
fn what_was_known_is_shown_as_such_and_calls_for_attention_once() {
    let mut app = sample::deck(LARGE);
    let mut fox = sample::environment(3, "dry-fox", "aider");
    seen(&mut app, &fox);
    app.attention.clear();
    seen(&mut app, &unheard(&fox));
    let shown = picture(&app);
    assert!(shown.contains("checking, was running · 20 s"), "{shown}");
    seen(&mut app, &fox);
    assert!(app.attention.is_empty(), "it goes on");
    fox.sessions[0].state = SessionState::Exited { code: 0, at: NOW };
    // Its box told of the agent first, and then that it runs.
    seen(&mut app, &unheard(&fox));
    seen(&mut app, &fox);
    assert!(app.attention.contains(&fox.id));
    app.attention.clear();
    seen(&mut app, &unheard(&fox));
    seen(&mut app, &fox);
    assert!(app.attention.is_empty(), "that it is done was known before");
}

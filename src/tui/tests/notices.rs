//! What is announced to the user, when, and that it is announced once.

use super::super::app::Notice;
use super::sample;
use super::*;
use crate::model::attention::{Attend, Attention};
use crate::model::environment::Environment;
use crate::model::id::EnvironmentId;
use crate::model::status::{Doing, Need, Source, Status};
use crate::proto::{Event, Target};

const ASKS: Doing = Doing::Waiting { need: Need::Permission };

fn later(milliseconds: u64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn heron() -> Environment {
    sample::environment(2, "calm-heron", "codex")
}

fn mole() -> Environment {
    sample::environment(5, "fast-mole", "claude")
}

/// Its agent came into a state just now.
fn show(app: &mut App, environment: &Environment, state: Doing) -> Vec<Effect> {
    let mut environment = environment.clone();
    let says = Some("approve Write: a.txt".to_owned());
    environment.sessions[0].status =
        Some(Status { state, source: Source::Report, since: NOW, says });
    let changed = Event::EnvironmentChanged(Box::new(environment));
    app.happen(Happening::Event(changed), NOW)
}

/// What is announced to the server, and whether its answer matters.
fn announced(effects: Vec<Effect>) -> Vec<(EnvironmentId, bool)> {
    let attend = |effect| match effect {
        Effect::Send(Request::Attend { target: Target::Id(id), attend }, tag) => {
            assert_eq!(attend, Attend::Notice { since: NOW });
            Some((id, matches!(tag, Tag::Notice(_))))
        }
        _ => None,
    };
    effects.into_iter().filter_map(attend).collect()
}

fn grant(app: &mut App, environment: &Environment, first: bool) {
    let tag = Tag::Notice(environment.id.clone());
    app.happen(Happening::Reply(tag, Ok(Reply::Attended { first })), later(1_000));
}

fn told(app: &mut App) -> Vec<Notice> {
    let effects = app.happen(Happening::Tick, later(1_500));
    let notice = |effect| match effect {
        Effect::Notify(notice) => Some(notice),
        _ => None,
    };
    effects.into_iter().filter_map(notice).collect()
}

/// A deck at which nobody looks.
fn away() -> App {
    let mut app = sample::deck(LARGE);
    app.happen(Happening::Input(Input::Focus(false)), BEFORE);
    app
}

#[test]
fn a_change_that_holds_is_told_once_somebody_grants_it() {
    for (first, count) in [(true, 1), (false, 0)] {
        let mut app = away();
        assert_eq!(announced(show(&mut app, &heron(), ASKS)), []);
        assert!(app.deadline().is_some_and(|at| at <= later(1_000)));
        let asked = app.happen(Happening::Tick, later(1_000));
        assert_eq!(announced(asked), [(heron().id, true)]);
        grant(&mut app, &heron(), first);
        let notices = told(&mut app);
        assert_eq!(notices.len(), count);
        if let [notice] = notices.as_slice() {
            assert_eq!(notice.title, "calm-heron waits for permission");
            assert_eq!(notice.body, "approve Write: a.txt");
            let shown = picture(&app);
            assert!(shown.contains("calm-heron waits for permission: approve"), "{shown}");
        }
    }
}

#[test]
fn what_passes_at_once_is_not_told() {
    let mut app = away();
    show(&mut app, &heron(), ASKS);
    show(&mut app, &heron(), Doing::Working);
    assert_eq!(announced(app.happen(Happening::Tick, later(1_000))), []);
}

#[test]
fn what_is_on_the_screen_is_known_without_being_told() {
    let mut app = sample::deck(LARGE);
    show(&mut app, &heron(), ASKS);
    let asked = app.happen(Happening::Tick, later(1_000));
    assert_eq!(announced(asked), [(heron().id, false)]);
    // The same behind another view is told.
    let mut app = sample::deck(LARGE);
    type_keys(&mut app, "i");
    show(&mut app, &heron(), ASKS);
    let asked = app.happen(Happening::Tick, later(1_000));
    assert_eq!(announced(asked), [(heron().id, true)]);
}

#[test]
fn a_fleet_that_stops_is_one_message() {
    let mut app = away();
    show(&mut app, &heron(), ASKS);
    show(&mut app, &mole(), Doing::Done);
    assert_eq!(announced(app.happen(Happening::Tick, later(1_000))).len(), 2);
    grant(&mut app, &heron(), true);
    grant(&mut app, &mole(), true);
    let [notice]: [Notice; 1] = told(&mut app).try_into().expect("one");
    assert_eq!(notice.title, "2 environments need you");
    assert_eq!(notice.body, "calm-heron waits for permission, fast-mole is done");
    assert_eq!(notice.names, ["calm-heron", "fast-mole"]);
}

#[test]
fn nobody_is_disturbed_who_does_not_want_to_be() {
    let mut app = away();
    type_keys(&mut app, "Z");
    assert!(picture(&app).contains("do not disturb"));
    show(&mut app, &heron(), ASKS);
    let asked = app.happen(Happening::Tick, later(1_000));
    assert_eq!(announced(asked), [(heron().id, false)]);

    let mut app = away();
    let attention = Attention { snoozed: later(60_000), ..heron().attention };
    let snoozed = Environment { attention, ..heron() };
    show(&mut app, &snoozed, ASKS);
    assert_eq!(announced(app.happen(Happening::Tick, later(1_000))), []);
    app.attention.clear();
    type_keys(&mut app, "!");
    assert!(picture(&app).contains("no environment needs you"), "{}", picture(&app));
    assert!(picture(&app).contains("snoozed"));
    // It is told when that is over.
    let asked = app.happen(Happening::Tick, later(60_000));
    assert_eq!(announced(asked), [(heron().id, true)]);
}

#[test]
fn what_somebody_was_told_before_is_not_told_again() {
    let mut app = away();
    let attention = Attention { noticed: NOW, ..heron().attention };
    show(&mut app, &Environment { attention, ..heron() }, ASKS);
    assert_eq!(announced(app.happen(Happening::Tick, later(1_000))), []);
}

#[test]
fn who_looks_has_it_marked_as_seen_and_another_client_takes_note() {
    let mut app = away();
    app.attention.clear();
    show(&mut app, &heron(), Doing::Done);
    let asked = requests(type_keys(&mut app, "!"));
    let (target, attend) = (Target::Id(heron().id), Attend::See { since: NOW });
    assert!(asked.contains(&Request::Attend { target, attend }), "{asked:?}");

    let mut app = away();
    show(&mut app, &heron(), Doing::Done);
    assert!(app.attention.contains(&heron().id));
    let attention = Attention { noticed: NOW, seen: NOW, ..Attention::default() };
    show(&mut app, &Environment { attention, ..heron() }, Doing::Done);
    assert!(!app.attention.contains(&heron().id), "seen by another client");
}

#[test]
fn snoozing_ends_by_its_key() {
    let mut app = sample::deck(LARGE);
    type_keys(&mut app, "l");
    let until = Timestamp(app.now.0 + 15 * 60 * 1000);
    let id = app.selected.clone().expect("one is chosen");
    let asked = requests(type_keys(&mut app, "w"));
    let attend = Attend::Snooze { until };
    assert!(asked.contains(&Request::Attend { target: Target::Id(id), attend }), "{asked:?}");
}

#[test]
fn who_needs_the_user_comes_first_when_that_is_wanted() {
    let mut app = sample::deck(LARGE);
    app.attention.clear();
    show(&mut app, &mole(), ASKS);
    let first = |app: &App| app.environments[0].name.to_string();
    assert_eq!(first(&app), "brave-otter");
    let selected = app.selected.clone();
    type_keys(&mut app, "o");
    assert_eq!(first(&app), "fast-mole");
    assert_eq!(app.selected, selected, "the chosen one stays chosen");
    show(&mut app, &mole(), Doing::Working);
    assert_eq!(first(&app), "brave-otter");
    type_keys(&mut app, "oo");
    assert_eq!(first(&app), "brave-otter");
}

#[test]
fn only_who_needs_the_user_is_shown_when_that_is_wanted_and_the_chosen_one() {
    let mut app = sample::deck(LARGE);
    app.attention.clear();
    show(&mut app, &mole(), ASKS);
    let all = app.environments.len();
    let names = |app: &App| -> Vec<String> {
        app.environments[..app.shown_count()].iter().map(|it| it.name.to_string()).collect()
    };
    assert_eq!(names(&app).len(), all);
    type_keys(&mut app, "oo");
    assert_eq!(names(&app), ["fast-mole", "brave-otter"], "who asks, and who was chosen");
    assert!(picture(&app).contains(&format!("2 of {all} environments")), "{}", picture(&app));
    assert_eq!(app.layout().tiles.len(), 2);
    type_keys(&mut app, "h");
    assert_eq!(names(&app), ["fast-mole"], "what was left is out of the way");
    type_keys(&mut app, "l");
    assert_eq!(names(&app), ["fast-mole"], "there is nothing beside it");
    show(&mut app, &mole(), Doing::Working);
    assert_eq!(names(&app), ["fast-mole"], "the chosen one stays in sight");
    type_keys(&mut app, "o");
    assert_eq!(names(&app).len(), all);
}

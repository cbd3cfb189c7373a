//! What the app does with what happens.

use super::super::action::Action;
use super::super::app::{App, Effect, Happening, Overlay, Tag, View};
use super::super::panes::PaneKey;
use super::sample;
use super::{
    Input, Key, KeyCode, MIDDLE, Modifiers, NOW, SMALL, Size, TINY, Timestamp, answer, control,
    key, picture, requests, type_keys,
};
use crate::model::decision::{Decision, DecisionKind, MergeStyle, Portion};
use crate::model::diff::Detail;
use crate::model::environment::{SessionKind, SessionState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{DecisionId, EnvironmentName, SessionId};
use crate::model::input::{Mouse, MouseButton, MouseKind};
use crate::model::path::RepoPath;
use crate::model::policy::EngineKind;
use crate::proto::{DiffSide, Event, Reply, Request, Target};

fn agent(number: u8) -> PaneKey {
    PaneKey { environment: sample::id(number), session: SessionId::AGENT }
}

fn typed(code: KeyCode, modifiers: u8) -> Request {
    let PaneKey { environment, session } = agent(1);
    let input = Input::Key(Key { code, modifiers: Modifiers(modifiers) });
    Request::SendInput { environment, session, input }
}

#[test]
fn a_held_keyboard_sends_every_key_until_it_is_given_back() {
    let mut app = sample::deck(MIDDLE);
    let taken = requests(app.happen(key(KeyCode::Enter), NOW));
    let PaneKey { environment, session } = agent(1);
    assert!(taken.contains(&Request::TakeKeyboard { environment, session }), "{taken:?}");
    assert!(picture(&app).contains("yours · Ctrl+Q"));

    assert_eq!(requests(app.happen(key(KeyCode::Escape), NOW)), [typed(KeyCode::Escape, 0)]);
    let interrupt = typed(KeyCode::Char('c'), Modifiers::CONTROL);
    assert_eq!(requests(app.happen(control('c'), NOW)), [interrupt]);
    assert_eq!(requests(type_keys(&mut app, "q")), [typed(KeyCode::Char('q'), 0)]);

    let PaneKey { environment, session } = agent(1);
    let given = requests(app.happen(control('q'), NOW));
    assert_eq!(given, [Request::GiveKeyboard { environment, session }]);
    assert_eq!(app.keyboard, None);
}

#[test]
fn the_second_way_out_works_too() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    app.happen(control('\\'), NOW);
    assert_eq!(app.keyboard, None);
}

#[test]
fn the_way_out_pressed_twice_quickly_goes_through() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    app.happen(control('q'), NOW);
    let again = requests(app.happen(control('q'), Timestamp(NOW.0 + 200)));
    assert!(again.contains(&typed(KeyCode::Char('q'), Modifiers::CONTROL)), "{again:?}");
    assert_eq!(app.keyboard, Some(agent(1)));

    app.happen(control('q'), Timestamp(NOW.0 + 900));
    let late = requests(app.happen(control('q'), Timestamp(NOW.0 + 2000)));
    assert_eq!((late, app.keyboard), (Vec::new(), None));
}

#[test]
fn only_what_is_seen_is_watched() {
    let mut app = sample::deck(SMALL);
    let effects = requests(type_keys(&mut app, "j"));
    let PaneKey { environment, session } = agent(1);
    assert!(effects.contains(&Request::UnwatchScreen { environment, session }), "{effects:?}");
    let PaneKey { environment, session } = agent(2);
    assert!(effects.contains(&Request::WatchScreen { environment, session }), "{effects:?}");

    let effects = requests(type_keys(&mut app, "v"));
    let PaneKey { environment, session } = agent(2);
    assert!(effects.contains(&Request::UnwatchScreen { environment, session }), "{effects:?}");
}

#[test]
fn a_session_gets_the_size_of_its_tile_once_the_window_is_quiet() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::Tick, Timestamp(NOW.0 + 500));
    let resized = Happening::Resized(Size { columns: 140, rows: 40 });
    assert_eq!(requests(app.happen(resized, Timestamp(NOW.0 + 1000))), []);
    let resized = Happening::Resized(Size { columns: 150, rows: 40 });
    assert_eq!(requests(app.happen(resized, Timestamp(NOW.0 + 1050))), []);
    assert_eq!(app.deadline(), Some(Timestamp(NOW.0 + 1130)));
    assert_eq!(requests(app.happen(Happening::Tick, Timestamp(NOW.0 + 1100))), []);
    let sent = requests(app.happen(Happening::Tick, Timestamp(NOW.0 + 1130)));
    let PaneKey { environment, session } = agent(1);
    let size = Size { columns: 73, rows: 17 };
    assert_eq!(sent, [Request::ResizeSession { environment, session, size }]);
    assert_eq!(requests(app.happen(Happening::Tick, Timestamp(NOW.0 + 1300))), []);
}

#[test]
fn the_size_that_another_client_chose_stays_and_is_told() {
    let resized = |app: &mut App, columns, rows| {
        let mut emulator = crate::term::Emulator::new(Size { columns, rows });
        let delta = emulator.delta_since(0).expect("everything is new");
        let PaneKey { environment, session } = agent(1);
        app.happen(Happening::Event(Event::Screen { environment, session, delta }), app.now)
    };
    let mut app = sample::deck(MIDDLE);
    let tile = app.selected_tile().expect("a tile").session_size();
    resized(&mut app, tile.columns, tile.rows);
    assert_eq!(app.sized_elsewhere(&agent(1)), None);
    // Another client has it larger: it is not taken back, however long one waits.
    assert_eq!(requests(resized(&mut app, 200, 60)), []);
    assert_eq!(requests(app.happen(Happening::Tick, Timestamp(NOW.0 + 1_000))), []);
    assert_eq!(app.sized_elsewhere(&agent(1)), Some(Size { columns: 200, rows: 60 }));
    assert!(picture(&app).contains(" 200×60 elsewhere "), "{}", picture(&app));
    // Who takes the keyboard takes the size.
    app.happen(key(KeyCode::Enter), Timestamp(NOW.0 + 1_000));
    let sent = requests(app.happen(Happening::Tick, Timestamp(NOW.0 + 2_000)));
    let PaneKey { environment, session } = agent(1);
    assert_eq!(sent, [Request::ResizeSession { environment, session, size: tile }]);
}

#[test]
fn what_is_not_seen_does_not_cause_a_frame() {
    let mut app = sample::deck(SMALL);
    app.dirty = false;
    app.happen(Happening::Event(sample::screen(2, 0, b"flood")), NOW);
    assert!(!app.dirty);
    app.happen(Happening::Event(sample::screen(1, 0, b"seen")), NOW);
    assert!(app.dirty);
}

#[test]
fn tab_goes_through_the_sessions_of_an_environment() {
    let mut app = sample::deck(MIDDLE);
    let shell = PaneKey { environment: sample::id(1), session: SessionId(1) };
    app.update(Action::NextSession);
    assert_eq!(app.selected_pane(), Some(shell.clone()));
    app.update(Action::NextSession);
    assert_eq!(app.selected_pane(), Some(agent(1)));
    type_keys(&mut app, "l");
    app.update(Action::NextSession);
    assert_eq!(app.selected_pane(), Some(agent(3)));
}

#[test]
fn a_shell_opens_in_the_chosen_environment_with_its_keyboard() {
    let mut app = sample::deck(MIDDLE);
    let effects = type_keys(&mut app, "2s");
    let [Effect::Send(Request::StartShell { target, size, .. }, tag)] = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Send(Request::StartShell { .. }, _)))
        .collect::<Vec<_>>()[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*target, Target::Id(sample::id(2)));
    assert_eq!(*size, Size { columns: 58, rows: 17 });
    let mut changed = sample::environment(2, "calm-heron", "codex");
    changed.sessions.push(sample::session(1, SessionKind::Shell));
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(changed))), NOW);
    let started = Reply::SessionStarted { environment: sample::id(2), session: SessionId(1) };
    let effects = requests(app.happen(Happening::Reply(tag.clone(), Ok(started)), NOW));
    let watch = Request::WatchScreen { environment: sample::id(2), session: SessionId(1) };
    assert!(effects.contains(&watch), "{effects:?}");
    let take = Request::TakeKeyboard { environment: sample::id(2), session: SessionId(1) };
    assert!(effects.contains(&take), "{effects:?}");
}

#[test]
fn a_shell_that_opens_late_leaves_a_user_who_went_on_alone() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "2s");
    let started = Reply::SessionStarted { environment: sample::id(2), session: SessionId(1) };
    app.happen(Happening::Reply(Tag::Shell(sample::id(2)), Ok(started)), NOW);
    type_keys(&mut app, "1");
    let mut changed = sample::environment(2, "calm-heron", "codex");
    changed.sessions.push(sample::session(1, SessionKind::Shell));
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(changed))), NOW);
    assert_eq!(app.keyboard, None);
}

#[test]
fn discarding_asks_and_keeping_is_what_enter_does() {
    let mut app = sample::deck(MIDDLE);
    assert_eq!(requests(type_keys(&mut app, "D")), []);
    assert!(picture(&app).contains("Discard brave-otter?"));
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
    assert!(app.overlay.is_none());
    let target = Target::Id(sample::id(1));
    assert_eq!(requests(type_keys(&mut app, "Dy")), [Request::Discard { target }]);
}

#[test]
fn a_refusal_names_its_paths_and_stays_until_it_was_readable() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "a");
    let failure = Failure::new(FailureKind::WouldOverwrite, "uncommitted work is in the way")
        .hint("commit or stash it, then apply again")
        .paths(vec![RepoPath::new("src/a b.rs"), RepoPath::new("notes.txt")]);
    app.happen(Happening::Reply(Tag::Decide, Err(failure)), NOW);
    let seen = picture(&app);
    for words in ["✗ uncommitted work", "src/a b.rs\n", "notes.txt\n", "commit or stash it"] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    app.happen(key(KeyCode::Escape), Timestamp(NOW.0 + 300));
    app.happen(Happening::Tick, Timestamp(NOW.0 + 60_000));
    type_keys(&mut app, "j");
    assert!(picture(&app).contains("notes.txt"), "it does not go by itself");
    app.happen(key(KeyCode::Escape), Timestamp(NOW.0 + 61_000));
    assert!(!picture(&app).contains("notes.txt"));
}

#[test]
fn an_undo_says_what_it_undid() {
    let mut app = sample::deck(MIDDLE);
    let repository = app.settings.repository.clone().expect("the sample has one");
    assert_eq!(
        requests(type_keys(&mut app, "u")),
        [Request::Undo { repository: repository.clone() }]
    );
    let decision = Decision {
        id: DecisionId(4),
        kind: DecisionKind::Apply,
        environment: sample::id(1),
        name: EnvironmentName::parse("brave-otter").expect("a good name"),
        repository,
        at: NOW,
        snapshot: None,
        commit: None,
        paths: vec![RepoPath::new("a"), RepoPath::new("b")],
        undone: true,
        portion: Portion::All,
        style: MergeStyle::Commit,
        hooks: Vec::new(),
        left_out: Vec::new(),
        as_of: None,
    };
    app.happen(Happening::Reply(Tag::Undo, Ok(Reply::Decided(Box::new(decision)))), NOW);
    assert!(picture(&app).contains("undid the apply of brave-otter: 2 files as before"));
}

#[test]
fn the_form_makes_what_was_asked_for() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "nswift-heron");
    app.happen(key(KeyCode::Tab), NOW);
    type_keys(&mut app, "lll");
    app.happen(key(KeyCode::Tab), NOW);
    type_keys(&mut app, "vim 'a b'");
    let made = requests(app.happen(key(KeyCode::Enter), NOW));
    let [Request::CreateEnvironment { spec }] = &made[..] else { panic!("{made:?}") };
    assert_eq!(spec.name.as_ref().map(EnvironmentName::as_str), Some("swift-heron"));
    let command = ["vim", "a b"].map(str::to_owned).to_vec();
    assert_eq!(spec.work, crate::model::environment::Work::Command(command));
    assert_eq!((spec.engine, spec.image.as_ref()), (Some(EngineKind::Native), None));
    assert_eq!(spec.size, Size { columns: 118, rows: 17 }, "the tile it will have");
}

#[test]
fn a_bad_name_keeps_the_form_open_and_says_why() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "nBad Name");
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
    assert!(matches!(app.overlay, Some(Overlay::New(_))));
    assert!(picture(&app).contains("is not a name"), "{}", picture(&app));
}

#[test]
fn a_snapshot_opens_its_difference_to_the_one_before() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "v");
    answer(&mut app, Reply::History(sample::history()));
    type_keys(&mut app, "h");
    let opened = requests(app.happen(key(KeyCode::Enter), NOW));
    let expected = Request::ReadDiff {
        target: Target::Id(sample::id(1)),
        from: DiffSide::Snapshot(sample::commit(11)),
        to: DiffSide::Snapshot(sample::commit(12)),
        detail: Detail::Outline,
    };
    assert!(opened.contains(&expected), "{opened:?}");
}

#[test]
fn a_history_grows_while_it_is_open_and_keeps_the_chosen_row() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "v");
    let mut taken = sample::history();
    let newest = taken.pop().expect("there are some");
    answer(&mut app, Reply::History(taken));
    type_keys(&mut app, "h");
    let event =
        Event::SnapshotTaken { environment: sample::id(1), snapshot: Box::new(newest.clone()) };
    app.happen(Happening::Event(event), NOW);
    let Some(View::History(view)) = app.views.last() else { panic!("the history is open") };
    let snapshots = view.snapshots.as_ref().expect("it was answered");
    assert_eq!((snapshots[0].id.clone(), view.row), (newest.id, 2));
}

#[test]
fn searching_goes_through_matches_and_ends_with_escape() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, "d");
    answer(&mut app, Reply::Diff(sample::diff()));
    type_keys(&mut app, "/CART");
    app.happen(key(KeyCode::Enter), NOW);
    let top = |app: &super::super::app::App| match app.views.last() {
        Some(View::Diff(view)) => view.place.row,
        _ => panic!("the diff is open"),
    };
    assert_eq!(top(&app), 6);
    type_keys(&mut app, "n");
    assert_eq!(top(&app), 7);
    type_keys(&mut app, "N");
    assert_eq!(top(&app), 6);
    app.happen(key(KeyCode::Escape), NOW);
    type_keys(&mut app, "n");
    assert!(picture(&app).contains("file 2 of 3"));
}

#[test]
fn a_click_chooses_and_gives_the_keyboard_back() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    let click = Mouse {
        kind: MouseKind::Press,
        button: MouseButton::Left,
        column: 80,
        row: 10,
        modifiers: Modifiers(0),
    };
    app.happen(Happening::Input(Input::Mouse(click)), NOW);
    assert_eq!((app.keyboard.clone(), app.selected_pane()), (None, Some(agent(2))));
}

#[test]
fn the_wheel_goes_to_a_program_that_asked_for_it() {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::Event(sample::screen(1, 0, b"\x1b[?1000h\x1b[?1006hvim")), NOW);
    let wheel = Mouse {
        kind: MouseKind::ScrollUp,
        button: MouseButton::None,
        column: 11,
        row: 7,
        modifiers: Modifiers(0),
    };
    let sent = requests(app.happen(Happening::Input(Input::Mouse(wheel)), NOW));
    let PaneKey { environment, session } = agent(1);
    let input = Input::Mouse(Mouse { column: 10, row: 5, ..wheel });
    assert_eq!(sent, [Request::SendInput { environment, session, input }]);
}

#[test]
fn an_ended_agent_needs_the_user_until_looked_at() {
    let mut app = sample::deck(MIDDLE);
    let mut ended = sample::environment(2, "calm-heron", "codex");
    ended.sessions[0].state = SessionState::Exited { code: 1, at: NOW };
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(ended))), NOW);
    assert!(picture(&app).contains("▲ 1 needs you"));
    type_keys(&mut app, "!");
    assert_eq!(app.selected_pane(), Some(agent(2)));
    assert!(!picture(&app).contains('▲'));
}

#[test]
fn a_removed_environment_takes_its_keyboard_and_marks_along() {
    let mut app = sample::deck(MIDDLE);
    type_keys(&mut app, " ");
    app.happen(key(KeyCode::Enter), NOW);
    let removed = Event::EnvironmentRemoved { environment: sample::id(1) };
    app.happen(Happening::Event(removed), NOW);
    assert_eq!((app.keyboard.clone(), app.marked.clone()), (None, Vec::new()));
    assert_eq!(app.selected_pane(), Some(agent(2)));
}

#[test]
fn taking_over_from_a_bare_list_shows_the_session() {
    let mut app = sample::deck(TINY);
    app.happen(key(KeyCode::Enter), NOW);
    assert!(app.zoomed && app.keyboard.is_some());
}

#[test]
fn leaving_leaves_the_agents_alone() {
    let mut app = sample::deck(MIDDLE);
    assert_eq!(type_keys(&mut app, "q"), [Effect::Leave]);
}

#[test]
fn an_idle_deck_is_not_drawn_more_often_than_its_ages_change() {
    let app = sample::deck(MIDDLE);
    let due = app.deadline().expect("ages change");
    assert!(due.0 >= NOW.0 + 80, "{due:?}");
}

#[test]
fn an_attached_client_takes_the_keyboard_and_leaves_with_it() {
    let app = super::super::app::App::new(sample::settings(), SMALL, NOW);
    let mut app = app.attached_to(agent(1));
    let known = sample::environment(1, "brave-otter", "claude");
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(known))), NOW);
    assert_eq!(app.keyboard, Some(agent(1)));
    let effects = app.happen(control('q'), NOW);
    assert!(effects.contains(&Effect::Leave), "{effects:?}");
}

#[test]
fn an_attached_client_shows_its_session_whichever_environment_it_is_told_of_first() {
    for order in [[1, 2, 3], [2, 1, 3], [3, 2, 1]] {
        let app = super::super::app::App::new(sample::settings(), SMALL, NOW);
        let mut app = app.attached_to(agent(2));
        for number in order {
            let told = sample::environment(number, &format!("fox-{number}"), "claude");
            app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(told))), NOW);
        }
        assert_eq!(app.keyboard, Some(agent(2)), "{order:?}");
        assert_eq!(app.selected_pane(), Some(agent(2)), "{order:?}");
    }
}

#[test]
fn keys_meant_for_a_session_that_ended_do_nothing_to_the_deck() {
    let mut app = sample::deck(MIDDLE);
    app.happen(key(KeyCode::Enter), NOW);
    let mut ended = sample::environment(1, "brave-otter", "claude");
    ended.sessions[0].state = SessionState::Exited { code: 0, at: NOW };
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(ended))), NOW);
    assert_eq!(app.keyboard, None);
    assert_eq!(requests(type_keys(&mut app, "a")), []);
    let target = Target::Id(sample::id(1));
    let later = Timestamp(NOW.0 + 1000);
    let mut asked = requests(app.happen(key(KeyCode::Char('a')), later));
    // That it ended is announced, too.
    asked.retain(|request| !matches!(request, Request::Attend { .. }));
    assert_eq!(
        asked,
        [Request::Apply { target, portion: Portion::All, snapshot: None, known: Some(Vec::new()) }]
    );
}

#[test]
fn what_a_new_environment_leaves_out_is_said() {
    let mut app = sample::deck(MIDDLE);
    let mut made = sample::environment(9, "new-newt", "shell");
    made.notes = vec!["3 uncommitted files are not in it".to_owned()];
    let reply = Reply::Environment(Box::new(made));
    app.happen(Happening::Reply(Tag::Created { presses: 0 }, Ok(reply)), NOW);
    assert!(picture(&app).contains("made new-newt: 3 uncommitted files are not in it"));
}

#[test]
fn the_first_shown_is_chosen_until_the_user_does_something() {
    let mut app = App::new(sample::settings(), MIDDLE, NOW);
    let tell = |app: &mut App, number: u8, name: &str| {
        let environment = Box::new(sample::environment(number, name, "shell"));
        app.happen(Happening::Event(Event::EnvironmentChanged(environment)), NOW);
    };
    // A smaller number is an older one, shown before the others.
    tell(&mut app, 3, "dry-fox");
    tell(&mut app, 2, "calm-heron");
    assert_eq!(app.selected, Some(sample::id(2)));
    type_keys(&mut app, "j");
    tell(&mut app, 1, "brave-otter");
    assert_eq!(app.selected, Some(sample::id(2)));
}

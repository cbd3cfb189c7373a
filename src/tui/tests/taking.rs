//! Taking a file or a hunk from the diff, and what is said of what was taken.

use super::super::app::{App, DiffView, Effect, Happening, Tag, View};
use super::sample;
use super::{
    BEFORE, Input, Key, KeyCode, LARGE, LATER, MIDDLE, Modifiers, NOW, Request, SMALL, Size, TINY,
    key, picture, requests, type_keys,
};
use crate::model::decision::{Decision, DecisionKind, Hook, MergeDraft, MergeStyle, Portion};
use crate::model::diff::{Detail, DiffContent, FileDiff, Taken};
use crate::model::id::{DecisionId, EnvironmentName, Timestamp};
use crate::model::path::RepoPath;
use crate::model::snapshot::Skipped;
use crate::proto::{DiffSide, Event, Reply, Resolution, Target};

fn view(app: &App) -> &DiffView {
    match app.views.last() {
        Some(View::Diff(view)) => view,
        other => panic!("the diff is open, not {other:?}"),
    }
}

/// Answers whatever was asked about a file with this one.
fn give_file(app: &mut App, effects: Vec<Effect>, file: &FileDiff) {
    for effect in effects {
        if let Effect::Send(Request::ReadFileDiff { .. }, tag) = effect {
            let reply = Reply::FileDiff(Box::new(file.clone()));
            app.happen(Happening::Reply(tag, Ok(reply)), NOW);
        }
    }
}

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "d");
    let ticket = view(&app).ticket;
    let reply = Ok(Reply::Diff(sample::outline()));
    let asked = app.happen(Happening::Reply(Tag::View(ticket), reply), NOW);
    give_file(&mut app, asked, &sample::diff().files[0]);
    let reply = Ok(Reply::Diff(sample::outline()));
    app.happen(Happening::Reply(Tag::Refresh(ticket), reply), NOW);
    app
}

fn taken(portion: Portion) -> Decision {
    Decision {
        id: DecisionId(4),
        kind: DecisionKind::Apply,
        environment: sample::id(1),
        name: EnvironmentName::parse("brave-otter").expect("a good name"),
        repository: "/home/ada/shop".into(),
        at: NOW,
        snapshot: None,
        commit: None,
        paths: vec![RepoPath::new("src/api/checkout.rs")],
        undone: false,
        portion,
        style: MergeStyle::Commit,
        hooks: Vec::new(),
        left_out: Vec::new(),
        as_of: None,
    }
}

#[test]
fn a_hunk_or_a_file_is_taken_from_the_snapshot_that_is_seen() {
    let mut app = opened(MIDDLE);
    let path = RepoPath::new("src/api/checkout.rs");
    let apply = |portion| Request::Apply {
        target: Target::Id(sample::id(1)),
        portion,
        snapshot: Some(sample::commit(9)),
        known: Some(Vec::new()),
    };
    let hunk = Portion::Hunk { path: path.clone(), start: 10, lines: 7 };
    assert_eq!(requests(type_keys(&mut app, "jja")), [apply(hunk.clone())]);
    assert_eq!(requests(type_keys(&mut app, "A")), [apply(Portion::Paths(vec![path]))]);
    let decision = Box::new(taken(hunk));
    app.happen(Happening::Reply(Tag::Decide, Ok(Reply::Decided(decision))), NOW);
    let seen = picture(&app);
    assert!(seen.contains("took a hunk of src/api/checkout.rs from brave-otter"), "{seen}");
    let repository = app.settings.repository.clone().expect("the sample has one");
    assert_eq!(requests(type_keys(&mut app, "u")), [Request::Undo { repository }]);
}

#[test]
fn a_hunk_whose_blanks_are_hidden_is_not_taken() {
    let mut app = opened(MIDDLE);
    let asked = type_keys(&mut app, "w");
    give_file(&mut app, asked, &sample::diff().files[0]);
    assert_eq!(requests(type_keys(&mut app, "a")), []);
    assert!(picture(&app).contains("a hunk is taken with its blanks"));
}

#[test]
fn a_file_without_lines_is_taken_whole_and_one_that_is_being_read_is_not_taken() {
    let mut app = opened(MIDDLE);
    let asked = type_keys(&mut app, "]]");
    assert_eq!(requests(type_keys(&mut app, "a")), []);
    assert!(picture(&app).contains("it is still being read"));
    give_file(&mut app, asked, &sample::diff().files[2]);
    let asked = requests(type_keys(&mut app, "a"));
    assert!(
        matches!(asked.as_slice(), [Request::Apply { portion: Portion::Paths(paths), .. }] if paths.len() == 1),
        "{asked:?}"
    );
}

#[test]
fn what_was_taken_is_asked_for_anew_after_every_decision_and_shown() {
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = opened(size);
        let event = Event::Decided(Box::new(taken(Portion::All)));
        let asked = app.happen(Happening::Event(event), NOW);
        let of_files = requests(asked.clone());
        assert!(
            of_files.iter().any(|request| {
                matches!(request, Request::ReadDiff { detail: Detail::Counted, .. })
            }),
            "{of_files:?}"
        );
        let mut diff = sample::outline();
        diff.files[0].taken = Taken::Part;
        diff.files[1].taken = Taken::All;
        let mut file = sample::diff().files[0].clone();
        let DiffContent::Text(hunks) = &mut file.content else { panic!("lines") };
        hunks[0].taken = true;
        give_file(&mut app, asked, &file);
        let ticket = view(&app).ticket;
        app.happen(Happening::Reply(Tag::Refresh(ticket), Ok(Reply::Diff(diff))), NOW);
        let seen = picture(&app);
        assert!(seen.contains("· partly taken"), "{seen}");
        assert!(seen.contains("@@ -10,5 +10,7 @@ · taken"), "{seen}");
        assert!(seen.contains("a take hunk") && seen.contains("A take file"), "{seen}");
    }
}

#[test]
fn only_what_is_new_since_something_was_taken_is_shown_on_demand() {
    let mut app = opened(MIDDLE);
    let asked = requests(type_keys(&mut app, "T"));
    let of = |side: DiffSide| move |request: &Request| matches!(request, Request::ReadDiff { from, .. } if *from == side);
    assert!(asked.iter().any(of(DiffSide::Taken)), "{asked:?}");
    assert!(picture(&app).contains("brave-otter since you took of it"));
    let asked = requests(type_keys(&mut app, "T"));
    assert!(asked.iter().any(of(DiffSide::Base)), "{asked:?}");
    assert!(picture(&app).contains("brave-otter since its base"));
}

/// A deck whose first environment is about to be merged.
fn merging(size: Size) -> App {
    let mut app = sample::deck(size);
    let target = Target::Id(sample::id(1));
    assert_eq!(requests(type_keys(&mut app, "m")), [Request::DraftMerge { target }]);
    let draft = MergeDraft {
        message: "limit checkout\n\n- limit checkout\n- test it\n".to_owned(),
        commits: vec!["limit checkout".to_owned(), "test it".to_owned()],
        rest: "Changes by claude".to_owned(),
        ..MergeDraft::default()
    };
    let reply = Ok(Reply::MergeDraft(Box::new(draft)));
    app.happen(Happening::Reply(Tag::MergeDraft(sample::id(1)), reply), BEFORE);
    app.happen(Happening::Tick, NOW);
    app
}

fn asked_to_merge(app: &mut App) -> (MergeStyle, String) {
    let asked = requests(app.happen(key(KeyCode::Enter), NOW));
    match asked.as_slice() {
        [Request::Merge { style, message: Some(message), .. }] => (*style, message.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_merge_shows_its_message_before_it_is_made_and_takes_it_as_it_was_edited() {
    let mut app = merging(MIDDLE);
    assert!(picture(&app).contains("Merge brave-otter into main"));
    let control = |letter| {
        let modifiers = Modifiers(Modifiers::CONTROL);
        Happening::Input(Input::Key(Key { code: KeyCode::Char(letter), modifiers }))
    };
    // The first line is added to, broken in two, and what was broken is joined again.
    type_keys(&mut app, "s and more");
    app.happen(control('j'), NOW);
    type_keys(&mut app, "x");
    app.happen(key(KeyCode::Backspace), NOW);
    app.happen(key(KeyCode::Backspace), NOW);
    type_keys(&mut app, "!");
    app.happen(key(KeyCode::Down), NOW);
    app.happen(key(KeyCode::Down), NOW);
    app.happen(Happening::Input(Input::Paste(", once\nfor all".to_owned())), NOW);
    let expected = "limit checkouts and more!\n\n- limit checkout, once\nfor all\n- test it";
    assert_eq!(asked_to_merge(&mut app), (MergeStyle::Commit, expected.to_owned()));
}

#[test]
fn the_style_is_chosen_with_its_own_draft_unless_the_message_was_changed() {
    let mut app = merging(MIDDLE);
    app.happen(key(KeyCode::Tab), NOW);
    assert!(picture(&app).contains("▸squash"), "{}", picture(&app));
    app.happen(key(KeyCode::Tab), NOW);
    let seen = picture(&app);
    assert!(seen.contains("▸rebase") && seen.contains("the agent's 2 commits"), "{seen}");
    assert_eq!(asked_to_merge(&mut app), (MergeStyle::Rebase, "Changes by claude".to_owned()));
    let mut app = merging(MIDDLE);
    type_keys(&mut app, "s");
    app.happen(key(KeyCode::Tab), NOW);
    let (style, message) = asked_to_merge(&mut app);
    assert_eq!(style, MergeStyle::Squash);
    assert!(message.starts_with("limit checkouts\n"), "{message}");
}

#[test]
fn a_merge_without_a_message_is_not_made() {
    let mut app = merging(MIDDLE);
    for _ in 0..60 {
        app.happen(key(KeyCode::Down), NOW);
        app.happen(key(KeyCode::End), NOW);
        app.happen(key(KeyCode::Backspace), NOW);
    }
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
    assert!(picture(&app).contains("Merge brave-otter"), "it is still open");
}

#[test]
fn the_merge_fits_every_screen() {
    for size in [TINY, SMALL, MIDDLE, LARGE] {
        let app = merging(size);
        let seen = picture(&app);
        if size != TINY {
            for words in ["▸merge commit", "limit checkout", "Tab style", "Ctrl+j new line"] {
                assert!(seen.contains(words), "{words}: {seen}");
            }
        }
    }
}

#[test]
fn a_conflict_leads_into_a_shell_in_the_box() {
    let mut app = sample::deck(MIDDLE);
    let target = Target::Id(sample::id(1));
    assert_eq!(requests(type_keys(&mut app, "B")), [Request::Resolve { target }]);
    let resolution = |conflicts: &[&str]| Resolution {
        branch: "main".to_owned(),
        commit: sample::commit(1),
        snapshot: sample::commit(2),
        conflicts: conflicts.iter().map(|path| RepoPath::new(path.as_bytes())).collect(),
    };
    let mut answer = |conflicts| {
        let reply = Reply::Resolution(Box::new(resolution(conflicts)));
        let effects = app.happen(Happening::Reply(Tag::Resolve(sample::id(1)), Ok(reply)), NOW);
        (requests(effects), picture(&app))
    };
    let (asked, seen) = answer(&[]);
    assert!(asked.is_empty() && seen.contains("nothing conflicts"), "{asked:?} {seen}");
    let (asked, seen) = answer(&["a b", "c"]);
    assert!(seen.contains("main conflicts in brave-otter's box: a b and 1 more"), "{seen}");
    assert!(matches!(asked.as_slice(), [Request::StartShell { .. }]), "{asked:?}");
}

#[test]
fn hooks_that_a_merge_will_not_run_are_run_in_the_box_before_it_by_a_key() {
    let hook = |name: &str| Hook { name: name.to_owned(), path: ".git/hooks/x".into() };
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = merging(size);
        assert!(!picture(&app).contains("Ctrl+r"), "there are none");
        app.happen(key(KeyCode::Escape), NOW);
        type_keys(&mut app, "m");
        let draft = MergeDraft {
            message: "limit checkout".to_owned(),
            left_out: left_out(&["large.bin"]),
            hooks: vec![
                (MergeStyle::Commit, vec![hook("commit-msg"), hook("post-merge")]),
                (MergeStyle::Squash, Vec::new()),
            ],
            ..MergeDraft::default()
        };
        let reply = Ok(Reply::MergeDraft(Box::new(draft)));
        app.happen(Happening::Reply(Tag::MergeDraft(sample::id(1)), reply), NOW);
        app.happen(Happening::Tick, LATER);
        let seen = picture(&app);
        assert!(seen.contains("2 hooks will not run: commit-msg, post-merge · Ctrl+r"), "{seen}");
        assert!(seen.contains("! lacks large.bin") && seen.contains("limit checkout"), "{seen}");
        app.happen(key(KeyCode::Tab), LATER);
        assert!(!picture(&app).contains("Ctrl+r"), "a squash skips none");
        app.happen(key(KeyCode::BackTab), LATER);
        app.happen(key(KeyCode::Down), LATER);
        type_keys(&mut app, "!");
        let asked = requests(app.happen(super::control('r'), LATER));
        let [Request::RunHooks { style: MergeStyle::Commit, message, .. }] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(message, "limit checkout!");
        assert!(app.overlay.is_none(), "what they say is seen");
        // The merge goes on with what was written.
        assert_eq!(requests(type_keys(&mut app, "m")), []);
        assert!(picture(&app).contains("limit checkout!"), "{}", picture(&app));
    }
}

#[test]
fn hooks_without_a_merge_are_given_the_message_that_one_would_have() {
    let mut app = sample::deck(LARGE);
    let asked = requests(type_keys(&mut app, "H"));
    let target = Target::Id(sample::id(1));
    assert_eq!(asked, [Request::DraftMerge { target }], "nothing is made up");
    let draft = MergeDraft { message: "limit checkout".to_owned(), ..MergeDraft::default() };
    let reply = Ok(Reply::MergeDraft(Box::new(draft)));
    let asked = requests(app.happen(Happening::Reply(Tag::HooksDraft(sample::id(1)), reply), NOW));
    let [Request::RunHooks { style: MergeStyle::Commit, message, .. }] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(message, "limit checkout");
    assert!(app.overlay.is_none() && picture(&app).contains("that a merge would have"));
}

#[test]
fn hooks_that_did_not_run_are_named_with_the_merge() {
    let mut app = sample::deck(LARGE);
    let hook = |name: &str| Hook { name: name.to_owned(), path: name.into() };
    let decision = Decision {
        kind: DecisionKind::Merge,
        commit: Some(sample::commit(3)),
        style: MergeStyle::Squash,
        hooks: vec![hook("pre-commit"), hook("commit-msg")],
        ..taken(Portion::All)
    };
    let merge = Request::Merge {
        target: Target::Id(sample::id(1)),
        style: MergeStyle::Squash,
        message: Some("limit checkout".to_owned()),
        known: None,
    };
    let tag = Tag::Take(Box::new(merge));
    app.happen(Happening::Reply(tag, Ok(Reply::Decided(Box::new(decision)))), NOW);
    let seen = picture(&app);
    assert!(seen.contains("2 hooks did not run: pre-commit, commit-msg"), "{seen}");
    assert!(seen.contains("H runs the hooks in the box"), "{seen}");
    let asked = requests(type_keys(&mut app, "H"));
    let as_merged = |request: &Request| {
        matches!(request, Request::RunHooks { style: MergeStyle::Squash, message, .. }
            if message == "limit checkout")
    };
    assert!(asked.iter().any(as_merged), "{asked:?}");
}

#[test]
fn a_discard_without_a_last_snapshot_says_what_there_is() {
    let mut app = sample::deck(LARGE);
    let discarded = Decision { kind: DecisionKind::Discard, ..taken(Portion::All) };
    let mut seen = |as_of| {
        let decision = Decision { as_of, ..discarded.clone() };
        app.happen(Happening::Reply(Tag::Decide, Ok(Reply::Decided(Box::new(decision)))), NOW);
        picture(&app)
    };
    let earlier = |seconds: u64| Some(Timestamp(NOW.0 - seconds * 1000));
    let said = "discarded brave-otter: its files as they are, its snapshots up to";
    let old = seen(earlier(200));
    assert!(old.contains(&format!("{said} 3 min ago, as its repository is away")), "{old}");
    let new = seen(earlier(1));
    assert!(new.contains(&format!("{said} just now, as")), "{new}");
    assert!(!seen(None).contains("its repository is away"));
}

fn left_out(paths: &[&str]) -> Vec<Skipped> {
    let of = |path: &&str| Skipped {
        path: RepoPath::new(path.as_bytes()),
        reason: "larger than 10 MB".to_owned(),
    };
    paths.iter().map(of).collect()
}

/// Asks for an apply, and answers that it would lack something.
fn lacking(size: Size, paths: &[&str]) -> App {
    let mut app = sample::deck(size);
    let asked = type_keys(&mut app, "a");
    let [Effect::Send(request, tag)] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(matches!(request, Request::Apply { known: Some(known), .. } if known.is_empty()));
    let reply = Ok(Reply::LeftOut(left_out(paths)));
    assert!(app.happen(Happening::Reply(tag.clone(), reply), BEFORE).is_empty());
    app.happen(Happening::Tick, NOW);
    app
}

#[test]
fn what_a_take_would_lack_is_named_before_anything_is_taken() {
    let apply = |known: &[&str]| Request::Apply {
        target: Target::Id(sample::id(1)),
        portion: Portion::All,
        snapshot: None,
        known: Some(left_out(known)),
    };
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = lacking(size, &["large.bin", "data/dump"]);
        let seen = picture(&app);
        for words in ["Take brave-otter without 2 files?", "large.bin", "larger than 10 MB"] {
            assert!(seen.contains(words), "{words}: {seen}");
        }
        assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), [], "Enter leaves it first");
        assert!(!picture(&app).contains("without 2 files"));
        let mut app = lacking(size, &["large.bin", "data/dump"]);
        let asked = type_keys(&mut app, "y");
        assert_eq!(requests(asked.clone()), [apply(&["large.bin", "data/dump"])]);
        // One more went missing meanwhile: it is asked again, with all.
        let Some(Effect::Send(_, tag)) = asked.into_iter().next() else { panic!("asked") };
        let all = ["large.bin", "data/dump", "pipe"];
        let reply = Ok(Reply::LeftOut(left_out(&all)));
        app.happen(Happening::Reply(tag, reply), NOW);
        assert_eq!(requests(type_keys(&mut app, "y")), [], "it was on its way");
        app.happen(Happening::Tick, LATER);
        assert!(picture(&app).contains("without 3 files"));
        assert_eq!(requests(type_keys(&mut app, "y")), [apply(&all)]);
    }
}

#[test]
fn keys_that_are_meant_for_something_else_answer_no_question_about_what_is_lacking() {
    let mut app = sample::deck(MIDDLE);
    let asked = type_keys(&mut app, "a");
    let Some(Effect::Send(_, tag)) = asked.into_iter().next() else { panic!("asked") };
    type_keys(&mut app, "?");
    let reply = Ok(Reply::LeftOut(left_out(&["large.bin"])));
    app.happen(Happening::Reply(tag, reply), NOW);
    assert_eq!(requests(type_keys(&mut app, "y")), []);
    app.happen(key(KeyCode::Escape), NOW);
    let seen = picture(&app);
    assert!(seen.contains("brave-otter is not taken: it would lack large.bin"), "{seen}");
}

#[test]
fn a_merge_says_what_it_lacks_before_it_is_made_and_says_so_back() {
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = sample::deck(size);
        type_keys(&mut app, "m");
        let draft = MergeDraft {
            message: "limit checkout".to_owned(),
            left_out: left_out(&["large.bin", "data/dump"]),
            ..MergeDraft::default()
        };
        let reply = Ok(Reply::MergeDraft(Box::new(draft)));
        app.happen(Happening::Reply(Tag::MergeDraft(sample::id(1)), reply), NOW);
        app.happen(Happening::Tick, LATER);
        let seen = picture(&app);
        assert!(seen.contains("! lacks large.bin (larger than 10 MB) and 1 more"), "{seen}");
        let asked = requests(app.happen(key(KeyCode::Enter), LATER));
        let [Request::Merge { known, .. }] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(known.as_deref(), Some(left_out(&["large.bin", "data/dump"]).as_slice()));
    }
}

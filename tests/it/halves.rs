//! A kill of the server at each durable step of making, forking, restoring, discarding, taking
//! back and dropping: the next start finishes it or takes it back, and nothing is left over.

use std::time::Instant;

use agentdeck::deck::{Operation, STEPS, Step};
use agentdeck::engine::native::Native;
use agentdeck::engine::{BoxRecord, Engine};
use serde_json::Value;

use super::common::home::TestHome;
use super::common::talk::PATIENCE;
use super::common::traces::Traces;

/// The server's own way out at a step; only builds with debug assertions have it.
const END_AT: &str = "AGENTDECK_END_AT";

/// A home whose server is ended at steps.
struct Ending {
    test: TestHome,
    engine: Vec<String>,
}

impl Ending {
    fn new(engine: &[&str]) -> Self {
        let engine = engine.iter().map(ToString::to_string).collect();
        Self { test: TestHome::new(), engine }
    }

    /// Runs a command against a server that ends itself at `step`, and waits until it has.
    fn run_until(&self, step: Step, arguments: &[&str]) {
        self.run_until_after(step, || {}, arguments);
    }

    /// The same, with what is done before with that server.
    fn run_until_after(&self, step: Step, before: impl FnOnce(), arguments: &[&str]) {
        self.test.agentdeck(&["server", "stop"]);
        let mut start = self.test.command(&["server", "start"]);
        assert!(start.env(END_AT, step.name()).output().expect("started").status.success());
        let server = self.test.server().expect("a server");
        before();
        // Its client sees a server that dies, or a reply that came before.
        let _ = self.test.agentdeck(arguments);
        self.wait("the server ends itself", || {
            !std::path::Path::new(&format!("/proc/{server}/exe")).exists()
        });
    }

    fn make(&self, name: &str) {
        let mut arguments = vec!["new", name];
        arguments.extend(self.engine.iter().map(String::as_str));
        arguments.extend(["--", "sh", "-c", "exec sleep 1000"]);
        self.test.agentdeck(&arguments).ok();
    }

    fn state(&self, name: &str) -> Option<String> {
        let list = self.test.agentdeck(&["ls", "--json"]).json();
        let found = list.as_array()?.iter().find(|found| found["name"] == name)?;
        Some(found["state"]["state"].as_str()?.to_owned())
    }

    /// Waits until nothing is half done any more, and tells whether the environment is there.
    fn settled(&self, name: &str) -> bool {
        let mut last = None;
        self.wait("it is whole or gone", || {
            last = self.state(name);
            last.as_deref().is_none_or(|state| state == "running")
        });
        last.is_some()
    }

    fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let list = || self.test.agentdeck(&["ls", "--json"]).stdout;
            assert!(start.elapsed() < PATIENCE, "never: {what}\n{}", list());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn traces(&self) -> Traces {
        Traces::of(&self.test.home, &self.test.repository)
    }

    /// Asserts that what is there now was there before.
    fn nothing_new(&self, before: &Traces, step: Step) {
        // The end of a process is seen a moment after it was asked for.
        let mut new = Vec::new();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            new = self.traces().since(before);
            if new.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("left over after {}: {new:#?}", step.name());
    }

    fn is_whole(&self, name: &str, step: Step) {
        self.test.wait_for_json(&["inspect", name, "--json"], |inspection| {
            inspection["environment"]["sessions"][0]["state"]["state"] == "running"
        });
        // A small image has no git.
        let script = "cat price; if command -v git >/dev/null; then git status --short; git log \
                      --format=%s; else echo a shop; fi";
        let said = self.test.script(name, script);
        assert_eq!(said, "one\ntwo\nthree\na shop\n", "{}", step.name());
        let boxes = self.test.agentdeck(&["inspect", name, "--json"]).json();
        assert!(boxes["init_pid"].is_u64(), "{}: {boxes:#}", step.name());
    }
}

fn steps(operation: Operation) -> Vec<Step> {
    let row = STEPS.iter().find(|(other, _)| *other == operation).expect("every one has a row");
    row.1.to_vec()
}

fn making_is_finished_or_taken_back(ending: &Ending, steps: &[Step]) {
    ending.test.agentdeck(&["server", "start"]).ok();
    for step in steps {
        let before = ending.traces();
        let mut arguments = vec!["new", "half", "--require", "files"];
        arguments.extend(ending.engine.iter().map(String::as_str));
        arguments.extend(["--", "sh", "-c", "exec sleep 1000"]);
        ending.run_until(*step, &arguments);
        let there = ending.settled("half");
        assert_eq!(there, *step != Step::DirectoryMade, "{}", step.name());
        if there {
            ending.is_whole("half", *step);
            // The kernel takes its time with what was ended.
            let one = format!("one box, after {}", step.name());
            ending.wait(&one, || ending.traces().with("network ").len() == 1);
            ending.test.agentdeck(&["discard", "half", "--yes"]).ok();
        }
        ending.nothing_new(&before, *step);
    }
}

fn forking_is_finished_or_taken_back(ending: &Ending, steps: &[Step]) {
    ending.make("fox");
    ending.test.script("fox", "echo mine >~/mine");
    for step in steps {
        let before = ending.traces();
        ending.run_until(*step, &["fork", "fox", "cub"]);
        let there = ending.settled("cub");
        ending.wait("the source goes on", || ending.state("fox").as_deref() == Some("running"));
        ending.is_whole("fox", *step);
        if there {
            ending.is_whole("cub", *step);
            assert_eq!(ending.test.script("cub", "cat ~/mine"), "mine\n", "{}", step.name());
            ending.test.agentdeck(&["discard", "cub", "--yes"]).ok();
        }
        ending.nothing_new(&before, *step);
    }
}

fn discarding_is_whole_and_can_be_undone(ending: &Ending) {
    ending.make("fox");
    ending.test.script("fox", "echo work >work");
    for operation in [Operation::Discard, Operation::Undo] {
        for step in steps(operation) {
            let verb: &[&str] = match operation {
                Operation::Undo => {
                    ending.test.agentdeck(&["discard", "fox", "--yes"]).ok();
                    &["undo"]
                }
                _ => &["discard", "fox", "--yes"],
            };
            ending.run_until(step, verb);
            let listed = ending.state("fox").is_some();
            let trashed = ending.test.home.join("trash").read_dir().expect("there").count();
            assert_eq!(trashed, usize::from(!listed), "{}", step.name());
            if !listed {
                ending.nothing_new(&Traces::default(), step);
                ending.test.agentdeck(&["undo"]).ok();
            }
            // A server that just began shows what it last knew, until its engine has answered.
            ending.wait("fox answers", || {
                if ending.state("fox").as_deref() != Some("running") {
                    ending.test.agentdeck(&["start", "fox"]);
                }
                ending.test.agentdeck(&["exec", "fox", "--", "true"]).code == 0
            });
            assert_eq!(ending.test.script("fox", "cat work"), "work\n", "{}", step.name());
        }
    }
}

/// A restore, and the undoing of one, at every step: all of it or nothing, and the agent goes on.
fn restoring_is_whole(ending: &Ending, steps: &[Step]) {
    ending.make("fox");
    ending.test.script("fox", "echo old >work; echo x >gone");
    ending.test.agentdeck(&["mark", "fox", "old"]).ok();
    ending.test.script("fox", "echo new >work; rm gone; echo kept >cache.log");
    ending.test.agentdeck(&["mark", "fox", "new"]).ok();
    let look = "cat work cache.log; test -e gone && echo gone; test ! -e gone || cat gone";
    let (new, old) = ("new\nkept\n", "old\nkept\ngone\nx\n");
    for undoes in [false, true] {
        for step in steps {
            if undoes {
                ending.test.agentdeck(&["restore", "fox", "old"]).ok();
            }
            let verb: &[&str] = if undoes { &["undo"] } else { &["restore", "fox", "old"] };
            ending.run_until(*step, verb);
            ending.wait("it goes on", || ending.state("fox").as_deref() == Some("running"));
            let (from, to) = if undoes { (old, new) } else { (new, old) };
            let done = [Step::FilesRestored, Step::RestoreTaken, Step::SourceReleased];
            let expected = if done.contains(step) { to } else { from };
            assert_eq!(ending.test.script("fox", look), expected, "{}", step.name());
            // The newest snapshot is what is there, and the next start has nothing left to do.
            let head = ending.test.agentdeck(&["diff", "fox"]).ok();
            assert_eq!(head.contains("+old"), expected == old, "{}", step.name());
            if expected == old {
                ending.test.agentdeck(&["undo"]).ok();
            }
            assert_eq!(ending.test.script("fox", look), new, "{}", step.name());
        }
    }
}

#[test]
fn a_restore_that_was_cut_short_at_any_step_is_whole() {
    restoring_is_whole(&Ending::new(&[]), &steps(Operation::Restore));
}

#[test]
fn a_making_that_was_cut_short_at_any_step_is_finished_or_taken_back() {
    making_is_finished_or_taken_back(&Ending::new(&[]), &steps(Operation::Create));
}

/// Making files before anybody asks, and taking them, at every step.
#[test]
fn a_making_from_files_made_ahead_is_whole_or_never_was_at_any_step() {
    let ending = Ending::new(&[]);
    let ahead = |file: &str| {
        let places = ending.test.home.join("ahead").read_dir().into_iter().flatten().flatten();
        places.filter(|place| place.path().join(file).exists()).count()
    };
    for step in &steps(Operation::CreateFromAhead) {
        let before = ending.traces();
        let make = |name| ["new", name, "--", "sh", "-c", "exec sleep 1000"];
        let taken = [Step::AheadRecorded, Step::AheadTaken, Step::AheadAtWork].contains(step);
        if taken {
            let made = || {
                let log = std::fs::read_to_string(ending.test.home.join("server.log"));
                log.expect("a log").matches("files are made ahead").count()
            };
            let first = || {
                let already = made();
                ending.test.agentdeck(&make("first")).ok();
                ending.wait("files are made ahead", || made() > already);
                assert_eq!(ahead("files.index"), 1);
            };
            ending.run_until_after(*step, first, &make("half"));
        } else {
            ending.run_until(*step, &make("first"));
        }
        let there = ending.settled("half");
        let listed = [Step::AheadTaken, Step::AheadAtWork].contains(step);
        assert_eq!(there, listed, "{}", step.name());
        assert_eq!(ahead("workspace"), 0, "a start removes them, after {}", step.name());
        for name in ["first", "half"].into_iter().filter(|name| there || *name == "first") {
            ending.is_whole(name, *step);
            ending.test.script(name, "echo four >>price");
            // The base is the first snapshot, whatever came before it.
            ending.test.wait_for_snapshots(name, 2);
            ending.test.agentdeck(&["discard", name, "--yes"]).ok();
        }
        ending.nothing_new(&before, *step);
    }
}

/// Uncommitted work comes along whole, and is known to be the user's, whatever they do meanwhile.
fn what_comes_along_is_known(ending: &Ending, steps: &[Step], before: &dyn Fn()) {
    let (test, root) = (&ending.test, &ending.test.repository);
    for step in steps {
        std::fs::write(root.join("price"), "one\ntwo\nfour\n").expect("written");
        std::fs::write(root.join("idea"), "half of one\n").expect("written");
        std::fs::remove_file(root.join("till/open")).expect("removed");
        let make = ["new", "half", "--with-changes", "--", "sh", "-c", "exec sleep 1000"];
        ending.run_until_after(*step, before, &make);
        assert!(ending.settled("half"), "{}", step.name());
        let look = "cat price idea; test ! -e till/open; echo whole";
        let there = "one\ntwo\nfour\nhalf of one\nwhole\n";
        assert_eq!(test.script("half", look), there, "{}", step.name());
        let listed = test.agentdeck(&["inspect", "half", "--json"]).json();
        let notes = listed["environment"]["notes"].to_string();
        assert!(notes.contains("came along: idea, price, till/open"), "{}: {notes}", step.name());
        // None of it is the agent's, of which there is nothing yet.
        test.agentdeck(&["apply", "half"]).fails(1, &["nothing that is not there already"]);
        test.script("half", "echo five >>price");
        let taken = test.agentdeck(&["apply", "half", "--json"]).json();
        assert_eq!(taken["paths"], serde_json::json!(["price"]), "{}", step.name());
        test.git(&["reset", "-q", "--hard"]);
        test.git(&["clean", "-fdq"]);
        for name in ["first", "half"] {
            test.agentdeck(&["discard", name, "--yes"]);
        }
    }
}

#[test]
fn work_that_comes_along_is_known_to_be_the_users_whatever_step_was_the_last() {
    let ending = Ending::new(&[]);
    what_comes_along_is_known(&ending, &steps(Operation::CreateWithChanges), &|| {});
    // The same with files that were made ahead, which stay as a kill left them.
    let made = || {
        let log = std::fs::read_to_string(ending.test.home.join("server.log"));
        log.expect("a log").matches("files are made ahead").count()
    };
    let first = || {
        let already = made();
        ending.make("first");
        ending.wait("files are made ahead", || made() > already);
    };
    let steps = [Step::ChangesNoted, Step::ChangesBrought];
    what_comes_along_is_known(&ending, &steps, &first);
}

#[test]
fn a_fork_that_was_cut_short_at_any_step_is_finished_or_taken_back() {
    forking_is_finished_or_taken_back(&Ending::new(&[]), &steps(Operation::Fork));
}

#[test]
fn a_discard_or_undo_that_was_cut_short_at_any_step_is_whole() {
    discarding_is_whole_and_can_be_undone(&Ending::new(&[]));
}

fn dropping_is_finished(ending: &Ending) {
    for step in steps(Operation::Drop) {
        ending.make("fox");
        ending.test.agentdeck(&["discard", "fox", "--yes"]).ok();
        ending.run_until(step, &["trash", "empty", "--yes"]);
        // Whoever comes next goes on with it.
        let gone = format!("nothing is in the trash after {}", step.name());
        ending.wait(&gone, || {
            let listed = ending.test.agentdeck(&["trash", "--json"]).json();
            listed.as_array().is_some_and(Vec::is_empty)
        });
        let undone = ending.test.agentdeck(&["undo"]);
        undone.fails(1, &["fox was dropped from the trash"]);
        assert_eq!(ending.test.git(&["for-each-ref", "refs/agentdeck"]), "", "{}", step.name());
        ending.nothing_new(&Traces::default(), step);
        let left = Traces::stray(&ending.test.home, &ending.test.repository);
        assert_eq!(left, Vec::<String>::new(), "{}", step.name());
    }
}

#[test]
fn a_drop_that_was_cut_short_at_any_step_is_finished() {
    dropping_is_finished(&Ending::new(&[]));
}

#[test]
fn an_agent_that_is_due_waits_for_its_paused_box() {
    let ending = Ending::new(&[]);
    let script = ["--", "sh", "-c", "echo begun; exec sleep 1000"];
    ending.run_until(Step::Connected, &[&["new", "half"][..], &script].concat());
    // As a server leaves it that paused the box and was killed.
    let directory = ending.test.home.join("environments").read_dir().expect("there").next();
    let directory = directory.expect("one").expect("listed").path();
    // What counts may not be on the disk yet, and then lies in a file of its own.
    let newest = std::fs::read(directory.join("record.unsynced.json")).ok();
    let newest: Option<Value> = newest.and_then(|text| serde_json::from_slice(&text).ok());
    let mut record: Value = newest.map_or_else(
        || {
            let text = std::fs::read(directory.join("record.json")).expect("a record");
            serde_json::from_slice(&text).expect("JSON")
        },
        |mut newest| newest["record"].take(),
    );
    assert_eq!(record["agent_due"], true);
    record["environment"]["state"] = serde_json::json!({ "state": "paused", "reason": null });
    std::fs::write(directory.join("record.json"), record.to_string()).expect("written");
    let _ = std::fs::remove_file(directory.join("record.unsynced.json"));
    let made: BoxRecord = serde_json::from_value(record["record"].clone()).expect("a box");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let pausing = async { Native::new(&ending.test.home).pause(&made).await };
    runtime.expect("a runtime").block_on(pausing).expect("paused");
    let inspect = ["inspect", "half", "--json"];
    // Nothing tells that a start did not come; the next server needs a tenth of this for it.
    let start = Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(1500) {
        let found = ending.test.agentdeck(&inspect).json();
        assert_eq!(found["environment"]["state"]["state"], "paused");
        assert_eq!(found["environment"]["sessions"], Value::Array(Vec::new()));
    }
    ending.test.agentdeck(&["resume", "half"]).ok();
    ending.is_whole("half", Step::Connected);
}

#[test]
fn containers_that_were_half_made_are_finished_or_taken_back() {
    if !super::docker::engine_answers() {
        return;
    }
    let image = super::docker::Image::busybox();
    let ending = Ending::new(&["--engine", "docker", "--image", &image.0]);
    making_is_finished_or_taken_back(&ending, &[Step::GateOpened, Step::BoxMade, Step::Connected]);
    let steps = [Step::SourceHeld, Step::LayerCopied, Step::CopyRecorded, Step::BoxMade];
    forking_is_finished_or_taken_back(&ending, &steps);
}

/// A power cut leaves refs without their objects where nobody brought both to the disk.
#[test]
fn a_snapshot_that_a_kill_left_is_brought_to_the_disk_by_the_next_server_or_it_says_so() {
    let ending = Ending::new(&[]);
    let step = Step::WorkspaceRecorded;
    ending.run_until(step, &["new", "half", "--", "sh", "-c", "exec sleep 1000"]);
    // A ref among others in one file is as good for all, but for who brings it to the disk.
    let stores = ending.test.home.join("repositories");
    let store = stores.read_dir().expect("there").next().expect("one").expect("listed").path();
    ending.test.git_in(&store.join("snapshots.git"), &["pack-refs", "--all"]);
    ending.is_whole("half", step);
    ending.test.wait_for_json(&["inspect", "half", "--json"], |inspection| {
        let notes = inspection["environment"]["notes"].to_string();
        notes.contains("its first snapshot may not survive a power cut")
    });
}

#[test]
fn what_ends_servers_is_left_to_a_person_the_second_time() {
    let ending = Ending::new(&[]);
    let step = Step::WorkspaceRecorded;
    ending.run_until(step, &["new", "half", "--", "sh", "-c", "exec sleep 1000"]);
    // The next start goes on with it and ends where nothing was reached before.
    let step = Step::BoxMade;
    let mut start = ending.test.command(&["server", "start"]);
    let _ = start.env(END_AT, step.name()).output();
    ending.wait("the second server ends itself", || ending.test.server().is_none());
    let state = || -> Value { ending.test.agentdeck(&["ls", "--json"]).json()[0]["state"].clone() };
    ending.wait("it is left alone", || state()["state"] == "failed");
    assert!(state()["hint"].as_str().expect("a hint").contains("agentdeck start half"));
    ending.test.agentdeck(&["start", "half"]).ok();
    ending.is_whole("half", step);
}

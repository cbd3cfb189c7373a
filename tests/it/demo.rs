//! The demo, as a person meets it on a fresh machine: nothing but the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use agentdeck::client::Client;
use agentdeck::engine::Engine;
use agentdeck::engine::native::Native;
use agentdeck::model::environment::{Environment, SessionState};
use agentdeck::model::id::SessionId;
use agentdeck::proto::{Event, Request};

/// The slowest scripted agent needs half a minute; machines that test are busy.
const AGENTS_DEADLINE: Duration = Duration::from_mins(3);

fn demo(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.arg("demo").args(arguments).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("TMPDIR", place).current_dir(place);
    command.output().expect("the binary")
}

fn left(place: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Whether an environment's agent came through with something to show.
fn finished(environment: &Environment) -> bool {
    let agent = environment.session(SessionId::AGENT);
    let ended =
        agent.is_some_and(|agent| matches!(agent.state, SessionState::Exited { code: 0, .. }));
    ended && environment.snapshots > 1 && environment.divergence.change.files > 1
}

/// Follows the deck until the two agents that ask nothing have finished.
async fn agents_finish(home: &Path) {
    let (client, mut events) = Client::connect(home).await.expect("the demo's server");
    client.request(Request::FollowDeck { repository: None }).await.expect("followed");
    let mut done = std::collections::BTreeSet::new();
    while done.len() < 2 {
        let event = events.next().await.expect("the server runs");
        if let Event::EnvironmentChanged(environment) = event
            && finished(&environment)
        {
            done.insert(environment.name.to_string());
        }
    }
    assert_eq!(Vec::from_iter(done), ["careful", "quick"]);
}

#[tokio::test]
async fn the_demo_runs_its_agents_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().expect("a directory");
    let program = Path::new(env!("CARGO_BIN_EXE_agentdeck"));
    let usable = Native::with_program(place.path(), program).probe().await.usable;
    let made = demo(place.path(), &["--no-tui", "--json"]);
    let words = String::from_utf8_lossy(&made.stderr).into_owned();
    if !usable {
        assert!(!made.status.success() && words.contains("error"), "{words}");
        assert_eq!(left(place.path()), Vec::<PathBuf>::new());
        return;
    }
    assert!(made.status.success(), "{words}");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("json");
    let path = |key: &str| PathBuf::from(made[key].as_str().expect("a path"));
    assert_eq!(left(place.path()), [path("directory")], "nothing else was made");
    let finishing = tokio::time::timeout(AGENTS_DEADLINE, agents_finish(&path("home"))).await;
    let directory = path("directory");
    let removed = demo(place.path(), &["--remove", directory.to_str().expect("a path")]);
    let words = String::from_utf8_lossy(&removed.stderr);
    assert!(removed.status.success(), "{words}");
    assert_eq!(left(place.path()), Vec::<PathBuf>::new());
    finishing.expect("the agents finish in time");
}

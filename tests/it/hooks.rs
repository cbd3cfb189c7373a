//! Hooks of the user's repository, which no merge runs, run in a box where a person asks for it.

use std::os::unix::fs::PermissionsExt;

use agentdeck::client::Client;
use agentdeck::model::decision::MergeStyle;
use agentdeck::model::failure::{Failure, FailureKind};
use agentdeck::model::screen::Size;
use agentdeck::proto::{Reply, Request, Target};

use super::common::home::{TestHome, for_both, make};
use super::survival::wait_until;

fn run_hooks(test: &TestHome, style: MergeStyle) -> Result<Reply, Failure> {
    let repository = Some(test.repository.clone());
    let target = Target::Name { repository, name: "fox".to_owned() };
    let message = "a merge\n\nof it".to_owned();
    let (size, variables) = (Size::DEFAULT, Vec::new());
    let request = Request::RunHooks { target, style, message, size, variables };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, _events) = Client::connect(&test.home).await.expect("connected");
        client.request(request).await
    })
}

#[test]
fn skipped_hooks_run_in_the_box_as_git_would_run_them_and_nowhere_else() {
    for_both(|test, engine| {
        make(test, "fox", engine, "exec sleep 1000");
        let hooks = test.repository.join(".git/hooks");
        std::fs::create_dir_all(&hooks).expect("made");
        let hook = |name: &str, script: &str| {
            std::fs::write(hooks.join(name), format!("#!/bin/sh\n{script}\n")).expect("written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(hooks.join(name), mode).expect("set");
        };
        let refused = run_hooks(test, MergeStyle::Rebase).expect_err("there is none");
        assert_eq!(refused.kind, FailureKind::NotFound);
        hook("commit-msg", "cp \"$1\" said.log; exit 1");
        hook("post-merge", "pwd >where.log; echo $1 >>where.log");
        let started = run_hooks(test, MergeStyle::Commit).expect("a shell opened");
        assert!(matches!(started, Reply::SessionStarted { .. }), "{started:?}");
        let read = |name: &str| test.script("fox", &format!("cat {name} 2>/dev/null || true"));
        wait_until("the last hook has run", || read("where.log").lines().count() == 2);
        assert_eq!(read("said.log"), "a merge\n\nof it", "one that fails keeps none from running");
        let root = test.repository.canonicalize().expect("a path");
        assert_eq!(read("where.log"), format!("{}\n0\n", root.display()));
        assert!(!test.repository.join("said.log").exists(), "the host ran nothing");
        // The shell stays, for a person to read what they said.
        let found = test.agentdeck(&["inspect", "fox", "--json"]).json();
        assert_eq!(found["environment"]["sessions"][1]["state"]["state"], "running", "{found:#}");
        for name in ["commit-msg", "post-merge"] {
            std::fs::remove_file(hooks.join(name)).expect("removed");
        }
        test.agentdeck(&["discard", "fox", "--yes"]).ok();
    });
}

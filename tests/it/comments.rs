//! Comments on lines as people leave them: kept through the end of the server, found again where the
//! agent moved the line, told to the agent, and removed.

use agentdeck::client::Client;
use agentdeck::model::comment::{LinePlace, LineSide};
use agentdeck::model::failure::{Failure, FailureKind};
use agentdeck::model::id::CommitId;
use agentdeck::model::path::RepoPath;
use agentdeck::proto::{CommentChange, Reply, Request, Target};
use serde_json::{Value, json};

use super::common::home::{TestHome, make};
use super::survival::wait_until;

/// Asks to be told pastes from keys, shows what it reads, and keeps it.
const TAKES_PASTES: &str = "stty -icanon -echoctl; printf '\\033[?2004h> '; exec cat >~/got";

/// Comments on a line of a file as the newest snapshot has it.
fn comment(test: &TestHome, path: &str, line: u32, text: &str) -> Result<Reply, Failure> {
    let diff = test.agentdeck(&["diff", "fox", "--json"]).json();
    let seen = diff["to"].as_str().and_then(CommitId::parse).expect("a snapshot");
    let place = LinePlace { path: RepoPath::new(path), side: LineSide::New, line };
    let change = CommentChange::Add { seen, place, text: text.to_owned() };
    let repository = Some(test.repository.clone());
    let target = Target::Name { repository, name: "fox".to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, _events) = Client::connect(&test.home).await.expect("connected");
        client.request(Request::ChangeComments { target, change }).await
    })
}

fn listed(test: &TestHome) -> Vec<Value> {
    let listed = test.agentdeck(&["comments", "fox", "--json"]).json();
    listed.as_array().expect("a list").clone()
}

#[test]
fn a_comment_outlives_the_server_goes_with_its_line_and_reaches_the_agent() {
    let test = TestHome::new();
    make(&test, "fox", &[], TAKES_PASTES);
    test.script("fox", "printf 'one\\ntwo\\nthree\\n' >f");
    comment(&test, "f", 2, "why two?").expect("kept");
    comment(&test, "f", 3, "and \u{fc}ber?").expect("kept");
    let refused = comment(&test, "f", 9, "nowhere").expect_err("no such line");
    assert_eq!(refused.kind, FailureKind::NotFound);
    let refused = comment(&test, "f", 1, "\u{1b}[2J").expect_err("no text");
    assert_eq!(refused.kind, FailureKind::Invalid);

    test.agentdeck(&["server", "stop"]).ok();
    let lines = |test: &TestHome| -> Vec<Value> {
        listed(test).iter().map(|comment| comment["line"].clone()).collect()
    };
    assert_eq!(lines(&test), [json!(2), json!(3)], "the next server has them");
    test.script("fox", "printf 'zero\\none\\ntwo\\nthree\\n' >f");
    assert_eq!(lines(&test), [json!(3), json!(4)], "they go along");
    test.script("fox", "printf 'zero\\none\\n2\\nthree\\n' >f");
    let found = listed(&test);
    assert_eq!((&found[0]["line"], &found[1]["line"]), (&json!(4), &Value::Null));
    assert_eq!(found[1]["quote"], "two", "{found:#?}");
    let text = test.agentdeck(&["comments", "fox"]).ok();
    assert!(text.contains("f:4  not sent") && text.contains("f:2  not sent · outdated"), "{text}");

    test.agentdeck(&["comments", "fox", "--send"]).ok();
    let got = || test.script("fox", "cat ~/got 2>/dev/null || true");
    wait_until("the agent has the message", || got().contains("why two?"));
    let told = got();
    assert!(told.contains("f:4") && told.contains("> three") && told.contains("über?"), "{told}");
    assert!(listed(&test).iter().all(|comment| comment["sent"].is_u64()));
    assert!(test.agentdeck(&["comments", "fox", "--send"]).stderr.contains("told of every"));

    test.agentdeck(&["comments", "fox", "--remove", "9"]).fails(1, &["no comment 9"]);
    test.agentdeck(&["comments", "fox", "--remove", "1"]).ok();
    assert_eq!(listed(&test).len(), 1);
    // Who does not run is told nothing, and nothing counts as told.
    test.agentdeck(&["stop", "fox"]).ok();
    comment(&test, "f", 1, "later").expect("kept");
    test.agentdeck(&["comments", "fox", "--send"]).fails(1, &["agent does not run"]);
    assert_eq!(listed(&test)[0]["sent"], Value::Null);
    // A discard takes them along, and its undoing brings them back.
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    test.agentdeck(&["undo"]).ok();
    let texts: Vec<Value> = listed(&test).iter().map(|comment| comment["text"].clone()).collect();
    assert_eq!(texts, [json!("later"), json!("and \u{fc}ber?")]);
}

#[test]
fn a_shell_is_never_sent_comments_to_run_and_an_agent_in_front_of_it_is() {
    let test = TestHome::new();
    test.agentdeck(&["new", "fox", "--", "sh"]).ok();
    test.script("fox", "printf 'one\\ntwo\\n' >f");
    comment(&test, "f", 1, "`touch ~/ran-comment`\ntouch ~/ran-comment").expect("kept");
    let there = |name: &str| test.script("fox", &format!("ls ~/{name} 2>/dev/null || true"));
    let refused = test.agentdeck(&["comments", "fox", "--send"]);
    refused.fails(1, &["at a shell, which would run", "start an agent there"]);
    assert_eq!(listed(&test)[0]["sent"], Value::Null);
    // The control: what is sent to it on purpose is run, and the comment would be.
    test.agentdeck(&["send", "fox", "touch ~/ran-prompt"]).ok();
    wait_until("the shell ran it", || !there("ran-prompt").is_empty());
    assert_eq!(there("ran-comment"), "");

    let agent = TAKES_PASTES.replace("exec ", "");
    test.script("fox", &format!("cat >~/claude <<'end'\n{agent}\nend"));
    test.agentdeck(&["send", "fox", "sh ~/claude"]).ok();
    wait_until("it is in front", || test.agentdeck(&["comments", "fox", "--send"]).code == 0);
    wait_until("it has the message", || {
        test.script("fox", "cat ~/got 2>/dev/null || true").contains("touch ~/ran-comment")
    });
    assert_eq!(there("ran-comment"), "");
    assert!(listed(&test)[0]["sent"].is_u64());
}

//! What people type and paste is whole at the program, or refused in the open.

use agentdeck::client::Client;
use agentdeck::model::failure::{Failure, FailureKind};
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::proto::Request;

use crate::common::home::{TestHome, for_both, make};
use crate::survival::wait_until;

/// Keeps what it reads, from when it is let.
const READER: &str = "stty raw -echo; touch ready; until [ -e go ]; do sleep 0.02; done; \
                      exec cat >got";

/// More than half of what may wait for a program.
const LARGE: usize = 700_000;
/// All that may.
const LARGEST: usize = 1 << 20;

fn typed(test: &TestHome, agent: &EnvironmentId, input: Input) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, _events) = Client::connect(&test.home).await.expect("connected");
        let (environment, session) = (agent.clone(), SessionId::AGENT);
        client.request(Request::SendInput { environment, session, input }).await.map(drop)
    })
}

fn paste(letter: char, count: usize) -> Input {
    Input::Paste(letter.to_string().repeat(count))
}

#[test]
fn a_paste_is_read_whole_by_a_program_that_was_busy_or_is_refused_whole() {
    for_both(|test, engine| {
        make(test, "fox", engine, READER);
        let found = test.agentdeck(&["inspect", "fox", "--json"]).json();
        let id = found["environment"]["id"].as_str().and_then(EnvironmentId::parse);
        let id = id.expect("an id");
        let workspace = std::path::PathBuf::from(found["workspace"].as_str().expect("a path"));
        wait_until("the program is there", || workspace.join("ready").exists());

        typed(test, &id, paste('a', LARGE)).expect("there is room");
        let refused = typed(test, &id, paste('b', LARGE)).expect_err("there is none");
        assert_eq!(refused.kind, FailureKind::Unavailable);
        for number in [LARGE, LARGEST] {
            assert!(refused.message.contains(&number.to_string()), "{refused}");
        }
        let key = Key { code: KeyCode::Char('c'), modifiers: Modifiers::default() };
        typed(test, &id, Input::Key(key)).expect("a key has room");

        std::fs::write(workspace.join("go"), "").expect("written");
        let got = || std::fs::read(workspace.join("got")).unwrap_or_default();
        wait_until("all is read", || got().len() > LARGE);
        assert!(got() == [vec![b'a'; LARGE], b"c".to_vec()].concat(), "of the second nothing");
        wait_until("it has room", || typed(test, &id, paste('d', LARGEST)).is_ok());
        wait_until("all is read", || got().len() > LARGE + LARGEST);
        assert!(got()[LARGE + 1..] == vec![b'd'; LARGEST]);
        let refused = typed(test, &id, paste('e', LARGEST + 1)).expect_err("it is too large");
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(refused.message.contains(&LARGEST.to_string()), "{refused}");
    });
}

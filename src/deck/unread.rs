//! Environments whose records this program cannot read, torn or of a newer version: what of them
//! can be told all the same. They are listed as failed; their records, their files and their boxes
//! are left as they are, for whoever can read them.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shared::now;
use super::state::RECORD_VERSION;
use crate::model::attention::Attention;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName};
use crate::model::policy::{EngineKind, Limits, NetworkPolicy};
use crate::model::snapshot::Divergence;
use crate::store::Places;

/// What stands for a commit that is not known.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// What clients are told of such an environment. Blocking.
pub(super) fn view(places: &Places, id: &EnvironmentId) -> Environment {
    let record = newest(places);
    let mut view = known(&record["environment"], id);
    // Nothing of how it stood then need still be so, and nobody here will find out.
    view.id = id.clone();
    view.state = why(places, &record);
    view.state_since = now();
    view.last_known = None;
    view.sessions.clear();
    view.isolation = None;
    view.prediction = None;
    view.load = None;
    view.denied.clear();
    view
}

/// Which kind of engine has its box, where its record says so. Blocking.
pub(super) fn engine(places: &Places) -> Option<EngineKind> {
    part(&newest(places)["environment"]["engine"])
}

/// The newest record as far as it is JSON.
fn newest(places: &Places) -> Value {
    let read = |path: PathBuf| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    };
    let unsynced = read(places.unsynced_record());
    let unsynced = unsynced.and_then(|mut it| it.get_mut("record").map(Value::take));
    unsynced.or_else(|| read(places.record())).unwrap_or_default()
}

fn why(places: &Places, record: &Value) -> EnvironmentState {
    let directory = places.directory.display();
    let newer = record["version"].as_u64().is_some_and(|it| it > u64::from(RECORD_VERSION));
    let (message, hint) = if newer {
        (
            "its record is of a newer version of agentdeck",
            "run the newer agentdeck, then agentdeck server restart; type -a agentdeck lists those \
             on your PATH"
                .to_owned(),
        )
    } else {
        (
            "its record cannot be read",
            format!(
                "put record.json in {directory} back from a copy, then agentdeck server restart; \
                 its files are in {}",
                places.workspace().display()
            ),
        )
    };
    EnvironmentState::Failed { message: message.to_owned(), hint: Some(hint) }
}

/// What an environment's record says of it, part by part where it cannot be read as a whole.
fn known(environment: &Value, id: &EnvironmentId) -> Environment {
    if let Some(whole) = part(environment) {
        return whole;
    }
    let text = |name: &str| environment[name].as_str().unwrap_or_default().to_owned();
    let name = EnvironmentName::parse(&text("name"));
    Environment {
        id: id.clone(),
        name: name.unwrap_or_else(|_| {
            EnvironmentName::parse(id.as_str()).expect("an id has the shape of a name")
        }),
        // Left empty, it lies in every directory, and is listed in each.
        repository: text("repository").into(),
        base: part(&environment["base"]).unwrap_or_else(no_commit),
        base_branch: part(&environment["base_branch"]),
        agent: text("agent"),
        command: part(&environment["command"]).unwrap_or_default(),
        task: None,
        resumed: false,
        engine: part(&environment["engine"]).unwrap_or(EngineKind::Native),
        image: None,
        runtime: None,
        require: Vec::new(),
        network: NetworkPolicy::default(),
        limits: Limits::default(),
        denied: Vec::new(),
        load: None,
        isolation: None,
        state: EnvironmentState::Stopped,
        last_known: None,
        state_since: now(),
        sessions: Vec::new(),
        divergence: Divergence::default(),
        onto: None,
        prediction: None,
        snapshots: 0,
        last_snapshot: None,
        created: part(&environment["created"]).unwrap_or_else(now),
        attention: Attention::default(),
        prompts: Vec::new(),
        trouble: None,
        notes: Vec::new(),
    }
}

fn part<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn no_commit() -> CommitId {
    CommitId::parse(NO_COMMIT).expect("forty digits")
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::record;
    use super::*;
    use crate::store::Layout;

    /// What is told of an environment whose record holds this.
    fn told(bytes: &[u8]) -> Environment {
        let home = tempfile::tempdir().expect("a directory");
        let id = EnvironmentId::from_random([1; 8]);
        let places = Layout::new(home.path()).environment(&id);
        places.create().expect("made");
        std::fs::write(places.record(), bytes).expect("written");
        view(&places, &id)
    }

    fn message(view: &Environment) -> &str {
        match &view.state {
            EnvironmentState::Failed { message, hint: Some(_) } => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newer_record_is_said_to_be_newer_whatever_of_it_is_understood() {
        let mut newer = serde_json::to_value(record(1, "fox", "/shop")).expect("json");
        newer["version"] = (RECORD_VERSION + 1).into();
        let whole = told(newer.to_string().as_bytes());
        assert_eq!(message(&whole), "its record is of a newer version of agentdeck");
        assert_eq!((whole.name.as_str(), whole.repository.to_str()), ("fox", Some("/shop")));
        newer["environment"]["state"] = "of another shape".into();
        let parts = told(newer.to_string().as_bytes());
        assert_eq!(message(&parts), message(&whole));
        assert_eq!((parts.name.as_str(), parts.repository.to_str()), ("fox", Some("/shop")));
    }

    #[test]
    fn of_a_torn_record_the_id_is_told() {
        for torn in [&b""[..], b"{", b"null", b"[]", b"\xff"] {
            let view = told(torn);
            assert_eq!(message(&view), "its record cannot be read");
            assert_eq!(view.name.as_str(), view.id.as_str());
        }
    }
}

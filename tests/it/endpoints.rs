//! Which Docker Engine makes a box: the one that the environment of whoever asks for it names, not
//! that of the server. And what is left at an engine, which is found there when it is back.

use std::path::Path;

use crate::common::dockerd::Dockerd;
use crate::common::home::{Run, TestHome};
use crate::docker::busybox_root;
use crate::survival::wait_until;

/// Asks for an environment at whatever engine the variables choose.
fn new(test: &mut TestHome, variables: &[(&'static str, &str)], image: &str) -> Run {
    let before = test.also.len();
    test.also.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let options = ["new", "--engine", "docker", "--image", image, "--network", "none"];
    let made = test.agentdeck(&[&options[..], &["--", "sh", "-c", "exec sleep 1000"]].concat());
    test.also.truncate(before);
    made
}

/// A directory of docker's own settings in which a context of this name leads to an endpoint.
fn settings(test: &TestHome, name: &str, endpoint: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;
    let mut digest = String::new();
    for byte in Sha256::digest(name.as_bytes()) {
        let _ = write!(digest, "{byte:02x}");
    }
    let settings = test.path().join(format!("settings-{name}"));
    let meta = settings.join("contexts/meta").join(digest);
    std::fs::create_dir_all(&meta).expect("made");
    let text = serde_json::json!({ "Endpoints": { "docker": { "Host": endpoint } } });
    std::fs::write(meta.join("meta.json"), text.to_string()).expect("written");
    let current = serde_json::json!({ "currentContext": name });
    std::fs::write(settings.join("config.json"), current.to_string()).expect("written");
    settings.to_str().expect("text").to_owned()
}

#[test]
fn an_endpoint_that_a_client_names_is_never_passed_over_for_the_servers() {
    let mut test = TestHome::new();
    // A server that was started by somebody who named nothing.
    test.agentdeck(&["ls"]).ok();
    let far = settings(&test, "far", "ssh://ann@far");
    let refused: [(&[(&'static str, &str)], &str); 5] = [
        (&[("DOCKER_HOST", "ssh://ann@far")], "not yet supported"),
        (&[("DOCKER_HOST", "tcp://127.0.0.1:1")], "not yet supported"),
        (&[("DOCKER_HOST", "unix:///nowhere/docker.sock")], "/nowhere/docker.sock"),
        (&[("DOCKER_CONFIG", far.as_str())], "not yet supported"),
        (&[("DOCKER_CONTEXT", "missing")], "missing"),
    ];
    for (variables, reason) in refused {
        let made = new(&mut test, variables, "busybox");
        assert_ne!(made.code, 0, "{variables:?}: {made:?}");
        assert!(made.stderr.contains(reason), "{variables:?}: {made:?}");
    }
    assert_eq!(test.agentdeck(&["ls", "--json"]).json().as_array().map(Vec::len), Some(0));
    test.also.push(("DOCKER_HOST", "unix:///nowhere/docker.sock".to_owned()));
    // Its exit code is about every engine.
    let told = test.agentdeck(&["doctor", "--json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).expect("json");
    let engines = told["engines"].as_array().expect("engines");
    let docker = engines.iter().find(|it| it["engine"] == "docker").expect("the docker engine");
    assert_eq!(docker["usable"], false, "{docker}");
    assert!(docker["summary"].as_str().is_some_and(|it| it.contains("/nowhere")), "{docker}");
}

#[test]
fn a_box_is_made_where_its_client_says_and_what_is_left_there_is_found_when_that_is_back() {
    let Some(mut engine) = Dockerd::start(true) else { return };
    let mut test = TestHome::new();
    test.agentdeck(&["ls"]).ok();
    let image = engine.import(&busybox_root());
    new(&mut test, &[("DOCKER_HOST", engine.host().as_str())], &image).ok();
    // The context that is current now counts, also where the variables are the same as before.
    let near = settings(&test, "near", &engine.host());
    new(&mut test, &[("DOCKER_CONFIG", near.as_str())], &image).ok();
    assert_eq!(engine.running().len(), 2);

    // No record names the engine any more, which is away when a server begins.
    test.end_server();
    engine.kill();
    for entry in std::fs::read_dir(test.home.join("environments")).expect("read") {
        remove(&entry.expect("an entry").path());
    }
    test.agentdeck(&["ls"]).ok();
    engine.run();
    wait_until("the boxes that nothing stands for are gone", || engine.all().is_empty());
}

fn remove(directory: &Path) {
    agentdeck::engine::remove_tree(directory).expect("removed");
}

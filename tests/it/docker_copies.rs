//! What outlives a container's box: images of it, its engine's events, the engine it is at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{BoxEvent, BoxRecord, BoxState, Engine, SaveTarget};
use agentdeck::model::failure::FailureKind;
use agentdeck::model::policy::ImageSource;
use agentdeck::shim::wire::Role;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::common::home::{TestHome, make};
use crate::common::place::Place;
use crate::common::talk::{PATIENCE, script};
use crate::docker::{Boxed, Image, docker, engine_answers, text};

/// What is told next, but for starts and pauses.
async fn next(events: &mut mpsc::Receiver<BoxEvent>) -> Option<BoxEvent> {
    let told = async {
        loop {
            match events.recv().await {
                Some(BoxEvent::Moved { .. }) => {}
                other => return other,
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("in time")
}

fn images_of(deck: &str) -> String {
    let filter = format!("label=agentdeck.image.deck={deck}");
    text(&docker(&["images", "-aq", "--filter", &filter]))
}

/// The box's own system as `save` writes it, after root has put a file into it.
async fn save(boxed: &Boxed, to: &SaveTarget) -> BoxRecord {
    let (engine, plan) = (boxed.engine(), &boxed.place.plan);
    let (progress, _reports) = mpsc::channel(1);
    let record = boxed.place.create(&engine).await;
    script(&engine, &record, Role::Root, "echo installed >/usr/tool").await;
    engine.save(plan, &record, to, &progress).await.expect("saved");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    record
}

#[tokio::test]
async fn a_box_saved_as_an_image_starts_anywhere_without_us() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let name = format!("agentdeck-test-saved:{}", std::process::id());
    let saved = Image(name.clone());
    let record = save(&boxed, &SaveTarget::Image(name.clone())).await;
    boxed.engine().remove(&record).await.expect("removed");
    let plain = docker(&["run", "--rm", &name, "cat", "/usr/tool"]);
    assert_eq!(text(&plain), "installed", "{plain:?}");
    let looked = docker(&["image", "inspect", "-f", "{{json .Config}}", &name]);
    let looked = text(&looked);
    assert!(!looked.contains("shim") && !looked.contains(&boxed.place.plan.deck), "{looked}");
    // A container of it, made by anyone, is not taken for one of ours.
    let foreign = text(&docker(&["run", "-d", &name, "sleep", "600"]));
    let listed = boxed.engine().list(&boxed.place.plan.deck).await;
    docker(&["rm", "-f", &foreign]);
    assert_eq!(listed, Ok(Vec::new()));
    drop(saved);
}

#[tokio::test]
async fn a_box_saved_as_a_file_starts_another_elsewhere() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let file = boxed.place.home.path().join("box.tar");
    let record = save(&boxed, &SaveTarget::Archive(file.clone())).await;
    assert_eq!(images_of(&boxed.place.plan.deck), "", "what it passed through is gone");
    boxed.engine().remove(&record).await.expect("removed");
    let mut other = Boxed::of(Image(String::new()));
    other.place.plan.image = Some(ImageSource::Archive(file));
    let engine = other.engine();
    let record = other.place.create(&engine).await;
    let id = text(&docker(&["inspect", "-f", "{{.Image}}", &container(&record)]));
    let loaded = Image(id);
    assert_eq!(
        script(&engine, &record, Role::Agent, "cat /usr/tool; id -un").await,
        "installed\nagent"
    );
    engine.remove(&record).await.expect("removed");
    drop(loaded);
    let missing = SaveTarget::Archive("/nonexistent/box.tar".into());
    let record = boxed.place.create(&boxed.engine()).await;
    let (progress, _reports) = mpsc::channel(1);
    let failure = boxed.engine().save(&boxed.place.plan, &record, &missing, &progress).await;
    assert!(failure.expect_err("refused").message.contains("/nonexistent/box.tar"));
    assert_eq!(images_of(&boxed.place.plan.deck), "", "nothing is left");
    boxed.engine().remove(&record).await.expect("removed");
}

fn container(record: &BoxRecord) -> String {
    record.container.clone().expect("a container")
}

#[tokio::test]
async fn the_image_of_a_fork_goes_with_its_environment() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, plan) = (boxed.engine(), &boxed.place.plan);
    let record = boxed.place.create(&engine).await;
    let (progress, _reports) = mpsc::channel(1);
    let mut second = Place::new();
    second.plan.deck.clone_from(&plan.deck);
    let mut third = Place::new();
    third.plan.deck.clone_from(&plan.deck);
    engine.fork(&record, &second.plan, &progress).await.expect("forked");
    let fork = second.create(&engine).await;
    script(&engine, &fork, Role::Root, "echo two >/usr/two").await;
    engine.stop(&fork, Duration::from_secs(1)).await.expect("stopped");
    engine.fork(&fork, &third.plan, &progress).await.expect("a stopped one is forked too");
    engine.remove(&fork).await.expect("removed");
    let of_fork = third.create(&engine).await;
    assert_eq!(script(&engine, &of_fork, Role::Agent, "cat /usr/two").await, "two");
    engine.remove(&of_fork).await.expect("removed");
    assert_eq!(images_of(&plan.deck), "");
    // One whose box was never made goes with what the deck does not remember.
    let mut lost = Place::new();
    lost.plan.deck.clone_from(&plan.deck);
    engine.fork(&record, &lost.plan, &progress).await.expect("forked");
    engine.remove_orphan(&plan.deck, &lost.plan.environment).await.expect("removed");
    assert_eq!(images_of(&lost.plan.deck), "");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_refused_with_those_that_are() {
    if !engine_answers() {
        return;
    }
    let mut boxed = Boxed::of(Image::busybox());
    boxed.place.plan.runtime = Some("no-such-runtime".to_owned());
    let (progress, _reports) = mpsc::channel(1);
    let failure = boxed.engine().create(&boxed.place.plan, &progress).await.expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("no-such-runtime"), "{failure:?}");
    assert!(failure.message.contains("runc"), "{failure:?}");
    boxed.place.plan.runtime = Some("runc".to_owned());
    let record = boxed.place.create(&boxed.engine()).await;
    boxed.engine().remove(&record).await.expect("removed");
}

/// A second way to the engine, which can be closed.
struct Door {
    socket: PathBuf,
    task: JoinHandle<()>,
}

impl Door {
    fn open(directory: &Path) -> Self {
        let socket = directory.join("door.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("bound");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut engine =
                        UnixStream::connect("/var/run/docker.sock").await.expect("the engine");
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
        Self { socket, task }
    }

    async fn close(self) {
        self.task.abort();
        let _ = self.task.await;
        std::fs::remove_file(&self.socket).expect("removed");
    }
}

#[tokio::test]
async fn a_lost_engine_is_told_and_found_again_and_a_box_stays_with_its_own() {
    if !engine_answers() || !Path::new("/var/run/docker.sock").exists() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let home = boxed.place.home.path();
    let door = Door::open(home);
    let engine = Docker::at(home, &door.socket);
    let mut events = engine.events(&boxed.place.plan.deck);
    let record = boxed.place.create(&engine).await;
    let endpoint = format!("unix://{}", door.socket.display());
    assert_eq!(record.endpoint.as_deref(), Some(endpoint.as_str()));
    // One that is set up for another engine asks the box's own.
    let other = Docker::at(home, Path::new("/nonexistent/other.sock"));
    assert_eq!(other.state(&record).await, Ok(BoxState::Running));
    // And lists what can be reached, though it is set up for what cannot.
    let listed = other.list(&boxed.place.plan.deck).await;
    assert_eq!(listed, Ok(vec![record.environment.clone()]));

    door.close().await;
    let lost = next(&mut events).await;
    assert!(matches!(lost, Some(BoxEvent::Lost { .. })), "{lost:?}");
    let failure = engine.state(&record).await.expect_err("unreachable");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    let door = Door::open(home);
    let back = next(&mut events).await;
    assert_eq!(back, Some(BoxEvent::Back { endpoint }));
    engine.kill(&record).await.expect("killed");
    let ended = next(&mut events).await;
    let Some(BoxEvent::Ended { environment, ending }) = ended else { panic!("{ended:?}") };
    assert_eq!((environment, ending.code), (record.environment.clone(), Some(137)));
    assert_eq!(engine.wait(&record).await.map(|ending| ending.code), Ok(Some(137)));
    engine.remove(&record).await.expect("removed");
    door.close().await;
}

/// The engine goes on with what a server asked for that ended meanwhile.
#[tokio::test]
async fn an_image_that_was_made_after_its_server_ended_is_found_and_removed() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, plan) = (boxed.engine(), &boxed.place.plan);
    let (deck, environment) = (plan.deck.as_str(), plan.environment.clone());
    let container = text(&docker(&["create", &boxed.image.0, "/bin/true"]));
    let labels = [("deck", deck), ("environment", environment.as_str())]
        .map(|(name, value)| format!("LABEL agentdeck.image.{name}={value}"));
    let name = format!("agentdeck/fork:{environment}");
    let changes = ["commit", "--change", &labels[0], "--change", &labels[1], &container, &name];
    let made = docker(&changes);
    docker(&["rm", &container]);
    assert!(made.status.success(), "{made:?}");
    assert_ne!(images_of(deck), "");
    assert_eq!(engine.list("another").await, Ok(Vec::new()));
    assert_eq!(engine.list(deck).await, Ok(vec![environment.clone()]));
    engine.remove_orphan(deck, &environment).await.expect("removed");
    assert_eq!(images_of(deck), "");
    assert_eq!(engine.list(deck).await, Ok(Vec::new()));
}

#[test]
fn a_stopped_box_whose_image_was_removed_is_forked_and_started_all_the_same() {
    if !engine_answers() {
        return;
    }
    let base = Image::busybox();
    // No registry has it.
    let name = format!("agentdeck-nobody.invalid/gone:{}", std::process::id());
    docker(&["tag", &base.0, &name]);
    let own = Image(name.clone());
    let test = TestHome::new();
    let engine = ["--engine", "docker", "--image", &name];
    make(&test, "fox", &engine, "exec sleep 1000");
    let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
    let id = inspection["environment"]["id"].as_str().expect("an id").to_owned();
    let filter = format!("label=agentdeck.environment={id}");
    let container = text(&docker(&["ps", "-aq", "--filter", &filter]));
    let install = "echo tool >/usr/tool; chmod 4755 /usr/tool";
    test.agentdeck(&["exec", "--root", "fox", "--", "sh", "-ec", install]).ok();
    test.script("fox", "echo set >~/.setting");
    test.agentdeck(&["stop", "fox"]).ok();
    let image = text(&docker(&["inspect", "-f", "{{.Image}}", &container]));
    docker(&["rmi", "-f", &image]);
    let commit = docker(&["commit", &container, "agentdeck-test:never"]);
    assert!(!commit.status.success(), "the control: its image is gone");

    test.agentdeck(&["fork", "fox", "cub"]).ok();
    let look = "cat /usr/tool ~/.setting; stat -c %a /usr/tool; echo $PATH";
    let told = test.script("cub", look);
    test.agentdeck(&["save", "fox", "agentdeck-test:never"]).fails(1, &["is gone", "fork"]);
    test.agentdeck(&["start", "fox"]).ok();
    assert_eq!(test.script("fox", look), told);
    assert!(told.starts_with("tool\nset\n4755\n/home/agent/.local/bin:"), "{told}");

    // With its container gone too, nothing can be made; what it would take is named.
    test.agentdeck(&["stop", "fox"]).ok();
    docker(&["rm", &container]);
    test.agentdeck(&["fork", "fox", "kit"]).fails(1, &[&name, "build or load it"]);
    let kit = test.agentdeck(&["inspect", "kit", "--json"]).json();
    let kit = kit["environment"]["id"].as_str().expect("an id").to_owned();
    let filter = format!("label=agentdeck.environment={kit}");
    assert_eq!(text(&docker(&["ps", "-aq", "--filter", &filter])), "");
    test.agentdeck(&["discard", "kit", "--yes"]).ok();
    drop(own);
}

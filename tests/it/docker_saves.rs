//! Saves of containers to files that are cut short: what is left of them goes with the next start,
//! and nothing that is the user's does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::common::home::TestHome;
use crate::common::proxy::{Fault, OF_SAVES, Proxy};
use crate::docker::{Image, docker, engine_answers, text};
use crate::survival::wait_until;

/// Where the engine of these tests listens.
const ENGINE: &str = "/var/run/docker.sock";

/// Long after an engine was given up that had not made an image.
const LONG: Duration = Duration::from_hours(2);

/// A home with one environment, whose server asks the engine through a proxy. Fields are dropped in
/// this order: the home's server first, which asks the engine for what it still has.
struct Saving {
    test: TestHome,
    proxy: Proxy,
    /// Has a label of its own, which whatever is made of it inherits.
    image: Image,
    label: String,
    _sockets: TempDir,
}

impl Saving {
    /// `None` where no engine answers there.
    fn start(name: &str) -> Option<Self> {
        if !engine_answers() || !Path::new(ENGINE).exists() {
            return None;
        }
        let sockets = tempfile::tempdir().expect("a directory");
        let proxy = Proxy::start(&sockets.path().join("engine.sock"), Path::new(ENGINE));
        let mut test = TestHome::new();
        test.also.push(("DOCKER_HOST", proxy.host()));
        let label = format!("agentdeck.test.save={name}-{}", std::process::id());
        let plain = Image::busybox();
        let container = text(&docker(&["create", &plain.0, "/bin/true"]));
        let image = Image(format!("agentdeck-test-save-{name}:{}", std::process::id()));
        let change = format!("LABEL {label}");
        let made = docker(&["commit", "--change", &change, &container, &image.0]);
        docker(&["rm", &container]);
        assert!(made.status.success(), "{made:?}");
        std::fs::create_dir(test.path().join("saved")).expect("made");
        let saving = Self { test, proxy, image, label, _sockets: sockets };
        let new = ["new", "box", "--engine", "docker", "--network", "none", "--image"];
        let command = ["--", "sleep", "1000"];
        saving.test.agentdeck(&[&new[..], &[&saving.image.0], &command].concat()).ok();
        Some(saving)
    }

    fn target(&self) -> PathBuf {
        self.test.path().join("saved/box.tar")
    }

    /// Begins to save, and kills the server at the step that the fault is about.
    fn cut_short(&self, fault: Fault) {
        self.proxy.behave(fault);
        let target = self.target();
        let words = ["save", "box", "--output", target.to_str().expect("text")];
        let mut command = self.test.command(&words);
        let mut save =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        wait_until("it is held", || self.proxy.met() > 0);
        self.test.end_server();
        let _ = save.wait();
    }

    /// The images that were made of the box.
    fn images(&self) -> Vec<String> {
        let filter = format!("label={}", self.label);
        let format = "{{.ID}} {{.Repository}}:{{.Tag}}";
        let listed = docker(&["images", "-a", "--filter", &filter, "--format", format]);
        let listed = text(&listed);
        let made = listed.lines().filter(|line| !line.ends_with(&self.image.0));
        made.map(str::to_owned).collect()
    }

    fn notes(&self) -> PathBuf {
        self.test.home.join("saving")
    }

    fn start_again(&self) {
        self.test.agentdeck(&["server", "stop"]);
        self.test.agentdeck(&["server", "start"]).ok();
    }

    /// Waits until nothing of a save is left, and the box goes on.
    fn is_cleared(&self, after: Fault) {
        wait_until(&format!("its image goes after {after:?}"), || self.images().is_empty());
        wait_until("its file goes", || names(&self.test.path().join("saved")).is_empty());
        wait_until("its note goes", || names(&self.notes()).is_empty());
        self.test
            .wait_for_json(&["ls", "--json"], |listed| listed[0]["state"]["state"] == "running");
    }
}

/// Removes what a test that failed has left.
impl Drop for Saving {
    fn drop(&mut self) {
        for line in self.images() {
            docker(&["rmi", "-f", line.split(' ').next().expect("an id")]);
        }
    }
}

fn names(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().display().to_string()).collect()
}

#[test]
fn a_save_that_was_cut_short_at_any_step_leaves_no_image_and_no_file() {
    let Some(saving) = Saving::start("cut") else { return };
    for fault in OF_SAVES {
        saving.cut_short(fault);
        assert_eq!(saving.images().len(), 1, "the control: {fault:?} leaves an image");
        saving.proxy.behave(Fault::None);
        saving.start_again();
        saving.is_cleared(fault);
    }
}

/// The engine goes on with what a server asked for that ended meanwhile.
#[test]
fn an_image_that_is_made_after_its_server_ended_goes_all_the_same() {
    let Some(saving) = Saving::start("late") else { return };
    saving.cut_short(Fault::LateImage);
    assert_eq!(saving.images(), Vec::<String>::new());
    saving.start_again();
    wait_until("it was looked for in vain", || saving.proxy.met() > 1);
    saving.proxy.behave(Fault::None);
    wait_until("it was there for a moment", || !saving.images().is_empty());
    saving.is_cleared(Fault::LateImage);
}

#[test]
fn an_image_that_the_user_has_named_or_loaded_stays() {
    let Some(saving) = Saving::start("users") else { return };
    saving.cut_short(Fault::KeptName);
    let found = saving.images();
    let (id, ours) = found[0].split_once(' ').expect("both");
    let mine = Image(format!("agentdeck-test-mine:{}", std::process::id()));
    assert!(docker(&["tag", ours, &mine.0]).status.success());
    let note = saving.notes().join(&names(&saving.notes())[0]);
    let kept = std::fs::read(&note).expect("a note");
    saving.proxy.behave(Fault::None);
    saving.start_again();
    wait_until("our name goes", || saving.images() == [format!("{id} {}", mine.0)]);
    wait_until("the note goes", || names(&saving.notes()).is_empty());
    drop(mine);

    let target = saving.target();
    let target = target.to_str().expect("text");
    saving.test.agentdeck(&["save", "box", "--output", target]).ok();
    assert_eq!(saving.images(), Vec::<String>::new());
    let said = text(&docker(&["load", "-i", target]));
    let id = said.rsplit(' ').next().expect("an id").to_owned();
    let loaded = Image(id);
    assert_eq!(saving.images().len(), 1, "{said}");
    // As after a kill between the file's coming to its place and the note's going.
    std::fs::write(&note, kept).expect("written");
    let before = SystemTime::now() - LONG;
    std::fs::File::options()
        .write(true)
        .open(&note)
        .and_then(|it| it.set_modified(before))
        .expect("set");
    saving.start_again();
    wait_until("the note goes", || names(&saving.notes()).is_empty());
    assert_eq!(saving.images().len(), 1, "it is the user's");
    assert!(Path::new(target).exists());
    drop(loaded);
}

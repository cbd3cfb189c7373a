//! The native engine and images in files: boxes on them, and boxes written as one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agentdeck::engine::{BoxState, Engine, SaveTarget};
use agentdeck::model::policy::ImageSource;
use agentdeck::shim::wire::Role;

use crate::common::home::TestHome;
use crate::common::place::Place;
use crate::common::talk::{PATIENCE, script};
use crate::native::usable;

/// The plain files of a small system, as an archive; `None` where no static busybox is there.
fn small_system(directory: &Path) -> Option<PathBuf> {
    let found = Command::new("sh").args(["-c", "command -v busybox"]).output().expect("a shell");
    let busybox = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    let content = std::fs::read(busybox).ok()?;
    let path = directory.join("system.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).expect("made"));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, "bin/busybox", &content[..]).expect("written");
    for applet in ["sh", "cat", "ls", "rm", "mkdir", "stat", "id", "test", "echo", "chmod"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("written");
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(4);
    archive.append_data(&mut header, "etc/base", &b"base"[..]).expect("written");
    archive.finish().expect("ended");
    Some(path)
}

#[tokio::test]
async fn a_box_stands_on_an_image_and_its_system_makes_another() {
    let mut place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let Some(system) = small_system(place.home.path()) else { return };
    place.plan.image = Some(ImageSource::Archive(system.clone()));
    let record = place.create(&engine).await;
    let look = "cat /etc/base; ls /usr/bin/env /root/.cargo 2>/dev/null; cat hello; id -u";
    assert_eq!(script(&engine, &record, Role::Agent, look).await, "basehello\n0");
    let change = "echo more >/etc/more; rm /etc/base; mkdir /opt; echo x >/opt/x; chmod 600 /opt/x; \
                  echo no >/tmp/no; echo no >/root/no; echo no >no";
    assert_eq!(script(&engine, &record, Role::Root, change).await, "");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let saved = place.home.path().join("saved.tar");
    let name = SaveTarget::Image("x".to_owned());
    let failure = engine.save(&place.plan, &record, &name, &progress).await.expect_err("refused");
    assert!(failure.hint.is_some_and(|hint| hint.contains("--output")));
    let target = SaveTarget::Archive(saved.clone());
    engine.save(&place.plan, &record, &target, &progress).await.expect("saved");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    let record = {
        engine.stop(&record, std::time::Duration::ZERO).await.expect("stopped");
        std::fs::remove_file(&system).expect("removed");
        engine.start(&place.plan, &record).await.expect("its image is kept")
    };
    assert_eq!(script(&engine, &record, Role::Agent, "cat /etc/more").await, "more");
    engine.remove(&record).await.expect("removed");

    let mut other = Place::new();
    let other_engine = usable(&other).await.expect("it was");
    other.plan.image = Some(ImageSource::Archive(saved));
    let record = other.create(&other_engine).await;
    let look =
        "cat /etc/more /opt/x; ls /etc/base /tmp /root no 2>/dev/null; stat -c %a /opt/x /tmp";
    let found = script(&other_engine, &record, Role::Agent, look).await;
    assert_eq!(found, "more\nx\n/root:\n\n/tmp:\n600\n1777");
    other_engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn what_cannot_be_saved_leaves_no_file() {
    let mut place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let Some(system) = small_system(place.home.path()) else { return };
    place.plan.image = Some(ImageSource::Archive(system));
    let record = place.create(&engine).await;
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let directory = place.home.path().join("a-directory");
    std::fs::create_dir(&directory).expect("made");
    for target in [PathBuf::from("/proc/x.tar"), "/nowhere/x.tar".into(), directory] {
        let target = SaveTarget::Archive(target);
        let saved = engine.save(&place.plan, &record, &target, &progress).await;
        assert!(saved.is_err(), "{target:?}");
    }
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running), "it is not left paused");
    engine.remove(&record).await.expect("removed");
}

/// A home whose environment is being saved: this machine's own system, which takes long enough for
/// something to happen in the middle.
struct Saving {
    test: TestHome,
    save: Child,
    target: PathBuf,
}

impl Saving {
    async fn begin() -> Option<Self> {
        usable(&Place::new()).await?;
        let test = TestHome::new();
        let new = ["new", "box", "--engine", "native", "--network", "none", "--", "sleep", "1000"];
        test.agentdeck(&new).ok();
        let target = test.path().join("box.tar");
        let mut command =
            test.command(&["save", "box", "--output", target.to_str().expect("text")]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut saving = Self { save: command.spawn().expect("started"), test, target };
        let is_long = |saving: &Self| saving.written().is_some_and(|length| length > 1 << 20);
        wait_until("it is written", || is_long(&saving));
        saving.is("paused");
        assert!(saving.save.try_wait().expect("waited").is_none(), "it goes on");
        Some(saving)
    }

    /// How much of the file is there.
    fn written(&self) -> Option<u64> {
        let entries = std::fs::read_dir(self.test.path()).expect("listed").flatten();
        let part = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".agentdeck-save-"));
        part.filter_map(|entry| Some(entry.metadata().ok()?.len())).max()
    }

    fn is(&self, wanted: &str) {
        self.test.wait_for_json(&["ls", "--json"], |listed| listed[0]["state"]["state"] == wanted);
    }
}

/// Whoever asked for a file may leave: the box goes on at once, and no part of the file stays.
#[tokio::test]
async fn a_save_that_nobody_waits_for_is_given_up() {
    let Some(mut saving) = Saving::begin().await else { return };
    saving.save.kill().expect("killed");
    saving.save.wait().expect("reaped");
    saving.is("running");
    wait_until("nothing of it stays", || saving.written().is_none());
    assert!(!saving.target.exists());
}

#[tokio::test]
async fn what_a_kill_of_the_server_leaves_of_a_save_goes_with_the_next_start() {
    let Some(mut saving) = Saving::begin().await else { return };
    saving.test.end_server();
    let _ = saving.save.wait();
    assert!(saving.written().is_some(), "the control: a kill leaves it");
    saving.test.agentdeck(&["server", "start"]).ok();
    wait_until("nothing of it stays", || saving.written().is_none());
    assert!(!saving.target.exists());
    saving.is("running");
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

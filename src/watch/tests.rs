use std::fs;
use std::time::Duration;

use super::*;

/// How long a test waits for a notice that must come; it comes much sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// Directories that a flood makes at most, so that a test that fails ends.
const FLOOD_LIMIT: usize = 300_000;

struct Scene {
    directory: tempfile::TempDir,
    watcher: Watcher,
    notices: mpsc::Receiver<Notice>,
    environment: EnvironmentId,
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for name in ["ws/src", "ws/target/deep", "ws/.git", "git/refs/heads", "git/logs"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        let (sender, notices) = mpsc::channel(4);
        let watcher = Watcher::new(sender).expect("a watcher");
        let environment = EnvironmentId::from_random([3; 8]);
        let ignored: Ignored = Arc::new(|path: &[u8]| path == b"target");
        watcher.watch_except(&environment, &root.join("ws"), &root.join("git"), ignored);
        let mut scene = Self { directory, watcher, notices, environment };
        assert_eq!(scene.notice().await.touched, Touched::Everything);
        assert_eq!(scene.watcher.describe(&scene.environment), "watching");
        scene
    }

    fn write(&self, path: &str) {
        fs::write(self.directory.path().join(path), b"content").expect("a file");
    }

    async fn notice(&mut self) -> Notice {
        let next = tokio::time::timeout(PATIENCE, self.notices.recv()).await;
        next.expect("a notice in time").expect("the watcher lives")
    }

    /// Collects notices until a path is named.
    async fn until(&mut self, path: &str) -> Notice {
        loop {
            let notice = self.notice().await;
            match &notice.touched {
                Touched::Paths(paths) if !paths.contains(&RepoPath::new(path.as_bytes())) => {}
                _ => return notice,
            }
        }
    }
}

fn paths(notice: &Notice) -> Vec<String> {
    match &notice.touched {
        Touched::Paths(paths) => paths.iter().map(ToString::to_string).collect(),
        Touched::Everything => panic!("paths were expected"),
    }
}

#[tokio::test]
async fn a_burst_of_writes_is_one_notice_and_ignored_directories_give_none() {
    let mut scene = Scene::new().await;
    scene.write("ws/target/deep/noise");
    scene.write("ws/src/a.rs");
    scene.write("ws/b.rs");
    let notice = scene.until("b.rs").await;
    assert_eq!(paths(&notice), ["b.rs", "src/a.rs"]);
    assert!(!notice.commits);
}

#[tokio::test]
async fn a_new_directory_is_named_and_then_watched() {
    let mut scene = Scene::new().await;
    fs::create_dir_all(scene.directory.path().join("ws/new/deep")).expect("directories");
    scene.write("ws/new/deep/first");
    let notice = scene.until("new").await;
    assert!(paths(&notice).contains(&"new".to_owned()));
    scene.write("ws/new/deep/second");
    scene.until("new/deep/second").await;
}

#[tokio::test]
async fn a_directory_moved_inside_is_watched_under_its_new_name() {
    let mut scene = Scene::new().await;
    let root = scene.directory.path().join("ws");
    fs::rename(root.join("src"), root.join("lib")).expect("moved");
    let notice = scene.until("lib").await;
    assert_eq!(paths(&notice), ["lib", "src"]);
    scene.write("ws/lib/inner");
    let notice = scene.until("lib/inner").await;
    assert_eq!(paths(&notice), ["lib/inner"]);
}

#[tokio::test]
async fn a_commit_in_the_private_git_directory_is_told_apart() {
    let mut scene = Scene::new().await;
    scene.write("git/index");
    scene.write("git/refs/heads/main");
    let notice = scene.notice().await;
    assert_eq!(notice.touched, Touched::Paths(BTreeSet::new()));
    assert!(notice.commits);
}

#[tokio::test]
async fn nothing_is_lost_while_the_receiver_has_no_room() {
    let mut scene = Scene::new().await;
    for number in 0..12 {
        scene.write(&format!("ws/file-{number}"));
        // Longer than the quiet time, so that each write is a batch of its own.
        tokio::time::sleep(Duration::from_millis(90)).await;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 12 {
        seen.extend(paths(&scene.notice().await));
    }
}

#[tokio::test]
async fn an_environment_no_longer_watched_gives_no_notice() {
    let mut scene = Scene::new().await;
    scene.watcher.unwatch(&scene.environment);
    let other = EnvironmentId::from_random([4; 8]);
    let root = scene.directory.path().to_owned();
    scene.write("ws/unseen");
    scene.watcher.watch(&other, &root.join("ws/src"), &root.join("git"));
    assert_eq!(scene.notice().await.environment, other);
    assert_eq!(scene.watcher.describe(&scene.environment), "not watched");
}

/// Makes directories in `parent` until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<PathBuf>>,
}

impl Flood {
    fn start(parent: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            fs::create_dir(&parent).expect("a directory");
            let made = (0..FLOOD_LIMIT).map(|number| parent.join(number.to_string()));
            let mut last = parent.clone();
            for directory in made.take_while(|_| !told.load(Ordering::Relaxed)) {
                fs::create_dir(&directory).expect("a directory");
                last = directory;
            }
            last
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops, and returns the last directory that was made.
    fn stop(mut self) -> PathBuf {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it made directories")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[tokio::test]
async fn a_box_that_makes_directories_without_end_holds_no_other_up() {
    let mut scene = Scene::new().await;
    let root = scene.directory.path().to_owned();
    let flood = Flood::start(root.join("ws/n"));
    scene.until("n").await;
    let other = EnvironmentId::from_random([4; 8]);
    for name in ["other", "other-git"] {
        fs::create_dir(root.join(name)).expect("a directory");
    }
    // More often than the queue of events has room.
    for _ in 0..=QUEUE_LIMIT {
        scene.watcher.watch(&other, &root.join("other"), &root.join("other-git"));
    }
    while scene.notice().await.environment != other {}
    assert!(!flood.thread.as_ref().expect("it runs").is_finished(), "it goes on meanwhile");
    let last = flood.stop();

    // What changes afterwards is noticed, by its name or with everything: once may be from before.
    while scene.notices.try_recv().is_ok() {}
    let name = last.file_name().expect("a name").to_string_lossy();
    let inner = RepoPath::new(format!("n/{name}/inner").into_bytes());
    let mut of_everything = 0;
    while of_everything < 2 {
        fs::write(last.join("inner"), "content").expect("a file");
        match scene.notice().await.touched {
            Touched::Paths(paths) if paths.contains(&inner) => break,
            Touched::Paths(_) => {}
            Touched::Everything => of_everything += 1,
        }
    }
}

#[tokio::test]
async fn links_in_the_private_git_directory_lead_nowhere() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path();
    for name in ["ws", "git", "outside/heads/deep"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
    }
    for name in ["git/refs", "git/logs"] {
        std::os::unix::fs::symlink(root.join("outside"), root.join(name)).expect("linked");
    }
    let ignored: Ignored = Arc::new(|_: &[u8]| false);
    let now = std::time::Instant::now();
    let watched = watched::Watched::new(root.join("ws"), root.join("git"), ignored, now);
    assert_eq!(watched.git_directories(), [root.join("git")]);
}

#[tokio::test]
async fn a_directory_that_new_rules_no_longer_ignore_is_watched() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    for name in ["ws/target", "git"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
    }
    let (sender, notices) = mpsc::channel(4);
    let watcher = Watcher::new(sender).expect("a watcher");
    let environment = EnvironmentId::from_random([3; 8]);
    let rules = root.join("ws/.gitignore");
    let ignored: Ignored = Arc::new(move |path: &[u8]| path == b"target" && !rules.exists());
    watcher.watch_except(&environment, &root.join("ws"), &root.join("git"), ignored);
    let mut scene = Scene { directory, watcher, notices, environment };
    assert_eq!(scene.notice().await.touched, Touched::Everything);
    scene.write("ws/.gitignore");
    while scene.notice().await.touched != Touched::Everything {}
    scene.write("ws/target/seen");
    scene.until("target/seen").await;
}

#[test]
fn polling_sees_a_change_and_slows_down_without_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (workspace, git) = (directory.path().join("ws"), directory.path().join("git"));
    fs::create_dir_all(&workspace).expect("a directory");
    fs::create_dir_all(&git).expect("a directory");
    let ignored: Ignored = Arc::new(|_: &[u8]| false);
    let now = std::time::Instant::now();
    let mut poll = poll::Poll::new(now);
    poll.look([&workspace, &git], &ignored, now);
    assert!(!poll.look([&workspace, &git], &ignored, now));
    let slow = poll.next();
    fs::write(workspace.join("file"), b"x").expect("a file");
    assert!(poll.look([&workspace, &git], &ignored, now));
    assert!(poll.next() < slow);
}

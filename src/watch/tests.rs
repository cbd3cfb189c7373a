use std::fs;
use std::time::Duration;

use super::*;

/// How long a test waits for a notice that must come; it comes much sooner.
const PATIENCE: Duration = Duration::from_secs(10);

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

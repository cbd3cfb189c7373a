//! Where a container's image comes from: an archive, a Dockerfile, a registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{BoxRecord, Engine, Progress};
use agentdeck::model::failure::{Failure, FailureKind};
use agentdeck::model::policy::ImageSource;
use agentdeck::shim::wire::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::common::home::TestHome;
use crate::common::registry::{self, OneImage};
use crate::common::talk;
use crate::docker::{Boxed, Image, busybox_root, docker, engine_answers, text};

/// Makes a box, and tells the steps that were reported.
async fn create(boxed: &Boxed) -> (Result<BoxRecord, Failure>, Vec<String>) {
    let (sender, mut reports) = mpsc::channel::<Progress>(4096);
    let made = boxed.engine().create(&boxed.place.plan, &sender).await;
    drop(sender);
    let mut steps = Vec::new();
    while let Some(progress) = reports.recv().await {
        steps.push(progress.step);
    }
    (made, steps)
}

async fn agent(engine: &Docker, record: &BoxRecord, script: &str) -> String {
    let command = ["/bin/sh", "-c", script];
    let outcome = talk::run(engine, record, Role::Agent, &command, b"").await.expect("started");
    assert_eq!(outcome.code, 0, "{script}: {}{}", outcome.output, outcome.errors);
    outcome.output
}

/// A box from this source, its files in the directory of the environment.
fn boxed_of(name: &str, content: &[u8]) -> Boxed {
    let boxed = Boxed::of(Image(String::new()));
    with_file(boxed, name, content)
}

/// The files of a root, and one by which it differs from every other's.
fn root_with(name: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(format!("{name}-{}", std::process::id())).expect("a short name");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    [header.as_bytes().as_slice(), &busybox_root()].concat()
}

fn with_file(mut boxed: Boxed, name: &str, content: &[u8]) -> Boxed {
    let path = boxed.place.home.path().join(name);
    std::fs::write(&path, content).expect("written");
    boxed.place.plan.image = Some(ImageSource::Archive(path));
    boxed
}

/// A box of this source works and its making says `word`; that of a second does not. The answer is
/// the image's id, and removes the image when it is dropped.
async fn works_and_is_known(boxed: &Boxed, word: &str) -> Image {
    let (made, steps) = create(boxed).await;
    let record = made.expect("a box");
    assert!(steps.iter().any(|step| step.contains(word)), "{word:?} in {steps:?}");
    let engine = boxed.engine();
    assert_eq!(agent(&engine, &record, "id -un; cat hello").await, "agent\nhello");
    let container = record.container.clone().expect("a container");
    let id = Image(text(&docker(&["inspect", "-f", "{{.Image}}", &container])));
    engine.remove(&record).await.expect("removed");
    let (made, steps) = create(boxed).await;
    assert!(!steps.iter().any(|step| step.contains(word)), "not again: {steps:?}");
    engine.remove(&made.expect("a box")).await.expect("removed");
    id
}

#[tokio::test]
async fn a_saved_image_is_loaded_once_and_moves_no_tag() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let saved = Command::new("docker").args(["save", &image.0]).output().expect("saved");
    let name = image.0.clone();
    drop(image);
    let boxed = boxed_of("box.tar", &saved.stdout);
    let id = works_and_is_known(&boxed, "loading box.tar").await;
    let tagged = docker(&["image", "inspect", &name]).status.success();
    drop(id);
    assert!(!tagged, "the archive names {name}, and the user's names are the user's");
}

#[tokio::test]
async fn an_oci_layout_is_loaded_like_a_saved_image() {
    if !engine_answers() {
        return;
    }
    let image = OneImage::of(root_with("oci"));
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{"digest": registry::digest(&image.manifest), "size": image.manifest.len()}],
    });
    let mut files = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        files.append_data(&mut header, name, content).expect("added");
    };
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    add("index.json", &serde_json::to_vec(&index).expect("json"));
    let named = |digest: &str| digest.replace("sha256:", "blobs/sha256/");
    add(&named(&registry::digest(&image.manifest)), &image.manifest);
    for (digest, content) in &image.blobs {
        add(&named(digest), content);
    }
    let boxed = boxed_of("oci.tar", &files.into_inner().expect("an archive"));
    let id = works_and_is_known(&boxed, "loading oci.tar").await;
    assert_eq!(id.0, image.config);
}

#[tokio::test]
async fn plain_files_are_a_root() {
    if !engine_answers() {
        return;
    }
    let boxed = boxed_of("root.tar", &root_with("root"));
    let id = works_and_is_known(&boxed, "loading root.tar").await;
    let labels = text(&docker(&["image", "inspect", "-f", "{{.Config.Labels}}", &id.0]));
    assert_eq!(labels, "map[agentdeck.image:archive]");
}

#[tokio::test]
async fn compressed_files_are_unpacked_first() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let saved = Command::new("docker").args(["save", &image.0]).output().expect("saved");
    drop(image);
    let boxed = boxed_of("box.tar.gz", &gzip(&saved.stdout));
    let id = works_and_is_known(&boxed, "loading box.tar.gz").await;
    drop(id);
    let boxed = boxed_of("root.tgz", &gzip(&root_with("zipped")));
    let id = works_and_is_known(&boxed, "loading root.tgz").await;
    let left = std::fs::read_dir(&boxed.place.plan.directory).expect("a directory").flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["git", "home", "layer", "run", "workspace"], "nothing unpacked stays");
    drop(id);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    let mut file = flate2::write::GzEncoder::new(Vec::new(), fast);
    std::io::Write::write_all(&mut file, content).expect("written");
    file.finish().expect("ended")
}

#[tokio::test]
async fn a_file_that_is_no_image_is_refused_by_name() {
    if !engine_answers() {
        return;
    }
    for (name, content, kind) in [
        ("empty.tar", &b""[..], FailureKind::Invalid),
        ("small.tar.gz", &b"\x1f\x8b\x08\0"[..], FailureKind::Invalid),
        ("odd.tar", &[b'x'; 4096][..], FailureKind::Invalid),
        ("odd.tar.zst", &b"\x28\xb5\x2f\xfd\x04"[..], FailureKind::Invalid),
    ] {
        let boxed = boxed_of(name, content);
        let failure = create(&boxed).await.0.expect_err(name);
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(name), "{failure:?}");
        assert!(failure.hint.is_some(), "{failure:?}");
    }
    let mut boxed = boxed_of("x", b"");
    boxed.place.plan.image = Some(ImageSource::Archive("/nonexistent/box.tar".into()));
    let failure = create(&boxed).await.0.expect_err("missing");
    assert_eq!(failure.kind, FailureKind::NotFound);
    assert_eq!(boxed.engine().list(&boxed.place.plan.deck).await, Ok(Vec::new()));
}

fn with_dockerfile(image: Image, lines: &str) -> Boxed {
    let mut boxed = Boxed::of(image);
    let directory: PathBuf = boxed.place.home.path().join("context");
    std::fs::create_dir(&directory).expect("made");
    let dockerfile = directory.join("Dockerfile");
    let from = boxed.image.0.clone();
    std::fs::write(&dockerfile, format!("FROM {from}\n{lines}")).expect("written");
    std::fs::write(directory.join("given"), "given\n").expect("written");
    boxed.place.plan.image = Some(ImageSource::Dockerfile(dockerfile));
    boxed
}

/// Everything by which an image could have its own way with a box.
const WILFUL: &str = r#"COPY given /given
RUN echo made by a step > /made && echo a line of the build
USER 65534
ENTRYPOINT ["/bin/false"]
CMD ["/bin/false"]
HEALTHCHECK --interval=1s CMD touch /checked
VOLUME ["/data"]
ONBUILD RUN false
STOPSIGNAL SIGUSR1
ENV LD_PRELOAD=/nonexistent.so HOME=/root
LABEL agentdeck.environment=0000000000000000 agentdeck.deck=0000000000000000
EXPOSE 80
"#;

#[tokio::test]
async fn a_dockerfile_is_built_once_and_decides_nothing_of_the_box() {
    if !engine_answers() {
        return;
    }
    let boxed = with_dockerfile(Image::busybox(), WILFUL);
    let id = works_and_is_known(&boxed, "building: RUN echo made by a step").await;
    let (made, _) = create(&boxed).await;
    let (engine, record) = (boxed.engine(), made.expect("a box"));
    let seen = agent(&engine, &record, "cat /given /made; echo $HOME; test ! -e /checked").await;
    drop(engine.remove(&record).await);
    drop(id);
    assert!(seen.starts_with("given\nmade by a step\n/home/agent"), "{seen}");
}

#[tokio::test]
async fn a_build_that_fails_says_where_and_leaves_nothing() {
    if !engine_answers() {
        return;
    }
    let boxed = with_dockerfile(Image::busybox(), "RUN echo the cause; exit 3\n");
    let failure = create(&boxed).await.0.expect_err("it fails");
    assert!(failure.message.contains("step 2 of 3, RUN echo the cause"), "{failure:?}");
    assert!(failure.message.contains("printed: ") && failure.hint.is_some(), "{failure:?}");
    let from = format!("ancestor={}", boxed.image.0);
    assert_eq!(text(&docker(&["ps", "-aq", "--filter", &from])), "", "no container of a step");
    assert_eq!(boxed.engine().list(&boxed.place.plan.deck).await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_image_is_pulled_by_its_name() {
    if !engine_answers() {
        return;
    }
    let name = registry::serve("box", OneImage::of(root_with("pulled")));
    let mut boxed = boxed_of("x", b"");
    boxed.place.plan.image = Some(ImageSource::Name(name.clone()));
    let id = works_and_is_known(&boxed, &format!("pulling {name}")).await;
    docker(&["rmi", "-f", &name]);
    drop(id);
}

/// What docker's own settings know is used for a pull, and stays nowhere but in them.
#[test]
fn a_pull_uses_the_credentials_that_docker_has_and_keeps_none() {
    // In base64, what engines are told of it needs both characters that alphabets differ in.
    const USER: &str = "ann:pa?ss~";
    if !engine_answers() {
        return;
    }
    let name = registry::serve_to(Some(USER), "own", OneImage::of(root_with("private")));
    let host = name.split('/').next().expect("a host").to_owned();
    let mut test = TestHome::new();
    let settings = test.path().join("user/.docker");
    std::fs::create_dir(&settings).expect("made");
    let has = |config: &Value| {
        std::fs::write(settings.join("config.json"), config.to_string()).expect("written");
    };
    let new = ["new", "box", "--engine", "docker", "--image", &name, "--network", "none"];
    let new = [&new[..], &["--", "sleep", "1000"]].concat();
    let again = |test: &TestHome| test.agentdeck(&["start", "box"]);
    test.agentdeck(&new).fails(1, &["pulling it failed", "docker login", &host]);
    has(&json!({"auths": {(host.as_str()): {"auth": STANDARD.encode("ann:wrong")}}}));
    again(&test).fails(1, &["does not take the credentials"]);
    has(&json!({"auths": {(host.as_str()): {"auth": STANDARD.encode(USER)}}}));
    again(&test).ok();
    test.agentdeck(&["discard", "box", "--yes"]).ok();
    docker(&["rmi", "-f", &name]);

    // A helper is asked in the place of the file, which then has nothing.
    let programs = test.path().join("programs");
    std::fs::create_dir(&programs).expect("made");
    let helper = programs.join("docker-credential-test");
    let (user, secret) = USER.split_once(':').expect("both");
    let answer = json!({"ServerURL": host, "Username": user, "Secret": secret});
    let script = format!(
        "#!/bin/sh\nread -r asked\n[ \"$1 $asked\" = 'get {host}' ] || exit 1\n\
        echo '{answer}'\n"
    );
    std::fs::write(&helper, script).expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, executable).expect("changed");
    has(&json!({"credHelpers": {(host.as_str()): "test"}}));
    let path = std::env::var("PATH").expect("a PATH");
    test.also.push(("PATH", format!("{}:{path}", programs.display())));
    // The server looks for helpers where it was started from.
    test.agentdeck(&["server", "stop"]).ok();
    let new: Vec<&str> =
        new.iter().map(|word| if *word == "box" { "other" } else { *word }).collect();
    test.agentdeck(&new).ok();
    test.agentdeck(&["discard", "other", "--yes"]).ok();
    docker(&["rmi", "-f", &name]);
    for secret in [secret.to_owned(), STANDARD.encode(USER), STANDARD.encode(secret)] {
        let kept = Command::new("grep").args(["-rlF", "--", &secret]).arg(&test.home).output();
        assert_eq!(text(&kept.expect("grep")), "", "nothing of it is kept");
    }
}

#[tokio::test]
async fn a_pull_that_fails_half_way_leaves_nothing() {
    if !engine_answers() {
        return;
    }
    let mut image = OneImage::of(root_with("half"));
    image.blobs.retain(|digest, _| *digest == image.config);
    let name = registry::serve("half", image);
    let mut boxed = boxed_of("x", b"");
    boxed.place.plan.image = Some(ImageSource::Name(name.clone()));
    let failure = create(&boxed).await.0.expect_err("a layer is missing");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains(&name) && failure.hint.is_some(), "{failure:?}");
    assert!(!docker(&["image", "inspect", &name]).status.success());
    assert_eq!(boxed.engine().list(&boxed.place.plan.deck).await, Ok(Vec::new()));
    assert!(!Path::new(&boxed.place.plan.directory).join("layer/mapped/workspace").exists());
}

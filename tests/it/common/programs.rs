//! The coding agents that `tests/agents/install` installs, the model's server that they talk to, and
//! images with one of them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::docker::{Image, busybox_root};

/// What ends an archive: two blocks of nothing.
const END: usize = 1024;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where an agent's program is, with all that came with it; `None` where it was not installed. Where
/// it is required, the test fails instead.
pub fn installed(agent: &str) -> Option<PathBuf> {
    let place = root().join("target/agents");
    let found = place.join("bin").join(agent).exists();
    let required = std::env::var("AGENTDECK_REQUIRE_AGENTS").is_ok_and(|value| value == "1");
    assert!(found || !required, "there is no {agent} in {}; run tests/setup", place.display());
    if !found {
        let _ = writeln!(std::io::stderr(), "passed over: no {agent}; tests/setup installs it");
    }
    found.then_some(place)
}

/// A server that plays a model by a script. Dropped, it ends.
pub struct Model {
    child: Child,
    pub port: u16,
}

impl Model {
    pub fn start() -> Self {
        let mut child = Command::new(root().join("tests/agents/model-server"))
            .arg("0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the model's server; run tests/setup");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("its port");
        Self { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An image of busybox, this machine's bash, and the program of an agent, which is a binary below
/// the package that npm installed.
pub fn image_with(agent: &str) -> Image {
    let place = installed(agent).expect("installed");
    let programs = place.join("lib/node_modules");
    Image::written(|input| {
        if agent == "claude" {
            let binary = programs.join("@anthropic-ai/claude-code/bin/claude.exe");
            return write_system(input, &[&binary], |archive| {
                archive.append_path_with_name(&binary, "usr/local/bin/claude")
            });
        }
        let platforms = programs.join("@openai/codex/node_modules/@openai");
        let vendor = only_below(&only_below(&platforms).join("vendor"));
        write_system(input, &[], |archive| {
            archive.append_dir_all("opt/codex", &vendor)?;
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, "usr/local/bin/codex", "/opt/codex/bin/codex")
        })
    })
}

fn write_system(
    input: &mut ChildStdin,
    binaries: &[&Path],
    more: impl FnOnce(&mut tar::Builder<&mut ChildStdin>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let base = busybox_root();
    input.write_all(&base[..base.len() - END])?;
    let mut archive = tar::Builder::new(input);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    archive.append_data(&mut header, "tmp", std::io::empty())?;
    let bash = Path::new("/bin/bash");
    archive.append_path_with_name(bash, "usr/bin/bash")?;
    let mut libraries: Vec<PathBuf> =
        binaries.iter().chain([&bash]).flat_map(|binary| libraries_of(binary)).collect();
    libraries.sort();
    libraries.dedup();
    for library in libraries {
        archive.append_path_with_name(&library, library.strip_prefix("/").expect("absolute"))?;
    }
    more(&mut archive)?;
    archive.finish()
}

/// The libraries that a binary is started with, and what starts it.
fn libraries_of(binary: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(binary).output().expect("ldd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// The one entry of a directory.
fn only_below(directory: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(directory).expect("a directory");
    entries.next().expect("an entry").expect("an entry").path()
}

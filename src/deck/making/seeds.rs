//! The first files of an agent's home.
//!
//! The box writes in that home and may have left anything there, links to files of this machine
//! among it: everything is reached from the home's descriptor and through no link, and nothing that
//! stands anywhere is written through.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::super::recover;
use super::merging;
use crate::model::failure::Failure;
use crate::model::profile::Seed;

/// How a name of the home is looked up: below its directory, and through no link.
pub(super) const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Writes into `home` the files that fit, readable by the user alone, and leaves what is there. A
/// file whose way leads through a link, or through what is no directory, is left out: the agent
/// keeps its files where it wants them.
pub(super) fn write(
    home: &Path,
    seeds: &[Seed],
    workspace: &str,
    variables: &[(String, String)],
) -> Result<(), Failure> {
    let opened = open_home(home).with_context(|| format!("cannot open {}", home.display()))?;
    for seed in seeds.iter().filter(|seed| seed.fits(variables)) {
        let there = if seed.merged { There::Merged } else { There::Left };
        match place(&opened, &seed.path, &seed.fill(workspace, variables), there) {
            Ok(()) => {}
            Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                let place = home.join(&seed.path);
                tracing::warn!("{} is left out: a link or a file is in its way", place.display());
            }
            Err(error) => {
                let place = home.join(&seed.path);
                let failed = || format!("could not write {}", place.display());
                return Err(anyhow::Error::from(error).context(failed()).into());
            }
        }
    }
    Ok(())
}

/// Opens the home itself, which lies in a directory that the box does not see.
pub(super) fn open_home(home: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(home, flags, Mode::empty())
}

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Left,
    Merged,
}

/// Puts a file at `path` of the home, whole or not at all.
fn place(home: &OwnedFd, path: &str, content: &str, there: There) -> Result<(), Errno> {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parents = parents.split('/').filter(|part| !part.is_empty());
    let mut directory = home.try_clone().map_err(|error| errno(&error))?;
    for part in parents {
        directory = step_into(&directory, part)?;
    }
    match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => put(&directory, name, content.as_bytes()),
        Ok(_) if there == There::Merged => match merging::add(&directory, name, content)? {
            Some(merged) => put(&directory, name, merged.as_bytes()),
            None => Ok(()),
        },
        found => found.map(drop),
    }
}

/// Opens a directory in another, making it for the user alone where there is none.
fn step_into(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat2(parent, name, flags, Mode::empty(), RESOLVE);
    match open() {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
            open()
        }
        opened => opened,
    }
}

/// Writes a new file, synced with its directory. Nobody can have put anything at the name that it
/// has until it is whole, and what it is renamed over is never followed.
fn put(directory: &OwnedFd, name: &str, content: &[u8]) -> Result<(), Errno> {
    let random = recover::random_bytes().map_err(|error| errno(&error))?;
    let fresh = format!(".{name}.{:016x}", u64::from_ne_bytes(random));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let opened = rustix::fs::openat2(directory, fresh.as_str(), flags, mode, RESOLVE)?;
    let mut file = File::from(opened);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let placed = written.map_err(|error| errno(&error)).and_then(|()| {
        rustix::fs::renameat(directory, fresh.as_str(), directory, name)?;
        rustix::fs::fsync(directory)
    });
    if placed.is_err() {
        // Half a file keeps room that a full disk does not have.
        let _ = rustix::fs::unlinkat(directory, fresh.as_str(), AtFlags::empty());
    }
    placed
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    const KEY: &str = "a key of the user's";

    /// A home that a box wrote in, beside a directory that is none of its business.
    struct World {
        root: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("a directory");
            for name in ["home", "outside"] {
                std::fs::create_dir(root.path().join(name)).expect("made");
            }
            std::fs::write(root.path().join("outside/.bashrc"), KEY).expect("written");
            Self { root }
        }

        fn home(&self) -> PathBuf {
            self.root.path().join("home")
        }

        fn outside(&self, name: &str) -> PathBuf {
            self.root.path().join("outside").join(name)
        }

        fn link(&self, target: &Path, name: &str) {
            symlink(target, self.home().join(name)).expect("linked");
        }

        fn seed(&self) -> Result<(), Failure> {
            let seeds = [".state.json", ".tool/auth.json"].map(|path| Seed {
                path: path.to_owned(),
                content: "{workspace}".to_owned(),
                needs: None,
                merged: false,
            });
            write(&self.home(), &seeds, "/work", &[])
        }

        fn text(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.home().join(name)).ok()
        }

        /// Names and content of what is outside.
        fn outside_now(&self) -> Vec<(String, String)> {
            let entries = std::fs::read_dir(self.root.path().join("outside")).expect("read");
            let mut found: Vec<_> = entries
                .map(|entry| {
                    let entry = entry.expect("an entry");
                    let text = std::fs::read_to_string(entry.path()).expect("a file");
                    (entry.file_name().to_string_lossy().into_owned(), text)
                })
                .collect();
            found.sort();
            found
        }
    }

    fn untouched() -> Vec<(String, String)> {
        vec![(".bashrc".to_owned(), KEY.to_owned())]
    }

    #[test]
    fn a_home_is_seeded_for_the_user_alone_and_what_is_there_stays() {
        let world = World::new();
        std::fs::write(world.home().join(".state.json"), "the agent's").expect("written");
        world.seed().expect("seeded");
        assert_eq!(world.text(".state.json").as_deref(), Some("the agent's"));
        assert_eq!(world.text(".tool/auth.json").as_deref(), Some("/work"));
        for (name, wanted) in [(".tool", 0o700), (".tool/auth.json", 0o600)] {
            let mode = std::fs::metadata(world.home().join(name)).expect("there").permissions();
            assert_eq!(mode.mode() & 0o777, wanted, "{name}");
        }
        let left = std::fs::read_dir(world.home().join(".tool")).expect("read").count();
        assert_eq!(left, 1, "nothing but the file");
    }

    #[test]
    fn settings_are_added_to_those_that_are_there_through_no_link() {
        let world = World::new();
        let seed = Seed {
            path: "settings.json".to_owned(),
            content: r#"{ "hooks": { "Stop": [1] } }"#.to_owned(),
            needs: None,
            merged: true,
        };
        let write = || write(&world.home(), std::slice::from_ref(&seed), "/work", &[]);
        std::fs::write(world.home().join("settings.json"), r#"{ "theme": "light" }"#)
            .expect("written");
        write().expect("seeded");
        let text = world.text("settings.json").expect("there");
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let wanted = serde_json::json!({ "theme": "light", "hooks": { "Stop": [1] } });
        assert_eq!(found, wanted);

        std::fs::remove_file(world.home().join("settings.json")).expect("removed");
        std::fs::write(world.outside(".bashrc"), "{}").expect("written");
        world.link(&world.outside(".bashrc"), "settings.json");
        write().expect("left as it is");
        assert_eq!(world.outside_now(), [(".bashrc".to_owned(), "{}".to_owned())]);
        assert_eq!(world.text("settings.json").as_deref(), Some("{}"), "the link leads there");
    }

    #[test]
    fn a_link_in_place_of_the_half_written_file_leads_nowhere() {
        let world = World::new();
        world.link(&world.outside(".bashrc"), ".state.json.new");
        world.seed().expect("seeded");
        assert_eq!(world.outside_now(), untouched());
        assert_eq!(world.text(".state.json").as_deref(), Some("/work"), "and it is seeded");

        // The control: the link works for whoever opens it as any other file.
        std::fs::write(world.home().join(".state.json.new"), "{}").expect("written");
        assert_ne!(world.outside_now(), untouched());
    }

    #[test]
    fn a_link_in_place_of_the_file_leads_nowhere_and_stays() {
        let world = World::new();
        world.link(&world.outside("new"), ".state.json");
        world.seed().expect("seeded");
        assert_eq!(world.outside_now(), untouched());
        let target = std::fs::read_link(world.home().join(".state.json")).expect("a link");
        assert_eq!(target, world.outside("new"));

        std::fs::write(world.home().join(".state.json"), "{}").expect("written");
        assert_ne!(world.outside_now(), untouched(), "the control");
    }

    #[test]
    fn a_link_in_place_of_a_directory_leads_nowhere() {
        let world = World::new();
        world.link(&world.outside(""), ".tool");
        world.seed().expect("the rest is seeded");
        assert_eq!(world.outside_now(), untouched());
        assert_eq!(world.text(".state.json").as_deref(), Some("/work"));

        std::fs::write(world.home().join(".tool/auth.json"), "{}").expect("written");
        assert_ne!(world.outside_now(), untouched(), "the control");
    }

    #[test]
    fn a_file_in_place_of_a_directory_keeps_nothing_else_from_being_seeded() {
        let world = World::new();
        std::fs::write(world.home().join(".tool"), "no directory").expect("written");
        world.seed().expect("the rest is seeded");
        assert_eq!(world.text(".tool").as_deref(), Some("no directory"));
        assert_eq!(world.text(".state.json").as_deref(), Some("/work"));
    }
}

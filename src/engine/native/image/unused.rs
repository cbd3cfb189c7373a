//! Unpacked images that no environment stands on any more, removed after a while.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::provide::{ENVIRONMENT, PARTIAL, lock};
use crate::engine::native::layer;
use crate::engine::remove_tree;

/// Where a home keeps environments, and what a discard can bring back.
const KEEPERS: [&str; 2] = ["environments", "trash"];
/// Hexadecimal digits of an image's name.
const DIGITS: usize = 64;

/// Removes every image that was last seen in use longer than `grace` ago, and returns their names.
/// Where it cannot be told what is in use, nothing is removed. Blocking.
pub(crate) fn remove_unused(home: &Path, grace: Duration) -> anyhow::Result<Vec<String>> {
    let images = home.join("images");
    if !images.is_dir() {
        return Ok(Vec::new());
    }
    // Whoever begins on an image notes that under the same lock.
    let held = lock(&images)?;
    let used = used(home)?;
    let (mut removed, mut places) = (Vec::new(), Vec::new());
    for name in names(&images)? {
        let place = images.join(&name);
        if name.len() != DIGITS || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        if used.contains(&name) {
            mark_used(&place)?;
        } else if age(&place)? >= grace {
            // Under this name a removal that is cut short is gone on with.
            let aside = images.join(format!("{PARTIAL}unused-{name}"));
            std::fs::rename(&place, &aside)?;
            places.push((lock(&aside)?, aside));
            removed.push(name);
        }
    }
    forget_files(&images)?;
    drop(held);
    for (_lock, place) in places {
        remove_tree(&place)?;
    }
    Ok(removed)
}

/// Notes that an image is in use now.
pub(super) fn mark_used(place: &Path) -> io::Result<()> {
    std::fs::File::open(place.join(ENVIRONMENT))?.set_modified(SystemTime::now())
}

/// How long ago an image was last seen in use; nothing where the clock was set back since.
fn age(place: &Path) -> io::Result<Duration> {
    let seen = place.join(ENVIRONMENT).metadata()?.modified()?;
    Ok(seen.elapsed().unwrap_or_default())
}

/// The images that layers of this home are laid over.
fn used(home: &Path) -> io::Result<HashSet<String>> {
    let mut used = HashSet::new();
    for keeper in KEEPERS.map(|name| home.join(name)) {
        for name in names(&keeper)? {
            let noted = keeper.join(name).join(layer::DIRECTORY).join(layer::IMAGE);
            match std::fs::read_to_string(noted) {
                Ok(id) => drop(used.insert(id)),
                // It has the host's system, or no layer yet.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(used)
}

/// Forgets which image a file holds, where that image has gone.
fn forget_files(images: &Path) -> io::Result<()> {
    for name in names(images)?.iter().filter(|name| name.starts_with("file-")) {
        let place = images.join(name);
        let id = std::fs::read_to_string(&place)?;
        if !images.join(id).join(ENVIRONMENT).exists() {
            std::fs::remove_file(&place)?;
        }
    }
    Ok(())
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<std::fs::DirEntry>| {
        Ok::<_, io::Error>(entry?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn image(home: &Path, digit: &str) -> PathBuf {
        let place = home.join("images").join(digit.repeat(DIGITS));
        std::fs::create_dir_all(place.join("root/bin")).expect("made");
        std::fs::write(place.join(ENVIRONMENT), "[]").expect("written");
        let file = home.join("images").join(format!("file-{digit}"));
        std::fs::write(file, digit.repeat(DIGITS)).expect("written");
        place
    }

    fn stand_on(home: &Path, keeper: &str, digit: &str) {
        let layer = home.join(keeper).join(digit).join("layer");
        std::fs::create_dir_all(&layer).expect("made");
        std::fs::write(layer.join("image"), digit.repeat(DIGITS)).expect("written");
    }

    fn grow_old(place: &Path) {
        let before = SystemTime::now() - Duration::from_hours(100);
        let file = std::fs::File::open(place.join(ENVIRONMENT)).expect("opened");
        file.set_modified(before).expect("set");
    }

    #[test]
    fn an_image_goes_when_nothing_stood_on_it_for_a_while() {
        let home = tempfile::tempdir().expect("a directory");
        let home = home.path();
        let [listed, discarded, old, young] = ["a", "b", "c", "d"].map(|digit| image(home, digit));
        stand_on(home, "environments", "a");
        stand_on(home, "trash", "b");
        std::fs::create_dir_all(home.join("environments/native")).expect("made");
        for place in [&listed, &discarded, &old] {
            grow_old(place);
        }
        let grace = Duration::from_hours(50);
        assert_eq!(remove_unused(home, grace).expect("looked"), ["c".repeat(DIGITS)]);
        assert!(!old.exists() && listed.exists() && discarded.exists() && young.exists());
        assert!(!home.join("images/file-c").exists() && home.join("images/file-a").exists());
        let left = names(&home.join("images")).expect("names");
        assert_eq!(left.len(), 6, "{left:?}");
        // What was in use until a moment ago is as young as a new one.
        std::fs::remove_dir_all(home.join("environments/a")).expect("removed");
        assert_eq!(remove_unused(home, grace).expect("looked"), Vec::<String>::new());
    }

    #[test]
    fn nothing_goes_where_it_cannot_be_told_what_is_in_use() {
        let home = tempfile::tempdir().expect("a directory");
        let place = image(home.path(), "a");
        let layer = home.path().join("environments/x/layer");
        std::fs::create_dir_all(layer.join("image")).expect("a directory in the note's place");
        assert!(remove_unused(home.path(), Duration::ZERO).is_err());
        assert!(place.exists());
    }
}

//! A file that is written beside the one it becomes, which is there whole or not at all, also where
//! a kill comes in between.
//!
//! A note in the home says what there is until then, and whoever writes holds it locked. A note that
//! nobody holds is of somebody who has ended; what it names has a name that nobody else would give.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::model::failure::{Failure, FailureKind};

/// Where a home keeps the notes.
const NOTES: &str = "saving";
/// How the name of an unfinished file begins.
const PREFIX: &str = ".agentdeck-save-";
/// Random characters in a name, of 62 different ones.
const RANDOM: usize = 16;
/// How the name of a note ends.
const NOTE: &str = ".json";

/// What there is until a file is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The unfinished file.
    file: OsString,
    /// What an engine keeps meanwhile.
    image: Option<PassingImage>,
}

/// An image that is in an engine only until a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PassingImage {
    /// The engine that has it.
    pub(super) endpoint: String,
    pub(super) name: String,
}

/// A note that nobody else has.
#[derive(Debug)]
struct Held {
    place: PathBuf,
    /// Locked, for as long as it is open.
    file: File,
    /// It stays when this is dropped: something that it names is still there.
    stays: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.stays {
            // One that cannot be removed names what is no more.
            let _ = std::fs::remove_file(&self.place);
        }
    }
}

/// An unfinished file. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Part {
    file: NamedTempFile,
    target: PathBuf,
    image: Option<PassingImage>,
    /// After the file, so that it goes last.
    held: Held,
}

impl Part {
    /// Begins the file that becomes `target`. `image` is told characters that no other has, for the
    /// name of an image that an engine keeps meanwhile. Blocking.
    pub(super) fn begin(
        home: &Path,
        target: &Path,
        image: impl FnOnce(&str) -> Option<PassingImage>,
    ) -> Result<Self, Failure> {
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let parent = std::path::absolute(parent).map_err(|error| unwritable(target, &error))?;
        let notes = home.join(NOTES);
        let noted = note(&notes, &parent, image);
        let (held, own, image) = noted.map_err(|error| unwritable(&notes, &error))?;
        let mut named = tempfile::Builder::new();
        let made = named.prefix(PREFIX).suffix(&own).rand_bytes(0).tempfile_in(&parent);
        let file = made.map_err(|error| unwritable(target, &error))?;
        Ok(Self { file, target: target.to_owned(), image, held })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// A hand to write with, for as long as it is unfinished.
    pub(super) fn writer(&self) -> Result<Writer, Failure> {
        let file = self.file.as_file().try_clone();
        let file = file.map_err(|error| unwritable(&self.target, &error))?;
        Ok(Writer { file, target: self.target.clone() })
    }

    /// What it becomes.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The image that an engine keeps until it is written.
    pub(super) fn image(&self) -> Option<&PassingImage> {
        self.image.as_ref()
    }

    /// Has the note stay, whatever becomes of the file, while the image may be there.
    pub(super) fn expect_image(&mut self, may_be_there: bool) {
        self.held.stays = may_be_there;
    }

    /// Puts the whole file in its place, unless something has come to be there. Blocking.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Self { file, target, image: _, held } = self;
        let synced = file.as_file().sync_all();
        let kept = synced.and_then(|()| Ok(file.persist_noclobber(&target).map(drop)?));
        // Only now: until then the note is all that knows of the file.
        drop(held);
        kept.map_err(|error| unwritable(&target, &error))
    }
}

/// Writes into an unfinished file.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    target: PathBuf,
}

impl Writer {
    /// Writes more, and gives itself back. Blocking.
    pub(super) fn write(mut self, piece: &[u8]) -> Result<Self, Failure> {
        self.file.write_all(piece).map_err(|error| unwritable(&self.target, &error))?;
        Ok(self)
    }

    /// Brings all to the disk. Blocking.
    pub(super) fn sync(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| unwritable(&self.target, &error))
    }
}

/// Writes down what is about to be made, beside `parent`, under a name that no other has.
fn note(
    notes: &Path,
    parent: &Path,
    image: impl FnOnce(&str) -> Option<PassingImage>,
) -> io::Result<(Held, String, Option<PassingImage>)> {
    DirBuilder::new().recursive(true).mode(0o700).create(notes)?;
    // Else it might be looked at before it is locked.
    let turn = turn(notes)?;
    let file =
        tempfile::Builder::new().prefix("").suffix(NOTE).rand_bytes(RANDOM).tempfile_in(notes)?;
    flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
    let own = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let image = image(&own);
    let unfinished = parent.join(format!("{PREFIX}{own}")).into_os_string();
    let note = Note { file: unfinished, image: image.clone() };
    let (mut file, place) = file.keep().map_err(|error| error.error)?;
    let written = file.write_all(&serde_json::to_vec(&note)?).and_then(|()| file.sync_all());
    let held = Held { place, file, stays: false };
    written?;
    // A power cut must not leave the image and take the note.
    turn.sync_all()?;
    Ok((held, own, image))
}

/// Waits until nobody else makes a note or looks for those that are left.
fn turn(notes: &Path) -> io::Result<File> {
    let directory = File::open(notes)?;
    flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

/// What somebody left who ended before a file was whole. Nobody else looks at it meanwhile.
#[derive(Debug)]
pub(super) struct Left {
    note: Note,
    held: Held,
}

impl Left {
    pub(super) fn image(&self) -> Option<&PassingImage> {
        self.note.image.as_ref()
    }

    /// How long ago it was begun; nothing where the clock was set back since.
    pub(super) fn age(&self) -> Duration {
        let begun = self.held.file.metadata().and_then(|found| found.modified());
        begun.ok().and_then(|begun| begun.elapsed().ok()).unwrap_or_default()
    }

    /// Removes the unfinished file. Blocking.
    pub(super) fn remove_file(&self) -> io::Result<()> {
        let file = Path::new(&self.note.file);
        let named = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        match std::fs::symlink_metadata(file) {
            Ok(found) if named && found.is_file() => std::fs::remove_file(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Nothing that it names is there any more.
    pub(super) fn forget(mut self) {
        self.held.stays = false;
    }
}

/// What is left in a home. Blocking.
pub(super) fn left(home: &Path) -> io::Result<Vec<Left>> {
    let notes = home.join(NOTES);
    if !notes.is_dir() {
        return Ok(Vec::new());
    }
    let _turn = turn(&notes)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&notes)? {
        let place = entry?.path();
        let mut file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&place)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => continue,
            locked => locked?,
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let mut held = Held { place, file, stays: false };
        // One that was not written whole was followed by nothing, and goes.
        if let Ok(note) = serde_json::from_slice(&text) {
            held.stays = true;
            found.push(Left { note, held });
        }
    }
    Ok(found)
}

/// Removes the unfinished files that are left in a home. Blocking.
pub(super) fn remove_files(home: &Path) -> io::Result<()> {
    for left in left(home)? {
        match left.remove_file() {
            Err(error) => tracing::warn!("{}: {error}", Path::new(&left.note.file).display()),
            Ok(()) if left.image().is_none() => left.forget(),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("{} cannot be written: {error}", path.display());
    Failure::new(FailureKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("listed").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn image(own: &str) -> PassingImage {
        PassingImage { endpoint: "unix:///x.sock".to_owned(), name: format!("x:{own}") }
    }

    /// What a kill leaves: the files, and no lock.
    fn kill(part: Part) {
        let Part { file, held, .. } = part;
        let _ = file.keep().expect("kept");
        let (place, text) = (held.place.clone(), std::fs::read(&held.place).expect("read"));
        drop(held);
        std::fs::write(place, text).expect("written");
    }

    #[test]
    fn a_file_is_whole_or_nothing_of_it_is_there() {
        let (home, user) =
            (tempfile::tempdir().expect("a home"), tempfile::tempdir().expect("a directory"));
        let target = user.path().join("box.tar");
        let part = Part::begin(home.path(), &target, |_| None).expect("begun");
        part.writer().and_then(|it| it.write(b"half")).expect("written");
        assert_eq!(left(home.path()).expect("looked").len(), 0, "somebody holds it");
        remove_files(home.path()).expect("looked");
        assert!(part.path().exists());
        drop(part);
        assert_eq!(names(user.path()), Vec::<String>::new());
        let part = Part::begin(home.path(), &target, |_| None).expect("begun");
        part.writer().and_then(|it| it.write(b"whole")).expect("written");
        part.finish().expect("finished");
        assert_eq!(
            (std::fs::read(&target).expect("read"), names(user.path()).len()),
            (b"whole".to_vec(), 1)
        );
        let part = Part::begin(home.path(), &target, |_| None).expect("begun");
        assert!(part.finish().is_err(), "it is the user's by now");
        assert_eq!(std::fs::read(&target).expect("read"), b"whole");
        assert_eq!(names(&home.path().join(NOTES)), Vec::<String>::new());
    }

    #[test]
    fn what_a_kill_leaves_is_removed_and_nothing_else_is() {
        let (home, user) =
            (tempfile::tempdir().expect("a home"), tempfile::tempdir().expect("a directory"));
        let target = user.path().join("box.tar");
        std::fs::write(user.path().join(".agentdeck-save-mine"), "x").expect("written");
        kill(Part::begin(home.path(), &target, |_| None).expect("begun"));
        kill(Part::begin(home.path(), &target, |own| Some(image(own))).expect("begun"));
        assert_eq!(names(user.path()).len(), 3);
        remove_files(home.path()).expect("removed");
        assert_eq!(names(user.path()), [".agentdeck-save-mine"]);
        let mut left = left(home.path()).expect("looked");
        assert_eq!(left.len(), 1, "its image may be there");
        assert!(left[0].image().expect("an image").name.starts_with("x:"));
        left.remove(0).forget();
        assert_eq!(names(&home.path().join(NOTES)), Vec::<String>::new());
    }

    #[test]
    fn a_note_stays_while_its_image_may_be_there() {
        let (home, user) =
            (tempfile::tempdir().expect("a home"), tempfile::tempdir().expect("a directory"));
        let mut part =
            Part::begin(home.path(), &user.path().join("box.tar"), |own| Some(image(own)))
                .expect("begun");
        part.expect_image(true);
        drop(part);
        assert_eq!(names(user.path()), Vec::<String>::new());
        assert_eq!(left(home.path()).expect("looked").len(), 1);
        let notes = names(&home.path().join(NOTES));
        std::fs::write(home.path().join(NOTES).join(&notes[0]), "{").expect("written");
        assert_eq!(left(home.path()).expect("looked").len(), 0, "nothing followed half a note");
        assert_eq!(names(&home.path().join(NOTES)), Vec::<String>::new());
    }
}

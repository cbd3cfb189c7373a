//! A build's context: the directory of a Dockerfile as an archive, named by its content.

use std::fs::{DirEntry, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ignore::Ignore;
use super::load::TAG_DIGITS;
use crate::engine::docker::connect::hexadecimal;
use crate::model::failure::{Failure, FailureKind};

/// Largest context, in bytes. More is a directory that was not meant to be sent.
const MAX_BYTES: u64 = 4 << 30;
/// Most files of a context, for the same reason.
const MAX_FILES: usize = 500_000;
/// Largest `.dockerignore` that is read, in bytes.
const MAX_RULES: u64 = 1 << 20;
/// Names the files a context leaves out.
const RULES: &str = ".dockerignore";

/// A context, ready to be sent.
#[derive(Debug)]
pub(super) struct Context {
    /// The archive, at its start; it has no name on disk.
    pub(super) file: File,
    pub(super) length: u64,
    /// The Dockerfile's name in it.
    pub(super) dockerfile: String,
    /// The content's digest, as a tag.
    pub(super) tag: String,
}

/// Packs the directory of `dockerfile`, with the archive's bytes in `scratch`. Blocking.
pub(super) fn pack(dockerfile: &Path, scratch: &Path) -> Result<Context, Failure> {
    let refused = |kind, reason: String| {
        let message = format!("cannot build by {}: {reason}", dockerfile.display());
        Failure::new(kind, message)
            .hint("name a Dockerfile, and what its directory leaves out in .dockerignore")
    };
    let name = dockerfile.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| refused(FailureKind::Invalid, "it has no name".to_owned()))?;
    if !std::fs::metadata(dockerfile).is_ok_and(|file| file.is_file()) {
        return Err(refused(FailureKind::NotFound, "there is no such file".to_owned()));
    }
    let directory = dockerfile.parent().unwrap_or(Path::new("/"));
    let packed = || -> anyhow::Result<(File, u64, String)> {
        let output = Digesting { file: tempfile::tempfile_in(scratch)?, digest: Sha256::new() };
        let mut walk = Walk {
            root: directory.to_owned(),
            always: [name, RULES],
            ignore: rules(directory)?,
            builder: tar::Builder::new(output),
            files: 0,
            bytes: 0,
        };
        walk.directory(&mut Vec::new())?;
        let Digesting { mut file, mut digest } = walk.builder.into_inner()?;
        digest.update(name);
        let length = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        let mut tag = hexadecimal(&digest.finalize());
        tag.truncate(TAG_DIGITS);
        Ok((file, length, tag))
    };
    let (file, length, tag) =
        packed().map_err(|error| refused(FailureKind::Unavailable, format!("{error:#}")))?;
    Ok(Context { file, length, dockerfile: name.to_owned(), tag })
}

fn rules(directory: &Path) -> io::Result<Ignore> {
    let mut text = String::new();
    match open(&directory.join(RULES)) {
        Ok(file) => file.take(MAX_RULES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ignore::default()),
        Err(error) => return Err(error),
    };
    Ok(Ignore::parse(&text))
}

/// Opens a file without waiting for the other end of a pipe, and without following a final link.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Passes an archive on to a file and takes its digest.
struct Digesting {
    file: File,
    digest: Sha256,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Walk<'a> {
    root: PathBuf,
    /// What the engine needs whatever the rules say.
    always: [&'a str; 2],
    ignore: Ignore,
    builder: tar::Builder<Digesting>,
    files: usize,
    bytes: u64,
}

impl Walk<'_> {
    /// Packs what is in the directory `below` the root, in the order of names: the same files are
    /// the same archive.
    fn directory(&mut self, below: &mut Vec<String>) -> anyhow::Result<()> {
        let place = below.iter().fold(self.root.clone(), |path, name| path.join(name));
        let mut entries: Vec<DirEntry> = std::fs::read_dir(place)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().into_string().map_err(|name| {
                anyhow::anyhow!("the name {} is not text", Path::new(&name).display())
            })?;
            below.push(name);
            self.entry(&entry, below)?;
            below.pop();
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, below: &mut Vec<String>) -> anyhow::Result<()> {
        let path: Vec<&str> = below.iter().map(String::as_str).collect();
        let needed = matches!(path[..], [only] if self.always.contains(&only));
        let left_out = !needed && self.ignore.covers(&path);
        let found = entry.metadata()?;
        if found.is_dir() {
            if left_out && !self.ignore.takes_anything_back() {
                return Ok(());
            }
            if !left_out {
                self.append(&header(&found, tar::EntryType::Directory, 0), below, io::empty())?;
            }
            return self.directory(below);
        }
        if left_out {
            return Ok(());
        }
        if found.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            let mut header = header(&found, tar::EntryType::Symlink, 0);
            self.count(below, 0)?;
            self.builder.append_link(&mut header, below.join("/"), target)?;
        } else if found.is_file() {
            let file = open(&entry.path())?;
            let length = file.metadata()?.len();
            // A file that shrinks meanwhile is filled up: the header has told its length already.
            let content = file.take(length).chain(io::repeat(0)).take(length);
            self.append(&header(&found, tar::EntryType::Regular, length), below, content)?;
        }
        // Sockets, pipes and devices are nothing to build with.
        Ok(())
    }

    fn append(
        &mut self,
        header: &tar::Header,
        below: &[String],
        content: impl Read,
    ) -> anyhow::Result<()> {
        self.count(below, header.size()?)?;
        Ok(self.builder.append_data(&mut header.clone(), below.join("/"), content)?)
    }

    fn count(&mut self, below: &[String], length: u64) -> anyhow::Result<()> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(length);
        anyhow::ensure!(
            self.files <= MAX_FILES && self.bytes <= MAX_BYTES,
            "its directory is too large to be sent, at {}",
            below.join("/")
        );
        Ok(())
    }
}

/// A header without owner and time: neither is part of what is built.
fn header(found: &Metadata, kind: tar::EntryType, length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(found.permissions().mode() & 0o7777);
    header.set_size(length);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(context: &Context) -> Vec<String> {
        let mut archive = tar::Archive::new(&context.file);
        let entries = archive.entries().expect("entries");
        let path = |entry: io::Result<tar::Entry<'_, &File>>| {
            entry.expect("an entry").path().expect("a path").display().to_string()
        };
        entries.map(path).collect()
    }

    #[test]
    fn a_context_is_named_by_what_is_sent() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        std::fs::create_dir_all(directory.path().join("src/deep")).expect("made");
        write("Dockerfile", "FROM scratch\n");
        write(".dockerignore", "*.log\nDockerfile\nsrc/deep\n");
        write("src/a", "a");
        write("src/deep/b", "b");
        write("x.log", "noise");
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).expect("linked");
        let packed = || {
            let dockerfile = directory.path().join("Dockerfile");
            pack(&dockerfile, directory.path()).expect("packed")
        };
        let first = packed();
        assert_eq!(names(&first), [".dockerignore", "Dockerfile", "link", "src", "src/a"]);
        assert_eq!(first.dockerfile, "Dockerfile");
        write("x.log", "more noise");
        write("src/deep/b", "changed");
        assert_eq!(packed().tag, first.tag, "what is not sent changes nothing");
        write("src/a", "changed");
        assert_ne!(packed().tag, first.tag);
    }

    #[test]
    fn what_cannot_be_built_by_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("Dockerfile");
        let failure = pack(&missing, directory.path()).expect_err("missing");
        assert_eq!(failure.kind, FailureKind::NotFound);
        assert!(failure.message.contains("Dockerfile"), "{failure:?}");
    }
}

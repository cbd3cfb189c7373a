//! Where a box's image comes from. Whether the thing named exists is not known here.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands before the path of a Dockerfile. No image can have this name: a tag has no `/`, and
/// a path without one is written with `./`.
const DOCKERFILE: &str = "dockerfile:";
/// Endings by which a word without a `/` is still taken for a file.
const ARCHIVES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst"];

/// An image by its name, in a file, or to be built. Written as one word: a name as it is,
/// an archive as a path with a `/`, a Dockerfile as `dockerfile:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ImageSource {
    /// A name for the engine to look up, and to pull when it does not have it.
    Name(String),
    /// A file on this machine: an image as `docker save` and `agentdeck save` write it, or the
    /// plain files of a root.
    Archive(PathBuf),
    /// A file to build an image by; the directory it is in is the build's context.
    Dockerfile(PathBuf),
}

impl ImageSource {
    /// The file, if the image comes from one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Name(_) => None,
            Self::Archive(path) | Self::Dockerfile(path) => Some(path),
        }
    }

    /// The same source with its path, if relative, taken from `directory`.
    #[must_use]
    pub fn from_directory(self, directory: &Path) -> Self {
        match self {
            Self::Name(name) => Self::Name(name),
            Self::Archive(path) => Self::Archive(directory.join(path)),
            Self::Dockerfile(path) => Self::Dockerfile(directory.join(path)),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self {
            Self::Name(name) => return f.write_str(name),
            Self::Archive(_) => "",
            Self::Dockerfile(_) => DOCKERFILE,
        };
        let path = self.path().unwrap_or(Path::new("")).to_string_lossy();
        let here = if path.contains('/') { "" } else { "./" };
        write!(f, "{scheme}{here}{path}")
    }
}

impl From<&str> for ImageSource {
    fn from(text: &str) -> Self {
        if let Some(path) = text.strip_prefix(DOCKERFILE) {
            return Self::Dockerfile(path.into());
        }
        let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
        let ends_as_file = ARCHIVES.iter().any(|ending| text.ends_with(ending));
        if is_path || ends_as_file { Self::Archive(text.into()) } else { Self::Name(text.into()) }
    }
}

impl From<String> for ImageSource {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<ImageSource> for String {
    fn from(source: ImageSource) -> Self {
        source.to_string()
    }
}

impl FromStr for ImageSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_a_name_and_written_so_that_it_stays_one() {
        let name = |text: &str| ImageSource::Name(text.into());
        let archive = |text: &str| ImageSource::Archive(text.into());
        let dockerfile = |text: &str| ImageSource::Dockerfile(text.into());
        for (text, source) in [
            ("debian", name("debian")),
            ("reg:5000/a/b:1", name("reg:5000/a/b:1")),
            ("a@sha256:00", name("a@sha256:00")),
            ("/srv/box", archive("/srv/box")),
            ("../box.tgz", archive("../box.tgz")),
            ("dir/box.tar", archive("dir/box.tar")),
            ("dockerfile:/srv/Dockerfile", dockerfile("/srv/Dockerfile")),
        ] {
            assert_eq!(ImageSource::from(text), source);
            assert_eq!(source.to_string(), text);
        }
        assert_eq!(archive("box").to_string(), "./box");
        assert_eq!(dockerfile("Dockerfile").to_string(), "dockerfile:./Dockerfile");
    }

    #[test]
    fn a_relative_path_is_taken_from_the_directory_it_was_given_in() {
        let from = |text: &str| ImageSource::from(text).from_directory(Path::new("/work"));
        assert_eq!(from("box.tar").to_string(), "/work/box.tar");
        assert_eq!(from("dockerfile:ci/Dockerfile").to_string(), "dockerfile:/work/ci/Dockerfile");
        assert_eq!(from("/srv/box.tar").to_string(), "/srv/box.tar");
        assert_eq!(from("debian:12").to_string(), "debian:12");
    }
}

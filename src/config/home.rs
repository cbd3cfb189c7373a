//! The one directory below which everything of a deck lies.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::model::failure::{Failure, FailureKind};

/// The variable that moves the home: socket, state, store, recordings.
pub const VARIABLE: &str = "AGENTDECK_HOME";

/// The home of this process's user, made when it is missing.
///
/// It is what `AGENTDECK_HOME` names, else `agentdeck` in the user's state directory. A home of
/// another user is refused: under `sudo` files would come out owned by root.
pub fn find() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = match named {
        Some(path) if path.is_absolute() => path,
        Some(path) => {
            let message = format!("{VARIABLE} is {}, not an absolute path", path.display());
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("give the whole path, beginning with /"));
        }
        None => default_home()?,
    };
    open(&home)?;
    // Whichever way leads to it, one home has one name: its socket is reached without links.
    home.canonicalize().map_err(|error| cannot(&home, &error))
}

fn default_home() -> Result<PathBuf, Failure> {
    let directories = ProjectDirs::from("", "", "agentdeck");
    let state = directories.as_ref().and_then(|found| found.state_dir()).map(Path::to_owned);
    state.ok_or_else(|| {
        Failure::new(FailureKind::Unavailable, "no home directory is known for this user")
            .hint(format!("set HOME, or {VARIABLE} to a directory of yours"))
    })
}

/// Makes a home for the user alone and refuses one that is another's.
fn open(home: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .map_err(|error| cannot(home, &error))?;
    let owner = fs::metadata(home).map_err(|error| cannot(home, &error))?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner != user {
        let message =
            format!("{} belongs to user {owner}, and this is user {user}", home.display());
        return Err(Failure::new(FailureKind::Refused, message).hint(format!(
            "run agentdeck as the user who owns it, without sudo, or set {VARIABLE}"
        )));
    }
    Ok(())
}

fn cannot(home: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be used: {error}", home.display());
    Failure::new(FailureKind::Unavailable, message)
        .hint(format!("set {VARIABLE} to a directory that you can write"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_home_is_made_for_the_user_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let home = root.path().join("x".repeat(200)).join("home");
        open(&home).expect("made");
        let mode = fs::metadata(&home).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_home_of_another_user_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        if std::os::unix::fs::chown(root.path(), Some(12_345), None).is_err() {
            // Only root can give a directory away; then there is nothing to refuse.
            return;
        }
        let failure = open(root.path()).expect_err("refused");
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("12345"), "{failure}");
    }
}

//! The box's users, written before anything else runs in it. The shim does it, because asking an
//! engine to lay files into a container takes it as long as making one.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::config::Accounts;

/// Permissions of both files, whatever this process masks.
const READABLE: Mode = Mode::from_raw_mode(0o644);

/// Writes the files below `root`. An image whose `/etc` is not a directory is refused, and what
/// stands in a file's place is replaced, never written through.
pub(super) fn write(root: &Path, accounts: &Accounts) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let etc = match rustix::fs::openat(&root, "etc", flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(&root, "etc", Mode::from_raw_mode(0o755))?;
            rustix::fs::openat(&root, "etc", flags, Mode::empty())?
        }
        opened => opened?,
    };
    replace(&etc, "passwd", &accounts.passwd)?;
    replace(&etc, "group", &accounts.group)?;
    make_temporary(&root)
}

/// Makes the place for temporary files, which programs take for granted, where an image lacks it.
fn make_temporary(root: &OwnedFd) -> io::Result<()> {
    let open = Mode::from_raw_mode(0o1777);
    match rustix::fs::mkdirat(root, "tmp", open) {
        // What this process masks is not meant here.
        Ok(()) => Ok(rustix::fs::chmodat(root, "tmp", open, rustix::fs::AtFlags::empty())?),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn replace(directory: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let fresh = format!(".{name}.agentdeck");
    match rustix::fs::unlinkat(directory, &fresh, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, &fresh, flags, READABLE)?;
    rustix::fs::fchmod(&opened, READABLE)?;
    std::fs::File::from(opened).write_all(text.as_bytes())?;
    Ok(rustix::fs::renameat(directory, &fresh, directory, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn accounts() -> Accounts {
        Accounts { passwd: "agent:x:7:8::/:\n".to_owned(), group: "agent:x:8:\n".to_owned() }
    }

    #[test]
    fn an_image_without_a_place_for_users_gets_one() {
        let root = tempfile::tempdir().expect("a directory");
        write(root.path(), &accounts()).expect("written");
        let read = |name| fs::read_to_string(root.path().join("etc").join(name)).expect("read");
        assert_eq!((read("passwd"), read("group")), (accounts().passwd, accounts().group));
        let temporary = fs::metadata(root.path().join("tmp")).expect("made");
        assert_eq!(temporary.permissions().mode() & 0o7777, 0o1777);
        write(root.path(), &accounts()).expect("a second time is fine");
    }

    #[test]
    fn no_link_of_an_image_is_written_through() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        let victim = outside.path().join("victim");
        fs::write(&victim, "as it was").expect("written");
        fs::create_dir(root.path().join("etc")).expect("made");
        symlink(&victim, root.path().join("etc/passwd")).expect("made");
        write(root.path(), &accounts()).expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("read"), "as it was");
        assert!(root.path().join("etc/passwd").symlink_metadata().expect("there").is_file());
        fs::remove_dir_all(root.path().join("etc")).expect("removed");
        symlink(outside.path(), root.path().join("etc")).expect("made");
        assert!(write(root.path(), &accounts()).is_err(), "a link in the place of /etc");
        assert!(!outside.path().join("passwd").exists());
    }
}

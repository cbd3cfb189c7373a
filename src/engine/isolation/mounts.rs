//! Mount tables as the kernel writes them (`proc(5)`, mountinfo), and which part of the host a
//! mount of a box shows.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of a mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The file system's device, `major:minor`, the same in every mount namespace.
    pub(super) device: String,
    /// What of the file system is shown.
    pub(super) root: PathBuf,
    pub(super) target: PathBuf,
    pub(super) kind: String,
    /// Options of the file system itself.
    pub(super) system: String,
    pub(super) writable: bool,
}

/// Reads a table; lines that are not understood are left out.
pub(super) fn parse(table: &str) -> Vec<Mount> {
    table.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    let (root, target) = (unescape(fields.next()?), unescape(fields.next()?));
    let options = fields.next()?;
    let mut rest = rest.splitn(3, ' ');
    let kind = rest.next()?.to_owned();
    let system = rest.nth(1).unwrap_or_default().to_owned();
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let writable = !read_only(options) && !read_only(&system);
    Some(Mount { device, root, target, kind, system, writable })
}

/// Blanks and backslashes are octal.
fn unescape(field: &str) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(path).into()
}

/// The path by which the host knows what `mount` of a box shows; `None` for what the host has
/// nowhere in its own table, like a file system that was made for the box.
pub(super) fn host_path(mount: &Mount, host: &[Mount]) -> Option<PathBuf> {
    let same = host.iter().filter(|own| own.device == mount.device);
    let holding = same.filter(|own| mount.root.starts_with(&own.root));
    let nearest = holding.max_by_key(|own| own.root.as_os_str().len())?;
    let below = mount.root.strip_prefix(&nearest.root).ok()?;
    Some(if below.as_os_str().is_empty() {
        nearest.target.clone()
    } else {
        nearest.target.join(below)
    })
}

/// The directories that an overlay's options name: those it shows, and the one it writes to.
pub(super) fn layers(mount: &Mount) -> (Vec<PathBuf>, Option<PathBuf>) {
    let (mut lower, mut upper) = (Vec::new(), None);
    for option in mount.system.split(',') {
        match option.split_once('=') {
            Some(("lowerdir", places)) => lower.extend(places.split(':').map(unescape)),
            Some(("lowerdir+" | "datadir+", place)) => lower.push(unescape(place)),
            Some(("upperdir", place)) => upper = Some(unescape(place)),
            _ => {}
        }
    }
    // Two colons stand before those that only keep contents.
    lower.retain(|place| !place.as_os_str().is_empty());
    (lower, upper)
}

/// The mount that is seen at `target`: a later line covers an earlier one.
pub(super) fn at<'m>(mounts: &'m [Mount], target: &Path) -> Option<&'m Mount> {
    mounts.iter().rfind(|mount| mount.target == target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                        21 20 0:5 / /dev rw - devtmpfs udev rw\n\
                        22 20 8:2 /data /srv rw - ext4 /dev/sdb1 rw\n";

    #[test]
    fn a_place_of_the_box_is_named_as_the_host_knows_it() {
        let host = parse(HOST);
        let shown = |line: &str| host_path(&parse(line)[0], &host);
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(shown("9 1 8:1 /home/a\\040b /w rw - ext4 x rw"), path("/home/a b"));
        assert_eq!(shown("9 1 0:5 /null /dev/null rw - devtmpfs udev rw"), path("/dev/null"));
        assert_eq!(shown("9 1 8:2 /data/x /x ro - ext4 x rw"), path("/srv/x"));
        assert_eq!(shown("9 1 8:2 /other /x ro - ext4 x rw"), None, "not seen by the host either");
        assert_eq!(shown("9 1 0:99 / /tmp rw - tmpfs tmpfs rw"), None);
    }

    #[test]
    fn what_may_be_written_follows_the_mount_and_its_file_system() {
        let writable = |line: &str| parse(line)[0].writable;
        assert!(writable("9 1 8:1 / /w rw,nosuid - ext4 x rw,errors=remount-ro"));
        assert!(!writable("9 1 8:1 / /w ro,nosuid - ext4 x rw"));
        assert!(!writable("9 1 8:1 / /w rw master:1 - ext4 x ro"));
        assert!(parse("not a table").is_empty());
    }
}

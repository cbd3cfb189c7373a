//! The accounts of a box: the image's own, with one for the agent.
//!
//! Everything here works on an image that has no `/etc`, and trusts nothing an image holds: files
//! come out of it through a bounded reader and are only ever read as text.

use std::io::{self, Read};

/// Name of the agent's user and group in every box.
pub(super) const NAME: &str = "agent";
/// The agent's home in every box.
pub(super) const HOME: &str = "/home/agent";
/// Largest `passwd` or `group` of an image that is read, in bytes; real ones have a few thousand.
pub(super) const MAX_FILE: u64 = 256 * 1024;
/// Largest archive read to get at one such file: the file, its headers and padding.
pub(super) const MAX_ARCHIVE: usize = 512 * 1024;

/// What an image says about users, as far as the box needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) passwd: String,
    pub(super) group: String,
    /// The best shell of the image.
    pub(super) shell: String,
}

impl Accounts {
    /// The same accounts with the agent's. An entry that already has its number stays, behind
    /// ours: looking the number up finds the agent, looking the name up still finds the other.
    pub(super) fn with_agent(&self, uid: u32, gid: u32) -> Self {
        let user = format!("{NAME}:x:{uid}:{gid}:{NAME}:{HOME}:{}", self.shell);
        let group = format!("{NAME}:x:{gid}:");
        let root_user = format!("root:x:0:0:root:/root:{}", self.shell);
        Self {
            passwd: merge(&self.passwd, &root_user, &user, uid),
            group: merge(&self.group, "root:x:0:", &group, gid),
            shell: self.shell.clone(),
        }
    }
}

/// Puts `line` into a file of `name:x:number:…` lines; one that has no root gets `root` first.
fn merge(text: &str, root: &str, line: &str, number: u32) -> String {
    let field = |entry: &str, index: usize| entry.split(':').nth(index).map(str::to_owned);
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|entry| !entry.is_empty() && field(entry, 0).as_deref() != Some(NAME))
        .collect();
    if !lines.iter().any(|entry| field(entry, 2).as_deref() == Some("0")) {
        lines.insert(0, root);
    }
    let number = number.to_string();
    let place = lines.iter().position(|entry| field(entry, 2).as_ref() == Some(&number));
    lines.insert(place.unwrap_or(lines.len()), line);
    lines.join("\n") + "\n"
}

/// The text of the only file in an archive, or `None` when the archive starts with anything but a
/// regular file of at most `MAX_FILE` bytes.
pub(super) fn only_file(archive: &[u8]) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    if !entry.header().entry_type().is_file() || entry.size() > MAX_FILE {
        return None;
    }
    let mut text = Vec::new();
    entry.take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// An uncompressed archive of files to lay over a box's root, with the directories they need.
pub(super) fn archive(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content)?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/sh\n";

    #[test]
    fn the_agent_is_found_by_a_number_the_image_already_uses() {
        let image = Accounts {
            passwd: DEBIAN.into(),
            group: "root:x:0:\nnode:x:1000:\n".into(),
            shell: "/bin/bash".into(),
        };
        let merged = image.with_agent(1000, 1000);
        let first = merged.passwd.lines().find(|line| line.contains(":1000:")).expect("a line");
        assert_eq!(first, "agent:x:1000:1000:agent:/home/agent:/bin/bash");
        assert!(merged.passwd.contains("node:x:1000"), "the image's own user stays");
        assert_eq!(merged.group, "root:x:0:\nagent:x:1000:\nnode:x:1000:\n");
        assert_eq!(merged.with_agent(1000, 1000), merged, "a second time changes nothing");
    }

    #[test]
    fn an_image_without_accounts_gets_root_and_the_agent() {
        let image = Accounts { shell: "/bin/sh".into(), ..Accounts::default() };
        let merged = image.with_agent(7, 8);
        let expected = "root:x:0:0:root:/root:/bin/sh\nagent:x:7:8:agent:/home/agent:/bin/sh\n";
        assert_eq!(merged.passwd, expected);
        assert_eq!(merged.group, "root:x:0:\nagent:x:8:\n");
    }

    #[test]
    fn only_a_small_regular_file_is_read_from_an_archive() {
        let good = archive(&[("passwd", DEBIAN.as_bytes())]).expect("an archive");
        assert_eq!(only_file(&good).as_deref(), Some(DEBIAN));
        let large = archive(&[("passwd", &vec![b'x'; MAX_FILE as usize + 1])]).expect("an archive");
        assert_eq!(only_file(&large), None);
        let mut link = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "passwd", "/etc/shadow").expect("appended");
        assert_eq!(only_file(&link.into_inner().expect("an archive")), None);
        assert_eq!(only_file(b"\x1f\x8bnot a tar"), None);
    }
}

//! A box's `/etc`: what programs need of the host's, by name, and a few files of its own.
//!
//! An allow-list twice over: only the names below, and of these only what every user of the host
//! may read. Passwords, keys and the machine's secrets are on neither.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use anyhow::Context;

use crate::engine::BoxPlan;
use crate::shim::config::{CA_BUNDLE, host_ca_bundle};

/// Names in `/etc`; one that ends in `*` stands for all that begin so.
const NAMES: &[&str] = &[
    "adduser.conf",
    "alternatives",
    "apk",
    "apt",
    "bash.bashrc",
    "bash_completion*",
    "bashrc",
    "ca-certificates*",
    "crypto-policies",
    "debconf.conf",
    "debian_version",
    "deluser.conf",
    "dpkg",
    "fonts",
    "gai.conf",
    "gitconfig",
    "groff",
    "host.conf",
    "inputrc",
    "issue",
    "java*",
    "ld-musl*",
    "ld.so*",
    "locale*",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic*",
    "mailcap*",
    "manpath.config",
    "maven",
    "mime.types",
    "nanorc",
    "networks",
    "npmrc",
    "os-release",
    "pam.conf",
    "pam.d",
    "perl",
    "pip.conf",
    "pki",
    "profile*",
    "protocols",
    "python*",
    "redhat-release",
    "rpc",
    "security",
    "services",
    "sgml",
    "shells",
    "skel",
    "ssl",
    "terminfo",
    "timezone",
    "ucf.conf",
    "vim*",
    "wgetrc",
    "xattr.conf",
    "xdg",
    "xml",
    "zsh*",
];

/// Names left out below the allowed ones, whatever their mode says.
const NEVER: [&str; 4] = ["auth.conf", "auth.conf.d", "opasswd", "private"];

/// First id of a person on the usual distributions; below are the system's own users.
const FIRST_PERSON: u32 = 1000;

const NOBODY: u32 = 65_534;

/// Names resolve through the box's own name server, users through its own files.
const NAME_SERVICES: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                             networks: files\nprotocols: files\nservices: files\n";

/// Fills the new directory `etc`.
pub(super) fn write(etc: &Path, plan: &BoxPlan) -> anyhow::Result<()> {
    for entry in std::fs::read_dir("/etc").context("cannot read /etc")? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(is_allowed) {
            copy(&Path::new("/etc").join(&name), &etc.join(&name))?;
        }
    }
    let put = |name: &str, text: &str| {
        std::fs::write(etc.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    put("passwd", &system_users(&read("/etc/passwd")))?;
    put("group", &system_groups(&read("/etc/group")))?;
    put("hostname", &format!("{}\n", plan.name))?;
    put("hosts", &format!("127.0.0.1 localhost {}\n::1 localhost\n", plan.name))?;
    put("resolv.conf", "nameserver 127.0.0.1\n")?;
    put("nsswitch.conf", NAME_SERVICES)?;
    symlink("/proc/self/mounts", etc.join("mtab"))?;
    if let Some(bundle) = host_ca_bundle() {
        let place = etc.join(CA_BUNDLE.trim_start_matches("/etc/"));
        std::fs::create_dir_all(place.parent().unwrap_or(etc))?;
        std::fs::copy(&bundle, place)
            .with_context(|| format!("cannot copy {}", bundle.display()))?;
    }
    Ok(())
}

fn is_allowed(name: &str) -> bool {
    NAMES.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *allowed,
    })
}

/// Copies what everybody may read: links as links, files, and directories with what they hold.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let found = std::fs::symlink_metadata(from)?;
    if found.is_symlink() {
        symlink(std::fs::read_link(from)?, to)?;
    } else if found.is_file() && found.mode() & 0o004 != 0 {
        std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    } else if found.is_dir() && found.mode() & 0o005 == 0o005 {
        std::fs::create_dir(to)?;
        for entry in std::fs::read_dir(from)? {
            let name = entry?.file_name();
            if !NEVER.iter().any(|never| name.as_os_str() == *never) {
                copy(&from.join(&name), &to.join(&name))?;
            }
        }
    }
    Ok(())
}

fn read(path: &str) -> String {
    std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// The box's root and the system's own users, which packages count on; no person.
fn system_users(passwd: &str) -> String {
    let mut text = "root:x:0:0:root:/root:/bin/bash\n".to_owned();
    for line in passwd.lines().filter(|line| is_system(line) && !line.starts_with("root:")) {
        text += line;
        text += "\n";
    }
    text
}

/// The system's own groups, without members, who are people.
fn system_groups(group: &str) -> String {
    let mut text = "root:x:0:\n".to_owned();
    for line in group.lines().filter(|line| is_system(line) && !line.starts_with("root:")) {
        let (fields, _members) = line.rsplit_once(':').unwrap_or((line, ""));
        text += fields;
        text += ":\n";
    }
    text
}

/// Whether the id in the third field is not a person's.
fn is_system(line: &str) -> bool {
    let id = line.split(':').nth(2).and_then(|id| id.parse::<u32>().ok());
    id.is_some_and(|id| id < FIRST_PERSON || id == NOBODY)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn people_are_not_told_to_the_box() {
        let passwd = "root:x:0:0:Jo Doe:/var/root:/bin/zsh\n_apt:x:42:65534::/nonexistent:/bin/false\n\
                      jo:x:1000:1000:Jo Doe:/home/jo:/bin/bash\n";
        assert_eq!(
            system_users(passwd),
            "root:x:0:0:root:/root:/bin/bash\n_apt:x:42:65534::/nonexistent:/bin/false\n"
        );
        let group = "root:x:0:jo\nstaff:x:50:jo,al\njo:x:1000:\n";
        assert_eq!(system_groups(group), "root:x:0:\nstaff:x:50:\n");
    }

    #[test]
    fn only_what_everybody_may_read_is_copied() {
        let root = tempfile::tempdir().expect("a directory");
        let from = root.path().join("from");
        std::fs::create_dir_all(from.join("private")).expect("made");
        std::fs::write(from.join("private/key"), "k").expect("written");
        std::fs::write(from.join("open"), "o").expect("written");
        std::fs::write(from.join("secret"), "s").expect("written");
        let secret = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(from.join("secret"), secret).expect("set");
        let to = root.path().join("to");
        copy(&from, &to).expect("copied");
        let copied: Vec<_> =
            std::fs::read_dir(&to).expect("read").map(|it| it.expect("read").file_name()).collect();
        assert_eq!(copied, ["open"]);
    }

    #[test]
    fn passwords_and_keys_are_not_on_the_list() {
        for name in ["shadow", "gshadow", "sudoers", "ssh", "machine-id", "krb5.keytab"] {
            assert!(!is_allowed(name), "{name}");
        }
        assert!(is_allowed("python3.11"));
    }
}

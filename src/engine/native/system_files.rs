//! A box's `/etc`: what programs need of the host's, by name, and a few files of its own.
//!
//! An allow-list twice over: only the names below, and of these only what every user of the host
//! may read. Passwords, keys and the machine's secrets are on neither.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::engine::BoxPlan;
use crate::model::policy::NetworkMode;
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
    "needrestart",
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

/// How the names of copies begin, those of what is being made or removed, and how those of locks end.
const COPY: &str = "etc-";
const PARTIAL: &str = "partial-";
const LOCK: &str = ".lock";

/// Bytes of a digest that tell one state of the host's `/etc` from another.
const STAMP_BYTES: usize = 8;

/// First id of a person on the usual distributions; below are the system's own users.
const FIRST_PERSON: u32 = 1000;

const NOBODY: u32 = 65_534;

/// Names resolve through the box's own name server, users through its own files.
const NAME_SERVICES: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                             networks: files\nprotocols: files\nservices: files\n";

/// The box's own.
const NAME_SERVER: &str = "nameserver 127.0.0.1\n";

/// Where a deck keeps them for all of its boxes.
pub(super) fn directory(deck: &Path) -> PathBuf {
    deck.join("system")
}

/// The directory in `deck` that is `/etc` for all its boxes, made when the host's has changed:
/// copying takes longer than everything else about a box.
pub(super) fn shared(deck: &Path) -> anyhow::Result<PathBuf> {
    let (directory, now) = (directory(deck), Now::look()?);
    let whole = directory.join(&now.name);
    if whole.exists() {
        return Ok(whole);
    }
    let _turn = turn(&directory)?;
    now.copy_to(&directory)
}

/// The same, and what keeps it there for as long as it is open, in whichever process.
pub(super) fn hold(deck: &Path) -> anyhow::Result<(PathBuf, OwnedFd)> {
    let (directory, now) = (directory(deck), Now::look()?);
    let _turn = turn(&directory)?;
    let whole = now.copy_to(&directory)?;
    // Inherited on purpose: the box's first process becomes another program.
    let lock = open_lock(&whole, OFlags::empty())?;
    // Whoever removes copies has the turn for it.
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared)
        .context("cannot hold the /etc of boxes")?;
    Ok((whole, lock))
}

/// Removes the copies in `deck` that are not of the host's `/etc` as it is now and that nobody
/// holds, and returns their names. Blocking.
pub(super) fn remove_unused(deck: &Path) -> anyhow::Result<Vec<String>> {
    let directory = directory(deck);
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let now = Now::look()?;
    let turn = turn(&directory)?;
    let (mut removed, mut places) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(&directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let place = directory.join(&name);
        if name.starts_with(PARTIAL) {
            // Nobody is making or removing anything here now.
            places.push(place);
        } else if let Some(copy) = name.strip_suffix(LOCK) {
            if !directory.join(copy).exists() {
                // It may have gone with its copy a moment ago.
                let _ = std::fs::remove_file(&place);
            }
        } else if name.starts_with(COPY) && name != now.name && is_free(&place)? {
            let aside = directory.join(format!("{PARTIAL}{name}"));
            std::fs::rename(&place, &aside)?;
            let _ = std::fs::remove_file(lock_of(&place));
            places.push(aside);
            removed.push(name);
        }
    }
    drop(turn);
    for place in places {
        crate::engine::remove_tree(&place)?;
    }
    Ok(removed)
}

/// Whether nobody holds a copy.
fn is_free(copy: &Path) -> anyhow::Result<bool> {
    let lock = open_lock(copy, OFlags::CLOEXEC)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        locked => Ok(locked.map(|()| true)?),
    }
}

fn lock_of(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(LOCK);
    PathBuf::from(name)
}

/// A file, since a directory of the host's must not be open in a box.
fn open_lock(copy: &Path, flags: OFlags) -> anyhow::Result<OwnedFd> {
    let flags = flags | OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW;
    rustix::fs::open(lock_of(copy), flags, Mode::RUSR | Mode::WUSR)
        .context("cannot open the lock of the /etc of boxes")
}

/// Waits until nobody else makes a copy, begins to hold one, or removes some.
fn turn(directory: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(directory).context("cannot make a place for system files")?;
    let opened = File::open(directory)?;
    rustix::fs::flock(&opened, FlockOperation::LockExclusive)?;
    Ok(opened)
}

/// The host's `/etc` as it is now.
struct Now {
    /// The name of its copy.
    name: String,
    files: Vec<OsString>,
}

impl Now {
    fn look() -> anyhow::Result<Self> {
        let files = allowed_names()?;
        let mut digest = Sha256::new();
        for name in &files {
            stamp(&Path::new("/etc").join(name), &mut digest)?;
        }
        for path in ["/etc/passwd", "/etc/group"]
            .map(Path::new)
            .into_iter()
            .chain(host_ca_bundle().as_deref())
        {
            stamp(path, &mut digest)?;
        }
        let stamp: Vec<String> =
            digest.finalize()[..STAMP_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: format!("{COPY}{}", stamp.concat()), files })
    }

    /// Makes the copy, unless it is there.
    fn copy_to(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let whole = directory.join(&self.name);
        if whole.exists() {
            return Ok(whole);
        }
        let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(directory)?;
        let etc = partial.path().join("etc");
        std::fs::create_dir(&etc)?;
        write(&etc, &self.files).context("cannot make the /etc of boxes")?;
        std::fs::rename(&etc, &whole).context("cannot keep the /etc of boxes")?;
        Ok(whole)
    }
}

/// What is a box's own in the new layer over `/etc`.
pub(super) fn write_own(layer: &Path, plan: &BoxPlan) -> anyhow::Result<()> {
    let upper = layer.join("upper");
    std::fs::create_dir(&upper)?;
    for (file, text) in named(plan.name.as_str()) {
        std::fs::write(upper.join(file), text)?;
    }
    Ok(())
}

/// Gives a box, in which no program has run yet, its name.
pub(super) fn take_name(etc: &Path, name: &str) -> anyhow::Result<()> {
    for (file, text) in named(name) {
        std::fs::write(etc.join(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

/// The same in the new layer over an image, with what a box needs that no image can know.
pub(super) fn write_into_image(layer: &Path, plan: &BoxPlan) -> anyhow::Result<()> {
    let etc = layer.join("upper/etc");
    std::fs::create_dir_all(&etc)?;
    let open = std::fs::Permissions::from_mode(0o755);
    for directory in [layer.join("upper"), etc.clone()] {
        std::fs::set_permissions(directory, open.clone())?;
    }
    for (file, text) in named(plan.name.as_str()) {
        std::fs::write(etc.join(file), text)?;
    }
    if plan.network.mode != NetworkMode::Bridge {
        std::fs::write(etc.join("resolv.conf"), NAME_SERVER)?;
    }
    copy_certificates(&etc)
}

/// Gives `upper`, the copy of another box's layer over `/etc`, the name `name`, in files that are as that
/// box was given them.
pub(super) fn rename(upper: &Path, name: &str) -> anyhow::Result<()> {
    if !std::fs::symlink_metadata(upper).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    // What the other box put there may lead anywhere.
    let read = |file: &str| {
        let path = upper.join(file);
        let own = std::fs::symlink_metadata(&path).is_ok_and(|it| it.is_file() && it.len() < 4096);
        if own { std::fs::read_to_string(path).ok() } else { None }
    };
    let Some(old) = read("hostname") else { return Ok(()) };
    for ((file, own), (_, text)) in named(old.trim()).into_iter().zip(named(name)) {
        if read(file).is_some_and(|found| found == own) {
            std::fs::remove_file(upper.join(file))?;
            std::fs::write(upper.join(file), text)?;
        }
    }
    Ok(())
}

/// The files that tell a box's name, and what is in them.
fn named(name: &str) -> [(&'static str, String); 2] {
    let hosts = format!("127.0.0.1 localhost {name}\n::1 localhost\n");
    [("hostname", format!("{name}\n")), ("hosts", hosts)]
}

fn allowed_names() -> anyhow::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/etc").context("cannot read /etc")? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(is_allowed) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Adds to `digest` what changes when a file, or one in a directory, does.
fn stamp(path: &Path, digest: &mut Sha256) -> anyhow::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    digest.update(path.as_os_str().as_encoded_bytes());
    digest.update(found.ctime().to_le_bytes());
    digest.update(found.ctime_nsec().to_le_bytes());
    if found.is_dir() && is_open(&found) {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // A link cannot change in its place, and that it was replaced its directory tells.
            if !entry.file_type()?.is_symlink() {
                names.push(entry.file_name());
            }
        }
        names.sort();
        for name in names {
            stamp(&path.join(name), digest)?;
        }
    }
    Ok(())
}

/// Whether every user may read a file, or list and enter a directory.
fn is_open(found: &Metadata) -> bool {
    let needed = if found.is_dir() { 0o005 } else { 0o004 };
    found.mode() & needed == needed
}

/// Fills the new directory `etc`.
fn write(etc: &Path, names: &[OsString]) -> anyhow::Result<()> {
    for name in names {
        copy(&Path::new("/etc").join(name), &etc.join(name))?;
    }
    let put = |name: &str, text: &str| {
        std::fs::write(etc.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    put("passwd", &system_users(&read("/etc/passwd")))?;
    put("group", &system_groups(&read("/etc/group")))?;
    put("resolv.conf", NAME_SERVER)?;
    put("nsswitch.conf", NAME_SERVICES)?;
    symlink("/proc/self/mounts", etc.join("mtab"))?;
    copy_certificates(etc)
}

fn copy_certificates(etc: &Path) -> anyhow::Result<()> {
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
    } else if found.is_file() && is_open(&found) {
        std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    } else if found.is_dir() && is_open(&found) {
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
    fn a_copy_goes_when_it_is_old_and_nobody_holds_it() {
        let deck = tempfile::tempdir().expect("a directory");
        let (whole, held) = hold(deck.path()).expect("made");
        assert!(whole.join("passwd").exists());
        let system = directory(deck.path());
        for name in ["etc-0000000000000000", "partial-x", "etc-00000000000000ff"] {
            std::fs::create_dir_all(system.join(name).join("skel")).expect("made");
        }
        let [free, shown] =
            ["etc-0000000000000000", "etc-00000000000000ff"].map(|it| system.join(it));
        let lock = open_lock(&shown, OFlags::CLOEXEC).expect("opened");
        rustix::fs::flock(&lock, FlockOperation::LockShared).expect("locked");
        assert_eq!(remove_unused(deck.path()).expect("looked"), ["etc-0000000000000000"]);
        assert!(whole.exists() && shown.exists() && !free.exists());
        assert!(!system.join("partial-x").exists() && !lock_of(&free).exists());
        drop(lock);
        assert_eq!(remove_unused(deck.path()).expect("looked"), ["etc-00000000000000ff"]);
        drop(held);
        assert_eq!(remove_unused(deck.path()).expect("looked"), Vec::<String>::new());
        assert!(whole.exists(), "it is of now");
    }

    #[test]
    fn passwords_and_keys_are_not_on_the_list() {
        for name in ["shadow", "gshadow", "sudoers", "ssh", "machine-id", "krb5.keytab"] {
            assert!(!is_allowed(name), "{name}");
        }
        assert!(is_allowed("python3.11"));
    }
}

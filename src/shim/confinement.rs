//! The second layer around a box: what its programs may open, kept by the kernel's Landlock.
//!
//! The shim takes it on for itself before it starts anything, so that a box is one domain: what
//! runs in it may signal, trace and connect to each other as before, and nothing of it can leave.
//! Rules belong to the directories of the box's own mounts. What a descriptor, a link or a
//! forgotten mount leads to beyond them is under none, and cannot be opened. It knows no engine
//! and no plan.

use std::path::Path;

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};

use super::claims::LEAST_LANDLOCK;
use super::config::Confinement;
use super::probe;

/// The newest version whose rights are asked for; an older kernel keeps those it knows.
const VERSION: ABI = ABI::V6;

/// Devices that programs steer. `/dev/full` is not among them, so that a probe can try one.
const DEVICES: [&str; 5] = ["null", "random", "tty", "urandom", "zero"];

/// The device that can be read and written, but not steered.
pub(super) const UNSTEERED: &str = "/dev/full";

/// Confines the calling thread, and all that it starts, for good.
pub(super) fn take(confinement: &Confinement) -> anyhow::Result<()> {
    let Some(version) = probe::landlock() else { return Ok(()) };
    if version < LEAST_LANDLOCK {
        return Ok(());
    }
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?
        // The shim has the right to do without, and the box's root its `sudo` and `su`.
        .no_new_privs(false);
    for place in &confinement.places {
        rules = allow(rules, place, own())?;
    }
    for (place, access) in everywhere() {
        rules = allow(rules, Path::new(place), access)?;
    }
    for name in DEVICES {
        rules = allow(rules, &Path::new("/dev").join(name), device() | AccessFs::IoctlDev)?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Everything that is done to files and directories of one's own.
fn own() -> BitFlags<AccessFs> {
    let devices = AccessFs::IoctlDev | AccessFs::MakeChar | AccessFs::MakeBlock;
    AccessFs::from_all(VERSION) & !devices
}

fn device() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate
}

/// What is the same in every box.
fn everywhere() -> [(&'static str, BitFlags<AccessFs>); 7] {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    [
        ("/", AccessFs::ReadDir.into()),
        // Not written: a setting of the host is a file here like a process's own.
        ("/proc", read),
        ("/sys", read),
        // A logger has its socket here.
        ("/dev", AccessFs::ReadDir | AccessFs::MakeSock | AccessFs::RemoveFile),
        ("/dev/pts", device() | AccessFs::ReadDir | AccessFs::IoctlDev),
        ("/dev/shm", own()),
        (UNSTEERED, device()),
    ]
}

fn allow(
    rules: RulesetCreated,
    place: &Path,
    access: BitFlags<AccessFs>,
) -> anyhow::Result<RulesetCreated> {
    let opened = match PathFd::new(place) {
        Ok(opened) => opened,
        Err(PathFdError::OpenCall { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(rules);
        }
        Err(error) => return Err(error).with_context(|| place.display().to_string()),
    };
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

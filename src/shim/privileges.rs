//! The rights of a program, taken on between fork and exec.
//!
//! Only system calls happen here. What a role keeps is decided before the fork; the order below
//! matters, because each step needs rights that a later one gives up.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::config::ShimConfig;
use super::filter;
use super::wire::Role;

/// The capabilities of a container's root by default.
/// Source: Docker Engine, "Runtime privilege and Linux capabilities".
const CONTAINER_ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// What it takes to change owners in directories that are shut to others.
const FOR_OWNERS: CapabilitySet =
    CapabilitySet::CHOWN.union(CapabilitySet::DAC_OVERRIDE).union(CapabilitySet::DAC_READ_SEARCH);

/// No kernel has more capabilities than a 64-bit set holds.
const CAPABILITY_BITS: u32 = 64;

/// What a program will be allowed.
pub(super) enum Rights {
    /// Those of the shim itself: an unisolated environment.
    Inherited,
    /// No capability, no new privileges, a system call filter.
    Agent { user: Uid, group: Gid },
    /// The box's root.
    Root,
}

impl Rights {
    pub(super) fn of(config: &ShimConfig, role: Role) -> Self {
        match role {
            _ if !config.drop_privileges => Self::Inherited,
            Role::Root => Self::Root,
            Role::Agent => Self::Agent {
                user: Uid::from_raw(config.agent_user),
                group: Gid::from_raw(config.agent_group),
            },
        }
    }

    /// Takes the rights on for the calling process, for good. Safe between fork and exec.
    pub(super) fn take(&self) -> io::Result<()> {
        match self {
            Self::Inherited => Ok(()),
            Self::Agent { user, group } => take_agent(*user, *group),
            Self::Root => take_root(),
        }
    }
}

fn take_agent(user: Uid, group: Gid) -> io::Result<()> {
    limit_bounding_set(CapabilitySet::empty())?;
    clear_ambient_set()?;
    match rustix::thread::set_thread_groups(&[group]) {
        // An ordinary user's namespace forbids the call for good, and holds no other group.
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    set_capabilities(CapabilitySet::empty())?;
    rustix::thread::set_no_new_privs(true)?;
    filter::install()
}

fn take_root() -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?.effective;
    if own.contains(CapabilitySet::SYS_ADMIN) {
        // Without no_new_privs, which `sudo` and `su` could not live with, installing a filter
        // takes this capability. Where it is missing the engine has a filter of its own.
        filter::install()?;
    }
    limit_bounding_set(CONTAINER_ROOT)?;
    clear_ambient_set()?;
    set_capabilities(own.intersection(CONTAINER_ROOT))
}

/// Leaves the calling process, which runs nothing else, what it takes to change owners.
pub(super) fn keep_for_owners() -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?.permitted;
    set_capabilities(own.intersection(FOR_OWNERS))
}

fn limit_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for bit in 0..CAPABILITY_BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if kept.contains(capability) {
            continue;
        }
        // The raw call, because the typed one refuses capabilities that are newer than itself.
        // SAFETY: this operation takes numbers only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(bit)) };
        if result != 0 {
            let error = io::Error::last_os_error();
            // The first number beyond the kernel's last capability.
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// No capability passes from program to program by itself. A kernel that does not know of such
/// capabilities, as an emulated one, has none to clear.
fn clear_ambient_set() -> io::Result<()> {
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_capabilities(kept: CapabilitySet) -> io::Result<()> {
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

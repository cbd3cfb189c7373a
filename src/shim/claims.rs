//! What a probe process tells about the box it runs in.
//!
//! It comes from inside, so it is taken as a claim: where the host can read the same for itself,
//! the host's reading decides. Versioned on its own, as shims outlive upgrades of the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version this binary writes.
pub const VERSION: u32 = 1;

/// The argument that has the shim's binary try things under an agent's rights, tell what came of
/// it in one line of JSON, and then stand still to be looked at. A word of the caller's choice
/// follows, by which the process is found among others.
pub const PROBE: &str = "shim-probe";

/// The attempt to write a file of `/proc` that is the process's own. Where a box's programs may
/// write anywhere below `/`, it is not refused.
pub const PROCESS_FILE: &str = "writing in /proc";

/// The least version of Landlock that a box has any use for: before it, no program could move a
/// file from one directory to another.
pub const LEAST_LANDLOCK: u32 = 2;

/// Everything that was tried and seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    pub version: u32,
    /// The process's own `/proc/self/status`, for boxes whose processes the host does not see.
    pub status: String,
    /// System calls that an agent has no use for.
    pub calls: Vec<Attempt>,
    /// Files of `/proc` and `/sys` that tell of the host or change it, opened.
    pub kernel_files: Vec<Attempt>,
    /// Addresses to which a route was looked for; nothing is sent.
    pub addresses: Vec<Attempt>,
    /// Another process's memory and threads, that of the box's first process.
    pub first_process: Vec<Attempt>,
    /// Sockets of well-known services of a host that are there.
    pub sockets: Vec<String>,
    /// Device nodes in `/dev`.
    pub devices: Vec<String>,
    /// Servers of names.
    pub name_servers: Vec<String>,
    /// Settings of the kernel as the box has them, by name.
    pub settings: BTreeMap<String, String>,
    /// How many processes are seen.
    pub processes: u32,
    /// The version of the kernel's Landlock, where it is on.
    pub landlock: Option<u32>,
    /// What nothing but Landlock refuses, as far as that version goes.
    pub second_layer: Vec<Attempt>,
    /// Its requests for file notices are answered by somebody else, on another's account.
    pub notices_answered: bool,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub name: String,
    /// The kernel's answer; 0 when it did what was asked.
    pub error: i32,
}

impl Attempt {
    /// Whether the kernel refused the wish itself. Any other error means that the wish was taken
    /// up, and only its arguments, which were senseless on purpose, were found wrong.
    pub fn refused(&self) -> bool {
        [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EROFS].contains(&self.error)
    }

    /// Whether Landlock refused it: it is asked before the file system and has one answer.
    pub fn refused_by_landlock(&self) -> bool {
        self.error == libc::EACCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_says_is_read_as_far_as_it_is_known() {
        let claims: Claims = serde_json::from_str(r#"{"version":9,"later":1}"#).expect("read");
        assert_eq!(claims, Claims { version: 9, ..Claims::default() });
    }

    #[test]
    fn a_wrong_argument_is_no_refusal() {
        let attempt = |error| Attempt { name: "mount".to_owned(), error };
        assert!(attempt(libc::EPERM).refused() && attempt(libc::ENOSYS).refused());
        for taken_up in [0, libc::EFAULT, libc::EINVAL, libc::EBADF] {
            assert!(!attempt(taken_up).refused(), "{taken_up}");
        }
    }
}

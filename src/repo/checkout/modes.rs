//! Permissions of a working tree's files: what of them git heeds, and what it gives the files it makes.

/// Whether the executable bits of a working tree say something. On a file system that keeps none, and
/// where the user said so, git takes them for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repo) enum Modes {
    Heeded,
    Ignored,
}

impl Modes {
    /// As the user's `core.fileMode` has it.
    pub(in crate::repo) fn of(repository: &gix::Repository) -> Self {
        match repository.config_snapshot().boolean("core.fileMode") {
            Some(false) => Self::Ignored,
            Some(true) | None => Self::Heeded,
        }
    }
}

/// What most have, and what is assumed where the kernel does not say.
const USUAL_UMASK: u32 = 0o022;

/// What is taken from the permissions of new files.
pub(super) fn umask() -> u32 {
    // Asking by setting it would change it for other threads meanwhile.
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    umask_in(&status).unwrap_or(USUAL_UMASK)
}

fn umask_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_is_what_the_kernel_says() {
        assert_eq!(umask_in("Name:\tx\nUmask:\t0077\nState:\tR\n"), Some(0o077));
        assert_eq!(umask_in("Name:\tUmask:\n"), None);
        assert_eq!(umask_in("Umask:\tall\n"), None);
    }
}

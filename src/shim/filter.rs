//! The system call filter of a box: a list of calls that answer `EPERM`.
//!
//! Written as a plain BPF program rather than through a library, because it must also refuse the
//! second numbering of the same calls (x32), and because `clone3` has to answer `ENOSYS`: its
//! flags lie in memory, where a filter cannot look, and C libraries then fall back to `clone`.

use std::io;

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
use libc::{c_long, sock_filter};

/// Offsets into `struct seccomp_data` (linux/seccomp.h); arguments are 64 bits, low half first.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;

/// Numbers from here on are x32's on x86-64 and nobody's elsewhere.
const FOREIGN_NUMBERS: u32 = 0x4000_0000;

/// `CLONE_NEW*`: time, mount, cgroup, UTS, IPC, user, process and network namespaces.
const NEW_NAMESPACES: u32 = 0x7e02_0080;

/// Socket families that reach past the network namespace or are pure kernel surface.
const FAMILIES: [i32; 2] = [libc::AF_VSOCK, libc::AF_ALG];

/// Terminal requests that type on behalf of others.
const TERMINAL_REQUESTS: [u32; 2] = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */];

const DENIED: &[c_long] = &[
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Kernel code and settings.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    // Keys are not kept apart by namespaces.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Surface with a history of escapes.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes' memory placement and descriptors.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
];

#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[c_long] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib, libc::SYS_ustat];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[c_long] = &[];

/// Room for the program: four instructions of frame, two for each call, and the argument checks.
const ROOM: usize = 160;

/// Installs the filter for the calling process and what it becomes. Safe between fork and exec.
pub(super) fn install() -> io::Result<()> {
    let mut program = Program { code: [return_with(0); ROOM], length: 0 };
    program.write();
    let description =
        libc::sock_fprog { len: program.length as u16, filter: program.code.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0 as libc::c_ulong,
            &raw const description,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A program on the stack, because nothing may be allocated after a fork.
struct Program {
    code: [sock_filter; ROOM],
    length: usize,
}

impl Program {
    fn write(&mut self) {
        self.load(ARCHITECTURE);
        self.push(jump(BPF_JEQ, NATIVE, 1, 0));
        self.push(refuse(libc::EPERM));
        self.load(NUMBER);
        self.push(jump(BPF_JGE, FOREIGN_NUMBERS, 0, 1));
        self.push(refuse(libc::EPERM));
        self.refuse_number(libc::SYS_clone3, libc::ENOSYS);
        for number in DENIED.iter().chain(DENIED_HERE) {
            self.refuse_number(*number, libc::EPERM);
        }
        self.refuse_argument(libc::SYS_clone, 0, BPF_JSET, &[NEW_NAMESPACES]);
        self.refuse_argument(libc::SYS_ioctl, 1, BPF_JEQ, &TERMINAL_REQUESTS);
        self.refuse_argument(libc::SYS_socket, 0, BPF_JEQ, &FAMILIES.map(|family| family as u32));
        self.push(return_with(libc::SECCOMP_RET_ALLOW));
    }

    fn push(&mut self, instruction: sock_filter) {
        self.code[self.length] = instruction;
        self.length += 1;
    }

    fn load(&mut self, offset: u32) {
        self.push(sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset });
    }

    fn refuse_number(&mut self, number: c_long, error: i32) {
        self.push(jump(BPF_JEQ, number as u32, 0, 1));
        self.push(refuse(error));
    }

    /// Refuses the call `number` when its argument `index` passes `test` with one of `values`.
    fn refuse_argument(&mut self, number: c_long, index: u32, test: u32, values: &[u32]) {
        let rest = 2 + 2 * values.len();
        self.push(jump(BPF_JEQ, number as u32, 0, rest as u8));
        self.load(ARGUMENTS + 8 * index);
        for value in values {
            self.push(jump(test, *value, 0, 1));
            self.push(refuse(libc::EPERM));
        }
        self.push(return_with(libc::SECCOMP_RET_ALLOW));
    }
}

pub(super) const fn jump(test: u32, value: u32, when_true: u8, when_false: u8) -> sock_filter {
    let code = (BPF_JMP | test | BPF_K) as u16;
    sock_filter { code, jt: when_true, jf: when_false, k: value }
}

const fn refuse(error: i32) -> sock_filter {
    return_with(libc::SECCOMP_RET_ERRNO | error as u32)
}

pub(super) const fn return_with(value: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_fits_its_room() {
        let mut program = Program { code: [return_with(0); ROOM], length: 0 };
        program.write();
        assert!(program.length <= ROOM);
    }
}

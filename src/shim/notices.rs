//! File notices of a container's programs, on an account of the box's own.
//!
//! The kernel counts instances of inotify, and what is watched with them, for each user of the
//! machine (`inotify(7)`). An agent in a container has the number of the user it works for, so that
//! one that takes every instance leaves none to that user. Here its two calls for one are held by
//! the kernel (`seccomp_unotify(2)`): a thread of the shim, which bears a number that nobody else
//! has, makes the instance and puts it into the program. All of it counts as that number's.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{BPF_ABS, BPF_JEQ, BPF_LD, BPF_W, c_int, c_long, sock_filter};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::filter::{ARCHITECTURE, NATIVE, NUMBER, jump, return_with};
use super::turns;

/// The calls by which a program asks for an instance; newer machines have only the second.
#[cfg(target_arch = "x86_64")]
const CALLS: [c_long; 2] = [libc::SYS_inotify_init1, libc::SYS_inotify_init];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [c_long; 1] = [libc::SYS_inotify_init1];

/// The first Linux that puts a descriptor into a program as the answer to its call.
const SINCE: (u32, u32) = (5, 14);

/// A flag of no instance, by which a program asks whether its calls are heard here.
const QUESTION: c_int = 1 << 30;
/// What it is told where they are, and count as another's: the kernel answers `EINVAL`.
const ANSWER: c_int = libc::EISNAM;

/// The thread makes system calls and keeps nothing.
const STACK: usize = 64 << 10;

/// Both ends of the way on which a program that is being started hands over what its calls are
/// heard by.
pub(super) struct Handover {
    ours: OwnedFd,
    theirs: OwnedFd,
    /// As whose they are made.
    number: u32,
}

/// The program's end.
#[derive(Clone, Copy)]
pub(super) struct End(RawFd);

impl Handover {
    /// `None` where the kernel cannot. Any other failure is one of the program to be started: what
    /// runs in the box may have used up what this takes.
    pub(super) fn open(number: u32) -> io::Result<Option<Self>> {
        if !kernel_can() {
            return Ok(None);
        }
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok(Some(Self { ours, theirs, number }))
    }

    pub(super) fn end(&self) -> End {
        End(self.theirs.as_raw_fd())
    }

    /// Serves what the program handed over before it began. Where that fails nobody hears its
    /// calls, and the kernel answers that there is no such call.
    pub(super) fn serve(self) {
        drop(self.theirs);
        let Ok(Some(listener)) = receive(self.ours.as_fd()) else { return };
        let thread = std::thread::Builder::new().name("notices".to_owned()).stack_size(STACK);
        let _ = thread.spawn(move || keep(&listener, self.number));
    }
}

/// Whether this kernel can, by its version: there is nothing to try that would not hold a call.
fn kernel_can() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= SINCE
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut beside, flags)?;
    let received = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(received)
}

impl End {
    /// Has the kernel hold the calls of the calling process and of what it becomes, and hands over
    /// what they are heard by. A kernel that knows nothing of it, or has somebody else listen,
    /// leaves them the program's own. Safe between fork and exec.
    pub(super) fn divert(self) -> io::Result<()> {
        let listener = match listen() {
            Ok(listener) => listener,
            Err(error) if is_of_machine(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        // SAFETY: the shim's end of the pair is open until the program has begun.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let descriptors = [listener.as_fd()];
        beside.push(SendAncillaryMessage::ScmRights(&descriptors));
        // Its user may have too many on their way: its calls are then answered by nobody, which
        // takes nothing from anybody.
        let _ =
            rustix::net::sendmsg(socket, &[IoSlice::new(b".")], &mut beside, SendFlags::NOSIGNAL);
        Ok(())
    }
}

/// Whether no program of the box could have caused a failure to listen: an older or an emulated
/// kernel, another listener, a box whose root may gain rights.
fn is_of_machine(error: &io::Error) -> bool {
    let known = [libc::EINVAL, libc::ENOSYS, libc::EBUSY, libc::EACCES];
    error.raw_os_error().is_some_and(|number| known.contains(&number))
}

/// Whether this process's calls are answered here, and as another user's. The kernel knows no such
/// flag, and no other listener such an answer.
pub(super) fn are_diverted() -> bool {
    // SAFETY: numbers only. Nothing is made: the flag is nobody's.
    let answered = unsafe { libc::inotify_init1(QUESTION) };
    answered < 0 && last_error() == ANSWER
}

/// Has the kernel hold the calls of this process for whoever has what is returned.
fn listen() -> io::Result<OwnedFd> {
    let load =
        |offset| sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset };
    let allow = return_with(libc::SECCOMP_RET_ALLOW);
    let hold = return_with(libc::SECCOMP_RET_USER_NOTIF);
    let mut program = [allow; 4 + 2 * CALLS.len()];
    // Other numberings of the calls are refused by the first filter.
    program[0] = load(ARCHITECTURE);
    program[1] = jump(BPF_JEQ, NATIVE, 0, (1 + 2 * CALLS.len()) as u8);
    program[2] = load(NUMBER);
    for (index, call) in CALLS.iter().enumerate() {
        program[3 + 2 * index] = jump(BPF_JEQ, *call as u32, 0, 1);
        program[4 + 2 * index] = hold;
    }
    let description = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const description,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}

/// Answers calls until no program is left that could make one.
fn keep(listener: &OwnedFd, number: u32) {
    // A program that asks without end is kept waiting, not the keys of those beside it.
    turns::of_programs();
    let has_number = bear(number).is_ok();
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN)];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        let found = polled[0].revents();
        if found.contains(PollFlags::IN) {
            answer(listener, has_number);
        } else if found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
    }
}

/// Takes the number for this thread alone, for good, and with it none of the shim's rights.
fn bear(number: u32) -> io::Result<()> {
    // SAFETY: numbers only. The raw call, because the library's changes every thread.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, number, number, number) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // A change of the user may make the whole process open to be looked at again.
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    Ok(rustix::process::set_dumpable_behavior(hidden)?)
}

fn answer(listener: &OwnedFd, has_number: bool) {
    // SAFETY: plain numbers, for which the kernel asks zeros.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is the kernel's own and lives through the call.
    let heard =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
    if heard != 0 {
        // Whoever asked has gone.
        return;
    }
    let outcome = if has_number { give(listener, &call) } else { Outcome::Itself };
    let (error, flags) = match outcome {
        Outcome::Given => return,
        Outcome::Refused(error) => (-error, 0),
        Outcome::Itself => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let mut told = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags };
    // SAFETY: as above. One that has gone meanwhile is owed nothing.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut told) };
}

enum Outcome {
    Given,
    Refused(c_int),
    /// The program's own call is to be made, as what it is: no other number is to be had.
    Itself,
}

/// Makes an instance and puts it into the program as the answer to its call.
fn give(listener: &OwnedFd, call: &libc::seccomp_notif) -> Outcome {
    let is_old = c_long::from(call.data.nr) != libc::SYS_inotify_init1;
    let flags = if is_old { 0 } else { call.data.args[0] as c_int };
    if flags == QUESTION {
        return Outcome::Refused(ANSWER);
    }
    // SAFETY: numbers only.
    let made = unsafe { libc::inotify_init1(flags | libc::IN_CLOEXEC) };
    if made < 0 {
        return Outcome::Refused(last_error());
    }
    // SAFETY: it was just made and is nobody else's.
    let made = unsafe { OwnedFd::from_raw_fd(made) };
    let mut given = libc::seccomp_notif_addfd {
        id: call.id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: made.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: (flags & libc::IN_CLOEXEC) as u32,
    };
    // SAFETY: the structure is the kernel's own and lives through the call.
    let result = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut given)
    };
    match result {
        0.. => Outcome::Given,
        _ => Outcome::Refused(last_error()),
    }
}

fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

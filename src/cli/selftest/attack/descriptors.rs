//! Descriptors that lead out of a box, as one that was forgotten open would.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::files::holds;
use super::{Try, sockets};

/// Bytes of the canary that are read.
const READ: u64 = 4096;

/// The directory comes from the selftest, which stands for the mistake.
pub(super) fn take(sockets: &[PathBuf], name: &Path, secret: &str) -> Vec<Try> {
    let what = format!("{} below a descriptor", name.display());
    let stream = sockets.iter().find_map(|path| sockets::open(path).ok());
    let Some(stream) = stream else {
        return vec![Try::absent(what, "no descriptor could be handed over")];
    };
    let directory = match receive(&stream) {
        Ok(Some(directory)) => directory,
        Ok(None) => return vec![Try::absent(what, "no descriptor came")],
        Err(error) => return vec![Try::absent(what, error.to_string())],
    };
    vec![match read(&directory, name) {
        Ok(text) if holds(&text, secret) => Try::reached(what, "read"),
        Ok(_) => Try::refused(what, "something else was read"),
        Err(error) => Try::refused(what, error.to_string()),
    }]
}

fn receive(stream: &UnixStream) -> std::io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut beside, flags)?;
    let mut found = None;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            found = descriptors.last().or(found);
        }
    }
    Ok(found)
}

fn read(directory: &OwnedFd, name: &Path) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.take(READ).read_to_end(&mut text)?;
    Ok(text)
}

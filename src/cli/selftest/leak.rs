//! A hole in a box's first walls, made on purpose: what the second layer is there for.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::attack::{Attack, Secret};
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Control, Needs, Shown, broken, words};
use crate::model::failure::Failure;
use crate::model::policy::EngineKind;
use crate::shim::claims::LEAST_LANDLOCK;

/// The socket's name in the attacker's workspace, where both sides of the wall reach it.
const SOCKET: &str = "selftest-leak";

/// Hands a directory of the host to whoever asks. Namespaces and mounts do not hold what is below
/// a descriptor, so that without a second layer there is nothing to be tested.
pub(super) async fn descriptor(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let leak = Leak::open(cast)?;
    let attack = || Attack::TakeDirectory {
        sockets: leak.sockets.clone(),
        name: leak.name.clone(),
        secret: Secret::new(&cast.stage.secret),
    };
    let fired = cast.stage.outside_of_boxes(attack()).await?;
    let mut tries = Vec::new();
    for side in [Side::Agent, Side::Root] {
        tries.extend(cast.stage.inside(&cast.attacker, side, attack()).await?);
    }
    let came_through = broken(&tries);
    if let Some(why) = no_second_layer(cast) {
        let told = tries.iter().map(words).collect::<Vec<_>>().join("; ");
        let why = format!("{why}, so that a hole in its walls is one: {told}");
        return Ok((Control::CannotHere(why), Ok(Vec::new())));
    }
    Ok((Control::of(&fired, Needs::Nothing), Ok(came_through)))
}

fn no_second_layer(cast: &Cast<'_>) -> Option<&'static str> {
    if cast.stage.choice.engine != EngineKind::Native {
        return Some("boxes of this engine have no second layer");
    }
    let there = crate::shim::landlock().is_some_and(|version| version >= LEAST_LANDLOCK);
    (!there).then_some("this kernel has no Landlock to make a second layer of")
}

/// A socket that gives the canary's directory away; closed and removed when this is dropped.
struct Leak {
    /// The socket as the host and as the box has it.
    sockets: Vec<PathBuf>,
    name: PathBuf,
    serving: tokio::task::JoinHandle<()>,
}

impl Leak {
    fn open(cast: &Cast<'_>) -> anyhow::Result<Self> {
        let path = &cast.canaries.file;
        let name = PathBuf::from(path.file_name().context("a canary has a name")?);
        let place = path.parent().context("a canary is in a directory")?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(place, flags, Mode::empty())?;
        let listener = crate::socket::bind(&cast.attacker_workspace, SOCKET)?;
        let sockets = [&cast.attacker_workspace, &cast.stage.context.directory]
            .map(|directory| directory.join(SOCKET))
            .to_vec();
        let serving = tokio::task::spawn(serve(listener, directory)?);
        Ok(Self { sockets, name, serving })
    }
}

impl Drop for Leak {
    fn drop(&mut self) {
        self.serving.abort();
        // What is left of it is removed with the selftest's own directory.
        let _ = self.sockets.first().map(std::fs::remove_file);
    }
}

fn serve(
    listener: UnixListener,
    directory: OwnedFd,
) -> std::io::Result<impl Future<Output = ()> + Send> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    Ok(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // One that left is owed nothing.
            let _ = give(&stream, &directory);
        }
    })
}

/// A new connection has room for a byte, so that this never waits.
fn give(stream: &tokio::net::UnixStream, directory: &OwnedFd) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [directory.as_fd()];
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    let flags = SendFlags::NOSIGNAL;
    rustix::net::sendmsg(stream, &[IoSlice::new(b".")], &mut beside, flags)?;
    Ok(())
}

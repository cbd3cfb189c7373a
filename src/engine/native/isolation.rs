//! What holds a box of this engine, read back from the kernel.

use std::path::PathBuf;

use anyhow::Context;
use tokio::net::UnixStream;

use super::mark::Mark;
use super::{channel, layer, root, system_files};
use crate::engine::isolation::{Design, SecondLayer, own_directory, read as read_box, unisolated};
use crate::engine::{Asked, BoxRecord};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{EngineKind, Isolation};

/// Reads everything from a process that was started as an agent's is.
pub(super) async fn read(record: &BoxRecord, asked: &Asked) -> Result<Isolation, Failure> {
    if shares_namespaces(record.init_pid)? {
        return Ok(unisolated(record.init_pid));
    }
    let design = Design {
        engine: EngineKind::Native,
        own: own_directory(record),
        filled: Vec::new(),
        shown: vec![PathBuf::from(root::SHIM)],
        system: system_shown(record),
        laid: laid(record),
        root_capabilities: None,
        own_kernel: None,
        second_layer: Some(second_layer(record)),
        told: Vec::new(),
    };
    let open = || connect(record);
    read_box(record, open, root::SHIM, design, asked).await
}

fn stands_on_image(record: &BoxRecord) -> bool {
    own_directory(record).join(layer::DIRECTORY).join(layer::IMAGE).exists()
}

/// How far the second layer reaches, as `root::open_places` has it.
fn second_layer(record: &BoxRecord) -> SecondLayer {
    if stands_on_image(record) { SecondLayer::Root } else { SecondLayer::Places }
}

/// What of the host a box sees by design: nothing where it stands on an image.
fn system_shown(record: &BoxRecord) -> Vec<PathBuf> {
    if stands_on_image(record) {
        return Vec::new();
    }
    let own = own_directory(record);
    let mut places = root::system_places();
    places.extend(own.ancestors().nth(2).map(system_files::directory));
    places.extend(Mark::of(record).into_iter().flat_map(|mark| mark.tools));
    places
}

/// Where it lays overlays: at the same paths, and over what is told of users and hosts.
fn laid(record: &BoxRecord) -> Vec<PathBuf> {
    let mut places = system_shown(record);
    if !places.is_empty() {
        places.push(PathBuf::from("/etc"));
    }
    places
}

async fn connect(record: &BoxRecord) -> Result<UnixStream, Failure> {
    channel::open(record).await.map_err(|error| {
        let message = format!("cannot look into the box of {}: {error}", record.environment);
        Failure::new(FailureKind::Unavailable, message)
    })
}

/// Whether a process is numbered in no more namespaces than this one is. Its links in `/proc`
/// would tell too, but those of a process that cannot be inspected are hidden from its own user.
fn shares_namespaces(pid: u32) -> anyhow::Result<bool> {
    Ok(depth(pid)? == depth(std::process::id())?)
}

/// In how many namespaces a process has a number.
fn depth(pid: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(numbers.unwrap_or_default().split_ascii_whitespace().count())
}

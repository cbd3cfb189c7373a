//! Files of which a patch has no lines, whole: binary ones, very large ones, and texts that stand in
//! an encoding which git does not read.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::diff;
use super::store::Store;
use crate::model::diff::{self as model, FileDiff, FileSide, Literal};
use crate::model::failure::Failure;
use crate::model::id::CommitId;

/// Bytes of such files in one message: with [`model::LARGEST`] of lines. Others are read by
/// themselves.
const MOST_BYTES: usize = 144 << 20;

/// What one patch may still hold of them.
pub(super) struct Literals<'r> {
    repository: &'r gix::Repository,
    left: usize,
}

impl<'r> Literals<'r> {
    pub fn new(repository: &'r gix::Repository) -> Self {
        Self { repository, left: MOST_BYTES }
    }

    /// Gives a file its contents where a patch needs them. What is too much is left without.
    pub fn add(&mut self, file: &mut FileDiff) -> Result<(), Failure> {
        if !file.has_no_lines() {
            return Ok(());
        }
        let old = self.block(file.old_mode, file.old_blob.as_ref())?;
        let new = self.block(file.new_mode, file.new_blob.as_ref())?;
        file.literal = old.zip(new).map(|(old, new)| Literal { old, new });
        Ok(())
    }

    fn block(
        &mut self,
        mode: Option<u32>,
        blob: Option<&CommitId>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some((mode, blob)) = mode.zip(blob) else { return Ok(Some(model::EMPTY.to_vec())) };
        let side = diff::side(&FileSide { mode, blob: blob.clone() })?;
        let content = diff::content(self.repository, Some(side))?;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        let deflated = encoder.write_all(&content).and_then(|()| encoder.finish());
        let deflated = deflated.map_err(anyhow::Error::from)?;
        let block = model::block(content.len(), &deflated);
        let fits = block.len() <= self.left;
        self.left -= if fits { block.len() } else { 0 };
        Ok(fits.then_some(block))
    }
}

/// So many bytes of a content from a place on, and how many there are in all.
pub fn part(
    store: &Store,
    side: &FileSide,
    offset: u64,
    most: usize,
) -> Result<(Vec<u8>, u64), Failure> {
    let mut bytes = diff::content(&store.reader(), Some(diff::side(side)?))?;
    let size = bytes.len() as u64;
    bytes.drain(..offset.min(size) as usize);
    bytes.truncate(most);
    Ok((bytes, size))
}

//! A patch for git, however large: contents for which the diff's message had no room are asked for
//! piece by piece, and written as they come.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::model::diff::{Diff, EMPTY, FileSide, LINE, write_deflated};
use crate::model::failure::Failure;
use crate::proto::Reply;

/// Bytes of a patch above which git takes none (`MAX_APPLY_SIZE` in its apply.c).
pub const MOST_APPLIED: u64 = 1023 << 20;

/// Writes a diff that was read for a patch. `ask` brings a content from a place on, as
/// `Request::ReadContent` does. Returns the bytes that were written.
pub async fn write<Ask>(
    diff: &Diff,
    ask: Ask,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure>
where
    Ask: AsyncFn(FileSide, u64) -> Result<Reply, Failure>,
{
    let mut written = 0;
    let mut sink = |bytes: &[u8]| {
        written += bytes.len() as u64;
        sink(bytes)
    };
    for file in diff.for_git() {
        let mut text = Vec::new();
        if !file.is_missing() {
            file.write_patch(&mut text);
            sink(&text)?;
            continue;
        }
        file.write_head(&mut text);
        sink(&text)?;
        for side in file.sides().into_iter().rev() {
            match side {
                Some(side) => literal(side, &ask, &mut sink).await?,
                None => sink(EMPTY)?,
            }
            sink(b"\n")?;
        }
    }
    Ok(written)
}

/// Writes a content as git's binary patches have it.
async fn literal<Ask>(
    side: FileSide,
    ask: &Ask,
    sink: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure>
where
    Ask: AsyncFn(FileSide, u64) -> Result<Reply, Failure>,
{
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let failed = |error: std::io::Error| Failure::internal(&error.into());
    let mut offset = 0;
    loop {
        let Reply::Content { bytes, size } = ask(side.clone(), offset).await? else {
            return Err(Failure::internal(&anyhow::anyhow!("an answer that was not asked for")));
        };
        if offset == 0 {
            sink(format!("literal {size}\n").as_bytes())?;
        }
        offset += bytes.len() as u64;
        encoder.write_all(&bytes).map_err(failed)?;
        let mut text = Vec::new();
        if offset >= size {
            write_deflated(&encoder.finish().map_err(failed)?, &mut text);
            return sink(&text);
        }
        if bytes.is_empty() {
            return Err(Failure::internal(&anyhow::anyhow!("a content ended too early")));
        }
        let deflated = encoder.get_mut();
        let whole = deflated.len() / LINE * LINE;
        write_deflated(&deflated[..whole], &mut text);
        deflated.drain(..whole);
        sink(&text)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diff::FileDiff;
    use crate::model::diff::{DiffContent, FileChange, Literal, Review, Taken, block};
    use crate::model::id::CommitId;
    use crate::model::path::RepoPath;

    fn id(number: u8) -> CommitId {
        CommitId::parse(&format!("{number:040x}")).expect("an id")
    }

    /// Bytes that do not shrink.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..count).map(next).collect()
    }

    fn file(old: Option<u8>, new: Option<u8>) -> FileDiff {
        FileDiff {
            path: RepoPath::new("large"),
            old_path: None,
            change: FileChange::Modified,
            old_mode: old.map(|_| 0o100_644),
            new_mode: new.map(|_| 0o100_644),
            old_blob: old.map(id),
            new_blob: new.map(id),
            added: 0,
            removed: 0,
            content: DiffContent::Binary { old: 1, new: 1 },
            cautions: Vec::new(),
            review: Review::Unreviewed,
            taken: Taken::Nothing,
            encoding: None,
            literal: None,
        }
    }

    fn whole(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("written");
        block(content.len(), &encoder.finish().expect("deflated"))
    }

    #[tokio::test]
    async fn what_comes_in_pieces_is_the_patch_that_it_would_be_in_one() {
        let contents = [noise(100_000), vec![b'x'; 70_000], Vec::new()];
        for (old, new) in [(Some(0), Some(1)), (Some(1), Some(2)), (None, Some(0)), (Some(0), None)]
        {
            let diff = Diff { from: id(8), to: id(9), files: vec![file(old, new)] };
            for piece in [1_000, 30_001, 1 << 20] {
                let ask = async |side: FileSide, offset: u64| {
                    let number = (0..3).find(|number| id(*number) == side.blob).expect("known");
                    let content = &contents[usize::from(number)];
                    let from = offset as usize;
                    let bytes = content[from..(from + piece).min(content.len())].to_vec();
                    Ok(Reply::Content { bytes, size: content.len() as u64 })
                };
                let mut streamed = Vec::new();
                let mut sink = |bytes: &[u8]| {
                    streamed.extend_from_slice(bytes);
                    Ok(())
                };
                let written = write(&diff, ask, &mut sink).await.expect("written");
                let mut known = diff.clone();
                let of = |side: Option<u8>| {
                    side.map_or(EMPTY.to_vec(), |side| whole(&contents[usize::from(side)]))
                };
                known.files[0].literal = Some(Literal { old: of(old), new: of(new) });
                let mut expected = Vec::new();
                known.write_unified(&mut expected);
                assert!(streamed == expected, "{old:?} {new:?} in pieces of {piece}");
                assert_eq!(written, expected.len() as u64);
            }
        }
    }
}

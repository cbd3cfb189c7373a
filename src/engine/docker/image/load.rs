//! An image from a file of this machine.

use std::fs::File;
use std::io::{self, Cursor, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bollard::body_try_stream;
use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::archive::{self, Content};
use super::{IMAGE_LABEL, find, send};
use crate::engine::docker::connect::{Connection, hexadecimal};
use crate::engine::docker::create::{blocking, report};
use crate::engine::docker::plan::Image;
use crate::engine::docker::problem::{Problem, brief};
use crate::engine::docker::{LONG_DEADLINE, accounts};
use crate::engine::{BoxPlan, Progress, ProgressSink, plain, room};
use crate::model::failure::{Failure, FailureKind};

/// Images of plain files are named by their content under this.
const REPOSITORY: &str = "agentdeck/archive";
/// Hexadecimal digits of a digest in an image's tag: no two files of one user ever meet.
pub(super) const TAG_DIGITS: usize = 20;

/// The image in an archive, given to the engine unless it has it already.
pub(super) async fn load(
    connection: &Connection,
    path: &Path,
    plan: &BoxPlan,
    progress: &ProgressSink,
) -> Result<Image, Failure> {
    report(progress, "reading the image's file");
    let (opening, scratch, told) = (path.to_owned(), plan.directory.clone(), progress.clone());
    let (file, content) = blocking(move || {
        let file = unpacked(open(&opening)?, &opening, &scratch, &told)?;
        let content = archive::read(&opening, &file)?;
        Ok((file, content))
    })
    .await?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let step = format!("loading {}", brief(&name));
    let given = match content {
        Content::Image { id, manifest, end } => {
            if let Some(image) = find(connection, &id).await? {
                return Ok(image);
            }
            image(connection, file, &manifest, (end, id), step, progress).await
        }
        Content::Root => {
            let (file, tag) = tag_of(path, file).await?;
            let name = format!("{REPOSITORY}:{tag}");
            if let Some(image) = find(connection, &name).await? {
                return Ok(image);
            }
            root(connection, file, &tag, step, progress).await.map(|()| name)
        }
    };
    let failed = |problem: Problem| {
        let mut failure = problem.during(&format!("loading {}", path.display()));
        failure.kind = FailureKind::Unavailable;
        failure
    };
    let name = given.map_err(failed)?;
    find(connection, &name).await?.ok_or_else(|| {
        let message = format!("the engine took {} and does not have its image", path.display());
        Failure::new(FailureKind::Unavailable, message)
    })
}

fn open(path: &Path) -> Result<File, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let cannot = |kind, reason: String| {
        let message = format!("the image {} cannot be read: {reason}", path.display());
        Failure::new(kind, message).hint("name a file with --image, or an image of the engine's")
    };
    // A pipe in the file's place would not be waited for.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| cannot(FailureKind::NotFound, error.to_string()))?;
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        _ => Err(cannot(FailureKind::Invalid, "it is not a file".to_owned())),
    }
}

/// A compressed file as it was before, in `scratch` for as long as it is open; another as it is.
fn unpacked(
    file: File,
    path: &Path,
    scratch: &Path,
    progress: &ProgressSink,
) -> Result<File, Failure> {
    let mut done = 0;
    let mut told = |bytes: u64| {
        done += bytes;
        let step = "unpacking the image's file".to_owned();
        // A full channel means that the user sees a later report instead.
        let _ = progress.try_send(Progress { step, done, total: 0 });
    };
    plain::uncompressed(file, scratch, room::IMAGE, &mut told).map_err(|error| {
        match error.downcast::<Failure>() {
            Ok(failure) => {
                let message = format!("{}: {}", path.display(), failure.message);
                Failure { message, ..failure }
            }
            Err(error) => {
                let message = format!("{} is not an image: {error:#}", path.display());
                Failure::new(FailureKind::Invalid, message)
                    .hint("it may be cut short: gzip -t says so")
            }
        }
    })
}

/// Names the content of a file.
async fn tag_of(path: &Path, mut file: File) -> Result<(File, String), Failure> {
    let path = path.to_owned();
    blocking(move || {
        let mut digest = Sha256::new();
        let mut piece = vec![0; send::PIECE];
        let mut read = || -> io::Result<()> {
            file.seek(SeekFrom::Start(0))?;
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(()),
                    length => digest.update(&piece[..length]),
                }
            }
        };
        read().map_err(|error| {
            let message = format!("the image {} cannot be read: {error}", path.display());
            Failure::new(FailureKind::Unavailable, message)
        })?;
        let mut tag = hexadecimal(&digest.finalize());
        tag.truncate(TAG_DIGITS);
        Ok((file, tag))
    })
    .await
}

/// Gives the engine an image as it was saved, but for its tags; the answer is what to look it up
/// by.
async fn image(
    connection: &Connection,
    mut file: File,
    manifest: &[u8],
    (end, id): (u64, String),
    step: String,
    progress: &ProgressSink,
) -> Result<String, Problem> {
    let unread = |error: io::Error| Problem::Unreachable(error.to_string());
    let last = accounts::archive(&[("manifest.json", manifest)]).map_err(unread)?;
    file.seek(SeekFrom::Start(0)).map_err(unread)?;
    let total = end.saturating_add(last.len() as u64);
    let source = file.take(end).chain(Cursor::new(last));
    let body = body_try_stream(send::pieces(source, total, step, progress));
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let mut reports = std::pin::pin!(connection.patient.import_image(options, body, None));
    let mut name = id;
    let taking = async {
        while let Some(report) = reports.next().await {
            let said = report?.stream.unwrap_or_default();
            // "Loaded image ID: sha256:…": an engine may know the image by another digest.
            if let Some((_, digits)) = said.trim().rsplit_once("sha256:") {
                name = format!("sha256:{}", brief(digits));
            }
        }
        Ok(())
    };
    let taken = tokio::time::timeout(LONG_DEADLINE, taking).await;
    taken.unwrap_or(Err(Problem::Deadline(LONG_DEADLINE)))?;
    Ok(name)
}

/// Gives the engine the files of a root as an image of one layer.
async fn root(
    connection: &Connection,
    mut file: File,
    tag: &str,
    step: String,
    progress: &ProgressSink,
) -> Result<(), Problem> {
    let unread = |error: io::Error| Problem::Unreachable(error.to_string());
    let total = file.metadata().map_err(unread)?.len();
    file.seek(SeekFrom::Start(0)).map_err(unread)?;
    let body = body_try_stream(send::pieces(file, total, step, progress));
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(REPOSITORY)
        .tag(tag)
        .changes(vec![format!("LABEL {IMAGE_LABEL}=archive")])
        .build();
    let mut reports =
        std::pin::pin!(connection.patient.create_image(Some(options), Some(body), None));
    let taking = async {
        while let Some(report) = reports.next().await {
            report?;
        }
        Ok(())
    };
    let taken = tokio::time::timeout(LONG_DEADLINE, taking).await;
    taken.unwrap_or(Err(Problem::Deadline(LONG_DEADLINE)))
}

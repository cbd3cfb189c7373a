//! A box's system as an image to keep, or as a file.
//!
//! On its way to a file it is an image under a name of ours, made for this once and noted before.
//! That name goes before the file is in its place: the image in the file is the same, and when a
//! user loads it nothing of ours refers to it. Removing a name removes no image that has another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ImageConfig};
use bollard::query_parameters::RemoveImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{self, Connection};
use super::copy::{SAVED, Target, commit, existing, parent_of};
use super::create::{blocking, report};
use super::problem::{Problem, brief, call};
use super::{CALL_DEADLINE, LONG_DEADLINE};
use crate::engine::part::{self, Left, Part, PassingImage};
use crate::engine::{BoxPlan, BoxRecord, Progress, ProgressSink, SaveTarget};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;

/// Between two looks for an image that an engine may still be making for a server that ended: at
/// first as long as a small box takes, then seldom enough to cost nothing.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Writes a box's system as an image of the engine or as a file.
pub(super) async fn save(
    connection: &Arc<Connection>,
    plan: &BoxPlan,
    record: &BoxRecord,
    to: &SaveTarget,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    let found = existing(connection, record).await?;
    let Some(parent) = parent_of(connection, &found).await? else {
        let image = brief(found.image.as_deref().unwrap_or_default());
        let message =
            format!("image {image}, which the box was made from, is gone from the engine");
        return Err(Failure::new(FailureKind::Unavailable, message)
            .hint("a fork of the environment has an image of its own, which can be saved"));
    };
    let config = parent.config.unwrap_or_default();
    let (deck, environment) = (&plan.deck, &record.environment);
    report(progress, "copying the box");
    match to {
        SaveTarget::Image(name) => {
            let target = Target { name: split_name(name)?, kind: SAVED, deck, environment };
            commit(connection, &found, config, &target).await.map(drop)
        }
        SaveTarget::Archive(path) => {
            let passing = Passing {
                connection: Arc::clone(connection),
                found,
                config,
                deck: deck.clone(),
                environment: environment.clone(),
                part: begin(connection, plan, path).await?,
                progress: progress.clone(),
            };
            // Dropped with this call, where nobody waits for it any more.
            let (abandoned, _waiting) = oneshot::channel();
            // The engine cannot be kept from ending what it began: what it makes is removed.
            let written = tokio::spawn(passing.write(abandoned)).await;
            written
                .unwrap_or_else(|error| Err(Failure::new(FailureKind::Internal, error.to_string())))
        }
    }
}

/// Begins the file, and notes the name that the image will have until it is written.
async fn begin(connection: &Connection, plan: &BoxPlan, path: &Path) -> Result<Part, Failure> {
    let (home, path) = (plan.deck_directory().to_owned(), path.to_owned());
    let endpoint = connection.candidate.endpoint();
    let (deck, environment) = (plan.deck.clone(), plan.environment.clone());
    blocking(move || {
        Part::begin(&home, &path, |own| {
            Some(PassingImage { endpoint, name: passing_name(&deck, &environment, own) })
        })
    })
    .await
}

/// `own` tells the image of one save from those of all others.
fn passing_name(deck: &str, environment: &EnvironmentId, own: &str) -> String {
    format!("agentdeck-saving-{deck}:{environment}-{own}")
}

/// An image that is there for the time of writing it to a file.
struct Passing {
    connection: Arc<Connection>,
    found: ContainerInspectResponse,
    config: ImageConfig,
    deck: String,
    environment: EnvironmentId,
    part: Part,
    progress: ProgressSink,
}

impl Passing {
    /// Writes it, for as long as somebody waits.
    async fn write(self, mut abandoned: oneshot::Sender<()>) -> Result<(), Failure> {
        let Self { connection, found, config, deck, environment, mut part, progress } = self;
        let name = part.image().map(|image| image.name.clone()).unwrap_or_default();
        // What is in the file is the user's, and is labelled like all that is.
        let target = Target {
            name: split_name(&name)?,
            kind: SAVED,
            deck: &deck,
            environment: &environment,
        };
        // An engine that does not say that it made the image may make it later.
        part.expect_image(true);
        let id = commit(&connection, &found, config, &target).await?;
        let written = tokio::select! {
            written = export(&connection, &id, &part, &progress) => written,
            () = abandoned.closed() => {
                Err(Failure::new(FailureKind::Unavailable, "nobody waits for the image"))
            }
        };
        let removed = remove_name(&connection, &name).await;
        removed.map_err(|problem| problem.during(&format!("removing image {name}")))?;
        part.expect_image(false);
        written?;
        blocking(move || part.finish()).await
    }
}

/// A name and its tag. A digest names what is there already.
fn split_name(name: &str) -> Result<(&str, &str), Failure> {
    let invalid = || {
        let message = format!("{name:?} is no name for an image");
        Failure::new(FailureKind::Invalid, message).hint("use NAME or NAME:TAG, as in mine/box:1")
    };
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[start..].find(':') {
        Some(colon) => (&name[..start + colon], &name[start + colon + 1..]),
        None => (name, "latest"),
    };
    let fine = |text: &str, more: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || more.contains(c);
        !text.is_empty() && text.chars().all(plain)
    };
    if fine(name, "/:") && fine(tag, "") { Ok((name, tag)) } else { Err(invalid()) }
}

/// Writes an image to the unfinished file. It is asked for by its id, so that the file names none.
async fn export(
    connection: &Connection,
    id: &str,
    part: &Part,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    let size = call(CALL_DEADLINE, connection.client.inspect_image(id)).await;
    let size = size.ok().and_then(|image| image.size).unwrap_or(0);
    let total = u64::try_from(size).unwrap_or(0);
    let mut writer = part.writer()?;
    let writing = async {
        let mut pieces = std::pin::pin!(connection.patient.export_image(id));
        let mut done = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                Problem::from(error).during(&format!("writing {}", part.target().display()))
            })?;
            done += piece.len() as u64;
            writer = blocking(move || writer.write(&piece)).await?;
            let step = "writing the image".to_owned();
            // A full channel means that the user sees a later report instead.
            let _ = progress.try_send(Progress { step, done, total });
        }
        blocking(move || writer.sync()).await
    };
    let written = tokio::time::timeout(LONG_DEADLINE, writing).await;
    let late = || Problem::Deadline(LONG_DEADLINE).during("writing the image");
    written.unwrap_or_else(|_| Err(late()))
}

/// What came of removing a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Now,
    /// Nothing has it.
    Missing,
}

/// Removes a name of ours, and the image where that has no other. One that somebody has made a
/// container of stays, and is theirs.
async fn remove_name(connection: &Connection, name: &str) -> Result<Removed, Problem> {
    let options = RemoveImageOptionsBuilder::new().build();
    let removed = connection.client.remove_image(name, Some(options), None);
    match call(CALL_DEADLINE, removed).await {
        Err(problem) if problem.is_missing() => Ok(Removed::Missing),
        Err(problem) if !problem.is_conflict() => Err(problem),
        _ => Ok(Removed::Now),
    }
}

/// Removes the images of saves that ended with their server. Where one is not there, the engine may
/// still be making it, and it is looked for again until that would have been given up.
pub(super) async fn remove_left(home: &Path) -> Result<(), Failure> {
    let home: PathBuf = home.to_owned();
    let looked = blocking(move || Ok(part::left(&home).map_err(anyhow::Error::from)?)).await?;
    let mut left: Vec<Left> = looked.into_iter().filter(|it| it.image().is_some()).collect();
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    while !left.is_empty() {
        let mut still = Vec::new();
        for one in left {
            if is_gone(&one).await {
                one.forget();
            } else {
                still.push(one);
            }
        }
        left = still;
        if begun.elapsed() > LONG_DEADLINE {
            break;
        }
        if !left.is_empty() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(())
}

/// Removes what a save left in its engine; whether nothing of it is there or will be.
async fn is_gone(left: &Left) -> bool {
    let Some(PassingImage { endpoint, name }) = left.image() else { return true };
    let removed = async {
        let candidate = connect::unix_endpoint("a save that was cut short", endpoint)?;
        // Not kept: no box is there, and nothing that happens there is of interest.
        let (_, connection) = connect::connect(vec![candidate], &|_| None).await?;
        let removed = remove_name(&connection, name).await;
        removed.map_err(|problem| problem.during(&format!("removing image {name}")))
    };
    match removed.await {
        Ok(Removed::Now) => {
            tracing::info!("removed image {name} of a save that was cut short");
            true
        }
        Ok(Removed::Missing) => left.age() > LONG_DEADLINE,
        Err(failure) => {
            tracing::debug!("what a save left stays: {failure}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_tag_and_not_at_a_port() {
        assert_eq!(split_name("mine"), Ok(("mine", "latest")));
        assert_eq!(split_name("reg:5000/mine/box:1.2"), Ok(("reg:5000/mine/box", "1.2")));
        assert_eq!(split_name("reg:5000/mine"), Ok(("reg:5000/mine", "latest")));
        for bad in ["", "a b", "a:", ":1", "a@sha256:00", "a:b\n"] {
            assert!(split_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_name_of_an_image_that_passes_is_one_that_engines_take() {
        let environment = EnvironmentId::from_random([7; 8]);
        let name = passing_name("0123456789abcdef", &environment, "aB3dE6gH9jK2mN5p");
        let (repository, tag) = split_name(&name).expect("a name");
        assert_eq!(repository, "agentdeck-saving-0123456789abcdef");
        assert!(repository.bytes().all(|byte| !byte.is_ascii_uppercase()) && tag.len() <= 128);
    }
}

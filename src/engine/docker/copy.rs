//! Images of boxes' systems, and those that forks start on.
//!
//! An image that is committed inherits its container's labels. By those a container made from it
//! by anyone would pass for ours, so they are emptied; our images have labels of their own.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ImageConfig, ImageInspect, ImageSummary,
};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use serde::{Deserialize, Serialize};

use super::connect::Connection;
use super::create::{blocking, report};
use super::flatten::flatten;
use super::lifecycle::{self, short};
use super::plan::{DECK_LABEL, ENVIRONMENT_LABEL, Image};
use super::problem::call;
use super::{CALL_DEADLINE, LONG_DEADLINE, image};
use crate::engine::{BoxPlan, BoxRecord, ProgressSink};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;

/// On our images: the deck and the environment they go with, and what they are.
const OF_DECK: &str = "agentdeck.image.deck";
const OF_ENVIRONMENT: &str = "agentdeck.image.environment";
/// Images that forks start on are named by their environments under this.
const FORKS: &str = "agentdeck/fork";
/// The kind of an image that is the user's.
pub(super) const SAVED: &str = "saved";
/// Where a fork's image is noted, in the environment's own directory.
const NOTE: &str = "layer/fork.json";
/// Most layers under a fork. Engines stack 127 at most, and each fork of a fork adds one.
const MAX_LAYERS: usize = 100;

/// The image a fork starts on, noted until its box is made and after.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The engine that has it.
    pub(super) endpoint: String,
    pub(super) image: String,
    /// The deck that made it.
    #[serde(default)]
    deck: String,
}

/// What was noted of the image that an environment starts on, if it is a fork.
pub(super) fn note(plan: &BoxPlan) -> Option<Note> {
    note_in(&plan.directory)
}

fn note_in(directory: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(directory.join(NOTE)).ok()?).ok()
}

/// The image that was noted.
pub(super) async fn noted(connection: &Connection, note: &Note) -> Result<Image, Failure> {
    let found = image::inspect(&connection.client, &note.image).await;
    found.map_err(|problem| {
        problem
            .during("looking for the image of the fork")
            .hint("it was removed from the engine; fork its origin again")
    })
}

/// Makes an image of a box for another environment to start on.
pub(super) async fn fork(
    connection: &Connection,
    from: &BoxRecord,
    plan: &BoxPlan,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    if note(plan).is_some() {
        let message = format!("environment {} has a layer already", plan.environment);
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    let found = existing(connection, from).await?;
    let parent = parent_of(connection, &found).await?;
    let stack = parent.as_ref().and_then(|parent| parent.root_fs.as_ref()?.layers.as_ref());
    let layers = stack.map_or(0, Vec::len);
    if layers >= MAX_LAYERS {
        let message = format!("the box has {layers} layers already, and another is one too many");
        return Err(Failure::new(FailureKind::Refused, message).hint(
            "write it as one file with agentdeck save --output, and start from that with --image",
        ));
    }
    report(progress, "copying the box");
    let target = Target {
        name: (FORKS, plan.environment.as_str()),
        kind: "fork",
        deck: &plan.deck,
        environment: &plan.environment,
    };
    let id = if let Some(parent) = parent {
        commit(connection, &found, parent.config.unwrap_or_default(), &target).await?
    } else {
        let name = flatten(connection, &found, &target, progress).await?;
        let made = image::inspect(&connection.client, &name).await;
        made.map_err(|problem| problem.during("looking at the copy of the box"))?.id
    };
    let deck = plan.deck.clone();
    let note = Note { endpoint: connection.candidate.endpoint(), image: id.clone(), deck };
    let place = plan.directory.join(NOTE);
    let written = blocking(move || {
        let json = serde_json::to_vec(&note).expect("a note has no failing parts");
        let directory = place.parent().expect("a note is in a directory");
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&place, json))
            .map_err(|error| unwritable(&place, &error))
    })
    .await;
    if written.is_err() {
        let ours = Ours { environment: &plan.environment, deck: &plan.deck, image: Some(&id) };
        remove_images(connection, &ours).await?;
    }
    written
}

pub(super) async fn existing(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<ContainerInspectResponse, Failure> {
    lifecycle::find(connection, record).await?.ok_or_else(|| lifecycle::gone(record))
}

/// The image that a container was made from, if the engine has it still.
pub(super) async fn parent_of(
    connection: &Connection,
    found: &ContainerInspectResponse,
) -> Result<Option<ImageInspect>, Failure> {
    let parent = found.image.clone().unwrap_or_default();
    match call(CALL_DEADLINE, connection.client.inspect_image(&parent)).await {
        Ok(parent) => Ok(Some(parent)),
        Err(problem) if problem.is_missing() => Ok(None),
        Err(problem) => Err(problem.during("looking at the box's image")),
    }
}

/// What is made of a container.
pub(super) struct Target<'a> {
    /// A name and its tag.
    pub(super) name: (&'a str, &'a str),
    pub(super) kind: &'a str,
    pub(super) deck: &'a str,
    pub(super) environment: &'a EnvironmentId,
}

/// What an image that is made of a container is labelled with.
pub(super) fn labels_of<'t>(target: &Target<'t>) -> [(&'static str, &'t str); 5] {
    // A saved image is the user's; nothing but its kind says where it came from.
    let (deck, environment) =
        if target.kind == SAVED { ("", "") } else { (target.deck, target.environment.as_str()) };
    [
        (DECK_LABEL, ""),
        (ENVIRONMENT_LABEL, ""),
        (image::IMAGE_LABEL, target.kind),
        (OF_DECK, deck),
        (OF_ENVIRONMENT, environment),
    ]
}

/// Commits a container under the configuration of the image it was made from: what starts the
/// box's shim is the container's, and nothing to pass on. The answer is the image's id.
pub(super) async fn commit(
    connection: &Connection,
    found: &ContainerInspectResponse,
    original: ImageConfig,
    target: &Target<'_>,
) -> Result<String, Failure> {
    let id = found.id.clone().unwrap_or_default();
    let (name, tag) = target.name;
    let options = CommitContainerOptionsBuilder::new()
        .container(&id)
        .repo(name)
        .tag(tag)
        // It stands still meanwhile, and the engine lets it go on whatever becomes of us.
        .pause(lifecycle::is_running(found) && !lifecycle::is_paused(found));
    let mut labels = original.labels.unwrap_or_default();
    for (label, value) in labels_of(target) {
        labels.insert(label.to_owned(), value.to_owned());
    }
    let config = ContainerConfig {
        // Empty, not missing: what is missing is taken from the container.
        entrypoint: Some(original.entrypoint.unwrap_or_default()),
        cmd: Some(original.cmd.unwrap_or_default()),
        user: original.user,
        working_dir: original.working_dir,
        env: original.env,
        healthcheck: original.healthcheck,
        volumes: original.volumes,
        exposed_ports: original.exposed_ports,
        stop_signal: original.stop_signal,
        on_build: original.on_build,
        shell: original.shell,
        labels: Some(labels),
        ..ContainerConfig::default()
    };
    let request = connection.patient.commit_container(options.build(), config);
    let made = call(LONG_DEADLINE, request).await;
    let made = made.map_err(|problem| {
        problem.during(&format!("making an image of container {}", short(&id)))
    })?;
    Ok(made.id)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be written: {error}", path.display());
    Failure::new(FailureKind::Unavailable, message)
}

/// What is known of the image that an environment starts on.
pub(super) struct Ours<'a> {
    pub(super) environment: &'a EnvironmentId,
    pub(super) deck: &'a str,
    /// The image that was noted.
    pub(super) image: Option<&'a str>,
}

impl Ours<'_> {
    /// By which name an image is removed; `None` for one that may be anybody's. Labels are
    /// inherited by images that others build on ours.
    fn name_of<'i>(&self, found: &'i ImageSummary) -> Option<&'i str> {
        let own = format!("{FORKS}:{}", self.environment);
        let mut tags = found.repo_tags.iter().filter(|tag| !tag.starts_with("<none>"));
        // A name that the user gave it too makes it the user's.
        let is_own = |tag: &String| tag.strip_prefix("localhost/").unwrap_or(tag) == own;
        if !tags.clone().all(is_own) {
            return None;
        }
        let recorded = self.image == Some(found.id.as_str());
        let of_deck = found.labels.get(OF_DECK).is_some_and(|deck| deck == self.deck);
        match tags.next_back() {
            Some(tag) => (recorded || of_deck).then_some(tag.as_str()),
            None => recorded.then_some(found.id.as_str()),
        }
    }
}

/// Removes the image that the environment of `record` started on, if it is a fork.
pub(super) async fn remove_image_of(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<(), Failure> {
    let Some(note) = record.run.parent().and_then(note_in) else { return Ok(()) };
    let environment = &record.environment;
    remove_images(connection, &Ours { environment, deck: &note.deck, image: Some(&note.image) })
        .await
}

/// The environments that a deck's images go with: one that was being made when its server ended is
/// there although no fork may be.
pub(super) async fn environments(
    connection: &Connection,
    deck: &str,
) -> Result<Vec<EnvironmentId>, Failure> {
    let images = labelled(connection, format!("{OF_DECK}={deck}")).await?;
    let named = images.iter().filter_map(|image| image.labels.get(OF_ENVIRONMENT));
    Ok(named.filter_map(|text| EnvironmentId::parse(text)).collect())
}

async fn labelled(connection: &Connection, label: String) -> Result<Vec<ImageSummary>, Failure> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let listed = call(CALL_DEADLINE, connection.client.list_images(Some(options))).await;
    listed.map_err(|problem| problem.during("listing images"))
}

/// Removes the images that go with an environment. Layers that another image is built on stay.
pub(super) async fn remove_images(connection: &Connection, ours: &Ours<'_>) -> Result<(), Failure> {
    for image in labelled(connection, format!("{OF_ENVIRONMENT}={}", ours.environment)).await? {
        if let Some(name) = ours.name_of(&image) {
            remove_image(connection, name).await?;
        }
    }
    Ok(())
}

async fn remove_image(connection: &Connection, name: &str) -> Result<(), Failure> {
    let options = RemoveImageOptionsBuilder::new().build();
    let removed = connection.client.remove_image(name, Some(options), None);
    match call(CALL_DEADLINE, removed).await {
        Ok(_) => Ok(()),
        // In use by another fork, which takes it along when it goes.
        Err(problem) if problem.is_missing() || problem.is_conflict() => Ok(()),
        Err(problem) => Err(problem.during(&format!("removing image {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_image_that_was_made_for_a_fork_is_removed() {
        let environment = EnvironmentId::from_random([7; 8]);
        let own = format!("{FORKS}:{environment}");
        let image = |tags: &[&str], deck: &str| ImageSummary {
            id: "sha256:1".to_owned(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            labels: HashMap::from([(OF_DECK.to_owned(), deck.to_owned())]),
            ..ImageSummary::default()
        };
        let ours = |image| Ours { environment: &environment, deck: "d", image };
        let (noted, lost) = (ours(Some("sha256:1")), ours(None));
        let podman = format!("localhost/{own}");
        for tag in [own.as_str(), podman.as_str()] {
            assert_eq!(noted.name_of(&image(&[tag], "d")), Some(tag));
            assert_eq!(lost.name_of(&image(&[tag], "d")), Some(tag));
        }
        assert_eq!(noted.name_of(&image(&[], "d")), Some("sha256:1"));
        assert_eq!(lost.name_of(&image(&[], "d")), None, "built by somebody on ours");
        assert_eq!(lost.name_of(&image(&[own.as_str()], "other")), None);
        assert_eq!(noted.name_of(&image(&[own.as_str(), "mine:1"], "d")), None);
        for foreign in ["agentdeck/fork-tools:1", "agentdeck/fork:other", "reg/agentdeck/fork:x"] {
            assert_eq!(noted.name_of(&image(&[foreign], "d")), None, "{foreign}");
        }
    }
}

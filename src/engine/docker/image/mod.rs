//! Images: the one a box is made from, and what it says about users.

mod archive;
mod build;
mod context;
mod credentials;
mod ignore;
mod load;
mod pull;
mod registry;
mod send;

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt;

use self::credentials::Known;
use self::registry::Registry;
use super::accounts::{self, Accounts, MAX_ARCHIVE};
use super::connect::Connection;
use super::plan::Image;
use super::problem::{Problem, call};
use super::{CALL_DEADLINE, LONG_DEADLINE};
use crate::engine::{BoxPlan, ProgressSink};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::ImageSource;

/// On images that were made here, and how. Its value says nothing about a container.
pub(super) const IMAGE_LABEL: &str = "agentdeck.image";
/// Shells in the order a person would like them.
const SHELLS: [&str; 3] = ["/bin/bash", "/usr/bin/bash", "/bin/sh"];

/// The image a box is made from, present, pulled, loaded or built.
pub(super) async fn ensure(
    connection: &Connection,
    plan: &BoxPlan,
    progress: &ProgressSink,
) -> Result<Image, Failure> {
    match &plan.image {
        Some(ImageSource::Name(name)) if !name.is_empty() => {
            by_name(connection, name, progress).await
        }
        Some(ImageSource::Archive(path)) => load::load(connection, path, plan, progress).await,
        Some(ImageSource::Dockerfile(path)) => {
            build::build(connection, path, &plan.directory, progress).await
        }
        _ => Err(Failure::new(FailureKind::Invalid, "the docker engine needs an image")
            .hint("name one with --image, as in --image debian:12")),
    }
}

async fn by_name(
    connection: &Connection,
    name: &str,
    progress: &ProgressSink,
) -> Result<Image, Failure> {
    if let Some(image) = find(connection, name).await? {
        return Ok(image);
    }
    let registry = Registry::of(name);
    let known = credentials::of(&registry, &|name| std::env::var(name).ok()).await;
    let (credentials, unusable) = match known {
        Known::Nothing => (None, None),
        Known::Credentials(found) => (Some(*found), None),
        // The image may be anybody's to pull.
        Known::Unusable(why) => (None, Some(why)),
    };
    let given = credentials.is_some();
    let pulling = pull::pull(connection, name, credentials, progress);
    let pulled = tokio::time::timeout(LONG_DEADLINE, pulling).await;
    pulled.unwrap_or(Err(Problem::Deadline(LONG_DEADLINE))).map_err(|problem| {
        let mut failure =
            problem.during(&format!("image {name} is not on this engine and pulling it failed"));
        failure.kind = FailureKind::Unavailable;
        let hint = match unusable {
            Some(why) => format!("credentials for {registry} were not found: {why}"),
            None if is_refusal(&problem) && given => {
                format!("{registry} does not take the credentials that docker has for it")
            }
            None if is_refusal(&problem) => {
                format!("check the name, or docker login {registry} as the user of the server")
            }
            None => {
                "check the name and the network, or pull, build or load it by hand under that name"
                    .to_owned()
            }
        };
        failure.hint(hint)
    })?;
    find(connection, name).await?.ok_or_else(|| {
        let message = format!("image {name} was pulled and is not there");
        Failure::new(FailureKind::Unavailable, message).hint("see docker image ls")
    })
}

/// Whether a registry wants to know who asks; engines pass its words on with codes of their own.
fn is_refusal(problem: &Problem) -> bool {
    let Problem::Answer { status, message } = problem else { return false };
    let said = ["unauthorized", "authentication", "basic auth", "denied"];
    [401, 403].contains(status) || said.iter().any(|word| message.contains(word))
}

/// The image of this name, if the engine has it.
async fn find(connection: &Connection, name: &str) -> Result<Option<Image>, Failure> {
    match inspect(&connection.client, name).await {
        Ok(image) => Ok(Some(image)),
        Err(problem) if problem.is_missing() => Ok(None),
        Err(problem) => Err(problem.during(&format!("looking for image {name}"))),
    }
}

/// Looks an image up by name or id.
pub(super) async fn inspect(client: &bollard::Docker, name: &str) -> Result<Image, Problem> {
    let found = call(CALL_DEADLINE, client.inspect_image(name)).await?;
    let id = found.id.unwrap_or_default();
    let environment = found.config.and_then(|config| config.env).unwrap_or_default();
    Ok(Image { id, environment })
}

/// Reads the accounts of the image out of a container made from it that has not been started.
pub(super) async fn accounts(
    client: &bollard::Docker,
    container: &str,
) -> Result<Accounts, Problem> {
    let passwd = read(client, container, "/etc/passwd").await?.unwrap_or_default();
    let group = read(client, container, "/etc/group").await?.unwrap_or_default();
    let mut shell = SHELLS[SHELLS.len() - 1];
    for candidate in SHELLS {
        if has(client, container, candidate).await? {
            shell = candidate;
            break;
        }
    }
    Ok(Accounts { passwd, group, shell: shell.to_owned() })
}

/// Whether a container has something at a path.
async fn has(client: &bollard::Docker, container: &str, path: &str) -> Result<bool, Problem> {
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    let asked = client.get_container_archive_info(container, Some(options));
    match call(CALL_DEADLINE, asked).await {
        Ok(_) => Ok(true),
        Err(problem) if problem.is_missing() => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// A small text file of a container; `None` when it has none there, or none that is small and
/// regular.
async fn read(
    client: &bollard::Docker,
    container: &str,
    path: &str,
) -> Result<Option<String>, Problem> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut chunks = std::pin::pin!(client.download_from_container(container, Some(options)));
    let mut archive = Vec::new();
    let whole = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if archive.len() + chunk.len() > MAX_ARCHIVE {
                break;
            }
            archive.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match call(CALL_DEADLINE, whole).await {
        Ok(()) => Ok(accounts::only_file(&archive)),
        Err(problem) if problem.is_missing() => Ok(None),
        Err(problem) => Err(problem),
    }
}

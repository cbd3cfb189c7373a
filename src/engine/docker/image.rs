//! Images: the one a box is made from, present or pulled, and what it says about users.

use std::time::Duration;

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder,
    DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::CALL_DEADLINE;
use super::accounts::{self, Accounts, MAX_ARCHIVE};
use super::plan::Image;
use super::problem::{Problem, brief, call};
use crate::engine::{Progress, ProgressSink};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::ImageSource;

/// A pull that reports nothing for this long has stalled; engines report several times a second.
const PULL_SILENCE: Duration = Duration::from_mins(2);
/// The longest pull: several gigabytes over a slow line.
const PULL_DEADLINE: Duration = Duration::from_hours(1);
/// Shells in the order a person would like them.
const SHELLS: [&str; 3] = ["/bin/bash", "/usr/bin/bash", "/bin/sh"];

/// Finds the image by the name the user gave, pulling it when the engine does not have it.
pub(super) async fn ensure(
    client: &bollard::Docker,
    source: Option<&ImageSource>,
    progress: &ProgressSink,
) -> Result<Image, Failure> {
    let Some(ImageSource::Name(name)) = source else {
        let message = "the docker engine needs an image by name";
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("name one with --image, as in --image debian:12"));
    };
    match inspect(client, name).await {
        Err(problem) if problem.is_missing() => {}
        Err(problem) => return Err(problem.during(&format!("looking for image {name}"))),
        Ok(image) => return Ok(image),
    }
    let pulled = tokio::time::timeout(PULL_DEADLINE, pull(client, name, progress)).await;
    pulled.unwrap_or(Err(Problem::Deadline(PULL_DEADLINE))).map_err(|problem| {
        let mut failure =
            problem.during(&format!("image {name} is not on this engine and pulling it failed"));
        failure.kind = FailureKind::Unavailable;
        failure.hint("check the name and the network, or docker pull it by hand")
    })?;
    let found = inspect(client, name).await;
    found.map_err(|problem| problem.during(&format!("looking for the pulled image {name}")))
}

/// Looks an image up by name or id.
pub(super) async fn inspect(client: &bollard::Docker, name: &str) -> Result<Image, Problem> {
    let found = call(CALL_DEADLINE, client.inspect_image(name)).await?;
    let id = found.id.unwrap_or_default();
    let environment = found.config.and_then(|config| config.env).unwrap_or_default();
    Ok(Image { id, environment })
}

async fn pull(
    client: &bollard::Docker,
    name: &str,
    progress: &ProgressSink,
) -> Result<(), Problem> {
    let options = CreateImageOptionsBuilder::new().from_image(&with_tag(name)).build();
    let mut reports = std::pin::pin!(client.create_image(Some(options), None, None));
    loop {
        let next = tokio::time::timeout(PULL_SILENCE, reports.next()).await;
        let report = match next.map_err(|_| Problem::Deadline(PULL_SILENCE))? {
            None => return Ok(()),
            Some(report) => report?,
        };
        if let Some(error) = report.error_detail.and_then(|detail| detail.message) {
            return Err(Problem::Answer { status: 500, message: brief(&error) });
        }
        let detail = report.progress_detail.unwrap_or_default();
        let count = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let status = brief(&report.status.unwrap_or_default());
        // A full channel means that the user sees a later report instead.
        let _ = progress.try_send(Progress {
            step: format!("pulling {name}: {status}"),
            done: count(detail.current),
            total: count(detail.total),
        });
    }
}

/// The name with `:latest` where it has neither tag nor digest: without one, every tag is pulled.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || last.contains('@') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
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
        let options = ContainerArchiveInfoOptionsBuilder::new().path(candidate).build();
        let asked = client.get_container_archive_info(container, Some(options));
        match call(CALL_DEADLINE, asked).await {
            Ok(_) => {
                shell = candidate;
                break;
            }
            Err(problem) if problem.is_missing() => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(Accounts { passwd, group, shell: shell.to_owned() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_tag_means_latest_and_not_every_tag() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("reg:5000/a/b"), "reg:5000/a/b:latest");
        assert_eq!(with_tag("reg:5000/a/b:1"), "reg:5000/a/b:1");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
    }
}

//! Fetching an image from its registry, with how far that is.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use crate::engine::docker::connect::Connection;
use crate::engine::docker::problem::{Problem, brief};
use crate::engine::{Progress, ProgressSink};

/// A pull that reports nothing for this long has stalled; engines report several times a second.
const SILENCE: Duration = Duration::from_mins(2);
/// Most layers that are counted; engines store at most 127 of an image.
const MAX_LAYERS: usize = 256;

/// Pulls an image. An engine keeps the layers of a pull that failed for a while, and nothing else
/// of it.
pub(super) async fn pull(
    connection: &Connection,
    name: &str,
    credentials: Option<DockerCredentials>,
    progress: &ProgressSink,
) -> Result<(), Problem> {
    let options = CreateImageOptionsBuilder::new().from_image(&with_tag(name)).build();
    let creating = connection.patient.create_image(Some(options), None, credentials);
    let mut reports = std::pin::pin!(creating);
    let mut layers = Layers::default();
    loop {
        let next = tokio::time::timeout(SILENCE, reports.next()).await;
        let report = match next.map_err(|_| Problem::Deadline(SILENCE))? {
            None => return Ok(()),
            Some(report) => report?,
        };
        let status = layers.take(report);
        let (done, total) = layers.bytes();
        let step = format!("pulling {name}: {status}");
        // A full channel means that the user sees a later report instead.
        let _ = progress.try_send(Progress { step, done, total });
    }
}

/// How much of each layer has come.
#[derive(Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    /// Counts a report, and says for people what it was about.
    fn take(&mut self, report: CreateImageInfo) -> String {
        let status = brief(&report.status.unwrap_or_default());
        let detail = report.progress_detail.unwrap_or_default();
        let count = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let (current, total) = (count(detail.current), count(detail.total));
        let Some(layer) = report.id else { return status };
        let room = self.0.len() < MAX_LAYERS || self.0.contains_key(&layer);
        if status == "Downloading" && total > 0 && room {
            self.0.insert(layer, (current.min(total), total));
        } else if let Some((done, total)) = self.0.get_mut(&layer) {
            // Whatever follows the download means that it has all come.
            *done = *total;
        }
        let whole = self.0.values().filter(|(done, total)| done == total).count();
        match self.0.len() {
            0 => status,
            count => format!("{whole} of {count} layers"),
        }
    }

    fn bytes(&self) -> (u64, u64) {
        let add = |sum: (u64, u64), one: &(u64, u64)| {
            (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1))
        };
        self.0.values().fold((0, 0), add)
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

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_name_without_tag_means_latest_and_not_every_tag() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("reg:5000/a/b"), "reg:5000/a/b:latest");
        assert_eq!(with_tag("reg:5000/a/b:1"), "reg:5000/a/b:1");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
    }

    #[test]
    fn the_layers_of_a_pull_add_up() {
        let mut layers = Layers::default();
        let mut take = |id: Option<&str>, status: &str, current, total| {
            let said = layers.take(CreateImageInfo {
                id: id.map(str::to_owned),
                status: Some(status.to_owned()),
                progress_detail: Some(ProgressDetail { current, total }),
                error_detail: None,
            });
            (said, layers.bytes())
        };
        let said = take(None, "Pulling from library/x", None, None);
        assert_eq!(said, ("Pulling from library/x".to_owned(), (0, 0)));
        take(Some("a"), "Downloading", Some(10), Some(100));
        let said = take(Some("b"), "Downloading", Some(500), Some(50));
        assert_eq!(said, ("1 of 2 layers".to_owned(), (60, 150)));
        let said = take(Some("a"), "Extracting", Some(1), Some(100));
        assert_eq!(said, ("2 of 2 layers".to_owned(), (150, 150)));
        assert_eq!(take(Some("c"), "Downloading", Some(-5), Some(-1)).1, (150, 150));
    }
}

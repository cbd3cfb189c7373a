//! An image built by a Dockerfile, with the last line of the build in view.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::body_try_stream;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt;

use super::context::{self, Context};
use super::{IMAGE_LABEL, find, send};
use crate::engine::docker::LONG_DEADLINE;
use crate::engine::docker::connect::Connection;
use crate::engine::docker::create::{blocking, report};
use crate::engine::docker::plan::Image;
use crate::engine::docker::problem::{Problem, brief};
use crate::engine::{Progress, ProgressSink};
use crate::model::failure::{Failure, FailureKind};

/// Images that were built are named by their context under this.
const REPOSITORY: &str = "agentdeck/build";
/// A step that prints nothing for this long has stalled; compilers and linkers can be very quiet.
const SILENCE: Duration = Duration::from_mins(20);
/// Lines of a build that failed which are told; the cause is in the last few.
const LAST_LINES: usize = 3;

/// The image by a Dockerfile, built unless the same files were built before.
pub(super) async fn build(
    connection: &Connection,
    dockerfile: &Path,
    scratch: &Path,
    progress: &ProgressSink,
) -> Result<Image, Failure> {
    report(progress, "reading the build's context");
    let (path, scratch) = (dockerfile.to_owned(), scratch.to_owned());
    let context = blocking(move || context::pack(&path, &scratch)).await?;
    let name = format!("{REPOSITORY}:{}", context.tag);
    if let Some(image) = find(connection, &name).await? {
        return Ok(image);
    }
    let mut log = Log::default();
    let running = run(connection, context, &name, &mut log, progress);
    let ran = tokio::time::timeout(LONG_DEADLINE, running).await;
    ran.unwrap_or(Err(Problem::Deadline(LONG_DEADLINE)))
        .map_err(|problem| log.failure(dockerfile, &problem))?;
    find(connection, &name).await?.ok_or_else(|| {
        let message = format!("the build by {} gave no image", dockerfile.display());
        Failure::new(FailureKind::Unavailable, message).hint("see docker image ls")
    })
}

async fn run(
    connection: &Connection,
    context: Context,
    name: &str,
    log: &mut Log,
    progress: &ProgressSink,
) -> Result<(), Problem> {
    let labels = HashMap::from([(IMAGE_LABEL, "build")]);
    let options = BuildImageOptionsBuilder::new()
        .dockerfile(&context.dockerfile)
        .t(name)
        .labels(&labels)
        // Containers of steps go, also those of a step that failed.
        .rm(true)
        .forcerm(true)
        .build();
    let step = "sending the build's context".to_owned();
    let pieces = send::pieces(context.file, context.length, step, progress);
    let body = Some(body_try_stream(pieces));
    let mut reports = std::pin::pin!(connection.patient.build_image(options, None, body));
    loop {
        let next = tokio::time::timeout(SILENCE, reports.next()).await;
        match next.map_err(|_| Problem::Deadline(SILENCE))? {
            None => return Ok(()),
            Some(report) => log.take(report?),
        }
        // A full channel means that the user sees a later report instead.
        let _ = progress.try_send(log.progress());
    }
}

/// What a build said last.
#[derive(Debug, Default)]
struct Log {
    step: String,
    done: u64,
    total: u64,
    /// At most `LAST_LINES`, of the present step.
    lines: Vec<String>,
}

impl Log {
    fn take(&mut self, report: BuildInfo) {
        let text = report.stream.or(report.status).unwrap_or_default();
        // A line that was drawn over several times counts as it stood in the end.
        let lines = text.lines().map(|line| line.rsplit('\r').next().unwrap_or(line));
        for line in lines.map(brief).filter(|line| !line.is_empty()) {
            if let Some((done, total, step)) = step(&line) {
                (self.done, self.total, self.step) = (done, total, step.to_owned());
                self.lines.clear();
            } else {
                if self.lines.len() == LAST_LINES {
                    self.lines.remove(0);
                }
                self.lines.push(line);
            }
        }
    }

    fn progress(&self) -> Progress {
        let line = self.lines.last().map(|line| format!(" · {line}")).unwrap_or_default();
        let step = format!("building: {}{line}", self.step);
        // The step that runs is not done yet.
        Progress { step, done: self.done.saturating_sub(1), total: self.total }
    }

    fn failure(&self, dockerfile: &Path, problem: &Problem) -> Failure {
        let place = dockerfile.display();
        let at = if self.step.is_empty() {
            String::new()
        } else {
            format!(" at step {} of {}, {}", self.done, self.total, self.step)
        };
        let mut message = format!("building by {place} failed{at}: {problem}");
        if !self.lines.is_empty() {
            message.push_str(&format!("; it printed: {}", self.lines.join(" / ")));
        }
        Failure::new(FailureKind::Unavailable, message)
            .hint(format!("see all of it with: docker build -f {place} ."))
    }
}

/// `Step 3/7 : RUN make`, as the classic builder has it, and Podman's `STEP 3/7: RUN make`.
fn step(line: &str) -> Option<(u64, u64, &str)> {
    let rest = line.strip_prefix("Step ").or_else(|| line.strip_prefix("STEP "))?;
    let (count, step) = rest.split_once(':')?;
    let (done, total) = count.trim().split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?, step.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> BuildInfo {
        BuildInfo { stream: Some(text.to_owned()), ..BuildInfo::default() }
    }

    #[test]
    fn the_last_line_of_a_build_is_shown_with_its_step() {
        let mut log = Log::default();
        log.take(said("Step 2/4 : RUN make\n"));
        log.take(said(" ---> Running in 0123\n"));
        log.take(said("one\ntwo 10%\rtwo \x1b[1m100%\n"));
        let step = "building: RUN make · two  [1m100%".to_owned();
        assert_eq!(log.progress(), Progress { step, done: 1, total: 4 });
        log.take(said("STEP 3/4: COPY a b\n"));
        let step = "building: COPY a b".to_owned();
        assert_eq!(log.progress(), Progress { step, done: 2, total: 4 });
    }

    #[test]
    fn a_build_that_fails_says_where_and_what_it_printed() {
        let mut log = Log::default();
        log.take(said("Step 1/1 : RUN false\n"));
        (0..9).for_each(|number| log.take(said(&format!("line {number}\n"))));
        let problem = Problem::Answer { status: 500, message: "code: 1".to_owned() };
        let failure = log.failure(Path::new("/x/Dockerfile"), &problem);
        assert!(failure.message.contains("step 1 of 1, RUN false"), "{failure:?}");
        assert!(failure.message.ends_with("line 6 / line 7 / line 8"), "{failure:?}");
    }
}

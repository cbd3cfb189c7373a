//! What goes wrong between us and a Docker Engine, and how a user is told.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::model::failure::{Failure, FailureKind};

/// Longest part of an engine's own words that is passed on; the engine is not trusted to be brief.
const MAX_MESSAGE: usize = 600;

/// An engine's refusal, or its silence.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the engine answered {status}: {message}")]
    Answer { status: u16, message: String },
    #[error("the engine's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("the engine cannot be reached: {0}")]
    Unreachable(String),
    #[error("the engine did not answer in {} s", .0.as_secs())]
    Deadline(Duration),
}

impl Problem {
    /// The thing asked about does not exist.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Answer { status: 404, .. })
    }

    /// The engine is busy with the same thing, or it is done already.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Answer { status: 409, .. })
    }

    /// Its runtime still has a container's processes of an earlier start: containerd says so of a
    /// task and of a container, and the engine only passes its words on.
    pub(super) fn is_left_over(&self) -> bool {
        let Self::Answer { message, .. } = self else { return false };
        message.contains("id already in use")
            || (message.contains("task ") && message.contains(": already exists"))
    }

    /// A failure for people; `what` is what was being done, as in "starting container 12ab".
    pub(super) fn during(&self, what: &str) -> Failure {
        match self {
            Self::Answer { status, .. } => {
                let kind = match status {
                    400 | 422 => FailureKind::Invalid,
                    404 => FailureKind::NotFound,
                    409 => FailureKind::AlreadyExists,
                    _ => FailureKind::Unavailable,
                };
                Failure::new(kind, format!("{what}: {self}"))
            }
            Self::Nonsense(_) => Failure::new(FailureKind::Unavailable, format!("{what}: {self}"))
                .hint("check that what listens on its socket is a Docker Engine: docker version"),
            Self::Unreachable(_) => {
                Failure::new(FailureKind::Unavailable, format!("{what}: {self}"))
                    .hint("check that the Docker Engine runs: docker version")
            }
            Self::Deadline(_) => Failure::new(FailureKind::Timeout, format!("{what}: {self}"))
                .hint("look at the engine's own log, and try again"),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Answer { status: status_code, message: brief(&message) }
            }
            Error::DockerStreamError { error } => {
                Self::Answer { status: 500, message: brief(&error) }
            }
            Error::JsonDataError { message, .. } => Self::Nonsense(brief(&message)),
            Error::JsonSerdeError { err } => Self::Nonsense(brief(&err.to_string())),
            Error::RequestTimeoutError => Self::Deadline(super::CALL_DEADLINE),
            other => Self::Unreachable(brief(&chain(&other))),
        }
    }
}

/// Runs one call to the engine, for at most `deadline`.
pub(super) async fn call<T>(
    deadline: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map_err(Problem::from),
        Err(_) => Err(Problem::Deadline(deadline)),
    }
}

/// An error with all its causes in one line; a client error alone says only "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

/// One printable line of bounded length out of whatever an engine said.
pub(super) fn brief(text: &str) -> String {
    let line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_has_of_an_earlier_start_is_told_from_other_refusals() {
        let answer = |message: &str| Problem::Answer { status: 500, message: message.to_owned() };
        assert!(answer("task 85bf5c1aa444: already exists").is_left_over());
        assert!(answer("id already in use").is_left_over());
        for other in ["network agent already exists", "no such file", ""] {
            assert!(!answer(other).is_left_over(), "{other}");
        }
        assert!(!Problem::Deadline(Duration::from_secs(1)).is_left_over());
    }

    #[test]
    fn an_engines_words_are_cut_and_made_printable() {
        let hostile = format!("no\x1b[2J such\nthing{}", "x".repeat(10_000));
        let problem =
            Problem::from(Error::DockerResponseServerError { status_code: 404, message: hostile });
        assert!(problem.is_missing());
        let failure = problem.during("looking for an image");
        assert_eq!(failure.kind, FailureKind::NotFound);
        assert!(failure.message.len() < 1_000);
        assert!(failure.message.chars().all(|c| !c.is_control()), "{failure:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_engine_is_given_up_at_the_deadline() {
        let silent = std::future::pending::<Result<(), Error>>();
        let problem = call(Duration::from_secs(3), silent).await.expect_err("given up");
        assert_eq!(problem.during("asking").kind, FailureKind::Timeout);
    }
}

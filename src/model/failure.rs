//! What a user is told when something cannot be done.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::RepoPath;

/// Why a request was not carried out, in the classes a script branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request itself is wrong: a name, a flag, a combination.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// The thing named exists already.
    AlreadyExists,
    /// Uncommitted or later work would be overwritten; nothing was changed.
    WouldOverwrite,
    /// A merge has conflicts; nothing was changed.
    Conflict,
    /// Refused for safety: ownership, isolation, policy.
    Refused,
    /// An engine, a server or a disk cannot serve the request now.
    Unavailable,
    /// The server that runs is of an earlier version than this program.
    OlderServer,
    /// The server that runs is of a later version than this program.
    NewerServer,
    /// A deadline passed.
    Timeout,
    /// A defect of ours.
    Internal,
}

/// A failure for people: the message names the thing, the hint says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    #[serde(default)]
    pub hint: Option<String>,
    /// The paths concerned, where the failure is about paths.
    #[serde(default)]
    pub paths: Vec<RepoPath>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, paths: Vec::new() }
    }

    /// Wraps an error of ours or of the system, with every cause in one line.
    pub fn internal(error: &anyhow::Error) -> Self {
        Self::new(FailureKind::Internal, format!("{error:#}"))
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn paths(mut self, paths: Vec<RepoPath>) -> Self {
        self.paths = paths;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for path in &self.paths {
            write!(f, "\n  {path}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Self::internal(&error),
        }
    }
}

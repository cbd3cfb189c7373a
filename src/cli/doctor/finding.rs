//! One line of the doctor's: what was looked at, how it stands, and what to do.

use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Ok,
    /// It works, and there is something to know or to better.
    Attention,
    /// Something will not work.
    Problem,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Attention => "attention",
            Self::Problem => "problem",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) area: &'static str,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// A command or a setting.
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn new(area: &'static str, name: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { area, name: name.to_owned(), verdict, found: found.into(), remedy: None }
    }

    pub(super) fn ok(area: &'static str, name: &str, found: impl Into<String>) -> Self {
        Self::new(area, name, Verdict::Ok, found)
    }

    pub(super) fn attention(area: &'static str, name: &str, found: impl Into<String>) -> Self {
        Self::new(area, name, Verdict::Attention, found)
    }

    pub(super) fn problem(area: &'static str, name: &str, found: impl Into<String>) -> Self {
        Self::new(area, name, Verdict::Problem, found)
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

//! What came of an attack, and how it is told.

use serde::Serialize;

use super::attack::{Got, Try};
use crate::cli::output::{lines, table};
use crate::model::failure::Failure;

/// Words of evidence shown for one row.
const MAX_EVIDENCE: usize = 4;

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    pub attack: &'static str,
    pub meaning: &'static str,
    pub status: Status,
    /// What the control did, in a few words.
    pub control: String,
    /// What came through, or why it was not run.
    pub evidence: Vec<String>,
    /// Everything that was tried in boxes, and what it got.
    pub tried: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// The control fired and the box held.
    Held,
    NotHeld,
    /// It came through in a way that this kind of box is known for, for a reason that is told.
    KnownGap,
    /// The control cannot fire here, for a reason that is told, so that nothing is proven.
    NotApplicable,
    /// The control did not fire, although it should have.
    ControlFailed,
    /// The attack could not be carried out.
    NotRun,
}

impl Status {
    /// Whether it speaks against the box, or against this test.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::NotHeld | Self::ControlFailed | Self::NotRun)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "NOT HELD",
            Self::KnownGap => "known gap",
            Self::NotApplicable => "not applicable",
            Self::ControlFailed => "NO CONTROL",
            Self::NotRun => "NOT RUN",
        }
    }
}

/// What a control did.
pub(super) enum Control {
    Fired(String),
    /// The reason, for people.
    CannotHere(String),
    Silent(String),
}

/// When a control may stay silent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    /// Never: anyone can do it.
    Nothing,
    /// Where the user is not root.
    Root,
    /// Where the kernel or the machine has it turned off.
    Machine(&'static str),
}

impl Control {
    pub fn of(tries: &[Try], needs: Needs) -> Self {
        let reached = tries.iter().filter(|one| matches!(one.got, Got::Reached(_))).count();
        if reached > 0 {
            return Self::Fired(format!("{reached} of {}", tries.len()));
        }
        let words = tries.iter().map(words).take(MAX_EVIDENCE).collect::<Vec<_>>().join("; ");
        match needs {
            Needs::Root if !rustix::process::geteuid().is_root() => {
                Self::CannotHere("only root could do it without a box".to_owned())
            }
            Needs::Machine(what) => Self::CannotHere(format!("{what}: {words}")),
            _ => Self::Silent(words),
        }
    }
}

pub(super) fn words(one: &Try) -> String {
    let (Got::Reached(how) | Got::Refused(how) | Got::Absent(how)) = &one.got;
    format!("{}: {how}", one.what)
}

/// What of an attack came through.
pub(super) fn broken(tries: &[Try]) -> Vec<String> {
    tries.iter().filter(|one| matches!(one.got, Got::Reached(_))).map(words).collect()
}

/// What an attack in the box showed: nothing, or what came through.
pub(super) type Shown = Result<Vec<String>, Failure>;

impl Verdict {
    pub fn new(
        attack: &'static str,
        meaning: &'static str,
        control: Control,
        shown: Shown,
    ) -> Self {
        let (status, evidence) = match (&control, shown) {
            (_, Err(failure)) => (Status::NotRun, vec![failure.to_string()]),
            (_, Ok(broken)) if !broken.is_empty() => (Status::NotHeld, broken),
            (Control::Fired(_), Ok(_)) => (Status::Held, Vec::new()),
            (Control::CannotHere(_), Ok(_)) => (Status::NotApplicable, Vec::new()),
            (Control::Silent(_), Ok(_)) => (Status::ControlFailed, Vec::new()),
        };
        let control = match control {
            Control::Fired(words) | Control::CannotHere(words) | Control::Silent(words) => words,
        };
        Self { attack, meaning, status, control, evidence, tried: Vec::new() }
    }

    pub fn not_run(attack: &'static str, meaning: &'static str, failure: &Failure) -> Self {
        let evidence = vec![failure.to_string()];
        let control = "–".to_owned();
        Self { attack, meaning, status: Status::NotRun, control, evidence, tried: Vec::new() }
    }
}

/// The table, and below it what needs more words.
pub(super) fn describe(verdicts: &[Verdict]) -> String {
    let row = |verdict: &Verdict| {
        let fired = match verdict.status {
            Status::Held => verdict.control.clone(),
            Status::NotHeld | Status::KnownGap if !verdict.control.is_empty() => {
                verdict.control.clone()
            }
            _ => "–".to_owned(),
        };
        let words = [verdict.attack, fired.as_str(), verdict.status.word(), verdict.meaning];
        words.iter().map(|word| lines(word)).collect()
    };
    let rows: Vec<Vec<String>> = verdicts.iter().map(row).collect();
    let mut text = table(&["ATTACK", "CONTROL FIRED", "HELD", "WHAT IT TRIES"], &rows);
    for verdict in verdicts.iter().filter(|verdict| verdict.status != Status::Held) {
        let reasons: Vec<&String> = if verdict.evidence.is_empty() {
            vec![&verdict.control]
        } else {
            verdict.evidence.iter().take(MAX_EVIDENCE).collect()
        };
        for reason in reasons {
            let word = verdict.status.word();
            text.push_str(&format!("\n{}, {word}: {}", verdict.attack, lines(reason)));
        }
        let more = verdict.evidence.len().saturating_sub(MAX_EVIDENCE);
        if more > 0 {
            text.push_str(&format!("\n{}: and {more} more", verdict.attack));
        }
    }
    if verdicts.iter().any(|verdict| verdict.status != Status::Held) {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(got: Got) -> Vec<Try> {
        vec![Try { what: "a".to_owned(), got }]
    }

    fn status(control: &[Try], needs: Needs, shown: Shown) -> Status {
        Verdict::new("x", "y", Control::of(control, needs), shown).status
    }

    #[test]
    fn only_what_fires_without_a_box_can_be_held_by_one() {
        let reached = tried(Got::Reached("yes".to_owned()));
        let refused = tried(Got::Refused("no".to_owned()));
        let machine = Needs::Machine("off here");
        assert_eq!(status(&reached, Needs::Nothing, Ok(Vec::new())), Status::Held);
        assert_eq!(status(&refused, Needs::Nothing, Ok(Vec::new())), Status::ControlFailed);
        assert_eq!(status(&refused, machine, Ok(Vec::new())), Status::NotApplicable);
        assert_eq!(status(&refused, machine, Ok(broken(&reached))), Status::NotHeld);
        let failure = Failure::new(crate::model::failure::FailureKind::Timeout, "late");
        assert_eq!(status(&reached, Needs::Nothing, Err(failure)), Status::NotRun);
    }

    #[test]
    fn what_is_not_held_is_explained_below_the_table() {
        let held = Verdict::new("one", "first", Control::Fired("2 of 2".into()), Ok(Vec::new()));
        let not = Control::CannotHere("only root".into());
        let not = Verdict::new("other", "second", not, Ok(Vec::new()));
        assert_eq!(
            describe(&[held, not]),
            "ATTACK  CONTROL FIRED  HELD            WHAT IT TRIES\n\
             one     2 of 2         held            first\n\
             other   –              not applicable  second\n\
             \nother, not applicable: only root\n"
        );
    }
}

//! How an agent's start begins: with its task, with its conversation, or with neither.

use super::super::shared::{Shared, blocking};
use super::super::state::{Matter, Record, Report};
use super::evidence;
use crate::model::failure::Failure;
use crate::model::profile::AgentProfile;

/// What is known of an agent that is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    conversation: Conversation,
    started: bool,
    worked: bool,
}

/// What there is of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversation {
    Missing,
    /// It is about files that are not those of now.
    Elsewhere,
    There,
}

/// How an agent is started.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beginning {
    command: Vec<String>,
    resumed: bool,
    /// What a person has to know of it.
    note: Option<String>,
}

/// Finds out how the agent is started now, has clients know, and returns its command.
pub(super) async fn command(
    shared: &Shared,
    record: &Record,
    profile: &AgentProfile,
) -> Result<Vec<String>, Failure> {
    let id = &record.environment.id;
    let known = Known {
        conversation: conversation(shared, record, profile).await?,
        started: record.agent_started,
        // The first snapshot is the base.
        worked: record.agent_worked || record.environment.snapshots > 1,
    };
    let task = record.environment.task.as_deref();
    let Beginning { command, resumed, note } = if record.anew {
        Beginning { command: profile.begun_with(None), resumed: false, note: None }
    } else {
        beginning(profile, task, known)
    };
    if command != record.environment.command || resumed != record.environment.resumed {
        shared.report(id, Report::AgentBegins { command: command.clone(), resumed }).await;
    }
    if record.standing.get(&Matter::Conversation) != note.as_ref() {
        shared.report(id, Report::Matter { matter: Matter::Conversation, note }).await;
    }
    Ok(command)
}

async fn conversation(
    shared: &Shared,
    record: &Record,
    profile: &AgentProfile,
) -> Result<Conversation, Failure> {
    let Some(pattern) = profile.evidence.clone() else {
        let goes_on = record.agent_started && !profile.resume.is_empty();
        return Ok(if goes_on { Conversation::There } else { Conversation::Missing });
    };
    let home = shared.layout.environment(&record.environment.id).agent_home();
    let newest = blocking(move || Ok(evidence::newest(&home, &pattern))).await?;
    let from_older = record.fork.as_ref().is_some_and(|fork| fork.snapshot.is_some());
    Ok(match newest {
        None => Conversation::Missing,
        // It came with the copy, and is ahead of the files of an older snapshot.
        Some(newest) if from_older && newest <= record.environment.created => {
            Conversation::Elsewhere
        }
        Some(_) => Conversation::There,
    })
}

/// A task is given until it was begun: given twice, it would be done twice.
fn beginning(profile: &AgentProfile, task: Option<&str>, known: Known) -> Beginning {
    if known.conversation == Conversation::There && !profile.resume.is_empty() {
        return Beginning { command: profile.resumed(), resumed: true, note: None };
    }
    // Without evidence to look for, nothing tells of an agent that began and was not seen at it.
    let seen = known.worked || known.conversation != Conversation::Missing;
    let begun = known.started && (seen || profile.evidence.is_none());
    let (task, note) = match (begun, task) {
        (false, task) => (task, None),
        (true, Some(_)) => (
            None,
            Some(
                "its agent was started without its task, which it had begun before, and has no \
                 conversation to go on with: tell it what is left to do",
            ),
        ),
        (true, None) if profile.resume.is_empty() => (None, None),
        (true, None) => {
            (None, Some("its agent began a new conversation: none was found to go on with"))
        }
    };
    let note = note.map(str::to_owned);
    Beginning { command: profile.begun_with(task), resumed: false, note }
}

#[cfg(test)]
mod tests {
    use super::Conversation::{Elsewhere, Missing, There};
    use super::*;

    const TASK: Option<&str> = Some("mend the till");

    fn profile() -> AgentProfile {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        AgentProfile {
            task: words(&["--", "{task}"]),
            resume: words(&["--continue"]),
            evidence: Some(".tool/*".to_owned()),
            ..AgentProfile::bare("tool")
        }
    }

    fn known(conversation: Conversation, started: bool, worked: bool) -> Known {
        Known { conversation, started, worked }
    }

    /// The command, and whether a person is told something.
    fn begin(profile: &AgentProfile, task: Option<&str>, known: Known) -> (String, bool) {
        let beginning = beginning(profile, task, known);
        assert_eq!(beginning.resumed, beginning.command.contains(&"--continue".to_owned()));
        (beginning.command.join(" "), beginning.note.is_some())
    }

    #[test]
    fn a_task_is_given_until_it_was_begun_and_never_twice() {
        let with_task = ("tool -- mend the till".to_owned(), false);
        assert_eq!(begin(&profile(), TASK, known(Missing, false, false)), with_task);
        assert_eq!(
            begin(&profile(), TASK, known(Missing, true, false)),
            with_task,
            "it died before"
        );
        let resumed = ("tool --continue".to_owned(), false);
        for (started, worked) in [(true, true), (true, false), (false, false)] {
            assert_eq!(begin(&profile(), TASK, known(There, started, worked)), resumed);
        }
        let told = ("tool".to_owned(), true);
        assert_eq!(begin(&profile(), TASK, known(Missing, true, true)), told);
        assert_eq!(begin(&profile(), TASK, known(Elsewhere, true, false)), told);
        let for_good = AgentProfile { resume: Vec::new(), ..profile() };
        assert_eq!(begin(&for_good, TASK, known(There, true, false)), told, "it cannot go on");
        let unknown = AgentProfile { evidence: None, ..profile() };
        assert_eq!(begin(&unknown, TASK, known(Missing, true, false)), told, "nobody knows");
    }

    #[test]
    fn what_has_no_conversations_is_started_as_it_was() {
        let shell = AgentProfile::bare("shell");
        for (started, worked) in [(false, false), (true, true)] {
            let plain = ("shell".to_owned(), false);
            assert_eq!(begin(&shell, None, known(Missing, started, worked)), plain);
        }
        let lost = begin(&profile(), None, known(Missing, true, true));
        assert_eq!(lost, ("tool".to_owned(), true), "one that worked had a conversation");
        let idle = begin(&profile(), None, known(Missing, true, false));
        assert_eq!(idle, ("tool".to_owned(), false));
    }
}

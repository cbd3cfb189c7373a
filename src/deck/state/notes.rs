//! What is told of an environment besides how it stands.

use serde::{Deserialize, Serialize};

use super::Record;

/// Notes kept of one environment; the oldest goes, so that no record grows for ever.
const LIMIT: usize = 16;

/// What a note is about that is so for a time: there is one of each, and it goes when it is so no
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matter {
    /// A snapshot could not be taken.
    Snapshot,
    /// Changes are not noticed.
    Watching,
    /// It could not be paused, or could not be resumed.
    Pausing,
    Network,
    /// The agent was not installed or not started.
    Agent,
    /// The agent does not go on with its conversation, or without its task.
    Conversation,
    /// What holds the box is not as it should be, or is not known.
    Isolation,
}

impl Matter {
    /// What is about a box and the programs in it, which a new one begins without.
    const OF_BOX: [Self; 4] = [Self::Pausing, Self::Network, Self::Agent, Self::Isolation];
}

/// Notes what happened.
pub(super) fn add(record: &mut Record, note: String) {
    let notes = &mut record.environment.notes;
    if notes.contains(&note) {
        return;
    }
    notes.push(note);
    while notes.len() > LIMIT {
        notes.remove(0);
    }
}

/// Notes how a matter stands, in the place of what was said of it before.
pub(super) fn settle(record: &mut Record, matter: Matter, note: Option<String>) {
    let said = record.standing.get(&matter);
    if said == note.as_ref() {
        return;
    }
    if let Some(said) = record.standing.remove(&matter)
        && !record.standing.values().any(|other| *other == said)
    {
        record.environment.notes.retain(|note| *note != said);
    }
    if let Some(note) = note {
        record.standing.insert(matter, note.clone());
        add(record, note);
    }
}

/// A box is made anew: what was said of the former is so no more.
pub(super) fn forget_box(record: &mut Record) {
    for matter in Matter::OF_BOX {
        settle(record, matter, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn a_matter_has_one_note_which_ends_with_it() {
        let mut record = record(1, "fox", "/shop");
        add(&mut record, "forked from owl".to_owned());
        for problem in ["no room", "a lock", "no room"] {
            settle(&mut record, Matter::Snapshot, Some(problem.to_owned()));
        }
        settle(&mut record, Matter::Watching, Some("not noticed".to_owned()));
        assert_eq!(record.environment.notes, ["forked from owl", "no room", "not noticed"]);
        settle(&mut record, Matter::Snapshot, None);
        assert_eq!(record.environment.notes, ["forked from owl", "not noticed"]);
        forget_box(&mut record);
        assert_eq!(record.environment.notes, ["forked from owl", "not noticed"]);
    }

    #[test]
    fn two_matters_that_say_the_same_end_each_by_itself() {
        let mut record = record(1, "fox", "/shop");
        for matter in [Matter::Agent, Matter::Network] {
            settle(&mut record, matter, Some("the same".to_owned()));
        }
        settle(&mut record, Matter::Agent, None);
        assert_eq!(record.environment.notes, ["the same"]);
        settle(&mut record, Matter::Network, None);
        assert!(record.environment.notes.is_empty());
    }

    #[test]
    fn notes_are_bounded_and_the_newest_stay() {
        let mut record = record(1, "fox", "/shop");
        (0..100).for_each(|number| add(&mut record, number.to_string()));
        assert_eq!(record.environment.notes.len(), LIMIT);
        assert_eq!(record.environment.notes.last().map(String::as_str), Some("99"));
    }
}

//! What people call snapshots: names they gave, and every other way to say which one is meant.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::queries::{head, with_store};
use super::shared::{Shared, blocking};
use super::state::Record;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::snapshot::{Snapshot, SnapshotCause};
use crate::repo::{self, Store};
use crate::store::{self, Places};

/// The longest name of a snapshot, in characters.
const MAX_LENGTH: usize = 60;
/// Fewer digits of an id are more likely meant as something else.
const MIN_DIGITS: usize = 4;
/// Names of one environment at most: they are read with every page of its history.
const MAX_MARKS: usize = 1_000;

/// Names by the snapshot that has them.
type Marks = BTreeMap<String, String>;

/// Names the snapshots that were given a name.
pub(super) fn label(places: &Places, snapshots: &mut [Snapshot]) -> anyhow::Result<()> {
    let marks = read(&places.marks())?;
    for snapshot in snapshots {
        snapshot.name = marks.get(snapshot.id.as_str()).cloned();
    }
    Ok(())
}

/// Gives a fork the names of its source.
pub(super) fn copy(from: &Places, to: &Places) -> anyhow::Result<()> {
    let marks = read(&from.marks())?;
    if marks.is_empty() { Ok(()) } else { store::write_json(&to.marks(), &marks) }
}

fn read(path: &Path) -> anyhow::Result<Marks> {
    Ok(store::read_json(path)?.unwrap_or_default())
}

/// Calls a snapshot `name`, or nothing any more.
pub(super) async fn mark(
    shared: &Arc<Shared>,
    record: &Record,
    snapshot: Option<&str>,
    name: Option<&str>,
) -> Result<Snapshot, Failure> {
    let name = name.map(check).transpose()?;
    let id = match snapshot {
        Some(text) => find(shared, record, text).await?.id,
        None => match shared.snapshotter(&record.environment.id) {
            Some(snapshotter) => snapshotter.now(SnapshotCause::Manual).await?,
            None => head(shared, record).await?,
        },
    };
    let task = shared.clone();
    let marked = with_store(shared, record.clone(), move |store, record| {
        let places = task.layout.environment(&record.environment.id);
        let held = task.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut marks = read(&places.marks())?;
        change(&mut marks, &id, name)?;
        store::write_json(&places.marks(), &marks)?;
        drop(held);
        let mut found = [repo::history::one(store, &id)?];
        label(&places, &mut found)?;
        let [found] = found;
        Ok(found)
    });
    let marked = marked.await?;
    shared.hub.snapshot_marked(&record.environment.id);
    Ok(marked)
}

fn change(marks: &mut Marks, id: &CommitId, name: Option<String>) -> Result<(), Failure> {
    let Some(name) = name else {
        marks.remove(id.as_str());
        return Ok(());
    };
    if let Some((other, _)) =
        marks.iter().find(|(other, known)| **known == name && *other != id.as_str())
    {
        let message =
            format!("snapshot {} is called {name:?} already", &other[..8.min(other.len())]);
        return Err(Failure::new(FailureKind::AlreadyExists, message)
            .hint("choose another name, or take that one off with --remove"));
    }
    if marks.len() >= MAX_MARKS {
        let message = format!("{MAX_MARKS} snapshots of one environment have a name already");
        return Err(Failure::new(FailureKind::Invalid, message).hint("take one off with --remove"));
    }
    marks.insert(id.as_str().to_owned(), name);
    Ok(())
}

/// A name as it is kept, unless it could be taken for something else.
fn check(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    let plain = !name.chars().any(|character| character.is_control() || character == '~');
    let length = name.chars().count();
    if plain && (1..=MAX_LENGTH).contains(&length) && !["base", "head"].contains(&name) {
        return Ok(name.to_owned());
    }
    let message = format!("{name:?} is not a name for a snapshot");
    let hint = format!("use 1 to {MAX_LENGTH} characters without ~, other than base and head");
    Err(Failure::new(FailureKind::Invalid, message).hint(hint))
}

/// The snapshot a person means.
pub(super) async fn find(
    shared: &Arc<Shared>,
    record: &Record,
    text: &str,
) -> Result<Snapshot, Failure> {
    let (stem, back) = split(text)?;
    let environment = &record.environment;
    let places = shared.layout.environment(&environment.id);
    let newest =
        ["head", environment.name.as_str(), environment.id.as_str()].contains(&stem.as_str());
    let known = {
        let places = places.clone();
        blocking(move || Ok(read(&places.marks())?)).await?
    };
    let named = known.iter().find(|(_, name)| **name == stem).map(|(id, _)| id.clone());
    let start = if named.is_none() && newest { Some(head(shared, record).await?) } else { None };
    let text = text.to_owned();
    with_store(shared, record.clone(), move |store, record| {
        let found = match start {
            Some(id) => repo::history::one(store, &id)?,
            None => search(store, record, named.as_deref().unwrap_or(&stem))?,
        };
        let mut found = [step_back(store, found, back, &text)?];
        label(&places, &mut found)?;
        let [found] = found;
        Ok(found)
    })
    .await
}

/// `fox~2` is two before `fox`, and `fox~` one.
fn split(text: &str) -> Result<(String, u32), Failure> {
    let Some((stem, number)) = text.split_once('~') else { return Ok((text.to_owned(), 0)) };
    let back = if number.is_empty() { Some(1) } else { number.parse().ok() };
    let back = back.ok_or_else(|| {
        Failure::new(FailureKind::Invalid, format!("{text:?} does not name a snapshot"))
            .hint("write a number after ~, as in base or head~2")
    })?;
    Ok((stem.to_owned(), back))
}

/// The snapshot that `base` or the beginning of an id means.
fn search(store: &Store, record: &Record, stem: &str) -> Result<Snapshot, Failure> {
    let environment = &record.environment;
    let id = &environment.id;
    if stem == "base" {
        let base = |known: &Snapshot| known.cause == SnapshotCause::Base;
        if let Some(found) = repo::history::find_newest(store, id, base)? {
            return Ok(found);
        }
    }
    let whole = CommitId::parse(stem).is_some();
    let mut several = false;
    let mut first: Option<Snapshot> = None;
    if stem.len() >= MIN_DIGITS && stem.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        repo::history::find_newest(store, id, |known| {
            if known.id.as_str().starts_with(stem) {
                several = first.is_some();
                first.get_or_insert_with(|| known.clone());
            }
            several || (whole && first.is_some())
        })?;
    }
    if several {
        let message = format!("{stem:?} begins more than one snapshot's id");
        return Err(Failure::new(FailureKind::Invalid, message).hint("give more of the id"));
    }
    first.ok_or_else(|| {
        let message = format!("{} has no snapshot {stem:?}", environment.name);
        Failure::new(FailureKind::NotFound, message)
            .hint(format!("agentdeck log {} lists them", environment.name))
    })
}

fn step_back(store: &Store, from: Snapshot, steps: u32, text: &str) -> Result<Snapshot, Failure> {
    let mut at = from;
    for _ in 0..steps {
        let Some(parent) = &at.parent else {
            let message = format!("{text:?} is before the base");
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        at = repo::history::one(store, parent)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_snapshots_and_no_other_words() {
        let id = |digit: &str| CommitId::parse(&digit.repeat(40)).expect("an id");
        let mut marks = Marks::new();
        let name = |text: &str| Some(check(text).expect("a good name"));
        change(&mut marks, &id("a"), name(" tests pass ")).expect("marked");
        change(&mut marks, &id("a"), name("tests pass")).expect("the same again");
        let twice = change(&mut marks, &id("b"), name("tests pass")).expect_err("one only");
        assert_eq!(twice.kind, FailureKind::AlreadyExists);
        change(&mut marks, &id("a"), None).expect("taken off");
        assert_eq!(marks, Marks::new());
        for bad in ["", "  ", "base", "head", "a~1", "a\u{1b}b", &"x".repeat(61)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn steps_back_are_counted_behind_a_tilde() {
        let parts = |text: &str| split(text).map_err(|failure| failure.kind);
        assert_eq!(parts("fox"), Ok(("fox".to_owned(), 0)));
        assert_eq!(parts("fox~"), Ok(("fox".to_owned(), 1)));
        assert_eq!(parts("head~12"), Ok(("head".to_owned(), 12)));
        assert_eq!(parts("head~x"), Err(FailureKind::Invalid));
    }
}

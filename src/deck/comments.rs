//! Comments of people on lines of an environment's change: kept beside it until they are removed,
//! found again in whatever the files have become, and sent to the agent.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::front::Front;
use super::hands::Program;
use super::queries::{side, with_store};
use super::sending::{self, Readers, would_run};
use super::shared::{Shared, blocking, now};
use super::state::Record;
use crate::model::comment::{Comment, CommentId, LinePlace, LineSide};
use crate::model::comparison::LineText;
use crate::model::environment::SessionState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, SessionId};
use crate::model::packed;
use crate::model::path::RepoPath;
use crate::model::prompt::Delivery;
use crate::proto::{CommentChange, DiffSide, Reply, Target};
use crate::repo::{self, Store};
use crate::store;

/// Comments on one environment at most: all are read with every diff of it.
const MOST: usize = 500;
/// How long a message may take to be typed before it counts as sent for later.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of one comment at most: more is a file to copy into the box.
const LONGEST: usize = 8 << 10;

/// What the file beside an environment holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// The number of the last one ever made.
    last: u32,
    comments: Vec<Comment>,
}

impl Kept {
    fn find(&mut self, id: CommentId) -> Result<&mut Comment, Failure> {
        let found = self.comments.iter_mut().find(|comment| comment.id == id);
        let missing =
            || Failure::new(FailureKind::NotFound, format!("there is no comment {}", id.0));
        found.ok_or_else(missing)
    }

    fn edit(&mut self, id: CommentId, text: String) -> Result<(), Failure> {
        let found = self.find(id)?;
        if found.sent.is_some() {
            return Err(Failure::new(FailureKind::Refused, "the agent has it already")
                .hint("comment on the line again"));
        }
        found.text = text;
        Ok(())
    }
}

/// The comments, each with the number that its line has at the two ends of a diff.
pub(super) async fn read(
    shared: &Arc<Shared>,
    target: Target,
    from: DiffSide,
    to: DiffSide,
) -> Result<Vec<Comment>, Failure> {
    let record = shared.resolve(target).await?;
    let path = shared.layout.environment(&record.environment.id).comments();
    let comments = blocking(move || Ok(load(&path)?.comments)).await?;
    if comments.is_empty() {
        return Ok(comments);
    }
    let ends = (side(shared, &record, from).await?, side(shared, &record, to).await?);
    with_store(shared, record, move |store, _| place(store, &ends, comments)).await
}

/// Finds the line of each comment; every file is read once.
fn place(
    store: &Store,
    (old, new): &(CommitId, CommitId),
    mut comments: Vec<Comment>,
) -> Result<Vec<Comment>, Failure> {
    let mut files: HashMap<(LineSide, RepoPath), Vec<Vec<u8>>> = HashMap::new();
    for comment in &mut comments {
        let LinePlace { path, side, .. } = &comment.place;
        let key = (*side, path.clone());
        if !files.contains_key(&key) {
            let commit = if *side == LineSide::Old { old } else { new };
            let lines = repo::quote::lines(store, commit, path)?.unwrap_or_default();
            files.insert(key.clone(), lines);
        }
        let lines: Vec<&[u8]> = files[&key].iter().map(Vec::as_slice).collect();
        comment.line = comment.find(&lines);
    }
    comments.sort_by(|one, other| {
        let order = |it: &Comment| (it.place.path.clone(), it.line.unwrap_or(u32::MAX), it.id);
        order(one).cmp(&order(other))
    });
    Ok(comments)
}

/// Does with comments what a client asks.
pub(super) async fn change(
    shared: &Arc<Shared>,
    target: Target,
    change: CommentChange,
) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    match change {
        CommentChange::Add { seen, place, text } => add(shared, record, seen, place, &text).await,
        CommentChange::Edit { comment, text } => {
            let text = check(&text)?;
            keep(shared, &record, move |kept| kept.edit(comment, text)).await
        }
        CommentChange::Remove { comment } => {
            keep(shared, &record, move |kept| {
                kept.find(comment)?;
                kept.comments.retain(|other| other.id != comment);
                Ok(())
            })
            .await
        }
        CommentChange::Send { comments, message } => {
            send(shared, &record, comments, &message).await
        }
    }
}

/// Keeps a comment on a line of a file as it was seen in a snapshot.
async fn add(
    shared: &Arc<Shared>,
    record: Record,
    seen: CommitId,
    place: LinePlace,
    text: &str,
) -> Result<Reply, Failure> {
    let text = check(text)?;
    let path = place.path.clone();
    let lines =
        with_store(shared, record.clone(), move |store, _| repo::quote::lines(store, &seen, &path));
    let lines = lines.await?.unwrap_or_default();
    let line = |number: Option<u32>| {
        let index = number?.checked_sub(1)? as usize;
        lines.get(index).cloned().map(LineText)
    };
    let Some(quote) = line(Some(place.line)) else {
        let message = format!("{} has no line {} to comment on", place.path, place.line);
        return Err(Failure::new(FailureKind::NotFound, message));
    };
    let (before, after) = (line(place.line.checked_sub(1)), line(place.line.checked_add(1)));
    let (at, line) = (now(), Some(place.line));
    keep(shared, &record, move |kept| {
        if kept.comments.len() >= MOST {
            let message = format!("there are {MOST} comments already");
            return Err(Failure::new(FailureKind::Refused, message).hint("remove some of them"));
        }
        kept.last += 1;
        let id = CommentId(kept.last);
        kept.comments.push(Comment { id, at, place, quote, before, after, text, sent: None, line });
        Ok(())
    })
    .await
}

/// Sends a message to the agent, and remembers which comments it told of.
async fn send(
    shared: &Arc<Shared>,
    record: &Record,
    comments: Vec<CommentId>,
    message: &str,
) -> Result<Reply, Failure> {
    let environment = &record.environment;
    let agent = environment.session(SessionId::AGENT);
    if !agent.is_some_and(|agent| agent.state == SessionState::Running) {
        let failure = format!("{}'s agent does not run", environment.name);
        return Err(Failure::new(FailureKind::Unavailable, failure)
            .hint("the comments stay; send them when it runs"));
    }
    if Front::look(shared, record).await.program(environment) == Program::Shell {
        return Err(would_run(environment.name.as_str()));
    }
    let target = Target::Id(environment.id.clone());
    // It is typed when the agent can take it, and what came of that is told like that of any other.
    let prompt = sending::send(shared, target, message, Readers::Agents, Some(PATIENCE)).await?;
    if let Delivery::Failed { why, hint } = &prompt.delivery {
        let message = format!("{}'s agent did not take it: {why}", environment.name);
        let failure = Failure::new(FailureKind::Unavailable, message);
        return Err(Failure { hint: hint.clone(), ..failure });
    }
    let at = now();
    let kept = keep(shared, record, move |kept| {
        for comment in &mut kept.comments {
            if comments.contains(&comment.id) {
                comment.sent.get_or_insert(at);
            }
        }
        Ok(())
    });
    kept.await?;
    Ok(Reply::Receipt(Box::new(prompt)))
}

/// Changes what is kept, and tells clients.
async fn keep(
    shared: &Arc<Shared>,
    record: &Record,
    change: impl FnOnce(&mut Kept) -> Result<(), Failure> + Send + 'static,
) -> Result<Reply, Failure> {
    let id = record.environment.id.clone();
    let path = shared.layout.environment(&id).comments();
    let task = shared.clone();
    blocking(move || {
        let held = task.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = load(&path)?;
        change(&mut kept)?;
        store::write_file(&path, &packed::pack(&kept)?)?;
        drop(held);
        Ok(())
    })
    .await?;
    shared.hub.commented(&id);
    Ok(Reply::Done)
}

fn load(path: &Path) -> anyhow::Result<Kept> {
    match std::fs::read(path) {
        Ok(bytes) => packed::unpack(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(anyhow::Error::new(error).context("could not read the comments")),
    }
}

/// The text as it is kept.
fn check(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let steers = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    let wrong = match text {
        "" => "is empty",
        text if text.len() > LONGEST => "is too long",
        text if text.contains(steers) => "holds characters that steer a terminal",
        text => return Ok(text.to_owned()),
    };
    Err(Failure::new(FailureKind::Invalid, format!("the comment {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Timestamp;

    #[test]
    fn comments_are_kept_with_paths_and_lines_of_any_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("comments");
        assert_eq!(load(&path).expect("nothing yet"), Kept::default());
        let odd = RepoPath::new(b"a\xff\n\x1b".to_vec());
        let comment = Comment {
            id: CommentId(7),
            at: Timestamp(1),
            place: LinePlace { path: odd, side: LineSide::Old, line: 3 },
            quote: LineText(b"\xfe\x00".to_vec()),
            before: None,
            after: Some(LineText(Vec::new())),
            text: "why?".to_owned(),
            sent: Some(Timestamp(2)),
            line: None,
        };
        let kept = Kept { last: 7, comments: vec![comment] };
        store::write_file(&path, &packed::pack(&kept).expect("packed")).expect("written");
        assert_eq!(load(&path).expect("read"), kept);
    }

    #[test]
    fn a_comment_is_text_and_no_keys() {
        assert_eq!(check(" say\twhy\n").expect("text"), "say\twhy");
        for bad in ["", " \n", "a\x1b[2J", "a\rb", "\u{9b}1A", &"x".repeat(LONGEST + 1)] {
            assert_eq!(check(bad).expect_err("refused").kind, FailureKind::Invalid, "{bad:?}");
        }
    }
}

//! One environment's prompts: what waits, what came of the others, and the file that holds both.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::deck::shared::now;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::Timestamp;
use crate::model::prompt::{Delivery, Prompt, PromptId};
use crate::store;

/// Prompts of one environment that are not delivered yet: a person who has more wants something
/// else.
const MOST_WAITING: usize = 32;
/// Receipts that are kept of those that are.
const MOST_KEPT: usize = 16;
/// One that waited longer, in milliseconds, was meant for another day.
const LAPSES: u64 = 24 * 60 * 60 * 1000;

/// The layout of the file.
const VERSION: u32 = 1;

/// The queue, shared by whoever sends, delivers and asks.
#[derive(Debug)]
pub(super) struct Queue {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Woken when there may be something to do.
    pub moved: Notify,
    /// Counts what was settled or put off, for those who wait for a receipt.
    told: watch::Sender<u64>,
    /// Held by whoever writes the file.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Kept,
    /// Somebody delivers.
    is_worked: bool,
    /// The environment is gone.
    is_closed: bool,
}

/// The file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    last: u32,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    prompt: Prompt,
    /// All of it, as long as it may be typed.
    text: Option<String>,
    #[serde(default)]
    readers: Readers,
}

/// What kinds of program a text may be typed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::deck) enum Readers {
    /// Whatever the person sent it to.
    #[default]
    All,
    /// No shell: the text is speech, and may quote what somebody else wrote.
    Agents,
}

impl Queue {
    pub fn new(path: PathBuf) -> Self {
        Self::of(path, Kept { version: VERSION, ..Kept::default() })
    }

    fn of(path: PathBuf, kept: Kept) -> Self {
        let inner = Mutex::new(Inner { kept, ..Inner::default() });
        let told = watch::Sender::new(0);
        Self { path, inner, moved: Notify::new(), told, writing: tokio::sync::Mutex::default() }
    }

    /// The queue that an earlier server left. What it was typing may have been typed.
    pub fn left(path: PathBuf) -> anyhow::Result<Option<Self>> {
        let Some(mut kept) = store::read_json::<Kept>(&path)? else { return Ok(None) };
        anyhow::ensure!(kept.version == VERSION, "prompts of another version are left alone");
        let now = now();
        for entry in &mut kept.entries {
            let delivery = match &entry.prompt.delivery {
                Delivery::Typing => {
                    let why = "the server ended while it was typed; look whether it stands there";
                    Delivery::Unsure { why: why.to_owned() }
                }
                Delivery::Queued { .. } if now.0.abs_diff(entry.prompt.sent.0) > LAPSES => {
                    lapsed("it waited for more than a day")
                }
                _ => continue,
            };
            entry.settle(delivery, now);
        }
        Ok(Some(Self::of(path, kept)))
    }

    /// Gives up all that waits.
    pub fn lapse(&self, why: &str) {
        for entry in &mut self.inner().kept.entries {
            if !entry.prompt.delivery.is_final() {
                entry.settle(lapsed(why), now());
            }
        }
    }

    pub fn add(&self, text: String, readers: Readers) -> Result<PromptId, Failure> {
        let mut inner = self.inner();
        let entries = &mut inner.kept.entries;
        let waiting = entries.iter().filter(|entry| !entry.prompt.delivery.is_final()).count();
        if waiting >= MOST_WAITING {
            let message = format!("{waiting} prompts wait for it already");
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("agentdeck prompts lists them, and cancel takes them back"));
        }
        let kept = entries.len() - waiting;
        let mut surplus = kept.saturating_sub(MOST_KEPT - 1);
        entries.retain(|entry| {
            let goes = surplus > 0 && entry.prompt.delivery.is_final();
            surplus -= usize::from(goes);
            !goes
        });
        inner.kept.last += 1;
        let id = PromptId(inner.kept.last);
        let prompt = Prompt::new(id, &text, now());
        inner.kept.entries.push(Entry { prompt, text: Some(text), readers });
        drop(inner);
        self.moved.notify_one();
        Ok(id)
    }

    /// Claims the work of delivering; `false` where somebody has it, or nothing waits.
    pub fn begin_work(&self) -> bool {
        let mut inner = self.inner();
        let begins = !inner.is_worked && inner.first().is_some();
        inner.is_worked |= begins;
        begins
    }

    /// What is to be delivered first; without any the work is over.
    pub fn next(&self) -> Option<(PromptId, String)> {
        let mut inner = self.inner();
        let next = if inner.is_closed { None } else { inner.first() };
        inner.is_worked = next.is_some();
        next
    }

    /// Says why a prompt waits: whether that is news, and `None` when it waits no more.
    pub fn put_off(&self, id: PromptId, why: String) -> Option<bool> {
        let mut inner = self.inner();
        if inner.is_closed {
            return None;
        }
        let entry = inner.waiting(id)?;
        let delivery = Delivery::Queued { why };
        let is_news = entry.prompt.delivery != delivery;
        if is_news {
            (entry.prompt.delivery, entry.prompt.since) = (delivery, now());
        }
        drop(inner);
        self.told.send_modify(|count| *count += 1);
        Some(is_news)
    }

    /// Claims a prompt for being typed; `false` when it waits no more.
    pub fn claim(&self, id: PromptId) -> bool {
        let mut inner = self.inner();
        if inner.is_closed {
            return false;
        }
        let entry = inner.waiting(id);
        entry.map(|entry| entry.prompt.delivery = Delivery::Typing).is_some()
    }

    /// Nothing of it was typed after all.
    pub fn give_back(&self, id: PromptId, why: String) {
        if let Some(entry) = self.inner().entry(id) {
            entry.prompt.delivery = Delivery::Queued { why };
        }
        self.told.send_modify(|count| *count += 1);
    }

    pub fn settle(&self, id: PromptId, delivery: Delivery) {
        if let Some(entry) = self.inner().entry(id) {
            entry.settle(delivery, now());
        }
        self.told.send_modify(|count| *count += 1);
    }

    /// Takes back what waits: one prompt, or all. Returns what was taken back.
    pub fn cancel(&self, only: Option<PromptId>) -> Vec<Prompt> {
        let mut inner = self.inner();
        let mut cancelled = Vec::new();
        for entry in &mut inner.kept.entries {
            let meant = only.is_none_or(|id| entry.prompt.id == id);
            if meant && matches!(entry.prompt.delivery, Delivery::Queued { .. }) {
                entry.settle(Delivery::Cancelled, now());
                cancelled.push(entry.prompt.clone());
            }
        }
        drop(inner);
        self.told.send_modify(|count| *count += 1);
        self.moved.notify_one();
        cancelled
    }

    pub fn get(&self, id: PromptId) -> Option<Prompt> {
        self.inner().entry(id).map(|entry| entry.prompt.clone())
    }

    pub fn readers(&self, id: PromptId) -> Readers {
        self.inner().entry(id).map_or_else(Readers::default, |entry| entry.readers)
    }

    /// All receipts, the oldest first.
    pub fn receipts(&self) -> Vec<Prompt> {
        self.inner().kept.entries.iter().map(|entry| entry.prompt.clone()).collect()
    }

    /// A receiver that wakes with each receipt.
    pub fn told(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Ends the work on it; its file is written no more.
    pub fn close(&self) {
        self.inner().is_closed = true;
        self.told.send_modify(|count| *count += 1);
        self.moved.notify_one();
    }

    /// Brings the file up to what is known, synced.
    pub async fn save(self: &Arc<Self>) -> Result<(), Failure> {
        let writing = self.writing.lock().await;
        let queue = self.clone();
        let written = crate::deck::shared::blocking(move || {
            let kept = {
                let inner = queue.inner();
                if inner.is_closed {
                    return Ok(());
                }
                inner.kept.clone()
            };
            Ok(store::write_json(&queue.path, &kept)?)
        });
        let written = written.await;
        drop(writing);
        written
    }

    /// Values that are whole at any moment, after any panic too.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn first(&self) -> Option<(PromptId, String)> {
        let waits = |entry: &&Entry| !entry.prompt.delivery.is_final();
        let entry = self.kept.entries.iter().find(waits)?;
        Some((entry.prompt.id, entry.text.clone()?))
    }

    fn entry(&mut self, id: PromptId) -> Option<&mut Entry> {
        self.kept.entries.iter_mut().find(|entry| entry.prompt.id == id)
    }

    fn waiting(&mut self, id: PromptId) -> Option<&mut Entry> {
        let waits = |entry: &&mut Entry| matches!(entry.prompt.delivery, Delivery::Queued { .. });
        self.entry(id).filter(waits)
    }
}

impl Entry {
    fn settle(&mut self, delivery: Delivery, now: Timestamp) {
        (self.prompt.delivery, self.prompt.since) = (delivery, now);
        self.text = None;
    }
}

fn lapsed(why: &str) -> Delivery {
    Delivery::Failed { why: format!("{why}; nothing was typed"), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(directory: &tempfile::TempDir) -> Arc<Queue> {
        Arc::new(Queue::new(directory.path().join("prompts.json")))
    }

    fn again(queue: &Queue) -> Queue {
        Queue::left(queue.path.clone()).expect("read").expect("there")
    }

    fn states(queue: &Queue) -> Vec<&'static str> {
        queue.receipts().iter().map(|prompt| prompt.delivery.as_str()).collect()
    }

    #[tokio::test]
    async fn a_kill_leaves_what_waits_and_never_what_may_have_been_typed() {
        let home = tempfile::tempdir().expect("a directory");
        let queue = queue(&home);
        let first = queue.add("one".to_owned(), Readers::All).expect("room");
        let second = queue.add("two".to_owned(), Readers::Agents).expect("room");
        assert!(queue.claim(first));
        queue.save().await.expect("saved");
        let left = again(&queue);
        assert_eq!(states(&left), ["unsure", "queued"]);
        assert_eq!(left.next(), Some((second, "two".to_owned())));
        assert_eq!((left.readers(first), left.readers(second)), (Readers::All, Readers::Agents));

        queue.give_back(first, "somebody typed".to_owned());
        queue.save().await.expect("saved");
        assert_eq!(again(&queue).next(), Some((first, "one".to_owned())), "in its order");
    }

    #[tokio::test]
    async fn what_was_settled_keeps_no_text_and_the_newest_receipts_stay() {
        let home = tempfile::tempdir().expect("a directory");
        let queue = queue(&home);
        for number in 0..40 {
            let id = queue.add(format!("prompt {number}"), Readers::All).expect("room");
            assert!(queue.claim(id));
            queue.settle(id, Delivery::Unsure { why: String::new() });
        }
        queue.save().await.expect("saved");
        let begins: Vec<_> = queue.receipts().into_iter().map(|prompt| prompt.begin).collect();
        assert_eq!(begins.len(), MOST_KEPT);
        assert_eq!(begins.last().map(String::as_str), Some("prompt 39"));
        assert!(queue.inner().kept.entries.iter().all(|entry| entry.text.is_none()));
        assert!(!queue.begin_work(), "nothing waits");
    }

    #[test]
    fn what_waits_can_be_taken_back_and_what_is_typed_cannot() {
        let home = tempfile::tempdir().expect("a directory");
        let queue = queue(&home);
        let ids: Vec<_> = (0..3)
            .map(|number| queue.add(number.to_string(), Readers::All).expect("room"))
            .collect();
        assert!(queue.claim(ids[0]));
        assert_eq!(queue.cancel(Some(ids[0])), []);
        assert_eq!(queue.cancel(Some(ids[1])).len(), 1);
        assert!(!queue.claim(ids[1]));
        assert_eq!(queue.put_off(ids[1], "no".to_owned()), None);
        assert_eq!(queue.cancel(None).len(), 1);
        assert_eq!(states(&queue), ["typing", "cancelled", "cancelled"]);
    }

    #[test]
    fn a_queue_has_an_end() {
        let home = tempfile::tempdir().expect("a directory");
        let queue = queue(&home);
        for _ in 0..MOST_WAITING {
            queue.add("x".to_owned(), Readers::All).expect("room");
        }
        assert_eq!(
            queue.add("x".to_owned(), Readers::All).expect_err("full").kind,
            FailureKind::Refused
        );
        queue.lapse("it was discarded");
        queue.add("x".to_owned(), Readers::All).expect("room again");
    }
}

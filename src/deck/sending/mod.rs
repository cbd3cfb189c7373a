//! Prompts: texts that people send to agents, typed for them once the program can take them.
//!
//! Each environment has a queue (`queue`), kept in a file; one task at a time delivers what waits
//! there (`deliver`), as soon as nothing is in the way (`ready`). `line` knows what people typed
//! and did not enter, `echo` reads from the screen whether a text arrived.

mod deliver;
mod echo;
mod line;
mod queue;
mod ready;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::shared::Shared;
use super::state::{Record, Report};
use super::terminal::Terminal;
use crate::model::environment::EnvironmentState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::input::Input;
use crate::model::policy::show_bytes;
use crate::model::prompt::{Delivery, Prompt, PromptId};
use crate::model::status::Status;
use crate::proto::{Reply, Request, Target};
use echo::Echo;
use line::Lines;
use queue::Queue;
pub(super) use queue::Readers;

/// Bytes of one prompt: a program is given no more at a time, and a file is the better way long
/// before that.
const MOST_BYTES: usize = 256 << 10;
/// The longest wait for a receipt; who wants to know more asks again.
const MOST_PATIENCE: Duration = Duration::from_mins(10);

/// The queues of all environments that were ever sent something, and what people type meanwhile.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    queues: Mutex<HashMap<EnvironmentId, Arc<Queue>>>,
    pub(super) lines: Lines,
}

impl Prompts {
    /// Tells that an environment is not as it was.
    pub fn nudge(&self, environment: &EnvironmentId) {
        if let Some(queue) = self.queues().get(environment) {
            queue.moved.notify_one();
        }
    }

    /// Forgets an environment; its file stays with it.
    pub fn forget(&self, environment: &EnvironmentId) {
        self.lines.forget(environment);
        if let Some(queue) = self.queues().remove(environment) {
            queue.close();
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers what is asked about prompts.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    match request {
        Request::SendPrompt { target, text, patience } => {
            let patience = patience.map(Duration::from_millis);
            let sent = send(shared, target, &text, Readers::All, patience).await?;
            Ok(Reply::Receipt(Box::new(sent)))
        }
        Request::CancelPrompts { target, only } => {
            Ok(Reply::Receipts(cancel(shared, target, only).await?))
        }
        _ => Err(Failure::new(FailureKind::Internal, "this is no question about prompts")),
    }
}

/// What is said where a text is for an agent, and a shell would read it.
pub(super) fn would_run(name: &str) -> Failure {
    let message = format!("{name}'s terminal is at a shell, which would run the text as commands");
    Failure::new(FailureKind::Refused, message).hint("start an agent there first")
}

/// Puts a prompt into an environment's queue; answered when it is on the disk or, with patience,
/// when it is settled or has waited for that long.
pub(super) async fn send(
    shared: &Arc<Shared>,
    target: Target,
    text: &str,
    readers: Readers,
    patience: Option<Duration>,
) -> Result<Prompt, Failure> {
    let text = clean(text)?;
    let record = shared.resolve(target).await?;
    let view = record.view();
    if let EnvironmentState::Stopped | EnvironmentState::Failed { .. } = view.state {
        return Err(super::link::does_not_run(view.name.as_str()));
    }
    let id = &view.id;
    let queue = {
        let mut queues = shared.prompts.queues();
        let path = shared.layout.environment(id).prompts();
        queues.entry(id.clone()).or_insert_with(|| Arc::new(Queue::new(path))).clone()
    };
    let prompt = queue.add(text, readers)?;
    if let Err(failure) = queue.save().await {
        queue.cancel(Some(prompt));
        return Err(failure);
    }
    publish(shared, id, &queue).await;
    begin(shared, id, &queue);
    match patience {
        None => receipt(&queue, prompt),
        Some(patience) => outcome(&queue, prompt, patience.min(MOST_PATIENCE)).await,
    }
}

/// Waits until a prompt is settled. While it is not typed yet, for so long at most.
async fn outcome(queue: &Arc<Queue>, id: PromptId, patience: Duration) -> Result<Prompt, Failure> {
    let deadline = Instant::now() + patience;
    let mut told = queue.told();
    loop {
        told.mark_unchanged();
        let prompt = receipt(queue, id)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match &prompt.delivery {
            // Its typing has deadlines of its own.
            Delivery::Typing => {
                let _ = told.changed().await;
            }
            // Nobody has looked yet.
            Delivery::Queued { why } if why.is_empty() => {
                let _ = timeout(left.max(Duration::from_secs(1)), told.changed()).await;
                if left.is_zero() {
                    return receipt(queue, id);
                }
            }
            Delivery::Queued { .. } if !left.is_zero() => {
                let _ = timeout(left, told.changed()).await;
            }
            _ => return Ok(prompt),
        }
    }
}

fn receipt(queue: &Queue, id: PromptId) -> Result<Prompt, Failure> {
    let gone = || Failure::new(FailureKind::NotFound, "its receipt is kept no more");
    queue.get(id).ok_or_else(gone)
}

async fn cancel(
    shared: &Arc<Shared>,
    target: Target,
    only: Option<PromptId>,
) -> Result<Vec<Prompt>, Failure> {
    let environment = shared.resolve(target).await?.environment;
    let queue = shared.prompts.queues().get(&environment.id).cloned();
    let name = &environment.name;
    let Some(queue) = queue else { return nothing_waits(name.as_str(), only) };
    let cancelled = queue.cancel(only);
    if cancelled.is_empty() {
        return nothing_waits(name.as_str(), only);
    }
    queue.save().await?;
    publish(shared, &environment.id, &queue).await;
    Ok(cancelled)
}

fn nothing_waits(name: &str, only: Option<PromptId>) -> Result<Vec<Prompt>, Failure> {
    let Some(id) = only else { return Ok(Vec::new()) };
    let message = format!("no prompt {id} waits for {name}");
    Err(Failure::new(FailureKind::NotFound, message).hint(format!("agentdeck prompts {name}")))
}

/// Goes on with what an earlier server left of an environment's queue. With a reason, nothing of it
/// is to be typed any more.
pub(super) fn take_up(shared: &Arc<Shared>, record: &Record, lapsed: Option<&str>) {
    let environment = &record.environment;
    let id = &environment.id;
    if let Some(agent) = environment.session(SessionId::AGENT)
        && agent.draft
    {
        let line = shared.prompts.lines.of(id);
        line.lock().unwrap_or_else(PoisonError::into_inner).begun_before();
    }
    let queue = match Queue::left(shared.layout.environment(id).prompts()) {
        Ok(Some(queue)) => Arc::new(queue),
        Ok(None) if environment.prompts.is_empty() => return,
        Ok(None) => Arc::new(Queue::new(shared.layout.environment(id).prompts())),
        Err(error) => return tracing::warn!(%id, "prompts cannot be read: {error:#}"),
    };
    if let Some(why) = lapsed {
        queue.lapse(why);
    }
    shared.prompts.queues().insert(id.clone(), queue.clone());
    let (shared, id) = (shared.clone(), id.clone());
    tokio::spawn(async move {
        if let Err(failure) = queue.save().await {
            tracing::warn!(%id, "prompts are not kept: {failure}");
        }
        publish(&shared, &id, &queue).await;
        begin(&shared, &id, &queue);
    });
}

fn begin(shared: &Arc<Shared>, id: &EnvironmentId, queue: &Arc<Queue>) {
    if queue.begin_work() {
        tokio::spawn(deliver::work(shared.clone(), id.clone(), queue.clone()));
    }
}

/// Shows clients how an environment's prompts stand.
async fn publish(shared: &Shared, id: &EnvironmentId, queue: &Queue) {
    shared.report(id, Report::Prompts(queue.receipts())).await;
}

/// Gives an agent's program what a person typed, and takes note of the line that it makes.
pub(super) fn type_for_person(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    terminal: &Terminal,
    input: &Input,
) -> Result<(), Failure> {
    let line = shared.prompts.lines.of(id);
    // No prompt is typed meanwhile.
    let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = terminal.encode(input);
    if bytes.is_empty() {
        return Ok(());
    }
    if input.is_typed() {
        shared.hands.typed(id, SessionId::AGENT);
    }
    shared.link(id)?.input(SessionId::AGENT, &bytes)?;
    let view = shared.hub.view(id);
    let agent = view.as_ref().and_then(|view| view.session(SessionId::AGENT));
    let asks = agent.and_then(|agent| agent.status.as_ref()).is_some_and(Status::waits);
    let was_begun = line.is_begun();
    line.typed(input, asks, bytes.starts_with(b"\x1b[200~"));
    if line.is_begun() != was_begun {
        let (shared, id, draft) = (shared.clone(), id.clone(), line.is_begun());
        tokio::spawn(async move { shared.report(&id, Report::Drafted(draft)).await });
    }
    Ok(())
}

/// A text as it is typed: without controls, and without blank lines around it, which would enter
/// half of it.
fn clean(text: &str) -> Result<String, Failure> {
    let invalid = |message: String| Failure::new(FailureKind::Invalid, message);
    let plain = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept = |character: &char| matches!(character, '\n' | '\t') || !character.is_control();
    let plain: String = plain.chars().filter(kept).collect();
    let plain = plain.trim().to_owned();
    if plain.len() > MOST_BYTES {
        let message = format!(
            "{} bytes are more than a prompt may have, which is {MOST_BYTES} ({})",
            plain.len(),
            show_bytes(MOST_BYTES as u64)
        );
        return Err(invalid(message).hint("put the text into a file: agentdeck cp FILE NAME:"));
    }
    if Echo::of(&plain).is_empty() {
        return Err(invalid("there is nothing to send".to_owned()));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_no_controls_and_no_end_of_its_own() {
        assert_eq!(clean("\n go\r\n\x1b[31mon\x03\t!\n\n").as_deref(), Ok("go\n[31mon\t!"));
        for nothing in ["", " \n", "\x1b", "│>"] {
            assert_eq!(clean(nothing).expect_err("nothing").kind, FailureKind::Invalid);
        }
        clean(&"x".repeat(MOST_BYTES + 1)).expect_err("too large");
    }
}

//! The child that carries orders out, from the engine's side.
//!
//! Work that is given up has ended before its failure is told: whoever clears away after it finds
//! nobody who still writes there, and a box that stood still for it may go on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use super::making::CREATE_DEADLINE;
use super::order::{Answer, Order};
use crate::model::failure::{Failure, FailureKind};

/// Longest time for a killed child and all below it to end: one that waits for a disk does so first.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// The child that carries orders out. It is killed when this is dropped, and what it was about to
/// make with it.
pub(super) struct Worker {
    child: Child,
    /// Closed when the last order was given.
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut child = tokio::process::Command::new(program)
            .arg("box")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let input = Some(child.stdin.take().context("the child has no input")?);
        let output = child.stdout.take().context("the child has no output")?;
        Ok(Self { child, input, lines: BufReader::new(output).lines() })
    }

    pub(super) async fn tell(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let input = self.input.as_mut().context("the child was given its last order")?;
        Ok(input.write_all(&line).await?)
    }

    pub(super) async fn answer(&mut self) -> anyhow::Result<Option<Answer>> {
        let line = self.lines.next_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }

    /// Gives the last order, and listens until the child's last word or until a box is made.
    async fn attend(
        &mut self,
        order: &Order,
        mut told: impl FnMut(u64, u64) + Send,
    ) -> anyhow::Result<Answer> {
        self.tell(order).await?;
        self.input = None;
        let mut outcome = None;
        while let Some(answer) = self.answer().await? {
            match answer {
                Answer::Told { done, total } => told(done, total),
                made @ Answer::Made { .. } => return Ok(made),
                // The process that did it told more than the one that waited for it.
                Answer::Works if outcome.is_some() => {}
                answer => outcome = Some(answer),
            }
        }
        outcome.context("the child that makes boxes failed")
    }

    /// Has the last order carried out, and gives back what came of it.
    pub(super) async fn finish(
        mut self,
        order: &Order,
        told: impl FnMut(u64, u64) + Send,
    ) -> anyhow::Result<Answer> {
        let answer = self.attend(order, told).await?;
        if let Answer::Made { .. } = answer {
            // Nothing follows, and the child's end takes longer than it need be waited for.
            tokio::spawn(async move { self.child.wait().await });
        } else {
            self.child.wait().await?;
        }
        Ok(answer)
    }

    /// Has it end by itself, without a further order, and waits for that.
    pub(super) async fn give_up(mut self) {
        self.input = None;
        let _ = self.child.wait().await;
    }

    /// The same without waiting: it ends by itself when nobody can tell it anything any more, and
    /// is not killed before it has cleared away what it made.
    pub(super) fn let_go(self) {
        std::mem::forget(self.child);
    }

    /// Kills the child and waits for the end of all below it: until then they hold its output open.
    async fn end(mut self) {
        // One that has ended already is as good.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        let silence = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        if tokio::time::timeout(END_DEADLINE, silence).await.is_err() {
            tracing::warn!("what the engine's child had begun does not end");
        }
    }
}

/// A child that has made everything of a box that is the same for all, and waits for its order. It
/// ends with whoever wanted it.
pub(super) struct Waiting {
    program: PathBuf,
    worker: Worker,
}

impl Waiting {
    pub(super) async fn start(program: &Path) -> Result<Self, Failure> {
        let work = async {
            let mut worker = Worker::start(program)?;
            worker.tell(&Order::Wait).await?;
            match worker.answer().await? {
                Some(Answer::Works) => Ok(worker),
                Some(Answer::Failed(failure)) => Err(failure.into()),
                _ => Err(unexpected().into()),
            }
        };
        let worker = within(CREATE_DEADLINE, work).await?;
        Ok(Self { program: program.to_owned(), worker })
    }

    /// Itself, if it runs `program` and was not ended by somebody.
    pub(super) fn fit_for(mut self, program: &Path) -> Option<Self> {
        let lives = matches!(self.worker.child.try_wait(), Ok(None));
        (lives && self.program == program).then_some(self)
    }

    pub(super) fn into_worker(self) -> Worker {
        self.worker
    }

    pub(super) async fn become_box(self, order: &Order) -> Result<Answer, Failure> {
        within(CREATE_DEADLINE, self.worker.finish(order, |_, _| ())).await.and_then(refused)
    }
}

/// Runs the child that carries `order` out within `patience`.
pub(super) async fn carry_out(
    program: &Path,
    order: &Order,
    patience: Duration,
) -> Result<Answer, Failure> {
    let work = async { Worker::start(program)?.finish(order, |_, _| ()).await };
    within(patience, work).await.and_then(refused)
}

/// Comes when nobody waits for a piece of work any more.
pub(super) type GivenUp = oneshot::Receiver<()>;

/// Does `work` to its end even where the caller goes away before that; then `work` is told, and
/// clears away what it has begun.
pub(super) async fn unbroken<T, F>(work: impl FnOnce(GivenUp) -> F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let (waiting, given_up) = oneshot::channel();
    let done = tokio::spawn(work(given_up)).await;
    drop(waiting);
    done.context("the engine's work failed")?
}

/// Like [`carry_out`], passing on what the child tells meanwhile. Where it fails, takes too long or
/// is given up, nothing of it runs any more afterwards.
pub(super) async fn carry_out_until(
    program: &Path,
    order: &Order,
    patience: Duration,
    given_up: GivenUp,
    told: impl FnMut(u64, u64) + Send,
) -> Result<Answer, Failure> {
    let mut worker = Worker::start(program)?;
    let failure = tokio::select! {
        attended = within(patience, worker.attend(order, told)) => match attended {
            Ok(answer) => {
                worker.end().await;
                return refused(answer);
            }
            Err(failure) => failure,
        },
        _ = given_up => Failure::new(FailureKind::Unavailable, "nobody waits for it any more"),
    };
    worker.end().await;
    Err(failure)
}

pub(super) fn refused(answer: Answer) -> Result<Answer, Failure> {
    match answer {
        Answer::Failed(failure) => Err(failure),
        answer => Ok(answer),
    }
}

pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            let message = format!("the engine did not finish within {} s", patience.as_secs());
            Err(Failure::new(FailureKind::Timeout, message))
        }
    }
}

/// For an answer that does not fit its order.
pub(super) fn unexpected() -> Failure {
    Failure::new(FailureKind::Internal, "the child that makes boxes answered something else")
}

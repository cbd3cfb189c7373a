//! Runs the hidden verb: in a box as any client would, and on the host as the control.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::attack::{Attack, ORDER, TOKEN, Try, VERB};
use super::stage::Stage;
use super::verdict::words;
use crate::client::{Client, Events};
use crate::model::environment::{Environment, Variable};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Event, ExecEvent, ExecStream, Request, Target};

/// How long one attack may take: the longest asks some fifty times with two seconds for each.
const DEADLINE: Duration = Duration::from_mins(1);
/// Bytes of an answer that are kept; a flood says more.
const MAX_ANSWER: usize = 4 << 20;
/// Bytes of an order sent at once.
const CHUNK: usize = 32 << 10;

/// Whose rights an attack has in the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Agent,
    Root,
}

/// An attack that goes on in a box, until this is dropped.
pub(super) struct Going {
    events: Events,
    _client: Client,
    pub answer: Vec<u8>,
}

impl Stage {
    pub async fn inside(
        &self,
        environment: &Environment,
        side: Side,
        attack: Attack,
    ) -> Result<Vec<Try>, Failure> {
        let mut going = self.start(environment, side, attack).await?;
        let code = going.until(|_| false).await?;
        let tries = going.tries().ok_or_else(|| said_nothing(code))?;
        self.tried.borrow_mut().extend(tries.iter().map(words));
        Ok(tries)
    }

    /// Starts an attack and waits for its first line.
    pub async fn held(
        &self,
        environment: &Environment,
        attack: Attack,
    ) -> Result<(Vec<Try>, Going), Failure> {
        let mut going = self.start(environment, Side::Agent, attack).await?;
        let code = going.until(|answer| answer.contains(&b'\n')).await?;
        let tries = going.tries().ok_or_else(|| said_nothing(code))?;
        self.tried.borrow_mut().extend(tries.iter().map(words));
        Ok((tries, going))
    }

    pub async fn start(
        &self,
        environment: &Environment,
        side: Side,
        attack: Attack,
    ) -> Result<Going, Failure> {
        let (client, events) = Client::connect(&self.context.home).await?;
        // The environment's own variables hold its resident's order.
        let variables = [(TOKEN, self.token.as_str()), (ORDER, "")];
        let variables = variables
            .map(|(name, value)| Variable { name: name.to_owned(), value: value.to_owned() });
        let request = Request::StartExec {
            target: Target::Id(environment.id.clone()),
            command: vec![self.program().to_owned(), VERB.to_owned()],
            root: side == Side::Root,
            variables: variables.to_vec(),
        };
        client.request(request).await?;
        let order = serde_json::to_vec(&self.order(attack, false)).unwrap_or_default();
        for bytes in order.chunks(CHUNK).map(<[u8]>::to_vec).chain([Vec::new()]) {
            client.request(Request::SendExecInput { bytes }).await?;
        }
        Ok(Going { events, _client: client, answer: Vec::new() })
    }

    /// The same attack in a process of its own on the host, in the control's directory.
    pub async fn outside_of_boxes(&self, attack: Attack) -> Result<Vec<Try>, Failure> {
        let order = serde_json::to_vec(&self.order(attack, true)).unwrap_or_default();
        let work = async {
            let mut child = tokio::process::Command::new("/proc/self/exe")
                .arg(VERB)
                .env_clear()
                .env(TOKEN, &self.token)
                .current_dir(self.control())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(&order).await?;
            }
            let mut answer = Vec::new();
            if let Some(output) = child.stdout.take() {
                output.take(MAX_ANSWER as u64).read_to_end(&mut answer).await?;
            }
            child.wait().await?;
            Ok::<_, std::io::Error>(answer)
        };
        let failed = |why: String| {
            Failure::new(FailureKind::Unavailable, format!("the control failed: {why}"))
        };
        let answer = match tokio::time::timeout(DEADLINE, work).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed("it takes too long".to_owned())),
        };
        read(&answer).ok_or_else(|| failed("it said nothing".to_owned()))
    }
}

impl Going {
    /// Reads until the command ends, which gives its code, or the answer is as wanted.
    pub async fn until(&mut self, done: impl Fn(&[u8]) -> bool) -> Result<Option<i32>, Failure> {
        let reading = async {
            loop {
                match self.events.next().await {
                    Some(Event::Exec(ExecEvent::Output { stream: ExecStream::Stdout, bytes })) => {
                        let room = MAX_ANSWER.saturating_sub(self.answer.len()).min(bytes.len());
                        self.answer.extend_from_slice(&bytes[..room]);
                        if done(&self.answer) {
                            return Ok(None);
                        }
                    }
                    Some(Event::Exec(ExecEvent::Exited { code })) => return Ok(Some(code)),
                    Some(Event::Exec(ExecEvent::Failed(failure))) => return Err(failure),
                    Some(_) => {}
                    None => {
                        let message = "the server has gone";
                        return Err(Failure::new(FailureKind::Unavailable, message));
                    }
                }
            }
        };
        let late = |_| Failure::new(FailureKind::Timeout, "the attack in the box does not end");
        tokio::time::timeout(DEADLINE, reading).await.map_err(late)?
    }

    fn tries(&self) -> Option<Vec<Try>> {
        read(&self.answer)
    }
}

/// The first line that is an answer.
fn read(answer: &[u8]) -> Option<Vec<Try>> {
    answer.split(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok())
}

fn said_nothing(code: Option<i32>) -> Failure {
    let code = code.map_or_else(String::new, |code| format!(", ended with code {code}"));
    Failure::new(FailureKind::Unavailable, format!("the attack told nothing{code}"))
}

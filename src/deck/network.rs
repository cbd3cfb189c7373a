//! What environments may reach: their gates, what these refused, and changes while a box runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::shared::Shared;
use super::state::Report;
use super::{Answer, Message};
use crate::egress::{self, Gate, Gateway};
use crate::model::destination::{Denial, HostPort};
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::policy::{NetworkMode, NetworkPolicy};
use crate::proto::Reply;

/// Least time between two reports of what was refused: a person reads no faster.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// Entries of one environment; each is looked at for every request.
const MAX_ENTRIES: usize = 256;

/// Answers with a `changed` environment, known by what it was and its new policy, once the disk has
/// that. Where the disk does not take it it is taken back: the next server would know the former.
pub(super) async fn answer(
    shared: Arc<Shared>,
    changed: Result<(Environment, NetworkPolicy), Failure>,
    reply: Answer,
) {
    let answer = async {
        let (former, network) = changed?;
        if let Err(failure) = shared.keeper.durable(&former.id).await {
            let Environment { id: environment, network: former, .. } = former;
            let message = Message::NetworkUnkept { environment, network, former };
            let _ = shared.messages.send(message).await;
            return Err(failure);
        }
        Ok(Reply::Environment(Box::new(shared.record(&former.id).await?.view())))
    };
    let _ = reply.send(answer.await);
}

/// The gate of each environment. It stays while its box is stopped, with what it refused.
#[derive(Default)]
pub(super) struct Gates {
    known: Mutex<HashMap<EnvironmentId, Known>>,
}

struct Known {
    gate: Arc<Gate>,
    /// What serves the gate and tells of it. They end with the set.
    tasks: JoinSet<()>,
}

impl Gates {
    /// Serves a box's gateway connections, by the newest policy of its environment.
    pub fn open(
        &self,
        environment: &Environment,
        gateway: &Arc<Gateway>,
        listener: UnixListener,
        messages: &mpsc::Sender<Message>,
    ) {
        let mut known = self.lock();
        let known = known_or_new(&mut known, &environment.id, &environment.network);
        known.tasks = JoinSet::new();
        let serving = gateway.serve(listener, known.gate.clone());
        let serving = AbortOnDrop(serving);
        known.tasks.spawn(async move { serving.ended().await });
        known.tasks.spawn(tell(known.gate.clone(), environment.id.clone(), messages.clone()));
    }

    pub fn close(&self, environment: &EnvironmentId) {
        if let Some(known) = self.lock().get_mut(environment) {
            known.tasks.abort_all();
        }
    }

    pub fn forget(&self, environment: &EnvironmentId) {
        self.lock().remove(environment);
    }

    /// Judges by another policy from now on, also where the box is only being made. Returns what is
    /// denied still.
    pub fn set_policy(&self, environment: &EnvironmentId, policy: &NetworkPolicy) -> Vec<Denial> {
        let mut known = self.lock();
        let gate = &known_or_new(&mut known, environment, policy).gate;
        gate.set_policy(policy.clone());
        gate.denied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known_or_new<'a>(
    known: &'a mut HashMap<EnvironmentId, Known>,
    environment: &EnvironmentId,
    policy: &NetworkPolicy,
) -> &'a mut Known {
    known
        .entry(environment.clone())
        .or_insert_with(|| Known { gate: Gate::new(policy.clone()), tasks: JoinSet::new() })
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    async fn ended(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the deck of every refusal, several at a time.
async fn tell(gate: Arc<Gate>, environment: EnvironmentId, messages: mpsc::Sender<Message>) {
    let mut changes = gate.changes();
    loop {
        let report = Report::Denied(gate.denied());
        let message = Message::Report { environment: environment.clone(), report };
        if messages.send(message).await.is_err() {
            return;
        }
        sleep(REPORT_PAUSE).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// An environment's policy with one entry more. One that reached nothing reaches what is named.
pub(super) fn allowed(
    environment: &Environment,
    entry: &HostPort,
) -> Result<NetworkPolicy, Failure> {
    egress::check_entry(entry)?;
    let mut policy = changeable(environment)?.clone();
    if policy.mode == NetworkMode::None {
        policy.mode = NetworkMode::Allow;
    }
    if !policy.allow.contains(entry) {
        policy.allow.push(entry.clone());
    }
    if policy.allow.len() > MAX_ENTRIES {
        let message = format!("{} has {MAX_ENTRIES} entries already", environment.name);
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("name many hosts by one entry, as in *.example.org:443"));
    }
    Ok(policy)
}

/// The same with one entry less.
pub(super) fn disallowed(
    environment: &Environment,
    entry: &HostPort,
) -> Result<NetworkPolicy, Failure> {
    let mut policy = changeable(environment)?.clone();
    let before = policy.allow.len();
    policy.allow.retain(|named| named != entry);
    if policy.allow.len() == before {
        let named: Vec<String> = policy.allow.iter().map(ToString::to_string).collect();
        let hint = if named.is_empty() {
            "it has no entries".to_owned()
        } else {
            format!("its entries are {}", named.join(" "))
        };
        let message = format!("{entry} is not among the entries of {}", environment.name);
        return Err(Failure::new(FailureKind::NotFound, message).hint(hint));
    }
    Ok(policy)
}

/// The policy of an environment that has a gate.
fn changeable(environment: &Environment) -> Result<&NetworkPolicy, Failure> {
    if environment.network.mode == NetworkMode::Bridge {
        let message = format!("{} has a real route and no gateway", environment.name);
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("make one with --network allow to choose what it reaches"));
    }
    Ok(&environment.network)
}

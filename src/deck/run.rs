//! The loop: owns the state, answers at once what the state knows, hands the rest to tasks.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::ahead::{self, Source};
use super::answering::answer_later;
use super::forking::{self, Forking};
use super::hub::in_scope;
use super::keeping::Keeper;
use super::making::{self, Prepared};
use super::shared::{Parts, Shared, blocking, canonical, now};
use super::state::{Effect, Record, Report, State};
use super::step::{Step, reached};
use super::{
    Answer, ClientId, Deck, MAX_WAITING, Message, disk, endpoints, events, halves, jobs, network,
    packing, predicting, recover, sending, trash, usage,
};
use crate::egress::Gateway;
use crate::engine::docker::Docker;
use crate::engine::native::Native;
use crate::model::attention::Attend;
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, EnvironmentName, SessionId};
use crate::model::policy::{EngineKind, NetworkPolicy};
use crate::model::screen::Size;
use crate::proto::{Reply, Request, Target};
use crate::store::Layout;
use crate::watch::Watcher;

/// Notices of quiet batches under way; the watcher merges what waits.
const MAX_NOTICES: usize = 64;

pub(super) fn open(home: &Path) -> anyhow::Result<Deck> {
    let layout = Layout::new(home);
    layout.create()?;
    let (messages, received) = mpsc::channel(MAX_WAITING);
    let (notices, noticed) = mpsc::channel(MAX_NOTICES);
    let shared = Arc::new(Shared::new(Parts {
        deck: recover::deck_tag(&layout)?,
        native: Arc::new(Native::new(home)),
        docker: Arc::new(Docker::connect(home)),
        gateway: Gateway::apart()?,
        watcher: Watcher::new(notices)?,
        messages: messages.clone(),
        keeper: Arc::new(Keeper::new(layout.clone())),
        layout,
    }));
    shared.docker.remember(&endpoints::read(&shared.layout));
    recover::break_locks(&shared.layout);
    recover::settle_discards(&shared)?;
    halves::sweep(&shared.layout)?;
    let recover::Found { records, unread } = recover::read_records(&shared)?;
    let mut run = Run { state: State::default(), shared: shared.clone() };
    tokio::spawn(shared.keeper.clone().run());
    for record in &records {
        let effects = run.state.take_up(record.clone(), now());
        run.perform(effects);
        recover::expect_screens(&shared, record);
        sending::take_up(&shared, record, None);
    }
    for view in unread {
        shared.hub.publish(view.clone());
        run.state.set_aside(view);
    }
    tokio::spawn(run.run(received));
    tokio::spawn(jobs::dispatch(shared.clone(), noticed));
    tokio::spawn(recover::resume(shared.clone(), records));
    for kind in [EngineKind::Native, EngineKind::Docker] {
        tokio::spawn(events::follow(shared.clone(), kind));
    }
    tokio::spawn(usage::sample(shared.clone()));
    tokio::spawn(predicting::follow(shared.clone()));
    tokio::spawn(disk::guard(shared.clone()));
    tokio::spawn(trash::tend(shared.clone()));
    tokio::spawn(packing::tend(shared.clone()));
    Ok(Deck { messages, shared })
}

struct Run {
    state: State,
    shared: Arc<Shared>,
}

impl Run {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Request { client, request, reply } => self.answer(client, request, reply),
                Message::Prepared(prepared, reply) => {
                    let comes_along = prepared.spec.with_changes;
                    match self.create(*prepared) {
                        Ok(made) => self.promise_new(made, comes_along, reply),
                        failed => self.promise(failed, reply),
                    }
                }
                Message::Fork(forking, reply) => {
                    let listed = self.fork(*forking);
                    self.promise(listed, reply);
                }
                Message::Begin { environment, reply } => {
                    let (begun, effects) = self.state.begin(&environment, now());
                    self.perform(effects);
                    let _ = reply.send(begun);
                }
                Message::Report { environment, report } => {
                    let effects = self.state.apply(&environment, report, now());
                    self.perform(effects);
                }
                Message::Record { environment, reply } => {
                    let _ = reply.send(self.state.get(&environment).cloned());
                }
                Message::Resolve { target, reply } => {
                    let _ = reply.send(self.state.resolve(&target).cloned());
                }
                Message::ResolveUnread { target, reply } => {
                    let _ = reply.send(self.state.resolve_unread(&target).cloned());
                }
                Message::Discarded { environment } => {
                    let effects = self.state.remove(&environment);
                    self.perform(effects);
                }
                Message::Restored(record) => {
                    sending::take_up(&self.shared, &record, Some("it was discarded meanwhile"));
                    let effects = self.state.restore(*record);
                    self.perform(effects);
                }
                Message::NetworkUnkept { environment, network, former } => {
                    let record = self.state.get(&environment);
                    // Changed once more meanwhile, it is somebody else's to answer for.
                    if record.is_some_and(|record| record.environment.network == network) {
                        self.set_network(&environment, &former);
                    }
                }
                Message::ClientGone(client) => {
                    let effects = self.state.give_keyboards(client, None);
                    self.keyboards_given(effects);
                }
                Message::Stop(done) => {
                    self.shared.hub.stopping();
                    for record in self.state.records() {
                        self.shared.save_screens(&record.environment.id);
                    }
                    self.shared.keeper.sync();
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(id) => self.persist(&id),
                Effect::Publish(id) => {
                    if let Some(record) = self.state.get(&id) {
                        self.shared.hub.publish(record.view());
                        self.shared.prompts.nudge(&id);
                    }
                }
                Effect::Remove(id) => {
                    self.shared.forget(&id);
                    self.shared.hub.remove(&id);
                }
            }
        }
    }

    /// Writes a record before anything else: what the loop says next must be true after a kill.
    fn persist(&self, id: &EnvironmentId) {
        let Some(record) = self.state.get(id) else { return };
        if let Err(error) = self.shared.keeper.write(record) {
            tracing::error!(%id, "the record was not written: {error:#}");
        }
    }

    /// Answers with an environment once the disk has its record.
    fn promise(&self, answer: Result<Environment, Failure>, reply: Answer) {
        let keeper = self.shared.keeper.clone();
        tokio::spawn(async move {
            let answer = match answer {
                Ok(environment) => keeper
                    .durable(&environment.id)
                    .await
                    .map(|()| Reply::Environment(Box::new(environment))),
                Err(failure) => Err(failure),
            };
            let _ = reply.send(answer);
        });
    }

    /// The same of one from the user's files, noting what of their work is not among its own.
    fn promise_new(&self, mut made: Environment, comes_along: bool, reply: Answer) {
        let shared = self.shared.clone();
        let root = made.repository.clone();
        let look = blocking(move || Ok(making::uncommitted_note(&root, comes_along)));
        tokio::spawn(async move {
            let answer = async {
                let (kept, note) = tokio::join!(shared.keeper.durable(&made.id), look);
                kept?;
                if let Some(note) = note? {
                    // What comes along is noted of what was copied, with the files.
                    if !comes_along {
                        shared.report(&made.id, Report::Note(note.clone())).await;
                    }
                    made.notes.push(note);
                }
                Ok(Reply::Environment(Box::new(made)))
            };
            let _ = reply.send(answer.await);
        });
    }

    /// Answers from the state, or hands the request to a task that will.
    fn answer(&mut self, client: ClientId, request: Request, reply: Answer) {
        match &request {
            Request::AllowDestination { target, entry } => {
                return self.change_network(target, |view| network::allowed(view, entry), reply);
            }
            Request::DisallowDestination { target, entry } => {
                return self.change_network(target, |view| network::disallowed(view, entry), reply);
            }
            _ => {}
        }
        if let Some(answer) = self.answer_now(client, &request) {
            let _ = reply.send(answer);
            return;
        }
        let (shared, environments) = (self.shared.clone(), self.state.records().count());
        tokio::spawn(answer_later(shared, request, environments as u32, reply));
    }

    fn answer_now(
        &mut self,
        client: ClientId,
        request: &Request,
    ) -> Option<Result<Reply, Failure>> {
        match request {
            Request::ListEnvironments { repository } => {
                let path = repository.as_deref().map(canonical);
                let views = self.state.records().map(Record::view);
                let views = views.chain(self.state.unread().cloned());
                let mut listed: Vec<_> =
                    views.filter(|view| in_scope(view, path.as_deref())).collect();
                listed.sort_by_key(|view| view.created);
                Some(Ok(Reply::Environments(listed)))
            }
            Request::TakeKeyboard { environment, session } => {
                let taken = self.state.take_keyboard(environment, *session, client);
                self.keyboards_changed([environment.clone()]);
                Some(taken.map(|effects| {
                    self.perform(effects);
                    Reply::Done
                }))
            }
            Request::ResizeSession { environment, session, size } => {
                Some(self.resize(client, environment, *session, *size))
            }
            Request::MarkReviewed { target, mark } => {
                let marked = self.state.resolve(target).map(|record| record.environment.id.clone());
                Some(marked.map(|id| {
                    let report = Report::Reviewed(mark.clone());
                    let effects = self.state.apply(&id, report, now());
                    self.perform(effects);
                    Reply::Done
                }))
            }
            Request::Attend { target, attend } => Some(self.attend(target, *attend)),
            Request::GiveKeyboard { environment, session } => {
                let effects = self.state.give_keyboards(client, Some((environment, *session)));
                self.keyboards_given(effects);
                Some(Ok(Reply::Done))
            }
            _ => None,
        }
    }

    /// Changes a session's size, for its program and for everyone who watches it. While somebody
    /// holds its keyboard the size is theirs: nothing is repainted under their hands.
    fn resize(
        &self,
        client: ClientId,
        environment: &EnvironmentId,
        session: SessionId,
        size: Size,
    ) -> Result<Reply, Failure> {
        if self.state.holder(environment, session).is_none_or(|holder| holder == client) {
            self.shared.link(environment)?.resize(session, size.clamped())?;
        }
        Ok(Reply::Done)
    }

    fn attend(&mut self, target: &Target, attend: Attend) -> Result<Reply, Failure> {
        let record = self.state.resolve(target)?;
        let (id, before) = (record.environment.id.clone(), record.environment.attention.noticed);
        let effects = self.state.apply(&id, Report::Attended(attend), now());
        self.perform(effects);
        let after = self.state.get(&id).map(|record| record.environment.attention.noticed);
        Ok(Reply::Attended { first: after.is_some_and(|noticed| noticed > before) })
    }

    fn keyboards_given(&mut self, effects: Vec<Effect>) {
        let published = effects.iter().filter_map(|effect| match effect {
            Effect::Publish(id) => Some(id.clone()),
            _ => None,
        });
        self.keyboards_changed(published);
        self.perform(effects);
    }

    /// What was done by one hand ends with a snapshot before another's begins.
    fn keyboards_changed(&self, environments: impl IntoIterator<Item = EnvironmentId>) {
        for id in environments {
            if let Some(snapshotter) = self.shared.snapshotter(&id) {
                snapshotter.takeover();
            }
        }
    }

    /// Writes an environment's changed network policy down and judges by it from now on.
    fn change_network(
        &mut self,
        target: &Target,
        change: impl FnOnce(&Environment) -> Result<NetworkPolicy, Failure>,
        reply: Answer,
    ) {
        let try_change = || -> Result<(Environment, NetworkPolicy), Failure> {
            let former = self.state.resolve(target)?.environment.clone();
            let policy = change(&former)?;
            self.set_network(&former.id, &policy);
            Ok((former, policy))
        };
        let changed = try_change();
        tokio::spawn(network::answer(self.shared.clone(), changed, reply));
    }

    fn set_network(&mut self, id: &EnvironmentId, policy: &NetworkPolicy) {
        let effects = self.state.apply(id, Report::NetworkChanged(policy.clone()), now());
        self.perform(effects);
        let denied = self.shared.gates.set_policy(id, policy);
        let effects = self.state.apply(id, Report::Denied(denied), now());
        self.perform(effects);
    }

    /// Lists a new environment and begins to make it.
    fn create(&mut self, prepared: Prepared) -> Result<Environment, Failure> {
        let repository = &prepared.root;
        let name = match &prepared.spec.name {
            Some(name) => name.clone(),
            None => self.new_name(repository)?,
        };
        self.state.check_name(repository, &name)?;
        let (id, source) = self.shared.ahead.choose(&prepared.repository_id, &prepared.origin)?;
        let record = making::record(&prepared, id, name, source);
        let environment = self.list(&record, source)?;
        let Prepared { spec, profile, .. } = prepared;
        let size = spec.size.clamped();
        tokio::spawn(making::make(self.shared.clone(), record, profile, spec.variables, size));
        Ok(environment)
    }

    /// Lists a fork and begins to make it.
    fn fork(&mut self, forking: Forking) -> Result<Environment, Failure> {
        let record = forking::record(&self.state, &forking)?;
        let environment = self.list(&record, Source::Nothing)?;
        tokio::spawn(forking::make(self.shared.clone(), record, forking));
        Ok(environment)
    }

    /// Makes the directory of a new environment and puts its record there before all else.
    fn list(&mut self, record: &Record, source: Source) -> Result<Environment, Failure> {
        let id = &record.environment.id;
        let places = self.shared.layout.environment(id);
        ahead::put_in_place(&self.shared, record, source)?;
        places.create().map_err(|error| making::disk(&places.directory, &error))?;
        reached(Step::DirectoryMade);
        if let Err(error) = self.shared.keeper.write(record) {
            self.shared.keeper.forget(id);
            let _ = std::fs::remove_dir_all(&places.directory);
            return Err(Failure::new(FailureKind::Unavailable, format!("{error:#}"))
                .hint("make room on that disk or set AGENTDECK_HOME to a directory elsewhere"));
        }
        reached(Step::RecordWritten);
        let environment = record.environment.clone();
        let mut effects = self.state.insert(record.clone());
        effects.retain(|effect| !matches!(effect, Effect::Persist(_)));
        self.perform(effects);
        Ok(environment)
    }

    /// A readable name that no environment of the repository has.
    fn new_name(&self, repository: &Path) -> Result<EnvironmentName, Failure> {
        /// Two words of lists this long collide seldom; a hundred times in a row, never.
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let Some(words) = petname::petname(2, "-") else { continue };
            if let Ok(name) = EnvironmentName::parse(&words)
                && self.state.check_name(repository, &name).is_ok()
            {
                return Ok(name);
            }
        }
        Err(Failure::new(FailureKind::Internal, "no free name was found").hint("give one yourself"))
    }
}

//! What a start finds: records on disk, boxes that went on without a server, work half done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::actor;
use super::deciding;
use super::events;
use super::halves;
use super::holding;
use super::keeping::{self, boot};
use super::making::{self, FirstLook, watch};
use super::programs;
use super::shared::Shared;
use super::state::{Matter, Record, Report};
use super::step;
use super::stores;
use super::taking;
use super::terminal::Terminal;
use super::unread;
use crate::engine::{Asked, BoxRecord, BoxState};
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, RepositoryId, SessionId};
use crate::model::policy::{EngineKind, NetworkMode};
use crate::store::{self, Layout};

/// How long an engine has to say how a box stands. Past that the shim is asked: it answers without
/// its engine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

/// What is known of the environments of a home.
pub(super) struct Found {
    pub records: Vec<Record>,
    /// Those whose records cannot be read.
    pub unread: Vec<Environment>,
}

/// Reads the records of a home. One that cannot be read is left where it is.
pub(super) fn read_records(shared: &Arc<Shared>) -> anyhow::Result<Found> {
    let (layout, mut records, mut aside) = (&shared.layout, Vec::new(), Vec::new());
    for id in layout.environment_ids()? {
        let places = layout.environment(&id);
        match keeping::read(&places) {
            Ok(Some(record)) if record.environment.id == id => {
                if record.workspace_made && matches!(keeping::read_unsynced(&places), Ok(Some(_))) {
                    // Nobody knows whether the server that wrote it came to bring the snapshot that
                    // it speaks of to the disk.
                    let keeping = making::keep_snapshot(shared, &record);
                    tokio::spawn(making::note_unkept(shared.clone(), id, keeping));
                }
                records.push(settle_network(record));
            }
            Ok(Some(record)) => {
                tracing::warn!(%id, "its record is that of {}", record.environment.id);
                aside.push(unread::view(&places, &id));
            }
            Ok(None) => remove_unrecorded(layout, &id),
            Err(error) => {
                tracing::warn!(%id, "not read: {error:#}");
                aside.push(unread::view(&places, &id));
            }
        }
    }
    Ok(Found { records, unread: aside })
}

/// What was refused is only known of this server's time. With the network off entries once meant
/// what the mode `allow` means.
fn settle_network(mut record: Record) -> Record {
    let environment = &mut record.environment;
    environment.denied.clear();
    if environment.network.mode == NetworkMode::None && !environment.network.allow.is_empty() {
        environment.network.mode = NetworkMode::Allow;
    }
    record
}

/// Removes the empty directories of an environment whose record was never written. What holds
/// anything stays, for it is not ours to judge, unless a power cut came before the disk had the
/// record: then nobody was told of the environment yet.
fn remove_unrecorded(layout: &Layout, id: &EnvironmentId) {
    let places = layout.environment(id);
    if places.unsynced_record().exists() {
        if let Err(error) = crate::engine::remove_tree(&places.directory) {
            tracing::warn!(%id, "{} could not be removed: {error}", places.directory.display());
        }
        return;
    }
    for record in [places.record(), places.unsynced_record()] {
        let _ = std::fs::remove_file(record.with_extension("json.new"));
    }
    for directory in [places.agent_home(), places.run(), places.screens(), places.directory] {
        if let Err(error) = std::fs::remove_dir(&directory) {
            tracing::warn!(%id, "{} has no record: {error}", directory.display());
        }
    }
}

/// Makes an empty screen for each session that has no file yet, so that clients can watch it while
/// its box is still being asked.
pub(super) fn expect_screens(shared: &Shared, record: &Record) {
    let id = &record.environment.id;
    for session in &record.environment.sessions {
        if !shared.screen_path(id, session.id).exists() {
            shared.set_terminal(id, session.id, Arc::new(Terminal::new(session.size)));
        }
    }
}

/// Removes locks that a killed server left in the stores, of refs and of what is known of files:
/// whoever opens the deck is alone in them, and each would keep its environment from ever taking a
/// snapshot again. With them goes what was to become a file of a journal.
pub(super) fn break_locks(layout: &Layout) {
    /// `snapshots.git/refs/agentdeck/ENVIRONMENT/NAME.lock`
    const DEPTH: u32 = 5;
    let mut waiting = vec![(layout.home().join("repositories"), DEPTH + 1)];
    while let Some((directory, depth)) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory && depth > 0 && name != "objects" {
                waiting.push((path, depth - 1));
            } else if !is_directory
                && path.extension().is_some_and(|ending| {
                    ending == "lock" || ending == "new" && directory.ends_with("journal")
                })
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::warn!("{}: {error}", path.display());
            }
        }
    }
}

/// Puts discarded environments where the journals say that they belong.
pub(super) fn settle_discards(shared: &Shared) -> anyhow::Result<()> {
    for repository in std::fs::read_dir(shared.layout.home().join("repositories"))? {
        let repository = repository?.path();
        if let Err(failure) = taking::settle_discards(shared, &repository) {
            tracing::warn!("{}: a discard was left half done: {failure}", repository.display());
        }
    }
    Ok(())
}

/// Takes up every repository side by side: one that does not answer holds no other up.
pub(super) async fn resume(shared: Arc<Shared>, records: Vec<Record>) {
    let mut repositories: BTreeMap<RepositoryId, Vec<Record>> = BTreeMap::new();
    // Something may be half done where no environment is left.
    for repository in repositories_of(&shared.layout) {
        repositories.entry(repository).or_default();
    }
    for record in &records {
        repositories.entry(record.repository_id.clone()).or_default().push(record.clone());
    }
    for (repository, records) in repositories {
        tokio::spawn(resume_repository(shared.clone(), repository, records));
    }
    for kind in [EngineKind::Native, EngineKind::Docker] {
        remove_orphans(&shared, kind).await;
    }
    tokio::spawn(remove_unused(shared));
}

/// Removes, now and again, what is of no use any more.
async fn remove_unused(shared: Arc<Shared>) {
    /// It is kept for days; some hours more do not count.
    const EVERY: Duration = Duration::from_hours(6);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(failure) = programs::remove_unused(&shared).await {
            tracing::info!("other versions of this program stay: {failure}");
        }
        for kind in [EngineKind::Native, EngineKind::Docker] {
            if let Err(failure) = shared.engine(kind).remove_unused().await {
                tracing::warn!("what the {kind} engine keeps in vain stays: {failure}");
            }
        }
    }
}

/// The repositories that anything is kept of.
pub(super) fn repositories_of(layout: &Layout) -> Vec<RepositoryId> {
    let entries = std::fs::read_dir(layout.home().join("repositories")).into_iter().flatten();
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.map(RepositoryId).collect()
}

/// Ends what was being decided in a repository, then takes up its environments: their boxes and
/// their workspaces.
async fn resume_repository(shared: Arc<Shared>, repository: RepositoryId, records: Vec<Record>) {
    if let Err(failure) = deciding::settle(&shared, &repository).await {
        tracing::warn!("a decision was left half done: {failure}");
        let note = format!("a decision could not be finished: {failure}");
        for record in &records {
            shared.report(&record.environment.id, Report::Note(note.clone())).await;
        }
    }
    for record in records {
        tokio::spawn(resume_one(shared.clone(), record));
    }
}

async fn resume_one(shared: Arc<Shared>, record: Record) {
    let id = record.environment.id.clone();
    if halves::is_half_made(&record) {
        return halves::take_up(&shared, record).await;
    }
    if record.workspace_made {
        stores::pin_again(&shared, &record).await;
    }
    if record.workspace_made
        && let Err(failure) = watch(&shared, &record, FirstLook::AtOnce).await
    {
        let note = Some(format!("changes are not noticed: {failure}"));
        shared.report(&id, Report::Matter { matter: Matter::Watching, note }).await;
    }
    if record.files_made
        && !record.workspace_made
        && !matches!(record.environment.state, EnvironmentState::Failed { .. })
    {
        tokio::spawn(making::finish_files(shared.clone(), record.clone()));
    }
    if let EnvironmentState::Failed { .. } = record.environment.state {
        if let Err(failure) = halves::end_box(&shared, &record).await {
            tracing::warn!(%id, "what was made of its box could not be ended: {failure}");
        }
        return;
    }
    let Some(made) = record.record.clone() else { return };
    match state_of(&shared, &record, &made).await {
        BoxState::Running | BoxState::Paused => {
            end_pause(&shared, &id, &made).await;
            let shut = shared.open_gate(&record).err();
            let note = shut.map(|failure| format!("no network: {failure}"));
            shared.report(&id, Report::Matter { matter: Matter::Network, note }).await;
            let (ready, connected) = oneshot::channel();
            shared.supervise(&id, actor::supervise(shared.clone(), record.clone(), ready, None));
            if connected.await.is_ok() {
                let turn = shared.turn(&id);
                let turn = turn.lock().await;
                if is_paused(&shared, &id).await {
                    // What would read is frozen too; whoever resumes the box reads it back.
                    shared.report(&id, Report::IsolationUnknown).await;
                } else {
                    read_isolation(&shared, &record, &made).await;
                }
                drop(turn);
                making::finish_agent(&shared, &id).await;
            }
        }
        // That was known, and whoever wants it to run may have begun to start it.
        BoxState::Stopped | BoxState::Gone
            if record.environment.state == EnvironmentState::Stopped => {}
        BoxState::Stopped | BoxState::Gone => ended(&shared, &record, &made).await,
    }
}

/// Has a box go on that stands still for nobody: what the pause was for ended with its server, or
/// the pause was noted and does not hold, so that it never came, or only to some of its programs.
async fn end_pause(shared: &Arc<Shared>, id: &EnvironmentId, made: &BoxRecord) {
    let turn = shared.turn(id);
    let _turn = turn.lock().await;
    // A user may have paused it since the server began, and what they say holds.
    let Ok(record) = shared.record(id).await else { return };
    if !matches!(record.environment.state, EnvironmentState::Paused { .. }) {
        return;
    }
    let standing = shared.engine(record.environment.engine).state(made).await;
    let is_broken = matches!(standing, Ok(BoxState::Running));
    let held = is_broken || holding::is_left_over(&record.environment);
    holding::let_go(shared, &record, held).await;
}

/// Takes up an environment whose box ended while no server ran. With the machine everything ends,
/// and nothing need be said of it nor started unasked; with its engine, it goes on as it would
/// have with a server there.
async fn ended(shared: &Arc<Shared>, record: &Record, made: &BoxRecord) {
    if record.environment.state == EnvironmentState::Stopped {
        // Nothing is new, and it may be on its way up again for a person.
        return;
    }
    let id = &record.environment.id;
    let same_boot = made.boot == boot();
    let engine = shared.engine(record.environment.engine);
    // Its engine may have lost sight of what goes on of it.
    if same_boot && let Err(failure) = engine.stop(made, Duration::ZERO).await {
        tracing::warn!(%id, "what is left of its box: {failure}");
    }
    let with_engine = same_boot
        && record.wanted
        && was_at_work(&record.environment)
        && engine.ended_with_engine(made).await.unwrap_or_else(|failure| {
            tracing::info!(%id, "why its box ended is not known: {failure}");
            false
        });
    if same_boot && !with_engine {
        shared.report(id, Report::EndedUnasked).await;
    }
    shared.report(id, Report::Stopped).await;
    if with_engine && let Ok(record) = shared.record(id).await {
        events::start_after_engine(shared, record).await;
    }
}

/// Whether the agent was at work in a box that has ended since. One that ended by itself is not
/// run a second time, and what was paused was not to go on.
fn was_at_work(environment: &Environment) -> bool {
    let ran = matches!(
        environment.state,
        EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. }
    );
    let agent = environment.session(SessionId::AGENT);
    ran && agent.is_some_and(|agent| agent.state == SessionState::Running)
}

async fn is_paused(shared: &Shared, id: &EnvironmentId) -> bool {
    let record = shared.record(id).await;
    record.is_ok_and(|it| matches!(it.environment.state, EnvironmentState::Paused { .. }))
}

/// Reads back what holds a box that went on without a server, or was changed while it ran.
pub(super) async fn read_isolation(shared: &Arc<Shared>, record: &Record, made: &BoxRecord) {
    let id = &record.environment.id;
    let asked = Asked::from(&record.environment);
    shared.report(id, Report::IsolationUnknown).await;
    match shared.engine(record.environment.engine).isolation(made, &asked).await {
        Ok(isolation) => {
            // It ran without a server too; ending it now is the user's to decide.
            let unmet = isolation.unmet(&record.environment.require);
            let note = unmet.map(|fact| {
                format!("{} is required and does not hold: {}", fact.aspect, fact.evidence)
            });
            shared.report(id, Report::Isolation(isolation)).await;
            shared.report(id, Report::Matter { matter: Matter::Isolation, note }).await;
        }
        Err(failure) => {
            let note = Some(format!("what holds the box could not be read back: {failure}"));
            shared.report(id, Report::Matter { matter: Matter::Isolation, note }).await;
        }
    }
}

/// The record of an environment, after a moment in which a server that just began may come to know
/// how it stands.
pub(super) async fn hear(shared: &Shared, id: &EnvironmentId) -> Result<Record, Failure> {
    /// As long as an engine has to answer, and a moment for the box itself.
    const PATIENCE: Duration = ANSWER_DEADLINE.saturating_add(Duration::from_secs(1));
    /// Short beside what a person notices.
    const PAUSE: Duration = Duration::from_millis(20);
    let asked = tokio::time::Instant::now();
    loop {
        let record = shared.record(id).await?;
        if record.unheard.is_none() || asked.elapsed() > PATIENCE {
            return Ok(record);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks the engine until it answers; meanwhile the environment says that it does not.
async fn state_of(shared: &Arc<Shared>, record: &Record, made: &BoxRecord) -> BoxState {
    /// An engine that starts needs seconds.
    const PAUSE: Duration = Duration::from_secs(2);
    let engine = shared.engine(record.environment.engine);
    step::wait_at(step::ENGINE_ASKED).await;
    loop {
        let answer = tokio::time::timeout(ANSWER_DEADLINE, engine.state(made)).await;
        let late = |_| Err(Failure::new(FailureKind::Timeout, "the engine does not answer"));
        match answer.unwrap_or_else(late) {
            Ok(state) => return state,
            // Whatever the engine says or leaves unsaid, a shim that answers has a box.
            Err(_) if engine.open_channel(made).await.is_ok() => return BoxState::Running,
            Err(failure) => {
                let message = failure.to_string();
                shared.report(&record.environment.id, Report::Unreachable { message }).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Removes boxes of this home that no record and no discarded environment stands for, at the
/// engines of a kind that answer. Where one is away, this is for when it is back.
pub(super) async fn remove_orphans(shared: &Shared, kind: EngineKind) {
    let engine = shared.engine(kind);
    let Ok(found) = engine.list(&shared.deck).await else { return };
    let mut removed = Vec::new();
    for id in found {
        if is_kept(&shared.layout, &id) {
            continue;
        }
        match engine.remove_orphan(&shared.deck, &id).await {
            Ok(()) => removed.push(id),
            Err(failure) => tracing::warn!(%id, "a box that nothing stands for: {failure}"),
        }
    }
    if removed.is_empty() {
        return;
    }
    // Some of it may be in use by what is not ours.
    let Ok(left) = engine.list(&shared.deck).await else { return };
    for id in removed.iter().filter(|id| !left.contains(id)) {
        tracing::info!(%id, "removed a box that nothing stands for");
    }
}

/// Whether anything in the home stands for a box. What was made ahead becomes an environment by a
/// rename, is discarded by one and comes back by one: looked at in this order, with the
/// environments twice, none of these moves is missed.
fn is_kept(layout: &Layout, id: &EnvironmentId) -> bool {
    let is_recorded = || layout.environment(id).is_recorded();
    layout.ahead().join(id.as_str()).exists()
        || is_recorded()
        || layout.trash(id).exists()
        || is_recorded()
}

/// This home's own tag, made once.
pub(super) fn deck_tag(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.home().join("deck");
    if let Ok(tag) = std::fs::read_to_string(&path)
        && tag.len() == 16
    {
        return Ok(tag);
    }
    let tag = format!("{:016x}", u64::from_be_bytes(random_bytes()?));
    store::write_file(&path, tag.as_bytes())?;
    Ok(tag)
}

/// A fresh identity for an environment.
pub(super) fn new_id() -> Result<EnvironmentId, Failure> {
    let bytes = random_bytes().map_err(|error| {
        Failure::new(FailureKind::Internal, format!("no random bytes: {error}"))
    })?;
    Ok(EnvironmentId::from_random(bytes))
}

pub(super) fn random_bytes() -> std::io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::super::state::tests::record;
    use super::*;
    use crate::model::environment::SessionKind;
    use crate::model::id::Timestamp;
    use crate::model::screen::Size;

    fn agent_opened() -> Report {
        Report::SessionOpened {
            session: SessionId::AGENT,
            kind: SessionKind::Agent,
            command: vec!["sh".to_owned()],
            size: Size::DEFAULT,
        }
    }

    #[test]
    fn an_agent_was_at_work_unless_it_ended_by_itself_or_stood_still() {
        let exited = Report::SessionExited { session: SessionId::AGENT, code: 0 };
        let lost = Report::Unreachable { message: "gone".to_owned() };
        let paused = Report::Paused { reason: Some("the disk is full".to_owned()) };
        for (then, expected) in [
            (vec![], true),
            (vec![lost.clone()], true),
            (vec![exited.clone()], false),
            (vec![exited, lost.clone()], false),
            (vec![paused, lost], false),
            (vec![Report::Stopped], false),
        ] {
            let mut state = State::default();
            let record = record(1, "fox", "/shop");
            let id = record.environment.id.clone();
            state.insert(record);
            let told = format!("{then:?}");
            for report in [vec![Report::Running, agent_opened()], then].concat() {
                state.apply(&id, report, Timestamp(1));
            }
            let record = state.get(&id).expect("there");
            assert_eq!(was_at_work(&record.environment), expected, "{told}");
        }
    }
}

use super::*;
use crate::deck::status::Finding;
use crate::model::attention::Attention;
use crate::model::environment::{SessionKind, SessionState};
use crate::model::policy::{EngineKind, Limits, Load, NetworkPolicy};
use crate::model::screen::Size;
use crate::model::snapshot::Divergence;
use crate::model::status::{Claim, Doing, Source, Status};

const START: Timestamp = Timestamp(1_000_000);

pub(in crate::deck) fn record(digit: u8, name: &str, repository: &str) -> Record {
    let environment = Environment {
        id: EnvironmentId::from_random([digit; 8]),
        name: EnvironmentName::parse(name).expect("a name"),
        repository: repository.into(),
        base: CommitId::parse(&"0".repeat(40)).expect("a commit"),
        base_branch: None,
        agent: "shell".to_owned(),
        command: vec!["sh".to_owned()],
        task: None,
        resumed: false,
        engine: EngineKind::Native,
        image: None,
        runtime: None,
        require: Vec::new(),
        network: NetworkPolicy::default(),
        denied: Vec::new(),
        limits: Limits::default(),
        isolation: None,
        state: EnvironmentState::Creating { step: String::new(), done: 0, total: 0 },
        last_known: None,
        state_since: START,
        sessions: Vec::new(),
        divergence: Divergence::default(),
        onto: None,
        prediction: None,
        snapshots: 0,
        last_snapshot: None,
        created: START,
        load: None,
        attention: Attention::default(),
        prompts: Vec::new(),
        trouble: None,
        notes: Vec::new(),
    };
    Record {
        version: RECORD_VERSION,
        environment,
        repository_id: RepositoryId("r".to_owned()),
        work: Work::Profile("shell".to_owned()),
        isolation_request: IsolationRequest::Required,
        endpoint: None,
        record: None,
        workspace_made: false,
        files_made: false,
        variable_names: Vec::new(),
        taken_up: false,
        wanted: true,
        agent_due: false,
        agent_started: false,
        agent_worked: false,
        anew: false,
        with_changes: false,
        fork: None,
        reviewed: Reviewed::default(),
        standing: BTreeMap::new(),
        unheard: None,
    }
}

fn deck(records: impl IntoIterator<Item = Record>) -> State {
    let mut state = State::default();
    for record in records {
        state.insert(record);
    }
    state
}

fn by_name(repository: &str, name: &str) -> Target {
    Target::Name { repository: Some(repository.into()), name: name.to_owned() }
}

fn opened(session: u32) -> Report {
    let kind = if session == 0 { SessionKind::Agent } else { SessionKind::Shell };
    let session = SessionId(session);
    Report::SessionOpened { session, kind, command: Vec::new(), size: Size::DEFAULT }
}

#[test]
fn a_name_means_the_environment_of_the_repository_at_hand() {
    let (here, there) = (record(1, "otter", "/a"), record(2, "otter", "/b"));
    let ids = (here.environment.id.clone(), there.environment.id.clone());
    let state = deck([here, there, record(3, "heron", "/b")]);
    let found = |target| state.resolve(&target).map(|record| record.environment.id.clone());
    assert_eq!(found(by_name("/a/src", "otter")), Ok(ids.0));
    assert_eq!(found(by_name("/b", "otter")), Ok(ids.1));
    // From elsewhere, a name that is the only one will do; an ambiguous one will not.
    assert!(found(by_name("/a", "heron")).is_ok());
    let failure = found(by_name("/c", "otter")).expect_err("ambiguous");
    assert_eq!(failure.kind, FailureKind::Invalid);
    let failure = found(by_name("/a", "lynx")).expect_err("unknown");
    assert_eq!(failure.kind, FailureKind::NotFound);
}

#[test]
fn output_is_told_in_steps_and_never_written() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    state.apply(&id, opened(0), START);
    let mut print = |at: u64| {
        let report = Report::Output { session: SessionId::AGENT, title: String::new() };
        state.apply(&id, report, Timestamp(START.0 + at))
    };
    assert_eq!(print(1), [Effect::Publish(id.clone())]);
    assert_eq!(print(5_000), []);
    assert_eq!(print(10_002), [Effect::Publish(id.clone())]);
    assert_eq!(print(1), [Effect::Publish(id.clone())], "the clock was set back");
}

#[test]
fn a_keyboard_is_given_back_when_its_holder_leaves() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    state.apply(&id, opened(0), START);
    let taken = |state: &State| state.get(&id).expect("listed").environment.sessions[0].taken;
    state.take_keyboard(&id, SessionId::AGENT, ClientId(1)).expect("taken");
    assert!(taken(&state));
    assert_eq!(state.holder(&id, SessionId::AGENT), Some(ClientId(1)));
    assert_eq!(state.give_keyboards(ClientId(2), None), []);
    assert!(taken(&state));
    state.give_keyboards(ClientId(1), None);
    assert!(!taken(&state));
    state.take_keyboard(&id, SessionId::AGENT, ClientId(1)).expect("taken");
    state.apply(&id, Report::SessionExited { session: SessionId::AGENT, code: 0 }, START);
    assert!(!taken(&state), "nor does anybody hold that of a program which ended");
}

#[test]
fn a_stopped_box_has_no_running_programs() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    state.apply(&id, opened(0), START);
    state.apply(&id, opened(1), START);
    state.apply(&id, Report::Stopped, START);
    let view = &state.get(&id).expect("listed").environment;
    assert_eq!(view.state, EnvironmentState::Stopped);
    let states: Vec<_> = view.sessions.iter().map(|open| (open.id.0, &open.state)).collect();
    assert_eq!(states, [(0, &SessionState::Exited { code: 137, at: START })]);
}

#[test]
fn progress_is_shown_but_not_written() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    let report = Report::Progress { step: "checking out".to_owned(), done: 1, total: 2 };
    assert_eq!(state.apply(&id, report.clone(), START), [Effect::Publish(id.clone())]);
    assert_eq!(state.apply(&id, report, START), []);
    let effects = state.apply(&id, Report::WorkspaceMade, START);
    assert_eq!(effects, [Effect::Persist(id)]);
}

#[test]
fn a_pause_keeps_its_reason_until_it_ends() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    let now = |state: &State| state.get(&id).expect("listed").environment.state.clone();
    state.apply(&id, Report::Running, START);
    state.apply(&id, Report::Paused { reason: Some("full".to_owned()) }, START);
    state.apply(&id, Report::Paused { reason: None }, START);
    state.apply(&id, Report::Running, START);
    state.apply(&id, Report::Unreachable { message: "gone".to_owned() }, START);
    assert_eq!(now(&state), EnvironmentState::Paused { reason: Some("full".to_owned()) });
    state.apply(&id, Report::Resumed, START);
    assert_eq!(now(&state), EnvironmentState::Running);
    state.apply(&id, Report::Stopped, START);
    state.apply(&id, Report::Resumed, START);
    assert_eq!(now(&state), EnvironmentState::Stopped, "what is stopped is not resumed");
}

#[test]
fn a_load_is_told_in_steps_and_never_written() {
    let one = record(1, "otter", "/a");
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    let mut load = |memory| {
        let load = Load { cpu_percent: 0, memory, processes: 2 };
        state.apply(&id, Report::Load(Some(load)), START)
    };
    assert_eq!(load(1000), [Effect::Publish(id.clone())]);
    assert_eq!(load(1100), []);
    assert_eq!(load(1200), [Effect::Publish(id.clone())]);
}

#[test]
fn what_it_died_of_is_said_until_it_runs_again() {
    let mut one = record(1, "otter", "/a");
    one.environment.limits.memory = Some(2 << 30);
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    state.apply(&id, opened(0), START);
    state.apply(&id, Report::OutOfMemory, START);
    state.apply(&id, Report::Stopped, START);
    let trouble = |state: &State| state.get(&id).expect("listed").environment.trouble.clone();
    assert_eq!(trouble(&state).as_deref(), Some("out of memory (limit 2 GiB)"));
    state.begin(&id, START).0.expect("it may be started");
    assert_eq!(trouble(&state), None);
}

#[test]
fn an_agent_that_lives_is_not_to_be_started_again_for_want_of_memory() {
    let mut one = record(1, "otter", "/a");
    one.environment.limits.memory = Some(2 << 30);
    let id = one.environment.id.clone();
    let mut state = deck([one]);
    for report in [Report::Running, opened(0), Report::OutOfMemory] {
        state.apply(&id, report, START);
    }
    let told = |state: &State| {
        state.get(&id).expect("listed").environment.trouble_and_remedy().expect("told")
    };
    assert!(told(&state).ends_with("agentdeck limits otter --memory BYTES sets another limit"));
    assert!(!told(&state).contains("agentdeck start"));
    state.apply(&id, Report::SessionExited { session: SessionId::AGENT, code: 137 }, START);
    assert!(told(&state).ends_with("agentdeck start otter starts it again"));
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let long = "o".repeat(40);
    let state =
        deck([record(1, "otter", "/a"), record(2, "otter-2", "/a"), record(3, &long, "/a")]);
    let free = |repository: &str, name: &str| {
        let name = EnvironmentName::parse(name).expect("a name");
        state.free_name(Path::new(repository), &name).to_string()
    };
    assert_eq!(free("/a", "otter"), "otter-3");
    assert_eq!(free("/b", "otter"), "otter");
    assert_eq!(free("/a", &long), format!("{}-2", "o".repeat(38)));
}

#[test]
fn a_pause_that_the_user_wants_has_no_other_reason_left() {
    let mut state = deck([record(1, "otter", "/a")]);
    let id = EnvironmentId::from_random([1; 8]);
    let reason = |state: &State| match &state.get(&id).expect("there").environment.state {
        EnvironmentState::Paused { reason } => Some(reason.clone()),
        _ => None,
    };
    state.apply(&id, Report::Running, START);
    state.apply(&id, Report::PauseWanted, START);
    assert_eq!(reason(&state), None, "what runs is not paused by it");
    let full = Some("the disk is nearly full".to_owned());
    state.apply(&id, Report::Paused { reason: full.clone() }, START);
    state.apply(&id, Report::Paused { reason: None }, START);
    assert_eq!(reason(&state), Some(full), "whoever only sees it paused does not know why");
    state.apply(&id, Report::PauseWanted, START);
    assert_eq!(reason(&state), Some(None));
}

#[test]
fn a_status_keeps_its_age_until_the_state_changes_and_its_words_are_not_written() {
    let mut state = State::default();
    let record = record(1, "fox", "/shop");
    let id = record.environment.id.clone();
    state.insert(record);
    let opened = Report::SessionOpened {
        session: SessionId::AGENT,
        kind: SessionKind::Agent,
        command: vec!["sh".to_owned()],
        size: Size::DEFAULT,
    };
    state.apply(&id, opened, START);
    let judged = |state, source, says: &str| Report::Judged {
        session: SessionId::AGENT,
        found: Some(Finding { claim: Claim { state, says: Some(says.to_owned()) }, source }),
    };
    let status = |state: &State| {
        let agent = &state.get(&id).expect("there").environment.sessions[0];
        agent.status.clone().expect("a status")
    };
    let publish = Effect::Publish(id.clone());
    let both = [Effect::Persist(id.clone()), publish.clone()];
    let working = judged(Doing::Working, Source::Report, "one");
    assert_eq!(state.apply(&id, working.clone(), Timestamp(5)), both);
    assert!(state.apply(&id, working, Timestamp(6)).is_empty());
    let other = judged(Doing::Working, Source::Title, "two");
    assert_eq!(state.apply(&id, other, Timestamp(7)), [publish]);
    let (since, says) = (Timestamp(5), Some("two".to_owned()));
    let expected = Status { state: Doing::Working, source: Source::Title, since, says };
    assert_eq!(status(&state), expected);
    state.apply(&id, judged(Doing::Done, Source::Report, ""), Timestamp(8));
    assert_eq!(status(&state).since, Timestamp(8));
    state.apply(&id, Report::SessionExited { session: SessionId::AGENT, code: 3 }, Timestamp(9));
    assert_eq!(status(&state), Status::exited(3, Timestamp(9)));
    // What was seen a moment before its end comes too late.
    state.apply(&id, judged(Doing::Working, Source::Screen, ""), Timestamp(10));
    assert_eq!(status(&state), Status::exited(3, Timestamp(9)));
}

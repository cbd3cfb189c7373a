//! Kills of everything, at random points of a session with many agents, while environments are
//! made, forked, restored, paused, resumed, discarded, brought back and dropped, and while work is
//! taken from them: nobody else dies, every line of output comes once, every key typed comes at
//! most once, what was under way is whole or never was, and nothing is left over.
//!
//! What may be lost is what was on its way: keys given to a process that was killed before it
//! passed them on. They may be lost and never come twice; keys of every other round all arrive.

mod agents;
mod deeds;
mod piles;
mod settled;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};

use agentdeck::client::{Client, Events};

use self::agents::{BURST, SCRIPT, Typed};
use self::deeds::{Busy, Deed, Extra};
use self::piles::Pile;
use super::{Dice, kill, lives, rounds, wait_until};
use crate::common::dockerd::Dockerd;
use crate::common::home::TestHome;
use crate::common::pty::Pty;
use crate::common::traces::Traces;
use crate::docker::busybox_root;

/// Environments that come and go, at most.
const EXTRAS: usize = 4;

/// Kills of an ordinary run.
const USUAL: u32 = 6;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Screen,
    /// The command that asked for what is under way.
    Command,
    Server,
    Shim,
    /// The box that is being made, copied, stopped or taken from.
    Touched,
    Engine,
}

/// Whose box was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Agent,
    /// What comes or goes.
    Extra,
}

struct Session {
    test: TestHome,
    engine: Option<Dockerd>,
    /// What boxes of that engine are made of.
    image: Option<String>,
    agents: Vec<Typed>,
    /// What each agent's workspace holds.
    found: Vec<Pile>,
    extras: Vec<Extra>,
    discarded: Option<Extra>,
    /// What the user's repository has of an agent.
    taken: Option<Pile>,
    /// The user's commit.
    head: String,
    screen: Option<Pty>,
    dice: Dice,
    /// Kinds of deeds that have not come since all of them had.
    kinds: Vec<&'static str>,
    /// Environments and piles that were made.
    made: u32,
    piles: u32,
    /// How often a kill came while a deed was under way, and how often not.
    met: BTreeMap<&'static str, (u32, u32)>,
}

impl Session {
    fn new(natives: usize, containers: usize) -> Self {
        let mut test = TestHome::new();
        let engine = if containers > 0 { Dockerd::start(true) } else { None };
        if let Some(engine) = &engine {
            test.also.push(("DOCKER_HOST", engine.host()));
        }
        let image = engine.as_ref().map(|engine| engine.import(&busybox_root()));
        let head = test.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let mut session = Self {
            test,
            engine,
            image,
            agents: Vec::new(),
            found: Vec::new(),
            extras: Vec::new(),
            discarded: None,
            taken: None,
            head,
            screen: None,
            dice: Dice::new(),
            kinds: Vec::new(),
            made: 0,
            piles: 0,
            met: BTreeMap::new(),
        };
        for number in 0..natives {
            session.make(&format!("n{number}"), &[]);
        }
        if let Some(image) = session.image.clone() {
            for number in 0..containers {
                let engine = ["--engine", "docker", "--network", "none", "--image", &image];
                session.make(&format!("d{number}"), &engine);
            }
        }
        session.open_screen();
        session
    }

    fn make(&mut self, name: &str, options: &[&str]) {
        let agent = ["--", "sh", "-c", SCRIPT];
        self.test.agentdeck(&[&["new", name], options, &agent].concat()).ok();
        self.agents.push(Typed::of(&self.test, name));
        self.found.push(Pile::none());
    }

    fn open_screen(&mut self) {
        let mut screen = Pty::open(&self.test, &[], 120, 40);
        // Which of many it shows first is not known; that it knows them all is.
        screen.wait_for_text("environments");
        self.screen = Some(screen);
    }

    fn victim(&mut self) -> Victim {
        match self.dice.below(12) {
            0 => Victim::Screen,
            1..=2 => Victim::Command,
            3..=6 => Victim::Server,
            7 => Victim::Shim,
            8..=9 => Victim::Touched,
            _ if self.engine.is_some() => Victim::Engine,
            _ => Victim::Server,
        }
    }

    /// Somebody else who looks on meanwhile.
    fn glance(&mut self, but: Option<usize>) -> Option<Child> {
        let other = self.dice.below(self.agents.len() as u64) as usize;
        if but == Some(other) {
            return None;
        }
        let name = self.agents[other].name.as_str();
        let arguments: &[&str] = match self.dice.below(3) {
            0 => &["exec", name, "--", "sh", "-c", "echo more >>~/more"],
            1 => &["diff", name],
            _ => &["log", name],
        };
        let mut command = self.test.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(command.spawn().expect("started"))
    }

    async fn round(&mut self, number: u32) {
        let deed = self.next_deed();
        let victim = self.victim();
        let target = self.dice.below(self.agents.len() as u64) as usize;
        let target = deed.agent().filter(|_| victim == Victim::Touched).unwrap_or(target);
        let said = format!("round {number}: {victim:?} in {deed:?}");
        let _ = writeln!(std::io::stderr(), "{said}");
        let (client, _events) = self.connect().await;
        for agent in &mut self.agents {
            agent.try_letters(&client).await;
        }
        let server = self.test.server().expect("a server");
        let glance = self.glance(deed.agent());
        let mut busy = Busy::begin(self, &deed);
        self.dice.linger(deed.span(self));
        self.agents[target].try_letters(&client).await;
        let under_way = busy.is_under_way();
        let counts = self.met.entry(kind(&deed)).or_default();
        if under_way {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        let hit = self.strike(victim, target, server, &deed, &mut busy);
        drop(client);
        if let Some(mut glance) = glance {
            let _ = glance.wait();
        }
        let ended = busy.end();
        if victim == Victim::Screen {
            assert_eq!(self.test.server(), Some(server), "{said}");
            self.open_screen();
        }
        if victim == Victim::Server {
            self.agents.iter_mut().for_each(|agent| agent.at_risk += 2 * BURST as u64);
        }
        if victim == Victim::Command {
            self.wait_for_quiet();
        }
        let harm = self.harm(&deed, victim, hit);
        self.settle(&said, deed, &ended, harm);
        if hit == Some(Hit::Agent) {
            // One that stood still ends when it goes on.
            let init = self.agents[target].init as u32;
            wait_until(&format!("{said}: the box ends"), || !lives(init));
            self.agents[target].restart(&self.test);
        }
        self.check(&said, target).await;
    }

    /// Kills; which box was hit.
    fn strike(
        &mut self,
        victim: Victim,
        target: usize,
        server: u32,
        deed: &Deed,
        busy: &mut Busy,
    ) -> Option<Hit> {
        match victim {
            Victim::Screen => drop(self.screen.take()),
            Victim::Command => busy.kill(),
            Victim::Server => kill(server),
            Victim::Touched if deed.extra().is_some() && deed.agent().is_none() => {
                return self.kill_box_of(deed).then_some(Hit::Extra);
            }
            Victim::Touched if self.dice.below(2) == 0 && deed.extra().is_some() => {
                return self.kill_box_of(deed).then_some(Hit::Extra);
            }
            Victim::Shim | Victim::Touched => {
                super::signal_kill(self.agents[target].init as u32);
                return Some(Hit::Agent);
            }
            Victim::Engine => {
                let engine = self.engine.as_mut().expect("an engine");
                engine.kill();
                engine.run();
            }
        }
        None
    }

    async fn connect(&self) -> (Client, Events) {
        self.test.agentdeck(&["ls"]).ok();
        Client::connect(&self.test.home).await.expect("connected")
    }

    /// Every agent lives as before, has what was typed, and its lines follow each other; nothing
    /// is there that nobody stands for.
    async fn check(&mut self, said: &str, target: usize) {
        let (client, mut events) = self.connect().await;
        for agent in &mut self.agents {
            agent.check_alive(&self.test, said);
            agent.type_letters(&client).await;
            agent.check_typed(said);
        }
        self.agents[target].check_lines(said, &client, &mut events).await;
        self.check_extras(said);
        let stray = || [self.stray(), self.doubled()].concat();
        wait_until(&format!("{said}: nothing is left: {:?}", stray()), || stray().is_empty());
        let found = piles::standing(&self.test, &self.head);
        assert_eq!(found, Ok(self.taken.clone().unwrap_or_else(Pile::none)), "{said}");
    }

    /// What no environment stands for.
    fn stray(&self) -> Vec<String> {
        let mut stray = Traces::stray(&self.test.home, &self.test.repository);
        let Some(engine) = &self.engine else { return stray };
        let format = "{{.ID}} {{.Label \"agentdeck.environment\"}}";
        let listed = engine.docker(&["ps", "-a", "--format", format]).stdout;
        let known = |line: &&str| {
            let id = line.split(' ').nth(1).unwrap_or_default();
            let there = |place: &str| self.test.home.join(place).join(id).exists();
            !id.is_empty() && (there("environments") || there("trash"))
        };
        let listed = String::from_utf8_lossy(&listed);
        let unknown = listed.lines().filter(|line| !known(line));
        stray.extend(unknown.map(|line| format!("container {line}")));
        stray
    }

    /// Environments with more than one box: each box has a network of its own.
    fn doubled(&self) -> Vec<String> {
        let traces = Traces::of(&self.test.home, &self.test.repository);
        let networks = traces.with("network ");
        let owner = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
        let mut owners: Vec<String> = networks.iter().map(|line| owner(line)).collect();
        owners.sort();
        let twice = owners.windows(2).filter(|pair| pair[0] == pair[1] && !pair[0].is_empty());
        twice.map(|pair| format!("two boxes of {}", pair[0])).collect()
    }

    /// Discards everything and looks for what is left.
    fn finish(mut self) {
        drop(self.screen.take());
        if self.taken.is_some() {
            self.test.agentdeck(&["undo"]).ok();
        }
        let listed = self.test.agentdeck(&["ls", "--json"]).json();
        for one in listed.as_array().expect("a list") {
            let name = one["name"].as_str().expect("a name");
            self.test.agentdeck(&["discard", name, "--yes"]).ok();
        }
        let engine = self.engine.as_ref();
        let containers = || engine.map(Dockerd::running).unwrap_or_default();
        wait_until(&format!("nothing is left: {:?}", self.stray()), || {
            self.stray().is_empty() && containers().is_empty()
        });
        for agent in &self.agents {
            assert!(!lives(agent.init as u32), "{} goes on", agent.name);
        }
    }
}

/// The kind of a deed, for a count.
fn kind(deed: &Deed) -> &'static str {
    match deed {
        Deed::Create { docker: false, .. } => "create",
        Deed::Create { .. } => "create a container",
        Deed::Fork { .. } => "fork",
        Deed::Restore { .. } => "restore",
        Deed::Pause { .. } => "pause",
        Deed::Resume { .. } => "resume",
        Deed::Discard { .. } => "discard",
        Deed::Return { .. } => "bring back",
        Deed::Drop { .. } => "drop",
        Deed::Apply { .. } => "apply",
        Deed::Merge { .. } => "merge",
        Deed::TakeBack { .. } => "take back",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_killed_dies_at_any_point_of_a_session() {
    let points = rounds(USUAL);
    let (natives, containers) = if points > USUAL { (7, 3) } else { (3, 1) };
    let mut session = Session::new(natives, containers);
    for number in 0..points {
        session.round(number).await;
        // Every so often all of them are read.
        if number % 5 == 4 {
            let (client, mut events) = session.connect().await;
            for agent in &mut session.agents {
                agent.check_lines("all", &client, &mut events).await;
            }
            let _ = writeln!(std::io::stderr(), "{} kills", number + 1);
        }
    }
    let lost: u64 = session.agents.iter().map(Typed::lost).sum();
    let sent: u64 = session.agents.iter().map(|agent| agent.sent).sum();
    let unseen: u64 = session.agents.iter().map(|agent| agent.unseen).sum();
    let _ = writeln!(
        std::io::stderr(),
        "{points} kills; of the last {sent} letters {lost} were lost on their way; {unseen} lines \
         left the history unread"
    );
    for (kind, (met, late)) in &session.met {
        let _ = writeln!(std::io::stderr(), "{kind}: {met} kills while under way, {late} after");
    }
    session.finish();
}

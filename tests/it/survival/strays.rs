//! An engine that is killed with its runtime while a container starts, and comes back without
//! knowing that it runs: what goes on of the box ends before there is another one.

use crate::common::dockerd::Dockerd;
use crate::common::home::TestHome;
use crate::common::processes::lives;
use crate::docker::busybox_root;

use super::wait_until;

/// Says which time it was started.
const AGENT: &str = "echo started >>starts; exec sleep 1000";

struct World {
    test: TestHome,
    engine: Dockerd,
    image: String,
}

impl World {
    fn new() -> Option<Self> {
        let engine = Dockerd::start(true)?;
        let mut test = TestHome::new();
        test.also.push(("DOCKER_HOST", engine.host()));
        let image = engine.import(&busybox_root());
        Some(Self { test, engine, image })
    }

    fn make(&self) {
        let made = ["new", "ant", "--engine", "docker", "--image", &self.image];
        let agent = ["--network", "none", "--", "sh", "-c", AGENT];
        // The server may end before it answers.
        self.test.agentdeck(&[&made[..], &agent].concat());
    }

    /// Has the next server end itself once the engine has started a box that is not yet recorded.
    fn until_made(&self, act: impl FnOnce()) {
        self.test.end_server();
        let mut start = self.test.command(&["server", "start"]);
        let started = start.env("AGENTDECK_END_AT", "box-made").output().expect("started");
        assert!(started.status.success(), "{started:?}");
        let server = self.test.server().expect("a server");
        act();
        wait_until("the server ends itself", || !lives(server));
    }

    /// Has the engine know nothing of the one container that runs; its first process, which goes
    /// on.
    fn forget(&mut self) -> u32 {
        let [container] = &self.engine.running()[..] else { panic!("one container") };
        let container = container.clone();
        let told = self.engine.docker(&["inspect", "-f", "{{.State.Pid}}", &container]).stdout;
        let init = String::from_utf8_lossy(&told).trim().parse().expect("a process");
        self.engine.forget(&container);
        assert_eq!(self.engine.running(), Vec::<String>::new(), "the control: it is not known");
        assert!(lives(init), "the control: it goes on");
        init
    }

    fn stands(&self, state: &str) {
        self.test.wait_for_json(&["inspect", "ant", "--json"], |view| {
            view["environment"]["state"]["state"] == state
        });
    }

    /// Asserts that the environment has one box, which answers, and none besides.
    fn has_one_box(&self, former: u32) {
        self.stands("running");
        assert!(!lives(former), "the one that the engine forgot");
        assert_eq!(self.engine.running().len(), 1);
        assert_eq!(self.test.script("ant", "cat price"), "one\ntwo\nthree\n");
        self.test.agentdeck(&["discard", "ant", "--yes"]).ok();
        assert_eq!(self.engine.running(), Vec::<String>::new());
    }

    fn starts(&self) -> usize {
        self.test.script("ant", "cat starts").lines().count()
    }
}

#[test]
fn a_box_that_was_made_and_forgotten_before_it_was_recorded_ends_before_the_next() {
    let Some(mut world) = World::new() else { return };
    world.until_made(|| world.make());
    let former = world.forget();
    world.stands("running");
    assert_eq!(world.starts(), 1);
    world.has_one_box(former);
}

#[test]
fn a_box_that_was_started_and_forgotten_before_it_was_recorded_ends_before_the_next() {
    let Some(mut world) = World::new() else { return };
    world.make();
    world.stands("running");
    world.test.agentdeck(&["stop", "ant"]).ok();
    world.until_made(|| drop(world.test.agentdeck(&["start", "ant"])));
    let former = world.forget();
    wait_until("it ends", || {
        world.test.agentdeck(&["ls"]).ok();
        !lives(former)
    });
    world.test.wait_for_json(&["inspect", "ant", "--json"], |view| {
        ["running", "stopped"].iter().any(|state| view["environment"]["state"]["state"] == *state)
    });
    world.test.agentdeck(&["start", "ant"]);
    world.has_one_box(former);
}

#[test]
fn a_box_that_is_forgotten_while_it_runs_ends_and_is_started_again() {
    let Some(mut world) = World::new() else { return };
    world.make();
    world.stands("running");
    world.test.end_server();
    let former = world.forget();
    world.stands("stopped");
    wait_until("it ends", || !lives(former));
    world.test.agentdeck(&["start", "ant"]).ok();
    world.stands("running");
    assert_eq!(world.starts(), 2);
    world.has_one_box(former);
}

//! What holds a box: the badge where environments are shown, and every fact where one is looked at.

use super::super::app::{App, Happening};
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, answer, picture, type_keys};
use crate::model::policy::{Aspect, Enforcement, Isolation, IsolationFact};
use crate::proto::{Event, Inspection, Reply};

fn fact(aspect: Aspect, name: &str, enforcement: Enforcement, evidence: &str) -> IsolationFact {
    IsolationFact::new(aspect, name, enforcement, evidence)
}

/// A box with a way past the gateway, as asked, and no limit on memory.
fn bridged() -> Isolation {
    use Aspect::{Files, Limits, Network, Privileges, Processes};
    use Enforcement::{Enforced, Off, Partial};
    let status = "/proc/4242/status: CapInh, CapPrm, CapEff, CapBnd, CapAmb are 0";
    let map = "uid_map 0 0 65536: a user namespace of its own, in which the box's root has the \
               number of this machine's, without its rights";
    let bridge = "network mode bridge, as asked: a real route, no gateway and no refusals";
    let memory = "agentdeck new --memory 4g …, or [limits] in config.toml";
    Isolation::of(vec![
        fact(Files, "own root", Enforced, "/ is overlay, in a mount namespace of its own"),
        fact(Processes, "own process table", Enforced, "/proc/4242/ns: pid:[4026532185]"),
        fact(Privileges, "no capabilities", Enforced, status),
        fact(Privileges, "users of its own", Partial, map)
            .remedy("run agentdeck as an ordinary user with the native engine")
            .aside(),
        fact(Network, "no way past the gateway", Off, bridge)
            .remedy("make it with --network open, allow or none"),
        fact(Limits, "memory", Off, "none asked for: all of the machine").remedy(memory).aside(),
    ])
}

fn with(size: Size, isolation: Isolation) -> App {
    let mut app = sample::deck(size);
    let mut environment = sample::environment(1, "brave-otter", "claude");
    environment.isolation = Some(isolation);
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(environment))), app.now);
    app
}

fn opened(size: Size) -> App {
    let mut app = with(size, bridged());
    let environment = app.environments[0].clone();
    type_keys(&mut app, "i");
    let inspection = Inspection {
        environment,
        workspace: "/home/ann/.local/state/agentdeck/environments/01/workspace".into(),
        state_directory: "/home/ann/.local/state/agentdeck/environments/01".into(),
        init_pid: Some(4240),
        shim_version: Some(1),
        watch: "watching".to_owned(),
        usage: None,
        listeners: Vec::new(),
    };
    answer(&mut app, Reply::Inspection(Box::new(inspection)));
    app
}

#[test]
fn the_badge_is_a_shape_and_words() {
    let whole = fact(Aspect::Files, "own root", Enforcement::Enforced, "");
    let broken = fact(Aspect::Files, "own root", Enforcement::Off, "");
    for size in [SMALL, MIDDLE, LARGE] {
        let shown = |isolation| picture(&with(size, isolation));
        assert!(shown(Isolation::of(vec![whole.clone()])).contains("▣"), "{size:?}");
        let partial = shown(bridged());
        let words = if size == LARGE { "◧ partial: network" } else { "◧ partial" };
        assert!(partial.contains(words), "{size:?}\n{partial}");
        let off = shown(Isolation::of(vec![broken.clone()]));
        assert!(off.contains("□ not isolated"), "{size:?}\n{off}");
    }
}

#[test]
fn every_fact_is_seen_in_every_size() {
    for size in [SMALL, MIDDLE, LARGE] {
        let mut app = opened(size);
        let mut seen = picture(&app);
        for _ in 0..3 {
            type_keys(&mut app, "jjjjjjjjjjjj");
            seen.push_str(&picture(&app));
        }
        for words in [
            "▣ own root",
            "◧ (users of its own)",
            "□ no way past the gateway",
            "→ make it with --network open, allow or none",
            "□ (memory)",
            "→ agentdeck new --memory 4g",
        ] {
            assert!(seen.contains(words), "{words} at {size:?}:\n{seen}");
        }
    }
    picture(&opened(TINY));
}

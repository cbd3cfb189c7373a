//! Another engine that speaks the same words: Podman, behind its compatible socket.
//!
//! Where it is not installed these tests pass without a word, unless
//! `AGENTDECK_REQUIRE_DOCKER=1` is set; `tests/setup` installs it.

use std::path::Path;

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{Asked, Engine};
use agentdeck::model::policy::Limits;
use agentdeck::shim::wire::Role;

use crate::common::daemon::Daemon;
use crate::common::place::Place;
use crate::common::talk::script;
use crate::conformance;
use crate::docker::{busybox_root, engine_answers};
use crate::network_bypass;

const IMAGE: &str = "agentdeck-test:1";

/// Whether a program is there and may be used; where it is required, it must be.
pub fn installed(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
    let found = found.iter().any(|directory| Path::new(directory).join(program).exists());
    let required = std::env::var("AGENTDECK_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    assert!(found || !required, "{program} is not installed; run tests/setup");
    found && rustix::process::geteuid().is_root()
}

fn place(daemon: &Daemon) -> Place {
    let mut place = Place::new();
    let archive = place.home.path().join("root.tar");
    std::fs::write(&archive, busybox_root()).expect("written");
    daemon.import(&archive, IMAGE);
    place.plan.image = Some(IMAGE.into());
    place
}

macro_rules! podman_cases {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            if !engine_answers() || !installed("podman") {
                return;
            }
            let daemon = Daemon::podman();
            let mut place = place(&daemon);
            let engine = Docker::at(place.home.path(), &daemon.socket);
            conformance::$name(&engine, &mut place).await;
            let left = daemon.docker(&["ps", "-aq"]).0;
            assert_eq!(left, "", "nothing is left");
        }
    )*};
}

podman_cases!(
    a_box_lives_and_keeps_its_layer,
    a_session_is_a_terminal,
    a_command_has_pipes,
    a_command_dies_with_its_connection,
    the_workspace_is_the_users,
    a_reader_never_holds_a_program_up,
    a_port_is_listed_and_dialled,
    files_go_in_and_out_with_the_agents_rights,
    a_paused_box_stands_still,
    the_end_of_a_box_is_told,
    what_a_box_uses_is_counted,
    processes_are_bounded,
    memory_is_bounded,
    a_fork_has_a_layer_of_its_own,
);

#[tokio::test]
async fn no_way_leads_around_the_wall_of_podman() {
    if !engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let mut place = place(&daemon);
    let engine = Docker::at(place.home.path(), &daemon.socket);
    network_bypass::no_way_leads_around(&engine, &mut place).await;
    network_bypass::a_redirect_leads_nowhere_else(&engine, &mut place).await;
    network_bypass::no_datagram_leaves(&engine, &mut place).await;
    network_bypass::no_name_leaves_that_is_not_allowed(&engine, &mut place).await;
    network_bypass::a_sibling_is_not_reached(&engine, &mut place).await;
    network_bypass::a_port_allowed_later_is_reached_without_a_restart(&engine, &mut place).await;
}

#[tokio::test]
async fn podman_says_what_it_can() {
    if !engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let report = Docker::at(Path::new("/"), &daemon.socket).probe().await;
    assert!(report.usable && report.capabilities.update_limits, "{report:?}");
    assert!(report.capabilities.pause && report.capabilities.fork, "{report:?}");
}

/// Podman keeps changed limits for as long as a box runs; the next start has them all the same.
#[tokio::test]
async fn limits_change_while_a_box_runs_and_stay_changed() {
    if !engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let mut place = place(&daemon);
    let engine = Docker::at(place.home.path(), &daemon.socket);
    let bomb = "head -c 200000000 /dev/zero | tail -n 1 | wc -c";
    place.plan.limits.memory = Some(100 << 20);
    let record = place.create(&engine).await;
    let outcome = script(&engine, &record, Role::Agent, bomb).await;
    assert!(!outcome.contains("200000000"), "{outcome}");
    let limits = Limits { memory: Some(400 << 20), processes: Some(99), ..Limits::default() };
    engine.update_limits(&record, &limits).await.expect("raised while it runs");
    assert_eq!(script(&engine, &record, Role::Agent, bomb).await, "200000000");
    engine.stop(&record, std::time::Duration::ZERO).await.expect("stopped");
    place.plan.limits = limits;
    let record = engine.start(&place.plan, &record).await.expect("started");
    assert_eq!(script(&engine, &record, Role::Agent, bomb).await, "200000000");
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    for name in ["memory", "processes"] {
        let found = isolation.facts.iter().find(|fact| fact.name == name).expect("told");
        assert!(found.holds(), "{found:?}");
    }
    engine.remove(&record).await.expect("removed");
}

/// All that other engines hold, but that it does not hide control groups of the older version.
#[tokio::test]
async fn podman_holds_all_but_the_sight_of_old_control_groups() {
    if !engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let place = place(&daemon);
    let engine = Docker::at(place.home.path(), &daemon.socket);
    let record = place.create(&engine).await;
    conformance::each_role_has_its_rights(&engine, &record).await;
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let open: Vec<_> = isolation.facts.iter().filter(|fact| fact.counts && !fact.holds()).collect();
    assert_eq!(open.len(), usize::from(!unified), "{open:#?}");
    for fact in open {
        assert_eq!(fact.name, "own host name and groups");
        assert!(fact.remedy.as_ref().is_some_and(|words| words.contains("version 2")), "{fact:?}");
    }
    engine.remove(&record).await.expect("removed");
}

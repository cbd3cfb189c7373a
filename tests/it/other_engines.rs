//! Another engine that speaks the same words: Podman, behind its compatible socket.
//!
//! Where it is not installed these tests pass without a word, unless
//! `AGENTDECK_REQUIRE_DOCKER=1` is set; `tests/setup` installs it.

use std::path::Path;

use agentdeck::engine::Engine;
use agentdeck::engine::docker::Docker;

use crate::common::daemon::Daemon;
use crate::common::place::Place;
use crate::conformance;
use crate::docker::{busybox_root, engine_answers};

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
    a_fork_has_a_layer_of_its_own,
);

#[tokio::test]
async fn podman_says_what_it_cannot() {
    if !engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let report = Docker::at(Path::new("/"), &daemon.socket).probe().await;
    assert!(report.usable && !report.capabilities.update_limits, "{report:?}");
    assert!(report.capabilities.pause && report.capabilities.fork, "{report:?}");
}

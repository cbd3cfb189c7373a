//! Boxes that the native engine puts together before anybody asks for them.

use agentdeck::engine::native::Native;
use agentdeck::engine::{Asked, BoxPlan, BoxRecord, Engine};
use agentdeck::model::id::EnvironmentName;
use agentdeck::model::policy::IsolationLevel;
use agentdeck::shim::wire::Role;

use crate::common::place::Place;
use crate::common::processes;
use crate::common::talk::{PATIENCE, script};
use crate::native::usable;
use crate::survival::wait_until;

/// Between two looks at something that has no event to wait for.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// The first processes of boxes that are shown something of the place's environment.
fn firsts(place: &Place) -> Vec<u32> {
    let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
    let found = processes::all().into_iter().filter(|pid| {
        let of = |name: &str| format!("/proc/{pid}/{name}");
        let elsewhere = std::fs::read_link(of("ns/mnt")).is_ok_and(|other| other != own);
        let mounts = std::fs::read_to_string(of("mountinfo")).unwrap_or_default();
        elsewhere && mounts.contains(place.plan.environment.as_str())
    });
    found.collect()
}

/// Has a box made ahead, called something else, and its directory moved to where it belongs.
async fn make_ahead(engine: &Native, place: &Place) -> u32 {
    let ahead = place.home.path().join("ahead");
    std::fs::create_dir_all(&ahead).expect("made");
    let ahead = ahead.join(place.plan.environment.as_str());
    std::fs::rename(&place.plan.directory, &ahead).expect("moved");
    let name = EnvironmentName::parse("another").expect("a name");
    let plan = BoxPlan { name, ..place.plan.moved_to(&ahead) };
    engine.make_ahead(&plan).await.expect("a box");
    std::fs::rename(&ahead, &place.plan.directory).expect("moved");
    let found = firsts(place);
    assert_eq!(found.len(), 1, "one box is there");
    found[0]
}

async fn is_like_any_other(engine: &Native, place: &Place, record: &BoxRecord) {
    let look = "hostname; cat /etc/hostname; grep -c brave-otter /etc/hosts; cat hello; \
                echo new >new; touch /usr/own && echo own";
    let said = script(engine, record, Role::Root, look).await;
    assert_eq!(said, "brave-otter\nbrave-otter\n1\nhello\nown");
    let written = std::fs::read_to_string(place.plan.workspace.join("new"));
    assert_eq!(written.expect("read"), "new\n");
    let isolation = engine.isolation(record, &Asked::from(&place.plan)).await.expect("read back");
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
}

#[tokio::test]
async fn a_box_that_was_made_ahead_takes_its_name_and_is_like_any_other() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let first = make_ahead(&engine, &place).await;
    let record = place.create(&engine).await;
    assert_eq!(record.init_pid, first, "it is the one that was there");
    is_like_any_other(&engine, &place, &record).await;
    engine.remove(&record).await.expect("removed");
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_box_that_was_made_ahead_for_something_else_is_not_taken() {
    let mut place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let first = make_ahead(&engine, &place).await;
    place.plan.limits.files = Some(512);
    let record = place.create(&engine).await;
    assert_ne!(record.init_pid, first);
    assert_eq!(firsts(&place), [record.init_pid], "the other has ended");
    is_like_any_other(&engine, &place, &record).await;
    let bound = script(&engine, &record, Role::Agent, "ulimit -n").await;
    assert_eq!(bound, "512");
    engine.remove(&record).await.expect("removed");
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
}

#[tokio::test]
async fn nothing_stays_of_a_box_that_nobody_asked_for() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    make_ahead(&engine, &place).await;
    engine.forget_ahead(&place.plan.environment).await;
    assert_eq!(firsts(&place), Vec::<u32>::new());
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));

    let place = Place::new();
    let engine = usable(&place).await.expect("as before");
    make_ahead(&engine, &place).await;
    // As when its server ends.
    drop(engine);
    wait_until("its process ends", || firsts(&place).is_empty());
    let engine = usable(&place).await.expect("as before");
    // Its keeper removes the groups when the process has gone, which is a moment later.
    let cleared = async {
        while engine.list(&place.plan.deck).await != Ok(Vec::new()) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, cleared).await.expect("its groups go with it");
}

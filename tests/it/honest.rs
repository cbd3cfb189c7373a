//! What is told of a box is what is: each protection is really taken away, and the reading says so.

use agentdeck::engine::{Asked, BoxRecord, Engine};
use agentdeck::model::policy::{Aspect, Isolation, IsolationFact, IsolationLevel};

use crate::common::place::Place;
use crate::docker::{Boxed, Image, engine_answers};
use crate::native;

/// The reading of a box, printed for whoever runs the test with its output.
async fn read(engine: &dyn Engine, record: &BoxRecord, asked: &Asked) -> Isolation {
    let isolation = engine.isolation(record, asked).await.expect("read back");
    println!("{}", isolation.level);
    for fact in &isolation.facts {
        let aside = if fact.counts { "" } else { " (aside)" };
        println!("{} {}: {}{aside}: {}", fact.aspect, fact.name, fact.enforcement, fact.evidence);
    }
    isolation
}

fn fact<'a>(isolation: &'a Isolation, name: &str) -> &'a IsolationFact {
    let found = isolation.facts.iter().find(|fact| fact.name == name);
    found.unwrap_or_else(|| panic!("no fact {name} in {isolation:#?}"))
}

/// What both engines must find in a box as they make it.
async fn a_box_is_enforced_in_every_part(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let isolation = read(engine, &record, &Asked::from(&place.plan)).await;
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    for aspect in Aspect::ALL {
        let told = isolation.facts.iter().filter(|fact| fact.aspect == aspect);
        assert!(told.count() > 0, "nothing is told of {aspect}");
    }
    let calls = fact(&isolation, "forbidden system calls");
    assert!(calls.evidence.contains("refused"), "{calls:?}");
    let fewer: Vec<_> = isolation.facts.iter().filter(|fact| !fact.holds()).collect();
    assert!(fewer.iter().all(|fact| fact.remedy.is_some()), "{fewer:#?}");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_native_box_is_enforced_in_every_part() {
    let place = Place::new();
    if let Some(engine) = native::usable(&place).await {
        a_box_is_enforced_in_every_part(&engine, &place).await;
    }
}

#[tokio::test]
async fn a_container_is_enforced_in_every_part() {
    if engine_answers() {
        let boxed = Boxed::of(Image::busybox());
        a_box_is_enforced_in_every_part(&boxed.engine(), &boxed.place).await;
    }
}

//! What every engine's boxes must do: ports and files, through the shim.

use agentdeck::engine::Engine;
use agentdeck::model::id::SessionId;
use agentdeck::model::listener::Listener;
use agentdeck::shim::wire::{Frame, Role, ShimEvent, ShimRequest};

use crate::common::place::Place;
use crate::common::talk::{Talk, copy, script};

const SHELL: SessionId = SessionId(1);

/// A port that a program listens on is listed without our own, and a stream to it carries both
/// ways until both sides ended.
pub async fn a_port_is_listed_and_dialled(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let mut talk = Talk::with(engine, &record).await;
    let serve = "echo page >page; busybox httpd -p 8091; echo serving; sleep 1000";
    talk.start(SHELL, &["sh", "-c", serve]).await;
    talk.see("serving").await;
    let mut listing = Talk::with(engine, &record).await;
    listing.ask(&ShimRequest::Listeners).await;
    let Some(Frame::ExecOutput { stream: 1, bytes }) = listing.frame().await else {
        panic!("no listing");
    };
    let listed: Listener = serde_json::from_slice(&bytes).expect("one listener alone");
    assert_eq!((listed.port, listed.program.as_deref()), (8091, Some("busybox")));
    let mut dialled = Talk::with(engine, &record).await;
    dialled.ask(&ShimRequest::Dial { port: 8091 }).await;
    assert_eq!(dialled.next().await, Some(ShimEvent::Dialled));
    let answer = dialled.exchange(b"GET /page HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.") && answer.ends_with("page\n"), "{answer}");
    let mut refused = Talk::with(engine, &record).await;
    refused.ask(&ShimRequest::Dial { port: 9 }).await;
    let answer = refused.next().await;
    assert!(matches!(answer, Some(ShimEvent::DialFailed { .. })), "{answer:?}");
    engine.remove(&record).await.expect("removed");
}

/// Files go in and out with the agent's rights and no others.
pub async fn files_go_in_and_out_with_the_agents_rights(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let secret =
        "mkdir -p /opt && echo x >/opt/secret && chmod 600 /opt/secret && mkdir -m 700 /opt/own";
    script(engine, &record, Role::Root, secret).await;
    let agent_is_root = script(engine, &record, Role::Agent, "id -u").await == "0";
    let out = copy(engine, &record, &ShimRequest::Pack { path: b"hello".to_vec() }, b"").await;
    assert_eq!((out.code, out.errors.as_str()), (0, ""));
    let request = ShimRequest::Unpack { path: b"copied".to_vec(), into: false };
    let written = copy(engine, &record, &request, &out.output).await;
    assert_eq!((written.code, written.errors.as_str()), (0, ""));
    let same = "cmp hello copied && test $(stat -c %u copied) = $(id -u) && echo same";
    assert_eq!(script(engine, &record, Role::Agent, same).await, "same");
    if !agent_is_root {
        let request = ShimRequest::Pack { path: b"/opt/secret".to_vec() };
        let refused = copy(engine, &record, &request, b"").await;
        assert!(refused.code == 1 && refused.errors.contains("denied"), "{refused:?}");
    }
    let request = ShimRequest::Unpack { path: b"/proc/sys/kernel".to_vec(), into: true };
    let refused = copy(engine, &record, &request, &out.output).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    engine.remove(&record).await.expect("removed");
}

//! `agentdeck forward`: a port of an environment, reached from this machine's loopback.
//!
//! It listens on 127.0.0.1 alone and as long as it runs. A page in the user's browser could still
//! have its own name point there, so HTTP requests that name another host are turned away.

mod host;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use super::arguments::Forward;
use super::context::Context;
use crate::client::open_port;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::Target;

/// Connections carried at a time; a page opens tens. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Rest after a failed accept, which else would spin while descriptors are short.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Bytes of standard input read at once.
const CHUNK: usize = 32 << 10;

pub(super) async fn run(context: &Context, options: &Forward) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = context.environment(&client, &options.name).await?;
    let target = Target::Id(environment.id);
    let remote = options.port.remote;
    if options.stdio {
        let stream = open_port(&context.home, target, remote).await?;
        return carry_standard(stream).await;
    }
    let local = options.port.local;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, local)).await.map_err(|error| {
        Failure::new(FailureKind::Unavailable, format!("port {local} of 127.0.0.1: {error}"))
            .hint(format!("take any that is free: agentdeck forward {} {remote}:0", options.name))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::internal(&error.into()))?;
    // A name of its own, so that no cookie of another service on this machine is sent along.
    let url = format!("http://{}.localhost:{}", environment.name, address.port());
    if context.output.json {
        context.output.value(&serde_json::json!({ "address": address, "url": url }))?;
    } else {
        context.output.line(&address.to_string())?;
        context.output.say(&format!("a browser reaches it as {url}; Ctrl+C ends it"));
    }
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("it is never closed");
        let Ok((caller, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (home, target, output) = (context.home.clone(), target.clone(), context.output);
        let any_host = options.any_host;
        tokio::spawn(async move {
            match open_port(&home, target, remote).await {
                Ok(service) => serve(caller, service, any_host).await,
                Err(failure) => output.failure(&failure),
            }
            drop(slot);
        });
    }
}

/// Why a connection is not carried on.
enum Ended {
    Foreign,
    Broken,
}

/// Carries one connection, unless it is for another host.
async fn serve(mut caller: TcpStream, service: UnixStream, any_host: bool) {
    // Where it cannot be set, keys are late and nothing is lost.
    let _ = caller.set_nodelay(true);
    let (mut from_caller, mut to_caller) = caller.split();
    let (mut from_service, mut to_service) = service.into_split();
    let broken = |_| Ended::Broken;
    let up = async {
        if !any_host {
            let head = host::read_head(&mut from_caller).await.map_err(|_| Ended::Foreign)?;
            to_service.write_all(&head).await.map_err(broken)?;
        }
        copy(&mut from_caller, &mut to_service).await.map_err(broken)?;
        to_service.shutdown().await.map_err(broken)
    };
    // At once, because a service may speak first.
    let down = async {
        copy(&mut from_service, &mut to_caller).await.map_err(broken)?;
        to_caller.shutdown().await.map_err(broken)
    };
    let ended = async { tokio::try_join!(up, down) }.await;
    if let Err(Ended::Foreign) = ended {
        let _ = caller.write_all(host::REFUSAL).await;
    }
}

/// Carries standard input and output until the service ends its side.
async fn carry_standard(stream: UnixStream) -> Result<(), Failure> {
    let (mut from_service, mut to_service) = stream.into_split();
    let feeding = tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        let mut buffer = vec![0; CHUNK];
        loop {
            // A closed or unreadable input is an ended one. Dropping the half ends its side.
            let count = stdin.read(&mut buffer).await.unwrap_or(0);
            if count == 0 || to_service.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    });
    let mut stdout = tokio::io::stdout();
    let mut buffer = vec![0; CHUNK];
    // Whoever reads here has gone when it cannot be written any more.
    while let Ok(count @ 1..) = from_service.read(&mut buffer).await {
        if stdout.write_all(&buffer[..count]).await.and(stdout.flush().await).is_err() {
            break;
        }
    }
    feeding.abort();
    Ok(())
}

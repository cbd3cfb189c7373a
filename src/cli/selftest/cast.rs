//! Who takes part: the attacker, its sibling, the bomber, and the host's canaries.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::attack::{Attack, Secret};
use super::canaries::Canaries;
use super::stage::Stage;
use super::{EMULATED_FLOOD, FLOOD, SIBLING_PORT, emulated, terminal};
use crate::engine::RUN_DIRECTORY;
use crate::model::environment::Environment;
use crate::model::failure::Failure;
use crate::model::policy::{LimitSupport, Limits};
use crate::proto::{ClientMessage, SOCKET, VERSION, wire};
use crate::shim::wire as shim;

/// What the bomber may use; every bomb wants more.
const LIMITS: Limits = Limits {
    cpu_millis: Some(500),
    memory: Some(128 << 20),
    processes: Some(256),
    files: Some(1024),
};

pub(super) struct Cast<'a> {
    pub stage: &'a Stage,
    pub canaries: Canaries,
    pub attacker: Environment,
    pub sibling: Environment,
    pub bomber: Environment,
    pub sibling_workspace: PathBuf,
    sibling_run: PathBuf,
    pub attacker_workspace: PathBuf,
    /// The device that holds the selftest's own files.
    pub disk: (u32, u32),
    /// What keeps the bomber's limits.
    pub limits: LimitSupport,
    /// The runtime gives boxes a kernel of their own.
    pub own_kernel: bool,
    shim_hello: Vec<u8>,
}

impl<'a> Cast<'a> {
    pub async fn gather(stage: &'a Stage, limits: LimitSupport) -> Result<Self, Failure> {
        let secret = Secret::new(&stage.secret);
        let flood = if stage.choice.runtime.is_some() { EMULATED_FLOOD } else { FLOOD };
        let speak = || terminal::resident(stage, flood);
        let attacker = stage.environment("attacker", speak(), Limits::default()).await?;
        let live = Attack::Live { secret, port: SIBLING_PORT };
        let sibling = stage.environment("sibling", live, Limits::default()).await?;
        let bomber = stage.environment("bomber", speak(), LIMITS).await?;
        let (own, other) = (stage.inspect(&attacker).await?, stage.inspect(&sibling).await?);
        let device = std::fs::metadata(&stage.directory).map_or(0, |found| found.dev());
        let mut hello = Vec::new();
        let request = shim::ShimRequest::Hello { version: shim::VERSION };
        let written = shim::write_frame(&mut hello, &shim::Frame::control(&request)).await;
        written.map_err(|error| Failure::internal(&error.into()))?;
        Ok(Self {
            stage,
            canaries: Canaries::put(stage).await?,
            attacker,
            sibling,
            bomber,
            sibling_workspace: other.workspace,
            sibling_run: other.state_directory.join("run"),
            attacker_workspace: own.workspace,
            disk: (rustix::fs::major(device), rustix::fs::minor(device)),
            limits,
            own_kernel: emulated::is_own(own.environment.isolation.as_ref()),
            shim_hello: hello,
        })
    }

    /// Hellos to the server and to shims: the sibling's by the host's path, the box's own.
    pub fn greetings(&self) -> Vec<Attack> {
        let mut server = Vec::new();
        // A hello is small; were it not written, the control would not fire.
        let _ = wire::encode(&ClientMessage::Hello { version: VERSION }, &mut server);
        let own = PathBuf::from(RUN_DIRECTORY).join(shim::SOCKET);
        vec![
            Attack::Greet { sockets: vec![self.stage.context.home.join(SOCKET)], hello: server },
            Attack::Greet {
                sockets: vec![self.sibling_run.join(shim::SOCKET), own],
                hello: self.shim_hello.clone(),
            },
        ]
    }
}

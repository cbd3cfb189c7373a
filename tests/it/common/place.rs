//! A home with the directories of one environment.

use std::sync::atomic::{AtomicU32, Ordering};

use agentdeck::engine::{BoxPlan, BoxRecord, Engine};
use agentdeck::model::id::{EnvironmentId, EnvironmentName};
use agentdeck::model::policy::{IsolationRequest, Limits, NetworkMode, NetworkPolicy};
use agentdeck::model::repository::Identity;
use tokio::sync::mpsc;

use super::ending;

/// Numbers everything that needs a name of its own in this run.
static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Place {
    pub home: tempfile::TempDir,
    pub plan: BoxPlan,
}

impl Place {
    /// An environment without network whose workspace holds one file, `hello`.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 8];
        seed[..4].copy_from_slice(&std::process::id().to_le_bytes());
        seed[4..].copy_from_slice(&number.to_le_bytes());
        let environment = EnvironmentId::from_random(seed.map(|byte| byte.wrapping_mul(37)));
        let directory = home.path().join("environments").join(environment.as_str());
        for name in ["workspace/.git", "git", "home", "run"] {
            std::fs::create_dir_all(directory.join(name)).expect("made");
        }
        std::fs::write(directory.join("workspace/hello"), "hello\n").expect("written");
        let plan = BoxPlan {
            environment,
            name: EnvironmentName::parse("brave-otter").expect("a name"),
            deck: format!("test{:06}{number:06}", std::process::id()),
            workspace: directory.join("workspace"),
            git: directory.join("git"),
            home: directory.join("home"),
            run: directory.join("run"),
            directory,
            mount: "/home/me/shop".into(),
            shim: env!("CARGO_BIN_EXE_agentdeck").into(),
            endpoint: None,
            image: None,
            runtime: None,
            isolation: IsolationRequest::Required,
            network: NetworkPolicy { mode: NetworkMode::None, allow: Vec::new() },
            limits: Limits::default(),
            identity: Identity { name: "Me".into(), email: "me@example.org".into() },
            tools: Vec::new(),
        };
        Self { home, plan }
    }

    pub async fn create(&self, engine: &dyn Engine) -> BoxRecord {
        let (progress, _reports) = mpsc::channel(16);
        engine.create(&self.plan, &progress).await.expect("a box")
    }
}

/// Ends whatever the test made and left, whether it failed or not.
impl Drop for Place {
    fn drop(&mut self) {
        ending::end_all(self.home.path(), self.home.path(), Some(&self.plan.deck));
    }
}

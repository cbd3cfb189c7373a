//! A box that is put together before anybody asks for it: everything but its name.
//!
//! It stands on the system as it was then. Whoever asks gets it only where the plan is the same and
//! the system still is; otherwise it is ended, and a box is made as always. It ends with the server,
//! and its keeper then removes its groups.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;

use super::carrying::{Waiting, Worker, refused, unexpected, within};
use super::cgroup::Group;
use super::making::{self, CREATE_DEADLINE};
use super::order::{Answer, Order};
use super::{environment, layer_of, root, system_files, tree};
use crate::engine::{BoxPlan, BoxRecord};
use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::policy::IsolationRequest;

/// How long the keeper of a box that nobody wants may take to end it.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// A box without a name.
pub(super) struct Built {
    plan: BoxPlan,
    stands_on: System,
    group: Group,
    /// What the system is now, once that is worth knowing.
    looking: Option<JoinHandle<anyhow::Result<System>>>,
    /// Taken when it becomes a box, or ends.
    worker: Option<Worker>,
}

/// What a box shows of the host, as far as it can change while the box waits.
#[derive(PartialEq, Eq)]
struct System {
    system_files: PathBuf,
    /// Mounts in what it is shown.
    mounts: Vec<PathBuf>,
}

impl System {
    fn look(plan: &BoxPlan) -> JoinHandle<anyhow::Result<Self>> {
        let (deck, tools) = (plan.deck_directory().to_owned(), plan.tools.clone());
        tokio::task::spawn_blocking(move || {
            let shown: Vec<PathBuf> = root::system_places().into_iter().chain(tools).collect();
            let mut mounts = tree::mount_points()?;
            mounts.retain(|mount| shown.iter().any(|place| mount.starts_with(place)));
            Ok(Self { system_files: system_files::shared(&deck)?, mounts })
        })
    }
}

/// Whether a box of this plan can be put together before it is asked for.
pub(super) fn is_possible(plan: &BoxPlan) -> bool {
    // An image may have to be unpacked first.
    plan.isolation == IsolationRequest::Required && plan.image.is_none()
}

impl Built {
    /// Puts a box together. What fails leaves nothing but what is in the plan's directory.
    pub(super) async fn make(plan: BoxPlan, waiting: Waiting) -> Result<Self, Failure> {
        let looked = System::look(&plan).await;
        let stands_on = looked.context("looking at the system failed")??;
        let mut worker = waiting.into_worker();
        let group = Group::make(&plan.deck, plan.environment.as_str());
        let order = Order::Build {
            home_in_box: environment::home(&plan),
            plan: Box::new(plan.clone()),
            group: group.clone(),
        };
        let building = async {
            worker.tell(&order).await?;
            worker.answer().await?.context("the child that makes boxes ended early")
        };
        match within(CREATE_DEADLINE, building).await.and_then(refused) {
            Ok(Answer::Works) => {
                Ok(Self { plan, stands_on, group, looking: None, worker: Some(worker) })
            }
            answer => {
                // With its keeper the box ends; an empty group that stays is found by its deck.
                drop(worker);
                let _ = group.remove().await;
                Err(answer.err().unwrap_or_else(unexpected))
            }
        }
    }

    pub(super) fn is_of(&self, environment: &EnvironmentId) -> bool {
        self.plan.environment == *environment
    }

    /// Looks whether the system is as it was, for which there is time now.
    pub(super) fn look_again(&mut self) {
        self.looking = Some(System::look(&self.plan));
    }

    /// Becomes the box of a plan that is the same but for the name and the place of its directory.
    /// `None` where it cannot, and then nothing of it is left.
    pub(super) async fn become_box(mut self, plan: &BoxPlan) -> Option<BoxRecord> {
        match self.try_become(plan).await {
            Ok(record) => return Some(record),
            Err(error) => tracing::info!("a box that was made ahead is of no use: {error:#}"),
        }
        self.end().await;
        // No program has run in it, and it has another's name.
        let _ = crate::engine::remove_tree(&layer_of(plan));
        None
    }

    async fn try_become(&mut self, plan: &BoxPlan) -> anyhow::Result<BoxRecord> {
        let wanted = BoxPlan { name: plan.name.clone(), ..self.plan.moved_to(&plan.directory) };
        anyhow::ensure!(wanted == *plan, "another is asked for");
        // Looking at the system takes as long as all else here.
        let system = self.looking.take().unwrap_or_else(|| System::look(plan));
        let readying = async {
            making::bound(plan, &self.group)?;
            making::write_config(plan, &self.group, true)
        };
        let (system, ready) = tokio::join!(system, readying);
        let system = system.context("looking at the system failed")??;
        anyhow::ensure!(system == self.stands_on, "the system has changed");
        ready?;
        let order = Order::Isolate {
            home_in_box: environment::home(plan),
            plan: Box::new(plan.clone()),
            group: self.group.clone(),
        };
        let worker = self.worker.take().context("it has ended")?;
        let becoming = within(CREATE_DEADLINE, worker.finish(&order, |_, _| ()));
        match becoming.await.and_then(refused)? {
            Answer::Made { pid, start } => Ok(making::serve(plan, pid, start).await?),
            _ => Err(unexpected().into()),
        }
    }

    /// Ends it; when this returns nothing holds its files.
    pub(super) async fn end(mut self) {
        if let Some(worker) = self.worker.take() {
            let _ = tokio::time::timeout(END_DEADLINE, worker.give_up()).await;
        }
        let _ = self.group.remove().await;
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.let_go();
        }
    }
}

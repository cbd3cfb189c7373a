//! A box's system as an image: what the host shows it and its own layer, without the workspace,
//! the agent's home and what is only there while it runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::birth::Settle;
use super::carrying::GivenUp;
use super::image::{About, LayerWriter, TreeWriter};
use super::layer::{self, Base};
use super::order::{Answer, Order, Told};
use super::{carrying, forking, root};
use crate::engine::part::Part;
use crate::engine::{BoxPlan, BoxRecord, Progress, ProgressSink, SaveTarget};
use crate::model::failure::{Failure, FailureKind};

/// Longest time to write a system: tens of gigabytes to a slow disk.
const DEADLINE: Duration = Duration::from_hours(1);

/// Directories that every system has and that are empty in an image.
const PLACES: [(&str, u32); 10] = [
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

/// Where an image's programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the box's system to a file, whole or not at all.
pub(super) async fn save(
    plan: &BoxPlan,
    record: &BoxRecord,
    to: &SaveTarget,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    let SaveTarget::Archive(path) = to else {
        let message = "the native engine keeps no images by name";
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("write a file with --output FILE.tar; docker load and agentdeck new take it"));
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let message = format!("{} is there and is no file", path.display());
        return Err(Failure::new(FailureKind::Refused, message).hint("name another file"));
    }
    let (plan, record, path) = (plan.clone(), record.clone(), path.clone());
    let progress = progress.clone();
    carrying::unbroken(move |given_up| async move {
        write(&plan, &record, &path, &progress, given_up).await
    })
    .await
}

async fn write(
    plan: &BoxPlan,
    record: &BoxRecord,
    path: &Path,
    progress: &ProgressSink,
    given_up: GivenUp,
) -> Result<(), Failure> {
    let (home, path) = (plan.deck_directory().to_owned(), path.to_owned());
    let part = blocking(move || Part::begin(&home, &path, |_| None)).await?;
    let output = part.path().to_owned();
    let order = Order::Save { plan: Box::new(plan.clone()), output };
    let tell = |done, total| {
        // Full: whoever listens has enough to read.
        let _ = progress.try_send(Progress { step: "saving".to_owned(), done, total });
    };
    let saving = carrying::carry_out_until(&plan.shim, &order, DEADLINE, given_up, tell);
    let answer = forking::standing_still(record, saving).await?;
    let Answer::Saved { left_out } = answer else { return Err(carrying::unexpected()) };
    if left_out > 0 {
        tracing::warn!(environment = %plan.environment, left_out, "files this user may not read");
    }
    blocking(move || part.finish()).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.context("writing the file failed")?
}

/// The child's part, before it leaves the host.
pub(super) struct Saving<'a> {
    plan: &'a BoxPlan,
    layer: PathBuf,
    base: Base,
    output: File,
    squash: bool,
}

impl<'a> Saving<'a> {
    pub(super) fn prepare(plan: &'a BoxPlan, output: &Path) -> anyhow::Result<Self> {
        let layer = plan.directory.join(layer::DIRECTORY);
        anyhow::ensure!(
            layer.join(layer::LAYERS).exists(),
            "the environment has no system of its own"
        );
        let output = File::options().write(true).open(output);
        Ok(Self {
            plan,
            layer,
            base: Base::of(plan)?,
            output: output.context("cannot open the file to save to")?,
            squash: !rustix::process::geteuid().is_root(),
        })
    }

    /// In new namespaces: puts the system together as the box sees it, and writes it.
    pub(super) fn write(self, _settle: &mut Settle<'_>) -> anyhow::Result<()> {
        let system = root::still(self.plan, &self.layer, &self.base)?;
        let mut told = Told::new(0);
        let layer = LayerWriter::begin(self.output).context("cannot write the image")?;
        let mut tree = TreeWriter::new(layer, self.squash, &mut told);
        tree.directory(&system, &mut PathBuf::new())?;
        for (name, mode) in PLACES {
            if rustix::fs::statat(&system, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err() {
                tree.empty(Path::new(name), mode)?;
            }
        }
        let left_out = tree.left_out;
        let about = About {
            name: format!("agentdeck-{}:latest", self.plan.name),
            created: jiff::Timestamp::now().to_string(),
            path: PATH.to_owned(),
        };
        tree.finish()?.finish(&about)?;
        Ok(Answer::Saved { left_out }.tell()?)
    }
}

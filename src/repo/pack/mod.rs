//! Packing our own store, so that thousands of snapshots stay small, and making it whole: every
//! object that a snapshot or a base needs is ours in the end, whatever becomes of the user's.
//!
//! Git's own packer does it: nothing else writes deltas. It is told each object by name, since its
//! own choice (`repack`) counts an object that the user's repository has as kept. What is ours goes
//! only once a new pack of ours on the disk has it. What a kill leaves are files of no name, which
//! the next packing removes.

mod list;
mod owned;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use gix::ObjectId;

use list::{Listing, Wanted};
use owned::{Owned, Pack};

/// Objects in files of their own above which packing pays: some five hundred snapshots.
const LOOSE_LIMIT: usize = 5_000;
/// Directories over which those files are spread evenly, by the first byte of their name.
const FANS: usize = 256;
/// One of these directories stands for all.
const SAMPLE: &str = "17";
/// More packs than this become one: trees find what they differ little from only in their own.
const PACKS_LIMIT: usize = 3;
/// Longer than this it is stuck: a hundred thousand objects take less than a minute.
const DEADLINE: Duration = Duration::from_mins(10);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// What is unfinished and older than this was left by a kill.
const ABANDONED: Duration = Duration::from_hours(1);
/// The lowest priority there is.
const IDLE: i32 = 19;

/// Snapshots are deltas of each other: directories of one name are many, and the nearest is wanted.
/// What others packed is computed anew.
const CLOSELY: &[&str] = &["--window=50", "--depth=50", "--no-reuse-object"];
/// What is copied from the user's packs stays as it is there.
const AS_IT_IS: &[&str] = &["--window=10"];

/// Whether the store in `directory` has enough loose objects. Costs one listing of a directory.
pub fn is_due(directory: &Path) -> bool {
    let sample = directory.join("snapshots.git/objects").join(SAMPLE);
    fs::read_dir(sample).is_ok_and(|entries| entries.count() >= LOOSE_LIMIT / FANS)
}

/// Whether the store in `directory` has every base itself, and with it all that was ever copied:
/// [`complete`] and [`run`] store a base and what belongs to it at once.
pub fn is_whole(directory: &Path) -> anyhow::Result<bool> {
    let bare = directory.join("snapshots.git");
    let repository = list::open(&bare)?;
    let owned = Owned::packs_only(&bare, repository.object_hash())?;
    Ok(list::bases(&repository)?.iter().all(|base| owned.contains(base)))
}

/// Copies into the store what its snapshots and bases need and only the user's repository has.
/// The calling thread has the lowest priority from now on.
pub fn complete(directory: &Path) -> anyhow::Result<()> {
    idle();
    let bare = directory.join("snapshots.git");
    sweep(&bare.join("objects/pack"));
    let repository = list::open(&bare)?;
    let owned = Owned::read(&bare, repository.object_hash())?;
    copy_foreign(&bare, &owned, Listing::new(&repository, &owned, Wanted::Foreign)?)
}

/// Makes the store in `directory` whole and packs it. The calling thread has the lowest priority
/// from now on.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    idle();
    let bare = directory.join("snapshots.git");
    sweep(&bare.join("objects/pack"));
    let repository = list::open(&bare)?;
    let owned = Owned::read(&bare, repository.object_hash())?;
    let together = owned.packs().filter(|pack| !pack.kept).count() > PACKS_LIMIT;
    let wanted = if together { Wanted::Everything } else { Wanted::Loose };
    // One walk finds both lists.
    let listing = Listing::new(&repository, &owned, wanted)?;
    if listing.own > 0 {
        let packed = pack(&bare, &listing.own_file, CLOSELY, repository.object_hash())?;
        let former = owned.packs().filter(|pack| together && !pack.kept);
        remove_packed(&packed, &owned.loose, former)?;
    }
    copy_foreign(&bare, &owned, listing)
}

/// Packs what is not ours yet apart from the rest: it is seldom touched again, and no packing of
/// snapshots compares with it. A few such packs become one.
fn copy_foreign(bare: &Path, owned: &Owned, mut listing: Listing) -> anyhow::Result<()> {
    if listing.missing > 0 {
        let count = listing.missing;
        tracing::warn!("{}: {count} objects of snapshots are nowhere any more", bare.display());
    }
    if listing.foreign == 0 {
        return Ok(());
    }
    let kept: Vec<&Pack> = owned.packs().filter(|pack| pack.kept).collect();
    let together = kept.len() >= PACKS_LIMIT;
    if together {
        for pack in &kept {
            listing.add_foreign(&pack.ids())?;
        }
    }
    let packed = pack(bare, &listing.foreign_file, AS_IT_IS, owned.hash)?;
    // A pack of this kind is known by the file that git itself gives to one that is to be kept.
    File::create(packed.path.with_extension("keep"))?.sync_all()?;
    remove_packed(&packed, &HashSet::new(), kept.into_iter().filter(|_| together))
}

/// Writes a pack of the listed objects, which is on the disk when this returns.
fn pack(bare: &Path, objects: &File, how: &[&str], hash: gix::hash::Kind) -> anyhow::Result<Pack> {
    let packs = bare.join("objects/pack");
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(bare)
        .args(["-c", "pack.threads=1", "-c", "core.fsync=pack,pack-metadata"])
        .args(["pack-objects", "--quiet", "--non-empty", "--delta-base-offset"])
        .args(how)
        .arg(packs.join("pack"))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .current_dir(bare)
        .stdin(list::rewound(objects)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git to pack the snapshots")?;
    let told = child.stdout.take();
    wait(child)?;
    // One line, which waits in the pipe.
    let mut name = String::new();
    told.context("git has no output")?.read_to_string(&mut name)?;
    File::open(&packs)?.sync_all()?;
    Pack::open(&packs.join(format!("pack-{}.idx", name.trim())), hash)
}

fn wait(mut child: Child) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "git did not pack the snapshots: {status}");
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("git took too long to pack the snapshots");
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes the files and packs of ours of which a new pack of ours has everything.
fn remove_packed<'o>(
    packed: &Pack,
    loose: &HashSet<ObjectId>,
    former: impl Iterator<Item = &'o Pack>,
) -> anyhow::Result<()> {
    let objects = packed.path.ancestors().nth(2).context("a pack is in a store")?;
    let files = gix::odb::loose::Store::at(objects, packed.hash());
    let mut fans = HashSet::new();
    for id in loose.iter().filter(|id| packed.contains(id)) {
        let path = files.object_path(id);
        let _ = fs::remove_file(&path);
        fans.extend(path.parent().map(Path::to_owned));
    }
    for fan in fans {
        // It stays when other objects are in it.
        let _ = fs::remove_dir(fan);
    }
    for pack in former {
        if pack.path == packed.path || !pack.ids().iter().all(|id| packed.contains(id)) {
            continue;
        }
        // Without its index a pack is no pack.
        for ending in ["idx", "rev", "keep", "pack"] {
            let _ = fs::remove_file(pack.path.with_extension(ending));
        }
    }
    Ok(())
}

fn idle() {
    // Where it cannot be lowered, packing is only less considerate.
    let _ = rustix::process::setpriority_process(None, IDLE);
}

/// Removes half-written packs that nobody writes any more.
fn sweep(packs: &Path) {
    for entry in fs::read_dir(packs).into_iter().flatten().flatten() {
        let unfinished = entry.file_name().to_string_lossy().starts_with("tmp_");
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if unfinished && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

//! The one ref of ours in the user's repository for each environment, which keeps its base from
//! being pruned. The user's git works beside us there, and holds locks.

use std::path::Path;
use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::config::tree::Core;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;

use super::refs;
use super::user::UserRepository;

/// A lock of one ref is held for milliseconds. One of this age is what a kill left.
const STALE: Duration = Duration::from_secs(5);

/// How long locks are waited for. Packing many refs takes git a second or two, and a lock of our
/// own must have become stale by then.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(50);

/// Pins an environment's base: the only write to the user's repository until something is taken.
pub(super) fn set(
    user: &UserRepository,
    environment: &EnvironmentId,
    base: ObjectId,
) -> Result<(), Failure> {
    let name = refs::pin(environment);
    if refs::read(&user.reader(), &name)? == Some(base) {
        return Ok(());
    }
    let set = |repository: &gix::Repository| refs::set(repository, name.clone(), base, None);
    patiently(user, environment, PATIENCE, "pin the base in your repository", set)
}

/// Sets a pin that was moved or removed by somebody else; whether the base is there to be pinned.
pub(super) fn set_again(
    user: &UserRepository,
    environment: &EnvironmentId,
    base: ObjectId,
) -> Result<bool, Failure> {
    let name = refs::pin(environment);
    let reader = user.reader();
    if !reader.has_object(base) {
        return Ok(false);
    }
    let now = refs::read(&reader, &name)?;
    if now == Some(base) {
        return Ok(true);
    }
    let set = |repository: &gix::Repository| refs::set(repository, name.clone(), base, now);
    patiently(user, environment, PATIENCE, "pin the base in your repository", set)?;
    Ok(true)
}

/// Removes an environment's pin. One that is gone already is no failure.
pub(super) fn remove(user: &UserRepository, environment: &EnvironmentId) -> Result<(), Failure> {
    remove_within(user, environment, PATIENCE)
}

fn remove_within(
    user: &UserRepository,
    environment: &EnvironmentId,
    patience: Duration,
) -> Result<(), Failure> {
    let name = refs::pin(environment);
    let Some(id) = refs::read(&user.reader(), &name)? else { return Ok(()) };
    let remove = |repository: &gix::Repository| refs::remove(repository, name.clone(), id);
    patiently(user, environment, patience, "remove our pin from your repository", remove)?;
    for directory in ["refs/agentdeck/pin", "refs/agentdeck"] {
        // It stays when other pins are in it.
        let _ = std::fs::remove_dir(user.git_dir().join(directory));
    }
    Ok(())
}

/// Tries an edit until no lock is in its way. One of the pin's own that a killed server left is
/// removed; any other is the user's, and named when it stays.
fn patiently(
    user: &UserRepository,
    environment: &EnvironmentId,
    patience: Duration,
    what: &str,
    edit: impl Fn(&gix::Repository) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let repository = impatient(user)?;
    let [own, packed] = refs::locks(user.git_dir(), &refs::pin(environment));
    let started = Instant::now();
    let mut unexplained = false;
    loop {
        let Err(error) = edit(&repository) else { return Ok(()) };
        let in_the_way = [&own, &packed].into_iter().find(|lock| lock.exists());
        let Some(lock) = in_the_way else {
            if unexplained {
                return Err(error.context(format!("cannot {what}")).into());
            }
            // The lock may have gone before it was looked for.
            unexplained = true;
            continue;
        };
        if *lock == own && is_stale(lock) {
            tracing::info!("removed {}, which a killed server left", lock.display());
            let _ = std::fs::remove_file(lock);
        } else if started.elapsed() < patience {
            std::thread::sleep(PAUSE);
        } else {
            return Err(Failure::new(
                FailureKind::Unavailable,
                format!("cannot {what}: git is at work, {} exists", lock.display()),
            )
            .hint("try again when it is done; if no git runs, remove that file"));
        }
    }
}

/// A handle that finds out about a lock at once, whatever the user has configured: it could be to
/// wait for ever.
fn impatient(user: &UserRepository) -> anyhow::Result<gix::Repository> {
    let mut repository = user.reader();
    let mut config = repository.config_snapshot_mut();
    config.set_value(&Core::FILES_REF_LOCK_TIMEOUT, "0")?;
    config.set_value(&Core::PACKED_REFS_TIMEOUT, "0")?;
    config.commit()?;
    Ok(repository)
}

/// Whether a lock is older than git or we hold one. Its name is that of one environment of ours,
/// of which two never have the same.
fn is_stale(lock: &Path) -> bool {
    let age = lock.symlink_metadata().and_then(|found| found.modified()).map(|at| at.elapsed());
    // A clock that was set back tells nothing.
    age.is_ok_and(|age| age.is_ok_and(|age| age >= STALE))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::repo::object;
    use crate::repo::oracle::{Oracle, files};

    fn case() -> (Oracle, UserRepository, ObjectId) {
        let oracle = Oracle::new();
        let base = oracle.commit(&files(&[("price", "one")]), &[]);
        oracle.git(["reset", "-q", "--hard", base.as_str()]);
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        (oracle, user, object::id(&base))
    }

    fn lock(user: &UserRepository, environment: &EnvironmentId, which: usize, age: Duration) {
        let path = &refs::locks(user.git_dir(), &refs::pin(environment))[which];
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        let file = std::fs::File::create(path).expect("made");
        file.set_modified(SystemTime::now() - age).expect("aged");
    }

    fn pins(oracle: &Oracle) -> usize {
        oracle.git(["for-each-ref", "refs/agentdeck"]).lines().count()
    }

    #[test]
    fn a_lock_that_a_kill_left_is_in_the_way_of_nothing() {
        let (oracle, user, base) = case();
        let environment = EnvironmentId::from_random([3; 8]);
        lock(&user, &environment, 0, STALE);
        set(&user, &environment, base).expect("pinned");
        assert_eq!(pins(&oracle), 1);
        lock(&user, &environment, 0, STALE);
        remove(&user, &environment).expect("removed");
        assert_eq!(pins(&oracle), 0);
        assert!(!user.git_dir().join("refs/agentdeck").exists());
    }

    #[test]
    fn a_pin_that_the_user_rewrote_or_removed_is_set_again() {
        let (oracle, user, base) = case();
        let environment = EnvironmentId::from_random([6; 8]);
        set(&user, &environment, base).expect("pinned");
        let pin = format!("refs/agentdeck/pin/{environment}");
        let other = oracle.commit(&files(&[("price", "two")]), &[]);
        for change in [vec!["update-ref", &pin, other.as_str()], vec!["update-ref", "-d", &pin]] {
            oracle.git(change);
            assert!(set_again(&user, &environment, base).expect("set"));
            assert_eq!(oracle.git(["rev-parse", &pin]), base.to_string());
        }
        let nowhere = ObjectId::from_hex(&[b'1'; 40]).expect("an id");
        assert!(!set_again(&user, &environment, nowhere).expect("looked"));
        assert_eq!(oracle.git(["rev-parse", &pin]), base.to_string());
    }

    #[test]
    fn a_lock_that_may_be_held_is_never_removed() {
        let (oracle, user, base) = case();
        let environment = EnvironmentId::from_random([4; 8]);
        set(&user, &environment, base).expect("pinned");
        lock(&user, &environment, 0, Duration::ZERO);
        let failure = remove_within(&user, &environment, Duration::ZERO).expect_err("in the way");
        assert!(failure.message.contains(&format!("{environment}.lock")), "{failure}");
        assert!(refs::locks(user.git_dir(), &refs::pin(&environment))[0].exists());
        assert_eq!(pins(&oracle), 1);
    }

    #[test]
    fn a_lock_of_the_users_own_is_named_and_stays() {
        let (oracle, user, base) = case();
        let environment = EnvironmentId::from_random([5; 8]);
        set(&user, &environment, base).expect("pinned");
        oracle.git(["pack-refs", "--all"]);
        lock(&user, &environment, 1, Duration::from_hours(1));
        let failure = remove_within(&user, &environment, Duration::ZERO).expect_err("in the way");
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("packed-refs.lock"), "{failure}");
        assert!(user.git_dir().join("packed-refs.lock").exists());
        std::fs::remove_file(user.git_dir().join("packed-refs.lock")).expect("removed");
        remove(&user, &environment).expect("removed");
        assert_eq!(pins(&oracle), 0);
    }
}

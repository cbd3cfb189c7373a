//! The user's repository: found, judged and read, never changed.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::discover::upwards;
use gix::sec::Trust;
use sha2::{Digest, Sha256};

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, RepositoryId};
use crate::model::path::RepoPath;
use crate::model::repository::{Identity, RepositoryState};

use super::rules::UserRules;
use super::{divergence, object, status};

/// Who commits when the user's git does not know the user.
const FALLBACK_NAME: &str = "agentdeck";
const FALLBACK_EMAIL: &str = "agentdeck@localhost";

/// A repository of the user with a working tree.
pub struct UserRepository {
    repository: gix::ThreadSafeRepository,
    root: PathBuf,
    git_dir: PathBuf,
    id: RepositoryId,
}

impl UserRepository {
    /// Finds the repository around `path`. What cannot serve is refused by name: no repository, a
    /// bare one, one of another user, one with an unknown ref format. One where `HEAD` leads to no
    /// commit is found: only who needs the commit ([`UserRepository::head`]) has to do without.
    pub fn discover(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let path = path.canonicalize().map_err(|error| {
            Failure::new(FailureKind::NotFound, format!("cannot open {shown}: {error}"))
        })?;
        let (git_dir, root) = find(&path)?;
        refuse_other_owner(&git_dir)?;
        let Some(root) = root else {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("{} is a bare repository: it has no files to work on", git_dir.display()),
            )
            .hint(format!("clone it and use the clone: git clone {}", git_dir.display())));
        };
        refuse_other_owner(&root)?;
        let root = root.canonicalize().context("cannot open the working tree")?;
        refuse_reftable(&root, &git_dir)?;
        let repository = gix::open::Options::default()
            .with(Trust::Full)
            .open(&root)
            .with_context(|| format!("cannot open the repository {}", root.display()))?;
        let local = repository.to_thread_local();
        let common = local.common_dir().canonicalize().context("cannot find the git directory")?;
        Ok(Self { repository, root, id: identify(&common), git_dir: common })
    }

    /// The working tree's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn id(&self) -> &RepositoryId {
        &self.id
    }

    /// The git directory that all worktrees of the repository share.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The commit checked out, and its branch without `refs/heads/` unless `HEAD` is detached.
    pub fn head(&self) -> Result<(CommitId, Option<String>), Failure> {
        let repository = self.reader();
        let mut head = repository.head().context("cannot read HEAD")?;
        if head.is_unborn() {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("{} has no commit yet", self.root.display()),
            )
            .hint("make the first one: git commit --allow-empty -m \"first commit\""));
        }
        let branch = head.referent_name().and_then(|name| {
            let name = name.as_bstr().strip_prefix(b"refs/heads/")?;
            Some(String::from_utf8_lossy(name).into_owned())
        });
        let commit = head.peel_to_commit().context("HEAD does not lead to a commit")?;
        Ok((object::name(commit.id), branch))
    }

    /// Branch, commit and uncommitted work as they are now. Runs no program and no filter.
    pub fn state(&self) -> Result<RepositoryState, Failure> {
        let (head, branch) = self.head()?;
        let unpushed = match &branch {
            Some(branch) => self.unpushed(branch, &head)?,
            None => None,
        };
        let uncommitted = self.uncommitted()?;
        Ok(RepositoryState { root: self.root.clone(), head, branch, unpushed, uncommitted })
    }

    /// Paths that differ from `HEAD`, as in [`RepositoryState::uncommitted`].
    pub fn uncommitted(&self) -> Result<Vec<RepoPath>, Failure> {
        let paths = status::uncommitted(self)
            .with_context(|| format!("cannot look for changes in {}", self.root.display()))?;
        Ok(paths)
    }

    /// Commits of a branch that its upstream lacks; `None` without an upstream.
    fn unpushed(&self, branch: &str, head: &CommitId) -> anyhow::Result<Option<u32>> {
        let repository = self.reader();
        let name = gix::refs::FullName::try_from(format!("refs/heads/{branch}"))?;
        let direction = gix::remote::Direction::Fetch;
        let Some(Ok(upstream)) =
            repository.branch_remote_tracking_ref_name(name.as_ref(), direction)
        else {
            return Ok(None);
        };
        let Some(mut upstream) = repository.try_find_reference(upstream.as_ref())? else {
            return Ok(None);
        };
        let upstream = object::name(upstream.peel_to_id()?.detach());
        divergence::commits_between(&repository, &upstream, head).map(Some)
    }

    /// The commit a revision names, as `git rev-parse` has it.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, Failure> {
        let repository = self.reader();
        let found = repository
            .rev_parse_single(revision)
            .map_err(anyhow::Error::from)
            .and_then(|id| Ok(id.object()?.peel_to_commit()?));
        found.map(|commit| object::name(commit.id)).map_err(|_| {
            Failure::new(
                FailureKind::NotFound,
                format!("{revision:?} is no commit of {}", self.root.display()),
            )
            .hint("name a branch, a tag or a commit that `git log` shows")
        })
    }

    /// Who the user is to git; a name of ours where git does not know.
    pub fn identity(&self) -> Identity {
        let repository = self.reader();
        let config = repository.config_snapshot();
        let text = |key: &str| {
            let value = config.string(key).map(|value| value.to_string());
            value.filter(|value| !value.trim().is_empty())
        };
        Identity {
            name: text("user.name").unwrap_or_else(|| FALLBACK_NAME.to_owned()),
            email: text("user.email").unwrap_or_else(|| FALLBACK_EMAIL.to_owned()),
        }
    }

    /// A handle on the repository, for reading. Cheap; one a thread.
    pub(super) fn reader(&self) -> gix::Repository {
        self.repository.to_thread_local()
    }

    pub(super) fn hash_kind(&self) -> gix::hash::Kind {
        self.reader().object_hash()
    }

    pub(super) fn rules(&self) -> anyhow::Result<UserRules> {
        UserRules::read(&self.reader())
    }
}

/// The git directory around a path, and the working tree's root where there is one.
fn find(path: &Path) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    // Ownership is judged by us afterwards, so that the failure can name it.
    let options = upwards::Options {
        trust: upwards::TrustPolicy::Assume(Trust::Full),
        ..upwards::Options::default()
    };
    let (found, _trust) = gix::discover::upwards_opts(path, options).map_err(|_| {
        Failure::new(
            FailureKind::NotFound,
            format!("there is no git repository in {} or above it", path.display()),
        )
        .hint("go into a repository, or make one here: git init && git commit --allow-empty")
    })?;
    Ok(found.into_repository_and_work_tree_directories())
}

fn refuse_other_owner(path: &Path) -> Result<(), Failure> {
    let owner = std::fs::metadata(path).context("cannot look at the repository")?.uid();
    let us = rustix::process::geteuid().as_raw();
    if owner == us {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Refused,
        format!("{} belongs to uid {owner}, and agentdeck runs as uid {us}", path.display()),
    )
    .hint(format!("run agentdeck as uid {owner}, or make the files yours: chown -R {us} PATH")))
}

fn refuse_reftable(root: &Path, git_dir: &Path) -> Result<(), Failure> {
    let common = std::fs::read_to_string(git_dir.join("commondir"))
        .map_or_else(|_| git_dir.to_owned(), |relative| git_dir.join(relative.trim_end()));
    if !common.join("reftable").is_dir() {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Refused,
        format!("{} keeps its refs as reftable, which is not supported", root.display()),
    )
    .hint("convert it: git refs migrate --ref-format=files"))
}

/// A name for the repository that does not change while its git directory stays where it is.
fn identify(git_dir: &Path) -> RepositoryId {
    let digest = Sha256::digest(git_dir.as_os_str().as_bytes());
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    RepositoryId(format!("{:016x}", u64::from_be_bytes(*first)))
}

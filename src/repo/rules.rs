//! What the user's git says about files before any file in a tree does: excludes, attributes and
//! line endings. Resolved once from the user's own configuration; drivers are left out on purpose.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::attrs::search::MetadataCollection;
use gix::filter::plumbing::eol;

/// The user's rules for ignoring and converting files, below those of the tree itself.
#[derive(Clone)]
pub(super) struct UserRules {
    /// `core.excludesFile`, then `info/exclude`.
    pub excludes: gix::ignore::Search,
    /// The built-in macro, the system's and the user's attribute files.
    pub attributes: gix::attrs::Search,
    /// `info/attributes`, which wins over every file of the tree.
    pub attributes_override: gix::attrs::Search,
    /// Names of the attributes in both.
    pub collection: MetadataCollection,
    pub eol: eol::Configuration,
    /// Whether git-lfs makes pointers of the files that attributes give to it.
    pub keeps_large: bool,
    pub hash: gix::hash::Kind,
}

impl UserRules {
    pub fn read(repository: &gix::Repository) -> anyhow::Result<Self> {
        let config = repository.config_snapshot();
        let mut buffer = Vec::new();
        let excludes_file = trusted_path(&config, "core.excludesFile", "ignore");
        let excludes = gix::ignore::Search::from_git_dir(
            repository.common_dir(),
            excludes_file,
            &mut buffer,
            gix::ignore::search::Ignore::default(),
        )
        .context("cannot read the exclude files")?;

        let mut collection = MetadataCollection::default();
        let files = [
            Some(PathBuf::from("/etc/gitattributes")),
            trusted_path(&config, "core.attributesFile", "attributes"),
        ];
        let attributes = gix::attrs::Search::new_globals(
            files.into_iter().flatten(),
            &mut buffer,
            &mut collection,
        )
        .context("cannot read the attribute files")?;
        let mut attributes_override = gix::attrs::Search::default();
        attributes_override.add_patterns_file(
            repository.common_dir().join("info/attributes"),
            true,
            None,
            &mut buffer,
            &mut collection,
            true,
        )?;
        let options = gix::filter::Pipeline::options(repository)?;
        Ok(Self {
            excludes,
            attributes,
            attributes_override,
            collection,
            eol: options.eol_config,
            keeps_large: ["filter.lfs.clean", "filter.lfs.process"]
                .into_iter()
                .any(|key| config.string(key).is_some_and(|command| !command.is_empty())),
            hash: repository.object_hash(),
        })
    }
}

/// A path from the configuration, or the file git looks for in the user's directory otherwise.
fn trusted_path(config: &gix::config::Snapshot<'_>, key: &str, fallback: &str) -> Option<PathBuf> {
    if let Ok(Some(path)) = config.trusted_path(key) {
        return Some(path);
    }
    let directory = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(directory.join("git").join(fallback))
}

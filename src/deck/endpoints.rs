//! The engines that boxes of this home were ever at, in a small file: what a box left at one of
//! them is found there also when no record names it any more.

use std::path::PathBuf;

use crate::store::{self, Layout};

/// Engines that are remembered; whoever uses more of them is asked of the newest.
const MAX_REMEMBERED: usize = 16;

fn path(layout: &Layout) -> PathBuf {
    layout.home().join("endpoints.json")
}

/// The engines that were used, the one that was first used latest first. Blocking.
pub(super) fn read(layout: &Layout) -> Vec<String> {
    let read = store::read_json(&path(layout)).unwrap_or_else(|error| {
        tracing::warn!("which engines were used is not known: {error:#}");
        None
    });
    read.unwrap_or_default()
}

/// Takes note of an engine before anything is made at it. Blocking.
pub(super) fn remember(layout: &Layout, endpoint: &str) -> anyhow::Result<()> {
    let mut known = read(layout);
    if known.iter().any(|known| known == endpoint) {
        return Ok(());
    }
    known.insert(0, endpoint.to_owned());
    known.truncate(MAX_REMEMBERED);
    store::write_json(&path(layout), &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_is_remembered_once_and_the_newest_stay() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(home.path());
        assert_eq!(read(&layout), Vec::<String>::new());
        for endpoint in ["unix:///a", "unix:///b", "unix:///a"] {
            remember(&layout, endpoint).expect("written");
        }
        assert_eq!(read(&layout), ["unix:///b", "unix:///a"]);
        for number in 0..MAX_REMEMBERED {
            remember(&layout, &format!("unix:///{number}")).expect("written");
        }
        let known = read(&layout);
        assert_eq!((known.len(), known[0].as_str()), (MAX_REMEMBERED, "unix:///15"));
        std::fs::write(path(&layout), "").expect("written");
        remember(&layout, "unix:///c").expect("a file that is torn is written anew");
        assert_eq!(read(&layout), ["unix:///c"]);
    }
}

//! Descriptors of the server: terminals, boxes, clients, and the connections of a hundred boxes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as a hundred boxes use that each hold all the connections they may.
const WANTED: u64 = 1 << 16;

/// Takes what this user may have. What is usual, 1024, four boxes could use up by connecting.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if limit.current.is_some_and(|now| now < current) {
        let raised = Rlimit { current: Some(current), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the server keeps its few descriptors");
        }
    }
}

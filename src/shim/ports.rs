//! The listeners at names' own addresses, for ports that only some names have. A bounded table.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use tokio::task::AbortHandle;

/// Places listened on at a time; a policy names a few ports, programs a few names.
const MAX_PORTS: usize = 256;

/// Which places are listened on. Forgetting one ends its listener, and no connection.
#[derive(Default)]
pub(super) struct Ports {
    listeners: HashMap<SocketAddrV4, AbortHandle>,
}

impl Ports {
    /// Whether a place is new and can be taken. Where the table is full, the places whose address
    /// is no name's any more make room.
    pub(super) fn has_room_for(
        &mut self,
        place: SocketAddrV4,
        named: impl Fn(&SocketAddrV4) -> bool,
    ) -> bool {
        if self.listeners.len() >= MAX_PORTS {
            self.retain(named);
        }
        self.listeners.len() < MAX_PORTS && !self.listeners.contains_key(&place)
    }

    pub(super) fn insert(&mut self, place: SocketAddrV4, listener: AbortHandle) {
        self.listeners.insert(place, listener);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&SocketAddrV4) -> bool) {
        for (_, listener) in self.listeners.extract_if(|place, _| !keep(place)) {
            listener.abort();
        }
    }
}

//! Where a program's links lead (OSC 8): cells say which link, the address is kept once, here.
//!
//! A link is named by what it is made of, so that it has the same name in a terminal that was
//! rebuilt. The oldest are forgotten first; their text stays, and leads nowhere.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use alacritty_terminal::term::cell::Cell;
use alacritty_terminal::vte::ansi::{Handler, Hyperlink};

use super::terminal::Terminal;
use crate::model::link::{LinkId, is_address};

/// Bytes kept at most. Ten thousand rows with a link of usual length each fit.
const MOST_BYTES: usize = 1 << 20;
/// What a link costs besides its text, about: without it, many short ones would cost the most.
const OVERHEAD: usize = 64;
/// Longest id that is kept, in bytes, as other terminals have it. A longer one is as none.
const LONGEST_ID: usize = 250;
/// What ends a link.
pub(super) const END: &str = "\x1b]8;;\x1b\\";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    /// What a program calls it, so that its parts belong together; empty for none.
    id: String,
    address: String,
}

impl Link {
    fn cost(&self) -> usize {
        self.id.len() + self.address.len() + OVERHEAD
    }
}

#[derive(Clone, Debug, Default)]
struct Table {
    known: HashMap<LinkId, Link>,
    oldest_first: VecDeque<LinkId>,
    bytes: usize,
}

/// The links of a terminal. A clone shares them until either changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Arc<Table>);

impl Links {
    /// Keeps a link; `None` for what is none, or cannot be one.
    fn open(&mut self, parameters: &[u8], address: &[u8]) -> Option<LinkId> {
        let address = std::str::from_utf8(address).ok().filter(|text| is_address(text))?.to_owned();
        let id = parameters.split(|byte| *byte == b':').find_map(|it| it.strip_prefix(b"id="));
        let id = id.filter(|id| id.len() <= LONGEST_ID && id.iter().all(u8::is_ascii_graphic));
        let id = String::from_utf8_lossy(id.unwrap_or_default()).into_owned();
        let link = Link { id, address };
        let mut hasher = DefaultHasher::new();
        link.hash(&mut hasher);
        let name = LinkId(hasher.finish());
        if !self.0.known.contains_key(&name) {
            Arc::make_mut(&mut self.0).keep(name, link);
        }
        Some(name)
    }

    pub(super) fn address(&self, link: LinkId) -> Option<&str> {
        self.0.known.get(&link).map(|link| link.address.as_str())
    }

    /// The sequence that begins a link.
    pub(super) fn opening(&self, link: LinkId) -> Option<String> {
        let Link { id, address } = self.0.known.get(&link)?;
        let id = if id.is_empty() { String::new() } else { format!("id={id}") };
        Some(format!("\x1b]8;{id};{address}\x1b\\"))
    }
}

impl Table {
    fn keep(&mut self, name: LinkId, link: Link) {
        self.bytes += link.cost();
        self.known.insert(name, link);
        self.oldest_first.push_back(name);
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.bytes -= self.known.remove(&oldest).map_or(0, |link| link.cost());
        }
    }
}

/// The link that a cell leads to.
pub(super) fn of(cell: &Cell) -> Option<LinkId> {
    cell.extra.as_ref()?;
    u64::from_str_radix(cell.hyperlink()?.id(), 16).ok().map(LinkId)
}

impl Terminal {
    /// Takes the payload of a link after `8;`: what follows leads there. Without an address, or
    /// with one that cannot be kept, it leads nowhere.
    pub(super) fn link(&mut self, payload: &[u8]) {
        let mut parts = payload.splitn(2, |byte| *byte == b';');
        let (Some(parameters), Some(address)) = (parts.next(), parts.next()) else { return };
        // A repeat would have the former character lead there.
        self.preceding = None;
        let link = self.links.open(parameters, address);
        // The grid keeps the name alone: what a cell costs must not be for the program to choose.
        let named = |LinkId(name)| Hyperlink { id: Some(format!("{name:x}")), uri: String::new() };
        self.term.set_hyperlink(link.map(named));
    }
}

//! What a program offers a person: a link behind its text, or a text for their clipboard. It is
//! shown as it is, and nothing is done with it unless they say so.

use ratatui::layout::Position;

use crate::model::failure::{Failure, FailureKind};
use crate::model::input::{Input, Key, KeyCode};
use crate::model::lines::Spot;
use crate::model::link::{self, LinkId};
use crate::model::screen::Size;
use crate::proto::{Reply, Request};

use super::super::layout::{self, Tile};
use super::super::panes::PaneKey;
use super::super::view;
use super::super::widget::foreign;
use super::{App, Effect, Hand, Overlay, Tag};

/// Columns of what is offered.
const WIDTH: u16 = 72;
/// Rows of the panel that are not what is offered: frames, words, buttons.
const CHROME: u16 = 8;

/// Something offered, and what is chosen to be done with it. Leaving it is what Enter does first.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) what: Offered,
    /// Whether the button that acts is chosen.
    pub(crate) act: bool,
}

#[derive(Debug)]
pub(crate) enum Offered {
    /// Where a link leads.
    Link { address: String },
    /// What a program wants in the clipboard.
    Text { text: String },
}

/// What was said to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Leave,
    Open,
    Copy,
}

impl Offer {
    fn new(what: Offered) -> Self {
        Self { what, act: false }
    }

    /// Its lines as they are shown on a terminal of this size, and how many have no room.
    pub(crate) fn lines(&self, size: Size) -> (Vec<String>, usize) {
        let (_, body, _) = layout::frame(size);
        let width = usize::from(WIDTH.min(body.width.saturating_sub(6)).max(1));
        let room = usize::from(body.height.saturating_sub(CHROME).max(1));
        let text = match &self.what {
            Offered::Link { address } => address,
            Offered::Text { text } => text,
        };
        let mut lines: Vec<String> =
            text.lines().flat_map(|line| view::broken(&foreign(line), width)).collect();
        let beyond = lines.len().saturating_sub(room);
        lines.truncate(room);
        (lines, beyond)
    }

    /// The host to go to, where the whole address is seen and is one that is opened.
    pub(crate) fn opens(&self, size: Size) -> Option<&str> {
        match &self.what {
            Offered::Link { address } if self.lines(size).1 == 0 => link::opens(address),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, input: &Input, size: Size) -> Said {
        let yes = match self.what {
            Offered::Link { .. } if self.opens(size).is_none() => Said::Copy,
            Offered::Link { .. } => Said::Open,
            Offered::Text { .. } => Said::Copy,
        };
        if let Input::Key(Key { code: KeyCode::Char('c'), .. }) = input {
            return Said::Copy;
        }
        match super::overlay::answered(&mut self.act, input) {
            None => Said::Nothing,
            Some(false) => Said::Leave,
            Some(true) => yes,
        }
    }
}

impl App {
    /// To the next link upwards, in a session that stands still for it.
    pub(super) fn go_to_link(&mut self) {
        let entered = self.copy.is_none();
        if entered {
            self.enter_copy(Hand::Keys);
        }
        let height = self.selected_tile().map_or(1, |tile| u32::from(tile.inner.height));
        let Some(copy) = &mut self.copy else { return };
        let below = Spot { line: copy.top.saturating_add(height), column: 0 };
        let from = if entered { below } else { copy.cursor };
        let (lines, oldest) = (&copy.lines, copy.lines.start);
        let above = lines.link_before(from);
        let found = above.or_else(|| lines.link_before(Spot { line: lines.end(), column: 0 }));
        if let Some(found) = found.filter(|found| found.line >= oldest) {
            return copy.go_to(found);
        }
        if entered {
            self.leave_copy();
        }
        self.say("there is no link here");
    }

    /// Asks where the link at the cursor leads.
    pub(super) fn ask_link(&mut self) {
        let Some(copy) = &self.copy else { return };
        let (pane, link) = (copy.pane.clone(), copy.lines.link_at(copy.cursor));
        match link {
            Some(link) => self.read_link(pane, link),
            None => self.say("there is no link at the cursor; U goes to the one above"),
        }
    }

    /// A press on a link asks where it leads; `false` where there is none.
    pub(super) fn press_link(&mut self, tile: &Tile, pane: &PaneKey, at: Position) -> bool {
        let Some(spot) = self.spot_at(tile, pane, at).filter(|_| tile.inner.contains(at)) else {
            return false;
        };
        let copied = self.copy.as_ref().filter(|copy| copy.pane == *pane);
        let link = match copied {
            Some(copy) => copy.lines.link_at(spot),
            None => self.panes.get(pane).and_then(|it| it.line(spot.line)?.link_at(spot.column)),
        };
        if let Some(link) = link {
            self.read_link(pane.clone(), link);
        }
        link.is_some()
    }

    fn read_link(&mut self, pane: PaneKey, link: LinkId) {
        let PaneKey { environment, session } = pane;
        let request = Request::ReadLink { environment, session, link };
        self.send(request, Tag::Offer { presses: self.presses });
    }

    /// It is known what is offered. Who did something else since does not want to know.
    pub(super) fn offered(&mut self, presses: u64, reply: Reply) {
        match reply {
            _ if presses != self.presses || self.overlay.is_some() => {}
            Reply::Link { address: Some(address) } => self.offer(Offered::Link { address }),
            Reply::Link { address: None } => self.say("where it leads is not kept any more"),
            Reply::Clipboard { text: Some(text) } => self.offer(Offered::Text { text }),
            Reply::Clipboard { text: None } => self.say("this text is not kept any more"),
            _ => {}
        }
    }

    fn offer(&mut self, what: Offered) {
        self.overlay = Some(Overlay::Offer(Offer::new(what)));
        // A key that is typed on must not answer.
        self.drop_keys();
        self.dirty = true;
    }

    pub(super) fn act_on_offer(&mut self, offer: Offer, said: Said) {
        let text = match &offer.what {
            Offered::Link { address } => address,
            Offered::Text { text } => text,
        };
        match said {
            Said::Nothing => self.overlay = Some(Overlay::Offer(offer)),
            Said::Leave => {}
            Said::Open => self.outbox.push(Effect::Open(text.clone())),
            Said::Copy if text.len() > super::copy::MOST_COPIED => {
                let message = format!("{} KiB are more than terminals take", text.len() / 1024);
                self.fail(&Failure::new(FailureKind::Invalid, message));
            }
            Said::Copy => {
                self.say(format!("copied {} characters", text.chars().count()));
                self.outbox.push(Effect::Copy(text.clone()));
            }
        }
    }
}

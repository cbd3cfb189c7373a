//! The sessions this client watches: their screens, kept up by deltas, and what is read of their
//! scrollback.

use std::collections::HashMap;

use crate::model::id::{EnvironmentId, SessionId};
use crate::model::lines::Lines;
use crate::model::screen::{Row, Screen, ScreenDelta, Size};

/// Names one session anywhere in the deck.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PaneKey {
    pub(crate) environment: EnvironmentId,
    pub(crate) session: SessionId,
}

/// Rows asked for at once: a few screens, so that a wheel turn seldom waits.
pub(crate) const SCROLLBACK_CHUNK: u32 = 200;

/// One session as far as it is known here.
#[derive(Debug)]
pub(crate) struct Pane {
    pub(crate) screen: Screen,
    /// Set while the reader looks above the live screen.
    pub(crate) scroll: Option<Scroll>,
}

/// A place in the scrollback; the live screen follows its last line.
#[derive(Debug)]
pub(crate) struct Scroll {
    /// The line shown at the top.
    pub(crate) top: u32,
    start: u32,
    rows: Vec<Row>,
}

impl Pane {
    fn new() -> Self {
        Self { screen: Screen::blank(Size { columns: 1, rows: 1 }), scroll: None }
    }

    /// Moves the view by lines, up when negative; at the bottom it is live again. Returns the
    /// range to ask for when the lines are not here.
    pub(crate) fn scroll_by(&mut self, lines: i64, height: u16) -> Option<(u32, u32)> {
        let bottom = self.bottom(height);
        let from = self.scroll.as_ref().map_or(bottom, |scroll| scroll.top);
        let top =
            (i64::from(from) + lines).clamp(i64::from(self.oldest()), i64::from(bottom)) as u32;
        self.scroll_to(top, height)
    }

    /// Shows the line `top` first.
    pub(crate) fn scroll_to(&mut self, top: u32, height: u16) -> Option<(u32, u32)> {
        if top >= self.bottom(height) {
            self.scroll = None;
            return None;
        }
        let scroll = self.scroll.get_or_insert_with(|| Scroll { top, start: 0, rows: Vec::new() });
        scroll.top = top;
        let end = (top + u32::from(height)).min(self.screen.first_line);
        let have = scroll.start..scroll.start + scroll.rows.len() as u32;
        if end <= top || (have.contains(&top) && have.contains(&(end - 1))) {
            return None;
        }
        let start = top.saturating_sub(SCROLLBACK_CHUNK / 2).max(self.oldest());
        Some((start, (end - start).max(SCROLLBACK_CHUNK)))
    }

    /// Takes lines that were asked for, without those of the screen, which go on changing.
    pub(crate) fn fill_scrollback(&mut self, mut lines: Lines) {
        if let Some(scroll) = &mut self.scroll {
            let screen = lines.total.saturating_sub(self.screen.size.rows.into());
            lines.rows.truncate(screen.saturating_sub(lines.start) as usize);
            (scroll.start, scroll.rows) = (lines.start, lines.rows);
        }
    }

    /// The top line of the live screen as `height` rows show it.
    fn bottom(&self, height: u16) -> u32 {
        let lines = self.screen.first_line + u32::from(self.screen.size.rows);
        lines.saturating_sub(u32::from(height)).max(self.screen.first_line)
    }

    /// The first line that can be read.
    pub(crate) fn oldest(&self) -> u32 {
        self.screen.first_line - self.screen.scrollback.min(self.screen.first_line)
    }

    /// The row at a line; `None` where it has not been read yet.
    pub(crate) fn line(&self, line: u32) -> Option<&Row> {
        if let Some(below) = line.checked_sub(self.screen.first_line) {
            return self.screen.rows.get(below as usize);
        }
        let scroll = self.scroll.as_ref()?;
        scroll.rows.get(line.checked_sub(scroll.start)? as usize)
    }
}

impl Scroll {
    /// The lines that were read, without those of the screen.
    pub(crate) fn lines(&self) -> Lines {
        let total = self.start + self.rows.len() as u32;
        Lines { total, start: self.start, rows: self.rows.clone(), ..Lines::default() }
    }
}

/// All panes by session.
#[derive(Debug, Default)]
pub(crate) struct Panes(HashMap<PaneKey, Pane>);

impl Panes {
    pub(crate) fn get(&self, key: &PaneKey) -> Option<&Pane> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &PaneKey) -> Option<&mut Pane> {
        self.0.get_mut(key)
    }

    pub(crate) fn apply(&mut self, key: &PaneKey, delta: ScreenDelta) {
        let pane = self.0.entry(key.clone()).or_insert_with(Pane::new);
        if delta.size.columns != pane.screen.size.columns {
            // Its lines have other numbers now.
            pane.scroll = None;
        }
        pane.screen.apply(delta);
    }

    /// Forgets the sessions of an environment that is gone.
    pub(crate) fn forget(&mut self, environment: &EnvironmentId) {
        self.0.retain(|key, _| key.environment != *environment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(scrollback: u32) -> Pane {
        let mut pane = Pane::new();
        pane.screen = Screen::blank(Size { columns: 10, rows: 5 });
        pane.screen.scrollback = scrollback;
        pane.screen.first_line = scrollback;
        pane
    }

    #[test]
    fn scrolling_up_asks_for_what_is_not_here_and_down_again_is_live() {
        let mut pane = pane(100);
        let (start, count) = pane.scroll_by(-3, 5).expect("rows are missing");
        assert!(start <= 97 && start + count >= 100, "{start} {count}");
        assert!(pane.line(97).is_none());
        let rows = vec![Row::default(); 105];
        pane.fill_scrollback(Lines { total: 105, start: 0, rows, ..Lines::default() });
        assert!(pane.line(97).is_some());
        assert_eq!(pane.scroll_by(-1, 5), None);
        assert_eq!(pane.scroll.as_ref().map(|scroll| scroll.top), Some(96));
        assert_eq!(pane.scroll_by(10, 5), None);
        assert!(pane.scroll.is_none());
    }

    #[test]
    fn what_is_not_kept_any_more_is_not_scrolled_to() {
        let mut pane = pane(100);
        pane.screen.first_line = 1_000;
        let (start, _) = pane.scroll_by(-500, 5).expect("rows are missing");
        assert_eq!(start, 900);
        assert_eq!(pane.scroll.as_ref().map(|scroll| scroll.top), Some(900));
    }

    #[test]
    fn without_scrollback_there_is_nothing_to_scroll_to() {
        let mut pane = pane(0);
        assert_eq!(pane.scroll_by(-3, 5), None);
        assert!(pane.scroll.is_none());
    }
}

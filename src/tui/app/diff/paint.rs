//! The colours of what is seen of a diff.

use std::ops::Range;

use super::super::super::paint::{Painter, Pen, RUN_UP};
use super::super::super::view::comment_columns;
use super::super::super::words;
use super::{DiffRow, DiffView, page};
use crate::model::screen::Size;

impl DiffView {
    /// Colours what is on the screen; `false` when it took too long and is to go on.
    pub(in super::super) fn paint(&mut self, painter: &mut Painter, size: Size) -> bool {
        let (paired, said) = (self.is_paired(size.columns), comment_columns(self, size.columns));
        let wraps = said != self.said && self.rows.iter().any(DiffRow::is_comment);
        self.said = said;
        if self.paired != paired || wraps {
            let (old, offset) = self.anchor();
            self.paired = paired;
            self.lay_out();
            self.return_to(old, offset);
        }
        let page = page(size);
        self.place.show(page, self.rows.len());
        let Some(path) = self.chosen().map(|file| file.path.as_bytes().to_vec()) else {
            return true;
        };
        let end = (self.place.top + page).min(self.rows.len());
        let unpainted = |row: &usize| {
            let texts = self.rows[*row].texts();
            let known = |new| self.painted.contains_key(&(*row, new));
            [false, true].into_iter().zip(texts).any(|(new, text)| text.is_some() && !known(new))
        };
        let Some(first) = (self.place.top..end).find(unpainted) else { return true };
        if !(self.next..=self.next + RUN_UP).contains(&first) {
            self.pens.iter_mut().for_each(Pen::lift);
            self.next = first.saturating_sub(RUN_UP);
        }
        while self.next < end {
            let row = self.next;
            if matches!(self.rows[row], DiffRow::Hunk { .. }) {
                self.pens.iter_mut().for_each(Pen::lift);
            }
            for new in [false, true] {
                let Some(text) = self.rows[row].texts()[usize::from(new)] else { continue };
                let pen = &mut self.pens[usize::from(new)];
                let Some(mut painted) = painter.line(pen, row, &path, text) else { return false };
                painted.emphasised = self.emphasis(row, new, text);
                self.painted.insert((row, new), painted);
            }
            self.next += 1;
        }
        true
    }

    fn emphasis(&self, row: usize, new: bool, text: &str) -> Vec<Range<usize>> {
        match &self.rows[row] {
            DiffRow::Line { partner: Some(partner), .. } => match &self.rows[*partner] {
                DiffRow::Line { text: other, .. } => words::changed(other, text),
                _ => Vec::new(),
            },
            DiffRow::Pair { old: Some(old), new: Some(fresh) } if old.changed => {
                words::changed(if new { &old.text } else { &fresh.text }, text)
            }
            _ => Vec::new(),
        }
    }
}

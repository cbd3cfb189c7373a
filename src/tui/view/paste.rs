//! The question before several lines are pasted into a program that did not ask for pastes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::app::{App, PasteQuestion};
use super::super::layout::centered;
use super::super::widget::{Frame, clear, fit, foreign};
use super::panel::{buttons, put_last};

/// Lines of the paste that are shown.
const MOST_SHOWN: usize = 6;

pub(super) fn draw(app: &App, question: &PasteQuestion, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let lines = question.lines();
    let shown = lines.len().min(MOST_SHOWN);
    let more = lines.len() - shown;
    let area = centered(body, 76, (shown + usize::from(more > 0)) as u16 + 7);
    clear(buffer, area);
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let title = format!(" Paste {} {noun}? ", lines.len());
    let title = Line::styled(title, theme.strong());
    let inner = Frame::new(theme.caution(), title).draw(buffer, area);
    let width = usize::from(inner.width.saturating_sub(4));
    let mut drawn = vec![Line::default()];
    drawn.extend(
        lines[..shown].iter().map(|line| Line::raw(format!("  {}", fit(&foreign(line), width)))),
    );
    if more > 0 {
        drawn.push(Line::styled(format!("  and {more} more"), theme.quiet()));
    }
    let words = "  The program takes each line as if you had typed it and pressed Enter.";
    drawn.push(Line::styled(words, theme.quiet()));
    drawn.push(Line::default());
    drawn.push(buttons(theme, [" Back (n) ", " Paste (y) "], question.act));
    put_last(drawn, inner, buffer);
}

//! What a program offers, whole, and what can be done with it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, Offer, Offered};
use super::super::layout::centered;
use super::super::widget::{Frame, clear};
use super::panel::{buttons, put_last};

pub(super) fn draw(app: &App, offer: &Offer, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let (lines, beyond) = offer.lines(app.size);
    let host = offer.opens(app.size);
    let area = centered(body, 76, (lines.len() + usize::from(beyond > 0)) as u16 + 6);
    clear(buffer, area);
    let (title, words) = match &offer.what {
        Offered::Link { .. } if host.is_some() => (" Open this page? ", "goes to "),
        Offered::Link { .. } if beyond > 0 => {
            (" A link ", "too long to be shown whole: copied only")
        }
        Offered::Link { .. } => (" A link ", "not a page that is opened: copied only"),
        Offered::Text { .. } => {
            (" Copy what the program wants? ", "Look before you paste it: it may be a command.")
        }
    };
    let title = Line::styled(title, theme.strong());
    let inner = Frame::new(theme.caution(), title).draw(buffer, area);
    let mut drawn = vec![Line::default()];
    drawn.extend(lines.into_iter().map(|line| Line::raw(format!("  {line}"))));
    if beyond > 0 {
        let noun = if beyond == 1 { "line" } else { "lines" };
        drawn.push(Line::styled(format!("  and {beyond} {noun} more"), theme.quiet()));
    }
    let mut said = vec![Span::styled(format!("  {words}"), theme.quiet())];
    if let Some(host) = host {
        said.push(Span::styled(host.to_owned(), theme.strong()));
        said.push(Span::styled(" · c copies the address", theme.quiet()));
    }
    drawn.push(Line::from(said));
    drawn.push(Line::default());
    let act = if host.is_some() { " Open (y) " } else { " Copy (y) " };
    drawn.push(buttons(theme, [" Back (n) ", act], offer.act));
    put_last(drawn, inner, buffer);
}

//! The form for a new environment.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::super::app::{App, Choice, FormField, NewForm};
use super::super::layout::centered;
use super::super::theme::Theme;
use super::super::widget::{Frame, clear, foreign, put};

const WIDTH: u16 = 72;
/// Columns of the labels.
const LABELS: u16 = 12;

pub(super) fn draw(app: &App, form: &NewForm, body: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = app.settings.theme;
    let fields = form.fields();
    let roomy = body.height >= fields.len() as u16 * 2 + 5;
    let step = if roomy { 2 } else { 1 };
    let area = centered(body, WIDTH, fields.len() as u16 * step + 5);
    clear(buffer, area);
    let mut frame = Frame::new(theme.accent(), Line::styled(" New environment ", theme.strong()));
    frame.corner = Line::styled(" Esc cancels ", theme.quiet());
    let inner = frame.draw(buffer, area);
    let mut cursor = None;
    // Where not every field fits, those up to the focus are scrolled away.
    let hint = inner.height > 2 || form.error.is_some();
    let room = usize::from(inner.height.saturating_sub(u16::from(hint)) / step).max(1);
    let at = fields.iter().position(|field| *field == form.focus).unwrap_or(0);
    let first = (at + 1).saturating_sub(room);
    let mut y = inner.y + u16::from(roomy);
    for field in fields.into_iter().skip(first).take(room) {
        if y >= inner.bottom() {
            break;
        }
        let row = Rect { x: inner.x, y, width: inner.width, height: 1 };
        cursor = cursor.or(draw_field(theme, form, field, row, buffer));
        y += step;
    }
    if hint {
        let y = inner.bottom().saturating_sub(1);
        let last = Rect { y, height: inner.height.min(1), ..inner };
        put(buffer, last, last_line(theme, form));
    }
    cursor
}

fn last_line(theme: Theme, form: &NewForm) -> Line<'static> {
    match &form.error {
        Some(failure) => {
            let hint = failure.hint.as_deref().map(|hint| format!(" · {}", foreign(hint)));
            Line::from(vec![
                Span::styled(format!(" ✗ {}", foreign(&failure.message)), theme.bad()),
                Span::styled(hint.unwrap_or_default(), theme.quiet()),
            ])
        }
        None => Line::from(vec![
            Span::styled(" Enter", theme.accent()),
            Span::styled(" make it  ", theme.quiet()),
            Span::styled("Tab", theme.accent()),
            Span::styled(" next field  ", theme.quiet()),
            Span::styled("← →", theme.accent()),
            Span::styled(" choose", theme.quiet()),
        ]),
    }
}

fn draw_field(
    theme: Theme,
    form: &NewForm,
    field: FormField,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let focused = form.focus == field;
    let bar = if focused { "▌ " } else { "  " };
    let label = Line::from(vec![
        Span::styled(bar, theme.chosen()),
        Span::styled(field.label(), if focused { theme.chosen() } else { theme.quiet() }),
    ]);
    put(buffer, area, label);
    let value = Rect {
        x: area.x + LABELS.min(area.width),
        width: area.width.saturating_sub(LABELS + 1),
        ..area
    };
    if let Some(choice) = form.choice(field) {
        put(buffer, value, choices(theme, choice, focused, usize::from(value.width)));
        return None;
    }
    let (text, column) = form.field(field)?.window(usize::from(value.width));
    if text.is_empty() {
        put(buffer, value, Line::styled(field.placeholder(), theme.quiet()));
    } else {
        put(buffer, value, Line::raw(text.to_owned()));
    }
    focused.then(|| Position::new(value.x + column as u16, value.y))
}

/// The words to choose from; where they do not all fit, those about the chosen one.
fn choices(theme: Theme, choice: &Choice, focused: bool, width: usize) -> Line<'static> {
    const MARK: usize = 2;
    const GAP: usize = 3;
    let widths: Vec<usize> =
        choice.words.iter().map(|word| MARK + foreign(word).width() + GAP).collect();
    let upto = |end: usize| widths[..end].iter().sum::<usize>();
    let chosen_end = upto(choice.chosen + 1);
    // The gap after the last one may be cut.
    let fits = upto(widths.len()).saturating_sub(GAP) <= width;
    let room = width.saturating_sub(MARK);
    let first = (0..=choice.chosen)
        .find(|first| fits || chosen_end - upto(*first) <= room + GAP)
        .unwrap_or(choice.chosen);
    let mut spans = Vec::new();
    if first > 0 {
        spans.push(Span::styled("… ", theme.quiet()));
    }
    for (index, word) in choice.words.iter().enumerate().skip(first) {
        let (mark, style) = match (index == choice.chosen, focused) {
            (true, true) => ("● ", theme.chosen()),
            (true, false) => ("● ", theme.text()),
            (false, _) => ("○ ", theme.quiet()),
        };
        spans.push(Span::styled(format!("{mark}{}", foreign(word)), style));
        spans.push(Span::raw("   "));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::super::super::theme::Depth;
    use super::*;

    #[test]
    fn the_chosen_word_is_seen_whichever_it_is() {
        let words: Vec<String> =
            ["shell", "codex", "claude", "gemini", "opencode", "qwen"].map(str::to_owned).to_vec();
        let shown = |chosen: usize, width: usize| {
            let choice = Choice { words: words.clone(), chosen };
            let text = choices(Theme::new(Depth::Indexed), &choice, true, width).to_string();
            text.chars().take(width).collect::<String>()
        };
        assert_eq!(shown(0, 30), "● shell   ○ codex   ○ claude  ");
        assert_eq!(shown(5, 30), "… ○ opencode   ● qwen   ");
        for (chosen, word) in words.iter().enumerate() {
            for width in [12, 20, 30, 58, 80] {
                let text = shown(chosen, width);
                let marked = format!("● {word}");
                assert!(text.contains(&marked), "{marked} at {width}: {text:?}");
            }
        }
        assert!(shown(5, 80).starts_with("○ shell"), "all of them where there is room");
    }
}

//! A line of a file with its colours: what is searched for over what changed over what it is.

use std::ops::Range;

use ratatui::style::Style;
use ratatui::text::Span;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::super::paint::{Painted, Tone};
use super::super::theme::Theme;

/// The text in at most `width` columns, `…` where something was cut.
pub(crate) fn source_line(
    theme: Theme,
    text: &str,
    painted: Option<&Painted>,
    needle: Option<&str>,
    line: Style,
    width: usize,
) -> Vec<Span<'static>> {
    let end = end_of(text, width);
    let found = matches(text, needle);
    let mut edges: Vec<usize> = vec![0, end];
    let ranges = found.iter().chain(painted.iter().flat_map(|painted| {
        painted.tones.iter().map(|(range, _)| range).chain(&painted.emphasised)
    }));
    edges.extend(ranges.flat_map(|range| [range.start, range.end]));
    edges.retain(|edge| *edge <= end && text.is_char_boundary(*edge));
    edges.sort_unstable();
    edges.dedup();
    let within = |range: &Range<usize>, at: usize| range.contains(&at);
    let mut spans: Vec<Span<'static>> = edges
        .windows(2)
        .map(|edge| {
            let at = edge[0];
            let tone = painted.and_then(|painted| {
                painted.tones.iter().find(|(range, _)| within(range, at)).map(|(_, tone)| *tone)
            });
            let emphasised = painted
                .is_some_and(|painted| painted.emphasised.iter().any(|range| within(range, at)));
            let mut style = theme.source(tone.unwrap_or(Tone::Plain), line);
            if emphasised {
                style = theme.emphasis(line);
            }
            if found.iter().any(|range| within(range, at)) {
                style = theme.found();
            }
            Span::styled(text[at..edge[1]].to_owned(), style)
        })
        .collect();
    if end < text.len() {
        spans.push(Span::styled("…", theme.quiet()));
    }
    spans
}

/// Where the text is cut so that it fits with a mark.
fn end_of(text: &str, width: usize) -> usize {
    if text.len() <= width || text.width() <= width {
        return text.len();
    }
    let mut used = 0;
    for (index, cluster) in text.grapheme_indices(true) {
        used += cluster.width();
        if used >= width {
            return index;
        }
    }
    text.len()
}

fn matches(text: &str, needle: Option<&str>) -> Vec<Range<usize>> {
    let Some(needle) = needle.map(str::to_lowercase).filter(|needle| !needle.is_empty()) else {
        return Vec::new();
    };
    let lower = text.to_lowercase();
    // Where lower case has other lengths, places cannot be carried over.
    if lower.len() != text.len() {
        return Vec::new();
    }
    lower.match_indices(&needle).map(|(index, hit)| index..index + hit.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::theme::Depth;
    use super::*;

    fn drawn(text: &str, painted: &Painted, needle: Option<&str>, width: usize) -> Vec<String> {
        let theme = Theme::new(Depth::None);
        let spans = source_line(theme, text, Some(painted), needle, theme.text(), width);
        spans.into_iter().map(|span| span.content.into_owned()).collect()
    }

    #[test]
    fn a_line_is_cut_into_parts_by_what_they_are() {
        let emphasised = std::iter::once(8..9).collect();
        let painted = Painted { tones: vec![(0..3, Tone::Keyword)], emphasised };
        assert_eq!(drawn("let x = 1;", &painted, None, 40), ["let", " x = ", "1", ";"]);
        assert_eq!(
            drawn("let x = 1;", &painted, Some("X"), 40),
            ["let", " ", "x", " = ", "1", ";"]
        );
        assert_eq!(drawn("let x = 1;", &painted, None, 6), ["let", " x", "…"]);
        assert_eq!(drawn("日本語", &Painted::default(), None, 4), ["日", "…"]);
    }
}

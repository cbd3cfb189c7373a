//! A line of a file with its colours: what is searched for over what changed over what it is.

use std::ops::Range;

use ratatui::style::Style;
use ratatui::text::Span;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::super::paint::{Painted, Tone};
use super::super::theme::Theme;

/// A line and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) painted: Option<&'a Painted>,
    /// Places of what stands for characters that cannot be seen.
    pub(crate) hidden: &'a [Range<usize>],
    pub(crate) needle: Option<&'a str>,
}

/// The text from column `left` on in at most `width` columns, `…` where something was cut.
pub(crate) fn source_line(
    theme: Theme,
    source: &Source<'_>,
    line: Style,
    (left, width): (usize, usize),
) -> Vec<Span<'static>> {
    let Source { text, painted, hidden, needle } = *source;
    let start = start_of(text, left);
    let cut = start > 0 && width > 0;
    let end = start + end_of(&text[start..], width - usize::from(cut));
    let found = matches(text, needle);
    let mut edges: Vec<usize> = vec![start, end];
    let ranges = found.iter().chain(hidden).chain(painted.iter().flat_map(|painted| {
        painted.tones.iter().map(|(range, _)| range).chain(&painted.emphasised)
    }));
    edges.extend(ranges.flat_map(|range| [range.start, range.end]));
    edges.retain(|edge| (start..=end).contains(edge) && text.is_char_boundary(*edge));
    edges.sort_unstable();
    edges.dedup();
    let within = |range: &Range<usize>, at: usize| range.contains(&at);
    let before = cut.then(|| Span::styled("…", theme.quiet()));
    let mut spans: Vec<Span<'static>> = before.into_iter().collect();
    spans.extend(edges.windows(2).map(|edge| {
        let at = edge[0];
        let tone = painted.and_then(|painted| {
            painted.tones.iter().find(|(range, _)| within(range, at)).map(|(_, tone)| *tone)
        });
        let emphasised =
            painted.is_some_and(|painted| painted.emphasised.iter().any(|range| within(range, at)));
        let mut style = theme.source(tone.unwrap_or(Tone::Plain), line);
        if emphasised {
            style = theme.emphasis(line);
        }
        if hidden.iter().any(|range| within(range, at)) {
            style = theme.alarm();
        }
        if found.iter().any(|range| within(range, at)) {
            style = theme.found();
        }
        Span::styled(text[at..edge[1]].to_owned(), style)
    }));
    if end < text.len() {
        spans.push(Span::styled("…", theme.quiet()));
    }
    spans
}

/// Where the text goes on that begins at a column; its end where it is shorter.
fn start_of(text: &str, left: usize) -> usize {
    let mut used = 0;
    if left == 0 {
        return 0;
    }
    for (index, cluster) in text.grapheme_indices(true) {
        if used >= left {
            return index;
        }
        used += cluster.width();
    }
    text.len()
}

/// Where the text is cut so that it fits with a mark. Of a long line no more is looked at than is
/// shown.
fn end_of(text: &str, width: usize) -> usize {
    if text.len() <= width {
        return text.len();
    }
    let (mut used, mut fits) = (0, 0);
    for (index, cluster) in text.grapheme_indices(true) {
        used += cluster.width();
        if used > width {
            return fits;
        }
        if used < width {
            fits = index + cluster.len();
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
        from(text, painted, needle, (0, width))
    }

    fn from(
        text: &str,
        painted: &Painted,
        needle: Option<&str>,
        room: (usize, usize),
    ) -> Vec<String> {
        let theme = Theme::new(Depth::None);
        let source = Source { text, painted: Some(painted), hidden: &[], needle };
        let spans = source_line(theme, &source, theme.text(), room);
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
        assert_eq!(drawn("日本", &Painted::default(), None, 4), ["日本"]);
        assert_eq!(from("let x = 1;", &painted, None, (4, 40)), ["…", "x = ", "1", ";"]);
        assert_eq!(from("let x = 1;", &painted, None, (4, 4)), ["…", "x ", "…"]);
        assert_eq!(from("let", &painted, None, (9, 4)), ["…"]);
    }
}

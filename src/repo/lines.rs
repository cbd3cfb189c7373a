//! Which lines of two texts belong together, and the hunks that follow from it.
//!
//! Knows bytes only: the algorithm is git's histogram with the indent heuristic, for long texts Myers',
//! a line includes its newline, and a text is what git takes for one.

use std::ops::Range;

use gix::diff::blob::{Algorithm, InternedInput, diff_with_slider_heuristics};

use crate::model::diff::{DiffLine, Hunk, LineKind};

/// Lines of unchanged text shown around a change, as git has it.
const CONTEXT: u32 = 3;

/// Lines of both texts above which histograms are not used: they cost a pass over what is left for
/// every stretch that differs, half a minute where every third of 100,000 lines does.
const MANY: usize = 20_000;

/// How far git looks for a NUL byte before it takes a file for text.
const BINARY_PROBE: usize = 8000;

/// Stretches of lines that differ, in order; lines between them are equal.
pub(super) struct Changes {
    pub(super) old_lines: u32,
    pub(super) new_lines: u32,
    pub(super) spans: Vec<Span>,
}

/// Zero-based line ranges: `old` was replaced by `new`, either of which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) old: Range<u32>,
    pub(super) new: Range<u32>,
}

impl Changes {
    pub(super) fn between(old: &[u8], new: &[u8]) -> Self {
        let input = InternedInput::new(old, new);
        let many = input.before.len() + input.after.len() > MANY;
        let algorithm = if many { Algorithm::Myers } else { Algorithm::Histogram };
        let diff = diff_with_slider_heuristics(algorithm, &input);
        Self {
            old_lines: input.before.len() as u32,
            new_lines: input.after.len() as u32,
            spans: diff.hunks().map(|hunk| Span { old: hunk.before, new: hunk.after }).collect(),
        }
    }

    /// As `between`, lines that differ in blanks alone being the same.
    pub(super) fn between_words(old: &[u8], new: &[u8]) -> Self {
        let words = |text: &[u8]| -> Vec<u8> {
            let visible = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c);
            let mut kept: Vec<u8> = text.iter().copied().filter(visible).collect();
            // A missing newline at the end is a blank that is missing.
            if !kept.is_empty() && !kept.ends_with(b"\n") {
                kept.push(b'\n');
            }
            kept
        };
        Self::between(&words(old), &words(new))
    }

    /// Everything was replaced, as when a file became a link.
    pub(super) fn replaced(old: &[u8], new: &[u8]) -> Self {
        let (old_lines, new_lines) = (split(old).len() as u32, split(new).len() as u32);
        let span = Span { old: 0..old_lines, new: 0..new_lines };
        Self { old_lines, new_lines, spans: vec![span] }
    }

    pub(super) fn added(&self) -> u64 {
        self.spans.iter().map(|span| span.new.len() as u64).sum()
    }

    pub(super) fn removed(&self) -> u64 {
        self.spans.iter().map(|span| span.old.len() as u64).sum()
    }

    /// Lines of all hunks at most: those of two whose contexts touch are fewer.
    pub(super) fn shown(&self) -> u64 {
        self.added() + self.removed() + self.spans.len() as u64 * 2 * u64::from(CONTEXT)
    }

    /// Groups the changes with their context; changes whose contexts touch share a hunk.
    pub(super) fn hunks(&self, old: &[u8], new: &[u8]) -> Vec<Hunk> {
        let (old, new) = (split(old), split(new));
        let mut groups: Vec<&[Span]> = Vec::new();
        let mut start = 0;
        for end in 1..=self.spans.len() {
            let apart = self
                .spans
                .get(end)
                .is_none_or(|next| next.old.start - self.spans[end - 1].old.end > 2 * CONTEXT);
            if apart {
                groups.push(&self.spans[start..end]);
                start = end;
            }
        }
        groups.into_iter().map(|spans| hunk(spans, &old, &new)).collect()
    }
}

fn hunk(spans: &[Span], old: &[&[u8]], new: &[&[u8]]) -> Hunk {
    let (first, last) = (&spans[0], &spans[spans.len() - 1]);
    let before = CONTEXT.min(first.old.start);
    let after = CONTEXT.min(old.len() as u32 - last.old.end);
    let old_range = first.old.start - before..last.old.end + after;
    let new_range = first.new.start - before..last.new.end + after;
    let mut lines = Vec::with_capacity(old_range.len() + new_range.len());
    let mut at = old_range.start;
    for span in spans {
        lines.extend(take(old, at..span.old.start, LineKind::Context));
        lines.extend(take(old, span.old.clone(), LineKind::Removed));
        lines.extend(take(new, span.new.clone(), LineKind::Added));
        at = span.old.end;
    }
    lines.extend(take(old, at..old_range.end, LineKind::Context));
    Hunk {
        old_start: first_line(&old_range),
        old_lines: old_range.len() as u32,
        new_start: first_line(&new_range),
        new_lines: new_range.len() as u32,
        lines,
        taken: false,
    }
}

/// One-based, but the line before for an empty range, as unified diffs have it.
fn first_line(range: &Range<u32>) -> u32 {
    if range.is_empty() { range.start } else { range.start + 1 }
}

fn take<'a>(
    lines: &'a [&'a [u8]],
    range: Range<u32>,
    kind: LineKind,
) -> impl Iterator<Item = DiffLine> + 'a {
    lines[range.start as usize..range.end as usize].iter().map(move |line| {
        let text = line.strip_suffix(b"\n");
        DiffLine { kind, text: text.unwrap_or(line).to_vec(), no_newline: text.is_none() }
    })
}

/// The lines of a text, newlines included.
pub(super) fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// How many lines a text has, but for one that no newline ends.
pub(super) fn count(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Whether git would show the content as binary.
pub(super) fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(BINARY_PROBE)].contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(old: &str, new: &str) -> Vec<String> {
        let changes = Changes::between(old.as_bytes(), new.as_bytes());
        let hunks = changes.hunks(old.as_bytes(), new.as_bytes());
        hunks
            .iter()
            .map(|hunk| {
                let lines: Vec<String> = hunk
                    .lines
                    .iter()
                    .map(|line| {
                        let sign = match line.kind {
                            LineKind::Context => ' ',
                            LineKind::Added => '+',
                            LineKind::Removed => '-',
                        };
                        let end = if line.no_newline { "\\" } else { "" };
                        format!("{sign}{}{end}", String::from_utf8_lossy(&line.text))
                    })
                    .collect();
                format!(
                    "{},{} {},{} {}",
                    hunk.old_start,
                    hunk.old_lines,
                    hunk.new_start,
                    hunk.new_lines,
                    lines.join("|")
                )
            })
            .collect()
    }

    #[test]
    fn context_is_three_lines_and_near_changes_share_a_hunk() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        assert_eq!(
            shape(old, &old.replace("5\n", "five\n")),
            ["2,7 2,7  2| 3| 4|-5|+five| 6| 7| 8"]
        );
        assert_eq!(shape(old, &old.replace("3\n", "x\n").replace("10\n", "y\n")).len(), 1);
        assert_eq!(shape(old, &old.replacen("2\n", "x\n", 1).replace("10\n", "y\n")).len(), 2);
    }

    #[test]
    fn long_texts_with_many_changes_are_compared_line_by_line() {
        let text = |changed: &str| -> String {
            let line = |number: usize| match number % 3 {
                0 => format!("{number},a line{changed}\n"),
                _ => format!("{number},a line\n"),
            };
            (0..MANY).map(line).collect()
        };
        let (old, new) = (text(""), text(" changed"));
        let changes = Changes::between(old.as_bytes(), new.as_bytes());
        let lines = MANY.div_ceil(3) as u64;
        assert_eq!((changes.added(), changes.removed()), (lines, lines));
    }

    #[test]
    fn a_missing_last_newline_is_a_change_of_its_own() {
        assert_eq!(shape("a\nb", "a\nb\n"), ["1,2 1,2  a|-b\\|+b"]);
        assert_eq!(shape("", "a"), ["0,0 1,1 +a\\"]);
        assert_eq!(shape("a\n", ""), ["1,1 0,0 -a"]);
    }
}

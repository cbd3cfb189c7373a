//! Which words make one line differ from another.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

/// Longer lines, in bytes, are not compared word by word: nobody sees that much of them.
const LONGEST: usize = 2000;
/// Two lines cost microseconds; what takes longer is not worth a late frame.
const DEADLINE: Duration = Duration::from_millis(5);
/// Lines that share less than one part in this many are other lines, not changed ones.
const SHARED: usize = 4;

/// The byte ranges of `new` that `old` does not have; none where the lines have little in common.
pub(crate) fn changed(old: &str, new: &str) -> Vec<Range<usize>> {
    if old.len() > LONGEST || new.len() > LONGEST {
        return Vec::new();
    }
    let (before, after) = (words(old), words(new));
    let deadline = Some(Instant::now() + DEADLINE);
    let operations = capture_diff_slices_deadline(Algorithm::Myers, &before, &after, deadline);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut shared = 0;
    let mut at = 0;
    for operation in operations {
        let length: usize = after[operation.new_range()].iter().map(|word| word.len()).sum();
        let equal = operation.tag() == DiffTag::Equal;
        if equal {
            let words = &after[operation.new_range()];
            shared += words.iter().map(|word| word.trim().len()).sum::<usize>();
        } else if length > 0 {
            match ranges.last_mut() {
                // One blank between two changed words does not make them two changes.
                Some(last) if new[last.end..at].trim().is_empty() => last.end = at + length,
                _ => ranges.push(at..at + length),
            }
        }
        at += length;
    }
    let visible = new.split_whitespace().map(str::len).sum::<usize>();
    if shared * SHARED < visible { Vec::new() } else { ranges }
}

/// Names and numbers, stretches of blanks, and every other character by itself.
fn words(text: &str) -> Vec<&str> {
    let kind = |character: char| match character {
        '_' => 1,
        character if character.is_alphanumeric() => 1,
        character if character.is_whitespace() => 2,
        _ => 0,
    };
    let mut words = Vec::new();
    let mut start = 0;
    let mut last = 0;
    for (index, character) in text.char_indices() {
        let here = kind(character);
        if index > start && (here == 0 || here != last) {
            words.push(&text[start..index]);
            start = index;
        }
        last = here;
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(old: &str, new: &str) -> String {
        let mut text = new.to_owned();
        for range in changed(old, new).into_iter().rev() {
            text.insert(range.end, ']');
            text.insert(range.start, '[');
        }
        text
    }

    #[test]
    fn only_the_words_that_changed_are_marked() {
        assert_eq!(marked("const MAX: u32 = 1;", "const MAX: u32 = 64;"), "const MAX: u32 = [64];");
        assert_eq!(marked("call(a, b)", "call(a, c, b)"), "call(a, [c, ]b)");
        assert_eq!(marked("größe = 1", "größe = zwei"), "größe = [zwei]");
        assert_eq!(marked("same", "same"), "same");
    }

    #[test]
    fn another_line_is_not_a_changed_one() {
        assert_eq!(marked("fn main() {", "/// Reads the file."), "/// Reads the file.");
        let long = "x".repeat(LONGEST + 1);
        assert!(changed(&long, "x").is_empty());
    }
}

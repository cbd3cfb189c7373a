//! Merging the lines of a file that both sides changed.
//!
//! Where lines repeat, one change can stand in several places, and git moves it by rules of its own
//! before it looks whether two changes meet. Here they meet if they could in any of these places.

use std::ops::Range;

use gix::diff::blob::{Algorithm, Diff, InternedInput, Token};
use gix::merge::plumbing::blob::Resolution;
use gix::merge::plumbing::blob::builtin_driver::text::{Conflict, Labels, Merge};

use super::super::lines;

/// Lines of two texts up to which they are compared in any case: that takes a second at most.
const FEW_LINES: usize = 20_000;
/// Lines of longer texts, times the stretches that differ, up to which git's way takes about as long.
const MOST_STEPS: usize = 1 << 26;

/// How attributes say that a file is merged, of what git has built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repo) enum Manner {
    Lines,
    /// The lines of both, where they meet.
    Union,
    /// Not at all.
    Whole,
}

/// Ancestor, ours and theirs as one; `None` where they do not fit together.
pub(in crate::repo) fn merge(manner: Manner, contents: &[Vec<u8>; 3]) -> Option<Vec<u8>> {
    let [base, ours, theirs] = contents;
    if manner == Manner::Whole || contents.iter().any(|content| lines::is_binary(content)) {
        return None;
    }
    if takes_too_long(base, ours) || takes_too_long(base, theirs) {
        return None;
    }
    if manner == Manner::Lines && meet(&changes(base, ours), &changes(base, theirs)) {
        return None;
    }
    let mut input = InternedInput::default();
    // Git merges by this one, whatever it compares by.
    let merge = Merge::new(&mut input, ours, base, theirs, Algorithm::Histogram);
    let conflict = match manner {
        Manner::Union => Conflict::ResolveWithUnion,
        Manner::Lines | Manner::Whole => Conflict::default(),
    };
    let mut merged = Vec::new();
    let resolution = merge.run(&mut merged, Labels::default(), conflict);
    (resolution != Resolution::Conflict).then_some(merged)
}

/// One change of one side.
#[derive(Debug)]
struct Change<'c> {
    /// Lines of the ancestor that it replaces.
    old: Range<u32>,
    new: Vec<&'c [u8]>,
    /// From the first to the last line of the ancestor that it could touch.
    reach: Range<u32>,
}

fn changes<'c>(base: &[u8], side: &'c [u8]) -> Vec<Change<'c>> {
    let input = InternedInput::new(base, side);
    let split = lines::split(side);
    let change = |hunk: gix::diff::blob::Hunk| {
        let (old, new) = (hunk.before, hunk.after);
        let (removed, added) = (slack(&input.before, &old), slack(&input.after, &new));
        let (up, down) = (removed.0.max(added.0), removed.1.max(added.1));
        let reach = old.start.saturating_sub(up)..old.end + down;
        let new = split[new.start as usize..new.end as usize].to_vec();
        Change { old, new, reach }
    };
    Diff::compute(Algorithm::Histogram, &input).hunks().map(change).collect()
}

/// How many lines up and down a stretch could stand without another result.
fn slack(lines: &[Token], stretch: &Range<u32>) -> (u32, u32) {
    let (start, end) = (stretch.start as usize, stretch.end as usize);
    if start == end {
        return (0, 0);
    }
    let up = (0..start).take_while(|by| lines[start - by - 1] == lines[end - by - 1]).count();
    let down = (0..lines.len() - end).take_while(|by| lines[start + by] == lines[end + by]).count();
    (up as u32, down as u32)
}

/// Whether git's way of comparing two texts, which passes over what is left for every stretch that
/// differs, would keep everybody waiting. Another way may come to another merge than git's.
fn takes_too_long(base: &[u8], side: &[u8]) -> bool {
    let lines = |text: &[u8]| memchr::memchr_iter(b'\n', text).count();
    let many = lines(base) + lines(side);
    if many <= FEW_LINES {
        return false;
    }
    let stretches = Diff::compute(Algorithm::Myers, &InternedInput::new(base, side));
    many.saturating_mul(stretches.hunks().count()) > MOST_STEPS
}

/// Whether changes of both sides could touch, other than by being the same.
fn meet(ours: &[Change<'_>], theirs: &[Change<'_>]) -> bool {
    let of = |side: usize| move |change| (side, change);
    let mut all: Vec<(usize, &Change<'_>)> =
        ours.iter().map(of(0)).chain(theirs.iter().map(of(1))).collect();
    all.sort_by_key(|(_, change)| change.reach.start);
    // Of each side those that may reach what is still to come.
    let mut open: [Vec<&Change<'_>>; 2] = [Vec::new(), Vec::new()];
    for (side, change) in all {
        let others = &mut open[1 - side];
        others.retain(|other| other.reach.end >= change.reach.start);
        if others.iter().any(|other| other.old != change.old || other.new != change.new) {
            return true;
        }
        open[side].push(change);
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines of which some are changed.
    fn text(lines: usize, changed: impl Fn(usize) -> bool) -> Vec<u8> {
        let line = |number| {
            let mark = if changed(number) { " changed" } else { "" };
            format!("line {number}{mark}\n").into_bytes()
        };
        (0..lines).flat_map(line).collect()
    }

    fn merged(contents: &[Vec<u8>; 3]) -> Option<Vec<u8>> {
        merge(Manner::Lines, contents)
    }

    #[test]
    fn what_would_take_minutes_is_not_merged_and_a_few_changes_in_as_long_a_text_are() {
        let many = 40_000;
        let base = text(many, |_| false);
        let each = |rest: usize| text(many, move |number| number % 6 == rest);
        assert_eq!(merged(&[base.clone(), each(0), each(3)]), None);
        let (ours, theirs) = (text(many, |number| number == 7), text(many, |number| number == 70));
        let both = text(many, |number| number == 7 || number == 70);
        assert!(merged(&[base, ours, theirs]) == Some(both));
        // So are many changes in a text that is not as long.
        let few = 2_000;
        let each = |rest: usize| text(few, move |number| number % 6 == rest);
        let both = text(few, |number| number % 3 == 0);
        assert!(merged(&[text(few, |_| false), each(0), each(3)]) == Some(both));
    }

    /// Changes in order, which do not overlap but may reach each other.
    fn some_changes() -> impl Strategy<Value = Vec<Change<'static>>> {
        let change = (0..6_u32, 0..3_u32, 0..3_u32, 0..3_u32, any::<bool>());
        prop::collection::vec(change, 0..6).prop_map(|list| {
            let mut at = 0;
            let place = |(gap, length, up, down, new): (u32, u32, u32, u32, bool)| {
                let old = at + gap..at + gap + length;
                at = old.end + 1;
                let reach = old.start.saturating_sub(up)..old.end + down;
                Change { old, new: if new { vec![b"new\n"] } else { Vec::new() }, reach }
            };
            list.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn changes_meet_where_two_of_them_touch(ours in some_changes(), theirs in some_changes()) {
            let touch = |one: &Change<'_>, other: &Change<'_>| {
                one.reach.start <= other.reach.end && other.reach.start <= one.reach.end
            };
            let same = |one: &Change<'_>, other: &Change<'_>| {
                one.old == other.old && one.new == other.new
            };
            let any = ours.iter().any(|our| {
                theirs.iter().any(|their| touch(our, their) && !same(our, their))
            });
            prop_assert_eq!(meet(&ours, &theirs), any);
        }
    }
}

//! Merging the lines of a file that both sides changed.
//!
//! Where lines repeat, one change can stand in several places, and git moves it by rules of its own
//! before it looks whether two changes meet. Here they meet if they could in any of these places.

use std::ops::Range;

use gix::diff::blob::{Algorithm, Diff, InternedInput, Token};
use gix::merge::plumbing::blob::Resolution;
use gix::merge::plumbing::blob::builtin_driver::text::{Conflict, Labels, Merge};

use super::super::lines;

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
pub(super) fn merge(manner: Manner, contents: &[Vec<u8>; 3]) -> Option<Vec<u8>> {
    let [base, ours, theirs] = contents;
    if manner == Manner::Whole || contents.iter().any(|content| lines::is_binary(content)) {
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

/// Whether changes of both sides could touch, other than by being the same.
fn meet(ours: &[Change<'_>], theirs: &[Change<'_>]) -> bool {
    ours.iter().any(|our| {
        theirs.iter().any(|their| {
            let touch = our.reach.start <= their.reach.end && their.reach.start <= our.reach.end;
            touch && !(our.old == their.old && our.new == their.new)
        })
    })
}

//! Which deleted file became which new one, by git's own measure.
//!
//! Renames decide what a merge comes to only where the other side changed the file that went, so
//! they have to be the ones that git finds: first files of the same content, then files of the same
//! name, then whatever is most alike. How alike two files are is how many bytes of lines they have
//! in common, in whatever order the lines stand.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher as _};

use gix::objs::tree::EntryKind;

use super::super::diff::{self, Side};
use super::super::lines;
use crate::model::failure::Failure;
use crate::model::path::RepoPath;

/// Two files are as alike as they can be.
const MOST: u64 = 60_000;
/// What git asks of a rename, and of one that keeps the file's name.
const ENOUGH: u64 = MOST / 2;
const ENOUGH_FOR_NAMESAKES: u64 = ENOUGH + (MOST - ENOUGH) / 2;
/// A line counts in pieces of this many bytes.
const PIECE: usize = 64;
/// Candidates that git remembers for each new file.
const CANDIDATES: usize = 4;
/// Pairs that are compared at most; where there are more, nobody waits for an answer.
const PAIRS_LIMIT: usize = 250_000;

/// A file that went, or one that came.
#[derive(Clone, Copy)]
pub(super) struct File<'c> {
    pub path: &'c RepoPath,
    pub side: Side,
}

/// By the path that went, the one that came.
pub(super) type Renames = HashMap<RepoPath, RepoPath>;

/// Finds what became of the files that matter, among all that went. Of files that are equally alike
/// git takes the one it meets first, on a way through the trees that is its own: so all that it may
/// come to are given. `None` where there are too many to compare.
pub(super) fn find(
    repository: &gix::Repository,
    gone: &[File<'_>],
    come: &[File<'_>],
    matters: &BTreeSet<&RepoPath>,
) -> Result<Option<Vec<Renames>>, Failure> {
    let (last_gone, last_come) = (backwards(gone), backwards(come));
    let mut pieces = HashMap::new();
    let mut all: Vec<Renames> = Vec::new();
    for gone in [gone, last_gone.as_slice()] {
        for come in [come, last_come.as_slice()] {
            match find_in_order(repository, (gone, come), matters, &mut pieces)? {
                Some(found) if all.contains(&found) => {}
                Some(found) => all.push(found),
                None => return Ok(None),
            }
        }
    }
    Ok(Some(all))
}

fn backwards<'c>(files: &[File<'c>]) -> Vec<File<'c>> {
    files.iter().rev().copied().collect()
}

fn find_in_order(
    repository: &gix::Repository,
    (gone, come): (&[File<'_>], &[File<'_>]),
    matters: &BTreeSet<&RepoPath>,
    pieces: &mut HashMap<gix::ObjectId, Pieces>,
) -> Result<Option<Renames>, Failure> {
    let mut search = Search {
        repository,
        gone,
        come,
        source_of: vec![None; come.len()],
        used: vec![false; gone.len()],
        pieces,
    };
    search.same_content();
    // Only then git forgets the others.
    let left: Vec<usize> = (0..gone.len())
        .filter(|at| !search.used[*at] && matters.contains(gone[*at].path))
        .collect();
    let free = search.source_of.iter().filter(|source| source.is_none()).count();
    if left.len().saturating_mul(free) > PAIRS_LIMIT {
        return Ok(None);
    }
    search.same_name(&left)?;
    search.most_alike(&left)?;
    let pairs = search.source_of.iter().zip(come);
    let pairs = pairs.filter_map(|(source, come)| source.map(|at| (gone[at].path, come.path)));
    Ok(Some(pairs.map(|(from, to)| (from.clone(), to.clone())).collect()))
}

struct Search<'c> {
    repository: &'c gix::Repository,
    gone: &'c [File<'c>],
    come: &'c [File<'c>],
    /// For each file that came, the one it was.
    source_of: Vec<Option<usize>>,
    used: Vec<bool>,
    pieces: &'c mut HashMap<gix::ObjectId, Pieces>,
}

/// The pieces of a file, sorted, each with how many bytes it makes up in all.
struct Pieces {
    size: u64,
    bytes: Vec<(u64, u64)>,
}

impl Search<'_> {
    fn pair(&mut self, from: usize, to: usize) {
        self.source_of[to] = Some(from);
        self.used[from] = true;
    }

    fn same_content(&mut self) {
        for to in 0..self.come.len() {
            let wanted = self.come[to].side;
            let fits = |from: &usize| {
                let side = self.gone[*from].side;
                let plain = is_file(side) && is_file(wanted);
                !self.used[*from] && side.id == wanted.id && (plain || side.mode == wanted.mode)
            };
            let mut candidates = (0..self.gone.len()).filter(fits).peekable();
            let first = candidates.peek().copied();
            let namesake = candidates.find(|from| self.is_namesake(*from, to));
            if let Some(from) = namesake.or(first) {
                self.pair(from, to);
            }
        }
    }

    fn is_namesake(&self, from: usize, to: usize) -> bool {
        self.gone[from].path.file_name() == self.come[to].path.file_name()
    }

    /// Pairs files whose name is the only one among those that went, and among those that came.
    fn same_name(&mut self, left: &[usize]) -> Result<(), Failure> {
        let once = |names: &mut dyn Iterator<Item = (usize, &[u8])>| {
            let mut found: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
            for (at, name) in names {
                found.entry(name.to_vec()).and_modify(|seen| *seen = None).or_insert(Some(at));
            }
            found
        };
        let went = once(&mut left.iter().map(|at| (*at, self.gone[*at].path.file_name())));
        let free = (0..self.come.len()).filter(|at| self.source_of[*at].is_none());
        let came = once(&mut free.map(|at| (at, self.come[at].path.file_name())));
        for from in left {
            let name = self.gone[*from].path.file_name();
            if let (Some(Some(_)), Some(Some(to))) = (went.get(name), came.get(name))
                && self.alike(*from, *to, ENOUGH_FOR_NAMESAKES)? >= ENOUGH_FOR_NAMESAKES
            {
                self.pair(*from, *to);
            }
        }
        Ok(())
    }

    fn most_alike(&mut self, left: &[usize]) -> Result<(), Failure> {
        let mut best = Vec::new();
        for to in 0..self.come.len() {
            if self.source_of[to].is_some() {
                continue;
            }
            let mut candidates = Vec::new();
            for from in left {
                if self.used[*from] {
                    continue;
                }
                let alike = self.alike(*from, to, ENOUGH)?;
                candidates.push((alike, self.is_namesake(*from, to), *from, to));
            }
            // Stable, so that of equals the first stays.
            candidates.sort_by_key(|(alike, namesake, ..)| std::cmp::Reverse((*alike, *namesake)));
            candidates.truncate(CANDIDATES);
            best.extend(candidates);
        }
        best.sort_by_key(|(alike, namesake, ..)| std::cmp::Reverse((*alike, *namesake)));
        for (alike, _, from, to) in best {
            if alike >= ENOUGH && self.source_of[to].is_none() && !self.used[from] {
                self.pair(from, to);
            }
        }
        Ok(())
    }

    /// How alike two files are, up to [`MOST`]; nothing where their sizes alone rule `enough` out.
    fn alike(&mut self, from: usize, to: usize, enough: u64) -> Result<u64, Failure> {
        let (one, other) = (self.gone[from].side, self.come[to].side);
        if !is_file(one) || !is_file(other) {
            return Ok(0);
        }
        for side in [one, other] {
            if !self.pieces.contains_key(&side.id) {
                let content = diff::content(self.repository, Some(side))?;
                self.pieces.insert(side.id, Pieces::of(&content));
            }
        }
        let (one, other) = (&self.pieces[&one.id], &self.pieces[&other.id]);
        let (larger, smaller) = (one.size.max(other.size), one.size.min(other.size));
        if other.size == 0 || larger * (MOST - enough) < (larger - smaller) * MOST {
            return Ok(0);
        }
        Ok(one.common(other) * MOST / larger)
    }
}

impl Pieces {
    fn of(content: &[u8]) -> Self {
        let text = !lines::is_binary(content);
        let mut pieces = Vec::new();
        let mut piece = Vec::with_capacity(PIECE);
        for (at, byte) in content.iter().enumerate() {
            // The end of a line is one in either form.
            if text && *byte == b'\r' && content.get(at + 1) == Some(&b'\n') {
                continue;
            }
            piece.push(*byte);
            if piece.len() == PIECE || *byte == b'\n' {
                pieces.push(named(&piece));
                piece.clear();
            }
        }
        if !piece.is_empty() {
            pieces.push(named(&piece));
        }
        pieces.sort_unstable();
        pieces.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self { size: content.len() as u64, bytes: pieces }
    }

    /// Bytes of pieces that both have.
    fn common(&self, other: &Self) -> u64 {
        let (mut one, mut two) = (self.bytes.iter().peekable(), other.bytes.iter().peekable());
        let mut common = 0;
        while let (Some((left, have)), Some((right, has))) = (one.peek(), two.peek()) {
            match left.cmp(right) {
                std::cmp::Ordering::Less => drop(one.next()),
                std::cmp::Ordering::Greater => drop(two.next()),
                std::cmp::Ordering::Equal => {
                    common += have.min(has);
                    one.next();
                    two.next();
                }
            }
        }
        common
    }
}

fn named(piece: &[u8]) -> (u64, u64) {
    let mut hasher = DefaultHasher::new();
    hasher.write(piece);
    (hasher.finish(), piece.len() as u64)
}

fn is_file(side: Side) -> bool {
    matches!(side.mode.kind(), EntryKind::Blob | EntryKind::BlobExecutable)
}

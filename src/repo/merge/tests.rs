//! Merges and predictions on generated trees, with `git merge-tree` as the judge.

mod generated;

use std::collections::BTreeMap;
use std::io::Write as _;

use generated::{Case, cases};

use super::*;
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName};
use crate::repo::oracle::{Oracle, commit_in};
use crate::repo::predict::{Contender, Predictor};
use crate::repo::store::Store;
use crate::repo::{UserRepository, object};

/// Cases in an ordinary run; each costs git some milliseconds.
const CASES: usize = 512;

/// Merges that one process of git is asked for: what it answers fits beside what it is asked.
const BATCH: usize = 256;

/// Cases that a failure tells of.
const SHOWN: usize = 12;

struct Written {
    ours: CommitId,
    theirs: CommitId,
    base: CommitId,
}

/// The trees that git merges each pair into; `None` where it finds a conflict.
fn judge(oracle: &Oracle, written: &[Written]) -> Vec<Option<String>> {
    let mut trees = Vec::new();
    for batch in written.chunks(BATCH) {
        let mut pairs = String::new();
        for case in batch {
            pairs += &format!("{} {}\n", case.ours, case.theirs);
        }
        let arguments =
            ["merge-tree", "--write-tree", "--stdin", "-z", "--name-only", "--no-messages"];
        let output = oracle.feed(arguments, pairs.as_bytes());
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split('\0');
        for _ in batch {
            let clean = match words.next().expect("an answer") {
                "1" => true,
                "0" => false,
                other => panic!("git says {other:?}"),
            };
            let tree = words.next().expect("a tree").to_owned();
            trees.push(clean.then_some(tree));
            while !words.next().expect("the end of an answer").is_empty() {}
        }
    }
    trees
}

fn contender(case: &Written, head: &CommitId, number: u8) -> Contender {
    Contender {
        environment: EnvironmentId::from_random([number; 8]),
        name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
        base: case.base.clone(),
        head: head.clone(),
        held: None,
        paired: true,
    }
}

/// What we and git came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    SameTree,
    BothConflict,
    /// Git merges what we refuse as a conflict.
    Refused,
    OtherTree,
    /// We merge what is a conflict to git.
    GitConflicts,
    OtherFailure,
    PredictedOtherwise,
}

/// A repository in which all cases are.
struct Court {
    oracle: Oracle,
    user: UserRepository,
    store: Store,
}

impl Court {
    fn verdict(&self, written: &Written, expected: Option<&String>) -> Verdict {
        let (reader, memory) = (self.user.reader(), self.store.reader().with_object_memory());
        let tree = |commit| object::tree_of(&memory, commit).expect("a tree");
        let sides = Sides {
            ancestor: tree(&written.base),
            ours: tree(&written.ours),
            theirs: tree(&written.theirs),
        };
        let mut forms = Forms::new(&self.user, &reader, sides.ours).expect("attributes");
        let merged = trees(&memory, &mut forms, sides).map(|tree| tree.to_string());
        let contenders =
            [contender(written, &written.ours, 1), contender(written, &written.theirs, 2)];
        let found = Predictor::default().predict(&self.user, &self.store, &contenders);
        let fit = found.expect("a prediction")[0].siblings[0].fit.clone();
        if fit.is_some_and(|fit| fit.is_clean()) != merged.is_ok() {
            return Verdict::PredictedOtherwise;
        }
        match (merged, expected) {
            (Ok(tree), Some(expected)) if tree == *expected => Verdict::SameTree,
            (Ok(_), Some(_)) => Verdict::OtherTree,
            (Ok(_), None) => Verdict::GitConflicts,
            (Err(failure), _) if failure.kind != FailureKind::Conflict => Verdict::OtherFailure,
            (Err(_), Some(_)) => Verdict::Refused,
            (Err(_), None) => Verdict::BothConflict,
        }
    }
}

#[test]
fn a_merge_and_its_prediction_come_to_what_git_comes_to_or_are_refused() {
    let cases = cases(CASES.max(proptest::test_runner::Config::default().cases as usize));
    let oracle = Oracle::new();
    let repository = oracle.open();
    let write = |case: &Case| {
        let base = commit_in(&repository, &case.base, &[]);
        let ours = commit_in(&repository, &case.ours, &[&base]);
        let theirs = commit_in(&repository, &case.theirs, &[&base]);
        Written { ours, theirs, base }
    };
    let written: Vec<Written> = cases.iter().map(write).collect();
    oracle.git(["reset", "-q", "--hard", written[0].base.as_str()]);
    let judged = judge(&oracle, &written);
    let user = UserRepository::discover(&oracle.root()).expect("a repository");
    let store = Store::open(&oracle.outside().join("state"), &user).expect("a store");
    let court = Court { oracle, user, store };
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for ((case, written), expected) in cases.iter().zip(&written).zip(&judged) {
        let verdict = court.verdict(written, expected.as_ref());
        *counts.entry(verdict).or_default() += 1;
        if verdict > Verdict::Refused {
            wrong.push(format!("{verdict:?}: {}\n{}", case.kinds(), case.describe()));
        }
    }
    if std::env::var_os("AGENTDECK_SOAK").is_some() {
        let _ = writeln!(std::io::stderr(), "merges beside git's: {counts:?}");
    }
    court.oracle.check_objects();
    let shown = wrong.iter().take(SHOWN).cloned().collect::<String>();
    assert!(wrong.is_empty(), "{counts:?}\n{shown}");
    let count = |verdict| counts.get(&verdict).copied().unwrap_or_default();
    let clean = count(Verdict::SameTree);
    assert!(
        clean > cases.len() / 5 && count(Verdict::BothConflict) > cases.len() / 5,
        "{counts:?}"
    );
    assert!(count(Verdict::Refused) * 20 <= clean, "too careful: {counts:?}");
}

use proptest::prelude::*;

use super::*;
use crate::repo::oracle::{Files, Oracle, files};

fn contender(oracle: &Oracle, number: u8, base: &CommitId, head: &Files) -> Contender {
    Contender {
        environment: EnvironmentId::from_random([number; 8]),
        name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
        base: base.clone(),
        head: oracle.commit(head, &[base]),
        paired: true,
    }
}

struct Case {
    oracle: Oracle,
    user: UserRepository,
    store: Store,
    base: CommitId,
}

impl Case {
    fn new(base: &Files) -> Self {
        let oracle = Oracle::new();
        let base = oracle.commit(base, &[]);
        oracle.git(["reset", "-q", "--hard", base.as_str()]);
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        let store = Store::open(&oracle.outside().join("state"), &user).expect("a store");
        Self { oracle, user, store, base }
    }

    fn predict(&self, predictor: &mut Predictor, contenders: &[Contender]) -> Vec<Prediction> {
        predictor.predict(&self.user, &self.store, contenders).expect("predictions")
    }

    /// Whether git merges two commits cleanly.
    fn fits(&self, one: &CommitId, other: &CommitId) -> bool {
        let arguments = ["merge-tree", "--write-tree", one.as_str(), other.as_str()];
        let judge = self.oracle.command(arguments).output().expect("git runs");
        judge.status.code() == Some(0)
    }
}

const TEXT: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

#[test]
fn pairs_and_the_branch_are_judged_by_merging_them() {
    let case = Case::new(&files(&[("a", TEXT), ("b", TEXT)]));
    let top = files(&[("a", &TEXT.replace('1', "one")), ("b", TEXT)]);
    let bottom = files(&[("a", &TEXT.replace('9', "nine")), ("b", TEXT)]);
    let other = files(&[("a", &TEXT.replace('1', "uno")), ("b", TEXT)]);
    let list: Vec<Contender> = [&top, &bottom, &other]
        .into_iter()
        .zip(1..)
        .map(|(head, number)| contender(&case.oracle, number, &case.base, head))
        .collect();
    let mut predictor = Predictor::default();
    let found = case.predict(&mut predictor, &list);
    let pairs = |index: usize| {
        let pair = |sibling: &Sibling| {
            (sibling.name.to_string(), sibling.fit.overlap, sibling.fit.conflicts)
        };
        found[index].siblings.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(pairs(0), [("attempt2".to_owned(), 1, 0), ("attempt3".to_owned(), 1, 1)]);
    assert_eq!(pairs(1), [("attempt1".to_owned(), 1, 0), ("attempt3".to_owned(), 1, 0)]);
    assert_eq!(found[0].siblings[1].fit.paths, [RepoPath::new("a")]);
    assert_eq!(found[0].branch, Fit::default());
    assert!(!found[0].is_clean() && found[1].is_clean());

    // The user commits what the third does not fit with.
    let moved = case.oracle.commit(&top, &[&case.base]);
    case.oracle.git(["reset", "-q", "--hard", moved.as_str()]);
    let found = case.predict(&mut predictor, &list);
    assert_eq!((found[0].branch.overlap, found[0].branch.conflicts), (1, 0));
    assert_eq!(found[2].branch.conflicts, 1);
}

#[test]
fn a_file_where_the_other_has_a_directory_is_no_clean_merge() {
    let case = Case::new(&files(&[("keep", "k\n")]));
    let list = [
        contender(&case.oracle, 1, &case.base, &files(&[("keep", "k\n"), ("x", "file\n")])),
        contender(&case.oracle, 2, &case.base, &files(&[("keep", "k\n"), ("x/y", "below\n")])),
    ];
    let found = case.predict(&mut Predictor::default(), &list);
    assert!(!case.fits(&list[0].head, &list[1].head));
    assert_eq!((found[0].siblings[0].fit.overlap, found[0].is_clean()), (0, false));
}

#[test]
fn what_was_judged_is_kept_as_long_as_its_trees_are_there() {
    let case = Case::new(&files(&[("a", TEXT)]));
    let of =
        |number, text: &str| contender(&case.oracle, number, &case.base, &files(&[("a", text)]));
    let list = [of(1, "x\n"), of(2, "y\n"), of(3, "z\n")];
    let mut predictor = Predictor::default();
    let first = case.predict(&mut predictor, &list);
    assert_eq!((predictor.fits.len(), predictor.touched.len()), (3, 3));
    assert_eq!(case.predict(&mut predictor, &list), first);
    case.predict(&mut predictor, &list[..2]);
    assert_eq!((predictor.fits.len(), predictor.touched.len()), (1, 2));
}

/// Trees whose files are one line each, with none in common: which merges are tried is tested here,
/// what becomes of lines and moves in a merge is tested with the merges.
fn tree() -> impl Strategy<Value = Files> {
    let version = prop::sample::select(vec!["1", "2", "3"]);
    let name = prop::sample::select(vec!["a", "b", "d/e", "d/f", "d"]);
    prop::collection::btree_map(name, version, 1..5).prop_map(|mut found| {
        if found.contains_key("d") {
            found.retain(|name, _| !name.starts_with("d/"));
        }
        let texts: Vec<(&str, String)> = found
            .into_iter()
            .map(|(name, version)| (name, format!("{name}, {version}\n")))
            .collect();
        let list: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        files(&list)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn predictions_agree_with_git(base in tree(), heads in prop::collection::vec(tree(), 3)) {
        let case = Case::new(&base);
        let list: Vec<Contender> = heads
            .iter()
            .zip(1..)
            .map(|(head, number)| contender(&case.oracle, number, &case.base, head))
            .collect();
        // One merger serves all pairs; what one leaves behind must not change the next.
        let found = case.predict(&mut Predictor::default(), &list);
        for (one, prediction) in found.iter().enumerate() {
            for sibling in &prediction.siblings {
                let other = list.iter().find(|it| it.environment == sibling.environment);
                let other = other.expect("a contender");
                let fits = case.fits(&list[one].head, &other.head);
                let clean = sibling.fit.conflicts == 0;
                prop_assert_eq!(clean, fits, "{} with {}", list[one].name, other.name);
            }
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::repo::oracle::{Files, Oracle, files};

fn contender(oracle: &Oracle, number: u8, base: &CommitId, head: &Files) -> Contender {
    Contender {
        environment: EnvironmentId::from_random([number; 8]),
        name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
        base: base.clone(),
        head: oracle.commit(head, &[base]),
        held: None,
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
            let fit = sibling.fit.as_ref().expect("it was judged");
            (sibling.name.to_string(), fit.overlap, fit.conflicts)
        };
        found[index].siblings.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(pairs(0), [("attempt2".to_owned(), 1, 0), ("attempt3".to_owned(), 1, 1)]);
    assert_eq!(pairs(1), [("attempt1".to_owned(), 1, 0), ("attempt3".to_owned(), 1, 0)]);
    let fit = found[0].siblings[1].fit.as_ref().expect("it was judged");
    assert_eq!(fit.paths, [RepoPath::new("a")]);
    assert_eq!(found[0].branch, Some(Fit::default()));
    assert!(!found[0].is_clean() && found[1].is_clean());

    // The user commits what the third does not fit with.
    let moved = case.oracle.commit(&top, &[&case.base]);
    case.oracle.git(["reset", "-q", "--hard", moved.as_str()]);
    let found = case.predict(&mut predictor, &list);
    let branch = |index: usize| found[index].branch.as_ref().expect("it was judged");
    assert_eq!((branch(0).overlap, branch(0).conflicts), (1, 0));
    assert_eq!(branch(2).conflicts, 1);
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
    let fit = found[0].siblings[0].fit.as_ref().expect("it was judged");
    assert_eq!((fit.overlap, fit.conflicts > 0), (0, true));
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

#[test]
fn what_cannot_be_judged_keeps_nothing_else_from_being_judged() {
    let case = Case::new(&files(&[("a", TEXT), ("b", TEXT)]));
    let of = |number, text: &str| {
        contender(&case.oracle, number, &case.base, &files(&[("a", text), ("b", TEXT)]))
    };
    let [one, two, three] = [of(1, "one\n"), of(2, "two\n"), of(3, "three\n")];
    let mut gone = of(4, "four\n");
    gone.head = CommitId::parse(&"1".repeat(40)).expect("an id");
    // That both changed the file is told by trees; what the second made of it only a merge reads.
    let blob = case.oracle.git(["rev-parse", &format!("{}:a", two.head)]);
    let loose = case.oracle.root().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::remove_file(&loose).expect("it is loose");
    let list = [one, two, three, gone];
    let found = case.predict(&mut Predictor::default(), &list);
    let conflicts = |index: usize| -> Vec<Option<bool>> {
        let fits = found[index].siblings.iter().map(|sibling| sibling.fit.as_ref());
        fits.map(|fit| fit.map(Fit::conflicts)).collect()
    };
    assert_eq!(conflicts(0), [None, Some(true), None], "with two, three and what is gone");
    assert_eq!(conflicts(1), [None, None, None]);
    assert_eq!(conflicts(2), [Some(true), None, None]);
    let branches: Vec<bool> = found.iter().map(|found| found.branch.is_some()).collect();
    assert_eq!(branches, [true, true, true, false], "whose branch did not move");
    assert!(found.iter().all(|found| !found.is_clean()), "what is not known is not clean");
    assert_eq!(found[0].unknown().count(), 2);
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
                let clean = sibling.fit.as_ref().expect("it was judged").is_clean();
                prop_assert_eq!(clean, fits, "{} with {}", list[one].name, other.name);
            }
        }
    }
}

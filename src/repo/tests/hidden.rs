//! What only rules of the work itself ignore: little of it is kept, none of it taken unasked, all of
//! it named.

use super::*;
use crate::model::decision::Portion;
use crate::model::snapshot::Skipped;
use crate::repo::taking::{self, Journal, TakeRequest};
use crate::repo::{hidden, left_out};

/// More than is kept of files that new rules ignore in one directory.
const MANY: usize = 257;

fn ignoring() -> Fixture {
    Fixture::new(|root| {
        write(root, ".gitignore", b"*.log\n");
        write(root, "src/f", b"base\n");
    })
}

fn hidden_in(fixture: &Fixture, snapshot: &CommitId) -> Vec<String> {
    let found = hidden::of(&fixture.store, &fixture.environment, snapshot).expect("read");
    found.hidden.iter().map(ToString::to_string).collect()
}

fn named(fixture: &Fixture, reason: &str) -> Vec<String> {
    let now = left_out::now(&fixture.store, &fixture.environment).expect("read");
    let now = now.unwrap_or_default().into_iter().filter(|it| it.reason == reason);
    now.map(|it| it.path.to_string()).collect()
}

#[test]
fn work_that_its_own_rules_ignore_is_kept_and_named_and_what_the_base_ignores_is_not() {
    let fixture = ignoring();
    let root = fixture.workspace();
    write(&root, ".gitignore", b"*.log\n*\n");
    write(&root, "secret/plan.rs", b"hidden\n");
    write(&root, "src/new", b"hidden too\n");
    write(&root, "secret/a.log", b"the base ignores it\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let listing = [".gitignore", "secret/plan.rs", "src/f", "src/new"];
    assert_eq!(fixture.listing(&taken), listing);
    assert_eq!(hidden_in(&fixture, &taken.id), ["secret/plan.rs", "src/new"]);
    assert_eq!(named(&fixture, Skipped::IGNORED), ["secret/a.log"]);
    let (store, environment) = (&fixture.store, &fixture.environment);
    let lacks = left_out::of_portion(store, environment, &taken.id, &Portion::All).expect("read");
    assert!(lacks.iter().all(Skipped::is_hidden), "{lacks:?}");
    assert_eq!(lacks.len(), 2);
    // What rules no longer ignore is work like any other.
    write(&root, ".gitignore", b"");
    let taken = fixture.take_paths(&[".gitignore"]).expect("a change");
    assert!(fixture.listing(&taken).contains(&"secret/a.log".to_owned()));
    assert!(hidden_in(&fixture, &taken.id).is_empty());
}

#[test]
fn packages_that_an_agent_ignores_are_left_out_and_not_watched_however_they_come() {
    let fixture = ignoring();
    let root = fixture.workspace();
    write(&root, ".gitignore", b"*.log\nnode_modules/\n");
    write(&root, "node_modules/one/index.js", b"x\n");
    let taken = fixture.take_paths(&[".gitignore", "node_modules"]).expect("a change");
    assert!(fixture.listing(&taken).contains(&"node_modules/one/index.js".to_owned()));
    let told = || hidden::of(&fixture.store, &fixture.environment, &taken.id).expect("read");
    assert_eq!(told().hidden.len(), 1);
    let ignored = crate::repo::ignored::directories(&fixture.store, &fixture.environment, &root);
    let ignored = ignored.expect("rules");
    assert!(!ignored(b"node_modules/one"), "it is little");

    for number in 0..MANY {
        write(&root, &format!("node_modules/p{number}/index.js"), b"x\n");
    }
    let taken = fixture.take_paths(&["node_modules/p7/index.js"]).expect("a change");
    assert_eq!(fixture.listing(&taken), [".gitignore", "src/f"]);
    assert_eq!(fixture.take(&Touched::Everything), None, "a walk finds the same");
    assert_eq!(named(&fixture, Skipped::HIDDEN_MUCH), ["node_modules"]);
    assert!(ignored(b"node_modules") && ignored(b"node_modules/one"));
    assert!(!ignored(b"src"));

    std::fs::remove_dir_all(root.join("node_modules")).expect("removed");
    write(&root, "node_modules/two/index.js", b"y\n");
    let taken = fixture.take_paths(&["node_modules", "node_modules/two"]).expect("a change");
    assert!(fixture.listing(&taken).contains(&"node_modules/two/index.js".to_owned()));
    assert_eq!(fixture.take(&Touched::Everything), None);
    assert!(named(&fixture, Skipped::HIDDEN_MUCH).is_empty());
}

#[test]
fn many_files_that_an_agent_ignores_in_a_directory_are_left_out_together_however_they_come() {
    let fixture = ignoring();
    let root = fixture.workspace();
    write(&root, ".gitignore", b"*.log\n*.o\n");
    for number in 1..MANY {
        write(&root, &format!("src/{number}.o"), b"x\n");
    }
    let taken = fixture.take_paths(&[".gitignore", "src"]).expect("a change");
    assert_eq!(fixture.listing(&taken).len(), MANY + 1);
    write(&root, "src/last.o", b"x\n");
    let taken = fixture.take_paths(&["src/last.o"]).expect("a change");
    assert_eq!(fixture.listing(&taken), [".gitignore", "src/f"]);
    assert_eq!(named(&fixture, Skipped::HIDDEN_MANY).len(), 100, "as many as are named");
    assert_eq!(fixture.take(&Touched::Everything), None, "a walk finds the same");
    std::fs::remove_file(root.join("src/1.o")).expect("removed");
    let taken = fixture.take_paths(&["src/1.o"]).expect("a change");
    assert_eq!(fixture.listing(&taken).len(), MANY + 1);
    assert_eq!(fixture.take(&Touched::Everything), None);
    assert!(named(&fixture, Skipped::HIDDEN_MANY).is_empty());
}

#[test]
fn what_is_hidden_is_taken_by_name_and_stays_when_all_is_taken() {
    let fixture = ignoring();
    let root = fixture.workspace();
    write(&root, ".gitignore", b"*.log\n/out/\n");
    write(&root, "out/a", b"a\n");
    write(&root, "out/b", b"b\n");
    write(&root, "src/f", b"work\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    let users = |path: &str| std::fs::read(fixture.oracle.root().join(path)).ok();
    super::taken::apply(&fixture, &journal, 1, &taken.id).expect("applied");
    assert_eq!((users("src/f"), users("out/a")), (Some(b"work\n".to_vec()), None));
    let portion = Portion::Paths(vec![RepoPath::new(*b"out/a")]);
    let named = TakeRequest { portion, ..super::taken::request(&fixture, 2, &taken.id) };
    taking::apply(&fixture.user, &fixture.store, &journal, &named).expect("by name");
    assert_eq!((users("out/a"), users("out/b")), (Some(b"a\n".to_vec()), None));
    write(&root, "src/f", b"more\n");
    let taken = fixture.take_paths(&["src/f"]).expect("a change");
    super::taken::apply(&fixture, &journal, 3, &taken.id).expect("applied");
    assert_eq!(users("src/f"), Some(b"more\n".to_vec()));
    assert_eq!(users("out/a"), Some(b"a\n".to_vec()), "it was asked for");
    assert_eq!(users("out/b"), None);
}

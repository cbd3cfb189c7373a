//! Whatever attributes and configuration say: a workspace is what git checks out, a snapshot of it is
//! its bytes, and what is taken of it is what git adds, and then checks out.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::taken::{apply, merge, undo};
use super::*;
use crate::model::failure::FailureKind;
use crate::repo::taking::Journal;

/// What attributes say of `*.txt`; the user's configuration says the rest.
const RULES: [&str; 14] = [
    "",
    "*.txt text\n",
    "*.txt text=auto\n",
    "*.txt -text\n",
    "*.txt text eol=crlf\n",
    "*.txt eol=lf\n",
    "*.txt text=auto eol=crlf\n",
    "*.txt ident\n",
    "*.txt text eol=crlf ident\n",
    "*.txt binary\n",
    "*.txt text\nd/*.txt -text\n",
    "* text=auto\n*.txt crlf=input\n",
    UTF_16,
    MARKED,
];

/// Files stand in another encoding than they are stored in.
const UTF_16: &str = "*.txt text working-tree-encoding=UTF-16LE eol=crlf\n";
const MARKED: &str = "*.txt text ident working-tree-encoding=UTF-16\n";

const CONFIGURATIONS: [&[&str]; 5] = [
    &[],
    &["core.autocrlf=true"],
    &["core.autocrlf=input"],
    &["core.eol=crlf"],
    &["core.autocrlf=false", "core.eol=lf"],
];

const NAMES: [&str; 4] = ["a.txt", "d/b.txt", "d/c.md", "e.txt"];

const LINES: [&str; 6] = ["one", "two", "", "$Id$", "$Id: 0123abcd $", "gr\u{f6}\u{df}er"];

/// Lines and how each ends.
type Text = Vec<(usize, u8)>;

#[derive(Clone, Debug)]
struct Draw {
    configuration: usize,
    rules: usize,
    /// Those that the agent makes of them.
    new_rules: Option<usize>,
    base: Vec<Text>,
    work: Vec<Work>,
}

/// What the agent makes of a file.
#[derive(Clone, Debug)]
enum Work {
    Nothing,
    Another(Text),
    Gone,
}

fn contents() -> impl Strategy<Value = Text> {
    prop::collection::vec((0..LINES.len(), 0..8_u8), 0..6)
}

fn draw() -> impl Strategy<Value = Draw> {
    let change = prop_oneof![
        1 => Just(Work::Nothing),
        3 => contents().prop_map(Work::Another),
        1 => Just(Work::Gone),
    ];
    (
        0..CONFIGURATIONS.len(),
        0..RULES.len(),
        prop::option::weighted(0.3, 0..RULES.len()),
        // The last one is new.
        prop::collection::vec(contents(), NAMES.len() - 1),
        prop::collection::vec(change, NAMES.len()),
    )
        .prop_map(|(configuration, rules, new_rules, base, work)| Draw {
            configuration,
            rules,
            new_rules,
            base,
            work,
        })
}

/// The bytes of a text, in the encoding that some rules ask for.
fn bytes(text: &Text, name: &str, rules: &str) -> Vec<u8> {
    let is_text = Path::new(name).extension().is_some_and(|ending| ending == "txt");
    let mut all = String::new();
    for (line, end) in text {
        all.push_str(LINES[*line]);
        all.push_str(match end {
            0..3 => "\n",
            3..6 => "\r\n",
            6 => "\r",
            _ => "\0\n",
        });
    }
    if ![UTF_16, MARKED].contains(&rules) || !is_text || all.is_empty() {
        return all.into_bytes();
    }
    if rules == MARKED {
        all.insert(0, '\u{feff}');
    }
    all.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A repository as somebody who cloned it has it.
fn cloned(draw: &Draw) -> Oracle {
    let oracle = Oracle::new();
    for entry in CONFIGURATIONS[draw.configuration] {
        let (key, value) = entry.split_once('=').expect("a key");
        oracle.git(["config", key, value]);
    }
    let root = oracle.root();
    let rules = RULES[draw.rules];
    write(&root, ".gitattributes", rules.as_bytes());
    for (name, text) in NAMES.iter().zip(&draw.base) {
        write(&root, name, &bytes(text, name, rules));
    }
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    oracle.git(["rm", "-q", "-r", "-f", "."]);
    oracle.git(["reset", "-q", "--hard"]);
    oracle
}

/// Does the agent's work; which paths it touched.
fn work(draw: &Draw, root: &Path) -> Vec<String> {
    let rules = draw.new_rules.map_or(RULES[draw.rules], |new| RULES[new]);
    let mut touched = Vec::new();
    if draw.new_rules.is_some() {
        write(root, ".gitattributes", rules.as_bytes());
        touched.push(".gitattributes".to_owned());
    }
    for (name, work) in NAMES.iter().zip(&draw.work) {
        match work {
            Work::Another(text) => write(root, name, &bytes(text, name, rules)),
            Work::Gone if root.join(name).exists() => {
                std::fs::remove_file(root.join(name)).expect("removed");
            }
            Work::Gone | Work::Nothing => continue,
        }
        touched.push((*name).to_owned());
    }
    touched
}

/// Every file below a root.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = [".gitattributes"].into_iter().chain(NAMES);
    names.filter_map(|name| Some((name.to_owned(), std::fs::read(root.join(name)).ok()?))).collect()
}

/// A clone by git, as the user has it configured.
fn clone(fixture: &Fixture, draw: &Draw, name: &str) -> PathBuf {
    let at = fixture.oracle.outside().join(name);
    let mut arguments = vec!["clone", "-q"];
    for entry in CONFIGURATIONS[draw.configuration] {
        arguments.extend(["-c", entry]);
    }
    let root = fixture.oracle.root();
    arguments.extend([root.to_str().expect("a path"), at.to_str().expect("a path")]);
    fixture.oracle.git(arguments);
    at
}

/// The tree that git makes of the work, where somebody did it in a clone and added what they touched.
fn tree_by_git(fixture: &Fixture, draw: &Draw) -> String {
    let at = clone(fixture, draw, "by-git");
    let before = files(&at);
    let touched = work(draw, &at);
    let now = files(&at);
    let inside = |arguments: &[&str]| {
        let mut all = vec!["-C", at.to_str().expect("a path")];
        all.extend(arguments);
        fixture.oracle.git(all)
    };
    // The attributes first: git reads those of the working tree.
    for path in touched {
        // What was written as it was is no change, whatever git would make of it.
        if before.get(&path) != now.get(&path) {
            inside(&["add", "-A", "--", &path]);
        }
    }
    inside(&["write-tree"])
}

fn check(draw: &Draw) -> Result<(), TestCaseError> {
    let fixture = Fixture::over(cloned(draw));
    let (workspace, root) = (fixture.workspace(), fixture.oracle.root());
    let before = files(&root);
    prop_assert_eq!(files(&workspace), before.clone(), "a workspace is a checkout");
    prop_assert_eq!(fixture.take(&Touched::Everything), None, "a checkout is no change");
    let touched = work(draw, &workspace);
    let paths: Vec<&str> = touched.iter().map(String::as_str).collect();
    let head = fixture.take_paths(&paths).map_or(fixture.first.id.clone(), |taken| taken.id);
    prop_assert_eq!(fixture.take(&Touched::Everything), None, "a walk finds the same");
    let tree = object::tree_of(&fixture.store.reader(), &head).expect("a tree");
    prop_assert_eq!(tree.to_string(), fixture.exact_tree_by_git());

    let expected = tree_by_git(&fixture, draw);
    prop_assert_eq!(fixture.stored(&head), expected.clone());
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    let base = fixture.oracle.git(["rev-parse", "HEAD^{tree}"]);
    match merge(&fixture, &journal, &head) {
        Ok(merged) => {
            prop_assert_eq!(fixture.oracle.git(["rev-parse", "HEAD^{tree}"]), expected);
            let (ours, fresh) = (files(&root), files(&clone(&fixture, draw, "fresh")));
            for path in &merged.paths {
                let path = path.to_string();
                prop_assert_eq!(ours.get(&path), fresh.get(&path), "{}", path);
            }
            let taken: Vec<String> = merged.paths.iter().map(ToString::to_string).collect();
            let untouched = |files: BTreeMap<String, Vec<u8>>| {
                files.into_iter().filter(|(path, _)| !taken.contains(path)).collect::<Vec<_>>()
            };
            prop_assert_eq!(untouched(ours.clone()), untouched(before.clone()));
            undo(&fixture, &journal);
            prop_assert_eq!(files(&root), before.clone());
            apply(&fixture, &journal, 2, &head).expect("applied");
            prop_assert_eq!(files(&root), ours, "an apply leaves the same files");
            undo(&fixture, &journal);
        }
        Err(failure) => {
            prop_assert_eq!(failure.kind, FailureKind::Invalid, "{}", failure);
            prop_assert_eq!(base, expected, "there was nothing to take");
        }
    }
    prop_assert_eq!(files(&root), before);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each makes four repositories, so it is a tenth of what is asked for.
        cases: ProptestConfig::default().cases.div_ceil(10),
        max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_take_is_what_git_adds_and_checks_out_whatever_attributes_say(draw in draw()) {
        check(&draw)?;
    }
}

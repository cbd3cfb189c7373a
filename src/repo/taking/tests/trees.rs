use super::*;
use crate::repo::forms::Forms;
use crate::repo::merge::{Sides, trees};

/// Base, ours and theirs of a merge, by name.
fn cases() -> Vec<(&'static str, Files, Files, Files)> {
    let text = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let with = |from: &str, to: &str| text.replace(from, to);
    let one = |content: &str| files(&[("f", content)]);
    let two = |a: &str, b: &str| files(&[("f", a), ("g", b)]);
    let mut run = one(text);
    run.insert(b"f".to_vec(), (EntryKind::BlobExecutable, text.as_bytes().to_vec()));
    let mut link = one(text);
    link.insert(b"f".to_vec(), (EntryKind::Link, b"g".to_vec()));
    let binary = |tail: u8| Files::from([(b"f".to_vec(), (EntryKind::Blob, vec![0, 1, 2, tail]))]);
    vec![
        ("nothing changed", one(text), one(text), one(text)),
        ("only theirs", one(text), one(text), one(&with("5", "five"))),
        ("only ours", one(text), one(&with("5", "five")), one(text)),
        ("both alike", one(text), one(&with("5", "five")), one(&with("5", "five"))),
        ("far apart", one(text), one(&with("1", "one")), one(&with("9", "nine"))),
        ("the same line", one(text), one(&with("5", "five")), one(&with("5", "FIVE"))),
        ("lines that touch", one(text), one(&with("5", "five")), one(&with("6", "six"))),
        ("one line between", one(text), one(&with("4", "four")), one(&with("6", "six"))),
        ("added alike", one(text), two(text, "g\n"), two(text, "g\n")),
        ("added differently", one(text), two(text, "g\n"), two(text, "h\n")),
        ("added apart", one(text), two(text, "g\n"), files(&[("f", text), ("h", "h\n")])),
        ("deleted by both", two(text, "g\n"), one(text), one(text)),
        ("deleted and kept", two(text, "g\n"), one(text), two(text, "g\n")),
        ("deleted and changed", two(text, "g\n"), one(text), two(text, "G\n")),
        ("changed and deleted", two(text, "g\n"), two(text, "G\n"), one(text)),
        ("renamed and changed", one(text), files(&[("n", text)]), one(&with("5", "five"))),
        ("changed and renamed", one(text), one(&with("5", "five")), files(&[("n", text)])),
        ("renamed two ways", one(text), files(&[("n", text)]), files(&[("m", text)])),
        ("mode and content", one(text), run.clone(), one(&with("5", "five"))),
        ("mode by both", one(text), run.clone(), run),
        ("link and content", one(text), link.clone(), one(&with("5", "five"))),
        ("link by theirs", one(text), one(text), link.clone()),
        ("binary by both", binary(3), binary(4), binary(5)),
        ("binary by theirs", binary(3), binary(3), binary(5)),
        ("file and directory", one(text), files(&[("f/x", "x\n")]), one(&with("5", "five"))),
        (
            "beside a directory",
            one(text),
            files(&[("d/x", "x\n"), ("f", text)]),
            files(&[("d/y", "y\n"), ("f", text)]),
        ),
        (
            "removed by both and moved by one in another order",
            files(&[("a", "1\n2\n3\n")]),
            files(&[("b", "2\n1\n")]),
            files(&[("d/e", "1\n")]),
        ),
        ("moved here and a link there", one(text), files(&[("n", text)]), link.clone()),
        (
            "moved to one place by both",
            one(text),
            files(&[("n", &with("1", "one"))]),
            files(&[("n", &with("9", "nine"))]),
        ),
        (
            "a namesake and a likeness",
            files(&[("d/f", text)]),
            files(&[("e/f", &with("1\n2\n", "one\ntwo\n")), ("other", &with("1\n", ""))]),
            files(&[("d/f", &with("9", "nine"))]),
        ),
        ("no newline at the end", one("a\nb"), one("A\nb"), one("a\nb\nc")),
        ("emptied and changed", one(text), one(""), one(&with("5", "five"))),
        (
            "inserted at both ends",
            one(text),
            one(&format!("0\n{text}")),
            one(&format!("{text}10\n")),
        ),
        (
            "carriage returns",
            one("a\r\nb\r\nc\r\nd\r\n"),
            one("A\r\nb\r\nc\r\nd\r\n"),
            one("a\r\nb\r\nc\r\nD\r\n"),
        ),
    ]
}

#[test]
fn merges_agree_with_git_merge_tree() {
    let cases = cases();
    assert!(cases.len() >= 20);
    for (name, base, ours, theirs) in cases {
        let case = Case::new(&base);
        let ours = case.oracle.commit(&ours, &[&case.base]);
        let theirs = case.oracle.commit(&theirs, &[&case.base]);
        let repository = case.oracle.open().with_object_memory();
        let tree = |commit| object::tree_of(&repository, commit).expect("a tree");
        let reader = case.user.reader();
        let mut forms = Forms::new(&case.user, &reader, tree(&ours)).expect("attributes");
        let sides = Sides { ancestor: tree(&case.base), ours: tree(&ours), theirs: tree(&theirs) };
        let merged = trees(&repository, &mut forms, sides);
        let arguments = ["merge-tree", "--write-tree", ours.as_str(), theirs.as_str()];
        let judge = case.oracle.command(arguments).output().expect("git runs");
        match judge.status.code() {
            Some(0) => {
                let expected = String::from_utf8_lossy(&judge.stdout).trim().to_owned();
                let merged = merged.unwrap_or_else(|failure| panic!("{name}: {failure}"));
                assert_eq!(merged.to_string(), expected, "{name}");
            }
            Some(1) => {
                let failure = merged.expect_err(name);
                assert_eq!(failure.kind, FailureKind::Conflict, "{name}");
                assert!(!failure.paths.is_empty(), "{name}");
            }
            other => panic!("{name}: git ended with {other:?}"),
        }
    }
}

#[test]
fn a_file_that_would_follow_a_renamed_directory_is_a_conflict() {
    let base = files(&[("d/a", "1\n2\n3\n4\n"), ("d/b", "b\n5\n6\n7\n")]);
    let ours = files(&[("e/a", "1\n2\n3\n4\n"), ("e/b", "b\n5\n6\n7\n")]);
    let theirs = files(&[("d/a", "1\n2\n3\n4\n"), ("d/b", "b\n5\n6\n7\n"), ("d/new", "n\n")]);
    let case = Case::new(&base);
    let commit = case.oracle.commit(&ours, &[&case.base]);
    case.oracle.git(["reset", "-q", "--hard", commit.as_str()]);
    let failure = case.merge(1, &case.snapshot(&theirs)).expect_err("a conflict");
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert_eq!(case.status(), "");
}

#[test]
fn a_union_merge_of_the_users_attributes_is_honoured() {
    let with = |list: &str| files(&[(".gitattributes", "list merge=union\n"), ("list", list)]);
    let case = Case::new(&with("a\n"));
    case.write("list", "a\nours\n");
    case.commit_all();
    case.merge(1, &case.snapshot(&with("a\ntheirs\n"))).expect("a merge");
    assert_eq!(case.read("list"), "a\nours\ntheirs\n");

    let with = |list: &str| files(&[(".gitattributes", "list merge=canary\n"), ("list", list)]);
    let case = Case::new(&with("1\n2\n3\n4\n5\n"));
    case.write("list", "one\n2\n3\n4\n5\n");
    case.commit_all();
    let failure = case.merge(1, &case.snapshot(&with("1\n2\n3\n4\nfive\n"))).expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("merge driver canary"), "{failure}");
}

#[test]
fn paths_as_bytes_survive_the_journal() {
    let case = Case::new(&files(&[("a", "a\n")]));
    let mut head = files(&[("a", "a\n")]);
    head.insert(b"bad\xff\n\"name".to_vec(), (EntryKind::Blob, b"x".to_vec()));
    case.apply(1, &case.snapshot(&head)).expect("an apply");
    let listed = decisions(&case.journal).expect("decisions");
    assert_eq!(listed[0].paths, [RepoPath::new(b"bad\xff\n\"name".to_vec())]);
    case.undo().expect("undone");
    assert_eq!(case.status(), "");
}

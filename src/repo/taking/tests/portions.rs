use proptest::prelude::*;

use super::*;
use crate::model::diff::{
    Detail, Diff, DiffContent, FileDiff, FileSide, Hunk, Reach, Taken, Whitespace,
};
use crate::repo::diff;

fn path(text: &str) -> RepoPath {
    RepoPath::new(text.as_bytes())
}

fn paths_of(list: &[&str]) -> Portion {
    Portion::Paths(list.iter().map(|text| path(text)).collect())
}

fn hunk_of(file: &FileDiff, number: usize) -> (Portion, Hunk) {
    let DiffContent::Text(hunks) = &file.content else { panic!("{file:?} has lines") };
    let hunk = hunks[number].clone();
    let (start, lines) = (hunk.new_start, hunk.new_lines);
    (Portion::Hunk { path: file.path.clone(), start, lines }, hunk)
}

/// Numbered lines, some of them replaced.
fn text(lines: u32, changed: &[(u32, &str)]) -> String {
    let line = |number: u32| match changed.iter().find(|change| change.0 == number) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("{number}\n"),
    };
    (1..=lines).map(line).collect()
}

impl Case {
    fn diff(&self, head: &CommitId) -> Diff {
        diff::between(&self.store, &self.base, head, Detail::Lines).expect("a diff")
    }

    fn taken(&self) -> CommitId {
        let request = self.request(1, &self.base);
        taken(&self.user, &self.store, &self.journal, &request.environment, &request.base)
            .expect("read")
            .expect("something was taken")
    }

    /// What git itself makes of a patch in the working tree; it is as before then.
    fn by_git(&self, patch: &Diff) -> Picture {
        let mut bytes = Vec::new();
        patch.write_unified(&mut bytes);
        let output = self.oracle.feed(["apply", "-"], &bytes);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let picture = self.picture();
        self.oracle.git(["reset", "-q", "--hard"]);
        self.oracle.git(["clean", "-qfd"]);
        picture
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let line = 0..60_usize;
    let edit = prop_oneof![
        (line.clone(), 0..9_u8).prop_map(|(at, text)| Edit::Replace(at, text)),
        (line.clone(), 0..9_u8).prop_map(|(at, text)| Edit::Insert(at, text)),
        line.prop_map(Edit::Remove),
    ];
    prop::collection::vec(edit, 1..8)
}

fn edited(base: &str, edits: &[Edit], ends: bool) -> String {
    let mut lines: Vec<String> = base.split_inclusive('\n').map(str::to_owned).collect();
    for edit in edits {
        let last = lines.len().saturating_sub(1);
        match edit {
            Edit::Replace(at, text) if !lines.is_empty() => {
                lines[(*at).min(last)] = format!("new {text}\n");
            }
            Edit::Insert(at, text) => {
                lines.insert((*at).min(lines.len()), format!("more {text}\n"));
            }
            Edit::Remove(at) if !lines.is_empty() => drop(lines.remove((*at).min(last))),
            _ => {}
        }
    }
    let text = lines.concat();
    if ends { text } else { text.trim_end().to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_hunk_is_taken_as_git_applies_it_and_all_hunks_are_the_file(
        length in 0..60_u32,
        edits in edits(),
        ends in any::<bool>(),
        executable in any::<bool>(),
        backwards in any::<bool>(),
    ) {
        let base = text(length, &[]);
        let case = Case::new(&files(&[("d/f", &base), ("g", "g\n")]));
        let mut wanted = files(&[("g", "g\n")]);
        let kind = if executable { EntryKind::BlobExecutable } else { EntryKind::Blob };
        wanted.insert(b"d/f".to_vec(), (kind, edited(&base, &edits, ends).into_bytes()));
        let head = case.snapshot(&wanted);
        let seen = case.diff(&head);
        let Some(file) = seen.files.first() else { return Ok(()) };
        let DiffContent::Text(hunks) = &file.content else { panic!("{file:?}") };
        let before = case.picture();
        let mut id = 0;
        for number in 0..hunks.len() {
            let (portion, hunk) = hunk_of(file, number);
            let alone = FileDiff { content: DiffContent::Text(vec![hunk]), ..file.clone() };
            let expected = case.by_git(&Diff { files: vec![alone], ..seen.clone() });
            id += 1;
            case.take(id, &head, portion).expect("taken");
            prop_assert_eq!(&case.picture().files, &expected.files);
            case.undo().expect("undone");
            prop_assert_eq!(&case.picture().files, &before.files);
        }
        let mut order: Vec<usize> = (0..hunks.len()).collect();
        if backwards {
            order.reverse();
        }
        for number in order {
            id += 1;
            case.take(id, &head, hunk_of(file, number).0).expect("taken");
        }
        if hunks.is_empty() {
            id += 1;
            case.take(id, &head, Portion::All).expect("taken");
        }
        let all = case.picture();
        case.oracle.git(["reset", "-q", "--hard"]);
        prop_assert_eq!(&all.files, &case.by_git(&seen).files);
    }
}

#[test]
fn after_some_was_taken_the_rest_comes_and_what_changed_since() {
    let base = text(40, &[]);
    let case = Case::new(&files(&[("f", &base), ("g", "g\n")]));
    let first = text(40, &[(3, "three\n"), (20, "twenty\n"), (37, "last\n")]);
    let head = case.snapshot(&files(&[("f", &first), ("g", "G\n"), ("new", "new\n")]));
    let file = case.diff(&head).files[0].clone();
    case.take(1, &head, hunk_of(&file, 1).0).expect("the middle");
    assert_eq!(case.read("f"), text(40, &[(20, "twenty\n")]));
    let failure = case.take(2, &head, hunk_of(&file, 1).0).expect_err("it is there");
    assert!(failure.message.contains("nothing new at f"), "{failure}");
    // The agent goes on, also where something was taken.
    let second = text(40, &[(3, "three\n"), (20, "zwanzig\n"), (37, "last\n")]);
    let head = case.snapshot(&files(&[("f", &second), ("g", "G\n"), ("new", "new\n")]));
    let file = case.diff(&head).files[0].clone();
    case.take(3, &head, hunk_of(&file, 1).0).expect("the middle again");
    assert_eq!(case.read("f"), text(40, &[(20, "zwanzig\n")]));
    case.take(4, &head, paths_of(&["g"])).expect("a file");
    assert_eq!((case.read("g"), case.read("f")), ("G\n".into(), text(40, &[(20, "zwanzig\n")])));
    let rest = case.apply(5, &head).expect("the rest");
    let told: Vec<String> = rest.paths.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["f", "new"]);
    assert_eq!(case.read("f"), second);
    for _ in 0..4 {
        case.undo().expect("undone");
    }
    assert_eq!(case.status(), "");
    assert_eq!(case.read("f"), base);
}

/// A file as the view reads it that was asked for it alone.
fn read_whole(case: &Case, file: &FileDiff) -> FileDiff {
    let side = |mode: Option<u32>, blob: &Option<CommitId>| {
        mode.zip(blob.clone()).map(|(mode, blob)| FileSide { mode, blob })
    };
    let (old, new) = (side(file.old_mode, &file.old_blob), side(file.new_mode, &file.new_blob));
    let sides = (old.as_ref(), new.as_ref());
    let paths = (file.path.clone(), file.old_path.clone());
    diff::file(&case.store, paths, sides, Whitespace::Exact, Reach::Whole).expect("a file")
}

#[test]
fn of_a_text_too_large_to_be_shown_at_once_a_hunk_is_taken_alone() {
    let long = |changed: &[u32]| -> String {
        let line = |number: u32| {
            let mark = if changed.contains(&number) { "new" } else { "old" };
            format!("{number:0100} {mark}\n")
        };
        (0..50_000).map(line).collect()
    };
    let case = Case::new(&files(&[("f", &long(&[])), ("g", "g\n")]));
    let head = case.snapshot(&files(&[("f", &long(&[7, 40_000])), ("g", "\0\n")]));
    let seen = case.diff(&head);
    assert!(matches!(seen.files[0].content, DiffContent::TooLarge { .. }), "more than 4 MiB");
    let mut file = read_whole(&case, &seen.files[0]);
    case.take(1, &head, hunk_of(&file, 1).0).expect("a hunk");
    assert!(case.read("f") == long(&[40_000]), "that hunk alone");
    mark_hunks(&case.store, &case.taken(), &mut file).expect("marked");
    let DiffContent::Text(hunks) = &file.content else { panic!("lines") };
    assert_eq!(hunks.iter().map(|hunk| hunk.taken).collect::<Vec<_>>(), [false, true]);
    let again = case.take(2, &head, hunk_of(&file, 1).0).expect_err("it is there");
    assert!(again.message.contains("nothing new at f"), "{again}");
    // What has no lines is taken whole, when that is asked for.
    let hunk = Portion::Hunk { path: path("g"), start: 1, lines: 1 };
    let failure = case.take(2, &head, hunk).expect_err("no lines");
    assert!(failure.message.contains("no lines"), "{failure}");
    assert_eq!(case.read("g"), "g\n");
    case.take(2, &head, hunk_of(&file, 0).0).expect("the other hunk");
    assert!(case.read("f") == long(&[7, 40_000]));
}

#[test]
fn a_link_in_the_place_of_a_file_is_one_hunk() {
    let case = Case::new(&files(&[("f", &text(20, &[]))]));
    let mut wanted = Files::new();
    wanted.insert(b"f".to_vec(), (EntryKind::Link, b"elsewhere".to_vec()));
    let head = case.snapshot(&wanted);
    let file = case.diff(&head).files[0].clone();
    case.take(1, &head, hunk_of(&file, 0).0).expect("the link");
    let target = std::fs::read_link(case.oracle.root().join("f")).expect("a link");
    assert_eq!(target, Path::new("elsewhere"));
}

#[test]
fn a_hunk_that_was_committed_and_worked_on_does_not_come_again() {
    let base = text(30, &[]);
    let case = Case::new(&files(&[("f", &base)]));
    let head = case.snapshot(&files(&[("f", &text(30, &[(10, "ten\n")]))]));
    case.apply(1, &head).expect("an apply");
    case.write("f", &text(30, &[(10, "ten\n"), (20, "the user's\n")]));
    case.commit_all();
    // The agent changes the very line that was taken; from the base this would be a conflict.
    let head = case.snapshot(&files(&[("f", &text(30, &[(10, "TEN\n")]))]));
    case.apply(2, &head).expect("only what is new");
    assert_eq!(case.read("f"), text(30, &[(10, "TEN\n"), (20, "the user's\n")]));
}

#[test]
fn what_the_user_took_out_again_comes_again_and_the_rest_stays() {
    let case = Case::new(&files(&[("f", "f\n"), ("g", "g\n")]));
    let head = case.snapshot(&files(&[("f", "F\n"), ("g", "G\n")]));
    case.apply(1, &head).expect("an apply");
    case.oracle.git(["checkout", "-q", "--", "f"]);
    let head = case.snapshot(&files(&[("f", "F\n"), ("g", "G\nmore\n")]));
    case.apply(2, &head).expect("again");
    assert_eq!((case.read("f"), case.read("g")), ("F\n".to_owned(), "G\nmore\n".to_owned()));
}

#[test]
fn paths_name_files_directories_and_renamed_files_by_either_name() {
    let long = text(20, &[]);
    let base = files(&[("d/a", "a\n"), ("d/b", "b\n"), ("da", "x\n"), ("old", &long)]);
    let case = Case::new(&base);
    let changed = files(&[("d/a", "A\n"), ("d/c/new", "c\n"), ("da", "X\n"), ("named", &long)]);
    let head = case.snapshot(&changed);
    let told = |decision: Decision| -> Vec<String> {
        decision.paths.iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(case.take(1, &head, paths_of(&["d"])).expect("d")), ["d/a", "d/b", "d/c/new"]);
    assert_eq!(told(case.take(2, &head, paths_of(&["old"])).expect("old")), ["named", "old"]);
    case.undo().expect("undone");
    assert_eq!(told(case.take(3, &head, paths_of(&["named"])).expect("new")), ["named", "old"]);
    for missing in ["d", "missing", "d/a/b"] {
        let failure = case.take(4, &head, paths_of(&["da", missing])).expect_err(missing);
        assert!(failure.message.contains(&format!("nothing new at {missing}")), "{failure}");
    }
    assert_eq!(case.read("da"), "x\n");
}

#[test]
fn files_and_hunks_say_what_of_them_was_taken() {
    let case = Case::new(&files(&[("f", &text(40, &[])), ("g", "g\n"), ("h", "h\n")]));
    let changed = text(40, &[(3, "three\n"), (37, "last\n")]);
    let head = case.snapshot(&files(&[("f", &changed), ("g", "G\n"), ("i", "i\n")]));
    let file = case.diff(&head).files[0].clone();
    case.take(1, &head, hunk_of(&file, 1).0).expect("a hunk");
    case.take(2, &head, paths_of(&["g", "h"])).expect("files");
    let mut seen = case.diff(&head);
    mark(&case.store, &case.taken(), &mut seen.files).expect("marked");
    let told: Vec<_> = seen.files.iter().map(|file| (file.path.to_string(), file.taken)).collect();
    let expected =
        [("f", Taken::Part), ("g", Taken::All), ("h", Taken::All), ("i", Taken::Nothing)];
    assert_eq!(told, expected.map(|(path, taken)| (path.to_owned(), taken)));
    mark_hunks(&case.store, &case.taken(), &mut seen.files[0]).expect("marked");
    let DiffContent::Text(hunks) = &seen.files[0].content else { panic!("lines") };
    assert_eq!(hunks.iter().map(|hunk| hunk.taken).collect::<Vec<_>>(), [false, true]);
    let since = diff::between(&case.store, &case.taken(), &head, Detail::Lines).expect("a diff");
    let told: Vec<String> = since.files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(told, ["f", "i"]);
    assert_eq!(case.oracle.git(["fsck", "--strict", "--no-dangling"]), "");
}

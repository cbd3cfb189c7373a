//! What reaches the user's tree is in the form in which git itself would leave it.

use super::*;
use crate::model::decision::{Decision, MergeStyle, Portion};
use crate::model::diff::{Detail, DiffContent, TextEncoding};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{DecisionId, EnvironmentName};
use crate::model::snapshot::ChangeCount;
use crate::repo::diff::{self, Counts};
use crate::repo::encoding::Encoding;
use crate::repo::predict::{Contender, Predictor};
use crate::repo::taking::{self, Journal, Merging, TakeRequest};
use crate::repo::{divergence, onto};

/// An environment in a repository whose files stand in another form than they are stored in.
fn converted() -> (Fixture, Journal) {
    let fixture = Fixture::new(|root| {
        write(root, ".gitattributes", b"* text=auto eol=crlf\n*.big filter=lfs -text\n");
        write(root, "a.txt", b"one\ntwo\nthree\n");
        write(root, "same.txt", b"same\n");
        write(root, "c.big", b"version https://git-lfs.github.com/spec/v1\n");
    });
    // As a clone has them.
    for name in ["a.txt", "same.txt"] {
        std::fs::remove_file(fixture.oracle.root().join(name)).expect("removed");
    }
    fixture.oracle.git(["checkout", "--", "."]);
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    (fixture, journal)
}

pub(super) fn request(fixture: &Fixture, id: u64, head: &CommitId) -> TakeRequest {
    TakeRequest {
        id: DecisionId(id),
        environment: fixture.environment.clone(),
        name: EnvironmentName::parse("fox").expect("a name"),
        base: fixture.base.clone(),
        head: head.clone(),
        at: Timestamp(1_700_000_000_000),
        portion: Portion::All,
        left_out: Vec::new(),
    }
}

pub(super) fn merge(
    fixture: &Fixture,
    journal: &Journal,
    head: &CommitId,
) -> Result<Decision, Failure> {
    let (user, request) = (&fixture.user, request(fixture, 1, head));
    let message = "work".to_owned();
    let (style, identity) = (MergeStyle::Commit, user.identity());
    let merging = Merging { style, message, identity, commits: Vec::new() };
    taking::merge(user, &fixture.store, journal, &request, &merging)
}

pub(super) fn apply(
    fixture: &Fixture,
    journal: &Journal,
    id: u64,
    head: &CommitId,
) -> Result<Decision, Failure> {
    taking::apply(&fixture.user, &fixture.store, journal, &request(fixture, id, head))
}

fn read(fixture: &Fixture, name: &str) -> Vec<u8> {
    std::fs::read(fixture.oracle.root().join(name)).expect("a file")
}

pub(super) fn undo(fixture: &Fixture, journal: &Journal) {
    taking::undo(fixture.user.id(), journal, &|_| fixture.workspace()).expect("undone");
}

#[test]
fn a_merge_of_line_endings_is_what_git_would_have_committed_and_checked_out() {
    let (fixture, journal) = converted();
    let workspace = fixture.workspace();
    write(&workspace, "a.txt", b"one\r\ntwo\r\nfour\r\n");
    write(&workspace, "same.txt", b"same\n");
    write(&workspace, "new.txt", b"new\nand mixed\r\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    let expected = fixture.tree_by_git();
    let merged = merge(&fixture, &journal, &head).expect("merged");
    let git = |arguments: &[&str]| fixture.oracle.git(arguments);
    assert_eq!(git(&["rev-parse", "HEAD^{tree}"]), expected);
    assert_eq!(git(&["status", "--porcelain"]), "");
    let paths: Vec<String> = merged.paths.iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["a.txt", "new.txt"], "a file in another form is no change to git");
    assert_eq!(read(&fixture, "a.txt"), b"one\r\ntwo\r\nfour\r\n");
    assert_eq!(read(&fixture, "new.txt"), b"new\r\nand mixed\r\n", "as a checkout has it");
    undo(&fixture, &journal);
    assert_eq!(read(&fixture, "a.txt"), b"one\r\ntwo\r\nthree\r\n");
    assert_eq!(git(&["status", "--porcelain"]), "");
}

#[test]
fn an_apply_of_line_endings_shows_git_only_what_was_changed() {
    let (fixture, journal) = converted();
    let workspace = fixture.workspace();
    write(&workspace, "a.txt", b"one\ntwo\nfour\n");
    write(&workspace, "same.txt", b"same\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    apply(&fixture, &journal, 1, &head).expect("applied");
    assert_eq!(read(&fixture, "a.txt"), b"one\r\ntwo\r\nfour\r\n");
    assert_eq!(fixture.oracle.git(["diff", "--numstat"]), "1\t1\ta.txt");
    undo(&fixture, &journal);
    assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "");
}

#[test]
fn a_large_file_is_committed_as_its_pointer_and_stands_in_the_tree_as_itself() {
    let (fixture, journal) = converted();
    let content = b"as large as you please\r\n";
    write(&fixture.workspace(), "c.big", content);
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    merge(&fixture, &journal, &head).expect("merged");
    assert_eq!(read(&fixture, "c.big"), content);
    assert_eq!(fixture.oracle.git(["diff-index", "--cached", "HEAD"]), "");
    let pointer = fixture.oracle.git(["cat-file", "blob", "HEAD:c.big"]);
    let mut lines = pointer.lines();
    assert_eq!(lines.next(), Some("version https://git-lfs.github.com/spec/v1"));
    let name = lines.next().and_then(|line| line.strip_prefix("oid sha256:")).expect("a name");
    assert_eq!(lines.next(), Some("size 24"));
    let kept = format!(".git/lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]);
    assert_eq!(read(&fixture, &kept), content, "where git-lfs looks for it");
    undo(&fixture, &journal);
    assert_eq!(read(&fixture, "c.big"), b"version https://git-lfs.github.com/spec/v1\n");
}

#[test]
fn a_large_file_that_moved_stands_in_the_tree_as_git_lfs_would_check_it_out() {
    let fired = "touch fired; false";
    for installed in [false, true] {
        let (mut fixture, journal) = converted();
        let content = b"large\n";
        let pointer = crate::repo::forms::pointer(content);
        let storage = fixture.oracle.root().join(".git/lfs");
        let place = crate::repo::forms::large_place(&storage, &pointer).expect("a place");
        std::fs::create_dir_all(place.parent().expect("a parent")).expect("made");
        std::fs::write(place, content).expect("written");
        if installed {
            fixture.oracle.git(["config", "filter.lfs.smudge", fired]);
            let root = fixture.oracle.root();
            fixture.user = UserRepository::discover(&root).expect("a repository");
        }
        write(&fixture.workspace(), "moved.big", &pointer);
        let head = fixture.take(&Touched::Everything).expect("a change").id;
        merge(&fixture, &journal, &head).expect("merged");
        let expected = if installed { &content[..] } else { &pointer[..] };
        assert_eq!(read(&fixture, "moved.big"), expected);
        assert!(!fixture.oracle.root().join("fired").exists(), "no driver runs");
    }
}

#[test]
fn a_hunk_of_a_text_in_utf_16_is_shown_and_taken_as_its_bytes() {
    let written = |text: &str| {
        let encoding = Encoding::named(b"UTF-16LE-BOM").expect("an encoding");
        encoding.encode(text.as_bytes()).expect("a text")
    };
    let text = |first: &str, last: &str| format!("{first}\n2\n3\n4\n5\n6\n7\n8\n{last}\n");
    for attributes in ["*.txt text working-tree-encoding=UTF-16LE-BOM\n", ""] {
        let fixture = Fixture::new(|root| {
            write(root, ".gitattributes", attributes.as_bytes());
            write(root, "a.txt", &written(&text("1", "9")));
        });
        write(&fixture.workspace(), "a.txt", &written(&text("\u{fc}ne", "neuf")));
        let head = fixture.take(&Touched::Everything).expect("a change").id;
        let (store, environment) = (&fixture.store, &fixture.environment);
        let origin = onto::origin(store, environment, None).expect("an origin");
        let shown = diff::between(store, &origin, &head, Detail::Lines).expect("a diff");
        let file = &shown.files[0];
        assert_eq!((file.encoding, file.added), (Some(TextEncoding::Utf16Le), 2), "{attributes}");
        let DiffContent::Text(hunks) = &file.content else { panic!("{file:?}") };
        let (start, lines) = (hunks[1].new_start, hunks[1].new_lines);
        let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
        let portion = Portion::Hunk { path: file.path.clone(), start, lines };
        let hunk = TakeRequest { portion, ..request(&fixture, 1, &head) };
        taking::apply(&fixture.user, store, &journal, &hunk).expect("applied");
        assert_eq!(read(&fixture, "a.txt"), written(&text("1", "neuf")), "{attributes}");
        let base = &fixture.base;
        let taken = taking::taken(&fixture.user, store, &journal, environment, base);
        let mut files = shown.files.clone();
        taking::mark_hunks(store, &taken.expect("read").expect("something"), &mut files[0])
            .expect("marked");
        let DiffContent::Text(hunks) = &files[0].content else { panic!("{files:?}") };
        assert_eq!(hunks.iter().map(|hunk| hunk.taken).collect::<Vec<_>>(), [false, true]);
        undo(&fixture, &journal);
        assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "");
    }
}

#[test]
fn a_file_in_an_encoding_that_only_git_converts_is_refused_by_name() {
    let rules = b"*.txt text working-tree-encoding=UTF-32\n";
    // The file is added before its attributes are there.
    let fixture = Fixture::new(|root| write(root, "a.txt", b"one\n"));
    write(&fixture.oracle.root(), ".gitattributes", rules);
    fixture.oracle.git(["add", ".gitattributes"]);
    fixture.oracle.git(["commit", "-q", "-m", "in UTF-32"]);
    write(&fixture.workspace(), ".gitattributes", rules);
    write(&fixture.workspace(), "a.txt", b"two\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    let (user, store) = (&fixture.user, &fixture.store);
    let (message, identity) = ("work".to_owned(), user.identity());
    let (style, commits) = (MergeStyle::Rebase, Vec::new());
    let merging = Merging { style, message, identity, commits };
    let offered = taking::offer(user, store, &journal, &request(&fixture, 1, &head), &merging);
    let refused = [
        offered.expect_err("an offer"),
        merge(&fixture, &journal, &head).expect_err("a merge"),
        apply(&fixture, &journal, 1, &head).expect_err("an apply"),
    ];
    for failure in refused {
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        assert_eq!(failure.message, "a.txt is to stand in UTF-32, which only git converts");
        assert!(failure.hint.expect("a hint").contains("agentdeck cp"));
    }
}

#[test]
fn work_on_the_users_branch_that_was_merged_in_the_box_is_not_taken_back() {
    let (fixture, journal) = converted();
    let root = fixture.oracle.root();
    write(&root, "same.txt", b"the user's\r\n");
    write(&root, "users.txt", b"new\r\n");
    fixture.oracle.git(["add", "-A"]);
    fixture.oracle.git(["commit", "-q", "-m", "the user's"]);
    let (commit, _) = fixture.user.head().expect("a head");
    let workspace = fixture.workspace();
    write(&workspace, "a.txt", b"ONE\r\ntwo\r\nfour\r\n");
    let before = fixture.take(&Touched::Everything).expect("a change").id;
    let path = RepoPath::new(*b"a.txt");
    let lacks = |head: &CommitId| {
        onto::lacks(&fixture.store, &fixture.environment, &commit, head).expect("known")
    };
    assert!(lacks(&before), "it is not merged there yet");
    // As git in the box checks out what it merged.
    write(&workspace, "same.txt", b"the user's\r\n");
    write(&workspace, "users.txt", b"new\r\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    assert!(!lacks(&head));
    let (store, environment) = (&fixture.store, &fixture.environment);
    let counted = divergence::since(store, environment, &commit, &Counts::default());
    assert_eq!(counted, Ok(ChangeCount { files: 1, added: 2, removed: 2 }));
    let origin = onto::origin(store, environment, Some(&commit)).expect("an origin");
    let shown = diff::between(store, &origin, &head, Detail::Outline).expect("a diff");
    assert_eq!(shown.files.iter().map(|file| &file.path).collect::<Vec<_>>(), [&path]);
    let all = TakeRequest { base: commit.clone(), ..request(&fixture, 2, &head) };
    let portion = Portion::Hunk { path: path.clone(), start: 3, lines: 1 };
    let hunk = TakeRequest { portion, id: DecisionId(1), ..all.clone() };
    for (request, expected) in [(hunk, b"one\r\ntwo\r\nfour\r\n"), (all, b"ONE\r\ntwo\r\nfour\r\n")]
    {
        let applied = taking::apply(&fixture.user, &fixture.store, &journal, &request);
        assert_eq!(applied.expect("applied").paths, std::slice::from_ref(&path));
        assert_eq!(read(&fixture, "a.txt"), expected);
    }
    assert_eq!(fixture.oracle.git(["diff", "--numstat"]), "2\t2\ta.txt");
}

#[test]
fn a_branch_that_stores_files_in_another_form_is_stood_on_once_it_was_merged_in_the_box() {
    let fixture = Fixture::new(|root| {
        write(root, "a.bat", b"rem\r\n");
        write(root, "code.c", b"one\ntwo\n");
    });
    let root = fixture.oracle.root();
    write(&root, ".gitattributes", b"*.bat text eol=crlf\n");
    write(&root, "code.c", b"ONE\ntwo\n");
    fixture.oracle.git(["add", "-A", "--renormalize", "."]);
    fixture.oracle.git(["add", "-A"]);
    fixture.oracle.git(["commit", "-q", "-m", "the user's"]);
    let stored = fixture.oracle.git(["cat-file", "blob", "HEAD:a.bat"]);
    assert_eq!(stored, "rem", "git stores it in another form");
    let (commit, _) = fixture.user.head().expect("a head");
    let workspace = fixture.workspace();
    write(&workspace, "code.c", b"1\ntwo\n");
    let before = fixture.take(&Touched::Everything).expect("a change").id;
    let lacks = |head: &CommitId| {
        onto::lacks(&fixture.store, &fixture.environment, &commit, head).expect("known")
    };
    assert!(lacks(&before), "it is not merged there yet");
    // As git in the box leaves it: what it checks out of the other file is what stands there.
    write(&workspace, ".gitattributes", b"*.bat text eol=crlf\n");
    write(&workspace, "code.c", b"ONE\n2\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    assert!(!lacks(&head));
    let counted =
        divergence::since(&fixture.store, &fixture.environment, &commit, &Counts::default());
    assert_eq!(counted, Ok(ChangeCount { files: 1, added: 1, removed: 1 }));
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    let all = TakeRequest { base: commit.clone(), ..request(&fixture, 1, &head) };
    let applied = taking::apply(&fixture.user, &fixture.store, &journal, &all).expect("applied");
    assert_eq!(applied.paths, [RepoPath::new(*b"code.c")]);
    assert_eq!(read(&fixture, "code.c"), b"ONE\n2\n");
    assert_eq!(fixture.oracle.git(["diff", "--numstat"]), "1\t1\tcode.c");
}

#[test]
fn predictions_compare_what_git_would_compare() {
    let (fixture, _) = converted();
    let root = fixture.oracle.root();
    let workspace = fixture.workspace();
    write(&workspace, "a.txt", b"one\r\ntwo\r\nthree\r\n4\r\n5\r\nsix\r\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    let contender = Contender {
        environment: fixture.environment.clone(),
        name: EnvironmentName::parse("fox").expect("a name"),
        base: fixture.base.clone(),
        head,
        held: None,
        paired: true,
    };
    let mut predictor = Predictor::default();
    let mut predict = || {
        let contenders = std::slice::from_ref(&contender);
        let found = predictor.predict(&fixture.user, &fixture.store, contenders);
        let branch = found.expect("predicted").remove(0).branch.expect("judged");
        (branch.overlap, branch.conflicts)
    };
    assert_eq!(predict(), (0, 0));
    write(&root, "a.txt", b"ONE\r\ntwo\r\nthree\r\n");
    fixture.oracle.git(["commit", "-q", "-am", "elsewhere"]);
    assert_eq!(predict(), (1, 0));
    write(&root, "a.txt", b"ONE\r\ntwo\r\nTHREE\r\n");
    fixture.oracle.git(["commit", "-q", "-am", "here"]);
    assert_eq!(predict(), (1, 1));
}

#[test]
fn what_was_applied_with_new_attributes_is_not_in_the_way_of_what_follows() {
    let (fixture, journal) = converted();
    let workspace = fixture.workspace();
    write(&workspace, ".gitattributes", b"*.txt text eol=lf\n");
    write(&workspace, "a.txt", b"ONE\ntwo\nthree\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    apply(&fixture, &journal, 1, &head).expect("applied");
    assert_eq!(read(&fixture, "a.txt"), b"ONE\ntwo\nthree\n", "by the attributes that came");
    write(&workspace, "a.txt", b"ONE\ntwo\nTHREE\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    let applied = apply(&fixture, &journal, 2, &head).expect("what is new");
    assert_eq!(applied.paths, [RepoPath::new(*b"a.txt")]);
    assert_eq!(read(&fixture, "a.txt"), b"ONE\ntwo\nTHREE\n");
    undo(&fixture, &journal);
    undo(&fixture, &journal);
    assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "");
    assert_eq!(read(&fixture, "a.txt"), b"one\r\ntwo\r\nthree\r\n");
}

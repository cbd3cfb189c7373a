//! Restores of a workspace: what it holds is exactly the snapshot, and nothing else is touched.

use super::*;

#[test]
fn a_workspace_becomes_the_snapshot_and_undo_brings_every_byte_back() {
    let case = Case::new(&files(&[("a", "a\n"), ("gone", "g\n"), ("dir/x", "x\n")]));
    let mut wanted = files(&[("a", "a\n"), ("gone", "g\n"), ("dir/x", "x\n")]);
    wanted.insert(b"run".to_vec(), (EntryKind::BlobExecutable, b"#!/bin/sh\n".to_vec()));
    wanted.insert(b"out".to_vec(), (EntryKind::Link, b"/usr/bin/env".to_vec()));
    wanted.insert(b"odd\nna\xff me".to_vec(), (EntryKind::Blob, vec![0, 13, 10, 255]));
    let now =
        files(&[("a", "changed\n"), ("dir", "a file now\n"), ("run", "plain\n"), ("n/o", "")]);
    case.fill_workspace(&now);
    case.write_in_workspace("build/kept.o", "ignored\n");
    std::os::unix::net::UnixListener::bind(case.workspace().join("socket")).expect("a socket");
    let (before, repository) = (case.workspace_files(), case.picture());

    let decision = case.restore(1, &now, &wanted).expect("restored");
    assert_eq!(decision.kind, DecisionKind::Restore);
    let mut expected = wanted.clone();
    expected.extend(files(&[("build/kept.o", "ignored\n")]));
    assert_eq!(case.workspace_files(), expected);
    assert!(case.workspace().join("socket").exists());

    case.undo().expect("undone");
    assert_eq!(case.workspace_files(), before);
    assert_eq!(case.picture(), repository, "the user's repository is not touched");
}

#[test]
fn what_no_snapshot_holds_is_never_overwritten_by_a_restore() {
    let now = files(&[("dir/x", "x\n")]);
    let case = Case::new(&now);
    case.fill_workspace(&now);
    case.write_in_workspace("dir/ignored", "mine\n");
    let before = case.workspace_files();
    let failure = case.restore(1, &now, &files(&[("dir", "a file\n")])).expect_err("in the way");
    assert_eq!(failure.kind, FailureKind::WouldOverwrite);
    assert_eq!(failure.paths, [RepoPath::new(*b"dir/ignored")]);
    assert_eq!(case.workspace_files(), before);
    assert!(decisions(&case.journal).expect("decisions").is_empty());
}

#[test]
fn what_the_last_snapshot_left_out_is_never_overwritten_by_a_restore() {
    let now = files(&[("a", "a\n"), ("grown", "small\n"), ("gone", "g\n"), ("run", "r\n")]);
    let case = Case::new(&now);
    case.fill_workspace(&now);
    case.write_in_workspace("grown", "larger than a snapshot takes\n");
    case.write_in_workspace("gone", "this too\n");
    case.write_in_workspace(".env", "ignored by now\n");
    std::os::unix::fs::symlink("a", case.workspace().join("link")).expect("a link");
    let before = case.workspace_files();
    let wanted = [("a", "A\n"), ("grown", "old\n"), (".env", "old\n"), ("link", "l\n")];
    let failure = case.restore(1, &now, &files(&wanted)).expect_err("in the way");
    assert_eq!(failure.kind, FailureKind::WouldOverwrite);
    assert_eq!(paths(&failure), [".env", "gone", "grown", "link"]);
    assert_eq!(case.workspace_files(), before);
    assert!(decisions(&case.journal).expect("decisions").is_empty());

    // Nothing is lost where the snapshot has the same.
    let wanted =
        [("a", "A\n"), ("grown", "small\n"), ("gone", "g\n"), (".env", "ignored by now\n")];
    case.restore(2, &now, &files(&wanted)).expect("restored");
    assert_eq!(std::fs::read(case.workspace().join("a")).expect("read"), b"A\n");
    case.undo().expect("undone");
    assert_eq!(case.workspace_files(), before);
}

#[test]
fn a_restore_gives_bytes_back_whatever_attributes_say_of_them() {
    let rules = "* text=auto eol=crlf\n*.id ident\n";
    let with =
        |ends: &str, id: &str| files(&[(".gitattributes", rules), ("ends", ends), ("x.id", id)]);
    let (now, wanted) =
        (with("one\r\ntwo\n", "$Id: 0123 $ now\n"), with("one\ntwo\r\n", "$Id$ was\r\n"));
    let case = Case::new(&files(&[("a", "a\n")]));
    case.fill_workspace(&now);
    case.restore(1, &now, &wanted).expect("restored");
    assert_eq!(case.workspace_files(), wanted);
    case.undo().expect("undone");
    assert_eq!(case.workspace_files(), now);
    // To a snapshot, a file in another form is another file, which it would lose.
    case.write_in_workspace("ends", "one\r\ntwo\r\n");
    let failure = case.restore(2, &now, &wanted).expect_err("in the way");
    assert_eq!(paths(&failure), ["ends"]);
}

#[test]
fn a_file_larger_than_any_memory_ends_no_restore_nor_undo() {
    let (now, wanted) = (files(&[("a", "new\n"), ("b", "b\n")]), files(&[("a", "old\n")]));
    let case = Case::new(&now);
    case.fill_workspace(&now);
    let swell = |path: &str| {
        let file = std::fs::File::options().write(true).open(case.workspace().join(path));
        file.expect("opened").set_len(1 << 42).expect("a sparse file");
    };
    swell("b");
    let failure = case.restore(1, &now, &wanted).expect_err("in the way");
    assert_eq!(paths(&failure), ["b"]);
    std::fs::write(case.workspace().join("b"), "b\n").expect("as it was");
    case.restore(2, &now, &wanted).expect("restored");
    swell("a");
    let failure = case.undo().expect_err("changed since");
    assert_eq!(paths(&failure), ["a"]);
    // A server that was killed in the middle looks at the same file.
    case.journal.begin(journal::Pending::Undoing(DecisionId(2))).expect("begun");
    let failure = case.recover().expect_err("it cannot be put back");
    assert_eq!(paths(&failure), ["a"]);
}

#[test]
fn a_restore_follows_no_link_that_came_into_its_place() {
    let (now, wanted) = (files(&[("dir/x", "new\n")]), files(&[("dir/x", "old\n")]));
    let case = Case::new(&now);
    case.fill_workspace(&now);
    let outside = case.oracle.outside().join("victim");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("x"), "new\n").expect("a file");
    std::fs::remove_dir_all(case.workspace().join("dir")).expect("removed");
    std::os::unix::fs::symlink(&outside, case.workspace().join("dir")).expect("a link");
    // The same path, followed, leads to the victim.
    assert_eq!(std::fs::read(case.workspace().join("dir/x")).expect("read"), b"new\n");
    case.restore(1, &now, &wanted).expect_err("a link is in the way");
    assert_eq!(std::fs::read(outside.join("x")).expect("read"), b"new\n");
}

#[test]
fn an_undo_of_a_restore_refuses_where_the_agent_has_worked_since() {
    let (now, wanted) = (files(&[("a", "new\n"), ("b", "b\n")]), files(&[("a", "old\n")]));
    let case = Case::new(&now);
    case.fill_workspace(&now);
    case.restore(1, &now, &wanted).expect("restored");
    case.write_in_workspace("a", "newer\n");
    let failure = case.undo().expect_err("changed since");
    assert_eq!(failure.paths, [RepoPath::new(*b"a")]);
    assert!(failure.message.contains("restore"), "{failure}");
    assert_eq!(case.workspace_files(), files(&[("a", "newer\n")]));
}

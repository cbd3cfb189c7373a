//! Permissions: what of them git heeds, and what new files get.

use super::*;

fn base() -> Files {
    files(&[("a", "1\n"), ("b", "b\n"), ("gone", "g\n")])
}

fn head() -> Files {
    let mut head = files(&[("a", "2\n"), ("b", "b\n"), ("new/x", "x\n")]);
    head.insert(b"run".to_vec(), (EntryKind::BlobExecutable, b"#!/bin/sh\n".to_vec()));
    head
}

fn set_all(case: &Case, mode: u32) {
    for name in ["a", "b", "gone"] {
        let path = case.oracle.root().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }
}

#[test]
fn where_git_does_not_heed_the_executable_bit_neither_do_we() {
    for merges in [true, false] {
        let mut case = Case::new(&base());
        set_all(&case, 0o755);
        let head = case.snapshot(&head());
        let failure = case.apply(1, &head).expect_err("where git heeds it, it is the user's work");
        assert_eq!(failure.kind, FailureKind::WouldOverwrite);
        case.oracle.git(["config", "core.fileMode", "false"]);
        case.user = UserRepository::discover(&case.oracle.root()).expect("a repository");
        assert_eq!(case.status(), "");
        let before = case.picture();
        let take = |id| if merges { case.merge(id, &head) } else { case.apply(id, &head) };
        take(1).expect("taken");
        assert_eq!(case.read("a"), "2\n");
        if merges {
            assert_eq!(case.status(), "");
            assert_eq!(
                case.oracle.git(["rev-parse", "main^{tree}"]),
                case.oracle.tree(&self::head()).as_str()
            );
        }
        case.undo().expect("undone");
        assert_eq!(case.picture().files, before.files);
        // A file system may keep none of the bits that a file was given.
        take(2).expect("taken");
        set_all_there(&case, 0o777);
        // What was taken stands there still.
        let mut more = self::head();
        more.insert(b"a".to_vec(), (EntryKind::Blob, b"3\n".to_vec()));
        let more = case.snapshot(&more);
        if merges { case.merge(3, &more) } else { case.apply(3, &more) }.expect("what is new");
        assert_eq!(case.read("a"), "3\n");
        set_all_there(&case, 0o777);
        case.undo().expect("undone");
        case.undo().expect("undone");
        assert_eq!(case.status(), "");
        assert_eq!(case.oracle.git(["rev-parse", "main"]), case.base.as_str());
    }
}

/// Every file of the working tree.
fn set_all_there(case: &Case, mode: u32) {
    for (name, (there, _)) in case.picture().files {
        if there & 0o170_000 == 0o100_000 {
            let path = case.oracle.root().join(name);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        }
    }
}

#[test]
fn files_get_the_permissions_that_git_would_give_them() {
    for (mask, plain, executable) in
        [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755), (0o002, 0o664, 0o775)]
    {
        let work = move || {
            // SAFETY: only this thread stops sharing its umask and directory with others.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }
                .expect("unshared");
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let case = Case::new(&base());
            let mode = |name: &str| {
                let path = case.oracle.root().join(name);
                std::fs::metadata(path).expect("there").mode() & 0o777
            };
            assert_eq!(mode("a"), plain, "git's own");
            let before = case.picture();
            case.merge(1, &case.snapshot(&head())).expect("a merge");
            assert_eq!([mode("a"), mode("new/x"), mode("run")], [plain, plain, executable]);
            assert_eq!(mode("new"), executable);
            case.undo().expect("undone");
            assert_eq!(case.picture(), before);
        };
        std::thread::spawn(work).join().expect("it holds");
    }
}

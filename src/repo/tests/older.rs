//! What is known of bases as they are checked out, where it was lost, or an earlier version kept none.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::model::snapshot::ChangeCount;
use crate::repo::diff::Counts;
use crate::repo::message::Message;
use crate::repo::oracle::{Files, files, write_tree};
use crate::repo::taking::{self, Journal};
use crate::repo::{divergence, history, object, refs};

fn converted() -> Fixture {
    Fixture::new(|root| {
        write(root, ".gitattributes", b"* text=auto eol=crlf\n");
        write(root, "a.txt", b"one\ntwo\n");
        write(root, "deep/same.txt", b"same\n");
    })
}

/// What a store has of the start of the machine before this one; an earlier version wrote no more.
const OLDER: &str = "of an earlier start";

impl Fixture {
    fn boot(&self) -> PathBuf {
        self.oracle.outside().join("store/boot")
    }

    /// Has the first snapshot be the base as git stores it, as an earlier version took it.
    fn make_older(&self) {
        fs::write(self.boot(), OLDER).expect("written");
        let repository = self.store.reader();
        let base = object::id(&self.base);
        let tree = object::tree_of(&repository, &self.base).expect("a tree");
        let message = Message {
            cause: SnapshotCause::Base,
            at: Timestamp(1_700_000_000_000),
            change: ChangeCount::default(),
            skipped: Vec::new(),
            number: 1,
            by: None,
            output: None,
        };
        let first = Some(object::id(&self.first.id));
        let (store, environment) = (&self.store, &self.environment);
        snapshot::commit(store, &repository, environment, tree, Some(base), first, &message)
            .expect("committed");
    }

    /// A snapshot of files as git stores them, as an earlier version took it.
    fn older_snapshot(&self, files: &Files) -> CommitId {
        let repository = self.store.reader();
        let tree = write_tree(&repository, files);
        let message = Message {
            cause: SnapshotCause::Change,
            at: Timestamp(1_700_000_000_500),
            change: ChangeCount::default(),
            skipped: Vec::new(),
            number: 2,
            by: None,
            output: None,
        };
        let (store, environment) = (&self.store, &self.environment);
        let head = Some(object::id(&history::head(store, environment).expect("a snapshot")));
        let id = snapshot::commit(store, &repository, environment, tree, head, head, &message);
        object::name(id.expect("committed"))
    }

    fn origin_file(&self) -> PathBuf {
        let name = refs::origin(&self.environment);
        self.store.git_dir().join(name.as_bstr().to_string())
    }

    fn since_base(&self, store: &Store) -> ChangeCount {
        let (environment, base) = (&self.environment, &self.base);
        let counted = divergence::since(store, environment, base, &Counts::default());
        counted.expect("a count")
    }

    fn reopened(&self) -> Store {
        let directory = self.oracle.outside().join("store");
        Store::open_with(&directory, Some(&self.user), Arc::default()).expect("a store")
    }

    fn everything(&self, store: &Store) -> Option<Snapshot> {
        let occasion = Occasion::new(SnapshotCause::Change, Timestamp(1_700_000_002_000));
        let everything = &Touched::Everything;
        snapshot::take(store, &self.environment, &self.workspace(), everything, &occasion)
            .expect("taken")
    }
}

#[test]
fn a_store_of_an_earlier_version_goes_on_and_shows_only_what_was_changed() {
    // Nothing beside the base was known; or a look that found it was cut short just then.
    for cut_short in [false, true] {
        let fixture = converted();
        if !cut_short {
            fs::remove_file(fixture.origin_file()).expect("removed");
        }
        fixture.make_older();
        // What it knew of files was by what git stores of them.
        let environment = &fixture.environment;
        let known = fixture.oracle.outside().join("store/stat").join(environment.as_str());
        fs::copy(fixture.git_directory().join("index"), known).expect("copied");
        write(&fixture.workspace(), "a.txt", b"one\r\nTWO\r\n");

        let store = fixture.reopened();
        let taken = fixture.everything(&store).expect("bytes, from now on");
        assert_eq!(taken.tree.as_str(), fixture.exact_tree_by_git(), "{cut_short}");
        assert_eq!(fixture.since_base(&store), ChangeCount { files: 1, added: 1, removed: 1 });
        assert_eq!(fixture.stored(&taken.id), fixture.tree_by_git());
        assert_eq!(history::read(&store, environment).expect("a history").len(), 2);
        assert_eq!(fixture.everything(&store), None);
    }
}

#[test]
fn a_snapshot_of_an_earlier_version_is_taken_and_gone_back_to_as_the_files_that_it_was() {
    const RULES: &str = "*.one text eol=crlf working-tree-encoding=ISO-8859-1\n\
                         *.two text working-tree-encoding=UTF-16LE\n";
    let fixture = Fixture::new(|root| {
        write(root, ".gitattributes", RULES.as_bytes());
        write(root, "a.one", b"gr\xfcn\r\n");
        write(root, "a.two", b"o\0n\0e\0\n\0");
    });
    fs::remove_file(fixture.origin_file()).expect("removed");
    fixture.make_older();
    let stored =
        files(&[(".gitattributes", RULES), ("a.one", "h\u{fc}bsch\n"), ("a.two", "two\n")]);
    let older = fixture.older_snapshot(&stored);
    let expected = [("a.one", &b"h\xfcbsch\r\n"[..]), ("a.two", b"t\0w\0o\0\n\0")];
    let check = |root: &Path| {
        for (name, bytes) in expected {
            assert_eq!(fs::read(root.join(name)).expect("a file"), bytes, "{name} in {root:?}");
        }
    };
    let store = fixture.reopened();
    let newer = fixture.everything(&store).expect("bytes, from now on").id;
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");

    super::taken::merge(&fixture, &journal, &older).expect("merged");
    let tree = fixture.oracle.git(["rev-parse", "HEAD^{tree}"]);
    assert_eq!(tree, fixture.oracle.tree(&stored).as_str());
    check(&fixture.oracle.root());
    assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "");

    let mut back = super::taken::request(&fixture, 2, &older);
    back.base = newer;
    taking::restore(&fixture.user, &store, &journal, &back, &fixture.workspace())
        .expect("restored");
    check(&fixture.workspace());

    let (fork, other) = (fixture.oracle.outside().join("fork"), EnvironmentId::from_random([9; 8]));
    let (user, source) = (&fixture.user, &fixture.environment);
    workspaces::fork_history(user, &store, source, &other, &older).expect("forked");
    workspaces::check_out(&store, &other, &older, &fork, &mut |_, _| {}).expect("made");
    check(&fork);
    workspaces::unpin(user, &store, &other).expect("unpinned");
}

#[test]
fn what_an_earlier_version_knew_of_files_is_not_believed_where_no_file_of_the_base_is_converted() {
    let fixture = Fixture::new(|root| write(root, ".gitattributes", b"* text=auto\n"));
    assert!(!fixture.origin_file().exists(), "it is the base itself");
    // Of a file as it is now, what git would store was taken.
    write(&fixture.workspace(), "new.txt", b"one\ntwo\n");
    fixture.take(&Touched::Everything).expect("a change");
    write(&fixture.workspace(), "new.txt", b"one\r\ntwo\r\n");
    let as_git_stores_it = fixture.store.write_blob(b"one\ntwo\n").expect("stored");
    fixture.remember("new.txt", as_git_stores_it);
    fs::write(fixture.boot(), OLDER).expect("written");

    let store = fixture.reopened();
    let taken = fixture.everything(&store).expect("its bytes");
    assert_eq!(taken.tree.as_str(), fixture.exact_tree_by_git());
    assert_eq!(fixture.stored(&taken.id), fixture.tree_by_git());
    assert_eq!(fixture.everything(&store), None);
}

#[test]
fn what_a_power_cut_tore_of_a_base_as_it_was_checked_out_is_found_anew() {
    let fixture = converted();
    write(&fixture.workspace(), "a.txt", b"one\r\nTWO\r\n");
    fixture.take(&Touched::Everything).expect("a change");
    let expected = ChangeCount { files: 1, added: 1, removed: 1 };
    assert_eq!(fixture.since_base(&fixture.store), expected);
    let origin = history::origin(&fixture.store, &fixture.environment).expect("an origin");
    assert_ne!(origin, fixture.base);
    let object = fixture.store.loose().object_path(&object::id(&origin));
    let torn: [&dyn Fn(); 2] = [&|| fs::write(&object, "").expect("torn"), &|| {
        fs::write(fixture.origin_file(), "").expect("torn");
    }];
    for tear in torn {
        fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .expect("set");
        tear();
        fs::write(fixture.boot(), format!("exact {OLDER}")).expect("written");
        let store = fixture.reopened();
        assert_eq!(history::origin(&store, &fixture.environment), Ok(origin.clone()));
        assert_eq!(fixture.since_base(&store), expected);
        assert_eq!(fixture.everything(&store), None);
    }
}

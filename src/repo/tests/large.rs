//! Large files where an environment's base, its work and the branch that takes it say different
//! things of which files are large, beside a filter that does what git-lfs does.

use std::process::Command;

use gix::objs::tree::EntryKind;

use super::taken::request;
use super::*;
use crate::model::decision::{Decision, MergeStyle};
use crate::model::failure::{Failure, FailureKind};
use crate::repo::forms;
use crate::repo::oracle::Files;
use crate::repo::taking::{self, Journal, Merging};

/// `clean STORAGE` makes pointers and keeps content, `smudge STORAGE` the reverse.
const FILTER: &str = r#"
text=$(mktemp) && trap 'rm -f "$text"' EXIT && cat >"$text"
if head -c 24 "$text" | grep -q '^version https://git-lfs'; then
    name=$(sed -n 's/^oid sha256://p' "$text")
    kept=$2/objects/$(echo "$name" | cut -c1-2)/$(echo "$name" | cut -c3-4)/$name
    if [ "$1" = smudge ] && [ -f "$kept" ]; then cat "$kept"; else cat "$text"; fi
elif [ "$1" = smudge ] || ! [ -s "$text" ]; then
    cat "$text"
else
    name=$(sha256sum <"$text" | cut -d' ' -f1)
    kept=$2/objects/$(echo "$name" | cut -c1-2)/$(echo "$name" | cut -c3-4)
    mkdir -p "$kept" && cp "$text" "$kept/$name"
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\n' "$name"
    printf 'size %s\n' "$(wc -c <"$text" | tr -d ' ')"
fi
"#;

/// What the box is asked for; see `deck::merging`.
const PRINT: &str = "git rev-list --objects --no-object-names --topo-order --reverse \"$1..HEAD\" \
                     | git cat-file --batch";

const FIRST: &[u8] = b"the first content\n";
const SECOND: &[u8] = b"a second content, by the agent\n";
const THIRD: &[u8] = b"and a third\n";
const NEW: &[u8] = b"what was not there before\n";

/// Whether attributes give `*.big` to git-lfs, and whether it is installed.
#[derive(Clone, Copy, Debug)]
struct Said {
    installed: bool,
    base: bool,
    branch: bool,
    work: bool,
}

impl Said {
    fn all() -> impl Iterator<Item = Self> {
        (0..16_u8).map(|bits| Self {
            installed: bits & 8 != 0,
            base: bits & 4 != 0,
            branch: bits & 2 != 0,
            work: bits & 1 != 0,
        })
    }

    /// As attributes merge.
    fn afterwards(self) -> bool {
        if self.branch == self.base { self.work } else { self.branch }
    }

    /// Whether a pointer stands for a file. A git without git-lfs would not make one; the base says
    /// that others are to get one all the same.
    fn pointed(self) -> bool {
        self.afterwards() && (self.installed || self.base)
    }
}

fn attributes(large: bool) -> &'static [u8] {
    if large { b"*.c text\n*.big filter=lfs -text\n" } else { b"*.c text\n" }
}

/// A user's repository with the filter, an environment of its base, and the branch gone on.
fn made(said: Said) -> (Fixture, Journal) {
    let oracle = Oracle::new();
    let (root, script) = (oracle.root(), oracle.outside().join("filter"));
    std::fs::write(&script, FILTER).expect("a script");
    for verb in ["clean", "smudge"].into_iter().filter(|_| said.installed) {
        let command = format!("sh '{}' {verb} '{}'", script.display(), storage(&root).display());
        oracle.git(["config", &format!("filter.lfs.{verb}"), &command]);
    }
    write(&root, ".gitattributes", attributes(said.base));
    write(&root, "old.big", FIRST);
    write(&root, "code.c", b"code\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    let fixture = Fixture::over(oracle);
    if said.branch != said.base {
        write(&root, ".gitattributes", attributes(said.branch));
        fixture.oracle.git(["commit", "-q", "-m", "the user's", "--", ".gitattributes"]);
        check_out_again(&fixture, &["old.big"]);
    }
    if said.work != said.base {
        write(&fixture.workspace(), ".gitattributes", attributes(said.work));
    }
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    (fixture, journal)
}

fn storage(root: &Path) -> PathBuf {
    root.join(".git/lfs")
}

fn check_out_again(fixture: &Fixture, names: &[&str]) {
    for name in names {
        std::fs::remove_file(fixture.oracle.root().join(name)).expect("removed");
        fixture.oracle.git(["checkout", "--", name]);
    }
}

fn works(fixture: &Fixture, content: &[u8]) -> CommitId {
    write(&fixture.workspace(), "old.big", content);
    write(&fixture.workspace(), "new.big", NEW);
    fixture.take(&Touched::Everything).expect("a change").id
}

fn read(fixture: &Fixture, name: &str) -> Vec<u8> {
    std::fs::read(fixture.oracle.root().join(name)).expect("a file")
}

fn committed(fixture: &Fixture, name: &str) -> Vec<u8> {
    let object = format!("HEAD:{name}");
    let output = fixture.oracle.command(["cat-file", "blob", &object]).output();
    output.expect("git runs").stdout
}

impl Fixture {
    fn merge(
        &self,
        journal: &Journal,
        (id, style): (u64, MergeStyle),
        head: &CommitId,
    ) -> Result<Decision, Failure> {
        let commits = if style == MergeStyle::Rebase { self.commits() } else { Vec::new() };
        let (message, identity) = ("work".to_owned(), self.user.identity());
        let merging = Merging { style, message, identity, commits };
        taking::merge(&self.user, &self.store, journal, &request(self, id, head), &merging)
    }

    /// The agent's own commits; its git has no filter.
    fn commits(&self) -> Vec<u8> {
        let mut command = Command::new("sh");
        command.args(["-c", PRINT, "sh", self.base.as_str()]);
        command.env("GIT_DIR", self.git_directory());
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn commit_inside(&self) {
        self.git_inside(&["add", "-A"]);
        self.git_inside(&["commit", "-q", "-m", "the agent's"]);
    }
}

/// A file of the working tree and of the commit, as git would have both.
fn check(fixture: &Fixture, said: Said, name: &str, content: &[u8]) {
    assert_eq!(read(fixture, name), content, "{name} in the tree: {said:?}");
    let stored = if said.pointed() { forms::pointer(content) } else { content.to_vec() };
    assert_eq!(committed(fixture, name), stored, "{name} committed: {said:?}");
    if said.installed || !said.pointed() {
        check_out_again(fixture, &[name]);
        assert_eq!(read(fixture, name), content, "{name} as git checks it out: {said:?}");
    }
}

#[test]
fn what_a_merge_commits_is_what_git_adds_and_checks_out_whoever_says_which_files_are_large() {
    for said in Said::all() {
        let installed = [MergeStyle::Commit, MergeStyle::Rebase];
        let styles = if said.installed { &installed[..] } else { &[MergeStyle::Squash] };
        for style in styles.iter().copied() {
            let (fixture, journal) = made(said);
            for (id, content) in [(1, SECOND), (2, THIRD)] {
                let head = works(&fixture, content);
                fixture.commit_inside();
                let merged = fixture.merge(&journal, (id, style), &head);
                merged.unwrap_or_else(|failure| panic!("{style:?} {said:?}: {failure:?}"));
                check(&fixture, said, "old.big", content);
                check(&fixture, said, "new.big", NEW);
                if said.installed || !said.pointed() {
                    fixture.oracle.git(["add", "--renormalize", "."]);
                    assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "", "{said:?}");
                }
            }
        }
    }
}

#[test]
fn what_an_apply_writes_is_the_content_whoever_says_which_files_are_large() {
    for said in Said::all() {
        let (fixture, journal) = made(said);
        for (id, content) in [(1, SECOND), (2, THIRD)] {
            let head = works(&fixture, content);
            let request = request(&fixture, id, &head);
            let applied = taking::apply(&fixture.user, &fixture.store, &journal, &request);
            applied.unwrap_or_else(|failure| panic!("{said:?}: {failure:?}"));
            assert_eq!(read(&fixture, "old.big"), content, "{said:?}");
            assert_eq!(read(&fixture, "new.big"), NEW, "{said:?}");
        }
        if said.pointed() && !said.installed {
            continue;
        }
        // Once the user commits it, what is new comes onto that.
        fixture.oracle.git(["add", "-A"]);
        fixture.oracle.git(["commit", "-q", "-m", "applied"]);
        let head = works(&fixture, SECOND);
        let merged = fixture.merge(&journal, (3, MergeStyle::Commit), &head);
        merged.unwrap_or_else(|failure| panic!("{said:?}: {failure:?}"));
        assert_eq!(read(&fixture, "old.big"), SECOND, "{said:?}");
    }
}

#[test]
fn a_large_file_that_the_branch_stores_in_another_form_conflicts_as_it_does_to_git() {
    for base in [false, true] {
        let said = Said { installed: true, base, branch: !base, work: base };
        let (fixture, journal) = made(said);
        write(&fixture.oracle.root(), "old.big", FIRST);
        fixture.oracle.git(["add", "--renormalize", "."]);
        fixture.oracle.git(["commit", "-q", "-m", "in another form"]);
        let before = committed(&fixture, "old.big");
        assert_eq!(before == FIRST, base);
        let head = works(&fixture, SECOND);
        let theirs = if base { forms::pointer(SECOND) } else { SECOND.to_vec() };
        let theirs =
            [(".gitattributes", attributes(base)), ("code.c", b"code\n"), ("old.big", &theirs)]
                .map(|(name, content)| (name.into(), (EntryKind::Blob, content.to_vec())));
        let theirs = fixture.oracle.commit(&Files::from(theirs), &[&fixture.base]);
        let by_git =
            fixture.oracle.command(["merge-tree", "--write-tree", "HEAD", theirs.as_str()]);
        assert_eq!({ by_git }.output().expect("git runs").status.code(), Some(1), "the control");
        let failure = fixture.merge(&journal, (1, MergeStyle::Commit), &head);
        assert_eq!(failure.expect_err("a conflict").kind, FailureKind::Conflict);
        assert_eq!(read(&fixture, "old.big"), FIRST);
        assert_eq!(fixture.oracle.git(["status", "--porcelain"]), "");
    }
}

#[test]
fn a_large_file_that_the_branch_moved_is_in_the_form_of_its_new_place() {
    for (from, to) in [("old.big", "moved.dat"), ("old.dat", "moved.big")] {
        let oracle = Oracle::new();
        let pointer = forms::pointer(FIRST);
        write(&oracle.root(), ".gitattributes", attributes(true));
        write(&oracle.root(), from, &pointer);
        oracle.git(["add", "-A"]);
        oracle.git(["commit", "-q", "-m", "base"]);
        let fixture = Fixture::over(oracle);
        fixture.oracle.git(["mv", from, to]);
        fixture.oracle.git(["commit", "-q", "-m", "moved"]);
        write(&fixture.workspace(), from, SECOND);
        let head = fixture.take(&Touched::Everything).expect("a change").id;
        let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
        fixture.merge(&journal, (1, MergeStyle::Commit), &head).expect("merged");
        assert_eq!(read(&fixture, to), SECOND, "{to}");
        let pointed = to == "moved.big";
        let stored = if pointed { forms::pointer(SECOND) } else { SECOND.to_vec() };
        assert_eq!(committed(&fixture, to), stored, "{to}");
        assert_eq!(fixture.oracle.git(["diff-index", "--cached", "HEAD"]), "");
    }
}

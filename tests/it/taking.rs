//! Taking through the binary: files, styles of a merge, and a branch for others to look at.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::home::{TestHome, make};
use crate::common::pty::Pty;

/// An agent that waits for ever.
const WAIT: &str = "exec sleep 1000000";

/// Two commits and something that is not committed.
const COMMITS: &str = "echo four >>price; git commit -qam 'add four'; \
                       mkdir a; echo new >a/new; git add a; git commit -qm 'add new'; \
                       echo '# rest' >>till/open";

fn worked(script: &str) -> TestHome {
    let test = TestHome::new();
    make(&test, "one", &[], WAIT);
    test.script("one", script);
    test
}

/// A program in a directory of its own, to be found before others.
fn program(test: &TestHome, name: &str, script: &str) -> PathBuf {
    let directory = test.path().join("programs");
    std::fs::create_dir_all(&directory).expect("made");
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    directory
}

#[test]
fn files_are_taken_by_their_paths_from_where_the_user_stands() {
    let test = worked(COMMITS);
    let till = test.repository.join("till");
    let taken = test.agentdeck_in(&till, &["apply", "one", "open", "../a", "--json"]).json();
    assert_eq!(taken["paths"], serde_json::json!(["a/new", "till/open"]));
    assert_eq!(test.git(&["status", "--porcelain", "-uall"]), " M till/open\n?? a/new\n");
    let rest = test.agentdeck(&["diff", "one", "--from", "taken", "--stat"]).ok();
    assert!(rest.contains("price") && !rest.contains("open"), "{rest}");
    test.agentdeck(&["apply", "one", "till"]).fails(1, &["nothing new at till"]);
    test.agentdeck(&["apply", "one", "../outside"]).fails(1, &["outside the repository"]);
    test.agentdeck(&["apply", "one", "price", "--hunk", "1,4"]).fails(2, &["--snapshot"]);
    let seen = test.agentdeck(&["diff", "one", "--json"]).json();
    let seen = seen["to"].as_str().expect("an id");
    test.script("one", "sed -i 's/one/ONE/' price");
    test.agentdeck(&["apply", "one", "price", "--hunk", "1,4", "--snapshot", seen]).ok();
    assert_eq!(test.git(&["diff", "--numstat", "price"]), "1\t0\tprice\n", "what was seen");
    test.script("one", "sed -i 's/ONE/one/' price");
    assert_eq!(test.agentdeck(&["diff", "one", "--from", "taken"]).ok(), "");
    for _ in 0..2 {
        test.agentdeck(&["undo"]).ok();
    }
    assert_eq!(test.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_squash_has_the_message_that_the_user_edited_and_an_emptied_one_cancels() {
    let test = worked(COMMITS);
    let draft = test.path().join("draft");
    let keeping =
        format!("cp \"$1\" {}; printf 'edited\\n\\nbody\\n# no\\n' >\"$1\"", draft.display());
    let editor = program(&test, "editor", &keeping).join("editor");
    let emptying = program(&test, "emptying", ": >\"$1\"").join("emptying");
    let merge = |editor: &Path| {
        let mut command = test.command(&["merge", "one", "--squash", "--edit"]);
        command.env("EDITOR", editor).output().expect("it runs")
    };
    let before = test.git(&["rev-parse", "main"]);
    let cancelled = merge(&emptying);
    assert!(!cancelled.status.success());
    assert!(String::from_utf8_lossy(&cancelled.stderr).contains("the message is empty"));
    assert_eq!(test.git(&["rev-parse", "main"]), before);
    assert!(merge(&editor).status.success());
    let draft = std::fs::read_to_string(draft).expect("a draft");
    assert!(draft.starts_with("add four\n\n- add four\n- add new\n"), "{draft}");
    assert_eq!(
        test.git(&["log", "-1", "--format=%B|%P"]).trim(),
        format!("edited\n\nbody\n|{}", before.trim())
    );
    assert_eq!(test.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_rebase_keeps_the_commits_that_the_agent_made_in_its_box() {
    let test = worked(COMMITS);
    std::fs::write(test.repository.join("mine"), "mine\n").expect("written");
    test.git(&["add", "mine"]);
    test.git(&["commit", "-qm", "mine"]);
    let hooks = test.repository.join(".git/hooks");
    std::fs::create_dir_all(&hooks).expect("made");
    std::fs::write(hooks.join("commit-msg"), "#!/bin/sh\nexit 1\n").expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(hooks.join("commit-msg"), mode).expect("set");
    let rebased = test.agentdeck(&["merge", "one", "--rebase", "-m", "the rest", "--json"]).json();
    assert_eq!(rebased["hooks"][0]["path"], ".git/hooks/commit-msg");
    let log = test.git(&["log", "--reverse", "--format=%s"]);
    assert_eq!(log, "a shop\nmine\nadd four\nadd new\nthe rest\n");
    assert_eq!(test.git(&["status", "--porcelain"]), "");
    test.agentdeck(&["undo"]).ok();
    assert_eq!(test.git(&["log", "-1", "--format=%s"]), "mine\n");
}

#[test]
fn a_branch_is_pushed_without_hooks_and_a_pull_request_is_opened() {
    let test = worked(COMMITS);
    let remote = test.path().join("remote.git");
    test.git(&["init", "-q", "--bare", remote.to_str().expect("text")]);
    test.git(&["remote", "add", "origin", remote.to_str().expect("text")]);
    test.git(&["push", "-q", "origin", "main"]);
    let ran = test.path().join("hook-ran");
    let hook = test.repository.join(".git/hooks/pre-push");
    std::fs::create_dir_all(hook.parent().expect("a parent")).expect("made");
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).expect("written");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("set");
    // The control: a push of the user's own runs it.
    test.git(&["push", "-q", "origin", "main:control"]);
    assert!(ran.exists());
    std::fs::remove_file(&ran).expect("removed");

    let told = test.path().join("told");
    let script = format!("printf '%s\\n' \"$@\" >{}; echo https://forge/1", told.display());
    let programs = program(&test, "gh", &script);
    let before = test.picture();
    let pr = |arguments: &[&str]| {
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{path}", programs.display());
        test.command(&[&["pr", "one"], arguments].concat())
            .env("PATH", path)
            .output()
            .expect("runs")
    };
    let opened = pr(&["-m", "About it\n\nAt length."]);
    let words = String::from_utf8_lossy(&opened.stderr).into_owned();
    assert!(opened.status.success(), "{words}");
    assert_eq!(opened.stdout, b"https://forge/1\n");
    assert!(words.contains("1 hook did not run: pre-push"), "{words}");
    assert!(!ran.exists());
    let told = std::fs::read_to_string(told).expect("gh was asked");
    assert_eq!(
        told,
        "pr\ncreate\n--head=agentdeck/one\n--title=About it\n--body=At length.\n--base=main\n"
    );
    let log = test.git_in(&remote, &["log", "--reverse", "--format=%s|%an", "agentdeck/one"]);
    assert_eq!(log, "a shop|Ada\nadd four|Ada\nadd new|Ada\nAbout it|Ada\n");
    assert_eq!(test.git_in(&remote, &["show", "agentdeck/one:a/new"]), "new\n");
    // No branch of the user's points to it, and no file changed.
    let own = |mut picture: std::collections::BTreeMap<String, Vec<u8>>| {
        picture.remove("refs");
        picture
    };
    TestHome::assert_same(&own(before), &own(test.picture()));
    let branches = test.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]);
    assert_eq!(branches, "refs/heads/main\n");

    // Nothing is new: the branch and its request are named, whatever git would say of a push.
    program(&test, "gh", "[ \"$2\" = list ] && echo '[{\"url\":\"https://forge/1\"}]'");
    let again = pr(&[]);
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && words.contains("nothing of one is new"), "{words}");
    assert!(words.contains("origin has it as agentdeck/one"), "{words}");
    assert_eq!(again.stdout, b"https://forge/1\n");
    let told: serde_json::Value =
        serde_json::from_slice(&pr(&["--json"]).stdout).expect("told as JSON");
    assert_eq!((&told["new"], &told["request"]), (&false.into(), &"https://forge/1".into()));
    let head = test.git_in(&remote, &["rev-parse", "agentdeck/one"]);
    assert_eq!(told["commit"], head.trim());

    let refused = pr(&["--squash"]);
    assert!(!refused.status.success(), "another history is not overwritten");
    let squashed = pr(&["--squash", "--branch", "alone", "--push-only", "--json"]);
    assert!(squashed.status.success(), "{}", String::from_utf8_lossy(&squashed.stderr));
    let count = test.git_in(&remote, &["rev-list", "--count", "main..alone"]);
    assert_eq!(count, "1\n");
}

/// Both sides changed one line of `price`; the user changed `till/open` too.
fn conflicting() -> TestHome {
    let test = worked("printf 'agent\\ntwo\\nthree\\n' >price; echo new >new");
    std::fs::write(test.repository.join("price"), "user\ntwo\nthree\n").expect("written");
    std::fs::write(test.repository.join("till/open"), "#!/bin/sh\necho mine\n").expect("written");
    test.git(&["commit", "-qam", "the user's"]);
    test.agentdeck(&["merge", "one"]).fails(1, &["price", "agentdeck resolve one"]);
    test
}

#[test]
fn a_conflict_is_resolved_in_the_box_and_taken_then() {
    let test = conflicting();
    let before = test.picture_without_pins();
    let resolution = test.agentdeck(&["resolve", "one", "--json"]).json();
    assert_eq!(resolution["conflicts"], serde_json::json!(["price"]));
    TestHome::assert_same(&before, &test.picture_without_pins());
    // As git leaves a merge to a developer.
    let marked = test.script("one", "cat price");
    assert!(marked.starts_with("<<<<<<< HEAD\nagent\n=======\nuser\n>>>>>>> "), "{marked}");
    assert_eq!(test.script("one", "git status --porcelain | grep ^UU"), "UU price\n");
    assert_eq!(test.script("one", "git ls-files -u | wc -l").trim(), "3");
    test.agentdeck(&["merge", "one"]).fails(1, &["not committed yet"]);
    test.agentdeck(&["resolve", "one"]).fails(1, &["a merge is under way there"]);
    let log = test.agentdeck(&["log", "one", "--json"]).json();
    let known = |it: &serde_json::Value| it["id"] == resolution["snapshot"];
    assert!(log.as_array().expect("a list").iter().any(known), "{log:#}");
    test.script("one", "printf 'both\\ntwo\\nthree\\n' >price; git commit -qam resolved");
    let merged = test.agentdeck(&["merge", "one", "--squash", "--json"]).json();
    assert_eq!(merged["paths"], serde_json::json!(["new", "price"]));
    assert_eq!(test.git(&["show", "main:price"]), "both\ntwo\nthree\n");
    assert_eq!(test.git(&["show", "main:till/open"]), "#!/bin/sh\necho mine\n");
    assert_eq!(test.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_merge_in_the_box_that_was_taken_back_never_takes_the_users_work_back() {
    let test = conflicting();
    let snapshot = test.agentdeck(&["resolve", "one", "--json"]).json()["snapshot"].clone();
    test.script("one", "git merge --abort");
    test.agentdeck(&["merge", "one"]).fails(1, &["price", "agentdeck resolve one"]);
    // Resolved, but then the files are as before, while the box's git still has the merge.
    test.agentdeck(&["resolve", "one", "--no-shell"]).ok();
    test.script("one", "printf 'both\\ntwo\\nthree\\n' >price; git commit -qam resolved");
    test.agentdeck(&["restore", "one", snapshot.as_str().expect("an id")]).ok();
    test.agentdeck(&["merge", "one"]).fails(1, &["price"]);
    assert_eq!(test.git(&["show", "main:till/open"]), "#!/bin/sh\necho mine\n");
    test.agentdeck(&["undo"]).ok();
}

#[test]
fn a_box_that_only_says_it_has_the_users_commit_does_not_take_their_work_back() {
    let test = conflicting();
    test.agentdeck(&["resolve", "one", "--no-shell"]).ok();
    test.script("one", "printf 'both\\ntwo\\nthree\\n' >price; git commit -qam resolved");
    // The user's own file as it was, while the commit is still in the history.
    test.script("one", "git checkout -q HEAD~1 -- till/open");
    test.agentdeck(&["merge", "one"]).fails(1, &["price"]);
    assert_eq!(test.git(&["show", "main:till/open"]), "#!/bin/sh\necho mine\n");
}

#[test]
fn a_branch_that_fits_is_merged_in_the_box_without_a_question() {
    let test = worked(COMMITS);
    std::fs::write(test.repository.join("mine"), "mine\n").expect("written");
    test.git(&["add", "mine"]);
    test.git(&["commit", "-qm", "mine"]);
    let resolution = test.agentdeck(&["resolve", "one", "--json"]).json();
    assert_eq!(resolution["conflicts"], serde_json::json!([]));
    assert_eq!(test.script("one", "cat mine; git status --porcelain"), "mine\n");
    let merged = test.agentdeck(&["merge", "one", "--squash", "--json"]).json();
    assert_eq!(merged["paths"], serde_json::json!(["a/new", "price", "till/open"]));
}

#[test]
fn what_was_merged_in_the_box_is_what_the_work_is_judged_against() {
    let test = conflicting();
    let wait = |wanted: &dyn Fn(&Value) -> bool| {
        test.wait_for_json(&["ls", "--json"], |all| wanted(&all[0]))[0].clone()
    };
    let count = |range: &str| test.git(&["rev-list", "--count", range]).trim().to_owned();
    let before = wait(&|it| it["prediction"]["branch"]["conflicts"] == 1);
    assert_eq!(before["divergence"]["behind"], 1);
    assert_eq!(before["onto"], Value::Null);
    let resolution = test.agentdeck(&["resolve", "one", "--no-shell", "--json"]).json();
    let onto = resolution["commit"].as_str().expect("a commit").to_owned();
    assert_eq!(wait(&|it| it["divergence"]["behind"] == 1)["onto"], Value::Null, "not resolved");
    test.script("one", "printf 'both\\ntwo\\nthree\\n' >price; git commit -qam resolved");
    let judged =
        wait(&|it| it["onto"] == onto.as_str() && it["prediction"]["branch"]["conflicts"] == 0);
    let ahead = test.script("one", &format!("git rev-list --count {onto}..HEAD"));
    assert_eq!(judged["divergence"]["ahead"].to_string(), ahead.trim());
    assert_eq!(judged["divergence"]["behind"].to_string(), count(&format!("{onto}..main")));
    assert_eq!(judged["divergence"]["change"]["files"], 2, "the user's own is not the agent's");
    let told = test.agentdeck(&["inspect", "one"]).ok();
    assert!(told.contains(&format!("{} merged since", &onto[..8])), "{told}");
    let stat = test.agentdeck(&["diff", "one", "--stat"]).ok();
    assert!(stat.contains("price") && !stat.contains("till/open"), "{stat}");
    std::fs::write(test.repository.join("mine"), "mine\n").expect("written");
    test.git(&["add", "mine"]);
    test.git(&["commit", "-qm", "mine"]);
    assert_eq!(count(&format!("{onto}..main")), "1");
    wait(&|it| it["divergence"]["behind"] == 1);

    // A box that does not run says what it said last, and a new server what was known.
    test.agentdeck(&["stop", "one"]).ok();
    test.agentdeck(&["server", "stop"]).ok();
    wait(&|it| it["prediction"]["branch"]["conflicts"] == 0 && it["divergence"]["behind"] == 1);
    let merged = test.agentdeck(&["merge", "one", "--squash", "--json"]).json();
    assert_eq!(merged["paths"], serde_json::json!(["new", "price"]));
    test.agentdeck(&["undo"]).ok();
    let snapshot = resolution["snapshot"].as_str().expect("an id");
    test.agentdeck(&["restore", "one", snapshot]).ok();
    let restored = wait(&|it| it["prediction"]["branch"]["conflicts"] == 1);
    assert_eq!(restored["onto"], Value::Null);
    assert_eq!(restored["divergence"]["behind"], 2);
}

/// Commits what is in conflict, and waits until the work is known to stand on the user's commit.
fn resolved(test: &TestHome) -> (Value, Value) {
    let resolution = test.agentdeck(&["resolve", "one", "--no-shell", "--json"]).json();
    test.script("one", "printf 'both\\ntwo\\nthree\\n' >price; git commit -qam resolved");
    let (onto, snapshot) = (resolution["commit"].clone(), resolution["snapshot"].clone());
    wait_for(test, "one", |it| it["onto"] == onto);
    (onto, snapshot)
}

fn wait_for(test: &TestHome, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let find = |all: &Value| {
        let all = all.as_array().expect("a list");
        all.iter().find(|it| it["name"] == name).filter(|it| wanted(it)).cloned()
    };
    let all = test.wait_for_json(&["ls", "--json"], |all| find(all).is_some());
    find(&all).expect("it was there")
}

#[test]
fn a_fork_of_what_was_resolved_stands_where_its_source_does() {
    let test = conflicting();
    let (onto, before) = resolved(&test);
    test.agentdeck(&["fork", "one", "two"]).ok();
    let fits = |it: &Value| it["prediction"]["branch"]["conflicts"] == 0;
    let fork = wait_for(&test, "two", |it| it["onto"] == onto && fits(it));
    assert_eq!(fork["divergence"]["change"]["files"], 2, "the user's own is not the agent's");
    assert_eq!(fork["divergence"]["behind"], 0);
    let stat = test.agentdeck(&["diff", "two", "--stat"]).ok();
    assert!(stat.contains("price") && !stat.contains("till/open"), "{stat}");
    test.script("two", "echo more >>new");
    let merged = test.agentdeck(&["merge", "two", "--squash", "--json"]).json();
    assert_eq!(merged["paths"], serde_json::json!(["new", "price"]));
    test.agentdeck(&["undo"]).ok();
    // Of a stopped one, and one more time.
    test.agentdeck(&["stop", "two"]).ok();
    test.agentdeck(&["fork", "two", "three"]).ok();
    wait_for(&test, "three", |it| it["onto"] == onto && fits(it));
    let merged = test.agentdeck(&["merge", "three", "--squash", "--json"]).json();
    assert_eq!(merged["paths"], serde_json::json!(["new", "price"]));
    test.agentdeck(&["undo"]).ok();
    // What was there before the merge is compared with what it began with.
    test.agentdeck(&["fork", "one", "four", "--from", before.as_str().expect("an id")]).ok();
    let four = wait_for(&test, "four", |it| it["prediction"]["branch"]["conflicts"] == 1);
    assert_eq!(four["onto"], Value::Null);
    test.agentdeck(&["merge", "four"]).fails(1, &["price"]);
    assert_eq!(test.git(&["show", "main:till/open"]), "#!/bin/sh\necho mine\n");
}

#[test]
fn attempts_are_compared_with_what_they_stand_on_now() {
    let test = conflicting();
    // Made from the commit that the first one lacks.
    make(&test, "other", &[], WAIT);
    test.script("other", "echo other >new");
    let compared = || {
        let found = test.agentdeck(&["compare", "one", "other", "--json"]).json();
        let rows = found["rows"].as_array().expect("rows").iter().map(|row| row["path"].clone());
        (Value::Array(rows.collect()), found["notes"].clone(), found["base"].clone())
    };
    let (rows, notes, _) = compared();
    assert_eq!(rows, serde_json::json!(["new", "price", "till/open"]));
    let elsewhere = "other stands on another commit, which counts as its change";
    assert_eq!(notes, serde_json::json!([elsewhere]));
    let (onto, _) = resolved(&test);
    let (rows, notes, base) = compared();
    assert_eq!(rows, serde_json::json!(["new", "price"]), "the user's own is nobody's change");
    assert_eq!((notes, base), (serde_json::json!([]), onto));
}

#[test]
fn a_merge_without_commits_of_the_agent_says_whose_work_it_is_and_how_much() {
    let test = worked("printf 'ONE\\ntwo\\nthree\\nfour\\n' >price; echo new >new");
    let shortstat = "2 files changed, 3 insertions(+), 1 deletion(-)";
    test.agentdeck(&["merge", "one", "--squash"]).ok();
    assert_eq!(
        test.git(&["log", "-1", "--format=%B"]).trim_end(),
        format!("Work of one\n\n{shortstat}")
    );
    assert_eq!(test.git(&["diff", "--shortstat", "HEAD~1"]).trim(), shortstat, "as git counts it");
    test.agentdeck(&["undo"]).ok();
    test.agentdeck(&["merge", "one"]).ok();
    assert_eq!(test.git(&["log", "-2", "--format=%s"]), "Merge one\nWork of one\n");
}

/// Beside a change, a file that no snapshot takes.
const WITHOUT: &str = "echo four >>price; truncate -s 300M large; echo x >cache.log";

#[test]
fn what_a_take_lacks_is_told_to_a_script_with_it() {
    let test = worked(WITHOUT);
    let taken = test.agentdeck(&["apply", "one", "--json"]).json();
    assert_eq!(taken["paths"], serde_json::json!(["price"]));
    let lacks = taken["left_out"].as_array().expect("a list");
    assert_eq!(lacks.len(), 1, "{taken}");
    assert_eq!(lacks[0]["path"], "large");
    test.agentdeck(&["undo"]).ok();
    let said = test.agentdeck(&["apply", "one", "price"]);
    assert!(!said.stderr.contains("large"), "it is not of what was asked for: {said:#?}");
    test.agentdeck(&["undo"]).ok();
    let said = test.agentdeck(&["merge", "one"]);
    assert!(said.stderr.contains("left out large: larger than"), "{said:#?}");
    assert!(test.git(&["show", "--stat", "HEAD"]).contains("price"));
}

#[test]
fn what_a_take_lacks_is_told_to_a_person_before_it() {
    let test = worked(WITHOUT);
    let before = test.git(&["rev-parse", "HEAD"]);
    for verb in ["apply", "merge"] {
        let mut asked = Pty::open(&test, &[verb, "one"], 80, 24);
        let seen = asked.wait_for_text("take the rest of one? [Y/n]");
        assert!(seen.contains("left out large: larger than"), "{seen}");
        asked.send("n\r");
        asked.wait_for_text("nothing was taken");
        assert_eq!(asked.wait_for_end(), 0);
        assert_eq!(test.git(&["status", "--porcelain"]), "");
    }
    let mut asked = Pty::open(&test, &["merge", "one"], 80, 24);
    asked.wait_for_text("take the rest of one? [Y/n]");
    asked.send("\r");
    asked.wait_for_text("merged one as");
    assert_eq!(asked.wait_for_end(), 0);
    assert_ne!(test.git(&["rev-parse", "HEAD"]), before);
    // Where nothing is lacking, nobody is asked.
    test.script("one", "rm large; echo five >>price");
    let mut asked = Pty::open(&test, &["apply", "one"], 80, 24);
    asked.wait_for_text("applied one");
    assert_eq!(asked.wait_for_end(), 0);
}

#[test]
fn how_large_a_file_may_be_is_for_the_user_to_set() {
    let test = TestHome::new();
    let set = |line: &str| {
        std::fs::create_dir_all(&test.home).expect("made");
        let text = format!("[snapshots]\n{line}\n");
        std::fs::write(test.home.join("config.toml"), text).expect("written");
    };
    set("max_new_file = \"1k\"");
    make(&test, "one", &[], WAIT);
    test.script("one", "truncate -s 2000 large; echo four >>price");
    let taken = test.agentdeck(&["apply", "one", "--json"]).json();
    assert_eq!(taken["paths"], serde_json::json!(["price"]));
    let lacks = serde_json::json!([{ "path": "large", "reason": "larger than 1 KiB" }]);
    assert_eq!(taken["left_out"], lacks);
    set("max_new_file = \"1m\"");
    let taken = test.agentdeck(&["apply", "one", "--json"]).json();
    assert_eq!(taken["paths"], serde_json::json!(["large"]));
    assert_eq!(taken["left_out"], serde_json::json!([]));
    // What cannot be read changes nothing for what there is, and is told.
    set("max_new_file = \"0\"");
    test.agentdeck(&["new", "two"]).fails(1, &["config.toml", "snapshots.max_new_file", "\"0\""]);
    test.script("one", "truncate -s 3000 larger");
    let taken = test.agentdeck(&["apply", "one", "--json"]).json();
    assert_eq!(taken["paths"], serde_json::json!(["larger"]));
}

//! The pages say what is: commands parse, files exist, tests are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every page below `docs`, by path.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs");
    let mut paths: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.push(root().join("README.md"));
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("readable"));
    paths.into_iter().map(read).collect()
}

/// The lines of the blocks that are for a shell.
fn commands(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line.trim()),
            _ => {}
        }
    }
    lines
}

/// What `agentdeck … --help` says of a verb.
fn help(verb: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    let output = command.args(verb).arg("--help").env("AGENTDECK_HOME", home.path()).output();
    let output = output.expect("started");
    assert!(output.status.success(), "{verb:?} is no verb: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The verb of a line that calls the binary, and the flags that are for us.
fn call(line: &str) -> Option<(Vec<&str>, Vec<&str>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (["agentdeck", rest @ ..] | ["cargo", "run", "--release", "--", rest @ ..]) =
        words.as_slice()
    else {
        return None;
    };
    let ours: Vec<&str> = rest.iter().copied().take_while(|word| *word != "--").collect();
    let count = match ours.first() {
        None => 0,
        Some(&"server") => 2,
        Some(word) => usize::from(!word.starts_with('-')),
    };
    let flags = ours.iter().filter(|word| word.starts_with('-'));
    // A comment behind the call may list some.
    let flags = flags.map(|flag| flag.trim_end_matches(',')).collect();
    Some((ours[..count].to_vec(), flags))
}

#[test]
fn every_command_in_the_pages_is_one_that_the_binary_knows() {
    let mut known: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let pages = pages();
    let mut checked = 0;
    for (path, page) in &pages {
        for (verb, flags) in commands(page).into_iter().filter_map(call) {
            let text = known.entry(verb.clone()).or_insert_with(|| help(&verb));
            for flag in flags {
                let there = text.split([' ', ',', '\n']).any(|word| word == flag);
                assert!(there, "{}: {verb:?} has no {flag}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "the blocks are found: {checked}");
}

#[test]
fn every_file_the_pages_lead_to_exists() {
    for (path, page) in pages() {
        let directory = path.parent().expect("a directory");
        for target in page.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = target.0;
            let elsewhere = target.contains("://") || target.starts_with('#');
            if !elsewhere {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = directory.join(file);
                assert!(file.exists(), "{} leads to {target}", path.display());
                assert!(has_heading(&file, heading), "{} leads to {target}", path.display());
            }
        }
        for script in commands(&page).into_iter().filter(|line| line.starts_with("tests/")) {
            let script = script.split_whitespace().next().expect("a word");
            assert!(root().join(script).is_file(), "{} names {script}", path.display());
        }
    }
}

/// Whether a page has the heading of this anchor: its words in lower case, joined by hyphens.
fn has_heading(page: &Path, anchor: &str) -> bool {
    let anchor_of = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.replace(|letter: char| !letter.is_alphanumeric() && letter != '-', "")
    };
    let read = || std::fs::read_to_string(page).expect("readable");
    anchor.is_empty()
        || read().lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor)
}

#[test]
fn every_test_that_holds_an_invariant_exists() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).expect("readable");
    let (_, invariants) = page.split_once("## Invariants").expect("a section");
    let mut sources = String::new();
    for directory in ["src", "tests/it"] {
        read_all(&root().join(directory), &mut sources);
    }
    let names: Vec<&str> = invariants
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') && !word.contains(|next: char| next.is_uppercase()))
        .filter(|word| *word != "no_new_privs")
        .collect();
    assert!(names.len() > 20, "the names are found: {names:?}");
    for name in names {
        let function = format!("fn {name}(");
        let listed = format!("    {name},\n");
        assert!(sources.contains(&function) || sources.contains(&listed), "no test {name}");
    }
}

fn read_all(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn every_agent_that_is_built_in_is_on_its_page_and_is_listed() {
    let home = tempfile::tempdir().expect("a directory");
    let config = "[agents.mine]\ncommand = [\"/bin/sh\"]\nresume = [\"-c\", \"true\"]\n";
    std::fs::write(home.path().join("config.toml"), config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    let output = command.args(["agents", "--json"]).env("AGENTDECK_HOME", home.path()).output();
    let output = output.expect("started");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    let listed = listed.as_array().expect("a list");
    let page = std::fs::read_to_string(root().join("docs/agents.md")).expect("readable");
    for agent in listed.iter().filter(|agent| agent["built_in"] == true) {
        let name = agent["name"].as_str().expect("a name");
        assert!(name == "shell" || page.contains(&format!("`{name}`")), "{name}");
    }
    let mine = listed.last().expect("some");
    assert_eq!((&mine["name"], &mine["program"]), (&"mine".into(), &"/bin/sh".into()));
    assert_eq!((&mine["built_in"], &mine["resumes"]), (&false.into(), &true.into()));
    assert!(!home.path().join("server.sock").exists(), "no server is needed for that");
}

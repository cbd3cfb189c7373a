//! The house rules that a compiler does not keep: who may import whom, how long a file and a
//! function may be, and which room alone may touch a thing.
//!
//! A plain line scan: on comparable crates it finds the same arrows as a full parser.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file up to its tests.
const MAX_FILE: usize = 500;
/// Lines of a function.
const MAX_FUNCTION: usize = 80;

/// What each room may import. `model` and `socket` are the ground.
const IMPORTS: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("socket", &[]),
    ("proto", &["model", "socket"]),
    ("config", &["model", "socket"]),
    ("term", &["model", "socket"]),
    ("repo", &["model", "socket"]),
    ("engine", &["model", "socket", "shim"]),
    ("shim", &["model", "socket"]),
    ("egress", &["model", "socket"]),
    ("watch", &["model", "socket"]),
    ("store", &["model", "socket"]),
    (
        "deck",
        &[
            "model", "socket", "proto", "config", "term", "repo", "engine", "shim", "egress",
            "watch", "store",
        ],
    ),
    ("server", &["model", "socket", "proto", "config", "deck"]),
    ("client", &["model", "socket", "proto"]),
    ("tui", &["model", "socket", "proto", "config", "client"]),
    ("cli", &["model", "socket", "proto", "config", "client", "server", "shim", "engine", "tui"]),
    ("lib", &[]),
];

/// What one room alone may name, and why.
const ALONE: [(&str, &str, &str); 4] = [
    ("gix::", "repo", "only repo touches git"),
    ("rmp_serde::", "proto/wire", "only the wire knows how a message looks as bytes"),
    ("style::Color", "tui/theme", "only the theme names a colour"),
    ("alacritty_terminal::", "term", "the emulator is behind term"),
];

/// Exceptions, each with its reason: `src/file.rs` for a file, `src/file.rs function` for a
/// function, `room/file word` for what one room alone may name.
const ALLOWED: [(&str, &str); 1] =
    [("model/packed rmp_serde::", "files of ours with paths of any bytes, or thousands of cells")];

struct Source {
    /// Relative to `src`, without the ending.
    name: String,
    room: String,
    /// The lines before the tests.
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files.iter().map(|path| source(&root, path)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn source(root: &Path, path: &Path) -> Source {
    let relative = path.strip_prefix(root).expect("below src").with_extension("");
    let name = relative.to_string_lossy().replace('\\', "/");
    let room = name.split('/').next().expect("a first part").to_owned();
    let text = fs::read_to_string(path).expect("readable");
    let is_test = name.ends_with("/tests") || name.contains("/tests/") || name.ends_with("_tests");
    let lines = if is_test { Vec::new() } else { without_tests(&text) };
    Source { name, room, lines }
}

/// The lines of a file, those of its items for tests empty, up to a module of tests, which is last.
fn without_tests(text: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut in_item = false;
    for line in text.lines() {
        if in_item && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        in_item |= line == "#[cfg(test)]";
        kept.push(if in_item { "" } else { line }.to_owned());
        // An item at the left edge ends there too, with one line or with a bracket of its own.
        let ends = !line.starts_with([' ', '#', '/']) && line.ends_with([';', '}']);
        in_item &= !ends;
    }
    kept
}

#[test]
fn only_what_is_for_tests_is_passed_over() {
    let text = "use a;\n#[cfg(test)]\nuse b;\nuse c;\n#[cfg(test)]\nstruct D {\n    e: u8,\n}\nfn f() {}\n\
                #[cfg(test)]\nmod tests {\n    const G: &str = \"\n}\n\";\n}\n";
    let kept: Vec<String> = without_tests(text).into_iter().filter(|it| !it.is_empty()).collect();
    assert_eq!(kept, ["use a;", "use c;", "fn f() {}"]);
}

fn allowed(place: &str) -> bool {
    ALLOWED.iter().any(|(entry, _)| *entry == place)
}

/// The rooms that a line names as `crate::room`, groups included.
fn named_rooms(line: &str) -> BTreeSet<String> {
    let code = line.split("//").next().unwrap_or_default();
    let rooms = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split(',').map(first_word).collect::<Vec<_>>(),
        None => vec![first_word(rest)],
    });
    rooms.filter(|room| !room.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    let text = text.trim_start();
    text.chars().take_while(|next| next.is_ascii_alphanumeric() || *next == '_').collect()
}

#[test]
fn every_room_imports_only_what_it_may() {
    let table: BTreeMap<&str, &[&str]> = IMPORTS.into_iter().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(may) = table.get(source.room.as_str()) else {
            if source.room != "main" {
                broken.push(format!("{} is in no row of the table", source.name));
            }
            continue;
        };
        for (index, line) in source.lines.iter().enumerate() {
            for room in named_rooms(line) {
                let known = table.contains_key(room.as_str());
                if known && room != source.room && !may.contains(&room.as_str()) {
                    broken.push(format!("src/{}.rs:{} names {room}", source.name, index + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "imports against the table:\n{}", broken.join("\n"));
}

#[test]
fn what_one_room_owns_no_other_names() {
    let mut broken = Vec::new();
    for source in sources() {
        for (word, owner, why) in ALONE {
            let own = source.name == owner || source.name.starts_with(&format!("{owner}/"));
            if own || allowed(&format!("{} {word}", source.name)) {
                continue;
            }
            for (index, line) in source.lines.iter().enumerate() {
                if line.split("//").next().unwrap_or_default().contains(word) {
                    broken.push(format!("src/{}.rs:{}: {why}", source.name, index + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "named outside their room:\n{}", broken.join("\n"));
}

#[test]
fn files_and_functions_stay_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let place = format!("src/{}.rs", source.name);
        if source.lines.len() > MAX_FILE && !allowed(&place) {
            broken.push(format!("{place} has {} lines", source.lines.len()));
        }
        for (name, length) in functions(&source.lines) {
            if length > MAX_FUNCTION && !allowed(&format!("{place} {name}")) {
                broken.push(format!("{name} in {place} has {length} lines"));
            }
        }
    }
    assert!(broken.is_empty(), "too long:\n{}", broken.join("\n"));
}

/// Names and lengths of the functions, found by indentation, which the formatter keeps.
fn functions(lines: &[String]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(at) = code.find("fn ") else { continue };
        let prefix = code[..at].trim();
        let words = ["", "pub", "async", "const", "unsafe", "pub async", "pub const"];
        let visible = prefix.starts_with("pub(") || prefix.starts_with("extern");
        if !(words.contains(&prefix) || visible) {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let end = format!("{indent}}}");
        let length = lines[start..].iter().position(|later| *later == end);
        found.push((first_word(&code[at + 3..]), length.map_or(1, |length| length + 1)));
    }
    found
}

#[test]
fn nothing_is_left_open_in_the_sources() {
    let mut broken = Vec::new();
    for source in sources() {
        for (index, line) in source.lines.iter().enumerate() {
            if ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| line.contains(word)) {
                broken.push(format!("src/{}.rs:{}", source.name, index + 1));
            }
        }
    }
    assert!(broken.is_empty(), "left open:\n{}", broken.join("\n"));
}

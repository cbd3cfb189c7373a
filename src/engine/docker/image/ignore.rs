//! `.dockerignore`: which files of a directory a build does not see.
//!
//! Rules are as Docker has them: one on each line, `#` begins a comment, `!` takes back, the last
//! that fits wins, `**` is any number of directories, and a directory's rule holds for all in it.

/// The rules of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    takes_back: bool,
    segments: Vec<String>,
}

impl Ignore {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let rules = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let segments = pattern.split('/').filter(|part| !part.is_empty() && *part != ".");
            Rule { takes_back, segments: segments.map(str::to_owned).collect() }
        });
        Self { rules: rules.filter(|rule| !rule.segments.is_empty()).collect() }
    }

    /// Whether the file with this path, relative to the directory, is left out.
    pub(super) fn covers(&self, path: &[&str]) -> bool {
        let fits = |rule: &&Rule| {
            let segments: Vec<&str> = rule.segments.iter().map(String::as_str).collect();
            (1..=path.len()).any(|length| path_matches(&segments, &path[..length]))
        };
        self.rules.iter().rfind(fits).is_some_and(|rule| !rule.takes_back)
    }

    /// Whether something in a directory that is left out may be taken back.
    pub(super) fn takes_anything_back(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_back)
    }
}

fn path_matches(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", rest @ ..] => (0..=path.len()).any(|skip| path_matches(rest, &path[skip..])),
        [first, rest @ ..] => match path {
            [name, below @ ..] => {
                let (first, name): (Vec<char>, Vec<char>) =
                    (first.chars().collect(), name.chars().collect());
                name_matches(&first, &name) && path_matches(rest, below)
            }
            [] => false,
        },
    }
}

/// One name against `*`, `?`, `[a-z]`, `[^a-z]` and `\` before what is meant literally.
fn name_matches(pattern: &[char], name: &[char]) -> bool {
    // The place of the last `*`, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut in_name) = (0, 0);
    while in_name < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, in_name));
            at += 1;
        } else if let Some(next) = one_matches(&pattern[at..], name[in_name]) {
            at += next;
            in_name += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            (at, in_name) = (place + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

/// How much of the pattern the character takes, if it fits.
fn one_matches(pattern: &[char], character: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == character).then_some(2),
        ['[', rest @ ..] => {
            let end = rest.iter().skip(1).position(|&c| c == ']')? + 1;
            let (negated, set) = match &rest[..end] {
                ['^', set @ ..] => (true, set),
                set => (false, set),
            };
            (in_set(set, character) != negated).then_some(end + 2)
        }
        [literal, ..] => (*literal == character).then_some(1),
        [] => None,
    }
}

fn in_set(set: &[char], character: char) -> bool {
    match set {
        [low, '-', high, rest @ ..] => {
            (*low..=*high).contains(&character) || in_set(rest, character)
        }
        [one, rest @ ..] => *one == character || in_set(rest, character),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(rules: &str, path: &str) -> bool {
        Ignore::parse(rules).covers(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn rules_are_read_as_docker_reads_them() {
        for (rules, path, left_out) in [
            ("target", "target", true),
            ("target", "target/debug/x", true),
            ("target", "sub/target", false),
            ("/target/", "target/x", true),
            ("./target", "target", true),
            ("**/target", "a/b/target/x", true),
            ("**/target", "target", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("*.log", "x.log", true),
            ("*.log", "a/x.log", false),
            ("**/*.log", "a/x.log", true),
            ("file?.txt", "file1.txt", true),
            ("file[0-9].txt", "filea.txt", false),
            ("file[^0-9].txt", "filea.txt", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("# note\n\n", "note", false),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "other", true),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep\ndir/keep", "dir/keep", true),
            ("[", "[", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(covered(rules, path), left_out, "{rules:?} and {path}");
        }
    }
}

//! A diff as text: a patch that `git apply` takes, and a summary for people.

use std::borrow::Cow;

use super::{Diff, DiffContent, DiffLine, EMPTY, FileChange, FileDiff, Hunk, LineKind};
use crate::model::path::{RepoPath, printable};
use crate::model::snapshot::ChangeCount;

/// The file type bits of a git mode.
const TYPE: u32 = 0o170_000;

/// What stands before contents that are whole.
const BINARY: &[u8] = b"GIT binary patch\n";

/// Narrowest bar of plus and minus signs worth drawing, in characters.
const MIN_BAR: usize = 10;

impl Diff {
    /// Appends the patch. Paths and content are raw bytes, paths quoted as git quotes them: nothing
    /// here is safe to print on a terminal. Files without lines are whole in it where they were read
    /// for that; others are named, with full blob names, by which `git apply` finds them where the
    /// objects are.
    pub fn write_unified(&self, out: &mut Vec<u8>) {
        self.write(Reader::Git, out);
    }

    /// The same with the lines of all that has some, for people.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        self.write(Reader::Person, out);
    }

    fn write(&self, reader: Reader, out: &mut Vec<u8>) {
        for file in self.for_git() {
            write_file(&file, reader, out);
        }
    }

    /// Its files as git has them: one whose type changed is deleted and added.
    pub fn for_git(&self) -> impl Iterator<Item = Cow<'_, FileDiff>> {
        self.files.iter().flat_map(|file| {
            if file.changes_type() {
                let half = |change| Cow::Owned(file.half(change));
                vec![half(FileChange::Deleted), half(FileChange::Added)]
            } else {
                vec![Cow::Borrowed(file)]
            }
        })
    }

    /// Appends one line a file and a sum, at most `width` characters wide, safe to print.
    pub fn write_stat(&self, width: usize, out: &mut Vec<u8>) {
        let names: Vec<String> = self.files.iter().map(FileDiff::title).collect();
        let counts: Vec<String> = self.files.iter().map(count).collect();
        let number = counts.iter().map(String::len).max().unwrap_or(0);
        let room = width.saturating_sub(number + MIN_BAR + 5);
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let column = longest.min(room.max(MIN_BAR));
        let bar = width.saturating_sub(column + number + 5).max(MIN_BAR);
        let most = self.files.iter().map(|file| file.added + file.removed).max().unwrap_or(0);
        for ((file, name), count) in self.files.iter().zip(&names).zip(&counts) {
            let name = shortened(name, column);
            let padding = column.saturating_sub(name.chars().count());
            let signs = signs(file, most, bar as u64);
            let line = format!(" {name}{:padding$} | {count:>number$} {signs}", "");
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
        }
        out.extend_from_slice(format!(" {}\n", self.summary()).as_bytes());
    }

    /// Files and lines in one sentence.
    fn summary(&self) -> String {
        let count = ChangeCount {
            added: self.files.iter().map(|file| file.added).sum(),
            removed: self.files.iter().map(|file| file.removed).sum(),
            files: self.files.len() as u32,
        };
        let is_large = |file: &&FileDiff| matches!(file.content, DiffContent::TooLarge { .. });
        let uncounted = match self.files.iter().filter(is_large).count() {
            0 => String::new(),
            large => format!(", lines of {large} too large to count"),
        };
        count.summary() + &uncounted
    }
}

impl FileDiff {
    /// Appends its part of a patch.
    pub fn write_patch(&self, out: &mut Vec<u8>) {
        write_file(self, Reader::Git, out);
    }

    /// Appends what stands before its contents in a patch that has them whole.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        write_names(self, out);
        out.extend_from_slice(BINARY);
    }

    /// Whether a file became a link or a submodule, or the other way round. Git has that as a
    /// deletion and an addition.
    fn changes_type(&self) -> bool {
        matches!((self.old_mode, self.new_mode), (Some(old), Some(new)) if old & TYPE != new & TYPE)
    }

    /// The deletion or the addition that a change of type consists of.
    fn half(&self, change: FileChange) -> Self {
        let kept = if change == FileChange::Deleted { LineKind::Removed } else { LineKind::Added };
        let mut half = Self { change, ..self.clone() };
        if kept == LineKind::Removed {
            half.path = half.old_path.take().unwrap_or(half.path);
            (half.new_mode, half.new_blob, half.added) = (None, None, 0);
        } else {
            (half.old_path, half.old_mode, half.old_blob, half.removed) = (None, None, None, 0);
        }
        if let DiffContent::Text(hunks) = &mut half.content {
            for hunk in hunks.iter_mut() {
                hunk.lines.retain(|line| line.kind == kept);
                if kept == LineKind::Removed {
                    (hunk.new_start, hunk.new_lines) = (0, 0);
                } else {
                    (hunk.old_start, hunk.old_lines) = (0, 0);
                }
            }
            hunks.retain(|hunk| !hunk.lines.is_empty());
        }
        if let Some(literal) = &mut half.literal {
            let other = if kept == LineKind::Removed { &mut literal.new } else { &mut literal.old };
            *other = EMPTY.to_vec();
        }
        half
    }

    fn title(&self) -> String {
        match &self.old_path {
            Some(old) => format!("{old} => {}", self.path),
            None => printable(self.path.as_bytes()),
        }
    }
}

/// Who reads a patch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Git,
    Person,
}

fn write_names(file: &FileDiff, out: &mut Vec<u8>) {
    let [old, new] = names(file);
    out.extend_from_slice(b"diff --git ");
    out.extend_from_slice(&old);
    out.push(b' ');
    out.extend_from_slice(&new);
    out.push(b'\n');
    write_modes(file, out);
    if let Some(from) = &file.old_path {
        if file.old_blob == file.new_blob {
            out.extend_from_slice(b"similarity index 100%\n");
        }
        for (verb, path) in [("rename from ", from), ("rename to ", &file.path)] {
            out.extend_from_slice(verb.as_bytes());
            out.extend_from_slice(&quoted(b"", path));
            out.push(b'\n');
        }
    }
    if file.old_blob != file.new_blob {
        write_index(file, out);
    }
}

/// The quoted paths before and after.
fn names(file: &FileDiff) -> [Vec<u8>; 2] {
    let old = file.old_path.as_ref().unwrap_or(&file.path);
    [quoted(b"a/", old), quoted(b"b/", &file.path)]
}

fn write_file(file: &FileDiff, reader: Reader, out: &mut Vec<u8>) {
    write_names(file, out);
    let [old, new] = names(file);
    let none = b"/dev/null".to_vec();
    let old = if file.old_mode.is_some() { old } else { none.clone() };
    let new = if file.new_mode.is_some() { new } else { none };
    match &file.content {
        _ if reader == Reader::Git && file.literal.is_some() => {
            out.extend_from_slice(BINARY);
            for side in file.literal.iter().flat_map(|literal| [&literal.new, &literal.old]) {
                out.extend_from_slice(side);
                out.push(b'\n');
            }
        }
        DiffContent::Unread => {}
        DiffContent::Text(hunks) if hunks.is_empty() => {}
        DiffContent::Text(_) if reader == Reader::Git && file.encoding.is_some() => {
            write_differ(&old, &new, out);
        }
        DiffContent::Text(hunks) => {
            write_side(b"--- ", &old, out);
            write_side(b"+++ ", &new, out);
            for hunk in hunks {
                write_hunk(hunk, out);
            }
        }
        DiffContent::Binary { .. } | DiffContent::TooLarge { .. } => {
            write_differ(&old, &new, out);
        }
    }
}

fn write_differ(old: &[u8], new: &[u8], out: &mut Vec<u8>) {
    for part in [b"Binary files ", old, b" and ", new, b" differ\n"] {
        out.extend_from_slice(part);
    }
}

fn write_modes(file: &FileDiff, out: &mut Vec<u8>) {
    let lines = match (file.old_mode, file.new_mode) {
        (None, Some(new)) => format!("new file mode {new:06o}\n"),
        (Some(old), None) => format!("deleted file mode {old:06o}\n"),
        (Some(old), Some(new)) if old != new => {
            format!("old mode {old:06o}\nnew mode {new:06o}\n")
        }
        _ => return,
    };
    out.extend_from_slice(lines.as_bytes());
}

fn write_index(file: &FileDiff, out: &mut Vec<u8>) {
    let known = file.old_blob.as_ref().or(file.new_blob.as_ref());
    let none = "0".repeat(known.map_or(40, |name| name.as_str().len()));
    let old = file.old_blob.as_ref().map_or(none.as_str(), |name| name.as_str());
    let new = file.new_blob.as_ref().map_or(none.as_str(), |name| name.as_str());
    out.extend_from_slice(format!("index {old}..{new}").as_bytes());
    if let (Some(old), Some(new)) = (file.old_mode, file.new_mode)
        && old == new
    {
        out.extend_from_slice(format!(" {new:06o}").as_bytes());
    }
    out.push(b'\n');
}

/// A name with a space ends in a tab, so that readers know where it ends.
fn write_side(prefix: &[u8], name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(name);
    if name.contains(&b' ') && !name.starts_with(b"\"") {
        out.push(b'\t');
    }
    out.push(b'\n');
}

fn write_hunk(hunk: &Hunk, out: &mut Vec<u8>) {
    let range = |start: u32, lines: u32| {
        if lines == 1 { start.to_string() } else { format!("{start},{lines}") }
    };
    let old = range(hunk.old_start, hunk.old_lines);
    let new = range(hunk.new_start, hunk.new_lines);
    out.extend_from_slice(format!("@@ -{old} +{new} @@\n").as_bytes());
    for line in &hunk.lines {
        write_line(line, out);
    }
}

fn write_line(line: &DiffLine, out: &mut Vec<u8>) {
    out.push(match line.kind {
        LineKind::Context => b' ',
        LineKind::Added => b'+',
        LineKind::Removed => b'-',
    });
    out.extend_from_slice(&line.text);
    out.push(b'\n');
    if line.no_newline {
        out.extend_from_slice(b"\\ No newline at end of file\n");
    }
}

/// The path with its prefix, in C notation when it holds a byte that git quotes.
fn quoted(prefix: &[u8], path: &RepoPath) -> Vec<u8> {
    let name = [prefix, path.as_bytes()].concat();
    if name.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !b"\"\\".contains(byte)) {
        return name;
    }
    let mut text = Vec::with_capacity(name.len() + 8);
    text.push(b'"');
    for byte in name {
        let short = match byte {
            0x07 => b'a',
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => byte,
            0x20..=0x7e => {
                text.push(byte);
                continue;
            }
            _ => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                continue;
            }
        };
        text.extend_from_slice(&[b'\\', short]);
    }
    text.push(b'"');
    text
}

fn count(file: &FileDiff) -> String {
    match file.content {
        DiffContent::Text(_) | DiffContent::Unread => (file.added + file.removed).to_string(),
        DiffContent::Binary { old, new } => format!("binary {old} -> {new} bytes"),
        DiffContent::TooLarge { old, new } => format!("large {old} -> {new} bytes"),
    }
}

/// The bar, scaled so that the longest fits; what changed at all shows at least one sign.
fn signs(file: &FileDiff, most: u64, room: u64) -> String {
    let scale =
        |lines: u64| if most <= room { lines } else { (lines * room).div_ceil(most.max(1)) };
    let added = scale(file.added).min(room);
    let removed = scale(file.removed).min(room - added);
    "+".repeat(added as usize) + &"-".repeat(removed as usize)
}

/// Long names lose their beginning, which says least.
fn shortened(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(length - room.saturating_sub(3)).collect();
    format!("...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diff::{Review, Taken};
    use crate::model::id::CommitId;

    fn file(path: &str, hunks: Vec<Hunk>) -> FileDiff {
        let blob = |digit: &str| CommitId::parse(&digit.repeat(40));
        FileDiff {
            path: RepoPath::new(path),
            old_path: None,
            change: FileChange::Modified,
            old_mode: Some(0o100_644),
            new_mode: Some(0o100_644),
            old_blob: blob("1"),
            new_blob: blob("2"),
            added: 1,
            removed: 1,
            content: DiffContent::Text(hunks),
            cautions: Vec::new(),
            review: Review::Unreviewed,
            taken: Taken::Nothing,
            encoding: None,
            literal: None,
        }
    }

    fn hunk(lines: &[(LineKind, &str, bool)]) -> Hunk {
        let lines = lines
            .iter()
            .map(|(kind, text, no_newline)| DiffLine {
                kind: *kind,
                text: text.as_bytes().to_vec(),
                no_newline: *no_newline,
            })
            .collect();
        Hunk { old_start: 1, old_lines: 1, new_start: 1, new_lines: 1, lines, taken: false }
    }

    fn diff(files: Vec<FileDiff>) -> Diff {
        let id = CommitId::parse(&"0".repeat(40)).expect("an id");
        Diff { from: id.clone(), to: id, files }
    }

    #[test]
    fn a_patch_reads_as_git_writes_it() {
        let lines = hunk(&[(LineKind::Removed, "a", false), (LineKind::Added, "b", true)]);
        let mut out = Vec::new();
        diff(vec![file("a b\u{e9}.txt", vec![lines])]).write_unified(&mut out);
        let text = String::from_utf8(out).expect("text");
        let expected = [
            "diff --git \"a/a b\\303\\251.txt\" \"b/a b\\303\\251.txt\"",
            "index 1111111111111111111111111111111111111111..2222222222222222222222222222222222222222 100644",
            "--- \"a/a b\\303\\251.txt\"",
            "+++ \"b/a b\\303\\251.txt\"",
            "@@ -1 +1 @@",
            "-a",
            "+b",
            "\\ No newline at end of file",
            "",
        ];
        assert_eq!(text.split('\n').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_file_that_became_a_link_is_a_deletion_and_an_addition() {
        let lines = hunk(&[(LineKind::Removed, "text", false), (LineKind::Added, "to", true)]);
        let mut link = file("x", vec![lines]);
        link.new_mode = Some(0o120_000);
        let mut out = Vec::new();
        diff(vec![link]).write_unified(&mut out);
        let text = String::from_utf8(out).expect("text");
        let headers: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("file mode") || line.starts_with("@@"))
            .collect();
        assert_eq!(
            headers,
            ["deleted file mode 100644", "@@ -1 +0,0 @@", "new file mode 120000", "@@ -0,0 +1 @@"]
        );
    }

    #[test]
    fn a_summary_never_steers_a_terminal() {
        let mut out = Vec::new();
        diff(vec![file("a\x1b[2J", Vec::new())]).write_stat(60, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, " a\\u{1b}[2J | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n");
    }
}

//! What the agent's session showed when a snapshot was taken, kept beside the environment.
//!
//! Files of records, each a snapshot's id and its screen as rows, packed. A record is whole or its
//! sum does not fit, and what follows such a one is cut off by the next writer. The oldest file
//! goes when there are too many: then that screen is not kept, which is said.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::front::{self, Front};
use super::hands::{self, Program, Trace};
use super::shared::{Shared, now};
use crate::model::environment::SessionState;
use crate::model::id::{CommitId, EnvironmentId, SessionId};
use crate::model::packed;
use crate::model::screen::Screen;
use crate::model::snapshot::OutputMark;
use crate::store;

/// A file is closed above this, in bytes: some three hundred screens full of text.
const FILE_BYTES: u64 = 512 << 10;
/// Files kept: 8 MiB of an environment at most.
const FILES: usize = 16;
/// A screen unpacks to less than this, in bytes; what is larger is not one of ours.
const SCREEN_BYTES: u64 = 32 << 20;
/// Ids are stored in the length of the longest.
const ID: usize = 64;
/// The length of what follows, and its sum.
const HEAD: usize = 8;

/// What is seen of an environment at one moment.
pub(super) struct Sight {
    pub trace: Trace,
    pub screen: Option<Arc<Screen>>,
}

/// Looks at the agent's session and at who is at work.
pub(super) async fn look(shared: &Arc<Shared>, id: &EnvironmentId) -> Sight {
    let (deeds, at) = (shared.hands.deeds(id), now());
    let shells = shared.terminals(id).into_iter();
    let shells = shells.filter(|(session, _)| *session != SessionId::AGENT);
    let shells = shells.map(|(_, terminal)| terminal.offset()).sum();
    let mut trace = Trace { deeds, shells, at, ..Trace::default() };
    let Ok(record) = shared.record(id).await else { return Sight { trace, screen: None } };
    let environment = &record.environment;
    (trace.program, trace.rests) = (front::usual(environment), hands::rests(environment));
    // Who is in front matters where a person did something; an agent's own session is the agent's.
    let others = trace.program != Program::Agent || environment.sessions.len() > 1;
    if others && deeds.told + deeds.sent + deeds.own > 0 {
        let front = Front::look(shared, &record).await;
        (trace.program, trace.beside) = (front.program(environment), front.has_agent_beside());
    }
    let session = environment.session(SessionId::AGENT);
    trace.runs = session.is_some_and(|session| session.state == SessionState::Running);
    let seen = session.and_then(|session| {
        let (offset, screen) = shared.terminal(id, SessionId::AGENT)?.moment();
        Some((OutputMark { started: session.started, offset }, Arc::new(screen)))
    });
    let (output, screen) = seen.unzip();
    trace.output = output;
    Sight { trace, screen }
}

/// Keeps the screen of a snapshot; `same` says that it is as the one kept before.
pub(super) fn keep(
    directory: &Path,
    snapshot: &CommitId,
    screen: &Screen,
    same: bool,
) -> anyhow::Result<()> {
    store::create_private(directory)?;
    let files = files(directory)?;
    let newest = files.last().copied().unwrap_or(1);
    let path = file(directory, newest);
    let bytes = fs::read(&path).unwrap_or_default();
    let whole = records(&bytes).last().map_or(0, |record| record.end);
    let (path, whole) = if whole as u64 > FILE_BYTES {
        for old in files.iter().take((files.len() + 1).saturating_sub(FILES)) {
            fs::remove_file(file(directory, *old))?;
        }
        (file(directory, newest + 1), 0)
    } else {
        (path, whole)
    };
    // A screen that stands in an older file must be said again in this one.
    let packed = if same && whole > 0 { Vec::new() } else { pack(screen)? };
    let record = write_record(snapshot, &packed);
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    if file.metadata()?.len() > whole as u64 {
        file.set_len(whole as u64)?;
    }
    file.write_all(&record).with_context(|| format!("could not write {}", path.display()))
}

/// The screen of a snapshot; `None` when it is not kept.
pub(super) fn read(directory: &Path, snapshot: &CommitId) -> anyhow::Result<Option<Screen>> {
    for number in files(directory)?.into_iter().rev() {
        let bytes = fs::read(file(directory, number))?;
        let mut shown = None;
        for record in records(&bytes) {
            if !record.packed.is_empty() {
                shown = Some(record.packed);
            }
            if record.id == snapshot.as_str().as_bytes() {
                return shown.map(unpack).transpose();
            }
        }
    }
    Ok(None)
}

/// The numbers of the files that are there, oldest first.
fn files(directory: &Path) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(numbers),
        entries => {
            for entry in entries? {
                numbers
                    .extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn file(directory: &Path, number: u64) -> PathBuf {
    directory.join(number.to_string())
}

/// One record of a file, and where it ends there.
struct Record<'b> {
    id: &'b [u8],
    packed: &'b [u8],
    end: usize,
}

/// The whole records of a file.
fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (head, rest) = bytes.get(at..)?.split_at_checked(HEAD)?;
        let (length, sum) = head.split_at(4);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let body = rest.get(..number(length) as usize)?;
        let (id, packed) = body.split_at_checked(ID)?;
        if checksum(body) != number(sum) {
            return None;
        }
        at += HEAD + body.len();
        let used = id.iter().position(|byte| *byte == 0).unwrap_or(ID);
        Some(Record { id: &id[..used], packed, end: at })
    })
}

fn write_record(snapshot: &CommitId, packed: &[u8]) -> Vec<u8> {
    let mut body = snapshot.as_str().as_bytes().to_vec();
    body.resize(ID, 0);
    body.extend_from_slice(packed);
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend(checksum(&body).to_le_bytes());
    record.extend(body);
    record
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn pack(screen: &Screen) -> anyhow::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&packed::pack(screen)?)?;
    Ok(encoder.finish()?)
}

fn unpack(stored: &[u8]) -> anyhow::Result<Screen> {
    let mut bytes = Vec::new();
    DeflateDecoder::new(stored).take(SCREEN_BYTES).read_to_end(&mut bytes)?;
    packed::unpack(&bytes).context("a kept screen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::screen::{Row, Run, Size, Style};

    fn snapshot(number: usize) -> CommitId {
        CommitId::parse(&format!("{number:040x}")).expect("an id")
    }

    fn screen(text: &str) -> Screen {
        let mut screen = Screen::blank(Size { columns: 80, rows: 4 });
        let run = Run {
            text: text.to_owned(),
            cells: text.chars().count() as u16,
            style: Style::default(),
        };
        screen.rows[0] = Row { runs: vec![run], wrapped: false };
        screen
    }

    #[test]
    fn each_snapshot_has_the_screen_of_its_moment() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("moments");
        keep(&place, &snapshot(1), &screen("one"), false).expect("kept");
        keep(&place, &snapshot(2), &screen("one"), true).expect("kept");
        keep(&place, &snapshot(3), &screen("three"), false).expect("kept");
        let shown = |number| read(&place, &snapshot(number)).expect("read");
        assert_eq!(shown(1), Some(screen("one")));
        assert_eq!(shown(2), Some(screen("one")));
        assert_eq!(shown(3), Some(screen("three")));
        assert_eq!(shown(4), None, "nothing is made up");
    }

    #[test]
    fn what_a_kill_cut_off_harms_no_other_record() {
        let directory = tempfile::tempdir().expect("a directory");
        keep(directory.path(), &snapshot(1), &screen("one"), false).expect("kept");
        let path = file(directory.path(), 1);
        let half = write_record(&snapshot(2), b"half of a screen");
        let mut bytes = fs::read(&path).expect("read");
        bytes.extend_from_slice(&half[..half.len() - 3]);
        fs::write(&path, bytes).expect("written");
        assert_eq!(read(directory.path(), &snapshot(2)).expect("read"), None);
        keep(directory.path(), &snapshot(3), &screen("three"), true).expect("kept");
        assert_eq!(read(directory.path(), &snapshot(1)).expect("read"), Some(screen("one")));
        assert_eq!(read(directory.path(), &snapshot(3)).expect("read"), Some(screen("one")));
    }

    #[test]
    fn the_oldest_screens_go_when_there_are_too_many() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(directory.path()).expect("made");
        for number in 1..=FILES as u64 {
            let filler = vec![7; FILE_BYTES as usize];
            let bytes = write_record(&snapshot(number as usize), &filler);
            fs::write(file(directory.path(), number), bytes).expect("written");
        }
        keep(directory.path(), &snapshot(99), &screen("new"), true).expect("kept");
        let there = files(directory.path()).expect("listed");
        assert_eq!(there.len(), FILES);
        assert_eq!(there[0], 2);
        assert_eq!(read(directory.path(), &snapshot(1)).expect("read"), None);
        assert_eq!(read(directory.path(), &snapshot(99)).expect("read"), Some(screen("new")));
    }
}

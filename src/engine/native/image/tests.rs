//! Images as somebody who means harm makes them.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::archive::Archive;
use super::provide::begin;
use super::unpack::unpack;
use super::writer::{About, LayerWriter, hex};
use crate::engine::room::Bounds;

const ROOMY: Bounds = Bounds { most: 1 << 20, spare: 0 };

type Entry<'a> = (&'a str, EntryType, &'a str);

/// A layer; a file's third part is its content, a link's its target. Names are written as they
/// are, which the library that writes archives would refuse.
fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        let body = if *kind == EntryType::Regular {
            content.as_bytes()
        } else {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            &[]
        };
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).expect("written");
    }
    builder.into_inner().expect("ended")
}

/// What `docker save` would write of these layers.
fn saved(layers: &[Vec<u8>]) -> Vec<u8> {
    let digests: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", hex(Sha256::new_with_prefix(layer))))
        .collect();
    let config = serde_json::json!({
        "config": { "Env": ["PATH=/bin", "A=b"] },
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let names: Vec<String> =
        (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{ "Config": "config.json", "Layers": names }]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, content).expect("written");
    };
    for (name, layer) in names.iter().zip(layers) {
        add(name, layer);
    }
    add("config.json", config.to_string().as_bytes());
    add("manifest.json", manifest.to_string().as_bytes());
    builder.into_inner().expect("ended")
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A directory with the root of an image in it and a file beside that must stay.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("root")).expect("made");
        std::fs::write(directory.path().join("beside"), "stays").expect("written");
        Self { directory }
    }

    fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    fn open(&self, content: &[u8]) -> anyhow::Result<Archive> {
        let file = self.directory.path().join("image.tar");
        std::fs::write(&file, content).expect("written");
        Archive::open(&file, self.directory.path(), Bounds { most: 1 << 24, spare: 0 })
    }

    fn unpack(&self, content: &[u8], bounds: Bounds) -> anyhow::Result<()> {
        let archive = self.open(content)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root: OwnedFd = rustix::fs::open(self.root(), flags, Mode::empty()).expect("opened");
        let outcome = unpack(&archive, &root, bounds, &mut |_| ());
        assert_eq!(std::fs::read(self.directory.path().join("beside")).expect("there"), b"stays");
        let names = std::fs::read_dir(self.directory.path()).expect("read").count();
        assert_eq!(names, 3, "only the root, the image and the file beside are there");
        outcome
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).expect("a file")
    }
}

const FILE: EntryType = EntryType::Regular;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;
const DIRECTORY: EntryType = EntryType::Directory;

#[test]
fn later_layers_change_and_remove_what_earlier_ones_brought() {
    let first = layer(&[
        ("bin/", DIRECTORY, ""),
        ("bin/tool", FILE, "old"),
        ("bin/gone", FILE, "x"),
        ("etc/a", FILE, "a"),
        ("etc/deep/b", FILE, "b"),
        ("lib", LINK, "bin"),
        ("again", HARD, "bin/tool"),
    ]);
    let second = layer(&[
        ("bin/tool", FILE, "new"),
        ("bin/.wh.gone", FILE, ""),
        ("etc/c", FILE, "c"),
        ("etc/.wh..wh..opq", FILE, ""),
        ("lib/more", FILE, "through the image's own link"),
    ]);
    let place = Place::new();
    let archive = saved(&[first, second]);
    place.unpack(&archive, ROOMY).expect("unpacked");
    assert_eq!((place.read("bin/tool"), place.read("again")), ("new".into(), "old".into()));
    assert_eq!(place.read("bin/more"), "through the image's own link");
    assert!(!place.root().join("bin/gone").exists());
    let etc: Vec<_> = std::fs::read_dir(place.root().join("etc")).expect("read").collect();
    assert_eq!(etc.len(), 1, "only what came with the layer that cleared it");
    let mode = std::fs::metadata(place.root().join("bin/tool")).expect("found").permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755, "no program keeps its set-user bit");
    let read = place.open(&archive).expect("an image");
    assert_eq!(read.environment, ["PATH=/bin", "A=b"]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&archive).expect("written");
    let compressed = place.open(&gzip.finish().expect("ended")).expect("an image");
    assert_eq!(compressed.id, read.id);
}

#[test]
fn nothing_is_written_outside_of_the_root() {
    let out = |name: &str| format!("{}/{name}", std::env::temp_dir().display());
    let absolute = out(&format!("agentdeck-unpack-{}", std::process::id()));
    let hostile: [&[Entry<'_>]; 9] = [
        &[("../beside", FILE, "changed")],
        &[("a/../../beside", FILE, "changed")],
        &[("up", LINK, ".."), ("up/beside", FILE, "changed")],
        &[("up", LINK, "../../../../../../../../tmp"), ("up/beside", FILE, "changed")],
        &[("file", LINK, "../beside"), ("file", FILE, "changed")],
        &[("stolen", HARD, "../beside"), ("stolen", FILE, "changed")],
        &[("up", LINK, ".."), ("stolen", HARD, "up/beside"), ("stolen", FILE, "changed")],
        &[("up", LINK, ".."), ("up/.wh.beside", FILE, ""), ("up/.wh..wh..opq", FILE, "")],
        &[(".wh...", FILE, ""), ("x", FILE, "")],
    ];
    for entries in hostile {
        let place = Place::new();
        // Some are refused and some end in the root; what matters is looked at in `unpack`.
        let _ = place.unpack(&layer(entries), ROOMY);
    }
    let place = Place::new();
    place.unpack(&layer(&[(&absolute, FILE, "x")]), ROOMY).expect("unpacked");
    assert!(!Path::new(&absolute).exists());
    assert_eq!(place.read(absolute.trim_start_matches('/')), "x");
}

#[test]
fn the_same_names_do_lead_out_for_who_follows_them() {
    let place = Place::new();
    std::os::unix::fs::symlink("..", place.root().join("up")).expect("made");
    std::fs::write(place.root().join("up/beside"), "changed").expect("written");
    assert_eq!(std::fs::read(place.directory.path().join("beside")).expect("there"), b"changed");
}

#[test]
fn devices_are_left_out_and_bombs_end() {
    let place = Place::new();
    let entries =
        [("null", EntryType::Char, ""), ("disk", EntryType::Block, ""), ("p", EntryType::Fifo, "")];
    place.unpack(&layer(&entries), ROOMY).expect("unpacked");
    assert!(!place.root().join("null").exists() && !place.root().join("disk").exists());
    let pipe = std::fs::metadata(place.root().join("p")).expect("made");
    assert!(pipe.file_type().is_fifo());
    let large = "x".repeat(4000);
    let tight = Bounds { most: 5000, spare: 0 };
    let failure = place.unpack(&layer(&[("a", FILE, &large), ("b", FILE, &large)]), tight);
    assert!(failure.expect_err("too large").to_string().contains('b'));
    let full = Bounds { most: 1 << 40, spare: u64::MAX };
    let block = "x".repeat(1 << 20);
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<Entry<'_>> =
        many.iter().map(|name| (name.as_str(), FILE, block.as_str())).collect();
    let file = layer(&many);
    let failure = place.unpack(&file, full).expect_err("no room");
    assert!(format!("{failure:#}").contains("nearly full"), "{failure:#}");
}

#[test]
fn one_large_file_ends_before_the_disk_is_full() {
    let place = Place::new();
    let block = "x".repeat(80 << 20);
    let full = Bounds { most: 1 << 40, spare: u64::MAX };
    let failure = place.unpack(&layer(&[("a", FILE, &block)]), full).expect_err("no room");
    assert!(format!("{failure:#}").contains("nearly full"), "{failure:#}");
    let written = std::fs::metadata(place.root().join("a")).expect("begun").len();
    assert!(written < 80 << 20, "{written} bytes");
}

#[test]
fn no_tree_is_too_deep_to_remove() {
    let place = Place::new();
    place.unpack(&layer(&[(&"a/".repeat(49), DIRECTORY, "")]), ROOMY).expect("unpacked");
    // Each step through a link goes on where the last one ended.
    let (half, deep) = ("d/".repeat(45), "d/".repeat(44));
    let mut steps: Vec<(String, EntryType, String)> =
        vec![(half.clone(), DIRECTORY, String::new())];
    for step in 0..5 {
        let target = if step == 0 { deep.clone() } else { format!("l{}/{deep}", step - 1) };
        steps.push((format!("l{step}"), LINK, target));
        steps.push((format!("l{step}/{half}"), DIRECTORY, String::new()));
    }
    let steps: Vec<Entry<'_>> =
        steps.iter().map(|(name, kind, target)| (name.as_str(), *kind, target.as_str())).collect();
    let failure = Place::new().unpack(&layer(&steps), ROOMY).expect_err("too deep");
    assert!(format!("{failure:#}").contains("too deep"), "{failure:#}");
}

#[test]
fn a_pipe_is_no_image_and_holds_nobody_up() {
    let place = Place::new();
    let pipe = place.directory.path().join("pipe");
    let (fifo, mode) = (rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, mode, 0).expect("made");
    let failure = Archive::open(&pipe, place.directory.path(), ROOMY).expect_err("refused");
    assert!(failure.to_string().contains("no file"), "{failure}");
}

#[test]
fn what_nobody_unpacks_any_more_is_removed() {
    let place = Place::new();
    let images = place.directory.path();
    let (left, lock) = begin(images).expect("begun");
    std::fs::create_dir_all(left.join("root/bin")).expect("made");
    let (other, _held) = begin(images).expect("begun");
    assert!(left.exists(), "it is still unpacked");
    drop(lock);
    let (third, _third) = begin(images).expect("begun");
    assert!(!left.exists() && other.exists() && third.exists());
}

#[test]
fn an_image_is_what_it_says_it_is() {
    let place = Place::new();
    let good = layer(&[("a", FILE, "a")]);
    let mut archive = saved(std::slice::from_ref(&good));
    let at = archive.windows(good.len()).position(|window| window == good).expect("in it");
    // The content of the file in the layer.
    archive[at + 512] = b'b';
    let failure = place.unpack(&archive, ROOMY).expect_err("changed");
    assert!(failure.to_string().contains("not what the image says"), "{failure}");
    for (bad, reason) in [
        (&b"\xfd7zXZ\0rest"[..], "xz"),
        (&b"not an archive, but longer than that would need to be"[..], "not an image"),
    ] {
        let failure = place.open(bad).expect_err("refused");
        assert!(format!("{failure:#}").contains(reason), "{failure:#}");
    }
}

#[test]
fn what_is_written_as_an_image_is_read_as_one() {
    let place = Place::new();
    let file = place.directory.path().join("image.tar");
    let opened = std::fs::File::create(&file).expect("made");
    let mut writer = LayerWriter::begin(opened).expect("begun");
    writer.write_all(&layer(&[("etc/kept", FILE, "kept")])).expect("written");
    let (name, created) = ("x:latest".to_owned(), "2026-01-01T00:00:00Z".to_owned());
    writer.finish(&About { name, created, path: "/bin".to_owned() }).expect("ended");
    let content = std::fs::read(&file).expect("read");
    place.unpack(&content, ROOMY).expect("unpacked");
    assert_eq!(place.read("etc/kept"), "kept");
    let id = place.open(&content).expect("an image").id;
    // Without what older engines read, the layout alone says the same.
    let mut builder = tar::Builder::new(Vec::new());
    let mut source = tar::Archive::new(&content[..]);
    for entry in source.entries().expect("entries") {
        let entry = entry.expect("an entry");
        if entry.path_bytes().as_ref() != b"manifest.json" {
            let header = entry.header().clone();
            builder.append(&header, entry).expect("written");
        }
    }
    let layout = builder.into_inner().expect("ended");
    assert_eq!(place.open(&layout).expect("a layout").id, id);
}

//! Streams as an honest packer writes them, and as nobody should believe them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::{Placement, pack, unpack, unpack_outside};

mod asked;
mod fuzz;

/// One entry as an attacker writes it: nothing is checked.
fn entry(kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o6777);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &str) -> Vec<u8> {
    entry(b'0', name.as_bytes(), b"", content.as_bytes())
}

fn directory(name: &str) -> Vec<u8> {
    entry(b'5', name.as_bytes(), b"", b"")
}

fn link(name: &str, to: &str) -> Vec<u8> {
    entry(b'2', name.as_bytes(), to.as_bytes(), b"")
}

fn hard_link(name: &str, to: &str) -> Vec<u8> {
    entry(b'1', name.as_bytes(), to.as_bytes(), b"")
}

fn pax(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut records = String::new();
    for (key, value) in pairs {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while format!("{length}{rest}").len() != length {
            length = format!("{length}{rest}").len();
        }
        records.push_str(&format!("{length}{rest}"));
    }
    entry(b'x', b"pax", b"", records.as_bytes())
}

fn stream(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Everything below a directory: what it is, its content or target, its rights and its age.
fn picture(root: &Path) -> BTreeMap<PathBuf, String> {
    fn add(directory: &Path, root: &Path, all: &mut BTreeMap<PathBuf, String>) {
        for found in fs::read_dir(directory).expect("read") {
            let path = found.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("found");
            let what = if meta.is_dir() {
                add(&path, root, all);
                "directory".to_owned()
            } else if meta.is_symlink() {
                format!("link to {}", fs::read_link(&path).expect("a link").display())
            } else if meta.is_file() {
                let text = fs::read(&path).expect("read");
                format!("{:?} with {} names", String::from_utf8_lossy(&text), meta.nlink())
            } else {
                "special".to_owned()
            };
            let name = path.strip_prefix(root).expect("below").to_owned();
            all.insert(name, format!("{what}, mode {:o}", meta.permissions().mode()));
        }
    }
    let mut all = BTreeMap::new();
    add(root, root, &mut all);
    all
}

/// A directory to copy to, and beside it what must stay as it is.
struct Ground {
    root: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["outside", "target", "target-sibling"] {
            fs::create_dir(root.path().join(name)).expect("made");
        }
        fs::write(root.path().join("outside/secret"), "secret").expect("written");
        fs::write(root.path().join("target-sibling/kept"), "kept").expect("written");
        fs::write(root.path().join("target/mine"), "mine").expect("written");
        symlink("../outside", root.path().join("target/planted")).expect("linked");
        symlink("../outside/secret", root.path().join("target/planted-file")).expect("linked");
        Self { root }
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("target")
    }

    /// What is beside the target, its own names included.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut all = picture(self.root.path());
        all.retain(|name, _| !name.starts_with("target"));
        all
    }

    /// What a stream says, done as it is said: by name, through what is there.
    fn believe(&self, bytes: &[u8]) {
        let target = self.target();
        let mut archive = tar::Archive::new(bytes);
        for entry in archive.entries().expect("entries") {
            let Ok(mut entry) = entry else { return };
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = PathBuf::from(format!("{}/{name}", target.display()));
            let path = if name.starts_with('/') { PathBuf::from(name) } else { path };
            let to = entry.link_name_bytes().map(|it| String::from_utf8_lossy(&it).into_owned());
            match entry.header().entry_type() {
                EntryType::Directory => drop(fs::create_dir_all(&path)),
                EntryType::Symlink => drop(symlink(to.expect("a target"), &path)),
                EntryType::Link => {
                    let to = to.expect("a target");
                    let to = if to.starts_with('/') { to.into() } else { target.join(to) };
                    drop(fs::hard_link(to, &path));
                }
                _ => {
                    let mut content = Vec::new();
                    drop(std::io::Read::read_to_end(&mut entry, &mut content));
                    drop(fs::write(&path, content));
                }
            }
        }
    }
}

/// Streams that lead out of the target when they are believed.
fn escapes(root: &Path) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let absolute = |name: &str| root.join(name).display().to_string();
    let deep = format!("a/{}x", "b/../".repeat(3));
    vec![
        ("up", vec![file("../outside/new", "x")]),
        ("up from below", vec![directory("a"), file("a/../../outside/new", "x")]),
        (
            "up and down again",
            vec![
                directory("a"),
                directory("a/b"),
                file(&deep, "x"),
                file("../target-sibling/kept", "x"),
            ],
        ),
        ("absolute", vec![file(&absolute("outside/new"), "x")]),
        (
            "absolute after a dot",
            vec![
                file(&format!("{}/", absolute("outside/x")), ""),
                file(&absolute("outside/secret"), "x"),
            ],
        ),
        ("through a link of its own", vec![link("a", "../outside"), file("a/new", "x")]),
        ("through an absolute link", vec![link("a", &absolute("outside")), file("a/new", "x")]),
        ("through two links", vec![link("a", ".."), link("b", "a/outside"), file("b/new", "x")]),
        (
            "through a link to the root",
            vec![link("a", "/"), file(&format!("a{}", absolute("outside/new")), "x")],
        ),
        ("onto a link of its own", vec![link("a", "../outside/secret"), file("a", "x")]),
        ("through a planted link", vec![file("planted/new", "x")]),
        ("onto a planted link", vec![file("planted-file", "x")]),
        ("a directory over a planted link", vec![directory("planted"), file("planted/new", "x")]),
        ("a link in a planted link", vec![link("planted/new", "secret")]),
        ("a directory in a planted link", vec![directory("planted/new")]),
        ("a hard link to outside", vec![hard_link("a", "../outside/secret"), file("a", "x")]),
        (
            "an absolute hard link",
            vec![hard_link("a", &absolute("outside/secret")), file("a", "x")],
        ),
        (
            "a hard link through a planted link",
            vec![hard_link("a", "planted/secret"), file("a", "x")],
        ),
        ("a name that shares the target's beginning", vec![file("../target-sibling/kept", "x")]),
        ("a PAX name", vec![pax(&[("path", "../outside/new")]), file("a", "x")]),
        (
            "a PAX link",
            vec![pax(&[("linkpath", "../outside/secret")]), hard_link("a", "mine"), file("a", "x")],
        ),
        (
            "a long name",
            vec![
                entry(
                    b'L',
                    b"././@LongLink",
                    b"",
                    format!("{}../outside/new\0", "./".repeat(60)).as_bytes(),
                ),
                file("a", "x"),
            ],
        ),
        (
            "twice, a link in between",
            vec![file("a", "1"), link("b", "../outside"), directory("b"), file("b/new", "x")],
        ),
    ]
}

#[test]
fn no_stream_leads_out_of_the_target_and_each_would_when_believed() {
    for (index, (what, _)) in escapes(Path::new("/")).iter().enumerate() {
        let control = Ground::new();
        let before = (control.outside(), picture(control.root.path()));
        let (_, entries) = escapes(control.root.path()).swap_remove(index);
        control.believe(&stream(&entries));
        let sibling =
            |all: &BTreeMap<PathBuf, String>| all[Path::new("target-sibling/kept")].clone();
        let after = picture(control.root.path());
        let escaped = control.outside() != before.0 || sibling(&after) != sibling(&before.1);
        assert!(escaped, "{what}: this proves nothing, it does not lead out when believed");

        for placement in [Placement::Into, Placement::Copy] {
            let ground = Ground::new();
            let before = (ground.outside(), sibling(&picture(ground.root.path())));
            let (_, entries) = escapes(ground.root.path()).swap_remove(index);
            let _ = unpack(stream(&entries).as_slice(), &ground.target(), placement);
            let after = (ground.outside(), sibling(&picture(ground.root.path())));
            assert_eq!(after, before, "{what}, {placement:?}");
        }
    }
}

#[test]
fn what_a_stream_may_not_hold_is_refused_by_name() {
    let bad_sum = {
        let mut bytes = file("a", "x");
        bytes[148] = b'7';
        bytes
    };
    let mut endless = Vec::new();
    for _ in 0..64 {
        endless.extend(pax(&[("comment", "x")]));
    }
    let huge_name = entry(b'L', b"long", b"", &[b'a'; 8000]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("leads out of the target", vec![file("a/../b", "x")]),
        ("absolute", vec![file("/a", "x")]),
        ("type '6'", vec![entry(b'6', b"fifo", b"", b"")]),
        ("type '3'", vec![entry(b'3', b"device", b"", b"")]),
        ("type '4'", vec![entry(b'4', b"disk", b"", b"")]),
        ("a link or a file is in its way", vec![file("planted/x", "x")]),
        ("a link or a file is in its way", vec![file("a", "x"), file("a/b", "x")]),
        ("a link or a file is in its way", vec![link("a", "b"), directory("a")]),
        ("is no file has 4 bytes", vec![entry(b'2', b"a", b"b", b"data")]),
        ("is no file has 4 bytes", vec![entry(b'5', b"a", b"", b"data")]),
        ("there is room for", vec![pax(&[("size", "9000000000000000000")]), file("a", "x")]),
        (
            "not a tar stream",
            vec![pax(&[("size", "700")]), file("a", "x"), file("b", "x"), file("c", "x")],
        ),
        ("PAX size", vec![pax(&[("size", "-1")]), file("a", "x")]),
        ("sparse", vec![pax(&[("GNU.sparse.major", "1")]), file("a", "x")]),
        ("PAX record", vec![entry(b'x', b"pax", b"", b"99 path=../x\n"), file("a", "x")]),
        ("not a tar stream", vec![bad_sum]),
        ("described without end", vec![endless]),
        ("has 8000 bytes", vec![huge_name]),
        ("its name has a zero", vec![pax(&[("path", "a\0b")]), file("a", "x")]),
        ("its target is not a file", vec![hard_link("a", "planted-file")]),
        ("its target", vec![hard_link("a", "nothing")]),
    ];
    for (message, entries) in cases {
        let ground = Ground::new();
        let before = ground.outside();
        let error = unpack(stream(&entries).as_slice(), &ground.target(), Placement::Into)
            .expect_err(message);
        assert!(format!("{error:#}").contains(message), "{error:#}, not: {message}");
        assert_eq!(ground.outside(), before, "{message}");
    }
    let ground = Ground::new();
    let cut = &file("a", "content")[..600];
    let error = unpack(cut, &ground.target(), Placement::Into).expect_err("cut off");
    assert!(format!("{error:#}").contains("cut off"), "{error:#}");
    assert!(unpack(&[][..], &ground.target(), Placement::Into).is_err());
}

#[test]
fn a_copy_stays_below_the_one_name_it_was_asked_for() {
    let ground = Ground::new();
    let entries = [directory("out"), file("out/a", "1"), file("mine", "2")];
    let error = unpack(stream(&entries).as_slice(), &ground.target(), Placement::Copy)
        .expect_err("two roots");
    assert!(format!("{error:#}").contains("not below what was asked for"), "{error:#}");
    assert_eq!(fs::read(ground.target().join("mine")).expect("read"), b"mine");
}

#[test]
fn what_is_written_has_plain_rights_and_the_last_of_two_counts() {
    let ground = Ground::new();
    let fifo = ground.target().join("fifo");
    let entries = [
        file("a", "1"),
        file("a", "2"),
        link("a", "nowhere"),
        file("a", "3"),
        hard_link("b", "a"),
        hard_link("b", "a"),
        file("planted-file", "mine now"),
        link("dangling", "../../../etc/passwd"),
    ];
    unpack(stream(&entries).as_slice(), &ground.target(), Placement::Into).expect("written");
    let target = ground.target();
    assert_eq!(fs::read(target.join("a")).expect("read"), b"3");
    assert_eq!(fs::read(target.join("b")).expect("read"), b"3");
    assert_eq!(fs::metadata(target.join("a")).expect("found").mode() & 0o7000, 0, "no setuid");
    assert!(fs::symlink_metadata(target.join("planted-file")).expect("found").is_file());
    assert_eq!(
        fs::read_link(target.join("dangling")).expect("a link"),
        Path::new("../../../etc/passwd")
    );
    assert!(!fifo.exists());
    let left: Vec<PathBuf> = picture(&target)
        .into_keys()
        .filter(|name| name.to_string_lossy().contains(".agent"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "no half-written file is left");
}

/// A tree with what is hard to carry.
fn tree(root: &Path) -> PathBuf {
    let source = root.join("source");
    let long = "d".repeat(120);
    fs::create_dir_all(source.join(&long).join("deep")).expect("made");
    fs::write(source.join("empty"), "").expect("written");
    fs::write(source.join("block"), [b'x'; 512]).expect("written");
    fs::write(source.join(&long).join("deep/file"), "deep").expect("written");
    let odd = std::ffi::OsStr::from_bytes(b"not \xff text\n");
    fs::write(source.join(odd), "odd").expect("written");
    fs::write(source.join("script"), "#!/bin/sh\n").expect("written");
    fs::set_permissions(source.join("script"), fs::Permissions::from_mode(0o755)).expect("set");
    symlink("t".repeat(150), source.join("link")).expect("linked");
    source
}

fn packed(source: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let skipped = pack(source, &mut bytes).expect("packed");
    assert!(skipped.is_empty(), "{skipped}");
    bytes
}

#[test]
fn a_tree_arrives_as_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let source = tree(root.path());
    let bytes = packed(&source);
    let copy = root.path().join("copy");
    unpack(bytes.as_slice(), &copy, Placement::Copy).expect("a new name");
    assert_eq!(picture(&copy), picture(&source));
    let modified = |root: &Path| fs::metadata(root.join("block")).expect("found").mtime();
    assert_eq!(modified(&copy), modified(&source));
    unpack(bytes.as_slice(), &copy, Placement::Copy).expect("into a directory");
    assert_eq!(picture(&copy.join("source")), picture(&source));
    fs::remove_dir_all(copy.join("source")).expect("removed");
    unpack(packed(&source.join(".")).as_slice(), &copy, Placement::Copy).expect("its content");
    assert_eq!(picture(&copy), picture(&source));
    let other = root.path().join("other");
    fs::create_dir(&other).expect("made");
    unpack(bytes.as_slice(), &other, Placement::Into).expect("under its own name");
    assert_eq!(picture(&other.join("source")), picture(&source));
}

#[test]
fn other_tar_programs_read_ours_and_theirs_are_read() {
    let root = tempfile::tempdir().expect("a directory");
    let source = tree(root.path());
    let (theirs, ours) = (root.path().join("theirs"), root.path().join("ours"));
    fs::create_dir(&theirs).expect("made");
    fs::create_dir(&ours).expect("made");
    let mut tar = std::process::Command::new("tar")
        .args(["-x", "-f", "-", "-C"])
        .arg(&theirs)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    tar.stdin.take().expect("piped").write_all(&packed(&source)).expect("written");
    assert!(tar.wait().expect("ended").success());
    assert_eq!(picture(&theirs.join("source")), picture(&source));
    for format in ["gnu", "pax"] {
        let output = std::process::Command::new("tar")
            .args(["-c", "-f", "-", "--format", format, "-C"])
            .args([root.path(), Path::new("source")])
            .output()
            .expect("ran");
        unpack(output.stdout.as_slice(), &ours, Placement::Into).expect(format);
        assert_eq!(picture(&ours.join("source")), picture(&source), "{format}");
        fs::remove_dir_all(ours.join("source")).expect("removed");
    }
}

#[test]
fn a_file_goes_where_a_user_of_cp_expects_it() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    fs::write(path("a"), "a").expect("written");
    fs::create_dir(path("dir")).expect("made");
    let copy = |to: &str| {
        let slash = std::ffi::OsString::from_vec(format!("{}/{to}", root.path().display()).into());
        unpack(packed(&path("a")).as_slice(), Path::new(&slash), Placement::Copy)
    };
    copy("new").expect("a new name");
    copy("new").expect("over a file");
    copy("dir").expect("into a directory");
    copy("dir/").expect("into a directory");
    assert_eq!(fs::read(path("new")).expect("read"), b"a");
    assert_eq!(fs::read(path("dir/a")).expect("read"), b"a");
    copy("missing/").expect_err("no directory");
    copy("missing/a").expect_err("no parent");
    let error = unpack(packed(&path("dir")).as_slice(), &path("a"), Placement::Copy);
    assert!(format!("{:#}", error.expect_err("a file")).contains("not a directory"));
}

#[test]
fn what_cannot_travel_is_left_out_and_said() {
    let root = tempfile::tempdir().expect("a directory");
    let source = root.path().join("source");
    fs::create_dir(&source).expect("made");
    fs::write(source.join("file"), "x").expect("written");
    let _listener = std::os::unix::net::UnixListener::bind(source.join("socket")).expect("bound");
    assert!(fs::symlink_metadata(source.join("socket")).expect("found").file_type().is_socket());
    let mut bytes = Vec::new();
    let skipped = pack(&source, &mut bytes).expect("packed");
    assert!(skipped.to_string().contains("source/socket: neither a file"), "{skipped}");
    let copy = root.path().join("copy");
    unpack(bytes.as_slice(), &copy, Placement::Copy).expect("written");
    assert_eq!(fs::read_dir(&copy).expect("read").count(), 1);
    pack(&root.path().join("absent"), &mut Vec::new()).expect_err("nothing there");
}

#[test]
fn a_copy_out_of_a_box_brings_no_git_directory() {
    let names =
        [".git/config", ".GIT/hooks/post-checkout", "deep/.git. /config", "a/git~1/x", ".git"];
    for name in names {
        let entries = [directory("."), file(name, "[core]\n"), file("kept", "x")];
        let control = Ground::new();
        unpack(stream(&entries).as_slice(), &control.target(), Placement::Copy).expect("written");
        assert!(control.target().join(name).exists(), "{name}: this proves nothing");

        let ground = Ground::new();
        let skipped = unpack_outside(stream(&entries).as_slice(), &ground.target(), b".");
        assert!(skipped.expect("written").to_string().contains(name), "{name} is told");
        assert!(!ground.target().join(name).exists(), "{name}");
        assert!(ground.target().join("kept").exists());
    }
    let ground = Ground::new();
    let own = ground.target().join(".git");
    fs::create_dir(&own).expect("made");
    let entries = [directory("."), file("config", "x")];
    let failure = unpack_outside(stream(&entries).as_slice(), &own, b".").expect_err("refused");
    assert!(failure.to_string().contains("repository's own"), "{failure:#}");
    let entries = [file(".gitignore", "x"), file(".gitmodules", "x")];
    let skipped =
        unpack_outside(stream(&entries[..1]).as_slice(), &ground.target(), b"a/.gitignore");
    assert!(skipped.expect("written").is_empty());
}

/// Files of the kernel's own may have a size, be opened, and fail when they are read.
#[test]
fn a_file_that_fails_while_it_is_read_leaves_the_others_whole() {
    let own = fs::read_dir("/sys/class/net/lo").into_iter().flatten().flatten();
    let fails = |path: &PathBuf| fs::File::open(path).is_ok() && fs::read(path).is_err();
    let Some(path) = own.map(|entry| entry.path()).find(|path| path.is_file() && fails(path))
    else {
        return;
    };
    let mut stream = Vec::new();
    let skipped = pack(&path, &mut stream).expect("packed");
    assert!(
        skipped.to_string().contains(path.file_name().expect("a name").to_str().expect("text"))
    );
    let size = fs::metadata(&path).expect("found").len() as usize;
    assert_eq!(stream.len(), 512 + size.next_multiple_of(512) + 1024);
}

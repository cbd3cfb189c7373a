//! An image in a file, as `docker save`, an OCI layout or a plain root have it: which layers, in
//! which order, and what they must be. The file may come from anybody.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::writer::{architecture, hex};
use crate::engine::headers::{Bounded, Names};
use crate::engine::plain::{BEGINNING, is_gzip, read_up_to, refuse_unread, uncompressed};
use crate::engine::room::Bounds;
use crate::model::failure::{Failure, FailureKind};

/// Entries of an archive; a plain root of a large distribution has a tenth.
const ENTRIES: usize = 4_000_000;

/// The largest description: those of real images have some kilobytes.
const DESCRIPTION: u64 = 4 << 20;

/// Layers of an image; the kernel's own file systems stop far below.
const LAYERS: usize = 1000;

/// Links between entries, and between descriptions, that are followed.
const STEPS: usize = 5;

/// An opened image.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    pub(super) layers: Vec<Layer>,
    /// The digest of what describes the image, or of the file where nothing does.
    pub(crate) id: String,
    /// Variables of its programs, `NAME=VALUE`.
    pub(crate) environment: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    start: u64,
    size: u64,
    /// The digest of its files, without compression.
    pub(super) digest: Option<String>,
}

/// Where an entry of the archive is.
#[derive(Clone, Debug)]
enum Place {
    At { start: u64, size: u64 },
    Link(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: Root,
}

#[derive(Deserialize)]
struct RunConfig {
    #[serde(default, rename = "Env")]
    environment: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Root {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl Archive {
    /// Reads what is in the file. A compressed one is unpacked in `scratch` first, within `bounds`.
    pub(crate) fn open(path: &Path, scratch: &Path, bounds: Bounds) -> anyhow::Result<Self> {
        // A pipe that nobody writes to would keep the opener for ever.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        if !file.metadata()?.is_file() {
            let message = format!("{} is no file", path.display());
            return Err(Failure::new(FailureKind::Invalid, message).into());
        }
        let file = uncompressed(file, scratch, bounds, &mut |_| ())?;
        read(file).with_context(|| format!("{} is not an image", path.display()))
    }

    /// The files of a layer as they were archived, compressed or not.
    pub(super) fn open_layer(&self, layer: &Layer) -> anyhow::Result<Box<dyn Read>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(layer.start))?;
        let mut content = file.take(layer.size);
        let mut beginning = [0; BEGINNING];
        let length = read_up_to(&mut content, &mut beginning)?;
        refuse_unread(&beginning[..length])?;
        let content = io::Cursor::new(beginning[..length].to_vec()).chain(content);
        Ok(if is_gzip(&beginning) {
            Box::new(MultiGzDecoder::new(io::BufReader::new(content)))
        } else {
            Box::new(content)
        })
    }
}

fn read(mut file: File) -> anyhow::Result<Archive> {
    let entries = entries(&mut file)?;
    let mut source = Source { file, entries };
    if source.entries.contains_key("manifest.json") {
        return source.saved();
    }
    if source.entries.contains_key("index.json") && source.entries.contains_key("oci-layout") {
        return source.layout();
    }
    let size = source.file.metadata()?.len();
    anyhow::ensure!(!source.entries.is_empty(), "it has no files");
    let id = digest_of(&mut source.file)?;
    let layers = vec![Layer { start: 0, size, digest: None }];
    Ok(Archive { file: source.file, layers, id, environment: Vec::new() })
}

/// Where each file of the archive is, by its name without a leading `./`.
fn entries(file: &mut File) -> anyhow::Result<HashMap<String, Place>> {
    file.rewind()?;
    let mut found = HashMap::new();
    let (reader, bound) = Bounded::new(&mut *file);
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries_with_seek()?;
    let mut names = Names::default();
    while let Some(entry) = bound.next(&mut entries) {
        let entry = entry?;
        anyhow::ensure!(found.len() < ENTRIES, "it has too many files");
        let link = entry.link_name_bytes().map_or(0, |link| link.len());
        names.add(entry.path_bytes().len() + link)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        let place = if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            Place::Link(if kind.is_symlink() { beside(&name, &target) } else { target })
        } else {
            Place::At { start: entry.raw_file_position(), size: entry.size() }
        };
        found.insert(name, place);
    }
    Ok(found)
}

/// The entry that a relative link in the archive means. One that leads out of it means none.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

struct Source {
    file: File,
    entries: HashMap<String, Place>,
}

impl Source {
    fn find(&self, name: &str) -> anyhow::Result<(u64, u64)> {
        let mut name = name;
        for _ in 0..STEPS {
            match self.entries.get(name) {
                Some(Place::At { start, size }) => return Ok((*start, *size)),
                Some(Place::Link(target)) => name = target,
                None => break,
            }
        }
        anyhow::bail!("{name} is not in it")
    }

    fn content(&mut self, name: &str) -> anyhow::Result<Vec<u8>> {
        let (start, size) = self.find(name)?;
        anyhow::ensure!(size <= DESCRIPTION, "{name} is too large");
        self.file.seek(SeekFrom::Start(start))?;
        let mut content = Vec::new();
        (&mut self.file).take(size).read_to_end(&mut content)?;
        Ok(content)
    }

    /// A description by its digest, which it must have.
    fn blob(&mut self, digest: &str) -> anyhow::Result<Vec<u8>> {
        let content = self.content(&blob_name(digest)?)?;
        let found = format!("sha256:{}", hex(Sha256::new_with_prefix(&content)));
        anyhow::ensure!(found == digest, "what is called {digest} is {found}");
        Ok(content)
    }

    /// As `docker save` writes it.
    fn saved(mut self) -> anyhow::Result<Archive> {
        let saved: Vec<Saved> = serde_json::from_slice(&self.content("manifest.json")?)
            .context("manifest.json is malformed")?;
        let [saved] = &saved[..] else {
            let message = format!("the file holds {} images", saved.len());
            let hint = "save the one that is meant: docker save NAME >FILE.tar";
            return Err(Failure::new(FailureKind::Invalid, message).hint(hint).into());
        };
        let config = self.content(&saved.config)?;
        self.described(&config, &saved.layers)
    }

    /// As the Open Container Initiative's image layout has it.
    fn layout(mut self) -> anyhow::Result<Archive> {
        let mut text = self.content("index.json")?;
        for _ in 0..STEPS {
            let Ok(index) = serde_json::from_slice::<Index>(&text) else { break };
            let chosen = choose(&index.manifests)?;
            text = self.blob(&chosen.digest)?;
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).context("its manifest is malformed")?;
        let readable = |layer: &Descriptor| {
            let kind = &layer.media_type;
            anyhow::ensure!(
                kind.is_empty() || kind.ends_with("tar") || kind.ends_with("gzip"),
                "a layer is of the kind {kind}, which is not read here"
            );
            blob_name(&layer.digest)
        };
        let layers: Vec<String> =
            manifest.layers.iter().map(readable).collect::<anyhow::Result<_>>()?;
        let config = self.blob(&manifest.config.digest)?;
        self.described(&config, &layers)
    }

    fn described(self, config: &[u8], names: &[String]) -> anyhow::Result<Archive> {
        let id = hex(Sha256::new_with_prefix(config));
        let config: Config = serde_json::from_slice(config).context("its config is malformed")?;
        let digests = &config.rootfs.diff_ids;
        anyhow::ensure!(digests.len() == names.len(), "it has other layers than it says");
        anyhow::ensure!((1..=LAYERS).contains(&names.len()), "it has {} layers", names.len());
        let layers = names.iter().zip(digests).map(|(name, digest)| {
            let (start, size) = self.find(name)?;
            Ok(Layer { start, size, digest: Some(digest.clone()) })
        });
        let layers = layers.collect::<anyhow::Result<_>>()?;
        let environment = config.config.and_then(|config| config.environment).unwrap_or_default();
        Ok(Archive { layers, file: self.file, id, environment })
    }
}

/// The one image of an index, or the one for this machine.
fn choose(found: &[Descriptor]) -> anyhow::Result<&Descriptor> {
    let fits = |descriptor: &&Descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_some_and(|it| it.os == "linux" && it.architecture == architecture())
    };
    match found {
        [only] => Ok(only),
        several => {
            let fitting = several.iter().find(fits);
            fitting.with_context(|| format!("it has no image for linux/{}", architecture()))
        }
    }
}

fn blob_name(digest: &str) -> anyhow::Result<String> {
    let digits = digest
        .strip_prefix("sha256:")
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    Ok(format!("blobs/sha256/{}", digits.with_context(|| format!("{digest} is not a digest"))?))
}

fn digest_of(file: &mut File) -> anyhow::Result<String> {
    file.rewind()?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(digest));
        }
        digest.update(&buffer[..count]);
    }
}

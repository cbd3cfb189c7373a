//! Writes a directory tree as an image of one layer: an archive that `docker load` takes and that
//! is an OCI image layout as well.
//!
//! The layer goes into the archive as it is read, so nothing is on disk twice. Its name is its
//! digest, known at its end only: the entry's header is written last, in the place kept for it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Size of a header and unit of contents (`tar(5)`).
const BLOCK: usize = 512;

/// Bytes collected before they go to the file.
const BUFFER: usize = 1 << 20;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What an image says of itself.
pub(crate) struct About {
    /// With a tag.
    pub(crate) name: String,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) path: String,
}

/// The layer while it is written.
pub(crate) struct LayerWriter {
    file: BufWriter<File>,
    digest: Sha256,
    written: u64,
}

impl LayerWriter {
    /// Begins the archive in an empty file.
    pub(crate) fn begin(file: File) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(BUFFER, file);
        file.write_all(&[0; BLOCK])?;
        Ok(Self { file, digest: Sha256::new(), written: 0 })
    }

    /// Ends the layer and writes what makes it an image.
    pub(crate) fn finish(mut self, about: &About) -> anyhow::Result<()> {
        let padding = BLOCK - (self.written as usize % BLOCK);
        if padding < BLOCK {
            self.file.write_all(&[0; BLOCK][..padding])?;
        }
        let layer = hex(self.digest);
        let size = self.written;
        let mut rest = tar::Builder::new(self.file);
        describe(&mut rest, about, &layer, size).context("cannot describe the image")?;
        let mut file = rest.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(header(&blob(&layer), size)?.as_bytes())?;
        Ok(file.sync_all()?)
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn describe(
    archive: &mut tar::Builder<BufWriter<File>>,
    about: &About,
    layer: &str,
    size: u64,
) -> anyhow::Result<()> {
    let config = serde_json::to_vec(&json!({
        "created": about.created,
        "architecture": architecture(),
        "os": "linux",
        "config": { "Env": [format!("PATH={}", about.path)], "Cmd": ["/bin/sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": about.created, "created_by": "agentdeck save" }],
    }))?;
    let config_name = add_blob(archive, &config)?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config_name, config.len() as u64),
        "layers": [descriptor(LAYER, layer, size)],
    }))?;
    let manifest_name = add_blob(archive, &manifest)?;
    let mut entry = descriptor(MANIFEST, &manifest_name, manifest.len() as u64);
    entry["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{}", about.name),
        "org.opencontainers.image.ref.name": about.name.rsplit(':').next(),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    add(archive, "index.json", &serde_json::to_vec(&index)?)?;
    add(archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    // What Docker before version 25 reads.
    let legacy = json!([{
        "Config": blob(&config_name),
        "RepoTags": [about.name],
        "Layers": [blob(layer)],
    }]);
    Ok(add(archive, "manifest.json", &serde_json::to_vec(&legacy)?)?)
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
}

fn add_blob(archive: &mut tar::Builder<BufWriter<File>>, content: &[u8]) -> io::Result<String> {
    let name = hex(Sha256::new_with_prefix(content));
    add(archive, &blob(&name), content)?;
    Ok(name)
}

fn add(archive: &mut tar::Builder<BufWriter<File>>, name: &str, content: &[u8]) -> io::Result<()> {
    archive.append(&header(name, content.len() as u64)?, content)
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn header(name: &str, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

pub(super) fn hex(digest: Sha256) -> String {
    let digits: Vec<String> = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// The processor as image tools name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

//! What an archive holds: an image as `docker save` or an OCI tool writes it, or plain files.
//!
//! Only the tables of contents are read here. Layers are for the engine, which compares each with
//! the digest in the image's configuration.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::docker::connect::hexadecimal;
use crate::engine::headers::{Bounded, Names};
use crate::model::failure::{Failure, FailureKind};

/// Largest table of contents or configuration that is read, in bytes; real ones have kilobytes.
const MAX_DOCUMENT: u64 = 4 << 20;
/// Most files of an image that are remembered; its tables of contents and layers are a few dozen.
const MAX_REMEMBERED: usize = 4096;
/// How deep indexes may lie in each other; two are in use.
const MAX_DEPTH: usize = 4;
/// A block of an archive; files are padded to whole ones.
const BLOCK: u64 = 512;

/// What is in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The files of a root.
    Root,
    /// One image.
    Image {
        /// What engines know it by: the digest of its configuration.
        id: String,
        /// A table of contents that names this image and gives it no tag. Appended, it takes the
        /// place of any other: loading an archive moves no tag of the user's.
        manifest: Vec<u8>,
        /// Where the archive's last file ends.
        end: u64,
    },
}

/// An entry of `manifest.json` (the format of `docker save`, version 1.2).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// An index or a manifest (OCI image specification 1.1).
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl Platform {
    fn is_ours(&self) -> bool {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.os == "linux" && self.architecture == architecture
    }
}

/// Looks into an archive. Blocking.
pub(super) fn read(path: &Path, file: &File) -> Result<Content, Failure> {
    Table::read(file).and_then(|mut table| table.content()).map_err(|error| {
        let message = format!("{} is not an image: {error}", path.display());
        Failure::new(FailureKind::Invalid, message)
            .hint("make one with agentdeck save --output, docker save, or tar")
    })
}

/// Where the parts of an image lie in an archive.
struct Table<'a> {
    file: &'a File,
    /// Offset and length by name.
    places: HashMap<String, (u64, u64)>,
    end: u64,
}

impl<'a> Table<'a> {
    fn read(file: &'a File) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        let mut table = Self { file, places: HashMap::new(), end: 0 };
        table.file.seek(SeekFrom::Start(0))?;
        let (reader, bound) = Bounded::new(BufReader::new(file));
        let mut archive = tar::Archive::new(reader);
        let mut entries = archive.entries_with_seek()?;
        let mut names = Names::default();
        while let Some(entry) = bound.next(&mut entries) {
            let entry = entry?;
            let (start, size) = (entry.raw_file_position(), entry.size());
            table.end = start.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
            anyhow::ensure!(start.saturating_add(size) <= length, "it is cut short");
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let is_part = name.starts_with("blobs/sha256/")
                || (!name.contains('/') && Path::new(&name).extension() == Some("json".as_ref()));
            if is_part && entry.header().entry_type().is_file() {
                anyhow::ensure!(table.places.len() < MAX_REMEMBERED, "it has too many parts");
                names.add(name.len())?;
                table.places.insert(name, (start, size));
            }
        }
        anyhow::ensure!(table.end > 0, "it is empty or not an archive");
        Ok(table)
    }

    fn content(&mut self) -> anyhow::Result<Content> {
        let saved = if self.places.contains_key("manifest.json") {
            self.saved()?
        } else if self.places.contains_key("index.json") {
            self.indexed()?
        } else {
            return Ok(Content::Root);
        };
        let config = self.document(&saved.config)?;
        let id = format!("sha256:{}", hexadecimal(&Sha256::digest(&config)));
        let manifest = serde_json::to_vec(&[Saved { repo_tags: None, ..saved }])?;
        Ok(Content::Image { id, manifest, end: self.end })
    }

    fn document(&mut self, name: &str) -> anyhow::Result<Vec<u8>> {
        let place = self.places.get(name);
        let &(start, size) = place.ok_or_else(|| anyhow::anyhow!("it lacks its part {name:?}"))?;
        anyhow::ensure!(size <= MAX_DOCUMENT, "its part {name:?} is too large");
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        self.file.take(size).read_to_end(&mut text)?;
        Ok(text)
    }

    fn saved(&mut self) -> anyhow::Result<Saved> {
        let mut saved: Vec<Saved> = serde_json::from_slice(&self.document("manifest.json")?)?;
        anyhow::ensure!(saved.len() == 1, "it holds {} images", saved.len());
        Ok(saved.remove(0))
    }

    /// The same from an OCI image layout, whose parts are named by their digests.
    fn indexed(&mut self) -> anyhow::Result<Saved> {
        let mut name = "index.json".to_owned();
        for _ in 0..MAX_DEPTH {
            let document: Document = serde_json::from_slice(&self.document(&name)?)?;
            if let Some(config) = document.config {
                let layers = document.layers.iter().map(|layer| blob(&layer.digest));
                let layers = layers.collect::<anyhow::Result<_>>()?;
                return Ok(Saved { config: blob(&config.digest)?, repo_tags: None, layers });
            }
            let ours = |one: &&Descriptor| one.platform.as_ref().is_none_or(Platform::is_ours);
            let fitting: Vec<_> = document.manifests.iter().filter(ours).collect();
            anyhow::ensure!(fitting.len() == 1, "it holds {} images for here", fitting.len());
            name = blob(&fitting[0].digest)?;
        }
        anyhow::bail!("its indexes lie too deep in each other")
    }
}

fn blob(digest: &str) -> anyhow::Result<String> {
    let digits = digest.strip_prefix("sha256:").filter(|digits| {
        digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    let digits = digits.ok_or_else(|| anyhow::anyhow!("{digest:?} is not a digest"))?;
    Ok(format!("blobs/sha256/{digits}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn digest(content: &[u8]) -> String {
        hexadecimal(&Sha256::digest(content))
    }

    fn written(files: &[(String, Vec<u8>)]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().expect("a file"));
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_slice()).expect("added");
        }
        builder.into_inner().expect("written")
    }

    fn found(files: &[(&str, &[u8])]) -> Result<Content, Failure> {
        let files: Vec<_> =
            files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
        read(Path::new("box.tar"), &written(&files))
    }

    #[test]
    fn a_saved_image_loses_its_tags() {
        let table = br#"[{"Config":"c.json","RepoTags":["debian:12"],"Layers":["l/layer.tar"]}]"#;
        let files: [(&str, &[u8]); 3] =
            [("l/layer.tar", b"layer"), ("c.json", b"{}"), ("manifest.json", table)];
        let Content::Image { id, manifest, end } = found(&files).expect("read") else {
            panic!("it is an image")
        };
        assert_eq!(id, format!("sha256:{}", digest(b"{}")));
        let text = String::from_utf8(manifest).expect("text");
        assert_eq!(text, r#"[{"Config":"c.json","RepoTags":null,"Layers":["l/layer.tar"]}]"#);
        assert_eq!(end, 6 * BLOCK);
    }

    #[test]
    fn an_oci_layout_is_found_through_its_indexes() {
        let config = b"{\"os\":\"linux\"}".to_vec();
        let named =
            |content: &[u8]| (format!("blobs/sha256/{}", digest(content)), content.to_vec());
        let (layer, arch) = ("0".repeat(64), std::env::consts::ARCH);
        let architecture = if arch == "x86_64" { "amd64" } else { arch };
        let manifest = format!(
            r#"{{"config":{{"digest":"sha256:{}"}},"layers":[{{"digest":"sha256:{layer}"}}]}}"#,
            digest(&config)
        );
        let inner = format!(
            r#"{{"manifests":[{{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"{architecture}"}}}},
               {{"digest":"sha256:{layer}","platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#,
            digest(manifest.as_bytes())
        );
        let index =
            format!(r#"{{"manifests":[{{"digest":"sha256:{}"}}]}}"#, digest(inner.as_bytes()));
        let files = [
            ("index.json".to_owned(), index.into_bytes()),
            named(inner.as_bytes()),
            named(manifest.as_bytes()),
            named(&config),
        ];
        let content = read(Path::new("box.tar"), &written(&files)).expect("read");
        let Content::Image { id, manifest, .. } = content else { panic!("it is an image") };
        assert_eq!(id, format!("sha256:{}", digest(&config)));
        assert!(String::from_utf8(manifest).expect("text").contains(&layer));
    }

    #[test]
    fn other_files_are_a_root_and_no_archive_is_refused() {
        assert_eq!(found(&[("etc/passwd", b""), ("bin/sh", b"x")]), Ok(Content::Root));
        let refused = |content: &[u8]| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content).expect("written");
            read(Path::new("box.tar"), &file).expect_err("refused").to_string()
        };
        assert!(refused(b"").contains("empty"), "{}", refused(b""));
        assert!(refused(&[b'x'; 2048]).contains("box.tar is not an image"));
    }

    #[test]
    fn a_lying_table_of_contents_is_refused() {
        let refused =
            |table: &[u8]| found(&[("manifest.json", table)]).expect_err("refused").message;
        assert!(refused(b"[]").contains("0 images"));
        assert!(refused(b"{{{{").contains("not an image"));
        assert!(refused(br#"[{"Config":"../../etc/shadow"}]"#).contains("lacks its part"));
        let many = br#"[{"Config":"a"},{"Config":"b"}]"#;
        assert!(refused(many).contains("2 images"));
        let index = br#"{"manifests":[{"digest":"sha256:../../x"}]}"#;
        let failure = found(&[("index.json", index)]).expect_err("refused");
        assert!(failure.message.contains("not a digest"), "{failure:?}");
    }
}

//! A registry of images with one image in it, on a port of this machine's loopback. Engines take
//! it without TLS there, so that a pull is tried without a network.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// An image of one layer: its documents, and all of it by digest.
pub struct OneImage {
    pub config: String,
    pub manifest: Vec<u8>,
    pub blobs: HashMap<String, Vec<u8>>,
}

pub fn digest(content: &[u8]) -> String {
    let digits: Vec<String> =
        Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

impl OneImage {
    pub fn of(layer: Vec<u8>) -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let layer_digest = digest(&layer);
        let config = serde_json::json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["FROM_IMAGE=yes"]},
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        });
        let config = serde_json::to_vec(&config).expect("json");
        let config_digest = digest(&config);
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": config.len(), "digest": config_digest},
            "layers": [{"mediaType": LAYER, "size": layer.len(), "digest": layer_digest}],
        });
        let manifest = serde_json::to_vec(&manifest).expect("json");
        let blobs = [config, layer].map(|content| (digest(&content), content));
        Self { config: config_digest, manifest, blobs: blobs.into() }
    }
}

/// Serves an image as `NAME:1` until the process ends; the answer is its full name.
pub fn serve(name: &'static str, image: OneImage) -> String {
    serve_to(None, name, image)
}

/// The same for one user alone, as `NAME:PASSWORD`.
pub fn serve_to(user: Option<&'static str>, name: &'static str, image: OneImage) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let image = Arc::new(image);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let image = Arc::clone(&image);
            // A reader that went away is the test's own business.
            std::thread::spawn(move || drop(answer(stream, user, name, &image)));
        }
    });
    format!("127.0.0.1:{port}/{name}:1")
}

fn answer(
    mut stream: TcpStream,
    user: Option<&str>,
    name: &str,
    image: &OneImage,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let (mut header, mut known) = (String::new(), user.is_none());
    while reader.read_line(&mut header)? > 2 {
        let wanted = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
        let said = header.trim().split_once(": ").filter(|pair| pair.0 == "Authorization");
        known |= said.is_some_and(|pair| Some(pair.1) == wanted.as_deref());
        header.clear();
    }
    if !known {
        let refusal = br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#;
        write!(
            stream,
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            refusal.len()
        )?;
        return if request.starts_with("HEAD") { Ok(()) } else { stream.write_all(refusal) };
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let below = path.strip_prefix(&format!("/v2/{name}/")).unwrap_or(path);
    let empty = Vec::new();
    let (kind, content) = match below.split_once('/') {
        Some(("manifests", _)) => (MANIFEST, Some(&image.manifest)),
        Some(("blobs", digest)) => ("application/octet-stream", image.blobs.get(digest)),
        _ => ("text/plain", (path == "/v2/").then_some(&empty)),
    };
    let status = if content.is_some() { "200 OK" } else { "404 Not Found" };
    let content = content.unwrap_or(&empty);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Docker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
        content.len(),
        digest(content),
    )?;
    if method == "GET" { stream.write_all(content) } else { Ok(()) }
}

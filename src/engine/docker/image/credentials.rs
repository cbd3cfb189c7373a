//! What the user's docker command knows of registries: who to be for a pull.
//!
//! Read when a pull is about to begin, handed to the engine for that pull, and kept nowhere. The
//! file is docker's `config.json`, with the helpers that it names (docker/docker-credential-helpers).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::registry::Registry;
use crate::engine::docker::connect::Variables;

/// Most bytes of the file that are read; a file with a hundred registries has twenty thousand.
const MAX_FILE: u64 = 1 << 20;
/// Most bytes of a helper's answer: tokens have some kilobytes.
const MAX_ANSWER: u64 = 64 << 10;
/// How long a helper may take; one may ask the user to unlock a keyring.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
/// The user's name with which a helper says that the secret is a token.
const TOKEN: &str = "<token>";

/// What is known for a registry. It cannot be printed.
pub(super) enum Known {
    Nothing,
    Credentials(Box<DockerCredentials>),
    /// What was to tell failed, in words without any secret.
    Unusable(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: std::collections::HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: std::collections::HashMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// `NAME:PASSWORD` in base64.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// A helper's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    username: String,
    secret: String,
}

/// What the user's docker command would say to the registry of an image.
pub(super) async fn of(registry: &Registry, variables: Variables<'_>) -> Known {
    let Some(path) = place(variables) else { return Known::Nothing };
    let file = match read(&path) {
        Ok(Some(file)) => file,
        Ok(None) => return Known::Nothing,
        Err(why) => return Known::Unusable(format!("{}: {why}", path.display())),
    };
    let own = file.cred_helpers.iter().find(|(key, _)| registry.is(key)).map(|(_, name)| name);
    match own.or(file.creds_store.as_ref()).filter(|name| !name.is_empty()) {
        Some(helper) => match ask(helper, registry.key()).await {
            Ok(Some(told)) => known(from_helper(told), registry),
            // As docker does, what is in the file is taken where the helper has nothing.
            Ok(None) => in_file(&file, registry),
            Err(why) => Known::Unusable(format!("docker-credential-{helper}: {why}")),
        },
        None => in_file(&file, registry),
    }
}

fn place(variables: Variables<'_>) -> Option<PathBuf> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let directory = set("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker")));
    Some(directory?.join("config.json"))
}

fn read(path: &Path) -> Result<Option<File>, String> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(|error| error.to_string())?;
    // What is wrong with it is not quoted: it is full of secrets.
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|error| format!("not read, line {}", error.line()))
}

fn in_file(file: &File, registry: &Registry) -> Known {
    let entry = file.auths.iter().find(|(key, _)| registry.is(key)).map(|(_, entry)| entry);
    known(entry.map(|entry| from_entry(entry.clone())).unwrap_or_default(), registry)
}

fn known(found: DockerCredentials, registry: &Registry) -> Known {
    if found == DockerCredentials::default() {
        return Known::Nothing;
    }
    let serveraddress = Some(registry.key().to_owned());
    Known::Credentials(Box::new(DockerCredentials { serveraddress, ..found }))
}

fn from_entry(entry: Entry) -> DockerCredentials {
    let set = |text: String| Some(text).filter(|text| !text.is_empty());
    let pair = STANDARD.decode(entry.auth.trim()).ok().and_then(|it| String::from_utf8(it).ok());
    // docker ends passwords of older files with NUL bytes.
    let pair = pair.unwrap_or_default().trim_end_matches('\0').to_owned();
    let (name, password) = pair.split_once(':').unwrap_or_default();
    DockerCredentials {
        username: set(name.to_owned()).or_else(|| set(entry.username)),
        password: set(password.to_owned()).or_else(|| set(entry.password)),
        identitytoken: set(entry.identitytoken),
        registrytoken: set(entry.registrytoken),
        ..DockerCredentials::default()
    }
}

fn from_helper(told: Told) -> DockerCredentials {
    if told.username == TOKEN {
        return DockerCredentials { identitytoken: Some(told.secret), ..Default::default() };
    }
    DockerCredentials {
        username: Some(told.username),
        password: Some(told.secret),
        ..DockerCredentials::default()
    }
}

/// Asks a helper, which says nothing when it knows nothing.
async fn ask(helper: &str, key: &str) -> Result<Option<Told>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !helper.chars().all(plain) {
        return Err("its name is not that of a helper".to_owned());
    }
    let work = async {
        let mut child = tokio::process::Command::new(format!("docker-credential-{helper}"))
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that ends without reading says why by its code.
            let _ = input.write_all(format!("{key}\n").as_bytes()).await;
        }
        let mut answer = Vec::new();
        if let Some(output) = child.stdout.take() {
            output.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        }
        Ok::<_, std::io::Error>((child.wait().await?.success(), answer))
    };
    let late = |_| format!("it did not answer in {} s", HELPER_DEADLINE.as_secs());
    let (succeeded, answer) = tokio::time::timeout(HELPER_DEADLINE, work)
        .await
        .map_err(late)?
        .map_err(|error| error.to_string())?;
    if !succeeded {
        // "credentials not found in native keychain": it works and knows nothing.
        let unknown = String::from_utf8_lossy(&answer).contains("not found");
        return if unknown { Ok(None) } else { Err("it failed".to_owned()) };
    }
    serde_json::from_slice(&answer).map(Some).map_err(|_| "its answer is not read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(config: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("config.json"), config).expect("written");
        home
    }

    async fn asked(config: &str, image: &str) -> Known {
        let home = home(config);
        let directory = home.path().to_str().expect("text").to_owned();
        of(&Registry::of(image), &move |name| (name == "DOCKER_CONFIG").then(|| directory.clone()))
            .await
    }

    #[tokio::test]
    async fn a_registry_is_found_however_its_entry_spells_it() {
        let pair = STANDARD.encode("ann:se:cret");
        for (key, image) in [
            ("reg.example:5000", "reg.example:5000/team/box:1"),
            ("https://reg.example", "reg.example/box"),
            ("https://index.docker.io/v1/", "debian:12"),
            ("https://index.docker.io/v1/", "ann/box"),
        ] {
            let config = format!(r#"{{"auths":{{"{key}":{{"auth":"{pair}"}}}}}}"#);
            let Known::Credentials(found) = asked(&config, image).await else {
                panic!("{image} has an entry")
            };
            assert_eq!(found.username.as_deref(), Some("ann"), "{image}");
            assert_eq!(found.password.as_deref(), Some("se:cret"), "{image}");
            let other = asked(&config, "elsewhere.example/box").await;
            assert!(matches!(other, Known::Nothing), "{image}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_said_without_its_secrets() {
        let broken = r#"{"auths":{"reg.example":{"auth": c2VjcmV0 }}}"#;
        let helper = r#"{"credsStore":"no-such-helper-here"}"#;
        let wilful = r#"{"credsStore":"../../bin/sh"}"#;
        for config in [broken, helper, wilful] {
            let Known::Unusable(why) = asked(config, "reg.example/box").await else {
                panic!("{config} cannot be used")
            };
            assert!(!why.contains("c2VjcmV0"), "{why}");
        }
        assert!(matches!(asked("{}", "reg.example/box").await, Known::Nothing));
    }

    #[test]
    fn a_helpers_token_is_not_a_password() {
        let told = |username: &str| Told { username: username.to_owned(), secret: "s".to_owned() };
        assert_eq!(from_helper(told(TOKEN)).identitytoken.as_deref(), Some("s"));
        assert_eq!(from_helper(told("ann")).password.as_deref(), Some("s"));
    }
}

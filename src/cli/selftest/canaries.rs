//! What the selftest puts on the host to be attacked: files, sockets, services and a process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::attack::{Attack, Mark, ORDER, Prey, SIGNALLED, Secret, Spelling, TOKEN, VERB};
use super::stage::Stage;
use crate::model::failure::Failure;

/// Files of the user's home that are looked for; looked at, never opened.
const MAX_MARKS: usize = 24;

/// Sockets of services that rule a host, or hold a user's keys.
const SOCKETS: [&str; 6] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
];

pub(super) struct Canaries {
    pub file: PathBuf,
    pub socket: PathBuf,
    pub name: String,
    pub spellings: Vec<Spelling>,
    pub prey: Prey,
    /// Signals that the process got.
    signals: Arc<AtomicUsize>,
    _process: tokio::process::Child,
    _listeners: [UnixListener; 2],
}

impl Canaries {
    pub async fn put(stage: &Stage) -> Result<Self, Failure> {
        Ok(Self::try_put(stage).await?)
    }

    async fn try_put(stage: &Stage) -> anyhow::Result<Self> {
        let file = stage.outside().join("canary");
        std::fs::write(&file, &stage.secret)?;
        let socket = stage.outside().join("docker.sock");
        let by_path = crate::socket::bind(&stage.outside(), "docker.sock")?;
        let name = format!("agentdeck-selftest-{}", &stage.token[..8]);
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let spellings = services(&stage.secret).await?;
        let signals = Arc::new(AtomicUsize::new(0));
        let (process, prey) = process(stage, &signals).await?;
        let listeners = [by_path, by_name];
        let process = Self {
            file,
            socket,
            name,
            spellings,
            prey,
            signals,
            _process: process,
            _listeners: listeners,
        };
        Ok(process)
    }

    pub fn signals(&self) -> usize {
        self.signals.load(Ordering::SeqCst)
    }

    /// The canary and real sockets, as far as they are there.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let known = SOCKETS.iter().map(PathBuf::from);
        let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        let bus = std::env::var_os("XDG_RUNTIME_DIR").map(|path| PathBuf::from(path).join("bus"));
        let all = known.chain(agent).chain(bus).filter(|path| is_socket(path));
        std::iter::once(self.socket.clone()).chain(all).collect()
    }
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|found| found.file_type().is_socket())
}

/// Files in the user's home, by what tells them apart.
pub(super) fn marks_of_home() -> Vec<Mark> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let mut marks: Vec<Mark> = entries.filter_map(|entry| mark(&entry.path())).collect();
    marks.sort_by(|one, other| one.path.cmp(&other.path));
    marks.truncate(MAX_MARKS);
    marks
}

/// `None` for what is no file with something in it.
pub(super) fn mark(path: &std::path::Path) -> Option<Mark> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let useful = found.is_file() && found.size() > 0;
    let modified = (found.mtime(), found.mtime_nsec());
    useful.then(|| Mark { path: path.to_owned(), size: found.size(), modified })
}

/// Serves the secret on the host's addresses and tells every spelling by which it might be found.
async fn services(secret: &str) -> anyhow::Result<Vec<Spelling>> {
    let port = serve(Ipv4Addr::LOCALHOST.into(), 0, secret).await?;
    let mut spellings = Vec::new();
    let mut add = |host: &str, port| spellings.push(Spelling { host: host.to_owned(), port });
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "127.1",
        "0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "host.agentdeck",
        "host.docker.internal",
        "host.containers.internal",
        "gateway.docker.internal",
    ] {
        add(host, port);
    }
    if let Ok(port) = serve(Ipv6Addr::LOCALHOST.into(), 0, secret).await {
        add("[::1]", port);
        add("[0:0:0:0:0:0:0:1]", port);
        add("[::]", port);
    }
    if let Some(outer) = outer_address()
        && let Ok(port) = serve(outer, 0, secret).await
    {
        add(&outer.to_string(), port);
        if let IpAddr::V4(outer) = outer {
            add(&format!("[::ffff:{outer}]"), port);
            add(&u32::from(outer).to_string(), port);
        }
    }
    Ok(spellings)
}

async fn serve(address: IpAddr, port: u16, secret: &str) -> std::io::Result<u16> {
    let listener = TcpListener::bind((address, port)).await?;
    let port = listener.local_addr()?.port();
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{secret}", secret.len());
    // It ends with this program.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(port)
}

/// The host's address on the way to the world. Nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(203, 0, 113, 1), 80)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

/// A process with the secret in its variables and its memory, which tells of signals.
async fn process(
    stage: &Stage,
    signals: &Arc<AtomicUsize>,
) -> anyhow::Result<(tokio::process::Child, Prey)> {
    let order = stage.order(Attack::Stand { secret: Secret::new(&stage.secret) }, true);
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .arg(VERB)
        .env_clear()
        .env(TOKEN, &stage.token)
        .env(ORDER, serde_json::to_string(&order)?)
        .env("AGENTDECK_CANARY", &stage.secret)
        .current_dir(stage.outside())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    let mut lines = BufReader::new(output).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    let prey = serde_json::from_str(&first)?;
    let count = Arc::clone(signals);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if line == SIGNALLED {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    Ok((child, prey))
}

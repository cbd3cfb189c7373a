//! A socket between the product and a real engine that fails in every way an engine can.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::dockerd::Dockerd;
use super::home::TestHome;
use crate::docker::busybox_root;

/// How the engine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It takes requests and never answers.
    Silent,
    /// One byte of the answer each second.
    Slow,
    /// Status 500 for everything.
    Error,
    /// Status 200 with something that is not JSON.
    Garbage,
    /// JSON of another shape.
    Lie,
    /// Half of the announced answer, then the end.
    Truncated,
    /// The connection ends before any answer.
    Closing,
    /// It makes containers, and never says so.
    Withholding,
    /// It has no container to show until it is asked to make one; then all is well.
    Behind,
    /// It knows no container, by name nor by id, until it is asked to make one; then all is well.
    Blind,
    /// It makes images of containers, and never says so.
    UntoldImage,
    /// It makes them when all is well again, whoever waits for them by then. Names that it is asked
    /// to remove count as met too.
    LateImage,
    /// It gives the beginning of an image's file, and no more.
    HalfFile,
    /// It removes no name of an image, and never says so.
    KeptName,
}

/// What a save asks for, in the order in which it does.
pub const OF_SAVES: [Fault; 3] = [Fault::UntoldImage, Fault::HalfFile, Fault::KeptName];

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::Slow,
        Self::Error,
        Self::Garbage,
        Self::Lie,
        Self::Truncated,
        Self::Closing,
    ];

    fn is_of_saves(self) -> bool {
        OF_SAVES.contains(&self) || self == Self::LateImage
    }
}

struct Shared {
    engine: PathBuf,
    fault: Mutex<Fault>,
    open: Mutex<Vec<UnixStream>>,
    ended: AtomicBool,
    /// Connections that met a fault.
    met: AtomicUsize,
}

/// The proxy; dropped, it closes every connection.
pub struct Proxy {
    shared: Arc<Shared>,
    pub socket: PathBuf,
}

impl Proxy {
    /// Listens at `socket` for the engine that listens at `engine`.
    pub fn start(socket: &Path, engine: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("bound");
        let shared = Arc::new(Shared {
            engine: engine.to_owned(),
            fault: Mutex::new(Fault::None),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
            met: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let serving = accepting.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { shared, socket: socket.to_owned() }
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Behaves so from now on. Connections that stand go on as they were, but end with a fault that
    /// is not about one step alone.
    pub fn behave(&self, fault: Fault) {
        *self.shared.fault.lock().expect("whole") = fault;
        if fault != Fault::None {
            self.shared.met.store(0, Ordering::SeqCst);
        }
        if fault != Fault::None && !fault.is_of_saves() {
            self.shared.close_all();
        }
    }

    /// How many connections met the fault since it was set.
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

/// A home whose docker engine is the test's own, seen through a proxy. Fields are dropped in this
/// order: the home's server first, which asks the engine for what it still has.
pub struct Proxied {
    pub test: TestHome,
    pub proxy: Proxy,
    pub engine: Dockerd,
    /// An image that the engine has.
    pub image: String,
    _sockets: TempDir,
}

impl Proxied {
    /// `None` where no second engine can be started, which is then told.
    pub fn start() -> Option<Self> {
        let engine = Dockerd::start(true)?;
        let sockets = tempfile::tempdir().expect("a directory");
        let proxy = Proxy::start(&sockets.path().join("engine.sock"), &engine.socket());
        let mut test = TestHome::new();
        test.also.push(("DOCKER_HOST", proxy.host()));
        let image = engine.import(&busybox_root());
        Some(Self { test, proxy, engine, image, _sockets: sockets })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.close_all();
        // Wakes the listener, so that it sees the end.
        let _ = UnixStream::connect(&self.socket);
    }
}

impl Shared {
    fn close_all(&self) {
        for stream in self.open.lock().expect("whole").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn serve(&self, mut client: UnixStream) {
        let fault = *self.fault.lock().expect("whole");
        self.open.lock().expect("whole").push(client.try_clone().expect("cloned"));
        if fault == Fault::None {
            let Ok(engine) = UnixStream::connect(&self.engine) else { return };
            self.open.lock().expect("whole").push(engine.try_clone().expect("cloned"));
            return pass(client, engine);
        }
        if matches!(fault, Fault::Withholding | Fault::Behind | Fault::Blind) {
            return self.make_late(client, fault);
        }
        if fault.is_of_saves() {
            return self.hold_save(client, fault);
        }
        self.met.fetch_add(1, Ordering::SeqCst);
        let mut request = vec![0; 64 << 10];
        if fault == Fault::Closing || !client.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = client.shutdown(std::net::Shutdown::Both);
            return;
        }
        let _ = match fault {
            Fault::Error => answer(&mut client, "500 Oops", "{\"message\":\"the disk is on fire\"}"),
            Fault::Garbage => answer(&mut client, "200 OK", "\u{1}<html>{{{not json"),
            Fault::Lie => answer(&mut client, "200 OK", "[{\"Id\":7,\"State\":\"yes\"},null]"),
            Fault::Truncated => client.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"Id\":\"ab",
            ),
            Fault::Slow => drip(&mut client),
            // Held until the client gives up.
            _ => client.read(&mut request).map(|_| ()),
        };
        let _ = client.shutdown(std::net::Shutdown::Both);
    }

    /// Passes a request on, unless it is the step of a save that the fault is about.
    fn hold_save(&self, mut client: UnixStream, fault: Fault) {
        let Some(request) = head(&mut client) else { return };
        let line = first_line(&request);
        let commits = line.starts_with("POST ") && line.contains("/commit?");
        let removes = line.starts_with("DELETE ") && line.contains("/images/");
        let is_met = match fault {
            Fault::UntoldImage | Fault::LateImage => commits,
            Fault::HalfFile => line.contains("/images/") && line.contains("/get"),
            _ => removes,
        };
        let Ok(mut engine) = UnixStream::connect(&self.engine) else { return };
        if !is_met {
            self.met.fetch_add(usize::from(fault == Fault::LateImage && removes), Ordering::SeqCst);
            let sent = engine.write_all(&request);
            return if sent.is_ok() {
                pass(client, engine);
            };
        }
        let request = [&request[..], &rest_of_body(&request, &mut client)].concat();
        let meet = || self.met.fetch_add(1, Ordering::SeqCst);
        if fault == Fault::LateImage {
            meet();
            while *self.fault.lock().expect("whole") == fault {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let mut answer = vec![0; 64 << 10];
        if fault != Fault::KeptName {
            engine.write_all(&request).expect("sent");
            // What it answers says that it has done it.
            let count = engine.read(&mut answer).expect("answered");
            let _ =
                if fault == Fault::HalfFile { client.write_all(&answer[..count]) } else { Ok(()) };
        }
        if fault != Fault::LateImage {
            meet();
            // Held until the client has gone.
            while client.read(&mut answer).is_ok_and(|count| count > 0) {}
        }
    }

    /// Passes a request on, unless it is about the making of containers.
    fn make_late(&self, mut client: UnixStream, fault: Fault) {
        let Some(request) = head(&mut client) else { return };
        let line = first_line(&request);
        let makes = line.starts_with("POST ") && line.contains("/containers/create");
        let shows = line.starts_with("GET ") && line.contains("/containers/");
        if fault == Fault::Blind && shows && !line.contains("/containers/json") {
            self.met.fetch_add(1, Ordering::SeqCst);
            let _ = answer(&mut client, "404 Not Found", "{\"message\":\"No such container\"}");
            let _ = client.shutdown(std::net::Shutdown::Both);
            return;
        }
        if fault != Fault::Withholding && line.contains("/containers/json") {
            self.met.fetch_add(1, Ordering::SeqCst);
            let _ = answer(&mut client, "200 OK", "[]");
            let _ = client.shutdown(std::net::Shutdown::Both);
            return;
        }
        let Ok(mut engine) = UnixStream::connect(&self.engine) else { return };
        self.open.lock().expect("whole").push(engine.try_clone().expect("cloned"));
        if engine.write_all(&request).is_err() {
            return;
        }
        match fault {
            Fault::Withholding if makes => {
                let (mut from, mut to) = (client, engine.try_clone().expect("cloned"));
                let forward = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                // What it answers says that the container is there.
                let answered = engine.read(&mut [0; 1]).is_ok_and(|count| count > 0);
                self.met.fetch_add(usize::from(answered), Ordering::SeqCst);
                let _ = forward.join();
            }
            Fault::Behind | Fault::Blind if makes => {
                *self.fault.lock().expect("whole") = Fault::None;
                pass(client, engine);
            }
            _ => pass(client, engine),
        }
    }
}

/// A request as far as its head is on the connection, which has no other one.
fn head(client: &mut UnixStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|part| part == b"\r\n\r\n") {
        let count = client.read(&mut piece).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
    }
    Some(request)
}

fn first_line(request: &[u8]) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// What of a request's body did not come with its head.
fn rest_of_body(request: &[u8], client: &mut UnixStream) -> Vec<u8> {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let (head, _) = text.split_once("\r\n\r\n").expect("a head");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
    let mut rest = vec![0; head.len() + 4 + length - request.len()];
    client.read_exact(&mut rest).expect("a body");
    rest
}

fn answer(client: &mut UnixStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let kind = "Content-Type: application/json\r\nApi-Version: 1.41\r\nConnection: close";
    let head = format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n");
    client.write_all((head + body).as_bytes())
}

fn drip(client: &mut UnixStream) -> std::io::Result<()> {
    let text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n";
    for byte in text.iter().cycle() {
        client.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Carries bytes both ways until one end closes.
fn pass(client: UnixStream, engine: UnixStream) {
    let (mut from_client, mut to_engine) =
        (client.try_clone().expect("cloned"), engine.try_clone());
    let to = to_engine.as_mut().expect("cloned").try_clone().expect("cloned");
    let forward = std::thread::spawn(move || {
        let mut to = to;
        let _ = std::io::copy(&mut from_client, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut engine, mut client) = (engine, client);
    let _ = std::io::copy(&mut engine, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = engine.shutdown(std::net::Shutdown::Both);
    let _ = forward.join();
}

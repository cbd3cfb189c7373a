//! A machine with an internet of its own: public addresses, names and a cloud's metadata service,
//! none of which this machine or any other test can see.
//!
//! The machine is a network namespace that one wire joins to a second one, in which the world's
//! addresses are. `/etc/hosts` and `/etc/resolv.conf` are covered in the machine's mount namespace,
//! so that the product's own resolver asks the world's name server; nothing in the product knows of
//! it. All of it ends with the test's process and what that started, also when they are killed.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tokio::runtime::{Handle, Runtime};

use super::zone::Zone;

/// The machine's end of the wire, and the world's.
const WIRE: [[&str; 2]; 2] =
    [["198.51.100.1/24", "2001:db8:1::1/64"], ["198.51.100.2/24", "2001:db8:1::2/64"]];

/// Where the world's name server is.
const NAME_SERVER: &str = "203.0.113.53";

/// How the machine asks it: where it can, below a domain of its own first.
const RESOLVER: &str = "nameserver 203.0.113.53\nsearch trap.example\noptions ndots:5\n";

/// Addresses of the world: public ones, clouds' metadata services, and a private network's.
const ADDRESSES: [&str; 14] = [
    NAME_SERVER,
    "203.0.113.5",
    "203.0.113.6",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "10.9.8.7",
    "192.168.77.1",
    "2001:db8:2::5",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd12::1",
];

pub struct World {
    /// The machine's namespace, and the one in which the world's addresses are.
    machine: File,
    beyond: File,
    pub zone: Zone,
    /// Its thread lives in the machine.
    runtime: Option<Runtime>,
}

/// Whether this user can make a world; where engines are required, root has to.
fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    let required = std::env::var("AGENTDECK_REQUIRE_NATIVE").is_ok_and(|value| value == "1");
    let namespaces = || {
        let wanted = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
        std::thread::spawn(move || unshare(wanted)).join().is_ok_and(|made| made.is_ok())
    };
    root && (required || (ip(&["-V"]) && namespaces()))
}

/// Runs a test, and all that it starts, on a machine in a world. Where this user cannot make one,
/// it passes without a word.
pub fn in_a_world<F>(test: impl FnOnce(World) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    if !possible() {
        return;
    }
    let thread = std::thread::spawn(move || {
        let world = World::enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test(world));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    /// A world beside this machine; `None` where this user cannot make one. What is spawned on its
    /// `handle` is on its machine.
    pub fn beside() -> Option<Self> {
        let making = possible().then(|| std::thread::spawn(Self::enter));
        making.map(|thread| thread.join().expect("a world"))
    }

    /// Moves this thread into a machine of its own.
    fn enter() -> Self {
        let beyond = std::thread::spawn(|| {
            unshare(UnshareFlags::NEWNET).expect("a network");
            File::open("/proc/thread-self/ns/net").expect("a namespace")
        });
        let beyond = beyond.join().expect("a namespace");
        unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).expect("a machine");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).expect("mounts of its own");
        let place = format!("/proc/{}/fd/{}", std::process::id(), beyond.as_raw_fd());
        require_ip("link add wire type veth peer name wire netns", &[&place]);
        set_up(WIRE[0]);
        within(&beyond, || {
            set_up(WIRE[1]);
            for address in ADDRESSES {
                let width = if address.contains(':') { 128 } else { 32 };
                require_ip("address add", &[&format!("{address}/{width}"), "dev", "lo"]);
            }
        });
        for gateway in WIRE[1] {
            let (gateway, _) = gateway.split_once('/').expect("a network");
            require_ip("route add default via", &[gateway]);
        }
        cover("/etc/hosts", "127.0.0.1 localhost\n");
        cover("/etc/resolv.conf", RESOLVER);
        let server = within(&beyond, || UdpSocket::bind((NAME_SERVER, 53)).expect("bound"));
        // Threads that this one starts are where it is.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let machine = File::open("/proc/thread-self/ns/net").expect("a namespace");
        Self { machine, beyond, zone: Zone::serve(server), runtime: Some(runtime) }
    }

    /// Where to spawn what lives on the machine.
    pub fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("it is there to the end").handle()
    }

    /// Runs something that has the machine's network.
    pub fn on_the_machine<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        within(&self.machine, run)
    }

    /// Listens on an address of the world.
    pub fn listen(&self, address: &str, port: u16) -> TcpListener {
        let address: IpAddr = address.parse().expect("an address");
        within(&self.beyond, || TcpListener::bind((address, port)).expect("bound"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test may drop it where nothing may block.
        self.runtime.take().expect("it is there to the end").shutdown_background();
    }
}

/// A server of the world, which keeps all that it hears and answers each request with a song.
pub struct Site {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Site {
    pub fn open(listener: TcpListener, song: &'static str) -> Self {
        let address = listener.local_addr().expect("an address");
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let hearing = Arc::clone(&heard);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let hearing = Arc::clone(&hearing);
                std::thread::spawn(move || answer(stream, song, &hearing));
            }
        });
        Self { address, heard }
    }

    /// All that came so far, of every connection.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("not poisoned")).into_owned()
    }

    pub fn forget(&self) {
        self.heard.lock().expect("not poisoned").clear();
    }
}

/// The first byte of TLS, and the alert that a server without a certificate ends it by.
const TLS: u8 = 22;
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

fn answer(mut stream: std::net::TcpStream, song: &str, heard: &Mutex<Vec<u8>>) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{song}", song.len());
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = std::io::Read::read(&mut stream, &mut buffer) {
        heard.lock().expect("not poisoned").extend(&buffer[..length]);
        said.extend(&buffer[..length]);
        if said[0] == TLS {
            // It has no certificate.
            let _ = stream.write_all(&ALERT);
            return;
        }
        while let Some(end) = memchr::memmem::find(&said, b"\r\n\r\n") {
            said.drain(..end + 4);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn unshare(what: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: only this thread's view of networks and mounts changes, and no descriptor is touched.
    unsafe { rustix::thread::unshare_unsafe(what) }
}

/// Runs something in another network namespace, on a thread that ends with it.
fn within<T: Send>(namespace: &File, run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).expect("entered");
            run()
        });
        thread.join().expect("done")
    })
}

fn set_up([four, six]: [&str; 2]) {
    require_ip("link set lo up", &[]);
    require_ip("link set wire up", &[]);
    require_ip("address add", &[four, "dev", "wire"]);
    require_ip("address add", &[six, "dev", "wire", "nodad"]);
}

fn require_ip(words: &str, more: &[&str]) {
    let words: Vec<&str> = words.split(' ').chain(more.iter().copied()).collect();
    assert!(ip(&words), "ip {words:?}");
}

fn ip(words: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(words).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Puts another text in the place of a file, for this thread and what it starts.
fn cover(path: &str, text: &str) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    mount_bind(file.path(), path).expect("mounted");
}

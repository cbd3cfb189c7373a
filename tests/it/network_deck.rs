//! The wall through the binary: what a person sees refused and opens while an agent works, and
//! boxes that ask for more than their share.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use agentdeck::shim::config::RelayConfig;
use serde_json::{Value, json};

use crate::common::dockerd::Dockerd;
use crate::common::home::{TestHome, make};
use crate::common::place::Place;
use crate::common::pty::Pty;
use crate::common::talk::PATIENCE;
use crate::common::world::{Site, World, in_a_world};
use crate::docker::busybox_root;
use crate::survival::wait_until;

const SONG: &str = "the registry's song";

/// The agent: it asks for the same thing until it is there, and for another one beside it.
const AGENT: &str = "while :; do
    if got=$(busybox wget -q -O - http://registry.example:8080/ 2>/dev/null)
    then echo \"the agent got $got\"; else echo 'the agent waits'; fi
    busybox wget -q -O - http://other.example/ >/dev/null 2>&1
    sleep 0.2
done";

/// Asks once, through the proxy and as a program that knows none.
const ASK: &str = "busybox wget -q -O - http://registry.example:8080/
    printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 registry.example 8080";

/// What is said on a connection that stays open; it is no request.
const HELD: &str = "held open\n";

/// One scene: refused, seen, opened by one key, kept, and taken back.
fn one_key_lets_a_running_agent_through(world: &World, test: &TestHome, options: &[&str]) {
    world.zone.set("registry.example", &["203.0.113.5"]);
    world.zone.set("other.example", &["203.0.113.6"]);
    let site = Site::open(world.listen("203.0.113.5", 8080), SONG);
    make(test, "brave-otter", &[&["--network", "allow"], options].concat(), AGENT);
    let mut deck = Pty::open(test, &[], 100, 30);
    deck.wait_for_text("the agent waits");
    deck.wait_for_text("2 denied");
    let denied = test.wait_for_json(&["denied", "brave-otter", "--json"], |denied| {
        opens(denied).contains(&"registry.example:8080".to_owned())
    });
    assert_eq!(site.heard(), "", "{denied:#}");
    // Live: what is asked for while a person looks is there without a key.
    deck.send("N");
    deck.wait_for_text("registry.example:8080");
    test.agentdeck(&["exec", "brave-otter", "--", "busybox", "wget", "http://late.example/"]);
    deck.wait_for_text("late.example:80");
    choose(&mut deck, "registry.example:8080");
    deck.send("a");
    deck.wait_for_text("reaches registry.example:8080 from now on");
    deck.send("q");
    deck.wait_for_text("the agent got the registry's song");
    test.wait_for_json(&["denied", "brave-otter", "--json"], |denied| {
        !opens(denied).contains(&"registry.example:8080".to_owned())
    });
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    it_is_kept(test);
    it_is_taken_back(test, &site);
}

/// Moves to a row of the list, whose order changes with what is asked for.
fn choose(deck: &mut Pty, place: &str) {
    let start = Instant::now();
    let mut keys = ["j", "j", "j", "k", "k", "k"].iter().cycle();
    while !deck.text().lines().any(|line| line.contains('▌') && line.contains(place)) {
        assert!(start.elapsed() < PATIENCE, "{place} is not chosen in\n{}", deck.text());
        deck.send(keys.next().expect("one more"));
        deck.settle();
    }
}

fn reaches_both_ways(test: &TestHome) {
    // A program that knows no proxy is let through when the box's relay was told.
    wait_until("both ways lead there", || {
        let asked = test.agentdeck(&["exec", "brave-otter", "--", "sh", "-c", ASK]);
        asked.stdout.matches(SONG).count() == 2
    });
}

fn allowed(test: &TestHome) -> Value {
    let inspected = test.agentdeck(&["inspect", "brave-otter", "--json"]).json();
    find(&inspected, "network").expect("a network")["allow"].clone()
}

/// Over the server's end and the box's, in the record and in the box.
fn it_is_kept(test: &TestHome) {
    let expected = json!(["registry.example:8080"]);
    let pairs = [("server stop", "server start"), ("stop brave-otter", "start brave-otter")];
    for (end, begin) in pairs {
        assert_eq!(allowed(test), expected);
        reaches_both_ways(test);
        for words in [end, begin] {
            test.agentdeck(&words.split(' ').collect::<Vec<_>>()).ok();
        }
    }
    assert_eq!(allowed(test), expected);
    reaches_both_ways(test);
}

fn it_is_taken_back(test: &TestHome, site: &Site) {
    let dial = ["exec", "brave-otter", "--", "busybox", "nc", "registry.example", "8080"];
    let mut held = test.command(&dial);
    let mut held = Killed(held.stdin(Stdio::piped()).spawn().expect("started"));
    let input = held.0.stdin.as_mut().expect("a pipe");
    input.write_all(HELD.as_bytes()).expect("sent");
    wait_until("the connection is open", || site.heard().contains(HELD));
    assert_eq!(held.0.try_wait().expect("asked"), None, "it stays open");
    test.agentdeck(&["allow", "brave-otter", "registry.example:8080", "--remove"]).ok();
    wait_until("the open connection is ended", || held.0.try_wait().expect("asked").is_some());
    site.forget();
    let asked = format!("{{ {ASK}\n}} 2>&1 || true");
    assert!(!test.script("brave-otter", &asked).contains(SONG));
    test.wait_for_json(&["denied", "brave-otter", "--json"], |denied| {
        opens(denied).contains(&"registry.example:8080".to_owned())
    });
    assert_eq!(allowed(test), json!([]));
    assert_eq!(site.heard(), "");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The entries that would open what was denied.
fn opens(denied: &Value) -> Vec<String> {
    let rows = denied.as_array().expect("rows").iter();
    rows.filter_map(|row| row["opens"].as_str().map(str::to_owned)).collect()
}

/// A field, wherever it is in an object.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    fields.get(name).or_else(|| fields.values().find_map(|inner| find(inner, name)))
}

#[test]
fn one_key_lets_a_running_agent_through_until_it_is_taken_back() {
    in_a_world(|world| async move {
        if crate::native::usable(&Place::new()).await.is_some() {
            one_key_lets_a_running_agent_through(&world, &TestHome::new(), &[]);
        }
    });
}

#[test]
fn one_key_lets_an_agent_in_a_container_through_until_it_is_taken_back() {
    in_a_world(|world| async move {
        // Its engine has to see what is mounted in the world.
        let Some(engine) = Dockerd::start(false) else { return };
        let mut test = TestHome::new();
        test.also.push(("DOCKER_HOST", engine.host()));
        let image = engine.import(&busybox_root());
        let options = ["--engine", "docker", "--image", &image];
        one_key_lets_a_running_agent_through(&world, &test, &options);
        drop(test);
    });
}

/// Descriptors that a user's processes begin with, in a small machine.
const FEW: u64 = 300;

/// Connections that each greedy box opens, and leaves as they are.
const GREEDY: usize = 300;

#[tokio::test]
async fn boxes_that_connect_without_end_leave_their_neighbour_its_own_way_out() {
    let test = TestHome::new();
    let bash = Command::new("bash").args(["-c", ":"]).status();
    if crate::native::usable(&Place::new()).await.is_none() || bash.is_err() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let _site = Site::open(listener, SONG);
    let start = format!("ulimit -Sn {FEW}; exec \"$0\" server start");
    let mut server = Command::new("sh");
    server.args(["-c", &start, env!("CARGO_BIN_EXE_agentdeck")]);
    server.env_clear().envs(test.variables());
    assert!(server.stdout(Stdio::null()).status().expect("started").success());
    let proxy = RelayConfig::PROXY_PORT;
    let hoard = format!(
        "for n in $(seq {GREEDY}); do exec {{held}}<>/dev/tcp/127.0.0.1/{proxy}; \
         printf 'GET http://a' >&$held; done; echo hoarded; exec sleep 1000000"
    );
    for name in ["greedy-one", "greedy-two", "greedy-three"] {
        test.agentdeck(&["new", name, "--network", "open", "--", "bash", "-c", &hoard]).ok();
        let mut screen = Pty::open(&test, &["attach", name], 80, 24);
        screen.wait_for_text("hoarded");
    }
    let entry = format!("host:{port}");
    let idle = ["sh", "-c", "exec sleep 1000000"];
    let new = ["new", "modest", "--network", "allow", "--allow", &entry, "--"];
    test.agentdeck(&[&new[..], &idle[..]].concat()).ok();
    let ask = format!("busybox wget -q -O - http://host.agentdeck:{port}/");
    assert_eq!(test.script("modest", &ask), SONG);
    let server = test.server().expect("a server");
    let open = std::fs::read_dir(format!("/proc/{server}/fd")).expect("its descriptors").count();
    assert!(open as u64 > FEW, "only {open} descriptors: nothing was hoarded");
}

#[tokio::test]
async fn what_the_disk_does_not_take_is_refused_and_taken_back() {
    let test = TestHome::new();
    if crate::native::usable(&Place::new()).await.is_none() {
        return;
    }
    let idle = ["sh", "-c", "exec sleep 1000000"];
    let new = ["new", "brave-otter", "--network", "allow", "--allow", "one.example", "--"];
    test.agentdeck(&[&new[..], &idle[..]].concat()).ok();
    let remove = ["allow", "brave-otter", "one.example", "--remove"];
    let told = test.agentdeck(&["inspect", "brave-otter", "--json"]).json();
    let id = told["environment"]["id"].as_str().expect("an id").to_owned();
    let directory = test.home.join("environments").join(id);
    let before = allowed(&test);
    // Directories in the places of both files: what no rename replaces, also not root's.
    let blocked = ["record.json", "record.unsynced.json"].map(|name| directory.join(name));
    for path in &blocked {
        // A record may be written just now.
        wait_until("it is blocked", || {
            let _ = std::fs::remove_file(path);
            std::fs::create_dir(path).is_ok()
        });
    }
    test.agentdeck(&remove).fails(1, &["record"]);
    assert_eq!(allowed(&test), before, "it was not changed");
    for path in &blocked {
        std::fs::remove_dir(path).expect("removed");
    }
    test.agentdeck(&remove).ok();
    test.end_server();
    assert_eq!(allowed(&test), json!([]));
}

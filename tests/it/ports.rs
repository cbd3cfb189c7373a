//! `agentdeck ports` and `agentdeck forward`, as a user runs them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::common::home::TestHome;
use crate::common::talk::PATIENCE;
use crate::docker::{Image, engine_answers};

/// Serves a page on port 8092 of the box.
const SERVE: [&str; 4] = ["--", "sh", "-c", "echo hello >page; exec busybox httpd -f -p 8092"];

/// A `forward` that runs, ended when dropped.
struct Forward {
    child: Child,
    address: SocketAddr,
}

impl Forward {
    fn start(test: &TestHome, arguments: &[&str]) -> Self {
        let arguments = [&["forward", "one", "8092:0", "--json"][..], arguments].concat();
        let mut child = test.command(&arguments).stdout(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        output.read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let address = told["address"].as_str().expect("an address").parse().expect("an address");
        Self { child, address }
    }

    fn ask(&self, host: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "GET /page HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serving(engine: &[&str]) -> TestHome {
    let test = TestHome::new();
    test.agentdeck(&[&["new", "one"][..], engine, &SERVE].concat()).ok();
    test.wait_for_json(&["ports", "one", "--json"], |listeners| {
        listeners.as_array().is_some_and(|all| all.len() == 1 && all[0]["port"] == 8092)
    });
    test
}

fn a_page_is_reached(engine: &[&str]) {
    let test = serving(engine);
    assert!(test.agentdeck(&["ports", "one"]).ok().contains("busybox"));
    let forward = Forward::start(&test, &[]);
    assert!(forward.address.ip().is_loopback());
    for host in ["localhost", "one.localhost:1"] {
        let answer = forward.ask(host);
        assert!(answer.ends_with("hello\n"), "{answer}");
    }
    let mut through = test
        .command(&["forward", "one", "8092", "--stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = through.stdin.take().expect("a pipe");
    input.write_all(b"GET /page HTTP/1.0\r\n\r\n").expect("written");
    let output = through.wait_with_output().expect("ended");
    drop(input);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("hello\n"), "{output:?}");
}

#[test]
fn a_port_of_a_box_is_listed_and_reached() {
    a_page_is_reached(&[]);
}

#[test]
fn a_port_of_a_container_is_listed_and_reached() {
    if engine_answers() {
        let image = Image::busybox();
        a_page_is_reached(&["--engine", "docker", "--image", &image.0]);
    }
}

#[test]
fn a_request_for_another_host_is_turned_away() {
    let test = serving(&[]);
    let open = Forward::start(&test, &["--any-host"]);
    let control = open.ask("rebound.example");
    assert!(control.ends_with("hello\n"), "the control is not served: {control}");
    let forward = Forward::start(&test, &[]);
    let answer = forward.ask("rebound.example");
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(!answer.contains("hello"), "{answer}");
}

#[test]
fn what_cannot_be_forwarded_is_said() {
    let test = serving(&[]);
    test.agentdeck(&["forward", "one", "9", "--stdio"])
        .fails(1, &["port 9", "agentdeck ports one"]);
    test.agentdeck(&["forward", "one", "0"]).fails(2, &["port 0"]);
    test.agentdeck(&["forward", "one", "http"]).fails(2, &["http"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("an address").port();
    let pair = format!("8092:{port}");
    test.agentdeck(&["forward", "one", &pair]).fails(1, &[&port.to_string(), "8092:0"]);
    test.agentdeck(&["stop", "one"]).ok();
    test.agentdeck(&["ports", "one"]).fails(1, &["one"]);
}

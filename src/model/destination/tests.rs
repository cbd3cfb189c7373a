use proptest::prelude::*;

use super::*;

#[test]
fn a_host_is_read_one_way_or_not_at_all() {
    let read = |text: &str| Host::parse(text.as_bytes()).map(|host| host.to_string());
    for (spelling, host) in [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("3com.example", "3com.example"),
        ("1.2.3.4.", "1.2.3.4"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("[::ffff:1.2.3.4]", "1.2.3.4"),
        ("::ffff:0102:0304", "1.2.3.4"),
    ] {
        assert_eq!(read(spelling).as_deref(), Some(host), "{spelling:?}");
    }
    let long = format!("{}.example", "a".repeat(64));
    for spelling in [
        "",
        ".",
        "..",
        "a..b",
        "example.org..",
        ".example.org",
        "a b",
        "a\0.example.org",
        "example.org\0.evil",
        "bücher.example",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "a%2eb",
        "a/b",
        "a@b",
        "a\\b",
        "a:80",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "127.0.1",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.02.03.04",
        "example.0x7f",
        "a.123",
        "0x",
        &long,
    ] {
        assert_eq!(read(spelling), None, "{spelling:?}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_read_the_same_again(text in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(host) = Host::parse(&text) {
            prop_assert_eq!(Host::parse(host.to_string().as_bytes()), Some(host));
        }
    }

    #[test]
    fn a_name_is_never_what_the_standard_library_reads_as_an_address(
        text in "[0-9a-fxA-FX.:\\[\\]]{1,20}"
    ) {
        if let Some(Host::Name(name)) = Host::parse(text.as_bytes()) {
            prop_assert!(name.parse::<IpAddr>().is_err());
        }
    }
}

fn entry(text: &str) -> HostPort {
    text.parse().expect("an entry")
}

#[test]
fn an_entry_is_read_in_one_way_and_shown_as_it_is_meant() {
    for (spelling, shown) in [
        ("example.org", "example.org"),
        ("Example.ORG.:443", "example.org:443"),
        ("*.Example.org:443", "*.example.org:443"),
        ("*.example.org", "*.example.org"),
        ("[::1]:80", "[::1]:80"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[::ffff:10.0.0.7]:5432", "10.0.0.7:5432"),
        ("10.1.0.0/16:443", "10.1.0.0/16:443"),
        ("[fd12::/16]:443", "[fd12::/16]:443"),
        ("host:8080", "host:8080"),
        ("host.agentdeck:8080", "host:8080"),
    ] {
        let read = entry(spelling);
        assert_eq!(read.to_string(), shown, "{spelling:?}");
        assert_eq!(entry(shown), read, "{spelling:?}");
    }
    for bad in [
        "",
        "*",
        "*:443",
        "*.",
        "*.*.example.org",
        "a.*.example.org",
        "*.10.0.0.1",
        "host",
        "example.org:",
        "example.org:0",
        "example.org:+80",
        "example.org:99999",
        "example.org:443:443",
        "example.org:1-65535",
        "example.org:80,443",
        "example.org:*",
        ":80",
        "a b:80",
        "a\0b:80",
        "::1:80",
        "user@example.org",
        "https://example.org",
        "example.org/path",
        "127.1:80",
        "0x7f000001",
        "0.0.0.0/0",
        "10.0.0.0/33",
        "10.0.0.0/4",
        "example.org/8",
        "bücher.example",
    ] {
        assert!(bad.parse::<HostPort>().is_err(), "{bad:?}");
    }
}

#[test]
fn an_entry_names_what_it_says_and_nothing_beside_it() {
    let names = |text: &str, place: &str| {
        let (host, port) = place.rsplit_once(':').expect("a port");
        let host = Host::parse(host.as_bytes()).expect("a host");
        entry(text).names(&host, port.parse().expect("a port"))
    };
    for (text, place) in [
        ("example.org", "example.org:443"),
        ("example.org", "example.org:80"),
        ("example.org:8443", "EXAMPLE.org.:8443"),
        ("*.example.org:443", "a.example.org:443"),
        ("*.example.org:443", "a.b.example.org:443"),
        ("10.0.0.7:5432", "[::ffff:10.0.0.7]:5432"),
        ("10.1.0.0/16:443", "10.1.255.255:443"),
        ("[fd12::/16]:443", "[fd12:1::9]:443"),
        ("host:8080", "host.agentdeck:8080"),
    ] {
        assert!(names(text, place), "{text} names {place}");
    }
    for (text, place) in [
        ("example.org", "example.org:22"),
        ("example.org", "a.example.org:443"),
        ("example.org:443", "example.org:80"),
        ("example.org:443", "example.org.evil:443"),
        ("example.org:443", "notexample.org:443"),
        ("*.example.org:443", "example.org:443"),
        ("*.example.org:443", "aexample.org:443"),
        ("*.example.org:443", "a.example.org.evil:443"),
        ("10.0.0.7:5432", "10.0.0.70:5432"),
        ("10.1.0.0/16:443", "10.2.0.1:443"),
        ("10.1.0.0/16:443", "[fd12::1]:443"),
        ("[fd12::/16]:443", "[fd13::1]:443"),
        ("host:8080", "host:8080"),
        ("*.agentdeck:8080", "host.agentdeck:8080"),
        ("host:8080", "127.0.0.1:8080"),
        ("host:8080", "host.agentdeck:8081"),
    ] {
        assert!(!names(text, place), "{text} does not name {place}");
    }
}

#[test]
fn a_name_server_answers_only_for_what_a_policy_names() {
    let allow = ["example.org:8443", "*.example.net", "host:8080"].map(entry).to_vec();
    let rules = |mode| RelayRules::of(&NetworkPolicy { mode, allow: allow.clone() });
    let wide = entry("*.agentdeck");
    assert!(!wide.names_some("host.agentdeck") && wide.names_some("a.agentdeck"));
    let named = rules(NetworkMode::Allow);
    for name in ["example.org", "a.example.net", "host.agentdeck"] {
        assert!(named.answers(name), "{name}");
    }
    for name in ["example.net", "a.example.org", "evil.example", "host"] {
        assert!(!named.answers(name), "{name}");
        assert!(rules(NetworkMode::Open).answers(name), "{name}");
    }
    assert!(!rules(NetworkMode::None).answers("example.org"), "nothing is nothing");
    assert_eq!(named.ports_of("example.org").collect::<Vec<_>>(), [8443]);
    assert_eq!(named.ports_of("a.example.net").count(), 0, "the web's ports are always taken");
}

proptest! {
    #[test]
    fn any_entry_that_is_read_is_read_the_same_again(text in "[a-zA-Z0-9.*:/\\[\\]_-]{0,40}") {
        if let Ok(read) = text.parse::<HostPort>() {
            prop_assert_eq!(read.to_string().parse::<HostPort>(), Ok(read));
        }
    }
}

//! The beginning of a TLS connection, read for the one thing that matters here: which host it is
//! for (RFC 8446, 4.1.2; RFC 6066, 3).
//!
//! Reads what a client sends without trusting any length in it, in however many records and pieces
//! it comes. What cannot be read is an error: a server might read it differently.

use crate::model::destination::Host;

/// Longest `ClientHello`, in bytes: several times the largest keys of today.
const MAX_HELLO: usize = 32 << 10;

/// Longest record, in bytes (RFC 8446, 5.1).
const MAX_RECORD: usize = 1 << 14;

/// Most records a hello may come in: one that comes in more is made to be misread.
const MAX_RECORDS: usize = 64;

/// The type of a record that carries a handshake, which is the first byte of a connection.
pub(super) const HANDSHAKE: u8 = 22;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What is known of a hello from its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// Its end has not come yet.
    Unfinished,
    /// It is for this host.
    Names(Host),
    /// It names none.
    Nameless,
    /// It is none, or one that may be read in two ways.
    Unreadable,
}

/// Reads the first bytes of a connection that begins with `HANDSHAKE`.
pub(super) fn read(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(Some(body)) => match server_name(&body) {
            Some(Some(name)) => Host::parse(name)
                .filter(|host| matches!(host, Host::Name(_)))
                .map_or(Hello::Unreadable, Hello::Names),
            Some(None) => Hello::Nameless,
            None => Hello::Unreadable,
        },
        Ok(None) => Hello::Unfinished,
        Err(Malformed) => Hello::Unreadable,
    }
}

struct Malformed;

/// The body of the first handshake message, put together from its records; `None` while it is not
/// whole.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut message = Vec::new();
    for _ in 0..MAX_RECORDS {
        let Some((header, rest)) = bytes.split_at_checked(5) else {
            let sound = bytes.first().is_none_or(|kind| *kind == HANDSHAKE)
                && bytes.get(1).is_none_or(|major| *major == 3);
            return if sound { Ok(None) } else { Err(Malformed) };
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != HANDSHAKE || header[1] != 3 || length == 0 || length > MAX_RECORD {
            return Err(Malformed);
        }
        message.extend_from_slice(&rest[..length.min(rest.len())]);
        if let Some(&[kind, high, middle, low]) = message.first_chunk::<4>() {
            let whole = u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind != CLIENT_HELLO || whole > MAX_HELLO {
                return Err(Malformed);
            }
            if let Some(body) = message.get(4..4 + whole) {
                return Ok(Some(body.to_vec()));
            }
        }
        match rest.get(length..) {
            Some(next) => bytes = next,
            None => return Ok(None),
        }
    }
    Err(Malformed)
}

/// The name in a hello's extensions, if it has one; the outer `None` is for what is malformed or
/// named twice.
#[allow(clippy::option_option, reason = "malformed, nameless and named are three things")]
fn server_name(body: &[u8]) -> Option<Option<&[u8]>> {
    let mut hello = Reader(body);
    hello.take(2 + 32)?;
    hello.block8()?;
    hello.block16()?;
    hello.block8()?;
    if hello.0.is_empty() {
        // Before extensions there were none.
        return Some(None);
    }
    let mut extensions = Reader(hello.block16()?);
    if !hello.0.is_empty() {
        return None;
    }
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.block16()?;
        if kind != SERVER_NAME {
            continue;
        }
        let mut names = Reader(Reader(content).whole16()?);
        let kind = names.take(1)?;
        let found = names.block16()?;
        if kind != [HOST_NAME] || !names.0.is_empty() || name.replace(found).is_some() {
            return None;
        }
    }
    Some(name)
}

/// Takes lengths and what they measure off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn block8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn block16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// A block that ends where everything does.
    fn whole16(mut self) -> Option<&'a [u8]> {
        let block = self.block16()?;
        self.0.is_empty().then_some(block)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hello as a client writes it, in one record, with these extensions.
    pub(in super::super) fn hello_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let block16 = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &block16(content)].concat())
            .collect();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(block16(&extensions));
        let length = (body.len() as u32).to_be_bytes();
        let message = [&[CLIENT_HELLO, length[1], length[2], length[3]][..], &body].concat();
        record(&message)
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        let length = (fragment.len() as u16).to_be_bytes();
        [&[HANDSHAKE, 3, 1][..], &length, fragment].concat()
    }

    pub(in super::super) fn name_extension(name: &[u8]) -> (u16, Vec<u8>) {
        let entry = [&[HOST_NAME][..], &(name.len() as u16).to_be_bytes(), name].concat();
        (SERVER_NAME, [&(entry.len() as u16).to_be_bytes()[..], &entry].concat())
    }

    /// A hello for a host.
    pub(in super::super) fn hello_for(name: &str) -> Vec<u8> {
        hello_with(&[(43, vec![2, 3, 4]), name_extension(name.as_bytes()), (0xfe0d, vec![0; 40])])
    }

    fn named(name: &str) -> Hello {
        Hello::Names(Host::Name(name.to_owned()))
    }

    #[test]
    fn the_name_is_found_wherever_it_stands_and_however_it_is_cut() {
        let hello = hello_for("Example.ORG");
        assert_eq!(read(&hello), named("example.org"));
        for end in 1..hello.len() {
            assert_eq!(read(&hello[..end]), Hello::Unfinished, "{end} bytes");
        }
        for size in [1, 2, 3, 7, 50] {
            let records: Vec<u8> = hello[5..].chunks(size).flat_map(record).collect();
            let expected = if hello.len() / size > MAX_RECORDS {
                Hello::Unreadable
            } else {
                named("example.org")
            };
            assert_eq!(read(&records), expected, "records of {size}");
        }
        let followed = [&hello[..], b"what comes after"].concat();
        assert_eq!(read(&followed), named("example.org"));
    }

    #[test]
    fn a_hello_without_a_name_is_nameless_and_one_with_two_is_unreadable() {
        assert_eq!(read(&hello_with(&[(43, vec![2, 3, 4])])), Hello::Nameless);
        assert_eq!(read(&hello_with(&[])), Hello::Nameless);
        let (kind, content) = name_extension(b"a.example");
        let twice = [(kind, content.clone()), name_extension(b"b.example")];
        assert_eq!(read(&hello_with(&twice)), Hello::Unreadable);
        let mut two = content[2..].to_vec();
        two.extend(&name_extension(b"b.example").1[2..]);
        let list = [&(two.len() as u16).to_be_bytes()[..], &two].concat();
        assert_eq!(read(&hello_with(&[(kind, list)])), Hello::Unreadable);
    }

    #[test]
    fn what_is_no_host_name_is_unreadable() {
        for name in [&b"10.0.0.1"[..], b"a\0.example", b"", b"a b", b"\xff", b"127.1", b"::1"] {
            assert_eq!(read(&hello_with(&[name_extension(name)])), Hello::Unreadable, "{name:?}");
        }
    }

    #[test]
    fn what_lies_about_its_lengths_is_unreadable() {
        let hello = hello_for("example.org");
        let (kind, mut longer) = name_extension(b"example.org");
        longer.push(0);
        assert_eq!(read(&hello_with(&[(kind, longer)])), Hello::Unreadable);
        let mut huge = hello.clone();
        huge[6] = 0xff;
        assert_eq!(read(&huge), Hello::Unreadable);
        let mut empty = hello.clone();
        empty[3..5].fill(0);
        assert_eq!(read(&empty), Hello::Unreadable);
        let mut trailing = hello.clone();
        trailing.push(0);
        trailing[4] += 1;
        trailing[8] += 1;
        assert_eq!(read(&trailing), Hello::Unreadable);
        let mut other = hello;
        other[5] = 2;
        assert_eq!(read(&other), Hello::Unreadable, "a server's hello");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_never_name_two_hosts(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            begun in any::<bool>(),
        ) {
            let bytes = if begun { [&[HANDSHAKE, 3, 1][..], &bytes].concat() } else { bytes };
            let _ = read(&bytes);
        }

        #[test]
        fn a_hello_with_a_changed_byte_is_read_whole_or_not_at_all(
            at in 0_usize..100, value in any::<u8>()
        ) {
            let mut hello = hello_for("example.org");
            let at = at % hello.len();
            hello[at] = value;
            if let Hello::Names(host) = read(&hello) {
                prop_assert_eq!(Host::parse(host.to_string().as_bytes()), Some(host));
            }
        }
    }
}

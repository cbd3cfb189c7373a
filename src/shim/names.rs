//! The box's name server: it knows no addresses, only which name stands for which.
//!
//! Nothing is ever asked outside. Every name gets an address of its own out of 127.64.0.0/10, on
//! which the relay listens; the address tells the relay the name, and the gateway, which alone
//! resolves it, whether it may be reached.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Longest query, in bytes: what resolvers send without fragments.
pub(super) const MAX_QUERY: usize = 1232;

/// Names kept at a time; about 1 MiB when all are as long as can be.
const MAX_NAMES: usize = 4096;

/// How long programs may keep an answer, in seconds: less than it takes to forget a name in use.
const TTL: u32 = 60;

/// Length of a message's header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// The first and the number of addresses that stand for names.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
const ADDRESSES: u32 = (1 << 22) - 2;

/// Which name has which address.
///
/// An address is given again only after all others were, so that an answer some program still
/// keeps does not come to stand for another name.
pub(super) struct Names {
    by_name: HashMap<String, Entry>,
    by_address: HashMap<Ipv4Addr, String>,
    next: u32,
    clock: u64,
}

struct Entry {
    address: Ipv4Addr,
    /// When it was last asked for; `u64::MAX` for a name that is never forgotten.
    used: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { by_name: HashMap::new(), by_address: HashMap::new(), next: 0, clock: 0 }
    }

    /// The address of a name, kept for as long as the table lives.
    pub(super) fn pin(&mut self, name: &str) -> Ipv4Addr {
        let address = self.address_of(name);
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.used = u64::MAX;
        }
        address
    }

    /// The name an address was given to.
    pub(super) fn name_of(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    fn address_of(&mut self, name: &str) -> Ipv4Addr {
        self.clock += 1;
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.used = entry.used.max(self.clock);
            return entry.address;
        }
        if self.by_name.len() >= MAX_NAMES {
            self.forget_oldest();
        }
        let address = loop {
            let address = Ipv4Addr::from(u32::from(FIRST) + self.next);
            self.next = (self.next + 1) % ADDRESSES;
            if !self.by_address.contains_key(&address) {
                break address;
            }
        };
        self.by_name.insert(name.to_owned(), Entry { address, used: self.clock });
        self.by_address.insert(address, name.to_owned());
        address
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_name.iter().min_by_key(|(_, entry)| entry.used);
        if let Some((name, address)) = oldest.map(|(name, entry)| (name.clone(), entry.address)) {
            self.by_name.remove(&name);
            self.by_address.remove(&address);
        }
    }

    /// Answers a query; `None` for what is none.
    pub(super) fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        if query.len() < HEADER || query.len() > MAX_QUERY {
            return None;
        }
        let id = u16::from_be_bytes([query[0], query[1]]);
        let response = match Message::from_vec(query) {
            Ok(message) if message.metadata.message_type == MessageType::Response => return None,
            Ok(message) => self.respond(&message),
            // The bit that tells an answer from a query; two servers must not answer each other.
            Err(_) if query[2] & 0x80 != 0 => return None,
            Err(_) => Message::error_msg(id, OpCode::Query, ResponseCode::FormErr),
        };
        response.to_vec().ok()
    }

    fn respond(&mut self, message: &Message) -> Message {
        let op_code = message.metadata.op_code;
        let mut response = Message::response(message.metadata.id, op_code);
        response.metadata.recursion_desired = message.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        if message.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_QUERY as u16);
            response.set_edns(edns);
        }
        let [query] = message.queries.as_slice() else {
            response.metadata.response_code = ResponseCode::FormErr;
            return response;
        };
        response.add_query(query.clone());
        if op_code != OpCode::Query || query.query_class() != DNSClass::IN {
            response.metadata.response_code = ResponseCode::NotImp;
            return response;
        }
        match self.data(query.name(), query.query_type()) {
            Ok(Some(data)) => {
                response.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
            }
            Ok(None) => {}
            Err(code) => response.metadata.response_code = code,
        }
        response
    }

    /// What a name is answered with. Types other than an address exist for no name.
    fn data(&mut self, name: &Name, kind: RecordType) -> Result<Option<RData>, ResponseCode> {
        let text = readable(name).ok_or(ResponseCode::NXDomain)?;
        let localhost = text == "localhost" || text.ends_with(".localhost");
        Ok(match kind {
            RecordType::A if localhost => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
            RecordType::AAAA if localhost => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
            RecordType::A => Some(RData::A(A(self.address_of(&text)))),
            _ => None,
        })
    }
}

/// A name as text, in lower case, when it can stand in a request to the gateway.
fn readable(name: &Name) -> Option<String> {
    let mut text = String::new();
    for label in name {
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let label =
            std::str::from_utf8(label).ok().filter(|label| label.bytes().all(|b| sound(&b)))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&label.to_ascii_lowercase());
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;
    use proptest::prelude::*;

    fn ask(names: &mut Names, name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        let answer = names.answer(&message.to_vec().expect("a query")).expect("an answer");
        let answer = Message::from_vec(&answer).expect("a message");
        assert_eq!(answer.metadata.id, message.metadata.id);
        answer
    }

    fn address(names: &mut Names, name: &str) -> Ipv4Addr {
        match ask(names, name, RecordType::A).answers.as_slice() {
            [Record { data: RData::A(A(address)), .. }] => *address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_keeps_its_address_and_the_address_tells_the_name() {
        let mut names = Names::new();
        let first = address(&mut names, "Example.org.");
        assert_eq!(first, Ipv4Addr::new(127, 64, 0, 1));
        assert_ne!(address(&mut names, "example.net."), first);
        assert_eq!(address(&mut names, "EXAMPLE.ORG."), first);
        assert_eq!(names.name_of(first), Some("example.org"));
        assert_eq!(names.name_of(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn what_is_no_address_is_answered_empty_and_localhost_as_itself() {
        let mut names = Names::new();
        for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::SRV] {
            let answer = ask(&mut names, "example.org.", kind);
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            assert_eq!(answer.answers, []);
        }
        assert_eq!(address(&mut names, "localhost."), Ipv4Addr::LOCALHOST);
        let six = ask(&mut names, "a.localhost.", RecordType::AAAA);
        assert_eq!(six.answers[0].data, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn the_table_is_bounded_forgets_the_oldest_and_keeps_what_is_pinned() {
        let mut names = Names::new();
        let pinned = names.pin("host.agentdeck");
        let old = address(&mut names, "old.example.");
        let mut last = old;
        for number in 0..MAX_NAMES {
            last = address(&mut names, &format!("n{number}.example."));
        }
        assert_eq!(names.by_name.len(), MAX_NAMES);
        assert_eq!(names.by_address.len(), MAX_NAMES);
        assert_eq!(names.name_of(old), None);
        assert_eq!(names.name_of(pinned), Some("host.agentdeck"));
        assert!(names.name_of(last).is_some());
    }

    #[test]
    fn addresses_go_round_without_leaving_their_range() {
        let mut names = Names::new();
        names.next = ADDRESSES - 1;
        assert_eq!(address(&mut names, "last.example."), Ipv4Addr::new(127, 127, 255, 254));
        assert_eq!(address(&mut names, "first.example."), FIRST);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer_or_none_and_never_a_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            sane in any::<bool>(),
        ) {
            if sane && bytes.len() >= HEADER {
                bytes[2..HEADER].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            }
            let mut names = Names::new();
            if let Some(answer) = names.answer(&bytes) {
                prop_assert_eq!(&answer[..2], &bytes[..2]);
                let message = Message::from_vec(&answer).expect("a message");
                prop_assert_eq!(message.metadata.message_type, MessageType::Response);
                prop_assert!(bytes[2] & 0x80 == 0);
            }
            prop_assert!(names.by_name.len() <= 1);
        }
    }
}

//! The box's name server: it knows no addresses, only which name stands for which.
//!
//! Nothing is ever asked outside. Every name that the rules answer gets an address of its own out
//! of 127.64.0.0/10, on which the relay listens; the address tells the relay the name, and the
//! gateway, which alone resolves it, whether it may be reached. Every other name does not exist.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::model::destination::RelayRules;

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
    rules: RelayRules,
    by_name: HashMap<String, Entry>,
    by_address: HashMap<Ipv4Addr, String>,
    next: u32,
    clock: u64,
}

struct Entry {
    address: Ipv4Addr,
    /// When it was last asked for.
    used: u64,
}

/// What a query was about, as far as others need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// This name, which got this address.
    Given(String, Ipv4Addr),
    /// This name, which the rules do not answer.
    Refused(String),
}

impl Names {
    pub(super) fn new(rules: RelayRules) -> Self {
        let (by_name, by_address) = (HashMap::new(), HashMap::new());
        Self { rules, by_name, by_address, next: 0, clock: 0 }
    }

    pub(super) fn rules(&self) -> &RelayRules {
        &self.rules
    }

    pub(super) fn set_rules(&mut self, rules: RelayRules) {
        self.rules = rules;
    }

    /// Every name that has an address.
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.by_address.iter().map(|(address, name)| (name.as_str(), *address))
    }

    /// The name an address was given to.
    pub(super) fn name_of(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    pub(super) fn address_of(&mut self, name: &str) -> Ipv4Addr {
        self.clock += 1;
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.used = self.clock;
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

    /// Answers a query, and tells what it was about; `None` for what is none.
    pub(super) fn answer(&mut self, query: &[u8]) -> Option<(Vec<u8>, Asked)> {
        if query.len() < HEADER || query.len() > MAX_QUERY {
            return None;
        }
        let id = u16::from_be_bytes([query[0], query[1]]);
        let mut asked = Asked::Nothing;
        let response = match Message::from_vec(query) {
            Ok(message) if message.metadata.message_type == MessageType::Response => return None,
            Ok(message) => self.respond(&message, &mut asked),
            // The bit that tells an answer from a query; two servers must not answer each other.
            Err(_) if query[2] & 0x80 != 0 => return None,
            Err(_) => Message::error_msg(id, OpCode::Query, ResponseCode::FormErr),
        };
        Some((response.to_vec().ok()?, asked))
    }

    fn respond(&mut self, message: &Message, asked: &mut Asked) -> Message {
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
        match self.data(query.name(), query.query_type(), asked) {
            Ok(Some(data)) => {
                response.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
            }
            Ok(None) => {}
            Err(code) => response.metadata.response_code = code,
        }
        response
    }

    /// What a name is answered with. Types other than an address exist for no name.
    fn data(
        &mut self,
        name: &Name,
        kind: RecordType,
        asked: &mut Asked,
    ) -> Result<Option<RData>, ResponseCode> {
        let text = readable(name).ok_or(ResponseCode::NXDomain)?;
        let localhost = text == "localhost" || text.ends_with(".localhost");
        if !localhost && !self.rules.answers(&text) {
            // Programs ask for both kinds of address at once; one of them is told.
            if kind != RecordType::AAAA {
                *asked = Asked::Refused(text);
            }
            return Err(ResponseCode::NXDomain);
        }
        Ok(match kind {
            RecordType::A if localhost => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
            RecordType::AAAA if localhost => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
            RecordType::A => {
                let address = self.address_of(&text);
                *asked = Asked::Given(text, address);
                Some(RData::A(A(address)))
            }
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

    fn open() -> Names {
        Names::new(RelayRules { every_name: true, allow: Vec::new() })
    }

    fn ask(names: &mut Names, name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        let (answer, _) = names.answer(&message.to_vec().expect("a query")).expect("an answer");
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
        let mut names = open();
        let first = address(&mut names, "Example.org.");
        assert_eq!(first, Ipv4Addr::new(127, 64, 0, 1));
        assert_ne!(address(&mut names, "example.net."), first);
        assert_eq!(address(&mut names, "EXAMPLE.ORG."), first);
        assert_eq!(names.name_of(first), Some("example.org"));
        assert_eq!(names.name_of(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn what_is_no_address_is_answered_empty_and_localhost_as_itself() {
        let mut names = open();
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
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut names = open();
        let old = address(&mut names, "old.example.");
        let mut last = old;
        for number in 0..MAX_NAMES {
            last = address(&mut names, &format!("n{number}.example."));
        }
        assert_eq!(names.by_name.len(), MAX_NAMES);
        assert_eq!(names.by_address.len(), MAX_NAMES);
        assert_eq!(names.name_of(old), None);
        assert!(names.name_of(last).is_some());
    }

    #[test]
    fn addresses_go_round_without_leaving_their_range() {
        let mut names = open();
        names.next = ADDRESSES - 1;
        assert_eq!(address(&mut names, "last.example."), Ipv4Addr::new(127, 127, 255, 254));
        assert_eq!(address(&mut names, "first.example."), FIRST);
    }

    #[test]
    fn a_name_that_the_rules_do_not_answer_does_not_exist_and_is_told() {
        let allow = ["example.org", "*.example.net:8443"].map(str::parse);
        let allow = allow.into_iter().collect::<Result<_, _>>().expect("entries");
        let mut names = Names::new(RelayRules { every_name: false, allow });
        for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::ANY] {
            for name in ["evil.example.", "example.net.", "c2VjcmV0.evil.example."] {
                let answer = ask(&mut names, name, kind);
                assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name} {kind}");
            }
        }
        assert_eq!(names.by_name.len(), 0, "nothing is kept of them");
        assert_eq!(address(&mut names, "a.example.net."), FIRST);
        assert_eq!(address(&mut names, "localhost."), Ipv4Addr::LOCALHOST);
        let mut message = Message::query();
        let name = Name::from_ascii("Evil.Example.").expect("a name");
        message.add_query(Query::query(name, RecordType::TXT));
        let (_, asked) = names.answer(&message.to_vec().expect("a query")).expect("an answer");
        assert_eq!(asked, Asked::Refused("evil.example".to_owned()));
        names.set_rules(RelayRules { every_name: true, allow: Vec::new() });
        assert_ne!(address(&mut names, "evil.example."), FIRST);
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
            let mut names = open();
            if let Some((answer, _)) = names.answer(&bytes) {
                prop_assert_eq!(&answer[..2], &bytes[..2]);
                let message = Message::from_vec(&answer).expect("a message");
                prop_assert_eq!(message.metadata.message_type, MessageType::Response);
                prop_assert!(bytes[2] & 0x80 == 0);
            }
            prop_assert!(names.by_name.len() <= 1);
        }
    }
}

//! A name server with a few names, whose addresses may be others each time they are asked for.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};

type Answers = Arc<Mutex<HashMap<String, Entry>>>;

/// What the world's name server answers with.
#[derive(Clone, Default)]
pub struct Zone {
    entries: Answers,
}

struct Entry {
    /// One set of addresses for each time, in turn.
    turns: Vec<Vec<IpAddr>>,
    /// How often addresses of each kind were asked for, IPv4 and IPv6.
    asked: [usize; 2],
    /// Questions for IPv6 get no answer at all.
    silent: bool,
}

impl Zone {
    /// Answers on a socket until the process ends.
    pub fn serve(socket: UdpSocket) -> Self {
        let zone = Self::default();
        let serving = zone.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = serving.answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        zone
    }

    /// Gives a name its addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_turns(name, &[addresses]);
    }

    /// Answers for a name's IPv6 addresses no more.
    pub fn silence_six(&self, name: &str) {
        let mut entries = self.entries.lock().expect("not poisoned");
        entries.get_mut(name).expect("a name").silent = true;
    }

    /// Gives a name other addresses each time it is asked for.
    pub fn set_turns(&self, name: &str, turns: &[&[&str]]) {
        let read =
            |turn: &&[&str]| turn.iter().map(|one| one.parse().expect("an address")).collect();
        let entry = Entry { turns: turns.iter().map(read).collect(), asked: [0; 2], silent: false };
        self.entries.lock().expect("not poisoned").insert(name.to_owned(), entry);
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let message = Message::from_vec(query).ok()?;
        let mut response = Message::response(message.metadata.id, message.metadata.op_code);
        let query = message.queries.first()?.clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let kind = query.query_type();
        response.add_query(query.clone());
        match self.entries.lock().expect("not poisoned").get_mut(&name) {
            None => response.metadata.response_code = ResponseCode::NXDomain,
            Some(entry) if entry.silent && kind == RecordType::AAAA => return None,
            Some(entry) => {
                for data in entry.next(kind) {
                    response.add_answer(Record::from_rdata(query.name().clone(), 0, data));
                }
            }
        }
        response.to_vec().ok()
    }
}

impl Entry {
    fn next(&mut self, kind: RecordType) -> Vec<RData> {
        let six = kind == RecordType::AAAA;
        if !six && kind != RecordType::A {
            return Vec::new();
        }
        let asked = &mut self.asked[usize::from(six)];
        let turn = &self.turns[*asked % self.turns.len()];
        *asked += 1;
        let data = turn.iter().filter_map(|address| match address {
            IpAddr::V4(address) if !six => Some(RData::A(A(*address))),
            IpAddr::V6(address) if six => Some(RData::AAAA(AAAA(*address))),
            _ => None,
        });
        data.collect()
    }
}

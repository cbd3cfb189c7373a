//! One environment's gate: the policy that holds now, and what it lately refused.
//!
//! The policy can be changed while connections are open. Refusals are a bounded list in which the
//! same one is counted, never repeated: a box that asks without end fills nothing.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::model::destination::{Denial, Host, HostPort, Named};
use crate::model::id::Timestamp;
use crate::model::policy::NetworkPolicy;

use super::policy::{self, Refusal};

/// Different refusals kept, the newest: what a person reads through.
const MAX_DENIALS: usize = 32;

/// Longest place that is kept, in characters; a name has at most 253.
const MAX_PLACE: usize = 260;

/// Lines of the log that one gate's refusals fill: the log is the host's, and a box that asks for
/// ever new places must not fill its disk.
const MAX_LINES: usize = 256;

/// What a connection goes to, as it was judged.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
    /// The address that was dialled; `None` where another judges it: for a service of this machine,
    /// which is named by its port, and behind the host's own proxy.
    pub(super) address: Option<IpAddr>,
}

/// What stands between one environment and the world.
pub struct Gate {
    policy: watch::Sender<Arc<NetworkPolicy>>,
    denied: Mutex<Vec<Denial>>,
    /// Raised whenever the list of denials is another.
    changes: watch::Sender<u64>,
    /// Refusals that were told in the log.
    lines: AtomicUsize,
}

impl Gate {
    pub fn new(policy: NetworkPolicy) -> Arc<Self> {
        Arc::new(Self {
            policy: watch::Sender::new(Arc::new(policy)),
            denied: Mutex::default(),
            changes: watch::Sender::new(0),
            lines: AtomicUsize::new(0),
        })
    }

    /// Judges by another policy from now on. Connections to what it no longer reaches are ended,
    /// and what it now reaches is not listed as denied any more.
    pub fn set_policy(&self, policy: NetworkPolicy) {
        self.change(|denied| {
            denied.retain(|denial| {
                !denial.opens.as_ref().is_some_and(|entry| policy::reaches(&policy, entry))
            });
        });
        self.policy.send_replace(Arc::new(policy));
    }

    /// What was refused, the newest first.
    pub fn denied(&self) -> Vec<Denial> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells when `denied` is worth reading again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn policy(&self) -> Arc<NetworkPolicy> {
        self.policy.borrow().clone()
    }

    pub(super) fn policies(&self) -> watch::Receiver<Arc<NetworkPolicy>> {
        self.policy.subscribe()
    }

    /// Ends when the policy no longer lets the box reach a place: what was asked for, or the
    /// address that it led to.
    pub(super) async fn revoked(&self, place: &Place) {
        let Place { host, port, address } = place;
        let mut policies = self.policies();
        let reached = |policy: &Arc<NetworkPolicy>| {
            let admitted = |address| policy::admit(policy, address, *port).is_ok();
            policy::decide(policy, host, *port).is_ok() && address.is_none_or(admitted)
        };
        // The gate outlives its connections; were it gone, they would have to end too.
        let _ = policies.wait_for(|policy| !reached(policy)).await;
    }

    /// Notes a refusal of what could be read as a host.
    pub(super) fn refuse(&self, host: &Host, port: u16, refusal: &Refusal) {
        self.deny(&format!("{host}:{port}"), refusal.to_string(), refusal.opens(host, port));
    }

    /// Notes a refusal of what could not.
    pub(super) fn refuse_unreadable(&self, host: &[u8], port: u16) {
        let host = String::from_utf8_lossy(host);
        self.deny(&format!("{host}:{port}"), Refusal::Unreadable.to_string(), None);
    }

    /// Notes that a name was looked up which the policy does not reach.
    pub(super) fn refuse_name(&self, name: &str) {
        if name == HostPort::HOST_IN_BOX {
            // Which of its services was meant is not known yet.
            return self.deny(name, Refusal::OwnHost(name.to_owned()).to_string(), None);
        }
        let host = Host::parse(name.as_bytes());
        let opens = host.map(|host| HostPort { host: Named::Exactly(host), port: None });
        let opens = opens.filter(|entry| policy::check_entry(entry).is_ok());
        let reason = "this name is not among what this environment may reach".to_owned();
        self.deny(name, reason, opens);
    }

    fn deny(&self, place: &str, reason: String, opens: Option<HostPort>) {
        let place: String = place.chars().map(shown).take(MAX_PLACE).collect();
        let last = now();
        // An entry is a text to everybody else; one that is read as another would open that.
        let opens = opens.filter(|entry| entry.to_string().parse().as_ref() == Ok(entry));
        let mut refused = 0;
        let told = format!("{place}: {reason}");
        self.change(|denied| {
            let same = |denial: &Denial| denial.place == place && denial.reason == reason;
            let count = match denied.iter().position(same) {
                Some(at) => denied.remove(at).count.saturating_add(1),
                None => 1,
            };
            refused = count;
            denied.insert(0, Denial { place, reason, count, last, opens });
            denied.truncate(MAX_DENIALS);
        });
        if self.is_told(refused) {
            tracing::info!("a box was refused {told}");
        } else {
            tracing::debug!("a box was refused {told}");
        }
    }

    /// Whether the log tells of a refusal: of the first of its kind, within the bound.
    fn is_told(&self, count: u64) -> bool {
        count == 1 && self.lines.fetch_add(1, Ordering::Relaxed) < MAX_LINES
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Denial>)) {
        change(&mut self.denied.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Only what is visible in plain ASCII is repeated of what a box said.
fn shown(character: char) -> char {
    if character.is_ascii_graphic() { character } else { '?' }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::NetworkMode;

    fn gate() -> Arc<Gate> {
        Gate::new(NetworkPolicy { mode: NetworkMode::Allow, allow: Vec::new() })
    }

    fn refuse(gate: &Gate, place: &str) {
        let (host, port) = place.rsplit_once(':').expect("a port");
        let (host, port) = (Host::parse(host.as_bytes()).expect("a host"), port.parse());
        let port = port.expect("a port");
        let refusal = policy::decide(&gate.policy(), &host, port).expect_err("refused");
        gate.refuse(&host, port, &refusal);
    }

    fn listed(gate: &Gate) -> Vec<(String, u64)> {
        gate.denied().into_iter().map(|denial| (denial.place, denial.count)).collect()
    }

    #[test]
    fn the_same_refusal_is_counted_and_the_newest_is_first() {
        let gate = gate();
        for place in ["a.example:443", "b.example:443", "a.example:443"] {
            refuse(&gate, place);
        }
        let expected = [("a.example:443".to_owned(), 2), ("b.example:443".to_owned(), 1)];
        assert_eq!(listed(&gate), expected);
    }

    #[test]
    fn the_list_is_bounded_and_keeps_the_newest() {
        let gate = gate();
        for number in 0..1_000 {
            refuse(&gate, &format!("n{number}.example:443"));
        }
        let listed = listed(&gate);
        assert_eq!(listed.len(), MAX_DENIALS);
        assert_eq!(listed[0].0, "n999.example:443");
    }

    #[test]
    fn a_box_that_asks_without_end_fills_no_log() {
        let gate = gate();
        refuse(&gate, "a.example:443");
        refuse(&gate, "a.example:443");
        assert_eq!(gate.lines.load(Ordering::Relaxed), 1, "the same is told once");
        let told = (0..10_000).filter(|_| gate.is_told(1)).count();
        assert_eq!(told, MAX_LINES - 1);
        assert!(!gate.is_told(2));
    }

    #[test]
    fn nothing_a_box_says_is_repeated_with_control_bytes_or_without_end() {
        let gate = gate();
        gate.refuse_unreadable(b"\x1b]0;title\x07\xff\xe2\x80\xae.example", 80);
        gate.refuse_unreadable(&[b'a'; 9_000], 80);
        for denial in gate.denied() {
            assert!(denial.place.bytes().all(|byte| byte.is_ascii_graphic()), "{denial:?}");
            assert!(denial.place.len() <= MAX_PLACE);
            assert_eq!(denial.opens, None);
        }
    }

    #[test]
    fn what_a_refusal_says_would_open_it_is_read_as_just_that() {
        let gate = gate();
        for place in ["host:80", "host:8080", "host.agentdeck:8080", "a.example:443"] {
            refuse(&gate, place);
        }
        for name in ["host", "host.agentdeck", "a.example", "localhost", "metadata"] {
            gate.refuse_name(name);
        }
        let entries: Vec<_> = gate.denied().into_iter().filter_map(|denial| denial.opens).collect();
        let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["a.example", "a.example:443", "host:8080"]);
        for (entry, word) in entries.iter().zip(&words) {
            assert_eq!(word.parse().as_ref(), Ok(entry));
        }
        assert_eq!(entries[2], HostPort::this_machine(8080), "asked for as host.agentdeck");
    }

    #[test]
    fn what_was_opened_is_no_longer_denied() {
        let gate = gate();
        refuse(&gate, "a.example:443");
        refuse(&gate, "b.example:443");
        let allow = vec!["a.example:443".parse().expect("an entry")];
        gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow });
        assert_eq!(listed(&gate), [("b.example:443".to_owned(), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_is_revoked_when_its_entry_goes_and_not_before() {
        let allow = vec!["a.example:443".parse().expect("an entry")];
        let gate = Gate::new(NetworkPolicy { mode: NetworkMode::Allow, allow: allow.clone() });
        let host = Host::Name("a.example".to_owned());
        let place = Place { host, port: 443, address: None };
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, gate.revoked(&place)).await.is_err());
        gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow: Vec::new() });
        assert!(tokio::time::timeout(soon, gate.revoked(&place)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_revoked_with_the_entry_that_opened_its_private_address() {
        let entry = |text: &str| text.parse::<HostPort>().expect("an entry");
        let allow = vec![entry("a.example:443"), entry("10.1.0.0/16")];
        let gate = Gate::new(NetworkPolicy { mode: NetworkMode::Allow, allow });
        let host = Host::Name("a.example".to_owned());
        let address = Some(IpAddr::from([10, 1, 2, 3]));
        let place = Place { host, port: 443, address };
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, gate.revoked(&place)).await.is_err());
        let allow = vec![entry("a.example:443")];
        gate.set_policy(NetworkPolicy { mode: NetworkMode::Allow, allow });
        assert!(tokio::time::timeout(soon, gate.revoked(&place)).await.is_ok());
    }
}

//! Limits: what was asked for, beside what is read back.

use super::Design;
use super::groups::Bound;
use super::reading::Reading;
use crate::engine::Asked;
use crate::model::policy::{Aspect, Enforcement, EngineKind, IsolationFact, show_bytes};

/// Instances of inotify that a box may hold at most without taking the user's own share
/// (`inotify(7)`): a usual system has 128 for each user.
const MOST_NOTIFIERS: u64 = 128;

/// The box's first process is ours, and may not be counted against what was asked for.
const OWN_PROCESSES: u64 = 1;

pub(super) fn facts(reading: &Reading, design: &Design, asked: &Asked) -> Vec<IsolationFact> {
    let mut facts = of_groups(reading, design, asked);
    facts.extend(files(asked.limits.files, reading.own_limits.files));
    facts.extend(notifiers(reading));
    facts
}

/// The limits that hold a box as a whole.
pub(super) fn of_groups(reading: &Reading, design: &Design, asked: &Asked) -> Vec<IsolationFact> {
    let limits = &asked.limits;
    let own = &reading.own_limits;
    let memory = Limit {
        name: "memory",
        asked: limits.memory,
        slack: 0,
        bound: reading.bounds.memory.as_ref(),
        each: own.address_space,
        each_name: "RLIMIT_AS",
        flag: "--memory 4g",
        show: show_bytes,
    };
    let processors = Limit {
        name: "processors",
        asked: limits.cpu_millis.map(u64::from),
        slack: 0,
        bound: reading.bounds.processors.as_ref(),
        each: None,
        each_name: "",
        flag: "--cpus 2",
        show: thousandths,
    };
    let processes = Limit {
        name: "processes",
        asked: limits.processes.map(u64::from),
        slack: OWN_PROCESSES,
        bound: reading.bounds.processes.as_ref(),
        each: own.processes,
        each_name: "RLIMIT_NPROC",
        flag: "--pids 500",
        show: plain,
    };
    [memory, processors, processes].iter().map(|limit| limit.fact(design.engine)).collect()
}

fn fact(name: &str, enforcement: Enforcement, evidence: impl Into<String>) -> IsolationFact {
    IsolationFact::new(Aspect::Limits, name, enforcement, evidence)
}

fn plain(value: u64) -> String {
    value.to_string()
}

fn thousandths(value: u64) -> String {
    let text = format!("{}.{:03}", value / 1000, value % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One limit of a box as a whole.
struct Limit<'a> {
    name: &'static str,
    asked: Option<u64>,
    /// How much more is as good.
    slack: u64,
    /// What control groups hold the box to.
    bound: Option<&'a Bound>,
    /// What each process is held to by itself.
    each: Option<u64>,
    each_name: &'static str,
    /// What to write to have it.
    flag: &'static str,
    show: fn(u64) -> String,
}

impl Limit<'_> {
    fn fact(&self, engine: EngineKind) -> IsolationFact {
        let show = self.show;
        let Some(asked) = self.asked else { return self.unasked() };
        match self.bound {
            Some(bound) if bound.value <= asked + self.slack => {
                let evidence = format!("{}: {}", bound.place, show(bound.value));
                return fact(self.name, Enforcement::Enforced, evidence);
            }
            Some(bound) if self.each.is_none_or(|each| each > asked) => {
                let evidence = format!(
                    "asked for {}, but {} is {}",
                    show(asked),
                    bound.place,
                    show(bound.value)
                );
                return fact(self.name, Enforcement::Off, evidence).remedy(remedy(engine));
            }
            _ => {}
        }
        if let Some(each) = self.each.filter(|each| *each <= asked) {
            let evidence = format!(
                "{} {}: for each process or user, not for the box as a whole",
                self.each_name,
                show(each)
            );
            return fact(self.name, Enforcement::Partial, evidence).remedy(remedy(engine));
        }
        let evidence =
            format!("asked for {}, but no control group of the box holds it", show(asked));
        fact(self.name, Enforcement::Off, evidence).remedy(remedy(engine))
    }

    /// Nobody asked, so it does not decide the level; what there is is told all the same.
    fn unasked(&self) -> IsolationFact {
        match self.bound {
            Some(bound) => {
                let evidence =
                    format!("none asked for; {}: {}", bound.place, (self.show)(bound.value));
                fact(self.name, Enforcement::Enforced, evidence).aside()
            }
            None if let Some(each) = self.each => {
                let evidence = format!(
                    "none asked for; {} {}: for each process or user, not for the box as a whole",
                    self.each_name,
                    (self.show)(each)
                );
                fact(self.name, Enforcement::Partial, evidence).aside()
            }
            None => fact(self.name, Enforcement::Off, "none asked for: all of the machine")
                .remedy(format!("agentdeck new {} …, or [limits] in config.toml", self.flag))
                .aside(),
        }
    }
}

fn remedy(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Native => {
            "give agentdeck control groups: run it as root, or where systemd delegates them \
             (systemd-run --user --scope -p Delegate=yes agentdeck server start)"
        }
        EngineKind::Docker => "give the engine's kernel this controller; docker info warns of it",
    }
}

/// Open descriptors of one process: a limit of each process is the whole of it.
fn files(asked: Option<u64>, own: Option<u64>) -> Option<IsolationFact> {
    let name = "open files";
    let own_text = own.map_or_else(|| "unlimited".to_owned(), |own| own.to_string());
    let evidence = format!("RLIMIT_NOFILE {own_text} for each process");
    let asked = asked?;
    Some(if own.is_some_and(|own| own <= asked) {
        fact(name, Enforcement::Enforced, evidence)
    } else {
        fact(name, Enforcement::Off, format!("asked for {asked}, but {evidence}"))
            .remedy("stop the environment and start it again")
    })
}

/// The box's share of file notices: claimed, as only the inside can read it.
fn notifiers(reading: &Reading) -> Option<IsolationFact> {
    let claims = reading.claims.as_ref()?;
    let name = "file notices";
    if claims.notices_answered {
        let evidence = "claimed from inside: the shim answers for them, on the box's own account";
        return Some(fact(name, Enforcement::Enforced, evidence.to_owned()));
    }
    let value: u64 = claims.settings.get("user.max_inotify_instances")?.parse().ok()?;
    let evidence = format!("claimed from inside: user.max_inotify_instances {value}");
    let own = reading.is_own("user") == Some(true);
    Some(if own && value <= MOST_NOTIFIERS {
        fact(name, Enforcement::Enforced, evidence)
    } else if own {
        fact(name, Enforcement::Partial, evidence).remedy("start the environment again")
    } else {
        let evidence = evidence + ", shared with all processes of that user on this machine";
        fact(name, Enforcement::Partial, evidence)
            .remedy("use the native engine, whose boxes have a share of their own")
            .aside()
    })
}

//! Each protection taken away, one at a time, from the reading of a box that has all of them.

use std::collections::BTreeMap;

use super::groups::{Bound, Bounds, OwnLimits};
use super::mounts;
use super::reading::{Namespace, Status};
use super::*;
use crate::model::policy::{IsolationLevel, Limits, NetworkMode};
use crate::shim::claims::{Attempt, Claims, PROCESS_FILE};

const HOST: &str = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                    21 20 0:5 / /dev rw - devtmpfs udev rw\n\
                    22 20 0:6 / /run rw - tmpfs tmpfs rw\n";

const BOX: &str = "50 1 0:90 / / rw - overlay overlay rw\n\
                   51 50 0:91 / /proc rw - proc proc rw\n\
                   52 51 0:91 /sys /proc/sys ro - proc proc rw\n\
                   53 51 0:91 /bus /proc/bus ro - proc proc rw\n\
                   54 51 0:91 /irq /proc/irq ro - proc proc rw\n\
                   55 51 0:91 /sysrq-trigger /proc/sysrq-trigger ro - proc proc rw\n\
                   56 51 0:5 /null /proc/kcore rw - devtmpfs udev rw\n\
                   57 51 0:5 /null /proc/keys rw - devtmpfs udev rw\n\
                   58 51 0:5 /null /proc/latency_stats rw - devtmpfs udev rw\n\
                   59 51 0:5 /null /proc/timer_list rw - devtmpfs udev rw\n\
                   60 51 0:5 /null /proc/sched_debug rw - devtmpfs udev rw\n\
                   61 51 0:92 / /proc/scsi ro - tmpfs tmpfs ro\n\
                   62 50 8:1 /state/e/workspace /home/me/shop rw - ext4 x rw\n\
                   63 50 8:1 /etc-of-engine/hosts /etc/hosts rw - ext4 x rw\n\
                   64 50 0:93 / /sys ro - sysfs sysfs ro\n";

fn design() -> Design {
    Design {
        engine: EngineKind::Docker,
        own: "/state/e".into(),
        filled: vec!["/etc/hosts".into()],
        shown: vec!["/shim".into()],
        system: Vec::new(),
        laid: Vec::new(),
        root_capabilities: Some(0xff),
        own_kernel: None,
        second_layer: Some(SecondLayer::Places),
        told: Vec::new(),
    }
}

fn asked() -> Asked {
    let limits = Limits {
        cpu_millis: Some(1500),
        memory: Some(1 << 30),
        processes: Some(100),
        files: Some(1024),
    };
    Asked { network: NetworkMode::Open, limits }
}

fn refused(name: &str) -> Attempt {
    Attempt { name: name.to_owned(), error: libc::EPERM }
}

fn second_layer(error: i32) -> Vec<Attempt> {
    ["making a device", PROCESS_FILE].map(|name| Attempt { name: name.to_owned(), error }).to_vec()
}

fn bound(value: u64) -> Bound {
    Bound { value, place: "/sys/fs/cgroup/x".to_owned() }
}

/// A box in which everything holds.
fn whole() -> Reading {
    let status = |user, bounding| Status {
        user,
        capabilities: vec![("CapEff", 0), ("CapBnd", bounding)],
        no_new_privileges: true,
        filtered: true,
        filters: Some(2),
        numbers: vec![900, 7],
    };
    let own = || Namespace { theirs: "pid:[2]".to_owned(), ours: "pid:[1]".to_owned() };
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    Reading {
        // No process of that number is there, so that nothing is read of a real one.
        pid: 0,
        agent: Some(status(1000, 0)),
        first: Some(status(0, 0xff)),
        namespaces: names.map(|name| (name, own())).into(),
        user_map: Some("0 1000 1".to_owned()),
        mounts: Some(mounts::parse(BOX)),
        host_mounts: mounts::parse(HOST),
        routes: Some(Vec::new()),
        interfaces: vec!["lo".to_owned()],
        devices: Some(vec!["null".to_owned(), "zero".to_owned()]),
        bounds: Bounds {
            memory: Some(bound(1 << 30)),
            processors: Some(bound(1500)),
            processes: Some(bound(100)),
        },
        own_limits: OwnLimits { processes: None, files: Some(1024), address_space: None },
        claims: Some(Claims {
            version: 1,
            calls: vec![refused("mount"), refused("bpf")],
            kernel_files: vec![refused("/proc/kcore")],
            addresses: vec![refused("10.0.0.1:53")],
            first_process: vec![refused("trace")],
            devices: vec!["null".to_owned(), "zero".to_owned()],
            name_servers: vec!["127.0.0.1".to_owned()],
            settings: BTreeMap::from([("user.max_inotify_instances".into(), "128".into())]),
            processes: 3,
            landlock: Some(7),
            second_layer: second_layer(libc::EACCES),
            ..Claims::default()
        }),
    }
}

fn judge(change: impl FnOnce(&mut Reading)) -> Isolation {
    let mut reading = whole();
    change(&mut reading);
    Isolation::of(facts(&reading, design(), &asked()))
}

/// The names of the facts that do not hold, with how far they do.
fn broken(isolation: &Isolation) -> Vec<(&str, Enforcement)> {
    let facts = isolation.facts.iter().filter(|fact| !fact.holds());
    facts.map(|fact| (fact.name.as_str(), fact.enforcement)).collect()
}

#[test]
fn a_whole_box_is_enforced_in_every_part() {
    let isolation = judge(|_| {});
    assert_eq!(broken(&isolation), []);
    assert_eq!(isolation.level, IsolationLevel::Enforced);
    for aspect in Aspect::ALL {
        assert!(isolation.facts.iter().any(|fact| fact.aspect == aspect), "{aspect}");
    }
}

/// A protection's name, how far it then holds, and what takes it away.
type Case = (&'static str, Enforcement, fn(&mut Reading));

fn add(reading: &mut Reading, line: &str) {
    reading.mounts.as_mut().expect("mounts").extend(mounts::parse(line));
}

fn share(reading: &mut Reading, kind: &str) {
    let namespace = reading.namespaces.get_mut(kind).expect("a namespace");
    namespace.theirs = namespace.ours.clone();
}

fn claims(reading: &mut Reading) -> &mut Claims {
    reading.claims.as_mut().expect("claims")
}

fn agent(reading: &mut Reading) -> &mut Status {
    reading.agent.as_mut().expect("a status")
}

fn taken_up(name: &str, error: i32) -> Vec<Attempt> {
    vec![refused("another"), Attempt { name: name.to_owned(), error }]
}

fn walls() -> Vec<Case> {
    use Enforcement::{Off, Partial};
    vec![
        ("own root", Off, |it| share(it, "mnt")),
        ("own root", Off, |it| add(it, "99 1 8:1 / / rw - ext4 x rw")),
        ("files of the host", Off, |it| add(it, "99 1 8:1 /home /h rw - ext4 x rw")),
        ("files of the host", Partial, |it| add(it, "99 1 8:1 /etc /h ro - ext4 x rw")),
        ("masked /proc and /sys", Off, |it| add(it, "99 1 0:93 / /sys rw - sysfs s rw")),
        ("masked /proc and /sys", Off, |it| {
            it.mounts.as_mut().expect("mounts").retain(|mount| !mount.target.ends_with("sys"));
        }),
        ("masked /proc and /sys", Partial, |it| {
            claims(it).kernel_files = taken_up("/proc/kcore", 0);
        }),
        ("devices", Off, |it| it.devices = Some(vec!["null".into(), "sda".into()])),
        // Refused, but by another wall.
        ("landlock", Partial, |it| claims(it).second_layer = second_layer(libc::EPERM)),
        ("landlock", Partial, |it| claims(it).second_layer[1].error = 0),
        ("landlock", Off, |it| claims(it).second_layer.clear()),
        ("landlock", Off, |it| claims(it).landlock = None),
        ("landlock", Off, |it| claims(it).landlock = Some(1)),
        ("own process table", Off, |it| share(it, "pid")),
        ("own shared memory", Off, |it| share(it, "ipc")),
        ("own host name and groups", Partial, |it| share(it, "uts")),
        ("own host name and groups", Partial, |it| share(it, "cgroup")),
        ("first process out of reach", Off, |it| {
            claims(it).first_process = taken_up("trace", 0);
        }),
        ("no capabilities", Off, |it| agent(it).capabilities[1].1 = 1 << 21),
        ("no new privileges", Off, |it| agent(it).no_new_privileges = false),
        ("system call filter", Off, |it| agent(it).filtered = false),
        ("forbidden system calls", Partial, |it| {
            claims(it).calls = taken_up("bpf", libc::EINVAL);
        }),
        ("rights of the box's root", Off, |it| {
            it.first.as_mut().expect("a status").capabilities[1].1 = 1 << 21;
        }),
        ("users of its own", Partial, |it| share(it, "user")),
        ("tried from inside", Partial, |it| it.claims = None),
    ]
}

fn bounds() -> Vec<Case> {
    use Enforcement::{Off, Partial};
    vec![
        ("own network", Off, |it| share(it, "net")),
        ("no way past the gateway", Off, |it| it.routes = Some(vec!["eth0".into()])),
        ("no way past the gateway", Partial, |it| {
            claims(it).addresses = taken_up("10.0.0.1:53", 0);
        }),
        ("memory", Off, |it| it.bounds.memory = None),
        ("memory", Off, |it| it.bounds.memory = Some(bound(1 << 31))),
        ("memory", Partial, |it| {
            it.bounds.memory = None;
            it.own_limits.address_space = Some(1 << 30);
        }),
        ("processors", Off, |it| it.bounds.processors = None),
        ("processes", Off, |it| it.bounds.processes = None),
        ("open files", Off, |it| it.own_limits.files = None),
    ]
}

#[test]
fn each_protection_that_is_taken_away_is_told_by_its_name() {
    for (name, enforcement, change) in walls().into_iter().chain(bounds()) {
        let isolation = judge(change);
        let broken = broken(&isolation);
        assert!(broken.contains(&(name, enforcement)), "{name}: {broken:?}");
        let fact = isolation.facts.iter().find(|fact| fact.name == name).expect("a fact");
        assert!(fact.remedy.is_some(), "{name} has no remedy");
    }
}

#[test]
fn a_kernel_without_a_second_layer_makes_no_lesser_box() {
    let isolation = judge(|it| claims(it).landlock = None);
    assert_eq!(isolation.level, IsolationLevel::Enforced);
    assert_eq!(isolation.unmet(&Aspect::ALL), None);
    let off = judge(|it| claims(it).second_layer = second_layer(0));
    assert_eq!(off.level, IsolationLevel::Partial, "where it should be, its lack is one");
}

#[test]
fn where_all_of_the_root_is_open_only_what_leads_out_of_it_is_shut() {
    let judge = |layer| {
        let mut reading = whole();
        claims(&mut reading).second_layer[1].error = 0;
        let design = Design { second_layer: layer, ..design() };
        let facts = facts(&reading, design, &asked());
        let fact = facts.into_iter().find(|fact| fact.name == "landlock");
        fact.map(|fact| (fact.enforcement, fact.evidence))
    };
    assert_eq!(judge(Some(SecondLayer::Places)).expect("a fact").0, Enforcement::Partial);
    let (enforcement, evidence) = judge(Some(SecondLayer::Root)).expect("a fact");
    assert_eq!(enforcement, Enforcement::Enforced);
    assert!(evidence.contains("below the box's root") && evidence.contains("1 of 1"), "{evidence}");
    assert_eq!(judge(None), None, "an engine that asks for none is told of none");
}

#[test]
fn an_overlay_is_judged_by_what_it_is_laid_over() {
    let judge = |line: &str| {
        let mut reading = whole();
        add(&mut reading, line);
        let laid = vec!["/usr".into(), "/opt".into()];
        let design = Design { system: vec!["/usr".into(), "/opt".into()], laid, ..design() };
        let isolation = Isolation::of(facts(&reading, design, &asked()));
        let fact = isolation.facts.into_iter().find(|fact| fact.name == "files of the host");
        let fact = fact.expect("a fact");
        (fact.enforcement, fact.evidence)
    };
    let by_descriptor = "rw,lowerdir=/proc/self/fd/8,upperdir=/proc/self/fd/9";
    let line =
        |target: &str, options: &str| format!("99 1 0:99 / {target} rw - overlay x {options}");
    assert_eq!(judge(&line("/usr", by_descriptor)).0, Enforcement::Enforced);
    let (enforcement, evidence) = judge(&line("/home/me", by_descriptor));
    assert_eq!(enforcement, Enforcement::Partial);
    assert!(evidence.contains("/home/me"), "{evidence}");
    let named = "rw,lowerdir=/opt:/usr/lib,upperdir=/state/e/layer,workdir=/state/e/work";
    assert_eq!(judge(&line("/opt", named)).0, Enforcement::Enforced);
    let (enforcement, evidence) = judge(&line("/usr", "rw,lowerdir=/usr:/home/me"));
    assert_eq!(enforcement, Enforcement::Partial);
    assert!(evidence.contains("/home/me"), "{evidence}");
    let (enforcement, evidence) = judge(&line("/usr", "rw,lowerdir=/usr,upperdir=/srv/shared"));
    assert_eq!(enforcement, Enforcement::Off);
    assert!(evidence.contains("/srv/shared"), "{evidence}");
}

#[test]
fn only_the_parts_of_the_system_that_a_box_is_to_see_are_fine() {
    let judge = |line: &str| {
        let mut reading = whole();
        add(&mut reading, line);
        let design = Design { system: vec!["/usr".into(), "/opt".into()], ..design() };
        let isolation = Isolation::of(facts(&reading, design, &asked()));
        let fact = isolation.facts.into_iter().find(|fact| fact.name == "files of the host");
        let fact = fact.expect("a fact");
        (fact.enforcement, fact.evidence)
    };
    assert_eq!(judge("99 1 8:1 /usr/lib/x /usr/lib/x ro - ext4 x rw").0, Enforcement::Enforced);
    let (enforcement, evidence) = judge("99 1 8:1 /home/me/.ssh /usr/lib/y ro - ext4 x rw");
    assert_eq!(enforcement, Enforcement::Partial);
    assert!(evidence.contains("/home/me/.ssh"), "{evidence}");
    assert_eq!(judge("99 1 8:1 /usr/lib/x /usr/lib/x rw - ext4 x rw").0, Enforcement::Off);
}

#[test]
fn what_cannot_be_read_is_never_taken_as_good() {
    let isolation = Isolation::of(facts(&Reading::default(), design(), &asked()));
    assert_ne!(isolation.level, IsolationLevel::Enforced);
    let good = isolation.facts.iter().filter(|fact| fact.holds());
    assert_eq!(good.map(|fact| fact.name.as_str()).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn what_nobody_asked_for_decides_nothing() {
    let mut reading = whole();
    reading.bounds = Bounds::default();
    reading.own_limits = OwnLimits::default();
    let isolation = Isolation::of(facts(&reading, design(), &Asked::default()));
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    let memory = isolation.facts.iter().find(|fact| fact.name == "memory").expect("a fact");
    assert_eq!((memory.enforcement, memory.counts), (Enforcement::Off, false));
    assert!(memory.remedy.as_ref().is_some_and(|remedy| remedy.contains("--memory")));
}

#[test]
fn a_bridge_is_told_as_the_wish_that_it_is() {
    let asked = Asked { network: NetworkMode::Bridge, ..asked() };
    let isolation = Isolation::of(facts(&whole(), design(), &asked));
    assert_eq!(isolation.level, IsolationLevel::Partial);
    assert_eq!(isolation.lacking(), [Aspect::Network]);
    let fact = isolation.unmet(&[Aspect::Network]).expect("a fact");
    assert!(fact.evidence.contains("as asked"), "{fact:?}");
}

#[test]
fn no_isolation_is_off_in_every_part() {
    let isolation = unisolated(7);
    assert_eq!(isolation.level, IsolationLevel::Off);
    assert_eq!(isolation.lacking(), Aspect::ALL);
}

#[test]
fn a_box_with_a_kernel_of_its_own_is_told_as_such() {
    let told = distant::facts(&whole(), "runsc", &design(), &asked());
    let isolation = Isolation::of(told);
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    let kernel = isolation.facts.iter().find(|fact| fact.name == "own kernel").expect("a fact");
    assert!(kernel.evidence.contains("runsc"), "{kernel:?}");
    let calls = isolation.facts.iter().find(|fact| fact.name == "forbidden system calls");
    let calls = calls.expect("a fact");
    assert!(!calls.counts && calls.evidence.starts_with("claimed"), "{calls:?}");
    let mut open = whole();
    open.routes = Some(vec!["eth0".into()]);
    open.bounds = Bounds::default();
    let isolation = Isolation::of(distant::facts(&open, "runsc", &design(), &asked()));
    assert_eq!(isolation.lacking(), [Aspect::Network, Aspect::Limits]);
}

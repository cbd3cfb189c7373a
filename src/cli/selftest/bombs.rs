//! Floods of what a machine has little of, each in the box of the bomber, which has limits, while
//! the host and the sibling are looked at.

use std::time::{Duration, Instant};

use super::attack::{Attack, FLOOD_KEY, Try};
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Control, Needs, Shown, broken, words};
use super::{FLOOD, emulated, terminal};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::policy::LimitSupport;
use crate::proto::{Event, Request};

/// What each bomb wants: more than the bomber may have, less than hurts a host.
const PROCESSES: u32 = 600;
const MEMORY: u64 = 256 << 20;
const DESCRIPTORS: u32 = 4096;
const INSTANCES: u32 = 512;
/// Instances that the user must still get while a box holds all that it could.
const SPARE_INSTANCES: usize = 16;
/// How long a bomb is held while the host is looked at.
const HOLD: u32 = 10;
const BUSY_PROGRAMS: usize = 4;
const BUSY: u32 = 2;
/// Processor time that programs without a limit use at least in that time, of those two seconds.
const UNLIMITED: Duration = Duration::from_millis(1600);
/// And what those with half a processor use at most: theirs, and a period that was begun.
const LIMITED: Duration = Duration::from_millis(1500);
const CHURN: u32 = 3;
const UNREAD: u64 = 16 << 20;
/// How long nobody reads it.
const UNREAD_FOR: Duration = Duration::from_secs(2);
/// What the server's memory may grow by, whatever a box prints or changes.
const GROWTH: u64 = 96 << 20;
/// How long a sibling's command may take meanwhile. What a person feels is measured elsewhere.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a flood may take to be seen to its end.
const FLOOD_DEADLINE: Duration = Duration::from_secs(40);
/// What a host needs at the end: processes, open files and free bytes on the disk of the home.
const HEALTHY: usize = 64;
const FREE_BYTES: u64 = 64 << 20;

pub(super) async fn judge(name: &str, cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    match name {
        "fork-bomb" => bounded(cast, Attack::Forks { count: PROCESSES }).await,
        "memory-bomb" => bounded(cast, Attack::Memory { bytes: MEMORY }).await,
        "descriptor-flood" => bounded(cast, Attack::Descriptors { count: DESCRIPTORS }).await,
        "cpu-hog" => processor(cast).await,
        "inotify-storm" => watchers(cast).await,
        "disk-fill" => super::disk::fill(cast).await,
        "output-flood" => output(cast).await,
        "file-churn" => churn(cast).await,
        "exec-flood" => unread(cast).await,
        "host-health" => health(cast).await,
        other => Err(Failure::new(FailureKind::Internal, format!("{other} has no attack"))),
    }
}

/// A bomb that must not get all it wants.
async fn bounded(cast: &Cast<'_>, bomb: Attack) -> Result<(Control, Shown), Failure> {
    let needs = Needs::Machine("limits of the user's own stop it");
    let control = Control::of(&cast.stage.outside_of_boxes(bomb.clone()).await?, needs);
    let shown = match cast.stage.inside(&cast.bomber, Side::Agent, bomb).await {
        Ok(tries) => Ok(explained(cast, broken(&tries))),
        // There the box and its kernel are one program, which a limit ends as a whole.
        Err(_) if cast.own_kernel && emulated::ended_at_its_limit(cast).await? => Ok(Vec::new()),
        // The kernel may have ended more than the bomb, all of it in the box.
        Err(_) if !runs(cast).await? => Ok(vec!["the whole box ended with it".to_owned()]),
        Err(failure) => Err(failure),
    };
    Ok((control, shown))
}

/// Says so where the engine has nothing to keep such a limit with.
fn explained(cast: &Cast<'_>, mut broken: Vec<String>) -> Vec<String> {
    if !broken.is_empty() && cast.limits != LimitSupport::Cgroup {
        let why = "there are no control groups for boxes here, without which memory and processors \
                   have no bound; agentdeck doctor says what they need";
        broken.push(why.to_owned());
    }
    broken
}

async fn runs(cast: &Cast<'_>) -> Result<bool, Failure> {
    let found = cast.stage.inspect(&cast.bomber).await?.environment;
    Ok(found.state == crate::model::environment::EnvironmentState::Running)
}

async fn watchers(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let bomb = || Attack::Watchers { count: INSTANCES, hold_seconds: HOLD };
    let needs = Needs::Machine("users may not make namespaces, which the control is kept to");
    let control = Control::of(&cast.stage.outside_of_boxes(bomb()).await?, needs);
    let before = instances();
    let (tries, going) = cast.stage.held(&cast.bomber, bomb()).await?;
    let during = instances();
    drop(going);
    let made = tries.iter().map(words).collect::<Vec<_>>().join("; ");
    let bad = during < before.min(SPARE_INSTANCES);
    let broken = bad.then(|| format!("the host gets {during} of {before} instances; {made}"));
    Ok((control, Ok(broken.into_iter().collect())))
}

/// How many inotify instances this user gets, up to what must be spare.
fn instances() -> usize {
    use rustix::fs::inotify::{CreateFlags, init};
    let made = (0..SPARE_INSTANCES).map_while(|_| init(CreateFlags::CLOEXEC).ok());
    made.collect::<Vec<_>>().len()
}

/// Several busy programs; what they used is asked of the kernel where they are waited for.
async fn processor(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let bomb = Attack::Hog { programs: BUSY_PROGRAMS as u32, seconds: BUSY };
    let used = |tries: &[Try]| {
        let micros = tries.iter().find_map(|one| one.what.parse().ok()).unwrap_or(0);
        Duration::from_micros(micros)
    };
    let outside = used(&cast.stage.outside_of_boxes(bomb.clone()).await?);
    let control = if outside >= UNLIMITED {
        Control::Fired(format!("{:.1} s", outside.as_secs_f64()))
    } else {
        Control::CannotHere(format!("a busy machine gave {:.1} s only", outside.as_secs_f64()))
    };
    if cast.own_kernel {
        return Ok((control, Ok(emulated::processor(cast, bomb).await?)));
    }
    let inside = used(&cast.stage.inside(&cast.bomber, Side::Agent, bomb).await?);
    let broken = (inside > LIMITED).then(|| format!("used {:.1} s", inside.as_secs_f64()));
    Ok((control, Ok(explained(cast, broken.into_iter().collect()))))
}

/// What the server is while something goes on.
struct Watch<'a> {
    cast: &'a Cast<'a>,
    memory: u64,
    slowest: Duration,
}

impl<'a> Watch<'a> {
    async fn begin(cast: &'a Cast<'a>) -> Result<Self, Failure> {
        let mut watch = Self { cast, memory: 0, slowest: Duration::ZERO };
        watch.look().await?;
        watch.memory = watch.server_memory().await?;
        watch.slowest = Duration::ZERO;
        Ok(watch)
    }

    /// Has the sibling do something, and keeps the time.
    async fn look(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        self.cast.stage.inside(&self.cast.sibling, Side::Agent, Attack::TellRights).await?;
        self.slowest = self.slowest.max(begun.elapsed());
        Ok(())
    }

    async fn server_memory(&self) -> Result<u64, Failure> {
        let pid = self.cast.stage.client().await?.server_pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
        Ok(kibibytes.unwrap_or(0u64) << 10)
    }

    async fn end(self) -> Result<Vec<String>, Failure> {
        let mut broken = Vec::new();
        let growth = self.server_memory().await?.saturating_sub(self.memory);
        if growth > GROWTH {
            broken.push(format!("the server's memory grew by {} MiB", growth >> 20));
        }
        if self.slowest > ANSWER {
            broken.push(format!("a sibling waited {:.1} s", self.slowest.as_secs_f64()));
        }
        Ok(broken)
    }
}

/// Output that a reader keeps, as a control: it takes what it is given.
async fn kept(cast: &Cast<'_>, bytes: u64) -> Result<Control, Failure> {
    let tries = cast.stage.outside_of_boxes(Attack::Keep { bytes }).await?;
    Ok(Control::of(&tries, Needs::Nothing))
}

async fn output(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let control = kept(cast, FLOOD).await?;
    let mut watch = Watch::begin(cast).await?;
    let (client, mut events) = cast.stage.context.connect().await?;
    let (environment, session) = (cast.bomber.id.clone(), SessionId::AGENT);
    client.request(Request::TakeKeyboard { environment: environment.clone(), session }).await?;
    client.request(Request::WatchScreen { environment: environment.clone(), session }).await?;
    let key = Key { code: KeyCode::Char(FLOOD_KEY), modifiers: Modifiers::default() };
    let input = Input::Key(key);
    client.request(Request::SendInput { environment, session, input }).await?;
    let end = terminal::last_word(cast.stage);
    let over = async {
        loop {
            match events.next().await {
                Some(Event::Screen { delta, .. })
                    if delta.rows.iter().any(|(_, row)| row.text().contains(&end)) =>
                {
                    return Ok(());
                }
                Some(_) => {}
                None => return Err(Failure::new(FailureKind::Unavailable, "the server has gone")),
            }
        }
    };
    let late = |_| Failure::new(FailureKind::Timeout, "the flood is not seen to its end");
    let mut over = std::pin::pin!(tokio::time::timeout(FLOOD_DEADLINE, over));
    loop {
        tokio::select! {
            ended = &mut over => {
                ended.map_err(late)??;
                break;
            }
            looked = watch.look() => looked?,
        }
    }
    Ok((control, Ok(watch.end().await?)))
}

/// A command prints, and the client that asked for it reads nothing.
async fn unread(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let control = kept(cast, UNREAD).await?;
    let mut watch = Watch::begin(cast).await?;
    let bomb = Attack::Print { bytes: UNREAD };
    let going = cast.stage.start(&cast.bomber, Side::Agent, bomb).await?;
    let begun = Instant::now();
    while begun.elapsed() < UNREAD_FOR {
        watch.look().await?;
    }
    let broken = watch.end().await?;
    drop(going);
    Ok((control, Ok(broken)))
}

async fn churn(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let bomb = || Attack::Churn { seconds: CHURN };
    let tries = cast.stage.outside_of_boxes(bomb()).await?;
    let control = Control::Fired(tries.iter().map(words).collect());
    let mut watch = Watch::begin(cast).await?;
    let going = cast.stage.inside(&cast.bomber, Side::Agent, bomb());
    let mut going = std::pin::pin!(going);
    loop {
        tokio::select! {
            ended = &mut going => {
                ended?;
                break;
            }
            looked = watch.look() => looked?,
        }
    }
    Ok((control, Ok(watch.end().await?)))
}

/// What a host needs is still there. The control is that the same look sees a host that lacks it.
async fn health(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let needs = Needs::Machine("the look itself cannot be kept short of anything here");
    let look = |limited| Attack::Health { limited, processes: HEALTHY as u32 };
    let tries = cast.stage.outside_of_boxes(look(true)).await?;
    let control = Control::of(&tries, needs);
    let mut bad = broken(&cast.stage.outside_of_boxes(look(false)).await?);
    if instances() < SPARE_INSTANCES {
        bad.push("inotify instances are used up".to_owned());
    }
    let free = rustix::fs::statvfs(&cast.stage.context.home)
        .map_or(0, |found| found.f_bavail * found.f_frsize);
    if free < FREE_BYTES {
        bad.push(format!("{} MiB are free on the disk", free >> 20));
    }
    for environment in [&cast.attacker, &cast.sibling, &cast.bomber] {
        let found = cast.stage.inspect(environment).await?.environment;
        if found.state != crate::model::environment::EnvironmentState::Running {
            bad.push(format!("{} is {:?}", found.name, found.state));
        }
    }
    Ok((control, Ok(bad)))
}

//! Attacks that are judged by what happened to the host, not by what they tell.

use std::path::{Path, PathBuf};

use super::attack::Attack;
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Control, Needs, Shown, broken, words};
use crate::model::failure::Failure;

/// Places where a box's root may be able to put a program.
const PLACES: [&str; 4] =
    ["/agentdeck-selftest", "/usr/agentdeck-selftest", "/tmp/agentdeck-selftest", "setuid-program"];
/// A user without rights, for the control.
const NOBODY: u32 = 65_534;

/// The process itself says whether a signal came.
pub(super) async fn signals(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let attack = || Attack::Signal { prey: cast.canaries.prey };
    let before = cast.canaries.signals();
    let sent = cast.stage.outside_of_boxes(attack()).await?;
    let fired = settled(cast, before).await;
    let control = if fired > before {
        Control::Fired("a signal came".to_owned())
    } else {
        Control::Silent(sent.iter().map(words).collect::<Vec<_>>().join("; "))
    };
    // Signals that wait for the process are one; what the control sent has come.
    let before = cast.canaries.signals();
    for side in [Side::Agent, Side::Root] {
        cast.stage.inside(&cast.attacker, side, attack()).await?;
    }
    let after = settled(cast, before).await;
    let came = (after > before).then(|| "a signal from the box came".to_owned());
    Ok((control, Ok(came.into_iter().collect())))
}

/// The number of signals once those sent before had time to be told.
async fn settled(cast: &Cast<'_>, before: usize) -> usize {
    const LOOKS: u32 = 25;
    const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        if cast.canaries.signals() > before {
            // Three ways of sending may come as three.
            tokio::time::sleep(LOOK * 5).await;
            break;
        }
    }
    cast.canaries.signals()
}

/// The box's root makes programs of its own rights, and the agent starts them. For the control
/// root does so, and an ordinary user.
pub(super) async fn setuid(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let stage = cast.stage;
    let control = if rustix::process::geteuid().is_root() {
        let paths = vec![stage.control().join("setuid-program")];
        stage.outside_of_boxes(Attack::MakeSetuid { paths: paths.clone() }).await?;
        let run = Attack::RunSetuid { paths: paths.clone(), user: Some(NOBODY) };
        let tries = stage.outside_of_boxes(run).await;
        stage.outside_of_boxes(Attack::RemoveFiles { paths }).await?;
        Control::of(&tries?, Needs::Machine("the temporary directory is mounted nosuid"))
    } else {
        Control::CannotHere("only root could make such a program without a box".to_owned())
    };
    let paths: Vec<PathBuf> = PLACES.iter().map(PathBuf::from).collect();
    let make = Attack::MakeSetuid { paths: paths.clone() };
    stage.inside(&cast.attacker, Side::Root, make).await?;
    let run = Attack::RunSetuid { paths: paths.clone(), user: None };
    let tries = stage.inside(&cast.attacker, Side::Agent, run).await;
    stage.inside(&cast.attacker, Side::Root, Attack::RemoveFiles { paths }).await?;
    let tries = tries?;
    if tries.is_empty() {
        let why = "no program could be made in the box to be started".to_owned();
        return Ok((Control::CannotHere(why), Ok(Vec::new())));
    }
    Ok((control, Ok(broken(&tries))))
}

/// Everything in `.git` that would change what the user's git does.
pub(super) async fn git_directory(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    const NAMES: [&str; 4] =
        ["planted", "hooks/pre-commit", "refs/heads/planted", "objects/info/alternates"];
    let attack = |root: &Path| {
        let file = |name: &&str| (root.join(".git").join(name), "planted\n".to_owned());
        Attack::Plant { files: NAMES.iter().map(file).collect(), links: Vec::new() }
    };
    let planted = |root: &Path| -> Vec<String> {
        let is_planted =
            |path: &PathBuf| std::fs::read(path).is_ok_and(|text| text.starts_with(b"planted"));
        let paths = NAMES.iter().map(|name| root.join(".git").join(name));
        paths.filter(is_planted).map(|path| format!("{} was written", path.display())).collect()
    };
    let control = cast.stage.control().join("repository");
    cast.stage.outside_of_boxes(attack(&control)).await?;
    let fired = planted(&control).len();
    let control = if fired > 0 {
        Control::Fired(format!("{fired} of {}", NAMES.len()))
    } else {
        Control::Silent("nothing was written".to_owned())
    };
    let repository = &cast.stage.context.directory;
    cast.stage.inside(&cast.attacker, Side::Agent, attack(repository)).await?;
    let mut found = planted(repository);
    found.extend(planted(&cast.attacker_workspace));
    // What came of it in the box's own git directory must not disturb the other attacks.
    let paths = NAMES.iter().map(|name| repository.join(".git").join(name)).collect();
    cast.stage.inside(&cast.attacker, Side::Agent, Attack::RemoveFiles { paths }).await?;
    Ok((control, Ok(found)))
}

//! The second layer: what the kernel's Landlock holds even where a mount or a descriptor leads
//! out of a box.

use super::SecondLayer;
use super::files::list;
use super::reading::Reading;
use crate::model::policy::{Aspect, Enforcement, IsolationFact};
use crate::shim::claims::{Attempt, LEAST_LANDLOCK, PROCESS_FILE};

/// The version that keeps all of what a box asks for.
const WHOLE: u32 = 6;

/// What holds is known by trying only: no file of the kernel shows it.
pub(super) fn fact(reading: &Reading, expected: Option<SecondLayer>) -> Option<IsolationFact> {
    let (expected, claims) = (expected?, reading.claims.as_ref()?);
    let Some(version) = claims.landlock.filter(|version| *version >= LEAST_LANDLOCK) else {
        return Some(not_there(claims.landlock));
    };
    let fact = |enforcement, evidence| {
        IsolationFact::new(Aspect::Files, "landlock", enforcement, evidence)
    };
    let counted = |tried: &&Attempt| expected == SecondLayer::Places || tried.name != PROCESS_FILE;
    let tried: Vec<&Attempt> = claims.second_layer.iter().filter(counted).collect();
    if tried.is_empty() {
        let evidence = "the shim of this box is older than its use of Landlock";
        return Some(
            fact(Enforcement::Off, evidence.to_owned())
                .remedy("stop the environment and start it again")
                .aside(),
        );
    }
    let open: Vec<String> = tried
        .iter()
        .filter(|tried| !tried.refused_by_landlock())
        .map(|tried| tried.name.clone())
        .collect();
    if open.is_empty() {
        let reach = match expected {
            SecondLayer::Places => "nothing but the box's own places can be opened",
            SecondLayer::Root => "nothing but what is below the box's root can be opened",
        };
        let evidence = format!(
            "version {version}: {reach}{}; tried from inside: {} of {} refused",
            lacking(version),
            tried.len(),
            tried.len()
        );
        return Some(fact(Enforcement::Enforced, evidence));
    }
    let evidence = format!("version {version}, but from inside there was {}", list(&open));
    Some(
        fact(Enforcement::Partial, evidence)
            .remedy("stop the environment and start it again; its shim.log says why it is not on"),
    )
}

/// A kernel without it is no lesser box than was planned: every wall stands without it.
fn not_there(version: Option<u32>) -> IsolationFact {
    let evidence = match version {
        Some(version) => format!(
            "version {version} of this kernel keeps programs from moving files between \
             directories, so it is left out; the box's other walls hold alone"
        ),
        None => "this kernel has none, or not turned on; the box's other walls hold alone".into(),
    };
    IsolationFact::new(Aspect::Files, "landlock", Enforcement::Off, evidence)
        .remedy("use Linux 5.19 or later with CONFIG_SECURITY_LANDLOCK and landlock in lsm=")
        .aside()
}

/// What an older version leaves open.
fn lacking(version: u32) -> &'static str {
    match version {
        WHOLE.. => "",
        5 => ", signals and abstract sockets apart",
        _ => ", signals, abstract sockets and steering of devices apart",
    }
}

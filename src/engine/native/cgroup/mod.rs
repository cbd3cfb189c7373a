//! Control groups of boxes: what bounds, counts and freezes them, where this user may have any.
//!
//! Each box has one group for each hierarchy that is of use, `agentdeck-DECK-ENVIRONMENT`, made
//! for it and recorded with it. The box sees none of them.

mod group;
mod hierarchy;
mod values;

use serde::{Deserialize, Serialize};

pub(super) use group::{Counted, DEFAULT_PROCESSES, Group};

/// What a hierarchy can do for a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
    /// Processor time in the first version; the second always counts it.
    Cpuacct,
    /// Freezing in the first version; the second always can.
    Freezer,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Memory, Self::Pids, Self::Cpu, Self::Cpuacct, Self::Freezer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Freezer => "freezer",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}

/// The kernel's two interfaces (`cgroups(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Version {
    One,
    Two,
}

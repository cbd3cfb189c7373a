//! Bounds on what a box may use, and what it uses.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::failure::{Failure, FailureKind};

/// Bounds on what a box may use; `None` leaves a bound to the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, in thousandths.
    pub cpu_millis: Option<u32>,
    /// Bytes.
    pub memory: Option<u64>,
    pub processes: Option<u32>,
    /// Open descriptors of one process.
    #[serde(default)]
    pub files: Option<u64>,
}

impl Limits {
    /// Memory in which a box's own processes and a small program run, in bytes.
    pub const LEAST_MEMORY: u64 = 8 << 20;

    /// Refuses limits in which no box runs.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(memory) = self.memory.filter(|memory| *memory < Self::LEAST_MEMORY) else {
            return Ok(());
        };
        let (given, least) = (show_bytes(memory), show_bytes(Self::LEAST_MEMORY));
        let message = format!("no box runs in {given} of memory");
        Err(Failure::new(FailureKind::Invalid, message).hint(format!("give it {least} or more")))
    }

    /// These limits, and where one is left out that of `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.or(other.cpu_millis),
            memory: self.memory.or(other.memory),
            processes: self.processes.or(other.processes),
            files: self.files.or(other.files),
        }
    }
}

/// By what means an engine holds limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitSupport {
    #[default]
    None,
    /// Each process by itself; memory of all together is not bounded.
    Rlimit,
    /// The box as a whole.
    Cgroup,
}

/// What a box uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time since the box started.
    pub cpu: Duration,
    /// Bytes now.
    pub memory: u64,
    pub processes: u32,
}

/// Use as it is shown: in steps, so that what hardly changes is not told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Of one processor; two that are busy make 200.
    pub cpu_percent: u32,
    /// Bytes.
    pub memory: u64,
    pub processes: u32,
}

impl Load {
    /// What was used between two samples, `elapsed` apart.
    pub fn between(before: &Usage, after: &Usage, elapsed: Duration) -> Self {
        let busy = after.cpu.saturating_sub(before.cpu).as_millis() * 100;
        let percent = busy / elapsed.as_millis().max(1);
        Self {
            cpu_percent: u32::try_from(percent).unwrap_or(u32::MAX),
            memory: after.memory,
            processes: after.processes,
        }
    }

    /// Whether a person would see a difference worth telling.
    pub fn differs(&self, shown: &Self) -> bool {
        /// Less is what the timers of an idle program take.
        const PERCENT: u32 = 5;
        /// An eighth more or less.
        const PART: u64 = 8;
        self.cpu_percent.abs_diff(shown.cpu_percent) >= PERCENT
            || self.memory.abs_diff(shown.memory) > shown.memory / PART
            || self.processes != shown.processes
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % · {}", self.cpu_percent, show_bytes(self.memory))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = self.cpu_millis.map(|cpu| format!("{} cpus", f64::from(cpu) / 1000.0));
        let memory = self.memory.map(|memory| format!("{} of memory", show_bytes(memory)));
        let processes = self.processes.map(|count| format!("{count} processes"));
        let files = self.files.map(|count| format!("{count} open files each"));
        let given: Vec<String> = [cpus, memory, processes, files].into_iter().flatten().collect();
        if given.is_empty() {
            f.write_str("the engine's own")
        } else {
            f.write_str(&given.join(", "))
        }
    }
}

/// An amount of bytes for people, as in `1.5 GiB`.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut amount = bytes as f64;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let whole = amount >= 10.0 || (amount - amount.round()).abs() < 0.05;
    let digits = usize::from(!whole);
    format!("{amount:.digits$} {}", UNITS[unit])
}

/// Reads an amount of bytes as container tools write it: `512m`, `2g`, `2GiB`, `1.5g`; units are
/// powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, Failure> {
    let bad = || {
        Failure::new(FailureKind::Invalid, format!("{text:?} is not an amount of bytes"))
            .hint("write a number with k, m, g or t, as in 512m or 2g")
    };
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let power = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    let bytes = number * 1024f64.powi(power);
    // Above 2^53 a float is no longer exact, and no machine has as much.
    if !(1.0..9e15).contains(&bytes) {
        return Err(bad());
    }
    Ok(bytes as u64)
}

/// Reads an amount of processors in decimals, as in `1.5`, into thousandths.
pub fn parse_processors(text: &str) -> Result<u32, Failure> {
    let amount: Option<f64> = text.trim().parse().ok();
    // The kernel's shortest quota is a hundredth of a processor.
    let amount = amount.filter(|amount| (0.01..=4096.0).contains(amount)).ok_or_else(|| {
        Failure::new(FailureKind::Invalid, format!("{text:?} is not a number of processors"))
            .hint("write a decimal number of at least 0.01, as in 1.5")
    })?;
    Ok((amount * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_container_tools_write_them() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("2g", 2 << 30),
            ("2GiB", 2 << 30),
            ("1.5g", 3 << 29),
            ("1048576", 1 << 20),
            ("64k", 1 << 16),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "m", "-1g", "0", "2x", "1e9", "99999999t", "nan", "1.2.3g"] {
            let failure = parse_bytes(bad).expect_err(bad);
            assert!(failure.message.contains(bad), "{failure}");
        }
        assert_eq!(parse_processors("1.5"), Ok(1500));
        assert_eq!(parse_processors("0.01"), Ok(10));
        for bad in ["", "0", "-1", "inf", "nan", "many", "0.001"] {
            assert!(parse_processors(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_are_shown_in_their_largest_unit() {
        let shown = [0, 1023, 1 << 10, 3 << 29, 2 << 30, 700 << 20].map(show_bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 GiB", "2 GiB", "700 MiB"]);
    }

    #[test]
    fn a_load_that_hardly_changes_is_not_told_again() {
        let usage = |cpu, memory| Usage { cpu: Duration::from_millis(cpu), memory, processes: 3 };
        let over = |before, after| Load::between(&before, &after, Duration::from_secs(5));
        let idle = over(usage(0, 800), usage(10, 800));
        assert_eq!(idle, Load { cpu_percent: 0, memory: 800, processes: 3 });
        assert!(!over(usage(0, 800), usage(100, 880)).differs(&idle));
        assert!(over(usage(0, 800), usage(2_500, 800)).differs(&idle));
        assert!(over(usage(0, 800), usage(0, 920)).differs(&idle));
    }

    #[test]
    fn what_is_left_out_comes_from_elsewhere() {
        let asked = Limits { memory: Some(1), ..Limits::default() };
        let usual = Limits { memory: Some(2), processes: Some(3), ..Limits::default() };
        let both = Limits { memory: Some(1), processes: Some(3), ..Limits::default() };
        assert_eq!(asked.or(&usual), both);
    }
}

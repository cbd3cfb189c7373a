//! What the trash is told.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(in crate::cli) struct Trash {
    /// Of every repository
    #[arg(long)]
    pub all: bool,
    #[command(subcommand)]
    pub verb: Option<TrashVerb>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TrashVerb {
    /// Drop discarded environments for good; all of this repository when none is named
    Empty(Empty),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Empty {
    /// Names or ids
    pub names: Vec<String>,
    /// Only what was discarded longer ago than this, as in 7d, 12h or 30m
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub older_than: Option<u64>,
    /// Of every repository
    #[arg(long)]
    pub all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Seconds of an age: a number and `d`, `h` or `m`.
fn parse_age(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no age; write it as in 7d, 12h or 30m");
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|count| count.checked_mul(seconds)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        assert_eq!(parse_age("7d"), Ok(7 * 86_400));
        assert_eq!(parse_age("30m"), Ok(1_800));
        for wrong in ["", "d", "7", "-1d", "7 d", "7é", "99999999999999999999d"] {
            assert!(parse_age(wrong).is_err(), "{wrong:?}");
        }
    }
}

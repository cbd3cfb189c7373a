//! Adds settings to a file of JSON that an agent, or the user, has already.
//!
//! What is there wins: an object is given what it lacks, a list the elements that it has not, and
//! anything else stays. The box may have written the file, so it is read with a bound and through no
//! link, and one that is no object of JSON – a comment makes it none – is left alone.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;

use super::seeds::RESOLVE;

/// Largest file of settings that is read, in bytes.
const MAX_SETTINGS: u64 = 1 << 20;

/// What the file `name` is to be so that it has all of `content`; `None` where it has, or where it
/// cannot be told.
pub(super) fn add(directory: &OwnedFd, name: &str, content: &str) -> Result<Option<String>, Errno> {
    // Without waiting for a writer, should it be a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat2(directory, name, flags, Mode::empty(), RESOLVE) {
        Err(Errno::LOOP | Errno::ACCESS | Errno::NXIO) => return Ok(None),
        opened => opened?,
    };
    let found = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut text = Vec::new();
    let read = File::from(file).take(MAX_SETTINGS + 1).read_to_end(&mut text);
    if read.is_err() || text.len() as u64 > MAX_SETTINGS {
        return Ok(None);
    }
    Ok(merged(&text, content))
}

fn merged(there: &[u8], content: &str) -> Option<String> {
    let there: Value = serde_json::from_slice(there).ok().filter(Value::is_object)?;
    let mut whole = there.clone();
    merge(&mut whole, serde_json::from_str(content).ok()?);
    (whole != there).then(|| format!("{whole:#}\n"))
}

fn merge(there: &mut Value, more: Value) {
    match (there, more) {
        (Value::Object(there), Value::Object(more)) => {
            for (name, more) in more {
                match there.get_mut(&name) {
                    Some(known) => merge(known, more),
                    None => drop(there.insert(name, more)),
                }
            }
        }
        (Value::Array(there), Value::Array(more)) => {
            for element in more {
                if !there.contains(&element) {
                    there.push(element);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(there: &str, content: &Value) -> Option<Value> {
        let merged = merged(there.as_bytes(), &content.to_string())?;
        Some(serde_json::from_str(&merged).expect("JSON"))
    }

    #[test]
    fn the_users_settings_stay_and_ours_are_added_once() {
        let own = json!({ "theme": "light", "hooks": { "Stop": ["mine"] }, "odd": 1 });
        let ours = json!({ "theme": "dark", "hooks": { "Stop": ["ours"], "Start": ["ours"] },
                           "odd": { "deep": true } });
        let both = json!({ "theme": "light", "odd": 1,
                           "hooks": { "Stop": ["mine", "ours"], "Start": ["ours"] } });
        assert_eq!(found(&own.to_string(), &ours), Some(both.clone()));
        assert_eq!(found(&both.to_string(), &ours), None);
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let ours = json!({ "hooks": {} });
        for there in ["", "// mine\n{}", "[]", "null", "{", "\u{feff}{}"] {
            assert_eq!(found(there, &ours), None, "{there}");
        }
        let deep = "{\"a\":".repeat(10_000);
        assert_eq!(found(&deep, &ours), None);
    }
}

//! A patch as a file of its own, under a name that nothing has yet.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::model::failure::{Failure, FailureKind};

/// Names tried before it is given up: nobody keeps so many patches of one environment.
const TRIES: u32 = 1000;

/// Writes a new file in the directory for temporary files, readable by the user alone. The user's
/// repository is not the place: what is exported would be uncommitted work there.
pub(super) fn write(name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let directory = std::env::temp_dir();
    for number in 1..=TRIES {
        let path = directory.join(format!("{name}-{number}.patch"));
        // An existing name, a link among them, is never written to.
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match file {
            Ok(mut file) => {
                return match file.write_all(bytes) {
                    Ok(()) => Ok(path),
                    Err(error) => {
                        let _ = std::fs::remove_file(&path);
                        Err(failed(&path, &error))
                    }
                };
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    Err(Failure::new(
        FailureKind::Unavailable,
        format!("{} is full of patches", directory.display()),
    ))
}

fn failed(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("{} was not written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_export_gets_a_name_of_its_own() {
        let name = format!("export-test-{}", std::process::id());
        let paths = [write(&name, b"one").expect("a file"), write(&name, b"two").expect("a file")];
        let read = paths.each_ref().map(|path| std::fs::read(path).expect("it is there"));
        for path in &paths {
            std::fs::remove_file(path).expect("it is ours");
        }
        assert_ne!(paths[0], paths[1]);
        assert_eq!(read, [b"one".to_vec(), b"two".to_vec()]);
    }
}

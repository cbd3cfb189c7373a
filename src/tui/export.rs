//! A patch as a file of its own, under a name that nothing has yet.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::client::{Client, patch};
use crate::model::diff::{Diff, FileSide};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::proto::{Request, Target};

/// Names tried before it is given up: nobody keeps so many patches of one environment.
const TRIES: u32 = 1000;

/// Writes a diff to a new file, asking for what of it is not here.
pub(super) async fn write(
    client: &Client,
    environment: &EnvironmentId,
    name: &str,
    diff: &Diff,
) -> Result<PathBuf, Failure> {
    let (mut file, path) = create(name)?;
    let ask = async |side: FileSide, offset: u64| {
        let target = Target::Id(environment.clone());
        client.request(Request::ReadContent { target, side, offset }).await
    };
    let mut sink = |bytes: &[u8]| file.write_all(bytes).map_err(|error| failed(&path, &error));
    if let Err(failure) = patch::write(diff, ask, &mut sink).await {
        let _ = std::fs::remove_file(&path);
        return Err(failure);
    }
    Ok(path)
}

/// A new file in the directory for temporary files, readable by the user alone. The user's
/// repository is not the place: what is exported would be uncommitted work there.
fn create(name: &str) -> Result<(File, PathBuf), Failure> {
    let directory = std::env::temp_dir();
    for number in 1..=TRIES {
        let path = directory.join(format!("{name}-{number}.patch"));
        // An existing name, a link among them, is never written to.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        match file {
            Ok(file) => return Ok((file, path)),
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
        let paths = [b"one", b"two"].map(|text| {
            let (mut file, path) = create(&name).expect("a file");
            file.write_all(text).expect("written");
            path
        });
        let read = paths.each_ref().map(|path| std::fs::read(path).expect("it is there"));
        for path in &paths {
            std::fs::remove_file(path).expect("it is ours");
        }
        assert_ne!(paths[0], paths[1]);
        assert_eq!(read, [b"one".to_vec(), b"two".to_vec()]);
    }
}

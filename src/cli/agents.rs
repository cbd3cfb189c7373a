//! `agentdeck agents`: the profiles there are, and what this machine has of each.
//!
//! Nothing is run and no login is read: a program is told by its path, a login by its file.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::Context;
use super::output::table;
use crate::config::profiles;
use crate::model::failure::Failure;
use crate::model::path::printable;
use crate::model::profile::AgentProfile;

const TITLES: [&str; 5] = ["AGENT", "PROGRAM", "LOGIN", "TASK", "RESUMES"];

/// A profile, and what is here of it. The fields are what scripts read.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    name: String,
    /// It is one of agentdeck's own, as the user's file may change it.
    built_in: bool,
    command: Vec<String>,
    /// Where its program is on this machine.
    program: Option<String>,
    /// It is installed into a box that does not have it.
    installs: bool,
    takes_task: bool,
    resumes: bool,
    /// Those of the variables it is given that are set here.
    variables_set: Vec<String>,
    /// Those of the files it keeps a login in that are in this home.
    login_files: Vec<String>,
}

/// What of this machine is looked at.
struct Machine<'a> {
    search_path: &'a OsStr,
    home: Option<PathBuf>,
    is_set: &'a dyn Fn(&str) -> bool,
}

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let search_path = search_path();
    let machine = Machine {
        search_path: &search_path,
        home: std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
        is_set: &|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()),
    };
    let own: Vec<String> = profiles::builtin().into_iter().map(|profile| profile.name).collect();
    let names = profiles::names(&settings);
    let found = names.iter().map(|name| {
        let profile = profiles::find(name, &settings)?;
        Ok(machine.look(profile, own.contains(name)))
    });
    let found = found.collect::<Result<Vec<Found>, Failure>>()?;
    if context.output.json {
        return context.output.value(&found);
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    context.output.bytes(table(&TITLES, &rows).as_bytes())?;
    context.output.next("agentdeck new NAME --agent AGENT --task \"what it is to do\"");
    Ok(())
}

fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Whether this machine has the program of an agent.
pub(super) fn is_here(profile: &AgentProfile) -> bool {
    find(program_of(profile), &search_path()).is_some()
}

fn program_of(profile: &AgentProfile) -> &str {
    if profile.probe.is_empty() {
        profile.command.first().map_or("", String::as_str)
    } else {
        &profile.probe
    }
}

/// The file that the shell would run for a word.
fn find(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_absolute() && runs(path));
    }
    let places = std::env::split_paths(search_path).filter(|place| place.is_absolute());
    places.map(|place| place.join(program)).find(|path| runs(path))
}

impl Machine<'_> {
    fn look(&self, profile: AgentProfile, built_in: bool) -> Found {
        let program = find(program_of(&profile), self.search_path);
        let here = |path: &&String| {
            self.home.as_ref().is_some_and(|home| home.join(path.as_str()).is_file())
        };
        Found {
            built_in,
            program: program.map(|path| path.to_string_lossy().into_owned()),
            installs: !profile.install.is_empty(),
            takes_task: !profile.task.is_empty(),
            resumes: !profile.resume.is_empty(),
            variables_set: profile
                .variables
                .into_iter()
                .filter(|name| (self.is_set)(name))
                .collect(),
            login_files: profile
                .logins
                .iter()
                .filter(here)
                .map(|path| format!("~/{path}"))
                .collect(),
            name: profile.name,
            command: profile.command,
        }
    }
}

fn row(found: &Found) -> Vec<String> {
    let program = match &found.program {
        Some(path) => printable(path.as_bytes()),
        None if found.installs => "installed into its box".to_owned(),
        None => "–".to_owned(),
    };
    let secret = |name: &&String| name.ends_with("_KEY") || name.ends_with("_TOKEN");
    let keys = found.variables_set.iter().filter(secret);
    let logins: Vec<&str> = found.login_files.iter().chain(keys).map(String::as_str).collect();
    let logins = match logins.as_slice() {
        [] => "–".to_owned(),
        [only] => (*only).to_owned(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    };
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let name = printable(found.name.as_bytes());
    vec![name, program, printable(logins.as_bytes()), yes(found.takes_task), yes(found.resumes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_of_an_agent_is_told_and_nothing_is_run() {
        let home = tempfile::tempdir().expect("a home");
        let put = |path: &str, mode: u32| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(&path, "#!/bin/sh\nexit 1\n").expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
            path
        };
        put("none/tool", 0o644);
        let program = put("bin/tool", 0o755);
        put(".tool/auth.json", 0o600);
        let places = ["none", "bin"].map(|place| home.path().join(place));
        let search_path = std::env::join_paths(places).expect("a path");
        let machine = Machine {
            search_path: &search_path,
            home: Some(home.path().to_owned()),
            is_set: &|name| name == "TOOL_KEY",
        };
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let profile = AgentProfile {
            variables: words(&["TOOL_KEY", "TOOL_URL"]),
            logins: words(&[".tool/auth.json", ".tool/other.json"]),
            resume: words(&["--continue"]),
            ..AgentProfile::bare("tool")
        };
        let found = machine.look(profile.clone(), true);
        assert_eq!(found.program.as_deref(), program.to_str());
        let row = row(&found);
        assert_eq!(row[2..], ["~/.tool/auth.json and 1 more", "no", "yes"]);
        let missing = AgentProfile { probe: "missing".to_owned(), ..profile };
        assert_eq!(machine.look(missing, true).program, None);
    }
}

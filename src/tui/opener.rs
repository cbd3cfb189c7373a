//! Opens a page in the user's browser, once they said so.
//!
//! The browser is a program of the user's own choice, given the address as one argument: no shell
//! reads it. Over ssh there is none on this machine, unless `$BROWSER` names one.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::model::link;

/// What desktops open an address with.
const DESKTOP: &str = "xdg-open";
/// An opener says within this that it cannot; a browser that stays in the foreground says nothing.
const FAILS_WITHIN: Duration = Duration::from_secs(3);

/// How a page gets before the user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A program and its arguments.
    Run(OsString, Vec<OsString>),
    /// The browser is at the other end of the terminal: the address goes to the clipboard.
    Copy,
}

/// How an address is opened with such environment variables; `None` for one that is not opened.
pub(crate) fn way(address: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<Way> {
    link::opens(address)?;
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(browser) = set("BROWSER") {
        return Some(chosen(&browser.to_string_lossy(), address));
    }
    if set("SSH_CONNECTION").is_some() || set("SSH_TTY").is_some() {
        return Some(Way::Copy);
    }
    Some(Way::Run(DESKTOP.into(), vec![address.into()]))
}

/// The first of the commands in `$BROWSER`, with the address in place of `%s`, or at its end.
fn chosen(browser: &str, address: &str) -> Way {
    let command = browser.split(':').find(|command| !command.trim().is_empty());
    let mut words = command.unwrap_or(DESKTOP).split_whitespace();
    let program = words.next().unwrap_or(DESKTOP).into();
    let mut arguments: Vec<OsString> = Vec::new();
    let mut placed = false;
    for word in words {
        placed |= word == "%s";
        arguments.push(if word == "%s" { address.into() } else { word.into() });
    }
    if !placed {
        arguments.push(address.into());
    }
    Way::Run(program, arguments)
}

/// Starts the browser, which stays when this client leaves.
pub(crate) async fn run(program: &OsStr, arguments: Vec<OsString>) -> Result<(), String> {
    let name = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    match tokio::time::timeout(FAILS_WITHIN, child.wait()).await {
        Ok(Ok(status)) if !status.success() => Err(format!("{name} failed: {status}")),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://example.org/a?b=$(touch%20x)&c";

    fn with(variables: &[(&str, &str)]) -> Option<Way> {
        way(PAGE, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    fn runs(program: &str, arguments: &[&str]) -> Way {
        Way::Run(program.into(), arguments.iter().map(Into::into).collect())
    }

    #[test]
    fn the_users_browser_comes_first_and_over_ssh_there_is_no_other() {
        assert_eq!(with(&[]), Some(runs("xdg-open", &[PAGE])));
        assert_eq!(with(&[("BROWSER", "")]), Some(runs("xdg-open", &[PAGE])));
        assert_eq!(with(&[("SSH_TTY", "/dev/pts/1")]), Some(Way::Copy));
        assert_eq!(with(&[("SSH_CONNECTION", "x"), ("BROWSER", "w")]), Some(runs("w", &[PAGE])));
    }

    #[test]
    fn the_address_is_one_argument_wherever_the_user_wants_it() {
        assert_eq!(with(&[("BROWSER", "f --new-tab:g")]), Some(runs("f", &["--new-tab", PAGE])));
        assert_eq!(with(&[("BROWSER", ":f %s -x")]), Some(runs("f", &[PAGE, "-x"])));
    }

    #[test]
    fn what_is_no_page_is_never_run() {
        for address in ["file:///etc/passwd", "-x", "https://a\n", "https://a@b/", ""] {
            assert_eq!(way(address, |_| Some("browser".into())), None, "{address}");
        }
    }

    #[tokio::test]
    async fn a_browser_gets_the_address_as_it_is_and_no_shell_reads_it() {
        let place = tempfile::tempdir().expect("a directory");
        let (script, seen) = (place.path().join("browser"), place.path().join("seen"));
        let text = format!("#!/bin/sh\nprintf '%s' \"$#:$1\" > '{}'\n", seen.display());
        std::fs::write(&script, text).expect("written");
        let arguments = vec![script.into_os_string(), PAGE.into()];
        run(OsStr::new("sh"), arguments).await.expect("run");
        assert_eq!(std::fs::read_to_string(seen).expect("read"), format!("1:{PAGE}"));
        let missing = place.path().join("missing");
        run(missing.as_os_str(), Vec::new()).await.expect_err("there is none");
    }
}

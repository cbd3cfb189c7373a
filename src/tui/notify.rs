//! Tells the human outside of the deck: by the terminal they sit at, and by a command of their own.
//!
//! What agents wrote is made printable before it comes here. The command is the user's, from their
//! own file; it gets the words as arguments and variables, and no shell of ours reads them.

use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::process::Command;

use super::app::Notice;
use crate::config::notify::{Channel, Notify};

/// How long the user's command may run; one that hangs must not be joined by another each time.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// What is written to the terminal.
pub(crate) fn sequence(notice: &Notice, settings: &Notify, in_tmux: bool) -> String {
    let Notice { title, body, .. } = notice;
    let plain = |text: &str| text.replace([';', '\x1b', '\x07'], ",");
    let (title, body) = (plain(title), plain(body));
    let sequence = match settings.terminal {
        Channel::None => String::new(),
        Channel::Osc9 => format!("\x1b]9;{title}: {body}\x1b\\"),
        Channel::Osc777 => format!("\x1b]777;notify;{title};{body}\x1b\\"),
        Channel::Osc99 => {
            let (title, body) = (BASE64_STANDARD.encode(title), BASE64_STANDARD.encode(body));
            format!(
                "\x1b]99;i=agentdeck:d=0:e=1;{title}\x1b\\\
                 \x1b]99;i=agentdeck:p=body:e=1;{body}\x1b\\"
            )
        }
    };
    // tmux hands on what is wrapped, where its user allows that.
    let wrapped = if in_tmux && !sequence.is_empty() {
        format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b"))
    } else {
        sequence
    };
    let bell = if settings.bell { "\x07" } else { "" };
    format!("{wrapped}{bell}")
}

/// Runs the user's command with a notice; what it prints is for nobody.
pub(crate) async fn run(command: Vec<String>, notice: Notice) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut process = Command::new(program);
    process.args(arguments).args([&notice.title, &notice.body]);
    process.env("AGENTDECK_TITLE", &notice.title).env("AGENTDECK_BODY", &notice.body);
    process.env("AGENTDECK_NAMES", notice.names.join(" "));
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = process.spawn().map_err(|error| format!("{program}: {error}"))?;
    match tokio::time::timeout(COMMAND_DEADLINE, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => Err(format!("{program} did not end in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        let names = vec!["fox".to_owned()];
        let body = "approve a;b\x1b]0;evil\x07".to_owned();
        Notice { names, title: "fox waits for permission".to_owned(), body }
    }

    #[test]
    fn a_notice_is_one_sequence_that_nothing_in_it_ends() {
        for (terminal, begin) in [
            (Channel::Osc9, "\x1b]9;fox waits for permission: approve a,b"),
            (Channel::Osc777, "\x1b]777;notify;fox waits for permission;approve a,b"),
        ] {
            let settings = Notify { terminal, ..Notify::default() };
            let sent = sequence(&notice(), &settings, false);
            assert!(sent.starts_with(begin), "{sent:?}");
            assert_eq!(sent.matches('\x1b').count(), 2, "its beginning and its end: {sent:?}");
            assert!(!sent.contains('\x07'));
        }
        let settings = Notify { terminal: Channel::Osc99, bell: true, ..Notify::default() };
        let sent = sequence(&notice(), &settings, false);
        assert!(sent.ends_with('\x07') && !sent.contains("approve"), "{sent:?}");
        let settings = Notify { terminal: Channel::None, ..Notify::default() };
        assert_eq!(sequence(&notice(), &settings, true), "");
    }

    #[test]
    fn within_tmux_it_is_wrapped() {
        let sent = sequence(&notice(), &Notify::default(), true);
        assert!(sent.starts_with("\x1bPtmux;\x1b\x1b]9;") && sent.ends_with("\x1b\x1b\\\x1b\\"));
    }

    #[tokio::test]
    async fn a_command_gets_the_words_and_no_shell_reads_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("got");
        let script = "printf '%s|%s|%s|%s' \"$1\" \"$2\" \"$AGENTDECK_NAMES\" \
                      \"$AGENTDECK_BODY\" >got";
        let cd = format!("cd '{}' && {script}", directory.path().display());
        let command = ["sh", "-c", &cd, "sh"].map(str::to_owned).to_vec();
        let body = "$(touch evil) `touch evil`".to_owned();
        let notice = Notice { names: vec!["fox".into(), "owl".into()], title: "t".into(), body };
        run(command, notice).await.expect("run");
        let got = std::fs::read_to_string(place).expect("written");
        assert_eq!(got, "t|$(touch evil) `touch evil`|fox owl|$(touch evil) `touch evil`");
        assert!(!directory.path().join("evil").exists());
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
        let failed = run(vec!["no-such-program".to_owned()], notice()).await;
        assert!(failed.expect_err("it is not there").contains("no-such-program"));
    }
}

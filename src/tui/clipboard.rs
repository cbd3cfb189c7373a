//! The human's clipboard, which is where the human is: at the other end of the terminal.
//!
//! Only what a person selected and asked to copy comes here, and nothing of it can steer the
//! terminal, because Base64 covers it.

use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// tmux answers at once; one that does not is let be.
const TMUX_DEADLINE: Duration = Duration::from_secs(2);

/// What has a terminal take text into its clipboard, also over ssh (OSC 52 of xterm's control
/// sequences).
pub(crate) fn sequence(text: &str) -> String {
    format!("\x1b]52;c;{}\x1b\\", BASE64_STANDARD.encode(text))
}

/// Hands text to tmux, which by default takes none from a sequence and passes this on to its own
/// terminal. Of a tmux that is too old, nothing comes.
pub(crate) async fn through_tmux(text: &str) {
    let given = async {
        let mut tmux = Command::new("tmux");
        tmux.args(["load-buffer", "-w", "-"]).kill_on_drop(true);
        tmux.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = tmux.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes()).await?;
        }
        child.wait().await
    };
    if let Ok(Err(error)) = tokio::time::timeout(TMUX_DEADLINE, given).await {
        tracing::debug!("tmux took no text: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_seen_by_the_terminal() {
        let sent = sequence("a\x1b]0;evil\x07\n");
        assert_eq!(sent, "\x1b]52;c;YRtdMDtldmlsBwo=\x1b\\");
    }
}

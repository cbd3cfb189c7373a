//! Links and texts that programs offer, with the binary in a terminal: only what its reader says is
//! done, and nothing of it reaches the terminal by itself.

use std::os::unix::fs::PermissionsExt as _;

use crate::common::home::TestHome;
use crate::common::pty::Pty;
use crate::survival::wait_until;
use crate::tui::foreign;

/// A link whose text is another address, one to a file, a text for the clipboard, a notification.
const SCRIPT: &str = r"printf 'see \033]8;;https://example.org/$(id)?a=b\033\\https://bank.test\033]8;;\033\\\r\n'; \
                       printf '\033]9;look here\007\033]52;c;cm0gLXJmCg==\007'; echo ready; exec sleep 1000000";

#[test]
fn a_page_is_opened_by_the_users_browser_and_a_text_copied_once_they_say_so() {
    let mut test = TestHome::new();
    let (browser, seen) = (test.path().join("browser"), test.path().join("seen"));
    let text = format!(
        "#!/bin/sh\nprintf '%s' \"$#:$1\" >'{0}.new'; mv '{0}.new' '{0}'\n",
        seen.display()
    );
    std::fs::write(&browser, text).expect("written");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("set");
    test.also.push(("BROWSER", browser.display().to_string()));
    test.agentdeck(&["new", "brave-otter", "--", "sh", "-c", SCRIPT]).ok();
    let mut deck = Pty::open(&test, &[], 120, 40);
    deck.wait_for_text("ready");
    let told = deck.wait_for_text("wants 7 characters copied (Y)");
    assert!(told.contains("says: look here"), "{told}");
    // The session gets the size of its tile, which ends copy mode.
    deck.settle();
    deck.send("Uo");
    deck.wait_for_text("goes to example.org");
    let asked = deck.text();
    assert!(asked.contains("https://example.org/$(id)?a=b"), "{asked}");
    assert!(!seen.exists());
    wait_until("the browser", || {
        // Keys on their way when a question comes are not for it.
        if deck.text().contains("goes to") {
            deck.send("y");
        }
        deck.settle();
        seen.exists()
    });
    assert_eq!(std::fs::read_to_string(&seen).expect("read"), "1:https://example.org/$(id)?a=b");
    assert_eq!(foreign(&deck.raw), Vec::<String>::new());
    wait_until("the deck's own keys", || {
        // The first takes away what was said of the page.
        if deck.text().contains("v select") {
            deck.send("\x1b");
        }
        deck.settle();
        !deck.text().contains("v select")
    });
    deck.send("Y");
    deck.wait_for_text("Copy what the program wants?");
    wait_until("the copy", || {
        if deck.text().contains("Copy what") {
            deck.send("y");
        }
        deck.settle();
        !foreign(&deck.raw).is_empty()
    });
    let clipboard = format!("{:?}", "\x1b]52;c;cm0gLXJmCg==\x1b\\");
    assert_eq!(foreign(&deck.raw), [clipboard]);
}

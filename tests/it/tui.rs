//! The full screen, as a terminal shows it.

use crate::common::home::TestHome;
use crate::common::pty::Pty;
use crate::survival::wait_until;

/// Takes over the keyboard; Ctrl+Q gives it back.
const ENTER: &str = "\r";
const CONTROL_Q: &str = "\x11";

/// Answers each line that is typed.
const ECHO: &str = "echo ready; while read -r line; do echo \"got <$line>\"; done";

fn home_with_agent(script: &str) -> TestHome {
    let test = TestHome::new();
    test.agentdeck(&["new", "brave-otter", "--", "sh", "-c", script]).ok();
    test
}

#[test]
fn the_deck_shows_a_live_pane_whose_keyboard_can_be_taken_and_given_back() {
    let test = home_with_agent(ECHO);
    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("ready");
    assert!(deck.text().contains("brave-otter"), "{}", deck.text());
    deck.send(ENTER);
    deck.wait_for_text("Ctrl+Q");
    deck.send("quit d?\r");
    deck.wait_for_text("got <quit d?>");
    deck.send(CONTROL_Q);
    deck.wait_for("the deck's own keys", |screen| !screen.contents().contains("Ctrl+Q"));
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
}

#[test]
fn the_agent_goes_on_without_the_screen_and_is_found_again() {
    let test = home_with_agent(ECHO);
    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("ready");
    deck.send(ENTER);
    deck.wait_for_text("Ctrl+Q");
    deck.send("before\r");
    deck.wait_for_text("got <before>");
    deck.send(CONTROL_Q);
    deck.wait_for("the deck's own keys", |screen| !screen.contents().contains("Ctrl+Q"));
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    let mut again = Pty::open(&test, &[], 80, 24);
    let text = again.wait_for_text("got <before>");
    assert!(text.contains("ready"), "{text}");
}

#[test]
fn the_terminal_is_given_back_by_q_and_by_a_signal() {
    // What must not reach the human's terminal: a clipboard, a title, a mouse mode, a bell, a
    // question that the terminal would answer.
    let hostile = r"printf '\033]52;c;ZXZpbA==\007\033]0;evil\007\033[?1003h\007\033[c\033[6n'; \
                    printf '\033P+q544e\033\\\033_evil\033\\\033[21t\033]8;;http://evil\007'; \
                    echo ready; exec sleep 1000000";
    let test = home_with_agent(hostile);
    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("ready");
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    deck.assert_restored();
    assert_eq!(foreign(&deck.raw), Vec::<String>::new());

    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("ready");
    deck.terminate();
    deck.wait_for_end();
    deck.assert_restored();
    assert_eq!(foreign(&deck.raw), Vec::<String>::new());
    assert_eq!(
        foreign(b"\x1b]52;c;ZXZpbA==\x07\x1b[c\x07\x1b]0;evil\x07").len(),
        4,
        "seen if sent"
    );
}

#[test]
fn what_a_person_selects_is_all_that_reaches_their_clipboard() {
    // The agent asks for the same clipboard, in the same form.
    let script = r"printf '\033]52;c;ZXZpbA==\033\\'; i=0; \
                   while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; \
                   echo ready; exec sleep 1000000";
    let test = home_with_agent(script);
    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("ready");
    // The session gets the size of its tile, which ends copy mode.
    deck.settle();
    deck.send("/line 42\r");
    deck.wait_for_text("1 of 1");
    deck.send("V\r");
    deck.wait_for_text("copied 7 characters");
    let text = deck.wait_for_text("ready");
    let (row, line) = (1..).zip(text.lines()).find(|(_, line)| line.contains("ready")).expect("it");
    let before = line.find("ready").expect("it is there");
    let column = line[..before].chars().count() + 1;
    deck.send(&format!("\x1b[<0;{column};{row}M"));
    deck.send(&format!("\x1b[<32;{};{row}M", column + 4));
    deck.send(&format!("\x1b[<0;{};{row}m", column + 4));
    deck.wait_for_text("copied 5 characters");
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    deck.assert_restored();
    let clipboard = |base64: &str| format!("{:?}", format!("\x1b]52;c;{base64}\x1b\\"));
    assert_eq!(foreign(&deck.raw), [clipboard("bGluZSA0Mg=="), clipboard("cmVhZHk=")]);
}

#[test]
fn an_absurdly_small_terminal_is_no_crash() {
    let test = home_with_agent(ECHO);
    let mut deck = Pty::open(&test, &[], 20, 5);
    deck.wait_for("a name", |screen| screen.contents().contains("brave"));
    for view in ["d", "v", "?", ":", "n", "z"] {
        let before = deck.text();
        deck.send(view);
        deck.wait_for(view, |screen| screen.contents() != before);
        let shown = deck.text();
        deck.send(if view == "z" { "z" } else { "\x1b" });
        deck.wait_for("the way back", |screen| screen.contents() != shown);
    }
    deck.wait_for("the deck", |screen| screen.contents().contains("q leave"));
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    deck.assert_restored();
}

#[test]
fn attach_opens_one_session_and_comes_back() {
    let test = home_with_agent(ECHO);
    let mut session = Pty::open(&test, &["attach", "brave-otter"], 80, 24);
    session.wait_for_text("ready");
    session.send("hello\r");
    session.wait_for_text("got <hello>");
    session.send(CONTROL_Q);
    assert_eq!(session.wait_for_end(), 0);
    session.assert_restored();
}

/// Says that it waits for permission once it is told to.
const ASKS: &str = r"while [ ! -e go ]; do sleep 0.05; done; \
    printf '\033]7501;state=blocked:kind=permission:msg=YXBwcm92ZSBhLnR4dA==\033\\'; \
    exec sleep 1000000";

#[test]
fn who_asks_out_of_sight_is_announced_once_and_not_again_after_coming_back() {
    let test = TestHome::new();
    std::fs::create_dir_all(&test.home).expect("made");
    let (told, script) = (test.path().join("told"), test.path().join("tell"));
    let text = format!("printf '%s|%s\\n' \"$1\" \"$2\" >>'{}'", told.display());
    std::fs::write(&script, text).expect("written");
    let settings = format!("[notify]\ncommand = ['sh', '{}']\n", script.display());
    std::fs::write(test.home.join("config.toml"), settings).expect("written");
    test.agentdeck(&["new", "fox", "--", "sh", "-c", "echo ready; exec sleep 1000000"]).ok();
    for name in ["hen", "owl"] {
        test.agentdeck(&["new", name, "--", "sh", "-c", ASKS]).ok();
    }
    let go = |name| {
        let found = test.agentdeck(&["inspect", name, "--json"]).json();
        let workspace = std::path::PathBuf::from(found["workspace"].as_str().expect("a path"));
        std::fs::write(workspace.join("go"), "").expect("written");
    };
    let lines = || std::fs::read_to_string(&told).unwrap_or_default();
    let mut sent = Vec::new();
    for name in ["hen", "owl"] {
        let mut deck = Pty::open(&test, &[], 80, 24);
        deck.wait_for_text("ready");
        deck.send("z");
        deck.settle();
        go(name);
        deck.wait_for_text(&format!("{name} waits for permission: approve a.txt"));
        let line = format!("{name} waits for permission|approve a.txt\n");
        wait_until("the command ran", || lines().ends_with(&line));
        deck.send("q");
        assert_eq!(deck.wait_for_end(), 0);
        deck.assert_restored();
        sent.push(foreign(&deck.raw));
    }
    // The second deck saw that the first one still waits, and told of the other alone.
    let sequence = |name| {
        let words = "waits for permission: approve a.txt";
        vec![format!("{:?}", format!("\x1b]9;{name} {words}\x1b\\"))]
    };
    assert_eq!(sent, [sequence("hen"), sequence("owl")]);
    assert_eq!(lines().lines().count(), 2, "{}", lines());
    let waiting = test.agentdeck(&["ls", "--attention"]).ok();
    let rows = waiting.lines().skip(1).filter_map(|row| row.split(' ').next());
    assert_eq!(rows.collect::<Vec<_>>(), ["hen", "owl"], "{waiting}");
}

/// Everything in a program's output that is neither text nor what we ourselves send: cursor
/// moves, erasing, colours, the modes that are switched on and off, our title.
pub(crate) fn foreign(raw: &[u8]) -> Vec<String> {
    const MODES: [&str; 10] =
        ["?1049", "?1000", "?1002", "?1003", "?1015", "?1006", "?2004", "?1004", "?2026", "?25"];
    let text = String::from_utf8_lossy(raw);
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(|next: char| next.is_control() && !"\r\n".contains(next)) {
        rest = &rest[at..];
        let length = sequence(rest);
        let (one, after) = rest.split_at(length);
        rest = after;
        let known = match one.strip_prefix("\x1b[") {
            Some(body) => match body.chars().last() {
                Some('h' | 'l') => {
                    MODES.contains(&&body[..body.len() - 1]) || body.starts_with("?7")
                }
                Some('H' | 'J' | 'K' | 'm') => !body.starts_with(['?', '>', '<', '=']),
                Some('u') => body == ">1u" || body == "<1u",
                Some('q') => body.ends_with(" q"),
                _ => false,
            },
            None => one == "\x1b]0;agentdeck\x07",
        };
        if !known {
            found.push(format!("{one:?}"));
        }
    }
    found
}

/// The length of the control or the sequence that a text begins with.
fn sequence(text: &str) -> usize {
    let end = |mark: &dyn Fn(char) -> bool, from: usize| {
        let found = text[from..].char_indices().find(|(_, next)| mark(*next));
        found.map_or(text.len(), |(at, next)| from + at + next.len_utf8())
    };
    match text.as_bytes().get(1) {
        _ if !text.starts_with('\x1b') => text.chars().next().map_or(0, char::len_utf8),
        Some(b'[') => end(&|next| ('\x40'..='\x7e').contains(&next), 2),
        Some(b']' | b'P' | b'_' | b'^' | b'X') => end(&|next| next == '\x07' || next == '\\', 2),
        Some(_) => 2,
        None => 1,
    }
}

//! Help over the deck.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, picture, type_keys};

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "?");
    app
}

#[test]
fn help_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @r"
     agentdeck  shop · 6
     Keys · deck
     › type to filter
    ▌Enter           tak
     ? help  q leave
    ");
}

#[test]
fn help_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @r"
     agentdeck  shop · 6 environments                       main ↑2 · 1 uncommitted
    ┌ Keys · deck ───────────────────────────────────────────────────── Esc closes ┐
    │ › type to filter                                                             │
    │                                                                              │
    │▌Enter           take keyboard       Take the keyboard: every key goes to the │
    │ n               new                 Make an environment                      │
    │ d               diff                Show what changed since the base         │
    │ v               history             Show the snapshots, as they are taken    │
    │ Space           mark                Mark or unmark for comparing             │
    │ c               compare             Compare the marked environments, two to f│
    │ a               apply               Write the changes into your working tree │
    │ m               merge               Bring the work onto your branch: a merge │
    │ B               resolve             Merge your branch in the box; a shell the│
    │ H               run hooks           Run in the box the hooks that a merge doe│
    │ D               discard             Throw the environment away; asks, and can│
    │ u               undo                Take back the last apply, merge, restore │
    │ s               shell               Open a shell in the same environment     │
    │ X               close shell         End the shell that is shown; never the ag│
    │ z               zoom                Show one environment large, or all again │
    │ Tab             next session        Next session here, or the next environmen│
    │ Shift+Tab       previous session    Previous session here, or the previous en│
    │ !               next attention      Go to who needs you, longest wait first  │
    └──────────────────────────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  ? help  q leave
    ");
}

#[test]
fn help_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @r"
     agentdeck  shop · 6 environments                                                               main ↑2 · 1 uncommitted
    ┌ 1 ┌ Keys · deck ───────────────────────────────────────────────────────────────────────────────────── Esc closes ┐───┐
    │✻ W│ › type to filter                                                                                             │   │
    │   │                                                                                                              │   │
    │> A│▌Enter           take keyboard       Take the keyboard: every key goes to the session                         │   │
    │   │ n               new                 Make an environment                                                      │   │
    │● R│ d               diff                Show what changed since the base                                         │   │
    │  └│ v               history             Show the snapshots, as they are taken                                    │   │
    │   │ Space           mark                Mark or unmark for comparing                                             │   │
    │● U│ c               compare             Compare the marked environments, two to four                             │   │
    │  └│ a               apply               Write the changes into your working tree                                 │   │
    │   │ m               merge               Bring the work onto your branch: a merge commit, a squash or a rebase    │   │
    │Do │ B               resolve             Merge your branch in the box; a shell there where it conflicts           │   │
    │❯ 1│ H               run hooks           Run in the box the hooks that a merge does not run, in a shell           │   │
    │  2│ D               discard             Throw the environment away; asks, and can be undone                      │   │
    │   │ u               undo                Take back the last apply, merge, restore or discard                      │   │
    │   │ s               shell               Open a shell in the same environment                                     │   │
    │   │ X               close shell         End the shell that is shown; never the agent                             │   │
    │   │ z               zoom                Show one environment large, or all again                                 │   │
    └ +4│ Tab             next session        Next session here, or the next environment                               │───┘
    ┌ 3 │ Shift+Tab       previous session    Previous session here, or the previous environment                       │───┐
    │$ a│ !               next attention      Go to who needs you, longest wait first                                  │   │
    │App│ o               order               Show who needs you first, those alone, or all                            │   │
    │   │ w               snooze              Have the environment call for nobody for 15 minutes, or again            │   │
    │   │ Z               do not disturb      Announce nothing, or again                                               │   │
    │   │ i               inspect             Show everything known of the environment                                 │   │
    │   │ M               map                 Show how environments stand to your branch and to each other             │   │
    │   │ b               send                Send a prompt to the marked environments, this one or all; it is typed wh│   │
    │   │ P               prompts             Show what was sent to agents and what came of it                         │   │
    │   │ N               denied requests     Show what the gateway blocked, and open it                               │   │
    │   │ S               start               Start a stopped environment again                                        │   │
    │   │ x               stop                Stop the environment; its work stays                                     │   │
    │   │ p               pause               Have every program stand still, or go on                                 │   │
    │   │ f               fork                Make an environment that begins where this one stands, or at this snapsho│   │
    │   │ j ↓             down                Down                                                                     │   │
    │   │ k ↑             up                  Up                                                                       │   │
    │   │ h ←             left                Left, or the previous file, attempt or snapshot                          │   │
    │   │ l →             right               Right, or the next file, attempt or snapshot                             │   │
    └ +1└──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘───┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  ? help  q leave
    ");
}

#[test]
fn help_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @r"
     agentdeck  shop · 6 environments                                                                                                                                               main ↑2 · 1 uncommitted
    ┌ 1 ● brave-otter · claude 1/2 · 1 min ──────────────────────────┐┌ 2 ● calm-heron · codex · 2 min ─────────────────────────────────┐┌ 3 ✓ dry-fox · aider · done · 1 min ─────────────────────────────┐
    │✻ Welcome back                             ┌ Keys · deck ───────────────────────────────────────────────────────────────────────────────────── Esc closes ┐                                           │
    │                                           │ › type to filter                                                                                             │.md                                        │
    │> Add a rate limiter to the checkout API   │                                                                                                              │                                           │
    │                                           │▌Enter           take keyboard       Take the keyboard: every key goes to the session                         │                                           │
    │● Read(src/api/checkout.rs)                │ n               new                 Make an environment                                                      │                                           │
    │  └ 214 lines                              │ d               diff                Show what changed since the base                                         │                                           │
    │                                           │ v               history             Show the snapshots, as they are taken                                    │                                           │
    │● Update(src/api/limit.rs)                 │ Space           mark                Mark or unmark for comparing                                             │                                           │
    │  └ 41 additions and 7 removals            │ c               compare             Compare the marked environments, two to four                             │                                           │
    │                                           │ a               apply               Write the changes into your working tree                                 │                                           │
    │Do you want to run `cargo test`?           │ m               merge               Bring the work onto your branch: a merge commit, a squash or a rebase    │                                           │
    │❯ 1. Yes                                   │ B               resolve             Merge your branch in the box; a shell there where it conflicts           │                                           │
    │  2. No                                    │ H               run hooks           Run in the box the hooks that a merge does not run, in a shell           │                                           │
    │                                           │ D               discard             Throw the environment away; asks, and can be undone                      │                                           │
    │                                           │ u               undo                Take back the last apply, merge, restore or discard                      │                                           │
    │                                           │ s               shell               Open a shell in the same environment                                     │                                           │
    │                                           │ X               close shell         End the shell that is shown; never the agent                             │                                           │
    │                                           │ z               zoom                Show one environment large, or all again                                 │                                           │
    │                                           │ Tab             next session        Next session here, or the next environment                               │                                           │
    │                                           │ Shift+Tab       previous session    Previous session here, or the previous environment                       │                                           │
    │                                           │ !               next attention      Go to who needs you, longest wait first                                  │                                           │
    │                                           │ o               order               Show who needs you first, those alone, or all                            │                                           │
    │                                           │ w               snooze              Have the environment call for nobody for 15 minutes, or again            │                                           │
    │                                           │ Z               do not disturb      Announce nothing, or again                                               │                                           │
    │                                           │ i               inspect             Show everything known of the environment                                 │                                           │
    │                                           │ M               map                 Show how environments stand to your branch and to each other             │                                           │
    │                                           │ b               send                Send a prompt to the marked environments, this one or all; it is typed wh│                                           │
    └ +41 −7 · 5 files · 2 commits · base+3 ────│ P               prompts             Show what was sent to agents and what came of it                         │───────────────────────────────────────────┘
    ┌ 4 ✗ eager-lynx · make · exit 2 · 20 s ────│ N               denied requests     Show what the gateway blocked, and open it                               │· stopped · 6 min ─────────────────────────┐
    │cc -o shop main.c                          │ S               start               Start a stopped environment again                                        │                                           │
    │main.c:3:1: error: expected ';'            │ x               stop                Stop the environment; its work stays                                     │t again                                    │
    │make: *** [Makefile:2: shop] Error 1       │ p               pause               Have every program stand still, or go on                                 │                                           │
    │                                           │ f               fork                Make an environment that begins where this one stands, or at this snapsho│                                           │
    │                                           │ j ↓             down                Down                                                                     │                                           │
    │                                           │ k ↑             up                  Up                                                                       │                                           │
    │                                           │ h ←             left                Left, or the previous file, attempt or snapshot                          │                                           │
    │                                           │ l →             right               Right, or the next file, attempt or snapshot                             │                                           │
    │                                           │ g Home          first               First                                                                    │                                           │
    │                                           │ G End           last                Last; in scrollback, back to the live screen                             │                                           │
    │                                           │ 1–9             pane                The environment with that number                                         │                                           │
    │                                           │ Ctrl+D          half page down      Half a page down                                                         │                                           │
    │                                           │ Ctrl+U          half page up        Half a page up                                                           │                                           │
    │                                           │ PageDown        page down           A page down; in the deck, of scrollback                                  │                                           │
    │                                           │ PageUp          page up             A page up; in the deck, of scrollback                                    │                                           │
    │                                           │ Shift+PageDown  scroll down         A page down in the scrollback                                            │                                           │
    │                                           │ Shift+PageUp    scroll up           A page up in the scrollback                                              │                                           │
    │                                           │ /               search              Search the session's screen and scrollback, from below upwards           │                                           │
    │                                           │ [               copy mode           Stop the session's screen, to go through it and copy                     │                                           │
    │                                           │ U               links               Stop the session's screen at the last link on it; o shows where it leads,│                                           │
    │                                           │ Y               clipboard           Show what the session's program wants in your clipboard, to copy it      │                                           │
    │                                           │ Esc             back                Back one level; dismiss a message                                        │                                           │
    │                                           │ :               palette             Choose an action by name                                                 │                                           │
    │                                           │ ?               help                Help for this view; type to filter                                       │                                           │
    │                                           │ q               leave               Leave agentdeck; the agents go on                                        │                                           │
    │                                           │ R               restart server      Start a server that was stopped, or replace an older one                 │                                           │
    │                                           └──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘                                           │
    └────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────────────┘
     Enter take over  n new  d diff  v history  Space mark  c compare  a apply  m merge  D discard  u undo  s shell  z zoom  ? help  q leave
    ");
}

use std::time::{Duration, Instant};

use super::*;

const ASKS: Doing = Doing::Waiting { need: Need::Permission };

/// Claude Code's screen while it asks, works and rests.
const QUESTION: &str = " Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel";
const WORK: &str = "✶ Forming… (0s)\n────────────\n❯\n────────────\n  esc to interrupt";
const PROMPT: &str = "● Done.\n────────────\n❯\n────────────\n  ? for shortcuts";
const FINISHED: &str = "❯ go\n✻ Crunched for 4s\n────────────\n❯\n────────────";
const STOPPED: &str = "⎿ Interrupted\n────────────\n❯\n────────────\n  ? for shortcuts";

fn claude() -> Judge {
    Judge::new(Some(Agent::Claude), None, Instant::now())
}

fn evidence(reported: Option<Doing>, title: &str, screen: &str) -> Evidence {
    Evidence {
        reported: reported.map(Claim::from),
        title: title.to_owned(),
        rows: screen.lines().map(str::to_owned).collect(),
        ..Evidence::default()
    }
}

/// The same, of a program whose hooks told something by their message of this number.
fn hooked(number: u64, state: Doing, title: &str, screen: &str) -> Evidence {
    let hooked = Some(Hooked { number, claim: state.into() });
    Evidence { hooked, ..evidence(None, title, screen) }
}

fn pair(found: Option<Finding>) -> Option<(Doing, Source)> {
    found.map(|found| (found.claim.state, found.source))
}

/// What is found after the grace, and at once.
fn settled(judge: &mut Judge, evidence: &Evidence) -> (Option<(Doing, Source)>, bool) {
    let begun = judge.printed;
    let first = pair(judge.judge(evidence, begun));
    let later = pair(judge.judge(evidence, begun + GRACE));
    (later, first == later)
}

#[test]
fn the_most_trusted_source_decides_and_only_a_question_overrules_it() {
    let at_once = true;
    let later = false;
    for (reported, title, screen, expected, when) in [
        (Some(Doing::Working), "✳ x", PROMPT, (Doing::Working, Source::Report), at_once),
        (Some(Doing::Done), "⠂ x", WORK, (Doing::Done, Source::Report), at_once),
        (Some(Doing::Idle), "", "", (Doing::Idle, Source::Report), at_once),
        (Some(ASKS), "", QUESTION, (ASKS, Source::Report), at_once),
        (Some(ASKS), "", "no prompt that is known", (ASKS, Source::Report), at_once),
        (None, "⠂ x", PROMPT, (Doing::Working, Source::Title), at_once),
        (None, "✳ x", STOPPED, (Doing::Idle, Source::Screen), at_once),
        (None, "x", WORK, (Doing::Working, Source::Screen), at_once),
        (None, "x", QUESTION, (ASKS, Source::Screen), at_once),
        (None, "x", PROMPT, (Doing::Idle, Source::Screen), at_once),
        (None, "x", "nothing known", (Doing::Unknown, Source::Nothing), at_once),
        (Some(Doing::Working), "", QUESTION, (ASKS, Source::Screen), later),
        (Some(Doing::Done), "", QUESTION, (ASKS, Source::Screen), later),
        (None, "⠂ x", QUESTION, (ASKS, Source::Screen), later),
        (Some(ASKS), "", WORK, (Doing::Working, Source::Screen), later),
        (Some(ASKS), "", STOPPED, (Doing::Idle, Source::Screen), later),
    ] {
        let evidence = evidence(reported, title, screen);
        let found = settled(&mut claude(), &evidence);
        assert_eq!(found, (Some(expected), when), "{evidence:?}");
    }
}

#[test]
fn a_question_is_gone_only_after_a_while_and_the_time_is_told() {
    let mut judge = claude();
    let begun = judge.printed;
    let gone = evidence(Some(ASKS), "", WORK);
    let state = |judge: &mut Judge, evidence: &Evidence, at| {
        judge.judge(evidence, at).map(|found| found.claim.state)
    };
    assert_eq!(state(&mut judge, &gone, begun), Some(ASKS));
    assert_eq!(judge.again(), Some(begun + GRACE));
    // It came back: what was doubted is so, and the wait begins anew.
    let there = evidence(Some(ASKS), "", QUESTION);
    assert_eq!(state(&mut judge, &there, begun + GRACE / 2), Some(ASKS));
    assert_eq!(judge.again(), None);
    assert_eq!(state(&mut judge, &gone, begun + GRACE), Some(ASKS));
    assert_eq!(state(&mut judge, &gone, begun + GRACE * 2), Some(Doing::Working));
}

#[test]
fn rest_after_work_is_done_unless_it_was_interrupted() {
    for (last, screen, expected) in [
        (None, PROMPT, Doing::Idle),
        (Some(Doing::Working), PROMPT, Doing::Done),
        (Some(ASKS), PROMPT, Doing::Idle),
        (Some(ASKS), FINISHED, Doing::Done),
        (None, FINISHED, Doing::Done),
        (Some(Doing::Done), PROMPT, Doing::Done),
        (Some(Doing::Idle), PROMPT, Doing::Idle),
        (Some(Doing::Working), STOPPED, Doing::Idle),
    ] {
        let now = Instant::now();
        let mut judge = Judge::new(Some(Agent::Claude), last, now);
        let evidence = evidence(None, "", screen);
        judge.judge(&evidence, now);
        let found = judge.judge(&evidence, now + REST).map(|found| found.claim.state);
        assert_eq!(found, Some(expected), "after {last:?}: {screen}");
    }
}

#[test]
fn a_prompt_between_two_steps_does_not_end_the_work() {
    let mut judge = claude();
    let begun = judge.printed;
    let state = |judge: &mut Judge, screen, at| {
        judge.judge(&evidence(None, "", screen), at).map(|found| found.claim.state)
    };
    assert_eq!(state(&mut judge, WORK, begun), Some(Doing::Working));
    assert_eq!(state(&mut judge, PROMPT, begun), Some(Doing::Working));
    assert_eq!(judge.again(), Some(begun + REST));
    assert_eq!(state(&mut judge, WORK, begun + REST / 2), Some(Doing::Working));
    assert_eq!(state(&mut judge, PROMPT, begun + REST), Some(Doing::Working));
    assert_eq!(state(&mut judge, PROMPT, begun + REST * 2), Some(Doing::Done));
}

#[test]
fn work_that_was_seen_is_doubted_when_nothing_moves_and_work_that_was_told_is_not() {
    for (reported, expected) in [(None, Doing::Unknown), (Some(Doing::Working), Doing::Working)] {
        let mut judge = claude();
        let begun = judge.printed;
        let works = evidence(reported, "", WORK);
        let later = begun + STILL;
        let state = |found: Option<Finding>| found.map(|found| found.claim.state);
        assert_eq!(state(judge.judge(&works, begun)), Some(Doing::Working));
        assert_eq!(judge.again(), reported.is_none().then_some(later));
        assert_eq!(state(judge.judge(&works, later)), Some(expected));
        judge.printed(later);
        assert_eq!(state(judge.judge(&works, later)), Some(Doing::Working));
    }
}

#[test]
fn silence_and_noise_alone_say_nothing() {
    let begun = Instant::now();
    let mut judge = Judge::new(None, None, begun);
    let nothing = evidence(None, "⠂ x", WORK);
    for seconds in [0, 1, 60, 3600] {
        judge.printed(begun);
        assert_eq!(judge.judge(&nothing, begun + Duration::from_secs(seconds)), None);
        assert_eq!(judge.again(), None);
    }
}

#[test]
fn any_program_may_report_and_is_unknown_once_it_takes_that_back() {
    let now = Instant::now();
    let mut judge = Judge::new(None, None, now);
    let state = |found: Option<Finding>| found.map(|found| found.claim.state);
    let reported = evidence(Some(Doing::Working), "", "");
    assert_eq!(state(judge.judge(&reported, now)), Some(Doing::Working));
    assert_eq!(state(judge.judge(&Evidence::default(), now)), Some(Doing::Unknown));
}

#[test]
fn an_agent_is_known_by_its_profile_or_its_program() {
    let command = |word: &str| vec![word.to_owned(), "--flag".to_owned()];
    assert_eq!(Agent::of("claude", &command("sh")), Some(Agent::Claude));
    assert_eq!(Agent::of("mine", &command("/usr/local/bin/codex")), Some(Agent::Codex));
    assert_eq!(Agent::of("make", &command("make")), None);
    assert_eq!(Agent::of("make", &[]), None);
}

#[test]
fn titles_tell_what_they_are_known_to_tell() {
    let read = |agent, title| agents::read_title(agent, title);
    assert_eq!(read(Agent::Codex, "⠹ proj"), Some(Shown::Works));
    assert_eq!(
        read(Agent::Codex, "[ . ] Action Required | proj"),
        Some(Shown::Asks(Need::Permission))
    );
    assert_eq!(read(Agent::Codex, "proj"), None);
    assert_eq!(read(Agent::Claude, "◐ Claude Code"), Some(Shown::Works));
    assert_eq!(read(Agent::Claude, "✳ x"), None);
    assert_eq!(read(Agent::Gemini, "◇ Ready"), Some(Shown::Rests(Ending::Open)));
    assert_eq!(read(Agent::Claude, "[ ! ] Action Required"), None);
    assert_eq!(read(Agent::Claude, ""), None);
    assert_eq!(read(Agent::Gemini, "✋ Action Required"), Some(Shown::Asks(Need::Permission)));
}

#[test]
fn what_only_looks_like_a_question_is_none() {
    let shown = |agent, screen: &str| {
        prompts::read(agent, &screen.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    // A list in the prompt, a quotation above it, and answers without the keys that give them.
    let list = "────────────\n❯ 1. Yes\n  2. No\n────────────\n  ? for shortcuts · esc to cancel";
    assert_eq!(shown(Agent::Claude, list), Some(Shown::Rests(Ending::Open)));
    let quoted = format!("{QUESTION}\n{PROMPT}");
    assert_eq!(shown(Agent::Claude, &quoted), Some(Shown::Rests(Ending::Open)));
    assert_eq!(shown(Agent::Claude, " Do you want to?\n ❯ 1. Yes\n   2. No"), None);
    // The same are questions where they stand alone.
    assert_eq!(shown(Agent::Claude, QUESTION), Some(Shown::Asks(Need::Permission)));
    // What was interrupted before the last thing that the user asked is over.
    let later = format!("⎿ Interrupted\n❯ go on\n{PROMPT}");
    assert_eq!(shown(Agent::Claude, &later), Some(Shown::Rests(Ending::Open)));
    let trust = "Trust this folder?\n› 1. Trust\n  2. Back\n  enter continue · esc back";
    assert_eq!(shown(Agent::Codex, trust), Some(Shown::Asks(Need::Permission)));
    let said = "● it says (esc to interrupt)\n────────────\n❯\n────────────";
    assert_eq!(shown(Agent::Claude, said), Some(Shown::Rests(Ending::Open)));
}

#[test]
fn codex_asks_for_a_login_in_letters_of_its_own() {
    let menu = "  Choose how you want to use Codex.\n\n> 1. Sign in with ChatGPT\n     Usage included\n\n\
                \x20 2. Sign in with Device Code\n\n  Press enter to continue";
    let asks = Some(Doing::Waiting { need: Need::Login });
    for (agent, expected) in [(Agent::Codex, asks), (Agent::Claude, Some(Doing::Unknown))] {
        let mut judge = Judge::new(Some(agent), None, Instant::now());
        let found = settled(&mut judge, &evidence(None, "", menu)).0;
        assert_eq!(found.map(|found| found.0), expected, "{agent:?}");
    }
}

#[test]
fn hooks_are_believed_after_a_report_and_before_a_title_until_the_screen_refutes_them() {
    let (working, done) = (Doing::Working, Doing::Done);
    let hook = Source::Hook;
    for (told, title, screen, expected, when) in [
        (working, "", "nothing known", (working, hook), true),
        (working, "◐ x", PROMPT, (working, hook), true),
        (done, "✳ x", PROMPT, (done, hook), true),
        (done, "◐ x", "nothing known", (done, hook), true),
        (ASKS, "", QUESTION, (ASKS, hook), true),
        // Esc after a question, and at work: nothing is told of it.
        (ASKS, "✳ x", STOPPED, (Doing::Idle, Source::Screen), false),
        (working, "✳ x", STOPPED, (Doing::Idle, Source::Screen), false),
        // The hook of the end was lost, or that of the beginning, or of a question.
        (working, "✳ x", FINISHED, (done, Source::Screen), false),
        (done, "◐ x", WORK, (working, Source::Screen), false),
        (working, "◐ x", QUESTION, (ASKS, Source::Screen), false),
        // It was allowed, and its tool runs for long.
        (ASKS, "◐ x", WORK, (working, Source::Screen), false),
    ] {
        let evidence = hooked(1, told, title, screen);
        let found = settled(&mut claude(), &evidence);
        assert_eq!(found, (Some(expected), when), "{evidence:?}");
    }
    let reported = Evidence { reported: Some(done.into()), ..hooked(1, working, "", WORK) };
    assert_eq!(settled(&mut claude(), &reported), (Some((done, Source::Report)), true));
}

#[test]
fn what_was_refuted_stays_so_until_the_hooks_tell_more() {
    let mut judge = claude();
    let begun = judge.printed;
    let refuted = hooked(7, Doing::Working, "", STOPPED);
    judge.judge(&refuted, begun);
    let idle = Some((Doing::Idle, Source::Screen));
    assert_eq!(pair(judge.judge(&refuted, begun + GRACE)), idle);
    // A menu over the prompt says nothing, and brings nothing back.
    let menu = hooked(7, Doing::Working, "", "a menu");
    let nothing = Some((Doing::Unknown, Source::Nothing));
    assert_eq!(pair(judge.judge(&menu, begun + GRACE * 2)), nothing);
    let more = hooked(8, Doing::Working, "", "a menu");
    assert_eq!(pair(judge.judge(&more, begun + GRACE * 3)), Some((Doing::Working, Source::Hook)));
    // A message that comes while the screen says otherwise has to be refuted by itself.
    let next = hooked(9, Doing::Working, "", STOPPED);
    assert_eq!(pair(judge.judge(&next, begun + GRACE * 3)), Some((Doing::Working, Source::Hook)));
    assert_eq!(judge.again(), Some(begun + GRACE * 4));
}

#[test]
fn work_that_hooks_told_is_doubted_of_an_agent_that_always_moves_something() {
    let told = hooked(1, Doing::Working, "", "");
    for (is_animated, expected) in
        [(true, (Doing::Unknown, Source::Output)), (false, (Doing::Working, Source::Hook))]
    {
        let begun = Instant::now();
        let nature = Nature { is_animated, ..Nature::default() };
        let mut judge = Judge::new(None, None, begun).with(nature);
        assert_eq!(pair(judge.judge(&told, begun)), Some((Doing::Working, Source::Hook)));
        assert_eq!(pair(judge.judge(&told, begun + STILL)), Some(expected));
    }
}

#[test]
fn a_shell_is_idle_at_its_prompt_and_whoever_it_ran_is_gone_then() {
    let begun = Instant::now();
    let shell = Nature { is_shell: true, ..Nature::default() };
    let found = |nature: Nature, evidence: &Evidence| {
        pair(Judge::new(None, None, begun).with(nature).judge(evidence, begun))
    };
    let at = |own: bool, evidence: Evidence| Evidence { has_terminal: Some(own), ..evidence };
    let nothing = evidence(None, "", "");
    let (idle, runs) = ((Doing::Idle, Source::Processes), (Doing::Working, Source::Processes));
    assert_eq!(found(shell, &at(true, nothing.clone())), Some(idle));
    assert_eq!(found(shell, &at(false, nothing.clone())), Some(runs));
    assert_eq!(found(shell, &nothing), None);
    assert_eq!(found(Nature::default(), &at(false, nothing)), None, "it may be any program");
    // An agent in it speaks for itself, until it was killed at its work.
    let agent = hooked(1, ASKS, "", "");
    assert_eq!(found(shell, &at(false, agent.clone())), Some((ASKS, Source::Hook)));
    assert_eq!(found(shell, &at(true, agent)), Some(idle));
    let reported = evidence(Some(Doing::Working), "", "");
    assert_eq!(found(shell, &at(true, reported)), Some(idle));
    let done = hooked(1, Doing::Done, "", "");
    assert_eq!(found(shell, &at(true, done)), Some((Doing::Done, Source::Hook)));
}

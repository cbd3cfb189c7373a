//! What an agent's screen shows of its state: a question with answers to choose from, work that can
//! be interrupted, or a prompt.
//!
//! Read from the screen as people see it, never from the bytes, which agents split and repaint at
//! will. Text that an agent quotes can look like its own prompts: so a question counts only where
//! nothing but its answers and hints follow, in the place of the prompt.

use super::agents::Agent;
use crate::model::status::Need;

/// What a screen or a title shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Asks(Need),
    Works,
    Rests(Ending),
}

/// How the newest turn ended, by what stands above the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With how long it took.
    Finished,
    Interrupted,
    /// Nothing tells.
    Open,
}

/// Lines from the bottom that hold a question: the longest have a dozen answers with explanations.
const QUESTION: usize = 40;
/// Lines from the bottom that hold the prompt and what stands around it.
const PROMPT: usize = 14;
/// Lines above the prompt that tell how the last turn ended.
const ENDING: usize = 24;

/// Words under a question that tell which keys answer it: one of these, or two keys in one line.
const HINTS: [&str; 4] = ["esc to cancel", "esc to exit", "enter to ", "tab to amend"];

/// Reads a screen, given as rows from the top.
pub(super) fn read(agent: Agent, rows: &[String]) -> Option<Shown> {
    let lines: Vec<&str> =
        rows.iter().map(|row| row.trim_end()).filter(|row| !row.trim().is_empty()).collect();
    if let Some(need) = question(agent, last(&lines, QUESTION)) {
        return Some(Shown::Asks(need));
    }
    let prompt = last(&lines, PROMPT);
    if works(agent, prompt) {
        return Some(Shown::Works);
    }
    has_prompt(agent, prompt).then(|| Shown::Rests(ending(last(&lines, ENDING))))
}

fn last<'a, 'b>(lines: &'a [&'b str], count: usize) -> &'a [&'b str] {
    &lines[lines.len().saturating_sub(count)..]
}

/// The question that a screen ends with.
fn question(agent: Agent, lines: &[&str]) -> Option<Need> {
    let chosen = lines.iter().rposition(|line| is_chosen(line) || is_greeting(agent, line))?;
    let (above, below) = lines.split_at(chosen);
    // A prompt in which the user writes a list looks the same, but for the line around it.
    if above.last().is_some_and(|line| is_rule(line)) || has_prompt(agent, &below[1..]) {
        return None;
    }
    let others = lines.iter().filter(|line| is_answer(line)).count();
    let hinted = below.iter().any(|line| is_hint(&line.to_lowercase()));
    (others > 0 && hinted).then(|| need(lines))
}

fn is_hint(line: &str) -> bool {
    let keys = line.trim_start().starts_with("enter ") && line.contains("· esc ");
    keys || HINTS.iter().any(|hint| line.contains(hint))
}

/// What is asked for, by the words around the answers.
fn need(lines: &[&str]) -> Need {
    let text = lines.join("\n").to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&["log in", "login method", "sign in", "api key"]) {
        Need::Login
    } else if any(&["do you want to", "would you like to", "proceed?", "trust"]) {
        Need::Permission
    } else {
        Need::Answer
    }
}

/// `❯ 1. Yes`: the answer that a key would give.
fn is_chosen(line: &str) -> bool {
    let line = line.trim_start();
    ["❯", "›"].iter().any(|mark| line.strip_prefix(mark).is_some_and(is_answer))
}

/// `> 1. Sign in`: the same in what Codex asks before it has anything else to show.
fn is_greeting(agent: Agent, line: &str) -> bool {
    agent == Agent::Codex && line.strip_prefix("> ").is_some_and(is_answer)
}

/// `2. No`
fn is_answer(line: &str) -> bool {
    let line = line.trim_start();
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    (1..=2).contains(&number) && line[number..].starts_with(". ")
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("────") && line.chars().filter(|character| *character == '─').count() > 8
}

fn works(agent: Agent, lines: &[&str]) -> bool {
    lines.iter().any(|line| {
        let line = line.trim();
        let marked = |marks: &str| line.starts_with(|first| marks.contains(first));
        match agent {
            // Either below the prompt, or the line that tells for how long.
            Agent::Claude => {
                (line.contains("esc to interrupt") && !marked("●❯⎿"))
                    || (marked("·✢✳✶✻✽*") && (line.contains("… (") || line.ends_with('…')))
            }
            Agent::Codex => marked("•◦") && line.contains("esc to interrupt)"),
            Agent::Gemini => line.contains("(esc to cancel, "),
        }
    })
}

/// Whether a place to type into is there.
fn has_prompt(agent: Agent, lines: &[&str]) -> bool {
    match agent {
        Agent::Claude => lines.windows(2).any(|pair| is_rule(pair[0]) && pair[1].starts_with('❯')),
        Agent::Codex => lines.iter().any(|line| line.starts_with("› ") && !is_chosen(line)),
        Agent::Gemini => lines.iter().any(|line| line.contains("Type your message")),
    }
}

/// How the turn ended that stands between the last thing the user wrote and the place to type into.
fn ending(lines: &[&str]) -> Ending {
    let prompt = |line: &&str| line.starts_with(['❯', '›']);
    let Some(place) = lines.iter().rposition(prompt) else { return Ending::Open };
    let begun = lines[..place].iter().rposition(prompt).unwrap_or(0);
    let told = lines[begun..place].iter().rev().find_map(|line| {
        if line.contains("Interrupted") || line.contains("Conversation interrupted") {
            Some(Ending::Interrupted)
        } else {
            is_duration(line.trim()).then_some(Ending::Finished)
        }
    });
    told.unwrap_or(Ending::Open)
}

/// `✻ Crunched for 4s`, `Worked for 20s • 12:24`
fn is_duration(line: &str) -> bool {
    let Some((before, after)) = line.split_once(" for ") else { return false };
    let verb = before.strip_prefix('✻').map_or(before, str::trim_start);
    let marked = before.starts_with('✻') || verb == "Worked";
    marked && !verb.contains(' ') && after.starts_with(|first: char| first.is_ascii_digit())
}

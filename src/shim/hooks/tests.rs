use super::*;

const ASKS: Doing = Doing::Waiting { need: Need::Permission };

fn message(state: State, at: u64) -> Message {
    Message {
        session: SessionId::AGENT,
        state,
        need: (state == State::Waiting).then_some(Need::Permission),
        conversation: Some("main".to_owned()),
        part: None,
        in_tool: false,
        says: None,
        at,
    }
}

fn part(state: State, part: &str, at: u64) -> Message {
    Message { part: Some(part.to_owned()), ..message(state, at) }
}

fn other(state: State, at: u64) -> Message {
    Message { conversation: Some("other".to_owned()), ..message(state, at) }
}

/// What is known after each of these, said at its time and heard in this order.
fn heard(messages: Vec<Message>) -> Vec<Option<Doing>> {
    let mut heard = Heard::default();
    let after = messages.into_iter().map(|message| {
        let now = message.at.max(heard.at);
        heard.take(message, now);
        heard.claim().map(|claim| claim.state)
    });
    after.collect()
}

#[test]
fn a_turn_is_followed_from_its_question_to_its_end() {
    let tool = Message { in_tool: true, ..message(State::Working, 3) };
    let states = heard(vec![
        message(State::Idle, 1),
        message(State::Working, 2),
        tool,
        part(State::Waiting, "a", 4),
        part(State::Working, "a", 5),
        message(State::Done, 6),
        message(State::Ended, 7),
    ]);
    let (working, done) = (Some(Doing::Working), Some(Doing::Done));
    assert_eq!(states, [Some(Doing::Idle), working, working, Some(ASKS), working, done, None]);
}

#[test]
fn a_question_stays_open_while_other_parts_go_on_and_not_beyond_its_turn() {
    let states = heard(vec![
        part(State::Waiting, "a", 1),
        part(State::Working, "b", 2),
        part(State::Answered, "b", 3),
        part(State::Answered, "a", 4),
        part(State::Waiting, "a", 5),
        message(State::Done, 6),
    ]);
    let working = Some(Doing::Working);
    assert_eq!(
        states,
        [Some(ASKS), Some(ASKS), Some(ASKS), working, Some(ASKS), Some(Doing::Done)]
    );
}

#[test]
fn what_goes_on_beside_an_open_question_does_not_ask_it_again() {
    let mut heard = Heard::default();
    heard.take(part(State::Waiting, "a", 1), 1);
    let number = heard.number();
    assert!(heard.take(part(State::Working, "b", 2), 2));
    assert_eq!(heard.number(), number);
    heard.take(part(State::Waiting, "a", 3), 3);
    assert!(heard.number() > number);
}

#[test]
fn a_question_that_nobody_answered_ends_with_the_next_turn() {
    let states = heard(vec![
        message(State::Begun, 1),
        part(State::Waiting, "a", 2),
        message(State::Begun, 3),
    ]);
    assert_eq!(states, [Some(Doing::Working), Some(ASKS), Some(Doing::Working)]);
}

#[test]
fn what_a_helper_does_is_not_the_end_of_the_turn_nor_work_after_it() {
    let states = heard(vec![
        message(State::Working, 1),
        part(State::Waiting, "helper", 2),
        part(State::Answered, "helper", 3),
        message(State::Done, 4),
        part(State::Answered, "helper", 5),
    ]);
    let (working, done) = (Some(Doing::Working), Some(Doing::Done));
    assert_eq!(states, [working, Some(ASKS), working, done, done]);
}

#[test]
fn a_prompt_ends_what_was_going_on_and_leaves_what_came_of_it() {
    let states = heard(vec![
        message(State::Done, 1),
        message(State::Resting, 2),
        message(State::Working, 3),
        part(State::Waiting, "a", 4),
        message(State::Resting, 5),
    ]);
    let (idle, done) = (Some(Doing::Idle), Some(Doing::Done));
    assert_eq!(states, [done, done, Some(Doing::Working), Some(ASKS), idle]);
}

#[test]
fn a_message_that_comes_late_changes_nothing() {
    let mut heard = Heard::default();
    assert!(heard.take(message(State::Done, 10), 10));
    assert!(!heard.take(message(State::Working, 9), 11), "it was said before the end");
    assert!(!heard.take(part(State::Waiting, "a", 9), 11), "so was the question");
    assert_eq!(heard.claim().map(|claim| claim.state), Some(Doing::Done));
    // Who lies about the future is not believed for longer than now.
    assert!(heard.take(message(State::Working, u64::MAX), 12));
    assert!(heard.take(message(State::Done, 13), 13));
}

#[test]
fn an_agent_that_runs_as_a_tool_does_not_speak_for_the_one_that_runs_it() {
    let tool = Message { in_tool: true, ..message(State::Working, 1) };
    let ends = other(State::Ended, 4);
    let states = heard(vec![tool.clone(), other(State::Idle, 2), other(State::Done, 3), ends]);
    assert_eq!(states, [Some(Doing::Working); 4]);
    // The next conversation at the same prompt does, and one after an agent that was killed.
    let states = heard(vec![message(State::Done, 1), other(State::Working, 2)]);
    assert_eq!(states[1], Some(Doing::Working));
    let states = heard(vec![tool, other(State::Idle, 2 + NESTED)]);
    assert_eq!(states[1], Some(Doing::Idle));
}

#[test]
fn what_breaks_a_bound_is_no_message() {
    let read = |text: &str| Message::read(text.as_bytes());
    assert!(read(r#"{"session":1,"state":"working"}"#).is_some());
    let long = "x".repeat(MAX_NAME + 1);
    let nested = "[".repeat(2000);
    for bad in [
        String::new(),
        "{}".to_owned(),
        r#"{"session":1,"state":"asleep"}"#.to_owned(),
        r#"{"session":-1,"state":"working"}"#.to_owned(),
        r#"{"session":1,"state":"working","says":{}}"#.to_owned(),
        format!(r#"{{"session":1,"state":"working","part":"{long}"}}"#),
        format!(r#"{{"session":1,"state":"working","conversation":"{long}"}}"#),
        format!(r#"{{"session":1,"state":"working","later":{nested}}}"#),
        format!(r#"{{"session":1,"state":"working","says":"{}"}}"#, "x".repeat(MAX_MESSAGE)),
    ] {
        assert_eq!(read(&bad), None, "{bad:.60}");
    }
    let says = "é".repeat(1000);
    let message = read(&format!(r#"{{"session":1,"state":"done","says":"{says}"}}"#));
    let says = message.expect("short enough").says.expect("words");
    assert_eq!(says.chars().count(), MAX_SAYS);
}

#[test]
fn questions_without_end_cost_no_more_than_their_bound() {
    let mut heard = Heard::default();
    for number in 0..10_000 {
        heard.take(part(State::Waiting, &number.to_string(), number), number);
    }
    assert_eq!(heard.open.len(), MAX_OPEN);
}

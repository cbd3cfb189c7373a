//! The list of refused requests, and the key that opens one.

use super::super::app::App;
use super::sample;
use super::{SMALL, Size, TINY, picture, requests, type_keys};
use crate::model::destination::Denial;
use crate::model::environment::Environment;
use crate::model::id::Timestamp;
use crate::proto::{Event, Request, Target};
use crate::tui::app::Happening;

fn denial(place: &str, reason: &str, opens: Option<&str>) -> Denial {
    let opens = opens.map(|entry| entry.parse().expect("an entry"));
    let last = Timestamp(super::NOW.0 - 120_000);
    Denial { place: place.to_owned(), reason: reason.to_owned(), count: 3, last, opens }
}

fn change(app: &mut App, change: impl FnOnce(&mut Environment)) {
    let mut environment = app.selected_environment().expect("one is chosen").clone();
    change(&mut environment);
    let event = Event::EnvironmentChanged(Box::new(environment));
    app.happen(Happening::Event(event), app.now);
}

/// A deck whose chosen environment was refused four things.
fn refused(size: Size) -> App {
    let mut app = sample::deck(size);
    change(&mut app, |environment| {
        environment.denied = vec![
            denial("pypi.example:443", "not allowed", Some("pypi.example:443")),
            denial("169.254.169.254:80", "is a cloud's metadata service", None),
            denial("host.agentdeck:5432", "this machine's own", Some("host:5432")),
            denial("evil\u{1b}[2J.example:443", "not allowed", Some("evil.example:443")),
        ];
    });
    app
}

fn allowed(requests: &[Request]) -> Option<String> {
    match requests {
        [Request::AllowDestination { target: Target::Id(_), entry }] => Some(entry.to_string()),
        [] => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_denied_at_80_by_24() {
    let mut app = refused(SMALL);
    assert!(picture(&app).contains("4 denied"), "{}", picture(&app));
    type_keys(&mut app, "N");
    let picture = picture(&app);
    assert!(!picture.contains('\u{1b}'), "{picture}");
    let lines: Vec<&str> = picture.lines().skip(1).take(6).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ┌ brave-otter · denied · network open ─────────────────────────────────────────┐
    │  asked for                   times  last    why                              │
    │▌ pypi.example:443                3  2 min   not allowed · a opens pypi.exampl│
    │  169.254.169.254:80              3  2 min   is a cloud's metadata service    │
    │  host.agentdeck:5432             3  2 min   this machine's own · a opens host│
    │  evil\u{1b}[2J.example:443       3  2 min   not allowed · a opens evil.exampl│
    ");
}

#[test]
fn the_denied_in_a_tiny_terminal_and_without_any() {
    let mut app = refused(TINY);
    type_keys(&mut app, "N");
    assert!(picture(&app).contains("e:443"), "{}", picture(&app));
    change(&mut app, |environment| environment.denied.clear());
    assert!(picture(&app).contains("nothing was refus"), "{}", picture(&app));
    let effects = type_keys(&mut app, "ja");
    assert_eq!(allowed(&requests(effects)), None);
}

#[test]
fn one_key_opens_the_chosen_host_and_no_key_what_nothing_opens() {
    let mut app = refused(SMALL);
    type_keys(&mut app, "N");
    let effects = type_keys(&mut app, "a");
    assert_eq!(allowed(&requests(effects)).as_deref(), Some("pypi.example:443"));
    let effects = type_keys(&mut app, "ja");
    assert_eq!(allowed(&requests(effects)), None);
    assert!(picture(&app).contains("no entry opens this"), "{}", picture(&app));
}

#[test]
fn a_service_of_this_machine_is_opened_by_the_second_press() {
    let mut app = refused(SMALL);
    type_keys(&mut app, "Njj");
    assert_eq!(allowed(&requests(type_keys(&mut app, "a"))), None);
    assert!(picture(&app).contains("is a service of this machine"), "{}", picture(&app));
    assert_eq!(allowed(&requests(type_keys(&mut app, "a"))).as_deref(), Some("host:5432"));
}

#[test]
fn a_long_name_shows_its_owner_and_is_opened_by_the_second_press() {
    let mut app = refused(SMALL);
    let padding = "a.".repeat(60);
    let place = format!("registry.npmjs.org.{padding}evil.example:443");
    change(&mut app, |environment| {
        environment.denied = vec![denial(&place, "not allowed", Some(&place))];
    });
    type_keys(&mut app, "N");
    let row = picture(&app).lines().nth(3).expect("a row").to_owned();
    assert!(row.contains("….a.evil.example:443 ") || row.contains("evil.example:443 "), "{row}");
    assert_eq!(allowed(&requests(type_keys(&mut app, "a"))), None);
    let whole: String = picture(&app).split_whitespace().collect();
    let whole = whole.replace('│', "");
    assert!(whole.contains(&place), "the message says all of it: {whole}");
    assert_eq!(allowed(&requests(type_keys(&mut app, "a"))).as_deref(), Some(place.as_str()));
}

#[test]
fn what_comes_under_the_key_in_the_last_moment_is_not_opened() {
    let mut app = refused(SMALL);
    type_keys(&mut app, "N");
    change(&mut app, |environment| {
        let late = denial("evil.example:443", "not allowed", Some("evil.example:443"));
        environment.denied.insert(0, late);
    });
    let effects = type_keys(&mut app, "a");
    assert_eq!(allowed(&requests(effects)).as_deref(), Some("pypi.example:443"));
    change(&mut app, |environment| environment.denied.retain(|it| it.place.starts_with("evil")));
    assert_eq!(allowed(&requests(type_keys(&mut app, "a"))), None, "what was chosen is gone");
}

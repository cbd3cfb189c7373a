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
    insta::assert_snapshot!(picture(&opened(TINY)), @"");
}

#[test]
fn help_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @"");
}

#[test]
fn help_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @"");
}

#[test]
fn help_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @"");
}

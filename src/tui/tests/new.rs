//! The form for a new environment.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, picture, type_keys};

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "nswift-heron");
    app
}

#[test]
fn the_form_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @"");
}

#[test]
fn the_form_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @"");
}

#[test]
fn the_form_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @"");
}

#[test]
fn the_form_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @"");
}

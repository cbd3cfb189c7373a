//! The history of an environment.

use super::super::app::App;
use super::sample;
use super::{LARGE, MIDDLE, SMALL, Size, TINY, answer, picture, type_keys};
use crate::proto::Reply;

fn opened(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, "v");
    answer(&mut app, Reply::History(sample::history()));
    app
}

#[test]
fn the_history_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&opened(TINY)), @"");
}

#[test]
fn the_history_at_80_by_24() {
    insta::assert_snapshot!(picture(&opened(SMALL)), @"");
}

#[test]
fn the_history_at_120_by_40() {
    insta::assert_snapshot!(picture(&opened(MIDDLE)), @"");
}

#[test]
fn the_history_at_200_by_60() {
    insta::assert_snapshot!(picture(&opened(LARGE)), @"");
}

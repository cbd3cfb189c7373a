//! The deck: live panes, or a list where the terminal is small.

use super::sample::deck;
use super::{LARGE, MIDDLE, SMALL, TINY, picture};

#[test]
fn the_deck_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&deck(TINY)), @"");
}

#[test]
fn the_deck_at_80_by_24() {
    insta::assert_snapshot!(picture(&deck(SMALL)), @"");
}

#[test]
fn the_deck_at_120_by_40() {
    insta::assert_snapshot!(picture(&deck(MIDDLE)), @"");
}

#[test]
fn the_deck_at_200_by_60() {
    insta::assert_snapshot!(picture(&deck(LARGE)), @"");
}

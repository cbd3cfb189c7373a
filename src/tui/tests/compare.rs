//! The comparison of attempts, and one file of it.

use super::super::app::App;
use super::sample;
use super::{KeyCode, LARGE, MIDDLE, SMALL, Size, TINY, answer, key, picture, type_keys};
use crate::proto::Reply;

fn matrix(size: Size) -> App {
    let mut app = sample::deck(size);
    type_keys(&mut app, " ");
    type_keys(&mut app, "2");
    type_keys(&mut app, " c");
    answer(&mut app, Reply::Comparison(sample::comparison()));
    app
}

fn file(size: Size) -> App {
    let mut app = matrix(size);
    type_keys(&mut app, "j");
    app.happen(key(KeyCode::Enter), app.now);
    answer(&mut app, Reply::AlignedFile(sample::aligned()));
    app
}

#[test]
fn the_matrix_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&matrix(TINY)), @"");
}

#[test]
fn the_matrix_at_80_by_24() {
    insta::assert_snapshot!(picture(&matrix(SMALL)), @"");
}

#[test]
fn the_matrix_at_120_by_40() {
    insta::assert_snapshot!(picture(&matrix(MIDDLE)), @"");
}

#[test]
fn the_matrix_at_200_by_60() {
    insta::assert_snapshot!(picture(&matrix(LARGE)), @"");
}

#[test]
fn one_file_in_a_tiny_terminal() {
    insta::assert_snapshot!(picture(&file(TINY)), @"");
}

#[test]
fn one_file_at_80_by_24() {
    insta::assert_snapshot!(picture(&file(SMALL)), @"");
}

#[test]
fn one_file_at_120_by_40() {
    insta::assert_snapshot!(picture(&file(MIDDLE)), @"");
}

#[test]
fn one_file_at_200_by_60() {
    insta::assert_snapshot!(picture(&file(LARGE)), @"");
}

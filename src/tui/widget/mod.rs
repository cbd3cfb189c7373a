//! Small parts that views are made of. They know buffers and styles, nothing of the deck.

mod field;
mod frame;
mod page;
mod source;
mod text;

pub(crate) use field::Field;
pub(crate) use frame::{Frame, Weight, inside};
pub(crate) use page::Page;
pub(crate) use source::{Source, source_line};
pub(crate) use text::{
    age, clear, fit, fit_end, foreign, left_and_right, line_shown, line_text, line_with_blanks, put,
};

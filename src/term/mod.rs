//! The terminal emulator of a session: bytes of a program in, rows for people and replies out.
//!
//! [`Emulator`] owns everything between a program's output and a [`crate::model::screen::Screen`].
//! Bytes pass a filter first, which bounds what a hostile program can make us keep, then reach the
//! grid of `alacritty_terminal`. Strings a program sends (titles, clipboard, colours, graphics) end
//! here: none of them is ever handed on as an escape sequence. This room does not know who looks,
//! where the bytes come from, or what an agent is.

mod asking;
mod checkpoint;
mod controls;
mod emulator;
mod encode;
mod filter;
mod history;
mod hold;
mod keyboard;
mod links;
mod paint;
mod replies;
mod report;
mod rows;
mod settings;
mod skim;
mod style;
mod terminal;
mod text;
mod title;

pub use checkpoint::Checkpoint;
pub use emulator::Emulator;
pub(crate) use title::printable;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

//! What is searched or filtered for: nothing, a text being typed, or one that was.

use crate::model::input::{Input, KeyCode};

use super::super::widget::Field;

#[derive(Debug, Default)]
pub(crate) enum Search {
    #[default]
    Closed,
    Typing(Field),
    Open(String),
}

/// What an input did to a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It was not for the search.
    Other,
    /// The text is another, or was given up.
    Changed,
    /// The text is finished.
    Entered,
}

impl Search {
    pub(crate) fn begin() -> Self {
        Self::Typing(Field::default())
    }

    pub(crate) fn needle(&self) -> Option<&str> {
        let text = match self {
            Self::Closed => "",
            Self::Typing(field) => field.text(),
            Self::Open(text) => text,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Self::Typing(_))
    }

    /// Takes an input while the text is typed.
    pub(super) fn take(&mut self, input: &Input) -> Typed {
        let Self::Typing(field) = self else { return Typed::Other };
        match input {
            Input::Key(key) if key.code == KeyCode::Escape => *self = Self::Closed,
            Input::Key(key) if key.code == KeyCode::Enter => {
                let text = field.text().to_owned();
                *self = if text.is_empty() { Self::Closed } else { Self::Open(text) };
                return Typed::Entered;
            }
            input => {
                let typed = field.take(input) || matches!(input, Input::Key(_));
                return if typed { Typed::Changed } else { Typed::Other };
            }
        }
        Typed::Changed
    }

    /// Closes it; `false` when it was closed.
    pub(super) fn end(&mut self) -> bool {
        !matches!(std::mem::take(self), Self::Closed)
    }
}

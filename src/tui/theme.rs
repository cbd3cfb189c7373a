//! Every colour of ours, and how a session's colours fit the outer terminal.
//!
//! The terminal's own palette and background are kept: our words are in its foreground, one
//! accent, three signals, and a grey that reads on dark and light alike. Nothing is told by colour
//! alone.

use ratatui::style::{Color, Modifier, Style};

use super::paint::Tone;
use crate::model::screen::{self, Attributes};

/// How many colours the outer terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    None,
    Basic,
    Indexed,
    True,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    depth: Depth,
}

impl Theme {
    pub(crate) fn new(depth: Depth) -> Self {
        Self { depth }
    }

    /// Reads `NO_COLOR`, `COLORTERM` and `TERM` through `variable`.
    pub(crate) fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let says = |name: &str, words: &[&str]| {
            variable(name).is_some_and(|value| words.iter().any(|word| value.contains(word)))
        };
        let depth = if variable("NO_COLOR").is_some_and(|value| !value.is_empty())
            || variable("TERM").is_some_and(|value| value == "dumb")
        {
            Depth::None
        } else if says("COLORTERM", &["truecolor", "24bit"]) || says("TERM", &["direct"]) {
            Depth::True
        } else if says("TERM", &["256color"]) {
            Depth::Indexed
        } else {
            Depth::Basic
        };
        Self::new(depth)
    }

    fn colored(self, color: Color) -> Style {
        if self.depth == Depth::None { Style::new() } else { Style::new().fg(color) }
    }

    #[allow(clippy::unused_self, reason = "every role is asked of the theme in the same way")]
    pub(crate) fn text(self) -> Style {
        Style::new().fg(Color::Reset)
    }

    pub(crate) fn strong(self) -> Style {
        self.text().add_modifier(Modifier::BOLD)
    }

    /// Secondary words, frames, line numbers.
    pub(crate) fn quiet(self) -> Style {
        match self.depth {
            Depth::None => Style::new().add_modifier(Modifier::DIM),
            Depth::Basic => Style::new().fg(Color::DarkGray),
            Depth::Indexed | Depth::True => Style::new().fg(Color::Indexed(244)),
        }
    }

    /// Frames of what is not chosen: fainter than words.
    pub(crate) fn frame(self) -> Style {
        match self.depth {
            Depth::None | Depth::Basic => self.quiet(),
            Depth::Indexed | Depth::True => Style::new().fg(Color::Indexed(240)),
        }
    }

    pub(crate) fn accent(self) -> Style {
        self.colored(Color::Cyan)
    }

    pub(crate) fn chosen(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD)
    }

    /// A word that must be seen as a chip: who holds the keyboard, where typed text goes.
    pub(crate) fn chip(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    pub(crate) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(crate) fn caution(self) -> Style {
        self.colored(Color::Yellow)
    }

    pub(crate) fn bad(self) -> Style {
        self.colored(Color::Red)
    }

    pub(crate) fn alarm(self) -> Style {
        self.bad().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// A part of source text, over the style of its line. Comments and strings read as such
    /// without colour, too; the rest is for those who have it.
    pub(crate) fn source(self, tone: Tone, line: Style) -> Style {
        match (tone, self.depth) {
            (Tone::Comment, Depth::None) => line.add_modifier(Modifier::ITALIC),
            (Tone::Plain, _) | (_, Depth::None) => line,
            (Tone::Comment, _) => line.patch(self.quiet()).add_modifier(Modifier::ITALIC),
            (Tone::Text, _) => line.fg(Color::Yellow),
            (Tone::Number, _) => line.fg(Color::Cyan),
            (Tone::Keyword, _) => line.fg(Color::Magenta),
            // The palette's blue is too dark to read on many a black background.
            (Tone::Name, Depth::Basic) => line.fg(Color::Blue),
            (Tone::Name, _) => line.fg(Color::Indexed(68)),
        }
    }

    /// The words that make a line differ.
    #[allow(clippy::unused_self, reason = "every role is asked of the theme in the same way")]
    pub(crate) fn emphasis(self, line: Style) -> Style {
        line.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    pub(crate) fn found(self) -> Style {
        self.caution().add_modifier(Modifier::REVERSED)
    }

    /// A cell of a session in the colours its program asked for, as far as the terminal has them.
    pub(crate) fn cell(self, style: screen::Style) -> Style {
        let mut drawn = Style::new();
        if self.depth != Depth::None {
            drawn.fg = self.color(style.foreground);
            drawn.bg = self.color(style.background);
        }
        for (bit, modifier) in [
            (Attributes::BOLD, Modifier::BOLD),
            (Attributes::DIM, Modifier::DIM),
            (Attributes::ITALIC, Modifier::ITALIC),
            (Attributes::UNDERLINE, Modifier::UNDERLINED),
            (Attributes::INVERSE, Modifier::REVERSED),
            (Attributes::HIDDEN, Modifier::HIDDEN),
            (Attributes::STRIKETHROUGH, Modifier::CROSSED_OUT),
        ] {
            if style.attributes.has(bit) {
                drawn = drawn.add_modifier(modifier);
            }
        }
        if style.link.is_some() {
            drawn = drawn.add_modifier(Modifier::UNDERLINED);
        }
        drawn
    }

    fn color(self, color: screen::Color) -> Option<Color> {
        let indexed = match color {
            screen::Color::Default => return None,
            screen::Color::Rgb(r, g, b) if self.depth == Depth::True => {
                return Some(Color::Rgb(r, g, b));
            }
            screen::Color::Rgb(r, g, b) => nearest_indexed(r, g, b),
            screen::Color::Indexed(index) => index,
        };
        Some(Color::Indexed(if self.depth == Depth::Basic { basic(indexed) } else { indexed }))
    }
}

/// The nearest of the 6×6×6 cube and the grey ramp.
fn nearest_indexed(r: u8, g: u8, b: u8) -> u8 {
    let spread = r.max(g).max(b) - r.min(g).min(b);
    if spread < 12 {
        let grey = (u16::from(r) + u16::from(g) + u16::from(b)) / 3;
        return match grey {
            0..=4 => 16,
            247.. => 231,
            _ => 232 + ((grey.saturating_sub(3)) / 10).min(23) as u8,
        };
    }
    // Steps of the cube are 0, 95, 135, 175, 215 and 255.
    let step = |value: u8| if value < 48 { 0 } else { ((u16::from(value) - 35) / 40) as u8 };
    16 + 36 * step(r) + 6 * step(g) + step(b)
}

/// One of sixteen for one of 256.
fn basic(index: u8) -> u8 {
    let channels = match index {
        0..=15 => return index,
        232..=255 => [8 + 10 * (u16::from(index) - 232); 3],
        _ => {
            let cube = u16::from(index) - 16;
            [cube / 36, cube / 6 % 6, cube % 6]
                .map(|step| if step == 0 { 0 } else { 55 + 40 * step })
        }
    };
    let brightest = channels.into_iter().max().unwrap_or(0);
    if brightest < 64 {
        return 0;
    }
    let hue =
        (0..3).filter(|bit| channels[*bit] * 3 > brightest * 2).map(|bit| 1 << bit).sum::<u8>();
    match (hue, brightest) {
        (7, ..=150) => 8,
        (_, 200..) => hue + 8,
        _ => hue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(pairs: &[(&str, &str)]) -> Depth {
        let find = |name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Theme::detect(find).depth
    }

    #[test]
    fn the_terminal_says_how_many_colours_it_has() {
        assert_eq!(detected(&[("TERM", "xterm")]), Depth::Basic);
        assert_eq!(detected(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(detected(&[("TERM", "tmux-256color"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(detected(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), Depth::None);
        assert_eq!(detected(&[("TERM", "xterm"), ("NO_COLOR", "")]), Depth::Basic);
    }

    #[test]
    fn without_colour_no_role_and_no_session_has_any() {
        let theme = Theme::new(Depth::None);
        let loud = screen::Style {
            foreground: screen::Color::Rgb(1, 2, 3),
            background: screen::Color::Indexed(4),
            attributes: Attributes(Attributes::BOLD),
            link: None,
        };
        for style in [
            theme.quiet(),
            theme.frame(),
            theme.accent(),
            theme.good(),
            theme.alarm(),
            theme.found(),
            theme.cell(loud),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn colours_are_brought_down_to_what_the_terminal_has() {
        let red = screen::Style { foreground: screen::Color::Rgb(255, 0, 0), ..Default::default() };
        assert_eq!(Theme::new(Depth::True).cell(red).fg, Some(Color::Rgb(255, 0, 0)));
        assert_eq!(Theme::new(Depth::Indexed).cell(red).fg, Some(Color::Indexed(196)));
        assert_eq!(Theme::new(Depth::Basic).cell(red).fg, Some(Color::Indexed(9)));
    }
}

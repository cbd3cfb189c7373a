//! Settings that a program can ask for by name (DECRQSS, VT510 manual): style, region, cursor.
//! Programs learn from the style whether the colours they set are kept as they are.

use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{Color, CursorShape, NamedColor};

use super::terminal::Terminal;

const STYLES: [(Flags, &str); 11] = [
    (Flags::BOLD, "1"),
    (Flags::DIM, "2"),
    (Flags::ITALIC, "3"),
    (Flags::UNDERLINE, "4"),
    (Flags::DOUBLE_UNDERLINE, "4:2"),
    (Flags::UNDERCURL, "4:3"),
    (Flags::DOTTED_UNDERLINE, "4:4"),
    (Flags::DASHED_UNDERLINE, "4:5"),
    (Flags::INVERSE, "7"),
    (Flags::HIDDEN, "8"),
    (Flags::STRIKEOUT, "9"),
];

impl Terminal {
    /// The sequence that would set what a setting is now, without its beginning; `None` for
    /// settings that are not told.
    pub(super) fn setting(&self, name: &[u8]) -> Option<String> {
        match name {
            b"m" => Some(format!("{}m", self.style_parameters())),
            b"r" => Some(format!("{};{}r", self.region.0 + 1, self.region.1)),
            b" q" => Some(format!("{} q", self.cursor_shape())),
            _ => None,
        }
    }

    /// The cursor's shape as DECSCUSR numbers it.
    pub(super) fn cursor_shape(&self) -> u8 {
        let style = self.term.cursor_style();
        let shape = match style.shape {
            CursorShape::Underline => 4,
            CursorShape::Beam => 6,
            _ => 2,
        };
        if style.blinking { shape - 1 } else { shape }
    }

    fn style_parameters(&self) -> String {
        let template = &self.term.grid().cursor.template;
        let mut parameters = String::from("0");
        let mut add = |parameter: &str| {
            parameters.push(';');
            parameters.push_str(parameter);
        };
        for (flag, parameter) in STYLES {
            if template.flags.contains(flag) {
                add(parameter);
            }
        }
        for (color, base) in [(template.fg, 30), (template.bg, 40)] {
            if let Some(parameter) = color_parameter(color, base) {
                add(&parameter);
            }
        }
        parameters
    }
}

/// How a colour is set, `base` being the number of the first one; `None` for the default.
fn color_parameter(color: Color, base: u8) -> Option<String> {
    let extended = base + 8;
    match color {
        Color::Named(NamedColor::Foreground | NamedColor::Background) => None,
        Color::Named(named) => match named as usize {
            index @ 0..8 => Some(format!("{}", usize::from(base) + index)),
            index @ 8..16 => Some(format!("{}", usize::from(base) + 60 + index - 8)),
            _ => None,
        },
        Color::Indexed(index) => Some(format!("{extended}:5:{index}")),
        Color::Spec(rgb) => Some(format!("{extended}:2::{}:{}:{}", rgb.r, rgb.g, rgb.b)),
    }
}

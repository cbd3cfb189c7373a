//! Reads the commonest control sequence, that which sets colours and attributes.
//!
//! Only plain parameters are read here; those with sub-parameters are left to the grid's parser.

use alacritty_terminal::vte::ansi::{Attr, Color, Handler, NamedColor, Rgb};

use super::terminal::Terminal;

const NAMED: [NamedColor; 16] = [
    NamedColor::Black,
    NamedColor::Red,
    NamedColor::Green,
    NamedColor::Yellow,
    NamedColor::Blue,
    NamedColor::Magenta,
    NamedColor::Cyan,
    NamedColor::White,
    NamedColor::BrightBlack,
    NamedColor::BrightRed,
    NamedColor::BrightGreen,
    NamedColor::BrightYellow,
    NamedColor::BrightBlue,
    NamedColor::BrightMagenta,
    NamedColor::BrightCyan,
    NamedColor::BrightWhite,
];

impl Terminal {
    /// Sets colours and attributes from numbers with semicolons between them.
    pub(super) fn style(&mut self, mut numbers: impl Iterator<Item = u16>) {
        while let Some(number) = numbers.next() {
            let attribute = match number {
                38 => color(&mut numbers).map(Attr::Foreground),
                48 => color(&mut numbers).map(Attr::Background),
                58 => color(&mut numbers).map(|color| Attr::UnderlineColor(Some(color))),
                _ => attribute(number),
            };
            if let Some(attribute) = attribute {
                self.term.terminal_attribute(attribute);
            }
        }
    }
}

fn attribute(number: u16) -> Option<Attr> {
    let named = |offset: u16| Color::Named(NAMED[usize::from(number - offset)]);
    Some(match number {
        0 => Attr::Reset,
        1 => Attr::Bold,
        2 => Attr::Dim,
        3 => Attr::Italic,
        4 => Attr::Underline,
        7 => Attr::Reverse,
        8 => Attr::Hidden,
        9 => Attr::Strike,
        21 => Attr::DoubleUnderline,
        22 => Attr::CancelBoldDim,
        23 => Attr::CancelItalic,
        24 => Attr::CancelUnderline,
        27 => Attr::CancelReverse,
        28 => Attr::CancelHidden,
        29 => Attr::CancelStrike,
        30..=37 => Attr::Foreground(named(30)),
        39 => Attr::Foreground(Color::Named(NamedColor::Foreground)),
        40..=47 => Attr::Background(named(40)),
        49 => Attr::Background(Color::Named(NamedColor::Background)),
        59 => Attr::UnderlineColor(None),
        90..=97 => Attr::Foreground(named(82)),
        100..=107 => Attr::Background(named(92)),
        _ => return None,
    })
}

fn color(numbers: &mut impl Iterator<Item = u16>) -> Option<Color> {
    let mut byte = || u8::try_from(numbers.next()?).ok();
    match byte()? {
        2 => Some(Color::Spec(Rgb { r: byte()?, g: byte()?, b: byte()? })),
        5 => Some(Color::Indexed(byte()?)),
        _ => None,
    }
}

//! Pictures of the views and what the app does, against a made-up deck. Nothing waits here: the
//! clock is a number.

mod checking;
mod comments;
mod compare;
mod compare_take;
mod copy;
mod denied;
mod diff;
mod gone;
mod grid;
mod help;
mod history;
mod hostile;
mod inspect;
mod live;
mod meanwhile;
mod new;
mod notices;
mod offer;
mod paste;
mod prompting;
mod review;
mod sample;
mod search;
mod status;
mod taking;
mod update;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::app::{App, Effect, Happening, Tag};
use super::view;
use crate::model::id::Timestamp;
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::screen::Size;
use crate::proto::{Reply, Request};

/// The sizes every view is looked at in.
const TINY: Size = Size { columns: 20, rows: 5 };
const SMALL: Size = Size { columns: 80, rows: 24 };
const MIDDLE: Size = Size { columns: 120, rows: 40 };
const LARGE: Size = Size { columns: 200, rows: 60 };

/// Seconds pass by being added to this.
const NOW: Timestamp = Timestamp(1_000_000_000);
/// Keys that were on their way at one of these have arrived at the next.
const BEFORE: Timestamp = Timestamp(NOW.0 - 1000);
const LATER: Timestamp = Timestamp(NOW.0 + 1000);

fn buffer(app: &App) -> Buffer {
    let area = Rect::new(0, 0, app.size.columns, app.size.rows);
    let mut buffer = Buffer::empty(area);
    view::draw(app, area, &mut buffer);
    buffer
}

/// The frame as text. Set `AGENTDECK_PICTURES` to a directory to get it with its colours as well.
fn picture(app: &App) -> String {
    let buffer = buffer(app);
    if let Some(directory) = std::env::var_os("AGENTDECK_PICTURES") {
        let name = std::thread::current().name().unwrap_or("frame").replace("::", "-");
        let Size { columns, rows } = app.size;
        let path = std::path::Path::new(&directory).join(format!("{name}-{columns}x{rows}.ansi"));
        std::fs::write(path, sample::ansi(&buffer)).expect("the directory can be written");
    }
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let row: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn key(code: KeyCode) -> Happening {
    Happening::Input(Input::Key(Key { code, modifiers: Modifiers(0) }))
}

fn control(character: char) -> Happening {
    let modifiers = Modifiers(Modifiers::CONTROL);
    Happening::Input(Input::Key(Key { code: KeyCode::Char(character), modifiers }))
}

/// Types characters one after the other and returns what is to be done.
fn type_keys(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|character| app.happen(key(KeyCode::Char(character)), app.now)).collect()
}

/// Answers the request that opened the view on top.
fn answer(app: &mut App, reply: Reply) {
    let ticket = app.views.last().expect("a view is open").ticket();
    app.happen(Happening::Reply(Tag::View(ticket), Ok(reply)), app.now);
}

fn requests(effects: Vec<Effect>) -> Vec<Request> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send(request, _) => Some(request),
            Effect::Leave
            | Effect::RestartServer
            | Effect::Export { .. }
            | Effect::Copy(_)
            | Effect::Open(_)
            | Effect::Notify(_) => None,
        })
        .collect()
}

//! What is seen: pure functions of the app and an area.

mod chrome;
mod comments;
mod compare;
mod copy;
mod denied;
mod diff;
mod file;
mod help;
mod history;
mod inspect;
mod list;
mod map;
mod new;
mod offer;
mod pane;
mod panel;
mod paste;
mod prompting;
mod snapshots;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::app::{App, Overlay, View};
use super::layout;

pub(super) use chrome::{broken, wrap};
pub(super) use denied::place_width;
pub(super) use diff::comment_columns;
pub(super) use file::columns_shown;
pub(crate) use history::Timeline;
pub(crate) use list::row_at as list_row;
pub(crate) use map::map_details;
pub(crate) use pane::crop;

/// Rows of a diff view that are not its text: header, footer, frame.
pub(crate) const DIFF_CHROME: u16 = 4;
/// Rows of the matrix of a comparison that are not its files: header, footer, frame, titles, totals.
pub(crate) const COMPARE_CHROME: u16 = 6;
/// Rows of a list view that are not its rows: header, footer, frame, column titles.
pub(crate) const LIST_CHROME: u16 = 5;

/// Draws everything and returns where the cursor goes, if it is shown.
pub(crate) fn draw(app: &App, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let (header, body, footer) = layout::frame(app.size);
    let clip = |part: Rect| part.intersection(area);
    chrome::header(app, clip(header), buffer);
    let body = clip(body);
    let mut cursor = None;
    match app.views.last() {
        None => cursor = deck(app, body, buffer),
        Some(View::Diff(view)) => cursor = diff::draw(app, view, body, buffer),
        Some(View::Compare(view)) => cursor = compare::draw(app, view, body, buffer),
        Some(View::File(view)) => cursor = file::draw(app, view, body, buffer),
        Some(View::History(view)) => history::draw(app, view, body, buffer),
        Some(View::Inspect(view)) => inspect::draw(app, view, body, buffer),
        Some(View::Denied(view)) => denied::draw(app, view, body, buffer),
        Some(View::Map(view)) => map::draw(app, view, body, buffer),
        Some(View::Prompts(view)) => prompting::list(app, view, body, buffer),
    }
    chrome::footer(app, clip(footer), buffer);
    chrome::message(app, body, buffer);
    if let Some(overlay) = &app.overlay {
        cursor = match overlay {
            Overlay::Help(filter) => help::help(app, filter, body, buffer),
            Overlay::Palette(filter) => help::palette(app, filter, body, buffer),
            Overlay::Confirm(confirm) => {
                panel::confirm(app, confirm, body, buffer);
                None
            }
            Overlay::Lacking(lacking) => {
                panel::lacking(app, lacking, body, buffer);
                None
            }
            Overlay::Paste(question) => {
                paste::draw(app, question, body, buffer);
                None
            }
            Overlay::Offer(offer) => {
                offer::draw(app, offer, body, buffer);
                None
            }
            Overlay::Merge(form) => panel::merge(app, form, body, buffer),
            Overlay::Name(form) => panel::name(app, form, body, buffer),
            Overlay::New(form) => new::draw(app, form, body, buffer),
            Overlay::Comment(form) => comments::comment(app, form, body, buffer),
            Overlay::Prompt(form) => prompting::form(app, form, body, buffer),
            Overlay::Comments(list) => {
                comments::list(app, list, body, buffer);
                None
            }
            Overlay::Message(form) => comments::message(app, form, body, buffer),
        };
    }
    cursor.filter(|position| area.contains(*position))
}

fn deck(app: &App, body: Rect, buffer: &mut Buffer) -> Option<Position> {
    if app.environments.is_empty() {
        panel::welcome(app, body, buffer);
        return None;
    }
    let layout = app.layout();
    if let Some(area) = layout.list {
        list::draw(app, area.intersection(body), buffer);
    }
    let mut cursor = None;
    for tile in &layout.tiles {
        if let Some(environment) = app.environments.get(tile.index) {
            cursor = cursor.or(pane::draw(app, environment, tile, buffer));
        }
    }
    cursor
}

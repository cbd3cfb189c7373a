//! The map: environments as lines that leave their base over time, and how they fit together.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::super::app::{App, MapView, map_page};
use super::super::status;
use super::super::widget::{Frame, fit, foreign, inside, put};
use super::diff::fit_path;
use super::list::tone;
use crate::model::environment::Environment;
use crate::model::id::Timestamp;
use crate::model::prediction::{Fit, Prediction, Sibling};
use crate::model::snapshot::Divergence;

/// Columns of a name in the list.
const NAME: usize = 18;
/// A line shorter than this shows nothing of time.
const SHORTEST: u16 = 12;
/// A longer line says no more.
const LONGEST: u16 = 80;
/// Columns of one pair in the table of who fits with whom.
const PAIR: u16 = 3;
/// Columns of the words for those that do not fit, where there is no room for the table.
const WORDS: u16 = 14;
/// Columns of the counts of commits ahead and behind, blanks before them included.
const AHEAD: u16 = 14;
/// Lower places have no room for details.
const DETAILS_FROM: u16 = 12;
const DETAILS: u16 = 7;

/// Rows below the lines that tell of the chosen one.
pub(crate) fn map_details(body: u16) -> u16 {
    if body >= DETAILS_FROM { DETAILS.min(body / 2) } else { 0 }
}

/// Where the parts of a row stand: each is as wide as its widest, so that numbers are in columns.
struct Columns {
    lane: u16,
    added: usize,
    removed: usize,
    /// How the work fits into the branch.
    branch: usize,
    /// Whether there is room for a column for each environment.
    pairs: bool,
}

impl Columns {
    fn of(app: &App, branch: &str, width: u16) -> Self {
        let widest = |number: fn(&Environment) -> u64| {
            app.environments.iter().map(|found| number(found).to_string().len() + 1).max()
        };
        let added = widest(|found| found.divergence.change.added).unwrap_or(0).max(2);
        let removed = widest(|found| found.divergence.change.removed).unwrap_or(0).max(2);
        let branch = (branch.width() + 2).clamp("clean".len(), NAME);
        let fixed = NAME + 2 + 1 + added + 1 + removed + 2 + branch + 2;
        let room = width.saturating_sub(fixed as u16 + AHEAD);
        let table = app.environments.len() as u16 * PAIR;
        let pairs = table <= room;
        let lane = room.saturating_sub(if pairs { table } else { WORDS } + 1).min(LONGEST);
        Self { lane: if lane < SHORTEST { 0 } else { lane }, added, removed, branch, pairs }
    }
}

pub(super) fn draw(app: &App, view: &MapView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let branch = app.repository.as_ref().and_then(|state| state.branch.clone());
    let branch = branch.map_or_else(|| "HEAD".to_owned(), |name| foreign(&name));
    let title = Line::styled(format!(" Map · {branch} "), theme.strong());
    let mut frame = Frame::new(theme.frame(), title);
    let columns = Columns::of(app, &branch, inside(area).width);
    if columns.pairs && app.environments.len() > 1 {
        frame.bottom = legend(app);
    }
    let inner = frame.draw(buffer, area);
    if inner.height < 2 {
        return;
    }
    if app.environments.is_empty() {
        let words = "  no environments yet; n in the deck makes one";
        put(buffer, inner, Line::styled(words, theme.quiet()));
        return;
    }
    let oldest = app.environments.iter().map(|found| found.created).min().unwrap_or(app.now);
    let head = head(app, &columns, &branch, view.place.row);
    put(buffer, Rect { height: 1, ..inner }, head);
    let page = map_page(app.size).min(usize::from(inner.height - 1));
    let rows = app.environments.iter().enumerate().skip(view.place.top).take(page);
    let list = Rect { y: inner.y + 1, height: page as u16, ..inner };
    for ((index, environment), y) in rows.zip(list.y..list.bottom()) {
        let place = Rect { y, height: 1, ..inner };
        let chosen = index == view.place.row;
        let line = line(app, environment, (index, chosen), (&columns, oldest, &branch));
        put(buffer, place, line);
    }
    let below =
        Rect { y: list.bottom(), height: inner.bottom().saturating_sub(list.bottom()), ..inner };
    if let Some(environment) = app.environments.get(view.place.row).filter(|_| below.height > 1) {
        details(app, environment, &branch, below, buffer);
    }
}

fn legend(app: &App) -> Line<'static> {
    let theme = app.settings.theme;
    Line::from(vec![
        Span::styled(" ≠", theme.caution()),
        Span::styled(" conflict  ", theme.quiet()),
        Span::styled("+", theme.good()),
        Span::styled(" files in common, fits  ", theme.quiet()),
        Span::styled("·", theme.quiet()),
        Span::styled(" nothing in common ", theme.quiet()),
    ])
}

/// The branch as the line that all others leave, and what stands in the columns beside it.
fn head(app: &App, columns: &Columns, branch: &str, chosen: usize) -> Line<'static> {
    let theme = app.settings.theme;
    let mut spans = vec![
        Span::styled(format!("  {:NAME$}", fit(branch, NAME - 1)), theme.strong()),
        Span::styled("━".repeat(usize::from(columns.lane)), theme.frame()),
    ];
    let change = columns.added + columns.removed + 2;
    let into = fit("into", columns.branch);
    let words = format!(
        "{:>change$}  {:>5}{:>7}  {into:<width$}  ",
        "lines",
        "ahead",
        "behind",
        width = columns.branch
    );
    spans.push(Span::styled(words, theme.quiet()));
    if !columns.pairs {
        spans.push(Span::styled("not with", theme.quiet()));
        return Line::from(spans);
    }
    for index in 0..app.environments.len() {
        let tone = if index == chosen { theme.chosen() } else { theme.quiet() };
        spans.push(Span::styled(format!("{:<1$}", index + 1, usize::from(PAIR)), tone));
    }
    Line::from(spans)
}

/// ` ▌1 brave-otter   ╰─────●──  +41 −7    2     3  clean  ·  +  ≠  `
fn line(
    app: &App,
    environment: &Environment,
    (index, chosen): (usize, bool),
    (columns, oldest, branch): (&Columns, Timestamp, &str),
) -> Line<'static> {
    let theme = app.settings.theme;
    let reading = status::read(environment);
    let marked = if app.marked.contains(&environment.id) { "◆" } else { "" };
    let name = format!("{} {}{marked}", index + 1, environment.name);
    let mut spans = vec![
        Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
        Span::styled(reading.status.glyph(), tone(theme, reading.status)),
        Span::styled(
            format!(" {:width$}", fit(&name, NAME - 2), width = NAME - 1),
            if chosen { theme.chosen() } else { theme.text() },
        ),
    ];
    if columns.lane > 0 {
        spans.push(Span::styled(lane(app, environment, columns.lane, oldest), theme.accent()));
    }
    let Divergence { change, ahead, behind } = environment.divergence;
    let number = |sign: char, lines: u64| match lines {
        0 => String::new(),
        lines => format!("{sign}{lines}"),
    };
    let (added, removed) = (number('+', change.added), number('−', change.removed));
    let into = match environment.prediction.as_ref() {
        _ if change.files == 0 => ("–".to_owned(), theme.quiet()),
        None => ("…".to_owned(), theme.quiet()),
        Some(prediction) => match &prediction.branch {
            None => ("?".to_owned(), theme.quiet()),
            Some(found) if found.conflicts() => {
                (fit(&format!("✗ {branch}"), columns.branch), theme.caution())
            }
            Some(_) => ("clean".to_owned(), theme.good()),
        },
    };
    spans.extend([
        Span::styled(format!(" {added:>width$}", width = columns.added), theme.good()),
        Span::styled(format!(" {removed:>width$}", width = columns.removed), theme.bad()),
        Span::styled(format!("  {ahead:>5}{behind:>7}  "), theme.quiet()),
        Span::styled(format!("{:<width$}  ", into.0, width = columns.branch), into.1),
    ]);
    if columns.pairs {
        spans.extend(pairs(app, environment));
    } else if let Some(prediction) = &environment.prediction {
        let numbers: Vec<String> = conflicting(app, prediction).collect();
        spans.push(Span::styled(fit_list(&numbers, usize::from(WORDS)), theme.caution()));
    }
    Line::from(spans)
}

/// From when it was made to its last snapshot, on the scale of the oldest one.
fn lane(app: &App, environment: &Environment, width: u16, oldest: Timestamp) -> String {
    let at = |moment: Timestamp| {
        let whole = app.now.0.saturating_sub(oldest.0).max(1);
        let part = moment.0.saturating_sub(oldest.0).min(whole);
        (part * u64::from(width - 1) / whole) as usize
    };
    let start = at(environment.created);
    let last = at(environment.last_snapshot.unwrap_or(environment.created)).max(start);
    let mut text: String = " ".repeat(start);
    for column in start..usize::from(width) {
        text.push(match column {
            _ if column == start => '╰',
            _ if column == last && environment.divergence.change.files > 0 => '●',
            _ if column < last => '─',
            _ => '┄',
        });
    }
    text
}

/// A sign for each environment: how the work of both fits together.
fn pairs(app: &App, environment: &Environment) -> Vec<Span<'static>> {
    let theme = app.settings.theme;
    let known = environment.prediction.as_ref().map_or(&[][..], |found| &found.siblings);
    let changed = |environment: &Environment| environment.divergence.change.files > 0;
    let sign = |other: &Environment| {
        let sibling = known.iter().find(|sibling| sibling.environment == other.id);
        match sibling.and_then(|sibling| sibling.fit.as_ref()) {
            _ if other.id == environment.id => (" ", theme.quiet()),
            Some(fit) if fit.conflicts() => ("≠", theme.caution()),
            Some(fit) if fit.overlap > 0 => ("+", theme.good()),
            None if changed(environment) && changed(other) => ("?", theme.quiet()),
            _ => ("·", theme.quiet()),
        }
    };
    let signs = app.environments.iter().map(sign);
    let width = usize::from(PAIR);
    signs.map(|(sign, tone)| Span::styled(format!("{sign:<width$}"), tone)).collect()
}

/// As many whole words as there is room for, and how many more there are.
fn fit_list(words: &[String], width: usize) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let left = words.len() - index - 1;
        let more = if left == 0 { 0 } else { format!(", +{left}").len() };
        if index > 0 && text.width() + comma.len() + word.width() + more > width {
            return format!("{text}, +{}", left + 1);
        }
        text.push_str(comma);
        text.push_str(word);
    }
    text
}

/// What would come of a merge, in words, and whether it is clean.
pub(super) fn fit_words(app: &App, environment: &Environment) -> Option<(String, bool)> {
    let prediction = environment.prediction.as_ref()?;
    if environment.divergence.change.files == 0 {
        return None;
    }
    let branch = app.repository.as_ref().and_then(|state| state.branch.as_deref());
    let branch = branch.map_or_else(|| "your branch".to_owned(), foreign);
    match &prediction.branch {
        None => return Some((format!("? not known with {branch}"), false)),
        Some(fit) if fit.conflicts() => return Some((format!("✗ conflicts with {branch}"), false)),
        Some(_) => {}
    }
    let numbers: Vec<String> = conflicting(app, prediction).collect();
    if !numbers.is_empty() {
        return Some((format!("≠ conflicts with {}", numbers.join(", ")), false));
    }
    let unknown: Vec<String> =
        prediction.unknown().map(|sibling| number_of(app, sibling)).collect();
    if !unknown.is_empty() {
        return Some((format!("? not known with {}", unknown.join(", ")), false));
    }
    Some(("merges clean".to_owned(), true))
}

/// The numbers that siblings have on the screen.
fn conflicting<'a>(app: &'a App, prediction: &'a Prediction) -> impl Iterator<Item = String> + 'a {
    prediction.conflicting().map(|sibling| number_of(app, sibling))
}

fn number_of(app: &App, sibling: &Sibling) -> String {
    let index = app.environments.iter().position(|it| it.id == sibling.environment);
    index.map_or_else(|| sibling.name.to_string(), |index| (index + 1).to_string())
}

/// How the chosen one stands to the branch and to each sibling that it has a file in common with.
fn details(app: &App, environment: &Environment, branch: &str, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let rule = "─".repeat(usize::from(area.width));
    put(buffer, Rect { height: 1, ..area }, Line::styled(rule, theme.frame()));
    let mut lines: Vec<Line<'static>> = Vec::new();
    match &environment.prediction {
        None => lines.push(Line::styled("  not judged yet", theme.quiet())),
        Some(prediction) => {
            lines.extend(about(app, branch, prediction.branch.as_ref(), area.width));
            let mut siblings: Vec<_> = prediction.siblings.iter().collect();
            // What conflicts comes first, and what is not known before what fits.
            siblings.sort_by_key(|sibling| {
                let fit = sibling.fit.as_ref();
                std::cmp::Reverse(fit.map_or((0, u32::MAX), |fit| (fit.conflicts, fit.overlap)))
            });
            for sibling in siblings {
                let fit = sibling.fit.as_ref();
                lines.extend(about(app, sibling.name.as_str(), fit, area.width));
            }
            if lines.is_empty() {
                let words = "  has no changed file in common with your branch or with another";
                lines.push(Line::styled(words, theme.quiet()));
            }
        }
    }
    for (line, y) in lines.into_iter().zip(area.y + 1..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, line);
    }
}

fn about(app: &App, name: &str, fit: Option<&Fit>, width: u16) -> Option<Line<'static>> {
    let theme = app.settings.theme;
    let name = format!("  {:NAME$}", super::super::widget::fit(name, NAME - 1));
    let name = Span::styled(name, theme.strong());
    let Some(Fit { overlap, conflicts, paths }) = fit else {
        let words = Span::styled("? whether both fit cannot be found out", theme.quiet());
        return Some(Line::from(vec![name, words]));
    };
    if *overlap == 0 && *conflicts == 0 {
        return None;
    }
    let noun = if *overlap == 1 { "file" } else { "files" };
    let mut spans =
        vec![name, Span::styled(format!("{overlap:>3} {noun:<5} in common  "), theme.quiet())];
    if *conflicts == 0 {
        spans.push(Span::styled("+ fits", theme.good()));
        return Some(Line::from(spans));
    }
    spans.push(Span::styled(format!("≠ {conflicts} conflict  "), theme.caution()));
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used + 1);
    // The number of those left out has its place.
    let each = if paths.len() > 1 { room.saturating_sub(", +99".len()) } else { room };
    let paths: Vec<String> = paths.iter().map(|path| fit_path(&path.to_string(), each)).collect();
    spans.push(Span::styled(fit_list(&paths, room), theme.text()));
    Some(Line::from(spans))
}

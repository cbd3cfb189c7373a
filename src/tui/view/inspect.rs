//! Everything known of one environment.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, InspectView};
use super::super::status;
use super::super::theme::Theme;
use super::super::widget::{Frame, foreign, put};
use super::list::tone;
use crate::model::environment::{Environment, SessionState};
use crate::model::policy::show_bytes;
use crate::proto::Inspection;

/// Columns of the names at the left.
const NAMES: usize = 18;

pub(super) fn draw(app: &App, view: &InspectView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let title = format!(" {} · inspect ", app.name(&view.environment));
    let inner = Frame::new(theme.frame(), Line::styled(title, theme.strong())).draw(buffer, area);
    let Some(inspection) = &view.inspection else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return;
    };
    let lines = lines(theme, inspection);
    let most = lines.len().saturating_sub(usize::from(inner.height));
    for (line, y) in lines.into_iter().skip(view.top.min(most)).zip(inner.y..inner.bottom()) {
        put(buffer, Rect { y, height: 1, ..inner }, line);
    }
}

fn row(theme: Theme, name: &str, value: impl Into<String>) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {name:<NAMES$}"), theme.quiet()),
        Span::styled(value.into(), theme.text()),
    ])
}

fn lines(theme: Theme, inspection: &Inspection) -> Vec<Line<'static>> {
    let environment = &inspection.environment;
    let path = |path: &std::path::Path| foreign(&path.to_string_lossy());
    let mut lines = vec![
        row(theme, "id", environment.id.to_string()),
        row(theme, "state", status::read(environment).word),
        row(theme, "agent", foreign(&environment.agent)),
        row(theme, "command", foreign(&environment.command.join(" "))),
        row(theme, "engine", environment.engine.to_string()),
        row(
            theme,
            "image",
            environment
                .image
                .as_ref()
                .map_or_else(|| "none".to_owned(), |image| foreign(&image.to_string())),
        ),
        row(theme, "limits", environment.limits.to_string()),
        row(theme, "network", network(environment)),
        row(theme, "base", base(environment)),
        row(theme, "snapshots", environment.snapshots.to_string()),
        row(theme, "repository", path(&environment.repository)),
        row(theme, "workspace", path(&inspection.workspace)),
        row(theme, "state directory", path(&inspection.state_directory)),
        row(theme, "changes noticed by", foreign(&inspection.watch)),
    ];
    if let Some(usage) = &inspection.usage {
        let (memory, count) = (show_bytes(usage.memory), usage.processes);
        lines.push(row(theme, "uses", format!("{memory} in {count} processes")));
    }
    if let Some(trouble) = &environment.trouble {
        lines.push(row(theme, "trouble", foreign(trouble)));
    }
    if let Some(pid) = inspection.init_pid {
        lines.push(row(theme, "first process", pid.to_string()));
    }
    sessions(theme, environment, &mut lines);
    isolation(theme, environment, &mut lines);
    if !environment.notes.is_empty() {
        lines.extend([Line::default(), Line::styled(" Notes", theme.strong())]);
        lines.extend(
            environment.notes.iter().map(|note| Line::raw(format!(" · {}", foreign(note)))),
        );
    }
    lines
}

fn network(environment: &Environment) -> String {
    let policy = &environment.network;
    let allow: Vec<String> = policy.allow.iter().map(ToString::to_string).collect();
    if allow.is_empty() {
        policy.mode.to_string()
    } else {
        format!("{}, and {}", policy.mode, allow.join(" "))
    }
}

fn base(environment: &Environment) -> String {
    let branch =
        environment.base_branch.as_deref().map(|branch| format!(" of {}", foreign(branch)));
    format!("{}{}", environment.base.short(), branch.unwrap_or_default())
}

fn sessions(theme: Theme, environment: &Environment, lines: &mut Vec<Line<'static>>) {
    lines.extend([Line::default(), Line::styled(" Sessions", theme.strong())]);
    for session in &environment.sessions {
        let state = match &session.state {
            SessionState::Running => "running".to_owned(),
            SessionState::Exited { code, .. } => format!("exit {code}"),
            SessionState::Failed { message } => foreign(message),
        };
        let size = format!("{}×{}", session.size.columns, session.size.rows);
        let words = format!("{} · {state} · {size}", foreign(&session.command.join(" ")));
        lines.push(row(theme, &session.id.to_string(), words));
    }
}

/// What holds the box, as it was read back.
fn isolation(theme: Theme, environment: &Environment, lines: &mut Vec<Line<'static>>) {
    lines.extend([Line::default(), Line::styled(" Isolation", theme.strong())]);
    let Some(isolation) = &environment.isolation else {
        lines.push(Line::styled(" not read yet: the box does not run", theme.quiet()));
        return;
    };
    if let Some(warning) = status::warning(environment) {
        lines.push(Line::from(vec![
            Span::raw(" "),
            Span::styled(format!(" {warning} "), theme.alarm()),
        ]));
    }
    for fact in &isolation.facts {
        let mark = if fact.holds() { status::Status::Done } else { status::Status::Failed };
        lines.push(Line::from(vec![
            Span::styled(format!(" {} ", mark.glyph()), tone(theme, mark)),
            Span::styled(format!("{:<NAMES$}", foreign(&fact.name)), theme.text()),
            Span::styled(format!(" {}", foreign(&fact.evidence)), theme.quiet()),
        ]));
    }
}

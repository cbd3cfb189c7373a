//! Everything known of one environment.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, InspectView};
use super::super::status;
use super::super::theme::Theme;
use super::super::widget::{Frame, foreign, put};
use super::chrome::wrap;
use super::list::badge_span;
use crate::model::environment::{Environment, SessionState};
use crate::model::policy::{Aspect, Enforcement, IsolationFact, show_bytes};
use crate::proto::Inspection;

/// Columns of the names at the left.
const NAMES: usize = 20;

/// Columns of a fact's name; the longest with its brackets fits.
const FACTS: usize = 27;

pub(super) fn draw(app: &App, view: &InspectView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let title = format!(" {} · inspect ", app.name(&view.environment));
    let inner = Frame::new(theme.frame(), Line::styled(title, theme.strong())).draw(buffer, area);
    let Some(inspection) = &view.inspection else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return;
    };
    let lines = lines(theme, inspection, usize::from(inner.width));
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

fn lines(theme: Theme, inspection: &Inspection, width: usize) -> Vec<Line<'static>> {
    let environment = &inspection.environment;
    let path = |path: &std::path::Path| foreign(&path.to_string_lossy());
    let word = status::read(environment).word;
    let state = match environment.agent_status() {
        Some(told) => format!("{word}, {}", status::evidence(told)),
        None => word,
    };
    let mut lines = vec![
        row(theme, "id", environment.id.to_string()),
        row(theme, "state", state),
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
    if environment.resumed {
        lines.push(row(theme, "resumed", "the agent went on with its conversation"));
    }
    if let Some(task) = &environment.task {
        lines.push(row(theme, "task", foreign(task)));
    }
    if let Some(trouble) = environment.trouble_and_remedy() {
        lines.push(row(theme, "trouble", foreign(&trouble)));
    }
    if let Some(pid) = inspection.init_pid {
        lines.push(row(theme, "first process", pid.to_string()));
    }
    sessions(theme, environment, &mut lines);
    isolation(theme, environment, width, &mut lines);
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
    let since = environment.onto.as_ref().map(|it| format!(", {} merged since", it.short()));
    let (branch, since) = (branch.unwrap_or_default(), since.unwrap_or_default());
    format!("{}{branch}{since}", environment.base.short())
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

/// What holds the box, as it was read back, by the parts that isolation is made of.
fn isolation(
    theme: Theme,
    environment: &Environment,
    width: usize,
    lines: &mut Vec<Line<'static>>,
) {
    lines.extend([Line::default(), Line::styled(" Isolation", theme.strong())]);
    let (Some(isolation), Some(badge)) = (&environment.isolation, status::badge(environment))
    else {
        lines.push(Line::styled(" not read yet: the box does not run", theme.quiet()));
        return;
    };
    let word = if badge.word().is_empty() { " enforced" } else { "" };
    lines.push(Line::from(vec![
        Span::raw(" "),
        badge_span(theme, &badge, &badge.words()),
        Span::styled(word, theme.text()),
    ]));
    lines.push(Line::styled(" ▣ holds  ◧ in part  □ not  ( ) decides nothing", theme.quiet()));
    for aspect in Aspect::ALL {
        lines.push(Line::styled(format!(" {aspect}"), theme.accent()));
        for fact in isolation.facts.iter().filter(|fact| fact.aspect == aspect) {
            lines.extend(fact_lines(theme, fact, width));
        }
    }
}

/// One fact: its shape and name, where it was read beside them, and below what would mend it.
fn fact_lines(theme: Theme, fact: &IsolationFact, width: usize) -> Vec<Line<'static>> {
    let glyph = status::enforcement_glyph(fact.enforcement);
    let tone = match fact.enforcement {
        _ if !fact.counts => theme.quiet(),
        Enforcement::Enforced => theme.good(),
        Enforcement::Partial => theme.caution(),
        Enforcement::Off => theme.bad(),
    };
    let name = foreign(&fact.name);
    let name = if fact.counts { name } else { format!("({name})") };
    let room = width.saturating_sub(FACTS + 5);
    let mut rest = wrap(&foreign(&fact.evidence), room).into_iter();
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("  {glyph} "), tone),
        Span::styled(format!("{name:<FACTS$}"), theme.text()),
        Span::styled(rest.next().unwrap_or_default(), theme.quiet()),
    ])];
    let below = |text: String| format!("{:indent$}{text}", "", indent = FACTS + 4);
    lines.extend(rest.map(|text| Line::styled(below(text), theme.quiet())));
    if let Some(remedy) = fact.remedy.as_ref().filter(|_| !fact.holds()) {
        let wrapped = wrap(&format!("→ {}", foreign(remedy)), room);
        lines.extend(wrapped.into_iter().map(|text| Line::styled(below(text), theme.text())));
    }
    lines
}

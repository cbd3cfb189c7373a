//! The state of the list of refused requests: which one is chosen, and the key that opens it.

use crate::model::destination::{Denial, Host, HostPort, Named};
use crate::model::environment::Environment;
use crate::model::id::{EnvironmentId, Timestamp};
use crate::proto::{Request, Target};

use super::super::action::Action;
use super::super::view::{LIST_CHROME, place_width};
use super::{App, Tag, View, scrolled};

/// The list itself is the environment's, and grows while it is looked at.
#[derive(Debug)]
pub(crate) struct DeniedView {
    pub(crate) environment: EnvironmentId,
    pub(crate) ticket: u64,
    /// Place and reason of the chosen one: it stays chosen however the list moves, so that a key
    /// never opens what came under it in the last moment.
    chosen: Option<(String, String)>,
    /// What the key was pressed for once and has to be pressed for again.
    asked: Option<HostPort>,
}

impl DeniedView {
    pub(crate) fn new(environment: &Environment, ticket: u64) -> Self {
        let chosen = environment.denied.first().map(mark);
        Self { environment: environment.id.clone(), ticket, chosen, asked: None }
    }

    /// The chosen row, while it is there.
    pub(crate) fn row(&self, denied: &[Denial]) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        denied.iter().position(|denial| mark(denial) == *chosen)
    }

    /// The moment of the newest, whose age changes most often.
    pub(crate) fn newest(&self, app: &App) -> Option<Timestamp> {
        app.environment(&self.environment)?.denied.first().map(|denial| denial.last)
    }
}

fn mark(denial: &Denial) -> (String, String) {
    (denial.place.clone(), denial.reason.clone())
}

impl App {
    pub(super) fn open_denied(&mut self) {
        let ticket = self.ticket();
        let Some(environment) = self.selected_environment() else { return };
        let view = DeniedView::new(environment, ticket);
        self.views.push(View::Denied(view));
    }

    pub(super) fn act_on_denied(&mut self, action: Action) {
        let page = usize::from(self.size.rows.saturating_sub(LIST_CHROME)).max(1);
        let Some(View::Denied(view)) = self.views.last() else { return };
        let Some(environment) = self.environment(&view.environment) else { return };
        let denied = environment.denied.clone();
        let row = view.row(&denied);
        if action == Action::AllowDestination {
            return match row.and_then(|row| denied.get(row)) {
                Some(denial) => self.allow(denial),
                None => self.say("choose what to open first"),
            };
        }
        let next = match row {
            Some(row) => scrolled(row, action, page, denied.len()),
            None => 0,
        };
        if let Some(View::Denied(view)) = self.views.last_mut() {
            view.chosen = denied.get(next).map(mark);
            view.asked = None;
        }
    }

    fn allow(&mut self, denial: &Denial) {
        let Some(entry) = denial.opens.clone() else {
            return self.say(format!("no entry opens this: {}", denial.reason));
        };
        let width = place_width(self.size.columns);
        let long = denial.place.len().max(entry.to_string().len()) > width;
        let Some(View::Denied(view)) = self.views.last_mut() else { return };
        // What is the user's own and what the row does not show whole, is opened by a second
        // press, after it was said what it is.
        let own = match &entry.host {
            Named::ThisMachine => Some("a service of this machine"),
            Named::Exactly(Host::Address(_)) => Some("an address"),
            _ if long => Some("what this opens"),
            _ => None,
        };
        if let Some(what) = own
            && view.asked.as_ref() != Some(&entry)
        {
            view.asked = Some(entry.clone());
            return self.say_with_hint(format!("{entry} is {what}"), "the same key again opens it");
        }
        view.asked = None;
        let id = view.environment.clone();
        let name = self.name(&id);
        let target = Target::Id(id);
        let said = format!("{name} reaches {entry} from now on");
        self.send(Request::AllowDestination { target, entry }, Tag::Say(said));
    }
}

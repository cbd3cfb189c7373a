//! Which environments the deck shows, and in which order: as they were made, or who needs the user
//! first, with the others after them or left out.
//!
//! What is shown stands before what is not, so that a place in the deck is a place among all.

use super::App;
use crate::model::attention::Reason;
use crate::model::environment::Environment;
use crate::model::id::Timestamp;

/// What the deck shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Made,
    /// Who needs the user comes first, the longest wait before the others.
    Need,
    /// Those alone, and the one that is chosen: nothing goes from under the user's hands.
    NeedOnly,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Made => Self::Need,
            Self::Need => Self::NeedOnly,
            Self::NeedOnly => Self::Made,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Made => "all, as they were made",
            Self::Need => "who needs you comes first",
            Self::NeedOnly => "only who needs you",
        }
    }
}

impl App {
    pub(super) fn next_order(&mut self) {
        self.order = self.order.next();
        self.arrange();
        self.say(self.order.words());
    }

    /// Puts the environments into their order, where it goes by what happens.
    pub(super) fn keep_order(&mut self) {
        if self.order != Order::Made {
            self.arrange();
        }
    }

    pub(super) fn arrange(&mut self) {
        let before: Vec<_> = self.environments.iter().map(|found| found.id.clone()).collect();
        let (count, by_need) = (self.shown_count(), self.order != Order::Made);
        let mut environments = std::mem::take(&mut self.environments);
        environments.sort_by_cached_key(|environment| {
            let need = by_need.then(|| self.need(environment));
            (!self.passes(environment), need, environment.created, environment.id.clone())
        });
        self.environments = environments;
        let moved = self.environments.iter().zip(&before).any(|(now, id)| now.id != *id);
        self.dirty |= moved || count != self.shown_count();
    }

    /// The rank of what an environment needs, and since when.
    fn need(&self, environment: &Environment) -> (u8, Timestamp) {
        const CALM: u8 = Reason::Done as u8 + 2;
        match environment.calls(self.now) {
            Some(call) => (call.reason as u8, call.since),
            None if self.attention.contains(&environment.id) => (CALM - 1, Timestamp::default()),
            None => (CALM, Timestamp::default()),
        }
    }

    fn passes(&self, environment: &Environment) -> bool {
        self.order != Order::NeedOnly
            || self.needs_user(environment)
            || self.selected.as_ref() == Some(&environment.id)
    }

    /// How many environments the deck shows, of all the first.
    pub(crate) fn shown_count(&self) -> usize {
        match self.order {
            Order::Made | Order::Need => self.environments.len(),
            Order::NeedOnly => self.environments.iter().filter(|it| self.passes(it)).count(),
        }
    }
}

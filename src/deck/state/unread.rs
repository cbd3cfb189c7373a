//! Environments that are listed and that nothing is done with: their records cannot be read, and
//! must never be written over. None of them has a record here, so nothing that changes or removes
//! one comes to them.

use super::State;
use crate::deck::hub::in_scope;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::Target;

impl State {
    /// Lists an environment that cannot be taken up.
    pub fn set_aside(&mut self, view: Environment) {
        self.unread.insert(view.id.clone(), view);
    }

    /// Those that could not be taken up.
    pub fn unread(&self) -> impl Iterator<Item = &Environment> {
        self.unread.values()
    }

    /// Why nothing can be done with what a client means, if it is one of these. With `anywhere`,
    /// its name counts outside of its repository as well.
    pub(super) fn refused(&self, target: &Target, anywhere: bool) -> Option<Failure> {
        let meant = |view: &&Environment| match target {
            Target::Id(id) => view.id == *id,
            Target::Name { repository, name } => {
                let named = view.name.as_str() == name || view.id.as_str() == name;
                named && (anywhere || in_scope(view, repository.as_deref()))
            }
        };
        self.unread().find(meant).map(refusal)
    }
}

fn refusal(view: &Environment) -> Failure {
    let (reason, hint) = match &view.state {
        EnvironmentState::Failed { message, hint } => (message.as_str(), hint.clone()),
        _ => ("its record cannot be read", None),
    };
    let message = format!("nothing can be done with {}: {reason}", view.name);
    Failure { hint, ..Failure::new(FailureKind::Unavailable, message) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use crate::model::id::EnvironmentName;

    #[test]
    fn what_is_set_aside_keeps_its_name_and_is_refused_by_it() {
        let mut state = State::default();
        let mut view = record(1, "fox", "/shop").environment;
        view.state = EnvironmentState::Failed { message: "torn".into(), hint: None };
        let id = view.id.clone();
        state.set_aside(view);
        assert_eq!(state.unread().map(|it| &it.id).collect::<Vec<_>>(), [&id]);

        let fox = EnvironmentName::parse("fox").expect("a name");
        let taken = state.check_name("/shop".as_ref(), &fox).expect_err("taken");
        assert_eq!(taken.kind, FailureKind::AlreadyExists);
        assert_eq!(state.free_name("/shop".as_ref(), &fox).as_str(), "fox-2");
        state.check_name("/other".as_ref(), &fox).expect("another repository's name");

        let named = |repository: Option<&str>, name: &str| Target::Name {
            repository: repository.map(Into::into),
            name: name.to_owned(),
        };
        for target in [
            Target::Id(id.clone()),
            named(Some("/shop"), "fox"),
            named(Some("/elsewhere"), "fox"),
            named(None, id.as_str()),
        ] {
            let failure = state.resolve(&target).expect_err("refused");
            assert!(failure.message.contains("torn"), "{target:?}: {failure:?}");
        }
        // One that can be used goes before it, unless this one is in the repository at hand.
        state.insert(record(2, "fox", "/other"));
        assert!(state.resolve(&named(Some("/other/in"), "fox")).is_ok());
        assert!(state.resolve(&named(Some("/elsewhere"), "fox")).is_ok());
        state.resolve(&named(Some("/shop/in"), "fox")).expect_err("this one is meant");
    }
}

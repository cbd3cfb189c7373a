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

    /// The one of these that a client means, to be given up.
    pub fn resolve_unread(&self, target: &Target) -> Result<&Environment, Failure> {
        match self.resolve(target) {
            Ok(record) => {
                let name = &record.environment.name;
                let message = format!("the record of {name} can be read: it need not be given up");
                Err(Failure::new(FailureKind::Invalid, message)
                    .hint(format!("agentdeck discard {name}, which undo takes back")))
            }
            Err(failure) => match self.all_meant(target, true).collect::<Vec<_>>().as_slice() {
                // Names that mean nothing, or several that can be read, are told as ever.
                [] => Err(failure),
                _ if failure.kind != FailureKind::Unavailable => Err(failure),
                [view] => Ok(view),
                several => {
                    let ids: Vec<&str> = several.iter().map(|view| view.id.as_str()).collect();
                    let message = format!("several are of that name: {}", ids.join(", "));
                    Err(Failure::new(FailureKind::Invalid, message).hint("use the id"))
                }
            },
        }
    }

    /// Why nothing can be done with what a client means, if it is one of these. With `anywhere`,
    /// its name counts outside of its repository as well.
    pub(super) fn refused(&self, target: &Target, anywhere: bool) -> Option<Failure> {
        self.meant(target, anywhere).map(refusal)
    }

    fn meant(&self, target: &Target, anywhere: bool) -> Option<&Environment> {
        self.all_meant(target, anywhere).next()
    }

    fn all_meant(&self, target: &Target, anywhere: bool) -> impl Iterator<Item = &Environment> {
        let meant = move |view: &&Environment| match target {
            Target::Id(id) => view.id == *id,
            Target::Name { repository, name } => {
                let named = view.name.as_str() == name || view.id.as_str() == name;
                named && (anywhere || in_scope(view, repository.as_deref()))
            }
        };
        self.unread().filter(meant)
    }
}

fn refusal(view: &Environment) -> Failure {
    let (reason, hint) = match &view.state {
        EnvironmentState::Failed { message, hint } => (message.as_str(), hint.clone()),
        _ => ("its record cannot be read", None),
    };
    let message = format!("nothing can be done with {}: {reason}", view.name);
    let give_up = format!("or give it up: agentdeck discard --give-up {}", view.id);
    let hint = hint.map_or_else(|| give_up.clone(), |hint| format!("{hint}; {give_up}"));
    Failure::new(FailureKind::Unavailable, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::Effect;
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
        let given_up = state.resolve_unread(&Target::Id(id.clone())).expect("it can be given up");
        assert_eq!(given_up.id, id);
        // One that can be used goes before it, unless this one is in the repository at hand.
        state.insert(record(2, "fox", "/other"));
        assert!(state.resolve(&named(Some("/other/in"), "fox")).is_ok());
        assert!(state.resolve(&named(Some("/elsewhere"), "fox")).is_ok());
        state.resolve(&named(Some("/shop/in"), "fox")).expect_err("this one is meant");
        let whole = state.resolve_unread(&named(Some("/other"), "fox")).expect_err("it has one");
        assert!(whole.message.contains("can be read"), "{whole}");
        let unknown = state.resolve_unread(&named(None, "owl")).expect_err("no such thing");
        assert_eq!(unknown.kind, FailureKind::NotFound);
        assert_eq!(state.remove(&id), [Effect::Remove(id.clone())]);
        assert_eq!(state.unread().count(), 0);
    }
}

//! Which repository a person means by a path: the one around it, as git has it, unless the deck knows
//! a nearer one that is away. What was decided in the outer one is not what they speak of.

use std::path::{Path, PathBuf};

use super::keeping;
use super::shared::{Shared, canonical};
use super::trash;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::RepositoryId;
use crate::repo::UserRepository;

/// A repository that the deck knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub root: PathBuf,
    pub id: RepositoryId,
    /// Something that was discarded there can come back while it is away.
    pub discarded: bool,
}

/// The repository around a path; where it is away, the one that something was discarded of there.
/// Blocking.
pub(super) fn repository_at(shared: &Shared, path: &Path) -> Result<RepositoryId, Failure> {
    let path = canonical(path);
    let found = UserRepository::discover(&path);
    let around = found.as_ref().ok().map(|user| (user.root(), user.id()));
    let mut known = trash::known(shared);
    known.extend(live(shared, &path));
    match (nearest_away(known, around, &path), found) {
        (None, Ok(user)) => Ok(user.id().clone()),
        (None, Err(mut failure)) => {
            failure.hint = trash::hint_away(shared).or(failure.hint);
            Err(failure)
        }
        (Some(Known { id, discarded: true, .. }), _) => Ok(id),
        (Some(away), found) => Err(refused(&away.root, found.ok().as_ref())),
    }
}

/// The repositories of the deck's environments that lie around a path.
fn live(shared: &Shared, path: &Path) -> Vec<Known> {
    let mut views = shared.hub.views();
    views.retain(|view| path.starts_with(&view.repository));
    let known = |id| {
        let record = keeping::read(&shared.layout.environment(id)).ok().flatten()?;
        let (root, id) = (record.environment.repository, record.repository_id);
        Some(Known { root, id, discarded: false })
    };
    views.iter().filter_map(|view| known(&view.id)).collect()
}

/// The nearest of what is known that a path lies in, and that is not the repository around it nor
/// outside of that.
fn nearest_away(
    mut known: Vec<Known>,
    around: Option<(&Path, &RepositoryId)>,
    path: &Path,
) -> Option<Known> {
    known.retain(|known| {
        let is_inside = around.is_none_or(|(root, id)| {
            known.root.starts_with(root) && known.root != *root && known.id != *id
        });
        path.starts_with(&known.root) && is_inside
    });
    known.into_iter().max_by_key(|known| (known.root.components().count(), known.discarded))
}

fn refused(away: &Path, around: Option<&UserRepository>) -> Failure {
    let away = away.display();
    let Some(around) = around else {
        let message = format!("the repository {away} is away");
        return Failure::new(FailureKind::NotFound, message)
            .hint(format!("mount it, or bring it back to where it was: {away}"));
    };
    let root = around.root().display();
    let message = format!("the repository {away} is away; {root}, which is around it, is another");
    Failure::new(FailureKind::NotFound, message)
        .hint(format!("bring it back, or name the other one: agentdeck undo --repository {root}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(root: &str, id: &str, discarded: bool) -> Known {
        Known { root: root.into(), id: RepositoryId(id.to_owned()), discarded }
    }

    #[test]
    fn a_nearer_repository_that_is_away_is_never_passed_over_for_an_outer_one() {
        let outer = RepositoryId("outer".to_owned());
        let around = Some((Path::new("/outer"), &outer));
        let all = vec![
            known("/outer", "outer", true),
            known("/outer/shop", "shop", false),
            known("/outer/shop", "shop", true),
            known("/outer/shop/deep", "deep", false),
            known("/outer/worktree", "outer", false),
        ];
        let nearest = |around, path: &str| {
            nearest_away(all.clone(), around, Path::new(path)).map(|it| (it.root, it.discarded))
        };
        let shop = Some(("/outer/shop".into(), true));
        assert_eq!(nearest(around, "/outer/shop"), shop);
        assert_eq!(nearest(around, "/outer/shop/till"), shop);
        assert_eq!(nearest(around, "/outer/shop/deep"), Some(("/outer/shop/deep".into(), false)));
        assert_eq!(nearest(around, "/outer/shopping"), None);
        assert_eq!(nearest(around, "/outer/worktree"), None, "it has the same journal");
        assert_eq!(nearest(around, "/outer"), None);
        assert_eq!(nearest(None, "/outer/else"), Some(("/outer".into(), true)));
        let itself = RepositoryId("shop".to_owned());
        assert_eq!(nearest(Some((Path::new("/outer/shop"), &itself)), "/outer/shop/till"), None);
    }
}

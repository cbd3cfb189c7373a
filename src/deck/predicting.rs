//! Keeps everyone's prediction right: after each snapshot, and when the user's branch moves.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shared::{Shared, blocking};
use super::state::Report;
use super::taking::journal_directory;
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::prediction::Prediction;
use crate::repo::predict::{Contender, Predictor};
use crate::repo::taking::{self, Journal};
use crate::repo::{self, Store, UserRepository};

/// Between two looks at the user's branch, which costs the reading of two small files.
const LOOK: Duration = Duration::from_millis(600);
/// What could not be judged is left alone this long, unless a snapshot is taken.
const REST: Duration = Duration::from_secs(5);
/// Where single pairs cannot be judged, it is twice as long each time, up to this.
const REST_LIMIT: Duration = Duration::from_mins(5);
/// Snapshots of several environments often come together.
const GATHER: Duration = Duration::from_millis(50);
/// Environments of a repository that are compared with each other: pairs grow with the square.
/// The ones that changed last are.
const PAIRED: usize = 20;

/// What is known of one repository, and what it was found from.
#[derive(Default)]
struct Known {
    predictor: Arc<Mutex<Predictor>>,
    judged: Option<Judged>,
    user: Option<Arc<UserRepository>>,
    /// Until when it rests after a failure.
    rests: Option<Instant>,
    /// Set while something could not be judged although the rest could.
    unknown: Option<Unknown>,
}

/// What a judgement depends on.
#[derive(Clone, PartialEq, Eq)]
struct Judged {
    branch: CommitId,
    contenders: Vec<Contender>,
}

/// What came out for one environment.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    environment: EnvironmentId,
    /// `None` where the history cannot be read.
    behind: Option<u32>,
    prediction: Prediction,
}

impl Found {
    fn is_whole(&self) -> bool {
        let Prediction { branch, .. } = &self.prediction;
        self.behind.is_some() && branch.is_some() && self.prediction.unknown().next().is_none()
    }
}

/// What was told while not all could be judged, and when that is tried again.
struct Unknown {
    told: Vec<Found>,
    until: Instant,
    pause: Duration,
}

/// Judges until the server ends.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut known: HashMap<PathBuf, Known> = HashMap::new();
    loop {
        let moved = tokio::time::timeout(LOOK, shared.snapshots_moved.notified()).await.is_ok();
        if moved {
            tokio::time::sleep(GATHER).await;
        }
        let mut repositories: BTreeMap<PathBuf, Vec<Arc<Environment>>> = BTreeMap::new();
        for view in shared.hub.views() {
            if view.snapshots > 0 {
                repositories.entry(view.repository.clone()).or_default().push(view);
            }
        }
        known.retain(|repository, _| repositories.contains_key(repository));
        for (repository, views) in repositories {
            let entry = known.entry(repository.clone()).or_default();
            if !moved && entry.rests.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            match round(&shared, &repository, views, (entry, moved)).await {
                Ok(found) => {
                    entry.rests = None;
                    for Found { environment, behind, prediction } in found {
                        let prediction = Box::new(prediction);
                        let report = Report::Predicted { behind, prediction };
                        shared.report(&environment, report).await;
                    }
                }
                // The repository may be away, or in the middle of something of git's own.
                Err(failure) => {
                    entry.user = None;
                    entry.rests = Some(Instant::now() + REST);
                    tracing::debug!(repository = %repository.display(), "not judged: {failure}");
                }
            }
        }
    }
}

/// Judges a repository's environments, when one of them or the branch moved. Where no snapshot was
/// taken it is enough to look at the branch.
async fn round(
    shared: &Arc<Shared>,
    repository: &Path,
    mut views: Vec<Arc<Environment>>,
    (known, moved): (&mut Known, bool),
) -> Result<Vec<Found>, Failure> {
    let user = if let Some(user) = &known.user {
        user.clone()
    } else {
        let path = repository.to_owned();
        let opened = blocking(move || {
            let user = UserRepository::discover(&path)?;
            // One that is around the place where it was is another.
            let away = || Failure::new(FailureKind::NotFound, "the repository is away");
            if *user.root() == path { Ok(Arc::new(user)) } else { Err(away()) }
        });
        known.user.insert(opened.await?).clone()
    };
    views.sort_by_key(|view| std::cmp::Reverse(view.last_snapshot.or(Some(view.created))));
    let (task, judged) = (shared.clone(), known.judged.clone());
    let predictor = known.predictor.clone();
    let due = known.unknown.as_ref().is_some_and(|unknown| Instant::now() >= unknown.until);
    let again = moved || due;
    let outcome = blocking(move || {
        let (branch, _) = user.head()?;
        if !again && judged.as_ref().is_some_and(|judged| judged.branch == branch) {
            return Ok(None);
        }
        let store = task.store_of(&user)?;
        let journal = Journal::open(&journal_directory(&task.layout.repository(user.id())))?;
        let mut contenders = Vec::with_capacity(views.len());
        for (place, view) in views.iter().enumerate() {
            // One that has just been listed has nothing yet.
            let Ok(head) = repo::history::head(&store, &view.id) else { continue };
            let base = base_of(&store, view);
            let held = taking::held(&user, &store, &journal, &view.id, &base).ok().flatten();
            contenders.push(Contender {
                environment: view.id.clone(),
                name: view.name.clone(),
                base,
                head,
                held,
                paired: place < PAIRED,
            });
        }
        contenders.sort_by(|one, other| one.environment.cmp(&other.environment));
        let now = Judged { branch, contenders };
        if !due && judged.as_ref() == Some(&now) {
            return Ok(None);
        }
        let mut predictor = predictor.lock().unwrap_or_else(PoisonError::into_inner);
        let predictions = predictor.predict(&user, &store, &now.contenders)?;
        let mut found = Vec::with_capacity(predictions.len());
        for (contender, prediction) in now.contenders.iter().zip(predictions) {
            let behind = repo::divergence::between(&user, &contender.base, &now.branch).ok();
            let environment = contender.environment.clone();
            found.push(Found { environment, behind, prediction });
        }
        Ok(Some((now, found)))
    });
    let Some((judged, found)) = outcome.await? else { return Ok(Vec::new()) };
    known.judged = Some(judged);
    let last = known.unknown.take();
    if found.iter().all(Found::is_whole) {
        return Ok(found);
    }
    // What is in the way may go: it is tried again, less and less often while nothing changes.
    let same = due && last.as_ref().is_some_and(|last| last.told == found);
    let pause = last.filter(|_| same).map_or(REST, |last| (last.pause * 2).min(REST_LIMIT));
    let (told, until) = (found.clone(), Instant::now() + pause);
    known.unknown = Some(Unknown { told, until, pause });
    known.user = None;
    Ok(if same { Vec::new() } else { found })
}

/// The commit that an environment's work is compared with.
fn base_of(store: &Store, view: &Environment) -> CommitId {
    let onto = view.onto.as_ref();
    let onto = onto.and_then(|onto| repo::onto::base(store, &view.id, Some(onto)).ok());
    onto.unwrap_or_else(|| view.base.clone())
}

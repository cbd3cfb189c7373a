//! Questions about what a session has printed: rows by range, where a text stands in them,
//! where a link leads, and what its program wants copied.

use std::sync::Arc;

use super::shared::Shared;
use super::state;
use super::terminal::Terminal;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::lines::Needle;
use crate::proto::{Reply, Request};

/// Rows in one answer: more than any screen shows at once.
const MAX_ROWS: u32 = 2_000;
/// Rows that come with a match, half of them above it: a few screens, to be shown at once.
const AROUND_MATCH: u32 = 200;

pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    match request {
        Request::ReadLines { environment, session, start, count } => {
            let terminal = terminal(shared, &environment, session)?;
            Ok(Reply::Lines(terminal.lines(start, count.min(MAX_ROWS))))
        }
        Request::FindText { environment, session, text, from, direction } => {
            let terminal = terminal(shared, &environment, session)?;
            let needle = Needle::new(&text)
                .ok_or_else(|| Failure::new(FailureKind::Invalid, "there is nothing to find"))?;
            // All that is kept is looked through, which is no work for those who serve keys; and
            // as the terminal waits meanwhile, it is done at once and not when there is time.
            let search = move || terminal.find(&needle, from, direction, AROUND_MATCH);
            let searched = tokio::task::spawn_blocking(search).await;
            let (found, lines) = searched.map_err(|error| Failure::internal(&error.into()))?;
            Ok(Reply::Found { found, lines })
        }
        Request::ReadLink { environment, session, link } => {
            let address = terminal(shared, &environment, session)?.link(link);
            Ok(Reply::Link { address })
        }
        Request::ReadClipboard { environment, session } => {
            let text = terminal(shared, &environment, session)?.clipboard();
            Ok(Reply::Clipboard { text })
        }
        _ => Err(Failure::new(FailureKind::Internal, "this is no question about a session")),
    }
}

fn terminal(
    shared: &Shared,
    environment: &EnvironmentId,
    session: SessionId,
) -> Result<Arc<Terminal>, Failure> {
    shared.terminal(environment, session).ok_or_else(|| state::no_session(session))
}

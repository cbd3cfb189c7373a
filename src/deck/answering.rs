//! Requests that need more than the state: each is handed to the part of the deck that knows.

use std::sync::Arc;

use super::forking::{self, Forking};
use super::making::{self, Talk};
use super::shared::{Shared, canonical};
use super::{
    Answer, Message, comments, giving_up, holding, hooking, merging, naming, ports, queries,
    reading, resolving, restoring, saving, sending, shells, taking, trash, usage,
};
use crate::model::failure::Failure;
use crate::proto::{Reply, Request};

/// Carries out a request that needs more than the state.
pub(super) async fn answer_later(
    shared: Arc<Shared>,
    request: Request,
    environments: u32,
    reply: Answer,
) {
    let answer = match request {
        Request::CreateEnvironment { spec } => match making::prepare(&shared, *spec).await {
            Ok(prepared) => {
                let message = Message::Prepared(Box::new(prepared), reply);
                let _ = shared.messages.send(message).await;
                return;
            }
            Err(failure) => Err(failure),
        },
        Request::ForkEnvironment { target, name, snapshot, variables, size } => {
            let wanted = |source, profile| {
                let size = size.clamped();
                Forking { source, name, snapshot, profile, variables, size }
            };
            return forking::ask(&shared, target, wanted, reply).await;
        }
        Request::SaveEnvironment { target, to } => {
            // It may take minutes, in which the box stands still: nobody waits, nobody saves.
            let mut reply = reply;
            let saved = saving::save(&shared, target, to, reply.closed()).await;
            let _ = reply.send(saved.map(|()| Reply::Done));
            return;
        }
        Request::ServerStatus => Ok(Reply::ServerStatus(queries::status(&shared, environments))),
        other => carry_out(&shared, other).await,
    };
    let _ = reply.send(answer);
}

async fn carry_out(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    match request {
        Request::StartEnvironment { target, variables, anew } => {
            let record = shared.resolve(target).await?;
            let id = record.environment.id.clone();
            let talk = if anew { Talk::Anew } else { Talk::GoesOn };
            making::start(shared, record, variables, talk).await?;
            Ok(Reply::Environment(Box::new(shared.record(&id).await?.view())))
        }
        Request::StopEnvironment { target } => {
            let record = shared.resolve(target).await?;
            let turn = shared.turn(&record.environment.id);
            let _turn = turn.lock().await;
            taking::stop(shared, &shared.record(&record.environment.id).await?).await?;
            Ok(Reply::Done)
        }
        Request::PauseEnvironment { target } => {
            Ok(Reply::Environment(Box::new(holding::pause(shared, target).await?)))
        }
        Request::ResumeEnvironment { target } => {
            Ok(Reply::Environment(Box::new(holding::resume(shared, target).await?)))
        }
        Request::SetLimits { target, limits } => {
            Ok(Reply::Environment(Box::new(holding::set_limits(shared, target, limits).await?)))
        }
        Request::InspectEnvironment { target } => {
            Ok(Reply::Inspection(Box::new(queries::inspect(shared, target).await?)))
        }
        Request::ListListeners { target } => {
            let record = shared.resolve(target).await?;
            Ok(Reply::Listeners(ports::listeners(shared, &record).await?))
        }
        Request::StartShell { target, size, variables } => {
            shells::start(shared, target, size, variables).await
        }
        Request::CloseSession { environment, session } => {
            shells::close(shared, &environment, session).await
        }
        Request::ReadLines { .. }
        | Request::FindText { .. }
        | Request::ReadLink { .. }
        | Request::ReadClipboard { .. } => reading::answer(shared, request).await,
        Request::SendPrompt { .. } | Request::CancelPrompts { .. } => {
            sending::answer(shared, request).await
        }
        Request::ReadDiff { target, from, to, detail } => {
            Ok(Reply::Diff(queries::diff(shared, target, (from, to), detail).await?))
        }
        Request::ReadFileDiff { .. } => queries::file_diff(shared, request).await,
        Request::ReadContent { target, side, offset } => {
            queries::content(shared, target, side, offset).await
        }
        Request::SearchDiff { target, ends, text, whitespace } => {
            queries::search_diff(shared, target, ends, text, whitespace).await
        }
        Request::Compare { targets, freshness, detail } => {
            Ok(Reply::Comparison(queries::compare(shared, targets, freshness, detail).await?))
        }
        Request::CompareFile { targets, freshness, path } => {
            queries::compare_file(shared, targets, freshness, path).await
        }
        Request::ReadRepository { path } => {
            Ok(Reply::RepositoryState(queries::repository_state(path).await?))
        }
        Request::ReadUsage { repository } => Ok(usage::answer(shared, repository).await),
        Request::ProbeEngines { endpoint } => {
            Ok(Reply::Engines(queries::probe_engines(shared, &endpoint).await))
        }
        other => look_back(shared, other).await,
    }
}

/// Questions about snapshots, and what they are called.
async fn look_back(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    match request {
        Request::ReadHistory { target, before, limit } => {
            Ok(Reply::History(queries::history(shared, target, before, limit).await?))
        }
        Request::ReadMoment { target, snapshot } => {
            Ok(Reply::Moment(queries::moment(shared, target, snapshot).await?))
        }
        Request::ReadLeftOut { target, snapshot } => {
            Ok(Reply::LeftOut(queries::left_out(shared, target, snapshot).await?))
        }
        Request::FindSnapshot { target, snapshot } => {
            let record = shared.resolve(target).await?;
            let found = naming::find(shared, &record, &snapshot).await?;
            Ok(Reply::Snapshot(Box::new(found)))
        }
        Request::MarkSnapshot { target, snapshot, name } => {
            let record = shared.resolve(target).await?;
            let marked = naming::mark(shared, &record, snapshot.as_deref(), name.as_deref());
            Ok(Reply::Snapshot(Box::new(marked.await?)))
        }
        Request::ReadComments { target, from, to } => {
            Ok(Reply::Comments(comments::read(shared, target, from, to).await?))
        }
        Request::ChangeComments { target, change } => {
            comments::change(shared, target, change).await
        }
        other => decide(shared, other).await,
    }
}

async fn decide(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    let decided = |decision| Reply::Decided(Box::new(decision));
    match request {
        Request::Apply { target, portion, snapshot, known } => {
            taking::apply(shared, target, portion, (snapshot, known)).await
        }
        Request::Merge { target, style, message, known } => {
            merging::merge(shared, target, style, (message, known)).await
        }
        Request::RestoreEnvironment { target, snapshot } => {
            restoring::restore(shared, target, &snapshot).await.map(decided)
        }
        Request::Discard { target } => taking::discard(shared, target).await.map(decided),
        Request::GiveUp { target } => {
            let given_up = giving_up::give_up(shared, target).await;
            given_up.map(|given_up| Reply::GivenUp(Box::new(given_up)))
        }
        Request::Undo { repository } => {
            taking::undo(shared, canonical(&repository)).await.map(decided)
        }
        Request::ListDecisions { repository } => {
            taking::decisions(shared, repository).await.map(Reply::Decisions)
        }
        Request::RunHooks { target, style, message, size, variables } => {
            hooking::run(shared, target, (style, &message), size, variables).await
        }
        Request::Resolve { target } => resolving::resolve(shared, target).await,
        Request::Offer { target, style, message } => {
            merging::offer(shared, target, style, message).await
        }
        Request::DraftMerge { target } => merging::draft(shared, target).await,
        other => trash::answer(shared, other).await,
    }
}

//! `agentdeck trash`: what was discarded, what it costs, and getting rid of it.

use super::arguments::{Empty, Trash, TrashVerb};
use super::context::{Context, unexpected};
use super::discard::confirmed;
use super::output::{age, now, table};
use crate::client::Client;
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::show_bytes;
use crate::model::trash::Discarded;
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &Trash) -> Result<(), Failure> {
    let client = context.client().await?;
    match &options.verb {
        None => list(context, &client, options.all).await,
        Some(TrashVerb::Empty(options)) => empty(context, &client, options).await,
    }
}

async fn discarded(
    context: &Context,
    client: &Client,
    all: bool,
) -> Result<Vec<Discarded>, Failure> {
    let repository = if all { None } else { context.repository() };
    match client.request(Request::ListTrash { repository }).await? {
        Reply::Trash(discarded) => Ok(discarded),
        other => Err(unexpected(&other)),
    }
}

async fn list(context: &Context, client: &Client, all: bool) -> Result<(), Failure> {
    let output = context.output;
    let found = discarded(context, client, all).await?;
    if output.json {
        return output.value(&found);
    }
    if found.is_empty() {
        output.say("nothing is in the trash");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    output.bytes(table(&["NAME", "ID", "DISCARDED", "ON DISK", "KEPT FOR"], &rows).as_bytes())?;
    output.next("agentdeck undo NAME brings one back, agentdeck trash empty NAME drops one");
    Ok(())
}

fn row(discarded: &Discarded) -> Vec<String> {
    let left = now().seconds_until(discarded.kept_until);
    vec![
        discarded.name.to_string(),
        discarded.environment.to_string(),
        format!("{} ago", age(discarded.at)),
        show_bytes(discarded.bytes),
        match left {
            _ if discarded.dropped => "dropping".to_owned(),
            0..86_400 => format!("{} h", left / 3600),
            _ => format!("{} d", left / 86_400),
        },
    ]
}

async fn empty(context: &Context, client: &Client, options: &Empty) -> Result<(), Failure> {
    let output = context.output;
    if options.names.is_empty() && !options.all && context.repository().is_none() {
        let message = "there is no repository here whose trash is meant";
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("go to it, name what is to be dropped, or add --all"));
    }
    let found = chosen(discarded(context, client, options.all).await?, options)?;
    if found.is_empty() {
        output.say("nothing in the trash is meant by that");
        return if output.json { output.value(&found) } else { Ok(()) };
    }
    let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
    let bytes = show_bytes(found.iter().map(|it| it.bytes).sum());
    let question = format!("drop {} ({bytes})? nothing brings it back [y/N] ", names.join(", "));
    if !options.yes && !confirmed(context, "trash empty", &question)? {
        output.say("nothing was dropped");
        return Ok(());
    }
    let mut dropped = Vec::new();
    let mut failed = None;
    for one in found {
        let environment = one.environment.clone();
        match client.request(Request::DropDiscarded { environment }).await {
            Ok(Reply::Done) => {
                output.say(&format!("dropped {}", one.name));
                dropped.push(one);
            }
            Ok(other) => return Err(unexpected(&other)),
            // One that stays is in nobody's way, and the last one is said by the exit.
            Err(failure) => {
                if let Some(earlier) = failed.replace(failure) {
                    output.failure(&earlier);
                }
            }
        }
    }
    if output.json {
        output.value(&dropped)?;
    }
    failed.map_or(Ok(()), Err)
}

/// What is meant by names or ids and an age, of everything where none is given.
fn chosen(found: Vec<Discarded>, options: &Empty) -> Result<Vec<Discarded>, Failure> {
    let named = |one: &&Discarded, name: &String| {
        one.name.as_str() == name || one.environment.as_str() == name
    };
    for name in &options.names {
        let ids: Vec<&str> = found
            .iter()
            .filter(|one| named(one, name))
            .map(|one| one.environment.as_str())
            .collect();
        match ids.as_slice() {
            [] => {
                let message = format!("{name} is not in the trash");
                return Err(Failure::new(FailureKind::NotFound, message)
                    .hint("list what is with agentdeck trash"));
            }
            [_] => {}
            several => {
                let message = format!("{name} is several in the trash: {}", several.join(", "));
                return Err(Failure::new(FailureKind::Invalid, message).hint("use the id"));
            }
        }
    }
    let old = |one: &Discarded| {
        options.older_than.is_none_or(|seconds| one.at.age_seconds(now()) >= seconds)
    };
    let meant = |one: &Discarded| {
        options.names.is_empty() || options.names.iter().any(|name| named(&one, name))
    };
    Ok(found.into_iter().filter(|one| meant(one) && old(one)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{EnvironmentId, EnvironmentName, Timestamp};

    fn discarded(number: u8, name: &str, days: u64) -> Discarded {
        Discarded {
            environment: EnvironmentId::from_random([number; 8]),
            name: EnvironmentName::parse(name).expect("a name"),
            repository: "/shop".into(),
            at: Timestamp(now().0 - days * 86_400_000),
            bytes: 1,
            kept_until: now(),
            dropped: false,
        }
    }

    #[test]
    fn names_ids_and_ages_choose_and_what_is_unclear_is_refused() {
        let found = vec![discarded(1, "fox", 9), discarded(2, "owl", 3), discarded(3, "fox", 1)];
        let choose = |names: &[&str], older_than| {
            let names = names.iter().map(ToString::to_string).collect();
            let options = Empty { names, older_than, all: false, yes: true };
            let chosen = chosen(found.clone(), &options)?;
            Ok::<_, Failure>(chosen.into_iter().map(|one| one.bytes).sum::<u64>())
        };
        assert_eq!(choose(&[], None), Ok(3));
        assert_eq!(choose(&["owl"], None), Ok(1));
        assert_eq!(choose(&[found[2].environment.as_str()], None), Ok(1));
        assert_eq!(choose(&[], Some(2 * 86_400)), Ok(2));
        assert_eq!(choose(&["owl"], Some(7 * 86_400)), Ok(0));
        let unclear = choose(&["fox"], None).expect_err("two of that name");
        assert!(unclear.message.contains(found[0].environment.as_str()), "{unclear}");
        assert!(choose(&["cat"], None).is_err());
    }
}

//! An image of a box whose own image is gone. An engine commits a container on the image it was
//! made from, and removes that image from under a stopped one when it is told to; what the
//! container has is there all the same, and becomes an image of one layer.

use std::io;

use bollard::body_try_stream;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{StreamExt, stream};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::LONG_DEADLINE;
use super::connect::Connection;
use super::copy::{Target, labels_of};
use super::lifecycle::short;
use super::plan::Image;
use super::problem::{Problem, brief};
use crate::engine::{Progress, ProgressSink};
use crate::model::failure::Failure;

/// Pieces under way between the engine and itself.
const AHEAD: usize = 4;

/// What is known of an image by a container that was made from it. A box's variables are its
/// image's, and nothing else of that image is asked for.
pub(super) fn image_of(found: &ContainerInspectResponse) -> Image {
    let environment = found.config.as_ref().and_then(|config| config.env.clone());
    Image {
        id: found.image.clone().unwrap_or_default(),
        environment: environment.unwrap_or_default(),
    }
}

/// Makes an image of all that a container has, by itself; the answer is what to look it up by.
pub(super) async fn flatten(
    connection: &Connection,
    found: &ContainerInspectResponse,
    target: &Target<'_>,
    progress: &ProgressSink,
) -> Result<String, Failure> {
    let id = found.id.as_deref().unwrap_or_default();
    let (repository, tag) = target.name;
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(changes(&image_of(found).environment, &labels_of(target)))
        .build();
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let reading = async {
        // It ends with this block, and with it what is sent.
        let sender = sender;
        let mut exported = std::pin::pin!(connection.patient.export_container(id));
        let mut done = 0;
        while let Some(piece) = exported.next().await {
            done += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            let piece = piece.map_err(|error| io::Error::other(error.to_string()));
            // Nobody takes it any more: the request has ended.
            if sender.send(piece).await.is_err() {
                break;
            }
            let step = "copying the box".to_owned();
            // A full channel means that the user sees a later report instead.
            let _ = progress.try_send(Progress { step, done, total: 0 });
        }
    };
    let body = body_try_stream(pieces);
    let making = async {
        let made = connection.patient.create_image(Some(options), Some(body), None);
        let mut reports = std::pin::pin!(made);
        while let Some(report) = reports.next().await {
            report.map_err(Problem::from)?;
        }
        Ok::<_, Problem>(())
    };
    let both = async { tokio::join!(reading, making).1 };
    let made = tokio::time::timeout(LONG_DEADLINE, both).await;
    made.unwrap_or(Err(Problem::Deadline(LONG_DEADLINE))).map_err(|problem| {
        let image = brief(found.image.as_deref().unwrap_or_default());
        let mut failure = problem.during(&format!(
            "image {image} is gone, and copying container {} without it failed",
            short(id)
        ));
        if failure.hint.is_none() {
            failure = failure.hint("load or build that image again, or make room at the engine");
        }
        failure
    })?;
    Ok(format!("{repository}:{tag}"))
}

/// What an import is told of the image besides its files, in the words of a Dockerfile.
fn changes(environment: &[String], labels: &[(&str, &str)]) -> Vec<String> {
    let variables = environment.iter().filter_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        // No line of a Dockerfile holds what ends one.
        let fits = !entry.contains(char::is_control) && is_word(name);
        fits.then(|| format!("ENV {name}={}", quoted(value)))
    });
    let labels = labels.iter().map(|(name, value)| format!("LABEL {name}={}", quoted(value)));
    variables.chain(labels).collect()
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A value that stands for itself, whatever is in it.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(c);
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_reaches_an_image_as_it_is_or_not_at_all() {
        let given = [
            "PATH=/bin:/usr/bin",
            r#"ODD=a "b" $c \d 'e'"#,
            "EMPTY=",
            "TWO=lines\nRUN evil",
            "not a name=x",
            "nothing",
        ];
        let told = changes(&given.map(str::to_owned), &[("agentdeck.image", "fork")]);
        let expected = [
            r#"ENV PATH="/bin:/usr/bin""#,
            r#"ENV ODD="a \"b\" \$c \\d 'e'""#,
            r#"ENV EMPTY="""#,
            r#"LABEL agentdeck.image="fork""#,
        ];
        assert_eq!(told, expected);
    }
}

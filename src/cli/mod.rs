//! The command line: one file for each verb, and the hidden verbs by which the binary starts itself.
//!
//! Data goes to standard output, words for people to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage; `exec` has the command's own, and `send` tells receipts apart by its code.

mod agents;
mod arguments;
mod attach;
mod comments;
mod compare;
mod context;
mod cp;
mod decide;
mod deck;
mod demo;
mod diff;
mod discard;
mod doctor;
mod edit;
mod exec;
mod fork;
mod forward;
mod inspect;
mod lacking;
mod lifecycle;
mod limits;
mod log;
mod ls;
mod mark;
mod network;
mod new;
mod output;
mod ports;
mod pr;
mod resolve;
mod sample;
mod save;
mod selftest;
mod send;
mod server;
mod trash;
mod worktree;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::engine::native::child as native;
use crate::model::failure::Failure;
use arguments::{Arguments, Verb};
use context::Context;
use output::Output;

/// Runs what this process was started for.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = hidden(&arguments) {
        return code;
    }
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match run(arguments, output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Verbs that only our own processes use. They come before everything else: the first process of
/// a box must be single-threaded when it begins.
fn hidden(arguments: &[OsString]) -> Option<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        ["shim", config] => Some(crate::shim::run(Path::new(config))),
        ["shim", config, native::AHEAD] => Some(match native::take_name() {
            Ok(()) => crate::shim::run(Path::new(config)),
            // Nobody asked for the box.
            Err(_) => ExitCode::FAILURE,
        }),
        ["server", "run"] => Some(server::run()),
        ["shim-tool", tool @ ..] => Some(crate::shim::run_tool(tool)),
        ["shim-say", words @ ..] => Some(crate::shim::say(words)),
        [selftest::VERB] => Some(selftest::box_attack()),
        ["shim-hold"] => Some(crate::shim::hold()),
        ["shim-probe", _] => Some(crate::shim::probe()),
        ["box"] => Some(native::run()),
        _ => None,
    }
}

fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    // One thread: a key must not be handed from thread to thread on its way out.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(&error.into()))?;
    let result = runtime.block_on(perform(arguments, output));
    // A blocked read of standard input must not hold the exit.
    runtime.shutdown_background();
    result
}

async fn perform(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let done = |result: Result<(), Failure>| result.map(|()| ExitCode::SUCCESS);
    let context = match &arguments.verb {
        // It has a home of its own and must not make the user's.
        Some(Verb::Demo(options)) => demo::context(output, options)?,
        _ => Context::find(output)?,
    };
    let Some(verb) = arguments.verb else {
        return done(deck::run(&context, arguments.all).await);
    };
    match verb {
        Verb::New(options) => done(new::run(&context, *options).await),
        Verb::Agents => done(agents::run(&context)),
        Verb::Ls(options) => done(ls::run(&context, &options).await),
        Verb::Attach(options) => done(attach::run(&context, &options).await),
        Verb::Send(options) => send::run(&context, options).await,
        Verb::Prompts(options) => done(send::prompts(&context, options).await),
        Verb::Exec(options) => exec::run(&context, options).await,
        Verb::Cp(options) => done(cp::run(&context, &options).await),
        Verb::Ports(options) => done(ports::run(&context, &options).await),
        Verb::Forward(options) => done(forward::run(&context, &options).await),
        Verb::Log(options) => done(log::run(&context, &options).await),
        Verb::Mark(options) => done(mark::run(&context, &options).await),
        Verb::Restore(options) => done(decide::restore(&context, &options).await),
        Verb::Diff(options) => done(diff::run(&context, &options).await),
        Verb::Comments(options) => done(comments::run(&context, &options).await),
        Verb::Compare(options) => done(compare::run(&context, &options).await),
        Verb::Apply(options) => done(decide::apply(&context, &options).await),
        Verb::Merge(options) => done(decide::merge(&context, options).await),
        Verb::Resolve(options) => done(resolve::run(&context, options).await),
        Verb::Pr(options) => done(pr::run(&context, options).await),
        Verb::Discard(options) => done(discard::run(&context, &options).await),
        Verb::Undo(options) => done(decide::undo(&context, options).await),
        Verb::Trash(options) => done(trash::run(&context, &options).await),
        Verb::Fork(options) => done(fork::run(&context, options).await),
        Verb::Save(options) => done(save::run(&context, options).await),
        Verb::Pause(options) => done(lifecycle::pause(&context, &options).await),
        Verb::Resume(options) => done(lifecycle::resume(&context, &options).await),
        Verb::Limits(options) => done(limits::run(&context, &options).await),
        Verb::Stop(options) => done(lifecycle::stop(&context, &options).await),
        Verb::Start(options) => done(lifecycle::start(&context, &options).await),
        Verb::Inspect(options) => done(inspect::run(&context, &options).await),
        Verb::Denied(options) => done(network::denied(&context, &options).await),
        Verb::Allow(options) => done(network::allow(&context, &options).await),
        Verb::Demo(options) => done(demo::run(&context, &options).await),
        Verb::Selftest(options) => selftest::run(&context, options).await,
        Verb::Doctor => doctor::run(&context).await,
        Verb::Server(verb) => done(server::perform(&context, &verb).await),
    }
}

//! `agentdeck pr`: an environment's work as a branch of a remote, and a pull request for it.
//!
//! The user's own git pushes, with the user's credentials and at the user's terminal, from the
//! user's repository: nothing that an agent configured is read, and no hook runs. How long a push
//! takes is the user's to judge, who may end it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::arguments::PullRequest;
use super::context::{Context, unexpected};
use super::output::lines;
use super::{decide, edit, lacking};
use crate::model::decision::MergeStyle;
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::snapshot::Skipped;
use crate::proto::{Reply, Request};

/// Given to every git: no hook of the repository, wherever its configuration has them.
const NO_HOOKS: [&str; 4] = ["-c", "core.hooksPath=/dev/null", "-c", "push.recurseSubmodules=no"];

/// What was done, for `--json`.
#[derive(serde::Serialize)]
struct Pushed {
    remote: String,
    branch: String,
    commit: String,
    /// Whether the branch did not have it yet.
    new: bool,
    /// What the forge's program printed: the address of the pull request.
    request: Option<String>,
    /// What the commits lack.
    left_out: Vec<Skipped>,
}

pub(super) async fn run(context: &Context, options: PullRequest) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = context.environment(&client, &options.name).await?;
    let git = Git { root: environment.repository.clone() };
    let remote = match &options.remote {
        Some(remote) => remote.clone(),
        None => git.remote().await,
    };
    let branch = match &options.branch {
        Some(branch) => branch.clone(),
        None => format!("agentdeck/{}", environment.name),
    };
    let style = if options.squash { MergeStyle::Squash } else { MergeStyle::Rebase };
    let mut message = options.message.clone();
    if options.edit {
        let draft = match message {
            Some(message) => message,
            None => decide::draft(context, &client, &options.name, MergeStyle::Squash).await?,
        };
        let title = format!("What the pull request of {} is about", environment.name);
        message = Some(edit::text(&title, &draft).await?);
    }
    let request = |target| Request::Offer { target, style, message: message.clone() };
    let (commit, message, left_out) = match context.ask(&client, &options.name, request).await? {
        Reply::Offered { commit, message, left_out } => (commit, message, left_out),
        other => return Err(unexpected(&other)),
    };
    if !lacking::agreed(context, &options.name, &left_out).await {
        context.output.say("nothing was pushed");
        return Ok(());
    }
    let there = git.at_remote(&remote, &branch).await;
    let same = match &there {
        Some(there) if !options.force => {
            // Who asks for another history than the branch has is refused by git.
            let as_asked = options.squash || options.edit || options.message.is_some();
            git.are_same((there, commit.as_str()), environment.base.as_str(), as_asked).await
        }
        _ => false,
    };
    if same {
        let name = &environment.name;
        context.output.say(&format!("nothing of {name} is new: {remote} has it as {branch}"));
    } else {
        git.push(&remote, &branch, commit.as_str(), options.force).await?;
        git.say_pushed(context, &environment, (&remote, &branch)).await;
    }
    let forge = if options.push_only { None } else { git.forge(&remote).await };
    let open = match forge {
        Some(forge) if there.is_some() => forge.find(&git.root, &branch).await,
        _ => None,
    };
    let request = match (open, forge) {
        (Some(open), _) => {
            context.output.say("its request is open already");
            Some(open)
        }
        (None, Some(forge)) => {
            let base = git.base_at(&remote, &environment).await;
            Some(forge.open(&git.root, &branch, base.as_deref(), &message).await?)
        }
        (None, None) => None,
    };
    let commit = there.filter(|_| same).unwrap_or_else(|| commit.as_str().to_owned());
    let pushed = Pushed { remote, branch, commit, new: !same, request, left_out };
    if context.output.json {
        return context.output.value(&pushed);
    }
    context.output.line(&lines(pushed.request.as_deref().unwrap_or(&pushed.branch)))?;
    if pushed.request.is_none() && !options.push_only {
        context.output.next("open a pull request for the branch; gh and glab do it by themselves");
    }
    Ok(())
}

/// The user's git in the user's repository.
struct Git {
    root: PathBuf,
}

impl Git {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.root).args(NO_HOOKS).args(arguments);
        command
    }

    /// What a short question is answered with; `None` when it is not.
    async fn ask(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output().await.ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(text).filter(|text| output.status.success() && !text.is_empty())
    }

    /// Where `git push` would push to.
    async fn remote(&self) -> String {
        let branch = self.ask(&["symbolic-ref", "-q", "--short", "HEAD"]).await;
        let branch = branch.unwrap_or_default();
        let names = [
            format!("branch.{branch}.pushRemote"),
            "remote.pushDefault".to_owned(),
            format!("branch.{branch}.remote"),
        ];
        for name in names {
            if let Some(remote) = self.ask(&["config", "--get", &name]).await {
                return remote;
            }
        }
        "origin".to_owned()
    }

    async fn push(
        &self,
        remote: &str,
        branch: &str,
        commit: &str,
        force: bool,
    ) -> Result<(), Failure> {
        let to = format!("{commit}:refs/heads/{branch}");
        let mut arguments = vec!["push", "--no-verify"];
        if force {
            arguments.push("--force");
        }
        arguments.extend(["--", remote, &to]);
        // What git says is for the user to see; standard output is for what was asked.
        let status = self.command(&arguments).stdout(Stdio::null()).status().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => {
                let message = format!("git did not push {branch} to {remote}");
                Err(Failure::new(FailureKind::Unavailable, message)
                    .hint("see above; another --branch or --remote, or --force to replace it"))
            }
            Err(error) => {
                let message = format!("git cannot be started: {error}");
                Err(Failure::new(FailureKind::Unavailable, message))
            }
        }
    }

    /// The commit that a branch has there; `None` where there is none, or the remote cannot be asked:
    /// then a push says so.
    async fn at_remote(&self, remote: &str, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let found = self.ask(&["ls-remote", "--exit-code", "--", remote, &name]).await?;
        found.split_whitespace().next().map(str::to_owned)
    }

    /// Whether two commits have the same files, and where that is asked for, the same commits since
    /// the base. A commit that is not in the user's repository is another one.
    async fn are_same(&self, (one, other): (&str, &str), base: &str, commits: bool) -> bool {
        let log = ["log", "--format=%T %an %ae %B", "--end-of-options"];
        let tree = ["log", "-1", "--format=%T", "--end-of-options"];
        let since = format!("^{base}");
        let mut told = Vec::new();
        for commit in [one, other] {
            let mut arguments = if commits { log.to_vec() } else { tree.to_vec() };
            arguments.push(commit);
            arguments.extend(commits.then_some(since.as_str()));
            told.push(self.ask(&arguments).await);
        }
        told[0].is_some() && told[0] == told[1]
    }

    async fn say_pushed(
        &self,
        context: &Context,
        environment: &Environment,
        (remote, branch): (&str, &str),
    ) {
        let name = &environment.name;
        context.output.say(&format!("pushed {name} to {remote} as {branch}"));
        if self.has_hook("pre-push").await {
            context.output.say("1 hook did not run: pre-push");
        }
    }

    async fn has_hook(&self, name: &str) -> bool {
        // Without ours before it, so that the user's own setting is told.
        let output = Command::new("git")
            .current_dir(&self.root)
            .args(["rev-parse", "--git-path", &format!("hooks/{name}")])
            .stdin(Stdio::null())
            .output()
            .await;
        let Ok(output) = output else { return false };
        let path = self.root.join(String::from_utf8_lossy(&output.stdout).trim());
        is_program(&path)
    }

    /// The branch that the environment was made from, where the remote is known to have it.
    async fn base_at(&self, remote: &str, environment: &Environment) -> Option<String> {
        let branch = environment.base_branch.clone()?;
        let tracked = format!("refs/remotes/{remote}/{branch}");
        self.ask(&["rev-parse", "-q", "--verify", &tracked]).await.map(|_| branch)
    }

    /// The program of the forge behind a remote, where it is installed.
    async fn forge(&self, remote: &str) -> Option<Forge> {
        let address = self.ask(&["remote", "get-url", "--push", remote]).await;
        let is_gitlab = address.is_some_and(|address| address.contains("gitlab"));
        let all =
            if is_gitlab { [Forge::GITLAB, Forge::GITHUB] } else { [Forge::GITHUB, Forge::GITLAB] };
        all.into_iter().find(|forge| installed(forge.program))
    }
}

/// How a forge's program opens a request.
#[derive(Clone, Copy)]
struct Forge {
    program: &'static str,
    verb: [&'static str; 2],
    /// How it tells of the open request of a branch, as JSON.
    find: &'static [&'static str],
    /// What the address of one is called there.
    address: &'static str,
    head: &'static str,
    base: &'static str,
    body: &'static str,
}

impl Forge {
    const GITHUB: Self = Self {
        program: "gh",
        verb: ["pr", "create"],
        find: &["pr", "list", "--state=open", "--json=url", "--head"],
        address: "url",
        head: "--head",
        base: "--base",
        body: "--body",
    };
    const GITLAB: Self = Self {
        program: "glab",
        verb: ["mr", "create"],
        find: &["mr", "list", "--output=json", "--source-branch"],
        address: "web_url",
        head: "--source-branch",
        base: "--target-branch",
        body: "--description",
    };

    /// The address of a branch's open request, as far as the program tells.
    async fn find(self, root: &Path, branch: &str) -> Option<String> {
        let mut command = Command::new(self.program);
        command.current_dir(root).args(self.find).arg(branch).stdin(Stdio::null());
        let output = command.stderr(Stdio::null()).output().await.ok()?;
        let listed: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let address = listed.get(0)?.get(self.address)?.as_str()?;
        Some(address.to_owned()).filter(|_| output.status.success())
    }

    /// Opens it and gives what the program printed.
    async fn open(
        self,
        root: &Path,
        branch: &str,
        base: Option<&str>,
        message: &str,
    ) -> Result<String, Failure> {
        let (title, body) = message.split_once('\n').unwrap_or((message, ""));
        let mut command = Command::new(self.program);
        command.current_dir(root).args(self.verb);
        command.arg(format!("{}={branch}", self.head));
        command.arg(format!("--title={}", title.trim()));
        command.arg(format!("{}={}", self.body, body.trim()));
        if let Some(base) = base {
            command.arg(format!("{}={base}", self.base));
        }
        // It may ask on standard error; its answer is what it prints.
        let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output().await;
        match output {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            Ok(output) => Err(self.failed(branch, &format!("ended with {}", output.status))),
            Err(error) => Err(self.failed(branch, &format!("cannot be started: {error}"))),
        }
    }

    fn failed(self, branch: &str, why: &str) -> Failure {
        let message = format!("{branch} was pushed, but {} {why}", self.program);
        let again = format!("open it by hand: {} {}", self.program, self.verb.join(" "));
        Failure::new(FailureKind::Unavailable, message).hint(again)
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_program(&directory.join(program)))
}

fn is_program(path: &Path) -> bool {
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

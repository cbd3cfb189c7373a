//! The ways, each with the command by which git takes it.

/// What an agent puts into a repository. `{run}` is the program, `{out}` a directory outside.
pub(super) enum Plant {
    Config(&'static str, &'static str),
    File(&'static str, &'static str),
    Hook(&'static str),
    Git(&'static [&'static str]),
    /// The git directory goes elsewhere, and a file names it.
    GitDirectoryMovesTo(&'static str),
}

pub(super) struct Vector {
    pub name: &'static str,
    pub plants: &'static [Plant],
    /// Commands by which git itself runs the program, the last of them at the latest.
    pub control: &'static [&'static [&'static str]],
}

use Plant::{Config, File, Git, GitDirectoryMovesTo, Hook};

/// Brings changed and new files before git.
const ADD: &[&[&str]] = &[&["add", "-A"]];
const STATUS: &[&[&str]] = &[&["status"]];
const COMMIT: &[&[&str]] = &[&["add", "-A"], &["commit", "--allow-empty", "-m", "more"]];
const MERGE: &[&[&str]] = &[&["merge", "-m", "both", "other"]];
const DIFF: &[&[&str]] = &[&["diff", "HEAD~1", "HEAD"]];
/// A repository beside this one, into which it pushes.
const PUSH: &[&[&str]] = &[&["push", "{out}/bare", "main:pushed"]];
const BARE: Plant = Git(&["clone", "-q", "--bare", ".", "{out}/bare"]);

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = configured();
    vectors.extend(configured_beside());
    vectors.extend(hooks());
    vectors.extend(attributes());
    vectors.extend(indirect());
    vectors
}

fn vector(
    name: &'static str,
    plants: &'static [Plant],
    control: &'static [&'static [&'static str]],
) -> Vector {
    Vector { name, plants, control }
}

/// Programs that a configuration names.
fn configured() -> Vec<Vector> {
    vec![
        vector("core.fsmonitor", &[Config("core.fsmonitor", "{run}")], STATUS),
        vector("core.editor", &[Config("core.editor", "{run}")], &[&["commit", "--amend"]]),
        vector(
            "sequence.editor",
            &[Config("sequence.editor", "{run}")],
            &[&["rebase", "-i", "HEAD~1"]],
        ),
        vector(
            "core.sshCommand",
            &[Config("core.sshCommand", "{run}")],
            &[&["fetch", "ssh://host.invalid/x"]],
        ),
        vector(
            "core.gitProxy",
            &[Config("core.gitProxy", "{run}")],
            &[&["fetch", "git://host.invalid/x"]],
        ),
        vector(
            "credential.helper",
            &[Config("credential.helper", "!{run}")],
            &[&["-c", ASK, "ask"]],
        ),
        vector("alias", &[Config("alias.x", "!{run}")], &[&["x"]]),
        vector("diff.external", &[Config("diff.external", "{run}")], DIFF),
        vector(
            "gpg.program",
            &[Config("gpg.program", "{run}"), Config("commit.gpgSign", "true")],
            COMMIT,
        ),
        vector(
            "gpg.ssh.program",
            &[
                Config("gpg.format", "ssh"),
                Config("gpg.ssh.program", "{run}"),
                Config("user.signingKey", "{out}/payload"),
                Config("commit.gpgSign", "true"),
            ],
            COMMIT,
        ),
        vector(
            "gpg.ssh.defaultKeyCommand",
            &[
                Config("gpg.format", "ssh"),
                Config("gpg.ssh.defaultKeyCommand", "{run}"),
                Config("commit.gpgSign", "true"),
            ],
            COMMIT,
        ),
        vector(
            "gpg.x509.program",
            &[
                Config("gpg.format", "x509"),
                Config("gpg.x509.program", "{run}"),
                Config("commit.gpgSign", "true"),
            ],
            COMMIT,
        ),
        vector(
            "difftool.cmd",
            &[Config("diff.tool", "x"), Config("difftool.x.cmd", "{run}")],
            &[&["difftool", "-y", "HEAD~1", "HEAD"]],
        ),
    ]
}

/// Programs that a configuration names for other repositories, and for what git writes.
fn configured_beside() -> Vec<Vector> {
    vec![
        vector(
            "remote.uploadpack",
            &[BARE, Config("remote.x.url", "{out}/bare"), Config("remote.x.uploadpack", "{run}")],
            &[&["fetch", "x"]],
        ),
        vector(
            "remote.receivepack",
            &[BARE, Config("remote.x.url", "{out}/bare"), Config("remote.x.receivepack", "{run}")],
            &[&["push", "x", "main:pushed"]],
        ),
        vector(
            "a remote of the ext protocol",
            &[Config("remote.x.url", "ext::{run}"), Config("protocol.ext.allow", "always")],
            &[&["fetch", "x"]],
        ),
        vector(
            "trailer.command",
            &[Config("trailer.x.key", "x"), Config("trailer.x.cmd", "{run}")],
            &[&["interpret-trailers", "--trailer", "x=y"]],
        ),
        vector(
            "tar.command",
            &[Config("tar.x.command", "{run}")],
            &[&["archive", "--format=x", "-o", "{out}/archive", "HEAD"]],
        ),
        vector(
            "submodule.update",
            &[
                BARE,
                Git(&[
                    "-c",
                    "protocol.file.allow=always",
                    "submodule",
                    "--quiet",
                    "add",
                    "{out}/bare",
                    "sub",
                ]),
                Git(&["commit", "-q", "-m", "a submodule"]),
                Config("submodule.sub.update", "!{run}"),
                Git(&["-C", "sub", "reset", "-q", "--hard", "HEAD~1"]),
            ],
            &[&["submodule", "update"]],
        ),
    ]
}

/// Git asks for a password when it is told on its input what for.
const ASK: &str = "alias.ask=!printf 'protocol=https\\nhost=x\\n\\n' | git credential fill";

/// Hooks of each name, where git looks for them.
fn hooks() -> Vec<Vector> {
    vec![
        vector("pre-commit", &[Hook("pre-commit")], COMMIT),
        vector("prepare-commit-msg", &[Hook("prepare-commit-msg")], COMMIT),
        vector("commit-msg", &[Hook("commit-msg")], COMMIT),
        vector("post-commit", &[Hook("post-commit")], COMMIT),
        vector("post-checkout", &[Hook("post-checkout")], &[&["checkout", "-f", "other"]]),
        vector("pre-merge-commit", &[Hook("pre-merge-commit")], MERGE),
        vector("post-merge", &[Hook("post-merge")], MERGE),
        vector("pre-rebase", &[Hook("pre-rebase")], &[&["rebase", "-f", "HEAD~1"]]),
        vector("post-rewrite", &[Hook("post-rewrite")], &[&["commit", "--amend", "-m", "again"]]),
        vector("reference-transaction", &[Hook("reference-transaction")], &[&["branch", "more"]]),
        vector("post-index-change", &[Hook("post-index-change")], ADD),
        vector("pre-push", &[BARE, Hook("pre-push")], PUSH),
        vector(
            "pre-auto-gc",
            &[
                Git(&["repack", "-q", "-d"]),
                Git(&["commit", "-q", "--allow-empty", "-m", "more"]),
                Git(&["repack", "-q", "-d"]),
                Config("gc.autoPackLimit", "1"),
                Hook("pre-auto-gc"),
            ],
            &[&["gc", "--auto"]],
        ),
        vector("applypatch-msg", &[PATCH, OTHER, Hook("applypatch-msg")], AM),
        vector("pre-applypatch", &[PATCH, OTHER, Hook("pre-applypatch")], AM),
        vector("post-applypatch", &[PATCH, OTHER, Hook("post-applypatch")], AM),
        vector("pre-receive", &[Hook("pre-receive")], RECEIVE),
        vector("update", &[Hook("update")], RECEIVE),
        vector("post-receive", &[Hook("post-receive")], RECEIVE),
        vector("post-update", &[Hook("post-update")], RECEIVE),
        vector("core.hooksPath", &[File("hooks/pre-commit", SCRIPT), MODE, HOOKS], COMMIT),
    ]
}

const SCRIPT: &str = "#!/bin/sh\nexec '{run}'\n";
const MODE: Plant = Git(&["-c", "alias.x=!chmod +x hooks/*", "x"]);
const HOOKS: Plant = Config("core.hooksPath", "hooks");
/// The last commit as a mail, on a branch that lacks it.
const PATCH: Plant = Git(&["format-patch", "-q", "-1", "-o", "{out}/mail"]);
const OTHER: Plant = Git(&["reset", "-q", "--hard", "HEAD~1"]);
const AM: &[&[&str]] = &[&["am", "{out}/mail/0001-main.patch"]];
const RECEIVE: &[&[&str]] = &[&["push", ".", "other:received"]];

/// Drivers that attributes name, in each place where attributes are.
fn attributes() -> Vec<Vector> {
    const CLEAN: Plant = Config("filter.x.clean", "{run}");
    vec![
        vector("a clean filter", &[File(".gitattributes", "* filter=x\n"), CLEAN], ADD),
        vector(
            "a clean filter that is required",
            &[File(".gitattributes", "* filter=x\n"), CLEAN, Config("filter.x.required", "true")],
            ADD,
        ),
        vector(
            "attributes of the git directory",
            &[File(".git/info/attributes", "* filter=x\n"), CLEAN],
            ADD,
        ),
        vector(
            "attributes of a directory",
            &[File("deep/.gitattributes", "* filter=x\n"), File("deep/new", "x"), CLEAN],
            ADD,
        ),
        vector(
            "attributes that a configuration names",
            &[File("named", "* filter=x\n"), Config("core.attributesFile", "named"), CLEAN],
            ADD,
        ),
        vector(
            "a smudge filter",
            &[File(".gitattributes", "*.x filter=x\n"), Config("filter.x.smudge", "{run}")],
            &[&["checkout", "-f", "other"]],
        ),
        vector(
            "a filter process",
            &[File(".gitattributes", "* filter=x\n"), Config("filter.x.process", "{run}")],
            ADD,
        ),
        vector(
            "a text conversion",
            &[File(".gitattributes", "*.x diff=x\n"), Config("diff.x.textconv", "{run}")],
            DIFF,
        ),
        vector(
            "a diff driver",
            &[File(".gitattributes", "*.x diff=x\n"), Config("diff.x.command", "{run}")],
            DIFF,
        ),
        vector(
            "a merge driver",
            &[File(".gitattributes", "*.x merge=x\n"), Config("merge.x.driver", "{run}")],
            MERGE,
        ),
    ]
}

/// Ways to a configuration that is not where it seems.
fn indirect() -> Vec<Vector> {
    const MONITOR: &str = "[core]\n\tfsmonitor = {run}\n";
    vec![
        vector("include.path", &[File("more", MONITOR), Config("include.path", "../more")], STATUS),
        vector(
            "includeIf",
            &[File("more", MONITOR), Config("includeIf.onbranch:main.path", "../more")],
            STATUS,
        ),
        vector(
            "config.worktree",
            &[File(".git/config.worktree", MONITOR), Config("extensions.worktreeConfig", "true")],
            STATUS,
        ),
        vector(
            "a file for the git directory",
            &[Config("core.fsmonitor", "{run}"), GitDirectoryMovesTo("moved.git")],
            STATUS,
        ),
        vector(
            "a git directory outside",
            &[Config("core.fsmonitor", "{run}"), GitDirectoryMovesTo("{out}/git")],
            STATUS,
        ),
        vector(
            "commondir",
            &[
                Git(&["clone", "-q", "--bare", ".", "common"]),
                Git(&["-C", "common", "config", "core.fsmonitor", "{run}"]),
                File(".git/commondir", "../common\n"),
            ],
            STATUS,
        ),
        vector(
            "a bare repository within",
            &[
                Git(&["clone", "-q", "--bare", ".", "bare"]),
                Git(&["-C", "bare", "config", "core.fsmonitor", "{run}"]),
                Git(&["-C", "bare", "config", "core.bare", "false"]),
                Git(&["-C", "bare", "config", "core.worktree", ".."]),
            ],
            &[&["-C", "bare", "status"]],
        ),
        vector(
            "a repository within, as a submodule",
            &[
                Git(&["clone", "-q", ".", "sub"]),
                Git(&["add", "-f", "sub"]),
                Git(&["commit", "-q", "-m", "a repository"]),
                Git(&["-C", "sub", "config", "core.fsmonitor", "{run}"]),
            ],
            STATUS,
        ),
        vector(
            "a submodule's filter",
            &[
                Git(&["clone", "-q", ".", "sub"]),
                Git(&["add", "-f", "sub"]),
                Git(&["commit", "-q", "-m", "a repository"]),
                Git(&["-C", "sub", "config", "filter.x.clean", "{run}"]),
                File("sub/.gitattributes", "* filter=x\n"),
                File("sub/tracked.x", "main\n2\n9\n"),
            ],
            STATUS,
        ),
        vector(
            "a worktree of another repository",
            &[
                Git(&["worktree", "add", "-q", "tree", "-b", "tree"]),
                Config("core.fsmonitor", "{run}"),
            ],
            &[&["-C", "tree", "status"]],
        ),
    ]
}

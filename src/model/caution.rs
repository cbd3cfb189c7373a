//! Why a changed file deserves to be read before all others: it runs by itself, it may run now, or
//! it says something else than it shows.

use serde::{Deserialize, Serialize};

use super::diff::FileDiff;
use super::path::{RepoPath, hides_or_steers};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "caution")]
pub enum Caution {
    /// Some program runs or obeys it without being asked to.
    Runs { by: String },
    /// It became executable, or came so.
    Executable,
    /// It became a link; what is written through it goes elsewhere.
    Link,
    /// A new line, counted from 1, has characters that hide or reorder text.
    Invisible { line: u32 },
    /// Rules that came with the work ignore it; a take of all leaves it out.
    Hidden,
}

impl std::fmt::Display for Caution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Runs { by } => write!(f, "{by}"),
            Self::Executable => f.write_str("may be executed now"),
            Self::Link => f.write_str("is a link now"),
            Self::Invisible { line } => write!(f, "hides characters, line {line}"),
            Self::Hidden => {
                f.write_str("the work's own rules ignore it, so only by name is it taken")
            }
        }
    }
}

/// What the path and the modes of a changed file call for. A file that is gone runs no more.
pub fn of_file(path: &RepoPath, old_mode: Option<u32>, new_mode: Option<u32>) -> Vec<Caution> {
    const EXECUTABLE: u32 = 0o100_755;
    const LINK: u32 = 0o120_000;
    let Some(mode) = new_mode else { return Vec::new() };
    let mut cautions = Vec::new();
    cautions.extend(runs(path).map(|by| Caution::Runs { by: by.to_owned() }));
    if mode == EXECUTABLE && old_mode != Some(EXECUTABLE) {
        cautions.push(Caution::Executable);
    }
    if mode == LINK && old_mode != Some(LINK) {
        cautions.push(Caution::Link);
    }
    if path.to_string().into_bytes() != path.as_bytes() {
        cautions.push(Caution::Invisible { line: 0 });
    }
    cautions
}

/// Whether a line has characters that hide or reorder what is read. Tabs and a carriage return at
/// the end are nothing special in source.
pub fn hides(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_ascii() {
        return line.contains(&0x1b);
    }
    let mut first = true;
    String::from_utf8_lossy(line).chars().any(|character| {
        // A byte order mark at the beginning is how some editors save.
        let mark = std::mem::take(&mut first) && character == '\u{feff}';
        !mark && character != '\t' && hides_or_steers(character)
    })
}

/// Who runs or obeys a file of this path by itself, in words.
pub fn runs(path: &RepoPath) -> Option<&'static str> {
    let text = String::from_utf8_lossy(path.as_bytes()).to_lowercase();
    let name = text.rsplit('/').next().unwrap_or_default();
    let named = NAMES.iter().find(|(known, _)| *known == name);
    let within = DIRECTORIES.iter().find(|(directory, _)| {
        text.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
            || text.contains(&format!("/{directory}/"))
    });
    let ending = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    named.or(within).or(ending).map(|(_, by)| *by)
}

/// Names of files, in lower case, wherever they lie.
const NAMES: &[(&str, &str)] = &[
    (".envrc", "direnv runs it"),
    (".gitattributes", "git picks filters by it"),
    (".gitmodules", "git fetches by it"),
    (".gitignore", "git adds nothing that it names"),
    (".gitconfig", "git obeys it"),
    (".lfsconfig", "git-lfs obeys it"),
    (".pre-commit-config.yaml", "pre-commit runs it"),
    ("lefthook.yml", "lefthook runs it"),
    (".lintstagedrc", "runs before a commit"),
    (".lintstagedrc.json", "runs before a commit"),
    (".huskyrc", "runs as a git hook"),
    ("makefile", "make runs it"),
    ("gnumakefile", "make runs it"),
    ("justfile", "just runs it"),
    ("taskfile.yml", "task runs it"),
    ("rakefile", "rake runs it"),
    ("gemfile", "bundler runs it"),
    ("cmakelists.txt", "cmake runs it"),
    ("meson.build", "meson runs it"),
    ("build", "bazel runs it"),
    ("build.bazel", "bazel runs it"),
    ("workspace", "bazel runs it"),
    (".bazelrc", "bazel obeys it"),
    ("build.rs", "cargo runs it"),
    ("cargo.toml", "cargo obeys it"),
    ("rust-toolchain", "rustup obeys it"),
    ("rust-toolchain.toml", "rustup obeys it"),
    ("package.json", "npm runs its scripts"),
    ("gulpfile.js", "gulp runs it"),
    ("gruntfile.js", "grunt runs it"),
    ("binding.gyp", "npm builds by it"),
    ("pnpm-workspace.yaml", "pnpm obeys it"),
    (".npmrc", "npm obeys it"),
    (".yarnrc", "yarn obeys it"),
    (".yarnrc.yml", "yarn obeys it"),
    (".pnpmfile.cjs", "pnpm runs it"),
    ("setup.py", "pip runs it"),
    ("setup.cfg", "pip obeys it"),
    ("pyproject.toml", "python tools obey it"),
    ("conftest.py", "pytest runs it"),
    ("noxfile.py", "nox runs it"),
    ("tox.ini", "tox obeys it"),
    ("sitecustomize.py", "python runs it"),
    ("usercustomize.py", "python runs it"),
    ("build.gradle", "gradle runs it"),
    ("build.gradle.kts", "gradle runs it"),
    ("settings.gradle", "gradle runs it"),
    ("settings.gradle.kts", "gradle runs it"),
    ("gradle-wrapper.properties", "gradle fetches by it"),
    ("gradlew", "runs the build"),
    ("pom.xml", "maven obeys it"),
    ("build.sbt", "sbt runs it"),
    ("package.swift", "swift runs it"),
    ("podfile", "cocoapods runs it"),
    ("mix.exs", "mix runs it"),
    (".lldbinit", "lldb runs it"),
    (".gdbinit", "gdb runs it"),
    (".python-version", "pyenv obeys it"),
    ("flake.nix", "nix runs it"),
    ("shell.nix", "nix runs it"),
    ("default.nix", "nix runs it"),
    (".gitlab-ci.yml", "runs in CI"),
    (".travis.yml", "runs in CI"),
    ("jenkinsfile", "runs in CI"),
    ("azure-pipelines.yml", "runs in CI"),
    ("bitbucket-pipelines.yml", "runs in CI"),
    (".drone.yml", "runs in CI"),
    ("cloudbuild.yaml", "runs in CI"),
    ("dockerfile", "docker runs it"),
    ("containerfile", "podman runs it"),
    ("docker-compose.yml", "docker runs it"),
    ("docker-compose.yaml", "docker runs it"),
    ("compose.yml", "docker runs it"),
    ("compose.yaml", "docker runs it"),
    ("vagrantfile", "vagrant runs it"),
    ("procfile", "foreman runs it"),
    ("agents.md", "agents obey it"),
    ("claude.md", "agents obey it"),
    ("claude.local.md", "agents obey it"),
    ("gemini.md", "agents obey it"),
    (".cursorrules", "agents obey it"),
    (".windsurfrules", "agents obey it"),
    (".mcp.json", "agents start servers by it"),
    (".aider.conf.yml", "agents obey it"),
    ("agentdeck.toml", "agentdeck obeys it"),
    (".vimrc", "vim runs it"),
    (".nvimrc", "nvim runs it"),
    (".nvim.lua", "nvim runs it"),
    (".exrc", "vim runs it"),
    (".dir-locals.el", "emacs runs it"),
    (".bashrc", "the shell runs it"),
    (".bash_profile", "the shell runs it"),
    (".zshrc", "the shell runs it"),
    (".zshenv", "the shell runs it"),
    (".profile", "the shell runs it"),
    ("mise.toml", "mise runs it"),
    (".mise.toml", "mise runs it"),
    (".tool-versions", "asdf obeys it"),
    (".eslintrc.js", "eslint runs it"),
    (".eslintrc.cjs", "eslint runs it"),
];

/// Directories, in lower case, at the root or below.
const DIRECTORIES: &[(&str, &str)] = &[
    (".git", "git obeys it"),
    (".githooks", "runs as a git hook"),
    (".husky", "runs as a git hook"),
    (".github/workflows", "runs in CI"),
    (".github/actions", "runs in CI"),
    (".circleci", "runs in CI"),
    (".buildkite", "runs in CI"),
    (".gitea/workflows", "runs in CI"),
    (".forgejo/workflows", "runs in CI"),
    (".woodpecker", "runs in CI"),
    (".gitlab", "runs in CI"),
    (".vscode", "the editor runs it"),
    (".idea", "the editor runs it"),
    (".fleet", "the editor runs it"),
    (".zed", "the editor runs it"),
    (".devcontainer", "the editor runs it"),
    (".cargo", "cargo obeys it"),
    (".claude", "agents obey it"),
    (".codex", "agents obey it"),
    (".gemini", "agents obey it"),
    (".cursor", "agents obey it"),
    (".aider", "agents obey it"),
    (".yarn/plugins", "yarn runs it"),
    (".yarn/releases", "yarn runs it"),
    (".mvn", "maven obeys it"),
];

const ENDINGS: &[(&str, &str)] = &[
    (".code-workspace", "the editor runs it"),
    (".mk", "make runs it"),
    (".cmake", "cmake runs it"),
    (".pth", "python runs it"),
    (".gemspec", "bundler runs it"),
    (".config.js", "a tool runs it"),
    (".config.cjs", "a tool runs it"),
    (".config.mjs", "a tool runs it"),
    (".config.ts", "a tool runs it"),
];

/// The files' indices, those that call for caution first, then by path; last what is not taken with
/// the others.
pub fn first(files: &[FileDiff]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|index| {
        let cautions = &files[*index].cautions;
        (cautions.contains(&Caution::Hidden), cautions.is_empty())
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(path: &str) -> Option<&'static str> {
        runs(&RepoPath::new(path))
    }

    #[test]
    fn what_runs_by_itself_is_known_wherever_it_lies() {
        for path in [
            ".vscode/tasks.json",
            ".envrc",
            "Makefile",
            "web/package.json",
            "build.rs",
            ".cargo/config.toml",
            "sub/.cargo/config.toml",
            "tests/conftest.py",
            ".claude/settings.json",
            ".codex/config.toml",
            ".gemini/settings.json",
            ".cursor/rules",
            ".mcp.json",
            ".github/workflows/ci.yml",
            ".gitattributes",
            ".gitmodules",
            "AGENTS.md",
            "docs/CLAUDE.md",
            ".husky/pre-commit",
            ".githooks/post-merge",
            ".gitlab-ci.yml",
            "Jenkinsfile",
            ".circleci/config.yml",
            "setup.py",
            "pyproject.toml",
            "Cargo.toml",
            "rust-toolchain.toml",
            "build.gradle.kts",
            "gradlew",
            "CMakeLists.txt",
            "justfile",
            "flake.nix",
            "Dockerfile",
            "compose.yaml",
            ".devcontainer/devcontainer.json",
            ".idea/runConfigurations/x.xml",
            "vite.config.ts",
            ".npmrc",
            ".pre-commit-config.yaml",
            "lefthook.yml",
            "GNUmakefile",
            "shop.code-workspace",
            "lib/evil.pth",
            ".nvim.lua",
        ] {
            assert!(by(path).is_some(), "{path}");
        }
    }

    #[test]
    fn ordinary_source_is_not_suspected() {
        for path in [
            "src/main.rs",
            "src/config.rs",
            "web/index.html",
            "README.md",
            "docs/make.md",
            "src/package.rs",
            "tests/setup.rs",
            "src/github/workflows.rs",
            "vscode/notes.txt",
            "src/build/mod.rs",
            "lib/makefile_parser.py",
            "data/claude.json",
            "a.mkv",
            "cargo/x.rs",
        ] {
            assert_eq!(by(path), None, "{path}");
        }
    }

    #[test]
    fn wider_permissions_and_links_are_said_narrower_ones_are_not() {
        let of = |old, new| of_file(&RepoPath::new("a"), old, new);
        assert_eq!(of(Some(0o100_644), Some(0o100_755)), [Caution::Executable]);
        assert_eq!(of(None, Some(0o100_755)), [Caution::Executable]);
        assert_eq!(of(Some(0o100_755), Some(0o100_644)), []);
        assert_eq!(of(Some(0o100_644), Some(0o120_000)), [Caution::Link]);
        assert_eq!(of_file(&RepoPath::new(".envrc"), Some(0o100_644), None), []);
    }

    #[test]
    fn hidden_characters_are_found_and_ordinary_text_is_not_suspected() {
        for line in ["a\u{202e}b", "zero\u{200b}width", "esc\u{1b}[2J", "tag\u{e0041}"] {
            assert!(hides(line.as_bytes()), "{line:?}");
        }
        for line in ["let x = 1;\r", "\tindented", "größe 日本", "\u{feff}first", ""] {
            assert!(!hides(line.as_bytes()), "{line:?}");
        }
        let path = RepoPath::new("a\u{202e}b");
        assert_eq!(of_file(&path, None, Some(0o100_644)), [Caution::Invisible { line: 0 }]);
    }
}

//! Piles of files that are whole or not: what a workspace and the user's repository hold.

use std::path::Path;

use crate::common::home::TestHome;

/// Files in a pile, enough for a kill to come between two of them.
const FILES: u32 = 40;
/// What stands in the repository without one.
const PRICE: &str = "one\ntwo\nthree\n";

/// One pile: many files of one word, a changed file, and one more that no other pile has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pile(Option<String>);

impl Pile {
    pub fn new(number: u32) -> Self {
        Self(Some(format!("pile-{number}")))
    }

    /// The base, without any.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn name(&self) -> &str {
        self.0.as_deref().unwrap_or("base")
    }

    /// What makes it in a workspace, whatever stands there.
    pub fn script(&self) -> String {
        let name = self.name();
        format!(
            "rm -rf pile; mkdir pile; i=0; while [ $i -lt {FILES} ]; do i=$((i+1)); \
             echo {name} >pile/$i; done; : >pile/only-{name}; echo {name} >price"
        )
    }

    /// What `price` holds.
    pub fn price(&self) -> String {
        self.0.as_ref().map_or_else(|| PRICE.to_owned(), |name| format!("{name}\n"))
    }

    /// What a directory holds, or what it lacks of any.
    pub fn of(directory: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            std::fs::read_to_string(directory.join(name))
                .map_err(|error| format!("{name}: {error}"))
        };
        let price = read("price")?;
        let names = std::fs::read_dir(directory.join("pile")).into_iter().flatten().flatten();
        let names: Vec<String> =
            names.map(|entry| entry.file_name().display().to_string()).collect();
        if price == PRICE {
            return if names.is_empty() { Ok(Self(None)) } else { Err(format!("also {names:?}")) };
        }
        let name = price.trim_end();
        let mut expected: Vec<String> = (1..=FILES).map(|number| number.to_string()).collect();
        for file in &expected {
            let text = read(&format!("pile/{file}"))?;
            if text != price {
                return Err(format!("{text:?} in pile/{file}, {price:?} elsewhere"));
            }
        }
        expected.push(format!("only-{name}"));
        let other: Vec<_> = names.iter().filter(|name| !expected.contains(name)).collect();
        if names.len() != expected.len() {
            return Err(format!("{} files, {other:?} among them", names.len()));
        }
        Ok(Self(Some(name.to_owned())))
    }
}

/// What the user's working tree holds, where index, branch and refs agree with it.
pub fn standing(test: &TestHome, base: &str) -> Result<Pile, String> {
    let pile = Pile::of(&test.repository)?;
    let head = test.git(&["rev-parse", "HEAD"]);
    let status = test.git(&["status", "--porcelain"]);
    let parents = test.git(&["log", "-1", "--format=%P"]);
    let at_base = head.trim() == base;
    let of_base = parents.split_whitespace().next() == Some(base);
    let fits = match (pile.0.is_some(), at_base) {
        // Nothing was taken, or it was taken back.
        (false, true) => status.is_empty(),
        // Applied: in the working tree alone.
        (true, true) => status.starts_with(" M price\n?? pile/\n") || status.contains("pile/"),
        // Merged: a commit on top of the base.
        (true, false) => of_base && status.is_empty(),
        (false, false) => false,
    };
    let format = ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags", "refs/stash"];
    let refs = test.git(&format);
    if fits && refs == "refs/heads/main\n" {
        Ok(pile)
    } else {
        Err(format!("{pile:?} with HEAD {head} of {parents}, refs {refs:?}, status {status:?}"))
    }
}

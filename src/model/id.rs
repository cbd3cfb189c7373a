//! Identifiers. Every id is a type of its own, so that one is never passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};

/// The identity of an environment: eight characters of `a-z2-7`, made once and never reused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentId(String);

impl EnvironmentId {
    /// Length of the text form, in characters.
    pub const LENGTH: usize = 8;

    /// Makes an id from random bytes, of which 40 bits are used.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let text = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
        Self(text)
    }

    /// Reads the text form back; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = text.len() == Self::LENGTH
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        shape.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name a person gives an environment: 1 to 40 of `a-z 0-9 -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// Longest name, in characters.
    pub const MAX_LENGTH: usize = 40;

    /// Checks the shape; the failure names the text and says what a name may hold.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let shape = text.len() <= Self::MAX_LENGTH
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if starts_well && shape {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::new(
            FailureKind::Invalid,
            format!("{text:?} is not a name for an environment"),
        )
        .hint(
            "use 1 to 40 lower-case letters, digits and hyphens, starting with a letter or digit",
        ))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EnvironmentName {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        Self::parse(&text)
    }
}

impl From<EnvironmentName> for String {
    fn from(name: EnvironmentName) -> Self {
        name.0
    }
}

/// One PTY of an environment; 0 is the agent's, higher numbers are shells in the order they opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

impl SessionId {
    /// The agent's own session.
    pub const AGENT: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a git object as lower-case hexadecimal: 40 digits (SHA-1) or 64 (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// Accepts a full hexadecimal name; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = matches!(text.len(), 40 | 64)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        shape.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user's repository as the deck knows it: a digest of its canonical git directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryId(pub String);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One apply, merge or discard, numbered in the order they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(pub u64);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Milliseconds since the Unix epoch, as the server's clock had it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Seconds from this moment to a later one; zero when that has passed.
    pub fn seconds_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 1000
    }

    /// Seconds from this moment to `now`; zero when the clock went back.
    pub fn age_seconds(self, now: Self) -> u64 {
        now.0.saturating_sub(self.0) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_the_reason() {
        for bad in ["", "-x", "Über", "a b", "../x", &"a".repeat(41)] {
            let failure = EnvironmentName::parse(bad).expect_err("a bad name");
            assert!(failure.message.contains(&format!("{bad:?}")), "{failure:?}");
            assert!(failure.hint.is_some());
        }
        assert_eq!(
            EnvironmentName::parse("brave-otter2").expect("a good name").as_str(),
            "brave-otter2"
        );
    }

    #[test]
    fn an_environment_id_survives_its_text_form() {
        let id = EnvironmentId::from_random([0, 255, 3, 200, 17, 31, 32, 64]);
        assert_eq!(EnvironmentId::parse(id.as_str()), Some(id));
        assert_eq!(EnvironmentId::parse("../../ab"), None);
    }
}

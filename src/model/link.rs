//! Links that programs put behind their text: what names one, and which may be opened.

use serde::{Deserialize, Serialize};

use super::lines::{Lines, Spot};
use super::screen::Row;

/// Names a link within a session: the same for the same address, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub u64);

/// Longest address that is kept, in bytes: what browsers and other terminals take.
pub const LONGEST: usize = 2083;

/// Whether an address is one that can be kept: ASCII that is seen, with a scheme before it.
///
/// Everything else in an address has to be escaped (RFC 3986, section 2), and whoever did not do
/// so has something else in mind.
pub fn is_address(address: &str) -> bool {
    let seen = |byte: u8| byte.is_ascii_graphic();
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let scheme = address.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(in_scheme)
            && !rest.is_empty()
    });
    address.len() <= LONGEST && address.bytes().all(seen) && scheme
}

/// The host that a browser goes to by an address, where it may be handed to one.
///
/// Only `http` and `https`; nothing but the characters of RFC 3986, as browsers read others in ways
/// of their own (a backslash is a slash to them); and no name of a user, which is put there to be
/// read as the host.
pub fn opens(address: &str) -> Option<&str> {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if !is_address(address) || !address.bytes().all(allowed) {
        return None;
    }
    let (scheme, rest) = address.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let named = authority.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
    (named && authority.bytes().all(in_host)).then_some(authority)
}

impl Row {
    /// Where links begin and end in it, as columns, and which they are.
    fn links(&self) -> Vec<(u16, u16, LinkId)> {
        let mut links: Vec<(u16, u16, LinkId)> = Vec::new();
        let mut column = 0_u16;
        for run in &self.runs {
            let end = column.saturating_add(run.cells);
            match (run.style.link, links.last_mut()) {
                (Some(link), Some((_, last, known))) if *known == link && *last == column => {
                    *last = end;
                }
                (Some(link), _) => links.push((column, end, link)),
                (None, _) => {}
            }
            column = end;
        }
        links
    }

    /// The link at a column.
    pub fn link_at(&self, column: u16) -> Option<LinkId> {
        let here = |(first, end, _): &(u16, u16, LinkId)| (*first..*end).contains(&column);
        self.links().into_iter().find(here).map(|(_, _, link)| link)
    }
}

impl Lines {
    /// The link at a spot.
    pub fn link_at(&self, spot: Spot) -> Option<LinkId> {
        self.row(spot.line)?.link_at(spot.column)
    }

    /// Where the last link begins that begins before a spot, among the lines that are here.
    pub fn link_before(&self, spot: Spot) -> Option<Spot> {
        let last = spot.line.min(self.end().saturating_sub(1));
        (self.start..=last).rev().find_map(|line| {
            let starts = self.row(line)?.links().into_iter().rev();
            let starts = starts.filter(|(first, _, link)| !self.goes_on(line, *first, *link));
            let spots = starts.map(|(column, _, _)| Spot { line, column });
            spots.into_iter().find(|found| *found < spot)
        })
    }

    /// Whether a link at the beginning of a line is that at the end of the one that wrapped into it.
    fn goes_on(&self, line: u32, column: u16, link: LinkId) -> bool {
        let before = line.checked_sub(1).and_then(|line| self.row(line));
        column == 0
            && before.is_some_and(|row| {
                row.wrapped && row.links().last().is_some_and(|(_, _, known)| *known == link)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::screen::{Run, Style};

    fn row(parts: &[(&str, u64)], wrapped: bool) -> Row {
        let run = |(text, link): &(&str, u64)| Run {
            text: (*text).to_owned(),
            cells: text.len() as u16,
            style: Style { link: (*link > 0).then_some(LinkId(*link)), ..Style::default() },
        };
        Row { runs: parts.iter().map(run).collect(), wrapped }
    }

    #[test]
    fn links_are_gone_to_one_by_one_however_they_are_cut() {
        let rows = vec![
            row(&[("ab", 0), ("cd", 1), ("e", 1)], true),
            row(&[("fg", 1), ("h", 2)], false),
            row(&[("none", 0)], false),
        ];
        let lines = Lines { oldest: 7, total: 10, columns: 5, start: 7, rows };
        let spot = |line, column| Spot { line, column };
        assert_eq!(lines.link_at(spot(8, 1)), Some(LinkId(1)));
        assert_eq!(lines.link_at(spot(7, 1)), None);
        assert_eq!(lines.link_before(spot(u32::MAX, 0)), Some(spot(8, 2)));
        assert_eq!(lines.link_before(spot(8, 2)), Some(spot(7, 2)));
        assert_eq!(lines.link_before(spot(7, 2)), None);
        assert_eq!(Lines::default().link_before(spot(0, 0)), None);
    }

    #[test]
    fn an_address_has_a_scheme_and_nothing_that_is_not_seen() {
        for address in ["https://example.org/a?b=c#d", "file:///etc/passwd", "mailto:a@b", "x:y"] {
            assert!(is_address(address), "{address}");
        }
        let long = format!("https://example.org/{}", "a".repeat(LONGEST));
        for address in [
            "",
            "https",
            "https:",
            "://x",
            "1a:b",
            "a b:c",
            "https://a b",
            "https://a\n",
            "https://a\x1b[m",
            "https://a\u{7f}",
            "https://ä",
            "https://a\u{202e}",
            &long,
        ] {
            assert!(!is_address(address), "{address:?}");
        }
    }

    #[test]
    fn only_pages_are_opened_and_only_where_the_host_is_what_it_looks_like() {
        for (address, host) in [
            ("https://example.org", "example.org"),
            ("HTTP://example.org:8080/a@b", "example.org:8080"),
            ("https://[2001:db8::1]/x", "[2001:db8::1]"),
            ("https://xn--e1awd7f.com?a", "xn--e1awd7f.com"),
        ] {
            assert_eq!(opens(address), Some(host));
        }
        for address in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "mailto:a@b?attach=/etc/passwd",
            "ftp://example.org/",
            "x-terminal://example.org/",
            "https:example.org",
            "https:///example.org",
            "https://example.org@evil.test/",
            "https://evil.test\\@example.org/",
            "https://evil.test\"/",
            "https://%65vil.test/",
            "https://-oProxyCommand/",
        ] {
            assert!(is_address(address), "{address}");
            assert_eq!(opens(address), None, "{address}");
        }
    }
}

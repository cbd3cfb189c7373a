//! `$Id$` in files, which git replaces by the name of their blob when it checks them out (`ident` in
//! gitattributes(5)).

use gix::ObjectId;
use gix::bstr::ByteSlice as _;

/// What is replaced, without its end.
const BEGINNING: &[u8] = b"$Id";

/// A place in a text that is replaced.
struct Place<'t> {
    before: &'t [u8],
    /// What stands between colon and end; `None` without a colon.
    inside: Option<&'t [u8]>,
    after: &'t [u8],
}

/// The first such place. It ends on the line on which it begins.
fn find(text: &[u8]) -> Option<Place<'_>> {
    let mut from = 0;
    while let Some(found) = text[from..].find(BEGINNING) {
        let end = from + found + BEGINNING.len();
        match text.get(end) {
            Some(b'$') => {
                let (before, after) = (&text[..from + found], &text[end + 1..]);
                return Some(Place { before, inside: None, after });
            }
            Some(b':') => {
                let inside = &text[end + 1..];
                let close = inside.find_byte(b'$')?;
                let (inside, after) = (&inside[..close], &inside[close + 1..]);
                if !inside.contains(&b'\n') {
                    let before = &text[..from + found];
                    return Some(Place { before, inside: Some(inside), after });
                }
            }
            _ => {}
        }
        from = end;
    }
    None
}

/// Whether it may be what git wrote: another program's has words.
fn is_gits(inside: &[u8]) -> bool {
    let rest = inside.get(1..).unwrap_or_default();
    rest.find_byte(b' ').is_none_or(|space| space + 1 == rest.len())
}

/// A blob as it is checked out; `None` where that is no other.
pub(super) fn expanded(blob: &[u8], id: &ObjectId) -> Option<Vec<u8>> {
    let (mut text, mut rest) = (Vec::new(), blob);
    while let Some(Place { before, inside, after }) = find(rest) {
        text.extend_from_slice(before);
        if inside.is_none_or(is_gits) {
            text.extend(format!("$Id: {id} $").into_bytes());
            rest = after;
        } else {
            // Its end may be another's beginning.
            text.extend_from_slice(BEGINNING);
            rest = &rest[before.len() + BEGINNING.len()..];
        }
    }
    finished(text, rest, blob)
}

/// A file as it is stored; `None` where that is no other.
pub(super) fn collapsed(file: &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut rest) = (Vec::new(), file);
    while let Some(Place { before, after, .. }) = find(rest) {
        text.extend_from_slice(before);
        text.extend_from_slice(b"$Id$");
        rest = after;
    }
    finished(text, rest, file)
}

fn finished(mut text: Vec<u8>, rest: &[u8], from: &[u8]) -> Option<Vec<u8>> {
    text.extend_from_slice(rest);
    (text != from).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_wrote_is_replaced_and_what_another_program_wrote_stays() {
        let id = ObjectId::null(gix::hash::Kind::Sha1);
        let new = format!("$Id: {id} $");
        let collapse = |text: &str| collapsed(text.as_bytes());
        for (blob, expected) in [
            ("a $Id$ b", Some(format!("a {new} b"))),
            ("$Id: 12 $$Id$", Some(format!("{new}{new}"))),
            ("$Id:$", Some(new.clone())),
            ("$Id: a.c 1.2 ada $ $Id$", Some(format!("$Id: a.c 1.2 ada $ {new}"))),
            ("$Id: over\nlines $ $Id$", Some(format!("$Id: over\nlines $ {new}"))),
            ("$Id: no end", None),
            ("$Idea$ $id$ Id$", None),
        ] {
            let found = expanded(blob.as_bytes(), &id);
            assert_eq!(found, expected.map(String::into_bytes), "{blob}");
        }
        assert_eq!(collapse(&format!("a {new} b")), Some(b"a $Id$ b".to_vec()));
        assert_eq!(collapse("$Id: a.c 1.2 ada $"), Some(b"$Id$".to_vec()));
        assert_eq!(collapse("$Id: over\nlines $ $Id$ $Id: no end"), None);
    }
}

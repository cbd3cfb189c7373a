//! Streams that nobody would think of.

use proptest::prelude::*;

use super::*;

/// One part of a name as somebody would write it who wants out, or in.
fn part() -> impl Strategy<Value = &'static str> {
    let parts =
        ["a", "planted", "planted-file", "mine", "..", ".", "", ".git", "/", "tree", "secret"];
    prop::sample::select(parts.to_vec())
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/").into_bytes())
}

fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"0125LKxg346".to_vec());
    let content = prop::collection::vec(any::<u8>(), 0..40);
    (kind, name(), name(), content)
        .prop_map(|(kind, name, link, content)| entry(kind, &name, &link, &content))
}

proptest! {
    #[test]
    fn whatever_a_stream_says_stays_below_the_target(
        entries in prop::collection::vec(any_entry(), 1..7),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        into in any::<bool>(),
    ) {
        let ground = Ground::new();
        let sibling = |root: &Path| picture(root)[Path::new("target-sibling/kept")].clone();
        let before = (ground.outside(), sibling(ground.root.path()));
        let mut bytes = stream(&entries);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let placement = if into { Placement::Into } else { Placement::Copy };
        let _ = unpack(bytes.as_slice(), &ground.target(), placement);
        let _ = unpack_outside(bytes.as_slice(), &ground.target(), b"a");
        let after = (ground.outside(), sibling(ground.root.path()));
        prop_assert_eq!(after, before);
    }
}

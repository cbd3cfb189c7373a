//! What a box sends in the place of what was asked for.

use super::*;

#[test]
fn what_a_copy_is_called_is_for_who_asks_to_say() {
    let entries = [file("mine", "2")];
    let control = Ground::new();
    unpack(stream(&entries).as_slice(), &control.target(), Placement::Copy).expect("written");
    let kept = |ground: &Ground| fs::read(ground.target().join("mine")).ok();
    let control = kept(&control);
    assert_eq!(control.as_deref(), Some(&b"2"[..]), "this proves nothing");

    let ground = Ground::new();
    let before = kept(&ground);
    unpack_outside(stream(&entries).as_slice(), &ground.target(), b"out/report")
        .expect("written under the name that was asked for");
    assert_eq!(kept(&ground), before);
    assert_eq!(fs::read(ground.target().join("report")).expect("written"), b"2");
}

#[test]
fn a_directorys_content_is_written_only_where_that_was_asked_for() {
    let entries = [directory("."), file("mine", "2")];
    for asked in [&b"out"[..], b"out/", b"/out/report"] {
        let ground = Ground::new();
        let before = picture(&ground.target());
        let error = unpack_outside(stream(&entries).as_slice(), &ground.target(), asked)
            .expect_err("refused");
        assert!(format!("{error:#}").contains("something else"), "{error:#}");
        assert_eq!(picture(&ground.target()), before);
    }
    let ground = Ground::new();
    for asked in [&b"."[..], b"out/.", b"/"] {
        unpack_outside(stream(&entries).as_slice(), &ground.target(), asked).expect("its content");
        let named = [file("mine", "3")];
        unpack_outside(stream(&named).as_slice(), &ground.target(), asked).expect_err("a name");
    }
    assert_eq!(fs::read(ground.target().join("mine")).expect("written"), b"2");
}

#[test]
fn a_name_that_says_nothing_or_is_gits_is_refused() {
    let entries = [directory("x"), file("x/config", "[core]")];
    for asked in [&b".."[..], b"a/..", b"a/../", b".git", b"a/.GIT/"] {
        let ground = Ground::new();
        let before = picture(&ground.target());
        unpack_outside(stream(&entries).as_slice(), &ground.target(), asked).expect_err("refused");
        assert_eq!(picture(&ground.target()), before);
    }
}

//! Output as programs write it: text of many kinds and the sequences they use, well-formed or not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Sequences of no parameter or a telling one.
const FIXED: [&str; 52] = [
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\t",
    "\x08",
    "\x07",
    "\x0e",
    "\x0f",
    "\x1b7",
    "\x1b8",
    "\x1bM",
    "\x1bD",
    "\x1bE",
    "\x1bH",
    "\x1bc",
    "\x1b#8",
    "\x1b(0",
    "\x1b(B",
    "\x1b)0",
    "\x1b=",
    "\x1b>",
    "\x1b[!p",
    "\x1b[s",
    "\x1b[u",
    "\x1b[6n",
    "\x1b[c",
    "\x1b[>c",
    "\x1b[>q",
    "\x1b[?u",
    "\x1b[>5u",
    "\x1b[<u",
    "\x1b[=3;2u",
    "\x1b[22;0t",
    "\x1b[23;0t",
    "\x1b]0;a title\x07",
    "\x1b]2;✳ working\x1b\\",
    "\x1b]11;?\x1b\\",
    "\x1b]7501;state=blocked:kind=permission:msg=b2theQ==\x1b\\",
    "\x1b]7501;state=working:id=a/b\x07",
    "\x1b]133;A\x07",
    "\x1b]8;;http://x\x1b\\",
    "\x1b]8;id=a:b=c;https://y/;?\x07",
    "\x1b]8;;\x1b\\",
    "\x1b]9;done\x07",
    "\x1b]52;c;YWI=\x1b\\",
    "\x1b]8;;no address\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b_Gi=1;AAAA\x1b\\",
    "\x1b[2 q",
    "\x1b[5 q",
    "\x1b[3g",
];
const MODES: [u16; 20] = [
    1, 3, 6, 7, 12, 25, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1047, 1048, 1049, 2004, 2026,
    31,
];
const WORDS: [&str; 14] = [
    "a",
    "word",
    "the quick brown fox",
    "中文字",
    "é",
    "e\u{301}",
    "👍🏽",
    "👨\u{200d}👩\u{200d}👧",
    "─│┌",
    "qqxx",
    "🇩🇪",
    "ｱ",
    "x\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}",
    "  ",
];
const STYLES: [&str; 22] = [
    "",
    "0",
    "1",
    "2",
    "3",
    "4",
    "4:3",
    "4:2",
    "7",
    "8",
    "9",
    "22",
    "24",
    "27",
    "31",
    "42",
    "97",
    "104",
    "38;5;200",
    "48;2;10;20;30",
    "38:2::1:2:3",
    "58;5;9",
];

/// Sequences and characters without their end, or with controls inside.
const TORN: [&[u8]; 7] =
    [b"\x1b", b"\x1b[", b"\x1b[3", b"\x1b]0;t", b"\x1bP", b"\xe4\xb8", b"\x1b[1\n2m"];

/// One piece of output, whole.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        3 => "[ -~]{1,30}".prop_map(String::into_bytes),
        5 => select(&FIXED[..]).prop_map(|fixed| fixed.as_bytes().to_vec()),
        4 => vec(select(&STYLES[..]), 1..4).prop_map(|all| format!("\x1b[{}m", all.join(";")).into()),
        6 => (vec(0_u16..12, 0..3), select(&b"ABCDEFGHIJKLMPSTXZ@abdefr`"[..])).prop_map(csi),
        1 => (vec(any::<u16>(), 0..3), select(&b"ABCDEFGHIJKLMPSTXZ@abdefr`"[..])).prop_map(csi),
        2 => (select(&MODES[..]), select(&b"hl"[..]))
            .prop_map(|(mode, last)| format!("\x1b[?{mode}{}", char::from(last)).into()),
        1 => (select(vec![4_u16, 20]), select(&b"hl"[..]))
            .prop_map(|(mode, last)| format!("\x1b[{mode}{}", char::from(last)).into()),
        1 => vec(any::<u8>(), 1..6),
        1 => select(&TORN[..]).prop_map(<[u8]>::to_vec),
    ]
}

fn csi((numbers, last): (Vec<u16>, u8)) -> Vec<u8> {
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    format!("\x1b[{}{}", numbers.join(";"), char::from(last)).into_bytes()
}

/// A stretch of output.
pub(super) fn output() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

/// Text and the commonest sequences, which the grid's own crate writes as we do.
pub(super) fn text() -> impl Strategy<Value = Vec<u8>> {
    let sequence = prop_oneof![
        6 => select(&WORDS[..6]).prop_map(|word| word.as_bytes().to_vec()),
        8 => "[ -~]{1,40}".prop_map(String::into_bytes),
        6 => select(&["\r\n", "\n", "\r", "\t", "\x08"][..]).prop_map(Vec::from),
        2 => select(&STYLES[..15]).prop_map(|style| format!("\x1b[{style}m").into()),
        2 => (vec(0_u16..12, 2), select(&b"ABCDH"[..])).prop_map(csi),
        1 => select(&["\x1b[?7l", "\x1b[?7h", "\x1b(0", "\x1b(B"][..]).prop_map(Vec::from),
    ];
    vec(sequence, 0..60).prop_map(|pieces| pieces.concat())
}

/// Some lines over and over, now and then with something else among them.
pub(super) fn flood() -> impl Strategy<Value = Vec<u8>> {
    let lines = vec(select(&WORDS[..]), 1..6);
    let end = select(&["\r\n", "\r\n", "\r\n", "\n"][..]);
    let odd = vec((0_usize..1_500, piece()), 0..2);
    (lines, end, odd, 1_000_usize..1_500).prop_map(|(lines, end, odd, count)| {
        let mut flood = Vec::new();
        for (number, line) in lines.iter().cycle().take(count).enumerate() {
            flood.extend(format!("{number}{line}{end}").into_bytes());
            flood.extend(odd.iter().filter(|(at, _)| *at == number).flat_map(|(_, odd)| odd));
        }
        flood
    })
}

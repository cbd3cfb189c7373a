use proptest::prelude::*;

use super::*;

/// Stretches as text: common lines as they are, rows with their cells apart by `|`, a dash where a
/// column has no line; the groups in front of them.
fn drawn(texts: &[&str]) -> Vec<String> {
    let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut drawn = Vec::new();
    for stretch in stretches(&texts) {
        match stretch {
            Stretch::Common { starts, lines } => {
                let words: Vec<_> =
                    lines.iter().map(|line| String::from_utf8_lossy(&line.0)).collect();
                drawn.push(format!("{starts:?} {}", words.join(" ")));
            }
            Stretch::Changed { groups, rows } => {
                drawn.push(format!("groups {groups:?}"));
                let cell = |cell: &Option<AlignedCell>| match cell {
                    None => "-".to_owned(),
                    Some(cell) => {
                        format!("{}{}", cell.number, String::from_utf8_lossy(&cell.text.0))
                    }
                };
                drawn.extend(
                    rows.iter().map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")),
                );
            }
        }
    }
    drawn
}

#[test]
fn what_all_share_is_common_and_the_rest_stands_beside_it() {
    assert_eq!(
        drawn(&["a\nb\nc\n", "a\nB\nc\n", "a\nx\ny\nb\n"]),
        ["[1, 1, 1] a", "groups [0, 1, 2]", "-|-|2x", "-|-|3y", "2b|2B|4b", "3c|3c|-"]
    );
    assert_eq!(
        drawn(&["a\nb\nc\nd\n", "a\nb\nc\nnew\nd\n", "z\na\nb\nc\nd\n"]),
        [
            "groups [0, 0, 1]",
            "-|-|1z",
            "[1, 1, 2] a b c",
            "groups [0, 1, 0]",
            "-|4new|-",
            "[4, 5, 5] d"
        ]
    );
}

#[test]
fn attempts_that_add_the_same_stand_in_one_row_and_share_a_group() {
    assert_eq!(
        drawn(&["a\n", "a\none\ntwo\n", "a\nzero\none\ntwo\n", "a\none\ntwo\n"]),
        [
            "[1, 1, 1, 1] a",
            "groups [0, 1, 2, 1]",
            "-|-|2zero|-",
            "-|2one|3one|2one",
            "-|3two|4two|3two"
        ]
    );
}

#[test]
fn a_changed_line_stands_beside_the_one_it_is_like() {
    assert_eq!(
        drawn(&["let limit = 1;\n", "use web;\nlet limit = 2;\n"]),
        ["groups [0, 1]", "-|1use web;", "1let limit = 1;|2let limit = 2;"]
    );
}

#[test]
fn a_file_that_only_attempts_have_is_one_stretch() {
    assert_eq!(drawn(&["", "new\n", ""]), ["groups [0, 1, 0]", "-|1new|-"]);
    assert_eq!(drawn(&["", ""]), [""; 0]);
}

proptest! {
    #[test]
    fn every_column_reads_as_its_own_text_and_is_numbered_without_gaps(
        texts in prop::collection::vec(prop::collection::vec(0_u8..4, 0..12), 1..5)
    ) {
        let texts: Vec<Vec<u8>> = texts
            .iter()
            .map(|lines| lines.iter().flat_map(|line| [b'a' + line, b'\n']).collect())
            .collect();
        let made = stretches(&texts);
        for (column, text) in texts.iter().enumerate() {
            let mut read: Vec<(u32, Vec<u8>)> = Vec::new();
            for stretch in &made {
                match stretch {
                    Stretch::Common { starts, lines } => {
                        read.extend((starts[column]..).zip(lines.iter().map(|line| line.0.clone())));
                    }
                    Stretch::Changed { rows, .. } => {
                        let cells = rows.iter().filter_map(|row| row.cells[column].as_ref());
                        read.extend(cells.map(|cell| (cell.number, cell.text.0.clone())));
                    }
                }
            }
            let expected: Vec<(u32, Vec<u8>)> = (1..)
                .zip(text.split_inclusive(|byte| *byte == b'\n'))
                .map(|(number, line)| (number, line[..line.len() - 1].to_vec()))
                .collect();
            prop_assert_eq!(read, expected);
        }
        for stretch in &made {
            if let Stretch::Changed { groups, rows } = stretch {
                prop_assert!(groups.iter().any(|group| *group != 0), "a change that is none");
                for (one, first) in groups.iter().enumerate() {
                    for (other, second) in groups.iter().enumerate() {
                        let column = |column: usize| -> Vec<&LineText> {
                            rows.iter().filter_map(|row| Some(&row.cells[column].as_ref()?.text)).collect()
                        };
                        prop_assert_eq!(column(one) == column(other), first == second);
                    }
                }
            }
        }
    }
}

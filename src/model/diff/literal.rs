//! Contents without lines, as git writes them into a patch that it can apply and take back.

use serde::{Deserialize, Serialize};

/// Both sides of a file as git's binary patches have them. What a side lacks is as an empty file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Literal {
    #[serde(with = "serde_bytes")]
    pub old: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub new: Vec<u8>,
}

/// An empty file in that form.
pub const EMPTY: &[u8] = b"literal 0\nHcmV?d00001\n";

/// Bytes in a line, which begins with their number as a letter.
pub const LINE: usize = 52;

/// The digits of git's base 85.
const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// A content of this size, in bytes, that was deflated.
pub fn block(size: usize, deflated: &[u8]) -> Vec<u8> {
    let mut out = format!("literal {size}\n").into_bytes();
    write_deflated(deflated, &mut out);
    out
}

/// Appends deflated bytes as lines. All but the last part of a content are a multiple of [`LINE`].
pub fn write_deflated(deflated: &[u8], out: &mut Vec<u8>) {
    out.reserve(deflated.len() / LINE * (LINE / 4 * 5 + 2) + LINE * 2);
    for line in deflated.chunks(LINE) {
        let count = line.len() as u8;
        out.push(if count <= 26 { b'A' + count - 1 } else { b'a' + count - 27 });
        for group in line.chunks(4) {
            let mut word = [0; 4];
            word[..group.len()].copy_from_slice(group);
            let mut rest = u32::from_be_bytes(word);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(rest % 85) as usize];
                rest /= 85;
            }
            out.extend_from_slice(&digits);
        }
        out.push(b'\n');
    }
}

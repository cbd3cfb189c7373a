//! What the server and a shim say to each other.
//!
//! The protocol is versioned on its own, because a shim outlives upgrades of the server: fields
//! may be added, none is ever removed or changes its meaning, and a shim answers a request it does
//! not know with `Unsupported`. A frame is a 4-byte big-endian length of what follows, one byte
//! that tells the kind, and the payload.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::model::id::SessionId;
use crate::model::screen::Size;
use crate::model::status::Doing;

/// The version this binary speaks, told in both hellos.
pub const VERSION: u32 = 1;

/// The socket's name in the directory that the engine mounts into the box.
pub const SOCKET: &str = "shim.sock";

/// Largest payload of one frame, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// Input that may wait for a program that does not read, in bytes: a large paste. The server refuses
/// what is more, whole, because waiting would stall the other sessions' keys.
pub const INPUT_BOUND: usize = 1 << 20;

/// How much more of a session's input is taken each time that a shim tells of it, in bytes: often
/// enough for pastes, and never for a key by itself.
pub const INPUT_STEP: usize = 64 << 10;

/// Input that a shim keeps for a program, in bytes. The server knows of what was read up to a step
/// ago, so that all that it sends has room; a shim drops what comes beyond, as a terminal does.
pub const INPUT_KEPT: usize = INPUT_BOUND + INPUT_STEP;

/// Input in one frame, in bytes, so that no key waits long for a paste into another session.
pub const INPUT_CHUNK: usize = 64 << 10;

/// Requests to a shim.
///
/// A connection is for sessions unless its first request after the hello is one of `Exec`, `Pack`,
/// `Unpack`, `Listeners`, `HandBack` or `Dial`; then it is for that alone, which dies with the
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub enum ShimRequest {
    /// The first frame; answered with `Hello`.
    Hello {
        version: u32,
    },
    /// Opens a PTY and starts a program in it; answered with `Started` or `StartFailed`.
    Start {
        session: SessionId,
        program: Program,
        size: Size,
    },
    Resize {
        session: SessionId,
        size: Size,
    },
    /// From now on output frames of the session come on this connection, beginning at the absolute
    /// offset `from`, or with `Gap` where the ring no longer has it.
    Follow {
        session: SessionId,
        from: u64,
    },
    /// Sends a signal to the session's foreground process group.
    Signal {
        session: SessionId,
        signal: i32,
    },
    /// Hangs the session up and forgets it and its ring.
    Close {
        session: SessionId,
    },
    /// Runs a command with pipes; its output comes as `ExecOutput` frames, then `ExecExited`.
    Exec {
        program: Program,
    },
    /// Ends the standard input of this connection's command.
    ExecInputEnd,
    /// Sends what is at `path` as a tar stream, with the agent's rights; answered as `Exec` is.
    Pack {
        path: Vec<u8>,
    },
    /// Takes a tar stream as input and writes it at `path`, with the agent's rights; answered as
    /// `Exec` is. `into`: `path` is a directory that receives the entries under their own names.
    Unpack {
        path: Vec<u8>,
        into: bool,
    },
    /// Tells the ports that programs listen on, as JSON lines of output; answered as `Exec` is.
    Listeners,
    /// Makes the agent the owner of what is in these directories and is another's, with the rights
    /// of the box's root; answered as `Exec` is.
    HandBack {
        places: Vec<Place>,
    },
    /// Connects to a port of the box's loopback; answered with `Dialled` or `DialFailed`. After
    /// `Dialled` the connection has no more frames: it carries the bytes of the stream.
    Dial {
        port: u16,
    },
    /// Hangs up every session, after `grace_ms` kills what is left, and ends the box.
    Stop {
        grace_ms: u64,
    },
    #[serde(other)]
    Unknown,
}

/// A directory of the user's that a box has, by its path there. Its numbers on the host tell it from
/// whatever stands at that path by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub path: String,
    pub device: u64,
    pub inode: u64,
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum ShimEvent {
    Hello {
        version: u32,
        sessions: Vec<SessionReport>,
        /// It tells of input that is taken. Older shims do not.
        #[serde(default)]
        counts_input: bool,
    },
    Started {
        session: SessionId,
    },
    StartFailed {
        session: SessionId,
        message: String,
        /// The box has no such program; installing it may help.
        #[serde(default)]
        not_found: bool,
    },
    /// The program of the session ended; its remaining output follows or has been sent.
    Exited {
        session: SessionId,
        code: i32,
    },
    /// Output from `from` up to `to` left the ring unread.
    Gap {
        session: SessionId,
        from: u64,
        to: u64,
        /// Brings a terminal on its main screen into the modes at `to`. Empty: not known.
        #[serde(default)]
        modes: String,
        /// The beginning of a sequence that `to` cuts in two.
        #[serde(default)]
        unfinished: String,
    },
    /// So many bytes of a session's input in all were taken by its program, or are for nobody. Told
    /// once for each `INPUT_STEP` of them.
    InputTaken {
        session: SessionId,
        total: u64,
    },
    /// What a session's program says of itself by its hooks, as it stands; told when it changes. A
    /// claim: its words are those of whatever runs in the box.
    Told {
        session: SessionId,
        /// Raised by each message, however many are told of at once.
        number: u64,
        state: Option<Doing>,
        says: Option<String>,
    },
    /// Messages of programs that were no messages, in all. Told when the count has doubled.
    Refused {
        count: u64,
    },
    /// Whether a session's own program has its terminal, or one that it started.
    Foreground {
        session: SessionId,
        own: bool,
    },
    ExecExited {
        code: i32,
    },
    ExecFailed {
        message: String,
    },
    Dialled,
    DialFailed {
        message: String,
    },
    Unsupported {
        request: String,
    },
    #[serde(other)]
    Unknown,
}

/// A session as a shim has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport {
    pub session: SessionId,
    pub command: Vec<String>,
    pub size: Size,
    /// Offset of the oldest byte still in the ring, and of the next one to come.
    pub ring_start: u64,
    pub ring_end: u64,
    /// The exit code, once the program ended.
    pub exited: Option<i32>,
    /// Output before this offset was sent to some peer. Not told by older shims.
    #[serde(default)]
    pub delivered: Option<u64>,
    /// Bytes of input that came for it in all, and that were taken. Where the hello says so.
    #[serde(default)]
    pub input_received: u64,
    #[serde(default)]
    pub input_taken: u64,
    /// The command of the process in front of its terminal, as far as that tells it; empty where it
    /// cannot be told. Not told by older shims.
    #[serde(default)]
    pub foreground: Vec<String>,
}

/// A program to run in the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub command: Vec<String>,
    /// Added to the box's own variables.
    pub environment: Vec<(String, String)>,
    /// Absolute; left out, the workspace.
    #[serde(default)]
    pub directory: Option<String>,
    pub role: Role,
}

/// Under whose rights a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The agent and the human's shells: no capabilities, no new privileges, system call filter.
    Agent,
    /// Setup and `exec --root`: the box's root with the default capabilities of a container.
    Root,
}

/// One frame, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A `ShimRequest` or `ShimEvent` as JSON.
    Control(Vec<u8>),
    /// Output of a session; `offset` counts every byte the session ever printed.
    Output { session: SessionId, offset: u64, bytes: Vec<u8> },
    /// Bytes for a session's program.
    Input { session: SessionId, bytes: Vec<u8> },
    /// Standard output (1) or standard error (2) of this connection's command.
    ExecOutput { stream: u8, bytes: Vec<u8> },
    /// Standard input for this connection's command.
    ExecInput { bytes: Vec<u8> },
}

const CONTROL: u8 = 0;
const OUTPUT: u8 = 1;
const INPUT: u8 = 2;
const EXEC_OUTPUT: u8 = 3;
const EXEC_INPUT: u8 = 4;

/// What stands before the bytes of an output frame: its kind, the session and the offset.
const OUTPUT_HEAD: usize = 13;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is larger than {MAX_FRAME}")]
    TooLarge(usize),
    #[error("a frame of kind {0} is malformed or unknown")]
    Malformed(u8),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Frame {
    /// A control frame from a request or an event.
    pub fn control<T: Serialize>(message: &T) -> Self {
        Self::Control(serde_json::to_vec(message).expect("control messages have no failing parts"))
    }

    /// Appends the frame's bytes to `buffer`.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Control(json) => framed(buffer, CONTROL, |buffer| buffer.extend_from_slice(json)),
            Self::Output { session, offset, bytes } => {
                Self::encode_output(*session, *offset, buffer, |buffer| {
                    buffer.extend_from_slice(bytes);
                });
            }
            Self::Input { session, bytes } => framed(buffer, INPUT, |buffer| {
                buffer.extend_from_slice(&session.0.to_be_bytes());
                buffer.extend_from_slice(bytes);
            }),
            Self::ExecOutput { stream, bytes } => framed(buffer, EXEC_OUTPUT, |buffer| {
                buffer.push(*stream);
                buffer.extend_from_slice(bytes);
            }),
            Self::ExecInput { bytes } => {
                framed(buffer, EXEC_INPUT, |buffer| buffer.extend_from_slice(bytes));
            }
        }
    }

    /// Appends a frame of output whose bytes `fill` appends, so that a flood is copied once.
    pub(super) fn encode_output(
        session: SessionId,
        offset: u64,
        buffer: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        framed(buffer, OUTPUT, |buffer| {
            buffer.extend_from_slice(&session.0.to_be_bytes());
            buffer.extend_from_slice(&offset.to_be_bytes());
            fill(buffer);
        });
    }

    /// Reads a frame, other than one of output, from what followed its length.
    fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let (kind, payload) = body.split_first().ok_or(FrameError::Malformed(u8::MAX))?;
        let malformed = || FrameError::Malformed(*kind);
        match *kind {
            CONTROL => Ok(Self::Control(payload.to_vec())),
            INPUT => {
                let (session, bytes) = payload.split_first_chunk().ok_or_else(malformed)?;
                Ok(Self::Input {
                    session: SessionId(u32::from_be_bytes(*session)),
                    bytes: bytes.to_vec(),
                })
            }
            EXEC_OUTPUT => {
                let (stream, bytes) = payload.split_first().ok_or_else(malformed)?;
                Ok(Self::ExecOutput { stream: *stream, bytes: bytes.to_vec() })
            }
            EXEC_INPUT => Ok(Self::ExecInput { bytes: payload.to_vec() }),
            _ => Err(malformed()),
        }
    }
}

/// Appends a frame whose payload `fill` appends.
fn framed(buffer: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0, 0, 0, 0, kind]);
    fill(buffer);
    let length = (buffer.len() - start - 4) as u32;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Reads one frame; `None` when the peer closed between frames. Not safe to cancel.
pub async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Option<Frame>, FrameError> {
    let mut length = [0; 4];
    if reader.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME + 16 {
        return Err(FrameError::TooLarge(length));
    }
    let mut head = [0; OUTPUT_HEAD];
    let first = length.min(OUTPUT_HEAD);
    reader.read_exact(&mut head[..first]).await?;
    let rest = read_bytes(reader, length - first).await?;
    let head = &head[..first];
    if let [OUTPUT, a, b, c, d, offset @ ..] = head
        && let Ok(offset) = <[u8; 8]>::try_from(offset)
    {
        let session = SessionId(u32::from_be_bytes([*a, *b, *c, *d]));
        let offset = u64::from_be_bytes(offset);
        return Ok(Some(Frame::Output { session, offset, bytes: rest }));
    }
    Frame::decode(&[head, &rest].concat()).map(Some)
}

/// Reads `count` bytes into memory that is not written before.
async fn read_bytes<R: AsyncRead + Unpin>(reader: &mut R, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let rest = (count - bytes.len()) as u64;
        if (&mut *reader).take(rest).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

/// Writes one frame whole. Not safe to cancel.
pub async fn write_frame<W: AsyncWrite + Unpin>(
    writer: &mut W,
    frame: &Frame,
) -> Result<(), FrameError> {
    let mut buffer = Vec::new();
    frame.encode(&mut buffer);
    writer.write_all(&buffer).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_frame_survives_the_wire() {
        let frames = [
            Frame::control(&ShimRequest::Hello { version: VERSION }),
            Frame::Output { session: SessionId(3), offset: 1 << 40, bytes: b"\x01\x02x".to_vec() },
            Frame::Input { session: SessionId::AGENT, bytes: vec![0; 5000] },
            Frame::ExecOutput { stream: 2, bytes: Vec::new() },
            Frame::ExecInput { bytes: b"in".to_vec() },
        ];
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        for frame in &frames {
            write_frame(&mut near, frame).await.expect("written");
        }
        drop(near);
        for frame in frames {
            assert_eq!(read_frame(&mut far).await.expect("read"), Some(frame));
        }
        assert_eq!(read_frame(&mut far).await.expect("read"), None);
    }

    #[tokio::test]
    async fn a_frame_that_is_cut_short_or_too_small_is_an_error() {
        let mut whole = Vec::new();
        Frame::Output { session: SessionId(3), offset: 7, bytes: b"output".to_vec() }
            .encode(&mut whole);
        assert!(matches!(read_frame(&mut &whole[..]).await, Ok(Some(_))));
        for length in 1..whole.len() {
            assert!(read_frame(&mut &whole[..length]).await.is_err(), "{length} bytes");
        }
        for malformed in [&[0, 0, 0, 0][..], &[0, 0, 0, 5, OUTPUT, 0, 0, 0, 3]] {
            assert!(read_frame(&mut &malformed[..]).await.is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn an_unknown_request_is_understood_as_such() {
        let read: ShimRequest = serde_json::from_str(r#"{"request":"later","x":1}"#).expect("read");
        assert_eq!(read, ShimRequest::Unknown);
    }
}

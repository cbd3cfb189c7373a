//! The outer terminal: entered by making the guard, restored by its drop and by the panic hook.
//!
//! Frames are written at once: everything goes into one buffer, inside one synchronized update.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

/// Holds a full frame of a large terminal with a style in every cell, so that it never grows.
const FRAME_BYTES: usize = 256 * 1024;

/// Collects a frame; what flushes it half-way is ignored.
#[derive(Clone)]
struct FrameBuffer(Arc<Mutex<Vec<u8>>>);

impl FrameBuffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }
}

impl Write for FrameBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The outer terminal while it is ours.
pub(crate) struct Guard {
    terminal: Terminal<CrosstermBackend<FrameBuffer>>,
    frame: FrameBuffer,
    entered: Arc<AtomicBool>,
}

impl Guard {
    /// Takes the terminal over. On failure it is left as it was.
    pub(crate) fn enter() -> io::Result<Self> {
        let entered = Arc::new(AtomicBool::new(true));
        let frame = FrameBuffer(Arc::new(Mutex::new(Vec::with_capacity(FRAME_BYTES))));
        restore_on_panic(Arc::clone(&entered));
        enable_raw_mode()?;
        let made = take_over(&mut io::stdout())
            .and_then(|()| Terminal::new(CrosstermBackend::new(frame.clone())));
        match made {
            Ok(terminal) => Ok(Self { terminal, frame, entered }),
            Err(error) => {
                restore(&entered);
                Err(error)
            }
        }
    }

    /// Draws one frame with one write. `draw` says where the cursor goes, if it is shown.
    pub(crate) fn draw(
        &mut self,
        draw: impl FnOnce(Rect, &mut Buffer) -> Option<Position>,
    ) -> io::Result<()> {
        queue!(self.frame, BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| {
            let area = frame.area();
            if let Some(position) = draw(area, frame.buffer_mut()) {
                frame.set_cursor_position(position);
            }
        })?;
        queue!(self.frame, EndSynchronizedUpdate)?;
        let bytes = self.frame.take();
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        self.frame.put_back(bytes);
        Ok(())
    }

    /// Writes a sequence of ours that draws nothing.
    #[allow(clippy::unused_self, reason = "only who has the terminal may write to it")]
    pub(crate) fn write(&self, sequence: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(sequence.as_bytes())?;
        out.flush()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore(&self.entered);
    }
}

fn take_over(out: &mut impl Write) -> io::Result<()> {
    execute!(
        out,
        EnterAlternateScreen,
        SetTitle("agentdeck"),
        EnableMouseCapture,
        EnableBracketedPaste,
        EnableFocusChange,
        DisableLineWrap,
        // Terminals that do not know the protocol ignore it; asking first would cost start-up time.
        PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES),
        cursor::Hide
    )
}

/// Gives the terminal back, once. Every step is tried, because a closed terminal fails some.
fn restore(entered: &AtomicBool) {
    if !entered.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = give_back(&mut io::stdout());
    let _ = disable_raw_mode();
}

fn give_back(out: &mut impl Write) -> io::Result<()> {
    execute!(
        out,
        EndSynchronizedUpdate,
        PopKeyboardEnhancementFlags,
        EnableLineWrap,
        DisableFocusChange,
        DisableBracketedPaste,
        DisableMouseCapture,
        cursor::SetCursorStyle::DefaultUserShape,
        LeaveAlternateScreen,
        cursor::Show
    )
}

/// A panic's message would be lost in the alternate screen.
fn restore_on_panic(entered: Arc<AtomicBool>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore(&entered);
        before(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_on_is_switched_off() {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        take_over(&mut on).expect("a vector takes everything");
        give_back(&mut off).expect("a vector takes everything");
        let (on, off) = (String::from_utf8_lossy(&on), String::from_utf8_lossy(&off));
        for mode in ["1049", "1000", "1002", "1003", "1006", "2004", "1004"] {
            assert!(on.contains(&format!("\x1b[?{mode}h")), "{mode} on: {on:?}");
            assert!(off.contains(&format!("\x1b[?{mode}l")), "{mode} off: {off:?}");
        }
        assert!(on.contains("\x1b[>1u") && off.contains("\x1b[<1u"), "{on:?} {off:?}");
        assert!(on.contains("\x1b[?25l") && off.contains("\x1b[?25h"), "{on:?} {off:?}");
    }

    #[test]
    fn the_terminal_is_given_back_once() {
        let entered = AtomicBool::new(false);
        restore(&entered);
        assert!(!entered.load(Ordering::SeqCst));
    }
}

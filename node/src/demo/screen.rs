//! Where the demo is seen: a picture redrawn in place on a terminal, plain lines elsewhere.

use std::io::Write;

use console::Term;

use crate::show::paint::Paint;
use crate::show::table::clip;

/// Columns of lines that are no terminal's.
const PLAIN_WIDTH: usize = 200;

/// The place lines go to.
#[derive(Debug)]
pub(super) struct Screen {
    /// The terminal, when pictures are redrawn.
    live: Option<Term>,
    /// Lines of the picture that stands.
    drawn: usize,
}

impl Screen {
    /// Finds out what there is; `plain` asks for lines even on a terminal.
    pub(super) fn new(plain: bool) -> Self {
        let term = Term::stdout();
        let live = (!plain && term.features().is_attended()).then_some(term);
        if let Some(term) = &live {
            let _ = term.hide_cursor();
        }
        Self { live, drawn: 0 }
    }

    /// Tells whether pictures are redrawn.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Returns the colours that suit.
    pub(super) fn paint(&self) -> Paint {
        Paint::detect()
    }

    /// Returns how wide a line may be.
    pub(super) fn width(&self) -> usize {
        match &self.live {
            // A line that fills the last column wraps on some terminals.
            Some(term) => usize::from(term.size().1).saturating_sub(1),
            None => PLAIN_WIDTH,
        }
    }

    /// Writes lines that stay, above the picture.
    pub(super) fn say(&mut self, text: &str) {
        let mut out = self.erase();
        out.push_str(text);
        out.push('\n');
        self.put(&out);
    }

    /// Redraws the picture; does nothing where there are only lines.
    pub(super) fn draw(&mut self, lines: &[String]) {
        let Some(term) = &self.live else { return };
        let (height, width) = (usize::from(term.size().0), self.width());
        // A picture taller than the terminal cannot be redrawn in place; its top then is what is left out.
        let hidden = lines.len().saturating_sub(height.saturating_sub(1));
        let shown = lines.get(hidden..).unwrap_or_default();
        // Begin and end of one update, so that terminals which know it do not flicker.
        let mut out = String::from("\x1b[?2026h");
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in shown {
            out.push_str(&clip(line, width));
            out.push_str("\x1b[K\n");
        }
        out.push_str("\x1b[J\x1b[?2026l");
        self.drawn = shown.len();
        self.put(&out);
    }

    /// Lets the picture stand where it is; what comes next comes below it.
    pub(super) fn keep(&mut self) {
        self.drawn = 0;
    }

    fn erase(&mut self) -> String {
        let lines = std::mem::take(&mut self.drawn);
        if lines == 0 {
            String::new()
        } else {
            format!("\x1b[{lines}A\r\x1b[J")
        }
    }

    fn put(&self, text: &str) {
        // Whoever reads may have gone; the demo goes on to its end and its exit code.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(term) = &self.live {
            let _ = term.show_cursor();
        }
    }
}

//! Colour for a terminal, and nothing where there is none. Colour never says anything that a word or a sign beside it
//! does not say too.

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(bool);

/// What a piece of text means, as far as colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Under way, or waiting.
    Busy,
    /// A person should look.
    Bad,
    /// Less important than what is around it.
    Faint,
    /// More important than what is around it.
    Strong,
    /// A title.
    Title,
}

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    /// Colours when the standard output is a terminal that wants it (`NO_COLOR`, `CLICOLOR`).
    pub(crate) fn detect() -> Self {
        Self(console::colors_enabled())
    }

    /// Wraps `text` in the colour of `tone`.
    pub(crate) fn tint(self, tone: Tone, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31;1",
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Title => "36;1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is_and_coloured_text_keeps_its_width() {
        assert_eq!(Paint::PLAIN.tint(Tone::Bad, "x"), "x");
        let coloured = Paint(true).tint(Tone::Bad, "\u{5b66}\u{6821}");
        assert_ne!(coloured, "\u{5b66}\u{6821}");
        assert_eq!(console::measure_text_width(&coloured), 4);
    }
}

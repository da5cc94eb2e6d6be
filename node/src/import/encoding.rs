//! Turns the bytes of a text file into text: a byte order mark decides, then strict UTF-8, then GB18030.
//!
//! The order is deterministic and explainable, which a statistical guess is not: text that is valid UTF-8 by chance
//! does not occur, and Excel in China writes GB18030 when it does not write UTF-8.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{DecoderResult, GB18030, UTF_16BE, UTF_16LE};

use super::error::Refusal;

/// How the text of a file was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark.
    Utf8,
    /// UTF-8 with a byte order mark, what Excel calls "CSV UTF-8".
    Utf8Bom,
    /// UTF-16, what Excel calls "Unicode text".
    Utf16,
    /// GB18030, which holds GBK and GB2312.
    Gb18030,
    /// A workbook, which states its own encoding.
    Workbook,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Bom => "UTF-8 BOM",
            Self::Utf16 => "UTF-16",
            Self::Gb18030 => "GB18030",
            Self::Workbook => "xlsx",
        })
    }
}

/// Decodes a whole text file and says how. Refuses text with a zero byte or with bytes outside every encoding.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Encoding), Refusal> {
    let (text, encoding) = if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        let text = std::str::from_utf8(rest).map_err(|error| Refusal::NotText {
            row: line_of(rest, error.valid_up_to()),
        })?;
        (Cow::Borrowed(text), Encoding::Utf8Bom)
    } else if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        (strict(UTF_16LE, rest)?, Encoding::Utf16)
    } else if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        (strict(UTF_16BE, rest)?, Encoding::Utf16)
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        (Cow::Borrowed(text), Encoding::Utf8)
    } else {
        (strict(GB18030, bytes)?, Encoding::Gb18030)
    };
    if let Some(at) = text.find('\0') {
        return Err(Refusal::NotText {
            row: line_of(text.as_bytes(), at),
        });
    }
    Ok((text, encoding))
}

fn strict<'a>(
    encoding: &'static encoding_rs::Encoding,
    bytes: &'a [u8],
) -> Result<Cow<'a, str>, Refusal> {
    match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => Ok(text),
        None => Err(Refusal::NotText {
            row: bad_line(encoding, bytes),
        }),
    }
}

/// Finds the line with the first byte that is not text, by decoding again up to there.
fn bad_line(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> u32 {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut sink = [0u8; 4096];
    let (mut read, mut line) = (0, 1u32);
    loop {
        let rest = bytes.get(read..).unwrap_or_default();
        let (result, took, wrote) =
            decoder.decode_to_utf8_without_replacement(rest, &mut sink, true);
        let lines = sink
            .iter()
            .take(wrote)
            .filter(|byte| **byte == b'\n')
            .count();
        line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        read += took;
        match result {
            DecoderResult::OutputFull => {}
            DecoderResult::InputEmpty | DecoderResult::Malformed(..) => return line,
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> u32 {
    let lines = bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_characters_survive_gb18030_exactly() {
        // U+4DAE, U+20BB7 (outside the basic plane) and U+3402 are what names are written with.
        let text = "\u{4dae}\u{20bb7}\u{3402}\n";
        let (bytes, _, replaced) = GB18030.encode(text);
        assert!(!replaced);
        let (read, encoding) = decode(&bytes).expect("valid GB18030");
        assert_eq!((read.as_ref(), encoding), (text, Encoding::Gb18030));
    }

    #[test]
    fn a_mark_decides_before_any_guess() {
        assert_eq!(decode(b"\xEF\xBB\xBFa,b").unwrap().1, Encoding::Utf8Bom);
        assert_eq!(
            decode(b"\xFF\xFEa\0\t\0b\0").unwrap(),
            (Cow::from("a\tb"), Encoding::Utf16)
        );
        assert_eq!(
            decode(b"\xFE\xFF\0a\0\t\0b").unwrap(),
            (Cow::from("a\tb"), Encoding::Utf16)
        );
        assert_eq!(decode(b"a,b").unwrap().1, Encoding::Utf8);
    }

    #[test]
    fn bytes_outside_every_encoding_name_their_line() {
        let refused = decode(b"a,b\n1,2\n\xFF\xFF\n").unwrap_err();
        assert!(
            matches!(refused, Refusal::NotText { row: 3 }),
            "{refused:?}"
        );
        let refused = decode(b"\xEF\xBB\xBFa\n\xFF").unwrap_err();
        assert!(
            matches!(refused, Refusal::NotText { row: 2 }),
            "{refused:?}"
        );
    }

    #[test]
    fn a_zero_byte_is_no_text() {
        assert!(matches!(
            decode(b"a\nb\0"),
            Err(Refusal::NotText { row: 2 })
        ));
    }
}

//! Reads text with a separator, as Excel, WPS and databases write it.

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::encoding::decode;
use super::error::Refusal;
use super::{Cell, Reading, Row, limits};

/// Hands every row that has anything in it to `on_row`, numbered as a spreadsheet shows them.
pub(super) fn read(
    bytes: &[u8],
    on_row: &mut dyn FnMut(Row) -> Result<(), Refusal>,
) -> Result<Reading, Refusal> {
    let (text, encoding) = decode(bytes)?;
    let separator = separator(&text);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .terminator(Terminator::CRLF)
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let (mut number, mut start) = (0u32, 0usize);
    // The text is valid UTF-8 and rows may have any length, so the reader has nothing left to complain about.
    while reader.read_record(&mut record).is_ok_and(|more| more) {
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let after_return =
            start.checked_sub(1).and_then(|at| text.as_bytes().get(at)) == Some(&b'\r');
        number = number.saturating_add(1 + blank_rows(rest, after_return));
        start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let cells: Vec<Cell> = record.iter().map(cell).collect();
        if cells.iter().all(Cell::is_blank) {
            continue;
        }
        on_row(Row {
            number,
            cells,
            fault: None,
        })?;
    }
    Ok(Reading {
        encoding,
        sheet: None,
        other_sheets: Vec::new(),
        separator: Some(char::from(separator)),
    })
}

fn cell(text: &str) -> Cell {
    if text.is_empty() {
        Cell::Empty
    } else {
        Cell::Text(crate::export::unguard(text).to_owned())
    }
}

/// Takes the separator that occurs most often outside quotes in the rows among which the header is looked for; none at
/// all means one column.
fn separator(text: &str) -> u8 {
    const CANDIDATES: [u8; 3] = *b",;\t";
    let mut counts = [0usize; 3];
    let (mut quoted, mut rows) = (false, 0);
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                rows += 1;
                if rows == limits::HEADER_ROWS_MAX {
                    break;
                }
            }
            _ if quoted => {}
            _ => {
                if let Some(at) = CANDIDATES.iter().position(|candidate| *candidate == byte) {
                    counts[at] += 1;
                }
            }
        }
    }
    // Of equal counts the first candidate wins, hence the reversal.
    let best = (0..3)
        .rev()
        .max_by_key(|at| counts[*at])
        .unwrap_or_default();
    CANDIDATES[best]
}

/// Counts the blank lines the csv reader skips silently, so that later rows keep their number. `after_return` tells
/// that the row before ended in a carriage return, whose line feed may still stand here.
fn blank_rows(rest: &[u8], after_return: bool) -> u32 {
    let mut rest = rest;
    if after_return && rest.first() == Some(&b'\n') {
        rest = &rest[1..];
    }
    let mut rows = 0u32;
    loop {
        rest = match rest {
            [b'\r', b'\n', more @ ..] | [b'\r' | b'\n', more @ ..] => more,
            _ => return rows,
        };
        rows = rows.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u32, Vec<String>)> {
        let mut rows = Vec::new();
        read(text.as_bytes(), &mut |row| {
            let cells = row.cells.iter().map(|cell| match cell {
                Cell::Text(text) => text.clone(),
                Cell::Empty => String::new(),
                other => panic!("{other:?}"),
            });
            rows.push((row.number, cells.collect()));
            Ok(())
        })
        .expect("readable");
        rows
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_numbers_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "1,2", "", "", "3,\"x", "y\"", "", "5,6", ""].join(end);
            let numbers: Vec<u32> = rows(&text).into_iter().map(|(number, _)| number).collect();
            assert_eq!(numbers, [1, 2, 5, 7], "{end:?}");
        }
    }

    #[test]
    fn a_row_of_separators_only_is_blank_but_counted() {
        let numbers: Vec<u32> = rows("a,b\n,\n , \n1,2\n")
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(numbers, [1, 4]);
    }

    #[test]
    fn the_separator_is_found_outside_quotes() {
        assert_eq!(separator("a,b,c"), b',');
        assert_eq!(separator("\"a,b,c,d\";b\nx;y,z"), b';');
        assert_eq!(separator("a\tb\tc,d"), b'\t');
        assert_eq!(separator("only"), b',');
        assert_eq!(separator("a title\n\na;b;c\n1,5;2;3\n"), b';');
        assert_eq!(rows("a;b\n1;\"2;3\"\n")[1].1, ["1", "2;3"]);
    }

    #[test]
    fn quotes_line_breaks_and_short_rows_are_kept_as_they_are() {
        let read = rows("a,b,c\n\"say \"\"hi\"\"\",\"two\nlines\"\n1,2,3,4\n");
        assert_eq!(read[1].1, ["say \"hi\"", "two\nlines"]);
        assert_eq!(read[2].1, ["1", "2", "3", "4"]);
    }
}

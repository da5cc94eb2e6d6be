//! Reads the files schools bring: csv in the encodings Excel writes, workbooks, and JSON lines.
//!
//! Reading has two steps. The raw readers turn a file of any format into rows of cells and refuse files that are
//! unreadable or cost too much; [`parse`] gives the cells meaning by a kind and reports every bad one by row and
//! column. Nothing is written here: an import is stored whole or not at all by whoever called.

use std::fs::File;
use std::io::Read;
use std::path::Path;

mod archive;
mod cell;
mod column;
mod csv;
mod encoding;
mod error;
mod jsonl;
pub mod limits;
mod parse;
pub(crate) mod problem;
mod xlsx;

pub use encoding::Encoding;
pub use error::{BombFault, ImportError, Refusal};
pub use parse::{Parsed, ParsedRecord, parse, parse_file};
pub use problem::{Problem, Severity};

/// The kinds of file that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with a separator: comma, semicolon or tab.
    Csv,
    /// An Excel workbook of 2007 or later.
    Xlsx,
    /// One JSON object per line.
    Jsonl,
}

/// A file read into memory, not larger than its format may be.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    format: Format,
    bytes: Vec<u8>,
}

impl Source {
    /// Reads the file at `path`. Refuses what is missing, empty, larger than its format may be, or of no known format.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let name = file_name(path);
        let refuse = |reason| ImportError {
            file: name.clone(),
            reason,
        };
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Refusal::NotFound,
            _ => Refusal::Unreadable(error),
        };
        let file = File::open(path).map_err(|error| refuse(unreadable(error)))?;
        let facts = file.metadata().map_err(|error| refuse(unreadable(error)))?;
        if !facts.is_file() {
            return Err(refuse(Refusal::NotAFile));
        }
        let max = limits::TEXT_SIZE_MAX.max(limits::WORKBOOK_SIZE_MAX);
        if facts.len() > max {
            return Err(refuse(Refusal::TooLarge {
                size: facts.len(),
                max,
            }));
        }
        let mut bytes = Vec::new();
        // The file may grow while it is read, so the reading is bounded too.
        file.take(max + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| refuse(unreadable(error)))?;
        Self::from_bytes(&name, bytes)
    }

    /// Takes the content of a file called `name`, whose extension helps to tell the format.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ImportError> {
        let name = visible(name);
        let refuse = |reason| ImportError {
            file: name.clone(),
            reason,
        };
        if bytes.is_empty() {
            return Err(refuse(Refusal::Empty));
        }
        let format = detect(&name, &bytes).map_err(refuse)?;
        let max = match format {
            Format::Xlsx => limits::WORKBOOK_SIZE_MAX,
            Format::Csv | Format::Jsonl => limits::TEXT_SIZE_MAX,
        };
        let size = bytes.len() as u64;
        if size > max {
            return Err(refuse(Refusal::TooLarge { size, max }));
        }
        Ok(Self {
            name,
            format,
            bytes,
        })
    }

    /// Returns the file name without folders, safe to print.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the content was recognised as.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One row as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number a person sees: the row of the sheet, or the line of a jsonl file; the first is 1. A jsonl file has its
    /// column names in a row 0 that no person sees.
    pub number: u32,
    /// Cells from the first column on; missing ones at the end are empty.
    pub cells: Vec<Cell>,
    /// Why the row as a whole has no cells, when it could not be read.
    pub fault: Option<RowFault>,
}

/// One cell as the file states it, before a kind gives it meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Text, also every number of a csv or jsonl file, digit by digit.
    Text(String),
    /// A number of a workbook, which keeps 15 digits at most.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// A date with a time of day, from a workbook.
    Stamp(Stamp),
    /// Several texts: a list of a jsonl file.
    List(Vec<String>),
    /// A formula, whose stored result nobody typed and nobody can vouch for.
    Formula,
    /// An error value such as `#N/A`.
    Fault(String),
    /// An object or a list of lists in a jsonl file.
    Nested,
}

impl Cell {
    /// Tells whether there is nothing to read but space.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => trim(text).is_empty(),
            Self::List(items) => items.is_empty(),
            _ => false,
        }
    }
}

/// A date and time of a workbook cell, without a zone, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Year, 1900 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Seconds since midnight, below 86,400.
    pub second: u32,
}

/// Why one line of a jsonl file has no cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFault {
    /// The line is no JSON.
    NotJson,
    /// The line is JSON but no object.
    NotAnObject,
    /// One name stands twice in the object.
    DuplicateName(String),
    /// The line is longer than [`limits::LINE_SIZE_MAX`].
    TooLong,
}

/// What is known about a file after its rows went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How the text was encoded.
    pub encoding: Encoding,
    /// Sheet that was read, of a workbook.
    pub sheet: Option<String>,
    /// Visible sheets that were not read.
    pub other_sheets: Vec<String>,
    /// The character between cells, of a csv file.
    pub separator: Option<char>,
}

/// Hands the rows of `source` to `on_row`, header first, without blank rows. Of a workbook the sheet called `sheet`
/// is read, or else the first visible one. Stops at the first refusal, the reader's or the callback's.
pub fn read_rows(
    source: &Source,
    sheet: Option<&str>,
    on_row: &mut dyn FnMut(Row) -> Result<(), Refusal>,
) -> Result<Reading, ImportError> {
    let mut counter = Counter { rows: 0, cells: 0 };
    let mut bounded = |row: Row| {
        counter.count(&row)?;
        on_row(row)
    };
    let reading = match source.format {
        Format::Csv => csv::read(&source.bytes, &mut bounded),
        Format::Xlsx => xlsx::read(&source.bytes, sheet, &mut bounded),
        Format::Jsonl => jsonl::read(&source.bytes, &mut bounded),
    };
    reading.map_err(|reason| ImportError {
        file: source.name.clone(),
        reason,
    })
}

/// Rows and cells that went by, held against the limits every format shares.
struct Counter {
    rows: u32,
    cells: u64,
}

impl Counter {
    fn count(&mut self, row: &Row) -> Result<(), Refusal> {
        // The header and what stands above it are rows too, hence a few more than the limit.
        self.rows += 1;
        if self.rows > limits::ROWS_MAX + limits::HEADER_ROWS_MAX as u32 {
            return Err(Refusal::TooManyRows {
                max: limits::ROWS_MAX,
            });
        }
        if row.cells.len() > limits::COLUMNS_MAX {
            return Err(Refusal::TooManyColumns {
                row: row.number,
                max: limits::COLUMNS_MAX,
            });
        }
        for (index, cell) in row.cells.iter().enumerate() {
            self.cells += u64::from(!matches!(cell, Cell::Empty));
            if let Cell::Text(text) = cell
                && text.len() > limits::CELL_SIZE_MAX
            {
                return Err(Refusal::CellTooLong {
                    row: row.number,
                    column: letters(index),
                });
            }
        }
        if self.cells > limits::CELLS_MAX {
            return Err(Refusal::TooManyCells {
                max: limits::CELLS_MAX,
            });
        }
        Ok(())
    }
}

/// Tells the format by content first and by extension second: a workbook named `.csv` is still a workbook.
fn detect(name: &str, bytes: &[u8]) -> Result<Format, Refusal> {
    const ZIP: &[u8] = b"PK\x03\x04";
    const COMPOUND: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
    if bytes.starts_with(ZIP) {
        return Ok(Format::Xlsx);
    }
    if bytes.starts_with(COMPOUND) {
        // Excel keeps an encrypted workbook in the container of its old format, as a stream with this name.
        let mark: Vec<u8> = "EncryptedPackage"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let encrypted = bytes.windows(mark.len()).any(|window| window == mark);
        return Err(if encrypted {
            Refusal::Encrypted
        } else {
            Refusal::OldWorkbook
        });
    }
    let extension = Path::new(name)
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" | "txt" | "tsv" => Ok(Format::Csv),
        "jsonl" | "ndjson" | "json" => Ok(Format::Jsonl),
        "xlsx" | "xlsm" | "xls" | "xlsb" | "et" | "ods" => Err(Refusal::NotAWorkbook),
        _ => Err(Refusal::UnknownFormat),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| "?".to_owned(), |name| visible(&name.to_string_lossy()))
}

/// Makes text from outside safe to print on one line: no control characters, at most 60 characters.
pub(crate) fn visible(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX)
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Marks that change how text is shown without being seen: a name must not print its end first.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Strips the space people leave around a value, including the ideographic and the invisible kinds.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// Names a column as a spreadsheet does: A, B, ... Z, AA.
pub(crate) fn letters(index: usize) -> String {
    let mut rest = index + 1;
    let mut name = Vec::new();
    while rest > 0 {
        rest -= 1;
        name.push(b'A' + (rest % 26) as u8);
        rest /= 26;
    }
    name.iter()
        .rev()
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests;

//! Why a file as a whole cannot be imported. Single bad rows are no errors but [`super::Problem`]s.

use crate::label::{Arg, Lang, text};

/// A file that cannot be imported, with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message(Lang::En))]
pub struct ImportError {
    /// Name of the file without folders.
    pub file: String,
    /// What is wrong with it.
    pub reason: Refusal,
}

impl ImportError {
    /// Says in `lang` what is wrong and what to do about it.
    pub fn message(&self, lang: Lang) -> String {
        self.reason.message(lang, &self.file)
    }

    /// Names the reason for machines.
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
}

/// The reasons for which a file is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such file.
    NotFound,
    /// The path names a folder or a device.
    NotAFile,
    /// The system does not let the file be read.
    Unreadable(std::io::Error),
    /// The file has no content.
    Empty,
    /// The file has more bytes than its format may have.
    TooLarge {
        /// Bytes of the file.
        size: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// Neither content nor extension tell a format.
    UnknownFormat,
    /// The extension promises a workbook and the content is something else.
    NotAWorkbook,
    /// The workbook has a password.
    Encrypted,
    /// The workbook is of the format before 2007.
    OldWorkbook,
    /// The workbook is damaged, or was not written by a spreadsheet program.
    BrokenWorkbook {
        /// What the reader found, in English, for support.
        detail: String,
    },
    /// The workbook would cost far more than a workbook does.
    Bomb(BombFault),
    /// The file is neither UTF-8 nor GB18030.
    NotText {
        /// First line that cannot be read.
        row: u32,
    },
    /// The file has too many rows.
    TooManyRows {
        /// Rows allowed.
        max: u32,
    },
    /// A row has too many columns.
    TooManyColumns {
        /// The row.
        row: u32,
        /// Columns allowed.
        max: usize,
    },
    /// The file has too many cells.
    TooManyCells {
        /// Cells allowed.
        max: u64,
    },
    /// A cell is longer than a spreadsheet allows, mostly by an unclosed quote.
    CellTooLong {
        /// The row.
        row: u32,
        /// The column by letter.
        column: String,
    },
    /// None of the first rows names a column of the kind.
    NoHeader {
        /// The kind in the reader's language.
        kind: String,
        /// Columns the kind has, in the reader's language.
        expected: String,
        /// How the text was read.
        encoding: super::Encoding,
    },
}

/// Which bound of a workbook's container is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BombFault {
    /// Too many parts.
    Entries,
    /// Too many bytes after inflating.
    Unpacked,
    /// A part inflates too many times over.
    Ratio,
    /// Two parts share bytes of the file.
    Overlap,
    /// A part has another size than the directory states.
    Size,
    /// A single text, table or style is larger than any program writes.
    Content,
}

impl Refusal {
    /// Names the reason for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "refusal-not-found",
            Self::NotAFile => "refusal-not-a-file",
            Self::Unreadable(_) => "refusal-unreadable",
            Self::Empty => "refusal-empty",
            Self::TooLarge { .. } => "refusal-too-large",
            Self::UnknownFormat => "refusal-unknown-format",
            Self::NotAWorkbook => "refusal-not-a-workbook",
            Self::Encrypted => "refusal-encrypted",
            Self::OldWorkbook => "refusal-old-workbook",
            Self::BrokenWorkbook { .. } => "refusal-broken-workbook",
            Self::Bomb(fault) => match fault {
                BombFault::Entries => "refusal-bomb-entries",
                BombFault::Unpacked => "refusal-bomb-unpacked",
                BombFault::Ratio => "refusal-bomb-ratio",
                BombFault::Overlap => "refusal-bomb-overlap",
                BombFault::Size => "refusal-bomb-size",
                BombFault::Content => "refusal-bomb-content",
            },
            Self::NotText { .. } => "refusal-not-text",
            Self::TooManyRows { .. } => "refusal-too-many-rows",
            Self::TooManyColumns { .. } => "refusal-too-many-columns",
            Self::TooManyCells { .. } => "refusal-too-many-cells",
            Self::CellTooLong { .. } => "refusal-cell-too-long",
            Self::NoHeader { .. } => "refusal-no-header",
        }
    }

    /// Says in `lang` what is wrong with `file`.
    pub fn message(&self, lang: Lang, file: &str) -> String {
        const MEGABYTE: u64 = 1024 * 1024;
        let mut args: Vec<(&str, Arg<'_>)> = vec![("file", file.into())];
        let held;
        match self {
            Self::Unreadable(error) => {
                held = error.to_string();
                args.push(("detail", (&held).into()));
            }
            Self::TooLarge { size, max } => {
                args.push(("size", size.div_ceil(MEGABYTE).into()));
                args.push(("max", (max / MEGABYTE).into()));
            }
            Self::BrokenWorkbook { detail } => args.push(("detail", detail.into())),
            Self::Bomb(fault) => args.push((
                "max",
                match fault {
                    BombFault::Entries => super::limits::WORKBOOK_ENTRIES_MAX.into(),
                    BombFault::Ratio => super::limits::WORKBOOK_RATIO_MAX.into(),
                    _ => (super::limits::WORKBOOK_UNPACKED_MAX / MEGABYTE).into(),
                },
            )),
            Self::NotText { row } => args.push(("row", (*row).into())),
            Self::TooManyRows { max } => args.push(("max", (*max).into())),
            Self::TooManyColumns { row, max } => {
                args.push(("row", (*row).into()));
                args.push(("max", (*max).into()));
            }
            Self::TooManyCells { max } => args.push(("max", (*max).into())),
            Self::CellTooLong { row, column } => {
                args.push(("row", (*row).into()));
                args.push(("column", column.into()));
            }
            Self::NoHeader {
                kind,
                expected,
                encoding,
            } => {
                held = encoding.to_string();
                args.push(("kind", kind.into()));
                args.push(("expected", expected.into()));
                args.push(("encoding", (&held).into()));
            }
            Self::NotFound
            | Self::NotAFile
            | Self::Empty
            | Self::UnknownFormat
            | Self::NotAWorkbook
            | Self::Encrypted
            | Self::OldWorkbook => {}
        }
        text(lang, self.code(), &args)
    }
}

//! Finds the header of a table and what its columns mean for a kind.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tiers::kind::{Column, ColumnPart, Field, Fields, Kind};

use super::problem::join;
use super::{Cell, Row, letters, trim, visible};
use crate::export;
use crate::label::Lang;

/// Meaning of one column of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    /// What stands above the column, safe to print.
    pub(super) shown: String,
    /// Column of the kind; `None` when nothing of it is imported.
    pub(super) column: Option<Column>,
}

/// What was found wrong with the columns as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnFault {
    /// The kind has no such column.
    Unknown { shown: String },
    /// The column at this place repeats an earlier one.
    Duplicate { shown: String, earlier: usize },
    /// A required field has no column.
    Missing { name: String },
    /// An interval has one of its two columns.
    MissingHalf { name: String },
}

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Headings {
    /// One per column of the file, blank headings too.
    pub(super) columns: Vec<Heading>,
    /// Fields that no row can have a value for; they have been reported once.
    pub(super) absent: BTreeSet<u16>,
}

/// Counts the cells of a row that name a column of the kind.
pub(super) fn known(kind: &Kind, row: &Row) -> usize {
    row.cells
        .iter()
        .filter(|cell| name(cell).and_then(|name| kind.column(name)).is_some())
        .count()
}

/// Reads the header row. Required fields that `context` fills in may be missing.
pub(super) fn headings(kind: &Kind, row: &Row, context: &Fields) -> (Headings, Vec<ColumnFault>) {
    let mut faults = Vec::new();
    let mut first: BTreeMap<(u16, u8), usize> = BTreeMap::new();
    let mut columns = Vec::with_capacity(row.cells.len());
    for (index, cell) in row.cells.iter().enumerate() {
        let text = name(cell).unwrap_or_default();
        let shown = if text.is_empty() {
            letters(index)
        } else {
            visible(text)
        };
        let mut column = kind.column(text).filter(|_| !text.is_empty());
        match &column {
            Some(found) => match first.entry((found.field, found.part as u8)) {
                Entry::Occupied(earlier) => {
                    let earlier = *earlier.get();
                    faults.push(ColumnFault::Duplicate {
                        shown: shown.clone(),
                        earlier,
                    });
                    column = None;
                }
                Entry::Vacant(place) => {
                    place.insert(index);
                }
            },
            // Columns of our own export that say nothing about the record's fields.
            None if text.is_empty() || export::is_own_column(text) => {}
            None => faults.push(ColumnFault::Unknown {
                shown: shown.clone(),
            }),
        }
        columns.push(Heading { shown, column });
    }
    let mut absent = BTreeSet::new();
    for field in kind.fields() {
        let has = |part: ColumnPart| first.contains_key(&(field.number, part as u8));
        if has(ColumnPart::Whole) || (has(ColumnPart::Start) && has(ColumnPart::End)) {
            continue;
        }
        if has(ColumnPart::Start) || has(ColumnPart::End) {
            let missing = if has(ColumnPart::Start) {
                ColumnPart::End
            } else {
                ColumnPart::Start
            };
            absent.insert(field.number);
            faults.push(ColumnFault::MissingHalf {
                name: header(kind, field, missing),
            });
        } else if field.required && !context.contains_key(&field.number) {
            absent.insert(field.number);
            let parts = [ColumnPart::Whole, ColumnPart::Start, ColumnPart::End];
            let written = |part: &ColumnPart| written_header(kind, field, *part);
            let names: Vec<String> = parts.iter().filter_map(written).collect();
            let name = if names.is_empty() {
                header(kind, field, ColumnPart::Whole)
            } else {
                names.join(", ")
            };
            faults.push(ColumnFault::Missing { name });
        }
    }
    (Headings { columns, absent }, faults)
}

/// Names the columns a file of this kind is expected to have, in the words of its table.
pub(super) fn expected(kind: &Kind, lang: Lang) -> String {
    let headers: Vec<&str> = kind
        .columns()
        .iter()
        .map(|column| column.header.as_str())
        .collect();
    join(lang, &headers)
}

fn written_header(kind: &Kind, field: &Field, part: ColumnPart) -> Option<String> {
    kind.columns()
        .iter()
        .find(|column| column.field == field.number && column.part == part)
        .map(|column| column.header.clone())
}

fn header(kind: &Kind, field: &Field, part: ColumnPart) -> String {
    written_header(kind, field, part).unwrap_or_else(|| field.label.zh.clone())
}

/// Reads the text of a heading, without the mark people put on required columns.
fn name(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Text(text) => Some(trim(
            trim(text).trim_matches(|mark| mark == '*' || mark == '\u{ff0a}'),
        )),
        _ => None,
    }
}

//! Gives the cells of a file meaning by a kind: every good row becomes the fields of a record, every bad cell a
//! problem with row and column. The list of problems is capped, the count is not.

use std::collections::BTreeMap;
use std::path::Path;

use federation_protocol::limits::SUBJECT_SIZE_MAX;
use keys::Hash;
use tiers::fields_bytes;
use tiers::kind::{Column, ColumnPart, FieldError, Fields, Kind, RowError};
use tiers::value::Minute;

use super::cell;
use super::column::{self, ColumnFault, Heading, Headings};
use super::error::{ImportError, Refusal};
use super::problem::{Problem, Severity, field_fault};
use super::{Cell, Encoding, Format, Row, RowFault, Source, letters, limits};
use crate::label::{Arg, Lang, text};

/// What a file says, and everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Name of the file without folders.
    pub file: String,
    /// What the file was recognised as.
    pub format: Format,
    /// How its text was read.
    pub encoding: Encoding,
    /// Sheet that was read, of a workbook.
    pub sheet: Option<String>,
    /// Rows below the header that are not blank.
    pub rows_read: u32,
    /// The rows without errors, in the order of the file.
    pub records: Vec<ParsedRecord>,
    /// Problems in the order of the file, at most [`limits::PROBLEMS_MAX`] of each severity.
    pub problems: Vec<Problem>,
    /// Errors found, listed or not. A file with any must not be imported.
    pub errors: u64,
    /// Warnings found, listed or not.
    pub warnings: u64,
}

impl Parsed {
    /// Returns how many problems were found beyond those listed.
    pub fn unlisted(&self) -> u64 {
        (self.errors + self.warnings).saturating_sub(self.problems.len() as u64)
    }

    /// Says in `lang` how many problems are not listed; `None` if all are.
    pub fn unlisted_line(&self, lang: Lang) -> Option<String> {
        let count = self.unlisted();
        (count > 0).then(|| text(lang, "problems-more", &[("count", count.into())]))
    }
}

/// One row as the fields of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedRecord {
    /// Row as a person sees it in the file.
    pub row: u32,
    /// Whose dossier the record goes into; empty for a kind without a subject field.
    pub subject: String,
    /// Values by field number, those of the context included.
    pub fields: Fields,
}

/// Reads the file at `path`; see [`parse`].
pub fn parse_file(
    kind: &Kind,
    path: &Path,
    context: &Fields,
    lang: Lang,
) -> Result<Parsed, ImportError> {
    parse(kind, &Source::open(path)?, context, lang)
}

/// Reads `source` as a table of `kind`. `context` holds the values every record takes from where it is imported (see
/// [`Kind::context`]). Messages are in `lang`. Fails only for files that cannot be read as a whole.
pub fn parse(
    kind: &Kind,
    source: &Source,
    context: &Fields,
    lang: Lang,
) -> Result<Parsed, ImportError> {
    let sheet = kind
        .definition()
        .exchanges
        .iter()
        .find(|exchange| exchange.format == "xlsx");
    let sheet = sheet.and_then(|exchange| exchange.sheet.as_deref());
    let mut table = Table {
        kind,
        context,
        lang,
        file: source.name().to_owned(),
        waiting: Vec::new(),
        headings: None,
        rows: 0,
        records: Vec::new(),
        seen: BTreeMap::new(),
        beyond_header: false,
        found: Found::default(),
    };
    let reading = super::read_rows(source, sheet, &mut |row| {
        table.take(row);
        Ok(())
    })?;
    table.decide();
    if table.headings.is_none() {
        let reason = Refusal::NoHeader {
            kind: kind.label(lang.tag()).to_owned(),
            expected: column::expected(kind, lang),
            encoding: reading.encoding,
        };
        return Err(ImportError {
            file: table.file,
            reason,
        });
    }
    if table.rows == 0 {
        table.report(Severity::Error, None, None, "no-rows", &[]);
    }
    let help = crate::template::help_sheets();
    let others: Vec<String> = reading
        .other_sheets
        .into_iter()
        .filter(|name| !help.contains(name))
        .collect();
    if !others.is_empty() {
        let others = super::visible(&others.join(", "));
        let sheet = reading.sheet.clone().unwrap_or_default();
        let args = [("sheet", (&sheet).into()), ("others", (&others).into())];
        table.report(Severity::Warning, None, None, "other-sheets", &args);
    }
    Ok(Parsed {
        file: table.file,
        format: source.format(),
        encoding: reading.encoding,
        sheet: reading.sheet,
        rows_read: table.rows,
        records: table.records,
        problems: table.found.problems,
        errors: table.found.errors,
        warnings: table.found.warnings,
    })
}

/// Problems with their counts.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    errors: u64,
    warnings: u64,
}

impl Found {
    fn push(&mut self, problem: Problem) {
        let count = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        // Each severity has its own room, so that a thousand warnings cannot hide the one error.
        if *count <= limits::PROBLEMS_MAX as u64 {
            self.problems.push(problem);
        }
    }
}

/// A file while its rows go by.
struct Table<'a> {
    kind: &'a Kind,
    context: &'a Fields,
    lang: Lang,
    file: String,
    /// Rows at the top, until it is known which of them is the header.
    waiting: Vec<Row>,
    headings: Option<Headings>,
    rows: u32,
    records: Vec<ParsedRecord>,
    /// First row with these fields, by their hash.
    seen: BTreeMap<Hash, u32>,
    beyond_header: bool,
    found: Found,
}

impl Table<'_> {
    fn take(&mut self, row: Row) {
        if self.headings.is_some() {
            self.row(row);
        } else if self.waiting.len() < limits::HEADER_ROWS_MAX {
            self.waiting.push(row);
            if self.waiting.len() == limits::HEADER_ROWS_MAX {
                self.decide();
            }
        }
    }

    /// Takes the row with the most known columns as the header and reads the rows that waited below it.
    fn decide(&mut self) {
        if self.headings.is_some() {
            return;
        }
        let known = |row: &Row| column::known(self.kind, row);
        // Of rows that know equally much the upper one is the header, hence the reversal.
        let best = self
            .waiting
            .iter()
            .enumerate()
            .rev()
            .max_by_key(|(_, row)| known(row));
        let Some(best) = best
            .filter(|(_, row)| known(row) > 0)
            .map(|(index, _)| index)
        else {
            return;
        };
        let mut waiting = std::mem::take(&mut self.waiting).into_iter().skip(best);
        let Some(header) = waiting.next() else { return };
        let (headings, faults) = column::headings(self.kind, &header, self.context);
        // The header of a jsonl file is no row a person sees.
        let row = Some(header.number).filter(|number| *number > 0);
        for fault in faults {
            self.column_fault(row, fault);
        }
        self.headings = Some(headings);
        for row in waiting {
            self.row(row);
        }
    }

    fn column_fault(&mut self, row: Option<u32>, fault: ColumnFault) {
        let kind = self.kind.label(self.lang.tag());
        match fault {
            ColumnFault::Unknown { shown } => {
                let args = [("kind", kind.into())];
                self.report(Severity::Warning, row, Some(shown), "unknown-column", &args);
            }
            ColumnFault::Duplicate { shown, earlier } => {
                let earlier = letters(earlier);
                let args = [("other", (&earlier).into())];
                self.report(Severity::Error, row, Some(shown), "duplicate-column", &args);
            }
            ColumnFault::Missing { name } => {
                let args = [("name", (&name).into())];
                self.report(Severity::Error, row, None, "missing-column", &args);
            }
            ColumnFault::MissingHalf { name } => {
                let args = [("name", (&name).into())];
                self.report(Severity::Error, row, None, "missing-half", &args);
            }
        }
    }

    fn row(&mut self, row: Row) {
        let Some(headings) = self.headings.take() else {
            return;
        };
        self.row_under(&headings, row);
        self.headings = Some(headings);
    }

    fn row_under(&mut self, headings: &Headings, row: Row) {
        if row.cells.iter().all(Cell::is_blank) && row.fault.is_none() {
            return;
        }
        self.rows += 1;
        if let Some(fault) = &row.fault {
            self.row_fault(row.number, fault);
            return;
        }
        // Problems of one row, by column, so that they are read from left to right.
        let mut faults: Vec<(usize, u16, &'static str, String)> = Vec::new();
        let mut texts: Vec<(usize, &Column, String)> = Vec::with_capacity(row.cells.len());
        for (index, cell) in row.cells.iter().enumerate() {
            let heading = headings.columns.get(index);
            let Some(column) = heading.and_then(|heading| heading.column.as_ref()) else {
                self.beyond_header(headings, row.number, index, cell);
                continue;
            };
            let holds = self
                .kind
                .field(column.field)
                .map(|field| field.holds.item());
            match cell::text_of(cell, holds) {
                Ok(text) => texts.push((index, column, text)),
                Err(fault) => {
                    let (key, message) = fault.message(self.lang);
                    faults.push((index, column.field, key, message));
                }
            }
        }
        let cells = texts
            .iter()
            .map(|(_, column, text)| (*column, text.as_str()));
        let fields = match self.kind.read_row(cells, self.context) {
            Ok(fields) => fields,
            Err(errors) => {
                for fault in errors {
                    let reported = faults.iter().any(|(_, field, ..)| *field == fault.field);
                    if reported || headings.absent.contains(&fault.field) {
                        continue;
                    }
                    let Some(field) = self.kind.field(fault.field) else {
                        continue;
                    };
                    for (index, shown, error) in places(headings, &texts, fault) {
                        let (key, message) = field_fault(self.lang, field, &error, shown);
                        faults.push((index, field.number, key, message));
                    }
                }
                Fields::new()
            }
        };
        let subject = self.kind.subject_field().and_then(|field| {
            Some((
                field.number,
                fields.get(&field.number)?.as_text()?.to_owned(),
            ))
        });
        if let Some((number, subject)) = &subject
            && subject.len() > SUBJECT_SIZE_MAX
            && let Some(field) = self.kind.field(*number)
        {
            let error = FieldError::TooLong {
                max: SUBJECT_SIZE_MAX as u32,
            };
            for (index, shown, error) in places(
                headings,
                &texts,
                RowError {
                    field: *number,
                    error,
                },
            ) {
                let (key, message) = field_fault(self.lang, field, &error, shown);
                faults.push((index, *number, key, message));
            }
        }
        if !faults.is_empty() {
            faults.sort_by_key(|(index, ..)| *index);
            for (index, _, code, message) in faults {
                let column = headings
                    .columns
                    .get(index)
                    .map(|heading| heading.shown.clone());
                self.push(Severity::Error, Some(row.number), column, code, message);
            }
            return;
        }
        // A row whose required columns are all absent has been reported with the header.
        if !headings.absent.is_empty() {
            return;
        }
        let hash = Hash::of(&fields_bytes(&fields));
        if let Some(first) = self.seen.get(&hash).copied() {
            let args = [("other", first.into())];
            self.report(
                Severity::Warning,
                Some(row.number),
                None,
                "duplicate-row",
                &args,
            );
        } else {
            self.seen.insert(hash, row.number);
        }
        let subject = subject.map(|(_, subject)| subject).unwrap_or_default();
        self.records.push(ParsedRecord {
            row: row.number,
            subject,
            fields,
        });
    }

    fn row_fault(&mut self, row: u32, fault: &RowFault) {
        let mut args: Vec<(&str, Arg<'_>)> = Vec::new();
        let key = match fault {
            RowFault::NotJson => "row-not-json",
            RowFault::NotAnObject => "row-not-an-object",
            RowFault::DuplicateName(name) => {
                args.push(("name", name.into()));
                "row-duplicate-name"
            }
            RowFault::TooLong => {
                args.push(("max", (limits::LINE_SIZE_MAX / 1024).into()));
                "row-too-long"
            }
        };
        self.report(Severity::Error, Some(row), None, key, &args);
    }

    /// Warns once per file about values to the right of the table, which would otherwise vanish unseen.
    fn beyond_header(&mut self, headings: &Headings, row: u32, index: usize, cell: &Cell) {
        let named = headings
            .columns
            .get(index)
            .is_some_and(|heading| heading.shown != letters(index));
        if self.beyond_header || named || cell.is_blank() {
            return;
        }
        self.beyond_header = true;
        self.report(
            Severity::Warning,
            Some(row),
            Some(letters(index)),
            "beyond-header",
            &[],
        );
    }

    fn report(
        &mut self,
        severity: Severity,
        row: Option<u32>,
        column: Option<String>,
        code: &'static str,
        args: &[(&str, Arg<'_>)],
    ) {
        let message = text(self.lang, code, args);
        self.push(severity, row, column, code, message);
    }

    fn push(
        &mut self,
        severity: Severity,
        row: Option<u32>,
        column: Option<String>,
        code: &'static str,
        message: String,
    ) {
        let file = self.file.clone();
        self.found.push(Problem {
            severity,
            file,
            row,
            column,
            code,
            message,
        });
    }
}

/// Finds the cells an error of a field is about: of an interval in two cells each half that is wrong.
fn places<'a>(
    headings: &Headings,
    texts: &'a [(usize, &Column, String)],
    fault: RowError,
) -> Vec<(usize, &'a str, FieldError)> {
    let part = |part: ColumnPart| {
        let of_field = |column: &Column| column.field == fault.field && column.part == part;
        let read = texts.iter().find(|(_, column, _)| of_field(column));
        read.map(|(index, _, text)| (*index, text.as_str()))
            .or_else(|| {
                // The row is shorter than the header: the cell is not there at all.
                let named = |heading: &Heading| heading.column.as_ref().is_some_and(of_field);
                headings
                    .columns
                    .iter()
                    .position(named)
                    .map(|index| (index, ""))
            })
    };
    let whole = part(ColumnPart::Whole);
    let (Some(start), Some(end)) = (part(ColumnPart::Start), part(ColumnPart::End)) else {
        let (index, text) = whole.unwrap_or((usize::MAX, ""));
        return vec![(index, text, fault.error)];
    };
    match (whole, &fault.error) {
        (Some((index, text)), _) if !text.is_empty() => vec![(index, text, fault.error)],
        (_, FieldError::NotAnInterval) => [start, end]
            .into_iter()
            .filter(|(_, text)| text.parse::<Minute>().is_err())
            .map(|(index, text)| match text {
                "" => (index, text, FieldError::Required),
                text => (index, text, FieldError::NotADateTime),
            })
            .collect(),
        (_, FieldError::Required) => [start, end]
            .map(|(index, text)| (index, text, FieldError::Required))
            .to_vec(),
        (_, FieldError::EndsBeforeStart) => vec![(end.0, end.1, fault.error)],
        _ => vec![(start.0, start.1, fault.error)],
    }
}

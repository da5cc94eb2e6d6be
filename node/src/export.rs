//! Writes records out again: a csv that opens safely in a spreadsheet program, and JSON lines that keep every value
//! as it is. Both stream; what they write, an import reads back to equal values.

use std::io::Write;

use serde_json::value::RawValue;
use tiers::RecordId;
use tiers::RecordView;
use tiers::kind::{Column, ColumnPart, Field, FieldType, Kind};
use tiers::value::Value;

use crate::label::{Lang, text, word};

mod guard;

pub use guard::{guard, unguard};

/// Names of what a JSON line says besides the fields. No field can be called so, since names begin with a letter.
const RECORD: &str = "_record";
const SUBJECT: &str = "_subject";
const CONFLICTS: &str = "_conflicts";

/// Labels of the columns a csv adds.
const ADDED: [&str; 3] = ["export-record", "export-subject", "export-conflicts"];

/// A record that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message(Lang::En))]
#[non_exhaustive]
pub enum ExportError {
    /// The place written to refused.
    Write(#[from] std::io::Error),
    /// The csv writer refused.
    Csv(#[from] csv::Error),
    /// A value could not be put into JSON.
    Json(#[from] serde_json::Error),
}

impl ExportError {
    /// Says in `lang` what went wrong.
    pub fn message(&self, lang: Lang) -> String {
        let detail = match self {
            Self::Write(error) => error.to_string(),
            Self::Csv(error) => error.to_string(),
            Self::Json(error) => error.to_string(),
        };
        text(lang, "export-unwritable", &[("detail", (&detail).into())])
    }
}

/// One record to write.
#[derive(Clone, Copy, Debug)]
pub struct ExportRow<'a> {
    /// The record's id.
    pub record: RecordId,
    /// Whose dossier the record is in.
    pub subject: &'a str,
    /// The record, joined from every dossier this node may read.
    pub view: &'a RecordView,
}

/// Tells whether a heading belongs to a column that exports add and imports pass over.
pub(crate) fn is_own_column(heading: &str) -> bool {
    [RECORD, SUBJECT, CONFLICTS].contains(&heading)
        || Lang::ALL.iter().any(|lang| {
            ADDED
                .iter()
                .any(|key| word(*lang, key).eq_ignore_ascii_case(heading))
        })
}

/// Lists the columns of a complete table: those of the kind's own table, then every other field.
fn complete(kind: &Kind, lang: Lang) -> Vec<Column> {
    let mut columns = kind.columns().to_vec();
    for field in kind.fields() {
        if columns.iter().any(|column| column.field == field.number) {
            continue;
        }
        let label = field.label.text(lang.tag());
        // A label that already names another column would send the values there when read back.
        let found = kind.column(label);
        let own = found.is_some_and(|column| column.field == field.number);
        let header = if own { label } else { &field.name };
        columns.push(Column {
            header: header.to_owned(),
            field: field.number,
            part: ColumnPart::Whole,
        });
    }
    columns
}

/// Writes records of one kind as csv: UTF-8 with a byte order mark, one line per record, words in one language.
pub struct CsvExport<'a, W: Write> {
    out: csv::Writer<W>,
    kind: &'a Kind,
    lang: Lang,
    columns: Vec<Column>,
    rows: u64,
}

impl<'a, W: Write> CsvExport<'a, W> {
    /// Writes the header.
    pub fn start(mut out: W, kind: &'a Kind, lang: Lang) -> Result<Self, ExportError> {
        // Without the mark Excel reads the file in the system's own encoding.
        out.write_all(b"\xEF\xBB\xBF")?;
        let mut out = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(out);
        let columns = complete(kind, lang);
        let added = ADDED.map(|key| word(lang, key));
        let headers = columns.iter().map(|column| column.header.as_str());
        for header in headers.chain(added.iter().map(String::as_str)) {
            out.write_field(guard(header).as_bytes())?;
        }
        out.write_record(None::<&[u8]>)?;
        Ok(Self {
            out,
            kind,
            lang,
            columns,
            rows: 0,
        })
    }

    /// Writes one record.
    pub fn write(&mut self, row: ExportRow<'_>) -> Result<(), ExportError> {
        for column in &self.columns {
            let value = row.view.fields.get(&column.field);
            let text = match (self.kind.field(column.field), value) {
                (Some(field), Some(value)) => cell(field, column.part, value, self.lang),
                _ => String::new(),
            };
            self.out.write_field(guard(&text).as_bytes())?;
        }
        for text in [row.record.to_string().as_str(), row.subject] {
            self.out.write_field(guard(text).as_bytes())?;
        }
        self.out
            .write_field(guard(&self.conflicts(row.view)).as_bytes())?;
        self.out.write_record(None::<&[u8]>)?;
        self.rows += 1;
        Ok(())
    }

    /// Flushes and returns the number of records written.
    pub fn finish(mut self) -> Result<u64, ExportError> {
        self.out.flush()?;
        Ok(self.rows)
    }

    fn conflicts(&self, view: &RecordView) -> String {
        let mut texts = Vec::with_capacity(view.conflicts.len());
        for (number, values) in &view.conflicts {
            let Some(field) = self.kind.field(*number) else {
                continue;
            };
            let shown = |value: &Option<Value>| match value {
                Some(value) => cell(field, ColumnPart::Whole, value, self.lang),
                None => word(self.lang, "export-nothing"),
            };
            let values: Vec<String> = values.iter().map(shown).collect();
            texts.push(format!(
                "{}: {}",
                field.label.text(self.lang.tag()),
                values.join(" | ")
            ));
        }
        texts.join("; ")
    }
}

/// Writes one value as a person of this language expects it in a table, and as an import reads it.
fn cell(field: &Field, part: ColumnPart, value: &Value, lang: Lang) -> String {
    let minute = |minute: &tiers::value::Minute| minute.to_string().replace('T', " ");
    match (value, part) {
        (Value::Interval { start, .. }, ColumnPart::Start) => minute(start),
        (Value::Interval { end, .. }, ColumnPart::End) => minute(end),
        (Value::DateTime(at), _) => minute(at),
        (Value::Bool(flag), _) => word(lang, if *flag { "export-yes" } else { "export-no" }),
        _ => field.show(value, Some(lang.tag())),
    }
}

/// Writes records of one kind as csv, one after another as the iterator gives them. Returns how many.
pub fn write_csv<'r, W: Write>(
    out: W,
    kind: &Kind,
    lang: Lang,
    rows: impl IntoIterator<Item = ExportRow<'r>>,
) -> Result<u64, ExportError> {
    let mut export = CsvExport::start(out, kind, lang)?;
    for row in rows {
        export.write(row)?;
    }
    export.finish()
}

/// Writes one record as a JSON line: fields by name, numbers and booleans bare, everything else as text.
pub fn write_json_line<W: Write>(
    out: &mut W,
    kind: &Kind,
    row: ExportRow<'_>,
) -> Result<(), ExportError> {
    let mut line: Vec<(&str, Box<RawValue>)> = vec![
        (RECORD, raw(&row.record.to_string())?),
        (SUBJECT, raw(row.subject)?),
    ];
    for field in kind.fields() {
        if let Some(value) = row.view.fields.get(&field.number) {
            line.push((&field.name, json(field, value)?));
        }
    }
    if !row.view.conflicts.is_empty() {
        let mut fields: Vec<(&str, Vec<Box<RawValue>>)> = Vec::new();
        for (number, values) in &row.view.conflicts {
            let Some(field) = kind.field(*number) else {
                continue;
            };
            let shown = |value: &Option<Value>| match value {
                Some(value) => json(field, value),
                None => raw(&()),
            };
            let values = values.iter().map(shown).collect::<Result<_, _>>()?;
            fields.push((&field.name, values));
        }
        line.push((
            CONFLICTS,
            serde_json::value::to_raw_value(&Members(&fields))?,
        ));
    }
    serde_json::to_writer(&mut *out, &Members(&line))?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Writes records of one kind as JSON lines, one after another as the iterator gives them. Returns how many.
pub fn write_jsonl<'r, W: Write>(
    mut out: W,
    kind: &Kind,
    rows: impl IntoIterator<Item = ExportRow<'r>>,
) -> Result<u64, ExportError> {
    let mut count = 0;
    for row in rows {
        write_json_line(&mut out, kind, row)?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

fn json(field: &Field, value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    match value {
        Value::Bool(flag) => raw(flag),
        // A duration is written in its unit, which is not always a plain number.
        Value::Int(_) if *field.holds.item() == FieldType::Duration => {
            raw(&field.show(value, None))
        }
        // The digits of a number go out as they are; a float on the way would change them.
        Value::Int(_) | Value::Decimal { .. } => RawValue::from_string(value.to_string()),
        Value::Set(items) => {
            let items: Vec<String> = items.iter().map(|item| field.show(item, None)).collect();
            raw(&items)
        }
        _ => raw(&field.show(value, None)),
    }
}

fn raw<T: serde::Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(value)
}

/// Members of an object in a given order.
struct Members<'a, T>(&'a [(&'a str, T)]);

impl<T: serde::Serialize> serde::Serialize for Members<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests;

//! Writes generated rows in each form a school might bring them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook};
use tiers::kind::{Column, ColumnPart, FieldType, Kind};

use super::{FileForm, GenerateError, is_code, path};

/// Writes `rows` to the file at `to` and returns their number.
pub(super) fn write(
    kind: &Kind,
    rows: impl Iterator<Item = Vec<String>>,
    form: FileForm,
    to: &Path,
) -> Result<u64, GenerateError> {
    match form {
        FileForm::Xlsx => workbook(kind, rows, to),
        FileForm::Csv => {
            let mut out = BufWriter::new(File::create(to)?);
            out.write_all(b"\xEF\xBB\xBF")?;
            csv(kind, rows, &mut out, &|text| text.as_bytes().to_vec())
        }
        FileForm::CsvGb18030 => {
            let mut out = BufWriter::new(File::create(to)?);
            let encode = |text: &str| encoding_rs::GB18030.encode(text).0.into_owned();
            csv(kind, rows, &mut out, &encode)
        }
        FileForm::Jsonl => jsonl(kind, rows, &mut BufWriter::new(File::create(to)?)),
    }
}

/// Shows a cell as people write it: words instead of codes.
fn shown<'a>(kind: &'a Kind, column: &Column, text: &'a str) -> &'a str {
    let codes = kind
        .field(column.field)
        .map(|field| field.codes.as_slice())
        .unwrap_or_default();
    match codes
        .iter()
        .find(|code| is_code(kind, column) && code.code == text)
    {
        Some(code) => &code.label.zh,
        None => text,
    }
}

fn csv(
    kind: &Kind,
    rows: impl Iterator<Item = Vec<String>>,
    out: &mut dyn Write,
    encode: &dyn Fn(&str) -> Vec<u8>,
) -> Result<u64, GenerateError> {
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out);
    let headers = kind.columns().iter().map(|column| encode(&column.header));
    out.write_record(headers)?;
    let mut count = 0;
    for row in rows {
        let cells = kind.columns().iter().zip(&row);
        out.write_record(cells.map(|(column, text)| encode(shown(kind, column, text))))?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

fn jsonl(
    kind: &Kind,
    rows: impl Iterator<Item = Vec<String>>,
    out: &mut dyn Write,
) -> Result<u64, GenerateError> {
    let names: Vec<String> = kind
        .columns()
        .iter()
        .map(|column| json_name(kind, column))
        .collect();
    let mut count = 0;
    for row in rows {
        let mut line = String::from("{");
        for ((column, name), text) in kind.columns().iter().zip(&names).zip(&row) {
            if text.is_empty() {
                continue;
            }
            if line.len() > 1 {
                line.push(',');
            }
            let holds = kind.field(column.field).map(|field| &field.holds);
            let bare = matches!(holds, Some(FieldType::Int | FieldType::Decimal));
            let value = serde_json::Value::from(text.as_str()).to_string();
            let name = serde_json::Value::from(name.as_str()).to_string();
            line.push_str(&name);
            line.push(':');
            line.push_str(if bare { text } else { &value });
        }
        line.push_str("}\n");
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// Names a column in JSON: as the kind's own exchange does, else by its field.
fn json_name(kind: &Kind, column: &Column) -> String {
    let path = kind
        .field(column.field)
        .map_or_else(String::new, |field| path(&field.name, column.part));
    kind.definition()
        .exchanges
        .iter()
        .filter(|exchange| exchange.format == "jsonl")
        .flat_map(|exchange| &exchange.columns)
        .find(|written| written.field == path)
        .map_or(path, |written| written.header.clone())
}

fn workbook(
    kind: &Kind,
    rows: impl Iterator<Item = Vec<String>>,
    to: &Path,
) -> Result<u64, GenerateError> {
    let mut workbook = Workbook::new();
    // The moment of creation would make every file another one.
    let created = ExcelDateTime::from_ymd(2026, 9, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let (text, bold) = (Format::new().set_num_format("@"), Format::new().set_bold());
    let day = Format::new().set_num_format("yyyy-mm-dd");
    let moment = Format::new().set_num_format("yyyy-mm-dd hh:mm");
    // Rows go to disk as they come: the sheet of a semester would otherwise take 100 MB.
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    let exchange = kind
        .definition()
        .exchanges
        .iter()
        .find(|exchange| exchange.format == "xlsx");
    sheet.set_name(
        exchange
            .and_then(|exchange| exchange.sheet.as_deref())
            .unwrap_or(kind.id()),
    )?;
    for (index, column) in (0u16..).zip(kind.columns()) {
        sheet.set_column_width(index, 20)?;
        sheet.write_with_format(0, index, &column.header, &bold)?;
    }
    let mut count = 0u32;
    for row in rows {
        count += 1;
        for ((index, column), cell) in (0u16..).zip(kind.columns()).zip(&row) {
            if cell.is_empty() {
                continue;
            }
            match (form_of(kind, column), cell.parse::<f64>()) {
                (Cell::Number, Ok(number)) => sheet.write(count, index, number)?,
                (Cell::Day, _) => sheet.write_with_format(count, index, &time(cell)?, &day)?,
                (Cell::Moment, _) => {
                    sheet.write_with_format(count, index, &time(cell)?, &moment)?
                }
                _ => sheet.write_with_format(count, index, shown(kind, column, cell), &text)?,
            };
        }
    }
    workbook.save(to)?;
    Ok(u64::from(count))
}

fn time(text: &str) -> Result<ExcelDateTime, GenerateError> {
    Ok(ExcelDateTime::parse_from_str(text)?)
}

/// How a column's cells are stored in a sheet.
enum Cell {
    Text,
    Number,
    Day,
    Moment,
}

fn form_of(kind: &Kind, column: &Column) -> Cell {
    match kind.field(column.field).map(|field| &field.holds) {
        Some(FieldType::Int | FieldType::Decimal | FieldType::Money | FieldType::Duration) => {
            Cell::Number
        }
        Some(FieldType::Date) => Cell::Day,
        Some(FieldType::DateTime) => Cell::Moment,
        Some(FieldType::Interval) if column.part != ColumnPart::Whole => Cell::Moment,
        _ => Cell::Text,
    }
}

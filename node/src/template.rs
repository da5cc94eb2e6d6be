//! Makes the workbook a school fills in: the columns of a kind with lists to choose from and limits, and a sheet that
//! explains each column in both languages.

use std::path::Path;

use rust_xlsxwriter::{
    DataValidation, DataValidationRule, DocProperties, ExcelDateTime, Format, FormatAlign, Formula,
    Workbook, Worksheet, XlsxError,
};
use tiers::kind::{ColumnPart, Field, FieldType, Kind};

use crate::import::{limits, problem};
use crate::label::{Arg, Lang, text, word};

/// Characters all words of a list may have together to be stored in the cell's own rule; Excel's limit.
const LIST_LENGTH_MAX: usize = 255;

/// Name of the sheet with lists that do not fit into a rule. Nobody sees it.
const LISTS: &str = "lists";

/// A template that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message(Lang::En))]
pub struct TemplateError(#[from] XlsxError);

impl TemplateError {
    /// Says in `lang` what went wrong.
    pub fn message(&self, lang: Lang) -> String {
        let detail = self.0.to_string();
        text(lang, "template-unwritable", &[("detail", (&detail).into())])
    }
}

/// Writes the workbook for `kind` to `path`. Words and messages are in `lang`, explanations in both languages.
pub fn template(kind: &Kind, lang: Lang, path: &Path) -> Result<(), TemplateError> {
    let mut workbook = Workbook::new();
    // The moment of creation would make every template another file.
    let created = ExcelDateTime::from_ymd(2026, 9, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let mut lists = Vec::new();
    let exchange = kind
        .definition()
        .exchanges
        .iter()
        .find(|exchange| exchange.format == "xlsx");
    let name = exchange
        .and_then(|exchange| exchange.sheet.as_deref())
        .unwrap_or(kind.id());
    fill_in(
        kind,
        lang,
        workbook.add_worksheet().set_name(name)?,
        &mut lists,
    )?;
    let name = word(lang, "template-help-sheet");
    explain(kind, lang, workbook.add_worksheet().set_name(name)?)?;
    if !lists.is_empty() {
        let sheet = workbook.add_worksheet().set_name(LISTS)?;
        for (column, words) in (0u16..).zip(&lists) {
            sheet.write_column(0, column, words)?;
        }
        sheet.set_very_hidden(true);
    }
    workbook.save(path)?;
    Ok(())
}

/// Names the explaining sheet in every language, so that an import does not report it as left out.
pub(crate) fn help_sheets() -> [String; 2] {
    Lang::ALL.map(|lang| word(lang, "template-help-sheet"))
}

fn fill_in(
    kind: &Kind,
    lang: Lang,
    sheet: &mut Worksheet,
    lists: &mut Vec<Vec<String>>,
) -> Result<(), XlsxError> {
    let heading = Format::new()
        .set_bold()
        .set_background_color(0xDDEBF7)
        .set_align(FormatAlign::Center);
    let last = limits::ROWS_MAX;
    for (index, column) in (0u16..).zip(kind.columns()) {
        let Some(field) = kind.field(column.field) else {
            continue;
        };
        let cells = match &field.holds {
            FieldType::Date => Some("yyyy-mm-dd"),
            FieldType::DateTime => Some("yyyy-mm-dd hh:mm"),
            FieldType::Interval if column.part != ColumnPart::Whole => Some("yyyy-mm-dd hh:mm"),
            FieldType::Int | FieldType::Decimal | FieldType::Money | FieldType::Duration => None,
            // Everything else is text, identifiers above all: as numbers they would lose digits.
            _ => Some("@"),
        };
        if let Some(format) = cells {
            sheet.set_column_format(index, &Format::new().set_num_format(format))?;
        }
        let width = column.header.chars().count().max(8) as f64 * 2.2;
        sheet.set_column_width(index, width)?;
        sheet.write_with_format(0, index, &column.header, &heading)?;
        if let Some(rule) = rule(field, lang, lists)? {
            let message = text(
                lang,
                "template-intro",
                &[("kind", Arg::Text(kind.label(lang.tag())))],
            );
            let limit = limit(field, lang).unwrap_or_else(|| word(lang, "template-not-allowed"));
            let rule = rule
                .set_error_title(short(&column.header, 32))?
                .set_error_message(short(&limit, 255))?
                .set_input_title(short(&column.header, 32))?
                .set_input_message(short(&format!("{}\n{message}", form(field, lang)), 255))?;
            sheet.add_data_validation(1, index, last, index, &rule)?;
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    Ok(())
}

/// Makes the rule the spreadsheet program checks while a person types; `None` where there is nothing to check.
fn rule(
    field: &Field,
    lang: Lang,
    lists: &mut Vec<Vec<String>>,
) -> Result<Option<DataValidation>, XlsxError> {
    let words: Vec<String> = match field.holds {
        FieldType::Enum => field
            .codes
            .iter()
            .map(|code| code.label.text(lang.tag()).to_owned())
            .collect(),
        FieldType::Bool => vec![word(lang, "template-yes"), word(lang, "template-no")],
        _ => Vec::new(),
    };
    let rule = DataValidation::new();
    if !words.is_empty() {
        let length: usize = words.iter().map(|word| word.chars().count() + 1).sum();
        let plain =
            length <= LIST_LENGTH_MAX && words.iter().all(|word| !word.contains([',', '"']));
        if plain {
            return rule.allow_list_strings(&words).map(Some);
        }
        let column = crate::import::letters(lists.len());
        let range = format!("={LISTS}!${column}$1:${column}${}", words.len());
        lists.push(words);
        return Ok(Some(rule.allow_list_formula(Formula::new(range))));
    }
    let one = match field.holds {
        FieldType::Duration => f64::from(field.unit_minutes),
        _ => 1.0,
    };
    let bounds = (
        field.min.map(|min| min as f64 / one),
        field.max.map(|max| max as f64 / one),
    );
    Ok(match (&field.holds, bounds) {
        (
            FieldType::Int | FieldType::Decimal | FieldType::Money | FieldType::Duration,
            (Some(min), Some(max)),
        ) => Some(rule.allow_decimal_number(DataValidationRule::Between(min, max))),
        (FieldType::Text, _) => field
            .max_len
            .map(|max| rule.allow_text_length(DataValidationRule::LessThanOrEqualTo(max))),
        _ => None,
    })
}

/// Writes one row per column of the kind, with its meaning and form in Chinese and in English.
fn explain(kind: &Kind, lang: Lang, sheet: &mut Worksheet) -> Result<(), XlsxError> {
    const KEYS: [&str; 4] = [
        "template-meaning",
        "template-required",
        "template-form",
        "template-rule",
    ];
    let bold = Format::new().set_bold();
    let wrap = Format::new().set_text_wrap().set_align(FormatAlign::Top);
    let kind_name = |lang: Lang| kind.label(lang.tag());
    for (row, lang) in (0u32..).zip(Lang::ALL) {
        let intro = text(
            lang,
            "template-intro",
            &[("kind", Arg::Text(kind_name(lang)))],
        );
        sheet.write(row, 0, intro)?;
    }
    let top = Lang::ALL.len() as u32 + 1;
    sheet.write_with_format(top, 0, word(lang, "template-column"), &bold)?;
    sheet.set_column_width(0, 16)?;
    let mut at = 1u16;
    for lang in Lang::ALL {
        for key in KEYS {
            sheet.write_with_format(top, at, word(lang, key), &bold)?;
            sheet.set_column_width(at, if key == "template-form" { 36 } else { 18 })?;
            at += 1;
        }
    }
    for (row, column) in (top + 1..).zip(kind.columns()) {
        let Some(field) = kind.field(column.field) else {
            continue;
        };
        sheet.write_with_format(row, 0, &column.header, &wrap)?;
        let mut at = 1u16;
        for lang in Lang::ALL {
            let required = if field.required {
                "template-yes"
            } else {
                "template-no"
            };
            let form = match column.part {
                ColumnPart::Whole => form(field, lang),
                ColumnPart::Start | ColumnPart::End => word(lang, "form-datetime"),
            };
            let cells = [
                field.label.text(lang.tag()).to_owned(),
                word(lang, required),
                form,
                limit(field, lang).unwrap_or_default(),
            ];
            for cell in cells {
                sheet.write_with_format(row, at, cell, &wrap)?;
                at += 1;
            }
        }
    }
    sheet.set_freeze_panes(top + 1, 1)?;
    Ok(())
}

/// Says how a value of the field is written.
fn form(field: &Field, lang: Lang) -> String {
    let item = form_of(field, field.holds.item(), lang);
    match field.holds {
        FieldType::List(_) => text(lang, "form-list", &[("item", Arg::Text(&item))]),
        _ => item,
    }
}

fn form_of(field: &Field, holds: &FieldType, lang: Lang) -> String {
    match holds {
        FieldType::Text => word(lang, "form-text"),
        FieldType::Int => word(lang, "form-int"),
        FieldType::Decimal if field.scale > 0 => text(
            lang,
            "form-decimal-places",
            &[("scale", Arg::Count(field.scale.into()))],
        ),
        FieldType::Money => text(lang, "form-decimal-places", &[("scale", Arg::Count(2))]),
        FieldType::Bool => word(lang, "form-bool"),
        FieldType::Date => word(lang, "form-date"),
        FieldType::DateTime => word(lang, "form-datetime"),
        FieldType::Interval => word(lang, "form-interval"),
        FieldType::Duration => {
            let unit = match field.unit_minutes {
                1 => word(lang, "unit-minutes"),
                minutes => text(lang, "unit-of-minutes", &[("minutes", minutes.into())]),
            };
            text(lang, "form-duration", &[("unit", Arg::Text(&unit))])
        }
        FieldType::Enum => {
            let allowed = problem::allowed(lang, field);
            text(lang, "form-enum", &[("allowed", Arg::Text(&allowed))])
        }
        FieldType::Attachment | FieldType::Hash | FieldType::MerkleRoot => {
            word(lang, "form-attachment")
        }
        FieldType::Contact => word(lang, "form-contact"),
        FieldType::Ref(_) | FieldType::Id(_) | FieldType::Code(_) => word(lang, "form-id"),
        FieldType::Struct => word(lang, "form-struct"),
        _ => word(lang, "form-decimal"),
    }
}

/// Says which values are out of bounds, if any are.
fn limit(field: &Field, lang: Lang) -> Option<String> {
    let bound = |number| problem::bound(lang, field, number);
    match (field.min.map(bound), field.max.map(bound), field.max_len) {
        (Some(min), Some(max), _) => Some(text(
            lang,
            "template-range",
            &[("min", (&min).into()), ("max", (&max).into())],
        )),
        (Some(min), None, _) => Some(text(lang, "template-least", &[("min", (&min).into())])),
        (None, Some(max), _) => Some(text(lang, "template-most", &[("max", (&max).into())])),
        (None, None, Some(max)) => Some(text(lang, "template-text-range", &[("max", max.into())])),
        (None, None, None) => None,
    }
}

/// Cuts text to the characters Excel allows in a place.
fn short(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests;

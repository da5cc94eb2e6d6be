//! One thing wrong with a file that can be read: where it stands, and what to do about it in the reader's language.

use tiers::kind::{Field, FieldError, FieldType};

use crate::label::{Arg, Lang, text};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file may be imported as it is.
    Warning,
    /// The file cannot be imported before it is mended.
    Error,
}

/// One thing wrong with a file, in words for the person who brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the import.
    pub severity: Severity,
    /// Name of the file without folders.
    pub file: String,
    /// Row as the person sees it in the file; `None` for the file as a whole.
    pub row: Option<u32>,
    /// Heading of the column as it stands in the file.
    pub column: Option<String>,
    /// Stable name for machines.
    pub code: &'static str,
    /// What is wrong, as one sentence in the language asked for.
    pub message: String,
}

impl Problem {
    /// Writes place and message as one line.
    pub fn line(&self, lang: Lang) -> String {
        let mut args: Vec<(&str, Arg<'_>)> = vec![("file", (&self.file).into())];
        if let Some(row) = self.row {
            args.push(("row", row.into()));
        }
        if let Some(column) = &self.column {
            args.push(("column", column.into()));
        }
        let place = text(
            lang,
            match (self.row, &self.column) {
                (None, None) => "place-file",
                (None, Some(_)) => "place-column",
                (Some(_), None) => "place-row",
                (Some(_), Some(_)) => "place-cell",
            },
            &args,
        );
        let key = match self.severity {
            Severity::Warning => "warning-line",
            Severity::Error => "problem-line",
        };
        text(
            lang,
            key,
            &[
                ("place", (&place).into()),
                ("message", (&self.message).into()),
            ],
        )
    }
}

/// Says why `shown` does not belong into `field`, with the key the words were found under.
pub(crate) fn field_fault(
    lang: Lang,
    field: &Field,
    error: &FieldError,
    shown: &str,
) -> (&'static str, String) {
    let shown = super::visible(shown);
    let mut args: Vec<(&str, Arg<'_>)> = vec![("value", (&shown).into())];
    let (low, high);
    let key = match error {
        FieldError::Required => "field-required",
        FieldError::TooLong { max } => {
            args.push(("max", (*max).into()));
            "field-too-long"
        }
        FieldError::ControlCharacter => "field-control-character",
        FieldError::NotANumber => "field-not-a-number",
        FieldError::TooPrecise { .. } if *field.holds.item() == FieldType::Duration => {
            args.push(("minutes", field.unit_minutes.into()));
            "field-not-whole-minutes"
        }
        FieldError::TooPrecise { scale } => {
            args.push(("scale", u32::from(*scale).into()));
            "field-too-precise"
        }
        FieldError::OutOfRange { min, max } => {
            low = min.map(|min| bound(lang, field, min));
            high = max.map(|max| bound(lang, field, max));
            if let Some(low) = &low {
                args.push(("min", low.into()));
            }
            if let Some(high) = &high {
                args.push(("max", high.into()));
            }
            match (&low, &high) {
                (Some(_), None) => "field-below-range",
                (None, Some(_)) => "field-above-range",
                _ => "field-out-of-range",
            }
        }
        FieldError::NotABool => "field-not-a-bool",
        FieldError::NotADate => "field-not-a-date",
        FieldError::NotADateTime => "field-not-a-datetime",
        FieldError::NotAnInterval => "field-not-an-interval",
        FieldError::EndsBeforeStart => "field-ends-before-start",
        FieldError::UnknownCode { .. } => {
            low = Some(allowed(lang, field));
            args.push(("allowed", low.as_deref().unwrap_or_default().into()));
            "field-unknown-code"
        }
        FieldError::NotAHash => "field-not-a-hash",
        FieldError::TooFewItems { min } => {
            args.push(("min", (*min).into()));
            "field-too-few-items"
        }
        FieldError::TooManyItems { max } => {
            args.push(("max", (*max).into()));
            "field-too-many-items"
        }
        FieldError::WrongType => "field-wrong-type",
        FieldError::NotFromText => "field-not-from-text",
        // The list of errors is open to grow in its crate; a new one still names row, column and value here.
        _ => "field-other",
    };
    (key, text(lang, key, &args))
}

/// Lists the words of an enumeration.
pub(crate) fn allowed(lang: Lang, field: &Field) -> String {
    let words: Vec<&str> = field
        .codes
        .iter()
        .map(|code| code.label.text(lang.tag()))
        .collect();
    join(lang, &words)
}

/// Writes a bound of a field; of a duration in minutes, since its own unit rarely says it in round numbers.
pub(crate) fn bound(lang: Lang, field: &Field, number: i64) -> String {
    let minutes = u64::try_from(number).ok();
    match (field.holds.item(), minutes) {
        (FieldType::Duration, Some(minutes)) => {
            text(lang, "bound-minutes", &[("minutes", minutes.into())])
        }
        _ => number.to_string(),
    }
}

/// Joins words the way the language does.
pub(crate) fn join(lang: Lang, words: &[&str]) -> String {
    words.join(match lang {
        Lang::ZhCn => "\u{3001}",
        Lang::En => ", ",
    })
}

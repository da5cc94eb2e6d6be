//! Turns a cell into the text its field is read from, or says why that would lose something.

use tiers::kind::FieldType;

use super::{Cell, Stamp, trim};
use crate::label::{Arg, Lang, text};

/// Why a cell has no text to read a field from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CellFault {
    /// A formula, whose stored result nobody typed.
    Formula,
    /// An error value of the sheet.
    Fault(String),
    /// An object or a list of lists.
    Nested,
    /// An identifier stored as a number.
    NumberForId,
    /// A date stored as a day count.
    NumberForDate(String),
    /// A number of which the sheet has lost digits.
    LongNumber,
}

impl CellFault {
    /// Says in `lang` what is wrong, with the key the words were found under.
    pub(super) fn message(&self, lang: Lang) -> (&'static str, String) {
        let mut args: Vec<(&str, Arg<'_>)> = Vec::new();
        let key = match self {
            Self::Formula => "cell-formula",
            Self::Nested => "cell-nested",
            Self::NumberForId => "cell-number-id",
            Self::LongNumber => "cell-long-number",
            Self::Fault(value) => {
                args.push(("value", value.into()));
                "cell-fault"
            }
            Self::NumberForDate(value) => {
                args.push(("value", value.into()));
                "cell-number-date"
            }
        };
        (key, text(lang, key, &args))
    }
}

/// Writes what stands in `cell` as a person would type it into a field that holds `holds`.
pub(super) fn text_of(cell: &Cell, holds: Option<&FieldType>) -> Result<String, CellFault> {
    Ok(match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => trim(text).replace("\r\n", "\n"),
        Cell::Bool(flag) => flag.to_string(),
        Cell::List(items) => items.join(";"),
        Cell::Stamp(stamp) => stamp_text(*stamp),
        Cell::Number(number) => {
            if holds.is_some_and(is_identifier) {
                return Err(CellFault::NumberForId);
            }
            let digits = number_text(*number).ok_or(CellFault::LongNumber)?;
            // A date whose format got lost is a day count; 20260901 is one a person typed.
            if digits.len() != 8 && holds.is_some_and(is_time) {
                return Err(CellFault::NumberForDate(digits));
            }
            digits
        }
        Cell::Formula => return Err(CellFault::Formula),
        Cell::Nested => return Err(CellFault::Nested),
        Cell::Fault(error) => return Err(CellFault::Fault(error.clone())),
    })
}

/// Tells fields whose digits mean something other than a number, so that a lost digit makes another person.
fn is_identifier(holds: &FieldType) -> bool {
    matches!(
        holds,
        FieldType::Ref(_)
            | FieldType::Id(_)
            | FieldType::Code(_)
            | FieldType::Contact
            | FieldType::Attachment
            | FieldType::Hash
            | FieldType::MerkleRoot
    )
}

fn is_time(holds: &FieldType) -> bool {
    matches!(
        holds,
        FieldType::Date | FieldType::DateTime | FieldType::Interval
    )
}

/// Writes a number of a workbook with the 15 digits that are exact, as a person would; `None` if it has more.
fn number_text(number: f64) -> Option<String> {
    if !number.is_finite() || number.abs() >= 1e15 {
        return None;
    }
    // What a sheet shows as 0.3 may be stored as 0.30000000000000004.
    let rounded: f64 = format!("{number:.14e}").parse().ok()?;
    Some(if rounded == 0.0 {
        "0".to_owned()
    } else {
        rounded.to_string()
    })
}

/// Writes a date, with the time of day unless it is midnight.
fn stamp_text(stamp: Stamp) -> String {
    let Stamp {
        year,
        month,
        day,
        second,
    } = stamp;
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (second, second % 60) {
        (0, _) => date,
        (_, 0) => format!("{date} {:02}:{:02}", second / 3600, second / 60 % 60),
        (_, rest) => format!(
            "{date} {:02}:{:02}:{rest:02}",
            second / 3600,
            second / 60 % 60
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_the_digits_a_person_sees() {
        for (number, shown) in [
            (90.0, Some("90")),
            (1.5, Some("1.5")),
            (0.1 + 0.2, Some("0.3")),
            (-0.0, Some("0")),
            (-2.25, Some("-2.25")),
            (1e-7, Some("0.0000001")),
            (123_456_789_012_345.0, Some("123456789012345")),
            (1e15, None),
            (20_260_001_001_234_567_890.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(number_text(number).as_deref(), shown, "{number}");
        }
    }

    #[test]
    fn a_date_shows_a_time_only_when_it_has_one() {
        let stamp = |second| Stamp {
            year: 2026,
            month: 9,
            day: 1,
            second,
        };
        assert_eq!(stamp_text(stamp(0)), "2026-09-01");
        assert_eq!(stamp_text(stamp(9 * 3600 + 30 * 60)), "2026-09-01 09:30");
        assert_eq!(stamp_text(stamp(59)), "2026-09-01 00:00:59");
    }
}

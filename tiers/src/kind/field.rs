//! One field of a kind: what it may hold, and how a cell of a spreadsheet becomes it.

use std::collections::BTreeSet;

use crate::class::ReachClass;
use crate::kind::Label;
use crate::limits::{SCALE_MAX, SET_ITEMS_MAX, TEXT_SIZE_MAX};
use crate::value::{Date, Minute, Value};

/// Describes one field of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The field's number in records; explicit in the definition and never used for another field.
    pub number: u16,
    /// The field's name in expressions, JSON and tables.
    pub name: String,
    /// What it holds.
    pub holds: FieldType,
    /// Whether a record without it is refused.
    pub required: bool,
    /// What becomes of concurrent edits.
    pub merge: Merge,
    /// How sensitive it is.
    pub privacy: Privacy,
    /// How far its clear value travels.
    pub reach: ReachClass,
    /// What people see.
    pub label: Label,
    /// Longest text in characters.
    pub max_len: Option<u32>,
    /// Smallest number: whole units for a decimal, minutes for a duration.
    pub min: Option<i64>,
    /// Largest number: whole units for a decimal, minutes for a duration.
    pub max: Option<i64>,
    /// Digits after the point of a decimal.
    pub scale: u8,
    /// The unit numbers are shown in, as `class-hour`; only a hint unless the field is a duration.
    pub unit: Option<String>,
    /// Minutes of one unit in which a duration is written: 1, or what the definition says.
    pub unit_minutes: u32,
    /// The codes of an enumeration, in the order of the definition.
    pub codes: Vec<Code>,
    /// Fewest items of a list.
    pub min_items: u32,
    /// Most items of a list.
    pub max_items: u32,
}

/// One code of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// What the record holds.
    pub code: String,
    /// What people see; the code itself where the definition gives no words.
    pub label: Label,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// Free text.
    Text,
    /// A whole number.
    Int,
    /// A number with a fixed count of decimal places.
    Decimal,
    /// Yes or no.
    Bool,
    /// A day.
    Date,
    /// A minute of a day.
    DateTime,
    /// A stretch of time.
    Interval,
    /// Minutes, written in the field's unit.
    Duration,
    /// One of the field's codes.
    Enum,
    /// A code of a named set.
    Code(String),
    /// A reference to a person, unit, period or record of a kind.
    Ref(String),
    /// An identifier under a named scheme.
    Id(String),
    /// An amount with two decimal places.
    Money,
    /// The SHA-256 of a file, in hex.
    Attachment,
    /// A telephone number or address.
    Contact,
    /// A SHA-256, in hex.
    Hash,
    /// The root of a Merkle tree, in hex.
    MerkleRoot,
    /// Named parts; cannot be written as one text.
    Struct,
    /// Several values of one type, each once.
    List(Box<Self>),
}

impl FieldType {
    /// Reads the type's word in a definition, as `decimal`, `ref:person` or `list<enum>`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        if let Some(item) = word
            .strip_prefix("list<")
            .and_then(|rest| rest.strip_suffix('>'))
        {
            let item = Self::parse(item)?;
            return (!matches!(item, Self::List(_))).then(|| Self::List(Box::new(item)));
        }
        if let Some((word, of)) = word.split_once(':') {
            if of.is_empty() {
                return None;
            }
            return match word {
                "code" => Some(Self::Code(of.to_owned())),
                "ref" => Some(Self::Ref(of.to_owned())),
                "id" => Some(Self::Id(of.to_owned())),
                _ => None,
            };
        }
        Some(match word {
            "text" => Self::Text,
            "int" => Self::Int,
            "decimal" => Self::Decimal,
            "bool" => Self::Bool,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "interval" => Self::Interval,
            "duration" => Self::Duration,
            "enum" => Self::Enum,
            "money" => Self::Money,
            "attachment" => Self::Attachment,
            "contact" => Self::Contact,
            "hash" => Self::Hash,
            "merkle-root" => Self::MerkleRoot,
            "struct" => Self::Struct,
            _ => return None,
        })
    }

    /// Returns the type of one item: of the list's items for a list.
    pub fn item(&self) -> &Self {
        match self {
            Self::List(item) => item,
            other => other,
        }
    }
}

/// Defines a closed list of words of the definition format.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            /// Returns the word of the definition format.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub(crate) fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What becomes of concurrent edits of one field.
    Merge {
        /// Never edited after birth.
        Immutable = "immutable",
        /// The later one wins; the other stays in history.
        Lww = "lww",
        /// Both are kept, and the next signed step is refused until a person chooses.
        Conflict = "conflict",
        /// The sets are united.
        Set = "set",
        /// Items are only added.
        Append = "append",
        /// Edits of a text are merged by position.
        Text = "text",
        /// Increments are added up.
        Counter = "counter",
    }
}

words! {
    /// How sensitive a field is.
    Privacy {
        /// Anybody may see it.
        Public = "public",
        /// People of the federation may see it.
        Internal = "internal",
        /// It says something about a person.
        Personal = "personal",
        /// Its misuse would harm a person.
        Sensitive = "sensitive",
        /// Only the parties may see it.
        Secret = "secret",
    }
}

/// Why a value does not belong into a field. The words people read live with the labels, by
/// [`FieldError::code`]; nothing has changed when it is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The field must not be empty.
    #[error("is required")]
    Required,
    /// The text has too many characters, or bytes where no maximum is declared.
    #[error("is longer than {max}")]
    TooLong {
        /// Most characters.
        max: u32,
    },
    /// The text holds a character that cannot be printed.
    #[error("holds a control character")]
    ControlCharacter,
    /// The text is not a number, or too large for one.
    #[error("is not a number")]
    NotANumber,
    /// The number has more decimal places than the field keeps.
    #[error("has more than {scale} decimal places")]
    TooPrecise {
        /// Decimal places kept.
        scale: u8,
    },
    /// The number is too small or too large.
    #[error("is not between {min:?} and {max:?}")]
    OutOfRange {
        /// Smallest allowed.
        min: Option<i64>,
        /// Largest allowed.
        max: Option<i64>,
    },
    /// The text is neither yes nor no.
    #[error("is neither yes nor no")]
    NotABool,
    /// The text is not a day.
    #[error("is not a date")]
    NotADate,
    /// The text is not a minute of a day.
    #[error("is not a date and time")]
    NotADateTime,
    /// The text is not two times with a `/` between them, or one of two cells is empty.
    #[error("is not a start and an end")]
    NotAnInterval,
    /// The end is before the start.
    #[error("ends before it starts")]
    EndsBeforeStart,
    /// The text is none of the field's codes or their words.
    #[error("is none of {}", allowed.join(", "))]
    UnknownCode {
        /// The codes.
        allowed: Vec<String>,
    },
    /// The text is not 64 lower hexadecimal digits.
    #[error("is not a SHA-256 in hexadecimal")]
    NotAHash,
    /// The list has too few items.
    #[error("has fewer than {min} items")]
    TooFewItems {
        /// Fewest items.
        min: u32,
    },
    /// The list has too many items.
    #[error("has more than {max} items")]
    TooManyItems {
        /// Most items.
        max: u32,
    },
    /// The value is of another type than the field's.
    #[error("is a value of another type")]
    WrongType,
    /// The field is never edited after birth.
    #[error("cannot be edited")]
    Immutable,
    /// A field with named parts cannot be written as one text.
    #[error("cannot be written as one text")]
    NotFromText,
}

impl FieldError {
    /// Returns the stable name of the error, under which its words are looked up.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::TooLong { .. } => "too-long",
            Self::ControlCharacter => "control-character",
            Self::NotANumber => "not-a-number",
            Self::TooPrecise { .. } => "too-precise",
            Self::OutOfRange { .. } => "out-of-range",
            Self::NotABool => "not-a-bool",
            Self::NotADate => "not-a-date",
            Self::NotADateTime => "not-a-datetime",
            Self::NotAnInterval => "not-an-interval",
            Self::EndsBeforeStart => "ends-before-start",
            Self::UnknownCode { .. } => "unknown-code",
            Self::NotAHash => "not-a-hash",
            Self::TooFewItems { .. } => "too-few-items",
            Self::TooManyItems { .. } => "too-many-items",
            Self::WrongType => "wrong-type",
            Self::Immutable => "immutable",
            Self::NotFromText => "not-from-text",
        }
    }
}

impl Field {
    /// Reads the field from the text of a cell; blank text is no value, which a required field
    /// refuses.
    pub fn parse_text(&self, text: &str) -> Result<Option<Value>, FieldError> {
        let text = text.trim();
        if text.is_empty() {
            return if self.required {
                Err(FieldError::Required)
            } else {
                Ok(None)
            };
        }
        let value = if let FieldType::List(item) = &self.holds {
            let items = text
                .split(LIST_SEPARATORS)
                .map(str::trim)
                .filter(|part| !part.is_empty());
            let items: BTreeSet<_> = items
                .map(|part| self.parse_item(item, part))
                .collect::<Result<_, _>>()?;
            Value::Set(items)
        } else {
            self.parse_item(&self.holds, text)?
        };
        self.check(&value)?;
        Ok(Some(value))
    }

    /// Reads an interval from the texts of two cells.
    pub fn parse_interval(&self, start: &str, end: &str) -> Result<Option<Value>, FieldError> {
        let (start, end) = (start.trim(), end.trim());
        if start.is_empty() && end.is_empty() {
            return self.parse_text("");
        }
        let value = interval(&narrow(start), &narrow(end))?;
        self.check(&value)?;
        Ok(Some(value))
    }

    /// Checks a value against the field: type, length, range, codes, count of items.
    pub fn check(&self, value: &Value) -> Result<(), FieldError> {
        let (FieldType::List(item), Value::Set(items)) = (&self.holds, value) else {
            return self.check_item(&self.holds, value);
        };
        if items.len() < self.min_items as usize {
            return Err(FieldError::TooFewItems {
                min: self.min_items,
            });
        }
        if items.len() > self.max_items as usize {
            return Err(FieldError::TooManyItems {
                max: self.max_items,
            });
        }
        items
            .iter()
            .try_for_each(|value| self.check_item(item, value))
    }

    /// Returns the value as people write it: minutes in the field's unit, a code by its word in
    /// `language` if one is given.
    pub fn show(&self, value: &Value, language: Option<&str>) -> String {
        match (self.holds.item(), value) {
            (_, Value::Set(items)) => {
                let items: Vec<_> = items.iter().map(|item| self.show(item, language)).collect();
                items.join(";")
            }
            (FieldType::Duration, Value::Int(minutes)) => self.show_minutes(*minutes),
            (FieldType::Enum, Value::Text(code)) => match language {
                Some(language) => self
                    .codes
                    .iter()
                    .find(|row| row.code == *code)
                    .map_or(code.as_str(), |row| row.label.text(language))
                    .to_owned(),
                None => code.clone(),
            },
            _ => value.to_string(),
        }
    }

    fn show_minutes(&self, minutes: i64) -> String {
        let unit = i64::from(self.unit_minutes);
        // Two places are enough for a unit of 40, 45 or 60 minutes; what they cannot say exactly is
        // shown in minutes, so that what is read back is never another value.
        match minutes.checked_mul(100) {
            Some(hundredths) if hundredths % unit == 0 => {
                let text = Value::Decimal {
                    units: hundredths / unit,
                    scale: 2,
                }
                .to_string();
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => format!("{minutes}{MINUTES_SUFFIX}"),
        }
    }

    fn parse_item(&self, holds: &FieldType, text: &str) -> Result<Value, FieldError> {
        match holds {
            FieldType::Text => Ok(Value::Text(text.to_owned())),
            FieldType::Int => {
                // A spreadsheet writes a whole number as 3 or 3.0.
                Ok(Value::Int(decimal(&narrow(text), 0)?))
            }
            FieldType::Decimal | FieldType::Money => {
                let scale = self.places(holds);
                Ok(Value::Decimal {
                    units: decimal(&narrow(text), scale)?,
                    scale,
                })
            }
            FieldType::Duration => self.parse_minutes(&narrow(text)).map(Value::Int),
            FieldType::Bool => match narrow(text).to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "1" | YES => Ok(Value::Bool(true)),
                "false" | "no" | "n" | "0" | NO => Ok(Value::Bool(false)),
                _ => Err(FieldError::NotABool),
            },
            FieldType::Date => narrow(text)
                .parse::<Minute>()
                .ok()
                .filter(|at| at.minutes() % 1_440 == 0)
                .map_or_else(
                    || Err(FieldError::NotADate),
                    |at| {
                        Ok(Value::Date(
                            Date::from_days(at.date().days()).ok_or(FieldError::NotADate)?,
                        ))
                    },
                ),
            FieldType::DateTime => narrow(text)
                .parse()
                .map(Value::DateTime)
                .map_err(|_| FieldError::NotADateTime),
            FieldType::Interval => {
                let text = narrow(text);
                // A slash also stands inside dates, so only a lone one is the middle.
                let middle = match text.matches('/').count() {
                    1 => text.find('/'),
                    5 => text.match_indices('/').nth(2).map(|(at, _)| at),
                    _ => None,
                };
                let (start, end) = text.split_at(middle.ok_or(FieldError::NotAnInterval)?);
                interval(start, end.strip_prefix('/').unwrap_or(end))
            }
            FieldType::Enum => self
                .codes
                .iter()
                .find(|row| row.is(text) || row.is(&narrow(text)))
                .map(|row| Value::Text(row.code.clone()))
                .ok_or_else(|| self.unknown_code()),
            FieldType::Code(_)
            | FieldType::Ref(_)
            | FieldType::Id(_)
            | FieldType::Contact
            | FieldType::Attachment
            | FieldType::Hash
            | FieldType::MerkleRoot => Ok(Value::Text(narrow(text).into_owned())),
            FieldType::Struct | FieldType::List(_) => Err(FieldError::NotFromText),
        }
    }

    fn parse_minutes(&self, text: &str) -> Result<i64, FieldError> {
        if let Some(minutes) = text.strip_suffix(MINUTES_SUFFIX) {
            return decimal(minutes.trim(), 0);
        }
        let ten_thousandths = decimal(text, 4)?
            .checked_mul(i64::from(self.unit_minutes))
            .ok_or(FieldError::NotANumber)?;
        if ten_thousandths % 10_000 != 0 {
            return Err(FieldError::TooPrecise { scale: 0 });
        }
        Ok(ten_thousandths / 10_000)
    }

    fn check_item(&self, holds: &FieldType, value: &Value) -> Result<(), FieldError> {
        match (holds, value) {
            (FieldType::Text, Value::Text(text)) => self.check_text(text, TEXT_SIZE_MAX as u32 / 4),
            (FieldType::Int | FieldType::Duration, Value::Int(number)) => {
                self.check_range(i128::from(*number), 1)
            }
            (FieldType::Decimal | FieldType::Money, Value::Decimal { units, scale }) => {
                let places = self.places(holds);
                if *scale != places {
                    return Err(FieldError::TooPrecise { scale: places });
                }
                self.check_range(i128::from(*units), 10_i128.pow(u32::from(places)))
            }
            (FieldType::Bool, Value::Bool(_))
            | (FieldType::Date, Value::Date(_))
            | (FieldType::DateTime, Value::DateTime(_)) => Ok(()),
            (FieldType::Interval, Value::Interval { start, end }) => {
                if end < start {
                    Err(FieldError::EndsBeforeStart)
                } else {
                    Ok(())
                }
            }
            (FieldType::Enum, Value::Text(code)) => {
                let known = self.codes.iter().any(|row| row.code == *code);
                if known {
                    Ok(())
                } else {
                    Err(self.unknown_code())
                }
            }
            (
                FieldType::Code(_) | FieldType::Ref(_) | FieldType::Id(_) | FieldType::Contact,
                Value::Text(text),
            ) => self.check_text(text, NAME_LENGTH_MAX),
            (
                FieldType::Attachment | FieldType::Hash | FieldType::MerkleRoot,
                Value::Text(text),
            ) => match text.parse::<keys::Hash>() {
                Ok(_) => Ok(()),
                Err(_) => Err(FieldError::NotAHash),
            },
            _ => Err(FieldError::WrongType),
        }
    }

    fn check_text(&self, text: &str, most: u32) -> Result<(), FieldError> {
        if text.trim().is_empty() {
            return Err(FieldError::Required);
        }
        let max = self.max_len.unwrap_or(most).min(most);
        if text.chars().count() > max as usize || text.len() > TEXT_SIZE_MAX {
            return Err(FieldError::TooLong { max });
        }
        if text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(FieldError::ControlCharacter);
        }
        Ok(())
    }

    fn check_range(&self, number: i128, one: i128) -> Result<(), FieldError> {
        let below = self.min.is_some_and(|min| number < i128::from(min) * one);
        let above = self.max.is_some_and(|max| number > i128::from(max) * one);
        if below || above {
            return Err(FieldError::OutOfRange {
                min: self.min,
                max: self.max,
            });
        }
        Ok(())
    }

    fn places(&self, holds: &FieldType) -> u8 {
        if *holds == FieldType::Money {
            2
        } else {
            self.scale
        }
    }

    fn unknown_code(&self) -> FieldError {
        FieldError::UnknownCode {
            allowed: self.codes.iter().map(|row| row.code.clone()).collect(),
        }
    }
}

impl Code {
    fn is(&self, text: &str) -> bool {
        self.code == text || self.label.zh == text || self.label.en.eq_ignore_ascii_case(text)
    }
}

/// Reads a decimal number as units of `10^-scale`; zeros beyond the scale are accepted.
fn decimal(text: &str, scale: u8) -> Result<i64, FieldError> {
    debug_assert!(scale <= SCALE_MAX, "a scale is checked with the definition");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole
        .bytes()
        .chain(part.bytes())
        .all(|b| b.is_ascii_digit());
    if !all_digits || whole.is_empty() || whole.len() > 18 {
        return Err(FieldError::NotANumber);
    }
    let kept = part.trim_end_matches('0');
    if kept.len() > usize::from(scale) {
        return Err(FieldError::TooPrecise { scale });
    }
    let digits = format!("{whole}{kept:0<width$}", width = usize::from(scale));
    let units: i64 = digits.parse().map_err(|_| FieldError::NotANumber)?;
    Ok(if negative { -units } else { units })
}

fn interval(start: &str, end: &str) -> Result<Value, FieldError> {
    let read = |text: &str| {
        text.parse::<Minute>()
            .map_err(|_| FieldError::NotAnInterval)
    };
    let (start, end) = (read(start)?, read(end)?);
    if end < start {
        return Err(FieldError::EndsBeforeStart);
    }
    Ok(Value::Interval { start, end })
}

/// Turns full-width letters, digits and signs, as Chinese input methods make them, into ASCII.
fn narrow(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => {
                char::from_u32(u32::from(c) - 0xfee0).expect("the full-width block mirrors ASCII")
            }
            '\u{3000}' => ' ',
            other => other,
        })
        .collect::<String>()
        .into()
}

/// Longest code, reference, identifier or contact, in characters.
const NAME_LENGTH_MAX: u32 = 120;

/// `;`, its full-width form, the enumeration comma and a line break.
const LIST_SEPARATORS: [char; 4] = [';', '\u{ff1b}', '\u{3001}', '\n'];

/// What marks a duration written in minutes whatever its unit.
const MINUTES_SUFFIX: &str = "min";

const YES: &str = "\u{662f}";
const NO: &str = "\u{5426}";

/// Most items of a list whose definition names no maximum.
pub(crate) const ITEMS_DEFAULT: u32 = SET_ITEMS_MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(holds: &str) -> Field {
        Field {
            number: 1,
            name: "x".into(),
            holds: FieldType::parse(holds).unwrap(),
            required: true,
            merge: Merge::Conflict,
            privacy: Privacy::Internal,
            reach: ReachClass::City,
            label: Label {
                zh: "\u{57ce}".into(),
                en: "X".into(),
            },
            max_len: None,
            min: None,
            max: None,
            scale: 0,
            unit: None,
            unit_minutes: 1,
            codes: vec![],
            min_items: 0,
            max_items: ITEMS_DEFAULT,
        }
    }

    fn read(field: &Field, text: &str) -> Result<String, FieldError> {
        field
            .parse_text(text)
            .map(|value| value.unwrap().to_string())
    }

    #[test]
    fn blank_text_is_no_value_and_a_required_field_refuses_it() {
        let mut optional = field("text");
        assert_eq!(optional.parse_text(" \u{3000}"), Err(FieldError::Required));
        optional.required = false;
        assert_eq!(optional.parse_text(""), Ok(None));
    }

    #[test]
    fn numbers_keep_their_places_and_their_range() {
        let hours = Field {
            scale: 1,
            min: Some(0),
            max: Some(24),
            ..field("decimal")
        };
        assert_eq!(read(&hours, "0.5").unwrap(), "0.5");
        assert_eq!(read(&hours, "\u{ff11}.50").unwrap(), "1.5");
        assert_eq!(read(&hours, "24").unwrap(), "24.0");
        let range = FieldError::OutOfRange {
            min: Some(0),
            max: Some(24),
        };
        assert_eq!(read(&hours, "24.1"), Err(range.clone()));
        assert_eq!(read(&hours, "-0.1"), Err(range));
        assert_eq!(
            read(&hours, "0.25"),
            Err(FieldError::TooPrecise { scale: 1 })
        );
        for text in [
            "",
            ".",
            "1e3",
            "1,000",
            "0x10",
            "--1",
            "99999999999999999999",
        ] {
            assert!(read(&hours, text).is_err(), "{text}");
        }
        assert_eq!(read(&field("int"), "3.0").unwrap(), "3");
    }

    #[test]
    fn a_duration_is_minutes_inside_and_its_unit_outside() {
        let unit = Some("class-hour".to_owned());
        let field = Field {
            unit,
            unit_minutes: 40,
            max: Some(480),
            ..field("duration")
        };
        assert_eq!(field.parse_text("1.5"), Ok(Some(Value::Int(60))));
        assert_eq!(field.show(&Value::Int(60), None), "1.5");
        assert_eq!(
            field.parse_text("0.01"),
            Err(FieldError::TooPrecise { scale: 0 })
        );
        assert_eq!(field.parse_text("13").unwrap_err().code(), "out-of-range");
        for minutes in [1, 7, 40, 400, 480] {
            let shown = field.show(&Value::Int(minutes), None);
            assert_eq!(
                field.parse_text(&shown),
                Ok(Some(Value::Int(minutes))),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_code_is_found_by_itself_and_by_its_words() {
        let label = Label {
            zh: "\u{96c6}\u{4f53}".into(),
            en: "Collective".into(),
        };
        let codes = vec![Code {
            code: "collective".into(),
            label,
        }];
        let field = Field {
            codes,
            ..field("enum")
        };
        for text in ["collective", "\u{96c6}\u{4f53}", "COLLECTIVE"] {
            assert_eq!(read(&field, text).unwrap(), "collective");
        }
        let unknown = FieldError::UnknownCode {
            allowed: vec!["collective".into()],
        };
        assert_eq!(read(&field, "other"), Err(unknown.clone()));
        assert_eq!(field.check(&Value::Text("other".into())), Err(unknown));
        let shown = field.show(&Value::Text("collective".into()), Some("zh-CN"));
        assert_eq!(shown, "\u{96c6}\u{4f53}");
    }

    #[test]
    fn intervals_come_from_one_cell_or_two() {
        let field = field("interval");
        let both = "2026-09-01T14:00/2026-09-01T16:00";
        assert_eq!(read(&field, both).unwrap(), both);
        assert_eq!(read(&field, "2026/9/1 14:00/2026/9/1 16:00").unwrap(), both);
        let two = field
            .parse_interval("2026/9/1 14:00", "2026/9/1 16:00")
            .unwrap()
            .unwrap();
        assert_eq!(two.to_string(), both);
        assert_eq!(
            field.parse_interval("2026-09-01", ""),
            Err(FieldError::NotAnInterval)
        );
        let backwards = field.parse_interval("2026-09-02", "2026-09-01");
        assert_eq!(backwards, Err(FieldError::EndsBeforeStart));
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        let field = Field {
            max_len: Some(3),
            ..field("text")
        };
        assert!(read(&field, "\u{5fd7}\u{613f}\u{8005}").is_ok());
        assert_eq!(read(&field, "abcd"), Err(FieldError::TooLong { max: 3 }));
        assert_eq!(read(&field, "a\u{7}b"), Err(FieldError::ControlCharacter));
        assert_eq!(field.check(&Value::Int(1)), Err(FieldError::WrongType));
    }

    #[test]
    fn lists_are_sets_with_a_count() {
        let field = Field {
            max_items: 2,
            ..field("list<ref:org>")
        };
        assert_eq!(read(&field, "b;a\u{3001}b").unwrap(), "a;b");
        assert_eq!(
            read(&field, "a;b;c"),
            Err(FieldError::TooManyItems { max: 2 })
        );
    }

    #[test]
    fn yes_no_days_and_hashes() {
        assert_eq!(read(&field("bool"), "\u{662f}").unwrap(), "true");
        assert_eq!(read(&field("bool"), "maybe"), Err(FieldError::NotABool));
        assert_eq!(
            read(&field("date"), "2026/9/1 00:00:00").unwrap(),
            "2026-09-01"
        );
        assert_eq!(
            read(&field("date"), "2026/9/1 08:00"),
            Err(FieldError::NotADate)
        );
        assert_eq!(
            read(&field("attachment"), "photo.jpg"),
            Err(FieldError::NotAHash)
        );
        assert_eq!(read(&field("struct"), "x"), Err(FieldError::NotFromText));
    }
}

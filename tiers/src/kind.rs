//! Kinds: what a record is, as data. A kind is one TOML file, signed and sent like everything else;
//! nothing about a particular kind is written in Rust.
//!
//! A definition is read once, checked whole, and named by the hash of its canonical form, which does
//! not depend on spaces, comments or the order of keys. Fields carry explicit numbers, so that a
//! record's bytes survive a renaming and a number is never used for another field.

mod canonical;
pub mod definition;
mod field;
mod names;

use std::collections::BTreeMap;

use federation_protocol::Period;
use keys::{Hash, TierName, UnitId};
use serde::Deserialize;

pub use definition::Definition;
pub use field::{Code, Field, FieldError, FieldType, Merge, Privacy};

use crate::class::ReachClass;
use crate::limits::{FIELD_NUMBER_MAX, KIND_SIZE_MAX, RECORD_FIELDS_MAX, SCALE_MAX};
use crate::value::Value;
use definition::{CodeText, Exchange, FieldDefaults, FieldText};

/// The clear values of a record by field number.
pub type Fields = BTreeMap<u16, Value>;

/// What people see, in the languages of the project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    pub zh: String,
    /// English.
    pub en: String,
}

impl Label {
    /// Returns the words in `language`: Chinese for `zh` and its variants, English otherwise.
    pub fn text(&self, language: &str) -> &str {
        if language == "zh" || language.starts_with("zh-") {
            &self.zh
        } else {
            &self.en
        }
    }
}

/// A checked definition of a kind of record.
#[derive(Clone, Debug)]
pub struct Kind {
    hash: Hash,
    definition: Definition,
    /// In the order of the definition; numbers and names are unique.
    fields: Vec<Field>,
    /// Index into `fields` of the subject's field.
    subject: Option<usize>,
    columns: Vec<Column>,
}

/// One column of a table of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The words in the first row.
    pub header: String,
    /// The field's number.
    pub field: u16,
    /// Which part of the field stands in the column.
    pub part: ColumnPart,
}

/// Which part of a field stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnPart {
    /// All of it.
    Whole,
    /// The start of an interval.
    Start,
    /// The end of an interval.
    End,
}

/// Why a text is no definition. Nothing has changed; the author of the definition must mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// The text is longer than [`KIND_SIZE_MAX`].
    #[error("the definition is longer than {KIND_SIZE_MAX} bytes")]
    TooLong,
    /// The text is not TOML, a key is unknown or missing, or a value has the wrong type.
    #[error("line {line}: {reason}")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// What the TOML reader says.
        reason: String,
    },
    /// A floating point number, a date or a list too deep: they have no canonical form.
    #[error("floating point numbers, dates and deep nesting have no canonical form")]
    NoCanonicalForm,
    /// An id or name has characters it may not have, or is too long.
    #[error("`{name}` is not a name")]
    BadName {
        /// The name.
        name: String,
    },
    /// The version is zero.
    #[error("versions are counted from 1")]
    BadVersion,
    /// A field's attribute has a value it may not have.
    #[error("field `{field}`: bad {attribute}")]
    BadAttribute {
        /// The field.
        field: String,
        /// The attribute.
        attribute: &'static str,
    },
    /// A field lacks an attribute and there is no default.
    #[error("field `{field}`: {attribute} is missing and has no default")]
    MissingAttribute {
        /// The field.
        field: String,
        /// The attribute.
        attribute: &'static str,
    },
    /// A name or number is defined twice.
    #[error("{place}: `{name}` stands twice")]
    Twice {
        /// Where.
        place: &'static str,
        /// What.
        name: String,
    },
    /// A name is used that nothing defines.
    #[error("{place}: there is no `{name}`")]
    UnknownName {
        /// Where.
        place: &'static str,
        /// What.
        name: String,
    },
    /// `flow` says that a field stays or is published and the field's own reach says otherwise.
    #[error("flow disagrees with field `{field}`, whose reach is {reach}")]
    FlowDisagrees {
        /// The field.
        field: String,
        /// The field's reach.
        reach: ReachClass,
    },
    /// There are no fields, or too many.
    #[error("a kind has 1 to {RECORD_FIELDS_MAX} fields")]
    FieldCount,
}

/// Why a value of a row or record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} {error}")]
pub struct RowError {
    /// The field's number.
    pub field: u16,
    /// What is wrong with it.
    pub error: FieldError,
}

impl Kind {
    /// Reads and checks a definition.
    pub fn parse(text: &str) -> Result<Self, KindError> {
        if text.len() > KIND_SIZE_MAX {
            return Err(KindError::TooLong);
        }
        let malformed = |error: toml::de::Error| KindError::Malformed {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().replace('\n', " "),
        };
        let table: toml::Table = toml::from_str(text).map_err(malformed)?;
        let definition: Definition = toml::from_str(text).map_err(malformed)?;
        let hash = canonical::hash(&table)?;

        if !is_name(&definition.id, &['-']) {
            return Err(KindError::BadName {
                name: definition.id,
            });
        }
        if definition.version == 0 {
            return Err(KindError::BadVersion);
        }
        let fields = read_fields(&definition)?;
        names::check(&definition, &fields)?;
        let subject = definition
            .subject
            .as_deref()
            .and_then(|text| text.strip_prefix("field:"));
        let subject = subject.and_then(|name| fields.iter().position(|field| field.name == name));
        let columns = read_columns(&definition.exchanges, &fields)?;
        Ok(Self {
            hash,
            definition,
            fields,
            subject,
            columns,
        })
    }

    /// Returns the kind's permanent id, as `volunteer-service`.
    pub fn id(&self) -> &str {
        &self.definition.id
    }

    /// Returns the definition's version.
    pub fn version(&self) -> u32 {
        self.definition.version
    }

    /// Returns the hash of the definition's canonical form; records name their kind by it.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns what people call the kind in `language`.
    pub fn label(&self, language: &str) -> &str {
        self.definition.label.text(language)
    }

    /// Returns the fields in the order of the definition.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the field of this number.
    pub fn field(&self, number: u16) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// Returns the field of this name.
    pub fn field_by_name(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Returns the field that says whose dossier a record goes into; without one it is the owning
    /// unit's.
    pub fn subject_field(&self) -> Option<&Field> {
        self.subject.and_then(|index| self.fields.get(index))
    }

    /// Returns the whole definition: steps, rules, windows, notice, flow.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Returns the columns of the kind's table: those of its `xlsx` exchange, else one per field under
    /// its Chinese label.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the column that `header` means: a header of any exchange, a field's name (with
    /// `.start` or `.end`), or a field's label.
    pub fn column(&self, header: &str) -> Option<Column> {
        let header = header.trim();
        let exchanged = self
            .definition
            .exchanges
            .iter()
            .flat_map(|exchange| &exchange.columns);
        let path = exchanged
            .filter(|column| column.header == header)
            .map(|column| column.field.as_str())
            .next()
            .unwrap_or(header);
        column_of(header, path, &self.fields).or_else(|| {
            let labelled = self.fields.iter().find(|field| {
                field.label.zh == header || field.label.en.eq_ignore_ascii_case(header)
            })?;
            column_of(header, &labelled.name, &self.fields)
        })
    }

    /// Returns the classes of the kind's fields in a federation of these tiers, widest first. The
    /// first is the class of the dossier that carries the commitments of the others.
    pub fn classes(&self, tiers: &[TierName]) -> Vec<ReachClass> {
        let mut classes: Vec<_> = self
            .fields
            .iter()
            .map(|field| field.reach.settled(tiers))
            .collect();
        classes.sort_unstable_by(|a, b| b.cmp(a));
        classes.dedup();
        classes
    }

    /// Returns the values every record takes from where it is written: the owning unit and the
    /// period, where the kind has fields for them.
    pub fn context(&self, unit: &UnitId, period: Option<Period>) -> Fields {
        let owner = self.definition.owner.strip_prefix("field:");
        let owner = owner.and_then(|name| self.field_by_name(name));
        let unit = owner.map(|field| (field.number, Value::Text(unit.to_string())));
        let term = |field: &&Field| field.holds == FieldType::Ref("term".into());
        let period = self.fields.iter().find(term).zip(period);
        let period = period.map(|(field, at)| (field.number, Value::Text(at.to_string())));
        unit.into_iter().chain(period).collect()
    }

    /// Reads one row of a table: each cell under its column, what is missing from `context`. Every
    /// field that is wrong is named, in the order of the definition.
    pub fn read_row<'a>(
        &self,
        cells: impl IntoIterator<Item = (&'a Column, &'a str)>,
        context: &Fields,
    ) -> Result<Fields, Vec<RowError>> {
        let mut texts: BTreeMap<u16, [&str; 3]> = BTreeMap::new();
        for (column, text) in cells {
            let parts = texts.entry(column.field).or_default();
            let part = &mut parts[column.part as usize];
            if part.trim().is_empty() {
                *part = text;
            }
        }
        let (mut fields, mut errors) = (Fields::new(), Vec::new());
        for field in &self.fields {
            let [whole, start, end] = texts.get(&field.number).copied().unwrap_or_default();
            let blank = [whole, start, end]
                .iter()
                .all(|text| text.trim().is_empty());
            let value = if blank && context.contains_key(&field.number) {
                Ok(context.get(&field.number).cloned())
            } else if whole.trim().is_empty() && !blank {
                field.parse_interval(start, end)
            } else {
                field.parse_text(whole)
            };
            match value {
                Ok(Some(value)) => {
                    fields.insert(field.number, value);
                }
                Ok(None) => {}
                Err(error) => errors.push(RowError {
                    field: field.number,
                    error,
                }),
            }
        }
        if errors.is_empty() {
            Ok(fields)
        } else {
            Err(errors)
        }
    }

    /// Checks an edit of one field after birth: the field is there, may be edited, takes the value, and
    /// is not emptied if it must not be.
    pub fn check_edit(&self, number: u16, value: Option<&Value>) -> Result<(), FieldError> {
        let field = self.field(number).ok_or(FieldError::WrongType)?;
        match value {
            _ if field.merge == Merge::Immutable => Err(FieldError::Immutable),
            Some(value) => field.check(value),
            None if field.required => Err(FieldError::Required),
            None => Ok(()),
        }
    }

    /// Checks a whole record: every value belongs into its field, every required field is there, and
    /// there are no others.
    pub fn check_fields(&self, fields: &Fields) -> Result<(), Vec<RowError>> {
        let mut errors = Vec::new();
        for field in &self.fields {
            let error = match fields.get(&field.number) {
                Some(value) => field.check(value).err(),
                None => field.required.then_some(FieldError::Required),
            };
            errors.extend(error.map(|error| RowError {
                field: field.number,
                error,
            }));
        }
        for number in fields
            .keys()
            .filter(|number| self.field(**number).is_none())
        {
            errors.push(RowError {
                field: *number,
                error: FieldError::WrongType,
            });
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

fn read_fields(definition: &Definition) -> Result<Vec<Field>, KindError> {
    if definition.fields.is_empty() || definition.fields.len() > RECORD_FIELDS_MAX {
        return Err(KindError::FieldCount);
    }
    let mut fields: Vec<Field> = Vec::with_capacity(definition.fields.len());
    for text in &definition.fields {
        if fields.iter().any(|field| field.number == text.n) {
            return Err(KindError::Twice {
                place: "field.n",
                name: text.n.to_string(),
            });
        }
        if fields.iter().any(|field| field.name == text.name) {
            return Err(KindError::Twice {
                place: "field.name",
                name: text.name.clone(),
            });
        }
        fields.push(read_field(text, &definition.defaults)?);
    }
    Ok(fields)
}

fn read_field(text: &FieldText, defaults: &FieldDefaults) -> Result<Field, KindError> {
    let bad = |attribute| KindError::BadAttribute {
        field: text.name.clone(),
        attribute,
    };
    let missing = |attribute| KindError::MissingAttribute {
        field: text.name.clone(),
        attribute,
    };
    if !is_name(&text.name, &['_']) {
        return Err(KindError::BadName {
            name: text.name.clone(),
        });
    }
    if text.n == 0 || text.n > FIELD_NUMBER_MAX {
        return Err(bad("n"));
    }
    let holds = FieldType::parse(&text.holds).ok_or(bad("type"))?;
    let merge = text
        .merge
        .as_ref()
        .or(defaults.merge.as_ref())
        .ok_or(missing("merge"))?;
    let privacy = text
        .privacy
        .as_ref()
        .or(defaults.privacy.as_ref())
        .ok_or(missing("privacy"))?;
    let reach = text
        .reach
        .as_ref()
        .or(defaults.reach.as_ref())
        .ok_or(missing("reach"))?;
    let scale = text.scale.unwrap_or(0);
    if scale > SCALE_MAX {
        return Err(bad("scale"));
    }
    let unit_minutes = match (text.unit_minutes, text.unit.as_deref()) {
        (Some(minutes), _) => minutes,
        (None, Some("hour")) => 60,
        (None, None | Some("minute")) => 1,
        (None, Some(_)) if holds != FieldType::Duration => 1,
        (None, Some(_)) => return Err(missing("unit_minutes")),
    };
    if !(1..=1_440).contains(&unit_minutes) {
        return Err(bad("unit_minutes"));
    }
    let codes: Vec<_> = text.codes.iter().map(read_code).collect();
    let is_enum = *holds.item() == FieldType::Enum;
    let twice = |at: usize| {
        codes
            .iter()
            .skip(at + 1)
            .any(|other| other.code == codes[at].code)
    };
    if is_enum == codes.is_empty() || (0..codes.len()).any(twice) {
        return Err(bad("enum"));
    }
    if (*holds.item() == FieldType::Struct) == text.parts.is_empty() {
        return Err(bad("struct"));
    }
    for part in &text.parts {
        FieldType::parse(&part.holds).ok_or(bad("struct"))?;
    }
    if text.min.zip(text.max).is_some_and(|(min, max)| min > max) {
        return Err(bad("max"));
    }
    let max_items = text
        .max_items
        .unwrap_or(field::ITEMS_DEFAULT)
        .min(field::ITEMS_DEFAULT);
    Ok(Field {
        number: text.n,
        name: text.name.clone(),
        holds,
        required: text
            .required
            .or(defaults.required)
            .ok_or(missing("required"))?,
        merge: Merge::parse(merge).ok_or(bad("merge"))?,
        privacy: Privacy::parse(privacy).ok_or(bad("privacy"))?,
        reach: reach.parse().map_err(|_| bad("reach"))?,
        label: text.label.clone(),
        max_len: text.max_len,
        min: text.min,
        max: text.max,
        scale,
        unit: text.unit.clone(),
        unit_minutes,
        codes,
        min_items: text.min_items.unwrap_or(0),
        max_items,
    })
}

fn read_code(text: &CodeText) -> Code {
    match text {
        CodeText::Labelled(code, zh, en) => Code {
            code: code.clone(),
            label: Label {
                zh: zh.clone(),
                en: en.clone(),
            },
        },
        CodeText::Bare(code) => Code {
            code: code.clone(),
            label: Label {
                zh: code.clone(),
                en: code.clone(),
            },
        },
    }
}

fn read_columns(exchanges: &[Exchange], fields: &[Field]) -> Result<Vec<Column>, KindError> {
    let unknown = |name: &str| KindError::UnknownName {
        place: "exchange.columns",
        name: name.to_owned(),
    };
    for column in exchanges.iter().flat_map(|exchange| &exchange.columns) {
        column_of(&column.header, &column.field, fields).ok_or_else(|| unknown(&column.field))?;
    }
    let table = exchanges.iter().find(|exchange| exchange.format == "xlsx");
    let written = table
        .map(|table| table.columns.as_slice())
        .unwrap_or_default();
    if written.is_empty() {
        let whole = |field: &Field| column_of(&field.label.zh, &field.name, fields);
        return Ok(fields.iter().filter_map(whole).collect());
    }
    Ok(written
        .iter()
        .filter_map(|text| column_of(&text.header, &text.field, fields))
        .collect())
}

fn column_of(header: &str, path: &str, fields: &[Field]) -> Option<Column> {
    let (name, part) = match path.split_once('.') {
        Some((name, "start")) => (name, ColumnPart::Start),
        Some((name, "end")) => (name, ColumnPart::End),
        Some(_) => return None,
        None => (path, ColumnPart::Whole),
    };
    let field = fields.iter().find(|field| field.name == name)?;
    let halves = part == ColumnPart::Whole || field.holds == FieldType::Interval;
    halves.then(|| Column {
        header: header.to_owned(),
        field: field.number,
        part,
    })
}

fn is_name(name: &str, signs: &[char]) -> bool {
    let mut characters = name.chars();
    name.len() <= 40
        && characters.next().is_some_and(|c| c.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || signs.contains(&c))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;

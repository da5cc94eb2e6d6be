//! Makes files as schools would bring them, the same bytes for the same arguments on every machine: for the demo, the
//! benches and the tests. What stands in the columns is data; nothing here knows a particular kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tiers::kind::{Column, ColumnPart, FieldType, Kind};
use tiers::value::{Minute, Value};

use crate::label::{Lang, text};

mod words;
mod write;

use words::{Piece, Words, pieces};

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Number of the school, 1 to 999; every school has its own students.
    pub school: u32,
    /// Students of the school, at most 10,000.
    pub students: u32,
    /// Records of each student.
    pub per_student: u32,
    /// Chooses among the possible contents.
    pub seed: u64,
    /// Which records.
    pub part: Part,
}

/// Which records of a school to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All records of a semester: students times records of each.
    Semester,
    /// This many further records, spread over the same students, as they come in later.
    Delta(u32),
}

impl Default for Spec {
    /// One school's semester of 24,000 records.
    fn default() -> Self {
        Self {
            school: 1,
            students: 1_200,
            per_student: 20,
            seed: 20_260_901,
            part: Part::Semester,
        }
    }
}

impl Spec {
    /// Returns how many records the spec makes.
    pub fn records(&self) -> u64 {
        match self.part {
            Part::Semester => u64::from(self.students) * u64::from(self.per_student),
            Part::Delta(count) => u64::from(count),
        }
    }
}

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// A workbook.
    Xlsx,
    /// csv in UTF-8 with a byte order mark.
    Csv,
    /// csv in GB18030.
    CsvGb18030,
    /// JSON lines.
    Jsonl,
}

impl FileForm {
    /// Lists every form.
    pub const ALL: [Self; 4] = [Self::Xlsx, Self::Csv, Self::CsvGb18030, Self::Jsonl];

    /// Returns the extension of a file of this form.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv | Self::CsvGb18030 => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

impl FromStr for FileForm {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Self, UnknownForm> {
        Ok(match text {
            "xlsx" => Self::Xlsx,
            "csv" => Self::Csv,
            "gb18030" => Self::CsvGb18030,
            "jsonl" => Self::Jsonl,
            _ => return Err(UnknownForm),
        })
    }
}

/// A form of file the generator does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the forms are xlsx, csv, gb18030 and jsonl")]
pub struct UnknownForm;

/// Why no file was made.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.message(Lang::En))]
#[non_exhaustive]
pub enum GenerateError {
    /// There are no words for this kind.
    NoWords {
        /// The kind's id.
        kind: String,
    },
    /// The spec asks for more than an import takes, or for nothing.
    OutOfBounds {
        /// Rows an import takes.
        max: u32,
    },
    /// The file could not be written.
    Write(#[from] std::io::Error),
    /// The csv writer refused.
    Csv(#[from] csv::Error),
    /// The workbook writer refused.
    Workbook(#[from] rust_xlsxwriter::XlsxError),
}

impl GenerateError {
    /// Says in `lang` why no file was made.
    pub fn message(&self, lang: Lang) -> String {
        let detail = match self {
            Self::NoWords { kind } => {
                return text(lang, "generate-no-words", &[("kind", kind.into())]);
            }
            Self::OutOfBounds { max } => {
                return text(lang, "generate-out-of-bounds", &[("max", (*max).into())]);
            }
            Self::Write(error) => error.to_string(),
            Self::Csv(error) => error.to_string(),
            Self::Workbook(error) => error.to_string(),
        };
        text(lang, "generate-unwritable", &[("detail", (&detail).into())])
    }
}

/// Writes a file of `kind` to `path` and returns the number of records in it. Memory does not grow with the records.
pub fn generate(
    kind: &Kind,
    spec: &Spec,
    form: FileForm,
    path: &Path,
) -> Result<u64, GenerateError> {
    let rows = rows(kind, spec)?;
    write::write(kind, rows, form, path)
}

/// Makes the rows of a spec one after another; each has one text per column of the kind, codes for enumerations.
pub fn rows<'k>(
    kind: &'k Kind,
    spec: &Spec,
) -> Result<impl Iterator<Item = Vec<String>> + use<'k>, GenerateError> {
    let max = crate::import::limits::ROWS_MAX;
    let bounds = (1..=999).contains(&spec.school)
        && (1..=10_000).contains(&spec.students)
        && (1..=u64::from(max)).contains(&spec.records());
    if !bounds {
        return Err(GenerateError::OutOfBounds { max });
    }
    let words = Words::of(kind.id()).ok_or_else(|| GenerateError::NoWords {
        kind: kind.id().to_owned(),
    })?;
    let students = students(spec);
    let (count, spec) = (spec.records(), *spec);
    let mut dice = Dice::new(
        &spec,
        match spec.part {
            Part::Semester => Stream::Semester,
            Part::Delta(_) => Stream::Delta,
        },
    );
    Ok((0..count).map(move |index| {
        let student = match spec.part {
            Part::Semester => index / u64::from(spec.per_student),
            Part::Delta(delta) => {
                let step = u64::from(spec.students / delta.max(1)).max(1);
                index * step % u64::from(spec.students)
            }
        };
        let student = usize::try_from(student).unwrap_or_default();
        let id = students.get(student).map_or("", String::as_str);
        row(kind, &words, id, &mut dice)
    }))
}

/// Makes the registration numbers of a school's students: G, area, day of birth, a running number; 19 characters.
fn students(spec: &Spec) -> Vec<String> {
    let mut dice = Dice::new(spec, Stream::Students);
    (0..spec.students)
        .map(|number| {
            let (year, month, day) = (dice.below(3) + 2009, dice.below(12) + 1, dice.below(28) + 1);
            let area = 110_100 + spec.school;
            format!("G{area:06}{year:04}{month:02}{day:02}{number:04}")
        })
        .collect()
}

fn row(kind: &Kind, words: &Words, student: &str, dice: &mut Dice) -> Vec<String> {
    // Every list is drawn from once per row, used or not, so that a new column changes no other.
    let mut drawn: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, list) in words.lists() {
        drawn.insert(name, dice.pick(list));
    }
    let date = words.day(dice.below(words.time.days));
    let hour = *dice.pick_any(&words.time.hours);
    let duration = *dice.pick_any(&words.time.durations);
    let slack = *dice.pick_any(&words.time.slack);
    let start = i64::from(date.days()) * 1_440 + i64::from(hour) * 60;
    let moment = |minutes: i64| {
        let minute = Minute::from_minutes(minutes).expect("a semester lies within the calendar");
        minute.to_string().replace('T', " ")
    };
    let (date, end) = (
        date.to_string(),
        moment(start + i64::from(duration) + i64::from(slack)),
    );
    let start = moment(start);
    let cell = |column: &Column| {
        let Some(field) = kind.field(column.field) else {
            return String::new();
        };
        let mut text = String::new();
        for piece in pieces(words.pattern(&path(&field.name, column.part))) {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Name("student") => text.push_str(student),
                Piece::Name("date") => text.push_str(&date),
                Piece::Name("start") => text.push_str(&start),
                Piece::Name("end") => text.push_str(&end),
                Piece::Name("duration") => {
                    text.push_str(&field.show(&Value::Int(duration.into()), None));
                }
                Piece::Name(name) => text.push_str(drawn.get(name).copied().unwrap_or_default()),
            }
        }
        text
    };
    kind.columns().iter().map(cell).collect()
}

/// Names the part of a field a column holds, as the kind's definition does.
fn path(field: &str, part: ColumnPart) -> String {
    match part {
        ColumnPart::Whole => field.to_owned(),
        ColumnPart::Start => format!("{field}.start"),
        ColumnPart::End => format!("{field}.end"),
    }
}

/// Tells whether a column's text is a code whose words people would write.
fn is_code(kind: &Kind, column: &Column) -> bool {
    kind.field(column.field)
        .is_some_and(|field| field.holds == FieldType::Enum)
}

/// Independent streams of one seed, so that more students do not change the records of the first.
#[derive(Clone, Copy)]
enum Stream {
    Students = 0,
    Semester = 1,
    Delta = 2,
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn new(spec: &Spec, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
        rng.set_stream(u64::from(spec.school) * 8 + stream as u64);
        Self(rng)
    }

    /// Draws a number below `bound`; 0 for a bound of 0.
    fn below(&mut self, bound: u32) -> u32 {
        let product = u64::from(self.0.next_u32()) * u64::from(bound);
        u32::try_from(product >> 32).unwrap_or_default()
    }

    fn pick<'a>(&mut self, list: &'a [String]) -> &'a str {
        let index = self.below(u32::try_from(list.len()).unwrap_or_default());
        list.get(index as usize).map_or("", String::as_str)
    }

    fn pick_any<'a>(&mut self, list: &'a [u32]) -> &'a u32 {
        let index = self.below(u32::try_from(list.len()).unwrap_or_default());
        list.get(index as usize).unwrap_or(&0)
    }
}

#[cfg(test)]
mod tests;

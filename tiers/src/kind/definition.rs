//! The definition as its TOML file says it, key by key. A key that is not here is refused, because a
//! rule that one node knows and another ignores would split their verdicts.
//!
//! Steps, rules, windows, notice, flow and aggregates are kept as they are written; the names in them
//! are checked with the definition (`kind/names.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Label;

/// A whole definition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The kind's permanent id.
    pub id: String,
    /// The definition's version, counted from 1.
    pub version: u32,
    /// What a document of the kind is: `record`, `form`, `registry`, and so on.
    pub shape: String,
    /// Whose dossier a record goes into: `field:NAME`; the owning unit's when absent.
    pub subject: Option<String>,
    /// Which unit owns a record: `field:NAME` or `author.org`.
    pub owner: String,
    /// The overlay line with authority over the kind.
    pub line: Option<String>,
    /// Whom the kind applies to, as an expression.
    pub cohort: Option<String>,
    /// What people see.
    pub label: Label,
    /// The source documents.
    #[serde(default)]
    pub source: Vec<String>,
    /// Whether records enter the semester import.
    #[serde(default)]
    pub importable: bool,
    /// Whether children may extend it: `forbidden`, `namespaced` or `open`.
    pub extension: String,
    /// How long records are kept.
    pub retention: String,
    /// What fields inherit.
    #[serde(default)]
    pub defaults: FieldDefaults,
    /// The fields.
    #[serde(rename = "field", default)]
    pub fields: Vec<FieldText>,
    /// What one answer to a template is.
    pub response: Option<Response>,
    /// The fields of one answer.
    #[serde(rename = "response_field", default)]
    pub response_fields: Vec<ResponseField>,
    /// The state a record is born in.
    pub initial: String,
    /// The states.
    pub states: Vec<String>,
    /// The states with nothing after them.
    #[serde(rename = "final", default)]
    pub finals: Vec<String>,
    /// The steps between states.
    #[serde(rename = "step", default)]
    pub steps: Vec<Step>,
    /// The rules.
    #[serde(rename = "rule", default)]
    pub rules: Vec<Rule>,
    /// The windows steps are open in.
    #[serde(rename = "window", default)]
    pub windows: Vec<Window>,
    /// The statistics.
    #[serde(rename = "aggregate", default)]
    pub aggregates: Vec<Aggregate>,
    /// The tables and standards the kind is exchanged in.
    #[serde(rename = "exchange", default)]
    pub exchanges: Vec<Exchange>,
    /// The public notice.
    pub notice: Option<Notice>,
    /// What travels where.
    pub flow: Option<Flow>,
}

/// What fields inherit unless they say otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDefaults {
    /// See [`super::Field::required`].
    pub required: Option<bool>,
    /// See [`super::Field::merge`].
    pub merge: Option<String>,
    /// See [`super::Field::privacy`].
    pub privacy: Option<String>,
    /// See [`super::Field::reach`].
    pub reach: Option<String>,
}

/// One field as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldText {
    /// The field's permanent number.
    pub n: u16,
    /// Its name.
    pub name: String,
    /// The word of its type.
    #[serde(rename = "type")]
    pub holds: String,
    /// What people see.
    pub label: Label,
    /// Overrides the default.
    pub required: Option<bool>,
    /// Overrides the default.
    pub merge: Option<String>,
    /// Overrides the default.
    pub privacy: Option<String>,
    /// Overrides the default.
    pub reach: Option<String>,
    /// Longest text in characters.
    pub max_len: Option<u32>,
    /// Smallest number.
    pub min: Option<i64>,
    /// Largest number.
    pub max: Option<i64>,
    /// Decimal places.
    pub scale: Option<u8>,
    /// The unit numbers are shown in.
    pub unit: Option<String>,
    /// Minutes of one unit of a duration; must be given for `class-hour`, which differs by city.
    pub unit_minutes: Option<u32>,
    /// The codes: `[code, zh-CN, en]` or the code alone.
    #[serde(rename = "enum", default)]
    pub codes: Vec<CodeText>,
    /// The named parts of a struct.
    #[serde(rename = "struct", default)]
    pub parts: Vec<StructPart>,
    /// Media types of an attachment.
    #[serde(default)]
    pub media: Vec<String>,
    /// A regular expression of texts, for forms.
    pub pattern: Option<String>,
    /// Fewest items of a list.
    pub min_items: Option<u32>,
    /// Most items of a list.
    pub max_items: Option<u32>,
    /// How an interval repeats.
    pub repeat: Option<String>,
    /// The expression the field is computed by.
    pub derived: Option<String>,
}

/// One code as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum CodeText {
    /// Code, zh-CN, en.
    Labelled(String, String, String),
    /// The code alone.
    Bare(String),
}

/// One part of a struct.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StructPart {
    /// The part's name.
    pub name: String,
    /// The word of its type.
    #[serde(rename = "type")]
    pub holds: String,
    /// Its codes.
    #[serde(rename = "enum", default)]
    pub codes: Vec<String>,
    /// Smallest number.
    pub min: Option<i64>,
    /// Largest number.
    pub max: Option<i64>,
}

/// What one answer to a template is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The answer's kind.
    pub kind: String,
    /// Whether answers carry no name.
    #[serde(default)]
    pub anonymous: bool,
    /// What there is one answer per.
    #[serde(default)]
    pub one_per: Vec<String>,
    /// Who signs an answer.
    #[serde(default)]
    pub signer_roles: Vec<String>,
}

/// One field of an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseField {
    /// Its name.
    pub name: String,
    /// The word of its type.
    #[serde(rename = "type")]
    pub holds: String,
    /// Whether it must be there.
    pub required: Option<bool>,
    /// How sensitive it is.
    pub privacy: Option<String>,
    /// How far it travels.
    pub reach: Option<String>,
    /// Its codes.
    #[serde(rename = "enum", default)]
    pub codes: Vec<String>,
    /// When it is asked for, as an expression.
    pub only_when: Option<String>,
}

/// One step from state to state.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The step's id.
    pub id: String,
    /// The states it leaves.
    pub from: Vec<String>,
    /// The state it leads to.
    pub to: String,
    /// Which unit takes it: `owner`, `party`, `field:NAME`, `up:TIER` or `up:TIER@LINE`.
    pub at: String,
    /// Who takes it.
    pub role: Vec<String>,
    /// What it is: `submit`, `review`, `accept`, and so on.
    pub act: String,
    /// What people see.
    pub label: Label,
    /// The fields it signs; all when empty.
    #[serde(default)]
    pub signs: Vec<String>,
    /// Whether the unit's key signs beside the person's.
    #[serde(default)]
    pub seal: bool,
    /// The condition, as an expression.
    pub requires: Option<String>,
    /// How many must take it.
    pub quorum: Option<String>,
    /// Until when.
    pub due: Option<String>,
    /// Who takes it where the addressed tier is missing.
    pub absorb: Option<String>,
    /// The body it is entrusted to.
    pub delegate: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rule's id.
    pub id: String,
    /// Its type: `check`, `unique`, `overlap`, and so on.
    #[serde(rename = "type")]
    pub rule: String,
    /// The steps it is judged at.
    #[serde(default)]
    pub on: Vec<String>,
    /// What breaking it does: `reject`, `hold`, `warn` or `report`.
    pub level: String,
    /// What people see.
    pub message: Label,
    /// The expression.
    pub expr: Option<String>,
    /// Who decides it, when it needs more than one document.
    pub decided_by: Option<String>,
    /// The role that may override a hold.
    #[serde(rename = "override")]
    pub override_by: Option<String>,
    /// `definition` for a rule about definitions.
    pub phase: Option<String>,
    /// The fields that must be unique together.
    #[serde(default)]
    pub key: Vec<String>,
    /// Which records count.
    #[serde(rename = "where")]
    pub only_where: Option<String>,
    /// What must not be booked twice.
    #[serde(default)]
    pub resource: Vec<String>,
    /// The interval that must not overlap.
    pub span: Option<String>,
    /// The largest count or sum.
    pub max: Option<i64>,
    /// The smallest count.
    pub min: Option<i64>,
    /// What is added up.
    pub sum: Option<String>,
    /// A share's upper part.
    pub numerator: Option<String>,
    /// A share's lower part.
    pub denominator: Option<String>,
    /// The goal.
    pub target: Option<String>,
    /// The time a duty is counted in.
    pub per: Option<String>,
    /// What a duty asks for.
    pub of: Option<String>,
    /// What the count is grouped by.
    #[serde(default)]
    pub group: Vec<String>,
    /// When people are reminded.
    #[serde(default)]
    pub remind: Vec<String>,
    /// What missing it does.
    pub effect_when_missing: Option<String>,
    /// What a sum runs over.
    pub over: Option<String>,
    /// What must follow what.
    pub sequence: Option<String>,
    /// What ties one to the next.
    pub link: Option<String>,
    /// What must hold in each period.
    pub condition: Option<String>,
    /// How many periods.
    pub periods: Option<u32>,
    /// What the rule does: a word, or a list of them, per effect.
    #[serde(default)]
    pub effect: BTreeMap<String, Words>,
    /// The fields whose words are judged.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The list of words.
    pub lexicon: Option<String>,
    /// Who hears an appeal.
    pub appeal: Option<String>,
    /// The steps whose actors must differ.
    #[serde(default)]
    pub actors: Vec<String>,
    /// Until when.
    pub due: Option<String>,
    /// Not before when.
    pub not_before: Option<String>,
    /// Who hears of it when it is missed.
    pub escalate: Option<String>,
}

/// A word or a list of words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// One word.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// One window.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The window's id.
    pub id: String,
    /// What it opens in: `term`, `year`, `round`.
    pub per: String,
    /// When it opens.
    pub opens: String,
    /// When it closes.
    pub closes: String,
    /// How late is not late.
    pub grace: Option<String>,
    /// The steps it opens.
    pub steps: Vec<String>,
}

/// One statistic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The statistic's id.
    pub id: String,
    /// The state of the records that count.
    pub over: String,
    /// What it is grouped by.
    #[serde(default)]
    pub group: Vec<String>,
    /// What is computed.
    pub value: String,
    /// The smallest group that is shown.
    pub privacy_floor: Option<u32>,
}

/// One table or standard the kind is exchanged in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The format, as `xlsx` or `clr-2`.
    pub format: String,
    /// `in`, `out` or `both`.
    pub direction: String,
    /// The name of the sheet.
    pub sheet: Option<String>,
    /// The columns in order.
    #[serde(default)]
    pub columns: Vec<ColumnText>,
    /// What stands for what in a standard.
    #[serde(default)]
    pub mapping: BTreeMap<String, String>,
}

/// One column as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnText {
    /// The words in the first row.
    pub header: String,
    /// The field, with `.start` or `.end` for half an interval.
    pub field: String,
}

/// The public notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// How long.
    pub days: u32,
    /// `working` or `calendar`.
    pub day_kind: String,
    /// Where.
    pub place: Vec<String>,
    /// What is shown.
    pub shows: Vec<String>,
    /// Who may object.
    pub objection_roles: Vec<String>,
    /// Who judges an objection.
    pub adjudicator: String,
    /// The steps that wait for it.
    pub blocks: Vec<String>,
}

/// What travels where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// How records go up.
    pub up: String,
    /// What comes down.
    pub down: String,
    /// What never leaves the owner.
    #[serde(default)]
    pub local: Vec<String>,
    /// What is published.
    #[serde(default)]
    pub public: Vec<String>,
    /// Who else may have it.
    #[serde(default)]
    pub consumers: Vec<Consumer>,
}

/// One consumer outside the federation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Who.
    pub role: String,
    /// What.
    pub scope: String,
    /// Until when.
    pub expires: String,
}

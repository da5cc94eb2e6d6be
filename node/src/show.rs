//! What commands print for people: pure functions from an answer to a text, in Chinese and English.
//!
//! An answer that lacks something shows a gap in its place and never stops a command: what was done is done.

use std::path::Path;

use keys::UnitId;
use serde_json::Value;

use crate::label::{Arg, Lang, text, word};
use crate::status::Status;

mod failure;
pub(crate) mod measure;
pub(crate) mod paint;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod state;
mod status;
pub(crate) mod table;

#[cfg(test)]
mod tests;

pub(crate) use failure::Failure;
use measure::{grouped, moment, short};
use paint::{Paint, Tone};
use table::{Side, Table};

/// Says where a new home is and what comes next.
pub(crate) fn created(lang: Lang, home: &Path, unit: &UnitId, root: &str) -> String {
    let home = home.display().to_string();
    let unit = unit.to_string();
    let (home, unit) = (("home", Arg::Text(&home)), ("unit", Arg::Text(&unit)));
    [
        text(lang, "created-home", &[unit, home.clone()]),
        text(lang, "created-root", &[("root", Arg::Text(root))]),
        text(lang, "created-next", &[home]),
    ]
    .join("\n")
}

/// Says what an import did.
pub(crate) fn imported(lang: Lang, value: &Value) -> String {
    let done = &value["imported"];
    let key = match () {
        () if value["dry_run"] == true => "imported-dry",
        () if number(&done["new"]) == 0 => "imported-nothing",
        () => "imported-done",
    };
    let args = [
        ("file", Arg::Text(string(&value["file"]))),
        ("rows", number(&value["rows"]).into()),
        ("new", number(&done["new"]).into()),
        ("known", number(&done["known"]).into()),
        ("entries", number(&done["entries"]).into()),
    ];
    let mut lines = vec![text(lang, key, &args)];
    let encoding = string(&value["encoding"]);
    if !encoding.is_empty() {
        lines.push(text(
            lang,
            "imported-encoding",
            &[("encoding", Arg::Text(encoding))],
        ));
    }
    lines.extend(
        list(&value["warnings"])
            .iter()
            .map(|line| format!("  {}", string(line))),
    );
    lines.join("\n")
}

/// Says that a record was changed.
pub(crate) fn edited(lang: Lang, value: &Value) -> String {
    text(
        lang,
        "edited-done",
        &[("record", Arg::Text(string(&value["edited"])))],
    )
}

/// Shows the records of one student, with what was made apart and is kept twice.
pub(crate) fn records(lang: Lang, value: &Value) -> String {
    records_in(lang, value, Paint::detect())
}

fn records_in(lang: Lang, value: &Value, paint: Paint) -> String {
    let mut lines = Vec::new();
    for record in list(value) {
        let unknown = word(lang, "records-unknown-kind");
        let kind = record["kind"].as_str().unwrap_or(&unknown);
        let args = [
            ("kind", Arg::Text(kind)),
            ("unit", Arg::Text(string(&record["unit"]))),
            ("period", Arg::Text(string(&record["period"]))),
        ];
        let mut head = text(lang, "records-line", &args);
        if record["edited"] == true {
            head = format!("{head}  {}", word(lang, "records-edited"));
        }
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let reach = reach(lang, string(&record["reach"]));
        lines.push(format!("{}  {reach}", paint.tint(Tone::Title, &head)));
        lines.push(format!(
            "  {}",
            paint.tint(Tone::Faint, string(&record["record"]))
        ));
        let fields = record["fields"].as_object();
        let room = fields
            .into_iter()
            .flatten()
            .map(|(name, _)| table::width(name))
            .max();
        for (name, shown) in fields.into_iter().flatten() {
            let name = table::pad(name, room.unwrap_or_default(), Side::Left);
            lines.push(format!("  {name}  {}", string(shown)));
        }
        for (field, values) in record["conflicts"].as_object().into_iter().flatten() {
            let nothing = word(lang, "records-nothing");
            let values: Vec<&str> = list(values)
                .iter()
                .map(|v| v.as_str().unwrap_or(&nothing))
                .collect();
            let values = values.join(" | ");
            let args = [("field", Arg::Text(field)), ("values", Arg::Text(&values))];
            let said = format!("! {}", text(lang, "records-conflict", &args));
            lines.push(format!("  {}", paint.tint(Tone::Busy, &said)));
        }
    }
    if lines.is_empty() {
        lines.push(word(lang, "records-none"));
    }
    lines.join("\n")
}

/// Lists logs, each with its newest entries.
pub(crate) fn logs(lang: Lang, value: &Value) -> String {
    logs_in(lang, value, Paint::detect())
}

fn logs_in(lang: Lang, value: &Value, paint: Paint) -> String {
    let mut lines = Vec::new();
    for log in list(value) {
        let none = word(lang, "period-none");
        let period = log["period"].as_str().unwrap_or(&none);
        let reach = reach(lang, string(&log["reach"]));
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let unit = paint.tint(Tone::Title, string(&log["unit"]));
        lines.push(format!("{unit}  {reach}  {period}"));
        let mut facts = vec![
            format!(
                "{} {}",
                word(lang, "column-log"),
                short(string(&log["log"]))
            ),
            format!(
                "{} {}",
                word(lang, "column-author"),
                short(string(&log["author"]))
            ),
        ];
        if let Some(seq) = log["forked"].as_u64() {
            let said = text(lang, "log-forked", &[("seq", seq.into())]);
            facts.push(paint.tint(Tone::Bad, &said));
        }
        lines.push(format!("  {}", facts.join("  ")));
        let mut entries = Table::new(
            [
                (Side::Right, "column-entry"),
                (Side::Left, "column-when"),
                (Side::Right, "column-parts"),
                (Side::Right, "column-bytes"),
                (Side::Left, "column-hash"),
            ]
            .map(|(side, key)| (side, word(lang, key))),
        );
        for entry in list(&log["newest"]) {
            entries.row([
                number(&entry["seq_num"]).to_string(),
                moment(number(&entry["time_ms"])),
                grouped(number(&entry["parts"])),
                grouped(number(&entry["bytes"])),
                short(string(&entry["hash"])),
            ]);
        }
        if !entries.is_empty() {
            lines.push(entries.render(2, paint).trim_end().to_owned());
        }
    }
    if lines.is_empty() {
        lines.push(word(lang, "log-none"));
    }
    lines.join("\n")
}

/// Puts into words how far a log or dossier travels.
fn reach(lang: Lang, reach: &str) -> String {
    match reach.split_once(':') {
        Some(("up", tier)) => text(lang, "reach-up", &[("tier", Arg::Text(tier))]),
        Some(("to", unit)) => text(lang, "reach-to", &[("unit", Arg::Text(unit))]),
        _ if reach == "own" => word(lang, "reach-own"),
        _ if reach == "below" => word(lang, "reach-below"),
        _ => reach.to_owned(),
    }
}

/// Says what was exported, and where to.
pub(crate) fn exported(lang: Lang, value: &Value) -> String {
    let args = [
        ("rows", number(&value["rows"]).into()),
        ("file", Arg::Text(string(&value["file"]))),
    ];
    text(lang, "exported-done", &args)
}

/// Says what an examination read and found, and what to do about it.
/// What became of a damaged store.
pub(crate) fn repaired(lang: Lang, value: &Value) -> String {
    match value["aside"].as_str() {
        Some(aside) => text(lang, "repair-done", &[("aside", Arg::Text(aside))]),
        None => word(lang, "repair-fine"),
    }
}

pub(crate) fn examined(lang: Lang, value: &Value) -> String {
    examined_in(lang, value, Paint::detect())
}

fn examined_in(lang: Lang, value: &Value, paint: Paint) -> String {
    let counts = [
        ("entries", number(&value["entries"]).into()),
        ("logs", number(&value["logs"]).into()),
    ];
    let days = [("days", number(&value["certificate_days"]).into())];
    let mut lines = vec![
        text(lang, "examined-counts", &counts),
        text(lang, "examined-certificate", &days),
    ];
    for finding in list(&value["findings"]) {
        let (tone, severity) = match string(&finding["severity"]) {
            "error" => (Tone::Bad, "examined-error"),
            _ => (Tone::Busy, "examined-warning"),
        };
        let known = [
            "missing-entry",
            "damaged-entry",
            "broken-chain",
            "certificate-ends",
            "quarantined",
        ];
        let what = string(&finding["what"]);
        let what = known.iter().find(|key| **key == what).unwrap_or(&"other");
        let with = |detail| {
            [
                ("detail", Arg::Text(string(detail))),
                ("days", number(&value["certificate_days"]).into()),
            ]
        };
        let said = text(lang, &format!("finding-{what}"), &with(&finding["text"]));
        let remedy = text(lang, &format!("remedy-{what}"), &with(&finding["do"]));
        lines.push(format!(
            "{} {said}",
            paint.tint(tone, &format!("[{}]", word(lang, severity)))
        ));
        lines.push(format!("  -> {remedy}"));
    }
    if list(&value["findings"]).is_empty() {
        lines.push(paint.tint(Tone::Good, &word(lang, "examined-fine")));
    }
    lines.join("\n")
}

/// Shows how a node stands.
pub(crate) fn status(lang: Lang, status: &Status) -> String {
    status::page(lang, status, Paint::detect())
}

/// The first sentence of a status.
pub(crate) fn headline(lang: Lang, status: &Status) -> String {
    status::headline(lang, status).1
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

use std::collections::BTreeMap;

use tiers::kind::Fields;

use super::guard::tests::PAYLOADS;
use super::*;
use crate::generate::{self, Spec};
use crate::import::{Cell, Parsed, Source, parse, read_rows};

const PRACTICE: &str = include_str!("../../../tiers/kinds/practice-record.toml");
const VOLUNTEER: &str = include_str!("../../../tiers/kinds/volunteer-service.toml");

fn context(kind: &Kind) -> Fields {
    let unit = "school-1".parse().expect("a unit id");
    kind.context(&unit, Some("2026-1".parse().expect("a period")))
}

fn read(kind: &Kind, name: &str, bytes: Vec<u8>) -> Parsed {
    parse(
        kind,
        &Source::from_bytes(name, bytes).unwrap(),
        &Fields::new(),
        Lang::En,
    )
    .unwrap()
}

fn view(kind: &Kind, fields: Fields) -> RecordView {
    RecordView {
        kind: kind.hash(),
        fields,
        commitments: BTreeMap::new(),
        conflicts: BTreeMap::new(),
        edited: false,
    }
}

fn id(number: usize) -> RecordId {
    format!("{number:032x}")
        .parse()
        .expect("32 hexadecimal digits")
}

fn rows<'a>(views: &'a [RecordView], subject: &'a str) -> impl Iterator<Item = ExportRow<'a>> {
    let numbered = views.iter().enumerate();
    numbered.map(move |(number, view)| ExportRow {
        record: id(number),
        subject,
        view,
    })
}

/// Generated rows as fields, with a value in the fields no table has.
fn records(kind: &Kind) -> Vec<RecordView> {
    let spec = Spec {
        students: 8,
        per_student: 5,
        ..Spec::default()
    };
    let context = context(kind);
    generate::rows(kind, &spec)
        .unwrap()
        .map(|row| {
            let cells = kind.columns().iter().zip(row.iter().map(String::as_str));
            let mut fields = kind.read_row(cells, &context).unwrap();
            if let Some(field) = kind.field_by_name("evidence") {
                let taps = ["tap-1", "tap-2"].map(|tap| Value::Text(tap.to_owned()));
                fields.insert(field.number, Value::Set(taps.into_iter().collect()));
            }
            view(kind, fields)
        })
        .collect()
}

#[test]
fn what_is_exported_is_read_back_to_equal_values() {
    for text in [PRACTICE, VOLUNTEER] {
        let kind = Kind::parse(text).unwrap();
        let views = records(&kind);
        let fields: Vec<&Fields> = views.iter().map(|view| &view.fields).collect();
        let mut files = Vec::new();
        for lang in Lang::ALL {
            let mut out = Vec::new();
            assert_eq!(
                write_csv(&mut out, &kind, lang, rows(&views, "s")).unwrap(),
                40
            );
            assert!(out.starts_with(b"\xEF\xBB\xBF"));
            files.push(("out.csv", out));
        }
        let mut out = Vec::new();
        assert_eq!(write_jsonl(&mut out, &kind, rows(&views, "s")).unwrap(), 40);
        files.push(("out.jsonl", out));
        for (name, out) in files {
            // Not even the context is needed: an export holds every field.
            let parsed = read(&kind, name, out);
            assert_eq!(parsed.problems, [], "{} {name}", kind.id());
            let back: Vec<&Fields> = parsed.records.iter().map(|record| &record.fields).collect();
            assert_eq!(back, fields, "{} {name}", kind.id());
        }
    }
}

#[test]
fn a_payload_never_leaves_as_a_formula_and_comes_back_as_it_was() {
    let kind = Kind::parse(PRACTICE).unwrap();
    let title = kind.field_by_name("title").unwrap().number;
    let fields = |payload: &str| BTreeMap::from([(title, Value::Text(payload.to_owned()))]);
    let views: Vec<_> = PAYLOADS
        .iter()
        .map(|payload| view(&kind, fields(payload)))
        .collect();
    let mut out = Vec::new();
    write_csv(&mut out, &kind, Lang::En, rows(&views, "s")).unwrap();

    let column = kind
        .columns()
        .iter()
        .position(|column| column.field == title)
        .unwrap();
    let mut raw = csv::Reader::from_reader(&out[3..]);
    for (record, payload) in raw.records().zip(PAYLOADS) {
        assert_eq!(record.unwrap()[column], format!("'{payload}"));
    }
    let mut back = Vec::new();
    let source = Source::from_bytes("out.csv", out).unwrap();
    read_rows(&source, None, &mut |row| {
        back.extend(row.cells.get(column).cloned());
        Ok(())
    })
    .unwrap();
    let expected: Vec<Cell> = PAYLOADS
        .iter()
        .map(|text| Cell::Text((*text).to_owned()))
        .collect();
    assert_eq!(back[1..], expected);

    // JSON lines are for machines and stay raw.
    let mut out = Vec::new();
    write_jsonl(&mut out, &kind, rows(&views, "s")).unwrap();
    for (line, payload) in String::from_utf8(out).unwrap().lines().zip(PAYLOADS) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["title"], payload);
    }
}

#[test]
fn conflicts_stand_beside_the_record_in_words_and_in_json() {
    let kind = Kind::parse(PRACTICE).unwrap();
    let field = |name: &str| kind.field_by_name(name).unwrap().number;
    let mut view = records(&kind).remove(0);
    let texts = ["a", "=b"].map(|text| Some(Value::Text(text.to_owned())));
    view.conflicts.insert(field("title"), texts.to_vec());
    let hours = [
        Some(Value::Decimal {
            units: 15,
            scale: 1,
        }),
        None,
    ];
    view.conflicts.insert(field("hours"), hours.to_vec());
    let views = [view];

    let mut out = Vec::new();
    write_csv(&mut out, &kind, Lang::En, rows(&views, "G1")).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("Title: a | =b; Hours: 1.5 | (nothing)"),
        "{text}"
    );
    assert!(text.contains(&id(0).to_string()));

    let mut out = Vec::new();
    write_jsonl(&mut out, &kind, rows(&views, "G1")).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "\"_conflicts\":{\"title\":[\"a\",\"=b\"],\"hours\":[1.5,null]}}";
    assert!(text.trim_end().ends_with(expected), "{text}");
    assert!(text.starts_with(&format!("{{\"_record\":\"{}\",\"_subject\":\"G1\",", id(0))));
}

#[test]
fn numbers_leave_without_a_float_on_the_way() {
    let kind = Kind::parse(PRACTICE).unwrap();
    let hours = kind.field_by_name("hours").unwrap();
    let huge = Value::Decimal {
        units: 90_071_992_547_409_931,
        scale: 1,
    };
    assert_eq!(json(hours, &huge).unwrap().get(), "9007199254740993.1");
}

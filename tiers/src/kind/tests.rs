use super::*;

pub(crate) const VOLUNTEER: &str = include_str!("../../kinds/volunteer-service.toml");
pub(crate) const PRACTICE: &str = include_str!("../../kinds/practice-record.toml");

fn malformed_line(text: &str) -> usize {
    match Kind::parse(text).unwrap_err() {
        KindError::Malformed { line, .. } => line,
        other => panic!("{other}"),
    }
}

fn tiers() -> Vec<TierName> {
    ["school", "district", "city"]
        .map(|tier| TierName::new(tier).unwrap())
        .to_vec()
}

#[test]
fn the_shipped_kinds_are_read() {
    let volunteer = Kind::parse(VOLUNTEER).unwrap();
    assert_eq!(
        (volunteer.id(), volunteer.version()),
        ("volunteer-service", 1)
    );
    assert_eq!(volunteer.fields().len(), 14);
    assert_eq!(volunteer.subject_field().unwrap().number, 1);
    assert_eq!(
        volunteer.classes(&tiers()),
        [ReachClass::City, ReachClass::School]
    );
    assert_eq!(volunteer.label("en"), "Volunteer service record");
    assert_ne!(volunteer.label("zh-CN"), volunteer.label("en"));
    let practice = Kind::parse(PRACTICE).unwrap();
    assert_eq!(practice.classes(&tiers()), [ReachClass::City]);
    assert_eq!(practice.columns().len(), 8);
}

#[test]
fn the_hash_ignores_spaces_comments_and_key_order_and_nothing_else() {
    let hash = |text: &str| Kind::parse(text).unwrap().hash();
    let same = PRACTICE.replace("version = 1\n", "").replace(
        "id = \"practice-record\"",
        "version   =   1 # a comment\nid = 'practice-record'",
    );
    assert_eq!(hash(PRACTICE), hash(&same));
    let other = PRACTICE.replace("max = 100", "max = 101");
    assert_ne!(hash(PRACTICE), hash(&other));
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let line = PRACTICE
        .lines()
        .position(|line| line.contains("\"title\""))
        .unwrap()
        + 1;
    let text = PRACTICE.replace("name = \"title\"", "name = \"title\", colour = \"red\"");
    assert_eq!(malformed_line(&text), line);
    assert_eq!(
        malformed_line(&format!("{PRACTICE}\ncolour = 1")),
        PRACTICE.lines().count() + 2
    );
    assert_eq!(malformed_line("id = "), 1);
}

#[test]
fn what_has_no_canonical_form_is_refused() {
    for value in ["1.5", "2026-09-01"] {
        let text = format!("{PRACTICE}\n[defaults2]\nx = {value}");
        assert!(Kind::parse(&text).is_err());
    }
    let table: toml::Table = toml::from_str("x = 1.0").unwrap();
    assert_eq!(canonical::hash(&table), Err(KindError::NoCanonicalForm));
}

#[test]
fn names_and_numbers_must_agree() {
    let broken = |from: &str, to: &str| {
        assert!(PRACTICE.contains(from), "{from}");
        Kind::parse(&PRACTICE.replace(from, to)).unwrap_err()
    };
    let unknown = |place, name: &str| KindError::UnknownName {
        place,
        name: name.into(),
    };
    assert_eq!(
        broken("n = 2,", "n = 1,"),
        KindError::Twice {
            place: "field.n",
            name: "1".into()
        }
    );
    assert!(matches!(
        broken("n = 2,", "n = 0,"),
        KindError::BadAttribute { attribute: "n", .. }
    ));
    assert_eq!(
        broken("initial = \"draft\"", "initial = \"born\""),
        unknown("initial", "born")
    );
    assert_eq!(
        broken("field:student", "field:pupil"),
        unknown("subject", "pupil")
    );
    assert_eq!(
        broken("field = \"venue\"", "field = \"place\""),
        unknown("exchange.columns", "place")
    );
    assert_eq!(
        broken("act = \"review\"", "act = \"guess\""),
        unknown("step.act", "guess")
    );
    let flow = broken("local = []", "local = [\"title\"]");
    assert!(matches!(flow, KindError::FlowDisagrees { .. }));
    let merge = broken("merge = \"conflict\", privacy", "privacy");
    assert!(matches!(
        merge,
        KindError::MissingAttribute {
            attribute: "merge",
            ..
        }
    ));
    assert!(matches!(
        broken("scale = 1", "scale = 10"),
        KindError::BadAttribute {
            attribute: "scale",
            ..
        }
    ));
}

#[test]
fn a_class_hour_without_its_minutes_is_refused() {
    let text = VOLUNTEER.replace("unit_minutes = 45, ", "");
    let missing = KindError::MissingAttribute {
        field: "minutes".into(),
        attribute: "unit_minutes",
    };
    assert_eq!(Kind::parse(&text).unwrap_err(), missing);
}

#[test]
fn a_row_becomes_a_record_and_every_wrong_cell_is_named() {
    let kind = Kind::parse(VOLUNTEER).unwrap();
    let unit = UnitId::new("school-1").unwrap();
    let context = kind.context(&unit, Some("2026-1".parse().unwrap()));
    assert_eq!(context.get(&2).unwrap().as_text(), Some("school-1"));
    assert_eq!(context.get(&3).unwrap().as_text(), Some("2026-1"));

    let headers = [
        "student",
        "project",
        "time.start",
        "time.end",
        "minutes",
        "origin",
        "category",
    ];
    let columns: Vec<_> = headers
        .iter()
        .map(|header| kind.column(header).unwrap())
        .collect();
    let cells = [
        "G1",
        "Library",
        "2026-09-01 14:00",
        "2026-09-01 16:00",
        "2",
        "Collective",
        "other",
    ];
    let row =
        |cells: &[&'static str]| kind.read_row(columns.iter().zip(cells.iter().copied()), &context);
    let fields = row(&cells).unwrap();
    assert_eq!(fields.get(&10), Some(&Value::Int(90)));
    assert_eq!(fields.len(), 8);
    kind.check_fields(&fields).unwrap();

    let wrong = [
        "",
        "Library",
        "2026-09-01 16:00",
        "2026-09-01 14:00",
        "x",
        "",
        "other",
    ];
    let errors = row(&wrong).unwrap_err();
    let codes: Vec<_> = errors.iter().map(|e| (e.field, e.error.code())).collect();
    let expected = [
        (1, "required"),
        (4, "required"),
        (9, "ends-before-start"),
        (10, "not-a-number"),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_header_is_found_by_exchange_name_and_label() {
    let kind = Kind::parse(PRACTICE).unwrap();
    let number = |header: &str| kind.column(header).map(|column| column.field);
    for header in [
        "student_id",
        "student",
        "Student",
        "\u{5b66}\u{7c4d}\u{53f7}",
    ] {
        assert_eq!(number(header), Some(1), "{header}");
    }
    assert_eq!(number("record_id"), None);
    assert_eq!(number("date.start"), None);
}

#[test]
fn an_edit_respects_what_the_field_is() {
    let kind = Kind::parse(VOLUNTEER).unwrap();
    let text = Value::Text("other".into());
    assert_eq!(kind.check_edit(1, Some(&text)), Err(FieldError::Immutable));
    assert_eq!(kind.check_edit(5, Some(&text)), Ok(()));
    assert_eq!(kind.check_edit(5, None), Err(FieldError::Required));
    assert_eq!(kind.check_edit(7, None), Ok(()));
    assert_eq!(
        kind.check_edit(6, Some(&Value::Int(1))),
        Err(FieldError::WrongType)
    );
    assert_eq!(kind.check_edit(99, Some(&text)), Err(FieldError::WrongType));
}

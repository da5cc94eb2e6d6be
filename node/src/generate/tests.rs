use std::path::PathBuf;

use tiers::kind::Fields;

use super::*;
use crate::import::{Encoding, parse_file};
use crate::label::Lang;

pub(crate) const PRACTICE: &str = include_str!("../../../tiers/kinds/practice-record.toml");
pub(crate) const VOLUNTEER: &str = include_str!("../../../tiers/kinds/volunteer-service.toml");

fn kind(text: &str) -> Kind {
    Kind::parse(text).expect("a kind of this repository")
}

/// What an import takes from the place it is made at.
fn context(kind: &Kind) -> Fields {
    let unit = "school-1".parse().expect("a unit id");
    kind.context(&unit, Some("2026-1".parse().expect("a period")))
}

fn small() -> Spec {
    Spec {
        students: 6,
        per_student: 5,
        ..Spec::default()
    }
}

#[test]
fn the_same_arguments_make_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for text in [PRACTICE, VOLUNTEER] {
        let kind = kind(text);
        for form in FileForm::ALL {
            let paths = ["a", "b"].map(|name| folder.path().join(name));
            for path in &paths {
                assert_eq!(generate(&kind, &small(), form, path).unwrap(), 30);
            }
            let [a, b] = paths.map(|path| std::fs::read(path).unwrap());
            assert!(a == b, "{} as {form:?}", kind.id());
        }
    }
}

#[test]
fn every_form_says_the_same_records_without_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    for text in [PRACTICE, VOLUNTEER] {
        let kind = kind(text);
        let mut first: Option<Vec<Fields>> = None;
        for form in FileForm::ALL {
            let path = folder.path().join("file").with_extension(form.extension());
            generate(&kind, &small(), form, &path).unwrap();
            let parsed = parse_file(&kind, &path, &context(&kind), Lang::En).unwrap();
            assert_eq!(parsed.problems, [], "{} as {form:?}", kind.id());
            assert_eq!((parsed.rows_read, parsed.records.len()), (30, 30));
            let encoding = match form {
                FileForm::Xlsx => Encoding::Workbook,
                FileForm::Csv => Encoding::Utf8Bom,
                FileForm::CsvGb18030 => Encoding::Gb18030,
                FileForm::Jsonl => Encoding::Utf8,
            };
            assert_eq!(parsed.encoding, encoding);
            for record in &parsed.records {
                kind.check_fields(&record.fields).unwrap();
                assert_eq!(record.subject.len(), 19);
            }
            let fields: Vec<Fields> = parsed.records.into_iter().map(|r| r.fields).collect();
            assert_eq!(
                first.get_or_insert_with(|| fields.clone()),
                &fields,
                "{form:?}"
            );
        }
    }
}

#[test]
fn rare_characters_occur_in_what_is_made() {
    let spec = Spec {
        students: 40,
        per_student: 5,
        ..Spec::default()
    };
    let all: String = rows(&kind(VOLUNTEER), &spec).unwrap().flatten().collect();
    for rare in ['\u{4dae}', '\u{20bb7}', '\u{3402}'] {
        assert!(all.contains(rare), "{rare}");
    }
}

#[test]
fn a_delta_belongs_to_the_same_students_and_repeats_no_record() {
    let kind = kind(PRACTICE);
    let semester = Spec {
        students: 60,
        per_student: 4,
        ..Spec::default()
    };
    let delta = Spec {
        part: Part::Delta(20),
        ..semester
    };
    let before: Vec<_> = rows(&kind, &semester).unwrap().collect();
    let after: Vec<_> = rows(&kind, &delta).unwrap().collect();
    assert_eq!((before.len(), after.len()), (240, 20));
    for row in &after {
        assert!(before.iter().any(|old| old[0] == row[0]) && !before.contains(row));
    }
    let mut students: Vec<_> = after.iter().map(|row| &row[0]).collect();
    students.dedup();
    assert_eq!(students.len(), 20);
}

#[test]
fn schools_and_seeds_differ_and_more_students_change_nothing_for_the_first() {
    let kind = kind(PRACTICE);
    let made = |spec: Spec| rows(&kind, &spec).unwrap().collect::<Vec<_>>();
    let one = made(small());
    assert_ne!(
        one,
        made(Spec {
            school: 2,
            ..small()
        })
    );
    assert_ne!(one, made(Spec { seed: 1, ..small() }));
    assert_eq!(
        one,
        made(Spec {
            students: 9,
            ..small()
        })[..30]
    );
}

#[test]
fn what_an_import_would_not_take_is_not_made() {
    let kind = kind(PRACTICE);
    for spec in [
        Spec {
            school: 0,
            ..small()
        },
        Spec {
            students: 0,
            ..small()
        },
        Spec {
            students: 10_000,
            per_student: 20,
            ..small()
        },
        Spec {
            part: Part::Delta(0),
            ..small()
        },
    ] {
        assert!(matches!(
            rows(&kind, &spec).err(),
            Some(GenerateError::OutOfBounds { .. })
        ));
    }
    let unknown = PRACTICE.replace("id = \"practice-record\"", "id = \"other\"");
    let error = rows(&self::kind(&unknown), &small()).err();
    assert!(matches!(error, Some(GenerateError::NoWords { .. })));
}

/// The files a newcomer imports first. With `SANJI_WRITE_TESTDATA` set they are written instead of compared.
#[test]
fn the_committed_samples_are_what_the_generator_makes() {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/samples");
    for (school, text, form) in [
        (1, VOLUNTEER, FileForm::Xlsx),
        (2, VOLUNTEER, FileForm::CsvGb18030),
        (3, VOLUNTEER, FileForm::Jsonl),
        (4, PRACTICE, FileForm::Csv),
    ] {
        let kind = kind(text);
        let spec = Spec {
            school,
            students: 20,
            per_student: 4,
            ..Spec::default()
        };
        let name = format!("school-{school}-{}.{}", kind.id(), form.extension());
        let path = samples.join(name);
        if std::env::var_os("SANJI_WRITE_TESTDATA").is_some() {
            generate(&kind, &spec, form, &path).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let fresh = folder.path().join("fresh");
        generate(&kind, &spec, form, &fresh).unwrap();
        let same = std::fs::read(&path).unwrap() == std::fs::read(fresh).unwrap();
        assert!(same, "{}", path.display());
        let parsed = parse_file(&kind, &path, &context(&kind), Lang::ZhCn).unwrap();
        assert_eq!(
            (parsed.records.len(), parsed.problems.len()),
            (80, 0),
            "{}",
            path.display()
        );
    }
}

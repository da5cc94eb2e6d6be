use calamine::{Reader, SheetVisible, Xlsx, open_workbook};

use super::*;
use crate::import::{Source, parse};

const VOLUNTEER: &str = include_str!("../../../tiers/kinds/volunteer-service.toml");

fn sheet_texts(book: &mut Xlsx<std::io::BufReader<std::fs::File>>, name: &str) -> Vec<Vec<String>> {
    let range = book.worksheet_range(name).unwrap();
    range
        .rows()
        .map(|row| row.iter().map(ToString::to_string).collect())
        .collect()
}

#[test]
fn a_template_has_the_columns_of_the_kind_and_explains_them_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind::parse(VOLUNTEER).unwrap();
    for lang in Lang::ALL {
        let path = folder.path().join("template.xlsx");
        template(&kind, lang, &path).unwrap();
        let mut book: Xlsx<_> = open_workbook(&path).unwrap();
        let names: Vec<String> = book.sheet_names();
        assert_eq!(names.len(), 2, "{names:?}");
        let headers: Vec<_> = kind
            .columns()
            .iter()
            .map(|column| column.header.clone())
            .collect();
        assert_eq!(
            sheet_texts(&mut book, &names[0]),
            std::slice::from_ref(&headers)
        );
        let help = sheet_texts(&mut book, &names[1]);
        let explained: Vec<_> = help.iter().skip(4).map(|row| row[0].clone()).collect();
        assert_eq!(explained, headers);
        for row in help.iter().skip(4) {
            let field = kind
                .column(&row[0])
                .and_then(|column| kind.field(column.field))
                .unwrap();
            assert_eq!((&row[1], &row[5]), (&field.label.zh, &field.label.en));
            assert!(!row[3].is_empty() && !row[7].is_empty());
        }
    }
}

#[test]
fn a_template_as_it_is_has_no_rows_and_no_other_problem() {
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind::parse(VOLUNTEER).unwrap();
    let path = folder.path().join("template.xlsx");
    template(&kind, Lang::ZhCn, &path).unwrap();
    let context = kind.context(&"s1".parse().unwrap(), Some("2026-1".parse().unwrap()));
    let parsed = parse(&kind, &Source::open(&path).unwrap(), &context, Lang::En).unwrap();
    let codes: Vec<_> = parsed.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["no-rows"]);
}

#[test]
fn lists_identifiers_and_the_frozen_header_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind::parse(VOLUNTEER).unwrap();
    let path = folder.path().join("template.xlsx");
    template(&kind, Lang::En, &path).unwrap();
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    let mut read = |name: &str| {
        let mut part = archive.by_name(name).unwrap();
        std::io::read_to_string(&mut part).unwrap()
    };
    let sheet = read("xl/worksheets/sheet1.xml");
    for part in [
        "Collective,Individually arranged",
        "type=\"list\"",
        "type=\"textLength\"",
        "state=\"frozen\"",
        "yes,no",
    ] {
        assert!(sheet.contains(part), "{part}");
    }
    assert!(read("xl/styles.xml").contains("formatCode=\"@\""));
}

#[test]
fn long_lists_go_to_a_sheet_nobody_sees() {
    let codes: Vec<String> = (0..60)
        .map(|n| format!("[\"c{n}\", \"\u{7c7b}{n}\", \"A long name, {n}\"]"))
        .collect();
    let start = VOLUNTEER.find("enum = [[\"collective\"").unwrap();
    let end = start + VOLUNTEER[start..].find("]]").unwrap() + 2;
    let text = format!(
        "{}enum = [{}]{}",
        &VOLUNTEER[..start],
        codes.join(", "),
        &VOLUNTEER[end..]
    );
    let kind = Kind::parse(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.xlsx");
    template(&kind, Lang::En, &path).unwrap();
    let mut book: Xlsx<_> = open_workbook(&path).unwrap();
    let lists = book
        .sheets_metadata()
        .iter()
        .find(|sheet| sheet.name == LISTS)
        .unwrap();
    assert_eq!(lists.visible, SheetVisible::VeryHidden);
    assert_eq!(sheet_texts(&mut book, LISTS).len(), 60);
}

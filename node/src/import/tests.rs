use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format as CellFormat, Formula, Workbook};
use tiers::kind::{Fields, Kind};
use zip::write::SimpleFileOptions;

use super::*;
use crate::label::Lang;

const VOLUNTEER: &str = include_str!("../../../tiers/kinds/volunteer-service.toml");

fn kind() -> Kind {
    Kind::parse(VOLUNTEER).expect("a kind of this repository")
}

fn context(kind: &Kind) -> Fields {
    let unit = "school-1".parse().expect("a unit id");
    kind.context(&unit, Some("2026-1".parse().expect("a period")))
}

fn read(name: &str, bytes: Vec<u8>, lang: Lang) -> Result<Parsed, ImportError> {
    let kind = kind();
    parse(
        &kind,
        &Source::from_bytes(name, bytes)?,
        &context(&kind),
        lang,
    )
}

/// Refusals by code, in the words of both languages, which must name the file.
fn refusal(name: &str, bytes: &[u8]) -> &'static str {
    let error = read(name, bytes.to_vec(), Lang::En).expect_err("must be refused");
    for lang in Lang::ALL {
        let message = error.message(lang);
        assert!(message.starts_with(&error.file) && message.len() > error.file.len() + 8);
    }
    error.code()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

fn workbook(fill: impl FnOnce(&mut rust_xlsxwriter::Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let created = ExcelDateTime::from_ymd(2026, 9, 1).unwrap();
    let facts = rust_xlsxwriter::DocProperties::new().set_creation_datetime(&created);
    workbook.set_properties(&facts);
    let sheet = workbook.add_worksheet();
    let kind = kind();
    for (index, column) in (0u16..).zip(kind.columns()) {
        sheet.write(0, index, &column.header).unwrap();
    }
    fill(sheet);
    workbook.save_to_buffer().unwrap()
}

/// Writes the first eight cells of a good row; later calls replace some of them.
fn good_row(sheet: &mut rust_xlsxwriter::Worksheet, row: u32) {
    let moment = CellFormat::new().set_num_format("yyyy-mm-dd hh:mm");
    let at = |hour| {
        ExcelDateTime::from_ymd(2026, 9, 5)
            .unwrap()
            .and_hms(hour, 0, 0)
            .unwrap()
    };
    sheet
        .write(row, 0, format!("G11010120100512{row:04}"))
        .unwrap();
    sheet.write(row, 1, "project").unwrap();
    sheet.write_with_format(row, 3, at(9), &moment).unwrap();
    sheet.write_with_format(row, 4, at(11), &moment).unwrap();
    sheet.write(row, 5, 2).unwrap();
    sheet.write(row, 6, "collective").unwrap();
    sheet.write(row, 7, "environment").unwrap();
}

fn formula_workbook() -> Vec<u8> {
    workbook(|sheet| {
        (1..=4).for_each(|row| good_row(sheet, row));
        sheet
            .write(2, 5, Formula::new("=1+1").set_result("2"))
            .unwrap();
        sheet
            .write(3, 0, Formula::new("=A2").set_result("G110101201005120001"))
            .unwrap();
        sheet
            .write(3, 8, Formula::new("=NA()").set_result("#N/A"))
            .unwrap();
    })
}

fn float_workbook() -> Vec<u8> {
    workbook(|sheet| {
        (1..=5).for_each(|row| good_row(sheet, row));
        sheet.write(1, 0, 110_101_201_005_120_001.0).unwrap();
        sheet.write(2, 0, 12).unwrap();
        sheet.write(3, 1, 110_101_201_005_120_001.0).unwrap();
        sheet.write(4, 1, 2026).unwrap();
        sheet.write(5, 3, 46_270.375).unwrap();
        sheet.write(5, 5, 0.1 + 0.2).unwrap();
    })
}

/// Every file of `testdata/import` gives exactly the lines that stand in the `.expected` file beside it, in both
/// languages. With `SANJI_WRITE_TESTDATA` set they are written instead of compared, to be read by a person.
#[test]
fn every_bad_file_gives_exactly_the_expected_problems_in_both_languages() {
    let folder = folder("import");
    let write = std::env::var_os("SANJI_WRITE_TESTDATA").is_some();
    for (name, bytes) in [
        ("formula.xlsx", formula_workbook()),
        ("float-ids.xlsx", float_workbook()),
    ] {
        if write {
            std::fs::write(folder.join(name), &bytes).unwrap();
        }
        let committed = std::fs::read(folder.join(name)).unwrap();
        assert!(committed == bytes, "{name} is not what this test builds");
    }
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_none_or(|extension| extension != "expected")
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 9);
    let kind = kind();
    for path in names {
        let mut found = String::new();
        for lang in Lang::ALL {
            writeln!(found, "[{lang}]").unwrap();
            match parse_file(&kind, &path, &context(&kind), lang) {
                Ok(parsed) => {
                    for problem in &parsed.problems {
                        writeln!(found, "{}", problem.line(lang)).unwrap();
                    }
                    let good: Vec<u32> = parsed.records.iter().map(|record| record.row).collect();
                    writeln!(found, "= {} {:?}", parsed.encoding, good).unwrap();
                }
                Err(error) => writeln!(found, "{}", error.message(lang)).unwrap(),
            }
        }
        let beside = PathBuf::from(format!("{}.expected", path.display()));
        if write {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap();
        assert_eq!(found, expected, "{}", path.display());
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let kind = kind();
    let open = |path: &Path| {
        let error = parse_file(&kind, path, &context(&kind), Lang::En).expect_err("refused");
        error.code()
    };
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(&folder.path().join("none.csv")), "refusal-not-found");
    assert_eq!(open(folder.path()), "refusal-not-a-file");
    let sparse = folder.path().join("large.csv");
    std::fs::File::create(&sparse)
        .unwrap()
        .set_len(limits::TEXT_SIZE_MAX + 1)
        .unwrap();
    assert_eq!(open(&sparse), "refusal-too-large");

    assert_eq!(refusal("a.csv", b""), "refusal-empty");
    assert_eq!(refusal("a.doc", b"text"), "refusal-unknown-format");
    assert_eq!(refusal("a.xlsx", b"text"), "refusal-not-a-workbook");
    assert_eq!(refusal("a.csv", b"a,b\n\xff\xff"), "refusal-not-text");
    assert_eq!(refusal("a.csv", b"a,b\n1,2\n"), "refusal-no-header");
    assert_eq!(refusal("a.jsonl", b"{\"a\":1}\n"), "refusal-no-header");
    assert_eq!(
        refusal("a.xlsx", b"PK\x03\x04 and nothing more"),
        "refusal-broken-workbook"
    );

    let mut container = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    container.resize(2048, 0);
    assert_eq!(refusal("a.xls", &container), "refusal-old-workbook");
    let stream = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes);
    container.extend(stream);
    assert_eq!(refusal("a.xlsx", &container), "refusal-encrypted");
}

#[test]
fn files_beyond_a_limit_are_refused_by_name() {
    let rows = "G\n".repeat(limits::ROWS_MAX as usize + limits::HEADER_ROWS_MAX);
    assert_eq!(
        refusal("a.csv", format!("student\n{rows}").as_bytes()),
        "refusal-too-many-rows"
    );
    let wide = ",x".repeat(limits::COLUMNS_MAX);
    assert_eq!(
        refusal("a.csv", format!("student{wide}\n").as_bytes()),
        "refusal-too-many-columns"
    );
    let open = format!(
        "student,project\nG1,\"{}",
        "x".repeat(limits::CELL_SIZE_MAX + 1)
    );
    let error = read("a.csv", open.into_bytes(), Lang::En).unwrap_err();
    assert!(matches!(&error.reason, Refusal::CellTooLong { row: 2, column } if column == "B"));
    let row = "x,".repeat(limits::COLUMNS_MAX - 1) + "x\n";
    let cells = row.repeat(limits::CELLS_MAX as usize / limits::COLUMNS_MAX + 1);
    assert_eq!(refusal("a.csv", cells.as_bytes()), "refusal-too-many-cells");
    let far = workbook(|sheet| {
        sheet.write(1, 300, "x").unwrap();
    });
    assert_eq!(refusal("a.xlsx", &far), "refusal-too-many-columns");
}

#[test]
fn a_workbook_named_csv_is_read_as_a_workbook() {
    let bytes = workbook(|sheet| good_row(sheet, 1));
    let parsed = read("export.csv", bytes, Lang::En).unwrap();
    assert_eq!(
        (parsed.format, parsed.records.len(), parsed.problems.len()),
        (Format::Xlsx, 1, 0)
    );
}

#[test]
fn problems_are_listed_up_to_a_cap_and_counted_beyond() {
    let count = limits::PROBLEMS_MAX + 500;
    let mut text = String::from("student,project,time,minutes,origin,category\n");
    for row in 0..count {
        let when = "2026-09-05 09:00/2026-09-05 11:00";
        writeln!(text, "G{row},p,{when},1,team,other").unwrap();
    }
    let parsed = read("a.csv", text.into_bytes(), Lang::En).unwrap();
    assert_eq!(
        (parsed.errors, parsed.problems.len()),
        (count as u64, limits::PROBLEMS_MAX)
    );
    assert_eq!((parsed.unlisted(), parsed.records.len()), (500, 0));
}

#[test]
fn a_thousand_warnings_do_not_hide_an_error() {
    let mut text = String::from("student,project,time,minutes,origin,category\n");
    let row = "G1,p,2026-09-05 09:00/2026-09-05 11:00,1,collective,other\n";
    text.push_str(&row.repeat(limits::PROBLEMS_MAX + 10));
    text.push_str("G1,p,never,1,collective,other\n");
    let parsed = read("a.csv", text.into_bytes(), Lang::En).unwrap();
    assert_eq!((parsed.errors, parsed.unlisted()), (1, 9));
    assert_eq!(
        parsed.problems.last().map(|problem| problem.code),
        Some("field-not-an-interval")
    );
}

#[test]
fn a_date_of_a_workbook_is_the_date_a_person_sees_in_either_epoch() {
    let bytes = workbook(|sheet| good_row(sheet, 1));
    let shifted = edit_part(&bytes, "xl/workbook.xml", |text| {
        text.replace("<workbookPr ", "<workbookPr date1904=\"1\" ")
    });
    let kind = kind();
    let time = kind.field_by_name("time").unwrap().number;
    let shown = |bytes: Vec<u8>| {
        let parsed = read("a.xlsx", bytes, Lang::En).unwrap();
        parsed.records[0].fields[&time].to_string()
    };
    assert_eq!(shown(bytes), "2026-09-05T09:00/2026-09-05T11:00");
    // The same numbers mean four years and a day later when days are counted from 1904.
    assert_eq!(shown(shifted), "2030-09-06T09:00/2030-09-06T11:00");
}

#[test]
fn sheets_left_out_are_named_and_the_kinds_own_sheet_is_preferred() {
    let mut workbook = Workbook::new();
    workbook
        .add_worksheet()
        .set_name("Notes")
        .unwrap()
        .write(0, 0, "x")
        .unwrap();
    let kind = kind();
    let exchange = kind
        .definition()
        .exchanges
        .iter()
        .find(|exchange| exchange.format == "xlsx");
    let name = exchange
        .and_then(|exchange| exchange.sheet.clone())
        .unwrap();
    let sheet = workbook.add_worksheet().set_name(&name).unwrap();
    for (index, column) in (0u16..).zip(kind.columns()) {
        sheet.write(0, index, &column.header).unwrap();
    }
    good_row(sheet, 1);
    let parsed = read("a.xlsx", workbook.save_to_buffer().unwrap(), Lang::En).unwrap();
    assert_eq!((parsed.sheet, parsed.records.len()), (Some(name), 1));
    assert!(parsed.problems[0].message.contains("Notes"));
}

#[test]
fn shown_text_cannot_disturb_a_terminal() {
    assert_eq!(
        visible("a\u{1b}[31mb\n\u{202e}c"),
        "a\u{fffd}[31mb\u{fffd}\u{fffd}c"
    );
    assert!(visible(&"x".repeat(5_000)).len() < 70);
    let source = Source::from_bytes("../../etc/a\u{1b}.csv", b"x".to_vec()).unwrap();
    assert!(!source.name().contains('\u{1b}'));
    assert_eq!(
        [0, 25, 26, 701, 702].map(letters),
        ["A", "Z", "AA", "ZZ", "AAA"]
    );
}

// Hostile workbooks.

/// Rewrites one part of a workbook.
fn edit_part(bytes: &[u8], name: &str, edit: impl Fn(String) -> String) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut found = false;
    for index in 0..from.len() {
        let mut part = from.by_index(index).unwrap();
        let own = part.name().unwrap().into_owned();
        let mut text = std::io::read_to_string(&mut part).unwrap();
        if own == name {
            found = true;
            text = edit(text);
        }
        to.start_file(own, SimpleFileOptions::default()).unwrap();
        to.write_all(text.as_bytes()).unwrap();
    }
    assert!(found, "{name}");
    to.finish().unwrap().into_inner()
}

fn archive_with(parts: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        to.start_file(name, SimpleFileOptions::default()).unwrap();
        to.write_all(&content).unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn zeros_that_unfold_a_thousand_times_are_refused() {
    let part = vec![b' '; 8 * 1024 * 1024];
    let bomb = archive_with([("xl/worksheets/sheet1.xml".to_owned(), part)]);
    assert!(bomb.len() < 20_000);
    assert_eq!(refusal("a.xlsx", &bomb), "refusal-bomb-ratio");
}

#[test]
fn many_parts_that_are_too_much_together_are_refused() {
    // Noise over a small alphabet packs four times, so that no part alone stands out.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"<a> "[(state >> 24) as usize & 3]
    })
    .take(1 << 20)
    .collect();
    let parts = limits::WORKBOOK_UNPACKED_MAX as usize / noise.len() + 1;
    let one = archive_with([("a.xml".to_owned(), noise)]);
    let bomb = repeated(&one, parts);
    // Parts that lie upon each other are found even before their sum.
    assert_eq!(refusal("a.xlsx", &bomb), "refusal-bomb-unpacked");
    assert_eq!(
        refusal("a.xlsx", &repeated(&one, 3)),
        "refusal-bomb-overlap"
    );
}

/// Lists the only part of an archive several times, all at the same place.
fn repeated(archive: &[u8], times: usize) -> Vec<u8> {
    let start = archive
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    let end = archive
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .unwrap();
    let mut bytes = archive[..start].to_vec();
    for number in 0..times {
        let mut entry = archive[start..end].to_vec();
        // The name has five letters; another first letter makes it another part.
        let name = 46;
        entry[name] = b'A' + (number / 26 % 26) as u8;
        entry[name + 2] = b'a' + (number % 26) as u8;
        bytes.extend(entry);
    }
    let size = bytes.len() - start;
    let mut tail = archive[end..].to_vec();
    let count = u16::try_from(times).unwrap().to_le_bytes();
    tail[8..10].copy_from_slice(&count);
    tail[10..12].copy_from_slice(&count);
    tail[12..16].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
    tail[16..20].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    bytes.extend(tail);
    bytes
}

#[test]
fn more_parts_than_a_workbook_has_are_refused() {
    let parts = (0..=limits::WORKBOOK_ENTRIES_MAX).map(|number| (format!("{number}.xml"), vec![]));
    assert_eq!(
        refusal("a.xlsx", &archive_with(parts)),
        "refusal-bomb-entries"
    );
    let parts =
        (0..limits::WORKBOOK_ENTRIES_MAX + 9).map(|number| (format!("{number}.xml"), vec![]));
    assert_eq!(
        refusal("a.xlsx", &archive_with(parts)),
        "refusal-bomb-entries"
    );
}

#[test]
fn a_directory_that_understates_a_part_is_found_out() {
    let part = b"<worksheet>".repeat(50_000);
    let mut lying = archive_with([("a.xml".to_owned(), part)]);
    let directory = lying
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    for at in [22, directory + 24] {
        lying[at..at + 4].copy_from_slice(&1000u32.to_le_bytes());
    }
    // Whoever inflates finds it first, the library or the measuring.
    let code = refusal("a.xlsx", &lying);
    assert!(
        ["refusal-bomb-size", "refusal-broken-workbook"].contains(&code),
        "{code}"
    );
}

#[test]
fn claims_a_reader_would_reserve_memory_for_are_refused() {
    let good = workbook(|sheet| good_row(sheet, 1));
    let claim = |count: &str| {
        edit_part(&good, "xl/sharedStrings.xml", |text| {
            let at = text.find("uniqueCount=\"").unwrap() + "uniqueCount=\"".len();
            let end = at + text[at..].find('"').unwrap();
            format!("{}{count}{}", &text[..at], &text[end..])
        })
    };
    assert_eq!(
        read("a.xlsx", claim("12"), Lang::En).unwrap().records.len(),
        1
    );
    for count in ["1000001", "99999999999999", "99999999999999999999999999"] {
        assert_eq!(refusal("a.xlsx", &claim(count)), "refusal-bomb-content");
    }
    // Wherever the claim stands, also across the blocks the part is read in.
    for shift in (65_480..65_740).step_by(13) {
        let bytes = edit_part(&claim("99999999"), "xl/sharedStrings.xml", |text| {
            let pad = "<!-- -->".repeat(shift / 8) + &" ".repeat(shift % 8);
            text.replace("<sst", &format!("{pad}<sst"))
        });
        assert_eq!(refusal("a.xlsx", &bytes), "refusal-bomb-content", "{shift}");
    }
}

#[test]
fn a_style_copied_for_every_cell_format_is_bounded() {
    let good = workbook(|sheet| good_row(sheet, 1));
    let long = "x".repeat(limits::STYLES_RUN_MAX + 1);
    let bytes = edit_part(&good, "xl/styles.xml", |text| {
        text.replace("Calibri", &long)
    });
    assert_eq!(refusal("a.xlsx", &bytes), "refusal-bomb-content");
}

#[test]
fn entities_are_not_unfolded_and_a_claimed_size_costs_nothing() {
    let good = workbook(|sheet| good_row(sheet, 1));
    let laughs = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>";
    let bytes = edit_part(&good, "xl/sharedStrings.xml", |text| {
        text.replace("<sst", &format!("{laughs}<sst"))
            .replace("project", "&b;")
    });
    match read("a.xlsx", bytes, Lang::En) {
        Ok(parsed) => assert!(!format!("{:?}", parsed.records).contains("aaaaaaaaaa")),
        Err(error) => assert_eq!(error.code(), "refusal-broken-workbook"),
    }
    let bytes = edit_part(&good, "xl/worksheets/sheet1.xml", |text| {
        let at = text.find("<dimension ref=\"").unwrap() + "<dimension ref=\"".len();
        let end = at + text[at..].find('"').unwrap();
        format!("{}A1:XFD1048576{}", &text[..at], &text[end..])
    });
    assert_eq!(read("a.xlsx", bytes, Lang::En).unwrap().records.len(), 1);
}

// Whatever stands in a file, reading it ends, and without a panic.

static FORMULAS: LazyLock<Vec<u8>> = LazyLock::new(formula_workbook);

fn survives(name: &str, bytes: Vec<u8>) {
    if let Ok(parsed) = read(name, bytes, Lang::ZhCn) {
        assert!(parsed.problems.len() <= 2 * limits::PROBLEMS_MAX);
        assert!(parsed.records.len() <= parsed.rows_read as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic_the_csv_reader(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        survives("a.csv", bytes.clone());
        let mut below = b"student,project,time.start,time.end,minutes,origin,category\n".to_vec();
        below.extend(bytes);
        survives("a.csv", below);
    }

    #[test]
    fn random_cells_never_panic_the_csv_reader(text in "([ G1'=\"\\r\\n\u{3000}\u{20bb7}-]{0,6}[,;\\n]){0,60}") {
        survives("a.csv", format!("student,time,minutes\n{text}").into_bytes());
    }

    #[test]
    fn random_lines_never_panic_the_jsonl_reader(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        text in "(\\{(\"(student|minutes|time)\":([0-9.e-]{0,5}|\"[a-z\\\\u]{0,6}\"|\\[\\]|null),?){0,4}\\}\\n){0,9}",
    ) {
        survives("a.jsonl", bytes);
        survives("a.jsonl", text.into_bytes());
    }

    #[test]
    fn random_damage_never_panics_the_workbook_reader(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = FORMULAS.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survives("a.xlsx", bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        survives("a.xlsx", bytes);
    }

    #[test]
    fn random_text_in_a_sheet_never_panics_the_workbook_reader(
        at in any::<prop::sample::Index>(),
        text in "[<>/a-z0-9=\" &;!\\[\\]-]{0,40}",
    ) {
        let bytes = edit_part(&FORMULAS, "xl/worksheets/sheet1.xml", |mut sheet| {
            let at = at.index(sheet.len());
            if sheet.is_char_boundary(at) {
                sheet.insert_str(at, &text);
            }
            sheet
        });
        survives("a.xlsx", bytes);
    }
}

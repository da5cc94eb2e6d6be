//! Reads workbooks: the door to calamine. The container has been measured before (see `archive`).
//!
//! Cells are read one after another as they lie in the file; a sheet that claims a thousand million cells and holds
//! ten costs ten.

use std::io::Cursor;

use calamine::{DataRef, ExcelDateTime, ExcelDateTimeType, Reader, SheetType, SheetVisible, Xlsx};

use super::error::Refusal;
use super::{Cell, Encoding, Reading, Row, Stamp, archive, limits};

/// Hands every row of one sheet that has anything in it to `on_row`: of the sheet called `wanted`, or else of the
/// first visible one.
pub(super) fn read(
    bytes: &[u8],
    wanted: Option<&str>,
    on_row: &mut dyn FnMut(Row) -> Result<(), Refusal>,
) -> Result<Reading, Refusal> {
    archive::check(bytes)?;
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let is_1904 = workbook.has_1904_epoch();
    let visible: Vec<String> = workbook
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible)
        .map(|sheet| sheet.name.clone())
        .collect();
    let sheet = wanted
        .and_then(|wanted| visible.iter().find(|name| *name == wanted))
        .or(visible.first())
        .cloned()
        .ok_or_else(|| Refusal::BrokenWorkbook {
            detail: "no visible sheet".to_owned(),
        })?;
    let mut cells = workbook.worksheet_cells_reader(&sheet).map_err(broken)?;
    let mut row = Row {
        number: 0,
        cells: Vec::new(),
        fault: None,
    };
    while let Some(record) = cells.next_cell_with_formula_metadata().map_err(broken)? {
        let (at, column) = record.pos;
        let number = at.saturating_add(1);
        if number < row.number {
            return Err(Refusal::BrokenWorkbook {
                detail: "rows out of order".to_owned(),
            });
        }
        if number > row.number {
            let done = Row {
                number: row.number,
                cells: std::mem::take(&mut row.cells),
                fault: None,
            };
            hand_over(done, on_row)?;
            row.number = number;
        }
        let cell = match record.formula {
            Some(_) => Cell::Formula,
            None => cell(record.value, is_1904),
        };
        if cell.is_blank() {
            continue;
        }
        let column = column as usize;
        if column >= limits::COLUMNS_MAX {
            return Err(Refusal::TooManyColumns {
                row: number,
                max: limits::COLUMNS_MAX,
            });
        }
        if row.cells.len() <= column {
            row.cells.resize(column + 1, Cell::Empty);
        }
        if let Some(place) = row.cells.get_mut(column) {
            *place = cell;
        }
    }
    hand_over(row, on_row)?;
    let other_sheets = visible
        .into_iter()
        .filter(|name| *name != sheet)
        .map(|name| super::visible(&name))
        .collect();
    Ok(Reading {
        encoding: Encoding::Workbook,
        sheet: Some(sheet),
        other_sheets,
        separator: None,
    })
}

fn hand_over(row: Row, on_row: &mut dyn FnMut(Row) -> Result<(), Refusal>) -> Result<(), Refusal> {
    if row.cells.is_empty() {
        Ok(())
    } else {
        on_row(row)
    }
}

fn broken(error: calamine::XlsxError) -> Refusal {
    match error {
        calamine::XlsxError::Password => Refusal::Encrypted,
        other => Refusal::BrokenWorkbook {
            detail: super::visible(&other.to_string()),
        },
    }
}

fn cell(value: DataRef<'_>, is_1904: bool) -> Cell {
    match value {
        DataRef::Empty => Cell::Empty,
        DataRef::String(text) => Cell::Text(text),
        DataRef::SharedString(text) => Cell::Text(text.to_owned()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Cell::Text(text),
        // The reader never makes integers; a float holds those of a sheet exactly up to 15 digits.
        DataRef::Int(number) => Cell::Text(number.to_string()),
        DataRef::Float(number) => Cell::Number(number),
        DataRef::Bool(flag) => Cell::Bool(flag),
        DataRef::DateTime(time) => stamp(time, is_1904),
        DataRef::Error(error) => Cell::Fault(error.to_string()),
    }
}

/// Reads a serial day number with a fraction, rounded to the second, since the fraction is a float.
fn stamp(time: ExcelDateTime, is_1904: bool) -> Cell {
    const DAY: f64 = 86_400.0;
    let serial = time.as_f64();
    // Durations, and times without a day, are text a kind may read; nothing before day 1 or after the year 9999 is.
    if time.is_duration() || (0.0..1.0).contains(&serial) {
        let minutes = (serial * 1440.0).round();
        return if (0.0..1e6).contains(&minutes) {
            let minutes = minutes as u32;
            Cell::Text(format!("{:02}:{:02}", minutes / 60, minutes % 60))
        } else {
            Cell::Number(serial)
        };
    }
    if !(1.0..2_958_466.0).contains(&serial) {
        return Cell::Number(serial);
    }
    let (mut day, mut second) = (serial.floor(), ((serial - serial.floor()) * DAY).round());
    if second >= DAY {
        (day, second) = (day + 1.0, 0.0);
    }
    let midnight = ExcelDateTime::new(day, ExcelDateTimeType::DateTime, is_1904);
    let (year, month, day, ..) = midnight.to_ymd_hms_milli();
    Cell::Stamp(Stamp {
        year,
        month,
        day,
        second: second as u32,
    })
}

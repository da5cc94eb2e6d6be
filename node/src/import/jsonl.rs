//! Reads JSON lines: one object per line, names as columns. Numbers keep their digits and never become floats.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encoding::decode;
use super::error::Refusal;
use super::{Cell, Reading, Row, RowFault, limits};

/// Hands a header with every name of the file, numbered 0, and then every line that is not blank to `on_row`.
pub(super) fn read(
    bytes: &[u8],
    on_row: &mut dyn FnMut(Row) -> Result<(), Refusal>,
) -> Result<Reading, Refusal> {
    let (text, encoding) = decode(bytes)?;
    let columns = columns(&text)?;
    let mut names = vec![Cell::Empty; columns.len()];
    for (name, index) in &columns {
        if let Some(cell) = names.get_mut(*index) {
            *cell = Cell::Text(name.clone());
        }
    }
    on_row(Row {
        number: 0,
        cells: names,
        fault: None,
    })?;
    for (number, line) in lines(&text) {
        on_row(
            match object(line).and_then(|object| cells(&object, &columns)) {
                Ok(cells) => Row {
                    number,
                    cells,
                    fault: None,
                },
                Err(fault) => Row {
                    number,
                    cells: Vec::new(),
                    fault: Some(fault),
                },
            },
        )?;
    }
    Ok(Reading {
        encoding,
        sheet: None,
        other_sheets: Vec::new(),
        separator: None,
    })
}

/// Numbers the lines from 1 and leaves out those with nothing but space.
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1u32..)
        .zip(text.split('\n'))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Collects the names of all lines in order of first appearance. Lines that cannot be read have none.
fn columns(text: &str) -> Result<BTreeMap<String, usize>, Refusal> {
    let mut columns = BTreeMap::new();
    for (number, line) in lines(text) {
        for (name, _) in object(line).map(|object| object.0).unwrap_or_default() {
            let next = columns.len();
            columns.entry(name).or_insert(next);
        }
        if columns.len() > limits::COLUMNS_MAX {
            return Err(Refusal::TooManyColumns {
                row: number,
                max: limits::COLUMNS_MAX,
            });
        }
    }
    Ok(columns)
}

/// The members of one object, in order, with the text of each value.
struct Object<'a>(Vec<(String, &'a RawValue)>);

fn object(line: &str) -> Result<Object<'_>, RowFault> {
    if line.len() > limits::LINE_SIZE_MAX {
        return Err(RowFault::TooLong);
    }
    let whole: &RawValue = serde_json::from_str(line).map_err(|_| RowFault::NotJson)?;
    if !whole.get().starts_with('{') {
        return Err(RowFault::NotAnObject);
    }
    let object: Object<'_> = serde_json::from_str(whole.get()).map_err(|_| RowFault::NotJson)?;
    let mut seen = BTreeSet::new();
    for (name, _) in &object.0 {
        if !seen.insert(name) {
            return Err(RowFault::DuplicateName(super::visible(name)));
        }
    }
    Ok(object)
}

/// Sorts the values of an object under the columns of the file.
fn cells(object: &Object<'_>, columns: &BTreeMap<String, usize>) -> Result<Vec<Cell>, RowFault> {
    let mut cells = vec![Cell::Empty; columns.len()];
    for (name, value) in &object.0 {
        if let Some(cell) = columns.get(name).and_then(|index| cells.get_mut(*index)) {
            *cell = value_cell(value).ok_or(RowFault::NotJson)?;
        }
    }
    Ok(cells)
}

/// Reads one value. `None` is text that is no Unicode, such as half a surrogate pair.
fn value_cell(value: &RawValue) -> Option<Cell> {
    let text = value.get();
    Some(match text.as_bytes().first()? {
        b'"' => match serde_json::from_str::<String>(text).ok()? {
            empty if empty.is_empty() => Cell::Empty,
            text => Cell::Text(text),
        },
        b't' => Cell::Bool(true),
        b'f' => Cell::Bool(false),
        b'n' => Cell::Empty,
        b'{' => Cell::Nested,
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                // A list in a list is never opened, so nesting costs no stack.
                if item.get().starts_with(['[', '{', 'n']) {
                    return Some(Cell::Nested);
                }
                match value_cell(item)? {
                    Cell::Text(text) => texts.push(text),
                    Cell::Bool(flag) => texts.push(flag.to_string()),
                    _ => {}
                }
            }
            Cell::List(texts)
        }
        _ => Cell::Text(text.to_owned()),
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        read(text.as_bytes(), &mut |row| {
            rows.push(row);
            Ok(())
        })
        .expect("readable");
        rows
    }

    #[test]
    fn numbers_keep_every_digit() {
        let read = rows("{\"id\":20260001001234567890,\"hours\":1.50}\n");
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(read[0].cells, [text("id"), text("hours")]);
        assert_eq!(read[1].cells, [text("20260001001234567890"), text("1.50")]);
    }

    #[test]
    fn names_of_later_lines_become_columns_of_all() {
        let read =
            rows("{\"a\":\"1\"}\n\n{\"b\":[\"x\",2],\"a\":null,\"c\":{\"d\":1}}\r\n{\"b\":true}");
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(read[0].cells.len(), 3);
        assert_eq!(read[1].cells, [text("1"), Cell::Empty, Cell::Empty]);
        let list = Cell::List(vec!["x".to_owned(), "2".to_owned()]);
        assert_eq!(
            (read[2].number, &read[2].cells),
            (3, &vec![Cell::Empty, list, Cell::Nested])
        );
        assert_eq!(read[3].cells, [Cell::Empty, Cell::Bool(true), Cell::Empty]);
    }

    #[test]
    fn a_bad_line_is_reported_and_the_others_are_read() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(limits::LINE_SIZE_MAX));
        let text = format!(
            "{{\"a\":1}}\n{{\"a\":\n[1]\n{{\"a\":1,\"a\":2}}\n{{\"a\":\"\\ud800\"}}\n{long}\n{{\"a\":1}} x\n{{\"a\":2}}"
        );
        let faults: Vec<(u32, Option<RowFault>)> = rows(&text)
            .into_iter()
            .skip(1)
            .map(|row| (row.number, row.fault))
            .collect();
        assert_eq!(
            faults,
            [
                (1, None),
                (2, Some(RowFault::NotJson)),
                (3, Some(RowFault::NotAnObject)),
                (4, Some(RowFault::DuplicateName("a".to_owned()))),
                (5, Some(RowFault::NotJson)),
                (6, Some(RowFault::TooLong)),
                (7, Some(RowFault::NotJson)),
                (8, None),
            ]
        );
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(rows(&text)[1].cells, [Cell::Nested]);
    }

    #[test]
    fn more_names_than_columns_allowed_are_refused() {
        let text: String = (0..300).map(|n| format!("{{\"c{n}\":1}}\n")).collect();
        let refused = read(text.as_bytes(), &mut |_| Ok(())).unwrap_err();
        assert!(
            matches!(refused, Refusal::TooManyColumns { row: 257, .. }),
            "{refused:?}"
        );
    }
}

//! Tables whose columns stand under each other also when Chinese characters, which are two columns wide, are in them.

use super::paint::{Paint, Tone};

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    heads: Vec<String>,
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

/// Columns between two cells.
const GAP: usize = 2;

impl Table {
    /// Begins a table with these headings.
    pub(crate) fn new(heads: impl IntoIterator<Item = (Side, String)>) -> Self {
        let (sides, heads) = heads.into_iter().unzip();
        Self {
            heads,
            sides,
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the headings are left out.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().take(self.heads.len()).collect());
    }

    /// Returns true while no row was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lays the table out, every line behind `indent` blanks and ended by a line feed.
    pub(crate) fn render(&self, indent: usize, paint: Paint) -> String {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| width(head)).collect();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                if let Some(widest) = widths.get_mut(at) {
                    *widest = (*widest).max(width(cell));
                }
            }
        }
        let heads: Vec<String> = self
            .heads
            .iter()
            .map(|head| paint.tint(Tone::Faint, head))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = " ".repeat(indent);
            for (at, cell) in row.iter().enumerate() {
                let room = widths.get(at).copied().unwrap_or_default();
                let side = self.sides.get(at).copied().unwrap_or(Side::Left);
                line.push_str(&pad(cell, room, side));
                line.push_str(&" ".repeat(GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns how many columns of a terminal a text takes; colours take none.
pub(crate) fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Fills a text up to `room` columns; a wider one stays as it is.
pub(crate) fn pad(text: &str, room: usize, side: Side) -> String {
    let blanks = " ".repeat(room.saturating_sub(width(text)));
    match side {
        Side::Left => format!("{text}{blanks}"),
        Side::Right => format!("{blanks}{text}"),
    }
}

/// Cuts a text to `room` columns; what was cut shows as three dots.
pub(crate) fn clip(text: &str, room: usize) -> String {
    console::truncate_str(text, room, "...").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_with_wide_characters() {
        let mut table = Table::new([
            (Side::Left, "unit".to_owned()),
            (Side::Right, "records".to_owned()),
            (Side::Left, "digest".to_owned()),
        ]);
        table.row([
            "\u{7b2c}\u{4e00}\u{4e2d}\u{5b66}".into(),
            "7".into(),
            "ab".into(),
        ]);
        table.row(["x".into(), "1200".into(), "cd".into()]);
        let shown = table.render(2, Paint::PLAIN);
        let expected = "  unit      records  digest\n  \
                        \u{7b2c}\u{4e00}\u{4e2d}\u{5b66}        7  ab\n  \
                        x            1200  cd\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_text_is_cut_by_columns_and_not_by_characters() {
        let name = "\u{7b2c}\u{4e00}\u{4e2d}\u{5b66}";
        assert_eq!(clip(name, 8), name);
        assert_eq!(clip(name, 7), "\u{7b2c}\u{4e00}...");
        assert_eq!(pad(name, 10, Side::Right), format!("  {name}"));
    }
}

//! Tables for people: aligned columns without borders, so that grep, awk and sort can read them too.

use unicode_width::UnicodeWidthStr;

use super::text;

/// A cell that is wider than this stands out of its column instead of widening it: one long name must not blow up all rows.
const WIDTH_MAX: usize = 80;

/// Between two columns.
const GAP: &str = "  ";

/// Rows below a line of headings. A column whose heading ends in `#` has numbers, aligned at the right.
pub(super) struct Table {
    columns: Vec<Column>,
    /// Each with a cell for each column.
    rows: Vec<Vec<String>>,
}

struct Column {
    heading: &'static str,
    is_number: bool,
    /// Of its widest cell, up to [`WIDTH_MAX`].
    width: usize,
}

impl Table {
    pub(super) fn new(headings: &[&'static str]) -> Table {
        let column = |heading: &&'static str| {
            let name = heading.trim_end_matches('#');
            Column { heading: name, is_number: heading.ends_with('#'), width: name.width() }
        };
        Table { columns: headings.iter().map(column).collect(), rows: Vec::new() }
    }

    /// An empty cell is shown as `-`, so that each row has the same number of words.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { text::one_line(&cell).into_owned() };
        let cells: Vec<String> = cells.into_iter().map(shown).collect();
        debug_assert_eq!(cells.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = Some(cell.width()).filter(|width| *width <= WIDTH_MAX).unwrap_or(0).max(column.width);
        }
        self.rows.push(cells);
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let headings = self.line(self.columns.iter().map(|column| column.heading));
        std::iter::once(headings).chain(self.rows.iter().map(|row| self.line(row.iter().map(String::as_str))))
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>) -> String {
        let mut line = String::new();
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let space = " ".repeat(column.width.saturating_sub(cell.width()));
            let (before, after) = if column.is_number { (&*space, "") } else { ("", &*space) };
            let gap = if at == 0 { "" } else { GAP };
            line.extend([gap, before, cell, after]);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_borders() {
        let mut table = Table::new(&["TOPIC", "PARTITIONS#", "STATE"]);
        table.row(["orders".to_owned(), "12".to_owned(), String::new()]);
        table.row(["a-long-name-of-a-topic".to_owned(), "3".to_owned(), "a\nb".to_owned()]);
        let lines: Vec<String> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "TOPIC                   PARTITIONS  STATE",
                "orders                          12  -",
                "a-long-name-of-a-topic           3  a\\nb",
            ]
        );
    }
    #[test]
    fn one_long_cell_does_not_widen_all_rows() {
        let mut table = Table::new(&["GROUP", "N#"]);
        table.row(["x".repeat(WIDTH_MAX + 1), "1".to_owned()]);
        table.row(["gr\u{fc}n \u{6f22}".to_owned(), "22".to_owned()]);
        table.row(["g".to_owned(), "3".to_owned()]);
        let lines: Vec<String> = table.lines().collect();
        let long = format!("{}   1", "x".repeat(WIDTH_MAX + 1));
        assert_eq!(lines, ["GROUP     N", &long, "gr\u{fc}n \u{6f22}  22", "g         3"]);
    }
}

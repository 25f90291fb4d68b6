//! Tables for people: aligned columns without borders, so that grep, awk and sort can read them too.

use comfy_table::{CellAlignment, Table as Comfy, presets::NOTHING};

use super::text;

/// Rows below a line of headings. A column whose heading ends in `#` has numbers, aligned at the right.
pub(super) struct Table {
    table: Comfy,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Table {
        let mut table = Comfy::new();
        table.load_preset(NOTHING);
        table.set_header(headings.iter().map(|heading| heading.trim_end_matches('#')));
        for (heading, column) in headings.iter().zip(table.column_iter_mut()) {
            column.set_padding((0, 2));
            if heading.ends_with('#') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Table { table }
    }

    /// An empty cell is shown as `-`, so that each row has the same number of words.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { text::one_line(&cell).into_owned() };
        self.table.add_row(cells.into_iter().map(shown));
    }

    pub(super) fn has_rows(&self) -> bool {
        self.table.row_iter().next().is_some()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.table.lines().map(|line| line.trim_end().to_owned())
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
}

//! Holds what came out against the CSV files, by means other than those under test: the rows are read as text, numbers
//! as doubles printed to four decimals.

use std::collections::VecDeque;
use std::path::Path;

use loadgen::ticks::Row;

/// The columns of the three files that are sent, or that come back by computation; `docs/replay.md` names the rest.
const CARRIED_MIN: [(&str, usize); 3] = [("entrust", 8), ("trade", 9), ("snapshot", 68)];

/// One file: its rows in order, as column and text.
pub(crate) struct Recording {
    rows: VecDeque<Vec<(String, String)>>,
    kind: usize,
}

/// A recorded day, read as text.
pub(crate) struct Day {
    files: [Recording; 3],
    /// Rows compared so far, for each file.
    pub(crate) compared: [u64; 3],
}

impl Day {
    pub(crate) fn read(folder: &Path) -> Self {
        let files = [0, 1, 2].map(|kind| {
            let path = folder.join(CARRIED_MIN[kind].0).with_extension("csv");
            let mut reader =
                csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
            let rows = reader
                .records()
                .map(|row| header.iter().cloned().zip(row.unwrap().iter().map(str::to_string)).collect())
                .collect();
            Recording { rows, kind }
        });
        Self { files, compared: [0; 3] }
    }

    #[allow(dead_code, reason = "not every test that reads recordings asks")]
    /// The numbers by which the exchange orders the rows of `entrust.csv` (0) and `trade.csv` (1), sorted.
    pub(crate) fn sequence(&self, column: &str) -> Vec<(i64, usize)> {
        let numbers = |file: &Recording| -> Vec<_> {
            let number = |row: &Vec<(String, String)>| text(row, column).parse().unwrap();
            file.rows.iter().map(|row| (number(row), file.kind)).collect()
        };
        let mut all = [numbers(&self.files[0]), numbers(&self.files[1])].concat();
        all.sort_unstable();
        all
    }

    /// The next row of the file that `row` is from has the same values; returns which file that is.
    pub(crate) fn expect(&mut self, row: &Row) -> usize {
        let kind = kind(row);
        let wanted = self.files[kind].rows.pop_front().expect("no more rows than the file has");
        let columns = row.columns();
        assert!(columns.len() >= CARRIED_MIN[kind].1, "{} columns", columns.len());
        if let Some((column, value)) = difference(&wanted, &columns) {
            panic!("{column}: recorded {:?}, came out {value:?}, {wanted:?}", text(&wanted, column));
        }
        self.compared[kind] += 1;
        kind
    }

    /// Whether the next row of the file that `row` is from has the same values.
    #[allow(dead_code, reason = "not every test that reads recordings asks")]
    pub(crate) fn next_is(&self, row: &Row) -> bool {
        let next = self.files[kind(row)].rows.front();
        next.is_some_and(|next| difference(next, &row.columns()).is_none())
    }

    /// Rows that nothing came out for.
    pub(crate) fn left(&self) -> [usize; 3] {
        [0, 1, 2].map(|kind| self.files[kind].rows.len())
    }
}

fn kind(row: &Row) -> usize {
    match row {
        Row::SseEntrust(_) | Row::SzseOrder(_) => 0,
        Row::SseTrade(_) | Row::SzseTrade(_) => 1,
        Row::Snapshot(_) => 2,
    }
}

/// The first column whose value is another.
fn difference<'a>(
    wanted: &[(String, String)],
    columns: &'a [(&'static str, String)],
) -> Option<(&'static str, &'a str)> {
    let differs = columns.iter().find(|(column, value)| !same(column, text(wanted, column), value));
    differs.map(|(column, value)| (*column, value.as_str()))
}

fn text<'a>(row: &'a [(String, String)], column: &str) -> &'a str {
    let found = row.iter().find(|(name, _)| name == column);
    &found.unwrap_or_else(|| panic!("no column {column}")).1
}

fn same(column: &str, recorded: &str, value: &str) -> bool {
    if recorded == value {
        return true;
    }
    if matches!(column, "Side" | "OrdType" | "ExecType") {
        return recorded.parse() == Ok(value.as_bytes()[0]);
    }
    let digits = |text: &str| text.parse().map(|double: f64| format!("{double:.4}"));
    !matches!(column, "SecurityID") && digits(recorded).is_ok() && digits(recorded) == digits(value)
}

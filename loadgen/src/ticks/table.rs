//! One CSV file, row by row, its columns found by name.

use std::fs::File;
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use wire::szse::{Amount, MdEntryPx, Price, Qty, SecurityIdSource, Text};

use super::decimal::{self, DecimalError};
use super::time::TimeOfDay;

/// Why a row is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A value does not fit its field.
    #[error("{column}: {error}")]
    Decimal {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        error: DecimalError,
    },
    /// A value that has to be one of a few, or of another form.
    #[error("{column}: not {wanted}")]
    Value {
        /// The column.
        column: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// More or fewer fields than the header, or not UTF-8 quoting: what the CSV reader says.
    #[error("{0}")]
    Csv(String),
    /// The row does not come after the one before it in its channel.
    #[error("number {number} of channel {channel} after {last}")]
    Order {
        /// The channel.
        channel: u16,
        /// BizIndex or ApplSeqNum of the row.
        number: i64,
        /// The one before it.
        last: i64,
    },
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file system, or the CSV reader in the header.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("no column {0}")]
    MissingColumn(&'static str),
}

/// A row type: the columns it is made of, in the order in which [`Record::parse`] takes them.
pub(super) trait Record: Sized {
    const COLUMNS: &'static [&'static str];

    fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason>;
}

/// The wanted fields of one row, taken one after the other.
pub(super) struct Fields<'a> {
    row: &'a ByteRecord,
    places: &'a [usize],
    columns: &'static [&'static str],
    next: usize,
}

impl<'a> Fields<'a> {
    /// The next field and the name of its column.
    pub(super) fn text(&mut self) -> (&'static str, &'a [u8]) {
        let at = self.next;
        self.next += 1;
        (self.columns[at], &self.row[self.places[at]])
    }

    fn decimal(&mut self, decimals: u32) -> Result<i64, Reason> {
        let (column, text) = self.text();
        decimal::parse(text, decimals).map_err(|error| Reason::Decimal { column, error })
    }

    pub(super) fn price(&mut self) -> Result<Price, Reason> {
        self.decimal(Price::DECIMALS).map(Price::from_raw)
    }

    pub(super) fn qty(&mut self) -> Result<Qty, Reason> {
        self.decimal(Qty::DECIMALS).map(Qty::from_raw)
    }

    pub(super) fn amount(&mut self) -> Result<Amount, Reason> {
        self.decimal(Amount::DECIMALS).map(Amount::from_raw)
    }

    /// `None` where the field is empty.
    pub(super) fn entry_px(&mut self) -> Result<Option<MdEntryPx>, Reason> {
        self.optional(MdEntryPx::DECIMALS).map(|raw| raw.map(MdEntryPx::from_raw))
    }

    /// `None` where the field is empty.
    pub(super) fn optional_qty(&mut self) -> Result<Option<Qty>, Reason> {
        self.optional(Qty::DECIMALS).map(|raw| raw.map(Qty::from_raw))
    }

    /// `None` where the field is empty.
    pub(super) fn optional_whole(&mut self) -> Result<Option<i64>, Reason> {
        self.optional(0)
    }

    fn optional(&mut self, decimals: u32) -> Result<Option<i64>, Reason> {
        if self.row[self.places[self.next]].is_empty() {
            self.next += 1;
            return Ok(None);
        }
        self.decimal(decimals).map(Some)
    }

    pub(super) fn whole(&mut self) -> Result<i64, Reason> {
        self.decimal(0)
    }

    /// A number that names something: from 1.
    pub(super) fn number(&mut self) -> Result<i64, Reason> {
        let column = self.columns[self.next];
        let number = self.whole()?;
        if number >= 1 { Ok(number) } else { Err(Reason::Value { column, wanted: "a number from 1" }) }
    }

    pub(super) fn source(&mut self, wanted: SecurityIdSource) -> Result<SecurityIdSource, Reason> {
        let column = self.columns[self.next];
        let source = self.fixed()?;
        if source == wanted {
            Ok(source)
        } else {
            Err(Reason::Value { column, wanted: "that of the market" })
        }
    }

    pub(super) fn channel(&mut self) -> Result<u16, Reason> {
        let column = self.columns[self.next];
        u16::try_from(self.whole()?)
            .map_err(|_| Reason::Value { column, wanted: "a channel from 0 to 65535" })
    }

    pub(super) fn time(&mut self) -> Result<TimeOfDay, Reason> {
        let (column, text) = self.text();
        TimeOfDay::parse(text).ok_or(Reason::Value { column, wanted: "a time HH:MM:SS.sss" })
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Result<Text<N>, Reason> {
        let (column, text) = self.text();
        Text::new(text).map_err(|_| Reason::Value { column, wanted: "ASCII that fits its field" })
    }

    /// A code of one character, as itself or as its number: `1` or `49`.
    pub(super) fn code(&mut self, known: &'static [u8], wanted: &'static str) -> Result<u8, Reason> {
        let (column, text) = self.text();
        let code = match *text {
            [code] => Some(code),
            [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
            _ => None,
        };
        code.filter(|code| known.contains(code)).ok_or(Reason::Value { column, wanted })
    }
}

/// A row, or why it is none, and the line it stands in.
pub(super) struct Line<R> {
    pub(super) number: u64,
    pub(super) row: Result<R, Reason>,
}

/// A file of rows of one type.
pub(super) struct Table<R> {
    reader: Reader<File>,
    places: Vec<usize>,
    record: ByteRecord,
    row: std::marker::PhantomData<R>,
}

impl<R: Record> Table<R> {
    pub(super) fn open(path: &Path) -> Result<Self, TableError> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_path(path)?;
        let places = locate(reader.byte_headers()?, R::COLUMNS)?;
        Ok(Self { reader, places, record: ByteRecord::new(), row: std::marker::PhantomData })
    }

    pub(super) fn next(&mut self) -> Option<Line<R>> {
        let read = self.reader.read_byte_record(&mut self.record);
        if matches!(read, Ok(false)) {
            return None;
        }
        let record_at = self.record.position().map_or(0, csv::Position::line);
        let row = match read {
            Ok(_) => R::parse(&mut Fields {
                row: &self.record,
                places: &self.places,
                columns: R::COLUMNS,
                next: 0,
            }),
            Err(error) => {
                return Some(Line { number: error_line(&error), row: Err(Reason::Csv(said(&error))) });
            }
        };
        Some(Line { number: record_at, row })
    }
}

fn error_line(error: &csv::Error) -> u64 {
    error.position().map_or(0, csv::Position::line)
}

/// What is wrong, without the position, which stands before it already.
fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the header has {expected_len}")
        }
        _ => error.to_string(),
    }
}

fn locate(header: &ByteRecord, columns: &'static [&'static str]) -> Result<Vec<usize>, TableError> {
    let place = |&name: &&'static str| {
        header.iter().position(|found| found == name.as_bytes()).ok_or(TableError::MissingColumn(name))
    };
    columns.iter().map(place).collect()
}

//! The day's reference data: a CSV file with one line for each security.
//!
//! ```csv
//! security_id,source,board,schedule,prev_close,flags
//! 000001,102,main,szse,10.00,margin-buy short-sale
//! 600000,101,main,sse,8.31,st
//! ```
//! Columns may stand in any order and those that have a default may be left out.

use serde::Deserialize;
use std::collections::HashSet;
use std::io::Read;
use wire::szse::{Price, SecurityId, SecurityIdSource};

/// Securities that a file may have: the key of a bound that keeps a wrong file from taking the memory.
pub const SECURITIES_MAX: usize = 100_000;

/// A security as the file has it. Empty is the default of what has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// SecurityID.
    security_id: String,
    /// SecurityIDSource: `102` Shenzhen, `101` Shanghai.
    source: String,
    /// A board of the rules.
    board: String,
    /// A schedule of the rules.
    schedule: String,
    /// Previous close.
    prev_close: String,
    /// Words apart by spaces: `st`, `suspended`, `margin-buy`, `short-sale`.
    #[serde(default)]
    flags: String,
    /// Which trading day of its listing it is, from 1; empty when that is long ago.
    #[serde(default)]
    listing_day: Option<u32>,
    /// Tick; empty: the board's.
    #[serde(default)]
    tick: String,
    /// Upper price limit; empty: as the rules have it.
    #[serde(default)]
    limit_up: String,
    /// Lower price limit; empty: as the rules have it.
    #[serde(default)]
    limit_down: String,
}

/// A security.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// SecurityID.
    pub id: SecurityId,
    /// SecurityIDSource.
    pub source: SecurityIdSource,
    /// Its board's name.
    pub board: String,
    /// Its schedule's name.
    pub schedule: String,
    /// Previous close.
    pub prev_close: Price,
    /// Special treatment: another price limit.
    pub st: bool,
    /// Not traded today.
    pub suspended: bool,
    /// May be bought on margin.
    pub margin_buy: bool,
    /// May be sold short.
    pub short_sale: bool,
    /// Trading day of its listing, from 1.
    pub listing_day: Option<u32>,
    /// Tick, where it is not the board's.
    pub tick: Option<Price>,
    /// Upper limit, where it is not by the rules.
    pub limit_up: Option<Price>,
    /// Lower limit, where it is not by the rules.
    pub limit_down: Option<Price>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It cannot be read, or is no CSV with these columns.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A value makes no sense.
    #[error("line {line}: {column}: {problem}")]
    Value {
        /// Line of the file, from 1.
        line: u64,
        /// Column.
        column: &'static str,
        /// What was expected.
        problem: String,
    },
    /// More than [`SECURITIES_MAX`].
    #[error("more than {SECURITIES_MAX} securities")]
    TooMany,
    /// None at all.
    #[error("no security")]
    Empty,
}

/// Reads a file.
///
/// # Errors
/// The first thing that is wrong with it, with its line.
pub fn read(from: impl Read) -> Result<Vec<Reference>, ReferenceError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(from);
    let headers = reader.headers()?.clone();
    let (mut record, mut all, mut seen) = (csv::StringRecord::new(), Vec::new(), HashSet::new());
    while reader.read_record(&mut record)? {
        if all.len() == SECURITIES_MAX {
            return Err(ReferenceError::TooMany);
        }
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record.deserialize(Some(&headers))?;
        let security =
            row.checked().map_err(|(column, problem)| ReferenceError::Value { line, column, problem })?;
        if !seen.insert((security.id, security.source)) {
            let problem = "there is one of that name and source above".to_owned();
            return Err(ReferenceError::Value { line, column: "security_id", problem });
        }
        all.push(security);
    }
    if all.is_empty() { Err(ReferenceError::Empty) } else { Ok(all) }
}

type Wrong = (&'static str, String);

impl Row {
    fn checked(self) -> Result<Reference, Wrong> {
        let id: SecurityId = self.security_id.parse().map_err(|error| wrong("security_id", error))?;
        let source: SecurityIdSource = self.source.parse().map_err(|error| wrong("source", error))?;
        if id.is_blank() || source.is_blank() {
            return Err(wrong("security_id", "expected a name and a source"));
        }
        let mut security = Reference {
            id,
            source,
            board: self.board,
            schedule: self.schedule,
            prev_close: price("prev_close", &self.prev_close)?.ok_or(wrong("prev_close", EXPECTED_PRICE))?,
            st: false,
            suspended: false,
            margin_buy: false,
            short_sale: false,
            listing_day: self.listing_day,
            tick: price("tick", &self.tick)?,
            limit_up: price("limit_up", &self.limit_up)?,
            limit_down: price("limit_down", &self.limit_down)?,
        };
        if security.listing_day == Some(0) {
            return Err(wrong("listing_day", "expected 1 or more"));
        }
        if let (Some(up), Some(down)) = (security.limit_up, security.limit_down)
            && up < down
        {
            return Err(wrong("limit_up", "expected at least limit_down"));
        }
        for flag in self.flags.split_ascii_whitespace() {
            match flag {
                "st" => security.st = true,
                "suspended" => security.suspended = true,
                "margin-buy" => security.margin_buy = true,
                "short-sale" => security.short_sale = true,
                _ => {
                    return Err(wrong(
                        "flags",
                        format!("`{flag}`: expected st, suspended, margin-buy, short-sale"),
                    ));
                }
            }
        }
        Ok(security)
    }
}

const EXPECTED_PRICE: &str = "expected a price above 0";

fn wrong(column: &'static str, problem: impl ToString) -> Wrong {
    (column, problem.to_string())
}

fn price(column: &'static str, text: &str) -> Result<Option<Price>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    let price: Price = text.parse().map_err(|error| wrong(column, error))?;
    if price.raw() > 0 { Ok(Some(price)) } else { Err(wrong(column, EXPECTED_PRICE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "security_id,source,board,schedule,prev_close,flags,listing_day,tick,limit_up,limit_down\n";

    fn of(lines: &str) -> Result<Vec<Reference>, String> {
        read(format!("{HEAD}{lines}").as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_a_security() {
        let all =
            of("# a comment\n000001, 102, main, szse, 10.00, st margin-buy, 3, 0.001, 11, 9\n").unwrap();
        let [one] = &all[..] else { panic!("{all:?}") };
        assert_eq!((one.id, one.source), (SecurityId::literal("000001"), SecurityIdSource::literal("102")));
        assert_eq!((one.board.as_str(), one.schedule.as_str()), ("main", "szse"));
        assert_eq!((one.prev_close, one.tick), (Price::whole(10), Some(Price::from_raw(10))));
        assert_eq!((one.limit_up, one.limit_down), (Some(Price::whole(11)), Some(Price::whole(9))));
        assert_eq!(
            (one.st, one.suspended, one.margin_buy, one.short_sale, one.listing_day),
            (true, false, true, false, Some(3))
        );
    }

    #[test]
    fn columns_with_a_default_may_be_left_out_and_others_not() {
        let all =
            read(&b"source,prev_close,security_id,board,schedule\n101,8.31,600000,main,sse\n"[..]).unwrap();
        assert_eq!((all[0].tick, all[0].limit_up, all[0].listing_day, all[0].st), (None, None, None, false));
        let error = read(&b"security_id,source,board\n600000,101,main\n"[..]).unwrap_err().to_string();
        assert!(error.contains("missing field `schedule`"), "{error}");
        let error = read(&b"security_id,colour\n600000,red\n"[..]).unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = "000001,102,main,szse,10.00,,,,,\n";
        let error = |line: &str| of(&format!("{good}{line}")).unwrap_err();
        assert_eq!(error(good), "line 3: security_id: there is one of that name and source above");
        assert_eq!(error("000002,102,main,szse,0,,,,,\n"), "line 3: prev_close: expected a price above 0");
        assert_eq!(error("000002,102,main,szse,,,,,,\n"), "line 3: prev_close: expected a price above 0");
        assert!(error("000002,102,main,szse,1,new,,,,\n").starts_with("line 3: flags: `new`: expected st"));
        assert_eq!(error("000002,102,main,szse,1,,0,,,\n"), "line 3: listing_day: expected 1 or more");
        assert_eq!(
            error("000002,102,main,szse,1,,,,1,2\n"),
            "line 3: limit_up: expected at least limit_down"
        );
        assert_eq!(error(",102,main,szse,1,,,,,\n"), "line 3: security_id: expected a name and a source");
        assert!(error("000000002,102,main,szse,1,,,,,\n").starts_with("line 3: security_id: "));
        assert!(error("000002,102\n").contains("line: 3"), "{}", error("000002,102\n"));
        assert_eq!(of("").unwrap_err(), "no security");
    }
}

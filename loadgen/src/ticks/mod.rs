//! Recorded days as frames, and frames as recorded rows.
//!
//! A day is a folder with `entrust.csv`, `trade.csv` and `snapshot.csv` in the column set of Shanghai ([`sse`]) or of
//! Shenzhen ([`szse`]); `docs/replay.md` has every column and where it goes. [`Day`] streams it in the order of the
//! exchange; what does not fit is told by line and reason ([`BadRow`]) and left out.

pub mod decimal;
pub mod sse;
pub mod szse;

mod column;
mod day;
mod level;
mod row;
mod table;

pub use column::{Column, Reason};
pub use day::{Day, DayError, Market, Options, Tick};
pub use level::{LEVELS, Level};
pub use row::Row;
pub use table::BadRow;

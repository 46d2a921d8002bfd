//! Recorded days as frames, and frames as recorded rows.
//!
//! A day is a folder with `entrust.csv`, `trade.csv` and `snapshot.csv` in the column set of Shanghai ([`sse`]) or of
//! Shenzhen ([`szse`]); `docs/replay.md` has every column and where it goes. [`Day`] streams it in the order of the
//! exchange; what does not fit is told by line and reason ([`BadRow`]) and left out.

pub mod decimal;
pub mod snapshot;
pub mod sse;
pub mod szse;

mod day;
mod order;
mod row;
mod table;
mod time;

pub use day::{BadRow, Counts, Day, DayError, Market, Tick};
pub use row::{Row, RowError};
pub use table::{Reason, TableError};
pub use time::TimeOfDay;

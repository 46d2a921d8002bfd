//! FIX 4.4: bytes in, events out.
//!
//! What it is: the framing of tag=value messages ([`codec`]), the tables of what is accepted and the checks that follow
//! from them ([`dictionary`]), prices, quantities and times without a float. What it is not: it opens no socket, reads
//! no clock and starts no thread.
//!
//! Where to start: [`codec::decode`] for framing, [`dictionary::check`] for what is accepted.

pub mod codec;
mod decimal;
pub mod dictionary;
pub mod store;
pub mod tag;
mod time;

pub use decimal::{DecimalError, Price, Qty};
pub use time::{Now, UtcTimestamp};

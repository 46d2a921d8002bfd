//! Traders: which orders they send and when, and what became of each.

pub mod account;
mod fix;
pub mod floor;
pub mod plan;
pub mod trader;

//! Plays exchange and central-trading core.

pub mod book;
pub mod core;

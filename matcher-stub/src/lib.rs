//! Plays exchange and central-trading core.

pub mod book;
pub mod core;
pub mod publisher;
mod session;

pub use session::{Admission, Client, PortState, SessionCounts, UnknownPortState};

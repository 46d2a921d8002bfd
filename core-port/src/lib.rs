//! The ports of a trading core, as gateways meet them: SZSE TGW binary, sessions, and reports from any index on.
//!
//! [`Ports`] is the part that any core has: it logs gateways on, answers their ReportSynchronization from a log of reports
//! ([`flow`]), and hands their requests over. `matcher-stub` is a core behind it.

mod ports;
pub mod session;

pub use ports::{Line, Ports, Request, Sender, Unavailable};

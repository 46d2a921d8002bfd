//! The ports of a trading core, as gateways meet them: SZSE TGW binary, sessions, and reports from any index on.
//!
//! [`Ports`] is the part that any core has: it logs gateways on, answers their ReportSynchronization from a log of reports
//! ([`flow`]), and hands their requests over. `matcher-stub` is a core behind it.
//!
//! An [`Adapter`](adapter::Adapter) is a whole core made of a counter that has a protocol of its own: what an integrator writes is
//! that protocol, an [`adapter::Counter`]. The crate `broker-example` has one, and docs/integration.md the way there.

pub mod adapter;
mod ports;
pub mod session;

pub use ports::{Line, Ports, Request, Sender, Unavailable};

//! A core made of a broker's own counter: gateways log on to it as to any core, and what they ask goes to the counter.
//!
//! An [`Adapter`] is a server with one thread. It does what every such bridge must do and nothing that is the counter's own:
//! gateways' sessions on one line or two; each request once, by (AccountID, ClOrdID); PartitionNo and ReportIndex, and reports
//! again from any index on; a journal, so that the adapter may be killed at any moment; the connection to the counter, what it
//! has not got, and what it says twice. How the counter is spoken to is a [`Counter`], which the integrator writes.
//!
//! # What is promised
//! - Nobody is told and nothing is sent before the journal has it. A day is the inputs in its journal: an adapter that starts
//!   again makes the same reports with the same numbers of them.
//! - A request reaches the counter once, an event reaches the gateways once, whatever ends in between, if the counter keeps its
//!   side ([`Counter`] says which).
//! - An order that the counter has not got within `send_within_ms` is rejected, and not sent any more.
//! - While the counter is not there, or the journal cannot be written, requests are refused at once by a BusinessReject: they
//!   exist nowhere, and may be sent again. What is known is never refused so: a gateway that sends it again waits for its report.
//!
//! Start at `app.rs`, which has the two walks; `desk.rs` is what an order is.

mod app;
mod config;
mod counter;
mod desk;
mod input;
mod inputs;
mod metrics;
mod server;

pub use config::{Config, Counter as CounterConfig, Durability, GatewayConfig, Journal, Limits};
pub use counter::{Counter, CounterError, Event, Heard};
pub use input::InputError;
pub use metrics::Metrics;
pub use server::{Adapter, BindError};

/// A segment of the log of reports, bytes.
const SEGMENT_BYTES: usize = 1 << 20;

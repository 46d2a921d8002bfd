//! What is accepted: fields, their types and values, and which of them a message may or must have. These tables are
//! the one source: [`check`] reads them, `docs/fix/TONGDAO-FIX44.xml` is written from them ([`xml`]), for integrators to
//! load into their engine, and a test holds the two together.
//!
//! Strict on purpose: a standard field that is not in the tables is refused, for an order whose condition was ignored is
//! worse than one refused. User-defined tags ([`tag::is_user_defined`]) are let through unread.

mod check;
mod fields;
mod messages;
mod xml;

pub use check::{Fault, RejectReason, check};
pub use fields::{FIELDS, FieldDef, Kind, field};
pub use messages::{HEADER, MESSAGES, MessageDef, is_fix44_type, message};
pub use xml::xml;

#[cfg(doc)]
use crate::tag;

#[cfg(test)]
mod tests;

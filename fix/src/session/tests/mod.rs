//! Scenarios, one line a step, in the order in which they happen:
//!
//! - `> 35=…` the peer sends this; version, length, parties, SendingTime and checksum are added unless they are given
//! - `raw …` the peer sends these bytes
//! - `< 35=…` we send this; those same fields are left out, but for PossDup's OrigSendingTime
//! - `app …` the message of this ClOrdID is handed on
//! - `send …` our application sends a report with this ExecID
//! - `wait …` milliseconds pass
//! - `logged out …`, `error …` the session is over; what was said is compared
//! - `accept`, `connect`, `admit`, `refuse …`, `log out …`, `resume`, `close` calls of ours

mod harness;
mod limits;
mod pair;
mod scenarios;

use harness::Play;

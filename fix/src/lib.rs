//! FIX 4.4, both ends: bytes in, events out.
//!
//! What it is: framing of tag=value messages ([`codec`]), the tables of what is accepted ([`dictionary`]), the messages
//! of orders, typed ([`message`]), the session of acceptor and initiator ([`session`]) and what it must remember
//! ([`store`]). Prices, quantities and times are integers; nothing on the way of an order allocates.
//! What it is not: it opens no socket, reads no clock, starts no thread, and the file of [`store::FileStore`] is the
//! only I/O. It knows no order book and no account.
//!
//! Where to start: [`session::Session`], then [`dictionary`] for what is accepted. `docs/fix/` has the data dictionary
//! for integrators and the table of what was compared with the session test cases.
//!
//! # One end over a socket
//!
//! ```
//! use fix::Now;
//! use fix::message::{BusinessMessageReject, BusinessRejectReason};
//! use fix::session::{Credentials, Event, Session, SessionError};
//! use fix::store::Store;
//!
//! /// What was read of a connection: returns how much of it is done with, as a shard's application does.
//! fn on_data<S: Store>(
//!     session: &mut Session<S>,
//!     client: &Credentials,
//!     buf: &[u8],
//!     now: Now,
//!     out: &mut Vec<u8>,
//! ) -> Result<usize, SessionError> {
//!     let mut done = 0;
//!     while let Some(received) = session.receive(&buf[done..], now, out)? {
//!         done += received.consumed;
//!         match received.event {
//!             Event::LogonRequest(request) if request.is_by(client) => session.accept_logon(now, out)?,
//!             Event::LogonRequest(_) => session.refuse_logon("Username or Password is wrong", now, out)?,
//!             Event::Application { message, number, .. } => {
//!                 // An order: NewOrderSingle::parse(&message), then check(), then the core. Here: nobody is behind.
//!                 let answer = BusinessMessageReject {
//!                     ref_seq_num: number,
//!                     ref_msg_type: message.msg_type,
//!                     business_reject_ref_id: message.field(fix::tag::CL_ORD_ID),
//!                     business_reject_reason: BusinessRejectReason::ApplicationNotAvailable,
//!                     text: None,
//!                 };
//!                 session.send(&answer, now, out)?;
//!             }
//!             Event::LoggedOn | Event::Rejected(_) | Event::Handled(_) => {}
//!             Event::LoggedOut { .. } => return Err(SessionError::Closed),
//!         }
//!     }
//!     Ok(done)
//! }
//! ```
//!
//! # In the gateway's loop
//!
//! One session for each (SenderCompID, TargetCompID), held by the thread that owns the connections; no lock.
//!
//! - `on_open`: note a deadline for the first message.
//! - `on_data`, no session yet: [`session::identify`]; take the session of that name; if it is connected, close the new
//!   connection; else [`session::Session::accept`] and hand it the same bytes. Then as above, with
//!   `cx.send(id, |out| …)` around the call, so that answers are written behind the connection's private bytes.
//! - A report from the core's flow: find the session by account, `cx.send(id, |out| session.send(&report, now, out))`.
//!   Without a connection give it an empty buffer: it is kept, and the client asks for it after its logon.
//! - `on_turn_end`: [`session::Session::commit`] of every session that was touched, before the loop writes. One write
//!   to the file a session and turn.
//! - `on_drained`, `on_tick`: [`session::Session::resume`] where [`session::Session::has_backlog`]; `on_tick` or
//!   `wake_at`: [`session::Session::on_timeout`].
//! - `on_close`: [`session::Session::disconnected`].
//!
//! # Why own code
//!
//! The crates that exist, looked at in November 2026: `quickfix` binds the C++ engine, which brings its own threads,
//! sockets and a map of strings for each message; `hotfix` is an initiator only and lives on tokio, as
//! `ironfix-engine` does, whose reactor owns the connection and is of this year; `fefix` and its fork `rustyfix` have
//! codecs and the beginnings of a session, and rest. None has a session that a loop of one's own can drive with bytes
//! and a time, which is what the gateway needs and what makes every rule testable without a socket or a sleep.

pub mod codec;
mod decimal;
pub mod dictionary;
pub mod message;
pub mod session;
pub mod store;
pub mod tag;
mod time;

pub use decimal::{DecimalError, Price, Qty};
pub use time::{Now, UtcTimestamp};

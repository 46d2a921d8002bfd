//! The binary protocols of the Shenzhen exchange: trading (TGW) and market data (MDGW), and [`ext`], our extension
//! to the latter. Built from the public specifications (trading 1.29, market data 1.17), not exchange-certified;
//! `docs/protocol-szse.md` has every table and every doubt.
//!
//! A message is a packed struct of alignment 1 whose memory layout is its wire layout: a reference into the receive
//! buffer is the view ([`Frame::view`]), a value is the builder ([`frame::encode`]). Messages with repeating groups
//! are views over the body ([`Frame::group`]) and have an `encode` of their own.
//!
//! ```
//! use wire::szse::{Heartbeat, frame};
//!
//! let mut out = Vec::new();
//! frame::encode(&Heartbeat, &mut out);
//! let frame = frame::decode(&out, frame::BODY_LEN_MAX)?.expect("the frame is whole");
//! assert_eq!(frame.bytes, [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3]);
//! frame.view::<Heartbeat>()?;
//! # Ok::<(), wire::szse::DecodeError>(())
//! ```

pub mod code;
pub mod ext;
pub mod frame;
pub mod market;
pub mod session;
pub mod trading;

mod admin;
mod decimal;
mod group;
mod message;
mod snapshot;
mod text;
mod timestamp;

#[cfg(test)]
mod layout_tests;

pub use admin::{Heartbeat, Logon, Logout, Password};
pub use decimal::{Amount, DecimalError, MdEntryPx, Price, Qty};
pub use frame::{DecodeError, Frame};
pub use group::{EncodeError, GroupMessage};
pub use message::Message;
pub use text::{Text, TextError};
pub use timestamp::Timestamp;
pub use zerocopy::big_endian::{I32, I64, U16, U32};

/// SecurityID: the six digits of the security, padded to eight.
pub type SecurityId = Text<8>;
/// SecurityIDSource: the exchange the identifier belongs to, see [`code::SOURCE_SHENZHEN`].
pub type SecurityIdSource = Text<4>;

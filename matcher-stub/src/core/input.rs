//! Hot path: what drives the core, as bytes. A day is its inputs in order: the same ones make the same core and the same
//! numbered reports and market data ([`Core::apply`]), which is what a journal of them is for.
//!
//! An input is `kind u8 | desk u8 | time u64 | body`, big-endian, with the time in nanoseconds since 1970 and the body of
//! the message as it came. Snapshots and heartbeats are no inputs: they carry no number and change nothing.

use super::{Core, DeskNo, Now, Outlet};
use core_port::Request;
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Frame, Message};

/// Something that changes the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// An order came in at a desk.
    Order(DeskNo, &'a NewOrder),
    /// A cancel came in at a desk.
    Cancel(DeskNo, &'a OrderCancelRequest),
}

/// Why bytes are no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It ends within an input.
    #[error("ends within an input")]
    Short,
    /// The kind is none that this core knows.
    #[error("input of unknown kind {0}")]
    Kind(u8),
    /// The desk is none of this core's.
    #[error("input of unknown desk {0}")]
    Desk(DeskNo),
}

const KIND_ORDER: u8 = 1;
const KIND_CANCEL: u8 = 2;
/// Bytes before the body.
const HEAD_LEN: usize = 10;

/// Most bytes of one input.
pub const INPUT_LEN_MAX: usize = HEAD_LEN + size_of::<NewOrder>();

impl<'a> Input<'a> {
    /// A request that came in at a desk.
    pub fn new(desk: DeskNo, request: Request<'a>) -> Self {
        match request {
            Request::Order(order) => Self::Order(desk, order),
            Request::Cancel(cancel) => Self::Cancel(desk, cancel),
        }
    }

    /// Without the desk.
    pub fn request(self) -> Request<'a> {
        match self {
            Self::Order(_, order) => Request::Order(order),
            Self::Cancel(_, cancel) => Request::Cancel(cancel),
        }
    }

    /// A message of a desk as an input; `None` when it is no request, or not of its length.
    pub fn of(desk: DeskNo, frame: Frame<'a>) -> Option<Self> {
        match frame.msg_type {
            NewOrder::MSG_TYPE => frame.view().ok().map(|order| Self::Order(desk, order)),
            OrderCancelRequest::MSG_TYPE => frame.view().ok().map(|cancel| Self::Cancel(desk, cancel)),
            _ => None,
        }
    }

    /// Appends the input as it came at a time.
    #[inline]
    pub fn encode(&self, now: Now, out: &mut Vec<u8>) {
        let (kind, desk, body) = match self {
            Self::Order(desk, order) => (KIND_ORDER, *desk, bytes_of(*order)),
            Self::Cancel(desk, cancel) => (KIND_CANCEL, *desk, bytes_of(*cancel)),
        };
        out.extend_from_slice(&[kind, desk]);
        out.extend_from_slice(&now.unix_ns.to_be_bytes());
        out.extend_from_slice(body);
    }

    /// Takes the first input off some bytes; `None` at their end.
    ///
    /// # Errors
    /// [`InputError`]; the bytes are then as they were.
    #[inline]
    pub fn decode(bytes: &mut &'a [u8]) -> Result<Option<(Now, Self)>, InputError> {
        let Some((&kind, _)) = bytes.split_first() else { return Ok(None) };
        let (msg_type, body_len) = match kind {
            KIND_ORDER => (NewOrder::MSG_TYPE, size_of::<NewOrder>()),
            KIND_CANCEL => (OrderCancelRequest::MSG_TYPE, size_of::<OrderCancelRequest>()),
            _ => return Err(InputError::Kind(kind)),
        };
        let (head, rest) = bytes.split_first_chunk::<HEAD_LEN>().ok_or(InputError::Short)?;
        let (body, rest) = rest.split_at_checked(body_len).ok_or(InputError::Short)?;
        let [_, desk, unix_ns @ ..] = *head;
        let input = Self::of(desk, Frame { msg_type, body, bytes: body }).ok_or(InputError::Short)?;
        *bytes = rest;
        Ok(Some((Now::at(u64::from_be_bytes(unix_ns)), input)))
    }
}

fn bytes_of<M: Message>(message: &M) -> &[u8] {
    message.as_bytes()
}

impl Core {
    /// Takes an input.
    #[inline]
    pub fn apply(&mut self, now: Now, input: Input<'_>, out: &mut impl Outlet) {
        match input {
            Input::Order(desk, order) => self.new_order(now, desk, order, out),
            Input::Cancel(desk, cancel) => self.cancel(now, desk, cancel, out),
        }
    }

    /// Takes inputs that were encoded, one after the other, and says how many they were.
    ///
    /// # Errors
    /// [`InputError`] for the first one that is none; those before it are taken.
    pub fn replay(&mut self, mut bytes: &[u8], out: &mut impl Outlet) -> Result<u64, InputError> {
        let mut count = 0;
        while let Some((now, input)) = Input::decode(&mut bytes)? {
            let (Input::Order(desk, _) | Input::Cancel(desk, _)) = input;
            if usize::from(desk) >= self.desks.len() {
                return Err(InputError::Desk(desk));
            }
            self.apply(now, input, out);
            count += 1;
        }
        Ok(count)
    }
}

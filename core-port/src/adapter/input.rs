//! Hot path: what drives an adapter, as records of a [`journal`]. A day is its inputs in order: the same ones make the same
//! numbered reports, which is why reports are not written down themselves.
//!
//! | kind | payload |
//! |---|---|
//! | 1 order | the body of the message. The record's number is the number under which the counter knows it |
//! | 2 cancel | the same |
//! | 3 event | its number `u64`, 0 for what the adapter says by itself; what `u8`; the request, and another one, `u64`; price and quantity `i64`; reason `u16`; little-endian |
//! | 4 beginning | by which settings the day was begun |

use super::counter::Event;
use wire::szse::code::{CxlRejReason, OrdRejReason};
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Message, Price, Qty};

pub(super) const ORDER: u16 = 1;
pub(super) const CANCEL: u16 = 2;
pub(super) const EVENT: u16 = 3;
pub(super) const BEGINNING: u16 = 4;

/// Bytes of an event.
const EVENT_BYTES: usize = 43;

/// Something that changes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Order(NewOrder),
    Cancel(OrderCancelRequest),
    /// With its number; 0 for one of the adapter's own.
    Event(u64, Event),
}

/// A record that is whole and none of an adapter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of an adapter")]
pub struct InputError;

impl Input {
    /// Its kind; its payload goes to `write`.
    #[inline]
    pub(super) fn encode<T>(&self, write: impl FnOnce(u16, &[u8]) -> T) -> T {
        match self {
            Self::Order(order) => write(ORDER, bytes_of(order)),
            Self::Cancel(cancel) => write(CANCEL, bytes_of(cancel)),
            Self::Event(number, event) => write(EVENT, &put(*number, *event)),
        }
    }

    pub(super) fn decode(kind: u16, payload: &[u8]) -> Result<Self, InputError> {
        match kind {
            ORDER => body(payload).map(Self::Order),
            CANCEL => body(payload).map(Self::Cancel),
            EVENT => take(payload).map(|(number, event)| Self::Event(number, event)),
            _ => None,
        }
        .ok_or(InputError)
    }
}

fn bytes_of<M: Message>(message: &M) -> &[u8] {
    message.as_bytes()
}

fn body<M: Message + Copy>(payload: &[u8]) -> Option<M> {
    M::ref_from_bytes(payload).copied().ok()
}

fn put(number: u64, event: Event) -> [u8; EVENT_BYTES] {
    let (what, first, second, price, quantity, reason) = match event {
        Event::Accepted { order } => (1, order, 0, 0, 0, 0),
        Event::Rejected { order, reason } => (2, order, 0, 0, 0, reason.raw()),
        Event::Traded { order, price, quantity } => (3, order, 0, price.raw(), quantity.raw(), 0),
        Event::Cancelled { order, cancel } => (4, order, cancel, 0, 0, 0),
        Event::CancelRejected { cancel, reason } => (5, cancel, 0, 0, 0, reason.raw()),
    };
    let mut bytes = [0; EVENT_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8] = what;
    bytes[9..17].copy_from_slice(&first.to_le_bytes());
    bytes[17..25].copy_from_slice(&second.to_le_bytes());
    bytes[25..33].copy_from_slice(&i64::to_le_bytes(price));
    bytes[33..41].copy_from_slice(&i64::to_le_bytes(quantity));
    bytes[41..].copy_from_slice(&u16::to_le_bytes(reason));
    bytes
}

fn take(payload: &[u8]) -> Option<(u64, Event)> {
    let bytes: &[u8; EVENT_BYTES] = payload.try_into().ok()?;
    let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let (number, first, second) = (u64_at(0)?, u64_at(9)?, u64_at(17)?);
    let (price, quantity) = (u64_at(25)?.cast_signed(), u64_at(33)?.cast_signed());
    let reason = u16::from_le_bytes([bytes[41], bytes[42]]);
    let event = match bytes[8] {
        1 => Event::Accepted { order: first },
        2 => Event::Rejected { order: first, reason: OrdRejReason::from_raw(reason) },
        3 => Event::Traded { order: first, price: Price::from_raw(price), quantity: Qty::from_raw(quantity) },
        4 => Event::Cancelled { order: first, cancel: second },
        5 => Event::CancelRejected { cancel: first, reason: CxlRejReason::from_raw(reason) },
        _ => return None,
    };
    Some((number, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_comes_back_as_it_went_in() {
        let order = NewOrder { cl_ord_id: "1".parse().unwrap(), ..NewOrder::default() };
        let cancel = OrderCancelRequest { cl_ord_id: "2".parse().unwrap(), ..OrderCancelRequest::default() };
        let (price, quantity) = (Price::whole(10), Qty::whole(300));
        let events = [
            Event::Accepted { order: 7 },
            Event::Rejected { order: 7, reason: OrdRejReason::EXCEEDS_LIMIT },
            Event::Traded { order: 7, price, quantity },
            Event::Cancelled { order: 7, cancel: 9 },
            Event::CancelRejected { cancel: 9, reason: CxlRejReason::UNKNOWN_ORDER },
        ];
        let inputs = [Input::Order(order), Input::Cancel(cancel)];
        for input in inputs.into_iter().chain(events.map(|event| Input::Event(3, event))) {
            let decoded = input.encode(Input::decode);
            assert_eq!(decoded, Ok(input));
        }
    }

    #[test]
    fn what_is_no_input_is_an_error() {
        for kind in 0..6 {
            for len in 0..=EVENT_BYTES {
                assert_eq!(Input::decode(kind, &vec![0xff; len]), Err(InputError), "{kind} {len}");
            }
        }
    }
}

//! The `Counter` door: how a broker's counter is spoken to, and what it says.

use wire::szse::code::{CxlRejReason, OrdRejReason};
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Price, Qty};

/// What a counter says of a request. Requests are named by the numbers under which they were sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An order is in.
    Accepted {
        /// The order.
        order: u64,
    },
    /// An order is not taken.
    Rejected {
        /// The order.
        order: u64,
        /// Why.
        reason: OrdRejReason,
    },
    /// An order that was accepted has traded.
    Traded {
        /// The order.
        order: u64,
        /// LastPx.
        price: Price,
        /// LastQty: no more than is left.
        quantity: Qty,
    },
    /// What was left of an order that was accepted is gone.
    Cancelled {
        /// The order.
        order: u64,
        /// The cancel that asked for it; 0 when none did.
        cancel: u64,
    },
    /// A cancel is not carried out.
    CancelRejected {
        /// The cancel.
        cancel: u64,
        /// Why.
        reason: CxlRejReason,
    },
}

impl Event {
    /// The highest number of a request that it tells of: the counter has taken that one.
    pub(super) fn request(self) -> u64 {
        match self {
            Self::Accepted { order } | Self::Rejected { order, .. } | Self::Traded { order, .. } => order,
            Self::Cancelled { order, cancel } => order.max(cancel),
            Self::CancelRejected { cancel, .. } => cancel,
        }
    }
}

/// What a message of a counter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing but that the counter lives.
    Alive,
    /// The session is open; the highest number of the requests that the counter has taken, 0 when it has none.
    Open {
        /// That number. What is above it is sent again; nothing else is.
        taken: u64,
    },
    /// The event of this number.
    Event(u64, Event),
    /// The event of this number is about an order that did not come from here.
    Foreign(u64),
}

/// Why a connection to a counter is given up: it is dialled again. The text is the same for the same mistake: it labels a
/// metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CounterError(pub &'static str);

/// A counter's protocol, as the adapter needs it: bytes in, events out, bytes to send. Like every codec of this project it
/// does no I/O and reads no clock; the adapter has the connection, dials it again, and writes everything down before it counts.
///
/// All calls come from the adapter's thread, between the reading and the writing of a turn: none may block. What is appended
/// to `out` is sent at the end of the turn. `now_ns` is monotonic time, nanoseconds.
///
/// # What a counter must be able to do
/// Two numbers make the exchange exactly once, over lost connections and restarts of either side:
/// - it keeps, as safe as the orders themselves, the number of the last request that it has taken, says it when a session
///   begins ([`Heard::Open`]), and drops what comes with that number or a lower one. Numbers ascend; some are left out. Once
///   it has said the number, it takes nothing any more that a session before this one sent.
/// - it numbers its events from 1 without a hole, keeps those of the day, and sends them from any number on.
///
/// A counter that cannot can be made to: most take a reference of the sender's with each order and can list the day's orders
/// and trades; the numbers are kept in that reference, and counted in that list.
///
/// The crate `broker-example` has one to begin with (`examples/broker/src/lines.rs`).
pub trait Counter: Send + 'static {
    /// A connection is there: appends what begins a session in which events come from number `wanted` on.
    fn connected(&mut self, now_ns: u64, wanted: u64, out: &mut Vec<u8>);

    /// Appends an order.
    ///
    /// # Errors
    /// The counter has no such orders: it is rejected, and nothing may have been appended.
    fn new_order(&mut self, number: u64, order: &NewOrder, out: &mut Vec<u8>) -> Result<(), OrdRejReason>;

    /// Appends a cancel of the order that was sent as number `order`.
    fn cancel(&mut self, number: u64, order: u64, cancel: &OrderCancelRequest, out: &mut Vec<u8>);

    /// Takes the first message off what has come: what it means, and how many bytes it had; `None` while it is not whole.
    ///
    /// # Errors
    /// What the counter said makes no sense: the connection is closed and dialled again.
    fn receive(
        &mut self,
        now_ns: u64,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(Heard, usize)>, CounterError>;

    /// Time has passed, some milliseconds: appends a heartbeat where one is due.
    ///
    /// # Errors
    /// The counter has been silent for too long: the connection is closed and dialled again.
    fn on_tick(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Result<(), CounterError>;
}

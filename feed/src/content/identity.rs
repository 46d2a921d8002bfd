//! Hot path (where a source numbers in its own way): what a message says, whatever its number.

use std::hash::{BuildHasher, RandomState};
use wire::szse::ext::ExtendedTickOrder;
use wire::szse::market::{TickOrder, TickTrade};
use wire::szse::{Frame, GroupMessage, Message};

/// What an order or a trade says, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(u64);

/// Makes [`Content`] of messages; keyed at random, so that nobody can make two messages look alike on purpose.
#[derive(Debug, Default)]
pub(crate) struct Identity(RandomState);

impl Identity {
    /// What an order says: security, side, kind, price, quantity and time; `None` of what is neither an order nor a trade.
    ///
    /// Numbers are left out, those of the orders in a trade too: they are the source's own. So are channel and stream.
    #[inline]
    pub(crate) fn of(&self, frame: &Frame<'_>) -> Option<Content> {
        match frame.msg_type {
            TickOrder::MSG_TYPE => frame.view().ok().map(|order| self.order(order)),
            TickTrade::MSG_TYPE => frame.view().ok().map(|trade| self.trade(trade)),
            ExtendedTickOrder::MSG_TYPE => {
                frame.group::<ExtendedTickOrder<'_>>().ok().map(|extended| self.order(extended.order))
            }
            _ => None,
        }
    }

    pub(crate) fn order(&self, order: &TickOrder) -> Content {
        let TickOrder { security_id, security_id_source, price, order_qty, side, transact_time, .. } = order;
        let what = (price, order_qty, side, transact_time, order.ord_type);
        Content(self.0.hash_one((TickOrder::MSG_TYPE, security_id, security_id_source, what)))
    }

    pub(crate) fn trade(&self, trade: &TickTrade) -> Content {
        let TickTrade {
            security_id, security_id_source, last_px, last_qty, exec_type, transact_time, ..
        } = trade;
        let what = (last_px, last_qty, exec_type, transact_time);
        Content(self.0.hash_one((TickTrade::MSG_TYPE, security_id, security_id_source, what)))
    }
}

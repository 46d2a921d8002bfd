//! The day's orders, and the two ways to find one: by (AccountID, ClOrdID), which is its identity, and the way a
//! cancel names it.
//!
//! Nothing is forgotten within the day: a ClOrdID that comes back hours later is still a duplicate. The list and the
//! two maps grow to `orders_max` and not beyond; room is reserved at the start, so that no order pays for moving all
//! others.

use super::DeskNo;
use super::accounts::Hold;
use super::listing::SecurityNo;
use super::refusal::{CancelRefusal, Refusal};
use crate::book::{OrderNo, Place};
use foldhash::{HashMap, HashMapExt};
use wire::szse::Text;
use wire::szse::code::OrdStatus;
use wire::szse::trading::{NewOrder, OrderCancelRequest};

/// An order of the day, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// As it came.
    pub(super) request: NewOrder,
    /// Where it came in.
    pub(super) desk: DeskNo,
    /// What it is in; without meaning for an order that was rejected.
    pub(super) security: SecurityNo,
    /// What became of it.
    pub(super) status: OrdStatus,
    /// Quantity traded, raw.
    pub(super) cum: i64,
    /// Quantity that may still trade, raw.
    pub(super) leaves: i64,
    /// ApplSeqNum of its tick order.
    pub(super) tick_number: i64,
    /// Where it rests.
    pub(super) place: Option<Place>,
    /// What its account has frozen for it, where that is listed.
    pub(super) hold: Option<Hold>,
    /// The order before this one with the same (SubmittingPBUID, ClOrdID): accounts may share them.
    namesake: Option<OrderNo>,
}

// Seeded by chance, so that no client can choose ClOrdIDs that collide; what is said never depends on a map's order.
type Identity = (Text<12>, Text<10>);
type Name = (Text<6>, Text<10>);

#[derive(Debug)]
pub(super) struct Orders {
    list: Vec<Order>,
    by_identity: HashMap<Identity, OrderNo>,
    by_name: HashMap<Name, OrderNo>,
    orders_max: usize,
}

/// Why an order is not taken into the list.
pub(super) struct NotAdmitted {
    pub(super) refusal: Refusal,
    /// The order that has this identity already.
    pub(super) first: Option<OrderNo>,
}

/// Most namesakes that a cancel without OrderID looks at; where more share the name, it must give the OrderID.
const NAMESAKES_MAX: usize = 256;

impl Orders {
    pub(super) fn new(orders_max: u32, reserved: u32) -> Self {
        let room = reserved.min(orders_max) as usize;
        Self {
            list: Vec::with_capacity(room),
            by_identity: HashMap::with_capacity(room),
            by_name: HashMap::with_capacity(room),
            orders_max: orders_max as usize,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether an order of this identity is remembered.
    pub(super) fn knows(&self, request: &NewOrder) -> bool {
        self.by_identity.contains_key(&(request.account_id, request.cl_ord_id))
    }

    /// Remembers an order, before it is looked at in any other way: its identity is used up even if it is rejected.
    pub(super) fn admit(&mut self, desk: DeskNo, request: &NewOrder) -> Result<OrderNo, NotAdmitted> {
        let identity = (request.account_id, request.cl_ord_id);
        if !names(&identity.0) || !names(&identity.1) {
            return Err(NotAdmitted { refusal: Refusal::NoIdentity, first: None });
        }
        if let Some(first) = self.by_identity.get(&identity) {
            return Err(NotAdmitted { refusal: Refusal::Duplicate, first: Some(*first) });
        }
        if self.list.len() == self.orders_max {
            return Err(NotAdmitted { refusal: Refusal::DayFull, first: None });
        }
        let number = self.list.len() as OrderNo;
        self.by_identity.insert(identity, number);
        let namesake = self.by_name.insert((request.base.submitting_pbu_id, request.cl_ord_id), number);
        self.list.push(Order {
            request: *request,
            desk,
            security: 0,
            status: OrdStatus::REJECTED,
            cum: 0,
            leaves: 0,
            tick_number: 0,
            place: None,
            hold: None,
            namesake,
        });
        Ok(number)
    }

    /// The order that a cancel means: the one of its OrderID (OrigClOrdID may then be blank), else the only one with
    /// this ClOrdID, SubmittingPBUID, security and side at the desk. A cancel carries no AccountID, so that is as near
    /// as the message comes.
    pub(super) fn find(
        &self,
        desk: DeskNo,
        cancel: &OrderCancelRequest,
        by_order_id: impl FnOnce(&Text<16>) -> Option<OrderNo>,
    ) -> Result<OrderNo, CancelRefusal> {
        if !cancel.order_id.is_blank() {
            let number = by_order_id(&cancel.order_id).filter(|number| (*number as usize) < self.list.len());
            return number
                .filter(|number| self[*number].is_meant_by(desk, cancel))
                .ok_or(CancelRefusal::UnknownOrder);
        }
        let name = (cancel.base.submitting_pbu_id, cancel.orig_cl_ord_id);
        let mut next = self.by_name.get(&name).copied();
        let mut found = Err(CancelRefusal::UnknownOrder);
        for _ in 0..NAMESAKES_MAX {
            let Some(number) = next else { return found };
            let order = &self[number];
            if order.is_meant_by(desk, cancel) {
                match found {
                    Err(_) => found = Ok(number),
                    Ok(_) => return Err(CancelRefusal::SeveralOrders),
                }
            }
            next = order.namesake;
        }
        Err(CancelRefusal::SeveralOrders)
    }
}

impl Order {
    fn is_meant_by(&self, desk: DeskNo, cancel: &OrderCancelRequest) -> bool {
        let of = &self.request;
        self.desk == desk
            && (of.cl_ord_id == cancel.orig_cl_ord_id || cancel.orig_cl_ord_id.is_blank())
            && of.side == cancel.side
            && of.base.security_id == cancel.base.security_id
            && of.base.security_id_source == cancel.base.security_id_source
    }
}

impl std::ops::Index<OrderNo> for Orders {
    type Output = Order;

    fn index(&self, number: OrderNo) -> &Order {
        &self.list[number as usize]
    }
}

impl std::ops::IndexMut<OrderNo> for Orders {
    fn index_mut(&mut self, number: OrderNo) -> &mut Order {
        &mut self.list[number as usize]
    }
}

/// Whether a text can be part of an identity.
fn names<const N: usize>(text: &Text<N>) -> bool {
    !text.is_blank() && text.as_str().is_some()
}

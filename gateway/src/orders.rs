//! Hot path: the orders that this gateway knows of: whose they are and which core holds them.
//!
//! A cancel carries neither an AccountID nor a CashMargin, and the reject of a cancel no AccountID: both are looked up
//! here. What is here comes from the requests forwarded and from the reports, so a gateway that has just started
//! learns of the day's orders when it reads the report flows again.
//!
//! Rules: no allocation after start; bounded: one more order than `orders_max` and the oldest is forgotten (a cancel
//! for it is then refused with a reason).

use crate::index::{Index, Seed};
use crate::route::Core;
use wire::szse::Text;
use wire::szse::trading::{CancelReject, OrderCancelRequest};

/// An account, interned: the key of its reports in the log.
pub type AccountKey = u32;

/// An order, as far as routing must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// ClOrdID.
    pub cl_ord_id: Text<10>,
    /// The core's OrderID; blank until its first report.
    pub order_id: Text<16>,
    /// Whose it is.
    pub account: AccountKey,
    /// Where it is.
    pub core: Core,
}

/// A cancel, in case it comes back rejected.
#[derive(Clone, Copy)]
struct Cancel {
    core: Core,
    submitting_pbu_id: Text<6>,
    cl_ord_id: Text<10>,
    orig_cl_ord_id: Text<10>,
    account: AccountKey,
}

/// Cancels that are remembered: those whose answer may still be on its way.
const CANCELS_MAX: usize = 4096;
/// Orders that a refusal without a report may be about: the last ones sent.
const UNANSWERED_MAX: usize = 4096;

/// The orders known.
pub struct Orders {
    list: Vec<Order>,
    orders_max: usize,
    /// The place that is taken next once the list is full: the oldest order's.
    oldest: usize,
    by_identity: Index,
    by_order_id: Index,
    seed: Seed,
    cancels: Vec<Cancel>,
    oldest_cancel: usize,
    forgotten: u64,
}

impl Orders {
    /// Room for `orders_max` orders (about 64 bytes each), all of it taken now.
    pub fn new(orders_max: u32) -> Self {
        let orders_max = orders_max.clamp(1, 1 << 28);
        Self {
            list: Vec::with_capacity(orders_max as usize),
            orders_max: orders_max as usize,
            oldest: 0,
            by_identity: Index::new(orders_max),
            by_order_id: Index::new(orders_max),
            seed: Seed::random(),
            cancels: Vec::with_capacity(CANCELS_MAX),
            oldest_cancel: 0,
            forgotten: 0,
        }
    }

    /// Orders known now.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Orders that had to make room since the start.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// An order goes to a core. An identity that is known already stays what it is: the core refuses the second.
    #[inline]
    pub fn sent(&mut self, account: AccountKey, cl_ord_id: Text<10>, core: Core) {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        if self.place(hash, account, cl_ord_id).is_none() {
            self.add(hash, Order { cl_ord_id, order_id: Text::BLANK, account, core });
        }
    }

    /// A core has accepted an order and given it its OrderID.
    #[inline]
    pub fn accepted(&mut self, account: AccountKey, cl_ord_id: Text<10>, core: Core, order_id: Text<16>) {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        let place = match self.place(hash, account, cl_ord_id) {
            Some(place) => place,
            None => self.add(hash, Order { cl_ord_id, order_id: Text::BLANK, account, core }),
        };
        let order = &mut self.list[place as usize];
        if order.order_id.is_blank() && !order_id.is_blank() {
            order.order_id = order_id;
            order.core = core;
            self.by_order_id.insert(self.seed.hash(*order_id.as_bytes()), place);
        }
    }

    /// The order of an account with this ClOrdID.
    #[inline]
    pub fn by_identity(&self, account: AccountKey, cl_ord_id: Text<10>) -> Option<&Order> {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        self.place(hash, account, cl_ord_id).map(|place| &self.list[place as usize])
    }

    /// The order with this OrderID of a core, if `is_it`. Each core counts its OrderIDs by itself: two may use the same.
    #[inline]
    pub fn by_order_id(&self, order_id: Text<16>, is_it: impl Fn(&Order) -> bool) -> Option<&Order> {
        if order_id.is_blank() {
            return None;
        }
        let hash = self.seed.hash(*order_id.as_bytes());
        let place = self.by_order_id.find(hash, |place| {
            let order = &self.list[place as usize];
            order.order_id == order_id && is_it(order)
        })?;
        Some(&self.list[place as usize])
    }

    /// A cancel goes to a core.
    pub fn cancel_sent(&mut self, request: &OrderCancelRequest, account: AccountKey, core: Core) {
        let cancel = Cancel {
            core,
            submitting_pbu_id: request.base.submitting_pbu_id,
            cl_ord_id: request.cl_ord_id,
            orig_cl_ord_id: request.orig_cl_ord_id,
            account,
        };
        if self.cancels.len() < CANCELS_MAX {
            self.cancels.push(cancel);
        } else {
            self.cancels[self.oldest_cancel] = cancel;
            self.oldest_cancel = (self.oldest_cancel + 1) % CANCELS_MAX;
        }
    }

    /// Whose cancel a core rejected: the order's owner or, if the core could not name the order, the sender of a cancel
    /// that looked just so.
    pub fn owner_of_rejected(&self, core: Core, reject: &CancelReject) -> Option<AccountKey> {
        let asked = |cancel: &&Cancel| {
            cancel.core == core
                && cancel.cl_ord_id == reject.cl_ord_id
                && cancel.orig_cl_ord_id == reject.orig_cl_ord_id
                && cancel.submitting_pbu_id == reject.base.submitting_pbu_id
        };
        self.by_order_id(reject.order_id, |order| order.core == core)
            .map(|order| order.account)
            .or_else(|| self.cancels.iter().find(asked).map(|cancel| cancel.account))
    }

    /// Whose request a core refused without a report, by its ClOrdID, which is all that a BusinessReject says of it: that
    /// of the one order that was sent lately and has no report yet, or else of the one cancel. `None` where it could be
    /// that of several accounts: what concerns one must not be told to another.
    #[cold]
    pub fn owner_of_refused(&self, core: Core, cl_ord_id: Text<10>) -> Option<AccountKey> {
        // The list goes round at its end, see `add`.
        let lately = self.list[..self.oldest].iter().rev().chain(self.list[self.oldest..].iter().rev());
        let orders = lately
            .take(UNANSWERED_MAX)
            .filter(|order| order.core == core && order.cl_ord_id == cl_ord_id && order.order_id.is_blank());
        let cancels =
            self.cancels.iter().filter(|cancel| cancel.core == core && cancel.cl_ord_id == cl_ord_id);
        let mut accounts = orders.map(|order| order.account).chain(cancels.map(|cancel| cancel.account));
        let account = accounts.next()?;
        accounts.all(|other| other == account).then_some(account)
    }

    /// Which order of an account its last cancel with this ClOrdID named; blank where that is not known.
    #[cold]
    pub fn named_by_cancel(&self, core: Core, account: AccountKey, cl_ord_id: Text<10>) -> Text<10> {
        let lately = self.cancels[..self.oldest_cancel]
            .iter()
            .rev()
            .chain(self.cancels[self.oldest_cancel..].iter().rev());
        let is_it =
            |cancel: &&Cancel| (cancel.core, cancel.account, cancel.cl_ord_id) == (core, account, cl_ord_id);
        lately.filter(is_it).map(|cancel| cancel.orig_cl_ord_id).next().unwrap_or(Text::BLANK)
    }

    #[inline]
    fn place(&self, hash: u32, account: AccountKey, cl_ord_id: Text<10>) -> Option<u32> {
        self.by_identity.find(hash, |place| {
            let order = &self.list[place as usize];
            order.cl_ord_id == cl_ord_id && order.account == account
        })
    }

    #[inline]
    fn add(&mut self, hash: u32, order: Order) -> u32 {
        let place = if self.list.len() < self.orders_max {
            self.list.push(order);
            self.list.len() - 1
        } else {
            self.forget(self.oldest);
            self.list[self.oldest] = order;
            let place = self.oldest;
            self.oldest = (place + 1) % self.orders_max;
            place
        };
        self.by_identity.insert(hash, place as u32);
        place as u32
    }

    fn forget(&mut self, place: usize) {
        let Order { cl_ord_id, order_id, account, .. } = self.list[place];
        self.by_identity.remove(self.seed.hash(identity(account, cl_ord_id)), place as u32);
        if !order_id.is_blank() {
            self.by_order_id.remove(self.seed.hash(*order_id.as_bytes()), place as u32);
        }
        self.forgotten += 1;
    }
}

fn identity(account: AccountKey, cl_ord_id: Text<10>) -> [u8; 16] {
    let mut key = [0; 16];
    key[..10].copy_from_slice(cl_ord_id.as_bytes());
    key[12..].copy_from_slice(&account.to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>(text: &str) -> Text<N> {
        text.parse().unwrap()
    }

    #[test]
    fn an_order_is_found_by_its_identity_and_then_by_its_order_id() {
        let mut orders = Orders::new(8);
        orders.sent(1, text("a"), Core::Margin);
        assert_eq!(orders.by_identity(1, text("a")).unwrap().core, Core::Margin);
        assert!(orders.by_identity(2, text("a")).is_none());
        assert!(orders.by_order_id(Text::BLANK, |_| true).is_none(), "no OrderID is not an OrderID");
        orders.accepted(1, text("a"), Core::Margin, text("77"));
        assert_eq!(orders.by_order_id(text("77"), |_| true).unwrap().account, 1);
        orders.accepted(1, text("a"), Core::Cash, text("78"));
        assert!(orders.by_order_id(text("78"), |_| true).is_none(), "an order has one OrderID");
        assert_eq!(orders.len(), 1);
    }

    #[test]
    fn an_order_first_heard_of_in_a_report_is_known_from_then_on() {
        let mut orders = Orders::new(8);
        orders.accepted(3, text("x"), Core::Cash, text("5"));
        orders.accepted(3, text("x"), Core::Cash, text("5"));
        assert_eq!((orders.by_order_id(text("5"), |_| true).unwrap().account, orders.len()), (3, 1));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut orders = Orders::new(3);
        for count in 0..10_u32 {
            let id = text(&count.to_string());
            orders.sent(1, id, Core::Cash);
            orders.accepted(1, id, Core::Cash, text(&format!("o{count}")));
        }
        assert_eq!((orders.len(), orders.forgotten()), (3, 7));
        for count in 0..10_u32 {
            let known = count >= 7;
            assert_eq!(orders.by_identity(1, text(&count.to_string())).is_some(), known, "{count}");
            assert_eq!(orders.by_order_id(text(&format!("o{count}")), |_| true).is_some(), known, "{count}");
        }
    }

    #[test]
    fn a_rejected_cancel_finds_its_sender() {
        let mut orders = Orders::new(8);
        orders.accepted(4, text("a"), Core::Cash, text("9"));
        let named = CancelReject { order_id: text("9"), ..CancelReject::default() };
        assert_eq!(orders.owner_of_rejected(Core::Cash, &named), Some(4));
        let request = OrderCancelRequest {
            cl_ord_id: text("c"),
            orig_cl_ord_id: text("b"),
            ..OrderCancelRequest::default()
        };
        orders.cancel_sent(&request, 5, Core::Cash);
        let unnamed =
            CancelReject { cl_ord_id: text("c"), orig_cl_ord_id: text("b"), ..CancelReject::default() };
        assert_eq!(orders.owner_of_rejected(Core::Cash, &unnamed), Some(5));
        assert_eq!(orders.owner_of_rejected(Core::Margin, &unnamed), None, "the other core's");
        let strange = CancelReject { cl_ord_id: text("d"), ..unnamed };
        assert_eq!(orders.owner_of_rejected(Core::Cash, &strange), None);
    }

    #[test]
    fn a_refusal_without_a_report_finds_whom_it_concerns() {
        let mut orders = Orders::new(3);
        let owner = |orders: &Orders, id: &str| orders.owner_of_refused(Core::Cash, text(id));
        for (account, id) in [(1, "old"), (1, "a"), (2, "b"), (3, "c")] {
            orders.sent(account, text(id), Core::Cash);
        }
        assert_eq!(["a", "b", "c"].map(|id| owner(&orders, id)), [Some(1), Some(2), Some(3)]);
        assert_eq!(owner(&orders, "old"), None, "forgotten");
        assert_eq!(orders.owner_of_refused(Core::Margin, text("a")), None, "the other core's");
        orders.accepted(2, text("b"), Core::Cash, text("9"));
        assert_eq!(owner(&orders, "b"), None, "it has a report");
        let cancel = OrderCancelRequest { cl_ord_id: text("x"), ..OrderCancelRequest::default() };
        orders.cancel_sent(&cancel, 4, Core::Cash);
        assert_eq!(owner(&orders, "x"), Some(4));
        orders.sent(5, text("x"), Core::Cash);
        assert_eq!(owner(&orders, "x"), None, "of two accounts");
    }

    #[test]
    fn two_cores_may_use_the_same_order_id() {
        let mut orders = Orders::new(8);
        orders.accepted(1, text("a"), Core::Cash, text("9"));
        orders.accepted(2, text("b"), Core::Margin, text("9"));
        let reject = CancelReject { order_id: text("9"), ..CancelReject::default() };
        assert_eq!(orders.owner_of_rejected(Core::Cash, &reject), Some(1));
        assert_eq!(orders.owner_of_rejected(Core::Margin, &reject), Some(2));
    }

    #[test]
    fn cancels_remembered_are_bounded() {
        let mut orders = Orders::new(8);
        for count in 0..3 * CANCELS_MAX {
            let request =
                OrderCancelRequest { cl_ord_id: text(&count.to_string()), ..OrderCancelRequest::default() };
            orders.cancel_sent(&request, 1, Core::Cash);
        }
        assert_eq!(orders.cancels.len(), CANCELS_MAX);
        let last = text(&(3 * CANCELS_MAX - 1).to_string());
        let reject = CancelReject { cl_ord_id: last, ..CancelReject::default() };
        assert_eq!(orders.owner_of_rejected(Core::Cash, &reject), Some(1));
    }
}

//! Hot path: the orders of accounts that trade by FIX, as far as a report must tell of them more than the core's does.
//!
//! A core's report of a trade has neither OrderQty nor the average price; FIX wants both. What is here comes from the reports
//! in their order, and from the orders sent, so a gateway that has just started has it again when it has read the day's flows.
//!
//! Rules: no allocation after start; bounded: one more order than `orders_max` and the oldest is forgotten (reports of its
//! trades then have AvgPx 0, which is not a price).

use crate::index::{Index, Seed};
use crate::orders::AccountKey;
use wire::szse::code::{CashMargin, OrdStatus, OrdType, Side, TimeInForce};
use wire::szse::trading::{NewOrder, OrderReport, TradeReport};
use wire::szse::{Price, Qty, Text};

/// An order.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Whose it is.
    pub account: AccountKey,
    /// ClOrdID.
    pub cl_ord_id: Text<10>,
    /// The core's OrderID; blank until its first report.
    pub order_id: Text<16>,
    /// SecurityID.
    pub security_id: Text<8>,
    /// SecurityIDSource.
    pub security_id_source: Text<4>,
    /// Side.
    pub side: Side,
    /// OrdType.
    pub ord_type: OrdType,
    /// TimeInForce.
    pub time_in_force: TimeInForce,
    /// CashMargin.
    pub cash_margin: CashMargin,
    /// OrderQty.
    pub order_qty: Qty,
    /// Price.
    pub price: Price,
    /// Traded.
    pub cum_qty: Qty,
    /// What may still trade.
    pub leaves_qty: Qty,
    /// Sum of price times quantity of its trades, in raw units of both.
    amount: i128,
    /// Trades that this sum does not have were missed.
    amount_unknown: bool,
    /// Where it stands, as of the last report; `None` while there is none.
    pub status: Option<OrdStatus>,
    /// A core has reported it: what it says then goes before what was thought of the order here.
    reported: bool,
    /// It is among the open orders of its account: the places before and behind it, plus 1.
    open: bool,
    older: u32,
    newer: u32,
}

impl Order {
    fn sent(account: AccountKey, request: &NewOrder) -> Self {
        Self {
            account,
            cl_ord_id: request.cl_ord_id,
            order_id: Text::BLANK,
            security_id: request.base.security_id,
            security_id_source: request.base.security_id_source,
            side: request.side,
            ord_type: request.ord_type,
            time_in_force: request.ext.time_in_force,
            cash_margin: request.ext.cash_margin,
            order_qty: request.order_qty,
            price: request.price,
            cum_qty: Qty::ZERO,
            leaves_qty: request.order_qty,
            amount: 0,
            amount_unknown: false,
            status: None,
            reported: false,
            open: false,
            older: 0,
            newer: 0,
        }
    }

    fn reported(account: AccountKey, report: &OrderReport) -> Self {
        Self {
            account,
            cl_ord_id: report.cl_ord_id,
            order_id: report.order_id,
            security_id: report.base.security_id,
            security_id_source: report.base.security_id_source,
            side: report.side,
            ord_type: report.ord_type,
            time_in_force: report.ext.time_in_force,
            cash_margin: report.ext.cash_margin,
            order_qty: report.order_qty,
            price: report.price,
            cum_qty: Qty::ZERO,
            leaves_qty: report.leaves_qty,
            amount: 0,
            amount_unknown: false,
            status: None,
            reported: false,
            open: false,
            older: 0,
            newer: 0,
        }
    }

    /// Average price of its trades, cut to the price's decimals; zero before the first, and where some were missed.
    pub fn avg_px(&self) -> Price {
        let cum = i128::from(self.cum_qty.raw());
        let average = if cum > 0 && !self.amount_unknown { self.amount / cum } else { 0 };
        Price::from_raw(i64::try_from(average).unwrap_or(0))
    }
}

/// The orders known.
pub struct Book {
    list: Vec<Order>,
    orders_max: usize,
    oldest: usize,
    by_identity: Index,
    seed: Seed,
    /// The newest open order of each account, plus 1; by account.
    open: Vec<u32>,
    forgotten: u64,
}

impl Book {
    /// Room for `orders_max` orders (about 160 bytes each) of `accounts` accounts, all of it taken now.
    pub fn new(orders_max: u32, accounts: usize) -> Self {
        let orders_max = orders_max.clamp(1, 1 << 28);
        Self {
            list: Vec::with_capacity(orders_max as usize),
            orders_max: orders_max as usize,
            oldest: 0,
            by_identity: Index::new(orders_max),
            seed: Seed::random(),
            open: vec![0; accounts + 1],
            forgotten: 0,
        }
    }

    /// Orders that had to make room since the start.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The order of an account with this ClOrdID.
    #[inline]
    pub fn find(&self, account: AccountKey, cl_ord_id: Text<10>) -> Option<&Order> {
        self.place(account, cl_ord_id).map(|place| &self.list[place])
    }

    /// An order is on its way to its core.
    #[inline]
    pub fn sent(&mut self, account: AccountKey, request: &NewOrder) {
        match self.place(account, request.cl_ord_id) {
            None => {
                self.add(Order::sent(account, request));
            }
            // The core had refused it without a report, and is asked again.
            Some(place) if !self.list[place].reported => self.list[place] = Order::sent(account, request),
            Some(_) => {}
        }
    }

    /// The core refused it without a report.
    pub fn refused(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        if let Some(place) = self.place(account, cl_ord_id)
            && self.list[place].status.is_none()
        {
            self.end(place, OrdStatus::REJECTED);
        }
    }

    /// The core has accepted an order.
    #[inline]
    pub fn accepted(&mut self, account: AccountKey, report: &OrderReport) -> Order {
        let place = match self.place(account, report.cl_ord_id) {
            Some(place) => place,
            None => self.add(Order::reported(account, report)),
        };
        let order = &mut self.list[place];
        order.order_id = report.order_id;
        if !std::mem::replace(&mut order.reported, true) {
            order.status = Some(OrdStatus::NEW);
            order.leaves_qty = report.leaves_qty;
            self.link(place);
        }
        self.list[place]
    }

    /// The core has rejected an order: the order as it is now, or `None` where the reject is about another attempt with the
    /// ClOrdID of an order that has a report already.
    #[inline]
    pub fn rejected(&mut self, account: AccountKey, report: &OrderReport) -> Option<Order> {
        let place = match self.place(account, report.cl_ord_id) {
            Some(place) if self.list[place].reported => return None,
            Some(place) => place,
            None => self.add(Order::reported(account, report)),
        };
        (self.list[place].order_id, self.list[place].reported) = (report.order_id, true);
        self.end(place, OrdStatus::REJECTED);
        Some(self.list[place])
    }

    /// What was left of an order is gone.
    #[inline]
    pub fn cancelled(&mut self, account: AccountKey, report: &OrderReport) -> Order {
        let name = if report.orig_cl_ord_id.is_blank() { report.cl_ord_id } else { report.orig_cl_ord_id };
        let place = match self.place(account, name) {
            Some(place) => place,
            None => self.add(Order { cl_ord_id: name, ..Order::reported(account, report) }),
        };
        let order = &mut self.list[place];
        order.order_id = report.order_id;
        order.reported = true;
        order.amount_unknown |= order.cum_qty != report.cum_qty;
        order.cum_qty = report.cum_qty;
        self.end(place, OrdStatus::CANCELLED);
        self.list[place]
    }

    /// An order has traded: the order as it is now, if it is known.
    #[inline]
    pub fn traded(&mut self, account: AccountKey, report: &TradeReport) -> Option<Order> {
        let place = self.place(account, report.cl_ord_id)?;
        let order = &mut self.list[place];
        order.amount_unknown |=
            report.cum_qty.raw().checked_sub(report.last_qty.raw()) != Some(order.cum_qty.raw());
        order.amount =
            order.amount.saturating_add(i128::from(report.last_px.raw()) * i128::from(report.last_qty.raw()));
        order.reported = true;
        order.cum_qty = report.cum_qty;
        order.leaves_qty = report.leaves_qty;
        order.status = Some(report.ord_status);
        if report.leaves_qty.raw() == 0 {
            self.end(place, report.ord_status);
        }
        Some(self.list[place])
    }

    /// Open orders of an account, the newest first.
    pub fn open_orders(&self, account: AccountKey) -> impl Iterator<Item = &Order> {
        let mut next = self.open.get(account as usize).copied().unwrap_or(0);
        std::iter::from_fn(move || {
            let order = self.list.get((next as usize).checked_sub(1)?)?;
            next = order.older;
            Some(order)
        })
    }

    fn end(&mut self, place: usize, status: OrdStatus) {
        self.unlink(place);
        self.list[place].status = Some(status);
        self.list[place].leaves_qty = Qty::ZERO;
    }

    fn link(&mut self, place: usize) {
        let account = self.list[place].account as usize;
        let first = self.open[account];
        if first != 0 {
            self.list[first as usize - 1].newer = place as u32 + 1;
        }
        let order = &mut self.list[place];
        (order.open, order.older, order.newer) = (true, first, 0);
        self.open[account] = place as u32 + 1;
    }

    fn unlink(&mut self, place: usize) {
        let Order { open, older, newer, account, .. } = self.list[place];
        if !open {
            return;
        }
        if older != 0 {
            self.list[older as usize - 1].newer = newer;
        }
        match newer {
            0 => self.open[account as usize] = older,
            newer => self.list[newer as usize - 1].older = older,
        }
        let order = &mut self.list[place];
        (order.open, order.older, order.newer) = (false, 0, 0);
    }

    #[inline]
    fn place(&self, account: AccountKey, cl_ord_id: Text<10>) -> Option<usize> {
        let hash = self.seed.hash(identity(account, cl_ord_id));
        let found = self.by_identity.find(hash, |place| {
            let order = &self.list[place as usize];
            order.cl_ord_id == cl_ord_id && order.account == account
        });
        found.map(|place| place as usize)
    }

    fn add(&mut self, order: Order) -> usize {
        let hash = self.seed.hash(identity(order.account, order.cl_ord_id));
        let place = if self.list.len() < self.orders_max {
            self.list.push(order);
            self.list.len() - 1
        } else {
            let place = self.oldest;
            self.unlink(place);
            let gone = self.list[place];
            let gone_hash = self.seed.hash(identity(gone.account, gone.cl_ord_id));
            self.by_identity.remove(gone_hash, place as u32);
            self.forgotten += 1;
            self.list[place] = order;
            self.oldest = (place + 1) % self.orders_max;
            place
        };
        self.by_identity.insert(hash, place as u32);
        place
    }
}

fn identity(account: AccountKey, cl_ord_id: Text<10>) -> [u8; 16] {
    let mut key = [0; 16];
    key[..10].copy_from_slice(cl_ord_id.as_bytes());
    key[12..].copy_from_slice(&account.to_le_bytes());
    key
}

#[cfg(test)]
mod tests;

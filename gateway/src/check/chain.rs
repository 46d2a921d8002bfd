//! Hot path: the chain of pre-trade checks: one call for an order, one for a cancel, and what they keep in between.
//!
//! The order of the rules is fixed: throttle, phase, security, lot, tick, limit, cage, largest, self-cross, rate, margin,
//! kill, and then the integrator's own. The first that is not kept answers. Rules: no allocation, no lock, no I/O; a
//! table is looked up once an order; new tables come whole ([`Checks::install`]).

use crate::accounts::CompNo;
use crate::check::kill::Kill;
use crate::check::market::Quote;
use crate::check::open::{Open, OpenOrders, Sender, worst_price};
use crate::check::own::{Check, OWN_CHECKS_MAX, Reported, Submission};
use crate::check::rate::{Bucket, Rates};
use crate::check::rule::{Group, Rule};
use crate::check::tables::{Security, SecurityNo, Tables};
use crate::check::{Moment, Refusal, price, size};
use crate::orders::{AccountKey, Order};
use crate::route::Core;
use std::cell::Cell;
use wire::szse::code::{CashMargin, ExecType, OrdRejReason, OrdType, Side};
use wire::szse::trading::{NewOrder, OrderCancelRequest, OrderReport, TradeReport};
use wire::szse::{Frame, Message, Text};

/// Which rules are on, and their bounds that are the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// By [`Group`].
    pub on: [bool; Group::ALL.len()],
    /// Most money that one order may be worth, raw units of a price; 0: no bound.
    pub notional_max: i64,
    /// How long an exchange may not have been heard of before its prices are stale, nanoseconds.
    pub quote_age_ns_max: u64,
    /// What stands for the market.
    pub market: Market,
    /// Requests refused in a row for being too many after which a session is ended; 0: never.
    pub throttle_disconnect_after: u32,
    /// Open orders of an account in a security that are looked at for a self-cross.
    pub self_cross_orders_max: u32,
}

/// What the cage and the price of a short sale are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Market {
    /// The previous close of the reference data: no feed is followed.
    PreviousClose,
    /// A feed's quotes. While they are stale the order passes, and is counted.
    Quotes,
    /// A feed's quotes. While they are stale the order is refused.
    FreshQuotes,
}

impl Default for Settings {
    fn default() -> Self {
        let mut on = [true; Group::ALL.len()];
        on[Group::SelfCross as usize] = false;
        Self {
            on,
            notional_max: 0,
            quote_age_ns_max: 10_000_000_000,
            market: Market::PreviousClose,
            throttle_disconnect_after: 0,
            self_cross_orders_max: 1_000,
        }
    }
}

/// The chain and its state.
pub struct Checks {
    settings: Settings,
    tables: Box<Tables>,
    /// Kill switches.
    pub kill: Kill,
    /// Requests by account.
    pub rates: Rates,
    /// Open orders, where a rule asks for them.
    pub open: Option<OpenOrders>,
    /// Orders that are open at a core and are not known here, since there was no room.
    pub untracked: u64,
    /// Orders that passed a rule because the market's prices were stale.
    stale: Cell<u64>,
    sessions: Box<[Bucket]>,
    own: Vec<Box<dyn Check>>,
}

impl Checks {
    /// A chain with no table of securities yet; `sessions` are the buckets by CompID.
    pub fn new(
        settings: Settings,
        tables: Box<Tables>,
        (kill, mut rates): (Kill, Rates),
        open: Option<OpenOrders>,
        sessions: Box<[Bucket]>,
    ) -> Self {
        rates.marks = tables.marks;
        Self {
            settings,
            tables,
            kill,
            rates,
            open,
            untracked: 0,
            stale: Cell::new(0),
            sessions,
            own: Vec::new(),
        }
    }

    /// A chain in which nothing is switched on: for what is measured or tested without it.
    pub fn off(accounts: usize, sessions: usize) -> Self {
        let tables = Tables::without_securities(
            super::phase::Day(0),
            super::phase::Zone { offset_ms: 0 },
            super::rate::Marks::default(),
        );
        let settings = Settings { on: [false; Group::ALL.len()], ..Settings::default() };
        let sessions = vec![Bucket::default(); sessions].into();
        let state = (Kill::new(accounts), Rates::new(accounts, 0, false));
        Self::new(settings, Box::new(tables), state, None, sessions)
    }

    /// Adds an integrator's own rule; `false` when there are [`OWN_CHECKS_MAX`] already.
    pub fn push(&mut self, check: Box<dyn Check>) -> bool {
        let room = self.own.len() < OWN_CHECKS_MAX;
        if room {
            self.own.push(check);
        }
        room
    }

    /// How many rules of the integrator's own there are.
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    /// The tables in force.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Puts new tables in force and gives the old ones back, to be dropped elsewhere.
    pub fn install(&mut self, tables: Box<Tables>) -> Box<Tables> {
        if tables.day > self.tables.day {
            self.rates.new_day();
        }
        self.rates.marks = tables.marks;
        std::mem::replace(&mut self.tables, tables)
    }

    #[inline]
    fn is_on(&self, group: Group) -> bool {
        self.settings.on[group as usize]
    }

    /// The first look at any request: whether its session, and then its account, still has one.
    ///
    /// # Errors
    /// It has not.
    #[inline]
    pub fn throttle_session(&mut self, comp_no: CompNo, at: Moment) -> Result<(), Rule> {
        match self.sessions.get_mut(comp_no) {
            Some(bucket) => bucket.take(at.now_ns).then_some(()).ok_or(Rule::SessionThrottled),
            None => Ok(()),
        }
    }

    /// Whether a session has been refused so often in a row that it is to be ended.
    #[inline]
    pub fn is_flood(&self, comp_no: CompNo) -> bool {
        let after = self.settings.throttle_disconnect_after;
        after > 0 && self.sessions.get(comp_no).is_some_and(|bucket| bucket.refused() >= after)
    }

    /// All rules for an order whose fields make sense.
    ///
    /// # Errors
    /// The first that it does not keep.
    #[inline]
    pub fn order(
        &mut self,
        at: Moment,
        account: AccountKey,
        core: Core,
        order: &NewOrder,
    ) -> Result<(), Refusal> {
        self.rates.throttle(account, at.now_ns)?;
        let limit = order.ord_type == OrdType::LIMIT;
        let found = self.found(order.base.security_id, order.base.security_id_source)?;
        match found {
            Some((number, security)) => self.of_security(at, (number, security), order)?,
            None if self.is_on(Group::Largest) => {
                let worth = (order.price.raw(), order.order_qty.raw());
                size::notional(None, limit, worth, self.settings.notional_max)?;
            }
            None => {}
        }
        self.self_cross(account, order)?;
        if self.is_on(Group::Rate) {
            self.rates.order(account, at.now_ns)?;
        }
        if let Some((number, security)) = found
            && self.is_on(Group::Margin)
            && order.ext.cash_margin == CashMargin::MARGIN_OPEN
        {
            self.margin(at, (number, security), order)?;
        }
        if self.is_on(Group::Kill) {
            self.kill.order(account)?;
        }
        for (number, check) in self.own.iter_mut().enumerate() {
            let submission = Submission { at, account, core, order };
            check.order(&submission).map_err(|verdict| Refusal::Own(number as u8, verdict))?;
        }
        Ok(())
    }

    /// The security of an order, where there is reference data.
    #[inline]
    fn found(
        &self,
        id: wire::szse::SecurityId,
        source: wire::szse::SecurityIdSource,
    ) -> Result<Option<(SecurityNo, &Security)>, Rule> {
        if !self.tables.has_securities {
            return Ok(None);
        }
        match self.tables.number(id, source) {
            Ok(number) => Ok(Some((number, self.tables.security(number)))),
            Err(rule) if self.is_on(Group::Security) => Err(rule),
            Err(_) => Ok(None),
        }
    }

    /// The rules that know the security, as far as the largest order.
    #[inline]
    fn of_security(
        &self,
        at: Moment,
        (number, security): (SecurityNo, &Security),
        order: &NewOrder,
    ) -> Result<(), Rule> {
        let limit = order.ord_type == OrdType::LIMIT;
        let (price, quantity) = (order.price.raw(), order.order_qty.raw());
        // Outside the phases that the rule would refuse in, nobody asks for the cage either.
        let phase = self.phase(at, security);
        if self.is_on(Group::Phase) {
            phase?.order(limit)?;
        }
        if self.is_on(Group::Security) && security.suspended {
            return Err(Rule::Suspended);
        }
        if self.is_on(Group::Lot) {
            size::lot(security, order.side, quantity)?;
        }
        if limit {
            if self.is_on(Group::Tick) {
                price::tick(security, price)?;
            }
            if self.is_on(Group::Limit) {
                price::limit(security, price)?;
            }
            // Where phases are not looked at, it is always the continuous one.
            let caged = phase.map_or(!self.is_on(Group::Phase), |phase| phase.cage);
            if caged && self.is_on(Group::Cage) {
                self.against_market(at, number, Rule::CageStale, |quote| {
                    price::cage(security, self.tables.cage_own_side, quote, order.side, price)
                })?;
            }
        }
        if self.is_on(Group::Largest) {
            size::largest(security, limit, quantity)?;
            size::notional(Some(security), limit, (price, quantity), self.settings.notional_max)?;
        }
        Ok(())
    }

    /// The phase that a security is in.
    #[inline]
    fn phase(&self, at: Moment, security: &Security) -> Result<&super::phase::Phase, Rule> {
        let (day, ms_of_day) = self.tables.zone.at(at.wall_ns);
        if day != self.tables.day {
            return Err(Rule::OtherDay);
        }
        if !self.tables.trading {
            return Err(Rule::MarketClosed);
        }
        self.tables.schedule(security).at(ms_of_day)
    }

    /// Holds an order against the market's prices; those that are stale refuse it or let it pass.
    #[inline]
    fn against_market(
        &self,
        at: Moment,
        number: SecurityNo,
        stale: Rule,
        rule: impl FnOnce(Option<Quote>) -> Result<(), Rule>,
    ) -> Result<(), Rule> {
        if self.settings.market == Market::PreviousClose {
            return rule(None);
        }
        let now_ns = u64::try_from(at.wall_ns).unwrap_or(0);
        let since_ns = now_ns.saturating_sub(self.settings.quote_age_ns_max);
        match self.tables.directory.quotes.quote(number, since_ns) {
            quote @ Some(_) => rule(quote),
            None if self.settings.market == Market::FreshQuotes => Err(stale),
            None => {
                self.stale.set(self.stale.get() + 1);
                Ok(())
            }
        }
    }

    /// Orders that passed a rule because the market's prices were stale, since the start.
    pub fn stale(&self) -> u64 {
        self.stale.get()
    }

    #[inline]
    fn margin(
        &self,
        at: Moment,
        (number, security): (SecurityNo, &Security),
        order: &NewOrder,
    ) -> Result<(), Rule> {
        if order.side == Side::BUY {
            return if security.margin_buy { Ok(()) } else { Err(Rule::NoMarginBuy) };
        }
        if !security.short_sale {
            return Err(Rule::NoShortSale);
        }
        if order.ord_type == OrdType::LIMIT {
            return self.against_market(at, number, Rule::ShortSaleStale, |quote| {
                price::short_sale(security, quote, order.price.raw())
            });
        }
        if self.tables.short_market_orders { Ok(()) } else { Err(Rule::ShortSaleMarket) }
    }

    /// Whether an order could trade with one of its own account; and whether it can be kept in mind at all.
    #[inline]
    fn self_cross(&self, account: AccountKey, order: &NewOrder) -> Result<(), Rule> {
        let Some(open) = &self.open else { return Ok(()) };
        if open.is_full() {
            return Err(Rule::OpenOrders);
        }
        if !self.is_on(Group::SelfCross) {
            return Ok(());
        }
        let (id, source) = (order.base.security_id, order.base.security_id_source);
        let (count, mut orders) = open.of_security(account, id, source);
        if count > self.settings.self_cross_orders_max {
            return Err(Rule::OpenOrders);
        }
        let price = worst_price(order.ord_type, order.side, order.price.raw());
        if orders.any(|other| other.meets(order.side, price)) { Err(Rule::SelfCross) } else { Ok(()) }
    }

    /// All rules for a cancel of an order that is known.
    ///
    /// # Errors
    /// The first that it does not keep.
    #[inline]
    pub fn cancel(&mut self, at: Moment, order: &Order, request: &OrderCancelRequest) -> Result<(), Refusal> {
        self.rates.throttle(order.account, at.now_ns)?;
        self.phase_takes_cancel(at, request)?;
        for (number, check) in self.own.iter_mut().enumerate() {
            let verdict = check.cancel(at, order, request);
            verdict.map_err(|verdict| Refusal::Own(number as u8, verdict))?;
        }
        Ok(())
    }

    /// A security that is not known here is no reason to keep a cancel from the core that has its order.
    #[inline]
    pub(crate) fn phase_takes_cancel(&self, at: Moment, request: &OrderCancelRequest) -> Result<(), Rule> {
        if !self.is_on(Group::Phase) || !self.tables.has_securities {
            return Ok(());
        }
        match self.tables.number(request.base.security_id, request.base.security_id_source) {
            Ok(number) => self.phase(at, self.tables.security(number))?.cancel(),
            Err(_) => Ok(()),
        }
    }

    /// An order is on its way.
    #[inline]
    pub fn sent(&mut self, at: Moment, sender: Sender, account: AccountKey, core: Core, order: &NewOrder) {
        self.rates.sent(account, at.now_ns);
        if let Some(open) = &mut self.open {
            // There is room: `self_cross` has looked.
            self.untracked += u64::from(!open.add(Open::sent(account, core, sender, order)));
        }
        let submission = Submission { at, account, core, order };
        self.own.iter_mut().for_each(|check| check.sent(&submission));
    }

    /// A cancel is on its way.
    #[inline]
    pub fn cancel_sent(&mut self, at: Moment, account: AccountKey) {
        self.rates.sent(account, at.now_ns);
    }

    /// A report of an account came, for the first time: what it says of the day.
    #[inline]
    pub fn reported(&mut self, core: Core, account: AccountKey, frame: Frame<'_>) {
        let report = Reported { core, account, frame };
        self.own.iter_mut().for_each(|check| check.reported(&report));
        match frame.msg_type {
            OrderReport::MSG_TYPE => {
                if let Ok(report) = frame.view::<OrderReport>() {
                    self.order_reported(core, account, report);
                }
            }
            TradeReport::MSG_TYPE => {
                if let (Some(open), Ok(report)) = (&mut self.open, frame.view::<TradeReport>()) {
                    open.set_leaves(account, report.cl_ord_id, report.leaves_qty.raw());
                }
            }
            // The reject of a cancel: a request like others.
            _ => self.rates.answered(account),
        }
    }

    #[inline]
    fn order_reported(&mut self, core: Core, account: AccountKey, report: &OrderReport) {
        // What a cancel takes has the cancel's ClOrdID; what does not rest, its own.
        let asked = report.exec_type != ExecType::CANCELLED || report.cl_ord_id != report.orig_cl_ord_id;
        if asked {
            self.rates.answered(account);
        }
        let Some(open) = &mut self.open else { return };
        match report.exec_type {
            ExecType::NEW => {
                let sender = open.turns_up(account, report.cl_ord_id);
                let order = Open {
                    account,
                    cl_ord_id: report.cl_ord_id,
                    security_id: report.base.security_id,
                    source: report.base.security_id_source,
                    side: report.side,
                    price: worst_price(report.ord_type, report.side, report.price.raw()),
                    leaves: report.order_qty.raw(),
                    core,
                    sender,
                    submitting_pbu_id: report.base.submitting_pbu_id,
                };
                self.untracked += u64::from(!open.add(order));
            }
            // The second of two that have one name: the first is as it was.
            ExecType::REJECTED if report.ord_rej_reason == OrdRejReason::DUPLICATE_ORDER => {}
            ExecType::REJECTED => open.remove(account, report.cl_ord_id),
            ExecType::CANCELLED => {
                let named =
                    if report.orig_cl_ord_id.is_blank() { report.cl_ord_id } else { report.orig_cl_ord_id };
                open.remove(account, named);
            }
            _ => {}
        }
    }

    /// A core has said nothing of an order for so long that it is taken for not there.
    #[cold]
    pub fn given_up(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        if let Some(open) = &mut self.open {
            open.give_up(account, cl_ord_id);
        }
        self.own.iter_mut().for_each(|check| check.refused(account, cl_ord_id));
    }

    /// A core refused an order without a report.
    pub fn refused(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        if let Some(open) = &mut self.open {
            open.remove(account, cl_ord_id);
        }
        self.own.iter_mut().for_each(|check| check.refused(account, cl_ord_id));
    }
}

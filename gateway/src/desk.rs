//! Hot path: the one walk of every request: whose it is, whether it makes sense, which core it is for.
//!
//! Rules: no I/O, no allocation, no clock.

use crate::accounts::{Accounts, CompNo};
use crate::audit::Health;
use crate::check::{self, Checks, Moment, Refusal, Sender};
use crate::orders::{AccountKey, Order, Orders};
use crate::route::{self, Core};
use wire::szse::trading::{NewOrder, OrderCancelRequest};

/// What is known about clients, their orders and the cores.
pub struct Desk {
    /// Who may trade what.
    pub accounts: Accounts,
    /// The orders known.
    pub orders: Orders,
    /// The pre-trade rules.
    pub checks: Checks,
    /// Cores whose line takes orders.
    pub up: [bool; 2],
    /// Cores that have not come as far in their reports as they had been: they get no orders.
    pub behind: [bool; 2],
    /// What the audit lets happen.
    pub audit: Health,
    /// Nothing new is taken.
    pub closing: bool,
}

impl Desk {
    /// A desk with all lines down.
    pub fn new(accounts: Accounts, orders_max: u32, checks: Checks) -> Self {
        Self {
            accounts,
            orders: Orders::new(orders_max),
            checks,
            up: [false; 2],
            behind: [false; 2],
            audit: Health::Good,
            closing: false,
        }
    }

    /// Whose an order is and which core it goes to. Once it is on its way, tell [`Self::sent`].
    ///
    /// # Errors
    /// Why it is refused instead.
    #[inline]
    pub fn new_order(
        &mut self,
        at: Moment,
        comp_no: CompNo,
        request: &NewOrder,
    ) -> Result<(AccountKey, Core), Refusal> {
        if self.accounts[comp_no].read_only {
            return Err(Refusal::ReadOnly);
        }
        self.checks.throttle_session(comp_no, at)?;
        let account = self
            .accounts
            .key(request.account_id)
            .filter(|account| self.accounts[comp_no].owns(*account))
            .ok_or(Refusal::Account)?;
        check::order(request)?;
        let core = self.reachable(route::order(request.ext.cash_margin)?)?;
        if self.behind[core as usize] {
            return Err(Refusal::ReportsMissing);
        }
        if self.audit != Health::Good {
            return Err(Refusal::AuditUnavailable);
        }
        // One that the core refused without a report may come again; one without an answer is found under way.
        let before = self.orders.by_identity(account, request.cl_ord_id);
        if before.is_some_and(|first| first.core != core || !first.order_id.is_blank()) {
            return Err(Refusal::Duplicate);
        }
        self.checks.order(at, account, core, request)?;
        Ok((account, core))
    }

    /// An order is on its way.
    #[inline]
    pub fn sent(
        &mut self,
        at: Moment,
        sender: Sender,
        (account, core): (AccountKey, Core),
        request: &NewOrder,
    ) {
        self.orders.sent(account, request.cl_ord_id, core);
        self.checks.sent(at, sender, account, core, request);
    }

    /// The order that a cancel means. The cancel is to be sent with its OrderID where that is known, so that the core
    /// cannot take it for another's. Tell [`Self::cancel_sent`] once it is on its way.
    ///
    /// # Errors
    /// Why it is refused instead.
    #[inline]
    pub fn cancel(
        &mut self,
        at: Moment,
        comp_no: CompNo,
        request: &OrderCancelRequest,
    ) -> Result<Order, Refusal> {
        if self.accounts[comp_no].read_only {
            return Err(Refusal::ReadOnly);
        }
        self.checks.throttle_session(comp_no, at)?;
        check::cancel(request)?;
        let order = route::cancel(&self.orders, &self.accounts[comp_no].accounts, request)?;
        self.reachable(order.core)?;
        if self.audit == Health::Nothing {
            return Err(Refusal::AuditUnavailable);
        }
        self.checks.cancel(at, &order, request)?;
        Ok(order)
    }

    /// A cancel of an order is on its way.
    #[inline]
    pub fn cancel_sent(&mut self, at: Moment, order: &Order, request: &OrderCancelRequest) {
        self.orders.cancel_sent(request, order.account, order.core);
        self.checks.cancel_sent(at, order.account);
    }

    #[inline]
    fn reachable(&self, core: Core) -> Result<Core, Refusal> {
        if self.closing {
            Err(Refusal::Closing)
        } else if self.up[core as usize] {
            Ok(core)
        } else {
            Err(core.line_down())
        }
    }
}

//! Hot path: the one walk of every request: whose it is, whether it makes sense, which core it is for.
//!
//! Rules: no I/O, no allocation, no clock. A request that leaves here with a core is remembered as sent.

use crate::accounts::{Accounts, CompNo};
use crate::check::{self, Refusal};
use crate::orders::Orders;
use crate::route::{self, Core};
use wire::szse::Text;
use wire::szse::trading::{NewOrder, OrderCancelRequest};

/// What is known about clients, their orders and the cores.
pub struct Desk {
    /// Who may trade what.
    pub accounts: Accounts,
    /// The orders known.
    pub orders: Orders,
    /// Cores whose line takes orders.
    pub up: [bool; 2],
    /// Nothing new is taken.
    pub closing: bool,
}

impl Desk {
    /// A desk with all lines down.
    pub fn new(accounts: Accounts, orders_max: u32) -> Self {
        Self { accounts, orders: Orders::new(orders_max), up: [false; 2], closing: false }
    }

    /// The core that an order goes to.
    ///
    /// # Errors
    /// Why it is refused instead.
    #[inline]
    pub fn new_order(&mut self, comp_no: CompNo, request: &NewOrder) -> Result<Core, Refusal> {
        let account = self
            .accounts
            .key(request.account_id)
            .filter(|account| self.accounts[comp_no].owns(*account))
            .ok_or(Refusal::Account)?;
        check::order(request)?;
        let core = self.reachable(route::order(request.ext.cash_margin)?)?;
        self.orders.sent(account, request.cl_ord_id, core);
        Ok(core)
    }

    /// The core that a cancel goes to, and the OrderID that it is to be sent with: blank while that is not known.
    ///
    /// # Errors
    /// Why it is refused instead.
    #[inline]
    pub fn cancel(
        &mut self,
        comp_no: CompNo,
        request: &OrderCancelRequest,
    ) -> Result<(Core, Text<16>), Refusal> {
        check::cancel(request)?;
        let order = route::cancel(&self.orders, &self.accounts[comp_no].accounts, request)?;
        let core = self.reachable(order.core)?;
        if order.order_id.is_blank() {
            self.orders.cancel_sent(request, order.account);
        }
        Ok((core, order.order_id))
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

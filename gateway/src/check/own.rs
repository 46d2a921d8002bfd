//! The `Check` door: a rule of the integrator's own, which runs behind ours.

use crate::check::Moment;
use crate::orders::{AccountKey, Order};
use crate::route::Core;
use wire::szse::trading::{NewOrder, OrderCancelRequest};
use wire::szse::{Frame, Text};

/// Checks of an integrator's own that one gateway takes.
pub const OWN_CHECKS_MAX: usize = 8;

/// An order that kept all of our rules and is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// When.
    pub at: Moment,
    /// Whose it is: small numbers from 1, the same while the gateway runs.
    pub account: AccountKey,
    /// Where it goes.
    pub core: Core,
    /// The order.
    pub order: &'a NewOrder,
}

/// A report of a core: an order's (`OrderReport`), a trade's (`TradeReport`), or that a cancel was not carried out
/// (`CancelReject`).
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// From which core.
    pub core: Core,
    /// Whose it is.
    pub account: AccountKey,
    /// The report as the core has sent it.
    pub frame: Frame<'a>,
}

/// Why an own rule refuses: BusinessRejectReason and BusinessRejectText of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// BusinessRejectReason. From 10,000 on nothing of ours is in the way.
    pub code: u16,
    /// BusinessRejectText; what is beyond 50 bytes is cut.
    pub text: &'static str,
}

/// A pre-trade rule of one's own, called on the hot thread for each order that kept ours, in the order in which they
/// were given to [`crate::Server::with_check`]. Keep to the rules of a hot path: no allocation, no lock, no log, no I/O, no
/// unbounded loop; state that must come from elsewhere is handed over by an atomic or a channel that is polled.
///
/// A rule that counts, money or orders of a day, counts what it is told by [`Self::sent`], [`Self::reported`] and
/// [`Self::refused`], and not what [`Self::order`] lets pass: another rule may refuse it still. A gateway that starts reads the
/// day's reports from the first on, so what a rule has from them it has again after a restart, orders by other gateways
/// among them.
///
/// ```
/// use gateway::check::{Check, Submission, Verdict};
/// use wire::szse::code::OrdType;
///
/// /// No market orders from branch 0042.
/// struct LimitOrdersOnly;
///
/// impl Check for LimitOrdersOnly {
///     fn name(&self) -> &'static str {
///         "limit orders only"
///     }
///
///     fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict> {
///         let order = submission.order;
///         if order.branch_id.as_str() == Some("0042") && order.ord_type != OrdType::LIMIT {
///             return Err(Verdict { code: 10_001, text: "branch 0042 sends limit orders only" });
///         }
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = gateway::Config::default();
/// config.listen.address.set_port(0);
/// let server = gateway::Server::bind(config, &service::Host::default())?;
/// let server = server.with_check(Box::new(LimitOrdersOnly));
/// # Ok(())
/// # }
/// ```
pub trait Check: Send {
    /// Its name: the label of its counter `gateway_requests_refused_total`.
    fn name(&self) -> &'static str;

    /// Looks at an order.
    ///
    /// # Errors
    /// Why it is refused.
    fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict>;

    /// Looks at a cancel of `order`.
    ///
    /// # Errors
    /// Why it is refused.
    fn cancel(&mut self, _at: Moment, _order: &Order, _request: &OrderCancelRequest) -> Result<(), Verdict> {
        Ok(())
    }

    /// An order that kept all rules, those behind this one too, is on its way to its core. What becomes of it is told by
    /// [`Self::reported`] or [`Self::refused`]. One that is sent again over another line is not told again.
    fn sent(&mut self, _submission: &Submission<'_>) {}

    /// A report of an account that may trade here came, for the first time since the gateway started: in the order of each
    /// partition's ReportIndex.
    fn reported(&mut self, _report: &Reported<'_>) {}

    /// A core has refused an order without a report, or has not taken it in time: as far as is known it exists nowhere.
    fn refused(&mut self, _account: AccountKey, _cl_ord_id: Text<10>) {}
}

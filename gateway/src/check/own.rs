//! The `Check` door: a rule of the integrator's own, which runs behind ours.

use crate::check::Moment;
use crate::orders::{AccountKey, Order};
use crate::route::Core;
use wire::szse::trading::{NewOrder, OrderCancelRequest};

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
}

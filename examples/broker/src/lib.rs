//! An integration to begin with: what a securities broker puts behind and into a gateway of Tongdao, each part as small as it can
//! be while it is true. docs/integration.md walks through it.
//!
//! - [`check`]: two pre-trade rules of a broker's own, [`gateway::check::Check`];
//! - [`rights`]: who may see what of a feed's quotes, [`feed::entitlement::Entitlement`];
//! - [`vendor`]: quotes of a vendor who speaks lines of text, [`feed::door::Source`];
//! - [`store`]: an audit in JSON lines, [`gateway::audit::Store`];
//! - [`lines`]: the protocol of a counter, [`core_port::adapter::Counter`];
//! - [`counter`]: that counter itself, a toy: in place of the broker's.

pub mod check;
pub mod counter;
pub mod lines;
pub mod rights;
pub mod store;
pub mod vendor;

//! What all browsers share. It lives on one thread, and nothing of it is locked.

use crate::web::config::Web;
use crate::web::entitlement::Gate;
use crate::web::market::Market;
use crate::web::metrics::Metrics;
use crate::web::names::Names;
use axum::extract::ws::Utf8Bytes;
use service::Shutdown;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::watch;
use transport::Clock;

pub(super) struct Room {
    pub(super) config: Web,
    pub(super) metrics: Metrics,
    pub(super) names: Names,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    /// Borrowed for a moment at a time, never over an await.
    pub(super) market: RefCell<Market>,
    /// The market has moved.
    pub(super) moved: watch::Sender<()>,
    /// What is said of the sources and channels, once a second; empty before the first time.
    pub(super) state: watch::Sender<Utf8Bytes>,
}

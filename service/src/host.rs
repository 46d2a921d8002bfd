//! What a server is given by the process that it lives in.

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;

use crate::shutdown::Shutdown;

/// What a server is given by the process that it lives in. Several servers in one process have one
/// each, so their metrics and lifecycles stay apart; nothing in this crate is global.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where the server registers its metrics, and what `/metrics` shows.
    pub registry: Registry,
    /// The phase of its life, and the way to end it.
    pub shutdown: Shutdown,
}

impl Host {
    /// A host with the metrics of this process (CPU seconds, memory, open files), for a server that
    /// has the process to itself. Embedded servers use [`Host::default`].
    ///
    /// # Errors
    /// When the process collector cannot be registered, which only a bug can cause.
    pub fn for_process() -> prometheus::Result<Self> {
        let host = Self::default();
        host.registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(host)
    }
}

//! Balancers in front of a server that say for whom they connect (the PROXY protocol): validated, and counted.

use crate::config::Invalid;
use prometheus::IntCounter;
use std::sync::Arc;
pub use transport::proxy_protocol::AcceptProxy;
use transport::proxy_protocol::{Headers, Outcome};

/// Checks an `accept_proxy`; `key` is what it is called where it stands.
///
/// # Errors
/// [`Invalid`] for what makes no sense.
pub fn validate(settings: &AcceptProxy, key: &str) -> Result<(), Invalid> {
    if settings.timeout_ms == 0 {
        return Err(Invalid::new(format!("{key}.timeout_ms"), "expected more than 0"));
    }
    Ok(())
}

/// What a listener takes of balancers; `counter` gives the counter of each outcome by its name. `None` without balancers.
pub fn headers(settings: &AcceptProxy, counter: impl Fn(&str) -> IntCounter) -> Option<Arc<Headers>> {
    (!settings.from.is_empty()).then(|| live_headers(settings, counter))
}

/// [`headers`] whose settings may change: also without balancers now.
pub fn live_headers(settings: &AcceptProxy, counter: impl Fn(&str) -> IntCounter) -> Arc<Headers> {
    let counters = Outcome::ALL.map(|outcome| (outcome, counter(outcome.name())));
    Headers::new(settings.clone(), move |outcome| {
        if let Some((_, counter)) = counters.iter().find(|(counted, _)| *counted == outcome) {
            counter.inc();
        }
    })
}

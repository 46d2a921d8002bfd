//! A source's thread: it runs the source, and runs it again when it has ended.

use super::{Inlet, Source};
use crate::config;
use crate::source::Backoff;
use service::Phase;
use std::time::Duration;
use transport::Clock;

/// Between two looks whether the feed has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A source and its way into the feed, until its thread is started.
pub(crate) struct Runner {
    pub(crate) name: String,
    source: Box<dyn Source>,
    inlet: Inlet,
    backoff: Backoff,
}

impl Runner {
    pub(crate) fn new(config: &config::Source, source: Box<dyn Source>, inlet: Inlet, seed: u64) -> Self {
        let backoff = Backoff::new(config.backoff_min_ms, config.backoff_max_ms, seed);
        Self { name: config.name.clone(), source, inlet, backoff }
    }

    /// Runs it until the feed ends.
    pub(crate) fn run(mut self) {
        let clock = Clock::start();
        while self.inlet.shutdown.phase() == Phase::Running {
            if !self.inlet.is_wanted() {
                // Down by the operator.
                std::thread::sleep(LOOK);
                continue;
            }
            let begun_ns = clock.now_ns();
            let why = match self.source.run(&mut self.inlet) {
                Ok(()) => "ended".to_owned(),
                Err(over) => over.to_string(),
            };
            tracing::debug!(source = self.name, why, "a source of the door has ended");
            self.inlet.gone(why);
            self.backoff.connection_lasted(clock.now_ns() - begun_ns);
            let until_ns = clock.now_ns() + self.backoff.delay_ns();
            while clock.now_ns() < until_ns && self.inlet.shutdown.phase() == Phase::Running {
                std::thread::sleep(LOOK.min(Duration::from_nanos(until_ns.saturating_sub(clock.now_ns()))));
            }
        }
    }
}

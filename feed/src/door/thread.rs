//! A source's thread: it runs the source, and runs it again when it has ended.

use super::{Inlet, Source};
use crate::config;
use crate::source::Backoff;
use service::Phase;
use service::prometheus::IntCounter;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    panics: IntCounter,
}

impl Runner {
    /// `panics` counts those of the source.
    pub(crate) fn new(
        config: &config::Source,
        source: Box<dyn Source>,
        inlet: Inlet,
        seed: u64,
        panics: IntCounter,
    ) -> Self {
        let backoff = Backoff::new(config.backoff_min_ms, config.backoff_max_ms, seed);
        Self { name: config.name.clone(), source, inlet, backoff, panics }
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
            let why = self.run_once();
            tracing::debug!(source = self.name, why, "a source of the door has ended");
            self.inlet.gone(why);
            self.backoff.connection_lasted(clock.now_ns() - begun_ns);
            let until_ns = clock.now_ns() + self.backoff.delay_ns();
            while clock.now_ns() < until_ns && self.inlet.shutdown.phase() == Phase::Running {
                std::thread::sleep(LOOK.min(Duration::from_nanos(until_ns.saturating_sub(clock.now_ns()))));
            }
        }
    }

    /// Why the source has ended. A panic is the integrator's code's and ends the source alone, not the feed: the inlet is whole after it, what
    /// was not handed over is dropped, and the source itself begins anew in `run`.
    fn run_once(&mut self) -> String {
        let Self { source, inlet, .. } = self;
        match catch_unwind(AssertUnwindSafe(|| source.run(inlet))) {
            Ok(Ok(())) => "ended".to_owned(),
            Ok(Err(over)) => over.to_string(),
            Err(panic) => {
                let what = message(&*panic);
                tracing::error!(
                    source = self.name,
                    what,
                    "a source of the door panicked: it is run again after a pause"
                );
                self.panics.inc();
                format!("panicked: {what}")
            }
        }
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

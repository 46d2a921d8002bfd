//! What a server is given by the process that it lives in.

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

use crate::config::Origin;
use crate::shutdown::Shutdown;

/// What a server is given by the process that it lives in. Several servers in one process have one
/// each, so their metrics and lifecycles stay apart; nothing in this crate is global.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where the server registers its metrics, and what `/metrics` shows.
    pub registry: Registry,
    /// The phase of its life, and the way to end it.
    pub shutdown: Shutdown,
    /// Where the server's configuration is from; see [`crate::cli::ServiceArgs::host`].
    pub origin: Origin,
}

impl Host {
    /// A host with the metrics of this process (CPU seconds, memory, open files), for a server that
    /// has the process to itself. Embedded servers use [`Host::default`].
    ///
    /// # Errors
    /// When the process collector cannot be registered, which only a bug can cause.
    pub fn for_process() -> prometheus::Result<Self> {
        let host = Self::default();
        host.registry.register(Box::new(ThisProcess(ProcessCollector::for_self())))?;
        Ok(host)
    }
}

const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// What `prometheus` tells of a process, but for its CPU time: of that it counts whole seconds, which is nothing for a short
/// run and steps in a rate.
struct ThisProcess(ProcessCollector);

impl Collector for ThisProcess {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for family in families.iter_mut().filter(|family| family.name() == CPU_SECONDS) {
            for metric in family.mut_metric() {
                let mut counter = Counter::default();
                counter.set_value(cpu_seconds());
                metric.set_counter(counter);
            }
        }
        families
    }
}

/// CPU time of all threads of this process so far, seconds.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_the_process_is_exact() {
        let host = Host::for_process().unwrap();
        let before = cpu_seconds();
        let text = crate::metrics::text(&host.registry);
        let after = cpu_seconds();
        let told = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")).unwrap();
        let told: f64 = told.parse().unwrap();
        assert!(before <= told && told <= after, "{before} {told} {after}");
    }

    #[test]
    fn the_other_metrics_of_the_process_keep_their_names() {
        let text = crate::metrics::text(&Host::for_process().unwrap().registry);
        for name in [
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {text}");
        }
    }
}

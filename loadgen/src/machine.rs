//! On what a run was made.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Main memory, bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one; what the system does not say is empty or 0.
    #[must_use]
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").to_string(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kilobytes(field(&read("/proc/meminfo"), "MemTotal")) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
        }
    }
}

/// CPU time of this process so far, seconds: the generator's, and that of what runs inside it.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map_or("", |(_, value)| value.trim())
}

fn kilobytes(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.0: x\nMemTotal:  2048 kB\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2.0: x");
        assert_eq!(kilobytes(field(text, "MemTotal")), 2048);
        assert_eq!((field(text, "absent"), kilobytes("")), ("", 0));
    }

    #[test]
    fn time_on_the_cpu_is_counted() {
        assert!(cpu_seconds() > 0.0);
    }
}

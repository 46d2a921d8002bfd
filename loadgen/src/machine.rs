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

/// Threads of this program that play clients and sources begin with this.
const CLIENTS: &str = "loadgen-";
/// A thread that has so much to do has no room for a burst: what it measures is in part its own queue.
pub const BUSY_PERCENT_MAX: f64 = 70.0;

/// What the generator's threads had used when it began, to tell whether one of them had too much to do.
#[derive(Debug)]
pub struct Busy {
    since_ns: u64,
    used_ns: Vec<(String, u64)>,
}

/// The thread of the generator that had most to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Busiest {
    /// Its name.
    pub thread: String,
    /// Of the time, how much it was on a CPU, percent.
    pub percent: f64,
}

impl Busy {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        Self { since_ns: monotonic_ns(), used_ns: threads() }
    }

    /// Which thread had most to do since then; `None` where the system does not say.
    #[must_use]
    pub fn end(&self) -> Option<Busiest> {
        let elapsed_ns = monotonic_ns().saturating_sub(self.since_ns).max(1);
        let percent = |used_ns: u64| used_ns as f64 * 100.0 / elapsed_ns as f64;
        let since = |(task, now_ns): (String, u64)| {
            let before = self.used_ns.iter().find(|(known, _)| *known == task).map_or(0, |(_, ns)| *ns);
            let thread = task.split_once(' ').map_or("", |(_, name)| name).to_owned();
            Busiest { thread, percent: percent(now_ns.saturating_sub(before)) }
        };
        threads().into_iter().map(since).max_by(|one, other| one.percent.total_cmp(&other.percent))
    }
}

impl Busiest {
    /// What is to be said of a thread that had too much to do.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { thread, percent } = self;
        (*percent > BUSY_PERCENT_MAX).then(|| {
            format!(
                "the generator's thread {thread} was busy for {percent:.0} % of the time: what it measured may be its own queue (take more threads, or a lower rate)"
            )
        })
    }
}

/// Threads of this process that are the generator's: number and name, and CPU time, nanoseconds (proc(5), `schedstat`).
fn threads() -> Vec<(String, u64)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let of_task = |task: fs::DirEntry| {
        // It may have ended since the folder was read.
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let used = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let used_ns = used.split(' ').next()?.parse().ok()?;
        let name = name.trim_end();
        name.starts_with(CLIENTS).then(|| (format!("{} {name}", task.file_name().to_string_lossy()), used_ns))
    };
    tasks.flatten().filter_map(of_task).collect()
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
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
    fn a_thread_that_never_rests_is_named() {
        let (to, from) = std::sync::mpsc::sync_channel::<()>(1);
        let busy = Busy::begin();
        let thread = std::thread::Builder::new().name("loadgen-x".to_owned());
        let thread = thread.spawn(move || {
            let mut turns = 0_u64;
            while from.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                turns = std::hint::black_box(turns + 1);
            }
        });
        let busiest = loop {
            // Other tests have threads of such names, too.
            if let Some(busiest) = busy.end().filter(|busiest| busiest.thread == "loadgen-x") {
                break busiest;
            }
            std::thread::yield_now();
        };
        drop(to);
        thread.unwrap().join().unwrap();
        assert!(busiest.percent > 0.0, "{busiest:?}");
        assert!(Busiest { percent: 71.0, ..busiest.clone() }.warning().unwrap().contains("loadgen-x"));
        assert_eq!(Busiest { percent: 69.0, ..busiest }.warning(), None);
    }

    #[test]
    fn time_on_the_cpu_is_counted() {
        assert!(cpu_seconds() > 0.0);
    }
}

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

/// Shorter than this, a look says more about the moment than about the thread.
const SPAN_NS_MIN: u64 = 500_000_000;

/// How much the generator's threads have to do, to tell whether it was too much for one of them. What counts is the span between two
/// looks in which one had most: over a whole run, a burst would vanish in the quiet around it, and with it a thread that ends.
#[derive(Debug)]
pub struct Busy {
    began_ns: u64,
    /// When it was looked last, and what each thread had used by then.
    looked_ns: u64,
    used_ns: Vec<(String, u64)>,
    busiest: Option<Busiest>,
}

/// The thread of the generator that had most to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Busiest {
    /// Its name.
    pub thread: String,
    /// Of the time, how much it was on a CPU, percent.
    pub percent: f64,
    /// When that time began, seconds after the start.
    #[serde(default)]
    pub at_s: f64,
    /// How long it was, seconds.
    #[serde(default)]
    pub for_s: f64,
}

impl Busy {
    /// From now on.
    #[must_use]
    pub fn begin(now_ns: u64) -> Self {
        Self { began_ns: now_ns, looked_ns: now_ns, used_ns: threads(), busiest: None }
    }

    /// Looks at what was used since the last time, unless that was only just now.
    pub fn look(&mut self, now_ns: u64) {
        if now_ns >= self.looked_ns + SPAN_NS_MIN {
            self.seen(now_ns, threads());
        }
    }

    /// Which thread had most to do between two looks or, where nobody looked, in the whole time; `None` where the system does not
    /// say.
    #[must_use]
    pub fn end(mut self, now_ns: u64) -> Option<Busiest> {
        if self.busiest.is_none() {
            self.look(now_ns);
        }
        self.busiest
    }

    /// So much had each thread used by now.
    fn seen(&mut self, now_ns: u64, used_ns: Vec<(String, u64)>) {
        let span_ns = now_ns.saturating_sub(self.looked_ns).max(1);
        for (task, ns) in &used_ns {
            let before_ns = self.used_ns.iter().find(|(known, _)| known == task).map_or(0, |(_, ns)| *ns);
            let percent = (ns.saturating_sub(before_ns) as f64 * 100.0 / span_ns as f64).min(100.0);
            if self.busiest.as_ref().is_none_or(|busiest| busiest.percent < percent) {
                self.busiest = Some(Busiest {
                    thread: task.split_once(' ').map_or("", |(_, name)| name).to_owned(),
                    percent,
                    at_s: self.looked_ns.saturating_sub(self.began_ns) as f64 / 1e9,
                    for_s: span_ns as f64 / 1e9,
                });
            }
        }
        (self.looked_ns, self.used_ns) = (now_ns, used_ns);
    }
}

impl Busiest {
    /// What is to be said of a thread that had too much to do.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { thread, percent, at_s, for_s } = self;
        (*percent > BUSY_PERCENT_MAX).then(|| {
            format!(
                "the generator's thread {thread} was busy for {percent:.0} % of {for_s:.1} s from {at_s:.1} s on: what it measured may be its own queue (take more threads, or a lower rate)"
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
    fn threads_are_known_by_name_and_by_what_they_have_used() {
        let (to, from) = std::sync::mpsc::sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("loadgen-x".to_owned());
        let thread = thread.spawn(move || {
            let mut turns = 0_u64;
            while from.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                turns = std::hint::black_box(turns + 1);
            }
        });
        let has_used = |(task, ns): &(String, u64)| task.ends_with(" loadgen-x") && *ns > 0;
        while !threads().iter().any(has_used) {
            std::thread::yield_now();
        }
        drop(to);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn the_busiest_second_is_told_and_not_the_mean_of_all() {
        const MS: u64 = 1_000_000;
        let used = |threads: &[(&str, u64)]| -> Vec<_> {
            threads.iter().map(|(task, ms)| ((*task).to_owned(), ms * MS)).collect()
        };
        let begun = || Busy {
            began_ns: 5_000 * MS,
            looked_ns: 5_000 * MS,
            used_ns: used(&[("7 loadgen-y", 200)]),
            busiest: None,
        };
        let mut busy = begun();
        busy.seen(6_000 * MS, used(&[("7 loadgen-y", 300)]));
        // A storm in the second second, by a thread that is gone when it is looked again.
        busy.seen(7_000 * MS, used(&[("7 loadgen-y", 400), ("8 loadgen-z", 950)]));
        busy.seen(8_000 * MS, used(&[("7 loadgen-y", 1_000)]));
        let busiest = busy.end(8_000 * MS).unwrap();
        let expected = Busiest { thread: "loadgen-z".to_owned(), percent: 95.0, at_s: 1.0, for_s: 1.0 };
        assert_eq!(busiest, expected);
        let warning = busiest.warning().unwrap();
        assert!(warning.contains("loadgen-z was busy for 95 % of 1.0 s from 1.0 s on"), "{warning}");
        assert_eq!(Busiest { percent: 69.0, ..busiest }.warning(), None);
        // A moment is no span.
        let mut busy = begun();
        busy.look(5_499 * MS);
        assert_eq!((busy.looked_ns, &busy.busiest), (5_000 * MS, &None));
        assert_eq!(busy.end(5_499 * MS), None);
    }

    #[test]
    fn time_on_the_cpu_is_counted() {
        assert!(cpu_seconds() > 0.0);
    }
}

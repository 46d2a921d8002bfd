//! What the system says of a server's process.

use anyhow::Context;
use std::fs;

/// CPU time of a process, seconds.
pub(crate) fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server")?;
    let fields = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A figure of a process's memory, bytes.
pub(crate) fn memory(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("/proc/PID/status")?;
    Ok(kilobytes.parse::<f64>()? * 1024.0)
}

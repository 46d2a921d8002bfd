//! `gm speed`: rates of one core, in the manner of `openssl speed`. Cases run in turn in short slices, round after
//! round, and the median of the rounds is told: a busy neighbour then strikes all of them alike.

mod cases;
mod handshake;
mod rustcrypto;

use crate::output::tell_line;
use anyhow::Context;
use cases::Case;
use clap::Args;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Odd, so that there is a median.
const ROUNDS: usize = 7;

#[derive(Args)]
pub(crate) struct Speed {
    /// Write the figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Milliseconds for a slice; there are 7 of every case.
    #[arg(long, default_value_t = 60)]
    slice_ms: u64,
}

impl Speed {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut cases = cases::all()?;
        tell_line(&format!("sm4 backend: {}", gm::sm4::Backend::best()))?;
        let slice = Duration::from_millis(self.slice_ms);
        let mut rates = vec![[0.0; ROUNDS]; cases.len()];
        for round in 0..ROUNDS {
            for (case, rates) in cases.iter_mut().zip(&mut rates) {
                rates[round] = rate(case, slice);
            }
        }
        let mut figures = json!({ "rustcrypto": {} });
        for (case, rates) in cases.iter().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            let median = (rates[ROUNDS / 2] * 10.0).round() / 10.0;
            let target = if case.ours { &mut figures } else { &mut figures["rustcrypto"] };
            let (maker, size) = (case.maker(), case.size.unwrap_or(""));
            tell_line(&format!("{maker:<12} {:<19} {size:>6} {median:>12}", case.figure))?;
            match case.size {
                None => target[case.figure] = json!(median),
                Some(size) => {
                    let sizes = &mut target[case.figure];
                    if sizes.is_null() {
                        *sizes = Value::Object(Map::new());
                    }
                    sizes[size] = json!(median);
                }
            }
        }
        if let Some(path) = self.json {
            let text = serde_json::to_string_pretty(&figures)?;
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

/// Units of the case in a second: how often it ran, times its worth.
fn rate(case: &mut Case, slice: Duration) -> f64 {
    let (mut times, mut spent) = (0u32, Duration::ZERO);
    while spent < slice {
        // Reading the clock must not be what is measured: as many runs at a time as take about a tenth of a slice.
        let batch = if times == 0 { 1 } else { (times / 8).clamp(1, 4096) };
        spent += (case.run)(batch);
        times += batch;
    }
    f64::from(times) * case.worth / spent.as_secs_f64()
}

/// How long `batch` runs take.
fn timed<T>(batch: u32, mut run: impl FnMut() -> T) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "measuring is the purpose")]
    let start = Instant::now();
    for _ in 0..batch {
        black_box(run());
    }
    start.elapsed()
}

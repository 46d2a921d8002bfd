//! `loadgen compare`: results of earlier runs beside each other.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::html;
use super::result::Run;
use crate::figures::duration;
use crate::report::Percentiles;

/// More lines than this in a plot tell nothing.
const RUNS_MAX: usize = 8;

/// Results of scenarios (the JSON of `loadgen run`) beside each other; the first is what the others are held against
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The results
    #[arg(value_name = "FILE.json", required = true, num_args = 2..)]
    pub files: Vec<PathBuf>,
    /// Write the comparison as a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Reads them, writes the page, and says the same in a few lines.
///
/// # Errors
/// A file that is no result, or one that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<String> {
    ensure!(
        args.files.len() <= RUNS_MAX,
        "{} results: at most {RUNS_MAX} can be told apart",
        args.files.len()
    );
    let runs = args.files.iter().map(|path| Run::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let runs: Vec<_> = names(&args.files).into_iter().zip(runs).collect();
    if let Some(path) = &args.html {
        std::fs::write(path, html::compared(&runs)).with_context(|| path.display().to_string())?;
    }
    Ok(text(&runs))
}

/// What each is called: by its file's name, and by the whole path where that is another's, too.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let stem = |path: &Path| path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let name = |path: &PathBuf| {
        let alone = paths.iter().filter(|other| stem(other) == stem(path)).count() == 1;
        if alone { stem(path) } else { path.display().to_string() }
    };
    paths.iter().map(name).collect()
}

fn text(runs: &[(String, Run)]) -> String {
    let mut text = String::new();
    for (name, run) in runs {
        text += &format!("{name}: {}, {}\n", run.scenario, run.outcome.said());
        for load in &run.loads {
            let Percentiles { p50, p99, p999, max, .. } = load.latency_ns;
            // Latencies counted from another moment are no better and no worse.
            let first =
                runs[0].1.loads.iter().find(|first| first.name == load.name && first.what == load.what);
            let times = |own: u64, of: fn(&Percentiles) -> u64| {
                let first = first.map_or(0, |load| of(&load.latency_ns));
                if first == 0 || own == first {
                    String::new()
                } else {
                    format!(" (x {:.2})", own as f64 / first as f64)
                }
            };
            text += &format!(
                "  {:<12}p50 {}{}  p99 {}{}  p99.9 {}{}  max {}\n",
                load.name,
                duration(p50),
                times(p50, |latency| latency.p50),
                duration(p99),
                times(p99, |latency| latency.p99),
                duration(p999),
                times(p999, |latency| latency.p999),
                duration(max)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_told_apart_by_their_paths() {
        let paths = ["a/run.json", "b/run.json", "c/other.json"].map(PathBuf::from);
        assert_eq!(names(&paths), ["a/run.json", "b/run.json", "other"]);
    }
}

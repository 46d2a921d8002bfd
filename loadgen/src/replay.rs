//! `loadgen replay`: a recorded day, through a feed, to many subscribers.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::broadcast::{Play, Stage};
use crate::due::{Due, Notes};
use crate::feeder::{Feeder, Replay, Speed};
use crate::figures::count;
use crate::progress::Progress;
use crate::quotes::CastArgs;
use crate::report::Report;
use crate::schedule::Lag;
use crate::ticks::{Counts, Day, DayError, TimeOfDay};

/// Between the word to begin and the first message, so that everybody has heard it.
const LEAD_NS: u64 = 200_000_000;
/// Bad rows that are shown.
const BAD_ROWS_SHOWN: usize = 10;

/// Publishes a recorded day (docs/replay.md) as one or two sources of a feed
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Folder with entrust.csv, trade.csv and snapshot.csv
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// The day, YYYYMMDD; else the folder's name
    #[arg(long, value_name = "DATE", value_parser = clap::value_parser!(u32).range(19_700_102..=25_541_230))]
    pub date: Option<u32>,
    /// Where it begins, HH:MM:SS: what was before is passed over, and the numbers begin at 1 there
    #[arg(long, value_name = "TIME", value_parser = time_of_day)]
    pub from: Option<TimeOfDay>,
    /// How many times as fast as it was, or `max`: as fast as the slowest subscriber takes it
    #[arg(long, default_value = "1", value_name = "N|max")]
    pub speed: SpeedArg,
    /// Who takes part
    #[command(flatten)]
    pub cast: CastArgs,
}

fn time_of_day(text: &str) -> Result<TimeOfDay, &'static str> {
    TimeOfDay::parse(text.as_bytes()).ok_or("expected a time HH:MM:SS")
}

impl Args {
    /// The day, from where it begins, and how many rows were passed over.
    fn open(&self) -> Result<(Day, u64), DayError> {
        let mut day = Day::open(&self.dir, self.date)?;
        let passed = self.from.map_or(0, |from| day.skip_to(from));
        Ok((day, passed))
    }
}

/// How fast a day is to go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SpeedArg {
    /// So many times as fast as it was.
    Times(f64),
    /// As fast as it goes.
    Max,
}

impl FromStr for SpeedArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "max" => Ok(Self::Max),
            Ok(times) if (0.001..=1e6).contains(&times) => Ok(Self::Times(times)),
            _ => Err("expected a number from 0.001 to 1000000, or max"),
        }
    }
}

/// What a day holds, found by reading it once before it is played.
struct Census {
    counts: Counts,
    /// Snapshots that are the same as another one.
    identical: u64,
    ends: Vec<(u16, u64)>,
    first: TimeOfDay,
    /// Of the last tick; snapshots may follow.
    last: TimeOfDay,
}

/// Finds the snapshots of a time that are the same in all that is sent: a feed cannot tell them from the second source's
/// copy and passes on one.
#[derive(Default)]
struct Identical {
    time: TimeOfDay,
    frames: HashSet<Vec<u8>>,
    count: u64,
}

impl Identical {
    fn see(&mut self, time: TimeOfDay, frame: &[u8]) {
        if time != self.time {
            self.time = time;
            self.frames.clear();
        }
        self.count += u64::from(!self.frames.insert(frame.to_vec()));
    }
}

/// Runs it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn run(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Report> {
    args.cast.files_suffice()?;
    let census = census(args, progress)?;
    let planned: u64 = census.ends.iter().map(|(_, last)| last).sum();
    let kill_after = args.cast.kill_after(planned)?;
    let channels = census.ends.iter().map(|(channel, _)| *channel).collect();
    let stage = Stage::raise(&args.cast.cast(channels), &args.cast.wires()?, progress)?;
    let (speed, offered_per_s) = match args.speed {
        SpeedArg::Times(times) => {
            let seconds = f64::from(census.last.ms.saturating_sub(census.first.ms).max(1)) / 1e3 / times;
            (Speed::Times(times), planned as f64 / seconds)
        }
        SpeedArg::Max => (Speed::Full(stage.slowest()), 0.0),
    };
    let notes = Arc::new(Notes::default());
    let (day, _) = args.open()?;
    let start_ns = stage.clock().now_ns() + LEAD_NS;
    let replay = Replay::new(day, speed, start_ns, notes.clone(), Lag::new(args.cast.tolerance_ns()));
    let channel = census.ends.first().map_or(0, |(channel, _)| *channel);
    let play = Play {
        feeder: Feeder::Day(Box::new(replay)),
        start_ns,
        due: (Some(channel), Due::Noted(notes)),
        kill_after,
        planned,
        ends: census.ends,
        offered_per_s,
    };
    let mut report = stage.play("replay", play, progress)?;
    let Counts { orders, trades, snapshots, bad, underivable } = census.counts;
    let rows = [
        ("rows_orders", orders),
        ("rows_trades", trades),
        ("rows_snapshots", snapshots),
        ("rows_identical", census.identical),
        ("rows_bad", bad),
        ("rows_underivable", underivable),
    ];
    report.figures.extend(rows.map(|(name, value)| (name, value as f64)));
    Ok(report)
}

fn census(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Census> {
    let (mut day, passed) = args.open()?;
    let (mut frame, mut first, mut last) = (Vec::new(), None, TimeOfDay::default());
    let mut identical = Identical::default();
    while let Some(tick) = day.next(&mut frame) {
        first = first.or(Some(tick.time));
        if tick.number > 0 {
            last = tick.time;
        } else {
            identical.see(tick.time, &frame);
        }
        frame.clear();
    }
    let counts = day.counts();
    let ends: Vec<(u16, u64)> = day.channels().collect();
    progress.say(&format!(
        "{}: {} orders, {} trades, {} snapshots from {} to {last}",
        args.dir.display(),
        count(counts.orders),
        count(counts.trades),
        count(counts.snapshots),
        first.unwrap_or_default(),
    ))?;
    if passed > 0 {
        progress.say(&format!("{} rows before it are passed over", count(passed)))?;
    }
    if identical.count > 0 {
        progress.say(&format!(
            "{} of the snapshots are identical to another: subscribers get one of each",
            count(identical.count)
        ))?;
    }
    for row in day.bad_rows().iter().take(BAD_ROWS_SHOWN) {
        progress.say(&format!("left out: {row}"))?;
    }
    if counts.bad > BAD_ROWS_SHOWN as u64 {
        progress.say(&format!("left out: {} rows in all", count(counts.bad)))?;
    }
    anyhow::ensure!(!ends.is_empty(), "no order and no trade to replay");
    Ok(Census { counts, identical: identical.count, ends, first: first.unwrap_or_default(), last })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_day_begins_where_it_is_told_with_number_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sse");
        let open = |from: &[&str]| {
            let dir = folder.display().to_string();
            Cli::try_parse_from(["replay", "--dir", &dir].iter().chain(from))
                .map(|cli| cli.args.open().unwrap())
        };
        let ((mut whole, none), (mut rest, passed)) =
            (open(&[]).unwrap(), open(&["--from", "09:30:00"]).unwrap());
        assert_eq!(none, 0);
        let (mut frames, mut all) = (Vec::new(), Vec::new());
        while let Some(tick) = whole.next(&mut frames) {
            all.push(tick);
        }
        let first = rest.next(&mut frames).unwrap();
        let at = all.iter().position(|tick| tick.time >= TimeOfDay::hms(9, 30, 0)).unwrap();
        assert_eq!((first.time, passed), (all[at].time, at as u64));
        let mut left = vec![first];
        while let Some(tick) = rest.next(&mut frames) {
            left.push(tick);
        }
        let numbers: Vec<u64> = left.iter().map(|tick| tick.number).filter(|number| *number > 0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert_eq!(left.len(), all.len() - at);
        assert!(open(&["--from", "9:30"]).is_err());
        assert!(open(&["--from", "23:59:59"]).unwrap().0.next(&mut frames).is_none());
    }

    #[test]
    fn the_samples_identical_snapshots_are_counted() {
        for (market, wanted) in [("sse", (9, 1)), ("szse", (3, 0))] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(market);
            let cli = Cli::parse_from(["replay", "--dir", &folder.display().to_string()]);
            let census = census(&cli.args, &mut Progress::stderr()).unwrap();
            assert_eq!((census.counts.snapshots, census.identical), wanted, "{market}");
        }
    }
}

//! `loadgen failover`: a feed's primary source killed, cut silently, delayed and turned to garbage, again and again, while
//! subscribers account for every number and its bytes.
//!
//! Each source is reached over a wire that can be made to fail (`wire.rs`); the faults follow from the seed. Start at
//! `play`.

mod outcome;
mod stage;
mod wire;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use feed::config::ModeName;

pub use self::outcome::{GapTimes, OfMode, Outcome};
use self::outcome::{Made, Story};
use self::stage::Stage;
use self::wire::Condition;
use crate::chaos::random::{self, Random};
use crate::figures::duration;
use crate::gaps::BUCKET_NS;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::wires::{Transport, WireArgs, Wires};

/// The channel that everything is sent in.
const CHANNEL: u16 = 2_011;
/// Between two faults it is well for so long at least, and up to as much longer, milliseconds. The first part is where a
/// gap is still the last fault's.
const WELL_MS: u64 = 200;
/// A wire that is late is so by so much at least, milliseconds: what is less is no fault to a feed that waits 50 ms.
const LATE_MS_MIN: u64 = 80;
/// Halves of an outage by which it may last longer, where by its end nothing has come from either source.
const LATER_MAX: u32 = 20;

/// What happens to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FaultKind {
    /// Its connection is reset, and so is who dials it.
    Killed,
    /// Nothing comes from it any more, and nobody is told.
    Silent,
    /// What it says comes 80 ms or more late.
    Late,
    /// Noise comes in place of what it says.
    Garbage,
}

impl FaultKind {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Killed, Self::Silent, Self::Late, Self::Garbage];

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Silent => "silent",
            Self::Late => "late",
            Self::Garbage => "garbage",
        }
    }
}

/// How the feed makes one copy of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The first arrival of a number wins.
    Arbitrated,
    /// The primary alone while it keeps up.
    Standby,
}

impl Mode {
    fn of_feed(self) -> (&'static str, ModeName) {
        match self {
            Self::Arbitrated => ("arbitrated", ModeName::Arbitrated),
            Self::Standby => ("standby", ModeName::Standby),
        }
    }
}

/// A feed's primary source killed, cut silently, delayed and turned to garbage while quotes flow; every number and its
/// bytes are accounted for at every subscriber, and how long nothing came is told
///
/// Exit code 0: everything came once, in order and as it was sent, and the backup stood in each time. 1: that did not
/// hold. 2: it could not run. 3: the generator did not hold the rate.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Failovers in each mode
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// The faults follow from it; a random one is taken, and told, without
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Only this mode of the feed; may be given several times
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Vec<Mode>,
    /// Only faults of this kind; may be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    pub only: Vec<FaultKind>,
    /// Messages a second
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    pub size: usize,
    /// Subscribers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub subscribers: usize,
    /// How long a fault lasts, milliseconds
    #[arg(long, default_value_t = 600, value_name = "MS", value_parser = clap::value_parser!(u64).range(400..=600_000))]
    pub outage_ms: u64,
    /// One source alone: to see what the other one is good for
    #[arg(long)]
    pub without_backup: bool,
    /// What connections go over
    #[command(flatten)]
    pub wires: WireArgs,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Args {
    /// The faults: each kind as often as the others, in an order that is the seed's.
    fn faults(&self, seed: u64) -> Vec<(FaultKind, Condition)> {
        let among = if self.only.is_empty() { &FaultKind::ALL[..] } else { &self.only };
        let mut random = Random::new(seed);
        let mut kinds: Vec<FaultKind> = among.iter().copied().cycle().take(self.count as usize).collect();
        for last in (1..kinds.len()).rev() {
            kinds.swap(last, random.between(0, last as u64 + 1) as usize);
        }
        let fault = |kind| {
            let condition = match kind {
                FaultKind::Killed => Condition::Dead,
                FaultKind::Silent => Condition::Silent,
                FaultKind::Late => Condition::Late(random.between(LATE_MS_MIN, self.outage_ms)),
                FaultKind::Garbage => Condition::Garbage(random.next()),
            };
            (kind, condition)
        };
        kinds.into_iter().map(fault).collect()
    }
}

/// Runs it and says what came of it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
#[allow(clippy::print_stdout)] // The result belongs on standard output.
pub fn command(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<ExitCode> {
    let outcome = run(args, progress)?;
    print!("{outcome}");
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&outcome)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if !outcome.held() {
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::from(if outcome.sent_as_planned() { 0 } else { 3 }))
}

/// Runs it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn run(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Outcome> {
    let inside = (args.wires.transport != Transport::Quic).then_some("have fewer (--subscribers)");
    crate::files::suffice("subscribers", args.subscribers as u64, inside)?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32);
    progress.say(&format!("seed {seed}"))?;
    let modes = if args.mode.is_empty() { &[Mode::Arbitrated, Mode::Standby][..] } else { &args.mode };
    let wires = Wires::local(&args.wires)?;
    let mut of_modes = BTreeMap::new();
    for mode in modes {
        let (name, mode) = mode.of_feed();
        let stage = Stage::raise(args, mode, &wires, progress).with_context(|| format!("mode {name}"))?;
        let story = play(args, seed, name, stage, progress).with_context(|| format!("mode {name}"))?;
        of_modes.insert(name, OfMode::from(story));
    }
    Ok(Outcome {
        seed,
        rate_per_s: args.rate,
        outage_ms: args.outage_ms,
        subscribers: args.subscribers as u64,
        modes: of_modes,
        machine: Machine::this(),
    })
}

/// Makes one fault after the other.
fn play(
    args: &Args,
    seed: u64,
    mode: &str,
    stage: Stage,
    progress: &mut Progress<impl Write>,
) -> anyhow::Result<Story> {
    stage.settle()?;
    let began_ns = stage.clock.now_ns();
    std::thread::sleep(Duration::from_millis(2 * args.outage_ms));
    let gap_before_ns = stage.gap_ns(began_ns, stage.clock.now_ns())?;
    let mut made = Vec::new();
    let mut phase = Random::new(random::of(seed, 1));
    for (index, (kind, condition)) in args.faults(seed).into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(WELL_MS + phase.between(0, WELL_MS)));
        let half = Duration::from_millis(args.outage_ms / 2);
        let at_ns = stage.set_primary(condition);
        std::thread::sleep(half);
        let before = stage.won();
        std::thread::sleep(half);
        let mut after = stage.won();
        // Where nobody brought anything meanwhile it was the machine that stood still: who stands in is seen later.
        for _ in 0..LATER_MAX {
            if args.without_backup || after != before {
                break;
            }
            std::thread::sleep(half);
            after = stage.won();
        }
        let mended_ns = stage.set_primary(Condition::Good);
        stage.settle()?;
        // A gap is noted when it has ended, and by the tenth of a second.
        std::thread::sleep(Duration::from_nanos(BUCKET_NS));
        let gap_ns = stage.gap_ns(at_ns, mended_ns.max(stage.clock.now_ns()))?;
        let taken_over = after[1] - before[1] > after[0] - before[0];
        made.push(Made { kind, at_ns, gap_ns, taken_over });
        let (done, count) = (index + 1, args.count);
        let line = format!("{mode}: {done} of {count}: {} {}", kind.name(), duration(gap_ns));
        progress.show(stage.clock.now_ns(), &line)?;
    }
    progress.clear()?;
    Ok(Story { made, gap_before_ns, ..stage.account()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::parse_from(std::iter::once("failover").chain(line.split_whitespace())).args
    }

    #[test]
    fn the_seed_repeats_the_faults_and_each_kind_is_there_as_often() {
        let args = args("--count 40");
        let faults = args.faults(7);
        assert_eq!(faults, args.faults(7));
        assert_ne!(faults, args.faults(8));
        for kind in FaultKind::ALL {
            assert_eq!(faults.iter().filter(|(of, _)| *of == kind).count(), 10, "{kind:?}");
        }
        let late = |(_, condition): &(FaultKind, Condition)| match condition {
            Condition::Late(ms) => Some(*ms),
            _ => None,
        };
        assert!(faults.iter().filter_map(late).all(|ms| (LATE_MS_MIN..args.outage_ms).contains(&ms)));
    }

    #[test]
    fn only_what_is_asked_for_is_made() {
        let kinds: Vec<_> =
            args("--count 3 --only garbage").faults(7).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [FaultKind::Garbage; 3]);
    }
}

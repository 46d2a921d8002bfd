//! `loadgen quotes`: made-up quotes at a rate, through a feed, to many subscribers.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use wire::szse::Text;
use wire::szse::ext::SlowReaderPolicy;

use crate::broadcast::{Cast, Play, Stage};
use crate::due::Due;
use crate::feeder::Feeder;
use crate::files;
use crate::flood;
use crate::padded::Padded;
use crate::progress::Progress;
use crate::report::Report;
use crate::schedule::{Pacer, Schedule, Share};
use crate::wires::{Transport, WireArgs, Wires};

/// ChannelNo of the quotes.
const CHANNEL: u16 = 2011;
/// Between the word to begin and the first message, so that everybody has heard it.
const LEAD_NS: u64 = 200_000_000;

/// Sources and subscribers of a feed: quotes at a fixed rate, open loop, latency from the time each was due
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Who takes part
    #[command(flatten)]
    pub cast: CastArgs,
    /// Send snapshots in place of ticks: only the newest of each security matters, and none counts as lost
    #[arg(long)]
    pub snapshots: bool,
    /// Subscribers get the newest snapshots as datagrams that may be lost; needs --transport quic
    #[arg(long, requires = "snapshots")]
    pub datagrams: bool,
    /// Each channel comes to each subscriber on a QUIC stream of its own; needs --transport quic
    #[arg(long, conflicts_with = "snapshots")]
    pub streams: bool,
    /// Channels that the quotes take turns in
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub channels: u16,
    /// Quotes a second, over all channels
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Bytes of each quote, as a frame
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    pub size: usize,
    /// How long quotes are sent, seconds
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Securities that the quotes go round
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub securities: u32,
}

/// Who takes part in a run of quotes
#[derive(clap::Args, Clone, Debug)]
pub struct CastArgs {
    /// A feed that runs already and has our sources in its configuration; without it one is started in this process
    #[arg(long, value_name = "ADDRESS")]
    pub feed: Option<SocketAddr>,
    /// Where our sources listen for that feed, the primary first
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7201,127.0.0.1:7202"
    )]
    pub listen: Vec<SocketAddr>,
    /// What that feed calls our sources: `target_comp_id` in its configuration
    #[arg(long, value_name = "NAME", default_value_t = crate::source::COMP_ID)]
    pub comp_id: Text<20>,
    /// Sources: 1, or 2 for a primary and a backup
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub sources: usize,
    /// Subscribers, each with a connection of its own
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub subscribers: usize,
    /// Threads that the subscribers are spread over
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// What is to happen to a subscriber that reads too slowly
    #[arg(long, default_value = "disconnect", value_name = "POLICY")]
    pub policy: PolicyArg,
    /// Subscribers besides these that stop reading: what they cost the others shows in the others' figures
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub stalled: usize,
    /// Meanwhile 1,000 connections that say nothing, 200 that stop within their hello, and whole handshakes without a pause:
    /// what they cost the subscribers shows in the figures. Over QUIC only the last
    #[arg(long)]
    pub flood: bool,
    /// Kill the primary source when so much has been sent, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub kill_source_at: Option<u64>,
    /// The generator is behind when it sends later than this after the due time, milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    pub tolerance_ms: u64,
    /// What connections go over
    #[command(flatten)]
    pub wires: WireArgs,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What is to happen to a subscriber that reads too slowly
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyArg {
    /// Its connection is closed.
    Disconnect,
    /// It goes on from the oldest that is held, after a notice of what it missed.
    Skip,
    /// It is given the newest of each security, and a notice of what it missed.
    Conflate,
}

impl PolicyArg {
    fn on_the_wire(self) -> SlowReaderPolicy {
        match self {
            Self::Disconnect => SlowReaderPolicy::DISCONNECT,
            Self::Skip => SlowReaderPolicy::SKIP_WITH_NOTICE,
            Self::Conflate => SlowReaderPolicy::CONFLATE,
        }
    }
}

/// `50` or `50%`.
fn percent(text: &str) -> Result<u64, String> {
    let number =
        text.trim_end_matches('%').parse().map_err(|_| "expected a number of percent".to_string())?;
    if (1..=99).contains(&number) { Ok(number) } else { Err("expected 1 to 99 percent".to_string()) }
}

impl CastArgs {
    /// The cast, for these channels.
    #[must_use]
    pub fn cast(&self, channels: Vec<u16>) -> Cast {
        Cast {
            feed: self.feed,
            listen: self.listen.clone(),
            comp_id: self.comp_id,
            sources: self.sources,
            subscribers: self.subscribers,
            threads: self.threads.clamp(1, self.subscribers.max(1)),
            policy: self.policy.on_the_wire(),
            snapshots: false,
            stalled: self.stalled,
            flood: self.flood.then_some(self.wires.transport),
            channels,
        }
    }

    /// What the connections go over.
    ///
    /// # Errors
    /// See [`Wires::local`] and [`Wires::outside`].
    pub fn wires(&self) -> anyhow::Result<Wires> {
        if self.feed.is_some() { Wires::outside(&self.wires) } else { Wires::local(&self.wires) }
    }

    /// Whether this process may open as many files as they need.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn files_suffice(&self) -> anyhow::Result<()> {
        let transport = self.wires.transport;
        let (who, idle) = match self.flood && transport == Transport::Tls {
            true => ("subscribers and idle connections of the flood", flood::IDLE),
            false => ("subscribers", 0),
        };
        let connections = self.subscribers.saturating_add(self.stalled).saturating_add(idle);
        // Over QUIC a feed has all of them on one socket.
        let inside = self.feed.is_none() && transport != Transport::Quic;
        let inside = inside.then_some("let a feed of its own serve them (--feed)");
        files::suffice(who, connections as u64, inside)
    }

    /// After how many of `planned` messages the primary is killed.
    ///
    /// # Errors
    /// There is no backup to go on with.
    pub fn kill_after(&self, planned: u64) -> anyhow::Result<Option<u64>> {
        let after =
            self.kill_source_at.map(|percent| (u128::from(planned) * u128::from(percent) / 100) as u64);
        anyhow::ensure!(after.is_none() || self.sources == 2, "--kill-source-at needs --sources 2");
        Ok(after)
    }

    /// [`Self::tolerance_ms`] in nanoseconds.
    #[must_use]
    pub fn tolerance_ns(&self) -> u64 {
        self.tolerance_ms.saturating_mul(1_000_000)
    }
}

/// Runs it.
///
/// # Errors
/// What kept it from running; a run with losses is no error.
pub fn run(args: &Args, progress: &mut Progress<impl Write>) -> anyhow::Result<Report> {
    let over_quic = args.cast.wires.transport == Transport::Quic;
    anyhow::ensure!(over_quic || !args.datagrams, "--datagrams needs --transport quic");
    anyhow::ensure!(over_quic || !args.streams, "--streams needs --transport quic");
    anyhow::ensure!(!args.streams || args.cast.stalled == 0, "--stalled reads no streams");
    anyhow::ensure!(!args.snapshots || args.channels == 1, "--snapshots are of one channel");
    args.cast.files_suffice()?;
    let channels: Vec<u16> = (CHANNEL..).take(args.channels.into()).collect();
    let quotes = channels.iter().map(|channel| match args.snapshots {
        true => Padded::snapshots(*channel, args.size, args.securities),
        false => Padded::new(*channel, args.size, args.securities),
    });
    let quotes = quotes.collect::<Result<Vec<_>, _>>()?;
    let planned = args.rate.saturating_mul(args.seconds);
    let kill_after = args.cast.kill_after(planned)?;
    let of = channels.len() as u64;
    let end = |(which, channel): (u64, &u16)| (*channel, Share { which, of }.part(planned));
    let ends = if args.snapshots { Vec::new() } else { (0..).zip(&channels).map(end).collect() };
    let mut cast = args.cast.cast(if args.snapshots { Vec::new() } else { channels });
    cast.snapshots = args.snapshots;
    if args.datagrams {
        cast.policy = SlowReaderPolicy::DATAGRAMS;
    } else if args.streams {
        cast.policy = SlowReaderPolicy::STREAMS;
    }
    let receivers = cast.subscribers as u64;
    let stage = Stage::raise(&cast, &args.cast.wires()?, progress)?;
    let start_ns = stage.clock().now_ns() + LEAD_NS;
    let schedule = Schedule::new(start_ns, args.rate, planned);
    let pacer = Pacer::new(schedule, Share::ALL, args.cast.tolerance_ns());
    let play = Play {
        feeder: Feeder::Rate { pacer, quotes, channel: CHANNEL },
        start_ns,
        due: (None, Due::Rate { schedule, channel: CHANNEL, channels: args.channels }),
        kill_after,
        planned,
        ends,
        offered_per_s: args.rate as f64,
    };
    let mut report = stage.play("quotes", play, progress)?;
    report.figures.insert("size_bytes", args.size as f64);
    if args.snapshots {
        let newest = report.latency_ns.count;
        report.figures.insert("newest", newest as f64);
        report.figures.insert("overtaken", (report.sent * receivers).saturating_sub(newest) as f64);
    }
    Ok(report)
}

//! Everything that runs: two sources, a wire from each to the feed, the feed, subscribers.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context, bail};
use feed::config::ModeName;
use service::Host;
use service::tls::Tls;
use transport::Clock;
use wire::szse::Text;
use wire::szse::ext::SlowReaderPolicy;

use super::outcome::Story;
use super::wire::{Condition, Wires};
use super::{Args, CHANNEL};
use crate::audience::Audience;
use crate::due::Due;
use crate::feeder::Feeder;
use crate::house::{Feed, free_port};
use crate::padded::Padded;
use crate::progress::Progress;
use crate::recorder::Collector;
use crate::report::{Percentiles, ScheduleLag};
use crate::schedule::{Pacer, Schedule, Share};
use crate::source::{self, Sources};
use crate::subscriber;
use crate::wait::wait;

/// The sources' names, the primary first.
const NAMES: [&str; 2] = ["primary", "backup"];
/// A wire that was dead must be dialled again soon, or a run is mostly waiting.
const BACKOFF_MAX_MS: u64 = 200;
/// For the same reason: a feed of a real market goes back to its primary after seconds.
const RETURN_AFTER_MS: u64 = 200;
/// Between the word to begin and the first message.
const LEAD_NS: u64 = 100_000_000;
/// A schedule that nobody sees the end of, seconds.
const PLANNED_S: u64 = 86_400;
/// How late a message may be sent, nanoseconds.
const TOLERANCE_NS: u64 = 5_000_000;
/// So long without a message, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;
/// How long the feed may take to have its primary back.
const SETTLE_NS_MAX: u64 = 60_000_000_000;
const LOOK: Duration = Duration::from_millis(5);

/// Everything that runs.
pub(super) struct Stage {
    pub(super) clock: Clock,
    mode: ModeName,
    sources: Sources,
    wires: Wires,
    feed: Feed,
    audience: Audience,
    collector: Collector,
    schedule: Schedule,
}

impl Stage {
    /// Starts everything, and the flow.
    ///
    /// # Errors
    /// What the system says, or somebody did not come.
    pub(super) fn raise(
        args: &Args,
        mode: ModeName,
        over: &crate::wires::Wires,
        progress: &mut Progress<impl Write>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let count = if args.without_backup { 1 } else { 2 };
        let tls = Tls::load(over.settings().as_ref(), false, &Host::default())?;
        let sources = source::start(clock, &vec![free_port(); count], source::COMP_ID, &tls);
        let sources = sources.context("the sources")?;
        let wires = Wires::start(&sources.addresses)?;
        let named: Vec<_> = NAMES.into_iter().zip(wires.addresses.iter().copied()).collect();
        let feed = Feed::start_as(&named, source::COMP_ID, over, |config| {
            config.arbitration.mode = mode;
            config.arbitration.standby.return_after_ms = RETURN_AFTER_MS;
            for source in &mut config.sources {
                source.backoff_max_ms = BACKOFF_MAX_MS;
            }
        })?;
        let sessions = || sources.counters.sessions.load(Ordering::Relaxed);
        wait(&clock, progress, "waiting for the feed to log on", sessions, count as u64, || 0)?;
        let contents = Padded::new(CHANNEL, args.size, 1)?;
        let setup = subscriber::Setup {
            address: feed.address,
            connector: over.connector(),
            count: args.subscribers,
            threads: 1,
            target_comp_id: Text::literal("feed"),
            channels: vec![CHANNEL],
            contents: Some(contents.clone()),
            policy: SlowReaderPolicy::DISCONNECT,
            snapshots: false,
            subscribe: true,
            clock,
        };
        let collector = Collector::new(1, 1);
        let audience = Audience::start(&setup, || collector.recorder(0)).context("the subscribers")?;
        let (ready, closed) = (|| audience.ready(), || audience.closed_why());
        wait(&clock, progress, "waiting for subscribers to log on", ready, audience.count(), closed)?;
        let schedule = Schedule::new(clock.now_ns() + LEAD_NS, args.rate, args.rate * PLANNED_S);
        audience.date(Some(CHANNEL), &Due::rate(schedule, CHANNEL))?;
        let pacer = Pacer::new(schedule, Share::ALL, TOLERANCE_NS);
        let feeder = Box::new(Feeder::Rate { pacer, quotes: vec![contents], channel: CHANNEL });
        let begin = source::Command::Start { feeder, kill_after: None };
        let stage = Self { clock, mode, sources, wires, feed, audience, collector, schedule };
        stage.tell(begin)?;
        Ok(stage)
    }

    fn tell(&self, command: source::Command) -> anyhow::Result<()> {
        let sent = self.sources.running.handle().send(command);
        sent.map_err(|_| anyhow::anyhow!("the sources take no command"))
    }

    /// From now on, the primary's wire is so. Returns when that is.
    pub(super) fn set_primary(&self, condition: Condition) -> u64 {
        let now_ns = self.clock.now_ns();
        self.wires.set(0, condition);
        now_ns
    }

    /// What each source brought first, so far: the primary and the backup.
    pub(super) fn won(&self) -> [u64; 2] {
        NAMES.map(|name| self.feed.meters.of_label("feed_frames_won_total", name) as u64)
    }

    /// Waits until the feed has all sources, and uses its primary.
    ///
    /// # Errors
    /// It takes too long, or subscribers are gone.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        let until_ns = self.clock.now_ns() + SETTLE_NS_MAX;
        let meters = &self.feed.meters;
        loop {
            let up = meters.sum("feed_source_up") as usize == self.sources.addresses.len();
            let (left, back) = (meters.sum("feed_failovers_total"), meters.sum("feed_returns_total"));
            if up && (self.mode == ModeName::Arbitrated || left == back) {
                return Ok(());
            }
            if self.audience.closed() > 0 {
                bail!("{} subscribers were closed", self.audience.closed());
            }
            if self.clock.now_ns() > until_ns {
                bail!(
                    "the feed has no primary again: sources up: {up}, left {left} times, back {back} times"
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The longest gap of any subscriber that ended between these times, nanoseconds.
    pub(super) fn gap_ns(&self, from_ns: u64, until_ns: u64) -> anyhow::Result<u64> {
        Ok(self.audience.gaps()?.longest(from_ns, until_ns))
    }

    /// Ends the flow, waits for what is on its way, and accounts for all of it.
    ///
    /// # Errors
    /// Somebody does not answer, or ended with an error.
    pub(super) fn account(mut self) -> anyhow::Result<Story> {
        self.tell(source::Command::End)?;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.sources.counters;
        while load(&counters.finished_ns) == 0 {
            std::thread::sleep(LOOK);
        }
        let sent = load(&counters.sent);
        let (mut received, mut quiet_since_ns) = (0, self.clock.now_ns());
        while received < sent * self.audience.count() && self.clock.now_ns() < quiet_since_ns + QUIET_NS {
            std::thread::sleep(LOOK);
            let now = self.audience.received();
            if now != received {
                (received, quiet_since_ns) = (now, self.clock.now_ns());
            }
        }
        let (to, lag) = sync_channel(1);
        self.tell(source::Command::Lag(to))?;
        let lag = lag.recv_timeout(Duration::from_secs(30)).context("the sources give no account")?;
        let planned = self.schedule.due_count(load(&counters.finished_ns));
        let receipts = self.audience.finish(&[(CHANNEL, sent)], &mut self.collector)?;
        self.feed.stop()?;
        self.wires.stop()?;
        self.sources.running.handle().stop();
        self.sources.running.join().context("the sources")?;
        Ok(Story {
            sent,
            tally: receipts.tally,
            altered: receipts.altered,
            noticed: receipts.noticed,
            made: Vec::new(),
            gap_before_ns: 0,
            latency_ns: Percentiles::from(&self.collector.series(0).total),
            schedule: ScheduleLag::of(&lag, planned),
        })
    }
}

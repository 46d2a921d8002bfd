//! One run of quotes: sources, a feed, subscribers; started, watched and accounted for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use matcher_stub::PortState;
use service::Host;
use service::tls::Tls;
use transport::Clock;
use wire::szse::Text;
use wire::szse::ext::SlowReaderPolicy;

use crate::audience::{Audience, Receipts};
use crate::curve::Curve;
use crate::due::Due;
use crate::feeder::Feeder;
use crate::figures::{count, duration, rate};
use crate::flood::Flood;
use crate::gaps::{BUCKET_NS, Gaps};
use crate::house::{Feed, free_port};
use crate::machine;
use crate::progress::Progress;
use crate::recorder::Collector;
use crate::report::{Event, Percentiles, Report, ScheduleLag, Spread};
use crate::schedule::Lag;
use crate::source::{self, Sources};
use crate::stalled;
use crate::subscriber;
use crate::wait::wait;
use crate::wires::{Transport, Wires};

const NS_PER_S: f64 = 1e9;
/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// So long without a message after the last was sent, and what is missing will not come.
const QUIET_NS: u64 = 5_000_000_000;
/// How long to wait for the sources' account.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after the primary's death a silence counts as due to it.
const AFTER_KILL_NS: u64 = 5_000_000_000;

/// What subscribers call the feed.
const FEED_COMP_ID: Text<20> = Text::literal("feed");

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The feed; `None` starts one in this process.
    pub feed: Option<SocketAddr>,
    /// Where the sources listen; for a feed in this process anywhere.
    pub listen: Vec<SocketAddr>,
    /// What the feed calls the sources.
    pub comp_id: Text<20>,
    /// How many sources there are, 1 or 2.
    pub sources: usize,
    /// How many subscribers.
    pub subscribers: usize,
    /// Threads that they are spread over.
    pub threads: usize,
    /// What is to happen to a subscriber that reads too slowly.
    pub policy: SlowReaderPolicy,
    /// Whether what is sent is snapshots, dated by their numbers.
    pub snapshots: bool,
    /// How many more subscribe and read nothing.
    pub stalled: usize,
    /// A flood of handshakes meanwhile, over this.
    pub flood: Option<Transport>,
    /// The channels that they want from number 1 on.
    pub channels: Vec<u16>,
}

/// What is sent.
pub struct Play {
    /// It.
    pub feeder: Feeder,
    /// When the first message is due, by the run's clock.
    pub start_ns: u64,
    /// When its numbers are due, and in which channel, if not in all.
    pub due: (Option<u16>, Due),
    /// After how many numbers the primary is killed.
    pub kill_after: Option<u64>,
    /// How many numbers there will be.
    pub planned: u64,
    /// The last number of each channel.
    pub ends: Vec<(u16, u64)>,
    /// The rate to be shown, messages a second; 0 for as fast as it goes.
    pub offered_per_s: f64,
}

/// What is needed to account for a play that has begun.
pub(crate) struct Begun {
    report: Report,
    cpu_s: f64,
    busy: machine::Busy,
    start_ns: u64,
    /// How many numbers there will be.
    pub(crate) planned: u64,
    /// The last number of each channel.
    pub(crate) ends: Vec<(u16, u64)>,
}

/// How far a play is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Numbers sent.
    pub(crate) sent: u64,
    /// Numbers received, over all subscribers.
    pub(crate) received: u64,
    /// Numbers known to be missing, over all subscribers.
    pub(crate) missing: u64,
    /// Subscribers that ended.
    pub(crate) closed: u64,
    /// Subscribers.
    pub(crate) subscribers: u64,
}

/// Everything that runs.
pub struct Stage {
    clock: Clock,
    sources: Sources,
    audience: Audience,
    collector: Collector,
    feed: Option<Feed>,
    /// Their connections stand until the end, and nobody reads from them.
    _stalled: stalled::Stalled,
    flood: Option<Flood>,
}

impl Stage {
    /// Starts the cast and waits until everybody is there.
    ///
    /// # Errors
    /// Somebody did not come.
    pub fn raise(
        cast: &Cast,
        wires: &Wires,
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<Self> {
        Self::raise_by(Clock::start(), cast, wires, progress)
    }

    /// The same by a clock that the run has already.
    pub(crate) fn raise_by(
        clock: Clock,
        cast: &Cast,
        wires: &Wires,
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<Self> {
        let listen = listen(cast)?;
        // Without a certificate of ours, a feed outside this process comes to our sources over plain TCP.
        let settings = wires.settings().filter(|settings| settings.certificate.is_some());
        let tls = Tls::load(settings.as_ref(), false, &Host::default())?;
        let sources = source::start(clock, &listen, cast.comp_id, &tls).context("the sources")?;
        let feed = match cast.feed {
            Some(_) => None,
            None => Some(Feed::start(&named(&sources.addresses), cast.comp_id, wires)?),
        };
        let address =
            cast.feed.or(feed.as_ref().map(|feed| feed.address)).expect("invariant: one or the other");
        let wanted = sources.addresses.len() as u64;
        let at = format!("waiting for the feed to log on at {:?}", sources.addresses);
        wait(&clock, progress, &at, || sources.counters.sessions.load(Ordering::Relaxed), wanted, || 0)?;
        let stalled = stalled::start(address, &wires.connector(), cast.stalled, cast.policy, FEED_COMP_ID)
            .context("the subscribers that stop reading")?;
        let collector = Collector::new(1, cast.threads);
        let audience = audience(cast, address, wires, clock, &collector)?;
        let at = format!("waiting for subscribers to log on at {address}");
        wait(&clock, progress, &at, || audience.ready(), audience.count(), || audience.closed_why())?;
        let flood = cast.flood.map(|transport| Flood::start(address, &wires.connector(), transport));
        let flood = flood.transpose().context("the flood")?;
        Ok(Self { clock, sources, audience, collector, feed, _stalled: stalled, flood })
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What the slowest subscriber of each thread has received.
    #[must_use]
    pub fn slowest(&self) -> Vec<Arc<AtomicU64>> {
        self.audience.slowest()
    }

    /// Plays it to the end and accounts for it.
    ///
    /// # Errors
    /// A thread that ended or does not answer.
    pub fn play(
        mut self,
        scenario: &str,
        play: Play,
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<Report> {
        let begun = self.begin(scenario, play)?;
        self.watch(scenario, begun.planned, begun.start_ns, progress)?;
        self.finish(begun)
    }

    /// Lets the sources begin.
    pub(crate) fn begin(&self, scenario: &str, play: Play) -> anyhow::Result<Begun> {
        let Play { feeder, start_ns, due: (channel, due), kill_after, planned, ends, offered_per_s } = play;
        let mut report = Report::new(scenario, self.clock.wall_ns(start_ns) as f64 / NS_PER_S);
        report.offered_per_s = offered_per_s;
        if self.audience.first_ns().is_some() {
            return Err(not_first(&ends, &self.audience.highest()?));
        }
        self.audience.date(channel, &due)?;
        self.tell(source::Command::Start { feeder: Box::new(feeder), kill_after })?;
        let (cpu_s, busy) = (machine::cpu_seconds(), machine::Busy::begin(self.clock.now_ns()));
        Ok(Begun { report, cpu_s, busy, start_ns, planned, ends })
    }

    /// Lets the sources send no more.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        self.tell(source::Command::End)
    }

    /// When a subscriber received something last, by the run's clock.
    pub(crate) fn last_ns(&self) -> u64 {
        self.audience.last_ns()
    }

    /// Accounts for what was played, and ends everybody.
    pub(crate) fn finish(mut self, begun: Begun) -> anyhow::Result<Report> {
        let Begun { mut report, cpu_s, busy, start_ns, planned, ends } = begun;
        report.cpu_s = machine::cpu_seconds() - cpu_s;
        report.busiest_thread = busy.end(self.clock.now_ns());
        report.sent = self.sources.counters.sent.load(Ordering::Relaxed);
        if let Some(flood) = self.flood.take() {
            report.figures.insert("flood_handshakes", flood.end() as f64);
        }
        self.account(&mut report, &ends, planned, start_ns)?;
        Ok(report)
    }

    fn tell(&self, command: source::Command) -> anyhow::Result<()> {
        let told = self.sources.running.handle().send(command);
        told.map_err(|_| anyhow::anyhow!("the sources are busy"))
    }

    /// The primary source dies, or comes back.
    pub(crate) fn set_primary(&self, state: PortState) -> anyhow::Result<()> {
        self.tell(source::Command::Primary(state))
    }

    /// How far it is.
    pub(crate) fn state(&self) -> State {
        let counters = &self.sources.counters;
        State {
            sent: counters.sent.load(Ordering::Relaxed),
            received: self.audience.received(),
            missing: self.audience.missing(),
            closed: self.audience.closed(),
            subscribers: self.audience.count(),
        }
    }

    /// What was handed over since the last time.
    pub(crate) fn collect(&mut self) -> &Histogram<u64> {
        self.collector.collect();
        &self.collector.series(0).recent
    }

    /// Shows how it goes until all has arrived, or nothing comes any more.
    fn watch(
        &mut self,
        scenario: &str,
        planned: u64,
        start_ns: u64,
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<()> {
        let mut line = Line::new(scenario, start_ns);
        let mut killed = false;
        let (mut received_before, mut quiet_since_ns) = (0, start_ns);
        loop {
            std::thread::sleep(LOOK);
            let now_ns = self.clock.now_ns();
            // In this order: what was sent when all was sent is all, and what was received is read after that.
            let finished = self.sources.counters.finished_ns.load(Ordering::Acquire) > 0;
            let sent = self.sources.counters.sent.load(Ordering::Relaxed);
            let received = self.audience.received();
            if received != received_before {
                (received_before, quiet_since_ns) = (received, now_ns);
            }
            if !killed && self.sources.counters.killed_ns.load(Ordering::Relaxed) > 0 {
                killed = true;
                progress.say(&format!("the primary source was killed after {} messages", count(sent)))?;
            }
            // When all is sent, a line is of what still comes.
            if !finished || received != line.last_received {
                line.show(self, (now_ns, sent, planned, received), progress)?;
            }
            let all = finished && received >= sent * self.audience.count();
            if all
                || (finished && now_ns - quiet_since_ns > QUIET_NS)
                || self.audience.closed() >= self.audience.count()
            {
                break;
            }
        }
        progress.clear()?;
        Ok(())
    }

    /// Asks everybody what they did, and ends them.
    fn account(
        mut self,
        report: &mut Report,
        ends: &[(u16, u64)],
        planned: u64,
        start_ns: u64,
    ) -> anyhow::Result<()> {
        report.schedule = ScheduleLag::of(&self.lag()?, planned);
        let (count, last_ns, first_ns) =
            (self.audience.count(), self.audience.last_ns(), self.audience.first_ns());
        let receipts = self.audience.finish(ends, &mut self.collector)?;
        // What was on its way when the play began was not seen then.
        if first_ns.is_some_and(|first_ns| first_ns < start_ns) {
            return Err(not_first(ends, &receipts.highest));
        }
        report.account(receipts.tally);
        let total = &self.collector.series(0).total;
        report.latency_ns = Percentiles::from(total);
        report.curves.insert("quote", Curve::from(total));
        report.connections = Spread::of(&receipts.connections);
        let counters = &self.sources.counters;
        let seconds = |until_ns: u64| (until_ns.saturating_sub(start_ns) as f64 / NS_PER_S).max(1e-9);
        report.seconds = seconds(counters.finished_ns.load(Ordering::Relaxed));
        let received: u64 = receipts.connections.iter().map(|connection| connection.received).sum();
        let delivered_per_s = received as f64 / seconds(last_ns);
        report.achieved_per_s = delivered_per_s / (count.max(1) as f64);
        report.figures.insert("delivered_per_s", delivered_per_s);
        report.figures.extend(figures(&receipts));
        kill_event(report, &receipts.gaps, counters.killed_ns.load(Ordering::Relaxed), start_ns);
        if let Some(feed) = self.feed {
            feed.stop()?;
        }
        self.sources.running.handle().stop();
        self.sources.running.join().context("the sources")
    }

    fn lag(&self) -> anyhow::Result<Lag> {
        let (to, from) = sync_channel(1);
        self.tell(source::Command::Lag(to))?;
        from.recv_timeout(ACCOUNT_TIMEOUT).context("the sources give no account")
    }
}

/// How long the subscribers heard nothing because the primary died.
fn kill_event(report: &mut Report, gaps: &Gaps, killed_ns: u64, start_ns: u64) {
    if killed_ns == 0 {
        return;
    }
    let before_ns =
        gaps.longest(killed_ns.saturating_sub(AFTER_KILL_NS), killed_ns.saturating_sub(BUCKET_NS));
    let after_ns = gaps.longest(killed_ns, killed_ns + AFTER_KILL_NS);
    report.figures.insert("silence_before_kill_ms", before_ns as f64 / 1e6);
    report.figures.insert("silence_after_kill_ms", after_ns as f64 / 1e6);
    report.events.push(Event {
        at_s: killed_ns.saturating_sub(start_ns) as f64 / NS_PER_S,
        what: format!(
            "primary source killed; longest silence of a subscriber while something was due: {} in the 5 s after, {} before",
            duration(after_ns),
            duration(before_ns)
        ),
    });
}

/// Numbers of our channels, which end at `ends`, came before we had sent any; so far they go up to `highest`. Without such
/// a channel it was snapshots that came.
fn not_first(ends: &[(u16, u64)], highest: &[(u16, u64)]) -> anyhow::Error {
    let ours = |(channel, _): &&(u16, u64)| ends.iter().any(|(own, _)| own == channel);
    let what = match highest.iter().filter(ours).max_by_key(|(_, number)| *number) {
        Some((channel, number)) => format!(
            "numbers up to {number} of channel {channel}: it takes ours of these numbers, which begin at 1, for copies"
        ),
        None => "snapshots: it takes ours for copies where they are not newer".to_string(),
    };
    anyhow::anyhow!(
        "the feed already has {what}; begin its day anew before each run (end the feed, empty its retention folder if it \
         has one, start it again)"
    )
}

/// Starts the subscribers of the feed at `address`.
fn audience(
    cast: &Cast,
    address: SocketAddr,
    wires: &Wires,
    clock: Clock,
    collector: &Collector,
) -> anyhow::Result<Audience> {
    let setup = subscriber::Setup {
        address,
        connector: wires.connector(),
        count: cast.subscribers,
        threads: cast.threads,
        target_comp_id: FEED_COMP_ID,
        channels: cast.channels.clone(),
        contents: None,
        policy: cast.policy,
        snapshots: cast.snapshots,
        subscribe: true,
        clock,
    };
    Audience::start(&setup, || collector.recorder(0)).context("the subscribers")
}

/// The sources by their names, the primary first.
fn named(addresses: &[SocketAddr]) -> Vec<(&'static str, SocketAddr)> {
    ["primary", "backup"].into_iter().zip(addresses.iter().copied()).collect()
}

fn figures(receipts: &Receipts) -> [(&'static str, f64); 4] {
    [
        ("clean_subscribers", receipts.clean),
        ("snapshots", receipts.snapshots),
        ("notices", receipts.noticed),
        ("undated", receipts.undated),
    ]
    .map(|(name, value)| (name, value as f64))
}

fn listen(cast: &Cast) -> anyhow::Result<Vec<SocketAddr>> {
    if cast.sources == 0 || cast.sources > 2 {
        bail!("{} sources: 1 or 2 are possible", cast.sources);
    }
    if cast.feed.is_none() {
        return Ok(vec![free_port(); cast.sources]);
    }
    let given = cast.listen.get(..cast.sources);
    Ok(given.context("--listen: an address for each source")?.to_vec())
}

/// The progress line.
struct Line {
    scenario: String,
    start_ns: u64,
    last_ns: u64,
    last_sent: u64,
    last_received: u64,
}

/// How often rates and percentiles of the line are renewed.
const LINE_NS: u64 = 500_000_000;

impl Line {
    fn new(scenario: &str, start_ns: u64) -> Self {
        Self { scenario: scenario.to_string(), start_ns, last_ns: start_ns, last_sent: 0, last_received: 0 }
    }

    fn show(
        &mut self,
        stage: &mut Stage,
        (now_ns, sent, planned, received): (u64, u64, u64, u64),
        progress: &mut Progress<impl std::io::Write>,
    ) -> anyhow::Result<()> {
        if now_ns < self.last_ns + LINE_NS {
            return Ok(());
        }
        let seconds = now_ns.saturating_sub(self.last_ns) as f64 / NS_PER_S;
        stage.collector.collect();
        let latency = Percentiles::from(&stage.collector.series(0).recent);
        let missing = stage.audience.missing();
        let line = format!(
            "{} {:>5.1} s  {:>3.0} %  sent {}  delivered {}  p50 {}  p99 {}  max {}  missing {}",
            self.scenario,
            now_ns.saturating_sub(self.start_ns) as f64 / NS_PER_S,
            sent as f64 * 100.0 / planned.max(1) as f64,
            rate((sent - self.last_sent) as f64 / seconds),
            rate((received - self.last_received) as f64 / seconds),
            latency.told(|latency| latency.p50),
            latency.told(|latency| latency.p99),
            latency.told(|latency| latency.max),
            count(missing),
        );
        (self.last_ns, self.last_sent, self.last_received) = (now_ns, sent, received);
        progress.show(now_ns, &line)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::padded::Padded;
    use crate::schedule::{Pacer, Schedule, Share};

    const CHANNEL: u16 = 2011;
    const QUOTES: u64 = 100;
    const SUBSCRIBERS: usize = 2;

    fn cast() -> Cast {
        Cast {
            feed: None,
            listen: Vec::new(),
            comp_id: source::COMP_ID,
            sources: 1,
            subscribers: SUBSCRIBERS,
            threads: 1,
            policy: SlowReaderPolicy::DISCONNECT,
            snapshots: false,
            stalled: 0,
            flood: None,
            channels: vec![CHANNEL],
        }
    }

    fn cast_of_snapshots() -> Cast {
        Cast { snapshots: true, channels: Vec::new(), ..cast() }
    }

    fn raised(cast: &Cast) -> Stage {
        Stage::raise(cast, &Wires::plain(), &mut Progress::new(Vec::new(), false, 80)).unwrap()
    }

    /// Quotes that are due at once, of a play that is said to start then.
    fn quotes(stage: &Stage, start_ns: u64) -> Play {
        play(stage, start_ns, Padded::new(CHANNEL, 128, 1).unwrap(), vec![(CHANNEL, QUOTES)])
    }

    /// The same, of snapshots.
    fn snapshots(stage: &Stage, start_ns: u64) -> Play {
        play(stage, start_ns, Padded::snapshots(CHANNEL, 128, 1).unwrap(), Vec::new())
    }

    fn play(stage: &Stage, start_ns: u64, quotes: Padded, ends: Vec<(u16, u64)>) -> Play {
        let schedule = Schedule::new(stage.clock().now_ns(), 100_000, QUOTES);
        let pacer = Pacer::new(schedule, Share::ALL, u64::MAX);
        Play {
            feeder: Feeder::Rate { pacer, quotes: vec![quotes], channel: CHANNEL },
            start_ns,
            due: (None, Due::rate(schedule, CHANNEL)),
            kill_after: None,
            planned: QUOTES,
            ends,
            offered_per_s: 0.0,
        }
    }

    fn wait_until(done: impl Fn() -> bool) {
        // Minutes of patience for what takes a moment; no time is asserted.
        for _ in 0..12_000 {
            if done() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        panic!("the quotes did not come");
    }

    fn wait_for_all(stage: &Stage) {
        wait_until(|| {
            let received = stage.state().received;
            received == QUOTES * SUBSCRIBERS as u64 && stage.audience.first_ns().is_some()
        });
    }

    /// All are sent, and some came: of snapshots fewer may come than are sent.
    fn wait_for_snapshots(stage: &Stage) {
        wait_until(|| stage.state().sent == QUOTES && stage.audience.first_ns().is_some());
    }

    fn assert_told(error: &anyhow::Error) {
        let text = error.to_string();
        assert!(text.contains("already has numbers up to 100 of channel 2011"), "{text}");
        assert!(text.contains("begin its day anew"), "{text}");
    }

    fn assert_told_of_snapshots(error: &anyhow::Error) {
        let text = error.to_string();
        assert!(text.contains("already has snapshots"), "{text}");
        assert!(text.contains("begin its day anew"), "{text}");
    }

    #[test]
    fn a_feed_that_has_numbers_already_is_refused_before_anything_is_sent() {
        let stage = raised(&cast());
        let earlier = quotes(&stage, stage.clock().now_ns());
        stage.begin("quotes", earlier).unwrap();
        wait_for_all(&stage);
        let ours = quotes(&stage, stage.clock().now_ns());
        assert_told(&stage.begin("quotes", ours).err().unwrap());
    }

    #[test]
    fn numbers_that_come_before_the_start_are_not_taken_for_ours() {
        let stage = raised(&cast());
        // As if what the feed had already were on its way when the play began.
        let late = quotes(&stage, stage.clock().now_ns() + 3_600_000_000_000);
        let begun = stage.begin("quotes", late).unwrap();
        wait_for_all(&stage);
        assert_told(&stage.finish(begun).err().unwrap());
    }

    #[test]
    fn our_own_numbers_are() {
        let stage = raised(&cast());
        let ours = quotes(&stage, stage.clock().now_ns());
        let begun = stage.begin("quotes", ours).unwrap();
        wait_for_all(&stage);
        assert!(stage.finish(begun).unwrap().is_clean());
    }

    #[test]
    fn a_feed_that_has_snapshots_already_is_refused_before_anything_is_sent() {
        let cast = cast_of_snapshots();
        let mut stage = raised(&cast);
        let earlier = snapshots(&stage, stage.clock().now_ns());
        stage.begin("quotes", earlier).unwrap();
        wait_for_snapshots(&stage);
        // Those of the next run have received nothing of this one.
        let address = stage.feed.as_ref().unwrap().address;
        stage.audience = audience(&cast, address, &Wires::plain(), stage.clock, &stage.collector).unwrap();
        wait_until(|| stage.audience.first_ns().is_some());
        let ours = snapshots(&stage, stage.clock().now_ns());
        assert_told_of_snapshots(&stage.begin("quotes", ours).err().unwrap());
    }

    #[test]
    fn snapshots_that_come_before_the_start_are_not_taken_for_ours() {
        let stage = raised(&cast_of_snapshots());
        let late = snapshots(&stage, stage.clock().now_ns() + 3_600_000_000_000);
        let begun = stage.begin("quotes", late).unwrap();
        wait_for_snapshots(&stage);
        assert_told_of_snapshots(&stage.finish(begun).err().unwrap());
    }

    #[test]
    fn our_own_snapshots_are() {
        let stage = raised(&cast_of_snapshots());
        let ours = snapshots(&stage, stage.clock().now_ns());
        let begun = stage.begin("quotes", ours).unwrap();
        wait_for_snapshots(&stage);
        assert_eq!(stage.finish(begun).unwrap().sent, QUOTES);
    }
}

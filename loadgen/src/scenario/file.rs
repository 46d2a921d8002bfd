//! A scenario as a file: who takes part, what is offered in which phase, and what happens on the way.
//!
//! A key that is not known, a value out of its bounds and a part that nothing uses are errors, each said by its name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use wire::szse::{Price, Text};

use crate::schedule::{PIECES_MAX, Schedule};
use crate::trading::plan::ORDERS_MAX;
use crate::trading::trader::Protocol;
use crate::wires::Transport;

/// Longer files are not scenarios.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// A day.
const SECONDS_MAX: u64 = 86_400;
const RATE_MAX: u64 = 10_000_000;
/// A system has about so many ports for connections that have just ended.
const HANDSHAKES_MAX: u64 = 20_000;
const SESSIONS_MAX: u64 = 10_000;
const SUBSCRIBERS_MAX: usize = 50_000;
const THREADS_MAX: u64 = 256;
const EVENTS_MAX: usize = 64;
const COMPONENTS_MAX: usize = 32;
const HOLD_MS_MAX: u64 = 60_000;
const NS_PER_S: u64 = 1_000_000_000;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is to show, in a sentence or two.
    #[serde(default)]
    pub about: String,
    /// What clients and subscribers come over.
    #[serde(default)]
    pub transport: Transport,
    /// The generator is late when it sends later than this after the due time, milliseconds.
    #[serde(default = "tolerance_ms")]
    pub tolerance_ms: u64,
    /// The town's gateways keep an audit, in a folder that ends with the run.
    #[serde(default)]
    pub audit: bool,
    /// By server: the run failed if its memory grew by more in the run's second half, percent.
    #[serde(default)]
    pub memory_growth_percent_max: BTreeMap<String, f64>,
    /// Servers that run already; without them a town of processes is started.
    pub targets: Option<Targets>,
    /// Order sessions.
    pub orders: Option<Orders>,
    /// Sources and subscribers of a feed.
    pub quotes: Option<Quotes>,
    /// Connections that do their handshake and end.
    pub handshakes: Option<Handshakes>,
    /// What is offered, one after the other.
    pub phases: Vec<Phase>,
    /// What happens on the way.
    #[serde(default)]
    pub events: Vec<Happening>,
}

/// Servers that run already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// A gateway, or the balancer before several.
    pub gateway: Option<SocketAddr>,
    /// A feed that has our sources in its configuration.
    pub feed: Option<SocketAddr>,
    /// Where our sources listen for that feed, the primary first.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// Authorities that the servers' certificates are checked by.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The name that the servers' certificates bear; else their address.
    #[serde(default)]
    pub server_name: String,
    /// Servers to look at, by their admin ports.
    #[serde(default)]
    pub components: Vec<Component>,
}

/// A server to look at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// What it is called.
    pub name: String,
    /// Its admin port.
    pub admin: SocketAddr,
}

/// Order sessions: they stand for the whole run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// How many, each with an account of its own.
    pub sessions: u64,
    /// Threads that they are spread over.
    pub threads: u64,
    /// What they speak.
    pub protocol: Protocol,
    /// Of a hundred orders, those for the margin core.
    pub margin_percent: u64,
    /// Sessions have one order without an answer on average, over a thread's sessions, and latency counts from the sending: what a
    /// closed loop would tell.
    pub closed_loop: bool,
    /// Before the session's number in its CompID.
    pub comp_id_prefix: String,
    /// Before the session's number in its account.
    pub account_prefix: String,
    /// Password of every session.
    pub password: String,
    /// CompID of the gateway's FIX port.
    pub fix_comp_id: String,
    /// The first security.
    pub security_first: u32,
    /// How many of them the orders go round.
    pub securities: u32,
    /// Price of all orders.
    pub price: String,
    /// The run failed if the 99th percentile is longer, milliseconds.
    pub p99_ms_max: Option<f64>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            sessions: 100,
            threads: 1,
            protocol: Protocol::Binary,
            margin_percent: 30,
            closed_loop: false,
            comp_id_prefix: "client".to_owned(),
            account_prefix: "01000".to_owned(),
            password: String::new(),
            fix_comp_id: "TONGDAO".to_owned(),
            security_first: crate::house::SECURITY_FIRST,
            securities: crate::house::SECURITIES,
            price: "10.00".to_owned(),
            p99_ms_max: None,
        }
    }
}

/// Sources and subscribers of a feed: they stand for the whole run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotes {
    /// Subscribers, each with a connection of its own.
    pub subscribers: usize,
    /// Threads that they are spread over.
    pub threads: u64,
    /// Sources: 1, or 2 for a primary and a backup.
    pub sources: usize,
    /// Bytes of each quote, as a frame.
    pub size: usize,
    /// Securities that the quotes go round.
    pub securities: u32,
    /// What the feed calls our sources.
    pub comp_id: String,
    /// The run failed if the 99th percentile is longer, milliseconds.
    pub p99_ms_max: Option<f64>,
}

impl Default for Quotes {
    fn default() -> Self {
        Self {
            subscribers: 100,
            threads: 1,
            sources: 2,
            size: 128,
            securities: 100,
            comp_id: crate::source::COMP_ID.to_string(),
            p99_ms_max: None,
        }
    }
}

/// Connections that do their handshake and end.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshakes {
    /// At which server.
    pub at: Door,
    /// The run failed if the 99th percentile is longer, milliseconds.
    pub p99_ms_max: Option<f64>,
}

/// Where connections come in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Where orders do.
    Gateway,
    /// Where subscribers do.
    Feed,
}

/// A time in which rates stay as they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it lasts, seconds.
    pub seconds: u64,
    /// Orders a second, over all sessions.
    #[serde(default)]
    pub orders_per_s: u64,
    /// Quotes a second.
    #[serde(default)]
    pub quotes_per_s: u64,
    /// Handshakes a second.
    #[serde(default)]
    pub handshakes_per_s: u64,
}

/// Something that happens at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// When, seconds after the start.
    pub at_s: f64,
    /// What is told of it; else the deed itself.
    #[serde(default)]
    pub what: String,
    /// What is done.
    #[serde(rename = "do")]
    pub deed: Deed,
}

/// What is done.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// Kills a server of the town, as a power cut would.
    Kill(String),
    /// Starts it again.
    Start(String),
    /// Holds a server of the town where it is, for so many milliseconds.
    Hold {
        /// Which.
        server: String,
        /// How long.
        ms: u64,
    },
    /// Our primary source closes its port (`down`), or opens it again (`up`).
    PrimarySource(Port),
    /// A PUT request at a server's admin port.
    Put(Request),
    /// A POST request there.
    Post(Request),
}

/// Whether a port is open.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Port {
    /// It is.
    Up,
    /// It is not.
    Down,
}

/// A request at an admin port.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of which server.
    pub server: String,
    /// For what.
    pub path: String,
    /// JSON that goes with it.
    #[serde(default)]
    pub json: String,
}

/// Servers of a town, by name.
pub const TOWN: [&str; 6] = ["core-cash", "core-margin", "gateway-a", "gateway-b", "slb", "feed"];

fn tolerance_ms() -> u64 {
    5
}

impl Scenario {
    /// Reads a file and checks it; also what it says.
    ///
    /// # Errors
    /// A file that cannot be read or that is not a scenario that could be played: which key, and why.
    pub fn read(path: &Path) -> anyhow::Result<(Self, String)> {
        let context = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(context)?.len();
        ensure!(
            bytes <= FILE_BYTES_MAX,
            "{}: {bytes} bytes, a scenario has at most {FILE_BYTES_MAX}",
            context()
        );
        let text = std::fs::read_to_string(path).with_context(context)?;
        Ok((Self::parse(&text).with_context(context)?, text))
    }

    /// Takes a scenario from its text and checks it.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// How long it lasts, seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.phases.iter().fold(0, |sum: u64, phase| sum.saturating_add(phase.seconds))
    }

    /// The schedule of one kind of load from `start_ns` on; `None` when it is never offered.
    #[must_use]
    pub fn schedule(&self, start_ns: u64, rate_per_s: fn(&Phase) -> u64) -> Option<Schedule> {
        let (mut at_ns, mut schedule) = (start_ns, None);
        for phase in &self.phases {
            let (rate, count) = (rate_per_s(phase), rate_per_s(phase) * phase.seconds);
            if rate > 0 {
                schedule = Some(match schedule {
                    None => Schedule::new(at_ns, rate, count),
                    Some(before) => Schedule::then(before, at_ns, rate, count),
                });
            }
            at_ns += phase.seconds * NS_PER_S;
        }
        schedule
    }

    fn check(&self) -> anyhow::Result<()> {
        within("phases", self.phases.len(), 1, PIECES_MAX)?;
        for (number, phase) in (1..).zip(&self.phases) {
            phase.check().with_context(|| format!("phases: number {number}, \"{}\"", phase.name))?;
        }
        within("phases: seconds together", self.seconds(), 1, SECONDS_MAX)?;
        within("tolerance_ms", self.tolerance_ms, 0, 60_000)?;
        let orders = self.offered("orders", |phase| phase.orders_per_s, self.orders.is_some())?;
        ensure!(
            orders.is_multiple_of(2),
            "phases: {orders} orders in all: they come in pairs, so the number must be even"
        );
        within("phases: orders in all", orders, 0, ORDERS_MAX)?;
        self.offered("quotes", |phase| phase.quotes_per_s, self.quotes.is_some())?;
        let handshakes =
            self.offered("handshakes", |phase| phase.handshakes_per_s, self.handshakes.is_some())?;
        within("phases: handshakes in all", handshakes, 0, HANDSHAKES_MAX)?;
        ensure!(
            self.orders.is_some() || self.quotes.is_some() || self.handshakes.is_some(),
            "there is nothing to do: give [orders], [quotes] or [handshakes]"
        );
        self.orders.as_ref().map_or(Ok(()), Orders::check).context("orders")?;
        self.quotes.as_ref().map_or(Ok(()), Quotes::check).context("quotes")?;
        limit(self.handshakes.and_then(|handshakes| handshakes.p99_ms_max)).context("handshakes")?;
        let (fix, quic) = (
            self.orders.as_ref().is_some_and(|orders| orders.protocol == Protocol::Fix),
            self.transport == Transport::Quic,
        );
        ensure!(
            !fix || self.targets.is_some(),
            "orders: protocol = \"fix\" needs [targets]: the town's gateways speak the binary protocol"
        );
        ensure!(!fix || !quic, "orders: protocol = \"fix\" goes over transport = \"tls\" or \"tcp\"");
        self.check_targets().context("targets")?;
        ensure!(!self.audit || self.targets.is_none(), "audit: only for the servers of a town");
        for (server, percent) in &self.memory_growth_percent_max {
            let known = self.servers();
            ensure!(
                known.contains(&server.as_str()),
                "memory_growth_percent_max: there is no server {server:?}: there are {known:?}"
            );
            ensure!(
                server != "feed" || self.targets.is_some() || self.quotes.is_some(),
                "memory_growth_percent_max: a town without [quotes] has no feed"
            );
            let good = percent.is_finite() && *percent >= 0.0;
            ensure!(good, "memory_growth_percent_max: {server} = {percent}: a number of percent from 0 on");
        }
        within("events", self.events.len(), 0, EVENTS_MAX)?;
        for (number, event) in (1..).zip(&self.events) {
            self.check_event(event).with_context(|| format!("events: number {number}"))?;
        }
        Ok(())
    }

    /// Servers that may be named.
    fn servers(&self) -> Vec<&str> {
        match &self.targets {
            None => TOWN.to_vec(),
            Some(targets) => targets.components.iter().map(|component| component.name.as_str()).collect(),
        }
    }

    /// How many messages of a kind there are: none without the kind's section, and some with it.
    fn offered(&self, name: &str, rate_per_s: fn(&Phase) -> u64, section: bool) -> anyhow::Result<u64> {
        let mut sum: u64 = 0;
        for phase in &self.phases {
            within(&format!("phases: {name}_per_s"), rate_per_s(phase), 0, RATE_MAX)?;
            sum += rate_per_s(phase) * phase.seconds;
        }
        ensure!(section || sum == 0, "phases: {name}_per_s needs a section [{name}]");
        ensure!(!section || sum > 0, "[{name}]: no phase has {name}_per_s");
        Ok(sum)
    }

    fn check_targets(&self) -> anyhow::Result<()> {
        let Some(targets) = &self.targets else { return Ok(()) };
        let door = |door| self.handshakes.is_some_and(|handshakes| handshakes.at == door);
        ensure!(
            targets.gateway.is_some() || !(self.orders.is_some() || door(Door::Gateway)),
            "gateway: an address is missing"
        );
        ensure!(
            targets.feed.is_some() || !(self.quotes.is_some() || door(Door::Feed)),
            "feed: an address is missing"
        );
        let sources = self.quotes.as_ref().map_or(0, |quotes| quotes.sources);
        ensure!(targets.listen.len() >= sources, "listen: an address for each of the {sources} sources");
        ensure!(
            self.transport == Transport::Tcp || targets.ca.is_some(),
            "ca: by what are the servers' certificates checked? (or transport = \"tcp\")"
        );
        ensure!(targets.certificate.is_some() == targets.key.is_some(), "certificate and key go together");
        within("components", targets.components.len(), 0, COMPONENTS_MAX)?;
        Ok(())
    }

    fn check_event(&self, event: &Happening) -> anyhow::Result<()> {
        let seconds = self.seconds() as f64;
        ensure!(
            (0.0..=seconds).contains(&event.at_s),
            "at_s = {}: the run lasts from 0 to {seconds}",
            event.at_s
        );
        let server = match &event.deed {
            Deed::PrimarySource(_) => {
                ensure!(
                    self.quotes.as_ref().is_some_and(|quotes| quotes.sources == 2),
                    "primary_source: needs [quotes] with sources = 2"
                );
                return Ok(());
            }
            Deed::Hold { server, ms } => {
                within("hold: ms", *ms, 1, HOLD_MS_MAX)?;
                let until_s = event.at_s + *ms as f64 / 1e3;
                ensure!(
                    until_s <= seconds,
                    "hold: ms = {ms} from {} s on: until {until_s} s, and the run ends at {seconds} s",
                    event.at_s
                );
                server
            }
            Deed::Kill(server) | Deed::Start(server) => server,
            Deed::Put(request) | Deed::Post(request) => {
                ensure!(
                    request.path.starts_with('/') && !request.path.contains(char::is_whitespace),
                    "path = {:?}: begins with / and has no space",
                    request.path
                );
                &request.server
            }
        };
        let known = self.servers();
        ensure!(known.contains(&server.as_str()), "there is no server {server:?}: there are {known:?}");
        let ours = matches!(event.deed, Deed::Put(_) | Deed::Post(_)) || self.targets.is_none();
        ensure!(ours, "only servers of a town can be killed, started or held: not those of [targets]");
        Ok(())
    }
}

impl Phase {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.name.is_empty() && self.name.chars().count() <= 40, "name: 1 to 40 characters");
        within("seconds", self.seconds, 1, SECONDS_MAX)
    }
}

impl Orders {
    fn check(&self) -> anyhow::Result<()> {
        within("sessions", self.sessions, 1, SESSIONS_MAX)?;
        within("threads", self.threads, 1, THREADS_MAX)?;
        ensure!(self.sessions.is_multiple_of(self.threads), "threads must divide sessions");
        within("margin_percent", self.margin_percent, 0, 100)?;
        within("comp_id_prefix: characters", self.comp_id_prefix.len(), 1, 16)?;
        within("account_prefix: characters", self.account_prefix.len(), 1, 8)?;
        within("securities", self.securities, 1, 999_999)?;
        within("security_first", self.security_first, 0, 1_000_000 - self.securities)?;
        ensure!(self.price.parse::<Price>().is_ok(), "price = {:?} is no price", self.price);
        ensure!(self.fix_comp_id.parse::<Text<20>>().is_ok(), "fix_comp_id: at most 20 ASCII characters");
        limit(self.p99_ms_max)
    }
}

impl Quotes {
    fn check(&self) -> anyhow::Result<()> {
        within("subscribers", self.subscribers, 1, SUBSCRIBERS_MAX)?;
        within("threads", self.threads, 1, THREADS_MAX.min(self.subscribers as u64))?;
        within("sources", self.sources, 1, 2)?;
        within("securities", self.securities, 1, 100_000)?;
        ensure!(self.comp_id.parse::<Text<20>>().is_ok(), "comp_id: at most 20 ASCII characters");
        crate::padded::Padded::new(1, self.size, 1)
            .map_err(|error| anyhow::anyhow!("size = {}: {error}", self.size))?;
        limit(self.p99_ms_max)
    }
}

fn limit(p99_ms_max: Option<f64>) -> anyhow::Result<()> {
    let good = p99_ms_max.is_none_or(|ms| ms.is_finite() && ms > 0.0);
    ensure!(good, "p99_ms_max: a number of milliseconds above 0");
    Ok(())
}

fn within<T: PartialOrd + std::fmt::Display>(key: &str, value: T, least: T, most: T) -> anyhow::Result<()> {
    ensure!((&least..=&most).contains(&&value), "{key} = {value}: from {least} to {most}");
    Ok(())
}

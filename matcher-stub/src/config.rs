//! The configuration file: what `default.toml` shows, and what is made of it.

mod accounts;
mod phases;

pub use accounts::{AccountConfig, SharesConfig};
pub use phases::{PhaseConfig, PhaseName};

use crate::core::{Accounts, Desk, DeskNo, Listing, Listings, Schedule, Settings, id_range};
use crate::journal::Durability;
use crate::logs::Logs;
use crate::publisher::ResendLimits;
use core_port::session::{Admission, Client};
use serde::Deserialize;
use service::config::{Invalid, addresses_differ};
use service::tls;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use wire::szse::code::{PlatformId, VERSION_MARKET_DATA, VERSION_TRADING};
use wire::szse::trading::PARTITIONS_MAX;
use wire::szse::{Password, Price, Qty, SecurityId, frame, session};

/// The configuration of a matcher.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long sessions have to log out when the server drains, ms.
    pub drain_timeout_ms: u64,
    /// Trading ports.
    pub trading: Vec<TradingPort>,
    /// Market-data ports.
    pub market_data: Vec<MarketDataPort>,
    /// Securities one by one.
    pub securities: Vec<Security>,
    /// Securities in ranges.
    pub security_ranges: Vec<SecurityRange>,
    /// Accounts that are limited; all others are not.
    pub accounts: Vec<AccountConfig>,
    /// What may be lent to them in short sales.
    pub short_inventory: Vec<SharesConfig>,
    /// Phases of the day; without them trading is continuous around the clock.
    pub phases: Vec<PhaseConfig>,
    /// The core.
    pub core: CoreConfig,
    /// Who may log on, and how.
    pub session: SessionConfig,
    /// The day's inputs on disk.
    pub journal: JournalConfig,
    /// How much is held.
    pub log: LogConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Certificates; without it all connections are plain TCP.
    pub tls: Option<tls::Settings>,
    /// Traces of a sample of the orders.
    pub traces: service::traces::Config,
    /// The admin port.
    pub admin: service::admin::Config,
}

/// The day's inputs on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// The day's directory; without one nothing outlives the process.
    pub directory: Option<PathBuf>,
    /// What has happened to inputs when their reports are published.
    pub durability: Durability,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { directory: None, durability: Durability::Write }
    }
}

/// A trading port: a desk of the core, with one line to it or two.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TradingPort {
    /// Its name, for metrics and commands.
    pub name: String,
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where its second line listens. Where there is one, the lines are called NAME-a and NAME-b.
    #[serde(default)]
    pub listen_b: Option<SocketAddr>,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    #[serde(default)]
    pub transport: Option<tls::Over>,
    /// PlatformID.
    pub platform_id: u16,
    /// PartitionNo of the first partition.
    pub partition_first: u16,
    /// Count of partitions.
    pub partitions: u16,
    /// Takes CashMargin 1.
    pub cash: bool,
    /// Takes CashMargin 2 and 3.
    pub margin: bool,
}

/// A market-data port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketDataPort {
    /// Its name, for metrics and commands.
    pub name: String,
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    #[serde(default)]
    pub transport: Option<tls::Over>,
}

/// One security; what is left out is as on the main board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// SecurityID.
    pub id: String,
    /// Previous close.
    pub prev_close: String,
    /// Limits at this many percent around the previous close.
    #[serde(default = "band_percent")]
    pub band_percent: u32,
    /// Highest price.
    pub limit_up: Option<String>,
    /// Lowest price.
    pub limit_down: Option<String>,
    /// Step of prices.
    pub tick: Option<String>,
    /// Buys come in multiples of this.
    pub lot: Option<String>,
    /// Largest quantity of one order.
    pub quantity_max: Option<String>,
}

/// Securities that differ in nothing but their identifier.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityRange {
    /// First identifier, six digits.
    pub first: String,
    /// How many.
    pub count: u32,
    /// Previous close.
    pub prev_close: String,
    /// Limits at this many percent around the previous close.
    #[serde(default = "band_percent")]
    pub band_percent: u32,
}

const fn band_percent() -> u32 {
    10
}

/// The core; see [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoreConfig {
    /// See [`Settings::core_no`].
    pub core_no: u16,
    /// See [`Settings::orders_max`].
    pub orders_max: u32,
    /// See [`Settings::orders_reserved`].
    pub orders_reserved: u32,
    /// Pace of snapshots, ms.
    pub snapshot_interval_ms: u32,
    /// Silence after which a channel has a heartbeat, ms.
    pub channel_heartbeat_ms: u32,
    /// See [`Settings::channel_first`].
    pub channel_first: u16,
    /// See [`Settings::channels`].
    pub channels: u16,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            core_no: 1,
            orders_max: 20_000_000,
            orders_reserved: 1_000_000,
            snapshot_interval_ms: 3_000,
            channel_heartbeat_ms: 3_000,
            channel_first: 2011,
            channels: 4,
        }
    }
}

/// Who may log on, and how; see [`session::Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Our CompID.
    pub comp_id: String,
    /// From the connection to the logon, ms.
    pub logon_timeout_ms: u32,
    /// Shortest HeartBtInt, s.
    pub heart_bt_s_min: u16,
    /// Longest HeartBtInt, s.
    pub heart_bt_s_max: u16,
    /// Sessions that one CompID may have on one line at a time.
    pub per_comp_id_max: u16,
    /// Who may log on; empty lets anyone in who gives a name.
    pub clients: Vec<ClientConfig>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            comp_id: "MATCHER".to_owned(),
            logon_timeout_ms: 5_000,
            heart_bt_s_min: 1,
            heart_bt_s_max: 60,
            per_comp_id_max: 1,
            clients: Vec::new(),
        }
    }
}

/// Someone who may log on.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// SenderCompID.
    pub comp_id: String,
    /// Password of the logon.
    pub password: String,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig").field("comp_id", &self.comp_id).finish_non_exhaustive()
    }
}

/// How much is held in memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Reports of each desk, bytes.
    pub report_window_bytes: usize,
    /// Market data, bytes.
    pub market_window_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { report_window_bytes: 1 << 30, market_window_bytes: 256 << 20 }
    }
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections of all ports together.
    pub connections_max: usize,
    /// Private bytes that may wait for one connection.
    pub out_bytes_max: usize,
    /// See [`ResendLimits::numbers_max`].
    pub resend_numbers_max: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { connections_max: 1_024, out_bytes_max: 1 << 20, resend_numbers_max: 100_000 }
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let trading = |name: &str, port, partition_first, margin: bool| TradingPort {
            name: name.to_owned(),
            listen: loopback(port),
            listen_b: None,
            transport: None,
            platform_id: 1,
            partition_first,
            partitions: 2,
            cash: !margin,
            margin,
        };
        let market_data = |name: &str, port| MarketDataPort {
            name: name.to_owned(),
            listen: loopback(port),
            transport: None,
        };
        Self {
            tls: None,
            drain_timeout_ms: 5_000,
            trading: vec![trading("cash", 7101, 1, false), trading("margin", 7102, 11, true)],
            market_data: vec![market_data("primary", 7201), market_data("backup", 7202)],
            securities: Vec::new(),
            security_ranges: vec![SecurityRange {
                first: "000001".to_owned(),
                count: 100,
                prev_close: "10.00".to_owned(),
                band_percent: band_percent(),
            }],
            accounts: Vec::new(),
            short_inventory: Vec::new(),
            phases: Vec::new(),
            core: CoreConfig::default(),
            session: SessionConfig::default(),
            journal: JournalConfig::default(),
            log: LogConfig::default(),
            limits: LimitsConfig::default(),
            traces: service::traces::Config::default(),
            admin: service::admin::Config { listen: loopback(7190), ..service::admin::Config::default() },
        }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn check_files(&self) -> Result<(), Invalid> {
        tls::check_files(self.tls.as_ref(), "tls", false)?;
        self.traces.check_files()
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.check_ports()?;
        self.check_tls()?;
        self.check_partitions()?;
        self.check_core()?;
        self.traces.validate("traces")?;
        self.accounts(&self.listings()?)?;
        self.schedule()?;
        self.admission(Version::Trading)?; // The other port's differs in the version only.
        if self.log.report_window_bytes < 2 * SEGMENT_BYTES
            || self.log.market_window_bytes < 2 * SEGMENT_BYTES
        {
            return Err(Invalid::new("log", format!("expected windows of at least {}", 2 * SEGMENT_BYTES)));
        }
        if self.limits.out_bytes_max < OUT_BYTES_MIN || self.limits.connections_max == 0 {
            return Err(Invalid::new(
                "limits",
                format!("expected connections, and out_bytes_max from {OUT_BYTES_MIN}"),
            ));
        }
        if self.limits.resend_numbers_max == 0 {
            return Err(Invalid::new("limits.resend_numbers_max", "expected at least 1"));
        }
        Ok(())
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

/// Bytes of a log's segment: many times the longest frame.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;
/// Below this one resend step and the longest answers would not fit.
const OUT_BYTES_MIN: usize = 256 << 10;
/// The longest body that a peer may send: a report synchronisation of all partitions.
const BODY_LEN_MAX: u32 = 4 + 12 * PARTITIONS_MAX as u32;

/// A line to a desk.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) desk_no: DeskNo,
}

/// Which protocol a port speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    Trading,
    MarketData,
}

impl Config {
    fn check_ports(&self) -> Result<(), Invalid> {
        let trading =
            self.trading.iter().enumerate().map(|(at, port)| (format!("trading[{at}].name"), &port.name));
        let market = self
            .market_data
            .iter()
            .enumerate()
            .map(|(at, port)| (format!("market_data[{at}].name"), &port.name));
        let mut names: Vec<&str> = Vec::new();
        for (key, name) in trading.chain(market) {
            if name.is_empty() || names.contains(&name.as_str()) {
                return Err(Invalid::new(key, "expected a name of its own"));
            }
            names.push(name);
        }
        for line in self.lines().filter(|line| line.name != self.trading[usize::from(line.desk_no)].name) {
            if names.contains(&line.name.as_str()) {
                let problem = format!("its line would be called {}, as another port is", line.name);
                return Err(Invalid::new(format!("trading[{}].name", line.desk_no), problem));
            }
        }
        if self.trading.is_empty() || self.trading.len() > PORTS_MAX || self.market_data.len() > PORTS_MAX {
            return Err(Invalid::new("trading", format!("expected 1 to {PORTS_MAX} ports of each kind")));
        }
        let trading = self
            .trading
            .iter()
            .enumerate()
            .map(|(at, port)| (format!("trading[{at}].listen"), port.name.as_str(), port.listen));
        let market = self
            .market_data
            .iter()
            .enumerate()
            .map(|(at, port)| (format!("market_data[{at}].listen"), port.name.as_str(), port.listen));
        let second = self.trading.iter().enumerate().filter_map(|(at, port)| {
            Some((format!("trading[{at}].listen_b"), port.name.as_str(), port.listen_b?))
        });
        let admin = [("admin.listen".to_owned(), "admin", self.admin.listen)];
        addresses_differ(trading.chain(second).chain(market).chain(admin))
    }

    fn check_tls(&self) -> Result<(), Invalid> {
        let trading = self.trading.iter().map(|port| port.transport).enumerate();
        let market = self.market_data.iter().map(|port| port.transport).enumerate();
        let trading = trading.map(|(at, over)| (format!("trading[{at}].transport"), over));
        let market = market.map(|(at, over)| (format!("market_data[{at}].transport"), over));
        for (key, over) in trading.chain(market) {
            tls::validate_listener(self.tls.as_ref(), over, &key)?;
        }
        tls::validate_limits(self.tls.as_ref())
    }

    fn check_partitions(&self) -> Result<(), Invalid> {
        let mut taken: Vec<u16> = Vec::new();
        for (at, port) in self.trading.iter().enumerate() {
            let many = port.partitions == 0 || usize::from(port.partitions) > PARTITIONS_MAX;
            if many || port.partition_first.checked_add(port.partitions).is_none() {
                let problem = format!("expected 1 to {PARTITIONS_MAX}, numbered below 65536");
                return Err(Invalid::new(format!("trading[{at}].partitions"), problem));
            }
            if port.desk().partition_nos().any(|number| taken.contains(&number)) {
                let problem = "expected partitions that no other desk has";
                return Err(Invalid::new(format!("trading[{at}].partition_first"), problem));
            }
            if !port.cash && !port.margin {
                return Err(Invalid::new(format!("trading[{at}].cash"), "expected cash, margin or both"));
            }
            taken.extend(port.desk().partition_nos());
        }
        Ok(())
    }

    fn check_core(&self) -> Result<(), Invalid> {
        let core = &self.core;
        if core.core_no > 9_999 {
            return Err(Invalid::new("core.core_no", "expected 0 to 9999"));
        }
        if core.orders_max == 0 {
            return Err(Invalid::new("core.orders_max", "expected at least 1"));
        }
        if core.channels == 0 || core.channel_first.checked_add(core.channels).is_none() {
            return Err(Invalid::new("core.channels", "expected at least 1, numbered below 65536"));
        }
        if core.snapshot_interval_ms == 0 || core.channel_heartbeat_ms == 0 {
            return Err(Invalid::new("core.snapshot_interval_ms", "expected intervals of at least 1 ms"));
        }
        Ok(())
    }

    /// What is traded.
    pub(crate) fn listings(&self) -> Result<Listings, Invalid> {
        let mut list = Vec::new();
        for (at, range) in self.security_ranges.iter().enumerate() {
            let key = |field: &str| format!("security_ranges[{at}].{field}");
            let prev_close = parse::<Price>(&range.prev_close, || key("prev_close"))?;
            let first = parse::<SecurityId>(&range.first, || key("first"))?;
            let digits = range.first.len() == 6 && range.first.bytes().all(|byte| byte.is_ascii_digit());
            if !digits {
                let problem = format!("expected six digits, such as \"000001\", not \"{}\"", range.first);
                return Err(Invalid::new(key("first"), problem));
            }
            let ids = id_range(first, range.count)
                .map_err(|error| Invalid::new(key("count"), error.to_string()))?;
            list.extend(ids.map(|id| Listing::main_board(id, prev_close, range.band_percent)));
        }
        for (at, security) in self.securities.iter().enumerate() {
            list.push(security.listing(at)?);
        }
        if list.is_empty() {
            return Err(Invalid::new("security_ranges", "expected something to trade"));
        }
        Listings::new(list).map_err(|error| Invalid::new("securities", error.to_string()))
    }

    /// Who is limited.
    pub(crate) fn accounts(&self, listings: &Listings) -> Result<Accounts, Invalid> {
        accounts::accounts(&self.accounts, &self.short_inventory, listings)
    }

    /// When what is taken.
    pub(crate) fn schedule(&self) -> Result<Schedule, Invalid> {
        phases::schedule(&self.phases)
    }

    /// What the core is made of.
    pub(crate) fn settings(&self) -> Settings {
        let ns = |ms: u32| u64::from(ms) * 1_000_000;
        Settings {
            core_no: self.core.core_no,
            orders_max: self.core.orders_max,
            orders_reserved: self.core.orders_reserved,
            desks: self.trading.iter().map(TradingPort::desk).collect(),
            channel_first: self.core.channel_first,
            channels: self.core.channels,
            snapshot_interval_ns: ns(self.core.snapshot_interval_ms),
            channel_heartbeat_ns: ns(self.core.channel_heartbeat_ms),
        }
    }

    /// Of all that makes the same inputs the same day: desks, securities, accounts, and what the core numbers by. FNV-1a, so that
    /// another build of this program has the same.
    pub(crate) fn fingerprint(&self) -> u64 {
        let Settings { core_no, orders_max, desks, channel_first, channels, .. } = self.settings();
        let mut text = format!(
            "{core_no} {orders_max} {desks:?} {channel_first} {channels} {:?} {:?}",
            self.security_ranges, self.securities
        );
        // Days that were begun before there were accounts or phases stay what they are.
        if !(self.accounts.is_empty() && self.short_inventory.is_empty()) {
            text += &format!(" {:?} {:?}", self.accounts, self.short_inventory);
        }
        if !self.phases.is_empty() {
            text += &format!(" {:?}", self.phases);
        }
        let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, byte)
    }

    /// The lines of all desks.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        (0..).zip(&self.trading).flat_map(|(desk_no, port)| {
            let named = |letter, listen| Line { name: format!("{}-{letter}", port.name), listen, desk_no };
            let first = match port.listen_b {
                None => Line { name: port.name.clone(), listen: port.listen, desk_no },
                Some(_) => named('a', port.listen),
            };
            std::iter::once(first).chain(port.listen_b.map(|listen| named('b', listen)))
        })
    }

    /// By line.
    pub(crate) fn ports(&self, logs: Logs) -> Vec<core_port::Line> {
        let port = |line: Line| {
            let port = &self.trading[usize::from(line.desk_no)];
            core_port::Line {
                name: line.name,
                platform_id: PlatformId::from_raw(port.platform_id),
                partition_first: port.partition_first,
                partitions: port.partitions,
                reports: logs.reports(usize::from(line.desk_no)),
            }
        };
        self.lines().map(port).collect()
    }

    /// Who may log on.
    pub(crate) fn admission(&self, version: Version) -> Result<Admission, Invalid> {
        let session = &self.session;
        if session.per_comp_id_max == 0 {
            return Err(Invalid::new("session.per_comp_id_max", "expected at least 1"));
        }
        if session.heart_bt_s_min == 0 || session.heart_bt_s_min > session.heart_bt_s_max {
            return Err(Invalid::new("session.heart_bt_s_min", "expected 1 to heart_bt_s_max"));
        }
        let mut clients = Vec::new();
        for (at, client) in session.clients.iter().enumerate() {
            let password = Password::new(client.password.as_bytes()).map_err(|_| {
                let expected = "a password has at most 16 bytes of printable ASCII";
                Invalid::new(format!("session.clients[{at}].password"), expected)
            })?;
            let comp_id = parse(&client.comp_id, || format!("session.clients[{at}].comp_id"))?;
            clients.push(Client { comp_id, password });
        }
        Ok(Admission {
            comp_id: parse(&session.comp_id, || "session.comp_id".to_owned())?,
            clients,
            version: match version {
                Version::Trading => VERSION_TRADING,
                Version::MarketData => VERSION_MARKET_DATA,
            },
            limits: session::Limits {
                logon_timeout_ms: session.logon_timeout_ms,
                heart_bt_s_min: session.heart_bt_s_min,
                heart_bt_s_max: session.heart_bt_s_max,
                body_len_max: BODY_LEN_MAX,
                ..session::Limits::default()
            },
        })
    }

    pub(crate) fn resend_limits(&self) -> ResendLimits {
        // Over half of what may wait, so that the shard tells when it is written; the last step still fits.
        let pause_bytes = self.limits.out_bytes_max / 8 * 5;
        ResendLimits { numbers_max: self.limits.resend_numbers_max, pause_bytes }
    }

    pub(crate) fn shard_limits(&self) -> shard::Limits {
        shard::Limits {
            connections_max: self.limits.connections_max,
            out_bytes_max: self.limits.out_bytes_max,
            kept_bytes_max: BODY_LEN_MAX as usize + frame::OVERHEAD,
            tick_ms: TICK_MS,
            ..shard::Limits::default()
        }
    }
}

/// Pace of deadlines, heartbeats and snapshots: the shortest of them is a second.
const TICK_MS: u32 = 20;
/// Ports of each kind.
const PORTS_MAX: usize = 64;

impl TradingPort {
    fn desk(&self) -> Desk {
        Desk {
            partition_first: self.partition_first,
            partitions: self.partitions,
            cash: self.cash,
            margin: self.margin,
        }
    }
}

impl Security {
    fn listing(&self, at: usize) -> Result<Listing, Invalid> {
        let key = |field: &str| format!("securities[{at}].{field}");
        let id = parse(&self.id, || key("id"))?;
        let prev_close = parse(&self.prev_close, || key("prev_close"))?;
        let usual = Listing::main_board(id, prev_close, self.band_percent);
        let price = |given: &Option<String>, field: &str, usual: Price| match given {
            Some(text) => parse(text, || key(field)),
            None => Ok(usual),
        };
        let quantity = |given: &Option<String>, field: &str, usual: Qty| match given {
            Some(text) => parse(text, || key(field)),
            None => Ok(usual),
        };
        Ok(Listing {
            id,
            prev_close,
            limit_up: price(&self.limit_up, "limit_up", usual.limit_up)?,
            limit_down: price(&self.limit_down, "limit_down", usual.limit_down)?,
            tick: price(&self.tick, "tick", usual.tick)?,
            lot: quantity(&self.lot, "lot", usual.lot)?,
            quantity_max: quantity(&self.quantity_max, "quantity_max", usual.quantity_max)?,
        })
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str, key: impl Fn() -> String) -> Result<T, Invalid> {
    text.parse().map_err(|error: T::Err| Invalid::new(key(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        service::config::parse::<Config>(text, "matcher.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_default_text_is_the_default() {
        service::config::check_default::<Config>().unwrap();
    }

    #[test]
    fn the_default_text_has_what_tls_needs() {
        let config: Config =
            tls::check_default(&["transport"], |config: &Config| config.tls.as_ref()).unwrap();
        assert_eq!(config.trading[0].transport, Some(tls::Over::Tls));
        assert_eq!(config.market_data[0].transport, Some(tls::Over::Tls));
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        let port = |name: &str, first: u16, cash: bool| {
            format!(
                "[[trading]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nplatform_id = 1\n\
                 partition_first = {first}\npartitions = 2\ncash = {cash}\nmargin = false\n"
            )
        };
        let cases = [
            (format!("{}{}", port("a", 1, true), port("a", 3, true)), "`trading[1].name`"),
            (format!("{}{}", port("a", 1, true), port("b", 2, true)), "`trading[1].partition_first`"),
            (port("a", 65_535, true), "`trading[0].partitions`"),
            (port("a", 1, false), "`trading[0].cash`"),
            ("trading = []\n".to_owned(), "`trading`"),
            ("security_ranges = []\n".to_owned(), "`security_ranges`"),
            ("[[securities]]\nid = \"000001\"\nprev_close = \"10.00\"\n".to_owned(), "listed twice"),
            (
                "[[securities]]\nid = \"300750\"\nprev_close = \"ten\"\n".to_owned(),
                "`securities[0].prev_close`",
            ),
            (
                "[[security_ranges]]\nfirst = \"00001\"\ncount = 1\nprev_close = \"10.00\"\n".to_owned(),
                "matcher.toml:2:9: `security_ranges[0].first`: expected six digits",
            ),
            (
                "[[security_ranges]]\nfirst = \"999999\"\ncount = 2\nprev_close = \"10.00\"\n".to_owned(),
                "matcher.toml:3:9: `security_ranges[0].count`",
            ),
            (
                port("a", 1, true).replace(":0", ":7201"),
                "`market_data[0].listen`: \"a\" and \"primary\" have the same address 127.0.0.1:7201",
            ),
            (
                "[admin]\nlisten = \"127.0.0.1:7201\"\n".to_owned(),
                "`admin.listen`: \"primary\" and \"admin\" have the same address 127.0.0.1:7201",
            ),
            ("[core]\nchannels = 0\n".to_owned(), "`core.channels`"),
            (
                port("a", 1, true) + "transport = \"tls\"\n",
                "matcher.toml:9:13: `trading[0].transport`: needs a [tls] with certificate, key and ca",
            ),
            (
                port("a", 1, true) + "transport = \"quic\"\n",
                "`trading[0].transport`: expected \"tls\" or \"tcp\"",
            ),
            ("[tls]\nhandshake_timeout_ms = 0\n".to_owned(), "`tls.handshake_timeout_ms`"),
            ("[core]\ncore_no = 10000\n".to_owned(), "`core.core_no`"),
            ("[session]\ncomp_id = \"longer than twenty characters\"\n".to_owned(), "`session.comp_id`"),
            ("[session]\nheart_bt_s_min = 61\n".to_owned(), "`session.heart_bt_s_min`"),
            ("[session]\nper_comp_id_max = 0\n".to_owned(), "`session.per_comp_id_max`"),
            (
                port("a", 1, true).replace("platform_id", "listen_b = \"127.0.0.1:7201\"\nplatform_id"),
                "`market_data[0].listen`: \"a\" and \"primary\" have the same address 127.0.0.1:7201",
            ),
            (
                port("a", 1, true).replace("platform_id", "listen_b = \"127.0.0.1:0\"\nplatform_id")
                    + &port("a-b", 3, true),
                "`trading[0].name`: its line would be called a-b",
            ),
            (
                "[[session.clients]]\ncomp_id = \"G\"\npassword = \"seventeen letters\"\n".to_owned(),
                "`session.clients[0].password`",
            ),
            ("[log]\nmarket_window_bytes = 4096\n".to_owned(), "`log`"),
            ("[limits]\nout_bytes_max = 1\n".to_owned(), "`limits`"),
            ("[core]\norders = 7\n".to_owned(), "matcher.toml:2:1: unknown field `orders`"),
        ];
        for (text, expected) in cases {
            let error = error(&text);
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn a_single_security_has_what_it_says() {
        let text = "security_ranges = []\n[[securities]]\nid = \"510050\"\nprev_close = \"2.500\"\n\
                    tick = \"0.001\"\nlimit_up = \"2.750\"\nlimit_down = \"2.250\"\n";
        let config: Config = service::config::parse(text, "matcher.toml").unwrap();
        let listings = config.listings().unwrap();
        let listing = listings.as_slice()[0];
        assert_eq!(
            (listing.tick.to_string(), listing.limit_up.to_string()),
            ("0.0010".into(), "2.7500".into())
        );
        assert_eq!(listing.lot, Qty::whole(100));
    }

    #[test]
    fn a_password_is_not_printed() {
        let text = "[[session.clients]]\ncomp_id = \"G\"\npassword = \"secret\"\n";
        let config: Config = service::config::parse(text, "matcher.toml").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_its_key_and_where_it_was_sought() {
        let check = |text: &str, key: &str| {
            service::config::check_missing::<Config>(text, key, "/nonexistent/x".as_ref()).unwrap();
        };
        let tls =
            "[tls]\ncertificate = \"/nonexistent/x\"\nkey = \"/nonexistent/y\"\nca = \"/nonexistent/z\"\n";
        check(tls, "tls.certificate");
        let traces = "[traces]\nendpoint = \"http://127.0.0.1:1/\"\nid_key_file = \"/nonexistent/x\"\n";
        check(traces, "traces.id_key_file");
    }
}

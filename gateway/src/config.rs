//! The configuration. `default.toml` has every key with its meaning; these types say the same to the code.

use crate::accounts::{ACCOUNTS_OF_COMP_MAX, Accounts, Credentials};
use crate::audit::JetStreamSettings;
use crate::duty::{LINES_MAX, Mode};
use crate::line;
use crate::link::Partitions;
use crate::route;
use serde::{Deserialize, Deserializer, de};
use service::config::{Invalid, addresses_differ};
use service::proxy::{self, AcceptProxy};
use service::tls;
use service::traces;
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use transport::SocketOptions;
use wire::szse::code::VERSION_TRADING;
use wire::szse::trading::PARTITIONS_MAX;
use wire::szse::{Password, Text, frame, session};

mod checks;
mod quotes;

pub use crate::duty::Mode as LineMode;
pub use checks::{CancelOnDisconnect, Checks, Control, StaleQuotes, Throttle, ThrottledClient};
pub use quotes::Quotes;

/// Longest body that a client or a core may send: a group of all partitions.
const BODY_BYTES_MAX: usize = 4 << 10;
/// Bytes asked for in one read of a socket. What is read is all forwarded before the next look at the line's backlog,
/// so this bounds how far that overshoots.
const READ_BYTES: usize = 64 << 10;
/// A line slower than this could not carry a heartbeat and an order in time, bytes a second.
const BANDWIDTH_MIN: u64 = 8_000;
/// Pace of timeouts and dials, milliseconds.
const TICK_MS: u32 = 20;

/// The whole configuration of a gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// What holds for all clients' sessions.
    pub sessions: Sessions,
    /// Who may log on, and trade what.
    pub clients: Vec<Client>,
    /// Who sees the reports of others' accounts, and sends nothing.
    pub drop_copies: Vec<DropCopy>,
    /// Whose open orders are cancelled when its session is gone.
    pub cancel_on_disconnect: Vec<CancelOnDisconnect>,
    /// The trading cores: cash, margin or both.
    pub cores: Vec<Core>,
    /// Back-pressure towards the cores.
    pub forwarding: Forwarding,
    /// The FIX port.
    pub fix: crate::fix::Config,
    /// Pre-trade checks.
    pub checks: Checks,
    /// The feed whose quotes the checks know.
    pub quotes: Quotes,
    /// How many orders and cancels are granted.
    pub throttle: Throttle,
    /// The operator's commands.
    pub control: Control,
    /// Where requests and reports are kept for the regulator.
    pub audit: Audit,
    /// Reports held for clients.
    pub log: Log,
    /// Certificates; without it all connections are plain TCP.
    pub tls: Option<tls::Settings>,
    /// Traces of a sample of the orders.
    pub traces: traces::Config,
    /// The operator's port.
    pub admin: service::admin::Config,
    /// How long clients have to log out when the gateway ends, milliseconds.
    pub drain_timeout_ms: u64,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    pub transport: Option<tls::Over>,
    /// Where clients connect over QUIC, if they may.
    pub quic: Option<SocketAddr>,
    /// The core that the hot thread is bound to.
    pub cpu: Option<usize>,
    /// Never sleep: for a thread that has its core to itself.
    pub busy_poll: bool,
    /// Options of the clients' sockets.
    pub socket: SocketOptions,
    /// Balancers that say for whom they connect.
    pub accept_proxy: AcceptProxy,
}

/// What holds for all clients' sessions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Our CompID; blank takes any TargetCompID.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Connections at a time.
    pub connections_max: usize,
    /// From the connection to the logon, milliseconds.
    pub logon_timeout_ms: u32,
    /// The shortest HeartBtInt, seconds.
    pub heartbeat_s_min: u16,
    /// The longest HeartBtInt, seconds.
    pub heartbeat_s_max: u16,
    /// Added to two intervals of silence before a client counts as dead, milliseconds.
    pub silence_slack_ms: u32,
    /// How long a client that knows more reports than the gateway waits for it to catch up, milliseconds.
    pub synchronization_timeout_ms: u64,
}

/// One CompID.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// SenderCompID of its logon.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Password of its logon.
    pub password: Secret,
    /// The accounts that it may trade and whose reports it gets.
    #[serde(deserialize_with = "texts")]
    pub accounts: Vec<Text<12>>,
}

/// A session that sees all reports of a branch, and sends nothing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropCopy {
    /// SenderCompID of its logon.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Password of its logon.
    pub password: Secret,
    /// The branch: CompIDs of the clients whose accounts' reports it gets; empty, all of them.
    #[serde(default, deserialize_with = "texts")]
    pub clients: Vec<Text<20>>,
}

/// Which core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreName {
    /// Takes orders with CashMargin 1.
    Cash,
    /// Takes orders with CashMargin 2 and 3.
    Margin,
}

/// A trading core and the line to it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Which one.
    pub core: CoreName,
    /// Where its first line, a, ends.
    pub address: SocketAddr,
    /// Where its second line, b, ends, if there is one.
    #[serde(default)]
    pub address_b: Option<SocketAddr>,
    /// How the lines share the work.
    #[serde(default)]
    pub mode: Mode,
    /// What each line may be sent, bytes a second; 0 is as much as it takes.
    #[serde(default)]
    pub bandwidth_bytes_per_s: u64,
    /// What it is spoken to over; see [`Listen::transport`].
    #[serde(default)]
    pub transport: Option<tls::Over>,
    /// SenderCompID of our logon.
    #[serde(deserialize_with = "text", default = "gateway_comp_id")]
    pub sender_comp_id: Text<20>,
    /// TargetCompID of our logon.
    #[serde(deserialize_with = "text", default = "core_comp_id")]
    pub target_comp_id: Text<20>,
    /// Password of our logon.
    #[serde(default)]
    pub password: Secret,
    /// HeartBtInt of our logon, seconds.
    #[serde(default = "heartbeat_s")]
    pub heartbeat_s: u16,
    /// PartitionNo of its first report partition; the others follow.
    pub partition_first: u16,
    /// How many partitions it has.
    pub partitions: u16,
    /// Added to two heartbeat intervals of silence before a line counts as dead, milliseconds.
    #[serde(default)]
    pub silence_slack_ms: u32,
    /// Added to its PartitionNo it gives the one that clients see.
    #[serde(default)]
    pub partition_offset: u16,
    /// How long a connect may take, milliseconds.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Pause before it is dialled again, milliseconds; doubled each time.
    #[serde(default = "backoff_min_ms")]
    pub backoff_min_ms: u32,
    /// The longest pause, milliseconds.
    #[serde(default = "backoff_max_ms")]
    pub backoff_max_ms: u32,
}

/// Back-pressure towards the cores.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forwarding {
    /// Bytes that may wait for a line. At half of it clients are not read from until all is written.
    pub out_bytes_max: usize,
    /// How long a line may keep clients waiting before it is given up, milliseconds.
    pub stall_timeout_ms: u64,
    /// Orders known, for cancels and reports about them; one more and the oldest is forgotten.
    pub orders_max: u32,
    /// Requests that may be under way to a core without an answer; one more is refused.
    pub in_flight_max: u32,
    /// What has waited longer for an answer is not sent again when its line dies, milliseconds.
    pub resend_within_ms: u64,
    /// How long the core then has to report it, milliseconds.
    pub settle_ms: u64,
    /// Cancels that are sent of an order that a session has left, where the core refuses them.
    pub disconnect_cancels_max: u16,
}

/// Where requests and reports are kept for the regulator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The directory of its journal; without one nothing is kept.
    pub directory: Option<PathBuf>,
    /// How far a record outlives what.
    pub durability: Durability,
    /// How often what is new is committed, milliseconds.
    pub commit_interval_ms: u64,
    /// So many records behind, and no new order is taken.
    pub lag_records_max: u64,
    /// Length of the journal's files, bytes.
    pub segment_bytes: u64,
    /// A replicated stream of NATS in place of the directory.
    pub jetstream: Option<JetStream>,
}

/// Where a stream is: the audit's, or that of the FIX sessions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JetStream {
    /// Addresses of the NATS servers.
    pub servers: Vec<String>,
    /// The stream's name: of the audit one for each gateway, of the FIX sessions one for all.
    pub stream: String,
    /// Nodes that keep a copy.
    #[serde(default = "replicas")]
    pub replicas: usize,
    /// How long one exchange with the servers may take, milliseconds.
    #[serde(default = "exchange_timeout_ms")]
    pub timeout_ms: u64,
}

const fn exchange_timeout_ms() -> u64 {
    2_000
}

/// One node may be lost, and what was acknowledged is there.
const fn replicas() -> usize {
    3
}

impl JetStream {
    /// As the store takes them.
    pub(crate) fn settings(&self) -> JetStreamSettings {
        JetStreamSettings {
            servers: self.servers.clone(),
            stream: self.stream.clone(),
            replicas: self.replicas,
            timeout: Duration::from_millis(self.timeout_ms),
        }
    }

    pub(crate) fn validate(&self, section: &str) -> Result<(), Invalid> {
        let invalid = |key: &str, problem: &str| Err(Invalid::new(format!("{section}.{key}"), problem));
        let named = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if self.servers.is_empty() {
            return invalid("servers", "expected at least one");
        }
        if !named(&self.stream) {
            return invalid("stream", "expected letters, digits, - and _");
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return invalid("replicas", "expected 1, 3 or 5");
        }
        if self.timeout_ms == 0 {
            return invalid("timeout_ms", "expected more than 0");
        }
        Ok(())
    }
}

/// What a committed record outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The process.
    Write,
    /// A loss of power.
    Sync,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            directory: None,
            durability: Durability::Sync,
            commit_interval_ms: 5,
            lag_records_max: 100_000,
            segment_bytes: 64 << 20,
            jetstream: None,
        }
    }
}

impl Audit {
    fn validate(&self) -> Result<(), Invalid> {
        if self.directory.is_some() && self.jetstream.is_some() {
            return Err(Invalid::new("audit.directory", "expected this or `jetstream`, not both"));
        }
        self.jetstream.as_ref().map_or(Ok(()), |jetstream| jetstream.validate("audit.jetstream"))?;
        if !(1..=1_000).contains(&self.commit_interval_ms) {
            return Err(Invalid::new("audit.commit_interval_ms", "expected 1 to 1000"));
        }
        if !(1_000..=10_000_000).contains(&self.lag_records_max) {
            return Err(Invalid::new("audit.lag_records_max", "expected 1000 to 10000000"));
        }
        if !(2 << 20..=16 << 30).contains(&self.segment_bytes) {
            return Err(Invalid::new("audit.segment_bytes", "expected 2097152 to 17179869184"));
        }
        Ok(())
    }
}

/// Reports held for clients.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Bytes of reports held: how far behind a client may be, and from where it can resume.
    pub window_bytes: usize,
    /// The step in which old reports are let go, bytes.
    pub segment_bytes: usize,
}

/// What is said of a password that fits no logon.
const PASSWORD_EXPECTED: &str = "a password has at most 16 bytes of printable ASCII";

/// A password that does not print.
#[derive(Clone, Default, PartialEq)]
pub struct Secret(Password);

impl From<Password> for Secret {
    fn from(password: Password) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Password::new(text.as_bytes()).map(Self).map_err(|_| de::Error::custom(PASSWORD_EXPECTED))
    }
}

pub(crate) fn text<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<Text<N>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

fn texts<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<Vec<Text<N>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

const fn gateway_comp_id() -> Text<20> {
    Text::literal("GATEWAY")
}

const fn core_comp_id() -> Text<20> {
    Text::literal("MATCHER")
}

const fn heartbeat_s() -> u16 {
    3
}

const fn connect_timeout_ms() -> u64 {
    2_000
}

const fn backoff_min_ms() -> u32 {
    100
}

const fn backoff_max_ms() -> u32 {
    5_000
}

impl From<CoreName> for route::Core {
    fn from(name: CoreName) -> Self {
        match name {
            CoreName::Cash => Self::Cash,
            CoreName::Margin => Self::Margin,
        }
    }
}

impl Core {
    /// A core with the defaults of everything but what has none.
    pub fn new(core: CoreName, address: SocketAddr, partition_first: u16, partitions: u16) -> Self {
        Self {
            core,
            address,
            address_b: None,
            mode: Mode::default(),
            bandwidth_bytes_per_s: 0,
            transport: None,
            sender_comp_id: gateway_comp_id(),
            target_comp_id: core_comp_id(),
            password: Secret::default(),
            heartbeat_s: heartbeat_s(),
            silence_slack_ms: 0,
            partition_first,
            partitions,
            partition_offset: 0,
            connect_timeout_ms: connect_timeout_ms(),
            backoff_min_ms: backoff_min_ms(),
            backoff_max_ms: backoff_max_ms(),
        }
    }

    pub(crate) fn partitions(&self) -> Partitions {
        Partitions { first: self.partition_first, count: self.partitions, offset: self.partition_offset }
    }

    /// Where its lines end.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.address).chain(self.address_b)
    }

    pub(crate) fn line(&self) -> line::Settings {
        line::Settings {
            sender_comp_id: self.sender_comp_id,
            target_comp_id: self.target_comp_id,
            password: self.password.0,
            default_appl_ver_id: VERSION_TRADING,
            heart_bt_s: self.heartbeat_s,
            backoff_ms_min: self.backoff_min_ms,
            backoff_ms_max: self.backoff_max_ms,
            limits: session::Limits {
                body_len_max: BODY_BYTES_MAX as u32,
                heart_bt_s_max: u16::MAX,
                silence_slack_ms: self.silence_slack_ms,
                ..session::Limits::default()
            },
        }
    }

    /// The key that its partitions' numbers are due to.
    fn numbers_key(&self) -> &'static str {
        if self.partition_offset == 0 { "partition_first" } else { "partition_offset" }
    }

    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let last = u32::from(self.partition_first)
            + u32::from(self.partition_offset)
            + u32::from(self.partitions.saturating_sub(1));
        if self.partitions == 0 || usize::from(self.partitions) > PARTITIONS_MAX {
            return Err(("partitions", "expected 1 to 256"));
        }
        if last > u32::from(u16::MAX) {
            return Err((self.numbers_key(), "expected numbers up to 65535"));
        }
        if self.heartbeat_s == 0 {
            return Err(("heartbeat_s", "expected at least 1"));
        }
        if self.address_b == Some(self.address) {
            return Err(("address_b", "expected another address than `address`"));
        }
        if self.mode == Mode::ActiveActive && (self.address_b.is_none() || self.partitions < 2) {
            return Err(("mode", "active-active takes two lines, and two partitions to share"));
        }
        if self.bandwidth_bytes_per_s != 0 && self.bandwidth_bytes_per_s < BANDWIDTH_MIN {
            return Err(("bandwidth_bytes_per_s", "expected 0, or at least 8000"));
        }
        if self.backoff_min_ms == 0 || self.backoff_max_ms < self.backoff_min_ms {
            return Err(("backoff_min_ms", "expected 1 to backoff_max_ms"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        let core = |name, port, partition_first| {
            Core::new(name, SocketAddr::from(([127, 0, 0, 1], port)), partition_first, 2)
        };
        Self {
            tls: None,
            listen: Listen::default(),
            sessions: Sessions::default(),
            clients: Vec::new(),
            drop_copies: Vec::new(),
            cancel_on_disconnect: Vec::new(),
            cores: vec![core(CoreName::Cash, 7101, 1), core(CoreName::Margin, 7102, 11)],
            forwarding: Forwarding::default(),
            audit: Audit::default(),
            fix: crate::fix::Config::default(),
            checks: Checks::default(),
            quotes: Quotes::default(),
            throttle: Throttle::default(),
            control: Control::default(),
            log: Log::default(),
            traces: traces::Config::default(),
            admin: service::admin::Config {
                listen: SocketAddr::from(([127, 0, 0, 1], 7091)),
                ..service::admin::Config::default()
            },
            drain_timeout_ms: 5_000,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7001)),
            transport: None,
            quic: None,
            cpu: None,
            busy_poll: false,
            socket: SocketOptions::default(),
            accept_proxy: AcceptProxy::default(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let session = session::Limits::default();
        Self {
            comp_id: Text::BLANK,
            connections_max: 4_096,
            logon_timeout_ms: session.logon_timeout_ms,
            heartbeat_s_min: session.heart_bt_s_min,
            heartbeat_s_max: session.heart_bt_s_max,
            silence_slack_ms: session.silence_slack_ms,
            synchronization_timeout_ms: 10_000,
        }
    }
}

impl Sessions {
    pub(crate) fn limits(&self) -> session::Limits {
        session::Limits {
            logon_timeout_ms: self.logon_timeout_ms,
            silence_slack_ms: self.silence_slack_ms,
            heart_bt_s_min: self.heartbeat_s_min,
            heart_bt_s_max: self.heartbeat_s_max,
            body_len_max: BODY_BYTES_MAX as u32,
            ..session::Limits::default()
        }
    }
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            out_bytes_max: 1 << 20,
            stall_timeout_ms: 2_000,
            orders_max: 1 << 20,
            in_flight_max: 65_536,
            resend_within_ms: 10_000,
            settle_ms: 2_000,
            disconnect_cancels_max: 100,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { window_bytes: 256 << 20, segment_bytes: 1 << 20 }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn check_files(&self) -> Result<(), Invalid> {
        tls::check_files(self.tls.as_ref(), "tls", self.dials_tls())?;
        service::admin::Operators::check(&self.control.token_file)?;
        self.traces.check_files()?;
        crate::check::load::tables(&self.checks, crate::check::load::unix_ns()).map(drop)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.validate_clients()?;
        self.validate_cores()?;
        self.validate_addresses()?;
        self.fix.validate(&self.clients, &self.forwarding, self.tls.as_ref())?;
        self.checks.validate()?;
        self.quotes.validate(self.tls.as_ref(), &self.checks)?;
        self.throttle.validate(&self.clients)?;
        CancelOnDisconnect::validate(&self.cancel_on_disconnect, &self.clients)?;
        tls::validate_listen(self.tls.as_ref(), self.listen.transport, self.listen.quic)?;
        proxy::validate(&self.listen.accept_proxy, "listen.accept_proxy")?;
        tls::validate_limits(self.tls.as_ref())?;
        self.traces.validate("traces")?;
        let Sessions { connections_max, logon_timeout_ms, heartbeat_s_min, heartbeat_s_max, .. } =
            self.sessions;
        if connections_max == 0 {
            return Err(Invalid::new("sessions.connections_max", "expected more than 0"));
        }
        if logon_timeout_ms == 0 {
            return Err(Invalid::new("sessions.logon_timeout_ms", "expected more than 0"));
        }
        if heartbeat_s_min == 0 || heartbeat_s_max < heartbeat_s_min {
            return Err(Invalid::new("sessions.heartbeat_s_min", "expected 1 to heartbeat_s_max"));
        }
        // Clients stop being read at half of it; what one read brings must still find room in the other half.
        if self.forwarding.out_bytes_max < 4 * READ_BYTES {
            return Err(Invalid::new("forwarding.out_bytes_max", "expected at least 262144"));
        }
        if self.forwarding.stall_timeout_ms == 0 {
            return Err(Invalid::new("forwarding.stall_timeout_ms", "expected more than 0"));
        }
        if self.forwarding.disconnect_cancels_max == 0 {
            return Err(Invalid::new("forwarding.disconnect_cancels_max", "expected more than 0"));
        }
        if self.forwarding.orders_max == 0 || self.forwarding.orders_max > 1 << 28 {
            return Err(Invalid::new("forwarding.orders_max", "expected 1 to 268435456"));
        }
        if self.forwarding.in_flight_max == 0 || self.forwarding.in_flight_max > 1 << 24 {
            return Err(Invalid::new("forwarding.in_flight_max", "expected 1 to 16777216"));
        }
        self.audit.validate()?;
        let Log { window_bytes, segment_bytes } = self.log;
        if !(8 << 10..=1 << 30).contains(&segment_bytes) {
            return Err(Invalid::new("log.segment_bytes", "expected 8192 to 1 GiB"));
        }
        if window_bytes < 2 * segment_bytes {
            return Err(Invalid::new("log.window_bytes", "expected at least two segments"));
        }
        Ok(())
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

impl Config {
    /// Whether a core or a feed is spoken to over TLS or QUIC, when there is a `[tls]`.
    pub(crate) fn dials_tls(&self) -> bool {
        let quotes = self.quotes.is_on() && self.quotes.transport != Some(tls::Over::Tcp);
        quotes || self.cores.iter().any(|core| core.transport != Some(tls::Over::Tcp))
    }

    fn validate_clients(&self) -> Result<(), Invalid> {
        let mut names = HashSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let invalid =
                |name, problem: &str| Err(Invalid::new(format!("clients[{index}].{name}"), problem));
            if client.comp_id.is_blank() || !names.insert(client.comp_id) {
                return invalid("comp_id", "expected a name that no other client has");
            }
            if client.accounts.is_empty() || client.accounts.len() > ACCOUNTS_OF_COMP_MAX {
                return invalid("accounts", "expected 1 to 256 accounts");
            }
            if client.accounts.iter().any(Text::is_blank) {
                return invalid("accounts", "expected no blank account");
            }
        }
        for (index, copy) in self.drop_copies.iter().enumerate() {
            let invalid =
                |name, problem: &str| Err(Invalid::new(format!("drop_copies[{index}].{name}"), problem));
            if copy.comp_id.is_blank() || !names.insert(copy.comp_id) {
                return invalid("comp_id", "expected a name that no client and no other drop copy has");
            }
            let unknown = |wanted: &&Text<20>| !self.clients.iter().any(|client| client.comp_id == **wanted);
            if let Some(unknown) = copy.clients.iter().find(unknown) {
                return invalid("clients", &format!("there is no client {unknown}"));
            }
        }
        Ok(())
    }

    fn validate_cores(&self) -> Result<(), Invalid> {
        let mut lanes = HashSet::new();
        if self.cores.is_empty() {
            return Err(Invalid::new("cores", "expected at least one"));
        }
        for (index, core) in self.cores.iter().enumerate() {
            let invalid = |name, problem: &str| Err(Invalid::new(format!("cores[{index}].{name}"), problem));
            if self.cores[..index].iter().any(|other| other.core == core.core) {
                let name = route::Core::from(core.core).name();
                return invalid(
                    "core",
                    &format!("there is a {name} core already, expected one of each at most"),
                );
            }
            tls::validate(self.tls.as_ref(), core.transport, &format!("cores[{index}].transport"))?;
            if let Err((name, problem)) = core.validate() {
                return invalid(name, problem);
            }
            if !core.partitions().lanes().all(|lane| lanes.insert(lane)) {
                let problem = "expected numbers that no other core's partitions have; `partition_offset` is added \
                               to those that clients see";
                return invalid(core.numbers_key(), problem);
            }
        }
        if lanes.len() > PARTITIONS_MAX {
            return Err(Invalid::new("cores", "expected at most 256 partitions in all"));
        }
        Ok(())
    }

    fn validate_addresses(&self) -> Result<(), Invalid> {
        let own = [
            ("listen.address".to_owned(), "listen", self.listen.address),
            ("admin.listen".to_owned(), "admin", self.admin.listen),
        ];
        let fix = self.fix.address.map(|address| ("fix.address".to_owned(), "fix", address));
        addresses_differ(own.into_iter().chain(fix))
    }

    /// The clients whose reports a drop copy gets.
    fn copied<'a>(&'a self, copy: &'a DropCopy) -> impl Iterator<Item = &'a Client> {
        let is_copied = |client: &&Client| copy.clients.is_empty() || copy.clients.contains(&client.comp_id);
        self.clients.iter().filter(is_copied)
    }

    pub(crate) fn accounts(&self) -> Accounts {
        let clients = self.clients.iter().map(|client| Credentials {
            comp_id: client.comp_id,
            password: client.password.0,
            accounts: client.accounts.clone(),
            read_only: false,
        });
        let drop_copies = self.drop_copies.iter().map(|copy| Credentials {
            comp_id: copy.comp_id,
            password: copy.password.0,
            accounts: self.copied(copy).flat_map(|client| client.accounts.iter().copied()).collect(),
            read_only: true,
        });
        Accounts::new(clients.chain(drop_copies).collect())
    }

    pub(crate) fn shard_limits(&self) -> shard::Limits {
        shard::Limits {
            connections_max: self.sessions.connections_max + LINES_MAX * self.cores.len(),
            out_bytes_max: self.forwarding.out_bytes_max,
            kept_bytes_max: BODY_BYTES_MAX + frame::OVERHEAD,
            read_bytes: READ_BYTES,
            tick_ms: TICK_MS,
            busy_poll: self.listen.busy_poll,
            ..shard::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests;

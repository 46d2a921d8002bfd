//! The configuration. `default.toml` has every key with its meaning; these types say the same to the code.

mod sources;

use crate::bus::Bus;
use crate::entitlement::RightsFile;
use crate::retention::SEGMENT_BYTES;
use crate::{delay, snapshots, subscription};
use serde::{Deserialize, Deserializer, de};
use service::config::{Invalid, addresses_differ};
use service::proxy::{self, AcceptProxy};
use service::tls;
pub use sources::{Arbitration, FromName, ModeName, Numbering, OwnNumbers, Source, StandbyTimes, Via};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use transport::SocketOptions;
use wire::szse::{Password, Text, frame, session};

/// Bytes that one source can bring in one turn, before subscribers have theirs: a log that holds less leaves everyone
/// behind at once.
const TURN_BYTES: usize = 1_280 << 10;

/// The whole configuration of a feed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where subscribers connect, and the threads that serve them.
    pub listen: Listen,
    /// Where the quotes come from; the first is the primary.
    pub sources: Vec<Source>,
    /// How one copy is made of several.
    pub arbitration: Arbitration,
    /// What is held for subscribers.
    pub log: Log,
    /// What subscribers may do.
    pub subscribers: Subscribers,
    /// Who may see what.
    pub entitlement: Entitled,
    /// Feeds behind feeds.
    pub relay: RelayConfig,
    /// What is kept on disk for the day; without it nothing.
    pub retention: Option<Retention>,
    /// The depth of each security, rebuilt from its ticks; without it nothing.
    pub book: Option<crate::book::BookConfig>,
    /// Certificates; without it all connections are plain TCP.
    pub tls: Option<tls::Settings>,
    /// The bus on which quotes are published; without it none.
    pub bus: Option<Bus>,
    /// The port for browsers.
    pub web: crate::web::Web,
    /// The operator's commands.
    pub control: Control,
    /// The operator's port.
    pub admin: service::admin::Config,
    /// How long subscribers have to log out when the feed ends, milliseconds.
    pub drain_timeout_ms: u64,
}

/// The operator's commands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// File of tokens; empty: none, and commands are refused.
    pub token_file: PathBuf,
}

/// Where subscribers connect.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    pub transport: Option<tls::Over>,
    /// Where subscribers connect over QUIC, if they may.
    pub quic: Option<SocketAddr>,
    /// Threads; the first one also hears the sources.
    pub shards: usize,
    /// The core for each shard, or none.
    pub cores: Vec<usize>,
    /// Never sleep: for shards that have their cores to themselves.
    pub busy_poll: bool,
    /// Options of the subscribers' sockets.
    pub socket: SocketOptions,
    /// Balancers that say for whom they connect.
    pub accept_proxy: AcceptProxy,
}

/// What is held for subscribers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Bytes of frames held: how far behind a subscriber may be.
    pub window_bytes: usize,
    /// The step in which old frames are let go, bytes.
    pub segment_bytes: usize,
    /// Securities known, at most.
    pub securities_max: usize,
    /// Last snapshots kept, at most.
    pub snapshots_max: usize,
    /// Bytes of last snapshots, at most; for each shard.
    pub snapshot_bytes_max: usize,
    /// A channel's heartbeat goes out when nothing else of it did for so long, milliseconds.
    pub channel_heartbeat_ms: u64,
    /// The longest body taken of a source, bytes.
    pub body_bytes_max: u32,
}

/// What is kept on disk for the day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The folder of its files; of this feed alone.
    pub directory: PathBuf,
    /// Bytes on disk, at most; the oldest goes first.
    #[serde(default = "retention_bytes")]
    pub max_bytes: u64,
    /// Subscribers that read from disk at a time, at most.
    #[serde(default = "retention_readers")]
    pub readers_max: usize,
}

const fn retention_bytes() -> u64 {
    16 << 30
}

const fn retention_readers() -> usize {
    16
}

impl Retention {
    /// With all defaults.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, max_bytes: retention_bytes(), readers_max: retention_readers() }
    }

    fn validate(&self) -> Result<(), Invalid> {
        if self.max_bytes < 4 * SEGMENT_BYTES {
            let least = format!("expected at least {}", 4 * SEGMENT_BYTES);
            return Err(Invalid::new("retention.max_bytes", least));
        }
        if !(1..=1_024).contains(&self.readers_max) {
            return Err(Invalid::new("retention.readers_max", "expected 1 to 1024"));
        }
        Ok(())
    }
}

/// What subscribers may do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subscribers {
    /// Connections at a time on each shard.
    pub connections_max: usize,
    /// Our CompID; blank takes any TargetCompID.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Who may log on; none: anyone.
    pub accounts: Vec<Account>,
    /// What is sent to who logs on and asks for nothing.
    pub without_request: WithoutRequest,
    /// Securities in one subscription, at most.
    pub securities_max: usize,
    /// Channels in one subscription, at most.
    pub channels_max: usize,
    /// Channels of one subscription that may come on streams of their own, at most.
    pub streams_max: usize,
    /// Subscription requests of one session in a minute, at most.
    pub requests_per_minute_max: u32,
    /// Resend requests of one session that may wait, at most.
    pub resends_max: usize,
    /// Numbers in the answer to one resend request, at most.
    pub resend_count_max: u64,
    /// Bytes that may wait for one connection besides the log, at most.
    pub out_bytes_max: usize,
    /// Entries of the log that a subscriber may be behind who wants to be conflated.
    pub conflate_behind_count: u64,
    /// When a snapshot that was sent as a datagram is sent once more if it is still the newest, milliseconds; up to twice as long.
    pub datagram_refresh_ms: u64,
    /// How long the snapshots for one who comes late may take, milliseconds.
    pub snapshots_timeout_ms: u64,
    /// How long a subscription waits for numbers that are not here yet, milliseconds.
    pub ahead_timeout_ms: u64,
    /// From the connection to the logon, milliseconds.
    pub logon_timeout_ms: u32,
    /// The shortest HeartBtInt, seconds.
    pub heartbeat_s_min: u16,
    /// The longest HeartBtInt, seconds.
    pub heartbeat_s_max: u16,
    /// Added to two intervals of silence before a subscriber counts as dead, milliseconds.
    pub silence_slack_ms: u32,
    /// The longest body taken of a subscriber, bytes.
    pub body_bytes_max: u32,
}

/// Who may see what, see [`crate::entitlement`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entitled {
    /// The file with accounts and rights; none: whoever may log on sees everything.
    pub file: Option<PathBuf>,
    /// Delays offered, minutes.
    pub delays_min: Vec<u16>,
    /// Of a security's snapshots in so long a time one is shown late, milliseconds.
    pub delayed_sample_ms: u64,
    /// Bytes of snapshots that may wait for their time.
    pub delayed_bytes_max: usize,
}

/// Feeds behind feeds: for sources with [`Source::subscribe`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// Our name among feeds, of which no two may be alike; blank: one at random.
    #[serde(deserialize_with = "text")]
    pub id: Text<20>,
    /// Feeds between the exchange and us, at most.
    pub hops_max: u16,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { id: Text::BLANK, hops_max: 8 }
    }
}

/// Who may log on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// SenderCompID of the logon.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Password of the logon.
    pub password: Secret,
}

/// What is sent to who logs on and asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutRequest {
    /// Nothing.
    None,
    /// The last snapshots, then everything: as an exchange does.
    All,
}

/// What is said of a password that fits no logon.
const PASSWORD_EXPECTED: &str = "a password has at most 16 bytes of printable ASCII";

/// A password that does not print.
#[derive(Clone, Default, PartialEq)]
pub struct Secret(Password);

impl Secret {
    pub(crate) fn on_the_wire(&self) -> Password {
        self.0
    }

    /// Whether it is this one, compared in constant time.
    pub(crate) fn is(&self, password: &Password) -> bool {
        self.0 == *password
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

impl Default for Entitled {
    fn default() -> Self {
        Self { file: None, delays_min: Vec::new(), delayed_sample_ms: 15_000, delayed_bytes_max: 256 << 20 }
    }
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            retention: None,
            bus: None,
            book: None,
            tls: None,
            listen: Listen::default(),
            sources: vec![Source::new("primary", local(7201)), Source::new("backup", local(7202))],
            arbitration: Arbitration::default(),
            log: Log::default(),
            subscribers: Subscribers::default(),
            entitlement: Entitled::default(),
            relay: RelayConfig::default(),
            web: crate::web::Web::default(),
            control: Control::default(),
            admin: service::admin::Config { listen: local(7290), ..service::admin::Config::default() },
            drain_timeout_ms: 10_000,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7200)),
            transport: None,
            quic: None,
            shards: 1,
            cores: Vec::new(),
            busy_poll: false,
            socket: SocketOptions::default(),
            accept_proxy: AcceptProxy::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        let snapshots = snapshots::Limits::default();
        Self {
            window_bytes: 64 << 20,
            segment_bytes: 1 << 20,
            securities_max: 65_536,
            snapshots_max: snapshots.count_max,
            snapshot_bytes_max: snapshots.bytes_max,
            channel_heartbeat_ms: 3_000,
            body_bytes_max: frame::BODY_LEN_MAX as u32,
        }
    }
}

impl Default for Subscribers {
    fn default() -> Self {
        let session = session::Limits::default();
        Self {
            connections_max: 16_384,
            comp_id: Text::BLANK,
            accounts: Vec::new(),
            without_request: WithoutRequest::None,
            securities_max: 1_024,
            channels_max: 256,
            streams_max: 64,
            requests_per_minute_max: 60,
            resends_max: 32,
            resend_count_max: 100_000,
            out_bytes_max: 1 << 20,
            conflate_behind_count: 16_384,
            datagram_refresh_ms: 1_000,
            snapshots_timeout_ms: 60_000,
            ahead_timeout_ms: 10_000,
            logon_timeout_ms: session.logon_timeout_ms,
            heartbeat_s_min: session.heart_bt_s_min,
            heartbeat_s_max: session.heart_bt_s_max,
            silence_slack_ms: session.silence_slack_ms,
            body_bytes_max: session.body_len_max,
        }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn check_files(&self) -> Result<(), Invalid> {
        let Entitled { file, delays_min, .. } = &self.entitlement;
        file.as_ref().map(|file| RightsFile::open(file, delays_min)).transpose()?;
        tls::check_files(self.tls.as_ref(), "tls", self.dials_tls())?;
        service::admin::Operators::check(&self.control.token_file)?;
        self.web.check_files()
    }

    fn validate(&self) -> Result<(), Invalid> {
        sources::validate(&self.sources, self.tls.as_ref())?;
        self.arbitration.validate()?;
        let settings = self.arbitration.settings(&self.sources);
        settings.check().map_err(|error| Invalid::new("arbitration", error.to_string()))?;
        let Listen { shards, cores, .. } = &self.listen;
        if *shards == 0 || *shards > 64 {
            return Err(Invalid::new("listen.shards", "expected 1 to 64"));
        }
        if !cores.is_empty() && cores.len() != *shards {
            return Err(Invalid::new("listen.cores", "expected one core for each shard, or none"));
        }
        tls::validate_listen(self.tls.as_ref(), self.listen.transport, self.listen.quic)?;
        proxy::validate(&self.listen.accept_proxy, "listen.accept_proxy")?;
        tls::validate_limits(self.tls.as_ref())?;
        self.web.validate()?;
        self.validate_addresses()?;
        let Log { window_bytes, segment_bytes, body_bytes_max, .. } = self.log;
        if segment_bytes < body_bytes_max as usize + frame::OVERHEAD || segment_bytes > 1 << 30 {
            return Err(Invalid::new("log.segment_bytes", "expected at least one frame, at most 1 GiB"));
        }
        let window_bytes_min = self.sources.len() * TURN_BYTES + 2 * segment_bytes;
        if window_bytes < window_bytes_min {
            return Err(Invalid::new("log.window_bytes", format!("expected at least {window_bytes_min}")));
        }
        self.entitlement.validate()?;
        if self.entitlement.file.is_some() && !self.subscribers.accounts.is_empty() {
            let problem = "expected none beside `entitlement.file`, which says who may log on";
            return Err(Invalid::new("subscribers.accounts", problem));
        }
        self.retention.as_ref().map_or(Ok(()), Retention::validate)?;
        self.bus.as_ref().map_or(Ok(()), |bus| bus.validate("bus"))?;
        self.book.as_ref().map_or(Ok(()), crate::book::BookConfig::validate)?;
        self.subscribers.validate()
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

impl Config {
    fn validate_addresses(&self) -> Result<(), Invalid> {
        let own = [
            ("listen.address".to_owned(), "listen", self.listen.address),
            ("admin.listen".to_owned(), "admin", self.admin.listen),
        ];
        let web = self.web.listen.map(|address| ("web.listen".to_owned(), "web", address));
        addresses_differ(own.into_iter().chain(web))
    }

    /// Whether a source is spoken to over TLS or QUIC, when there is a `[tls]`.
    pub(crate) fn dials_tls(&self) -> bool {
        self.sources.iter().any(|source| source.is_dialled() && source.transport != Some(tls::Over::Tcp))
    }

    pub(crate) fn upstream_session(&self) -> session::Limits {
        session::Limits {
            body_len_max: self.log.body_bytes_max,
            heart_bt_s_max: u16::MAX,
            ..session::Limits::default()
        }
    }
}

impl Log {
    pub(crate) fn snapshots(&self) -> snapshots::Limits {
        snapshots::Limits { count_max: self.snapshots_max, bytes_max: self.snapshot_bytes_max }
    }
}

impl Entitled {
    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |key: &str, problem| Err(Invalid::new(format!("entitlement.{key}"), problem));
        let delays = &self.delays_min;
        let alike = |(index, minutes)| delays[..index].contains(minutes);
        let possible = delays.iter().all(|minutes| (1..=1_440).contains(minutes));
        if delays.len() > 4 || !possible || delays.iter().enumerate().any(alike) {
            return invalid("delays_min", "expected at most 4, all different, of 1 to 1440");
        }
        if self.delayed_sample_ms == 0 {
            return invalid("delayed_sample_ms", "expected more than 0");
        }
        if self.delayed_bytes_max < 1 << 20 {
            return invalid("delayed_bytes_max", "expected at least 1048576");
        }
        Ok(())
    }

    pub(crate) fn delayed(&self) -> delay::Settings {
        let sample_ns = self.delayed_sample_ms * 1_000_000;
        delay::Settings { sample_ns, bytes_max: self.delayed_bytes_max }
    }
}

impl Subscribers {
    fn validate(&self) -> Result<(), Invalid> {
        let nonzero = [
            ("connections_max", self.connections_max as u64),
            ("requests_per_minute_max", u64::from(self.requests_per_minute_max)),
            ("resends_max", self.resends_max as u64),
            ("resend_count_max", self.resend_count_max),
            ("conflate_behind_count", self.conflate_behind_count),
            ("datagram_refresh_ms", self.datagram_refresh_ms),
            ("logon_timeout_ms", u64::from(self.logon_timeout_ms)),
            ("heartbeat_s_min", u64::from(self.heartbeat_s_min)),
        ];
        if let Some((name, _)) = nonzero.iter().find(|(_, value)| *value == 0) {
            return Err(Invalid::new(format!("subscribers.{name}"), "expected more than 0"));
        }
        if self.heartbeat_s_max < self.heartbeat_s_min {
            return Err(Invalid::new("subscribers.heartbeat_s_max", "expected at least heartbeat_s_min"));
        }
        // Half of it is the mark at which sending pauses; the other half must take one more part.
        if self.out_bytes_max < 256 << 10 {
            return Err(Invalid::new("subscribers.out_bytes_max", "expected at least 262144"));
        }
        Ok(())
    }

    pub(crate) fn session(&self) -> session::Limits {
        session::Limits {
            logon_timeout_ms: self.logon_timeout_ms,
            silence_slack_ms: self.silence_slack_ms,
            heart_bt_s_min: self.heartbeat_s_min,
            heart_bt_s_max: self.heartbeat_s_max,
            body_len_max: self.body_bytes_max,
            ..session::Limits::default()
        }
    }

    pub(crate) fn subscription(&self) -> subscription::Limits {
        subscription::Limits { securities_max: self.securities_max, channels_max: self.channels_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::{Config as _, check_default, parse};

    fn error(text: &str) -> String {
        parse::<Config>(text, "feed.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_default_text_is_the_default() {
        check_default::<Config>().unwrap();
    }

    #[test]
    fn the_default_text_has_what_tls_needs() {
        let config: Config =
            tls::check_default(&["transport", "quic"], |config: &Config| config.tls.as_ref()).unwrap();
        assert_eq!(config.listen.transport, Some(tls::Over::Tls));
        assert_eq!(config.listen.quic, Some(config.listen.address), "the same number, in UDP");
        assert_eq!(config.sources[0].transport, Some(tls::Over::Tls));
    }

    #[test]
    fn tls_that_cannot_be_is_refused_where_it_stands() {
        let error = |text: &str| error(text).lines().next().unwrap().to_owned();
        let listen = |value: &str| error(&format!("[listen]\n{value}\n"));
        assert_eq!(
            listen("transport = \"tls\""),
            "feed.toml:2:13: `listen.transport`: needs a [tls] with certificate, key and ca"
        );
        assert_eq!(
            listen("quic = \"127.0.0.1:1\""),
            "feed.toml:2:8: `listen.quic`: needs a [tls] with certificate, key and ca"
        );
        let mixed = error("[listen]\nquic = \"127.0.0.1:1\"\n[tls]\nsuites = \"mixed\"\n");
        assert!(mixed.contains("`listen.quic`: cannot choose by the client"), "{mixed}");
        assert!(listen("transport = \"quic\"").contains("`listen.quic` says"));
        assert!(listen("transport = \"ssl\"").contains("unknown variant `ssl`, expected one of `tcp`"));
        let upstream = "[[sources]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntransport = \"quic\"\n";
        assert!(error(upstream).contains("`sources[0].transport`: needs a [tls]"), "{}", error(upstream));
        assert!(error("[tls]\nsuites = \"gm\"").contains("unknown variant `gm`, expected one of `shangmi`"));
        assert!(error("[tls]\nhandshakes_max = 0").contains("`tls.handshakes_max`: expected more than 0"));
        assert!(
            error("[tls]\ncert = \"a\"")
                .contains("unknown field `cert`, expected one of `suites`, `certificate`")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        assert!(error("sources = []").starts_with("feed.toml:1:11: `sources`"));
        let twice = "[[sources]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n".repeat(2);
        assert!(error(&twice).starts_with("feed.toml:5:8: `sources[1].name`"), "{}", error(&twice));
        let alike = twice.replacen("\"a\"", "\"b\"", 1);
        let expected =
            "feed.toml:6:11: `sources[1].address`: \"b\" and \"a\" have the same address 127.0.0.1:1";
        assert!(error(&alike).starts_with(expected), "{}", error(&alike));
        assert!(error("[arbitration]\nmode = \"both\"").starts_with("feed.toml:2:8: unknown variant"));
        let number = error("[arbitration]\nfrom = 3");
        assert!(
            number.starts_with("feed.toml:2:8: unknown variant `3`, expected `open` or `live`"),
            "{number}"
        );
        assert!(error("[arbitration]\nretry_ms = 0").contains("retry_ms must not be 0"));
        assert!(error("[log]\nwindow_bytes = 4096").starts_with("feed.toml:2:16: `log.window_bytes`"));
        assert!(error("[listen]\nshards = 2\ncores = [1]").starts_with("feed.toml:3:9: `listen.cores`"));
        assert!(error("[subscribers]\ncomp_id = \"通道\"").contains("not printable ASCII"));
        assert!(error("[subscribers]\nsecurity_max = 1").starts_with("feed.toml:2:1: unknown field"));
    }

    #[test]
    fn no_two_ports_have_one_address() {
        let web = error("[web]\nlisten = \"127.0.0.1:7290\"\n");
        let said = "`web.listen`: \"admin\" and \"web\" have the same address 127.0.0.1:7290";
        assert!(web.starts_with(&format!("feed.toml:2:10: {said}")), "{web}");
        let admin = error("[admin]\nlisten = \"127.0.0.1:7200\"\n");
        assert!(admin.contains("`admin.listen`: \"listen\" and \"admin\" have the same address"), "{admin}");
        let free = ["[listen]\naddress", "[admin]\nlisten", "[web]\nlisten"];
        let free = free.map(|key| format!("{key} = \"127.0.0.1:0\"\n")).concat();
        assert!(parse::<Config>(&free, "x").is_ok());
    }

    #[test]
    fn the_default_text_shows_what_is_kept_on_disk() {
        let text = Config::DEFAULT_TOML.replace("# [retention]", "[retention]");
        let text = ["directory", "max_bytes", "readers_max"]
            .iter()
            .fold(text, |text, key| text.replace(&format!("# {key} ="), &format!("{key} =")));
        let config: Config = parse(&text, "feed.toml").unwrap();
        assert_eq!(config.retention, Some(Retention::new("/var/cache/tongdao/feed".into())));
        let error = |keys: &str| error(&format!("[retention]\ndirectory = \"a\"\n{keys}\n"));
        assert!(error("max_bytes = 1").contains("`retention.max_bytes`: expected at least 67108864"));
        assert!(error("readers_max = 0").contains("`retention.readers_max`: expected 1 to 1024"));
    }

    #[test]
    fn a_password_does_not_print() {
        let text = "[[subscribers.accounts]]\ncomp_id = \"a\"\npassword = \"hush\"\n";
        let config = parse::<Config>(text, "feed.toml").unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        assert!(config.subscribers.accounts[0].password.is(&Password::new(b"hush").unwrap()));
        assert!(Config::default().validate().is_ok());
        let long = error(&text.replace("hush", "hush, hush and hush"));
        assert!(long.contains("at most 16 bytes") && long.contains("password = (not shown)"), "{long}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_its_key_and_where_it_was_sought() {
        let check = |text: &str, key: &str| {
            service::config::check_missing::<Config>(text, key, "/nonexistent/x".as_ref()).unwrap();
        };
        let tls =
            "[tls]\ncertificate = \"/nonexistent/x\"\nkey = \"/nonexistent/y\"\nca = \"/nonexistent/z\"\n";
        check(tls, "tls.certificate");
        for (section, key) in [("web", "names"), ("entitlement", "file"), ("control", "token_file")] {
            let text = format!("[{section}]\n{key} = \"/nonexistent/x\"\n");
            check(&text, &format!("{section}.{key}"));
        }
    }
}

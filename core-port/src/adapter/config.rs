//! The configuration of an adapter. `default.toml` has every key with its meaning; these types say the same to the code.

use crate::ports::Line;
use crate::session::{Admission, Client};
use serde::Deserialize;
use service::config::{Invalid, addresses_differ};
use service::tls;
use shard::LogId;
use std::net::SocketAddr;
use std::path::PathBuf;
use wire::szse::code::{PlatformId, VERSION_TRADING};
use wire::szse::trading::PARTITIONS_MAX;
use wire::szse::{Password, Text, frame, session};

/// Longest body that a gateway may send: a group of all partitions.
const BODY_BYTES_MAX: u32 = 4 << 10;
/// Bytes that a request may take in the counter's protocol, on the average of those that wait: a bound of ours.
const COUNTER_BYTES: usize = 512;

/// The whole configuration of an adapter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where gateways connect: the core's lines, one or two.
    pub lines: Vec<SocketAddr>,
    /// What goes over them: TLS when there is a `[tls]`, unless this says `tcp`.
    pub transport: Option<tls::Over>,
    /// Our CompID.
    pub comp_id: String,
    /// Who may log on; empty lets anyone in who gives a name.
    pub gateways: Vec<GatewayConfig>,
    /// From the connection to the logon, milliseconds.
    pub logon_timeout_ms: u32,
    /// PlatformID that gateways are told.
    pub platform_id: u16,
    /// PartitionNo of the first report partition.
    pub partition_first: u16,
    /// Count of partitions.
    pub partitions: u16,
    /// First four digits of every OrderID and ExecID.
    pub core_no: u16,
    /// Where the counter listens.
    pub counter: Counter,
    /// The day's inputs.
    pub journal: Journal,
    /// Bounds.
    pub limits: Limits,
    /// Certificates; without it all connections are plain TCP.
    pub tls: Option<tls::Settings>,
    /// The operator's port.
    pub admin: service::admin::Config,
    /// How long gateways have to log out when the adapter ends, milliseconds.
    pub drain_timeout_ms: u64,
}

/// A gateway that may log on.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// SenderCompID.
    pub comp_id: String,
    /// Password of the logon.
    pub password: String,
}

impl std::fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayConfig").field("comp_id", &self.comp_id).finish_non_exhaustive()
    }
}

/// Where the counter is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Counter {
    /// Its address.
    pub address: SocketAddr,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    pub transport: Option<tls::Over>,
    /// How long a connect may take, milliseconds.
    pub connect_timeout_ms: u64,
    /// From the connection until the counter has said which requests it has, milliseconds.
    pub open_timeout_ms: u64,
    /// Pause before it is dialled again, milliseconds.
    pub redial_ms: u64,
    /// An order that the counter has not got by then is rejected in place of being sent, milliseconds.
    pub send_within_ms: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7301)),
            transport: None,
            connect_timeout_ms: 2_000,
            open_timeout_ms: 5_000,
            redial_ms: 500,
            send_within_ms: 10_000,
        }
    }
}

/// What an input outlives before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The process.
    Write,
    /// A loss of power.
    Sync,
}

/// Where the day's inputs are kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// The directory, which is made if it is not there: one for each day.
    pub directory: PathBuf,
    /// What an input outlives before it counts.
    pub durability: Durability,
    /// Length of a file, reserved when it is begun, bytes.
    pub segment_bytes: u64,
}

impl Default for Journal {
    fn default() -> Self {
        let directory = PathBuf::from("adapter-journal");
        Self { directory, durability: Durability::Sync, segment_bytes: 64 << 20 }
    }
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Orders, cancels and events of a day; from then on requests are refused.
    pub inputs_max: u64,
    /// Orders, and as many cancels, that have their memory reserved.
    pub orders_reserved: usize,
    /// Requests that the counter has not answered.
    pub in_flight_max: usize,
    /// Reports held in memory, bytes.
    pub window_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (inputs_max, in_flight_max) = (40_000_000, 65_536);
        Self {
            connections_max: 64,
            inputs_max,
            orders_reserved: 200_000,
            in_flight_max,
            window_bytes: 1 << 30,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lines: vec![SocketAddr::from(([127, 0, 0, 1], 7101))],
            transport: None,
            comp_id: "MATCHER".to_owned(),
            gateways: Vec::new(),
            logon_timeout_ms: 5_000,
            platform_id: 1,
            partition_first: 1,
            partitions: 2,
            core_no: 1,
            counter: Counter::default(),
            journal: Journal::default(),
            limits: Limits::default(),
            tls: None,
            admin: service::admin::Config {
                listen: SocketAddr::from(([127, 0, 0, 1], 7391)),
                ..service::admin::Config::default()
            },
            drain_timeout_ms: 5_000,
        }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn validate(&self) -> Result<(), Invalid> {
        let above_zero = [
            ("partitions", u64::from(self.partitions)),
            ("logon_timeout_ms", self.logon_timeout_ms.into()),
            ("counter.connect_timeout_ms", self.counter.connect_timeout_ms),
            ("counter.open_timeout_ms", self.counter.open_timeout_ms),
            ("counter.redial_ms", self.counter.redial_ms),
            ("limits.connections_max", self.limits.connections_max as u64),
            ("limits.inputs_max", self.limits.inputs_max),
            ("limits.in_flight_max", self.limits.in_flight_max as u64),
        ];
        if let Some((key, _)) = above_zero.into_iter().find(|(_, value)| *value == 0) {
            return Err(Invalid::new(key, "expected more than 0"));
        }
        if !(1..=2).contains(&self.lines.len()) {
            return Err(Invalid::new("lines", "expected one address or two"));
        }
        let lines =
            self.lines.iter().zip(["a", "b"]).map(|(address, name)| ("lines".to_owned(), name, *address));
        let admin = [("admin.listen".to_owned(), "admin", self.admin.listen)];
        addresses_differ(lines.chain(admin))?;
        let last = u32::from(self.partition_first) + u32::from(self.partitions);
        if usize::from(self.partitions) > PARTITIONS_MAX || last > 1 << 16 {
            return Err(Invalid::new(
                "partitions",
                format!("expected at most {PARTITIONS_MAX}, up to 65535"),
            ));
        }
        if self.core_no > 9_999 {
            return Err(Invalid::new("core_no", "expected at most 9999"));
        }
        if self.limits.in_flight_max > 1 << 20 {
            return Err(Invalid::new("limits.in_flight_max", "expected at most 1048576"));
        }
        if self.limits.window_bytes < 2 * super::SEGMENT_BYTES {
            return Err(Invalid::new("limits.window_bytes", "expected at least 2097152"));
        }
        let segment_bytes_min = 2 * journal::PAYLOAD_MAX as u64;
        if self.journal.segment_bytes < segment_bytes_min {
            let expected = format!("expected at least {segment_bytes_min}");
            return Err(Invalid::new("journal.segment_bytes", expected));
        }
        tls::validate_listener(self.tls.as_ref(), self.transport, "transport")?;
        tls::validate(self.tls.as_ref(), self.counter.transport, "counter.transport")?;
        tls::validate_limits(self.tls.as_ref())?;
        self.admission().map(drop)
    }

    fn check_files(&self) -> Result<(), Invalid> {
        tls::check_files(self.tls.as_ref(), "tls", true)
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

impl Config {
    /// Who may log on.
    pub(super) fn admission(&self) -> Result<Admission, Invalid> {
        let mut clients = Vec::new();
        for (at, gateway) in self.gateways.iter().enumerate() {
            let wrong = |key: &str, problem: String| Invalid::new(format!("gateways[{at}].{key}"), problem);
            let password = Password::new(gateway.password.as_bytes());
            let password = password
                .map_err(|_| wrong("password", "expected at most 16 bytes of printable ASCII".to_owned()))?;
            let comp_id: Text<20> =
                gateway.comp_id.parse().map_err(|error| wrong("comp_id", format!("{error}")))?;
            clients.push(Client { comp_id, password });
        }
        let comp_id = self.comp_id.parse().map_err(|error| Invalid::new("comp_id", format!("{error}")))?;
        let limits = session::Limits {
            logon_timeout_ms: self.logon_timeout_ms,
            body_len_max: BODY_BYTES_MAX,
            ..session::Limits::default()
        };
        Ok(Admission { comp_id, clients, version: VERSION_TRADING, limits })
    }

    /// By line.
    pub(super) fn ports(&self, reports: LogId) -> Vec<Line> {
        let line = |name: &str| Line {
            name: name.to_owned(),
            platform_id: PlatformId::from_raw(self.platform_id),
            partition_first: self.partition_first,
            partitions: self.partitions,
            reports,
        };
        ["a", "b"].into_iter().take(self.lines.len()).map(line).collect()
    }

    pub(super) fn shard_limits(&self) -> shard::Limits {
        shard::Limits {
            connections_max: self.limits.connections_max,
            // All that is under way may have to be sent to the counter at once.
            out_bytes_max: (self.limits.in_flight_max * COUNTER_BYTES).max(1 << 20),
            kept_bytes_max: BODY_BYTES_MAX as usize + frame::OVERHEAD,
            tick_ms: 20,
            ..shard::Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::Config as _;

    #[test]
    fn the_default_file_says_what_the_code_does() {
        service::config::check_default::<Config>().unwrap();
        tls::check_default::<Config>(&["transport"], |config| config.tls.as_ref()).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        type Spoil = fn(&mut Config);
        let bad: [(&str, Spoil); 9] = [
            ("lines", |config| config.lines.clear()),
            ("lines", |config| config.lines = vec![config.lines[0]; 2]),
            ("admin.listen", |config| config.admin.listen = config.lines[0]),
            ("partitions", |config| config.partitions = 0),
            ("partitions", |config| config.partition_first = u16::MAX),
            ("core_no", |config| config.core_no = 10_000),
            ("limits.window_bytes", |config| config.limits.window_bytes = 0),
            ("journal.segment_bytes", |config| config.journal.segment_bytes = 1),
            ("counter.redial_ms", |config| config.counter.redial_ms = 0),
        ];
        for (key, spoil) in bad {
            let mut config = Config::default();
            spoil(&mut config);
            assert_eq!(config.validate().unwrap_err().key, key);
        }
    }
}

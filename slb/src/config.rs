//! The configuration; `default.toml` says what each key means.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::config::{Invalid, addresses_differ};

mod check;
mod listener;
mod pool;
mod quic;
mod socket;

pub use check::{Bytes, Check};
pub use listener::ListenerConfig;
pub use pool::{BackendConfig, ConnectConfig, HealthConfig, OutlierConfig, PoolConfig, SendProxy};
pub use quic::{Protocol, QuicConfig};
pub use socket::SocketConfig;

/// Weights go up to this, as those of cloud load balancers do.
pub(crate) const WEIGHT_MAX: u32 = 100;
/// Listeners at most: each is a socket of each worker.
pub(crate) const LISTENERS_MAX: usize = 256;
/// Backends of a pool at most: the order of turns has one entry for each unit of weight.
pub(crate) const BACKENDS_MAX: usize = 256;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worker threads; 0 for one a core.
    pub workers: usize,
    /// The zone that this balancer stands in; empty: in none, and the zones of backends do not count.
    pub zone: String,
    /// How long open connections may go on after the order to drain.
    pub drain_timeout_ms: u64,
    /// Bytes of one read at most.
    pub read_bytes_max: usize,
    /// Where a new process asks this one for its listening sockets; empty: nowhere.
    pub handover: PathBuf,
    /// How long open connections may go on in this process after another one took over; 0: as long as they want.
    pub handover_timeout_ms: u64,
    /// The admin port.
    pub admin: service::admin::Config,
    /// Traces of a sample of the connections.
    pub traces: service::traces::Config,
    /// Options of all sockets.
    pub socket: SocketConfig,
    /// Addresses to listen on.
    pub listeners: Vec<ListenerConfig>,
    /// Groups of backends.
    pub pools: Vec<PoolConfig>,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            workers: 0,
            zone: String::new(),
            drain_timeout_ms: 30_000,
            read_bytes_max: 1024 * 1024,
            handover: PathBuf::new(),
            handover_timeout_ms: 0,
            admin: service::admin::Config { listen: local(7090), ..service::admin::Config::default() },
            traces: service::traces::Config::default(),
            socket: SocketConfig::default(),
            listeners: vec![ListenerConfig::new("orders", local(7000), "gateways")],
            pools: vec![PoolConfig::new(
                "gateways",
                vec![BackendConfig::new("a", local(7001)), BackendConfig::new("b", local(7002))],
            )],
        }
    }
}

impl service::config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("default.toml");

    fn validate(&self) -> Result<(), Invalid> {
        within("read_bytes_max", self.read_bytes_max as u64, 512..=16 << 20)?;
        self.traces.validate("traces")?;
        within("workers", self.workers as u64, 0..=1024)?;
        unique("pools", self.pools.iter().map(|pool| &pool.name))?;
        unique("listeners", self.listeners.iter().map(|listener| &listener.name))?;
        for (at, pool) in self.pools.iter().enumerate() {
            pool.validate(&format!("pools[{at}]"))?;
        }
        if self.listeners.is_empty() || self.listeners.len() > LISTENERS_MAX {
            return Err(Invalid::new("listeners", format!("expected 1 to {LISTENERS_MAX}")));
        }
        for (at, listener) in self.listeners.iter().enumerate() {
            self.validate_listener(&format!("listeners[{at}]"), listener)?;
        }
        // TCP and QUIC may have the same port.
        [Protocol::Tcp, Protocol::Quic].into_iter().try_for_each(|protocol| {
            let same =
                self.listeners.iter().enumerate().filter(|(_, listener)| listener.protocol == protocol);
            let listeners = same.map(|(at, listener)| {
                (format!("listeners[{at}].listen"), listener.name.as_str(), listener.listen)
            });
            let admin = ("admin.listen".to_owned(), "admin", self.admin.listen);
            let admin = Some(admin).filter(|_| protocol == Protocol::Tcp);
            addresses_differ(admin.into_iter().chain(listeners))
        })
    }

    fn check_files(&self) -> Result<(), Invalid> {
        self.traces.check_files()
    }

    fn admin(&self) -> Option<&service::admin::Config> {
        Some(&self.admin)
    }
}

impl Config {
    fn validate_listener(&self, key: &str, listener: &ListenerConfig) -> Result<(), Invalid> {
        listener.validate(key)?;
        if let Some(pool) = self.pools.iter().find(|pool| pool.name == listener.pool) {
            if listener.protocol == Protocol::Quic && pool.send_proxy.is_some() {
                let problem = "expected a pool without send_proxy: over QUIC there is no PROXY header";
                return Err(Invalid::new(format!("{key}.pool"), problem));
            }
            return Ok(());
        }
        let known: Vec<_> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        Err(Invalid::new(format!("{key}.pool"), format!("expected one of the pools: {}", known.join(", "))))
    }
}

fn within(key: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(key, format!("{value} is out of range, expected {} to {}", range.start(), range.end())))
}

fn unique<'a>(key: &str, mut names: impl Iterator<Item = &'a String>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Invalid::new(key, format!("the name \"{name}\" is there twice"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use service::config::{check_default, parse};

    use super::*;

    fn error(text: &str) -> String {
        parse::<Config>(text, "slb.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_default_text_is_the_default() {
        check_default::<Config>().unwrap();
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        let heavy = include_str!("default.toml").replacen("weight = 100", "weight = 101", 1);
        let error_text = error(&heavy);
        assert!(
            error_text.contains("weight = 101") && error_text.contains("expected 0 to 100"),
            "{error_text}"
        );
        let lost = include_str!("default.toml").replace("pool = \"gateways\"", "pool = \"gateway\"");
        assert!(error(&lost).contains("expected one of the pools: gateways"));
        let twice = include_str!("default.toml").replace("name = \"b\"", "name = \"a\"");
        assert!(error(&twice).contains("the name \"a\" is there twice"));
        let listener = "[[listeners]]\nname = \"quotes\"\nlisten = \"127.0.0.1:7000\"\npool = \"gateways\"\n";
        let taken = error(&format!("{}{listener}", include_str!("default.toml")));
        let expected =
            "`listeners[1].listen`: \"orders\" and \"quotes\" have the same address 127.0.0.1:7000";
        assert!(taken.contains(expected), "{taken}");
        let admins = error(&include_str!("default.toml").replace("127.0.0.1:7000", "127.0.0.1:7090"));
        let expected = "`listeners[0].listen`: \"admin\" and \"orders\" have the same address 127.0.0.1:7090";
        assert!(admins.contains(expected), "{admins}");
    }

    #[test]
    fn checks_and_lists_are_read_or_refused_where_they_stand() {
        let with = |check: &str| {
            let default = include_str!("default.toml");
            default.replace("\nkind = \"tcp\"", &format!("\n{check}"))
        };
        let config: Config =
            parse(&with("kind = 'http'\npath = '/ready'\nstatus = [200, 204]"), "x").unwrap();
        let http = Check::Http { path: "/ready".to_owned(), host: String::new(), status: vec![200, 204] };
        assert_eq!(config.pools[0].health.check, http);
        assert!(parse::<Config>(&with("kind = 'exchange'\nsend = 'PING'\nexpect = 'hex:2b'"), "x").is_ok());
        assert!(error(&with("kind = 'exchange'\nexpect = ''")).contains("expected 1 to 4096 bytes"));
        assert!(error(&with("kind = 'exchange'\nexpect = 'hex:1'")).contains("hexadecimal"));
        assert!(error(&with("kind = 'http'\npath = 'ready'")).contains("expected a path"));
        assert!(error(&with("kind = 'http'\npath = '/'\nstatus = [99]")).contains("100 to 599"));
        assert!(error(&with("kind = 'udp'")).contains("udp"));
        let listed = |list: &str| include_str!("default.toml").replace("allow = []", list);
        assert!(parse::<Config>(&listed("allow = ['10.0.0.0/8', '::1/128']"), "x").is_ok());
        let config: Config = parse(&listed("allow = ['127.0.0.9', '::1']"), "x").unwrap();
        let allow: Vec<_> = config.listeners[0].allow.iter().map(|network| String::from(*network)).collect();
        assert_eq!(allow, ["127.0.0.9/32", "::1/128"], "a lone address is a network of one");
        let beyond = error(&listed("allow = ['10.0.0.0/33']"));
        let expected = "\"10.0.0.0/33\" is neither an address nor a network such as \"10.1.0.0/16\"";
        assert!(beyond.contains(expected) && beyond.contains("| allow = "), "{beyond}");
    }

    #[test]
    fn what_is_not_for_quic_is_refused_where_it_stands() {
        let default = include_str!("default.toml");
        let quic = default.replacen("protocol = \"tcp\"", "protocol = \"quic\"", 1);
        assert!(parse::<Config>(&quic, "x").is_ok());
        let with = |from: &str, to: &str| error(&quic.replacen(from, to, 1));
        assert!(with("bytes_per_s_max = 0", "bytes_per_s_max = 1").contains("datagrams of QUIC do not wait"));
        assert!(with("from = []", "from = ['10.0.0.1']").contains("over QUIC there is no PROXY header"));
        assert!(with("# send_proxy", "send_proxy").contains("without send_proxy"));
        assert!(with("handshakes_max = 1024", "handshakes_max = 0").contains("out of range"));
        let ids = |a: &str, b: &str| {
            let text = quic.replacen("server_id = \"\"", &format!("server_id = '{a}'"), 1);
            format!("{text}server_id = '{b}'\n")
        };
        assert!(parse::<Config>(&ids("0a01", "0a02"), "x").is_ok());
        assert!(error(&ids("0a01", "0a01")).contains("another backend of the pool has it"));
        assert!(error(&ids("0a01", "02")).contains("as many digits"));
        assert!(error(&ids("0a0", "")).contains("hexadecimal digits"));
        let same = "[[listeners]]\nname = \"both\"\nlisten = \"127.0.0.1:7000\"\npool = \"gateways\"\n";
        assert!(parse::<Config>(&format!("{quic}{same}"), "x").is_ok(), "a port of TCP and one of UDP");
    }

    #[test]
    fn the_probes_of_the_documentation_are_good_and_their_checksums_right() {
        let page = include_str!("../../docs/slb.md");
        let blocks = page.split("```").filter_map(|block| block.split_once("[pools.health.check]"));
        let probes: Vec<Check> = blocks
            .map(|(_, check)| {
                let check = format!("[pools.health.check]{check}");
                let text =
                    include_str!("default.toml").replace("[pools.health.check]\nkind = \"tcp\"", &check);
                parse::<Config>(&text, "docs/slb.md").unwrap().pools[0].health.check.clone()
            })
            .collect();
        assert_eq!(probes.len(), 4);
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>() % 256;
        let Check::Exchange { send: szse, .. } = &probes[2] else { panic!("{:?}", probes[2]) };
        let (frame, checksum) = szse.as_slice().split_at(100);
        assert_eq!(checksum, sum(frame).to_be_bytes());
        let Check::Exchange { send: fix, .. } = &probes[3] else { panic!("{:?}", probes[3]) };
        let (message, checksum) = fix.as_slice().split_at(fix.as_slice().len() - 7);
        assert_eq!(checksum, format!("10={:03}\u{1}", sum(message)).as_bytes());
    }

    #[test]
    fn a_backend_needs_a_name_and_an_address_only() {
        let text = "[[listeners]]\nname='l'\nlisten='127.0.0.1:0'\npool='p'\n[[pools]]\nname='p'\n\
                    [[pools.backends]]\nname='a'\naddress='127.0.0.1:1'\n";
        let config: Config = parse(text, "x").unwrap();
        assert_eq!(config.pools[0].backends[0].weight, 100);
        assert_eq!(config.listeners[0].connections_max, 100_000);
        assert!(matches!(config.pools[0].health.check, Check::Tcp));
        assert!(error("[[pools]]\nname = 'p'\nbackends = []\n").contains("expected 1 to 256"));
    }
}

//! The `[web]` section: the port for browsers, and what they may cost.

use serde::Deserialize;
use service::config::Invalid;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use transport::tls::Settings;

/// The port for browsers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Where browsers connect; none: nowhere. Without `tls` a loopback address.
    pub listen: Option<SocketAddr>,
    /// Origins of pages that may open a WebSocket besides the one at an address of the feed's own.
    pub origins: Vec<String>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Updates to one browser in a second, at most: what comes between two of them is conflated.
    pub updates_per_s: u32,
    /// Securities that one browser may subscribe to.
    pub subscriptions_max: usize,
    /// Securities whose state is kept.
    pub securities_max: usize,
    /// The longest message taken of a browser, bytes.
    pub message_bytes_max: usize,
    /// Messages taken of a browser in a minute.
    pub requests_per_minute_max: u32,
    /// What the kernel holds for a slow browser, bytes; 0 leaves it to the system.
    pub send_buffer_bytes: usize,
    /// How long a browser may take for one update, milliseconds.
    pub send_timeout_ms: u64,
    /// How often a browser is pinged, milliseconds.
    pub ping_interval_ms: u64,
    /// Pings in a row that may stay without any sign of life.
    pub pings_unanswered_max: u32,
    /// A CSV file with the columns `security_id`, `source` and `name`.
    pub names: Option<PathBuf>,
    /// Certificates for browsers, which speak the international suites alone.
    pub tls: Option<Settings>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: None,
            origins: Vec::new(),
            connections_max: 256,
            updates_per_s: 10,
            subscriptions_max: 200,
            securities_max: 16_384,
            message_bytes_max: 16_384,
            requests_per_minute_max: 600,
            send_buffer_bytes: 131_072,
            send_timeout_ms: 10_000,
            ping_interval_ms: 10_000,
            pings_unanswered_max: 2,
            names: None,
            tls: None,
        }
    }
}

impl Web {
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        let nonzero = [
            ("connections_max", self.connections_max as u64),
            ("updates_per_s", u64::from(self.updates_per_s)),
            ("subscriptions_max", self.subscriptions_max as u64),
            ("securities_max", self.securities_max as u64),
            ("message_bytes_max", self.message_bytes_max as u64),
            ("requests_per_minute_max", u64::from(self.requests_per_minute_max)),
            ("send_timeout_ms", self.send_timeout_ms),
            ("ping_interval_ms", self.ping_interval_ms),
            ("pings_unanswered_max", u64::from(self.pings_unanswered_max)),
        ];
        if let Some((name, _)) = nonzero.iter().find(|(_, value)| *value == 0) {
            return Err(Invalid::new(format!("web.{name}"), "expected more than 0"));
        }
        if self.updates_per_s > 100 {
            return Err(Invalid::new("web.updates_per_s", "expected at most 100"));
        }
        if self.message_bytes_max > 1 << 20 {
            return Err(Invalid::new("web.message_bytes_max", "expected at most 1048576"));
        }
        if self.tls.is_none() && self.listen.is_some_and(|address| !address.ip().is_loopback()) {
            let problem = "without a [web.tls] expected an address of this machine alone, such as 127.0.0.1";
            return Err(Invalid::new("web.listen", problem));
        }
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| tls.suites != transport::tls::Suites::International) {
            return Err(Invalid::new(
                "web.tls.suites",
                "expected \"international\": browsers speak no ShangMi",
            ));
        }
        service::tls::validate_limits(tls)
            .map_err(|error| Invalid::new(format!("web.{}", error.key), error.problem))
    }

    /// Loads the files that it names, to see whether they can be used.
    pub(crate) fn check_files(&self) -> Result<(), Invalid> {
        service::tls::check_files(self.tls.as_ref(), "web.tls", false)?;
        self.names.as_deref().map_or(Ok(()), |names| super::names::load(names).map(drop))
    }

    /// From one update to the next.
    pub(super) fn pace(&self) -> Duration {
        Duration::from_secs(1) / self.updates_per_s
    }

    pub(super) fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
    }
}

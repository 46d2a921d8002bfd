//! A message bus (NATS) that has the feed's quotes: each message under a subject of its security, for programs that live on the bus; and
//! the way back, a source that reads them there.
//!
//! `out` follows the log on a thread of its own, as any reader does; `back` is a source of the door ([`crate::door`]). What goes
//! over the bus are the frames as they are, so that what comes back is arbitrated by its numbers. Numbers that did not come
//! are asked for over the bus too, and answered from the log.
//!
//! Off unless configured. NATS is a network of the operator's own: what goes to it is not ShangMi. docs/nats.md.

mod back;
#[cfg(test)]
mod fake;
mod out;
mod subject;

pub(crate) use back::Back;
pub(crate) use out::Out;

use serde::Deserialize;
use service::config::Invalid;
use std::time::Duration;

/// Where a bus is, and under which subjects the quotes are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// Addresses of the NATS servers.
    pub servers: Vec<String>,
    /// What all subjects begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How long one exchange with the servers may take, milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

fn prefix() -> String {
    "tongdao".to_owned()
}

const fn timeout_ms() -> u64 {
    2_000
}

/// Between two tries to reach servers that are not there.
const RECONNECT: Duration = Duration::from_millis(250);
/// The one who publishes says this often that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

impl Bus {
    /// With all defaults.
    pub fn new(servers: Vec<String>) -> Self {
        Self { servers, prefix: prefix(), timeout_ms: timeout_ms() }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    fn options(&self, name: &str) -> async_nats::ConnectOptions {
        let options = async_nats::ConnectOptions::new().name(name).connection_timeout(self.timeout());
        options.reconnect_delay_callback(|_| RECONNECT)
    }

    /// Where numbers that did not come are asked for.
    fn resend(&self) -> String {
        format!("{}.resend", self.prefix)
    }

    fn alive(&self) -> String {
        format!("{}.alive", self.prefix)
    }

    pub(crate) fn validate(&self, section: &str) -> Result<(), Invalid> {
        let invalid = |key: &str, problem: &str| Err(Invalid::new(format!("{section}.{key}"), problem));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.servers.is_empty() {
            return invalid("servers", "expected at least one");
        }
        if !self.prefix.split('.').all(|word| !word.is_empty() && word.bytes().all(plain)) {
            return invalid("prefix", "expected words of letters, digits, - and _, with dots between them");
        }
        if !(100..=60_000).contains(&self.timeout_ms) {
            return invalid("timeout_ms", "expected 100 to 60000");
        }
        Ok(())
    }
}

/// A runtime of a bus's thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

//! The part of the configuration that is about the feed whose quotes the checks know.

use super::{Checks, Secret, text};
use crate::line;
use serde::Deserialize;
use service::config::Invalid;
use service::tls;
use std::net::SocketAddr;
use std::time::Duration;
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::CHANNELS_MAX;
use wire::szse::{Text, session};

/// The feed whose quotes the checks know.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotes {
    /// Where it is; without it none is followed.
    pub primary: Option<SocketAddr>,
    /// Where another one is, which is followed when the first cannot be.
    pub backup: Option<SocketAddr>,
    /// What it is spoken to over; see [`super::Listen::transport`].
    pub transport: Option<tls::Over>,
    /// SenderCompID of our logon.
    #[serde(deserialize_with = "text")]
    pub sender_comp_id: Text<20>,
    /// TargetCompID of our logon.
    #[serde(deserialize_with = "text")]
    pub target_comp_id: Text<20>,
    /// Password of our logon.
    pub password: Secret,
    /// HeartBtInt of our logon, seconds.
    pub heartbeat_s: u16,
    /// ChannelNo of the channels whose snapshots are wanted; empty: all.
    pub channels: Vec<u16>,
    /// How long a connect may take, milliseconds.
    pub connect_timeout_ms: u64,
    /// How long the answer to the subscription may take, milliseconds.
    pub answer_timeout_ms: u64,
    /// A feed that has said nothing of the market for so long is left, milliseconds.
    pub silence_ms_max: u64,
    /// Pause before it is dialled again, milliseconds; doubled each time.
    pub backoff_min_ms: u32,
    /// The longest pause, milliseconds.
    pub backoff_max_ms: u32,
}

impl Default for Quotes {
    fn default() -> Self {
        Self {
            primary: None,
            backup: None,
            transport: None,
            sender_comp_id: Text::literal("GATEWAY"),
            target_comp_id: Text::literal("FEED"),
            password: Secret::default(),
            heartbeat_s: 3,
            channels: Vec::new(),
            connect_timeout_ms: 2_000,
            answer_timeout_ms: 5_000,
            silence_ms_max: 15_000,
            backoff_min_ms: 100,
            backoff_max_ms: 5_000,
        }
    }
}

impl Quotes {
    /// Whether a feed is followed.
    pub(crate) fn is_on(&self) -> bool {
        self.primary.is_some()
    }

    /// Where it is, the one that is dialled first at the front.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.primary.into_iter().chain(self.backup).collect()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn line(&self) -> line::Settings {
        line::Settings {
            sender_comp_id: self.sender_comp_id,
            target_comp_id: self.target_comp_id,
            password: self.password.0,
            default_appl_ver_id: VERSION_MARKET_DATA,
            heart_bt_s: self.heartbeat_s,
            backoff_ms_min: self.backoff_min_ms,
            backoff_ms_max: self.backoff_max_ms,
            limits: session::Limits { heart_bt_s_max: u16::MAX, ..session::Limits::default() },
        }
    }

    pub(crate) fn validate(&self, tls: Option<&tls::Settings>, checks: &Checks) -> Result<(), Invalid> {
        let invalid = |key: &str, problem| Err(Invalid::new(format!("quotes.{key}"), problem));
        if !self.is_on() {
            return match self.backup {
                Some(_) => invalid("backup", "expected a `primary` too"),
                None => Ok(()),
            };
        }
        tls::validate(tls, self.transport, "quotes.transport")?;
        if !checks.has_securities() {
            return invalid("primary", "needs reference data: checks.securities");
        }
        if self.primary == self.backup {
            return invalid("backup", "expected another address than `primary`");
        }
        if self.heartbeat_s == 0 {
            return invalid("heartbeat_s", "expected at least 1");
        }
        if self.answer_timeout_ms == 0 {
            return invalid("answer_timeout_ms", "expected more than 0");
        }
        if self.silence_ms_max == 0 {
            return invalid(
                "silence_ms_max",
                "expected more than 0, and more than the feed's channel_heartbeat_ms",
            );
        }
        if self.channels.len() > CHANNELS_MAX {
            return invalid("channels", "expected at most 256");
        }
        if self.backoff_min_ms == 0 || self.backoff_max_ms < self.backoff_min_ms {
            return invalid("backoff_min_ms", "expected 1 to backoff_max_ms");
        }
        Ok(())
    }
}

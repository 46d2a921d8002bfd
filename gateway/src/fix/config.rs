//! `[fix]` of the configuration. `default.toml` has every key with its meaning.

use crate::config::{Client, Forwarding, JetStream, text};
use serde::Deserialize;
use service::config::Invalid;
use service::proxy::{self, AcceptProxy};
use service::tls;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use transport::SocketOptions;
use transport::tls::ClientAuth;
use wire::szse::Text;

/// The longest FIX message that is taken, bytes: with it an unfinished one fits what the shard keeps.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The FIX port.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port; without it there is no FIX port.
    pub address: Option<SocketAddr>,
    /// What goes over it: TLS when there is a `[tls]`, unless this says `tcp`.
    pub transport: Option<tls::Over>,
    /// Our CompID: the clients' TargetCompID.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Options of the sockets.
    pub socket: SocketOptions,
    /// Balancers that say for whom they connect.
    pub accept_proxy: AcceptProxy,
    /// From the connection to the logon, milliseconds.
    pub logon_timeout_ms: u32,
    /// From our logout to the client's, milliseconds.
    pub logout_timeout_ms: u32,
    /// The shortest HeartBtInt, seconds.
    pub heartbeat_s_min: u16,
    /// The longest HeartBtInt, seconds.
    pub heartbeat_s_max: u16,
    /// How far SendingTime may be from ours, milliseconds; 0: not looked at.
    pub sending_time_slack_ms: u32,
    /// Messages a second of one session.
    pub messages_per_s_max: u32,
    /// Times that a connection may send bytes that are no message.
    pub garbled_max: u32,
    /// What ResetSeqNumFlag means for the reports.
    pub reset: Reset,
    /// Orders whose state is known.
    pub orders_max: u32,
    /// Reports held as FIX messages, bytes.
    pub window_bytes: usize,
    /// What a session must remember.
    pub store: Store,
    /// Who may log on.
    pub sessions: Vec<Session>,
}

/// What ResetSeqNumFlag means for the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// It is refused.
    Refuse,
    /// They go on where they were: what was sent and not received is given up.
    Continue,
    /// All reports that are held come again, with PossResend.
    Replay,
}

/// Where a session's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One file a session.
    File,
    /// In memory: gone with the process.
    Memory,
    /// In a stream of NATS, which gateways share: a session goes on through another one.
    JetStream,
}

/// What a committed message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process.
    Process,
    /// A loss of power.
    Power,
}

/// What a session must remember.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Where.
    pub kind: Kind,
    /// The folder of the files.
    pub directory: PathBuf,
    /// What a committed message survives.
    pub durability: Durability,
    /// Bytes of one session's file.
    pub session_bytes_max: u64,
    /// Bytes of one session's messages that are held in memory beside the stream.
    pub memory_bytes_max: usize,
    /// The stream.
    pub jetstream: Option<JetStream>,
}

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Password of the logon.
    Password,
    /// The common name of its certificate is its CompID.
    Certificate,
    /// Both.
    Both,
}

/// One session: a client of `[[clients]]`, whose password and accounts it has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// CompID of the client.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// How it shows who it is.
    #[serde(default = "by_password")]
    pub authentication: Authentication,
    /// The account of a message without tag 1; a client with one account needs none.
    #[serde(default, deserialize_with = "text")]
    pub default_account: Text<12>,
}

const fn by_password() -> Authentication {
    Authentication::Password
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: None,
            transport: None,
            comp_id: Text::literal("TONGDAO"),
            socket: SocketOptions::default(),
            accept_proxy: AcceptProxy::default(),
            logon_timeout_ms: 5_000,
            logout_timeout_ms: 2_000,
            heartbeat_s_min: 1,
            heartbeat_s_max: 120,
            sending_time_slack_ms: 120_000,
            messages_per_s_max: 50_000,
            garbled_max: 16,
            reset: Reset::Replay,
            orders_max: 1 << 20,
            window_bytes: 128 << 20,
            store: Store::default(),
            sessions: Vec::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: Kind::File,
            directory: PathBuf::from("fix-store"),
            durability: Durability::Process,
            session_bytes_max: 4 << 30,
            memory_bytes_max: 64 << 20,
            jetstream: None,
        }
    }
}

impl Config {
    /// The stream of the sessions, if that is where their memories are.
    pub(crate) fn jetstream(&self) -> Option<&JetStream> {
        self.store.jetstream.as_ref().filter(|_| self.is_on() && self.store.kind == Kind::JetStream)
    }

    /// Whether there is a FIX port.
    pub(crate) fn is_on(&self) -> bool {
        self.address.is_some()
    }

    pub(crate) fn validate(
        &self,
        clients: &[Client],
        forwarding: &Forwarding,
        tls: Option<&tls::Settings>,
    ) -> Result<(), Invalid> {
        let invalid = |key: &str, problem: &str| Err(Invalid::new(format!("fix.{key}"), problem));
        tls::validate_listener(tls, self.transport, "fix.transport")?;
        proxy::validate(&self.accept_proxy, "fix.accept_proxy")?;
        if self.comp_id.is_blank() {
            return invalid("comp_id", "expected a name");
        }
        if self.heartbeat_s_min == 0 || self.heartbeat_s_max < self.heartbeat_s_min {
            return invalid("heartbeat_s_min", "expected 1 to heartbeat_s_max");
        }
        for (key, value) in [
            ("logon_timeout_ms", self.logon_timeout_ms),
            ("logout_timeout_ms", self.logout_timeout_ms),
            ("messages_per_s_max", self.messages_per_s_max),
            ("garbled_max", self.garbled_max),
        ] {
            if value == 0 {
                return invalid(key, "expected more than 0");
            }
        }
        if self.orders_max == 0 || self.orders_max > 1 << 28 {
            return invalid("orders_max", "expected 1 to 268435456");
        }
        if self.is_on() && self.orders_max < forwarding.orders_max {
            // Of an order that the gateway knows and the port has forgotten no state could be told.
            return invalid("orders_max", "expected at least forwarding.orders_max");
        }
        if self.window_bytes < 2 << 20 {
            return invalid("window_bytes", "expected at least 2097152");
        }
        if self.is_on() && self.store.kind == Kind::File && self.store.directory.as_os_str().is_empty() {
            return invalid("store.directory", "expected a folder");
        }
        if self.store.session_bytes_max < 1 << 20 {
            return invalid("store.session_bytes_max", "expected at least 1048576");
        }
        if self.store.memory_bytes_max < 1 << 20 {
            return invalid("store.memory_bytes_max", "expected at least 1048576");
        }
        match &self.store.jetstream {
            Some(jetstream) if self.store.kind == Kind::JetStream => {
                jetstream.validate("fix.store.jetstream")?;
            }
            None if self.store.kind == Kind::JetStream => {
                return invalid(
                    "store.kind",
                    "needs a [fix.store.jetstream] with servers, stream and replicas",
                );
            }
            Some(_) => return invalid("store.jetstream", "needs kind = \"jetstream\""),
            None => {}
        }
        self.validate_sessions(clients, tls)
    }

    fn validate_sessions(&self, clients: &[Client], tls: Option<&tls::Settings>) -> Result<(), Invalid> {
        let mut names = HashSet::new();
        for (index, session) in self.sessions.iter().enumerate() {
            let invalid =
                |key, problem: &str| Err(Invalid::new(format!("fix.sessions[{index}].{key}"), problem));
            let Some(client) = clients.iter().find(|client| client.comp_id == session.comp_id) else {
                return invalid("comp_id", "expected a comp_id of [[clients]]");
            };
            if !names.insert(session.comp_id) {
                return invalid("comp_id", "expected a name that no other session has");
            }
            let default = session.default_account;
            if !default.is_blank() && !client.accounts.contains(&default) {
                return invalid("default_account", "expected one of the client's accounts");
            }
            let asked = tls.is_some_and(|tls| tls.client_auth != ClientAuth::None);
            let shown = asked && self.transport != Some(tls::Over::Tcp);
            if session.authentication != Authentication::Password && !shown {
                return invalid("authentication", "needs TLS, and a [tls] whose client_auth is not \"none\"");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

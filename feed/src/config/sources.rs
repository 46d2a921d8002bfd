//! Where the quotes come from, and how one copy is made of several.

use super::{Secret, text};
use crate::arbiter::{self, From, Mode, SOURCES_MAX, Standby};
use crate::bus::Bus;
use crate::content;
use crate::ingest::Own;
use serde::Deserialize;
use service::config::{Invalid, addresses_differ};
use service::tls;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wire::szse::Text;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in logs and metrics.
    pub name: String,
    /// How its quotes come.
    #[serde(default)]
    pub via: Via,
    /// Where it is, if it is dialled.
    #[serde(default = "nowhere")]
    pub address: SocketAddr,
    /// The bus that it is on, if it is on one.
    #[serde(default)]
    pub bus: Option<Bus>,
    /// What it is spoken to over; see [`super::Listen::transport`].
    #[serde(default)]
    pub transport: Option<tls::Over>,
    /// SenderCompID of our logon.
    #[serde(deserialize_with = "text", default = "feed_comp_id")]
    pub sender_comp_id: Text<20>,
    /// TargetCompID of our logon.
    #[serde(deserialize_with = "text", default = "upstream_comp_id")]
    pub target_comp_id: Text<20>,
    /// Password of our logon.
    #[serde(default)]
    pub password: Secret,
    /// HeartBtInt of our logon, seconds.
    #[serde(default = "heartbeat_s")]
    pub heartbeat_s: u16,
    /// Whether it wants to be asked for what it sends: it is a feed itself.
    #[serde(default)]
    pub subscribe: bool,
    /// Whose numbers it has.
    #[serde(default)]
    pub numbering: Numbering,
    /// Whether it takes resend requests.
    #[serde(default = "yes")]
    pub resends: bool,
    /// How long a connect may take, milliseconds.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Pause before it is dialled again, milliseconds; doubled each time.
    #[serde(default = "backoff_min_ms")]
    pub backoff_min_ms: u64,
    /// The longest pause, milliseconds.
    #[serde(default = "backoff_max_ms")]
    pub backoff_max_ms: u64,
}

/// How quotes come from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// It is dialled, and speaks the exchange's binary protocol.
    #[default]
    Mdgw,
    /// By a program around the feed, see [`crate::door`].
    Door,
    /// From a message bus, see [`crate::bus`].
    Nats,
}

const fn nowhere() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)
}

/// Whose numbers a source has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbering {
    /// The exchange's: it is one more copy.
    #[default]
    Exchange,
    /// Its own: it stands by, and is matched by content.
    Own,
}

/// How one copy is made of several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arbitration {
    /// Which copies are used.
    pub mode: ModeName,
    /// Where a channel begins.
    pub from: FromName,
    /// Channels, at most; of a source with numbers of its own as many again.
    pub channels_max: usize,
    /// Frames that wait in one channel, at most.
    pub held_count_max: usize,
    /// Bytes that wait in all channels, at most.
    pub held_bytes_max: usize,
    /// How long a hole may stay before it is asked for, milliseconds.
    pub patience_ms: u64,
    /// How long to wait before another source is asked, milliseconds.
    pub retry_ms: u64,
    /// How long until a hole is declared lost, milliseconds.
    pub deadline_ms: u64,
    /// Numbers in one resend request, at most.
    pub ask_count_max: u64,
    /// Numbers further ahead than this need a second frame to be believed, from whichever source.
    pub jump_max: u64,
    /// When standby leaves the primary, and goes back to it.
    pub standby: StandbyTimes,
    /// A source with numbers of its own.
    pub own: OwnNumbers,
}

/// How a source with [`Numbering::Own`] is held against the others, and when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnNumbers {
    /// Added to its ChannelNo. With more than one source the numbered ones' channels are below it.
    pub channel_offset: u16,
    /// How long a message waits for its like, milliseconds.
    pub window_ms: u64,
    /// Messages that wait, at most.
    pub waiting_count_max: usize,
    /// Bytes that wait, at most.
    pub waiting_bytes_max: usize,
    /// A numbered source that says nothing for so long does not live, milliseconds.
    pub silent_ms: u64,
    /// How long no numbered source lives before it is used, milliseconds.
    pub takeover_after_ms: u64,
    /// How long one lives again before it is used no more, milliseconds.
    pub return_after_ms: u64,
}

impl Default for OwnNumbers {
    fn default() -> Self {
        Self {
            channel_offset: 50_000,
            window_ms: 10_000,
            waiting_count_max: 200_000,
            waiting_bytes_max: 64 << 20,
            silent_ms: 4_000,
            takeover_after_ms: 500,
            return_after_ms: 5_000,
        }
    }
}

impl OwnNumbers {
    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |key: &str, problem: &str| Err(Invalid::new(format!("arbitration.own.{key}"), problem));
        if self.channel_offset == 0 {
            return invalid("channel_offset", "expected more than 0");
        }
        if !(1..=5_000_000).contains(&self.waiting_count_max) {
            return invalid("waiting_count_max", "expected 1 to 5000000");
        }
        if self.window_ms <= self.silent_ms.saturating_add(self.takeover_after_ms) || self.window_ms > 600_000
        {
            return invalid(
                "window_ms",
                "expected more than silent_ms and takeover_after_ms together, at most 600000",
            );
        }
        Ok(())
    }
}

/// Which copies are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    /// See [`Mode::Arbitrated`].
    Arbitrated,
    /// See [`Mode::Standby`].
    Standby,
}

/// Where a channel begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromName {
    /// See [`From::Open`].
    Open,
    /// See [`From::Live`].
    Live,
}

/// See [`Standby`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StandbyTimes {
    /// See [`Standby::silent_ms`].
    pub silent_ms: u64,
    /// See [`Standby::behind_ms`].
    pub behind_ms: u64,
    /// See [`Standby::behind_count`].
    pub behind_count: u64,
    /// See [`Standby::return_after_ms`].
    pub return_after_ms: u64,
}

const fn feed_comp_id() -> Text<20> {
    Text::literal("feed")
}

const fn upstream_comp_id() -> Text<20> {
    Text::literal("MATCHER")
}

const fn heartbeat_s() -> u16 {
    3
}

const fn yes() -> bool {
    true
}

const fn connect_timeout_ms() -> u64 {
    2_000
}

const fn backoff_min_ms() -> u64 {
    100
}

const fn backoff_max_ms() -> u64 {
    5_000
}

impl Source {
    /// Whether it is dialled.
    pub(crate) fn is_dialled(&self) -> bool {
        self.via == Via::Mdgw
    }

    /// Whether it is one more copy of the exchange's flow.
    pub(crate) fn is_numbered(&self) -> bool {
        self.numbering == Numbering::Exchange
    }

    /// A source with all defaults.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            via: Via::Mdgw,
            address,
            bus: None,
            transport: None,
            sender_comp_id: feed_comp_id(),
            target_comp_id: upstream_comp_id(),
            password: Secret::default(),
            heartbeat_s: heartbeat_s(),
            subscribe: false,
            numbering: Numbering::Exchange,
            resends: true,
            connect_timeout_ms: connect_timeout_ms(),
            backoff_min_ms: backoff_min_ms(),
            backoff_max_ms: backoff_max_ms(),
        }
    }
}

impl Default for Arbitration {
    fn default() -> Self {
        let settings = arbiter::Settings::default();
        Self {
            mode: ModeName::Arbitrated,
            from: FromName::Live,
            channels_max: settings.channels_max,
            held_count_max: settings.held_count_max,
            held_bytes_max: settings.held_bytes_max,
            patience_ms: settings.patience_ms,
            retry_ms: settings.retry_ms,
            deadline_ms: settings.deadline_ms,
            ask_count_max: settings.ask_count_max,
            jump_max: settings.jump_max,
            standby: StandbyTimes::default(),
            own: OwnNumbers::default(),
        }
    }
}

impl Default for StandbyTimes {
    fn default() -> Self {
        let Standby { silent_ms, behind_ms, behind_count, return_after_ms } = Standby::default();
        Self { silent_ms, behind_ms, behind_count, return_after_ms }
    }
}

impl Arbitration {
    pub(crate) fn settings(&self, sources: &[Source]) -> arbiter::Settings {
        let mut resends = [true; SOURCES_MAX];
        for (resends, source) in resends.iter_mut().zip(sources) {
            *resends = source.resends;
        }
        let StandbyTimes { silent_ms, behind_ms, behind_count, return_after_ms } = self.standby;
        arbiter::Settings {
            sources: sources.iter().filter(|source| source.is_numbered()).count(),
            resends,
            mode: match self.mode {
                ModeName::Arbitrated => Mode::Arbitrated,
                ModeName::Standby => {
                    Mode::Standby(Standby { silent_ms, behind_ms, behind_count, return_after_ms })
                }
            },
            from: match self.from {
                FromName::Open => From::Open,
                FromName::Live => From::Live,
            },
            channels_max: self.channels_max,
            // What a feed numbers for its vendor another one may number otherwise: of several sources none brings such channels.
            channel_end: match sources.len() {
                1 => 1 << 16,
                _ => self.own.channel_offset.into(),
            },
            held_count_max: self.held_count_max,
            held_bytes_max: self.held_bytes_max,
            patience_ms: self.patience_ms,
            retry_ms: self.retry_ms,
            deadline_ms: self.deadline_ms,
            ask_count_max: self.ask_count_max,
            jump_max: self.jump_max,
        }
    }
}

impl Arbitration {
    /// The source with numbers of its own, if there is one.
    pub(crate) fn own(&self, sources: &[Source]) -> Option<Own> {
        let ns = |ms: u64| ms * 1_000_000;
        let own = &self.own;
        let settings = content::Settings {
            window_ns: ns(own.window_ms),
            count_max: own.waiting_count_max,
            bytes_max: own.waiting_bytes_max,
            takeover_after_ns: ns(own.takeover_after_ms),
            return_after_ns: ns(own.return_after_ms),
        };
        let there = sources.iter().any(|source| !source.is_numbered());
        let bounds = (self.channels_max, self.jump_max);
        there.then(|| Own::new(settings, own.channel_offset, ns(own.silent_ms), bounds))
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        self.own.validate()
    }
}

/// Whether they can be used.
pub(super) fn validate(sources: &[Source], tls: Option<&tls::Settings>) -> Result<(), Invalid> {
    if sources.is_empty() || sources.len() > SOURCES_MAX {
        return Err(Invalid::new("sources", format!("expected 1 to {SOURCES_MAX}")));
    }
    for (index, source) in sources.iter().enumerate() {
        let key = |name| format!("sources[{index}].{name}");
        if sources[..index].iter().any(|other| other.name == source.name) {
            return Err(Invalid::new(key("name"), "expected a name that no other source has"));
        }
        tls::validate(tls, source.transport, &key("transport"))?;
        if source.is_dialled() && source.address == nowhere() {
            return Err(Invalid::new(key("address"), "expected one, of a source that is dialled"));
        }
        if !source.is_dialled()
            && (source.address != nowhere() || source.subscribe || source.transport.is_some())
        {
            return Err(Invalid::new(
                key("via"),
                "expected neither address, transport nor subscribe beside it",
            ));
        }
        if (source.via == Via::Nats) != source.bus.is_some() {
            return Err(Invalid::new(key("bus"), "expected with `via = \"nats\"`, and with it alone"));
        }
        source.bus.as_ref().map_or(Ok(()), |bus| bus.validate(&key("bus")))?;
        if !source.is_numbered() && (index == 0 || index + 1 < sources.len()) {
            return Err(Invalid::new(
                key("numbering"),
                "expected \"own\" of the last source alone, behind others",
            ));
        }
        if !source.is_numbered() && source.subscribe {
            return Err(Invalid::new(
                key("numbering"),
                "expected \"exchange\": a feed has the exchange's numbers",
            ));
        }
        if source.heartbeat_s == 0 {
            return Err(Invalid::new(key("heartbeat_s"), "expected at least 1"));
        }
        if source.backoff_min_ms == 0 || source.backoff_max_ms < source.backoff_min_ms {
            return Err(Invalid::new(key("backoff_min_ms"), "expected 1 to backoff_max_ms"));
        }
    }
    let dialled = sources.iter().enumerate().filter(|(_, source)| source.is_dialled());
    addresses_differ(
        dialled.map(|(index, source)| {
            (format!("sources[{index}].address"), source.name.as_str(), source.address)
        }),
    )
}

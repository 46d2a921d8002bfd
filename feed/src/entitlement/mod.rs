//! Who may see what: an account's markets, its level, how far behind, and how many connections it may have at a time.
//!
//! The door is [`Entitlement`]: it finds the account of a logon and says its [`Right`]. By default that is
//! [`RightsFile`]; a broker's own stands behind [`crate::Server::with_entitlement`]. The rest is the feed's: what lies
//! beyond the right never leaves, because the right bounds the filter of the log (`flow::Bounds`), and who sees
//! everything has no bounds and is served by whole slices as ever.

mod doorkeeper;
mod file;
mod seats;

pub(crate) use doorkeeper::{Doorkeeper, Held, Renewed};
pub use file::{AccountRight, Rights, RightsFile};
pub(crate) use seats::Seats;

use serde::Deserialize;
use std::sync::Arc;
use wire::szse::code::{SOURCE_SHANGHAI, SOURCE_SHENZHEN};
use wire::szse::{Password, SecurityIdSource, Text};

/// Says who may see what. Its calls come from the threads that serve subscribers, at logons and after a change: none may
/// block or take long, so what asks elsewhere keeps a table that a thread of its own renews.
pub trait Entitlement: Send + Sync + 'static {
    /// Whose logon this is, and what that account may see; `None` refuses it, without a word about which part is wrong.
    fn admit(&self, who: &Credentials<'_>) -> Option<Grant>;

    /// What an account may see now; `None` ends its sessions.
    fn right(&self, account: &str) -> Option<Right>;

    /// Goes up with every change: open sessions are looked at again then. A load of an atomic.
    fn epoch(&self) -> u64;
}

/// What a logon shows of who sends it.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// SenderCompID.
    pub comp_id: &'a Text<20>,
    /// Password: a password or a token.
    pub password: &'a Password,
    /// Common name of the certificate that the connection was made with, if one was asked for and shown.
    pub certificate: Option<&'a str>,
}

/// An account that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name: what its connections are counted by, and what logs say.
    pub account: Arc<str>,
    /// What it may see.
    pub right: Right,
}

/// What an account may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Markets.
    pub markets: Markets,
    /// How much of them.
    pub level: Level,
    /// How far behind the market, minutes: 0, or one of the delays that the feed offers (and then level 1).
    pub delay_min: u16,
    /// Connections at a time, over all threads of the feed.
    pub connections_max: u32,
}

impl Right {
    /// Whether it may see ticks.
    pub(crate) fn sees_ticks(&self) -> bool {
        self.level == Level::Two && self.delay_min == 0
    }
}

/// How much of a market an account sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum Level {
    /// Snapshots alone.
    One,
    /// Snapshots and ticks.
    Two,
}

impl TryFrom<u8> for Level {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        match level {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("expected 1 (snapshots) or 2 (ticks too)"),
        }
    }
}

/// A market, by SecurityIDSource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Market {
    /// 102.
    Szse,
    /// 101.
    Sse,
    /// Any other, also a security for which the directory has no room.
    Other,
}

impl Market {
    /// The market of a SecurityIDSource.
    pub fn of(source: &SecurityIdSource) -> Self {
        match *source {
            SOURCE_SHENZHEN => Self::Szse,
            SOURCE_SHANGHAI => Self::Sse,
            _ => Self::Other,
        }
    }

    pub(crate) fn of_wire(source: [u8; 4]) -> Self {
        Text::new(&source).map_or(Self::Other, |source| Self::of(&source))
    }

    /// Its class in the log's filters.
    pub(crate) fn class(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Szse => 1,
            Self::Sse => 2,
        }
    }
}

/// A set of markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Markets(u8);

impl Markets {
    /// All of them, those without a name here too.
    pub const ALL: Self = Self(0b111);

    /// Whether a market is among them.
    pub fn contains(self, market: Market) -> bool {
        self.0 >> market.class() & 1 == 1
    }

    /// One bit for each class of [`Market`].
    pub(crate) fn bits(self) -> u8 {
        self.0
    }
}

impl FromIterator<Market> for Markets {
    fn from_iter<I: IntoIterator<Item = Market>>(markets: I) -> Self {
        Self(markets.into_iter().fold(0, |bits, market| bits | 1 << market.class()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_known_by_its_source() {
        assert_eq!(Market::of(&Text::literal("102")), Market::Szse);
        assert_eq!(Market::of(&Text::literal("101")), Market::Sse);
        assert_eq!(Market::of_wire(*b"103 "), Market::Other);
        assert_eq!(Market::of_wire([0xff; 4]), Market::Other);
        let one: Markets = [Market::Sse].into_iter().collect();
        assert!(one.contains(Market::Sse) && !one.contains(Market::Szse) && !one.contains(Market::Other));
        let all: Markets = [Market::Szse, Market::Sse, Market::Other].into_iter().collect();
        assert_eq!(all, Markets::ALL);
    }
}

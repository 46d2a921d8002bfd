//! The parts of the configuration that are about pre-trade checks and limits.

use super::text;
use crate::check::rules::Rules;
use crate::check::{self, Group};
use crate::control::switches::Switches;
use serde::{Deserialize, Deserializer, de};
use service::config::Invalid;
use std::path::{Path, PathBuf};
use wire::szse::{Amount, Text};

/// Pre-trade checks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// File of dated rules; empty: those that come with the program.
    pub rules: PathBuf,
    /// File of the day's reference data; empty: none, and what needs it is off.
    pub securities: PathBuf,
    /// Rules that are off though there is reference data.
    #[serde(deserialize_with = "groups")]
    pub off: Vec<Group>,
    /// Most money that one order may be worth; 0: no bound.
    #[serde(deserialize_with = "amount")]
    pub notional_max: Amount,
    /// How long an exchange may not have been heard of before its prices are stale, milliseconds.
    pub quote_age_ms_max: u64,
    /// What becomes of an order that is to be held against stale prices.
    pub stale_quotes: StaleQuotes,
    /// Whether an order that could trade with one of the same account is refused.
    pub self_cross: bool,
    /// Open orders of an account in a security that are looked at for that.
    pub self_cross_orders_max: u32,
    /// Whether a request that would make its account a high-frequency one is refused.
    pub refuse_high_frequency: bool,
    /// Open orders that are kept in mind where a rule asks for them.
    pub open_orders_max: u32,
}

/// What becomes of an order that is to be held against stale prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaleQuotes {
    /// It passes the rule, and is counted.
    Pass,
    /// It is refused.
    Refuse,
}

/// How many orders and cancels are granted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// Requests a second of a session; 0: no bound.
    pub session_per_s: u32,
    /// Requests a second of an account; 0: no bound.
    pub account_per_s: u32,
    /// Requests refused in a row after which a session is ended; 0: never.
    pub disconnect_after: u32,
    /// Sessions that are granted something else.
    pub clients: Vec<ThrottledClient>,
}

/// What one client's session is granted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottledClient {
    /// Its CompID.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// Requests a second; 0: no bound.
    pub per_s: u32,
}

/// A client whose open orders are cancelled when its session is gone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOnDisconnect {
    /// Its CompID.
    #[serde(deserialize_with = "text")]
    pub comp_id: Text<20>,
    /// How long it has to log on again before, milliseconds.
    #[serde(default)]
    pub grace_ms: u32,
}

/// The longest grace: what is longer is no reaction to a disconnect.
const GRACE_MS_MAX: u32 = 600_000;

impl CancelOnDisconnect {
    pub(crate) fn validate(all: &[Self], clients: &[super::Client]) -> Result<(), Invalid> {
        for (index, one) in all.iter().enumerate() {
            let invalid = |key: &str, problem| {
                Err(Invalid::new(format!("cancel_on_disconnect[{index}].{key}"), problem))
            };
            if !clients.iter().any(|client| client.comp_id == one.comp_id) {
                return invalid("comp_id", "expected the comp_id of a client");
            }
            if all[..index].iter().any(|other| other.comp_id == one.comp_id) {
                return invalid("comp_id", "expected a client that is not listed already");
            }
            if one.grace_ms > GRACE_MS_MAX {
                return invalid("grace_ms", "expected at most 600000");
            }
        }
        Ok(())
    }
}

/// The operator's commands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// File of tokens; empty: none, and commands are refused.
    pub token_file: PathBuf,
    /// Where kill switches are kept over a restart; empty: they are not.
    pub kill_file: PathBuf,
}

impl Control {
    pub(crate) fn kill_file(&self) -> Option<&Path> {
        Some(self.kill_file.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    pub(crate) fn load_switches(&self) -> Result<Switches, Invalid> {
        let Some(path) = self.kill_file() else { return Ok(Switches::default()) };
        Switches::load(path).map_err(|error| Invalid::in_file("control.kill_file", path, error))
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            rules: PathBuf::new(),
            securities: PathBuf::new(),
            // Without the market's prices it would be held against the previous close alone.
            off: vec![Group::Cage],
            notional_max: Amount::ZERO,
            quote_age_ms_max: 10_000,
            stale_quotes: StaleQuotes::Pass,
            self_cross: false,
            self_cross_orders_max: 1_000,
            refuse_high_frequency: false,
            open_orders_max: 1 << 18,
        }
    }
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Group>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let group = |name: &String| {
        let mut groups = Group::ALL.into_iter().filter(|group| group.needs_securities());
        groups.find(|group| group.name() == name).ok_or_else(|| {
            de::Error::custom(format!(
                "there is no rule `{name}`, expected phase, security, lot, tick, limit, cage, largest, margin"
            ))
        })
    };
    names.iter().map(group).collect()
}

impl Checks {
    /// The dated rules.
    ///
    /// # Errors
    /// The file cannot be read or is wrong.
    pub(crate) fn load_rules(&self) -> Result<Rules, Invalid> {
        if self.rules.as_os_str().is_empty() {
            let rules = service::config::parse(check::rules::A_SHARE, "rules");
            return rules.map_err(|error| Invalid::new("checks.rules", error.to_string()));
        }
        service::config::load_named("checks.rules", &self.rules)
    }

    pub(crate) fn has_securities(&self) -> bool {
        !self.securities.as_os_str().is_empty()
    }

    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        if self.notional_max < Amount::ZERO {
            return Err(Invalid::new("checks.notional_max", "expected 0 or more"));
        }
        if self.quote_age_ms_max == 0 {
            return Err(Invalid::new("checks.quote_age_ms_max", "expected more than 0"));
        }
        if self.open_orders_max == 0 || self.open_orders_max > 1 << 24 {
            return Err(Invalid::new("checks.open_orders_max", "expected 1 to 16777216"));
        }
        Ok(())
    }

    pub(crate) fn settings(&self, throttle: &Throttle, follows_feed: bool) -> check::Settings {
        let mut on = [true; Group::ALL.len()];
        on[Group::SelfCross as usize] = self.self_cross;
        self.off.iter().for_each(|group| on[*group as usize] = false);
        check::Settings {
            on,
            notional_max: self.notional_max.raw(),
            quote_age_ns_max: self.quote_age_ms_max.saturating_mul(1_000_000),
            market: match self.stale_quotes {
                _ if !follows_feed => check::Market::PreviousClose,
                StaleQuotes::Pass => check::Market::Quotes,
                StaleQuotes::Refuse => check::Market::FreshQuotes,
            },
            throttle_disconnect_after: throttle.disconnect_after,
            self_cross_orders_max: self.self_cross_orders_max,
        }
    }
}

impl Throttle {
    /// Requests a second of a client's session.
    pub(crate) fn of(&self, comp_id: Text<20>) -> u32 {
        let own = self.clients.iter().find(|client| client.comp_id == comp_id);
        own.map_or(self.session_per_s, |client| client.per_s)
    }

    pub(crate) fn validate(&self, clients: &[super::Client]) -> Result<(), Invalid> {
        for (index, client) in self.clients.iter().enumerate() {
            if !clients.iter().any(|other| other.comp_id == client.comp_id) {
                let key = format!("throttle.clients[{index}].comp_id");
                return Err(Invalid::new(key, "expected the comp_id of a client"));
            }
        }
        Ok(())
    }
}

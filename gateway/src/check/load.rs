//! From the configuration's files to a chain, and to new tables for it: on a cold thread.

use crate::accounts::Accounts;
use crate::check::rate::{Bucket, Rates};
use crate::check::{Checks, Kill, OpenOrders, Tables, reference};
use crate::config::{self, Config};
use anyhow::Context as _;
use std::fs::File;
use std::io::BufReader;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tables for the day that it is on the exchange's clock, from what the files say now.
///
/// # Errors
/// A file that cannot be read or is wrong, with its place.
pub(crate) fn tables(checks: &config::Checks, unix_ns: i64) -> anyhow::Result<Tables> {
    let rules = checks.load_rules()?;
    let (day, _) = rules.zone().at(unix_ns);
    if !checks.has_securities() {
        let marks = rules.set(day).map(super::rules::Set::marks).unwrap_or_default();
        return Ok(Tables::without_securities(day, rules.zone(), marks));
    }
    let path = checks.securities.display();
    let file = File::open(&checks.securities).with_context(|| format!("cannot read {path}"))?;
    let securities = reference::read(BufReader::new(file)).with_context(|| path.to_string())?;
    Tables::new(day, &rules, &securities).with_context(|| path.to_string())
}

/// The time of day: cold threads have no turn to take it from.
#[allow(clippy::disallowed_methods, reason = "a cold thread")]
pub(crate) fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A chain for a gateway.
pub(crate) fn chain(config: &Config, accounts: &Accounts, tables: Tables) -> Checks {
    let count = accounts.len();
    let sessions = (0..accounts.comps_len())
        .map(|comp_no| Bucket::new(config.throttle.of(accounts[comp_no].comp_id)))
        .collect();
    let rates = Rates::new(count, config.throttle.account_per_s, config.checks.refuse_high_frequency);
    let open = config.checks.self_cross.then(|| OpenOrders::new(count, config.checks.open_orders_max));
    let settings = config.checks.settings(&config.throttle);
    Checks::new(settings, Box::new(tables), (Kill::new(count), rates), open, sessions)
}

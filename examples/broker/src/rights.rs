//! Who may see what of a feed's quotes, from a list of the broker's own.
//!
//! The list is a file here, in place of the database in which a broker keeps what his clients have bought. What matters is who
//! reads it: a thread of its own, so that the feed's threads never wait for a disk or a database.

use arc_swap::ArcSwap;
use feed::entitlement::{Credentials, Entitlement, Grant, Level, Market, Markets, Right};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wire::szse::{Password, Text};

/// An account's name, its password, and what it has bought.
type Account = (Arc<str>, Password, Right);

/// Accounts by SenderCompID.
type Bought = HashMap<Text<20>, Account>;

/// A line that says nothing of an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: expected COMPID,PASSWORD,MARKETS,LEVEL,CONNECTIONS, with MARKETS of SZSE and SSE, joined by +"
)]
pub struct LineError {
    /// Which, from 1.
    pub line: usize,
}

/// Reads a list: a line each; empty lines and those that begin with `#` say nothing.
///
/// # Errors
/// The first line that is something else.
fn parse(text: &str) -> Result<Bought, LineError> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    lines.map(|(line, text)| account(text).ok_or(LineError { line })).collect()
}

fn account(line: &str) -> Option<(Text<20>, Account)> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let &[name, password, markets, level, connections] = &fields[..] else { return None };
    let market = |name: &str| match name {
        "SZSE" => Some(Market::Szse),
        "SSE" => Some(Market::Sse),
        _ => None,
    };
    let right = Right {
        markets: markets.split('+').map(market).collect::<Option<Markets>>()?,
        level: Level::try_from(level.parse::<u8>().ok()?).ok()?,
        delay_min: 0,
        connections_max: connections.parse().ok()?,
    };
    Some((name.parse().ok()?, (name.into(), Password::new(password.as_bytes()).ok()?, right)))
}

/// What clients have bought.
pub struct Subscriptions {
    bought: ArcSwap<Bought>,
    epoch: AtomicU64,
}

impl Subscriptions {
    /// Reads a list.
    ///
    /// # Errors
    /// It cannot be read, or a line is not an account.
    pub fn open(path: &Path) -> anyhow::Result<Arc<Self>> {
        let bought = parse(&std::fs::read_to_string(path)?)?;
        Ok(Arc::new(Self { bought: ArcSwap::from_pointee(bought), epoch: AtomicU64::new(0) }))
    }

    /// Puts another list in force, if it is another one: the feed looks at its open sessions again.
    fn replace(&self, bought: Bought) {
        if *self.bought.load_full() != bought {
            self.bought.store(Arc::new(bought));
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Reads the list again each `interval`, on a thread of its own, for as long as somebody asks it. A list that cannot be read
    /// is logged, and the one before stays in force.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn watch(self: &Arc<Self>, path: PathBuf, interval: Duration) -> io::Result<()> {
        let asked = Arc::downgrade(self);
        let watch = move || {
            while let Some(subscriptions) = asked.upgrade() {
                let read = std::fs::read_to_string(&path).map_err(anyhow::Error::from);
                match read.and_then(|text| Ok(parse(&text)?)) {
                    Ok(bought) => subscriptions.replace(bought),
                    Err(error) => tracing::error!("{error:#}: the list before stays in force"),
                }
                drop(subscriptions);
                std::thread::sleep(interval);
            }
        };
        std::thread::Builder::new().name("rights".to_owned()).spawn(watch).map(drop)
    }
}

impl Entitlement for Subscriptions {
    fn admit(&self, who: &Credentials<'_>) -> Option<Grant> {
        let bought = self.bought.load();
        let (account, password, right) = bought.get(who.comp_id)?;
        (password == who.password).then(|| Grant { account: account.clone(), right: *right })
    }

    fn right(&self, account: &str) -> Option<Right> {
        let comp_id = account.parse().ok()?;
        self.bought.load().get(&comp_id).map(|(_, _, right)| *right)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_account_or_is_named() {
        let bought = parse("# who, ...\n\nfund, secret, SZSE+SSE, 2, 4\n").unwrap();
        let (account, _, right) = &bought[&Text::literal("fund")];
        assert_eq!(&**account, "fund");
        assert_eq!((right.level, right.connections_max), (Level::Two, 4));
        assert!(right.markets.contains(Market::Sse) && !right.markets.contains(Market::Other));
        for wrong in
            ["a,b", "a,b,LSE,1,1", "a,b,SSE,3,1", "a,b,SSE,1,x", "a name that is much too long,b,SSE,1,1"]
        {
            let text = format!("fund,secret,SSE,1,1\n{wrong}\n");
            assert_eq!(parse(&text).unwrap_err(), LineError { line: 2 }, "{wrong}");
        }
    }
}

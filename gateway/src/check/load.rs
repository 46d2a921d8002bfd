//! From the configuration's files to a chain, and to new tables for it: on a cold thread.

use crate::accounts::Accounts;
use crate::app::Command;
use crate::check::phase::{Day, Zone};
use crate::check::rate::{Bucket, Rates};
use crate::check::{Checks, Kill, OpenOrders, Tables, reference};
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::quotes;
use anyhow::{Context as _, anyhow};
use service::config::{Invalid, Origin};
use service::{Phase, Shutdown};
use shard::Handle;
use std::fs::File;
use std::io::BufReader;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tables for the day that it is on the exchange's clock, from what the files say now.
///
/// # Errors
/// A file that cannot be read or is wrong, with its place.
pub(crate) fn tables(checks: &config::Checks, unix_ns: i64) -> Result<Tables, Invalid> {
    let rules = checks.load_rules()?;
    let (day, _) = rules.zone().at(unix_ns);
    if !checks.has_securities() {
        let marks = rules.set(day).map(super::rules::Set::marks).unwrap_or_default();
        return Ok(Tables::without_securities(day, rules.zone(), marks));
    }
    let (key, path) = ("checks.securities", &checks.securities);
    let file = File::open(path).map_err(|error| Invalid::unreadable(key, path, &error))?;
    let securities = reference::read(BufReader::new(file));
    let securities = securities.map_err(|error| Invalid::in_file(key, path, error))?;
    Tables::new(day, &rules, &securities).map_err(|error| Invalid::in_file(key, path, error))
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
    let comps = if config.cancel_on_disconnect.is_empty() { 0 } else { accounts.comps_len() };
    let kept = config.checks.self_cross || comps > 0;
    let open = kept.then(|| OpenOrders::new(count, comps, config.checks.open_orders_max));
    let settings = config.checks.settings(&config.throttle, config.quotes.is_on());
    Checks::new(settings, Box::new(tables), (Kill::new(count), rates), open, sessions)
}

/// How often the day is looked at, and whether the gateway ends.
const PACE: Duration = Duration::from_millis(50);
/// How long the hot thread may take to take new tables: it does so between two turns.
const HAND_OVER: Duration = Duration::from_secs(2);
/// After files that could not be used at the turn of a day they are tried again, nanoseconds.
const RETRY_NS: i64 = 10_000_000_000;

type Outcome = Result<(), String>;

/// Asks for the files to be read again.
#[derive(Clone)]
pub(crate) struct Reload(SyncSender<tokio::sync::oneshot::Sender<Outcome>>);

/// Where that is asked.
pub(crate) struct Asked(Receiver<tokio::sync::oneshot::Sender<Outcome>>);

/// Both ends.
pub(crate) fn reload() -> (Reload, Asked) {
    let (ask, asked) = sync_channel(8);
    (Reload(ask), Asked(asked))
}

impl Reload {
    /// Reads the files again and waits until what they say is in force.
    ///
    /// # Errors
    /// What is wrong with them: what was in force stays.
    pub(crate) async fn ask(&self) -> anyhow::Result<()> {
        let outcome = self.begin()?.await;
        outcome.map_err(|_| anyhow!("the gateway is ending"))?.map_err(anyhow::Error::msg)
    }

    /// Asks, and does not wait: the log says what came of it.
    pub(crate) fn begin(&self) -> anyhow::Result<tokio::sync::oneshot::Receiver<Outcome>> {
        let (reply, outcome) = tokio::sync::oneshot::channel();
        self.0.try_send(reply).map_err(|_| anyhow!("not running, or asked too often"))?;
        Ok(outcome)
    }
}

/// Keeps the tables those of the day: a cold thread that makes new ones when it is asked to, and at midnight of the
/// exchange's clock.
pub(crate) struct Loader {
    pub(crate) checks: config::Checks,
    pub(crate) asked: Asked,
    pub(crate) gateway: Handle<Command>,
    pub(crate) shutdown: Shutdown,
    pub(crate) origin: Origin,
    pub(crate) metrics: Metrics,
    pub(crate) day: Day,
    pub(crate) zone: Zone,
    /// Who writes the market's prices, if anybody does.
    pub(crate) follower: Option<Handle<quotes::Command>>,
}

impl Loader {
    pub(crate) fn run(mut self) {
        let mut tried_ns = 0;
        while self.shutdown.phase() == Phase::Running {
            match self.asked.0.recv_timeout(PACE) {
                Ok(reply) => {
                    if reply.send(self.load()).is_err() {
                        tracing::debug!("nobody waits for the answer");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody can ask any more; the days go on.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(PACE),
            }
            let now_ns = unix_ns();
            if self.zone.at(now_ns).0 != self.day && now_ns - tried_ns > RETRY_NS {
                tried_ns = now_ns;
                // What is wrong is in the log.
                drop(self.load());
            }
        }
    }

    fn load(&mut self) -> Outcome {
        let outcome = self.put_in_force();
        let label = if outcome.is_ok() { "loaded" } else { "failed" };
        self.metrics.check_loads.with_label_values(&[label]).inc();
        outcome.map_err(|error| {
            let error = match error.downcast_ref::<Invalid>() {
                Some(invalid) => self.origin.placed(invalid),
                None => transport::causes(error.as_ref()),
            };
            tracing::error!(error, "rules and reference data not loaded; what was in force stays");
            error
        })
    }

    fn put_in_force(&mut self) -> anyhow::Result<()> {
        let tables = tables(&self.checks, unix_ns())?;
        let (day, zone, securities) = (tables.day, tables.zone, tables.len());
        self.follow(&tables)?;
        let (reply, old) = sync_channel(1);
        let tables = Box::new(tables);
        let command = Command::Do(Box::new(move |gateway, _| {
            // The old ones are dropped over here.
            if reply.try_send(gateway.desk.checks.install(tables)).is_err() {
                tracing::debug!("nobody waits for the old tables");
            }
        }));
        self.gateway.send(command).map_err(|_| anyhow!("too many commands wait"))?;
        drop(old.recv_timeout(HAND_OVER).context("the gateway did not take the tables")?);
        (self.day, self.zone) = (day, zone);
        tracing::info!(securities, "rules and reference data loaded");
        Ok(())
    }

    /// First whoever writes the prices goes over to the new list, with those of the same day; then the checks may.
    fn follow(&self, tables: &Tables) -> anyhow::Result<()> {
        let Some(follower) = &self.follower else { return Ok(()) };
        let (reply, taken) = sync_channel(1);
        let keeps = tables.day == self.day;
        let command = quotes::Command { directory: tables.directory.clone(), keeps, reply };
        follower.send(command).map_err(|_| anyhow!("too many commands wait at the quotes"))?;
        taken.recv_timeout(HAND_OVER).context("the quotes did not take the list of securities")
    }
}

//! A core as it was before its process ended: its journal is read again, and with it the core and its logs are made.
//!
//! The same inputs make the same reports and market data, byte for byte, so whoever comes back asks for the next number
//! as if nothing had been.

use crate::config::{Config, SEGMENT_BYTES};
use crate::core::{Core, DeskNo, Now, Outlet};
use crate::journal::{Journal, JournalError};
use flow::{Limits, Tag, Writer};
use transport::Clock;

/// What a matcher begins with.
pub(crate) struct Recovered {
    pub(crate) core: Core,
    /// One of each desk's reports, then the one of the market data.
    pub(crate) logs: Vec<Writer>,
    /// `None` where none is kept.
    pub(crate) journal: Option<Journal>,
}

/// Logs that no shard has yet, as the core's outlet.
struct ToWriters<'a>(&'a mut [Writer]);

impl Outlet for ToWriters<'_> {
    fn report(&mut self, desk: DeskNo, tag: Tag, frame: &[u8]) {
        append(&mut self.0[usize::from(desk)], tag, frame);
    }

    fn market(&mut self, tag: Tag, frame: &[u8]) {
        append(self.0.last_mut().expect("invariant: the market data's log is there"), tag, frame);
    }
}

fn append(log: &mut Writer, tag: Tag, frame: &[u8]) {
    let appended = log.append(tag, frame);
    appended.expect("invariant: the core numbers each lane upwards, and a segment takes its longest frame");
}

/// Makes the core of a configuration that was validated, as its journal has it.
///
/// # Errors
/// [`JournalError`]; nothing was changed then.
pub(crate) fn recover(config: &Config) -> Result<Recovered, JournalError> {
    let window = |window_bytes| Writer::new(Limits { segment_bytes: SEGMENT_BYTES, window_bytes });
    let mut logs: Vec<Writer> =
        config.trading.iter().map(|_| window(config.log.report_window_bytes)).collect();
    logs.push(window(config.log.market_window_bytes));
    let listings = config.listings().expect("invariant: the configuration was validated");
    let accounts = config.accounts(&listings).expect("invariant: the configuration was validated");
    let schedule = config.schedule().expect("invariant: the configuration was validated");
    let mut core = Core::with_accounts(config.settings(), listings, accounts).with_schedule(schedule);
    let Some(directory) = config.journal.directory.as_deref().map(transport::absolute) else {
        return Ok(Recovered { core, logs, journal: None });
    };
    let clock = Clock::start();
    let began = (config.fingerprint(), clock.wall_ns(clock.now_ns()).unsigned_abs());
    let begin_ns = clock.now_ns();
    let mut inputs = 0;
    let (journal, found) = Journal::open(&directory, config.journal.durability, began, |record| {
        inputs += core.replay(record, &mut ToWriters(&mut logs))?;
        // What is not published cannot be let go.
        logs.iter().for_each(Writer::publish);
        Ok(())
    })?;
    // What ended meanwhile, or before and was told: whoever comes back asks for what is behind it.
    core.pass(Now::at(began.1), &mut ToWriters(&mut logs));
    logs.iter().for_each(Writer::publish);
    if found.records > 0 {
        tracing::info!(
            inputs,
            bytes = found.bytes,
            begun_unix_ns = found.begun_unix_ns,
            ms = (clock.now_ns() - begin_ns) / 1_000_000,
            "recovered from the journal"
        );
    }
    Ok(Recovered { core, logs, journal: Some(journal) })
}

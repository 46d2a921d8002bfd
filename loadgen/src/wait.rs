//! Waiting for everybody to be there.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use transport::Clock;

use crate::progress::Progress;

const NS_PER_S: u64 = 1_000_000_000;
/// How long they may take.
const TIMEOUT_NS: u64 = 60 * NS_PER_S;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// Those who will not come any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closed {
    /// How many.
    pub(crate) count: u64,
    /// Why, or why others are not there yet.
    pub(crate) why: Option<String>,
}

impl Closed {
    /// Why, behind a colon.
    fn told(&self) -> String {
        self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
    }
}

impl From<u64> for Closed {
    fn from(count: u64) -> Self {
        Self { count, why: None }
    }
}

/// Waits until `now` is `wanted`, showing how far it is.
///
/// # Errors
/// Some of them were `closed`, or the time is over: with the reason, where one is known.
pub(crate) fn wait<C: Into<Closed>>(
    clock: &Clock,
    progress: &mut Progress<impl Write>,
    what: &str,
    now: impl Fn() -> u64,
    wanted: u64,
    closed: impl Fn() -> C,
) -> anyhow::Result<()> {
    let until_ns = clock.now_ns() + TIMEOUT_NS;
    while now() < wanted {
        let now_ns = clock.now_ns();
        let gone: Closed = closed().into();
        if gone.count > 0 {
            bail!("{what}: {} of {wanted} were refused or closed{}", gone.count, gone.told());
        }
        if now_ns > until_ns {
            bail!("{what}: only {} of {wanted} came in {} s{}", now(), TIMEOUT_NS / NS_PER_S, gone.told());
        }
        progress.show(now_ns, &format!("{what}: {} of {wanted}", now()))?;
        std::thread::sleep(LOOK);
    }
    progress.clear()?;
    Ok(())
}

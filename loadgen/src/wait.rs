//! Waiting for everybody to be there.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use transport::Clock;

use crate::progress::Progress;

/// How long they may take.
const TIMEOUT_NS: u64 = 60_000_000_000;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `now` is `wanted`, showing how far it is.
///
/// # Errors
/// Some of them were `closed`, or the time is over.
pub(crate) fn wait(
    clock: &Clock,
    progress: &mut Progress<impl Write>,
    what: &str,
    now: impl Fn() -> u64,
    wanted: u64,
    closed: impl Fn() -> u64,
) -> anyhow::Result<()> {
    let until_ns = clock.now_ns() + TIMEOUT_NS;
    while now() < wanted {
        let now_ns = clock.now_ns();
        if closed() > 0 {
            bail!(
                "{what}: {} of {wanted} were refused or closed (RUST_LOG=loadgen=debug says more)",
                closed()
            );
        }
        if now_ns > until_ns {
            bail!("{what}: only {} of {wanted} came", now());
        }
        progress.show(now_ns, &format!("{what}: {} of {wanted}", now()))?;
        std::thread::sleep(LOOK);
    }
    progress.clear()?;
    Ok(())
}

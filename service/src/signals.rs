//! Signals of the process: SIGTERM and SIGINT drain, a second one stops; SIGHUP reloads.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::shutdown::{Phase, Shutdown};

/// Takes over the signals of this process: SIGTERM and SIGINT drain the server, a second one stops
/// it at once; SIGHUP calls `reload`, on a thread of its own. Only a main does this: an embedded
/// server is ended by its [`Shutdown`].
///
/// # Errors
/// When the system refuses the handlers or the thread.
pub fn install(shutdown: &Shutdown, mut reload: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let shutdown = shutdown.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => reload(),
                _ => end(&shutdown, signal),
            }
        }
    })?;
    Ok(())
}

fn end(shutdown: &Shutdown, signal: i32) {
    let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
    match shutdown.phase() {
        Phase::Running => shutdown.drain(name),
        Phase::Draining | Phase::Stopping => shutdown.stop(name),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// One test, since signals belong to the whole process.
    #[test]
    fn hangup_reloads_and_terminate_drains_then_stops() {
        let shutdown = Shutdown::default();
        let (reloaded, reloads) = sync_channel(1);
        install(&shutdown, move || reloaded.send(()).unwrap()).unwrap();
        kill_process(getpid(), Signal::HUP).unwrap();
        reloads.recv().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        shutdown.wait(Phase::Draining);
        assert_eq!(shutdown.phase(), Phase::Draining);
        kill_process(getpid(), Signal::INT).unwrap();
        shutdown.wait(Phase::Stopping);
    }
}
